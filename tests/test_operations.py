"""Operations: every row of the table compared with finite differences and with Keras."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np
import pytest

from tests import RandomNumbers, mostly_wide, newer_keras
from tinynet import Input, Sequential, Variable, config, initializers, layers, ops, random
from tinynet.program import GradientTape
from tinynet.program.nested import flattened
from tinynet.program.tensor import as_tensor

RNG = RandomNumbers(3)


def near(*shape: int) -> np.ndarray:
    """Draw values in [-2, 2], away from integers, where some functions are not differentiable."""
    signs = np.sign(RNG.standard_normal(shape))
    return signs * RNG.uniform(0.1, 0.4, shape) + RNG.integers(-1, 2, shape)


def positive(*shape: int) -> np.ndarray:
    return RNG.uniform(0.3, 2, shape)


def inside(*shape: int) -> np.ndarray:
    return RNG.uniform(-0.8, 0.8, shape)


Row = tuple[str, list[Any], dict[str, Any]]


def each(names: str, *inputs: Any, **options: Any) -> list[Row]:
    """Return a row with the same inputs for each operation."""
    return [(name, [*inputs], options) for name in names.split()]


def ways(names: str, inputs: list[Any], *options: dict[str, Any]) -> list[Row]:
    """Return a row with the same inputs for each operation and each option."""
    return [(name, inputs, given) for name in names.split() for given in options]


INDICES = np.array([[2, 0], [1, 2]])
# Name, inputs, options: one row per operation, and additional rows for options.
ROWS: list[Row] = [
    *each("absolute negative sign square exp sin cos tan sinh cosh tanh erf erfc", near(3, 4)),
    *each("expm1 arctan arcsinh reciprocal nan_to_num normalize ravel stop_gradient", near(3, 4)),
    *each("sqrt rsqrt log log2 log10 log1p", positive(3, 4)),
    *each("arcsin arccos arctanh erfinv", inside(3, 4)),
    *each("arccosh", 1 + positive(3, 4)),
    *(
        (name, [near(2, 3, 4), near(*shape)], {})
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "arctan2")
        for shape in ((2, 3, 4), (4,), (3, 1), (1, 1, 4), ())
    ),
    ("power", [positive(3, 4), near(4)], {}),
    ("mod", [near(3, 4), 1.7 + positive(4)], {}),
    *each("hypot logaddexp divide_no_nan", near(3, 4), near(4)),
    ("where", [near(3, 4) > 0, near(3, 4), near(4)], {}),
    ("clip", [near(3, 4)], {"x_min": -0.6, "x_max": 1.05}),
    *ways(
        "sum mean max min prod var std logsumexp",
        [near(2, 3, 4)],
        *({"axis": a, "keepdims": k} for a in (None, 1, (0, 2), -1) for k in (False, True)),
    ),
    ("prod", [np.array([[2.0, 0.0, 5.0], [0.0, 0.0, 3.0]])], {"axis": 1}),
    *ways("cumsum cumprod", [near(3, 4)], {"axis": 0}, {"axis": -1}, {"axis": None}),
    *ways("cumsum cumprod", [near(3, 4)], {"dtype": "float64"}, {"axis": 1, "dtype": "int32"}),
    *ways("norm", [near(3, 4)], {}, {"axis": 1}, {"ord": np.inf, "axis": 1}),
    ("norm", [near(3, 4)], {"ord": 1, "axis": 0, "keepdims": True}),
    ("normalize", [near(3, 4)], {"axis": 0, "order": 1}),
    *ways("average", [near(3, 4)], {"axis": 1}, {"weights": positive(3, 4)}),
    ("average", [near(3, 4)], {"axis": 1, "weights": np.array([1.0, 2.0, 3.0, 0.5])}),
    ("average", [near(3, 4)], {"axis": 0, "weights": np.array([1.0, 2.0, 3.0])}),
    *ways("moments", [near(3, 4)], {"axes": [0]}, {"axes": [0, 1], "keepdims": True}),
    ("median", [near(3, 5)], {"axis": 1}),
    *ways("median", [near(4, 5)], {}, {"keepdims": True}, {"axis": 0, "keepdims": True}),
    ("max", [near(0, 3)], {"axis": 0, "initial": -5.0}),
    ("min", [near(2, 3)], {"axis": 0, "initial": 5.0}),
    ("inner", [near(3, 4), near(2, 4)], {}),
    ("outer", [near(3), near(2)], {}),
    *(
        ("einsum", [rule, *(near(*shape) for shape in shapes)], {})
        for rule, shapes in {
            "bi,ij->bj": [(3, 4), (4, 2)],
            "bi,ij,kj->bk": [(3, 4), (4, 2), (5, 2)],
            "ij->ji": [(3, 4)],
            "ij->j": [(3, 4)],
            "ij": [(3, 4)],
            "ii": [(3, 3)],
            "ii->i": [(3, 3)],
            "ij,j": [(3, 4), (4,)],
            "i,j->ij": [(3,), (2,)],
            "ij,kl->i": [(2, 3), (2, 2)],
            "...ij,jk->...ik": [(2, 5, 3, 4), (4, 2)],
            "b...,b...->b...": [(3, 2, 4), (3, 2, 4)],
        }.items()
    ),
    ("batch_normalization", [near(3, 4), near(4), positive(4)], {"axis": -1}),
    *ways(
        "batch_normalization",
        [near(2, 3, 4), near(3), positive(3), 1, near(3), near(3)],
        {"epsilon": 0.1},
    ),
    ("layer_normalization", [near(3, 4)], {"epsilon": 0.1}),
    ("layer_normalization", [near(3, 4), near(4), near(4)], {}),
    ("rms_normalization", [near(3, 4), near(4)], {}),
    *each("matmul dot", near(3, 4), near(4, 2)),
    *each("matmul dot", near(4), near(4)),
    *(
        ("matmul", [near(*a), near(*b)], {})
        for a, b in (((5, 3, 4), (4, 2)), ((5, 3, 4), (5, 4, 2)), ((4,), (4, 2)), ((3, 4), (4,)))
    ),
    ("dot", [near(2, 3), np.array(2.0)], {}),
    ("tensordot", [near(3, 4, 2), near(4, 2, 5)], {}),
    ("tensordot", [near(3, 4, 2), near(2, 5, 4)], {"axes": [[1, 2], [2, 0]]}),
    ("tensordot", [near(3, 4), near(4, 5)], {"axes": 1}),
    ("reshape", [near(3, 4)], {"newshape": (2, -1)}),
    *ways("transpose", [near(2, 3, 4)], {}, {"axes": (2, 0, 1)}),
    ("swapaxes", [near(2, 3, 4)], {"axis1": 0, "axis2": 2}),
    *ways("squeeze", [near(2, 1, 4)], {}, {"axis": 1}),
    ("expand_dims", [near(2, 4)], {"axis": 1}),
    ("broadcast_to", [near(3, 1)], {"shape": (2, 3, 4)}),
    *ways("take", [near(3, 4), INDICES], {"axis": 1}, {"axis": 0}, {}),
    ("take_along_axis", [near(2, 3), INDICES], {"axis": 1}),
    ("pad", [near(3, 4)], {"pad_width": ((1, 2), (0, 3))}),
    ("pad", [near(3, 4)], {"pad_width": ((1, 2), (0, 3)), "mode": "reflect"}),
    ("pad", [near(3, 4)], {"pad_width": ((1, 2), (0, 3)), "mode": "symmetric"}),
    ("pad", [near(3, 4)], {"pad_width": ((1, 1), (2, 0)), "constant_values": 2.0}),
    *ways("tile", [near(3, 4)], {"repeats": (2, 3)}, {"repeats": (2, 1, 1)}),
    *ways("repeat", [near(3, 4)], {"repeats": 2, "axis": 1}, {"repeats": 2}),
    ("flip", [near(3, 4)], {"axis": 0}),
    ("roll", [near(3, 4)], {"shift": 1, "axis": 1}),
    *ways("diagonal trace", [near(3, 4)], {"offset": 1}),
    *ways("diagonal trace", [near(2, 3, 4)], {"axis1": 2, "axis2": 0}),
    *ways("tril triu", [near(3, 4)], {}, {"k": 1}, {"k": -1}),
    ("diag", [near(3)], {"k": 1}),
    ("diag", [near(3, 4)], {"k": -1}),
    ("split", [near(4, 6), 2], {"axis": 1}),
    ("split", [near(4, 6), [1, 4]], {"axis": -1}),
    ("unstack", [near(2, 3)], {"axis": 1}),
    ("slice", [near(4, 5), np.array([1, 2]), np.array([2, 3])], {}),
    ("slice_update", [near(4, 5), np.array([1, 2]), near(2, 3)], {}),
    ("scatter", [np.array([[0, 1], [2, 0], [0, 1]]), near(3), (3, 2)], {}),
    ("scatter", [np.array([[1], [0]]), near(2, 3), (4, 3)], {}),
    ("scatter_update", [near(4, 3), np.array([[1, 2], [0, 0]]), near(2)], {}),
    ("scatter_update", [near(4, 3), np.array([[1], [1]]), near(2, 3)], {"reduction": "add"}),
    ("segment_sum", [near(4, 3), np.array([0, 0, 2, 1])], {"num_segments": 4}),
    ("segment_sum", [near(4), np.array([2, 0, 1, 0])], {}),
    ("moveaxis", [near(2, 3, 4), 0, -1], {}),
    ("vstack", [[near(1, 3), near(2, 3)]], {}),
    ("hstack", [[near(3), near(2)]], {}),
    ("hstack", [[near(3, 1), near(3, 2)]], {}),
    ("select", [[near(3) > 0, near(3) > 0], [near(3), near(3)]], {"default": 2.0}),
    *ways("sort", [near(3, 4)], {}, {"axis": 0}),
    ("top_k", [near(3, 4), 2], {}),
    ("full_like", [near(3, 4), 2.5], {}),
    ("cast", [near(3, 4), "float32"], {}),
    ("cast", [near(3, 4), "int32"], {}),
    ("get_item", [near(3, 4), 1], {}),
    ("concatenate", [[near(2, 3), near(4, 3)]], {}),
    ("concatenate", [[near(2, 3), near(2, 1), near(2, 4)]], {"axis": -1}),
    ("stack", [[near(2, 3), near(2, 3), near(2, 3)]], {}),
    ("stack", [[near(2, 3), near(2, 3)]], {"axis": -1}),
    # activations
    *each("relu relu6 sigmoid softmax log_softmax softplus softsign silu swish selu", near(3, 4)),
    *each("leaky_relu elu gelu hard_sigmoid glu hard_silu hard_swish hard_tanh celu", near(3, 4)),
    *ways("hard_shrink soft_shrink", [near(3, 4)], {"threshold": 0.2}),
    *each("log_sigmoid squareplus tanh_shrink hard_shrink soft_shrink sparse_plus", near(3, 4)),
    ("sparse_sigmoid", [near(3, 4)], {}),
    ("threshold", [near(3, 4), 0.7, 5.0], {}),
    ("softmax", [near(3, 4)], {"axis": 0}),
    ("leaky_relu", [near(3, 4)], {"negative_slope": 0.3}),
    *ways("elu celu", [near(3, 4)], {"alpha": 0.5}),
    ("gelu", [near(3, 4)], {"approximate": False}),
    # losses
    ("binary_crossentropy", [np.round(positive(3, 4) / 2), (inside(3, 4) + 1) / 2], {}),
    ("binary_crossentropy", [positive(3, 4) / 2, near(3, 4)], {"from_logits": True}),
    ("categorical_crossentropy", [np.eye(4)[[1, 0, 3]], positive(3, 4)], {}),
    ("categorical_crossentropy", [np.eye(4)[[1, 0, 3]], near(3, 4)], {"from_logits": True}),
    ("sparse_categorical_crossentropy", [np.array([1, 0, 3]), positive(3, 4)], {}),
    *each(
        "sparse_categorical_crossentropy", np.array([[1], [0], [3]]), near(3, 4), from_logits=True
    ),
]
# Operations without gradients.
FLAT: list[Row] = [
    *each("floor ceil trunc round isnan isinf isfinite zeros_like ones_like argsort", near(3, 4)),
    *each("ndim shape count_nonzero nonzero abs", near(3, 4)),
    *each(
        "equal not_equal greater greater_equal less less_equal",
        np.array([[1, 2], [3, 4]]),
        np.array([2, 2]),
    ),
    *each("logical_and logical_or logical_xor", near(3, 4) > 0, near(4) > 0),
    ("logical_not", [near(3, 4) > 0], {}),
    *each("floor_divide true_divide", near(3, 4), near(4)),
    *ways("all any", [near(3, 4) > 0], {}, {"axis": 1}, {"axis": (0, 1), "keepdims": True}),
    *ways("argmax argmin", [near(3, 4)], {}, {"axis": 1}, {"axis": 0, "keepdims": True}),
    ("round", [near(3, 4)], {"decimals": 1}),
    ("argsort", [near(3, 4)], {"axis": 0}),
    ("count_nonzero", [np.array([[1, 0], [0, 0]])], {"axis": 1}),
    ("isclose", [near(3), near(3)], {"atol": 1.0}),
    ("allclose", [np.ones(3), np.ones(3) + 1e-7], {}),
    *each("nan_to_num", np.array([np.nan, np.inf, -np.inf, 2.0]), nan=7.0, posinf=3.0, neginf=-9.0),
    ("digitize", [near(3, 4), np.array([-1.0, 0.0, 1.0])], {}),
    ("searchsorted", [np.array([-1.0, 0.0, 1.0]), near(4)], {}),
    ("searchsorted", [np.array([-1.0, 0.0, 1.0]), np.array([0.0, 2.0])], {"side": "right"}),
    ("one_hot", [np.array([0, 2, -1, 5]), 3], {}),
    ("one_hot", [INDICES, 3], {"axis": 0, "dtype": "int32"}),
    ("in_top_k", [np.array([1, 0]), near(2, 4).astype(np.float32)], {"k": 2}),
    ("in_top_k", [np.array([1, 0]), np.ones((2, 4), np.float32)], {"k": 2}),
    *ways("bincount", [np.array([1, 1, 4])], {}, {"minlength": 7}),
    ("bincount", [np.array([1, 1, 4])], {"weights": np.array([0.5, 1.0, 2.0], np.float32)}),
    ("unique", [np.array([3, 1, 3, 2])], {}),
    ("unique", [np.array([3, 1, 3, 2])], {"return_inverse": True, "return_counts": True}),
    ("where", [near(3, 4) > 0], {}),
    ("zeros", [(2, 3)], {}),
    ("ones", [(2, 3)], {"dtype": "int32"}),
    ("full", [(2, 3), 2.5], {}),
    ("empty", [(0, 3)], {}),
    *each("eye identity", 3),
    ("eye", [3, 4], {"k": 1}),
    ("arange", [4], {}),
    ("arange", [1, 2.5, 0.5], {}),
    ("linspace", [0.0, 1.0], {"num": 5}),
    ("linspace", [0, 1], {"num": 4, "endpoint": False}),
    ("array", [[1, 2]], {}),
    ("array", [[[1.0]]], {}),
    ("convert_to_tensor", [[True, False]], {}),
    ("convert_to_tensor", [[1, 2]], {"dtype": "float64"}),
    ("amax", [near(3, 4)], {"axis": 1}),
    ("amin", [near(3, 4)], {}),
    ("empty_like", [near(0, 4)], {}),
]


def name_of(row: Any) -> str:
    shapes = "-".join(
        i if isinstance(i, str) else "x".join(map(str, getattr(i, "shape", ()))) or "scalar"
        for i in row[1]
    )
    return f"{row[0]} {shapes} {row[2] or ''}".strip()


def mapped(function: Any, nested: Any) -> Any:
    """Apply a function to the arrays in nested lists and dicts."""
    if isinstance(nested, list):
        return [mapped(function, n) for n in nested]
    if isinstance(nested, dict):
        return {key: mapped(function, n) for key, n in nested.items()}
    return function(nested) if isinstance(nested, np.ndarray) else nested


def is_float(value: Any) -> bool:
    return np.asarray(value).dtype.kind == "f"


def parts_of(result: Any) -> list[Any]:
    """Return a list of the results of an operation."""
    several = isinstance(result, list | tuple) and not all(isinstance(r, int) for r in result)
    return [*result] if several else [result]


def with_gradients(library: Any, tape: Any, tensor: Any, row: Any) -> tuple[list[Any], list[Any]]:
    """Compute results and the gradients with respect to all float inputs."""
    name, inputs, options = row
    watched: list[Any] = []

    def convert(array: Any) -> Any:
        if not is_float(array):
            return array
        watched.append(tensor(array))
        return watched[-1]

    inputs, options = mapped(convert, inputs), mapped(convert, options)
    with tape() as running:
        running.watch(watched)
        results = parts_of(getattr(library, name)(*inputs, **options))
    floats = [r for r in results if is_float(r)]
    upstream = [np.cos(np.arange(np.size(r)) + 1.0).reshape(np.shape(r)) for r in floats]
    upstream = [u.astype(np.asarray(r).dtype) for u, r in zip(upstream, floats, strict=True)]
    gradients = running.gradient(floats, watched, output_gradients=[*map(tensor, upstream)])
    return [np.asarray(r) for r in results], gradients


def ours(row: Any) -> tuple[list[Any], list[Any]]:
    return with_gradients(ops, GradientTape, as_tensor, row)


def theirs(keras: Any, row: Any) -> tuple[list[Any], list[Any]]:
    from reference.keras_net import tf

    tape = tf.GradientTape
    if row[0] in NO_GRADIENT_THERE:
        return [*map(np.asarray, parts_of(getattr(keras.ops, row[0])(*row[1], **row[2])))], []
    results, gradients = with_gradients(keras.ops, tape, tf.constant, row)
    return results, [g if g is None else tf.convert_to_tensor(g) for g in gradients]


def check_gradient(row: Any) -> None:
    """Compare gradients with central differences in float64."""
    name, inputs, options = row
    arrays: list[Any] = []

    def copied(array: Any) -> Any:
        array = np.array(array)
        if is_float(array):
            arrays.append(array)
        return array

    row = name, mapped(copied, inputs), mapped(copied, options)

    def value() -> float:
        results = (np.asarray(r) for r in parts_of(getattr(ops, name)(*row[1], **row[2])))
        return sum(
            (r * np.cos(np.arange(r.size) + 1.0).reshape(r.shape)).sum()
            for r in results
            if is_float(r)
        )

    _, gradients = ours(row)
    for x, found in zip(arrays, gradients, strict=True):
        numerical = np.zeros(x.shape)
        for at in np.ndindex(x.shape):
            before, step = x[at], 1e-6
            values = []
            for moved in (before + step, before - step):
                x[at] = moved
                values.append(value())
            x[at] = before
            numerical[at] = (values[0] - values[1]) / (2 * step)
        # Central differences have errors of about 1e-16 / 1e-6 of the values and 1e-12 of the third
        # derivative.
        found = np.zeros(x.shape) if found is None else found
        np.testing.assert_allclose(found, numerical, rtol=1e-6, atol=1e-6)
        assert found.shape == x.shape


# Not compared with finite differences: `cast` rounds, `stop_gradient` has a gradient of zero.
NOT_SMOOTH = ("stop_gradient", "cast")


@pytest.mark.parametrize("row", [row for row in ROWS if row[0] not in NOT_SMOOTH], ids=name_of)
def test_operation_gradient_matches_finite_differences(row: Any) -> None:
    check_gradient(row)


def test_power_gradient_of_negative_base() -> None:
    assert ours(("stop_gradient", [near(3, 4)], {}))[1] == [None]
    x = as_tensor(np.array([-3.0, 0.0, 2.0]))
    with GradientTape() as tape:
        tape.watch(x)
        y = x**3
    assert y.tolist() == [-27, 0, 8]
    assert tape.gradient(y, x).tolist() == [27, 0, 12]


def test_gradients_at_zero_match_keras() -> None:
    """The gradients are ``sigmoid(0) - target``, and the upstream gradient divided by 1e-7."""
    targets = np.array([1.0, 0.0, 0.25])
    for function, shape, upstream, expected in (
        (lambda z: ops.binary_crossentropy(targets, z, True), (3,), None, [-0.5, 0.5, 0.25]),
        (ops.normalize, (1, 2), np.array([[1.0, 3.0]]), [[1e7, 3e7]]),
    ):
        x = as_tensor(np.zeros(shape))
        with GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        np.testing.assert_allclose(tape.gradient(y, x, upstream), expected)


# ------------------------------------------------------------ comparison with Keras


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")
    from reference.keras_net import keras

    return keras


# TensorFlow defines no gradient for these operations, so only values are compared.
NO_GRADIENT_THERE = {"slice_update", "bincount"}
# TensorFlow rounds a constant in these operations to float32.
ROUNDED_THERE = {"leaky_relu", "gelu"}


def compare(keras: Any, row: Any, rtol: float) -> None:
    """Compare values, dtypes, shapes and gradients."""
    (results, gradients), (expected, slopes) = ours(row), theirs(keras, row)
    assert len(results) == len(expected)
    gradients = [] if row[0] in NO_GRADIENT_THERE else gradients
    for a, b in zip([*results, *gradients], [*expected, *slopes], strict=True):
        if b is None:
            assert a is None or not np.any(a)
            continue
        b = np.asarray(b)
        a = np.zeros_like(b) if a is None else np.asarray(a)
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def rows_of_keras() -> list[Any]:
    """Return pytest parameters; all rows of an operation except the first are wide."""
    found, seen = [], set()
    for row in [*ROWS, *FLAT]:
        if row[0] != "get_item":
            found.append(pytest.param(row, marks=pytest.mark.wide if row[0] in seen else ()))
            seen.add(row[0])
    return found


@pytest.mark.parametrize("row", rows_of_keras(), ids=name_of)
def test_operation_matches_keras(row: Any, keras: Any) -> None:
    if not hasattr(keras.ops, row[0]):
        pytest.skip(f"needs a newer Keras, with keras.ops.{row[0]}")
    compare(keras, row, 1e-7 if row[0] in ROUNDED_THERE else 1e-12)


def test_array_inspection_matches_keras(keras: Any) -> None:
    x = np.zeros((2, 3), np.float32)
    for library in (ops, keras.ops):
        assert library.dtype(library.convert_to_tensor(x)) == "float32"
        assert int(library.size(x)) == 6
        assert type(library.convert_to_numpy(library.convert_to_tensor(x))) is np.ndarray
        assert library.is_tensor(library.ones(2))
        assert not library.is_tensor(x)


def cast(row: Any, dtype: str) -> Any:
    """Return a row with floats converted to another dtype."""

    def converted(array: Any) -> Any:
        if not is_float(array):
            return array
        return np.asarray(array if dtype.startswith("float") else array * 3, dtype)

    return row[0], *(mapped(converted, part) for part in row[1:])


@pytest.mark.wide
def test_float32_operations_match_keras(keras: Any) -> None:
    for row in {row[0]: row for row in ROWS if row[0] != "get_item"}.values():
        # A few rounding errors of values below 100; the gradient of tan is a square.
        compare(keras, cast(row, "float32"), 1e-4)


# For integer inputs, these operations return floats where Keras rounds to integers, or compute in
# float32 where Keras uses float64.
IN_FLOATS = {
    *("moments", "batch_normalization", "layer_normalization", "rms_normalization"),
    *("soft_shrink", "select", "bincount"),
}


@pytest.mark.parametrize("dtype", mostly_wide(["int32", "uint8", "bool"], "int32"))
def test_integer_operation_dtypes_match_keras(dtype: str, keras: Any) -> None:
    compared = 0
    rows = {row[0]: row for row in [*FLAT, *ROWS] if row[0] not in IN_FLOATS}
    for name, inputs, options in (cast(row, dtype) for row in rows.values()):
        if not hasattr(keras.ops, name) or (dtype, name) == ("bool", "mod"):
            continue
        try:
            expected = parts_of(getattr(keras.ops, name)(*inputs, **options))
        except Exception:  # TensorFlow does not support this dtype
            continue
        with np.errstate(all="ignore"):
            found = parts_of(getattr(ops, name)(*inputs, **options))
        for a, b in zip(found, expected, strict=True):
            assert np.asarray(a).dtype == np.asarray(b).dtype, name
            assert np.shape(a) == np.shape(b), name
        compared += 1
    assert compared > 90


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("shapes", [[(0, 4), (4,)], [(1, 4), (3, 1)], [(3, 0), (1,)], [(), (2, 3)]])
def test_unusual_shapes_match_keras(shapes: Any, keras: Any) -> None:
    """Empty arrays, one row, and scalars, with broadcasting."""
    names = {
        *("sum", "mean", "prod", "var", "std", "cumsum", "cumprod", "logsumexp", "norm"),
        *("relu", "sigmoid", "softplus", "gelu", "elu", "absolute", "exp", "tanh", "square"),
        *("log_sigmoid", "hard_shrink", "sparse_plus", "squareplus", "isnan", "floor", "erf"),
        *("ravel", "transpose", "zeros_like", "nan_to_num", "clip", "flip"),
    }
    for name in sorted(names):
        options = {"x_min": -0.5, "x_max": 0.5} if name == "clip" else {}
        if shapes[0] == () and name in ("flip", "norm"):
            continue
        compare(keras, (name, [near(*shapes[0])], options), 1e-7)
    for name in (
        *("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "mod", "hypot"),
        *("logaddexp", "arctan2", "equal", "greater", "floor_divide", "divide_no_nan"),
    ):
        compare(keras, (name, [positive(*shape) for shape in shapes], {}), 1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("shape", "axis"), [((0, 4), 1), ((1, 4), 0), ((1, 4), 1), ((3, 0), 0)])
def test_small_reductions_match_keras(shape: Any, axis: int, keras: Any) -> None:
    names = ("sum", "mean", "prod", "var", "std", "logsumexp", "cumsum", "cumprod", "all", "any")
    some = ("max", "min", "argmax", "argmin", "softmax", "log_softmax", "norm", "sort", "flip")
    for name in names if 0 in shape else (*names, *some):
        inputs = [near(*shape) > 0 if name in ("all", "any") else near(*shape)]
        compare(keras, (name, inputs, {"axis": axis}), 1e-12)


# Operations with additional parameters, which Keras does not have.
LONGER = {"relu", "relu6", "leaky_relu", "amax", "amin"}


def signature(function: Any) -> list[Any]:
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.default) for p in parameters if p.kind is not p.VAR_KEYWORD]


def test_operations_accept_lists_and_variables() -> None:
    for row in [*ROWS, *FLAT]:
        name, inputs, options = row
        expected = parts_of(getattr(ops, name)(*inputs, **options))
        makers = [lambda array: Variable(array) if is_float(array) else array]
        # As nested lists, empty arrays would lose their shape.
        if not any(0 in getattr(i, "shape", ()) for i in inputs):
            makers.append(lambda array: array.tolist())
        for make in makers:
            found = parts_of(getattr(ops, name)(*mapped(make, inputs), **options))
            for a, b in zip(found, expected, strict=True):
                assert np.shape(a) == np.shape(b), name_of(row)
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name_of(row))


def test_top_k_of_unsigned_integers() -> None:
    values, order = ops.top_k(np.uint8([0, 255, 3, 255]), 3)
    assert (values.tolist(), order.tolist()) == ([255, 255, 3], [1, 3, 2])


def test_numpy_functions_dispatch_to_operations() -> None:
    x = as_tensor(near(3, 3))
    for function in (
        *(lambda x: np.einsum("ij,kj->ik", x, x), lambda x: np.nan_to_num(x, nan=1.0), np.diag),
        *(np.cumprod, lambda x: np.where(x > 0, x, 2 * x), lambda x: np.add(np.zeros_like(x), x)),
    ):
        with GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        assert tape.gradient(y, x) is not None
    assert [i.tolist() for i in np.where(as_tensor(np.array([0, 1, 1])))] == [[1, 2]]
    assert x.sum(dtype="float16").dtype == "float16"  # an option that only NumPy's function has


#: Arguments of every function with an argument `dtype`.
WITH_DTYPE: dict[Any, tuple[Any, ...]] = {
    **dict.fromkeys((ops.array, ops.cast, ops.convert_to_tensor, ops.cumprod), ([0, 1],)),
    **dict.fromkeys((ops.cumsum, ops.empty_like, ops.ones_like, ops.prod), ([0, 1],)),
    **dict.fromkeys((ops.empty, ops.ones, ops.zeros, ops.zeros_like), ((2, 3),)),
    **dict.fromkeys((ops.arange, ops.eye, ops.identity), (3,)),
    **dict.fromkeys((ops.full, ops.full_like), ((2,), 1)),
    **dict.fromkeys((ops.linspace, ops.one_hot), (0, 2)),
    **dict.fromkeys((random.normal, random.truncated_normal, random.uniform), ((2,),)),
    **{random.beta: ((2,), 1, 1), random.gamma: ((2,), 1), random.binomial: ((2,), 3, 0.5)},
    **{random.categorical: ([[1.0, 2.0]], 3), random.randint: ((2,), 0, 5)},
    **{Variable: ([0.5],), Input: ((2,),), initializers.Zeros(): ((2,),)},
    initializers.GlorotUniform(0): ((2, 3),),
}


def test_invalid_dtypes_are_errors() -> None:
    for module in (ops, random):
        for name in dir(module):
            if callable(function := getattr(module, name)) and not isinstance(function, type):
                takes = "dtype" in inspect.signature(function).parameters
                assert not takes or function in WITH_DTYPE or name[0] == "_", name
    symbolic = [functools.partial(f, Input((3,))) for f in (ops.cast, ops.cumsum, ops.ones_like)]
    calls = [functools.partial(f, *args) for f, args in WITH_DTYPE.items()]
    names = ("foo", "a", "str", "complex64", "datetime64[s]", "longdouble")
    for call in (*calls, *symbolic, as_tensor(np.ones(2)).astype):
        for dtype in (*names, object, 5, "", 0, ["int8"]):
            with pytest.raises(ValueError, match=r"dtype must be .* Received: dtype="):
                call(dtype=dtype)


@pytest.mark.parametrize("value", [np.dtype("float64"), np.float64, "float16", None])
def test_floatx_must_be_a_name(value: Any) -> None:
    with pytest.raises(ValueError, match=r"value must be one of .* Received: value="):
        config.set_floatx(value)
    with pytest.raises(ValueError, match=r"value must be one of .* Received: value="):
        config.floatx_scope(value).__enter__()


@pytest.mark.parametrize("mode", ["mean", "empty", "Dense", None])
def test_pad_refuses_other_modes(mode: Any) -> None:
    with pytest.raises(ValueError, match=r"mode must be .* Received: mode="):
        ops.pad(np.ones(3), 1, mode)


def test_python_types_as_dtypes_match_keras(keras: Any) -> None:
    x = np.array([1.5, -2.5])
    for dtype in (float, bool, "float64", np.float16, "uint8", None):
        found, expected = ops.cast(x, dtype), keras.ops.cast(x, dtype)
        assert found.dtype.name == keras.backend.standardize_dtype(expected.dtype), dtype
        assert Input((2,), dtype=dtype).dtype == keras.Input((2,), dtype=dtype).dtype
    assert ops.zeros((2,), float).dtype == ops.zeros((2,), "float").dtype == "float32"


NUMBERS = """
    ops.convert_to_tensor([2**40, 1])
    ops.convert_to_tensor([2**40, 1], "int64")
    ops.convert_to_tensor([1e300, 0.1], "float64")
    ops.convert_to_tensor(0.1, "float64")
    ops.convert_to_tensor(0.5)
    ops.convert_to_tensor(2**40)
    ops.convert_to_tensor(True)
    ops.convert_to_tensor([300, -1], "uint8")
    ops.convert_to_tensor([1.5], "int32")
    ops.cast([2**40, 1], "int64")
    ops.max([2**40, 1])
    ops.full((2,), 2**40, dtype="int64")
    ops.full((2,), 0.1, dtype="float64")
    ops.full((2,), np.int64(2))
    ops.full_like(np.zeros(2, "int32"), 2**40, "int64")
    ops.arange(2**40, 2**40 + 2, dtype="int64")
    ops.square(np.int64(100000))
    ops.add(np.int64(2**40), 1)
    ops.add(np.float64(0.5), 1)
    ops.add(np.bool_(True), 1)
    ops.multiply(np.ones(2, "int32"), np.int64(5))
    ops.multiply(np.ones(2, "float32"), np.float64(0.5))
    ops.multiply(np.ones(2, "int32"), np.float32(0.5))
    ops.convert_to_tensor(np.array([1, 2], ">f4"))
    ops.sum(np.array([1, 2], ">i4"))
