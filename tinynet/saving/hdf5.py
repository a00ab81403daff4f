"""Untrusted HDF5 files, read and written with h5py.

An untrusted file may contain links to other files, data that is stored elsewhere or computed on
reading, and small datasets that claim to be huge. So a path is followed step by step along hard
links only; a dataset must hold plain numbers, stored as they are, of exactly the shape that the
model needs, before any of it is read.

HDF5 itself has no checksums here. tinynet writes one next to every dataset and text; Keras ignores
them.
"""

from __future__ import annotations

import contextlib
import io
import itertools
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
# The signature of a collection of texts, with its version.
_HEAP = b"GCOL\x01\0\0\0"


def write(fill: Callable[[Any], None]) -> bytes:
    """Write an HDF5 file in memory.

    Parameters
    ----------
    fill : callable
        ``fill(file)`` writes the contents to the open `h5py.File`.

    Returns
    -------
    bytes
        The contents of the file.

    Examples
    --------
    >>> contents = write(lambda file: put(file, "kernel", np.zeros(2)))
    >>> contents[1:4]
    b'HDF'
    """
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def put(group: Any, path: str, array: Array) -> None:
    """Write a dataset and its checksum.

    Parameters
    ----------
    group : h5py.Group
        Group to write to.
    path : str
        Path of the dataset, relative to the group.
    array : ndarray
        The values.

    Examples
    --------
    >>> contents = write(lambda file: put(file, "bias", np.ones(2)))
    """
    _check_path(path)
    dataset = group.create_dataset(path, data=array)
    dataset.attrs[_CHECKSUM] = _checksum(dataset.name, _as_bytes(array))


def put_group(group: Any, path: str, name: str | None = None) -> Any:
    """Create a group.

    Parameters
    ----------
    group : h5py.Group
        Group to write to.
    path : str
        Path of the new group, relative to the group.
    name : str, optional
        Value of its attribute ``name``.

    Returns
    -------
    h5py.Group
        The new group.

    Examples
    --------
    >>> contents = write(lambda file: put_group(file, "layers/dense", "hidden"))
    """
    _check_path(path)
    require(path not in group, "Names of layers in an HDF5 file must differ", f"{path} twice")
    made = group.create_group(path)
    if name is not None:
        made.attrs["name"] = _text(name)
    return made


def _check_path(path: str) -> None:
    """Refuse names that are not names of groups; the same check for writing and reading."""
    for name in path.split("/"):
        named = name not in ("", ".", "..") and len(_text(name).encode()) <= MAX_NAME
        expected = "The name of a layer or weight in an HDF5 file can't be '', '.' or '..'"
        require(named, f"{expected}, or longer than {MAX_NAME:,} bytes", shorten(path))


def _text(text: str) -> str:
    """Refuse text that HDF5 can't store."""
    fits = "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)
    require(fits, "HDF5 can't store NUL and lone surrogates", shorten(text))
    return text


def put_text(group: Any, name: str, text: str | list[str]) -> None:
    """Write an attribute of text, or of a list of texts, and its checksum.

    Parameters
    ----------
    group : h5py.Group
        Group that gets the attribute.
    name : str
        Name of the attribute.
    text : str or list of str
        Its value.

    Examples
    --------
    >>> contents = write(lambda file: put_text(file, "names", ["kernel", "bias"]))
    """
    import h5py

    # HDF5 has room for 64 KiB in an attribute, which holds 16 bytes for each text.
    parts = {name: text}
    if isinstance(text, list) and len(text) > 4000:
        parts = {f"{name}{i // 4000}": text[i : i + 4000] for i in range(0, len(text), 4000)}
    for key, value in parts.items():
        texts = [_text(each) for each in ([value] if isinstance(value, str) else value)]
        group.attrs.create(key, value, dtype=h5py.string_dtype())
        group.attrs[f"{key}_{_CHECKSUM}"] = _checksum(group.name, "\0".join(texts).encode())


def _checksum(path: str, contents: bytes) -> np.uint32:
    """Cover the place as well as the contents, so that no two can be exchanged."""
    return np.uint32(zlib.crc32(contents, zlib.crc32(path.encode())))


