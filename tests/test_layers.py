"""Individual layers: shapes, weights, names and arguments.

`test_functional` tests their values, and `test_gradients` their gradients.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tinynet
from tinynet import Input, config, layers, ops
from tinynet._core.buffers import Workspace
from tinynet.program.variable import Variable

L = layers
# Function that builds a layer, input shape, output shape.
LAYERS = [
    (L.Flatten, (5, 2, 3), (5, 6)),
    (L.Flatten, (5,), (5, 1)),
    (lambda: L.Dense(4), (5, 3), (5, 4)),
    (lambda: L.Dense(4, "tanh", use_bias=False, name="a", trainable=False), (5, 2, 3), (5, 2, 4)),
    (lambda: L.Dense(4, kernel_initializer="ones"), (5, 3), (5, 4)),
    (lambda: L.Activation("relu"), (5, 3), (5, 3)),
    (lambda: L.ReLU(max_value=2, negative_slope=0.5, threshold=1), (5, 3, 2), (5, 3, 2)),
    (lambda: L.Softmax(axis=1), (5, 3), (5, 3)),
    (lambda: L.LayerNormalization([1, 2], center=False), (5, 3, 2), (5, 3, 2)),
    (lambda: L.LayerNormalization(gamma_constraint="max_norm"), (5, 3), (5, 3)),
    (lambda: L.UnitNormalization([1, 2]), (5, 3, 2), (5, 3, 2)),
    (L.Normalization, (5, 3), (5, 3)),
    (lambda: L.Normalization(None, 0.1, 0.2, invert=True), (5, 3), (5, 3)),
    (lambda: L.Embedding(4, 2, "ones", "l2", "unit_norm"), (5, 3), (5, 3, 2)),
    (lambda: L.PReLU("ones", "l2", "non_neg", [1]), (5, 3, 2), (5, 3, 2)),
    (lambda: L.ELU(0.3), (5, 3), (5, 3)),
    (lambda: L.GaussianNoise(0.1, seed=4), (5, 3), (5, 3)),
    (lambda: L.GaussianDropout(0.1), (5, 3), (5, 3)),
    (lambda: L.Permute((3, 1, 2)), (5, 2, 3, 4), (5, 4, 2, 3)),
    (lambda: L.RepeatVector(2), (5, 3), (5, 2, 3)),
    (lambda: L.TimeDistributed(L.Dense(4)), (5, 2, 3), (5, 2, 4)),
]


@pytest.mark.parametrize(("make", "shape", "expected"), LAYERS)
def test_shapes_and_configurations(make: Any, shape: Any, expected: Any) -> None:
    layer = make()
    x = np.ones(shape)
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *expected[1:])
    result = layer(x)
    assert (result.shape, result.dtype) == (expected, np.float32)
    assert layer.built
    assert hasattr(result, "numpy")
    assert (x == 1).all()
    assert make()(Input(shape[1:])).shape == (None, *expected[1:])
    assert_config_round_trips(make())


def assert_config_round_trips(made: Any) -> None:
    written = made.get_config()
    again = type(made).from_config({**written, "a_key_of_another_version": 1}).get_config()
    assert again == written
    restored = L.deserialize(L.serialize(made))
    assert type(restored) is type(made)
    assert restored.get_config() == written


def test_input_layer_config_round_trips() -> None:
    assert_config_round_trips(L.InputLayer((2,), batch_size=3, dtype="uint8", name="in"))


def test_output_values() -> None:
    dense = L.Dense(2)
    dense.build((None, 3))
    dense.set_weights([[[1, 2], [3, 4], [5, 6]], [10, 20]])
    assert dense([[1, 0, 2]]).tolist() == [[21, 34]]
    assert dense([[[1, 0, 2]], [[0, 0, 0]]]).tolist() == [[[21, 34]], [[10, 20]]]
    assert L.Flatten()(np.arange(8).reshape(2, 2, 2)).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    relu = L.ReLU(max_value=2, negative_slope=0.5, threshold=1)
    assert relu([[0.0, 1.5, 3.0]]).tolist() == [[-0.5, 1.5, 2]]
    np.testing.assert_allclose(L.Softmax(axis=1)([[[0.0], [0.0]]]), [[[0.5], [0.5]]])


def test_dense_weights() -> None:
    dense = L.Dense(2, name="hidden")
    assert (dense.built, dense.weights) == (False, [])
    dense.build((None, 3))
    assert [w.name for w in dense.weights] == ["kernel", "bias"]
    assert {w.path: w.shape for w in dense.weights} == {
        "hidden/kernel": (3, 2),
        "hidden/bias": (2,),
    }
    assert dense.count_params() == 8
    dense.get_weights()[0][:] = 7  # a copy
    assert not (dense.kernel.numpy() == 7).any()
    kernel = dense.kernel
    dense(np.zeros((7, 4, 3)))
    assert dense.kernel is dense.weights[0] is kernel
    dense.trainable = False
    assert (len(dense.trainable_weights), len(dense.non_trainable_weights)) == (0, 2)
    dense.trainable = True
    assert (len(dense.trainable_variables), len(dense.non_trainable_variables)) == (2, 0)
    assert dense.variables == dense.weights
    plain = L.Dense(2, use_bias=False, trainable=False)
    plain.build((None, 3))
    assert (plain.bias, plain.weights) == (None, plain.non_trainable_weights)
    assert len(plain.weights) == 1


@pytest.mark.parametrize("make", [L.LayerNormalization, L.Normalization, L.PReLU])
def test_per_feature_layer_keeps_width(make: Any) -> None:
    layer = make()
    layer(np.ones((2, 3)))
    weights = layer.weights
    with pytest.raises(ValueError, match=r"\b3\b.* Received: an input of shape \(2, 1\)$"):
        layer(np.ones((2, 1)))
    assert all(a is b for a, b in zip(layer.weights, weights, strict=True))


def test_embedding_takes_integers_of_any_dtype() -> None:
    with pytest.warns(UserWarning, match="input_length has no effect"):
        assert L.Embedding(3, 2, input_length=4).get_config()["input_dim"] == 3
    layer = L.Embedding(4, 2, weights=[np.arange(8.0).reshape(4, 2)])
    for dtype in (np.uint8, np.int64, np.float32, np.float64):
        assert layer(np.array([3, 0], dtype)).tolist() == [[6, 7], [0, 1]]
    x = Input((2,), dtype="int32")
    model = tinynet.Model(x, layer(x))
    assert model.predict(np.array([[3, 0]]), verbose=0).tolist() == [[[6, 7], [0, 1]]]


def test_normalization_adapts_to_data() -> None:
    x = np.random.default_rng(0).normal(3, 2, (50, 4)).astype(np.float32)
    y = np.zeros(50)
    layer = L.Normalization()
    assert layer.mean is None
    layer.adapt(x)
    np.testing.assert_allclose(layer(x).numpy().mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(layer(x).numpy().var(0), 1, atol=1e-5)
    inverse = L.Normalization(mean=layer.mean[0], variance=layer.variance[0], invert=True)
    np.testing.assert_allclose(inverse(layer(x)), x, atol=1e-5)

    class Batches(tinynet.utils.PyDataset):
        __len__ = lambda self: 2  # noqa: E731
        __getitem__ = lambda self, k: (x[k * 30 : k * 30 + 30], y[k * 30 : k * 30 + 30])  # noqa: E731

    for data in ([x[:7], x[7:]], iter([(x[:7], y), (x[7:], y)]), Batches(), list(x), x.tolist()):
        batched = L.Normalization()
        batched.adapt(data)
        np.testing.assert_allclose(batched.mean, layer.mean, rtol=1e-6)
        np.testing.assert_allclose(batched.variance, layer.variance, rtol=1e-6)
    scalar = L.Normalization(axis=None)
    scalar.adapt(x[:, 0])
    np.testing.assert_allclose(scalar.mean, x[:, 0].mean(), rtol=1e-6)
    before = layer.get_weights()
    for wrong in ([x, x[:, :3]], [x, "text"], x[:, :3]):
        with pytest.raises((ValueError, TypeError), match="Received: "):
            layer.adapt(wrong)
    assert all(map(np.array_equal, layer.get_weights(), before))


@pytest.mark.parametrize(
    ("make", "mean", "variance"),
    [
        (lambda seed: L.GaussianNoise(0.5, seed=seed), 0.0, 0.25),
        (lambda seed: L.GaussianDropout(0.2, seed=seed), 0.0, 0.25 * 4),
    ],
)
def test_noise_has_mean_and_variance(make: Any, mean: float, variance: float) -> None:
    x = np.full((200, 100), 2.0, np.float32)
    layer = make(3)
    assert (layer(x) == x).all()
    noise = layer(x, training=True).numpy() - x
    assert abs(noise.mean() - mean) < 5 * np.sqrt(variance / x.size)
    assert abs(noise.var() - variance) < 5 * variance * np.sqrt(2 / x.size)
    assert (layer(x, training=True) != x + noise).any()
    np.testing.assert_array_equal(make(3)(x, training=True) - x, noise)


def test_noise_resumes_after_loading(tmp_path: Any) -> None:
    x, y = np.random.default_rng(0).random((12, 3)), np.zeros((12, 1))
    model = tinynet.Sequential([Input((3,)), L.GaussianNoise(0.5), L.GaussianDropout(0.3)])
    model.add(L.Dense(1))
    model.compile("sgd", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "net.keras")
    loaded = tinynet.models.load_model(tmp_path / "net.keras")
    for net in (model, loaded):
        net.fit(x, y, epochs=3, initial_epoch=2, verbose=0)
    assert all(map(np.array_equal, model.get_weights(), loaded.get_weights()))


def test_time_distributed_applies_layer_per_step() -> None:
    x = np.random.default_rng(0).random((4, 5, 3))
    dense = L.Dense(2, "tanh")
    layer = L.TimeDistributed(dense)
    np.testing.assert_allclose(layer(x), dense(x), atol=1e-6)
    assert layer.trainable_weights == dense.trainable_weights
    layer.trainable = False
    assert layer.trainable_weights == []
    inner = tinynet.Sequential([L.Dense(4, "relu"), L.Dropout(0.0), L.Dense(2)])
    nested = L.TimeDistributed(inner)
    np.testing.assert_allclose(nested(x)[:, 2], inner(x[:, 2]), atol=1e-6)
    assert nested.count_params() == 26


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.TimeDistributed(L.Dense(4), trainable=False),
        lambda: tinynet.Sequential([L.Dense(4)], trainable=False),
    ],
)
def test_layers_inside_frozen_layer_are_not_trained(make: Any) -> None:
    frozen = make()
    model = tinynet.Sequential([tinynet.Input((2, 3)), frozen, L.Flatten(), L.Dense(1)])
    model.compile("sgd", "mse")
    before = frozen.get_weights()
    model.fit(np.ones((8, 2, 3)), np.ones(8), verbose=0)
    assert all(map(np.array_equal, frozen.get_weights(), before))
    assert len(model.trainable_weights) == 2


def test_default_names_are_numbered() -> None:
    names = [make().name for make in (lambda: L.Dense(1), L.ReLU, L.Flatten, lambda: L.Dense(1))]
    assert names == ["dense", "re_lu", "flatten", "dense_1"]
    assert L.Dense(1, name="mine").name == "mine"
    assert L.Dense(1).name == "dense_2"
    assert Input((2,)).name == "input_layer"


def test_custom_layer() -> None:
    class Scale(L.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight((), "ones", name="factor")
            super().build(input_shape)

        def forward(self, x, work, training=False):
            return x * self.factor.array

    layer = Scale()
    assert layer([[2.0]]).tolist() == [[2]]
    assert [w.path for w in layer.weights] == ["scale/factor"]


def test_double_precision() -> None:
    assert L.Dense(2, dtype="float64")(np.zeros((1, 3))).dtype == np.float64
    config.set_floatx("float64")
    layer = L.Dense(2)
    assert layer([[1, 2]]).dtype == np.float64
    assert layer.kernel.dtype == "float64"


class Own(L.Layer):
    """Custom layer with `call` and `backward` from arguments; the shape stays the same."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def __init__(self, call: Any, backward: Any = lambda d_y, x: d_y) -> None:
        super().__init__()
        self.functions = call, backward

    def call(self, x: Any) -> Any:
        return self.functions[0](x)

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        return self.functions[1](d_y, work.x)


