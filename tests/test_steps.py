"""Many steps in one call give what one step after the other gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinynet
from tinynet import Sequential, callbacks, config, kernels, layers, losses, optimizers
from tinynet.program import dispatch

N, SHAPE, C = 150, (5, 4), 3
Build = Callable[[], Sequential]


def data(sparse: bool = True, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((n, *SHAPE)).astype("float32")
    if sparse:
        x *= rng.random(x.shape) < 0.2
    return x, rng.integers(0, C, n)


def net(
    *hidden: layers.Layer,
    optimizer: Any = "adam",
    loss: Any = "sparse_categorical_crossentropy",
    head: Any = "softmax",
    metrics: Any = ("accuracy",),
    **options: Any,
) -> Sequential:
    """Make a compiled classifier."""
    model = Sequential([layers.Flatten(), *hidden, layers.Dense(C, head, **options)])
    model.compile(optimizer, loss, metrics=list(metrics))
    return model


def fresh(build: Build) -> Sequential:
    """Make a model, the same one each time."""
    tinynet.random.set_seed(1)
    return build()


def bits(model: Sequential) -> list[bytes]:
    """Return all that training changes, to the bit."""
    return [v.array.tobytes() for v in (*model.weights, *model.optimizer.variables)]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many steps each call of the function did."""
    if config.backend() != "numba":
        pytest.skip("the numpy backend trains step by step")
    noted: list[int] = []
    function = dispatch.train_steps

    def noting(*arguments: Any) -> int:
        done: int = function(*arguments)
        noted.append(done)
        return done

    monkeypatch.setattr(dispatch, "train_steps", noting)
    return noted


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    yield
    config.set_num_threads(1)


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have training call each layer by itself."""
    monkeypatch.setattr("tinynet.sequential.steps_of", lambda *_: None)


def both(
    build: Build, monkeypatch: pytest.MonkeyPatch, calls: list[int], sparse: bool, **options: Any
) -> None:
    """Train twice, once each way, and compare."""
    x, y = data(sparse)
    runs = []
    for together in (True, False):
        if not together:
            one_by_one(monkeypatch)
        model = fresh(build)
        history = model.fit(x, y, **{"epochs": 3, "verbose": 0, **options})
        assert bool(calls) is together
        calls.clear()
        runs.append((bits(model), history.history, model))
    assert runs[0][0] == runs[1][0]
    for name, figures in runs[0][1].items():
        np.testing.assert_allclose(figures, runs[1][1][name], rtol=1e-6)


NETS: dict[str, Build] = {
    "one layer": lambda: net(),
    "a hidden layer": lambda: net(layers.Dense(7, "relu")),
    "of 128 units": lambda: net(layers.Dense(128, "relu")),
    "two hidden layers": lambda: net(layers.Dense(130, "relu"), layers.Dense(70, "relu")),
    "a linear one": lambda: net(layers.Dense(7), layers.Dense(5, "relu")),
    "no metrics": lambda: net(layers.Dense(7, "relu"), metrics=()),
    "logits": lambda: net(
        layers.Dense(7, "relu"),
        head=None,
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
    ),
    "a schedule": lambda: net(
        layers.Dense(7, "relu"),
        optimizer=optimizers.Adam(optimizers.schedules.ExponentialDecay(0.01, 3, 0.5)),
    ),
    "other constants": lambda: net(
        layers.Dense(7, "relu"), optimizer=optimizers.Adam(0.01, 0.8, 0.99, 1e-3)
    ),
}


@pytest.mark.each_value
@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("name", NETS)
def test_the_bits_are_those_of_one_step_after_the_other(
    name: str, sparse: bool, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    both(NETS[name], monkeypatch, calls, sparse)


@pytest.mark.each_value
@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 4},
        {"batch_size": 129},
        {"batch_size": 1000},
        {"shuffle": False},
        {"shuffle": "batch"},
        {"validation_split": 0.2},
        {"steps_per_epoch": 2},
        {"callbacks": [callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)]},
    ],
    ids=str,
)
def test_however_it_is_trained(
    options: Any, sparse: bool, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    both(NETS["a hidden layer"], monkeypatch, calls, sparse, **options)


@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("batch_size", [1, 3, 37])
def test_batches_of_few_examples_give_the_same_bits(
    batch_size: int, sparse: bool, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    """Of 150 examples, 37 leave a final partial batch of 2."""
    both(NETS["a hidden layer"], monkeypatch, calls, sparse, batch_size=batch_size)


def any_case(seed: int) -> tuple[Build, np.ndarray, np.ndarray, dict[str, Any]]:
    """Make a net, and data of any scale: denormal, raw pixels, or columns of different scales."""
    rng = np.random.default_rng(seed)
    n, width, classes = (int(rng.integers(*span)) for span in ((20, 200), (5, 150), (2, 9)))
    x = rng.normal(size=(n, width)) if rng.random() < 0.3 else rng.integers(1, 256, (n, width))
    scale = rng.integers(3)
    if scale == 1:
        x = x * 10.0 ** rng.uniform(-42, 6)
    elif scale == 2:
        x = x * 10.0 ** rng.uniform(-42, 4, width)
    if rng.random() < 0.6:
        x = x * (rng.random(x.shape) < 0.2)
    sizes = [int(rng.choice([3, 7, 128, 130, 256])) for _ in range(rng.integers(3))]
    kinds = [str(rng.choice(["relu", "linear"])) for _ in sizes]
    rate = float(10 ** rng.uniform(-4, -1))

    def build() -> Sequential:
        hidden = [layers.Dense(u, kind) for u, kind in zip(sizes, kinds, strict=True)]
        model = Sequential([layers.Input((width,)), *hidden, layers.Dense(classes, "softmax")])
        model.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy")
        return model

    options = {
        "batch_size": int(rng.choice([1, 3, 8, 32, 40, 100, 150, 300])),
        "epochs": int(rng.choice([1, 3, 8])),
        "verbose": 0,
    }
    config.set_num_threads(int(rng.integers(1, 3)))
    return build, x.astype("float32"), rng.integers(0, classes, n), options


@pytest.mark.parametrize("case", range(12))
def test_bits_are_the_same_at_any_scale_of_the_inputs(
    case: int, any_seed: int, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    """Also where sums pass through denormals, which Adam's kernels flush to zero."""
    build, x, y, options = any_case(any_seed + case)
    found = []
    for together in (True, False):
        if not together:
            one_by_one(monkeypatch)
        model = fresh(build)
        try:
            model.fit(x, y, **options)
            error = None
        except FloatingPointError as raised:
            error = str(raised)
        assert bool(calls) is together
        calls.clear()
        found.append((bits(model), error))
    assert found[0] == found[1]


