"""Layers that normalize every example by itself."""

from __future__ import annotations

from typing import Any

from tinynet import checks
from tinynet.layers.base import Layer, _registry
from tinynet.layers.weights import add_named, keep_arguments
from tinynet.program.symbols import Shape
from tinynet.program.tensor import TABLE
from tinynet.variable import Variable


class OverAxes(Layer):
    """The base of layers with an argument `axis`: one axis or several.

    Examples
    --------
    >>> LayerNormalization(axis=[1, 2]).axis
    [1, 2]
    """

    _own: tuple[str, ...] = ("axis",)
    axis: Any

    def _sizes(self, input_shape: Shape) -> Shape:
        """Return the sizes of the axes."""
        axes = self.axis if isinstance(self.axis, list | tuple) else [self.axis]
        if not all(-len(input_shape) <= axis < len(input_shape) for axis in axes):
            raise ValueError(
                f"axis of {self.name} must be among the axes of its input. "
                f"Received: axis={self.axis}, an input of shape {tuple(input_shape)}"
            )
        return tuple(input_shape[axis] for axis in axes)

    def _known_sizes(self, input_shape: Shape) -> tuple[int, ...]:
        """Return the sizes of the axes, which must be known and must not change."""
        sizes = self._sizes(input_shape)
        expected = self._sizes(self._build_shape) if self.built and self._build_shape else sizes
        if sizes != expected or None in sizes:
            raise ValueError(
                f"Inputs of {self.name} must have the sizes {expected} on axis {self.axis}. "
                f"Received: an input of shape {tuple(input_shape)}"
            )
        return sizes  # type: ignore[return-value]  # without None

    def _kept(self, shape: Shape) -> Any:
        """Return a shape with 1 for every other axis, which broadcasts."""
        axes = self.axis if isinstance(self.axis, list | tuple) else [self.axis]
        kept = {axis % len(shape) for axis in axes}
        return tuple(size if i in kept else 1 for i, size in enumerate(shape))


def _axis(axis: Any) -> Any:
    """Validate an axis, or a list of axes."""
    if isinstance(axis, list | tuple):
        return [checks.whole("axis", each, -64) for each in axis]
    return checks.whole("axis", axis, -64)


@_registry.register()
class LayerNormalization(OverAxes):
    """Normalize every example to mean 0 and variance 1, then scale and shift its features.

    ``y = (x - mean) / sqrt(variance + epsilon) * gamma + beta``, where mean and variance are
    those of one example along `axis`. Ba et al., "Layer normalization" (2016).

    Parameters
    ----------
    axis : int or list of int
        Axis or axes of the features.
    epsilon : float
        Added to the variance.
    center, scale : bool
        If True, `beta` is added, and if True, the result is multiplied by `gamma`.
    beta_initializer, gamma_initializer : str or Initializer
        Initializers of the weights.
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Regularizers of the weights.
    beta_constraint, gamma_constraint : str or Constraint, optional
        Constraints of the weights.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> LayerNormalization()([[0.0, 2.0], [10.0, 30.0]]).numpy().round(2)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    _own = (
        *("axis", "epsilon", "center", "scale", "beta_initializer", "gamma_initializer"),
        *("beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint"),
    )

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = _axis(axis)
        self.epsilon = checks.number("epsilon", epsilon, 0)
        self.center, self.scale = checks.flag("center", center), checks.flag("scale", scale)
        keep_arguments(self, "beta", beta_initializer, beta_regularizer, beta_constraint)
        keep_arguments(self, "gamma", gamma_initializer, gamma_regularizer, gamma_constraint)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None

    def build(self, input_shape: Shape) -> None:
        """Build gamma and beta; those of an earlier build are dropped."""
        self._known_sizes(input_shape)
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        self._weights = []
        for name, used in (("gamma", self.scale), ("beta", self.center)):
            if used:
                add_named(self, name, self._known_sizes(input_shape))
        super().build(input_shape)

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
        """Return the constructor's arguments, and an old one of Keras'."""
        return {**super().get_config(), "rms_scaling": False}


@_registry.register()
class UnitNormalization(OverAxes):
    """Divide every example by its length, the root of its sum of squares.

    Parameters
    ----------
    axis : int or list of int
        Axis or axes along which the squares are summed.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> UnitNormalization()([[3.0, 4.0]]).numpy()
    array([[0.6, 0.8]], dtype=float32)
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = _axis(axis)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        self._sizes(x.shape)
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        squares = TABLE["sum"](TABLE["square"](x), axis, True)
        # The bound of the length, 1e-12, also keeps the gradient of zeros finite.
        return x * TABLE["rsqrt"](TABLE["maximum"](squares, 1e-24))
