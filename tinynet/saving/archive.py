"""Untrusted zip archives: names, sizes and contents are checked before use.

Nothing is extracted to disk; an archive is read into memory, and only if its size is in proportion
to the size of the file. The checksum of the zip format covers every byte of a member.
"""

from __future__ import annotations

import io
import math
import re
import stat
import zipfile
from collections.abc import Mapping

import numpy as np

from tinynet._core.checks import require, shorten
from tinynet.program.variable import Array

#: Bytes that all members together may have, in addition to RATIO times their packed size.
SMALL = 4 << 20
RATIO = 20
MAX_MEMBERS = 60_000
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|][fiu][1248]|\|b1)', 'fortran_order': False, "
    rb"'shape': \(([\d, ]*)\), \} *\n",
    re.DOTALL,
)


def pack(members: Mapping[str, bytes]) -> bytes:
    """Build a zip archive; the same members give the same bytes.

    Parameters
    ----------
    members : mapping of str to bytes
        Names and contents, in order.

    Returns
    -------
    bytes
        The archive; its members are not compressed.

    Examples
    --------
    >>> pack({"a.txt": b"hello"}) == pack({"a.txt": b"hello"})
    True
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, contents in members.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, contents)
    return buffer.getvalue()


def unpack(contents: bytes) -> dict[str, bytes]:
    """Read an untrusted zip archive, whose checksums are verified.

    Parameters
    ----------
    contents : bytes
        The archive.

    Returns
    -------
    dict of str to bytes
        The members by name.

    Raises
    ------
    ValueError
        If a member is encrypted, a link, packed by another method, listed twice, or would lie
        outside of the archive, or if the members are too many or claim more than the file can hold.
    zipfile.BadZipFile, zlib.error
        If it is not a zip archive, or damaged.

    Examples
    --------
    >>> unpack(pack({"a.txt": b"hello"}))
    {'a.txt': b'hello'}
    """
    count = contents.count(b"PK\1\2")  # which begins the entry of a member
    require(count <= MAX_MEMBERS, f"An archive may have {MAX_MEMBERS:,} members", f"{count:,}")
    archive = zipfile.ZipFile(io.BytesIO(contents))
    members = archive.infolist()
    names: set[str] = set()
    for info in members:
        name, parts = info.filename, info.filename.replace("\\", "/").split("/")
        outside = ".." in parts or parts[0] == "" or ":" in parts[0]
        link = stat.S_ISLNK(info.external_attr >> 16)
        require(name not in names, "A member of the archive is there twice", shorten(name))
        usual = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        require(usual, "A member of the archive is packed in an unusual way", shorten(name))
        require(not info.flag_bits & 1, "A member of the archive is encrypted", shorten(name))
        require(not link, "A member of the archive is a link", shorten(name))
        require(not outside, "A member's name leads out of the archive", shorten(name))
        names.add(name)
    claimed = sum(info.file_size for info in members)
    packed = sum(info.compress_size for info in members)
    fits = packed <= len(contents) and claimed <= SMALL + RATIO * packed
    expected = "The members of the archive claim more than the file can hold"
    require(fits, expected, f"{claimed:,} bytes, packed in {packed:,}")
    return {info.filename: _read(archive, info) for info in members}


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Read a member, and no more than it claims to have: `ZipFile.read` unpacks all of it."""
    with archive.open(info) as member:
        contents = member.read(info.file_size + 1)
    require(len(contents) == info.file_size, "A member has another size", shorten(info.filename))
    return contents


def array(name: str, contents: bytes) -> Array:
    """Read a member that is an ``.npy`` file, whose header is never evaluated.

    Parameters
    ----------
    name : str
        Its name in an error.
    contents : bytes
        The contents of the file.

    Returns
    -------
    ndarray
        The array, read-only.

    Raises
    ------
    ValueError
        If it is not an array of plain numbers in C order.

    Examples
    --------
    >>> np.save(buffer := io.BytesIO(), np.ones(2))
    >>> array("bias.npy", buffer.getvalue())
    array([1., 1.])
    """
    header = _NPY.match(contents)
    if header is None:
        expected = f"{name} must be an .npy array of plain numbers in C order"
        raise ValueError(f"{expected}. Received: {shorten(contents[:80])}")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(size) for size in header[2].decode().split(",") if size.strip())
    expected = f"{name} must have {math.prod(shape)} elements of {dtype}"
    left = len(contents) - header.end()
    require(left == math.prod(shape) * dtype.itemsize, expected, f"{left} bytes")
    return np.frombuffer(contents, dtype, offset=header.end()).reshape(shape)
