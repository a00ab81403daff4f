"""Reading and writing of untrusted HDF5 files with h5py.

An untrusted file may contain links to other files, data that are stored elsewhere or computed on
access, and small datasets that declare huge shapes. So a path is resolved step by step along hard
links only, and a dataset is read only if it is numeric, stored contiguously in the file and of
exactly the shape that the model requires.

HDF5's own checksums are not used. Instead, tinynet stores a checksum next to every dataset and
string; Keras ignores these checksums.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinynet._core.checks import require, shorten
from tinynet.program.variable import Array, Variable
from tinynet.saving.errors import refusing
from tinynet.saving.state import check_fit, fit

_CHECKSUM = "tinynet_crc32"
MAX_TEXTS = 100_000
MAX_NAME = 60_000
# Signature and version of a global heap collection, which stores strings.
_HEAP = b"GCOL\x01\0\0\0"
# Type of a string of variable length as HDF5 writes it, followed by the number of dimensions, which
# is 0 or 1, whether there are limits of dimensions, the dimensions and limits, and for each string
# its length (4 bytes), heap and number.
_STRING = re.compile(
    rb"\x19[\x01\x11]..\x10\0{3}\x10\0{3}\x01\0{5}\x08\0.{4}\x01([\0\x01])([\0\x01]).{5}", re.DOTALL
)


def write(fill: Callable[[Any], None]) -> bytes:
    """Return the contents of an HDF5 file that ``fill(file)`` writes in memory."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def put(group: Any, path: str, array: Array) -> None:
    """Write a dataset and its checksum."""
    _check_path(path)
    dataset = group.create_dataset(path, data=array)
    dataset.attrs[_CHECKSUM] = _checksum(dataset.name, _as_bytes(array))


def put_group(group: Any, path: str, name: str | None = None) -> Any:
    """Create a group, optionally with the attribute ``name``."""
    _check_path(path)
    require(path not in group, "Layer names in an HDF5 file must be unique", f"{path} twice")
    made = group.create_group(path)
    if name is not None:
        made.attrs["name"] = _text(name)
    return made


def _check_path(path: str) -> None:
    """Reject names that are not valid group names, both for writing and for reading."""
    for name in path.split("/"):
        named = name not in ("", ".", "..") and len(_text(name).encode()) <= MAX_NAME
        expected = "Layer and weight names in an HDF5 file must not be '', '.' or '..'"
        require(named, f"{expected}, or longer than {MAX_NAME:,} bytes", shorten(path))


def _text(text: str) -> str:
    """Return a string, or raise an error if HDF5 cannot store it."""
    fits = "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)
    require(fits, "HDF5 strings must not have NUL characters or lone surrogates", shorten(text))
    return text


def put_text(group: Any, name: str, text: str | list[str]) -> None:
    """Write a string attribute, or a list of strings, and its checksum."""
    import h5py

    # An attribute is limited to 64 KiB, and each string takes 16 bytes of it.
    parts = {name: text}
    if isinstance(text, list) and len(text) > 4000:
        parts = {f"{name}{i // 4000}": text[i : i + 4000] for i in range(0, len(text), 4000)}
    for key, value in parts.items():
        texts = [_text(each) for each in ([value] if isinstance(value, str) else value)]
        group.attrs.create(key, value, dtype=h5py.string_dtype())
        group.attrs[f"{key}_{_CHECKSUM}"] = _checksum(group.name, "\0".join(texts).encode())


def _checksum(path: str, contents: bytes) -> np.uint32:
    """Return a CRC-32 of the path and the contents, so that swapped datasets are detected."""
    return np.uint32(zlib.crc32(contents, zlib.crc32(path.encode())))


