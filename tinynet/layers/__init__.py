"""Layers: the building blocks of a network, each with its own weights."""

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
from tinynet.program.symbols import SymbolicTensor as SymbolicTensor
