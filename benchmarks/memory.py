"""Measure the memory that `fit`, `evaluate` and `predict` need, relative to the size of the data.

``python -m benchmarks.memory`` calls each method with 60,000 images of several data types, each in
a separate process, and prints the increase of the peak memory use: of NumPy arrays (tracemalloc),
and of the resident set of the process (Linux only). The memory for 2,048 images (weights, optimizer
state, registers of the program) is listed separately as fixed; the ratio is the remaining memory,
divided by the size of the remaining images. It must not exceed 1.2.

Finally, the benchmark trains on a memory-mapped file of 6 GB, stored as a sparse file, with the
additional memory of the process limited to 128 MB.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import subprocess
import sys
import tempfile
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import tinynet as keras
from benchmarks.problem import main_network
from tinynet._core.text_tables import Table

#: Density and data type; MNIST has a density of 19 %.
DATA = {
    "uint8, 19 % non-zero": (0.19, "uint8"),
    "uint8, 25 % non-zero": (0.25, "uint8"),
    "uint8, no zeros": (1.0, "uint8"),
    "float32, 19 % non-zero": (0.19, "float32"),
    "float32, no zeros": (1.0, "float32"),
    "float64, 19 % non-zero": (0.19, "float64"),
    "float64, no zeros": (1.0, "float64"),
}
#: Calls to measure, with model, inputs and labels as arguments.
CALLS: dict[str, Any] = {
    "fit": lambda model, x, y: model.fit(x, y, verbose=0),
    "validation_split": lambda model, x, y: model.fit(x, y, validation_split=0.2, verbose=0),
    "validation_data": lambda model, x, y: model.fit(x, y, validation_data=(x, y), verbose=0),
    "evaluate": lambda model, x, y: model.evaluate(x, y, verbose=0),
    "predict": lambda model, x, y: model.predict(x, verbose=0),
}
FEW, ALL, MOST = 2048, 60_000, 1.2


def images(n: int, density: float, dtype: str) -> Any:
    """Generate images of a given density, with pixels from 0 to 255 or from 0 to 1."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 256, (n, 28, 28), np.uint8)
    x[rng.random(x.shape, np.float32) >= density] = 0
    return x if dtype == "uint8" else np.divide(x, 255, dtype=dtype)


def build(rescales: bool, shape: tuple[int, ...] = (28, 28)) -> Any:
    """Build the 784-128-10 network."""
    first = [keras.layers.Rescaling(1 / 255)] if rescales else []
    return main_network(keras, *first, shape=shape)


def peaks(call: Any, rescales: bool, x: Any, y: Any, resident: bool = False) -> list[int]:
    """Return the peak memory use in bytes for the first `FEW` images, and for all."""
    found = []
    for n in (FEW, FEW, len(x)):  # the first call is repeated, because it compiles
        model, few, labels = build(rescales), x[:n], y[:n]
        gc.collect()
        if resident:
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
            before = status("VmRSS")
            call(model, few, labels)
            found.append(status("VmHWM") - before)
        else:
            tracemalloc.start()
            call(model, few, labels)
            found.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    return found[1:]


def ratio(found: list[int], x: Any, y: Any) -> float:
    """Return the additional memory per additional byte of data after the first `FEW` images."""
    passed = x.nbytes + y.nbytes - x[:FEW].nbytes - y[:FEW].nbytes
    return (found[1] - found[0]) / passed


def status(name: str) -> int:
    """Return a value of ``/proc/self/status`` in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def limit(megabytes: int) -> bool:
    """Limit the additional memory of this process; return True if the limit is effective."""
    import resource

    most = status("VmData") + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    try:
        np.empty(2 * megabytes << 20, np.uint8)
    except MemoryError:
        return True
    return False


def mapped(folder: Path, gigabytes: float, density: float) -> Any:
    """Create a memory-mapped file of float32, with a few non-zero examples."""
    n = int(gigabytes * 1e9 / (784 * 4))
    written: Any = np.lib.format.open_memmap(folder / "x.npy", "w+", "float32", (n, 784))
    rows = written[:: max(n // 1000, 1)]  # the rows from which the density is estimated
    rows[...] = images(len(rows), density, "float32").reshape(len(rows), 784)
    del written
    return np.load(folder / "x.npy", mmap_mode="r")


def train_mapped(folder: Path, gigabytes: float, density: float) -> str:
    """Run all calls on a memory-mapped file, with 128 MB of additional memory."""
    x = mapped(folder, gigabytes, density)
    y = (np.arange(len(x)) % 10).astype(np.uint8)
    few = np.array(x[:FEW])
    for call in CALLS.values():
        call(build(False, (784,)), few, y[:FEW])
    limited, before = limit(128), status("RssAnon")
    model = build(False, (784,))
    steps = {"batch_size": 32, "verbose": 0}
    model.fit(x, y, steps_per_epoch=20, validation_split=0.1, validation_steps=5, **steps)
    model.fit(x, y, steps_per_epoch=20, shuffle=False, **steps)
    model.evaluate(x, y, steps=20, **steps)
    model.predict(x, steps=20, **steps)
    more = (status("RssAnon") - before) / 1e6
    note = "" if limited else " (the system does not support the limit)"
    return f"{x.nbytes / 1e9:.1f} GB memory-mapped: {more:.0f} MB of memory at the end{note}"


def measure(data: str, rescales: bool, call: str) -> tuple[list[str], float]:
    """Measure one call; return a row of the table, and the largest ratio."""
    x = images(ALL, *DATA[data])
    y = (np.arange(ALL) % 10).astype(np.uint8)
    kinds = [False, True] if sys.platform == "linux" else [False]
    row, largest = [data, "Rescaling" if rescales else "", call], 0.0
    for resident in kinds:
        found = peaks(CALLS[call], rescales, x, y, resident)
        largest = max(largest, ratio(found, x, y))
        row += [f"{found[0] / 1e6:.1f}", f"{ratio(found, x, y):.2f}"]
    return row, largest


def main() -> None:
    """Measure all calls, each in a separate process."""
    warnings.simplefilter("ignore")  # about unscaled inputs
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser("python -m benchmarks.memory", None, summary)
    parser.add_argument("--one", nargs=3, help="internal: measure one call")
    parser.add_argument("--mapped", nargs=2, help="internal: train on a file of this size in GB")
    arguments = parser.parse_args()
    if arguments.one:
        data, rescales, call = arguments.one
        row, largest = measure(data, rescales == "True", call)
        print(*row, largest, sep=";")
        return
    if arguments.mapped:
        with tempfile.TemporaryDirectory() as folder:
            print(train_mapped(Path(folder), *map(float, arguments.mapped)))
        return

    def run(*options: str) -> str:
        command = [sys.executable, "-m", "benchmarks.memory", *options]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    rows, worst = [], 0.0
    for data, rescales, call in itertools.product(DATA, (False, True), CALLS):
        if not rescales or data.startswith("uint8"):
            *row, last = run("--one", data, str(rescales), call).split(";")
            rows.append(row)
            worst = max(worst, float(last))
    header = ["data", "", "call", "fixed, MB", "ratio", "fixed, resident, MB", "ratio"]
    print(Table("Memory per byte of data", header[: len(rows[0])], rows, words=(0, 1, 2)))
    print(f"largest ratio: {worst:.2f} (limit: {MOST})")
    for density in ("0.19", "1"):
        print(run("--mapped", "6", density))
    sys.exit(worst > MOST)


if __name__ == "__main__":
    main()
