"""The public names of each module, and an error for names that only Keras has."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Iterable
from inspect import ismethod, ismodule
from pathlib import Path
from types import ModuleType
from typing import Any

_TEXT = Path(__file__).with_name("keras_names.txt").read_text(encoding="utf-8")
#: The public names of each module of Keras, by its path below `keras`. The file is written by
#: ``python -m reference.keras_names``.
KERAS_NAMES = dict(re.findall(r"^keras\.?(\S*):(.*(?:\n .*)*)", _TEXT, re.MULTILINE))


class NotHereError(NotImplementedError, AttributeError):
    """A name that Keras or TensorFlow may have; for ``hasattr``, one that does not exist."""


def guard(path: str, supported: Iterable[str], lazy: Iterable[str] = ()) -> Callable[[str], Any]:
    """Return the function that Python calls for a name that a module does not have.

    Parameters
    ----------
    path : str
        The module's path below `tinynet`, for example ``"layers"``.
    supported : iterable of str
        The names it has.
    lazy : iterable of str
        Submodules to import when they are first used.

    Returns
    -------
    callable
        A module's ``__getattr__``: it raises NotImplementedError for names that only Keras
        has, and AttributeError for other names.

    Examples
    --------
    >>> guard("layers", ["Dense", "Flatten"])("Conv2D")
    Traceback (most recent call last):
        ...
    NotImplementedError: layers.Conv2D is not available: tinynet supports only dense networks. \
Available: Dense, Flatten. Received: layers.Conv2D
    """
    theirs = frozenset(KERAS_NAMES.get(path, "").split())
    listed = sorted(supported)

    def missing_name(name: str) -> Any:
        full = f"{path}.{name}" if path else name
        if name in theirs:
            raise _refusal(full, listed)
        if name in lazy:
            try:
                return importlib.import_module(f"tinynet.{full}")
            except ImportError as error:  # of an optional package: to hasattr, the name is absent
                raise AttributeError(str(error)) from error
        close = difflib.get_close_matches(name, listed, n=1)
        hint = f"; did you mean {close[0]!r}?" if close and not name.startswith("_") else ""
        module = f"tinynet.{path}".rstrip(".")
        raise AttributeError(f"module {module!r} has no attribute {name!r}{hint}")

    return missing_name


def _refusal(full: str, listed: list[str]) -> NotImplementedError:
    return NotImplementedError(
        f"{full} is not available: tinynet supports only dense networks. "
        f"Available: {', '.join(listed)}. Received: {full}"
    )


class Absent(ModuleType):
    """Replacement for a module that only Keras has: importing from it is refused.

    Parameters
    ----------
    name : str
        The module's name.
    listed : list of str
        What its parent module has.
    """

    def __init__(self, name: str, listed: list[str]) -> None:
        super().__init__(name)
        self.listed = listed

    def __getattr__(self, name: str) -> Any:
        # Submodules are searched in __path__; tools look up other such names.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        raise _refusal(self.__name__.partition(".")[2], self.listed)


def public_names(module: ModuleType) -> list[str]:
    """List the public names of a module: its ``__all__``, or what it defines or re-exports.

    Parameters
    ----------
    module : module
        The module.

    Returns
    -------
    list of str
        The names.

    Examples
    --------
    >>> import tinynet
    >>> "Dense" in public_names(tinynet.layers)
    True
    """
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    if hasattr(module, "__path__"):  # a package: all that it imports, except for its files
        kept = {n for n, v in vars(module).items() if hasattr(v, "__path__") or not ismodule(v)}
    else:  # functions such as `get` may be methods of the module's registry
        own = module.__name__
        kept = {
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == own or ismethod(v)
        }
    return sorted(name for name in kept if name[0] != "_")
