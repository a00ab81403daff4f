"""Handwritten digits that are drawn, not collected: data for machines that have none.

Every digit starts as a few pen strokes from the table `WAYS`, written down by hand from how people
write.  Then it goes the way of real writing: the hand moves each point a little, slants, stretches
and bends the whole; the pen presses harder here than there; the ink leaves grey edges.  Last, the
picture is framed as MNIST frames its digits: fitted into a box of 20 x 20 pixels, which is placed
by whole pixels so that its centre of mass lies in the middle of 28 x 28.

A net trained on these pictures alone reads most of the real MNIST; ``python -m
benchmarks.drawn_digits`` measures how much of it.

The same seed gives the same pictures on every machine.  The random numbers are PCG64's raw bits,
a stream that NumPy promises not to change.  Nearly all arithmetic is single additions,
multiplications, divisions and square roots, which IEEE 754 fixes to the last bit.  What a matrix
product or ``exp`` may round differently elsewhere is rounded to a coarse grid at once.  That two
machines round to different sides there, by one grey level of a pixel, is to be expected once in
some ten thousand draws of 70,000 pictures.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinynet.checks import whole
from tinynet.datasets._files import cache_folder
from tinynet.files import write_atomically

__all__ = ["WAYS", "load_data"]

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Dataset = tuple[tuple[Bytes, Bytes], tuple[Bytes, Bytes]]

#: How people write each digit: every way's share, and the points through which the pen runs.
#: A point is ``x,y`` with y downwards, in a frame about 60 wide and 100 high.  The pen draws a
#: smooth curve through the points; ``|`` makes a corner at the point before, ``/`` lifts the pen.
WAYS: dict[int, list[tuple[int, str]]] = {
    0: [
        (30, "36,2 12,12 2,50 12,88 34,98 54,84 60,48 52,14 32,3"),  # begun and closed on top
        (14, "50,8 24,2 6,26 3,66 22,97 48,88 60,50 50,14 26,6"),  # the end runs over the beginning
        (10, "42,6 16,10 2,48 14,88 36,96 56,80 60,40 54,14"),  # left a little open
        (8, "12,22 2,58 18,94 42,96 60,56 52,12 28,2 6,26"),  # begun on the left
        (8, "56,0 30,10 6,36 2,72 20,98 46,86 60,44 50,14 24,14"),  # begun far right
        (6, "20,8 44,2 60,40 52,84 28,98 6,84 2,44 14,12 38,4"),  # clockwise
        (6, "52,20 40,2 12,14 2,58 18,96 46,88 60,40 42,8 22,18 26,30"),  # ends in a curl inside
        (5, "40,2 12,10 2,50 14,92 40,96 60,56 52,14 36,10 28,46"),  # ends in a stroke inside
        (4, "44,14 14,34 0,66 20,86 50,78 76,48 70,20 40,16"),  # lying on its side
    ],
    1: [
        (68, "35,0 30,50 25,100"),  # one plain stroke
        (8, "34,0 28,50 30,100"),  # slightly bent
        (7, "18,16 32,0 | 32,50 32,100"),  # with a serif
        (8, "16,17 32,0 | 32,50 32,100 / 4,100 32,99 60,99"),  # with serif and foot
        (3, "30,0 30,50 30,98 / 8,100 30,99 54,99"),  # with a foot alone
    ],
    2: [
        (18, "2,22 20,2 48,6 54,32 34,66 2,98 | 32,97 66,96"),  # a sharp corner below
        (14, "4,18 26,0 52,10 52,38 30,74 12,96 0,86 14,74 40,88 68,98"),  # a loop below
        (10, "6,16 30,0 52,18 46,50 24,84 4,94 0,82 18,74 44,86 70,80"),  # a loop, the tail rising
        (18, "8,18 30,0 52,16 44,50 22,86 4,94 -2,78 16,66 38,80 66,92"),  # a big loop
        (10, "2,30 18,4 46,4 52,28 38,66 14,96 -4,84 12,66 42,80 68,84"),  # the same, begun low
        (10, "0,26 20,4 48,8 50,38 26,76 4,98 22,88 44,94 68,90"),  # a wave for a foot
        (9, "0,26 26,4 58,14 46,48 14,82 -4,94 | 30,92 70,90"),  # broad and round
        (5, "16,28 4,14 22,2 52,8 54,32 32,66 4,96 | 34,96 64,98"),  # a hook at the beginning
        (8, "2,10 30,4 56,6 46,36 2,94 | 34,94 66,94"),  # nearly a Z
        (6, "4,30 24,14 46,24 40,54 14,90 | 44,86 82,80"),  # a long foot
        (6, "16,16 32,0 44,14 32,48 12,92 | 40,92 76,86"),  # a small head
    ],
    3: [
        (24, "2,14 26,0 52,12 44,36 18,48 | 48,54 58,76 38,98 0,90"),  # round, with a sharp waist
        (12, "2,12 28,1 52,16 38,40 18,46 34,48 58,68 46,94 20,100 -2,86"),  # a soft waist
        (9, "4,16 28,0 50,14 36,44 20,52 26,42 52,56 56,82 30,100 0,88"),  # a loop in the waist
        (9, "2,4 30,3 54,2 | 38,24 22,42 | 50,50 58,74 36,98 0,92"),  # a flat top
        (7, "0,6 34,2 52,12 30,42 | 54,58 48,86 20,100 -4,96"),  # leaning back
        (9, "8,20 30,0 50,14 34,38 | 52,58 44,84 20,96 0,84"),  # a small head
        (7, "0,24 14,4 44,2 56,22 40,40 14,46 | 44,46 50,66 36,90 12,100"),  # a big head
        (9, "-4,12 30,0 58,10 46,34 6,46 | 50,48 64,70 40,96 -6,96"),  # broad, a long waist
    ],
    4: [
        (18, "10,4 4,30 4,54 | 30,54 64,48 / 50,0 48,50 46,100"),  # open, with a corner
        (14, "12,4 2,34 12,54 34,50 54,36 / 58,2 50,50 44,100"),  # open, a bowl
        (10, "10,8 4,36 14,56 38,50 54,10 | 50,50 46,100"),  # open, in one stroke
        (8, "44,0 22,32 -2,64 | 30,64 66,62 / 44,2 44,50 44,100"),  # closed, a straight roof
        (7, "44,100 46,50 48,0 | 22,32 -2,62 | 30,62 64,60"),  # closed, in one stroke from below
        (10, "22,2 8,36 0,62 | 30,60 68,54 / 48,20 42,60 36,100"),  # open, the stem beginning lower
        (10, "10,14 6,34 12,52 34,50 54,36 | 56,4 | 50,50 46,100"),  # the bowl runs on
        (8, "16,0 2,42 10,50 56,42 72,40 / 44,6 36,56 30,100"),  # leaning, a long bar
        (14, "6,4 4,46 | 26,50 46,44 / 48,0 47,50 44,100"),  # open, the bar ends at the stem
        (6, "8,2 10,30 26,44 48,36 / 54,2 46,40 24,100"),  # like a y
        (8, "14,6 8,28 10,46 26,52 44,44 / 48,6 44,54 38,100"),  # upright, small above
    ],
    5: [
        (18, "14,6 10,26 8,44 | 30,38 54,56 48,86 22,100 0,92 / 14,6 36,5 64,2"),  # bar drawn last
        (12, "64,2 36,4 16,6 | 12,26 8,44 | 32,36 54,56 46,88 22,100 0,90"),  # bar drawn first
        (14, "62,4 30,4 14,18 16,38 38,54 50,72 38,94 14,100 -2,92"),  # like an S
        (8, "20,4 8,42 | 36,44 50,66 40,92 0,98 / 20,6 44,6 70,0"),  # a narrow belly
        (14, "30,12 16,44 | 38,46 46,66 30,92 0,98 / 28,12 52,8 84,0"),  # small, a long bar
        (9, "86,2 56,4 32,12 | 22,42 | 44,52 44,76 24,96 -4,96"),  # the same in one stroke
        (9, "8,6 4,40 | 30,30 58,46 58,78 30,100 0,88 / 8,4 30,4 50,2"),  # a big belly
        (6, "30,24 14,50 | 40,58 42,80 20,98 -6,90 / 32,24 60,16 96,0"),  # a rising bar
        (6, "58,10 40,0 16,10 10,34 34,48 52,66 46,92 20,100 0,82"),  # like an S with hooks
        (6, "10,2 6,30 | 30,20 60,34 62,66 44,92 12,100 / 10,2 36,2 64,4"),  # a short neck
    ],
    6: [
        (20, "44,0 20,22 2,58 10,92 36,98 54,78 42,58 18,64 4,84"),  # a round back
        (12, "34,0 16,34 2,72 16,98 44,94 54,70 34,60 10,78"),  # a straighter back
        (9, "56,4 24,14 4,50 8,86 30,100 56,84 48,60 24,58 8,76"),  # a wide back
        (7, "26,0 8,40 2,76 18,98 42,92 46,74 30,66 8,84"),  # upright, a small bowl
        (12, "24,0 6,34 2,72 22,98 52,92 62,68 40,54 14,72 12,88"),  # a big bowl
        (11, "22,0 4,36 6,78 34,98 64,84 54,62 28,72 22,94"),  # the bowl set to the right
        (6, "40,0 10,36 2,80 22,100 46,78 42,52 24,56 14,86"),  # a narrow bowl, leaning
        (8, "48,0 18,34 2,76 20,100 54,86 60,66 34,60 18,76 24,94"),  # the end curls up inside
        (6, "36,0 14,44 8,84 18,100 34,90 30,68 12,80"),  # slender, a tiny bowl
        (8, "20,0 2,40 6,84 36,100 62,76 56,46 32,44 16,70 20,92"),  # a high bowl
        (14, "62,0 26,32 4,72 18,98 50,90 56,68 32,62 8,84"),  # a long slanting back
        (8, "40,0 12,42 6,84 26,100 54,84 52,62 26,62 -4,82"),  # the end runs through the back
    ],
    7: [
        (22, "0,8 28,6 60,6 | 42,44 28,100"),  # plain
        (14, "0,10 30,4 58,8 46,42 34,70 28,100"),  # a soft corner
        (10, "0,26 4,6 | 30,6 60,4 | 40,46 28,100"),  # with a serif
        (16, "0,8 28,6 58,4 | 42,44 26,100 / 8,54 36,52 66,50"),  # with a bar
        (8, "0,24 10,4 30,8 60,4 | 44,44 36,100"),  # with a wave
        (8, "0,16 24,2 50,10 56,36 46,72 30,100"),  # an arch
        (8, "0,16 30,10 66,0 | 40,44 10,100"),  # leaning
        (12, "0,34 4,10 26,6 50,8 | 46,44 36,100"),  # a long stroke down on the left
        (4, "6,20 10,6 28,10 56,4 | 40,44 26,100 / 10,56 36,50 64,46"),  # with serif and bar
    ],
    8: [
        (20, "50,14 30,0 8,14 18,36 42,56 52,80 28,100 4,82 18,56 42,34 50,14"),  # like an S first
        (12, "54,8 26,2 8,20 24,42 46,62 46,90 20,100 4,82 22,54 46,32 58,6"),  # left open on top
        (9, "28,48 8,30 14,6 38,0 54,18 42,40 20,58 4,80 22,100 48,90 50,66 28,48"),  # waist first
        (8, "28,0 8,14 12,42 44,42 48,14 28,0 / 28,46 4,64 12,96 44,96 52,64 28,46"),  # two circles
        (8, "12,10 20,34 40,58 48,86 26,100 6,84 18,58 40,36 48,12 28,0 10,12"),  # from the left
        (10, "52,14 24,2 8,22 38,58 38,94 14,100 10,80 36,42 62,0"),  # closed by a straight stroke
        (7, "50,10 24,4 6,22 42,58 38,92 14,100 10,80 34,50 80,4"),  # the same, running far out
        (8, "56,18 36,0 4,10 8,38 46,48 40,80 24,100 10,84 28,58 58,20"),  # a big head
        (8, "48,22 28,0 2,16 18,42 38,66 34,96 18,98 16,74 34,46 50,18"),  # a narrow foot
        (6, "62,4 34,2 10,18 24,40 46,62 40,94 18,100 8,80 28,54 52,34 58,14 44,4"),  # with a hat
    ],
    9: [
        (18, "48,14 26,0 4,20 10,44 32,44 50,16 | 50,56 44,100"),  # a straight tail
        (11, "48,8 22,0 2,26 16,48 42,36 50,10 | 52,60 38,94 6,94"),  # a curved tail
        (12, "48,12 24,0 2,22 14,46 38,38 52,10 42,54 20,100"),  # in one sweep
        (9, "46,20 38,2 12,6 2,32 18,48 44,28 48,6 | 46,50 48,100"),  # begun low
        (7, "60,6 28,2 2,24 10,46 34,42 56,12 | 42,50 20,100"),  # leaning, the head open
        (8, "30,46 6,36 8,8 38,0 54,20 44,42 26,46 / 54,18 50,60 40,100"),  # the tail apart
        (8, "44,16 26,2 8,18 14,36 36,34 46,14 | 50,56 46,100"),  # a small head, a long tail
        (7, "50,10 24,2 0,30 8,62 36,58 52,14 | 54,60 54,100"),  # a big head
        (6, "56,8 24,4 2,20 20,38 46,30 56,12 | 50,60 26,98 -4,86"),  # a flat head, a curved tail
        (6, "46,4 16,6 4,26 24,40 46,26 48,6 | 38,60 30,100"),  # narrow, a bent tail
    ],
}

# The hand: how far one drawing strays from the table.  Deviations of bell-shaped numbers, in half
# heights of a digit unless said otherwise.
_POINT = 0.07  # each point on its own
_LOOSE = 1.3  # the ends of a stroke stray so many times as far
_STROKE = 0.09  # each stroke as a whole
_TREMOR = 0.025  # each vertex of the drawn line
_BEND, _TWIST = 0.085, 0.05  # elastic distortion: quadratic and cubic terms
_WIDTH, _WIDTH_DEVIATION = 1.18, 0.24  # factor of the width
_SLANT, _SLANT_DEVIATION = 0.10, 0.25  # to the right, for each step upwards
_TURN = 0.13  # radians, about

# The pen, in pixels of the finished picture.
_RADIUS, _RADIUS_DEVIATION, _THINNEST = 1.3, 0.34, 0.7
_FATTEST = 0.11  # of the box, times the digit's short side by its long one: loops stay open
_PRESSURE = 0.13  # deviation of the radius' change along the digit, as a factor
_NIB = 0.08  # deviation of how much broader level lines are than upright ones, as a factor
_EDGE, _EDGE_DEVIATION, _SHARPEST = 1.15, 0.25, 0.9  # from full ink to none
_BLUR = 0.8  # the ink spreads at least so far

_VERSION = 1  # goes up whenever the pictures change, so that no older cache is taken for them
_CHUNK = 1000  # images drawn at a time, each chunk from a seed of its own
_VERTICES = 80  # of the chain of short straight lines that stands for a digit's strokes
_BOX, _SIDE = 20, 28
_INK = 1024.0  # steps of the ink's grid


class _Table(NamedTuple):
    """`WAYS` as arrays over the ways W, padded to the longest way's K points."""

    points: Floats  # (W, K, 2), the middle at 0, the half height 1
    loose: Floats  # (W, K, 1), how freely each point moves
    stroke: Indices  # (W, K, 1), which stroke a point belongs to
    chain: Floats  # (W, vertices, K), the vertices as mixtures of the points
    down: Floats  # (W, vertices - 1), 1 where the pen is down on the way to the next vertex
    first: list[int]  # the first way of each digit
    shares: list[Indices]  # running sums of the shares of each digit's ways


