"""Layers: the parts of a network, each with its weights."""

from tinynet.layers import (
    activation,
    activity_regularization,
    batch_normalization,
    dense,
    dropout,
    elu,
    embedding,
    flatten,
    gaussian_dropout,
    gaussian_noise,
    input_layer,
    lambda_layer,
    layer,
    layer_normalization,
    leaky_relu,
    merging,
    normalization,
    permute,
    prelu,
    relu,
    repeat_vector,
    rescaling,
    reshape,
    softmax,
    time_distributed,
    unit_normalization,
)
from tinynet.layers.activation import *
from tinynet.layers.activity_regularization import *
from tinynet.layers.batch_normalization import *
from tinynet.layers.dense import *
from tinynet.layers.dropout import *
from tinynet.layers.elu import *
from tinynet.layers.embedding import *
from tinynet.layers.flatten import *
from tinynet.layers.gaussian_dropout import *
from tinynet.layers.gaussian_noise import *
from tinynet.layers.input_layer import *
from tinynet.layers.lambda_layer import *
from tinynet.layers.layer import *
from tinynet.layers.layer_normalization import *
from tinynet.layers.leaky_relu import *
from tinynet.layers.merging import *
from tinynet.layers.normalization import *
from tinynet.layers.permute import *
from tinynet.layers.prelu import *
from tinynet.layers.relu import *
from tinynet.layers.repeat_vector import *
from tinynet.layers.rescaling import *
from tinynet.layers.reshape import *
from tinynet.layers.softmax import *
from tinynet.layers.time_distributed import *
from tinynet.layers.unit_normalization import *
from tinynet.program.symbols import SymbolicTensor

__all__ = ["SymbolicTensor"]
__all__ += [
    *activation.__all__,
    *activity_regularization.__all__,
    *batch_normalization.__all__,
    *dense.__all__,
    *dropout.__all__,
    *elu.__all__,
    *embedding.__all__,
    *flatten.__all__,
    *gaussian_dropout.__all__,
    *gaussian_noise.__all__,
    *input_layer.__all__,
    *lambda_layer.__all__,
    *layer.__all__,
    *layer_normalization.__all__,
    *leaky_relu.__all__,
    *merging.__all__,
    *normalization.__all__,
    *permute.__all__,
    *prelu.__all__,
    *relu.__all__,
    *repeat_vector.__all__,
    *rescaling.__all__,
    *reshape.__all__,
    *softmax.__all__,
    *time_distributed.__all__,
    *unit_normalization.__all__,
]
