"""Configuration of pytest-benchmark."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for benchmarks in this process


def pytest_xdist_auto_num_workers() -> int:
    """Run benchmarks sequentially in this process."""
    return 0
