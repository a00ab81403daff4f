"""The runner: rows are executed in their order, with the scalars of the step."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from tinynet import threads
from tinynet.kernels import runner  # only where there is a Numba to compile with
from tinynet.kernels.compiled import COMPILES
from tinynet.kernels.row import kernel, vector
from tinynet.program.order import Table, Use

TRIALS = 20  # random programs per test


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


# ------------------------------------------------------------ several threads

several = pytest.mark.skipif(not COMPILES or sys.platform != "linux", reason="one thread only here")
SIZE = 24  # numbers in a vector


@kernel
def mix(part, parts, out, a, b, factor, slow):
    """out = factor out + a b in one part, which takes some time."""
    z, x, y = vector(out, 24, np.int64), vector(a, 24, np.int64), vector(b, 24, np.int64)
    for _ in range(slow):
        for i in range(24 * part // parts, 24 * (part + 1) // parts):
            z[i] = factor * z[i] + x[i] * y[23 - i] + 1


class Graph:
    """Random rows on a few vectors, which parts write but whole rows read."""

    def __init__(self, seed: int, rows: int, vectors: int, slow: int, stop: int = -1) -> None:
        rng = np.random.default_rng(seed)
        self.step = new_step()
        self.memory = rng.integers(-9, 9, (vectors, SIZE))
        nothing, step = np.zeros((10**5, 0), np.float32), (address(self.step), 24)
        self.rows = [begin_row(self.step, 1, 10**5, nothing, nothing, np.zeros(0, int), nothing)]
        self.uses = [Use(writes=[step])]
        self.kept = nothing
        where = rng.integers(1, rows)
        for i in range(rows):
            # What parts of a row read is not what other parts of it write.
            out, a, b = (address(self.memory[k]) for k in rng.permutation(vectors)[:3])
            self.rows.append(
                mix.row(out=out, a=a, b=b, factor=rng.integers(1, 5), slow=rng.integers(slow))
            )
            ranges = [[(v, 8 * SIZE)] for v in (a, b, out)]
            work = int(rng.choice([0, 1 << 17, 1 << 18, 1 << 19, 1 << 21]))
            splits = bool(rng.random() < 0.7)
            self.uses.append(
                Use([*ranges[0], *ranges[1], *ranges[2], step], ranges[2], work, splits)
            )
            if stop >= 0 and i == where:
                self.rows.append(stop_at.row(step=address(self.step), number=stop))
                self.uses.append(Use(reads=[step], stops=True))
        self.table = Table(self.rows, address(self.step), self.uses)

    def result(self) -> tuple[Any, Any]:
        return self.memory.tolist(), self.step[:4].tolist()


def together(pool: threads.Pool, table: Table) -> None:
    """Have all steps executed with workers, for a change."""
    division = table.division(pool.n)
    if division is not None:
        division.state[[runner.PHASE, runner.NEXT, runner.LENGTH]] = -1, 1 << 62, 1
        division.state[runner.ALONE] = division.state[runner.RESULT] = 0


@several
@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("measured", [False, True])
def test_workers_change_no_bit(n: int, measured: bool, any_seed: int) -> None:
    rng = np.random.default_rng(any_seed)
    pool = threads.Pool(n)
    pool.start()
    for trial in range(TRIALS):
        rows, vectors = rng.integers(3, 30), rng.integers(3, 12)
        stop = rng.integers(-1, 300)
        graphs = [Graph(any_seed + trial, rows, vectors, 60, stop) for _ in range(2)]
        if not measured:
            together(pool, graphs[0].table)
        for steps in rng.integers(1, 100, 4).tolist():
            pool.run(graphs[0].table, steps)
            graphs[1].table.run(steps)
            assert graphs[0].result() == graphs[1].result()
            for graph in graphs:
                graph.step[3] = 0
    pool.stop()
