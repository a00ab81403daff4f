"""Registry of kernel functions by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

#: Number of int64 words of a row; the runner owns those before `FIRST`.
WORDS, FIRST = 32, 8
#: Kernels by name.
KERNELS: dict[str, Any] = {}


class KernelFunction:
    """A kernel ``function(part, parts, *words)``, whose parameters name the words of a row."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function, self.name = function, function.__name__
        self.symbol = f"tinynet_{self.name}"  # its function in the object code
        self.words = [*inspect.signature(function).parameters][2:]
        if len(self.words) > WORDS - FIRST:
            most = WORDS - FIRST
            raise ValueError(f"{self.name} must have at most {most} words. Received: {self.words}")
        other = KERNELS.setdefault(self.name, self).function
        if other.__module__ != function.__module__:  # names identify kernels
            raise ValueError(f"name must be unique. Received: {function} and {other}")
        KERNELS[self.name] = self
