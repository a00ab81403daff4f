"""Variables (weights with a name) and Tensors (results).

A `Variable` is a named array that training changes in place. Once a model is built, all its
Variables are views into one flat vector (`pack`), so an optimizer step is one call over one
vector, and a checkpoint is a handful of arrays.

A `Tensor` is an ordinary NumPy array that also answers ``.numpy()``, so that programs written
for TensorFlow's tensors run unchanged.
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
from tinynet._core.buffers import aligned
from tinynet.program.tensor import TABLE, Array, Tensor, as_tensor
from tinynet.program.trace import RECORDER

__all__ = ["Array", "Tensor", "Variable", "aligned", "as_tensor", "join", "pack", "runs"]
__all__ += ["snapshot", "split"]

#: The function that finds an initializer by its name; `initializers` sets it.
find_initializer: Any = None


def copies(*arrays: Array | None) -> tuple[Any, ...]:
    """Copy arrays for user code, which may keep or change them: buffers are reused.

    Parameters
    ----------
    *arrays : ndarray or None
        The arrays.

    Returns
    -------
    tuple of (ndarray or None)
        A copy of each.

    Examples
    --------
    >>> copies(np.ones(2), None)
    (array([1., 1.]), None)
    """
    return tuple(None if array is None else np.array(array) for array in arrays)


class Variable(NDArrayOperatorsMixin):
    """A named array that is changed in place: a weight, or an optimizer's state.

    Parameters
    ----------
    initializer : array_like, str or Initializer
        Initial value, copied; or an initializer, which needs `shape`.
    trainable : bool
        Whether training may change it.
    dtype : dtype, optional
        Data type, by default that of an array; numbers of Python become ``config.floatx()`` and
        int32.
    name : str
        Its own name, for example ``"kernel"``.
    path : str, optional
        Its name within the model, for example ``"dense/kernel"``; by default `name`.
    shape : tuple of int, optional
        Shape that an initializer is called with.

    Raises
    ------
    ValueError
        If an initializer is given without a shape.

    Examples
    --------
    >>> v = Variable([1.0, 2.0], name="bias")
    >>> _ = v.assign([3.0, 4.0])
    >>> v.numpy() + 1
    array([4., 5.], dtype=float32)
    >>> Variable("ones", shape=(2,)).numpy()
    array([1., 1.], dtype=float32)
    """

    #: Whether a layer that has it in an attribute lists it among its weights.
    is_tracked = True

    #: Gradients of the last look-ups of its rows; of each, the sum and the sum of squares.
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
        if isinstance(initializer, str) or callable(initializer):
            if shape is None:
                raise ValueError(
                    "shape must be given if a variable is created from an initializer. "
                    f"Received: initializer={initializer!r:.60}"
                )
            initializer = find_initializer(initializer)(shape, dtype=dtype or config.floatx())
        if dtype is None and not hasattr(initializer, "dtype"):  # numbers of Python, as in Keras
            kind = np.asarray(initializer).dtype.kind
            dtype = {"f": config.floatx(), "i": "int32"}.get(kind)
        self.array: Array = np.array(initializer, dtype=dtype, order="C")
        self.name = name
        self.path = path or name
        self.trainable = trainable
        #: What its size costs in the loss, and what it must satisfy after a step, if anything.
        self.regularizer: Any = None
        self.constraint: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """The number of its dimensions."""
        return self.array.ndim

    @property
    def size(self) -> int:
        """The number of its elements."""
        return self.array.size

    @property
    def dtype(self) -> str:
        """The name of its data type, for example ``"float32"``."""
        return self.array.dtype.name

    @property
    def value(self) -> Tensor:
        """A live view: it changes as the Variable does."""
        view = self.array.view(Tensor)
        view.source = self
        return view

    def numpy(self) -> Any:
        """Return a copy of the value."""
        return self.array.copy()[()]

    def assign(self, value: Any) -> Tensor:
        """Set the value, in place.

        Parameters
        ----------
        value : array_like
            The new value, of this Variable's shape.

        Returns
        -------
        Tensor
            The new value.

        Raises
        ------
        ValueError
            If the shape differs, or the values are not real numbers; nothing is changed.

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
                f"{self.path} takes real numbers of shape {self.shape}. "
                f"Received: shape {new.shape}, dtype {new.dtype}"
            )
        self.array[...] = new
        return as_tensor(self.array.copy())

    def assign_add(self, value: Any) -> Tensor:
        """Add to the value, in place.

        Parameters
        ----------
        value : array_like
            Addend, of this Variable's shape.

        Returns
        -------
        Tensor
            The new value.
        """
        return self.assign(TABLE["add"](self, value))

    def assign_sub(self, value: Any) -> Tensor:
        """Subtract from the value, in place.

        Parameters
        ----------
        value : array_like
            Subtrahend, of this Variable's shape.

        Returns
        -------
        Tensor
            The new value.
        """
        return self.assign(TABLE["subtract"](self, value))

    def _misfit(self, shape: tuple[int, ...]) -> ValueError:
        """Return the error for an array whose shape is not the one that a program was made for."""
        return ValueError(
            f"{self.path} must keep its shape {shape}. Received: shape {self.array.shape}"
        )

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        """Return a copy of the value for NumPy; the array itself where it asks for no copy."""
        return np.array(self.array, dtype, copy=copy is not False, order="K")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Compute with the value; the result is a Tensor."""
        return self.value.__array_ufunc__(
            ufunc, method, *(i.value if isinstance(i, Variable) else i for i in inputs), **kwargs
        )

    def __getitem__(self, key: Any) -> Any:
        """Return a part of the value."""
        return self.value[key]

    def __len__(self) -> int:
        """Return the length of the first dimension."""
        return len(self.array)

    def __float__(self) -> float:
        """Return the value of a Variable of one element."""
        return float(self.array)

    def __int__(self) -> int:
        """Return the value of a Variable of one element, as an integer."""
        return int(self.array)

    def __format__(self, spec: str) -> str:
        """Format a Variable of one element as its number."""
        return format(self.array[()], spec) if spec else repr(self)

    def __repr__(self) -> str:
        return (
            f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, "
            f"value={self.array}>"
        )


def snapshot(variables: Iterable[Variable]) -> Callable[[], None]:
    """Copy the values of Variables; return a function that restores them.

    Parameters
    ----------
    variables : iterable of Variable
        The Variables.

    Returns
    -------
    callable
        The function, which takes no arguments.

    Examples
    --------
    >>> v = Variable([1.0])
    >>> restore = snapshot([v])
    >>> _ = v.assign([2.0])
    >>> restore()
    >>> v.numpy()
    array([1.], dtype=float32)
    """
    arrays = [(variable, variable.array.copy()) for variable in variables]

    def restore() -> None:
        for variable, array in arrays:
            variable.array[...] = array

    return restore


def pack(variables: Iterable[Variable]) -> None:
    """Move Variables into flat vectors, one for each dtype; they become contiguous views.

    Variables that are already contiguous stay where they are, so that nobody who knows their
    memory loses it.

    Parameters
    ----------
    variables : iterable of Variable
        Their arrays may be replaced; their values and types are kept.

    Examples
    --------
    >>> kernel, bias = Variable([[1.0, 2.0]]), Variable([3.0])
    >>> pack([kernel, bias])
    >>> flat = join([kernel.array, bias.array])
    >>> flat *= 10
    >>> kernel.numpy(), bias.numpy()
    (array([[10., 20.]], dtype=float32), array([30.], dtype=float32))
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
    """Split a flat vector into contiguous views of the given shapes.

    Parameters
    ----------
    flat : ndarray, shape (P,)
        The vector.
    shapes : sequence of tuple of int
        The shapes, together of P elements.

    Returns
    -------
    list of ndarray
        Views into `flat`.

    Examples
    --------
    >>> split(np.arange(5), [(2, 2), (1,)])
    [array([[0, 1],
           [2, 3]]), array([4])]
    """
    sizes = [*map(math.prod, shapes)]
    ends = itertools.accumulate(sizes)
    return [
        flat[end - size : end].reshape(shape)
        for shape, size, end in zip(shapes, sizes, ends, strict=True)
    ]


