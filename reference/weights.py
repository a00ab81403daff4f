"""Weights and optimizer state as plain lists of arrays, out of Keras and into it.

The lists are the common language of the two libraries: a net's weights are
``[kernel, bias, kernel, bias, ...]``, Adam's state is ``[iteration, m0, v0, m1, v1, ...]`` with one
pair of moments a weight.  All arrays are float32 copies; the iteration is an int64 scalar array.
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
    """Copies of the model's weights, layer after layer."""
    return [np.array(weight) for weight in model.get_weights()]


def set_weights(model: keras.Model, weights: Sequence[npt.ArrayLike]) -> None:
    """Write the weights into the model; ValueError where the number or a shape differs."""
    model.set_weights([np.asarray(weight, dtype=np.float32) for weight in weights])


def get_optimizer_state(optimizer: keras.Optimizer) -> Arrays:
    """Copies of the optimizer's variables in Keras' order, without the learning rate."""
    return [np.array(variable.numpy()) for variable in _state_variables(optimizer)]


def set_optimizer_state(optimizer: keras.Optimizer, state: Sequence[npt.ArrayLike]) -> None:
    """Write a state that `get_optimizer_state` returned into an optimizer that is built."""
    variables = _state_variables(optimizer)
    arrays = [np.asarray(array) for array in state]
    expected = [tuple(variable.shape) for variable in variables]
    received = [array.shape for array in arrays]
    if received != expected:
        raise ValueError(
            f"the optimizer's state must have the shapes {expected}. Received: {received}"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _state_variables(optimizer: keras.Optimizer) -> list[Any]:
    return [variable for variable in optimizer.variables if variable.name != "learning_rate"]