"""
SCALARS = [f"ops.convert_to_tensor(np.{t}(5))" for t in ("int8", "uint8", "int64", "float16")]


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def check_call(call: str, keras: Any, rtol: float = 0) -> None:
    """Compare the result of a call and its dtype with Keras."""
    found, expected = (eval(call, {"np": np, "ops": library}) for library in (ops, keras.ops))
    assert isinstance(found, list) == isinstance(expected, list)
    for a, b in zip(flattened(found), flattened(expected), strict=True):
        assert a.dtype == np.asarray(b).dtype
        assert a.dtype.isnative
        np.testing.assert_allclose(a, b, rtol=rtol)


@pytest.mark.parametrize("call", [*lines(NUMBERS), *SCALARS])
def test_number_dtypes_match_keras(call: str, keras: Any) -> None:
    check_call(call, keras)


CALLS = """
    ops.median([1.0, np.nan, 3.0])
    ops.median([[1.0, np.nan, 3.0], [1.0, 2.0, np.inf]], axis=1)
    ops.median(np.arange(4), keepdims=True)
    ops.max([1.0, np.nan, 3.0])
    ops.min([1.0, np.nan, 3.0])
    ops.sort([3.0, np.nan, 1.0])
    ops.argsort([3.0, np.nan, 1.0])
    ops.unstack(np.zeros((0, 4), "float32"))
    ops.split(np.zeros((0, 4), "float32"), 2)
    ops.tensordot(np.ones((2, 3)), np.ones((3, 2)), [1, 0])
    ops.tensordot(np.ones((2, 3)), np.ones((2, 3)), [[-1, 0], [1, -2]])
    ops.pad(np.ones(2, "int32"), 1, constant_values=2)
    ops.one_hot([0.7, 1.2], 2)
    ops.round(np.uint8([5]))
    ops.clip(np.float32([1, 5]), 0, np.float64(3))
    ops.clip(np.float32([1, 5]), np.zeros(2), [3.0, 4.0])
    ops.clip(np.int32([1, 5]), np.int32([2, 2]), 3)
    ops.bitwise_and(np.int32([6, 5]), np.int32([3, 4]))
    ops.bitwise_or(np.int32([6, 5]), 3)
    ops.bitwise_xor([6, 5], [True, False])
    ops.bitwise_and(np.uint8([6]), np.int32([3]))
    ops.bitwise_not(np.int32([6, 5]))
    ops.bitwise_invert(np.uint8([6, 5]))
    ops.left_shift([1, 2], [3, 4])
    ops.bitwise_right_shift(np.int32([8, -8]), 1)
    ops.relu(np.int32([-1, 7]))
    ops.relu(np.int8([-1, 7]))
    ops.relu6(np.uint8([1, 7]))
    ops.linspace(0, 1, 3, dtype="int32")
    ops.linspace(np.zeros(2), 1, 3)
    ops.linspace(np.float32(0), 1, 1, retstep=True)
    ops.linspace(0, 1, 0)
