"""The names that users see: what `dir` shows, beginning at tinynet."""

from __future__ import annotations

import functools
import inspect
from types import ModuleType
from typing import Any

import tinynet


@functools.cache
def find_modules() -> dict[str, ModuleType]:
    """Return the public modules by their shortest path."""
    found, paths = {"tinynet": tinynet}, ["tinynet"]
    for path in paths:
        for name in names_of(found[path]):
            value = getattr(found[path], name)
            if inspect.ismodule(value) and value not in found.values():
                found[f"{path}.{name}"] = value
                paths.append(f"{path}.{name}")
    return found


def names_of(module: ModuleType) -> list[str]:
    """Return the names that a module shows."""
    return [name for name in dir(module) if not name.startswith("_")]


@functools.cache
def find_names() -> dict[str, Any]:
    """Return functions, classes, operations and constants by path, those of TensorFlow left out."""
    return {
        f"{path}.{name}": getattr(module, name)
        for path, module in find_modules().items()
        if path != "tinynet.compat.tensorflow"
        for name in names_of(module)
        if not inspect.ismodule(getattr(module, name))
    }