def runs(arrays: Sequence[Array]) -> list[tuple[int, int]]:
    """Find the neighbours in a list that are contiguous in memory, too.

    Parameters
    ----------
    arrays : sequence of ndarray
        C-contiguous arrays.

    Returns
    -------
    list of (int, int)
        Ranges of positions ``[first, last)`` that cover the list; the arrays of one range are
        contiguous in one vector.

    Examples
    --------
    >>> a, b = split(np.zeros(5), [(2, 2), (1,)])
    >>> runs([a, b, np.zeros(3)])
    [(0, 2), (2, 3)]
    """
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
    """View arrays that `runs` found to be contiguous as one flat vector.

    Parameters
    ----------
    arrays : sequence of ndarray
        Arrays that are contiguous in memory, of one dtype.

    Returns
    -------
    ndarray, shape (P,)
        A view of all their elements.

    Examples
    --------
    >>> a, b = split(np.arange(5), [(2, 2), (1,)])
    >>> join([a, b])
    array([0, 1, 2, 3, 4])
    """
    if len(arrays) == 1:
        return arrays[0].reshape(-1)
    base = arrays[0].base
    assert isinstance(base, np.ndarray)
    start = arrays[0].ctypes.data - base.ctypes.data
    memory = base.reshape(-1).view(np.uint8)[start : start + sum(a.nbytes for a in arrays)]
    return memory.view(arrays[0].dtype)
