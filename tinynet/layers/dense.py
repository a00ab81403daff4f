"""Fully connected layer."""

from __future__ import annotations

from typing import Any

from tinynet import activations, constraints, initializers, regularizers
from tinynet._core import argument, checks, declared, found, required
from tinynet.layers.layer import Layer, _registry
from tinynet.program import TABLE, Shape, Variable

__all__ = ["Dense"]


@declared(_registry)
class Dense(Layer):
    """Fully connected layer: ``y = activation(x @ kernel + bias)``.

    For inputs of shape (N, ..., D), `kernel` has shape (D, U), `bias` has shape (U,), and the
    output has shape (N, ..., U), where U is the number of units.

    Parameters
    ----------
    units : int
        Number of units, the size of the output.
    activation : str or callable, optional
        Activation function; by default, no activation is applied.
    use_bias : bool
        If True, add a bias.
    kernel_initializer, bias_initializer : str or Initializer
        Initializers of the kernel and the bias.
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Regularizers of the kernel and the bias.
    kernel_constraint, bias_constraint : str or Constraint, optional
        Constraints on the kernel and the bias.
    **kwargs : object
        Arguments of the base class `Layer`.

    Raises
    ------
    ValueError
        If `units` is not a positive integer.

    Examples
    --------
    With a kernel of ones and a bias of zeros, each unit computes the sum of the inputs:

    >>> layer = Dense(2, kernel_initializer="ones")
    >>> layer([[1.0, 2.0, 3.0]]).numpy()
    array([[6., 6.]], dtype=float32)
    """

    units: int = required(checks.whole, wrong_type=ValueError)
    activation: Any = found(None, activations.get)
    use_bias: bool = argument(True, checks.flag)
    kernel_initializer: Any = found("glorot_uniform", initializers.get)
    bias_initializer: Any = found("zeros", initializers.get)
    kernel_regularizer: Any = found(None, regularizers.get)
    bias_regularizer: Any = found(None, regularizers.get)
    kernel_constraint: Any = found(None, constraints.get)
    bias_constraint: Any = found(None, constraints.get)

    def __complete(self) -> None:
        self.kernel: Variable
        self.bias: Variable | None = None

    def build(self, input_shape: Shape) -> None:
        """Create the weights; weights of an earlier build are replaced."""
        kernel, bias = (self._inputs(input_shape), self.units), (self.units,)
        self._build_weights(input_shape, kernel=kernel, bias=bias if self.use_bias else None)

    def _inputs(self, input_shape: Shape) -> int:
        inputs = input_shape[-1] if len(input_shape) >= 2 else None
        expected = self.kernel.shape[0] if self.built else inputs
        if inputs is None or inputs != expected:
            shape = "(N, ..., D) with a known D" if expected is None else f"(N, ..., {expected})"
            raise ValueError(
                f"Inputs of {self.name} must have shape {shape}. "
                f"Received: an input of shape {tuple(input_shape)}"
            )
        return inputs

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output."""
        inputs = self._inputs(x.shape)
        shape = self.kernel.shape
        expected = f"The kernel of {self.name} must have the shape {(inputs, self.units)}"
        checks.require(shape == (inputs, self.units), expected, f"shape {shape}")
        z = TABLE["linear"](x, self.kernel, self.bias, training=training)
        return z if self.activation is activations.linear else self.activation(z)
