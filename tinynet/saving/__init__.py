"""Models and weights in files: tinynet's own format, and Keras' formats in both directions.

=============== ====================================== =============================
ending          what it holds                          who reads it
=============== ====================================== =============================
``.tinynet``    everything, to the last bit            tinynet
``.keras``      everything, to the last bit            tinynet and Keras 3
``.weights.h5`` weights, and the optimizer's state     tinynet and Keras 3
``.h5``         the model as older programs know it    tinynet and Keras
=============== ====================================== =============================

A file may come from a stranger: `load_model` runs nothing, imports nothing and follows nothing
that it finds there, and takes no more memory than the file is long, by a constant factor.
"""

from tinynet import registry
from tinynet.registry import *
from tinynet.saving import api
from tinynet.saving.api import *

__all__: list[str] = []
__all__ += registry.__all__
__all__ += api.__all__
