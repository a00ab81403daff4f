"""Lowering of functions to formulas and kernel calls: tracing, errors, grouping and fusion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tests.internals import on_both, printed, train_rows
from tests.models import bits
from tinynet import Sequential, config, functional, layers, optimizers, random, regularizers
from tinynet.kernels import chain
from tinynet.program import fusion_rules, lowering, machine
from tinynet.program.formula import (
    BATCH,
    SCALAR,
    Node,
    Space,
    Traced,
    Untraceable,
    placement,
    space_of,
)
from tinynet.program.lowering import Lowering, Register
from tinynet.program.machine import Machine
from tinynet.program.variable import Variable

Array = np.ndarray[Any, Any]
# NaN, infinities, signed zeros, denormals, and numbers with finite products.
CORNERS = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-40, 1.2e-38, 1e15, -1e15, 1.0, -0.75, 3.5],
    np.float32,
)
SHAPES = [(1, 1), (0, 3), (1, 16), (5, 10), (3, 17), (37, 33), (4, 3, 5)]


def corners(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).choice(CORNERS, shape)


def traced(*shape: int) -> Traced:
    """Return an array without values, for tracing."""
    return Traced.of(Node("leaf", [], space_of(shape), source=Register(space_of(shape))), shape)


def compute(function: Callable[..., Any], *arrays: Array) -> Any:
    """Lower a function to a formula and evaluate it on batches."""
    low, n = Lowering(), len(arrays[0])
    shapes = [(BATCH, *a.shape[1:]) for a in arrays]
    registers = [
        Register(space_of(shape), itemsize=a.dtype.itemsize)
        for shape, a in zip(shapes, arrays, strict=True)
    ]
    given = map(low.leaf, registers, shapes, (a.dtype for a in arrays))
    result = low.add(function(*given))
    fusion_rules.drop_unused(low.groups, {result.node})
    own = Machine(low, {"result": result.node})
    own.build(max(n, 1), 1)
    for register, array in zip(registers, arrays, strict=True):
        if register in own._registers:
            own._registers[register].view(array.dtype)[: array.size] = array.ravel()
    execute(own, n)
    shape = tuple(None if size == BATCH else size for size in result.shape)
    return own.value("result", shape, n)


def execute(own: Machine, n: int) -> None:
    own.set("batch", max(n, 1))
    own.set("examples", n)
    own.run(1, lambda table, steps: table.run(steps))


# ------------------------------------------------------------ tracing


def clipped(x: Any, y: Any) -> Any:
    z = np.clip(x, -1, 2)
    z *= y
    z[...] = z + 1
    return z


def masked(x: Any, y: Any) -> Any:
    z = x.copy()
    z[y > 0] = 0.5
    return z


# Each operation rounds once, as in NumPy: results are bit-identical, except for NaN.
EXACT: dict[str, Callable[[Any, Any], Any]] = {
    "arithmetic": lambda x, y: (x + y) * x - y / (x * x + 1),
    "unary": lambda x, y: -np.abs(x) + np.sqrt(np.abs(y)) + np.sign(x),
    "powers": lambda x, y: x**2 + y**-1 + np.abs(x) ** 0.5,
    "rounding": lambda x, y: np.floor(x) + y,
    "extrema": lambda x, y: np.maximum(x, y) - np.minimum(x, 0.25),
    "comparisons": lambda x, y: np.where((x > y) | (x <= -1) & ~(y == 0), x, y * 2),
    "not a number": lambda x, y: np.where(np.isnan(x), 1, 2) + np.where(np.isfinite(y), 3, 4),
    "masks as numbers": lambda x, y: (x >= y).astype(np.float32) * 2 - (x != y),
    "in place": clipped,
    "a mask": masked,
    "reshape": lambda x, y: x.reshape(-1, x.shape[-1]).reshape(x.shape) + y,
    "full_like": lambda x, y: np.ones_like(x) * 3 - np.zeros_like(y) + np.full_like(x, 2),
    "row extrema": lambda x, y: x - np.max(y, axis=-1, keepdims=True) + x.min(-1)[..., None],
    "arrays": lambda x, y: x * np.arange(x.shape[-1], dtype=np.float32) + y,
    "relu": lambda x, y: functional.relu(x),
    "relu backward": lambda x, y: functional.relu_backward(x, y, y),
    "rectifier": lambda x, y: functional.rectifier(x, 0.5, 6.0, 1.0),
    "rectifier backward": lambda x, y: functional.rectifier_backward(x, y, 0.5, 6.0, 1.0),
    "softsign": lambda x, y: functional.elementwise("softsign", x),
    "hard_silu": lambda x, y: functional.elementwise("hard_silu", x),
    "hard_silu backward": lambda x, y: functional.elementwise_backward("hard_silu", x, y, y),
    "dropout": lambda x, y: functional.dropout(x, y, 0.5),
}


@pytest.mark.parametrize(("positive", "other"), [(0.0, -0.0), (-0.0, 0.0)])
def test_both_zeros_in_one_formula(positive: float, other: float) -> None:
    x = np.array([[1.0, -1.0, 2.0]], np.float32)
    found = compute(lambda x: np.where(x > 0, positive, other), x)
    np.testing.assert_array_equal(np.signbit(found), np.signbit([[positive, other, positive]]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", EXACT)
def test_formulas_are_bit_identical_to_numpy(name: str, shape: tuple[int, ...]) -> None:
    x, y = corners(*shape), corners(*shape, seed=1)
    if shape[-1] == 1 and name == "row extrema":
        pytest.skip("requires rows with several values")
    wanted = np.asarray(EXACT[name](x.copy(), y.copy()), np.float32)
    np.testing.assert_array_equal(compute(EXACT[name], x, y), wanted)


# Sums in a different order, and elementary functions.
ROUNDED: dict[str, Callable[[Any, Any], Any]] = {
    "sum over rows": lambda x, y: np.sum(x * y, axis=-1),
    "mean over rows": lambda x, y: x - np.mean(x, axis=-1, keepdims=True),
    "variance": lambda x, y: np.var(x, axis=-1),
    "sum over the batch": lambda x, y: np.sum(x, axis=tuple(range(x.ndim - 1))),
    "mean over the batch": lambda x, y: x - np.mean(x, axis=tuple(range(x.ndim - 1))),
    "sum over all": lambda x, y: np.sum(x * x),
    "mean over all": lambda x, y: np.mean(y + 2),
    "softmax": lambda x, y: functional.softmax(x),
    "softmax backward": lambda x, y: functional.softmax_backward(y, x, functional.softmax(x)),
    "log_softmax": lambda x, y: functional.log_softmax(x),
    "sigmoid": lambda x, y: functional.sigmoid(x),
    "elu": lambda x, y: functional.elementwise("elu", x, (0.5,)),
    "gelu": lambda x, y: functional.elementwise("gelu", x),
    "logaddexp": lambda x, y: np.logaddexp(x, y),
    "sinh": lambda x, y: np.sinh(x) + np.cosh(y),
}


@pytest.mark.parametrize("shape", [(1, 2), (5, 10), (3, 17), (37, 33), (4, 3, 5)], ids=str)
@pytest.mark.parametrize("name", ROUNDED)
def test_formulas_match_numpy_rounding(name: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    x, y = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    wanted = np.asarray(ROUNDED[name](x.astype(float), y.astype(float)))
    # A few rounding errors of the largest term of each sum.
    room = 8 * np.finfo(np.float32).eps * max(np.abs(wanted).max(), np.abs(x).max())
    np.testing.assert_allclose(compute(ROUNDED[name], x, y), wanted, rtol=0, atol=room)


def test_conditions_on_all_elements() -> None:
    def either(x: Any) -> Any:
        return np.where(np.all(x > 0), x * 2, np.where(np.any(x > 0), x * 3, x * 5))

    for x in ([[1, 2]], [[1, -2], [3, 4]], [[-1, -2]]):
        array = np.array(x, np.float32)
        np.testing.assert_array_equal(compute(either, array), either(array))


@pytest.mark.parametrize("n", [1, 5, 20])
def test_labels_are_compared_with_columns(n: int) -> None:
    rng = np.random.default_rng(3)
    labels, logits = rng.integers(0, 7, n), rng.standard_normal((n, 7)).astype(np.float32)

    def losses(y: Any, x: Any) -> Any:
        return functional.sparse_softmax_crossentropy(y, x)

    wanted = losses(labels, logits.astype(float))
    np.testing.assert_allclose(compute(losses, labels, logits), wanted, rtol=1e-6, atol=1e-6)
    best = compute(lambda x: x.argmax(axis=-1), logits)
    np.testing.assert_array_equal(best, logits.argmax(axis=-1))


def test_argmax_with_ties_and_nan() -> None:
    rows = [[1, 3, 3], [np.nan, 9, np.nan], [2, np.nan, np.inf], [-np.inf] * 3]
    x = np.array(rows, np.float32)
    np.testing.assert_array_equal(compute(lambda x: x.argmax(axis=-1), x), x.argmax(axis=-1))


# ------------------------------------------------------------ errors


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a condition": (lambda x: x if x.sum() > 0 else -x, "the value of an array is needed"),
    "a number": (lambda x: x * float(x.sum()), "the value of an array is needed"),
    "a conversion": (lambda x: x * np.float32(x.sum()), "the value of an array is needed|sequence"),
    "an item": (lambda x: x.sum().item(), "the value of an array is needed"),
    "a loop": (lambda x: [row for row in x], "the value of an array is needed"),  # noqa: C416
    "division by the batch size": (lambda x: x / len(x), "the batch size"),
    "inverse of the batch size": (lambda x: x * (1 / x.shape[0]), "the batch size"),
    "an element": (lambda x: x[0], r"\[0\]"),
    "a column": (lambda x: x[:, 0], r"0"),
    "a slice": (lambda x: x[:, 1:], "slice"),
    "fancy indexing": (lambda x: x[np.array([0, 1])], r"\["),
    "an index of NumPy": (lambda x: x[np.int64(0)], r"\["),
    "a mask of bool": (lambda x: x[True], r"\["),
    "a write to some rows": (lambda x: x.__setitem__(np.array([0]), 1.0), "= ..."),
    "sorting": (lambda x: np.sort(x), "sort"),
    "a matrix product": (lambda x: np.matmul(x, np.ones((3, 2), np.float32)), "matmul"),
    "a transposed array": (lambda x: np.transpose(x), "transpose"),
    "float64": (lambda x: x.astype(np.float64), "astype"),
    "an operand of float64": (lambda x: x + np.ones(3), "float64"),
    "complex numbers": (lambda x: x * np.ones(3, np.complex64), "complex64"),
    "a cumulative sum": (lambda x: np.cumsum(x, axis=0), "cumsum|accumulate"),
    "an outer product": (lambda x: np.add.outer(x, x), "outer"),
    "where=": (lambda x: np.add(x, 1, where=np.ones(3, bool)), "where="),
    "an unknown ufunc": (lambda x: np.arctan2(x, x), "arctan2"),
    "out= of NumPy": (lambda x: np.add(x, 1, out=np.empty(3, np.float32)), "out="),
    "ddof": (lambda x: np.var(x, axis=-1, ddof=1), "ddof"),
    "a write to a part": (lambda x: x.__setitem__(0, 1.0), "= ..."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_untraceable_functions_raise(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(Untraceable, match=message):
        function(traced(BATCH, 3))


@pytest.mark.parametrize("part", ["forward", "backward"])
@pytest.mark.parametrize("error", [TypeError, ValueError, AttributeError, IndexError])
def test_errors_of_lowering_are_not_hidden(
    part: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Untraceable` selects the fallback to Python; any other error is a bug and must be raised."""

    def mistaken(*_: Any) -> Any:
        raise error("a mistake")

    known = lowering.NAMED["flip"]
    monkeypatch.setitem(lowering.NAMED, "flip", known._replace(**{part: mistaken}))
    flip = layers.Lambda(lambda x: keras.ops.flip(x, axis=-1))
    model = Sequential([layers.Input((3,)), layers.Dense(3), flip])
    model.compile("sgd", "mse")
    with pytest.raises(error, match="a mistake"):
        model.fit(np.ones((4, 3)), np.ones((4, 3)), verbose=0)


