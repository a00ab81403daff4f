"""Synthetic handwritten digits, for machines without a dataset.

Every digit starts as a few pen strokes, chosen from `WAYS`, a table of common ways of writing each
digit (``drawn_digits.txt``). Variations of handwriting are then simulated: points are displaced;
the digit is slanted, stretched and distorted; the pressure of the pen varies; and the ink has gray
edges. Finally, the image is framed like MNIST's digits: scaled to fit a box of 20 x 20 pixels,
which is placed so that its center of mass is at the center of 28 x 28 pixels.

A network trained only on these images classifies most of MNIST correctly; ``python -m
benchmarks.drawn_digits`` measures its accuracy.

The same seed gives the same images on every machine. The random numbers are raw bits of PCG64, a
stream that NumPy guarantees not to change. Nearly all arithmetic consists of additions,
multiplications, divisions and square roots, whose rounding IEEE 754 specifies. Results of matrix
products and ``exp``, whose rounding may differ between machines, are immediately rounded to a
coarse grid. Between two machines, about one in 10,000 generated datasets of 70,000 images is
expected to differ, by one gray level in one pixel.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinynet._core.atomic_files import write_atomically
from tinynet._core.cache_folder import cache_folder
from tinynet._core.checks import flag, whole
from tinynet.datasets.idx_format import NPZ_ARRAYS, Dataset

__all__ = ["EUROPEAN_WAYS", "WAYS", "load_data"]

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def _read_ways(european: bool) -> dict[int, list[tuple[int, str]]]:
    """Read the ways of writing each digit: their frequencies, and the points of the pen's path."""
    ways: dict[int, list[tuple[int, str]]] = {digit: [] for digit in range(10)}
    text = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
    for line in filter(None, (line.partition("#")[0] for line in text.splitlines())):
        digit, share, path = line.split(maxsplit=2)
        if european or not share.startswith("+"):
            ways[int(digit)].append((int(share), path.rstrip()))
    return ways


#: Ways of writing each digit: their frequencies, and the points of the pen's path.
WAYS = _read_ways(european=False)
#: `WAYS`, and additional ways that are common in Europe, such as a 1 with an upstroke.
EUROPEAN_WAYS = _read_ways(european=True)

# Handwriting: standard deviations of the variations, in units of half the height of a digit unless
# stated otherwise.
_POINT = 0.07  # of each point
_LOOSE = 1.3  # factor of the deviation at the ends of a stroke
_STROKE = 0.09  # of each stroke as a whole
_TREMOR = 0.025  # of each vertex of the path
_BEND, _TWIST = 0.085, 0.05  # elastic distortion: quadratic and cubic terms
_WIDTH, _WIDTH_DEVIATION = 1.18, 0.24  # factor of the width
_SLANT, _SLANT_DEVIATION = 0.10, 0.25  # shift to the right per unit of height
_TURN = 0.13  # in radians

# Pen, in pixels of the image.
_RADIUS, _RADIUS_DEVIATION, _THINNEST = 1.3, 0.34, 0.7  # mean, standard deviation, minimum
_FATTEST = 0.11  # maximum radius relative to the box, times the aspect ratio: keeps loops open
_PRESSURE = 0.13  # standard deviation of the factor by which the radius changes along the digit
# Standard deviation of x, if the widths of horizontal and vertical lines change by 1 + x and 1 - x.
_NIB = 0.08
# Width of the transition from full ink to none: mean, standard deviation, minimum.
_EDGE, _EDGE_DEVIATION, _SHARPEST = 1.15, 0.25, 0.9
_BLUR = 0.8  # minimum width of the ink

_VERSION = 1  # part of the cache file name; increases whenever the images change
_CHUNK = 1000  # images drawn at a time; each chunk has its own seed
_VERTICES = 80  # of the polyline that approximates a digit's strokes
_BOX, _SIDE = 20, 28
_INK = 1024.0  # rounding grid of the ink


class _Table(NamedTuple):
    """Ways of writing as arrays for W ways, padded to K points."""

    points: Floats  # (W, K, 2), center 0, half height 1
    loose: Floats  # (W, K, 1), factor of each point's deviation
    stroke: Indices  # (W, K, 1), index of the point's stroke
    chain: Floats  # (W, vertices, K), weights of the points for each vertex
    down: Floats  # (W, vertices - 1), 1 if the pen draws the segment, else 0
    shares: Indices  # (W,), cumulative sums of the frequencies of the ways
    starts: Indices  # (11,), cumulative sums before each digit, and the total


