"""Training on the drawing page: its arithmetic, controls and experiments, in a real browser."""

from __future__ import annotations

import base64
import json
import re
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tests import browser
from tests.test_demo import draw, net, path, resize
from tinynet import datasets, demo
from tinynet.datasets import drawn_digits

L = keras.layers
pytestmark = pytest.mark.skipif(bool(browser.MISSING), reason=browser.MISSING)
FOLDER = Path(demo.__file__).parent
TAB, ENTER, RIGHT, DOWN = "\ue004", "\ue007", "\ue014", "\ue015"


@pytest.fixture(scope="module")
def data() -> Any:
    """Return 1,000 digits for training and 100 for testing."""
    return drawn_digits.load_data(n_train=1000, n_test=100)


def open_page(chromium: browser.Browser, folder: Path, data: Any, model: Any = None) -> Any:
    demo.show(model, folder / "demo.html", data, "synthetic digits", open_it=False)
    resize(chromium, 1100, 900)
    chromium.open(folder / "demo.html")
    chromium.wait("return trainer !== null && trainer.history.length > 0")
    assert chromium.messages() == []
    return chromium


@pytest.fixture
def page(chromium: browser.Browser, data: Any, tmp_path: Path) -> browser.Browser:
    page = open_page(chromium, tmp_path, data)
    page.run("changeSetting('units', 16)")
    return page


def network(units: int, activation: str) -> Any:
    keras.utils.set_random_seed(1)
    model = net(L.Flatten(), L.Dense(units, activation), L.Dense(10, "softmax"))
    for weight in model.weights:
        if weight.name == "bias":
            weight.assign(np.random.default_rng(0).normal(0, 0.1, weight.shape))
    return model


def stored(images: np.ndarray) -> np.ndarray:
    """Return images as the page stores them, with 16 shades from 0 to 1."""
    shades: np.ndarray = np.rint(images / 17) / 15
    return shades.astype(np.float32)


ROWS = "Uint32Array.from({ length: arguments[0] }, (_, i) => i + arguments[1])"
PROBABILITIES = f"return Array.from(trainer.forward({ROWS}, null).probabilities)"
WEIGHTS = "return Array.from(trainer.w.subarray(0, 795 * arguments[0] + 10))"


def weights_of(page: browser.Browser, units: int) -> np.ndarray:
    """Return all parameters: 784 * U + U + U * 10 + 10."""
    return np.array(page.run(WEIGHTS, units))


# ------------------------------------------------------------ arithmetic

OPTIMIZERS = {
    "sgd": keras.optimizers.SGD(0.1),
    "momentum": keras.optimizers.SGD(0.03, momentum=0.9),
    "rmsprop": keras.optimizers.RMSprop(0.001),
    "adam": keras.optimizers.Adam(0.003),
}


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "linear"])
@pytest.mark.parametrize("units", [32, 13])
def test_steps_match_python(
    activation: str, units: int, chromium: browser.Browser, data: Any, tmp_path: Path
) -> None:
    """Compare steps of each optimizer; 32 units use the kernels, 13 units also their twins."""
    model = network(units, activation)
    start = model.get_weights()
    page = open_page(chromium, tmp_path, data, model)
    assert page.run("return trainer.settings.units") == units
    x, y = stored(data[0][0][:64]), data[0][1][:64]
    for name, optimizer in OPTIMIZERS.items():
        model.set_weights(start)
        model.compile(
            optimizer.from_config(optimizer.get_config()), "sparse_categorical_crossentropy"
        )
        page.run("window.before ??= trainer.w.slice(); trainer.w.set(before)")
        page.run("changeSetting('optimizer', arguments[0])", name)
        rate = float(optimizer.learning_rate)
        assert page.run("return trainer.settings.rate") == pytest.approx(rate)
        for step in range(2):
            rows = slice(32 * step, 32 * step + 32)
            loss = model.train_on_batch(x[rows], y[rows])
            first = 100 + rows.start  # the page stores the test images first
            found = page.run(f"return trainer.trainOn({ROWS})", 32, first)
            expected = np.concatenate([w.ravel() for w in model.get_weights()])
            np.testing.assert_allclose(weights_of(page, units), expected, atol=1e-5)
            assert found["loss"] / 32 == pytest.approx(float(loss), abs=1e-5)
        moved = np.abs(expected - np.concatenate([w.ravel() for w in start])).max()
        assert moved > 1e-3


