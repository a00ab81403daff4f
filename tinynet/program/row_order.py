"""Rows of a program in memory, and the schedule by which several threads may execute them."""

from __future__ import annotations

import bisect
import ctypes
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinynet import config
from tinynet._core.buffers import aligned
from tinynet.kernels import chain, runner, simd
from tinynet.kernels.kernel_function import FIRST, KERNELS, WORDS
from tinynet.kernels.row import Kernel, vector

Array = np.ndarray[Any, Any]
#: Address and number of bytes.
Range = tuple[int, int]

# Unit: multiplications; 1 << 18 take about 5 us. Rows smaller than `_DIVIDED` are not divided. A
# whole row is executed by a worker only if this saves at least `_GAIN`; handing a task over costs
# `_HANDING_OVER`.
_DIVIDED, _GAIN, _HANDING_OVER = 1 << 18, 1 << 16, 1 << 14


class Use(NamedTuple):
    """Properties of a row that determine its dependencies and its cost."""

    #: Memory that the row reads and writes, including scratch memory but not the stop flag.
    reads: Sequence[Range] = ()
    writes: Sequence[Range] = ()
    #: Cost in multiplications, or their equivalent in time.
    work: int = 0
    #: Maximum number of parts, which different threads may compute.
    parts: int = 1
    #: Whether the row may set the stop flag.
    stops: bool = False


# Words through which kernels write memory; all other addresses are only read. A kernel that is not
# listed here is assumed to write through all its words.
_WRITES = {
    "begin": "step splats", "count_rows": "out", "take_rows": "out", "product": "out room",
    "linear_csr": "out rest room", "add_halves": "out", "sort_csr": "pairs",
    "kernel_gradient_csr": "out", "learn": "subrows gradient room",
    "learn_csr": "subrows gradient",
    "learn_csr_adam": "w m v", "chain": "room", "draw_uniform": "state out", "copy_elements": "out",
    "look_up": "out", "look_up_backward": "out", "record": "table", "spread": "out",
    "pick": "out",
}  # fmt: skip
# Kernels whose parts can be computed by different threads, unless they sum over all rows.
_HAVE_PARTS = {
    "product", "linear_csr", "kernel_gradient_csr", "learn", "learn_csr",
    "learn_csr_adam", "chain", "look_up_backward",
}  # fmt: skip
# Measured costs in multiplications: updating a parameter; one operation of `chain` on an element;
# sorting an input; drawing or copying an element. A CSR batch is assumed to have 20% non-zeros.
_UPDATE, _OPERATION, _SORT, _DRAW, _COPY, _NONZERO = 20, 4, 10, 15, 4, 0.2


