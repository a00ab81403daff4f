"""Losses: one number for how wrong predictions are, and its gradient.

A loss computes one value for each example, and reduces them to their mean. `call` computes the
values; `backward` computes the gradient with respect to the predictions from those with respect to
the values.

**From logits.** A cross-entropy of a softmax is computed from the softmax's input, which is
exact where the probabilities have rounded to 0 or 1. Where a model ends in a softmax, training
and evaluation do so automatically, as Keras on TensorFlow does; a loss that is given
probabilities as data clips them instead.
"""

from tinynet._core.checks import numeric as numeric
from tinynet.losses.focal_losses import *
from tinynet.losses.function_loss import *
from tinynet.losses.hinge_losses import *
from tinynet.losses.loss import *
from tinynet.losses.loss_functions import *
from tinynet.losses.probabilistic_losses import *
from tinynet.losses.regression_losses import *
