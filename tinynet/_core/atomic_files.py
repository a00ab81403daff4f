"""Atomic writing of files: a file is replaced completely or not at all.

If a program is stopped or the disk is full during writing, an incomplete file would remain, from
which a model cannot be loaded. All files that tinynet saves (models, histories, downloads) are
therefore written to a temporary file in the same folder and renamed when complete. On systems that
support it, the temporary file has no name until it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["require_writable", "write_atomically"]

_LOCKS = os.name == "posix"
# Minimum age of stale temporary files that are removed on systems without file locks.
_STALE_SECONDS = 600


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file atomically: its name always refers to a complete file.

    If an exception is raised, including KeyboardInterrupt, an existing file of that name is
    unchanged and no other file remains. A process that is killed between naming the complete
    temporary file and renaming it leaves that file; the next call for the same path removes it.

    An existing file is replaced, not overwritten. The new file gets its permissions and, as far as
    the system allows, its owner and group. A symbolic link is kept; its target is replaced. Other
    hard links to the existing file keep the old contents.

    Parameters
    ----------
    path : Path
        File to write; its folder must exist. A device or pipe, such as ``/dev/stdout``, is written
        directly, because it must not be replaced.
    write : callable
        ``write(file)`` writes the contents to an open binary file; its result is ignored.

    Raises
    ------
    OSError
        If the file cannot be written, for example because the folder does not exist, permission is
        denied or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "metrics.json"
    ...     write_atomically(path, lambda file: file.write(b"[1, 2]"))
    ...     [path.read_bytes(), os.listdir(folder)]
    [b'[1, 2]', ['metrics.json']]
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as device:
            write(device)
        return
    target = Path(os.path.realpath(path))
    if target.is_symlink():  # a cycle of links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    prefix = f".{zlib.crc32(os.fsencode(target.name)):08x}-"
    temporary = target.with_name(f"{prefix}{secrets.token_hex(8)}.tmp")
    try:
        file, named = _open(temporary)
        with file:
            _keep_attributes(file, target)
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if not _LOCKS:  # Windows doesn't rename open files
                file.close()
            if not (named or _name(file, target)):
                _name(file, temporary)
                named = True
            if named:
                os.replace(temporary, target)
    except OSError as error:
        if error.filename == str(temporary):  # the message must contain the user's path
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
    _sweep(target.parent, prefix)
    # The new name survives a power failure only if the folder is synchronized, which not every
    # system supports.
    with contextlib.suppress(OSError):
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def require_writable(path: Path) -> None:
    """Check that a file can be written, or created together with its missing folders."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _open(path: Path) -> tuple[BinaryIO, bool]:
    """Open a locked temporary file, unnamed if possible; return it and whether it has a name."""
    if hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").is_dir():
        with contextlib.suppress(OSError):  # errors of the folder are raised below
            unnamed = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
            file = open(unnamed, "wb")  # noqa: SIM115  # closed by the caller
            _lock(file)
            return file, False
    while True:
        file = path.open("xb")
        # Another process may have removed the file before it was locked.
        if not _lock(file) or os.fstat(file.fileno()).st_nlink:
            return file, True
        file.close()


def _lock(file: BinaryIO, wait: bool = True) -> bool:
    """Lock a file to show that its process is alive; return False if locks are not supported."""
    if not _LOCKS:
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:  # not every network file system supports locks
        return False
    return True


def _keep_attributes(file: BinaryIO, older: Path) -> None:
    """Copy the permissions and, if allowed, the owner of the file that is replaced."""
    try:
        kept = older.stat()
    except OSError:  # no existing file, or an error that `_open` or `os.replace` raises
        return
    if hasattr(os, "fchown"):
        for owner in ((kept.st_uid, -1), (-1, kept.st_gid)):
            with contextlib.suppress(OSError):
                os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), kept.st_mode & 0o777)


def _sweep(folder: Path, prefix: str) -> None:
    """Remove temporary files of processes that were killed; a live process locks its file."""
    for left in folder.glob(f"{prefix}*.tmp"):
        # A locked file also raises an OSError.
        with contextlib.suppress(OSError), left.open("rb") as file:
            if _lock(file, wait=False) or time.time() - left.stat().st_mtime > _STALE_SECONDS:
                left.unlink()


def _name(file: BinaryIO, path: Path) -> bool:
    """Link an unnamed open file to a name; return False if the name is taken."""
    try:
        # With `src_dir_fd`, the system follows the absolute /proc link to the file.
        os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=file.fileno())
    except FileExistsError:
        return False
    return True
