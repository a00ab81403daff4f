"""Read and write both versions of ``.tinynet`` files without using tinynet.

`about` is the decoded JSON description of the model; `arrays` maps names to arrays, in the order in
which they are stored.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Contents = tuple[dict[str, Any], dict[str, np.ndarray]]
ZEROS = "0" * 64
DTYPES = {"BOOL": "?", "I8": "i1", "I32": "<i4", "I64": "<i8", "F32": "<f4", "F64": "<f8"}


def unpack(contents: bytes) -> Contents:
    """Read a file of version 2, as documented in ``docs/file_formats.md``."""
    start = 8 + int.from_bytes(contents[:8], "little")
    header = json.loads(contents[8:start])
    about = header.pop("__metadata__")
    digest = about.pop("sha256")
    zeroed = contents.replace(digest.encode(), ZEROS.encode(), 1)
    assert hashlib.sha256(zeroed).hexdigest() == digest
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(contents[start + begin : start + end], DTYPES[entry["dtype"]])
        arrays[name] = values.reshape(entry["shape"])
    return {**about, **{key: json.loads(about[key]) for key in ("arrays", "model", "run")}}, arrays


def safetensors(header: bytes | dict[str, Any], data: bytes = b"") -> bytes:
    """Return a file with the given header and data, and a valid checksum instead of the zeros."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    contents = len(text).to_bytes(8, "little") + text + data
    return contents.replace(ZEROS.encode(), hashlib.sha256(contents).hexdigest().encode(), 1)


def parts_of_version_2(about: Any, arrays: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return the header, with zeros as a placeholder for the checksum, and the data."""
    texts = {key: v if isinstance(v, str) else json.dumps(v) for key, v in about.items()}
    header: dict[str, Any] = {"__metadata__": {"sha256": ZEROS, **texts}}
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    data = b""
    for name, array in arrays.items():
        end = len(data) + array.nbytes
        entry = {"dtype": names[array.dtype], "shape": [*array.shape]}
        header[name] = {**entry, "data_offsets": [len(data), end]}
        data += array.tobytes()
    return header, data


def version_2(about: Any, arrays: Mapping[str, Any]) -> bytes:
    """Return the contents of a file of version 2, in the safetensors format."""
    return safetensors(*parts_of_version_2(about, arrays))


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped(members: Mapping[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, contents in members.items():
            archive.writestr(zipfile.ZipInfo(name), contents, kind)  # with a fixed date
    return buffer.getvalue()


def members_of_version_1(about: Any, arrays: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the members of the zip archive of a ``.tinynet`` file of version 1."""
    if about.get("format_version") == "2":
        about = {**about, "format_version": 1}
    members, used = {"model.json": json.dumps(about).encode()}, Counter[str]()
    for name, array in arrays.items():
        first = name.partition("/")[0]
        kind = first if first in ("optimizer", "history", "callbacks") else "weights"
        members[f"{kind}/{used[kind]}.npy"] = npy(array)
        used[kind] += 1
    return members


def version_1(about: Any, arrays: Mapping[str, Any]) -> bytes:
    """Return the contents of a file of version 1, a zip archive."""
    return zipped(members_of_version_1(about, arrays))


LAYOUTS: dict[str, Callable[[Any, Mapping[str, Any]], bytes]] = {
    "safetensors": version_2,
    "zip": version_1,
}
