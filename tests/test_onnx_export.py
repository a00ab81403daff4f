"""Exported models give the same outputs in ONNX Runtime."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import tinynet as keras
from tinynet import activations
from tinynet.export.onnx import OPSET
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
    """Return the outputs of ONNX Runtime and of tinynet."""
    keras.export_onnx(model, path)
    return run(path, x), model.predict(x, verbose=0)


def close(got: Any, expected: Any, terms: int = 1) -> None:
    """Assert equality within a few rounding errors; sums of more terms have a larger tolerance."""
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype
        return
    eps = np.finfo(expected.dtype).eps
    bound = eps * (8 + 2 * np.sqrt(terms))
    np.testing.assert_allclose(got, expected, rtol=bound, atol=bound)
    assert got.dtype == expected.dtype


@pytest.mark.wide
def test_probabilities_of_synthetic_digits(digits: Any, tmp_path: Path) -> None:
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
    # Float32 sums of 784 terms of magnitude 1 in the first layer differ by about
    # 2 * 6e-8 * sqrt(784) = 3e-6. The derivative of a probability is at most 1/4, and actual
    # rounding errors are usually well below this bound.
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_array_equal(run(path, images[:1]).argmax(), expected[0].argmax())


def test_file_declarations(tmp_path: Path) -> None:
    model = keras.Sequential([Input((2, 3)), Flatten(), Dense(2)], name="small")
    model.export(tmp_path / "net.onnx")
    file = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(file, full_check=True)
    assert [(o.domain, o.version) for o in file.opset_import] == [("", OPSET)]
    assert (file.producer_name, file.graph.name) == ("tinynet", "small")
    sizes = [
        [d.dim_param or d.dim_value for d in end.type.tensor_type.shape.dim]
        for end in (*file.graph.input, *file.graph.output)
    ]
    assert sizes == [["N", 2, 3], ["N", 2]]
    for n in (1, 2, 7):
        assert run(tmp_path / "net.onnx", np.ones((n, 2, 3), np.float32)).shape == (n, 2)


PUBLIC = {name: getattr(activations, name) for name in dir(activations) if name.islower()}
ALL = [name for name, function in PUBLIC.items() if hasattr(function, "with_options")]


@pytest.mark.parametrize("name", ALL)
def test_every_activation(name: str, tmp_path: Path) -> None:
    model = keras.Sequential([Input((400,)), Activation(name)])
    x = np.linspace(-9, 9, 400, dtype=np.float32).reshape(1, -1)
    close(*outputs(model, x, tmp_path / "net.onnx"), terms=400)


def test_float64_net_exports_as_float32(tmp_path: Path) -> None:
    model = keras.Sequential([Input((4,)), Dense(3, activation="softmax", dtype="float64")])
    model.dtype = "float64"
    got, expected = outputs(model, np.ones((2, 4), np.float32), tmp_path / "net.onnx")
    close(got, expected.astype(np.float32), terms=4)


LAYERS: dict[str, list[Any]] = {
    "relu with options": [ReLU(max_value=4.0, negative_slope=0.2, threshold=0.5)],
    "relu with max_value": [ReLU(max_value=2.0)],
    "leaky": [LeakyReLU(0.1)],
    "elu": [Activation(activations.elu.with_options(alpha=0.5))],
    "gelu": [Activation(activations.gelu.with_options(approximate=True))],
    "softmax": [Softmax()],
    "softmax along another axis": [Softmax(axis=1)],
    "dense on the last axis": [Dense(5, activation="tanh"), Dense(2, use_bias=False)],
    "reshape": [Reshape((2, -1)), Dense(3), Flatten(), Rescaling(2.0, offset=-1.0)],
    "batch normalization of another axis": [BatchNormalization(axis=1)],
    "without scale or center": [BatchNormalization(scale=False), BatchNormalization(center=False)],
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, rng: np.random.Generator, tmp_path: Path) -> None:
    model = keras.Sequential([Input((3, 4)), *copy.deepcopy(LAYERS[name])])
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 2, weight.shape))
    x = rng.normal(0, 2, (6, 3, 4)).astype(np.float32)
    close(*outputs(model, x, tmp_path / "net.onnx"), terms=60)


def test_nested_and_functional_models(rng: np.random.Generator, tmp_path: Path) -> None:
    inner = keras.Sequential([Input((4,)), Dense(3, activation="relu"), Dense(3)], name="inner")
    x = Input((4,))
    model = keras.Model(x, Dense(2, activation="softmax")(inner(x)))
    close(*outputs(model, rng.normal(size=(5, 4)).astype(np.float32), tmp_path / "net.onnx"), 4)


def graph(path: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    """Run an exported file with several inputs and outputs."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def test_several_inputs_and_outputs_by_name(rng: np.random.Generator, tmp_path: Path) -> None:
    shared = keras.Sequential([Input((3,)), Dense(4, "tanh"), BatchNormalization(), Dense(3)])
    a, b, i = Input((3,), name="a"), Input((3,), name="b"), Input((2,), name="i", dtype="int32")
    words = keras.ops.mean(keras.layers.Embedding(7, 3)(i), axis=1)
    left, right = shared(a), shared(b)
    near = Dense(1, "sigmoid", name="near")(keras.ops.abs(left - right) * words)
    far = keras.layers.Concatenate(name="far")([left, right, a])
    model = keras.Model([a, b, i], [near, far, keras.ops.argmax(far, -1)])
    keras.export_onnx(model, tmp_path / "net.onnx")
    x = {name: rng.normal(size=(5, 3)).astype(np.float32) for name in "ab"}
    x["i"] = rng.integers(0, 7, (5, 2)).astype(np.int32)
    got = graph(tmp_path / "net.onnx", x)
    assert [*got] == ["near", "far", "argmax"]
    for result, expected in zip(got.values(), model.predict(x, verbose=0), strict=True):
        close(result, expected, 12)
    outputs = {"near": near, "x": far, "a": a}
    keras.export_onnx(keras.Model({"u": a, "v": b, "w": i}, outputs), tmp_path / "net.onnx")
    got = graph(tmp_path / "net.onnx", dict(zip("uvw", x.values(), strict=True)))
    assert [*got] == ["a", "near", "x"]
    np.testing.assert_array_equal(got["a"], x["a"])


