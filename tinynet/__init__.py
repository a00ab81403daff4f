"""Dense neural networks on NumPy and Numba with the API of Keras.

``import tinynet as keras`` runs most Keras code for dense networks. The formulas are in
`functional`, and the training loop is in `training`.
"""

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
from tinynet._core.version import __version__ as __version__
from tinynet._core.version import version
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

# isort: split
from tinynet import namespace as namespace  # noqa: E402  # modifies the modules above
