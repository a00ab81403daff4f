"""What a person sees while it runs: Keras' progress bar, or one line where there is no terminal.

A bar is redrawn in place, which only terminals and notebooks can do. Anywhere else, a pipe or a
file, each epoch gives one line. Where the stream can't encode the bar, it is drawn in ASCII.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

_BOLD, _GREEN, _WHITE, _END = "\033[1m", "\033[32m", "\033[37m", "\033[0m"
_CELLS = 20
_INTERVAL = 0.05


def is_live(stream: TextIO | None = None) -> bool:
    """Say whether a line can be drawn over: on a terminal and in a notebook.

    Parameters
    ----------
    stream : text stream, optional
        By default standard output.

    Returns
    -------
    bool
        Whether it can.

    Examples
    --------
    >>> import io
    >>> is_live(io.StringIO())
    False
    """
    stream = stream or sys.stdout
    if type(stream).__module__.startswith("ipykernel"):
        return True
    if getattr(stream, "closed", False) or os.environ.get("TERM") == "dumb":
        return False
    return bool(getattr(stream, "isatty", lambda: False)())


def can_encode(text: str, stream: TextIO | None = None) -> bool:
    """Say whether a stream can hold a text.

    Parameters
    ----------
    text : str
        The text.
    stream : text stream, optional
        By default standard output.

    Returns
    -------
    bool
        Whether it can.

    Examples
    --------
    >>> can_encode("plain")
    True
    """
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def write(text: str, stream: TextIO | None = None) -> None:
    r"""Write a text to a stream; what it can't encode becomes a question mark.

    If the stream is closed or broken, for example a pipe whose reader has ended, the text is lost:
    a training must not end because nobody reads its progress.

    Parameters
    ----------
    text : str
        The text.
    stream : text stream, optional
        By default standard output.

    Examples
    --------
    >>> write("4/4 - 0s\n")
    4/4 - 0s
    """
    stream = stream or sys.stdout
    if stream is None:  # a program without a console
        return
    if not can_encode(text, stream):
        encoding = getattr(stream, "encoding", None) or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
    try:
        stream.write(text)
        getattr(stream, "flush", lambda: None)()
    except (OSError, ValueError):  # a ValueError if it is closed
        return


def figures(logs: Mapping[str, float]) -> str:
    """Write figures down as Keras does: four digits, in powers of ten where they are small.

    Parameters
    ----------
    logs : mapping of str to float
        The figures.

    Returns
    -------
    str
        For example ``" - accuracy: 0.9766 - loss: 0.0812"``.

    Examples
    --------
    >>> figures({"accuracy": 0.97661, "loss": 0.00012})
    ' - accuracy: 0.9766 - loss: 1.2000e-04'
    """
    return "".join(
        f" - {name}: {value:.4f}" if abs(value) > 1e-3 else f" - {name}: {value:.4e}"
        for name, value in logs.items()
    )


def duration(seconds: float) -> str:
    """Write a short time down.

    Parameters
    ----------
    seconds : float
        The time.

    Returns
    -------
    str
        In s, ms or us.

    Examples
    --------
    >>> duration(2.0), duration(0.0304), duration(0.00005)
    ('2s', '30ms', '50us')
    """
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def clock(seconds: float) -> str:
    """Write a longer time down.

    Parameters
    ----------
    seconds : float
        The time.

    Returns
    -------
    str
        In hours, minutes and seconds.

    Examples
    --------
    >>> clock(7), clock(67), clock(3607)
    ('7s', '1:07', '1:00:07')
    """
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}" if m else f"{s}s"


class Progress:
    """The bar of one epoch, one evaluation or one prediction.

    Parameters
    ----------
    target : int or None
        The number of steps, where it is known.
    verbose : {0, 1, 2}
        Nothing, the bar, or one line at the end.
    stream : text stream, optional
        By default standard output.

    Examples
    --------
    >>> bar = Progress(2, verbose=0)
    >>> bar.wants(1)
    False
    """

    def __init__(self, target: int | None, verbose: int = 1, stream: TextIO | None = None) -> None:
        self.target = target
        self.stream = stream or sys.stdout
        self.live = verbose == 1 and is_live(self.stream)
        self.silent = verbose == 0
        self.start = self.first = self.last = time.perf_counter()
        self._drawn = 0

    def wants(self, done: int) -> bool:
        """Say whether it is time to draw the bar again.

        Parameters
        ----------
        done : int
            The number of steps done.

        Returns
        -------
        bool
            Whether `draw` should be called.
        """
        if not self.live:
            return False
        now = time.perf_counter()
        if done == 1:
            self.first = now
        return now - self.last >= _INTERVAL

    def draw(self, done: int, logs: Mapping[str, float]) -> None:
        """Draw the bar over the one before.

        Parameters
        ----------
        done : int
            The number of steps done.
        logs : mapping of str to float
            The figures to show.
        """
        self.last = now = time.perf_counter()
        left = 0 if self.target is None else self.target - done
        seconds = self._step(done, now) * left if left else now - self.start
        self._show(self._line(done, logs, clock(seconds)))

    def finish(self, done: int, logs: Mapping[str, float]) -> None:
        """Draw the bar for the last time, or write the line.

        Parameters
        ----------
        done : int
            The number of steps done.
        logs : mapping of str to float
            The figures to show.
        """
        now = time.perf_counter()
        took = clock(now - self.start)
        self.target = self.target or done
        if self.live:
            self._show(self._line(done, logs, took) + "\n")
        elif not self.silent:
            step = duration(self._step(done, now))
            line = f"{done}/{self.target} - {took} - {step}/step{figures(logs)}\n"
            write(line, self.stream)

    def _step(self, done: int, now: float) -> float:
        """Return the time of one step; the first, which warms up, is left out."""
        return (now - self.first) / (done - 1) if done > 1 else now - self.start

    def _line(self, done: int, logs: Mapping[str, float], clock_text: str) -> str:
        step = duration(self._step(done, time.perf_counter()))
        target = "?" if self.target is None else str(self.target)
        count = f"{done:>{len(target)}}/{target}"
        tail = f" {step}/step{figures(logs)}"
        columns = shutil.get_terminal_size().columns
        room = columns - len(count) - len(clock_text) - 3
        cells = max(min(_CELLS, room - len(tail)), 0)
        tail = tail[: max(room - cells, 0)]
        filled = min(cells * done // (self.target or done or 1), cells) if self.target else 0
        fill, rest = ("━", "━") if can_encode("━", self.stream) else ("=", ".")
        bar = f"{_GREEN}{fill * filled}{_END}{_WHITE}{rest * (cells - filled)}{_END}"
        return f"{_BOLD}{count}{_END} {bar} {_BOLD}{clock_text}{_END}{tail}"

    def _show(self, line: str) -> None:
        """Draw over the line before, with blanks where that was longer."""
        visible = len(line)
        for code in (_BOLD, _GREEN, _WHITE, _END, "\n"):
            visible -= len(code) * line.count(code)
            if os.environ.get("NO_COLOR") and code != "\n":
                line = line.replace(code, "")
        blanks = " " * max(self._drawn - visible, 0)
        body, newline = (line[:-1], "\n") if line.endswith("\n") else (line, "")
        self._drawn = visible
        write(f"\r{body}{blanks}{newline}", self.stream)


def as_verbose(verbose: Any) -> int:
    """Read Keras' argument `verbose`.

    Parameters
    ----------
    verbose : {"auto", 0, 1, 2} or bool
        ``"auto"`` is 1.

    Returns
    -------
    int
        0, 1 or 2.

    Examples
    --------
    >>> as_verbose("auto"), as_verbose(False)
    (1, 0)
    """
    if verbose == "auto":
        return 1
    if isinstance(verbose, bool | int) and int(verbose) in (0, 1, 2):
        return int(verbose)
    raise ValueError(f"verbose must be 'auto', 0, 1 or 2. Received: verbose={verbose!r:.60}")
