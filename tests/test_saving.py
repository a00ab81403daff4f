"""Saving and loading models: round trips, formats, and all-or-nothing behavior."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import RandomNumbers, mostly_wide, tinynet_files
from tests.models import bits, classifier, data_for, mixed, targets_for_mixed
from tinynet import layers, saving
from tinynet._core import registry

WHOLE = [".tinynet", ".keras", ".h5", ".hdf5"]
COMPLETE = [".tinynet", ".keras"]
EVERY = [".weights.h5", *WHOLE]
KINDS = [*WHOLE[:3], ".weights.h5"]
RNG = RandomNumbers(0)
X = RNG.random((50, 3, 4), dtype=np.float32)
Y = RNG.integers(0, 5, 50)


def compiled(optimizer: Any = "adam") -> Any:
    """Build a model with a dropout layer, moving averages and a nested model.

    If `optimizer` is None, the model is not compiled.
    """
    last = tinynet.Sequential([layers.Dense(5), layers.Softmax()])
    row = [layers.Flatten(), layers.Dense(8, "relu"), layers.Dropout(0.3)]
    model = tinynet.Sequential([tinynet.Input((3, 4)), *row, layers.BatchNormalization(), last])
    if optimizer:
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(model: Any, first: int = 0, last: int = 2) -> Any:
    return model.fit(X, Y, batch_size=16, initial_epoch=first, epochs=last, verbose=0)


def save(model: Any, path: Path) -> None:
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)


def reloaded(model: Any, path: Path) -> Any:
    model.save(path)
    return tinynet.models.load_model(path)


@pytest.fixture
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a path with each file name suffix."""
    return tmp_path / f"net{request.param}"


def values(model: Any) -> list[bytes]:
    return [w.tobytes() for w in model.get_weights()]


# ------------------------------------------------------------ .json files


