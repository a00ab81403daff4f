"""Features that public Keras programs for dense networks use, and tinynet's support for them.

`FEATURES` lists the features of 62 public programs that train a fully connected network on MNIST,
ranked by frequency. Each row contains the number of programs that use the feature, how many of
those run with Keras 3.15 (49 of the 62 do), and a function that uses the feature; its arguments
are the library, and TensorFlow or tinynet's replacement. ``python -m tests.features`` prints how
many features tinynet supports.

The tests run every row with tinynet and compare the result with ``features.json``, which
``python -m tests.features --keras`` writes with Keras.
"""

# ruff: noqa: E501  # each row of the table is one line

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import logging
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.result_files import require_keras

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (24, 4, 4)).astype(np.uint8)
X = (IMAGES / 255).reshape(24, 16)
Y = RNG.integers(0, 3, 24).astype(np.uint8)
HOT = np.eye(3)[Y]
SCCE = "sparse_categorical_crossentropy"


class Feature(NamedTuple):
    """A row: rank, number of programs, number of programs for Keras 3, name, and a check."""

    rank: int
    programs: int
    on_keras_3: int
    name: str
    check: Any

    @property
    def supported(self) -> bool | None:
        """Whether tinynet supports the feature; None if Keras 3 does not support it either."""
        if not isinstance(self.check, Refused):
            return True
        return None if self.check.by_keras else False


class Refused(NamedTuple):
    """A check that must raise an error.

    Either Keras 3 has removed the feature (`by_keras`), or tinynet supports only dense networks.
    """

    check: Callable[[Any, Any], Any]
    by_keras: bool = True


def net(k: Any, *hidden: Any, end: Any = "softmax", **options: Any) -> Any:
    """Build and compile a small network; `end` is the activation of its last layer."""
    model = k.Sequential([k.Input((16,)), *hidden, k.layers.Dense(3, activation=end)])
    return compiled(k, model, **options)


def compiled(k: Any, model: Any, **options: Any) -> Any:
    """Compile a model; Keras runs eagerly, as tracing takes longer than a few steps."""
    model.compile(**{"optimizer": "adam", "loss": SCCE, "run_eagerly": True, **options})
    return model


def fit(model: Any, x: Any = X, y: Any = Y, **options: Any) -> dict[str, Any]:
    """Train for one epoch, and return the history."""
    return model.fit(x, y, **{"verbose": 0, **options}).history


def trained(k: Any, *hidden: Any, **options: Any) -> Any:
    """Build and train a network."""
    model = net(k, *hidden, **options)
    fit(model)
    return model


