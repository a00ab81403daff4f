"""The dense layer: every input connected with every unit."""

from __future__ import annotations

from typing import Any

from tinynet import activations, checks, constraints, initializers, regularizers
from tinynet.layers.base import Layer, _registry
from tinynet.program.symbols import Shape
from tinynet.program.tensor import TABLE
from tinynet.variable import Variable


@_registry.register()
class Dense(Layer):
    """Connect every input with every unit: ``activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        The number of outputs.
    activation : str or callable, optional
        What is applied to the sums; by default nothing.
    use_bias : bool
        Whether a bias is added.
    kernel_initializer, bias_initializer : str or Initializer
        The first values of the weights.
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        What the weights' size costs in the loss.
    kernel_constraint, bias_constraint : str or Constraint, optional
        What the weights must satisfy after every step.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If `units` is no positive integer.

    Examples
    --------
    >>> layer = Dense(2, kernel_initializer="ones")
    >>> layer([[1.0, 2.0, 3.0]]).numpy()
    array([[6., 6.]], dtype=float32)
    """

    _own = (
        *("units", "activation", "use_bias", "kernel_initializer", "bias_initializer"),
        *("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint"),
    )

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = checks.whole("units", units, wrong_type=ValueError)
        self.activation = activations.get(activation)
        self.use_bias = checks.flag("use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.kernel: Variable
        self.bias: Variable | None = None

    def build(self, input_shape: Shape) -> None:
        """Build kernel and bias; those of an earlier build are dropped."""
        inputs = self._inputs(input_shape)
        self._weights = []
        for name, shape in (("kernel", (inputs, self.units)), ("bias", (self.units,))):
            if name == "kernel" or self.use_bias:
                options = {
                    option: getattr(self, f"{name}_{option}")
                    for option in ("initializer", "regularizer", "constraint")
                }
                setattr(self, name, self.add_weight(shape, name=name, **options))
        super().build(input_shape)

    def _inputs(self, input_shape: Shape) -> int:
        inputs = input_shape[-1] if len(input_shape) >= 2 else None
        expected = self.kernel.shape[0] if self.built else inputs
        if inputs is None or inputs != expected:
            size = "a fixed number of" if expected is None else str(expected)
            raise ValueError(
                f"{self.name} takes inputs of shape (N, ..., D) with D = {size} values. "
                f"Received: shape {tuple(input_shape)}"
            )
        return inputs

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output."""
        inputs = self._inputs(x.shape)
        if self.kernel.shape != (inputs, self.units):
            raise ValueError(
                f"The kernel of {self.name} must have the shape {(inputs, self.units)}. "
                f"Received: shape {self.kernel.shape}"
            )
        z = TABLE["linear"](x, self.kernel, self.bias, training=training)
        return z if self.activation is activations.linear else self.activation(z)
