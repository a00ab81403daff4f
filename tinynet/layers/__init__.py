"""Layers, one file a concept; `base` says what a layer is."""

from tinynet.layers.activation import Activation, LeakyReLU, ReLU, Softmax
from tinynet.layers.base import Layer, deserialize, serialize
from tinynet.layers.dense import Dense
from tinynet.layers.embedding import Embedding
from tinynet.layers.gaussian_noise import GaussianDropout, GaussianNoise
from tinynet.layers.layer_normalization import LayerNormalization, UnitNormalization
from tinynet.layers.normalization import BatchNormalization
from tinynet.layers.prelu import ELU, PReLU
from tinynet.layers.preprocessing import Normalization
from tinynet.layers.regularization import Dropout
from tinynet.layers.reshaping import Permute, RepeatVector
from tinynet.layers.shaping import Flatten, Input, InputLayer, Rescaling, Reshape
from tinynet.layers.symbolic import SymbolicTensor
from tinynet.layers.time_distributed import TimeDistributed

__all__ = [
    "Activation",
    "ELU",
    "Embedding",
    "GaussianDropout",
    "GaussianNoise",
    "LayerNormalization",
    "Normalization",
    "PReLU",
    "Permute",
    "RepeatVector",
    "TimeDistributed",
    "UnitNormalization",
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