def _as_bytes(array: Array) -> bytes:
    """Return the values as little-endian bytes, so that a flipped byte order bit is detected."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[Any]:
    """Open an HDF5 file; exceptions of h5py become a ValueError."""
    import h5py

    _check_heaps(data)
    _check_strings(data)
    errors = (OSError, RuntimeError, KeyError, TypeError, AttributeError, SystemError)
    expected = "The file must be a valid HDF5 file"
    with refusing(expected, *errors), h5py.File(io.BytesIO(data), "r") as file:
        yield file


def _check_heaps(data: bytes) -> None:
    """Reject global heaps with invalid entry sizes, which would put HDF5 into an infinite loop."""
    start = data.find(_HEAP)
    while start >= 0:
        at, end = start + 16, start + int.from_bytes(data[start + 8 : start + 16], "little")
        while at + 16 <= end:
            number = int.from_bytes(data[at : at + 2], "little")
            size = int.from_bytes(data[at + 8 : at + 16], "little")
            at += size if number == 0 else 16 + -(-size // 8) * 8
            if at > min(end, len(data)) or (number == 0 and size == 0):
                raise ValueError(f"The HDF5 heap is corrupted. Received: an entry of {size} bytes")
        start = data.find(_HEAP, start + 8)


def _check_strings(data: bytes) -> None:
    """Reject strings that are longer than the file, because HDF5 would allocate their memory."""
    for found in _STRING.finditer(data):
        rank, limited = found[1][0], found[2][0]
        at = found.end()
        count = min(int.from_bytes(data[at : at + 8], "little"), MAX_TEXTS) if rank else 1
        at += 8 * rank * (1 + limited)
        for place in range(at, min(at + 16 * count, len(data)), 16):
            length = int.from_bytes(data[place : place + 4], "little")
            expected = "A string in an HDF5 file must not be longer than the file"
            require(length <= len(data), expected, f"{length:,} bytes")


def find(group: Any, path: str) -> Any:
    """Resolve a path along hard links; return None if it does not exist."""
    import h5py

    _check_path(path)
    node = group
    for name in path.split("/"):
        links = node.id.links
        if not links.exists(name.encode()):
            return None
        hard = links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD
        require(hard, "HDF5 links are not supported", f"a link at {shorten(path)}")
        node = node[name]
    return node


def get(group: Any, path: str, variable: Variable) -> Array:
    """Read a dataset as an array of the Variable's shape and dtype."""
    dataset = find(group, path)
    require(hasattr(dataset, "shape"), f"{shorten(path)} must be an array", f"{dataset}")
    plain = dataset.dtype.kind in "iufb" and dataset.dtype.itemsize <= 8
    require(plain, f"{path} must be numeric", f"{dataset.dtype}")
    check_fit(path, dataset, variable)
    stored = dataset.id.get_storage_size()
    packed = dataset.chunks or dataset.is_virtual or dataset.external
    whole = f"{path} must be stored contiguously in this file, not compressed or chunked"
    require(not packed and stored == dataset.nbytes, whole, f"{stored:,} bytes stored")
    array = np.asarray(dataset[()])
    fits = get_number(dataset, _CHECKSUM) in (None, _checksum(dataset.name, _as_bytes(array)))
    require(fits, f"{path} is corrupted", "a wrong checksum")
    return fit(path, array, variable)


def get_text(group: Any, name: str) -> Any:
    """Read a string attribute, or a list of strings; None if it does not exist."""
    import h5py

    expected = get_number(group, f"{name}_{_CHECKSUM}")
    if name not in group.attrs:
        received = f"a checksum of {name}, but no {name}"
        require(expected is None, "The file is corrupted", received)
        parts = map(f"{name}{{}}".format, itertools.count())
        found = itertools.takewhile(group.attrs.__contains__, parts)
        return [text for part in found for text in get_text(group, part)] or None
    attribute = group.attrs.get_id(name)
    count = attribute.get_space().get_simple_extent_npoints()
    if count == 0:
        return []
    fits = h5py.check_string_dtype(attribute.dtype) and count <= MAX_TEXTS
    require(fits, f"The attribute {name} must be a string", f"shape {attribute.shape}")
    value = group.attrs[name]
    alone = isinstance(value, str | bytes)
    texts = [t.decode() if isinstance(t, bytes) else str(t) for t in ([value] if alone else value)]
    fits = expected in (None, _checksum(group.name, "\0".join(texts).encode()))
    require(fits, f"The attribute {name} is corrupted", "a wrong checksum")
    return texts[0] if alone else texts


def get_number(node: Any, name: str) -> int | None:
    """Read an integer attribute; None if it does not exist."""
    if name not in node.attrs:
        return None
    found = node.attrs.get_id(name)
    one = found.dtype.kind in "iu" and found.shape == ()
    require(one, f"The attribute {name} must be one integer", f"{found.dtype}, shape {found.shape}")
    return int(node.attrs[name])
