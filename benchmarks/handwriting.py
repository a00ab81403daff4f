"""Robustness of a model to images that do not have the format of MNIST.

``python -m benchmarks.handwriting MODEL`` places MNIST test digits on pages, applies one distortion
at a time (frames, specks, gray paper, gradients, shadows, ruled lines), preprocesses the images
with `frame_digit`, and prints the accuracy of the model for each distortion. With ``--scans FILE``
it also evaluates scans of handwriting: an ``.npz`` file with ``images`` (N, H, W), ``sizes`` (N, 2)
and ``labels`` (N,). ``--sheet FILE`` writes a PNG file with the misclassified scans: as scanned, as
framed, and the true and predicted digits. Images that `frame_digit` rejects count as mistakes.

Without a model, ``python -m benchmarks.handwriting --scans FILE`` runs ``tinynet train`` with and
without ``--augment``, and writes the accuracies to ``handwriting.json``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import tinynet as keras
from benchmarks.harness import origin, parse
from benchmarks.problem import require_mnist
from benchmarks.result_files import ResultsError, at_least, output_file, positive, save
from tinynet import cli
from tinynet.datasets import augment_digits, frame_digit

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Distortion = Callable[[Bytes, np.random.Generator], Any]


def enlarge(digit: Bytes, side: int) -> Floats:
    """Scale a 28 x 28 digit to a square (bilinear interpolation), with values from 0 to 1."""
    at = np.clip((np.arange(side) + 0.5) * 28 / side - 0.5, 0, 27)
    low = np.minimum(at.astype(int), 26)
    part = at - low
    image = digit / 255.0
    rows = image[low] * (1 - part)[:, None] + image[low + 1] * part[:, None]
    return np.asarray(rows[:, low] * (1 - part) + rows[:, low + 1] * part)


def page(
    digit: Bytes,
    rng: np.random.Generator,
    side: int = 112,
    shape: tuple[int, int] = (160, 160),
    place: tuple[int, int] | None = None,
    paper: float = 1.0,
    ink: float = 0.0,
) -> Floats:
    """Place an enlarged digit on a uniform page, by default at a random position."""
    strength = np.zeros(shape)
    top, left = place or (int(rng.integers(0, n - side + 1)) for n in shape)
    strength[top : top + side, left : left + side] = enlarge(digit, side)
    return np.asarray(paper + (ink - paper) * strength)


def tight(digit: Bytes) -> Bytes:
    """Crop a digit to its ink."""
    rows, columns = np.nonzero(digit)
    return digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def corner(digit: Bytes, rng: np.random.Generator) -> Bytes:
    """Move a digit to a random corner of its 28 x 28 pixels."""
    cut = tight(digit)
    moved = np.zeros_like(digit)
    moved[: cut.shape[0], : cut.shape[1]] = cut
    flips = rng.integers(0, 2, 2)
    return np.roll(moved, tuple(flips * (28 - np.array(cut.shape))), (0, 1))


def filling(digit: Bytes, rng: np.random.Generator) -> Bytes:
    """Enlarge a digit until its longer side fills 28 pixels."""
    cut = tight(digit)
    square = np.zeros((max(cut.shape),) * 2, np.uint8)
    top, left = (np.array(square.shape) - cut.shape) // 2
    square[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    n = len(square)
    index = (np.arange(28) * n) // 28
    return square[np.ix_(index, index)]


def border(image: Floats, width: int, shade: float, sides: str = "tblr", inset: int = 0) -> Floats:
    """Draw a frame, or some of its sides, `inset` pixels from the edge."""
    image = image.copy()
    end_y, end_x = image.shape[0] - inset, image.shape[1] - inset
    parts = {
        "t": np.s_[inset : inset + width, inset:end_x],
        "b": np.s_[end_y - width : end_y, inset:end_x],
        "l": np.s_[inset:end_y, inset : inset + width],
        "r": np.s_[inset:end_y, end_x - width : end_x],
    }
    for side in sides:
        image[parts[side]] = shade
    return image


def gradient(
    image: Floats, rng: np.random.Generator, size: float, angle: float | None = None
) -> Floats:
    """Subtract a linear gradient of height `size`, by default in a random direction."""
    angle = rng.uniform(0, 2 * np.pi) if angle is None else angle
    y, x = np.mgrid[-0.5 : 0.5 : image.shape[0] * 1j, -0.5 : 0.5 : image.shape[1] * 1j]  # type: ignore[misc]
    slope = np.cos(angle) * x + np.sin(angle) * y
    slope = (slope - slope.min()) / np.ptp(slope)
    return np.asarray(image - size * slope)


def shadow(image: Floats, rng: np.random.Generator, size: float, soft: float) -> Floats:
    """Darken the page on one side of a random line by the factor 1 - size, with a soft edge."""
    angle = rng.uniform(0, 2 * np.pi)
    h, w = image.shape
    y, x = np.mgrid[0:h, 0:w]
    away = np.cos(angle) * (x - w * rng.uniform(0.3, 0.7)) + np.sin(angle) * (
        y - h * rng.uniform(0.3, 0.7)
    )
    return np.asarray(image * (1 - size / (1 + np.exp(-np.clip(away / soft, -50, 50)))))


def vignette(image: Floats, size: float) -> Floats:
    """Darken the corners of a photo."""
    y, x = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]  # type: ignore[misc]
    return np.asarray(image * (1 - size * (x**2 + y**2) / 2))


def blob(image: Floats, rng: np.random.Generator, count: int, radius: int, shade: float) -> Floats:
    """Draw round specks at random positions."""
    image = image.copy()
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    for _ in range(count):
        cy, cx = rng.uniform(0, image.shape[0]), rng.uniform(0, image.shape[1])
        image[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = shade
    return image


def thin(digit: Bytes, rng: np.random.Generator, width: int, side: int = 224) -> Floats:
    """Draw a digit with a thin pen, along the skeleton of its strokes."""
    strength = enlarge(digit, side) > 0.5
    left = np.pad(strength, 1)
    # Thinning algorithm of Zhang and Suen.
    while True:
        removed = 0
        for odd in (0, 1):
            p = [
                left[1 + dy : left.shape[0] - 1 + dy, 1 + dx : left.shape[1] - 1 + dx]
                for dy, dx in (
                    (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1),
                )
            ]  # fmt: skip
            around = sum(q.astype(int) for q in p)
            turns = sum((~p[i] & p[(i + 1) % 8]).astype(int) for i in range(8))
            n, e, s, w = p[0], p[2], p[4], p[6]
            sides = ~(n & e & s) & ~(e & s & w) if odd == 0 else ~(n & e & w) & ~(n & s & w)
            goes = left[1:-1, 1:-1] & (around >= 2) & (around <= 6) & (turns == 1) & sides
            left[1:-1, 1:-1] &= ~goes
            removed += int(goes.sum())
        if not removed:
            break
    line = left[1:-1, 1:-1]
    for _ in range(width - 1):
        padded = np.pad(line, ((0, 1), (0, 1)))
        line = padded[:-1, :-1] | padded[1:, :-1] | padded[:-1, 1:] | padded[1:, 1:]
    image = np.ones((300, 300))
    top, left_at = rng.integers(0, 300 - side, 2)
    image[top : top + side, left_at : left_at + side] -= line
    return image


def grain(image: Floats, rng: np.random.Generator, size: float) -> Floats:
    """Add noise to every pixel."""
    return np.asarray(image + rng.normal(0, size, image.shape))


def lines(
    image: Floats, first: int, step: int, width: int, shade: float, *, columns: bool = False
) -> Floats:
    """Draw ruled lines under the ink."""
    ruled = image.copy()
    for at in range(first, image.shape[0], step):
        ruled[at : at + width] = np.minimum(ruled[at : at + width], shade)
    if columns:
        for at in range(first, image.shape[1], step):
            ruled[:, at : at + width] = np.minimum(ruled[:, at : at + width], shade)
    return ruled


def slanted(
    image: Floats, slope: float, step: int, width: int, shade: float, *, columns: bool = False
) -> Floats:
    """Draw ruled lines under the ink, as on a page that was scanned with a rotation."""
    y, x = np.indices(image.shape)
    if columns:
        y, x = x, -y
    on_line = (y - 5 + np.rint(slope * x)) % step < width
    return np.where(on_line, np.minimum(image, shade), image)


def table(image: Floats, rng: np.random.Generator, size: float) -> Floats:
    """Show a dark table at one side of the page, whose edge is slanted."""
    turns = int(rng.integers(4))
    turned = np.rot90(image, turns)
    y, x = np.indices(turned.shape) / np.reshape(turned.shape, (2, 1, 1))
    return np.asarray(
        np.rot90(np.where(y < size + rng.uniform(-0.03, 0.03) * x, 0.25, turned), -turns)
    )


def rgba(digit: Bytes, shade: int, hidden: int) -> Bytes:
    """Draw a digit in gray level `shade` on transparent pixels of gray level `hidden`."""
    strength = np.rint(enlarge(digit, 112) * 255).astype(np.uint8)
    color = np.where(strength > 0, shade, hidden).astype(np.uint8)
    return np.dstack([color, color, color, strength])


def to_bytes(image: Floats) -> Bytes:
    """Convert values from 0 to 1 to uint8, with clipping."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def inner(d: Bytes, r: np.random.Generator, **kw: Any) -> Floats:
    """Place a digit with a margin around it."""
    place = tuple(int(v) for v in r.integers(16, 32, 2))
    return page(d, r, place=(place[0], place[1]), **kw)


