"""A net in ONNX' own runtime says what it said here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import tinynet as keras
from tinynet import activations, onnx_export
from tinynet.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    Input,
    LeakyReLU,
    ReLU,
    Rescaling,
    Reshape,
    Softmax,
)


def run(path: Path, x: Any) -> Any:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


def outputs(model: Any, x: Any, path: Path) -> tuple[Any, Any]:
    """Return the outputs of ONNX' runtime, and those of tinynet."""
    keras.export_onnx(model, path)
    return run(path, x), model.predict(x, verbose=0)


def close(got: Any, expected: Any, terms: int = 1) -> None:
    """Compare two float results: some roundings an element, and more for sums of many terms."""
    eps = np.finfo(expected.dtype).eps
    bound = eps * (8 + 2 * np.sqrt(terms))
    np.testing.assert_allclose(got, expected, rtol=bound, atol=bound)
    assert got.dtype == expected.dtype


def test_probabilities_of_a_thousand_digits(digits: Any, tmp_path: Path) -> None:
    (x, y), (x_test, _) = digits
    model = keras.Sequential(
        [
            Input((28, 28)),
            Flatten(),
            Dense(128, activation="relu"),
            Dropout(0.2),
            BatchNormalization(),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=1, verbose=0)
    path = tmp_path / "net.onnx"
    model.export(path, format="onnx")
    images = x_test[:1000]
    expected = model.predict(images, verbose=0)
    got = run(path, images)
    # Sums of 784 terms of size 1 in float32 lie 2 * 6e-8 * sqrt(784) = 3e-6 apart at worst, in
    # the logits; a probability's slope in them is at most a quarter, and rounding is seldom worst.
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_array_equal(run(path, images[:1]).argmax(), expected[0].argmax())


def test_what_the_file_declares(tmp_path: Path) -> None:
    model = keras.Sequential([Input((2, 3)), Flatten(), Dense(2)], name="small")
    model.export(tmp_path / "net.onnx")
    file = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(file, full_check=True)
    assert [(o.domain, o.version) for o in file.opset_import] == [("", onnx_export.OPSET)]
    assert (file.producer_name, file.graph.name) == ("tinynet", "small")
    sizes = [
        [d.dim_param or d.dim_value for d in end.type.tensor_type.shape.dim]
        for end in (*file.graph.input, *file.graph.output)
    ]
    assert sizes == [["N", 2, 3], ["N", 2]]
    for n in (1, 2, 7):
        assert run(tmp_path / "net.onnx", np.ones((n, 2, 3), np.float32)).shape == (n, 2)


ALL = sorted(set(activations._registry.names) - {"swish", "hard_swish"})


@pytest.mark.parametrize("name", ALL)
def test_every_activation(name: str, tmp_path: Path) -> None:
    model = keras.Sequential([Input((400,)), Activation(name)])
    x = np.linspace(-9, 9, 400, dtype=np.float32).reshape(1, -1)
    close(*outputs(model, x, tmp_path / "net.onnx"), terms=400)


def test_a_net_of_float64_goes_out_in_float32(tmp_path: Path) -> None:
    model = keras.Sequential([Input((4,)), Dense(3, activation="softmax", dtype="float64")])
    model.dtype = "float64"
    got, expected = outputs(model, np.ones((2, 4), np.float32), tmp_path / "net.onnx")
    close(got, expected.astype(np.float32), terms=4)


LAYERS: dict[str, list[Any]] = {
    "options of relu": [ReLU(max_value=4.0, negative_slope=0.2, threshold=0.5)],
    "relu up to": [ReLU(max_value=2.0)],
    "leaky": [LeakyReLU(0.1)],
    "elu": [Activation(activations.elu.with_options(alpha=0.5))],
    "gelu": [Activation(activations.gelu.with_options(approximate=True))],
    "softmax": [Softmax()],
    "softmax along another axis": [Softmax(axis=1)],
    "dense on the last axis": [Dense(5, activation="tanh"), Dense(2, use_bias=False)],
    "reshape": [Reshape((2, -1)), Dense(3), Flatten(), Rescaling(2.0, offset=-1.0)],
    "another axis": [BatchNormalization(axis=1)],
    "neither scale nor centre": [BatchNormalization(scale=False), BatchNormalization(center=False)],
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, rng: np.random.Generator, tmp_path: Path) -> None:
    model = keras.Sequential(
        [Input((3, 4)), *keras.models.clone_model(keras.Sequential(LAYERS[name])).layers]
    )
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 2, weight.shape))
    x = rng.normal(0, 2, (6, 3, 4)).astype(np.float32)
    close(*outputs(model, x, tmp_path / "net.onnx"), terms=60)


def test_nested_and_functional_models(rng: np.random.Generator, tmp_path: Path) -> None:
    inner = keras.Sequential([Input((4,)), Dense(3, activation="relu"), Dense(3)], name="inner")
    x = Input((4,))
    model = keras.Model(x, Dense(2, activation="softmax")(inner(x)))
    close(*outputs(model, rng.normal(size=(5, 4)).astype(np.float32), tmp_path / "net.onnx"), 4)


def test_open_sizes(tmp_path: Path) -> None:
    model = keras.Sequential([Input((None, 4)), Dense(2)])
    x = np.ones((2, 5, 4), np.float32)
    close(*outputs(model, x, tmp_path / "net.onnx"), 4)


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    class Double(keras.Layer):
        def call(self, x: Any) -> Any:
            return 2 * x

    def square(x: Any) -> Any:
        return x * x

    square.backward = lambda d_y, x, y: 2 * x * d_y  # type: ignore[attr-defined]
    path = tmp_path / "net.onnx"
    with pytest.raises(ValueError, match="Received: a layer of type Double"):
        keras.export_onnx(keras.Sequential([Input((2,)), Double()]), path)
    with pytest.raises(ValueError, match="Received: <activation square>"):
        keras.export_onnx(keras.Sequential([Input((2,)), Dense(2, activation=square)]), path)
    with pytest.raises(ValueError, match="Received: built=False"):
        keras.export_onnx(keras.Sequential([Dense(2)]), path)
    with pytest.raises(ValueError, match="Received: format='tf_saved_model'"):
        keras.Sequential([Input((2,)), Dense(2)]).export(path, format="tf_saved_model")
    assert not list(tmp_path.iterdir())


def test_an_older_file_stays_if_the_new_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        keras.export_onnx(keras.Sequential([Input((2,)), Dense(2)]), path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        keras.export_onnx(keras.Sequential([Input((2,)), Dense(2)]), tmp_path / "net.onnx")
