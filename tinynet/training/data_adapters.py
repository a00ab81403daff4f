"""Validate and convert the user's data once, and split it into batches.

Arrays of any numeric dtype, byte order or strides, and nested lists, give the same results. The
user's arrays are never modified.
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

# Default batch size, as in Keras.
BATCH_SIZE = 32
# Number of array elements that are processed at a time.
_PART = 1 << 17


def inputs(x: Any) -> Array:
    """Validate inputs without converting their dtype; return the same memory if `x` is an array."""
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
    """Return validated inputs as a C-contiguous array of a dtype, without a copy if possible."""
    if _is_ready(x, dtype):
        return x
    with np.errstate(over="ignore"):  # values out of range become infinite
        return np.require(x, dtype, ["C", "A"])


def _is_ready(x: Array, dtype: Any) -> bool:
    """Return whether kernels can read an array without a conversion."""
    return bool(x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned)


def largest(values: Array, rows: int) -> float:
    """Return the largest absolute value of inputs; for a single row, the largest signed value."""
    if rows == 1 and values.size:  # fast path for a single image, without the smallest value
        return values.item(values.argmax())
    return max(float(values.max(initial=0)), -float(values.min(initial=0)))


def only(name: str, value: Any, key: str | None, rows: int | None = None) -> Any:
    """Return the array for the only input or output: from a dict, or from a list of one array.

    `rows` is the expected number of rows, which distinguishes a list of one array from a list of
    rows; if it is None, a 1-D array in a list is a row.
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
        part = "input" if name == "x" else "output"
        raise ValueError(
            f"{name} must be a single array because the model has one {part}; "
            f"combine examples with numpy.stack({name}). Received: {name} with {len(value)} arrays"
        )
    return value


def require_finite(
    name: str, array: Array | CompressedRows | LazyRows, columns: Any = None, dtype: Any = None
) -> float:
    """Check that all values are finite in `dtype`; return the largest absolute value.

    `columns` are column names for the error message. If the environment variable
    ``TINYNET_ASSUME_FINITE`` is 1, the check is skipped and NaN is returned.
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
    # Process parts that fit into the CPU cache; a memory-mapped array may be larger than the RAM.
    per_row = math.prod(rows.shape[1:])
    size = max(_PART // max(per_row, 1), 1)

    def parts() -> Iterator[Array]:
        return (converted(rows[i : i + size], dtype) for i in range(0, len(rows), size))

    # min() and max() of an array propagate NaN.
    bounds = [(float(part.min()), float(part.max())) for part in parts() if part.size]
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
        f"to skip this check. Received: {name} with {sum(counts)} of {math.prod(array.shape)} "
        f"values not finite; the first is {part[where]} in row {row}{column}"
    )


def typical_size(x: Array | CompressedRows | LazyRows) -> float:
    """Return the median, over at most 64 rows, of the largest absolute value of a row."""
    x = x.array if isinstance(x, LazyRows) else x
    sample = x[:: -(-len(x) // 64)]
    if isinstance(sample, CompressedRows):
        rows = np.split(sample.values, sample.indptr[1:-1] - sample.indptr[0])
        return float(np.median([np.abs(row).max(initial=0) for row in rows[: len(sample)]]))
    return float(
        np.median(np.abs(sample.reshape(len(sample), -1).astype(float)).max(axis=1, initial=0))
    )


def same_length(**arrays: Array | None) -> None:
    """Check that all arrays that are not None have the same number of rows."""
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        received = ", ".join(f"{name} of length {length}" for name, length in lengths.items())
        raise ValueError(f"All arrays must have the same length. Received: {received}")


def sample_weights(sample_weight: Any, class_weight: Any, dtype: str) -> Array | None:
    """Validate sample weights and convert them to `dtype`; return None if they are not given."""
    if sample_weight is None:
        return None
    if class_weight is not None:
        raise ValueError(
            "sample_weight must be None if class_weight is given. "
            f"Received: sample_weight={checks.shorten(sample_weight)}, "
            f"class_weight={checks.shorten(class_weight)}"
        )
    weights = np.atleast_1d(numeric("sample_weight", sample_weight)).astype(dtype)
    require_finite("sample_weight", weights)
    return weights


def class_weights(
    y: Array, class_weight: Any, dtype: str, values_shape: tuple[int, ...] | None = None
) -> Array:
    """Convert class weights to weights of the loss values, which have the shape `values_shape`.

    As in Keras, the class of a row is the index of its largest entry, and a target that is not an
    integer is rounded to the nearest class.
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
        # In Keras, the keys 1.0 and True also match class 1.
        inexact = isinstance(label, float | np.floating | bool | np.bool_)
        if inexact and float(label).is_integer():
            label = int(label)
        weights[classes == checks.whole("class_weight key", label, 0)] = value
    return weights


