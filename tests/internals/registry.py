"""Names that strings and configurations can refer to."""

from __future__ import annotations

from typing import Any


def names(module: Any) -> list[str]:
    """Return the string identifiers that a module accepts."""
    return [*module._registry.names]


def classes(module: Any) -> list[str]:
    """Return the classes that a configuration can refer to."""
    return sorted(module._registry.classes, key=str.lower)
