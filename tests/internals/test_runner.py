"""The runner executes rows in order, with the scalars of each step."""

from __future__ import annotations

import _thread
import sys
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import tinynet
from tests import HUNG
from tinynet import config, layers
from tinynet.kernels import object_code, runner  # requires Numba
from tinynet.kernels.numba_functions import COMPILES
from tinynet.kernels.row import FIRST, KERNELS, kernel, vector
from tinynet.program.machine import Machine
from tinynet.program.row_order import Place, Table, Use, places, uses_of
from tinynet.training import thread_pool

TRIALS = 20  # random programs per test


@kernel
def add_to(part: Any, parts: Any, x: Any, value: Any) -> None:
    vector(x, 1, np.int64)[0] += value


@kernel
def double_it(part: Any, parts: Any, x: Any) -> None:
    vector(x, 1, np.int64)[0] *= 2


@kernel
def stop_at(part: Any, parts: Any, step: Any, number: Any) -> None:
    block = vector(step, 4, np.int64)
    if block[0] == number:
        block[3] = 1


@kernel
def keep_words(part: Any, parts: Any, step: Any, into: Any) -> None:
    """Store the step's words."""
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


def begin_row(step: Any, batch: int, examples: int, scalars: Any, splats: Any) -> Any:
    return runner.begin.row(
        step=address(step), batch=batch, examples=examples, scalars=address(scalars),
        splats=address(splats), count=scalars.shape[1],
    )  # fmt: skip


def begin_only(step: Any, examples: int = 10**5) -> Any:
    """Start steps of one example each, without scalars."""
    nothing = np.zeros((examples, 0), np.float32)
    return begin_row(step, 1, examples, nothing, nothing)


def test_rows_are_executed_in_order() -> None:
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
    splats = np.zeros((2, 16), np.float32)
    begin = begin_row(step, 3, 11, scalars, splats)
    table = Table([begin, keep_words.row(step=address(step), into=address(seen))], address(step))
    for number in range(4):
        table.run(1)
        assert (splats == scalars[number][:, None]).all()
    assert seen.tolist() == [[0, 0, 3, 0], [1, 3, 3, 0], [2, 6, 3, 0], [3, 9, 2, 0]]


def test_run_returns_after_stopping_row() -> None:
    step, x = new_step(), np.zeros(2, np.int64)
    rows = [
        begin_only(step, 9),
        add_to.row(x=address(x), value=1),
        stop_at.row(step=address(step), number=5),
        add_to.row(x=address(x) + 8, value=1),
    ]
    Table(rows, address(step)).run(9)
    assert x.tolist() == [6, 5]
    assert step[:4].tolist() == [5, 5, 1, 1]


# ------------------------------------------------------------ several threads

several = pytest.mark.skipif(
    not COMPILES or sys.platform != "linux", reason="this platform supports only one thread"
)
SIZE = 24  # elements of a vector


