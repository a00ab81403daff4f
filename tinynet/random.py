"""Where random numbers come from: seeds are drawn here, and here only.

Every model and every initializer without a seed of its own draws a seed from one stream.
`set_seed` starts that stream anew; until then it starts from the operating system's entropy.
NumPy's global random state is neither read nor written.
"""

from __future__ import annotations

import operator
import os
import threading

import numpy as np

_lock = threading.Lock()
_stream = np.random.default_rng()


def set_seed(seed: int) -> None:
    """Start the stream of seeds anew.

    Parameters
    ----------
    seed : int
        Not negative. The same seed gives the same seeds in the same order.

    Examples
    --------
    >>> set_seed(1)
    >>> first = draw_seed()
    >>> set_seed(1)
    >>> draw_seed() == first
    True
    """
    global _stream
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"seed must be a whole number from 0 up. Received: seed={seed!r:.60}")
    if operator.index(seed) < 0:
        raise ValueError(f"seed must be a whole number from 0 up. Received: seed={seed!r:.60}")
    with _lock:
        _stream = np.random.default_rng(seed)


def draw_seed() -> int:
    """Draw the next seed from the stream.

    Returns
    -------
    int
        From 0 to 2**63 - 1.

    Examples
    --------
    >>> draw_seed() >= 0
    True
    """
    with _lock:
        return int(_stream.integers(2**63))


def _renew() -> None:
    """Make the lock anew in a forked child: whoever held it is not there."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
