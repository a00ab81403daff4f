"""The look-up of rows of a Variable, whose gradient has a part for each place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.functional.shaping import take, take_backward
from tinynet.program.operations import Operation, as_arrays
from tinynet.program.tensor import Array


def rows(table: Array, indices: Array) -> Array:
    """Return the row of each index."""
    return take(table, indices, axis=0)


def rows_backward(d_y: Array, y: Array, table: Array, indices: Array) -> Any:
    """Add the upstream gradient of every place at its row."""
    return take_backward(d_y, y, table, indices, 0)


class LookUp(Operation):
    """A look-up of rows of a Variable, which keeps their gradients for the optimizer.

    Parameters
    ----------
    table : Variable
        The Variable.
    forward : callable
        Computes the result, as `rows` does.
    """

    def __init__(self, table: Any, forward: Callable[[Array, Array], Array] = rows) -> None:
        super().__init__("take", forward, rows_backward, 2, as_arrays)
        self._table = table

    def gradients(self, d_y: Any, y: Any, arrays: list[Any], *rest: Any) -> list[Array | None]:
        """Compute the gradient with respect to the table; add it to the Variable's `parts`."""
        found = super().gradients(d_y, y, arrays, *rest)
        if found[0] is not None:
            squares, _ = rows_backward(np.square(d_y), y, *arrays)
            self._table.parts = (*self._table.parts[-7:], (np.array(found[0]), squares))
        return found
