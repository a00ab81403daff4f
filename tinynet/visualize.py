"""Plots of predictions, training history, and the weights and activations of a model.

Every function returns a `matplotlib.figure.Figure`: a new one, unless existing Axes are passed as
`ax`. If ``matplotlib.pyplot`` is imported, a new figure becomes pyplot's current figure, and
``plt.show()`` displays it. Otherwise the functions do not use pyplot's global state: a notebook
displays the returned figure, and a script can save it with ``figure.savefig("predictions.png")``.

Colors are from the colorblind-safe palette of M. Okabe and K. Ito, "Color universal design"
(2008), and no information is conveyed by color alone.
"""

from __future__ import annotations

import functools
import importlib
import io
import itertools
import math
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tinynet._core import checks
from tinynet.models.functional_config import connections
from tinynet.models.model import Model
from tinynet.program.variable import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

BLUE, VERMILLION = "#0072B2", "#D55E00"

_GAP = 4  # pixels between the images of a mosaic

# Non-interactive backends. With these, only the most recent figures stay open, so that programs
# that save many figures do not trigger pyplot's warning about more than 20 open figures.
_HEADLESS = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}
_KEPT_HEADLESS = 10
_kept: list[weakref.ref[Any]] = []


# ---------------------------------------------------------------- predictions


