"""Layers that change the shape of an example: `Input`, `Flatten`, `Reshape` and their siblings."""

from __future__ import annotations

import math
from typing import Any

from tinynet import checks, config
from tinynet.arguments import argument, declared, required
from tinynet.layers.base import Layer, _registry
from tinynet.program.dense_net import RESHAPE
from tinynet.program.symbols import Node, Shape, SymbolicTensor, check_size
from tinynet.program.tensor import TABLE

__all__ = ["Flatten", "Input", "InputLayer", "Permute", "RepeatVector", "Rescaling", "Reshape"]


@_registry.register()
class InputLayer(Layer):
    """The shape of a model's input.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape of one example.
    batch_size : int, optional
        Number of examples, if it is fixed.
    dtype : str, optional
        Data type of the input.
    batch_shape : tuple of (int or None), optional
        Instead of `shape` and `batch_size`: both together.
    name : str, optional
        By default ``"input_layer"``, numbered.
    input_shape : tuple of int, optional
        Former name of `shape`.

    Raises
    ------
    ValueError
        If neither or both of `shape` and `batch_shape` are given.

    Examples
    --------
    >>> InputLayer((28, 28)).batch_shape
    (None, 28, 28)
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        batch_shape: Any = None,
        name: str | None = None,
        input_shape: Any = None,
    ) -> None:
        super().__init__(name=name)
        self.input_dtype = config.floatx() if dtype is None else checks.type_name(dtype)
        shape = input_shape if shape is None else shape
        if (shape is None) == (batch_shape is None):
            raise ValueError(
                "An input takes either shape or batch_shape. "
                f"Received: shape={shape}, batch_shape={batch_shape}"
            )
        if batch_shape is None:
            size = checks.optional(checks.whole, "batch_size", batch_size)
            batch_shape = (size, *checks.shape("shape", shape))
        self.batch_shape = checks.shape("batch_shape", batch_shape)
        self.build(self.batch_shape)
        self._add_node()

    def _add_node(self) -> None:
        node = Node(self, (), {})
        node.outputs = SymbolicTensor(None, self.name, node, self.batch_shape, self.input_dtype)
        self._nodes = [node]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state of a copy."""
        super().__setstate__(state)
        self._add_node()

    def call(self, x: Any) -> Any:
        """Return the input."""
        return x

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "batch_shape": list(self.batch_shape),
            "dtype": self.input_dtype,
            "name": self.name,
        }


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    batch_shape: Any = None,
    name: str | None = None,
) -> SymbolicTensor:
    """Declare the shape of a model's input.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape of one example.
    batch_size : int, optional
        Number of examples, if it is fixed.
    dtype : str, optional
        Data type of the input.
    batch_shape : tuple of (int or None), optional
        Instead of `shape` and `batch_size`: both together.
    name : str, optional
        By default ``"input_layer"``, numbered.

    Returns
    -------
    SymbolicTensor
        Symbolic tensor for the list of a `Sequential`, or to call layers on.

    Raises
    ------
    ValueError
        If neither or both of `shape` and `batch_shape` are given.

    Examples
    --------
    >>> Input((28, 28)).shape
    (None, 28, 28)
    """
    return InputLayer(shape, batch_size, dtype, batch_shape, name).output


@declared(_registry)
class Flatten(Layer):
    """Flatten every example: ``(N, 28, 28)`` becomes ``(N, 784)``.

    Parameters
    ----------
    data_format : {None, "channels_last", "channels_first"}
        Order of an image's axes; only ``"channels_last"``, the default, is supported.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((5, 28, 28))).shape
    (5, 784)
    """

    data_format: str | None = argument(None, checks.choice, [None, "channels_last"])

    def call(self, x: Any) -> Any:
        """Compute the output."""
        return TABLE["flatten"](x)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "data_format": self.data_format or "channels_last"}


