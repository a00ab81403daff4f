"""The report of ``make parity`` is complete, up to date, and detects wrong results."""

from __future__ import annotations

import copy
import itertools
import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet
from benchmarks import problem
from tests import compare, supported
from tests.parity import __main__ as program
from tests.parity import cases, network, report
from tests.parity.mutants import MUTANTS


@pytest.fixture
def committed() -> Any:
    return report.load()


def test_every_name_has_a_row(committed: Any) -> None:
    expected = {(kind, name) for kind in report.KINDS for name in supported.kinds()[kind]}
    assert {(case.kind, case.name) for case in cases.cases()} == expected
    assert {(row["kind"], row["name"]) for row in committed["names"]} == expected
    counts = [sum(case[:2] == key for case in cases.cases()) for key in sorted(expected)]
    rows = {(row["kind"], row["name"]): row["cases"] for row in committed["names"]}
    assert [rows[key] for key in sorted(expected)] == counts


def test_every_quantity_has_a_row(committed: Any) -> None:
    found = committed["network"]
    steps = [str(number) for number in network.RECORD]
    assert [*found["single"]["at"]] == [*found["free"]] == steps
    for tables in (*found["single"]["at"].values(), *found["free"].values()):
        assert {b: [*rows] for b, rows in tables.items()} == dict.fromkeys(
            network.BACKENDS, network.QUANTITIES
        )
    assert [*found["mutants"]] == [*MUTANTS]
    assert [*found["variants"]] == [*network.VARIANTS]
    assert committed["command"] == "make parity"
    assert {"tinynet", "keras", "tensorflow", "jax", "numpy"} <= committed["versions"].keys()
    assert committed["versions"]["tinynet"] == tinynet.__version__
    assert {"cpu", "cores", "python"} <= committed["machine"].keys()


def test_pages_are_up_to_date(committed: Any) -> None:
    for path, text in report.pages(committed).items():
        assert path.read_text("utf-8") == text, "run: python -m tests.parity --tables"
    assert report.summary(committed) in report.README.read_text("utf-8")


def test_every_difference_is_within_its_bound(committed: Any) -> None:
    assert not [*report.failures(committed)]


def test_failures_name_the_row(committed: Any) -> None:
    wrong = copy.deepcopy(committed)
    wrong["network"]["single"]["worst"]["numpy"]["output"]["share"] = 1.5
    wrong["network"]["free"]["10"]["numba"]["loss"]["share"] = 2.0
    wrong["names"][0]["share"] = 3.0
    wrong["network"]["mutants"]["no correction"] = {"network": 1.0, "checks": 0.5}
    name = f"{wrong['names'][0]['kind']}.{wrong['names'][0]['name']}"
    lines = [*report.failures(wrong)]
    expected = [
        "output, numpy, a step from Keras' state: 1.50 bounds",
        "loss, numba, after 10 steps: 2.00 bounds",
        f"{name}: 3.00 bounds",
        "mutant 'no correction' does not exceed the bounds",
    ]
    assert [line.startswith(start) for line, start in zip(lines, expected, strict=True)] == [
        True
    ] * 4