def plot_predictions(
    images: Any,
    y_true: Any,
    probabilities: Any,
    count: int = 25,
    columns: int = 5,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    r"""Plot images with the predicted class, its probability, and the true class.

    Wrong predictions are marked by a frame, a cross and bold text.

    Parameters
    ----------
    images : array_like, shape (N, h, w), (N, h, w, 1) or (N, h * h)
        Grayscale images, with pixels on any scale.
    y_true : array_like of int, shape (N,)
        True class labels.
    probabilities : array_like, shape (N, C)
        Predicted class probabilities, as returned by `predict`.
    count : int
        Maximum number of images; the first ones are plotted.
    columns : int
        Number of images per row.
    class_names : sequence of str, optional
        Names of the classes; by default, their indices.
    title : str, optional
        Title; by default, the number of correct predictions. ``""`` for no title.
    source : str, optional
        Name of the dataset, shown below the title.
    ax : Axes, optional
        Axes to draw the plot in; by default, the Axes of a new figure.

    Returns
    -------
    Figure
        Figure that contains the plot.

    Raises
    ------
    ValueError
        If the arrays have different lengths or unsupported values.

    Examples
    --------
    >>> images, probabilities = np.zeros((2, 28, 28)), [[0.9, 0.1], [0.8, 0.2]]
    >>> figure = plot_predictions(images, [0, 1], probabilities)
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0  (90.0%)\ntrue: 0', '✗ 0  (80.0%)\ntrue: 1']
    """
    from matplotlib.patches import Rectangle

    x, y, p, guess = _predicted(images, y_true, probabilities)
    count, columns = checks.whole("count", count), checks.whole("columns", columns)
    expected = "probabilities must be in the range [0, 1]; apply activations.softmax to logits"
    received = f"probabilities from {p.min():.4g} to {p.max():.4g}"
    checks.require(_are_probabilities(p), expected, received)
    correct = guess == y
    shown = f"; the first {count}" if len(correct) > count else ""
    default = f"Predictions: {correct.sum():,} of {len(correct):,} correct{shown}"
    names = _names(class_names, max(p.shape[1], int(y.max()) + 1))

    tiles = _pictures(x[:count])
    columns = min(columns, len(tiles))
    ax = _axes(ax, max(1.45 * columns, 4), 1.73 * math.ceil(len(tiles) / columns) + 0.6)
    _, h, w = tiles.shape
    height, width = _draw_mosaic(ax, tiles, columns, round(0.36 * h), "gray", *_limits(tiles))
    for i in range(len(tiles)):
        left, top = i % columns * width, i // columns * height
        mark, color, weight = ("", None, "normal") if correct[i] else ("✗ ", VERMILLION, "bold")
        if not correct[i]:
            # The first pixel of an image extends from -0.5 to 0.5.
            frame = Rectangle((left - 0.8, top - 0.8), w + 0.6, h + 0.6, fill=False, clip_on=False)
            ax.add_patch(frame).set(edgecolor=VERMILLION, linewidth=2.5)
        percent = f"({100 * p[i, guess[i]]:.1f}%)"
        text = f"{mark}{names[guess[i]]}  {percent}\ntrue: {names[y[i]]}"
        style: Any = {"fontsize": 9.5, "color": color, "weight": weight}
        ax.text(left + (w - 1) / 2, top + h + 0.3, text, ha="center", va="top", **style)
    return _titled(ax, title, source, default)


def plot_mistakes(
    images: Any,
    y_true: Any,
    probabilities: Any,
    count: int = 25,
    columns: int = 5,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    r"""Plot misclassified images, in descending order of the predicted probability.

    Confident mistakes often reveal ambiguous images, styles that are missing from the training
    data, and wrong labels.

    Parameters
    ----------
    images : array_like, shape (N, h, w), (N, h, w, 1) or (N, h * h)
        Grayscale images, with pixels on any scale.
    y_true : array_like of int, shape (N,)
        True class labels.
    probabilities : array_like, shape (N, C)
        Predicted class probabilities, as returned by `predict`.
    count : int
        Maximum number of images.
    columns : int
        Number of images per row.
    class_names : sequence of str, optional
        Names of the classes; by default, their indices.
    title : str, optional
        Title; by default, the number of mistakes. ``""`` for no title.
    source : str, optional
        Name of the dataset, shown below the title.
    ax : Axes, optional
        Axes to draw the plot in; by default, the Axes of a new figure.

    Returns
    -------
    Figure
        Figure that contains the plot.

    Raises
    ------
    ValueError
        If the arrays have different lengths or unsupported values.

    Examples
    --------
    >>> images, probabilities = np.zeros((2, 28, 28)), [[0.6, 0.4], [0.8, 0.2]]
    >>> figure = plot_mistakes(images, [1, 1], probabilities)
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['✗ 0  (80.0%)\ntrue: 1', '✗ 0  (60.0%)\ntrue: 1']
    """
    x, y, p, guess = _predicted(images, y_true, probabilities)
    count = checks.whole("count", count)
    wrong = np.flatnonzero(guess != y)
    first = wrong[np.argsort(-p[wrong, guess[wrong]], kind="stable")][:count]
    shown = f", the {count} most confident" if len(wrong) > count else ", most confident first"
    default = f"Mistakes: {len(wrong):,} of {len(y):,}{shown if len(wrong) > 1 else ''}"
    title = default if title is None else title
    if not len(wrong):
        ax = _axes(ax, 1.45 * columns, 2)
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no mistakes", ha="center", va="center", transform=ax.transAxes)
        return _titled(ax, title, source)
    shape = count, columns, class_names, title, source, ax
    return plot_predictions(x[first], y[first], p[first], *shape)


def plot_confusion_matrix(
    y_true: Any,
    y_pred: Any,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Plot a confusion matrix: the number of predictions of each class, for each true class.

    Parameters
    ----------
    y_true : array_like of int, shape (N,)
        True class labels.
    y_pred : array_like, shape (N,) or (N, C)
        Predicted class labels, or class probabilities as returned by `predict`.
    class_names : sequence of str, optional
        Names of the classes; by default, their indices.
    title : str, optional
        Title; by default, the number of correct predictions. ``""`` for no title.
    source : str, optional
        Name of the dataset, shown below the title.
    ax : Axes, optional
        Axes to draw the plot in; by default, the Axes of a new figure.

    Returns
    -------
    Figure
        Figure that contains the plot. Row i, column j is the number of examples of class i that are
        predicted as class j. The color is normalized over each row, and scaled nonlinearly so that
        small numbers are visible.

    Raises
    ------
    ValueError
        If the arrays have different lengths or unsupported values.

    Examples
    --------
    >>> figure = plot_confusion_matrix([0, 1, 1, 1], [0, 1, 1, 0])
    >>> figure.axes[0].texts[2].get_text(), figure.axes[0].get_title()
    ('2', 'Confusion matrix: 3 of 4 correct (75.00%)')
    """
    from matplotlib.colors import PowerNorm

    y, predicted = _same_length(y_true=y_true, y_pred=y_pred)
    true, guess = _classes("y_true", y), _classes("y_pred", predicted)
    size = max(true.max() + 1, guess.max() + 1, *predicted.shape[1:], len(class_names or ()))
    names = _names(class_names, size)
    matrix = np.bincount(true * size + guess, minlength=size**2).reshape(size, size)
    correct = np.trace(matrix)
    default = f"Confusion matrix: {correct:,} of {len(true):,} correct ({correct / len(true):.2%})"
    side = max(0.55 * size, 3) + 1.1
    ax = _axes(ax, side, side)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shades = ax.imshow(shares, "Blues", PowerNorm(0.4, 0, 1))
    for i, j in zip(*np.nonzero(matrix), strict=True):
        dark = np.dot(shades.to_rgba(shares[i, j])[:3], (0.299, 0.587, 0.114)) < 0.55
        number = ax.text(j, i, f"{matrix[i, j]}", ha="center", va="center", fontsize=9)
        number.set(color="white" if dark else "black", weight="bold" if i == j else "normal")
    long = max(map(len, names)) > 3
    ax.set_xticks(range(size), names, rotation=45 if long else 0, ha="right" if long else "center")
    ax.set_yticks(range(size), names)
    ax.tick_params(length=0)
    ax.set(xlabel="predicted", ylabel="true")
    return _titled(ax, title, source, default)


# ---------------------------------------------------------------- training


def plot_history(
    history: Any,
    test: Mapping[str, float] | None = None,
    title: str | None = None,
    source: str | None = None,
    figure: Figure | SubFigure | None = None,
    ax: Axes | Sequence[Axes] | Array | None = None,
) -> Figure:
    """Plot learning curves: the loss and the metrics over the epochs.

    Parameters
    ----------
    history : History or mapping of str to sequence of float
        Object returned by `fit`, or its ``history``.
    test : mapping of str to float, optional
        Result of ``evaluate(return_dict=True)``, plotted as a marker at the last epoch.
    title : str, optional
        Title; by default, "Learning curves". ``""`` for no title.
    source : str, optional
        Name of the dataset, shown below the title.
    figure : Figure or SubFigure, optional
        Figure to add the Axes to; by default, a new one.
    ax : Axes or sequence of Axes, optional
        Existing Axes to draw in: one for the loss and one for each metric, in this order; or a
        single one for all curves, which also gets the title.

    Returns
    -------
    Figure
        Figure that contains the plot, with a curve for training and, if available, for validation.

    Raises
    ------
    ValueError
        If the history is empty, or the number of Axes is wrong.

    Examples
    --------
    >>> figure = plot_history({"loss": [0.5, 0.2], "val_loss": [0.4, 0.3]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['training', 'validation']
    """
    from matplotlib.ticker import MaxNLocator

    metrics: Any = getattr(history, "history", history)
    fits = isinstance(metrics, Mapping) and any(map(len, metrics.values()))
    expected = "history must be the object returned by fit, with at least one epoch"
    checks.require(fits, expected, f"history={checks.shorten(metrics)}")
    # Callbacks may also add strings and other objects to the logs.
    kinds = (float, int, np.number, np.ndarray)
    metrics = {k: v for k, v in metrics.items() if all(isinstance(x, kinds) for x in v)}
    numbers = getattr(history, "epoch", None) or range(max(map(len, metrics.values())))
    epochs = [number + 1 for number in numbers]
    every = dict.fromkeys(name.removeprefix("val_") for name in metrics)
    names = sorted(every, key=lambda name: name != "loss")
    _not_both(figure, ax)
    if ax is None:
        new: Any = figure or _new_figure(4.2 * len(names), 3.6)
        axes = list(new.subplots(1, len(names), squeeze=False)[0])
    else:
        axes = list(np.ravel(np.asarray(ax, object)))
    shared = len(axes) == 1 < len(names)
    expected = f"ax must be a single Axes, or one for each of {', '.join(names)}"
    checks.require(shared or len(axes) == len(names), expected, f"{len(axes)} Axes")
    for i, name in enumerate(names):
        each = axes[0 if shared else i]
        after = [None if test is None or name not in test else [test[name]]]
        for values, label, style, color in (
            (metrics.get(name), "training", "o-", BLUE),
            (metrics.get(f"val_{name}"), "validation", "s--", VERMILLION),
            (*after, "test", "D", VERMILLION),
        ):
            if values is not None:
                x, size = (epochs[-1:], 8) if style == "D" else (epochs[: len(values)], None)
                look: Any = {"color": f"C{i}" if shared else color, "ms": size}
                each.plot(x, values, style, label=f"{name}, {label}" if shared else label, **look)
        each.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        each.margins(x=0.06)
        each.grid(alpha=0.3)
        _open_box(each, xlabel="epoch")
        each.set_title(name)
        each.legend(frameon=False)
    drawn = _figure_of(axes[0])
    text = _title(title, source, "Learning curves")
    if ax is not None and len(axes) == 1:
        axes[0].set_title(text)
    elif text and (ax is None or title or source):
        drawn.suptitle(text)
    return drawn


def plot_runs(
    values: Mapping[str, Any],
    title: str | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Plot a metric of several runs as points, with mean and standard deviation.

    Parameters
    ----------
    values : mapping of str to array_like, shape (runs,)
        Values of the metric over the runs, by label, such as ``{"model A": [0.97, 0.98]}``.
    title : str, optional
        Title; by default, the number of runs. ``""`` for no title.
    source : str, optional
        Name of the dataset, shown below the title.
    ax : Axes, optional
        Axes to draw the plot in; by default, the Axes of a new figure.

    Returns
    -------
    Figure
        Figure that contains the plot. The error bars are one standard deviation.

    Raises
    ------
    ValueError
        If `values` is empty, or a label has no values.

    Examples
    --------
    >>> figure = plot_runs({"tinynet": [0.97, 0.98], "Keras": [0.96, 0.98]})
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['tinynet', 'Keras']
    """
    arrays = {name: np.asarray(each, np.float64).ravel() for name, each in values.items()}
    expected = "values must contain at least one value for each label"
    fits = arrays and all(len(each) for each in arrays.values())
    checks.require(fits, expected, f"values={checks.shorten(values)}")
    ax = _axes(ax, 1.6 * len(arrays) + 2.4, 3.6)
    for i, each in enumerate(arrays.values()):
        aside = np.linspace(-0.12, 0.12, len(each)) if len(each) > 1 else np.zeros(1)
        ax.plot(i + aside, each, "o", color=BLUE, alpha=0.6, mec="none")
        spread = each.std(ddof=1) if len(each) > 1 else None
        ax.errorbar(i + 0.25, each.mean(), spread, fmt="_", color=VERMILLION, ms=14, capsize=5)
    ax.set_xticks(range(len(arrays)), list(arrays))
    ax.grid(axis="y", alpha=0.3)
    _open_box(ax, xlim=(-0.6, len(arrays) - 0.4))
    count = max(map(len, arrays.values()))
    default = f"{count} runs, with mean and standard deviation" if count > 1 else "One run"
    return _titled(ax, title, source, default)


# ---------------------------------------------------------------- weights, activations, layers


def plot_weights(
    model: Any,
    count: int = 128,
    columns: int = 16,
    title: str | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Plot the kernel of the first dense layer, as one image per unit.

    The pre-activation of a unit is the sum of the pixels, weighted by its image, plus a bias:
    pixels with a positive weight increase it, pixels with a negative weight decrease it.

    Parameters
    ----------
    model : Model
        Built model whose first dense layer is applied to the pixels of an image.
    count : int
        Maximum number of units; the first ones are plotted.
    columns : int
        Number of units per row.
    title : str, optional
        Title; by default, the layer's name and number of units. ``""`` for no title.
    source : str, optional
        Name of the training dataset, shown below the title.
    ax : Axes, optional
        Axes to draw the plot in; by default, the Axes of a new figure.

    Returns
    -------
    Figure
        Figure that contains the plot.

    Raises
    ------
    ValueError
        If the model does not have a dense layer, or its inputs do not form a square image.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> model = Sequential([layers.Input((4, 4)), layers.Flatten(), layers.Dense(3, name="seen")])
    >>> figure = plot_weights(model)
    >>> figure.axes[0].get_title()
    'seen: weights of 3 units'
    """
    count, columns = checks.whole("count", count), checks.whole("columns", columns)
    dense = [
        layer
        for layer in (model._all_layers() if model.built else [])
        if len(getattr(getattr(layer, "kernel", None), "shape", ())) == 2
    ]
    expected = "model must be built and have a Dense layer"
    checks.require(dense, expected, checks.shorten(model))
    layer, kernel = dense[0], np.asarray(dense[0].kernel.numpy())
    units = kernel.shape[1]
    shape = () if isinstance(model.input_shape, list | dict) else model.input_shape[1:]
    shape = shape if len(shape) > 1 and math.prod(shape) == len(kernel) else (len(kernel),)
    tiles = _pictures(kernel.T[:count].reshape(-1, *shape))
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    ax = _axes(ax, max(0.58 * columns, 3) + 1.3, max(0.58 * rows, 1.2) + 0.7)
    # Outliers must not determine the color scale, as all other weights would then be pale.
    bound = float(np.quantile(np.abs(tiles), 0.995)) or 1.0
    height, _ = _draw_mosaic(ax, tiles, columns, _GAP, "RdBu", -bound, bound)
    ax.set_axis_on()
    ax.spines[:].set_visible(False)
    middle = (tiles.shape[1] - 1) / 2
    ax.set_xticks([])
    places = [row * height + middle for row in range(rows)]
    ax.set_yticks(places, [f"{unit}" for unit in range(0, len(tiles), columns)])
    ax.tick_params(length=0, labelsize=8)
    ax.set_ylabel("first unit", fontsize=8)
    bar = ax.figure.colorbar(ax.images[0], ax=ax, extend="both", fraction=0.03, pad=0.02)
    bar.set_label("weight")
    shown = f"the first {len(tiles)} of " if len(tiles) < units else ""
    return _titled(ax, title, source, f"{layer.name}: weights of {shown}{units} units")


def plot_activations(
    model: Any,
    image: Any,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    source: str | None = None,
    figure: Figure | SubFigure | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Plot an image and its activations: pixels, hidden units and class probabilities.

    Parameters
    ----------
    model : Model
        Model with one input and one output. Layers before the first one with weights are not
        plotted.
    image : array_like
        Single image in the format of the model's inputs (with pixels from 0 to 1, if it was trained
        on those), with or without a batch axis.
    class_names : sequence of str, optional
        Names of the classes; by default, their indices.
    title : str, optional
        Title; by default, the prediction. ``""`` for no title.
    source : str, optional
        Name of the dataset, shown below the title.
    figure : Figure or SubFigure, optional
        Figure to add the Axes to; by default, a new one.
    ax : Axes, optional
        Existing Axes, in which the plots are placed as inset Axes.

    Returns
    -------
    Figure
        Figure that contains the plot.

    Raises
    ------
    ValueError
        If the model does not accept the image, or `image` is not a single image.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> model = Sequential([layers.Flatten(), layers.Dense(3, "relu"), layers.Dense(2, "softmax")])
    >>> figure = plot_activations(model, np.ones((4, 4)))
    >>> [len(ax.containers) for ax in figure.axes]
    [0, 0, 1]
    """
    ends = (len(model.inputs), len(model.outputs)) if model.built else (1, 1)
    received = f"{ends[0]} inputs and {ends[1]} outputs"
    checks.require(ends == (1, 1), "model must have one input and one output", received)
    x = np.asarray(image)
    if (model.built and x.shape == model.input_shape[1:]) or (not model.built and x.ndim in (1, 2)):
        x = x[None]
    checks.require(len(x) == 1, "image must be a single image", f"image.shape={x.shape}")
    picture = _pictures(x)[0]
    outputs = list(_outputs(model, x))
    checks.require(outputs, "model must have a layer with weights", checks.shorten(model))
    (last, values), hidden = outputs[-1], outputs[:-1]
    guess = int(values.argmax())
    names = _names(class_names, len(values))
    shares = _are_probabilities(values)
    labels = [f"{v:.1%}" if v >= 0.001 else "" for v in values] if shares else values.round(2)
    default = f"Activations of {model.name}: {names[guess]} ({labels[guess]})"

    _not_both(figure, ax)
    rows, drawn = max(len(hidden), 1), cast("Figure", figure)
    if ax is None:
        height = max(2.2 * rows, 3) + 0.9
        drawn = drawn or _new_figure(10 if hidden else 6, height)
        grid = drawn.add_gridspec(rows, 3, width_ratios=(1, 2 if hidden else 0.01, 1))
        places = [grid[:, 0], *(grid[i, 1] for i in range(len(hidden))), grid[:, 2]]
        pixels, *plots, bars = map(drawn.add_subplot, places)
    else:
        ax.set_axis_off()
        middle = [(0.32, 1 - (i + 0.8) / rows, 0.4, 0.65 / rows) for i in range(len(hidden))]
        bounds = [(0, 0, 0.22, 0.9), *middle, (0.8, 0.1, 0.2, 0.8)]
        pixels, *plots, bars = map(ax.inset_axes, bounds)
    low, high = _limits(picture)
    pixels.imshow(picture, "gray", vmin=low, vmax=high)
    size = f"pixels: {picture.shape[0]} × {picture.shape[1]}"
    _open_box(pixels, (), xticks=[], yticks=[], title=size)
    for plot, (layer, units) in zip(plots, hidden, strict=True):
        plot.vlines(np.arange(len(units)), np.minimum(units, 0), np.maximum(units, 0), BLUE)
        plot.axhline(0, color="gray", lw=0.8)
        plot.margins(x=0.01)
        active = f"{np.count_nonzero(units)} of {len(units)} units active"
        xlabel = "unit" if plot is plots[-1] else ""
        _open_box(plot, title=f"{layer.name}: {active}", xlabel=xlabel, ylabel="activation")
    boxes = bars.barh(range(len(values)), values, color=BLUE)
    boxes[guess].set_color(VERMILLION)
    bars.bar_label(boxes, labels, padding=3, fontsize=9)
    bars.set_yticks(range(len(values)), names)
    bars.get_yticklabels()[guess].set_fontweight("bold")
    bars.invert_yaxis()
    bars.margins(x=0.25)  # space for the labels
    scale: Any = {"xlabel": "probability", "xlim": (0, 1.25), "xticks": [0, 0.5, 1]}
    scale = scale if shares else {"xlabel": "output"}
    _open_box(bars, title=f"{last.name}: {len(values)} classes", **scale)
    text = _title(title, source, default)
    if ax is not None:
        ax.set_title(text, fontsize=11, pad=22)
    elif text:
        drawn.suptitle(text)
    return drawn if ax is None else _figure_of(ax)


def plot_model(
    model: Any, title: str | None = None, source: str | None = None, ax: Axes | None = None
) -> Figure:
    r"""Plot the layers of a model, with output shapes and numbers of parameters.

    Parameters
    ----------
    model : Model
        Model; it need not be built.
    title : str, optional
        Title; by default, the model's name and number of parameters. ``""`` for no title.
    source : str, optional
        Name of the training dataset, shown below the title.
    ax : Axes, optional
        Axes to draw the plot in; by default, the Axes of a new figure.

    Returns
    -------
    Figure
        Figure that contains the plot.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> model = Sequential([layers.Input((4,)), layers.Dense(2, name="out")], name="net")
    >>> figure = plot_model(model)
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['input', '4', 'out\nDense', '2', '10 parameters']
    """
    from matplotlib.colors import to_rgba
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    entries = connections(model)
    inputs = [entry for entry, _, sources in entries if not sources]
    ax = _axes(ax, 5.6, 0.95 * len(entries) + 0.5)
    ax.set_axis_off()
    ax.set(xlim=(0, 1), ylim=(len(entries) - 0.2, -0.2))
    for i, (entry, shape, sources) in enumerate(entries):
        name, parameters = "input" if len(inputs) == 1 else getattr(entry, "name", ""), ""
        if sources:
            name = f"{entry.name}\noperation"
        if sources and hasattr(entry, "count_params"):
            activation = entry.get_config().get("activation")
            name = f"{entry.name}\n{type(entry).__name__}"
            if isinstance(activation, str) and activation != "linear":
                name += f", {activation}"
            size = entry.count_params() if entry.built else None
            parameters = "not built" if size is None else f"{size:,} parameters" if size else ""
        round_box = "round,pad=0,rounding_size=0.04"
        box = FancyBboxPatch((0.03, i), 0.52, 0.6, round_box, mutation_aspect=len(entries))
        box.set(facecolor=to_rgba(BLUE, 0.25) if parameters else "none", edgecolor=BLUE)
        ax.add_patch(box)
        ax.text(0.29, i + 0.3, name, ha="center", va="center", linespacing=1.4)
        known = " × ".join(str(n or "any") for n in shape[1:]) if isinstance(shape, tuple) else "?"
        ax.text(0.6, i + (0.18 if parameters else 0.3), known, va="center", weight="bold")
        if parameters:
            ax.text(0.6, i + 0.44, parameters, va="center", fontsize=9)
        for start in sources:
            ends, curve = ((0.29, i - 0.4), (0.29, float(i))), "arc3"
            if i - start > 1:  # the arrow passes other boxes
                curve, ends = "arc3,rad=0.15", ((0.03, start + 0.3), (0.03, i + 0.3))
            arrow = FancyArrowPatch(*ends, connectionstyle=curve, arrowstyle="->")
            ax.add_patch(arrow).set(color="gray", mutation_scale=12)
    default = model.name + (f": {model.count_params():,} parameters" if model.built else "")
    return _titled(ax, title, source, default)


# ---------------------------------------------------------------- figures and titles


def _new_figure(width: float, height: float) -> Figure:
    """Create a figure, managed by pyplot if pyplot is imported; sizes are in inches."""
    from matplotlib import get_backend
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    size, layout = (width, height), ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    headless = pyplot is not None and get_backend().lower() in _HEADLESS
    while headless and len(_kept) >= _KEPT_HEADLESS:
        if oldest := _kept.pop(0)():
            pyplot.close(oldest)
    figure: Any = (pyplot.figure if pyplot else Figure)(figsize=size, layout=layout)
    if pyplot is None:
        # Notebooks display figures without pyplot only if they define a representation.
        figure._repr_png_ = functools.partial(_as_png, figure)
    elif headless:
        _kept.append(weakref.ref(figure))
    elif "inline" in get_backend():
        figure._ipython_display_ = functools.partial(_display_once, figure)
    return figure


def _display_once(figure: Any) -> None:
    """Display a figure as the result of a notebook cell, and close it, so that it appears once."""
    sys.modules["matplotlib.pyplot"].close(figure)
    importlib.import_module("IPython.display").display_png(_as_png(figure), raw=True)


def _not_both(fig: Any, ax: Any) -> None:
    expected = "figure must be None if ax is given"
    checks.require(fig is None or ax is None, expected, "figure and ax")


def _open_box(ax: Axes, hidden: Sequence[str] = ("top", "right"), **settings: Any) -> None:
    """Hide spines of an Axes, and set its title and labels."""
    ax.set(**settings)
    ax.title.set_fontsize(10)
    for side in hidden:
        ax.spines[side].set_visible(False)


def _as_png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _axes(ax: Axes | None, width: float, height: float) -> Axes:
    return ax or _new_figure(width, height).subplots()


def _figure_of(ax: Axes) -> Figure:
    return cast("Figure", ax.figure)  # may also be a SubFigure


def _title(title: str | None, source: str | None, default: str) -> str:
    lines = (default if title is None else title, source and f"Data: {source}")
    return "\n".join(filter(None, lines))


def _titled(ax: Axes, title: str | None, source: str | None, default: str = "") -> Figure:
    ax.set_title(_title(title, source, default), fontsize=11)
    ax.set_anchor("N")  # keeps the title inside the figure if the layout leaves space
    return _figure_of(ax)


# ---------------------------------------------------------------- mosaics of images


def _pictures(x: Array) -> Array:
    """Convert images to shape (N, h, w)."""
    shape = x.shape[1:]
    if len(shape) == 3 and shape[2] == 1:
        shape = shape[:2]
    if len(shape) == 1 and math.isqrt(shape[0]) ** 2 == shape[0]:
        shape = (math.isqrt(shape[0]),) * 2
    expected = "images must be of shape (N, h, w), (N, h, w, 1) or (N, h * h)"
    checks.require(len(shape) == 2, expected, f"shape {x.shape}")
    return x.reshape(len(x), *shape)


def _draw_mosaic(
    ax: Axes, tiles: Array, columns: int, below: int, cmap: str, low: float, high: float
) -> tuple[int, int]:
    """Draw images as tiles of a single image, ten times faster than separate Axes for each.

    Return the vertical and horizontal distance between tiles, in pixels.
    """
    n, h, w = tiles.shape
    height, width, rows = h + below, w + _GAP, math.ceil(n / columns)
    places = np.full((rows * columns, height, width), np.nan, np.float32)
    places[:n, :h, :w] = tiles
    mosaic = places.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, -1)
    ax.imshow(mosaic[:, :-_GAP], cmap, vmin=low, vmax=high, interpolation="nearest")
    ax.set_axis_off()
    return height, width


def _limits(pixels: Array) -> tuple[float, float]:
    """Return the values that are displayed as black and white."""
    return min(pixels.min(), 0), pixels.max() or 1


# ---------------------------------------------------------------- arguments


def _same_length(**arrays: Any) -> list[Array]:
    """Convert arguments to arrays, and check that they have the same number of examples."""
    converted = {name: np.asarray(array) for name, array in arrays.items()}
    lengths = {name: len(a) if a.ndim else 0 for name, a in converted.items()}
    fits = len(set(lengths.values())) == 1 and all(lengths.values())
    received = ", ".join(f"{name} of length {length}" for name, length in lengths.items())
    expected = f"{' and '.join(lengths)} must have the same length, at least 1"
    checks.require(fits, expected, received)
    return list(converted.values())


def _predicted(images: Any, y_true: Any, probabilities: Any) -> tuple[Array, Array, Array, Array]:
    """Return images, true classes, probabilities, and predicted classes."""
    x, y, p = _same_length(images=images, y_true=y_true, probabilities=probabilities)
    guess = _classes("probabilities", p, ndim=2)
    return x, _classes("y_true", y), p, guess


def _classes(name: str, values: Array, ndim: int = 1) -> Array:
    """Return integer class labels, computed by argmax from class probabilities."""
    if values.ndim == 2 and values.shape[1] and (ndim == 2 or name == "y_pred"):
        return np.asarray(values.argmax(axis=1))
    expected = "of shape (N, C)" if ndim == 2 else "non-negative integers of shape (N,)"
    fits = values.ndim == ndim and values.dtype.kind in "iu" and values.min() >= 0
    checks.require(fits, f"{name} must be {expected}", checks.shorten(values))
    return values.astype(int)


def _are_probabilities(values: Array) -> bool:
    """Return True if all values are from 0 to 1, to within rounding error."""
    return bool(values.min() >= 0 and values.max() <= 1.001)


def _names(class_names: Sequence[str] | None, count: int) -> list[str]:
    names = [*map(str, range(count) if class_names is None else class_names)]
    expected = f"class_names must contain at least {count} names"
    checks.require(len(names) >= count, expected, f"class_names={checks.shorten(class_names)}")
    return names


def _outputs(model: Any, x: Array) -> Iterator[tuple[Any, Array]]:
    """Yield each layer with its output for one image, from the first layer with weights."""
    model(x)  # builds the model, and validates the shape
    nodes = [node for node in model._known_graph().nodes if hasattr(node.outputs, "shape")]
    values = Model(model.inputs, [node.outputs for node in nodes], name="all_layers")(x)
    found = zip(nodes, values if len(nodes) > 1 else [values], strict=True)
    rest = itertools.dropwhile(lambda pair: not getattr(pair[0].operation, "weights", ()), found)
    return ((node.operation, np.asarray(value).reshape(-1)) for node, value in rest)