def test_subclasses_and_custom_layers(rng: np.random.Generator, tmp_path: Path) -> None:
    class Gate(keras.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight((shape[-1],), "uniform", name="w")

        def call(self, x: Any) -> Any:
            return x * keras.ops.sigmoid(x * self.w) + keras.ops.exp(self.w)

    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.out = Gate(), Dense(2)

        def call(self, x: Any) -> Any:
            return self.out(keras.ops.relu(self.gate(x)) + x)

    model = Net()
    model.build((None, 4))
    close(*outputs(model, rng.normal(size=(5, 4)).astype(np.float32), tmp_path / "net.onnx"), 8)


ops = keras.ops
OPERATIONS: dict[str, Any] = {
    "arithmetic": lambda x: 1 - x / (ops.abs(x) + 0.5) + x**2 * -x + ops.maximum(x, 0.1),
    "exponentials": lambda x: ops.log1p(ops.exp(x)) + ops.expm1(x) + ops.log2(ops.square(x) + 1),
    "roots": lambda x: ops.rsqrt(ops.abs(x) + 1) + ops.sqrt(ops.abs(x)) + ops.log10(x * x + 1),
    "trigonometry": lambda x: ops.sin(x) + ops.arctan(x) + ops.cosh(x) + ops.erf(x),
    "rounding": lambda x: ops.floor(x) + ops.ceil(x) + ops.round(x, 1) + ops.trunc(x) + x % 0.7,
    "division": lambda x: x // 0.3 + ops.cast(ops.argmax(x, 1, True) // 2, "float32"),
    "integers": lambda x: ops.cast(x * 3, "int32") % 2,
    "comparisons": lambda x: ops.where((x > 0) & ~(x < 0.5) | ops.not_equal(x, x), x, 0.0),
    "where with two constants": lambda x: ops.where(x > 0, 1.0, 0.0),
    "clip": lambda x: ops.clip(x, -0.5, 0.5),
    "moments": lambda x: ops.mean(x) + ops.var(x, axis=(1, 2), keepdims=True) + ops.std(x, axis=0),
    "sums": lambda x: ops.sum(x, 1) + ops.max(x, 1) + ops.min(x, 1) + ops.prod(x, 1),
    "logsumexp": lambda x: ops.logsumexp(x, axis=-1, keepdims=True) + ops.cumsum(x, axis=1),
    "any": lambda x: ops.any(x > 1, axis=1) | ops.all(x > 0, axis=1),
    "matmul": lambda x: x @ ops.transpose(x, (0, 2, 1)),
    "products": lambda x: (
        ops.tensordot(x, np.ones((4, 2), np.float32), 1) @ np.eye(2, 3, dtype="f")
    ),
    "shapes": lambda x: ops.squeeze(ops.expand_dims(ops.reshape(x, (-1, 6, 2)), 1), 1),
    "axes": lambda x: ops.swapaxes(x, 1, 2) + ops.broadcast_to(np.float32(2), (4, 3)),
    "stack": lambda x: ops.stack([x, 2 * x], axis=2),
    "pad": lambda x: ops.pad(x, [[0, 0], [1, 2], [0, 1]], constant_values=3.0),
    "repetition": lambda x: ops.tile(x, (1, 2, 1)) + ops.repeat(x, 2, axis=1),
    "order": lambda x: ops.flip(x, 1) + ops.roll(x, 1, axis=2) + ops.sort(x, axis=-1),
    "slices": lambda x: x[:, 1:, ::-1] + x[:, :-1] + x[..., None, 0][:, 1:],
    "parts": lambda x: x[:, 0] + x[:, -1, :] + x[:, [0, 2], 1:3][:, 0, :1],
    "take": lambda x: ops.take(x, [2, 0], axis=1) + ops.top_k(x, 2)[0][:, :2, :1],
    "one hot": lambda x: ops.one_hot(ops.argmax(x, -1), 4),
    "triangle": lambda x: ops.tril(x) - ops.triu(x, 1) + ops.zeros_like(x) + ops.ones_like(x),
    "softmax": lambda x: ops.softmax(x, axis=1) + ops.log_softmax(x) + ops.leaky_relu(x, 0.3),
    "variable": lambda x: x * ops.reshape(keras.Variable(np.arange(12.0, dtype="f")), (3, 4)),
    "dot": lambda x: keras.layers.Dot(axes=2, normalize=True)([x, x * x]),
    "average": lambda x: keras.layers.Average()([x, keras.layers.Permute((2, 1))(x)[:, :3, :1]]),
    "layers": lambda x: keras.layers.LayerNormalization()(keras.layers.UnitNormalization()(x)),
    "more layers": lambda x: keras.layers.PReLU()(keras.layers.ELU(0.5)(x)),
    "rows": lambda x: keras.layers.RepeatVector(3)(keras.layers.Flatten()(x)),
    "time": lambda x: keras.layers.TimeDistributed(Dense(2))(keras.layers.GaussianNoise(1.0)(x)),
    "standardized": lambda x: keras.layers.Normalization(mean=[1, 2, 3, 4], variance=[4, 3, 2, 1])(
        x
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name: str, rng: np.random.Generator, tmp_path: Path) -> None:
    x = Input((3, 4))
    model = keras.Model(x, OPERATIONS[name](x))
    data = rng.normal(0, 1.5, (5, 3, 4)).astype(np.float32)
    close(*outputs(model, data, tmp_path / "net.onnx"), 60)


class Noise(keras.Layer):
    """A layer that draws random numbers."""

    def call(self, x: Any) -> Any:
        return x + keras.random.normal((3,))


class Double(keras.Layer):
    """A layer with a custom backward pass."""

    def call(self, x: Any) -> Any:
        return 2 * x

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        return 2 * d_y


def square(x: Any) -> Any:
    return x * x


square.backward = lambda d_y, x, y: 2 * x * d_y  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("apply", "received"),
    [
        (lambda x: ops.logaddexp(x, x), "the operation logaddexp"),
        (lambda x: ops.prod(x, dtype="int32"), "the operation prod"),
        (lambda x: ops.flip(x, 0), "axis=0"),
        (lambda x: x[[0, 1], [0, 1]], "key"),
        (lambda x: Noise()(x), "the operation normal"),
        (lambda x: Double()(x), "a layer of type Double"),
        (lambda x: Dense(2, activation=square)(x), "<activation square>"),
    ],
)
def test_unsupported_models_raise(apply: Any, received: str, tmp_path: Path) -> None:
    x = Input((3,))
    model = keras.Model(x, apply(x))
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        keras.export_onnx(model, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_dynamic_sizes(tmp_path: Path) -> None:
    model = keras.Sequential([Input((None, 4)), Dense(2)])
    x = np.ones((2, 5, 4), np.float32)
    close(*outputs(model, x, tmp_path / "net.onnx"), 4)


def test_failed_export_keeps_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        keras.export_onnx(keras.Sequential([Input((2,)), Dense(2)]), path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_missing_onnx_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        keras.export_onnx(keras.Sequential([Input((2,)), Dense(2)]), tmp_path / "net.onnx")
