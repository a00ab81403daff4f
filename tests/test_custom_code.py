"""Custom layers, models and losses: supported code, and clear errors for unsupported code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tests import models
from tinynet import constraints, layers, losses, ops
from tinynet.compat import tensorflow as tf

X = np.random.default_rng(0).standard_normal((20, 4)).astype("float32")
Y = X[:, :1] * 2


def trained(model: Any, **options: Any) -> Any:
    model.compile("sgd", "mse", **options)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    return model


def fitted(*inner: Any) -> Any:
    return trained(keras.Sequential([keras.Input((4,)), *inner, layers.Dense(1)]))


class Calling(layers.Layer):
    """A layer whose `call` is a given function."""

    def __init__(self, function: Any) -> None:
        super().__init__(name="calling")
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


class Weighted(Calling):
    """A layer with a weight, whose `call` is a given function of the layer and the input."""

    def __init__(self, function: Any, **options: Any) -> None:
        super().__init__(function)
        self.w = self.add_weight(**{"shape": (), "initializer": "ones", "name": "w", **options})

    def call(self, x: Any) -> Any:
        return self.function(self, x)


def positive(x: Any) -> Any:
    if ops.sum(x) > 0:
        return x * 2
    return x


class Fresh(keras.Model):
    def call(self, x: Any) -> Any:
        return layers.Dense(1)(layers.ReLU()(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: fitted(Calling(positive)),
            r"use ops.where.*run_eagerly=True.*Received: a condition .*if ops.sum\(x\) > 0",
        ),
        (
            lambda: fitted(Calling(lambda x: np.linalg.norm(x, axis=1, keepdims=True))),
            r"use a function of tinynet.ops.*Received: numpy.norm .*np.linalg.norm",
        ),
        (
            lambda: fitted(Calling(lambda x: None)),
            "call of calling.* must return a tensor. Received: None",
        ),
        (lambda: trained(Fresh()), "must be created in __init__ .* created in call of 'fresh'"),
    ],
)
def test_untraceable_call_raises(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


READS: list[Any] = [
    *(np.linalg.norm, np.asarray, float, int, lambda w: w.numpy(), lambda w: w.value.numpy()),
    *(lambda w: np.array([w, w]).mean(), lambda w: w.value.item(), lambda w: float(w.value)),
    *(ops.convert_to_numpy, lambda w: ops.unique(ops.reshape(w.value, (1,)))),
    *(lambda w: keras.Variable(w.value), lambda w: np.vectorize(abs)(w.value)),
]


@pytest.mark.parametrize("read", [np.max, *READS])
@pytest.mark.parametrize("eagerly", [False, True])
def test_value_of_weight_is_read_in_call(read: Any, eagerly: bool) -> None:
    """In traced code, it would be a constant: the value in the first call."""
    layer = Weighted(lambda layer, x: x * read(layer.w))
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(loss="mse", run_eagerly=eagerly)
    if read in READS and not eagerly:
        with pytest.raises(TypeError, match=r"; use .* instead.* of <.*[/ ]"):
            model.predict(X, verbose=0)
        return
    for value in (2, 3):
        layer.w.assign(value)
        np.testing.assert_allclose(model.predict(X, verbose=0), value * X)


def test_weight_as_a_condition_is_an_error() -> None:
    model = keras.Sequential([Weighted(lambda layer, x: x if layer.w else -x)])
    model.compile(loss="mse")
    with pytest.raises(TypeError, match=r"a condition .* of <Variable .*/w.*if layer.w else -x"):
        model.predict(X, verbose=0)


class Lazy(keras.Model):
    """A model that creates a layer in its first call."""

    hidden: Any = None
    first: Any = layers.ReLU()

    def call(self, x: Any) -> Any:
        if self.hidden is None:
            self.hidden = layers.Dense(1)
        return self.hidden(self.first(x))


@pytest.mark.parametrize("eagerly", [False, True])
def test_layer_created_in_first_call(eagerly: bool) -> None:
    """Python control flow that depends on values requires run_eagerly=True."""
    model = Lazy()
    if eagerly:
        model.first = Calling(positive)
    trained(model, run_eagerly=eagerly)
    assert len(model.trainable_weights) == 2
    before = model.evaluate(X, Y, verbose=0)
    assert trained(model, run_eagerly=eagerly).evaluate(X, Y, verbose=0) < before
    assert model.predict(X, verbose=0).shape == (20, 1)


def test_predict_computes_batches_separately() -> None:
    model = fitted(Calling(lambda x: x - ops.mean(x, axis=0, keepdims=True)))
    found = model.predict(X, batch_size=7, verbose=0)
    parts = [np.asarray(model(X[k : k + 7])) for k in range(0, 20, 7)]
    np.testing.assert_allclose(found, np.concatenate(parts), rtol=1e-5, atol=1e-6)
    losses = [np.mean((p - Y[7 * k : 7 * k + 7]) ** 2) for k, p in enumerate(parts)]
    expected = np.average(losses, weights=[7, 7, 6])
    assert model.evaluate(X, Y, batch_size=7, verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("other", [np.arange(4.0), np.sqrt(3.0)], ids=["array", "number"])
def test_tensor_dtype_next_to_float64(other: Any) -> None:
    """As in TensorFlow, a NumPy float64 scalar does not change a tensor's dtype."""
    variable = keras.Variable(np.ones(4, np.float32))
    for x in (tf.ones((2, 4)), keras.Input((4,)), variable):
        assert [np.dtype(y.dtype).name for y in (x * other, other / x)] == ["float32"] * 2


