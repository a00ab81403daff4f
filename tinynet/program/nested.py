"""Nested lists, tuples and dicts of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_NESTED = (list, tuple, dict)


def _keys(nested: dict[Any, Any]) -> list[Any]:
    """Return the keys in Keras' order: sorted, if all are strings."""
    return sorted(nested) if all(isinstance(key, str) for key in nested) else [*nested]


def flattened(nested: Any) -> list[Any]:
    """Return the leaves of nested lists, tuples and dicts (sorted by key) in order."""
    if not isinstance(nested, _NESTED):
        return [nested]
    if isinstance(nested, dict):
        nested = [nested[key] for key in _keys(nested)]
    return [leaf for item in nested for leaf in flattened(item)]


def mapped(function: Callable[[Any], Any], nested: Any) -> Any:
    """Apply a function to each leaf; return the results in the same structure."""
    if isinstance(nested, dict):
        results = {key: mapped(function, nested[key]) for key in _keys(nested)}
        return {key: results[key] for key in nested}
    if isinstance(nested, list | tuple):
        items = [mapped(function, item) for item in nested]
        return type(nested)(*items) if hasattr(nested, "_fields") else type(nested)(items)
    return function(nested)
