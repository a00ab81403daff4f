"""Losses: one number for how wrong predictions are, and its gradient.

A loss computes one value for each example, and reduces them to their mean. `call` computes the
values; `backward` computes the gradient with respect to the predictions from those with respect to
the values.

**From logits.** A cross-entropy of a softmax is computed from the softmax's input, which is
exact where the probabilities have rounded to 0 or 1. Where a model ends in a softmax, training
and evaluation do so automatically, as Keras on TensorFlow does; a loss that is given
probabilities as data clips them instead.
"""

from tinynet.checks import numeric
from tinynet.losses import base, crossentropy, focal, regression
from tinynet.losses import hinge as _hinge  # whose name is that of a loss, too
from tinynet.losses.base import *
from tinynet.losses.crossentropy import *
from tinynet.losses.focal import *
from tinynet.losses.hinge import *
from tinynet.losses.regression import *

__all__ = ["numeric"]
__all__ += base.__all__
__all__ += crossentropy.__all__
__all__ += focal.__all__
__all__ += _hinge.__all__
__all__ += regression.__all__


class Reduction:
    """Names of the ways to reduce the values of a loss, as `tf.keras.losses.Reduction` has them.

    Examples
    --------
    >>> MeanSquaredError(Reduction.SUM)([[0.0], [0.0]], [[1.0], [2.0]]).numpy()
    np.float32(5.0)
    """

    AUTO, NONE, SUM, SUM_OVER_BATCH_SIZE = "auto", "none", "sum", "sum_over_batch_size"


#: The functions by all of their names, among them the short ones, such as ``mse``.
FUNCTIONS = {k: v for k, v in base._registry.names.items() if isinstance(v, base.LossFunction)}
globals().update(FUNCTIONS)
