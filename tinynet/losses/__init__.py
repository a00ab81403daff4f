"""Losses: one number for how wrong predictions are, and its gradient.

A loss computes one value for each example, and reduces them to their mean. `call` computes the
values; `backward` computes the gradient with respect to the predictions from those with respect to
the values.

**From logits.** A cross-entropy of a softmax is computed from the softmax's input, which is
exact where the probabilities have rounded to 0 or 1. Where a model ends in a softmax, training
and evaluation do so automatically, as Keras on TensorFlow does; a loss that is given
probabilities as data clips them instead.
"""

from tinynet._core.checks import numeric
from tinynet.losses import (
    focal_losses,
    function_loss,
    hinge_losses,
    loss,
    probabilistic_losses,
    regression_losses,
)
from tinynet.losses.focal_losses import *
from tinynet.losses.function_loss import *
from tinynet.losses.hinge_losses import *
from tinynet.losses.loss import *
from tinynet.losses.probabilistic_losses import *
from tinynet.losses.regression_losses import *

__all__ = ["numeric"]
__all__ += [
    *focal_losses.__all__,
    *function_loss.__all__,
    *hinge_losses.__all__,
    *loss.__all__,
    *probabilistic_losses.__all__,
    *regression_losses.__all__,
]