class _Writable:
    """Wrapper that presents a read-only array as writable, for code that does not write to it."""

    def __init__(self, x: Array) -> None:
        self._x = x  # keeps the memory alive
        self.__array_interface__ = {**x.__array_interface__, "data": (x.ctypes.data, False)}


class NamedRows:
    """Rows of an array, given by their indices and not copied yet."""

    def __init__(self, x: Array, rows: Array) -> None:
        # Avoids a second specialization of the kernels for read-only arrays.
        x = x if x.flags.writeable else np.asarray(_Writable(x))
        #: ``(indptr, indices, values, order)`` as in a CSR batch; only the last two are needed.
        self.arrays = None, None, x.reshape(len(x), -1), rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.arrays[3])


@dataclass
class Examples:
    """Inputs with their targets and sample weights, which can be split into batches.

    Each of `x`, `y` and `weights` is an array, or a tuple of arrays for several inputs or outputs.
    `input_shape` is the shape of the user's inputs, with None as the batch size. Batches of inputs
    are converted to `dtype`, if it is given. `largest` is the largest absolute input, or NaN.
    """

    x: Any
    y: Any
    weights: Any = None
    input_shape: tuple[Any, ...] = ()
    dtype: Any = None
    largest: float = math.nan
    #: Whether batches are passed to the custom step of a subclass without validation.
    unchecked: ClassVar[bool] = False

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(listed(self.x)[0])

    @property
    def is_ready(self) -> bool:
        """Whether batches are views of the inputs, without a conversion."""
        if isinstance(self.x, tuple | LazyRows):
            return False
        if isinstance(self.x, CompressedRows):
            return self.x.narrow
        return _is_ready(self.x, self.dtype or self.x.dtype)

    @property
    def example_bytes(self) -> int:
        """Size of the converted inputs of one example, in bytes."""
        pairs = zip(listed(self.x), listed(self.dtype) * len(listed(self.x)), strict=False)
        return sum(math.prod(x.shape[1:]) * np.dtype(d or x.dtype).itemsize for x, d in pairs)

    def steps(self, batch_size: int) -> int:
        """Return the number of batches, including the final partial batch."""
        return math.ceil(len(self) / batch_size)

    def split(self, fraction: float) -> tuple[Examples, Examples]:
        """Split off the last `fraction` of the examples, for validation."""
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
        """Yield batches ``(x, y, weights)`` in the given order; CSR inputs yield a `SparseBatch`.

        If `order` is given, batches share the buffers in `work`: each batch overwrites the previous
        one. If `named` is True, inputs are returned as `NamedRows` if possible, to avoid a copy.
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
        """Copy rows into buffers, or return them as `NamedRows`."""
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
    """Apply a function to an array, or to each array of a tuple; None is returned unchanged."""
    if isinstance(value, tuple):
        rest = [other if isinstance(other, tuple) else (other,) * len(value) for other in others]
        groups = zip(value, *rest, strict=True)
        return tuple(None if v is None else function(v, *others) for v, *others in groups)
    return None if value is None else function(value, *others)


def listed(value: Any) -> list[Any]:
    """Return the arrays of a tuple as a list, or a single array as a list with one entry."""
    return [*value] if isinstance(value, tuple) else [value]


def leaves(batch: Batch) -> list[Any]:
    """Return the arrays of a batch as a list: inputs, targets, sample weights."""
    return [array for part in batch for array in listed(part) if array is not None]


def packed(values: Sequence[Any]) -> Any:
    """Return the only entry of a list, or all entries as a tuple: the inverse of `listed`."""
    return values[0] if len(values) == 1 else tuple(values)


def whole(x: Any, dtype: Any) -> Any:
    """Return all rows as one batch, in memory that is not reused, so that threads may read it."""
    if dtype is None:
        return x
    return x.batch() if isinstance(x, CompressedRows | LazyRows) else converted(x, dtype)


def _taken(arrays: Any, rows: Array, name: str, work: Workspace, dtype: Any = None) -> Any:
    """Copy rows of an array, or of each array of a tuple, into buffers."""
    several = isinstance(arrays, tuple)
    names = tuple(f"{name}{k}" for k in range(len(arrays))) if several else name
    return each(lambda a, n, d: _take(a, rows, n, work, d), arrays, names, dtype)


def _take(array: Any, rows: Array, name: str, work: Workspace, dtype: Any = None) -> Any:
    """Copy rows into a buffer and convert them."""
    if isinstance(array, CompressedRows | LazyRows):
        return array.batch(rows)
    dtype = np.dtype(dtype or array.dtype)
    out = work.array(name, (len(rows), *array.shape[1:]), dtype)
    if _is_ready(array, dtype):
        # The indices are valid, so mode="clip" is used to skip the bounds check.
        return array.take(rows, axis=0, out=out, mode="clip")
    size = max(_PART // max(math.prod(array.shape[1:]), 1), 1)
    with np.errstate(over="ignore"):
        for start in range(0, len(rows), size):
            out[start : start + size] = array[rows[start : start + size]]
    return out


def holds_arrays(item: Any) -> bool:
    """Return whether a list contains arrays or dicts, at any depth, rather than numbers."""
    if isinstance(item, list | tuple):
        return any(map(holds_arrays, item[:3]))
    return isinstance(item, dict) or len(getattr(item, "shape", ())) > 0


class Stream:
    """Batches from the user's iterable, generator or sequence of batches.

    `prepare(x, y, sample_weight)` validates one batch and returns `Examples`. If `any_structure` is
    True, a batch may be any tuple, which is then passed as `x`.
    """

    def __init__(
        self, source: Any, prepare: Callable[[Any, Any, Any], Examples], any_structure: bool = False
    ) -> None:
        self._source, self._prepare, self._any_structure = source, prepare, any_structure
        # Only batches that can be indexed can be shuffled.
        plain = not hasattr(source, "__iter__") or hasattr(source, "on_epoch_end")
        self.indexed = plain and hasattr(source, "__getitem__") and not hasattr(source, "__next__")
        # The first batch defines the input shape, so it is read now and kept for the first pass,
        # because an iterator cannot be rewound.
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
        """Return the number of batches, or None if it is unknown."""
        known = getattr(self._source, "num_batches", len)  # None for infinite data
        if known is None or isinstance(known, int):
            return known
        if not hasattr(self._source, "__len__"):
            return None
        # len() raises an error for some tf.data.Dataset objects.
        length = operator.length_hint(self._source, -1)
        return None if length < 0 else length

    def _prepared(self, order: Array | None) -> Iterator[Examples]:
        source: Any = self._source
        if self.indexed:
            n = self.steps(1)
            numbers = itertools.count() if n is None else range(n) if order is None else order
            source = (self._source[int(i)] for i in numbers)
        for item in source:
            # A PyTorch DataLoader yields lists of arrays.
            listed = isinstance(item, list) and len(item) < 4 and holds_arrays(item)
            parts = tuple(item) if listed or isinstance(item, tuple) else (item,)
            if self._any_structure and isinstance(item, tuple) and len(parts) not in (2, 3):
                parts = (item,)  # a custom step accepts any structure
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
        """Yield the batches.

        Iterators continue where they stopped; other iterables start from the beginning. `order` is
        the order of the batches if they can be indexed; the other arguments are ignored.
        """
        for part in self._parts(order):
            yield from part.batches(max(len(part), 1))

    def _parts(self, order: Array | None) -> Iterator[Examples]:
        """Return the prepared batches, including the first batch if it was already read."""
        begun, self._begun = self._begun, None
        first, self._first = self._first, None
        if begun is not None and first is not None and not self.indexed:
            return itertools.chain([first], begun)
        return self._prepared(order)

    def tell(self, hook: str) -> None:
        """Call the hook ``on_epoch_begin`` or ``on_epoch_end`` of a `PyDataset`."""
        getattr(self._source, hook, lambda: None)()


def batch_size(given_size: Any, source: Examples | Stream, steps: int | None) -> int:
    """Validate the batch size; by default, the size that results in `steps` batches, or 32."""
    cardinality = getattr(getattr(source, "_source", None), "cardinality", None)
    if steps is None and callable(cardinality) and int(cardinality()) == -1:
        raise ValueError(
            "steps_per_epoch, validation_steps or steps must be specified for an infinite "
            "tf.data.Dataset. Received: an infinite dataset without a number of steps"
        )
    if given_size is not None:
        return checks.whole("batch_size", given_size)
    if steps is not None and isinstance(source, Examples):
        return math.ceil(len(source) / steps)
    return BATCH_SIZE


def orders(
    shuffle: Any, generator: np.random.Generator, size: int
) -> Callable[[int], Array] | None:
    """Return a function that draws a random order of n examples, or None for no shuffling.

    `shuffle` is a bool, or ``"batch"`` to shuffle only within each batch of `size` examples.
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
    """Return whether `x` is an iterable, iterator or sequence of batches rather than an array."""
    arrays: Any = list | tuple | dict | range | str | bytes | CompressedRows
    if isinstance(x, arrays) or hasattr(x, "__array__") or hasattr(x, "tocsr"):
        return False
    return any(hasattr(x, name) for name in ("__next__", "__iter__", "__getitem__"))


