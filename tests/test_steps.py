"""Many steps in one call give what one step after the other gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinynet
from tinynet import Sequential, callbacks, config, layers, losses, optimizers
from tinynet.program.nested import flattened
from tinynet.training import thread_pool
from tinynet.training.compiled_program import Compiled
from tinynet.training.trainer import ManySteps

N, SHAPE, C = 150, (5, 4), 3
Build = Callable[[], Any]


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


def bits(model: Any) -> list[bytes]:
    """Return all that training changes, to the bit."""
    return [v.array.tobytes() for v in (*model.weights, *model.optimizer.variables)]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many training steps each call of the runner did."""
    if config.backend() != "numba":
        pytest.skip("the numpy backend trains step by step")
    noted: list[int] = []
    run = Compiled.run

    def noting(self: Compiled, *arguments: Any, **options: Any) -> Any:
        table = run(self, *arguments, **options)
        if self.plan is not None and options.get("learns", True):
            noted.append(len(table))
        return table

    monkeypatch.setattr(Compiled, "run", noting)
    return noted


def compiled(model: Any, kind: str = "train") -> Any:
    """Return the rows of a kind of program that ran, and why Python ran it if it did."""
    program = next(p for (own, *_), p in model._programs.items() if own == kind and p._compiled)
    return program._compiled[-1], program.why


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    yield
    config.set_num_threads(1)


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have training call the runner for each step by itself."""
    monkeypatch.setattr(ManySteps, "of", lambda *_: None)


def both(
    build: Build, monkeypatch: pytest.MonkeyPatch, calls: list[int], sparse: bool, **options: Any
) -> None:
    """Train many steps in a call, then step by step, and compare."""
    x, y = data(sparse)
    runs = []
    for together in (True, False):
        with monkeypatch.context() as patch:
            if not together:
                one_by_one(patch)
            model = fresh(build)
            history = model.fit(x, y, **{"epochs": 3, "verbose": 0, **options})
        assert compiled(model)[0] is not None
        runs.append((bits(model), history.history, sum(calls)))
        if not together:
            assert set(calls) == {1}
        calls.clear()
    assert runs[0][0] == runs[1][0]
    assert runs[0][2] == runs[1][2] > 0
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
    ids=lambda options: "callback" if "callbacks" in options else str(options),
)
def test_however_it_is_trained(
    options: Any, sparse: bool, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    both(NETS["a hidden layer"], monkeypatch, calls, sparse, **options)


@pytest.mark.each_value
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
    """Also where sums pass through denormals, which updates of weights flush to zero."""
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
        assert compiled(model)[0] is not None
        found.append((bits(model), error, sum(calls)))
        calls.clear()
    assert found[0] == found[1]
    assert found[0][2] > 0


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
    assert sum(calls) == 8
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
def test_workers_that_are_not_asked_change_no_bit(sparse: bool, calls: list[int]) -> None:
    """Where workers often come late, the caller goes without for a while."""
    from tinynet.kernels import runner

    rested = []

    class Busy(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            pool = thread_pool.current_pool()
            if pool is not None and pool._started > 1:
                pool.words[runner.LATE] = runner.TOO_LATE + 5
                rested.append(epoch)

    x, y = data(sparse, 1500)
    x, found = np.tile(x, (1, 7, 10)), []
    for n in (1, 2):
        config.set_num_threads(n)
        model = fresh(NETS["of 128 units"])
        model.fit(x, y, batch_size=150, epochs=4, verbose=0, callbacks=[Busy()])
        found.append(bits(model))
    assert calls
    assert rested or thread_pool.most() == 1
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
    assert sum(calls) == 4
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


def test_data_that_can_not_be_written_gives_the_same_bits(calls: list[int]) -> None:
    x, y = data(False)
    found = []
    for writeable in (True, False):
        x.flags.writeable = y.flags.writeable = writeable
        model = fresh(NETS["a hidden layer"])
        model.fit(x, y, verbose=0)
        found.append(bits(model))
    assert calls == [5, 5]
    assert found[0] == found[1]


@pytest.mark.each_value
@pytest.mark.parametrize("batch_size", [1, 7, 32])
@pytest.mark.parametrize("name", ["a hidden layer", "of 128 units", "two hidden layers"])
def test_compressed_inputs_give_the_bits_of_dense_ones(
    name: str, batch_size: int, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    x, y = data(sparse=True)
    found = []
    for compresses in (True, False):
        monkeypatch.setattr("tinynet.models.functional.worth_it", lambda *_, made=compresses: made)
        model = fresh(NETS[name])
        model.fit(x, y, batch_size=batch_size, epochs=3, verbose=0)
        program = compiled(model)[0]
        kernels = {g.call.kernel for g in program.low.groups if g.call is not None}
        assert ("linear_csr" in kernels) is compresses
        found.append(bits(model))
    assert found[0] == found[1]


def test_steps_of_train_on_batch_give_the_same_bits(calls: list[int]) -> None:
    x, y = data(sparse=False)
    found = []
    for together in (True, False):
        model = fresh(NETS["a hidden layer"])
        if together:
            model.fit(x, y, batch_size=32, shuffle=False, epochs=2, verbose=0)
            assert calls == [5, 5]
        else:
            for _ in range(2):
                for first in range(0, N, 32):
                    model.train_on_batch(x[first : first + 32], y[first : first + 32])
            assert calls == [5, 5, *[1] * 10]
        found.append(bits(model))
    assert found[0] == found[1]


def test_no_product_of_numpy_is_called(monkeypatch: pytest.MonkeyPatch, calls: list[int]) -> None:
    """Matrix products are the kernels' own: which library NumPy has makes no difference."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a product of NumPy")

    x, y = data()
    found = []
    for may in (True, False):
        model = fresh(NETS["two hidden layers"])
        with monkeypatch.context() as patch:
            if not may:
                for name in ("matmul", "dot", "einsum", "inner", "tensordot", "vdot"):
                    patch.setattr(np, name, refuse)
                patch.setattr("tinynet.functional.dense", refuse)
            found.append((run(model, x, y), bits(model)))
    assert found[0] == found[1]
    for kind in ("train", "test", "predict"):
        assert compiled(model, kind)[0] is not None


