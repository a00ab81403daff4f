"""Optimizer updates: each function updates the weights w in place, given the gradient d_w.

All arrays have the shape (P,), where P is the number of parameters. Slots, such as moment
estimates, are also updated in place.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinynet.functional.arrays import Array

__all__ = ["adadelta", "adagrad", "adam", "adam_step_size", "adamax", "blocks", "ftrl", "lion"]
__all__ += ["nadam", "rmsprop", "sgd", "sgd_momentum"]

_BLOCK = 8192


def blocks(size: int) -> Iterator[slice]:
    """Split a vector into slices that fit into the processor's cache.

    >>> list(blocks(10_000))
    [slice(0, 8192, None), slice(8192, 10000, None)]
    """
    for start in range(0, size, _BLOCK):
        yield slice(start, min(start + _BLOCK, size))


def _in_blocks(update: Callable[..., None]) -> Callable[..., None]:
    """Decorate an update function so that it processes its vectors in blocks (see `blocks`).

    NumPy scalars are converted to Python floats, so that they do not change the dtype of results.
    """

    @functools.wraps(update)
    def whole(w: Array, *rest: Any, **named: Any) -> None:
        if named:
            rest = inspect.signature(update).bind(w, *rest, **named).args[1:]
        given = [float(a) if isinstance(a, np.generic) else a for a in rest]
        if w.size <= _BLOCK or type(w) is not np.ndarray:  # traced arrays are not split into blocks
            update(w, *given)
            return
        for part in blocks(w.size):
            update(w[part], *[a[part] if isinstance(a, np.ndarray) else a for a in given])

    return whole


@_in_blocks
def adam(
    w: Array,
    d_w: Array,
    m: Array,
    v: Array,
    alpha: float,
    one_minus_beta_1: float,
    one_minus_beta_2: float,
    epsilon: float,
    largest: Array | None = None,
) -> None:
    """Perform one Adam update, with step sizes adapted by moment estimates of the gradient.

    ``m += (d_w - m) * (1 - beta_1)``, ``v += (d_w**2 - v) * (1 - beta_2)``,
    ``w -= alpha * m / (sqrt(v) + epsilon)``. m and v are the first and second moment estimates
    (exponential moving averages), whose bias correction is included in `alpha` (see
    `adam_step_size`). If `largest` is given (AMSGrad), the running maximum of v is used instead of
    v. Kingma and Ba, "Adam: a method for stochastic optimization" (2015), end of section 2, where
    epsilon is called "epsilon hat".

    >>> w, d_w = np.array([1.0]), np.array([2.0])
    >>> m, v = np.zeros(1), np.zeros(1)
    >>> adam(w, d_w, m, v, 0.1, 0.5, 0.25, 0.0)  # m = 2 * 0.5, v = 4 * 0.25
    >>> w, m, v
    (array([0.9]), array([1.]), array([1.]))
    """
    m += (d_w - m) * one_minus_beta_1
    v += (d_w * d_w - v) * one_minus_beta_2
    # Flush tiny values to zero: denormal numbers are slow to compute with.
    m[np.abs(m) < 1e-30] = 0
    v[v < 1e-30] = 0
    if largest is not None:
        v = np.maximum(largest, v, out=largest)
    w -= (m * alpha) / (np.sqrt(v) + epsilon)


def adam_step_size(
    learning_rate: Any, beta_1: float, beta_2: float, step: Any, dtype: Any = np.float32
) -> Any:
    """Compute Adam's step size, which includes the bias correction of both moment estimates.

    The estimates start at 0 and are therefore too small by the factor ``1 - beta**step``, hence
    ``alpha = learning_rate * sqrt(1 - beta_2**step) / (1 - beta_1**step)``. `step` counts from 1
    and may be an array. As in Keras, all terms are computed in the dtype of the weights.

    >>> float(adam_step_size(1.0, 0.5, 0.75, 1, np.float64))  # sqrt(0.25) / 0.5
    1.0
    """
    one = np.dtype(dtype).type(1)
    root = np.sqrt(one - rounded_power(beta_2, step, dtype))
    return learning_rate * root / (one - rounded_power(beta_1, step, dtype))


def rounded_power(base: float, exponent: Any, dtype: Any) -> Any:
    """Compute ``base**exponent`` in float64, with base and result rounded to `dtype`.

    >>> rounded_power(0.5, np.array([1, 2]), np.float32)
    array([0.5 , 0.25], dtype=float32)
    """
    rounded = np.float64(np.dtype(dtype).type(base))
    if 0 < rounded < 1 and dtype == np.float32:
        # Limit the exponent: float64 underflow is slow, and the power is 0 in float32 anyway.
        exponent = np.minimum(exponent, -700 / math.log(rounded))
    return np.power(rounded, exponent).astype(dtype)


@_in_blocks
def sgd(w: Array, d_w: Array, learning_rate: float) -> None:
    """Perform one gradient descent update: ``w -= learning_rate * d_w``.

    >>> w = np.array([1.0])
    >>> sgd(w, np.array([2.0]), 0.25)
    >>> w
    array([0.5])
    """
    w -= d_w * learning_rate


@_in_blocks
def sgd_momentum(
    w: Array, d_w: Array, m: Array, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """Perform one gradient descent update with momentum.

    ``m = momentum * m - learning_rate * d_w``, then ``w += m``; with Nesterov momentum,
    ``w += momentum * m - learning_rate * d_w``. m is the velocity. Sutskever et al., "On the
    importance of initialization and momentum in deep learning" (2013), section 2.

    >>> w, m = np.array([1.0]), np.array([1.0])
    >>> sgd_momentum(w, np.array([2.0]), m, 0.25, 0.5, False)  # m = 0.5 * 1 - 0.25 * 2
    >>> w, m
    (array([1.]), array([0.]))
    """
    step = d_w * learning_rate
    m[:] = m * momentum - step
    w += m * momentum - step if nesterov else m


@_in_blocks
def rmsprop(
    w: Array,
    d_w: Array,
    v: Array,
    u: Array | None,
    a: Array | None,
    learning_rate: float,
    rho: float,
    momentum: float,
    epsilon: float,
) -> None:
    """Perform one RMSprop update: scale the gradient by its root mean square.

    ``v = rho * v + (1 - rho) * d_w**2``, ``w -= learning_rate * d_w / sqrt(v + epsilon)``. If
    centered, the square of the moving average `a` of the gradient is subtracted from v; with
    momentum, the steps are accumulated in the velocity `u`. Tieleman and Hinton, "Lecture 6.5 -
    rmsprop" (2012).

    >>> w, v = np.array([1.0]), np.array([0.0])
    >>> rmsprop(w, np.array([2.0]), v, None, None, 0.5, 0.75, 0.0, 0.0)  # v = 0.25 * 4
    >>> w, v
    (array([0.]), array([1.]))
    """
    v[:] = rho * v + (1 - rho) * (d_w * d_w)
    size = v + epsilon
    if a is not None:
        a[:] = rho * a + (1 - rho) * d_w
        size -= a * a
    step = learning_rate * d_w / np.sqrt(size)
    if u is not None:
        u[:] = momentum * u + step
        step = u
    w -= step


@_in_blocks
def adagrad(w: Array, d_w: Array, s: Array, learning_rate: float, epsilon: float) -> None:
    """Perform one Adagrad update: take smaller steps for weights whose past gradients were large.

    ``s += d_w**2``, ``w -= learning_rate * d_w / sqrt(s + epsilon)``. Duchi et al., "Adaptive
    subgradient methods for online learning and stochastic optimization" (2011), figure 1.

    >>> w, s = np.array([1.0]), np.array([0.0])
    >>> adagrad(w, np.array([2.0]), s, 0.5, 0.0)  # 0.5 * 2 / sqrt(4)
    >>> w, s
    (array([0.5]), array([4.]))
    """
    s += d_w * d_w
    w -= learning_rate * d_w / np.sqrt(s + epsilon)


@_in_blocks
def nadam(
    w: Array,
    d_w: Array,
    m: Array,
    v: Array,
    alpha_m: float,
    alpha_g: float,
    one_minus_beta_1: float,
    one_minus_beta_2: float,
    beta_2_correction: float,
    epsilon: float,
) -> None:
    """Perform one Nadam update: Adam with Nesterov momentum.

    m and v as in `adam`, then
    ``w -= (m * alpha_m + d_w * alpha_g) / (sqrt(v / beta_2_correction) + epsilon)``, where
    `alpha_m` and `alpha_g` are the step sizes along m and the gradient. Dozat, "Incorporating
    Nesterov momentum into Adam" (2016), algorithm 2.

    >>> w, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> nadam(w, np.array([2.0]), m, v, 0.5, 0.25, 0.5, 0.25, 0.25, 0.0)  # m = 1, v = 1
    >>> w, m, v  # 1 - (1 * 0.5 + 2 * 0.25) / sqrt(1 / 0.25)
    (array([0.5]), array([1.]), array([1.]))
    """
    m += (d_w - m) * one_minus_beta_1
    v += (d_w * d_w - v) * one_minus_beta_2
    w -= (m * alpha_m + d_w * alpha_g) / (np.sqrt(v / beta_2_correction) + epsilon)


@_in_blocks
def adamax(
    w: Array,
    d_w: Array,
    m: Array,
    u: Array,
    step_size: float,
    one_minus_beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Perform one Adamax update: Adam with the infinity norm instead of the second moment.

    m as in `adam`, ``u = max(beta_2 * u, |d_w|)``, ``w -= step_size * m / (u + epsilon)``, where
    the step size is ``learning_rate / (1 - beta_1**step)``. Kingma and Ba, "Adam: a method for
    stochastic optimization" (2015), section 7.1.

    >>> w, m, u = np.array([1.0]), np.array([0.0]), np.array([8.0])
    >>> adamax(w, np.array([2.0]), m, u, 2.0, 0.5, 0.5, 0.0)  # u = max(0.5 * 8, 2)
    >>> w, m, u
    (array([0.5]), array([1.]), array([4.]))
    """
    m += (d_w - m) * one_minus_beta_1
    u[:] = np.maximum(beta_2 * u, np.abs(d_w))
    w -= step_size * m / (u + epsilon)


