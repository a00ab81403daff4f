"""Layers, in files named after what they do; `base` defines what a layer is."""

from tinynet.layers import merging
from tinynet.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from tinynet.layers.base import Layer, deserialize, serialize
from tinynet.layers.dense import Dense
from tinynet.layers.embedding import Embedding
from tinynet.layers.lambda_layer import Lambda
from tinynet.layers.merging import *
from tinynet.layers.normalization import (
    BatchNormalization,
    LayerNormalization,
    Normalization,
    UnitNormalization,
)
from tinynet.layers.regularization import (
    ActivityRegularization,
    Dropout,
    GaussianDropout,
    GaussianNoise,
)
from tinynet.layers.shaping import (
    Flatten,
    Input,
    InputLayer,
    Permute,
    RepeatVector,
    Rescaling,
    Reshape,
)
from tinynet.layers.time_distributed import TimeDistributed
from tinynet.program.symbols import SymbolicTensor

__all__ = ["Activation", "ActivityRegularization", "BatchNormalization", "Dense", "Dropout", "ELU"]
__all__ += ["Embedding", "Flatten", "GaussianDropout", "GaussianNoise", "Input", "InputLayer"]
__all__ += ["Lambda", "Layer", "LayerNormalization", "LeakyReLU", "Normalization", "PReLU"]
__all__ += ["Permute", "ReLU", "RepeatVector", "Rescaling", "Reshape", "Softmax", "SymbolicTensor"]
__all__ += ["TimeDistributed", "UnitNormalization"]
__all__ += ["deserialize", "serialize"]
__all__ += merging.__all__
