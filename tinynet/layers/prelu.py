"""Rectifiers whose part below 0 is trainable, or curved."""

from __future__ import annotations

from typing import Any

from tinynet import activations, checks
from tinynet.layers.activation import Activation
from tinynet.layers.base import Layer, _registry
from tinynet.layers.weights import add_named, keep_arguments
from tinynet.program.symbols import Shape
from tinynet.program.tensor import TABLE
from tinynet.variable import Variable


@_registry.register()
class PReLU(Layer):
    """Apply the rectifier with trainable slopes below 0, one for each feature.

    ``y = x`` above 0, ``alpha * x`` below. He et al., "Delving deep into rectifiers" (2015).

    Parameters
    ----------
    alpha_initializer : str or Initializer
        Initializer of the slopes.
    alpha_regularizer : str or Regularizer, optional
        Regularizer of the slopes.
    alpha_constraint : str or Constraint, optional
        Constraint of the slopes.
    shared_axes : int or list of int, optional
        Axes along which features share a slope, counted with the batch axis.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> PReLU(alpha_initializer="ones")([[-1.0, 2.0]]).numpy()
    array([[-1.,  2.]], dtype=float32)
    """

    _own = ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes")

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        keep_arguments(self, "alpha", alpha_initializer, alpha_regularizer, alpha_constraint)
        if shared_axes is not None:
            axes = shared_axes if isinstance(shared_axes, list | tuple) else [shared_axes]
            shared_axes = [checks.whole("shared_axes", axis) for axis in axes]
        self.shared_axes: list[int] | None = shared_axes
        self.alpha: Variable

    def _shape(self, input_shape: Shape) -> Any:
        """Return the shape of the slopes for inputs of a shape."""
        sizes: list[Any] = [*input_shape]
        for axis in self.shared_axes or []:
            if axis >= len(sizes):
                raise ValueError(
                    f"shared_axes of {self.name} must be among the axes of its input. "
                    f"Received: shared_axes={self.shared_axes}, an input of shape {input_shape}"
                )
            sizes[axis] = 1
        shape = tuple(sizes[1:])
        expected = self.alpha.shape if self.built else shape
        if shape != expected or None in shape:
            raise ValueError(
                f"Examples of {self.name} must have the shape {expected}, or other sizes on "
                f"shared_axes. Received: an input of shape {tuple(input_shape)}"
            )
        return shape

    def build(self, input_shape: Shape) -> None:
        """Build the slopes; those of an earlier build are dropped."""
        shape = self._shape(input_shape)
        self._weights = []
        add_named(self, "alpha", shape)
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        self._shape(x.shape)
        return activations.relu(x) - self.alpha * activations.relu(TABLE["negative"](x))


@_registry.register()
class ELU(Activation):
    """Apply the exponential linear unit: ``x`` above 0, ``alpha * (exp(x) - 1)`` below.

    Clevert et al., "Fast and accurate deep network learning by exponential linear units" (2015).

    Parameters
    ----------
    alpha : float
        Scale of the part below 0.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> ELU(alpha=2.0)([[-100.0, 3.0]]).numpy()
    array([[-2.,  3.]], dtype=float32)
    """

    _own = ("alpha",)

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        self.alpha = checks.number("alpha", alpha)
        super().__init__(activations.elu.with_options(alpha=self.alpha), **kwargs)
