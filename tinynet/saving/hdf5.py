"""HDF5 files of which nothing is believed, read and written by way of h5py.

A file from a stranger may hold links to other files, data that lies elsewhere or is made up on
reading, and small datasets that claim to be huge. So a path is followed step by step along hard
links only; a dataset must be plain numbers, stored as they are, of exactly the shape that the
model asks for, before any of it is read.

HDF5 has no checksum of its own here. What tinynet writes carries one beside every dataset and
text, which Keras passes over.
"""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinynet.checks import shorten
from tinynet.saving.state import MismatchError, fit
from tinynet.variable import Array, Variable

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
    buffer = io.BytesIO()
    import h5py

    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def put(group: Any, path: str, array: Array) -> None:
    """Write a dataset and its checksum.

    Parameters
    ----------
    group : h5py.Group
        Where.
    path : str
        The dataset's path from there.
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
        Where.
    path : str
        The group's path from there.
    name : str, optional
        Its attribute ``name``.

    Returns
    -------
    h5py.Group
        The group.

    Examples
    --------
    >>> contents = write(lambda file: put_group(file, "layers/dense", "hidden"))
    """
    _check_path(path)
    if path in group:
        raise ValueError(f"Names of layers in an HDF5 file must differ. Received: {path} twice")
    made = group.create_group(path)
    if name is not None:
        made.attrs["name"] = _text(name)
    return made


def _check_path(path: str) -> None:
    """Refuse names that are not groups' names; the same check for writing and reading."""
    for name in path.split("/"):
        if name in ("", ".", "..") or len(_text(name).encode()) > MAX_NAME:
            raise ValueError(
                "The name of a layer or weight in an HDF5 file can't be '', '.' or '..', or longer "
                f"than {MAX_NAME:,} bytes. Received: {shorten(path)}"
            )


