"""Results that are older than the code that they measure are reported."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import staleness

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


def library(folder: Path, code: str, name: str = "area") -> str:
    for package in staleness.MEASURED:
        (folder / package).mkdir(parents=True, exist_ok=True)
        (folder / package / f"{name}.py").write_text(code, encoding="utf-8")
    return staleness.code_hash(folder)


def test_hash_ignores_prose_and_formatting(tmp_path: Path) -> None:
    assert library(tmp_path / "a", CODE) == library(tmp_path / "b", FORMATTED)


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


def test_hash_depends_on_each_package(tmp_path: Path) -> None:
    found = {library(tmp_path, CODE)}
    for package in staleness.MEASURED:
        (tmp_path / package / "more.py").write_text("x = 1\n", encoding="utf-8")
        found.add(staleness.code_hash(tmp_path))
    assert len(found) == 1 + len(staleness.MEASURED)


def test_stale_results_are_listed_with_commands(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    current = {"train": staleness.code_hash(), "nets-avx2": "0" * 16, "grid": None}
    for name, code in current.items():
        result = {} if code is None else {"code": code}
        (tmp_path / f"{name}.json").write_text(json.dumps(result), encoding="utf-8")
    assert staleness.stale(tmp_path) == {
        "grid.json": "python -m benchmarks --suite grid",
        "nets-avx2.json": "python -m benchmarks --suite nets --isa avx2",
    }
    monkeypatch.setattr(staleness, "RESULTS", tmp_path)
    assert staleness.main([]) == 1
    assert "measure it again: python -m benchmarks --suite grid\n" in capsys.readouterr().out
    for name in ("grid", "nets-avx2"):
        (tmp_path / f"{name}.json").unlink()
    assert staleness.main([]) == 0
    assert capsys.readouterr().out == "All results were measured with this code.\n"


def test_commands_exist() -> None:
    for path in staleness.RESULTS.glob("*.json"):
        command = staleness.command(path.stem)
        modules = [word for word in shlex.split(command) if word.startswith("benchmarks")]
        assert (staleness.ROOT / modules[0].replace(".", "/")).with_suffix(".py").exists() or (
            staleness.ROOT / modules[0]
        ).is_dir()


def test_release_requires_current_results() -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "release"], cwd=staleness.ROOT, capture_output=True, text=True
    )
    commands = shown.stdout.splitlines()
    assert any("python -m benchmarks.staleness" in line for line in commands[:3])
    assert any(".ci/dist.py" in line for line in commands)
