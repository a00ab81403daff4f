"""compile, fit, evaluate and predict: what a user sees of them. The numbers are in test_parity."""

from __future__ import annotations

import copy
import json
import random
import threading
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tinynet import Sequential, callbacks, layers, losses, models, optimizers
from tinynet.optimizers import optimizer as optimizer_module
from tinynet.sparse import CompressedRows

SCCE = "sparse_categorical_crossentropy"
RNG = np.random.default_rng(3)
X = RNG.integers(0, 256, (21, 4)).astype(np.uint8)
Y = RNG.integers(0, 3, 21)


def net(*, built: bool = True, optimizer: Any = "adam", metrics: Any = ("accuracy",)) -> Sequential:
    keras.utils.set_random_seed(5)
    start = [layers.Input((4,))] if built else []
    model = Sequential(
        [*start, layers.Dense(5, activation="relu"), layers.Dense(3, activation="softmax")]
    )
    model.compile(optimizer, SCCE, metrics=list(metrics))
    return model


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


class Spy(layers.Layer):
    """A layer of one's own: passes its input on and notes what came."""

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


def _recording(hook: str) -> Any:
    def record(self: Recorder, *args: Any) -> None:
        *position, logs = args
        self.calls.append((f"{hook}{position or ''}", sorted(logs)))
        self.logs.append(dict(logs))

    return record


for _hook in callbacks.HOOKS:
    setattr(Recorder, _hook, _recording(_hook))


# ------------------------------------------------------------ what may be passed


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "uint8": lambda a: a,
    "int64": lambda a: a.astype(np.int64),
    "float32": lambda a: a.astype(np.float32),
    "float64": lambda a: a.astype(np.float64),
    "float16": lambda a: a.astype(np.float16),
    "big-endian": lambda a: a.astype(">f8"),
    "Fortran": lambda a: np.asfortranarray(a.astype(np.float32)),
    "strided": lambda a: np.repeat(a.astype(np.float32), 2, axis=0)[::2],
    "backwards": lambda a: a[::-1].copy()[::-1],
    "read-only": read_only,
    "nested lists": lambda a: a.tolist(),
    "tuples": lambda a: tuple(map(tuple, a.tolist())) if a.ndim > 1 else tuple(a.tolist()),
    "tensor": lambda a: keras.Variable(a.astype(np.float32)).value,
}


@pytest.mark.parametrize("form", FORMS)
def test_one_answer_for_every_form_of_input(form: str) -> None:
    x, y = FORMS[form](X), FORMS[form](Y)
    weight = FORMS[form](np.arange(21) % 4)
    before = [np.array(a, copy=True) for a in (x, y, weight)]
    answers = []
    for args in ((X, Y, np.arange(21) % 4), (x, y, weight)):
        model = net()
        model.fit(args[0], args[1], sample_weight=args[2], epochs=2, batch_size=8, verbose=0)
        model.train_on_batch(args[0], args[1], args[2])
        figures = model.evaluate(args[0], args[1], sample_weight=args[2], verbose=0)
        answers.append(
            [*model.get_weights(), np.array(figures), model.predict(args[0], verbose=0)]
            + [np.asarray(model(args[0]))]
        )
    assert same(*answers)
    for a, b in zip((x, y, weight), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_list_of_one_array_is_that_array() -> None:
    model = net()
    assert same([model.predict([X], verbose=0)], [model.predict(X, verbose=0)])
    with pytest.raises(ValueError, match=r"one input.* Received: 2 arrays$"):
        model.predict([X, X], verbose=0)


bad = np.arange(21)
WRONG: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "y too short": ({"y": Y[:-1]}, ValueError),
    "y too large": ({"y": np.where(bad == 4, 3, Y)}, ValueError),
    "y negative": ({"y": np.where(bad == 4, -1, Y)}, ValueError),
    "y fractional": ({"y": np.where(bad == 4, 0.5, Y)}, ValueError),
    "y not a number": ({"y": np.where(bad == 4, np.nan, Y)}, ValueError),
    "y one-hot": ({"y": np.eye(3)[Y]}, ValueError),
    "y of strings": ({"y": ["a"] * 21}, ValueError),
    "y missing": ({"y": None}, ValueError),
    "y a number": ({"y": 1}, ValueError),
    "x too short": ({"x": X[:-1]}, ValueError),
    "x missing": ({"x": None}, ValueError),
    "x empty": ({"x": X[:0], "y": Y[:0]}, ValueError),
    "x of strings": ({"x": [["a"]] * 21}, ValueError),
    "x complex": ({"x": X + 1j}, ValueError),
    "x ragged": ({"x": [[1.0], [1.0, 2.0]], "y": [0, 1]}, ValueError),
    "x a number": ({"x": 3.0}, ValueError),
    "x one row": ({"x": X[0], "y": Y[:4]}, ValueError),
    "batch_size 0": ({"batch_size": 0}, ValueError),
    "batch_size 1.5": ({"batch_size": 1.5}, TypeError),
    "batch_size True": ({"batch_size": True}, TypeError),
    "epochs -1": ({"epochs": -1}, ValueError),
    "epochs '3'": ({"epochs": "3"}, TypeError),
    "initial_epoch -1": ({"initial_epoch": -1}, ValueError),
    "verbose 3": ({"verbose": 3}, ValueError),
    "shuffle 'yes'": ({"shuffle": "yes"}, (TypeError, ValueError)),
    "validation_split 1": ({"validation_split": 1.0}, ValueError),
    "validation_split -0.1": ({"validation_split": -0.1}, ValueError),
    "validation_split of nothing": ({"validation_split": 0.97}, ValueError),
    "validation_data of one": ({"validation_data": (X,)}, ValueError),
    "validation_data of wrong labels": ({"validation_data": (X, Y + 9)}, ValueError),
    "validation_data of another width": ({"validation_data": (X[:, :2], Y)}, ValueError),
    "sample_weight too short": ({"sample_weight": np.ones(20)}, ValueError),
    "sample_weight of a wrong shape": ({"sample_weight": np.ones((21, 3))}, ValueError),
    "sample_weight of strings": ({"sample_weight": ["a"] * 21}, ValueError),
    "class_weight a list": ({"class_weight": [1, 2, 3]}, TypeError),
    "class_weight of a string": ({"class_weight": {0: "a"}}, TypeError),
    "both weights": ({"class_weight": {0: 2.0}, "sample_weight": np.ones(21)}, ValueError),
    "callbacks of something": ({"callbacks": [object()]}, TypeError),
    "callbacks of a class": ({"callbacks": [callbacks.History]}, TypeError),
}


@pytest.mark.parametrize("built", [True, False], ids=["built", "unbuilt"])
@pytest.mark.parametrize("name", WRONG)
def test_a_fit_that_fails_changes_nothing(name: str, built: bool) -> None:
    wrong, error = WRONG[name]
    model = net(built=built)
    if built:
        model.fit(X, Y, verbose=0)
    before = model.get_weights()
    state = [v.numpy() for v in model.optimizer.variables]
    history = model.history
    with pytest.raises(error, match=r"(?s)Received: .+$|inhomogeneous"):
        model.fit(**{"x": X, "y": Y, "verbose": 0, **wrong})
    assert model.built is built
    assert same(model.get_weights(), before)
    assert same([v.numpy() for v in model.optimizer.variables], state)
    assert model.history is history
    # And it still trains as if nothing had been.
    model.fit(X, Y, verbose=0)