def _snap(values: Floats, grid: float = 4096.0) -> Floats:
    """Round to a grid far coarser than what may differ between machines."""
    return np.rint(values * grid) / grid


def _curve(points: Floats, count: int) -> Floats:
    """Weights (count, K) with which the K points make `count` points of the curve through them.

    A Catmull-Rom spline of cubic Hermite pieces, its knots spaced by the square roots of the
    distances (Yuksel et al., Parameterization and applications of Catmull-Rom curves, 2011).
    """
    itself = np.eye(len(points))
    step = np.sqrt(_lengths(points))[:, None]
    slope = np.diff(itself, axis=0) / step
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
    from_here = (1 + 2 * t) * itself[i] + t * step[i] * tangent[i]
    to_there = (3 - 2 * t) * itself[i + 1] - (1 - t) * step[i] * tangent[i + 1]
    return np.asarray((1 - t) ** 2 * from_here + t**2 * to_there)


def _lengths(points: Floats) -> Floats:
    """Return the distances between one point and the next."""
    return np.asarray(np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1)))


@functools.cache
def _table() -> _Table:
    """Read `WAYS`."""
    paths = [path for ways in WAYS.values() for _, path in ways]
    w, k = len(paths), max(path.count(",") for path in paths)
    counts = [len(ways) for ways in WAYS.values()]
    table = _Table(
        points=np.zeros((w, k, 2)),
        loose=np.ones((w, k, 1)),
        stroke=np.zeros((w, k, 1), np.int64),
        chain=np.zeros((w, _VERTICES, k)),
        down=np.ones((w, _VERTICES - 1)),
        first=[sum(counts[:digit]) for digit in range(10)],
        shares=[np.cumsum([share for share, _ in ways]) for ways in WAYS.values()],
    )
    for way, path in enumerate(paths):
        points: list[list[float]] = []
        curves, lifts = [], []
        for number, stroke in enumerate(path.split("/")):
            begin = len(points)
            for piece in stroke.split("|"):
                # A corner's point ends one curve and begins the next.
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


