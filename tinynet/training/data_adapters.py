"""Arrays become batches: what users pass is checked and converted here, once.

uint8, float64, float32, big-endian, strided arrays and nested lists all give one answer. The
caller's arrays are read, never written.
"""

from __future__ import annotations

import itertools
import math
import operator
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinynet._core import checks, progress_bar
from tinynet._core.buffers import Workspace
from tinynet._core.checks import numeric
from tinynet.program.variable import Array
from tinynet.sparse import CompressedRows, LazyRows

Batch = tuple[Any, Any, Any]

# The default batch size.
BATCH_SIZE = 32
# How many numbers are looked at at once.
_PART = 1 << 17


def inputs(x: Any) -> Array:
    """Check inputs, and leave them in their own type: batches are converted one by one.

    Parameters
    ----------
    x : array_like, shape (N, ...)
        The inputs: real numbers of any type.

    Returns
    -------
    ndarray, shape (N, ...)
        The same memory if `x` is an array.

    Raises
    ------
    ValueError
        If they are no real numbers, or have no batch axis.

    Examples
    --------
    >>> inputs(np.uint8([[0, 255]]))
    array([[  0, 255]], dtype=uint8)
    """
    if hasattr(x, "tocsr"):
        x = x.toarray()
    if isinstance(x, CompressedRows):
        raise ValueError(
            "x must be a dense array unless the model's first layer is Dense. "
            f"Received: a CSR matrix of shape {x.shape}"
        )
    checks.require(x is not None, "x must be an array of inputs", "x=None")
    array: Array = numeric("x", x)
    if array.ndim == 0:
        raise ValueError(f"x must have a batch axis. Received: {checks.shorten(x)}")
    return array


def converted(x: Array, dtype: Any) -> Array:
    """Bring checked inputs into the form that layers take.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
        What `inputs` returned, or some rows of it.
    dtype : dtype
        The type that the model computes in.

    Returns
    -------
    ndarray, shape (N, ...)
        C-contiguous, of that type; the same memory where nothing had to change.

    Examples
    --------
    >>> converted(np.uint8([[0, 255]]), "float32")
    array([[  0., 255.]], dtype=float32)
    """
    if _is_ready(x, dtype):
        return x
    with np.errstate(over="ignore"):  # what is too large for the type becomes infinite
        return np.require(x, dtype, ["C", "A"])


def _is_ready(x: Array, dtype: Any) -> bool:
    """Whether kernels read an array as it is."""
    return bool(x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned)


def largest(values: Array, rows: int) -> float:
    """Return the largest absolute value of some inputs; of one row, the largest value.

    Parameters
    ----------
    values : ndarray
        The values, or those that are not 0.
    rows : int
        Number of rows.

    Returns
    -------
    float
        The largest.

    Examples
    --------
    >>> largest(np.array([[1.0, -2.0], [0.0, 1.0]]), 2)
    2.0
    """
    if rows == 1 and values.size:  # the fastest way, for a single image
        return values.item(values.argmax())
    return max(float(values.max(initial=0)), -float(values.min(initial=0)))


def only(name: str, value: Any, key: str | None, rows: int | None = None) -> Any:
    """Return the array for a model's one input or output: out of a dict, or a list of one array.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        What was passed.
    key : str or None
        The name of the input, or of the output; None if it is not known.
    rows : int, optional
        Number of rows expected, which distinguishes a list of one array from a list of rows.
        If None, an array of one dimension in a list is a row.

    Returns
    -------
    object
        The array, or the value itself if it is neither.

    Raises
    ------
    ValueError
        If the key is missing, or there are several arrays.

    Examples
    --------
    >>> only("x", {"pixels": [[1.0]]}, "pixels"), only("x", [[1.0]], "pixels")
    ([[1.0]], [[1.0]])
    """
    if isinstance(value, dict):
        if key in value and (name == "x" or len(value) == 1):
            return only(name, value[key], key, rows)
        expected = f", or a dict with the key {key!r}"
        if key is None:
            expected = "; to pass a dict, name the input with Input(shape, name=...)"
        raise ValueError(
            f"{name} must be an array{expected}. "
            f"Received: a dict with the keys {checks.shorten([*value])}"
        )
    if not isinstance(value, list | tuple) or not value:
        return value
    shape = tuple(getattr(value[0], "shape", ()))
    if len(value) == 1 and shape:
        whole = len(shape) > 1 if rows is None else rows == shape[0] or rows != 1
        return value[0] if whole else value
    if len(shape) > 1 and rows != len(value):
        raise ValueError(
            f"{name} must be a single array because the model has one input and one output; "
            f"combine examples with numpy.stack({name}). Received: {len(value)} arrays"
        )
    return value


