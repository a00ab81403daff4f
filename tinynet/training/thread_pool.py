"""Worker threads for kernel calls and for batches.

In `fit`, threads compute parts of a kernel call; in `evaluate` and `predict`, whole batches.

Dispatching a part to another thread through Python would take longer than computing it. A worker is
therefore a Python thread that enters compiled code once, without the GIL, and stays there: it polls
shared memory for work, and sleeps after a while without work. The protocol is defined in `kernels`;
this module starts and stops the workers.

A process has at most one thread pool, owned by one call of `fit`. All other code (a second `fit` in
another thread, a process forked during `fit`) uses one thread. Results are bit-identical for any
number of threads: no sum is split between threads unless a single thread splits it in the same way.
`evaluate` and `predict` do not use the pool: `each` computes whole batches in parallel.
"""

from __future__ import annotations

import _thread
import collections
import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tinynet import config
from tinynet._core.buffers import aligned
from tinynet.kernels import object_code, runner
from tinynet.program.row_order import Division, Table

# Workers are started after this number of multiplications, which takes about 2 ms on one thread.
_WORTH_WORKERS = 1 << 27


class Pool:
    """Thread pool of n threads, including the thread that creates it."""

    def __init__(self, n: int) -> None:
        self.owner, self.n = threading.get_ident(), n
        #: Shared-memory words of the worker protocol, which is defined in `kernels.runner`.
        self.words = aligned((runner.BUSY + 8 * n,), np.int64)
        self.words.fill(0)
        self.words[[runner.THREADS, runner.NEEDED]] = n, 1
        self._address = self.words.ctypes.data
        self._started = 1  # threads, including this one
        self._work = 0  # multiplications that workers could have shared
        self._held: Division | None = None  # last division, which workers may still read
        self._stopped = False
        self._can_share = False  # whether the workers' code is compiled
        # Each worker holds its lock while it runs.
        self._working = [threading.Lock() for _ in range(1, n)]

    def run(self, table: Table, steps: int) -> None:
        """Execute steps of a table, using workers if this is faster; a kernel may stop it early.

        No worker accesses the table after this call.
        """
        shares = self._working and not self._stopped and self._is_compiled()
        division = table.division(self.n) if shares else None
        if division is not None and self._started < division.threads:
            self._work += steps * table.work
            if self._work >= _WORTH_WORKERS:
                self.start(division.threads)
        if division is None or self._started == 1:
            table.run(steps)
            return
        try:
            division.run(steps, self._address)
        finally:
            self._held = division

    def _is_compiled(self) -> bool:
        """Return whether the workers' code is compiled; until then, no work is shared."""
        if not self._can_share:
            self._can_share = not object_code.is_compiling([runner.run_with_workers, runner.work])
        return self._can_share

    def start(self, threads: int) -> None:
        """Start workers until `threads` threads are running.

        If this is interrupted, `stop` stops the workers that were started.
        """
        if self._started == 1:
            self._worker = functools.partial(runner.work, runner.work.row(pool=self._address))
        for part in range(self._started, threads):
            self._started = part + 1
            # If no thread can be started, the caller computes its parts. `Thread.start` is not
            # used: a signal handler that raises in it would leave a thread that seems alive.
            with contextlib.suppress(RuntimeError):
                _thread.start_new_thread(self._help, (part,))

    def _help(self, part: int) -> None:
        # A bound method keeps `words` alive while a worker may use them.
        with self._working[part - 1]:
            self._worker(part)

    def stop(self) -> None:
        """Stop the workers and wait for them; workers that start later end immediately."""
        self._stopped = True
        self.words[runner.END] = 1
        for working in self._working:
            with working:
                pass


# Pool of this process, under the key "active".
_pools: dict[str, Pool] = {}


def most() -> int:
    """Return the maximum number of threads that a call of the runner may use."""
    pool = current_pool()
    return max(min(config.num_threads(), processors()), 1 if pool is None else pool.n)


@contextlib.contextmanager
def pooled() -> Iterator[Pool | None]:
    """Create a thread pool for a ``with`` block.

    Yield None if only one thread can be used, or if this process already has a pool.
    """
    n = min(config.num_threads(), processors())
    if n == 1 or config.backend() != "numba":
        yield None
        return
    pool = Pool(n)
    try:
        # `setdefault` is atomic. A lock could stay locked if a signal handler raised an exception.
        first = _pools.setdefault("active", pool)
        yield pool if first is pool else None
    finally:
        try:
            pool.stop()
        finally:
            pool.stop()  # again, in case a signal handler raised during the first call
            if _pools.get("active") is pool:  # not in a forked process
                del _pools["active"]


def current_pool() -> Pool | None:
    """Return the pool of the calling thread, or None."""
    pool = _pools.get("active")
    return pool if pool is not None and pool.owner == threading.get_ident() else None


def run(table: Table, steps: int) -> None:
    """Execute `steps` steps of a table, using the pool of the calling thread if there is one."""
    pool = current_pool()
    if pool is None:
        table.run(steps)
    else:
        pool.run(table, steps)


def each(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Yield the results of a function for all items in order, in parallel if threads are enabled.

    The function should release the GIL for most of its run time. Items are prefetched in the
    calling thread.
    """
    n = min(config.num_threads(), processors())
    if n == 1:
        yield from map(function, items)
        return
    waiting: collections.deque[Callable[[], Any]] = collections.deque()
    with ThreadPoolExecutor(n) as pool:
        for item in items:
            try:
                waiting.append(pool.submit(function, item).result)
            except RuntimeError:  # interpreter shutdown, or too many threads
                waiting.append(functools.partial(function, item))
            if len(waiting) > n:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()


def processors() -> int:
    """Return the number of processors that this process may use."""
    return config._processors()


def _forget() -> None:
    """Discard the pool in a forked process, which does not have the parent's threads."""
    pool = _pools.pop("active", None)
    if pool is not None:
        pool._working.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
