"""Untrusted zip archives: names, sizes and contents are checked before use.

Nothing is extracted to disk; a member is read into memory, and only if its size is in proportion
to the size of the file. The checksum of the zip format covers every byte of a member.
"""

from __future__ import annotations

import io
import math
import re
import stat
import zipfile
from collections.abc import Mapping, Sized
from typing import Any, BinaryIO

import numpy as np

from tinynet._core.checks import require, shorten
from tinynet.program.variable import Array

#: Bytes that all members together may have, in addition to RATIO times their packed size.
SMALL = 4 << 20
RATIO = 20
MAX_MEMBERS = 60_000
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|][fiu][1248]|\|b1)', 'fortran_order': False, "
    rb"'shape': \(([\d, ]*)\), \} *\n",
    re.DOTALL,
)


class Archive:
    """A zip archive to read.

    Parameters
    ----------
    file : binary file
        Open for reading.

    Raises
    ------
    ValueError
        If a member is encrypted, a link, listed twice, or would lie outside of the archive, or
        if the members claim more than the file can hold.

    Examples
    --------
    >>> Archive(io.BytesIO(pack({"a.txt": b"hello"}))).read("a.txt")
    b'hello'
    """

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file)
        #: The members' names and their sizes in bytes.
        self.sizes: dict[str, int] = {}
        members = self._zip.infolist()
        _check_count(members)
        for info in members:
            problem = "is there twice" if info.filename in self.sizes else _problem(info)
            require(not problem, f"A member of the archive {problem}", shorten(info.filename))
            self.sizes[info.filename] = info.file_size
        claimed = sum(self.sizes.values())
        packed = sum(info.compress_size for info in members)
        fits = packed <= file.seek(0, io.SEEK_END) and claimed <= SMALL + RATIO * packed
        expected = "The members of the archive claim more than the file can hold"
        require(fits, expected, f"{claimed:,} bytes, packed in {packed:,}")

    def count(self, folder: str) -> int:
        """Return the number of members in a folder.

        Parameters
        ----------
        folder : str
            Name of the folder.

        Returns
        -------
        int
            The number.
        """
        return sum(name.startswith(f"{folder}/") for name in self.sizes)

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Read a member, whose checksum is verified.

        Parameters
        ----------
        name : str
            Name of the member.
        limit : int, optional
            Largest size in bytes.

        Returns
        -------
        bytes
            The contents.

        Raises
        ------
        ValueError
            If there is no such member, or it is too large.
        """
        expected = f"The archive must have the member {name!r}"
        require(name in self.sizes, expected, shorten([*self.sizes]))
        size = self.sizes[name]
        if limit is not None:
            require(size <= limit, f"{name} may have {limit:,} bytes", f"{size:,} bytes")
        return self._zip.read(name)

    def array(self, name: str, limit: int | None = None) -> Array:
        """Read a member that is an ``.npy`` file, whose header is never evaluated.

        Parameters
        ----------
        name : str
            Name of the member.
        limit : int, optional
            Largest size in bytes.

        Returns
        -------
        ndarray
            The array, read-only.

        Raises
        ------
        ValueError
            If it is not an array of plain numbers in C order.
        """
        data = self.read(name, limit)
        header = _HEADER.match(data)
        if header is None:
            raise ValueError(
                f"{name} must be an .npy array of plain numbers in C order. "
                f"Received: {shorten(data[:80])}"
            )
        dtype = np.dtype(header[1].decode())
        shape = tuple(int(size) for size in header[2].decode().split(",") if size.strip())
        values = data[header.end() :]
        expected = f"{name} must have {math.prod(shape)} elements of {dtype}"
        fits = len(values) == math.prod(shape) * dtype.itemsize
        require(fits, expected, f"{len(values)} bytes")
        return np.frombuffer(values, dtype).reshape(shape)


def _problem(info: zipfile.ZipInfo) -> str | None:
    """Return why a member is refused, or None."""
    parts = info.filename.replace("\\", "/").split("/")
    if info.flag_bits & 1:
        return "is encrypted"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if ".." in parts or parts[0] == "" or ":" in parts[0]:
        return "has a name that leads out of the archive"
    return None


def _check_count(members: Sized) -> None:
    expected = f"The archive may have {MAX_MEMBERS} members"
    require(len(members) <= MAX_MEMBERS, expected, f"{len(members)} members")


def pack(members: Mapping[str, Any]) -> bytes:
    """Build a zip archive; the same members give the same bytes.

    Parameters
    ----------
    members : mapping of str to bytes or list of ndarray
        Names and contents, in order; a list is a folder of ``.npy`` files.

    Returns
    -------
    bytes
        The archive; its members are not compressed.

    Examples
    --------
    >>> pack({"a.txt": b"hello"}) == pack({"a.txt": b"hello"})
    True
    """
    listed: list[tuple[str, Any]] = []
    for name, entry in members.items():
        if isinstance(entry, list):
            listed += [(f"{name}/{i}.npy", array) for i, array in enumerate(entry)]
        else:
            listed.append((name, entry))
    _check_count(listed)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, contents in listed:
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            if isinstance(contents, np.ndarray):
                file = io.BytesIO()
                np.save(file, contents, allow_pickle=False)
                contents = file.getvalue()
            archive.writestr(info, contents)
    return buffer.getvalue()
