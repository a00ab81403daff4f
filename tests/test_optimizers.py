"""Optimizers: results computed by Keras, state, and memory layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests import models
from tests.compare import EPS
from tinynet import GradientTape, Sequential, Variable, callbacks, config, layers, ops, optimizers
from tinynet.program.variable import pack

GRADIENTS = [[0.5, -1.0], [0.25, 0.5], [-1.0, 2.0]]
# The weights w = [1, -2] after each of the three gradients, computed by Keras 3.15.1.
WORKED = {
    "Adam": (
        {"learning_rate": 0.01},
        [[0.99000013, -1.99000013], [0.98067850, -1.98733675], [0.98274207, -1.99191010]],
    ),
    "Adam, amsgrad": (
        {"learning_rate": 0.01, "amsgrad": True},
        [[0.99000013, -1.99000013], [0.98067850, -1.98733675], [0.98274207, -1.99191010]],
    ),
    "Adam, clipped": (
        {"learning_rate": 0.01, "clipnorm": 1.0},
        [[0.99000013, -1.99000013], [0.98051983, -1.98778450], [0.97920382, -1.99069762]],
    ),
    "AdamW": (
        {"learning_rate": 0.01, "weight_decay": 0.1},
        [[0.98900014, -1.98800015], [0.97868949, -1.98334873], [0.97977436, -1.98593867]],
    ),
    "SGD": (
        {"learning_rate": 0.1},
        [[0.94999999, -1.89999998], [0.92500001, -1.94999993], [1.02499998, -2.14999986]],
    ),
    "SGD, momentum": (
        {"learning_rate": 0.1, "momentum": 0.9},
        [[0.94999999, -1.89999998], [0.88000000, -1.86000001], [0.91700000, -2.02399993]],
    ),
    "SGD, nesterov": (
        {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
        [[0.90499997, -1.80999994], [0.81699997, -1.82400000], [0.95029998, -2.17159986]],
    ),
    "SGD, nesterov without momentum": (
        {"learning_rate": 0.1, "nesterov": True},
        [[0.94999999, -1.89999998], [0.92500001, -1.94999993], [1.02499998, -2.14999986]],
    ),
    "SGD, global_clipnorm": (
        {"learning_rate": 1.0, "global_clipnorm": 0.5},
        [[0.77639318, -1.55278635], [0.55278635, -2.0], [0.77639318, -2.44721365]],
    ),
    "SGD, clipvalue": (
        {"learning_rate": 1.0, "clipvalue": 0.3},
        [[0.69999999, -1.70000005], [0.44999999, -2.0], [0.75, -2.29999995]],
    ),
    "RMSprop": (
        {"learning_rate": 0.01},
        [[0.96837729, -1.96837723], [0.95363313, -1.98312140], [0.98181891, -2.01130724]],
    ),
    "RMSprop, momentum, centered": (
        {"learning_rate": 0.01, "momentum": 0.5, "centered": True},
        [[0.96666676, -1.96666670], [0.93381208, -1.96484792], [0.94572502, -1.99290872]],
    ),
    "Adagrad": (
        {"learning_rate": 0.1},
        [[0.91548461, -1.90465379], [0.87655967, -1.94768691], [0.96070027, -2.03415442]],
    ),
    "Nadam": (
        {"learning_rate": 0.01},
        [[0.98937213, -1.98937213], [0.98415631, -1.99329805], [0.99296147, -2.00247741]],
    ),
    "Adamax": (
        {"learning_rate": 0.01},
        [[0.99000001, -1.99000001], [0.98262423, -1.98789263], [0.98398954, -1.99091840]],
    ),
    "Adadelta": (
        {"learning_rate": 1.0},
        [[0.99858582, -1.99858582], [0.99767298, -1.99949872], [0.99959224, -2.00141788]],
    ),
    "Ftrl": (
        {"learning_rate": 0.1},
        [[0.38096210, -1.30163097], [0.34203720, -1.34466410], [0.42617780, -1.43113160]],
    ),
    "Lion": (
        {"learning_rate": 0.01, "weight_decay": 0.1},
        [[0.98900002, -1.98800004], [0.97801101, -1.99601197], [0.98703301, -2.00401592]],
    ),
}


@pytest.mark.parametrize("name", WORKED)
def test_values_match_keras(name: str) -> None:
    options, expected = WORKED[name]
    w = Variable([1.0, -2.0], dtype="float32")
    optimizer = getattr(optimizers, name.split(",")[0])(**options)
    for gradient, values in zip(GRADIENTS, expected, strict=True):
        optimizer.apply([np.float32(gradient)], [w])
        # The order of operations is the same as in Keras; w may differ by one rounding error.
        np.testing.assert_allclose(w, values, rtol=EPS, atol=0)
    assert int(optimizer.iterations) == 3


def variables(packed: bool) -> list[Variable]:
    rng = np.random.default_rng(1)
    made = [Variable(rng.standard_normal(s).astype("f"), name=f"w{s}") for s in ((3, 2), (2,), ())]
    if packed:
        pack(made)
    return made


@pytest.mark.parametrize("name", sorted({name.split(",")[0] for name in WORKED}))
def test_result_is_independent_of_memory_layout(name: str) -> None:
    results = []
    for packed in (False, True):
        rng = np.random.default_rng(2)
        ws, optimizer = variables(packed), getattr(optimizers, name)(0.01)
        for _ in range(3):
            optimizer.apply([rng.standard_normal(w.shape).astype("f") for w in ws], ws)
        results.append([w.numpy() for w in (*ws, *optimizer.variables)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_model_step_calls_update_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, right = [], optimizers.RMSprop.update

    def counted(self: Any, rate: Any, w: Any, *rest: Any) -> None:
        sizes.append(w.size)
        right(self, rate, w, *rest)

    monkeypatch.setattr(optimizers.RMSprop, "update", counted)
    model = models.classifier(optimizer="rmsprop")
    config.set_backend("numpy")
    model.fit(*models.data(), verbose=0)
    assert sizes == [model.count_params()]


def test_state() -> None:
    ws, adam = variables(False), optimizers.Adam()
    assert [v.name for v in adam.variables] == ["iteration", "learning_rate"]
    adam.build(ws)
    assert [v.shape for v in adam.variables] == [(), (), (3, 2), (3, 2), (2,), (2,), (), ()]
    assert not any(v.numpy().any() for v in adam.variables[2:])
    assert (adam.iterations.dtype, adam.learning_rate.dtype) == ("int64", "float32")
    assert float(adam.learning_rate) == 0.0010000000474974513
    before = [v.numpy() for v in ws]
    adam.apply([np.zeros(w.shape, np.float32) for w in ws], ws)
    for a, b in zip(ws, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_learning_rate_can_be_set() -> None:
    w, adam = Variable([1.0], dtype="float32"), optimizers.Adam(0.01)
    adam.learning_rate = 0.5
    adam.apply([np.float32([1])], [w])
    assert float(w[0]) == pytest.approx(0.5, abs=1e-5)
    adam.learning_rate.assign(0.25)
    assert float(adam.learning_rate) == 0.25
    adam.learning_rate = 1  # an int, which the constructor does not accept
    assert float(adam.learning_rate) == 1
    adam.learning_rate = np.float64(0.125)
    assert adam.get_config()["learning_rate"] == 0.125


def test_gradients_are_not_modified() -> None:
    for given in (np.float32([1]), np.float64([1]), [1.0], Variable([1.0])):
        w, adam = Variable([1.0], dtype="float32"), optimizers.Adam(0.5)
        adam.apply_gradients([(given, w)])
        assert (w.dtype, float(w[0])) == ("float32", pytest.approx(0.5, abs=1e-5))
    gradients = [np.full(shape, 5.0, "f") for shape in ((3, 2), (2,), ())]
    optimizers.SGD(0.1, clipnorm=1.0).apply(gradients, variables(False))
    assert all((g == 5).all() for g in gradients)


def test_apply_accepts_a_subset_of_weights() -> None:
    ws, adam = variables(True), optimizers.Adam()
    adam.build(ws)
    before = ws[1].numpy()
    adam.apply([np.ones((3, 2), "f"), np.float32(1)], [ws[0], ws[2]])
    np.testing.assert_array_equal(ws[1], before)
    np.testing.assert_array_equal(adam.variables[4], [0, 0])
    assert adam.variables[2].numpy().all()


def decayed(**excluded: Any) -> list[str]:
    """Return the paths of the weights to which weight decay is applied."""
    model = Sequential([layers.Input((2,))])
    for name in ("1", "11", "x1"):
        model.add(layers.Dense(2, name=name, bias_initializer="ones"))
    if "var_list" in excluded:
        excluded["var_list"] = excluded["var_list"](model)
    sgd = optimizers.SGD(1.0, weight_decay=0.5)
    sgd.exclude_from_weight_decay(**excluded)
    before = [w.numpy() for w in model.weights]
    sgd.apply([np.zeros(w.shape, "f") for w in model.weights], model.trainable_variables)
    pairs = zip(model.weights, before, strict=True)
    return [w.path for w, old in pairs if not np.array_equal(w.numpy(), old)]


KERNELS, BIASES = (
    [f"{layer}/{name}" for layer in ("1", "11", "x1")] for name in ("kernel", "bias")
)


@pytest.mark.parametrize(
    ("excluded", "expected"),
    [
        ({"var_list": lambda m: [m.layers[0].kernel]}, {*KERNELS[1:], *BIASES}),
        ({"var_list": lambda m: (w for w in m.layers[1].weights)}, {*KERNELS[::2], *BIASES[::2]}),
        ({"var_names": ["bias"]}, set(KERNELS)),
        ({"var_names": ("bias$",)}, set(KERNELS)),
        ({"var_names": ["^1/bias"]}, {*KERNELS, *BIASES[1:]}),
        ({"var_names": ["1/bias"]}, set(KERNELS)),  # a pattern, not a path
        ({"var_names": ["gamma|kernel", "beta"]}, set(BIASES)),
        ({"var_names": ["bias"], "var_list": lambda m: m.layers[2].weights}, set(KERNELS[:2])),
        ({}, {*KERNELS, *BIASES}),
    ],
)
def test_exclude_from_weight_decay(excluded: Any, expected: set[str]) -> None:
    assert set(decayed(**excluded)) == expected


def test_exclude_from_weight_decay_without_match() -> None:
    with pytest.warns(UserWarning, match=r"excludes none of the weights.*var_names=\['gamma'\]"):
        assert len(decayed(var_names=["gamma"])) == 6


def test_get() -> None:
    adam = optimizers.Adam(0.25, beta_1=0.5)
    assert optimizers.get(adam) is adam
    assert optimizers.get(optimizers.serialize(adam)).get_config() == adam.get_config()
    for identifier in ("adam", "Adam", "ADAM", optimizers.Adam, optimizers.serialize(adam)):
        assert type(optimizers.get(identifier)) is optimizers.Adam


def test_double_precision() -> None:
    w, adam = Variable(np.array([1.0])), optimizers.Adam(0.01)
    adam.apply([np.array([0.5])], [w])
    # lr * g / (|g| + epsilon / sqrt(1 - beta_2)) in the first step; the rate is stored in float32.
    rate = float(np.float32(0.01))
    assert float(w[0]) == pytest.approx(1 - rate * 0.5 / (0.5 + 1e-7 / np.sqrt(0.001)), rel=1e-12)


class Listed(optimizers.schedules.LearningRateSchedule):
    """Schedule that returns the rates of a list."""

    def __init__(self, rates: list[Any]) -> None:
        self.rates = rates

    def __call__(self, step: Any) -> Any:
        return self.rates[min(int(step), len(self.rates) - 1)]


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0, 1e39, None, "fast", np.array([0.1, 0.2])])
def test_invalid_schedule_rate_stops_training(wrong: Any, many: bool) -> None:
    """The previous steps are applied, by the fused loop and by single steps."""
    optimizer = optimizers.Adam(Listed([0.1, np.array([0.1]), 0.1, wrong]))
    model = models.classifier(optimizer=optimizer)
    x = np.eye(4, dtype=np.float32).repeat(8, axis=0)
    watching = [] if many else [callbacks.LambdaCallback(on_train_batch_end=lambda *_: None)]
    with pytest.raises(ValueError, match=r"learning_rate must be .* Listed for step 3$"):
        model.fit(x, np.arange(32) % 3, batch_size=4, verbose=0, callbacks=watching)
    assert int(optimizer.iterations) == 3
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_adam_with_repeated_embedding_rows() -> None:
    """As in Keras, gradients of a repeated row are squared, then added: 1**2 + 3**2, not 4**2."""
    layer = layers.Embedding(3, 1, "zeros")
    layer.build()
    for added, square in ((0.0, 10.0), (1.0, 25.0)):  # added dense gradient: (1 + 3 + 1)**2
        optimizer = optimizers.Adam(0.1, beta_2=0.75)
        with GradientTape() as tape:
            loss = ops.sum(layer(np.array([2, 2])) * [[1.0], [3.0]])
            loss = loss + added * ops.sum(layer.embeddings)
        (gradient,) = tape.gradient(loss, layer.weights)
        assert gradient.tolist() == [[added], [added], [4 + added]]
        optimizer.apply([gradient], layer.weights)
        velocity = optimizer.variables[3].numpy()
        np.testing.assert_allclose(velocity[2], 0.25 * square, rtol=1e-6)
        assert layer.embeddings.parts == ()


@pytest.mark.parametrize("momenta", [(0.0, 0.9), (0.9, 0.0, 0.9)])
def test_momentum_changed_after_first_step(momenta: Any) -> None:
    """The optimizer has a momentum slot only if it was built with one."""
    x, y = models.data(64)
    weights = []
    for backend in ("numpy", "numba"):
        config.set_backend(backend)
        optimizer = optimizers.SGD(0.1, momentum=momenta[0])
        model = models.classifier(optimizer=optimizer)
        for optimizer.momentum in momenta:
            model.fit(x, y, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
