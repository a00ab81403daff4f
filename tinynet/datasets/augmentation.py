"""Data augmentation: random variations of images of handwritten digits.

A network that has learned from many variations of each training image is more accurate on other
people's handwriting. All results are bit-identical on every machine: the random numbers are raw
bits of PCG64, coordinates are exact multiples of a fixed grid, and pixels are integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinynet._core.checks import require, whole
from tinynet.datasets.drawn_digits import bell

__all__ = ["augment_digits"]

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

# Standard deviations of the variations.
_SHIFT = 0.8  # in pixels
_SCALE = 0.09  # of the factors of the width and the height
_SLANT, _TURN = 0.16, 0.09  # horizontal and vertical shear; with opposite signs a rotation
_WAVE = 0.55  # in pixels, of waves that bend the strokes; divided by the number of half periods
_THICK, _THINNEST, _THICKEST = 0.5, -0.8, 1.0  # change of the stroke's edges in pixels, and limits

_GROUP = 64  # images that share a transformation
_SIDE, _PAD = 28, 2
_WIDTH = _SIDE + 2 * _PAD
_GRID = 4096  # products of multiples of 1 / 4096 are exact in float64, and so are their sums
_STEPS = 16  # positions between two pixels


def _fields() -> Floats:
    """Return the basis of the coordinate transformations, shape (18, 784): 1, x, y and waves."""
    at = (np.arange(_SIDE) - (_SIDE - 1) / 2) / (_SIDE / 2)
    y, x = np.meshgrid(at, at, indexing="ij")
    fields = [np.ones_like(x), _SIDE / 2 * x, _SIDE / 2 * y]
    for i, j in np.ndindex(4, 4):
        if i or j:
            wave = np.cos(np.pi * i * (x + 1) / 2) * np.cos(np.pi * j * (y + 1) / 2)
            fields.append(_WAVE / np.hypot(i, j) * wave)
    return np.asarray(np.rint(_GRID * np.reshape(fields, (len(fields), -1))) / _GRID)


_FIELDS = _fields()


def augment_digits(images: Any, seed: int = 0) -> Bytes:
    """Vary images of digits: position, size, slant, rotation, shape and width of the strokes.

    Every image is resampled (bilinear interpolation) at the coordinates::

        x' = dx + (1 + a) x + b y + waves        y' = dy + c x + (1 + d) y + other waves

    with random coefficients, and its strokes are then made thicker or thinner by less than a pixel:
    a weighted mean of the image and the maximum, or the minimum, of neighboring pixels. Groups of
    64 randomly chosen images share the coefficients. In each epoch of training, use another seed.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, 28, 28)
        Images in MNIST's format.
    seed : int
        Random seed, 0 or more. The result is bit-identical on every machine.

    Returns
    -------
    ndarray of uint8, shape (n, 28, 28)
        One variation of each image.

    Raises
    ------
    TypeError
        If `seed` is not an integer.
    ValueError
        If `images` has a different shape or dtype, or `seed` is negative.

    Examples
    --------
    Batches for `fit` that differ in every epoch:

    >>> from tinynet import datasets, utils
    >>> class Augmented(utils.PyDataset):
    ...     def __init__(self, x, y):
    ...         super().__init__()
    ...         self.x, self.y, self.epoch = x, y, 0
    ...         self.on_epoch_end()
    ...     def __len__(self):
    ...         return len(self.x) // 32
    ...     def __getitem__(self, index):
    ...         batch = slice(32 * index, 32 * index + 32)
    ...         return self.varied[batch] / 255, self.y[batch]
    ...     def on_epoch_end(self):
    ...         self.varied = augment_digits(self.x, seed=self.epoch)
    ...         self.epoch += 1
    >>> (x, y), _ = datasets.drawn_digits.load_data(n_train=64, n_test=0)
    >>> batches = Augmented(x, y)
    >>> batches[1][0].shape
    (32, 28, 28)
    """
    found = np.asarray(images)
    fits = found.dtype == np.uint8 and found.ndim == 3 and found.shape[1:] == (_SIDE, _SIDE)
    expected = "images must be a uint8 array of shape (n, 28, 28)"
    require(fits, expected, f"shape {found.shape}, dtype {found.dtype}")
    bits = np.random.PCG64(np.random.SeedSequence(whole("seed", seed, 0)))
    order = np.argsort(bits.random_raw(len(found)), kind="stable")
    groups = [order[first : first + _GROUP] for first in range(0, len(order), _GROUP)]
    deviation = np.ones((2, len(_FIELDS)))
    deviation[:, :3] = [_SHIFT, _SCALE, _SLANT], [_SHIFT, _TURN, _SCALE]
    mean = np.zeros_like(deviation)
    mean[:, 0], mean[0, 1], mean[1, 2] = _PAD + (_SIDE - 1) / 2, 1, 1
    coefficients = mean + deviation * bell(bits, len(groups), *mean.shape)
    coefficients = np.rint(_GRID * coefficients) / _GRID
    change = np.clip(_THICK * bell(bits, len(groups)), _THINNEST, _THICKEST)
    varied = np.zeros_like(found)
    for rows, coefficient, amount in zip(groups, coefficients, change, strict=True):
        # Images along the last axis: a pixel of the whole group is contiguous in memory.
        group = np.ascontiguousarray(np.moveaxis(found[rows], 0, -1))
        varied[rows] = np.moveaxis(_thickened(_resampled(group, coefficient), amount), -1, 0)
    return varied


def _resampled(group: Bytes, coefficient: Floats) -> Bytes:
    """Resample images (28, 28, n) at transformed coordinates."""
    padded = np.pad(group, ((_PAD, _PAD), (_PAD, _PAD), (0, 0))).reshape(_WIDTH**2, -1)
    at = np.rint(_STEPS * (coefficient @ _FIELDS)).astype(np.int64)
    x, y = np.clip(at, 0, _STEPS * (_WIDTH - 1) - 1)
    corner, right, below = y // _STEPS * _WIDTH + x // _STEPS, x % _STEPS, y % _STEPS
    left, above = _STEPS - right, _STEPS - below
    total = np.full((_SIDE**2, group.shape[-1]), _STEPS**2 // 2, np.uint16)
    weights = {0: above * left, 1: above * right, _WIDTH: below * left, _WIDTH + 1: below * right}
    for offset, weight in weights.items():
        total += padded[corner + offset] * weight.astype(np.uint16)[:, None]
    return (total // _STEPS**2).astype(np.uint8).reshape(group.shape)


def _thickened(group: Bytes, amount: float) -> Bytes:
    """Move the edges of strokes outwards by `amount` pixels, or inwards if it is negative."""
    extreme = np.maximum if amount > 0 else np.minimum
    moved = group.copy()
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        extreme(moved[one], group[other], out=moved[one])
        extreme(moved[other], group[one], out=moved[other])
    part = np.uint16(np.rint(256 * abs(amount)))
    return ((group * (256 - part) + moved * part + np.uint16(128)) // 256).astype(np.uint8)
