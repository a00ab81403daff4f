"""Exercise about the gradients of a dense layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinynet import functional
from tinynet.exercises.exercise import Case, Exercise
from tinynet.exercises.inputs import floats, normal, whole
from tinynet.functional import Array

Formula = Callable[[Array, Array, Array], Any]


def _dense_backward(d_y: Array, x: Array, kernel: Array, **wrong: Formula) -> tuple[Any, ...]:
    right = functional.dense_layer_backward(d_y, x, kernel)
    names = ("d_x", "d_kernel", "d_bias")
    return tuple(
        wrong[name](d_y, x, kernel) if name in wrong else value
        for name, value in zip(names, right, strict=True)
    )


def _case(n: int, d: int, u: int, about: str = "", why: str = "", scale: int = 1) -> Case:
    shapes = ((n, u), (n, d), (d, u))
    arrays = (np.float32(scale) * normal(*shape, seed=k) for k, shape in enumerate(shapes, 1))
    return Case(tuple(arrays), about, why)


DENSE_BACKWARD = Exercise(
    name="dense_backward",
    quantities=lambda name, d_y, x, kernel: {
        "d_y": d_y, "x": x, "kernel": kernel, "(x @ kernel)": x @ kernel,
        "(d_y * (x @ kernel > 0))": d_y * (x @ kernel > 0),
    },
    solution=[functional.dense_backward, functional.dense_gradients],
    variants=_dense_backward,
    cases=[
        Case((whole(3, 3, seed=1), whole(3, 3, seed=2), whole(3, 3, seed=3))),
        Case((floats([[1], [10]]), floats([[1, 2], [3, 4]]), floats([[5], [6]]))),
        _case(5, 4, 2),
        _case(3, 2, 7, scale=100),
        _case(12, 11, 13),
        _case(1, 3, 2, "a batch of one row", "the shapes of the gradients are those of the arrays"),
        _case(4, 3, 1, "a layer with one unit", "the shapes of the gradients are those of the "
              "arrays"),
    ],
    fresh=[_case(4, 6, 3), _case(7, 2, 5, scale=10), _case(9, 8, 4), _case(6, 3, 8)],
    steps=[{
        "d_x": lambda d_y, kernel: d_y @ kernel.T,
        "d_kernel": lambda d_y, x: x.T @ d_y,
        "d_bias": lambda d_y: d_y.sum(axis=0),
    }],
    mistakes={
        "d_kernel d_bias": {
            f"d_kernel and d_bias are those of the {where} example: add up all examples, with +=": (
                partial(lambda i, d, x, k: np.outer(x[i], d[i]), at),
                partial(lambda i, d, x, k: d[i], at),
            )
            for where, at in (("first", 0), ("last", -1))
        },
        "d_x": {
            "d_x is computed with kernel instead of kernel.T": lambda d, x, k: d @ k,
            "d_x is computed as kernel @ d_y: it is d_y @ kernel.T": lambda d, x, k: k @ d,
            "d_x is transposed: it is d_y @ kernel.T, not kernel @ d_y.T": lambda d, x, k: k @ d.T,
            "d_x ignores the upstream gradient: it is d_y @ kernel.T": lambda d, x, k: k.T,
            "d_x is d_y, without kernel": lambda d, x, k: d,
        },
        "d_kernel": {
            "d_kernel is computed with x instead of x.T": lambda d, x, k: x @ d,
            "d_kernel is computed as d_y @ x: it is x.T @ d_y": lambda d, x, k: d @ x,
            "d_kernel is computed as x @ d_y.T, which sums over the units: it is x.T @ d_y":
                lambda d, x, k: x @ d.T,
            "d_kernel is transposed: it is x.T @ d_y, not d_y.T @ x": lambda d, x, k: d.T @ x,
            "d_kernel is divided by the batch size, but d_y already contains the factor 1 / N":
                lambda d, x, k: x.T @ d / np.float32(len(x)),
            "d_kernel ignores the upstream gradient: it is x.T @ d_y": lambda d, x, k: x.T,
            "d_kernel ignores the upstream gradient: it sums x, but not x * d_y":
                lambda d, x, k: x.T @ np.ones_like(d),
            "d_kernel is that of the last example: add up all examples":
                lambda d, x, k: np.outer(x[-1], d[-1]),
            "d_kernel is that of the first example: add up all examples":
                lambda d, x, k: np.outer(x[0], d[0]),
            "d_kernel omits the first example": lambda d, x, k: x[1:].T @ d[1:],
            "d_kernel omits the last example": lambda d, x, k: x[:-1].T @ d[:-1],
            "d_kernel is not summed over the batch": lambda d, x, k: x[:, :, None] * d[:, None, :],
        },
        "d_bias": {
            "d_bias is summed over the wrong axis, the units: sum over the batch, axis=0":
                lambda d, x, k: d.sum(axis=1),
            "d_bias is summed over both axes: sum over the batch only, axis=0":
                lambda d, x, k: d.sum(),
            "d_bias is averaged over the batch instead of summed": lambda d, x, k: d.mean(axis=0),
            "d_bias is not summed over the batch": lambda d, x, k: d,
            "d_bias has the shape (1, U) instead of (U,): sum without keepdims=True":
                lambda d, x, k: d.sum(axis=0, keepdims=True),
        },
    },
)  # fmt: skip
