"""Compare overridden methods of the training loop (train_step, compute_loss, ...) with Keras.

Each program runs with Keras and with tinynet from the same weights, and returns the values to
compare: numbers, arrays and names, nested in lists and dicts. Fast tests compare with results
of Keras that are recorded in ``recorded.json``.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import recorded
from tinynet.compat import tensorflow as compat

PROGRAMS: list[Callable[[Any, Any], Any]] = []


def compared(program: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    PROGRAMS.append(program)
    return program


def start(*models: Any) -> Any:
    """Set initial weights that do not depend on the library."""
    rng = np.random.default_rng(7)
    for model in models:
        model.set_weights([0.5 * rng.standard_normal(w.shape) for w in model.weights])
    return models[0] if len(models) == 1 else models


def numbers(n: int = 40, outputs: int = 1) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((n, 5)).astype("float32")
    return x, (x[:, :outputs] * x[:, 2:3] + 0.5).astype("float32")


X, Y = numbers()
FIT: dict[str, Any] = {"batch_size": 16, "shuffle": False, "verbose": 0}


def spread(model: Any) -> None:
    """Set the weights to evenly spaced values from -1 to 1."""
    shapes = [w.shape for w in model.get_weights()]
    model.set_weights([np.linspace(-1, 1, np.prod(s)).reshape(s) for s in shapes])


def arrays(model: Any) -> list[Any]:
    return [np.asarray(w) for w in model.get_weights()]


def trained(
    model: Any, optimizer: Any, loss: Any = None, metrics: Any = None, **options: Any
) -> list[Any]:
    """Compile and fit a model; return its history and weights."""
    model.compile(optimizer, loss, metrics=metrics)
    options = {"x": X, "y": Y, "epochs": 2, **FIT, **options}
    return [model.fit(**options).history, arrays(model)]


def learn(model: Any, tape: Any, loss: Any) -> None:
    """Apply one step of the model's optimizer."""
    variables = model.trainable_variables
    model.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


class Watch:
    """Mixin for a callback that records its logs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append(("train", batch, dict(logs)))

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append(("test", batch, dict(logs)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen.append(("epoch", epoch, dict(logs)))


def watch(keras: Any) -> Any:
    return type("Watching", (Watch, keras.callbacks.Callback), {})()


def functional(cls: Any, keras: Any, *layers: Any, inputs: int = 5) -> Any:
    first = x = keras.Input((inputs,))
    for layer in layers or (keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(1)):
        x = layer(x)
    return start(cls(first, x))


def stepping(keras: Any, tf: Any, base: Any = None) -> Any:
    """Return a class with the `train_step` of Keras' guide."""

    class Stepping(base or keras.Model):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            x, y, w = keras.utils.unpack_x_y_sample_weight(data)
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=w)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return self.compute_metrics(x, y, y_pred, sample_weight=w)

    return Stepping


@compared
def train_step_of_the_guide(keras: Any, tf: Any) -> Any:
    model = functional(stepping(keras, tf), keras)
    return [
        *trained(model, "adam", "mse", ["mae"], epochs=3, validation_data=(X[:10], Y[:10])),
        model.evaluate(X, Y, verbose=0),
    ]


@compared
def steps_that_update_all_metrics(keras: Any, tf: Any) -> Any:
    class Updating(keras.Model):
        def train_step(self, data: Any) -> Any:
            x, y, weight = data
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=weight)
            variables = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            return self.updated(loss, y, y_pred, weight)

        def test_step(self, data: Any) -> Any:
            x, y = data
            y_pred = self(x, training=False)
            return self.updated(self.compute_loss(y=y, y_pred=y_pred), y, y_pred, None)

        def updated(self, loss: Any, y: Any, y_pred: Any, weight: Any) -> Any:
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred, sample_weight=weight)
            return {metric.name: metric.result() for metric in self.metrics}

    model = functional(Updating, keras)
    model.compile("adam", "mse", metrics=["mae"], weighted_metrics=["mse"])
    history = model.fit(X, Y, sample_weight=np.arange(40.0), epochs=2, **FIT).history
    names = [metric.name for metric in model.metrics]
    return sorted(history.items()), names, arrays(model), model.evaluate(X, Y, verbose=0)


@compared
def metrics_compiled_twice(keras: Any, tf: Any) -> Any:
    class Keeping(keras.Model):
        pass

    model = functional(Keeping, keras)
    model.own = keras.metrics.MeanAbsoluteError()
    histories = []
    for metric in (keras.metrics.MeanSquaredError(), keras.metrics.MeanSquaredError(), model.own):
        model.compile("sgd", "mse", metrics=[metric])
        histories.append(model.fit(X, Y, **FIT).history["loss"])
        model.layers[-1].trainable = not model.layers[-1].trainable
    return histories, sorted(model.evaluate(X, Y, verbose=0, return_dict=True))


@compared
def results_of_a_dict_of_outputs(keras: Any, tf: Any) -> Any:
    x, y = numbers()
    x, y = x[:32], y[:32]
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(3, name="hidden")(inputs)
    outputs = {"z": keras.layers.Dense(1, name="out")(hidden), "a": hidden * 2.0}
    model = keras.Model(inputs, outputs)
    spread(model)
    targets = {"z": y, "a": x[:, :3]}
    results = []
    for loss in ({"a": "mse", "z": "mae"}, {"z": "mae", "a": "mse"}, "mse", ["mae", "mse"]):
        model.compile("sgd", loss, metrics={"z": ["mse"], "a": ["mae"]})
        results.append(model.evaluate(x, targets, verbose=0))
        results.append(model.train_on_batch(x, targets))
    return results