def test_a_model_built_for_one_width_refuses_another() -> None:
    model = net()
    for call in (
        lambda: model.fit(X[:, :2], Y),
        lambda: model.evaluate(X[:, :2], Y),
        lambda: model.predict(X[:, :2]),
        lambda: model(X[:, :2]),
        lambda: model.train_on_batch(X[:, :2], Y),
    ):
        with pytest.raises(ValueError, match=r"Received: shape (\(None, 2\)|\(21, 2\))$"):
            call()
    with pytest.raises(ValueError, match=r"pass x\[None\].* Received: shape"):
        model.predict(X[0])


# ------------------------------------------------------------ compile


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": "adamm"},
        {"optimizer": 3},
        {"loss": "sparse"},
        {"loss": 3},
        {"metrics": "accuracy"},
        {"metrics": ["acuracy"]},
        {"metrics": [3]},
        {"loss_weights": "a"},
    ],
    ids=str,
)
def test_a_compile_that_fails_changes_nothing(wrong: dict[str, Any]) -> None:
    model = net()
    optimizer = model.optimizer
    with pytest.raises((ValueError, TypeError), match=r"Received: .+$"):
        model.compile(**{"optimizer": "adam", "loss": SCCE, **wrong})
    assert model.optimizer is optimizer
    model.fit(X, Y, verbose=0)


def test_nothing_trains_before_it_is_compiled() -> None:
    model = Sequential([layers.Dense(3, activation="softmax")])
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=r"compile.* Received: a model not compiled$"):
            call(X, Y)
    assert model.predict(X, verbose=0).shape == (21, 3)
    model.compile("adam")
    with pytest.raises(ValueError, match=r"needs a loss.* Received: loss=None$"):
        model.fit(X, Y)


def test_compiling_again_keeps_the_weights_and_starts_a_new_optimizer() -> None:
    model = net()
    model.fit(X, Y, epochs=2, verbose=0)
    weights = model.get_weights()
    model.compile("adam", SCCE)
    assert same(model.get_weights(), weights)
    assert int(model.optimizer.iterations) == 0
    model.fit(X, Y, epochs=2, batch_size=7, verbose=0)
    assert int(model.optimizer.iterations) == 6
    assert sorted(model.history.history) == ["accuracy", "loss"]


class Compiles(callbacks.Callback):
    """Compiles the model when a method is called, and notes or raises the error."""

    def __init__(self, when: str, raises: bool = False) -> None:
        super().__init__()
        self.errors: list[str] = []
        self.raises = raises
        setattr(self, when, self._compile)

    def _compile(self, *args: Any) -> None:
        other = net()
        other.compile("sgd", "mse")
        try:
            self.model.compile("sgd", "mse")
        except RuntimeError as error:
            self.errors.append(str(error))
            if self.raises:
                raise


@pytest.mark.each_value
@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("of", ["train_batch", "epoch", "test"])
def test_compile_in_a_callback_is_refused(of: str, epochs: int) -> None:
    """In Keras, training goes on with no function to call; here, nothing is changed."""
    fit = {"batch_size": 8, "epochs": epochs, "shuffle": False, "verbose": 0}
    fit["validation_data"] = (X, Y)
    model, plain = net(), net()
    plain.set_weights(model.get_weights())
    for when in ("begin", "end"):
        refused = Compiles(f"on_{of}_{when}")
        history = model.fit(X, Y, callbacks=[refused], **fit).history
        assert history == plain.fit(X, Y, callbacks=[callbacks.Callback()], **fit).history
        assert "must be called before fit or evaluate begins" in refused.errors[0]
        assert same(model.get_weights(), plain.get_weights())
        assert model.optimizer.iterations == plain.optimizer.iterations
    with pytest.raises(RuntimeError, match=r"learning_rate. Received: compile of sequential\w*"):
        model.fit(X, Y, callbacks=[Compiles(f"on_{of}_begin", raises=True)], **fit)
    copy.deepcopy(model).compile("sgd", "mse")
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()


def test_compile_when_training_has_ended() -> None:
    model, compiling = net(), Compiles("on_train_end")
    model.fit(X, Y, callbacks=[compiling], verbose=0)
    assert not compiling.errors
    assert model.loss == "mse"


def test_compiling_again_keeps_the_loss_and_metrics_that_are_not_given() -> None:
    """As in Keras 3.15."""
    model = net()
    model.compile("sgd", SCCE, loss_weights=2.0, metrics=["accuracy"])
    loss, accuracy = model.evaluate(X, Y, verbose=0)
    model.compile("sgd")
    assert model.evaluate(X, Y, verbose=0) == [loss, accuracy]
    model.compile("sgd", SCCE)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx([loss / 2, accuracy])
    model.compile("sgd", metrics=[])
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(loss / 2)


@pytest.mark.parametrize(
    "form", [optimizers.Adam(0.01), "Adam", "adam"], ids=["object", "Adam", "adam"]
)
def test_optimizers_by_name_and_as_objects(form: Any) -> None:
    assert type(net(optimizer=form).optimizer) is optimizers.Adam


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
    keras.utils.set_random_seed(5)
    parts = [layers.Input((4,)), layer(), layers.BatchNormalization()]
    model = Sequential([*parts, Sequential([layer(), layers.Dense(3, activation="softmax")])])
    model.compile("adam", SCCE)
    other = copy.deepcopy(model)
    first, second = (model.loss_and_gradients(X, Y) for _ in range(2))
    assert first[0] == second[0]
    assert same(first[1], second[1])
    for net_ in (model, other):
        net_.fit(X, Y, batch_size=7, shuffle=False, verbose=0)
    assert same(model.get_weights(), other.get_weights())


def test_loss_weights_multiply_loss_and_gradients() -> None:
    figures = []
    for weight in (None, 2.0, [2.0]):
        model = net(metrics=[])
        model.compile("adam", SCCE, loss_weights=weight)
        figures.append((model.test_on_batch(X, Y), model.train_on_batch(X, Y)))
        moment = next(v for v in model.optimizer.variables if v.shape == (4, 5)).numpy()
        figures.append(moment)
    np.testing.assert_allclose(figures[2], 2 * np.array(figures[0]), rtol=1e-6)
    np.testing.assert_allclose(figures[3], 2 * figures[1], rtol=1e-5, atol=1e-9)
    assert figures[4] == figures[2]


# ------------------------------------------------------------ fit


class Returning(keras.metrics.Metric):
    """A metric with a given result."""

    def __init__(self, result: Any, name: str = "given") -> None:
        super().__init__(name=name)
        self._result = result

    def update_state(self, y_true, y_pred, sample_weight=None):
        pass

    def result(self):
        return self._result


