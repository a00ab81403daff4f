"""Parametric rectified linear unit."""

from __future__ import annotations

from typing import Any

from tinynet import activations, constraints, initializers, regularizers
from tinynet._core import argument, checks, declared, found
from tinynet.layers.layer import Layer, _registry
from tinynet.program import TABLE, Shape, Variable

__all__ = ["PReLU"]


def _axes(name: str, value: Any) -> list[int]:
    """Validate an axis, or a list of axes."""
    axes = value if isinstance(value, list | tuple) else [value]
    return [checks.whole(name, axis) for axis in axes]


@declared(_registry)
class PReLU(Layer):
    """Parametric rectified linear unit: ``x`` if ``x > 0``, else ``alpha * x``.

    The slopes `alpha` are trainable, one for each feature. He et al., "Delving deep into
    rectifiers" (2015).

    Parameters
    ----------
    alpha_initializer : str or Initializer
        Initializer of the slopes.
    alpha_regularizer : str or Regularizer, optional
        Regularizer of the slopes.
    alpha_constraint : str or Constraint, optional
        Constraint on the slopes.
    shared_axes : int or list of int, optional
        Axes along which the slopes are shared, where axis 0 is the batch axis.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    >>> PReLU(alpha_initializer="ones")([[-1.0, 2.0]]).numpy()
    array([[-1.,  2.]], dtype=float32)
    """

    alpha_initializer: Any = found("Zeros", initializers.get)
    alpha_regularizer: Any = found(None, regularizers.get)
    alpha_constraint: Any = found(None, constraints.get)
    shared_axes: Any = argument(None, _axes)

    def _shape(self, input_shape: Shape) -> Any:
        """Return the shape of the slopes for an input shape."""
        sizes: list[Any] = [*input_shape]
        for axis in self.shared_axes or []:
            expected = f"shared_axes of {self.name} must be valid axes of its input"
            received = f"shared_axes={self.shared_axes}, an input of shape {input_shape}"
            checks.require(axis < len(sizes), expected, received)
            sizes[axis] = 1
        shape = tuple(sizes[1:])
        own = self.alpha.shape if self.built else shape
        if shape != own or None in shape:
            free = [0, *(self.shared_axes or [])]
            wanted = tuple(None if k in free else n for k, n in enumerate((None, *own)))
            expected = f"shape {wanted}, where None matches any size"
            if None in own:
                expected = "known sizes along all axes except the batch axis and shared_axes"
            raise ValueError(
                f"Inputs of {self.name} must have {expected}. "
                f"Received: an input of shape {tuple(input_shape)}"
            )
        return shape

    def build(self, input_shape: Shape) -> None:
        """Create the weights; weights of an earlier build are replaced."""
        self.alpha: Variable
        self._build_weights(input_shape, alpha=self._shape(input_shape))

    def call(self, x: Any) -> Any:
        """Compute the output."""
        self._shape(x.shape)
        return activations.relu(x) - self.alpha * activations.relu(TABLE["negative"](x))