def _text(text: str) -> str:
    """Refuse text that HDF5 can't store."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"HDF5 can't store NUL and lone surrogates. Received: {shorten(text)}")
    return text


def put_text(group: Any, name: str, text: str | list[str]) -> None:
    """Write an attribute of text, or of a list of texts, and its checksum.

    Parameters
    ----------
    group : h5py.Group
        What it is an attribute of.
    name : str
        Its name.
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
        parts = {
            f"{name}{i}": text[4000 * i : 4000 * (i + 1)] for i in range(-(-len(text) // 4000))
        }
    for key, value in parts.items():
        for each in [value] if isinstance(value, str) else value:
            _text(each)
        group.attrs.create(key, value, dtype=h5py.string_dtype())
        joined = value if isinstance(value, str) else "\0".join(value)
        group.attrs[f"{key}_{_CHECKSUM}"] = _checksum(group.name, joined.encode())


def _checksum(path: str, contents: bytes) -> np.uint32:
    """Cover the place as well as the contents, so that no two can be exchanged."""
    return np.uint32(zlib.crc32(contents, zlib.crc32(path.encode())))


def _as_bytes(array: Array) -> bytes:
    """Give the values, not the bytes as they are stored: one bit says in which order they are."""
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
        If it is no HDF5 file, or a damaged one.

    Examples
    --------
    >>> with opened(write(lambda file: put(file, "kernel", np.ones(2)))) as file:
    ...     get(file, "kernel", Variable(np.zeros(2)))
    array([1., 1.])
    """
    import h5py

    _check_heaps(data)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError, SystemError) as error:
        raise ValueError(
            f"The file must be an HDF5 file that is not damaged. "
            f"Received: {type(error).__name__}: {error}"
        ) from error


def _check_heaps(data: bytes) -> None:
    """Refuse heaps of text whose entries do not end, in which the HDF5 library loses itself."""
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
        Where it begins.
    path : str
        Names with ``/`` between them.

    Returns
    -------
    h5py.Group, h5py.Dataset or None
        What is there, if anything.

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
        if not isinstance(node, h5py.Group):
            raise ValueError(f"A path in HDF5 must be of groups' names. Received: {shorten(path)}")
        step = name.encode()
        if not node.id.links.exists(step):
            return None
        if node.id.links.get_info(step).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"Links are not followed. Received: a link at {shorten(path)}")
        found = h5py.h5o.open(node.id, step)
        kinds = {h5py.h5g.GroupID: h5py.Group, h5py.h5d.DatasetID: h5py.Dataset}
        if type(found) not in kinds:
            raise ValueError(
                f"{shorten(path)} must lead to groups and datasets. "
                f"Received: {type(found).__name__}"
            )
        node = kinds[type(found)](found)
    return node


def get(group: Any, path: str, variable: Variable) -> Array:
    """Read a dataset that is as a Variable needs it.

    Parameters
    ----------
    group : h5py.Group
        Where the path begins.
    path : str
        The path.
    variable : Variable
        What it is for.

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
        variable. Received: shape (3,)
    """
    import h5py

    dataset = find(group, path)
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{shorten(path)} must be an array. Received: {dataset}")
    if dataset.shape != variable.shape:
        raise MismatchError(
            f"{path} must be of shape {variable.shape} and type {variable.dtype} for "
            f"{variable.path}. Received: shape {dataset.shape}"
        )
    kind, stored = dataset.id.get_type(), dataset.id.get_create_plist()
    plain = isinstance(kind, h5py.h5t.TypeFloatID | h5py.h5t.TypeIntegerID)
    if not (plain or dataset.dtype == bool) or kind.get_size() > 8:
        raise ValueError(f"{path} must hold plain numbers. Received: {type(kind).__name__}")
    if (
        stored.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
        or stored.get_external_count()
        or stored.get_nfilters()
        or dataset.id.get_storage_size() != variable.size * kind.get_size()
    ):
        raise ValueError(
            f"{path} must be stored whole in this file, neither packed nor in parts. "
            f"Received: {dataset.id.get_storage_size():,} bytes stored"
        )
    array = np.asarray(dataset[()])
    expected = get_number(dataset, _CHECKSUM)
    if expected is not None and expected != _checksum(dataset.name, _as_bytes(array)):
        raise ValueError(f"{path} is damaged. Received: another checksum")
    return fit(path, array, variable)


def get_text(group: Any, name: str) -> Any:
    """Read an attribute of text, or of a list of texts.

    Parameters
    ----------
    group : h5py.Group
        What it is an attribute of.
    name : str
        Its name.

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
    if not h5py.h5a.exists(group.id, name.encode()):
        if expected is not None:
            raise ValueError(f"The file is damaged. Received: a checksum of {name}, but no {name}")
        parts: list[str] = []
        i = 0
        while h5py.h5a.exists(group.id, f"{name}{i}".encode()):
            parts += get_text(group, f"{name}{i}")
            i += 1
        return parts if i else None
    attribute = h5py.h5a.open(group.id, name.encode())
    space = attribute.get_space()
    if space.get_simple_extent_npoints() == 0:
        return []
    is_text = isinstance(attribute.get_type(), h5py.h5t.TypeStringID)
    if not is_text or space.get_simple_extent_npoints() > MAX_TEXTS:
        raise ValueError(f"The attribute {name} must be text. Received: shape {attribute.shape}")
    value = group.attrs[name]
    alone = isinstance(value, str | bytes)
    texts = [t.decode() if isinstance(t, bytes) else str(t) for t in ([value] if alone else value)]
    if expected is not None and expected != _checksum(group.name, "\0".join(texts).encode()):
        raise ValueError(f"The attribute {name} is damaged. Received: another checksum")
    return texts[0] if alone else texts


def get_number(node: Any, name: str) -> int | None:
    """Read an attribute that is one whole number.

    Parameters
    ----------
    node : h5py.Group or h5py.Dataset
        What it is an attribute of.
    name : str
        Its name.

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
    import h5py

    if not h5py.h5a.exists(node.id, name.encode()):
        return None
    attribute = h5py.h5a.open(node.id, name.encode())
    plain = isinstance(attribute.get_type(), h5py.h5t.TypeIntegerID)
    if not plain or attribute.shape != ():
        raise ValueError(f"The attribute {name} must be one number. Received: another type")
    return int(node.attrs[name])
