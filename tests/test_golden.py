"""Compare with recorded Keras results, so that Keras does not have to be installed.

`reference/README.md` documents the files and how they are generated.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.compare import EPS, assert_all_within
from tests.golden import CHECKS, golden, numbered, report, small_net
from tests.internals import registry
from tinynet import activations, config, initializers, losses, optimizers


@pytest.fixture(autouse=True, params=config.BACKENDS)
def _both_backends(request: pytest.FixtureRequest):
    if request.param == "numba":
        pytest.importorskip("numba")
    config.set_backend(request.param)


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


@pytest.mark.parametrize("name", CHECKS)
def test_golden_numbers(name: str) -> None:
    assert_all_within(CHECKS[name]())


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
