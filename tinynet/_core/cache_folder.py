"""Folder for downloads and the compile cache."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import sys
import tempfile
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the cache folder for downloads and compiled kernels; it may not exist yet.

    It is ``$TINYNET_CACHE`` if set, otherwise ``tinynet`` in the user's cache folder
    (``$XDG_CACHE_HOME`` or ``~/.cache``, on macOS ``~/Library/Caches``, on Windows
    ``%LOCALAPPDATA%``). For a user without a home folder, it is a private temporary folder.

    Returns
    -------
    Path
        Path of the folder.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, TINYNET_CACHE="kept"):
    ...     str(cache_folder())
    'kept'
    """
    if chosen := os.environ.get("TINYNET_CACHE"):
        return Path(os.path.expanduser(chosen))
    # Newer versions of platformdirs raise an error for users without a home folder.
    with contextlib.suppress(RuntimeError):
        folder = platformdirs.user_cache_path("tinynet", appauthor=False, opinion=False)
        if folder.is_absolute():
            return folder
    return _temporary_cache(tempfile.gettempdir())


@functools.cache
def _temporary_cache(folder: str) -> Path:
    """Return the user's private folder in a world-writable temporary folder."""
    user = os.getuid() if sys.platform != "win32" else 0
    own = Path(folder) / f"tinynet-{user}"
    with contextlib.suppress(OSError):
        own.mkdir(mode=0o700)
    if own.exists():
        status = own.lstat()
        writers = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if stat.S_ISDIR(status.st_mode) and status.st_uid == user and not writers:
            return own
    # Another user may have created the folder to plant files in it.
    return Path(tempfile.mkdtemp(prefix="tinynet-"))