@pytest.mark.parametrize("seed", [2, 6, 7, 10])
def test_bits_are_the_same_on_raw_pixels(
    seed: int, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    """Sums of denormals decided ties between products of 8-bit numbers."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 256, (33, 100))
    x[rng.random(x.shape) < 0.75] = 0
    y, found = rng.integers(0, 3, 33), []
    for together in (True, False):
        if not together:
            one_by_one(monkeypatch)
        tinynet.random.set_seed(seed)
        row = [layers.Input((100,)), layers.Dense(256), layers.Dense(3, "softmax")]
        model = Sequential(row)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=33, epochs=4, verbose=0)
        found.append(bits(model))
    assert found[0] == found[1]


@pytest.mark.each_value
@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("name", ["a hidden layer", "of 128 units", "two hidden layers"])
def test_the_number_of_threads_changes_no_bit(name: str, sparse: bool, calls: list[int]) -> None:
    x, y = data(sparse, 1500)
    x = np.tile(x, (1, 7, 10))  # large enough to be shared
    found = []
    for n in (1, 2, 3):
        config.set_num_threads(n)
        model = fresh(NETS[name])
        model.fit(x, y, batch_size=150, epochs=2, verbose=0)
        found.append(bits(model))
    assert calls
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
def test_helpers_that_are_not_asked_change_no_bit(sparse: bool, calls: list[int]) -> None:
    """Where helpers often come late, the caller goes without for a while."""
    from tinynet import threads
    from tinynet.kernels import helpers

    class Busy(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if (team := threads.current()) is not None:
                until = time.monotonic_ns() + (10**5 if epoch else 10**11)
                team.boxes[0, helpers.REST] = until

    x, y = data(sparse, 1500)
    x, found = np.tile(x, (1, 7, 10)), []
    for n in (1, 2):
        config.set_num_threads(n)
        model = fresh(NETS["of 128 units"])
        model.fit(x, y, batch_size=150, epochs=2, verbose=0, callbacks=[Busy()])
        found.append(bits(model))
    assert calls
    assert found[0] == found[1]


@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
def test_which_steps_go_together(
    sparse: bool, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data(sparse)
    model = net(layers.Dense(7, "relu"))
    model.fit(x, y, batch_size=10, verbose=0)
    assert calls == [15], "all fit in a call"
    calls.clear()
    model.fit(x, y, batch_size=10, steps_per_epoch=4, verbose=0)
    assert calls == [1] * 4
    calls.clear()
    many = model._many_steps

    def few(*arguments: Any) -> Any:
        steps = many(*arguments)
        assert steps.at_once > 10**4
        steps.at_once = 4
        return steps

    monkeypatch.setattr(model, "_many_steps", few)
    model.fit(x, y, batch_size=10, verbose=0)
    assert calls == [4, 4, 4, 3]


def test_what_can_not_be_written_is_not_compiled_for_anew(calls: list[int]) -> None:
    x, y = data(False)
    found = []
    for writeable in (True, False):
        x.flags.writeable = writeable
        model = fresh(NETS["a hidden layer"])
        model.fit(x, y, verbose=0)
        found.append((bits(model), len(getattr(kernels.train_steps, "signatures", ()))))
    assert calls
    assert found[0] == found[1]


class Own(layers.Dense):
    """A layer that might do anything."""


class OwnModel(Sequential):
    """A model that might do anything."""

    def call(self, x: Any) -> Any:
        return super().call(x)


def own_model() -> Sequential:
    model = OwnModel([layers.Flatten(), layers.Dense(C, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


OTHERS: dict[str, Build] = {
    "dropout": lambda: net(layers.Dropout(0.5)),
    "another activation": lambda: net(layers.Dense(7, "tanh")),
    "no bias": lambda: net(layers.Dense(7, "relu", use_bias=False)),
    "a single linear unit": lambda: net(layers.Dense(1)),
    "a frozen layer": lambda: net(layers.Dense(7, trainable=False)),
    "a penalty": lambda: net(kernel_regularizer="l2"),
    "a constraint": lambda: net(bias_constraint="non_neg"),
    "float64": lambda: net(layers.Dense(7, dtype="float64")),
    "another head": lambda: net(head="sigmoid"),
    "logits of a softmax": lambda: net(head=None),
    "a sum": lambda: net(loss=losses.SparseCategoricalCrossentropy(reduction="sum")),
    "an ignored class": lambda: net(loss=losses.SparseCategoricalCrossentropy(ignore_class=0)),
    "another metric": lambda: net(metrics=["sparse_top_k_categorical_accuracy"]),
    "another optimizer": lambda: net(optimizer="sgd"),
    "amsgrad": lambda: net(optimizer=optimizers.Adam(amsgrad=True)),
    "decay": lambda: net(optimizer=optimizers.AdamW()),
    "clipping": lambda: net(optimizer=optimizers.Adam(clipnorm=1.0)),
    "accumulation": lambda: net(optimizer=optimizers.Adam(gradient_accumulation_steps=2)),
    "an average": lambda: net(optimizer=optimizers.Adam(use_ema=True)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_is_trained_step_by_step(name: str, calls: list[int]) -> None:
    OTHERS[name]().fit(*data(), verbose=0)
    assert not calls


ALIKE = {
    "a subclass of Dense": lambda: net(Own(7)),
    "a model of one's own": own_model,
    "a model in a model": lambda: net(Sequential([layers.Dense(7)])),
    "a layer that does nothing": lambda: net(layers.Dropout(0.0)),
}


@pytest.mark.parametrize("name", ALIKE)
def test_models_with_the_same_program_are_trained_alike(name: str, calls: list[int]) -> None:
    ALIKE[name]().fit(*data(), verbose=0)
    assert calls


FROZEN = [(layer, name) for layer in (0, 1) for name in ("kernel", "bias")]


@pytest.mark.parametrize(("layer", "name"), FROZEN)
def test_so_is_a_layer_of_which_a_part_is_frozen(layer: int, name: str, calls: list[int]) -> None:
    model = net(layers.Dense(7, "relu"))
    model.build((None, *SHAPE))
    frozen = getattr(model.layers[1 + layer], name)
    frozen.trainable = False
    before = [w.array.copy() for w in model.weights]
    model.fit(*data(), verbose=0)
    assert not calls
    for weight, old in zip(model.weights, before, strict=True):
        assert np.array_equal(weight.array, old) is (weight is frozen)


@pytest.mark.parametrize("shared", [1, 2])
def test_so_is_a_model_whose_layer_another_model_took(shared: int, calls: list[int]) -> None:
    a = net(layers.Dense(C, "relu"))
    a.fit(*data(), verbose=0)
    b = Sequential([layers.Flatten(), a.layers[1], layers.Dense(C, "softmax")])
    if shared == 2:
        b = Sequential([layers.Flatten(), layers.Dense(C, "relu"), a.layers[2]])
    b.compile("adam", "sparse_categorical_crossentropy")
    b.fit(*data(), verbose=0)
    calls.clear()
    before = a.get_weights()
    a.fit(*data(), verbose=0)
    assert not calls
    assert not any(map(np.array_equal, a.get_weights(), before))


@pytest.mark.parametrize("change", ["clipnorm", "activation"])
@pytest.mark.parametrize("epoch", [0, 1])
def test_what_a_callback_changes_counts(
    change: str, epoch: int, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    class Change(callbacks.Callback):
        """Change what the steps are made of."""

        def on_epoch_begin(self, number: int, logs: Any = None) -> None:
            if number == epoch and change == "clipnorm":
                self.model.optimizer.clipnorm = 1e-3
            elif number == epoch:
                self.model.layers[1].activation = tinynet.activations.tanh

    x, y = data()
    found = []
    for together in (True, False):
        if not together:
            one_by_one(monkeypatch)
        model = fresh(NETS["a hidden layer"])
        model.fit(x, y, batch_size=10, epochs=3, verbose=0, callbacks=[Change()])
        assert sum(calls) == 15 * epoch * together
        calls.clear()
        found.append(bits(model))
    assert found[0] == found[1]


def test_columns_that_take_more_than_two_bytes(calls: list[int]) -> None:
    x = np.zeros((64, 70_000), np.float32)
    x[np.arange(64), 65_536 + np.arange(64)] = 1
    found = []
    for n in (1, 2):
        config.set_num_threads(n)
        model = fresh(lambda: net(metrics=()))
        model.fit(x, np.arange(64) % C, batch_size=16, epochs=3, verbose=0)
        found.append(bits(model))
    assert calls
    assert found[0] == found[1]


@pytest.mark.parametrize("options", [{"class_weight": {0: 2.0}}, {"sample_weight": np.ones(N)}])
def test_so_is_everything_that_is_weighted(options: Any, calls: list[int]) -> None:
    net().fit(*data(), verbose=0, **options)
    assert not calls


def test_so_is_what_is_not_flat(calls: list[int]) -> None:
    x, y = data(sparse=False)
    model = Sequential([layers.Dense(7), layers.Flatten(), layers.Dense(C, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    assert not calls


def test_without_wide_registers_large_products_are_left_to_blas(
    calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinynet.kernels.products.FAST_PRODUCTS", False)
    for sparse, hidden, together in [
        (True, [layers.Dense(128, "relu")], True),
        (False, [layers.Dense(128, "relu")], True),
        (False, [layers.Dense(300, "relu")], False),
        (True, [layers.Dense(300, "relu"), layers.Dense(20, "relu")], False),
    ]:
        calls.clear()
        model = net(*hidden)
        model.fit(*data(sparse), verbose=0)
        assert bool(calls) is together
    both(lambda: net(layers.Dense(20, "relu")), monkeypatch, calls, sparse=False)


@pytest.mark.parametrize("epoch", [0, 2])
def test_divergence_is_found_in_the_step_where_it_happens(
    epoch: int, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    class Raise(callbacks.Callback):
        """Raise the learning rate beyond all bounds."""

        def on_epoch_begin(self, number: int, logs: Any = None) -> None:
            if number == epoch:
                self.model.optimizer.learning_rate = 1e38

    x, y = data()
    found = []
    for together in (True, False):
        if not together:
            one_by_one(monkeypatch)
        model = fresh(NETS["a hidden layer"])
        with pytest.raises(FloatingPointError) as error:
            model.fit(x, y, batch_size=10, epochs=4, verbose=0, callbacks=[Raise()])
        found.append((str(error.value), bits(model), model.history.epoch))
    assert f"epoch {epoch + 1}, batch " in found[0][0]
    assert found[0] == found[1]


def test_a_loss_that_is_no_number_can_be_trained_on(calls: list[int]) -> None:
    x, y = data()
    model = net(optimizer=optimizers.Adam(1e38))
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert not np.isfinite(history.history["loss"][-1])
    config.set_on_divergence("continue")
    try:
        net(optimizer=optimizers.Adam(1e38)).fit(x, y, batch_size=10, verbose=0)
    finally:
        config.set_on_divergence("raise")
    assert calls[-1] == 15
