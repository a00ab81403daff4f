"""What must hold for any numbers, any shapes and any seed, searched for counterexamples.

The kernels are compared with their references over `dispatch.PAIRS`: a new pair needs a line in
`ARGUMENTS`, which says what arrays it takes.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import tinynet
from tinynet import Sequential, activations, config, functional, layers, losses, sparse
from tinynet.program import dispatch

FLOATS = [np.float32, np.float64]
# The corners of float32: NaN, infinities, both zeros, denormals, and numbers whose sums and
# products of a few are still finite, so that the order of a sum does not decide what overflows.
CORNERS = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-40, 1.2e-38, 1e15, -1e15, 1.0]
FINITE = st.floats(-(2.0**50), 2.0**50, width=32)
ANY = st.sampled_from(CORNERS) | FINITE
PIXEL = st.sampled_from([0.0, 0.0, 0.0, -0.0]) | ANY
LENGTH = st.integers(0, 5)
MODERATE = st.floats(-2, 2, width=16)
UNITS = st.sampled_from([1, 2, 3, 9, 17, 64, 128])  # 16, 64 and 128 are summed in registers
ROWS, INNER = st.integers(0, 11), st.sampled_from([0, 1, 3, 40, 300])  # and cut at 6, 8 and 256
# CI draws more of them.
EXAMPLES = int(os.environ.get("TINYNET_TEST_EXAMPLES", "20"))
quick = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def array(draw: Any, shape: Any, elements: Any = ANY, dtype: Any = np.float32) -> np.ndarray:
    # A few distinct values, laid out by seed: hypothesis is slow at drawing each.
    few = np.array(draw(st.lists(elements, min_size=1, max_size=12)), dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return few[rng.integers(0, len(few), shape)]


def bias_relu(draw: Any, dtype: Any) -> list[Any]:
    n, u = draw(LENGTH), draw(UNITS)
    return [array(draw, (n, u), dtype=dtype), array(draw, u, dtype=dtype)]


def bias_relu_backward(draw: Any, dtype: Any) -> list[Any]:
    n, u = draw(LENGTH), draw(UNITS)
    y = array(draw, (n, u), st.sampled_from([0.0, 1.0, 1e-45, np.nan, np.inf]), dtype)
    return [array(draw, (n, u), dtype=dtype), y, np.full(u, np.nan, dtype)]


def softmax_crossentropy_step(draw: Any, dtype: Any) -> list[Any]:
    n, c = draw(LENGTH), draw(st.integers(1, 3))
    labels = array(draw, n, st.integers(0, c - 1), np.int64)
    rows = [np.full((n, c), np.nan, dtype) for _ in range(2)]
    corners = st.sampled_from([-np.inf, -np.inf, -np.inf, -0.0, 88.0, 1e4, np.nan, np.inf])
    logits = st.floats(-50, 50, width=32) | corners
    d_values = array(draw, n, st.floats(-2, 2, width=32), dtype)
    return [labels, array(draw, (n, c), logits, dtype), d_values, *rows, np.full(n, np.nan, dtype)]


def sparse_matches(draw: Any, dtype: Any) -> list[Any]:
    n, c = draw(LENGTH), draw(st.integers(1, 6))
    return [array(draw, n, st.integers(0, c - 1), np.int64), array(draw, (n, c), dtype=dtype)]


def adam(draw: Any, dtype: Any) -> list[Any]:
    n = draw(st.sampled_from([0, 1, 7, 8193]))
    w, d_w, m = (array(draw, n, dtype=dtype) for _ in range(3))
    v = array(
        draw, n, st.sampled_from([0.0, 1e-45, 1e-31, np.nan, np.inf]) | FINITE.map(abs), dtype
    )
    largest = draw(st.booleans())
    rates = [draw(st.sampled_from([0.0, 1e-3, 1.0])), 0.1, 0.001]
    return [w, d_w, m, v, *rates, draw(st.sampled_from([0.0, 1e-7])), v[::-1].copy() * largest]


def images(draw: Any, dtype: Any) -> np.ndarray:
    kind = draw(st.sampled_from([np.uint8, dtype]))
    elements = st.sampled_from([0, 0, 0, 1, 255]) if kind == np.uint8 else PIXEL
    width = draw(st.integers(1, 9) | st.sampled_from([16, 17, 35]))  # 16 are looked at in one go
    return array(draw, (draw(LENGTH), width), elements, kind)


def rows_of(draw: Any, dtype: Any) -> tuple[np.ndarray, list[Any]]:
    """Return images as compressed rows, and which of them are in the batch."""
    x = images(draw, dtype)
    indptr = functional.row_starts(x, np.empty(len(x) + 1, np.int64))
    indices = np.zeros(int(indptr[-1]) + 1, draw(st.sampled_from([np.uint16, np.int32])))
    values = np.zeros(int(indptr[-1]) + 1, dtype)
    functional.compress_rows(x, indptr, indices, values)
    some = st.integers(0, max(len(x) - 1, 0))
    rows = array(draw, draw(LENGTH) if len(x) else 0, some, np.int64)
    return x, [indptr, indices, values, rows]


def row_starts(draw: Any, dtype: Any) -> list[Any]:
    x = images(draw, dtype)
    return [x, np.empty(len(x) + 1, np.int64)]


def compress_rows(draw: Any, dtype: Any) -> list[Any]:
    x, (indptr, indices, values, _) = rows_of(draw, dtype)
    return [x, indptr, np.zeros_like(indices), np.zeros_like(values)]


def sparse_dense(draw: Any, dtype: Any) -> list[Any]:
    x, compressed = rows_of(draw, dtype)
    u = draw(UNITS)
    # The reference multiplies zeros too, so weights are finite: 0 * inf is not a number.
    kernel, bias = (array(draw, s, FINITE, dtype) for s in ((x.shape[1], u), (u,)))
    return [*compressed, kernel, bias, np.full((len(compressed[3]), u), np.nan, dtype)]


def sort_by_column(draw: Any, dtype: Any) -> list[Any]:
    x, compressed = rows_of(draw, dtype)
    size, n = draw(st.integers(1, 3)), len(compressed[3])
    chunks, room = -(-n // size), size * x.shape[1]
    counts = np.zeros((chunks, x.shape[1]), np.int32)
    samples, entries = np.zeros((chunks, room), np.int32), np.zeros((chunks, room), dtype)
    return [*compressed, counts, samples, entries]


def sparse_kernel_gradient(draw: Any, dtype: Any) -> list[Any]:
    *compressed, counts, samples, entries = sort_by_column(draw, dtype)
    functional.sort_by_column(*compressed, counts, samples, entries)
    u = draw(UNITS)
    out = np.zeros((counts.shape[1], u), dtype)
    if len(counts):  # of no example at all, nothing is written
        out.fill(np.nan)
    return [counts, samples, entries, array(draw, (len(compressed[3]), u), dtype=dtype), out]


def dense(draw: Any, dtype: Any) -> list[Any]:
    n, d, u = draw(ROWS), draw(INNER), draw(UNITS)
    x, kernel = array(draw, (n, d), FINITE, dtype), array(draw, (d, u), FINITE, dtype)
    bias = array(draw, u, dtype=dtype) if draw(st.booleans()) else None
    return [x, kernel, bias, np.full((n, u), np.nan, dtype)]


def dense_gradients(draw: Any, dtype: Any) -> list[Any]:
    n, d, u = draw(ROWS), draw(INNER), draw(UNITS)
    d_bias = np.full(u, np.nan, dtype) if draw(st.booleans()) else None
    arrays_ = [array(draw, (n, width), FINITE, dtype) for width in (d, u)]
    return [*arrays_, np.full((d, u), np.nan, dtype), d_bias]


def dense_backward(draw: Any, dtype: Any) -> list[Any]:
    d_y, kernel, _, out = dense(draw, dtype)
    return [d_y, np.ascontiguousarray(kernel.T), out]


def train_steps(draw: Any, dtype: Any) -> list[Any]:
    """Make steps of a small net, on inputs of moderate size, with a large epsilon.

    With Adam's usual one, rounding would decide about the sign of a whole step.
    """
    if draw(st.booleans()):
        x, inputs = rows_of(draw, dtype)
        inputs[2][:] = np.where(np.isfinite(inputs[2]), np.clip(inputs[2], -2, 2), 1)
        d, n = x.shape[1], len(inputs[3])
    else:
        n, d, many = draw(ROWS), draw(st.integers(1, 9)), draw(st.integers(1, 40))
        x, rows = array(draw, (many, d), MODERATE, dtype), st.integers(0, many - 1)
        inputs = [None, None, x, array(draw, n, rows, np.int64)]
    size, width = draw(st.integers(1, 7)), max(d, 1)
    sizes = np.array([d, *draw(st.lists(UNITS, max_size=2)), draw(st.integers(1, 20))])
    count = int(sum((a + 1) * b for a, b in itertools.pairwise(sizes)))
    steps, units = -(-n // size), int(sizes[1:].sum())
    # No two alike, so that no sum is 0 but for its rounding, which would decide about a relu.
    weights = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal(count)
    state = (weights.astype(dtype), *(np.zeros(count, dtype) for _ in range(3)))
    labels = array(draw, n, st.integers(0, int(sizes[-1]) - 1), np.int64)
    rectifies = array(draw, len(sizes) - 1, st.booleans(), bool)
    rectifies[-1] = False
    rates = array(draw, steps, st.sampled_from([0.0, 0.1]), np.float32)
    tables = [np.zeros((1, width), np.int32), np.zeros((1, width * 8), np.int32)]
    tables = [*tables, np.zeros((1, width * 8), dtype)]
    room = [np.zeros(size * units, dtype) for _ in range(2)]
    room = [*room, np.zeros((size, sizes[-1]), dtype), *(np.zeros(size, dtype) for _ in range(2))]
    room = [*room, np.zeros((size, d), dtype)]
    net = [sizes, rectifies, draw(st.booleans()), state]
    constants = (0.9, 0.999, 1.0)
    results = [np.zeros(steps), np.zeros(steps, np.int64)]
    return [*inputs, labels, size, *net, rates, 3, constants, True, *results, (*room, *tables)]


ARGUMENTS: dict[str, Callable[[Any, Any], list[Any]]] = {
    function.__name__: function
    for function in (
        *(
            adam,
            bias_relu,
            bias_relu_backward,
            compress_rows,
            row_starts,
            softmax_crossentropy_step,
        ),
        *(sort_by_column, sparse_dense, sparse_kernel_gradient, sparse_matches),
        *(dense, dense_gradients, dense_backward, train_steps),
    )
}
# Sums, and functions that the two compute in their own ways, may round differently; what else
# there is must be the same to the bit, but for the sign of 0 and the bits of NaN.
ROUNDS = {
    "bias_relu_backward": ["d_bias"],
    "dense": ["out"],
    "dense_backward": ["out"],
    "dense_gradients": ["d_kernel", "d_bias"],
    "train_steps": ["state", "losses"],
    "softmax_crossentropy_step": ["probabilities", "d_logits", "values"],
    "sparse_dense": ["out"],
    "sparse_kernel_gradient": ["out"],
}


def terms(name: str, parameter: str, a: dict[str, Any]) -> Any:
    """Return how large the terms of each sum are together: what its rounding is in terms of."""
    with np.errstate(all="ignore"):
        finite = {
            key: np.where(np.isfinite(v), np.abs(v), 0).astype(np.float64)
            for key, v in a.items()
            if isinstance(v, np.ndarray)
        }
    if name == "bias_relu_backward":
        return finite["d_y"].sum(axis=0)
    if name == "dense":
        # Of long sums, which are rounded as often as they have terms.
        length = 1 + finite["x"].shape[1] / 16
        return (finite["x"] @ finite["kernel"] + finite.get("bias", 0)) * length
    if name == "dense_backward":
        return finite["d_y"] @ finite["kernel"].T * (1 + finite["d_y"].shape[1] / 16)
    if name == "dense_gradients":
        sums = finite["x"].T @ finite["d_y"], finite["d_y"].sum(axis=0)
        return sums[parameter == "d_bias"]
    if name == "train_steps":
        return 1000  # of numbers about 1, through three layers and back
    if name == "softmax_crossentropy_step":
        # The scores' own rounding moves each of these by as much.
        return 2 * (1 + finite["logits"].max(initial=0))
    if name == "sparse_dense":
        x = functional.expand_rows(
            a["indptr"], a["indices"], finite["values"], a["rows"], len(a["kernel"])
        )
        return x @ finite["kernel"] + finite["bias"]
    out = np.zeros_like(finite["out"])
    functional.sparse_kernel_gradient(
        a["counts"], a["samples"], finite["entries"], finite["d_y"], out
    )
    return out


def test_every_pair_has_arguments() -> None:
    assert set(ARGUMENTS) == set(dispatch.PAIRS)


@pytest.mark.each_value
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of what overflows and of NaN
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_kernels_compute_what_numpy_does(name: str, dtype: Any) -> None:
    reference, kernel = dispatch.PAIRS[name]
    parameters = [*inspect.signature(reference).parameters]

    @quick
    @given(st.data())
    def check(data: Any) -> None:
        arguments = ARGUMENTS[name](data.draw, dtype)
        given_ = dict(zip(parameters, arguments, strict=False))
        wanted, found = copy.deepcopy(arguments), copy.deepcopy(arguments)
        results = reference(*wanted), kernel(*found)
        if results[1] is not None:  # else it is one of the arguments, compared below
            np.testing.assert_equal(results[1], results[0])
        for parameter, wanted_here, found_here in zip(parameters, wanted, found, strict=False):
            if parameter == "buffers":
                continue
            if parameter == "state":  # of which the second is only room to compute in
                wanted_here, found_here = (
                    state[:1] + state[2:] for state in (wanted_here, found_here)
                )
            if not isinstance(wanted_here, tuple):
                wanted_here, found_here = (wanted_here,), (found_here,)
            for a, b in zip(wanted_here, found_here, strict=True):
                if not isinstance(a, np.ndarray):
                    continue
                if name == "compress_rows" and parameter in ("indices", "values"):
                    a, b = a[:-1], b[:-1]  # the last one is room to write to
                if parameter in ROUNDS.get(name, []):
                    room = 16 * np.finfo(dtype).eps * terms(name, parameter, given_) + 1e-37
                    np.testing.assert_array_equal(np.isnan(b), np.isnan(a))
                    with np.errstate(invalid="ignore"):
                        same = (a == b) | np.isnan(a) | (np.abs(a - b) <= room)
                    assert same.all(), (parameter, a, b)
                else:
                    if name == "adam":  # its kernel takes results that are denormal for 0
                        least = np.finfo(dtype).smallest_normal
                        a, b = (np.where(np.abs(x) < least, 0, x) for x in (a, b))
                    np.testing.assert_array_equal(b, a, err_msg=parameter)

    check()


# ------------------------------------------------------------ softmax


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_softmax_rows_sum_to_one_and_do_not_mind_a_shift(backend: str) -> None:
    before = config.backend()
    config.set_backend(backend)
    try:
        _softmax()
    finally:
        config.set_backend(before)


@quick
@given(
    st.data(), st.integers(1, 5), st.integers(1, 40), st.sampled_from(FLOATS), st.floats(-1e3, 1e3)
)
def _softmax(data: Any, n: int, c: int, dtype: Any, shift: float) -> None:
    x = array(data.draw, (n, c), st.floats(-1e3, 1e3, width=32), dtype)
    eps = np.finfo(dtype).eps
    y = activations.softmax.forward(x)
    assert (y >= 0).all()
    # Each quotient is off by a rounding or two, and so is their sum, for each term.
    np.testing.assert_allclose(y.sum(axis=-1, dtype=np.float64), 1, rtol=4 * eps * np.sqrt(c))
    moved = x + dtype(shift)
    # The shift itself rounds each score by half an eps of it, which moves y by as much of y.
    room = 2 * eps * (np.abs(x).max() + abs(shift) + 4)
    np.testing.assert_allclose(activations.softmax.forward(moved), y, rtol=room, atol=1e-37)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none", dtype=dtype)
    labels = np.zeros(n, int)
    np.testing.assert_allclose(
        loss(labels, moved), loss(labels, x), rtol=8 * eps, atol=room + 8 * eps
    )


# ------------------------------------------------------------ batches


@quick
@given(
    st.integers(1, 70),
    st.integers(1, 80),
    st.booleans(),
    st.sampled_from(["sparse_categorical_crossentropy", "mse"]),
    st.integers(0, 2**32 - 1),
)
@example(1, 1, True, "mse", 0)
@example(64, 32, False, "mse", 0)
def test_evaluate_and_predict_do_not_depend_on_the_batch_size(
    n: int, size: int, weighted: bool, loss: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    y = rng.integers(0, 4, n)
    model = Sequential([layers.Dense(5, activation="tanh"), layers.Dense(4, activation="softmax")])
    model.compile("adam", loss, metrics=["accuracy"])
    true = np.eye(4)[y] if loss == "mse" else y
    weights = rng.random(n) if weighted else None
    one = model.evaluate(x, true, batch_size=n, sample_weight=weights, verbose=0)
    other = model.evaluate(x, true, batch_size=size, sample_weight=weights, verbose=0)
    # Float32 losses of examples that are computed alike but for the order of sums of 6 terms.
    assert other == pytest.approx(one, rel=1e-5)
    a = model.predict(x, batch_size=n, verbose=0)
    b = model.predict(x, batch_size=size, verbose=0)
    np.testing.assert_allclose(b, a, rtol=1e-5)


# ------------------------------------------------------------ any seed


def test_compressed_rows_train_as_dense_ones_do(any_seed: int) -> None:
    rng = np.random.default_rng(any_seed)
    x = rng.integers(0, 256, (96, 40)).astype(np.float32) / 255
    x[rng.random(x.shape) < 0.85] = 0
    y = rng.integers(0, 3, 96)
    weights = []
    before = config.backend()
    try:
        for backend in ("numpy", "numba"):
            config.set_backend(backend)
            tinynet.random.set_seed(any_seed)
            model = Sequential([layers.Dense(7, activation="tanh"), layers.Dense(3, "softmax")])
            model.compile(tinynet.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
            model.fit(x, y, epochs=2, batch_size=16, verbose=0)
            weights.append(model.get_weights())
    finally:
        config.set_backend(before)
    # 12 steps, each of sums of at most 40 terms below 1: 2 * eps * sqrt(40) * 40 * 0.1 a step.
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=12 * 6e-6)


def test_the_same_seed_gives_the_same_bits(any_seed: int) -> None:
    rng = np.random.default_rng(any_seed)
    x, y = rng.random((50, 8)), rng.integers(0, 3, 50)
    found = []
    for _ in range(2):
        tinynet.random.set_seed(any_seed)
        model = Sequential(
            [layers.Dense(7, activation="relu"), layers.Dropout(0.5), layers.Dense(3, "softmax")]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        history = model.fit(x, y, epochs=3, verbose=0).history
        found.append(([w.tobytes() for w in model.get_weights()], history))
    assert found[0] == found[1]


def test_a_gradient_check_at_any_seed(any_seed: int) -> None:
    rng = np.random.default_rng(any_seed)
    tinynet.random.set_seed(any_seed)
    model = Sequential(
        [
            layers.Dense(5, activation="tanh", dtype="float64"),
            layers.Dense(3, activation="softmax", dtype="float64"),
        ]
    )
    model.dtype = "float64"
    model.compile(
        tinynet.optimizers.SGD(0.0), losses.SparseCategoricalCrossentropy(dtype="float64")
    )
    x, y = rng.standard_normal((6, 4)), rng.integers(0, 3, 6)
    before = model.predict(x, verbose=0)
    assert before.dtype == np.float64

    def loss() -> float:
        p = model.predict(x, verbose=0)
        return float(-np.log(p[np.arange(6), y]).mean())

    model.compile(
        tinynet.optimizers.SGD(1.0), losses.SparseCategoricalCrossentropy(dtype="float64")
    )
    start = model.get_weights()
    model.train_on_batch(x, y)
    gradients = [a - b for a, b in zip(start, model.get_weights(), strict=True)]
    model.set_weights(start)
    for variable, gradient in zip(model.weights, gradients, strict=True):
        way = rng.standard_normal(gradient.shape)
        values = []
        for step in (1e-5, -1e-5):
            variable.array += step * way
            values.append(loss())
            variable.array -= step * way
        slope = (values[0] - values[1]) / 2e-5
        # Central differences: h^2 of third derivatives below 100, and rounding of eps / h.
        assert slope == pytest.approx(float(np.sum(gradient * way)), abs=1e-7)


def test_compressing_and_expanding_is_identity() -> None:
    @quick
    @given(st.data(), st.sampled_from([np.uint8, np.float32, np.float64]))
    def check(data: Any, kind: Any) -> None:
        elements = st.sampled_from([0, 0, 1, 255]) if kind == np.uint8 else PIXEL
        x = array(
            data.draw, (data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))), elements, kind
        )
        rows = sparse.CompressedRows(x, "float64")
        every = np.arange(len(x))
        back = functional.expand_rows(rows.indptr, rows.indices, rows.values, every, rows.width)
        np.testing.assert_array_equal(back, x)

    check()


def test_arrays_of_any_layout_are_read_alike() -> None:
    model = Sequential([layers.Dense(3, activation="softmax")])

    @quick
    @given(arrays.arrays(np.float32, (4, 6), elements=st.floats(-9, 9, width=32)), st.data())
    def check(x: np.ndarray, data: Any) -> None:
        wide = np.zeros((8, 12), np.float32)
        view = wide[:: data.draw(st.sampled_from([2, -2])), :: data.draw(st.sampled_from([2, -2]))]
        view[...] = x
        for form in (view, np.asfortranarray(x), x.astype(">f8"), x.tolist()):
            kept = np.array(form)
            np.testing.assert_array_equal(
                model.predict(form, verbose=0), model.predict(x, verbose=0)
            )
            np.testing.assert_array_equal(kept, form)

    check()
