"""Losses: how wrong the predictions are, in one number, and which way is less wrong.

A loss computes one value for each example, and reduces them to their mean. `call` computes the
values; `backward` takes the gradient in each of them to the gradient in the predictions.

**From logits.** A cross-entropy of a softmax is computed from the softmax's input, which is
exact where the probabilities have rounded to 0 or 1. Where a model ends in a softmax, training
and evaluation do so by themselves, as Keras on TensorFlow does; a loss that is given
probabilities as data clips them instead.
"""

from tinynet.checks import numeric
from tinynet.losses import base, crossentropy, focal, regression
from tinynet.losses import hinge as _hinge
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
