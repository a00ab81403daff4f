"""Results of Keras that everyday tests compare with: Keras itself needs a second for each.

They are kept in ``recorded.json``, and the tests that run Keras compare them with its current
results. ``python -m tests.recorded`` writes the file; a program that is new or changed needs that.
"""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

PATH = Path(__file__).with_name("recorded.json")


def plain(value: Any) -> Any:
    """Return what JSON can hold; float32 has 9 digits at the most."""
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
    """Return the array of which `plain` has made a dict, and any other dict as it is."""
    if [*value] != ["dtype", "shape", "entries"]:
        return value
    return np.array(value["entries"], value["dtype"]).reshape(value["shape"])


@functools.cache
def results() -> dict[str, Any]:
    """Return all that is recorded."""
    return json.loads(PATH.read_text(encoding="utf-8"), object_hook=arrays)


def result(*names: Any) -> Any:
    """Return what was recorded for a case, which is named by its table and its parameters."""
    return results()[", ".join(map(str, names))]


def main() -> None:
    """Run on Keras what is recorded."""
    from reference.keras_net import keras, tf
    from tests import test_callbacks, test_compat, test_custom_optimizers, test_hooks, test_merging

    found: dict[tuple[Any, ...], Any] = {}
    for program in test_hooks.PROGRAMS:
        found["hooks", program.__name__] = test_hooks.on_keras(program)
    for case in range(len(test_merging.MERGES)):
        found["merging", case] = test_merging.on_keras(case)
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