def require_finite(
    name: str, array: Array | CompressedRows | LazyRows, columns: Any = None, dtype: Any = None
) -> float:
    """Check that no number is infinite or NaN; return the largest absolute value.

    Setting the environment variable ``TINYNET_ASSUME_FINITE`` to 1 saves the few milliseconds.

    Parameters
    ----------
    name : str
        What they are.
    array : ndarray, CompressedRows or LazyRows, shape (N, ...)
        The numbers.
    columns : sequence of D labels, optional
        Names of the columns, if they come from a table.
    dtype : dtype, optional
        The type that they will be converted to, in which they must be finite; by default their
        own.

    Returns
    -------
    float
        Largest absolute value; 0 for an empty array, NaN if the check is disabled.

    Raises
    ------
    ValueError
        If one is; says how many, and which row is the first.

    Examples
    --------
    >>> require_finite("x", np.array([[1.0], [np.inf]]))
    Traceback (most recent call last):
        ...
    ValueError: x must contain only finite values; clean the data, or set TINYNET_ASSUME_FINITE=1 \
    to skip this check. Received: 1 of 2 values not finite, the first in row 1: inf
    """
    if os.environ.get("TINYNET_ASSUME_FINITE") == "1":
        return math.nan
    if isinstance(array, LazyRows):
        array = array.array
    if dtype is None or isinstance(array, CompressedRows) or array.dtype.kind != "f":
        dtype = array.dtype
    rows = array
    if isinstance(array, CompressedRows):
        rows, starts = array.values[array.indptr[0] : array.indptr[-1]], array.indptr
    # In parts that stay in the processor's cache: the array may be larger than the memory.
    per_row = math.prod(rows.shape[1:])
    size = max(_PART // max(per_row, 1), 1)

    def parts() -> Iterator[Array]:
        return (converted(rows[i : i + size], dtype) for i in range(0, len(rows), size))

    bounds = [(float(part.min()), float(part.max())) for part in parts() if part.size]  # keep NaN
    largest = float(np.abs(bounds).max(initial=0))
    if math.isfinite(largest):
        return largest
    counts = [np.count_nonzero(~np.isfinite(part)) for part in parts()]
    begin = int(np.flatnonzero(counts)[0]) * size
    part = converted(rows[begin : begin + size], dtype).reshape(-1)
    where = int(np.flatnonzero(~np.isfinite(part))[0])
    first = begin * per_row + where
    row, index = divmod(first, per_row)
    if isinstance(array, CompressedRows):
        row = int(np.searchsorted(starts, starts[0] + first, "right")) - 1
        index = array.indices[starts[0] + first]
    column = "" if columns is None else f", column {columns[int(index) % len(columns)]!r}"
    raise ValueError(
        f"{name} must contain only finite values; clean the data, or set TINYNET_ASSUME_FINITE=1 "
        f"to skip this check. Received: {sum(counts)} of {math.prod(array.shape)} values not "
        f"finite, the first in row {row}{column}: {part[where]}"
    )


def typical_size(x: Array | CompressedRows | LazyRows) -> float:
    """Return the median, over at most 64 rows, of the largest absolute value of a row.

    Parameters
    ----------
    x : ndarray, CompressedRows or LazyRows, shape (N, ...)
        The inputs.

    Returns
    -------
    float
        The median.

    Examples
    --------
    >>> typical_size(np.array([[0.0, -3.0], [1.0, 2.0], [9.0, 0.0]]))
    3.0
    """
    x = x.array if isinstance(x, LazyRows) else x
    sample = x[:: -(-len(x) // 64)]
    if isinstance(sample, CompressedRows):
        rows = np.split(sample.values, sample.indptr[1:-1] - sample.indptr[0])
        return float(np.median([np.abs(row).max(initial=0) for row in rows[: len(sample)]]))
    return float(
        np.median(np.abs(sample.reshape(len(sample), -1).astype(float)).max(axis=1, initial=0))
    )


def same_length(**arrays: Array | None) -> None:
    """Check that arrays have one row for each example.

    Parameters
    ----------
    **arrays : ndarray or None
        The arrays by name; None is left out.

    Raises
    ------
    ValueError
        If their lengths differ.

    Examples
    --------
    >>> same_length(x=np.zeros(3), y=np.zeros(2))
    Traceback (most recent call last):
        ...
    ValueError: All arrays must have the same length. Received: x of length 3, y of length 2
    """
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        received = ", ".join(f"{name} of length {length}" for name, length in lengths.items())
        raise ValueError(f"All arrays must have the same length. Received: {received}")


def sample_weights(sample_weight: Any, class_weight: Any, dtype: str) -> Array | None:
    """Check the weights of examples.

    Parameters
    ----------
    sample_weight : array_like, shape (N, ...), or None
        What each example counts.
    class_weight : object
        Must be None where there are sample weights.
    dtype : str
        The type of the result.

    Returns
    -------
    ndarray or None
        The weights, if there are any.

    Raises
    ------
    ValueError
        If they are no finite numbers, or there are weights of both kinds.

    Examples
    --------
    >>> sample_weights([1, 2], None, "float32")
    array([1., 2.], dtype=float32)
    """
    if sample_weight is None:
        return None
    if class_weight is not None:
        raise ValueError("sample_weight must be None if class_weight is given. Received: both")
    weights = np.atleast_1d(numeric("sample_weight", sample_weight)).astype(dtype)
    require_finite("sample_weight", weights)
    return weights


def class_weights(
    y: Array, class_weight: Any, dtype: str, values_shape: tuple[int, ...] | None = None
) -> Array:
    """Turn weights of classes into weights of examples.

    As in Keras, the class of a row is the position of its largest entry, and the class of a
    number that is not an integer is the nearest one.

    Parameters
    ----------
    y : ndarray
        Labels, or rows with one entry per class.
    class_weight : dict of int to float
        Weight of each class; 1 for classes that are not in it.
    dtype : str
        Data type of the result.
    values_shape : tuple of int, optional
        Shape of the loss's values; by default one for each example.

    Returns
    -------
    ndarray, shape values_shape
        The weights.

    Raises
    ------
    TypeError, ValueError
        If `class_weight` is not a dict of numbers, or a value has no class.

    Examples
    --------
    >>> class_weights(np.array([0, 2, 1]), {0: 2.0, 2: 0.5}, "float32")
    array([2. , 0.5, 1. ], dtype=float32)
    """
    if not isinstance(class_weight, dict):
        raise TypeError(
            "class_weight must be a dict that maps classes to weights, such as "
            "dict(enumerate(weights)). "
            f"Received: class_weight={checks.shorten(class_weight)}"
        )
    values_shape = values_shape or y.shape[:1]
    if y.shape != values_shape and y.shape[:-1] == values_shape:
        y = y[..., 0] if y.shape[-1] == 1 else y.argmax(axis=-1)
    if y.shape != values_shape:
        raise ValueError(
            f"y must have one class per loss value, shape {values_shape}, if class_weight is "
            f"given; add a last axis of size 1 to y. Received: y of shape {y.shape}"
        )
    classes, weights = np.rint(y), np.ones(values_shape, dtype)
    for label, weight in class_weight.items():
        value = checks.number(f"class_weight[{checks.shorten(label)}]", weight)
        # Keras looks classes up in the dict, where 1.0 and True equal 1.
        inexact = isinstance(label, float | np.floating | bool | np.bool_)
        if inexact and float(label).is_integer():
            label = int(label)
        weights[classes == checks.whole("class_weight key", label, 0)] = value
    return weights


class _Writable:
    """The memory of an array that can't be written, for who only reads it."""

    def __init__(self, x: Array) -> None:
        self._x = x  # lives as long as what is made of this
        self.__array_interface__ = {**x.__array_interface__, "data": (x.ctypes.data, False)}


class NamedRows:
    """Some rows of an array, named by their numbers and not copied yet.

    Parameters
    ----------
    x : ndarray, shape (M, ...)
        The array.
    rows : ndarray of int64, shape (N,)
        The numbers.

    Examples
    --------
    >>> rows = NamedRows(np.arange(6.0).reshape(3, 1, 2), np.array([2, 0]))
    >>> len(rows), rows.arrays[2][rows.arrays[3]]
    (2, array([[4., 5.],
           [0., 1.]]))
    """

    def __init__(self, x: Array, rows: Array) -> None:
        # A kernel compiled for what can be written is not compiled again for what can't.
        x = x if x.flags.writeable else np.asarray(_Writable(x))
        #: As compressed rows have them: four arrays, of which an array in memory needs two.
        self.arrays = None, None, x.reshape(len(x), -1), rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.arrays[3])


@dataclass
class Examples:
    """Inputs with their true values and weights, ready to be cut into batches.

    Parameters
    ----------
    x : ndarray, shape (N, ...), or CompressedRows, or LazyRows, or tuple of ndarray
        The inputs.
    y : ndarray, shape (N, ...), or tuple of (ndarray or None)
        The true values; of several outputs, in a tuple.
    weights : ndarray, shape (N, ...), or tuple of (ndarray or None), optional
        What each example counts.
    input_shape : tuple of (int or None), or tuple of them
        The shape that the caller's inputs had, batch size first and open.
    dtype : dtype, or tuple of them, optional
        The type that the inputs of a batch are converted to; by default they stay as they are.
    largest : float
        Largest absolute input, NaN if unknown.

    Examples
    --------
    >>> examples = Examples(np.arange(5), np.arange(5), dtype="float32")
    >>> [x.tolist() for x, _, _ in examples.batches(2)]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    """

    x: Any
    y: Any
    weights: Any = None
    input_shape: tuple[Any, ...] = ()
    dtype: Any = None
    largest: float = math.nan
    #: Whether batches are passed on as they are, to a step of a subclass.
    unchecked: ClassVar[bool] = False

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(listed(self.x)[0])

    @property
    def is_ready(self) -> bool:
        """Whether batches can be taken from the inputs as they are, without a conversion."""
        if isinstance(self.x, tuple | LazyRows):
            return False
        if isinstance(self.x, CompressedRows):
            return self.x.narrow
        return _is_ready(self.x, self.dtype or self.x.dtype)

    @property
    def example_bytes(self) -> int:
        """Number of bytes that the inputs of an example take as they are passed to a program."""
        pairs = zip(listed(self.x), listed(self.dtype) * len(listed(self.x)), strict=False)
        return sum(math.prod(x.shape[1:]) * np.dtype(d or x.dtype).itemsize for x, d in pairs)

    def steps(self, batch_size: int) -> int:
        """Count the batches, the last and smaller one included.

        Parameters
        ----------
        batch_size : int
            The size of a batch.

        Returns
        -------
        int
            Their number.
        """
        return math.ceil(len(self) / batch_size)

    def split(self, fraction: float) -> tuple[Examples, Examples]:
        """Cut off the last part, for validation.

        Parameters
        ----------
        fraction : float
            The part's share, between 0 and 1.

        Returns
        -------
        Examples, Examples
            All before the cut, and the last part.

        Raises
        ------
        ValueError
            If one of them has no examples.
        """
        cut = math.floor(len(self) * (1 - fraction))
        if not 0 < cut < len(self):
            raise ValueError(
                "validation_split must leave at least one example for training and one for "
                f"validation. Received: validation_split={fraction} of {len(self)} examples"
            )
        first, last = slice(0, cut), slice(cut, None)
        return self._part(first), self._part(last)

    def _part(self, rows: slice) -> Examples:
        x, y, weights = (each(lambda a: a[rows], v) for v in (self.x, self.y, self.weights))
        return Examples(x, y, weights, self.input_shape, self.dtype)

    def batches(
        self, batch_size: int, order: Any = None, work: Workspace | None = None, named: bool = False
    ) -> Iterator[Batch]:
        """Go through the examples, batch by batch.

        Parameters
        ----------
        batch_size : int
            The size of a batch; the last one may be smaller.
        order : ndarray of int, shape (N,), optional
            The order of the examples; by default as they are.
        work : Workspace, optional
            Where the batches' buffers live, if there is an order: each batch is written over
            the one before.
        named : bool
            Whether to give `NamedRows`, which are not copied yet, where possible.

        Yields
        ------
        x, y, weights : ndarray
            Each batch; of compressed rows, `x` is a `SparseBatch`.
        """
        work = work or Workspace()
        if order is None and named:
            order = np.arange(len(self))
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            if order is None:
                part = self._part(rows)
                yield each(whole, part.x, self.dtype), part.y, part.weights
            else:
                yield self._picked(order[rows], work, named)

    def _picked(self, rows: Array, work: Workspace, named: bool) -> Batch:
        """Copy rows into buffers, or name them."""
        if named and self.is_ready and isinstance(self.x, np.ndarray):
            x: Any = NamedRows(self.x, rows)
        else:
            x = _taken(self.x, rows, "x", work, self.dtype)
        others = []
        for name, arrays in (("y", self.y), ("weights", self.weights)):
            own = listed(arrays)
            if named and all(isinstance(a, np.ndarray) and _is_ready(a, a.dtype) for a in own):
                others.append(each(NamedRows, arrays, rows))
            else:
                others.append(_taken(arrays, rows, name, work))
        return x, *others


def each(function: Callable[..., Any], value: Any, *others: Any) -> Any:
    """Apply a function to an array, or to each in a tuple; None stays None.

    Parameters
    ----------
    function : callable
        The function.
    value : object
        The array, a tuple of arrays, or None.
    *others : object
        Further arguments; tuples of them if `value` is a tuple.

    Returns
    -------
    object
        The result, or a tuple of results.

    Examples
    --------
    >>> each(len, [1, 2]), each(len, ([1, 2], None)), each(len, None)
    (2, (2, None), None)
    """
    if isinstance(value, tuple):
        rest = [other if isinstance(other, tuple) else (other,) * len(value) for other in others]
        groups = zip(value, *rest, strict=True)
        return tuple(None if v is None else function(v, *others) for v, *others in groups)
    return None if value is None else function(value, *others)


def listed(value: Any) -> list[Any]:
    """Return the arrays of a tuple as a list; a single array as a list of one.

    Parameters
    ----------
    value : object or tuple
        An array, or a tuple of them.

    Returns
    -------
    list
        The arrays.

    Examples
    --------
    >>> listed(("a", "b")), listed("a")
    (['a', 'b'], ['a'])
    """
    return [*value] if isinstance(value, tuple) else [value]


def leaves(batch: Batch) -> list[Any]:
    """Return the arrays of a batch: inputs, targets, sample weights.

    Parameters
    ----------
    batch : tuple
        Each of these is an array, a tuple of arrays, or None.

    Returns
    -------
    list of ndarray
        The arrays.

    Examples
    --------
    >>> leaves(((np.zeros(1), np.ones(1)), np.zeros(1), None))
    [array([0.]), array([1.]), array([0.])]
    """
    return [array for part in batch for array in listed(part) if array is not None]


def packed(values: Sequence[Any]) -> Any:
    """Return the only entry of a list, or all in a tuple: the opposite of `listed`.

    Parameters
    ----------
    values : sequence
        The entries.

    Returns
    -------
    object or tuple
        The entry, or entries.

    Examples
    --------
    >>> packed([3]), packed([3, 4])
    (3, (3, 4))
    """
    return values[0] if len(values) == 1 else tuple(values)


def whole(x: Any, dtype: Any) -> Any:
    """Return all rows as a batch; nothing is written over later, so that threads may use it.

    Parameters
    ----------
    x : ndarray, CompressedRows or LazyRows, shape (N, ...)
        The rows.
    dtype : dtype or None
        Data type of the batch; with None, the rows are returned as they are.

    Returns
    -------
    ndarray or SparseBatch, shape (N, ...)
        The batch.

    Examples
    --------
    >>> whole(np.array([[1, 2]], "uint8"), "float32")
    array([[1., 2.]], dtype=float32)
    """
    if dtype is None:
        return x
    return x.batch() if isinstance(x, CompressedRows | LazyRows) else converted(x, dtype)


def _taken(arrays: Any, rows: Array, name: str, work: Workspace, dtype: Any = None) -> Any:
    """Copy rows of an array, or of each in a tuple, into buffers."""
    several = isinstance(arrays, tuple)
    names = tuple(f"{name}{k}" for k in range(len(arrays))) if several else name
    return each(lambda a, n, d: _take(a, rows, n, work, d), arrays, names, dtype)


def _take(array: Any, rows: Array, name: str, work: Workspace, dtype: Any = None) -> Any:
    """Copy rows into a buffer, converted; they are known to exist, which "clip" makes cheap."""
    if isinstance(array, CompressedRows | LazyRows):
        return array.batch(rows)
    dtype = np.dtype(dtype or array.dtype)
    out = work.array(name, (len(rows), *array.shape[1:]), dtype)
    if _is_ready(array, dtype):
        return array.take(rows, axis=0, out=out, mode="clip")
    size = max(_PART // max(math.prod(array.shape[1:]), 1), 1)
    with np.errstate(over="ignore"):
        for start in range(0, len(rows), size):
            out[start : start + size] = array[rows[start : start + size]]
    return out


def holds_arrays(item: Any) -> bool:
    """Return whether a list holds arrays, directly or in lists and dicts, rather than numbers.

    Parameters
    ----------
    item : object
        The list, or something else.

    Returns
    -------
    bool
        Whether it does; a dict is taken for one of arrays.

    Examples
    --------
    >>> holds_arrays([[1, 2]]), holds_arrays([np.zeros(2)])
    (False, True)
    """
    if isinstance(item, list | tuple):
        return any(map(holds_arrays, item[:3]))
    return isinstance(item, dict) or len(getattr(item, "shape", ())) > 0


class Stream:
    """Batches that the caller's own iterable gives, in place of arrays.

    Parameters
    ----------
    source : iterator, iterable, or sequence of batches
        Each batch is ``(x, y)`` or ``(x, y, sample_weight)``, or ``x`` alone for predictions.
    prepare : callable
        Checks and converts one batch: ``prepare(x, y, sample_weight) -> Examples``.
    any_structure : bool
        Whether a batch may also be another tuple, which is then passed as `x`.

    Examples
    --------
    >>> stream = Stream([(np.zeros((2, 1)), np.zeros(2))], lambda x, y, w: Examples(x, y, w))
    >>> [len(x) for x, _, _ in stream.batches(32)]
    [2]
    """

    def __init__(
        self, source: Any, prepare: Callable[[Any, Any, Any], Examples], any_structure: bool = False
    ) -> None:
        self._source, self._prepare, self._any_structure = source, prepare, any_structure
        # Batches that have numbers can be shuffled; all others come in their own order.
        plain = not hasattr(source, "__iter__") or hasattr(source, "on_epoch_end")
        self.indexed = plain and hasattr(source, "__getitem__") and not hasattr(source, "__next__")
        # The first batch defines the shape of the inputs, so it is read now and kept for the
        # first pass: an iterator can't be rewound.
        self._begun: Iterator[Examples] | None = self._prepared(None)
        self._first = next(self._begun, None)
        if self._first is None:
            raise ValueError(
                "The data must contain at least one batch; a generator can be iterated only once, "
                "so create a new one for each call. Received: no batches"
            )
        #: The first batch.
        self.first: Examples = self._first
        self.input_shape, self.unchecked = self._first.input_shape, self._first.unchecked

    def steps(self, batch_size: int) -> int | None:
        """Count the batches, where that is known.

        Parameters
        ----------
        batch_size : int
            Not used: the batches come as they are.

        Returns
        -------
        int or None
            Their number.
        """
        known = getattr(self._source, "num_batches", len)  # None for endless data
        if known is None or isinstance(known, int):
            return known
        if not hasattr(self._source, "__len__"):
            return None
        length = operator.length_hint(self._source, -1)  # len of some tf.data.Datasets raises
        return None if length < 0 else length

    def _prepared(self, order: Array | None) -> Iterator[Examples]:
        source: Any = self._source
        if self.indexed:
            n = self.steps(1)
            numbers = itertools.count() if n is None else range(n) if order is None else order
            source = (self._source[int(i)] for i in numbers)
        for item in source:
            # A list of arrays is a batch too, as a PyTorch DataLoader makes it.
            listed = isinstance(item, list) and len(item) < 4 and holds_arrays(item)
            parts = tuple(item) if listed or isinstance(item, tuple) else (item,)
            if self._any_structure and isinstance(item, tuple) and len(parts) not in (2, 3):
                parts = (item,)  # the step of a subclass takes any structure
            elif not 0 < len(parts) < 4:
                raise ValueError(
                    "A batch must be x, (x, y) or (x, y, sample_weight). "
                    f"Received: {checks.shorten(item)}"
                )
            x, y, weights = (*parts, None, None)[:3]
            yield self._prepare(x, y, weights)

    def batches(
        self, batch_size: int, order: Any = None, work: Workspace | None = None, named: bool = False
    ) -> Iterator[Batch]:
        """Iterate over the batches: an iterator continues, an iterable starts again.

        Parameters
        ----------
        batch_size, work, named : object
            Not used: the batches come as they are.
        order : ndarray of int, optional
            The order of batches that have numbers.

        Yields
        ------
        x, y, weights : ndarray
            Each batch.
        """
        for part in self._parts(order):
            yield from part.batches(max(len(part), 1))

    def _parts(self, order: Array | None) -> Iterator[Examples]:
        """Return the batches as they were prepared; those read already come first."""
        begun, self._begun = self._begun, None
        first, self._first = self._first, None
        if begun is not None and first is not None and not self.indexed:
            return itertools.chain([first], begun)
        return self._prepared(order)

    def tell(self, hook: str) -> None:
        """Call a hook of a `PyDataset`, which may shuffle there.

        Parameters
        ----------
        hook : str
            ``"on_epoch_begin"`` or ``"on_epoch_end"``.
        """
        getattr(self._source, hook, lambda: None)()


def batch_size(given_size: Any, source: Examples | Stream, steps: int | None) -> int:
    """Check the batch size, or choose it.

    Parameters
    ----------
    given_size : int or None
        What was passed.
    source : Examples or Stream
        What the batches are cut from.
    steps : int or None
        How many batches are wanted.

    Returns
    -------
    int
        As given, else what makes so many steps, else 32.

    Examples
    --------
    >>> examples = Examples(np.arange(5.0), np.arange(5))
    >>> batch_size(8, examples, 2), batch_size(None, examples, 2), batch_size(None, examples, None)
    (8, 3, 32)
    """
    cardinality = getattr(getattr(source, "_source", None), "cardinality", None)
    if steps is None and callable(cardinality) and int(cardinality()) == -1:
        raise ValueError(
            "steps_per_epoch, validation_steps or steps must be given for an infinite "
            "tf.data.Dataset. Received: None"
        )
    if given_size is not None:
        return checks.whole("batch_size", given_size)
    if steps is not None and isinstance(source, Examples):
        return math.ceil(len(source) / steps)
    return BATCH_SIZE


def orders(
    shuffle: Any, generator: np.random.Generator, size: int
) -> Callable[[int], Array] | None:
    """Say in which orders to go through the examples.

    Parameters
    ----------
    shuffle : bool or "batch"
        Whether in a new random order each time; ``"batch"``: only within each batch.
    generator : Generator
        Where the orders are drawn from.
    size : int
        The size of a batch.

    Returns
    -------
    callable or None
        Makes an order of n examples; None for the order that they have.

    Examples
    --------
    >>> within = orders("batch", np.random.default_rng(0), 2)
    >>> [sorted(pair) for pair in within(4).reshape(2, 2).tolist()]
    [[0, 1], [2, 3]]
    """

    def within_batches(n: int) -> Array:
        order = np.arange(n)
        for start in range(0, n, size):
            generator.shuffle(order[start : start + size])
        return order

    if shuffle == "batch":
        return within_batches
    return generator.permutation if shuffle else None


def is_stream(x: Any) -> bool:
    """Say whether something gives batches one after the other, rather than being an array.

    Parameters
    ----------
    x : object
        What was passed as data.

    Returns
    -------
    bool
        Whether it is an iterator, an iterable or a sequence of batches.

    Examples
    --------
    >>> is_stream(iter([])), is_stream([[1.0]]), is_stream(np.zeros(3))
    (True, False, False)
    """
    arrays: Any = list | tuple | dict | range | str | bytes | CompressedRows
    if isinstance(x, arrays) or hasattr(x, "__array__") or hasattr(x, "tocsr"):
        return False
    return any(hasattr(x, name) for name in ("__next__", "__iter__", "__getitem__"))


def warn_and_continue(message: str) -> None:
    """Issue a warning; if warnings are errors, print it, so that no finished training is lost.

    Parameters
    ----------
    message : str
        The warning.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_and_continue("The input ran out of data.")
    >>> str(caught[0].message)
    'The input ran out of data.'
    """
    try:
        checks.warn(message)
    except UserWarning:
        progress_bar.write(f"UserWarning: {message}\n", sys.stderr)


class Feed:
    """The batches of one epoch after another.

    Parameters
    ----------
    source : Examples or Stream
        Where they come from.
    batch_size : int
        The size of a batch.
    limit : int, optional
        The number of batches in an epoch. If the data has more, the next epoch continues from
        there; if fewer are left, the epoch ends with them, and a warning is issued. An epoch never
        ends without a batch while the data can be read again.
    shuffled : callable, optional
        Makes an order for one pass through the data: ``shuffled(n)``.
    work : Workspace, optional
        Where the batches' buffers live.

    Examples
    --------
    >>> feed = Feed(Examples(np.arange(5.0), np.arange(5)), 2, limit=2)
    >>> [x.tolist() for x, _, _ in feed.epoch()], [x.tolist() for x, _, _ in feed.epoch()]
    ([[0.0, 1.0], [2.0, 3.0]], [[4.0]])
    """

    def __init__(
        self,
        source: Examples | Stream,
        batch_size: int,
        limit: int | None = None,
        shuffled: Callable[[int], Array] | None = None,
        work: Workspace | None = None,
    ) -> None:
        self.source, self.batch_size, self.limit = source, batch_size, limit
        #: Whether the inputs of a batch are named, and not copied.
        self.named = False
        #: The last batch of a single training step.
        self.last: Batch | None = None
        self._shuffled, self._work = shuffled, work
        self._running: Iterator[Batch] | None = None
        self.steps = limit if limit is not None else source.steps(batch_size)

    def _begin(self) -> Iterator[Batch]:
        source, n = self.source, None
        if self._shuffled is not None and (isinstance(source, Examples) or source.indexed):
            n = source.steps(1)
        order = None if n is None or self._shuffled is None else self._shuffled(n)
        return source.batches(self.batch_size, order, self._work, self.named)

    def epoch(self) -> Iterator[Batch]:
        """Iterate over one epoch; yield nothing if the data can't be read again.

        Yields
        ------
        x, y, weights : ndarray
            Each batch.
        """
        if isinstance(self.source, Stream):
            self.source.tell("on_epoch_begin")
        yield from self._begin() if self.limit is None else self._next(self.limit)
        if isinstance(self.source, Stream):
            self.source.tell("on_epoch_end")

    def _next(self, limit: int) -> Iterator[Batch]:
        """Iterate over the next batches, of which there may be fewer."""
        running = self._running
        done = 0
        while not done:
            continued, self._running = running is not None, running or self._begin()
            for batch in itertools.islice(self._running, limit):
                done += 1
                yield batch
            if not continued:
                break
            running = None  # the pass before had just ended
        if done != limit:
            self._running = None
            if done:
                warn_and_continue(
                    f"The input ran out of data after {done} of {limit} steps of this epoch; "
                    "reduce the number of steps or provide more batches."
                )


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """Return the inputs, targets and sample weights of a batch, as in a `train_step`.

    Parameters
    ----------
    data : object, or tuple or list of them
        ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``.

    Returns
    -------
    tuple
        ``(x, y, sample_weight)``; None for missing parts.

    Raises
    ------
    ValueError
        If a tuple has more than three entries, or none.

    Examples
    --------
    >>> unpack_x_y_sample_weight((1.0, 2.0))
    (1.0, 2.0, None)
    """
    parts = tuple(data) if isinstance(data, list | tuple) else (data,)
    if not 0 < len(parts) < 4:
        raise ValueError(
            "data must be x, (x,), (x, y) or (x, y, sample_weight). "
            f"Received: data={checks.shorten(data)}"
        )
    return (*parts, None, None)[:3]


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Return a batch from which `unpack_x_y_sample_weight` gets the arguments.

    Parameters
    ----------
    x, y, sample_weight : object
        Inputs, targets and sample weights.

    Returns
    -------
    object
        ``x``, or a tuple of the arguments that are given.

    Examples
    --------
    >>> pack_x_y_sample_weight(1.0), pack_x_y_sample_weight([1.0]), pack_x_y_sample_weight(1.0, 2.0)
    (1.0, ([1.0],), (1.0, 2.0))
    """
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, list | tuple) else x
