"""MNIST from four gzipped IDX files, or downloaded by Keras.

An IDX file has a header of big-endian 32-bit integers (a magic number, which encodes the number of
dimensions, followed by the size of each dimension), and then the bytes of the array.
"""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Split = tuple[Bytes, Bytes]


def load_data() -> tuple[Split, Split]:
    """Load ``(x_train, y_train), (x_test, y_test)`` as uint8, with images of 28 x 28 pixels.

    The data are read from ``$TINYNET_DATA/mnist`` if that folder exists, and otherwise loaded by
    ``keras.datasets.mnist``, which downloads and caches them.
    """
    if root := os.environ.get("TINYNET_DATA"):
        folder = Path(root) / "mnist"
        if folder.is_dir():
            return _read_split(folder, "train"), _read_split(folder, "t10k")

    import keras  # slow, and not needed if the files exist

    train, test = keras.datasets.mnist.load_data()
    return train, test


def _read_split(folder: Path, name: str) -> Split:
    images = read_idx(folder / f"{name}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte.gz")
    if len(images) != len(labels):
        raise ValueError(
            f"{folder} must contain as many {name} labels as images. "
            f"Received: {len(images)} images, {len(labels)} labels"
        )
    return images, labels


def read_idx(path: Path) -> Bytes:
    """Read an array of uint8 from a gzipped IDX file."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is corrupted: {error}") from error
    if content[:3] != b"\x00\x00\x08" or len(content) < 4:
        raise ValueError(
            f"{path}: an IDX file must start with 00 00 08. Received: {content[:3].hex(' ')}"
        )
    header = 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:header], dtype=">u4").tolist())
    array = np.frombuffer(content[header:], dtype=np.uint8)
    if array.size != np.prod(shape):
        raise ValueError(
            f"{path} is corrupted: expected {np.prod(shape)} bytes for shape {shape}. "
            f"Received: {array.size}"
        )
    return array.reshape(shape)
