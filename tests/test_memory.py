"""Models allocate little memory in addition to the data, and copy no memory-mapped arrays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from benchmarks import memory
from tests.models import bits
from tinynet import config, sparse
from tinynet.sparse import CompressedRows, LazyRows
from tinynet.training import data_adapters

pytestmark = pytest.mark.filterwarnings("ignore:x must be scaled")


@pytest.fixture(autouse=True)
def _backend() -> None:
    config.set_backend("numba")


@pytest.mark.slow
@pytest.mark.parametrize("call", memory.CALLS)
@pytest.mark.parametrize("kind", memory.DATA)
def test_memory_is_bounded(kind: str, call: str) -> None:
    x, y = memory.images(12_000, *memory.DATA[kind]), np.arange(12_000) % 10
    for rescales in (False, True)[: 2 if x.dtype == np.uint8 else 1]:
        found = memory.peaks(memory.CALLS[call], rescales, x, y.astype(np.uint8))
        assert memory.ratio(found, x, y.astype(np.uint8)) < memory.MOST


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory usage from /proc")
@pytest.mark.parametrize("density", ["0.19", "1"])
def test_memory_mapped_array_is_not_copied(density: str) -> None:
    """The process may use 128 MB of additional memory for a file of 1 GB."""
    command = [sys.executable, "-m", "benchmarks.memory", "--mapped", "1", density]
    subprocess.run(command, check=True, capture_output=True)


def net(shape: tuple[int, ...]) -> keras.Sequential:
    keras.utils.set_random_seed(1)
    last = [keras.layers.Dense(32, "relu"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), *last])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def mostly_zero(rng: Any, shape: Any, dtype: Any) -> np.ndarray:
    return (rng.integers(1, 100, shape) * (rng.random(shape) < 0.2)).astype(dtype)


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"validation_split": 0.3}], ids=str)
@pytest.mark.parametrize("dtype", [">i2", "uint8", "float32", "float64"])
def test_batchwise_compression_is_bit_identical(
    dtype: str, options: Any, rng: Any, monkeypatch: Any
) -> None:
    x, y = mostly_zero(rng, (103, 6, 5), dtype), rng.integers(0, 3, 103)
    monkeypatch.setattr(sparse, "MAX_SIZE", 100)
    found = []
    for lazy in (False, True):
        monkeypatch.setattr(sparse, "_is_memory_mapped", lambda x, lazy=lazy: lazy)
        model = net((6, 5))
        history = model.fit(x, y, batch_size=16, epochs=2, verbose=0, **options).history
        found.append((history, bits(model)))
    assert found[0] == found[1]


@pytest.mark.parametrize("density", [0.2, 1.0])
def test_memory_mapped_arrays_are_bit_identical(density: float, tmp_path: Path, rng: Any) -> None:
    x = rng.random((90, 20)).astype("float32") * (rng.random((90, 20)) < density)
    y = rng.integers(0, 3, 90)
    np.save(tmp_path / "x.npy", x)
    found = []
    for given in (x, np.load(tmp_path / "x.npy", mmap_mode="r")):
        model = net((20,))
        model.fit(given, y, verbose=0, validation_data=(given, y))
        results = model.evaluate(given, y, verbose=0), model.predict(given, verbose=0).tolist()
        found.append((results, bits(model)))
    assert found[0] == found[1]


def test_compress_is_lazy_for_mapped_or_dense_data(tmp_path: Path) -> None:
    x = np.zeros((100, 60), "float32")
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for given in (mapped, np.asarray(mapped)[3:], mapped.reshape(100, 6, 10).view(np.ndarray)):
        assert isinstance(sparse.compress(given, "float32"), LazyRows)
    buffer = np.frombuffer(memoryview(mapped.base), "float32", offset=128)
    assert isinstance(sparse.compress(buffer.reshape(100, 60), "float32"), LazyRows)
    assert isinstance(sparse.compress(np.array(mapped), "float32"), CompressedRows)
    images = np.zeros((100, 1000), np.uint8)
    for count, kind in ((180, CompressedRows), (200, LazyRows)):
        images[:, :count] = 1
        assert type(sparse.compress(images, "float32")) is kind


@pytest.mark.parametrize("dtype", ["bool", "uint8", "<i4", ">f4", "float64"])
@pytest.mark.parametrize("n", [0, 1, 9, 70])
def test_lazy_rows_equal_compressed_rows(n: int, dtype: str, rng: Any, monkeypatch: Any) -> None:
    """The data includes arrays larger than one block and non-contiguous arrays."""
    monkeypatch.setattr(sparse, "_COPIED", 200)
    monkeypatch.setattr(sparse, "_CONVERTED", 60)
    x = mostly_zero(rng, (70, 4, 11), dtype)
    for given in (x, x[::2], x[:, :, ::3], np.asfortranarray(x)):
        rows = rng.permutation(len(given))[:n]
        batch = LazyRows(given, "float32")[2:-1].batch(rows[rows < len(given) - 3])
        expected = CompressedRows(given, "float32")[2:-1].batch(rows[rows < len(given) - 3])
        assert batch.shape == expected.shape
        np.testing.assert_array_equal(batch.expanded("float32"), expected.expanded("float32"))


def test_ordered_batches_keep_targets_aligned() -> None:
    """The inputs, targets and sample weights of each batch stay aligned."""
    x, y = np.eye(50, dtype="float32"), np.arange(50)
    for rows in (CompressedRows(x, "float32"), LazyRows(x, "float32"), x):
        batches = [*data_adapters.Examples(rows, y, y * 2.0).batches(7)]
        assert np.concatenate([y for _, y, _ in batches]).tolist() == y.tolist()
        assert np.concatenate([w for _, _, w in batches]).tolist() == (y * 2.0).tolist()


@pytest.mark.parametrize("row", [0, 1, 6, 39])
@pytest.mark.parametrize("form", ["dense", "whole", "lazy"])
def test_require_finite_reports_row(form: str, row: int, rng: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(data_adapters, "_PART", 21)
    x = mostly_zero(rng, (40, 10), "float32")
    x[1] = 0
    assert data_adapters.require_finite("x", x) == np.abs(x).max()
    x[row, 3], x[-1, 8] = np.inf, np.nan
    forms: Any = {"dense": x, "whole": CompressedRows(x, "float32")}
    given = forms.get(form, LazyRows(x, "float32"))
    for part, first in ((given, row), (given[:], row), (given[row:], 0)):
        expected = (
            rf"2 of {len(part) * 10} values not finite; the first is inf in row {first}, column 'd'"
        )
        with pytest.raises(ValueError, match=expected):
            data_adapters.require_finite("x", part, [*"abcdefghij"])


def test_lazy_rows_report_float32_overflow() -> None:
    x = np.zeros((5, 4))
    x[3, 1] = 1e300
    with pytest.raises(ValueError, match=r"1 of 20 values not finite; the first is inf in row 3$"):
        data_adapters.require_finite("x", LazyRows(x, "float32"), None, np.dtype("float32"))
