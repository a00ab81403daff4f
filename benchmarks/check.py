"""Check of the contenders: a reference implementation of the networks in NumPy and float64.

Before a contender is timed, it trains three steps from the common initial weights. Losses, weights
and predictions must agree with `train` and `predict` to within float32 rounding error. Dropout is
disabled in these steps; the mean losses of complete epochs are compared with dropout enabled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.problem import Array, Arrays, Problem
from benchmarks.task import Task

STEPS, BATCH = 3, 32
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
RHO, WEIGHT_DECAY, VARIANCE_EPSILON = 0.9, 0.004, 1e-3  # RMSprop, AdamW, batch normalization
# Tolerance for sums of up to 1,000 float32 terms whose absolute values sum to about 10:
# 2 eps sqrt(1000) 10 = 8e-5. The error of a wrong formula is about 100 times larger.
CLOSE = 1e-4
# Rounding error of a gradient, relative to the largest element of the array: 2 eps sqrt(32) for the
# sum over 32 examples, with an order of magnitude for the preceding operations.
GRADIENT_ERROR = 2e-5
# A unit whose pre-activation is 0 up to rounding may be active or not, which affects its weights.
SHARE = 0.99

#: Activations, and their derivatives as functions of the output.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "relu": (lambda z: np.maximum(z, 0), lambda a: a > 0),
    "tanh": (np.tanh, lambda a: 1 - a * a),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda a: a * (1 - a)),
    "linear": (lambda z: z, np.ones_like),
}


def _softmax(z: Array) -> Array:
    p = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(p / p.sum(1, keepdims=True))


def _output(task: Task, z: Array) -> Array:
    """Compute the predictions from the last pre-activation, with softmax if they are logits."""
    return _softmax(z) if "categorical" in task.loss else ACTIVATIONS[task.head][0](z)


def _forward(task: Task, layers: list[Arrays], x: Array) -> tuple[list[Any], Array]:
    """Return the values needed by the backward pass of each layer, and the output."""
    a, kept = np.asarray(x, np.float64), []
    for number, (kernel, bias, *scales) in enumerate(layers, 1):
        entered, z, normalized = a, a @ kernel + bias, None
        if scales:
            deviation = np.sqrt(z.var(0) + VARIANCE_EPSILON)
            normalized = (z - z.mean(0)) / deviation, deviation
            z = scales[0] * normalized[0] + scales[1]
        a = _output(task, z) if number == len(layers) else ACTIVATIONS[task.activation][0](z)
        kept.append((entered, normalized, a))
    return kept, a


def _layers(task: Task, weights: Arrays) -> list[Arrays]:
    """Group the arrays by layer."""
    each = 4 if task.batch_norm else 2
    return [weights[i : i + each] for i in range(0, len(weights), each)]


def predict(task: Task, weights: Arrays, x: Array) -> Array:
    """Return the predictions. If the network outputs logits, they are converted with softmax."""
    weights = [np.asarray(w, np.float64) for w in weights]
    return _forward(task, _layers(task, weights), x)[1]


def mean_loss(p: Array, y: Array, loss: str = "sparse_categorical_crossentropy") -> float:
    """Compute the mean loss of predictions."""
    if loss == "mse":
        return float(np.mean((p - y) ** 2))
    if loss == "binary_crossentropy":
        return float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
    chosen = p[np.arange(len(y)), y] if y.ndim == 1 else (p * y).sum(1)
    return float(-np.log(chosen).mean())


def gradients(task: Task, weights: Arrays, x: Array, y: Array) -> tuple[float, Arrays]:
    """Compute the loss of a batch with its penalty, and the gradients of the weights."""
    layers = _layers(task, weights)
    kept, p = _forward(task, layers, x)
    loss = mean_loss(p, y, task.loss)
    # Gradient with respect to the output pre-activation, including the derivative of the activation
    # for cross-entropy; for mse, that derivative is applied below.
    d = (p - (np.eye(task.outputs)[y] if y.ndim == 1 else y)) / len(y)
    if "categorical" not in task.loss:
        d /= task.outputs
    if task.loss == "mse":
        d = 2 * d * ACTIVATIONS[task.head][1](p)
    found: Arrays = []
    for (kernel, _, *scales), (entered, normalized, a) in zip(
        layers[::-1], kept[::-1], strict=True
    ):
        if a is not p:
            d = d * ACTIVATIONS[task.activation][1](a)
        of_scales: Arrays = []
        if scales:
            z, deviation = normalized
            of_scales = [(d * z).sum(0), d.sum(0)]
            d = d * scales[0]
            d = (d - d.mean(0) - z * (d * z).mean(0)) / deviation
        loss += task.l2 * float((kernel**2).sum())
        found = [entered.T @ d + 2 * task.l2 * kernel, d.sum(0), *of_scales, *found]
        d = d @ kernel.T
    return loss, found


def train(
    task: Task, weights: Arrays, batches: list[tuple[Array, Array]], epsilon_after: bool
) -> tuple[list[float], Arrays, Arrays]:
    """Run training steps; return the losses, the weights, and bounds on their rounding errors.

    Keras adds Adam's epsilon to the square root before bias correction, and RMSprop's epsilon to
    the second moment estimate. With `epsilon_after`, it is added to the (bias-corrected) square
    root, as in PyTorch.
    """
    weights = [np.array(w, np.float64) for w in weights]
    m, v, reach = ([np.zeros_like(w) for w in weights] for _ in range(3))
    losses = []
    for t, (x, y) in enumerate(batches, 1):
        loss, found = gradients(task, weights, x, y)
        losses.append(loss)
        for i, g in enumerate(found):
            step, size = g, np.ones_like(g)
            if task.optimizer == "rmsprop":
                v[i] += (g * g - v[i]) * (1 - RHO)
                size = np.sqrt(v[i]) + EPSILON if epsilon_after else np.sqrt(v[i] + EPSILON)
            elif task.optimizer != "sgd":
                m[i] += (g - m[i]) * (1 - BETA_1)
                v[i] += (g * g - v[i]) * (1 - BETA_2)
                step, correction = m[i] / (1 - BETA_1**t), np.sqrt(1 - BETA_2**t)
                size = (np.sqrt(v[i]) + EPSILON * (correction if epsilon_after else 1)) / correction
            if task.optimizer == "adamw":
                weights[i] *= 1 - task.learning_rate * WEIGHT_DECAY
            weights[i] -= task.learning_rate * step / size
            off = GRADIENT_ERROR * np.abs(g).max() / size
            if task.optimizer != "sgd":
                largest_step = 1 if "adam" in task.optimizer else 3.5
                off = np.minimum(2 * largest_step, off)
            reach[i] += task.learning_rate * off + 1e-7 * np.abs(weights[i])
    return losses, weights, reach


def batches(problem: Problem) -> list[tuple[Array, Array]]:
    """Return the first batches of the training data."""
    parts = [slice(i * BATCH, (i + 1) * BATCH) for i in range(STEPS)]
    return [(problem.x[part], problem.y[part]) for part in parts]


def check(net: Any, problem: Problem) -> str:
    """Compare a network with the reference; return a summary, or raise an AssertionError."""
    task, given = problem.task, batches(problem)
    expected, weights, reach = train(task, problem.first_weights(), given, net.epsilon_after)
    losses = [net.train_batch(x, y) for x, y in given]
    for step, (loss, right) in enumerate(zip(losses, expected, strict=True), 1):
        assert abs(loss - right) < CLOSE, f"step {step}: loss must be {right}. Received: {loss}"
    actual = net.weights()
    for i, (w, exact, allowed) in enumerate(zip(actual, weights, reach, strict=True)):
        assert w.shape == exact.shape, f"weights {i}: the shapes {w.shape} and {exact.shape} differ"
        if task.batch_norm and i % 4 == 1 and i < len(weights) - 2:
            continue  # the gradient of a bias before normalization is 0 up to rounding errors
        near = float(np.mean(np.abs(w - exact) <= allowed))
        assert near >= SHARE, f"weights {i}: {1 - near:.1%} of the elements differ"
    where = "after" if net.epsilon_after else "before"
    if not task.classifies or task.head != "softmax" or task.batch_norm or task.l2:  # not timed
        return f"{STEPS} steps; epsilon {where} the correction"
    x, y = problem.x_test[:256], problem.y_test[:256]
    p = predict(task, actual, x)
    assert np.abs(net.predict(x) - p).max() < CLOSE, "the predictions differ"
    loss, accuracy = net.evaluate(x, y)
    assert abs(loss - mean_loss(p, y)) < CLOSE, "evaluate: the loss differs"
    assert abs(accuracy - np.mean(p.argmax(1) == y)) < 1e-6, "evaluate: the accuracy differs"
    return f"{STEPS} steps, predictions and evaluation; epsilon {where} the correction"
