"""Layers, one file a concept; `base` says what a layer is."""

from tinynet.layers.activation import Activation, LeakyReLU, ReLU, Softmax
from tinynet.layers.base import Layer, deserialize, serialize
from tinynet.layers.dense import Dense
from tinynet.layers.normalization import BatchNormalization
from tinynet.layers.regularization import Dropout
from tinynet.layers.shaping import Flatten, Input, InputLayer, Rescaling, Reshape
from tinynet.program.symbols import SymbolicTensor

__all__ = [
    "Activation",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Softmax",
    "SymbolicTensor",
    "deserialize",
    "serialize",
]
