"""What the pytest-benchmark suites share: a contender's process, checked and warm."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for what runs in this process

from benchmarks.contenders import CONTENDERS
from benchmarks.harness import Process, SkipError
from benchmarks.task import Task


def pytest_xdist_auto_num_workers() -> int:
    """Run benchmarks in this process, one after the other."""
    return 0


@pytest.fixture(scope="session", params=CONTENDERS)
def contender(request: Any) -> Iterator[Process]:
    """Each contender in turn, in a process of its own, ready to train on 3,000 images."""
    try:
        process = Process(request.param)
    except SkipError as reason:
        pytest.skip(str(reason))
    try:
        task = dataclasses.asdict(Task(images=3_000))
        process.ask(do="prepare", mode="train", task=task)
        yield process
    except SkipError as reason:
        pytest.skip(str(reason))
    finally:
        process.close()
