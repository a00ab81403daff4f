"""Many seeds: the same figures wherever they are computed, and a table of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tinynet import random, visualize
from tinynet.repeats import Repeats

X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
DATA = ((X[:60], (X[:60, 0] > 0).astype(int)), (X[60:], (X[60:, 0] > 0).astype(int)))


def build() -> Any:
    model = keras.Sequential(
        [keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.1), keras.layers.Dense(2)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def test_a_seed_gives_what_it_gives_alone() -> None:
    runs = keras.repeat(build, DATA, seeds=[5, 7, 5], epochs=3)
    assert runs.runs[0] == runs.runs[2] != runs.runs[1]
    random.set_seed(7)
    model = build()
    model.fit(*DATA[0], epochs=3, verbose=0)
    assert model.evaluate(*DATA[1], verbose=0, return_dict=True) == runs.runs[1]


def test_the_callers_own_seeds_go_on() -> None:
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
def test_several_at_a_time() -> None:
    alone = keras.repeat(build, DATA, seeds=2, epochs=2)
    together = keras.repeat(lambda: build(), DATA, seeds=2, n_jobs=2, epochs=2)
    assert together.runs == alone.runs


def test_without_joblib(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = keras.repeat(build, DATA, seeds=2, epochs=2)
    assert alone.seeds == [0, 1]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert keras.repeat(build, DATA, seeds=2, epochs=2).runs == alone.runs
    with pytest.raises(ImportError, match="Received: n_jobs=2"):
        keras.repeat(build, DATA, seeds=2, n_jobs=2)


def test_figures_by_hand() -> None:
    runs = Repeats([4, 9], [{"loss": 1.0, "accuracy": 0.5}, {"loss": 4.0, "accuracy": 0.9}])
    assert runs.mean("loss") == 2.5
    assert runs.std("loss") == pytest.approx(np.sqrt(4.5))  # (1.5**2 + 1.5**2) / (2 - 1)
    np.testing.assert_array_equal(runs.values("accuracy"), [0.5, 0.9])
    lines = str(runs).splitlines()
    assert lines[0] == "2 runs"
    assert lines[2].split() == ["loss", "2.5", "2.121", "1", "4"]
    assert lines[-1].split() == ["9", "4", "0.9"]
    assert runs._repr_html_().count("<table>") == 2
    assert np.isnan(Repeats([0], [{"loss": 1.0}]).std("loss"))
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        runs.mean("acuracy")
    with pytest.raises(ValueError, match="Received: 0 seeds, 0 runs"):
        Repeats([], [])


def test_plot() -> None:
    runs = Repeats([4, 9], [{"loss": 1.0, "accuracy": 0.5}, {"loss": 4.0, "accuracy": 0.9}])
    ax = runs.plot().axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.5, 0.9])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["accuracy"]
    assert runs.plot("loss", ax=ax) is ax.figure


def test_plot_runs_side_by_side() -> None:
    ax = visualize.plot_runs({"a": [1.0, 3.0], "b": [2.0]}, source="drawn").axes[0]
    dots = [line.get_ydata().tolist() for line in ax.lines if line.get_marker() == "o"]
    means = [line.get_ydata().tolist() for line in ax.lines if len(line.get_ydata()) == 1]
    assert dots == [[1.0, 3.0], [2.0]]
    assert [2.0] in means
    assert ax.get_title() == "2 runs, their mean and one standard deviation\nData: drawn"
    with pytest.raises(ValueError, match="at least one run"):
        visualize.plot_runs({"a": []})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seeds": 0}, ValueError, "Received: seeds=0"),
        ({"seeds": [-1]}, ValueError, "Received: a seed=-1"),
        ({"build": None}, TypeError, "Received: None"),
        ({"data": (X, X)}, ValueError, "data must be"),
    ],
)
def test_nonsense_is_refused(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        keras.repeat(**{"build": build, "data": DATA, **arguments})
