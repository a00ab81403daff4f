"""Several threads for one `fit`: helpers that take a part of each big kernel call.

Handing a part to another thread through Python would cost more than computing it. So a helper
is a Python thread that enters compiled code once, without the GIL, and stays there: it looks for
work in a box of shared memory, and sleeps when there has been none for a while. The protocol
stands in `kernels`; here is who has the helpers, and for how long. There is one team in a
process, made for one `fit`: whoever comes second computes alone, with the same result to the bit.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinynet import config
from tinynet.variable import Array, aligned

_FLOAT32 = np.dtype(np.float32)
# Below so many multiplications of a layer and weights of a step, handing over costs more.
_PRODUCTS, _WEIGHTS = 1 << 17, 1 << 14

_team: Team | None = None
_lock = threading.Lock()


class Team:
    """The thread that makes it, and helpers.

    Parameters
    ----------
    n : int
        How many threads there are together.

    Examples
    --------
    >>> w, d_w, m, v = (np.ones(2**14, np.float32) for _ in range(4))
    >>> team = Team(2)
    >>> team.adam(w, d_w, m, v, np.array([0.5, 0.1, 0.001, 0.0]))
    True
    >>> team.stop()
    >>> w[0], w[-1]
    (np.float32(0.5), np.float32(0.5))
    """

    def __init__(self, n: int) -> None:
        from tinynet import kernels

        self._kernels = kernels
        self.owner = threading.get_ident()
        self._boxes = aligned((n, kernels._BOX), np.int64)
        self._boxes.fill(0)
        #: What the job that may be under way reads and writes.
        self._held: tuple[Any, ...] = ()
        # Compiled here, by a first call that finds it need not stay.
        self._boxes[:, kernels._STOP] = 1
        kernels._work(self._boxes, 1)
        self._boxes[:, kernels._STOP] = 0
        self._helpers = [
            threading.Thread(target=self._help, args=(i,), name=f"tinynet-{i}", daemon=True)
            for i in range(1, n)
        ]
        for helper in self._helpers:
            helper.start()

    def _help(self, part: int) -> None:
        # Through self, so that what is held lives as long as a helper may read it.
        self._kernels._work(self._boxes, part)