@kernel
def mix(part: Any, parts: Any, out: Any, a: Any, b: Any, factor: Any, slow: Any) -> None:
    """Compute a part of ``out = factor * out + a * b[::-1] + 1``, `slow` times."""
    z, x, y = vector(out, 24, np.int64), vector(a, 24, np.int64), vector(b, 24, np.int64)
    for _ in range(slow):
        for i in range(24 * part // parts, 24 * (part + 1) // parts):
            z[i] = factor * z[i] + x[i] * y[23 - i] + 1


class Graph:
    """Random kernel calls on a few vectors; parts write slices, and rows read whole vectors."""

    def __init__(self, seed: int, rows: int, vectors: int, slow: int, stop: int = -1) -> None:
        rng = np.random.default_rng(seed)
        self.step = new_step()
        self.memory = rng.integers(-9, 9, (vectors, SIZE))
        step = address(self.step), 24
        self.rows, self.uses = [begin_only(self.step)], [Use(writes=[step])]
        where = rng.integers(rows)
        factors, slows = rng.integers(1, 5, rows).tolist(), rng.integers(slow, size=rows).tolist()
        for i in range(rows):
            # Parts of a row do not read memory that other parts of the row write.
            out, a, b = (address(self.memory[k]) for k in rng.permutation(vectors)[:3])
            self.rows.append(mix.row(out=out, a=a, b=b, factor=factors[i], slow=slows[i]))
            reads = [(start, 8 * SIZE) for start in (a, b, out)]
            work = int(rng.choice([0, 1 << 17, 1 << 18, 1 << 19, 1 << 21]))
            parts = 99 if rng.random() < 0.7 else 1
            self.uses.append(Use([*reads, step], reads[2:], work, parts))
            if stop >= 0 and i == where:
                self.rows.append(stop_at.row(step=address(self.step), number=stop))
                self.uses.append(Use(reads=[step], stops=True))
        self.table = Table(self.rows, address(self.step), self.uses)

    def result(self) -> tuple[Any, Any]:
        return self.memory.tolist(), self.step[:4].tolist()


def use_workers(pool: thread_pool.Pool, table: Table) -> None:
    """Execute all steps with worker threads."""
    division = table.division(pool.n)
    if division is not None:
        division.state[[runner.PHASE, runner.NEXT, runner.LENGTH]] = -1, 1 << 62, 1
        division.state[runner.ALONE] = division.state[runner.RESULT] = 0


@pytest.mark.each_value
@several
@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("measured", [False, True])
def test_workers_are_bit_identical(n: int, measured: bool, any_seed: int) -> None:
    rng = np.random.default_rng(any_seed)
    pool = thread_pool.Pool(n)
    pool.start(n)
    for trial in range(TRIALS):
        rows, vectors, stop = (int(rng.integers(*ends)) for ends in ((3, 30), (3, 12), (-1, 300)))
        graphs = [Graph(any_seed + trial, rows, vectors, 60, stop) for _ in range(2)]
        if not measured:
            use_workers(pool, graphs[0].table)
        for steps in rng.integers(1, 100, 4).tolist():
            pool.run(graphs[0].table, steps)
            graphs[1].table.run(steps)
            assert graphs[0].result() == graphs[1].result()
            for graph in graphs:
                graph.step[3] = 0
    pool.stop()


def test_order_of_a_dense_network() -> None:
    """A second thread executes the sort and half of linear_csr and learn_csr."""
    names = ["step", "images", "x", "w1", "y1", "w2", "z2", "d_z2", "d_y1", "sorted"]
    at = {name: ((i + 1) << 20, 1 << 20) for i, name in enumerate(names)}

    def use(reads: str, writes: str, work: int = 0, **options: Any) -> Use:
        read, written = ([at[name] for name in text.split()] for text in (reads, writes))
        return Use(read, written, work, **options)

    uses = {
        "begin": use("", "step"),
        "linear_csr": use("step images w1", "y1", 600_000, parts=99),
        "sort": use("step images", "sorted", 300_000),
        "linear": use("step y1 w2", "z2", 40_000, parts=99),
        "loss": use("step z2", "d_z2", 50_000, stops=True),
        "linear_backward": use("step d_z2 w2", "d_y1", 40_000, parts=99),
        "learn": use("step d_z2 y1", "w2", 60_000, parts=99),
        "learn_csr": use("step d_y1 sorted", "w1", 2_000_000, parts=99),
    }
    order = dict(zip([*uses, "end"], places([*uses.values()], 2), strict=True))
    assert [order[name].parts for name in uses] == [1, 2, 0, 1, 1, 1, 1, 2]
    assert {name: place.waits for name, place in order.items() if place.waits} == {
        "linear_csr": (0,),
        "sort": (0,),
        "learn_csr": (2, 5),  # the loss, which may stop the step, is before the backward pass
    }
    assert {name: place.finishes for name, place in order.items() if place.finishes} == {
        "linear": (1,),
        "learn_csr": (2,),
        "end": (7,),
    }
    assert all(place == Place(1) for place in places([*uses.values()], 1))
    assert max(place.parts for place in places([*uses.values()], 8)) == 8


@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [
        (([], [(0, 8)]), ([(0, 8)], []), True),  # read after write
        (([(0, 8)], []), ([], [(0, 8)]), True),  # write after read
        (([], [(0, 8)]), ([], [(0, 8)]), True),  # write after write
        (([(0, 8)], []), ([(0, 8)], []), False),
        (([], [(0, 8)]), ([(8, 8)], []), False),
        (([], [(4, 8)]), ([(0, 5)], []), True),
        (([], [(2, 1)]), ([(0, 5)], []), True),
        (([], [(2, 0)]), ([(0, 5)], []), False),
    ],
)
def test_rows_wait_for_memory_conflicts(first: Any, second: Any, waits: bool) -> None:
    use = Use(second[0], second[1], 1 << 20, parts=99)
    found = places([Use(*first), use], 2)[1]
    assert found == Place(2, (0,) if waits else ())


