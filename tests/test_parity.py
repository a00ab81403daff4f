"""Parity with Keras on TensorFlow: the same weights and batches give the same results.

Every program is written once, as a function of ``k``, and runs with ``k = keras`` and with
``k = tinynet``. `compare` derives the tolerances.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")

import tinynet
from reference import keras_net
from reference.weights import get_optimizer_state, set_optimizer_state
from tests import RandomNumbers, compare, mostly_slow, mostly_wide, newer_keras
from tests.compare import EPS, Step, assert_all_within, assert_within, bounds

pytestmark = pytest.mark.thread_unsafe(reason="Keras is not thread-safe")
keras = keras_net.keras
SCCE = "sparse_categorical_crossentropy"
SLOW, WIDE = pytest.mark.slow, pytest.mark.wide


def features(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Draw pixel-like inputs: values in [0, 1], mostly zeros."""
    return (rng.random(shape) * (rng.random(shape) < 0.4)).astype(np.float32)


def program(k: Any, make: Callable[[Any], list[Any]], loss: Any = SCCE, x: Any = None) -> Any:
    """Build and compile a model like a user's program."""
    model = k.Sequential(make(k.layers))
    options = {"jit_compile": False} if k is keras else {}
    model.compile("adam", loss(k) if callable(loss) else loss, metrics=["accuracy"], **options)
    if x is not None:
        model(x[:1])
        model.optimizer.build(model.trainable_variables)
    return model


def twins(*args: Any) -> tuple[Any, Any]:
    keras.utils.set_random_seed(1)
    theirs = program(keras, *args)
    ours = program(tinynet, *args)
    ours.set_weights([w.numpy() for w in theirs.weights])
    return theirs, ours


def from_logits(k: Any) -> Any:
    return k.losses.SparseCategoricalCrossentropy(from_logits=True)


# The same network with each way to specify the output layer, and the MNIST network.
NETS: dict[str, tuple[tuple[int, ...], Callable[[Any], list[Any]], Any]] = {
    "softmax": ((12,), lambda L: [L.Input((12,)), L.Dense(7, "relu"), L.Dense(3, "softmax")], SCCE),
    "softmax layer": (
        (12,),
        lambda L: [L.Input((12,)), L.Dense(7, "relu"), L.Dense(3), L.Softmax()],
        lambda k: k.losses.SparseCategoricalCrossentropy(),
    ),
    "activation layer": (
        (12,),
        lambda L: [L.Dense(7), L.ReLU(), L.Dense(3), L.Activation("softmax")],
        lambda k: k.losses.sparse_categorical_crossentropy,
    ),
    "softmax, then linear": (
        (12,),
        lambda L: [L.Dense(7, "relu"), L.Dense(3, "softmax"), L.Activation("linear")],
        SCCE,
    ),
    "logits": (
        (12,),
        lambda L: [L.Input((12,)), L.Dense(7), L.Activation("relu"), L.Dense(3)],
        from_logits,
    ),
    "lazily built": (
        (4, 3),
        lambda L: [L.Flatten(), L.Dense(7, activation="relu"), L.Dense(3, activation="softmax")],
        SCCE,
    ),
    "images": (
        (28, 28),
        lambda L: [L.Input((28, 28)), L.Flatten(), L.Dense(128, "relu"), L.Dense(10, "softmax")],
        SCCE,
    ),
}


@newer_keras
@pytest.mark.parametrize(
    "name", [*mostly_slow([n for n in NETS if n != "images"], "softmax"), *mostly_wide(["images"])]
)
def test_forward_loss_gradients_and_steps(name: str, rng: np.random.Generator) -> None:
    shape, make, loss = NETS[name]
    n = 32 if name == "images" else 6
    x = features(rng, 8, n, *shape)
    y = rng.integers(0, 10 if name == "images" else 3, (8, n))
    sample_weight = rng.uniform(0, 3, n).astype(np.float32)
    theirs, ours = twins(make, loss, x[0])
    start = [w.numpy() for w in theirs.weights]
    output = keras_net.forward(theirs, x[0])
    logits = name == "logits"
    off = bounds(start, x[0], y[0]).output.max()
    # The bound of a probability p is p * (2 * dz + rounding errors), where dz is the bound of the
    # logits. The largest p is about 0.4, so the bound is about dz.
    room = 1 + np.abs(output) if logits else 1
    assert_within(ours(x[0]), output, room * off, "output")
    assert_within(ours.predict(x[0], verbose=0), output, room * off, "predict")

    for weights in (None, sample_weight):
        rounding = bounds(start, x[0], y[0], weights)
        their_loss, expected = keras_net.loss_and_gradients(theirs, x[0], y[0], weights)
        our_loss, found, _ = compare.gradients(ours, x[0], y[0], weights)
        assert_within(our_loss, their_loss, rounding.loss, "loss")
        for i, (a, b, c) in enumerate(zip(found, expected, rounding.gradients, strict=True)):
            assert_within(a, b, c, f"gradient {i}")

    batches = [(x[i % 8], y[i % 8]) for i in range(200)]
    steps = keras_net.train_steps(theirs, batches)
    allowed = compare.run_bounds(start, batches, steps.keys())
    for number, batch in enumerate(batches, 1):
        our_loss, _ = ours.train_on_batch(*batch)
        if number in steps:
            actual = Step(our_loss, ours.get_weights(), compare.optimizer_state(ours))
            expected = Step(*steps[number])
            assert_all_within(compare.compare_step(actual, expected, number, allowed[number]))
            assert our_loss == pytest.approx(steps[number].loss, abs=1e-4)


