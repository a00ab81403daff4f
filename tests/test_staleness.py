"""Results that are older than the code that they measure are reported."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import result_files, staleness
from benchmarks.recipes import RECIPES

CODE = '''"""Module."""

import math


def area(radius):  # of a circle
    """Return the area."""
    return math.pi * radius**2
'''
FORMATTED = """import math
def area(radius):
    "Other words."
    return (math.pi
            * radius ** 2)
"""


def library(folder: Path, code: str) -> str:
    """Write a file for each file and folder in the hash of a result, and return the hash."""
    for place in (*staleness.BASE, *staleness.ROWS["cold"].code):
        path = folder / place if place.endswith(".py") else folder / place / "area.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    return staleness.code_hash("cold", folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("radius**2", "radius**3"),
        ("math.pi", "math.tau"),
        ("radius**2", "radius * 2"),
        ("* r", "- r"),
    ],
)
def test_hash_depends_on_code(old: str, new: str, tmp_path: Path) -> None:
    assert library(tmp_path / "a", CODE) != library(tmp_path / "b", CODE.replace(old, new))


def test_hash_depends_on_each_place(tmp_path: Path) -> None:
    found = {library(tmp_path, CODE)}
    places = (*staleness.BASE, *staleness.ROWS["cold"].code)
    for place in places:
        path = tmp_path / place if place.endswith(".py") else tmp_path / place / "area.py"
        path.write_text("# only a comment\n", encoding="utf-8")
        found.add(staleness.code_hash("cold", tmp_path))
    assert len(found) == 1 + len(places)


def test_hashed_code_exists_and_contains_what_is_measured() -> None:
    for name, row in staleness.ROWS.items():
        assert all((staleness.ROOT / place).exists() for place in (*staleness.BASE, *row.code))
        assert len(staleness.code_hash(name)) == 16
    for name, place in {
        "time_to_accuracy": "benchmarks/recipes.py",
        "drawn_digits": "tinynet/datasets/drawn_digits.py",
        "handwriting": "tinynet/datasets/framing.py",
        "sklearn_estimator": "tinynet/sklearn.py",
        "nets": "benchmarks/nets.py",
        "cold": "tinynet/cli.py",
        "parity": "tests/parity/cases.py",
    }.items():
        assert place in staleness.ROWS[name].code


CURRENT = "0123456789abcdef"
RUN = {"seed": 0, "cores": 1.9, "code": CURRENT}
RACE = {goal: {"runs": {"tinynet": [RUN]}} for goal in RECIPES}
AGAIN = "measure it again: python -m benchmarks."
RACED, PART = f"{AGAIN}time_to_accuracy --again", f"{AGAIN}time_to_accuracy --parts"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("grid", {}, "grid.json is missing; measure it: python -m benchmarks --suite grid"),
        ("seeds", {"code": "0"}, f"seeds.json was measured with different code; {AGAIN}seeds"),
        ("seeds", {"date": "2020"}, f"seeds.json was measured with different code; {AGAIN}seeds"),
        (
            "seeds",
            {"code": CURRENT, "quick": True},
            f"seeds.json is from a quick run; {AGAIN}seeds",
        ),
        (
            "seeds",
            {"code": CURRENT, "forced": True},
            f"seeds.json was measured on a busy machine; {AGAIN}seeds",
        ),
        ("seeds", {"code": CURRENT, "incomplete": True}, f"seeds.json is incomplete; {AGAIN}seeds"),
        (
            "seeds",
            {"code": CURRENT, "data": "synthetic digits (not MNIST)"},
            f"seeds.json was measured without MNIST; {AGAIN}seeds",
        ),
        ("seeds", [], f"seeds.json; {AGAIN}seeds"),
        ("seeds", '{"code": "01', f"seeds.json; {AGAIN}seeds"),
        ("parity", {"code": "0"}, "different code; measure it again: python -m tests.parity"),
        (
            "nets-avx2",
            {"code": "0"},
            "different code; measure it again: python -m benchmarks --suite nets --isa avx2",
        ),
        ("time_to_accuracy", {"goals": {}, "parts": {"98 %": [RUN]}}, f"is incomplete; {RACED}"),
        (
            "time_to_accuracy",
            {"goals": {**RACE, "98 %": {"runs": {"JAX": [RUN, {**RUN, "code": "0"}]}}}},
            f"time_to_accuracy.json was measured with different code; {RACED}",
        ),
        (
            "time_to_accuracy",
            {"goals": RACE, "parts": {"98 %": [{"runs": [RUN, {**RUN, "code": "0"}]}]}},
            f"the parts in time_to_accuracy.json was measured with different code; {PART}",
        ),
    ],
)
def test_result_that_must_be_measured_is_listed(
    name: str, text: Any, expected: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(staleness, "code_hash", lambda *_: CURRENT)
    for each in staleness.ROWS:
        race = {"goals": RACE, "parts": {"98 %": [{"runs": [RUN]}]}}
        result_files.save(
            race if each == "time_to_accuracy" else {"code": CURRENT},
            staleness.path_of(each, tmp_path),
        )
    assert [*staleness.stale(tmp_path)] == []
    changed = text if isinstance(text, str) else json.dumps(text)
    staleness.path_of(name, tmp_path).write_text(changed, encoding="utf-8")
    (line,) = staleness.stale(tmp_path)
    assert line.endswith(expected)


def test_exit_code_depends_on_results(monkeypatch: Any, capsys: Any) -> None:
    for found in ([], ["grid.json is missing"]):
        monkeypatch.setattr(staleness, "stale", lambda found=found: found)
        assert staleness.main([]) == len(found)
    assert capsys.readouterr().out.splitlines() == [
        "All results are complete, and the code in their hashes is unchanged.",
        "grid.json is missing",
    ]


def test_all_results_are_required() -> None:
    """A result without a row would never be reported."""
    folder = staleness.path_of("train").parent
    assert {path.stem for path in folder.glob("*.json")} <= staleness.ROWS.keys()


def test_commands_exist() -> None:
    for row in staleness.ROWS.values():
        modules = [w for w in shlex.split(row.command) if w.startswith(("benchmarks", "tests"))]
        path = staleness.ROOT / modules[0].replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def test_release_requires_current_results_and_a_clean_tree(tmp_path: Path) -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "release"], cwd=staleness.ROOT, capture_output=True, text=True
    )
    commands = shown.stdout.splitlines()
    assert any("python -m benchmarks.staleness" in line for line in commands[:5])
    assert any(".ci/dist.py" in line for line in commands)
    shutil.copy(staleness.ROOT / "Makefile", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    made = subprocess.run(["make", "release"], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 2
    assert "make: all changes must be committed" in made.stdout
