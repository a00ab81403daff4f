"""Comparison of the distributions of test accuracies of tinynet and Keras over random seeds.

``python -m benchmarks.seeds`` trains the 784-128-10 network in tinynet and in Keras with ten seeds
each, on MNIST (or synthetic digits if it is not available), and compares the test accuracies: mean,
standard deviation, and the p-value of a permutation test for the difference of the means. It writes
``seeds.json``, ``.md`` and ``.png``. ``--images`` reduces the running time, most of which is spent
on Keras.
"""

from __future__ import annotations

import argparse
import itertools
import os
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tinynet
from benchmarks import report
from benchmarks.harness import described, origin, parse
from benchmarks.problem import load_digits, main_network
from benchmarks.result_files import positive, save
from tinynet._core.text_tables import Table
from tinynet.repeats import Repeats
from tinynet.visualize import plot_runs

Floats = NDArray[np.float64]


def in_keras(data: Any, seeds: list[int], **options: Any) -> Repeats:
    """Train in Keras with several seeds, and return results like those of `tinynet.repeat`."""
    import keras

    (x, y), (x_test, y_test) = data
    runs = []
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        model = main_network(keras)
        model.fit(x, y, verbose=0, **options)
        figures = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
        runs.append({name: float(value) for name, value in figures.items()})
        print(f"Keras, seed {seed}: {runs[-1]['accuracy']:.4f}", flush=True)
    return Repeats(seeds, runs)


def chance(a: Floats, b: Floats) -> float:
    """Compute the two-sided p-value of Fisher's permutation test for the difference of means.

    The test does not assume a distribution. It uses all permutations of up to 20 values, and
    100,000 random ones otherwise.
    """
    both, n = np.concatenate([a, b]), len(a)
    if len(both) <= 20:
        chosen = np.array(list(itertools.combinations(range(len(both)), n)))
    else:
        chosen = np.random.default_rng(0).random((100_000, len(both))).argsort(axis=1)[:, :n]
    sums = both[chosen].sum(axis=1)
    apart = np.abs(sums / n - (both.sum() - sums) / len(b))
    return float(np.mean(apart >= abs(a.mean() - b.mean()) - 1e-12))


def load(images: int) -> tuple[str, Any]:
    """Return the name of the data, and MNIST or synthetic digits with pixels from 0 to 1."""
    name, ((x, y), (x_test, y_test)) = load_digits(images)
    scale = np.float32(255)
    return name, ((x[:images] / scale, y[:images]), (x_test / scale, y_test))


def main(arguments: list[str] | None = None) -> None:
    """Compute, print and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description=__doc__)
    parser.add_argument("--seeds", type=positive, default=10)
    parser.add_argument("--epochs", type=positive, default=5)
    parser.add_argument("--batch-size", type=positive, default=32)
    parser.add_argument("--images", type=positive, default=60000, help="training images")
    parser.add_argument("--jobs", type=positive, default=None, help="parallel fits of tinynet")
    options = parse(parser, arguments, free=["jobs"])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    if not (find_spec("keras") and find_spec("tensorflow")):  # imported after tinynet has trained
        parser.error("Keras and TensorFlow must be installed")
    before = origin("seeds", "numpy", "numba", "keras", "tensorflow")
    name, data = load(options.images)
    seeds = list(range(options.seeds))
    settings = {"epochs": options.epochs, "batch_size": options.batch_size}
    runs = {
        "tinynet": tinynet.repeat(
            lambda: main_network(tinynet), data, seeds, n_jobs=options.jobs, **settings
        ),
        "Keras": in_keras(data, seeds, **settings),
    }
    accuracies = {kind: each.values("accuracy") for kind, each in runs.items()}
    probability = chance(*accuracies.values())
    rows = []
    for kind, each in runs.items():
        mean, spread, found = each.mean("accuracy"), each.std("accuracy"), accuracies[kind]
        figures = (mean, spread, found.min(), found.max(), each.mean("loss"))
        rows.append([kind, *(f"{figure:.4f}" for figure in figures)])
    source = f"{name}, {len(data[0][0]):,} images"
    title = f"Test accuracy from {options.seeds} seeds"
    header = ["library", "mean", "std", "min", "max", "mean loss"]
    note = f"Permutation test for the difference of the means: p = {probability:.2f}. "
    note += f"Accuracies, {described(before)}."
    table = Table(f"{title}: {source}", header, rows, note)
    print(table)

    result = {
        **before,
        "data": name,
        "images": len(data[0][0]),
        **settings,
        "seeds": seeds,
        "runs": {kind: each.runs for kind, each in runs.items()},
        "chance": probability,
    }
    save(result, options.out / "seeds.json")
    report.write_table(options.out / "seeds.md", table)
    figure = plot_runs(accuracies, title, source)
    figure.axes[0].set_ylabel("test accuracy")
    figure.savefig(options.out / "seeds.png", dpi=150)
    print(f"Wrote seeds.json, .md and .png to {options.out}.")


if __name__ == "__main__":
    main()