def _as_bytes(array: Array) -> bytes:
    """Return the values in one byte order: a single bit of the file says which one is stored."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[Any]:
    """Open an HDF5 file; what h5py raises becomes a ValueError.

    Parameters
    ----------
    data : bytes
        The contents of the file.

    Yields
    ------
    h5py.File
        The file.

    Raises
    ------
    ValueError
        If it is not an HDF5 file, or damaged.

    Examples
    --------
    >>> with opened(write(lambda file: put(file, "kernel", np.ones(2)))) as file:
    ...     get(file, "kernel", Variable(np.zeros(2)))
    array([1., 1.])
    """
    import h5py

    _check_heaps(data)
    errors = (OSError, RuntimeError, KeyError, TypeError, AttributeError, SystemError)
    expected = "The file must be an HDF5 file that is not damaged"
    with refusing(expected, *errors), h5py.File(io.BytesIO(data), "r") as file:
        yield file


def _check_heaps(data: bytes) -> None:
    """Refuse heaps of text whose entries do not end: the HDF5 library would not return."""
    start = data.find(_HEAP)
    while start >= 0:
        at, end = start + 16, start + int.from_bytes(data[start + 8 : start + 16], "little")
        while at + 16 <= end:
            number = int.from_bytes(data[at : at + 2], "little")
            size = int.from_bytes(data[at + 8 : at + 16], "little")
            at += size if number == 0 else 16 + -(-size // 8) * 8
            if at > min(end, len(data)) or (number == 0 and size == 0):
                raise ValueError(f"The file's heap is damaged. Received: an entry of {size} bytes")
        start = data.find(_HEAP, start + 8)


def find(group: Any, path: str) -> Any:
    """Follow a path along hard links.

    Parameters
    ----------
    group : h5py.Group
        Group where the path begins.
    path : str
        Names with ``/`` between them.

    Returns
    -------
    h5py.Group, h5py.Dataset or None
        The object, or None if the path leads to nothing.

    Raises
    ------
    ValueError
        If a step is a soft or an external link.

    Examples
    --------
    >>> with opened(write(lambda file: put(file, "a/b", np.ones(2)))) as file:
    ...     find(file, "a/b").shape, find(file, "a/c")
    ((2,), None)
    """
    import h5py

    _check_path(path)
    node = group
    for name in path.split("/"):
        links = node.id.links
        if not links.exists(name.encode()):
            return None
        hard = links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD
        require(hard, "Links are not followed", f"a link at {shorten(path)}")
        node = node[name]
    return node


def get(group: Any, path: str, variable: Variable) -> Array:
    """Read a dataset that fits a Variable.

    Parameters
    ----------
    group : h5py.Group
        Group where the path begins.
    path : str
        The path.
    variable : Variable
        The Variable.

    Returns
    -------
    ndarray
        The values, of the Variable's shape and type.

    Raises
    ------
    ValueError
        If it is missing, of another shape or kind, stored in another way, or damaged.

    Examples
    --------
    >>> with opened(write(lambda file: put(file, "bias", np.ones(3)))) as file:
    ...     get(file, "bias", Variable(np.zeros(2)))
    Traceback (most recent call last):
        ...
    tinynet.saving.state.MismatchError: bias must be of shape (2,) and type float64 for
        variable. Received: shape (3,), type float64
    """
    dataset = find(group, path)
    require(hasattr(dataset, "shape"), f"{shorten(path)} must be an array", f"{dataset}")
    plain = dataset.dtype.kind in "iufb" and dataset.dtype.itemsize <= 8
    require(plain, f"{path} must hold plain numbers", f"{dataset.dtype}")
    check_fit(path, dataset, variable)
    stored = dataset.id.get_storage_size()
    packed = dataset.chunks or dataset.is_virtual or dataset.external
    whole = f"{path} must be stored whole in this file, neither packed nor in parts"
    require(not packed and stored == dataset.nbytes, whole, f"{stored:,} bytes stored")
    array = np.asarray(dataset[()])
    fits = get_number(dataset, _CHECKSUM) in (None, _checksum(dataset.name, _as_bytes(array)))
    require(fits, f"{path} is damaged", "another checksum")
    return fit(path, array, variable)


def get_text(group: Any, name: str) -> Any:
    """Read an attribute of text, or of a list of texts.

    Parameters
    ----------
    group : h5py.Group
        Group that has the attribute.
    name : str
        Name of the attribute.

    Returns
    -------
    str, list of str or None
        Its value, if there is one.

    Raises
    ------
    ValueError
        If it is anything else than text, or damaged.

    Examples
    --------
    >>> with opened(write(lambda file: put_text(file, "names", ["kernel"]))) as file:
    ...     get_text(file, "names"), get_text(file, "others")
    (['kernel'], None)
    """
    import h5py

    expected = get_number(group, f"{name}_{_CHECKSUM}")
    if name not in group.attrs:
        received = f"a checksum of {name}, but no {name}"
        require(expected is None, "The file is damaged", received)
        parts = map(f"{name}{{}}".format, itertools.count())
        found = itertools.takewhile(group.attrs.__contains__, parts)
        return [text for part in found for text in get_text(group, part)] or None
    attribute = group.attrs.get_id(name)
    count = attribute.get_space().get_simple_extent_npoints()
    if count == 0:
        return []
    fits = h5py.check_string_dtype(attribute.dtype) and count <= MAX_TEXTS
    require(fits, f"The attribute {name} must be text", f"shape {attribute.shape}")
    value = group.attrs[name]
    alone = isinstance(value, str | bytes)
    texts = [t.decode() if isinstance(t, bytes) else str(t) for t in ([value] if alone else value)]
    fits = expected in (None, _checksum(group.name, "\0".join(texts).encode()))
    require(fits, f"The attribute {name} is damaged", "another checksum")
    return texts[0] if alone else texts


def get_number(node: Any, name: str) -> int | None:
    """Read an attribute that is one integer.

    Parameters
    ----------
    node : h5py.Group or h5py.Dataset
        Object that has the attribute.
    name : str
        Name of the attribute.

    Returns
    -------
    int or None
        Its value, if there is one.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> with opened(write(lambda file: file.attrs.create("count", 3))) as file:
    ...     get_number(file, "count"), get_number(file, "size")
    (3, None)
    """
    if name not in node.attrs:
        return None
    attribute = node.attrs.get_id(name)
    one = attribute.dtype.kind in "iu" and attribute.shape == ()
    require(one, f"The attribute {name} must be one number", "another type")
    return int(node.attrs[name])
