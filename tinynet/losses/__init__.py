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
from tinynet.losses import base, classification, crossentropy, regression
from tinynet.losses.base import *
from tinynet.losses.classification import *
from tinynet.losses.crossentropy import *
from tinynet.losses.regression import *

__all__ = ["numeric"]
__all__ += base.__all__
__all__ += classification.__all__
__all__ += crossentropy.__all__
__all__ += regression.__all__
