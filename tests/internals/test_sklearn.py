"""Compiled training steps of the scikit-learn estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinynet
from tinynet.sklearn import TinyNetClassifier, TinyNetRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def train_program(net: Any) -> Any:
    (program,) = (made for (kind, *_), made in net.model_._programs.items() if kind == "train")
    return program


def test_training_computes_one_softmax() -> None:
    x = np.random.default_rng(0).normal(size=(30, 4))
    net = TinyNetClassifier((3,), max_iter=1).fit(x, np.arange(30) % 3)
    names = [step.operation.name for step in train_program(net).program.forward]
    assert names.count("sparse_categorical_crossentropy") == 1  # the loss computes the softmax
    assert "softmax" not in names


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", ["binary", "classes", "labels", "value", "values", "counts"])
def test_float32_fit_is_compiled(task: str, weighted: bool, alpha: float) -> None:
    """Both backends compute the same loss, penalty and weights, with a final partial batch."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(55, 5)).astype(np.float32)
    targets = {
        "binary": x[:, 0] > 0,
        "classes": rng.integers(0, 3, 55),
        "labels": (x[:, :3] > 0).astype(int),
        "value": 2 * x[:, 0],
        "values": 2 * x[:, :3],
        "counts": rng.poisson(2, 55),
    }
    kind: Any = TinyNetRegressor if task in ("value", "values", "counts") else TinyNetClassifier
    settings: dict[str, Any] = {"hidden_layer_sizes": (4,), "alpha": alpha, "batch_size": 10}
    settings |= {"loss": "poisson"} if task == "counts" else {}
    weights = np.where(np.arange(55) % 5, rng.random(55), 0) if weighted else None
    found = []
    for backend in ("numba", "numpy"):
        tinynet.config.set_backend(backend)
        net = kind(**settings, max_iter=3, random_state=0, dropout=0.2)
        net.fit(x, targets[task], sample_weight=weights)
        program = train_program(net)
        assert (program._compiled is not None) == (backend == "numba")
        assert not program.why
        # Python runs no part of a step, so the training loop is fused.
        assert backend == "numpy" or not program._compiled[2].by_python
        losses, gradients = net.model_.loss_and_gradients(x, targets[task])
        found.append([net.loss_curve_, *net.coefs_, *net.intercepts_, losses, *gradients])
    for compiled, plain in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, plain, 1e-5, 1e-6)
