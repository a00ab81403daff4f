"""Keras' progress bar, or one line per epoch if the output is not a terminal.

A bar is redrawn in place, which only terminals and notebooks support. In a pipe or a file, each
epoch writes one line. If the stream cannot encode the bar, it is drawn in ASCII. Values are never
truncated.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar, TextIO
from unicodedata import category, east_asian_width

import numpy as np

from tinynet._core import checks

_COLORS = "\033[1m", "\033[32m", "\033[37m", "\033[0m"  # bold, green, white, end
_CELLS = 20
_INTERVAL = 0.05


def is_live(stream: TextIO | None = None) -> bool:
    """Return whether a stream (default: standard output) is a terminal or a notebook."""
    stream = stream or sys.stdout
    if type(stream).__module__.startswith("ipykernel"):
        return True
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        return bool(getattr(stream, "isatty", lambda: False)())
    except (OSError, ValueError):  # ValueError: the stream is closed or detached
        return False


def can_encode(text: str, stream: TextIO | None = None) -> bool:
    """Return whether a stream (default: standard output) can encode a string."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def write(text: str, stream: TextIO | None = None, strict: bool = False) -> None:
    r"""Write text to a stream; replace characters that it cannot encode with question marks.

    If the stream is closed or broken, such as a pipe whose reader has exited, the text is dropped
    so that training continues, unless `strict` is True.
    """
    stream = stream or sys.stdout
    if stream is None:  # a program without a console
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(text.encode(encoding, "replace").decode(encoding))
        getattr(stream, "flush", lambda: None)()
    except (OSError, ValueError):  # ValueError: the stream is closed or detached
        if strict:
            raise


def formatted_metrics(logs: Mapping[str, Any]) -> list[str]:
    """Format metrics as Keras does: four decimals, in scientific notation if they are small."""
    texts = (f" - {name}: {_value(value)}" for name, value in logs.items())
    return ["".join(c if c.isprintable() else " " for c in text) for text in texts]


def _value(value: Any) -> str:
    if type(value) in (float, int) or isinstance(value, np.number):
        return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=4, threshold=20, max_line_width=sys.maxsize)
    return str(value)


def _width(text: str) -> int:
    """Return the number of columns that a string occupies on a terminal."""
    return sum(
        0 if category(c) in ("Mn", "Me", "Cf") else 1 + (east_asian_width(c) in "WF") for c in text
    )


def duration(seconds: float) -> str:
    """Format a duration in s, ms or us."""
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def clock(seconds: float) -> str:
    """Format a duration in hours, minutes and seconds."""
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}" if m else f"{s}s"


class Progress:
    """Progress bar of one epoch, one evaluation or one prediction.

    `target` is the number of steps, or None if it is unknown. `verbose` is 0 for no output, 1 for
    the bar, or 2 for one line at the end. `start` is the value of `time.perf_counter` at the
    beginning.
    """

    # Bar whose line is incomplete.
    _open: ClassVar[Progress | None] = None

    def __init__(
        self,
        target: int | None,
        verbose: int = 1,
        stream: TextIO | None = None,
        start: float | None = None,
    ) -> None:
        self.target, self.stream, self.silent = target, stream or sys.stdout, verbose == 0
        self.live = verbose == 1 and is_live(self.stream)
        self.last = self._made = time.perf_counter()
        self.start = self._made if start is None else start
        self._first: tuple[float, int] | None = None
        self._drawn = 0

    def wants(self, done: int) -> bool:
        """Return whether `draw` should be called after this number of steps."""
        if self.silent or (self._first and not self.live):
            return False
        now = time.perf_counter()
        self._first = self._first or (now, done)
        return self.live and now - self.last >= _INTERVAL

    def draw(self, done: int, logs: Mapping[str, Any]) -> None:
        """Redraw the bar, with as many metrics as fit."""
        self.last = now = time.perf_counter()
        left = 0 if self.target is None else self.target - done
        seconds = self._step(done, now) * left if left else now - self.start
        self._show(self._lines(done, logs, clock(seconds))[0])

    def finish(self, done: int, logs: Mapping[str, Any]) -> None:
        """Draw the final bar or line; metrics that do not fit are written on additional lines."""
        now = time.perf_counter()
        took = clock(now - self.start)
        self.target = self.target or done
        if self.live:
            first, *others = self._lines(done, logs, took, final=True)
            self._show(first, "\n" + "".join(f"{line}\n" for line in others))
        elif not self.silent:
            step = duration(self._step(done, now))
            self._complete_others()
            text = f"{done}/{self.target} - {took} - {step}/step{''.join(formatted_metrics(logs))}"
            write(f"{text}\n", self.stream)

    def _step(self, done: int, now: float) -> float:
        """Return the time per step, excluding the first step, which includes compilation."""
        first, steps = self._first or (now, done)
        return (now - first) / (done - steps) if done > steps else (now - self._made) / max(done, 1)

    def _lines(
        self, done: int, logs: Mapping[str, Any], clock_text: str, final: bool = False
    ) -> list[str]:
        """Lay out the bar: first shrink it, then drop metrics or, if final, add lines."""
        notebook = type(self.stream).__module__.startswith("ipykernel")  # wraps long lines
        room = sys.maxsize if notebook else shutil.get_terminal_size().columns - 1
        target = "?" if self.target is None else str(self.target)
        count = f"{done:>{len(target)}}/{target}"
        step = f" {duration(self._step(done, time.perf_counter()))}/step"
        lines, fixed = [step], len(count) + len(clock_text) + 2
        for text in formatted_metrics(logs):
            if fixed * (len(lines) == 1) + _width(lines[-1] + text) <= room:
                lines[-1] += text
            elif final:
                lines.append(text)
            else:
                break
        if fixed + _width(lines[0]) > room:  # even the time per step does not fit
            lines[0] = ""
        cells = max(min(_CELLS, room - fixed - _width(lines[0])), 0)
        filled = min(cells * done // (self.target or done or 1), cells) if self.target else 0
        plain = bool(os.environ.get("NO_COLOR"))
        bold, green, white, end = ("",) * 4 if plain else _COLORS
        fill, rest = ("━", "─" if plain else "━") if can_encode("━", self.stream) else ("=", ".")
        bar = f"{green}{fill * filled}{end}{white}{rest * (cells - filled)}{end}"
        lines[0] = f"{bold}{count}{end} {bar} {bold}{clock_text}{end}{lines[0]}"
        return lines

    def _complete_others(self) -> None:
        """Start a new line if the line of another bar, such as that of an outer `fit`, is open."""
        other, Progress._open = Progress._open, None
        if other not in (None, self) and other.stream is self.stream:
            other._drawn = 0
            write("\n", self.stream)

    def _show(self, line: str, after: str = "") -> None:
        """Redraw the line, padded with blanks if the previous line was longer."""
        self._complete_others()
        visible = _width(re.sub(r"\033\[\d+m", "", line))
        blanks = " " * max(self._drawn - visible, 0)
        self._drawn = visible
        Progress._open = None if after else self
        write(f"\r{line}{blanks}{after}", self.stream)


def as_verbose(verbose: Any) -> int:
    """Convert Keras' argument `verbose` to 0, 1 or 2."""
    checks.choice("verbose", verbose, ("auto", 0, 1, 2, False, True))
    return 1 if verbose == "auto" else int(verbose)
