"""Programs with custom losses, layers, models and training steps, run with Keras and tinynet.

The programs resemble public code; only import lines change. Both libraries start from Keras'
weights and train on the same batches in the same order. After at most 300 steps, the losses and
all weights are compared.
"""

from __future__ import annotations

import runpy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.import_lines import replace_imports

PROGRAMS = sorted((Path(__file__).parent / "custom_programs").glob("*.py"))
PROGRAMS = [path for path in PROGRAMS if path.stem not in ("common", "conftest")]
# Rounding errors grow over 300 steps; a wrong derivative causes errors about 100 times as large.
ROOM = 2e-4


def weights_of(models: Any) -> list[np.ndarray]:
    each = models if isinstance(models, tuple) else (models,)
    return [np.array(w) for model in each for w in model.weights]


def set_weights(models: Any, values: list[np.ndarray]) -> None:
    each = models if isinstance(models, tuple) else (models,)
    variables = [w for model in each for w in model.weights]
    assert [tuple(v.shape) for v in variables] == [v.shape for v in values]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def run(program: dict[str, Any], start: Any = None) -> Any:
    """Build and train the models; return the initial weights, the losses and the final weights."""
    inputs = program["data"](np.random.default_rng(0))
    models = program["make"]()
    if start is not None:
        set_weights(models, start)
    start = weights_of(models)
    losses = program["train"](models, *inputs)
    return start, losses, weights_of(models)


def close(found: Any, expected: Any) -> bool:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return bool(np.abs(found - expected).max() <= ROOM * max(np.abs(expected).max(), 1e-3))


def test_custom_programs_cover_all_kinds() -> None:
    texts = [path.read_text(encoding="utf-8") for path in PROGRAMS]
    custom = [t for t in texts if any(w in t for w in ("def call(", "def train_step", "Tape("))]
    assert len(texts) >= 18
    assert len(custom) >= 12


@pytest.mark.slow
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_custom_program_matches_keras(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs Keras on TensorFlow")
    from reference.keras_net import keras

    keras.utils.set_random_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings raised by Keras
        start, their_losses, theirs = run(runpy.run_path(str(path)))
    copy = tmp_path / path.name
    copy.write_text(replace_imports(path.read_text(encoding="utf-8")), encoding="utf-8")
    _, our_losses, ours = run(runpy.run_path(str(copy)), start)
    assert len(our_losses) == len(their_losses)
    assert close(our_losses, their_losses)
    for i, (a, b, c) in enumerate(zip(ours, theirs, start, strict=True)):
        assert close(a, b), f"weight {i} of shape {a.shape}"
        assert a.shape == c.shape
    assert any(not np.array_equal(a, c) for a, c in zip(ours, start, strict=True))
