"""Files exchanged between Keras and tinynet, in both directions."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import RandomNumbers
from tests.models import GRAPHS, data_for, targets_for_mixed
from tinynet._core import registry
from tinynet.models import functional_config
from tinynet.program.nested import flattened
from tinynet.program.tensor import TABLE

keras = pytest.importorskip("keras", reason="needs keras: pip install -e '.[test]'")

WHOLE = [".keras", ".h5"]
BOTH_WAYS = pytest.mark.parametrize(
    ("source", "target"), [(tinynet, keras), (keras, tinynet)], ids=["to Keras", "from Keras"]
)
RNG = RandomNumbers(0)
X = RNG.random((40, 3, 4), dtype=np.float32)
Y = RNG.integers(0, 5, 40)


def net(library: Any) -> Any:
    """Build the same network with either library."""
    layers = library.layers
    return library.Sequential(
        [
            library.Input((3, 4)),
            layers.Flatten(),
            layers.Dense(8, activation="relu", name="first"),
            layers.Dense(7, use_bias=False, name="second"),
            library.Sequential([layers.Dense(5, name="inner"), layers.Softmax()], name="head"),
        ],
        name="net",
    )


def everything(library: Any) -> Any:
    """Build a network with every kind of layer that has state."""
    layers, regularizers = library.layers, library.regularizers
    return library.Sequential(
        [
            library.Input((3, 4)),
            layers.Rescaling(0.5, offset=0.1),
            layers.Reshape((12,)),
            layers.Dense(8, kernel_regularizer=regularizers.L2(0.01), kernel_constraint="max_norm"),
            layers.BatchNormalization(momentum=0.9),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Dropout(0.3),
            layers.Dense(6, kernel_initializer="he_normal", bias_initializer="ones"),
            layers.ReLU(max_value=6),
            layers.Activation("tanh"),
            layers.Dense(5, activation="softmax"),
        ]
    )


SLOW = pytest.mark.slow
CASES = [
    (net, ".keras"),
    (everything, ".h5"),
    pytest.param(everything, ".keras", marks=SLOW),
    pytest.param(net, ".h5", marks=SLOW),
]


def compiled(library: Any, make: Any = net, optimizer: Any = "adam") -> Any:
    model = make(library)
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    return model


def train(model: Any, epochs: int = 2) -> Any:
    return model.fit(X, Y, epochs=epochs, batch_size=16, shuffle=False, verbose=0)


def passed(model: Any, library: Any, path: Any, *options: Any) -> Any:
    """Save a model, and load the file with the given library."""
    model.save(path)
    return library.saving.load_model(path, *options)


def optimizer_state(model: Any) -> list[Any]:
    return [np.asarray(v.numpy()) for v in model.optimizer.variables]


def assert_equal(found: Any, expected: Any) -> None:
    """Compare lists of arrays."""
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def assert_same_state(one: Any, other: Any, target: Any, suffix: str) -> None:
    if (target, suffix) != (keras, ".h5"):  # Keras 3 does not save the optimizer's state in .h5
        assert_equal(optimizer_state(one), optimizer_state(other))


def assert_same(ours: Any, theirs: Any) -> None:
    """Compare weights and outputs; the outputs are float32 sums of at most 12 terms of order 1."""
    a, b = ours.predict(X, verbose=0), theirs.predict(X, verbose=0)
    np.testing.assert_allclose(a, b, rtol=0, atol=24 * np.finfo(np.float32).eps)
    assert_equal(ours.get_weights(), theirs.get_weights())


@BOTH_WAYS
@pytest.mark.parametrize(("make", "suffix"), CASES)
def test_models_load_in_both_libraries(
    make: Any, suffix: str, source: Any, target: Any, tmp_path: Any
) -> None:
    model = compiled(source, make)
    train(model)
    loaded = passed(model, target, tmp_path / f"net{suffix}")
    assert_same(model, loaded)
    assert_same_state(model, loaded, target, suffix)
    expected = model.evaluate(X, Y, verbose=0)
    assert loaded.evaluate(X, Y, verbose=0) == pytest.approx(expected, 1e-5)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert target is keras or loaded.loss == "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("optimizer", "suffix"),
    [("adam", ".keras")]
    + [pytest.param(o, s, marks=SLOW) for o in ("adam", "sgd", "rmsprop") for s in WHOLE][1:],
)
@BOTH_WAYS
def test_training_continues_from_same_step(
    source: Any, target: Any, optimizer: str, suffix: str, tmp_path: Any
) -> None:
    """Training continues in the other library from the saved iteration and moment estimates.

    With a newly initialized Adam, the first step would change every weight by the learning rate,
    1e-3.
    """
    if suffix == ".h5" and target is keras:
        return  # Keras 3 cannot continue training from .h5 files, including its own
    model = compiled(source, net, optimizer)
    train(model, 3)
    other = passed(model, target, tmp_path / f"net{suffix}")
    assert int(other.optimizer.iterations.numpy()) == 9
    a, b = train(model, 2).history, train(other, 2).history
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-5)
    # Six more steps, each of at most 1e-3, agree to within a thousandth of a step.
    for mine, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=6e-6)


def test_weights_files_round_trip(tmp_path: Any) -> None:
    ours, theirs = compiled(tinynet), compiled(keras)
    train(ours)
    ours.save_weights(tmp_path / "a.weights.h5")
    theirs.optimizer.build(theirs.trainable_variables)
    theirs.load_weights(tmp_path / "a.weights.h5")
    assert_same(ours, theirs)
    assert int(theirs.optimizer.iterations.numpy()) == 6
    train(theirs, 1)
    theirs.save_weights(tmp_path / "b.weights.h5")
    ours.load_weights(tmp_path / "b.weights.h5")
    assert_same(ours, theirs)
    assert int(ours.optimizer.iterations.numpy()) == 9


@BOTH_WAYS
def test_compile_objects_round_trip(source: Any, target: Any, tmp_path: Any) -> None:
    saved = net(source)
    saved.compile(
        source.optimizers.Adam(0.01, beta_1=0.8, epsilon=1e-6),
        source.losses.SparseCategoricalCrossentropy(from_logits=False, name="ce"),
        metrics=[source.metrics.SparseCategoricalAccuracy(name="right"), "accuracy"],
        jit_compile=False,
    )
    model = passed(saved, target, tmp_path / "net.keras")
    assert model.loss.name == "ce"
    config = model.optimizer.get_config()
    assert (config["beta_1"], config["epsilon"]) == (0.8, 1e-6)
    assert config["learning_rate"] == pytest.approx(0.01)
    history = model.fit(X, Y, verbose=0)
    assert {"loss", "right", "accuracy"} == set(history.history)


@BOTH_WAYS
def test_losses_and_metrics_round_trip(source: Any, target: Any, tmp_path: Any) -> None:
    model = source.Sequential([source.Input((4,)), source.layers.Dense(3, "sigmoid")])
    named = source.metrics
    model.compile(
        "sgd",
        source.losses.BinaryFocalCrossentropy(True, alpha=0.3, gamma=1.5),
        metrics=[
            *("hinge", named.F1Score("macro", 0.5), named.FBetaScore("micro", beta=2.0)),
            named.AUC(thresholds=[0.2, 0.5], name="area"),
            named.AUC(multi_label=True, curve="PR", label_weights=[1.0, 2.0, 3.0], name="pr"),
            *(named.R2Score(num_regressors=4), named.PrecisionAtRecall(0.5, class_id=1)),
        ],
        jit_compile=False,
    )
    rng = np.random.default_rng(0)
    x, y = rng.random((12, 4)).astype("float32"), np.eye(3)[rng.integers(0, 3, 12)]
    loaded = passed(model, target, tmp_path / "net.keras")
    # Keras' R2Score with num_regressors does not support graph mode.
    model.run_eagerly = loaded.run_eagerly = True
    found, expected = (m.evaluate(x, y, verbose=0, return_dict=True) for m in (loaded, model))
    assert found.keys() == expected.keys()
    # R2 and areas are differences of sums of 36 float32 values.
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


@SLOW
@BOTH_WAYS
def test_schedules_round_trip(source: Any, target: Any, tmp_path: Any) -> None:
    schedule = source.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model = compiled(source, net, source.optimizers.SGD(schedule, momentum=0.9))
    train(model)
    other = passed(model, target, tmp_path / "net.keras")
    assert len(optimizer_state(other)) == len(optimizer_state(model))
    a, b = train(model).history["loss"], train(other).history["loss"]
    np.testing.assert_allclose(a, b, rtol=1e-4)


def test_keras_ignores_tinynet_additions(tmp_path: Any) -> None:
    ours = compiled(tinynet)
    train(ours)
    path = tmp_path / "net.keras"
    ours.save(path)
    with zipfile.ZipFile(path) as archive:
        assert "tinynet.json" in archive.namelist()
        assert json.loads(archive.read("metadata.json"))["keras_version"][0] == "3"
    theirs = keras.saving.load_model(path)
    theirs.save(path)
    again = tinynet.models.load_model(path)
    assert again.history is None
    assert_same(again, theirs)


@SLOW
def test_deflated_archives_are_read(tmp_path: Any) -> None:
    theirs = compiled(keras)
    train(theirs, 1)
    theirs.save(tmp_path / "net.keras")
    paths = tmp_path / "net.keras", tmp_path / "deflated.keras"
    with (
        zipfile.ZipFile(paths[0]) as source,
        zipfile.ZipFile(paths[1], "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in reversed(source.namelist()):
            packed.writestr(name, source.read(name))
    assert_same(tinynet.models.load_model(paths[1]), theirs)


@pytest.mark.parametrize("suffix", WHOLE)
def test_uncompiled_and_lazily_built_models(suffix: str, tmp_path: Any) -> None:
    theirs = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(2)])
    theirs(X[:, 0])
    ours = passed(theirs, tinynet, tmp_path / f"net{suffix}")
    assert not ours.compiled
    np.testing.assert_allclose(ours(X[:, 0]), theirs(X[:, 0]), atol=3e-6)


@BOTH_WAYS
def test_saved_before_the_first_step(source: Any, target: Any, tmp_path: Any) -> None:
    loaded = passed(compiled(source), target, tmp_path / "net.keras")
    assert int(loaded.optimizer.iterations.numpy()) == 0


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: keras.layers.Conv1D(2, 2), "layer must be a known name.*Received: layer='Conv1D'"),
        (lambda: keras.layers.LSTM(2), "layer must be a known name.*Received: layer='LSTM'"),
        (lambda: keras.layers.GroupNormalization(2), "must be a known name.*layer='GroupNorm"),
        (lambda: keras.layers.BatchNormalization(renorm=True), "BatchNormalization.*renorm"),
        (lambda: keras.layers.Lambda(lambda x: x), "serialized code is never executed"),
    ],
)
def test_unsupported_layers_are_named(layer: Any, message: str, tmp_path: Any) -> None:
    keras.Sequential([keras.Input((3, 4)), layer()]).save(tmp_path / "net.keras")
    with pytest.raises(ValueError, match=message):
        tinynet.models.load_model(tmp_path / "net.keras", safe_mode=False)


def test_json_round_trip() -> None:
    registry.clear_names()
    ours = tinynet.models.model_from_json(everything(keras).to_json())
    theirs = keras.models.model_from_json(everything(tinynet).to_json())
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]


def branches(library: Any) -> Any:
    """Build a model with layers in all kinds of attributes."""

    class Branches(library.Model):  # type: ignore[misc]  # the base class depends on the library
        def __init__(self) -> None:
            super().__init__(name=library.__name__)
            dense = library.layers.Dense
            self._first = dense(3)
            self.heads = {"a": dense(4), "b": [dense(3), (dense(2), {"c": dense(5)})]}
            self.a_last = dense(1)
            self.zoo = [library.layers.ReLU(), dense(2)]

        def call(self, x: Any) -> Any:
            x = self.heads["a"](self._first(x))
            x = self.heads["b"][0](x)
            x = self.heads["b"][1][1]["c"](self.heads["b"][1][0](x))
            return self.a_last(self.zoo[1](self.zoo[0](x)))

    model = Branches()
    model.build((None, 4))
    model(np.zeros((1, 4), np.float32))
    return model


@BOTH_WAYS
def test_subclass_weights_round_trip(source: Any, target: Any, tmp_path: Any) -> None:
    x = RNG.random((5, 4), dtype=np.float32)
    model, other = branches(source), branches(target)
    model.save_weights(tmp_path / "net.weights.h5")
    other.load_weights(tmp_path / "net.weights.h5")
    found, expected = (np.asarray(m.predict(x, verbose=0)) for m in (other, model))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", WHOLE)
@BOTH_WAYS
@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_round_trip(name: str, source: Any, target: Any, suffix: str, tmp_path: Any) -> None:
    model = GRAPHS[name](source)
    x, y = data_for(model), targets_for_mixed()
    if name == "mixed":
        model.fit(x, y, verbose=0)
    loaded = passed(model, target, tmp_path / f"net{suffix}")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert loaded.output_names == model.output_names
    assert_equal(loaded.get_weights(), model.get_weights())
    results = (map(np.asarray, flattened(m.predict(x, verbose=0))) for m in (loaded, model))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    if name == "mixed":
        assert_same_state(loaded, model, target, suffix)
        found, expected = (m.evaluate(x, y, verbose=0, return_dict=True) for m in (loaded, model))
        assert found == pytest.approx(expected, rel=1e-4)


def counting(library: Any) -> Any:
    """Return a layer class with an int32 step counter, and bool and uint8 weights."""

    class Counting(library.layers.Layer):  # type: ignore[name-defined, misc]
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")
            options = {"shape": (), "dtype": "int32", "initializer": "zeros", "trainable": False}
            self.steps = self.add_weight(**options, name="steps")
            self.used = self.add_weight(shape=(2,), dtype="bool", trainable=False, name="used")
            options = {"initializer": library.initializers.Constant(200), "trainable": False}
            self.levels = self.add_weight(shape=(2,), dtype="uint8", **options, name="levels")

        def call(self, x: Any, training: bool = False) -> Any:
            if training:
                self.steps.assign_add(1)
                self.used.assign(library.ops.logical_not(self.used))
                self.levels.assign_add(library.ops.cast(self.used, "uint8"))
            return x * self.scale + library.ops.cast(self.steps, "float32") * 0.01

    return Counting


def count_steps(library: Any, suffix: str, path: Any) -> Any:
    """Train and save a model with a layer of `counting`; return the layer's class and the model."""
    kind = counting(library)
    model = library.Sequential([library.Input((12,)), kind(name="counts"), library.layers.Dense(1)])
    model.compile("sgd", library.losses.MeanSquaredError(), jit_compile=False)
    model.layers[1].set_weights([np.full((12, 1), 0.1), np.zeros(1)])
    model.fit(X.reshape(40, 12), Y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    (model.save_weights if suffix == ".weights.h5" else model.save)(path)
    return kind, model


@pytest.mark.parametrize("suffix", [*WHOLE, ".weights.h5"])
@BOTH_WAYS
def test_integer_weights_round_trip(suffix: str, source: Any, target: Any, tmp_path: Any) -> None:
    _, saved = count_steps(source, suffix, tmp_path / f"net{suffix}")
    kind, other = count_steps(target, ".keras", tmp_path / "other.keras")
    for mine, theirs in zip(saved.get_weights(), other.get_weights(), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=1e-4)
    if suffix == ".weights.h5":
        other.set_weights([0 * w for w in other.get_weights()])
        other.load_weights(tmp_path / "net.weights.h5")
    else:
        other = target.saving.load_model(tmp_path / f"net{suffix}", {"Counting": kind})
    found = {w.name: np.asarray(w).tolist() for w in other.layers[0].weights[1:]}
    assert found == {"steps": 15, "used": [True, True], "levels": [208, 208]}
    assert_equal(saved.get_weights(), other.get_weights())


@BOTH_WAYS
@pytest.mark.parametrize("name", GRAPHS)
def test_graph_weights_round_trip(name: str, source: Any, target: Any, tmp_path: Any) -> None:
    model, other = GRAPHS[name](source), GRAPHS[name](target)
    model.save_weights(tmp_path / "net.weights.h5")
    other.load_weights(tmp_path / "net.weights.h5")
    assert_equal(other.get_weights(), model.get_weights())


@BOTH_WAYS
def test_ellipsis_and_newaxis_round_trip(source: Any, target: Any, tmp_path: Any) -> None:
    x = source.Input((4, 3))
    model = source.Model(x, [x[..., 1:, 0], x[:, None, ..., ::2]])
    # Keras cannot read an Ellipsis in an .h5 file.
    loaded = passed(model, target, tmp_path / "net.keras")
    inputs = data_for(model)
    assert_equal(loaded.predict(inputs), model.predict(inputs))


def test_every_operation_has_keras_class() -> None:
    from keras.src import activations, ops

    modules = {"keras.src.activations.activations": activations.activations}
    modules |= {f"keras.src.ops.{n}": getattr(ops, n) for n in ("numpy", "nn", "math", "core")}
    for name, operation in TABLE.items():
        if name in functional_config.OWN:
            continue
        module = modules[functional_config.operation_module(operation)]
        class_name = functional_config.operation_class(name)
        assert hasattr(module, class_name), name
        assert functional_config.function_of(class_name) is operation


def test_unsupported_in_keras_raises(tmp_path: Any) -> None:
    x = tinynet.Input((3,))
    weight = tinynet.Variable(np.ones(3, np.float32))
    for y, match in ((x * weight, "multiply"), (tinynet.ops.custom_gradient(cube)(x), "cube")):
        with pytest.raises(ValueError, match=f"Received: the operation {match}"):
            tinynet.Model(x, y).save(tmp_path / "net.keras")
    assert not list(tmp_path.iterdir())


def cube(x: Any) -> Any:
    return x**3, lambda *args, upstream=None: 3 * x**2 * upstream


def custom_objects(library: Any) -> dict[str, Any]:
    """Return custom functions and a custom class with the names of built-in ones."""

    class ReLU(library.layers.Layer):  # type: ignore[misc, name-defined]  # either library
        def call(self, x: Any) -> Any:
            return 2 * x

    def relu(x: Any) -> Any:
        return -x

    def mse(y_true: Any, y_pred: Any) -> Any:
        return library.ops.mean(library.ops.abs(y_true - y_pred), axis=-1)

    return {"ReLU": ReLU, "relu": relu, "mse": mse}


@pytest.mark.parametrize("suffix", WHOLE)
def test_keras_loads_objects_named_like_others(suffix: str, tmp_path: Any) -> None:
    layers, ops, own = tinynet.layers, tinynet.ops, custom_objects(tinynet)
    first = [layers.Flatten(), layers.Dense(3, own["relu"]), layers.Dense(3, ops.gelu)]
    last = [layers.Lambda(ops.sin), own["ReLU"](), layers.ReLU(), layers.Dense(5, ops.tanh)]
    model = tinynet.Sequential([tinynet.Input((3, 4)), *first, *last])
    metrics = [tinynet.metrics.mean_absolute_error, tinynet.metrics.binary_accuracy]
    if suffix == ".keras":  # Keras cannot load the function of a loss that is not a metric from .h5
        metrics.append(tinynet.losses.huber)
    model.compile("sgd", own["mse"], metrics=metrics)
    path = tmp_path / f"net{suffix}"
    loaded = passed(model, keras, path, custom_objects(keras))
    assert_same(model, loaded)
    y = RNG.random((40, 5), dtype=np.float32)
    ours, theirs = (m.evaluate(X, y, verbose=0) for m in (model, loaded))
    # Means of at most 40 float32 values, of values that differ by at most 24 eps; see assert_same.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=64 * np.finfo(np.float32).eps)
    assert ours[0] == ours[1]  # the custom loss is the mean absolute error
    with pytest.raises((TypeError, ValueError), match="Could not locate"):
        keras.saving.load_model(path)
