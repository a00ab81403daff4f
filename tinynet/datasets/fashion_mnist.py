"""Fashion-MNIST: 70,000 images of clothing in MNIST's format.

H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms", arXiv:1708.07747, 2017. `CLASS_NAMES` contains the names of the classes.
"""

from __future__ import annotations

import os

from tinynet.datasets.download import Source, load
from tinynet.datasets.idx_format import IDX_FILES, Dataset

__all__ = ["CLASS_NAMES", "load_data"]

#: Names of the classes 0 to 9.
CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

# The authors publish MD5 checksums; these SHA-256 checksums of the same files are from TensorFlow
# Datasets (url_checksums/fashion_mnist.txt).
_IDX_SHA256 = (
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",  # training images
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",  # training labels
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",  # test images
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",  # test labels
)
_MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
SOURCE = Source(
    name="fashion_mnist",
    title="Fashion-MNIST",
    keras="fashion-mnist",
    sha256=dict(zip(IDX_FILES, _IDX_SHA256, strict=True)),
    downloads=((IDX_FILES, _MIRRORS),),
)


def load_data(path: str | os.PathLike[str] | None = None) -> Dataset:
    """Load Fashion-MNIST.

    Without `path`, these locations are searched in order: ``$TINYNET_DATA/fashion_mnist/``, Keras'
    cache (``~/.keras/datasets/fashion-mnist/``) and tinynet's cache. If the dataset is not found,
    it is downloaded to tinynet's cache.

    Parameters
    ----------
    path : str or path-like, optional
        Folder with the four IDX files, or an ``.npz`` file, as in
        `tinynet.datasets.mnist.load_data`. If given, no other location is searched. Keras' function
        does not have this parameter.

    Returns
    -------
    tuple
        ``(x_train, y_train), (x_test, y_test)``: images, uint8 of shape (60000, 28, 28) and
        (10000, 28, 28); labels 0 to 9, uint8 of shape (60000,) and (10000,). The arrays are
        newly allocated in each call.

    Raises
    ------
    FileNotFoundError
        If Fashion-MNIST was not found and cannot be downloaded. The message lists the locations
        that were tried. Without a network connection, this takes at most 24 s.
    ValueError
        If a file is corrupted or not in this format.

    Examples
    --------
    >>> load_data("no such folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    FileNotFoundError: path must be ... Received: path='no such folder'
    """
    return load(SOURCE, path)
