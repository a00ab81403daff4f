"""Comparison of results with derived error bounds.

Two programs that compute the same sum of float32 numbers in a different order differ by rounding
errors with random signs. `rounding` computes the variance of this difference, `bounds` propagates
it elementwise from the inputs of a network to its gradients, and `adam_bounds` through an update,
in float64. No tolerance is tuned to observed differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinynet import GradientTape, Sequential
from tinynet.program.variable import as_tensor

Arrays = list[np.ndarray]
EPS = float(np.finfo(np.float32).eps)
TINY = float(np.finfo(np.float32).tiny)  # programs may replace smaller numbers by 0
FLUSHED = 1e-30  # tinynet replaces smaller moment estimates by 0, a deliberate difference
#: Standard deviations in a bound: of 1e8 normally distributed errors, one exceeds it with a
#: probability of about 1e-7.
REACH = 8


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


def rounding(terms: Any, total: Any, n: Any) -> Any:
    """Return the variance of the difference between two float32 sums of the same n terms.

    `terms` is the sum of the squared terms. An operation rounds by at most eps/2 of its result; the
    variance of a uniform error of this size is ``eps**2 / 12``, and twice that for two programs. In
    a random order, the mean square of the k-th partial sum is about ``k/n * terms + (k/n *
    total)**2``, so that the n partial sums add up to ``n/2 * terms + n/3 * total**2``. The products
    add another rounding error of each term.
    """
    return EPS**2 / 6 * ((n / 2 + 1) * terms + n / 3 * total**2)


def bounds(
    weights: Arrays, x: np.ndarray, y: np.ndarray, sample_weight: Any = None, kinks: bool = True
) -> Bounds:
    """Propagate rounding errors forward and backward through ReLU layers and softmax cross-entropy.

    `v_a` is the variance of the difference of `a` between two programs. The variance of a sum is
    the sum of the variances of its terms and of the rounding errors. A bound is `REACH` standard
    deviations. If the sign of a pre-activation is uncertain, the unit may be active in one program
    only; with `kinks`, the bounds include its contribution to the gradients.
    """
    kernels, biases = weights[0::2], weights[1::2]
    a = np.asarray(x, np.float64).reshape(len(x), -1)
    v_a = np.zeros_like(a)
    kept = []
    for kernel, bias in zip(kernels, biases, strict=True):
        z, squares = a @ kernel + bias, kernel.astype(np.float64) ** 2
        n = 1 + np.count_nonzero(a, axis=1)[:, None]  # adding 0 is exact
        v_z = v_a @ squares + rounding(a**2 @ squares + np.square(bias, dtype=float), z, n)
        kept.append((a, v_a, z, v_z))
        a = np.maximum(z, 0)
        v_a = np.where(np.abs(z) < REACH * np.sqrt(v_z), v_z, v_z * (z > 0))
    top, rows, m = z.max(-1, keepdims=True), np.arange(len(x)), len(x)
    p = np.exp(z - top)
    values = np.log(p.sum(-1)) + top[:, 0] - z[rows, y]
    p /= p.sum(-1, keepdims=True)
    # p changes by p * (dz - sum(p * dz)). Subtracting the maximum, exp, the sum and the division
    # add rounding errors.
    s_z = np.sqrt(v_z)
    s_p = p * (s_z + (p * s_z).sum(-1, keepdims=True) + EPS * (1 + (top - z) / np.sqrt(6)))
    # The loss changes by the sum of (p - 1 at the label) * dz, and by rounding errors of z.
    hot = np.zeros_like(p)
    hot[rows, y] = 1
    v_values = ((p - hot) ** 2 * v_z).sum(-1) + EPS**2 * (1 + np.abs(z).max(-1)) ** 2
    counts = np.ones(m) if sample_weight is None else np.asarray(sample_weight, np.float64)
    terms = counts * values
    v_loss = counts**2 @ v_values + rounding(terms @ terms, terms.sum(), m)
    scale = counts[:, None] / m
    d, v_d = (p - hot) * scale, (s_p + EPS * np.abs(p - hot)) ** 2 * scale**2
    jump = np.zeros_like(d)
    found: Arrays = []
    for kernel, (a, v_a, z, v_z) in reversed(list(zip(kernels, kept, strict=True))):
        if found:  # backward through relu
            unsure = kinks & (np.abs(z) < REACH * np.sqrt(v_z))
            jump = np.where(unsure, np.abs(d) + jump, jump * (z > 0))
            d, v_d = d * (z > 0), np.where(unsure, v_d, v_d * (z > 0))
        v_bias = v_d.sum(0) + rounding((d**2).sum(0), d.sum(0), m)
        # The errors of a and d in the same term may have the same sign, hence the factor of 2.
        v_kernel = 2 * ((a**2).T @ v_d + v_a.T @ d**2) + rounding((a**2).T @ d**2, a.T @ d, m)
        off_kernel = REACH * np.sqrt(v_kernel) + np.abs(a).T @ jump + TINY
        found = [off_kernel, REACH * np.sqrt(v_bias) + jump.sum(0) + TINY, *found]
        squares, before = kernel.astype(np.float64) ** 2, d
        d, jump = d @ kernel.T, jump @ np.abs(kernel).T
        v_d = v_d @ squares.T + rounding(before**2 @ squares.T, d, kernel.shape[1])
    return Bounds(REACH * s_p + TINY, float(REACH * np.sqrt(v_loss) / m + EPS), found)


class Comparison(NamedTuple):
    """Largest difference of two arrays, and its relation to the bound."""

    what: str
    difference: float
    bound: float  #: the largest bound of an element
    share: float  #: the largest difference of an element, relative to its bound
    scale: float  #: the largest absolute value of the expected array
    message: str

    @property
    def ulps(self) -> float:
        """The difference in units in the last place of the largest value."""
        return self.difference / ulp(self.scale)


def ulp(value: float) -> float:
    """Return the distance between a number and the next float32, or that of 1 for 0."""
    return float(np.spacing(np.float32(value or 1)))


def compare(actual: Any, expected: Any, bound: Any, what: str) -> Comparison:
    """Compare two arrays elementwise."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, f"{what}: {actual.shape} != {expected.shape}"
    off = np.broadcast_to(np.asarray(bound, np.float64), expected.shape)
    difference = np.nan_to_num(np.abs(actual - expected), nan=np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(difference == 0, 0, difference / off)
    worst = np.unravel_index(np.argmax(share), share.shape)
    message = (
        f"{what}{list(map(int, worst))}: {actual[worst]} and {expected[worst]} differ by "
        f"{difference[worst]:.2g}; the bound is {off[worst]:.2g}"
    )
    largest = (float(np.max(array)) for array in (difference, off, share, np.abs(expected)))
    return Comparison(what, *largest, message)


def assert_within(actual: Any, expected: Any, bound: Any, what: str) -> None:
    """Assert that each difference is within the bound of its element."""
    comparison = compare(actual, expected, bound, what)
    assert comparison.share <= 1, comparison.message


class State(NamedTuple):
    """Weights and moment estimates of Adam, or bounds of them."""

    weights: Arrays
    first: Arrays
    second: Arrays


class Step(NamedTuple):
    """Results of a training step: the loss before the update, and the state after it."""

    loss: float
    weights: Arrays
    state: Arrays


class StepBounds(NamedTuple):
    """Bounds of a training step: of a batch before the update, and of the state after it."""

    batch: Bounds
    after: State


RATE, EPSILON = 1e-3, 1e-7
BETA_1, BETA_2 = float(np.float32(0.9)), float(np.float32(0.999))
UPDATE_1, UPDATE_2 = float(np.float32(1 - 0.9)), float(np.float32(1 - 0.999))


def exact(weights: Arrays, x: np.ndarray, y: np.ndarray) -> Bounds:
    """Compute output, loss and gradients of a network of ReLU layers and a softmax in float64."""
    a, kept = np.asarray(x, np.float64).reshape(len(x), -1), []
    for kernel, bias in zip(weights[0::2], weights[1::2], strict=True):
        z = a @ kernel + bias
        kept.append((a, z))
        a = np.maximum(z, 0)
    p = np.exp(z - z.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    rows, found = np.arange(len(x)), []
    loss = -np.log(p[rows, y]).mean()
    d = p.copy()
    d[rows, y] -= 1
    d /= len(x)
    for kernel, (a, z) in reversed(list(zip(weights[0::2], kept, strict=True))):
        d = d * (z > 0) if found else d
        found = [a.T @ d, d.sum(0), *found]
        d = d @ kernel.T
    return Bounds(p, float(loss), found)


def step_size(number: int) -> float:
    """Compute the step size of Adam with bias correction."""
    return float(RATE * np.sqrt(1 - BETA_2**number) / (1 - BETA_1**number))


def adam(state: State, gradients: Arrays, number: int) -> State:
    """Update with Adam's defaults in float64."""
    after = State([], [], [])
    for w, m, v, g in zip(*state, gradients, strict=True):
        m, v = m + (g - m) * UPDATE_1, v + (g * g - v) * UPDATE_2
        w = w - step_size(number) * m / (np.sqrt(v) + EPSILON)
        for arrays, value in zip(after, (w, m, v), strict=True):
            arrays.append(value)
    return after


def adam_bounds(before: State, gradients: Arrays, off: Arrays, number: int) -> State:
    """Propagate the bounds of the gradients through an update from the same state.

    Each operation rounds by eps in two programs together. The powers of the decay rates in the step
    size may differ by eps, which the subtraction from 1 amplifies. By the Cauchy-Schwarz
    inequality, ``m / sqrt(v)`` never exceeds ``UPDATE_1 / sqrt(UPDATE_2 * (1 - BETA_1**2 /
    BETA_2))``, so that two steps differ by at most twice this value times the step size.
    """
    after, bound, alpha = adam(before, gradients, number), State([], [], []), step_size(number)
    p_1, p_2 = BETA_1**number, BETA_2**number
    relative = EPS * (8 + p_1 / (1 - p_1) + p_2 / (1 - p_2) / 2)
    most = 2 * alpha * UPDATE_1 / np.sqrt(UPDATE_2 * (1 - BETA_1**2 / BETA_2))
    for w, m, v, g, e, w_1, m_1, v_1 in zip(*before, gradients, off, *after, strict=True):
        e_m = UPDATE_1 * (e + 3 * EPS * np.abs(g - m)) + EPS * np.abs(m_1) + FLUSHED
        e_square = (2 * np.abs(g) + e) * e + EPS * g**2
        e_v = UPDATE_2 * (e_square + 3 * EPS * np.abs(g**2 - v)) + EPS * v_1 + FLUSHED
        root = np.sqrt(v_1)
        e_root = np.minimum(e_v / np.maximum(root, TINY), np.sqrt(e_v))
        lowest = np.maximum(root - e_root, 0) + EPSILON
        size = alpha * np.abs(m_1) / (root + EPSILON)
        moved = alpha * e_m / lowest + size * (e_root / lowest + relative)
        e_w = np.minimum(moved, most) + EPS * np.maximum(np.abs(w), np.abs(w_1))
        for arrays, value in zip(bound, (e_w, e_m, e_v), strict=True):
            arrays.append(value)
    return bound


def run_bounds(
    start: Arrays, batches: Iterable[Any], record: Sequence[int], copies: int = 4
) -> dict[int, StepBounds]:
    """Return bounds after the steps in `record`, for programs that train from the same weights.

    For the first step, the bounds are derived. Later, they depend on how training amplifies the
    differences, for example if a pre-activation close to 0 has different signs: they are the
    largest distance between training in float64 and `copies` of it, in which each gradient of each
    step differs by its bound, and each weight and moment estimate by a rounding error of float32,
    with random signs.
    """
    rng, zeros, found = np.random.default_rng(0), [np.zeros(w.shape) for w in start], {}
    run = State([w.astype(np.float64) for w in start], zeros, zeros)
    others = [run] * copies

    def moved(arrays: Arrays, off: Arrays) -> Arrays:
        signs = [rng.random(a.shape, np.float32) < 0.5 for a in arrays]
        return [a + np.where(s, e, -e) for a, s, e in zip(arrays, signs, off, strict=True)]

    def distance(arrays: Arrays, several: list[Arrays]) -> Arrays:
        pairs = zip(arrays, *several, strict=True)
        return [np.full(a.shape, max(np.abs(a - b).max() for b in rest)) for a, *rest in pairs]

    for number, (x, y) in enumerate(batches, 1):
        here, off = exact(run.weights, x, y), bounds(run.weights, x, y)
        smooth = bounds(run.weights, x, y, kinks=False).gradients
        theirs = [exact(other.weights, x, y) for other in others]
        after, local = adam(run, here.gradients, number), State([], [], [])
        if number == 1:
            local = adam_bounds(run, here.gradients, off.gradients, number)
        pairs = zip(others, theirs, strict=True)
        others = [adam(o, moved(t.gradients, smooth), number) for o, t in pairs]
        others = [State(*(moved(a, [EPS * np.abs(b) for b in a]) for a in o)) for o in others]
        run = after
        if number in record:
            output = distance([here.output], [[t.output] for t in theirs])[0] + off.output
            loss = max(abs(t.loss - here.loss) for t in theirs) + off.loss
            apart = distance(here.gradients, [t.gradients for t in theirs])
            gradients = [a + e for a, e in zip(apart, off.gradients, strict=True)]
            if number > 1:
                parts = zip(run, *others, strict=True)
                local = State(*(distance(mine, other) for mine, *other in parts))
            found[number] = StepBounds(Bounds(output, loss, gradients), local)
        if number == max(record):
            break
    return found


def compare_step(
    actual: Step, expected: Step, number: int, allowed: StepBounds
) -> Iterator[Comparison]:
    """Compare the loss of a step and the state after it."""
    yield compare(actual.state[0], number, 0, "iteration")
    yield compare(actual.loss, expected.loss, allowed.batch.loss, f"loss {number}")
    states = (State(s.weights, s.state[1::2], s.state[2::2]) for s in (actual, expected))
    kinds = ("weight", "first moment", "second moment")
    for kind, *columns in zip(kinds, *states, allowed.after, strict=True):
        for i, (a, b, off) in enumerate(zip(*columns, strict=True)):
            yield compare(a, b, off, f"step {number}, {kind} {i}")


def assert_all_within(comparisons: Iterable[Comparison]) -> None:
    """Assert that all comparisons are within their bounds."""
    for comparison in comparisons:
        assert comparison.share <= 1, comparison.message
