"""Who takes part: one table.

A contender with n cores is pinned to n cores, where the operating system can do that, and every
library that it is made of is told to use n threads: nobody has helpers on the side.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contender:
    """One row: `net` is a class in ``nets.py``, `packages` what it needs, imports and names."""

    label: str
    how: str  # it trains
    net: str
    cores: int
    packages: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """Return the environment that its process starts with."""
        threads = dict.fromkeys(_THREADS, str(self.cores))
        return {**os.environ, **threads, **self.environment}

    def obstacle(self) -> str:
        """Say why it can't take part; empty if it can."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return f"needs the package {package}, which is not installed"
        if self.cores > (have := len(cores())):
            return f"needs {self.cores} cores, this machine has {have}"
        return ""


_THREADS = (
    *(f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")),
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(count: int) -> None:
    """Keep this process, and every thread that it starts, on so many cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores()[-count:])


# TensorFlow as it comes, with oneDNN; silent about machines without a graphics card.
_TENSORFLOW = {
    "KERAS_BACKEND": "tensorflow",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
}
_JAX = {"JAX_PLATFORMS": "cpu"}
_ONE_EIGEN = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}

_OURS = ("tinynet", "numba", "numpy")
_KERAS = ("Keras on TensorFlow", "fit", "Keras")
_TORCH = ("PyTorch", "loop, fused Adam", "Torch")
_SCAN = ("JAX", "epoch in one scan", "Jax")
CONTENDERS: dict[str, Contender] = {
    "tinynet-1": Contender("tinynet", "fit", "Tinynet", 1, _OURS),
    "tinynet-2": Contender("tinynet", "fit", "Tinynet", 2, _OURS),
    "tinynet-numpy": Contender(
        "tinynet's numpy backend", "fit", "TinynetNumpy", 1, ("tinynet", "numpy")
    ),
    "keras-tf-1": Contender(*_KERAS, 1, ("keras", "tensorflow"), _TENSORFLOW),
    "keras-tf-2": Contender(*_KERAS, 2, ("keras", "tensorflow"), _TENSORFLOW),
    "keras-jax-2": Contender(
        "Keras on JAX", "fit", "Keras", 2, ("keras", "jax"), {"KERAS_BACKEND": "jax", **_JAX}
    ),
    "torch-1": Contender(*_TORCH, 1, ("torch",)),
    "torch-2": Contender(*_TORCH, 2, ("torch",)),
    "jax-1": Contender(*_SCAN, 1, ("jax",), {**_JAX, **_ONE_EIGEN}),
    "jax-2": Contender(*_SCAN, 2, ("jax",), _JAX),
    "sklearn-1": Contender("scikit-learn", "MLPClassifier", "Sklearn", 1, ("sklearn",)),
    "blas-1": Contender("BLAS", "first layer's two products only", "Blas", 1, ("numpy",)),
}
