"""Metrics: counts of correct predictions."""

from __future__ import annotations

import numpy as np

from tinynet.functional.arrays import Array

__all__ = ["sparse_matches"]


def sparse_matches(labels: Array, scores: Array) -> int:
    """Count the rows of `scores` whose argmax equals the class label.

    labels: (N,); scores: (N, C), logits or probabilities. Ties are resolved in favor of the first
    maximum.

    >>> sparse_matches(np.array([0, 1]), np.array([[0.5, 0.5], [0.9, 0.1]]))
    1
    """
    return int(np.count_nonzero(scores.argmax(axis=-1) == labels))
