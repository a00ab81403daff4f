"""The benchmark of the time to an accuracy: libraries follow the same recipe, runs are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import entries, harness, result_files, time_to_accuracy
from benchmarks.entries import ENTRIES
from benchmarks.harness import SkipError
from benchmarks.recipes import PARTS, RECIPES, Recipe
from tinynet import config, datasets, optimizers

SMALL = Recipe(0.8, 1, (32,), epochs=3, batch=50)


@pytest.fixture(scope="module")
def digits() -> Any:
    return datasets.drawn_digits.load_data(n_train=2_000, n_test=500)


def shifted(image: Any, down: int, right: int) -> Any:
    """Shift an image whose margin is empty."""
    return np.roll(image, (down, right), axis=(0, 1))


@pytest.mark.parametrize("variations", ["", "shifts", "strokes"])
@pytest.mark.parametrize("entry", ENTRIES)
def test_entries_learn(entry: str, variations: str, digits: Any) -> None:
    pytest.importorskip({"PyTorch": "torch", "JAX": "jax"}.get(entry, "tinynet"))
    (x, y), (x_test, y_test) = digits
    predict = ENTRIES[entry](replace(SMALL, variations=variations, plain=1), x, y, 0)
    assert np.mean(predict(x_test) == y_test) > 0.8
    if entry == "tinynet":
        used = config.num_threads()
        config.set_num_threads("auto")
        assert used == config.num_threads()


def test_rates_are_those_of_the_schedule(digits: Any) -> None:
    (x, _), _ = digits
    rising, falling = SMALL.steps(x)
    assert (rising, falling) == (12, 108)
    schedule = optimizers.schedules.CosineDecay(
        0.0, falling, warmup_target=SMALL.rate, warmup_steps=rising
    )
    expected = [float(schedule(step)) for step in range(rising + falling)]
    np.testing.assert_allclose(SMALL.rates(x), expected, rtol=1e-6, atol=1e-9)
    assert np.all(replace(SMALL, decays=False).rates(x) == np.float32(SMALL.rate))


def test_shifts_of_rows_and_windows_are_equal(digits: Any) -> None:
    recipe = replace(SMALL, variations="shifts", plain=1)
    x = digits[0][0][:40].copy()
    x[0, 0, 5] = x[1, 27, 5] = x[2, 5, 0] = x[3, 5, 27] = 255
    rows, windows = entries.epochs_of_rows(recipe, x, 0), entries.epochs_of_images(recipe, x, 0)
    seen = set()
    for epoch, (compressed, (padded, shifts)) in enumerate(zip(rows, windows, strict=True)):
        expected = np.stack([shifted(image, *move) for image, move in zip(x, shifts, strict=True)])
        dense = np.zeros((40, 784), np.float32)
        for i in range(40):
            first, last = compressed.indptr[i : i + 2]
            columns = compressed.indices[first:last]
            assert np.all(np.diff(columns.astype(int)) > 0)
            dense[i, columns] = compressed.values[first:last] * 255
        np.testing.assert_array_equal(np.rint(dense).reshape(x.shape), expected)
        cut = [padded[i, 1 - a : 29 - a, 1 - b : 29 - b] for i, (a, b) in enumerate(shifts)]
        np.testing.assert_array_equal(cut, expected)
        assert np.any(shifts) == (epoch < 2)
        seen |= {(int(a), int(b)) for a, b in shifts}
    assert len(seen) == 9


def test_shifts_keep_strokes_inside() -> None:
    x = np.zeros((400, 28, 28), np.uint8)
    x[:100, 0, 9] = x[100:200, 27, 9] = x[200:300, 9, 0] = x[300:, 9, 27] = 1
    for moves in SMALL.shifts(x, 3):
        for first, (axis, sign) in enumerate(((0, 1), (0, -1), (1, 1), (1, -1))):
            part = moves[100 * first : 100 * first + 100]
            assert set(part[:, axis] * sign) == {0, 1}
            assert set(part[:, 1 - axis]) == {-1, 0, 1}


def test_variations_of_strokes_differ_in_each_epoch(digits: Any) -> None:
    x = digits[0][0][:20]
    first, second, last = replace(SMALL, variations="strokes", plain=1).epochs_of(x, 0)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(last, x)


def test_ahead_yields_every_item_and_raises_errors() -> None:
    assert [*entries.ahead(iter([3, 0, 5]))] == [3, 0, 5]

    def failing() -> Any:
        yield 1
        raise ValueError("of the thread")

    with pytest.raises(ValueError, match="of the thread"):
        list(entries.ahead(failing()))


def test_recipes_use_whole_batches_and_the_networks_of_their_goals() -> None:
    for goal, recipe in RECIPES.items():
        assert 60_000 % recipe.batch == 0
        assert f"{100 * recipe.goal:g} %" == goal
        assert Recipe.of(json.loads(json.dumps(recipe.fields()))) == recipe
        assert (recipe.hidden == (128,)) == (recipe.goal < 0.99)
    assert PARTS[""] == {}


# ------------------------------------------------------------ the command


class Fake:
    """Process of a contender: 0.1 s per seed, and an accuracy of 0.97 plus 0.001 per seed."""

    def __init__(self, key: str) -> None:
        if key == "jax-2":
            raise SkipError("requires the package jax, which is not installed")

    def ask(self, **request: Any) -> Any:
        if request["do"] == "enter":
            return {"versions": {"numpy": "9.9"}}
        return {
            "seconds": 0.1 * (request["seed"] + 1),
            "accuracy": 0.97 + request["seed"] / 1000,
            "cores": 1.94,
        }

    def close(self) -> None:
        pass


@pytest.fixture
def run(monkeypatch: Any, tmp_path: Path) -> Any:
    monkeypatch.setattr(time_to_accuracy, "Process", Fake)

    def call(*arguments: str) -> Any:
        options = ["--force", "--out", str(tmp_path), "--goals", "97 %", "98 %", *arguments]
        assert time_to_accuracy.main(options) == 0
        return json.loads((tmp_path / "time_to_accuracy.json").read_text(encoding="utf-8"))

    return call


@pytest.mark.slow
def test_next_call_adds_missing_runs(run: Any, capsys: Any, monkeypatch: Any) -> None:
    run("--seeds", "2", "--entries", "tinynet")
    found = run("--seeds", "3")["goals"]["97 %"]
    assert [each["seed"] for each in found["runs"]["tinynet"]] == [0, 1, 2]
    assert [each["seed"] for each in found["runs"]["PyTorch"]] == [0, 1, 2]
    assert found["skipped"] == {"JAX": "requires the package jax, which is not installed"}
    printed = capsys.readouterr().out
    assert printed.count("  97 %, seed 0, tinynet: 0.10 s, 0.9700") == 1
    rows = [line.split() for line in printed.splitlines() if line.startswith("  97 % in 0.15 s")]
    assert rows[-2][7:] == ["0.20", "(0.10", "–", "0.30)", "97.10", "%", "(0.08)", "1.9", "3"]
    missed = "98 % in 0.6 s 784-128-10 tinynet 0.20 (0.10 – 0.30) 97.10 % (0.08), missed 1.9 3"
    assert missed in " ".join(printed.split())
    changed = {**RECIPES, "97 %": replace(RECIPES["97 %"], rate=0.5)}
    monkeypatch.setattr(time_to_accuracy, "RECIPES", changed)
    found = run("--seeds", "1", "--entries", "tinynet")["goals"]
    assert len(found["97 %"]["runs"]["tinynet"]) == 1  # the recipe has changed
    assert len(found["98 %"]["runs"]["tinynet"]) == 3


def test_parts_are_compared_with_the_recipe(run: Any, capsys: Any, tmp_path: Path) -> None:
    measured = run("--parts", "--seeds", "2")["parts"]["98 %"]
    assert measured[0]["part"] == ""
    assert {"no variations", "batch size 30"} < {part["part"] for part in measured}
    text = (tmp_path / "time_to_accuracy.md").read_text(encoding="utf-8")
    assert "| 98 % | no variations | 97.05 % | +0.00 | 0.15 | 2 |" in text


def test_caption_contains_dates_of_runs(run: Any, tmp_path: Path) -> None:
    result = run("--seeds", "2", "--entries", "tinynet")
    result["goals"]["97 %"]["runs"]["tinynet"][0]["date"] = "2020-02-29"
    found = f"measured on 2020-02-29 to {result['date']}: "
    assert found in time_to_accuracy.tables(result)[0].note


@pytest.mark.parametrize("changed", ["machine cpu", "machine python", "versions numpy"])
def test_results_of_others_are_refused(changed: str, run: Any, capsys: Any, tmp_path: Path) -> None:
    run("--seeds", "1", "--entries", "tinynet")
    path = tmp_path / "time_to_accuracy.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    part, name = changed.split()
    result[part][name] = "another"
    path.write_text(json.dumps(result), encoding="utf-8")
    assert time_to_accuracy.main(["--force", "--out", str(tmp_path)]) == 1
    assert f"or remove the file. Received: {name} another\n" in capsys.readouterr().err
    assert json.loads(path.read_text(encoding="utf-8")) == result


@pytest.mark.parametrize("text", ['{"goals": {', "[]", "null", "{}", "\xff"])
def test_invalid_results_are_not_replaced(text: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "time_to_accuracy.json"
    path.write_text(text, "latin-1")
    assert time_to_accuracy.main(["--force", "--out", str(tmp_path)]) == 1
    assert f"remove it or choose another file. Received: {path}\n" in capsys.readouterr().err
    assert path.read_text("latin-1") == text


def test_second_run_is_refused(tmp_path: Path, capsys: Any) -> None:
    with result_files.locked(tmp_path / "time_to_accuracy.json"):
        assert time_to_accuracy.main(["--force", "--out", str(tmp_path)]) == 1
    assert "must not be in use by another run" in capsys.readouterr().err
    assert not [*tmp_path.glob("*.json")]


def test_failed_write_keeps_older_results(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "results.json"
    result_files.save([1], path)
    monkeypatch.delattr("os.fsync")  # which raises an error when the file has been written
    with pytest.raises(AttributeError):
        result_files.save([1, 2], path)
    assert (path.read_text(), [*tmp_path.iterdir()]) == ("[\n 1\n]\n", [path])


def test_busy_machine_is_refused(monkeypatch: Any, capsys: Any, tmp_path: Path) -> None:
    busy = {**harness.machine(), "load_before": 3.0}
    monkeypatch.setattr(harness, "machine", lambda: busy)
    assert time_to_accuracy.main(["--out", str(tmp_path / "out")]) == 1
    assert "the load average must be at most 0.5" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
