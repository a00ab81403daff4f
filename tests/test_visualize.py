"""Plots: their data is correct, and all elements are visible."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import rc_context, style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import tinynet as keras
from tests import RandomNumbers
from tinynet import visualize

pytestmark = pytest.mark.thread_unsafe(reason="Matplotlib is not thread-safe")
L = keras.layers
RNG = RandomNumbers(0)
IMAGES = RNG.integers(0, 256, (7, 28, 28), dtype=np.uint8)
TRUE = np.array([0, 1, 2, 0, 1, 2, 0])
GUESS = np.array([0, 1, 2, 0, 2, 0, 1])
SURE = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.95, 0.75])


def probabilities() -> np.ndarray:
    p = np.repeat((1 - SURE)[:, None] / 2, 3, axis=1)
    p[np.arange(7), GUESS] = SURE
    return p


def net(*, built: bool = True) -> Any:
    first = [keras.layers.Input((28, 28))] if built else []
    hidden, digit = L.Dense(6, "relu", name="hidden"), L.Dense(3, "softmax", name="digit")
    return keras.Sequential([*first, L.Flatten(name="flat"), hidden, digit], name="net")


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


CURVES = {"loss": [0.5, 0.3], "accuracy": [0.8, 0.9], "val_loss": [0.6, 0.4]}
PLOTS: dict[str, Any] = {
    "predictions": partial(visualize.plot_predictions, IMAGES, TRUE, probabilities()),
    "mistakes": partial(visualize.plot_mistakes, IMAGES, TRUE, probabilities()),
    "no mistakes": partial(visualize.plot_mistakes, IMAGES, GUESS, probabilities()),
    "confusion": partial(visualize.plot_confusion_matrix, TRUE, probabilities()),
    "history": partial(visualize.plot_history, CURVES, {"loss": 0.4}),
    "weights": partial(visualize.plot_weights, net()),
    "activations": partial(visualize.plot_activations, net(), IMAGES[0] / 255),
    "model": partial(visualize.plot_model, net()),
}


@pytest.mark.each_value
@pytest.mark.parametrize("look", ["default", "dark_background"])
@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_unclipped_and_labeled(name: str, look: str) -> None:
    with style.context(look):
        figure = PLOTS[name](source="tests")
        FigureCanvasAgg(figure).draw()
    # The tight bounding box, in inches, is within the figure.
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0
    titles = [ax.get_title() for ax in figure.axes]
    if figure.get_suptitle():
        titles.append(figure.get_suptitle())
    assert any(title.endswith("\nData: tests") for title in titles)


@pytest.mark.wide
def test_plots_use_no_pyplot() -> None:
    program = (
        "import sys, numpy as np; from tinynet import visualize\n"
        "assert 'matplotlib' not in sys.modules\n"
        "visualize.plot_confusion_matrix([0, 1], [0, 1]).savefig('/dev/null', format='png')\n"
        "assert 'matplotlib.figure' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_figures_display_and_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    figure: Any = visualize.plot_confusion_matrix([0, 1], [0, 1])
    assert figure._repr_png_().startswith(b"\x89PNG")
    copy = pickle.loads(pickle.dumps(figure))
    assert copy._repr_png_.args == (copy,)


@pytest.fixture
def pyplot() -> Iterator[Any]:
    import matplotlib.pyplot as plt

    plt.close("all")
    yield plt
    plt.close("all")


@pytest.mark.parametrize("name", PLOTS)
def test_pyplot_shows_new_figures_if_imported(name: str, pyplot: Any) -> None:
    figure = PLOTS[name]()
    assert pyplot.gcf() is figure
    assert pyplot.get_fignums() == [figure.number]
    pyplot.title("changed through pyplot")
    assert figure.gca().get_title() == "changed through pyplot"


def test_unshown_figures_do_not_accumulate(pyplot: Any) -> None:
    """Without a display, only the last 10 plots stay registered with pyplot."""
    own = pyplot.figure()
    drawn = [visualize.plot_history({"loss": [1.0, 0.5]}) for _ in range(12)]
    assert pyplot.get_fignums() == [own.number, *(figure.number for figure in drawn[-10:])]
    buffer = io.BytesIO()
    drawn[0].savefig(buffer, format="png")  # it still exists
    assert buffer.tell() > 0


def test_plot_model_to_file_not_shown(pyplot: Any, tmp_path: Path) -> None:
    keras.utils.plot_model(net(), tmp_path / "model.png")
    assert pyplot.get_fignums() == []
    assert keras.utils.plot_model(net(), to_file=None) is pyplot.gcf()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # from the notebook client
def test_notebook_displays_figure_once() -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install -e '.[test]'")
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install -e '.[test]'")
    draw = "visualize.plot_history({'loss': [1.0, 0.5]})"
    cells = [
        "from tinynet import visualize",
        draw,  # without pyplot: the last value of a cell is displayed
        "%matplotlib inline\nimport matplotlib.pyplot as plt",
        draw,
        f"figure = {draw}",
        f"{draw}\n{draw}\nplt.show()",
        f"figure, ax = plt.subplots()\nfigure = {draw[:-1]}, ax=ax)",
        "assert plt.get_fignums() == []",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=None).execute()
    shown = [
        sum("image/png" in output.get("data", {}) for output in cell["outputs"])
        for cell in notebook["cells"]
    ]
    assert shown == [0, 1, 0, 1, 1, 2, 1, 0]


# ------------------------------------------------------------ predictions and mistakes


@pytest.mark.parametrize("form", ["plain", "channel", "flat", "floats"])
def test_predictions(form: str) -> None:
    images = {
        "plain": IMAGES,
        "channel": IMAGES[..., None],
        "flat": IMAGES.reshape(7, 784),
        "floats": IMAGES / np.float32(255),
    }[form]
    figure = visualize.plot_predictions(images, TRUE, probabilities(), columns=3)
    (mosaic,) = figure.axes[0].images
    drawn = np.asarray(mosaic.get_array())
    scale = 255 if form == "floats" else 1
    for i in range(7):
        # A row has 28 pixels and 10 for two lines of text, a column 28 and a gap of 4.
        top, left = 38 * (i // 3), 32 * (i % 3)
        tile = drawn[top : top + 28, left : left + 28] * scale
        np.testing.assert_allclose(tile, IMAGES[i], rtol=1e-6)
    assert np.isfinite(drawn).sum() == 7 * 784  # the rest is background
    assert texts(figure)[0] == "0  (90.0%)\ntrue: 0"
    assert texts(figure)[5] == "✗ 0  (95.0%)\ntrue: 2"
    assert figure.axes[0].get_title() == "Predictions: 4 of 7 correct"


def test_mistakes_are_marked_not_only_by_color() -> None:
    figure = visualize.plot_predictions(IMAGES, TRUE, probabilities(), columns=3)
    ax = figure.axes[0]
    wrong = [text for text in ax.texts if text.get_text().startswith("✗")]
    assert [ax.texts.index(text) for text in wrong] == [4, 5, 6]
    assert {text.get_fontweight() for text in wrong} == {"bold"}
    # Only the fifth, sixth and seventh images have frames.
    corners = [(patch.get_x(), patch.get_y()) for patch in ax.patches]
    np.testing.assert_allclose(corners, [[31.2, 37.2], [63.2, 37.2], [-0.8, 75.2]])


def test_only_first_images_are_drawn() -> None:
    figure = visualize.plot_predictions(
        IMAGES, TRUE, probabilities(), count=2, class_names=["a", "b", "c"]
    )
    assert texts(figure) == ["a  (90.0%)\ntrue: a", "b  (80.0%)\ntrue: b"]
    assert figure.axes[0].get_title() == "Predictions: 4 of 7 correct; the first 2"


def test_mistakes_are_ordered_by_probability() -> None:
    figure = visualize.plot_mistakes(IMAGES, TRUE, probabilities(), count=2)
    assert texts(figure) == ["✗ 0  (95.0%)\ntrue: 2", "✗ 1  (75.0%)\ntrue: 0"]
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_array_equal(drawn[:28, :28], IMAGES[5])
    assert figure.axes[0].get_title() == "Mistakes: 3 of 7, the 2 most confident"


def test_no_mistakes() -> None:
    figure = visualize.plot_mistakes(IMAGES, GUESS, probabilities())
    assert (texts(figure), figure.axes[0].get_title()) == (["no mistakes"], "Mistakes: 0 of 7")


# ------------------------------------------------------------ confusion matrix and history


@pytest.mark.parametrize("pred", [GUESS, probabilities()], ids=["classes", "probabilities"])
def test_confusion_matrix(pred: Any) -> None:
    figure = visualize.plot_confusion_matrix(TRUE, pred)
    # Counted by hand: rows are true classes, columns are predicted classes.
    counts = np.array([[2, 1, 0], [0, 1, 1], [1, 0, 1]])
    ax = figure.axes[0]
    shares = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), shares)
    written = {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in ax.texts}
    assert written == {(i, j): str(n) for (i, j), n in np.ndenumerate(counts) if n}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")


def test_confusion_matrix_text_contrast() -> None:
    ax = visualize.plot_confusion_matrix([0] * 99 + [1] * 100, [0] * 99 + [1] * 99 + [0]).axes[0]
    colours = {text.get_text(): text.get_color() for text in ax.texts}
    assert (colours["99"], colours["1"]) == ("white", "black")


def test_history() -> None:
    model = net()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(IMAGES / 255, TRUE, epochs=3, validation_split=0.3, verbose=0)
    figure = visualize.plot_history(history, {"loss": 0.25, "accuracy": 0.5})
    assert [ax.get_title() for ax in figure.axes] == ["loss", "accuracy"]
    for ax, name, tested in zip(figure.axes, ["loss", "accuracy"], [0.25, 0.5], strict=True):
        lines = {line.get_label(): line for line in ax.lines}
        assert list(lines) == ["training", "validation", "test"]
        np.testing.assert_array_equal(lines["training"].get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(lines["training"].get_ydata(), history.history[name])
        np.testing.assert_array_equal(
            lines["validation"].get_ydata(), history.history[f"val_{name}"]
        )
        assert (*lines["test"].get_xdata(), *lines["test"].get_ydata()) == (3, tested)
        assert len({line.get_marker() for line in ax.lines}) == 3  # not distinguished by color only


def test_history_draws_only_numbers() -> None:
    history = {"loss": [0.5, 0.25], "note": ["a", None], "vector": [np.ones(2), np.zeros(2)]}
    figure = visualize.plot_history(history)
    assert [axes.get_title() for axes in figure.axes] == ["loss", "vector"]


# ------------------------------------------------------------ weights and activations


def test_weights() -> None:
    model = net()
    figure = visualize.plot_weights(model, columns=4)
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    kernel = model.get_layer("hidden").get_weights()[0]
    for unit in range(6):
        top, left = 32 * (unit // 4), 32 * (unit % 4)
        picture = kernel[:, unit].reshape(28, 28)
        np.testing.assert_array_equal(drawn[top : top + 28, left : left + 28], picture)
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high  # zero is the middle of the color map
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["0", "4"]


@pytest.mark.parametrize("built", [True, False])
def test_activations(built: bool) -> None:
    model = net(built=built)
    image = IMAGES[0] / np.float32(255)
    figure = visualize.plot_activations(model, image)
    pixels, hidden, digit = figure.axes
    np.testing.assert_array_equal(np.asarray(pixels.images[0].get_array()), image)
    kernel, bias, *_ = model.get_weights()
    z = image.reshape(784) @ kernel + bias
    ends = [segment[:, 1].sum() for segment in hidden.collections[0].get_segments()]
    np.testing.assert_allclose(ends, np.maximum(z, 0), rtol=1e-5, atol=1e-6)
    assert hidden.get_title() == f"hidden: {(z > 0).sum()} of 6 units active"
    widths = [bar.get_width() for bar in digit.patches]
    np.testing.assert_allclose(widths, model.predict(image[None], verbose=0)[0], rtol=1e-6)
    best = int(np.argmax(widths))
    assert digit.get_yticklabels()[best].get_fontweight() == "bold"
    assert digit.get_xlabel() == "probability"


def test_scores_are_not_called_probabilities() -> None:
    model = keras.Sequential([keras.Input((2, 2)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.set_weights([np.full((4, 2), [3.0, -2.0]), np.zeros(2)])
    figure = visualize.plot_activations(model, np.ones((2, 2)))
    assert figure.axes[-1].get_xlabel() == "output"
    assert [t.get_text() for t in figure.axes[-1].texts] == ["12.0", "-8.0"]


@pytest.mark.parametrize("built", [True, False])
def test_model(built: bool) -> None:
    figure = visualize.plot_model(net(built=built))
    names = ["input", "flat\nFlatten", "hidden\nDense, relu", "digit\nDense, softmax"]
    assert [text for text in texts(figure) if text in names] == names
    if built:
        # 784 * 6 + 6 and 6 * 3 + 3
        assert {"28 × 28", "784", "6", "3", "4,710 parameters", "21 parameters"} <= set(
            texts(figure)
        )
        assert figure.axes[0].get_title() == "net: 4,731 parameters"
    else:
        assert texts(figure).count("not built") == 3


# ------------------------------------------------------------ given axes and figures


@pytest.mark.parametrize("name", ["predictions", "mistakes", "confusion", "weights", "model"])
def test_plots_draw_into_given_axes(name: str) -> None:
    given = Figure(layout="constrained")
    ax = given.subplots()
    assert PLOTS[name](title="T", ax=ax) is given
    assert ax.get_title() == "T"


def test_history_draws_into_given_axes() -> None:
    given = Figure(layout="constrained")
    axes = given.subplots(1, 2)
    for form in (axes, list(axes), axes[None]):
        for ax in axes:
            ax.clear()
        assert visualize.plot_history(CURVES, ax=form) is given
        assert [ax.get_title() for ax in axes] == ["loss", "accuracy"]
        assert [len(ax.lines) for ax in axes] == [2, 1]
        assert not given.get_suptitle()
    assert len(given.axes) == 2


def test_history_draws_metrics_into_one_axes() -> None:
    given = Figure(layout="constrained")
    ax = given.subplots()
    assert visualize.plot_history(CURVES, {"loss": 0.4}, source="tests", ax=ax) is given
    lines = {line.get_label(): line for line in ax.lines}
    labels = ["loss, training", "loss, validation", "loss, test", "accuracy, training"]
    assert list(lines) == labels
    np.testing.assert_array_equal(lines["loss, validation"].get_ydata(), [0.6, 0.4])
    colours = [line.get_color() for line in lines.values()]
    assert len(set(colours[:3])) == 1
    assert colours[3] != colours[0]
    assert ax.get_title() == "Learning curves\nData: tests"
    single = visualize.plot_history({"loss": [0.5, 0.3]}, title="T", ax=Figure().subplots())
    assert single.axes[0].get_title() == "T"
    assert single.axes[0].lines[0].get_label() == "training"


def test_history_rejects_wrong_number_of_axes() -> None:
    axes = Figure().subplots(1, 3)
    with pytest.raises(ValueError, match=r"one for each of loss, accuracy\. Received: 3 Axes"):
        visualize.plot_history({"loss": [1.0], "accuracy": [1.0]}, ax=axes)
    assert not any(ax.lines for ax in axes)


@pytest.mark.parametrize(
    "hidden", [pytest.param(0, marks=pytest.mark.wide), 1, pytest.param(3, marks=pytest.mark.wide)]
)
def test_activations_use_given_axes(hidden: int) -> None:
    dense = [keras.layers.Dense(5, activation="relu") for _ in range(hidden)]
    last = keras.layers.Dense(3, activation="softmax", name="digit")
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), *dense, last])
    given = Figure((18, 5), layout="constrained")
    left, ax = given.subplots(1, 2, width_ratios=(1, 3))
    assert visualize.plot_activations(model, IMAGES[0] / 255, title="T", ax=ax) is given
    assert given.axes == [left, ax]
    inside = ax.child_axes
    assert [each.get_title().split(":")[0] for each in inside] == [
        "pixels", *(layer.name for layer in dense), "digit",
    ]  # fmt: skip
    assert ax.get_title() == "T"
    FigureCanvasAgg(given).draw()
    boxes = [each.get_tightbbox() for each in inside]
    overlaps = [
        (i, j)
        for i, a in enumerate(boxes)
        for j, b in enumerate(boxes[:i])
        if a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1
    ]
    assert not overlaps


def test_plots_draw_into_subfigures() -> None:
    left, right = Figure().subfigures(1, 2)
    assert visualize.plot_history({"loss": [1.0]}, title="", figure=left) is left
    assert not left.get_suptitle()
    assert visualize.plot_activations(net(), IMAGES[0] / 255, figure=right) is right
    assert (len(left.axes), len(right.axes)) == (1, 3)


def test_user_style_is_kept() -> None:
    with rc_context({"text.color": "red", "figure.facecolor": "navy"}):
        figure = visualize.plot_predictions(IMAGES, GUESS, probabilities())
    assert figure.get_facecolor()[:3] == (0.0, 0.0, 0.5019607843137255)
    assert {text.get_color() for text in figure.axes[0].texts} == {"red"}
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    assert buffer.tell() > 0


# ------------------------------------------------------------ graphs


def residual(several: bool = False) -> Any:
    """Return a model with a residual connection, optionally with two inputs and outputs."""
    x = L.Input((4, 4), name="pixels")
    h = L.Dense(6, "relu", name="hidden")(L.Flatten(name="flat")(x))
    y = L.Add(name="sum")([h, L.Dense(6, name="more")(h)])
    out = L.Dense(3, "softmax", name="digit")(keras.ops.exp(y))
    if not several:
        return keras.Model(x, out, name="net")
    z = L.Input((2,), name="size")
    return keras.Model([x, z], [out, L.Dense(1, name="price")(z)], name="net")


def test_plot_model_draws_graph_edges() -> None:
    from matplotlib.patches import FancyArrowPatch

    ax = visualize.plot_model(residual()).axes[0]
    texts = [text.get_text() for text in ax.texts]
    assert [text for text in texts if "\n" in text] == [
        *("flat\nFlatten", "hidden\nDense, relu", "more\nDense", "sum\nAdd"),
        *("exp\noperation", "digit\nDense, softmax"),
    ]
    arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 7  # one more than in a sequence of layers: from hidden to sum
    ax = visualize.plot_model(residual(several=True)).axes[0]
    assert {"pixels", "size"} <= {text.get_text() for text in ax.texts}


def test_plot_activations_shows_graph_layers() -> None:
    model = residual()
    figure = visualize.plot_activations(model, np.ones((4, 4)))
    titles = [ax.get_title().partition(":")[0] for ax in figure.axes]
    assert titles == ["pixels", "hidden", "more", "sum", "exp", "digit"]
    probabilities = model.predict(np.ones((1, 4, 4)), verbose=0)[0]
    widths = [bar.get_width() for bar in figure.axes[-1].patches]
    np.testing.assert_allclose(widths, probabilities, rtol=1e-6)


def test_plot_weights_finds_first_graph_kernel() -> None:
    figure = visualize.plot_weights(residual())
    assert "hidden: weights of 6 units" in figure.axes[0].get_title()
