"""Variables and tensors: the interface that TensorFlow programs use."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from tinynet import Variable, initializers
from tinynet.program.variable import Tensor, as_tensor, join, pack, runs, split


def test_variable_matches_keras() -> None:
    given = np.array([[1.0, 2.0]], np.float32)
    v = Variable(given, name="kernel", path="dense/kernel", trainable=False)
    assert (v.name, v.path, v.shape, v.dtype) == ("kernel", "dense/kernel", (1, 2), "float32")
    assert (v.ndim, v.size, len(v), v.trainable) == (2, 2, 1, False)
    given[:] = 9
    assert v.numpy().tolist() == [[1, 2]]
    assert Variable([1.0], dtype="float64").dtype == "float64"
    assert "dense/kernel" in repr(v)


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ([1.0, 2.0], "float32"),
        (1.0, "float32"),
        ([1, 2], "int32"),
        (True, "bool"),
        ([[1, 2.5]], "float32"),
        ([2**40], "int64"),
        (np.array([1, 2], ">f4"), "float32"),
        (np.ones(2), "float64"),
        (np.arange(2), "int64"),
        (as_tensor(np.float64(1)), "float64"),
    ],
)
def test_variable_dtype_matches_keras(given: Any, dtype: str) -> None:
    v = Variable(given)
    assert v.dtype == dtype
    assert v.array.dtype.isnative
    np.testing.assert_array_equal(v, given)


@pytest.mark.parametrize("value", [None, np.array(["a"]), np.array([1, None], object), [1j]])
def test_variable_value_must_be_numbers(value: Any) -> None:
    with pytest.raises(ValueError, match=r"initializer must be real numbers .* Received: init"):
        Variable(value)


def test_variable_name_and_trainable_are_checked() -> None:
    with pytest.raises(ValueError, match=r"name must be a string. Received: name=5"):
        Variable(1.0, name=5)
    with pytest.raises(TypeError, match=r"trainable must be True .* Received: trainable='x'"):
        Variable(1.0, trainable="x")


def test_variable_from_an_initializer() -> None:
    for initializer in ("ones", initializers.Ones(), lambda shape, dtype: np.ones(shape, dtype)):
        assert Variable(initializer, shape=(2,)).numpy().tolist() == [1, 1]
        assert Variable(initializer, shape=(2,), dtype="float64").dtype == "float64"
        assert Variable(initializer, shape=()).dtype == "float32"


def test_numpy_copies_and_value_is_view() -> None:
    v = Variable([1.0, 2.0])
    copied, live = v.numpy(), v.value
    v.assign([3.0, 4.0])
    assert copied.tolist() == [1, 2]
    assert live.tolist() == [3, 4]
    assert type(copied) is np.ndarray
    assert isinstance(live, Tensor)


def test_assign_is_in_place() -> None:
    v = Variable([1.0, 2.0])
    held = v.array
    v.assign_add([1.0, 1.0])
    v.assign_sub([0.0, 3.0])
    v.assign(v)
    assert held.tolist() == [2, 0]
    other = copy.deepcopy(v)
    other.assign([2.0, 2.0])
    assert held.tolist() == v.numpy().tolist() == [2, 0]


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (lambda v: v + 1, [2, 3]),
        (lambda v: 1 - v, [0, -1]),
        (lambda v: v * v, [1, 4]),
        (lambda v: np.array([3.0, 3.0]) / v, [3, 1.5]),
        (lambda v: -v, [-1, -2]),
        (lambda v: v > 1, [False, True]),
        (np.square, [1, 4]),
        (lambda v: np.add.reduce(v), 3),
        (lambda v: np.matmul(v, v), 5),
        (lambda v: np.concatenate([v, v]), [1, 2, 1, 2]),
        (lambda v: v[1], 2),
        (lambda v: v[:1], [1]),
        (lambda v: np.asarray(v, np.int64), [1, 2]),
        (lambda v: np.mean(v), 1.5),
    ],
)
def test_variable_arithmetic(compute, expected) -> None:
    v = Variable([1.0, 2.0])
    np.testing.assert_array_equal(compute(v), expected)
    assert v.numpy().tolist() == [1, 2]


def test_scalar_conversions() -> None:
    one = Variable(np.int64(3))
    assert (int(one), float(one), f"{Variable(0.5):.2f}") == (3, 0.5 * 6, "0.50")
    assert one.numpy() == 3
    assert [bool(Variable(value)) for value in (0.0, [0.0], 0.5, [2])] == [False, False, True, True]
    with pytest.raises(ValueError, match="truth value of an array"):
        bool(Variable([0.0, 1.0]))


def test_operators_do_not_change_variables_in_place() -> None:
    v = w = Variable([1.0, 2.0])
    w += 1
    w //= 1.5
    assert isinstance(w, Tensor)
    assert w.tolist() == [1, 2]
    assert v.numpy().tolist() == [1, 2]
    with pytest.raises(TypeError, match=r"variable must be changed with assign. Received: out="):
        np.add(1.0, v, out=v)


def test_array_copy_argument() -> None:
    v = Variable([1.0])
    np.array(v)[0] = np.asarray(v)[0] = 5
    assert v.numpy().tolist() == [1]
    np.asarray(v, copy=False)[0] = 5
    assert v.numpy().tolist() == [5]


@pytest.mark.parametrize(
    "make", [lambda t: t, lambda t: t + 1, lambda t: t.sum(), lambda t: t[0], lambda t: t[0, 0]]
)
def test_tensor_results_have_numpy_method(make) -> None:
    result = make(as_tensor(np.ones((2, 2))))
    assert isinstance(result, Tensor)
    assert type(result.numpy()) in (np.ndarray, np.float64)
    assert float(np.sum(result)) > 0


def test_pack_replaces_arrays_by_views() -> None:
    variables = [
        Variable(np.full(shape, i, np.float32)) for i, shape in enumerate([(2, 3), (), (4,)])
    ]
    pack(variables)
    flat = join([v.array for v in variables])
    assert (flat.dtype, flat.tolist()) == (np.float32, [0] * 6 + [1] + [2] * 4)
    flat += 1
    assert variables[0].numpy().tolist() == [[1, 1, 1]] * 2
    variables[2].assign(np.zeros(4))
    assert flat[-4:].tolist() == [0] * 4
    pack([])


def test_pack_keeps_types_and_contiguous_memory() -> None:
    types = (np.float32, np.float64, np.float32, np.float64)
    variables = [Variable(np.full(3, 1 / (i + 3), kind)) for i, kind in enumerate(types)]
    values = [v.numpy() for v in variables]
    pack(variables)
    for v, value, kind in zip(variables, values, types, strict=True):
        assert v.array.dtype == kind
        assert np.array_equal(v.array, value)
    assert runs([variables[0].array, variables[2].array]) == [(0, 2)]
    assert runs([variables[1].array, variables[3].array]) == [(0, 2)]
    before = [v.array for v in variables]
    pack(variables[:1])
    pack(variables)
    assert all(v.array is array for v, array in zip(variables, before, strict=True))


def test_pack_copies_non_adjacent_arrays() -> None:
    v = Variable(np.zeros((2, 3)))
    v.array = v.array.T
    pack([v])
    assert v.array.flags.c_contiguous
    assert np.shares_memory(join([v.array]), v.array)


def test_runs_and_join_of_adjacent_arrays() -> None:
    flat = np.arange(9.0)
    a, b, c = split(flat, [(2, 2), (1,), (4,)])
    assert runs([a, b, c]) == [(0, 3)]
    assert runs([a, c, b]) == [(0, 1), (1, 2), (2, 3)]
    assert runs([a, b, np.zeros(4), np.zeros(4)]) == [(0, 2), (2, 3), (3, 4)]
    assert runs([]) == []
    joined = join([b, c])
    assert joined.tolist() == [4, 5, 6, 7, 8]
    assert np.shares_memory(joined, flat)
    assert join([np.ones((2, 2))]).shape == (4,)