@pytest.mark.parametrize("floatx", ["float32", "float64"])
def test_json_files_have_identical_weights(floatx: str, tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    with tinynet.config.floatx_scope(floatx):
        model = compiled()
        train(model)
        loaded = reloaded(model, path)
        assert values(loaded) == values(model)
        np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
        assert loaded.optimizer.get_config() == model.optimizer.get_config()
        train(loaded)
    assert [entry["name"] for entry in json.loads(path.read_text())["weights"]] == [
        weight.path for weight in model.weights
    ]
    other = compiled(None)
    other.load_weights(path)
    assert values(other) == [array.astype("float32").tobytes() for array in model.get_weights()]


def test_json_files_have_finite_weights_of_limited_size(tmp_path: Path) -> None:
    path, model = tmp_path / "net.json", compiled()
    model.layers[1].bias.assign(np.full(8, np.inf))
    with pytest.raises(ValueError, match=r"must be finite; save the model as \.tinynet"):
        model.save(path)
    large = tinynet.Sequential([tinynet.Input((1000,)), layers.Dense(500)])
    with pytest.raises(ValueError, match="must have at most 4,194,304 bytes; save the model as"):
        large.save(path)
    assert not path.exists()


# ------------------------------------------------------------ resuming training


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop", "adamw"])
@pytest.mark.parametrize("path", COMPLETE, indirect=True)
def test_resume_is_bit_identical(optimizer: str, path: Path) -> None:
    """Weights, optimizer, history, dropout and shuffling continue bit-identically."""
    straight = compiled(optimizer)
    train(straight, 0, 2)
    straight.save(path)
    first = {name: list(values) for name, values in straight.history.history.items()}
    second = train(straight, 2, 4).history
    resumed = tinynet.models.load_model(path)
    assert resumed.history.history == first
    assert resumed.history.epoch == [0, 1]
    assert train(resumed, 2, 4).history == second
    assert bits(resumed) == bits(straight)


@pytest.mark.parametrize("path", COMPLETE, indirect=True)
def test_graphs_resume_bit_identical(path: Path) -> None:
    model, y = mixed(tinynet), targets_for_mixed()
    x = data_for(model)
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    model.save(path)
    loaded, results = tinynet.models.load_model(path), []
    for m in (model, loaded):
        tinynet.utils.set_random_seed(3)
        m.fit(x, y, epochs=2, batch_size=8, verbose=0)
        results.append((bits(m), m.evaluate(x, y, verbose=0, return_dict=True)))
    assert results[0] == results[1]
    assert [*results[0][1]] == ["cls_accuracy", "cls_loss", "loss", "reg_err", "reg_loss"]


def test_nested_layers_resume_bit_identical(tmp_path: Path) -> None:
    x = tinynet.Input((3, 4))
    model = tinynet.Model(x, layers.TimeDistributed(layers.Dropout(0.5))(layers.Dense(4)(x)))
    model.compile("adam", "mse")
    data = data_for(model)
    model.fit(data, data, epochs=1, verbose=0)
    loaded = reloaded(model, tmp_path / "net.tinynet")
    histories = [m.fit(data, data, epochs=3, shuffle=False, verbose=0) for m in (model, loaded)]
    assert histories[0].history == histories[1].history


def test_callbacks_save_graphs(tmp_path: Path) -> None:
    callbacks = tinynet.callbacks

    class Stop(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    y, models = targets_for_mixed(), []
    best = callbacks.ModelCheckpoint(
        tmp_path / "best.keras", monitor="val_reg_err", save_best_only=True
    )
    for listed in (
        [],
        [callbacks.BackupAndRestore(tmp_path / "backup"), best, Stop()],
        [callbacks.BackupAndRestore(tmp_path / "backup")],
    ):
        tinynet.utils.set_random_seed(5)
        models.append(mixed(tinynet))
        x = data_for(models[-1])
        try:
            models[-1].fit(
                x, y, epochs=4, batch_size=8, verbose=0, callbacks=listed, validation_data=(x, y)
            )
        except KeyboardInterrupt:
            assert len(listed) == 3
    assert values(models[2]) == values(models[0])
    assert tinynet.models.load_model(tmp_path / "best.keras").name == "mixed"


@pytest.mark.wide
def test_resume_in_a_new_process(tmp_path: Path) -> None:
    model = compiled()
    train(model, 0, 1)
    model.save(tmp_path / "net.tinynet")
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    program = f"""if True:
        import numpy as np, tinynet
        tinynet.config.set_backend({tinynet.config.backend()!r})
        data = np.load("data.npz")
        model = tinynet.models.load_model("net.tinynet")
        model.fit(data["x"], data["y"], batch_size=16, initial_epoch=1, epochs=3, verbose=0)
        model.save("more.tinynet")
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(tinynet.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    train(model, 1, 3)
    assert bits(tinynet.models.load_model(tmp_path / "more.tinynet")) == bits(model)


def test_saving_is_deterministic(tmp_path: Path) -> None:
    model = compiled()
    for name in ("a", "b"):
        model.save(tmp_path / f"{name}.tinynet")
    tinynet.models.load_model(tmp_path / "a.tinynet").save(tmp_path / "c.tinynet")
    a, b, c = ((tmp_path / f"{name}.tinynet").read_bytes() for name in "abc")
    assert a == b == c


# ------------------------------------------------------------ .tinynet files in other programs


def everything() -> tuple[Any, list[Any]]:
    """Build a model with arrays of many dtypes and shapes, and the state of a callback."""
    model = tinynet.Sequential(
        [
            tinynet.Input((3, 4)),
            layers.Flatten(name="日本é"),
            layers.Dense(8, name="optimizer", dtype="float64"),
            Steps(name="steps"),
            tinynet.Sequential([layers.Dense(5, name="steps"), layers.Dropout(0.5)], name="a"),
            tinynet.Sequential([layers.Dense(5, name="steps"), layers.Softmax()], name="b"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    train(model)
    return model, [("Own", {"best": 0.5, "none": None, "weights": model.get_weights()})]


class Steps(layers.Layer):
    """A layer with weights of unusual dtypes and shapes."""

    def build(self, shape: Any) -> None:
        for dtype, own in {"bool": (3,), "int8": (), "int64": (2, 2), "float32": (0, 3)}.items():
            self.add_weight(shape=own, dtype=dtype, name="same", trainable=False)

    def call(self, x: Any) -> Any:
        return x


def kept_by_callbacks(model: Any, path: Path) -> Any:
    with saving.saving_api.reading(path) as source:
        return source.callbacks(model)


@pytest.mark.filterwarnings("ignore:.* applies softmax")
def test_other_programs_read_the_arrays(tmp_path: Path) -> None:
    """Read the file according to its documented layout, and with the safetensors package."""
    path, (model, states) = tmp_path / "net.tinynet", everything()
    path.write_bytes(saving.tinynet_format.write(model, callbacks=states))
    about, arrays = tinynet_files.unpack(path.read_bytes())
    expected = [*map(np.asarray, model.weights), *map(np.asarray, model.optimizer.variables)]
    found = [*arrays.values()]
    assert sum(about["arrays"].values()) == len(found)
    columns = [*model.history.history.values(), model.history.epoch]
    assert [c.tolist() for c in found[len(expected) : len(expected) + 3]] == columns
    expected = [*expected, *found[len(expected) : len(expected) + 3], *model.get_weights()]
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    assert json.dumps(about["model"]) == model.to_json()
    assert about["format_version"] == "2"
    package = pytest.importorskip("safetensors.numpy")
    read = package.load_file(path)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(read[name], array)
    with pytest.importorskip("safetensors").safe_open(path, "np") as opened:
        assert opened.metadata()["format"] == "tinynet"
    loaded = tinynet.models.load_model(path, {"Steps": Steps})
    assert bits(loaded) == bits(model)
    ((name, kept),) = kept_by_callbacks(loaded, path)
    weights = [w.tobytes() for w in kept.pop("weights")]
    assert (name, kept, weights) == ("Own", {"best": 0.5, "none": None}, values(model))
    twice = saving.safetensors_format.pack([("x", np.ones(1))] * 2, {})
    assert [*saving.safetensors_format.unpack(twice)[1]] == ["x", "x_2"]


@pytest.mark.parametrize("version", [1, 2])
def test_older_versions_are_read(version: int, tmp_path: Path) -> None:
    """The files were written by releases with these format versions."""
    path = Path(__file__).with_name("files") / f"version_{version}.tinynet"
    model, other = tinynet.models.load_model(path), tinynet.models.load_model(path, compile=False)
    other.set_weights([0 * w for w in other.get_weights()])
    other.load_weights(path)
    everything = hashlib.sha256(b"".join(bits(model))).hexdigest()
    assert everything == "16bd0738cb3f30ea0c4d6a5260560ecf74ec06334c6af5035eba7fde9572de87"
    assert bits(other) == values(model)
    assert model.history.history["loss"] == [1.2499017715454102, 1.0924135446548462]
    assert model.history.epoch == [0, 1]
    ((name, kept),) = kept_by_callbacks(model, path)
    assert [w.tobytes() for w in kept.pop("best_weights")] == values(model)
    numbers = {"best": 0.5, "wait": 1, "stopped_epoch": 0, "best_epoch": None}
    assert (name, kept) == ("EarlyStopping", numbers)
    random = saving.state.describe_run(model)[0]["random"]["_random"]["state"]
    assert random["state"] == 238593152707165450502337975274211576052


@pytest.mark.parametrize("path", WHOLE, indirect=True)
def test_save_and_load_without_optimizer(path: Path) -> None:
    model = compiled()
    train(model)
    model.save(path)
    assert not tinynet.models.load_model(path, compile=False).compiled
    model.save(path, include_optimizer=False)
    assert not tinynet.models.load_model(path).compiled


@pytest.mark.parametrize("path", WHOLE, indirect=True)
def test_unbuilt_model_cannot_save_weights(path: Path) -> None:
    model = tinynet.Sequential([layers.Dense(3)])
    with pytest.warns(UserWarning, match="not built yet"):
        loaded = reloaded(model, path)
    assert not loaded.built
    assert loaded.predict(np.ones((1, 2))).shape == (1, 3)


def test_json_describes_model_without_weights() -> None:
    model = compiled()
    again = tinynet.models.model_from_json(model.to_json())
    assert again.to_json() == model.to_json()
    assert json.loads(model.to_json())["config"]["layers"][0]["class_name"] == "InputLayer"
    assert np.any(again.get_weights()[0] != 0)


# ------------------------------------------------------------ limits of the formats


class LogsValues(tinynet.callbacks.Callback):
    """A callback that adds values of many types to the logs."""

    values: tuple[Any, ...] = ()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for i, value in enumerate(self.values):
            logs[f"value {i}"] = value


LOGGED = [
    ("text", "text"), (None, None), (True, True), (np.bool_(False), False), (2**70, 2**70),
    (np.float32(0.1), float(np.float32(0.1))), (np.float64(1.5), 1.5), (np.int64(7), 7), (-1, -1),
    (np.inf, np.inf), (np.nan, np.nan), (np.arange(3), [0, 1, 2]), (np.array("text"), "text"),
    ([1, "a", None], [1, "a", None]), ((1.0, 2.0), [1.0, 2.0]),
    ({"a": [np.float32(1)]}, {"a": [1.0]}),
]  # fmt: skip


@pytest.mark.parametrize("path", COMPLETE, indirect=True)
def test_history_keeps_logged_values(path: Path) -> None:
    model, logger = compiled(), LogsValues()
    logger.values = tuple(value for value, _ in LOGGED)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[logger])
    history = reloaded(model, path).history
    assert history.epoch == [0, 1, 2]
    assert history.history["loss"] == model.history.history["loss"]
    for i, (_, expected) in enumerate(LOGGED):
        assert repr(history.history[f"value {i}"]) == repr([expected] * 3)


@pytest.mark.parametrize("path", COMPLETE, indirect=True)
@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"bytes", 1j, 10**60, lambda: 0],
    ids=["object", "set", "bytes", "complex", "long int", "function"],
)
def test_save_rejects_unloadable_values(value: Any, path: Path) -> None:
    model, logger = compiled(), LogsValues()
    model.save(path)
    before = path.read_bytes()
    logger.values = (value,)
    model.fit(X, Y, verbose=0, callbacks=[logger])
    with pytest.raises(ValueError, match=r"Received: "):
        model.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("path", mostly_wide(COMPLETE, ".tinynet"), indirect=True)
def test_long_histories_are_saved(path: Path) -> None:
    model = compiled()
    train(model)
    epochs = 200_000
    model.history.epoch = list(range(epochs))
    values = np.random.default_rng(0).random(epochs).tolist()
    model.history.history = dict.fromkeys(("loss", "mae", "val_loss", "val_mae"), values)
    loaded = reloaded(model, path).history
    assert loaded.epoch == model.history.epoch
    assert loaded.history == model.history.history


def large(layers_: int) -> tinynet.Sequential:
    row = [layers.Dense(1, name=f"layer_{i}") for i in range(layers_)]
    return tinynet.Sequential([tinynet.Input((1,)), *row])


def deep(models: int) -> tinynet.Sequential:
    model = tinynet.Sequential([tinynet.Input((2,)), layers.Dense(2)])
    for _ in range(models):
        model = tinynet.Sequential([tinynet.Input((2,)), model])
    return model


NAMES = [
    "..", ".", " ", "a\\b", "C:x", "layers", "日本é", "a\0b", "\udcff", "n" * 300, "n" * 70_000,
    "top_level_model_weights", "model_weights", "vars", "optimizer",
]  # fmt: skip


def save_and_load(models: list[Any], path: Path) -> set[int]:
    """Save and load each model; return the indices of models that cannot be saved."""
    refused = set()
    for i, model in enumerate(models):
        path.write_bytes(b"old")
        try:
            save(model, path)
        except ValueError:
            assert path.read_bytes() == b"old"
            refused.add(i)
            continue
        if path.name == "net.weights.h5":
            other = tinynet.models.clone_model(model)
            other.load_weights(path)
        else:
            other = tinynet.models.load_model(path)
            assert other.to_json() == model.to_json()
        assert bits(other) == bits(model)
    return refused


@pytest.mark.parametrize("path", mostly_wide(KINDS, ".tinynet"), indirect=True)
def test_saved_models_can_be_loaded(path: Path) -> None:
    """Unsupported sizes and names raise an error before the file is replaced."""
    pytest.importorskip("h5py")
    models = [large(60), deep(10), deep(25), deep(40), deep(60)]
    for name in NAMES:
        row = [tinynet.Input((2,)), layers.Dense(2, name=name), layers.Dense(1)]
        models.append(tinynet.Sequential(row, name=name))
        models[-1].compile("adam", "mse")
    refused = save_and_load(models, path)
    assert not {0, 1, 2, 7, 11} & refused  # plain names and common sizes are supported


@pytest.mark.parametrize(
    "n", [pytest.param(600, marks=pytest.mark.slow), pytest.param(3400, marks=pytest.mark.wide)]
)
@pytest.mark.parametrize("path", KINDS, indirect=True)
def test_hundreds_of_layers_are_saved(n: int, path: Path) -> None:
    """Models with thousands of layers are saved, or raise an error."""
    pytest.importorskip("h5py")
    assert not save_and_load([large(n)], path) or n > 600


# ------------------------------------------------------------ random models and histories


def random_row(rng: np.random.Generator, dtypes: list[str | None], depth: int = 0) -> list[Any]:
    """Return random layers, some of which are nested models."""
    row: list[Any] = []
    for _ in range(rng.integers(1, 5)):
        dtype = dtypes[rng.integers(len(dtypes))]
        kind = rng.integers(10 if depth < 2 else 9)
        row.append(
            [
                lambda d: layers.Dense(
                    int(rng.integers(1, 6)),
                    [None, "relu", "gelu", "softmax", "tanh"][rng.integers(5)],
                    use_bias=bool(rng.integers(2)),
                    kernel_regularizer=[None, "l2"][rng.integers(2)],
                    kernel_constraint=[None, "max_norm"][rng.integers(2)],
                    trainable=bool(rng.integers(4)),
                    dtype=d,
                ),
                lambda d: layers.BatchNormalization(
                    momentum=0.9, scale=bool(rng.integers(2)), dtype=d
                ),
                lambda d: layers.Dropout(0.3, seed=[None, 3][rng.integers(2)], dtype=d),
                lambda d: layers.ReLU(max_value=2, dtype=d),
                lambda d: layers.Softmax(dtype=d),
                lambda d: layers.LeakyReLU(negative_slope=0.2, dtype=d),
                lambda d: layers.Rescaling(0.5, 0.1, dtype=d),
                lambda d: layers.Activation("sigmoid", dtype=d),
                lambda d: layers.Flatten(dtype=d),
                lambda d: tinynet.Sequential(random_row(rng, dtypes, depth + 1)),
            ][kind](dtype)
        )
    return row


def random_model(rng: np.random.Generator, dtypes: list[str | None], shape: Any) -> Any:
    row = [*random_row(rng, dtypes), layers.Flatten(), layers.Dense(3, dtype=dtypes[0])]
    name = [None, "é日 b", "_0."][rng.integers(3)]
    if rng.integers(2):
        x = end = tinynet.Input(shape)
        for layer in row:
            end = layer(end)
        model: Any = tinynet.Model(x, end, name=name)
    else:
        start = [tinynet.Input(shape)] * int(rng.integers(2))
        model = tinynet.Sequential([*start, *row], name=name)
    o = tinynet.optimizers
    rate = [0.01, o.schedules.CosineDecay(0.01, 10)][rng.integers(2)]
    options = {
        "use_ema": bool(rng.integers(2)),
        "gradient_accumulation_steps": [None, 2][rng.integers(2)],
    }
    optimizer = [o.SGD, o.Adam, o.RMSprop, o.AdamW, o.Nadam][rng.integers(5)](rate, **options)
    model.compile(optimizer, ["mse", "mae", "huber"][rng.integers(3)], metrics=["mae"])
    return model


@pytest.mark.each_value
@pytest.mark.filterwarnings("ignore:.* applies softmax")
@pytest.mark.parametrize("path", WHOLE[:3], indirect=True)
@pytest.mark.parametrize("number", range(8))
def test_random_models_continue_after_loading(number: int, path: Path, any_seed: int) -> None:
    pytest.importorskip("h5py")
    rng = np.random.default_rng([any_seed, number])
    floats = ["float32", "float64"]
    floatx, other = rng.permutation(floats)
    dtypes: list[str | None] = [[None], [None, *floats]][rng.integers(2)]
    logger = LogsValues()
    shape = rng.integers(1, 4, size=rng.integers(1, 4)).tolist()
    x, y = rng.normal(size=(24, *shape)), rng.normal(size=(24, 3))
    with tinynet.config.floatx_scope(str(floatx)):
        model = random_model(rng, dtypes, shape)
        logger.values = tuple(LOGGED[i][0] for i in rng.integers(len(LOGGED), size=3))
        fits = {"verbose": 0, "batch_size": 8, "callbacks": [logger]}
        model.fit(x, y, epochs=int(rng.integers(1, 4)), validation_split=0.2, **fits)
        scores = model.evaluate(x, y, verbose=0)
        model.save(path)
    with tinynet.config.floatx_scope(str(other)):
        loaded = tinynet.models.load_model(path)
        assert loaded.to_json() == model.to_json()
        assert [w.dtype for w in loaded.weights] == [w.dtype for w in model.weights]
        assert bits(loaded) == bits(model)
        found, expected = (net.predict(x, verbose=0) for net in (loaded, model))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        assert repr(loaded.evaluate(x, y, verbose=0)) == repr(scores)
        clone = tinynet.models.clone_model(loaded)
        assert {w.dtype for w in clone.weights} <= {w.dtype for w in model.weights}
        if path.suffix in COMPLETE:
            plain = {k: np.array(v, object).tolist() for k, v in model.history.history.items()}
            assert json.dumps(loaded.history.history) == json.dumps(
                plain, default=lambda value: value.tolist()
            )
            fits |= {"initial_epoch": 3, "epochs": 5}
        else:  # the format does not store random states
            fits |= {"epochs": 0}
        later = [net.fit(x, y, **fits).history for net in (loaded, model)]
        assert repr(later[0]) == repr(later[1])
        assert bits(loaded) == bits(model)


# ------------------------------------------------------------ weights files


def test_different_optimizer_keeps_its_state(tmp_path: Path) -> None:
    model, other = compiled("adam"), compiled("sgd")
    train(model)
    model.save(tmp_path / "net.tinynet")
    with pytest.warns(UserWarning, match="optimizer state is not loaded"):
        other.load_weights(tmp_path / "net.tinynet")
    assert int(other.optimizer.iterations.numpy()) == 0
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("path", EVERY, indirect=True)
def test_load_weights_keeps_the_learning_rate(path: Path) -> None:
    """The user's setting takes precedence over the file; moments and iterations are loaded."""
    model = compiled(tinynet.optimizers.Adam(0.01))
    train(model)
    save(model, path)
    other = compiled(tinynet.optimizers.Adam(1e-5, weight_decay=0.1))
    other.load_weights(path)
    assert float(other.optimizer.learning_rate) == np.float32(1e-5)
    assert other.optimizer.weight_decay == 0.1
    assert bits(other)[: len(model.weights)] == bits(model)[: len(model.weights)]
    assert int(other.optimizer.iterations) == int(model.optimizer.iterations) == 8
    assert bits(other)[-12:] == bits(model)[-12:]
    assert len(other.optimizer.variables) == 14
    other.optimizer.learning_rate = 0.5  # also during training
    other.load_weights(path)
    assert float(other.optimizer.learning_rate) == 0.5
    schedule = tinynet.optimizers.schedules.ExponentialDecay(0.2, 10, 0.9)
    scheduled = compiled(tinynet.optimizers.Adam(schedule))
    with pytest.warns(UserWarning, match="optimizer state is not loaded"):
        scheduled.load_weights(path)
    assert float(scheduled.optimizer.learning_rate) == np.float32(0.2)
    late = compiled(None)
    late.load_weights(path)
    late.compile(tinynet.optimizers.Adam(0.25), "sparse_categorical_crossentropy")
    assert float(late.optimizer.learning_rate) == 0.25
    if path.name != "net.weights.h5":  # complete models include the learning rate
        loaded = tinynet.models.load_model(path)
        assert float(loaded.optimizer.learning_rate) == np.float32(0.01)


def with_another_head(units: int) -> tinynet.Sequential:
    model = tinynet.Sequential(
        [tinynet.Input((4,)), layers.Dense(3, name="body"), layers.Dense(units, name="head")]
    )
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("path", EVERY, indirect=True)
def test_load_weights_skips_mismatches(path: Path) -> None:
    model, other = with_another_head(2), with_another_head(5)
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    save(model, path)
    before = bits(other)
    with pytest.raises(ValueError, match=r"Received: shape"):
        other.load_weights(path)
    assert bits(other) == before
    with pytest.warns(UserWarning, match=r"do not match the file: .*head"):
        other.load_weights(path, skip_mismatch=True)
    assert bits(other)[:2] == bits(model)[:2]
    assert bits(other)[2:] == before[2:]
    damaged = bytearray(path.read_bytes())
    kernel = model.get_weights()[0].tobytes()
    damaged[damaged.index(kernel)] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"Received: "):  # damaged files are not skipped
        other.load_weights(path, skip_mismatch=True)
    assert bits(other)[:2] == bits(model)[:2]


@pytest.mark.parametrize("path", [".weights.h5", ".tinynet", ".keras"], indirect=True)
def test_load_weights_skips_missing_layers(path: Path) -> None:
    model, longer = with_another_head(2), with_another_head(2)
    longer.add(layers.Dense(1))
    save(model, path)
    with pytest.warns(UserWarning, match=r"do not match the file"):
        longer.load_weights(path, skip_mismatch=True)
    assert bits(longer)[:4] == bits(model)[:4]
    save(longer, path)
    with pytest.warns(UserWarning, match=r"do not match the file"):
        model.load_weights(path, skip_mismatch=True)


@pytest.mark.parametrize("path", [".h5", ".hdf5"], indirect=True)
def test_load_weights_by_name(path: Path) -> None:
    model = with_another_head(2)
    model.save(path)
    row = [tinynet.Input((4,)), layers.Dense(3, name="body"), layers.Dense(2), layers.ReLU()]
    other = tinynet.Sequential(row)
    kept = other.get_weights()[2]
    other.load_weights(path, by_name=True)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    np.testing.assert_array_equal(other.get_weights()[2], kept)
    wider = tinynet.Sequential([tinynet.Input((4,)), layers.Dense(9, name="body")])
    with pytest.raises(ValueError, match="body"):
        wider.load_weights(path, by_name=True)
    with pytest.warns(UserWarning, match="body"):
        wider.load_weights(path, by_name=True, skip_mismatch=True)
    with pytest.warns(UserWarning, match="No weights are loaded"):
        tinynet.Sequential([tinynet.Input((4,)), layers.Dense(3)]).load_weights(path, by_name=True)


@pytest.mark.parametrize("units", [[8, 6], [8]])
@pytest.mark.parametrize("path", EVERY, indirect=True)
def test_mismatched_file_changes_nothing(units: list[int], path: Path) -> None:
    saved, model = (
        tinynet.Sequential([tinynet.Input((12,)), *map(layers.Dense, row)])
        for row in ([8, 5], units)
    )
    saved.compile("adam", "mse")
    model.compile("adam", "mse")
    save(saved, path)
    before = bits(model)
    with pytest.raises(ValueError, match=r"net.*Received: "):
        model.load_weights(path)
    assert bits(model) == before


@pytest.mark.parametrize("path", EVERY, indirect=True)
def test_truncated_file_changes_nothing(path: Path) -> None:
    model = compiled()
    train(model)
    save(model, path)
    data, before = path.read_bytes(), bits(model)
    for length in np.linspace(0, len(data) - 1, 30).astype(int):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="Received: "):
            model.load_weights(path)
    assert bits(model) == before


