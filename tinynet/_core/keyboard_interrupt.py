"""Handling of Ctrl-C between training steps, so that steps are all-or-nothing."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from types import FrameType
from typing import Any

compiling = 0  # number of kernels that are being compiled


class Deferred:
    """Context manager that defers Ctrl-C until `check` is called; a second Ctrl-C is not deferred.

    It works only in the main thread, and if no other code handles the signal; otherwise, the
    default behavior of Python is unchanged.
    """

    def __init__(self) -> None:
        self.pending = False
        self._installed = False

    def __enter__(self) -> Deferred:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            global compiling
            compiling = 0  # a failed compilation may not have decremented it
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        if self.pending:
            self._restore()
            raise KeyboardInterrupt
        self.pending = True
        if compiling > 0 and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # stderr may be in use
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
