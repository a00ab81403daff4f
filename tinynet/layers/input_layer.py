"""Input layer of a model."""

from __future__ import annotations

from typing import Any

from tinynet import config
from tinynet._core import checks
from tinynet.layers.layer import Layer, _registry
from tinynet.program import Shape, SymbolicTensor
from tinynet.program.symbols import Node

__all__ = ["Input", "InputLayer"]


@_registry.register()
class InputLayer(Layer):
    """Input layer of a model, which declares the shape and data type of the input.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape of one example.
    batch_size : int, optional
        Batch size, if it is fixed.
    dtype : str, optional
        Data type of the input; by default `config.floatx()`.
    batch_shape : tuple of (int or None), optional
        Shape including the batch size, as an alternative to `shape` and `batch_size`.
    name : str, optional
        Name of the layer; by default ``"input_layer"`` with a numeric suffix.
    input_shape : tuple of int, optional
        Alias of `shape`, for compatibility with older versions of Keras.

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
        self.input_dtype = checks.type_name(dtype, config.floatx())
        shape = input_shape if shape is None else shape
        if (shape is None) == (batch_shape is None):
            raise ValueError(
                "shape or batch_shape must be given, but not both. "
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
        """Restore the state of a copy, with a symbolic output."""
        super().__setstate__(state)
        self._add_node()

    def call(self, x: Any) -> Any:
        """Return the input."""
        return x

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
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
    """Create a symbolic tensor for the input of a model.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape of one example.
    batch_size : int, optional
        Batch size, if it is fixed.
    dtype : str, optional
        Data type of the input; by default `config.floatx()`.
    batch_shape : tuple of (int or None), optional
        Shape including the batch size, as an alternative to `shape` and `batch_size`.
    name : str, optional
        Name of the layer; by default ``"input_layer"`` with a numeric suffix.

    Returns
    -------
    SymbolicTensor
        Symbolic tensor, to pass to a layer or as the first entry of a `Sequential` model.

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


def _check_ndim(layer: Layer, input_shape: Shape, ndim: int) -> None:
    expected = f"Inputs of {layer.name} must have {ndim} dimensions, including the batch axis"
    checks.require(len(input_shape) == ndim, expected, f"an input of shape {tuple(input_shape)}")
