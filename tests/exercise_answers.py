"""Answers to the exercises: correct ones in several styles, and wrong ones with their mistake."""

from __future__ import annotations

import collections
import fractions
import functools
import itertools
from typing import Any

import numpy as np

from tinynet import functional, initializers, layers, ops

Adam = collections.namedtuple("Adam", "w m v")


def one_hot(y: Any, z: Any) -> Any:
    return np.eye(z.shape[1])[y]


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def chosen(y: Any, p: Any) -> Any:
    return p[np.arange(len(y)), y]


# ------------------------------------------------------------ correct answers in loops


def softmax_in_lists(x: Any) -> Any:
    rows = []
    for row in x.tolist():
        powers = [np.exp(z - max(row)) for z in row]
        rows.append([p / sum(powers) for p in powers])
    return rows


def relu_backward_in_loops(d_y: Any, x: Any) -> Any:
    d_x = np.zeros_like(d_y)
    for n, u in np.ndindex(x.shape):
        if x[n, u] >= 0:
            d_x[n, u] = d_y[n, u]
    return d_x


def dense_backward_in_loops(d_y: Any, x: Any, kernel: Any) -> Any:
    d_x, d_kernel = np.zeros_like(x), np.zeros_like(kernel)
    for n in range(len(x)):
        d_kernel += np.outer(x[n], d_y[n])
        d_x[n] = [np.dot(d_y[n], row) for row in kernel]
    return d_x, d_kernel, sum(d_y)


def crossentropy_in_loops(y: Any, p: Any) -> Any:
    total = np.float32(0)
    for n, label in enumerate(y):
        total -= np.log(max(p[n, label], np.float32(1e-7)))
    return total / np.float32(len(y))


def logits_gradient_in_steps(y: Any, z: Any) -> Any:
    p = softmax(z)
    p[np.arange(len(y)), y] -= 1
    p /= len(y)
    return p


def gradient_check_in_place(f: Any, x: Any, g: Any, h: float = 1e-6) -> Any:
    numeric, flat = np.zeros(x.size), x.reshape(-1)
    for i in range(x.size):
        kept = flat[i]
        flat[i] = kept + h
        above = f(x)
        flat[i] = kept - h
        numeric[i] = (above - f(x)) / (2 * h)
        flat[i] = kept
    n, g = numeric, g.ravel()
    return np.linalg.norm(n - g) / (np.linalg.norm(n) + np.linalg.norm(g))


def differences(f: Any, x: Any, h: float = 1e-5, sides: tuple[int, int] = (1, -1)) -> Any:
    steps = [h * row.reshape(x.shape) for row in np.eye(x.size)]
    rises = [f(x + sides[0] * s) - f(x + sides[1] * s) for s in steps]
    return np.array(rises).reshape(x.shape) / ((sides[0] - sides[1]) * h)


def ratio(n: Any, g: Any) -> Any:
    return np.linalg.norm(n - g) / (np.linalg.norm(n) + np.linalg.norm(g))


def limit(i: int, o: int) -> Any:
    return np.sqrt(6 / (i + o))


def glorot_in_loops(i: int, o: int, rng: Any) -> Any:
    return [[rng.uniform(-limit(i, o), limit(i, o)) for _ in range(o)] for _ in range(i)]


def sgd_in_place(w: Any, d_w: Any, rate: float) -> None:
    w -= rate * d_w


def momentum_in_place(w: Any, d_w: Any, m: Any, rate: float, momentum: float) -> None:
    m *= momentum
    m -= rate * d_w
    w += m


def adam(w: Any, d: Any, m: Any, v: Any, t: int, rate: float, b1: float, b2: float, e: float,
         power: Any = lambda b, t: 1 - b**t, step: Any = lambda m, v, e, d: m / (np.sqrt(v) + e),
         square: Any = np.square, keep: bool = False, sign: int = 1) -> Any:  # fmt: skip
    m = b1 * m + (1 - b1) * d
    v = b2 * v + (1 - b2) * square(d)
    m_hat, v_hat = m / power(b1, t), v / power(b2, t)
    w = w - sign * rate * step(m_hat, v_hat, e, d)
    return (w, m_hat, v_hat) if keep else Adam(w, m, v)


def adam_in_place(w: Any, d: Any, m: Any, v: Any, t: int, *rest: float) -> None:
    rate, b1, b2, e = rest
    alpha = functional.adam_step_size(rate, b1, b2, t)
    functional.adam(w, d, m, v, alpha, 1 - b1, 1 - b2, e)


def adam_in_loops(w: Any, d: Any, m: Any, v: Any, *rest: Any) -> Any:
    columns = [adam(*numbers, *rest) for numbers in zip(w, d, m, v, strict=True)]
    return [list(column) for column in zip(*columns, strict=True)]


def batches(x: Any, y: Any, size: int, rng: Any, order: Any = None) -> Any:
    order = rng.permutation(len(x)) if order is None else order
    for i in range(0, len(x), size):
        part = order[i : i + size]
        yield x[part], y[part]


def batches_split(x: Any, y: Any, size: int, rng: Any) -> Any:
    order = np.argsort(rng.random(len(x)))
    parts = np.split(order, np.arange(size, len(x), size))
    return [[x[part].tolist(), y[part].tolist()] for part in parts]


def batches_of_copies(x: Any, y: Any, size: int, rng: Any) -> Any:
    pairs = [*zip(x, y, strict=True)]
    rng.shuffle(pairs := [*range(len(pairs))])
    xs, ys = x[pairs], y[pairs]
    return tuple((xs[i : i + size], ys[i : i + size]) for i in range(0, len(xs), size))


def dropout_in_loops(x: Any, rate: float, training: bool, rng: Any) -> Any:
    if not training:
        return x
    y = x.copy()
    for n, u in np.ndindex(x.shape):
        y[n, u] = x[n, u] / (1 - rate) if rng.random() >= rate else 0
    return y


