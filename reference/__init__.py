"""The same net in Keras, standing beside tinynet.

This folder answers one question: does tinynet compute what Keras computes?  It imports no
tinynet, so it cannot inherit tinynet's mistakes; the tests join the two.  Start with
``__main__.py``, the seed program; ``keras_net.py`` opens it up step by step, ``weights.py`` moves
weights in and out, and ``golden.py`` writes Keras' answers to small files.

Importing this package pins Keras to TensorFlow: other backends compute the cross-entropy of a
softmax from clipped probabilities and give different figures.  Nothing heavy is imported here.
"""

from __future__ import annotations

import os

# Keras and TensorFlow read these once, when they are first imported.
os.environ["KERAS_BACKEND"] = "tensorflow"
for _name, _value in {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # level 2 still reports a missing graphics card as an error
    "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN rounds differently from processor to processor
    "TF_NUM_INTRAOP_THREADS": "1",  # for a net this small further threads cost more than they do
    "TF_NUM_INTEROP_THREADS": "1",
}.items():
    os.environ.setdefault(_name, _value)
