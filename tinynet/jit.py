"""A compile cache: every kernel is compiled once per machine.

Numba's own cache has weaknesses: a read-only install is an error on import, a truncated file is an
error on the first call, a flipped bit is executed, and two processes that compile at the same time
may load each other's code. Here every compiled function is one file, written atomically and named
after everything that its machine code depends on. It is loaded only if its owner and its checksum
are right; otherwise, or if the cache cannot be written, the function is compiled in memory.

``$TINYNET_CACHE/kernels`` (or ``kernels`` in the user's cache folder) has one folder for each
combination of source, Python, NumPy and Numba; it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llvmlite
import numba
import numpy as np

from tinynet import config, interrupts

__all__ = ["jit"]

_numba: Any = numba  # its own annotations are incomplete, and differ between versions

_KEPT_DAYS = 90  # after that, the unused folder of another version is removed
_PATIENCE_SECONDS = 1.0  # of compiling, before a message explains the delay
# Settings of Numba, in addition to the options in the source, that change the machine code.
_SETTINGS = ("OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE", "DEBUGINFO_DEFAULT")
# Errors of the file system, and of internals of Numba that may change.
_TROUBLE = (
    AssertionError, AttributeError, ImportError, LookupError,
    OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
_compiling = SimpleNamespace(since=0.0, seconds=0.0, said=False)


def jit(**options: Any) -> Callable[[Any], Any]:
    """Return a decorator that compiles a function with Numba, and caches the machine code.

    The function runs without the GIL, and divides as NumPy does. It is compiled when it is first
    called with arguments of new types, on a machine's first run only. Everything that it calls or
    reads must be defined in the same file or package, because changes elsewhere do not invalidate
    the cache; a function with a closure is therefore compiled again by each process.

    Parameters
    ----------
    **options
        Further options of ``numba.njit``, such as ``fastmath`` or ``pipeline_class``.

    Returns
    -------
    callable
        The decorator. With ``NUMBA_DISABLE_JIT=1`` it returns the function unchanged.

    Examples
    --------
    >>> @jit(fastmath={"contract"})
    ... def multiply_add(a, b, c):
    ...     return a * b + c
    >>> multiply_add(2.0, 3.0, 4.0)
    10.0
    """

    def decorate(function: Any) -> Any:
        compile_ = _numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)
        compiled = compile_(function)
        if hasattr(compiled, "_cache"):
            compiled._cache = _Cache(function)
        return compiled

    return decorate


class _Cache:
    """Cache of one function's machine code; replaces Numba's FunctionCache."""

    def __init__(self, function: Callable[..., Any]) -> None:
        code = function.__code__
        self.name = function.__name__
        self.identity = (function.__module__, function.__qualname__, code.co_firstlineno)
        self.folder = None if function.__closure__ else _folder(inspect.getfile(function))

    @property
    def cache_path(self) -> str | None:
        """The folder, as ``stats`` of a compiled function shows it."""
        return None if self.folder is None else str(self.folder)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the code for the arguments' types, or None if it must be compiled."""
        with contextlib.suppress(*_TROUBLE):
            target_context.refresh()
            if (path := self._path(signature, target_context.codegen())) is not None:
                # The owner of the open file is checked, so that it cannot be replaced in between.
                with path.open("rb") as file:
                    trusted = _is_own(os.fstat(file.fileno()))
                    digest, data = file.read(32), file.read()
                if trusted and digest == _digest(path, data):
                    kept_signature, result = _numba.core.serialize.loads(data)
                    if kept_signature == signature:
                        return _numba.core.compiler.CompileResult._rebuild(target_context, *result)
        _compiling.since = time.perf_counter()
        interrupts.compiling += 1
        self._tell()
        try:
            os.getcwd()
        except OSError:  # it was deleted, and Numba would use it to shorten paths in messages
            _numba.core.ir.Loc._get_path = lambda location: location.filename
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Write compiled code to the cache, if possible."""
        interrupts.compiling -= 1
        now = time.perf_counter()
        _compiling.seconds += now - _compiling.since
        _compiling.since = now
        self._tell()
        with contextlib.suppress(*_TROUBLE):
            path = self._path(signature, result.codegen)
            # Code that contains addresses is valid in this process only.
            if path is not None and not result.library.has_dynamic_globals:
                data = _numba.core.serialize.dumps((signature, result._reduce()))
                _replace(path, _digest(path, data) + data)

    def flush(self) -> None:
        """Do nothing: files of the cache do not become stale."""

    def _path(self, signature: Any, codegen: Any) -> Path | None:
        """Return the file for the arguments' types on this processor."""
        key = repr((self.identity, str(signature), codegen.magic_tuple()))
        return self.folder and self.folder / f"{self.name}-{_sha256(key.encode()).hex()[:32]}"

    def _tell(self) -> None:
        """Print a message at a terminal, once, that explains the delay."""
        if _compiling.said or _compiling.seconds < _PATIENCE_SECONDS:
            return
        _compiling.said = True
        kept = self.folder is not None and os.access(self.folder, os.W_OK)
        when = "once on this machine" if kept else "in every run: TINYNET_CACHE must be yours alone"
        with contextlib.suppress(OSError, ValueError):
            if sys.stderr is not None and sys.stderr.isatty():
                print(f"tinynet: compiling its kernels, {when}", file=sys.stderr, flush=True)


def _folder(source: str) -> Path | None:
    """Return the folder for code compiled from a source file, None if it cannot be created."""
    from tinynet.datasets._files import cache_folder

    with contextlib.suppress(OSError):
        versions = (sys.version, np.__version__, numba.__version__, llvmlite.__version__)
        settings = tuple(str(getattr(_numba.config, name, None)) for name in _SETTINGS)
        settings += (str(config.DEBUG_BUFFERS),)
        digest = _sha256(repr((versions, settings)).encode() + _sources(source)).hex()
        numbas = _numba.config.CACHE_DIR
        home = Path(numbas, "tinynet") if numbas else cache_folder()
        kernels = home.absolute() / "kernels"
        folder = kernels / f"{sys.implementation.cache_tag}-numba-{numba.__version__}-{digest[:16]}"
        kernels.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            _tidy(kernels)
        # lstat: a link might lead to a folder that others can write to.
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and _is_own(status):
            return folder
    return None


def _sources(source: str) -> bytes:
    """Return the sources that machine code depends on: all files of the package, if any."""
    path = Path(source)
    in_package = (path.parent / "__init__.py").exists()
    files = sorted(path.parent.glob("*.py")) if in_package else [path]
    return b"".join(file.read_bytes() for file in (*files, Path(__file__)))


def _tidy(kernels: Path) -> None:
    """Remove folders to which nothing was written for a long time."""
    for folder in kernels.iterdir():
        status = folder.lstat()
        if _is_own(status) and time.time() - status.st_mtime > _KEPT_DAYS * 24 * 3600:
            shutil.rmtree(folder, ignore_errors=True)


def _is_own(status: os.stat_result) -> bool:
    """Return whether only this user can have written a file: its machine code will be executed."""
    if sys.platform == "win32":
        return True  # others have no access to the user's profile
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _replace(path: Path, content: bytes) -> None:
    """Write a file atomically, for this user only.

    It is not flushed to disk, as a model is: the checksum finds an incomplete file, and waiting for
    the disk would cost as much as compiling a small kernel.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _digest(path: Path, data: bytes) -> bytes:
    """Return the checksum of a file's name and data."""
    return _sha256(path.name.encode() + data)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
