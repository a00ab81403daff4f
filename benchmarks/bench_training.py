"""An epoch of 3,000 images of the 784-128-10 net at batch 32, in each contender."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.harness import Process


@pytest.mark.benchmark(group="epoch")
def test_epoch(benchmark: Any, contender: Process) -> None:
    request = {"do": "repeat", "measure": "epoch", "times": 1}
    benchmark.pedantic(contender.ask, kwargs=request, rounds=5)
