"""Threads: worker threads in `fit`, each for a part of a kernel call, and parallel batches.

Handing a part to another thread through Python would cost more than computing it. So a worker is a
Python thread that enters compiled code once, without the GIL, and stays there: it waits for work in
shared memory, and sleeps if there has been none for a while. The protocol is defined in `kernels`;
this module starts and stops the workers.

A process has one thread pool at a time, which belongs to one `fit`. All other code (a second `fit`
in another thread, a process forked during `fit`) uses one thread, and its results are
bit-identical, because the work is divided between sums, or where one thread also adds two halves.
Prediction does not use the pool: `each` computes whole batches in parallel.
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

# Workers are started as soon as so many multiplications, which take about 2 ms, have been executed
# without them.
_WORTH_WORKERS = 1 << 27


class Pool:
    """The thread that creates it, and worker threads that execute rows with it.

    Parameters
    ----------
    n : int
        Number of threads, including the one that creates it.

    Examples
    --------
    >>> with pooled() as pool:
    ...     (pool is None) == (config.num_threads() == 1)
    True
    """

    def __init__(self, n: int) -> None:
        self.owner, self.n = threading.get_ident(), n
        #: Words of the protocol (`kernels.runner`).
        self.words = aligned((runner.BUSY + 8 * n,), np.int64)
        self.words.fill(0)
        self.words[[runner.THREADS, runner.NEEDED]] = n, 1
        self._address = self.words.ctypes.data
        self._started = 1  # threads, including this one
        self._work = 0  # which the workers could have shared
        self._held: Division | None = None  # the last one, which workers may still look at
        self._stopped = False
        self._can_share = False  # as far as is known
        # Locks, each held by its worker thread while it works.
        self._working = [threading.Lock() for _ in range(1, n)]

    def run(self, table: Table, steps: int) -> None:
        """Execute steps of a table, with workers if this is faster.

        Parameters
        ----------
        table : Table
            The rows. No worker executes one of them after this call.
        steps : int
            Number of steps; fewer are executed if a kernel sets the stop flag.
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
        """Return whether workers have code; the caller works alone until then."""
        if not self._can_share:
            self._can_share = not object_code.is_compiling([runner.run_with_workers, runner.work])
        return self._can_share

    def start(self, threads: int) -> None:
        """Start workers; if this is interrupted, `stop` ends those that run.

        Parameters
        ----------
        threads : int
            Number of threads that shall run, including this one.
        """
        if self._started == 1:
            self._worker = functools.partial(runner.work, runner.work.row(pool=self._address))
        for part in range(self._started, threads):
            self._started = part + 1
            # Where no thread can be started, the caller computes its parts. A signal handler that
            # raises within `Thread.start` would leave a thread that Python believes to be alive.
            with contextlib.suppress(RuntimeError):
                _thread.start_new_thread(self._help, (part,))

    def _help(self, part: int) -> None:
        # A method, so that the words live as long as a worker may use them.
        with self._working[part - 1]:
            self._worker(part)

    def stop(self) -> None:
        """Stop the workers, and wait for their end; those that start later end immediately."""
        self._stopped = True
        self.words[runner.END] = 1
        for working in self._working:
            with working:
                pass


# The pool of this process, if there is one.
_pools: dict[str, Pool] = {}


def most() -> int:
    """Return how many threads a call of the runner may use.

    Returns
    -------
    int
        The number, 1 or more.

    Examples
    --------
    >>> most() >= 1
    True
    """
    pool = current_pool()
    return max(min(config.num_threads(), processors()), 1 if pool is None else pool.n)


@contextlib.contextmanager
def pooled() -> Iterator[Pool | None]:
    """Use a pool within, if `config.set_num_threads` is set and no other thread has one.

    Yields
    ------
    Pool or None
        The pool, which `run` uses; None if there is one thread.

    Examples
    --------
    >>> with pooled() as pool:
    ...     pool is None
    True
    """
    n = min(config.num_threads(), processors())
    if n == 1 or config.backend() != "numba":
        yield None
        return
    pool = Pool(n)
    try:
        # Atomic, so that a signal handler that raises leaves no lock behind.
        first = _pools.setdefault("active", pool)
        yield pool if first is pool else None
    finally:
        try:
            pool.stop()
        finally:
            pool.stop()  # again, for a signal handler that raises before the first call, or within
            if _pools.get("active") is pool:  # a forked child has none
                del _pools["active"]


def current_pool() -> Pool | None:
    """Return the pool of the calling thread.

    Returns
    -------
    Pool or None
        None if it uses one thread.

    Examples
    --------
    >>> current_pool() is None
    True
    """
    pool = _pools.get("active")
    return pool if pool is not None and pool.owner == threading.get_ident() else None


def run(table: Table, steps: int) -> None:
    """Execute steps of a table, with the pool of the calling thread if it has one.

    Parameters
    ----------
    table : Table
        The rows.
    steps : int
        Number of steps; fewer are executed if a kernel sets the stop flag.

    Examples
    --------
    >>> from tinynet.kernels import step_results
    >>> from tinynet.program.row_order import Table
    >>> step, out = np.zeros(4, np.int64), np.zeros(16, np.float32)
    >>> words = {"source": np.ones(1, np.float32), "out": out}
    >>> row = step_results.spread.row(is_label=0, **{k: v.ctypes.data for k, v in words.items()})
    >>> run(Table([row], step.ctypes.data), 1)
    >>> int(out.sum())
    16
    """
    pool = current_pool()
    if pool is None:
        table.run(steps)
    else:
        pool.run(table, steps)


def each(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Call a function for each item, in parallel if `config.set_num_threads` is set.

    Parameters
    ----------
    function : callable
        Function that spends most of its time without the GIL.
    items : iterable
        Its arguments, prefetched in the calling thread.

    Yields
    ------
    object
        The results, in the order of the items.

    Examples
    --------
    >>> list(each(len, ["ab", "c"]))
    [2, 1]
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
            except RuntimeError:  # the interpreter is ending, or there are too many threads
                waiting.append(functools.partial(function, item))
            if len(waiting) > n:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()


def processors() -> int:
    """Count the processors that this process may use.

    Returns
    -------
    int
        The number.

    Examples
    --------
    >>> processors() >= 1
    True
    """
    return config._processors()


def _forget() -> None:
    """Remove, in a forked process, the threads that only its parent has."""
    pool = _pools.pop("active", None)
    if pool is not None:
        pool._working.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
