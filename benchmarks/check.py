"""Does everybody compute the same?  The net in plain float64 NumPy, which uses nobody's code.

Before a contender is timed, it trains three steps from the common first weights. Its losses, its
weights and its predictions must then be those of `train` and `predict` here, up to rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problem import Array, Arrays, Problem

STEPS, BATCH = 3, 32
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7
# Sums of up to a thousand float32 terms, with the terms' absolute values adding up to about 10:
# 2 eps sqrt(1000) 10 = 8e-5. A wrong formula is off by a hundred times that.
CLOSE = 1e-4
# What rounding does to a gradient, as a share of the largest in the same array: the same sums over
# 32 examples, 2 eps sqrt(32) of their terms, with an order of magnitude for what goes before.
GRADIENT_ERROR = 2e-5
# A unit whose sum is 0 up to rounding may be on or off: its column of weights then differs.
SHARE = 0.99


def forward(weights: Arrays, x: Array) -> tuple[Arrays, Array]:
    """Return what enters each layer, and the probabilities."""
    inputs = [np.asarray(x, np.float64)]
    for i in range(0, len(weights), 2):
        z = inputs[-1] @ weights[i] + weights[i + 1]
        if i < len(weights) - 2:
            inputs.append(np.maximum(z, 0))
    p = np.exp(z - z.max(1, keepdims=True))
    return inputs, p / p.sum(1, keepdims=True)


def predict(weights: Arrays, x: Array) -> Array:
    """Return the probabilities."""
    return forward([np.asarray(w, np.float64) for w in weights], x)[1]


def mean_loss(probabilities: Array, y: Array) -> float:
    """Return the cross-entropy."""
    return float(-np.log(probabilities[np.arange(len(y)), y]).mean())


def gradients(weights: Arrays, x: Array, y: Array) -> tuple[float, Arrays]:
    """Return the mean cross-entropy of a batch, and its gradient in each array of weights."""
    inputs, p = forward(weights, x)
    loss = mean_loss(p, y)
    d = p
    d[np.arange(len(y)), y] -= 1
    d /= len(y)
    found: Arrays = []
    for i in range(len(weights) - 2, -1, -2):
        entered = inputs[i // 2]
        found = [entered.T @ d, d.sum(0), *found]
        d = (d @ weights[i].T) * (entered > 0)
    return loss, found


def train(
    weights: Arrays, batches: list[tuple[Array, Array]], epsilon_after: bool
) -> tuple[list[float], Arrays, Arrays]:
    """Train with Adam; return the losses, the weights, and how far off rounding may have led.

    Keras adds epsilon to the root before its bias is corrected; with `epsilon_after` it is added
    afterwards, as PyTorch does.
    """
    weights = [np.array(w, np.float64) for w in weights]
    m, v, reach = ([np.zeros_like(w) for w in weights] for _ in range(3))
    losses = []
    for t, (x, y) in enumerate(batches, 1):
        loss, found = gradients(weights, x, y)
        losses.append(loss)
        epsilon = EPSILON if epsilon_after else EPSILON / np.sqrt(1 - BETA_2**t)
        for i, g in enumerate(found):
            m[i] += (g - m[i]) * (1 - BETA_1)
            v[i] += (g * g - v[i]) * (1 - BETA_2)
            size = np.sqrt(v[i] / (1 - BETA_2**t)) + epsilon
            weights[i] -= LEARNING_RATE * m[i] / (1 - BETA_1**t) / size
            off = GRADIENT_ERROR * np.abs(g).max() / size
            reach[i] += LEARNING_RATE * np.minimum(2, off) + 1e-7 * np.abs(weights[i])
    return losses, weights, reach


def batches(problem: Problem) -> list[tuple[Array, Array]]:
    """Return the first batches of the training images."""
    parts = [slice(i * BATCH, (i + 1) * BATCH) for i in range(STEPS)]
    return [(problem.x[part], problem.y[part]) for part in parts]


def check(net: Any, problem: Problem) -> str:
    """Have a net train three steps; say what was compared, or raise an AssertionError."""
    given = batches(problem)
    expected, weights, reach = train(problem.first_weights(), given, net.epsilon_after)
    losses = [net.train_batch(x, y) for x, y in given]
    for step, (loss, right) in enumerate(zip(losses, expected, strict=True), 1):
        assert abs(loss - right) < CLOSE, f"step {step}: the loss is {loss}, not {right}"
    actual = net.weights()
    for i, (w, exact, allowed) in enumerate(zip(actual, weights, reach, strict=True)):
        assert w.shape == exact.shape, f"weights {i}: the shape is {w.shape}, not {exact.shape}"
        near = float(np.mean(np.abs(w - exact) <= allowed))
        assert near >= SHARE, f"weights {i}: {1 - near:.1%} are not what they should be"
    x, y = problem.x_test[:256], problem.y_test[:256]
    p = predict(actual, x)
    assert np.abs(net.predict(x) - p).max() < CLOSE, "the predictions are not what they should be"
    loss, accuracy = net.evaluate(x, y)
    assert abs(loss - mean_loss(p, y)) < CLOSE, "evaluate: the loss is not what it should be"
    assert abs(accuracy - np.mean(p.argmax(1) == y)) < 1e-6, "evaluate: the accuracy is wrong"
    where = "after" if net.epsilon_after else "before"
    return f"{STEPS} steps, predictions and evaluation; epsilon {where} the correction"