# ------------------------------------------------------------ overwriting files


def test_overwrite_false_keeps_file(tmp_path: Path) -> None:
    model, path = compiled(), tmp_path / "net.tinynet"
    model.save(path, overwrite=False)
    with pytest.raises(FileExistsError, match=r"net\.tinynet"):
        model.save(path, overwrite=False)
    model.save(str(path))


# ------------------------------------------------------------ custom classes


class Doubled(layers.Dense):
    """A custom subclass of Dense."""

    def __init__(self, units: int, factor: int = 2, **kwargs: Any) -> None:
        super().__init__(units * factor, **kwargs)
        self.factor = factor

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "units": self.units // self.factor, "factor": self.factor}


@pytest.mark.parametrize("path", WHOLE, indirect=True)
def test_custom_objects_are_used(path: Path) -> None:
    inner = tinynet.Sequential([Doubled(2, factor=3)])
    model = tinynet.Sequential([tinynet.Input((4,)), inner])
    model.save(path)
    with pytest.raises(ValueError, match="Doubled"):
        tinynet.models.load_model(path)
    own = {"Doubled": Doubled}
    loaded = tinynet.models.load_model(path, custom_objects=own)
    assert loaded.output_shape == (None, 6)
    with saving.custom_object_scope(own):
        assert tinynet.models.model_from_json(model.to_json()).output_shape == (None, 6)


