"""The demo page computes the same framing and predictions as Python, in a real browser."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from benchmarks import handwriting
from tests import browser
from tinynet import activations, cli, demo, layers
from tinynet.datasets import drawn_digits, frame_digit, framing

L = layers


def net(*rows: Any, shape: tuple[int, ...] = (28, 28)) -> Any:
    rows = rows or (L.Flatten(), L.Dense(128, "relu"), L.Dense(10, "softmax"))
    return keras.Sequential([L.Input(shape), *rows])


def few() -> dict[str, np.ndarray]:
    """Return 300 synthetic digits for training and 100 for testing, as in an .npz file."""
    (x, y), (x_test, y_test) = drawn_digits.load_data(n_train=300, n_test=100)
    return {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}


def contents(page: str) -> dict[str, Any]:
    found = re.search(r'<script id="net" type="application/json">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


# ------------------------------------------------------------ without a browser


def test_page_is_self_contained() -> None:
    model = net()
    page = demo.page(model)
    assert len(page.encode()) < 700_000
    assert not re.search(r"@\w+@|@\w+\.\w+@", page)
    # The page contains no URLs, and its content security policy forbids requests.
    assert not re.search(r"https?:|src=|@import|url\(|fetch\(|XMLHttpRequest|WebSocket", page)
    assert "default-src 'none'" in page
    held = contents(page)
    assert (held["shape"], held["dtype"]) == ("784-128-10", "float32")
    flat = np.frombuffer(base64.b64decode(held["weights"]), "<f4")
    np.testing.assert_array_equal(flat, np.concatenate([w.ravel() for w in model.get_weights()]))


def test_large_nets_are_stored_as_float16() -> None:
    half = demo.page(net(L.Flatten(), L.Dense(400, "relu"), L.Dense(10, "softmax")))
    assert contents(half)["dtype"] == "float16"
    assert 600_000 < len(half.encode()) <= 1_000_000
    model = net(L.Flatten(), L.Dense(400, "relu"), L.Dense(10, "softmax"))
    kernel = model.layers[1].kernel
    kernel.assign(np.full(kernel.shape, 1e6))  # beyond the range of float16
    assert contents(demo.page(model))["dtype"] == "float32"


def test_names_are_escaped_in_page() -> None:
    name = "<script>alert(1)<!--@IMAGES@"
    model = net(L.Flatten(), L.Dense(4, name=name), L.Dense(10))
    page = demo.page(model)
    assert name not in page
    assert contents(page)["steps"][0]["name"] == name


def residual(add: Any) -> Any:
    x = L.Input((28, 28))
    h = L.Dense(6, "relu")(L.Flatten()(x))
    return keras.Model(x, L.Dense(10)(add(h)), name="net")


def test_functional_models_use_their_graph() -> None:
    x = L.Input((28, 28))
    inner = keras.Sequential([L.Dense(6, "relu", name="low")])
    model = keras.Model(x, L.Dense(10, "softmax", name="high")(inner(L.Flatten()(x))))
    steps = contents(demo.page(model))["steps"]
    assert [step["name"] for step in steps] == ["low", "relu", "high", "softmax"]


def odd(x: Any) -> Any:
    return x


odd.backward = lambda d_y, x, y: d_y


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: keras.Sequential([L.Dense(10)]), "Received: an unbuilt model"),
        (lambda: net(L.Flatten(), L.Dense(3)), r"\(None, 28, 28\) and \(None, 3\)"),
        (lambda: net(L.Dense(10), shape=(20,)), r"Received: shapes \(None, 20\)"),
        (lambda: net(L.Flatten(), L.BatchNormalization(), L.Dense(10)), "batch_n.*type BatchNorm"),
        (lambda: net(L.Dense(3), L.Flatten(), L.Dense(10)), "Dense .after Fl.*Received: layer"),
        (lambda: net(L.Flatten(), L.Dense(10, "gelu")), "activation=gelu {.*} in layer 'dense"),
        (lambda: net(L.Flatten(), L.Dense(10, odd)), "activation=odd  in layer 'dense"),
        (lambda: net(L.Softmax(axis=1), L.Flatten(), L.Dense(10)), "softmax .* in layer 'softmax"),
        (lambda: net(L.Flatten(), L.Dense(10), L.Softmax(axis=0)), "softmax .* in layer 'softmax"),
        (lambda: residual(lambda h: L.Add()([h, h])), "Received: net, whose layers branch"),
        (lambda: residual(keras.ops.exp), "Received: layer 'exp' of type Operation"),
    ],
)
def test_unsupported_models_raise(model: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        demo.show(model(), tmp_path / "demo.html")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    addresses: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", lambda a: not addresses.append(a))
    return addresses


def test_command_writes_and_opens_page(opened: list[str], capsys: Any, tmp_path: Path) -> None:
    np.savez("data.npz", **few())
    data = ["--data", "data.npz"]
    assert cli.main(["demo", *data, "--no-open", "--out", "new.html"]) == 0
    assert "No model was found; run 'tinynet train'" in capsys.readouterr().out
    net().save(tmp_path / "a.tinynet")
    assert cli.main(["demo", "a.tinynet", *data, "--out", "new folder/a.html"]) == 0
    page = tmp_path / "new folder" / "a.html"
    assert opened == [page.as_uri()]
    assert re.fullmatch(r"Written to new folder/a.html, 0\.[67]\d MB\n", capsys.readouterr().out)
    (tmp_path / "output").mkdir()
    (tmp_path / "a.tinynet").rename(tmp_path / "output" / "model.tinynet")
    assert cli.main(["demo", *data, "--no-open", "--json"]) == 0
    told = {"model": "output/model.tinynet", "file": "output/demo.html", "opened": False}
    told |= {"data": "data.npz", "fallback": False}
    assert json.loads(capsys.readouterr().out) == told
    assert len(opened) == 1
    assert (tmp_path / "output" / "demo.html").read_text() == page.read_text()


def test_command_reports_missing_browser(
    opened: list[str], capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    net().save(tmp_path / "a.tinynet")
    np.savez("data.npz", **few())
    assert cli.main(["demo", "a.tinynet", "--data", "data.npz"]) == 0
    assert "open the file manually" in capsys.readouterr().out


# ------------------------------------------------------------ in a browser

needs_browser = pytest.mark.skipif(bool(browser.MISSING), reason=browser.MISSING)


@pytest.fixture(scope="module")
def trained(digits: Any) -> Any:
    """Train a network to a useful accuracy.

    Comparing the outputs of an untrained network would be a weak test.
    """
    (x, y), (x_test, y_test) = digits
    keras.random.set_seed(0)
    model = net()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=4, verbose=0)
    assert model.evaluate(x_test, y_test, verbose=0)[1] > 0.95
    return model


@pytest.fixture
def page(chromium: browser.Browser, trained: Any, tmp_path: Path) -> browser.Browser:
    return open_page(chromium, trained, tmp_path)


def resize(page: browser.Browser, width: int, height: int) -> None:
    size = {"width": width, "height": height, "mobile": width < 800}
    page.devtools("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, **size)


def open_page(chromium: browser.Browser, model: Any, folder: Path) -> browser.Browser:
    demo.show(model, folder / "demo.html", open_it=False)
    resize(chromium, 1100, 700)
    chromium.open(folder / "demo.html")
    chromium.messages()
    return chromium


def ask(page: browser.Browser, images: np.ndarray) -> np.ndarray:
    """Compute the probabilities of images (N, 28, 28) in [0, 1] with the page's own function."""
    script = "return arguments[0].map((x) => Array.from(predict(x).probabilities))"
    rows = images.reshape(len(images), -1).astype(np.float64)
    return np.array(page.run(script, rows.tolist()))