def test_second_derivatives_raise() -> None:
    x = keras.Variable(3.0)
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            y = x * x
        slope = inner.gradient(y, x)
        loss, penalized = y * tf.stop_gradient(slope), y + (slope - 1.0) ** 2
    assert float(slope) == 6.0
    assert float(outer.gradient(loss, x)) == 36.0
    with pytest.raises(NotImplementedError, match="second derivatives"):
        outer.gradient(penalized, x)


def test_changed_attributes_are_used() -> None:
    class Scaled(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.factor, self._hidden, self.options = 1.0, 1.0, {"a": 1.0}

        def call(self, x: Any) -> Any:
            return x * (self.factor * self._hidden * self.options["a"])

    layer = Scaled()
    model = keras.Sequential([keras.Input((4,)), layer])
    before = model.predict(X, verbose=0)
    layer.factor = 2.0
    np.testing.assert_allclose(model.predict(X, verbose=0), 2 * before)
    np.testing.assert_allclose(model(X), 2 * before)


@pytest.mark.wide
def test_deep_nested_and_wide_graphs() -> None:
    x = first = keras.Input((4,))
    for _ in range(1000):
        x = layers.Activation("tanh")(x)
    deep = keras.Model(first, layers.Dense(1)(x))
    nested = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    for _ in range(60):
        start = keras.Input((4,))
        nested = keras.Model(start, nested(start))
    wide = keras.Model(first, [layers.Dense(1)(first) for _ in range(100)])
    for model, y in ((deep, Y), (nested, Y), (wide, [Y] * 100)):
        model.compile("sgd", "mse")
        model.fit(X, y, verbose=0)
    assert len(wide.predict(X, verbose=0)) == 100
    assert nested.predict(X, verbose=0).shape == deep.predict(X, verbose=0).shape == (20, 1)


def test_predict_from_several_threads() -> None:
    model = fitted(layers.Dense(8, "relu"))
    expected = model.predict(X, verbose=0)
    with ThreadPoolExecutor(4) as threads:
        found = [*threads.map(lambda _: model.predict(X, verbose=0), range(40))]
    assert all(np.array_equal(each, expected) for each in found)


def counted(layer: Any, x: Any) -> Any:
    layer.w.assign_add(ops.cast(ops.shape(x)[0], "float32"))
    return x


def test_call_updates_variables_once_per_batch() -> None:
    counter = Weighted(counted, initializer="zeros", trainable=False)
    model = keras.Sequential([keras.Input((4,)), counter, layers.Dense(1)])
    model.compile("sgd", "mse")
    seen = []
    for run in (
        lambda: model.fit(X, Y, batch_size=8, verbose=0),
        lambda: model.evaluate(X, Y, batch_size=3, verbose=0),
        lambda: model.predict(X, batch_size=3, verbose=0),
        lambda: model.loss_and_gradients(X, Y),
        lambda: model.train_on_batch(X, Y),
    ):
        run()
        seen.append(float(counter.w))
    assert seen == [20, 40, 60, 60, 80]


def test_train_step_without_weights_warns() -> None:
    class Stepping(keras.Model):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    x = keras.Input((4,))
    model = Stepping(x, layers.Dense(1)(x))
    model.trainable = False
    with pytest.warns(UserWarning, match="no trainable weights"):
        trained(model)


def adding(function: Any) -> Any:
    """Build a model whose layer adds losses, computed by a function of its weight and output."""

    def call(layer: Any, x: Any) -> Any:
        y = x * layer.w
        for loss in function(layer.w, y):
            layer.add_loss(loss)
        return y

    dense = layers.Dense(1, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((4,)), Weighted(call), dense])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def trained_with(function: Any) -> Any:
    model = adding(function)
    loss = model.fit(X, Y, batch_size=8, verbose=0, shuffle=False).history["loss"]
    return [*loss, float(model.layers[0].w)]


