"""Operations: every row of the table against its numerical gradient, and against Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinynet import ops
from tinynet.program import GradientTape
from tinynet.program.tensor import as_tensor

RNG = np.random.default_rng(3)


def near(*shape: int) -> np.ndarray:
    """Draw distinct numbers from -2 to 2, none near 0 or an integer, so that no kink is near."""
    return np.sign(RNG.standard_normal(shape)) * RNG.uniform(0.1, 0.4, shape) + RNG.integers(
        -1, 2, shape
    )


def positive(*shape: int) -> np.ndarray:
    return RNG.uniform(0.3, 2, shape)


def inside(*shape: int) -> np.ndarray:
    return RNG.uniform(-0.8, 0.8, shape)


INDICES = np.array([[2, 0], [1, 2]])
# name, inputs, options; a row for each operation, and further ones for its options.
ROWS: list[tuple[str, list[Any], dict[str, Any]]] = [
    *((name, [near(3, 4)], {}) for name in ("absolute", "negative", "sign", "square", "exp")),
    *((name, [near(3, 4)], {}) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "erf")),
    *((name, [near(3, 4)], {}) for name in ("expm1", "arctan", "arcsinh", "reciprocal")),
    *((name, [positive(3, 4)], {}) for name in ("sqrt", "rsqrt", "log", "log2", "log10", "log1p")),
    *((name, [inside(3, 4)], {}) for name in ("arcsin", "arccos", "arctanh")),
    ("arccosh", [1 + positive(3, 4)], {}),
    *(
        (name, [near(2, 3, 4), near(*shape)], {})
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "arctan2")
        for shape in ((2, 3, 4), (4,), (3, 1), (1, 1, 4), ())
    ),
    ("power", [positive(3, 4), near(4)], {}),
    ("mod", [near(3, 4), 1.7 + positive(4)], {}),
    ("hypot", [near(3, 4), near(4)], {}),
    ("logaddexp", [near(3, 4), near(4)], {}),
    ("where", [near(3, 4) > 0, near(3, 4), near(4)], {}),
    ("clip", [near(3, 4)], {"x_min": -0.6, "x_max": 1.05}),
    *(
        (name, [near(2, 3, 4)], {"axis": axis, "keepdims": keepdims})
        for name in ("sum", "mean", "max", "min", "prod", "var", "std", "logsumexp")
        for axis in (None, 1, (0, 2), -1)
        for keepdims in (False, True)
    ),
    ("prod", [np.array([[2.0, 0.0, 5.0], [0.0, 0.0, 3.0]])], {"axis": 1}),
    ("cumsum", [near(3, 4)], {"axis": 1}),
    ("cumsum", [near(3, 4)], {}),
    ("norm", [near(3, 4)], {"axis": 1}),
    ("matmul", [near(3, 4), near(4, 2)], {}),
    ("matmul", [near(5, 3, 4), near(4, 2)], {}),
    ("matmul", [near(5, 3, 4), near(5, 4, 2)], {}),
    ("matmul", [near(4), near(4, 2)], {}),
    ("matmul", [near(3, 4), near(4)], {}),
    ("matmul", [near(4), near(4)], {}),
    ("dot", [near(3, 4), near(4, 2)], {}),
    ("dot", [near(4), near(4)], {}),
    ("dot", [near(2, 3), np.array(2.0)], {}),
    ("tensordot", [near(3, 4, 2), near(4, 2, 5)], {}),
    ("tensordot", [near(3, 4, 2), near(2, 5, 4)], {"axes": [[1, 2], [2, 0]]}),
    ("tensordot", [near(3, 4), near(4, 5)], {"axes": 1}),
    ("reshape", [near(3, 4)], {"newshape": (2, -1)}),
    ("transpose", [near(2, 3, 4)], {}),
    ("transpose", [near(2, 3, 4)], {"axes": (2, 0, 1)}),
    ("swapaxes", [near(2, 3, 4)], {"axis1": 0, "axis2": 2}),
    ("squeeze", [near(2, 1, 4)], {}),
    ("squeeze", [near(2, 1, 4)], {"axis": 1}),
    ("expand_dims", [near(2, 4)], {"axis": 1}),
    ("broadcast_to", [near(3, 1)], {"shape": (2, 3, 4)}),
    ("take", [near(3, 4), INDICES], {"axis": 1}),
    ("take", [near(3, 4), INDICES], {"axis": 0}),
    ("take", [near(3, 4), INDICES], {}),
    ("take_along_axis", [near(2, 3), INDICES], {"axis": 1}),
    ("pad", [near(3, 4)], {"pad_width": ((1, 2), (0, 3))}),
    ("pad", [near(3, 4)], {"pad_width": ((1, 2), (0, 3)), "mode": "reflect"}),
    ("pad", [near(3, 4)], {"pad_width": 1, "mode": "constant", "constant_values": 2.0}),
    ("tile", [near(3, 4)], {"repeats": (2, 3)}),
    ("tile", [near(3, 4)], {"repeats": (2, 1, 1)}),
    ("repeat", [near(3, 4)], {"repeats": 2, "axis": 1}),
    ("repeat", [near(3, 4)], {"repeats": 2}),
    ("flip", [near(3, 4)], {"axis": 0}),
    ("roll", [near(3, 4)], {"shift": 1, "axis": 1}),
    ("diagonal", [near(3, 4)], {"offset": 1}),
    ("tril", [near(3, 4)], {}),
    ("triu", [near(3, 4)], {"k": 1}),
    ("stop_gradient", [near(3, 4)], {}),
]
LISTS = [("concatenate", {"axis": 1}), ("stack", {"axis": 1}), ("concatenate", {"axis": -1})]


def name_of(row: Any) -> str:
    shapes = "-".join("x".join(map(str, np.shape(i))) or "scalar" for i in row[1])
    return f"{row[0]} {shapes} {row[2] or ''}".strip()


def differentiate(function: Any, inputs: list[Any], upstream: Any) -> tuple[Any, list[Any]]:
    """Compute a result and the gradients of its sum, weighted by `upstream`."""
    tensors = [as_tensor(i) if i.dtype.kind == "f" else i for i in inputs]
    floats = [t for t in tensors if t.dtype.kind == "f"]
    with GradientTape() as tape:
        tape.watch(floats)
        y = function(*tensors)
    return y, tape.gradient(y, floats, upstream, unconnected_gradients="zero")


def check_gradient(function: Any, inputs: list[Any]) -> None:
    """Compare gradients with central differences in float64."""
    y = np.asarray(function(*inputs))
    upstream = RNG.standard_normal(y.shape)
    _, gradients = differentiate(function, inputs, upstream)
    floats = [i for i in inputs if i.dtype.kind == "f"]
    for x, found in zip(floats, gradients, strict=True):
        numerical = np.zeros(x.shape)
        for at in np.ndindex(x.shape):
            before, step = x[at], 1e-6
            values = []
            for moved in (before + step, before - step):
                x[at] = moved
                values.append((np.asarray(function(*inputs)) * upstream).sum())
            x[at] = before
            numerical[at] = (values[0] - values[1]) / (2 * step)
        # Central differences are off by about 1e-16 / 1e-6 of the values, and 1e-12 of the third
        # derivative.
        np.testing.assert_allclose(found, numerical, rtol=1e-6, atol=1e-6)
        assert found.shape == x.shape


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_operation_gradient_is_numerical(row: Any) -> None:
    name, inputs, options = row
    if name == "stop_gradient":
        _, (gradient,) = differentiate(ops.stop_gradient, inputs, None)
        assert not gradient.any()
        return
    check_gradient(lambda *xs: getattr(ops, name)(*xs, **options), [np.array(i) for i in inputs])


def test_power_of_a_negative_number_has_a_gradient() -> None:
    x = as_tensor(np.array([-3.0, 0.0, 2.0]))
    y, (gradient,) = differentiate(lambda x: x**3, [x], None)
    assert y.tolist() == [-27, 0, 8]
    assert gradient.tolist() == [27, 0, 12]


@pytest.mark.parametrize(("name", "options"), LISTS)
def test_operation_of_a_list_has_a_gradient_for_each(name: str, options: Any) -> None:
    shapes = [(2, 3), (2, 3), (2, 3)] if name == "stack" else [(2, 3), (2, 1), (2, 4)]
    check_gradient(
        lambda *xs: getattr(ops, name)(list(xs), **options), [near(*shape) for shape in shapes]
    )


def test_gradients_at_zero_are_those_of_keras() -> None:
    """The slopes are ``sigmoid(0) - target``, and 1 over the smallest norm."""
    targets = np.array([1.0, 0.0, 0.25])
    _, (gradient,) = differentiate(
        lambda z: ops.binary_crossentropy(targets, z, True), [np.zeros(3)], None
    )
    assert gradient.tolist() == [-0.5, 0.5, 0.25]
    _, (gradient,) = differentiate(ops.normalize, [np.zeros((1, 2))], np.array([[1.0, 3.0]]))
    np.testing.assert_allclose(gradient, [[1e7, 3e7]])
