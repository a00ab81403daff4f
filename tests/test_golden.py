"""Compare with recorded Keras results, so that Keras does not have to be installed.

`reference/README.md` documents the files and how they are generated.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference
import tinynet
from tests import compare
from tests.compare import EPS, Arrays, Bounds, Step, assert_same_step, assert_within, bounds
from tests.internals import registry
from tinynet import Variable, activations, config, initializers, layers, losses, optimizers

FOLDER = Path(reference.__file__).parent / "golden"
SIZES = (12, 7, 5, 3)


@pytest.fixture(autouse=True, params=config.BACKENDS)
def _both_backends(request: pytest.FixtureRequest):
    if request.param == "numba":
        pytest.importorskip("numba")
    config.set_backend(request.param)


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as archive:
        return dict(archive)


def report(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def numbered(named: dict[str, np.ndarray], prefix: str) -> Arrays:
    count = sum(name.removeprefix(prefix).isdigit() for name in named if name.startswith(prefix))
    return [named[f"{prefix}{i}"] for i in range(count)]


def small_net(weights: Arrays, optimizer: Any = "adam") -> tinynet.Sequential:
    first, *hidden, last = SIZES
    rows = [*(layers.Dense(n, "relu") for n in hidden), layers.Dense(last, "softmax")]
    model = tinynet.Sequential([layers.Input((first,)), *rows])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.set_weights(weights)
    return model


# ------------------------------------------------------------ steps of the small network


def largest_bounds(weights: Arrays, batches: list[tuple[Any, ...]]) -> Bounds:
    """Return the elementwise maximum of the bounds over batches."""
    each = [bounds(weights, *batch) for batch in batches]
    return Bounds(
        np.max([b.output for b in each], axis=0),
        max(b.loss for b in each),
        [np.max(column, axis=0) for column in zip(*(b.gradients for b in each), strict=True)],
    )


def check_small_net_steps(optimizer: Any = "adam") -> None:
    """Repeat the training of the golden file; compare after 1, 10 and 200 steps."""
    g = golden("small_net")
    start = numbered(g, "weight")
    rounding = largest_bounds(start, list(zip(g["x"], g["y"], strict=True)))
    model = small_net(start, optimizer)
    for number in range(1, 201):
        i = (number - 1) % len(g["x"])
        loss, _ = model.train_on_batch(g["x"][i], g["y"][i])
        if number in (1, 10, 200):
            expected = Step(
                float(g[f"step{number}_loss"]),
                numbered(g, f"step{number}_weight"),
                numbered(g, f"step{number}_state"),
            )
            actual = Step(loss, model.get_weights(), compare.optimizer_state(model))
            assert_same_step(actual, expected, number, rounding)


def check_small_net_gradients() -> None:
    """Compare the output, loss and gradients of a batch with and without sample weights."""
    g = golden("small_net")
    start, x, y = numbered(g, "weight"), g["x"][0], g["y"][0]
    model = small_net(start)
    assert_within(model(x), g["output"], bounds(start, x, y).output, "output")
    for prefix, weights in (("", None), ("weighted_", g["sample_weight"])):
        rounding = bounds(start, x, y, weights)
        loss, found, _ = compare.gradients(model, x, y, weights)
        assert_within(loss, g[f"{prefix}loss"], rounding.loss, "loss")
        expected = numbered(g, f"{prefix}gradient")
        for i, (a, b, c) in enumerate(zip(found, expected, rounding.gradients, strict=True)):
            assert_within(a, b, c, f"gradient {i}")


# ------------------------------------------------------------ fit


@pytest.mark.parametrize("name", report("fit")["fits"])
def test_fits(name: str) -> None:
    g, told = golden("fit"), report("fit")
    expected = told["fits"][name]
    model = small_net(numbered(g, "weight"), optimizers.Adam(told["learning_rate"]))
    extra = dict(expected["extra"])
    if "class_weight" in extra:
        extra["class_weight"] = {int(k): v for k, v in extra["class_weight"].items()}
    if "sample_weight" in extra:
        extra["sample_weight"] = g["sample_weight"]
    history = model.fit(g["x"], g["y"], verbose=0, **told["options"], **extra).history
    assert list(history) == sorted(expected["history"])
    # 18 steps with a learning rate of 0.01 accumulate about the same error as 180 steps with the
    # default of 1e-3, which is about 1e-5 after 200 steps.
    for key, values in expected["history"].items():
        np.testing.assert_allclose(history[key], values, rtol=0, atol=1e-5, err_msg=key)
    evaluated = model.evaluate(g["x"], g["y"], batch_size=8, verbose=0)
    np.testing.assert_allclose(evaluated, expected["evaluate"], rtol=0, atol=1e-5)
    for weight, value in zip(model.get_weights(), numbered(g, f"{name}_weight"), strict=True):
        np.testing.assert_allclose(weight, value, rtol=0, atol=1e-5)


# ------------------------------------------------------------ Adam


def check_adam(name: str, make: Any = optimizers.Adam) -> None:
    """Compare 20 steps with gradients of 0, 1e-8, 1e-7, 1e-6, 1 and 1e3 elementwise."""
    g = golden("adam")
    options = report("provenance")["adams"][name]
    rate = options.get("learning_rate", 1e-3)
    variables = [Variable(value) for value in numbered(g, "start")]
    optimizer = make(**options)
    for t, step in enumerate(g["gradient"], 1):
        optimizer.apply(list(step), variables)
        state = [v.numpy() for v in optimizer.variables if v.name != "learning_rate"]
        for i, series in enumerate(numbered(g, f"{name}_state")):
            # Moment estimates, rounded 3 times per step in both programs; the smallest squares,
            # 1e-8 squared, are far above float32's smallest number.
            np.testing.assert_allclose(
                state[i], series[t - 1], rtol=6 * t * EPS, atol=0, err_msg=f"state {i}"
            )
        for i, series in enumerate(numbered(g, f"{name}_value")):
            # Each step rounds w, whose absolute value stays below 2; the size of the step has up to
            # 8 rounding errors.
            atol = t * (EPS + 8 * EPS * 4 * rate)
            np.testing.assert_allclose(
                variables[i].numpy(), series[t - 1], rtol=0, atol=atol, err_msg=f"value {i}"
            )
    # Starting at 0, no precision is lost in the addition, so the relative error is a few rounding
    # errors.
    last = g[f"{name}_value0"][-1]
    np.testing.assert_allclose(variables[0].numpy(), last, rtol=64 * EPS, atol=0)


# ------------------------------------------------------------ losses, activations, initializers


def test_losses() -> None:
    g = golden("losses")
    make = losses.SparseCategoricalCrossentropy
    for form in ("logits", "probabilities"):
        y, pred, weight = g[f"{form}_y"], g[form], g["sample_weight"]
        for reduction in ("none", "sum", "sum_over_batch_size"):
            loss = make(from_logits=form == "logits", reduction=reduction)
            # exp, log and a sum of three or six terms below 1e4: a few rounding errors of the sum.
            for prefix, w in (("", None), ("weighted_", weight)):
                expected = g[f"{form}_{prefix}loss_{reduction}"]
                np.testing.assert_allclose(loss(y, pred, w), expected, rtol=8 * EPS, atol=4 * EPS)
        loss = make(from_logits=form == "logits")
        d_values = np.full(len(y), 1 / len(y), np.float32)
        found = loss.backward(d_values, y, pred)
        np.testing.assert_allclose(found, g[f"{form}_gradient"], rtol=8 * EPS, atol=4 * EPS)


def check_saturated_softmax() -> None:
    """Compare a softmax model row by row where probabilities are 0 and 1."""
    g = golden("losses")
    model = tinynet.Sequential([layers.Input((3,)), layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.set_weights([np.eye(3), np.zeros(3)])
    for i, (row, label) in enumerate(zip(g["logits"], g["logits_y"], strict=True)):
        loss, (_, d_logits), _ = compare.gradients(model, row[None], label[None])
        assert loss == pytest.approx(g["softmax_model_loss"][i], rel=4 * EPS, abs=2 * EPS)
        assert_within(d_logits, g["softmax_model_gradient"][i], 4 * EPS, f"row {i}")
        assert model.evaluate(row[None], label[None], verbose=0) == loss


CHECKS: dict[str, Callable[[], None]] = {
    "small net, gradients": check_small_net_gradients,
    "small net, steps": check_small_net_steps,
    "saturated softmax": check_saturated_softmax,
    "adam": functools.partial(check_adam, "default"),
    "other adam": functools.partial(check_adam, "other"),
}


@pytest.mark.parametrize("name", CHECKS)
def test_golden_numbers(name: str) -> None:
    CHECKS[name]()


def test_activations() -> None:
    g = golden("activations")
    names = [name for name in g if f"{name}_derivative" in g and name != "relu_options"]
    mine = [name for name in names if name in registry.names(activations)]
    assert {"linear", "relu", "sigmoid", "tanh"} <= set(mine)
    functions = {name: activations.get(name) for name in mine}
    options = {"negative_slope": 0.1, "max_value": 4.0, "threshold": 1.0}
    functions["relu_options"] = activations.Rectifier(**options)
    x = g["grid"]
    for name, function in functions.items():
        y = function.forward(x)
        # A few rounding errors of the value, or of the term 1 in a sum.
        np.testing.assert_allclose(y, g[name], rtol=4 * EPS, atol=2 * EPS, err_msg=name)
        d = function.backward(np.ones_like(x), x, y)
        np.testing.assert_allclose(
            d, g[f"{name}_derivative"], rtol=16 * EPS, atol=4 * EPS, err_msg=name
        )
    for name in ("softmax", "log_softmax"):
        function = activations.get(name)
        y = function.forward(g["rows"])
        np.testing.assert_allclose(y, g[name], rtol=8 * EPS, atol=1e-37, err_msg=name)
        d = function.backward(g["upstream"].copy(), g["rows"], y)
        np.testing.assert_allclose(d, g[f"{name}_d_x"], rtol=0, atol=8 * EPS, err_msg=name)


@pytest.mark.parametrize("name", report("initializers"))
def test_initializers(name: str) -> None:
    for drawn in report("initializers")[name]:
        values = np.float64(initializers.get(name)(tuple(drawn["shape"])))
        n, std = values.size, drawn["std"]
        # The standard deviation of the difference between the means of two samples of size n is
        # std * sqrt(2/n); six times that has a probability of about 2e-9. Estimates of a standard
        # deviation vary less.
        reach = 6 * std * np.sqrt(2 / n)
        assert values.mean() == pytest.approx(drawn["mean"], abs=reach)
        assert values.std() == pytest.approx(std, abs=reach)
        # Samples of the bounded distributions nearly reach their bounds.
        if name != "random_normal":
            assert values.min() == pytest.approx(drawn["min"], rel=0.02)
            assert values.max() == pytest.approx(drawn["max"], rel=0.02)
