"""Training with many seeds: deterministic results in any process, and their statistics."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tests import HUNG
from tests.models import classifier
from tinynet import random, visualize
from tinynet.repeats import Repeats

X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
DATA = ((X[:60], (X[:60, 0] > 0).astype(int)), (X[60:], (X[60:, 0] > 0).astype(int)))


def build() -> Any:
    return classifier(keras.layers.Dropout(0.1), shape=None, seed=None, metrics=["accuracy"])


def test_result_depends_only_on_seed() -> None:
    runs = keras.repeat(build, DATA, seeds=[5, 7, 5], epochs=3)
    assert runs.runs[0] == runs.runs[2] != runs.runs[1]
    random.set_seed(7)
    model = build()
    model.fit(*DATA[0], epochs=3, verbose=0)
    assert model.evaluate(*DATA[1], verbose=0, return_dict=True) == runs.runs[1]


def test_caller_random_state_is_kept() -> None:
    random.set_seed(3)
    keras.repeat(build, DATA, seeds=2)
    first = random.draw_seed()
    random.set_seed(3)
    keras.repeat(build, DATA, seeds=[8])
    random.draw_seed()
    assert random.draw_seed() != first
    random.set_seed(3)
    keras.repeat(build, DATA, seeds=[8, 9])
    assert random.draw_seed() == first


@pytest.mark.slow
def test_parallel_runs() -> None:
    alone = keras.repeat(build, DATA, seeds=2, epochs=2)
    together = keras.repeat(lambda: build(), DATA, seeds=2, n_jobs=2, epochs=2)
    assert together.runs == alone.runs


def test_runs_in_threads() -> None:
    joblib = pytest.importorskip("joblib")
    seeded = threading.Barrier(4)

    def build_at_once() -> Any:
        seeded.wait(HUNG)
        return build()

    alone = keras.repeat(build, DATA, seeds=4, epochs=2)
    with joblib.parallel_config("threading", n_jobs=4):
        assert keras.repeat(build_at_once, DATA, seeds=4, epochs=2).runs == alone.runs


def test_without_joblib(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = keras.repeat(build, DATA, seeds=2, epochs=2)
    assert alone.seeds == [0, 1]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert keras.repeat(build, DATA, seeds=2, epochs=2).runs == alone.runs
    with pytest.raises(ImportError, match="Received: n_jobs=2"):
        keras.repeat(build, DATA, seeds=2, n_jobs=2)


RUNS = Repeats([4, 9], [{"loss": 1.0, "accuracy": 0.5}, {"loss": 4.0, "accuracy": 0.9}])


def test_statistics_match_hand_computed() -> None:
    assert RUNS.mean("loss") == 2.5
    assert RUNS.std("loss") == pytest.approx(np.sqrt(4.5))  # (1.5**2 + 1.5**2) / (2 - 1)
    np.testing.assert_array_equal(RUNS.values("accuracy"), [0.5, 0.9])
    lines = str(RUNS).splitlines()
    assert lines[0] == "2 runs"
    assert lines[2].split() == ["loss", "2.5", "2.121", "1", "4"]
    assert lines[-1].split() == ["9", "4", "0.9"]
    assert RUNS._repr_html_().count("<table>") == 2
    assert np.isnan(Repeats([0], [{"loss": 1.0}]).std("loss"))


def test_plot() -> None:
    ax = RUNS.plot().axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.5, 0.9])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["accuracy"]
    assert RUNS.plot("loss", ax=ax) is ax.figure


def test_plot_compares_runs() -> None:
    ax = visualize.plot_runs({"a": [1.0, 3.0], "b": [2.0]}, source="drawn").axes[0]
    dots = [line.get_ydata().tolist() for line in ax.lines if line.get_marker() == "o"]
    means = [line.get_ydata().tolist() for line in ax.lines if len(line.get_ydata()) == 1]
    assert dots == [[1.0, 3.0], [2.0]]
    assert [2.0] in means
    assert ax.get_title() == "2 runs, with mean and standard deviation\nData: drawn"
