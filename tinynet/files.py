"""Writing a file whole or not at all.

A program that is stopped, or a disk that fills up, in the middle of writing leaves half a file, and
half a model loads wrongly or not at all.  Everything that tinynet keeps (models, histories,
downloads) is therefore written to a temporary file beside its place, which has no name where the
system can do without, and moved there in one step when complete.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["write_atomically"]

# No file takes so long to be written without a byte in between.
_FORGOTTEN_SECONDS = 600


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that its name never shows anything but a complete file.

    Whatever goes wrong, KeyboardInterrupt included, an older file of that name stays as it was and
    nothing else is left behind.  A symbolic link stays a link; what it points to is replaced.

    Parameters
    ----------
    path : Path
        The file to write; its folder must exist.  A device or pipe, such as ``/dev/stdout``, is
        written straight, for it must not be replaced.
    write : callable
        ``write(file)`` writes the contents to the open binary file it is given; what it returns is
        not used.

    Raises
    ------
    OSError
        The file cannot be written: no such folder, no permission, no space.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "figures.json"
    ...     write_atomically(path, lambda file: file.write(b"[1, 2]"))
    ...     [path.read_bytes(), os.listdir(folder)]
    [b'[1, 2]', ['figures.json']]
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as file:
            write(file)
        return
    target = Path(os.path.realpath(path))
    prefix = f".{zlib.crc32(target.name.encode()):08x}-"
    temporary = target.with_name(f"{prefix}{secrets.token_hex(8)}.tmp")
    try:
        unnamed = _open_unnamed(target.parent)
        with temporary.open("xb") if unnamed is None else open(unnamed, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if unnamed is not None:
                _name(unnamed, temporary)
        os.replace(temporary, target)
    except OSError as error:
        if error.filename == str(temporary):  # the user knows the file by its own name only
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
    _sweep(target.parent, prefix)
    # The new name itself survives a power cut only once the folder is on disk; not every
    # system can do that to a folder.
    with contextlib.suppress(OSError):
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _open_unnamed(folder: Path) -> int | None:
    """Open a file that has no name yet, so that a process that is killed leaves nothing behind."""
    if not hasattr(os, "O_TMPFILE") or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except OSError:  # not on this file system; if it is the folder, `open` says so
        return None


def _sweep(folder: Path, prefix: str) -> None:
    """Remove what an earlier process left that was killed in the moment before the last."""
    with contextlib.suppress(OSError):
        for left in folder.glob(f"{prefix}*.tmp"):
            if time.time() - left.stat().st_mtime > _FORGOTTEN_SECONDS:
                left.unlink(missing_ok=True)


def _name(unnamed: int, path: Path) -> None:
    """Give an open file a name."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.link(f"/proc/self/fd/{unnamed}", path.name, dst_dir_fd=folder)
    finally:
        os.close(folder)
