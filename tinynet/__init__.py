"""A neural network for handwritten digits, from scratch, with Keras' names.

``import tinynet as keras`` reads like Keras. The maths is in `functional`, the training
loop in `training`, and the rest is named after what it holds.
"""

import sys

from tinynet import (
    activations,
    backend,
    callbacks,
    config,
    constraints,
    datasets,
    explain,
    functional,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    random,
    regularizers,
    saving,
    sparse,
    utils,
    visualize,
)
from tinynet._core import checks, keras_names
from tinynet._core.version import __version__ as __version__
from tinynet.export.onnx import export_onnx
from tinynet.initializers import Initializer
from tinynet.layers import Input, Layer
from tinynet.losses import Loss
from tinynet.metrics import Metric
from tinynet.models.model import Model
from tinynet.models.sequential import Sequential
from tinynet.optimizers import Optimizer
from tinynet.program import GradientTape, value_and_gradients
from tinynet.program.symbols import SymbolicTensor as KerasTensor
from tinynet.program.variable import Variable
from tinynet.regularizers import Regularizer
from tinynet.repeats import repeat

__all__ = ["GradientTape", "Initializer", "Input", "KerasTensor", "Layer", "Loss", "Metric"]
__all__ += ["Model", "Optimizer", "Regularizer", "Sequential", "Variable"]
__all__ += ["activations", "backend", "callbacks", "config", "constraints", "datasets", "explain"]
__all__ += ["export_onnx", "functional", "initializers", "layers", "losses", "metrics", "models"]
__all__ += ["ops", "optimizers", "random", "regularizers", "repeat", "saving", "sparse", "utils"]
__all__ += ["value_and_gradients", "version", "visualize"]


def version() -> str:
    """Return tinynet's version, as Keras' function of that name does.

    Returns
    -------
    str
        For example ``"0.1.0"``.

    Examples
    --------
    >>> version() == __version__
    True
    """
    return __version__


_parts = ["", "optimizers.schedules", *__all__, *(f"datasets.{name}" for name in datasets.__all__)]
checks.suggest_keywords(
    getattr(sys.modules[path], name)
    for path in (f"{__name__}.{part}".rstrip(".") for part in _parts)
    # The functions of `functional` are called in every step; operations have signatures.
    if path in sys.modules and path not in (f"{__name__}.functional", f"{__name__}.ops")
    for name in keras_names.public_names(sys.modules[path])
)
keras_names.install(sys.modules[__name__], lazy=("compat", "demo", "sklearn"))
