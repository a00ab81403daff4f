"""The rows of a program in memory, as the runner executes them."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinynet.workspace import aligned

Array = np.ndarray[Any, Any]


class Table:
    """Rows that the runner executes together.

    Parameters
    ----------
    rows : sequence of ndarray
        What ``kernel.row()`` returned, in the order of execution. The table copies them to
        `rows`, a matrix that may be changed between calls.
    step : int
        Address of the step block.
    """

    def __init__(self, rows: Sequence[Array], step: int) -> None:
        from tinynet.kernels import compiled, row, runner

        self.rows = aligned((len(rows), row.WORDS), np.int64)
        self.rows[:] = rows
        self.head = runner.run.row(rows=self.rows.ctypes.data, count=len(rows), steps=1, step=step)
        self._steps = row.FIRST + runner.run.words.index("steps")
        self._address = self.head.ctypes.data
        self._run: Any
        self._call: Any
        if compiled.COMPILES:
            # The runner has no use for a second and third argument, which cost 0.2 us.
            self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(runner.run.address)
            self._call = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(runner.run.address)
        else:
            self._run = self._call = lambda address: runner.run(self.head)

    def run(self, steps: int) -> None:
        """Execute so many steps without the GIL, or fewer if a kernel sets the stop flag."""
        self.head[self._steps] = steps
        self._run(self._address)

    def call(self) -> None:
        """Execute one step with the GIL, which is faster for a short one."""
        self.head[self._steps] = 1
        self._call(self._address)


def adam_step_sizes(rates: Array, beta_1: float, beta_2: float, first: int) -> Array:
    """Return `functional.adam_step_size` in float32 for many steps.

    Parameters
    ----------
    rates : ndarray, shape (steps,)
        Learning rates.
    beta_1, beta_2 : float
        Decay rates of the moment estimates.
    first : int
        Number of the first of these steps; training begins with 1.

    Returns
    -------
    ndarray, shape (steps,)
        The step sizes, bit-identical to those computed one by one.

    Examples
    --------
    >>> adam_step_sizes(np.ones(2), 0.0, 0.75, 1)
    array([0.5      , 0.6614378], dtype=float32)
    """
    one, count = np.float32(1), len(rates)
    root = np.sqrt(one - _powers(beta_2, first, count))
    return np.asarray(rates.astype(np.float32) * root / (one - _powers(beta_1, first, count)))


def _powers(base: float, first: int, count: int) -> Array:
    """Return ``base ** first`` and so on; 0 for those that are less than half an ulp of 1."""
    powers = np.zeros(count, np.float32)
    last = math.ceil(-26 / math.log2(base)) if 0 < base < 1 else first + count
    exponents = np.arange(first, max(first, min(first + count, last)), dtype=np.float32)
    # One by one: NumPy computes the powers of an array with other instructions, which round
    # differently.
    powers[: len(exponents)] = [np.float32(base) ** exponent for exponent in exponents]
    return powers