def _bell(bits: np.random.PCG64, *shape: int) -> Floats:
    """Bell-shaped numbers of mean 0, deviation 1 and at most 3.5: sums of four 16-bit numbers."""
    lanes = bits.random_raw(math.prod(shape)).view(np.uint16).reshape(*shape, 4)
    return np.asarray((lanes.sum(axis=-1, dtype=np.int64) - 2 * 65535) * (math.sqrt(3) / 65536))


def _choose(bits: np.random.PCG64) -> tuple[Bytes, Indices]:
    """Choose the chunk's labels and ways of writing."""
    # Every ten images are the ten digits in random order, so that any number of them is balanced.
    labels = np.argsort(bits.random_raw(_CHUNK).reshape(-1, 10), axis=1, kind="stable").ravel()
    chance = (bits.random_raw(_CHUNK) >> np.uint64(11)) * 2.0**-53
    ways = np.zeros(_CHUNK, np.int64)
    for digit, (first, shares) in enumerate(zip(_table().first, _table().shares, strict=True)):
        these = labels == digit
        ways[these] = first + np.searchsorted(shares, chance[these] * shares[-1], side="right")
    return labels.astype(np.uint8), ways


def _write(ways: Indices, bits: np.random.PCG64) -> tuple[Floats, Floats]:
    """Move the hand: the vertices' x and y (n, vertices) of one drawing in each of the n ways."""
    table, n = _table(), len(ways)
    strayed = _POINT * _bell(bits, n, table.points.shape[1], 2) * table.loose[ways]
    strokes = int(table.stroke.max()) + 1
    moved = np.take_along_axis(_STROKE * _bell(bits, n, strokes, 2), table.stroke[ways], axis=1)
    points = _snap(table.points[ways] + strayed + moved)
    x, y = np.moveaxis(_snap(np.matmul(table.chain[ways], points)), 2, 0)
    xx, xy, yy = x * x, x * y, y * y
    # Each of these is a pair, for x and for y, of one number for each drawing.
    a, b, c = _BEND * _bell(bits, 3, 2, n, 1)
    d, e, f, g = _TWIST * _bell(bits, 4, 2, n, 1)
    bent = a * xx + b * xy + c * yy
    twisted = x * (d * xx + e * yy) + y * (f * xx + g * yy)
    x, y = np.stack([x, y]) + bent + twisted
    wide, slant, turn = _bell(bits, 3, n, 1)
    x = x * np.maximum(_WIDTH + _WIDTH_DEVIATION * wide, 0.45)
    x = x - (_SLANT + _SLANT_DEVIATION * slant) * y
    x, y = x - _TURN * turn * y, y + _TURN * turn * x
    tremor = _TREMOR * _bell(bits, 2, n, _VERTICES)
    return x + tremor[0], y + tremor[1]


