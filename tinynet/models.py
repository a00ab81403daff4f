"""Keras' module path for models."""

from tinynet.sequential import Model, Sequential

__all__ = ["Model", "Sequential"]
