"""Parsers of the file formats of MNIST-like datasets: IDX and ``.npz``.

The files are untrusted. Nothing is unpickled, no more bytes are decompressed than the header
declares, and every declared size is compared with the contents before it is used.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from tinynet._core.checks import require, shorten

__all__ = ["IDX_FILES", "LARGEST", "Dataset", "naming", "parse", "parse_idx", "parse_npz"]

Array = NDArray[np.uint8]
Dataset = tuple[tuple[Array, Array], tuple[Array, Array]]

IDX_FILES = (
    *("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    *("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
)
NPZ_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
DIMENSIONS = (3, 1, 3, 1)
LARGEST = 1 << 28  # maximum size of a file or array in bytes: five times MNIST
#: Maximum size of an array in bytes: SMALL plus RATIO times the size of the file. MNIST's is 5.
SMALL, RATIO = 4 << 20, 100
#: Header of an array as NumPy writes it; NumPy's parser accepts Python literals of any kind.
_HEADER = re.compile(
    r"\{'descr': '([^']{1,10})', 'fortran_order': (True|False), "
    r"'shape': \(([\d, ]{0,50})\), \} *\n"
)
DAMAGE = (ValueError, EOFError, RuntimeError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile)


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Convert exceptions about corrupted contents to a ValueError that names the file."""
    try:
        yield
    except DAMAGE as error:
        raise ValueError(f"{name} is corrupted or not in MNIST format: {error!s:.500}") from error


def parse(files: Mapping[str, bytes]) -> Dataset:
    """Parse the contents of one ``.npz`` file, or of four IDX files in the order of `IDX_FILES`."""
    arrays = []
    for (name, data), dimensions in zip(files.items(), DIMENSIONS, strict=False):
        with naming(name):
            arrays += parse_npz(data) if len(files) == 1 else [parse_idx(data, dimensions)]
    x_train, y_train, x_test, y_test = arrays
    for images, labels, part in ((x_train, y_train, "training"), (x_test, y_test, "test")):
        expected = f"{', '.join(files)} must contain one label per {part} image"
        received = f"{len(images)} images, {len(labels)} labels"
        require(len(images) == len(labels), expected, received)
    return (x_train, y_train), (x_test, y_test)


def parse_idx(data: bytes, dimensions: int) -> Array:
    """Parse an IDX file, gzipped or not: a magic number, big-endian sizes, uint8 values."""
    packed, file = data.startswith(b"\x1f\x8b"), io.BytesIO(data)
    stream: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=file) if packed else file
    header = stream.read(4 + 4 * dimensions)
    received = f"{len(header)} bytes"
    require(len(header) == 4 + 4 * dimensions, "the file must begin with an IDX header", received)
    magic, *shape = np.frombuffer(header, ">u4").tolist()
    number = 0x0800 + dimensions  # 0x08 means unsigned bytes
    require(magic == number, f"the magic number must be {number}", f"{magic}")
    return _values(stream, tuple(shape), len(data))


def parse_npz(data: bytes) -> list[Array]:
    """Parse the four arrays of an ``.npz`` file; `np.load` would allocate any declared size."""
    arrays = []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        packed = sum(member.compress_size for member in archive.infolist())
        received = f"members of {packed:,} bytes in a file of {len(data):,} bytes"
        require(packed <= len(data), "the compressed arrays must fit into the file", received)
        for name, dimensions in zip(NPZ_ARRAYS, DIMENSIONS, strict=True):
            names = archive.namelist()
            expected = f"the file must contain the arrays {', '.join(NPZ_ARRAYS)}"
            require(f"{name}.npy" in names, expected, ", ".join(names))
            member = archive.getinfo(f"{name}.npy")
            known = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            require(known, f"{name} must be stored or deflated", f"type {member.compress_type}")
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                require(version == (1, 0), f"{name} must be in npy format 1.0", f"{version}")
                header = stream.read(int.from_bytes(stream.read(2), "little")).decode("latin1")
                found = _HEADER.fullmatch(header)
                shape = tuple(map(int, re.findall(r"\d+", found[3]))) if found else ()
                fits = found is not None and found[1] == "|u1" and len(shape) == dimensions
                expected = f"{name} must be a uint8 array with {dimensions} dimensions"
                require(fits, expected, shorten(header))
                order: Literal["C", "F"] = "F" if found and found[2] == "True" else "C"
                arrays.append(_values(stream, shape, member.compress_size, order))
    return arrays


def _values(
    stream: IO[bytes] | gzip.GzipFile,
    shape: tuple[int, ...],
    packed: int,
    order: Literal["C", "F"] = "C",
) -> Array:
    """Read the images or labels that follow a header from `packed` bytes of a file."""
    size = math.prod(shape)
    fits = shape[1:] in ((), (28, 28)) and 0 < size <= LARGEST
    require(fits, "the shape must be that of 28 x 28 images or of labels", f"shape={shape}")
    expected = f"the data must be at most {RATIO} times as large as the file"
    require(size <= SMALL + RATIO * packed, expected, f"{size:,} bytes in {packed:,} bytes")
    # Reading one more byte detects excess data, and makes gzip and zip verify their checksums.
    data = stream.read(size + 1)
    received = f"more than {size} bytes" if len(data) > size else f"{len(data)} bytes"
    require(len(data) == size, f"the data must have {size} bytes for shape {shape}", received)
    values: Array = np.frombuffer(data, np.uint8).reshape(shape, order=order).copy()
    if values.ndim == 1:
        require(values.max() <= 9, "labels must be from 0 to 9", f"{values.max()}")
    return values
