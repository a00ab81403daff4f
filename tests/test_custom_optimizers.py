"""Custom optimizers and loops with `apply_gradients`, compared with the same code in Keras."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")

import tinynet
from reference import keras_net
from tests import RandomNumbers, recorded
from tests.compare import EPS
from tests.models import bits
from tinynet import optimizers
from tinynet.compat import tensorflow as stand_in

keras, tf = keras_net.keras, keras_net.tf
LIBRARIES = ((keras, tf), (tinynet, stand_in))
KERASES = (keras, tinynet)
RNG = RandomNumbers(15)
X = RNG.standard_normal((12, 4)).astype("float32")
Y = (X @ RNG.standard_normal((4, 3)) + 0.5).astype("float32")
START = [RNG.standard_normal(shape).astype("float32") for shape in ((4, 5), (5,), (5, 3), (3,))]

# ------------------------------------------------------------ custom classes, in both libraries


def sign_sgd(k: Any) -> Any:
    class SignSGD(k.optimizers.Optimizer):  # type: ignore[misc]  # resolved at run time
        """An optimizer without state."""

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            rate = k.ops.cast(learning_rate, variable.dtype)
            self.assign_sub(variable, rate * k.ops.sign(gradient))

    return SignSGD


def momentum(k: Any) -> Any:
    class Momentum(k.optimizers.Optimizer):  # type: ignore[misc]  # resolved at run time
        """The example from the Keras documentation.

        Its `build` does not check whether it was called before.
        """

        def __init__(self, learning_rate: Any = 0.05, momentum: float = 0.9, **kwargs: Any) -> None:
            super().__init__(learning_rate=learning_rate, **kwargs)
            self.momentum = momentum

        def build(self, variables: Any) -> None:
            super().build(variables)
            self.momentums = []
            for variable in variables:
                self.momentums.append(
                    self.add_variable_from_reference(reference_variable=variable, name="momentum")
                )

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            learning_rate = k.ops.cast(learning_rate, variable.dtype)
            gradient = k.ops.cast(gradient, variable.dtype)
            m = self.momentums[self._get_variable_index(variable)]
            decay = k.ops.cast(self.momentum, variable.dtype)
            change = k.ops.subtract(
                k.ops.multiply(m, decay), k.ops.multiply(gradient, learning_rate)
            )
            self.assign(m, change)
            self.assign_add(variable, m)

        def get_config(self) -> Any:
            return {**super().get_config(), "momentum": self.momentum}

    return Momentum


def yogi(k: Any) -> Any:
    class Yogi(k.optimizers.Optimizer):  # type: ignore[misc]  # resolved at run time
        """An optimizer with two slots, an initial value, a scalar variable and the step number."""

        def build(self, variables: Any) -> None:
            if self.built:
                return
            super().build(variables)
            first = k.initializers.Constant(1e-3)
            self._m, self._v = self.add_optimizer_variables(
                variables, ["momentum", "velocity"], ["zeros", first]
            )
            self.total = self.add_variable((), "ones", name="total")

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            index = self._get_variable_index(variable)
            m, v = self._m[index], self._v[index]
            step = k.ops.cast(self.iterations + 1, variable.dtype)
            square = k.ops.square(gradient)
            self.assign_add(m, (gradient - m) * 0.1)
            self.assign_sub(v, 0.01 * k.ops.sign(v - square) * square)
            corrected = m / (1 - k.ops.power(0.9, step))
            self.assign_sub(variable, learning_rate * corrected / (k.ops.sqrt(v) + 1e-3))
            self.assign_add(self.total, k.ops.sum(k.ops.abs(gradient)))

    return Yogi


def doubled(k: Any) -> Any:
    class Doubled(k.optimizers.RMSprop):  # type: ignore[misc]  # resolved at run time
        """An optimizer that calls the `update_step` of a built-in class."""

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(2.0 * gradient, variable, learning_rate)

    return Doubled


def centered(k: Any, method: str) -> Any:
    """Return a subclass of Adam that centers each gradient by overriding `method`."""

    def remove(gradient: Any) -> Any:
        return gradient - k.ops.mean(gradient, axis=0, keepdims=True)

    def apply(self: Any, grads: Any, trainable_variables: Any = None) -> Any:
        return super(cls, self).apply([remove(g) for g in grads], trainable_variables)

    def apply_gradients(self: Any, grads_and_vars: Any) -> Any:
        return super(cls, self).apply_gradients([(remove(g), v) for g, v in grads_and_vars])

    define = {"apply": apply, "apply_gradients": apply_gradients}[method]
    cls: Any = type("Centered", (k.optimizers.Adam,), {method: define})
    return cls


def lookahead(k: Any) -> Any:
    class Lookahead(k.optimizers.Optimizer):  # type: ignore[misc]  # resolved at run time
        """An optimizer that wraps another one.

        Every `period` steps, it moves the weights halfway back to the slow weights.
        """

        def __init__(self, inner: Any, period: int = 2, **kwargs: Any) -> None:
            super().__init__(learning_rate=0.0, **kwargs)
            self.inner, self.period = k.optimizers.get(inner), period

        def build(self, variables: Any) -> None:
            if self.built:
                return
            super().build(variables)
            self.inner.build(variables)
            self.slow = self.add_optimizer_variables(variables, "slow")
            for slow, variable in zip(self.slow, variables, strict=True):
                slow.assign(variable)

        @property
        def variables(self) -> Any:
            return super().variables + self.inner.variables

        def apply(self, grads: Any, trainable_variables: Any = None) -> None:
            if not self.built:
                self.build(list(trainable_variables))
            self.inner.apply(grads, trainable_variables)
            self.iterations.assign_add(1)
            share = 0.5 * k.ops.cast(self.iterations % self.period == 0, "float32")
            for slow, variable in zip(self.slow, trainable_variables, strict=True):
                slow.assign(slow + share * (variable - slow))
                variable.assign(k.ops.where(share > 0, slow, variable))

    return Lookahead


CLASSES: dict[str, Callable[[Any], Any]] = {
    "sign": sign_sgd,
    "momentum": momentum,
    "yogi": yogi,
    "a subclass": doubled,
    "apply": lambda k: centered(k, "apply"),
    "apply_gradients": lambda k: centered(k, "apply_gradients"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "decay, clipnorm": {"weight_decay": 0.1, "clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.2},
    "global_clipnorm": {"global_clipnorm": 0.3},
    "averages": {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    "accumulation": {"gradient_accumulation_steps": 2, "use_ema": True},
    "scaled": {"loss_scale_factor": 8.0},
}


def net(k: Any, constrained: bool = False) -> Any:
    options = {"kernel_constraint": k.constraints.MaxNorm(1.0)} if constrained else {}
    model = k.Sequential([k.Input((4,)), k.layers.Dense(5, "tanh", **options), k.layers.Dense(3)])
    model.set_weights(START)
    return model


def compiled(k: Any, optimizer: Any, **options: Any) -> Any:
    model = net(k, **options)
    model.compile(optimizer, "mse", **({"run_eagerly": True} if k is keras else {}))
    return model


def values(model: Any, optimizer: Any) -> list[np.ndarray]:
    return [*model.get_weights(), *(np.asarray(v) for v in optimizer.variables)]


def assert_same(ours: Any, theirs: Any, size: float = 1.0) -> None:
    """Compare values after 9 steps, to within about 250 rounding errors at the given scale."""
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=256 * EPS * size)


def schedule(k: Any) -> Any:
    return k.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5)


# ------------------------------------------------------------ fit, train_on_batch and loops


def fitted(k: Any, name: str, options: str) -> list[np.ndarray]:
    optimizer = CLASSES[name](k)(learning_rate=schedule(k), **OPTIONS[options])
    model = compiled(k, optimizer, constrained=True)
    history = model.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    return [np.array(history.history["loss"]), *values(model, optimizer)]


@pytest.mark.each_value
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", CLASSES)
def test_custom_optimizer_fit_matches_recorded(name: str, options: str) -> None:
    ours = fitted(tinynet, name, options)
    assert not np.array_equal(ours[1], START[0])
    assert_same(ours, recorded.result("custom optimizers", name, options))


def fitted_around(k: Any, inner: str) -> list[np.ndarray]:
    optimizer = lookahead(k)(momentum(k)() if inner == "momentum" else inner)
    model = compiled(k, optimizer)
    model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return values(model, optimizer)


INNER = ["sgd", "adam", "momentum"]


@pytest.mark.parametrize("inner", INNER)
def test_wrapping_optimizer_fit_matches_recorded(inner: str) -> None:
    ours = fitted_around(tinynet, inner)
    assert_same(ours, recorded.result("optimizers around another", inner))


RECORDED: dict[tuple[str, ...], Callable[[Any], list[np.ndarray]]] = {
    ("custom optimizers", name, options): functools.partial(fitted, name=name, options=options)
    for name, options in itertools.product(CLASSES, OPTIONS)
}
for inner in INNER:
    RECORDED["optimizers around another", inner] = functools.partial(fitted_around, inner=inner)


@pytest.mark.wide
@pytest.mark.parametrize("names", RECORDED)
def test_keras_fit_matches_recorded(names: tuple[str, ...]) -> None:
    assert_same(RECORDED[names](keras), recorded.result(*names))


@pytest.mark.each_value
@pytest.mark.parametrize("options", ["plain", "accumulation", "scaled"])
@pytest.mark.parametrize("name", CLASSES)
def test_custom_optimizer_in_custom_loop(name: str, options: str) -> None:
    results = []
    for k, f in LIBRARIES:
        model, optimizer = net(k), CLASSES[name](k)(0.02, **OPTIONS[options])
        for _ in range(4):
            with f.GradientTape() as tape:
                loss = f.reduce_mean(f.square(model(X) - Y))
                scaled = optimizer.scale_loss(loss)
            gradients = tape.gradient(scaled, model.trainable_weights)
            optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
        results.append(values(model, optimizer))
    assert_same(*results[::-1])


@pytest.mark.parametrize("name", CLASSES)
def test_fit_equals_train_on_batch(name: str) -> None:
    ends = []
    for fits in (True, False):
        optimizer = CLASSES[name](tinynet)(0.02, weight_decay=0.1)
        model = compiled(tinynet, optimizer)
        if fits:
            model.fit(X, Y, batch_size=6, epochs=2, shuffle=False, verbose=0)
        else:
            for batch in (slice(0, 6), slice(6, 12)) * 2:
                model.train_on_batch(X[batch], Y[batch])
        ends.append(bits(model))
    assert ends[0] == ends[1]


def test_custom_optimizer_build_called_once() -> None:
    calls = []

    class Counting(momentum(tinynet)):  # type: ignore[misc]  # base class created by a function
        def build(self, variables: Any) -> None:
            calls.append(len(variables))
            super().build(variables)

    optimizer = Counting()
    model = compiled(tinynet, optimizer)
    for _ in range(2):
        model.fit(X, Y, epochs=2, verbose=0)
    optimizer.apply([np.ones_like(w) for w in model.trainable_weights], model.trainable_weights)
    assert calls == [4]
    assert [v.name for v in optimizer.variables[2:4]] == [
        f"{w.path.replace('/', '_')}_momentum" for w in model.trainable_weights[:2]
    ]


def test_gradients_kept_by_update_step_do_not_change() -> None:
    kept = []

    class Keeping(optimizers.Optimizer):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            kept.append((gradient, gradient.numpy().copy()))

    compiled(tinynet, Keeping(0.1)).fit(X, Y, batch_size=4, epochs=2, verbose=0)
    assert len(kept) == 4 * 6
    for gradient, value in kept:
        np.testing.assert_array_equal(gradient, value)


def test_variables_in_attributes_are_optimizer_state() -> None:
    class Own(optimizers.Optimizer):
        def build(self, variables: Any) -> None:
            super().build(variables)
            self.of_mine = {"weights": variables, "ages": [tinynet.Variable(0.0, name="age")]}

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            self.of_mine["ages"][0].assign_add(1.0)

    w, own = tinynet.Variable(np.float32([1])), Own(0.1)
    own.apply([np.float32([1])], [w])
    assert [v.name for v in own.variables] == ["iteration", "learning_rate", "age"]
    other = copy.deepcopy(own)
    assert float(other.variables[2]) == 1
    assert other.variables[2] is other.of_mine["ages"][0] is not own.variables[2]


def test_custom_optimizer_attribute_named_schedule() -> None:
    class Scheduled(optimizers.Optimizer):
        def __init__(self, learning_rate: Any, schedule: str) -> None:
            super().__init__(learning_rate)
            self.schedule = schedule

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            self.assign_sub(variable, learning_rate * gradient)

    w, optimizer = tinynet.Variable([1.0]), Scheduled(0.5, "linear")
    optimizer.apply([[1.0]], [w])
    assert (float(w[0]), float(optimizer.learning_rate), optimizer.schedule) == (0.5, 0.5, "linear")


def test_missing_update_step_raises() -> None:
    model = compiled(tinynet, type("Nothing", (optimizers.Optimizer,), {})(0.1))
    with pytest.raises(NotImplementedError, match=r"Nothing must define update_step\(.*Received: "):
        model.fit(X, Y, verbose=0)
    assert all(map(np.array_equal, model.get_weights(), START))


def test_failed_step_restores_custom_state() -> None:
    model = compiled(tinynet, momentum(tinynet)(0.05))
    model.fit(X, Y, verbose=0)
    before = bits(model)
    with pytest.raises(FloatingPointError, match="loss became inf"):
        model.fit(X, Y * np.float32(1e30), epochs=2, verbose=0)
    assert bits(model) == before


# ------------------------------------------------------------ files


MADE: dict[Any, Any] = {}


@pytest.fixture
def registered() -> Iterator[None]:
    """Register custom optimizers with both libraries for one test."""
    tables = [(k.saving.get_custom_objects(), {**k.saving.get_custom_objects()}) for k in KERASES]
    for k, make in itertools.product(KERASES, (momentum, yogi)):
        MADE[k, make] = k.saving.register_keras_serializable("Tests")(make(k))
    yield
    for known, before in tables:
        known.clear()
        known.update(before)


@pytest.mark.parametrize("suffix", [".keras", ".tinynet", ".weights.h5"])
@pytest.mark.parametrize("make", [momentum, yogi])
@pytest.mark.parametrize("options", ["plain", "averages"])
def test_custom_optimizer_resumes_from_a_file(
    make: Any, options: str, suffix: str, registered: None, tmp_path: Path
) -> None:
    def started() -> Any:
        return compiled(tinynet, MADE[tinynet, make](learning_rate=0.02, **OPTIONS[options]))

    straight, first = started(), started()
    for model in (straight, first):
        for batch in (X[:6], X[6:]):
            model.train_on_batch(batch, Y[:6])
    path = tmp_path / f"net{suffix}"
    if suffix == ".weights.h5":
        first.save_weights(path)
        resumed = started()
        resumed.load_weights(path)
    else:
        first.save(path)
        resumed = tinynet.models.load_model(path)
    assert type(resumed.optimizer) is MADE[tinynet, make]
    for model in (straight, resumed):
        model.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    assert bits(straight) == bits(resumed)


@pytest.mark.parametrize("make", [momentum, pytest.param(yogi, marks=pytest.mark.wide)])
def test_custom_optimizer_continues_in_other_library(
    make: Any, registered: None, tmp_path: Path
) -> None:
    for first, second in ((keras, tinynet), (tinynet, keras)):
        model = compiled(first, MADE[first, make](learning_rate=0.02))
        model.train_on_batch(X, Y)
        model.save(tmp_path / "net.keras")
        other = second.models.load_model(tmp_path / "net.keras")
        assert type(other.optimizer) is MADE[second, make]
        found, kept = (values(m, m.optimizer) for m in (model, other))
        assert all(map(np.array_equal, found, kept))
        for m in (model, other):
            m.train_on_batch(X, Y)
        assert_same(*(values(m, m.optimizer) for m in (model, other)))


# ------------------------------------------------------------ custom loops


def two_optimizers(k: Any, f: Any) -> Any:
    """Train two models alternately, as in adversarial training."""
    models = [net(k), net(k)]
    makers = [k.optimizers.Adam(0.02), k.optimizers.SGD(0.05, momentum=0.9)]
    for _ in range(3):
        for i, (model, optimizer) in enumerate(zip(models, makers, strict=True)):
            with f.GradientTape() as tape:
                loss = f.reduce_mean(f.square(model(X) - models[1 - i](X) - Y))
            grads = tape.gradient(loss, model.trainable_variables)
            optimizer.apply(grads, model.trainable_variables)
    return [v for pair in zip(models, makers, strict=True) for v in values(*pair)]


def one_optimizer(k: Any, f: Any) -> Any:
    """Update two models separately with one optimizer, which is built for the weights of both."""
    models, optimizer = [net(k), net(k)], k.optimizers.Adam(0.02)
    optimizer.build([v for model in models for v in model.trainable_variables])
    for model in (models[0], models[1], models[0]):
        with f.GradientTape() as tape:
            loss = f.reduce_mean(f.square(model(X) - Y))
        gradients = tape.gradient(loss, model.trainable_variables)
        pairs = ((g, v) for g, v in zip(gradients, model.trainable_variables, strict=True))
        iterations = optimizer.apply_gradients(pairs)
    assert int(iterations) == int(optimizer.iterations) == 3
    return [*models[0].get_weights(), *values(models[1], optimizer)]


def own_variables(k: Any, f: Any) -> Any:
    """Fit a line with variables outside of a model, and change the learning rate."""
    slope = f.Variable(0.0)
    bias = k.Variable([0.0], name="bias")
    optimizer = k.optimizers.RMSprop(0.1)
    for step in range(6):
        if step == 2:
            optimizer.learning_rate = 0.05
        if step == 4:
            optimizer.learning_rate.assign(0.01)
        if step == 5:
            optimizer.learning_rate = optimizer.learning_rate * 0.5
        with f.GradientTape() as tape:
            loss = f.reduce_mean((slope * X[:, :1] + bias - Y[:, :1]) ** 2)
        optimizer.apply_gradients(zip(tape.gradient(loss, [slope, bias]), [slope, bias]))  # noqa: B905
    optimizer.learning_rate = schedule(k)
    optimizer.apply([f.constant(1.0), f.constant([1.0])])  # in the first call's variable order
    return [slope.numpy(), bias.numpy(), *(np.asarray(v) for v in optimizer.variables)]


def clipped(k: Any, f: Any) -> Any:
    """Clip gradients with each of the three options."""
    model, optimizer = net(k), k.optimizers.SGD(0.1)
    for clip in (
        lambda grads: [f.clip_by_value(g, -0.1, 0.1) for g in grads],
        lambda grads: [f.clip_by_norm(g, 0.2) for g in grads],
        lambda grads: f.clip_by_global_norm(grads, 0.3)[0],
    ):
        with f.GradientTape() as tape:
            loss = f.reduce_mean(f.square(model(X) - Y))
        gradients = clip(tape.gradient(loss, model.trainable_weights))
        optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
    return values(model, optimizer)


def missing(k: Any, f: Any) -> Any:
    """Pass None as the gradients of the second layer in every other step."""
    model = net(k)
    optimizer = k.optimizers.Adam(0.02, use_ema=True, gradient_accumulation_steps=2)
    weights = model.trainable_weights
    for step in range(5):
        layers = model.layers[: 1 + step % 2]
        with f.GradientTape() as tape:
            outputs = f.constant(X)
            for layer in layers:
                outputs = layer(outputs)
            loss = f.reduce_mean(f.square(outputs))
        gradients = tape.gradient(loss, weights)
        assert [g is None for g in gradients[2:]] == [step % 2 == 0] * 2
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
    return values(model, optimizer)


@pytest.mark.parametrize(
    "program", [two_optimizers, one_optimizer, own_variables, clipped, missing]
)
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_custom_loop_matches_keras(program: Any) -> None:
    theirs, ours = (program(*library) for library in LIBRARIES)
    assert_same(ours, theirs)


def test_missing_gradients_warn_by_name() -> None:
    for k, f in LIBRARIES:
        a, b = (k.Variable(np.float32([1]), name=name) for name in "ab")
        with pytest.warns(UserWarning, match=r"Gradients do not exist for variables.*\['b'\]"):
            k.optimizers.SGD(0.5).apply([f.constant([1.0]), None], [a, b])
        assert (float(a.numpy()[0]), float(b.numpy()[0])) == (0.5, 1)


def test_add_optimizer_variables_returns_lists() -> None:
    found = []
    for k in KERASES:
        shapes = {"w1": (2,), "w2": (3, 2)}
        weights = [k.Variable(np.ones(s, "float32"), name=name) for name, s in shapes.items()]
        optimizer = sign_sgd(k)(0.1)
        lists = [
            optimizer.add_optimizer_variables(weights, "one"),
            *optimizer.add_optimizer_variables(weights, ["two", "three"], "ones"),
            *optimizer.add_optimizer_variables(weights, ("four", "five"), ["zeros", "ones"]),
            [optimizer.add_variable((2,), dtype="int32", name="six"), optimizer.add_variable(())],
        ]
        made = [*itertools.chain(*lists)][:-1]
        found.append([(v.name, tuple(v.shape), str(v.dtype), v.numpy().sum()) for v in made])
        found.append([(tuple(v.shape), v.dtype) for v in optimizer.variables])
        with pytest.raises(ValueError, match=r"initializer|argument"):
            optimizer.add_optimizer_variables(weights, ["two", "three"], ["ones"])
    assert found[:2] == found[2:]