DISTORTIONS: dict[str, Distortion] = {
    "MNIST as it is": lambda d, r: d,
    "MNIST inverted": lambda d, r: 255 - d,
    "black on white page": lambda d, r: page(d, r),
    "white on black page": lambda d, r: page(d, r, paper=0, ink=1),
    "small on a large page": lambda d, r: page(d, r, side=60, shape=(400, 600)),
    "large photo": lambda d, r: page(d, r, side=700, shape=(1200, 1600)),
    "wide page": lambda d, r: page(d, r, shape=(120, 400)),
    "tall page": lambda d, r: page(d, r, shape=(400, 120)),
    "light gray paper": lambda d, r: page(d, r, paper=0.75, ink=0.2),
    "dark gray paper, white ink": lambda d, r: page(d, r, paper=0.3, ink=0.95),
    "dark gray paper, black ink": lambda d, r: page(d, r, paper=0.35, ink=0.0),
    "pale pencil": lambda d, r: page(d, r, paper=0.95, ink=0.7),
    "28x28, paper 40": lambda d, r: np.maximum(d, 40),
    "28x28, paper 100": lambda d, r: (100 + d * 0.6).astype(np.uint8),
    "28x28, paper 200, dark ink": lambda d, r: (200 - d * 0.7).astype(np.uint8),
    "28x28, in a corner": corner,
    "28x28, in a corner, inverted": lambda d, r: 255 - corner(d, r),
    "28x28, enlarged to the edges": filling,
    "28x28, enlarged to the edges, inverted": lambda d, r: 255 - filling(d, r),
    "cropped to the ink": lambda d, r: tight(d),
    "cropped to the ink, inverted": lambda d, r: 255 - tight(d),
    "cropped, large": lambda d, r: np.kron(255 - tight(d), np.ones((6, 6), np.uint8)),
    "frame 1, gray, on black": lambda d, r: border(page(d, r, paper=0, ink=1), 1, 0.5),
    "frame 1, black, on white": lambda d, r: border(page(d, r), 1, 0.0),
    "frame 1, white, on black": lambda d, r: border(page(d, r, paper=0, ink=1), 1, 1.0),
    "frame 1, white, on gray": lambda d, r: border(page(d, r, paper=0.7), 1, 1.0),
    "frame 1, black, on dark gray": lambda d, r: border(page(d, r, paper=0.3, ink=1), 1, 0),
    "frame 4, black, on white": lambda d, r: border(inner(d, r), 4, 0.0),
    "frame 8, black, on white": lambda d, r: border(inner(d, r), 8, 0.0),
    "frame 1, two sides": (
        lambda d, r: border(inner(d, r), 1, 0.0, "".join(r.permutation(list("tblr"))[:2]))
    ),
    "frame 3, one side": lambda d, r: border(inner(d, r), 3, 0.0, "tblr"[r.integers(4)]),
    "frame double": lambda d, r: border(border(inner(d, r), 1, 0.0), 1, 0.0, inset=4),
    "frame double, gray, on black": (
        lambda d, r: border(border(inner(d, r, paper=0, ink=1), 2, 0.6), 1, 0.6, inset=5)
    ),
    "28x28, frame 1 gray": lambda d, r: to_bytes(border(d / 255.0, 1, 0.5)),
    "28x28, frame 1 white": lambda d, r: to_bytes(border(d / 255.0, 1, 1.0)),
    "28x28, inverted, frame 1 black": lambda d, r: to_bytes(border(1 - d / 255.0, 1, 0.0)),
    "box 1": lambda d, r: border(inner(d, r), 1, 0.0, inset=9),
    "box 3": lambda d, r: border(inner(d, r), 3, 0.0, inset=9),
    "box 2, gray": lambda d, r: border(inner(d, r), 2, 0.5, inset=9),
    "box 2, white on black": lambda d, r: border(inner(d, r, paper=0, ink=1), 2, 1.0, inset=9),
    "box 2, small digit": (
        lambda d, r: border(page(d, r, side=60, place=(50, 50)), 2, 0.0, inset=20)
    ),
    "box 2, touched by digit": lambda d, r: border(page(d, r, place=(24, 24)), 2, 0.0, inset=30),
    "box without upper side": lambda d, r: border(inner(d, r), 2, 0.0, "blr", inset=9),
    "grid of cells": (
        lambda d, r: lines(page(d, r, side=100, place=(30, 30)), 15, 125, 2, 0.0, columns=True)
    ),
    "grid of cells, gray": (
        lambda d, r: lines(page(d, r, side=100, place=(30, 30)), 15, 125, 2, 0.6, columns=True)
    ),
    "ruled, gray": lambda d, r: lines(page(d, r), 20, 40, 1, 0.6),
    "ruled, black": lambda d, r: lines(page(d, r), 30, 60, 2, 0.0),
    "squared paper, pale": lambda d, r: lines(page(d, r), 10, 20, 1, 0.75, columns=True),
    "ruled, rotated": lambda d, r: slanted(page(d, r), r.uniform(-0.08, 0.08), 40, 2, 0.5),
    "ruled, gradient": lambda d, r: gradient(lines(page(d, r, ink=0.2), 20, 36, 2, 0.82), r, 0.2),
    "grid of cells, rotated": (
        lambda d, r: slanted(
            slanted(inner(d, r), 0.05, 145, 2, 0.0), 0.05, 145, 2, 0.0, columns=True
        )
    ),
    "underlined": lambda d, r: border(page(d, r, place=(10, 24)), 2, 0.0, "b", inset=16),
    "gradient 0.3": lambda d, r: gradient(page(d, r), r, 0.3),
    "gradient 0.5": lambda d, r: gradient(page(d, r), r, 0.5),
    "gradient 0.3, gray ink": lambda d, r: gradient(page(d, r, ink=0.5), r, 0.3),
    "gradient 0.3, white on black": lambda d, r: gradient(page(d, r, paper=0.3, ink=1), r, 0.3),
    "gradient 0.3, small": lambda d, r: gradient(page(d, r, side=60), r, 0.3),
    "gradient 0.3, 28x28": lambda d, r: to_bytes(gradient(1 - d / 255.0, r, 0.3)),
    "gradient 0.5, 28x28": lambda d, r: to_bytes(gradient(1 - 0.9 * d / 255.0, r, 0.5)),
    "shadow 0.3, sharp": lambda d, r: shadow(page(d, r), r, 0.3, 1),
    "shadow 0.5, sharp": lambda d, r: shadow(page(d, r), r, 0.5, 1),
    "shadow 0.5, soft": lambda d, r: shadow(page(d, r), r, 0.5, 15),
    "shadow 0.5, gray ink": lambda d, r: shadow(page(d, r, ink=0.4), r, 0.5, 8),
    "vignette 0.5": lambda d, r: vignette(page(d, r), 0.5),
    "grain 0.05": lambda d, r: grain(page(d, r, paper=0.85, ink=0.2), r, 0.05),
    "grain 0.1": lambda d, r: grain(page(d, r, paper=0.85, ink=0.2), r, 0.1),
    "photo: gradient, grain, frame": (
        lambda d, r: border(grain(gradient(inner(d, r, paper=0.9), r, 0.3), r, 0.03), 1, 0.0)
    ),
    "one dark pixel, gray digit": lambda d, r: blob(page(d, r, ink=0.7), r, 1, 0, 0.0),
    "specks, gray digit": lambda d, r: blob(page(d, r, ink=0.6), r, 6, 2, 0.0),
    "spots, black digit": lambda d, r: blob(page(d, r), r, 3, 5, 0.0),
    "specks, black digit": lambda d, r: blob(page(d, r), r, 10, 2, 0.0),
    "light specks, dark paper": lambda d, r: blob(page(d, r, paper=0, ink=0.6), r, 6, 2, 1.0),
    "28x28, one white pixel": lambda d, r: to_bytes(blob(d / 510.0, r, 1, 0, 1.0)),
    "thin pen 1 of 224": lambda d, r: thin(d, r, 1),
    "thin pen 3 of 224": lambda d, r: thin(d, r, 3),
    "thin pen 6 of 224": lambda d, r: thin(d, r, 6),
    "thin pen 12 of 224": lambda d, r: thin(d, r, 12),
    "photo: shadow, grain": (
        lambda d, r: grain(
            shadow(page(d, r, side=90, shape=(300, 400), paper=0.8, ink=0.3), r, 0.35, 8), r, 0.02
        )
    ),
    "dark table, touched by digit": (
        lambda d, r: table(page(d, r, shape=(112, 112))[6:-6, 6:-6], r, 0.07)
    ),
    "dark table, gray ink": lambda d, r: table(inner(d, r, paper=0.8, ink=0.3), r, 0.06),
    "RGBA, black on transparent": lambda d, r: rgba(d, 0, 0),
    "RGBA, black on transparent white": lambda d, r: rgba(d, 0, 255),
    "RGBA, white on transparent": lambda d, r: rgba(d, 255, 0),
    "LA, gray on transparent": lambda d, r: rgba(d, 120, 0)[:, :, 2:],
}  # fmt: skip


