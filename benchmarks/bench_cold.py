"""What a new process pays: importing each library, and the first `fit` in it."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contenders import CONTENDERS, ROOT
from benchmarks.harness import Process, SkipError
from benchmarks.task import Task

KERNELS = "begin run count_rows record chain product linear_csr add_halves sort_csr learn_csr_adam"


@pytest.mark.benchmark(group="import")
@pytest.mark.parametrize("package", ["numpy", "tinynet", "keras", "torch", "jax", "sklearn"])
def test_import(benchmark: Any, package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs the package {package}")
    command = [sys.executable, "-c", f"import {package}"]
    benchmark.pedantic(subprocess.run, [command], {"cwd": ROOT, "check": True}, rounds=3)


@pytest.mark.benchmark(group="process to the end of the first fit")
@pytest.mark.parametrize(
    ("key", "compiled"),
    [("tinynet-1", False), ("tinynet-2", False), *((key, True) for key in CONTENDERS)],
)
def test_first_fit(benchmark: Any, key: str, compiled: bool, tmp_path: Path) -> None:
    task = dataclasses.asdict(Task(images=320, test_images=320))

    def run() -> None:
        folder = str(tmp_path)
        process = Process(key) if compiled else Process(key, cores=2, NUMBA_CACHE_DIR=folder)
        try:
            process.ask(do="prepare", mode="first", task=task)
            process.ask(do="round")
        finally:
            process.close()

    try:
        benchmark.pedantic(run, rounds=1)
    except SkipError as reason:
        pytest.skip(str(reason))


@pytest.mark.benchmark(group="kernels of the main network")
@pytest.mark.parametrize("compiled", [False, True])
def test_kernels(benchmark: Any, compiled: bool, tmp_path: Path) -> None:
    """Import the kernels' files, and get machine code from the cache or from the compiler."""
    program = f"""
from tinynet.kernels import object_code
from tinynet.program.machine import kernel_named
assert all(object_code.addresses([kernel_named(name) for name in {KERNELS.split()}]))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    given: dict[str, Any] = {"cwd": ROOT, "check": True, "env": environment}
    if compiled:
        subprocess.run(command, **given)
    benchmark.pedantic(subprocess.run, [command], given, rounds=3 if compiled else 1)
