"""Losses: scalar measures of the error of predictions, and their gradients.

A loss computes one value for each example, and reduces the values, by default to their mean. `call`
computes the values; `backward` computes the gradient with respect to the predictions from the
gradient with respect to the values.

**From logits.** The cross-entropy of a softmax is computed from the logits, the input of the
softmax. This is accurate even where the probabilities are rounded to 0 or 1. If a model ends with a
softmax, training and evaluation do this automatically, as Keras does with TensorFlow. If a loss is
called on probabilities, it clips them instead.
"""

from tinynet._core.checks import numeric as numeric
from tinynet.losses.focal_losses import *
from tinynet.losses.function_loss import *
from tinynet.losses.hinge_losses import *
from tinynet.losses.loss import *
from tinynet.losses.loss_functions import *
from tinynet.losses.probabilistic_losses import *
from tinynet.losses.regression_losses import *