def read(model: Any, images: list[Any]) -> tuple[NDArray[np.int64], int, Bytes]:
    """Classify images; return predictions (-1 if rejected), number of rejections, framed images."""
    framed = np.zeros((len(images), 28, 28), np.uint8)
    refused = np.zeros(len(images), bool)
    for i, image in enumerate(images):
        try:
            framed[i] = frame_digit(image)
        except ValueError:
            refused[i] = True
    predictions = np.argmax(model.predict(framed / np.float32(255), verbose=0), axis=1)
    return np.where(refused, -1, predictions), int(refused.sum()), framed


def write_sheet(path: Path, scans: list[Any], framed: Bytes, true: Any, found: Any) -> None:
    """Plot the misclassified scans and their framed images, with the true and predicted digits."""
    wrong = np.flatnonzero(found != true)
    columns = 8
    rows = max(-(-len(wrong) // columns), 1)
    shape = {"nrows": rows, "ncols": 2 * columns}
    figure = Figure(figsize=(2 * columns, 1.3 * rows), layout="constrained")
    axes = figure.subplots(**shape, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for i, (left, right) in zip(wrong, axes.reshape(-1, 2), strict=False):
        left.imshow(scans[i], cmap="gray")
        right.imshow(framed[i], cmap="gray")
        left.set_title(f"{i}: {true[i]}")
        right.set_title(f"-> {found[i]}" if found[i] >= 0 else "rejected")
    figure.savefig(path)


def scanned(text: str) -> tuple[list[Any], Any]:
    """Read scans and their labels, for argparse."""
    try:
        with np.load(text) as file:
            pages = zip(file["images"], file["sizes"], strict=True)
            return [image[:height, :width] for image, (height, width) in pages], file["labels"]
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ResultsError(f"must be a file of scans. Received: {text} ({error})") from None


def by_digit(found: Any, true: Any) -> list[float]:
    """Compute the accuracy for each digit."""
    return [float(np.mean(found[true == digit] == digit)) for digit in range(10)]


def write_results(scans: tuple[list[Any], Any], out: Path, force: bool) -> None:
    """Train with and without ``--augment``, and write the results."""
    about = origin("handwriting", "numpy", "numba", force=force)
    result = {**about, "data": "MNIST", "networks": {}}
    images, true = scans
    for option in ([], ["--augment"]):
        with tempfile.TemporaryDirectory() as folder:
            if cli.main(["train", "--data", "mnist", "--no-plots", "--out", folder, *option]):
                raise SystemExit(1)
            model = keras.models.load_model(Path(folder, "model.tinynet"))
            about = json.loads(Path(folder, "history.json").read_text(encoding="utf-8"))
        found, rejected, _ = read(model, images)
        result["networks"][" ".join(["tinynet train", *option])] = {
            "test": about["test_accuracy"],
            "scans": float(np.mean(found == true)),
            "rejected": rejected,
            "digits": by_digit(found, true),
        }
    (x, y), _ = keras.datasets.mnist.load_data()
    start = time.perf_counter()
    varied = augment_digits(x) / np.float32(255)
    middle = time.perf_counter()
    model.fit(varied, y, verbose=0)
    result["seconds"] = {"variations": middle - start, "epoch": time.perf_counter() - middle}
    save(result, out / "handwriting.json")
    print(f"{json.dumps(result, indent=1)}\nWrote handwriting.json to {out}.")


def main(arguments: list[str] | None = None) -> None:
    """Print the accuracy for each distortion, or write the results of both networks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.handwriting", description=__doc__)
    parser.add_argument("model", nargs="?", help="path of a model saved by tinynet train")
    parser.add_argument("--digits", type=positive, default=300, help="test images per distortion")
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of the distortions")
    parser.add_argument("--scans", type=scanned, help=".npz file of scans")
    parser.add_argument("--sheet", type=output_file, help="PNG file for the misclassified scans")
    parser.add_argument("--only", default="", help="only distortions with this text in their name")
    options = parse(
        *(parser, arguments, ("scans",)),
        timed=True,
        writes=lambda given: given.scans and not given.model,
    )
    if options.model is None:
        if options.scans is None:
            parser.error("a model or --scans is required")
        write_results(options.scans, options.out, options.force)
        return
    if options.sheet and not options.scans:
        parser.error("--sheet requires --scans")
    if not any(options.only in name for name in DISTORTIONS):
        parser.error(f"--only must match the name of a distortion. Received: {options.only}")
    try:
        require_mnist()
        model = keras.models.load_model(options.model)
    except (ResultsError, OSError, ValueError) as error:
        parser.error(str(error))
    _, (digits, labels) = keras.datasets.mnist.load_data()
    chosen = np.random.default_rng(options.seed).permutation(len(digits))[: options.digits]
    print(f"{'distortion':36} accuracy      rejected")
    rates = []
    for i, (name, distort) in enumerate(DISTORTIONS.items()):
        if options.only not in name:
            continue
        rng = np.random.default_rng([options.seed, i])
        images = [distort(digits[n], rng) for n in chosen]
        images = [to_bytes(m) if m.dtype == np.float64 else m for m in images]
        found, refused, _ = read(model, images)
        rates.append(float(np.mean(found == labels[chosen])))
        print(f"{name:36} {rates[-1]:8.1%} {refused:13}", flush=True)
    if rates:
        print(f"{'mean':36} {np.mean(rates):8.1%}")
    if options.scans:
        cut, true = options.scans
        found, refused, framed = read(model, cut)
        print(f"{'scans':36} {np.mean(found == true):8.1%} {refused:13}")
        by = "  ".join(f"{d}: {rate:.0%}" for d, rate in enumerate(by_digit(found, true)))
        print(f"  by digit: {by}")
        if options.sheet:
            write_sheet(options.sheet, cut, framed, true, found)


if __name__ == "__main__":
    main()