"""


@pytest.mark.parametrize("call", lines(CALLS))
def test_unusual_values_match_keras(call: str, keras: Any) -> None:
    check_call(call, keras)


ERRORS = """
    ops.split(np.ones(4), 0)
    ops.split(np.ones(4), -2)
    ops.split(np.ones(4), 2.0)
    ops.unstack(np.ones(4), 3)
    ops.linspace(0, 1, -1)
    ops.tensordot(np.ones((2, 2)), np.ones((2, 2)), 1.0)
    ops.tensordot(np.ones((2, 2)), np.ones((2, 2)), None)
    ops.tensordot(np.ones((2, 2)), np.ones((2, 2)), True)
    ops.tensordot(np.ones((2, 2)), np.ones((2, 2)), 3)
    ops.tensordot(np.ones((2, 2)), np.ones((2, 2)), [[5], [0]])
    ops.tensordot(np.ones((2, 2)), np.ones((2, 2)), [[0, 1], [0]])
    ops.pad(np.ones(2), -1)
    ops.pad(np.ones(2), 1.5)
    ops.pad(np.ones(2), None)
    ops.pad(np.ones(2), [1, 2, 3])
    ops.pad(np.ones(2, "int32"), 1, constant_values=1.5)
    ops.pad(np.ones(2, "uint8"), 1, constant_values=300)
    ops.pad(np.ones(2), 1, "edge", 1)
