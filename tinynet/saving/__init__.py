"""Saving and loading of models and weights, in tinynet's own format and in Keras' formats.

=============== ====================================== ===============================
extension       contents                               read by
=============== ====================================== ===============================
``.tinynet``    whole model, bit-identical             tinynet; arrays: safetensors
``.keras``      whole model, bit-identical             tinynet and Keras 3
``.weights.h5`` weights and optimizer state            tinynet and Keras 3
``.h5``         whole model, legacy format             tinynet and Keras
``.json``       configuration and weights, as text     tinynet
=============== ====================================== ===============================

``.tinynet`` files use the safetensors layout, so ``safetensors.numpy.load_file`` reads their
arrays, such as ``dense/kernel``; see `tinynet_format`. Version 1 files, which were zip archives,
can still be read.

Files may be untrusted: `load_model` does not execute code, import modules or follow links from a
file, and its memory use is proportional to the size of the file.
"""

from tinynet._core import registry
from tinynet._core.registry import *
from tinynet.saving import saving_api
from tinynet.saving.saving_api import *

__all__ = [*registry.__all__, *saving_api.__all__]
