"""Comparison of `TinyNetClassifier` with scikit-learn's ``MLPClassifier``: time and accuracy.

``python -m benchmarks.sklearn_estimator`` fits both with the same arguments to scikit-learn's
digits and to MNIST (or synthetic digits if it is not available). The fits alternate, and each round
uses a different seed. tinynet uses one thread; ``MLPClassifier`` is measured with the default
number of BLAS threads and with one, which is faster on a busy machine. The program writes
``sklearn_estimator.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.harness import described, origin, parse
from benchmarks.problem import load_digits as load_mnist
from benchmarks.result_files import positive, save
from tinynet._core.text_tables import Table

try:
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    from tinynet.sklearn import TinyNetClassifier
except ImportError as error:
    raise SystemExit(f"error: scikit-learn must be installed. Received: {error}") from error

# Class, and maximum number of BLAS threads.
KINDS: dict[str, tuple[Any, int | None]] = {
    "tinynet": (TinyNetClassifier, None),
    "scikit-learn": (MLPClassifier, None),
    "scikit-learn, one thread": (MLPClassifier, 1),
}
# MNIST is trained in float32; scikit-learn's digits have the dtype float64.
DIGITS = {"hidden_layer_sizes": (64,), "max_iter": 100, "learning_rate_init": 0.003}
MNIST = {"hidden_layer_sizes": (128,), "max_iter": 5, "batch_size": 32}


def digits() -> Any:
    """Return the digits of scikit-learn, with pixels from 0 to 1."""
    x, y = load_digits(return_X_y=True)
    return train_test_split(x / 16, y, test_size=0.25, random_state=0, stratify=y)


def mnist(images: int) -> tuple[str, Any]:
    """Return the name of the data, and MNIST or synthetic digits as rows."""
    name, ((x, y), (x_test, y_test)) = load_mnist(images)
    rows = [part.reshape(len(part), 784) / np.float32(255) for part in (x[:images], x_test)]
    return name, (rows[0], rows[1], y[:images], y_test)


def measure(
    data: Any, settings: dict[str, Any], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Fit all classes in turn; return time in seconds and test accuracy of each round."""
    x, x_test, y, y_test = data
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in KINDS}
    warnings.simplefilter("ignore", ConvergenceWarning)
    # Compilation is not timed, because kernels are cached on disk.
    TinyNetClassifier(**settings).set_params(max_iter=1).fit(x[:500], y[:500])
    for seed in range(rounds):
        for name in list(KINDS)[:: -1 if seed % 2 else 1]:
            kind, threads = KINDS[name]
            net = kind(**settings, random_state=seed)
            with threadpool_limits(threads):
                start = time.perf_counter()
                net.fit(x, y)
                seconds = time.perf_counter() - start
            found[name].append((seconds, net.score(x_test, y_test)))
    return found


def main(arguments: list[str] | None = None) -> None:
    """Compute, print and write the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sklearn_estimator", description=__doc__
    )
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--images", type=positive, default=60000, help="training images of MNIST")
    options = parse(parser, arguments, timed=True)
    about = ("sklearn_estimator", "numpy", "numba", "scikit-learn")
    before = origin(*about, force=options.force)
    name, large = mnist(options.images)
    records, rows = [], []
    for task, data, settings in (
        ("scikit-learn's digits", digits(), DIGITS),
        (f"{name}, {len(large[0]):,} images", large, MNIST),
    ):
        found = measure(data, settings, options.rounds)
        for kind, rounds in found.items():
            seconds, scores = np.array(rounds).T
            spread = f"{np.median(seconds):.2f} ({seconds.min():.2f} to {seconds.max():.2f})"
            ratio = np.median([a[0] / b[0] for a, b in zip(rounds, found["tinynet"], strict=True)])
            rows.append([task, kind, spread, f"{ratio:.1f}", f"{scores.mean():.4f}"])
            figures = {"seconds": seconds.tolist(), "accuracy": scores.tolist()}
            records.append({"task": task, "kind": kind, "settings": settings, **figures})
    header = ["data", "estimator", "fit time (s)", "relative to tinynet", "test accuracy"]
    note = f"{options.rounds} rounds; median (range); the ratio is the median over the rounds; "
    note += f"{described(before)}."
    table = Table("TinyNetClassifier and MLPClassifier", header, rows, note, (0, 1))
    print(table)
    path = options.out / "sklearn_estimator.json"
    save({**before, "data": name, "records": records}, path)
    report.write_table(path.with_suffix(".md"), table)
    print(f"Wrote {path} and .md.")


if __name__ == "__main__":
    main()
