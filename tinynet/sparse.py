"""Sparse inputs in CSR (compressed sparse row) format.

About 80% of the pixels of MNIST are 0. Products with these pixels are skipped, both in the
pre-activations of the first layer and in the gradient with respect to its kernel. The non-zero
values of row i are ``values[indptr[i] : indptr[i + 1]]``, and
``indices[indptr[i] : indptr[i + 1]]`` are their column indices.
"""

from __future__ import annotations

import copy
import math
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinynet import config, functional
from tinynet._core.checks import not_masked, numeric
from tinynet.program import Array
from tinynet.program.variable import aligned

# Maximum density at which CSR is faster than the dense product, according to benchmarks.
MAX_DENSITY = 0.3
# Maximum memory of the CSR arrays, relative to the memory of the dense array.
MAX_SIZE = 1.17
# Number of elements per block, maximum number that is copied in one call, and minimum number for
# which the kernels are used.
_CONVERTED, _COPIED, _FEW = 1 << 18, 1 << 20, 1 << 13


class CompressedRows:
    """Array in CSR format. `fit` converts sparse inputs to it, and also accepts it as input.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
        Dense array of a real dtype. Each example is flattened to a row of D values.
    dtype : str
        Data type of the values.
    rows : ndarray of int, shape (n,), optional
        Non-negative indices of the examples to convert; by default, all.

    Examples
    --------
    >>> rows = CompressedRows(np.array([[0, 5, 0], [7, 0, 8]]), "float32")
    >>> rows.indptr, rows.indices[:3], rows.values[:3]
    (array([0, 1, 3]), array([1, 0, 2], dtype=uint16), array([5., 7., 8.], dtype=float32))
    """

    def __init__(self, x: Array, dtype: Any, rows: Array | None = None) -> None:
        not_masked("x", x)
        n = len(x) if rows is None else len(rows)
        self.shape: tuple[int, ...] = n, *x.shape[1:]
        self.dtype = np.dtype(dtype)
        self.width = math.prod(x.shape[1:])
        #: True if column indices are uint16, the only type that the kernels support.
        self.narrow = self.width < 2**16
        self.indptr = aligned((n + 1,), np.int64)
        self.indptr[0] = 0
        suits = self.dtype == np.float32 and self.narrow and self.width >= 64
        use = _kernels() if suits and n * self.width >= _FEW else None
        if rows is not None and n * self.width <= _COPIED:
            x, rows = np.take(x, rows, axis=0), None
        for first, block in _blocks(x, self.dtype, rows, use is not None):
            counts = self.indptr[first + 1 : first + 1 + len(block)]
            if use is None:
                counts[:] = np.count_nonzero(block, axis=1)
            else:
                _call(use.count_non_zeros, block, counts=counts)
        np.add.accumulate(self.indptr, out=self.indptr)
        # One additional element, so that the arrays are not empty.
        room = int(self.indptr[-1]) + 1
        self.indices = aligned((room,), np.uint16 if self.narrow else np.int32)
        self.values = aligned((room,), dtype)
        self.indices[-1] = self.values[-1] = 0
        for first, block in _blocks(x, self.dtype, rows, use is not None):
            starts = self.indptr[first:]
            if use is None:
                here = slice(starts[0], starts[len(block)])
                functional.compress_rows(block, starts, self.indices[here], self.values[here])
            else:
                out = {"indptr": starts, "indices": self.indices, "values": self.values}
                _call(use.compress_rows, block, **out)

    @classmethod
    def from_csr(
        cls, indptr: Any, indices: Any, data: Any, shape: tuple[int, ...], dtype: str = "float32"
    ) -> CompressedRows:
        """Create a matrix from the three arrays of the CSR format.

        Parameters
        ----------
        indptr : array_like of int, shape (N + 1,)
            Start of each row in the other two arrays, and the end of the last row.
        indices : array_like of int, shape (K,)
            Column of each non-zero value, strictly increasing within a row.
        data : array_like, shape (K,)
            Non-zero values.
        shape : tuple of int
            Shape of the matrix, (N, D).
        dtype : str
            Data type of the values.

        Returns
        -------
        CompressedRows
            Matrix with copies of the arrays.

        Raises
        ------
        ValueError
            If the three arrays are not a valid CSR representation.

        Examples
        --------
        >>> rows = CompressedRows.from_csr([0, 1, 3], [1, 0, 2], [5, 7, 8], (2, 3))
        >>> rows.indptr, rows.indices, rows.values
        (array([0, 1, 3]), array([1, 0, 2], dtype=uint16), array([5., 7., 8.], dtype=float32))
        """
        starts, columns, values = np.array(indptr, np.int64), np.asarray(indices), np.asarray(data)
        width = math.prod(shape[1:])
        # Invalid indices would make the kernels access memory out of bounds.
        right = starts.shape == (shape[0] + 1,) and starts[0] == 0 and np.all(np.diff(starts) >= 0)
        right = right and columns.shape == values.shape == (starts[-1],)
        if right and columns.size:
            begins_row = np.zeros(columns.size + 1, bool)
            begins_row[starts] = True
            rising = (np.diff(columns) > 0) | begins_row[1:-1]
            right = columns.min() >= 0 and columns.max() < width and bool(rising.all())
        if not right:
            raise ValueError(
                f"indptr, indices and data must be a CSR matrix of shape {tuple(shape)}, with "
                "strictly increasing columns in each row. Received: arrays of sizes "
                f"{starts.size}, {columns.size} and {values.size}"
            )
        new = cls.__new__(cls)
        new.shape, new.dtype, new.width = tuple(shape), np.dtype(dtype), width
        new.indptr, new.narrow = starts, width < 2**16
        new.indices = columns.astype(np.uint16 if new.narrow else np.int32)
        new.values = values.astype(dtype)
        return new

    @classmethod
    def from_scipy(cls, x: Any, dtype: str) -> CompressedRows:
        """Convert a SciPy sparse array or matrix of any format.

        Parameters
        ----------
        x : sparse array, shape (N, D)
            SciPy array.
        dtype : str
            Data type of the values.

        Returns
        -------
        CompressedRows
            Converted array.
        """
        csr = x.tocsr(copy=True)
        csr.sum_duplicates()  # also sorts the column indices
        values = numeric("x", csr.data)
        return cls.from_csr(csr.indptr, csr.indices, values, csr.shape, dtype)

    def astype(self, dtype: str) -> CompressedRows:
        """Cast the values to a data type; the index arrays are shared.

        Parameters
        ----------
        dtype : str
            Data type of the values.

        Returns
        -------
        CompressedRows
            Converted array; the array itself if it has that type.
        """
        if self.dtype == dtype:
            return self
        new = copy.copy(self)
        new.dtype, new.values = np.dtype(dtype), self.values.astype(dtype)
        return new

    def reshape(self, shape: tuple[int, ...]) -> CompressedRows:
        """Change the shape of the examples, without copying data.

        Parameters
        ----------
        shape : tuple of int
            Shape with the same number of rows, and of values per row.

        Returns
        -------
        CompressedRows
            Array of that shape.
        """
        new = copy.copy(self)
        new.shape = tuple(shape)
        return new

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        """Select rows with NumPy's indexing semantics.

        Parameters
        ----------
        rows : int, slice, array_like of int or array_like of bool
            Index of the rows. A slice with step 1 is a view; other indices copy data.

        Returns
        -------
        CompressedRows, or ndarray for a single row
            Selected rows.

        Raises
        ------
        IndexError
            If a row is out of bounds, or the index is not one-dimensional.

        Examples
        --------
        >>> rows = CompressedRows(np.array([[0, 5], [7, 0], [0, 3]]), "float32")
        >>> rows[1], rows[::-2].values
        (array([7., 0.], dtype=float32), array([3., 5.], dtype=float32))
        """
        if isinstance(rows, tuple) and len(rows) == 1:
            rows = rows[0]
        new = copy.copy(self)
        if isinstance(rows, slice) and rows.step in (None, 1):
            start, stop, _ = rows.indices(len(self))
            new.indptr = self.indptr[start : max(start, stop) + 1]
            new.shape = (max(stop - start, 0), *self.shape[1:])
            return new
        if isinstance(rows, tuple):
            raise IndexError(f"rows must be a single index. Received: {len(rows)} indices")
        picked = np.arange(len(self))[rows]
        if picked.ndim > 1:
            raise IndexError(
                f"The index of CompressedRows must be one-dimensional. Received: {picked.ndim} "
                "dimensions"
            )
        first = self.indptr[picked]
        counts = self.indptr[picked + 1] - first
        if not picked.ndim:
            row, here = np.zeros(self.width, self.dtype), slice(first, first + counts)
            row[self.indices[here]] = self.values[here]
            return row.reshape(self.shape[1:])
        new.indptr = np.concatenate([[0], np.add.accumulate(counts)])
        new.shape = (len(picked), *self.shape[1:])
        found = np.arange(new.indptr[-1]) + np.repeat(first - new.indptr[:-1], counts)
        new.indices, new.values = self.indices[found], self.values[found]
        return new

    def take(self, rows: Array) -> SparseBatch:
        """Return a batch of rows, without copying data.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
            Indices of the rows.

        Returns
        -------
        SparseBatch
            Batch of these rows.
        """
        return SparseBatch(self, rows)

    def batch(self, rows: Array | None = None) -> Any:
        """Return a batch of rows in a format that the current backend supports.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,), optional
            Indices of the rows; by default, all.

        Returns
        -------
        SparseBatch or ndarray, shape (n, ...)
            Batch of these rows: dense if the kernels do not support the CSR arrays.
        """
        named = self.take(np.arange(len(self)) if rows is None else rows)
        if self.narrow and config.backend() == "numba":
            return named
        return named.expanded(self.dtype).reshape(len(named), *self.shape[1:])


