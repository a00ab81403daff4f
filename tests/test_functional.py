"""Every function of `functional` with values that can be checked by hand.

A case consists of the function name, the arguments, and the expected result or the expected final
values of output arguments.
`test_gradients` also compares the gradients with finite differences.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import tinynet
from tinynet import functional

LN2, LN3, LN4, LN4_3 = np.log([2, 3, 4, 4 / 3]).tolist()
Z, Q = [0, LN3], [0.25, 0.75]  # logits, and their softmax
SELU, SELU_BELOW = 1.0507009873554805, 1.7580993408473766
NEW = "written"  # represents an output array of the expected shape

# Function, arguments, and result or {argument: final value, "result": result}.
CASES: list[tuple[str, list[Any], Any]] = [
    ("dense", [[[1, 2], [3, 4]], [[1, 0, 2], [1, -1, 3]]], [[3, -2, 8], [7, -4, 18]]),
    ("dense", [[[1, 2], [3, 4]], [[1, 0, 2], [1, -1, 3]], [1, 10, 0]], [[4, 8, 8], [8, 6, 18]]),
    (
        "dense_gradients",
        [[[1, 2], [3, 4]], [[1, 0], [10, 1]], NEW, NEW],
        {"d_kernel": [[31, 3], [42, 4]], "d_bias": [11, 1]},
    ),
    ("dense_gradients", [[[1, 2], [3, 4]], [[1], [10]], NEW, None], {"d_kernel": [[31], [42]]}),
    (
        "dense_layer_backward",
        [[[1, 0], [10, 1]], [[1, 2], [3, 4]], [[1, 2], [3, 0]]],
        ([[1, 3], [12, 30]], [[31, 3], [42, 4]], [11, 1]),
    ),
    ("dense_backward", [[[2, 1]], [[1, 10], [3, 0], [0, 1]]], [[12, 6, 1]]),
    ("linear", [[-1, 2]], [-1, 2]),
    ("linear_backward", [[3, -4], [7, 7], [7, 7]], [3, -4]),
    ("relu", [[-1, 0, 2]], [0, 0, 2]),
    ("relu_backward", [[5, 5, 5], [-1, 0, 2], [0, 0, 2]], [0, 0, 5]),
    ("rectifier", [[-2, 0, 2, 9]], [0, 0, 2, 9]),
    ("rectifier", [[-2, 1, 2, 9], 0.5, 6, 1], [-1.5, 0, 2, 6]),  # lower branch at the threshold
    ("rectifier", [[-3, -0.5, 0.5, 9], 0.5, 1, -2], [-0.5, 0, 0.5, 1]),  # clipped to 0..max_value
    ("rectifier_backward", [[1, 1, 1, 1], [-2, 0, 2, 9]], [0, 0, 1, 1]),
    ("rectifier_backward", [[2] * 5, [-2, 1, 2, 5, 9], 0.5, 5, 1], [1, 0, 2, 2, 0]),
    ("rectifier_backward", [[2] * 4, [-1, 0, 6, 7], 0.5], [1, 1, 2, 2]),
    ("rectifier_backward", [[2] * 4, [-1, 0, 6, 7], 0.5, 6], [1, 0, 0, 0]),
    # max_value below the threshold
    ("rectifier_backward", [[2] * 3, [1.5, 2.5, 0], 0.5, 1, 2], [1, 0, 1]),
    ("rectifier_backward", [[2] * 4, [-3, -0.5, 0.5, 9], 0.5, 1, -2], [1, 0, 2, 0]),
    ("sigmoid", [[-1000, -LN3, 0, LN3, 1000]], [0, 0.25, 0.5, 0.75, 1]),
    ("sigmoid_backward", [[8, 16], Z, [0.5, 0.75]], [2, 3]),
    ("tanh", [[0, LN2, -LN2]], [0, 0.6, -0.6]),
    ("tanh_backward", [[4, 1], [0, LN2], [0, 0.6]], [4, 0.64]),
    ("softmax", [[Z, [1000, 0]]], [Q, [1, 0]]),
    ("softmax", [[-1000, -1000, -1000, -1000]], [0.25, 0.25, 0.25, 0.25]),
    # y * (d_y - sum(d_y * y)): the sum is 1, then 4
    ("softmax_backward", [[[4, 0], [4, 4]], [Z] * 2, [Q] * 2], [[0.75, -0.75], [0, 0]]),
    ("sparse_softmax_crossentropy", [[1, 0, 1], [Z, Z, [100, 0]]], [LN4_3, LN4, 100]),
    ("sparse_softmax_crossentropy", [[0], [[1e4, 0]]], [0]),
    (
        "sparse_softmax_crossentropy_backward",
        [[2, 1], [1, 0], [Q, Q]],
        [[0.5, -0.5], [-0.75, 0.75]],
    ),
    ("mean_softmax_crossentropy", [[Z], [1]], (LN4_3, [Q])),
    ("mean_softmax_crossentropy", [[Z] * 2, [1, 0], [2, 1]], (LN4_3 + LN4 / 2, [Q] * 2)),
    ("mean_softmax_crossentropy_backward", [2, [Q] * 2, [1, 0]], [[0.25, -0.25], [-0.75, 0.75]]),
    (
        "mean_softmax_crossentropy_backward",
        [2, [Q] * 2, [1, 0], [2, 1]],
        [[0.5, -0.5], [-0.75, 0.75]],
    ),
    (
        "softmax_with_crossentropy",
        [[1, 0, 1], [Z, Z, [1000, 0]]],
        ([LN4_3, LN4, 1000], [Q, Q, [1, 0]]),
    ),
    (
        "softmax_crossentropy_step",
        [[1], [Z], [2], NEW, NEW, NEW],
        {"probabilities": [Q], "d_logits": [[0.5, -0.5]], "values": [LN4_3]},
    ),
    # a row with sum 1.5 is normalized; 0 and 1 are clipped to 1/4, 3/4
    (
        "sparse_crossentropy",
        [[1, 0], [[0.5, 1.0], [0.0, 1.0]], 0.25],
        [np.log(1.25 / 0.75), np.log(1 / 0.25)],
    ),
    # 1/sum(q) - 1/q[label]; clipped values have zero gradient
    ("sparse_crossentropy_backward", [[3], [1], [[0.5, 0.5]], 1e-7], [[3, -3]]),
    (
        "sparse_crossentropy_backward",
        [[1, 1], [0, 1], [[0.0, 0.5], [0.0, 0.5]], 0.25],
        [[0, 1 / 0.75], [0, 4 / 3 - 2]],
    ),
    ("log_softmax", [[Z, [1000, 0]]], [[-LN4, np.log(0.75)], [0, -1000]]),
    # d_y - p * sum(d_y)
    ("log_softmax_backward", [[[4, 0]], [Z], [[-LN4, np.log(0.75)]]], [[3, -3]]),
    ("elementwise", ["elu", [2, -LN2, 0], (0.5,)], [2, -0.25, 0]),
    ("elementwise", ["selu", [1, -LN2, 0]], [SELU, -0.5 * SELU_BELOW, 0]),
    ("elementwise", ["softplus", [0, LN3, 1000]], [LN2, LN4, 1000]),
    ("elementwise", ["softsign", [-1, 3]], [-0.5, 0.75]),
    ("elementwise", ["silu", Z], [0, 0.75 * LN3]),
    ("elementwise", ["gelu", [0, 1, -1]], [0, 0.8413447460685429, -0.15865525393145705]),
    (
        "elementwise",
        ["gelu_approximate", [0, 1]],
        [0, (1 + np.tanh(np.sqrt(2 / np.pi) * 1.044715)) / 2],
    ),
    ("elementwise", ["exponential", [0, LN2]], [1, 2]),
    ("elementwise", ["hard_sigmoid", [-3, 0, 1.5, 9]], [0, 0.5, 0.75, 1]),
    ("elementwise", ["hard_silu", [-3, 0, 1.5, 9]], [0, 0, 1.125, 9]),
    ("elementwise", ["mish", [0, LN2]], [0, 0.8 * LN2]),  # tanh(log(3)) = (9 - 1) / (9 + 1)
    # at the kinks: TensorFlow's convention
    (
        "elementwise_backward",
        ["elu", [1, 1, 1], [2, -LN2, 0], [2, -0.25, 0], (0.5,)],
        [1, 0.25, 0.5],
    ),
    (
        "elementwise_backward",
        ["selu", [1, 1, 1], [1, -LN2, 0], [SELU, -0.5 * SELU_BELOW, 0]],
        [SELU, 0.5 * SELU_BELOW, SELU],
    ),
    ("elementwise_backward", ["softplus", [2], [LN3], [LN4]], [1.5]),
    ("elementwise_backward", ["softsign", [32, 1], [3, -1], [0.75, -0.5]], [2, 0.25]),
    ("elementwise_backward", ["silu", [1], [LN3], [0.75 * LN3]], [0.75 + 0.75 * LN3 * 0.25]),
    (
        "elementwise_backward",
        ["gelu", [2, 1], [0, 1], [0, 0.8413447460685429]],
        [1, 0.8413447460685429 + np.exp(-0.5) / np.sqrt(2 * np.pi)],
    ),
    ("elementwise_backward", ["gelu_approximate", [2], [0], [0]], [1]),
    ("elementwise_backward", ["exponential", [3], [LN2], [2]], [6]),
    ("elementwise_backward", ["hard_sigmoid", [6, 6, 6], [-3, 0, 3], [0, 0.5, 1]], [0, 1, 0]),
    ("elementwise_backward", ["hard_silu", [1, 1, 1], [-3, 0, 3], [0, 0, 3]], [0, 0.5, 1]),
    (
        "elementwise_backward",
        ["mish", [1, 1], [0, LN2], [0, 0.8 * LN2]],
        [0.6, 0.8 + LN2 * 0.36 * 2 / 3],
    ),
    ("softmax_crossentropy", [[[0, 1], [0.5, 0.5]], [Z, Z]], [LN4_3, (LN4 + LN4_3) / 2]),
    ("softmax_crossentropy", [[[0, 1]], [[100, 0]]], [100]),
    # p * sum(y) - y, times 2, 1 and 1
    (
        "softmax_crossentropy_backward",
        [[2, 1, 1], [[0, 1], [0.5, 0.5], [1, 1]], [Z] * 3],
        [[0.5, -0.5], [-0.25, 0.25], [-0.5, 0.5]],
    ),
    # a row with sum 4 is normalized; 0 and 1 are clipped to 1/4, 3/4
    ("crossentropy", [[[0, 1], [1, 0]], [[1, 3], [0, 2]], 0.25], [LN4_3, LN4]),
    # the gradient with respect to the normalized row is (0, -4); then differentiate p / sum(p),
    # with sum(p) = 4
    ("crossentropy_backward", [[3], [[0, 1]], [[1, 3]], 1e-7], [[0.75, -0.25]]),
    ("crossentropy_backward", [[1], [[1, 0]], [[0, 2]], 0.25], [[0, 0]]),
    ("sigmoid_crossentropy", [[1, 0, 1, 1], [0, LN3, 1000, -1000]], [LN2, LN4, 0, 1000]),
    ("sigmoid_crossentropy_backward", [[4, 4], [1, 0], Z], [-2, 3]),
    ("binary_crossentropy", [[1, 0, 1], [0.5, 0.25, 0], 0.25], [LN2, LN4_3, LN4]),
    ("binary_crossentropy_backward", [[1, 3, 1], [1, 0, 1], [0.5, 0.25, 0], 0.125], [-2, 4, 0]),
    ("kl_divergence", [[[0.5, 0.5]], [Q], 0.01], [(LN2 + (LN2 - LN3)) / 2]),
    ("kl_divergence", [[[0, 1]], [[0.5, 0]], 0.25], [0.25 * np.log(0.5) + LN4]),
    ("kl_divergence_backward", [[3], [[0.5, 0.5]], [Q], 0.01], [[-6, -2]]),
    ("kl_divergence_backward", [[1], [[0, 1]], [[0.5, 0]], 0.25], [[-0.5, 0]]),
    ("mean_error", ["squared", [[0, 0]], [[1, 3]]], [5]),
    ("mean_error", ["absolute", [[0, 0]], [[1, -3]]], [2]),
    ("mean_error", ["huber", [[0, 0]], [[1, -3]], (2,)], [(0.5 + 4) / 2]),
    ("mean_error", ["log_cosh", [[0, 0]], [[0, LN2]]], [np.log(1.25) / 2]),
    ("mean_error_backward", ["squared", [2], [[0, 0]], [[1, 3]]], [[2, 6]]),
    ("mean_error_backward", ["absolute", [2], [[0, 0, 0]], [[1, -3, 0]]], [[2 / 3, -2 / 3, 0]]),
    ("mean_error_backward", ["huber", [2], [[0, 0]], [[1, -3]], (2,)], [[1, -2]]),
    ("mean_error_backward", ["log_cosh", [2], [[0, 0]], [[0, LN2]]], [[0, 0.6]]),
    ("clip", [[0, 0.5, 1], 0.25], [0.25, 0.5, 0.75]),
    (  # m = (2 - 0) / 2, v = (4 - 0) / 4, w = 1 - 0.1 * 1 / (1 + 0.25)
        "adam",
        [[1], [2], [0], [0], 0.1, 0.5, 0.25, 0.25],
        {"w": [0.92], "m": [1], "v": [1]},
    ),
    (  # m = 1 + (3 - 1) / 2, v = 5 + (9 - 5) / 4, w = 0 - 3 * 2 / sqrt(6)
        "adam",
        [[0], [3], [1], [5], 3, 0.5, 0.25, 0],
        {"w": [-6 / np.sqrt(6)], "m": [2], "v": [6]},
    ),
    (  # zero gradient, no update: not 0 / 0
        "adam",
        [[1], [0], [0], [0], 0.1, 0.1, 0.001, 1e-7],
        {"w": [1], "m": [0], "v": [0]},
    ),
    ("sgd", [[1, 2], [2, 0], 0.25], {"w": [0.5, 2]}),
    # m = 0.5 * 1 - 0.25 * 2, or 0.5 * 4 - 0.25 * 2 = 1.5
    ("sgd_momentum", [[1, 1], [2, 2], [1, 4], 0.25, 0.5, False], {"w": [1, 2.5], "m": [0, 1.5]}),
    ("sgd_momentum", [[1, 1], [2, 2], [1, 4], 0.25, 0.5, True], {"w": [0.5, 1.25], "m": [0, 1.5]}),
    # v = 0.75 * 4 + 0.25 * 16 = 7
    ("rmsprop", [[1], [4], [4], None, None, 0.5, 0.75, 0, 2], {"w": [1 - 0.5 * 4 / 3], "v": [7]}),
    (  # a = 0.75 * 4 / 3 + 0.25 * 4 = 2: the square root of 7 + 6 - 4; u = 0.5 * 2 + 2 / 3
        "rmsprop",
        [[1], [4], [4], [2], [4 / 3], 0.5, 0.75, 0.5, 6],
        {"w": [1 - 5 / 3], "v": [7], "u": [5 / 3], "a": [2]},
    ),
    # u = max(0.5 * 8, 3) = 4
    ("adamax", [[1], [-3], [1], [8], 2, 0.5, 0.5, 4], {"w": [1 + 2 / 8], "m": [-1], "u": [4]}),
    # s = 0.75 * 12 + 0.25 * 16 = 13; step = sqrt(u + 3) / sqrt(s + 3) * d = 4 / 4 * 4
    ("adadelta", [[1], [4], [12], [13], 0.25, 0.75, 3], {"w": [0], "s": [13], "u": [13.75]}),
    # sigma = (5 - 4) / 0.5; the divisor is 5 / 0.5 + 1 / 0.5 + 2 * 4 = 20
    (
        "ftrl",
        [[1, 1], [3, -3], [16, 16], [-5, 5], 0.5, -0.5, 2, 4, 0.5, 1],
        {"w": [1 / 20, 0], "n": [25, 25], "z": [-3, 1]},
    ),
    ("ftrl", [[2], [3], [16], [-5], 0.5, 0, 0, 0, 0, 0], {"w": [1], "n": [25], "z": [-2]}),
    (
        "lion",
        [[1, 1, 1], [2, -2, 1], [-1, -1, -1], 0.25, 0.5, 0.75],
        {"w": [0.75, 1.25, 1], "m": [-0.25, -1.25, -0.5]},
    ),
    ("adagrad", [[1], [4], [6], 0.5, 3], {"w": [1 - 0.5 * 4 / 5], "s": [22]}),
    # m = 1, v = 1, the bias-corrected square root is 2
    (
        "nadam",
        [[1], [2], [0], [0], 0.5, 0.25, 0.5, 0.25, 0.25, 0.5],
        {"w": [1 - 1 / 2.5], "m": [1], "v": [1]},
    ),
    ("dropout", [[1, 2, 3], [0.1, 0.75, 0.9], 0.75], [0, 8, 12]),
    ("dropout", [[1, 2], [0.1, 0.9], 1], [0, 0]),
    ("dropout", [[1, 2], [0, 0.9], 0], [1, 2]),
    ("batch_statistics", [[[0, 1], [2, 1], [4, 1]]], [[2, 1], [8 / 3, 0]]),
    # the standard deviation is 2
    ("batch_normalization", [[[0], [2]], [1], [3], [6], [10], 1], [[7], [13]]),
    ("batch_normalization", [[[0], [2]], [1], [3], None, None, 1], [[-0.5], [0.5]]),
    # 2 * (d_y - 1/4 + x_hat / 4), x_hat = -1, -1, 1, 1
    (
        "batch_normalization_backward",
        [[[1], [0], [0], [0]], [[0], [0], [2], [2]], [1], [1], [2], 0, NEW, NEW],
        {"result": [[1], [-1], [0], [0]], "d_gamma": [-1], "d_beta": [1]},
    ),
    (
        "batch_normalization_backward",
        [[[1], [0], [0], [0]], [[0], [0], [2], [2]], [1], [1], None, 0, None, None],
        [[0.5], [-0.5], [0], [0]],
    ),
    ("bias_relu", [[[-3, 2]], [1, 1]], {"z": [[0, 3]]}),
    (
        "bias_relu_backward",
        [[[1, 2], [3, 4]], [[1, 0], [2, 7]], NEW],
        {"d_y": [[1, 0], [3, 4]], "d_bias": [4, 4]},
    ),
    ("sparse_matches", [[0, 1, 2], [[0.5, 0.5, 0], [0.9, 0.1, 0], [0, 1, 3]]], 2),
    # The rows (0, 5, 0) and (7, 0, 8).
    ("row_starts", [[[0, 5, 0], [7, 0, 8]], NEW], {"result": [0, 1, 3], "out": [0, 1, 3]}),
    (
        "compress_rows",
        [[[0, 5, 0], [7, 0, 8]], [0, 1, 3], NEW, NEW],
        {"indices": [1, 0, 2], "values": [5, 7, 8]},
    ),
    (
        "expand_rows",
        [[0, 1, 3], [1, 0, 2], [5, 7, 8], [1, 0, 1], 3],
        [[7, 0, 8], [0, 5, 0], [7, 0, 8]],
    ),
    ("adam_step_size", [1, 0.5, 0.75, 1, np.float64], 1),  # sqrt(1/4) / (1/2)
    ("adam_step_size", [2, 0.5, 0.75, 2, np.float64], 2 * np.sqrt(7 / 16) / (3 / 4)),
    ("blocks", [8193], [slice(0, 8192), slice(8192, 8193)]),
    ("blocks", [0], []),
]
PUBLIC = {
    name
    for name, value in vars(functional).items()
    if inspect.isfunction(value)
    and value.__module__ != functional.training_step.__module__  # see test_dense_network
    and name[0] != "_"
}
ROWS = [pytest.param(*row, id=row[0]) for row in CASES]
# An optional `out` is the last argument.
WITH_OUT = [
    row
    for row in ROWS
    if "out" in [*inspect.signature(getattr(functional, str(row.values[0]))).parameters][-1:]
    and not isinstance(row.values[2], dict)
]
WHOLE = {"labels", "indptr", "indices", "rows"}


def test_every_function_has_a_case() -> None:
    assert {name for name, *_ in CASES} == PUBLIC


def bind(name: str, arguments: list[Any], expected: Any, dtype: Any) -> dict[str, Any]:
    """Convert the arguments of a case to arrays."""
    parameters = inspect.signature(getattr(functional, name)).parameters
    bound = dict(zip(parameters, arguments, strict=False))
    for key, value in bound.items():
        if value is NEW:
            whole = key in WHOLE or name == "row_starts"
            bound[key] = np.full(np.shape(expected[key]), 99 if whole else np.nan)
            bound[key] = bound[key].astype(np.int64 if whole else dtype)
        elif key in WHOLE and value is not None:
            bound[key] = np.array(value)
        elif isinstance(value, list):
            bound[key] = np.array(value, dtype)
    return bound


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("name", "arguments", "expected"), ROWS)
def test_function_values(name: str, arguments: list[Any], expected: Any, dtype: Any) -> None:
    bound = bind(name, arguments, expected, dtype)
    before = {k: v.copy() for k, v in bound.items() if isinstance(v, np.ndarray)}
    result = getattr(functional, name)(**bound)
    if name == "blocks":
        assert list(result) == expected
        return
    written = expected if isinstance(expected, dict) else {}
    several = isinstance(expected, tuple)
    found = {**bound, **(dict(enumerate(result)) if several else {"result": result})}
    outcomes = dict(enumerate(expected)) if several else written or {"result": expected}
    for key, value in outcomes.items():
        array = np.asarray(found[key])
        if name not in ("adam_step_size", "row_starts", "sparse_matches") and key not in WHOLE:
            assert array.dtype == dtype
        # The results are functions of sums of at most four numbers below 100, and have a few
        # rounding errors.
        np.testing.assert_allclose(array, value, rtol=8 * np.finfo(dtype).eps, atol=1e-38)
    for key, value in before.items():
        if key not in written:
            np.testing.assert_array_equal(bound[key], value, err_msg=f"{key} was changed")


@pytest.mark.parametrize(("name", "arguments", "expected"), WITH_OUT)
def test_results_are_written_to_out(name: str, arguments: list[Any], expected: Any) -> None:
    function = getattr(functional, name)
    bound = bind(name, arguments, expected, np.float64)
    out = np.full(np.shape(expected), np.nan)
    assert function(**bound, out=out) is out
    np.testing.assert_array_equal(out, function(**bound))
    first = next(iter(bound.values()))
    if f"may be `{next(iter(bound))}`" in function.__doc__:
        plain = function(**bound)
        np.testing.assert_array_equal(function(**bound, out=first), plain)


def test_adam_step_size_uses_float32() -> None:
    # In double precision, the power of beta_2 would change the last digit.
    f = np.float32
    expected = f(0.001) * np.sqrt(f(1) - f(0.999) ** f(3)) / (f(1) - f(0.9) ** f(3))
    assert functional.adam_step_size(0.001, 0.9, 0.999, 3) == expected
    assert functional.adam_step_size(0.001, 0.9, 0.999, 3) != f(
        functional.adam_step_size(0.001, 0.9, 0.999, 3, np.float64)
    )


def test_adam_step_is_identical_across_blocks() -> None:
    n = 2 * 8192 + 5
    w, m, v = np.zeros(n), np.zeros(n), np.zeros(n)
    functional.adam(w, np.full(n, 2.0), m, v, 0.1, 0.5, 0.25, 0.25)
    assert set(w) == {w[0]}
    assert w[0] == pytest.approx(-0.08)


def test_clipping_bounds_round_to_dtype() -> None:
    # In float32, 1 - 1e-7 rounds to 1 - 1.19e-7, which is less than 1.
    assert functional.clip(np.float32([0, 1]), 1e-7).tolist() == [
        float(np.float32(1e-7)),
        1 - 2**-23,
    ]


# Formulas that lose no digits to cancellation for x < 0, or for |x| close to 0.
EXACT: dict[str, Any] = {
    "sigmoid": lambda x: np.exp(-np.logaddexp(0, -x)),
    "silu": lambda x: x * np.exp(-np.logaddexp(0, -x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "exponential": np.exp,
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-13)])
@pytest.mark.parametrize("name", EXACT)
def test_small_results_are_exact(name: str, dtype: str, tolerance: float, backend: str) -> None:
    x = np.geomspace(1e-4, 80, 500)
    x = np.concatenate([-x, x]).astype(dtype)[:, None]
    function = getattr(tinynet.ops if name == "log_sigmoid" else tinynet.activations, name)
    inputs = tinynet.Input((1,), dtype=dtype)
    y = tinynet.Model(inputs, function(inputs)).predict(x, verbose=0)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, EXACT[name](x.astype(float)), rtol=tolerance, atol=1e-37)


def test_gradients_of_confident_predictions_are_exact(backend: str) -> None:
    """The derivative is -sigmoid(-logit) for label 1, and sigmoid(logit) for label 0."""
    sizes = np.geomspace(1, 60, 50, dtype=np.float32)
    labels = np.repeat(np.float32([1, 0]), 50)[:, None]
    logits = tinynet.Variable(np.concatenate([sizes, -sizes])[:, None])
    loss = tinynet.losses.BinaryCrossentropy(from_logits=True, reduction="sum")
    with tinynet.GradientTape() as tape:
        value = loss(labels, logits)
    expected = EXACT["sigmoid"](-sizes.astype(float))
    found = tape.gradient(value, logits)[:, 0]
    np.testing.assert_allclose(found, [*-expected, *expected], rtol=2e-6)
