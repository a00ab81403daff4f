"""Quality of the synthetic digits: accuracy on MNIST of a network trained on synthetic digits.

``python -m benchmarks.drawn_digits`` trains a 784-128-10 network on synthetic digits, and evaluates
it on synthetic digits and on the 10,000 test images of MNIST. It also compares both data sets:
examples, the mean image of each class, the fraction of non-zero pixels, and the stroke width. It
writes ``drawn_digits.json`` and ``drawn_digits.png``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tinynet as keras
from benchmarks.harness import origin, parse
from benchmarks.problem import main_network, require_mnist
from benchmarks.result_files import ResultsError, at_least, positive, save

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


def lit_shares(images: Bytes) -> Floats:
    """Compute the fraction of non-zero pixels of each image.

    `images` has shape (N, 28, 28), and the result has shape (N,).
    """
    return np.asarray((images > 0).mean(axis=(1, 2)))


def stroke_widths(images: Bytes) -> Floats:
    """Estimate the mean stroke width of each image in pixels.

    `images` has shape (N, 28, 28), and the result has shape (N,).

    A stroke of length l and width w has the area l w and, ignoring its ends, the perimeter 2 l, so
    w = 2 area / perimeter. Averaged over all directions, the number of pixel edges on a boundary is
    4 / pi times its length (Cauchy-Crofton formula).
    """
    lit = np.pad(images > 127, ((0, 0), (1, 1), (1, 1)))
    edges = np.diff(lit, axis=1).sum(axis=(1, 2)) + np.diff(lit, axis=2).sum(axis=(1, 2))
    return np.asarray(2 * lit.sum(axis=(1, 2)) / (edges * np.pi / 4))


def confusion_matrix(labels: Bytes, predictions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Compute the confusion matrix; rows are labels and columns are predictions."""
    return np.bincount(10 * labels.astype(np.int64) + predictions, minlength=100).reshape(10, 10)


def tile(images: Bytes, columns: int) -> Bytes:
    """Arrange images in a grid with the given number of columns, which must divide N."""
    rows = images.reshape(-1, columns, 28, 28).transpose(0, 2, 1, 3)
    return rows.reshape(rows.shape[0] * 28, columns * 28)


def plot(
    path: Path, drawn: tuple[Bytes, Bytes], mnist: tuple[Bytes, Bytes], mistakes: Bytes, title: str
) -> None:
    """Plot both kinds of digits side by side, and misclassified images of MNIST."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 11), layout="constrained")
    axes = figure.subplot_mosaic(
        [
            ["synthetic", "synthetic", "MNIST", "MNIST"],
            ["synthetic mean", "synthetic mean", "MNIST mean", "MNIST mean"],
            ["lit", "width", "mistakes", "mistakes"],
        ],
        height_ratios=[6, 0.8, 4],
    )
    for name, (images, labels) in (("synthetic", drawn), ("MNIST", mnist)):
        classes = [images[labels == digit] for digit in range(10)]
        samples = np.concatenate([images_of_class[:12] for images_of_class in classes])
        axes[name].imshow(tile(samples, 12), cmap="gray")
        axes[name].set_title(name)
        means = np.stack([c.mean(axis=0).astype(np.uint8) for c in classes])
        axes[f"{name} mean"].imshow(tile(means, 10), cmap="gray")
        axes[f"{name} mean"].set_title(f"{name}: mean image of each class")
        style: dict[str, Any] = {"histtype": "step", "density": True, "label": name}
        axes["lit"].hist(lit_shares(images), bins=np.linspace(0, 0.5, 51).tolist(), **style)
        axes["width"].hist(stroke_widths(images), bins=np.linspace(1, 7, 49).tolist(), **style)
    axes["mistakes"].imshow(tile(mistakes, 20), cmap="gray")
    axes["mistakes"].set_title("Misclassified MNIST test images, by class")
    for name in ("synthetic", "MNIST", "synthetic mean", "MNIST mean", "mistakes"):
        axes[name].set_axis_off()
    axes["lit"].set(title="non-zero pixels", xlabel="fraction of the image", ylabel="density")
    axes["width"].set(title="stroke width", xlabel="pixels")
    axes["lit"].legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=100)


def main(arguments: list[str] | None = None) -> None:
    """Compute, print and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawn_digits", description=__doc__)
    parser.add_argument("--epochs", type=positive, default=5)
    parser.add_argument("--batch-size", type=positive, default=128)
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of network and digits")
    options = parse(parser, arguments)
    try:
        require_mnist()
    except ResultsError as error:
        parser.error(str(error))
    _, mnist = keras.datasets.mnist.load_data()
    before, start = origin("drawn_digits", "numpy", "numba"), time.perf_counter()
    train, drawn = keras.datasets.drawn_digits.load_data(seed=options.seed)
    print(f"Generated or loaded 70,000 digits in {time.perf_counter() - start:.1f} s.")

    keras.utils.set_random_seed(options.seed)
    model, scale = main_network(keras), np.float32(255)
    model.fit(train[0] / scale, train[1], options.batch_size, options.epochs, verbose=0)

    result: dict[str, Any] = {
        **before,
        "network": "784-128-10, trained only on 60,000 synthetic digits",
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "seed": options.seed,
    }
    for name, (images, labels) in (("synthetic", drawn), ("mnist", mnist)):
        predictions = np.argmax(np.asarray(model.predict(images / scale, verbose=0)), axis=1)
        confusion = confusion_matrix(labels, predictions)
        widths = stroke_widths(images)
        result[name] = {
            "test_images": len(labels),
            "accuracy": float(np.mean(predictions == labels)),
            "nonzero_fraction": round(float(lit_shares(images).mean()), 4),
            "stroke_width_mean": round(float(widths.mean()), 3),
            "stroke_width_deviation": round(float(widths.std()), 3),
            "confusion": confusion.tolist(),
        }
        print(f"\n{name}: accuracy {result[name]['accuracy']:.2%} on {len(labels):,} test images")
        print(f"non-zero pixels {result[name]['nonzero_fraction']:.1%}, ", end="")
        print(f"stroke width {widths.mean():.2f} +- {widths.std():.2f} pixels")
        print("label \\ predicted", *(f"{digit:5}" for digit in range(10)))
        for digit, row in enumerate(confusion):
            print(f"{digit:17}", *(f"{count:5}" for count in row))

    wrong = np.flatnonzero(predictions != labels)
    # The first 20 mistakes of each class; black images if there are fewer.
    mistakes = np.zeros((10, 20, 28, 28), np.uint8)
    for digit in range(10):
        chosen = images[wrong[labels[wrong] == digit][:20]]
        mistakes[digit, : len(chosen)] = chosen
    save(result, options.out / "drawn_digits.json")
    plot(
        options.out / "drawn_digits.png",
        drawn,
        mnist,
        mistakes.reshape(-1, 28, 28),
        f"Accuracy of training on synthetic digits: {result['synthetic']['accuracy']:.1%} on "
        f"synthetic test images, {result['mnist']['accuracy']:.1%} on MNIST",
    )
    print(f"\nWrote drawn_digits.json and drawn_digits.png to {options.out}.")


if __name__ == "__main__":
    main()