def test_custom_gradient_sees_no_traced_arrays() -> None:
    sizes = []

    @keras.ops.custom_gradient
    def doubled(x: Any) -> Any:
        sizes.append(len(x))
        if not np.isfinite(x).all():
            raise RuntimeError("an array without values")
        return 2 * x, lambda upstream: 2 * upstream

    model = Sequential([layers.Input((3,)), layers.Dense(1), layers.Lambda(doubled)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    assert max(sizes) <= 4


@pytest.mark.parametrize(
    ("shape", "space"),
    [
        ((), SCALAR),
        ((5,), Space(False, 1, 5)),
        ((BATCH,), Space(True, 1, 1)),
        ((BATCH, 3, 4, 5), Space(True, 12, 5)),
        ((2 * BATCH, 5), Space(True, 2, 5)),
    ],
)
def test_spaces(shape: tuple[int, ...], space: Space) -> None:
    assert space_of(shape) == space


def test_node_positions_in_space() -> None:
    with pytest.raises(Untraceable, match="batch axis"):
        space_of((3, BATCH))
    row = np.sum(traced(BATCH, 6), axis=-1)
    values = {"full": traced(BATCH, 6), "row": row, "column": traced(6), "scalar": traced()}
    for place, value in values.items():
        assert placement(value.node, Space(True, 1, 6)) == place
    with pytest.raises(Untraceable):
        placement(traced(5).node, Space(True, 1, 6))


# ------------------------------------------------------------ grouping


def operations(low: Lowering) -> list[list[str]]:
    return [[node.operation for node in group.nodes] for group in low.groups]


def test_same_space_nodes_form_one_group() -> None:
    low, (x, y) = Lowering(), (traced(BATCH, 6), traced(BATCH, 6))
    low.add(functional.relu(x * y + 1))
    assert len(low.groups) == 1
    low.add(np.sum(x, axis=-1) * 2)
    assert len(low.groups) == 1, "per-row values are in the group of their rows"
    low.add(traced(BATCH, 7) * 2)
    assert len(low.groups) == 2
    low.add(x - 1)
    assert len(low.groups) == 2, "nodes join an earlier group if their inputs are available there"


def test_single_use_values_join_their_group() -> None:
    low, y = Lowering(), traced(BATCH, 6)
    y = low.add(np.tanh(y))
    d_y = low.call("kernel", {"y": y}, {"out": ((BATCH, 6), None)})[0]
    low.add(d_y * (1 - y * y))
    assert operations(low) == [["tanh"], [], ["multiply", "subtract", "multiply"]]


GROUPED: dict[str, tuple[Callable[[Any], list[Any]], list[list[str]]]] = {
    "sums over the batch end a group": (
        lambda x: [x - np.mean(x, axis=0)],
        [["sum_col"], ["divide"], ["subtract"]],
    ),
    "sums over all elements end a group": (
        lambda x: [np.sum(x * x) * 2],
        [["multiply", "sum_all"], ["multiply"]],
    ),
    "a sum of means of rows is one sum": (
        lambda x: [np.sum(np.mean(x * x, axis=-1))],
        [["multiply", "sum_all"], ["divide"]],
    ),
    "the same node is computed once": (
        lambda x: [np.exp(x) + 1, np.exp(x) * 2],
        [["exp", "add", "multiply"]],
    ),
}


@pytest.mark.parametrize("name", GROUPED)
def test_groups(name: str) -> None:
    low, (function, expected) = Lowering(), GROUPED[name]
    for value in function(traced(BATCH, 6)):
        low.add(value)
    assert operations(low) == expected


def test_unused_nodes_are_dropped() -> None:
    low, x = Lowering(), traced(BATCH, 6)
    kept = low.add(x * 2)
    low.add(np.exp(x))
    fusion_rules.drop_unused(low.groups, {kept.node})
    assert operations(low) == [["multiply"]]
    fusion_rules.drop_unused(low.groups, set())
    assert not low.groups


@pytest.mark.parametrize("shape", SHAPES[3:])
def test_sum_of_means_of_rows(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    expected = np.sum(np.mean(np.square(array, dtype=np.float64), axis=-1))
    found = compute(lambda x: np.sum(np.mean(x * x, axis=-1)), array)
    np.testing.assert_allclose(found, expected, rtol=2e-7)


def test_variable_is_stored_after_last_read() -> None:
    low, variable = Lowering(), Variable(np.zeros(6, np.float32))
    old = low.leaf(variable, (6,))
    x = traced(BATCH, 6)
    low.add(x * old)  # in another space: a separate group
    total = low.add(np.sum(x - old, axis=0))
    low.store(variable, old - total)
    (where,) = (k for k, names in enumerate(operations(low)) if "store" in names)
    reads = [
        k
        for k, group in enumerate(low.groups)
        if any(i.source is variable for n in group.nodes for i in n.inputs if i is old.node)
    ]
    assert max(reads) <= where
    assert where == len(low.groups) - 1
    new = low.leaf(variable, (6,))
    assert new.node is not old.node, "later reads get the new value"
    assert new.node.operation == "subtract"


# ------------------------------------------------------------ fusion


def train(build: Callable[[], Any], x: Any, y: Any, rules: list[str]) -> tuple[list[bytes], Any]:
    """Train with some rules disabled; return everything that training changes, and the rows."""
    config.set_disabled_rules(rules)
    random.set_seed(1)
    model = build()
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    return bits(model), train_rows(model)


def kernels(rows: Any) -> list[str]:
    return [g.call.kernel if g.call is not None else "chain" for g in rows.low.groups]


@pytest.mark.wide
@pytest.mark.parametrize("penalty", [None, "l2", "l1"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
def test_rules_apply_and_are_bit_identical(
    sparse: bool, optimizer: str, penalty: str | None
) -> None:
    def build() -> Any:
        first = layers.Dense(217, "relu", kernel_regularizer=penalty)
        hidden = [first, layers.Dense(9, "tanh", kernel_constraint="max_norm")]
        model = Sequential([*hidden, layers.Dense(3, "softmax", kernel_regularizer="l2")])
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    rng, plain = np.random.default_rng(4), {}
    x, y = rng.random((50, 40)).astype(np.float32), rng.integers(0, 3, 50)
    if sparse:
        x *= rng.random(x.shape) < 0.1
    expected, rows = train(build, x, y, [])
    fused = kernels(rows)
    for rule in config.rules():
        without, rows = train(build, x, y, [rule])
        plain[rule] = kernels(rows)
        assert without == expected, rule
    assert plain["chain"].count("chain") > 2 * fused.count("chain")
    gradient = "kernel_gradient_csr" if sparse else "kernel_gradient"
    assert plain["learn"].count(gradient) > fused.count(gradient)
    assert ("linear_csr" in fused, "linear_csr" in plain["csr"]) == (sparse, False)
    in_registers = sparse and optimizer.startswith("adam") and penalty != "l1"
    assert ("learn_csr_adam" in fused) == in_registers
    assert ("learn_csr" in plain["learn_csr_adam"]) == ("learn_csr" in plain["update"]) == sparse


@pytest.mark.parametrize("twice", [False, True])
def test_relu_gradient_is_fused_into_product(twice: bool) -> None:
    """The relu gradient is not fused if its upstream gradient is the sum of two gradients."""

    def build() -> Any:
        x = layers.Input((5,))
        hidden = layers.Dense(7, "relu")(x)
        y = layers.Dense(7, "relu")(hidden)
        model = keras.Model(x, layers.Dense(1)(y + hidden if twice else y))
        model.compile("adam", "mse")
        return model

    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((40, 5)), rng.standard_normal((40, 1))
    (gated, fused), (expected, plain) = (train(build, x, y, rules) for rules in ([], ["gate"]))
    assert gated == expected
    counts = [sum(n.count("greater") for n in operations(rows.low)) for rows in (fused, plain)]
    assert counts == [2 if twice else 0, 2]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "lion", "nadam"])
def test_updates_of_adjacent_variables_are_joined(optimizer: str) -> None:
    """A frozen layer separates the last two layers; the last bias is a single element."""

    def build() -> Any:
        hidden = [layers.Dense(7, "relu"), layers.Dense(16, "tanh")]
        frozen = layers.Dense(3, "relu", trainable=False)
        model = Sequential([layers.Input((5,)), *hidden, frozen, layers.Dense(1)])
        model.compile(optimizer, "mse")
        return model

    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((40, 5)), rng.standard_normal((40, 1))
    (joint, few), (single, many) = (train(build, x, y, r) for r in (["learn"], ["learn", "join"]))
    assert joint == single
    fewer, more = (rows.borrow(16).names.count("chain") for rows in (few, many))
    # The 6 variables occupy two contiguous ranges of memory, so 4 chains are saved, or 3 if the
    # optimizer computes scalars in a separate chain.
    assert more - fewer in (3, 4)


def test_only_adjacent_chains_are_joined() -> None:
    arrays = [[chain.INOUT, 0], [chain.IN, 1000], [chain.SCALAR, 5], [chain.TEMP, 0]]

    def continues(*addresses: int, kinds: Any = (), more: int = 8) -> bool:
        later = [[kind, a] for (kind, _), a in zip(arrays, addresses, strict=True)]
        for slot, kind in zip(later, kinds, strict=False):
            slot[0] = kind
        return machine._continues(arrays, 10, later, more)

    assert continues(40, 1040, 5, 0)
    assert not continues(44, 1040, 5, 0)
    assert not continues(40, 1044, 5, 0)
    assert not continues(40, 1040, 6, 0)
    scalar = chain.INOUT, chain.SCALAR
    assert continues(40, 1040, 5, 0, kinds=scalar, more=1)
    assert not continues(40, 1040, 5, 0, kinds=scalar)
    assert not continues(40, 1040, 5, 0, more=300), "it would read results of the first"


def test_results_reuse_memory_of_dead_values() -> None:
    """The first result may reuse the memory of x; the second not that of y, which is read later."""

    def run(rules: list[str]) -> tuple[list[Array], list[bool]]:
        config.set_disabled_rules(rules)
        low, rng = Lowering(), np.random.default_rng(0)
        x, y = traced(BATCH, 20), traced(BATCH, 20)
        first = low.add(np.tanh(x) * y)
        second = low.add(np.exp(first) + 1)
        low.add(second - y)
        total = low.add(np.sum(second * first, axis=0))
        own = Machine(low, {"total": total.node, "third": low.groups[0].nodes[-1]})
        # A separate chain reads the first two results.
        own._outside |= {first.node, second.node}
        own._last |= {first.node: 9, second.node: 9}
        own.codes = [machine.Code(group, own) for group in low.groups]
        own.build(7, 1)
        inputs = [own._registers[i.node.source] for i in (x, y)]
        for array in inputs:
            array[:140] = rng.standard_normal(140)
        execute(own, 7)
        computed = [own._registers[i.node] for i in (first, second)]
        same = [any(a is b for b in inputs) for a in computed]
        return [own.value("total", (20,), 7), *(a[:140].copy() for a in computed)], same

    (results, reused), (expected, none) = run([]), run(["reuse"])
    for a, b in zip(results, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (reused, none) == ([True, False], [False, False])


def test_threads_share_long_rows_and_columns() -> None:
    low, x = Lowering(), traced(BATCH, 256)
    mean = low.add(np.mean(np.mean(x * x, axis=-1)))
    total = low.add(np.sum(np.exp(x), axis=0))
    own = Machine(low, {"mean": mean.node, "total": total.node})
    own.build(300, 2)
    (table,) = own.pieces
    work = 300 * 256
    assert [use.parts for use in table._uses if use.work >= work] == [2, 2]


@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
def test_penalty_uses_weights_before_decay(sparse: bool) -> None:
    """The expected result is w - 0.5 * 0.5 * w - 0.5 * 2 * w: the loss does not depend on w."""
    model = Sequential([layers.Dense(16, kernel_regularizer=regularizers.L2(1.0))])
    model.compile(optimizers.SGD(0.5, weight_decay=0.5), "mse")
    x = np.zeros((4, 300), np.float32)
    x[0, 0] = not sparse
    model(x)
    w = model.layers[0].kernel.numpy()
    model.fit(x, np.zeros((4, 16)), verbose=0)
    np.testing.assert_allclose(model.layers[0].kernel.numpy()[1:], -0.25 * w[1:], rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"weight_decay": 0.1}, {"use_ema": True}, {"global_clipnorm": 0.1}],
    ids=lambda options: " ".join(options) or "plain",
)
@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "Adagrad"])
def test_single_weights_are_updated(name: str, options: dict[str, Any]) -> None:
    """Scalar kernels and biases, and their neighbors in memory, match the numpy backend."""
    rng = np.random.default_rng(6)
    x, y = rng.random((20, 1)).astype(np.float32), rng.random((20, 1)).astype(np.float32)

    def run() -> Any:
        constrained = layers.Dense(1, bias_constraint="non_neg", kernel_regularizer="l2")
        model = Sequential([layers.Dense(1, "tanh"), constrained, layers.Dense(1)])
        model.compile(getattr(optimizers, name)(0.05, **options), "mse")
        model.fit(x, y, batch_size=6, epochs=3, verbose=0)
        return [v.numpy() for v in (*model.weights, *model.optimizer.variables)]

    for a, b in zip(*on_both(run), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------ plain Python


def small(backend: str) -> list[Array]:
    """Train a small network; return its weights, slots and predictions."""
    config.set_backend(backend)
    random.set_seed(5)
    rng = np.random.default_rng(5)
    x, y = rng.random((11, 5)).astype(np.float32), rng.integers(0, 3, 11)
    rows = [layers.Dense(4, "tanh"), layers.Dropout(0.2, seed=1), layers.Dense(3, "softmax")]
    model = keras.Sequential(rows)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    program = next(p for (kind, *_), p in model._programs.items() if kind == "train")
    is_compiled = program._compiled is not None and program._compiled[-1] is not None
    assert is_compiled == (backend == "numba")
    predicted = model.predict(x, verbose=0)
    return [*(v.numpy() for v in (*model.weights, *model.optimizer.variables)), predicted]


@pytest.mark.slow
def test_kernels_run_as_plain_python() -> None:
    program = """
import numpy as np
from tests.internals.test_lowering import small
from tinynet.kernels.numba_functions import COMPILES
assert not COMPILES
for a, b in zip(small('numba'), small('numpy'), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
print('agrees')
"""
    assert printed(program, NUMBA_DISABLE_JIT="1") == "agrees\n"