X = np.random.default_rng(0).normal(size=(7, 8))
Y = np.arange(7) % 3


def compiled(*row: Any, loss: str = "mse") -> Any:
    model = tinynet.Sequential([L.Input((8,)), *row])
    model.compile("sgd", loss)
    return model


def trained(*row: L.Layer) -> list[np.ndarray]:
    """Train a classifier that ends in these layers, and return its weights."""
    model = compiled(*row, loss="sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=5, verbose=0, shuffle=False)
    return model.get_weights()


@pytest.mark.parametrize("activation", ["gelu", "silu", "softplus", "tanh", "relu", None])
@pytest.mark.parametrize("debug", [False, True])
def test_custom_layer_may_return_float64(
    activation: Any, debug: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "DEBUG_BUFFERS", debug)
    results = []
    for dtype in ("f8", "f4"):
        scale = Own(*[lambda x, *_, dtype=dtype: (x * np.sqrt(2.0)).astype(dtype)] * 2)
        tinynet.random.set_seed(1)
        results.append(trained(L.Dense(4, activation), scale, L.Dense(3, "softmax")))
    for a, b in zip(*results, strict=True):
        assert a.dtype == np.float32
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    "types",
    [("float64",) * 3, ("float64", "float32", "float64"), ("float32", "float64", "float32")],
)
@pytest.mark.parametrize("between", [L.BatchNormalization, lambda **kw: L.Dense(4, "silu", **kw)])
def test_mixed_dtype_layers_train_correctly(
    types: Any, between: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer computes in its own dtype, as in Keras; results differ by rounding errors only."""
    monkeypatch.setattr(config, "DEBUG_BUFFERS", True)
    results = []
    for first, second, third in (types, ("float64",) * 3):
        tinynet.random.set_seed(1)
        end = L.Dense(3, "softmax", dtype=third)
        row = L.Dense(4, "gelu", dtype=first), between(dtype=second), end
        results.append(trained(*row))
        assert [layer.weights[0].dtype for layer in row] == [first, second, third]
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_float64_layer_accepts_sparse_rows() -> None:
    x = (np.arange(80) % 7 == 0).reshape(10, 8) * np.pi
    model = compiled(L.Dense(4, "relu", dtype="float64"), L.Dense(3))
    before = model.get_weights()
    model.fit(x, np.zeros((10, 3)), verbose=0)
    assert not any(map(np.array_equal, before, model.get_weights()))
    assert model.layers[0].kernel.dtype == "float64"


WRONG_LAYERS = {
    "wider": Own(lambda x: np.concatenate([x, x * x], axis=-1)),
    "narrower": Own(lambda x: x[:, :2]),
    "one value": Own(lambda x: x.sum()),
    "fewer rows": Own(lambda x: x[:2]),
    "gradient wider": Own(lambda x: x, lambda d_y, x: np.repeat(d_y, 2, axis=1)),
    "gradient narrower": Own(lambda x: x, lambda d_y, x: d_y[:, :1]),
    "gradient missing": Own(lambda x: x, lambda d_y, x: None),
}


@pytest.mark.parametrize("name", WRONG_LAYERS)
@pytest.mark.parametrize("first", [False, True])
def test_custom_layer_wrong_shape(name: str, first: bool) -> None:
    before = [] if first and "gradient" not in name else [L.Dense(8, "relu")]
    row = [*before, WRONG_LAYERS[name], L.Dense(4, "relu"), L.Dense(3, "softmax")]
    with pytest.raises(ValueError, match=r"shape .*Received: "):
        trained(*row)


@pytest.mark.parametrize("declared", [True, False])
def test_custom_layer_may_change_the_width(declared: bool) -> None:
    class WithSquares(L.Layer):
        def call(self, x: Any) -> Any:
            return np.concatenate([x, x * x], axis=-1)

        def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
            return d_y[:, :8] + 2 * work.x * d_y[:, 8:]

    if declared:
        WithSquares.compute_output_shape = lambda self, shape: (None, 2 * shape[-1])  # type: ignore[method-assign]
    assert trained(WithSquares(), L.Dense(3, "softmax"))[0].shape == (16, 3)


ZEROS = np.zeros((2, 3), np.float32)
CHANGES = {
    "kernel": lambda inner, out: setattr(out, "kernel", Variable(ZEROS)),
    "kernel.array": lambda inner, out: setattr(out.kernel, "array", ZEROS),
    "bias.array": lambda inner, out: setattr(out.bias, "array", ZEROS[:, 0]),
    "units": lambda inner, out: setattr(out, "units", 30),
    "nested": lambda inner, out: inner.add(L.Dense(40, "relu")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_width_raises(change: str) -> None:
    inner, out = tinynet.Sequential([L.Dense(4, "relu")]), L.Dense(3)
    model = compiled(inner, out)
    model.predict(X, verbose=0)
    CHANGES[change](inner, out)
    for use in (
        lambda: model.predict(X, verbose=0),
        lambda: model(X),
        lambda: model.evaluate(X, np.zeros((7, 3)), verbose=0),
        lambda: model.fit(X, np.zeros((7, 3)), verbose=0),
    ):
        with pytest.raises(ValueError, match="Received: "):
            use()


def test_changed_nested_model_still_fits() -> None:
    inner = tinynet.Sequential([L.Dense(4, "relu")])
    model = compiled(inner, L.Dense(3))
    model.predict(X, verbose=0)
    inner.add(L.Dense(4, "relu"))
    h = np.float32(X)
    for dense in (*inner.layers, model.layers[1]):
        h = h @ dense.kernel.numpy() + dense.bias.numpy()
        h = h if dense is model.layers[1] else np.maximum(h, 0)
    np.testing.assert_allclose(model.predict(X, verbose=0), h, rtol=1e-5, atol=1e-6)


def test_workspace_keeps_buffer_owners_alive() -> None:
    """Buffers are found by the id of their layer, which must stay alive: ids can be reused."""
    work, layer = Workspace(), L.Dense(2)
    part, alive = work.of(layer), weakref.ref(layer)
    assert work.of(layer) is part
    del layer
    gc.collect()
    assert alive() is not None


def test_layer_without_bias_adds_no_bias() -> None:
    dense, work = L.Dense(3, "relu", use_bias=False), Workspace()
    dense.build((None, 8))
    work.array("no bias", (16,), np.float32).fill(7)
    expected = np.maximum(np.float32(X) @ dense.kernel.array, 0)
    np.testing.assert_allclose(dense.forward(np.float32(X), work), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [lambda: L.Dense(4), L.BatchNormalization])
def test_rebuilt_layer_has_only_new_weights(make: Any) -> None:
    layer = make()
    layer.build((None, 8))
    old, layer.built = layer.weights, False
    layer.build((None, 5))
    assert len(layer.weights) == len(old)
    assert not {id(w) for w in old} & {id(w) for w in layer.weights}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_build_is_all_or_nothing(error: type[BaseException]) -> None:
    fails = iter([True, False])

    class Pair(L.Layer):
        def build(self, input_shape: Any) -> None:
            self.add_weight((1,))
            super().build(input_shape)
            if next(fails):
                raise error
            self.add_weight((1,))

        def call(self, x: Any) -> Any:
            return x

    layer = Pair()
    model = tinynet.Sequential([L.Dense(2), layer])
    with pytest.raises(error):
        model.build((None, 8))
    assert (layer.built, layer.weights, model.built) == (False, [], False)
    model.build((None, 8))
    assert len(layer.weights) == 2


def test_debug_mode_exposes_unwritten_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layer's `backward` requests the buffer again and reads it before writing, hence NaN."""

    class ReadsUninitialized(L.Layer):
        def forward(self, x: Any, work: Any, training: bool) -> Any:
            y = work.array("y", x.shape, x.dtype)
            np.tanh(x, out=y)
            return y

        def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
            y = work.array("y", d_y.shape, np.float32)
            return d_y * (1 - y * y)

    monkeypatch.setattr(config, "DEBUG_BUFFERS", True)
    with pytest.raises(FloatingPointError, match="nan"):
        trained(L.Dense(4), ReadsUninitialized(), L.Dense(3, "softmax"))


@pytest.mark.parametrize("kind", ["f4", "f8", "i4", "i8", "u1", "u2", "?"])
def test_debug_mode_fills_every_buffer(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEBUG_BUFFERS", True)
    work = Workspace()
    for n in (3, 3, 2, 5):
        array = work.array("a", (n, 2), kind)
        extreme = np.isnan(array) if kind[0] == "f" else abs(array.astype(float)) > 100
        assert array.all() if kind == "?" else extreme.all()
        array.fill(0)


class Gate(L.Layer):
    """A layer of operations with a weight and a sublayer."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = L.Dense(8, "tanh")

    def build(self, input_shape: Any) -> None:
        self.inner.build(input_shape)
        self.alpha = self.add_weight((), "ones", name="alpha")
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        gate = ops.sigmoid(self.alpha)
        return ops.concatenate([gate * x, np.maximum(self.inner(x), 0.1) ** 2], axis=-1)


def test_custom_layer_is_differentiated() -> None:
    tinynet.random.set_seed(0)
    model = compiled(Gate(dtype="float64"), L.Dense(3, dtype="float64"))
    assert model.output_shape == (None, 3)
    assert len(model.trainable_weights) == 5
    x = np.random.default_rng(0).normal(size=(6, 8))
    y = np.random.default_rng(1).normal(size=(6, 3))
    report = tinynet.explain.check_gradients(model, x, y)
    assert report.ok, str(report)
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    assert not any(map(np.array_equal, model.get_weights(), before))


@pytest.mark.parametrize("base", ["Dense", "ReLU", "Dropout", "BatchNormalization"])
def test_layer_uses_an_overridden_call(base: str) -> None:
    own = type("Own", (getattr(layers, base),), {"call": lambda self, x: 2 * x * x})
    layer = own(*[3] * (base == "Dense"), *[0.5] * (base == "Dropout"))
    np.testing.assert_array_equal(layer(X), 2 * X.astype(np.float32) ** 2)
    layer.trainable = False  # the new `call` does not use its weights
    model = compiled(L.Dense(8), layer)
    assert model.output_shape == (None, 8)
    report = tinynet.explain.check_gradients(model, X, np.zeros((7, 8)))
    assert report.ok, str(report)
    kernel, bias = model.get_weights()[:2]
    z = X @ kernel + bias
    loss, (d_kernel, *_) = model.loss_and_gradients(X, np.zeros((7, 8)))
    assert loss == pytest.approx(float(np.mean((2 * z * z) ** 2)), rel=1e-5)
    expected = X.T @ (2 * (2 * z * z) * 4 * z / z.size)
    np.testing.assert_allclose(d_kernel, expected, rtol=1e-4, atol=1e-6)
    assert type("Renamed", (layers.Flatten,), {})().name


@pytest.mark.parametrize("kind", ["Sequential", "Model"])
def test_model_uses_an_overridden_call(kind: str) -> None:
    """Overriding `call` does not change the layers or the trainable weights."""
    base = getattr(tinynet, kind)
    own = type("Own", (base,), {"call": lambda self, x: 2 * base.call(self, x)})
    start, dense = L.Input((8,)), L.Dense(3, kernel_initializer="ones")
    model = own([start, dense]) if kind == "Sequential" else own(start, dense(start))
    model.compile("sgd", "mse")
    expected = np.repeat(2 * X.sum(1, keepdims=True), 3, axis=1)
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-5)
    assert [w.name for w in model.trainable_weights] == ["kernel", "bias"]
    assert dense in model.layers
    _, (d_kernel, _) = model.loss_and_gradients(X, np.zeros((7, 3)))
    np.testing.assert_allclose(d_kernel, X.T @ (4 * expected / expected.size), rtol=1e-4)


def test_regularizer_may_be_a_function() -> None:
    model = compiled(L.Dense(3, kernel_regularizer=lambda w: 0.1 * ops.sum(ops.abs(w) ** 1.5)))
    report = tinynet.explain.check_gradients(model, X, np.zeros((7, 3)))
    assert report.ok, str(report)
    kernel = model.get_weights()[0]
    cost = 0.1 * (np.abs(kernel) ** 1.5).sum()
    plain = float(np.mean(np.square(model.predict(X, verbose=0))))
    loss = model.evaluate(X, np.zeros((7, 3)), verbose=0)
    assert loss == pytest.approx(plain + cost, rel=1e-5)


def test_sublayers_are_tracked_once() -> None:
    class Wrapped(layers.Layer):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def call(self, x: Any) -> Any:
            return self.inner(x)

    wrapped = Wrapped(layers.Dense(2))
    wrapped(np.ones((1, 3), np.float32))
    assert len(wrapped.weights) == 2


@pytest.mark.parametrize("axis", [2, -3, 2**63, [1, 1], [0, -2], [0, 5]])
@pytest.mark.parametrize("name", ["MaxNorm", "UnitNorm"])
def test_axis_of_constraint_is_checked(name: str, axis: Any) -> None:
    """Otherwise, training would fail after the first step."""
    constraint = getattr(tinynet.constraints, name)(axis=axis)
    with pytest.raises(
        ValueError, match=r"axis of .* dense/kernel .* shape \(3, 2\).* Received: axis"
    ):
        L.Dense(2, kernel_constraint=constraint, name="dense").build((None, 3))
    for valid in (1, -2, [0, 1]):
        L.Dense(2, kernel_constraint=type(constraint)(axis=valid)).build((None, 3))


@pytest.mark.parametrize("base", ["Constraint", "UnitNorm"])
@pytest.mark.parametrize("axis", [None, [0, 1], "rows", 7])
def test_axis_of_custom_constraint_is_not_checked(base: str, axis: Any) -> None:
    class Own(getattr(tinynet.constraints, base)):  # type: ignore[misc]  # either class
        def __init__(self) -> None:
            self.axis = axis

        def project(self, w: Any) -> Any:
            return np.full_like(w, 7)

    layer = L.Dense(2, kernel_constraint=Own())
    model = tinynet.Sequential([layer])
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    np.testing.assert_array_equal(layer.kernel.numpy(), np.full((3, 2), 7))


def test_function_of_metric_is_callable() -> None:
    with pytest.raises(TypeError, match="fn must be a function"):
        tinynet.metrics.MeanMetricWrapper(5)  # type: ignore[arg-type]  # the error is tested
