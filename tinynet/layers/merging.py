"""Layers that merge several tensors into one, such as `Add`, `Concatenate` and `Dot`."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinynet._core import argument, checks, declared, required
from tinynet.layers.layer import Layer, _registry
from tinynet.program import TABLE
from tinynet.program.layer_operations import RESHAPE

__all__ = ["Add", "add", "Average", "average", "Concatenate", "concatenate", "Dot", "dot"]
__all__ += ["Maximum", "maximum", "Minimum", "minimum", "Multiply", "multiply", "Subtract"]
__all__ += ["subtract"]


class Merge(Layer):
    """Base class of the layers whose input is a list of tensors."""

    #: Minimum and maximum number of inputs.
    _numbers = (1, math.inf)

    def build(self, input_shape: Any) -> None:
        """Check the shapes of the inputs."""
        low, high = self._numbers
        given = input_shape if isinstance(input_shape, list) else [input_shape]
        if not isinstance(input_shape, list) or not low <= len(given) <= high:
            wanted = f"{low} tensors" if low == high else f"at least {low} tensor"
            raise ValueError(
                f"Inputs of {self.name} must be a list of {wanted}. Received: shapes {given}"
            )
        self._check_shapes(given)
        super().build(input_shape)

    def _check_shapes(self, shapes: list[Any]) -> None:
        rank = max(map(len, shapes))
        padded = [(*s[:1], *(1,) * (rank - len(s)), *s[1:]) for s in shapes]
        try:
            np.broadcast_shapes(*([size or 1 for size in s[1:]] for s in padded))
        except ValueError:
            raise ValueError(
                f"Inputs of {self.name} must have shapes that can be broadcast together. "
                f"Received: shapes {[tuple(s) for s in shapes]}"
            ) from None

    def call(self, inputs: Any) -> Any:
        """Compute the output."""
        rank = max(x.ndim for x in inputs)
        same = []
        for x in inputs:
            while x.ndim < rank:
                x = TABLE["expand_dims"](x, 1)
            same.append(x)
        return self._merge(same)

    def _merge(self, inputs: list[Any]) -> Any:
        return functools.reduce(TABLE[type(self).__name__.lower()], inputs)


@_registry.register()
class Add(Merge):
    """Layer that adds tensors elementwise, for example at the end of a residual block.

    Parameters
    ----------
    name, trainable, dtype, input_shape, input_dim, activity_regularizer, **kwargs : object
        See `Layer`.

    Examples
    --------
    >>> Add()([np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])]).numpy()
    array([[11., 22.]], dtype=float32)
    """


@_registry.register()
class Subtract(Merge):
    """Layer that subtracts the second of two tensors from the first.

    Parameters
    ----------
    name, trainable, dtype, input_shape, input_dim, activity_regularizer, **kwargs : object
        See `Layer`.

    Examples
    --------
    >>> Subtract()([np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])]).numpy()
    array([[ -9., -18.]], dtype=float32)
    """

    _numbers = (2, 2)


@_registry.register()
class Multiply(Merge):
    """Layer that multiplies tensors elementwise.

    Parameters
    ----------
    name, trainable, dtype, input_shape, input_dim, activity_regularizer, **kwargs : object
        See `Layer`.

    Examples
    --------
    >>> Multiply()([np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])]).numpy()
    array([[10., 40.]], dtype=float32)
    """


@_registry.register()
class Average(Merge):
    """Layer that computes the elementwise mean of tensors.

    Parameters
    ----------
    name, trainable, dtype, input_shape, input_dim, activity_regularizer, **kwargs : object
        See `Layer`.

    Examples
    --------
    >>> Average()([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).numpy()
    array([[2., 3.]], dtype=float32)
    """

    def _merge(self, inputs: list[Any]) -> Any:
        return functools.reduce(TABLE["add"], inputs) / len(inputs)


@_registry.register()
class Maximum(Merge):
    """Layer that computes the elementwise maximum of tensors.

    Parameters
    ----------
    name, trainable, dtype, input_shape, input_dim, activity_regularizer, **kwargs : object
        See `Layer`.

    Examples
    --------
    >>> Maximum()([np.array([[1.0, 5.0]]), np.array([[3.0, 4.0]])]).numpy()
    array([[3., 5.]], dtype=float32)
    """


@_registry.register()
class Minimum(Merge):
    """Layer that computes the elementwise minimum of tensors.

    Parameters
    ----------
    name, trainable, dtype, input_shape, input_dim, activity_regularizer, **kwargs : object
        See `Layer`.

    Examples
    --------
    >>> Minimum()([np.array([[1.0, 5.0]]), np.array([[3.0, 4.0]])]).numpy()
    array([[1., 4.]], dtype=float32)
    """


@declared(_registry)
class Concatenate(Merge):
    """Layer that concatenates tensors along an axis.

    Parameters
    ----------
    axis : int
        Axis along which to concatenate. All other dimensions must match.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    >>> Concatenate()([np.array([[1.0, 2.0]]), np.array([[3.0]])]).numpy()
    array([[1., 2., 3.]], dtype=float32)
    """

    axis: int = argument(-1, checks.whole, -64)

    def _check_shapes(self, shapes: list[Any]) -> None:
        rank = len(shapes[0])
        others = set()
        if -rank <= self.axis < rank:
            others = {
                (len(s), *(n for k, n in enumerate(s) if k != self.axis % rank)) for s in shapes
            }
        expected = f"Inputs of {self.name} must have equal shapes, except along axis {self.axis}"
        checks.require(len(others) == 1, expected, f"shapes {[tuple(s) for s in shapes]}")

    def _merge(self, inputs: list[Any]) -> Any:
        return TABLE["concatenate"](inputs, axis=self.axis)


def _axes(name: str, value: Any) -> Any:
    """Validate an axis, or a list of two axes."""
    if not isinstance(value, list | tuple):
        return checks.whole(name, value, -64)
    if len(value) != 2:
        raise ValueError(f"axes must be an axis or a list of two axes. Received: axes={value}")
    return [checks.whole(name, axis, -64) for axis in value]


@declared(_registry)
class Dot(Merge):
    """Layer that computes the dot products of two tensors, for each example.

    Parameters
    ----------
    axes : int or tuple of (int, int)
        Axis, or pair of axes, along which the dot product is computed.
    normalize : bool
        If True, normalize the inputs along the axes first, so that the result is the cosine
        similarity.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    ``1 * 3 + 2 * 4 = 11``:

    >>> Dot(axes=1)([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).numpy()
    array([[11.]], dtype=float32)
    """

    axes: Any = required(_axes)
    normalize: bool = argument(False, checks.flag)

    _numbers = (2, 2)

    @property
    def _both(self) -> Any:
        """The axis of each input."""
        return self.axes if isinstance(self.axes, list) else [self.axes, self.axes]

    def _check_shapes(self, shapes: list[Any]) -> None:
        sizes = []
        for shape, axis in zip(shapes, self._both, strict=True):
            inside = -len(shape) < axis < len(shape) and axis != 0
            sizes.append(shape[axis] if inside else None)
        if None in sizes or sizes[0] != sizes[1]:
            raise ValueError(
                f"Inputs of {self.name} must have the same size along axes {self._both}, and "
                "axis 0 must be the batch axis. "
                f"Received: shapes {[tuple(s) for s in shapes]}"
            )

    def call(self, inputs: Any) -> Any:
        """Compute the output."""
        parts, rest = [], []
        for k, (x, axis) in enumerate(zip(inputs, self._both, strict=True)):
            axis %= x.ndim
            if self.normalize:
                x = _normalized(x, axis)
            kept = [n for n in range(1, x.ndim) if n != axis]
            rest.append([x.shape[n] for n in kept])
            order = (0, *kept, axis) if k == 0 else (0, axis, *kept)
            size, free = x.shape[axis], math.prod(rest[-1])
            target = (free, size) if k == 0 else (size, free)
            parts.append(RESHAPE(TABLE["transpose"](x, order), target=target))
        products = TABLE["matmul"](*parts)
        return RESHAPE(products, target=(*rest[0], *rest[1]) or (1,))


def _normalized(x: Any, axis: int) -> Any:
    length = TABLE["sum"](TABLE["square"](x), axis=axis, keepdims=True)
    return x / TABLE["sqrt"](TABLE["maximum"](length, 1e-12))


def add(inputs: Any, **kwargs: Any) -> Any:
    """Apply an `Add` layer to a list of tensors.

    Parameters
    ----------
    inputs : list of tensors
        Inputs to add.
    **kwargs : object
        Arguments of the layer `Add`.

    Returns
    -------
    Tensor or SymbolicTensor
        Output.

    Examples
    --------
    >>> add([np.ones((1, 2)), np.ones((1, 2))]).numpy()
    array([[2., 2.]], dtype=float32)
    """
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """Apply a `Subtract` layer to a list of two tensors.

    Parameters
    ----------
    inputs : list of tensors
        Two inputs; the second is subtracted from the first.
    **kwargs : object
        Arguments of the layer `Subtract`.

    Returns
    -------
    Tensor or SymbolicTensor
        Output.

    Examples
    --------
    >>> subtract([np.ones((1, 2)), np.ones((1, 2))]).numpy()
    array([[0., 0.]], dtype=float32)
    """
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """Apply a `Multiply` layer to a list of tensors.

    Parameters
    ----------
    inputs : list of tensors
        Inputs to multiply.
    **kwargs : object
        Arguments of the layer `Multiply`.

    Returns
    -------
    Tensor or SymbolicTensor
        Output.

    Examples
    --------
    >>> multiply([np.ones((1, 2)), np.ones((1, 2))]).numpy()
    array([[1., 1.]], dtype=float32)
    """
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """Apply an `Average` layer to a list of tensors.

    Parameters
    ----------
    inputs : list of tensors
        Inputs to average.
    **kwargs : object
        Arguments of the layer `Average`.

    Returns
    -------
    Tensor or SymbolicTensor
        Output.

    Examples
    --------
    >>> average([np.ones((1, 2)), np.ones((1, 2))]).numpy()
    array([[1., 1.]], dtype=float32)
    """
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """Apply a `Maximum` layer to a list of tensors.

    Parameters
    ----------
    inputs : list of tensors
        Inputs to compare.
    **kwargs : object
        Arguments of the layer `Maximum`.

    Returns
    -------
    Tensor or SymbolicTensor
        Output.

    Examples
    --------
    >>> maximum([np.ones((1, 2)), np.ones((1, 2))]).numpy()
    array([[1., 1.]], dtype=float32)
    """
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """Apply a `Minimum` layer to a list of tensors.

    Parameters
    ----------
    inputs : list of tensors
        Inputs to compare.
    **kwargs : object
        Arguments of the layer `Minimum`.

    Returns
    -------
    Tensor or SymbolicTensor
        Output.

    Examples
    --------
    >>> minimum([np.ones((1, 2)), np.ones((1, 2))]).numpy()
    array([[1., 1.]], dtype=float32)
    """
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """Apply a `Concatenate` layer to a list of tensors.

    Parameters
    ----------
    inputs : list of tensors
        Inputs to concatenate.
    axis : int
        Axis along which to concatenate.
    **kwargs : object
        Arguments of the base class `Layer`.

    Returns
    -------
    Tensor or SymbolicTensor
        Output.

    Examples
    --------
    >>> concatenate([np.ones((1, 2)), np.ones((1, 3))]).shape
    (1, 5)
    """
    return Concatenate(axis, **kwargs)(inputs)


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """Apply a `Dot` layer to a list of two tensors.

    Parameters
    ----------
    inputs : list of tensors
        Two inputs of the dot product.
    axes : int or tuple of (int, int)
        Axis, or pair of axes, along which the dot product is computed.
    **kwargs : object
        Arguments of the base class `Layer`.

    Returns
    -------
    Tensor or SymbolicTensor
        Output.

    Examples
    --------
    >>> dot([np.ones((1, 2)), np.ones((1, 2))], axes=1).numpy()
    array([[2.]], dtype=float32)
    """
    return Dot(axes, **kwargs)(inputs)
