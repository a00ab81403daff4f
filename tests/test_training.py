"""Public behavior of compile, fit, evaluate and predict; `test_parity` tests their values."""

from __future__ import annotations

import copy
import json
import random
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tests.models import bits, classifier, data
from tinynet import Sequential, callbacks, layers, losses, models, optimizers
from tinynet.optimizers import optimizer as optimizer_module
from tinynet.sparse import CompressedRows

SCCE = "sparse_categorical_crossentropy"
X, Y = data()
HOT = np.eye(3, dtype=np.float32)[Y]
INDEX = np.arange(21)


def net(**options: Any) -> Any:
    return classifier(**{"metrics": ["accuracy"], **options})


class Spy(layers.Layer):
    """An identity layer that records its inputs."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen: list[list[float]] = []

    def forward(self, x, work, training=False):
        if training:
            self.seen.append(x[:, 0].tolist())
        return x

    def backward(self, d_y, work, need_d_x=True):
        return d_y


class Recorder(callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, list[str]]] = []
        self.logs: list[dict[str, float]] = []

    def of(self, hook: str, name: str) -> list[Any]:
        """Return the values of a name in the logs of a hook."""
        pairs = zip(self.calls, self.logs, strict=True)
        return [logs[name] for (call, _), logs in pairs if call.startswith(hook)]


def _recording(hook: str) -> Any:
    def record(self: Recorder, *args: Any) -> None:
        *position, logs = args
        self.calls.append((f"{hook}{position or ''}", sorted(logs)))
        self.logs.append(dict(logs))

    return record


for _hook in callbacks.HOOKS:
    setattr(Recorder, _hook, _recording(_hook))


# ------------------------------------------------------------ input types and memory layouts


def unaligned(a: np.ndarray) -> np.ndarray:
    return np.frombuffer(b"\0" + a.astype("f4").tobytes(), "f4", offset=1).reshape(a.shape)


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    **{kind: lambda a, kind=kind: a.astype(kind) for kind in ("u1", "i1", "i8", "f2", "f4", "f8")},
    **{kind: lambda a, kind=kind: a.astype(kind) for kind in (">f4", ">f8")},
    "Fortran": lambda a: np.asfortranarray(a.astype(np.float32)),
    "strided": lambda a: np.repeat(a.astype(np.float32), 3, axis=0)[1::3],
    "backwards": lambda a: a[::-1].copy()[::-1],
    "unaligned": unaligned,
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "a memory map": lambda a: a.view(np.memmap),
    "nested lists": lambda a: a.tolist(),
    "tuples": lambda a: tuple(map(tuple, a.tolist())) if a.ndim > 1 else tuple(a.tolist()),
    "tensor": lambda a: keras.Variable(a.astype(np.float32)).value,
}


@pytest.mark.parametrize("backend", ["numpy", "numba"], indirect=True)
@pytest.mark.parametrize("sparsely", [False, True], ids=["dense", "sparse"])
def test_data_forms_give_equal_results(
    backend: str, sparsely: bool, rng: np.random.Generator
) -> None:
    pixels = rng.integers(0, 128, (60, 40), np.uint8)
    if sparsely:
        pixels[rng.random(pixels.shape) < 0.85] = 0
    labels, answers = (np.arange(60) % 3).astype(np.uint8), {}
    for name, form in FORMS.items():
        x, y, weights = given = form(pixels), form(labels), form(labels)
        kept = [np.array(a, copy=True) for a in given]
        model = net(shape=(40,))
        history = model.fit(x, y, sample_weight=weights, epochs=2, batch_size=16, verbose=0)
        model.train_on_batch(x, y, weights)
        results = model.evaluate(x, y, sample_weight=weights, verbose=0), history.history
        outputs = model.predict(x, verbose=0), np.asarray(model(x))
        answers[name] = [*bits(model), repr(results), *(out.tobytes() for out in outputs)]
        assert all(map(np.array_equal, given, kept))
    assert all(answer == answers["f4"] for answer in answers.values())  # bit-identical


# ------------------------------------------------------------ compile


def test_recompile_keeps_weights_and_resets_optimizer() -> None:
    model = net()
    model.fit(X, Y, epochs=2, verbose=0)
    weights = model.get_weights()
    model.compile("adam", SCCE)
    assert all(map(np.array_equal, model.get_weights(), weights))
    assert int(model.optimizer.iterations) == 0
    model.fit(X, Y, epochs=2, batch_size=7, verbose=0)
    assert int(model.optimizer.iterations) == 6
    assert sorted(model.history.history) == ["accuracy", "loss"]


class Compiles(callbacks.Callback):
    """A callback that compiles the model in a hook, and records or raises the error."""

    def __init__(self, when: str, raises: bool = False) -> None:
        super().__init__()
        self.errors: list[str] = []
        self.raises = raises
        setattr(self, when, self.compile)

    def compile(self, *args: Any) -> None:
        net().compile("sgd", "mse")  # another model may be compiled
        try:
            self.model.compile("sgd", "mse")
        except RuntimeError as error:
            self.errors.append(str(error))
            if self.raises:
                raise


@pytest.mark.each_value
@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("of", ["train_batch", "epoch", "test"])
def test_compile_in_a_callback_raises(of: str, epochs: int) -> None:
    """In Keras, training fails afterwards; tinynet raises an error and changes nothing."""
    fit: Any = {"batch_size": 8, "epochs": epochs, "shuffle": False, "verbose": 0}
    fit["validation_data"] = (X, Y)
    model, plain = net(), net()
    for when in ("begin", "end"):
        refused = Compiles(f"on_{of}_{when}")
        history = model.fit(X, Y, callbacks=[refused], **fit).history
        assert history == plain.fit(X, Y, callbacks=[callbacks.Callback()], **fit).history
        assert "must not be called while fit or evaluate is running" in refused.errors[0]
        assert bits(model) == bits(plain)
    with pytest.raises(
        RuntimeError, match=r"learning_rate. Received: a nested call of sequential\w*"
    ):
        model.fit(X, Y, callbacks=[Compiles(f"on_{of}_begin", raises=True)], **fit)
    copy.deepcopy(model).compile("sgd", "mse")
    model.compile("sgd", SCCE)
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()


def test_compile_after_training() -> None:
    model, compiling = net(), Compiles("on_train_end")
    model.fit(X, Y, callbacks=[compiling], verbose=0)
    assert (compiling.errors, model.loss) == ([], "mse")


def test_recompile_keeps_loss_and_metrics() -> None:
    """As in Keras 3.15."""
    model = net(optimizer="sgd", loss_weights=2.0)
    loss, accuracy = model.evaluate(X, Y, verbose=0)
    model.compile("sgd")
    assert model.evaluate(X, Y, verbose=0) == [loss, accuracy]
    model.compile("sgd", SCCE)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx([loss / 2, accuracy])
    model.compile("sgd", metrics=[])
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(loss / 2)


class Noisy(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(1)
        self.calls = self.add_weight(dtype="int32", trainable=False)

    def call(self, x: Any) -> Any:
        self.calls.assign_add(1)
        return x + keras.random.normal((4,), seed=self.seeds)


@pytest.mark.parametrize(
    "layer",
    [lambda: layers.Dropout(0.5), lambda: layers.GaussianNoise(1.0), Noisy],
    ids=["dropout", "noise", "custom"],
)
def test_loss_and_gradients_changes_nothing(layer: Callable[[], Any]) -> None:
    parts = [layers.Input((4,)), layer(), layers.BatchNormalization()]
    model = Sequential([*parts, Sequential([layer(), layers.Dense(3, activation="softmax")])])
    model.compile("adam", SCCE)
    other = copy.deepcopy(model)
    (first, gradients), (second, again) = (model.loss_and_gradients(X, Y) for _ in range(2))
    assert first == second
    assert all(map(np.array_equal, gradients, again))
    for each in (model, other):
        each.fit(X, Y, batch_size=7, shuffle=False, verbose=0)
    assert bits(model) == bits(other)


# ------------------------------------------------------------ fit


class Returning(keras.metrics.Metric):
    """A metric with a given result."""

    def __init__(self, value: Any, name: str = "given") -> None:
        super().__init__(name=name)
        self.value = value

    def update_state(self, y_true, y_pred, sample_weight=None):
        pass

    def result(self):
        return self.value


def test_metric_may_return_vector_or_dict() -> None:
    vector, entries = Returning(np.array([1.0, 2.0])), Returning({"b": 1, "a": np.float32(2)}, "d")
    model = net(metrics=[vector, entries])
    options: Any = {"validation_data": (X, Y), "callbacks": [Recorder()]}
    history = model.fit(X, Y, epochs=2, verbose=0, **options).history
    names = ["a", "b", "given", "loss"]
    assert list(history) == [*names, *(f"val_{name}" for name in names)]
    for name in ("given", "val_given"):
        np.testing.assert_array_equal(history[name], [[1, 2]] * 2)
    assert [history[name] for name in ("a", "b", "val_a", "val_b")] == [[2, 2], [1, 1]] * 2
    assert type(history["a"][0]) is float
    _, values, *others = model.evaluate(X, Y, verbose=0)
    np.testing.assert_array_equal(values, [1, 2])
    assert others == [2, 1]  # in Keras' order
    assert model.evaluate(X, Y, verbose=0, return_dict=True)["a"] == 2


@pytest.mark.parametrize(
    ("result", "error", "words"),
    [
        ({"loss": 1.0}, ValueError, "unique names .* Received: 'loss' twice from 'given'"),
        ({1: 1.0}, ValueError, "of type str. Received: 1 from 'given'"),
        (None, TypeError, "must be a number"),
        ("good", TypeError, "Received: 'good' from 'given'"),
        ({"a": None}, TypeError, "Received: None from 'a'"),
    ],
)
def test_metric_must_return_numbers(result: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        net(metrics=[Returning(result)]).fit(X, Y, verbose=0)


def test_history_is_json_serializable() -> None:
    model = net(weighted_metrics=["accuracy"])
    history = model.fit(X, Y, epochs=3, batch_size=8, validation_split=0.2, verbose=0)
    assert isinstance(history, callbacks.History)
    assert model.history is history
    names = ["accuracy", "loss", "val_accuracy", "val_loss", "val_weighted_accuracy"]
    assert list(history.history) == [*names, "weighted_accuracy"]
    assert [len(values) for values in history.history.values()] == [3] * 6
    for value in np.concatenate([*history.history.values()]).tolist():
        assert value == float(np.float32(value))
    assert {type(v) for values in history.history.values() for v in values} == {float}
    assert json.loads(json.dumps(history.history)) == history.history
    assert history.epoch == [0, 1, 2]
    assert history.params == {"verbose": 0, "epochs": 3, "steps": 2}
    again = model.fit(X, Y, epochs=5, initial_epoch=3, verbose=0)
    assert again is not history
    assert again.epoch == [3, 4]
    assert model.fit(X, Y, epochs=2, initial_epoch=2, verbose=0).history == {}


def test_validation_split_takes_last_rows() -> None:
    weight = np.linspace(0.5, 2, 21)
    by_split, by_hand = net(), net()
    a = by_split.fit(X, Y, validation_split=0.3, sample_weight=weight, epochs=3, verbose=0)
    cut = int(21 * 0.7)
    last = X[cut:], Y[cut:], weight[cut:]
    options: Any = {"sample_weight": weight[:cut], "epochs": 3, "verbose": 0}
    b = by_hand.fit(X[:cut], Y[:cut], validation_data=last, **options)
    assert a.history == b.history
    assert bits(by_split) == bits(by_hand)


def test_every_epoch_is_reshuffled() -> None:
    spy = Spy()
    model = Sequential([spy, layers.Dense(3, activation="softmax")])
    model.compile("adam", SCCE)
    model.fit(INDEX[:, None], Y, epochs=3, batch_size=8, verbose=0)
    assert [len(batch) for batch in spy.seen] == [8, 8, 5] * 3
    epochs = [np.concatenate(spy.seen[i : i + 3]).tolist() for i in (0, 3, 6)]
    assert all(sorted(epoch) == INDEX.tolist() for epoch in epochs)
    assert len({tuple(epoch) for epoch in [*epochs, INDEX.tolist()]}) == 4
    spy.seen.clear()
    model.fit(INDEX[:, None], Y, epochs=1, batch_size=8, verbose=0, shuffle=False)
    assert np.concatenate(spy.seen).tolist() == INDEX.tolist()


def test_shuffling_keeps_rows_aligned() -> None:
    # If shuffling did not move labels and weights, the network could not memorize the data.
    x = np.eye(21, dtype=np.float32)
    model = Sequential([layers.Dense(3, activation="softmax")])
    model.compile(optimizers.Adam(0.1), SCCE, metrics=["accuracy"])
    wrong = np.where(INDEX % 2, (Y + 1) % 3, Y)
    model.fit(x, wrong, sample_weight=1 - INDEX % 2, epochs=60, batch_size=4, verbose=0)
    assert model.evaluate(x[::2], Y[::2], verbose=0)[1] == 1.0


@pytest.mark.parametrize(("rows", "options", "steps"), [(21, {"batch_size": 99}, 1), (84, {}, 3)])
def test_default_batch_size_is_32(rows: int, options: Any, steps: int) -> None:
    model = net()
    model.fit(*data(rows), verbose=0, **options)
    assert int(model.optimizer.iterations) == steps


def test_class_weight_equals_sample_weight() -> None:
    a, b = net(), net()
    a.fit(X, Y, class_weight={0: 3.0, 2: 0.5}, verbose=0)
    b.fit(X, Y, sample_weight=np.array([3.0, 1.0, 0.5])[Y], verbose=0)
    assert bits(a) == bits(b)


def test_frozen_weights_are_unchanged() -> None:
    model = net()
    start = model.get_weights()
    for trainable, changed in ((False, [False, False, True, True]), (True, [True] * 4)):
        model.layers[0].trainable = trainable
        model.compile("adam", SCCE)
        model.fit(X, Y, verbose=0)
        after = model.get_weights()
        assert [not np.array_equal(*pair) for pair in zip(after, start, strict=True)] == changed


@pytest.mark.thread_unsafe(reason="reads the global random state")
def test_global_random_state_is_unused() -> None:
    def state() -> str:
        return repr((np.random.get_state(), random.getstate()))  # noqa: NPY002  # only read

    runs = []
    for number, seed in enumerate((5, 5, 6)):
        np.random.seed(number)  # noqa: NPY002  # the results must not depend on it
        random.seed(number)
        before = state()
        keras.random.set_seed(seed)
        model = classifier(seed=None, metrics=["accuracy"])
        history = model.fit(X, Y, epochs=2, batch_size=8, verbose=0, validation_split=0.2).history
        model.evaluate(X, Y, verbose=0)
        model.predict(X, verbose=0)
        runs.append((bits(model), history))
        assert state() == before
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


# ------------------------------------------------------------ batches and steps of an epoch

# The numbers 0 to 19. With output x and target 0, the mean absolute error of a batch is the mean
# of its rows.
ROWS = np.arange(20, dtype=np.float32)[:, None]


def identity() -> Sequential:
    model = Sequential([layers.Input((1,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile(optimizers.SGD(0.0), "mae")
    return model


def warned(call: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, list[str]]:
    """Return a function's result and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        returned = call(*args, **options, verbose=0)
    return returned, [str(w.message) for w in caught]


