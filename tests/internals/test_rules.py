"""Fusion rules keep random programs and the benchmarked networks bit-identical."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import tinynet
from benchmarks.contenders import CONTENDERS
from benchmarks.task import NETWORKS
from benchmarks.worker import Worker
from tests import random_programs
from tests.failed_programs import FAILED
from tinynet import config

COUNT = 40


def run(program: random_programs.Program) -> tuple[list[bytes], Any]:
    """Run a random program; return all its results as bytes."""
    tinynet.utils.set_random_seed(1)
    found = program.run(tinynet, "float32")
    arrays = [*found["weights"], *found["model"].optimizer.variables, found["predict"]]
    bits = [np.asarray(a).tobytes() for a in arrays]
    return bits, (found["history"], found["evaluate"])


def assert_rules_keep_results(program: random_programs.Program) -> None:
    config.set_disabled_rules([])
    bits, values = run(program)
    for rule in config.rules():
        config.set_disabled_rules([rule])
        without = run(program)
        assert without[0] == bits, f"{program} without {rule}"
        np.testing.assert_equal(without[1], values)


@pytest.mark.wide
@pytest.mark.parametrize("program", FAILED["rules"], ids=lambda program: program.seed)
def test_random_programs_without_each_rule(program: random_programs.Program) -> None:
    assert_rules_keep_results(program)


@pytest.mark.slow
def test_many_random_programs_without_each_rule(any_seed: int) -> None:
    for seed in range(any_seed, any_seed + COUNT):
        assert_rules_keep_results(random_programs.draw(seed, dropout=True))


@pytest.mark.slow
@pytest.mark.parametrize("task", NETWORKS, ids=lambda task: task.name)
@pytest.mark.parametrize("threads", [1, 2])
def test_benchmark_networks_without_each_rule(
    task: Any, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = dataclasses.replace(task, images=4 * min(task.batch, 256) + 203, epochs=1)
    key = f"tinynet-{threads}"
    reply = Worker(CONTENDERS[key]).prepare("ablation", few.fields())
    assert "skip" not in reply


@pytest.mark.parametrize("names", ["chain", ["chain", "none"], [None], ["Chain"]])
def test_wrong_rules_raise(names: Any) -> None:
    with pytest.raises(
        ValueError, match=r"names must be a list of these rules: linear_relu, .*Received: "
    ):
        config.set_disabled_rules(names)
    assert config.is_enabled("chain")


def test_rules_are_listed_and_disabled() -> None:
    config.set_disabled_rules(iter(["csr", "csr"]))
    assert [name for name in config.rules() if not config.is_enabled(name)] == ["csr"]
    assert all(text.endswith(".") for text in config.rules().values())
    config.set_disabled_rules([])
    assert all(map(config.is_enabled, config.rules()))


def test_disabling_rule_retraces_programs() -> None:
    model = tinynet.Sequential([tinynet.Input((3,)), tinynet.layers.Dense(2, "relu")])
    model.compile("sgd", "mse")
    x, y = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)

    def names() -> list[str]:
        model.fit(x, y, verbose=0)
        return [
            n.operation.name for p in model._programs.values() for n in p.program.forward
        ]  # fmt: skip

    assert "linear_relu" in names()
    config.set_disabled_rules(["linear_relu"])
    assert "relu" in names()