def test_twins_match_kernels(page: browser.Browser) -> None:
    """Train with the WebAssembly kernels, then without them."""
    script = """
        trainer.memory.kernels = arguments[0] ? (window.kernels ??= trainer.memory.kernels) : null;
        changeSetting("optimizer", arguments[1]);
        trainer.restart();
        for (let i = 0; i < 4; i++) trainer.trainStep();
    """
    for name in OPTIMIZERS:
        found = []
        for fast in (True, False):
            page.run(script, fast, name)
            assert page.run("return trainer.memory.kernels !== null") == fast
            found.append(weights_of(page, 16))
        np.testing.assert_allclose(*found, atol=2e-5)
        page.run("trainer.memory.kernels = kernels")


def test_predictions_match_python(chromium: browser.Browser, data: Any, tmp_path: Path) -> None:
    """Compare 200 predictions, and the loss and accuracy on the test images."""
    model = network(32, "relu")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    (x, y), (x_test, y_test) = data
    model.fit(stored(x), y, epochs=5, verbose=0)
    page = open_page(chromium, tmp_path, data, model)
    found = page.run(PROBABILITIES, 200, 100)
    expected = model.predict(stored(x[:200]), verbose=0)
    np.testing.assert_allclose(np.reshape(found, (200, 10)), expected, atol=1e-5)
    assert len({*expected.argmax(axis=1)}) == 10
    held = page.run("return trainer.evaluate()")
    loss, accuracy = model.evaluate(stored(x_test), y_test, verbose=0)
    assert held["loss"] == pytest.approx(loss, abs=1e-5)
    assert held["accuracy"] == pytest.approx(accuracy)
    hidden = keras.Sequential(model.layers[:2])(stored(x_test)).numpy()
    np.testing.assert_allclose(held["active"], (hidden > 0).mean(axis=0), atol=1e-6)
    assert held["dead"] == [not unit for unit in (hidden > 0).any(axis=0)]


def test_dropout_keeps_the_mean(page: browser.Browser) -> None:
    page.run("trainer.settings.dropout = 0.3")
    mask = np.array(page.run("return Array.from(trainer.mask(1000, true))"))
    np.testing.assert_allclose(np.unique(mask), [0, 1 / 0.7], rtol=1e-6)
    assert (mask == 0).mean() == pytest.approx(0.3, abs=0.02)
    assert page.run("return trainer.mask(10, false)") is None


def test_random_numbers_are_uniform(page: browser.Browser) -> None:
    script = """const random = new Random(arguments[0]);
        return Array.from({ length: 20000 }, () => random.uniform());"""
    first, second = (np.array(page.run(script, seed)) for seed in (0, 1))
    for values in (first, second):
        assert 0 <= values.min() < 1e-3 < 0.999 < values.max() < 1
        assert np.histogram(values, 10, (0, 1))[0].std() < 5 * np.sqrt(2000)
        assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.05
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
    order = page.run(f"return Array.from(new Random(3).shuffle({ROWS}))", 50, 0)
    assert sorted(order) == list(range(50)) != order


# ------------------------------------------------------------ controls

CURVE = "return trainer.history.map((p) => [p.seen, p.loss, p.testLoss, p.testAccuracy])"


def click(page: browser.Browser, name: str, kind: str = "mouse") -> None:
    """Click or tap the center of an element."""
    x, y = page.run(
        """const element = document.querySelector(arguments[0]);
        element.scrollIntoView({ block: "center" });
        const r = element.getBoundingClientRect();
        return [Math.round(r.x + r.width / 2), Math.round(r.y + r.height / 2)];""",
        name,
    )
    down = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
    page.pointer([{"type": "pointerMove", "duration": 0, "x": x, "y": y}, *down], kind)


def text(page: browser.Browser, name: str) -> str:
    return page.run("return document.getElementById(arguments[0]).textContent", name)


