"""Table of the contenders.

A contender with n cores is pinned to n cores if the operating system supports it, and all of its
libraries are configured to use n threads.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Contender:
    """Library and settings to measure. `net` is the name of a class in ``nets.py``."""

    label: str
    how: str  # description of the training loop
    net: str
    cores: int
    packages: tuple[str, ...]  # required packages
    environment: dict[str, str] = field(default_factory=dict)
    rounds: int = 0  # number of rounds in which it takes part; 0 for all
    folder: str = ""  # virtual environment, relative to the repository

    @property
    def python(self) -> str:
        """Path of the Python interpreter."""
        return str(ROOT / self.folder / "bin" / "python") if self.folder else sys.executable

    def variables(self, **more: str) -> dict[str, str]:
        """Return the environment variables of the process; XLA flags are concatenated."""
        threads = dict.fromkeys(_THREADS, str(self.cores))
        sources = (os.environ, threads, self.environment, more)
        flags = " ".join(source["XLA_FLAGS"] for source in sources if "XLA_FLAGS" in source)
        merged = {name: value for source in sources for name, value in source.items()}
        merged.pop("PYTHONDONTWRITEBYTECODE", None)  # so that bytecode is cached
        return {**merged, **({"XLA_FLAGS": flags} if flags else {})}

    def obstacle(self) -> str:
        """Return the reason why the contender is not available, or an empty string."""
        if self.folder and not os.path.exists(self.python):
            return f"requires a virtual environment in {self.folder}; see benchmarks/README.md"
        for package in () if self.folder else self.packages:
            if importlib.util.find_spec(package) is None:
                return f"requires the package {package}, which is not installed"
        if self.cores > (have := len(cores())):
            return f"requires {self.cores} cores. Received: {have}"
        return ""


_THREADS = (
    *(f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")),
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def cores() -> list[int]:
    """Return the cores available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(count: int) -> None:
    """Pin this process and its threads to a number of cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores()[-count:])


# TensorFlow with its default, oneDNN, and without warnings about a missing GPU.
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
_COMPILED = ("PyTorch, torch.compile", "loop, compiled step", "TorchCompiled")
_SCAN = ("JAX", "epoch in one scan", "Jax")
_TF = ("keras", "tensorflow")
_OLD_SCAN = ("JAX 0.4.31", "epoch in one scan", "Jax")
_OLD = "output/jax-0.4.31"
_XLA = ("Keras on TensorFlow, XLA", "fit, many steps per call", "KerasXla")
_ONNX = ("ONNX Runtime", "only predicts", "Onnx")
CONTENDERS: dict[str, Contender] = {
    "tinynet-1": Contender("tinynet", "fit", "Tinynet", 1, _OURS),
    "tinynet-2": Contender("tinynet", "fit", "Tinynet", 2, _OURS),
    "tinynet-numpy": Contender(
        "tinynet's numpy backend", "fit", "TinynetNumpy", 1, ("tinynet", "numpy")
    ),
    "keras-tf-1": Contender(*_KERAS, 1, _TF, _TENSORFLOW),
    "keras-tf-2": Contender(*_KERAS, 2, _TF, _TENSORFLOW),
    "keras-jax-2": Contender(
        "Keras on JAX", "fit", "Keras", 2, ("keras", "jax"), {"KERAS_BACKEND": "jax", **_JAX}
    ),
    "torch-1": Contender(*_TORCH, 1, ("torch",)),
    "torch-2": Contender(*_TORCH, 2, ("torch",)),
    "jax-1": Contender(*_SCAN, 1, ("jax",), {**_JAX, **_ONE_EIGEN}),
    "jax-2": Contender(*_SCAN, 2, ("jax",), _JAX),
    "jax-0.4.31-1": Contender(*_OLD_SCAN, 1, ("jax",), {**_JAX, **_ONE_EIGEN}, 3, _OLD),
    "jax-0.4.31-2": Contender(*_OLD_SCAN, 2, ("jax",), _JAX, 3, _OLD),
    "keras-xla-1": Contender(*_XLA, 1, _TF, {**_TENSORFLOW, **_ONE_EIGEN}, 3),
    "keras-xla-2": Contender(*_XLA, 2, _TF, _TENSORFLOW, 3),
    "torch-compile-1": Contender(*_COMPILED, 1, ("torch",), rounds=3),
    "torch-compile-2": Contender(*_COMPILED, 2, ("torch",), rounds=3),
    "onnx-1": Contender(*_ONNX, 1, ("onnxruntime", "onnx")),
    "onnx-2": Contender(*_ONNX, 2, ("onnxruntime", "onnx")),
    "sklearn-1": Contender("scikit-learn", "MLPClassifier", "Sklearn", 1, ("sklearn",)),
    "blas-1": Contender("BLAS", "first layer's two products only", "Blas", 1, ("numpy",)),
}


def only_avx2() -> dict[str, str]:
    """Return environment variables that disable AVX-512 in all contenders."""
    import llvmlite.binding
    from numpy.__config__ import CONFIG

    ours = llvmlite.binding.get_host_cpu_features().items()
    avx512 = [name for name, _ in ours if name.startswith("avx512")]
    others = [name for name, present in ours if present and name not in avx512]
    numpys = CONFIG.get("SIMD Extensions", {}).get("found", [])
    return {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": ",".join([f"+{n}" for n in others] + [f"-{n}" for n in avx512]),
        "NPY_DISABLE_CPU_FEATURES": " ".join(n for n in numpys if n[:6] in ("AVX512", "X86_V4")),
        "OPENBLAS_CORETYPE": "Haswell",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    }