"""


@pytest.mark.parametrize("call", lines(ERRORS))
def test_invalid_arguments_are_errors(call: str) -> None:
    expected = r"(indices_or_sections|num|axes|pad_width|constant_values) must be .* Received: \1="
    with pytest.raises(ValueError, match=expected):
        eval(call, {"np": np, "ops": ops})


def test_bitwise_operators() -> None:
    x, mask = as_tensor(np.int32([6, 5])), as_tensor(np.array([True, False]))
    assert [y.tolist() for y in (x & 3, x | 1, x ^ 3, ~x, x << 1, np.bitwise_and(x, 4))] == [
        *([2, 1], [7, 5], [5, 6], [-7, -6], [12, 10], [4, 4])
    ]
    assert [y.tolist() for y in (mask & True, mask ^ [True, True], ~mask, mask & 1)] == [
        *([True, False], [False, True], [False, True], [1, 0])
    ]
    symbolic = Input((2,))
    assert ((symbolic > 0) ^ (symbolic < 1)).dtype == "bool"
    with pytest.raises(ValueError, match=r"must be integers or bools .* Received: dtype float64"):
        as_tensor(np.ones(2)) & mask


GRADIENTS: dict[str, Any] = {
    "clip": (lambda ops, x, y: ops.clip(x, y, 1.0), [-1.0, 0.5, 2.0], [0.0, 0.0, 0.0]),
    "clip above": (lambda ops, x, y: ops.clip(x, -2, y), [-1.0, 0.5, 2.0], [0.0, 1.0, 1.0]),
    "linspace": (lambda ops, x, y: ops.linspace(x, y, 4, axis=-1), [1.0, 2.0], [3.0, 5.0]),
    "linspace of scalars": (lambda ops, x, y: ops.linspace(x[0], y[1], 3), [1.0, 2.0], [3.0, 5.0]),
    "sum of two types": (lambda ops, x, y: ops.add(x, y * np.float32(2)), [1.0, 2.0], [3.0, 4.0]),
}
TYPES = [("float32", "float32"), ("float32", "float64"), ("float16", "float32")]


@pytest.mark.parametrize("dtypes", TYPES)
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_with_respect_to_both_match_keras(name: str, dtypes: Any, keras: Any) -> None:
    """The gradient with respect to an input has its dtype, whatever the dtype of the other."""
    from reference.keras_net import tf

    if "clip" in name:
        dtypes = dtypes[:1] * 2  # TensorFlow requires one dtype
    function, *values = GRADIENTS[name]
    found = []
    for library, tape, variable in (
        (ops, GradientTape, Variable),
        (keras.ops, tf.GradientTape, tf.Variable),
    ):
        inputs = [variable(np.array(v, t)) for v, t in zip(values, dtypes, strict=True)]
        with tape() as running:
            y = library.sum(library.square(function(library, *inputs)))
        found.append(running.gradient(y, inputs))
    for a, b in zip(*found, strict=True):
        b = np.asarray(b if b is None else tf.convert_to_tensor(b))
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-3 if "float16" in dtypes else 1e-6)


@pytest.mark.parametrize("clip", [ops.clip, np.clip])
@pytest.mark.parametrize("make", [Variable, as_tensor])
def test_clip_with_array_bounds(clip: Any, make: Any) -> None:
    """The result has the dtype of x, and the gradients that of their inputs."""
    x, low, high = make(np.float32([-1, 0.5, 2])), make(np.zeros(3)), make(np.float64(1))
    with GradientTape() as tape:
        tape.watch([x, low, high])
        y = clip(x, low, high)
    assert (y.tolist(), y.dtype) == ([0, 0.5, 1], np.float32)
    gradients = tape.gradient(y, [x, low, high], [1.0, 10.0, 100.0])
    assert [d.tolist() for d in gradients] == [[0, 10, 0], [1, 0, 0], 100]
    assert [d.dtype for d in gradients] == [np.float32, np.float64, np.float64]


def test_clip_with_a_weight_as_bound() -> None:
    class Capped(layers.Layer):
        def build(self, shape: Any) -> None:
            self.cap = self.add_weight(shape=(), initializer="ones")

        def call(self, x: Any) -> Any:
            return ops.clip(x, 0.0, self.cap)

    model = Sequential([Capped()])
    model.compile("sgd", "mse")
    x = np.float32([[-1, 3], [0.5, 1.5]])
    assert model(x).numpy().tolist() == [[0, 1], [0.5, 1]]
    # The loss is ((1 - 3)**2 + (1 - 1.5)**2 + 1**2) / 4; its gradient -1.25, times 0.01 subtracted.
    model.fit(x, x, epochs=1, batch_size=2, verbose=0)
    np.testing.assert_allclose(model.layers[0].cap.numpy(), 1.0125, rtol=1e-6)


def test_bincount_gradient_of_weights() -> None:
    weights = Variable([1.0, 2.0, 3.0])
    with GradientTape() as tape:
        y = ops.bincount([0, 2, 0], weights, minlength=4)
    assert y.tolist() == [4, 0, 2, 0]
    assert tape.gradient(y, weights, [5.0, 6.0, 7.0, 8.0]).tolist() == [5, 7, 5]


def test_cumprod_gradient_with_zeros() -> None:
    """For ``a + a b + a b c``, it is ``[1 + b + b c, a + a c, a b]``."""
    for values, expected in (
        ([2, 0, 3], [1, 8, 0]),
        ([0, 0, 3], [1, 0, 0]),
        ([2, 5, 3], [21, 8, 10]),
    ):
        for shape, axis in (((3,), None), ((3, 1), 0), ((1, 3), -1)):
            x = Variable(np.reshape(values, shape).astype(float))
            with GradientTape() as tape:
                y = ops.sum(ops.cumprod(x, axis=axis))
            assert tape.gradient(y, x).tolist() == np.reshape(expected, shape).tolist()


@pytest.mark.parametrize(
    "x",
    [
        np.array([1, 2], object),
        ["a"],
        np.array([1j]),
        np.longdouble([1]),
        [2**70],
        [None],
        None,
        1j,
    ],
)
def test_operands_must_be_numbers(x: Any) -> None:
    calls: list[Any] = [ops.absolute, lambda x: ops.add(x, 1)]
    if x is not None:
        calls.append(lambda x: ops.add(Input((2,)), x))
    for call in calls:
        with pytest.raises(ValueError, match=r"x must be real numbers .* Received: x="):
            call(x)


def test_custom_gradient_replaces_the_derivative() -> None:
    @ops.custom_gradient
    def clipped(x: Any) -> Any:
        return x * 3, lambda upstream: ops.clip(upstream, -1, 1)

    @ops.custom_gradient
    def product(a: Any, b: Any) -> Any:
        return a * b, lambda upstream: (upstream * b * 2, None)

    a, b = as_tensor(np.array([1.0, 2.0])), as_tensor(near(2))
    with GradientTape(persistent=True) as tape:
        tape.watch([a, b])
        loss = (clipped(a) * np.array([0.5, 7.0])).sum()
        y = product(a, b)
    assert float(loss) == 1.5 + 42
    assert tape.gradient(loss, a).tolist() == [0.5, 1]
    d_a, d_b = tape.gradient(y, [a, b])
    assert (d_a.tolist(), d_b) == ((b * 2).tolist(), None)


def test_cond_calls_one_function() -> None:
    assert [float(ops.cond(p, lambda: 2.0, lambda: 3.0)) for p in (True, False)] == [2, 3]


@newer_keras
def test_signatures_match_keras(keras: Any) -> None:
    names = [n for n in dir(keras.ops) if n[0] != "_" and callable(getattr(ops, n, None))]
    assert len(names) > 180
    for name in names:
        expected, found = signature(getattr(keras.ops, name)), signature(getattr(ops, name))
        if name in LONGER:
            assert all(default is not inspect.Parameter.empty for _, default in found[1:])
            found = found[: len(expected)]
        assert found == expected, name
