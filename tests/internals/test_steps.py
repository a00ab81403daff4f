"""The fused training loop is bit-identical to single steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinynet
from tests.internals import on_both
from tests.models import bits
from tinynet import Sequential, callbacks, config, layers, losses, optimizers
from tinynet.program.nested import flattened
from tinynet.training.compiled_program import Compiled
from tinynet.training.trainer import ManySteps

N, SHAPE, C = 150, (5, 4), 3
Build = Callable[[], Any]
Ways = Callable[[], Iterator[bool]]
either = pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])


def data(sparse: bool = True, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((n, *SHAPE)).astype("float32")
    if sparse:
        x *= rng.random(x.shape) < 0.2
    return x, rng.integers(0, C, n)


def relu(units: int = 7) -> layers.Dense:
    return layers.Dense(units, "relu")


def net(
    *hidden: layers.Layer,
    optimizer: Any = "adam",
    loss: Any = "sparse_categorical_crossentropy",
    head: Any = "softmax",
    metrics: Any = ("accuracy",),
    **options: Any,
) -> Sequential:
    """Build and compile a classifier."""
    model = Sequential([layers.Flatten(), *hidden, layers.Dense(C, head, **options)])
    model.compile(optimizer, loss, metrics=list(metrics))
    return model


def fresh(build: Build) -> Any:
    """Build a model with the same initial weights each time."""
    tinynet.random.set_seed(1)
    return build()


def trained(build: Build, x: Any, y: Any, **options: Any) -> Any:
    model = fresh(build)
    model.fit(x, y, verbose=0, **options)
    return model


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the number of training steps of each runner call."""
    recorded: list[int] = []
    run = Compiled.run

    def recording(self: Compiled, *arguments: Any, **options: Any) -> Any:
        table = run(self, *arguments, **options)
        if self.plan is not None and options.get("learns", True):
            recorded.append(len(table))
        return table

    monkeypatch.setattr(Compiled, "run", recording)
    return recorded


def compiled(model: Any, kind: str = "train") -> Any:
    """Return the rows of the program that ran, and the reason for a fallback to Python."""
    program = next(p for (own, *_), p in model._programs.items() if own == kind and p._compiled)
    return program._compiled[-1], program.why


def kernels(model: Any) -> set[str]:
    groups = compiled(model)[0].low.groups
    return {group.call.kernel for group in groups if group.call is not None}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    yield
    config.set_num_threads(1)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch, calls: list[int]) -> Ways:
    """Return a function that yields True for the fused loop, then False for single steps."""
    of = ManySteps.of

    def each() -> Iterator[bool]:
        for together in (True, False):
            monkeypatch.setattr(ManySteps, "of", of if together else lambda *_: None)
            calls.clear()
            yield together
        monkeypatch.setattr(ManySteps, "of", of)
        calls.clear()

    return each


@pytest.fixture
def both(ways: Ways, calls: list[int]) -> Callable[..., list[int]]:
    """Return a function that compares the fused loop with single steps.

    It returns the number of steps of each runner call of the fused loop.
    """

    def compare(build: Build, sparse: bool, **options: Any) -> list[int]:
        runs, steps = [], []
        for together in ways():
            model = trained(build, *data(sparse), **{"epochs": 3, **options})
            assert compiled(model)[0] is not None
            assert together or set(calls) == {1}
            runs.append((bits(model), model.history.history))
            steps.append([*calls])
        assert runs[0][0] == runs[1][0]
        assert sum(steps[0]) == sum(steps[1]) > 0
        for name, figures in runs[0][1].items():
            np.testing.assert_allclose(figures, runs[1][1][name], rtol=1e-6)
        return steps[0]

    return compare


def assert_threads_are_bit_identical(
    build: Build, x: Any, y: Any, *numbers: int, **options: Any
) -> None:
    found = []
    for n in numbers:
        config.set_num_threads(n)
        found.append(bits(trained(build, x, y, **options)))
    assert all(each == found[0] for each in found)


