"""Models and weights in files: tinynet's own format, and Keras' formats in both directions.

=============== ====================================== ===============================
ending          contents                               read by
=============== ====================================== ===============================
``.tinynet``    everything, bit-identical              tinynet; arrays: safetensors
``.keras``      everything, bit-identical              tinynet and Keras 3
``.weights.h5`` weights, and the optimizer's state     tinynet and Keras 3
``.h5``         the model in an older format           tinynet and Keras
=============== ====================================== ===============================

``.tinynet`` has the layout of safetensors, so other tools read its arrays: ``dense/kernel`` and so
on by `safetensors.numpy.load_file`. `tinynet_format` describes it. Files of version 1, which were
zip archives, are still read.

A file may be untrusted: `load_model` runs nothing, imports nothing and follows no link in it, and
the memory that it uses is proportional to the size of the file.
"""

from tinynet._core import registry
from tinynet._core.registry import *
from tinynet.saving import saving_api
from tinynet.saving.saving_api import *

__all__ = [*registry.__all__, *saving_api.__all__]