@compared
def one_output_in_a_dict(keras: Any, tf: Any) -> Any:
    inputs = keras.Input((5,))
    outputs = {"key": keras.layers.Dense(1, kernel_initializer="ones", name="layer")(inputs)}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"key": "mse"}, metrics={"key": ["mae"]})
    return model.fit(X, {"key": Y}, **FIT).history, model.evaluate(X, {"key": Y}, verbose=0)


@compared
def nested_dict_of_outputs(keras: Any, tf: Any) -> Any:
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(3, name="hidden")(inputs)
    outputs = {"z": [keras.layers.Dense(1, name="out")(hidden), hidden + 1.0], "a": hidden * 2.0}
    model = keras.Model(inputs, outputs)
    spread(model)
    targets = {"z": [Y, X[:, :3]], "a": X[:, 2:]}
    losses = []
    for loss in ("mse", {"a": "mae", "z": ["mse", "mae"]}):
        model.compile("sgd", loss)
        losses.append(model.fit(X, targets, epochs=2, **FIT).history["loss"])
    return losses, arrays(model), model.predict(X, verbose=0)["z"]


def several(keras: Any, structure: Callable[[Any, Any], Any]) -> Any:
    """Build a subclassed model with unnamed outputs in a given structure."""

    class Several(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.out = keras.layers.Dense(3), keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            x = self.hidden(x)
            return structure(self.out(x), x * 2.0)

        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    if structure(0, 1) == [0, 1, 0]:  # this also tests the default train_step
        del Several.train_step
    model = Several()
    model(np.ones((1, 5), "float32"))
    return start(model)


OPTIONS_OF_LISTS: list[dict[str, Any]] = [
    {"loss": ["mse", "mae"], "metrics": [["mae"], ["mse", "mae"]]},
    {"loss": ["mae", "mae"], "metrics": ["mae", "mae"], "loss_weights": [1.0, 0.5]},
    {"loss": ["mse", None], "metrics": [None, ["mae"]]},
    {"loss": ["MSE", "MeanAbsoluteError"], "weighted_metrics": [["mae"], ["mae"]]},
    {"loss": ("mse", "mae"), "metrics": [[], ["mae"]], "weighted_metrics": [["mae"], []]},
]
OPTIONS_OF_DICTS: list[dict[str, Any]] = [
    {"loss": {"q": "mse", "p": "mae"}, "metrics": {"p": ["mae"]}},
    {"loss": ["mse", "mse"], "metrics": [["mae"], ["mae"]]},
    {"loss": {"p": "mse"}, "metrics": {"q": "mae"}},
]
STRUCTURES: list[tuple[Callable[[Any, Any], Any], list[dict[str, Any]]]] = [
    (lambda p, q: [p, q], OPTIONS_OF_LISTS),
    (lambda p, q: (p, q), OPTIONS_OF_LISTS),
    (lambda p, q: {"p": p, "q": q}, OPTIONS_OF_DICTS),
    (lambda p, q: {"q": q, "p": p}, OPTIONS_OF_DICTS),
    (lambda p, q: {"u": [p, q]}, [{"loss": {"u": ["mse", "mae"]}}]),
    (lambda p, q: (p, [q, q]), []),
    (lambda p, q: [p, q, p], [{"loss": ["mse", "mse", "mae"], "metrics": [["mae"]] * 3}]),
    (lambda p, q: [p], [{"loss": ["mse"], "metrics": [["mae"]]}]),
    (lambda p, q: {"p": p}, [{"loss": {"p": "mse"}, "metrics": {"p": ["mae"]}}]),
]


def named_by_keras(k: int) -> Callable[[Any, Any], Any]:
    def program(keras: Any, tf: Any) -> Any:
        structure, each = STRUCTURES[k]
        x, y = numbers(20)
        targets, results = structure(y, x[:, :3]), []
        for options in [{"loss": "mse"}, {"loss": keras.losses.Huber()}, *each]:
            model = several(keras, structure)
            # Tracing in Keras takes a minute, and in graph mode Keras weights batches of different
            # sizes equally.
            model.compile("sgd", run_eagerly=keras is not tinynet, **options)
            data = {"validation_data": (x, targets)}
            results.append(model.fit(x, targets, **data, **FIT).history)
            results.append(model.evaluate(x, targets, verbose=0))
            results.append(model.evaluate(x, targets, verbose=0, return_dict=True))
            results.append(model.train_on_batch(x, targets))
        return results

    program.__name__ = f"names_of_unnamed_outputs_{k}"
    return program


for number in range(len(STRUCTURES)):
    compared(named_by_keras(number))


@compared
def names_of_outputs_in_lists_in_lists(keras: Any, tf: Any) -> Any:
    inputs = keras.Input((5,))
    p = keras.layers.Dense(1, name="p", kernel_initializer="ones")(inputs)
    q = keras.layers.Dense(3, name="q", kernel_initializer="ones")(inputs)
    results = []
    for outputs, targets, options in (
        ([p, [q, p]], [Y, [X[:, :3], Y]], {"loss": ["mse", "mae", "mse"]}),
        ([p, p], [Y, Y], {"loss": "mse", "metrics": [["mae"], ["mse"]]}),
        ({"u": {"v": p}, "w": q}, {"u": {"v": Y}, "w": X[:, :3]}, {"loss": "mse"}),
        ({"u": [p, q]}, {"u": [Y, X[:, :3]]}, {"loss": "mse", "metrics": {"u": [["mae"], []]}}),
    ):
        model = keras.Model(inputs, outputs)
        model.compile("sgd", run_eagerly=keras is not tinynet, **options)
        results.append(model.fit(X, targets, **FIT).history)
        results.append(model.evaluate(X, targets, verbose=0))
    return results


@compared
def values_from_before_a_variable_is_set(keras: Any, tf: Any) -> Any:
    ops, w = keras.ops, keras.Variable([1.0, 2.0])
    found: list[Any] = []
    for read in (
        *(lambda: w.numpy(), lambda: np.asarray(w), lambda: ops.convert_to_numpy(w)),
        *(lambda: w[0], lambda: w[:1], lambda: ops.reshape(w, (1, 2)), lambda: ops.transpose(w)),
        *(lambda: ops.expand_dims(w, 0), lambda: ops.squeeze(w), lambda: ops.flip(w)),
        *(lambda: ops.broadcast_to(w, (2, 2)), lambda: ops.split(w, 2)[0], lambda: tf.identity(w)),
        *(lambda: ops.stop_gradient(w), lambda: w.assign([3.0, 4.0]), lambda: ops.copy(w)),
        *(lambda: w.assign_add([3.0, 4.0]), lambda: w.value.numpy(), lambda: ops.unstack(w)[1]),
    ):
        w.assign([1.0, 2.0])
        value = read()
        w.assign([5.0, 6.0])
        found.append(np.asarray(value).copy())
    return [*found, w.numpy()]


@compared
def gradients_from_before_a_variable_is_set(keras: Any, tf: Any) -> Any:
    ops, optimizer = keras.ops, keras.optimizers.SGD(0.1)
    w, u = keras.Variable([1.0, 2.0]), keras.Variable([3.0, 4.0])
    with tf.GradientTape() as inside:
        y = ops.sum(w * u)
        u.assign([0.5, 1.0])
    found = [inside.gradient(y, [w, u])]
    with tf.GradientTape() as first, tf.GradientTape() as second:
        a, b = ops.sum(w * u), ops.sum(w * u * u)
    found.append(first.gradient(a, [w, u]))
    optimizer.apply_gradients(zip(found[-1], [w, u], strict=True))
    return [[np.asarray(g) for g in each] for each in (*found, second.gradient(b, [w, u]), [w, u])]


def set_after_use(how: int, eager: bool) -> Callable[[Any, Any], Any]:
    def program(keras: Any, tf: Any) -> Any:
        ops = keras.ops

        class Sets(keras.layers.Layer):
            def build(self, shape: Any) -> None:
                options = {"shape": (3,), "initializer": "ones"}
                self.w = self.add_weight(name="w", **options)
                self.m = self.add_weight(name="m", trainable=False, **options)

            def call(self, x: Any) -> Any:
                if how == 0:  # the gradient with respect to w depends on m
                    x = x * self.w * self.m
                    self.m.assign(self.m * 2.0)
                elif how == 1:
                    x = x * self.w * ops.reshape(self.m, (1, 3))
                    self.m.assign_add([1.0, 1.0, 1.0])
                elif how == 2:
                    before = self.m.assign_add([1.0, 1.0, 1.0])
                    self.m.assign_add([1.0, 1.0, 1.0])
                    x = x * self.w * before
                else:
                    before = self.m[:]
                    self.m.assign(self.m * 3.0)
                    x = ops.matmul(x * self.w + before, ops.expand_dims(self.m, 1))
                    self.m.assign(self.m + 1.0)
                return x

        x = np.arange(12.0).reshape(4, 3).astype("float32") / 10
        layers = [Sets(), keras.layers.Dense(1, kernel_initializer="ones")]
        model = keras.Sequential([keras.Input((3,)), *layers])
        model.compile("sgd", "mse", run_eagerly=eager)
        fit = {"batch_size": 2, "shuffle": False, "verbose": 0}
        return model.fit(x, x[:, :1], **fit).history, arrays(model), model.predict(x, verbose=0)

    program.__name__ = f"variables_set_after_use_{how}_{'eager' if eager else 'traced'}"
    return program


for number in range(4):
    compared(set_after_use(number, False))
    compared(set_after_use(number, True))


@compared
def gradients_of_what_is_not_smooth(keras: Any, tf: Any) -> Any:
    """In TensorFlow, the gradient of a comparison is None, and the gradient of `sign` is 0."""
    ops = keras.ops

    def number(x: Any) -> Any:
        return ops.cast(x, "float32")

    functions: list[Callable[[Any, Any], Any]] = [
        *(lambda w, x: ops.where(w > 0, x, -x), lambda w, x: x * number(w > x)),
        *(lambda w, x: ops.where(w > 0, w, x), lambda w, x: ops.where(x > 9, w, x)),
        *(lambda w, x: number(ops.equal(w, x)), lambda w, x: number(ops.argmax(w)) * x),
        *(lambda w, x: number(ops.argsort(w)), lambda w, x: number(ops.cast(w, "int32"))),
        *(lambda w, x: ops.floor(w), lambda w, x: ops.ceil(w) + x, lambda w, x: ops.round(w)),
        *(lambda w, x: ops.sign(w), lambda w, x: ops.square(ops.sign(w)), lambda w, x: 0.0 * w),
        *(lambda w, x: ops.trunc(w), lambda w, x: ops.floor_divide(w, 2.0), lambda w, x: w % 2.0),
        *(lambda w, x: number(ops.isnan(w)), lambda w, x: number(ops.logical_not(w > 0))),
        *(lambda w, x: number(ops.any(w > 0)), lambda w, x: ops.ones_like(w) * x),
        *(lambda w, x: ops.zeros_like(w) + x, lambda w, x: ops.stop_gradient(w) * x),
        *(lambda w, x: ops.one_hot(ops.argmax(w), 3) * x, lambda w, x: number(ops.top_k(w, 3)[1])),
        *(lambda w, x: w + ops.stop_gradient(ops.round(w) - w), lambda w, x: ops.relu(w)),
        *(lambda w, x: ops.sort(w) * x, lambda w, x: number(ops.softmax(w) > 0.4) * x),
        *(lambda w, x: ops.take(x, ops.argsort(w), axis=-1), lambda w, x: ops.clip(w, 5, 6)),
    ]
    values = np.array([1.5, -0.5, 2.25], "float32")

    class Apply(keras.layers.Layer):
        def __init__(self, function: Any) -> None:
            super().__init__()
            self.function = function

        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(3,), name="w")
            self.other = self.add_weight(shape=(), initializer="ones", name="other")

        def call(self, x: Any) -> Any:
            return ops.sum(self.function(self.w, x) + x, axis=-1, keepdims=True) * self.other

    found: list[Any] = []
    for function in functions:
        w, x = keras.Variable(values), ops.convert_to_tensor(values[::-1].copy())
        with tf.GradientTape() as tape:
            y = ops.sum(function(w, x))
        gradient = tape.gradient(y, w)
        found.append("None" if gradient is None else np.asarray(gradient))
        model = keras.Sequential([keras.Input((3,)), Apply(function)])
        model.layers[0].w.assign(values)
        model.compile("sgd", "mse", run_eagerly=keras is not tinynet)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            model.train_on_batch(values[None].repeat(2, 0), np.ones((2, 1), "float32"))
        found.append(str(any("Gradients do not exist" in str(w.message) for w in seen)))
        found.append(model.layers[0].w.numpy())
    return found


