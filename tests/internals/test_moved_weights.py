"""Training after weights or optimizer state have been moved to different memory."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tests.models import classifier, data
from tinynet import Sequential, callbacks, layers

X, Y = data()


def moved(model: Sequential, how: str) -> None:
    """Move a model's weights or its optimizer's state to different memory."""
    if how == "extractor":
        keras.Model(model.input, model.layers[0].output).predict(X[:2], verbose=0)
    elif how == "longer model":
        Sequential([layers.Dense(4), *model.layers, layers.Dense(2)]).build((None, 4))
    elif how == "array":
        model.layers[0].kernel.array = model.layers[0].kernel.numpy()
    elif how == "transposed array":
        kernel = model.layers[0].kernel
        kernel.array = np.asfortranarray(kernel.array)
    elif how == "slot":
        for variable in model.optimizer.variables[2:]:
            variable.array = variable.array.copy()
    elif how == "shallow copy":
        copy.copy(model).fit(X[:2], Y[:2], epochs=0, verbose=0)
    elif how == "optimizer copy":
        model.optimizer = copy.deepcopy(model).optimizer
        model.optimizer.__dict__.update(
            _trainable=model.trainable_weights, _slots=model.optimizer._slots
        )
    else:
        assert how == "set_weights"
        model.set_weights(model.get_weights())


MOVES = [
    *("extractor", "longer model", "array", "transposed array", "slot", "shallow copy"),
    *("optimizer copy", "set_weights"),
]


@pytest.mark.each_value
@pytest.mark.parametrize("during", [None, "on_epoch_begin", "on_epoch_end", "on_train_batch_end"])
@pytest.mark.parametrize("how", MOVES)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_fit_trains_weights_that_have_moved(how: str, during: Any, optimizer: str) -> None:
    """Moving weights during or between calls of `fit` does not change the result."""
    if how == "slot" and optimizer == "sgd":
        return
    found = []
    for moves in (True, False):
        model = classifier(optimizer=optimizer, metrics=["accuracy"])
        watch = callbacks.LambdaCallback(
            **{during or "on_epoch_end": lambda *_, m=model, go=moves: go and moved(m, how)}
        )
        listed = [watch] if during else []
        model.fit(X, Y, epochs=3, batch_size=8, verbose=0, shuffle=False, callbacks=listed)
        if moves:
            moved(model, how)
        model.fit(X, Y, epochs=2, batch_size=8, verbose=0, shuffle=False, callbacks=listed)
        model.train_on_batch(X, Y)
        found.append([v.numpy() for v in (*model.weights, *model.optimizer.variables)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_fit_after_rebuilding_one_weight_network() -> None:
    x, y = X[:8, :2], Y[:8] % 2
    for i in range(60):
        model = Sequential([layers.Input((2,)), layers.Dense(2, "softmax", use_bias=False)])
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(x, y, verbose=0)
        for _ in range(1 + i % 6):
            layer = model.layers[0]
            layer.kernel.array = layer.kernel.numpy()
        before = model.get_weights()
        model.fit(x, y, verbose=0)
        assert not np.array_equal(before[0], model.get_weights()[0])