def some_batches(n: int) -> Any:
    """Yield n batches of four rows, cyclically."""
    for i in range(n):
        rows = ROWS[4 * (i % 5) : 4 * (i % 5) + 4]
        yield rows, 0 * rows


class Batches(keras.utils.PyDataset):
    """Five batches of four rows."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        self.calls.append(index)
        rows = ROWS[4 * index : 4 * index + 4]
        return rows, 0 * rows

    def on_epoch_begin(self) -> None:
        self.calls.append("begin")

    def on_epoch_end(self) -> None:
        self.calls.append("end")


class Restarting:
    """An iterable without a length."""

    def __iter__(self) -> Any:
        return some_batches(5)


class StoredGenerator:
    """An iterable that can be read only once."""

    def __init__(self) -> None:
        self.batches = some_batches(5)

    def __iter__(self) -> Any:
        return self.batches


#: The same five batches of four rows as each type of input.
SOURCES: dict[str, Callable[[], dict[str, Any]]] = {
    "arrays": lambda: {"x": ROWS, "y": 0 * ROWS, "batch_size": 4},
    "PyDataset": lambda: {"x": Batches()},
    "iterable": lambda: {"x": Restarting()},
    "generator": lambda: {"x": some_batches(5)},
    "iterator": lambda: {"x": StoredGenerator()},
}
#: steps_per_epoch: (losses of four epochs in Keras 3.15.1, number of warnings that data ran out)
KERAS_LOSSES = {
    None: ([9.5, 9.5, 9.5, 9.5], 0),
    1: ([1.5, 5.5, 9.5, 13.5], 0),
    2: ([3.5, 11.5, 17.5, 3.5], 1),
    3: ([5.5, 15.5, 5.5, 15.5], 2),
    4: ([7.5, 17.5, 7.5, 17.5], 2),
    5: ([9.5, 9.5, 9.5, 9.5], 0),
    7: ([9.5, 9.5, 9.5, 9.5], 4),
    12: ([9.5, 9.5, 9.5, 9.5], 4),
}


@pytest.mark.parametrize("steps", KERAS_LOSSES)
@pytest.mark.parametrize("form", ["arrays", "PyDataset", "iterable"])
def test_steps_per_epoch_losses_match_keras(form: str, steps: int | None) -> None:
    options: Any = {"epochs": 4, "steps_per_epoch": steps, "shuffle": False}
    history, messages = warned(identity().fit, **SOURCES[form](), **options)
    losses, short = KERAS_LOSSES[steps]
    assert history.history == {"loss": losses}
    assert [text[:31] for text in messages] == ["The input ran out of data after"] * short


@pytest.mark.parametrize(("steps", "size"), [(1, 1), (3, 3), (7, 7), (8, 7)])
def test_steps_per_epoch_sets_batch_size(steps: int, size: int) -> None:
    model = identity()
    history, _ = warned(model.fit, ROWS, 0 * ROWS, steps_per_epoch=steps, epochs=3)
    np.testing.assert_allclose(history.history["loss"], [9.5] * 3, rtol=1e-6)
    assert int(model.optimizer.iterations) == 3 * size


def test_full_epochs_are_reshuffled() -> None:
    seen = Recorder()
    options: Any = {"batch_size": 4, "steps_per_epoch": 5, "epochs": 3, "verbose": 0}
    identity().fit(ROWS, 0 * ROWS, callbacks=[seen], **options)
    losses = seen.of("on_train_batch_end", "loss")
    assert len(losses) == 15
    assert losses[4::5] == pytest.approx([9.5] * 3)  # each epoch uses every row once
    assert len(set(losses[::5])) > 1


@pytest.mark.parametrize(
    ("batches", "steps", "expected"),
    [
        (5, None, [9.5]),
        (5, 5, [9.5]),
        (5, 2, [3.5, 11.5, 17.5]),
        (5, 7, [9.5]),
        (20, 5, [9.5] * 4),
        (19, 5, [9.5] * 3 + [7.5]),
    ],
)
def test_fit_ends_when_generator_is_exhausted(
    batches: int, steps: int | None, expected: list[float]
) -> None:
    stopping = callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
    options: Any = {"epochs": 4, "steps_per_epoch": steps, "callbacks": [stopping]}
    history, messages = warned(identity().fit, some_batches(batches), **options)
    assert history.history == {"loss": expected}
    assert history.epoch == list(range(len(expected)))
    assert stopping.best == min(expected)
    ended = [text for text in messages if "interrupting training" in text]
    assert len(ended) == (len(expected) < 4)
    assert all(f"epoch {len(expected) + 1} of 4" in text for text in ended)


def test_finished_training_survives_warning_errors(capfd: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = identity().fit(some_batches(5), epochs=2, verbose=0)
    assert history.history == {"loss": [9.5]}
    assert "UserWarning: x ran out of data before epoch 2 of 2" in capfd.readouterr().err


@pytest.mark.parametrize("source", [*SOURCES][1:])
def test_shape_inference_skips_no_batch(source: str) -> None:
    make = SOURCES[source]
    assert identity().fit(**make(), verbose=0).history == {"loss": [pytest.approx(9.5)]}
    assert identity().evaluate(**make(), verbose=0) == 9.5
    np.testing.assert_array_equal(identity().predict(**make(), verbose=0), ROWS)


@pytest.mark.parametrize(
    ("make", "steps", "expected"),
    [
        (lambda: (ROWS, 0 * ROWS), None, [9.5] * 3),
        (lambda: (ROWS, 0 * ROWS), 2, [3.5] * 3),
        (lambda: (ROWS, 0 * ROWS), 7, [9.5] * 3),
        (Batches, None, [9.5] * 3),
        (Batches, 2, [3.5] * 3),
        (Batches, 7, [9.5] * 3),
        (lambda: some_batches(10), 5, [9.5] * 2),
        (lambda: some_batches(5), None, [9.5]),
        (lambda: some_batches(1000), 5, [9.5] * 3),
    ],
)
def test_validation_reports_only_its_batches(
    make: Any, steps: int | None, expected: list[float]
) -> None:
    stopping = callbacks.EarlyStopping(patience=9)
    options: Any = {"validation_data": make(), "validation_steps": steps, "callbacks": [stopping]}
    history, messages = warned(identity().fit, ROWS, 0 * ROWS, batch_size=4, epochs=3, **options)
    assert history.history == {"loss": [pytest.approx(9.5)] * 3, "val_loss": expected}
    assert stopping.best == min(expected)
    assert sum("validation_data ran out of data" in text for text in messages) == 3 - len(expected)


@pytest.mark.parametrize(("options", "batches"), [({}, 3), ({"validation_steps": 5}, 5)])
def test_validation_default_batch_size(options: Any, batches: int) -> None:
    """Validation uses 32 rows per batch, independently of the training batch size."""
    seen = Recorder()
    options |= {"validation_data": (np.zeros((70, 1)), np.zeros((70, 1))), "verbose": 0}
    identity().fit(ROWS, 0 * ROWS, steps_per_epoch=2, callbacks=[seen], **options)
    assert len(seen.of("on_test_batch_end", "loss")) == batches


@pytest.mark.parametrize(("steps", "rows"), [(1, 4), (3, 12), (5, 20), (7, 20)])
@pytest.mark.parametrize("form", ["arrays", "PyDataset", "generator"])
def test_evaluate_and_predict_accept_steps(form: str, steps: int, rows: int) -> None:
    loss, messages = warned(identity().evaluate, **SOURCES[form](), steps=steps)
    data = SOURCES[form]()
    data.pop("y", None)
    outputs, more = warned(identity().predict, **data, steps=steps)
    assert loss == ROWS[:rows].mean()
    np.testing.assert_array_equal(outputs, ROWS[:rows])
    assert [len(messages), len(more)] == [steps > 5] * 2


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_data_without_a_batch_raises(method: str) -> None:
    class Empty(Batches):
        def __len__(self) -> int:
            return 0

    used = some_batches(5)
    list(used)
    for source in (used, some_batches(0), Empty(), iter([])):
        with pytest.raises(ValueError, match="must contain at least one batch"):
            getattr(identity(), method)(source, verbose=0)


def test_pydataset_is_shuffled_every_epoch() -> None:
    def orders(**options: Any) -> list[list[int]]:
        keras.utils.set_random_seed(1)
        batches = Batches()
        identity().fit(batches, epochs=3, verbose=0, **options)
        calls = batches.calls[1:]  # the first batch is read to infer the shape
        assert calls[::7] == ["begin"] * 3
        assert calls[6::7] == ["end"] * 3
        return [calls[i : i + 5] for i in (1, 8, 15)]

    shuffled = orders()
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in shuffled)
    assert shuffled == orders(shuffle=True)  # the same seed
    for several in (shuffled, orders(shuffle="batch")):
        assert len(set(map(tuple, several))) > 1
    assert orders(shuffle=False) == [[0, 1, 2, 3, 4]] * 3


def test_evaluate_and_predict_keep_pydataset_order() -> None:
    batches = Batches()
    identity().evaluate(batches, verbose=0)
    identity().predict(batches, verbose=0)
    numbers = [call for call in batches.calls if call not in ("begin", "end")]
    assert numbers == [0, 0, 1, 2, 3, 4] * 2


def test_infinite_pydataset_accepts_steps() -> None:
    class Endless(Batches):
        num_batches = None  # type: ignore[assignment]

        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index % 5)

    history = identity().fit(Endless(), steps_per_epoch=5, epochs=3, verbose=0)
    assert history.history == {"loss": [9.5] * 3}


# ------------------------------------------------------------ callbacks


class Collecting(keras.metrics.Metric):
    """A metric whose state is a variable, a list and another metric."""

    def __init__(self) -> None:
        super().__init__(name="collecting")
        self.inner = keras.metrics.Mean()
        self.seen: list[int] = []
        self.rows = self.add_weight(name="rows")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.inner.update_state(y_pred)
        self.seen.append(len(y_pred))
        self.rows.assign_add(len(y_pred))

    def result(self):
        return {"inner": self.inner.result(), "seen": sum(self.seen), "rows": self.rows}

    def reset_state(self):
        self.inner.reset_state()
        self.seen.clear()
        self.rows.assign(0)


@pytest.mark.each_value
@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("hook", [hook for hook in callbacks.HOOKS if "predict" not in hook])
@pytest.mark.parametrize(
    "method", ["evaluate", "test_on_batch", "train_on_batch", "predict", "fit"]
)
def test_calls_in_callbacks_keep_metrics(method: str, hook: str, custom: bool) -> None:
    y = [] if method == "predict" else [Y]
    options: Any = {} if "batch" in method else {"verbose": 0}
    if method == "fit":
        options["shuffle"] = False

    def train(calls: bool) -> Any:
        model = net(optimizer=optimizers.Adam(0.0), metrics=["accuracy", *[Collecting()] * custom])
        recorder, calling = Recorder(), callbacks.Callback()
        if calls:
            setattr(calling, hook, lambda *_: getattr(model, method)(9 * X, *y, **options))
        fit: Any = {"batch_size": 8, "epochs": 2, "verbose": 0, "validation_split": 0.3}
        history = model.fit(X, Y, **fit, callbacks=[calling, recorder])
        assert model.history is history
        assert history.epoch == [0, 1]
        return history.history, recorder.logs

    assert train(True) == train(False)


def test_nested_evaluation_is_separate() -> None:
    model = net()
    again = callbacks.LambdaCallback(
        on_test_batch_end=lambda *_: model.evaluate(9 * X, Y, verbose=0)
    )
    alone = pytest.approx(model.evaluate(X, Y, batch_size=8, verbose=0), rel=1e-6)
    assert model.evaluate(X, Y, batch_size=8, verbose=0, callbacks=[again]) == alone


def test_stopped_inner_fit_keeps_outer_running() -> None:
    def stopped(*_: Any) -> None:
        stopping = callbacks.EarlyStopping("loss", min_delta=9)
        inner.append(model.fit(X, Y, epochs=9, verbose=0, callbacks=[stopping]).epoch)

    inner: list[list[int]] = []
    model, calling = net(), callbacks.LambdaCallback(on_epoch_end=stopped)
    assert model.fit(X, Y, epochs=3, verbose=0, callbacks=[calling]).epoch == [0, 1, 2]
    assert inner == [[0, 1]] * 3


def of_two_batches(kind: str, logs: list[str]) -> list[tuple[str, list[str]]]:
    """Return the expected hook calls for two batches, with logs for the `end` hooks."""
    hooks = [f"on_{kind}_batch_{when}[{i}]" for i in range(2) for when in ("begin", "end")]
    return [(hook, logs if "end" in hook else []) for hook in hooks]


def test_hook_order_and_logs_match_keras() -> None:
    recorder, model = Recorder(), net()
    model.fit(X, Y, batch_size=11, verbose=0, validation_data=(X, Y), callbacks=[recorder])
    own = ["accuracy", "loss"]
    both = [*own, "val_accuracy", "val_loss"]
    tests = [("on_test_begin", []), *of_two_batches("test", own), ("on_test_end", own)]
    assert recorder.calls == [
        ("on_train_begin", []),
        ("on_epoch_begin[0]", []),
        *of_two_batches("train", own),
        *tests,
        ("on_epoch_end[0]", both),
        ("on_train_end", both),
    ]
    assert recorder.params == {"verbose": 0, "epochs": 1, "steps": 2}
    assert recorder.model is model
    recorder.calls.clear()
    model.evaluate(X, Y, batch_size=11, verbose=0, callbacks=[recorder])
    assert recorder.calls == tests
    predicting = Recorder()
    model.predict(X, batch_size=11, verbose=0, callbacks=[predicting])
    batches = of_two_batches("predict", ["outputs"])
    assert predicting.calls == [("on_predict_begin", []), *batches, ("on_predict_end", [])]
    outputs = predicting.of("on_predict_batch_end", "outputs")
    assert np.concatenate(outputs).shape == (21, 3)


def test_batch_logs_average_over_examples() -> None:
    # With a learning rate of 0, the losses of the batches are known.
    recorder, model = Recorder(), net(optimizer=optimizers.Adam(0.0))
    model.fit(X, Y, batch_size=8, shuffle=False, verbose=0, callbacks=[recorder])
    parts = [slice(0, 8), slice(8, 16), slice(16, 21)]
    own = np.array([model.test_on_batch(X[part], Y[part]) for part in parts])
    for k, name in enumerate(["loss", "accuracy"]):
        found = recorder.of("on_train_batch_end", name)
        means = [np.average(own[:i, k], weights=[8, 8, 5][:i]) for i in (1, 2, 3)]
        # Means of float32 losses, accumulated in float64 and rounded once.
        np.testing.assert_allclose(found, means, rtol=1e-6)
        assert recorder.logs[-1][name] == found[-1]


def test_legacy_batch_hook_names() -> None:
    class Old(callbacks.Callback):
        seen: list[Any] = []

        def on_batch_begin(self, batch, logs=None):
            self.seen.append(("begin", batch))

        def on_batch_end(self, batch, logs=None):
            self.seen.append(("end", batch, sorted(logs)))

    net(metrics=[]).fit(X, Y, batch_size=11, verbose=0, callbacks=[Old()])
    assert Old.seen == [("begin", 0), ("end", 0, ["loss"]), ("begin", 1), ("end", 1, ["loss"])]


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end", "on_epoch_begin"])
def test_stop_training(hook: str) -> None:
    model = net()
    stop = callbacks.LambdaCallback(**{hook: lambda *_: setattr(model, "stop_training", True)})
    options: Any = {"batch_size": 8, "verbose": 0, "validation_split": 0.2}
    history = model.fit(X, Y, epochs=4, callbacks=[stop], **options)
    assert history.epoch == [0]
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert int(model.optimizer.iterations) == (2 if hook == "on_epoch_end" else 1)
    assert len(model.fit(X, Y, epochs=2, verbose=0).epoch) == 2


def test_callback_error_leaves_model_usable() -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("mine")

    model, failing = net(), callbacks.LambdaCallback(on_test_batch_end=fail)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="mine"):
            model.fit(X, Y, validation_split=0.2, verbose=0, callbacks=[failing])
    assert model.fit(X, Y, validation_split=0.2, verbose=0).epoch == [0]


# ------------------------------------------------------------ evaluate and predict


def test_evaluate_return_types() -> None:
    plain, full = net(metrics=[]), net()
    before = bits(full)
    assert type(plain.evaluate(X, Y, verbose=0)) is float
    listed = full.evaluate(X, Y, verbose=0)
    assert [type(v) for v in listed] == [float, float]
    named = full.evaluate(X, Y, verbose=0, return_dict=True)
    assert list(named.items()) == [("accuracy", listed[1]), ("loss", listed[0])]
    assert full.test_on_batch(X, Y, return_dict=True).keys() == named.keys()
    assert bits(full) == before


def test_sample_weight_averaging_and_metrics() -> None:
    model, weight = net(weighted_metrics=["accuracy"]), np.linspace(0, 3, 21)
    named = model.evaluate(X, Y, sample_weight=weight, verbose=0, return_dict=True)
    outputs = model.predict(X, verbose=0)
    values = losses.sparse_categorical_crossentropy(Y, outputs)
    right = outputs.argmax(1) == Y
    assert named["loss"] == pytest.approx(float(np.mean(values * weight)), rel=1e-5)
    assert named["accuracy"] == model.evaluate(X, Y, verbose=0)[1]
    assert named["weighted_accuracy"] == pytest.approx(np.average(right, weights=weight), rel=1e-6)
    options: Any = {"batch_size": 21, "shuffle": False, "verbose": 0}
    history = model.fit(X, Y, sample_weight=weight, **options).history
    assert {name: pytest.approx(value) for name, (value,) in history.items()} == named


def test_predict() -> None:
    model = net()
    out = model.predict(X, batch_size=4, verbose=0)
    assert type(out) is np.ndarray
    assert (out.shape, out.dtype) == ((21, 3), np.float32)
    for i in range(21):
        np.testing.assert_allclose(out[i], model.predict_on_batch(X[i : i + 1])[0], rtol=1e-6)
    assert model.predict(X, batch_size=4, steps=2, verbose=0).shape == (8, 3)
    out[:] = 0
    assert model.predict(X, verbose=0).any()


@pytest.mark.parametrize("make", [net, lambda: layers.Dense(3)])
def test_predictions_are_not_overwritten(make: Any) -> None:
    called = make()
    answer = called(X)
    kept = answer.numpy().copy()
    called(2.0 * X)
    net().predict(X + 1, verbose=0)
    np.testing.assert_array_equal(answer, kept)


def test_train_on_batch_equals_fit_step() -> None:
    a, b = net(), net()
    before = a.test_on_batch(X, Y)
    assert a.train_on_batch(X, Y) == before
    b.fit(X, Y, batch_size=21, shuffle=False, verbose=0)
    assert bits(a) == bits(b)
    assert a.train_on_batch(X, Y)[0] < before[0]


# ------------------------------------------------------------ memory allocation per step


def test_step_allocates_no_large_arrays() -> None:
    n, sizes = 32 * 70, []

    class Watch(callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 10:
                tracemalloc.start()
                tracemalloc.reset_peak()
            elif batch == 60:
                sizes.extend(tracemalloc.get_traced_memory())
                tracemalloc.stop()

    model = Sequential([layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(10, "softmax")])
    model.compile("adam", SCCE, metrics=["accuracy"])
    x = np.zeros((n, 28, 28), np.float32)
    model.fit(x, np.arange(n) % 10, verbose=0, callbacks=[Watch()])
    kept, peak = sizes
    # Remaining memory after 50 steps: Python numbers, a few hundred bytes each.
    assert kept < 10_000
    # Peak memory: Adam's five temporaries for a block of 8192 weights, and half as much for
    # everything else. The smallest array that must not be reallocated is the batch, with 100 kB;
    # the gradient with respect to the kernel has 401 kB.
    assert peak < 1.5 * 5 * 8192 * 4


# ------------------------------------------------------------ learning


@pytest.mark.wide
def test_network_learns_synthetic_digits(digits: Any) -> None:
    (x, y), (x_test, y_test) = digits
    keras.utils.set_random_seed(0)
    hidden = layers.Dense(128, activation="relu")
    model = Sequential([layers.Flatten(), hidden, layers.Dense(10, activation="softmax")])
    model.compile("adam", SCCE, metrics=["accuracy"])
    history = model.fit(x, y, epochs=3, batch_size=32, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 3
    assert model.evaluate(x_test, y_test, verbose=0)[1] >= 0.97


# ------------------------------------------------------------ subclasses and output layers


class Plain(keras.Model):
    """A subclass that overrides no methods of the training loop."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


