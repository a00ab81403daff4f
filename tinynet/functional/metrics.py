"""Metrics: counts of correct predictions."""

from __future__ import annotations

import numpy as np

from tinynet.functional.arrays import Array

__all__ = ["sparse_matches"]


def sparse_matches(labels: Array, scores: Array) -> int:
    """Count the rows whose maximum is at the class label; among ties, the first maximum counts.

    labels: (N,); scores: (N, C), logits or probabilities.

    >>> sparse_matches(np.array([0, 1]), np.array([[0.5, 0.5], [0.9, 0.1]]))
    1
    """
    return int(np.count_nonzero(scores.argmax(axis=-1) == labels))
