"""Mutants, deliberately incorrect formulas, that the comparisons with Keras must reject.

They measure the sensitivity of the comparisons. The tolerance of Keras' own tests is about the size
of one Adam step, so most mutants pass them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tests.compare import Comparison
from tests.golden import CHECKS
from tinynet import config, functional, losses

right_adam, right_size = functional.adam, functional.adam_step_size
right_gradients = functional.dense_gradients
right_step = functional.softmax_crossentropy_step
right_layer_gradients = functional.dense_layer_backward
right_loss = functional.mean_softmax_crossentropy
right_loss_gradient = functional.mean_softmax_crossentropy_backward


class EpsilonAfterBiasCorrection:
    """Adam with epsilon added after bias correction, as in PyTorch."""

    def size(self, rate, beta_1, beta_2, step, dtype=np.float32):
        self.root = np.sqrt(1 - beta_2**step)
        return right_size(rate, beta_1, beta_2, step, dtype)

    def adam(self, w, d_w, m, v, alpha, rate_1, rate_2, epsilon, *rest):
        root = float(np.max(self.root))
        right_adam(w, d_w, m, v, alpha, rate_1, rate_2, epsilon * root, *rest)


def adam_with(**changes: float) -> Callable[..., None]:
    """Return an Adam with some arguments scaled by wrong factors."""
    names = ("w", "d_w", "m", "v", "alpha", "rate_1", "rate_2", "epsilon")

    def mutant(*args: Any) -> None:
        factors = [changes.get(name, 1) for name in names]
        changed = [a if f == 1 else a * f for a, f in zip(args, factors, strict=False)]
        right_adam(*changed, *args[len(names) :])

    return mutant


def gradients_times_seven(x, d_y, d_kernel, d_bias):
    right_gradients(x, d_y, d_kernel, d_bias)
    d_kernel *= 7
    if d_bias is not None:
        d_bias *= 7


def layer_gradients_times_seven(*arguments, **options):
    """Return a replacement for `dense_gradients` in the numpy backend."""
    d_x, *found = right_layer_gradients(*arguments, **options)
    for array in found:
        if array is not None:
            array *= 7
    return d_x, *found


def loss_times(factor):
    """Return a replacement for a loss of the numpy backend with another divisor."""

    def loss(logits, labels, weights=None):
        value, probabilities = right_loss(logits, labels, weights)
        return value * value.dtype.type(factor(weights, len(labels))), probabilities

    def backward(d_loss, probabilities, labels, weights=None):
        d_logits = right_loss_gradient(d_loss, probabilities, labels, weights)
        d_logits *= factor(weights, len(labels))
        return d_logits

    return {"mean_softmax_crossentropy": loss, "mean_softmax_crossentropy_backward": backward}


def no_loss_gradient(d_loss, probabilities, labels, weights=None):
    return np.zeros_like(probabilities)


def no_loss_gradient_from_saturated_softmax(d_loss, probabilities, labels, weights=None):
    """Clip the probabilities and backpropagate through the softmax."""
    each = np.ones(len(labels), probabilities.dtype) if weights is None else weights
    d_values = each * probabilities.dtype.type(d_loss / len(labels))
    d = functional.sparse_crossentropy_backward(d_values, labels, probabilities, 1e-7)
    return functional.softmax_backward(d, probabilities, probabilities)


def no_gradient_from_saturated_softmax(labels, logits, d_values, probabilities, d_logits, values):
    """Clip the probabilities and backpropagate through the softmax."""
    functional.softmax(logits, probabilities)
    values[:] = functional.sparse_crossentropy(labels, probabilities, 1e-7)
    d = functional.sparse_crossentropy_backward(d_values, labels, probabilities, 1e-7)
    functional.softmax_backward(d, logits, probabilities, d_logits)


def no_gradient(labels, logits, d_values, probabilities, d_logits, values):
    right_step(labels, logits, d_values, probabilities, d_logits, values)
    d_logits[:] = 0


def step_size_with_beta_2_of_0_9(rate, beta_1, beta_2, step, dtype=np.float32):
    return right_size(rate, beta_1, 0.9, step, dtype)


WRONG = EpsilonAfterBiasCorrection()
STEPS, ADAM = CHECKS["small net, steps"], CHECKS["adam"]
GRADIENTS, SATURATED = CHECKS["small net, gradients"], CHECKS["saturated softmax"]
# name: (functions of `functional` or the divisor of a loss with their replacements; the checks
# that must all reject it)
MUTANTS: dict[str, tuple[dict[str, Any], list[Callable[[], Iterable[Comparison]]]]] = {
    "epsilon added after bias correction": (
        {"adam": WRONG.adam, "adam_step_size": WRONG.size},
        [STEPS, ADAM],
    ),
    "epsilon times 1000": ({"adam": adam_with(epsilon=1000)}, [STEPS, ADAM]),
    "epsilon times 1e-3": ({"adam": adam_with(epsilon=1e-3)}, [STEPS, ADAM]),
    "no correction": ({"adam_step_size": lambda rate, *rest: np.float32(rate)}, [STEPS, ADAM]),
    "beta_2 of 0.9": (
        {"adam": adam_with(rate_2=100), "adam_step_size": step_size_with_beta_2_of_0_9},
        [STEPS, ADAM],
    ),
    "bias correction one step ahead": (
        {"adam_step_size": lambda r, a, b, step, *t: right_size(r, a, b, step + 1, *t)},
        [STEPS, ADAM],
    ),
    "gradients times 7": (
        {
            "dense_gradients": gradients_times_seven,
            "dense_layer_backward": layer_gradients_times_seven,
        },
        [STEPS, GRADIENTS],
    ),
    "sum instead of mean": (
        {"divisor": lambda self, weights, n: 1, **loss_times(lambda weights, n: n)},
        [STEPS, GRADIENTS],
    ),
    "divided by the sum of the weights": (
        {
            "divisor": lambda self, weights, n: n if weights is None else float(weights.sum()),
            **loss_times(lambda weights, n: 1 if weights is None else n / float(weights.sum())),
        },
        [GRADIENTS],
    ),
    "softmax without a gradient": (
        {
            "softmax_crossentropy_step": no_gradient,
            "mean_softmax_crossentropy_backward": no_loss_gradient,
        },
        [STEPS, GRADIENTS, SATURATED],
    ),
    "clipped probabilities": (
        {
            "softmax_crossentropy_step": no_gradient_from_saturated_softmax,
            "mean_softmax_crossentropy_backward": no_loss_gradient_from_saturated_softmax,
        },
        [SATURATED],
    ),
    "relu gradient of 1 at zero": (
        {"relu_backward": lambda d_y, x, y, out=None: np.multiply(d_y, y >= 0, out=out)},
        [GRADIENTS],
    ),
}


@contextlib.contextmanager
def applied(changes: dict[str, Any]) -> Iterator[None]:
    """Replace functions, and select the numpy backend, which calls them."""
    backend, before = config.backend(), {}
    try:
        for name, instead in changes.items():
            where = losses.Loss if name == "divisor" else functional
            before[where, name] = getattr(where, name)
            setattr(where, name, instead)
        config.set_backend("numpy")  # clears the cached functions
        yield
    finally:
        for (where, name), function in before.items():
            setattr(where, name, function)
        config.set_backend(backend)


def excess(changes: dict[str, Any], check: Callable[[], Iterable[Comparison]]) -> float:
    """Return the largest difference from Keras with the changes, relative to its bound."""
    with applied(changes):
        return max(comparison.share for comparison in check())
