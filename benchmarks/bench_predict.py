"""Predictions of the 784-128-10 net in each contender; for one image, of a thousand calls."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.harness import Process, SkipError

TIMES = {
    "predict, 1 image": 1000,
    "model(x), 1 image": 1000,
    "predict, all test images": 1,
    "evaluate, all test images": 1,
}


@pytest.mark.parametrize("measure", TIMES)
def test_predict(benchmark: Any, contender: Process, measure: str) -> None:
    benchmark.group = f"{TIMES[measure]} x {measure}"
    times = TIMES[measure] if benchmark.enabled else 1
    request = {"do": "repeat", "measure": measure, "times": times}
    try:
        contender.ask(**{**request, "times": 1})
    except SkipError as reason:
        pytest.skip(str(reason))
    benchmark.pedantic(contender.ask, kwargs=request, rounds=3)