def path(digit: int) -> list[list[tuple[float, float]]]:
    """Return the strokes of a hand-drawn, off-center digit in the unit square."""
    strokes = drawn_digits.WAYS[digit][0][1].replace("|", "").split("/")
    points = [[tuple(map(float, p.split(","))) for p in stroke.split()] for stroke in strokes]
    return [[(0.15 + 0.0045 * x, 0.2 + 0.0055 * y) for x, y in stroke] for stroke in points]


def draw(page: browser.Browser, strokes: list[list[tuple[float, float]]], kind: str) -> None:
    page.run("pad.scrollIntoView({ block: 'center' })")
    left, top, width = page.run("const r = pad.getBoundingClientRect(); return [r.x, r.y, r.width]")
    actions: list[dict[str, Any]] = []
    for stroke in strokes:
        for i, (x, y) in enumerate(stroke):
            to = {"x": round(left + x * width), "y": round(top + y * width)}
            actions.append({"type": "pointerMove", "duration": 10 if i else 0, **to})
            if i == 0:
                actions.append({"type": "pointerDown", "button": 0})
        actions.append({"type": "pointerUp", "button": 0})
    page.pointer(actions, kind)


ANSWER = "return document.getElementById('digit').textContent"


@needs_browser
def test_mnist_images_match_python(page: browser.Browser, mnist: Any, trained: Any) -> None:
    images = mnist[1][0][:200]
    np.testing.assert_allclose(ask(page, images), trained.predict(images, verbose=0), atol=1e-4)


