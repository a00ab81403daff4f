"""`explain.step` and `explain.check_gradients` report the values of actual training."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tests.compare import EPS
from tests.models import bits
from tinynet import activations, explain, layers, ops, optimizers

L = layers


def data(n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((n, 4, 5)) * (rng.random((n, 4, 5)) < 0.5)
    return x.astype(np.float32), rng.integers(0, 3, n)


def net(optimizer: Any = "adam", rows: Any = (), activation: str = "relu") -> Any:
    hidden, digit = L.Dense(6, activation, name="hidden"), L.Dense(3, "softmax", name="digit")
    rows = rows or [L.Flatten(name="flat"), hidden, digit]
    model = keras.Sequential([L.Input((4, 5)), *rows])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def assert_same(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------ one step


def test_explain_leaves_model_unchanged() -> None:
    x, y = data()
    explained, trained = net(), net()
    trained.set_weights(explained.get_weights())
    before = bits(explained)
    explain.step(explained, x, y)
    assert bits(explained) == before
    assert "forward" not in vars(explained.layers[1])
    shown = explain.step(explained, x, y, apply=True)
    trained.train_on_batch(x, y)
    assert bits(explained) == bits(trained)
    name, index = shown.chosen.name, shown.chosen.index
    hidden, kernel = explained.get_layer("hidden"), shown.weights[name]
    assert name == "hidden/kernel"
    assert shown.chosen.after == hidden.kernel.numpy()[index]
    assert shown.chosen.before == kernel[index]
    # The next explanation continues from this state.
    assert explain.step(explained, x, y).chosen.iteration == 2


def test_random_layers_match_next_step() -> None:
    x, y = data()
    model = net(rows=[L.Flatten(), L.Dropout(0.5), L.BatchNormalization(), L.Dense(3, "softmax")])
    shown = explain.step(model, x, y, apply=True)
    for watch in shown.layers:
        for weight in watch.layer.weights:
            real = model.get_layer(watch.name)
            assert_same([w.numpy() for w in real.weights], watch.layer.get_weights())
            assert weight.path.startswith(watch.name)
    assert {"batch_normalization/gamma", "dense/kernel"} <= set(shown.gradients)


def test_loss_and_arrays_match_network() -> None:
    x, y = data()
    model = net()
    shown = explain.step(model, x, y)
    assert shown.loss == model.test_on_batch(x, y)[0]
    flat, hidden, digit = shown.layers
    np.testing.assert_array_equal(hidden.x, x.reshape(8, 20))
    np.testing.assert_array_equal(digit.x, hidden.y)
    np.testing.assert_array_equal(hidden.d_y, digit.d_x)
    assert (flat.d_y, hidden.d_x) == (None, None)
    assert digit.logits
    # Gradient of the mean cross-entropy with respect to the logits: (probabilities - one-hot) / N.
    expected = model.predict(x, verbose=0)
    expected[np.arange(8), y] -= 1
    np.testing.assert_allclose(digit.d_y, expected / 8, atol=4 * EPS)
    assert set(shown.gradients) == set(shown.weights)


@pytest.mark.parametrize("name", ["hidden/kernel", "hidden/bias", "digit/kernel", "digit/bias"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "linear"])
def test_products_sum_to_gradient(name: str, activation: str) -> None:
    x, y = data()
    chosen = explain.step(net(activation=activation), x, y, name).chosen
    assert chosen.x_i.shape == chosen.d_z_j.shape == (8,)
    # Sums of 8 products, whose factors are sums of at most 20 terms.
    off = 2 * EPS * (np.sqrt(8) + np.sqrt(20)) * np.abs(chosen.products).sum()
    assert abs(chosen.products.sum() - chosen.gradient) <= off
    assert abs(chosen.gradient) > 100 * off


def test_default_weight_has_largest_gradient() -> None:
    x, y = data()
    shown = explain.step(net(), x, y)
    gradient = shown.gradients["hidden/kernel"]
    assert abs(shown.chosen.gradient) == np.abs(gradient).max()
    assert explain.step(net(), x, y, ("digit/bias", (2,))).chosen.index == (2,)


def test_adam_step_matches_formula() -> None:
    x, y = data()
    model = net(optimizers.Adam(0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-3))
    explain.step(model, x, y, apply=True)
    c = explain.step(model, x, y).chosen
    m = c.slots_before["momentum"] * 0.8 + 0.2 * c.gradient
    v = c.slots_before["velocity"] * 0.9 + 0.1 * c.gradient**2
    alpha = 0.01 * np.sqrt(1 - 0.9**2) / (1 - 0.8**2)
    few = 16 * EPS  # a few float32 rounding errors
    assert c.slots_after["momentum"] == pytest.approx(m, rel=few)
    assert c.slots_after["velocity"] == pytest.approx(v, rel=few)
    assert c.alpha == pytest.approx(alpha, rel=few)
    change = -alpha * m / (np.sqrt(v) + 1e-3)
    assert c.change == pytest.approx(change, abs=few * (abs(c.before) + abs(change)))
    assert c.iteration == 2
    cells = {row[0]: row for row in c.tables()[-1].rows}
    assert cells["step"][2] == f"{change:.4g}"
    assert cells["weight"][1:3] == [f"{c.before:.4g}", f"{c.after:.4g}"]


@pytest.mark.parametrize(
    ("optimizer", "names"),
    [
        (optimizers.SGD(0.1), set()),
        (optimizers.SGD(0.1, momentum=0.9), {"momentum"}),
        (optimizers.RMSprop(), {"velocity"}),
        (optimizers.Nadam(), {"momentum", "velocity"}),
        (optimizers.Adam(amsgrad=True), {"momentum", "velocity", "largest"}),
        (optimizers.AdamW(), {"momentum", "velocity"}),
        (optimizers.Adam(use_ema=True), {"momentum", "velocity", "average"}),
        (optimizers.Adagrad(), {"accumulator_of_squares"}),
        (optimizers.Adamax(), {"momentum", "norm"}),
        (optimizers.Lion(), {"momentum"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_optimizers(optimizer: Any, names: set[str]) -> None:
    x, y = data()
    chosen = explain.step(net(optimizer), x, y).chosen
    assert set(chosen.slots_after) == names
    assert chosen.change * chosen.gradient < 0  # descent direction
    text = str(chosen)
    assert all(f"\n  {name} " in text for name in names)
    assert ("weight decay" in text) == isinstance(chosen.optimizer, optimizers.AdamW)


def test_custom_optimizer_shows_no_adam_formula() -> None:
    class Doubled(optimizers.Adam):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(2 * gradient, variable, learning_rate)

    x, y = data()
    chosen = explain.step(net(Doubled()), x, y).chosen
    assert chosen.alpha is None
    assert "beta_1" not in str(chosen)
    momentum = chosen.slots_after["momentum"]
    assert momentum == pytest.approx(2 * chosen.gradient * 0.1, rel=16 * EPS)


def test_accumulated_gradients() -> None:
    x, y = data()
    model = net(optimizers.Adam(gradient_accumulation_steps=2))
    waits = explain.step(model, x, y, apply=True).chosen
    assert (waits.change, waits.alpha) == (0, None)
    assert waits.slots_after["accumulator"] == waits.gradient
    moves = explain.step(model, x, y).chosen
    assert moves.iteration == 1
    assert moves.alpha is not None
    assert moves.change != 0


def test_gradient_clipping_and_penalties_are_shown() -> None:
    x, y = data()
    model = net(optimizers.SGD(1.0, clipvalue=1e-4))
    chosen = explain.step(model, x, y).chosen
    assert abs(chosen.gradient) > 1e-3
    assert abs(chosen.used) == pytest.approx(1e-4)
    assert "clipped" in str(chosen)
    dense = L.Dense(3, "softmax", name="digit", kernel_regularizer=keras.regularizers.L2(0.5))
    chosen = explain.step(net(rows=[L.Flatten(), dense]), x, y).chosen
    rest = {row[0]: row[-1] for row in chosen.tables()[0].rows}["regularizer"]
    assert float(rest) == pytest.approx(2 * 0.5 * chosen.before, rel=1e-3)  # 4 significant digits


def test_tables_contain_every_layer() -> None:
    x, y = data()
    inner = keras.Sequential([L.Dense(6, "relu", name="hidden")], name="inner")
    model = net(rows=[L.Flatten(), inner, L.Dense(3, "softmax", name="digit")])
    shown = explain.step(model, x, y)
    text = str(shown)
    assert repr(shown) == text
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 100
    for part in ("inner/hidden (Dense, relu)", "digit (Dense, softmax)", "d logits", "3 others"):
        assert part in text
    forward, backward, *_ = shown.tables()
    assert len(forward.rows) == 2 + 3 + 3
    size = np.abs(shown.weights["inner/hidden/kernel"])
    row = next(row for row in forward.rows if row[1] == "kernel")
    assert row[2:] == ["(20, 6)", f"{size.mean():.4g}", f"{size.max():.4g}"]
    assert [row[0] for row in backward.rows if row[0]][-1] == "flatten (Flatten)"
    html = shown._repr_html_()
    assert html.count("<table>") == html.count("</table>") == 4
    assert "inner/hidden" in html


def test_non_finite_loss_is_shown() -> None:
    x, y = data()
    model = net()
    model.set_weights([np.full_like(w, 1e30) for w in model.get_weights()])
    shown = explain.step(model, x, y)
    assert shown.chosen is None
    assert "inf" in str(shown) or "nan" in str(shown)
    assert "not finite" in str(shown)


def test_unbuilt_model_is_built() -> None:
    x, y = data()
    model = keras.Sequential([L.Flatten(), L.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    shown = explain.step(model, x, y)
    assert_same([shown.weights["dense/kernel"]], [model.layers[1].kernel.numpy()])


# ------------------------------------------------------------ checking gradients


class Scale(L.Layer):
    """A custom layer, ``y = x * factor``; subclasses introduce errors."""

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")
        super().build(input_shape)

    def call(self, x: np.ndarray) -> np.ndarray:
        return x * self.factor.array

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        work.gradients[0][...] = (d_y * work.x).sum(axis=0)
        return d_y * self.factor.array


class Forgets(Scale):
    """The gradient with respect to the input is multiplied by 1.5."""

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        super().backward(d_y, work, need_d_x)
        return d_y * 1.5


class Averages(Scale):
    """The gradient with respect to the weight is divided by the batch size a second time."""

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        d_x = super().backward(d_y, work, need_d_x)
        work.gradients[0] /= len(d_y)
        return d_x


class Rebinds(Scale):
    """The gradient is assigned to a new array instead of the provided buffer."""

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        work.gradients[0] = (d_y * work.x).sum(axis=0)
        return d_y * self.factor.array


class Keeps(Scale):
    """The backward pass returns no gradient."""

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        super().backward(d_y, work, need_d_x)


class Jitters(Scale):
    """The output changes with each call, so finite differences are not reproducible."""

    def call(self, x: np.ndarray) -> np.ndarray:
        self.calls = getattr(self, "calls", 0) + 1
        return x * self.factor.array + 1e-3 * self.calls


def with_own(layer: Any) -> Any:
    below, above = L.Dense(6, "tanh", name="below"), L.Dense(3, "softmax", name="above")
    return net(rows=[L.Flatten(), below, layer, above])


@pytest.mark.parametrize("optimizer", ["adam", optimizers.SGD(0.1, clipvalue=1e-9)])
def test_correct_gradients_pass(optimizer: Any) -> None:
    x, y = data()
    x[:, 0] = 0  # kinks of relu: units whose inputs are all zero
    model = net(
        optimizer,
        [
            L.ReLU(),
            L.Flatten(),
            L.Dense(6, activation="relu", kernel_regularizer="l2"),
            L.BatchNormalization(),
            L.Dropout(0.3),
            keras.Sequential([Scale(name="own"), L.Dense(3, "softmax")], name="inner"),
        ],
    )
    before = bits(model)
    report = explain.check_gradients(model, x, y, sample_weight=np.linspace(0.5, 2, 8))
    assert report.ok, report
    assert (report.wrong, report.verdict) == ([], "Backpropagation is correct.")
    assert bits(model) == before
    assert {(c.layer, c.array) for c in report.net} >= {("inner/own", "factor"), ("dense", "bias")}
    assert all(c.checked == min(c.size, 50) for c in report.net + report.alone)
    assert len(report.alone) == 1 + 7 + len(report.net)


@pytest.mark.parametrize(
    ("kind", "said", "below"),
    [
        (Forgets, r"with respect to input\[\d, \d\] is .* according to finite differences", True),
        (Averages, r"with respect to factor\[\d\] is .* according to backward", False),
        (Rebinds, r"into work.gradients\[0\] in place", False),
        (Jitters, "is not reproducible", None),
    ],
)
def test_wrong_layer_is_named(kind: type[Scale], said: str, below: bool | None) -> None:
    report = explain.check_gradients(with_own(kind(name="own")), *data())
    assert not report.ok
    assert report.wrong == ["own"]
    assert f"The gradient of the layer own ({kind.__name__})" in report.verdict
    assert re.search(said, report.verdict)
    if below is not None:
        consequence = "Consequently, these gradients are also incorrect: below/kernel, below/bias."
        assert (consequence in report.verdict) == below
    assert "WRONG" in str(report) or kind is Jitters
    assert report.verdict.splitlines()[0][:20] in report._repr_html_()


def test_missing_gradient_is_reported() -> None:
    # The first layer needs no gradient with respect to its input, so training works and hides the
    # error.
    model = keras.Sequential([L.Input((2,)), Keeps(name="own"), L.Dense(3)])
    model.compile("sgd", "mse")
    report = explain.check_gradients(model, [[1.0, 2.0]], [[1.0, 0.0, 3.0]])
    assert report.wrong == ["own"]
    assert "must return the gradient with respect to its input, of shape (1, 2)" in report.verdict
    assert "but returns nothing" in report.verdict


def test_two_wrong_layers_are_found() -> None:
    rows = [L.Flatten(), Forgets(name="low"), L.Dense(4), Averages(name="high"), L.Dense(3)]
    model = net(rows=[*rows, L.Softmax()])
    assert set(explain.check_gradients(model, *data()).wrong) == {"low", "high"}


def test_wrong_loss_is_distinguished_from_layers() -> None:
    def squares(y_true: Any, y_pred: Any) -> Any:
        return ((y_pred - y_true) ** 2).mean(axis=-1)

    squares.backward = lambda d, y_true, y_pred: d[..., None] * (y_pred - y_true)
    model = keras.Sequential([L.Input((2,)), L.Dense(3)])
    model.compile("sgd", squares)
    report = explain.check_gradients(model, [[1.0, 2.0]], [[1.0, 0.0, 3.0]])
    assert report.wrong == ["loss"]
    assert "are also incorrect: dense/kernel, dense/bias" in report.verdict


def test_wrong_activation_is_attributed_to_layer() -> None:
    def square(x: Any) -> Any:
        return x * x

    square.backward = lambda d_y, x, y: x * d_y
    own = L.Dense(6, activation=activations.get(square), name="own")
    report = explain.check_gradients(with_own(own), *data())
    assert report.wrong == ["own"]
    assert "own (Dense, square)" in report.verdict


def test_wrong_regularizer_gradient_is_found() -> None:
    class Wrong(keras.regularizers.L2):
        def gradient(self, w: Any) -> Any:
            return 3 * super().gradient(w)

    dense = L.Dense(3, "softmax", name="digit", kernel_regularizer=Wrong(0.1))
    report = explain.check_gradients(net(rows=[L.Flatten(), dense]), *data())
    assert not report.ok
    assert report.wrong == []
    assert "digit/kernel, although each layer in isolation is correct: check the" in report.verdict


def test_check_all_or_some_elements() -> None:
    x, y = data()
    report = explain.check_gradients(net(), x, y, max_per_weight=None)
    assert report.ok
    assert [c.checked for c in report.net] == [120, 6, 18, 3]
    report = explain.check_gradients(net(), x, y, max_per_weight=7)
    assert [c.checked for c in report.net] == [7, 6, 7, 3]


def test_kinks_are_not_reported_as_errors() -> None:
    # Every pre-activation is 0, at the kink of relu, and remains within h of 0 when an element is
    # changed by h.
    dense = L.Dense(6, activation="relu", kernel_initializer="zeros")
    model = net(rows=[L.Flatten(), dense, L.Dense(3, "softmax")])
    assert explain.check_gradients(model, *data()).ok


# ------------------------------------------------------------ graphs and custom models


def two_towers(own: Any) -> tuple[Any, list[Any], list[Any]]:
    """Return a model with two inputs, shared layers and two outputs, and a batch."""
    left, right = L.Input((4,), name="left"), L.Input((4,), name="right")
    shared = L.Dense(5, "relu", name="shared")
    both = ops.concatenate([own(shared(left)), own(shared(right))], axis=-1)
    inner = keras.Sequential([L.Dense(3, "tanh", name="hidden")], name="inner")
    z = inner(both) + 1.0
    digit, size = L.Dense(3, "softmax", name="digit")(z), L.Dense(1, name="size")(z)
    model = keras.Model([left, right], [digit, size])
    losses = ["sparse_categorical_crossentropy", "mse"]
    model.compile("adam", losses, loss_weights=[1.0, 0.5])
    rng = np.random.default_rng(0)
    x = [rng.random((6, 4), np.float32) for _ in range(2)]
    return model, x, [rng.integers(0, 3, 6), rng.random((6, 1), np.float32)]


class Residual(L.Layer):
    """A layer with sublayers, a weight and an added loss, without a `backward`."""

    def __init__(self, dense: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense, self.norm = dense, L.BatchNormalization(name="norm")

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight((4,), "ones", name="scale")
        super().build(input_shape)

    def call(self, x: Any, training: bool = False) -> Any:
        self.add_loss(0.1 * ops.mean(ops.square(x)))
        return x + self.scale * self.norm(self.dense(x), training=training)


class Blocks(keras.Model):
    """A subclassed model with a list of layers."""

    def __init__(self, dense: Any) -> None:
        super().__init__()
        self.blocks = [
            Residual(L.Dense(4, "relu", name="dense"), name="low"),
            Residual(dense, name="high"),
        ]
        self.out = L.Dense(2, name="out")

    def call(self, x: Any, training: Any = None) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.out(x)


def scaled_squares(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_pred - y_true) * 1.5, axis=-1)


def test_correct_graph_gradients_pass() -> None:
    model, x, y = two_towers(Scale(name="own"))
    before = bits(model)
    report = explain.check_gradients(model, x, y, max_per_weight=None)
    assert report.ok, report
    assert bits(model) == before
    names = [(c.layer, c.array) for c in report.net]
    assert ("own", "factor") in names
    assert ("inner/hidden", "kernel") in names
    assert len(names) == len(model.trainable_weights)
    assert [c.array for c in report.alone[:2]] == ["output 1", "output 2"]


@pytest.mark.parametrize("kind", [Forgets, Averages])
def test_wrong_shared_layer_is_named(kind: type[Scale]) -> None:
    model, x, y = two_towers(kind(name="own"))
    report = explain.check_gradients(model, x, y)
    assert report.wrong == ["own"]
    assert ("shared/kernel" in report.verdict) == (kind is Forgets)


def test_graph_step_shows_every_call() -> None:
    model, x, y = two_towers(Scale(name="own"))
    shown = explain.step(model, x, y, "shared/kernel")
    calls = ["shared", "shared", "own", "own", "inner/hidden", "size", "digit"]
    assert [layer.name for layer in shown.layers] == calls
    for layer, entry in zip(shown.layers, (x[1], x[0]), strict=False):  # in Keras' call order
        np.testing.assert_array_equal(layer.x, entry)
    loss, gradients = model.loss_and_gradients(x, y)
    assert shown.loss == pytest.approx(loss)
    assert_same(gradients, [*shown.gradients.values()])
    # Both calls of the shared layer contribute to its gradient.
    assert shown.chosen.x_i.shape == (12,)
    assert shown.chosen.products.sum() == pytest.approx(shown.chosen.gradient, rel=1e-5)
    text = str(shown)
    assert len(re.findall(r"shared \(Dense, relu\) +input", text)) == 2
    assert text.count(" d factor ") == 1


def test_subclassed_model_is_explained() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((6, 4), np.float32), rng.random((6, 2), np.float32)
    model = Blocks(L.Dense(4, "tanh", name="dense"))
    model.compile("adam", scaled_squares)
    shown = explain.step(model, x, y)
    assert [layer.name for layer in shown.layers] == [
        *("low/dense", "low/norm", "low", "high/dense", "high/norm", "high", "out")
    ]
    loss, gradients = model.loss_and_gradients(x, y)
    assert shown.loss == pytest.approx(loss)
    assert_same(gradients, [*shown.gradients.values()])
    report = explain.check_gradients(model, x, y)
    assert report.ok, report
    assert {("low", "scale"), ("high/norm", "gamma")} <= {(c.layer, c.array) for c in report.net}


def test_wrong_nested_layer_is_named() -> None:
    rng = np.random.default_rng(0)
    model = Blocks(Forgets(name="own"))
    model.compile("adam", scaled_squares)
    report = explain.check_gradients(model, rng.random((6, 4)), rng.random((6, 2)))
    assert report.wrong == ["high/own"]


def test_layers_without_effect_on_loss() -> None:
    x = L.Input((4,))
    y = L.Dense(2, name="used")(x)
    unused = L.Dense(3, name="second")(L.Dense(3, "relu", name="first")(x))
    model = keras.Model(x, [y, unused])
    model.compile("adam", ["mse", None])
    rng = np.random.default_rng(0)
    data = rng.random((6, 4), np.float32), [rng.random((6, 2), np.float32), None]
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        report = explain.check_gradients(model, *data)
    assert report.ok, report
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        shown = explain.step(model, *data)
    assert set(shown.gradients) == {"used/kernel", "used/bias"}


# ------------------------------------------------------------ notebooks


def test_notebooks_show_html_tables() -> None:
    x, y = data()
    model = net()
    history = model.fit(x, y, epochs=4, validation_data=(x, y), validation_freq=2, verbose=0)
    html = model._repr_html_()
    for part in ("hidden (Dense)", "(None, 6)", "126", "Total params: 443", "Optimizer params"):
        assert part in html
    html = history._repr_html_()
    assert html.count("<tr>") == 5
    assert f">{history.history['loss'][3]:.4g}</td>" in html
    seen = ", ".join(f"{value:.4g}" for value in history.history["val_loss"])
    assert f"val_loss, not in every epoch: {seen}" in html
    assert "?" in keras.Sequential([L.Dense(3, name="<b>")])._repr_html_()
    assert "&lt;b&gt;" in keras.Sequential([L.Dense(3, name="<b>")])._repr_html_()