@compared
def train_step_calling_super(keras: Any, tf: Any) -> Any:
    class Calling(keras.Model):
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            return {**logs, "twice": 2.0 * logs["loss"]}

        def test_step(self, data: Any) -> Any:
            return {"other": 3.0 * super().test_step(data)["loss"]}

    model = functional(Calling, keras)
    seen, validation = watch(keras), (X[:20], Y[:20])
    options: Any = {"validation_data": validation, "callbacks": [seen]}
    history, weights = trained(model, "sgd", "mse", ["mae"], **options)
    return history, seen.seen, weights, model.evaluate(X, Y, verbose=0, batch_size=16)


@compared
def train_step_of_a_sequential(keras: Any, tf: Any) -> Any:
    first, layers = keras.Input((5,)), keras.layers
    parts = [first, layers.Dense(6, "relu"), layers.BatchNormalization(), layers.Dense(1)]
    model = start(stepping(keras, tf, keras.Sequential)(parts))
    for w in model.weights:
        if "variance" in w.path:
            w.assign(np.ones(w.shape))
    return [*trained(model, "rmsprop", "mae", ["mse"], epochs=3), model.predict(X, verbose=0)]


@compared
def train_step_on_the_instance(keras: Any, tf: Any) -> Any:
    model = functional(keras.Model, keras)
    model.train_step = types.MethodType(stepping(keras, tf).train_step, model)
    return trained(model, "sgd", "mse", ["mae"])