def _snap(values: Floats, grid: float = 4096.0) -> Floats:
    """Round to a grid that is much coarser than the differences between machines."""
    return np.rint(values * grid) / grid


def _curve(points: Floats, count: int) -> Floats:
    """Return weights (count, K) that interpolate `count` points on the curve through K points.

    The curve is a Catmull-Rom spline of cubic Hermite segments, with centripetal parameterization
    (Yuksel et al., Parameterization and applications of Catmull-Rom curves, 2011).
    """
    identity = np.eye(len(points))
    step = np.sqrt(_lengths(points))[:, None]
    slope = np.diff(identity, axis=0) / step
    inner = (step[1:] * slope[:-1] + step[:-1] * slope[1:]) / (step[1:] + step[:-1])
    if len(points) == 2:
        tangent = slope[[0, 0]]
    else:
        ends = 1.5 * slope[[0, -1]] - 0.5 * inner[[0, -1]]
        tangent = np.concatenate([ends[:1], inner, ends[1:]])
    knots = np.concatenate([[0.0], np.cumsum(step)])
    at = np.linspace(0, knots[-1], count)
    i = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(step) - 1)
    t = (at[:, None] - knots[i, None]) / step[i]
    from_here = (1 + 2 * t) * identity[i] + t * step[i] * tangent[i]
    to_there = (3 - 2 * t) * identity[i + 1] - (1 - t) * step[i] * tangent[i + 1]
    return np.asarray((1 - t) ** 2 * from_here + t**2 * to_there)


def _lengths(points: Floats) -> Floats:
    """Return the distances between consecutive points."""
    return np.asarray(np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1)))


@functools.cache
def _table(european: bool) -> _Table:
    """Return `WAYS` or `EUROPEAN_WAYS` as arrays."""
    choices = EUROPEAN_WAYS if european else WAYS
    paths = [path for ways in choices.values() for _, path in ways]
    w, k = len(paths), max(path.count(",") for path in paths)
    shares = [[share for share, _ in ways] for ways in choices.values()]
    table = _Table(
        points=np.zeros((w, k, 2)),
        loose=np.ones((w, k, 1)),
        stroke=np.zeros((w, k, 1), np.int64),
        chain=np.zeros((w, _VERTICES, k)),
        down=np.ones((w, _VERTICES - 1)),
        shares=np.cumsum(np.concatenate(shares)),
        starts=np.cumsum([0, *map(sum, shares)]),
    )
    for way, path in enumerate(paths):
        points: list[list[float]] = []
        curves, lifts = [], []
        for number, stroke in enumerate(path.split("/")):
            begin = len(points)
            for piece in stroke.split("|"):
                # The point of a corner ends one curve and begins the next.
                start = max(begin, len(points) - 1)
                points += [[float(part) for part in point.split(",")] for point in piece.split()]
                curves.append(slice(start, len(points)))
            lifts.append(len(curves))
            table.loose[way, [begin, len(points) - 1]] = _LOOSE
            table.stroke[way, begin : len(points)] = number
        placed = (np.array(points) - [30, 50]) / 50
        table.points[way, : len(points)] = placed
        lengths = _snap(np.array([_lengths(placed[curve]).sum() for curve in curves]))
        ends = np.rint(np.cumsum(lengths) / lengths.sum() * _VERTICES).astype(int).tolist()
        for curve, start, end in zip(curves, [0, *ends], ends, strict=False):
            table.chain[way, start:end, curve] = _snap(_curve(placed[curve], end - start))
        table.down[way, [ends[lift - 1] - 1 for lift in lifts[:-1]]] = 0
    return table


def bell(bits: np.random.PCG64, *shape: int) -> Floats:
    """Draw approximately standard normal values: scaled sums of four uniforms, from -3.5 to 3.5."""
    lanes = bits.random_raw(math.prod(shape)).view(np.uint16).reshape(*shape, 4)
    return np.asarray((lanes.sum(axis=-1, dtype=np.int64) - 2 * 65535) * (math.sqrt(3) / 65536))


def _choose(table: _Table, bits: np.random.PCG64) -> tuple[Bytes, Indices]:
    """Draw the labels and ways of writing of a chunk."""
    # Every ten images are the ten digits in random order, so that the classes are always balanced.
    labels = np.argsort(bits.random_raw(_CHUNK).reshape(-1, 10), axis=1, kind="stable").ravel()
    chance = (bits.random_raw(_CHUNK) >> np.uint64(11)) * 2.0**-53
    low, high = table.starts[labels], table.starts[labels + 1]
    ways = np.searchsorted(table.shares, low + chance * (high - low), side="right")
    return labels.astype(np.uint8), ways