def test_registered_classes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    saving.register_keras_serializable("Mine")(Doubled)
    model = tinynet.Sequential([tinynet.Input((4,)), Doubled(2)])
    assert '"registered_name": "Mine>Doubled"' in model.to_json()
    assert reloaded(model, tmp_path / "net.tinynet").output_shape == (None, 4)


# ------------------------------------------------------------ file names


@pytest.mark.skipif(sys.platform != "linux", reason="requires undecodable file names")
@pytest.mark.parametrize("path", EVERY, indirect=True)
def test_undecodable_file_names_work(path: Path) -> None:
    model, name = compiled(), path.with_name(path.name.replace("net", "\udcff", 1))
    for given in (os.fsencode(name), str(name), name):
        if path.name == "net.weights.h5":
            model.save_weights(given)
        else:
            model.save(given)
            assert bits(tinynet.models.load_model(given)) == bits(model)
        model.load_weights(given)
    assert os.listdir(os.fsencode(path.parent)) == [os.fsencode(name.name)]


def dense(units: int, **kwargs: Any) -> Any:
    return layers.Dense(units, kernel_initializer="he_normal", **kwargs)


@saving.register_keras_serializable("tests")
class Branches(tinynet.Model):
    """A model that stores layers in attributes, lists, tuples, dicts and sets."""

    def __init__(self, units: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._first = dense(units)
        self.heads = {"a": dense(4), "b": [dense(3), (dense(2), {"c": dense(5)})]}
        self.a_last = dense(1)
        self.loose = {dense(6)}
        self.zoo = [layers.ReLU(), dense(2)]

    def call(self, x: Any) -> Any:
        x = self.heads["a"](self._first(x))
        x = self.heads["b"][0](x)
        x = self.heads["b"][1][1]["c"](self.heads["b"][1][0](x))
        (loose,) = self.loose
        return self.a_last(self.zoo[1](self.zoo[0](loose(x))))


@saving.register_keras_serializable("tests")
class Built(tinynet.Model):
    """A model that creates layers in `build` and in the first call, without `get_config`."""

    def __init__(self, units: int, *, wide: bool = False) -> None:
        super().__init__()
        self.units, self.wide = units, wide

    def build(self, input_shape: Any) -> None:
        self.hidden = layers.Dense(self.units + self.wide)
        self.hidden.build(input_shape)
        super().build(input_shape)
        self.built = True

    def call(self, x: Any) -> Any:
        if not hasattr(self, "late"):
            self.late = layers.Dense(2)
        return self.late(self.hidden(x))


@saving.register_keras_serializable("tests")
class Block(layers.Layer):
    """A layer with sublayers, for prediction only."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self._inner = [layers.Dense(units), {"out": layers.Dense(4)}]

    def call(self, x: Any) -> Any:
        return self._inner[1]["out"](self._inner[0](x))


CUSTOM = {
    "branches": lambda: Branches(5, name="mine"),
    "built": lambda: Built(3, wide=True),
    "nested": lambda: tinynet.Sequential([tinynet.Input((4,)), Branches(2), Built(3), dense(2)]),
    "block": lambda: tinynet.Sequential([tinynet.Input((4,)), Block(3), dense(2)]),
}


@pytest.mark.each_value
@pytest.mark.parametrize("kind", CUSTOM)
@pytest.mark.parametrize("path", KINDS, indirect=True)
def test_custom_models_are_saved(kind: str, path: Path) -> None:
    pytest.importorskip("h5py")
    x = np.random.default_rng(0).normal(size=(8, 4))
    model = CUSTOM[kind]()
    if kind == "block":
        model.predict(x, verbose=0)
    else:
        model.compile("adam", "mse")
        model.fit(x, x[:, : model.predict(x, verbose=0).shape[1]], verbose=0)
    expected = model.predict(x, verbose=0)
    assert len(model.weights) == {"branches": 16, "built": 4, "nested": 22, "block": 6}[kind]
    if path.name == "net.weights.h5":
        model.save_weights(path)
        other = CUSTOM[kind]()
        other.build((None, 4))
        assert not np.array_equal(other.predict(x, verbose=0), expected)
        other.load_weights(path)
    else:
        model.save(path)
        other = tinynet.models.load_model(path)
        assert type(other) is type(model)
        assert (other.name, other.compiled) == (model.name, model.compiled)
        assert bits(other) == bits(model)
    np.testing.assert_array_equal(other.predict(x, verbose=0), expected)


def test_unloadable_custom_classes_raise(tmp_path: Path) -> None:
    class Incomplete(layers.Layer):
        def __init__(self, units: int) -> None:
            super().__init__()

        def get_config(self) -> dict[str, Any]:
            return {}

        def call(self, x: Any) -> Any:
            return x

    path = tmp_path / "net.tinynet"
    with pytest.raises(ValueError, match=r"must return all required arguments.*\['units'\]"):
        tinynet.Sequential([tinynet.Input((4,)), Incomplete(2)]).save(path)
    assert not path.exists()


def test_from_config_sets_name() -> None:
    class Plain(layers.Dense):
        def __init__(self, units: int) -> None:
            super().__init__(units)

    layer = Plain(3)
    layer.name, layer.trainable, layer.dtype = "plain", False, "float64"
    copied = Plain.from_config(layer.get_config())
    assert (copied.name, copied.trainable, copied.dtype) == ("plain", False, "float64")


def test_custom_build_configs_are_used(tmp_path: Path) -> None:
    class Own(Branches):
        def get_build_config(self) -> Any:
            return {"width": self.input_shape[1]}

        def build_from_config(self, config: Any) -> None:
            self.build((None, config["width"]))

    model = Own()
    model.build((None, 4))
    model.save(tmp_path / "net.tinynet")
    loaded = tinynet.models.load_model(tmp_path / "net.tinynet", custom_objects={"Own": Own})
    assert bits(loaded) == bits(model)


# ------------------------------------------------------------ complete Keras 2 models


def write_keras2(
    path: Path, config: Any, weights: dict[str, Any], training: Any = None, chunked: bool = False
) -> None:
    """Write an .h5 file like Keras 2: fixed-length bytes, names with ``:0``, no checksums."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.4.3"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(config).encode()
        if training:
            file.attrs["training_config"] = json.dumps(training).encode()
            state = file.create_group("optimizer_weights")
            state.attrs["weight_names"] = [b"iter:0", b"m:0"]
            state["iter:0"], state["m:0"] = np.int64(7), np.ones(3)
        top = file.create_group("model_weights")
        names = [name.encode() for name in weights]
        for i in range(len(names)):
            if chunked:
                top.attrs[f"layer_names{i}"] = names[i : i + 1]
        if not chunked:
            top.attrs["layer_names"] = names
        for name, arrays in weights.items():
            group = top.create_group(name)
            listed = [f"{name}/w{i}:0".encode() for i in range(len(arrays))]
            group.attrs["weight_names"] = listed or np.array([], "S1")
            for inner, array in zip(listed, arrays, strict=True):
                group[inner.decode()] = array


K2_KERNEL, K2_BIAS = np.arange(12, dtype="f4").reshape(4, 3) / 10, np.array([0.1, -0.2, 0.3], "f4")
K2_GLOROT = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "normal", "dtype": "float32"},
}