def test_rows_wait_only_for_unfinished_rows() -> None:
    a, b, c = ((address, 8) for address in (0, 8, 16))
    uses = [
        Use([], [a], 1 << 20, parts=99),
        Use([a], [b]),
        Use([a, b], [c], 1 << 20, parts=99),  # row 1 finishes after row 0
        Use([a, b, c], []),
        Use([c], [], 1 << 20, parts=99),
    ]
    found = places(uses, 2)
    assert [place.waits for place in found] == [(), (), (1,), (), (2,), ()]
    assert [place.finishes for place in found] == [(), (0,), (), (2,), (), (4,)]


@kernel
def meet(part: Any, parts: Any, flags: Any, rounds: Any) -> None:
    """Part 1 sets a flag; part 0 waits for it and sets another flag if it arrives in time."""
    words = vector(flags, 2, np.int64)
    if parts == 2 and part == 1:
        words[0] = 1
    elif parts == 2:
        for _ in range(rounds):
            if runner.get(flags) == 1:
                words[1] = 1
                break
        words[0] = 0


@several
def test_worker_computes_its_part() -> None:
    step, flags = new_step(), np.zeros(2, np.int64)
    row = meet.row(flags=address(flags), rounds=10**5)
    table = Table([row], address(step), [Use([], [(address(flags), 16)], 1 << 20, parts=99)])
    pool = thread_pool.Pool(2)
    use_workers(pool, table)
    pool.start(2)
    until = time.monotonic() + HUNG
    while not flags[1] and time.monotonic() < until:
        pool.run(table, 1)
    pool.stop()
    assert flags[1]


@several
def test_rows_after_stop_are_skipped() -> None:
    step, x = new_step(), np.zeros(3, np.int64)
    use_of_step = address(step), 24
    rows, uses = [begin_only(step)], [Use([], [use_of_step])]
    for i in range(2):
        rows.append(add_to.row(x=address(x) + 8 * i, value=1))
        uses.append(Use([], [(address(x) + 8 * i, 8)], 1 << 20))
        if i == 0:
            rows.append(stop_at.row(step=address(step), number=0))
            uses.append(Use([use_of_step], stops=True))
    rows.append(mix.row(out=0, a=0, b=0, factor=0, slow=0))
    uses.append(Use([], [], 1 << 22))
    assert [place.parts for place in places(uses, 2)][:4] == [1, 0, 1, 0]
    table, pool = Table(rows, address(step), uses), thread_pool.Pool(2)
    use_workers(pool, table)
    pool.start(2)
    for number in range(2000):
        table.rows[2, FIRST + 1] = number + number % 3
        step[:4] = number - 1, 0, 0, 0
        x[:] = 0
        pool.run(table, 1 + number % 3)
        assert x[:2].tolist() == [1 + number % 3, number % 3]
        assert step[3] == 1
    pool.stop()


@several
def test_caller_works_alone_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", fails)
    pool = thread_pool.Pool(2)
    pool.start(2)
    graphs = [Graph(1, 12, 8, 5) for _ in range(2)]
    use_workers(pool, graphs[0].table)
    before = time.monotonic_ns()
    for steps in [1] * 10 + [100]:
        pool.run(graphs[0].table, steps)
        graphs[1].table.run(steps)
    assert graphs[0].result() == graphs[1].result()
    assert pool.words[runner.REST] >= before + runner.PAUSE or pool.words[runner.LATE] == 0
    pool.stop()


@several
def test_caller_works_alone_until_workers_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    compiling = [True, True, False]
    monkeypatch.setattr(object_code, "is_compiling", lambda kernels: compiling.pop(0))
    pool, started = thread_pool.Pool(2), []
    graphs = [Graph(1, 12, 8, 5) for _ in range(2)]
    for _ in range(4):
        pool.run(graphs[0].table, 1000)
        graphs[1].table.run(1000)
        started.append(pool._started)
    pool.stop()
    assert started == [1, 1, 2, 2]
    assert graphs[0].result() == graphs[1].result()


@several
def test_caller_waits_for_long_rows() -> None:
    step, x = new_step(), np.zeros((3, SIZE), np.int64)
    first, second, third = ([(address(v), v.nbytes)] for v in x)
    uses = [
        Use([], first), Use(first, second, 1 << 22), Use(first, third, 1 << 22),
        Use(second + third, first),
    ]  # fmt: skip
    a, b, c = (address(v) for v in x)
    outs, slows = (a, b, c, a), (1, 100_000, 1, 1)
    rows = [
        mix.row(out=out, a=a, b=a, factor=1, slow=slow)
        for out, slow in zip(outs, slows, strict=True)
    ]
    table, pool = Table(rows, address(step), uses), thread_pool.Pool(2)
    use_workers(pool, table)
    table.division(2).state[runner.SINGLE] = 1 << 60  # time of a step without workers
    pool.start(2)
    for _ in range(200):
        pool.words[runner.LATE] = 0
        pool.run(table, 1)
    assert pool.words[runner.REST] == 0
    pool.stop()


