"""Operations in plain NumPy: each forward function is followed by its backward function.

All functions are stateless. A forward function maps arrays to an array, ``y = f(x)``. Its backward
function applies the chain rule: it takes the upstream gradient ``d_y`` (the gradient of the loss
with respect to y) and returns ``d_x`` (the gradient of the loss with respect to x, in the shape of
x).

``out`` and the gradients of weights, such as ``d_kernel``, are output arrays; if an optional one is
omitted, a new array is created. Functions composed of differentiable operations, such as layer
normalization and hinge losses, are in `layers` and `losses` and need no backward function.

Dimensions: N examples in a mini-batch, D inputs, U units, C classes, P parameters.
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