@needs_browser
def test_synthetic_images_match_python(page: browser.Browser, digits: Any, trained: Any) -> None:
    images = digits[1][0][:200]
    expected = trained.predict(images, verbose=0)
    # Python sums 784 products in float32, the page in float64: well within this tolerance.
    np.testing.assert_allclose(ask(page, images), expected, atol=1e-5)
    assert len(set(expected.argmax(axis=1))) == 10
    assert page.messages() == []


EVERY = ["linear", "sigmoid", "tanh", "elu", "silu", "softplus", "relu", "leaky_relu", "relu6"]
NETS = {
    "every activation": lambda: net(
        *(L.Activation("tanh"), L.Flatten(), L.Dropout(0.5)),
        *(L.Dense(12, activation=a) for a in EVERY),
        *(L.Dense(10), L.Softmax()),
    ),
    "options": lambda: net(
        L.Dense(20, use_bias=False),
        L.ReLU(max_value=0.5, negative_slope=0.2, threshold=0.1),
        L.Dense(20, activation=activations.elu.with_options(alpha=0.3)),
        L.LeakyReLU(0.1),
        L.Dense(12, activation="softmax"),
        L.Dense(10, activation="sigmoid"),
        shape=(784,),
    ),
    "nested model": lambda: net(
        L.Flatten(), keras.Sequential([L.Dense(8, activation="relu")]), L.Dense(10, "softmax")
    ),
    "no hidden layer": lambda: net(L.Flatten(), L.Dense(10, activation="softmax")),
    "channels": lambda: net(L.Flatten(), L.Dense(10, activation="softmax"), shape=(28, 28, 1)),
}


