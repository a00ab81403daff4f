"""Every pair in `dispatch.PAIRS`: the function that is read, and its twin that is fast.

The arguments are those of the first step of a 784-128-10 net: 32 images with a fifth of their
pixels lit, 128 units, 10 classes. A pair that has none here fails.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet import functional
from tinynet.program import dispatch

N, D, U, C = 32, 784, 128, 10
P = (D + 1) * U + (U + 1) * C
Arguments = tuple[Any, ...]


class Batch:
    """A batch in every form in which something takes it."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)

        def draw(*shape: int) -> Any:
            return rng.standard_normal(shape, np.float32)

        self.x = (rng.random((N, D), np.float32) * (rng.random((N, D)) < 0.19)).astype(np.float32)
        self.x[-1, -1] = 1  # so that no number is written behind the last one, and then dropped
        self.rows = rng.permutation(N)
        self.kernel, self.bias, self.d_y = draw(D, U) / 20, draw(U), draw(N, U)
        self.logits, self.labels = draw(N, C), rng.integers(0, C, N)
        self.mean = np.full(N, 1 / N, np.float32)
        self.gradient = draw(D * U) / 100
        self.weights = draw(P) / 20
        self.indptr = functional.row_starts(self.x, np.empty(N + 1, np.int64))
        size = int(self.indptr[-1]) + 1
        self.indices, self.values = np.zeros(size, np.uint16), np.zeros(size, np.float32)
        functional.compress_rows(self.x, self.indptr, self.indices, self.values)
        self.csr = (self.indptr, self.indices, self.values)
        self.columns = (
            *(np.zeros((1, D), np.int32), np.zeros((1, N * D), np.int32)),
            np.zeros((1, N * D), np.float32),
        )
        functional.sort_by_column(*self.csr, self.rows, *self.columns)


def zeros(*shape: int) -> Any:
    """Make an array to be written."""
    return np.zeros(shape, np.float32)


ARGUMENTS: dict[str, Callable[[Batch], Arguments]] = {
    "adam": lambda b: (
        *(b.gradient.copy(), b.gradient, zeros(D * U), zeros(D * U)),
        *(1e-3, 0.1, 0.001, 1e-7),
    ),
    "bias_relu": lambda b: (b.d_y.copy(), b.bias),
    "bias_relu_backward": lambda b: (b.d_y.copy(), np.maximum(b.d_y[::-1], 0), zeros(U)),
    "compress_rows": lambda b: (
        *(b.x, b.indptr, np.zeros_like(b.indices), np.zeros_like(b.values)),
    ),
    "dense": lambda b: (b.x, b.kernel, b.bias, zeros(N, U)),
    "dense_backward": lambda b: (b.d_y, b.kernel, zeros(N, D)),
    "dense_gradients": lambda b: (b.x, b.d_y, zeros(D, U), zeros(U)),
    "row_starts": lambda b: (b.x, np.empty(N + 1, np.int64)),
    "softmax_crossentropy_step": lambda b: (
        *(b.labels, b.logits, b.mean, zeros(N, C), zeros(N, C), zeros(N)),
    ),
    "sort_by_column": lambda b: (*b.csr, b.rows, *(np.zeros_like(a) for a in b.columns)),
    "sparse_dense": lambda b: (*b.csr, b.rows, b.kernel, b.bias, zeros(N, U)),
    "sparse_kernel_gradient": lambda b: (*b.columns, b.d_y, zeros(D, U)),
    "sparse_matches": lambda b: (b.labels, b.logits),
    "train_steps": lambda b: (
        *(*b.csr, b.rows, b.labels, N, np.array([D, U, C]), np.array([True, False]), False),
        *((b.weights.copy(), zeros(P), zeros(P), zeros(P)), np.full(1, 1e-3, np.float32), 0),
        # With Adam's own epsilon, rounding would decide about the sign of whole steps.
        *((0.9, 0.999, 1.0), True, np.zeros(1), np.zeros(1, np.int64)),
        (
            zeros(N * (U + C)),
            zeros(N * (U + C)),
            zeros(N, C),
            zeros(N),
            zeros(N),
            zeros(0, D),
            *b.columns,
        ),
    ),
}


def leaves(*arguments: Any) -> list[Any]:
    """List the arguments, and what is in tuples, but for `train_steps`' room to compute in."""
    found = []
    for argument in arguments:
        if isinstance(argument, tuple):
            found += leaves(*argument) if len(argument) < 8 else []
        else:
            found.append(argument)
    return found


def test_every_pair_has_arguments() -> None:
    assert set(ARGUMENTS) == set(dispatch.PAIRS)


@pytest.mark.parametrize("twin", ["functional", "kernel"])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_pair(benchmark: Any, name: str, twin: str) -> None:
    both = dispatch.PAIRS[name]
    arguments = ARGUMENTS[name](Batch())
    left = []
    for function in both:
        own = copy.deepcopy(arguments)
        result = function(*own)
        scalar = result if np.ndim(result) == 0 else None  # else it is one of the arguments
        left.append([np.asarray(a, np.float64) for a in leaves(scalar, *own) if a is not None])
    for one, other in zip(*left, strict=True):
        # The longest sums have some 150 float32 terms, 3 in all: 2 eps sqrt(150) 3 = 9e-6.
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    benchmark.group = name
    benchmark(both[twin == "kernel"], *arguments)