def uses_of(
    rows: Array, names: Sequence[str], step: int, examples: int, blocks: Iterable[Range]
) -> list[Use]:
    """Return the memory that each row reads and writes, and its cost, from its words.

    `step` is the address of the step block and `examples` the batch size. `blocks` are address and
    bytes of each array that rows write: a row uses a whole block if a word, or an entry of its
    lists of addresses, points into it. Without blocks, for a single thread, only costs are set.
    """
    for_one = not blocks
    blocks = sorted({*blocks, (step, 64)})
    starts = [start for start, _ in blocks]

    def blocks_at(address: int, size: int = 1) -> Iterable[Range]:
        k = max(bisect.bisect_right(starts, address) - 1, 0)
        some = blocks[k : bisect.bisect_left(starts, address + size)]
        return [block for block in some if address < sum(block)]

    def use_of(row: Array, name: str) -> Use:
        words = _words(row, name)
        batched = step <= words.get("count", step) < step + 64
        work = int(_work(name, words, words.get("per", 1) * (examples if batched else 1)))
        if for_one:
            return Use(work=work)
        parts = sys.maxsize if name in _HAVE_PARTS else 1
        # There are at most as many parts as there is scratch memory for.
        for word in {"room", "gradient", "subrows"} & words.keys():
            size = words.get(f"{word}_size", 8 * WORDS)
            for start, length in blocks_at(words[word]):
                parts = min(parts, (start + length - words[word]) // max(size, 1))
        written = _WRITES[name].split() if name in _WRITES else words
        reads: list[Range] = []
        writes: list[Range] = []
        for word, value in words.items():
            (writes if word in written else reads).extend(blocks_at(value))
        if "slots" in words:
            slots = _words_at(words["slots"], 4 * words["n_slots"]).reshape(-1, 4)
            # Updates of contiguous arrays may be fused: then the range spans several blocks.
            size = 1 if batched else 4 * words["per"] * words["cols"]
            for kind, address, _, fixed in slots.tolist():
                outs = chain.OUT, chain.INOUT, chain.ROW_OUT, chain.SUM_COL, chain.SUM_ALL
                whole = kind in (chain.IN, chain.OUT, chain.INOUT) and not fixed
                found = blocks_at(address, size if whole else 1)
                (writes if kind in outs else reads).extend(found)
                if kind in (chain.SUM_COL, chain.SUM_ALL):
                    by_columns = words["mode"] == chain.COLUMNS
                    parts = min(parts, words["cols"] // simd.LANES if by_columns else 1)
        if "sources" in words:
            for address in _words_at(words["sources"], words["numbers"]).tolist():
                reads.extend(blocks_at(address))
        if "subrows" in words:
            update = use_of(_words_at(words["subrows"], WORDS), "chain")
            reads.extend(update.reads)
            writes.extend(update.writes)
        return Use(reads, writes, work, max(parts, 1), "stops" in words)

    # Names that are not kernels are matrix products.
    known = [name if name in KERNELS else "product" for name in names]
    return [use_of(row, name) for row, name in zip(rows, known, strict=True)]


def _work(name: str, words: dict[str, int], n: int) -> float:
    """Return the cost of a row for n rows of data, in multiplications."""
    d, u = words.get("d", 0), words.get("u", 0)
    product = n * d * u * (_NONZERO if name.endswith(("_csr", "_csr_adam")) else 1)
    if name == "chain":
        return _OPERATION * n * words["cols"] * words["ops"] if words["length"] < 0 else 0
    if name == "sort_csr":
        return _SORT * n * d
    if name.startswith("learn"):
        update = _UPDATE
        if "subrows" in words:
            update = _OPERATION * _words(_words_at(words["subrows"], WORDS), "chain")["ops"]
        return product + update * d * u
    copied = n * (words.get("width", 0) + (u if name == "add_halves" else 0))
    if name == "copy_elements":
        copied = n * words["size_1"] * words["size_2"] * words["size_3"]
    drawn = n * words["numbers"] if name == "draw_uniform" else 0
    return (0 if name == "add_halves" else product) + _COPY * copied + _DRAW * drawn


def _words(row: Array, name: str) -> dict[str, int]:
    """Return the words of a row by name."""
    return dict(zip(KERNELS[name].words, row[FIRST:].tolist(), strict=False))


def _words_at(address: int, n: int) -> Array:
    """Return the int64 words at an address."""
    return np.array((ctypes.c_int64 * n).from_address(address), np.int64)


class Place(NamedTuple):
    """Schedule of a row."""

    #: Number of parts; 1: the caller only; 0: any worker thread, concurrently with the caller.
    parts: int
    #: Rows that must be complete before a worker thread begins this one.
    waits: tuple[int, ...] = ()
    #: Rows whose tasks the caller must finish before it begins this one.
    finishes: tuple[int, ...] = ()


def places(uses: Sequence[Use], threads: int) -> list[Place]:
    """Schedule rows on several threads: divide rows into parts, or let workers execute whole rows.

    Return a `Place` for each row, and one for the end of the step. A worker executes a whole row,
    concurrently with the caller, if the estimated time of a step decreases by at least `_GAIN`.

    For example, a worker can execute the second row while the caller executes the third:

    >>> a, b = (0, 64), (64, 64)
    >>> uses = [Use(writes=[a]), Use([a], [b], 10**6), Use([a], (), 10**6), Use([b])]
    >>> [place.parts for place in places(uses, 2)]
    [1, 0, 1, 1, 1]
    >>> places(uses, 2)[1].waits, places(uses, 2)[3].finishes
    ((0,), (1,))
    """
    count = len(uses)
    parts = [
        max(1, min(threads, use.parts, 2 * use.work // _DIVIDED))
        if config.is_enabled("parts") and not use.stops
        else 1
        for use in uses
    ]
    aside = [
        i
        for i, use in enumerate(uses)
        if config.is_enabled("overlap")
        and threads > 1
        and parts[i] == 1
        and use.work >= _GAIN
        and not use.stops
    ]
    if not aside and max(parts, default=1) == 1:
        return [Place(1)] * (count + 1)
    needs = _needs(uses)
    least = _estimate(uses, needs, parts, threads)
    for i in aside:
        parts[i] = 0
        estimate = _estimate(uses, needs, parts, threads)
        if estimate > least - _GAIN:
            parts[i] = 1
        else:
            least = estimate
    # `over[i]`: rows that are complete when row i is; `known`: rows that the caller knows to be
    # complete.
    over: list[set[int]] = []
    known: set[int] = set()
    found = []
    for i in range(count):
        before = set().union(*(over[j] for j in needs[i]))
        waits = (j for j in needs[i] if not any(j in over[k] for k in needs[i] if k != j))
        finishes: tuple[int, ...] = ()
        if parts[i]:
            finishes = tuple(sorted(j for j in before - known if parts[j] != 1))
            known |= before
            before = known | before
        over.append(before | {i})
        if parts[i] == 1:
            known.add(i)
        found.append(Place(parts[i], () if parts[i] == 1 else tuple(waits), finishes))
    rest = (j for j in range(count) if parts[j] != 1 and j not in known)
    return [*found, Place(1, (), tuple(rest))]


def _needs(uses: Sequence[Use]) -> list[list[int]]:
    """Return the earlier rows that each row depends on.

    A row depends on an earlier one if both access the same memory and at least one of them writes
    to it, or if the earlier row may set the stop flag.
    """
    ranges = [
        (i, address, address + size, written)
        for i, use in enumerate(uses)
        for written, those in ((False, use.reads), (True, use.writes))
        for address, size in those
        if size
    ]
    row, first, last, written = np.array(ranges, np.int64).reshape(-1, 4).T
    needs, stop = [], -1
    ends = np.searchsorted(row, np.arange(len(uses) + 1))
    for i, use in enumerate(uses):
        earlier = slice(0, ends[i])
        found = set() if stop < 0 else {stop}
        for k in range(ends[i], ends[i + 1]):
            meets = (first[earlier] < last[k]) & (first[k] < last[earlier])
            if not written[k]:
                meets &= written[earlier] == 1
            found.update(row[earlier][meets].tolist())
        needs.append(sorted(found))
        if use.stops:
            stop = i
    return needs


def _estimate(
    uses: Sequence[Use], needs: Sequence[Sequence[int]], parts: Sequence[int], threads: int
) -> float:
    """Return the estimated time of a step, in multiplications."""
    free = [0.0] * threads  # time at which each thread becomes idle
    done: list[float] = []
    for use, before, n in zip(uses, needs, parts, strict=True):
        ready = max((done[j] for j in before), default=0.0)
        if n == 0:
            those = [min(range(1, threads), key=free.__getitem__)]
        else:
            those = [*range(n)]
        for p in those:
            free[p] = max(free[p], ready) + use.work / max(n, 1) + (_HANDING_OVER if p else 0)
        done.append(max(free[p] for p in those))
    return max(free)


class Table:
    """Rows that the runner executes together.

    A matrix of rows is used without a copy, so that its words can be changed between calls. `step`
    is the address of the step block. Without `uses`, only one thread executes the rows.
    """

    def __init__(self, rows: Array | Sequence[Array], step: int, uses: Sequence[Use] = ()) -> None:
        run = runner.run
        if isinstance(rows, np.ndarray):
            self.rows = rows
        else:
            self.rows = aligned((len(rows), WORDS), np.int64)
            self.rows[:] = rows
        #: Cost of a step, in multiplications.
        self.work = sum(use.work for use in uses)
        self._uses = uses
        self._divided: tuple[int, Division | None] = (1, None)
        self.words = {"rows": self.rows.ctypes.data, "count": len(rows), "steps": 1, "step": step}
        self._head = run.row(**self.words)
        self._steps = FIRST + run.words.index("steps")
        self._address = self._head.ctypes.data
        self._run, self._call = _entry(run), _entry(run, _WITH_GIL)

    def run(self, steps: int) -> None:
        """Execute at most this many steps without the GIL; fewer if a kernel sets the stop flag."""
        self._head[self._steps] = steps
        self._run(self._address)

    def call(self) -> None:
        """Execute one step with the GIL, which saves time for a short step."""
        self._head[self._steps] = 1
        self._call(self._address)

    def division(self, threads: int) -> Division | None:
        """Return a schedule for several threads, or None if one thread is faster."""
        if self._divided[0] != threads:
            order = places(self._uses, threads)
            pays = any(place.parts != 1 for place in order)
            self._divided = threads, Division(self, order) if pays else None
        return self._divided[1]


class Division:
    """A table's rows, divided into tasks for several threads.

    It writes to the table's rows and owns the memory of tasks and lines (see `kernels.runner`).
    """

    def __init__(self, table: Table, order: Sequence[Place]) -> None:
        #: Number of threads that have tasks.
        self.threads = max(2, *(place.parts for place in order))
        parts = [  # row, part, number of parts
            (i, *part)
            for i, place in enumerate(order)
            if place.parts != 1
            for part in ([(p, place.parts) for p in range(1, place.parts)] or [(0, 1)])
        ]
        tasks = [[k for k, part in enumerate(parts) if part[0] == i] for i in range(len(order))]
        asked = {j for place in order for j in place.waits if order[j].parts}
        own = {j: len(parts) + k for k, j in enumerate(sorted(asked))}
        self._tasks = aligned((len(parts), runner.TASK), np.int64)
        self._lines = aligned((len(parts) + len(own), 8), np.int64)
        #: The caller's measurements (see `kernels.runner`).
        self.state = aligned((runner.STATE,), np.int64)
        for array in (self._tasks, self._lines, self.state):
            array.fill(0)
        self._lists: list[Array] = []

        def listed(array: Array, numbers: Iterable[int]) -> tuple[int, int]:
            """Return address and length of a list of the addresses of an array's rows."""
            self._lists.append(array.ctypes.data + array.strides[0] * np.array([*numbers], int))
            return self._lists[-1].ctypes.data, len(self._lists[-1])

        ends = [listed(self._tasks, (k for j in p.finishes for k in tasks[j])) for p in order]
        for i, (row, place, end) in enumerate(zip(table.rows, order, ends, strict=False)):
            row[[runner.PARTS, runner.FINISHES, runner.FINISH_COUNT]] = place.parts, *end
            row[runner.SAYS] = self._lines[own[i]].ctypes.data if i in own else 0
        for task, line, (i, part, count) in zip(self._tasks, self._lines, parts, strict=False):
            lines = (
                k for j in order[i].waits for k in [*tasks[j], *([own[j]] if j in own else ())]
            )
            waits = listed(self._lines, lines)
            task[:6] = table.rows[i].ctypes.data, part, count, line.ctypes.data, *waits
        run = runner.run_with_workers
        self._head = run.row(
            **table.words,
            tasks=self._tasks.ctypes.data,
            task_count=len(parts),
            last=ends[-1][0],
            last_count=ends[-1][1],
            state=self.state.ctypes.data,
            pool=0,
        )
        self._steps, self._pool = (FIRST + run.words.index(word) for word in ("steps", "pool"))
        self._run, self._address = _entry(run), self._head.ctypes.data

    def run(self, steps: int, pool: int) -> None:
        """Execute steps as `Table.run` does, with the worker threads of the pool at an address."""
        self._head[self._steps], self._head[self._pool] = steps, pool
        self._run(self._address)


# Created once, because each call of CFUNCTYPE or PYFUNCTYPE creates another class.
_WITHOUT_GIL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_WITH_GIL = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)


def _entry(kernel: Kernel, prototype: Any = _WITHOUT_GIL) -> Callable[[int], None]:
    """Return a function that calls a kernel with the address of a row.

    The kernel must ignore `part` and `parts`: omitting these arguments saves 0.2 us per call.
    """
    if config.COMPILES:
        return prototype(kernel.address)
    return lambda address: kernel(vector(address, WORDS, np.int64))
