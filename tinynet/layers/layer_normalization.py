"""Layer normalization."""

from __future__ import annotations

from typing import Any

from tinynet import constraints, initializers, regularizers
from tinynet._core import argument, checks, declared, found
from tinynet.layers.batch_normalization import _axis
from tinynet.layers.layer import _registry
from tinynet.layers.over_axes import OverAxes
from tinynet.program import TABLE, Shape, Variable

__all__ = ["LayerNormalization"]


@declared(_registry)
class LayerNormalization(OverAxes):
    """Layer normalization: normalize each example over its features, then scale and shift it.

    ``y = (x - mean) / sqrt(variance + epsilon) * gamma + beta``, where the mean and the variance
    are computed for each example along `axis`. Ba et al., "Layer normalization" (2016).

    Parameters
    ----------
    axis : int or list of int
        Axis or axes of the features.
    epsilon : float
        Small constant added to the variance, to avoid division by zero.
    center : bool
        If True, add the trainable offset `beta`.
    scale : bool
        If True, multiply by the trainable scale `gamma`.
    beta_initializer, gamma_initializer : str or Initializer
        Initializers of `beta` and `gamma`.
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Regularizers of `beta` and `gamma`.
    beta_constraint, gamma_constraint : str or Constraint, optional
        Constraints on `beta` and `gamma`.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    The second example has mean 20 and variance 100: ``(10 - 20) / sqrt(100 + 0.001)`` is about -1.

    >>> LayerNormalization()([[0.0, 2.0], [10.0, 30.0]]).numpy().round(2)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    axis: Any = argument(-1, _axis)
    epsilon: float = argument(1e-3, checks.number, 0)
    center: bool = argument(True, checks.flag)
    scale: bool = argument(True, checks.flag)
    beta_initializer: Any = found("zeros", initializers.get)
    gamma_initializer: Any = found("ones", initializers.get)
    beta_regularizer: Any = found(None, regularizers.get)
    gamma_regularizer: Any = found(None, regularizers.get)
    beta_constraint: Any = found(None, constraints.get)
    gamma_constraint: Any = found(None, constraints.get)

    def __complete(self) -> None:
        self.gamma: Variable | None = None
        self.beta: Variable | None = None

    def build(self, input_shape: Shape) -> None:
        """Create the weights; weights of an earlier build are replaced."""
        self._known_sizes(input_shape)
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        sizes = self._known_sizes(input_shape)
        gamma, beta = sizes if self.scale else None, sizes if self.center else None
        self._build_weights(input_shape, gamma=gamma, beta=beta)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        self._known_sizes(x.shape)
        kept = self._kept(x.shape)
        axes = tuple(axis % len(x.shape) for axis in self.axis)
        scale = TABLE["rsqrt"](TABLE["var"](x, axes, True) + self.epsilon)
        if self.gamma is not None:
            scale = scale * TABLE["reshape"](self.gamma, kept)
        y = (x - TABLE["mean"](x, axes, True)) * scale
        return y if self.beta is None else y + TABLE["reshape"](self.beta, kept)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments, and `rms_scaling`, which Keras saves."""
        return {**super().get_config(), "rms_scaling": False}
