"""What strings and configurations can name."""

from __future__ import annotations

from typing import Any


def names(module: Any) -> list[str]:
    """List the strings that stand for something in a module."""
    return [*module._registry.names]


def classes(module: Any) -> list[str]:
    """List the classes that a configuration can name."""
    return sorted(module._registry.classes, key=str.lower)
