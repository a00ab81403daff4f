"""The dense layer: every input connected with every unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import activations, checks, constraints, initializers, regularizers
from tinynet.layers.base import Layer, _registry
from tinynet.layers.symbolic import Shape
from tinynet.program import dispatch
from tinynet.sparse import SparseBatch
from tinynet.variable import Array, Variable
from tinynet.workspace import Workspace


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

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Say what shape the output has."""
        self._inputs(input_shape)
        return (*input_shape[:-1], self.units)

    @property
    def output_activation(self) -> activations.Activation | None:
        """The activation that the output comes straight out of."""
        return self.activation

    def forward(self, x: Any, work: Workspace, training: bool = False) -> Array:
        """Compute the output, or the pre-activation if the loss applies the activation."""
        rows = work.x = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
        kernel, bias = self._arrays(rows)
        dense = dispatch.dense_in_training if training else dispatch.dense
        shape = (rows.shape[0], self.units)
        y = z = work.array("z", shape, x.dtype)
        added = bias
        if added is None:
            added = work.array("no bias", (self.units,), x.dtype)
            added.fill(0)
        if isinstance(rows, SparseBatch):
            rows.dense(kernel, added, z)
            if self._rectifies(work):
                dispatch.relu(z, z)
        elif self._rectifies(work):
            dense(rows, kernel, None, z)
            dispatch.bias_relu(z, added)
        else:
            dense(rows, kernel, bias, z)
        if not (self._passes(work) or self._rectifies(work)):
            y = self.activation.forward(z, work.array("y", shape, x.dtype))
        work.y = z, y
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.units)

    def backward(self, d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
        """Write the gradients of kernel and bias, return the input's."""
        x, (z, y) = work.x, work.y
        d_z = d_y if d_y.ndim == 2 else d_y.reshape(-1, self.units)
        if d_z.shape != z.shape or d_z.dtype != z.dtype:
            raise ValueError(
                f"The upstream gradient of {self.name} must be {z.dtype} of shape {z.shape}. "
                f"Received: {d_z.dtype} of shape {d_z.shape}"
            )
        d_kernel, d_bias = (*work.gradients, None, None)[:2]
        if self._rectifies(work):
            if d_bias is None:
                d_bias = work.array("d_bias", (self.units,), d_z.dtype)
            dispatch.bias_relu_backward(d_z, y, d_bias)
        else:
            if not self._passes(work):
                d_z = self.activation.backward(d_z, z, y, work.array("d_z", z.shape, z.dtype))
            if d_bias is not None:
                np.add.reduce(d_z, axis=0, out=d_bias)
        if d_kernel is not None:
            if isinstance(x, SparseBatch):
                x.kernel_gradient(d_z, d_kernel, work)
            else:
                dispatch.dense_gradients(x, d_z, d_kernel, None)
        if not need_d_x:
            return None
        d_x: Array = dispatch.dense_backward(
            d_z, self.kernel.array, work.array("d_x", x.shape, x.dtype)
        )
        return d_x if d_y.ndim == 2 else d_x.reshape(*d_y.shape[:-1], x.shape[-1])

    def _passes(self, work: Workspace) -> bool:
        """Whether the pre-activation is the output."""
        return work.logits or self.activation is activations.linear

    def _rectifies(self, work: Workspace) -> bool:
        """Whether the activation is the one that is fused with the bias, and works in place."""
        return self.activation is activations.relu and not work.logits

    def _arrays(self, x: Any) -> tuple[Array, Array | None]:
        """Return kernel and bias once they are known to fit the input: kernels do not check."""
        kernel, bias = self.kernel.array, None if self.bias is None else self.bias.array
        if kernel.shape != (x.shape[-1], self.units):
            self._inputs(x.shape)
            raise ValueError(
                f"The kernel of {self.name} must have the shape {(x.shape[-1], self.units)}. "
                f"Received: shape {kernel.shape}"
            )
        if bias is not None and bias.shape != (self.units,):
            raise ValueError(
                f"The bias of {self.name} must have the shape {(self.units,)}. "
                f"Received: shape {bias.shape}"
            )
        return kernel, bias
