"""Arguments of commands, and files of results.

Both are checked before the work. The files are locked and replaced atomically.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinynet._core.atomic_files import require_writable, write_atomically

#: Folder of the results that are committed.
RESULTS = Path(__file__).resolve().parent / "results"


class ResultsError(argparse.ArgumentTypeError):
    """An argument or a file of results cannot be used; the message states the reason."""


def at_least(least: int) -> Callable[[str], int]:
    """Return an argparse type for integers."""

    def integer(text: str) -> int:
        if text.isdecimal() and int(text) >= least:
            return int(text)
        raise ResultsError(f"must be an integer >= {least}. Received: {text}")

    return integer


positive = at_least(1)


def output_file(text: str) -> Path:
    """Return the path of a file that can be written, for argparse."""
    try:
        require_writable(path := Path(text))
    except OSError as error:
        raise ResultsError(f"must be writable. Received: {text} ({error.strerror})") from None
    return path


def output_folder(text: str) -> Path:
    """Return the path of a folder in which files can be written, for argparse."""
    return output_file(str(Path(text) / "results.json")).parent


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the output folder, which is checked even if it is not given."""
    out = "output folder (default: benchmarks/results)"
    parser.add_argument(
        "--out", type=output_folder, default=str(RESULTS), metavar="FOLDER", help=out
    )


def require_keras(parser: argparse.ArgumentParser) -> Any:
    """Return the module with Keras on TensorFlow, or exit with an error if it is not available."""
    try:
        return importlib.import_module("reference.keras_net")
    except (ImportError, RuntimeError) as error:  # not installed, or another backend
        parser.error(f"Keras and TensorFlow must be installed. Received: {error}")


def load(path: Path, default: Any, is_valid: Callable[[Any], bool]) -> Any:
    """Return the contents of a JSON file, or a default if it does not exist.

    Raises ResultsError if the file cannot be read or its contents are not valid.
    """
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else default
        if is_valid(found):
            return found
    expected = "JSON that the same command wrote; repair it, remove it or choose another file"
    raise ResultsError(f"the file of results must contain {expected}. Received: {path}")


def save(result: Any, path: Path) -> None:
    """Write a result in JSON format, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    write_atomically(path, lambda file: file.write(f"{text}\n".encode()))


@contextlib.contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Lock a file of results during a with statement, if the system has locks.

    Its folder is created. Another file next to it is locked, because the file itself is replaced.
    If `wait` is False and another process holds the lock, ResultsError is raised.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("ab") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            reason = "the file of results must not be in use by another run"
            raise ResultsError(f"{reason}. Received: {path}") from None
        except (ImportError, OSError):  # not every system and file system supports locks
            pass
        yield
