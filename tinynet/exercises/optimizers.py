"""Exercises about the updates of the optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import functional
from tinynet.exercises.exercise import Caller, Case, Exercise, Values
from tinynet.exercises.inputs import floats, normal, positive, whole
from tinynet.functional import Array


def _sgd(w: Array, d_w: Array, rate: float, update: Callable[..., Any] | None = None) -> Any:
    if update is not None:
        return update(w, d_w, rate)
    functional.sgd(w, d_w, rate)
    return w


SGD = Exercise(
    name="sgd",
    solution=[functional.sgd],
    variants=_sgd,
    in_place=True,
    cases=[
        Case((floats([1, 2]), floats([2, -4]), 0.25)),
        Case((normal(5), normal(5, seed=1), 0.5)),
        Case((normal(7), 1000 * normal(7, seed=2), 0.125)),
        Case((normal(9), normal(9, seed=3), 2.0)),
    ],
    fresh=[
        Case((normal(4, seed=20), normal(4, seed=21), 0.03)),
        Case((100 * normal(16, seed=22), 30 * normal(16, seed=23), 1.3)),
        Case((normal(2, seed=24), 50 * normal(2, seed=25), 0.7)),
    ],
    mistakes={
        "update": {
            "adds the gradient, so that the loss increases: subtract learning_rate * d_w":
                lambda w, d, r: w + r * d,
            "subtracts the learning rate instead of multiplying by it": lambda w, d, r: w - d - r,
            "ignores the learning rate": lambda w, d, r: w - d,
            "returns the step instead of the weights: w - learning_rate * d_w":
                lambda w, d, r: r * d,
            "returns the negative step instead of the weights: w - learning_rate * d_w":
                lambda w, d, r: -r * d,
            "divides by the learning rate": lambda w, d, r: w - d / r,
        },
    },
)  # fmt: skip


def _state_first(call: Caller, *args: Any) -> Values:
    """Return the results with w last, because it depends on the others."""
    found = call(*args)
    return {**{name: found[name] for name in found if name != "w"}, "w": found["w"]}


def _momentum(
    w: Array,
    d_w: Array,
    m: Array,
    rate: float,
    momentum: float,
    m_rule: Callable[..., Any] = lambda m, d, r, k: k * m - r * d,
    w_rule: Callable[..., Any] = lambda w, d, old, m, r, k: w + m,
) -> Any:
    new = m_rule(m, d_w, rate, momentum)
    return w_rule(w, d_w, m, new, rate, momentum), new


def _reference_momentum(w: Array, d_w: Array, m: Array, rate: float, momentum: float) -> Any:
    functional.sgd_momentum(w, d_w, m, rate, momentum, False)
    return w, m


_REST = ("the first step, with the velocity 0", "it is a step of gradient descent")


def _momentum_quantities(
    name: str, w: Array, d_w: Array, m: Array, rate: float, momentum: float
) -> Values:
    found = {"w": w, "d_w": d_w, "m": m, "learning_rate": rate, "momentum": momentum}
    return found if name == "m" else {"new_m": momentum * m - rate * d_w} | found


MOMENTUM = Exercise(
    quantities=_momentum_quantities,
    fresh=[
        Case((normal(6, seed=20), normal(6, seed=21), normal(6, seed=22), 0.05, 0.95)),
        Case((normal(17, seed=23), 0.1 * normal(17, seed=24), normal(17, seed=25), 1.5, 0.5)),
        Case((normal(4, seed=20), normal(4, seed=21), np.zeros(4, np.float32), 0.15, 0.85), *_REST),
    ],
    name="momentum",
    solution=[functional.sgd_momentum],
    variants=lambda *args, **wrong: (
        _momentum(*args, **wrong) if wrong else _reference_momentum(*args)
    ),
    observe=_state_first,
    in_place=True,
    cases=[
        Case((floats([1, 2]), floats([2, -4]), floats([1, 0.5]), 0.25, 0.75)),
        Case((normal(5), normal(5, seed=1), normal(5, seed=2), 0.5, 0.9)),
        Case((normal(7), normal(7, seed=3), normal(7, seed=4), 0.125, 0.6)),
        Case((normal(13), 1000 * normal(13, seed=3), 100 * normal(13, seed=4), 0.2, 0.7)),
        Case((normal(3), normal(3, seed=5), np.zeros(3, np.float32), 0.3, 0.8), *_REST),
    ],
    mistakes={
        "m_rule": {
            "m has the opposite sign, m = momentum * m + learning_rate * d_w: here, the "
            "velocity points downhill, and w = w + m": lambda m, d, r, k: k * m + r * d,
            "m does not contain the learning rate (PyTorch's definition): m = momentum * m - "
            "learning_rate * d_w": lambda m, d, r, k: k * m + d,
            "m is an exponential moving average of the gradient: m = momentum * m - "
            "learning_rate * d_w": lambda m, d, r, k: k * m + (1 - k) * d,
            "m does not decay: multiply the old velocity by momentum": lambda m, d, r, k: m - r * d,
            "m decays by the learning rate: learning_rate and momentum are exchanged":
                lambda m, d, r, k: r * m - k * d,
        },
        "w_rule": {
            "w subtracts the velocity: it points downhill already, w = w + m":
                lambda w, d, old, m, r, k: w - m,
            "w is updated with the old velocity: update m first":
                lambda w, d, old, m, r, k: w + old,
            "w multiplies the velocity by the learning rate, which it already contains":
                lambda w, d, old, m, r, k: w + r * m,
            "w subtracts the velocity times the learning rate: w = w + m":
                lambda w, d, old, m, r, k: w - r * m,
            "w is updated with Nesterov momentum: w = w + m":
                lambda w, d, old, m, r, k: w + k * m - r * d,
            "w is the velocity: add it to the weights": lambda w, d, old, m, r, k: m,
        },
    },
)  # fmt: skip


def _adam(
    w: Array, d_w: Array, m: Array, v: Array, step: int,
    rate: float, beta_1: float, beta_2: float, epsilon: float,
    m_rule: Callable[..., Any] = lambda m, d, b1, b2: b1 * m + (1 - b1) * d,
    v_rule: Callable[..., Any] = lambda v, d, b1, b2, m: b2 * v + (1 - b2) * d * d,
    correct_m: Callable[..., Any] = lambda m, b1, b2, t: m / (1 - b1**t),
    correct_v: Callable[..., Any] = lambda v, b1, b2, t: v / (1 - b2**t),
    direction: Callable[..., Any] = lambda m, v, d, e: m / (np.sqrt(v) + e),
    w_rule: Callable[..., Any] = lambda w, s, r, t: w - r * s,
    used: Callable[..., Any] = lambda m, v, new_m, new_v, b1, d: (new_m, new_v),
    returned: Callable[..., Any] = lambda w, m, v, m_hat, v_hat: (w, m, v),
    paper: bool = True,
) -> Any:  # fmt: skip
    """Compute the update of algorithm 1 of Kingma and Ba, with replaceable parts."""
    new_m = m_rule(m, d_w, beta_1, beta_2)
    new_v = v_rule(v, d_w, beta_1, beta_2, new_m)
    used_m, used_v = used(m, v, new_m, new_v, beta_1, d_w)
    m_hat = correct_m(used_m, beta_1, beta_2, step)
    v_hat = correct_v(used_v, beta_1, beta_2, step)
    new_w = w_rule(w, direction(m_hat, v_hat, d_w, epsilon), rate, step)
    return returned(new_w, new_m, new_v, m_hat, v_hat)


def _reference_adam(
    w: Array, d_w: Array, m: Array, v: Array, step: int,
    rate: float, beta_1: float, beta_2: float, epsilon: float,
) -> Any:  # fmt: skip
    alpha = functional.adam_step_size(rate, beta_1, beta_2, step, w.dtype)
    functional.adam(w, d_w, m, v, alpha, 1 - beta_1, 1 - beta_2, epsilon)
    return w, m, v


def _adam_case(seed: int, size: int, step: int, *rest: Any, scale: float = 1.0) -> Case:
    w, d_w, m = (normal(size, seed=seed + k) for k in range(3))
    m, v = (m, positive(size, seed=seed)) if step > 1 else (0 * m, 0 * m)
    return Case((w, np.float32(scale) * d_w, m, v, step, *rest[:4]), *rest[4:])


_FIRST = (
    "the first step",
    "the length of the first step of Adam is the learning rate, because of the bias correction",
)


_TINY = (
    "gradients of the size of epsilon",
    "add epsilon to the square root of v, in the denominator",
)


def _adam_quantities(name: str, w: Array, d_w: Array, m: Array, v: Array, *numbers: Any) -> Values:
    names = ("step", "learning_rate", "beta_1", "beta_2", "epsilon")
    step, _, beta_1, beta_2, epsilon = numbers
    found = {"w": w, "d_w": d_w, "m": m, "v": v, **dict(zip(names, numbers, strict=True))}
    if name != "w":
        if name == "v":
            found["new_m"] = beta_1 * m + (1 - beta_1) * d_w
            found["(d_w - new_m)"] = d_w - found["new_m"]
        return found | {
            "(1 - beta_1**step)": 1 - beta_1**step,
            "(1 - beta_2**step)": 1 - beta_2**step,
        }
    new_m, new_v = beta_1 * m + (1 - beta_1) * d_w, beta_2 * v + (1 - beta_2) * d_w * d_w
    m_hat, v_hat = new_m / (1 - beta_1**step), new_v / (1 - beta_2**step)
    step = m_hat / (np.sqrt(v_hat) + epsilon)
    return {
        "m_hat / (sqrt(v_hat) + epsilon)": step,
        "m_hat": m_hat,
        "v_hat": v_hat,
        "new_m": new_m,
        "new_v": new_v,
    } | {n: v for n, v in found.items() if n not in ("m", "v")}


_ESTIMATES: dict[str, Callable[..., Any]] = {
    "new_m": lambda m, d_w, beta_1: beta_1 * m + (1 - beta_1) * d_w,
    "new_v": lambda v, d_w, beta_2: beta_2 * v + (1 - beta_2) * d_w**2,
}


ADAM = Exercise(
    quantities=_adam_quantities,
    steps=[
        {
            **_ESTIMATES,
            "m_hat": lambda new_m, beta_1, step: new_m / (1 - beta_1**step),
            "v_hat": lambda new_v, beta_2, step: new_v / (1 - beta_2**step),
            "new_w": lambda w, m_hat, v_hat, learning_rate, epsilon: (
                w - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)
            ),
        },
        {
            **_ESTIMATES,
            "alpha": lambda learning_rate, beta_1, beta_2, step: (
                learning_rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
            ),
            "new_w": lambda w, new_m, new_v, alpha, epsilon: (
                w - alpha * new_m / (np.sqrt(new_v) + epsilon)
            ),
        },
    ],
    fresh=[
        _adam_case(20, 2, 5, 0.1, 0.85, 0.9, 1e-7),
        _adam_case(21, 9, 3, 2.0, 0.5, 0.8, 1e-6),
        _adam_case(22, 17, 11, 0.01, 0.9, 0.95, 1e-7, scale=0.01),
        _adam_case(23, 8, 1, 0.2, 0.8, 0.95, 1e-7, *_FIRST),
        Case((normal(4), 1e-3 * normal(4, seed=24), *np.zeros((2, 4), np.float32), 1, 0.5, 0.9,
              0.99, 1e-3), *_TINY),
    ],
    name="adam",
    solution=[functional.adam, functional.adam_step_size],
    variants=lambda *args, **wrong: _adam(*args, **wrong) if wrong else _reference_adam(*args),
    also=[{"paper": True}],
    observe=_state_first,
    in_place=True,
    cases=[
        Case((*(whole(3, seed=k) for k in range(3)), floats([4, 1, 2]), 2, 0.5, 0.5, 0.75, 1e-7)),
        _adam_case(0, 4, 3, 0.5, 0.9, 0.99, 1e-7),
        _adam_case(3, 5, 2, 0.25, 0.8, 0.95, 1e-7),
        _adam_case(5, 3, 7, 0.5, 0.7, 0.9, 1e-7),
        _adam_case(7, 11, 4, 3.0, 0.6, 0.85, 1e-7, scale=1000),
        _adam_case(6, 6, 1, 0.5, 0.9, 0.99, 1e-7, *_FIRST),
        Case((normal(4), 1e-6 * normal(4, seed=1), np.zeros(4, np.float32),
              np.zeros(4, np.float32), 1, 0.5, 0.9, 0.99, 1e-6), *_TINY),
        Case((normal(4), *np.zeros((3, 4), np.float32), 1, 0.5, 0.9, 0.99, 1e-7),
             "a gradient of 0", "epsilon avoids the division 0 / 0"),
    ],
    mistakes={
        "m_rule": {
            "m does not decay: multiply it by beta_1": lambda m, d, b1, b2: m + (1 - b1) * d,
            "m adds the whole gradient: multiply the gradient by 1 - beta_1":
                lambda m, d, b1, b2: b1 * m + d,
            "m multiplies the old estimate by 1 - beta_1, and the gradient by beta_1: exchange "
            "them": lambda m, d, b1, b2: (1 - b1) * m + b1 * d,
            "m decays with beta_2 instead of beta_1": lambda m, d, b1, b2: b2 * m + (1 - b2) * d,
        },
        "v_rule": {
            "v does not decay: multiply it by beta_2": lambda v, d, b1, b2, m: v + (1 - b2) * d * d,
            "v adds the whole square: multiply it by 1 - beta_2":
                lambda v, d, b1, b2, m: b2 * v + d * d,
            "v multiplies the old estimate by 1 - beta_2, and the square by beta_2: exchange them":
                lambda v, d, b1, b2, m: (1 - b2) * v + b2 * d * d,
            "v decays with beta_1 instead of beta_2":
                lambda v, d, b1, b2, m: b1 * v + (1 - b1) * d * d,
            "v averages the gradient: average its square":
                lambda v, d, b1, b2, m: b2 * v + (1 - b2) * d,
            "v averages the absolute value of the gradient: average its square":
                lambda v, d, b1, b2, m: b2 * v + (1 - b2) * np.abs(d),
            "v is the larger of the old and the new estimate (AMSGrad)":
                lambda v, d, b1, b2, m: np.maximum(v, b2 * v + (1 - b2) * d * d),
        },
        "correct_m correct_v": {
            "the bias correction of m and v is missing":
                (lambda m, b1, b2, t: m,
                 lambda v, b1, b2, t: v),
            "the bias correction uses step + 1: steps are counted from 1":
                (lambda m, b1, b2, t: m / (1 - b1 ** (t + 1)),
                 lambda v, b1, b2, t: v / (1 - b2 ** (t + 1))),
            "the bias correction uses step - 1: steps are counted from 1":
                (lambda m, b1, b2, t: m / np.float32(1 - b1 ** (t - 1)),
                 lambda v, b1, b2, t: v / np.float32(1 - b2 ** (t - 1))),
            "the bias correction ignores the step: divide by 1 - beta**step":
                (lambda m, b1, b2, t: m / (1 - b1),
                 lambda v, b1, b2, t: v / (1 - b2)),
            "the bias corrections are exchanged: m uses beta_1, and v uses beta_2":
                (lambda m, b1, b2, t: m / (1 - b2**t),
                 lambda v, b1, b2, t: v / (1 - b1**t)),
            "the bias correction multiplies by 1 - beta**step: divide":
                (lambda m, b1, b2, t: m * (1 - b1**t),
                 lambda v, b1, b2, t: v * (1 - b2**t)),
            "the bias correction uses 0.9 and 0.999 instead of the arguments beta_1 and beta_2":
                (lambda m, b1, b2, t: m / (1 - 0.9**t),
                 lambda v, b1, b2, t: v / (1 - 0.999**t)),
            "the bias correction multiplies beta by step: use the power beta**step":
                (lambda m, b1, b2, t: m / (1 - b1 * t),
                 lambda v, b1, b2, t: v / (1 - b2 * t)),
            "the bias correction divides by (1 - beta)**step instead of 1 - beta**step":
                (lambda m, b1, b2, t: m / (1 - b1) ** t,
                 lambda v, b1, b2, t: v / (1 - b2) ** t),
        },
        "correct_m": {
            "the bias correction of m is missing: divide by 1 - beta_1**step":
                lambda m, b1, b2, t: m,
            "the bias correction of m and v uses beta_2 for both":
                lambda m, b1, b2, t: m / (1 - b2**t),
        },
        "correct_v": {
            "sqrt(v) is divided by 1 - beta_2**step instead of its square root: the bias "
            "correction of v is applied before the square root":
                lambda v, b1, b2, t: v / (1 - b2**t) ** 2,
            "the bias correction of v is missing: divide by 1 - beta_2**step":
                lambda v, b1, b2, t: v,
            "the bias correction of m and v uses beta_1 for both":
                lambda v, b1, b2, t: v / (1 - b1**t),
        },
        "direction": {
            "the square root of v is missing": lambda m, v, d, e: m / (v + e),
            "epsilon is inside the square root: sqrt(v) + epsilon":
                lambda m, v, d, e: m / np.sqrt(v + e),
            "epsilon is subtracted: add it to the square root":
                lambda m, v, d, e: m / (np.sqrt(v) - e),
            "epsilon is added to the quotient: add it to the square root, in the denominator":
                lambda m, v, d, e: m / np.sqrt(v) + e,
            "epsilon is added twice": lambda m, v, d, e: m / (np.sqrt(v) + 2 * e),
            "epsilon is squared: sqrt(v) + epsilon": lambda m, v, d, e: m / (np.sqrt(v) + e * e),
            "epsilon is squared": lambda m, v, d, e: m / np.sqrt(v + e * e),
            "epsilon replaces small values of the square root: add it":
                lambda m, v, d, e: m / np.maximum(np.sqrt(v), e),
            "epsilon is missing in the denominator: a gradient of 0 results in 0 / 0":
                lambda m, v, d, e: m / np.sqrt(v),
            "m and v are exchanged in the update": lambda m, v, d, e: v / (np.sqrt(np.abs(m)) + e),
            "w uses the gradient instead of m": lambda m, v, d, e: d / (np.sqrt(v) + e),
            "w is not divided by the square root of v": lambda m, v, d, e: m,
        },
        "w_rule": {
            "w adds the step, so that the loss increases": lambda w, s, r, t: w + r * s,
            "w ignores the learning rate": lambda w, s, r, t: w - s,
            "w is the step: subtract it from the weights": lambda w, s, r, t: r * s,
            "w divides the learning rate by sqrt(step): the bias correction is sufficient":
                lambda w, s, r, t: w - r / np.sqrt(t) * s,
            "w divides the learning rate by step": lambda w, s, r, t: w - r / t * s,
            "w applies weight decay of 0.01 (AdamW)": lambda w, s, r, t: w - r * (s + 0.01 * w),
        },
        "used": {
            "w is updated with the old m: update m first":
                lambda m, v, new_m, new_v, b1, d: (m, new_v),
            "w is updated with the old v: update v first":
                lambda m, v, new_m, new_v, b1, d: (new_m, v),
            "w is updated with the old m and v: update them first":
                lambda m, v, new_m, new_v, b1, d: (m, v),
            "w is updated with the larger of the old and the new v (AMSGrad)":
                lambda m, v, new_m, new_v, b1, d: (new_m, np.maximum(v, new_v)),
            "w is updated with Nesterov momentum (Nadam)":
                lambda m, v, new_m, new_v, b1, d: (b1 * new_m + (1 - b1) * d, new_v),
        },
        "returned": {
            "returns the corrected estimates m_hat and v_hat: the next step needs the "
            "uncorrected ones": lambda w, m, v, m_hat, v_hat: (w, m_hat, v_hat),
        },
    },
)  # fmt: skip
