"""Ctrl-C between steps: a step is all-or-nothing."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from types import FrameType
from typing import Any

compiling = 0  # number of kernels that are being compiled, which takes seconds


class Deferred:
    """Context manager in which Ctrl-C waits for `check`; a second Ctrl-C does not wait.

    It only works in the main thread, and if no other code handles the signal; otherwise Python's
    own behavior is unchanged.

    Examples
    --------
    >>> with Deferred() as interrupt:
    ...     interrupt.check()
    """

    def __init__(self) -> None:
        self.pending = False
        self._installed = False

    def __enter__(self) -> Deferred:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            global compiling
            compiling = 0  # a failed compilation was not counted down
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        if self.pending:
            self._restore()
            raise KeyboardInterrupt
        self.pending = True
        if compiling > 0 and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # it may be in use
                how = "stopping after kernel compilation; press Ctrl-C again to stop immediately"
                print(f"\ntinynet: {how}", file=sys.stderr, flush=True)

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt

    def _restore(self) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._installed = False

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._restore()
        if kind is None:
            self.check()