# ------------------------------------------------------------ other output layers

EDGE_CASES = {
    "from_logits on a softmax": ([("softmax", 3)], from_logits),
    "sigmoid": ([("sigmoid", 3)], SCCE),
    "softmax in a hidden layer": ([("softmax", 3), ("tanh", 4), ("softmax", 3)], SCCE),
    "ignored class": (
        [("softmax", 3)],
        lambda k: k.losses.SparseCategoricalCrossentropy(ignore_class=1),
    ),
    "sum": ([("softmax", 3)], lambda k: k.losses.SparseCategoricalCrossentropy(reduction="sum")),
}


@pytest.mark.each_value
@pytest.mark.parametrize("name", EDGE_CASES)
@pytest.mark.parametrize("scale", [1, 60], ids=["plain", "saturated"])
def test_other_output_layers(name: str, scale: float, rng: np.random.Generator) -> None:
    ends, loss = EDGE_CASES[name]
    x, y = features(rng, 6, 12), rng.integers(0, 3, 6)
    theirs, ours = twins(
        lambda L: [L.Input((12,)), *(L.Dense(units, activation=a) for a, units in ends)], loss
    )
    for model in (theirs, ours):
        first, *rest = model.get_weights()
        model.set_weights([scale * first, *rest])
    with warnings.catch_warnings():  # both libraries warn about from_logits
        warnings.simplefilter("ignore")
        their_loss, expected = keras_net.loss_and_gradients(theirs, x, y)
        our_loss, found, _ = compare.gradients(ours, x, y)
    # The pre-activations of the first layer have an error of at most 2 * eps * sqrt(12) *
    # sum(|terms|), which is proportional to `scale`. Later layers do not amplify it. The loss could
    # amplify it by 1 / 1e-7, but the gradient of clipped probabilities is 0.
    atol = 2 * EPS * np.sqrt(12) * 4 * scale
    assert our_loss == pytest.approx(their_loss, rel=atol, abs=atol)
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        largest = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a, b, rtol=0, atol=atol * largest, err_msg=f"gradient {i}")


# ------------------------------------------------------------ epochs


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any, list[np.ndarray]]:
    """Return both networks and the initial weights; shared, so that Keras traces only once."""
    keras.utils.set_random_seed(1)
    _, make, loss = NETS["softmax"]
    theirs = program(keras, make, loss)
    theirs.optimizer.build(theirs.trainable_variables)
    ours = program(tinynet, make, loss)
    return theirs, ours, theirs.get_weights()


RNG = RandomNumbers(7)
X, Y = features(RNG, 53, 12), RNG.integers(0, 3, 53)
WEIGHT = RNG.uniform(0.1, 3, 53).astype(np.float32)
# 53 rows give six batches of 8 and a final partial batch of 5; with 11 validation rows, five
# batches of 8 and one of 2.
FITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "validation_split": {"epochs": 3, "validation_split": 0.2},
    "initial_epoch": {"epochs": 5, "initial_epoch": 3, "validation_split": 0.5},
    "sample_weight": {"sample_weight": WEIGHT, "validation_split": 0.2},
    "class_weight": {"class_weight": {0: 1.0, 1: 2.5}, "validation_split": 0.2},
    "validation_data": {"validation_data": (X[:10], Y[:10])},
    "weighted validation_data": {"validation_data": (X[:10], Y[:10], WEIGHT[:10])},
    "both": {"validation_data": (X[:10], Y[:10]), "validation_split": 0.2},
    "no epochs": {"epochs": 0},
}
DATA: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "float64": lambda x, y: (x.astype(np.float64), y),
    "uint8": lambda x, y: ((x * 9).astype(np.uint8), y.astype(np.uint8)),
    "labels in a column": lambda x, y: (x, y[:, None]),
    "float labels": lambda x, y: (x, y.astype(np.float32)),
}
MARKS: dict[str, Any] = {"validation_split": ()}
MARKS |= dict.fromkeys(("class_weight", "weighted validation_data", "uint8"), WIDE)
RUNS = [pytest.param(name, marks=MARKS.get(name, SLOW)) for name in (*FITS, *DATA)]