@compared
def own_metrics_in_attributes(keras: Any, tf: Any) -> Any:
    class Own(keras.Model):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.loss_tracker = keras.metrics.Mean(name="loss")
            self.mae_metric = keras.metrics.MeanAbsoluteError(name="mae")

        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = keras.losses.mean_squared_error(y, y_pred)
            learn(self, tape, loss)
            self.loss_tracker.update_state(loss)
            self.mae_metric.update_state(y, y_pred)
            return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}

        @property
        def metrics(self) -> Any:
            return [self.loss_tracker, self.mae_metric]

        def test_step(self, data: Any) -> Any:
            x, y = data
            y_pred = self(x, training=False)
            self.loss_tracker.update_state(keras.losses.mean_squared_error(y, y_pred))
            self.mae_metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    model = functional(Own, keras)
    seen = watch(keras)
    found = trained(model, "adam", epochs=3, validation_split=0.25, callbacks=[seen])
    names = [m.name for m in model.metrics]
    return [*found, model.evaluate(X, Y, verbose=0), names, seen.seen]


@compared
def sample_weights_and_class_weights(keras: Any, tf: Any) -> Any:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((40, 5)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    out = []
    weights = np.linspace(0.5, 2, 40).astype("float32")
    for how in ({"sample_weight": weights}, {"class_weight": {0: 0.5, 1: 3.0}}):
        parts = keras.layers.Dense(4, "relu"), keras.layers.Dense(2, "softmax")
        model = functional(stepping(keras, tf), keras, *parts)
        both = {"metrics": ["accuracy"], "weighted_metrics": ["accuracy"]}
        model.compile("adam", "sparse_categorical_crossentropy", **both)
        history = model.fit(x, y, epochs=2, **how, **FIT).history
        eight = np.linspace(1, 2, 8).astype("float32")
        own = model.train_on_batch(x[:8], y[:8], sample_weight=eight, return_dict=True)
        out.append((history, own, arrays(model)))
    return out


@compared
def gan_with_its_own_compile(keras: Any, tf: Any) -> Any:
    class GAN(keras.Model):
        def __init__(self, discriminator: Any, generator: Any) -> None:
            super().__init__()
            self.discriminator, self.generator = discriminator, generator
            self.d_loss_tracker = keras.metrics.Mean(name="d_loss")
            self.g_loss_tracker = keras.metrics.Mean(name="g_loss")

        def compile(self, d_optimizer: Any, g_optimizer: Any, loss_fn: Any) -> None:
            super().compile()
            self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
            self.loss_fn = loss_fn

        @property
        def metrics(self) -> Any:
            return [self.d_loss_tracker, self.g_loss_tracker]

        def train_step(self, real_images: Any) -> Any:
            batch_size = tf.shape(real_images)[0]
            noise = 0.3 * tf.ones((batch_size, 3))
            generated = self.generator(noise)
            combined = tf.concat([generated, real_images], axis=0)
            labels = tf.concat([tf.ones((batch_size, 1)), tf.zeros((batch_size, 1))], axis=0)
            with tf.GradientTape() as tape:
                d_loss = self.loss_fn(labels, self.discriminator(combined))
            grads = tape.gradient(d_loss, self.discriminator.trainable_weights)
            self.d_optimizer.apply_gradients(
                zip(grads, self.discriminator.trainable_weights, strict=True)
            )
            misleading = tf.zeros((batch_size, 1))
            with tf.GradientTape() as tape:
                predictions = self.discriminator(self.generator(noise))
                g_loss = self.loss_fn(misleading, predictions)
            grads = tape.gradient(g_loss, self.generator.trainable_weights)
            self.g_optimizer.apply_gradients(
                zip(grads, self.generator.trainable_weights, strict=True)
            )
            self.d_loss_tracker.update_state(d_loss)
            self.g_loss_tracker.update_state(g_loss)
            return {"d_loss": self.d_loss_tracker.result(), "g_loss": self.g_loss_tracker.result()}

    layers = keras.layers
    d = keras.Sequential([keras.Input((5,)), layers.Dense(6), layers.LeakyReLU(), layers.Dense(1)])
    g = keras.Sequential([keras.Input((3,)), layers.Dense(4, "relu"), layers.Dense(5)])
    start(d, g)
    gan = GAN(discriminator=d, generator=g)
    gan.compile(
        d_optimizer=keras.optimizers.Adam(learning_rate=0.003),
        g_optimizer=keras.optimizers.Adam(learning_rate=0.003),
        loss_fn=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    history = gan.fit(X, epochs=3, **FIT).history
    seen = watch(keras)
    batches = tf.data.Dataset.from_tensor_slices(X).batch(16)
    more = gan.fit(batches, epochs=2, verbose=0, callbacks=[seen]).history
    return history, more, seen.seen, arrays(d), arrays(g)


@compared
def data_in_dicts(keras: Any, tf: Any) -> Any:
    class Dicts(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = keras.layers.Dense(3), keras.layers.Dense(1)

        def call(self, inputs: Any, training: Any = None) -> Any:
            hidden = tf.nn.relu(self.a(inputs["left"])) * inputs["right"]
            return {"out": self.b(hidden), "hidden": hidden}

        def train_step(self, data: Any) -> Any:
            inputs, targets = data
            with tf.GradientTape() as tape:
                found = self(inputs, training=True)
                loss = tf.reduce_mean(tf.square(found["out"] - targets["goal"]))
                loss += 0.01 * tf.reduce_sum(tf.abs(found["hidden"]))
            self.optimizer.apply(
                tape.gradient(loss, self.trainable_variables), self.trainable_variables
            )
            return {"loss": loss, "size": tf.reduce_max(found["hidden"])}

        def predict_step(self, data: Any) -> Any:
            return self(data, training=False)["out"]

    inputs = {"left": X, "right": np.abs(X[:, :3])}
    model = Dicts()
    model({name: array[:1] for name, array in inputs.items()})
    start(model)
    model.compile("sgd")
    history = model.fit(inputs, {"goal": Y}, epochs=2, **FIT).history
    batches = tf.data.Dataset.from_tensor_slices((inputs, {"goal": Y})).batch(13)
    more = model.fit(batches, epochs=2, verbose=0).history
    return history, more, arrays(model), model.predict(inputs, verbose=0, batch_size=16)


@compared
def generators_and_pydatasets(keras: Any, tf: Any) -> Any:

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            rows = slice(10 * index, 10 * index + 10)
            return X[rows], Y[rows], np.full(10, 1.0 + index, "float32")

    def generate() -> Any:
        while True:
            for k in range(0, 40, 8):
                yield X[k : k + 8], Y[k : k + 8]

    model = functional(stepping(keras, tf), keras)
    model.compile("sgd", "mse", metrics=["mae"])
    one = model.fit(Batches(), epochs=2, verbose=0, shuffle=False).history
    options: Any = {"epochs": 3, "steps_per_epoch": 4, "validation_data": (X, Y), "verbose": 0}
    return one, model.fit(generate(), **options).history, arrays(model)


@compared
def early_stopping_on_returned_logs(keras: Any, tf: Any) -> Any:
    class Counting(keras.Model):
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            return {"loss": logs["loss"], "score": logs["loss"] * 0.0 + 1.0}

    model = functional(Counting, keras)
    stop = keras.callbacks.EarlyStopping(monitor="score", patience=2, mode="max")
    history, weights = trained(model, "sgd", "mse", epochs=9, callbacks=[stop])
    return history, stop.stopped_epoch, weights


@compared
def compute_loss_overridden(keras: Any, tf: Any) -> Any:
    class Lossy(keras.Model):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.loss_tracker = keras.metrics.Mean(name="own")

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            loss = tf.reduce_mean(tf.math.squared_difference(y_pred, y))
            loss += tf.add_n(self.losses)
            self.loss_tracker.update_state(loss)
            return loss

        def reset_metrics(self) -> None:
            self.loss_tracker.reset_state()

        @property
        def metrics(self) -> Any:
            return [self.loss_tracker]

    layers = keras.layers
    parts = [
        layers.Dense(6, "tanh", kernel_regularizer=keras.regularizers.L2(0.01)),
        layers.ActivityRegularization(l2=1e-2),
        layers.Dense(1),
    ]
    model = functional(Lossy, keras, *parts)
    return [*trained(model, "adam", epochs=3), model.evaluate(X, Y, verbose=0, batch_size=16)]


@compared
def compute_loss_without_training_calling_super(keras: Any, tf: Any) -> Any:
    class Older(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return 2.0 * super().compute_loss(x, y, y_pred, sample_weight)

    layers = keras.layers
    parts = [
        layers.Dense(6, "tanh", kernel_regularizer="l1", activity_regularizer="l2"),
        layers.Dense(1),
    ]
    model = functional(Older, keras, *parts)
    return trained(model, "adam", "mse", ["mae"], epochs=3, validation_data=(X, Y))


@compared
def compute_metrics_overridden(keras: Any, tf: Any) -> Any:
    class Measured(keras.Sequential):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.own = keras.metrics.MeanSquaredError(name="own")

        def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> Any:
            results = super().compute_metrics(x, y, y_pred, sample_weight)
            self.own.update_state(y, y_pred + 1.0, sample_weight)
            results["own"] = self.own.result()
            return results

    model = Measured([keras.Input((5,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
    start(model)
    return [
        *trained(model, "adam", "mse", ["mae"], validation_data=(X[:9], Y[:9])),
        model.evaluate(X, Y, verbose=0, return_dict=True),
    ]


@compared
def get_metrics_result_overridden(keras: Any, tf: Any) -> Any:
    class Renamed(keras.Model):
        def get_metrics_result(self) -> Any:
            return {f"my_{name}": v for name, v in super().get_metrics_result().items()}

    model = functional(Renamed, keras)
    return [
        *trained(model, "adam", "mse", ["mae"], validation_data=(X[:9], Y[:9])),
        model.train_on_batch(X, Y, return_dict=True),
    ]


@compared
def predict_step_overridden(keras: Any, tf: Any) -> Any:
    class Probable(keras.Model):
        def predict_step(self, data: Any) -> Any:
            x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
            logits = self(x, training=False)
            return {"logits": logits, "p": [tf.sigmoid(logits), tf.argmax(logits, axis=-1)]}

    model = functional(Probable, keras)
    model.compile("adam", "mse")
    one = functional(type("One", (keras.Model,), {"predict_step": lambda _, x: tf.size(x)}), keras)
    return (
        one.predict(X, batch_size=16, verbose=0),
        model.predict(X, batch_size=16, verbose=0),
        model.predict(tf.data.Dataset.from_tensor_slices(X).batch(7), verbose=0),
        model.predict(tf.data.Dataset.from_tensor_slices((X, Y)).batch(7), verbose=0),
        model.evaluate(X, Y, verbose=0),
    )


@compared
def predict_step_calling_super_on_batches(keras: Any, tf: Any) -> Any:
    class Doubled(keras.Sequential):
        def predict_step(self, data: Any) -> Any:
            return 2.0 * super().predict_step(data)

    model = Doubled([keras.Input((5,)), keras.layers.Dense(2, activation="tanh")])
    start(model)
    on_batch = np.asarray(model.predict_on_batch(X[:3]))
    return model.predict(X, batch_size=16, verbose=0), on_batch, model.predict(X[:1], verbose=0)


@compared
def only_test_step_overridden(keras: Any, tf: Any) -> Any:
    class Tested(keras.Model):
        def test_step(self, data: Any) -> Any:
            x, y = data
            y_pred = self(x, training=False)
            self.compute_loss(y=y, y_pred=y_pred)
            for metric in self.metrics:
                if metric.name != "loss":
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    model = functional(Tested, keras)
    return [
        *trained(model, "adam", "mse", ["mae"], validation_data=(X[:20], Y[:20])),
        model.evaluate(X, Y, verbose=0),
    ]


@compared
def dropout_and_normalization_in_training(keras: Any, tf: Any) -> Any:
    class Modes(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.d, self.n = keras.layers.Dense(4), keras.layers.BatchNormalization(momentum=0.5)
            self.drop, self.out = keras.layers.Dropout(0.5), keras.layers.Dense(1)

        def call(self, x: Any, training: bool = False) -> Any:
            x = self.n(self.d(x), training=training)
            return self.out(self.drop(x, training=False))

        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            grads = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply(grads)
            return {"own": loss}

    model = Modes()
    model(X[:2])
    start(model)
    model.n.set_weights([np.ones(4), np.zeros(4), np.zeros(4), np.ones(4)])
    model.compile(keras.optimizers.SGD(0.01))
    model.optimizer.build(model.trainable_variables)
    history = model.fit(X, Y, epochs=2, **FIT).history
    return history, arrays(model), model.predict(X, verbose=0)


@compared
def scaled_loss_and_clipped_gradients(keras: Any, tf: Any) -> Any:
    class Scaling(keras.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
                scaled = self.optimizer.scale_loss(loss)
            grads = tape.gradient(scaled, self.trainable_variables)
            grads, norm = tf.clip_by_global_norm(grads, 0.5)
            self.optimizer.apply_gradients(zip(grads, self.trainable_variables, strict=True))
            return {"loss": loss, "norm": norm}

    model = functional(Scaling, keras)
    return trained(model, keras.optimizers.SGD(0.1, momentum=0.9, loss_scale_factor=4.0), "mse")


@compared
def two_outputs_with_train_step(keras: Any, tf: Any) -> Any:
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(6, "tanh")(inputs)
    outputs = {
        "a": keras.layers.Dense(1, name="a")(hidden),
        "b": keras.layers.Dense(1, activation="sigmoid", name="b")(hidden),
    }
    model = start(stepping(keras, tf)(inputs, outputs))
    model.compile(
        "adam",
        {"a": "mse", "b": "binary_crossentropy"},
        loss_weights={"a": 1.0, "b": 0.3},
        metrics={"a": ["mae"], "b": ["accuracy"]},
    )
    targets = {"a": Y, "b": (Y > 0).astype("float32")}
    history = model.fit(X, targets, epochs=2, **{**FIT, "batch_size": 10}).history
    return arrays(model), history


@compared
def one_dimensional_targets(keras: Any, tf: Any) -> Any:
    model = functional(stepping(keras, tf), keras)
    found = trained(model, "sgd", "mse", ["mae"], y=Y[:, 0])
    return [*found, model.evaluate(X, Y[:, 0], verbose=0)]


@compared
def add_loss_in_a_layer(keras: Any, tf: Any) -> Any:
    class Penalty(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(0.1 * tf.reduce_mean(tf.square(x)))
            return x

    layers = keras.layers
    model = functional(stepping(keras, tf), keras, layers.Dense(4), Penalty(), layers.Dense(1))
    found = trained(model, "sgd", "mse")
    model(X[:4])
    return [*found, [float(loss) for loss in model.losses]]


@compared
def metrics_of_inner_layers_and_models(keras: Any, tf: Any) -> Any:
    class Counter(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.mean = keras.metrics.Mean(name="inner")

        def call(self, x: Any) -> Any:
            return 2.0 * x

    class Outer(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.own = keras.metrics.Mean(name="outer")
            self.listed = [keras.metrics.Mean(name="listed")]
            self.count, self.d = Counter(), keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.d(self.count(x))

        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            self.own.update_state(logs["loss"])
            self.count.mean.update_state(2.0)
            self.listed[0].update_state(3.0)
            return {m.name: m.result() for m in self.metrics if m.name != "compile_metrics"}

    model = Outer()
    model(X[:1])
    start(model)
    return trained(model, "sgd", "mse")[0], sorted(m.name for m in model.metrics)


@compared
def split_of_validation_with_one_hook(keras: Any, tf: Any) -> Any:
    class Tested(keras.Model):
        def test_step(self, data: Any) -> Any:
            return {"own": 2.0 * super().test_step(data)["loss"]}

    out = []
    for cls in (Tested, stepping(keras, tf)):
        model = functional(cls, keras)
        model.compile("sgd", "mse")
        weights = np.linspace(0.5, 1.5, 40).astype("float32")
        split = model.fit(X, Y, sample_weight=weights, validation_split=0.25, **FIT).history
        out.append((split, arrays(model)))
    return out


@compared
def vector_metrics_and_plain_numbers_in_logs(keras: Any, tf: Any) -> Any:
    class Plain(keras.Model):
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            return {"zeta": 1, "loss": logs["loss"], "alpha": 0.5, "t": tf.constant(2)}

    model = functional(Plain, keras)
    history, _ = trained(model, "sgd", "mse")
    return history, [*history], [type(v[0]).__name__ for v in history.values()][:1]


@compared
def metrics_updated_in_call(keras: Any, tf: Any) -> Any:
    class Measured(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.size = keras.metrics.Mean(name="size")
            self.error = keras.metrics.MeanSquaredError(name="error")

        def call(self, x: Any) -> Any:
            self.size.update_state(tf.reduce_sum(x))
            self.error.update_state(x, 2.0 * x, sample_weight=None)
            return x

    model = functional(keras.Model, keras, keras.layers.Dense(3), Measured(), keras.layers.Dense(1))
    return [
        *trained(model, "sgd", "mse", ["mae"], validation_data=(X[:9], Y[:9])),
        model.evaluate(X, Y, verbose=0, return_dict=True),
    ]


@compared
def older_names_of_loss_and_metrics(keras: Any, tf: Any) -> Any:
    class Older(keras.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compiled_loss(y, y_pred, regularization_losses=self.losses)
            learn(self, tape, loss)
            self.compiled_metrics.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics if m.name == "none"} | {"own": loss}

    model = functional(Older, keras, keras.layers.Dense(1, kernel_regularizer="l2"))
    return trained(model, "sgd", "mse", ["mae"])


@compared
def compiled_again_without_loss_and_metrics(keras: Any, tf: Any) -> Any:
    model = functional(keras.Model, keras)
    model.compile("adam", "mse", loss_weights=2.0, metrics=["mae"])
    first = model.fit(X, Y, epochs=2, **FIT).history
    model.compile("sgd")
    return first, model.fit(X, Y, epochs=2, **FIT).history, arrays(model)


@compared
def call_without_the_argument_training(keras: Any, tf: Any) -> Any:
    """Without this argument, sublayers run in inference mode in Keras' default train_step."""

    class Silent(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [keras.layers.Dense(4), keras.layers.BatchNormalization()]
            self.parts += [keras.layers.Dropout(0.5), keras.layers.Dense(1)]

        def call(self, x: Any) -> Any:
            for part in self.parts:
                x = part(x)
            return x

    model = Silent()
    model(X)
    start(model)
    model.layers[1].set_weights([np.full(4, n) for n in (1.0, 0.0, 0.5, 2.0)])
    return [*trained(model, "sgd", "mse"), np.asarray(model(X, training=True)).shape]


@compared
def integers_that_a_call_looks_up(keras: Any, tf: Any) -> Any:
    class LookUp(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.table = self.add_weight(shape=(5, 2), name="table", initializer="ones")
            self.out = keras.layers.Dense(1, kernel_initializer="ones")

        def call(self, inputs: Any) -> Any:
            k, x = inputs["k"], inputs["a"]
            even = tf.cast(tf.equal(k % 2, 0), tf.float32)
            parts = [tf.gather(self.table, k[:, 0]), tf.one_hot(k[:, 1], 5), even, x]
            return self.out(tf.concat(parts, -1))

    inputs = {"k": np.arange(80).reshape(40, 2) // 3 % 5, "a": X}
    model = LookUp()
    found = trained(model, "sgd", "mse", x=inputs)
    return [*found, model.predict(inputs, verbose=0), model.evaluate(inputs, Y)]


@compared
def bytes_that_layers_read(keras: Any, tf: Any) -> Any:
    class Reader(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [keras.layers.Flatten(), keras.layers.Rescaling(1 / 255)]
            self.parts += [keras.layers.Dense(1, kernel_initializer="ones")]

        def call(self, x: Any) -> Any:
            for part in self.parts:
                x = part(x)
            return x

    x = np.random.default_rng(1).integers(0, 256, (40, 2, 3)).astype(np.uint8)
    model = Reader()
    return [*trained(model, "sgd", "mse", x=x), model.predict(x, verbose=0)]


@compared
def batches_of_any_structure(keras: Any, tf: Any) -> Any:
    """A batch may have any number of components, of different lengths."""

    class Free(keras.Model):
        def train_step(self, data: Any) -> Any:
            (a, b), c, (d,), e = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(self(a) ** 2) + tf.reduce_mean((self(c) - b) ** 2)
                loss += tf.reduce_mean((self(d) - e["targets"]) ** 2)
            learn(self, tape, loss)
            return {"all": loss}

    class Pairs(keras.Model):
        def train_step(self, data: Any) -> Any:
            (a, y), (b, _) = data
            return {"rows": float(a.shape[0] + b.shape[0]), "sum": tf.reduce_sum(y)}

    class Ones(keras.Model):
        def train_step(self, data: Any) -> Any:
            return {"parts": float(len(data)), "sum": tf.reduce_sum(data[0])}

    slices = tf.data.Dataset.from_tensor_slices
    many, few = slices((X, Y)).batch(10), slices((X[:12], Y[:12])).batch(3)
    single, named = slices((X[:20],)).batch(5), slices({"targets": Y[:20]}).batch(5)
    model = functional(Free, keras)
    model.compile("sgd")
    zipped = tf.data.Dataset.zip((few, slices(X[:12]).batch(3), single, named))
    logs = model.fit(zipped, epochs=2, verbose=0).history
    pairs, ones = functional(Pairs, keras), functional(Ones, keras)
    pairs.compile("sgd", run_eagerly=True)
    ones.compile("sgd", run_eagerly=True)
    pair_logs = pairs.fit(tf.data.Dataset.zip((many, few)), verbose=0).history
    return logs, arrays(model), pair_logs, ones.fit(single, verbose=0).history


@compared
def weights_of_layers_within_layers(keras: Any, tf: Any) -> Any:
    """Weights are listed layer by layer; the weights of a frozen layer are non-trainable."""

    class Block(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.count = self.add_weight(shape=(), trainable=False, name="count")
            self.scale = self.add_weight(shape=(1,), name="scale")
            self.normal = keras.layers.BatchNormalization()
            self.dense = keras.layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.dense(self.normal(x)) * self.scale

    block = Block()
    block(np.ones((2, 4), "float32"))
    block.dense.trainable = False

    def names(weights: Any) -> list[str]:
        return [w.name for w in weights]

    kinds = [block.weights, block.trainable_weights, block.non_trainable_weights]
    model = keras.Sequential([keras.Input((4,)), block])
    kinds += [model.weights, model.trainable_weights, model.non_trainable_weights]
    return [names(weights) for weights in kinds]


def alike(ours: Any, theirs: Any, where: str = "") -> None:
    if isinstance(theirs, dict):
        assert [*ours] == [*theirs], where
        for key in theirs:
            alike(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), where
        for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            alike(a, b, f"{where}[{k}]")
    elif isinstance(theirs, str):
        assert ours == theirs, where
    else:
        np.testing.assert_allclose(
            np.asarray(ours), np.asarray(theirs), rtol=2e-4, atol=2e-5, err_msg=where
        )
        assert np.shape(ours) == np.shape(theirs), where


def on_keras(program: Callable[[Any, Any], Any]) -> Any:
    from reference.keras_net import keras, tf

    return program(keras, tf)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(program, marks=pytest.mark.thread_unsafe(reason="records warnings"))
        if program is gradients_of_what_is_not_smooth
        else program
        for program in PROGRAMS
    ],
    ids=lambda program: program.__name__,
)
def test_hooks_match_recorded(program: Callable[[Any, Any], Any]) -> None:
    alike(program(tinynet, compat), recorded.result("hooks", program.__name__))


@pytest.mark.wide
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_hooks_match_keras(program: Callable[[Any, Any], Any]) -> None:
    pytest.importorskip("tensorflow", reason="needs Keras on TensorFlow")
    theirs = on_keras(program)
    alike(program(tinynet, compat), theirs)
    alike(theirs, recorded.result("hooks", program.__name__), "see tests/recorded.py: ")
