"""What pytest-benchmark needs."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for what runs in this process


def pytest_xdist_auto_num_workers() -> int:
    """Run benchmarks in this process, one after the other."""
    return 0