def test_a_metric_may_return_a_vector_or_a_dict() -> None:
    vector, entries = Returning(np.array([1.0, 2.0])), Returning({"b": 1, "a": np.float32(2)}, "d")
    model = net(metrics=[vector, entries])
    recorder = Recorder()
    history = model.fit(
        X, Y, epochs=2, verbose=0, validation_data=(X, Y), callbacks=[recorder]
    ).history
    assert list(history) == [
        *("a", "b", "given", "loss", "val_a", "val_b", "val_given", "val_loss"),
    ]
    for name in ("given", "val_given"):
        np.testing.assert_array_equal(history[name], [[1, 2]] * 2)
    assert [history[name] for name in ("a", "b", "val_a", "val_b")] == [[2, 2], [1, 1]] * 2
    assert type(history["a"][0]) is float
    values = model.evaluate(X, Y, verbose=0)
    np.testing.assert_array_equal(values[1], [1, 2])
    assert values[2:] == [2, 1]  # in the order of Keras
    assert model.evaluate(X, Y, verbose=0, return_dict=True)["a"] == 2


@pytest.mark.parametrize(
    ("result", "error", "words"),
    [
        ({"loss": 1.0}, ValueError, "different names, .* Received: 'loss' twice from 'given'"),
        ({1: 1.0}, ValueError, "which are strings. Received: 1 from 'given'"),
        (None, TypeError, "must be a number"),
        ("good", TypeError, "Received: 'good' from 'given'"),
        ({"a": None}, TypeError, "Received: None from 'a'"),
    ],
)
def test_a_metric_must_return_numbers(result: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        net(metrics=[Returning(result)]).fit(X, Y, verbose=0)


def test_history_is_plain_sorted_and_can_be_dumped() -> None:
    model = net()
    history = model.fit(X, Y, epochs=3, batch_size=8, validation_split=0.2, verbose=0)
    assert isinstance(history, callbacks.History)
    assert model.history is history
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert {type(v) for values in history.history.values() for v in values} == {float}
    assert [len(values) for values in history.history.values()] == [3] * 4
    assert json.loads(json.dumps(history.history)) == history.history
    assert history.epoch == [0, 1, 2]
    assert history.params == {"verbose": 0, "epochs": 3, "steps": 2}
    again = model.fit(X, Y, epochs=5, initial_epoch=3, verbose=0)
    assert again is not history
    assert again.epoch == [3, 4]
    assert model.fit(X, Y, epochs=2, initial_epoch=2, verbose=0).history == {}


def test_figures_are_float32_numbers() -> None:
    history = net().fit(X, Y, verbose=0).history
    assert all(v == float(np.float32(v)) for values in history.values() for v in values)


def test_validation_is_cut_from_the_end_before_shuffling() -> None:
    weight = np.linspace(0.5, 2, 21)
    cut = int(21 * 0.7)
    first, last = slice(0, cut), slice(cut, None)
    by_split, by_hand = net(), net()
    a = by_split.fit(X, Y, validation_split=0.3, sample_weight=weight, epochs=3, verbose=0)
    b = by_hand.fit(
        X[first],
        Y[first],
        sample_weight=weight[first],
        validation_data=(X[last], Y[last], weight[last]),
        epochs=3,
        verbose=0,
    )
    assert a.history == b.history
    assert same(by_split.get_weights(), by_hand.get_weights())


def test_every_epoch_sees_every_row_once_in_a_new_order() -> None:
    x = np.arange(21)[:, None]
    spy = Spy()
    model = Sequential([spy, layers.Dense(3, activation="softmax")])
    model.compile("adam", SCCE)
    model.fit(x, Y, epochs=3, batch_size=8, verbose=0)
    assert [len(batch) for batch in spy.seen] == [8, 8, 5] * 3
    epochs = [np.concatenate(spy.seen[i : i + 3]).tolist() for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(21)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in [*epochs, sorted(epochs[0])]}) == 4
    spy.seen.clear()
    model.fit(x, Y, epochs=1, batch_size=8, verbose=0, shuffle=False)
    assert np.concatenate(spy.seen).tolist() == list(range(21))


def test_a_batch_takes_its_labels_and_weights_with_it() -> None:
    # Were labels or weights left in place, a shuffled net could not learn this by heart.
    keras.utils.set_random_seed(1)
    x = np.eye(21, dtype=np.float32)
    model = Sequential([layers.Dense(3, activation="softmax")])
    model.compile(optimizers.Adam(0.1), SCCE, metrics=["accuracy"])
    wrong = np.where(bad % 2, (Y + 1) % 3, Y)
    model.fit(x, wrong, sample_weight=1 - bad % 2, epochs=60, batch_size=4, verbose=0)
    assert model.evaluate(x[::2], Y[::2], verbose=0)[1] == 1.0


def test_batch_size_larger_than_the_data() -> None:
    model = net()
    model.fit(X, Y, batch_size=1000, verbose=0)
    assert int(model.optimizer.iterations) == 1


def test_the_default_batch_size_is_32() -> None:
    model = net()
    model.fit(np.repeat(X, 4, axis=0), np.repeat(Y, 4), verbose=0)
    assert int(model.optimizer.iterations) == 3


def test_class_weight_is_sample_weight_by_class() -> None:
    a, b = net(), net()
    a.fit(X, Y, class_weight={0: 3.0, 2: 0.5}, verbose=0)
    b.fit(X, Y, sample_weight=np.array([3.0, 1.0, 0.5])[Y], verbose=0)
    assert same(a.get_weights(), b.get_weights())


def test_frozen_weights_stay_and_the_others_learn() -> None:
    model = net()
    model.layers[0].trainable = False
    model.compile("adam", SCCE)
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    after = model.get_weights()
    assert same(after[:2], before[:2])
    assert not same(after[2:], before[2:])
    model.layers[0].trainable = True
    model.compile("adam", SCCE)
    model.fit(X, Y, verbose=0)
    assert not same(model.get_weights()[:1], before[:1])


# ------------------------------------------------------------ one seed, the same bits


def test_the_same_seed_gives_the_same_bits() -> None:
    runs = []
    for seed in (5, 5, 6):
        keras.utils.set_random_seed(seed)
        model = Sequential([layers.Dense(5, activation="relu"), layers.Dense(3, "softmax")])
        model.compile("adam", SCCE)
        history = model.fit(X, Y, epochs=3, batch_size=8, verbose=0, validation_split=0.2)
        runs.append([*model.get_weights(), np.array([*history.history.values()])])
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_global_random_state_is_neither_read_nor_written() -> None:
    def state() -> str:
        return repr((np.random.get_state(), random.getstate()))  # noqa: NPY002  # looked at

    weights = []
    for seed in (1, 2):
        keras.random.set_seed(5)
        np.random.seed(seed)  # noqa: NPY002  # the state that must not matter
        random.seed(seed)
        before = state()
        model = Sequential([layers.Dense(5, activation="relu"), layers.Dense(3, "softmax")])
        model.compile("adam", SCCE, metrics=["accuracy"])
        model.fit(X, Y, epochs=2, verbose=0, validation_split=0.2)
        model.evaluate(X, Y, verbose=0)
        model.predict(X, verbose=0)
        weights.append(model.get_weights())
        assert state() == before
    assert same(*weights)


# ------------------------------------------------------------ batches of an epoch

