"""The benchmark of the time to an accuracy: libraries follow the same recipe, runs are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import entries, harness, problem, result_files, time_to_accuracy
from benchmarks.entries import ENTRIES
from benchmarks.harness import EndedError, SkipError
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

    ended = ""

    def __init__(self, key: str) -> None:
        if key == "jax-2":
            raise SkipError("requires the package jax, which is not installed")
        if key == self.ended:
            raise EndedError("exited with code -9: ")

    def ask(self, **request: Any) -> Any:
        if request["do"] == "enter":
            return {"versions": {"numpy": np.__version__}}
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
    monkeypatch.setattr(time_to_accuracy, "require_mnist", lambda: None)

    def call(*arguments: str, code: int = 0) -> Any:
        options = ["--force", "--out", str(tmp_path), "--goals", "97 %", "98 %", *arguments]
        assert time_to_accuracy.main(options) == code
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
    run("--seeds", "1", code=1)
    assert "must be given to discard the runs of 97 %, tinynet" in capsys.readouterr().err
    run("--seeds", "1", "--entries", "tinynet", "--again", code=1)
    assert "must include those with runs of 97 %, PyTorch" in capsys.readouterr().err
    found = run("--seeds", "1", "--again", "--goals", "97 %")["goals"]
    assert [len(runs) for runs in found["97 %"]["runs"].values()] == [1, 1]
    assert found["97 %"]["recipe"]["rate"] == 0.5
    assert len(found["98 %"]["runs"]["tinynet"]) == 3


def test_runs_are_replaced_only_by_new_runs(run: Any, monkeypatch: Any, capsys: Any) -> None:
    before = run("--seeds", "2")
    monkeypatch.setattr(Fake, "ended", "torch-2")
    again = run("--seeds", "1", "--again", "--entries", "PyTorch", "tinynet", code=1)["goals"]
    for goal, found in again.items():
        assert found["runs"]["PyTorch"] == before["goals"][goal]["runs"]["PyTorch"]
        assert len(found["runs"]["tinynet"]) == 1
        assert found["skipped"] == {"PyTorch": "exited with code -9: "}
    monkeypatch.setattr(harness, "code_hash", lambda name: "changed")
    capsys.readouterr()
    run("--entries", "tinynet", "--seeds", "1", code=1)
    assert "--again must be given to discard the runs of 97 %, tinynet" in capsys.readouterr().err
    found = run("--entries", "tinynet", "--seeds", "1", "--again")["goals"]["97 %"]["runs"]
    assert [found[entry][0]["code"] == "changed" for entry in found] == [True, False]
    run("--entries", "JAX", "--seeds", "1", code=1)  # which is not installed: nothing to do


def test_new_packages_replace_everything_only(run: Any, tmp_path: Path) -> None:
    path, result = tmp_path / "time_to_accuracy.json", run("--seeds", "2", "--entries", "tinynet")
    result["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(result), encoding="utf-8")
    run("--again", "--seeds", "1", code=1)
    found = run("--again", "--seeds", "1", "--goals", *RECIPES)
    assert found["versions"] == {"numpy": np.__version__}
    assert [len(goal["runs"]["tinynet"]) for goal in found["goals"].values()] == [1] * len(RECIPES)


def test_missing_mnist_changes_nothing(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(time_to_accuracy, "Process", Fake)
    path = tmp_path / "time_to_accuracy.json"
    path.write_text("{}", encoding="utf-8")

    def missing() -> Any:
        raise FileNotFoundError("MNIST was not found")

    monkeypatch.setattr(problem, "_mnist", missing)
    for option in ("--again", "--parts"):
        assert time_to_accuracy.main(["--force", "--out", str(tmp_path), option]) == 1
        assert "data must be MNIST. Received: MNIST was not found" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "{}"


def test_parts_are_compared_with_the_recipe(run: Any, capsys: Any, tmp_path: Path) -> None:
    measured = run("--parts", "--seeds", "2")["parts"]["98 %"]
    assert measured[0]["part"] == ""
    assert {len(run["code"]) for part in measured for run in part["runs"]} == {16}
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
def test_invalid_results_are_not_replaced(text: str, tmp_path: Path, run: Any, capsys: Any) -> None:
    path = tmp_path / "time_to_accuracy.json"
    path.write_text(text, "latin-1")
    assert time_to_accuracy.main(["--force", "--out", str(tmp_path)]) == 1
    assert f"remove it or choose another file. Received: {path}\n" in capsys.readouterr().err
    assert path.read_text("latin-1") == text


def test_second_run_is_refused(run: Any, tmp_path: Path, capsys: Any) -> None:
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