def k2(class_name: str, **config: Any) -> Any:
    return {"class_name": class_name, "config": config}


K2_DENSE = k2(
    "Dense",
    name="d",
    trainable=True,
    units=3,
    activation="softmax_v2",
    kernel_initializer=K2_GLOROT,
    bias_initializer=k2("Zeros", dtype="float32"),
    kernel_regularizer=k2("L1L2", l1=0.0, l2=0.01),
    activity_regularizer=None,
)
K2_SHAPE = {"batch_input_shape": [None, 4]}


def k2_with(layer: Any, **extra: Any) -> Any:
    return {**layer, "config": {**layer["config"], **extra}}


K2_INPUT = k2("InputLayer", **K2_SHAPE, dtype="float32", sparse=False, ragged=False, name="i")
K2_FIRST = {
    "Dense": k2_with(K2_DENSE, **K2_SHAPE, dtype="float32", input_dtype="float32"),
    "InputLayer": K2_INPUT,
    "Dropout": k2("Dropout", name="o", rate=0.2, noise_shape=None, seed=None, **K2_SHAPE),
    "Activation": k2("Activation", name="a", activation="linear", input_shape=[4], **K2_SHAPE),
    "Flatten": k2("Flatten", name="f", data_format="channels_last", **K2_SHAPE),
    "LeakyReLU": k2("LeakyReLU", name="l", alpha=1.0, **K2_SHAPE),
    "Reshape": k2("Reshape", name="r", target_shape=[4], **K2_SHAPE),
    "Sequential": k2("Sequential", name="s", layers=[k2("Flatten", name="f", **K2_SHAPE)]),
    "list": k2("Sequential", layers=[]) | {"config": [k2("Flatten", name="f", **K2_SHAPE)]},
    "BatchNormalization": k2(
        "BatchNormalization", name="b", axis=[1], momentum=0.99, epsilon=1e-3, **K2_SHAPE
    ),
}


