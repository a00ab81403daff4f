"""Writing a file whole or not at all.

A program that is stopped, or a disk that fills up, in the middle of writing leaves half a file, and
half a model loads wrongly or not at all.  Everything that tinynet keeps (models, histories,
downloads) is therefore written to a temporary file beside its place and moved there in one step
when complete.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["write_atomically"]


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
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if error.filename == str(temporary):  # the user knows the file by its own name only
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
    # The new name itself survives a power cut only once the folder is on disk; not every
    # system can do that to a folder.
    with contextlib.suppress(OSError):
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
