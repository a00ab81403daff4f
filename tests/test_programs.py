"""Programs that resemble public code run with Keras and tinynet; only their import lines differ.

The printed output must be equal except for numbers, both must reach a minimum accuracy, and each
library must load the files that were saved with the other. A few synthetic digits replace MNIST.
"""

from __future__ import annotations

import functools
import importlib
import re
import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet
from tests.import_lines import LINES, replace_import_line, replace_imports
from tinynet.datasets import drawn_digits

EXAMPLE = Path(__file__).parents[1] / "examples" / "10_moved_from_keras"
PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
PROGRAMS = [path for path in PROGRAMS if path.stem != "conftest"] + [EXAMPLE / "before.py"]
NAMES = [path.stem for path in PROGRAMS]


@functools.cache
def digits() -> Any:
    return drawn_digits.load_data(n_train=1000, n_test=300)


def few(path: str = "mnist.npz") -> Any:
    return tuple((x.copy(), y.copy()) for x, y in digits())


def run(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a program in a new folder and return the lines that it prints."""
    said: list[str] = []

    def say(*words: Any) -> None:
        said.append(" ".join(map(str, words)))

    folder.mkdir()
    monkeypatch.chdir(folder)
    runpy.run_path(str(path), init_globals={"print": say}, run_name="__main__")
    return said


@pytest.fixture
def on_tinynet(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    for name in ("mnist", "fashion_mnist"):
        monkeypatch.setattr(getattr(tinynet.datasets, name), "load_data", few)
    source = request.param.read_text(encoding="utf-8")
    path = tmp_path / request.param.name
    path.write_text(replace_imports(source), encoding="utf-8")
    said = run(path, tmp_path / "tinynet", monkeypatch)
    tinynet.backend.set_floatx("float32")
    return said


def accuracies(said: list[str]) -> list[float]:
    return [float(line.split(": ")[1]) for line in said if "accuracy: " in line]


def shape(said: list[str]) -> list[str]:
    """Remove accuracies and the number of epochs until early stopping."""
    return [line for line in said if "accuracy: " not in line and not line.startswith("epoch")]


def test_programs_cover_all_import_styles() -> None:
    lines = {line for path in PROGRAMS for line in path.read_text(encoding="utf-8").split("\n")}
    for before, _, example in LINES:
        assert re.fullmatch(before, example)
        assert any(re.fullmatch(before, line) for line in lines), before
    assert len(PROGRAMS) >= 12


def test_example_changes_only_import_lines() -> None:
    before, after = (
        (EXAMPLE / name).read_text(encoding="utf-8") for name in ("before.py", "after.py")
    )
    assert after == replace_imports(before)


def test_only_import_lines_change() -> None:
    assert replace_import_line("x = keras.Input((4,))") == "x = keras.Input((4,))"
    for path in PROGRAMS:
        source = path.read_text(encoding="utf-8")
        ported = replace_imports(source)
        changed = [
            (before, after)
            for before, after in zip(source.split("\n"), ported.split("\n"), strict=True)
            if before != after
        ]
        assert changed
        assert all(before.startswith(("import ", "from ")) for before, _ in changed)
        left = re.findall(r"^\s*(?:import|from) (?:keras|tensorflow).*", ported, re.M)
        assert not left


EVERYDAY = ("by_hand", "functional", "generator", "own_model", "stops_training")


@pytest.mark.parametrize(
    "on_tinynet",
    [pytest.param(p, marks=() if p.stem in EVERYDAY else pytest.mark.wide) for p in PROGRAMS],
    ids=NAMES,
    indirect=True,
)
def test_program_runs_on_tinynet(on_tinynet: list[str]) -> None:
    # Guessing gives 0.1 for ten classes; a thousand digits suffice to learn most of them.
    assert accuracies(on_tinynet)
    assert min(accuracies(on_tinynet)) > 0.5


# ------------------------------------------------------------ comparison with Keras


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")
    from reference.keras_net import keras

    for package in ("keras.datasets", "keras._tf_keras.keras.datasets"):
        for name in ("mnist", "fashion_mnist"):
            monkeypatch.setattr(importlib.import_module(f"{package}.{name}"), "load_data", few)
    yield keras
    keras.backend.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "on_tinynet"), [(path, path) for path in PROGRAMS], ids=NAMES, indirect=["on_tinynet"]
)
def test_program_matches_keras(
    path: Path, on_tinynet: list[str], keras: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from Keras, about input_shape and .h5
        on_keras = run(path, tmp_path / "keras", monkeypatch)
    assert shape(on_tinynet) == shape(on_keras)
    theirs, ours = accuracies(on_keras), accuracies(on_tinynet)
    assert len(ours) == len(theirs)
    # The runs start from different random weights. The standard deviation of an accuracy is 0.03
    # due to the 300 test digits, and 0.03 due to training. The tolerance is four standard
    # deviations.
    np.testing.assert_allclose(ours, theirs, atol=4 * np.hypot(0.03, 0.03))
    x = digits()[1][0][:20] / 255
    for file in sorted((tmp_path / "keras").glob("*.keras")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for folder in ("keras", "tinynet"):
                saved = tmp_path / folder / file.name
                loaded = [k.models.load_model(saved) for k in (keras, tinynet)]
                answers = [model.predict(x, verbose=0) for model in loaded]
                # Probabilities computed from sums of a few hundred terms.
                np.testing.assert_allclose(answers[1], answers[0], atol=1e-5)