#: Calls that run a function that Keras' subclasses may override.
OVERRIDES = {
    "make_train_function": {"fit", "fit with validation", "train_on_batch"},
    "make_test_function": {"fit with validation", "evaluate", "test_on_batch"},
    "make_predict_function": {"predict", "predict_on_batch"},
}
CALLS: dict[str, Callable[[Any], Any]] = {
    "fit": lambda model: model.fit(X, HOT, verbose=0),
    "fit with validation": lambda model: model.fit(X, HOT, verbose=0, validation_data=(X, HOT)),
    "evaluate": lambda model: model.evaluate(X, HOT, verbose=0),
    "predict": lambda model: model.predict(X, verbose=0),
    "train_on_batch": lambda model: model.train_on_batch(X, HOT),
    "test_on_batch": lambda model: model.test_on_batch(X, HOT),
    "predict_on_batch": lambda model: model.predict_on_batch(X),
}


def overriding(base: str, name: str) -> Any:
    """Return a model with a function overridden in its class or on the instance."""

    def override(self, *args, **kwargs):
        raise AssertionError

    members = {} if base == "instance" else {name: override}
    start = keras.Input((4,))
    model: Any = {
        "Model": lambda: type("Own", (Plain,), members)(),
        "instance": lambda: type("Own", (Plain,), members)(),
        "Sequential": lambda: type("Own", (Sequential,), members)([layers.Dense(3)]),
        "functional": lambda: type("Own", (keras.Model,), members)(start, layers.Dense(3)(start)),
    }[base]()
    if base == "instance":
        setattr(model, name, override)
    model.compile("sgd", "mse")
    model.build((None, 4))
    return model


