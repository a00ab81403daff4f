"""Several threads for one `fit`: helpers that compute a part of each big kernel call.

Handing a part to another thread by Python's means would cost more than computing it. So a helper
is a Python thread that enters compiled code once, without the GIL, and stays there: it looks for
work in shared memory, and dozes when there has been none for a while. The protocol stands in
`kernels`; here is who has the helpers, and when.

A process has one team at a time, made for one `fit`. Whoever has none (a second `fit` in another
thread, a child that was forked in the middle) computes alone and gets the same bits, since the
work is cut between sums and never through one.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinynet import config, ops
from tinynet.variable import Array, aligned
from tinynet.workspace import Workspace

_FLOAT32, _UINT16 = np.dtype(np.float32), np.dtype(np.uint16)
# Below so many sums, or weights, handing over costs more than it gains.
_SUMS, _WEIGHTS = 1 << 10, 1 << 14


class Team:
    """The thread that makes it, and its helpers; `stop` lets them go.

    A call that it can't cut, or that is too small, is computed by `ops` as ever.

    Parameters
    ----------
    n : int
        How many threads they are together.

    Examples
    --------
    >>> with helping():
    ...     current() is None or current().work.arrays
    True
    """

    def __init__(self, n: int) -> None:
        from tinynet import kernels

        self._kernels = kernels
        self.owner = threading.get_ident()
        self.work = Workspace()
        #: What the sort that is under way, or was the last one, is of.
        self.sorting: object = None
        self._constants = np.zeros(4)
        # The arrays of the last two jobs: a helper may be reading one when the other is begun.
        self._held: tuple[Any, Any] = ((), ())
        self._boxes = aligned((n, kernels._BOX), np.int64)
        self._boxes.fill(0)
        self._boxes[1:, kernels._STOP] = 1
        kernels._work(self._boxes, n - 1)  # is compiled here, finds STOP, and returns
        self._boxes[1:, kernels._STOP] = 0
        self._helpers: list[threading.Thread] = []
        for part in range(1, n):
            helper = threading.Thread(target=self._help, args=(part,), daemon=True)
            # Where no thread can be had, its parts are computed by the caller.
            with contextlib.suppress(RuntimeError):
                helper.start()
                self._helpers.append(helper)

    def _help(self, part: int) -> None:
        # As a method: what is held lives as long as a helper may read it.
        self._kernels._work(self._boxes, part)

    def stop(self) -> None:
        """Let the helpers end, and wait until they have."""
        self._boxes[1:, self._kernels._STOP] = 1
        for helper in self._helpers:
            helper.join()

    def _begin(self, job: int, *arrays: Array) -> None:
        self._held = (self._held[1], arrays)
        self._kernels._offer(self._boxes, job, *arrays)

    def _finish(self) -> None:
        self._kernels._work(self._boxes, 0)

    def dense(self, x: tuple[Array, ...], kernel: Array, bias: Array, out: Array) -> bool:
        """Compute `ops.sparse_dense`, if it can.

        Parameters
        ----------
        x : tuple of ndarray
            The compressed rows, and the numbers of those in the batch.
        kernel, bias, out : ndarray
            As for `ops.sparse_dense`.

        Returns
        -------
        bool
            Whether it has.
        """
        if out.size < _SUMS or out.dtype is not _FLOAT32 or x[1].dtype is not _UINT16:
            return False
        self._begin(self._kernels._JOB_DENSE, *x, kernel, bias, out)
        self._finish()
        return True

    def begin_sort(self, batch: object, x: tuple[Array, ...], tables: tuple[Array, ...]) -> None:
        """Have `ops.sort_by_column` computed by a helper, meanwhile.

        Parameters
        ----------
        batch : object
            What is sorted.
        x, tables : tuple of ndarray
            As for `ops.sort_by_column`; the rows as for `dense`.
        """
        self.sorting = batch
        self._begin(self._kernels._JOB_SORT, *x, *tables)

    def gradient(self, tables: tuple[Array, ...], d_y: Array, out: Array) -> bool:
        """Compute `ops.sparse_kernel_gradient`, if it can."""
        if out.size

