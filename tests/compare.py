"""Comparison of results with derived error bounds.

Two programs that compute the same sum of n float32 numbers in a different order differ by up to
about ``2 * eps * sqrt(n) * sum(|terms|)``: each result has a relative error of about
``eps * sqrt(n)``, since rounding errors have random signs. `Bounds` propagates this error
elementwise from the inputs of a network to its gradients, in float64. No tolerance is tuned to
observed differences.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinynet import GradientTape, Sequential
from tinynet.program.variable import as_tensor

Arrays = list[np.ndarray]
EPS = float(np.finfo(np.float32).eps)


def gradients(
    model: Sequential, x: Any, y: Any, sample_weight: Any = None
) -> tuple[float, Arrays, np.ndarray]:
    """Return the loss of a batch and its gradients with respect to the weights and the input."""
    loss, found = model.loss_and_gradients(x, y, sample_weight)
    tensor = as_tensor(np.array(x, model.dtype))
    with GradientTape() as tape:
        tape.watch(tensor)
        total = model.compute_loss(tensor, y, model(tensor, training=True), sample_weight)
    return loss, found, np.array(tape.gradient(total, tensor))


def optimizer_state(model: Sequential) -> Arrays:
    """Return the iteration and the slot variables, without the learning rate."""
    return [v.numpy() for v in model.optimizer.variables if v.name != "learning_rate"]


class Bounds(NamedTuple):
    """Maximum differences between two correct results."""

    output: np.ndarray
    loss: float
    gradients: Arrays


def bounds(weights: Arrays, x: np.ndarray, y: np.ndarray, sample_weight: Any = None) -> Bounds:
    """Propagate rounding errors forward and backward through ReLU layers and softmax cross-entropy.

    `e_a` is the bound of `a`. The bound of a product is the sum of each factor's bound times the
    other factor; the bound of a sum is the sum of the terms' bounds and the rounding error above.
    """
    kernels, biases = weights[0::2], weights[1::2]
    a = np.abs(np.asarray(x, np.float64)).reshape(len(x), -1)
    e_a = np.zeros_like(a)
    kept = []
    signed = np.asarray(x, np.float64).reshape(len(x), -1)
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        z = signed @ kernel + bias
        size = np.abs(kernel)
        e_z = e_a @ size + 2 * EPS * np.sqrt(len(kernel)) * (a @ size + np.abs(bias))
        kept.append((a, e_a, z, e_z))
        signed = z if i == len(kernels) - 1 else np.maximum(z, 0)
        a, e_a = np.abs(signed), e_z
    p = np.exp(z - z.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    # p changes by at most p (dz - mean of dz); exp, the sum and the division add rounding errors.
    e_p = p * (2 * e_z.max(-1, keepdims=True) + 2 * EPS * (4 + np.abs(z - z.max(-1)[:, None])))
    counts = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    rows = np.arange(len(x))
    value = np.log(np.exp(z - z.max(-1)[:, None]).sum(-1)) + z.max(-1) - z[rows, y]
    e_value = 2 * e_z.max(-1) + 4 * EPS * (1 + np.abs(z).max(-1))
    e_loss = counts @ (e_value + 2 * EPS * np.sqrt(len(x)) * value) / len(x) + EPS
    d = p.copy()
    d[rows, y] -= 1
    scale = counts[:, None] / len(x)
    d, e_d = d * scale, (e_p + 4 * EPS) * scale
    found: Arrays = []
    for kernel, (a, e_a, z, e_z) in reversed(list(zip(kernels, kept, strict=True))):
        if found:  # backward through relu; if the sign of z is uncertain, all of d may differ
            d, e_d = d * (z > 0), np.where(np.abs(z) < e_z, np.abs(d) + e_d, e_d * (z > 0))
        n = 2 * EPS * np.sqrt(len(x))
        e_bias = e_d.sum(0) + n * np.abs(d).sum(0)
        e_kernel = a.T @ e_d + e_a.T @ np.abs(d) + n * (a.T @ np.abs(d))
        found = [e_kernel, e_bias, *found]
        size = np.abs(kernel)
        e_d = e_d @ size.T + 2 * EPS * np.sqrt(kernel.shape[1]) * (np.abs(d) @ size.T)
        d = d @ kernel.T
    return Bounds(e_p, float(e_loss), found)


def assert_within(actual: Any, expected: Any, bound: Any, what: str) -> None:
    """Assert that each difference is within the bound of its element."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, what
    excess = np.abs(actual - expected) - bound
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    assert np.isfinite(actual).all(), what
    assert excess[worst] <= 0, (
        f"{what}{list(map(int, worst))}: {actual[worst]} and {expected[worst]} differ by "
        f"{abs(actual[worst] - expected[worst]):.2g}, more than the bound "
        f"{np.broadcast_to(bound, excess.shape)[worst]:.2g}"
    )


class Step(NamedTuple):
    """Results of a training step: the loss before the update, and the state after it."""

    loss: float
    weights: Arrays
    state: Arrays


def assert_same_step(
    actual: Step,
    expected: Step,
    number: int,
    rounding: Bounds,
    learning_rate: float = 1e-3,
    corners: bool = False,
) -> None:
    """Assert that two programs have the same state after `number` steps of Adam.

    `rounding` contains the elementwise maximum of the bounds over all batches. Each step rounds
    every weight once in both programs, by a relative error of eps/2. Adam's step, ``learning_rate
    * m / (sqrt(v) + epsilon)``, propagates the gradient's bound, divided by its typical size,
    ``sqrt(v)``; the difference is at most two steps of about one learning rate. Both errors are
    summed as if they all had the same sign, which also covers the effect of different weights on
    later gradients.

    With `corners`, a unit may be on either side of relu's kink for one example: the 128 units,
    32 examples and 200 steps of the large network have about a million pre-activations, some of
    which are closer to 0 than the difference between the two programs. If this example alone
    determines the gradient of a weight, Adam takes a full step in either direction.
    """
    assert int(actual.state[0]) == int(expected.state[0]) == number
    epsilon_hat = 1e-7 / np.sqrt(1 - 0.999**number)
    far = 0.0
    for i, bound in enumerate(rounding.gradients):
        usual = np.sqrt(expected.state[2 + 2 * i] / (1 - 0.999**number))
        passed_on = learning_rate * np.minimum(2, bound / (usual + epsilon_hat))
        reach = number * (EPS * np.maximum(np.abs(expected.weights[i]), learning_rate) + passed_on)
        reach = reach + 2 * learning_rate * corners
        assert_within(actual.weights[i], expected.weights[i], reach, f"step {number}, weight {i}")
        far = max(far, float(np.max(reach)))
    # A weight difference of `far` changes the mean gradient by at most the same amount, because
    # second derivatives are below 1 for inputs and probabilities in [0, 1]; before step 1, weights
    # are equal.
    drift = far if number > 1 else 0.0
    for i, bound in enumerate(rounding.gradients):
        m, v = expected.state[1 + 2 * i], expected.state[2 + 2 * i]
        off = bound + drift + 4 * EPS * np.abs(m)
        assert_within(actual.state[1 + 2 * i], m, off, f"step {number}, first moment {i}")
        # v averages squares: 2 |g| off + off^2, and 4 additional rounding errors per step.
        squares = 2 * np.sqrt(v) * off + off**2 + 8 * EPS * v
        assert_within(actual.state[2 + 2 * i], v, squares, f"step {number}, second moment {i}")
    assert_within(actual.loss, expected.loss, rounding.loss + drift * len(m), f"loss {number}")
