"""Tests that may use private names: compiled programs, kernels and the thread pool."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.contenders import only_avx2
from tests import HUNG
from tinynet import config, utils

ROOT = Path(__file__).parents[2]

#: Run a test with AVX2 kernels and without compiled kernels.
on_other_processors = pytest.mark.parametrize(
    "settings", [only_avx2(), {"NUMBA_DISABLE_JIT": "1"}], ids=["AVX2", "none"]
)


def printed(program: str, *arguments: str, **environment: str) -> str:
    """Run a program in a new process, assert that it succeeds, and return its output."""
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HUNG,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return run.stdout


def aligned(*shape: int, kind: Any = np.float32) -> Any:
    """Return an array filled with NaN or -1 that shares no cache line with other data."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    memory = np.full(size + 128, 0xFF, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size].view(kind).reshape(shape)


def call(kernel: Any, parts: int = 1, **words: Any) -> None:
    """Call a kernel for each part, passing arrays by address."""
    given = {
        name: word.ctypes.data if isinstance(word, np.ndarray) else word
        for name, word in words.items()
    }
    row = kernel.row(**given)
    for part in range(parts):
        kernel(row, part, parts)


def assert_tests_pass(file: str, *options: str, **environment: str) -> None:
    """Run a file's tests that are not slow in a new process."""
    program = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    always = ("-q", "-p", "no:cacheprovider", "-m", "not slow")
    printed(program, file, *always, *options, **environment)


def train_rows(model: Any) -> Any:
    """Return the rows of the most recent training step, which must be compiled."""
    program = [p for (kind, *_), p in model._programs.items() if kind == "train"][-1]
    assert program._compiled[-1] is not None, program.why
    return program._compiled[-1]


def on_both(run: Callable[[], Any], seed: int = 3) -> list[Any]:
    """Call a function with the numpy backend and then with the numba backend."""
    before, found = config.backend(), []
    for backend in ("numpy", "numba"):
        config.set_backend(backend)
        utils.set_random_seed(seed)
        found.append(run())
    config.set_backend(before)
    return found
