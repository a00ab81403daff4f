"""Utility functions, with the names and arguments of `keras.utils`."""

from __future__ import annotations

import random as _python_random
import sys
from typing import Any

import numpy as np

from tinynet import config, ops, random, visualize
from tinynet._core import checks, registry
from tinynet._core.registry import *
from tinynet.program import Array, SymbolicTensor, TensorMethods, Variable, as_tensor
from tinynet.training.data_adapters import pack_x_y_sample_weight, unpack_x_y_sample_weight

__all__ = ["PyDataset", "Sequence", "clear_session", "normalize", "pack_x_y_sample_weight"]
__all__ += ["plot_model", "set_random_seed", "to_categorical", "unpack_x_y_sample_weight"]
__all__ += registry.__all__


def clear_session(free_memory: bool = True) -> None:
    """Reset the numbering of automatic layer names.

    Parameters
    ----------
    free_memory : bool
        Accepted for compatibility with Keras; no effect, because unused models are always freed.

    Examples
    --------
    >>> clear_session()
    >>> from tinynet import layers
    >>> layers.Dense(2).name
    'dense'
    """
    registry.clear_names()


def to_categorical(x: Any, num_classes: int | None = None) -> Array:
    """Convert class labels to one-hot vectors.

    Parameters
    ----------
    x : array_like of int
        Class labels from 0 to `num_classes` - 1. A last axis of size 1 is removed.
    num_classes : int, optional
        Number of classes; by default the largest label plus 1.

    Returns
    -------
    ndarray of float64, shape (..., num_classes)
        One-hot vectors.

    Raises
    ------
    IndexError
        If a label is negative or too large.
    ValueError
        If a label is not an integer, or `x` is empty and `num_classes` is not specified.

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
        raise ValueError(f"x must contain integer class labels. Received: x={shown}")
    labels = np.asarray(given, np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    num_classes = checks.optional(checks.whole, "num_classes", num_classes, 0)
    if not num_classes and not labels.size:
        raise ValueError(f"num_classes must be specified if x is empty. Received: {num_classes=}")
    classes = num_classes or int(labels.max()) + 1
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        expected = f"x must contain class labels in the range [0, {classes})"
        raise IndexError(f"{expected}. Received: the label {labels[wrong].flat[0]}")
    return (labels[..., None] == np.arange(classes)).astype(np.float64)


def normalize(x: Any, axis: int = -1, order: float = 2) -> Array:
    """Divide vectors by their norm.

    Parameters
    ----------
    x : array_like
        Vectors to normalize.
    axis : int
        Axis of the vectors.
    order : float
        Order of the norm: 2 for the Euclidean norm, 1 for the sum of absolute values.

    Returns
    -------
    ndarray or Tensor
        Vectors of norm 1; vectors of norm 0 are unchanged. The result is float64 for an array of
        integers, and a Tensor of type `config.floatx()` if `x` is not an array.

    Examples
    --------
    The vector (3, 4) has the length 5:

    >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    if isinstance(x, TensorMethods | Variable):
        return ops.normalize(x, axis, order)
    array = checks.numeric("x", x)
    if not isinstance(x, np.ndarray):
        array = as_tensor(array.astype(config.floatx()))
    norm = np.linalg.norm(array, order, axis, keepdims=True)
    return array / np.where(norm == 0, norm.dtype.type(1), norm)


def set_random_seed(seed: int) -> None:
    """Set the seeds of the random number generators of Python, NumPy and tinynet.

    The same seed results in the same weights, the same order of examples and bit-identical results
    on the same machine with the same package versions. In a thread other than the main thread, the
    seed of tinynet is set for this thread only. Apart from this function, tinynet uses the
    global random states of Python and NumPy only in `tinynet.sklearn` with ``random_state=None``.

    Parameters
    ----------
    seed : int
        Seed from 0 to 2**32 - 1.

    Raises
    ------
    TypeError
        If `seed` is not an integer.
    ValueError
        If `seed` is out of range.

    Examples
    --------
    >>> from tinynet import random
    >>> set_random_seed(0)
    >>> first = random.normal((2,))
    >>> set_random_seed(0)
    >>> np.array_equal(first, random.normal((2,)))
    True
    """
    below = checks.whole("seed", seed, 0) < 2**32
    checks.require(below, "seed must be less than 2**32", f"seed={seed}")
    _python_random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002  # setting the global state is the purpose
    random.set_seed(int(seed))


class PyDataset:
    """Base class of custom datasets that return batches by index.

    Parameters
    ----------
    workers, use_multiprocessing, max_queue_size : object
        Accepted for compatibility with Keras; no effect, because batches are loaded sequentially.

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
        """Number of batches."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch, for example to shuffle examples; `fit` shuffles the batches."""


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
    """Plot the layers of a model with matplotlib; Graphviz is not needed.

    Parameters
    ----------
    model : Model
        Model to plot.
    to_file : str or Path, optional
        File to write, whose extension determines the format. If None, no file is written.
    show_shapes, show_dtype, show_layer_names, rankdir, expand_nested : object
        Accepted for compatibility with Keras; no effect. Names, shapes and activations are always
        shown.
    dpi : int
        Resolution of the file in dots per inch.
    show_layer_activations, show_trainable, **kwargs : object
        Accepted for compatibility with Keras; no effect.

    Returns
    -------
    matplotlib.figure.Figure
        Figure that contains the plot.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> figure = plot_model(Sequential([layers.Dense(2)]), to_file=None)
    """
    figure = visualize.plot_model(model)
    if to_file is not None:
        figure.savefig(to_file, dpi=checks.whole("dpi", dpi))
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            pyplot.close(figure)  # otherwise, plt.show() would display it
    return figure
