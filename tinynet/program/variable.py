"""Variables (named weights), and the functions that pack them into contiguous memory.

A `Variable` is a named array that training changes in place. Once a model is built, all its
Variables of one dtype are views into one flat vector (`pack`), so that an optimizer step is one
call on one vector and a checkpoint consists of only a few arrays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike

from tinynet import config
from tinynet._core import checks
from tinynet._core.buffers import aligned
from tinynet._core.checks import type_name
from tinynet.program.nested import mapped
from tinynet.program.symbols import SymbolicTensor, refusal
from tinynet.program.tensor import (
    TABLE,
    Array,
    NotInPlace,
    Tensor,
    TensorMethods,
    as_default,
    as_tensor,
    numbers,
)
from tinynet.program.trace import RECORDER

__all__ = ["Array", "Tensor", "Variable", "aligned", "as_tensor", "join", "pack", "runs"]
__all__ += ["snapshot", "split"]

#: Function that returns an initializer by name; set by `initializers`.
find_initializer: Any = None


def copies(*arrays: Array | None) -> tuple[Any, ...]:
    """Copy arrays for user code, which may keep or change them, because buffers are reused."""
    return tuple(None if array is None else np.array(array) for array in arrays)


class Variable(NotInPlace, NDArrayOperatorsMixin):
    """A named array that is changed in place, such as a weight or the state of an optimizer.

    Parameters
    ----------
    initializer : array_like, str or Initializer
        Initial value, which is copied, or an initializer, which requires `shape`.
    trainable : bool
        If True, training updates the value.
    dtype : dtype, optional
        Data type; by default that of an array. Python numbers become ``config.floatx()`` and int32.
    name : str
        Name, for example ``"kernel"``.
    path : str, optional
        Path within the model, for example ``"dense/kernel"``; by default `name`.
    shape : tuple of int, optional
        Shape, if `initializer` is not an array.

    Raises
    ------
    ValueError
        If `initializer` is an initializer and `shape` is not given, or if it does not consist of
        real numbers.

    Examples
    --------
    >>> v = Variable([1.0, 2.0], name="bias")
    >>> _ = v.assign([3.0, 4.0])
    >>> v.numpy() + 1
    array([4., 5.], dtype=float32)
    >>> Variable("ones", shape=(2,)).numpy()
    array([1., 1.], dtype=float32)
    """

    #: Whether a layer that has this Variable as an attribute lists it among its weights.
    is_tracked = True

    #: Gradients of the most recent lookups of rows; each entry is the sum and the sum of squares.
    parts: tuple[tuple[Array, Array], ...] = ()

    def __init__(
        self,
        initializer: Any,
        trainable: bool = True,
        dtype: DTypeLike | None = None,
        name: str = "variable",
        path: str | None = None,
        shape: Any = None,
    ) -> None:
        dtype = None if dtype is None else type_name(dtype)
        if isinstance(initializer, str) or callable(initializer):
            if shape is None:
                raise ValueError(
                    "shape must be given if a variable is created from an initializer. "
                    f"Received: initializer={initializer!r:.60}"
                )
            initializer = find_initializer(initializer)(shape, dtype=dtype or config.floatx())
        value = numbers("initializer", np.asarray(initializer), initializer)
        if dtype is None and not hasattr(initializer, "dtype"):  # Python numbers, as in Keras
            value = as_default(value)
        native = value.dtype.newbyteorder("=")
        self.array: Array = np.array(value, dtype=dtype or native, order="C")
        self.name = checks.title(name, "variable")
        self.path = path or self.name
        self.trainable = checks.flag("trainable", trainable)
        #: Penalty added to the loss, and constraint applied after each update, if any.
        self.regularizer: Any = None
        self.constraint: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.array.size

    @property
    def dtype(self) -> str:
        """Name of the dtype, for example ``"float32"``."""
        return self.array.dtype.name

    @property
    def value(self) -> Any:
        """View of the current value, which changes with the Variable; in traced code, a symbol."""
        traced = RECORDER.get() is not None
        view: Any = SymbolicTensor([self.array], self.path) if traced else self.array.view(Tensor)
        view.source = self
        return view

    def numpy(self) -> Any:
        """Return a copy of the value."""
        return self._known("numpy()").copy()[()]

    def assign(self, value: Any) -> Tensor:
        """Assign a new value in place.

        Parameters
        ----------
        value : array_like
            New value, with the shape of the Variable.

        Returns
        -------
        Tensor
            New value.

        Raises
        ------
        ValueError
            If the shape differs or the values are not real numbers; the Variable is unchanged.

        Examples
        --------
        >>> Variable([1.0, 2.0]).assign([3.0, 4.0])
        Tensor([3., 4.], dtype=float32)
        """
        if RECORDER.get() is not None:
            return TABLE["assign"](self, value)
        if np.ma.is_masked(value):
            raise ValueError(f"{self.path} must not have masked entries. Received: {value!r:.60}")
        new = np.asarray(value)
        if new.shape != self.shape or new.dtype.kind not in "fiub":
            raise ValueError(
                f"value must be an array of real numbers of shape {self.shape} for {self.path}. "
                f"Received: shape {new.shape}, dtype {new.dtype}"
            )
        self.array[...] = new
        return as_tensor(self.array.copy())

    def assign_add(self, value: Any) -> Tensor:
        """Add to the value in place.

        Parameters
        ----------
        value : array_like
            Addend, with the shape of the Variable.

        Returns
        -------
        Tensor
            New value.
        """
        return self.assign(TABLE["add"](self, value))

    def assign_sub(self, value: Any) -> Tensor:
        """Subtract from the value in place.

        Parameters
        ----------
        value : array_like
            Subtrahend, with the shape of the Variable.

        Returns
        -------
        Tensor
            New value.
        """
        return self.assign(TABLE["subtract"](self, value))

    def _misfit(self, shape: tuple[int, ...]) -> ValueError:
        """Return the error for an array whose shape differs from that of a traced program."""
        return ValueError(
            f"{self.path} must keep its shape {shape}. Received: shape {self.array.shape}"
        )

    def _known(self, what: str) -> Array:
        """Return the array; raise an error in traced code, where it would stay constant."""
        if RECORDER.get() is not None:
            raise refusal(self, what, "a function of tinynet.ops")
        return self.array

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        """Return a copy of the value for NumPy, or the array itself if ``copy=False``."""
        array = self._known("a conversion to a NumPy array")
        return np.array(array, dtype, copy=copy is not False, order="K")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Apply a ufunc to the value; the result is a Tensor."""
        if any(isinstance(array, Variable) for array in kwargs.get("out", ())):
            raise TypeError(f"{self.path} must be changed with assign. Received: out={self!r:.60}")
        return self.value.__array_ufunc__(ufunc, method, *mapped(value_of, inputs), **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Apply a function of NumPy to the value; the result is a Tensor."""
        return self.value.__array_function__(function, types, *mapped(value_of, (args, kwargs)))

    def __getitem__(self, key: Any) -> Any:
        """Return a part of the value."""
        return self.value[key]

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self.array)

    def __float__(self) -> float:
        """Return the value of a Variable with one element."""
        return float(self._known("float(x)"))

    def __bool__(self) -> bool:
        """Return whether the value of a Variable with one element is nonzero."""
        return bool(self._known("a condition (if, while, and, or, not)"))

    def __int__(self) -> int:
        """Return the value of a Variable with one element as an integer."""
        return int(self._known("int(x)"))

    def __format__(self, spec: str) -> str:
        """Format the value of a Variable with one element."""
        return format(self.array[()], spec) if spec else repr(self)

    def __repr__(self) -> str:
        return (
            f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, "
            f"value={self.array}>"
        )


def value_of(item: Any) -> Any:
    """Return the value of a Variable, a tensor that tapes know; anything else unchanged."""
    return item.value if isinstance(item, Variable) else item


def result_of(item: Any) -> Any:
    """Return what a layer returns as a tensor; a Variable, as a tensor with its present value."""
    tensor = value_of(item)
    if hasattr(tensor, "source"):
        return TABLE["identity_of"](tensor)
    return tensor if isinstance(tensor, TensorMethods) else as_tensor(tensor)


def snapshot(variables: Iterable[Variable]) -> Callable[[], None]:
    """Copy the values of Variables; return a function without arguments that restores them."""
    arrays = [(variable, variable.array.copy()) for variable in variables]

    def restore() -> None:
        for variable, array in arrays:
            variable.array[...] = array

    return restore


def pack(variables: Iterable[Variable]) -> None:
    """Move Variables into flat vectors, one per dtype, of which they become contiguous views.

    Variables that are already contiguous are not moved, because other objects may hold their
    addresses.
    """
    groups: dict[Any, list[Variable]] = {}
    for variable in variables:
        groups.setdefault(variable.array.dtype, []).append(variable)
    for dtype, group in groups.items():
        first, last = group[0].array, group[-1].array
        is_packed = first.base is last.base and first.flags.carray
        if is_packed and runs([v.array for v in group]) == [(0, len(group))]:
            continue
        flat = aligned((sum(v.size for v in group),), dtype)
        for variable, view in zip(group, split(flat, [v.shape for v in group]), strict=True):
            view[...] = variable.array
            variable.array = view


def split(flat: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Split a flat vector into contiguous views of the given shapes."""
    sizes = [*map(math.prod, shapes)]
    ends = itertools.accumulate(sizes)
    return [
        flat[end - size : end].reshape(shape)
        for shape, size, end in zip(shapes, sizes, ends, strict=True)
    ]


def runs(arrays: Sequence[Array]) -> list[tuple[int, int]]:
    """Return ranges of positions ``[first, last)`` whose arrays are contiguous in memory."""
    found: list[tuple[int, int]] = []
    for i, array in enumerate(arrays):
        before = arrays[i - 1]
        if (
            i > 0
            and array.base is not None
            and array.dtype == before.dtype
            and array.flags.c_contiguous
            and array.base is before.base
            and before.ctypes.data + before.nbytes == array.ctypes.data
        ):
            found[-1] = (found[-1][0], i + 1)
        else:
            found.append((i, i + 1))
    return found


def join(arrays: Sequence[Array]) -> Array:
    """Return a flat view of arrays that `runs` found to be contiguous."""
    if len(arrays) == 1:
        return arrays[0].reshape(-1)
    base = arrays[0].base
    assert isinstance(base, np.ndarray)
    start = arrays[0].ctypes.data - base.ctypes.data
    memory = base.reshape(-1).view(np.uint8)[start : start + sum(a.nbytes for a in arrays)]
    return memory.view(arrays[0].dtype)
