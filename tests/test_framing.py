"""Framing: digits of any size, position and shade are converted to MNIST's format."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest

from benchmarks import handwriting
from tinynet.datasets import drawn_digits, frame_digit
from tinynet.datasets.framing import paper_shade, to_grey


def stroke(size: int = 200) -> np.ndarray:
    """Return a black image with a white L, 100 x 50 pixels, with strokes 20 pixels wide."""
    image = np.zeros((size, size), np.uint8)
    image[30:130, 20:40] = 255
    image[110:130, 20:70] = 255
    return image


def test_frame_digit_matches_hand_computation() -> None:
    """100 x 50 pixels become 20 x 10, five to one: the L's strokes become 4 wide.

    Center of mass: the vertical stroke (rows 0-15, 4 columns, center 7.5 and 1.5) has 64 pixels,
    the foot (rows 16-19, 10 columns, center 17.5 and 4.5) 40: y = (64 * 7.5 + 40 * 17.5) / 104 =
    11.3, x = (64 * 1.5 + 40 * 4.5) / 104 = 2.65. So the L begins at row 14 - 11, column 14 - 3.
    """
    expected = np.zeros((28, 28), np.uint8)
    expected[3:23, 11:15] = 255
    expected[19:23, 11:21] = 255
    np.testing.assert_array_equal(frame_digit(stroke()), expected)


def test_resize_averages_pixel_areas() -> None:
    # 30 columns become 20: every new pixel covers one and a half old pixels.
    row = np.zeros((4, 32), np.uint8)
    row[:, 1:31] = 255
    row[1:, 2] = 0  # the first row connects the parts
    framed = frame_digit(np.pad(row, ((5, 5), (0, 0))))
    box = framed[framed.any(axis=1)][-1, 4:24] / 255
    # The first pixel covers column 0 (white) and half of column 1 (black); the second begins in the
    # middle of column 1.
    np.testing.assert_allclose(box[:4], [2 / 3, 2 / 3, 1, 1], atol=1 / 255)


def variants() -> dict[str, Any]:
    light = stroke()
    dark = 255 - light
    ink = (light > 0).astype(np.uint8)
    colour = np.stack([dark, dark, dark], axis=2)
    rng = np.random.default_rng(0)
    shadow = np.linspace(0, 40, 200)[:, None] + rng.normal(0, 3, (200, 200))
    alpha = ink * 255
    return {
        "dark on light": dark,
        "moved": np.roll(light, (40, 90), axis=(0, 1)),
        "grey on grey": (90 + 60 * ink).astype(np.uint8),
        "sixteen bits": dark.astype(np.uint16) * 257,
        "floats to 1": dark / 255,
        "floats to 255": dark.astype(np.float32),
        "bools": ink.astype(bool),
        "nested lists": light.tolist(),
        "big-endian": light.astype(">i4"),
        "strided": np.repeat(light, 2, axis=1)[:, ::2],
        "one channel": light[:, :, None],
        "colour": colour,
        "blue on yellow": np.where(ink[:, :, None] > 0, [0, 0, 160], [255, 255, 0]).astype("u1"),
        "red on gray": np.where(ink[:, :, None] > 0, [220, 60, 60], 110).astype("u1"),
        "black ink on transparent background": np.dstack([0 * colour, alpha]),
        "white ink on transparent background": np.dstack([0 * colour + 255, alpha]),
        "grey with alpha": np.dstack([dark, np.full_like(dark, 255)]),
        "photo with a shadow": np.clip(220 - shadow - 150 * ink, 0, 255).astype(np.uint8),
    }


@pytest.mark.parametrize("name", variants())
def test_shade_position_and_dtype_are_irrelevant(name: str) -> None:
    image = variants()[name]
    before = np.array(image)
    framed = frame_digit(image)
    # A photo's shadow is less than 30% of the ink's intensity, and the noise is a few gray levels:
    # the strokes of the L are solid after the contrast step, to within rounding error.
    np.testing.assert_allclose(framed, frame_digit(stroke()), atol=3 if "photo" in name else 0)
    np.testing.assert_array_equal(before, image)


def test_frame_digit_keeps_position_of_synthetic_digits() -> None:
    (images, _), _ = drawn_digits.load_data(n_train=50, n_test=0)
    for image in images:
        # Binary images, which the contrast step does not change.
        bilevel = np.where(image > 127, 255, 0).astype(np.uint8)
        box = np.argwhere(bilevel)
        # The longer side is still 20 pixels, so the digit moves by at most one pixel.
        if max(np.ptp(box, axis=0)) == 19:
            framed = frame_digit(bilevel)
            moved = np.argwhere(framed).min(axis=0) - box.min(axis=0)
            assert np.abs(moved).max() <= 1
            np.testing.assert_array_equal(np.roll(bilevel, tuple(moved), (0, 1)), framed)


@pytest.mark.wide
def test_mnist_images_keep_their_position(mnist: Any) -> None:
    """The contrast step changes MNIST's gray edges, but positions must be unchanged."""
    images = np.rint(mnist[1][0][:500] * 255).astype(np.uint8)
    middles = []
    for image in images:
        framed = frame_digit(image).astype(float)
        middles.append([c.mean() for c in np.nonzero(framed > 127)])
        middles[-1] -= np.array([c.mean() for c in np.nonzero(image > 127)])
    # A shift is at most half a pixel due to the gray edges and one pixel due to rounding; the
    # average shift is zero.
    assert np.abs(middles).max() < 2
    assert np.abs(np.mean(middles, axis=0)).max() < 0.25