def k2_functional(*between: Any, nested: bool = False) -> Any:
    row = [{**K2_INPUT, "name": "i", "inbound_nodes": []}]
    for layer in [*between, K2_DENSE]:
        source = row[-1]["name"]
        node = [[source, 1 if nested else 0, 0, {"training": None}]]
        row.append({**layer, "name": layer["config"]["name"], "inbound_nodes": [node]})
    ends = {"input_layers": [["i", 0, 0]], "output_layers": [["d", 0, 0]]}
    return k2("Model", name="m", layers=row, **ends)


K2_MODELS = {
    **{first: k2("Sequential", name="q", layers=[layer]) for first, layer in K2_FIRST.items()},
    "functional": k2_functional(),
    "functional of a Sequential": k2_functional(K2_FIRST["Sequential"], nested=True),
    "layers in a list": k2("Sequential") | {"config": [K2_FIRST["Flatten"]]},
}
for _name, _model in K2_MODELS.items():
    if _name != "Dense" and not _name.startswith("functional"):
        _listed = _model["config"]
        (_listed if isinstance(_listed, list) else _listed["layers"]).append(K2_DENSE)


def write_keras2_zip(path: Path, config: Any, weights: dict[str, Any], training: Any) -> None:
    """Write a .keras file like Keras 2.12 to 2.15, without a learning rate in the state."""
    h5py = pytest.importorskip("h5py")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, arrays in {**weights, "optimizer": [np.int64(7), np.ones(3)]}.items():
            for i, array in enumerate(arrays):
                place = name if name == "optimizer" else f"layers/{name}"
                file[f"{place}/vars/{i}"] = array
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        archive.writestr("config.json", json.dumps({**config, "compile_config": training}))
        archive.writestr("model.weights.h5", buffer.getvalue())


def load_keras2(path: Path, **options: Any) -> Any:
    with pytest.warns(UserWarning, match="state of a Keras 2 file"):
        return tinynet.models.load_model(path, **options)


K2_METRICS = {"loss": "sparse_categorical_crossentropy", "metrics": ["acc"]}
K2_MOMENTS = [np.ones(4), np.zeros(4), np.zeros(4), np.ones(4) - 1e-3]


