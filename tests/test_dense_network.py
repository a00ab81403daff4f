"""`functional.dense_network`, the introductory example, agrees with the library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinynet
from tinynet import functional, layers


def model_of(sizes: tuple[int, ...], dtype: str) -> Any:
    *hidden, outputs = sizes[1:]
    own = [layers.Dense(units, "relu", dtype=dtype) for units in hidden]
    output = layers.Dense(outputs, "softmax", dtype=dtype)
    model = tinynet.Sequential([layers.Input((sizes[0],), dtype=dtype), *own, output])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.fixture
def numpy_backend() -> None:
    tinynet.config.set_backend("numpy")


@pytest.mark.usefixtures("numpy_backend")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(784, 128, 10), (5, 3), (6, 9, 8, 4)], ids=str)
def test_training_step_matches_numpy_backend(
    sizes: tuple[int, ...], dtype: str, rng: np.random.Generator
) -> None:
    model = model_of(sizes, dtype)
    rate = model.optimizer.learning_rate.numpy()
    x, y = rng.random((70, sizes[0])).astype(dtype), rng.integers(0, sizes[-1], 70)
    x[rng.random(x.shape) < 0.5] = 0
    weights = [w.copy() for w in model.get_weights()]
    m, v = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    for step in range(1, 21):
        batch = slice(step % 3 * 32, step % 3 * 32 + 32)  # the final partial batch has six examples
        loss = functional.training_step(x[batch], y[batch], weights, m, v, step, rate)
        assert loss == pytest.approx(model.train_on_batch(x[batch], y[batch]), rel=1e-6)
    for own, theirs in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, theirs)


def test_gradients_match_loss(rng: np.random.Generator) -> None:
    x, labels = rng.normal(size=(7, 4)), rng.integers(0, 3, 7)
    weights = [rng.normal(size=shape) for shape in ((4, 5), 5, (5, 3), 3)]
    _, found = functional.gradients(x, labels, weights)
    for w, d_w in zip(weights, found, strict=True):
        for index in np.ndindex(w.shape):
            before, losses = w[index], []
            for h in (1e-6, -1e-6):
                w[index] = before + h
                losses.append(functional.gradients(x, labels, weights)[0])
            w[index] = before
            assert d_w[index] == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-8)
