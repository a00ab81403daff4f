"""Every example runs unmodified in a new process and folder."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import HUNG
from tinynet.datasets import drawn_digits

ROOT = Path(__file__).parents[1]
Run = Callable[[Path], tuple[str, Path]]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SLOW = ("11_grid_search", "12_on_to_keras_jax")  # they start processes or import JAX
EVERYDAY = ("02_one_step_by_hand",)


def write_small_mnist(folder: Path, n_train: int, n_test: int) -> None:
    """Write a small MNIST of synthetic digits to a folder for TINYNET_DATA."""
    train, test = drawn_digits.load_data(n_train=n_train, n_test=n_test)
    names = "x_train", "y_train", "x_test", "y_test"
    (folder / "mnist").mkdir()
    np.savez(folder / "mnist" / "mnist.npz", **dict(zip(names, (*train, *test), strict=True)))


@pytest.fixture(scope="module")
def tiny_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder for TINYNET_DATA with a small MNIST of synthetic digits."""
    folder = tmp_path_factory.mktemp("data")
    write_small_mnist(folder, 600, 100)
    # Fashion-MNIST is replaced as well, so that nothing is downloaded.
    (folder / "fashion_mnist").mkdir()
    shutil.copy(folder / "mnist" / "mnist.npz", folder / "fashion_mnist" / "fashion_mnist.npz")
    return folder


@pytest.fixture(scope="module")
def run(tiny_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run an example once; return its output and its working folder."""

    @functools.cache
    def run_once(path: Path) -> tuple[str, Path]:
        folder = tmp_path_factory.mktemp(path.stem)
        environment = {
            **os.environ,
            "TINYNET_DATA": str(tiny_mnist),
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
        }
        process = subprocess.run(
            [sys.executable, "-W", "error", str(path)],
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=HUNG,
        )
        assert process.returncode == 0, process.stderr
        # Workers and JAX may print unrelated warnings, for example on a slow machine.
        assert path.stem in SLOW or process.stderr == ""
        return process.stdout, folder

    return run_once


def test_examples_exist() -> None:
    assert EXAMPLES


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem in EVERYDAY else pytest.mark.slow)
        for path in EXAMPLES
    ],
)
def test_example_runs(path: Path, run: Run) -> None:
    assert run(path)[0]


@pytest.mark.slow
def test_grid_search(run: Run) -> None:
    output, _ = run(ROOT / "examples" / "11_grid_search.py")
    assert output.count("Scores are identical: True") == 2
    found = re.search(r"^Test accuracy: (0\.\d+)$", output, re.M)
    assert found
    assert float(found[1]) > 0.93


@pytest.mark.slow
def test_keras_on_jax_example(run: Run) -> None:
    output, _ = run(ROOT / "examples" / "12_on_to_keras_jax.py")
    if output.startswith("Skipped: "):
        pytest.skip(output)
    assert "2 devices" in output
    # The example itself asserts equal losses and weights.
    assert re.search(r"^Largest difference between weights: +\d\.\de-0[5-9]$", output, re.M)


@pytest.mark.slow
def test_train_mnist(run: Run) -> None:
    output, folder = run(ROOT / "examples" / "01_train_mnist.py")
    # After 95 steps, the accuracy is well below the 97% of MNIST and well above the 10% of random
    # guessing.
    found = re.search(r"^Test accuracy: (0\.\d{4})$", output, re.M)
    assert found
    assert float(found[1]) > 0.5
    assert (folder / "predictions.png").read_bytes().startswith(b"\x89PNG")
    text = (ROOT / "examples" / "01_train_mnist.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 25


def test_one_step_by_hand(run: Run) -> None:
    output, _ = run(ROOT / "examples" / "02_one_step_by_hand.py")
    shapes = dict(re.findall(r"^  (\w+) +(\([\d, ]+\)) ", output, re.M))
    expected = {"x": "(32, 784)", "hidden": "(32, 128)", "logits": "(32, 10)"}
    assert {name: shapes[name] for name in expected} == expected
    for name in ("kernel_1", "bias_1", "kernel_2", "bias_2", "z", "hidden", "logits"):
        assert shapes[f"d_{name}"] == shapes[name]
    losses = [float(value) for value in re.findall(r"^Loss .*: +(\d\.\d{4})$", output, re.M)]
    # One Adam step on a batch reduces the loss of that batch.
    assert losses[1] < losses[0] - 0.1
