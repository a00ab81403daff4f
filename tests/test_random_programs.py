"""Random programs give the same results with Keras, both backends, and several threads.

They also give the same results after saving and loading. Each session uses a new seed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import random_graphs, random_programs, supported
from tests.failed_programs import DIVERGES, FAILED
from tests.fuzz import results

# 100 programs in each session are compared with Keras.
COUNTS = {"keras": 70, "backends": 25, "threads": 25, "files": 25}
GRAPHS = 30


@pytest.mark.parametrize("kind", random_programs.KINDS)
@pytest.mark.slow
def test_random_programs_agree(kind: str, any_seed: int) -> None:
    if kind == "keras":
        pytest.importorskip("tensorflow", reason="needs Keras on TensorFlow")
    if kind == "files":
        pytest.importorskip("h5py", reason="needs h5py")
    for program in (*FAILED[kind], *range(any_seed, any_seed + COUNTS[kind])):
        random_programs.check(kind, program)


@pytest.mark.slow
def test_random_graphs_agree_in_float64(any_seed: int) -> None:
    pytest.importorskip("tensorflow", reason="needs Keras on TensorFlow")
    for seed in range(any_seed, any_seed + GRAPHS):
        random_graphs.check(seed)


def test_comparison_detects_differences() -> None:
    """A relative difference of 1e-4 in one weight is detected."""
    program = random_programs.draw(3)
    runs = [program.run(random_programs.tinynet, "float32") for _ in range(2)]
    weight = runs[1]["weights"][0] = runs[0]["weights"][0].copy()
    runs[1] = {**runs[0], "weights": [weight, *runs[0]["weights"][1:]]}
    random_programs.assert_same_run(runs[1], runs[0], 1e-5)
    weight.flat[0] += 1e-4 * np.abs(weight).max()
    with pytest.raises(AssertionError, match="weight 0"):
        random_programs.assert_same_run(runs[1], runs[0], 1e-5)


@pytest.mark.parametrize("kind", ["backends", "files", "threads"])
def test_random_programs_that_diverge_agree(kind: str) -> None:
    assert "diverged" in DIVERGES.run(tinynet, "float32")["history"]
    random_programs.check(kind, DIVERGES)


def test_comparison_of_nan_and_infinity() -> None:
    """Values that are NaN or infinite are equal only if both results have them."""
    random_programs.assert_close([np.nan, np.inf, 1.0], [np.nan, np.inf, 1.0], 0, "same")
    for found in ([np.nan, 1.0], [np.inf, 1.0], [1.0, 1.1]):
        for a, b in ((found, [1.0, 1.0]), ([1.0, 1.0], found), (found, [-np.inf, 1.0])):
            with pytest.raises(AssertionError):
                random_programs.assert_close(a, b, 1e-3, "different")


def test_grammar_contains_all_names() -> None:
    programs = map(str, map(random_programs.draw, range(1000)))
    drawn = {name for program in programs for name in re.findall(r"'(\w+)'", program)}
    kinds = supported.kinds()
    groups = ("layers", "activations", "losses", "metrics", "optimizers", "optimizers.schedules")
    groups += ("initializers", "regularizers", "constraints")
    missing = {name for group in groups for name in kinds[group]} - drawn
    # The input layer is created by `Input`. The comment before the grammar explains the others.
    left_out = {"InputLayer", "Lambda", "Mean", "MeanMetricWrapper", "Sum"}
    assert missing == {*left_out, *random_graphs.MERGES}


def test_main_records_results_and_resumes(tmp_path: Path, capsys: Any) -> None:
    seeds: list[int] = []

    def compare(seed: int) -> str | None:
        seeds.append(seed)
        assert seed != 8, "wrong"
        if seed == 60:
            raise KeyboardInterrupt
        return "chaotic" if seed == 7 else None

    arguments = ["--results", str(tmp_path / "record.json"), "--resume", "--programs"]
    assert random_programs.main({"threads": compare}, [*arguments, "3", "--seed", "7"]) == 1
    assert "threads programs: first seed 7" in (printed := capsys.readouterr()).out
    assert "AssertionError: wrong" in printed.err
    assert random_programs.main({"threads": compare}, [*arguments, "10", "--seed", "47"]) == 1
    with pytest.raises(KeyboardInterrupt):
        random_programs.main({"threads": compare}, [*arguments, "20", "--seed", "47"])
    assert seeds == [7, 8, 9, *range(50, 61)]
    first, second, third = results.read(tmp_path / "record.json")
    assert [first[key] for key in ("what", "seed", "inputs")] == ["threads programs", 7, 3]
    assert [first[key] for key in ("agree", "chaotic", "failures")] == [1, 1, 1]
    assert [second[key] for key in ("seed", "inputs", "agree", "failures")] == [50, 7, 7, 0]
    assert [third[key] for key in ("seed", "inputs", "agree", "failures")] == [57, 3, 3, 0]
    assert "between numbers of threads | 10: 8 agreed, 1 not comparable |" in results.block(
        [first, second]
    )


def test_random_programs_are_deterministic() -> None:
    assert random_programs.draw(5) == random_programs.draw(5)
    assert random_programs.draw(5) != random_programs.draw(6)
