"""Nested lists, tuples and dicts of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_NESTED = (list, tuple, dict)


def _keys(nested: dict[Any, Any]) -> list[Any]:
    """Return keys in the order of Keras: sorted."""
    return sorted(nested) if all(isinstance(key, str) for key in nested) else [*nested]


def flattened(nested: Any) -> list[Any]:
    """Return the leaves of nested lists, tuples and dicts, in order; of dicts, sorted by key.

    Parameters
    ----------
    nested : object
        A leaf, or a list, tuple or dict of nested objects.

    Returns
    -------
    list
        The leaves.

    Examples
    --------
    >>> flattened({"a": 1, "b": [2, (3,)]})
    [1, 2, 3]
    """
    if not isinstance(nested, _NESTED):
        return [nested]
    if isinstance(nested, dict):
        nested = [nested[key] for key in _keys(nested)]
    return [leaf for item in nested for leaf in flattened(item)]


def mapped(function: Callable[[Any], Any], nested: Any) -> Any:
    """Apply a function to every leaf of nested lists, tuples and dicts.

    Parameters
    ----------
    function : callable
        The function.
    nested : object
        A leaf, or a list, tuple or dict of nested objects.

    Returns
    -------
    object
        The results, structured in the same way.

    Examples
    --------
    >>> mapped(lambda n: n + 1, {"a": 1, "b": [2, (3,)]})
    {'a': 2, 'b': [3, (4,)]}
    """
    if isinstance(nested, dict):
        results = {key: mapped(function, nested[key]) for key in _keys(nested)}
        return {key: results[key] for key in nested}
    if isinstance(nested, list | tuple):
        items = [mapped(function, item) for item in nested]
        return type(nested)(*items) if hasattr(nested, "_fields") else type(nested)(items)
    return function(nested)
