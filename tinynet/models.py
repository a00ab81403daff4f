"""Keras' module path for models."""

from tinynet.saving import load_model, model_from_json, save_model
from tinynet.sequential import Model, Sequential

__all__ = ["Model", "Sequential", "load_model", "model_from_json", "save_model"]