def run(model: Sequential, x: np.ndarray, y: np.ndarray) -> Any:
    """Train, evaluate and predict; return all results."""
    history = model.fit(x, y, validation_split=0.2, epochs=2, verbose=0).history
    one = model.train_on_batch(x[:10], y[:10]), model.test_on_batch(x[:10], y[:10])
    predicted = model.predict(x, verbose=0), model.predict_on_batch(x[:3]), model(x[:3])
    return (
        history,
        one,
        model.evaluate(x, y, verbose=0),
        [np.asarray(p).tobytes() for p in predicted],
    )


class Own(layers.Dense):
    """A layer that might do anything."""


class OwnModel(Sequential):
    """A model that might do anything."""

    def call(self, x: Any) -> Any:  # type: ignore[override]
        return super().call(x)


def own_model() -> Sequential:
    model = OwnModel([layers.Flatten(), layers.Dense(C, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def average_of_two() -> Any:
    """Make a model whose layers are a graph."""
    x = layers.Input(SHAPE)
    flat = layers.Flatten()(x)
    a, b = layers.Dense(7, "relu")(flat), layers.Dense(7, "tanh")(flat)
    y = layers.Dense(C, "softmax")(layers.Add()([a, layers.Average()([a, b])]))
    model = tinynet.Model(x, y)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


OTHERS: dict[str, Build] = {
    "dropout": lambda: net(layers.Dropout(0.5)),
    "another activation": lambda: net(layers.Dense(7, "tanh")),
    "no bias": lambda: net(layers.Dense(7, "relu", use_bias=False)),
    "a single linear unit": lambda: net(layers.Dense(1)),
    "a frozen layer": lambda: net(layers.Dense(7, trainable=False)),
    "a penalty": lambda: net(kernel_regularizer="l2"),
    "two penalties": lambda: net(kernel_regularizer="l1_l2", bias_regularizer="l1"),
    "a constraint": lambda: net(bias_constraint="non_neg"),
    "a norm": lambda: net(kernel_constraint="max_norm"),
    "another head": lambda: net(head="sigmoid"),
    "logits of a softmax": lambda: net(head=None),
    "a sum": lambda: net(loss=losses.SparseCategoricalCrossentropy(reduction="sum")),
    "another optimizer": lambda: net(optimizer="sgd"),
    "amsgrad": lambda: net(optimizer=optimizers.Adam(amsgrad=True)),
    "decay": lambda: net(optimizer=optimizers.AdamW()),
    "clipping": lambda: net(optimizer=optimizers.Adam(clipnorm=1.0)),
    "an average": lambda: net(optimizer=optimizers.Adam(use_ema=True)),
    "an average that overwrites": lambda: net(
        optimizer=optimizers.SGD(use_ema=True, ema_overwrite_frequency=2)
    ),
    "batch normalization": lambda: net(layers.Dense(7), layers.BatchNormalization()),
    "layer normalization": lambda: net(layers.Dense(7), layers.LayerNormalization()),
    "a graph": average_of_two,
}


@pytest.mark.wide
@pytest.mark.each_value
@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_are_compiled_too(
    name: str, sparse: bool, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    both(OTHERS[name], monkeypatch, calls, sparse)
    model = fresh(OTHERS[name])
    model.fit(*data(sparse), epochs=2, verbose=0)
    assert calls == [5, 5]
    one = fresh(OTHERS[name])
    one.fit(*data(sparse), epochs=2, verbose=0, callbacks=[Watch()])
    assert calls == [5, 5, *[1] * 10]
    assert bits(model) == bits(one)


class Watch(callbacks.Callback):
    """Look at each batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        assert np.isfinite(logs["loss"])


class Scale(layers.Layer):
    """A layer with its own `forward` and `backward`, which may fail."""

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


# What Python does between stretches of rows.
MIXED: dict[str, tuple[Build, set[str]]] = {
    "a custom layer": (
        lambda: net(layers.Dense(7, "relu"), Scale(name="scale")),
        {"scale", "scale_backward"},
    ),
    "two custom layers": (
        lambda: net(Scale(name="a"), layers.Dense(7), layers.Dropout(0.5), Scale(name="b")),
        {"a", "a_backward", "b", "b_backward"},
    ),
    "a custom optimizer": (lambda: net(layers.Dense(7), optimizer=Descent(0.01)), {"descent"}),
    "a custom penalty": (
        lambda: net(layers.Dense(7, kernel_regularizer=Cubes())),
        {"Cubes"},
    ),
    "an ignored class": (
        lambda: net(layers.Dense(7), loss=losses.SparseCategoricalCrossentropy(ignore_class=0)),
        set(),
    ),
    "noise": (lambda: net(layers.Dense(7), layers.GaussianNoise(0.1)), {"normal"}),
}


@pytest.mark.each_value
@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("name", MIXED)
def test_one_custom_instruction_leaves_the_rest_compiled(
    name: str, sparse: bool, calls: list[int]
) -> None:
    build, by_python = MIXED[name]
    found = []
    for backend in ("numpy", "numba"):
        config.set_backend(backend)
        model = fresh(build)
        history = model.fit(*data(sparse), epochs=3, verbose=0, validation_split=0.2).history
        results = model.predict(data(sparse)[0], verbose=0)
        found.append((history, model.get_weights(), results))
    assert calls == [1] * 4 * 3
    assert by_python <= {*compiled(model)[0].by_python}
    kernels = {g.call.kernel for g in compiled(model)[0].low.groups if g.call is not None}
    assert {"linear", "linear_csr"} & kernels
    for a, b in zip(*map(flattened, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["a custom layer", "two custom layers", "a custom optimizer"])
def test_threads_change_no_bit_where_python_does_a_part(name: str, calls: list[int]) -> None:
    x, y = data(sparse=False, n=1500)
    x, found = np.tile(x, (1, 7, 10)), []
    for n in (1, 2, 3):
        config.set_num_threads(n)
        model = fresh(MIXED[name][0])
        model.fit(x, y, batch_size=150, epochs=2, verbose=0)
        found.append(bits(model))
    assert calls
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_error_in_a_custom_layer_learns_nothing(where: str, calls: list[int]) -> None:
    model = fresh(MIXED["a custom layer"][0])
    x, y = data(sparse=False)
    model.fit(x, y, verbose=0)
    before, layer = bits(model), model.get_layer("scale")
    layer.fails = where
    with pytest.raises(OSError, match=where):
        model.train_on_batch(x, y)
    assert bits(model) == before
    layer.fails = None
    other = fresh(MIXED["a custom layer"][0])
    for _ in range(2):
        other.fit(x, y, verbose=0, shuffle=False)
    model = fresh(MIXED["a custom layer"][0])
    model.fit(x, y, verbose=0, shuffle=False)
    model.get_layer("scale").fails = where
    with pytest.raises(OSError, match=where):
        model.fit(x, y, verbose=0, shuffle=False)
    model.get_layer("scale").fails = None
    model.fit(x, y, verbose=0, shuffle=False)
    assert bits(model) == bits(other), "as if the step that failed had never begun"


def test_program_says_why_python_must_run_all_of_it(calls: list[int]) -> None:
    model = fresh(lambda: net(layers.Dense(7, dtype="float64")))
    history = model.fit(*data(), epochs=5, verbose=0).history["loss"]
    assert not calls
    made, why = compiled(model)
    assert made is None
    assert "float64" in why
    assert history[-1] < history[0]


def test_metric_that_python_computes_makes_steps_single(calls: list[int]) -> None:
    model = net(metrics=["sparse_top_k_categorical_accuracy"])
    model.fit(*data(), verbose=0)
    assert calls == [1] * 5
    assert compiled(model)[0].has_others


ALIKE: dict[str, Build] = {
    "a subclass of Dense": lambda: net(Own(7)),
    "a model of one's own": own_model,
    "a model in a model": lambda: net(Sequential([layers.Dense(7)])),
    "a layer that does nothing": lambda: net(layers.Dropout(0.0)),
}


@pytest.mark.parametrize("name", ALIKE)
def test_models_with_the_same_program_are_trained_alike(name: str, calls: list[int]) -> None:
    ALIKE[name]().fit(*data(), verbose=0)
    assert calls == [5]


FROZEN = [(layer, name) for layer in (0, 1) for name in ("kernel", "bias")]


@pytest.mark.parametrize(("layer", "name"), FROZEN)
def test_frozen_part_of_a_layer_stays_as_it_is(
    layer: int, name: str, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    def build() -> Sequential:
        model = net(layers.Dense(7, "relu"))
        model.build((None, *SHAPE))
        getattr(model.layers[1 + layer], name).trainable = False
        return model

    model = build()
    frozen = getattr(model.layers[1 + layer], name)
    before = [w.array.copy() for w in model.weights]
    model.fit(*data(), verbose=0)
    assert calls == [5]
    calls.clear()
    for weight, old in zip(model.weights, before, strict=True):
        assert np.array_equal(weight.array, old) is (weight is frozen)
    both(build, monkeypatch, calls, sparse=True)


@pytest.mark.parametrize("shared", [1, 2])
def test_model_whose_layer_another_model_took_is_trained(
    shared: int, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    found = []
    for together in (True, False):
        if not together:
            one_by_one(monkeypatch)
        a = fresh(lambda: net(layers.Dense(C, "relu")))
        a.fit(*data(), verbose=0)
        b = Sequential([layers.Flatten(), a.layers[1], layers.Dense(C, "softmax")])
        if shared == 2:
            b = Sequential([layers.Flatten(), layers.Dense(C, "relu"), a.layers[2]])
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


@pytest.mark.each_value
@pytest.mark.parametrize("change", ["clipnorm", "activation", "rate", "frozen"])
@pytest.mark.parametrize("epoch", [0, 1])
def test_what_a_callback_changes_counts(
    change: str, epoch: int, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    class Change(callbacks.Callback):
        """Change what the steps are made of."""

        def on_epoch_begin(self, number: int, logs: Any = None) -> None:
            if number == epoch and change == "clipnorm":
                self.model.optimizer.clipnorm = 1e-3
            elif number == epoch and change == "rate":
                self.model.optimizer.learning_rate = 0.1
            elif number == epoch and change == "frozen":
                self.model.layers[1].kernel.trainable = False
            elif number == epoch:
                self.model.layers[1].activation = tinynet.activations.tanh

    x, y = data()
    found = []
    for together in (True, False):
        if not together:
            one_by_one(monkeypatch)
        model = fresh(NETS["a hidden layer"])
        model.fit(x, y, batch_size=10, epochs=3, verbose=0, callbacks=[Change()])
        assert calls == ([15] * 3 if together else [1] * 45)
        assert compiled(model)[0] is not None
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


WEIGHTED: list[dict[str, Any]] = [
    {"class_weight": {0: 2.0}},
    {"sample_weight": np.linspace(0, 2, N)},
    {"sample_weight": np.arange(N) % 2},
]


@pytest.mark.each_value
@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("k", range(len(WEIGHTED)))
def test_weighted_examples_are_compiled_too(
    k: int, sparse: bool, monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    both(net, monkeypatch, calls, sparse, **WEIGHTED[k])
    net().fit(*data(sparse), verbose=0, **WEIGHTED[k])
    assert calls == [5]


def nested(head: Any = "softmax") -> Sequential:
    model = Sequential([layers.Dense(7), layers.Flatten(), layers.Dense(C, head)])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_inputs_with_several_rows_are_compiled_too(
    monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    both(nested, monkeypatch, calls, sparse=False)
    nested().fit(*data(sparse=False), verbose=0)
    assert calls == [5]


def test_dict_of_inputs_is_compiled_too(monkeypatch: pytest.MonkeyPatch, calls: list[int]) -> None:
    x, y = data(sparse=False)
    given, found = {"a": x[:, 0], "b": x[:, 1:]}, []
    for together in (True, False):
        if not together:
            one_by_one(monkeypatch)
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
        calls.clear()
        found.append((bits(model), history))
    assert found[0] == found[1]


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
        model: Any = fresh(NETS["a hidden layer"])
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
