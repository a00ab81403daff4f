"""Several threads: helpers in `fit`, each for a part of a kernel call, and batches side by side.

Handing a part to another thread by Python's means would cost more than computing it. So a helper
is a Python thread that enters compiled code once, without the GIL, and stays there: it looks for
work in shared memory, and dozes when there has been none for a while. The protocol stands in
`kernels`; here is who has the helpers, and when.

A process has one team at a time, made for one `fit`. Whoever has none (a second `fit` in another
thread, a child that was forked in the middle) computes alone and gets the same bits, since the
work is cut between sums, or where one thread adds two halves as well. Prediction needs none of
this: there `each` has whole batches computed side by side.
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
from tinynet.variable import Array, aligned
from tinynet.workspace import Workspace

_FLOAT32 = np.dtype(np.float32)
# Below so many numbers in the result, handing over costs more than it gains.
_SMALLEST = {"dense": 1 << 10, "gradient": 1 << 14, "adam": 1 << 14}


class Team:
    """The thread that makes it, and its helpers.

    Parameters
    ----------
    n : int
        How many threads they are together.

    Examples
    --------
    >>> with helping():
    ...     isinstance(current(), Team) == (config.num_threads() > 1)
    True
    """

    def __init__(self, n: int) -> None:
        from tinynet.kernels import helpers

        self._protocol: Any = helpers
        self.owner = threading.get_ident()
        #: Buffers for what helpers write.
        self.work = Workspace()
        # The arrays of the last two jobs: while one is begun, the other may not have ended.
        self._held: tuple[tuple[Array, ...], ...] = ((), ())
        #: What they and their helpers talk through, for a kernel that does several jobs.
        self.boxes = aligned((n, helpers.BOX), np.int64)
        self.boxes.fill(0)
        self._stops = self.boxes[1:, helpers.STOP]
        self._stops.fill(1)
        helpers.work(self.boxes, n - 1)  # is compiled here, and returns at once
        #: Locks, each held by its worker thread while it works.
        self._working = [threading.Lock() for _ in range(1, n)]

    def start(self) -> None:
        """Start the worker threads; whatever interrupts this, `stop` ends those that run."""
        self._stops.fill(0)
        for part in range(1, len(self.boxes)):
            # Where no thread can be started, the caller computes its parts. A signal handler that
            # raises within `Thread.start` would leave a thread that Python believes to be alive.
            with contextlib.suppress(RuntimeError):
                _thread.start_new_thread(self._help, (part,))

    def _help(self, part: int) -> None:
        # As a method: what is held lives as long as a helper may use it.
        with self._working[part - 1]:
            self._protocol.work(self.boxes, part)

    def stop(self) -> None:
        """Let the helpers end, and wait until they have; those that begin later end at once."""
        self._stops.fill(1)
        for working in self._working:
            with working:
                pass

    def begin(self, job: str, *arrays: Array) -> tuple[Array, ...]:
        """Offer the parts of a job; what was begun before has ended then, or is dropped.

        Parameters
        ----------
        job : {"dense", "sort", "gradient", "adam"}
            The kernel.
        *arrays : ndarray
            Its arguments, contiguous: float32, and the integers of `CompressedRows`. For
            ``"adam"`` the last one holds its four constants.

        Returns
        -------
        tuple of ndarray
            The arguments, to ask for with `has_begun`.
        """
        self._held = (self._held[1], arrays)
        self._protocol.offer(self.boxes, getattr(self._protocol, job.upper()), *arrays)
        return arrays

    def has_begun(self, arrays: tuple[Array, ...]) -> bool:
        """Say whether these are the arguments of the last job.

        Parameters
        ----------
        arrays : tuple of ndarray
            What `begin` returned.

        Returns
        -------
        bool
            Whether no other one has been begun since.
        """
        return self._held[1] is arrays

    def finish(self) -> None:
        """Compute what nobody else does of the last job, and wait for the rest."""
        self._protocol.work(self.boxes, 0)


#: The team of this process, if there is one.
active: Team | None = None
_lock = threading.Lock()


def current() -> Team | None:
    """Return the calling thread's team.

    Returns
    -------
    Team or None
        None where it computes alone.

    Examples
    --------
    >>> current() is None
    True
    """
    team = active
    return team if team is not None and team.owner == threading.get_ident() else None


def team_for(job: str, out: Array, *others: Array) -> Team | None:
    """Return the calling thread's team if a job is worth its while, and one that it can do.

    Parameters
    ----------
    job : {"dense", "gradient", "adam"}
        The kernel.
    out : ndarray
        What it writes.
    *others : ndarray
        Of its arguments, those whose type or layout is not known to be right.

    Returns
    -------
    Team or None
        None where the kernel shall be called as a whole.

    Examples
    --------
    >>> team_for("adam", np.zeros(3, np.float32)) is None
    True
    """
    team = current()
    if team is None or out.size < _SMALLEST[job]:
        return None
    for array in (out, *others):
        if array.dtype is not _FLOAT32 or not array.flags.c_contiguous:
            return None
    return team


@contextlib.contextmanager
def helping() -> Iterator[None]:
    """Have a team within, if `config.set_num_threads` asked for one and no other thread has it.

    Yields
    ------
    None
        Nothing; what is computed asks for `current`.

    Examples
    --------
    >>> with helping():
    ...     current() is None
    True
    """
    global active
    lock, n = _lock, min(config.num_threads(), processors())
    if n == 1 or config.backend() != "numba" or not lock.acquire(blocking=False):
        yield
        return
    try:
        team = Team(n)
        try:
            try:
                active = team
                team.start()
                yield
            finally:
                team.stop()
        finally:
            # Once more, for a signal handler that raises before the first had begun.
            team.stop()
            if active is team:  # a forked child has none
                active = None
    finally:
        lock.release()


def each(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Call a function for each item, several at once if `config.set_num_threads` said so.

    Parameters
    ----------
    function : callable
        What is called; most of its time without the GIL.
    items : iterable
        Its arguments, asked for in the calling thread, a few ahead.

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
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _forget() -> None:
    """Forget, in a forked child, the threads that only its parent has."""
    global active, _lock
    if active is not None:
        active._working.clear()
    active, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