def _write(table: _Table, ways: Indices, bits: np.random.PCG64) -> Floats:
    """Return the coordinates, shape (2, n, vertices), of n randomly varied pen paths."""
    n = len(ways)
    strayed = _POINT * bell(bits, n, table.points.shape[1], 2) * table.loose[ways]
    strokes = int(table.stroke.max()) + 1
    moved = np.take_along_axis(_STROKE * bell(bits, n, strokes, 2), table.stroke[ways], axis=1)
    points = _snap(table.points[ways] + strayed + moved)
    x, y = np.moveaxis(_snap(np.matmul(table.chain[ways], points)), 2, 0)
    xx, xy, yy = x * x, x * y, y * y
    # Coefficients for x and y, one pair for each image.
    a, b, c = _BEND * bell(bits, 3, 2, n, 1)
    d, e, f, g = _TWIST * bell(bits, 4, 2, n, 1)
    bent = a * xx + b * xy + c * yy
    twisted = x * (d * xx + e * yy) + y * (f * xx + g * yy)
    x, y = np.stack([x, y]) + bent + twisted
    wide, slant, turn = bell(bits, 3, n, 1)
    x = x * np.maximum(_WIDTH + _WIDTH_DEVIATION * wide, 0.45)
    x = x - (_SLANT + _SLANT_DEVIATION * slant) * y
    x, y = x - _TURN * turn * y, y + _TURN * turn * x
    return np.stack([x, y]) + _TREMOR * bell(bits, 2, n, _VERTICES)


def _ink(at: Floats, labels: Bytes, down: Floats, bits: np.random.PCG64) -> Bytes:
    """Render the paths as images (n, 20, 20), each digit as large as the box allows.

    Each line segment leaves a Gaussian spot of ink, as wide as the pen. A 2-D Gaussian is the
    product of two 1-D Gaussians, so the sum over the spots is one matrix product per image. The sum
    across a straight line is exp(-(distance / width)**2); two thresholds give black ink and gray
    edges.
    """
    thick, tilt, bulge, nib, edge = bell(bits, 5, len(labels), 1)
    low, high = at.min(axis=2, keepdims=True), at.max(axis=2, keepdims=True)
    shorter, longer = (high - low).min(axis=0), (high - low).max(axis=0)
    # The digit 1 has no loop that a thick pen could fill.
    roundness = np.where(labels[:, None] == 1, 1.0, shorter / longer)
    radius = np.minimum(_RADIUS + _RADIUS_DEVIATION * thick, _FATTEST * _BOX * roundness)
    radius = np.maximum(radius, _THINNEST)
    edge = np.maximum(_EDGE + _EDGE_DEVIATION * edge, _SHARPEST)

    scale = (_BOX - 2 * radius - 0.2 * edge) / longer
    at = _BOX / 2 + (at - (low + high) / 2) * scale
    dx, dy = np.diff(at)
    squared = dx * dx + dy * dy
    along = np.linspace(-1, 1, _VERTICES - 1)
    pressure = 1 + _PRESSURE * (tilt * along + bulge * (2 * along * along - 1))
    # The constant avoids a division by zero for segments of length 0.
    level = 1 + _NIB * nib * (dx * dx - dy * dy) / (squared + 1e-9)
    width = np.maximum(radius * np.clip(pressure, 0.5, 1.6) * level, _BLUR)[..., None]

    strength = (np.sqrt(squared) * down)[..., None] / (width * math.sqrt(math.pi))
    middle = (at[..., 1:] + at[..., :-1]) / 2
    off = (np.arange(_BOX) + 0.5 - middle[..., None]) / width
    across, downward = np.exp(-off * off)
    columns, rows = np.rint(_INK * strength * across), np.rint(_INK * downward)
    # Integers below 2**53: the sum is exact in any order.
    ink = np.matmul(rows.transpose(0, 2, 1), columns) / (_INK * _INK)
    blur = np.maximum(radius, _BLUR)
    outside, inside = (radius + edge / 2) / blur, np.maximum(radius - edge / 2, 0) / blur
    none, full = _snap(np.exp(-outside * outside)), _snap(np.exp(-inside * inside))
    gray = (ink - none[..., None]) / (full - none)[..., None]
    return np.asarray(np.rint(255 * np.clip(gray, 0, 1)), np.uint8)


