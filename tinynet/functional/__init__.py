"""The maths: formulas, forward next to backward, in plain NumPy.

Nothing here has state. A forward function takes arrays and returns an array. Its backward
function takes ``d_y``, the upstream gradient (that of the loss with respect to the forward
function's result), and returns ``d_x``, the gradient with respect to the input, which has ``x``'s
shape: the chain rule, one link at a time.

Layers, activations and optimizers can write into an array that the caller passes as the last
argument (``out`` or the name of the gradient); by default they create one. What is composed of
operations, such as layer normalization and hinge losses, is in `layers` and `losses`: the program
differentiates it.

Dimensions: N examples in a batch, D inputs, U units, C classes, P parameters.
"""

from tinynet.functional import (
    activations,
    arithmetic,
    arrays,
    csr,
    dense_layer,
    dense_network,
    losses,
    metrics,
    normalization,
    optimizers,
    products,
    reductions,
    shaping,
)
from tinynet.functional.activations import *
from tinynet.functional.arrays import *
from tinynet.functional.csr import *
from tinynet.functional.dense_layer import *
from tinynet.functional.dense_network import *
from tinynet.functional.losses import *
from tinynet.functional.metrics import *
from tinynet.functional.normalization import *
from tinynet.functional.optimizers import *

__all__ = ["arithmetic", "products", "reductions", "shaping"]
__all__ += [
    *activations.__all__,
    *arrays.__all__,
    *csr.__all__,
    *dense_layer.__all__,
    *dense_network.__all__,
    *losses.__all__,
    *metrics.__all__,
    *normalization.__all__,
    *optimizers.__all__,
]
