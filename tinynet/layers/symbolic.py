"""Data to come: what a layer returns when it is applied to a shape in place of numbers.

`Input` makes the first one, every layer applied to one makes the next, and `chain` reads off
which layers lie between two of them. That is how a functional model, and a model's own `call`,
become a row of layers. Only layers can be applied; other operations go into the `call` of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Shape = tuple[int | None, ...]


class SymbolicTensor:
    """The shape of data to come, and the layers it will have gone through.

    Parameters
    ----------
    shape : tuple of (int or None)
        The shape, batch size first.
    dtype : str
        The type.
    layer : Layer
        The layer that makes it.
    source : SymbolicTensor, optional
        What that layer is applied to.
    nodes : sequence of SymbolicTensor
        Outputs of a layer that was applied more than once; this tensor may mean any of them.

    Examples
    --------
    >>> from tinynet.layers import Dense, Input
    >>> Dense(3)(Input((2,))).shape
    (None, 3)
    """

    def __init__(
        self,
        shape: Shape,
        dtype: str,
        layer: Any,
        source: SymbolicTensor | None = None,
        nodes: Sequence[SymbolicTensor] = (),
    ) -> None:
        self.shape, self.dtype, self.layer, self.source = shape, dtype, layer, source
        self.nodes = tuple(nodes)
        self.name: str = layer.name

    @property
    def ndim(self) -> int:
        """The number of dimensions, the batch included."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<SymbolicTensor shape={self.shape}, dtype={self.dtype}, layer={self.name}>"

    def __array_ufunc__(self, ufunc: Any, *args: Any, **kwargs: Any) -> Any:
        """Refuse NumPy's functions of elements by name."""
        raise _refusal(f"numpy.{ufunc.__name__}")

    def __array_function__(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Refuse NumPy's other functions by name."""
        raise _refusal(f"numpy.{function.__name__}")


def _refusal(operation: str) -> TypeError:
    return TypeError(
        "A model must consist of layers only (Dense, Flatten, Activation, Rescaling, ...), each "
        "applied to the output of the one before; write other operations in the call of a "
        f"custom layer. Received: {operation} of a symbolic tensor"
    )


def _refuse(name: str) -> Callable[..., Any]:
    def method(self: SymbolicTensor, *args: Any) -> Any:
        raise _refusal(name)

    return method


for _name in (
    *("add", "radd", "sub", "rsub", "mul", "rmul", "matmul", "rmatmul", "truediv", "rtruediv"),
    *("pow", "rpow", "neg", "abs", "getitem", "iter", "len", "bool", "float", "int", "array"),
    *("lt", "le", "gt", "ge"),
):
    setattr(SymbolicTensor, f"__{_name}__", _refuse(f"__{_name}__"))


def chain(inputs: Any, outputs: Any) -> list[Any]:
    """List the layers between two symbolic tensors.

    Parameters
    ----------
    inputs, outputs : SymbolicTensor
        Where the row of layers begins and ends; a list of one is that one.

    Returns
    -------
    list of Layer
        The layers in the order they are applied, without the input layer.

    Raises
    ------
    ValueError, TypeError
        If they are no symbolic tensors, are not connected, or a layer is applied twice.

    Examples
    --------
    >>> from tinynet.layers import Dense, Input
    >>> x = Input((2,))
    >>> [layer.name for layer in chain(x, Dense(1, name="b")(Dense(3, name="a")(x)))]
    ['a', 'b']
    """
    first, last = _only("inputs", inputs), _only("outputs", outputs)
    # Paths back from the outputs, each with the layers behind it as nested pairs.
    todo: list[tuple[SymbolicTensor, Any]] = [(last, None)]
    seen: set[int] = set()
    while todo:
        at, row = todo.pop()
        if at is first:
            break
        if id(at) not in seen:
            seen.add(id(at))
            todo += [(node, row) for node in at.nodes]
            if at.source is not None and not at.nodes:
                todo.append((at.source, (at.layer, row)))
    else:
        raise ValueError(
            f"The outputs must be made from the inputs. Received: outputs made by {last.name}, "
            f"which are not connected to {first.name}"
        )
    layers: list[Any] = []
    while row is not None:
        layer, row = row
        if any(layer is other for other in layers):
            raise ValueError(
                f"A model must apply each layer once. Received: {layer.name} applied twice"
            )
        layers.append(layer)
    return layers


def _only(name: str, value: Any) -> SymbolicTensor:
    if isinstance(value, list | tuple | dict):
        values = list(value.values() if isinstance(value, dict) else value)
        if len(values) != 1:
            raise ValueError(f"A model has one of its {name}. Received: {len(values)} of them")
        value = values[0]
    if not isinstance(value, SymbolicTensor):
        raise TypeError(
            f"{name} must be what Input or a layer applied to it returned. "
            f"Received: {type(value).__name__}"
        )
    return value
