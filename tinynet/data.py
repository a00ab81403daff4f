"""Arrays become batches: what users pass is checked and converted here, once.

uint8, float64, float32, big-endian, strided arrays and nested lists all give one answer. The
caller's arrays are read, never written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet import checks
from tinynet.losses import numeric
from tinynet.variable import Array
from tinynet.workspace import Workspace

Batch = tuple[Array, Array, Array | None]


def features(x: Any, dtype: str) -> Array:
    """Check inputs and bring them into the form that layers take.

    Parameters
    ----------
    x : array_like, shape (N, ...)
        The inputs: real numbers of any type. A list that holds one array is that array.
    dtype : str
        The type that the model computes in.

    Returns
    -------
    ndarray, shape (N, ...)
        C-contiguous, of that type; the same memory where nothing had to change.

    Raises
    ------
    ValueError
        If they are no real numbers, or have no batch axis.

    Examples
    --------
    >>> features([[0, 255]], "float32")
    array([[  0., 255.]], dtype=float32)
    """
    if isinstance(x, list | tuple) and x and isinstance(x[0], np.ndarray) and x[0].ndim > 1:
        if len(x) > 1:
            raise ValueError(
                f"A model takes one input; a list of arrays means several. "
                f"Received: {len(x)} arrays"
            )
        x = x[0]
    if x is None:
        raise ValueError("x must be an array of inputs. Received: x=None")
    array = numeric("x", x)
    if array.ndim == 0:
        raise ValueError(f"x must have a batch axis. Received: {checks.shorten(x)}")
    return np.ascontiguousarray(array, dtype)


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
    ValueError: All arrays must have the same length. Received: x of 3, y of 2
    """
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        received = ", ".join(f"{name} of {length}" for name, length in lengths.items())
        raise ValueError(f"All arrays must have the same length. Received: {received}")


def class_weights(y: Array, class_weight: Any, dtype: str) -> Array:
    """Turn weights of classes into weights of examples.

    Parameters
    ----------
    y : ndarray, shape (N,), (N, 1) or (N, C)
        Labels, or one-hot rows.
    class_weight : dict of int to float
        What an example of each class counts; classes not named count 1.
    dtype : str
        The type of the result.

    Returns
    -------
    ndarray, shape (N,)
        The weights.

    Examples
    --------
    >>> class_weights(np.array([0, 2, 1]), {0: 2.0, 2: 0.5}, "float32")
    array([2. , 0.5, 1. ], dtype=float32)
    """
    if not isinstance(class_weight, dict):
        raise TypeError(
            "class_weight must be a dict from class to weight. "
            f"Received: class_weight={checks.shorten(class_weight)}"
        )
    if y.ndim == 2:
        y = y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)
    weights = np.ones(len(y), dtype)
    for label, weight in class_weight.items():
        value = checks.number(f"class_weight[{label!r}]", weight)
        weights[y == checks.whole("a class in class_weight", label, 0)] = value
    return weights


@dataclass
class Examples:
    """Inputs with their true values and weights, ready to be cut into batches.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
        The inputs.
    y : ndarray, shape (N, ...)
        The true values.
    weights : ndarray, shape (N, ...), optional
        What each example counts.

    Examples
    --------
    >>> examples = Examples(np.arange(5.0), np.arange(5))
    >>> [x.tolist() for x, _, _ in examples.batches(2)]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    """

    x: Array
    y: Array
    weights: Array | None = None

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.x)

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
                f"validation_split must leave examples on both sides of the cut. "
                f"Received: validation_split={fraction} of {len(self)} examples"
            )
        first, last = slice(0, cut), slice(cut, None)
        return self._part(first), self._part(last)

    def _part(self, rows: slice) -> Examples:
        weights = None if self.weights is None else self.weights[rows]
        return Examples(self.x[rows], self.y[rows], weights)

    def batches(
        self, batch_size: int, order: Array | None = None, work: Workspace | None = None
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

        Yields
        ------
        x, y, weights : ndarray
            Each batch.
        """
        work = work or Workspace()
        for start in range(0, len(self), batch_size):
            rows = slice(start, min(start + batch_size, len(self)))
            if order is None:
                part = self._part(rows)
                yield part.x, part.y, part.weights
            else:
                picked = order[rows]
                weights = None
                if self.weights is not None:
                    weights = _take(self.weights, picked, "weights", work)
                yield _take(self.x, picked, "x", work), _take(self.y, picked, "y", work), weights


def _take(array: Array, rows: Array, name: str, work: Workspace) -> Array:
    """Copy rows into a buffer; the rows are known to exist, which "clip" makes cheap."""
    out = work.array(name, (len(rows), *array.shape[1:]), array.dtype)
    return np.take(array, rows, axis=0, out=out, mode="clip")