@pytest.mark.each_value
@pytest.mark.parametrize("container", ["h5", "chunked h5", "keras"])
@pytest.mark.parametrize("first", K2_MODELS)
def test_keras2_models_are_loaded(first: str, container: str, tmp_path: Path) -> None:
    path, config = tmp_path / f"net.{container.split()[-1]}", K2_MODELS[first]
    weights = {"batch_normalization": K2_MOMENTS} if first == "BatchNormalization" else {}
    weights["dense"] = [K2_KERNEL, K2_BIAS]
    if container == "keras":
        adam = k2("Adam", learning_rate=0.5, jit_compile=True, is_legacy_optimizer=False)
        write_keras2_zip(path, config, weights, {"optimizer": adam, **K2_METRICS})
    else:
        sgd = k2("SGD", lr=0.5, decay=0.1, momentum=0.9, nesterov=True, name="SGD")
        training = {"optimizer_config": sgd, **K2_METRICS, "loss_weights": None}
        training["sample_weight_mode"] = None
        named = {name[0]: arrays for name, arrays in weights.items()}
        write_keras2(path, config, named, training, chunked=container == "chunked h5")
    model = load_keras2(path)
    x, y = np.random.default_rng(0).normal(size=(5, 4)).astype("f4"), np.arange(5) % 3
    z = np.exp(x @ K2_KERNEL + K2_BIAS)
    expected = z / z.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5)
    assert model.input_shape == (None, 4)
    assert set(model.evaluate(x, y, verbose=0, return_dict=True)) == {"loss", "acc"}
    rates = []
    for _ in range(3):  # rate / (1 + decay * iterations)
        rates.append(float(model.optimizer.learning_rate))
        model.train_on_batch(x, y)
    decay = 0 if container == "keras" else 0.1
    np.testing.assert_allclose(rates, [0.5 / (1 + decay * i) for i in range(3)], rtol=1e-6)
    if decay:
        assert (model.optimizer.momentum, model.optimizer.nesterov) == (0.9, True)
    model.save(tmp_path / "new.keras")
    again = tinynet.models.load_model(tmp_path / "new.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_keras2_hard_sigmoid_raises(tmp_path: Path) -> None:
    """Keras 2 used a different formula, so the same weights would give different outputs."""
    path, weights = tmp_path / "net.h5", {"x": [K2_KERNEL, K2_BIAS]}
    for refused, given in [(True, {"activation": "hard_sigmoid"}), (False, {})]:
        layer = k2_with(K2_DENSE, **K2_SHAPE, **{"name": "hard_sigmoid", **given})
        write_keras2(path, k2("Sequential", layers=[layer]), weights)
        if refused:
            with pytest.raises(ValueError, match="hard_sigmoid of Keras 2 is not supported"):
                tinynet.models.load_model(path)
    assert tinynet.models.load_model(path).layers[0].name == "hard_sigmoid"


def k2_wrapped(name: str, function: str) -> Any:
    return k2("MeanMetricWrapper", name=name, dtype="float32", fn=function)


@pytest.mark.parametrize(
    ("optimizer", "loss", "metrics", "expected"),
    [
        (k2("Custom>Adam", name="Adam", learning_rate=0.5, jit_compile=False, beta_1=0.8),
         "mse", [[k2_wrapped("mae", "mean_absolute_error")]], "mae"),
        (k2("Adam", lr=0.5, decay=0.0, epsilon=None, amsgrad=False),
         k2("MeanSquaredError", reduction="auto", name="m", fn="mean_squared_error"),
         [k2("MeanAbsoluteError", name="own", dtype="float32")], "own"),
        (k2("RMSprop", lr=0.5, rho=0.9, decay=0.0), ["mse"], ["mae"], "mae"),
        (k2("SGD", lr=0.5), {"d": "mse"}, {"d": ["mae"]}, "mae"),
        (k2("Nadam", lr=0.5, schedule_decay=0.004), "mse", ["mae"], "mae"),
        (k2("Nadam", learning_rate=0.5, decay=0.004), "mse", ["mae"], "mae"),
        (k2("Custom>AdamW", learning_rate=0.5, weight_decay=0.004), "mean_squared_error",
         [[k2_wrapped("x", "mean_absolute_error")]], "mean_absolute_error"),
    ],
)  # fmt: skip
def test_keras2_training_configurations_are_loaded(
    optimizer: Any, loss: Any, metrics: Any, expected: str, tmp_path: Path
) -> None:
    training = {"optimizer_config": optimizer, "loss": loss, "metrics": metrics, "loss_weights": {}}
    config = k2("Sequential", layers=[k2_with(K2_DENSE, **K2_SHAPE, activation="linear")])
    write_keras2(tmp_path / "net.h5", config, {"d": [K2_KERNEL, K2_BIAS]}, training)
    model = load_keras2(tmp_path / "net.h5")
    assert float(model.optimizer.learning_rate) == 0.5
    x, y = np.ones((2, 4)), np.zeros((2, 3))
    values = model.evaluate(x, y, verbose=0, return_dict=True)
    penalty = 0.01 * (K2_KERNEL**2).sum()
    outputs = K2_KERNEL.sum(axis=0) + K2_BIAS
    assert values["loss"] == pytest.approx((outputs**2).mean() + penalty, rel=1e-5)
    assert values[expected] == pytest.approx(np.abs(outputs).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("old", "new"),
    [("logcosh", "log_cosh"), ("huber_loss", "huber"), ("kullback_leibler_divergence", "kld")],
)
def test_keras2_loss_names_are_converted(old: str, new: str, tmp_path: Path) -> None:
    config = k2("Sequential", layers=[k2_with(K2_DENSE, **K2_SHAPE)])
    training = {"optimizer_config": k2("SGD", lr=0.5), "loss": old, "metrics": []}
    write_keras2(tmp_path / "net.h5", config, {"d": [K2_KERNEL, K2_BIAS]}, training)
    model = load_keras2(tmp_path / "net.h5")
    x, y = np.ones((2, 4)), np.full((2, 3), 1 / 3)
    found = model.evaluate(x, y, verbose=0)
    model.compile("sgd", new)
    assert found == model.evaluate(x, y, verbose=0)


@pytest.mark.parametrize("name", ["Conv2D", "LSTM", "pkg>Special"])
def test_keras2_unsupported_layers_are_named(name: str, tmp_path: Path) -> None:
    config = k2("Sequential", layers=[k2(name, name="z", **K2_SHAPE), K2_DENSE])
    write_keras2(tmp_path / "net.h5", config, {"d": [K2_KERNEL, K2_BIAS]})
    with pytest.raises(ValueError, match=f"Received: layer='{name}'"):
        tinynet.models.load_model(tmp_path / "net.h5")
    if ">" in name:

        class Special(layers.Flatten):
            pass

        own = {name: Special}
        model = tinynet.models.load_model(tmp_path / "net.h5", custom_objects=own)
        assert type(model.layers[0]) is Special


def test_whole_model_in_weights_file(tmp_path: Path) -> None:
    """`ModelCheckpoint` without `save_weights_only` may write to such a path, as it ends in .h5."""
    model = classifier()
    model.save(tmp_path / "net.weights.h5")
    assert bits(tinynet.models.load_model(tmp_path / "net.weights.h5")) == bits(model)
    model.load_weights(tmp_path / "net.weights.h5")


def test_json_integers_have_at_most_50_digits() -> None:
    read = tinynet.saving.configuration.from_json
    assert read(f'{{"a": {"1" * 50}}}') == {"a": int("1" * 50)}
    for number in ("0." + "1" * 60, "1" * 60 + ".5", "1" * 60 + "e-3"):
        assert read(f'{{"a": {number}}}') == {"a": float(number)}
    with pytest.raises(ValueError, match=r"50 digits.*Received: "):
        read(f'{{"a": {"1" * 51}}}')


def fives(shape: Any, dtype: Any = None) -> Any:
    return np.full(shape, 5.0, dtype)


def first(x: Any) -> Any:
    return tinynet.ops.reshape(x, (-1,))[0]


def negated(*inputs: Any) -> Any:
    return -inputs[-1]


#: Custom functions, and names of built-in functions.
FUNCTIONS = {
    "activation": (negated, "relu"), "kernel_initializer": (fives, "zeros"),
    "bias_regularizer": (first, "l2"), "kernel_constraint": (negated, "non_neg"),
    "loss": (negated, "mse"), "metrics": (negated, "accuracy"),
}  # fmt: skip


@pytest.mark.parametrize("path", WHOLE, indirect=True)
@pytest.mark.parametrize("part", FUNCTIONS)
def test_functions_named_like_others_are_not_replaced(part: str, path: Path) -> None:
    function, name = FUNCTIONS[part]
    custom = types.FunctionType(function.__code__, globals(), name, function.__defaults__)
    compiled = ("loss", "metrics")
    options = {} if part in compiled else {part: custom}
    model = tinynet.Sequential([tinynet.Input((3,)), layers.Dense(2, **options)])
    model.compile("sgd", **{key: [custom if key == part else "mae"] for key in compiled})
    model.save(path)
    with pytest.raises(ValueError, match=f"Could not locate the .*'{name}'.*custom_objects"):
        tinynet.models.load_model(path)
    loaded = tinynet.models.load_model(path, {name: custom})
    assert loaded.to_json() == model.to_json()
    x, y = np.ones((2, 3)), np.zeros((2, 2))
    results = [m.evaluate(x, y, verbose=0) + m.train_on_batch(x, y) for m in (model, loaded)]
    assert results[0] == results[1]
    assert bits(loaded) == bits(model)


def own(base: Any, name: str, method: str, function: Any) -> Any:
    """Return a custom class with the name of a built-in class."""
    return type(name, (base,), {method: function})


CLASSES = {
    "kernel_initializer": own(
        tinynet.initializers.Initializer, "Ones", "__call__", lambda self, *args, **_: fives(*args)
    ),
    "kernel_regularizer": own(
        tinynet.regularizers.Regularizer, "L2", "__call__", lambda self, x: first(x)
    ),
    "kernel_constraint": own(tinynet.constraints.Constraint, "NonNeg", "project", negated),
    "layer": own(layers.Layer, "ReLU", "call", negated),
    "loss": own(tinynet.losses.Loss, "MeanSquaredError", "call", negated),
    "metrics": own(tinynet.metrics.Recall, "Precision", "result", lambda self: 5.0),
    "optimizer": own(tinynet.optimizers.SGD, "Adam", "__doc__", "Another optimizer."),
}  # fmt: skip


@pytest.mark.parametrize("path", WHOLE, indirect=True)
@pytest.mark.parametrize("part", CLASSES)
def test_classes_named_like_others_are_not_replaced(part: str, path: Path) -> None:
    """The built-in class with this name is not replaced, either."""
    custom = CLASSES[part]
    built_in: Any = tinynet.saving.deserialize_keras_object({
        "module": "keras", "class_name": custom.__name__, "config": {}, "registered_name": None
    })  # fmt: skip
    options: dict[str, Any] = {"loss": "mae", "metrics": "mae", "optimizer": "sgd"}
    both = {part: custom()}
    if part.startswith("kernel"):
        both[part.replace("kernel", "bias")] = built_in
    added = [built_in, custom()] if part == "layer" else []
    given = both if part.startswith("kernel") else {}
    model = tinynet.Sequential([tinynet.Input((3,)), layers.Dense(2, **given), *added])
    options.update(both if part in options else {})
    options["metrics"] = [options["metrics"]]
    model.compile(**options)
    model.save(path)
    with pytest.raises(ValueError, match=f"Could not locate the .*'{custom.__name__}'"):
        tinynet.models.load_model(path)
    loaded = tinynet.models.load_model(path, {custom.__name__: custom})
    assert loaded.to_json() == model.to_json()
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    x, y = np.ones((2, 3)), np.zeros((2, 2))
    results = [m.evaluate(x, y, verbose=0) + m.train_on_batch(x, y) for m in (model, loaded)]
    assert results[0] == results[1]
    assert bits(loaded) == bits(model)


@pytest.mark.parametrize("path", WHOLE, indirect=True)
@pytest.mark.parametrize(
    "name", ["mean_absolute_error", "hinge", "kl_divergence", "binary_accuracy"]
)
def test_functions_of_metrics_are_saved(name: str, path: Path) -> None:
    function = getattr(tinynet.metrics, name)
    model = tinynet.Sequential([tinynet.Input((3,)), layers.Dense(2, tinynet.ops.tanh)])
    loss = getattr(tinynet.losses, name, "mse")
    model.compile("sgd", loss, metrics=[function], weighted_metrics=[name])
    loaded = reloaded(model, path)
    x, y = np.ones((2, 3)), np.ones((2, 2))
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    assert json.loads(model.to_json())["config"]["layers"][1]["config"]["activation"] == "tanh"
    assert tinynet.models.clone_model(model).layers[0].activation is tinynet.activations.tanh


def test_operations_as_activations_are_saved(tmp_path: Path) -> None:
    """`ops.gelu` and `activations.gelu` have different default values."""
    x = np.float32([[-1.0, 0.5, 2.0]])
    for function in (tinynet.ops.gelu, tinynet.activations.gelu, tinynet.ops.sin):
        model = tinynet.Sequential([tinynet.Input((3,)), layers.Dense(2, function)])
        loaded = reloaded(model, tmp_path / "net.tinynet")
        np.testing.assert_array_equal(loaded(x), model(x))
    a, b = (layers.Dense(2, f).get_config() for f in (tinynet.ops.gelu, tinynet.activations.gelu))
    assert (a["activation"]["module"], b["activation"]) == ("keras.ops", "gelu")


def exp(x: Any) -> Any:
    return 3 * x


def test_functions_of_lambda_are_loaded(tmp_path: Path) -> None:
    path, tf = tmp_path / "net.tinynet", tinynet.compat.tensorflow
    x = np.float32([[-1, 0, 2]])
    ops, activations = tinynet.ops, tinynet.activations
    built_in = activations.relu, activations.softmax, ops.exp, ops.normalize, ops.gelu, ops.relu6
    custom = exp, np.exp, tf.nn.relu, tf.abs, tf.nn.l2_normalize
    for function in (*built_in, *custom):
        model = tinynet.Sequential([tinynet.Input((3,)), layers.Lambda(function)])
        model.save(path)
        own = {function.__name__: function} if function in custom else {}
        if own:
            with pytest.raises(ValueError, match=f"Could not locate .*'{function.__name__}'"):
                tinynet.models.load_model(path)
        loaded = tinynet.models.load_model(path, own)
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert (tf.abs.__name__, tf.nn.l2_normalize.__name__) == ("abs", "l2_normalize")
    for unnamed in (lambda x: x, functools.partial(np.add, 1)):
        model = tinynet.Sequential([tinynet.Input((3,)), layers.Lambda(unnamed)])
        with pytest.raises(ValueError, match="must be a named function"):
            model.save(path)


def test_old_files_have_functions_by_name() -> None:
    for name in ("relu", "exp"):
        for given in (name, {"module": "builtins", "class_name": "function", "config": name}):
            layer = layers.Lambda.from_config({"function": given})
            assert layer.function is getattr(tinynet.ops, name)