def _ink(x: Floats, y: Floats, labels: Bytes, down: Floats, bits: np.random.PCG64) -> Bytes:
    """Draw the lines with a pen: pictures (n, 20, 20), the digit as large as the box allows.

    Each short line leaves a Gaussian spot of ink as wide as the pen there and as strong as the line
    is long.  A Gaussian in the plane is the product of two on the axes, so the sum over the
    spots is one small matrix product for each picture.  Along a straight line it is
    exp(-(distance / width)**2), which cut at two levels gives the line's black and its grey edges.
    """
    n = len(labels)
    thick, tilt, bulge, nib, edge = _bell(bits, 5, n, 1)
    low, high = np.stack([x, y]).min(axis=2)[..., None], np.stack([x, y]).max(axis=2)[..., None]
    shorter, longer = (high - low).min(axis=0), (high - low).max(axis=0)
    # A one has no loop that a fat pen could fill.
    roundness = np.where(labels[:, None] == 1, 1.0, shorter / longer)
    radius = np.minimum(_RADIUS + _RADIUS_DEVIATION * thick, _FATTEST * _BOX * roundness)
    radius = np.maximum(radius, _THINNEST)
    edge = np.maximum(_EDGE + _EDGE_DEVIATION * edge, _SHARPEST)

    scale = (_BOX - 2 * radius - 0.2 * edge) / longer
    x, y = _BOX / 2 + (np.stack([x, y]) - (low + high) / 2) * scale
    dx, dy = np.diff(x), np.diff(y)
    squared = dx * dx + dy * dy
    along = np.linspace(-1, 1, _VERTICES - 1)
    pressure = 1 + _PRESSURE * (tilt * along + bulge * (2 * along * along - 1))
    # The added crumb keeps a line of no length from dividing by zero.
    level = 1 + _NIB * nib * (dx * dx - dy * dy) / (squared + 1e-9)
    width = np.maximum(radius * np.clip(pressure, 0.5, 1.6) * level, _BLUR)[..., None]

    strength = (np.sqrt(squared) * down)[..., None] / (width * math.sqrt(math.pi))
    pixel = np.arange(_BOX) + 0.5
    across = (pixel - ((x[:, 1:] + x[:, :-1]) / 2)[..., None]) / width
    downward = (pixel - ((y[:, 1:] + y[:, :-1]) / 2)[..., None]) / width
    columns = np.rint(_INK * strength * np.exp(-across * across))
    rows = np.rint(_INK * np.exp(-downward * downward))
    # Whole numbers that stay below 2**53: the sum is exact in whatever order it is taken.
    ink = np.matmul(rows.transpose(0, 2, 1), columns) / (_INK * _INK)
    blur = np.maximum(radius, _BLUR)
    outside, inside = (radius + edge / 2) / blur, np.maximum(radius - edge / 2, 0) / blur
    none, full = _snap(np.exp(-outside * outside)), _snap(np.exp(-inside * inside))
    grey = (ink - none[..., None]) / (full - none)[..., None]
    return np.asarray(np.rint(255 * np.clip(grey, 0, 1)), np.uint8)