def _target_shape(name: str, value: Any) -> tuple[int, ...]:
    sizes = value if isinstance(value, list | tuple) else (value,)
    shape = tuple(checks.whole(name, size, -1, ValueError) for size in sizes)
    if shape.count(-1) > 1 or 0 in shape:
        raise ValueError(
            "target_shape must hold positive integers, and -1 at most once. "
            f"Received: target_shape={shape}"
        )
    return shape


@declared(_registry)
class Reshape(Layer):
    """Reshape every example, which keeps its number of elements.

    Parameters
    ----------
    target_shape : tuple of int
        Shape of one example; one size may be -1, which is then computed.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If the numbers of elements differ.

    Examples
    --------
    >>> import numpy as np
    >>> Reshape((2, -1))(np.zeros((5, 6))).shape
    (5, 2, 3)
    """

    target_shape: Any = required(_target_shape)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        sizes = x.shape[1:]
        if None in sizes:
            return TABLE["reshape"](x, (-1, *self.target_shape))
        total = math.prod(sizes)
        known = -math.prod(self.target_shape) if -1 in self.target_shape else 0
        target = tuple(total // known if size == -1 else size for size in self.target_shape)
        if math.prod(target) != total:
            raise ValueError(
                f"{self.name} makes examples of shape {self.target_shape}, so its inputs must "
                f"have the same number of elements. Received: shape {(None, *sizes)}"
            )
        return RESHAPE(x, target=target)


@declared(_registry)
class Rescaling(Layer):
    """Scale and shift: ``x * scale + offset``, for example pixels by 1/255.

    Parameters
    ----------
    scale, offset : float
        Factor and addend.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> Rescaling(0.5, offset=1.0)([[2.0]]).numpy()
    array([[2.]], dtype=float32)
    """

    scale: float = required(checks.number)
    offset: float = argument(0.0, checks.number)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        return x * self.scale + self.offset


def _check_ndim(layer: Layer, input_shape: Shape, ndim: int) -> None:
    if len(input_shape) != ndim:
        raise ValueError(
            f"Inputs of {layer.name} must have {ndim} dimensions, the batch axis included. "
            f"Received: an input of shape {tuple(input_shape)}"
        )


def _dims(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"dims must be a tuple of axes. Received: dims={checks.shorten(value)}")
    dims = tuple(checks.whole(name, axis, 1, ValueError) for axis in value)
    if sorted(dims) != list(range(1, len(dims) + 1)):
        raise ValueError(
            f"dims must have every axis from 1 to their number once. Received: dims={dims}"
        )
    return dims


@declared(_registry)
class Permute(Layer):
    """Reorder the axes of every example.

    Parameters
    ----------
    dims : tuple of int
        The axes in their new order, counted from 1: the batch axis stays.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If `dims` does not have every axis once.

    Examples
    --------
    >>> Permute((2, 1))([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]).numpy()
    array([[[1., 4.],
            [2., 5.],
            [3., 6.]]], dtype=float32)
    """

    dims: Any = required(_dims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape in another order."""
        _check_ndim(self, input_shape, len(self.dims) + 1)
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))

    def call(self, x: Any) -> Any:
        """Compute the output."""
        _check_ndim(self, x.shape, len(self.dims) + 1)
        return TABLE["transpose"](x, (0, *self.dims))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "dims": self.dims}


@declared(_registry)
class RepeatVector(Layer):
    """Repeat every example: ``(N, D)`` becomes ``(N, n, D)``.

    Parameters
    ----------
    n : int
        Number of repetitions.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> RepeatVector(2)([[1.0, 2.0]]).numpy()
    array([[[1., 2.],
            [1., 2.]]], dtype=float32)
    """

    n: int = required(checks.whole)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape with another axis, of size `n`."""
        _check_ndim(self, input_shape, 2)
        check_size([input_shape], self.n)
        return (input_shape[0], self.n, input_shape[1])

    def call(self, x: Any) -> Any:
        """Compute the output."""
        _check_ndim(self, x.shape, 2)
        return TABLE["repeat"](TABLE["expand_dims"](x, 1), self.n, axis=1)
