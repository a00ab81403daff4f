"""Did-you-mean suggestions for unknown names and keyword arguments."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Any

from tinynet._core.checks import shorten


def known(kind: str, name: Any, table: Mapping[str, Any]) -> Any:
    """Return the entry of a table with the given name, or raise an error with a suggestion."""
    if isinstance(name, str) and name in table:
        return table[name]
    expected = f"{kind} must be a known name{suggestion(name, table)}"
    raise ValueError(f"{expected}. Received: {kind}={shorten(name)}")


def suggestion(name: Any, table: Iterable[str]) -> str:
    """Return a suggestion and the known names, or only the closest names if there are many.

    If a name has two spellings, only the lowercase spelling is listed.
    """
    names = list(table)
    lower = {n.replace("_", "") for n in names if n == n.lower()}
    listed = [n for n in names if n == n.lower() or n.lower() not in lower]
    are_many = len(listed) > 20
    if are_many:  # hide custom names, which may be of another kind
        listed = [n for n in listed if ">" not in n] or listed
    spelled = {n.lower(): n for n in reversed(listed)}
    given = str(name)[:200].lower()
    close = difflib.get_close_matches(given, spelled)
    close.sort(key=lambda n: sorted(n) != sorted(given))  # transposed letters first
    if given == "lr":  # name of learning_rate until Keras 2.3
        close = [n for n in spelled if n == "learning_rate"]
    hint = f"; did you mean {spelled[close[0]]!r}?" if close else "."
    more = ""
    if are_many:
        nearest = difflib.get_close_matches(given, spelled, 10, cutoff=0)
        more = f" and {len(listed) - len(nearest)} more"
        listed = [spelled[n] for n in nearest]
    return f"{hint} Known: {', '.join(map(repr, listed))}{more}"


def no_more(
    owner: str,
    unknown: Mapping[str, Any],
    taken: Iterable[str],
    error: type[Exception] = ValueError,
) -> None:
    """Raise an error if there are unknown keyword arguments: ValueError for layers, as in Keras."""
    for key, value in unknown.items():
        raise error(
            f"{owner} got an unexpected keyword argument{suggestion(key, taken)}. "
            f"Received: {key[:60]}={shorten(value)}"
        )


def suggest_keywords(items: Iterable[Any]) -> None:
    """Wrap public classes and functions so that misspelled keywords get a suggestion.

    Constructors and public methods are replaced in their classes, and functions in all modules of
    the package that contain them.
    """
    functions: dict[Any, Any] = {}
    done: set[Any] = set()
    for item in items:
        where = getattr(item, "__module__", "").split(".")[1:2]
        if inspect.isfunction(item) and item.__code__.co_argcount and where not in _PER_BATCH:
            functions[item] = _suggesting(item)
        for cls in getattr(item, "__mro__", ())[:-1]:
            if cls in done or not cls.__module__.startswith("tinynet."):
                continue
            done.add(cls)
            for key, method in [*vars(cls).items()]:
                called = key in ("__init__", "__call__", "update_state")
                called = called or (hasattr(cls, "fit") and key[0] != "_" and key not in _LAYERWISE)
                if called and inspect.isfunction(method):
                    setattr(cls, key, _suggesting(method))
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] == "tinynet":
            held = [(key, f) for key, f in vars(module).items() if inspect.isfunction(f)]
            for key, function in held:
                setattr(module, key, functions.get(function, function))


# Modules and methods that are not wrapped, because they are called in every training step.
_PER_BATCH = (["losses"], ["metrics"], ["sparse"])
_LAYERWISE = ("forward", "backward", "compute_output_shape")


def _suggesting(function: Any) -> Any:
    """Wrap a function so that errors about its arguments have did-you-mean suggestions."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError:
            named(function, args, kwargs)
            raise

    named = bound
    # Use the globals of the function, so that doctest finds its examples.
    own = types.FunctionType(
        call.__code__, function.__globals__, function.__name__, None, call.__closure__
    )
    return functools.update_wrapper(own, function)


def bound(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, without defaults; raise TypeError as a call would."""
    signature = inspect.signature(function)
    try:
        return signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        names, title = [*signature.parameters], function.__name__
        if names[:1] == ["self"] and args:
            if title == "__init__" and "kwargs" in names:  # passed to the base class
                bases = type(args[0]).__mro__
                names += [name for base in bases for name in inspect.signature(base).parameters]
            title = type(args[0]).__name__ + ("" if title[0] == "_" else f".{title}")
        names = [name for name in dict.fromkeys(names) if name not in ("self", "args", "kwargs")]
        unknown = {key: value for key, value in kwargs.items() if key not in names}
        no_more(title, unknown, names, TypeError)
        raise TypeError(f"{title}(): {error}. Arguments: {', '.join(map(repr, names))}") from None
