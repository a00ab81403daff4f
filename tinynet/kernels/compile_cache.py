"""The compile cache: object code of kernels in files, found and checked without Numba.

``$TINYNET_CACHE/kernels`` (or ``kernels`` in the user's cache folder) has one folder for each
combination of what machine code depends on: the sources of the kernels, the processor, Python,
NumPy, Numba and LLVM, and settings. It may be deleted at any time. There, each kernel is a file::

    SHA-256 of all that follows and of the names of the folder and the file      32 bytes
    names of the functions that the code calls, with spaces between them, and a line feed
    object code, as LLVM writes it

A file is written atomically, and used only if its checksum is right and nobody else can have
written it: machine code that is loaded will be executed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from tinynet import config
from tinynet._core.cache_folder import cache_folder
from tinynet.kernels.numba_functions import CPU, FEATURES

_KEPT_DAYS = 90  # after that, the unused folder of another version is removed
#: The folder of the sources that all machine code depends on.
SOURCES = Path(__file__).parent
# Read as soon as possible after they are imported, since a file may be replaced at any time.
_sources = hashlib.sha256(b"".join(f.read_bytes() for f in sorted(SOURCES.glob("*.py")))).digest()


class Object(NamedTuple):
    """Object code of a kernel, and the names of the functions that it calls."""

    symbols: tuple[str, ...]
    data: bytes


def read(name: str) -> Object | None:
    """Return a kernel's object code, or None if there is none that can be trusted."""
    if (folder := _folder()) is None:
        return None
    try:
        # The owner of the open file is checked, so that it cannot be replaced in between.
        with open(folder / name, "rb") as file:
            trusted = _is_own(os.fstat(file.fileno()))
            digest, content = file.read(32), file.read()
    except OSError:
        return None
    if not trusted or digest != _digest(folder / name, content):
        return None
    symbols, _, data = content.partition(b"\n")
    return Object(tuple(symbols.decode().split()), data)


def write(name: str, code: Object) -> None:
    """Write a kernel's object code, if possible.

    It is not flushed to disk, as a model is: the checksum finds an incomplete file, and waiting for
    the disk would cost as much as compiling a small kernel.
    """
    with contextlib.suppress(OSError):
        if (folder := _folder()) is None:
            return
        content = " ".join(code.symbols).encode() + b"\n" + code.data
        handle, temporary = tempfile.mkstemp(dir=folder)
        try:
            with open(handle, "wb") as file:
                file.write(_digest(folder / name, content) + content)
            os.replace(temporary, folder / name)
        finally:
            Path(temporary).unlink(missing_ok=True)


def is_filled() -> bool:
    """Return whether there is any object code, which this very Numba has compiled."""
    with contextlib.suppress(OSError):
        return (folder := _folder()) is not None and any(folder.iterdir())
    return False


config._proofs.append(is_filled)


def is_writable() -> bool:
    """Return whether object code can be kept."""
    return (folder := _folder()) is not None and os.access(folder, os.W_OK)


def _folder() -> Path | None:
    """Return the folder for the machine code of this program; None if it cannot be created."""
    with contextlib.suppress(OSError):
        numbas = os.environ.get("NUMBA_CACHE_DIR")
        home = Path(numbas, "tinynet") if numbas else cache_folder()
        kernels = home.absolute() / "kernels"
        folder = kernels / f"objects-{key()}"
        kernels.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            _tidy(kernels)
        # lstat: a link might lead to a folder that others can write to.
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and _is_own(status):
            return folder
    return None


@functools.cache
def key() -> str:
    """Return a digest of what machine code depends on."""
    versions = (sys.version, np.__version__, llvmlite.__version__, llvm.llvm_version_info, _numba())
    target = (CPU, FEATURES, llvm.get_process_triple(), sys.byteorder)
    words = repr((versions, target, config.DEBUG_BUFFERS, _sources)).encode()
    return hashlib.sha256(words).hexdigest()[:32]


def _numba() -> bytes:
    """Return the version of Numba, which importing it would take long to tell."""
    found = importlib.util.find_spec("numba")
    if found is None or found.origin is None:
        return b""
    with contextlib.suppress(OSError):
        return Path(found.origin).with_name("_version.py").read_bytes()
    from importlib.metadata import version

    return version("numba").encode()


def _tidy(kernels: Path) -> None:
    """Remove folders to which nothing was written for a long time."""
    for folder in kernels.iterdir():
        status = folder.lstat()
        if _is_own(status) and time.time() - status.st_mtime > _KEPT_DAYS * 24 * 3600:
            shutil.rmtree(folder, ignore_errors=True)


def _is_own(status: os.stat_result) -> bool:
    """Return whether only this user can have written a file."""
    if sys.platform == "win32":
        return True  # others have no access to the user's profile
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _digest(path: Path, content: bytes) -> bytes:
    """Return the checksum of a file's content and of its name within the cache."""
    return hashlib.sha256(f"{path.parent.name}/{path.name}\n".encode() + content).digest()
