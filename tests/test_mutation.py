"""Mutant sampling: deterministic for a seed, with at most one mutant per location."""

from __future__ import annotations

import ast
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks import result_files
from tests import mutation
from tests.mutation import annotations, sample


class Mutant(NamedTuple):
    module_path: str
    operator_name: str
    occurrence: int
    start_pos: tuple[int, int]


def mutants(line: int = 1) -> list[Any]:
    names = ("Mul_Div", "Mul_Add", "Mul_Sub")
    return [Mutant("a.py", name, n, (line + n, 4)) for name in names for n in range(40)]


def test_mutant_sampling_is_stable() -> None:
    drawn = sample(mutants(), 10, seed=1)
    assert len({mutant.start_pos for mutant in drawn}) == 10
    assert len({mutant.operator_name for mutant in drawn}) == 3
    assert drawn == sample(reversed(mutants()), 20, seed=1)[:10] != sample(mutants(), 10, seed=2)
    below = sample(mutants(line=7), 10, seed=1)  # as if a comment were added above
    assert [mutant[:3] for mutant in below] == [mutant[:3] for mutant in drawn]


def test_annotations_are_found() -> None:
    module = ast.parse(
        "if TYPE_CHECKING:\n    import a\ndef f(x: a.B = 1) -> str:\n    y: a = x | 1"
    )
    found = {ast.unparse(node) for node in annotations(module)}
    assert found == {"if TYPE_CHECKING:\n    import a", "a.B", "str", "a"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("{} HEAD --size 0", "argument --size: must be an integer >= 1"),
        ("{} HEAD --tests 0", "argument --tests: must be an integer >= 1"),
        ("{} HEAD --seed -1", "argument --seed"),
        ("{} nothing", "argument commit: must be a commit. Received: nothing"),
        ("{}/file HEAD", "argument results: must be writable"),
        ("{}.bad HEAD", "argument results: the file of results must contain JSON"),
        ("{} HEAD --before {}.bad", "argument --before: the file of results must contain JSON"),
        (
            "{} HEAD",
            "results must be those of the same commit and seed. Received: commit a, seed 1",
        ),
        ("{}.new HEAD", "the fast tests of the commit must pass; exit code 1"),
    ],
)
def test_bad_arguments(
    arguments: str, error: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(Path.cwd())  # the command changes it
    path = tmp_path / "results"
    result_files.save({"commit": "a", "seed": 1, "mutants": {"b": {}}}, path)
    before = path.read_text("utf-8")
    path.with_suffix(".bad").write_text("[1", "utf-8")
    monkeypatch.setattr(mutation, "find_spec", lambda name: True)
    monkeypatch.setattr(mutation, "run", lambda *_: Path("../output.txt").write_text("") + 1)
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit, match="2"):
        mutation.main(arguments.format(path, path).split())
    assert error in capsys.readouterr().err
    assert path.read_text("utf-8") == before


def test_no_process_remains_after_a_limit(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "tree").mkdir()
    monkeypatch.chdir(tmp_path / "tree")
    child = "import time; time.sleep(60)"
    program = f"""import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", {child!r}]).pid, flush=True)
{child}"""
    assert mutation.run(["-c", program], Path("x"), 3) == 137
    process = int((tmp_path / "output.txt").read_text())
    for _ in range(100):
        state = Path(f"/proc/{process}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("a process remains")


def test_report_of_a_tier_without_mutants(capsys: Any) -> None:
    found = {"killer": "", "line": 1, "text": "x = 1", "ran": 2}
    mutation.report({"tinynet/program/a.py Mul 0": found}, {})
    assert capsys.readouterr().out.startswith("program: 1 mutants, 0 killed, 1 survived")