# Rows 0 to 19; the mean absolute error of y = x is the mean of the rows of a batch.
ROWS = np.arange(20, dtype=np.float32)[:, None]


def identity() -> Sequential:
    model = Sequential([layers.Input((1,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile(optimizers.SGD(0.0), "mae")
    return model


def some_batches(n: int) -> Any:
    """Yield n batches of four rows, again from the first after the last."""
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


# What Keras 3.15.1 reports for five batches of four rows.
KERAS_LOSSES = {
    None: [9.5, 9.5, 9.5, 9.5],
    1: [1.5, 5.5, 9.5, 13.5],
    2: [3.5, 11.5, 17.5, 3.5],
    3: [5.5, 15.5, 5.5, 15.5],
    4: [7.5, 17.5, 7.5, 17.5],
    5: [9.5, 9.5, 9.5, 9.5],
    7: [9.5, 9.5, 9.5, 9.5],
    12: [9.5, 9.5, 9.5, 9.5],
}


@pytest.mark.parametrize("steps", KERAS_LOSSES)
@pytest.mark.parametrize("form", ["arrays", "PyDataset", "iterable"])
def test_steps_per_epoch_gives_the_losses_of_keras(form: str, steps: int | None) -> None:
    data: Any = {
        "arrays": {"x": ROWS, "y": 0 * ROWS, "batch_size": 4},
        "PyDataset": {"x": Batches()},
        "iterable": {"x": Restarting()},
    }[form]
    options: Any = {"epochs": 4, "steps_per_epoch": steps, "shuffle": False, "verbose": 0}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = identity().fit(**data, **options).history
    assert history == {"loss": KERAS_LOSSES[steps]}
    short = {None: 0, 1: 0, 2: 1, 3: 2, 4: 2, 5: 0, 7: 4, 12: 4}[steps]
    assert [str(w.message)[:22] for w in caught] == ["The data ran out after"] * short


def test_steps_per_epoch_sets_the_batch_size() -> None:
    for steps, sizes in {1: 1, 3: 3, 7: 7, 8: 7}.items():
        model = identity()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history = model.fit(ROWS, 0 * ROWS, steps_per_epoch=steps, epochs=3, verbose=0)
        np.testing.assert_allclose(history.history["loss"], [9.5] * 3, rtol=1e-6)
        assert int(model.optimizer.iterations) == 3 * sizes


def test_every_epoch_with_all_steps_is_shuffled_anew() -> None:
    class Seen(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            losses.append(logs["loss"])

    losses: list[float] = []
    options: Any = {"batch_size": 4, "steps_per_epoch": 5, "epochs": 3, "verbose": 0}
    identity().fit(ROWS, 0 * ROWS, callbacks=[Seen()], **options)
    assert len(losses) == 15
    assert losses[4::5] == pytest.approx([9.5] * 3)  # each epoch sees every row once
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
def test_fit_ends_when_a_generator_ran_out(
    batches: int, steps: int | None, expected: list[float]
) -> None:
    model = identity()
    stopping = callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(
            some_batches(batches), epochs=4, steps_per_epoch=steps, verbose=0, callbacks=[stopping]
        )
    assert history.history == {"loss": expected}
    assert history.epoch == list(range(len(expected)))
    assert stopping.best == min(expected)
    ended = [str(w.message) for w in caught if "so training ends" in str(w.message)]
    assert len(ended) == (len(expected) < 4)
    assert all(f"epoch {len(expected) + 1} of 4" in message for message in ended)


def test_a_finished_training_is_kept_if_warnings_are_errors(capfd: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = identity().fit(some_batches(5), epochs=2, verbose=0)
    assert history.history == {"loss": [9.5]}
    assert "UserWarning: x has no batch left for epoch 2 of 2" in capfd.readouterr().err


@pytest.mark.parametrize("source", [StoredGenerator, lambda: some_batches(5), Restarting, Batches])
def test_no_batch_is_lost_to_the_look_at_the_shape(source: Any) -> None:
    assert identity().fit(source(), verbose=0).history == {"loss": [pytest.approx(9.5)]}
    assert identity().evaluate(source(), verbose=0) == 9.5
    np.testing.assert_array_equal(identity().predict(source(), verbose=0), ROWS)


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
def test_validation_reports_only_batches_it_saw(
    make: Any, steps: int | None, expected: list[float]
) -> None:
    stopping = callbacks.EarlyStopping(patience=9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = identity().fit(
            ROWS,
            0 * ROWS,
            batch_size=4,
            epochs=3,
            validation_data=make(),
            validation_steps=steps,
            verbose=0,
            callbacks=[stopping],
        )
    assert history.history == {"loss": [pytest.approx(9.5)] * 3, "val_loss": expected}
    assert stopping.best == min(expected)
    missing = [w for w in caught if "validation_data has no batch left" in str(w.message)]
    assert len(missing) == 3 - len(expected)


def test_validation_has_its_own_default_batch_size() -> None:
    class Count(callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            counted.append(batch)

    counted: list[int] = []
    validation = (np.zeros((70, 1)), np.zeros((70, 1)))
    options: Any = {"steps_per_epoch": 2, "validation_data": validation, "verbose": 0}
    identity().fit(ROWS, 0 * ROWS, callbacks=[Count()], **options)
    assert counted == [0, 1, 2]  # of 32 rows, whatever the batches of training have
    counted.clear()
    identity().fit(ROWS, 0 * ROWS, validation_steps=5, callbacks=[Count()], **options)
    assert counted == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("steps", "rows"), [(1, 4), (3, 12), (5, 20), (7, 20)])
@pytest.mark.parametrize("form", ["arrays", "PyDataset", "generator"])
def test_evaluate_and_predict_take_steps(form: str, steps: int, rows: int) -> None:
    def arguments(y: bool) -> Any:
        if form == "arrays":
            return {"x": ROWS, "batch_size": 4, **({"y": 0 * ROWS} if y else {})}
        return {"x": Batches() if form == "PyDataset" else some_batches(5)}

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loss = identity().evaluate(**arguments(True), steps=steps, verbose=0)
        outputs = identity().predict(**arguments(False), steps=steps, verbose=0)
    assert loss == ROWS[:rows].mean()
    np.testing.assert_array_equal(outputs, ROWS[:rows])
    assert len(caught) == 2 * (steps > 5)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_data_without_a_batch_is_refused(method: str) -> None:
    class Empty(Batches):
        def __len__(self) -> int:
            return 0

    used = some_batches(5)
    list(used)
    for source in (used, some_batches(0), Empty(), iter([])):
        with pytest.raises(ValueError, match="must have at least one batch"):
            getattr(identity(), method)(source, verbose=0)


def test_a_pydataset_is_shuffled_in_every_epoch() -> None:
    def orders(**options: Any) -> list[list[int]]:
        keras.utils.set_random_seed(1)
        batches = Batches()
        identity().fit(batches, epochs=3, verbose=0, **options)
        calls = batches.calls[1:]  # the first batch is read for its shape
        assert calls[::7] == ["begin"] * 3
        assert calls[6::7] == ["end"] * 3
        return [calls[i : i + 5] for i in (1, 8, 15)]

    shuffled = orders()
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in shuffled)
    assert len({tuple(order) for order in shuffled}) > 1
    assert shuffled == orders(shuffle=True)  # the same seed
    assert len({tuple(order) for order in orders(shuffle="batch")}) > 1
    assert orders(shuffle=False) == [[0, 1, 2, 3, 4]] * 3


def test_evaluate_and_predict_never_shuffle_a_pydataset() -> None:
    batches = Batches()
    identity().evaluate(batches, verbose=0)
    identity().predict(batches, verbose=0)
    numbers = [call for call in batches.calls if call not in ("begin", "end")]
    assert numbers == [0, 0, 1, 2, 3, 4] * 2


def test_a_pydataset_without_an_end_takes_steps() -> None:
    class Endless(Batches):
        num_batches = None  # type: ignore[assignment]

        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index % 5)

    history = identity().fit(Endless(), steps_per_epoch=5, epochs=3, verbose=0)
    assert history.history == {"loss": [9.5] * 3}


# ------------------------------------------------------------ callbacks


class Collecting(keras.metrics.Metric):
    """A metric with state of every kind: a variable, a list, another metric."""

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
def test_calls_in_callbacks_leave_the_metrics_of_fit(method: str, hook: str, custom: bool) -> None:
    y = [] if method == "predict" else [Y]
    options: Any = {} if "batch" in method else {"verbose": 0}
    if method == "fit":
        options["shuffle"] = False
    x = X / 9.0

    def train(calls: bool) -> Any:
        model = net(optimizer=optimizers.Adam(0.0), metrics=["accuracy", *[Collecting()] * custom])
        recorder = Recorder()

        class Calling(callbacks.Callback):
            pass

        if calls:
            setattr(Calling, hook, lambda *_: getattr(model, method)(x, *y, **options))
        history = model.fit(
            X, Y, batch_size=8, epochs=2, verbose=0, validation_split=0.3,
            callbacks=[Calling(), recorder],
        )  # fmt: skip
        assert model.history is history
        assert history.epoch == [0, 1]
        return history.history, recorder.logs

    assert train(True) == train(False)


def test_an_evaluation_in_an_evaluation_is_apart() -> None:
    class Calling(callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            model.evaluate(X / 9.0, Y, verbose=0)

    model = net()
    alone = pytest.approx(model.evaluate(X, Y, batch_size=8, verbose=0), rel=1e-6)
    assert model.evaluate(X, Y, batch_size=8, verbose=0, callbacks=[Calling()]) == alone


def test_a_fit_stopped_in_a_callback_does_not_stop_the_outer_one() -> None:
    class Calling(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            stopping = callbacks.EarlyStopping("loss", min_delta=9)
            inner.append(model.fit(X, Y, epochs=9, verbose=0, callbacks=[stopping]).epoch)

    inner: list[list[int]] = []
    model = net()
    assert model.fit(X, Y, epochs=3, verbose=0, callbacks=[Calling()]).epoch == [0, 1, 2]
    assert inner == [[0, 1]] * 3


def test_hooks_come_in_keras_order_with_its_logs() -> None:
    recorder, model = Recorder(), net()
    model.fit(X, Y, batch_size=11, verbose=0, validation_data=(X, Y), callbacks=[recorder])
    own = ["accuracy", "loss"]
    both = [*own, "val_accuracy", "val_loss"]
    tests = [
        ("on_test_begin", []),
        ("on_test_batch_begin[0]", []),
        ("on_test_batch_end[0]", own),
        ("on_test_batch_begin[1]", []),
        ("on_test_batch_end[1]", own),
        ("on_test_end", own),
    ]
    assert recorder.calls == [
        ("on_train_begin", []),
        ("on_epoch_begin[0]", []),
        ("on_train_batch_begin[0]", []),
        ("on_train_batch_end[0]", own),
        ("on_train_batch_begin[1]", []),
        ("on_train_batch_end[1]", own),
        *tests,
        ("on_epoch_end[0]", both),
        ("on_train_end", both),
    ]
    assert recorder.params == {"verbose": 0, "epochs": 1, "steps": 2}
    assert recorder.model is model
    recorder.calls.clear()
    model.evaluate(X, Y, batch_size=11, verbose=0, callbacks=[recorder])
    assert recorder.calls == tests
    recorder.calls.clear()
    model.predict(X, batch_size=11, verbose=0, callbacks=[recorder])
    assert recorder.calls == [
        ("on_predict_begin", []),
        ("on_predict_batch_begin[0]", []),
        ("on_predict_batch_end[0]", ["outputs"]),
        ("on_predict_batch_begin[1]", []),
        ("on_predict_batch_end[1]", ["outputs"]),
        ("on_predict_end", []),
    ]
    assert np.concatenate(
        [log["outputs"] for log in recorder.logs if log.get("outputs") is not None]
    ).shape == (21, 3)


def test_batch_logs_are_running_means_over_the_examples() -> None:
    # With a learning rate of 0 the batches' own losses are known.
    recorder, model = Recorder(), net(optimizer=optimizers.Adam(0.0))
    model.fit(X, Y, batch_size=8, shuffle=False, verbose=0, callbacks=[recorder])
    parts = [slice(0, 8), slice(8, 16), slice(16, 21)]
    own = [model.test_on_batch(X[part], Y[part]) for part in parts]
    ends = [
        log
        for (name, _), log in zip(recorder.calls, recorder.logs, strict=True)
        if "batch_end" in name
    ]
    sizes = np.array([8, 8, 5])
    for i, log in enumerate(ends, 1):
        mean = np.average(own[:i], axis=0, weights=sizes[:i])
        # Means of float32 losses, added up in float64 and rounded once.
        np.testing.assert_allclose([log["loss"], log["accuracy"]], mean, rtol=1e-6)
    assert recorder.logs[-1] == ends[-1]


def test_what_a_callback_adds_to_the_logs_reaches_history() -> None:
    class Rate(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["learning_rate"] = 0.5 / (epoch + 1)

    history = net().fit(X, Y, epochs=2, verbose=0, callbacks=Rate())
    assert history.history["learning_rate"] == [0.5, 0.25]


def test_the_older_names_of_the_batch_hooks() -> None:
    class Old(callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_batch_begin(self, batch, logs=None):
            self.seen.append(("begin", batch))

        def on_batch_end(self, batch, logs=None):
            self.seen.append(("end", batch, sorted(logs)))

    old = Old()
    net(metrics=()).fit(X, Y, batch_size=11, verbose=0, callbacks=[old])
    assert old.seen == [("begin", 0), ("end", 0, ["loss"]), ("begin", 1), ("end", 1, ["loss"])]


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end", "on_epoch_begin"])
def test_stop_training(hook: str) -> None:
    class Stop(callbacks.Callback):
        pass

    def stop(self, number, logs=None):
        self.model.stop_training = True

    setattr(Stop, hook, stop)
    model = net()
    history = model.fit(
        X, Y, epochs=4, batch_size=8, verbose=0, validation_split=0.2, callbacks=[Stop()]
    )
    assert history.epoch == [0]
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert int(model.optimizer.iterations) == (2 if hook == "on_epoch_end" else 1)
    assert len(model.fit(X, Y, epochs=2, verbose=0).epoch) == 2


def test_an_error_in_a_callback_leaves_the_model_usable() -> None:
    class Fail(callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            raise RuntimeError("mine")

    model = net()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="mine"):
            model.fit(X, Y, validation_split=0.2, verbose=0, callbacks=[Fail()])
    assert model.fit(X, Y, validation_split=0.2, verbose=0).epoch == [0]


# ------------------------------------------------------------ evaluate and predict


def test_evaluate_returns_a_float_a_list_or_a_dict() -> None:
    plain, full = net(metrics=()), net()
    assert type(plain.evaluate(X, Y, verbose=0)) is float
    listed = full.evaluate(X, Y, verbose=0)
    assert [type(v) for v in listed] == [float, float]
    named = full.evaluate(X, Y, verbose=0, return_dict=True)
    assert list(named.items()) == [("accuracy", listed[1]), ("loss", listed[0])]
    assert full.test_on_batch(X, Y, return_dict=True).keys() == named.keys()


def test_evaluate_does_not_depend_on_the_batch_size() -> None:
    model = net()
    weights = model.get_weights()
    whole = model.evaluate(X, Y, batch_size=21, verbose=0)
    for size in (1, 4, 32):
        # The mean of 21 float32 losses, each computed by itself: some roundings.
        assert model.evaluate(X, Y, batch_size=size, verbose=0) == pytest.approx(whole, rel=1e-6)
    assert same(model.get_weights(), weights)
    assert int(model.optimizer.iterations) == 0


def test_sample_weight_divides_by_the_count_and_leaves_metrics_alone() -> None:
    model = net()
    weight = np.linspace(0, 3, 21)
    x = X / 255  # so that no probability is clipped
    loss, accuracy = model.evaluate(x, Y, sample_weight=weight, verbose=0)
    values = losses.sparse_categorical_crossentropy(Y, model.predict(x, verbose=0))
    assert loss == pytest.approx(float(np.mean(values * weight)), rel=1e-5)
    assert accuracy == model.evaluate(x, Y, verbose=0)[1]
    model.compile("adam", SCCE, metrics=["accuracy"], weighted_metrics=["accuracy"])
    named = model.evaluate(x, Y, sample_weight=weight, verbose=0, return_dict=True)
    right = model.predict(x, verbose=0).argmax(1) == Y
    assert named["accuracy"] == accuracy
    assert named["weighted_accuracy"] == pytest.approx(np.average(right, weights=weight), rel=1e-6)


def test_predict() -> None:
    model = net()
    x = X / 255
    out = model.predict(x, batch_size=4, verbose=0)
    assert type(out) is np.ndarray
    assert (out.shape, out.dtype) == ((21, 3), np.float32)
    for i in range(21):
        np.testing.assert_allclose(out[i], model.predict_on_batch(x[i : i + 1])[0], rtol=1e-6)
    assert model.predict(x, batch_size=4, steps=2, verbose=0).shape == (8, 3)
    out[:] = 0
    assert model.predict(x, verbose=0).any()
    answer = model(x)
    assert hasattr(answer, "numpy")
    kept = answer.numpy().copy()
    model.predict(x + 1, verbose=0)
    np.testing.assert_array_equal(answer, kept)


def test_a_layer_s_answer_is_kept_when_it_is_called_again() -> None:
    dense = layers.Dense(3)
    first = dense(X.astype(np.float32))
    kept = first.numpy().copy()
    dense(2.0 * X)
    np.testing.assert_array_equal(first, kept)


def test_threads_can_predict_with_one_model() -> None:
    model = net()
    x = np.repeat(X, 20, axis=0)
    expected = model.predict(x, verbose=0)
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(10):
            part = model.predict(x[number:], verbose=0)
            # The rows fall into other batches, for which BLAS may add in another order.
            if not np.allclose(part, expected[number:], rtol=1e-5):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_train_on_batch_is_a_step_of_fit() -> None:
    a, b = net(), net()
    before = a.test_on_batch(X, Y)
    assert a.train_on_batch(X, Y) == before
    b.fit(X, Y, batch_size=21, shuffle=False, verbose=0)
    assert same(a.get_weights(), b.get_weights())
    assert a.train_on_batch(X, Y)[0] < before[0]


# ------------------------------------------------------------ nothing is allocated per step


def test_a_step_allocates_nothing_that_grows() -> None:
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
    # What lives on after 50 steps: numbers that Python holds, a few hundred bytes each.
    assert kept < 10_000
    # At any moment: Adam's temporaries for a block of 8192 weights, five at once, and half as
    # much for all else. The smallest thing that must not be made anew, the batch, is 100 kB,
    # and the gradient of the kernel is 401 kB.
    assert peak < 1.5 * 5 * 8192 * 4


# ------------------------------------------------------------ it learns


@pytest.mark.wide
def test_a_net_learns_drawn_digits(digits: Any) -> None:
    (x, y), (x_test, y_test) = digits
    keras.utils.set_random_seed(0)
    model = Sequential(
        [
            layers.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", SCCE, metrics=["accuracy"])
    history = model.fit(x, y, epochs=3, batch_size=32, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 3
    assert model.evaluate(x_test, y_test, verbose=0)[1] >= 0.97


# ------------------------------------------------------------ subclasses and heads


class Plain(keras.Model):
    """A subclass without methods of the training loop."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


CALLS: dict[str, Callable[[Any], Any]] = {
    "fit": lambda model: model.fit(X, X[:, :3], verbose=0),
    "fit with validation": lambda model: model.fit(
        X, X[:, :3], verbose=0, validation_data=(X, X[:, :3])
    ),
    "fit with a split": lambda model: model.fit(X, X[:, :3], verbose=0, validation_split=0.5),
    "evaluate": lambda model: model.evaluate(X, X[:, :3], verbose=0),
    "predict": lambda model: model.predict(X, verbose=0),
    "train_on_batch": lambda model: model.train_on_batch(X, X[:, :3]),
    "test_on_batch": lambda model: model.test_on_batch(X, X[:, :3]),
    "predict_on_batch": lambda model: model.predict_on_batch(X),
}
TRAINING = {"fit", "fit with validation", "fit with a split", "train_on_batch"}
TESTING = {"fit with validation", "fit with a split", "evaluate", "test_on_batch"}
PREDICTING = {"predict", "predict_on_batch"}
OVERRIDES = {
    "make_train_function": TRAINING,
    "make_test_function": TESTING,
    "make_predict_function": PREDICTING,
}


@pytest.mark.parametrize("base", ["Model", "Sequential", "functional", "instance"])
@pytest.mark.parametrize("name", OVERRIDES)
def test_overridden_functions_are_refused_before_training(name: str, base: str) -> None:
    def override(self, *args, **kwargs):
        raise AssertionError

    for call, run in CALLS.items():
        model: Any
        if base in ("Model", "instance"):
            kind = type("Own", (Plain,), {name: override} if base == "Model" else {})
            model = kind()
        elif base == "Sequential":
            model = type("Own", (Sequential,), {name: override})([layers.Dense(3)])
        else:
            start = keras.Input((4,))
            kind = type("Own", (keras.Model,), {name: override})
            model = kind(start, layers.Dense(3)(start))
        if base == "instance":
            setattr(model, name, override)
        model.compile("sgd", "mse")
        model.build((None, 4))
        before = model.get_weights()
        if call in OVERRIDES[name]:
            with pytest.raises(NotImplementedError, match=rf"^{name} .*Received: Own\.{name}$"):
                run(model)
            assert same(before, model.get_weights())
        else:
            run(model)


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
def test_softmax_of_one_value_warns_once(kind: str, method: str, built: bool) -> None:
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
    assert len(caught) == 1
    assert "softmax" in str(caught[0].message)
    assert "sigmoid" in str(caught[0].message)
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("error")
def test_softmax_of_two_values_does_not_warn() -> None:
    for model in (
        Sequential([layers.Dense(2, activation="softmax")]),
        Sequential([layers.Dense(1), layers.Softmax(axis=0)]),
        Sequential([layers.Dense(1, activation="sigmoid")]),
    ):
        model.compile("sgd", "mse")
        model.fit(X, np.zeros((21, model.layers[0].units)), verbose=0)


def moved(model: Sequential, how: str) -> None:
    """Move a model's weights or its optimizer's state to other memory."""
    if how == "extractor":
        keras.Model(model.input, model.layers[0].output).predict(X[:2], verbose=0)
    elif how == "longer model":
        Sequential([layers.Dense(4), *model.layers, layers.Dense(2)]).build((None, 4))
    elif how == "array":
        model.layers[0].kernel.array = model.layers[0].kernel.numpy()
    elif how == "transposed array":
        kernel = model.layers[0].kernel
        kernel.array = np.asfortranarray(kernel.array)
    elif how == "slot":
        for variable in model.optimizer.variables[2:]:
            variable.array = variable.array.copy()
    elif how == "shallow copy":
        copy.copy(model).fit(X[:2], Y[:2], epochs=0, verbose=0)
    elif how == "optimizer copy":
        model.optimizer = copy.deepcopy(model).optimizer
        model.optimizer.__dict__.update(
            _trainable=model.trainable_weights, _slots=model.optimizer._slots
        )
    else:
        assert how == "set_weights"
        model.set_weights(model.get_weights())


MOVES = [
    *("extractor", "longer model", "array", "transposed array", "slot", "shallow copy"),
    *("optimizer copy", "set_weights"),
]


@pytest.mark.each_value
@pytest.mark.parametrize("during", [None, "on_epoch_begin", "on_epoch_end", "on_train_batch_end"])
@pytest.mark.parametrize("how", MOVES)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_fit_trains_weights_that_have_moved(how: str, during: Any, optimizer: str) -> None:
    """Between two calls of fit or within one: the result is as if nothing had moved."""
    if how == "slot" and optimizer == "sgd":
        return
    found = []
    for moves in (True, False):
        model = net(optimizer=optimizer)
        watch = callbacks.LambdaCallback(
            **{during or "on_epoch_end": lambda *_, m=model, go=moves: go and moved(m, how)}
        )
        listed = [watch] if during else []
        model.fit(X, Y, epochs=3, batch_size=8, verbose=0, shuffle=False, callbacks=listed)
        if moves:
            moved(model, how)
        model.fit(X, Y, epochs=2, batch_size=8, verbose=0, shuffle=False, callbacks=listed)
        model.train_on_batch(X, Y)
        found.append([v.numpy() for v in (*model.weights, *model.optimizer.variables)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_fit_trains_networks_of_one_weight_after_each_rebuild() -> None:
    x = np.float32(RNG.random((8, 2)))
    for i in range(60):
        model = Sequential([layers.Input((2,)), layers.Dense(2, "softmax", use_bias=False)])
        model.compile("sgd", SCCE)
        model.fit(x, Y[:8] % 2, verbose=0)
        for _ in range(1 + i % 6):
            layer = model.layers[0]
            layer.kernel.array = layer.kernel.numpy()
        before = model.get_weights()
        model.fit(x, Y[:8] % 2, verbose=0)
        assert not same(before, model.get_weights())


def test_optimizer_refuses_weights_it_was_not_built_for() -> None:
    first, second = net(), net()
    second.compile(first.optimizer, SCCE)
    first.fit(X, Y, verbose=0)
    before = second.get_weights()
    with pytest.raises(ValueError, match="built without the weight"):
        second.fit(X, Y, verbose=0)
    assert same(before, second.get_weights())
    first.layers[0].kernel.array = np.zeros((4, 5))
    with pytest.raises(ValueError, match="float64 of shape"):
        first.fit(X, Y, verbose=0)


@pytest.mark.parametrize("together", [True, False])
def test_head_that_narrows_in_fit_is_refused(together: bool) -> None:
    """Labels were checked for three outputs: a kernel may not look them up among two."""

    class Narrow(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.layers[-1].units = 2
            self.model.layers[-1].built = False
            self.model.layers[-1].build((None, 5))

    model = net(optimizer="adam" if together else "sgd")
    with pytest.raises(ValueError, match="Received: "):
        model.fit(X, Y, verbose=0, callbacks=[Narrow()])


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
    assert same(model.get_weights(), other.get_weights())


# ------------------------------------------------------------ the scale of inputs


def scaled(factor: float, rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    return factor * np.linspace(0, 1, 4 * rows).reshape(rows, 4), np.arange(rows) % 3


def trained_on(*data: Any) -> Any:
    model = Sequential([layers.Input((4,)), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(*data, verbose=0)
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
def test_inputs_of_another_scale_warn_once(use: Any) -> None:
    model = trained_on(*scaled(1))
    assert scale_warnings(use, model, *scaled(9)) == 0
    assert scale_warnings(use, model, *scaled(255)) == 1
    assert scale_warnings(use, model, *scaled(255)) == 0
    model.fit(*scaled(1), verbose=0)
    assert scale_warnings(use, model, *scaled(255)) == 1


def test_scale_warning_of_small_inputs() -> None:
    """Few or black images can be dark by chance; many are not."""
    model = trained_on(*scaled(255))
    x, y = scaled(1)
    assert scale_warnings(model.predict, x[:31], verbose=0) == 0
    assert scale_warnings(model.predict, 0 * x, verbose=0) == 0
    assert scale_warnings(model.evaluate, x, y, verbose=0) == 1
    # One outlier in training does not make all other inputs small.
    x[3] = 1e6
    assert scale_warnings(trained_on(x, y).evaluate, *scaled(1), verbose=0) == 0


def test_scale_of_training_is_what_was_trained_on_last() -> None:
    x, y = scaled(1)
    for data in ((x, y), (iter([(x, y), (4 * x, y)]),), (CompressedRows(x, "float32"), y)):
        model = trained_on(*data)
        most = 4 if len(data) == 1 else 1
        assert scale_warnings(model.predict, 9.9 * most * x, verbose=0) == 0
        assert scale_warnings(model.predict, 10.1 * most * x, verbose=0) == 1
    assert scale_warnings(model.fit, x, y, validation_data=(255 * x, y), verbose=0) == 1
    model.fit(iter([(255 * x, y)]), verbose=0)
    assert scale_warnings(model.predict, 255 * x, verbose=0) == 0
    model = Sequential([layers.Rescaling(1 / 255), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(255 * x, y)
    assert scale_warnings(model.predict, 255 * x, verbose=0) == 0
    assert scale_warnings(model.predict, 2551 * x, verbose=0) == 1


@pytest.mark.parametrize("name", ["net.keras", "net.tinynet"])
def test_scale_of_training_is_saved(name: str, tmp_path: Path) -> None:
    trained_on(*scaled(1)).save(tmp_path / name)
    model = models.load_model(tmp_path / name)
    assert scale_warnings(model.predict, scaled(255)[0], verbose=0) == 1


class Keeping:
    """Arrays that user code keeps, next to copies of what they were."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.copies: list[np.ndarray] = []

    def add(self, *arrays: Any) -> None:
        for array in arrays:
            if array is not None:
                self.copies.append(np.array(array))
                self.arrays.append(array)

    def are_unchanged(self) -> bool:
        pairs = zip(self.arrays, self.copies, strict=True)
        return bool(self.arrays) and all(np.array_equal(a, b) for a, b in pairs)


class KeepingMetric(keras.metrics.Metric):
    def __init__(self, kept: Keeping, name: str = "keeping") -> None:
        super().__init__(name=name)
        self.kept = kept

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.kept.add(y_true, y_pred, sample_weight)
        y_pred += 1  # as far as it is its own
        y_true += 1
        self.kept.copies[-1 - (sample_weight is not None)] += 1
        self.kept.copies[-2 - (sample_weight is not None)] += 1

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
    """Return a loss, metrics and layers, one of which keeps what it gets."""

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
    if kind == "metric":
        return "mse", [KeepingMetric(kept)], []
    if kind == "function":
        return "mse", [lambda y_true, y_pred: mean(y_true, y_pred)], []
    if kind == "loss":
        own = {"call": lambda _, *args: mean(*args), "backward": lambda _, *a: mean_backward(*a)}
        return type("Own", (losses.Loss,), own)(), [], []
    if kind == "loss function":
        return mean, [], []
    return "mse", [], [KeepingLayer(kept) if kind == "layer" else layers.Activation(double)]


@pytest.mark.parametrize(
    "kind", ["metric", "function", "loss", "loss function", "layer", "activation"]
)
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_user_code_receives_arrays_of_its_own(kind: str, method: str) -> None:
    """Buffers are reused; what a metric, loss, layer or activation keeps must not change."""
    kept = Keeping()
    loss, metrics, inside = keeping(kind, kept)
    keras.utils.set_random_seed(1)
    model = Sequential([layers.Input((4,)), *inside, layers.Dense(3, "relu")])
    model.compile("sgd", loss, metrics=metrics, weighted_metrics=[])
    x, y = np.float32(X) / 255, np.eye(3, dtype=np.float32)[Y]
    given = x.copy(), y.copy()
    for _ in range(2):
        batch = {} if method.endswith("on_batch") else {"batch_size": 4, "verbose": 0}
        getattr(model, method)(x, y, sample_weight=np.arange(21.0), **batch)
    assert kept.are_unchanged()
    np.testing.assert_array_equal(x, given[0])
    np.testing.assert_array_equal(y, given[1])


def test_history_sorts_all_names_as_keras() -> None:
    model = Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mae"])
    history = model.fit(X / 255, Y, validation_split=0.5, verbose=0).history
    expected = ["loss", "mae", "val_loss", "val_mae", "val_weighted_mae", "weighted_mae"]
    assert list(history) == expected


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_train_on_batch_restores_weights_that_diverge(optimizer: str) -> None:
    """The step itself makes weights infinite, from a finite loss."""
    model = net(optimizer=optimizer)
    model.train_on_batch(X, Y)
    state = [v.numpy().copy() for v in (*model.weights, *model.optimizer.variables)]
    rate = float(model.optimizer.learning_rate)
    model.optimizer.learning_rate = 3e38
    model.layers[-1].kernel.assign(model.layers[-1].kernel.numpy() * 1e30)
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match="weights"):
        model.train_on_batch(X, Y)
    assert same(before, model.get_weights())
    assert model.optimizer.iterations == 1
    model.optimizer.learning_rate = rate
    model.set_weights(state[: len(before)])
    assert same(state, [v.numpy() for v in (*model.weights, *model.optimizer.variables)])


def test_fit_trains_a_layer_that_is_applied_twice() -> None:
    """Its gradient is the sum over both places; also in a nested model."""
    shared = layers.Dense(4, "tanh")
    model = Sequential([layers.Input((4,)), shared, Sequential([shared]), layers.Dense(3)])
    model.compile("sgd", "mse")
    x, y = np.float32(X) / 255, np.eye(3, dtype=np.float32)[Y]
    hidden = shared(shared(x))
    np.testing.assert_allclose(model.predict(x, verbose=0), model.layers[-1](hidden), rtol=1e-5)
    loss, gradients = model.loss_and_gradients(x, y)
    assert [g.shape for g in gradients] == [w.shape for w in model.trainable_weights]
    kernel, h = shared.kernel.array, 1e-2
    kernel[1, 2] += h
    high = model.evaluate(x, y, verbose=0)
    kernel[1, 2] -= 2 * h
    low = model.evaluate(x, y, verbose=0)
    kernel[1, 2] += h
    assert gradients[0][1, 2] == pytest.approx((high - low) / (2 * h), rel=1e-3)
    before = model.get_weights()
    assert model.train_on_batch(x, y) == pytest.approx(loss)
    for old, new, gradient in zip(before, model.get_weights(), gradients, strict=True):
        np.testing.assert_allclose(new, old - 0.01 * gradient, atol=1e-6)


@pytest.mark.parametrize("name", ["accuracy", "binary_accuracy"])
def test_binary_accuracy_warns_of_other_targets(name: str) -> None:
    model = Sequential([layers.Input((4,)), layers.Dense(1, "tanh")])
    model.compile("sgd", "mse", metrics=[name])
    with pytest.warns(UserWarning, match=rf"{name} counts targets of 0 or 1 only; .*from -1 to 1"):
        model.fit(X / 255, 2.0 * (Y > 0) - 1, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X / 255, 0.5 * Y, verbose=0)


@pytest.mark.parametrize("method", ["evaluate", "fit"])
def test_sample_weights_of_another_output_are_not_mixed_up(method: str) -> None:
    def model() -> Any:
        x = keras.Input((3,))
        ones = [layers.Dense(1, kernel_initializer="ones", name=name) for name in "ab"]
        made = keras.Model(x, [dense(x) for dense in ones])
        made.compile(keras.optimizers.SGD(0.0), ["mse", "mse"])
        return made

    def run(made: Any, weights: list[Any]) -> Any:
        options = {"sample_weight": weights, "verbose": 0}
        if method == "evaluate":
            return made.evaluate(x, [y, 2 * y], **options)
        return made.fit(x, [y, 2 * y], shuffle=False, **options).history

    rng = np.random.default_rng(0)
    x, y, w = (rng.random(shape, np.float32) for shape in ((8, 3), (8, 1), 8))
    used = model()
    assert run(used, [w, None]) != run(used, [None, w])
    assert run(used, [None, w]) == run(model(), [None, w])
