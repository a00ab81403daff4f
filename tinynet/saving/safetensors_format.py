"""The layout of safetensors files: a JSON header, followed by the arrays.

::

    8 bytes    length of the header, little-endian
    header     {"__metadata__": {"sha256": "...", "format": "tinynet", ...},
               "dense/kernel": {"dtype": "F32", "shape": [784, 128],
               "data_offsets": [0, 401408]}, ...}, padded with spaces to a multiple of 8 bytes
    data       bytes of the arrays, little-endian, in C order, without gaps

``sha256`` is the hexadecimal SHA-256 of the whole file, computed with 64 zeros in its place. It is
the first entry of the header, so its offset is the same in every file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinynet._core.checks import require, shorten
from tinynet.program.variable import Array
from tinynet.saving import configuration

#: Maximum size of the header in bytes: small enough that the length field cannot be mistaken for
#: the magic number of a zip archive.
MAX_HEADER = configuration.MAX_JSON
#: NumPy dtypes by their safetensors names.
DTYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4",
    "I32": "<i4", "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_BEGINNING = b'{"__metadata__": {"sha256": "'
_DIGEST = slice(8 + len(_BEGINNING), 8 + len(_BEGINNING) + 64)
_ZEROS = b"0" * 64


def pack(arrays: Iterable[tuple[str, Array]], metadata: Mapping[str, str]) -> bytes:
    """Serialize arrays and metadata; the output is deterministic.

    The header lists the arrays in the given order. The data are sorted by decreasing item size, so
    that every array is aligned. Duplicate names get a numeric suffix.
    """
    header: dict[str, Any] = {"__metadata__": {"sha256": _ZEROS.decode(), **metadata}}
    placed = []
    for name, array in arrays:
        name = name.encode("utf-8", "replace").decode()
        while name in header:
            name = f"{name}_{len(header)}"
        values = np.asarray(array, array.dtype.newbyteorder("<"))
        header[name] = {"dtype": _NAMES[values.dtype.str], "shape": [*values.shape]}
        placed.append((header[name], values))
    end, parts = 0, []
    for entry, values in sorted(placed, key=lambda pair: -pair[1].itemsize):
        entry["data_offsets"] = [end, end + values.nbytes]
        end += values.nbytes
        parts.append(values.tobytes())
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    expected = f"The header must have at most {MAX_HEADER:,} bytes"
    require(len(text) <= MAX_HEADER, expected, f"{len(text):,} bytes")
    parts.insert(0, len(text).to_bytes(8, "little") + text)
    parts[0] = parts[0].replace(_ZEROS, _digest(parts), 1)
    return b"".join(parts)


def _digest(parts: Iterable[bytes | memoryview]) -> bytes:
    """Return the hexadecimal SHA-256 of the concatenated parts of a file."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest().encode()


def unpack(contents: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """Parse an untrusted file into metadata and read-only arrays, after verifying everything."""
    expected = "The file must start with the header of a .tinynet file"
    require(contents.startswith(_BEGINNING, 8), expected, repr(contents[8:40]))
    length, limit = int.from_bytes(contents[:8], "little"), min(len(contents) - 8, MAX_HEADER)
    require(length <= limit, f"The header must have at most {limit:,} bytes", f"{length:,} bytes")
    view, given = memoryview(contents), contents[_DIGEST]
    found = _digest([view[: _DIGEST.start], _ZEROS, view[_DIGEST.stop :]])
    require(found == given, f"The file is corrupted: its SHA-256 is {found.decode()}", repr(given))
    start = 8 + length
    header = configuration.from_json(contents[8:start], MAX_HEADER)
    metadata = header.pop("__metadata__")
    del metadata["sha256"]
    arrays: dict[str, Any] = dict.fromkeys(header)
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        shape, offsets = entry["shape"], entry["data_offsets"]
        good = isinstance(shape, list) and len(shape) <= 32 and len(entry) == 3
        good = good and all(type(n) is int and n >= 0 for n in (*shape, *offsets))
        if not (good and entry["dtype"] in DTYPES):
            expected = f"{shorten(name)} must have dtype, shape and data_offsets"
            raise ValueError(f"{expected}. Received: {shorten(entry)}")
        dtype, begin = np.dtype(DTYPES[entry["dtype"]]), end
        end += math.prod(shape) * dtype.itemsize
        if offsets != [begin, end]:
            expected = f"{shorten(name)} must have the data_offsets {shorten([begin, end])}"
            raise ValueError(f"{expected}. Received: {shorten(offsets)}")
        arrays[name] = np.frombuffer(view[start + begin : start + end], dtype).reshape(shape)
    received = f"{start + end:,} of {len(contents):,} bytes"
    require(start + end == len(contents), "The arrays must fill the file", received)
    return metadata, arrays