@pytest.mark.parametrize(
    ("function", "same"),
    [
        (lambda w, y: [ops.sum(y, axis=-1)], lambda w, y: [ops.sum(y)]),
        (lambda w, y: [ops.sum(y)] * 2, lambda w, y: [2.0 * ops.sum(y)]),
        (lambda w, y: [w], lambda w, y: [w * 1.0]),
        (lambda w, y: [w * w, 3.0 * (w * w)], lambda w, y: [4.0 * w * w]),
        (lambda w, y: [s := ops.sum(y), 2.0 * s], lambda w, y: [3.0 * ops.sum(y)]),
    ],
    ids=["vector", "twice", "variable", "two losses", "derived loss"],
)
def test_add_loss_sums_its_arguments(function: Any, same: Any) -> None:
    np.testing.assert_allclose(trained_with(function), trained_with(same), rtol=1e-6)
    assert trained_with(same)[1] != trained_with(lambda w, y: [])[1]


TARGET = np.float32([[0.5]])


@pytest.mark.parametrize(
    ("function", "same"),
    [
        (lambda w: losses.MeanSquaredError()(TARGET, w), lambda w: (w - 0.5) ** 2),
        (lambda w: losses.MeanSquaredError()(w, TARGET), lambda w: (w - 0.5) ** 2),
        (lambda w: losses.mean_squared_error(TARGET, w), lambda w: (w - 0.5) ** 2),
        (lambda w: losses.mean_absolute_error(w, TARGET), lambda w: ops.absolute(w - 0.5)),
        (lambda w: losses.MeanSquaredError()(TARGET, [[1.0]], w), lambda w: 0.25 * w),
        (constraints.UnitNorm(), lambda w: w / (1e-7 + ops.sqrt(w * w))),
        (constraints.NonNeg(), lambda w: ops.relu(w)),
        (constraints.MinMaxNorm(2.0, 3.0, 0.5), lambda w: w / 2 + w / ops.absolute(w)),
        (lambda w: w.value, lambda w: w * 1.0),
    ],
)
@pytest.mark.parametrize("eagerly", [False, True])
def test_losses_and_constraints_of_weights(function: Any, same: Any, eagerly: bool) -> None:
    def trained_on(term: Any) -> Any:
        def call(layer: Any, x: Any) -> Any:
            layer.add_loss(ops.sum(term(layer.w)))
            return x * layer.w[0]

        net = keras.Sequential([keras.Input((4,)), Weighted(call, shape=(1, 1)), layers.Dense(1)])
        net.layers[1].set_weights([np.ones((4, 1)), np.zeros(1)])
        net.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=eagerly)
        history = net.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False).history
        return [*history["loss"], float(net.layers[0].w[0, 0])]

    np.testing.assert_allclose(trained_on(function), trained_on(same), rtol=1e-5)
    assert trained_on(same)[0] != trained_on(lambda w: 0.0)[0]


def test_loss_for_one_batch_size() -> None:
    factors = np.float32([0.5, 2.0, 1.0, 0.1])
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", lambda y, p: ops.mean(ops.square(y - p), -1) * factors)
    expected = np.mean(Y[:, 0] ** 2 * np.tile(factors, 5))
    assert model.evaluate(X, Y, batch_size=4, verbose=0) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match=r"compatible shapes.*Received: shapes \(5,\), \(4,\)"):
        model.evaluate(X, Y, batch_size=5, verbose=0)


