"""Keras' utilities."""

from __future__ import annotations

import random as _python_random
import sys
from typing import Any

import numpy as np

from tinynet import config, ops, random, visualize
from tinynet._core import checks, registry
from tinynet._core.registry import *
from tinynet.program import Array, SymbolicTensor, TensorMethods, as_tensor
from tinynet.training.data_adapters import pack_x_y_sample_weight, unpack_x_y_sample_weight

__all__ = ["PyDataset", "Sequence", "clear_session", "normalize", "pack_x_y_sample_weight"]
__all__ += ["plot_model", "set_random_seed", "to_categorical", "unpack_x_y_sample_weight"]
__all__ += registry.__all__


def clear_session(free_memory: bool = True) -> None:
    """Restart the numbering of layer names.

    Parameters
    ----------
    free_memory : bool
        Accepted as in Keras, without effect: models live as long as they are used.

    Examples
    --------
    >>> clear_session()
    >>> from tinynet import layers
    >>> layers.Dense(2).name
    'dense'
    """
    registry.clear_names()


def to_categorical(x: Any, num_classes: int | None = None) -> Array:
    """Convert class labels to one-hot rows.

    Parameters
    ----------
    x : array_like of int
        Labels, from 0 to `num_classes` - 1. A last axis of size 1 is dropped.
    num_classes : int, optional
        Length of the rows; by default the largest label plus 1.

    Returns
    -------
    ndarray of float64, shape (..., num_classes)
        The rows.

    Raises
    ------
    IndexError
        If a label is negative or too large.
    ValueError
        If a label is not an integer, or there are neither labels nor `num_classes`.

    Examples
    --------
    >>> to_categorical([2, 0])
    array([[0., 0., 1.],
           [1., 0., 0.]])
    >>> to_categorical([], num_classes=3).shape
    (0, 3)
    """
    if isinstance(x, SymbolicTensor):
        x = ops.squeeze(x, -1) if len(x.shape) > 1 and x.shape[-1] == 1 else x
        return ops.one_hot(x, num_classes)
    given = checks.numeric("x", x)
    if not np.all(np.isfinite(given) & (given == np.rint(given))):
        shown = checks.shorten(given if given.ndim else given[()])
        raise ValueError(f"Labels must be integers. Received: {shown}")
    labels = np.asarray(given, np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    num_classes = checks.optional(checks.whole, "num_classes", num_classes, 0)
    if not num_classes and not labels.size:
        raise ValueError(f"num_classes must be given if x is empty. Received: x={given}")
    classes = num_classes or int(labels.max()) + 1
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        expected = f"Labels must be at least 0 and less than num_classes={classes}"
        raise IndexError(f"{expected}. Received: {labels[wrong].flat[0]}")
    return (labels[..., None] == np.arange(classes)).astype(np.float64)


def normalize(x: Any, axis: int = -1, order: float = 2) -> Array:
    """Divide vectors by their length.

    Parameters
    ----------
    x : array_like
        The vectors.
    axis : int
        Axis of the vectors.
    order : float
        Order of the norm: 2 is the Euclidean length, 1 the sum of the absolute values.

    Returns
    -------
    ndarray
        Vectors of length 1, in float64 if `x` are whole numbers; those of length 0 are
        unchanged. A Tensor of `config.floatx()` if `x` was not an array.

    Examples
    --------
    >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    if isinstance(x, TensorMethods):
        return ops.normalize(x, axis, order)
    array = checks.numeric("x", x)
    if not isinstance(x, np.ndarray):
        array = as_tensor(array.astype(config.floatx()))
    norm = np.linalg.norm(array, order, axis, keepdims=True)
    return array / np.where(norm == 0, norm.dtype.type(1), norm)


def set_random_seed(seed: int) -> None:
    """Set the seeds of all random number generators: Python, NumPy and tinynet.

    The same seed gives the same weights, the same order of examples and bit-identical results
    on the same machine and versions. This is the one function that touches the global
    random state of Python and of NumPy, as its name promises; nothing else reads or writes it.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        If it is out of range.

    Examples
    --------
    >>> set_random_seed(0)
    """
    below = checks.whole("seed", seed, 0) < 2**32
    checks.require(below, "seed must be less than 2**32", f"seed={seed}")
    _python_random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002  # setting the global state is the purpose
    random.set_seed(int(seed))


class PyDataset:
    """The base of custom data sets that return batches by their number, for `fit` and the like.

    Parameters
    ----------
    workers, use_multiprocessing, max_queue_size : object
        Accepted as Keras does, without effect: batches are loaded one after the other.

    Examples
    --------
    >>> class Halves(PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...     def __getitem__(self, index):
    ...         return np.zeros((4, 3)), np.zeros(4)
    >>> len(Halves())
    2
    """

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers, self.use_multiprocessing = workers, use_multiprocessing
        self.max_queue_size = max_queue_size

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must implement __len__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must implement __getitem__")

    @property
    def num_batches(self) -> int:
        """The number of batches."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Run before each epoch."""

    def on_epoch_end(self) -> None:
        """Run after each epoch, for example to shuffle examples; `fit` shuffles the batches."""


Sequence = PyDataset


def plot_model(
    model: Any,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    **kwargs: Any,
) -> Any:
    """Draw the layers of a model into a file, with matplotlib: Graphviz is not needed.

    Parameters
    ----------
    model : Model
        The model.
    to_file : str or Path, optional
        File to write, whose ending decides the format. None for no file.
    show_shapes, show_dtype, show_layer_names, rankdir, expand_nested : object
        Accepted as Keras does, without effect: names, shapes and activations are always shown.
    dpi : int
        Dots per inch.
    show_layer_activations, show_trainable, **kwargs : object
        Accepted as Keras does, without effect.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, which a notebook shows.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> figure = plot_model(Sequential([layers.Dense(2)]), to_file=None)
    """
    figure = visualize.plot_model(model)
    if to_file is not None:
        figure.savefig(to_file, dpi=checks.whole("dpi", dpi))
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            pyplot.close(figure)  # plt.show() need not show what is saved to a file
    return figure
