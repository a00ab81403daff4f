"""Reading and writing of untrusted zip archives: names, sizes and contents are checked before use.

Nothing is extracted to disk. An archive is decompressed in memory, and only if its total size is
proportional to the file size. The zip checksums cover every byte of a member.
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

#: Maximum total size in bytes: SMALL plus RATIO times the compressed size.
SMALL = 4 << 20
RATIO = 20
MAX_MEMBERS = 20_000
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|][fiu][1248]|\|b1)', 'fortran_order': False, "
    rb"'shape': \(([\d, ]*)\), \} *\n",
    re.DOTALL,
)


def pack(members: Mapping[str, bytes]) -> bytes:
    """Build an uncompressed zip archive; the output is deterministic."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, contents in members.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, contents)
    return buffer.getvalue()


def unpack(contents: bytes) -> dict[str, bytes]:
    """Read all members of an untrusted zip archive and verify their checksums."""
    n = contents.count(b"PK\1\2")  # start of a member's directory entry
    require(n <= MAX_MEMBERS, f"The archive must have at most {MAX_MEMBERS:,} members", f"{n:,}")
    archive = zipfile.ZipFile(io.BytesIO(contents))
    members = archive.infolist()
    names: set[str] = set()
    for info in members:
        name, parts = info.filename, info.filename.replace("\\", "/").split("/")
        outside = ".." in parts or parts[0] == "" or ":" in parts[0]
        link = stat.S_ISLNK(info.external_attr >> 16)
        require(name not in names, "Names of archive members must be unique", shorten(name))
        usual = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        require(usual, "Archive members must be stored or deflated", shorten(name))
        require(not info.flag_bits & 1, "Archive members must not be encrypted", shorten(name))
        require(not link, "Archive members must not be links", shorten(name))
        require(not outside, "Archive members must not lie outside of the archive", shorten(name))
        names.add(name)
    claimed = sum(info.file_size for info in members)
    packed = sum(info.compress_size for info in members)
    fits = packed <= len(contents) and claimed <= SMALL + RATIO * packed
    expected = "Archive members must not declare more data than the file can contain"
    require(fits, expected, f"{claimed:,} bytes, compressed to {packed:,}")
    return {info.filename: _read(archive, info) for info in members}


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Read a member up to its declared size; `ZipFile.read` would decompress all of it."""
    with archive.open(info) as member:
        contents = member.read(info.file_size + 1)
    expected = "The size of an archive member must equal its declared size"
    require(len(contents) == info.file_size, expected, shorten(info.filename))
    return contents


def array(name: str, contents: bytes) -> Array:
    """Parse an ``.npy`` member as a read-only array, without evaluating its header."""
    header = _NPY.match(contents)
    if header is None:
        expected = f"{name} must be a numeric .npy array in C order"
        raise ValueError(f"{expected}. Received: {shorten(contents[:80])}")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(size) for size in header[2].decode().split(",") if size.strip())
    expected = f"{name} must have {math.prod(shape)} elements of {dtype}"
    left = len(contents) - header.end()
    require(left == math.prod(shape) * dtype.itemsize, expected, f"{left} bytes")
    return np.frombuffer(contents, dtype, offset=header.end()).reshape(shape)