def test_training_improves_the_accuracy(page: browser.Browser) -> None:
    assert text(page, "is-seen") == "0"
    page.run(
        """window.heard = 0;
        new MutationObserver(() => heard++)
            .observe(document.getElementById("spoken"), { childList: true });"""
    )
    click(page, "#train")
    assert text(page, "train") == "Pause"
    page.wait("return trainer.history.at(-1)?.testAccuracy > 0.9")
    click(page, "#train", "touch")
    seen = page.run("return trainer.seen")
    assert text(page, "train") == "Train"
    assert text(page, "is-seen") == f"{seen:,}"
    assert float(text(page, "is-test-accuracy").rstrip("%")) > 90
    # Screen readers hear the start, the goals and the pause, not every refresh.
    assert page.run("return heard") <= 4
    assert text(page, "spoken").startswith(f"Paused. {seen:,} images")
    label = "return document.getElementById('curve-accuracy').getAttribute('aria-label')"
    assert re.fullmatch(r"Accuracy: \d+\.\d% on the held-out images", page.run(label))
    draw(page, path(3), "mouse")
    page.wait("return document.getElementById('digit').textContent !== '–'")
    assert page.messages() == []


def test_restart_gives_the_same_curve(page: browser.Browser) -> None:
    page.run("trainer.settings.dropout = 0.2; for (let i = 0; i < 60; i++) trainer.trainStep()")
    first = page.run(CURVE)
    click(page, "#restart")
    assert page.run("return trainer.seen") == 0
    page.run("for (let i = 0; i < 60; i++) trainer.trainStep()")
    assert page.run(CURVE) == first
    assert len(first) > 3
    page.run("changeSetting('seed', 5); for (let i = 0; i < 60; i++) trainer.trainStep()")
    assert page.run(CURVE) != first


def test_diverged_training_stops(page: browser.Browser) -> None:
    """Explain NaN instead of displaying it as a probability, and don't save it."""
    page.run(
        "Object.assign(trainer.settings, { activation: 'linear', optimizer: 'sgd', rate: 10 })"
    )
    draw(page, path(0), "mouse")
    page.wait("return !blank")
    click(page, "#train")
    page.wait("return !running")
    told = "The weights or the loss are no longer finite numbers"
    assert told in text(page, "spoken")
    shown = page.run("return document.body.innerText")
    assert told in shown
    assert "The probabilities are not numbers" in shown
    assert "NaN%" not in shown
    disabled = "return document.getElementById('save-network').disabled"
    assert page.run(disabled)
    page.run("changeSetting('rate', 0.1); restart()")
    assert told not in page.run("return document.body.innerText")
    assert not page.run(disabled)
    # As in NumPy, relu propagates NaN.
    assert page.run("const y = [0]; elementwise('relu', [NaN], y); return Number.isNaN(y[0])")


def test_equal_probabilities_predict_the_first_class(page: browser.Browser, data: Any) -> None:
    page.run("trainer.settings.initial = 0; trainer.restart()")
    share = (data[1][1] == 0).mean()
    assert page.run("return trainer.evaluate().accuracy") == pytest.approx(share)


def test_axis_labels_are_exact(page: browser.Browser) -> None:
    script = "return arguments[0].map((v) => [0, 1, 2, 3, 4].map((i) => nice([v]) * i / 4)).flat()"
    values = [2e-3, 0.3, 1.1, 2.4, 7, 13, 30, 999, 3e6, 2e30]
    for value in page.run(script, values):
        label = page.run("return small(arguments[0])", value)
        assert float(label) == pytest.approx(value, rel=1e-12)
        assert len(label) <= 7