@pytest.mark.parametrize("base", ["Model", "Sequential", "functional", "instance"])
@pytest.mark.parametrize("name", OVERRIDES)
def test_unsupported_overrides_raise(name: str, base: str) -> None:
    for call, run in CALLS.items():
        model = overriding(base, name)
        before = bits(model)
        if call not in OVERRIDES[name]:
            run(model)
            continue
        with pytest.raises(
            NotImplementedError, match=rf"^Overriding {name} .*Received: Own\.{name}$"
        ):
            run(model)
        assert bits(model) == before
    if name != "make_predict_function":
        with pytest.raises(NotImplementedError, match=f"^Overriding {name} "):
            overriding(base, name).fit(X, HOT, verbose=0, validation_split=0.5)


def softmax_models() -> dict[str, Callable[[], Any]]:
    def functional() -> Any:
        start = keras.Input((4,))
        return keras.Model(start, layers.Dense(1, activation="softmax")(start))

    def subclass() -> Any:
        model = Plain()
        model.dense = layers.Dense(1, activation="softmax")
        return model

    return {
        "activation": lambda: Sequential([layers.Dense(1, activation="softmax")]),
        "Activation": lambda: Sequential([layers.Dense(1), layers.Activation("softmax")]),
        "Softmax": lambda: Sequential([layers.Dense(1), layers.Softmax()]),
        "axis": lambda: Sequential([layers.Reshape((1, 4)), layers.Softmax(axis=1)]),
        "hidden": lambda: Sequential([layers.Dense(1, "softmax"), layers.Dense(1)]),
        "nested": lambda: Sequential([Sequential([layers.Dense(1, activation="softmax")])]),
        "functional": functional,
        "subclass": subclass,
    }


