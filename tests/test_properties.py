"""Properties that hold for all numbers, shapes and seeds, tested with random examples.

Other tests compare kernels with their references; `test_formulas` compares training steps.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import tinynet
from tests import models
from tinynet import Sequential, activations, config, functional, layers, losses, sparse

FLOATS = [np.float32, np.float64]
# Special float32 values: NaN, infinities, signed zeros, denormals, and numbers whose sums and
# products remain finite, so that overflow does not depend on the order of summation.
CORNERS = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-40, 1.2e-38, 1e15, -1e15, 1.0]
FINITE = st.floats(-(2.0**50), 2.0**50, width=32)
ANY = st.sampled_from(CORNERS) | FINITE
PIXEL = st.sampled_from([0.0, 0.0, 0.0, -0.0]) | ANY
# CI draws more examples.
EXAMPLES = int(os.environ.get("TINYNET_TEST_EXAMPLES", "20"))
quick = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def array(draw: Any, shape: Any, elements: Any = ANY, dtype: Any = np.float32) -> np.ndarray:
    # A few distinct values, arranged by a seed: drawing each element with hypothesis is slow.
    few = np.array(draw(st.lists(elements, min_size=1, max_size=12)), dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return few[rng.integers(0, len(few), shape)]


# ------------------------------------------------------------ softmax


@quick
@given(
    st.data(), st.integers(1, 5), st.integers(1, 40), st.sampled_from(FLOATS), st.floats(-1e3, 1e3)
)
@pytest.mark.parametrize("backend", ["numpy", "numba"], indirect=True)
def test_softmax_is_normalized_and_shift_invariant(
    backend: None, data: Any, n: int, c: int, dtype: Any, shift: float
) -> None:
    x = array(data.draw, (n, c), st.floats(-1e3, 1e3, width=32), dtype)
    eps = np.finfo(dtype).eps
    y = activations.softmax.forward(x)
    assert (y >= 0).all()
    # Each quotient has one or two rounding errors, and summation adds one per term.
    np.testing.assert_allclose(y.sum(axis=-1, dtype=np.float64), 1, rtol=4 * eps * np.sqrt(c))
    moved = x + dtype(shift)
    # Adding the shift rounds each logit by at most eps / 2 of its magnitude, and y changes by the
    # same relative amount.
    room = 2 * eps * (np.abs(x).max() + abs(shift) + 4)
    np.testing.assert_allclose(activations.softmax.forward(moved), y, rtol=room, atol=1e-37)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none", dtype=dtype)
    labels = np.zeros(n, int)
    values = loss(labels, moved), loss(labels, x)
    np.testing.assert_allclose(*values, rtol=8 * eps, atol=room + 8 * eps)


# ------------------------------------------------------------ batches


@quick
@given(
    st.integers(1, 70),
    st.integers(1, 80),
    st.booleans(),
    st.sampled_from(["sparse_categorical_crossentropy", "mse"]),
    st.integers(0, 2**32 - 1),
)
@example(1, 1, True, "mse", 0)
@example(64, 32, False, "mse", 0)
def test_results_are_independent_of_batch_size(
    n: int, size: int, weighted: bool, loss: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    y = rng.integers(0, 4, n)
    model = models.classifier(classes=4, loss=loss, metrics=["accuracy"], shape=(6,), seed=None)
    true = np.eye(4)[y] if loss == "mse" else y
    options = {"sample_weight": rng.random(n) if weighted else None, "verbose": 0}
    one, other = (model.evaluate(x, true, batch_size=b, **options) for b in (n, size))
    # The losses of the examples differ only by the summation order of 6 float32 terms.
    assert other == pytest.approx(one, rel=1e-5)
    a, b = (model.predict(x, batch_size=b, verbose=0) for b in (n, size))
    np.testing.assert_allclose(b, a, rtol=1e-5)


# ------------------------------------------------------------ random seeds


def test_compressed_rows_train_like_dense(any_seed: int) -> None:
    rng = np.random.default_rng(any_seed)
    x = rng.integers(0, 256, (96, 40)).astype(np.float32) / 255
    x[rng.random(x.shape) < 0.85] = 0
    y = rng.integers(0, 3, 96)
    weights = []
    for backend in ("numpy", "numba"):
        config.set_backend(backend)
        tinynet.random.set_seed(any_seed)
        model = Sequential([layers.Dense(7, activation="tanh"), layers.Dense(3, "softmax")])
        model.compile(tinynet.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=2, batch_size=16, verbose=0)
        weights.append(model.get_weights())
    # The error of each of the 12 steps is at most 2 * eps * sqrt(40) * 40 * 0.1: sums of 40 terms
    # below 1, and a learning rate of 0.1.
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=12 * 6e-6)


def test_compression_round_trip() -> None:
    @quick
    @given(st.data(), st.sampled_from([np.uint8, np.float32, np.float64]))
    def check(data: Any, kind: Any) -> None:
        elements = st.sampled_from([0, 0, 1, 255]) if kind == np.uint8 else PIXEL
        x = array(
            data.draw, (data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))), elements, kind
        )
        rows = sparse.CompressedRows(x, "float64")
        every = np.arange(len(x))
        back = functional.expand_rows(rows.indptr, rows.indices, rows.values, every, rows.width)
        np.testing.assert_array_equal(back, x)

    check()


def test_array_layout_is_irrelevant() -> None:
    model = Sequential([layers.Dense(3, activation="softmax")])

    @quick
    @given(arrays.arrays(np.float32, (4, 6), elements=st.floats(-9, 9, width=32)), st.data())
    def check(x: np.ndarray, data: Any) -> None:
        wide = np.zeros((8, 12), np.float32)
        view = wide[:: data.draw(st.sampled_from([2, -2])), :: data.draw(st.sampled_from([2, -2]))]
        view[...] = x
        for form in (view, np.asfortranarray(x), x.astype(">f8"), x.tolist()):
            kept = np.array(form)
            np.testing.assert_array_equal(
                model.predict(form, verbose=0), model.predict(x, verbose=0)
            )
            np.testing.assert_array_equal(kept, form)

    check()