def test_step_and_slow_motion(page: browser.Browser) -> None:
    for kind in ("mouse", "touch"):
        click(page, "#step", kind)
    assert text(page, "is-steps") == "2"
    page.run("document.getElementById('step').focus()")
    page.keys(ENTER)
    assert text(page, "is-steps") == "3"
    click(page, "#slow")
    page.run("window.steps = trainer.step; window.began = performance.now(); start()")
    page.wait("return trainer.step >= steps + 3")
    assert page.run("return performance.now() - began") > 900  # a step every 500 ms
    page.run("pause()")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", 0.01), ("batch", 8), ("units", 64), ("activation", "tanh"), ("dropout", 0.5),
        ("optimizer", "sgd"), ("seed", 9),
    ],
)  # fmt: skip
def test_settings_change_during_training(name: str, value: Any, page: browser.Browser) -> None:
    page.run("start()")
    page.wait("return trainer.step > 5")
    page.run(
        """const control = document.getElementById(arguments[0]);
        control.value = arguments[1];
        window.before = trainer.step;
        control.dispatchEvent(new Event("change"));
        window.step = trainer.step;""",
        name, value,
    )  # fmt: skip
    assert page.run("return step >= before") == (name not in ("units", "seed"))
    page.wait("return trainer.step > step + 5")
    page.run("pause()")
    assert page.run("return trainer.settings[arguments[0]]", name) == value
    size = page.run("return [trainer.w.length, weights === trainer.w, tiles.length]")
    units = 64 if name == "units" else 16
    assert size == [-(-(795 * units + 10) // 4) * 4, True, units]
    assert page.messages() == []


def test_unit_is_inspected_by_keyboard(page: browser.Browser) -> None:
    page.run("for (let i = 0; i < 40; i++) trainer.trainStep(); refresh()")
    draw(page, path(0), "mouse")
    page.wait("return document.getElementById('digit').textContent !== '–'")
    page.run("document.getElementById('seed').focus()")
    page.keys(TAB + RIGHT * 3 + ENTER)
    assert text(page, "unit-name") == "Unit 4"
    numbers = re.findall(r"[−\d]+\.\d\d\d", text(page, "unit-sum"))
    z, total, bias, y = (float(number.replace("−", "-")) for number in numbers)
    expected = page.run(
        """const pixels = Array.from(drawn, (byte) => byte / 255);
        const [kernel, bias] = split(trainer.w, 16);
        return [pixels.reduce((sum, x, i) => sum + x * kernel[16 * i + 3], 0), bias[3]]"""
    )
    np.testing.assert_allclose([total, bias], expected, atol=0.0006)
    assert z == pytest.approx(total + bias, abs=0.0011)
    assert y == max(z, 0)
    # The canvas shows the weights: the opaque pixels are the largest.
    shown = page.run(
        """const { data } = document.getElementById("unit-weights").getContext("2d")
            .getImageData(0, 0, 28, 28);
        return Array.from(data.filter((_, i) => i % 4 === 3));"""
    )
    kernel = weights_of(page, 16)[: 784 * 16].reshape(784, 16)[:, 3]
    np.testing.assert_allclose(shown, 255 * np.abs(kernel) / np.abs(kernel).max(), atol=1)
    page.keys(DOWN)
    assert page.run("return document.activeElement.getAttribute('aria-label')").startswith("Unit ")


@pytest.mark.slow
def test_classes_are_named(chromium: browser.Browser, data: Any, tmp_path: Path) -> None:
    """A page for Fashion-MNIST speaks of images, not of digits."""
    names = [*datasets.fashion_mnist.CLASS_NAMES[:9], "</script><b>"]
    demo.show(network(16, "relu"), tmp_path / "demo.html", data, "clothes", names, open_it=False)
    chromium.open(tmp_path / "demo.html")
    chromium.wait("return trainer !== null && trainer.history.length > 0")
    rows = "return [...document.querySelectorAll(arguments[0])].map((row) => row.textContent)"
    assert chromium.run(rows, "#bars b") == chromium.run(rows, "#label option") == names
    draw(chromium, path(7), "touch")
    chromium.wait("return !blank")
    best = names[chromium.run("const p = answer.probabilities; return p.indexOf(Math.max(...p))")]
    assert text(chromium, "digit") == best
    chromium.wait(f"return $('spoken').textContent.startsWith('Prediction {best}, ')")
    chromium.run("$('label').value = 9")
    click(chromium, "#add", "touch")
    assert text(chromium, "added").startswith("Added as </script><b>: 1 of your drawings")
    assert chromium.run("return $('example').hidden")
    said = "return document.title + document.body.innerText + " + (
        "[...document.querySelectorAll('[aria-label]')].map((e) => e.ariaLabel)"
    )
    assert "digit" not in chromium.run(said).lower()
    assert chromium.messages() == []


def test_switching_a_unit_off_costs_accuracy(page: browser.Browser) -> None:
    page.run("for (let i = 0; i < 40; i++) trainer.trainStep(); choose(2)")
    whole = page.run("return trainer.evaluate().accuracy")
    click(page, "#switch")
    less = page.run("return trainer.evaluate().accuracy")
    output = weights_of(page, 16)[785 * 16 :][:160]
    page.run("split(trainer.w, 16)[2].fill(0, 20, 30)")  # has the same effect
    assert page.run("switchedOff.clear(); return trainer.evaluate().accuracy") == less
    page.run("split(trainer.w, 16)[2].set(arguments[0]); switchedOff.add(2)", output.tolist())
    assert f"{100 * whole:.2f}% → {100 * less:.2f}%" in text(page, "cost")
    assert page.run("return predict(new Array(784).fill(0.5)).hidden[0][2]") == 0
    page.run("document.getElementById('switch').focus()")
    page.keys(ENTER)
    assert "Unit 3 is switched on" in text(page, "cost")
    assert page.run("return trainer.evaluate().accuracy") == whole


def test_drawings_join_the_training_images(page: browser.Browser) -> None:
    click(page, "#add")
    assert text(page, "added") == "Draw an image first."
    draw(page, path(7), "touch")
    page.wait("return document.getElementById('digit').textContent !== '–'")
    page.run("document.getElementById('label').value = 7")
    click(page, "#add", "touch")
    assert text(page, "added").startswith("Added as 7: 1 of your drawings")
    page.run("trainer.trainStep()")
    assert page.run("return trainer.order.filter((row) => row === 1100).length") == 20
    assert page.run("return [trainer.labels[1100], trainer.order.length]") == [7, 1020]
    # The pixels of the training image are those of the drawing, with 16 shades.
    found = page.run(
        """const [a, b] = trainer.images.starts.slice(1100, 1102), image = new Array(784).fill(0);
        for (let i = a; i < b; i++) image[trainer.images.pixels[i]] = trainer.images.values[i];
        return [image, Array.from(drawn)];"""
    )
    np.testing.assert_allclose(found[0], stored(np.array(found[1])), atol=1e-6)


# ------------------------------------------------------------ experiments

STATE = """return JSON.stringify([Array.from(trainer.w), trainer.settings, trainer.history,
    trainer.step, trainer.seen, Array.from(trainer.labels), Array.from(trainer.images.values)])"""
BREAKS = {
    "Learning rate 10": ("rate", 10),
    "All weights 0": ("initial", 0),
    "No bias": ("bias", False),
    "No normalization": ("most", 255),
    "Shuffled labels": ("shuffled", True),
    "Saturated sigmoid": ("activation", "sigmoid"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BREAKS)
def test_experiments_are_undone(name: str, page: browser.Browser) -> None:
    page.run("for (let i = 0; i < 30; i++) trainer.trainStep(); refresh()")
    before, accuracy = page.run(STATE), page.run("return trainer.evaluate().accuracy")
    number = 1 + [*BREAKS].index(name)
    assert text(page, "breaks").count(name) == 1
    click(page, f"#breaks button:nth-child({number})")
    key, value = BREAKS[name]
    assert page.run("return trainer.settings[arguments[0]]", key) == value
    page.wait("return trainer.step > 100")
    # The number of steps until now depends on the load of the machine.
    page.run("pause(); trainer.restart(); while (trainer.step < 100) trainer.trainStep()")
    effect = text(page, "effect")
    for place in re.findall(r"(?:examples|tinynet)/[\w/.]+\w", effect):
        assert (FOLDER.parents[1] / place).exists()
    for place in re.findall(r"tinynet\.([\w.]+\w)", effect):
        found: Any = keras
        for part in place.split("."):
            found = getattr(found, part)
    broken = page.run("return trainer.evaluate().accuracy")
    if name != "No bias":  # the explanation says that its effect is small
        assert broken < accuracy - 0.05
    if key == "bias":
        assert page.run(
            "const [, a, , b] = split(trainer.w, 16); return [...a, ...b].every((x) => !x)"
        )
    page.run("document.querySelector(arguments[0]).focus()", f"#breaks button:nth-child({number})")
    page.keys(ENTER)
    page.run("pause()")
    assert page.run(STATE) == before
    assert "was undone" in text(page, "effect")
    assert page.messages() == []


def test_another_experiment_undoes_the_first(page: browser.Browser) -> None:
    before = page.run(STATE)
    page.run("document.querySelectorAll('#breaks button')[1].click(); pause()")
    page.run("document.querySelectorAll('#breaks button')[4].click(); pause()")
    assert page.run("return [trainer.settings.initial, trainer.settings.shuffled]") == [1, True]
    page.run("document.querySelectorAll('#breaks button')[4].click(); pause()")
    assert page.run(STATE) == before


# ------------------------------------------------------------ export

SETTINGS = [
    {},
    {"dropout": 0.2, "optimizer": "momentum", "rate": 0.03, "activation": "tanh"},
    {"bias": False, "optimizer": "sgd", "rate": 0.1, "most": 255},
    {"initial": 0, "optimizer": "rmsprop", "shuffled": True},
    {"initial": 30, "activation": "sigmoid", "batch": 32},
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS)
def test_keras_program_runs_unchanged(
    settings: dict[str, Any], page: browser.Browser, data: Any, monkeypatch: Any, capsys: Any
) -> None:
    page.run("Object.assign(trainer.settings, arguments[0])", settings)
    script = "return kerasProgram(trainer, arguments[0])"
    ours, theirs = (page.run(script, library).split("\n") for library in ("tinynet", "keras"))
    changed = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
    assert changed == [("import tinynet as keras", "import keras")]
    real = pytest.importorskip("keras")
    for library, program in ((keras, ours), (real, theirs)):
        monkeypatch.setattr(library.datasets.mnist, "load_data", lambda: data)
        names: dict[str, Any] = {}
        exec("\n".join(program), names)
        model = names["model"]
        assert re.search(r"Test accuracy: [01]\.\d{4}\n", capsys.readouterr().out)
        units = [w.shape for w in model.weights]
        bias = settings.get("bias", True)
        assert units == [(784, 16), (16,), (16, 10), (10,)][:: 1 if bias else 2]
        assert float(model.optimizer.learning_rate) == pytest.approx(settings.get("rate", 0.003))
        assert model.layers[1].activation.__name__ == settings.get("activation", "relu")
    page.run("trainer.images.name = 'Fashion-MNIST'")
    assert "keras.datasets.fashion_mnist.load_data()" in page.run(script, "keras")


@pytest.mark.parametrize("settings", SETTINGS[:3])
def test_network_is_loaded_by_python(
    settings: dict[str, Any], page: browser.Browser, tmp_path: Path, data: Any
) -> None:
    page.run(
        """Object.assign(trainer.settings, arguments[0]);
        trainer.restart();
        for (let i = 0; i < 30; i++) trainer.trainStep();
        switchedOff.add(2);""",
        settings,
    )
    (tmp_path / "net.json").write_text(page.run("return networkFile(trainer)"))
    model = keras.models.load_model(tmp_path / "net.json")
    held = [w.ravel() for w in model.get_weights()]
    expected = weights_of(page, 16)
    expected[785 * 16 + 20 : 785 * 16 + 30] = 0  # the weights from unit 3, which is switched off
    if not settings.get("bias", True):
        expected = np.concatenate([expected[: 784 * 16], expected[785 * 16 :][:160]])
    np.testing.assert_array_equal(np.concatenate(held), expected.astype(np.float32))
    x = stored(data[1][0]) * settings.get("most", 1)
    found = page.run(PROBABILITIES.replace("null", "trainer.mask(100, false)"), 100, 0)
    probabilities = model.predict(x, verbose=0)
    np.testing.assert_allclose(np.reshape(found, (100, 10)), probabilities, atol=1e-4)
    assert any(type(layer) is L.Dropout for layer in model.layers) == ("dropout" in settings)


def test_files_are_downloaded(page: browser.Browser, tmp_path: Path) -> None:
    page.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for button, name in (("#save-network", "net.json"), ("#save-program", "train.py")):
        click(page, button)
        file = tmp_path / name
        page.wait("return true")
        for _ in range(500):
            if file.exists():
                break
            page.run("return new Promise((done) => setTimeout(done, 20))")
        assert file.exists()
    assert keras.models.load_model(tmp_path / "net.json").output_shape == (None, 10)
    assert (tmp_path / "train.py").read_text() == text(page, "program")


# ------------------------------------------------------------ other models, and the page itself


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two hidden layers", "gelu-like", "without bias"])
def test_other_models_are_replaced_when_training(
    name: str, chromium: browser.Browser, data: Any, tmp_path: Path
) -> None:
    rows = {
        "two hidden layers": [L.Dense(8, "relu"), L.Dense(6, "relu"), L.Dense(10, "softmax")],
        "gelu-like": [L.Dense(8, "silu"), L.Dense(10, "softmax")],
        "without bias": [L.Dense(8, "relu", use_bias=False), L.Dense(10, "softmax")],
    }
    model = net(L.Flatten(), *rows[name])
    page = open_page(chromium, tmp_path, data, model)
    x = np.random.default_rng(0).random(784)
    script = "return Array.from(predict(arguments[0]).probabilities)"
    expected = model.predict(x.reshape(1, 28, 28), verbose=0)[0]
    np.testing.assert_allclose(page.run(script, x.tolist()), expected, atol=1e-5)
    # Until the training begins, the page shows that the units are those of another network.
    page.run("changeSetting('units', 16)")
    assert page.run("return [tiles.length, document.getElementById('switch').disabled]") == [
        16,
        True,
    ]
    assert "that of the stored network" in text(page, "unit-sum")
    page.run("changeSetting('units', 128)")
    click(page, "#step")
    assert page.run("return [weights === trainer.w, net.steps.length]") == [True, 4]
    assert "784-128-10" in text(page, "about")
    assert page.messages() == []


def test_models_are_trained_further(chromium: browser.Browser, data: Any, tmp_path: Path) -> None:
    model = net(L.Flatten(), L.Dense(24, "tanh", use_bias=False), L.Dropout(0.5),
                L.Dense(10, "softmax", use_bias=False))  # fmt: skip
    page = open_page(chromium, tmp_path, data, model)
    assert page.run("return [weights === trainer.w, trainer.settings.bias]") == [True, False]
    held = weights_of(page, 24)
    np.testing.assert_array_equal(held[: 784 * 24], model.get_weights()[0].ravel())
    np.testing.assert_array_equal(held[785 * 24 :][:240], model.get_weights()[1].ravel())
    again = "restart(); undoBreak(); networkChanged(); return untrained"
    assert page.run(f"document.querySelector('#breaks button').click(); pause(); {again}") is False
    np.testing.assert_array_equal(weights_of(page, 24), held)
    click(page, "#step")
    assert not np.array_equal(weights_of(page, 24), held)


def test_page_without_images_only_recognizes(chromium: browser.Browser, tmp_path: Path) -> None:
    demo.show(net(), tmp_path / "demo.html", open_it=False)
    chromium.open(tmp_path / "demo.html")
    chromium.messages()
    hidden = "return [...document.querySelectorAll('[data-training]')].every((e) => e.hidden)"
    assert chromium.run(hidden)
    assert chromium.run("return trainer") is None


@pytest.mark.parametrize("missing", ["WebAssembly", "DecompressionStream"])
def test_older_browsers(missing: str, chromium: browser.Browser, data: Any, tmp_path: Path) -> None:
    """Without WebAssembly, the page trains with JavaScript; without decompression, it predicts."""
    model = network(16, "relu")
    demo.show(model, tmp_path / "demo.html", data, "digits", open_it=False)
    command = "Page.addScriptToEvaluateOnNewDocument"
    added = chromium.devtools(command, source=f"delete window.{missing};")
    try:
        chromium.open(tmp_path / "demo.html")
    finally:
        chromium.devtools("Page.removeScriptToEvaluateOnNewDocument", **added)
    x = stored(data[1][0][:1])
    if missing == "WebAssembly":
        chromium.wait("return trainer !== null && trainer.history.length > 0")
        assert chromium.run("return trainer.memory.kernels") is None
        click(chromium, "#step")
        assert text(chromium, "is-steps") == "1"
    else:
        about = "return document.getElementById('about').textContent"
        chromium.wait(f"{about}.includes('does not support the training: DecompressionStream')")
        assert chromium.run("return document.querySelector('[data-training]').hidden")
        found = chromium.run(
            "return Array.from(predict(arguments[0]).probabilities)", x.ravel().tolist()
        )
        np.testing.assert_allclose(found, model.predict(x, verbose=0)[0], atol=1e-5)
    assert any(missing in message for message in chromium.messages())


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 820, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_layout_and_sizes(page: browser.Browser, width: int, scheme: str) -> None:
    resize(page, width, 844)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.devtools("Emulation.setEmulatedMedia", features=features)
    page.run("for (let i = 0; i < 30; i++) trainer.trainStep(); refresh()")
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    # Touch targets have at least 44 pixels in both directions (WCAG 2.2, 2.5.5).
    controls = "button, select, input[type=number], label.check"
    small = """const small = ({ width, height }) => Math.min(width, height) < 43.5;
        return [...document.querySelectorAll(arguments[0])]
            .filter((element) => small(element.getBoundingClientRect()))
            .map((element) => element.id || element.textContent)"""
    assert page.run(small, controls) == []
    unnamed = """return [...document.querySelectorAll("button, select, input, canvas")]
        .filter((e) => !e.textContent.trim() && !e.labels?.length && !e.closest("button") &&
            !e.getAttribute("aria-label"))
        .map((e) => e.outerHTML)"""
    assert page.run(unnamed) == []


def test_scripts_are_strict_and_leak_no_globals(page: browser.Browser) -> None:
    scripts = sorted(FOLDER.glob("*.js"))
    assert len(scripts) > 10
    declared = set()
    for script in scripts:
        source = script.read_text(encoding="utf-8")
        assert source.startswith('"use strict";\n')
        assert max(map(len, source.split("\n"))) <= 110
        declared |= set(re.findall(r"^(?:async )?function (\w+)", source, re.M))
    everything = "".join(script.read_text(encoding="utf-8") for script in scripts)
    assert [name for name in declared if len(re.findall(rf"\b{name}\b", everything)) < 2] == []
    own = """const frame = document.createElement("iframe");
        document.body.append(frame);
        const usual = new Set(Object.getOwnPropertyNames(frame.contentWindow));
        frame.remove();
        return Object.getOwnPropertyNames(window).filter((name) => !usual.has(name));"""
    found = {name for name in page.run(own) if not name.startswith(("cdc_", "ret_nodes"))}
    assert found <= declared  # without names of the browser driver


def test_images_are_evenly_chosen(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (x, y), (x_test, y_test) = data
    monkeypatch.setattr(sys.modules["tinynet.demo.page"], "_TRAIN", 300)
    text = demo.page(None, data, "digits </script>")
    held = re.search(r'<script id="images" type="application/json">(.*?)</script>', text, re.S)
    assert held
    images = json.loads(held[1])
    assert (images["name"], images["test"]) == ("digits </script>", 100)
    labels = np.frombuffer(base64.b64decode(images["labels"]), np.uint8)
    np.testing.assert_array_equal(labels, [*y_test, *y[::4]])
    packed = np.frombuffer(zlib.decompress(base64.b64decode(images["pixels"])), np.uint8)
    shades = np.stack([packed >> 4, packed & 15], axis=1).reshape(-1, 28, 28)
    np.testing.assert_allclose(shades / 15, stored(np.concatenate([x_test, x[::4]])), atol=1e-6)


def test_images_are_limited_in_size(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["tinynet.demo.page"], "_IMAGES", 50_000)
    text = demo.page(None, data)
    assert 100_000 < len(text) < 180_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x / 255, y), "train images must be a uint8 array"),
        (lambda x, y: (x.reshape(-1, 784), y), r"Received: uint8 \(1000, 784\)"),
        (lambda x, y: (x, y[:-1]), r"labels \w+ \(999,\)"),
        (lambda x, y: (x, y + 1), "with N labels from 0 to 9"),
        (lambda x, y: (x[:0], y[:0]), "train images must be"),
    ],
)
def test_other_data_raise(change: Any, message: str, data: Any) -> None:
    with pytest.raises(ValueError, match=message):
        demo.page(None, (change(*data[0]), data[1]))


def test_page_requires_model_or_data() -> None:
    with pytest.raises(ValueError, match="needs a model or data"):
        demo.page()


def test_page_requires_ten_names(data: Any) -> None:
    with pytest.raises(ValueError, match=r"ten names\. Received: class_names="):
        demo.page(None, data, class_names=["cat", "dog"])
