"""The functions that kernels are, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

#: Words of a row; those before `FIRST` are the runner's.
WORDS, FIRST = 32, 8
#: All kernels by name.
KERNELS: dict[str, Any] = {}


class KernelFunction:
    """A function of ``part``, ``parts`` and the words of a row.

    Parameters
    ----------
    function : callable
        ``function(part, parts, *words)``; the names of its parameters name the words.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function, self.name = function, function.__name__
        self.symbol = f"tinynet_{self.name}"  # its function in the object code
        self.words = [*inspect.signature(function).parameters][2:]
        if len(self.words) > WORDS - FIRST:
            most = WORDS - FIRST
            raise ValueError(f"words must be at most {most}. Received: {self.words} of {self.name}")
        other = KERNELS.setdefault(self.name, self).function
        if other.__module__ != function.__module__:  # rows find their kernel by this name
            raise ValueError(f"name must be that of one kernel. Received: {function} and {other}")
        KERNELS[self.name] = self
