"""Layers, in files named after what they do; `base` defines what a layer is."""

from tinynet.layers import merging, normalization, regularization, shaping
from tinynet.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from tinynet.layers.base import Layer, deserialize, serialize
from tinynet.layers.dense import Dense
from tinynet.layers.embedding import Embedding
from tinynet.layers.lambda_layer import Lambda
from tinynet.layers.merging import *
from tinynet.layers.normalization import *
from tinynet.layers.regularization import *
from tinynet.layers.shaping import *
from tinynet.layers.time_distributed import TimeDistributed
from tinynet.program.symbols import SymbolicTensor

__all__ = ["Activation", "Dense", "ELU", "Embedding", "Lambda", "Layer", "LeakyReLU", "PReLU"]
__all__ += ["ReLU", "Softmax", "SymbolicTensor", "TimeDistributed"]
__all__ += ["deserialize", "serialize"]
__all__ += merging.__all__
__all__ += normalization.__all__
__all__ += regularization.__all__
__all__ += shaping.__all__
