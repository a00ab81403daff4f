"""Files of results: read and checked before the work, locked, and replaced atomically."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinynet._core.atomic_files import write_atomically


class ResultsError(argparse.ArgumentTypeError):
    """A file of results cannot be used; the message states the reason."""


def load(path: Path, is_valid: Callable[[Any], bool]) -> Any:
    """Return the contents of a JSON file, or None if it does not exist.

    Raises ResultsError if the file cannot be read or its contents are not valid.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        found = None
    if not is_valid(found):
        raise ResultsError(
            "the file of results must be a JSON file that the same command wrote; "
            f"repair it, remove it or choose another one. Received: {path}"
        )
    return found


def save(result: Any, path: Path) -> None:
    """Write a result in JSON format, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    write_atomically(path, lambda file: file.write(f"{text}\n".encode()))


@contextlib.contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Lock a file of results during a with statement, if the system has locks.

    Another file next to it is locked, because the file itself is replaced. If `wait` is False and
    another process holds the lock, ResultsError is raised.
    """
    if os.name != "posix":
        yield
        return
    import fcntl

    lock = path.with_name(f".{path.name}.lock")
    while True:
        with lock.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                reason = "the file of results must not be in use by another run"
                raise ResultsError(f"{reason}. Received: {path}") from None
            except OSError:  # not every network file system supports locks
                pass
            # The process that held the lock before has removed the file.
            if os.fstat(file.fileno()).st_nlink == 0:
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return
