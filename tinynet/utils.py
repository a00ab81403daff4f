"""Keras' utilities."""

from __future__ import annotations

import random as _python_random

import numpy as np

from tinynet import checks, random


def set_random_seed(seed: int) -> None:
    """Seed everything that draws random numbers: Python, NumPy and tinynet.

    The same seed gives the same weights, the same order of examples and the same results, bit
    by bit, on the same machine and versions. This is the one function that touches the global
    random state of Python and of NumPy, as its name promises; nothing else reads or writes it.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        If it is out of range.

    Examples
    --------
    >>> set_random_seed(0)
    """
    if checks.whole("seed", seed, 0) >= 2**32:
        raise ValueError(f"seed must be below 2**32. Received: seed={seed}")
    _python_random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002  # the global state is what is asked for
    random.set_seed(int(seed))
