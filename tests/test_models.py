"""Copies and parts of models, and custom classes, with the same behavior in both libraries."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet
from tests.models import GRAPHS, data_for
from tinynet import layers, models, utils
from tinynet._core import registry
from tinynet.program.nested import flattened

X = np.random.default_rng(7).random((6, 4), dtype=np.float32)


@pytest.fixture(params=["tinynet", pytest.param("keras", marks=pytest.mark.slow)])
def k(request: pytest.FixtureRequest) -> Any:
    """Run the test with each library: both must pass the same assertions."""
    if request.param == "tinynet":
        return tinynet
    pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")
    from reference.keras_net import keras

    return keras


def sequential(k: Any) -> Any:
    head = k.Sequential([k.layers.Dense(3, name="inner"), k.layers.Softmax()], name="head")
    first = k.layers.Dense(5, "relu", name="hidden")
    return k.Sequential(
        [k.Input((4,)), first, k.layers.Dropout(0.5, name="drop"), head], name="net"
    )


def functional(k: Any) -> Any:
    x = k.Input((4,), name="x")
    hidden = k.layers.Dense(5, "relu", name="hidden")(x)
    return k.Model(x, k.layers.Dense(3, name="out")(hidden), name="net")


@pytest.mark.parametrize("make", [sequential, functional])
def test_clone_has_same_config_new_weights(k: Any, make: Any) -> None:
    model = make(k)
    clone = k.models.clone_model(model)
    assert (type(clone), clone.name) == (type(model), model.name)
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]
    assert not np.array_equal(clone.get_weights()[0], model.get_weights()[0])
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X, verbose=0), model.predict(X, verbose=0))
    assert not clone.compiled
    rate = k.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    model.compile(
        k.optimizers.SGD(rate, momentum=0.9),
        k.losses.MeanSquaredError(reduction="sum"),
        metrics=["mae", k.metrics.MeanSquaredError(name="own")],
        weighted_metrics=["mse"],
    )
    y = X[:, :3]
    model.fit(X, y, verbose=0)
    clone = k.models.clone_model(model)
    assert clone.optimizer is not model.optimizer
    assert clone.optimizer.get_config() == model.optimizer.get_config()
    assert [int(net.optimizer.iterations) for net in (clone, model)] == [0, 1]
    clone.set_weights(model.get_weights())
    results = [net.evaluate(X, y, verbose=0, return_dict=True) for net in (model, clone)]
    assert results[0] == results[1]
    assert set(results[0]) == {"loss", "mae", "own", "mse"}
    model.compile(k.optimizers.SGD(0.5), "mse")
    model.optimizer.learning_rate = 0.25
    assert float(k.models.clone_model(model).optimizer.learning_rate) == 0.25


def test_clones_keep_custom_losses() -> None:
    class Doubled(tinynet.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return 2 * np.mean((y_true - y_pred) ** 2, axis=-1)

        def __init__(self, factor: float) -> None:
            super().__init__()

        def backward(self, d_values: Any, y_true: Any, y_pred: Any) -> Any:
            return d_values[..., None] * 4 * (y_pred - y_true) / y_pred.shape[-1]

    model = sequential(tinynet)
    model.compile("sgd", Doubled(2), metrics=[tinynet.metrics.mean_squared_error])
    clone = models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert clone.evaluate(X, X[:, :3], verbose=0) == model.evaluate(X, X[:, :3], verbose=0)


def test_clone_with_clone_function(k: Any) -> None:
    def wider(layer: Any) -> Any:
        config = layer.get_config()
        if config["name"] == "hidden":
            config["units"] = 9
        return type(layer).from_config(config)

    row = [k.Input((4,)), k.layers.Dense(5, name="hidden"), k.layers.Dense(3)]
    for model in (k.Sequential(row), functional(k)):
        clone = k.models.clone_model(model, clone_function=wider)
        assert clone.get_layer("hidden").units == 9
        assert clone.predict(X, verbose=0).shape == (6, 3)


def test_clone_of_unbuilt_model() -> None:
    assert models.clone_model(tinynet.Sequential([layers.Dense(2)])).built is False


def relu_of(dense: Any) -> Any:
    return np.maximum(X @ dense.get_weights()[0] + dense.get_weights()[1], 0)


@pytest.mark.parametrize("make", [sequential, functional])
def test_part_of_model_is_model(k: Any, make: Any) -> None:
    model = make(k)
    hidden = model.get_layer("hidden")
    part = k.Model(model.inputs, hidden.output)
    # Sums of four products, for which one library may use fused multiply-adds.
    np.testing.assert_allclose(part.predict(X, verbose=0), relu_of(hidden), atol=1e-6)
    assert tuple(hidden.output.shape) == (None, 5)
    assert tuple(hidden.input.shape) == tuple(model.inputs[0].shape) == (None, 4)
    assert tuple(model.outputs[0].shape) == (None, 3)
    if make is functional:
        assert (model.input is model.inputs[0], model.output is model.outputs[0]) == (True, True)


@pytest.mark.parametrize("make", [sequential, functional])
def test_shared_layer_output_belongs_to_model(k: Any, make: Any) -> None:
    """A shared layer's output can be used in each of its models, whichever was built last."""
    first = make(k)
    end = first.outputs[0]
    shared = first.get_layer("hidden")
    x = k.Input((4,), name="z")
    second = k.Model(x, k.layers.Dense(1)(shared(x)))
    expected = relu_of(shared)
    outputs = [(first.inputs, first.get_layer("hidden").output)]
    if k is tinynet:  # Keras returns the output in the first model only
        row = tinynet.Sequential([tinynet.Input((4,)), shared])
        outputs += [(row.inputs, row.layers[0].output), (row.inputs, row.output)]
        outputs += [(second.input, second.layers[1].output)]
    for inputs, output in outputs:
        part, longer = k.Model(inputs, output), k.Model(inputs, k.layers.Dense(2)(output))
        np.testing.assert_allclose(part.predict(X, verbose=0), expected, atol=1e-6)
        assert longer.predict(X, verbose=0).shape == (6, 2)
    assert first.outputs[0] is end
    with pytest.raises(ValueError, match=r"not connected|disconnected"):
        k.Model(first.inputs, second.output)


