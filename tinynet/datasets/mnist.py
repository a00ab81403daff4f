"""MNIST: 70,000 images of handwritten digits, 60,000 for training and 10,000 for testing.

Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits", 1998. The files
are the four original IDX files, or Keras' ``mnist.npz``.
"""

from __future__ import annotations

import os

from tinynet.datasets.download import Source, load
from tinynet.datasets.idx_format import IDX_FILES, Dataset

__all__ = ["load_data"]

_DEFAULT = "mnist.npz"

_IDX_SHA256 = (
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",  # training images
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",  # training labels
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",  # test images
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",  # test labels
)
_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SOURCE = Source(
    name="mnist",
    title="MNIST",
    keras="mnist.npz",
    sha256={
        "mnist.npz": "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        **dict(zip(IDX_FILES, _IDX_SHA256, strict=True)),
    },
    downloads=(
        (("mnist.npz",), ("https://storage.googleapis.com/tensorflow/tf-keras-datasets/",)),
        (IDX_FILES, _MIRRORS),
    ),
)


def load_data(path: str | os.PathLike[str] | None = _DEFAULT) -> Dataset:
    """Load MNIST.

    With the default `path`, these locations are searched in order: ``$TINYNET_DATA/mnist/``, Keras'
    cache (``~/.keras/datasets/mnist.npz``) and tinynet's cache. If the dataset is not found, it is
    downloaded to tinynet's cache.

    Parameters
    ----------
    path : str or path-like, optional
        File in the format of Keras' ``mnist.npz``, or folder with ``mnist.npz`` or the four IDX
        files (``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte``, uncompressed or as ``.gz``),
        directly or in a subfolder ``mnist``. If given, no other location is searched, and the
        file may contain any number of images. None and the default name select the search described
        above; use ``./mnist.npz`` for a file in the current folder.

    Returns
    -------
    tuple
        ``(x_train, y_train), (x_test, y_test)``: images, uint8 of shape (60000, 28, 28) and
        (10000, 28, 28), from 0 (background) to 255 (ink); labels 0 to 9, uint8 of shape (60000,)
        and (10000,). The arrays are newly allocated in each call.

    Raises
    ------
    FileNotFoundError
        If MNIST was not found and cannot be downloaded. The message lists the locations that were
        tried. Without a network connection, this takes at most 24 s.
    ValueError
        If a file is corrupted or not in this format.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> images, labels = np.zeros((2, 28, 28), np.uint8), np.array([3, 7], np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "two.npz"
    ...     np.savez(file, x_train=images, y_train=labels, x_test=images, y_test=labels)
    ...     (x_train, y_train), (x_test, y_test) = load_data(file)
    >>> x_train.shape, y_train
    ((2, 28, 28), array([3, 7], dtype=uint8))
    """
    return load(SOURCE, None if path is None or os.fspath(path) == _DEFAULT else path)