def test_add_loss_accepts_constants() -> None:
    for function in (
        lambda w, y: [ops.sum(y)] * 2,
        lambda w, y: [ops.sum(y**2, axis=-1)],
        lambda w, y: [w],
        lambda w, y: [3.0],
    ):
        assert keras.explain.check_gradients(adding(function), X, Y).ok
    without, constant = trained_with(lambda w, y: []), trained_with(lambda w, y: [3.0])
    np.testing.assert_allclose(constant, [without[0] + 3, without[1]], rtol=1e-6)


@pytest.mark.parametrize("twice", [False, True])
def test_weight_used_only_in_condition_is_unchanged(twice: bool) -> None:
    def masked(layer: Any, x: Any) -> Any:
        y = ops.where(layer.w, x, 0.0)
        return y * layer.w if twice else y

    model = fitted(Weighted(masked, shape=(4,)))
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert (model.get_weights()[0] == 1).all() != twice


def test_losses_are_from_last_call() -> None:
    dense = layers.Dense(2, kernel_initializer="ones", activity_regularizer="l2")
    model = keras.Sequential([keras.Input((4,)), dense])
    for rows in (X[:3], X[:5]):
        y = model(rows)
        (loss,) = model.losses
        np.testing.assert_allclose(loss, 0.01 * (y.numpy() ** 2).sum() / len(rows), rtol=1e-5)


def test_tracing_does_not_change_weights() -> None:
    def doubled(layer: Any, x: Any) -> Any:
        layer.w.assign(layer.w * 2.0)
        return x * layer.w

    inner = keras.Sequential([keras.Input((4,)), Weighted(doubled)])
    model = keras.Sequential([keras.Input((4,)), inner])
    np.testing.assert_array_equal(model.predict(X[:3], verbose=0), 2 * X[:3])
    assert model.get_weights()[0] == 2


def test_errors_name_input_and_output() -> None:
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    outputs = [layers.Dense(1, name="p")(layers.concatenate([a, b])), layers.Dense(1, name="q")(b)]
    model = keras.Model([a, b], outputs)
    model.compile("adam", "mse")
    x, y = [np.ones((4, 2)), np.ones((4, 3))], np.ones((4, 1))
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"targets for the output 'q'. Received: y=None"):
        model.fit(x, {"p": y}, verbose=0)
    with pytest.raises(ValueError, match=r"\(None, 3\) for 'b'. Received: shape \(4, 2\)"):
        model.fit([x[0], x[0]], [y, y], verbose=0)
    with pytest.raises(ValueError, match=r"outputs \['p', 'q'\].*Received: y={'p'"):
        model.fit(x, {"p": y, "r": y}, verbose=0)
    assert all(map(np.array_equal, before, model.get_weights()))
    assert model.optimizer.iterations == 0


def test_metrics_named_loss_are_numbered() -> None:
    def loss(y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    model = models.classifier(end=None, loss=loss, metrics=[loss])
    history = model.fit(X, Y, verbose=0).history
    assert [*history] == ["loss", "loss_1"]
    np.testing.assert_allclose(history["loss"], history["loss_1"], rtol=1e-6)


class Steps(layers.Layer):
    """A layer that counts its steps, alternates between two factors, and has a float weight."""

    def build(self, shape: Any) -> None:
        self.steps = self.add_weight(dtype="int32", initializer="zeros", trainable=False)
        self.scale = self.add_weight((shape[-1],), "ones")
        self.is_odd = self.add_weight((1,), dtype="bool", trainable=False)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            self.steps.assign_add(1)
            self.is_odd.assign(ops.logical_not(self.is_odd))
        x = x * self.scale + ops.cast(self.steps, x.dtype) * 0.01
        return ops.where(self.is_odd, x, x * 2)


@pytest.mark.parametrize("suffix", [".tinynet", ".keras", ".h5", ".weights.h5"])
def test_integer_and_bool_weights_are_saved(suffix: str, tmp_path: Any) -> None:
    model, other = fitted(Steps(name="a")), fitted(Steps(name="a"))
    path = tmp_path / f"net{suffix}"
    if suffix == ".weights.h5":
        model.save_weights(path)
        other.load_weights(path)
    else:
        model.save(path)
        other = keras.models.load_model(path, {"Steps": Steps})
    for net in (model, other):
        assert [w.dtype for w in net.layers[0].get_weights()] == ["float32", "int32", "bool"]
        assert (int(net.layers[0].steps), net.layers[0].is_odd.numpy().tolist()) == (6, [False])
        net.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    assert all(map(np.array_equal, model.get_weights(), other.get_weights()))


def test_integer_and_bool_weights_keep_dtype() -> None:
    model = fitted(Steps())
    before = model.get_weights()
    model.compile("sgd", "mse")
    model.loss_and_gradients(X, Y)
    assert keras.explain.check_gradients(model, X, Y).ok
    with pytest.raises(ValueError, match="the shape of the predictions"):
        model.train_on_batch(X, Y[:, [0, 0]])
    for array, weight in zip(before, model.weights, strict=True):
        assert array.dtype == weight.dtype
        np.testing.assert_array_equal(array, weight)
    assert model.layers[0].scale.array.base is model.layers[1].kernel.array.base


def test_integer_weight_has_no_gradient() -> None:
    whole = Weighted(lambda layer, x: x * ops.cast(layer.w, x.dtype), shape=(4,), dtype="int32")
    with pytest.warns(UserWarning, match="Gradients do not exist for variables .*w'"):
        model = fitted(whole)
    np.testing.assert_array_equal(model.layers[0].w, [1, 1, 1, 1])


def test_add_weight_arguments_match_keras() -> None:
    class Scaled(layers.Layer):
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight([shape[-1], 2], "ones", "float64", True)
            self.scale = self.add_weight()

        def call(self, x: Any) -> Any:
            return ops.matmul(x, self.kernel) * self.scale

    layer = Scaled()
    y = layer(X[:3])
    assert (layer.kernel.shape, layer.kernel.dtype, layer.scale.shape) == ((4, 2), "float64", ())
    expected = np.repeat(X[:3].sum(1, keepdims=True), 2, 1) * layer.scale.numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-5)