def accuracy_in_loops(y: Any, scores: Any) -> float:
    return sum(int(np.argmax(row)) == label for row, label in zip(scores, y, strict=True)) / len(y)


class PReLU(layers.Layer):
    start: Any = 0.25

    def build(self, shape: Any) -> None:
        self.alpha = self.add_weight((shape[-1],), initializers.Constant(self.start))

    def call(self, x: Any) -> Any:
        return ops.maximum(x, 0) + self.alpha * ops.minimum(x, 0)


class WithBackward(PReLU):
    def call(self, x: Any) -> Any:
        return np.where(x > 0, x, self.alpha.array * x)

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        work.gradients[0][...] = np.sum(d_y * np.minimum(work.x, 0), axis=0)
        return d_y * np.where(work.x > 0, 1, self.alpha.array)


class WithArguments(PReLU):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = 0.25

    def call(self, x: Any, training: bool = False) -> Any:
        return ops.where(x > 0, x, x * self.alpha)


def layer(base: Any = PReLU, **members: Any) -> Any:
    """Return a layer with other members."""
    return type("Answer", (base,), members)


def gradient_check_with_rounding(f: Any, x: Any, g: Any, h: float = 1e-5) -> Any:
    """Restore x only up to rounding errors."""
    numeric = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += h
        above = f(x)
        x[i] -= 2 * h
        numeric[i] = (above - f(x)) / (2 * h)
        x[i] += h
    return ratio(numeric, g)


def sgd_with_state(w: Any, d: Any, r: float, state: Any = {}) -> Any:  # noqa: B006  # the mistake
    """Accumulate gradients of the same size between calls."""
    total = state.get(len(d), 0) + d
    state.clear()
    state[len(d)] = total
    return w - r * total


def momentum_with_state(
    w: Any,
    d: Any,
    m: Any,
    rate: float,
    momentum: float,
    state: Any = {},  # noqa: B006  # the mistake
) -> Any:
    """Use the velocity of the last call if it has the same size, instead of m."""
    m = momentum * state.get(len(d), 0) - rate * d
    state.clear()
    state[len(d)] = m
    return w + m, m


def minibatches(x: Any, y: Any, n: int, rng: Any) -> Any:
    order = rng.permutation(len(x))
    return [(x[order[i : i + n]], y[order[i : i + n]]) for i in range(0, len(x), n)]


def with_order(order: Any) -> Any:
    """Return mini-batches in an order that is not that of a permutation."""

    def answer(x: Any, y: Any, n: int, rng: Any) -> Any:
        o = order(len(x), rng)
        return [(x[o[i : i + n]], y[o[i : i + n]]) for i in range(0, len(x), n)]

    return answer


def with_mask(mask: Any) -> Any:
    """Return dropout with a mask whose elements are not independent."""
    return lambda x, r, training, rng: x * mask(x, r, rng) / (1 - r) if training else x


def glorot(i: int, o: int, rng: Any) -> Any:
    return rng.uniform(-1, 1, (i, o)) * np.sqrt(6 / (i + o))


def shuffled_by_swaps(partner: Any) -> Any:
    """Return mini-batches in an order of which each element is exchanged with a partner."""

    def order(n: int, rng: Any) -> Any:
        found = np.arange(n)
        for i in range(n - 1, -1, -1):
            found[[i, j]] = found[[(j := partner(i, n, rng)), i]]
        return found

    return with_order(order)


