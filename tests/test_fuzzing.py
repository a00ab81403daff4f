"""The files of the corpus load or are rejected, and the fuzzer reports each kind of failure."""

from __future__ import annotations

import json
import random
import runpy
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

import tinynet
from benchmarks import elementary, page, staleness, time_to_accuracy
from tests import RandomNumbers, features, page_tables, random_programs, test_operations
from tests.fuzz import FORMATS, corpus, engine, formats, mutators, results
from tests.fuzz import __main__ as fuzzer
from tests.parity import __main__ as parity
from tinynet.program.nested import flattened

ROOT = Path(tinynet.__file__).parents[1]
NEEDS = {"png": "PIL", "keras": "h5py", "h5": "h5py", "weights": "h5py"}


@pytest.fixture
def judge_of(tmp_path: Path) -> Any:
    """Return a function that returns the check of the inputs of a format."""

    def make(name: str) -> engine.Judge:
        warnings.filterwarnings("ignore", "The optimizer state", UserWarning)
        return engine.Judge(name, tmp_path)

    tinynet.config.set_backend("numpy")
    with warnings.catch_warnings():
        yield make


@pytest.mark.parametrize("name", FORMATS)
def test_corpus_loads_or_is_rejected(name: str, judge_of: Any) -> None:
    pytest.importorskip(NEEDS.get(name, "numpy"), reason="needs the library of the format")
    judge, files = judge_of(name), corpus.read(name)
    assert files
    assert {judge(data) for data in files.values()} == {"rejected", "loaded"}


#: Values of options that would take much memory or time, or overflow.
HOSTILE_OPTIONS = [10**7, -1, 2**63, 1e308, [10**5, 10**5], None]


@pytest.mark.slow
def test_hostile_options_of_operations(judge_of: Any, tmp_path: Path) -> None:
    def symbolic(array: Any) -> Any:
        is_input = array.dtype.kind == "f" and array.size
        return tinynet.Input(batch_shape=array.shape) if is_input else array

    judge, rng, outcomes = judge_of("json"), RandomNumbers(5), Counter[str]()
    judge.format = judge.format._replace(use=Mock())  # some inputs must have other sizes to work
    for name, arrays, options in test_operations.ROWS:
        inputs = test_operations.mapped(symbolic, arrays)
        tensors = [i for i in flattened(inputs) if isinstance(i, tinynet.KerasTensor)]
        if not tensors:
            continue
        result = getattr(tinynet.ops, name)(*inputs, **options)
        tinynet.Model(tensors, result).save(tmp_path / "model.json")
        config = json.loads((tmp_path / "model.json").read_bytes())
        for node, key in mutators.places_of(config["model"]["config"]["layers"]):
            if not isinstance(node[key], int | float | list | None):
                continue
            old, node[key] = node[key], HOSTILE_OPTIONS[rng.integers(len(HOSTILE_OPTIONS))]
            outcomes[judge(json.dumps(config).encode())] += 1
            node[key] = old
    assert min(outcomes["loaded"], outcomes["rejected"]) > 100


def test_predictions_of_nested_outputs_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = tinynet.Input((2,), name="a"), tinynet.Input((3, 4), name="b")
    model = tinynet.Model({"b": b, "a": a}, {"y": [a + 1, [b]], "x": a})
    formats.FORMATS["json"].use(model)
    wrong = {"y": [np.zeros((1, 2)), [np.zeros((1, 3, 4))]], "x": np.zeros((1, 1))}
    monkeypatch.setattr(model, "predict", lambda x: wrong)
    with pytest.raises(AssertionError):
        formats.FORMATS["json"].use(model)


def test_corpus_is_small() -> None:
    assert {path.stem for path in corpus.CORPUS.iterdir()} == {*FORMATS}
    assert sum(path.stat().st_size for path in corpus.CORPUS.iterdir()) < 300_000


def refuse(message: str) -> Any:
    raise ValueError(message)