@pytest.mark.parametrize("name", RUNS)
def test_epochs(pair: Any, name: str) -> None:
    theirs, ours, start = pair
    options = FITS.get(name, {})
    x, y = DATA[name](X, Y) if name in DATA else (X, Y)
    if y.ndim == 2:  # Keras cannot switch between (N,) and (N, 1) after tracing
        theirs = program(keras, *NETS["softmax"][1:])
        theirs.optimizer.build(theirs.trainable_variables)
    theirs.set_weights(start)
    zeros = [np.zeros_like(array) for array in get_optimizer_state(theirs.optimizer)]
    set_optimizer_state(theirs.optimizer, zeros)
    ours.set_weights(start)
    ours.compile("adam", SCCE, metrics=["accuracy"])
    fit = {"batch_size": 8, "shuffle": False, **options}
    expected = keras_net.fit_epoch(theirs, x, y, **fit)
    history = ours.fit(x, y, verbose=0, **fit)
    assert list(history.history) == list(expected)
    assert history.epoch == theirs.history.epoch
    assert history.params == theirs.history.params
    for key, values in expected.items():
        # At most 21 steps, after which the weights differ by less than 1e-5 (`run_bounds`).
        np.testing.assert_allclose(history.history[key], values, rtol=0, atol=1e-5, err_msg=key)
    for ours_w, theirs_w in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(ours_w, theirs_w, rtol=0, atol=1e-5)
    if "epochs" not in options:
        asked = {"batch_size": 10, "verbose": 0, "return_dict": True}
        both = [model.evaluate(x, y, **asked) for model in (theirs, ours)]
        assert list(both[0]) == list(both[1])
        np.testing.assert_allclose(list(both[0].values()), list(both[1].values()), atol=1e-5)


RETURNS = [
    lambda m: m.evaluate(X, Y, verbose=0),
    lambda m: m.evaluate(X, Y, verbose=0, sample_weight=WEIGHT),
    lambda m: m.test_on_batch(X, Y),
    lambda m: m.test_on_batch(X, Y, WEIGHT, return_dict=True),
    lambda m: m.train_on_batch(X, Y, sample_weight=WEIGHT),
    lambda m: m.train_on_batch(X, Y, class_weight={1: 2.0}, return_dict=True),
    lambda m: m.evaluate(X, Y, verbose=0, return_dict=True),
]


@newer_keras
@pytest.mark.parametrize(
    ("metrics", "weighted"),
    [
        (None, None),
        pytest.param(["acc", "accuracy"], None, marks=pytest.mark.slow),
        pytest.param(["acc"], ["acc"], marks=pytest.mark.slow),
    ],
)
def test_return_values(metrics: Any, weighted: Any) -> None:
    keras.utils.set_random_seed(1)
    theirs, ours = (k.Sequential(NETS["softmax"][1](k.layers)) for k in (keras, tinynet))
    ours.set_weights(theirs.get_weights())
    for model in (theirs, ours):
        model.compile("adam", SCCE, metrics=metrics, weighted_metrics=weighted, jit_compile=False)
    for i, call in enumerate(RETURNS):
        expected, actual = call(theirs), call(ours)
        if isinstance(expected, dict):
            assert list(actual) == list(expected), i
            expected, actual = list(expected.values()), list(actual.values())
        elif weighted:  # Keras 3.15 lists every metric twice
            continue
        assert np.shape(actual) == np.shape(expected), i
        assert {type(a) for a in np.atleast_1d(np.array(actual, object))} == {float}
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5, err_msg=str(i))


# ------------------------------------------------------------ digits


def train_both(data: Any, seeds: Any, epochs: int) -> Any:
    """Train both networks on digits from the same weights and in the same order of examples.

    The order is drawn here: with a seed, Keras 3.15 on TensorFlow repeats one order in every epoch.
    Return the test accuracies of both networks.
    """
    (x, y), (x_test, y_test) = data
    _, make, loss = NETS["images"]
    accuracies: dict[Any, list[float]] = {tinynet: [], keras: []}
    for seed in seeds:
        weights = None
        for k, found in accuracies.items():
            k.utils.set_random_seed(seed)
            model = program(k, make, loss)
            weights = model.get_weights() if weights is None else weights
            model.set_weights(weights)
            rng = np.random.default_rng(seed)
            for _ in range(epochs):
                order = rng.permutation(len(x))
                model.fit(x[order], y[order], shuffle=False, verbose=0)
            found.append(model.evaluate(x_test, y_test, verbose=0)[1])
    return np.array(accuracies[tinynet]), np.array(accuracies[keras])


@pytest.mark.slow
def test_five_epochs_of_synthetic_digits(digits: Any) -> None:
    ours, theirs = train_both(digits, seeds=(0,), epochs=5)
    assert ours.min() >= 0.97
    assert np.abs(ours - theirs).max() <= 0.004


@pytest.mark.slow
def test_five_epochs_of_mnist(mnist: Any) -> None:
    ours, theirs = train_both(mnist, seeds=(0, 1, 2), epochs=5)
    assert ours.min() >= 0.97
    # The initial weights and the order are the same, but rounding errors grow over 9,375 steps, so
    # the networks can be treated as independent. About 230 of 10,000 images are misclassified, with
    # a standard deviation of sqrt(230) = 15: 0.15 percentage points, or 0.09 for a mean of three.
    assert np.abs(ours - theirs).max() <= 0.004
    assert abs(ours.mean() - theirs.mean()) <= 0.002