def test_transfer_learning(k: Any) -> None:
    model = functional(k)
    model.get_layer("hidden").trainable = False
    new = k.Model(model.input, k.layers.Dense(2, "softmax")(model.get_layer("hidden").output))
    new.compile("adam", "sparse_categorical_crossentropy")
    kept = model.get_layer("hidden").get_weights()[0]
    new.fit(X, np.array([0, 1] * 3), verbose=0)
    np.testing.assert_array_equal(model.get_layer("hidden").get_weights()[0], kept)
    assert len(new.trainable_weights) == 2


def test_uncalled_layer_has_no_input_or_output(k: Any) -> None:
    assert not hasattr(k.layers.Dense(2), "output")
    assert not hasattr(k.Sequential([k.layers.Dense(2)]), "input")


def test_plot_model_draws_into_a_file(tmp_path: Path) -> None:
    model = functional(tinynet)
    figure = utils.plot_model(model, to_file=tmp_path / "net.png", show_shapes=True, dpi=50)
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")
    said = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "hidden" in said
    assert "Dense, relu" in said


# ------------------------------------------------------------ classes from the Keras guides


class Linear(layers.Layer):
    """A layer whose `build` does not call `super().build`."""

    def __init__(self, units: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")

    def call(self, x: Any) -> Any:
        return x @ self.w

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        work.gradients[0][...] = work.x.T @ d_y
        return d_y @ self.w.array.T

    def get_config(self) -> Any:
        return {**super().get_config(), "units": self.units}


def test_models_without_layers_are_not_built() -> None:
    model = tinynet.Model()
    with pytest.raises(ValueError, match=r"Model must define call\(self, inputs\)"):
        model.build((None, 3))
    assert not model.built


class Wrapper(tinynet.Model):
    """A model that serializes its layers in `get_config`."""

    def __init__(self, inner: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner, self.head = inner, layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.head(self.inner(x))

    def get_config(self) -> Any:
        inner = tinynet.saving.serialize_keras_object(self.inner)
        return {**super().get_config(), "inner": inner}

    @classmethod
    def from_config(cls, config: Any) -> Any:
        inner = tinynet.saving.deserialize_keras_object(config.pop("inner"))
        return cls(inner, **config)


def test_custom_layer_build_runs_once() -> None:
    called, direct = Linear(2), Linear(2)
    called(np.ones((1, 4)))
    direct.build((None, 4))
    for layer in (called, direct):
        before = layer.get_weights()
        assert layer(np.ones((1, 4))).shape == (1, 2)
        tinynet.Sequential([tinynet.Input((4,)), layer]).build((None, 4))
        assert layer.built
        assert len(layer.weights) == 1
        np.testing.assert_array_equal(layer.get_weights(), before)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".tinynet", ".weights.h5"])
