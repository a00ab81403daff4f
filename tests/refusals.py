"""Everything that is refused: what is tried, the error, and what its message says.

What is tried is a function. It may take `model`, a compiled and trained `tests.models.classifier`
of which nothing may change, and `tmp_path`, an empty folder. `test_refusals` tries every row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinynet  # noqa: F401
from tinynet import callbacks, layers, losses, metrics, optimizers  # noqa: F401

Rows = dict[str, tuple[Callable[..., Any], type[Exception] | tuple[type[Exception], ...], str]]

# ------------------------------------------------------------ layers, initializers, regularizers
LAYERS: Rows = {
    "Dense of no units": (lambda: layers.Dense(0), ValueError, "units must be .*Received: "),
}

# ------------------------------------------------------------ losses and metrics
LOSSES_AND_METRICS: Rows = {}

# ------------------------------------------------------------ optimizers and callbacks
OPTIMIZERS_AND_CALLBACKS: Rows = {}

# ------------------------------------------------------------ compile, fit, evaluate, predict
TRAINING: Rows = {
    "labels one shorter": (
        lambda model: model.fit(np.ones((3, 4)), np.ones(2), verbose=0),
        ValueError,
        "same length.*Received: ",
    ),
}

# ------------------------------------------------------------ models and their files
MODELS_AND_FILES: Rows = {}

# ------------------------------------------------------------ operations, tape, variables, random
OPERATIONS: Rows = {}

# ------------------------------------------------------------ data, datasets and their files
DATA: Rows = {}

# ------------------------------------------------------------ config, utils, the command line
SETTINGS: Rows = {}

# ------------------------------------------------------------ explain, visualize, export, sklearn
EXTRAS: Rows = {}

SECTIONS = [
    *(LAYERS, LOSSES_AND_METRICS, OPTIMIZERS_AND_CALLBACKS, TRAINING, MODELS_AND_FILES),
    *(OPERATIONS, DATA, SETTINGS, EXTRAS),
]
REFUSALS: Rows = {name: row for section in SECTIONS for name, row in section.items()}
