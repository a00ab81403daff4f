"""Layers that bring their inputs to a common size."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import checks, constraints, initializers, regularizers
from tinynet.layers.base import Layer, _registry
from tinynet.program.dense_net import BATCH_NORMALIZATION, NORMALIZED
from tinynet.program.symbols import Shape
from tinynet.program.tensor import TABLE
from tinynet.variable import Variable

_WEIGHTS = {"gamma": "ones", "beta": "zeros", "moving_mean": "zeros", "moving_variance": "ones"}


@_registry.register()
class BatchNormalization(Layer):
    """Shift and scale every feature to mean 0 and variance 1, then to what training finds best.

    In training, mean and variance are the batch's, and running means of them are kept; else
    they are these running means. Ioffe and Szegedy, "Batch normalization" (2015).

    Parameters
    ----------
    axis : int
        The axis of the features.
    momentum : float
        How much the running means keep.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether `beta` is added, and whether `gamma` is multiplied by.
    beta_initializer, gamma_initializer : str or Initializer
        The first values of the weights.
    moving_mean_initializer, moving_variance_initializer : str or Initializer
        The first values of the running means.
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        What the weights' size costs in the loss.
    beta_constraint, gamma_constraint : str or Constraint, optional
        What the weights must satisfy after every step.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> BatchNormalization()([[0.0, 4.0], [2.0, 8.0]], training=True).numpy().round(4)
    array([[-0.9995, -0.9999],
           [ 0.9995,  0.9999]], dtype=float32)
    """

    _own = ("axis", "momentum", "epsilon", "center", "scale")

    def __init__(
        self,
        axis: Any = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(axis, list | tuple) and len(axis) == 1:
            axis = axis[0]
        self.axis = checks.whole("axis", axis, -64)
        self.momentum = checks.number("momentum", momentum, 0, 1)
        self.epsilon = checks.number("epsilon", epsilon, 0)
        self.center, self.scale = checks.flag("center", center), checks.flag("scale", scale)
        scaling, moving = (
            (gamma_initializer, beta_initializer),
            (moving_mean_initializer, moving_variance_initializer),
        )
        self._options: dict[str, dict[str, Any]] = {
            name: {"initializer": initializers.get(initializer)}
            for name, initializer in zip(_WEIGHTS, (*scaling, *moving), strict=True)
        }
        for name, regularizer, constraint in (
            ("gamma", gamma_regularizer, gamma_constraint),
            ("beta", beta_regularizer, beta_constraint),
        ):
            self._options[name]["regularizer"] = regularizers.get(regularizer)
            self._options[name]["constraint"] = constraints.get(constraint)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None
        self.moving_mean: Variable
        self.moving_variance: Variable

    def _features(self, input_shape: Shape) -> int:
        size = None
        if -len(input_shape) <= self.axis < len(input_shape) and len(input_shape) >= 2:
            size = input_shape[self.axis]
        if size is None or (self.built and size != self.moving_mean.size):
            own = self.moving_mean.size if self.built else "a fixed number of"
            raise ValueError(
                f"{self.name} takes inputs with {own} features on axis {self.axis}. "
                f"Received: shape {tuple(input_shape)}"
            )
        return size

    def build(self, input_shape: Shape) -> None:
        """Build the weights; those of an earlier build are dropped."""
        shape = (self._features(input_shape),)
        self._weights = []
        for name, options in self._options.items():
            trainable = not name.startswith("moving")
            if {"gamma": self.scale, "beta": self.center}.get(name, True):
                weight = self.add_weight(shape, trainable=trainable, name=name, **options)
                setattr(self, name, weight)
        super().build(input_shape)

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output; in training, move the running means."""
        self._features(x.shape)
        axis = self.axis % x.ndim
        last = x if axis == x.ndim - 1 else TABLE["swapaxes"](x, axis, -1)
        if training and self.trainable:
            y, mean, variance = BATCH_NORMALIZATION(
                last, self.gamma, self.beta, epsilon=self.epsilon
            )
            keep = np.dtype(self.dtype).type(self.momentum)
            for running, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                running.assign(running * keep + value * (1 - keep))
        else:
            y = NORMALIZED(
                *(last, self.moving_mean, self.moving_variance, self.gamma, self.beta),
                epsilon=self.epsilon,
            )
        return y if last is x else TABLE["swapaxes"](y, axis, -1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        for name, options in self._options.items():
            for option, value in options.items():
                config[f"{name}_{option}"] = _registry.serialize(value)
        return config
