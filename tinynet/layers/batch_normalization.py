"""Batch normalization."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import constraints, initializers, regularizers
from tinynet._core import argument, checks, declared, found
from tinynet.layers.layer import Layer, _registry
from tinynet.program import TABLE, Shape, Variable
from tinynet.program.layer_operations import BATCH_NORMALIZATION, NORMALIZED

__all__ = ["BatchNormalization"]


def _axis(name: str, axis: Any) -> Any:
    """Validate an axis, or a list of axes."""
    if isinstance(axis, list | tuple):
        return [checks.whole(name, each, -64) for each in axis]
    return checks.whole(name, axis, -64)


def _only_axis(name: str, axis: Any) -> int:
    """Validate an axis, or a list of one axis."""
    alone = isinstance(axis, list | tuple) and len(axis) == 1
    return checks.whole(name, axis[0] if alone else axis, -64)


@declared(_registry)
class BatchNormalization(Layer):
    """Batch normalization: normalize each feature over the mini-batch, then scale and shift it.

    ``y = (x - mean) / sqrt(variance + epsilon) * gamma + beta``. During training, the mean and the
    variance are computed from the mini-batch, and their moving averages are updated. During
    inference, or if the layer is frozen (``trainable=False``), the moving averages are used
    instead. Ioffe and Szegedy, "Batch normalization" (2015).

    Parameters
    ----------
    axis : int
        Axis of the features.
    momentum : float
        Decay rate of the moving averages.
    epsilon : float
        Small constant added to the variance, to avoid division by zero.
    center : bool
        If True, add the trainable offset `beta`.
    scale : bool
        If True, multiply by the trainable scale `gamma`.
    beta_initializer, gamma_initializer : str or Initializer
        Initializers of `beta` and `gamma`.
    moving_mean_initializer, moving_variance_initializer : str or Initializer
        Initializers of the moving averages.
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Regularizers of `beta` and `gamma`.
    beta_constraint, gamma_constraint : str or Constraint, optional
        Constraints on `beta` and `gamma`.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    The first feature has mean 1 and variance 1: ``(0 - 1) / sqrt(1 + 0.001) = -0.9995``.

    >>> BatchNormalization()([[0.0, 4.0], [2.0, 8.0]], training=True).numpy().round(4)
    array([[-0.9995, -0.9999],
           [ 0.9995,  0.9999]], dtype=float32)
    """

    axis: Any = argument(-1, _only_axis)
    momentum: float = argument(0.99, checks.number, 0, 1)
    epsilon: float = argument(1e-3, checks.number, 0)
    center: bool = argument(True, checks.flag)
    scale: bool = argument(True, checks.flag)
    beta_initializer: Any = found("zeros", initializers.get)
    gamma_initializer: Any = found("ones", initializers.get)
    moving_mean_initializer: Any = found("zeros", initializers.get)
    moving_variance_initializer: Any = found("ones", initializers.get)
    beta_regularizer: Any = found(None, regularizers.get)
    gamma_regularizer: Any = found(None, regularizers.get)
    beta_constraint: Any = found(None, constraints.get)
    gamma_constraint: Any = found(None, constraints.get)

    def __complete(self) -> None:
        self.gamma: Variable | None = None
        self.beta: Variable | None = None
        self.moving_mean: Variable
        self.moving_variance: Variable

    def _features(self, input_shape: Shape) -> int:
        size = None
        if -len(input_shape) <= self.axis < len(input_shape) and len(input_shape) >= 2:
            size = input_shape[self.axis]
        if size is None or (self.built and size != self.moving_mean.size):
            expected = f"size {self.moving_mean.size}" if self.built else "a known size"
            raise ValueError(
                f"Inputs of {self.name} must have at least 2 dimensions and {expected} along axis "
                f"{self.axis}. Received: an input of shape {tuple(input_shape)}"
            )
        return size

    def build(self, input_shape: Shape) -> None:
        """Create the weights; weights of an earlier build are replaced."""
        shape = (self._features(input_shape),)
        gamma, beta = shape if self.scale else None, shape if self.center else None
        moving = {"moving_mean": shape, "moving_variance": shape}
        self._build_weights(input_shape, gamma=gamma, beta=beta, **moving)

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output; during training, update the moving averages."""
        self._features(x.shape)
        axis = self.axis % x.ndim
        last = x if axis == x.ndim - 1 else TABLE["swapaxes"](x, axis, -1)
        if training and self.trainable:
            y, mean, variance = BATCH_NORMALIZATION(
                last, self.gamma, self.beta, epsilon=self.epsilon
            )
            keep = np.dtype(self.dtype).type(self.momentum)
            for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                average.assign(average * keep + value * (1 - keep))
        else:
            y = NORMALIZED(
                *(last, self.moving_mean, self.moving_variance, self.gamma, self.beta),
                epsilon=self.epsilon,
            )
        return y if last is x else TABLE["swapaxes"](y, axis, -1)
