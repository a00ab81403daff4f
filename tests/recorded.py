"""Recorded Keras results for the fast tests, because each program takes Keras about a second.

Tests that run Keras compare ``recorded.json`` with its current results. Run
``python -m tests.recorded`` to update the file after a program is added or changed.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result_files import require_keras

PATH = Path(__file__).with_name("recorded.json")


def plain(value: Any) -> Any:
    """Convert a value to JSON-compatible objects; float32 needs at most 9 digits."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, str | int | float):
        return value
    array = np.asarray(value)
    entries = array.ravel().tolist()
    if array.dtype == np.float32:
        entries = [float(f"{v:.9g}") for v in entries]
    return {"dtype": str(array.dtype), "shape": array.shape, "entries": entries}


def arrays(value: dict[str, Any]) -> Any:
    """Convert a dict created by `plain` to an array, and return other dicts unchanged."""
    if [*value] != ["dtype", "shape", "entries"]:
        return value
    return np.array(value["entries"], value["dtype"]).reshape(value["shape"])


@functools.cache
def results() -> dict[str, Any]:
    """Return all recorded results."""
    return json.loads(PATH.read_text(encoding="utf-8"), object_hook=arrays)


def result(*names: Any) -> Any:
    """Return the recorded result of a case, identified by the names of its table and parameters."""
    return results()[", ".join(map(str, names))]


def main() -> None:
    """Record the results of Keras."""
    parser = argparse.ArgumentParser("python -m tests.recorded", description=__doc__)
    parser.parse_args()
    reference = require_keras(parser)
    keras, tf = reference.keras, reference.tf
    from tests import test_callbacks, test_compat, test_custom_optimizers, test_hooks, test_merging

    found: dict[tuple[Any, ...], Any] = {}
    for program in test_hooks.PROGRAMS:
        found["hooks", program.__name__] = test_hooks.on_keras(program)
    for case in range(len(test_merging.MERGES)):
        found["merging", case] = test_merging.keras_results(case)
    for names, run in test_custom_optimizers.RECORDED.items():
        found[names] = run(keras)
    for swap_on_epoch in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            averaged = test_callbacks.averaged(keras, swap_on_epoch, Path(folder))
        found["swap", swap_on_epoch] = averaged
    for name, call in test_compat.CALLS.items():
        found["functions", name] = call(tf).numpy()
    for name in test_compat.DATASETS:
        found["datasets", name] = test_compat.described_dataset(tf, name)
    lines = [
        f"{json.dumps(', '.join(map(str, names)))}: {json.dumps(plain(value))}"
        for names, value in found.items()
    ]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