@pytest.mark.parametrize("shape", [(300, 40), (40, 300), (5, 5), (1, 30), (30, 1), (28, 28)])
def test_any_size_fills_the_box(shape: tuple[int, int]) -> None:
    image = np.zeros(shape, np.uint8)
    h, w = shape
    image[h // 3 : h // 3 + max(h // 3, 1), w // 3 : w // 3 + max(w // 3, 1)] = 200
    framed = frame_digit(image)
    assert (framed.shape, framed.dtype, framed.max()) == ((28, 28), np.uint8, 255)
    rows, columns = (np.ptp(found) + 1 for found in np.nonzero(framed))
    assert max(rows, columns) == 20


@functools.cache
def digits_to_distort() -> np.ndarray:
    return drawn_digits.load_data(n_train=4, n_test=0)[0][0]


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine similarity of two images."""
    a, b = (image.ravel() / np.linalg.norm(image) for image in (one, other))
    return float(a @ b)


@pytest.mark.parametrize(
    ("name", "i"),
    [
        pytest.param(name, i, marks=() if i == number % 4 else pytest.mark.slow)
        for number, name in enumerate(handwriting.DISTORTIONS)
        for i in range(4)
    ],
)
def test_frame_digit_on_any_page(name: str, i: int) -> None:
    """Frames, specks, gray paper, gradients, shadows and ruled lines do not change the result.

    A shift by one pixel, from rounding the center of mass, gives a similarity of about 0.9, and
    a pen of half the width about 0.7. A different digit, an inverted image or a frame around it
    gives less than 0.5.
    """
    digit = digits_to_distort()[i]
    distorted = handwriting.DISTORTIONS[name](digit, np.random.default_rng(i))
    if distorted.dtype == np.float64:
        distorted = handwriting.to_bytes(distorted)
    assert likeness(frame_digit(distorted), digit) > (0.6 if "thin" in name else 0.8)


@pytest.mark.wide
@pytest.mark.parametrize("channels", [1, 3])
def test_frame_digit_keeps_framed_images(mnist: Any, channels: int) -> None:
    images = np.rint(mnist[1][0][:300] * 255).astype(np.uint8)
    for image in images:
        given = np.repeat(image[:, :, None], channels, axis=2)
        np.testing.assert_array_equal(frame_digit(given), image)
    framed = frame_digit(stroke())
    np.testing.assert_array_equal(frame_digit(framed), framed)


@pytest.mark.parametrize("paper", [255, 0])
def test_frame_digit_ignores_isolated_pixel(paper: int) -> None:
    image = np.full((100, 100), paper, np.uint8)
    image[20:80, 45:52] = 180 if paper else 75
    clean = frame_digit(image)
    image[5, 5] = 255 - paper
    np.testing.assert_array_equal(frame_digit(image), clean)
    assert set(np.flatnonzero(clean.any(axis=1))) == set(range(4, 24))


@pytest.mark.each_value
@pytest.mark.parametrize("shade", [0, 90, 128, 200, 255])
@pytest.mark.parametrize("paper", [0, 60, 140, 255])
@pytest.mark.parametrize("sides", ["tblr", "tb", "l", "tr"])
def test_frame_digit_ignores_frames(shade: int, paper: int, sides: str) -> None:
    """A complete or partial frame of any shade, one pixel wide, does not change the digit."""
    ink = 255 if paper < 128 else 0
    image = np.where(stroke() > 0, ink, paper).astype(np.uint8)
    framed = handwriting.to_bytes(handwriting.border(image / 255, 1, shade / 255, sides))
    np.testing.assert_array_equal(frame_digit(framed), frame_digit(image))


@pytest.mark.each_value
@pytest.mark.parametrize("order", [[3, 8], [1, 7, 0], [4, 4]])
@pytest.mark.parametrize("inverted", [False, True])
def test_frame_digit_rejects_several_digits(order: list[int], inverted: bool) -> None:
    (images, labels), _ = drawn_digits.load_data(n_train=100, n_test=0)
    row = np.hstack([images[np.flatnonzero(labels == digit)[0]] for digit in order])
    page = np.pad(np.kron(row, np.ones((3, 3), np.uint8)), 20)
    with pytest.raises(ValueError, match=r"a single digit; .* Received: several digits"):
        frame_digit(255 - page if inverted else page)


# Rectangles of ink: top, bottom, left, right.
BROKEN = [
    [(10, 14, 12, 40), (17, 32, 12, 16), (28, 32, 12, 38), (28, 50, 34, 38), (46, 50, 12, 38)],
    [(10, 14, 12, 40), (16, 50, 34, 38), (28, 32, 24, 32)],  # a 7 whose bar is detached
    [(10, 50, 28, 33), (2, 5, 5, 8), (20, 22, 50, 53)],  # a 1 and specks
    [(10, 50, 16, 20), (10, 14, 22, 36), (46, 50, 22, 36), (10, 50, 38, 42)],  # a 0 of four parts
    [(12, 40, 14, 18), (36, 40, 14, 33), (8, 52, 36, 39)],  # a 4 whose long stroke is detached
]


# A second digit: below, smaller, and diagonally below.
SECOND = [(78, 113, 28, 33), (30, 50, 64, 68), (75, 105, 56, 60)]


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", [BROKEN[0], BROKEN[1], BROKEN[3]])
def test_frame_digit_rejects_second_digit_anywhere(first: Any, second: Any) -> None:
    image = np.zeros((120, 120))
    for top, bottom, left, right in [*first, second]:
        image[top:bottom, left:right] = 1
    with pytest.raises(ValueError, match="several digits"):
        frame_digit(image)


def test_frame_digit_removes_distant_spots() -> None:
    image = np.zeros((120, 120))
    for top, bottom, left, right in BROKEN[0]:
        image[top:bottom, left:right] = 1
    clean = frame_digit(image)
    image[70:80, 60:70] = 1
    np.testing.assert_array_equal(frame_digit(image), clean)


@pytest.mark.parametrize("boxes", BROKEN)
def test_frame_digit_accepts_broken_digits(boxes: Any) -> None:
    """Gaps and specks do not split a digit."""
    image = np.zeros((60, 60))
    for top, bottom, left, right in boxes:
        image[top:bottom, left:right] = 1
    large = np.kron(image, np.ones((2, 2)))
    assert likeness(frame_digit(large), frame_digit(np.pad(image, 60))) > 0.9


def rough(kind: str, digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a digit, 200 x 200 pixels with ink 1, as written, copied or printed."""
    ink = np.pad(handwriting.enlarge(digit, 160), 20)
    y, x = np.indices(ink.shape)
    grain, wide = rng.random(ink.shape), np.kron(rng.random((100, 25)), np.ones((2, 8)))
    return {
        "chalk": ink * (grain < 0.6),
        "brush": ink * (wide < 0.75),
        "photocopy": 1.0 * (ink + rng.normal(0, 0.2, ink.shape) > 0.5),
        "halftone": ink * (np.sin(0.8 * (x + y)) * np.sin(0.8 * (x - y)) < 0.4),
        "specks": np.where(grain < 0.02, 1, ink),
        "noise": np.clip(0.1 + 0.7 * ink + rng.normal(0, 0.15, ink.shape), 0, 1),
    }[kind]


@pytest.mark.parametrize("kind", ["chalk", "brush", "photocopy", "halftone", "specks", "noise"])
def test_frame_digit_accepts_rough_digits(kind: str) -> None:
    for i, digit in enumerate(digits_to_distort()):
        image = 1 - rough(kind, digit, np.random.default_rng(i))
        assert likeness(frame_digit(image), digit) > 0.75


@pytest.mark.parametrize("step", [7, 9, 12])
def test_frame_digit_accepts_dotted_digits(step: int) -> None:
    """A 2 of dots with a diameter of 5 pixels."""
    corners = [(60, 60), (90, 45), (120, 60), (120, 90), (60, 150), (130, 150)]
    image = np.zeros((200, 200))
    y, x = np.indices(image.shape)
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        for part in np.arange(0, 1, step / np.hypot(x1 - x0, y1 - y0)):
            image[np.hypot(x - x0 - part * (x1 - x0), y - y0 - part * (y1 - y0)) < 3] = 1
    line = np.zeros((200, 200))
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        for part in np.arange(0, 1, 0.01):
            line[np.hypot(x - x0 - part * (x1 - x0), y - y0 - part * (y1 - y0)) < 3] = 1
    assert likeness(frame_digit(image), frame_digit(line)) > 0.8


def no_digit(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return an image without a digit."""
    h, w = rng.integers(100, 300, 2)
    blank, noise = np.ones((h, w)), rng.normal(size=(h, w))
    step = int(rng.integers(15, 40))
    box = {"width": 2, "shade": 0.2, "inset": 8}
    return {
        "frame": handwriting.border(blank, **box),
        "white frame": 1 - handwriting.border(blank, **box),
        "double frame": handwriting.border(handwriting.border(blank, **box), 1, 0, inset=14),
        "ruled paper": handwriting.lines(blank, 9, step, 2, 0.3),
        "squared paper": handwriting.lines(blank, 9, step, 1, 0.5, columns=True),
        "Gaussian noise": 0.6 + 0.2 * noise,
        "salt and pepper": np.where(rng.random((h, w)) < 0.05, rng.integers(0, 2, (h, w)), 0.5),
        "few specks": 1.0 - (rng.random((h, w)) < 0.003),
        "texture": 0.6 + 0.2 * np.kron(rng.normal(size=(70, 60)), np.ones((3, 3))),
    }[kind]


KINDS = (
    "frame, white frame, double frame, ruled paper, squared paper, Gaussian noise, "
    "salt and pepper, few specks, texture"
)


@pytest.mark.each_value
@pytest.mark.parametrize("kind", KINDS.split(", "))
@pytest.mark.parametrize("seed", range(4))
def test_frame_digit_rejects_images_without_digits(kind: str, seed: int) -> None:
    image = handwriting.to_bytes(no_digit(kind, np.random.default_rng(seed)))
    with pytest.raises(ValueError, match="image must show a digit"):
        frame_digit(image)


@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_frame_digit_widens_thin_strokes(width: int) -> None:
    """A line of 400 pixels is scaled to 20 x 0.1 to 0.8 pixels, and widened to about 2.4.

    The width is measured at twice the scale of the result, where no line is thinner than a pixel.
    """
    image = np.full((500, 500), 255, np.uint8)
    image[50:450, 100 : 100 + width] = 0
    image[446:450, 100:300] = 0
    middle = frame_digit(image)[10] / 255.0
    assert 1.7 < middle.sum() < 2.7


def test_thin_lines_stay_visible() -> None:
    image = np.full((1000, 1000), 255, np.uint8)
    image[100:900, 500:502] = 0  # 1/20 of a pixel in the result
    assert frame_digit(image).max() == 255


def test_gray_levels_and_paper_shade() -> None:
    half_black = np.array([[[0, 0, 0, 128], [0, 0, 0, 0]]], np.uint8)
    # Black ink on white paper: an ink value of 128/255 leaves 127/255 of white.
    np.testing.assert_allclose(to_grey(half_black), [[127 / 255, 1]], rtol=1e-15)
    # Upper median: the fifth of the 8 sorted border values; corners count twice.
    assert paper_shade(np.array([[0.1, 0.2], [0.3, 0.4]])) == 0.3


@pytest.mark.each_value
@pytest.mark.parametrize("shade", [128, 255])
@pytest.mark.parametrize("thick", [1, 2])
def test_frames_of_small_images_are_removed(thick: int, shade: int) -> None:
    """A frame of 2 pixels covers a quarter of a 28 x 28 image and overlaps some digits."""
    alike = []
    for image in drawn_digits.load_data(n_train=40, n_test=0)[0][0]:
        around = np.full((28, 28), shade, np.uint8)
        around[thick:-thick, thick:-thick] = image[thick:-thick, thick:-thick]
        large = np.kron(np.pad(image, 4), np.ones((4, 4), np.uint8))
        pair = [frame_digit(each).ravel().astype(float) for each in (around, large)]
        alike.append(np.corrcoef(pair)[0, 1])
    assert np.mean(np.array(alike) > 0.8) >= 0.8, np.sort(alike)
