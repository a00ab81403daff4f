"""Activations as layers."""

from __future__ import annotations

from typing import Any

from tinynet import activations, checks, constraints, initializers, regularizers
from tinynet.arguments import argument, declared, found, required
from tinynet.layers.base import Layer, _registry
from tinynet.program.symbols import Shape
from tinynet.program.tensor import TABLE
from tinynet.variable import Variable


class _Applied(Layer):
    """The base of layers that apply their attribute `activation` to every element."""

    activation: Any

    def call(self, x: Any) -> Any:
        """Compute the output."""
        return x if self.activation is activations.linear else self.activation(x)


def _not_negative(name: str, value: Any) -> float:
    """Check an option of a rectifier; Keras raises ValueError for None."""
    if value is None:
        raise ValueError(f"{name} must be a number from 0 up. Received: {name}=None")
    return checks.number(name, value, 0)


@declared(_registry)
class Activation(_Applied):
    """Apply an activation to every element.

    Parameters
    ----------
    activation : str or callable
        Activation.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> Activation("relu")([[-1.0, 2.0]]).numpy()
    array([[0., 2.]], dtype=float32)
    """

    activation: Any = required(lambda name, value: activations.get(value))


@declared(_registry)
class ReLU(_Applied):
    """Apply the rectifier, with Keras' three options.

    ``y = max(x, 0)``; with options, ``x`` up to `max_value` where ``x > threshold``, and
    ``negative_slope * (x - threshold)`` below.

    Parameters
    ----------
    max_value : float, optional
        Largest output.
    negative_slope : float
        Slope below `threshold`.
    threshold : float
        Input from which on the output is not reduced.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If an option is negative.

    Examples
    --------
    >>> ReLU(max_value=3, negative_slope=0.5)([[-1.0, 2.0, 9.0]]).numpy()
    array([[-0.5,  2. ,  3. ]], dtype=float32)
    """

    max_value: float | None = argument(None, _not_negative)
    negative_slope: float = argument(0.0, _not_negative)
    threshold: float = argument(0.0, _not_negative)

    def __complete(self) -> None:
        options = self.negative_slope, self.max_value, self.threshold
        self.activation = activations.relu.with_options(*options)


@declared(_registry)
class Softmax(_Applied):
    """Convert scores to probabilities.

    Parameters
    ----------
    axis : int
        Axis along which they sum to 1.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> Softmax()([[0.0, 0.0]]).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """

    axis: int = argument(-1, checks.whole, -64)

    activation = activations.softmax

    def call(self, x: Any) -> Any:
        """Compute the output."""
        if not -x.ndim <= self.axis < x.ndim:
            raise ValueError(
                f"axis={self.axis} of {self.name} is not an axis of the input. "
                f"Received: shape {tuple(x.shape)}"
            )
        last = self.axis in (-1, x.ndim - 1)
        return self.activation(x) if last else self.activation(x, axis=self.axis)


@declared(_registry)
class LeakyReLU(_Applied):
    """Apply the rectifier with a small slope below 0.

    Parameters
    ----------
    negative_slope : float
        Slope below 0.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If it is negative.

    Examples
    --------
    >>> LeakyReLU(0.5)([[-1.0, 2.0]]).numpy()
    array([[-0.5,  2. ]], dtype=float32)
    """

    negative_slope: float = argument(0.3, _not_negative)

    def __complete(self) -> None:
        self.activation = activations.relu.with_options(self.negative_slope)


@declared(_registry)
class ELU(_Applied):
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

    alpha: float = argument(1.0, checks.number)

    def __complete(self) -> None:
        self.activation = activations.elu.with_options(alpha=self.alpha)


def _axes(name: str, value: Any) -> list[int]:
    """Check one axis or several."""
    axes = value if isinstance(value, list | tuple) else [value]
    return [checks.whole(name, axis) for axis in axes]


@declared(_registry)
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

    alpha_initializer: Any = found("Zeros", initializers.get)
    alpha_regularizer: Any = found(None, regularizers.get)
    alpha_constraint: Any = found(None, constraints.get)
    shared_axes: Any = argument(None, _axes)

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
        self.alpha: Variable
        self._build_weights(input_shape, alpha=self._shape(input_shape))

    def call(self, x: Any) -> Any:
        """Compute the output."""
        self._shape(x.shape)
        return activations.relu(x) - self.alpha * activations.relu(TABLE["negative"](x))