def _frame(boxes: Bytes) -> Bytes:
    """Place boxes (n, 20, 20) in (n, 28, 28), by whole pixels, the centre of mass in the middle."""
    n, at = len(boxes), np.arange(_BOX)
    left, top = (
        np.clip(_SIDE // 2 - np.rint(lines @ at / lines.sum(axis=1)), 0, _SIDE - _BOX).astype(int)
        for lines in (boxes.sum(axis=1, dtype=np.int64), boxes.sum(axis=2, dtype=np.int64))
    )
    images = np.zeros((n, _SIDE, _SIDE), np.uint8)
    rows, columns = (top[:, None] + at)[:, :, None], (left[:, None] + at)[:, None, :]
    images[np.arange(n)[:, None, None], rows, columns] = boxes
    return images


def _draw(n: int, seed: int, split: int) -> tuple[Bytes, Bytes]:
    """Draw the first n images and labels of a split: 0 to train, 1 to test."""
    images, labels = np.zeros((n, _SIDE, _SIDE), np.uint8), np.zeros(n, np.uint8)
    for chunk, start in enumerate(range(0, n, _CHUNK)):
        bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(split, chunk)))
        digits, ways = _choose(bits)
        x, y = _write(ways, bits)
        drawn = _frame(_ink(x, y, digits, _table().down[ways], bits))
        images[start : start + _CHUNK] = drawn[: n - start]
        labels[start : start + _CHUNK] = digits[: n - start]
    return images, labels


