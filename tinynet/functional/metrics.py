"""The number of correct predictions."""

from __future__ import annotations

import numpy as np

from tinynet.functional.arrays import Array

__all__ = ["sparse_matches"]


def sparse_matches(labels: Array, scores: Array) -> int:
    """Count the rows whose largest score is that of the label; of ties, the first one counts.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        Class labels.
    scores : ndarray, shape (N, C)
        Logits or probabilities.

    Returns
    -------
    int
        Number of rows.

    Examples
    --------
    >>> sparse_matches(np.array([0, 1]), np.array([[0.5, 0.5], [0.9, 0.1]]))
    1
    """
    return int(np.count_nonzero(scores.argmax(axis=-1) == labels))
