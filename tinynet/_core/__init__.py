"""Code shared by all subpackages: validation, names, buffers and text."""

from tinynet._core.arguments import argument, declared, found, required
from tinynet._core.registry import Configurable, Registry, snake_case

__all__ = ["Configurable", "Registry", "argument", "declared", "found", "required", "snake_case"]
