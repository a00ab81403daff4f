"""Datasets as in `tf.data`: chains of iterators that compute elements lazily.

A dataset can be iterated over repeatedly, and passed to `fit`, `evaluate` and `predict`. Within the
chain, elements are NumPy arrays in tuples and dicts; users receive tensors.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tinynet import random
from tinynet._core import checks
from tinynet.program.operations import as_arrays
from tinynet.program.tensor import as_tensor, to_array

AUTOTUNE = INFINITE = -1
UNKNOWN = -2


class TensorSpec:
    """Shape and dtype of a tensor; None means any size, or any shape.

    Parameters
    ----------
    shape : sequence of (int or None), optional
        Shape.
    dtype : dtype
        Data type.
    name : str, optional
        Ignored.

    Examples
    --------
    >>> TensorSpec([None, 2], "float32")
    TensorSpec(shape=(None, 2), dtype='float32', name=None)
    """

    def __init__(self, shape: Any = None, dtype: Any = np.float32, name: Any = None) -> None:
        self.shape = None if shape is None else tuple(shape)
        self.dtype, self.name = np.dtype(dtype), name

    def convert(self, value: Any) -> Any:
        """Convert a value to an array of this dtype, and check its shape."""
        array = np.asarray(value).astype(self.dtype)
        wanted = array.shape if self.shape is None else self.shape
        sizes = zip(wanted, array.shape, strict=False)
        if len(wanted) != array.ndim or any(n not in (None, size) for n, size in sizes):
            raise ValueError(
                f"generator must yield elements of shape {wanted}, as in output_signature. "
                f"Received: an element of shape {array.shape}"
            )
        return array

    def __repr__(self) -> str:
        return f"TensorSpec(shape={self.shape}, dtype={self.dtype.name!r}, name={self.name!r})"


def _map(function: Callable[..., Any], nested: Any, *others: Any) -> Any:
    """Apply a function to the leaves of tuples and dicts of the same structure."""
    if isinstance(nested, dict):
        return {k: _map(function, v, *(o[k] for o in others)) for k, v in nested.items()}
    if isinstance(nested, tuple):
        parts = [_map(function, *items) for items in zip(nested, *others, strict=True)]
        return type(nested)(*parts) if hasattr(nested, "_fields") else tuple(parts)
    return function(nested, *others)


def _leaves(nested: Any) -> list[Any]:
    found: list[Any] = []
    _map(found.append, nested)
    return found


def _array(value: Any) -> Any:
    """Convert to an array; Python numbers become float32 and int32."""
    return np.asarray(value) if isinstance(value, np.generic) else as_arrays([to_array(value)])[0]


def _slices(arrays: Any) -> Iterator[Any]:
    """Yield slices of arrays along their first axis."""
    for i in range(len(_leaves(arrays)[0])):
        yield _map(operator.itemgetter((i, ...)), arrays)


def _tensor(leaf: Any) -> Any:
    return leaf if isinstance(leaf, Dataset) else as_tensor(leaf)


def _listed(arrays: Any) -> Dataset:
    return Dataset(lambda: iter(arrays), len(arrays))


def _called(function: Callable[..., Any], element: Any) -> Any:
    """Call a user's function with the tensors of an element; tuples are unpacked."""
    tensors = _map(_tensor, element)
    return function(*tensors) if type(tensors) is tuple else function(tensors)


def _call(function: Callable[..., Any], element: Any) -> Any:
    """Call a user's function with the tensors of an element, and convert the results to arrays."""
    result = _called(function, element)
    return _map(_array, tuple(result) if isinstance(result, list) else result)