@needs_browser
@pytest.mark.parametrize("name", NETS)
def test_other_networks_match_python(name: str, chromium: browser.Browser, tmp_path: Path) -> None:
    model = NETS[name]()
    rng = np.random.default_rng(1)
    for weight in model.weights:  # including biases, and large enough to use every option
        weight.assign(rng.normal(0, 1.5 / np.sqrt(len(weight)), weight.shape))
    page = open_page(chromium, model, tmp_path)
    x = rng.random((20, *model.input_shape[1:])) * (rng.random((20, *model.input_shape[1:])) < 0.3)
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(ask(page, x), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.02
    hidden = sum(type(la) is L.Dense for la in model.layers) - 1 + (name == "nested model")
    assert page.run("return document.querySelectorAll('#hidden canvas').length") == hidden
    assert page.run("return document.getElementById('hidden').hidden") == (hidden == 0)
    assert page.messages() == []


@needs_browser
def test_page_applies_softmax_to_logits(chromium: browser.Browser, tmp_path: Path) -> None:
    model = net(L.Flatten(), L.Dense(10))
    x = np.random.default_rng(0).random((5, 28, 28))
    found = ask(open_page(chromium, model, tmp_path), x)
    expected = activations.softmax(model.predict(x, verbose=0)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@needs_browser
def test_float16_is_decoded(chromium: browser.Browser, tmp_path: Path) -> None:
    model = net(L.Flatten(), L.Dense(400, "relu"), L.Dense(10))
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    kernel = model.layers[1].kernel.numpy()
    kernel.flat[: every.size] = every
    model.layers[1].kernel.assign(kernel)
    page = open_page(chromium, model, tmp_path)
    found = page.run("return Array.from(weights.subarray(0, arguments[0]))", every.size)
    np.testing.assert_array_equal(np.array(found), every.astype(np.float64))


def drawings() -> list[np.ndarray]:
    """Return random uint8 images (h, w): digits, blots and lines of any size and shade."""
    rng = np.random.default_rng(0)
    (images, _), _ = drawn_digits.load_data(n_train=25, n_test=0)
    found = []
    for i, image in enumerate(images):
        big = np.kron(image, np.ones(rng.integers(1, 5, 2), np.uint8))
        big = np.pad(big, rng.integers(0, 40, (2, 2)))
        paper, ink = ((0, 255), (255, 0), (180, 20), (40, 200), (250, 90))[i % 5]
        grain = rng.normal(0, 3, big.shape)
        shade = paper + (ink - paper) * (big / 255.0) + grain * (i % 2)
        found.append(np.clip(np.rint(shade), 0, 255).astype(np.uint8))
    for _ in range(25):
        h, w = rng.integers(1, 90, 2)
        blot = np.zeros((h, w), np.uint8)
        for _ in range(3):
            y, x = rng.integers(0, h), rng.integers(0, w)
            size = rng.integers(1, 30, 2)
            blot[y : y + size[0], x : x + size[1]] = rng.integers(60, 256)
        found.append(blot)
    for i, name in enumerate(handwriting.DISTORTIONS):
        image = handwriting.DISTORTIONS[name](images[i % len(images)], rng)
        image = image if image.dtype == np.uint8 else handwriting.to_bytes(image)
        drawn = image.ndim == 2 and max(image.shape) <= framing.LARGEST
        if drawn and not np.array_equal(frame_digit(image), image):  # if it is not yet framed
            found.append(image)
    # Not digits: a frame, a pixel, noise that covers the page, and noise with a margin.
    found += [np.pad(np.pad(np.zeros((80, 80), np.uint8), 2, constant_values=255), 10)]
    found += [np.pad([[np.uint8(255)]], 99), rng.integers(0, 256, (90, 99), np.uint8)]
    found += [np.pad(rng.integers(0, 256, (40, 40), np.uint8), 9)]
    return [*found, np.zeros((30, 30), np.uint8), np.full((9, 30), 20, np.uint8)]


@needs_browser
def test_framing_matches_frame_digit(
    page: browser.Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    # While drawing, the page also classifies unfinished digits whose strokes do not touch, so the
    # check for several digits is disabled.
    monkeypatch.setattr(framing, "_several", lambda *pieces: False)
    script = """return arguments[0].map(({ grey, h, w }) => {
        const framed = frameDigit(Float64Array.from(grey, (byte) => byte / 255), h, w);
        return framed && Array.from(framed);
    })"""
    images = drawings()
    sent = [{"grey": i.ravel().tolist(), "h": i.shape[0], "w": i.shape[1]} for i in images]
    blank = 0
    for image, framed in zip(images, page.run(script, sent), strict=True):
        if framed is None:
            blank += 1
            with pytest.raises(ValueError, match="image must show a digit"):
                frame_digit(image)
        else:
            np.testing.assert_array_equal(np.array(framed).reshape(28, 28), frame_digit(image))
    assert 6 <= blank < 14


@needs_browser
@pytest.mark.parametrize(("digit", "kind"), [(3, "mouse"), (5, "touch"), (7, "pen"), (0, "mouse")])
def test_drawing_is_recognized(page: browser.Browser, trained: Any, digit: int, kind: str) -> None:
    assert page.run(ANSWER) == "–"
    draw(page, path(digit), kind)
    page.wait(f"return document.getElementById('digit').textContent === '{digit}'")
    spoken = "return document.getElementById('spoken').textContent"
    page.wait(f"{spoken}.startsWith('Prediction {digit}')")
    # The displayed probabilities are those that Python computes from the canvas.
    # String.fromCharCode accepts a limited number of arguments, so the pixels are converted row by
    # row.
    packed = page.run(
        """const alpha = ink.getImageData(0, 0, SIZE, SIZE).data.filter((_, i) => i % 4 === 3);
        const row = (_, y) => String.fromCharCode(...alpha.subarray(y * SIZE, (y + 1) * SIZE));
        return btoa(Array.from({ length: SIZE }, row).join(""));"""
    )
    alpha = np.frombuffer(base64.b64decode(packed), np.uint8)
    framed = frame_digit(alpha.reshape(448, 448))
    seen = page.run(
        "return Array.from(document.getElementById('seen').getContext('2d')"
        ".getImageData(0, 0, 28, 28).data)"
    )
    np.testing.assert_array_equal(np.array(seen).reshape(28, 28, 4)[..., 0], framed)
    expected = trained.predict(framed[None] / np.float32(255), verbose=0)[0]
    widths = page.run("return bars.map(({ bar }) => parseFloat(bar.style.width) / 100)")
    np.testing.assert_allclose(widths, expected, atol=1e-4)
    assert expected.argmax() == digit
    assert page.run("return document.querySelector('.best b').textContent") == str(digit)
    label = page.run("return document.querySelector('#hidden canvas').getAttribute('aria-label')")
    assert re.fullmatch(r"dense\w*: \d+ of 128 units above 0", label)
    page.run("document.getElementById('clear').click()")
    page.wait("return document.getElementById('digit').textContent === '–'")
    assert not page.run("return ink.getImageData(0, 0, SIZE, SIZE).data.some(Boolean)")
    assert page.messages() == []


@needs_browser
def test_texture_is_not_recognizable(page: browser.Browser) -> None:
    page.run("for (let y = 0; y < SIZE; y += 40) ink.fillRect(0, y, SIZE, 12); read()")
    shown = "return ['sure', 'digit'].map((id) => $(id).textContent)"
    assert page.run(shown) == ["Not recognizable", "–"]
    assert page.run("return $('hint').hidden")
    page.run("ink.clearRect(0, 0, SIZE, SIZE); read()")
    assert page.run(shown) == ["No drawing", "–"]
    assert not page.run("return $('hint').hidden")


@needs_browser
def test_drawing_by_keyboard(page: browser.Browser) -> None:
    tab, up, down, delete = "\ue004", "\ue013", "\ue015", "\ue017"
    page.run(
        """const spoken = document.getElementById("spoken");
        window.heard = [];
        new MutationObserver(() => heard.push(spoken.textContent))
            .observe(spoken, { childList: true });"""
    )
    page.keys(tab)
    assert page.run("return document.activeElement.id") == "pad"
    assert not page.run("return document.getElementById('pen').hidden")
    page.keys(up * 9)
    assert page.run("return blank")  # the pen is lifted
    page.keys(" ")
    assert page.run("return heard.includes('Pen down')")
    page.keys(down * 18)
    page.wait("return document.getElementById('digit').textContent === '1'")
    page.keys(" " + down * 3 + delete)
    page.wait("return document.getElementById('digit').textContent === '–'")
    page.wait(
        "return document.getElementById('spoken').textContent === 'The drawing area is empty'"
    )
    # The canvas does not trap the keyboard focus, and every other control is reachable.
    order = []
    for _ in range(2):
        page.keys(tab)
        order.append(page.run("return document.activeElement.id"))
    assert order == ["clear", "example"]


@needs_browser
def test_examples_are_recognized(page: browser.Browser) -> None:
    right = 0
    for i in range(10):
        page.run("document.getElementById('example').click(); read()")
        right += page.run(ANSWER) == str(i % 10)
    # The network was trained on synthetic digits of these shapes; a few errors are expected.
    assert right >= 9


@needs_browser
@pytest.mark.parametrize("width", [320, 390, 820, 1100])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_layout_and_contrast(page: browser.Browser, width: int, scheme: str) -> None:
    resize(page, width, 844)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.devtools("Emulation.setEmulatedMedia", features=features)
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    # On a small screen, the canvas and the result are visible together.
    assert page.run("return document.getElementById('bars').getBoundingClientRect().bottom") < 844
    # WCAG 2, 1.4.3: the contrast of text is at least 4.5 to 1.
    script = """const shade = (name) => getComputedStyle(document.documentElement)
            .getPropertyValue(name).trim().match(/[0-9a-f]{2}/g).map((x) => parseInt(x, 16) / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0.05);
        return arguments[0].map(([a, b]) => shade(a) / shade(b))
            .map((ratio) => Math.max(ratio, 1 / ratio));"""
    pairs = ["text card", "soft card", "soft page", "accent card", "on-accent accent"]
    pairs += ["text track", "soft track", "warm card", "past card"]
    *ratios, edge = page.run(script, [[f"--{name}" for name in pair.split()] for pair in pairs])
    assert min(ratios) >= 4.5
    assert edge >= 3  # WCAG 2, 1.4.11: edges of inputs
    # The ink is visible on the canvas in both color schemes.
    assert page.run("return getComputedStyle(pad).filter") == (
        "invert(1)" if scheme == "dark" else "none"
    )


@needs_browser
def test_page_makes_no_requests(page: browser.Browser) -> None:
    page.run("document.getElementById('example').click()")
    entries = page.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [name for name in entries if not name.startswith("data:")] == []