@_in_blocks
def adadelta(
    w: Array, d_w: Array, s: Array, u: Array, learning_rate: float, rho: float, epsilon: float
) -> None:
    """Perform one Adadelta update: scale the gradient by a ratio of root mean squares.

    The numerator is computed from recent steps, and the denominator from recent gradients:
    ``s = rho * s + (1 - rho) * d_w**2``, ``step = sqrt(u + epsilon) / sqrt(s + epsilon) * d_w``,
    ``u = rho * u + (1 - rho) * step**2``, ``w -= learning_rate * step``. Zeiler, "ADADELTA: an
    adaptive learning rate method" (2012), algorithm 1.

    >>> w, s, u = np.array([1.0]), np.array([0.0]), np.array([4.0])
    >>> adadelta(w, np.array([2.0]), s, u, 0.25, 0.75, 0.0)  # s = 1, step = 2 / 1 * 2
    >>> w, s, u
    (array([0.]), array([1.]), array([7.]))
    """
    s[:] = rho * s + (1 - rho) * (d_w * d_w)
    step = np.sqrt(u + epsilon) * d_w / np.sqrt(s + epsilon)
    u[:] = rho * u + (1 - rho) * (step * step)
    w -= learning_rate * step


@_in_blocks
def ftrl(
    w: Array,
    d_w: Array,
    n: Array,
    z: Array,
    learning_rate: float,
    power: float,
    l1: float,
    l2: float,
    shrinkage: float,
    beta: float,
) -> None:
    """Perform one FTRL update: compute the weights from the sums over all past gradients.

    ``sigma = ((n + d_w**2)**-power - n**-power) / learning_rate``, ``n += d_w**2``,
    ``z += d_w + 2 * shrinkage * w - sigma * w``, then
    ``w = (clip(z, -l1, l1) - z) / ((n**-power + beta) / learning_rate + 2 * l2)``, which is exactly
    0 where ``|z| <= l1``. power is at most 0, usually -0.5. McMahan et al., "Ad click prediction: a
    view from the trenches" (2013), algorithm 1.

    >>> w, n, z = np.array([1.0, 1.0]), np.array([16.0, 16.0]), np.array([0.0, -6.0])
    >>> ftrl(w, np.array([3.0, 3.0]), n, z, 1.0, -0.5, 2.0, 0.0, 0.0, 0.0)  # sigma = 5 - 4
    >>> w, n, z
    (array([0. , 0.4]), array([25., 25.]), array([ 2., -4.]))
    """
    old = n**-power
    n += d_w * d_w
    new = n**-power
    z += d_w + 2 * shrinkage * w - (new - old) / learning_rate * w
    w[:] = (np.clip(z, -l1, l1) - z) / ((new + beta) / learning_rate + 2 * l2)


@_in_blocks
def lion(
    w: Array, d_w: Array, m: Array, learning_rate: float, beta_1: float, beta_2: float
) -> None:
    """Perform one Lion update: move each weight by the learning rate.

    Weights move against the sign of an interpolation between m and the gradient:
    ``w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * d_w)``, then
    ``m = beta_2 * m + (1 - beta_2) * d_w``. Chen et al., "Symbolic discovery of optimization
    algorithms" (2023), algorithm 2.

    >>> w, m = np.array([1.0]), np.array([-1.0])
    >>> lion(w, np.array([2.0]), m, 0.25, 0.5, 0.75)  # the sign of 0.5 * -1 + 0.5 * 2
    >>> w, m
    (array([0.75]), array([-0.25]))
    """
    keep_1, keep_2, one = (w.dtype.type(c) for c in (beta_1, beta_2, 1))
    w -= learning_rate * np.sign(m * keep_1 + d_w * (one - keep_1))
    m[:] = m * keep_2 + d_w * (one - keep_2)
