"""Inputs of the test cases: small arrays, whose sizes all differ after the first case."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet.functional import Array


def floats(values: Any) -> Array:
    """Convert values to float32."""
    return np.array(values, np.float32)


def whole(*shape: int, seed: int = 0) -> Array:
    """Return random integers from -4 to 4, without 0, for examples to compute by hand."""
    rng = np.random.default_rng(seed)
    return floats(rng.integers(1, 5, shape) * rng.choice([-1, 1], shape))


def normal(*shape: int, seed: int = 0) -> Array:
    """Return random numbers from a standard normal distribution."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def positive(*shape: int, seed: int = 0) -> Array:
    """Return random numbers between 1 and 2."""
    return np.random.default_rng(seed).uniform(1, 2, shape).astype(np.float32)


def probabilities(n: int, classes: int, seed: int = 0) -> Array:
    """Return rows of probabilities."""
    p = positive(n, classes, seed=seed) ** 3
    return p / p.sum(axis=1, keepdims=True)


def labels(n: int, classes: int, seed: int = 0) -> Array:
    """Return class labels."""
    return np.random.default_rng(seed).integers(0, classes, n)
