"""Layers, one file a concept; `base` says what a layer is."""

from tinynet.layers import merging
from tinynet.layers.activation import Activation, LeakyReLU, ReLU, Softmax
from tinynet.layers.base import Layer, deserialize, serialize
from tinynet.layers.dense import Dense
from tinynet.layers.embedding import Embedding
from tinynet.layers.gaussian_noise import GaussianDropout, GaussianNoise
from tinynet.layers.lambda_layer import Lambda
from tinynet.layers.layer_normalization import LayerNormalization, UnitNormalization
from tinynet.layers.merging import *
from tinynet.layers.normalization import BatchNormalization
from tinynet.layers.prelu import ELU, PReLU
from tinynet.layers.preprocessing import Normalization
from tinynet.layers.regularization import ActivityRegularization, Dropout
from tinynet.layers.reshaping import Permute, RepeatVector
from tinynet.layers.shaping import Flatten, Input, InputLayer, Rescaling, Reshape
from tinynet.layers.time_distributed import TimeDistributed
from tinynet.program.symbols import SymbolicTensor

__all__ = ["Activation", "ActivityRegularization", "BatchNormalization", "Dense", "Dropout", "ELU"]
__all__ += ["Embedding", "Flatten", "GaussianDropout", "GaussianNoise", "Input", "InputLayer"]
__all__ += ["Lambda", "Layer", "LayerNormalization", "LeakyReLU", "Normalization", "PReLU"]
__all__ += ["Permute", "ReLU", "RepeatVector", "Rescaling", "Reshape", "Softmax", "SymbolicTensor"]
__all__ += ["TimeDistributed", "UnitNormalization"]
__all__ += ["deserialize", "serialize"]
__all__ += merging.__all__
