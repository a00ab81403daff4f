"""Framing: any picture of one digit brought into the form that MNIST's digits have.

A net that has seen MNIST only expects MNIST's frame: white ink on black, the digit as large as a
box of 20 x 20 pixels allows, its centre of mass in the middle of 28 x 28.  A digit that stands
elsewhere, or fills the whole picture, is read wrongly by the best of nets.  `frame_digit` does for
a photo, a scan or a drawing what MNIST's makers did for their forms (Y. LeCun, C. Cortes and
C. J. C. Burges, "The MNIST database of handwritten digits", 1998), with nothing but sums and
products, so that it can be written down again, number for number, in any other language.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["frame_digit", "paper_shade", "to_grey"]

Greys = NDArray[np.float64]

_BOX, _SIDE = 20, 28
_LEAST_CONTRAST = 0.1  # of the range of greys: what is paler is the paper's own grain
_NO_INK, _FULL_INK = 0.3, 0.7  # of the strongest ink: half-way between them, an edge stays in place
_SEEN = 0.01  # ink that counts when the digit's borders are looked for
_CRUMB = 1e-6  # lets a number that is half-way but for rounding errors be rounded up everywhere


def frame_digit(image: Any) -> NDArray[np.uint8]:
    """Frame the picture of one digit as MNIST frames its digits.

    ``round(v)`` stands for ``floor(v + 0.5 + 1e-6)``, all else is float64. The steps:

    1. Grey, 0 to 1 (`to_grey`).
    2. Paper: the shade that lies in the middle of those on the border (`paper_shade`). If it is
       above the mean of the lightest and the darkest shade, ``ink = paper - grey``, else
       ``ink = grey - paper``; below 0 it is 0. If no ink is above 0.1, the picture is blank.
    3. Contrast: ``ink = (ink / max(ink) - 0.3) / 0.4``, cut off at 0 and 1. Shadows and the paper's
       grain vanish, and a stroke keeps its width.
    4. Crop: the smallest rectangle that holds all ink above 0.01. It has h rows and w columns.
    5. Scale: to ``H = round(20 * h / max(h, w))`` rows and ``W = round(20 * w / max(h, w))``
       columns, at least one. A new pixel is the mean of the old ones under it, weighted by the
       area of theirs that it covers. Then ``ink = ink / max(ink)``, so that thin lines stay
       visible.
    6. Centre of mass: ``y = sum(row * ink) / sum(ink)`` with rows counted from 0, x likewise. The
       box's first row is ``14 - round(y)``, held between 0 and ``28 - H``; its first column
       likewise. All other pixels are 0.
    7. Bytes: ``round(255 * ink)``.

    Parameters
    ----------
    image : array_like, shape (h, w), (h, w, 1), (h, w, 2), (h, w, 3) or (h, w, 4)
        Grey, grey with alpha, RGB or RGBA, of any size, dark on light or light on dark; types as
        for `to_grey`.

    Returns
    -------
    ndarray of uint8, shape (28, 28)
        The digit, 255 its ink and 0 its background.

    Raises
    ------
    ValueError
        If it is no picture, or a blank one.

    Examples
    --------
    A dash, dark grey on white, becomes 20 pixels long and as bright as can be:

    >>> image = np.full((100, 200), 255, np.uint8)
    >>> image[70:80, 10:60] = 90
    >>> digit = frame_digit(image)
    >>> np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))[[0, -1]]
    (array([12, 13, 14, 15]), array([ 4, 23]))
    >>> int(digit.max())
    255
    """
    grey = to_grey(image)
    paper = paper_shade(grey)
    ink = paper - grey if paper > (grey.min() + grey.max()) / 2 else grey - paper
    peak = ink.max()
    if peak <= _LEAST_CONTRAST:
        raise ValueError(
            f"image must show a digit that stands out from its background by more than "
            f"{_LEAST_CONTRAST:.0%} of the range from black to white. Received: {peak:.1%}"
        )
    ink = np.clip((ink / peak - _NO_INK) / (_FULL_INK - _NO_INK), 0, 1)
    rows = np.flatnonzero((ink > _SEEN).any(axis=1))
    columns = np.flatnonzero((ink > _SEEN).any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    h, w = ink.shape
    height, width = (max(_round(_BOX * size / max(h, w)), 1) for size in (h, w))
    box = _area_means(h, height) @ ink @ _area_means(w, width).T
    box /= box.max()

    y = np.arange(height) @ box.sum(axis=1) / box.sum()
    x = np.arange(width) @ box.sum(axis=0) / box.sum()
    top = min(max(_SIDE // 2 - _round(y), 0), _SIDE - height)
    left = min(max(_SIDE // 2 - _round(x), 0), _SIDE - width)
    framed = np.zeros((_SIDE, _SIDE), np.uint8)
    framed[top : top + height, left : left + width] = np.floor(255 * box + 0.5 + _CRUMB)
    return framed


def to_grey(image: Any) -> Greys:
    """Turn a picture into shades of grey: 0 black, 1 white.

    Colours count as the eye sees them, ``0.299 * red + 0.587 * green + 0.114 * blue`` (ITU-R
    BT.601). Where a picture is transparent, paper shows through, of the shade that its ink isn't:
    white if the mean of its pixels, weighted by alpha, is below 0.5, else black.

    Parameters
    ----------
    image : array_like, shape (h, w), (h, w, 1), (h, w, 2), (h, w, 3) or (h, w, 4)
        Grey, grey with alpha, RGB or RGBA. Integers go from 0 to 255, uint16 from 0 to 65535;
        floats from 0 to 1, or to 255 where one of them is above 1; bools are 0 and 1.

    Returns
    -------
    ndarray of float64, shape (h, w)
        The shades.

    Raises
    ------
    ValueError
        If it is no picture.

    Examples
    --------
    >>> to_grey(np.array([[[255, 0, 0], [255, 255, 255]]], np.uint8))
    array([[0.299, 1.   ]])
    """
    values = np.asarray(image)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"image must hold real numbers. Received: dtype {values.dtype}")
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4) or not values.size:
        raise ValueError(
            f"image must be of shape (h, w), or (h, w, channels) with 1 to 4 channels. "
            f"Received: shape {np.shape(image)}"
        )
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind in "fb":
        white = 1.0 if high <= 1 else 255.0
    else:
        white = 65535.0 if values.dtype == np.uint16 else 255.0
    if not 0 <= low <= high <= white:
        raise ValueError(
            f"image must hold values from 0 to {white:g}. Received: {low:g} to {high:g}"
        )
    channels = [values[:, :, i].astype(np.float64) / white for i in range(values.shape[2])]
    grey = channels[0]
    if len(channels) >= 3:
        grey = 0.299 * channels[0] + 0.587 * channels[1] + 0.114 * channels[2]
    if len(channels) in (2, 4):
        alpha = channels[-1]
        covered = alpha.sum()
        paper = 1.0 if covered and (grey * alpha).sum() / covered < 0.5 else 0.0
        grey = grey * alpha + paper * (1 - alpha)
    return grey


def paper_shade(grey: Greys) -> float:
    """Find the shade of the paper: the one in the middle of those on the picture's border.

    Parameters
    ----------
    grey : ndarray of float, shape (h, w)
        The shades.

    Returns
    -------
    float
        Of the n shades of the first and last row and the first and last column, corners twice,
        in rising order, number ``n // 2`` counted from 0.

    Examples
    --------
    >>> paper_shade(np.array([[1.0, 1.0, 1.0], [0.9, 0.0, 1.0], [1.0, 0.2, 1.0]]))
    1.0
    """
    border = np.sort(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    return float(border[len(border) // 2])


def _round(value: float) -> int:
    return int(np.floor(value + 0.5 + _CRUMB))


def _area_means(old: int, new: int) -> Greys:
    """Weights (new, old) that make each of `new` pixels the mean of the `old` ones under it."""
    edges = np.arange(new + 1) * old / new
    first = np.arange(old)
    overlap = np.minimum(edges[1:, None], first + 1) - np.maximum(edges[:-1, None], first)
    return np.asarray(np.maximum(overlap, 0) * new / old)