class Dataset:
    """Sequence of elements, each a tensor, or a tuple or dict of tensors.

    Datasets are created by `from_tensor_slices`, `from_generator` and `range`. `shuffle` uses
    tinynet's random numbers, so its order differs from TensorFlow's, and is deterministic after
    `set_random_seed`. Arguments for parallel calls are ignored.

    Parameters
    ----------
    start : callable
        Function that returns a new iterator over the elements, as NumPy arrays.
    size : int
        Number of elements; -1 if infinite, -2 if unknown.

    Examples
    --------
    >>> dataset = Dataset.from_tensor_slices(([1.0, 2.0, 3.0], [0, 1, 0]))
    >>> dataset = dataset.map(lambda x, y: (x * 10, y)).batch(2)
    >>> for x, y in dataset:
    ...     print(x.numpy(), y.numpy())
    [10. 20.] [0 1]
    [30.] [0]
    >>> len(dataset)
    2
    """

    def __init__(self, start: Callable[[], Iterator[Any]], size: int = UNKNOWN) -> None:
        self._start, self._size = start, size

    # ------------------------------------------------------------ sources

    @staticmethod
    def from_tensor_slices(tensors: Any, name: Any = None) -> Dataset:
        """Create a dataset of the slices of (nested) arrays along their first axis."""
        arrays = _map(_array, tensors)
        shapes = [a.shape for a in _leaves(arrays)]
        fits = shapes and () not in shapes and len({shape[0] for shape in shapes}) == 1
        expected = "tensors must be arrays with the same number of rows"
        checks.require(fits, expected, f"shapes {checks.shorten(shapes)}")
        return Dataset(lambda: _slices(arrays), shapes[0][0])

    @staticmethod
    def from_generator(
        generator: Callable[..., Iterable[Any]],
        output_types: Any = None,
        output_shapes: Any = None,
        args: Any = None,
        output_signature: Any = None,
        name: Any = None,
    ) -> Dataset:
        """Create a dataset from a function, which is called at the start of every iteration."""
        expected = "generator must be a function that returns an iterable"
        received = f"generator={checks.shorten(generator)}"
        checks.require(callable(generator), expected, received, TypeError)
        example = "tf.TensorSpec(shape=(2,), dtype=tf.float32)"
        expected = f"output_signature must describe the elements, for example as {example}"
        described = output_signature is not None or output_types is not None
        checks.require(described, expected, "output_signature=None", TypeError)
        signature, shapes = output_signature, () if output_shapes is None else (output_shapes,)
        if signature is None:
            signature = _map(lambda t, s=None: TensorSpec(s, t), output_types, *shapes)
        given = [np.asarray(a) for a in args or ()]

        def start() -> Iterator[Any]:
            for element in generator(*given):
                element = tuple(element) if isinstance(signature, tuple) else element
                yield _map(lambda spec, value: spec.convert(value), signature, element)

        return Dataset(start)

    @staticmethod
    def range(*args: int, output_type: Any = np.int64, name: Any = None) -> Dataset:
        """Create a dataset of integers, with the arguments of Python's `range`."""
        numbers = range(*map(int, args))
        return Dataset(lambda: (np.asarray(n, output_type) for n in numbers), len(numbers))

    @staticmethod
    def zip(*args: Any, datasets: Any = None, name: Any = None) -> Dataset:
        """Combine the elements of datasets, given one by one or in a nested tuple or dict."""
        nested = datasets if not args else args[0] if len(args) == 1 else args
        sizes = [d._size for d in _leaves(nested)]
        finite = [size for size in sizes if size != INFINITE]

        def start() -> Iterator[Any]:
            iterators = _map(lambda d: d._start(), nested)
            try:
                while True:
                    yield _map(next, iterators)
            except StopIteration:
                return

        size = UNKNOWN if UNKNOWN in sizes else min(finite, default=INFINITE)
        return Dataset(start, size)

    # ------------------------------------------------------------ elements

    def map(self, map_func: Any, *args: Any, **options: Any) -> Dataset:
        """Apply a function to every element."""
        return Dataset(lambda: (_call(map_func, e) for e in self._start()), self._size)

    def filter(self, predicate: Any, name: Any = None) -> Dataset:
        """Keep the elements for which a function returns True."""
        return Dataset(lambda: (e for e in self._start() if _call(predicate, e)))

    def batch(
        self, batch_size: int, drop_remainder: bool = False, *args: Any, **options: Any
    ) -> Dataset:
        """Stack consecutive elements into batches."""
        n = checks.whole("batch_size", batch_size)

        def start() -> Iterator[Any]:
            elements = self._start()
            while rows := list(itertools.islice(elements, n)):
                if len(rows) == n or not drop_remainder:
                    yield _map(lambda *leaves: np.stack(leaves), *rows)

        whole = self._size // n if drop_remainder else math.ceil(self._size / n)
        return Dataset(start, whole if self._size >= 0 else self._size)

    def unbatch(self, name: Any = None) -> Dataset:
        """Split batches into their elements."""
        return Dataset(lambda: itertools.chain.from_iterable(map(_slices, self._start())))

    def window(
        self,
        size: int,
        shift: int | None = None,
        stride: int = 1,
        drop_remainder: bool = False,
        name: Any = None,
    ) -> Dataset:
        """Split the dataset into windows, each of which is a dataset of consecutive elements.

        Each window starts `shift` elements after the previous one.
        """
        n = checks.whole("size", size)
        step = checks.whole("shift", n if shift is None else shift)
        reach = (n - 1) * checks.whole("stride", stride) + 1

        def start() -> Iterator[Any]:
            elements = self._start()
            row: list[Any] = []
            while True:
                row += itertools.islice(elements, reach - len(row))
                if not row or (drop_remainder and len(row) < reach):
                    return
                part = row[:reach:stride]
                yield _map(lambda *leaves: _listed(leaves), *part)
                missing = max(step - len(row), 0)
                row = row[step:]
                if missing:
                    next(itertools.islice(elements, missing - 1, missing), None)

        left = self._size - reach if drop_remainder else self._size - 1
        return Dataset(start, max(left // step + 1, 0) if self._size >= 0 else self._size)

    def flat_map(self, map_func: Any, name: Any = None) -> Dataset:
        """Apply a function that returns a dataset to each element, and concatenate the results."""

        def start() -> Iterator[Any]:
            for element in self._start():
                yield from _called(map_func, element)._start()

        return Dataset(start)

    def enumerate(self, start: int = 0, name: Any = None) -> Dataset:
        """Add an index before each element."""
        numbers = Dataset(lambda: (np.asarray(n, np.int64) for n in itertools.count(start)), -1)
        return Dataset.zip(numbers, self)

    # ------------------------------------------------------------ order and number

    def shuffle(
        self,
        buffer_size: Any,
        seed: int | None = None,
        reshuffle_each_iteration: Any = True,
        name: Any = None,
    ) -> Dataset:
        """Shuffle elements: each is drawn from a buffer of the next `buffer_size` elements.

        The order differs from TensorFlow's; it is deterministic after `set_random_seed`, or with
        `seed`.
        """
        size = None if buffer_size is None else checks.whole("buffer_size", buffer_size)
        seed = random.draw_seed() if seed is None else int(seed)
        iterations = itertools.count()

        def start() -> Iterator[Any]:
            again = reshuffle_each_iteration is not False
            generator = np.random.default_rng([abs(seed), next(iterations) if again else 0])
            elements = self._start()
            buffer = list(itertools.islice(elements, size))
            for element in elements:
                i = int(generator.integers(len(buffer)))
                yield buffer[i]
                buffer[i] = element
            for i in generator.permutation(len(buffer)):
                yield buffer[i]

        return Dataset(start, self._size)

    def repeat(self, count: int | None = None, name: Any = None) -> Dataset:
        """Repeat the dataset `count` times, or indefinitely."""
        endless = count is None or count < 0

        def start() -> Iterator[Any]:
            for _ in itertools.count() if endless else range(int(count or 0)):
                element = None
                for element in self._start():
                    yield element
                if element is None:
                    return

        if endless:
            return Dataset(start, INFINITE if self._size else 0)
        times = int(count or 0)
        return Dataset(start, self._size * times if self._size > 0 or not times else self._size)

    def take(self, count: int, name: Any = None) -> Dataset:
        """Keep the first `count` elements; -1 keeps all."""
        n = int(count)
        size = n if self._size == INFINITE else min(n, self._size)
        part = Dataset(lambda: itertools.islice(self._start(), n), size)
        return part if n >= 0 else Dataset(self._start, self._size)

    def skip(self, count: int, name: Any = None) -> Dataset:
        """Skip the first `count` elements; -1 skips all."""
        n = int(count)
        if n < 0:
            return self.take(0)
        size = max(self._size - n, 0) if self._size >= 0 else self._size
        return Dataset(lambda: itertools.islice(self._start(), n, None), size)

    def concatenate(self, dataset: Dataset, name: Any = None) -> Dataset:
        """Append another dataset."""
        sizes = (self._size, dataset._size)
        size = sum(sizes) if min(sizes) >= 0 else INFINITE if INFINITE in sizes else UNKNOWN
        return Dataset(lambda: itertools.chain(self._start(), dataset._start()), size)

    def cache(self, filename: Any = "", name: Any = None) -> Dataset:
        """Keep the elements in memory after the first complete iteration."""
        kept: list[Any] | None = None

        def start() -> Iterator[Any]:
            nonlocal kept
            if kept is not None:
                yield from kept
                return
            elements = []
            for element in self._start():
                elements.append(element)
                yield element
            kept = elements

        return Dataset(start, self._size)

    def prefetch(self, buffer_size: Any, name: Any = None) -> Dataset:
        """Return the dataset itself; nothing is prefetched."""
        return self

    def with_options(self, options: Any, name: Any = None) -> Dataset:
        """Return the dataset itself; options have no effect."""
        return self

    # ------------------------------------------------------------ results

    def __iter__(self) -> Iterator[Any]:
        return (_map(_tensor, element) for element in self._start())

    def as_numpy_iterator(self) -> Iterator[Any]:
        """Return an iterator over NumPy arrays and scalars."""
        return (_map(lambda leaf: leaf[()], element) for element in self._start())

    def cardinality(self, name: Any = None) -> Any:
        """Return the number of elements: -1 if infinite, -2 if unknown."""
        return as_tensor(np.asarray(self._size, np.int64))

    def __len__(self) -> int:
        received = f"an {'infinite' if self._size == INFINITE else 'unknown'} size"
        expected = "dataset must have a known, finite size to use len"
        checks.require(self._size >= 0, expected, received, TypeError)
        return self._size

    def __bool__(self) -> bool:
        return True
