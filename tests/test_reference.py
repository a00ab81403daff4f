"""The package `reference`: MNIST reader, command-line program, Keras model, and golden files.

Tests that need Keras use the fixture ``net``, and are skipped if TensorFlow is not installed.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import reference
from reference import mnist as reference_mnist
from reference.__main__ import main

FOLDER = Path(reference.__file__).parent
GOLDEN = FOLDER / "golden"
EPS = float(np.finfo(np.float32).eps)


@pytest.fixture(scope="module")
def net() -> ModuleType:
    pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")
    from reference import keras_net

    return keras_net


@pytest.fixture(scope="module")
def weights() -> ModuleType:
    from reference import weights

    return weights


def arrays(name: str, folder: Path = GOLDEN) -> dict[str, np.ndarray]:
    with np.load(folder / name, allow_pickle=False) as archive:
        return dict(archive)


def numbered(named: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    count = sum(name.removeprefix(prefix).isdigit() for name in named if name.startswith(prefix))
    return [named[f"{prefix}{i}"] for i in range(count)]


def small_batches(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    golden = arrays("small_net.npz")
    return [(golden["x"][i % 8], golden["y"][i % 8]) for i in range(count)]


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def tiny_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    data = {}
    (tmp_path / "mnist").mkdir()
    for name, count in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        write_idx(tmp_path / "mnist" / f"{name}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / "mnist" / f"{name}-labels-idx1-ubyte.gz", labels)
        data |= {f"{name}_images": images, f"{name}_labels": labels}
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path))
    return data


# The package


def test_reference_never_imports_tinynet() -> None:
    imported = set()
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    assert {"keras", "numpy", "reference"} <= imported
    assert "tinynet" not in imported


def test_import_sets_backend_without_importing_keras() -> None:
    program = (
        "import os, sys, reference, reference.mnist, reference.weights; "
        "print(os.environ['KERAS_BACKEND'], 'keras' in sys.modules, 'tensorflow' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["tensorflow", "False", "False"]


def test_other_backend_raises(net: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(RuntimeError, match=r"Received: the backend 'jax'$"):
        runpy.run_path(net.__file__)


# Reading MNIST


def test_load_data_reads_the_four_files(tiny_mnist: dict[str, np.ndarray]) -> None:
    (x_train, y_train), (x_test, y_test) = reference_mnist.load_data()
    for read, written in zip((x_train, y_train, x_test, y_test), tiny_mnist.values(), strict=True):
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, written)


def test_read_idx_names_invalid_file(tmp_path: Path) -> None:
    path = tmp_path / "some-idx1-ubyte.gz"
    write_idx(path, np.arange(6, dtype=np.uint8))
    whole = path.read_bytes()
    content = gzip.decompress(whole)
    for damaged, message in (
        (whole[:-12], "corrupted"),
        (b"plain text", "corrupted"),
        (gzip.compress(content[:-1]), r"corrupted.*Received: 5$"),
        (gzip.compress(b"\x00\x00\x0d" + content[3:]), r"Received: 00 00 0d$"),
        (gzip.compress(b""), r"Received: $"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=message) as caught:
            reference_mnist.read_idx(path)
        assert str(path) in str(caught.value)


def test_load_data_requires_matching_labels(
    tmp_path: Path, tiny_mnist: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz"
    write_idx(path, tiny_mnist["t10k_labels"][:-1])
    with pytest.raises(ValueError, match=r"Received: 20 images, 19 labels$"):
        reference_mnist.load_data()


# The program


def test_program_prints_and_writes_results(
    net: ModuleType,
    tiny_mnist: dict[str, np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "run.json"
    options = ["--epochs", "2", "--batch-size", "16", "--seed", "3", "--json", str(file)]
    assert main(options) == 0
    printed = capsys.readouterr().out.splitlines()
    report = json.loads(file.read_text(encoding="utf-8"))
    loss, accuracy = report["result"]["loss"], report["result"]["accuracy"]
    assert printed[0].startswith("Keras ")
    assert "on tensorflow " in printed[0]
    assert printed[-2:] == [f"Test loss: {loss:.4f}", f"Test accuracy: {accuracy:.4f}"]
    assert not any("\b" in line for line in printed)
    assert report["config"]["batch_size"] == 16
    assert [len(series) for series in report["history"].values()] == [2, 2]

    assert main(options) == 0
    again = json.loads(file.read_text(encoding="utf-8"))
    assert again["history"] == report["history"]
    assert (again["result"]["loss"], again["result"]["accuracy"]) == (loss, accuracy)


def test_program_reports_damaged_data(
    net: ModuleType,
    tiny_mnist: dict[str, np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(b"not an archive")
    assert main([]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path} is corrupted")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "options", [["--epochs", "0"], ["--batch-size", "x"], ["--json", "no/such/folder/run.json"]]
)
def test_program_checks_arguments_before_training(options: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2


# Weights and training in Keras


def test_original_program_network(net: ModuleType, weights: ModuleType) -> None:
    model = net.build_model()
    assert model.input_shape == (None, 28, 28)
    shapes = [weight.shape for weight in weights.get_weights(model)]
    assert shapes == [(784, 128), (128,), (128, 10), (10,)]
    smaller = net.build_model(hidden=9)
    assert weights.get_weights(smaller)[0].shape == (784, 9)
    state = weights.get_optimizer_state(model.optimizer)
    assert [array.shape for array in state[1::2]] == shapes
    assert [array.shape for array in state[2::2]] == shapes
    assert (state[0].dtype, int(state[0])) == (np.int64, 0)


def test_weights_round_trip(net: ModuleType, weights: ModuleType) -> None:
    given = numbered(arrays("small_net.npz"), "weight")
    model = net.build_model(given, sizes=(12, 7, 5, 3))
    taken = weights.get_weights(model)
    for array, original in zip(taken, given, strict=True):
        np.testing.assert_array_equal(array, original)
    taken[0][:] = 7  # a copy: the model must not change
    np.testing.assert_array_equal(weights.get_weights(model)[0], given[0])
    with pytest.raises(ValueError, match="shape"):
        weights.set_weights(model, [array.T for array in given])


def test_training_resumes_bit_identical(net: ModuleType, weights: ModuleType) -> None:
    start = numbered(arrays("small_net.npz"), "weight")
    batches = small_batches(10)
    whole = net.train_steps(net.build_model(start, sizes=(12, 7, 5, 3)), batches, record=(4, 10))
    resumed = net.build_model(whole[4].weights, sizes=(12, 7, 5, 3))
    weights.set_optimizer_state(resumed.optimizer, whole[4].optimizer_state)
    rest = net.train_steps(resumed, batches[4:], record=(6,))[6]
    assert rest.loss == whole[10].loss
    for array, expected in zip(
        rest.weights + rest.optimizer_state,
        whole[10].weights + whole[10].optimizer_state,
        strict=True,
    ):
        np.testing.assert_array_equal(array, expected)
    with pytest.raises(ValueError, match=r"must contain arrays of shapes .* Received: "):
        weights.set_optimizer_state(resumed.optimizer, whole[4].optimizer_state[:-1])


def test_gradients_match_training_step(net: ModuleType) -> None:
    start = numbered(arrays("small_net.npz"), "weight")
    (x, y), *_ = small_batches(1)
    sample_weight = arrays("small_net.npz")["sample_weight"]
    model = net.build_model(start, sizes=(12, 7, 5, 3))
    loss, gradients = net.loss_and_gradients(model, x, y, sample_weight)
    step = net.train_steps(model, [(x, y, sample_weight)], record=(1,))[1]
    # After the first step, m = (1 - beta_1) * g and v = (1 - beta_2) * g^2. The two sides may sum
    # the batch of 6 in different orders: a few rounding errors of sums with terms below 1.
    assert step.loss == pytest.approx(loss, rel=4 * EPS)
    for i, gradient in enumerate(gradients):
        m, v = step.optimizer_state[1 + 2 * i : 3 + 2 * i]
        np.testing.assert_allclose(m, 0.1 * gradient, rtol=8 * EPS, atol=EPS)
        np.testing.assert_allclose(v, 0.001 * gradient**2, rtol=16 * EPS, atol=1e-3 * EPS)


def test_epoch_equals_its_steps(net: ModuleType, weights: ModuleType) -> None:
    golden = arrays("fit.npz")
    start, x, y = numbered(golden, "weight"), golden["x"][:20], golden["y"][:20]
    cuts = [slice(0, 8), slice(8, 16), slice(16, 20)]
    by_fit = net.build_model(start, sizes=(12, 7, 5, 3))
    history = net.fit_epoch(by_fit, x, y, batch_size=8)
    by_step = net.build_model(start, sizes=(12, 7, 5, 3))
    steps = net.train_steps(by_step, [(x[cut], y[cut]) for cut in cuts], record=(1, 2, 3))
    assert sorted(history) == ["accuracy", "loss"]
    # The epoch's loss is the mean over samples, in float32 with one rounding error per batch.
    mean = sum(step.loss * n for step, n in zip(steps.values(), (8, 8, 4), strict=True)) / 20
    assert history["loss"] == [pytest.approx(mean, rel=8 * EPS)]
    # fit and train_on_batch compile the same step. The weights are below 1, so three steps give
    # three rounding errors; Adam adds some rounding errors of the gradients.
    for array, expected in zip(weights.get_weights(by_fit), steps[3].weights, strict=True):
        np.testing.assert_allclose(array, expected, rtol=0, atol=8 * EPS)


def test_too_few_batches_raise(net: ModuleType) -> None:
    model = net.build_model(sizes=(12, 3))
    with pytest.raises(ValueError, match=r"at least 3, .* Received: 2 batches$"):
        net.train_steps(model, small_batches(2), record=(1, 3))


def test_saturated_softmax_still_learns(net: ModuleType) -> None:
    model = net.build_model([np.eye(3), np.zeros(3)], sizes=(3, 3))
    loss, gradients = net.loss_and_gradients(model, [[100.0, 0.0, 0.0]], [1])
    assert loss == 100.0
    assert gradients[1].tolist() == [1, -1, 0]
    assert net.forward(model, [[100.0, 0.0, 0.0]]).tolist() == [[1, 0, 0]]


# The golden files


def test_golden_files_match_provenance() -> None:
    provenance = json.loads((GOLDEN / "provenance.json").read_text(encoding="utf-8"))
    assert {"keras", "backend", "tensorflow", "numpy"} <= set(provenance["versions"])
    assert provenance["versions"]["backend"] == "tensorflow"
    assert {"command", "date", "seed"} <= set(provenance)
    files = {path.name for path in GOLDEN.iterdir()}
    assert files == {*provenance["sha256"], "provenance.json"}
    for name, digest in provenance["sha256"].items():
        assert hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest() == digest, name
    assert sum(path.stat().st_size for path in GOLDEN.iterdir()) < 300_000


def test_golden_arrays_have_valid_dtypes() -> None:
    for path in GOLDEN.glob("*.npz"):
        for name, array in arrays(path.name).items():
            assert array.dtype in (np.float32, np.int64), (path.name, name)
            assert np.isfinite(array).all(), (path.name, name)


def test_golden_small_net_has_zero_rows() -> None:
    golden = arrays("small_net.npz")
    assert not golden["x"][0, 0].any()
    assert (golden["x"] == 0).mean() > 0.4
    assert (golden["gradient0"] == 0).any()


def test_golden_losses_match_hand_computed() -> None:
    golden = arrays("losses.npz")
    assert golden["softmax_model_loss"][0] == 100
    np.testing.assert_allclose(
        golden["logits_loss_none"][2:4], [0.40760595, 4.02474499], rtol=2 * EPS
    )
    np.testing.assert_allclose(  # log 2 twice (the second row is normalized), then -log 1e-7
        golden["probabilities_loss_none"][:3], [np.log(2), np.log(2), -np.log(1e-7)], rtol=2 * EPS
    )
    assert not golden["probabilities_gradient"][2].any()  # clipped: zero gradient


def test_golden_adam_matches_float64_formula() -> None:
    golden = arrays("adam.npz")
    provenance = json.loads((GOLDEN / "provenance.json").read_text(encoding="utf-8"))
    defaults = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    for name in ("default", "other"):
        options = {**defaults, **provenance["adams"][name]}
        beta_1, beta_2 = options["beta_1"], options["beta_2"]
        w = np.stack(numbered(golden, "start")).astype(np.float64)
        m, v = np.zeros_like(w), np.zeros_like(w)
        for t, g in enumerate(golden["gradient"].astype(np.float64), start=1):
            m += (1 - beta_1) * (g - m)
            v += (1 - beta_2) * (g**2 - v)
            alpha = options["learning_rate"] * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
            w -= alpha * m / (np.sqrt(v) + options["epsilon"])
            series = np.stack([array[t - 1] for array in numbered(golden, f"{name}_value")])
            # beta**t in float32 gives the step size a relative error of at most 1e-5; a step is at
            # most 4 learning rates. In addition, each step rounds w (|w| < 2) once.
            atol = t * (1e-5 * 4 * options["learning_rate"] + EPS)
            np.testing.assert_allclose(series, w, rtol=0, atol=atol)
        assert (np.abs(series - np.stack(numbered(golden, "start")))[:, 1:] > 0).any(axis=0).all()


def test_golden_initializers_fill_their_limits() -> None:
    report = json.loads((GOLDEN / "initializers.json").read_text(encoding="utf-8"))
    for drawn in report["glorot_uniform"]:
        fan_in, fan_out = drawn["shape"] * (3 - len(drawn["shape"]))
        limit = np.sqrt(6 / (fan_in + fan_out))
        # The probability that none of 1280 draws is in the outermost 0.5 % of the range is
        # 0.995**1280 = 0.2 %.
        assert 0.99 * limit < drawn["max"] <= limit * (1 + EPS)
        assert -limit * (1 + EPS) <= drawn["min"] < -0.99 * limit


def test_golden_history_has_keras_keys() -> None:
    report = json.loads((GOLDEN / "fit.json").read_text(encoding="utf-8"))
    histories = {name: run["history"] for name, run in report["fits"].items()}
    assert set(histories) == {"plain", "sample_weight", "class_weight"}
    for history in histories.values():
        assert list(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
        assert {len(series) for series in history.values()} == {3}
    assert histories["plain"]["loss"] != histories["class_weight"]["loss"]
    assert histories["plain"]["loss"] != histories["sample_weight"]["loss"]


def scale(name: str, array: np.ndarray) -> np.ndarray:
    """Return the magnitude that rounding errors are relative to: per element, or the largest."""
    magnitude = np.abs(array.astype(np.float64))
    if name in ("small_net.npz", "fit.npz"):
        return magnitude.max()
    if name == "adam.npz":  # each column has gradients of a different size
        return magnitude.max(axis=tuple(range(array.ndim - 1)))
    return magnitude + 1


@pytest.mark.slow
def test_golden_files_are_reproducible(net: ModuleType, tmp_path: Path) -> None:
    from reference import golden

    golden.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in GOLDEN.iterdir()}
    # Each of 200 steps rounds a weight with a relative error of at most eps / 2, in total 1.2e-5.
    tolerance = 200 * EPS / 2
    for path in sorted(GOLDEN.glob("*.npz")):
        fresh, committed = arrays(path.name, tmp_path), arrays(path.name)
        assert list(fresh) == list(committed)
        for name, expected in committed.items():
            assert fresh[name].shape == expected.shape, (path.name, name)
            error = np.abs(fresh[name].astype(np.float64) - expected)
            assert np.all(error <= tolerance * scale(path.name, expected)), (path.name, name)
    for name in ("fit.json", "initializers.json"):
        fresh_numbers, numbers = (
            numbers_in(json.loads((folder / name).read_text(encoding="utf-8")))
            for folder in (tmp_path, GOLDEN)
        )
        np.testing.assert_allclose(fresh_numbers, numbers, rtol=tolerance, atol=tolerance)


def numbers_in(report: object) -> list[float]:
    if isinstance(report, dict):
        return [number for value in report.values() for number in numbers_in(value)]
    if isinstance(report, list):
        return [number for value in report for number in numbers_in(value)]
    return [float(report)] if isinstance(report, int | float) else []