def take_memory() -> None:
    """Use more memory than the process, which other tests share, has used so far."""
    np.ones((engine.peak() - engine.statm(1) + 2 * engine.MEMORY) // 8)


def wait() -> None:
    end = time.process_time() + 1.1 * engine.SECONDS
    while time.process_time() < end:
        pass


def draw(path: Path) -> None:
    tinynet.random.draw_seed()
    refuse(path.name)


#: What loading does, and the error of the check.
VIOLATIONS: dict[str, tuple[Any, type[Exception], str]] = {
    "another exception": (lambda path: {}["x"], KeyError, "x"),
    "no name": (lambda path: refuse("bad"), AssertionError, "without the name of the file: bad"),
    "long message": (lambda path: refuse(path.name * 500), AssertionError, "a long message"),
    "out of memory": (lambda path: refuse(f"{path}: MemoryError"), AssertionError, "MemoryError"),
    "too slow": (lambda path: wait(), AssertionError, r"loading took \d\.\d s"),
    "too much memory": (lambda path: take_memory(), AssertionError, "MiB more than three files"),
    "a setting": (lambda path: np.seterr(all="ignore"), AssertionError, "global state"),
    "random numbers": (draw, AssertionError, "changed the global random state"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violations_are_reported(name: str, judge_of: Any) -> None:
    load, error, match = VIOLATIONS[name]
    judge = judge_of("idx")
    judge.format = formats.Format(".idx", list, judge.format.mutate, load, lambda value: None)
    with np.errstate(), pytest.raises(error, match=match):
        judge(b"data")


def test_flipped_bits_are_detected(judge_of: Any) -> None:
    judge = judge_of("tinynet")
    data = next(iter(judge.originals))
    judge.flipped = data, "another model"
    with pytest.raises(AssertionError, match="a flipped bit changed the model"):
        judge(data)


@pytest.mark.parametrize(
    ("name", "damage"),
    [("npz", "CRC-32"), ("png", "checksum"), ("tinynet", "SHA-256"), ("h5", "wrong checksum")],
)
@pytest.mark.filterwarnings("ignore:The optimizer state")
def test_mutators_correct_checksums(name: str, damage: str, tmp_path: Path) -> None:
    """Most errors are about contents, not about checksums."""
    pytest.importorskip(NEEDS.get(name, "numpy"), reason="needs the library of the format")
    format, rng, messages = formats.FORMATS[name], random.Random(0), []
    path, seeds = tmp_path / f"input{format.suffix}", format.seeds()

    def havoc(part: bytes) -> bytes:
        return mutators.overwrite(part, rng)

    for _ in range(100):
        path.write_bytes(format.mutate(rng.choice(seeds), rng, havoc))
        try:
            format.load(path)
        except ValueError as error:
            messages.append(str(error).removeprefix(str(path))[:60])
    assert len({*messages}) > 10
    assert sum(damage in message for message in messages) < 20


def fuzz(folder: Path, *arguments: str) -> str:
    """Run the fuzzer for all formats, and return its output."""
    command = [sys.executable, "-m", "tests.fuzz", "--inputs=60", f"--folder={folder}"]
    command += [f"--results={folder / 'results.json'}", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.slow
def test_random_mutants_of_all_formats(tmp_path: Path) -> None:
    for needed in NEEDS.values():
        pytest.importorskip(needed, reason="needs the libraries of all formats")
    assert fuzz(tmp_path, "--random").count(": 60 inputs") == len(FORMATS)
    runs = json.loads((tmp_path / "results.json").read_text())
    assert [(run["what"], run["inputs"]) for run in runs] == [(name, 60) for name in FORMATS]
    assert ": 60 inputs" not in fuzz(tmp_path, "--random", "--resume")


@pytest.mark.slow
def test_search_with_coverage(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="needs Atheris")
    assert "edges" in fuzz(tmp_path, "--format=idx")
    assert json.loads((tmp_path / "results.json").read_text())[0]["edges"] > 10


def test_failing_input_is_counted_once(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    """A process fails for a file of the corpus; the next one is interrupted after 60 inputs."""
    stop: list[Any] = []
    monkeypatch.setattr(signal, "signal", lambda number, handler: stop.append(handler))

    def process(command: list[str], **options: Any) -> Any:
        corpus = Path(command[6].removeprefix("--corpus="))
        for name in ("bad", "good") if "--fill" in command else ():
            (corpus / name).write_text(name)
        fails = (corpus / "bad").exists()
        if fails:
            Path(command[4], "crash-1").write_text("bad")
        lines = ["#1 corp: 2"] if fails else (stop[-1](15) or "#60 corp: 1" for _ in [0])
        return Mock(stdout=lines, wait=lambda: fails, returncode=1)

    monkeypatch.setattr(fuzzer, "Popen", process)
    arguments = [f"--folder={tmp_path}", f"--results={tmp_path / 'record.json'}", "--format=idx"]
    assert fuzzer.main([*arguments, "--inputs=100"]) == 128 + signal.SIGTERM
    assert "idx: 61 inputs, 1 corpus, 1 failures" in capsys.readouterr().out
    assert [run["failures"] for run in results.read(tmp_path / "record.json")] == [1]
    assert [path.name for path in (tmp_path / "corpus" / "idx").iterdir()] == ["good"]
    assert len([*(tmp_path / "failures" / "idx").iterdir()]) == 2
    assert fuzzer.main([*arguments, "--inputs=61", "--resume"]) == 1  # a failure is recorded


WRONG: dict[Any, str] = {
    fuzzer.main: "--inputs=-5 --inputs=0 --seed=-1 --folder={} --results={} --results=.",
    partial(random_programs.main, {"keras": str}): "--programs=0 --seed=-5 --kind=keras",
    time_to_accuracy.main: "--seeds=0 --out={}",
    elementary.main: "--step=-1 --step=0 NAME=sinus",
    page.main: "--runs=0",
    features.main: "--tensorflow",
    parity.main: "--json={}/x",
    partial(page_tables.main, results.PAGE, results.block): "--wirte",
    staleness.main: "--all",
}


@pytest.mark.parametrize(
    ("main", "text"), [(main, text) for main, texts in WRONG.items() for text in texts.split()]
)
def test_bad_arguments(main: Any, text: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    """They are reported before the work, and before a file is changed."""
    monkeypatch.setitem(sys.modules, "reference.keras_net", None)  # Keras is not installed
    path = tmp_path / "file"
    path.write_text("text")
    with pytest.raises(SystemExit, match="2"):
        main([text.format(path)])
    assert text.partition("=")[0] in capsys.readouterr().err
    assert path.read_text() == "text"


@pytest.mark.parametrize(
    "script", ["tests/recorded.py", "tests/size.py", "tests/newest_numba.py", ".ci/dist.py"]
)
def test_help_does_nothing_else(script: str, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert capsys.readouterr().out.startswith("usage: ")


@pytest.mark.parametrize("wrong", [{"inputs": "5"}, {"failures": True}, {"seconds": None}])
def test_records_with_wrong_types_are_rejected(wrong: Any, tmp_path: Path, capsys: Any) -> None:
    run = {"what": "idx", "inputs": 5, "failures": 0, "seconds": 1}
    path = tmp_path / "record.json"
    path.write_text(json.dumps([{**run, **wrong}]), "utf-8")
    with pytest.raises(SystemExit, match="2"):
        fuzzer.main(["--resume", f"--results={path}"])
    assert "the file of results must contain JSON that the same command wrote" in (
        capsys.readouterr().err
    )


def test_concurrent_runs_are_all_recorded(tmp_path: Path) -> None:
    """Runs with the same seed that start at the same time write to the same record."""
    record = tmp_path / "record.json"

    def fuzz(run: results.Run) -> None:
        for i in range(1, 11):
            run.update(inputs=i, failures=0, seconds=0)

    with ThreadPoolExecutor() as pool:
        [*pool.map(fuzz, [results.Run(record, "idx", 5) for _ in range(3)])]
    assert [run["inputs"] for run in results.read(record)] == [10, 10, 10]


def test_table_of_results() -> None:
    run = {"inputs": 1000, "edges": 5, "features": 7, "failures": 0, "seconds": 1800}
    runs = [{"what": "idx", **run}, {"what": "idx", **run, "edges": 6, "failures": 2}]
    runs.append({"what": "keras programs", "inputs": 10, "failures": 1, "seconds": 360, "agree": 7})
    assert results.block(runs).split("\n")[3:-1] == [
        "| IDX (datasets) | 2,000 | 6 | 7 | 2 | 1.0 |",
        "| random programs, compared with Keras | 10: 7 agreed, 2 not comparable |  |  | 1 | 0.1 |",
    ]


def test_page_is_up_to_date() -> None:
    text = results.PAGE.read_text(encoding="utf-8")
    assert results.block() in text, "run: python -m tests.fuzz.results --write"
