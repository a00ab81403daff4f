"""Layers, one file a concept; `base` says what a layer is."""

from tinynet.layers.activation import Activation, LeakyReLU, ReLU, Softmax
from tinynet.layers.base import Layer, deserialize, serialize
from tinynet.layers.dense import Dense
from tinynet.layers.embedding import Embedding
from tinynet.layers.gaussian_noise import GaussianDropout, GaussianNoise
from tinynet.layers.lambda_layer import Lambda
from tinynet.layers.layer_normalization import LayerNormalization, UnitNormalization
from tinynet.layers.merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from tinynet.layers.normalization import BatchNormalization
from tinynet.layers.prelu import ELU, PReLU
from tinynet.layers.preprocessing import Normalization
from tinynet.layers.regularization import ActivityRegularization, Dropout
from tinynet.layers.reshaping import Permute, RepeatVector
from tinynet.layers.shaping import Flatten, Input, InputLayer, Rescaling, Reshape
from tinynet.layers.time_distributed import TimeDistributed
from tinynet.program.symbols import SymbolicTensor

__all__ = [
    "Activation",
    "ActivityRegularization",
    "Add",
    "Average",
    "BatchNormalization",
    "Concatenate",
    "Dense",
    "Dot",
    "Dropout",
    "ELU",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Softmax",
    "Subtract",
    "SymbolicTensor",
    "TimeDistributed",
    "UnitNormalization",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
]