def printed(function: Callable[[], Any]) -> str:
    """Call a function, and return what it prints to stdout."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        function()
    return text.getvalue()


def images(k: Any, *first: Any) -> dict[str, Any]:
    """Train a network whose first layer accepts images."""
    return fit(compiled(k, k.Sequential([*first, k.layers.Dense(3, "softmax")])), IMAGES / 255)


def files(model: Any, ending: str, save: str = "save") -> list[str]:
    """Save a model or its weights, and return the names of the written files."""
    getattr(model, save)(f"model{ending}")
    return sorted(path.name for path in Path().iterdir())


def back(k: Any, ending: str) -> Any:
    """Save and load a model, and return whether its outputs are equal."""
    model = trained(k)
    model.save(f"model{ending}")
    again = k.models.load_model(f"model{ending}")
    return bool(np.allclose(again.predict(X, verbose=0), model.predict(X, verbose=0)))


def weights_back(k: Any, ending: str) -> bool:
    """Save weights, load them into an equal network, and return whether its outputs are equal."""
    model, other = trained(k), net(k)
    model.save_weights(f"w{ending}")
    other.load_weights(f"w{ending}")
    return all(map(np.array_equal, model.get_weights(), other.get_weights()))


def chain_of_layers(k: Any) -> Any:
    """Build a network with the functional API."""
    x = k.Input(shape=(16,))
    hidden = k.layers.Dense(5, activation="relu")(x)
    return k.Model(inputs=x, outputs=k.layers.Dense(3, activation="softmax")(hidden))


def own_model(k: Any) -> Any:
    """Build a subclassed network."""

    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = k.layers.Dense(5, activation="relu")
            self.out = k.layers.Dense(3, activation="softmax")

        def call(self, x: Any) -> Any:
            return self.out(self.hidden(x))

    return compiled(k, Net(), metrics=["accuracy"])


def hooks(k: Any, *names: str, method: str = "fit") -> Any:
    """Train or evaluate with a custom callback, and return its recorded calls."""
    seen: list[Any] = []

    def hook(name: str) -> Any:
        def told(self: Any, *args: Any, logs: Any = None) -> None:
            position = [arg for arg in args if isinstance(arg, int)]
            given = [arg for arg in (*args, logs) if isinstance(arg, dict)]
            seen.append((name, *position, *map(sorted, given)))

        return told

    own = type("Own", (k.callbacks.Callback,), {f"on_{name}": hook(name) for name in names})()
    model = net(k, metrics=["accuracy"])
    getattr(model, method)(X, Y, batch_size=12, verbose=0, callbacks=[own])
    return seen


def stopping(k: Any) -> Any:
    """Stop training from a callback."""

    class Stop(k.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if logs.get("accuracy") >= 0 and logs["loss"] > 0:
                self.model.stop_training = True

    return len(fit(net(k, metrics=["accuracy"]), epochs=5, callbacks=[Stop()])["loss"])


def early(k: Any, **options: Any) -> Any:
    """Stop early: the loss does not improve with a learning rate of 0."""
    callback = k.callbacks.EarlyStopping(**{"monitor": "loss", "patience": 2, **options})
    model = net(k, optimizer=k.optimizers.SGD(0.0))
    lines = printed(lambda: fit(model, epochs=6, shuffle=False, callbacks=[callback]))
    return len(model.history.history["loss"]), lines.strip()


def checkpoint(k: Any, path: str = "c.keras", **options: Any) -> Any:
    """Save checkpoints, and return their names and the printed output without numbers."""
    callback = k.callbacks.ModelCheckpoint(path, **{"monitor": "loss", **options})
    text = printed(lambda: fit(net(k), epochs=2, batch_size=12, callbacks=[callback]))
    return sorted(p.name for p in Path().iterdir()), text.count("saving model to")


def board(k: Any, **options: Any) -> Any:
    """Write TensorBoard logs, and return the folders."""
    callback = k.callbacks.TensorBoard(log_dir="logs", **options)
    fit(net(k), callbacks=[callback], validation_data=(X, Y))
    return sorted(path.name for path in Path("logs").iterdir())


def optimizer(k: Any, made: Any) -> Any:
    """Train with an optimizer, and return its name without Keras' number, and its class."""
    model = net(k, optimizer=made)
    fit(model)
    return model.optimizer.name.rstrip("_0123456789"), type(model.optimizer).__name__


def logger(tf: Any) -> Any:
    """Silence TensorFlow's logger, and restore it."""
    before = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")
    level = tf.get_logger().level
    logging.getLogger("tensorflow").setLevel(before)
    return level


def in_double_precision(k: Any) -> Any:
    """Train in float64."""
    k.backend.set_floatx("float64")
    try:
        model = net(k)
        fit(model)
        return k.backend.floatx()
    finally:
        k.backend.set_floatx("float32")


def pickled(k: Any) -> Any:
    """Pickle a model."""
    with open("model.pkl", "wb") as file:
        pickle.dump(trained(k), file)
    return Path("model.pkl").stat().st_size > 100


def seeded(k: Any, tf: Any) -> bool:
    """Return whether the same seed gives the same weights."""
    made = []
    for _ in range(2):
        tf.random.set_seed(3)
        made.append(k.layers.Dense(3, kernel_initializer=k.initializers.GlorotUniform(3)))
        made[-1].build((None, 2))
    return np.array_equal(*(layer.get_weights()[0] for layer in made))


