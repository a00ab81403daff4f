"""Optimizers, schedules, layers, regularizers and constraints compared with Keras on TensorFlow.

Each new class needs a row in one of the tables. `test_keras_features` tests activations, losses and
metrics.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")

import tinynet
from reference import keras_net
from tests import RandomNumbers
from tests.compare import EPS, assert_all_within, assert_within
from tests.parity.cases import (
    COMPOSED,
    LAYERS,
    MERGING,
    OPTIMIZERS,
    Case,
    inputs_of,
    label,
    make_layer,
    of,
    optimizer_case,
)

keras, tf = keras_net.keras, keras_net.tf
LIBRARIES = (keras, tinynet)
RNG = RandomNumbers(12)
#: Keras runs eagerly, as tracing takes seconds for each small model.
EAGER: dict[Any, dict[str, Any]] = {keras: {"run_eagerly": True}, tinynet: {}}


def ids(row: tuple[Any, ...]) -> str:
    name, options = row[:2]
    return name if "function" in options else f"{name} {options}"


def classes_of(module: Any, base: type) -> set[str]:
    """Return the names of the subclasses of `base` in a module."""
    found = {name: c for name, c in vars(module).items() if isinstance(c, type)}
    return {name for name, c in found.items() if issubclass(c, base) and c is not base}


def draw(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


# ------------------------------------------------------------ optimizers

SCHEDULES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("ExponentialDecay", (0.1, 4, 0.5), {}),
    ("ExponentialDecay", (0.1, 4, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 4, 0.5), {}),
    ("InverseTimeDecay", (0.1, 4, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([2, 5], [0.1, 0.05, 0.01]), {}),
    ("PiecewiseConstantDecay", ([2, 2], [0.1, 0.05, 0.01]), {}),
    ("PolynomialDecay", (0.1, 6), {}),
    ("PolynomialDecay", (0.1, 6), {"end_learning_rate": 0.02, "power": 2.0}),
    ("PolynomialDecay", (0.1, 3), {"cycle": True}),
    ("CosineDecay", (0.1, 6), {}),
    ("CosineDecay", (0.1, 6), {"alpha": 0.2}),
    ("CosineDecay", (0.0, 6), {"warmup_target": 0.1, "warmup_steps": 3}),
]


@pytest.mark.parametrize("case", of("optimizers"), ids=label)
def test_optimizers(case: Case) -> None:
    assert_all_within(case.compare(case.run(tinynet), case.run(keras)))


def test_tables_cover_optimizers_and_schedules() -> None:
    optimizers, schedules = tinynet.optimizers, tinynet.optimizers.schedules
    assert {name for name, _ in OPTIMIZERS} == classes_of(optimizers, optimizers.Optimizer)
    of_schedules = classes_of(schedules, schedules.LearningRateSchedule)
    assert {row[0] for row in SCHEDULES} == of_schedules


@pytest.mark.parametrize("row", SCHEDULES, ids=ids)
def test_schedules(row: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
    name, arguments, options = row
    theirs, ours = (getattr(k.optimizers.schedules, name)(*arguments, **options) for k in LIBRARIES)
    for step in (0, 1, 2, 3, 4, 5, 6, 7, 13):
        # The schedules perform a few operations on values of at most 0.1, the initial rate, and on
        # fractions between 0 and 1.
        assert float(ours(step)) == pytest.approx(float(theirs(step)), rel=0, abs=8 * EPS * 0.1)

    def make(k: Any) -> Any:
        return k.optimizers.SGD(getattr(k.optimizers.schedules, name)(*arguments, **options))

    case = optimizer_case("SGD", {"learning_rate": f"{name} {options}"}, make, steps=6)
    assert_all_within(case.compare(case.run(tinynet), case.run(keras)))


# ------------------------------------------------------------ layers


def test_table_covers_every_layer() -> None:
    elsewhere = {"Sequential"}
    classes = classes_of(tinynet.layers, tinynet.layers.Layer)
    assert {name for name, *_ in (*LAYERS, *MERGING)} == classes - elsewhere


@pytest.mark.parametrize("case", of("layers"), ids=label)
def test_layers(case: Case) -> None:
    assert_all_within(case.compare(case.run(tinynet), case.run(keras)))


def plain(config: Any) -> Any:
    return json.loads(json.dumps(config))


@pytest.mark.parametrize("row", COMPOSED, ids=ids)
def test_composed_layers_match_keras(row: Any, tmp_path: Any) -> None:
    name, _, shape = row
    x, y = inputs_of(row, RNG), draw(shape[0], 2)
    if name == "Embedding":
        x = x.astype(np.int64)
    nets = []
    for k in LIBRARIES:
        k.backend.clear_session()
        end = [k.layers.Flatten(), k.layers.Dense(2, "tanh")]
        net = k.Sequential([k.Input(shape[1:]), make_layer(k, row), *end])
        # With this epsilon, a gradient near zero results in a small step; with the default, 1e-7,
        # the rounding error of the gradient may determine the sign of a full step.
        net.compile(k.optimizers.Adam(0.01, epsilon=1e-3), "mse", **EAGER[k])
        nets.append(net)
    theirs, ours = nets
    configs = [plain(net.layers[0].get_config()) for net in nets]
    if name == "TimeDistributed":
        inner = [config.pop("layer") for config in configs]
        assert inner[1]["class_name"] == inner[0]["class_name"]
        assert inner[1]["config"]["name"] == inner[0]["config"]["name"]
    assert configs[1] == configs[0]
    kinds = [[(w.name, w.dtype) for w in net.weights] for net in nets]
    assert kinds[1] == kinds[0]
    ours.set_weights(theirs.get_weights())
    for _ in range(8):
        losses = [float(net.train_on_batch(x, y)) for net in nets]
        assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)
    if name == "Normalization" and ours.layers[0].weights:
        for net in nets:
            net.layers[0].adapt(x)
    for first, library in ((theirs, tinynet), (ours, keras)):
        first.save(tmp_path / "net.keras")
        loaded = library.models.load_model(tmp_path / "net.keras")
        assert all(map(np.array_equal, loaded.get_weights(), first.get_weights()))
        predicted = [net.predict(x, verbose=0) for net in (first, loaded)]
        np.testing.assert_allclose(predicted[1], predicted[0], rtol=0, atol=2e-6)
        read, written = (net.layers[0].get_config() for net in (loaded, first))
        assert name == "TimeDistributed" or plain(read) == plain(written)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("SGD", {"momentum": 0.9}),
        ("Adam", {}),
        ("Adam", {"amsgrad": True}),
        ("Adam", {"gradient_accumulation_steps": 2}),
        ("AdamW", {}),
        ("Nadam", {}),
        ("RMSprop", {}),
        ("RMSprop", {"momentum": 0.5, "centered": True, "epsilon": 1e-3}),
        ("Adagrad", {}),
        ("Lion", {}),
        ("Adam", {"clipnorm": 0.1}),
        ("RMSprop", {"global_clipnorm": 0.1}),
        ("SGD", {"clipnorm": 0.1}),
        ("Adagrad", {"global_clipnorm": 100.0}),
    ],
)
@pytest.mark.parametrize("penalty", [0.0, 0.01])
def test_repeated_embedding_rows_match_keras(
    optimizer: str, options: dict[str, Any], penalty: float
) -> None:
    # The data is fixed: with some other data, Keras' centered RMSprop raises InvalidArgumentError,
    # and errors of Nadam exceed the tolerance below.
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state
    a, b, y = RNG.integers(0, 4, (8, 3)), RNG.integers(0, 6, (8, 3)), draw(8, 3, 2)
    start = draw(6, 2)
    ends = []
    for k, tape_of in ((keras, tf.GradientTape), (tinynet, tinynet.GradientTape)):
        layer = k.layers.Embedding(6, 2)
        layer.build((None, 3))
        layer.set_weights([start])
        made = getattr(k.optimizers, optimizer)(0.05, **options)
        for _ in range(6):
            with tape_of() as tape:
                other = k.ops.take(layer.embeddings, b, axis=0)
                loss = k.ops.mean(k.ops.square(k.ops.tanh(layer(a)) * other - y))
                if penalty:
                    loss = loss + penalty * k.ops.sum(k.ops.square(layer.embeddings))
            gradients = tape.gradient(loss, layer.trainable_variables)
            made.apply_gradients(zip(gradients, layer.trainable_variables, strict=True))
        ends.append(layer.get_weights()[0])
    # Six steps of up to 0.05 with a few rounding errors each; for Nadam, half the relative
    # difference between float32(1 - 0.999) and 1 - float32(0.999), 5e-5.
    off = 5e-5 / 2 if optimizer == "Nadam" else 64 * EPS
    np.testing.assert_allclose(ends[1], ends[0], rtol=0, atol=6 * 0.05 * 2 * off)


# ------------------------------------------------------------ regularizers and constraints

REGULARIZERS: list[tuple[str, dict[str, Any]]] = [
    ("L1", {}),
    ("L1", {"l1": 0.3}),
    ("L2", {}),
    ("L2", {"l2": 0.3}),
    ("L1L2", {"l1": 0.1, "l2": 0.2}),
]
CONSTRAINTS: list[tuple[str, dict[str, Any]]] = [
    ("NonNeg", {}),
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.5, "axis": 1}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 0.7, "rate": 0.5, "axis": 1}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": 1}),
]


@pytest.mark.parametrize("row", REGULARIZERS, ids=ids)
def test_regularizers(row: tuple[str, dict[str, Any]]) -> None:
    name, options = row
    theirs, ours = (getattr(k.regularizers, name)(**options) for k in LIBRARIES)
    w = draw(4, 3)
    w[0, 0] = 0
    given = tf.constant(w)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = theirs(given)
    assert float(ours(w)) == pytest.approx(float(value), rel=8 * EPS)
    assert_within(ours.gradient(w), tape.gradient(value, given).numpy(), 4 * EPS, "gradient")
    for short in (name, name.lower()):
        assert type(tinynet.regularizers.get(short)).__name__ == name
    assert ours.get_config() == pytest.approx(theirs.get_config(), rel=EPS)


@pytest.mark.parametrize("row", CONSTRAINTS, ids=ids)
def test_constraints(row: tuple[str, dict[str, Any]]) -> None:
    name, options = row
    theirs, ours = (getattr(k.constraints, name)(**options) for k in LIBRARIES)
    for w in (draw(4, 3), 0.1 * draw(4, 3), 5 * draw(4, 3)):
        # The constraint computes the square root of a sum of four squares, and divides by it.
        expected = theirs(tf.constant(w)).numpy()
        assert_within(ours(w), expected, 8 * EPS * (1 + np.abs(expected)), name)
    assert ours.get_config() == theirs.get_config()


def test_constrained_regularized_net_matches_keras() -> None:
    x, y = draw(16, 4), RNG.integers(0, 3, 16)
    start = [np.abs(draw(*shape)) for shape in ((4, 5), (5,), (5, 3), (3,))]
    figures, ends = [], []
    for k in LIBRARIES:
        penalties = {"kernel_regularizer": "l2", "bias_regularizer": k.regularizers.L1(0.01)}
        limits = {"kernel_constraint": "max_norm", "bias_constraint": k.constraints.NonNeg()}
        hidden = k.layers.Dense(5, "relu", **penalties, **limits)
        output = k.layers.Dense(3, kernel_constraint="unit_norm")
        net = k.Sequential([k.Input((4,)), hidden, output])
        net.set_weights(start)
        loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(k.optimizers.SGD(0.1), loss, **EAGER[k])
        figures.append([float(net.train_on_batch(x, y)) for _ in range(5)])
        ends.append(net.get_weights())
    # Five steps, each a tenth of a gradient, which is a sum of 16 terms of a few units.
    atol = 5 * 2 * EPS * np.sqrt(16) * 4
    assert figures[1] == pytest.approx(figures[0], rel=0, abs=atol)
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=atol)


# ------------------------------------------------------------ optimizer state in files


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Nadam", {}),
        ("Adam", {"gradient_accumulation_steps": 2}),
        ("AdamW", {"use_ema": True}),
        ("Adamax", {"use_ema": True}),
        ("Adadelta", {"gradient_accumulation_steps": 2}),
        ("Ftrl", {"l1_regularization_strength": 0.001}),
        ("Lion", {}),
    ],
)
def test_training_continues_in_other_library(
    name: str, options: dict[str, Any], tmp_path: Any
) -> None:
    x, y = draw(16, 4), RNG.integers(0, 3, 16)
    for first, second in (LIBRARIES, LIBRARIES[::-1]):
        net = first.Sequential([first.Input((4,)), first.layers.Dense(3, "softmax")])
        optimizer = getattr(first.optimizers, name)(0.01, **options)
        net.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
        for _ in range(5):
            net.train_on_batch(x, y)
        net.save(tmp_path / "net.keras")
        other = second.models.load_model(tmp_path / "net.keras")
        for a, b in zip(other.optimizer.variables, net.optimizer.variables, strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
        for _ in range(2):
            net.train_on_batch(x, y)
            other.train_on_batch(x, y)
        for a, b in zip(other.get_weights(), net.get_weights(), strict=True):
            # Two steps of at most the learning rate, with gradients that are sums of 16 terms; if
            # the gradients are close to zero, a step contains their full rounding error.
            np.testing.assert_allclose(a, b, rtol=0, atol=2 * 0.01 * 64 * EPS)
        assert int(other.optimizer.iterations) == int(net.optimizer.iterations)


# ------------------------------------------------------------ epochs


def batches_of(k: Any, n: int, size: int) -> Any:
    """Create a PyDataset with n rows in batches of the given size."""
    rows = np.arange(n, dtype=np.float32)[:, None]

    class Batches(k.utils.PyDataset):
        def __len__(self) -> int:
            return -(-n // size)

        def __getitem__(self, index: int) -> Any:
            part = rows[size * index : size * (index + 1)]
            return part, 0 * part

    return Batches()


def run_epochs(k: Any, case: dict[str, Any]) -> Any:
    """Return the losses of epochs and validations, which identify the batches."""
    model = k.Sequential([k.Input((1,)), k.layers.Dense(1, kernel_initializer="ones")])
    model.compile(k.optimizers.SGD(0.0), "mae", run_eagerly=True)
    n, size = case["n"], case["batch_size"]
    rows = np.arange(n, dtype=np.float32)[:, None]
    options = {name: case[name] for name in ("epochs", "steps_per_epoch", "validation_steps")}
    if case["dataset"]:
        data: dict[str, Any] = {"x": batches_of(k, n, size or 3)}
        validation = batches_of(k, n + 2, 2)
    else:
        data = {"x": rows, "y": 0 * rows, "batch_size": size}
        validation = rows + 5, 0 * rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options |= {"validation_data": validation, "shuffle": False}
        history = model.fit(**data, **options, verbose=0).history
        evaluated = model.evaluate(**data, steps=case["steps"], verbose=0)
        data.pop("y", None)
        predicted = model.predict(**data, steps=case["steps"], verbose=0)
    return [history["loss"], history["val_loss"], [evaluated], predicted.ravel()]


def test_random_epochs_match_keras_batches() -> None:
    seed = int(np.random.default_rng().integers(2**32))
    print("seed", seed)  # printed if the test fails
    rng = np.random.default_rng(seed)
    for _ in range(3):
        case: dict[str, Any] = {
            "n": int(rng.integers(1, 21)),
            "batch_size": None if rng.random() < 0.3 else int(rng.integers(1, 8)),
            "dataset": rng.random() < 0.4,
            "epochs": int(rng.integers(1, 5)),
        }
        for name in ("steps_per_epoch", "validation_steps", "steps"):
            case[name] = None if rng.random() < 0.3 else int(rng.integers(1, 9))
        print(case)
        ours, theirs = run_epochs(tinynet, case), run_epochs(keras, case)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)  # float32 means


# ------------------------------------------------------------ data and compile arguments


def as_table(values: np.ndarray) -> Any:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(values.reshape(len(values), -1), index=range(9, 9 + len(values)))
    return table if values.ndim > 1 else table[0]


def as_dataset(x: Any, y: Any, w: Any) -> tuple[Any, None, None]:
    return tf.data.Dataset.from_tensor_slices((x, y, w)).batch(8), None, None


FORMS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "lists": (lambda x, y, w: ([x], [y], [w]), {}),
    "tuples": (lambda x, y, w: ((x,), (y,), (w,)), {}),
    "dict of inputs": (lambda x, y, w: ({"feats": x}, y, w), {}),
    "dict with an unused key": (lambda x, y, w: ({"feats": x, "other": x}, y, w), {}),
    "one more axis": (lambda x, y, w: (x[..., None], y, w), {}),
    "targets of one axis": (lambda x, y, w: (x, y[:, 0], w), {}),
    "tables": (lambda x, y, w: (as_table(x), as_table(y), as_table(w)), {}),
    "tensors": (lambda *data: tuple(map(tf.constant, data)), {}),
    "tf.data": (as_dataset, {}),
    "tf.data of dicts": (lambda x, y, w: as_dataset({"feats": x}, y, w), {}),
    "loss in a list": (lambda *data: data, {"loss": ["mse"], "loss_weights": [2.0]}),
    "loss by name": (lambda *data: data, {"loss": {"out": "mse"}, "loss_weights": {"out": 0.5}}),
    "metrics in lists": (lambda *data: data, {"metrics": [["mae"], ("mse",)]}),
    "metrics by name": (lambda *data: data, {"metrics": {"out": ["mae", "mse"]}}),
    "weighted metrics by name": (
        lambda *data: data,
        {"metrics": {"out": "mae"}, "weighted_metrics": {"out": ["mae"]}},
    ),
}


@pytest.mark.filterwarnings(
    "ignore:The structure of `inputs`", "ignore:.*`shuffle=True` was passed"
)
@pytest.mark.parametrize("name", FORMS)
def test_data_and_compile_forms_match_keras(name: str) -> None:
    convert, options = FORMS[name]
    x, y, w = draw(24, 4), draw(24, 1), np.linspace(0.5, 1.5, 24).astype(np.float32)
    kernel, found = draw(4, 1), []
    for k in LIBRARIES:
        entry = k.Input((4,), name="feats")
        model = k.Model(entry, k.layers.Dense(1, name="out")(entry))
        model.set_weights([kernel, np.zeros(1)])
        model.compile(k.optimizers.SGD(0.05), **{"loss": "mse", **options})
        data = dict(zip(("x", "y", "sample_weight"), convert(x, y, w), strict=True))
        history = model.fit(**data, batch_size=8, epochs=2, shuffle=False, verbose=0).history
        tested = model.evaluate(**data, batch_size=8, verbose=0, return_dict=True)
        predicted = model.predict(data["x"], batch_size=8, verbose=0)
        found.append((history, tested, predicted, model.get_weights()[0]))
    (history, tested, *arrays), (own_history, own_tested, *own_arrays) = found
    assert own_history.keys() == history.keys()
    assert own_tested.keys() == tested.keys()
    for key, values in history.items():
        # Float32 sums of 24 terms in a different order, over 6 steps.
        np.testing.assert_allclose(own_history[key], values, rtol=1e-5)
        np.testing.assert_allclose(own_tested[key], tested[key], rtol=1e-5)
    for array, own in zip(arrays, own_arrays, strict=True):
        np.testing.assert_allclose(own, array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["fit", "predict", "evaluate", "call"])
@pytest.mark.parametrize(
    ("shape", "given"),
    [
        ((28, 28, 1), (6, 28, 28)),
        ((28, 28), (6, 28, 28, 1)),
        ((1,), (6,)),
        ((), (6, 1)),
        ((4,), (6, 4, 1)),
        ((1,), (6, 1, 1)),
        ((1, 1), (6, 1)),
        # tinynet rejects the same input as Keras.
        ((784,), (6, 28, 28)),
        ((28, 28), (6, 784)),
        ((28, 28, 3), (6, 28, 28)),
        ((4,), (4,)),
        ((1,), (1, 6)),
        ((1, 1), (6,)),
    ],
)
def test_input_ranks(shape: tuple[int, ...], given: tuple[int, ...], method: str) -> None:
    found: list[Any] = []
    for k in LIBRARIES:
        model = k.Sequential([k.Input(shape), k.layers.Flatten(), k.layers.Dense(2)])
        model.compile("sgd", "mse")
        x, y = np.ones(given, np.float32), np.ones((given[0], 2), np.float32)
        try:
            data = (x, y) if method in ("fit", "evaluate") else (x,)
            answer = model(x) if method == "call" else getattr(model, method)(*data, verbose=0)
            found.append(tuple(answer.shape) if len(data) == 1 else "computed")
        except ValueError:
            found.append("refused")
    assert found[0] == found[1]