def warn_and_continue(message: str) -> None:
    """Issue a warning; if warnings are errors, print it, so that training results are not lost."""
    try:
        checks.warn(message)
    except UserWarning:
        progress_bar.write(f"UserWarning: {message}\n", sys.stderr)


class Feed:
    """Batches of consecutive epochs.

    With a `limit` of batches per epoch, the next epoch continues where the previous one stopped. If
    fewer batches are left, the epoch ends early with a warning; an epoch is empty only if the data
    cannot be iterated again. `shuffled(n)` returns an order for one pass through the data.
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
        #: Whether the inputs of batches are `NamedRows`, which are not copied.
        self.named = False
        #: Last batch that was used for a single training step.
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
        """Yield the batches of one epoch; no batches if the data cannot be iterated again."""
        if isinstance(self.source, Stream):
            self.source.tell("on_epoch_begin")
        yield from self._begin() if self.limit is None else self._next(self.limit)
        if isinstance(self.source, Stream):
            self.source.tell("on_epoch_end")

    def _next(self, limit: int) -> Iterator[Batch]:
        """Yield the next `limit` batches, or fewer if the data ends."""
        running = self._running
        done = 0
        while not done:
            continued, self._running = running is not None, running or self._begin()
            for batch in itertools.islice(self._running, limit):
                done += 1
                yield batch
            if not continued:
                break
            running = None  # the previous pass had no batches left
        if done != limit:
            self._running = None
            if done:
                warn_and_continue(
                    f"The input ran out of data after {done} of {limit} steps in this epoch; "
                    "reduce the number of steps or provide more batches."
                )


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """Return the inputs, targets and sample weights of a batch, for use in `train_step`.

    Parameters
    ----------
    data : object, or tuple or list of objects
        Batch: ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``.

    Returns
    -------
    tuple
        ``(x, y, sample_weight)``, with None for missing parts.

    Raises
    ------
    ValueError
        If `data` is an empty tuple or has more than three entries.

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
    """Pack inputs, targets and sample weights into a batch: inverse of `unpack_x_y_sample_weight`.

    Parameters
    ----------
    x, y, sample_weight : object
        Inputs, targets and sample weights; the last two are optional.

    Returns
    -------
    object
        ``x``, or a tuple of the arguments that are not None.

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
