"""What a new process pays: importing each library, and the first `fit` in it."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contenders import CONTENDERS
from benchmarks.harness import ROOT, Process, SkipError
from benchmarks.task import Task


@pytest.mark.benchmark(group="import")
@pytest.mark.parametrize("package", ["numpy", "tinynet", "keras", "torch", "jax", "sklearn"])
def test_import(benchmark: Any, package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs the package {package}")
    command = [sys.executable, "-c", f"import {package}"]
    benchmark.pedantic(subprocess.run, [command], {"cwd": ROOT, "check": True}, rounds=3)


@pytest.mark.benchmark(group="process to the end of the first fit")
@pytest.mark.parametrize(
    ("key", "compiled"), [("tinynet-1", False), *((key, True) for key in CONTENDERS)]
)
def test_first_fit(benchmark: Any, key: str, compiled: bool, tmp_path: Path) -> None:
    task = dataclasses.asdict(Task(images=320, test_images=320))

    def run() -> None:
        process = Process(key, **({} if compiled else {"NUMBA_CACHE_DIR": str(tmp_path)}))
        try:
            process.ask(do="prepare", mode="first", task=task)
            process.ask(do="round")
        finally:
            process.close()

    try:
        benchmark.pedantic(run, rounds=1)
    except SkipError as reason:
        pytest.skip(str(reason))
