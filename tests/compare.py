"""How answers are laid beside one another: tinynet's insides, and how far apart they may be.

Two programs that compute the same sum of n float32 numbers in another order differ by up to about
``2 * eps * sqrt(n) * sum(|terms|)``: each is off by some ``eps * sqrt(n)``, as roundings are of
either sign. `Bounds` carries this from the inputs of a net to its gradients, element by element,
in float64. Nothing here is tuned to what was seen.
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
    """Return the loss on a batch, its gradient in every trainable weight, and in the input."""
    loss, found = model.loss_and_gradients(x, y, sample_weight)
    tensor = as_tensor(np.array(x, model.dtype))
    with GradientTape() as tape:
        tape.watch(tensor)
        total = model.compute_loss(tensor, y, model(tensor, training=True), sample_weight)
    return loss, found, np.array(tape.gradient(total, tensor))


def optimizer_state(model: Sequential) -> Arrays:
    """Return the iteration, then the running values, without the learning rate."""
    return [v.numpy() for v in model.optimizer.variables if v.name != "learning_rate"]


class Bounds(NamedTuple):
    """How far apart two right answers may be."""

    output: np.ndarray
    loss: float
    gradients: Arrays


def bounds(weights: Arrays, x: np.ndarray, y: np.ndarray, sample_weight: Any = None) -> Bounds:
    """Follow rounding through relu layers, a softmax and its cross-entropy, and all the way back.

    `e_a` is the bound of `a` everywhere. A product's bound is that of its factors, times the
    other factor; a sum's is the sum of its terms' and the rounding above.
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
    # p moves by at most p (dz - mean of dz), and exp, the sum and the division round.
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
        if found:  # back through relu; where z may be of either sign, all may be off
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
    """Assert that no element is further away than its own bound."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, what
    excess = np.abs(actual - expected) - bound
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    assert np.isfinite(actual).all(), what
    assert excess[worst] <= 0, (
        f"{what}{list(map(int, worst))}: {actual[worst]} and {expected[worst]} are "
        f"{abs(actual[worst] - expected[worst]):.2g} apart, allowed are "
        f"{np.broadcast_to(bound, excess.shape)[worst]:.2g}"
    )


class Step(NamedTuple):
    """What a training step leaves behind: its own loss from before it, and the rest after it."""

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
    """Assert that two programs are at the same place after `number` steps of Adam.

    `rounding` holds the largest bounds over the batches. Each step rounds every weight once in
    either program, eps/2 of it. And Adam's step, ``learning_rate * m / (sqrt(v) + epsilon)``,
    passes the gradient's bound on, divided by its usual size, ``sqrt(v)``; it can be off by no
    more than two steps of about one learning rate. Both are added up as if always of one sign,
    which leaves room for what a difference in the weights does to later gradients.

    With `corners`, some unit may once have been on either side of relu's corner for one example:
    among the 128 units, 32 examples and 200 steps of the large net are some million sums, a few
    of which come as close to 0 as the two programs are to each other. Where that example makes
    all of a weight's gradient, Adam takes a whole step for it, one way or the other.
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
    # A weight that is off by `far` changes the mean of gradients, whose second derivatives are
    # below 1 for inputs and probabilities from 0 to 1, by that much; before step 1 none is off.
    drift = far if number > 1 else 0.0
    for i, bound in enumerate(rounding.gradients):
        m, v = expected.state[1 + 2 * i], expected.state[2 + 2 * i]
        off = bound + drift + 4 * EPS * np.abs(m)
        assert_within(actual.state[1 + 2 * i], m, off, f"step {number}, first moment {i}")
        # v is a mean of squares: 2 |g| off + off^2, and its own roundings, 4 a step.
        squares = 2 * np.sqrt(v) * off + off**2 + 8 * EPS * v
        assert_within(actual.state[2 + 2 * i], v, squares, f"step {number}, second moment {i}")
    assert_within(actual.loss, expected.loss, rounding.loss + drift * len(m), f"loss {number}")