@pytest.mark.parametrize("make", [Linear, lambda: tinynet.Sequential([Linear(), layers.ReLU()])])
def test_keras_guide_models_are_loaded(make: Any, suffix: str, tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 1))
    model = Wrapper(make())
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    path = tmp_path / f"net{suffix}"
    if suffix == ".weights.h5":
        model.save_weights(path)
        loaded = Wrapper(make())
        loaded.build((None, 4))
        loaded.load_weights(path)
    else:
        model.save(path)
        loaded = models.load_model(path, {"Linear": Linear, "Wrapper": Wrapper})
    assert len(loaded.weights) == 3
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_serialization_round_trip() -> None:
    @tinynet.utils.register_keras_serializable("tests")
    def double(x: Any) -> Any:
        return 2 * x

    schedule = tinynet.optimizers.schedules.CosineDecay(0.1, 10)
    objects = [
        layers.Dense(3, "relu", name="q"),
        tinynet.losses.BinaryCrossentropy(from_logits=True),
        tinynet.metrics.BinaryCrossentropy(from_logits=True),
        tinynet.optimizers.Adam(schedule),
        tinynet.initializers.HeNormal(),
        tinynet.regularizers.L2(0.5),
    ]
    plain = [None, True, 3, 0.5, "text", double, tinynet.activations.relu]
    config = tinynet.saving.serialize_keras_object({"objects": objects, "plain": (plain,)})
    again = tinynet.utils.deserialize_keras_object(json.loads(json.dumps(config)))
    assert again["plain"] == [plain]
    assert [type(each) for each in again["objects"]] == [type(each) for each in objects]
    assert [e.get_config() for e in again["objects"]] == [e.get_config() for e in objects]
    assert tinynet.utils.get_custom_objects()["tests>double"] is double
    del tinynet.utils.get_custom_objects()["tests>double"]


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_are_copied(name: str) -> None:
    registry.clear_names()
    model = GRAPHS[name](tinynet)
    x, config = data_for(model), model.get_config()
    expected = [np.asarray(y) for y in flattened(model.predict(x, verbose=0))]
    copies = [models.clone_model(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    copies += [models.model_from_json(model.to_json()), tinynet.Model.from_config(config)]
    for copied in copies:
        assert copied.get_config() == config
        assert copied.output_names == model.output_names
        assert not {id(w) for w in model.weights} & {id(w) for w in copied.weights}
        copied.set_weights(model.get_weights())
        found = map(np.asarray, flattened(copied.predict(x, verbose=0)))
        assert [y.tobytes() for y in found] == [y.tobytes() for y in expected]


def test_clone_model_with_inputs_and_function() -> None:
    model = GRAPHS["wide"](tinynet)
    first, second = tinynet.Input((3,), name="first"), tinynet.Input((3,))
    clone = models.clone_model(model, input_tensors=[first, second])
    assert clone.inputs[0] is first
    clone = models.clone_model(model, clone_function=lambda layer: layer)
    assert clone.get_layer("shared") is model.get_layer("shared")


class Functional(tinynet.Model):
    """A model constructed from inputs and outputs."""

    def double(self, x: Any) -> Any:
        return self(x) * 2


class Sized(tinynet.Model):
    """A model constructed from a number of units; it creates its own inputs and outputs."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        x = tinynet.Input((4,))
        super().__init__(x, tinynet.layers.Dense(units)(x) * 2.0, **kwargs)
        self.units = units


@pytest.mark.parametrize("kind", [Functional, Sized])
def test_subclasses_with_a_graph_are_copied(kind: Any, tmp_path: Any) -> None:
    x = tinynet.Input((4,))
    model = Sized(3) if kind is Sized else Functional(x, tinynet.layers.Dense(2)(x) * 2.0)
    data = np.ones((2, 4), np.float32)
    custom = {kind.__name__: kind}
    copies = [copy.deepcopy(model), models.model_from_json(model.to_json(), custom)]
    for suffix in (".tinynet", ".keras", ".h5"):
        model.save(tmp_path / f"net{suffix}")
        copies.append(models.load_model(tmp_path / f"net{suffix}", custom))
    for copied in copies:
        assert type(copied) is kind
        copied.set_weights(model.get_weights())
        np.testing.assert_array_equal(copied.predict(data), model.predict(data))
    clone = models.clone_model(model)
    assert type(clone) is (Functional if kind is Functional else tinynet.Model)  # as in Keras


def test_model_without_call_lists_layers(k: Any) -> None:
    class Pair(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = k.Sequential([k.Input((4,)), k.layers.Dense(2)])
            self.decoder = k.Sequential([k.Input((2,)), k.layers.Dense(4)])

    model = Pair()
    assert model.layers == [model.encoder, model.decoder]
    assert [w.shape for w in model.trainable_weights] == [(4, 2), (2,), (2, 4), (4,)]


def test_layer_does_not_track_tensorflow_variables(k: Any) -> None:
    if k is tinynet:
        from tinynet.compat import tensorflow as tf
    else:
        import tensorflow as tf

    class Own(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.one = k.Variable([1.0])
            self.listed = [k.Variable([1.0, 2.0]), {"a": k.Variable([1.0, 2.0, 3.0])}]
            self.untracked = tf.Variable([1.0] * 4)

    assert [w.shape for w in Own().weights] == [(1,), (2,), (3,)]


def test_dict_targets_match_by_key() -> None:
    i = tinynet.Input((2,))
    a = layers.Dense(1, kernel_initializer="ones", name="a")(i)
    b = layers.Dense(1, kernel_initializer="zeros", name="b")(i)
    model = tinynet.Model(i, {"a": b, "b": a})  # the keys are names of other layers
    model.compile("sgd", {"a": "mse", "b": "mae"}, metrics={"a": ["mae"]})
    y = {"a": np.full((4, 1), 5.0), "b": np.full((4, 1), 7.0)}
    results = model.evaluate(np.ones((4, 2)), y, verbose=0, return_dict=True)
    # a: 0 instead of 5; b: 2 instead of 7.
    assert results == {"a_loss": 25.0, "a_mae": 5.0, "b_loss": 5.0, "loss": 30.0}


@pytest.mark.parametrize(("shared", "mean"), [(False, 1.25), (True, 1.0)])
def test_shared_layer_call_order_matches_keras(shared: bool, mean: float) -> None:
    """As in Keras, the layer before a shared layer is called on the second input first."""
    norm, dense = layers.BatchNormalization(momentum=0.5), layers.Dense(2)
    a, b = tinynet.Input((2,)), tinynet.Input((2,))
    ends = [dense(norm(x)) if shared else norm(x) for x in (a, b)]
    model = tinynet.Model([a, b], layers.concatenate(ends))
    model.compile("sgd", "mse")
    model.fit([np.ones((4, 2)), np.full((4, 2), 2.0)], np.zeros((4, 4)), verbose=0)
    np.testing.assert_array_equal(norm.moving_mean, [mean, mean])


@pytest.mark.parametrize("empty", [{}, [], [[]], {"a": []}])
@pytest.mark.parametrize("end", ["inputs", "outputs"])
def test_empty_inputs_and_outputs_raise(end: str, empty: Any) -> None:
    x = tinynet.Input((3,))
    ends = {"inputs": x, "outputs": layers.Dense(2)(x), end: empty}
    with pytest.raises(ValueError, match=f"{end} must not be empty. Received: {end}="):
        tinynet.Model(**ends)