CORRECT: dict[str, list[Any]] = {
    "softmax": [
        softmax,
        softmax_in_lists,
        ops.softmax,
        lambda x, axis=-1: functional.softmax(x.astype(np.float64)),
        lambda logits: np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)),
        lambda x: {"y": softmax(x)},
        lambda x: (softmax(x),),
    ],
    "relu_backward": [
        lambda d_y, x: [d_y * (x > 0)],
        lambda d_y, x: d_y * (x > 0),
        lambda d_y, x: np.where(x >= 0, d_y, 0.0),
        relu_backward_in_loops,
        lambda d_y, x: functional.relu_backward(d_y, x, functional.relu(x)),
        lambda d, x: d * np.heaviside(x, 0.5),
        lambda d_y, x: ops.multiply(d_y, ops.cast(x > 0, "float32")),
    ],
    "dense_backward": [
        lambda d, x, k: (part for part in (d @ k.T, x.T @ d, d.sum(axis=0))),
        lambda d_y, x, kernel: (d_y @ kernel.T, x.T @ d_y, d_y.sum(axis=0)),
        dense_backward_in_loops,
        functional.dense_layer_backward,
        lambda d, x, k: [
            np.einsum("nu,du->nd", d, k),
            np.einsum("nd,nu->du", x, d),
            np.einsum("nu->u", d),
        ],
        lambda d, x, k: {
            "d_bias": np.ones(len(d)) @ d,
            "d_kernel": np.dot(x.T, d),
            "d_x": (k @ d.T).T,
        },
        lambda d, x, k: (ops.matmul(d, k.T), ops.matmul(x.T, d), ops.sum(d, axis=0)),
    ],
    "crossentropy": [
        lambda y, p: -np.mean(np.log(np.clip(chosen(y, p), 1e-7, 1))),
        crossentropy_in_loops,
        lambda y, p: float(functional.sparse_crossentropy(y, p, 1e-7).mean()),
        lambda y, p: -(one_hot(y, p) * np.log(np.clip(p, 1e-7, 1 - 1e-7))).sum() / len(y),
        lambda y, p: np.array(np.mean(-np.log(np.clip(p, 1e-7, 1 - 1e-7))[np.arange(len(y)), y])),
    ],
    "softmax_crossentropy_backward": [
        lambda y, z: (softmax(z) - one_hot(y, z)) / len(y),
        logits_gradient_in_steps,
        lambda y, z: functional.mean_softmax_crossentropy_backward(1.0, softmax(z), y),
        lambda y, z: [
            [(p - (c == label)) / len(y) for c, p in enumerate(row)]
            for row, label in zip(softmax(z), y, strict=True)
        ],
        lambda y, z: np.mean([1]) * (softmax(z.astype(float)) - one_hot(y, z)) / y.size,
    ],
    "gradient_check": [
        gradient_check_with_rounding,
        lambda f, x, g: ratio(differences(f, x), g),
        gradient_check_in_place,
        lambda f, x, gradient, h=1e-4: float(ratio(differences(f, x, h), gradient)),
        lambda f, x, g: np.float64(ratio((4 * differences(f, x) - differences(f, x, 2e-5)) / 3, g)),
    ],
    "glorot_uniform": [
        lambda i, o, rng: rng.uniform(-limit(i, o), limit(i, o), (i, o)),
        lambda i, o, rng: ((2 * rng.random((i, o)) - 1) * limit(i, o)).astype("float32"),
        lambda i, o, rng: limit(i, o) - 2 * limit(i, o) * rng.random(size=[i, o]),
        glorot_in_loops,
        lambda i, o, rng: ops.multiply(limit(i, o), rng.uniform(-1, 1, i * o).reshape(i, o)),
    ],
    "sgd": [
        lambda w, d, r: w - np.multiply(d, r, out=d),
        lambda w, d_w, learning_rate: w - learning_rate * d_w,
        sgd_in_place,
        lambda w, d, r: [a - r * b for a, b in zip(w, d, strict=True)],
        lambda w, d, r: ops.subtract(w, r * d),
        lambda w, d, r: (w - r * d,),
        functional.sgd,
    ],
    "momentum": [
        lambda w, d, m, r, k: (w + k * m - r * d, k * m - r * d),
        momentum_in_place,
        lambda w, d, m, r, k: {"m": k * m - r * d, "w": w + (k * m - r * d)},
        lambda w, d, m, r, k: np.stack([w + k * m - r * d, k * m - r * d]),
        functools.partial(functional.sgd_momentum, nesterov=False),
    ],
    "adam": [
        adam,
        adam_in_place,
        adam_in_loops,
        lambda *args: adam(*(a.astype(float) if isinstance(a, np.ndarray) else a for a in args)),
        lambda *args: list(adam(*args)),
        lambda *args: adam(*args)._asdict(),
    ],
    "minibatches": [
        lambda *args: [{"x": x, "labels": y} for x, y in minibatches(*args)],
        batches,
        batches_split,
        batches_of_copies,
        lambda x, y, n, rng: list(batches(x, y, n, rng, rng.choice(len(x), len(x), replace=False))),
        shuffled_by_swaps(lambda i, n, rng: rng.integers(i + 1)),
        with_order(lambda n, rng: np.argsort(rng.standard_normal(n))),
    ],
    "dropout": [
        lambda x, r, training, rng: x * (rng.random(x.shape) >= r) / (1 - r) if training else x,
        dropout_in_loops,
        lambda x, r, t, rng: x * rng.binomial(1, 1 - r, x.shape) / (1 - r) if t else x.copy(),
        lambda x, r, t, rng: np.where(rng.random(x.shape) < r, 0, x / (1 - r)) if t else 1 * x,
        lambda x, r, t, rng: functional.dropout(x, rng.random(x.shape, "float32"), r * t),
    ],
    "accuracy": [
        lambda y, s: fractions.Fraction(int((s.argmax(axis=1) == y).sum()), len(y)),
        lambda y, s: np.mean(s.argmax(axis=1) == y),
        accuracy_in_loops,
        lambda y, s: functional.sparse_matches(y, s) / len(y),
        lambda y, s: 1 - np.count_nonzero(np.argsort(s)[:, -1] - y) / y.size,
        lambda y, s: [np.float32((s.argmax(-1) == y).mean())][0],
    ],
    "custom_layer": [
        PReLU,
        WithBackward,
        WithArguments,
        PReLU(),
        lambda: layers.PReLU(alpha_initializer=initializers.Constant(0.25)),
    ],
}  # fmt: skip


def gradient_check_without_restoring(f: Any, x: Any, g: Any) -> Any:
    numeric = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += 1e-5
        above = f(x)
        x[i] -= 2e-5
        numeric[i] = (above - f(x)) / 2e-5
    return ratio(numeric, g)


CALLS = itertools.count(1)


def raising(*args: Any) -> Any:
    raise ZeroDivisionError("no answer yet")


def with_rule(rule: Any) -> Any:
    """Return an answer to the exercise "momentum" with a rule for w and m."""
    return lambda w, d, m, r, k: rule(w, d, m, r, k)


def shuffled_apart(x: Any, y: Any, size: int, rng: Any) -> Any:
    return batches(rng.permutation(x), rng.permutation(y), size, rng)


def zeroed(d_y: Any, x: Any) -> Any:
    d_y[x <= 0] = 0
    return d_y


def train_only(rule: Any) -> Any:
    """Return an answer to the exercise "dropout" that returns x in inference."""
    return lambda x, r, t, rng: rule(x, r, rng) if t else x


def rows_exchanged(x: Any, y: Any, size: int, rng: Any) -> Any:
    x, y = x.copy(), y.copy()
    for i, j in enumerate(rng.integers(np.arange(len(x)), len(x))):
        x[i], x[j] = x[j], x[i]
        y[i], y[j] = y[j], y[i]
    return batches(x, y, size, rng, np.arange(len(x)))


