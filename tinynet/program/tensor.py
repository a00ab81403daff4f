"""Tensors: NumPy arrays whose operators and NumPy functions are operations that tapes record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tinynet import config
from tinynet._core import checks

Array = NDArray[Any]

#: Dtypes of operands: real numbers of at most 64 bits, in native byte order.
NUMBERS = frozenset(np.dtype(c) for c in "?bhilqBHILQefd")
#: Operations by their names in `keras.ops`; filled by `operations`.
TABLE: dict[str, Any] = {}
#: Names of NumPy functions that differ from the names in the table.
NUMPY_NAMES = {
    **{"amax": "max", "amin": "min", "true_divide": "divide", "remainder": "mod"},
    **{"float_power": "power", "pow": "power", "fabs": "absolute", "concat": "concatenate"},
    **{"invert": "bitwise_not", "left_shift": "bitwise_left_shift"},
    **{"right_shift": "bitwise_right_shift", "permute_dims": "transpose"},
}
#: Bitwise operations of bools, which are logical.
LOGICAL = {f"bitwise_{name}": f"logical_{name}" for name in ("and", "or", "xor", "not")}


class NotInPlace:
    """In-place operators that return NotImplemented: Python then computes a new tensor."""

    def _not_in_place(self, other: Any) -> Any:
        return NotImplemented

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = __ifloordiv__ = _not_in_place
    __imod__ = __imatmul__ = __iand__ = __ior__ = __ixor__ = __ilshift__ = _not_in_place
    __irshift__ = _not_in_place


class TensorMethods(NotInPlace):
    """Operators, methods and NumPy functions of tensors, each of which applies an operation."""

    dtype: Any
    shape: Any

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Apply the operation with the name of the ufunc, or else the ufunc itself."""
        operation = TABLE.get(NUMPY_NAMES.get(ufunc.__name__, ufunc.__name__))
        if operation is not None and method == "__call__" and not kwargs:
            return operation(*_with_one_dtype(inputs))
        return self._fallback(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Apply the operation with the name of the function, or else the function itself."""
        name = function.__name__
        operation = TABLE.get(NUMPY_NAMES.get(name, name))
        indices = name == "where" and len(args) == 1
        if operation is not None and operation.accepts(kwargs) and not indices:
            return operation(*args, **kwargs)
        return self._fallback(function, args, kwargs)

    def _fallback(self, function: Any, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError

    def __getitem__(self, key: Any) -> Any:
        """Return the selected elements as a tensor, even for a single element."""
        return TABLE["get_item"](self, key)

    @property
    def T(self) -> Any:
        """Transpose of the tensor."""
        return TABLE["transpose"](self)

    def reshape(self, *shape: Any) -> Any:
        """Return the same elements in another shape."""
        return TABLE["reshape"](self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Any:
        """Permute the axes."""
        return TABLE["transpose"](self, (axes[0] if len(axes) == 1 else axes) or None)

    def astype(self, dtype: DTypeLike, *args: Any, **kwargs: Any) -> Any:
        """Convert to another dtype."""
        return TABLE["cast"](self, dtype)

    def flatten(self) -> Any:
        """Flatten to one dimension."""
        return TABLE["reshape"](self, -1)

    ravel = flatten


def _method(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs = {k: v for k, v in kwargs.items() if v is not None}
        function = TABLE[name] if TABLE[name].accepts(kwargs) else getattr(np, name)
        return function(self, *args, **kwargs)

    method.__doc__, method.__name__ = f"Apply the operation `{name}`.", name
    return method


for _name in (
    *("sum", "mean", "max", "min", "prod", "var", "std", "all", "any", "argmax", "argmin"),
    *("clip", "round", "squeeze", "repeat", "take", "dot", "swapaxes", "cumsum"),
):
    setattr(TensorMethods, _name, _method(_name))


class Tensor(TensorMethods, np.ndarray):  # type: ignore[misc]  # these are operations
    """A NumPy array whose operators, methods and NumPy functions are operations.

    Operations are computed immediately and recorded by active `GradientTape` objects. In-place
    operators (``x += 1``) create a new tensor, as in TensorFlow.

    Examples
    --------
    >>> as_tensor([1.0, 2.0]).numpy()
    array([1., 2.])
    >>> float(as_tensor(3.0) + 1)
    4.0
    """

    #: Variable of which the tensor is a view; tapes track the Variable instead.
    source: Any

    #: Activation that computed it, and the activation's input; (None, None) for other results.
    computed_by: tuple[Any, Any] = (None, None)

    def numpy(self) -> Any:
        """Return a copy as a NumPy array, or a NumPy scalar if the tensor has no dimensions."""
        source = getattr(self, "source", None)
        return np.array(self)[()] if source is None else source.numpy()

    def _fallback(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Apply a NumPy function that is not an operation; gradients stop here."""
        if hasattr(self, "source") and function not in (np.shape, np.ndim, np.size):
            self.source._known(f"numpy.{function.__name__}")
        out = kwargs.get("out")
        kwargs = {key: _plain_nested(value) for key, value in kwargs.items()}
        result = function(*map(_plain_nested, args), **kwargs)
        return as_tensors(result) if out is None else out[0] if isinstance(out, tuple) else out


def as_tensor(value: Any) -> Tensor:
    """Convert to a `Tensor` that shares the memory of the array."""
    return np.asarray(value).view(Tensor)


def as_tensors(result: Any) -> Any:
    """Convert results of NumPy to tensors, also in lists and tuples."""
    if isinstance(result, tuple | list):
        return type(result)(map(as_tensors, result))
    return as_tensor(result) if isinstance(result, np.ndarray | np.generic) else result


def plain_array(value: Any) -> Any:
    """Return a tensor as a plain array that shares its memory; other values unchanged."""
    return value.view(np.ndarray) if isinstance(value, Tensor) else value


def to_array(value: Any) -> Any:
    """Convert to a plain array in native byte order; a Python scalar stays one: its dtype is weak.

    Lists of Python numbers get the dtypes of `as_default`.
    """
    if value is None or (isinstance(value, int | float) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, np.ma.MaskedArray):
        checks.not_masked("x", value)
    if hasattr(value, "_known"):  # a Variable
        return value._known("a conversion to a NumPy array")
    if not hasattr(value, "__array__"):
        return as_default(value)
    array = plain_array(np.asanyarray(value))
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def operand(value: Any) -> Any:
    """Convert an input of an operation as `to_array` does; it must be real numbers."""
    if type(value) is np.ndarray and value.dtype in NUMBERS:  # the usual cases, which are fast
        return value
    if isinstance(value, Tensor):
        return value.view(np.ndarray)
    array = to_array(value)
    return numbers("x", array, value) if isinstance(array, np.ndarray) else array


def numbers(name: str, array: Array, value: Any) -> Array:
    """Return an array of real numbers, converted from a value; raise an error for other types."""
    if array.dtype.newbyteorder("=") not in NUMBERS:
        raise ValueError(
            f"{name} must be real numbers of at most 64 bits. "
            f"Received: {name}={checks.shorten(value)}"
        )
    return array


def as_default(value: Any) -> Array:
    """Convert Python numbers to an array of `config.floatx()`, or of int32 if all of them fit."""
    array = np.asarray(value)
    if array.dtype.kind == "f":
        return array.astype(config.floatx())
    short = array.astype(np.int32) if array.dtype.kind == "i" else array
    return short if short is array or (short == array).all() else array


def _with_one_dtype(inputs: Sequence[Any]) -> list[Any]:
    """Convert float64 operands of NumPy to the float dtype of the tensor, as TensorFlow does."""
    kinds = [np.dtype(i.dtype) for i in inputs if isinstance(i, TensorMethods)]
    if kinds[0].kind != "f":
        return [*inputs]
    return [
        i.astype(kinds[0])
        if not isinstance(i, TensorMethods)
        and isinstance(i, np.ndarray | np.generic)
        and i.dtype == np.float64
        else i
        for i in inputs
    ]


def _plain_nested(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(map(_plain_nested, value))
    return plain_array(value)