def load_data(n_train: int = 60000, n_test: int = 10000, seed: int = 0) -> Dataset:
    """Draw handwritten digits in MNIST's form.

    70,000 images take a few seconds the first time; draws of more than 2,000 are kept in tinynet's
    cache folder if it can be written to, and are drawn anew if it cannot or if the file is damaged.

    Parameters
    ----------
    n_train, n_test : int
        How many images, 0 or more.  Image i is the same however many are drawn.  Each ten images
        in a row show the ten digits in random order, so the classes are balanced.
    seed : int
        0 or more; each seed gives other images.  Training and test images never share their
        random numbers.

    Returns
    -------
    tuple
        ``(x_train, y_train), (x_test, y_test)``: images uint8 of shape (n, 28, 28), white 255 on
        black 0, and labels uint8 of shape (n,).

    Raises
    ------
    TypeError
        An argument is no integer.
    ValueError
        An argument is negative.

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
    if n_train + n_test <= 2 * _CHUNK:
        return _draw(n_train, seed, 0), _draw(n_test, seed, 1)
    name = f"v{_VERSION}-seed{seed}-{n_train}-{n_test}.npz"
    path = cache_folder() / "drawn_digits" / name
    kept = _read(path, n_train, n_test)
    if kept is not None:
        return kept
    drawn = _draw(n_train, seed, 0), _draw(n_test, seed, 1)
    with contextlib.suppress(OSError):
        _keep(path, drawn)
    return drawn


def _keep(path: Path, data: Dataset) -> None:
    """Write an ``.npz`` with its SHA-256 behind it."""
    (x_train, y_train), (x_test, y_test) = data
    packed = io.BytesIO()
    np.savez(packed, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    packed.write(hashlib.sha256(packed.getbuffer()).digest())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(packed.getbuffer()))


def _read(path: Path, n_train: int, n_test: int) -> Dataset | None:
    """Read what `_keep` wrote; None if it is missing, damaged or something else."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    # Nothing is parsed before it is known to be what was written.
    if hashlib.sha256(memoryview(content)[:-32]).digest() != content[-32:]:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        x_train, y_train, x_test, y_test = (
            arrays[k] for k in ("x_train", "y_train", "x_test", "y_test")
        )
    for x, y, n in ((x_train, y_train, n_train), (x_test, y_test, n_test)):
        if x.shape != (n, _SIDE, _SIDE) or y.shape != (n,) or not x.dtype == y.dtype == np.uint8:
            return None
    return (x_train, y_train), (x_test, y_test)