WRONG: dict[str, list[tuple[str, Any]]] = {
    "softmax": [
        ("largest absolute value of each", lambda x: softmax(x / np.abs(x).max(1)[:, None])),
        ("maximum starts at 0", lambda x: (e := np.exp(x - np.maximum(x.max(1), 0)[:, None]))
         / e.sum(1)[:, None]),
        (r"the sum of exp uses exp\(x\)", lambda x: np.exp(x - x.max(1)[:, None])
         / np.exp(x).sum(1)[:, None]),
        (r"x\*\*2 instead of exp", lambda x: x**2 / (x**2).sum(axis=1, keepdims=True)),
        ("half of x", lambda x: softmax(x / 2)),
        (r"range from 0 to 10", lambda x: softmax(np.clip(x, 0, 10))),
        ("overflows .* maximum of each row", lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
        ("maximum of the whole batch", lambda x: (e := np.exp(x - x.max())) / e.sum(1)[:, None]),
        (r"sums over the batch \(axis=0\)", lambda x: softmax(x.T).T),
        ("without keepdims", lambda x: np.exp(x) / np.exp(x).sum(axis=1)),
        ("does not divide by the sum", lambda x: np.exp(x - x.max(axis=1, keepdims=True))),
        (r"log\(softmax\(x\)\)", lambda x: np.log(softmax(x))),
        ("clips the logits", lambda x: softmax(np.clip(x, -50, 50))),
        ("is transposed", lambda x: softmax(x).T if len(x) != len(x.T) else softmax(x)),
        ("modifies its argument x", lambda x: np.exp(np.subtract(x, x.max(1)[:, None], out=x))
         / np.exp(x).sum(1)[:, None]),
        ("returns None: the return statement is missing", lambda x: None),
        ("raises ZeroDivisionError: no answer yet", raising),
        ("must accept 1 argument,", lambda: 0),
        ("has only 1 of 3 rows", lambda x: softmax(x[:1])),
        ("square root of the number of columns", lambda x: softmax(x / np.sqrt(x.shape[1]))),
    ],
    "relu_backward": [
        (r"d_y \* \(x \* \(1 - x\)\)", lambda d_y, x: d_y * x * (1 - x)),
        (r"relu\(x\)\*\*2", lambda d_y, x: d_y * (1 - np.maximum(x, 0) ** 2)),
        (r"one condition .* \(x > 0\).any\(\)", lambda d_y, x: d_y * (x > 0).any()),
        ("between 0 and 1", lambda d_y, x: d_y * (x.astype(int) > 0)),
        ("x minus its mean", lambda d_y, x: d_y * (x > x.mean())),
        ("d_y instead of 0 in the last row", lambda d_y, x: np.append(
            (d_y * (x > 0))[:-1], d_y[-1:], 0)),
        (r"0 instead of .* where x > 0 and x < 0.[456]", lambda d_y, x: d_y * (x > 0.5)),
        (r"d_y where x > 0, and 0.01 elsew", lambda d_y, x: np.where(x > 0, d_y, 0.01)),
        (r"\(d_y \* x > 0\)", lambda d_y, x: d_y * x > 0),
        ("in the last row", lambda d_y, x: np.append((d_y * (x > 0))[:-1], 0 * d_y[-1:], 0)),
        ("at least -1 and at most 1", lambda d_y, x: np.clip(d_y, -1, 1) * (x > 0)),
        ("at least -50 and at most 50", lambda d_y, x: np.clip(d_y, -50, 50) * (x > 0)),
        ("ignores the upstream gradient", lambda d_y, x: np.where(x > 0, 1, 0)),
        ("returns relu", lambda d_y, x: np.maximum(x, 0)),
        ("condition reversed", lambda d_y, x: d_y * (x <= 0)),
        ("derivative of sigmoid", lambda d, x: d / (1 + np.exp(-x)) / (1 + np.exp(x))),
        ("sign of d_y", lambda d_y, x: d_y * (d_y > 0)),
        ("exchanges the arguments d_y and x", lambda x, d_y: d_y * (x > 0)),
        ("modifies its argument d_y", zeroed),
        ("has the wrong sign", lambda d_y, x: -d_y * (x > 0)),
        ("elements that are not 0", lambda d_y, x: d_y[x > 0]),
        (r"3 \* \(d_y \* \(x > 0\)\)", lambda d_y, x: 3 * d_y * (x > 0)),
    ],
    "dense_backward": [
        (r"kernel.reshape", lambda d, x, k: (d @ k.reshape(k.T.shape), x.T @ d, d.sum(0))),
        ("reshaped", lambda d, x, k: (d @ k.T, (d.T @ x).reshape(k.shape), d.sum(0))),
        ("0 instead of .* in the first row", lambda d, x, k: (
            d @ k.T, x.T @ d * (np.arange(len(k)) > 0)[:, None], d.sum(0))),
        ("d_kernel and d_bias are those of the last", lambda d, x, k: (
            d @ k.T, np.outer(x[-1], d[-1]), d[-1])),
        (r"0.1 \* kernel \+ x.T @ d_y", lambda d, x, k: (d @ k.T, x.T @ d + 0.1 * k, d.sum(0))),
        (r"cumsum\(d_y\): it must have", lambda d, x, k: (d @ k.T, x.T @ d, d.cumsum(0))),
        ("d_bias is summed over the wrong axis", lambda d, x, k: (d @ k.T, x.T @ d, d.sum(1))),
        ("d_kernel is divided by the batch size", lambda d, x, k: (
            d @ k.T, x.T @ d / len(x), d.sum(0))),
        ("returns d_kernel, d_bias, d_x instead", lambda d, x, k: (x.T @ d, d.sum(0), d @ k.T)),
        ("kernel instead of kernel.T", lambda d, x, k: (d @ k, x.T @ d, d.sum(0))),
        ("d_kernel is transposed", lambda d, x, k: (d @ k.T, d.T @ x, d.sum(0))),
        ("must return 3 values: .* Received: 2 values", lambda d, x, k: (x.T @ d, d.sum(0))),
        ("d_x has the wrong sign", lambda d, x, k: (-d @ k.T, x.T @ d, d.sum(0))),
        ("averaged over the batch instead", lambda d, x, k: (d @ k.T, x.T @ d, d.mean(0))),
        ("a dict with the keys", lambda d, x, k: {"d_x": d @ k.T, "dW": x.T @ d, "db": d.sum(0)}),
    ],
    "crossentropy": [
        ("adds 1e-7 to", lambda y, p: -(one_hot(y, p) * np.log(p + 1e-7)).sum() / len(y)),
        ("only probabilities of 0", lambda y, p: -np.log(chosen(y, np.where(p, p, 1e-7))).mean()),
        ("leaves out", lambda y, p: -np.log((q := chosen(y, p))[q > 0]).mean()),
        ("without the last", lambda y, p: -np.log(chosen(y, p) + 1e-7)[:-1].sum() / len(y)),
        (r"exp\(-mean\(log\(p", lambda y, p: np.exp(-np.log(chosen(y, p) + 1e-9).mean())),
        ("at most 0.5", lambda y, p: -np.log(np.clip(chosen(y, p), 1e-7, 0.5)).mean()),
        ("by 1e-10", lambda y, p: -np.log(np.maximum(chosen(y, p), 1e-10)).mean()),
        ("exchanges the arguments", lambda p, y: -np.log(np.maximum(chosen(y, p), 1e-7)).mean()),
        ("not finite", lambda y, p: -np.mean(np.log(chosen(y, p)))),
        ("loss is the sum", lambda y, p: -np.sum(np.log(chosen(y, p) + 1e-9))),
        ("wrong sign", lambda y, p: np.mean(np.log(chosen(y, p) + 1e-9))),
        ("number of classes", lambda y, p: -np.mean(one_hot(y, p) * np.log(p + 1e-9))),
        ("base 2", lambda y, p: -np.mean(np.log2(chosen(y, p) + 1e-9))),
        ("base 10", lambda y, p: -np.mean(np.log10(chosen(y, p) + 1e-9))),
        (r"0 \* log\(0\)", lambda y, p: -np.sum(one_hot(y, p) * np.log(p)) / len(y)),
        ("one value for each example", lambda y, p: -np.log(chosen(y, p) + 1e-9)),
        ("must return loss as an array of numbers", lambda y, p: "0.3"),
        ("by 0.001", lambda y, p: -np.mean(np.log(np.maximum(chosen(y, p), 1e-3)))),
        ("smooths the labels", lambda y, p: -((0.9 * one_hot(y, p) + 0.1 / p.shape[1])
         * np.log(np.maximum(p, 1e-7))).sum(axis=1).mean()),
        ("whose probability is below 1e-7",
         lambda y, p: -np.log((q := chosen(y, p))[q >= 1e-7]).mean()),
    ],
    "softmax_crossentropy_backward": [
        ("probability is clipped", lambda y, z: functional.softmax_backward(
            -one_hot(y, z) / np.maximum(p := softmax(z), 1e-7) / len(y), p, p)),
        ("the last class does not occur", lambda y, z: (
            softmax(z) - np.eye(max(y) + 1)[y]) / len(y)),
        (r"- 0.9 \* one_hot / N", lambda y, z: (
            softmax(z) - 0.9 * one_hot(y, z) - 0.1 / z.shape[1]) / len(y)),
        (r"/ sqrt\(N\)", lambda y, z: (softmax(z) - one_hot(y, z)) / len(y) ** 0.5),
        ("the mean over the batch is missing", lambda y, z: softmax(z) - one_hot(y, z)),
        ("wrong sign", lambda y, z: (one_hot(y, z) - softmax(z)) / len(y)),
        ("subtracts the class labels as numbers", lambda y, z: (softmax(z) - y[:, None]) / len(y)),
        ("does not subtract the one-hot", lambda y, z: softmax(z) / len(y)),
        ("with respect to the probabilities", lambda y, z: -one_hot(y, z) / softmax(z) / len(y)),
        ("overflows", lambda y, z: (
            np.exp(z) / np.exp(z).sum(1, keepdims=True) - one_hot(y, z)) / len(y)),
        ("must return only d_logits", lambda y, z: (softmax(z), softmax(z))),
        ("number of elements", lambda y, z: np.array((softmax(z) - one_hot(y, z)) / z.size)),
        ("labels without the last class", lambda y, z: (softmax(z)[:, : y.max() + 1]
         - np.eye(y.max() + 1)[y]) / len(z)),
        ("-one_hot .* as // does", lambda y, z: (softmax(z) - one_hot(y, z)) // len(z)),
        ("not finite where the probability", lambda y, z: np.stack([
            -(np.diag(q) - np.outer(q, q))[:, k] / q[k] for k, q in zip(y, softmax(z), strict=True)
        ]) / len(y)),
    ],
    "gradient_check": [
        ("h = 1e-06, .* by h instead", lambda f, x, g: ratio(2 * differences(f, x, 1e-6), g)),
        (r"0.0001, .* 4 \* h instead", lambda f, x, g: ratio(differences(f, x, 1e-4) / 2, g)),
        ("multiplied by h: / 2", lambda f, x, g: ratio(1e-8 * differences(f, x, 1e-4), g)),
        ("one-sided", lambda f, x, g: ratio(differences(f, x, 1e-8, (1, 0)), g)),
        ("float32", lambda f, x, g: ratio(differences(lambda x: f(np.float32(x)), x), g)),
        ("rounding errors", lambda f, x, g: ratio(differences(lambda x: np.float32(f(x)), x), g)),
        ("different h", lambda f, x, g: ratio(differences(f, x, 1e-5, (2, -1)), g)),
        ("does not restore", gradient_check_without_restoring),
        ("not divided", lambda f, x, g: ratio(2e-5 * differences(f, x), g)),
        ("absolute value of the quotient", lambda f, x, g: ratio(np.abs(differences(f, x)), g)),
        (r"1 - \|n - g\|", lambda f, x, g: 1 - ratio(differences(f, x), g)),
        ("one-sided", lambda f, x, g: ratio(differences(f, x, 1e-6, (1, 0)), g)),
        ("too large", lambda f, x, g: ratio(differences(f, x, 0.1), g)),
        ("too small", lambda f, x, g: ratio(differences(f, x, 1e-13), g)),
        (r"is \|n - g\| instead", lambda f, x, g: np.linalg.norm(differences(f, x) - g)),
        ("several elements", lambda f, x, g: ratio((f(x + 1e-5) - f(x - 1e-5)) / 2e-5, g)),
        ("wrong sign", lambda f, x, g: ratio(-differences(f, x), g)),
        ("h instead of 2", lambda f, x, g: ratio(2 * differences(f, x), g)),
        ("does not call f", lambda f, x, g: np.linalg.norm(g)),
        ("larger norm", lambda f, x, g: np.linalg.norm(differences(f, x) - g)
         / max(np.linalg.norm(differences(f, x)), np.linalg.norm(g))),
        ("h is too small", lambda f, x, g: ratio(differences(f, x, np.finfo(float).eps), g)),
        ("elements of x that are 0", lambda f, x, g: ratio(differences(f, x, 1e-5 * np.abs(x)), g)),
        ("array of integers", lambda f, x, g: ratio(differences(f, x).astype(int), g)),
    ],
    "glorot_uniform": [
        ("weights are 0", lambda i, o, rng: rng.uniform(-1, 1, (i, o)) * (6 // (i + o))),
        (r"fan_out \+ 1\)", lambda i, o, rng: limit(i, o + 1) * rng.uniform(-1, 1, (i, o))),
        ("the middle", lambda i, o, rng: limit(i, o) * rng.random((i, o)) - 0.5),
        ("similar", lambda i, o, rng: np.sort(glorot(i, o, rng), axis=0)),
        ("repeated", lambda i, o, rng: glorot(i, o, rng)[np.arange(i) // 2]),
        ("times too large", lambda i, o, rng: 1.01 * glorot(i, o, rng)),
        ("He's initialization", lambda i, o, rng: (6 / i) ** 0.5 * rng.uniform(-1, 1, (i, o))),
        ("Glorot normal", lambda i, o, rng: rng.normal(0, np.sqrt(2 / (i + o)), (i, o))),
        ("square root is missing", lambda i, o, rng: rng.uniform(-6, 6, (i, o)) / (i + o)),
        ("between 0 and limit", lambda i, o, rng: rng.random((i, o)) * limit(i, o)),
        ("same seed of rng", lambda i, o, rng: limit(i, o) * np.random.uniform(-1, 1, (i, o))),  # noqa: NPY002  # wrong
        ("do not set a seed", lambda i, o, rng: np.random.default_rng(0).uniform(
            -limit(i, o), limit(i, o), (i, o))),
        (r"shape \(fan_out, fan_in\)", lambda i, o, rng: rng.uniform(
            -limit(i, o), limit(i, o), (o, i))),
        ("replace the 2 by 6", lambda i, o, rng: rng.uniform(-1, 1, (i, o)) * (2 / (i + o)) ** 0.5),
        (r"shape of the kernel is \(201, 100\)", lambda i, o, rng: glorot(i + 1, o, rng)),
        ("exactly 0", lambda i, o, rng: (w := glorot(i, o, rng)) - w.mean()),
        ("only 21 different", lambda i, o, rng: rng.integers(-10, 11, (i, o)) * limit(i, o) / 10),
        ("both signs", lambda i, o, rng: np.concatenate([w := glorot(i // 2, o, rng), -w])),
        ("between -limit and 1", lambda i, o, rng: rng.uniform(-limit(i, o), size=(i, o))),
    ],
    "sgd": [
        ("not updated in the first", lambda w, d, r: np.append(w[:1], (w - r * d)[1:])),
        ("every second", lambda w, d, r: w - r * d * (np.arange(len(w)) % 2)),
        (r"\(1 - 0.01 \* learning_rate\) \* w", lambda w, d, r: w - r * (d + 0.01 * w)),
        ("d_w clipped to the range from -5 to 5", lambda w, d, r: w - r * np.clip(d, -5, 5)),
        (r"w - 0.01 \* d_w", lambda w, d, r: w - 0.01 * d),
        ("2 times too large", lambda w, d, r: w - 2 * r * d),
        ("not updated in the last element", lambda w, d, r: np.append((w - r * d)[:-1], w[-1])),
        ("must return only w. Received: 2", lambda w, d, r: (w - r * d, d)),
        ("called again", sgd_with_state),
        ("adds the gradient", lambda w, d, r: w + r * d),
        ("negative step instead of the weights", lambda w, d, r: -r * d),
        ("returns None, and changes no argument", lambda w, d, r: None),
        ("ignores the learning rate", lambda w, d, r: w - d),
        ("divides by the learning rate", lambda w, d, r: w - d / r),
        (r"learning_rate \* sign\(d_w\)", lambda w, d, r: w - r * np.sign(d)),
        ("not updated", lambda w, d, r: w),
        ("exchanges the arguments w and d_w", lambda w, d, r: d - r * w),
        ("returns another array", lambda w, d, r: np.subtract(w, r * d, out=w) - r * d),
        ("returns another array", lambda w, d, r: (w.copy(), np.subtract(w, r * d, out=w))[0]),
        ("loop over its elements", lambda w, d, r: w),
    ],
    "momentum": [
        ("keeps values between calls", momentum_with_state),
        (r"\(1 - momentum\) \* m - learning_rate \* momentum", with_rule(
            lambda w, d, m, r, k: (w + m, (1 - k) * m - k * r * d))),
        ("opposite sign", with_rule(lambda w, d, m, r, k: (w - k * m - r * d, k * m + r * d))),
        ("PyTorch", with_rule(lambda w, d, m, r, k: (w - r * (k * m + d), k * m + d))),
        ("exponential moving average", with_rule(
            lambda w, d, m, r, k: (w - r * (k * m + (1 - k) * d), k * m + (1 - k) * d))),
        ("Nesterov", with_rule(
            lambda w, d, m, r, k: (w + k * (k * m - r * d) - r * d, k * m - r * d))),
        ("old velocity", with_rule(lambda w, d, m, r, k: (w + m, k * m - r * d))),
        ("returns m, w instead of w, m", with_rule(
            lambda w, d, m, r, k: (k * m - r * d, w + k * m - r * d))),
        ("must return w, m", with_rule(lambda w, d, m, r, k: w + k * m - r * d)),
        ("does not decay", with_rule(lambda w, d, m, r, k: (w + m - r * d, m - r * d))),
    ],
    "adam": [
        (r"v uses \(1 - beta_1\) \* d_w", lambda *args: adam(
            *args, square=lambda d: ((1 - args[6]) * d) ** 2)),
        (r"w uses .* instead of learning_rate", lambda w, d, m, v, t, r, b1, b2, e: adam(
            w, d, m, v, t, r * np.sqrt(1 - b2**t) / (1 - b1**t), b1, b2, e)),
        ("called again", lambda *args: adam(*args[:4], next(CALLS), *args[5:])),
        ("w is not updated in the last", lambda w, *args: Adam(
            np.append(adam(w, *args).w[:-1], w[-1]), *adam(w, *args)[1:])),
        ("0.9 and 0.999", lambda *a: adam(
            *a, power=lambda b, t: 1 - (0.9 if b == a[6] else 0.999) ** t)),
        ("epsilon", lambda *args: adam(*args[:-1], 1e-8)),
        ("bias correction of m and v is missing", functools.partial(adam, power=lambda b, t: 1)),
        (r"step \+ 1", functools.partial(adam, power=lambda b, t: 1 - b ** (t + 1))),
        ("ignores the step", functools.partial(adam, power=lambda b, t: 1 - b)),
        ("inside the square root", functools.partial(
            adam, step=lambda m, v, e, d: m / np.sqrt(v + e))),
        ("epsilon is missing", functools.partial(adam, step=lambda m, v, e, d: m / np.sqrt(v))),
        ("square root of v is missing", functools.partial(
            adam, step=lambda m, v, e, d: m / (v + e))),
        ("v averages the absolute value", functools.partial(adam, square=np.abs)),
        ("corrected estimates", functools.partial(adam, keep=True)),
        ("adds the step", functools.partial(adam, sign=-1)),
        ("returns m, v, w instead", lambda *args: (adam(*args)[1:] + adam(*args)[:1])),
        ("exchanges the arguments beta_1 and beta_2", lambda *args: adam(
            *args[:6], args[7], args[6], args[8])),
        ("must return w, m", lambda *args: adam(*args)[0]),
        (r"uses sqrt\(1 - beta_1\*\*step\)", lambda w, d, m, v, t, r, b1, b2, e: adam(
            w, d, m, v, t, r * np.sqrt(1 - b1**t), b1, b2, e)),
        ("ignores the argument epsilon", lambda *args: adam(*args[:-1], 1e-7)),
    ],
    "minibatches": [
        ("two lists", lambda *args: [[*part] for part in zip(*minibatches(*args), strict=True)]),
        ("same memory", lambda *args: [
            (part, y) for part in [minibatches(*args)[0][0]] for _, y in minibatches(*args)]),
        ("one batch", lambda *args: minibatches(*args)[0]),
        ("more than N", lambda x, y, n, rng: [
            (x[o[i : i + n]], y[o[i : i + n]])
            for o in [rng.permutation(len(x))] for i in range(len(x))]),
        ("are not those of x", lambda *args: [(x / 255, y) for x, y in minibatches(*args)]),
        (r"order\[i:batch_size\]", lambda x, y, n, rng: [
            (x[p], y[p]) for o in [rng.permutation(len(x))] for i in range(0, len(x), n)
            for p in [o[i:n]]]),
        ("not all orders", with_order(lambda n, rng: np.roll(np.arange(n), rng.integers(n))[::-1])),
        ("ever stays", shuffled_by_swaps(lambda i, n, rng: rng.integers(i) if i else 0)),
        ("more frequent.* one of all N", shuffled_by_swaps(lambda i, n, rng: rng.integers(n))),
        ("more frequent", with_order(lambda n, rng: np.argsort(rng.integers(0, n, n)))),
        ("not all orders", with_order(lambda n, rng: np.append(rng.permutation(n - 1), n - 1))),
        ("drops the final partial batch", lambda x, y, n, rng: [
            pair for pair in batches(x, y, n, rng) if len(pair[0]) == n]),
        ("labels do not belong", shuffled_apart),
        ("not shuffled", lambda x, y, n, rng: batches(x, y, n, rng, np.arange(len(x)))),
        ("same in each epoch", lambda x, y, n, rng: batches(x, y, n, np.random.default_rng(0))),
        ("same example twice", lambda x, y, n, rng: batches(
            x, y, n, rng, rng.integers(0, len(x), len(x)))),
        ("consecutive examples", lambda x, y, n, rng: [
            *batches(x, y, n, rng, np.arange(len(x)))][::-1]),
        ("list of pairs", lambda x, y, n, rng: [x for x, y in batches(x, y, n, rng)]),
        ("returns None", lambda x, y, n, rng: None),
        ("exchanges views of rows", rows_exchanged),
    ],
    "dropout": [
        ("dropped elements is -1", train_only(
            lambda x, r, rng: np.where(rng.random(x.shape) < r, -1, x / (1 - r)))),
        ("rounds down", train_only(
            lambda x, r, rng: x * ((rng.random(x.shape) >= r) // (1 - r)))),
        ("mask.mean", train_only(
            lambda x, r, rng: x * (m := rng.random(x.shape) >= r) / m.mean())),
        ("same factor", train_only(lambda x, r, rng: x + rng.normal(0, r, x.shape))),
        ("independently", with_mask(
            lambda x, r, rng: (rng.random((len(x), 1)) + rng.random(x.shape[1])) % 1 >= r)),
        ("independently", with_mask(
            lambda x, r, rng: (rng.random(x.shape) >= r) | (np.arange(x.shape[1]) == 0))),
        ("independently", with_mask(
            lambda x, r, rng: rng.permutation(x.size).reshape(x.shape) >= int(r * x.size))),
        ("does not scale", train_only(lambda x, r, rng: x * (rng.random(x.shape) >= r))),
        ("probability of keeping", train_only(
            lambda x, r, rng: x * (rng.random(x.shape) < r) / (1 - r))),
        ("multiplies the kept elements by 1 - rate", train_only(
            lambda x, r, rng: x * (rng.random(x.shape) >= r) * (1 - r))),
        ("divides the kept elements by rate", train_only(
            lambda x, r, rng: x * (rng.random(x.shape) >= r) / (r or 1))),
        ("in inference, too", lambda x, r, t, rng: x * (rng.random(x.shape) >= r) / (1 - r)),
        ("same in each call", train_only(
            lambda x, r, rng: x * (np.random.default_rng(1).random(x.shape) >= r) / (1 - r))),
        ("same for all rows", train_only(
            lambda x, r, rng: x * (rng.random(x.shape[1]) >= r) / (1 - r))),
        ("condition is reversed", lambda x, r, t, rng: x if t else (
            x * (rng.random(x.shape) >= r) / (1 - r))),
        ("drops whole rows", train_only(
            lambda x, r, rng: x * (rng.random((len(x), 1)) >= r) / (1 - r))),
        ("instead of //", train_only(
            lambda x, rate, rng: x * (rng.random(x.shape) >= rate) // (1 - rate))),
        ("rounds rate down", train_only(
            lambda x, rate, rng: x * (rng.random(x.shape) >= int(10 * rate) / 10) / (1 - rate))),
    ],
    "accuracy": [
        (r"argsort\(...\)\[-1\]", lambda y, s: np.mean(np.resize(s.argsort(1)[-1], len(y)) == y)),
        ("largest score at 0", lambda y, s: np.mean((s * (s > 0)).argmax(1) == y)),
        ("not with `is`", lambda y, s: np.mean([y[n] is s[n].argmax() for n in range(len(y))])),
        ("one number for the whole batch", lambda y, s: float(s.argmax() == y.argmax())),
        ("first wrong", lambda y, s: np.cumprod(s.argmax(1) == y).mean()),
        ("applies argmax to the labels", lambda y, s: np.mean(s.argmax(1) == y.argmax())),
        ("last example", lambda y, s: float(s[-1].argmax() == y[-1])),
        ("logits of 1000|uses exp", lambda y, s: (np.exp(s).argmax(axis=1) == y).mean()),
        ("2 values are returned", lambda y, s: ((s.argmax(axis=1) == y).sum(), len(y))),
        ("argmin", lambda y, s: np.mean(s.argmin(1) == y)),
        ("counts the correct", lambda y, s: np.sum(s.argmax(1) == y)),
        ("percentage", lambda y, s: 100 * np.mean(s.argmax(1) == y)),
        ("error rate", lambda y, s: np.mean(s.argmax(1) != y)),
        (r"axis=0", lambda y, s: np.mean(s.argmax(0) == y)),
        ("divide with /", lambda y, s: np.sum(s.argmax(1) == y) // len(y)),
        (r"\(N, 1\)", lambda y, s: np.mean(s.argmax(1) == y[:, None])),
        ("rounded to 1 decimals", lambda y, s: round(float(np.mean(s.argmax(1) == y)), 1)),
        ("without the last column", lambda y, s: (s[:, :-1].argmax(axis=1) == y).mean()),
        ("distances", lambda y, s: 1 - np.abs(s.argmax(axis=1) - y).mean()),
        ("and divides by N", lambda y, s: sum(map(np.equal, s.argmax(axis=0), y)) / len(y)),
    ],
    "custom_layer": [
        (r"sqrt\(x\) where x > 0", layer(call=lambda self, x: ops.where(
            x > 0, ops.sqrt(ops.abs(x)), self.alpha * x))),
        ("alpha is ignored", layer(call=lambda self, x: ops.relu(x))),
        ("one trainable weight", layer(build=lambda self, shape: setattr(self, "alpha", 0.25))),
        (r"shape \(1,\)", layer(build=lambda self, shape: setattr(
            self, "alpha", self.add_weight((1,), initializers.Constant(0.25))))),
        ("initial alpha is 1", layer(start=1.0)),
        ("alpha is not trainable", layer(build=lambda self, shape: setattr(
            self, "alpha", self.add_weight((shape[-1],), initializers.Constant(0.25),
                                           trainable=False)))),
        ("positive x instead", layer(call=lambda self, x: ops.where(x > 0, self.alpha * x, x))),
        ("alpha > 1", layer(call=lambda self, x: ops.maximum(x, self.alpha * x))),
        ("self.alpha in operations", layer(call=lambda self, x: np.where(
            x > 0, x, self.alpha.array * x))),
        ("0 for negative x, that of relu", layer(WithBackward, backward=lambda self, d, work, n=1: (
            WithBackward.backward(self, d, work) * (work.x > 0)))),
        ("not written if need_d_x is False", layer(WithBackward, backward=(
            lambda self, d, work, need=True: WithBackward.backward(self, d, work) if need else d))),
        ("subclass of tinynet.layers.Layer", dict),
        ("a class of layers", lambda x: x),
        ("and in inference", layer(call=lambda self, x, training=False: ops.where(
            x > 0, x, self.alpha * x) if training else ops.relu(x) + 0 * self.alpha)),
    ],
}  # fmt: skip
