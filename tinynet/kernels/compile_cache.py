"""The compile cache: object code of kernels in files, loaded and verified without Numba.

``$TINYNET_CACHE/kernels`` (or ``kernels`` in the user's cache directory) has a folder for each
combination of everything that determines machine code: the sources of the kernels, the processor,
the versions of Python, NumPy, Numba and LLVM, and settings. It can be deleted at any time. A folder
has one file for each kernel::

    SHA-256 checksum of the rest, including the names of the folder and the file      32 bytes
    names of the external functions that the code calls, separated by spaces, and a newline
    object code, as emitted by LLVM

A file is written atomically. It is loaded only if its checksum is correct and no other user can
have written it, because the machine code will be executed.
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

_KEPT_DAYS = 90  # age at which unused folders are removed
#: Folder of the sources on which all machine code depends.
SOURCES = Path(__file__).parent
# Read immediately after import, because the files may be replaced at any time.
_sources = hashlib.sha256(b"".join(f.read_bytes() for f in sorted(SOURCES.glob("*.py")))).digest()


class Object(NamedTuple):
    """Object code of a kernel, and the names of the external functions that it calls."""

    symbols: tuple[str, ...]
    data: bytes


def read(name: str) -> Object | None:
    """Return a kernel's object code, or None if it is missing, corrupted or not trusted."""
    if (folder := _folder()) is None:
        return None
    try:
        # Check the owner of the open file, because the path may be replaced after a check.
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
    """Write a kernel's object code atomically, if possible.

    The file is not flushed to disk, unlike a model's: the checksum detects an incomplete file, and
    waiting for the disk would take as long as compiling a small kernel.
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
    """Return whether the cache has object code, which proves that this version of Numba works."""
    with contextlib.suppress(OSError):
        return (folder := _folder()) is not None and any(folder.iterdir())
    return False


config._proofs.append(is_filled)


def is_writable() -> bool:
    """Return whether object code can be written to the cache."""
    return (folder := _folder()) is not None and os.access(folder, os.W_OK)


def _folder() -> Path | None:
    """Return the folder for the machine code of this configuration, or None if it is not usable."""
    with contextlib.suppress(OSError):
        numbas = os.environ.get("NUMBA_CACHE_DIR")
        home = Path(numbas, "tinynet") if numbas else cache_folder()
        kernels = home.absolute() / "kernels"
        folder = kernels / f"objects-{key()}"
        kernels.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            _tidy(kernels)
        # lstat, because a symbolic link may lead to a folder that other users can write to.
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and _is_own(status):
            return folder
    return None


@functools.cache
def key() -> str:
    """Return a hash of everything that determines machine code."""
    versions = (sys.version, np.__version__, llvmlite.__version__, llvm.llvm_version_info, _numba())
    target = (CPU, FEATURES, llvm.get_process_triple(), sys.byteorder)
    words = repr((versions, target, config.DEBUG_BUFFERS, _sources)).encode()
    return hashlib.sha256(words).hexdigest()[:32]


def _numba() -> bytes:
    """Return Numba's version without the slow import of Numba."""
    found = importlib.util.find_spec("numba")
    if found is None or found.origin is None:
        return b""
    with contextlib.suppress(OSError):
        return Path(found.origin).with_name("_version.py").read_bytes()
    from importlib.metadata import version

    return version("numba").encode()


def _tidy(kernels: Path) -> None:
    """Remove folders that were not modified for a long time."""
    for folder in kernels.iterdir():
        status = folder.lstat()
        if _is_own(status) and time.time() - status.st_mtime > _KEPT_DAYS * 24 * 3600:
            shutil.rmtree(folder, ignore_errors=True)


def _is_own(status: os.stat_result) -> bool:
    """Return whether only this user can have written a file."""
    if sys.platform == "win32":
        return True  # the cache is in the user's profile, which is private
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _digest(path: Path, content: bytes) -> bytes:
    """Return the checksum of a file's content and of its name in the cache."""
    return hashlib.sha256(f"{path.parent.name}/{path.name}\n".encode() + content).digest()
