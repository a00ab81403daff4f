"""Layers that change the form of an example and none of its numbers: Input, Flatten, Reshape."""

from __future__ import annotations

import math
from typing import Any

from tinynet import checks, config
from tinynet.layers.base import Layer, _registry
from tinynet.program.dense_net import RESHAPE
from tinynet.program.symbols import Node, SymbolicTensor
from tinynet.program.tensor import TABLE


@_registry.register()
class InputLayer(Layer):
    """The shape of a model's input.

    Parameters
    ----------
    shape : tuple of int, optional
        The shape of one example.
    batch_size : int, optional
        The number of examples, where it is fixed.
    dtype : str, optional
        The type of the input.
    batch_shape : tuple of (int or None), optional
        In place of `shape` and `batch_size`: both in one.
    name : str, optional
        By default ``"input_layer"``, numbered.
    input_shape : tuple of int, optional
        An older name of `shape`.

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
        """Take over a copy's state."""
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
        The shape of one example.
    batch_size : int, optional
        The number of examples, where it is fixed.
    dtype : str, optional
        The type of the input.
    batch_shape : tuple of (int or None), optional
        In place of `shape` and `batch_size`: both in one.
    name : str, optional
        By default ``"input_layer"``, numbered.

    Returns
    -------
    SymbolicTensor
        For the list of a `Sequential`, or for calling layers on.

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


@_registry.register()
class Flatten(Layer):
    """Lay every example out in one row: ``(N, 28, 28)`` becomes ``(N, 784)``.

    Parameters
    ----------
    data_format : {None, "channels_last", "channels_first"}
        Only ``"channels_last"``, the default, lays an image out in the order it has.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((5, 28, 28))).shape
    (5, 784)
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = checks.choice("data_format", data_format, [None, "channels_last"])

    def call(self, x: Any) -> Any:
        """Compute the output."""
        return TABLE["flatten"](x)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "data_format": self.data_format or "channels_last"}


@_registry.register()
class Reshape(Layer):
    """Give every example another shape of as many elements.

    Parameters
    ----------
    target_shape : tuple of int
        The shape of one example; one size may be -1, which is then worked out.
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

    _own = ("target_shape",)

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        sizes = target_shape if isinstance(target_shape, list | tuple) else (target_shape,)
        self.target_shape = tuple(
            checks.whole("target_shape", size, -1, ValueError) for size in sizes
        )
        if self.target_shape.count(-1) > 1 or 0 in self.target_shape:
            raise ValueError(
                "target_shape must hold positive integers, and -1 at most once. "
                f"Received: target_shape={self.target_shape}"
            )

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


@_registry.register()
class Rescaling(Layer):
    """Scale and shift: ``x * scale + offset``, for example pixels by 1/255.

    Parameters
    ----------
    scale, offset : float
        The factor, and what is added.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> Rescaling(0.5, offset=1.0)([[2.0]]).numpy()
    array([[2.]], dtype=float32)
    """

    _own = ("scale", "offset")

    def __init__(self, scale: float, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = checks.number("scale", scale)
        self.offset = checks.number("offset", offset)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        return x * self.scale + self.offset