class LazyRows:
    """Dense array that is converted to CSR batch by batch, to save memory.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
        Dense array of a real dtype; it may be memory-mapped.
    dtype : dtype
        Data type of the values.

    Examples
    --------
    >>> rows = LazyRows(np.array([[0, 5, 0], [7, 0, 8]]), "float32")
    >>> CompressedRows(rows.array, rows.dtype, np.array([1])).values[:2]
    array([7., 8.], dtype=float32)
    """

    def __init__(self, x: Array, dtype: Any) -> None:
        #: Dense array.
        self.array, self.shape, self.dtype = x, x.shape, np.dtype(dtype)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.array)

    def __getitem__(self, rows: slice) -> LazyRows:
        """Return a view of a slice of the rows.

        Parameters
        ----------
        rows : slice
            Slice of the rows.

        Returns
        -------
        LazyRows
            View of these rows.
        """
        return LazyRows(self.array[rows], self.dtype)

    def batch(self, rows: Array | None = None) -> Any:
        """Convert rows to a batch in a format that the current backend supports.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,), optional
            Indices of the rows; by default, all.

        Returns
        -------
        SparseBatch or ndarray, shape (n, ...)
            Batch of these rows: dense if the kernels do not support the CSR arrays.
        """
        return CompressedRows(self.array, self.dtype, rows).batch()