@contextlib.contextmanager
def empty_folder() -> Iterator[None]:
    """Change to an empty temporary folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def kind(value: Any) -> Any:
    """Reduce a result to comparable properties: numbers to their type, arrays to their shape."""
    if isinstance(value, dict):
        return {key: kind(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [kind(item) for item in value]
    if isinstance(value, float):
        return "a figure"
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f":
        return f"{value.dtype}{value.shape}"
    return value.tolist() if isinstance(value, np.ndarray) else value


# fmt: off
FEATURES = list(itertools.starmap(Feature, (
    (1, 62, 49, "Dense", lambda k, tf: k.layers.Dense(3)(X)),
    (2, 62, 49, ".compile", lambda k, tf: net(k).compiled),
    (3, 62, 49, ".fit", lambda k, tf: fit(net(k))),
    (4, 61, 49, "compile(loss=)", lambda k, tf: fit(net(k, loss=SCCE))),
    (5, 61, 49, "fit(epochs=)", lambda k, tf: fit(net(k), epochs=2)),
    (6, 60, 49, "compile(optimizer=)", lambda k, tf: fit(net(k, optimizer="sgd"))),
    (7, 60, 47, "compile(metrics=)", lambda k, tf: fit(net(k, metrics=["accuracy"]))),
    (8, 60, 47, "Dense(activation=)", lambda k, tf: k.layers.Dense(3, activation="relu")(X)),
    (9, 57, 44, "mnist.load_data", lambda k, tf: callable(k.datasets.mnist.load_data)),
    (10, 52, 41, "'accuracy'", lambda k, tf: net(k, metrics=["accuracy"]).evaluate(X, Y, verbose=0)),
    (11, 48, 39, "'relu'", lambda k, tf: k.activations.get("relu")(np.float32([[-1, 2]]))),
    (12, 43, 37, ".evaluate", lambda k, tf: net(k).evaluate(X, Y, verbose=0)),
    (13, 43, 34, "'softmax'", lambda k, tf: net(k).predict(X, verbose=0)),
    (14, 40, 36, "Flatten", lambda k, tf: k.layers.Flatten()(IMAGES.astype("float32"))),
    (15, 39, 32, "'adam'", lambda k, tf: optimizer(k, "adam")),
    (16, 32, 22, "fit(batch_size=)", lambda k, tf: fit(net(k), batch_size=5)),
    (17, 31, 20, "Sequential() + add", lambda k, tf: [m := k.Sequential(), m.add(k.layers.Dense(2)), len(m.layers)][1:]),
    (18, 31, 20, ".add", lambda k, tf: [m := k.Sequential(), m.add(k.Input((3,))), m.add(k.layers.Dense(2)), m.built][1:]),
    (19, 30, 28, "Flatten(input_shape=)", lambda k, tf: images(k, k.layers.Flatten(input_shape=(4, 4)))),
    (20, 29, 26, "'sparse_categorical_crossentropy'", lambda k, tf: net(k, loss=SCCE).evaluate(X, Y, verbose=0)),
    (21, 28, 26, "Sequential([...])", lambda k, tf: len(k.Sequential([k.layers.Dense(3)]).layers)),
    (22, 26, 25, ".predict", lambda k, tf: net(k).predict(X, verbose=0)),
    (23, 24, 23, "loss, acc = evaluate(...)", lambda k, tf: len(net(k, metrics=["accuracy"]).evaluate(X, Y, verbose=0))),
    (24, 23, 17, ".summary", lambda k, tf: "Total params: 51 (204.00 B)" in printed(net(k).summary)),
    (25, 22, 18, "evaluate(verbose=)", lambda k, tf: [printed(lambda v=v: net(k).evaluate(X, Y, verbose=v)).count("loss") for v in (0, 2)]),
    (26, 22, 17, "fit(validation_data=)", lambda k, tf: fit(net(k), validation_data=(X, Y))),
    (27, 20, 17, "Dropout", lambda k, tf: fit(net(k, k.layers.Dropout(0.2)))),
    (28, 18, 12, "Dense(input_shape=)", lambda k, tf: k.Sequential([k.layers.Dense(3, input_shape=(16,))]).output_shape),
    (29, 18, 11, "'categorical_crossentropy'", lambda k, tf: fit(net(k, loss="categorical_crossentropy"), y=HOT)),
    (30, 17, 14, "history.history[...]", lambda k, tf: len(fit(net(k), epochs=2)["loss"])),
    (31, 16, 11, "to_categorical", lambda k, tf: k.utils.to_categorical(Y)),
    (32, 14, 10, "fit(verbose=)", lambda k, tf: [printed(lambda v=v: fit(net(k), verbose=v)).count("loss") for v in (0, 2)]),
    (33, 14, 8, "to_categorical(y, num_classes)", lambda k, tf: k.utils.to_categorical(Y, 10)),
    (34, 13, 9, "fit(validation_split=)", lambda k, tf: fit(net(k), validation_split=0.25)),
    (35, 12, 6, "fit(callbacks=)", lambda k, tf: hooks(k, "epoch_end")),
    (36, 11, 10, "losses.SparseCategoricalCrossentropy(…)", lambda k, tf: fit(net(k, loss=k.losses.SparseCategoricalCrossentropy()))),
    (37, 10, 8, "Flatten() without input shape", lambda k, tf: images(k, k.layers.Flatten())),
    (38, 10, 8, ".save", lambda k, tf: files(trained(k), ".keras")),
    (39, 9, 7, "optimizers.Adam(…)", lambda k, tf: optimizer(k, k.optimizers.Adam())),
    (40, 7, 7, "SparseCategoricalCrossentropy(from_logits=True)", lambda k, tf: fit(net(k, end=None, loss=k.losses.SparseCategoricalCrossentropy(from_logits=True)))),
    (41, 7, 3, "evaluate result indexed [0]/[1]", lambda k, tf: [(r := net(k, metrics=["accuracy"]).evaluate(X, Y, verbose=0))[0], r[1]]),
    (42, 6, 6, "Softmax", lambda k, tf: k.layers.Softmax()(X.astype("float32"))),
    (43, 6, 5, "'sigmoid'", lambda k, tf: fit(net(k, k.layers.Dense(4, "sigmoid")))),
    (44, 6, 4, "tf.nn.softmax", lambda k, tf: tf.nn.softmax(np.float32([[1, 2]])).numpy()),
    (45, 5, 5, "fashion_mnist.load_data", lambda k, tf: callable(k.datasets.fashion_mnist.load_data)),
    (46, 5, 5, "Sequential([model, Softmax()]) nested model", lambda k, tf: k.Sequential([trained(k, end=None, loss=k.losses.SparseCategoricalCrossentropy(True)), k.layers.Softmax()])(X)),
    (47, 5, 5, ".save(\"….keras\")", lambda k, tf: back(k, ".keras")),
    (48, 5, 5, "tf.__version__", lambda k, tf: isinstance(tf.__version__, str)),
    (49, 5, 4, "metrics.SparseCategoricalAccuracy()", lambda k, tf: fit(net(k, metrics=[k.metrics.SparseCategoricalAccuracy()]))),
    (50, 5, 4, "normalize", lambda k, tf: k.utils.normalize(X)),
    (51, 5, 4, "normalize(axis=)", lambda k, tf: k.utils.normalize(IMAGES, axis=1)),
    (52, 5, 3, "EarlyStopping", lambda k, tf: early(k)),
    (53, 5, 3, "Dense(units=)", lambda k, tf: k.layers.Dense(units=3)(X)),
    (54, 5, 3, "to_categorical(y)", lambda k, tf: k.utils.to_categorical([0, 2, 1])),
    (55, 5, 2, "Dense(input_dim=)", lambda k, tf: k.Sequential([k.layers.Dense(3, input_dim=16)]).output_shape),
    (56, 4, 4, ".save(\"….h5\")", lambda k, tf: back(k, ".h5")),
    (57, 4, 3, "EarlyStopping(monitor=)", lambda k, tf: early(k, monitor="loss")),
    (58, 4, 3, "EarlyStopping(patience=)", lambda k, tf: early(k, patience=3)),
    (59, 4, 3, "fit(validation_freq=)", lambda k, tf: len(fit(net(k), epochs=4, validation_data=(X, Y), validation_freq=2)["val_loss"])),
    (60, 4, 3, "kernel_regularizer=regularizers.L2", lambda k, tf: fit(net(k, k.layers.Dense(4, kernel_regularizer=k.regularizers.L2(0.01))))),
    (61, 4, 3, "Dense(kernel_regularizer=)", lambda k, tf: fit(net(k, k.layers.Dense(4, kernel_regularizer="l2")))),
    (62, 4, 3, "SparseCategoricalCrossentropy(from_logits=False)", lambda k, tf: fit(net(k, loss=k.losses.SparseCategoricalCrossentropy(from_logits=False)))),
    (63, 4, 3, "'rmsprop'", lambda k, tf: optimizer(k, "rmsprop")),
    (64, 4, 2, "tf.nn.relu as an activation", lambda k, tf: fit(net(k, k.layers.Dense(4, activation=tf.nn.relu)))),
    (65, 4, 2, "tf.nn.softmax as an activation", lambda k, tf: fit(net(k, end=tf.nn.softmax))),
    (66, 4, 2, "ModelCheckpoint", lambda k, tf: checkpoint(k)),
    (67, 4, 2, "ModelCheckpoint(verbose=)", lambda k, tf: checkpoint(k, verbose=1)),
    (68, 4, 2, "tf.nn.relu", lambda k, tf: tf.nn.relu(np.float32([-1, 2])).numpy()),
    (69, 4, 1, "fit(shuffle=)", lambda k, tf: fit(net(k), shuffle=False)),
    (70, 3, 3, "BatchNormalization", lambda k, tf: fit(net(k, k.layers.BatchNormalization()))),
    (71, 3, 3, "Input", lambda k, tf: k.Input((4, 4)).shape),
    (72, 3, 3, "Input(shape=)", lambda k, tf: k.layers.Input(shape=(4, 4)).shape),
    (73, 3, 3, ".numpy() on a Keras/tf result", lambda k, tf: net(k)(X).numpy()),
    (74, 3, 3, "tf.math.confusion_matrix", lambda k, tf: tf.math.confusion_matrix([0, 1, 1], [0, 1, 0])),
    (75, 3, 2, "ModelCheckpoint(filepath=)", lambda k, tf: str(k.callbacks.ModelCheckpoint(filepath="a.keras").filepath)),
    (76, 3, 1, "Callback.on_epoch_end", lambda k, tf: hooks(k, "epoch_end")),
    (77, 3, 1, "logs.get(\"accuracy\") / logs[\"loss\"] in a callback", lambda k, tf: stopping(k)),
    (78, 3, 1, "self.model.stop_training = True", lambda k, tf: stopping(k)),
    (79, 3, 1, "subclass of callbacks.Callback", lambda k, tf: stopping(k)),
    (80, 3, 1, "ModelCheckpoint(save_best_only=)", lambda k, tf: checkpoint(k, save_best_only=True)),
    (81, 3, 1, ".load_weights", lambda k, tf: weights_back(k, ".weights.h5")),
    (82, 3, 1, "optimizers.SGD(…)", lambda k, tf: optimizer(k, k.optimizers.SGD())),
    (83, 3, 0, "np_utils.to_categorical", Refused(lambda k, tf: k.utils.np_utils)),
    (84, 2, 2, "TensorBoard", lambda k, tf: board(k)),
    (85, 2, 2, "EarlyStopping(restore_best_weights=)", lambda k, tf: early(k, restore_best_weights=True)),
    (86, 2, 2, "TensorBoard(histogram_freq=)", lambda k, tf: board(k, histogram_freq=1)),
    (87, 2, 2, "TensorBoard(log_dir=)", lambda k, tf: board(k)),
    (88, 2, 2, "InputLayer", lambda k, tf: k.Sequential([k.layers.InputLayer((16,)), k.layers.Dense(3)]).built),
    (89, 2, 2, "InputLayer(input_shape=)", lambda k, tf: k.Sequential([k.layers.InputLayer(input_shape=(16,)), k.layers.Dense(3)]).output_shape),
    (90, 2, 2, "(no metrics)", lambda k, tf: isinstance(net(k).evaluate(X, Y, verbose=0), float)),
    (91, 2, 2, "functional Model(inputs, outputs)", lambda k, tf: fit(compiled(k, chain_of_layers(k)))),
    (92, 2, 2, "model(x) call", lambda k, tf: chain_of_layers(k)(X)),
    (93, 2, 2, "'Adam'", lambda k, tf: optimizer(k, "Adam")),
    (94, 2, 2, "Adam(learning_rate=)", lambda k, tf: optimizer(k, k.optimizers.Adam(learning_rate=0.01))),
    (95, 2, 2, "models.load_model", lambda k, tf: back(k, ".keras")),
    (96, 2, 1, "'linear'", lambda k, tf: k.layers.Dense(3, activation="linear")(X)),
    (97, 2, 1, "ModelCheckpoint(monitor=)", lambda k, tf: checkpoint(k, monitor="loss")),
    (98, 2, 1, "ModelCheckpoint(save_freq=)", lambda k, tf: checkpoint(k, "c{epoch}.keras", save_freq=2)),
    (99, 2, 1, "ModelCheckpoint(save_weights_only=)", lambda k, tf: checkpoint(k, "c.weights.h5", save_weights_only=True)),
    (100, 2, 1, ".save_weights", lambda k, tf: files(net(k), ".weights.h5", "save_weights")),
    (101, 2, 1, "print(model.summary()) (returns None)", lambda k, tf: printed(lambda: print(net(k).summary())).endswith("None\n")),
    (102, 2, 1, "optimizers.RMSprop(…)", lambda k, tf: optimizer(k, k.optimizers.RMSprop())),
    (103, 2, 1, "SGD(learning_rate=)", lambda k, tf: optimizer(k, k.optimizers.SGD(learning_rate=0.1))),
    (104, 2, 0, "compile(optimizer, …) positional", lambda k, tf: [m := net(k), m.compile("sgd", SCCE), type(m.optimizer).__name__][1:]),
    (105, 2, 0, "'mean_squared_error'", lambda k, tf: fit(net(k, loss="mean_squared_error"), y=HOT)),
    (106, 2, 0, ".predict_classes", Refused(lambda k, tf: net(k).predict_classes(X))),
    (107, 1, 1, "'tanh'", lambda k, tf: fit(net(k, k.layers.Dense(4, "tanh")))),
    (108, 1, 1, "Activation('relu')", lambda k, tf: fit(net(k, k.layers.Dense(4), k.layers.Activation("relu")))),
    (109, 1, 1, "Activation('softmax')", lambda k, tf: fit(compiled(k, k.Sequential([k.layers.Dense(3), k.layers.Activation("softmax")])))),
    (110, 1, 1, "backend.set_floatx", lambda k, tf: in_double_precision(k)),
    (111, 1, 1, "EarlyStopping(verbose=)", lambda k, tf: early(k, verbose=1)),
    (112, 1, 1, "Activation", lambda k, tf: k.layers.Activation("tanh")(X)),
    (113, 1, 1, "BatchNormalization(name=)", lambda k, tf: k.layers.BatchNormalization(name="norm").name),
    (114, 1, 1, "Dense(name=)", lambda k, tf: k.layers.Dense(3, name="out").name),
    (115, 1, 1, "Dropout(name=)", lambda k, tf: k.layers.Dropout(0.1, name="drop").name),
    (116, 1, 1, "'mse'", lambda k, tf: fit(net(k, loss="mse"), y=HOT)),
    (117, 1, 1, "losses.MeanSquaredError(…)", lambda k, tf: fit(net(k, loss=k.losses.MeanSquaredError()), y=HOT)),
    (118, 1, 1, "'acc'", lambda k, tf: fit(net(k, metrics=["acc"]))),
    (119, 1, 1, "'sparse_categorical_accuracy'", lambda k, tf: fit(net(k, metrics=["sparse_categorical_accuracy"]))),
    (120, 1, 1, "Sequential(name=)", lambda k, tf: k.Sequential(name="net").name),
    (121, 1, 1, "subclass of keras.Model (call)", lambda k, tf: fit(own_model(k))),
    (122, 1, 1, ".layers", lambda k, tf: [type(layer).__name__ for layer in net(k, k.layers.Dropout(0.1)).layers]),
    (123, 1, 1, ".trainable_variables", lambda k, tf: [tuple(v.shape) for v in net(k).trainable_variables]),
    (124, 1, 1, "model.layers[i].weights", lambda k, tf: [(w.name, tuple(w.shape)) for w in net(k).layers[0].weights]),
    (125, 1, 1, "'SGD'", lambda k, tf: optimizer(k, "SGD")),
    (126, 1, 1, "'nadam'", lambda k, tf: optimizer(k, "nadam")),
    (127, 1, 1, "'sgd'", lambda k, tf: optimizer(k, "sgd")),
    (128, 1, 1, "Adam(positional rate)", lambda k, tf: float(k.optimizers.Adam(0.01).learning_rate) == float(np.float32(0.01))),
    (129, 1, 1, "predict(verbose=)", lambda k, tf: [printed(lambda v=v: net(k).predict(X, verbose=v)).count("1/1") for v in (0, 2)]),
    (130, 1, 1, ".load_weights(\"….weights.h5\")", lambda k, tf: weights_back(k, ".weights.h5")),
    (131, 1, 1, ".load_weights(other expression)", lambda k, tf: [m := net(k), m.save("a.keras"), m.load_weights(Path("a.keras"))][1:]),
    (132, 1, 1, ".save_weights(\"….weights.h5\")", lambda k, tf: files(net(k), ".weights.h5", "save_weights")),
    (133, 1, 1, ".save_weights(other expression)", lambda k, tf: net(k).save_weights(Path("a").with_suffix(".weights.h5"))),
    (134, 1, 1, "pickle.dump(model)", lambda k, tf: pickled(k)),
    (135, 1, 1, "tf.argmax", lambda k, tf: tf.argmax(np.float32([[1, 3, 2]]), axis=1)),
    (136, 1, 1, "tf.get_logger", lambda k, tf: logger(tf)),
    (137, 1, 1, "tf.one_hot", lambda k, tf: tf.one_hot([0, 2], depth=3)),
    (138, 1, 1, "tf.random.set_seed", lambda k, tf: seeded(k, tf)),
    (139, 1, 1, "tf.saved_model.load", Refused(lambda k, tf: tf.saved_model.load("a"), by_keras=False)),
    (140, 1, 1, "tf.saved_model.save", Refused(lambda k, tf: tf.saved_model.save(net(k), "a"), by_keras=False)),
    (141, 1, 1, "tf.version.VERSION", lambda k, tf: isinstance(tf.version.VERSION, str)),
    (142, 1, 0, "'ReLU'", Refused(lambda k, tf: k.layers.Dense(3, activation="ReLU"))),
    (143, 1, 0, "backend.get_value", Refused(lambda k, tf: k.backend.get_value)),
    (144, 1, 0, "backend.set_value", Refused(lambda k, tf: k.backend.set_value)),
    (145, 1, 0, "Callback.on_epoch_begin", lambda k, tf: hooks(k, "epoch_begin")),
    (146, 1, 0, "Callback.on_test_batch_begin", lambda k, tf: hooks(k, "test_batch_begin", method="evaluate")),
    (147, 1, 0, "Callback.on_test_batch_end", lambda k, tf: hooks(k, "test_batch_end", method="evaluate")),
    (148, 1, 0, "Callback.on_train_batch_begin", lambda k, tf: hooks(k, "train_batch_begin")),
    (149, 1, 0, "Callback.on_train_batch_end", lambda k, tf: hooks(k, "train_batch_end")),
    (150, 1, 0, "Callback.on_train_begin", lambda k, tf: hooks(k, "train_begin")),
    (151, 1, 0, "Callback.on_train_end", lambda k, tf: hooks(k, "train_end")),
    (152, 1, 0, "EarlyStopping(min_delta=)", lambda k, tf: early(k, min_delta=0.1)),
    (153, 1, 0, "ModelCheckpoint(mode=)", lambda k, tf: checkpoint(k, mode="min", save_best_only=True)),
    (154, 1, 0, "evaluate(batch_size=)", lambda k, tf: net(k).evaluate(X, Y, batch_size=5, verbose=0)),
    (155, 1, 0, "evaluate(callbacks=)", lambda k, tf: hooks(k, "test_begin", "test_end", method="evaluate")),
    (156, 1, 0, "evaluate(steps=)", lambda k, tf: net(k).evaluate(X, Y, batch_size=5, steps=2, verbose=0)),
    (157, 1, 0, "fit(steps_per_epoch=)", lambda k, tf: fit(net(k), batch_size=5, steps_per_epoch=2, epochs=2)),
    (158, 1, 0, "fit(x=)", lambda k, tf: fit(net(k), x=X)),
    (159, 1, 0, "fit(y=)", lambda k, tf: fit(net(k), y=Y)),
    (160, 1, 0, "bias_initializer='zeros'", lambda k, tf: k.layers.Dense(3, bias_initializer="zeros")(X)),
    (161, 1, 0, "kernel_initializer=initializers.RandomUniform", lambda k, tf: k.layers.Dense(3, kernel_initializer=k.initializers.RandomUniform(-1, 1))(X)),
    (162, 1, 0, "Dense(bias_initializer=)", lambda k, tf: k.layers.Dense(3, bias_initializer="ones")(X)),
    (163, 1, 0, "Dense(kernel_initializer=)", lambda k, tf: k.layers.Dense(3, kernel_initializer="he_normal")(X)),
    (164, 1, 0, "'mae'", lambda k, tf: fit(net(k, loss="mse", metrics=["mae"]), y=HOT)),
    (165, 1, 0, ".optimizer", lambda k, tf: net(k).optimizer.get_config()["beta_1"]),
    (166, 1, 0, ".get_weights", lambda k, tf: net(k).get_weights()),
    (167, 1, 0, ".set_weights", lambda k, tf: [m := net(k), m.set_weights([w + 1 for w in m.get_weights()])][1:]),
    (168, 1, 0, ".to_json", lambda k, tf: k.models.model_from_json(net(k).to_json()).output_shape),
    (169, 1, 0, "Adam(lr=)", Refused(lambda k, tf: k.optimizers.Adam(lr=0.01))),
    (170, 1, 0, "RMSprop(lr=)", Refused(lambda k, tf: k.optimizers.RMSprop(lr=0.01))),
    (171, 1, 0, "SGD(lr=)", Refused(lambda k, tf: k.optimizers.SGD(lr=0.01))),
    (172, 1, 0, "SGD(momentum=)", lambda k, tf: optimizer(k, k.optimizers.SGD(momentum=0.9))),
    (173, 1, 0, "SGD(nesterov=)", lambda k, tf: optimizer(k, k.optimizers.SGD(momentum=0.9, nesterov=True))),
    (174, 1, 0, ".load_weights(\"….ckpt\")", Refused(lambda k, tf: net(k).load_weights("a.ckpt"))),
    (175, 1, 0, ".load_weights(\"….hdf5\")", Refused(lambda k, tf: net(k).load_weights("a.hdf5"))),
    (176, 1, 0, ".save(\"… no extension\")", Refused(lambda k, tf: net(k).save("a"))),
    (177, 1, 0, ".save(\"….sav\")", Refused(lambda k, tf: net(k).save("a.sav"))),
    (178, 1, 0, ".save_weights(\"….h5\")", Refused(lambda k, tf: net(k).save_weights("a.h5"))),
)))
# fmt: on

GOLDEN = Path(__file__).with_name("features.json")


def result(feature: Feature, k: Any, tf: Any) -> Any:
    """Use a feature in an empty folder, and return the comparable properties of the result."""
    with empty_folder():
        if not isinstance(feature.check, Refused):
            return kind(feature.check(k, tf))
        try:
            feature.check.check(k, tf)
        except (AttributeError, ValueError, OSError, NotImplementedError) as error:
            return "refused" if str(error) else "refused without a message"
    return "not refused"


def summary(rows: list[Feature]) -> list[str]:
    """Return the number of supported features per rank, and the names of the unsupported ones."""
    lines = []
    for most, least in ((49, 10), (9, 3), (2, 2), (1, 1), (0, 0)):
        part = [f for f in rows if least <= f.on_keras_3 <= most and f.supported is not None]
        here = sum(bool(f.supported) for f in part)
        used = f"{least} to {most}" if most > least else f"{most}"
        ranks = f"ranks {min(f.rank for f in part)} to {max(f.rank for f in part)}"
        lines.append(f"{here:4} of {len(part):3}  used by {used} of 49 programs, {ranks}")
    lines += [f"not supported: {f.rank} {f.name}" for f in rows if f.supported is False]
    gone = [f.name for f in rows if f.supported is None]
    return [*lines, f"not supported by Keras 3 and tinynet: {', '.join(gone)}"]


def main(arguments: list[str] | None = None) -> None:
    """Use every feature with tinynet, or with ``--keras`` record the results of Keras."""
    parser = argparse.ArgumentParser("python -m tests.features", description=__doc__)
    parser.add_argument("--keras", action="store_true", help="record the results of Keras")
    if parser.parse_args(arguments).keras:
        reference = require_keras(parser)
        keras, tf = reference.keras, reference.tf
        golden = {str(f.rank): result(f, keras, tf) for f in FEATURES if f.supported is not False}
        GOLDEN.write_text(json.dumps(golden, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    import tinynet
    import tinynet.compat.tensorflow as stand_in

    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for feature in FEATURES:
        try:
            found = result(feature, tinynet, stand_in)
        except ImportError as error:
            print(f"not run: {feature.rank} {feature.name}: {error}")
            continue
        if found != golden.get(str(feature.rank), "refused"):
            print(f"differs from Keras: {feature.rank} {feature.name}: {found}")
    print("\n".join(summary(FEATURES)))


if __name__ == "__main__":
    main()
