"""Access to the weights and the optimizer state of Keras models, as lists of arrays.

Both libraries use the same order: weights are ``[kernel, bias, kernel, bias, ...]``, and the state
of Adam is ``[iteration, m0, v0, m1, v1, ...]`` with a pair of moment estimates for each weight. All
arrays are float32 copies; the iteration is an int64 scalar array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras

Arrays = list[npt.NDArray[Any]]


def get_weights(model: keras.Model) -> Arrays:
    """Return copies of the weights of a model, in the order of the layers."""
    return [np.array(weight) for weight in model.get_weights()]


def set_weights(model: keras.Model, weights: Sequence[npt.ArrayLike]) -> None:
    """Set the weights of a model; raise a ValueError if their number or a shape differs."""
    model.set_weights([np.asarray(weight, dtype=np.float32) for weight in weights])


def get_optimizer_state(optimizer: keras.Optimizer) -> Arrays:
    """Return copies of the optimizer variables in the order of Keras, without the learning rate."""
    return [np.array(variable.numpy()) for variable in _state_variables(optimizer)]


def set_optimizer_state(optimizer: keras.Optimizer, state: Sequence[npt.ArrayLike]) -> None:
    """Set the variables of a built optimizer to a state returned by `get_optimizer_state`."""
    variables = _state_variables(optimizer)
    arrays = [np.asarray(array) for array in state]
    expected = [tuple(variable.shape) for variable in variables]
    received = [array.shape for array in arrays]
    if received != expected:
        raise ValueError(
            f"state must contain arrays of shapes {expected}. Received: shapes {received}"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _state_variables(optimizer: keras.Optimizer) -> list[Any]:
    return [variable for variable in optimizer.variables if variable.name != "learning_rate"]
