"""Exercises about activation functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import functional
from tinynet.exercises.exercise import Case, Exercise, Values
from tinynet.exercises.inputs import floats, normal, positive, whole
from tinynet.functional import Array


def _softmax(
    x: Array,
    shift: Callable[[Array], Any] = lambda x: x.max(axis=-1, keepdims=True),
    power: Callable[[Array], Array] = np.exp,
    total: Callable[[Array], Any] = lambda e: e.sum(axis=-1, keepdims=True),
    after: Callable[[Array], Array] = np.positive,
) -> Array:
    e = power(x - shift(x))
    return after(e / total(e))


_ROW = "the sum is over the classes, axis=-1"
_LARGE = "logits above 88, whose exp overflows in float32"
_OVERFLOW = "exp overflows or underflows; subtract the maximum of each row before exp"


def _softmax_quantities(name: str, x: Array) -> Values:
    z = x.astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    found = {"softmax(x)": y, "x": z, "exp(x - max)": e, "exp(x)": np.exp(z)}
    return found | {"exp(x - max).sum(axis=1)": e.sum(axis=1, keepdims=True)}


SOFTMAX = Exercise(
    name="softmax",
    quantities=_softmax_quantities,
    solution=[functional.softmax],
    variants=lambda x, **wrong: _softmax(x, **wrong) if wrong else functional.softmax(x),
    cases=[
        Case((whole(3, 3),)),
        Case((np.log(floats([[1, 3], [1, 1], [4, 1]])),)),
        Case((3 * normal(5, 4),)),
        Case((normal(4, 7).astype(np.float64),)),
        Case((normal(1, 6),), "a batch of one row", _ROW),
        Case((normal(2, 5) + 100,), _LARGE, _OVERFLOW),
        Case((normal(3, 5) + 1000,), "logits of 1000", _OVERFLOW),
        Case((normal(3, 5) - 1000,), "logits of -1000", _OVERFLOW),
        Case((normal(2, 3) + floats([[-800], [800]]),), "rows with very different logits",
             "subtract the maximum of each row, not that of the whole batch"),
        Case((floats([[0, 1000, -1000], [500, 500, -700]]),), "very different logits in a row",
             _OVERFLOW),
    ],
    fresh=[
        Case((4 * normal(6, 3, seed=20),)),
        Case((10 * normal(3, 8, seed=21),)),
        Case((0.1 * normal(7, 2, seed=22) + 3,)),
        Case((normal(1, 4, seed=23),), "a batch of one row", _ROW),
        Case((normal(4, 3, seed=24) + 200,), _LARGE, _OVERFLOW),
        Case((3 * normal(4, 4, seed=25) + 1000,), "logits of 1000", _OVERFLOW),
        Case((3 * normal(4, 4, seed=26) - 1000,), "logits of -1000", _OVERFLOW),
        Case((15 * normal(5, 4, seed=27),), "very different logits in a row", _OVERFLOW),
    ],
    steps=[{
        "row_max": lambda x: x.max(axis=1, keepdims=True),
        "shifted": lambda x, row_max: x - row_max,
        "exp_shifted": lambda shifted: np.exp(shifted),
        "exp_sum": lambda exp_shifted: exp_shifted.sum(axis=1, keepdims=True),
        "y": lambda exp_shifted, exp_sum: exp_shifted / exp_sum,
    }],
    labels={
        "row_max": "max",
        "shifted": "(x - max)",
        "exp_shifted": "exp(x - max)",
        "exp_sum": "the sum of exp",
    },
    mistakes={
        "shift": {
            "the search for the maximum starts at 0, so that rows of negative logits underflow to "
            "0 / 0: start at -np.inf or at the first element":
                lambda x: np.maximum(x.max(axis=-1, keepdims=True), 0),
            "overflows for logits above 88 (709 in float64): subtract the maximum of each row "
            "before exp": lambda x: 0,
            "subtracts the maximum of the whole batch, so that rows with much smaller logits "
            "underflow to 0 / 0: subtract the maximum of each row": np.max,
            "subtracts the maximum of each column (axis=0), not of each row (axis=-1)":
                lambda x: x.max(axis=0),
            "subtracts the maximum of each row without keepdims=True, so that it is broadcast "
            "along the wrong axis": lambda x: x.max(axis=-1),
            "subtracts the mean instead of the maximum, so that exp still overflows":
                lambda x: x.mean(axis=-1, keepdims=True),
            "subtracts the minimum instead of the maximum, so that exp still overflows":
                lambda x: x.min(axis=-1, keepdims=True),
            "clips the logits, which changes the result: subtract the maximum of each row instead":
                lambda x: x - np.clip(x, -80, 80),
        },
        "total": {
            "sums over the batch (axis=0) instead of the classes (axis=-1)":
                lambda e: e.sum(axis=0),
            "sums over the whole batch: use axis=-1, keepdims=True": np.sum,
            "sums each row without keepdims=True, so that the sums are broadcast along the "
            "wrong axis": lambda e: e.sum(axis=-1),
            "does not divide by the sum of exp(x)": lambda e: 1,
            "sums only the first 3 classes": lambda e: e[:, :3].sum(axis=-1, keepdims=True),
            "divides by the mean of exp(x) instead of the sum":
                lambda e: e.mean(axis=-1, keepdims=True),
        },
        "power": {
            "uses powers of 2 instead of exp": np.exp2,
            "uses powers of 10 instead of exp": lambda z: 10**z,
        },
        "after": {
            "applies softmax twice": functional.softmax,
            "rounds the probabilities to 0 and 1: do not apply argmax or round":
                lambda y: np.eye(y.shape[-1])[y.argmax(axis=-1)],
            "returns the class with the largest probability, not the probabilities":
                lambda y: y.argmax(axis=-1),
        },
    },
)  # fmt: skip


def _relu_backward(d_y: Array, x: Array, formula: Any = None, slope: Any = None) -> Array:
    if formula is None:
        return functional.relu_backward(d_y, x, x) if slope is None else d_y * slope(x)
    return formula(d_y, x)


#: Conditions about a whole array instead of each element.
_CONDITIONS: dict[str, Callable[[Array], Any]] = {
    "(x > 0).all()": lambda x: (x > 0).all(),
    "(x > 0).any()": lambda x: (x > 0).any(),
    "x.sum() > 0": lambda x: x.sum() > 0,
    "x[0, 0] > 0": lambda x: x.flat[0] > 0,
}


RELU_BACKWARD = Exercise(
    name="relu_backward",
    quantities=lambda name, d_y, x: {"d_y": d_y, "x": x, "relu(x)": np.maximum(x, 0),
                                       "tanh(x)": np.tanh(x), "sigmoid(x)": functional.sigmoid(x)},
    fresh=[
        Case((normal(4, 3, seed=20), 5 * normal(4, 3, seed=21))),
        Case((30 * normal(2, 6, seed=22), normal(2, 6, seed=23))),
        Case((normal(7, 5, seed=24), 0.1 * normal(7, 5, seed=25))),
    ],
    solution=[functional.relu_backward],
    variants=_relu_backward,
    cases=[
        Case((floats([[5, -7], [2, 3]]), floats([[-1, 4], [0.5, -2]]))),
        Case((normal(3, 4, seed=1), normal(3, 4, seed=2))),
        Case((normal(2, 3, seed=1), positive(2, 3))),
        Case((normal(3, 2, seed=1), -positive(3, 2))),
        Case((1000 * normal(5, 2, seed=3), 100 * normal(5, 2, seed=4))),
        Case((normal(1, 3, seed=5), normal(1, 3, seed=8)), "a batch of one row",
             "the formula is the same for any shape"),
        Case((1e-6 * normal(4, 3, seed=6), 1e6 * normal(4, 3, seed=7)), "large x and small d_y",
             "the slope is 1 for every positive x"),
        Case((normal(4, 3, seed=6), 1e-6 * normal(4, 3, seed=7)), "x near 0",
             "the slope is 1 for every positive x, however small"),
    ],
    mistakes={
        "formula": {
            "ignores the upstream gradient: multiply the derivative of relu by d_y":
                lambda d_y, x: np.float32(x > 0),
            "returns relu(x), not its gradient": lambda d_y, x: np.maximum(x, 0),
            "tests the sign of d_y instead of the sign of x": lambda d_y, x: np.maximum(d_y, 0),
            "passes the gradient for negative x: where x < 0, it must be 0": lambda d_y, x: d_y,
            "sets negative upstream gradients to 0, too (guided backpropagation)":
                lambda d_y, x: d_y * (x > 0) * (d_y > 0),
            "passes the gradient where x * d_y > 0: test only the sign of x":
                lambda d_y, x: np.where(x * d_y > 0, d_y, 0),
            "returns |d_y|: the sign of the gradient must be kept":
                lambda d_y, x: np.abs(d_y) * (x > 0),
            "computes a matrix product with * replaced by @: multiply element by element":
                lambda d_y, x: d_y @ np.float32(x > 0),
        },
        "slope": {
            "multiplies by relu(x) instead of the derivative of relu, which is 1 or 0":
                lambda x: np.maximum(x, 0),
            "multiplies by x instead of the derivative of relu": np.positive,
            "has the condition reversed: the gradient passes where x > 0":
                lambda x: x < 0,
            "has a slope of -1 for negative x, the derivative of |x|: it must be 0":
                np.sign,
            "has the slope 0 for x > 6, the derivative of relu6": lambda x: (x > 0) & (x < 6),
            "has the slope 0 for x between 0 and 1: compare x with 0, without converting it to int":
                lambda x: x >= 1,
            **{
                f"tests one condition for the whole array, such as {text}: compare each element of "
                "x with 0": condition
                for text, condition in _CONDITIONS.items()
            },
            "uses the derivative of sigmoid":
                lambda x: functional.sigmoid(x) * (1 - functional.sigmoid(x)),
            "uses the derivative of tanh": lambda x: 1 - np.tanh(x) ** 2,
        },
    },
)  # fmt: skip