def test_infinite_and_missing_numbers_are_failures(
    committed: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """The file has null for them; the report can be written, and names them."""
    case = cases.cases()[0]
    found = case.run(tinynet)
    name = next(iter(found))
    with pytest.raises(AssertionError, match=f"{name}.* were not computed"):
        case.compare({}, {name: found[name]})
    wrong = {name: np.full_like(found[name], np.nan)}
    numbers = network.cell(case.compare(wrong, {name: found[name]})[0])
    assert numbers["share"] == numbers["ulps"] == numbers["relative"] == np.inf
    assert network.cell(compare.compare([1.0], [np.nan], np.inf, "x"))["share"] == np.inf
    broken = copy.deepcopy(committed)
    broken["names"][0].update(numbers)
    broken["network"]["free"]["1875"]["numba"]["loss"].update(numbers)
    broken["network"]["single"]["worst"]["numpy"]["output"].update(numbers)
    monkeypatch.setattr(report, "DATA", tmp_path / "parity.json")
    report.DATA.write_text(json.dumps(program.rounded(broken)), "utf-8")
    assert "Infinity" not in report.DATA.read_text("utf-8")
    read = report.load()
    assert len([*report.failures(read)]) == 3
    page = report.pages(read)[report.PAGE]
    assert "| > 1e9 | inf | > 1e9% |" in page


def test_interrupted_comparison_terminates_its_process(tmp_path: Path) -> None:
    background = network.Background(str(tmp_path))
    background.start("first", "tensorflow", "")
    background.start("second", "tensorflow", "")
    while background.process is None:
        time.sleep(0.01)
    background.close()
    background.pool.shutdown()
    assert background.process.returncode == -signal.SIGKILL
    assert background.jobs["second"].cancelled()


def test_report_requires_mnist(monkeypatch: Any, capsys: Any) -> None:
    def missing() -> Any:
        raise FileNotFoundError("MNIST was not found")

    monkeypatch.setattr(problem, "_mnist", missing)
    with pytest.raises(SystemExit, match="2"):
        program.main([])
    assert "data must be MNIST. Received: MNIST was not found" in capsys.readouterr().err


def test_numbers_are_formatted() -> None:
    assert [report.count(v) for v in (0.04, 2.5, 99.96, 12345.6, 3e20)] == [
        *("0.0", "2.5", "100", "12,346", "> 1e9")
    ]
    assert [report.percent(share) for share in (0, 0.001, 0.92, 1.001)] == [
        *("0%", "1%", "92%", "101%")
    ]


def test_parts_are_written_between_markers() -> None:
    begin, end = report.marks("x")
    once = report.written(f"a\n{begin}\nold\n{end}\nb\n", {"x": "new"})
    assert once == f"a\n{begin}\n\nnew\n\n{end}\nb\n"
    assert report.written(once, {"x": "new"}) == once
    with pytest.raises(ValueError, match=r"Received: text='no markers'"):
        report.written("no markers", {"x": "new"})


def test_comparison_counts_ulps() -> None:
    found = compare.compare([1.0, 2 + 2**-21], [1.0, 2.0], 2.0**-20, "x")
    assert (found.ulps, found.share, found.scale) == (2, 0.5, 2)
    assert compare.compare([1.0], [2.0], 0, "x").share == np.inf
    assert compare.compare([np.nan], [2.0], 1, "x").share == np.inf
    assert compare.compare([0.0], [0.0], 0, "x").share == 0
    with pytest.raises(AssertionError, match=r"x\[1\]: 3.0 and 2.0 differ by 1; the bound is"):
        compare.assert_within([1.0, 3.0], [1.0, 2.0], 0.5, "x")


def test_bounds_cover_float32_errors() -> None:
    """The same network in float32 and float64, with sums in several orders, is within the bounds.

    They are not much larger than necessary: some difference is more than 2 % of its bound.
    """
    rng = np.random.default_rng(0)
    sizes, shares = (50, 40, 30, 10), []
    start = []
    for n, m in itertools.pairwise(sizes):
        start += [rng.uniform(-0.3, 0.3, (n, m)).astype(np.float32), np.zeros(m, np.float32)]
    for _ in range(20):
        x = (rng.random((32, 50)) * (rng.random((32, 50)) < 0.4)).astype(np.float32)
        y = rng.integers(0, 10, 32)
        model = tinynet.Sequential(
            [
                tinynet.Input((50,)),
                *(tinynet.layers.Dense(n, "relu") for n in sizes[1:-1]),
                tinynet.layers.Dense(10, "softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        model.set_weights(start)
        off, right = compare.bounds(start, x, y), compare.exact(start, x, y)
        loss, found, _ = compare.gradients(model, x, y)
        shares += [compare.compare(loss, right.loss, off.loss, "loss").share]
        rows = zip(found, right.gradients, off.gradients, strict=True)
        shares += [compare.compare(a, b, c, "gradient").share for a, b, c in rows]
    assert 0.02 < max(shares) <= 1


@pytest.mark.slow
def test_short_run_is_within_bounds(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs Keras on TensorFlow")
    path = tmp_path / "parity.json"
    assert program.main(["--quick", "--json", str(path)]) == 0
    found = json.loads(path.read_text("utf-8"))
    assert found["network"]["steps"] == 10
    assert len(found["names"]) == len({case[:2] for case in cases.cases()})
