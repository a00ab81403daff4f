"""The public names of each module, and an error for names that only Keras has."""

from __future__ import annotations

import difflib
import functools
import importlib
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any

_TABLE = Path(__file__).with_name("keras_only.txt").read_text(encoding="utf-8")
#: By module path below `keras`, the names that only Keras has.
KERAS_ONLY = dict(re.findall(r"^(?:keras\.?)?(\S*):(.*(?:\n .*)*)", _TABLE, re.MULTILINE))
# Of these names, the modules, which programs import from.
MODULES = KERAS_ONLY.pop("modules").split()


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
    NotImplementedError: tinynet has no layers.Conv2D: it is a library of dense nets. There are: \
Dense, Flatten. Received: layers.Conv2D
    """
    missing = frozenset(KERAS_ONLY.get(path, "").split())
    listed = sorted(supported)

    def missing_name(name: str) -> Any:
        full = f"{path}.{name}" if path else name
        if name in missing:
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
        f"tinynet has no {full}: it is a library of dense nets. "
        f"There are: {', '.join(listed)}. Received: {full}"
    )


class _Absent(ModuleType):
    """Replacement for a module that only Keras has: importing from it is refused."""

    listed: list[str]

    def __getattr__(self, name: str) -> Any:
        # Submodules are searched in __path__; tools look up other such names.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        raise _refusal(self.__name__.partition(".")[2], self.listed)


def install(package: ModuleType, lazy: Iterable[str] = ()) -> None:
    """Limit `dir` of each module to its public names, and refuse names that only Keras has.

    Parameters
    ----------
    package : module
        The package, with the modules that `KERAS_ONLY` names imported.
    lazy : iterable of str
        Public submodules to import when they are first used.

    Examples
    --------
    >>> import tinynet
    >>> tinynet.callbacks.RemoteMonitor  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    NotImplementedError: tinynet has no callbacks.RemoteMonitor: it is a library of dense nets. \
There are: ... Received: callbacks.RemoteMonitor
    """
    public: dict[str, list[str]] = {}
    for path in KERAS_ONLY:
        module = sys.modules[f"{package.__name__}.{path}".rstrip(".")]
        public[path] = public_names(module)
        vars(module)["__getattr__"] = guard(path, public[path], () if path else lazy)
    for path in [*KERAS_ONLY, *public[""]]:
        if listed := sys.modules.get(f"{package.__name__}.{path}".rstrip(".")):
            special = {name for name in vars(listed) if name[:2] == "__"}
            shown = {*public_names(listed), *special, *(() if path else lazy)}
            vars(listed)["__dir__"] = functools.partial(sorted, shown)
    for path in MODULES:
        absent = _Absent(f"{package.__name__}.{path}")
        absent.listed = public[path.rpartition(".")[0]]
        sys.modules[absent.__name__] = absent


def public_names(module: ModuleType) -> list[str]:
    """List the public names of a module: its ``__all__``, or the names defined in it.

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
    own = {
        name
        for name, value in vars(module).items()
        # Functions such as `get` may be methods of the module's registry.
        if getattr(value, "__module__", "") == module.__name__ or isinstance(value, MethodType)
    }
    return sorted(getattr(module, "__all__", {n for n in own if not n.startswith("_")}))