@pytest.mark.each_value
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
@pytest.mark.parametrize("kind", softmax_models())
@pytest.mark.parametrize("built", [False, True])
def test_softmax_on_one_unit_warns(kind: str, method: str, built: bool) -> None:
    model = softmax_models()[kind]()
    if built:
        model.build((None, 4))
    y = np.zeros((21, 1, 4) if kind == "axis" else (21, 1))
    options = {} if "batch" in method else {"verbose": 0}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.compile("sgd", "mse")
        for _ in range(2):
            getattr(model, method)(X, y, **options)
    (warning,) = caught
    assert "softmax" in str(warning.message)
    assert "sigmoid" in str(warning.message)
    assert warning.filename == __file__


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "parts",
    [
        lambda: [layers.Dense(2, activation="softmax")],
        lambda: [layers.Dense(1), layers.Softmax(axis=0)],
        lambda: [layers.Dense(1, activation="sigmoid")],
    ],
)
def test_other_single_unit_outputs_are_silent(parts: Any) -> None:
    model = Sequential(parts())
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((21, model.layers[0].units)), verbose=0)


def test_optimizer_rejects_unknown_weights() -> None:
    first, second = net(), net()
    second.compile(first.optimizer, SCCE)
    first.fit(X, Y, verbose=0)
    before = second.get_weights()
    with pytest.raises(ValueError, match="must be one of the weights"):
        second.fit(X, Y, verbose=0)
    assert all(map(np.array_equal, second.get_weights(), before))
    first.layers[0].kernel.array = np.zeros((4, 5))
    with pytest.raises(ValueError, match="float64 and shape"):
        first.fit(X, Y, verbose=0)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_output_narrowed_during_fit_raises(optimizer: str) -> None:
    """Labels were validated for three outputs; compiled kernels must not index two with them."""

    class Narrow(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.layers[-1].units = 2
            self.model.layers[-1].built = False
            self.model.layers[-1].build((None, 5))

    with pytest.raises(ValueError, match="Received: "):
        net(optimizer=optimizer).fit(X, Y, verbose=0, callbacks=[Narrow()])


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("optimizer", ["adam", "nadam"])
def test_interrupted_optimizer_build_leaves_it_unbuilt(
    error: type[BaseException], optimizer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    def fail(variables: Any) -> None:
        raise error

    model, other = net(optimizer=optimizer), net(optimizer=optimizer)
    with monkeypatch.context() as patched:
        patched.setattr(optimizer_module, "pack", fail)
        with pytest.raises(error):
            model.fit(X, Y, verbose=0)
    assert not model.optimizer.built
    assert len(model.optimizer.variables) == 2
    model.save(tmp_path / "model.tinynet")
    for each in (model, other):
        each.fit(X, Y, verbose=0, shuffle=False)
    assert bits(model) == bits(other)


# ------------------------------------------------------------ the scale of inputs


def scaled(factor: float, rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    return factor * np.linspace(0, 1, 4 * rows).reshape(rows, 4), np.arange(rows) % 3


def trained_on(*given: Any) -> Any:
    model = net()
    model.fit(*given, verbose=0)
    return model


def scale_warnings(use: Any, *args: Any, **options: Any) -> int:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        use(*args, **options)
    return sum("x must be scaled as in training" in str(w.message) for w in caught)


@pytest.mark.parametrize(
    "use",
    [
        lambda model, x, y: model.evaluate(x, y, verbose=0),
        lambda model, x, y: model.evaluate(iter([(x, y)]), verbose=0),
        lambda model, x, y: model.test_on_batch(x, y),
        lambda model, x, y: model.predict(x, verbose=0),
        lambda model, x, y: model.predict(x.astype(np.uint8), verbose=0),
        lambda model, x, y: model.predict(x[-1:], verbose=0),
        lambda model, x, y: model.predict(iter([x]), verbose=0),
        lambda model, x, y: model.predict_on_batch(x),
        lambda model, x, y: model(x),
        lambda model, x, y: model.evaluate(CompressedRows(x, "float32"), y, verbose=0),
    ],
)
def test_input_scale_mismatch_warns_once(use: Any) -> None:
    model = trained_on(*scaled(1))
    assert [scale_warnings(use, model, *scaled(n)) for n in (9, 255, 255)] == [0, 1, 0]
    model.fit(*scaled(1), verbose=0)
    assert scale_warnings(use, model, *scaled(255)) == 1


def test_scale_warning_of_small_inputs() -> None:
    """A few rows, or zeros, can be small by chance and cause no warning; many rows cause one."""
    model = trained_on(*scaled(255))
    x, y = scaled(1)
    assert scale_warnings(model.predict, x[:31], verbose=0) == 0
    assert scale_warnings(model.predict, 0 * x, verbose=0) == 0
    assert scale_warnings(model.evaluate, x, y, verbose=0) == 1
    # A single outlier in the training data causes no warning for inputs of normal scale.
    x[3] = 1e6
    assert scale_warnings(trained_on(x, y).evaluate, *scaled(1), verbose=0) == 0


def test_training_scale_is_from_last_fit() -> None:
    x, y = scaled(1)
    batches = iter([(x, y), (4 * x, y)])
    for given, most in (((x, y), 1), ((batches,), 4), ((CompressedRows(x, "float32"), y), 1)):
        model = trained_on(*given)
        assert scale_warnings(model.predict, 9.9 * most * x, verbose=0) == 0
        assert scale_warnings(model.predict, 10.1 * most * x, verbose=0) == 1
    assert scale_warnings(model.fit, x, y, validation_data=(255 * x, y), verbose=0) == 1
    model.fit(iter([(255 * x, y)]), verbose=0)
    assert scale_warnings(model.predict, 255 * x, verbose=0) == 0
    model = Sequential([layers.Rescaling(1 / 255), layers.Dense(3, "softmax")])
    model.compile("sgd", SCCE)
    model.train_on_batch(255 * x, y)
    assert scale_warnings(model.predict, 255 * x, verbose=0) == 0
    assert scale_warnings(model.predict, 2551 * x, verbose=0) == 1


@pytest.mark.parametrize("name", ["net.keras", "net.tinynet"])
def test_training_scale_is_saved(name: str, tmp_path: Path) -> None:
    trained_on(*scaled(1)).save(tmp_path / name)
    model = models.load_model(tmp_path / name)
    assert scale_warnings(model.predict, scaled(255)[0], verbose=0) == 1


# ------------------------------------------------------------ ownership of arrays


class Keeping:
    """Arrays that user code keeps, with copies of their initial values."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Any, Any]] = []

    def add(self, *arrays: Any) -> None:
        self.pairs += [(array, np.array(array)) for array in arrays if array is not None]

    def are_unchanged(self) -> bool:
        return bool(self.pairs) and all(np.array_equal(a, b) for a, b in self.pairs)


class KeepingMetric(keras.metrics.Metric):
    def __init__(self, kept: Keeping, name: str = "keeping") -> None:
        super().__init__(name=name)
        self.kept = kept

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred += 1  # user code may modify its own array
        y_true += 1
        self.kept.add(y_true, y_pred, sample_weight)

    def result(self):
        return 0.0


class KeepingLayer(layers.Layer):
    def __init__(self, kept: Keeping) -> None:
        super().__init__()
        self.kept = kept

    def call(self, x):
        self.kept.add(x)
        return x + 0

    def backward(self, d_y, work, need_d_x=True):
        return d_y


def keeping(kind: str, kept: Keeping) -> tuple[Any, list[Any], list[Any]]:
    """Return a loss, metrics and layers, one of which keeps its arguments."""

    def mean(y_true, y_pred):
        kept.add(y_true, y_pred)
        return ((y_true - y_pred) ** 2).mean(axis=-1)

    def mean_backward(d_values, y_true, y_pred):
        kept.add(y_true, y_pred)
        return 2 / 3 * (y_pred - y_true) * d_values[..., None]

    def double(x):
        kept.add(x)
        return 2 * x

    mean.backward = mean_backward
    double.backward = lambda d_y, x, y: kept.add(x, y) or 2 * d_y
    methods = {"call": lambda _, *args: mean(*args), "backward": lambda _, *a: mean_backward(*a)}
    return {
        "metric": lambda: ("mse", [KeepingMetric(kept)], []),
        "function": lambda: ("mse", [lambda y_true, y_pred: mean(y_true, y_pred)], []),
        "loss": lambda: (type("Own", (losses.Loss,), methods)(), [], []),
        "loss function": lambda: (mean, [], []),
        "layer": lambda: ("mse", [], [KeepingLayer(kept)]),
        "activation": lambda: ("mse", [], [layers.Activation(double)]),
    }[kind]()


@pytest.mark.parametrize(
    "kind", ["metric", "function", "loss", "loss function", "layer", "activation"]
)
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_user_code_receives_copies(kind: str, method: str) -> None:
    """Arrays that user code keeps must not be overwritten, although buffers are reused."""
    kept, given = Keeping(), Keeping()
    loss, metrics, inside = keeping(kind, kept)
    model = Sequential([layers.Input((4,)), *inside, layers.Dense(3, "relu")])
    model.compile("sgd", loss, metrics=metrics, weighted_metrics=[])
    x, y = X.copy(), HOT.copy()
    given.add(x, y)
    for _ in range(2):
        batch = {} if method.endswith("on_batch") else {"batch_size": 4, "verbose": 0}
        getattr(model, method)(x, y, sample_weight=np.arange(21.0), **batch)
    assert kept.are_unchanged()
    assert given.are_unchanged()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_train_on_batch_restores_diverged_weights(optimizer: str) -> None:
    """The loss is finite, but the update makes weights infinite."""
    model = net(optimizer=optimizer)
    model.train_on_batch(X, Y)
    kernel, rate = model.layers[-1].kernel, float(model.optimizer.learning_rate)
    start, before = kernel.numpy().copy(), bits(model)
    model.optimizer.learning_rate = 3e38
    kernel.assign(start * 1e30)
    large = bits(model)
    with pytest.raises(FloatingPointError, match="weights"):
        model.train_on_batch(X, Y)
    assert bits(model) == large
    model.optimizer.learning_rate = rate
    kernel.assign(start)
    assert bits(model) == before


def test_fit_trains_shared_layer() -> None:
    """The gradient is the sum over both calls, also in a nested model."""
    shared = layers.Dense(4, "tanh")
    model = Sequential([layers.Input((4,)), shared, Sequential([shared]), layers.Dense(3)])
    model.compile("sgd", "mse")
    hidden = shared(shared(X))
    np.testing.assert_allclose(model.predict(X, verbose=0), model.layers[-1](hidden), rtol=1e-5)
    loss, gradients = model.loss_and_gradients(X, HOT)
    assert [g.shape for g in gradients] == [w.shape for w in model.trainable_weights]
    kernel, h, ends = shared.kernel.array, 1e-2, []
    for change in (h, -2 * h):
        kernel[1, 2] += change
        ends.append(model.evaluate(X, HOT, verbose=0))
    kernel[1, 2] += h
    assert gradients[0][1, 2] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-3)
    before = model.get_weights()
    assert model.train_on_batch(X, HOT) == pytest.approx(loss)
    for old, new, gradient in zip(before, model.get_weights(), gradients, strict=True):
        np.testing.assert_allclose(new, old - 0.01 * gradient, atol=1e-6)


@pytest.mark.parametrize("name", ["accuracy", "binary_accuracy"])
def test_binary_accuracy_warns_about_other_targets(name: str) -> None:
    model = Sequential([layers.Input((4,)), layers.Dense(1, "tanh")])
    model.compile("sgd", "mse", metrics=[name])
    with pytest.warns(UserWarning, match=rf"{name} expects targets 0 or 1; .*from -1 to 1"):
        model.fit(X / 255, 2.0 * (Y > 0) - 1, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X / 255, 0.5 * Y, verbose=0)


@pytest.mark.parametrize("method", ["evaluate", "fit"])
def test_sample_weights_per_output(method: str) -> None:
    def model() -> Any:
        x = keras.Input((4,))
        ones = [layers.Dense(1, kernel_initializer="ones", name=name) for name in "ab"]
        made = keras.Model(x, [dense(x) for dense in ones])
        made.compile(optimizers.SGD(0.0), ["mse", "mse"])
        return made

    def run(made: Any, *weights: Any) -> Any:
        options = {"sample_weight": [*weights], "verbose": 0}
        if method == "evaluate":
            return made.evaluate(X, [Y, 2 * Y], **options)
        return made.fit(X, [Y, 2 * Y], shuffle=False, **options).history

    used, weight = model(), np.linspace(0, 2, 21)
    assert run(used, weight, None) != run(used, None, weight)
    assert run(used, None, weight) == run(model(), None, weight)


@pytest.mark.parametrize("options", [{"metrics": 0}, {"weighted_metrics": 5}, {"metrics": [0.0]}])
@pytest.mark.parametrize("loss", [None, "mse"])
def test_metrics_are_checked_before_build(options: Any, loss: Any) -> None:
    with pytest.raises(ValueError, match="The metric must be a name"):
        Sequential([]).compile("sgd", loss, **options)
