"""MNIST, read in the plainest way: four gzipped IDX files, or else Keras' own download.

An IDX file is a header of big-endian 32-bit integers (a magic number that holds the number of
dimensions, then the dimensions) followed by the bytes of the array.
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
    """``(x_train, y_train), (x_test, y_test)`` as uint8, images of 28 x 28 pixels.

    Read from ``$TINYNET_DATA/mnist`` where that folder exists, otherwise by
    ``keras.datasets.mnist``, which downloads the data once and keeps it.
    """
    if root := os.environ.get("TINYNET_DATA"):
        folder = Path(root) / "mnist"
        if folder.is_dir():
            return _read_split(folder, "train"), _read_split(folder, "t10k")

    import keras  # takes seconds, and the files above do not need it

    train, test = keras.datasets.mnist.load_data()
    return train, test


def _read_split(folder: Path, name: str) -> Split:
    images = read_idx(folder / f"{name}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte.gz")
    if len(images) != len(labels):
        raise ValueError(
            f"{folder}: expected as many {name} labels as images. "
            f"Received: {len(images)} images, {len(labels)} labels"
        )
    return images, labels


def read_idx(path: Path) -> Bytes:
    """The array of unsigned bytes in one gzipped IDX file."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if content[:3] != b"\x00\x00\x08" or len(content) < 4:
        raise ValueError(
            f"{path}: an IDX file of bytes begins with 00 00 08. Received: {content[:3].hex(' ')}"
        )
    header = 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:header], dtype=">u4").tolist())
    array = np.frombuffer(content[header:], dtype=np.uint8)
    if array.size != np.prod(shape):
        raise ValueError(
            f"{path} is damaged: expected {np.prod(shape)} bytes for shape {shape}. "
            f"Received: {array.size}"
        )
    return array.reshape(shape)