class SparseBatch:
    """Batch of rows of `CompressedRows`, as passed to the kernels.

    Parameters
    ----------
    source : CompressedRows
        Array that contains the rows.
    rows : ndarray of int64, shape (N,)
        Indices of the rows in the batch.

    Examples
    --------
    >>> batch = CompressedRows(np.array([[0, 5], [7, 0]]), "float64").take(np.array([1]))
    >>> batch.expanded("float64")
    array([[7., 0.]])
    """

    ndim = 2

    def __init__(self, source: CompressedRows, rows: Array) -> None:
        self.source, self.rows = source, rows
        self.shape = (len(rows), source.width)
        self.dtype = source.dtype

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def expanded(self, dtype: Any) -> Array:
        """Convert the batch to a dense array.

        Parameters
        ----------
        dtype : dtype
            Data type of the result.

        Returns
        -------
        ndarray, shape (N, D)
            Dense array.
        """
        return functional.expand_rows(*self.arrays, self.shape[1]).astype(dtype)

    @property
    def arrays(self) -> tuple[Array, Array, Array, Array]:
        """Arguments of the kernels: the CSR arrays of all rows, and the indices of the batch."""
        s = self.source
        return s.indptr, s.indices, s.values, self.rows


def _blocks(x: Array, dtype: Any, picked: Array | None, whole: bool) -> Iterator[tuple[int, Array]]:
    """Yield blocks of rows as C-contiguous matrices, each with the index of its first row."""
    ready = x.dtype.isnative and x.dtype in (np.bool_, np.uint8, np.float32, np.float64)
    if whole and ready and x.flags.c_contiguous and x.flags.aligned and picked is None:
        yield 0, x.reshape(len(x), math.prod(x.shape[1:]))
        return
    size = max(_CONVERTED // max(math.prod(x.shape[1:]), 1), 1)
    for first in range(0, len(x) if picked is None else len(picked), size):
        here = slice(first, first + size)
        rows = x[here] if picked is None else np.take(x, picked[here], axis=0)
        with np.errstate(over="ignore"):
            rows = np.require(rows, None if ready else dtype, ["C", "A"])
        yield first, rows.reshape(len(rows), math.prod(x.shape[1:]))


def _kernels() -> Any:
    """Return the module of the conversion kernels; None until they are compiled."""
    if config.backend() != "numba":
        return None
    from tinynet.kernels import csr_conversion as kernels
    from tinynet.kernels import object_code

    used = [kernels.count_non_zeros, kernels.compress_rows]
    if not config.COMPILES or not object_code.is_ready(used):
        return None
    object_code.addresses(used)  # loads both kernels
    return kernels


def _call(kernel: Any, x: Array, **arrays: Array) -> None:
    """Apply a kernel to the rows of a matrix."""
    addresses = {name: array.ctypes.data for name, array in arrays.items()}
    sizes = {"n": len(x), "kind": x.itemsize, "width": x.shape[1]}
    kernel(kernel.row(x=x.ctypes.data, **sizes, **addresses))


def compress(x: Array, dtype: Any) -> CompressedRows | LazyRows:
    """Convert an array to CSR format: completely, or batch by batch to limit memory use.

    Conversion is lazy for memory-mapped arrays, which may not fit into memory, and for arrays of
    small integers whose CSR format would need more memory than the array.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
        Dense array of a real dtype.
    dtype : dtype
        Data type of the values.

    Returns
    -------
    CompressedRows or LazyRows
        Converted array.

    Examples
    --------
    >>> type(compress(np.eye(100, dtype="uint8"), "float32")).__name__
    'CompressedRows'
    >>> type(compress(np.eye(4, dtype="uint8"), "float32")).__name__
    'LazyRows'
    """
    if _is_memory_mapped(x):
        return LazyRows(x, dtype)
    if x.itemsize < 4:
        width = 2 if math.prod(x.shape[1:]) < 2**16 else 4
        size = np.count_nonzero(x) * (np.dtype(dtype).itemsize + width) + 8 * len(x)
        if size > MAX_SIZE * x.nbytes:
            return LazyRows(x, dtype)
    return CompressedRows(x, dtype)


def _is_memory_mapped(x: Any) -> bool:
    while x is not None:
        if isinstance(x, np.memmap | mmap.mmap):
            return True
        x = x.obj if isinstance(x, memoryview) else getattr(x, "base", None)
    return False


def worth_it(x: Array) -> bool:
    """Return True if the CSR format speeds up training on an array.

    This is the case if the array is sparse, and the backend has CSR kernels.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
        Dense array. Its density is estimated from at most about 500 rows.

    Returns
    -------
    bool
        True if the array should be converted.

    Examples
    --------
    >>> worth_it(np.ones((10, 100)))
    False
    """
    sample = x[:: max(len(x) // 256, 1)]
    if config.backend() != "numba" or not config.is_enabled("csr") or not sample.size:
        return False
    is_narrow = math.prod(x.shape[1:]) < 2**16
    return is_narrow and bool(np.count_nonzero(sample) / sample.size < MAX_DENSITY)
