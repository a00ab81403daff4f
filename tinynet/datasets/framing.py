"""Conversion of images of a single digit to MNIST's format.

A network trained on MNIST expects white ink on black, a digit scaled to fit a box of 20 x 20
pixels, and its center of mass at the center of 28 x 28 pixels. `frame_digit` applies MNIST's
preprocessing (Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits",
1998) to photos, scans and drawings, after separating the digit from the background: shadows,
frames, ruled lines and specks. It uses only elementary arithmetic, so that the JavaScript of the
demo page can reproduce it exactly.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tinynet._core.checks import require

__all__ = ["frame_digit", "paper_shade", "to_grey"]

Greys = NDArray[np.float64]
Mask = NDArray[np.bool_]

_BOX, _SIDE = 20, 28
_BLACK = 0.05  # maximum background level of an image in MNIST's format
LARGEST = 560  # maximum side, to which larger images are scaled first
_MARGIN = 0.04  # fraction of a side that may contain a frame, ignored for paper and contrast
_GRID, _WINDOW = 20, 6  # the paper is sampled at 20 x 20 points, with medians over 13 x 13 of them
_NEAR = 0.1  # maximum difference of a paper pixel from the estimate
_GAIN = 0.1  # minimum increase of the fraction of pixels near the estimate, to use local estimates
_CLOSING = 0.25  # window of the morphological closing, as a fraction of the longer side
_NEARER, _CLOSER = 0.05, 0.02  # the same as _NEAR and _GAIN, to use the closing
_LEAST_CONTRAST = 0.1  # of the gray range; anything fainter is texture of the paper
_DARKEST_PAPER = 0.2  # minimum divisor when ink is measured relative to the paper
_NO_INK, _FULL_INK = 0.3, 0.7  # of the mean ink; symmetric about 0.5, so that edges do not move
_SEEN = 0.1  # minimum ink that counts as part of the digit
_STEEPEST, _SLOPES = 0.1, 20  # maximum slope of lines in a rotated image; steps up to it
_ROTATED = 56  # minimum side of a rotated image; the lines of smaller ones have few steps
_GAP = 0.03  # maximum length of a gap in a line, as a fraction of the side
_LONG, _RULE = 0.5, 0.06  # line: length at least 50% of one side, width at most 6% of the other
_FREE = 0.75  # minimum length of a line away from the border, if lines don't form a box
# Band at the border, such as a frame or a table: at most 20% wide; the last rows of a slanted edge
# are at least 20% long.
_EDGE, _REST = 0.2, 0.2
_PIECE = 0.1  # minimum length of the digit, as a fraction of the longer side
_INSIDE = 0.3  # minimum length of a digit inside a box, relative to the box
_DEPTH, _COVERED = 0.1, 0.8  # a box covers 80% of the sides of its bounding box, 10% deep
# Specks: maximum ink, relative to the largest component; the same if their length is less than 20%.
_SPECK, _DOT, _SHORT = 0.03, 0.1, 0.2
# Two digits: minimum height and ink of each, relative to the largest component; minimum width of
# the pair, relative to its height.
_TALL, _HEAVY, _BROAD = 0.5, 0.15, 0.8
# Minimum gap between parts of an image that are not one digit, relative to their extent; minimum
# length of a second digit, relative to the largest component, or else it is a spot.
_APART, _SECOND = 0.2, 0.4
_EMPTY = 0.05  # maximum ink next to the lines of an empty frame or page, relative to all ink
_LINES = 4  # minimum number of parallel lines of an empty page
# Texture or noise: more than 1,000 components; or more than 6 at the border, which have more than
# 15% of the ink without their largest, or the largest component has less than 50% of the remaining
# ink; or strokes that are more than 6 times as long as the digit.
_MANY, _CUT_OFF, _AROUND, _MAIN, _LONGEST = 1000, 6, 0.15, 0.5, 6
_SMALLEST = 0.015  # minimum length of the largest component, as a fraction of the longer side
_WHOLE = 0.8  # minimum height of a digit at the border, relative to the digit inside
_THIN, _WIDENED = 2.2, 2.4  # stroke widths in pixels of the result: minimum, target
_DIAMOND = np.add.outer([1, 0, 1], [1, 0, 1]) < 2  # a pixel and its four neighbors
_VIVID = 2  # contrast of a color channel relative to luma's, to use it instead
_NO_TEXTURE = "image must show a digit, not noise or a texture"
_CRUMB = 1e-6  # makes rounding of half-integers independent of rounding errors


def frame_digit(image: Any) -> NDArray[np.uint8]:
    """Frame the image of a digit like MNIST's digits.

    An image that already has MNIST's format is returned unchanged: 28 x 28 pixels, white on black,
    the ink in a box of 20 x 20 pixels with its center of mass at the center.

    ``round(v)`` means ``floor(v + 0.5 + 1e-6)``; all other arithmetic is float64. The steps:

    1. Gray: convert to gray levels from 0 to 1 (`to_grey`), at most 560 pixels long and wide.
    2. Paper: estimate the gray level of the paper, as the median on the border (`paper_shade`), or
       as the local median around each pixel if 10% more of the pixels are then within 0.1 of the
       estimate, as with gradients, shadows and frames. The outer 4% of the image are ignored in the
       local median, in these percentages and in the next two steps.
    3. Ink: subtract the paper. Ink is dark or light, whichever differs more from the paper (sum of
       squares). With the morphological closing (for light ink, opening) over squares of 25% of the
       image's longer side as the paper, the edges of shadows disappear, too: it is used if 2% more
       of the pixels are within 0.05 of it. Dark ink is divided by the gray level of the paper. The
       strength of the ink is the mean above Otsu's threshold (N. Otsu, "A threshold selection
       method from gray-level histograms", 1979). If it is not greater than 0.1, the image is
       blank.
    4. Contrast: ``ink = (ink / strength - 0.3) / 0.4``, clipped to [0, 1]. This removes the texture
       of the paper and preserves the stroke width.
    5. Components: remove straight lines, frames, dark edges and boxes, after a rotation by up
       to 6 degrees if they are slanted; specks with less than 3% of the largest component's ink, or
       less than 10% if they are short; ink at the border if a large component inside remains; and
       spots whose distance from the digit is greater than 20% of the total extent. The image does
       not show a digit if less than 5% of the ink remains next to a frame or 4 parallel lines, if
       all components are shorter than 1.5% of the image, or if there are more than 1,000 of them.
       With more than 6 components at the border, it is a texture if they have more than 15% of the
       ink, not counting the largest of them, or if less than half of the ink that remains belongs
       to the largest component.
    6. Crop: select the smallest rectangle with all ink above 0.1, h rows and w columns. If the
       strokes are more than 6 times as long as the rectangle at twice the scale of the result, they
       are a texture. If they would be thinner than 2.2 pixels of the result, they are widened to
       2.4.
    7. Scale: resize to ``H = round(20 * h / max(h, w))`` rows and ``W = round(20 * w / max(h, w))``
       columns, at least 1, by averaging over areas. Then ``ink = ink / max(ink)``.
    8. Center of mass: compute ``y = sum(row * ink) / sum(ink)`` with rows counted from 0, and x
       likewise. The first row of the box is ``14 - round(y)``, clipped to [0, 28 - H], and likewise
       its first column. All other pixels are 0.
    9. Bytes: compute ``round(255 * ink)``.

    Parameters
    ----------
    image : array_like, shape (h, w), (h, w, 1), (h, w, 2), (h, w, 3) or (h, w, 4)
        Gray, gray with alpha, RGB or RGBA image of any size, dark on light or light on dark. Data
        types are as for `to_grey`.

    Returns
    -------
    ndarray of uint8, shape (28, 28)
        Digit, 255 for ink and 0 for the background.

    Raises
    ------
    ValueError
        If the image is invalid, blank, or appears to show several digits, or lines, noise or a
        texture instead of a digit.

    Examples
    --------
    A dark gray dash on white becomes 20 pixels long, with maximum brightness:

    >>> image = np.full((100, 200), 255, np.uint8)
    >>> image[70:80, 10:60] = 90
    >>> digit = frame_digit(image)
    >>> np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))[[0, -1]]
    (array([12, 13, 14, 15]), array([ 4, 23]))
    >>> int(digit.max())
    255
    """
    grey = to_grey(image)
    if _is_framed(grey):
        return np.floor(255 * grey + 0.5).astype(np.uint8)
    ink = _digit_only(_without_rules(_ink(grey)))
    ink = ink[_extent(ink)]
    length, width = _strokes(ink)
    received = f"strokes that are {length:.1f} times as long as the digit"
    require(length <= _LONGEST, _NO_TEXTURE, received)
    box = _scaled(_widened(ink, width), _BOX)
    box /= box.max()
    framed = np.zeros((_SIDE, _SIDE), np.uint8)
    starts = (
        min(max(_SIDE // 2 - _round(_center(box, axis)), 0), _SIDE - n)
        for axis, n in enumerate(box.shape)
    )
    place = tuple(slice(start, start + n) for start, n in zip(starts, box.shape, strict=True))
    framed[place] = np.floor(255 * box + 0.5 + _CRUMB)
    return framed


def _extent(ink: Greys) -> tuple[slice, ...]:
    """Return the rows and columns of the bounding box of the ink."""
    at = np.nonzero(ink > _SEEN)
    return tuple(slice(i.min(), i.max() + 1) for i in at)


def _center(ink: Greys, axis: int) -> float:
    """Return the center of mass along an axis, counted from 0."""
    return float(np.arange(ink.shape[axis]) @ ink.sum(axis=1 - axis) / ink.sum())


def _is_framed(grey: Greys) -> bool:
    """Return whether an image already has MNIST's format."""
    if grey.shape != (_SIDE, _SIDE) or grey.max() < 0.5:
        return False
    off = max(abs(_center(grey, axis) - _SIDE // 2) for axis in (0, 1))
    return off <= 1.5 and _BOX - 4 <= np.ptp(np.argwhere(grey > _BLACK), axis=0).max() < _BOX


# ---------------------------------------------------------------- ink and paper


def _ink(grey: Greys) -> Greys:
    """Return the strength of the ink at each pixel, from 0 to 1."""
    grey = _scaled(grey, LARGEST) if max(grey.shape) > LARGEST else grey
    inner = tuple(slice(_margin(n), n - _margin(n)) for n in grey.shape)
    papers = [_paper(grey, inner)]
    # The closing, or the opening for light ink; both are slow.
    without = functools.cache(lambda is_dark: _closed(grey) if is_dark else -_closed(-grey))
    dark, light = np.maximum(papers[0] - grey, 0), np.maximum(grey - papers[0], 0)
    if np.ptp(papers[0]):  # the edge of a shadow differs from the estimate, but is not removed
        dark = np.minimum(dark, without(True) - grey)
        light = np.minimum(light, grey - without(False))
    is_dark = bool((dark[inner] ** 2).sum() > (light[inner] ** 2).sum())
    closed = without(is_dark)
    bias = np.sort((closed - grey)[inner], axis=None)  # noise makes the closing lighter
    closed = closed - bias[len(bias) // 2]
    explained = [_explained(paper, grey, inner, _NEARER) for paper in (*papers, closed)]
    if explained[1] >= explained[0] + _CLOSER and min(grey.shape) >= _GRID:
        papers.insert(0, closed)
    for paper in papers:
        light, dark = np.maximum(grey - paper, 0), np.maximum(paper - grey, 0)
        ink = dark / np.maximum(paper, _DARKEST_PAPER) if is_dark else light
        strength = _mean_above_otsu(ink[inner])
        if strength > _LEAST_CONTRAST:  # otherwise, the closing removed a wide digit
            break
    part = f"more than {_LEAST_CONTRAST:.0%} of the range from black to white"
    expected = f"image must show a digit that stands out from its background by {part}"
    require(strength > _LEAST_CONTRAST, expected, f"{strength:.1%}")
    return np.clip((ink / strength - _NO_INK) / (_FULL_INK - _NO_INK), 0, 1)


def _margin(size: int) -> int:
    """Return the number of pixels at each end of a side that may belong to a frame."""
    return max(_round(_MARGIN * size), 1) if size > 4 else 0


def _mean_above_otsu(ink: Greys) -> float:
    """Return the mean of the values above Otsu's threshold."""
    levels = np.minimum(np.floor(255 * ink + 0.5), 255).astype(np.int64)
    count = np.bincount(levels.ravel(), minlength=256)
    n, total = np.cumsum(count), np.cumsum(count * np.arange(256))
    above, rest = n[-1] - n, total[-1] - total
    means = total / np.maximum(n, 1), rest / np.maximum(above, 1)
    best = int(np.argmax(n * above * (means[1] - means[0]) ** 2))
    return float(means[1][best] / 255)


def _paper(grey: Greys, inner: tuple[slice, ...]) -> Greys:
    """Return the gray level of the paper at each pixel: uniform unless local medians fit better."""
    even = np.full(grey.shape, paper_shade(grey))
    explained = _explained(even, grey, inner, _NEAR)
    if explained > 1 - _GAIN or min(grey.shape) < _GRID:
        return even
    (ys, down), (xs, across) = map(_grid, grey.shape)
    points = grey[np.ix_(ys, xs)]
    # Points outside are infinite, so that they are sorted to the end.
    size = 2 * _WINDOW + 1
    near = sliding_window_view(np.pad(points, _WINDOW, constant_values=np.inf), (size, size))
    near = np.sort(near.reshape(*points.shape, -1), axis=-1)
    middle = np.isfinite(near).sum(axis=-1, keepdims=True) // 2
    median = np.take_along_axis(near, middle, axis=-1)[..., 0]
    uneven: Greys = down @ median @ across.T
    return uneven if _explained(uneven, grey, inner, _NEAR) >= explained + _GAIN else even


def _explained(paper: Greys, grey: Greys, inner: tuple[slice, ...], near: float) -> float:
    """Return the fraction of pixels near the estimate of the paper."""
    return float(np.mean(np.abs(grey - paper)[inner] < near))


def _closed(grey: Greys) -> Greys:
    """Return the morphological closing: it removes dark strokes, and keeps edges of shadows."""
    half = max(_round(_CLOSING * max(grey.shape) / 2), 1)
    for extreme, outside in ((np.maximum, -np.inf), (np.minimum, np.inf)):
        for _ in range(2):  # rows, then columns
            grey = np.pad(grey, ((half, half), (0, 0)), constant_values=outside)
            size = 1  # of the windows; doubled as long as possible
            while size < 2 * half + 1:
                step = min(size, 2 * half + 1 - size)
                grey, size = extreme(grey[:-step], grey[step:]), size + step
            grey = grey.T
    return grey


def _grid(size: int) -> tuple[NDArray[np.int64], Greys]:
    """Return grid positions along a side, and linear interpolation weights (size, points)."""
    margin = _margin(size)
    inner, points = size - 2 * margin, np.arange(_GRID)
    at = (np.arange(size) - margin + 0.5) * _GRID / inner - 0.5
    weights = np.maximum(1 - np.abs(np.clip(at, 0, _GRID - 1)[:, None] - points), 0)
    return margin + (2 * points + 1) * inner // (2 * _GRID), weights


# ---------------------------------------------------------------- components


def _without_rules(ink: Greys) -> Greys:
    """Remove straight lines of frames, boxes and ruled paper, if a digit remains."""
    if min(ink.shape) < _GRID:
        return ink
    straight, slope = _straightened(ink) if min(ink.shape) >= _ROTATED else (ink, 0.0)
    rest = _without_level_rules(straight, slope != 0)
    return ink if rest is straight else rest


def _straightened(ink: Greys) -> tuple[Greys, float]:
    """Rotate the image by at most 6 degrees, if lines then are horizontal or vertical."""
    at, (h, w) = np.nonzero(ink > _SEEN), ink.shape
    slopes = [step * _STEEPEST / _SLOPES for step in range(-_SLOPES, _SLOPES + 1)]
    best, most = 0.0, 0
    for slope in slopes:  # projection profiles: numbers of pixels along parallel lines
        across = np.bincount(at[0] - _rise(slope, at[1], w) + w)
        down = np.bincount(at[1] + _rise(slope, at[0], h) + h)
        is_line = max(across.max() / w, down.max() / h) >= _LONG
        score = int((across**2).sum() + (down**2).sum()) if is_line else 0
        if score > most or (score == most and abs(slope) < abs(best)):
            best, most = slope, score
    for slope in (best, -best):  # shear the columns, then the rows
        columns = np.arange(ink.shape[1])
        rows = np.arange(len(ink))[:, None] + _rise(slope, columns, ink.shape[1])
        ink = ink[np.clip(rows, 0, len(ink) - 1), columns].T
    return ink, best


def _rise(slope: float, at: NDArray[Any], size: int) -> NDArray[np.int64]:
    """Return the vertical displacement of a line, in pixels, relative to its middle."""
    return np.floor(slope * (at - size // 2) + 0.5 + _CRUMB).astype(np.int64)


def _without_level_rules(ink: Greys, rotated: bool) -> Greys:
    """Remove horizontal and vertical lines, if a digit remains."""
    seen = ink > _SEEN
    rules = [_rules(seen, rotated), _rules(seen.T, rotated)]
    closed = min(map(len, rules)) >= 2  # if they form a box, keep only strokes that cross it
    if not closed:  # a shorter line away from the border is a stroke
        rules = [
            [
                rule
                for rule in found
                if rule[3] - rule[2] >= _FREE * n
                or not _margin(n) < rule[2] < rule[3] < n - _margin(n)
            ]
            for found, n in zip(rules, ink.shape[::-1], strict=True)
        ]
    while any(rules):
        rest = ink.copy()
        for turned, mask, found in zip((rest, rest.T), (seen, seen.T), rules, strict=True):
            padded = np.pad(mask, ((1, 1), (0, 0)))
            for top, bottom, left, right in found:
                above, below = padded[top, left:right], padded[bottom + 1, left:right]
                edge = top == 0 or bottom == len(mask)
                crossed = above & below if closed or edge else above | below
                turned[top:bottom, left:right] *= crossed
        low, high = _inside(rest)
        if (high - low).max() <= _PIECE * max(ink.shape):
            is_page = closed or max(map(len, rules)) >= _LINES
            is_empty = is_page and rest.sum() < _EMPTY * ink.sum()
            require(not is_empty, "image must show a digit", "only straight lines, such as a frame")
            break
        # A stroke of the digit, such as the bar of a 7, is not wider than the digit.
        longer = [
            [
                rule
                for rule in found
                if (rule[3] - rule[2] > end - start if closed else rule[2] < start <= end < rule[3])
            ]
            for found, start, end in zip(rules, low[::-1], high[::-1], strict=True)
        ]
        if longer == rules:
            return rest
        rules = longer
    return ink


def _inside(ink: Greys) -> NDArray[np.int64]:
    """Return the first and last row and column (plus 1) of the components inside the image."""
    seen = ink > _SEEN
    names = _pieces(seen)
    border = np.concatenate([names[0], names[-1], names[:, 0], names[:, -1]])
    at = np.argwhere(seen & ~np.isin(names, border[border >= 0]))
    return np.array([at.min(axis=0), at.max(axis=0) + 1]) if len(at) else np.zeros((2, 2), int)


def _rules(seen: Mask, rotated: bool) -> list[tuple[int, int, int, int]]:
    """Find thin bands of rows that contain a run of ink of at least half the width.

    Each band is a tuple (top, bottom, left, right).
    """
    if rotated:  # the lines have steps of a pixel
        padded = np.pad(seen, ((1, 1), (0, 0)))
        seen = padded[:-2] | seen | padded[2:]
    # Gaps of lines are closed: a gap is as long as the distance between two pixels of ink.
    columns, gap = np.arange(seen.shape[1]), int(_GAP * seen.shape[1])
    before = np.maximum.accumulate(np.where(seen, columns, -gap - 1), axis=1)
    after = np.minimum.accumulate(np.where(seen, columns, 2 * len(columns))[:, ::-1], axis=1)
    seen = after[:, ::-1] - before <= gap + 1
    count = np.cumsum(seen, axis=1)
    run: NDArray[np.int64] = count - np.maximum.accumulate(np.where(seen, 0, count), axis=1)
    length: NDArray[np.int64] = run.max(axis=1)
    end = run.argmax(axis=1) + 1
    # A slanted edge of a band at the border ends in shorter runs.
    least = np.full(len(seen), _LONG)
    for rows in (np.s_[:], np.s_[::-1]):
        parts = np.array([[_LONG], [_REST]]) * seen.shape[1]
        band, rest = np.minimum.accumulate(length[rows] >= parts, axis=1).sum(axis=1).tolist()
        least[rows][: min(rest, band + _margin(len(seen))) if band else 0] = _REST
    bands = np.flatnonzero(np.diff(np.pad(length >= least * seen.shape[1], 1))).reshape(-1, 2)
    return [
        (top, bottom, (end - length)[top:bottom].min(), end[top:bottom].max())
        for top, bottom in bands.tolist()
        if bottom - top - 2 * rotated
        <= max((_RULE if 0 < top < bottom < len(seen) else _EDGE) * len(seen), 1)
    ]


def _digit_only(ink: Greys) -> Greys:
    """Remove components that are not part of the digit: specks, boxes, ink at the border."""
    seen = ink > _SEEN
    names = _pieces(seen)
    n, name, at = names.max() + 1, names[seen], np.argwhere(seen).T
    mass = np.bincount(name, ink[seen])
    low, high = np.full((2, n), max(ink.shape)), np.zeros((2, n), np.int64)
    for axis in (0, 1):
        np.minimum.at(low[axis], name, at[axis])
        np.maximum.at(high[axis], name, at[axis] + 1)
    size, ends = high - low, np.array(ink.shape)[:, None]
    at_border = (low == 0) | (high == ends)
    long = size.max(axis=0)
    keep, apart, whole = np.ones(n, bool), np.zeros(n, bool), 0.0
    large = (long >= _SHORT * max(ink.shape)) | (mass >= _DOT * mass.max())
    inner = ~at_border.any(axis=0) & (long >= _PIECE * max(ink.shape)) & large
    if inner.any():
        main = [np.argmax(np.where(inner, mass, 0))]
        beside = ((high <= low[:, main]) | (low >= high[:, main])).any(axis=0)
        apart, whole = at_border.any(axis=0) & beside, _WHOLE * float(size[0, main[0]])
        # A frame or the edge of a table covers half of a side; the bar of a 5 does not.
        keep = ~(at_border & (2 * size[::-1] >= ends[::-1])).any(axis=0)
    for i in np.flatnonzero(keep):
        held = keep & ((low > low[:, [i]]) & (high < high[:, [i]])).all(axis=0)
        if (held & (long >= _INSIDE * long[i])).any():
            (top, left), (bottom, right) = low[:, i], high[:, i]
            keep[i] = not _is_box(names[top:bottom, left:right] == i)
    largest = np.argmax(np.where(keep & ~apart, mass, 0))
    speck = np.where(long < _SHORT * long[largest], _DOT, _SPECK)
    keep &= mass >= speck * mass[largest]
    parts, around = mass[keep & ~apart], mass[at_border.any(axis=0)]
    is_texture = len(parts) > _MANY
    if len(around) > _CUT_OFF:
        is_texture |= bool(mass[largest] < _MAIN * parts.sum())
        is_texture |= bool(around.sum() - around.max() > _AROUND * mass.sum())
    require(not is_texture, _NO_TEXTURE, f"{n:,} components, {len(around):,} of them at the border")
    expected = f"image must show a digit longer than {_SMALLEST:.1%} of the longer side; crop it"
    is_large = long[largest] >= _SMALLEST * max(ink.shape)
    require(is_large, expected, f"components of up to {long[largest]} pixels")
    digits = keep & (~apart | (size[0] >= whole))
    several = _several(low[:, digits], high[:, digits], mass[digits])
    expected = "image must show a single digit; crop it to one digit"
    require(not several, expected, f"several digits ({digits.sum()} components)")
    keep &= ~apart
    keep[keep] = ~_far(low[:, keep], high[:, keep], mass[keep])[0]
    return np.where(keep[names] & seen, ink, 0)


def _several(low: NDArray[np.int64], high: NDArray[np.int64], mass: Greys) -> bool:
    """Return whether large components are too far apart to be one digit."""
    height = high[0] - low[0]
    # A dot of a dotted digit is not a digit: it has less than a quarter of the total height.
    least = _TALL * max(height.max(), _TALL * (high[0].max() - low[0].min()))
    large = np.flatnonzero((height >= least) & (mass >= _HEAVY * mass.max()))
    order = large[np.argsort(low[1, large], kind="stable")]
    for one, other in itertools.pairwise(order):
        tall = max(high[0, one], high[0, other]) - min(low[0, one], low[0, other])
        if low[1, other] >= high[1, one] and high[1, other] - low[1, one] >= _BROAD * tall:
            return True
    return bool(_far(low, high, mass)[1].any())


def _far(low: NDArray[np.int64], high: NDArray[np.int64], mass: NDArray[Any]) -> tuple[Mask, Mask]:
    """Return which components are far from the digit: small spots, and other digits."""
    gaps = np.maximum(low[:, :, None] - high[:, None], low[:, None] - high[:, :, None]).max(axis=0)
    near = gaps <= _APART * (high.max(axis=1) - low.min(axis=1)).max()
    long, main = (high - low).max(axis=0), np.argmax(mass)
    reached, count = near[main], 0
    while reached.sum() > count:  # a digit may consist of many dots
        reached, count = near[reached].any(axis=0), reached.sum()
    second = (mass >= _HEAVY * mass[main]) & (long >= _SECOND * long[main])
    return ~reached & ~second, ~reached & second


def _is_box(piece: Mask) -> bool:
    """Return whether ink covers at least three sides of the component's bounding box."""
    covered = []
    for turned in (piece, piece.T):
        depth = max(_round(_DEPTH * len(turned)), 1)
        covered += [turned[:depth].any(axis=0).mean(), turned[-depth:].any(axis=0).mean()]
    return bool(sorted(covered)[1] >= _COVERED)


def _pieces(seen: Mask) -> NDArray[np.int64]:
    """Label the connected components (8-connectivity) from 0; pixels without ink are -1.

    Union-find: every pixel points to a pixel of its component, initially to itself. Different roots
    of neighbors are merged, until all pixels of a component point to the same root.
    """
    number = np.cumsum(seen).reshape(seen.shape) - 1
    padded = np.pad(np.where(seen, number, -1), 1, constant_values=-1)
    shifts = (0, 1), (1, 0), (1, 1), (1, -1)
    pairs = np.array([[padded, np.roll(padded, shift, (0, 1))] for shift in shifts])
    a, b = np.moveaxis(pairs, 1, 0)[:, pairs.min(axis=1) >= 0]
    root = np.arange(number[-1, -1] + 1)
    while (root[a] != root[b]).any():
        np.maximum.at(root, np.minimum(root[a], root[b]), np.maximum(root[a], root[b]))
        while (root != root[root]).any():
            root = root[root]
    names = np.full(seen.shape, -1)
    names[seen] = np.unique(root, return_inverse=True)[1]
    return names


def _strokes(ink: Greys) -> tuple[float, float]:
    """Return the length of all strokes, relative to the digit, and their width in the result.

    A stroke of length l and width w has the area l w and the perimeter 2 l: w = 2 area / perimeter.
    Averaged over directions, a border has 4 / pi times as many pixel edges as its length
    (Cauchy-Crofton). At twice the scale of the result, small holes are ignored.
    """
    small = np.pad(_scaled(ink, 2 * _BOX), 1)
    edges = sum(np.abs(np.diff(small, axis=axis)).sum() for axis in (0, 1))
    perimeter = float(edges * np.pi / 4)
    return perimeter / 2 / (2 * _BOX), float(small.sum()) / perimeter


def _widened(ink: Greys, width: float) -> Greys:
    """Widen strokes that would be thinner than MNIST's, from their width in the result."""
    if width >= _THIN:
        return ink
    for i in range(_round((_WIDENED - width) * max(ink.shape) / _BOX / 2)):
        # Alternating a square and a diamond approximates an octagon.
        part = np.ones((3, 3), bool) if i % 2 else _DIAMOND
        ink = sliding_window_view(np.pad(ink, 2), (3, 3))[..., part].max(axis=-1)
    return ink


def to_grey(image: Any) -> Greys:
    """Convert an image to gray levels, shape (h, w), 0 for black and 1 for white.

    Colors are weighted by luma, ``0.299 * red + 0.587 * green + 0.114 * blue`` (ITU-R BT.601). If
    its contrast (standard deviation) is less than half of that of the red, green or blue channel,
    the channel is used instead: red ink and gray paper may have the same luma.
    Transparent pixels get the shade opposite to the ink: white if the alpha-weighted mean of the
    pixels is below 0.5, else black. White is 255 in integers, 65535 in uint16, 1 or 255 in floats.
    """
    values = np.asarray(image)
    require(values.dtype.kind in "fiub", "image must contain real numbers", f"dtype {values.dtype}")
    if values.ndim == 2:
        values = values[:, :, None]
    fits = values.ndim == 3 and values.shape[2] in (1, 2, 3, 4) and values.size
    expected = "image must be of shape (h, w), or (h, w, channels) with 1 to 4 channels"
    require(fits, expected, f"shape {np.shape(image)}")
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind in "fb":
        white = 1.0 if high <= 1 else 255.0
    else:
        white = 65535.0 if values.dtype.newbyteorder("=") == np.uint16 else 255.0
    expected = f"image must contain values from 0 to {white:g}"
    require(0 <= low <= high <= white, expected, f"{low:g} to {high:g}")
    channels = [values[:, :, i].astype(np.float64) / white for i in range(values.shape[2])]
    grey = channels[0]
    if len(channels) >= 3:
        grey = 0.299 * channels[0] + 0.587 * channels[1] + 0.114 * channels[2]
        opaque = channels[3] if len(channels) == 4 else 1.0
        vivid = max(channels[:3], key=lambda channel: float(np.std(channel * opaque)))
        grey = vivid if np.std(vivid * opaque) > _VIVID * np.std(grey * opaque) else grey
    if len(channels) in (2, 4):
        alpha = channels[-1]
        covered = alpha.sum()
        paper = 1.0 if covered and (grey * alpha).sum() / covered < 0.5 else 0.0
        grey = grey * alpha + paper * (1 - alpha)
    return grey


def paper_shade(grey: Greys) -> float:
    """Return the gray level of the paper: the upper median of the pixels on the border.

    The n pixels are those of the first and last row and column, corners twice; the median is
    element ``n // 2`` of the sorted values.
    """
    border = np.sort(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    return float(border[len(border) // 2])


def _round(value: float) -> int:
    return int(np.floor(value + 0.5 + _CRUMB))


def _scaled(image: Greys, longest: int) -> Greys:
    """Scale an image to a number of pixels on its longer side."""
    h, w = (max(_round(longest * n / max(image.shape)), 1) for n in image.shape)
    return _area_means(image.shape[0], h) @ image @ _area_means(image.shape[1], w).T


def _area_means(old: int, new: int) -> Greys:
    """Return weights (new, old) that average the old pixels covered by each new pixel."""
    edges = np.arange(new + 1) * old / new
    first = np.arange(old)
    overlap = np.minimum(edges[1:, None], first + 1) - np.maximum(edges[:-1, None], first)
    return np.asarray(np.maximum(overlap, 0) * new / old)