def _frame(boxes: Bytes) -> Bytes:
    """Place boxes (n, 20, 20) in (n, 28, 28) images, with the center of mass at the center."""
    n, at = len(boxes), np.arange(_BOX)
    left, top = (
        np.clip(_SIDE // 2 - np.rint(lines @ at / lines.sum(axis=1)), 0, _SIDE - _BOX).astype(int)
        for lines in (boxes.sum(axis=1, dtype=np.int64), boxes.sum(axis=2, dtype=np.int64))
    )
    images = np.zeros((n, _SIDE, _SIDE), np.uint8)
    rows, columns = (top[:, None] + at)[:, :, None], (left[:, None] + at)[:, None, :]
    images[np.arange(n)[:, None, None], rows, columns] = boxes
    return images


def _draw(n: int, seed: int, split: int, european: bool) -> tuple[Bytes, Bytes]:
    """Draw the first n images and labels of a split: 0 for training, 1 for testing."""
    images, labels = np.zeros((n, _SIDE, _SIDE), np.uint8), np.zeros(n, np.uint8)
    table = _table(european)
    for chunk, start in enumerate(range(0, n, _CHUNK)):
        bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(split, chunk)))
        digits, ways = _choose(table, bits)
        drawn = _frame(_ink(_write(table, ways, bits), digits, table.down[ways], bits))
        images[start : start + _CHUNK] = drawn[: n - start]
        labels[start : start + _CHUNK] = digits[: n - start]
    return images, labels


def load_data(
    n_train: int = 60000, n_test: int = 10000, seed: int = 0, european: bool = False
) -> Dataset:
    """Draw synthetic handwritten digits in MNIST's format.

    Drawing 70,000 images takes a few seconds. More than 2,000 images are stored in tinynet's cache
    folder, if it is writable, and are drawn again if the file is corrupted.

    Parameters
    ----------
    n_train, n_test : int
        Number of images, 0 or more. Image i does not depend on the number of images. Each group of
        ten consecutive images contains the ten digits in random order, so the classes are balanced.
    seed : int
        Random seed, 0 or more. Training and test images use different random numbers.
    european : bool
        If True, add ways of writing that are common in Europe and rare in MNIST: a 1 with a long
        upstroke, a 7 with a bar, a 9 with a curved tail, and an open 4.

    Returns
    -------
    tuple
        ``(x_train, y_train), (x_test, y_test)``: images, uint8 of shape (n, 28, 28), white (255) on
        black (0), and labels, uint8 of shape (n,).

    Raises
    ------
    TypeError
        If a number is not an integer, or `european` is not a bool.
    ValueError
        If a number is negative.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data(n_train=100, n_test=10)
    >>> x_train.shape, str(x_train.dtype)
    ((100, 28, 28), 'uint8')
    >>> sorted(y_test.tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    n_train = whole("n_train", n_train, 0)
    n_test = whole("n_test", n_test, 0)
    seed = whole("seed", seed, 0)
    european = flag("european", european)
    if n_train + n_test <= 2 * _CHUNK:
        return _draw(n_train, seed, 0, european), _draw(n_test, seed, 1, european)
    name = f"v{_VERSION}-seed{seed}-{n_train}-{n_test}{'-european' * european}.npz"
    path = cache_folder() / "drawn_digits" / name
    kept = _read(path)
    shapes = [(n, *size) for n in (n_train, n_test) for size in ((_SIDE, _SIDE), ())]
    if [array.shape for array in kept] != shapes:
        kept = [*_draw(n_train, seed, 0, european), *_draw(n_test, seed, 1, european)]
        with contextlib.suppress(OSError):
            _keep(path, kept)
    x_train, y_train, x_test, y_test = kept
    return (x_train, y_train), (x_test, y_test)


def _keep(path: Path, arrays: list[Bytes]) -> None:
    """Write an ``.npz`` file, followed by its SHA-256 checksum."""
    packed = io.BytesIO()
    named: dict[str, Any] = dict(zip(NPZ_ARRAYS, arrays, strict=True))
    np.savez(packed, **named)
    packed.write(hashlib.sha256(packed.getbuffer()).digest())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(packed.getbuffer()))


def _read(path: Path) -> list[Bytes]:
    """Read a file written by `_keep`; return an empty list if it is missing or corrupted."""
    content = b""
    with contextlib.suppress(OSError):
        content = path.read_bytes()
    # Nothing is parsed before its checksum is verified.
    if hashlib.sha256(memoryview(content)[:-32]).digest() != content[-32:]:
        return []
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return [arrays[name] for name in NPZ_ARRAYS]