@pytest.mark.parametrize("base", [layers.Layer, keras.Model])
def test_missing_super_init_is_explained(base: Any) -> None:
    class Forgetful(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self.dense = layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    with pytest.raises(AttributeError, match=r"Forgetful must call super\(\).__init__\(\) first"):
        Forgetful()(np.ones((2, 2), np.float32))


def test_layer_list_may_grow_later() -> None:
    """As in a dense block, where each layer is applied to all previous outputs."""
    x = keras.Input((2,))
    features = [x]
    for k in range(2):
        y = layers.concatenate(features) if k else x
        features.append(layers.Dense(3, kernel_initializer="ones")(y))
    model = keras.Model(x, layers.concatenate(features))
    assert model.predict(np.ones((1, 2)), verbose=0).tolist() == [[1, 1, 2, 2, 2, 8, 8, 8]]


def squares(w: Any) -> Any:
    return 0.5 * (w**2).sum()


def test_operations_are_activations() -> None:
    """The `backward` of an operation takes different arguments than that of an activation."""
    x = np.float32([[0.5, -2.0], [1.0, 3.0]])
    kernel = np.float32([[1.0, 2.0], [-1.0, 0.5]])
    dense = layers.Dense(2, activation=ops.sin, use_bias=False)
    model = keras.Sequential([keras.Input((2,)), dense])
    dense.set_weights([kernel])
    model.compile("sgd", "mse")
    np.testing.assert_allclose(model.predict(x, verbose=0), np.sin(x @ kernel), rtol=1e-5)
    _, (gradient,) = model.loss_and_gradients(x, np.zeros((2, 2)))
    expected = x.T @ (np.sin(x @ kernel) * np.cos(x @ kernel) * 2 / 4)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


@keras.saving.register_keras_serializable(package="test", name="registered_squares")
def weighted_squares(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(3.0 * ops.square(y_true - y_pred), axis=-1)


def test_custom_functions_are_restored_from_files(tmp_path: Any) -> None:
    """The loss is registered as serializable; the regularizer is passed as custom_objects."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_regularizer=squares)])
    model.compile("sgd", weighted_squares)
    model.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras", {"squares": squares})
    assert float(loaded.losses[0]) == float(model.losses[0]) > 0
    x, y = np.ones((4, 2)), np.zeros((4, 1))
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_custom_code_may_change_its_own_input() -> None:
    @ops.custom_gradient
    def doubled(x: Any) -> Any:
        values = np.asarray(x)
        values *= 2
        return values, lambda upstream: 2 * upstream

    x = keras.Input((3,))
    model = keras.Model(x, layers.Lambda(doubled)(x))
    np.testing.assert_array_equal(model.predict(np.ones((2, 3)), verbose=0), np.full((2, 3), 2.0))
