"""Models: graphs of layers that can be trained, saved and loaded. The API follows Keras."""

from tinynet.models.cloning import clone_model
from tinynet.models.model import Model
from tinynet.models.sequential import Sequential
from tinynet.saving import load_model, model_from_json, save_model

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]