@several
def test_workers_start_when_profitable(monkeypatch: pytest.MonkeyPatch) -> None:
    config.set_num_threads(2)
    monkeypatch.setattr(thread_pool, "processors", lambda: 8)
    graph, small = Graph(2, 12, 8, 5), Graph(2, 12, 8, 5)
    small.table = Table(small.rows, address(small.step))  # without declared memory use: one thread
    with thread_pool.pooled() as pool:
        assert pool is not None
        running = _thread._count()
        assert small.table.division(2) is None
        assert graph.table.division(2) is not None
        thread_pool.run(small.table, 1000)
        thread_pool.run(graph.table, 1)
        assert _thread._count() == running
        thread_pool.run(graph.table, 1000)
        assert pool._started == 2
        with thread_pool.pooled() as another:
            assert another is None
    assert not thread_pool._pools
    small.table.run(1)
    assert small.result() == graph.result()


def check_uses(machine: Any) -> None:
    """Run a step row by row; check that each row reads and writes only its declared memory."""
    arrays = [*machine._parts, *(array for _, array in machine.variables)]
    memory = {
        (array.ctypes.data, array.nbytes): array.reshape(-1).view(np.uint8)
        for array in arrays
        if array.nbytes
    }
    uses = uses_of(machine.table, machine.names, address(machine.step), machine.batch, memory)
    for row, name, use in zip(machine.table, machine.names, uses, strict=True):
        execute = KERNELS.get(name) or KERNELS["product"]
        before = {block: view.copy() for block, view in memory.items()}
        touched = {*use.reads, *use.writes, (address(machine.table), machine.table.nbytes)}
        if name != "draw_uniform":  # the state of its generator is not in these arrays
            for block, view in memory.items():
                if block not in touched:
                    view[:] = 255
            execute(row)
            found = {block: view.copy() for block, view in memory.items()}
            for block, view in memory.items():
                view[:] = before[block]
        execute(row)
        for block, view in memory.items():
            if block not in use.writes:
                assert np.array_equal(view, before[block]), f"{name} writes undeclared memory"
            if name != "draw_uniform" and block in touched:
                assert np.array_equal(view, found[block]), f"{name} reads undeclared memory"


def test_parts_are_limited_by_scratch_memory() -> None:
    room, step = np.zeros(1000, np.uint8), new_step()
    words = dict.fromkeys(KERNELS["product"].words, 0)
    words |= {"count": address(step) + 16, "per": 1, "d": 1000, "u": 1000, "room_size": 300}
    row = KERNELS["product"].row(**words | {"room": address(room)})
    (use,) = uses_of(row[None], ["linear"], address(step), 10, [(address(room), 1000)])
    assert use.parts == 3
    assert use.work == 10**7
    assert [place.parts for place in places([use], 8)] == [3, 1]


@pytest.mark.skipif(not COMPILES, reason="requires compiled kernels")
@pytest.mark.parametrize("name", ["dense", "sparse", "wide"])
def test_rows_use_no_other_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, checked = np.random.default_rng(0), []
    between = [layers.BatchNormalization(), layers.Dropout(0.5)] if name == "wide" else []
    model = tinynet.Sequential(
        [layers.Dense(20, activation="relu"), *between, layers.Dense(7, activation="softmax")]
    )
    optimizer = "sgd" if name == "wide" else "rmsprop"
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    share = 1 if name == "dense" else 0.2
    x = rng.random((50, 600)).astype("float32") * (rng.random((50, 600)) < share)

    def run(machine: Any, steps: int, _: Any) -> int:
        machine.step[:4] = -1, 0, 0, 0
        machine.set("stops", 0)  # otherwise rows would write the stop flag
        for _ in range(steps):
            check_uses(machine)
        checked.append(machine.names)
        return int(machine.step[0])

    monkeypatch.setattr(Machine, "run", run)
    model.fit(x, rng.integers(0, 7, 50), batch_size=32, verbose=0)
    assert checked
    assert ("linear_csr" in checked[0]) == (name != "dense"), checked