def several_rows() -> Sequential:
    model = Sequential([layers.Dense(7), layers.Flatten(), layers.Dense(C, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def average_of_two() -> Any:
    """Build a functional model with two branches."""
    x = layers.Input(SHAPE)
    flat = layers.Flatten()(x)
    a, b = relu()(flat), layers.Dense(7, "tanh")(flat)
    y = layers.Dense(C, "softmax")(layers.Add()([a, layers.Average()([a, b])]))
    model = tinynet.Model(x, y)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


# `test_random_programs` covers other layers, losses and optimizers.
NETS: dict[str, Build] = {
    "one layer": net,
    "a hidden layer": lambda: net(relu()),
    "of 128 units": lambda: net(relu(128)),
    "two hidden layers": lambda: net(relu(130), relu(70)),
    "a linear layer": lambda: net(layers.Dense(7), relu(5)),
    "no metrics": lambda: net(relu(), metrics=()),
    "logits": lambda: net(
        relu(), head=None, loss=losses.SparseCategoricalCrossentropy(from_logits=True)
    ),
    "a schedule": lambda: net(
        relu(), optimizer=optimizers.Adam(optimizers.schedules.ExponentialDecay(0.01, 3, 0.5))
    ),
    "other constants": lambda: net(relu(), optimizer=optimizers.Adam(0.01, 0.8, 0.99, 1e-3)),
    "inputs with several rows": several_rows,
    "dropout": lambda: net(layers.Dropout(0.5)),
    "a frozen layer": lambda: net(layers.Dense(7, trainable=False)),
    "a penalty": lambda: net(kernel_regularizer="l2"),
    "another output layer": lambda: net(head="sigmoid"),
    "another optimizer": lambda: net(optimizer="sgd"),
    "use_ema": lambda: net(optimizer=optimizers.Adam(use_ema=True)),
    "layer normalization": lambda: net(layers.Dense(7), layers.LayerNormalization()),
    "a graph": average_of_two,
}
each_step = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
OPTIONS: dict[str, dict[str, Any]] = {
    # With 150 examples, batches of 37 leave a final partial batch of 2.
    **{f"batches of {n}": {"batch_size": n} for n in (1, 3, 4, 37, 129, 1000)},
    "no shuffling": {"shuffle": False},
    "shuffled batches": {"shuffle": "batch"},
    "validation": {"validation_split": 0.2},
    "few steps": {"steps_per_epoch": 2},
    "a callback": {"callbacks": [each_step]},
}
WEIGHTED: dict[str, dict[str, Any]] = {
    "class weights": {"class_weight": {0: 2.0}},
    "weights": {"sample_weight": np.linspace(0, 2, N)},
    "integer weights": {"sample_weight": np.arange(N) % 2},
}
TRAINED: dict[str, tuple[Build, dict[str, Any]]] = {
    **{name: (build, {}) for name, build in NETS.items()},
    **{name: (NETS["a hidden layer"], options) for name, options in OPTIONS.items()},
    **{name: (net, options) for name, options in WEIGHTED.items()},
}


@pytest.mark.each_value
@either
@pytest.mark.parametrize("name", TRAINED)
def test_fused_loop_is_bit_identical(name: str, sparse: bool, both: Any) -> None:
    build, options = TRAINED[name]
    steps = both(build, sparse, **options)
    assert name in OPTIONS or steps == [5] * 3


def any_case(seed: int) -> tuple[Build, np.ndarray, np.ndarray, dict[str, Any]]:
    """Build a network and data of any scale: denormals, raw pixels, or columns of mixed scales."""
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
def test_fused_loop_with_any_input_scale(
    case: int, any_seed: int, ways: Ways, calls: list[int]
) -> None:
    """Some intermediate sums are denormal; the weight update flushes denormals to zero."""
    build, x, y, options = any_case(any_seed + case)
    found = []
    for _ in ways():
        model, error = fresh(build), None
        try:
            model.fit(x, y, **options)
        except FloatingPointError as raised:
            error = str(raised)
        assert compiled(model)[0] is not None
        found.append((bits(model), error, sum(calls)))
    assert found[0] == found[1]
    assert found[0][2] > 0


@pytest.mark.parametrize("seed", [2, 6, 7, 10])
def test_fused_loop_on_raw_pixels(seed: int, ways: Ways, calls: list[int]) -> None:
    """Regression test: integers cause exact ties, whose rounding depended on denormal terms."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 256, (33, 100))
    x[rng.random(x.shape) < 0.75] = 0
    y, found = rng.integers(0, 3, 33), []
    for _ in ways():
        tinynet.random.set_seed(seed)
        row = [layers.Input((100,)), layers.Dense(256), layers.Dense(3, "softmax")]
        model = Sequential(row)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=33, epochs=4, verbose=0)
        assert sum(calls) == 4
        found.append(bits(model))
    assert found[0] == found[1]


@either
def test_steps_per_fused_call(
    sparse: bool, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data(sparse)
    model = net(relu())
    model.fit(x, y, batch_size=10, verbose=0)
    assert calls == [15], "one call runs all steps"
    model.fit(x, y, batch_size=10, steps_per_epoch=4, verbose=0)
    assert sum(calls) == 15 + 4
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


def test_read_only_data_is_bit_identical(calls: list[int]) -> None:
    x, y = data(False)
    expected = bits(trained(NETS["a hidden layer"], x, y))
    x.flags.writeable = y.flags.writeable = False
    assert bits(trained(NETS["a hidden layer"], x, y)) == expected
    assert calls == [5, 5]


@pytest.mark.each_value
@pytest.mark.parametrize("batch_size", [1, 7, 32])
@pytest.mark.parametrize("name", ["a hidden layer", "of 128 units", "two hidden layers"])
def test_csr_inputs_are_bit_identical(
    name: str, batch_size: int, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    found = []
    for compresses in (True, False):
        monkeypatch.setattr("tinynet.models.functional.worth_it", lambda *_, made=compresses: made)
        model = trained(NETS[name], *data(), batch_size=batch_size, epochs=3)
        assert ("linear_csr" in kernels(model)) is compresses
        found.append(bits(model))
    assert found[0] == found[1]


def test_train_on_batch_is_bit_identical(calls: list[int]) -> None:
    x, y = data(sparse=False)
    build = NETS["a hidden layer"]
    expected = bits(trained(build, x, y, batch_size=32, shuffle=False, epochs=2))
    assert calls == [5, 5]
    model = fresh(build)
    for first in [*range(0, N, 32)] * 2:
        model.train_on_batch(x[first : first + 32], y[first : first + 32])
    assert calls == [5, 5, *[1] * 10]
    assert bits(model) == expected


def test_numpy_products_are_never_called(monkeypatch: pytest.MonkeyPatch, calls: list[int]) -> None:
    """Kernels compute all matrix products, so NumPy's BLAS library does not matter."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a NumPy matrix product was called")

    found = []
    for may in (True, False):
        model = fresh(NETS["two hidden layers"])
        with monkeypatch.context() as patch:
            if not may:
                for name in ("matmul", "dot", "einsum", "inner", "tensordot", "vdot"):
                    patch.setattr(np, name, refuse)
                patch.setattr("tinynet.functional.dense", refuse)
            found.append((run(model, *data()), bits(model)))
    assert found[0] == found[1]
    for kind in ("train", "test", "predict"):
        assert compiled(model, kind)[0] is not None


def run(model: Sequential, x: np.ndarray, y: np.ndarray) -> Any:
    """Train, evaluate and predict; return all results."""
    history = model.fit(x, y, validation_split=0.2, epochs=2, verbose=0).history
    one = model.train_on_batch(x[:10], y[:10]), model.test_on_batch(x[:10], y[:10])
    predicted = model.predict(x, verbose=0), model.predict_on_batch(x[:3]), model(x[:3])
    values = [np.asarray(p).tobytes() for p in predicted]
    return history, one, model.evaluate(x, y, verbose=0), values


class Own(layers.Dense):
    """A custom layer."""


class OwnModel(Sequential):
    """A custom model."""

    def call(self, x: Any) -> Any:  # type: ignore[override]
        return super().call(x)


def own_model() -> Sequential:
    model = OwnModel([layers.Flatten(), layers.Dense(C, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


class Scale(layers.Layer):
    """A layer with custom `forward` and `backward`, which may fail."""

    fails: Any = None

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")
        super().build(shape)

    def forward(self, x: Any, work: Any, training: bool) -> Any:
        work.x = x
        self.may_fail("forward")
        return x * self.scale.array

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        self.may_fail("backward")
        work.gradients[0][...] = (d_y * work.x).sum(axis=0)
        return d_y * self.scale.array

    def may_fail(self, where: str) -> None:
        if self.fails == where:
            raise OSError(where)


class Descent(optimizers.Optimizer):
    """A custom optimizer."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign_sub(variable, learning_rate * np.sign(gradient))


class Cubes(tinynet.regularizers.Regularizer):
    """A custom penalty."""

    def __call__(self, x: Any) -> Any:
        return tinynet.ops.sum(tinynet.ops.abs(x) ** 3) * 0.01


# Operations that Python executes between compiled kernels.
MIXED: dict[str, tuple[Build, set[str]]] = {
    "a custom layer": (lambda: net(relu(), Scale(name="scale")), {"scale", "scale_backward"}),
    "two custom layers": (
        lambda: net(Scale(name="a"), layers.Dense(7), layers.Dropout(0.5), Scale(name="b")),
        {"a", "a_backward", "b", "b_backward"},
    ),
    "a custom optimizer": (lambda: net(layers.Dense(7), optimizer=Descent(0.01)), {"descent"}),
    "a custom penalty": (lambda: net(layers.Dense(7, kernel_regularizer=Cubes())), {"Cubes"}),
    "an ignored class": (
        lambda: net(layers.Dense(7), loss=losses.SparseCategoricalCrossentropy(ignore_class=0)),
        set(),
    ),
    "noise": (lambda: net(layers.Dense(7), layers.GaussianNoise(0.1)), {"normal"}),
}


@pytest.mark.each_value
@either
@pytest.mark.parametrize("name", MIXED)
def test_custom_instruction_keeps_rest_compiled(name: str, sparse: bool, calls: list[int]) -> None:
    build, by_python = MIXED[name]
    made = []

    def run() -> Any:
        made.append(trained(build, *data(sparse), epochs=3, validation_split=0.2))
        results = made[-1].predict(data(sparse)[0], verbose=0)
        return made[-1].history.history, made[-1].get_weights(), results

    found, model = on_both(run), made[-1]
    assert calls == [1] * 4 * 3
    assert by_python <= {*compiled(model)[0].by_python}
    assert {"linear", "linear_csr"} & kernels(model)
    for a, b in zip(*map(flattened, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


SHARED = ["a hidden layer", "of 128 units", "two hidden layers"]
SHARED += ["a custom layer", "two custom layers", "a custom optimizer"]


@pytest.mark.each_value
@either
@pytest.mark.parametrize("name", SHARED)
def test_custom_instructions_with_threads(name: str, sparse: bool, calls: list[int]) -> None:
    x, y = data(sparse, 1500)
    x = np.tile(x, (1, 7, 10))  # large enough to use several threads
    build = MIXED[name][0] if name in MIXED else NETS[name]
    assert_threads_are_bit_identical(build, x, y, 1, 2, 3, batch_size=150, epochs=2)
    assert calls


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_custom_layer_error_updates_nothing(where: str, calls: list[int]) -> None:
    build, (x, y) = MIXED["a custom layer"][0], data(sparse=False)
    model = trained(build, x, y, shuffle=False)
    before, layer = bits(model), model.get_layer("scale")
    layer.fails = where
    with pytest.raises(OSError, match=where):
        model.train_on_batch(x, y)
    assert bits(model) == before
    with pytest.raises(OSError, match=where):
        model.fit(x, y, verbose=0, shuffle=False)
    layer.fails = None
    model.fit(x, y, verbose=0, shuffle=False)
    other = trained(build, x, y, shuffle=False)
    other.fit(x, y, verbose=0, shuffle=False)
    assert bits(model) == bits(other), "failed steps must not change the model"


def test_program_reports_why_not_compiled(calls: list[int]) -> None:
    model = trained(lambda: net(layers.Dense(7, dtype="float64")), *data(), epochs=5)
    assert not calls
    made, why = compiled(model)
    assert made is None
    assert "float64" in why
    losses = model.history.history["loss"]
    assert losses[-1] < losses[0]


def test_python_metric_disables_fused_loop(calls: list[int]) -> None:
    model = trained(lambda: net(metrics=["sparse_top_k_categorical_accuracy"]), *data())
    assert calls == [1] * 5
    assert compiled(model)[0].has_others


ALIKE: dict[str, Build] = {
    "a subclass of Dense": lambda: net(Own(7)),
    "a custom model": own_model,
    "a model in a model": lambda: net(Sequential([layers.Dense(7)])),
    "a layer that does nothing": lambda: net(layers.Dropout(0.0)),
}


@pytest.mark.parametrize("name", ALIKE)
def test_equivalent_models_are_fused(name: str, calls: list[int]) -> None:
    trained(ALIKE[name], *data())
    assert calls == [5]


@pytest.mark.parametrize("name", ["kernel", "bias"])
@pytest.mark.parametrize("layer", [0, 1])
def test_frozen_kernel_or_bias_is_unchanged(layer: int, name: str, both: Any) -> None:
    def build() -> Sequential:
        model = net(relu())
        model.build((None, *SHAPE))
        getattr(model.layers[1 + layer], name).trainable = False
        return model

    model = build()
    frozen = getattr(model.layers[1 + layer], name)
    before = [w.array.copy() for w in model.weights]
    model.fit(*data(), verbose=0)
    for weight, old in zip(model.weights, before, strict=True):
        assert np.array_equal(weight.array, old) is (weight is frozen)
    assert both(build, True) == [5] * 3


@pytest.mark.parametrize("shared", [1, 2])
def test_layer_shared_by_two_models_trains(shared: int, ways: Ways, calls: list[int]) -> None:
    found = []
    for together in ways():
        a = trained(lambda: net(relu(C)), *data())
        hidden = [layers.Flatten(), relu(C), layers.Dense(C, "softmax")]
        hidden[shared] = a.layers[shared]
        b = Sequential(hidden)
        b.compile("adam", "sparse_categorical_crossentropy")
        b.fit(*data(), verbose=0)
        calls.clear()
        before = a.get_weights()
        a.fit(*data(), verbose=0)
        assert calls == ([5] if together else [1] * 5)
        assert compiled(a)[0] is not None
        assert not any(map(np.array_equal, a.get_weights(), before))
        found.append((bits(a), bits(b)))
    assert found[0] == found[1]


CHANGES: dict[str, Callable[[Any], None]] = {
    "clipnorm": lambda model: setattr(model.optimizer, "clipnorm", 1e-3),
    "activation": lambda model: setattr(model.layers[1], "activation", tinynet.activations.tanh),
    "rate": lambda model: setattr(model.optimizer, "learning_rate", 0.1),
    "frozen": lambda model: setattr(model.layers[1].kernel, "trainable", False),
}


@pytest.mark.each_value
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("epoch", [0, 1])
def test_callback_changes_take_effect(
    change: str, epoch: int, ways: Ways, calls: list[int]
) -> None:
    def begin(number: int, _: Any) -> None:
        if number == epoch:
            CHANGES[change](callback.model)

    callback: Any = callbacks.LambdaCallback(on_epoch_begin=begin)
    found = []
    for together in ways():
        options = {"batch_size": 10, "epochs": 3, "callbacks": [callback]}
        model = trained(NETS["a hidden layer"], *data(), **options)
        assert calls == ([15] * 3 if together else [1] * 45)
        assert compiled(model)[0] is not None
        found.append(bits(model))
    assert found[0] == found[1]


def test_column_indices_above_two_bytes(calls: list[int]) -> None:
    x = np.zeros((64, 70_000), np.float32)
    x[np.arange(64), 65_536 + np.arange(64)] = 1
    y = np.arange(64) % C
    assert_threads_are_bit_identical(lambda: net(metrics=()), x, y, 1, 2, batch_size=16, epochs=3)
    assert calls


def test_dict_inputs_are_compiled(ways: Ways, calls: list[int]) -> None:
    x, y = data(sparse=False)
    given, found = {"a": x[:, 0], "b": x[:, 1:]}, []
    for together in ways():
        tinynet.random.set_seed(1)
        a, b = layers.Input((4,), name="a"), layers.Input((4, 4), name="b")
        joined = layers.Add()([layers.Dense(5)(a), layers.Dense(5)(layers.Flatten()(b))])
        outputs = {
            "class": layers.Dense(C, "softmax", name="class")(joined),
            "sum": layers.Dense(1, name="sum")(joined),
        }
        model = tinynet.Model({"a": a, "b": b}, outputs)
        model.compile("adam", {"class": "sparse_categorical_crossentropy", "sum": "mse"})
        targets = {"class": y, "sum": x.sum(axis=(1, 2))[:, None]}
        history = model.fit(given, targets, epochs=2, verbose=0).history
        assert calls == ([5, 5] if together else [1] * 10)
        found.append((bits(model), history))
    assert found[0] == found[1]


@pytest.mark.parametrize("epoch", [0, 2])
def test_divergence_error_names_the_step(epoch: int, ways: Ways) -> None:
    def begin(number: int, _: Any) -> None:
        if number == epoch:
            raising.model.optimizer.learning_rate = 1e38

    raising: Any = callbacks.LambdaCallback(on_epoch_begin=begin)
    found = []
    for _ in ways():
        model = fresh(NETS["a hidden layer"])
        with pytest.raises(FloatingPointError) as error:
            model.fit(*data(), batch_size=10, epochs=4, verbose=0, callbacks=[raising])
        found.append((str(error.value), bits(model), model.history.epoch))
    assert f"epoch {epoch + 1}, batch " in found[0][0]
    assert found[0] == found[1]


def test_training_continues_on_nan_loss(calls: list[int]) -> None:
    def build() -> Any:
        return net(optimizer=optimizers.Adam(1e38))

    model = trained(build, *data(), epochs=2, callbacks=[callbacks.TerminateOnNaN()])
    assert not np.isfinite(model.history.history["loss"][-1])
    config.set_on_divergence("continue")
    try:
        trained(build, *data(), batch_size=10)
    finally:
        config.set_on_divergence("raise")
    assert calls[-1] == 15
