"""The runner: rows are executed in their order, with the scalars of the step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from tinynet.functional import adam_step_size
from tinynet.kernels import runner  # only where there is a Numba to compile with
from tinynet.kernels.row import kernel, vector
from tinynet.program.order import Table, adam_step_sizes


@kernel
def add_to(part, parts, x, value):
    vector(x, 1, np.int64)[0] += value


@kernel
def double_it(part, parts, x):
    vector(x, 1, np.int64)[0] *= 2


@kernel
def stop_at(part, parts, step, number):
    block = vector(step, 4, np.int64)
    if block[0] == number:
        block[3] = 1


@kernel
def record(part, parts, step, into):
    """Keep the step's words."""
    block = vector(step, 4, np.int64)
    out = vector(into, 4 * (block[0] + 1), np.int64)
    for i in range(4):
        out[4 * block[0] + i] = block[i]


def address(array: Any) -> int:
    return array.ctypes.data


def new_step() -> Any:
    block = np.zeros(8, np.int64)
    block[0] = -1
    return block


def begin_row(
    step: Any, batch: int, examples: int, scalars: Any, splats: Any, pers: Any, inverses: Any
) -> Any:
    return runner.begin.row(
        step=address(step), batch=batch, examples=examples, scalars=address(scalars),
        splats=address(splats), count=scalars.shape[1], pers=address(pers),
        inverses=address(inverses), sizes=len(pers),
    )  # fmt: skip


def test_rows_are_executed_in_their_order() -> None:
    x, step = np.zeros(1, np.int64), new_step()
    rows = [add_to.row(x=address(x), value=1), double_it.row(x=address(x))]
    table = Table(rows, address(step))
    table.run(3)
    assert x[0] == ((0 + 1) * 2 + 1) * 4 + 2
    table.run(0)
    assert x[0] == 14
    table.call()
    assert x[0] == 30
    Table(rows[::-1], address(step)).call()
    assert x[0] == 61


def test_begin_fills_the_step_block() -> None:
    step, seen = new_step(), np.full((4, 4), -1)
    scalars = np.arange(8, dtype=np.float32).reshape(4, 2) / 3
    splats, inverses = np.zeros((2, 16), np.float32), np.zeros((3, 16), np.float32)
    pers = np.array([1, 7, 1000])
    begin = begin_row(step, 3, 11, scalars, splats, pers, inverses)
    table = Table([begin, record.row(step=address(step), into=address(seen))], address(step))
    for number, n in enumerate([3, 3, 3, 2]):
        table.run(1)
        assert (splats == scalars[number][:, None]).all()
        assert (inverses == (np.float32(1) / np.float32(n * pers))[:, None]).all()
    assert seen.tolist() == [[0, 0, 3, 0], [1, 3, 3, 0], [2, 6, 3, 0], [3, 9, 2, 0]]


def test_run_returns_after_the_row_that_stops() -> None:
    step, x = new_step(), np.zeros(2, np.int64)
    nothing = np.zeros((9, 0), np.float32)
    rows = [
        begin_row(step, 1, 9, nothing, nothing, np.zeros(0, np.int64), nothing),
        add_to.row(x=address(x), value=1),
        stop_at.row(step=address(step), number=5),
        add_to.row(x=address(x) + 8, value=1),
    ]
    Table(rows, address(step)).run(9)
    assert x.tolist() == [6, 5]
    assert step[:4].tolist() == [5, 5, 1, 1]


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5), (0.99, 0.99999)], ids=str)
@pytest.mark.parametrize("first", [1, 170, 17_500, 10**6])
def test_adam_step_sizes_are_those_of_single_steps(betas: Any, first: int) -> None:
    rates = np.linspace(1e-3, 3e-3, 700)
    expected = [adam_step_size(rates[i], *betas, first + i) for i in range(700)]
    found = adam_step_sizes(rates, *betas, first)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
