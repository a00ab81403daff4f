"""Eight steps of each network of the suite ``nets``, on both backends."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import tinynet
from benchmarks import nets
from benchmarks.problem import Problem
from benchmarks.task import NETWORKS, Task


@pytest.mark.parametrize("kind", ["TinynetNumpy", "Tinynet"])
@pytest.mark.parametrize("task", NETWORKS, ids=lambda task: task.name)
def test_steps(benchmark: Any, task: Task, kind: str) -> None:
    few = dataclasses.replace(task, batch=min(task.batch, 1_000), data="synthetic digits")
    few = dataclasses.replace(few, images=8 * few.batch, test_images=300)
    before = tinynet.config.backend()
    try:
        net = getattr(nets, kind)(Problem(few), 1)
        net.epoch()  # compiles the kernels, and allocates the buffers
        benchmark.group = task.name
        benchmark(net.epoch)
    finally:
        tinynet.config.set_backend(before)
