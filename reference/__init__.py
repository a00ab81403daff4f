"""Reference implementation of the 784-128-10 network in Keras, used to test tinynet.

This package does not import tinynet, so it cannot inherit tinynet's mistakes; the tests compare the
two. ``__main__.py`` is the complete training program, ``keras_net.py`` exposes its individual
steps, ``weights.py`` gets and sets weights, and ``golden.py`` writes results of Keras to files.

Importing this package sets the Keras backend to TensorFlow: other backends compute the
cross-entropy of a softmax from clipped probabilities, with different results. TensorFlow and Keras
are not imported here.
"""

from __future__ import annotations

import os

# Keras and TensorFlow read these variables when they are imported.
os.environ["KERAS_BACKEND"] = "tensorflow"
for _name, _value in {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # level 2 still logs a missing GPU as an error
    "TF_ENABLE_ONEDNN_OPTS": "0",  # with oneDNN, rounding depends on the processor
    "TF_NUM_INTRAOP_THREADS": "1",  # more threads are slower for such a small network
    "TF_NUM_INTEROP_THREADS": "1",
}.items():
    os.environ.setdefault(_name, _value)
