"""Pictures: of the digits and what the net says to them, of its course, and of its inside.

Every function returns the `matplotlib.figure.Figure` that it drew in: a new one, unless an `ax` or
a `figure` is passed. In a program that has imported ``matplotlib.pyplot``, a new figure is pyplot's
current figure, and ``plt.show()`` shows it. Without pyplot, no global state is involved: a notebook
displays the figure that a cell ends in, a program calls ``figure.savefig("predictions.png")``.

What matters is never told by colour alone, and the colours are those of M. Okabe and K. Ito,
"Color universal design" (2008), which colour-blind eyes tell apart.
"""

from __future__ import annotations

import functools
import importlib
import io
import math
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tinynet import checks
from tinynet.graph_config import connections
from tinynet.one_step import layers_of
from tinynet.sequential import Model
from tinynet.variable import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

BLUE, VERMILLION = "#0072B2", "#D55E00"

_GAP = 4  # pixels between the small pictures of a mosaic

# Backends that never show a figure. A program that only saves figures need not close them: pyplot
# keeps the last few, and would warn of more than twenty.
_HEADLESS = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}
_KEPT_HEADLESS = 10
_kept: list[weakref.ref[Any]] = []


# ---------------------------------------------------------------- what the net says


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
    r"""Draw images with the predicted class, its probability, and the true class.

    Wrong predictions have a frame, a cross and bold letters.

    Parameters
    ----------
    images : array_like, shape (N, h, w), (N, h, w, 1) or (N, h * h)
        Images of digits, on any scale.
    y_true : array_like of int, shape (N,)
        The true classes.
    probabilities : array_like, shape (N, C)
        What `predict` returned.
    count : int
        How many images are drawn at most: the first ones.
    columns : int
        How many stand in a row.
    class_names : sequence of str, optional
        What the classes are called; by default their numbers.
    title : str, optional
        What stands above; by default how many of all N are right. ``""`` for nothing.
    source : str, optional
        Which data these are: named below the title.
    ax : Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    Figure
        The figure drawn in.

    Raises
    ------
    ValueError
        If the arrays don't belong together.

    Examples
    --------
    >>> images, probabilities = np.zeros((2, 28, 28)), [[0.9, 0.1], [0.8, 0.2]]
    >>> figure = plot_predictions(images, [0, 1], probabilities)
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0  (90.0%)\ntrue: 0', '✗ 0  (80.0%)\ntrue: 1']
    """
    from matplotlib.patches import Rectangle

    x, y, p = _same_length(images=images, y_true=y_true, probabilities=probabilities)
    count, columns = checks.whole("count", count), checks.whole("columns", columns)
    guess = _classes("probabilities", p, ndim=2)
    if not _are_probabilities(p):
        raise ValueError(
            f"probabilities must lie from 0 to 1; those of scores are given by "
            f"activations.softmax. Received: {p.min():.4g} to {p.max():.4g}"
        )
    right = guess == _classes("y_true", y)
    shown = f"; the first {count}" if len(right) > count else ""
    default = f"Predictions: {right.sum():,} of {len(right):,} right{shown}"
    names = _names(class_names, max(p.shape[1], int(y.max()) + 1))

    tiles = _pictures(x[:count])
    columns = min(columns, len(tiles))
    ax = _axes(ax, max(1.45 * columns, 4), 1.73 * math.ceil(len(tiles) / columns) + 0.6)
    _, h, w = tiles.shape
    height, width = _draw_mosaic(ax, tiles, columns, round(0.36 * h), "gray", *_limits(tiles))
    for i in range(len(tiles)):
        left, top = i % columns * width, i // columns * height
        style: dict[str, Any] = {"color": None, "weight": "normal"}
        if not right[i]:
            style = {"color": VERMILLION, "weight": "bold"}
            # An image's first pixel reaches from -0.5 to 0.5.
            frame = Rectangle((left - 0.8, top - 0.8), w + 0.6, h + 0.6, fill=False, clip_on=False)
            frame.set(edgecolor=VERMILLION, linewidth=2.5)
            ax.add_patch(frame)
        percent = f"({100 * p[i, guess[i]]:.1f}%)"
        text = f"{'' if right[i] else '✗ '}{names[guess[i]]}  {percent}\ntrue: {names[y[i]]}"
        below = left + (w - 1) / 2, top + h + 0.3
        ax.text(*below, text, ha="center", va="top", fontsize=9.5, **style)
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
    r"""Draw the images that are predicted wrongly, the surest first.

    They show what is worth knowing: which digits are hard to read for anybody, which way of
    writing the net has never seen, and which labels are wrong.

    Parameters
    ----------
    images : array_like, shape (N, h, w), (N, h, w, 1) or (N, h * h)
        Images of digits, on any scale.
    y_true : array_like of int, shape (N,)
        The true classes.
    probabilities : array_like, shape (N, C)
        What `predict` returned.
    count : int
        How many images are drawn at most.
    columns : int
        How many stand in a row.
    class_names : sequence of str, optional
        What the classes are called; by default their numbers.
    title : str, optional
        What stands above; by default how many mistakes there are. ``""`` for nothing.
    source : str, optional
        Which data these are: named below the title.
    ax : Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    Figure
        The figure drawn in.

    Raises
    ------
    ValueError
        If the arrays don't belong together.

    Examples
    --------
    >>> images, probabilities = np.zeros((2, 28, 28)), [[0.6, 0.4], [0.8, 0.2]]
    >>> figure = plot_mistakes(images, [1, 1], probabilities)
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['✗ 0  (80.0%)\ntrue: 1', '✗ 0  (60.0%)\ntrue: 1']
    """
    x, y, p = _same_length(images=images, y_true=y_true, probabilities=probabilities)
    count = checks.whole("count", count)
    guess = _classes("probabilities", p, ndim=2)
    wrong = np.flatnonzero(guess != _classes("y_true", y))
    surest = wrong[np.argsort(-p[wrong, guess[wrong]], kind="stable")]
    if title is None:
        shown = f", the {count} surest" if len(wrong) > count else ", the surest first"
        title = f"Mistakes: {len(wrong):,} of {len(y):,}{shown if len(wrong) > 1 else ''}"
    if not len(wrong):
        ax = _axes(ax, 1.45 * columns, 2)
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no mistakes", ha="center", va="center", transform=ax.transAxes)
        return _titled(ax, title, source)
    first = surest[:count]
    return plot_predictions(
        x[first], y[first], p[first], count, columns, class_names, title, source, ax
    )


def plot_confusion_matrix(
    y_true: Any,
    y_pred: Any,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how often each class is taken for each.

    Parameters
    ----------
    y_true : array_like of int, shape (N,)
        The true classes.
    y_pred : array_like, shape (N,) or (N, C)
        The predicted classes, or what `predict` returned.
    class_names : sequence of str, optional
        What the classes are called; by default their numbers.
    title : str, optional
        What stands above; by default how many are right. ``""`` for nothing.
    source : str, optional
        Which data these are: named below the title.
    ax : Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    Figure
        The figure drawn in. Row i, column j counts the examples of class i that were taken for
        class j. The shade is the count's share of its row, on a scale that lets mistakes show.

    Raises
    ------
    ValueError
        If the arrays don't belong together.

    Examples
    --------
    >>> figure = plot_confusion_matrix([0, 1, 1, 1], [0, 1, 1, 0])
    >>> figure.axes[0].texts[2].get_text(), figure.axes[0].get_title()
    ('2', 'Confusion matrix: 3 of 4 right (75.00%)')
    """
    from matplotlib.colors import PowerNorm

    y, predicted = _same_length(y_true=y_true, y_pred=y_pred)
    true, guess = _classes("y_true", y), _classes("y_pred", predicted)
    size = max(true.max() + 1, guess.max() + 1, *predicted.shape[1:], len(class_names or ()))
    names = _names(class_names, size)
    matrix = np.zeros((size, size), int)
    np.add.at(matrix, (true, guess), 1)
    right = np.trace(matrix)
    default = f"Confusion matrix: {right:,} of {len(true):,} right ({right / len(true):.2%})"
    side = max(0.55 * size, 3) + 1.1
    ax = _axes(ax, side, side)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shades = ax.imshow(shares, "Blues", PowerNorm(0.4, 0, 1))
    for i, j in zip(*np.nonzero(matrix), strict=True):
        dark = np.dot(shades.to_rgba(shares[i, j])[:3], (0.299, 0.587, 0.114)) < 0.55
        color, weight = "white" if dark else "black", "bold" if i == j else "normal"
        number = f"{matrix[i, j]}"
        ax.text(j, i, number, color=color, weight=weight, ha="center", va="center", fontsize=9)
    long = max(map(len, names)) > 3
    ax.set_xticks(range(size), names, rotation=45 if long else 0, ha="right" if long else "center")
    ax.set_yticks(range(size), names)
    ax.tick_params(length=0)
    ax.set(xlabel="predicted", ylabel="true")
    return _titled(ax, title, source, default)


# ---------------------------------------------------------------- the course of training


def plot_history(
    history: Any,
    test: Mapping[str, float] | None = None,
    title: str | None = None,
    source: str | None = None,
    figure: Figure | SubFigure | None = None,
    ax: Axes | Sequence[Axes] | Array | None = None,
) -> Figure:
    """Draw the loss and the metrics over the epochs.

    Parameters
    ----------
    history : History or mapping of str to sequence of float
        What `fit` returned, or its ``history``.
    test : mapping of str to float, optional
        What ``evaluate(return_dict=True)`` returned afterwards: a mark at the last epoch.
    title : str, optional
        What stands above; by default "Learning curves". ``""`` for nothing.
    source : str, optional
        Which data these are: named below the title.
    figure : Figure or SubFigure, optional
        Figure to add the Axes to; by default a new one.
    ax : Axes or sequence of Axes, optional
        Existing Axes to draw in: one for the loss and each metric, in the order loss, metrics; or
        a single one for all of them, with the title above it.

    Returns
    -------
    Figure
        The figure drawn in: one Axes for the loss and for each metric, with a line for training
        and one for validation where there was any.

    Raises
    ------
    ValueError
        If it has no epochs, or the number of Axes is wrong.

    Examples
    --------
    >>> figure = plot_history({"loss": [0.5, 0.2], "val_loss": [0.4, 0.3]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['training', 'validation']
    """
    from matplotlib.ticker import MaxNLocator

    figures: Mapping[str, Sequence[float]] = getattr(history, "history", history)
    if not isinstance(figures, Mapping) or not any(len(values) for values in figures.values()):
        expected = "history must be what fit returned, after at least one epoch"
        raise ValueError(f"{expected}. Received: {checks.shorten(figures)}")
    # Callbacks may also put texts and other objects into the logs.
    kinds = (float, int, np.number, np.ndarray)
    figures = {k: v for k, v in figures.items() if all(isinstance(x, kinds) for x in v)}
    numbers = getattr(history, "epoch", None) or range(max(map(len, figures.values())))
    epochs = [number + 1 for number in numbers]
    every = dict.fromkeys(name.removeprefix("val_") for name in figures)
    names = sorted(every, key=lambda name: name != "loss")
    _not_both(figure, ax)
    if ax is None:
        new = cast("Figure", figure or _new_figure(4.2 * len(names), 3.6))
        axes = list(new.subplots(1, len(names), squeeze=False)[0])
    else:
        axes = list(np.ravel(np.asarray(ax, object)))
    shared = len(axes) == 1 < len(names)
    if not shared and len(axes) != len(names):
        expected = f"ax must be a single Axes, or one for each of {', '.join(names)}"
        raise ValueError(f"{expected}. Received: {len(axes)} Axes")
    for i, name in enumerate(names):
        each = axes[0 if shared else i]
        of = f"{name}, " if shared else ""
        for key, label, style, colour in (
            (name, "training", "o-", BLUE),
            (f"val_{name}", "validation", "s--", VERMILLION),
        ):
            if key in figures:
                values, colour = figures[key], f"C{i}" if shared else colour
                each.plot(epochs[: len(values)], values, style, color=colour, label=of + label)
        if test is not None and name in test:
            colour = f"C{i}" if shared else VERMILLION
            each.plot(epochs[-1], test[name], "D", color=colour, ms=8, label=f"{of}test")
        each.set(xlabel="epoch", title=name)
        each.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        each.margins(x=0.06)
        each.grid(alpha=0.3)
        each.spines[["top", "right"]].set_visible(False)
        each.legend(frameon=False)
    drawn = _figure_of(axes[0])
    text = _title(title, source, "Learning curves")
    if ax is not None and len(axes) == 1:
        axes[0].set_title(text)
    elif text and (ax is None or title or source):
        drawn.suptitle(text)
    return drawn


def plot_runs(
    figures: Mapping[str, Any],
    title: str | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw what several runs came to, side by side: a dot each, and their mean and spread.

    Parameters
    ----------
    figures : mapping of str to array_like, shape (runs,)
        One figure of all runs, under the name of what it is the figure of.
    title : str, optional
        What stands above; by default how many runs they are. ``""`` for nothing.
    source : str, optional
        Which data these are: named below the title.
    ax : Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    Figure
        The figure drawn in. A line stands at each mean, and reaches one standard deviation up
        and down.

    Raises
    ------
    ValueError
        If there are no runs.

    Examples
    --------
    >>> figure = plot_runs({"tinynet": [0.97, 0.98], "Keras": [0.96, 0.98]})
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['tinynet', 'Keras']
    """
    values = {name: np.asarray(each, np.float64).ravel() for name, each in figures.items()}
    if not values or not all(len(each) for each in values.values()):
        raise ValueError(
            f"figures must hold at least one run of each. Received: {checks.shorten(figures)}"
        )
    ax = _axes(ax, 1.6 * len(values) + 2.4, 3.6)
    for i, each in enumerate(values.values()):
        aside = np.linspace(-0.12, 0.12, len(each)) if len(each) > 1 else np.zeros(1)
        ax.plot(i + aside, each, "o", color=BLUE, alpha=0.6, mec="none")
        spread = each.std(ddof=1) if len(each) > 1 else None
        ax.errorbar(i + 0.25, each.mean(), spread, fmt="_", color=VERMILLION, ms=14, capsize=5)
    ax.set_xticks(range(len(values)), list(values))
    ax.set_xlim(-0.6, len(values) - 0.4)
    ax.grid(axis="y", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    count = max(map(len, values.values()))
    said = f"{count} runs, their mean and one standard deviation" if count > 1 else "One run"
    return _titled(ax, title, source, said)


# ---------------------------------------------------------------- the inside of the net


def plot_weights(
    model: Any,
    count: int = 128,
    columns: int = 16,
    title: str | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the kernel of the first dense layer: for each unit, the picture it looks for.

    A unit's output is the sum of the pixels times these weights. Pixels where a weight is
    positive speak for the unit, pixels where it is negative against it.

    Parameters
    ----------
    model : Model
        A built model whose first weights are applied to an image's pixels.
    count : int
        How many units are drawn at most: the first ones.
    columns : int
        How many stand in a row.
    title : str, optional
        What stands above; by default the layer's name and number of units. ``""`` for nothing.
    source : str, optional
        Which data it was trained on: named below the title.
    ax : Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    Figure
        The figure drawn in.

    Raises
    ------
    ValueError
        If there is no such kernel, or its inputs are no picture.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> model = Sequential([layers.Input((4, 4)), layers.Flatten(), layers.Dense(3, name="seen")])
    >>> figure = plot_weights(model)
    >>> figure.axes[0].get_title()
    'seen: weights of 3 units'
    """
    count, columns = checks.whole("count", count), checks.whole("columns", columns)
    layer, kernel = _first_kernel(model)
    units = kernel.shape[1]
    shape = () if isinstance(model.input_shape, list | dict) else model.input_shape[1:]
    shape = shape if len(shape) > 1 and math.prod(shape) == len(kernel) else (len(kernel),)
    tiles = _pictures(kernel.T[:count].reshape(-1, *shape))
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    ax = _axes(ax, max(0.58 * columns, 3) + 1.3, max(0.58 * rows, 1.2) + 0.7)
    # The few largest weights would leave all others pale.
    bound = float(np.quantile(np.abs(tiles), 0.995)) or 1.0
    height, _ = _draw_mosaic(ax, tiles, columns, _GAP, "RdBu", -bound, bound)
    ax.set_axis_on()
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    middle = (tiles.shape[1] - 1) / 2
    first_units = [str(unit) for unit in range(0, len(tiles), columns)]
    ax.set_yticks([row * height + middle for row in range(rows)], first_units)
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
    """Draw one image on its way through the net: pixels, hidden units, probabilities.

    Parameters
    ----------
    model : Model
        The model; its layers from the first one with weights on give a row of numbers each.
    image : array_like
        One image as the model takes it (pixels from 0 to 1, if it was trained on those), with or
        without a batch axis of 1.
    class_names : sequence of str, optional
        What the classes are called; by default their numbers.
    title : str, optional
        What stands above; by default the prediction. ``""`` for nothing.
    source : str, optional
        Where the image comes from: named below the title.
    figure : Figure or SubFigure, optional
        Figure to add the Axes to; by default a new one.
    ax : Axes, optional
        Existing Axes to draw in: they become the frame of the plots inside.

    Returns
    -------
    Figure
        The figure drawn in.

    Raises
    ------
    ValueError
        If the model does not take the image, or the image is no picture.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> model = Sequential([layers.Flatten(), layers.Dense(3, "relu"), layers.Dense(2, "softmax")])
    >>> figure = plot_activations(model, np.ones((4, 4)))
    >>> [len(ax.containers) for ax in figure.axes]
    [0, 0, 1]
    """
    if model.built and (len(model.inputs) > 1 or len(model.outputs) > 1):
        raise ValueError(
            "model must have one input and one output. "
            f"Received: {len(model.inputs)} inputs and {len(model.outputs)} outputs"
        )
    x = np.asarray(image)
    if (model.built and x.shape == model.input_shape[1:]) or (not model.built and x.ndim in (1, 2)):
        x = x[None]
    if len(x) != 1:
        raise ValueError(f"image must be one image. Received: shape {x.shape}")
    picture = _pictures(x)[0]
    outputs = list(_outputs(model, x))
    if not outputs:
        raise ValueError(f"model must have a layer with weights. Received: {checks.shorten(model)}")
    (last, values), hidden = outputs[-1], outputs[:-1]
    guess = int(values.argmax())
    names = _names(class_names, len(values))
    shares = _are_probabilities(values)
    labels = [f"{v:.1%}" if v >= 0.001 else "" for v in values] if shares else values.round(2)
    default = f"One image on its way through {model.name}: {names[guess]} ({labels[guess]})"

    _not_both(figure, ax)
    rows, frame = max(len(hidden), 1), ax
    plots: list[Axes]  # the pixels, the hidden layers from top to bottom, the output
    if frame is None:
        height = max(2.2 * rows, 3) + 0.9
        drawn = cast("Figure", figure or _new_figure(10 if hidden else 6, height))
        grid = drawn.add_gridspec(rows, 3, width_ratios=(1, 2 if hidden else 0.01, 1))
        places = [grid[:, 0], *(grid[i, 1] for i in range(len(hidden))), grid[:, 2]]
        plots = [drawn.add_subplot(place) for place in places]
    else:
        drawn = _figure_of(frame)
        frame.set_axis_off()
        middle = [(0.32, 1 - (i + 0.8) / rows, 0.4, 0.65 / rows) for i in range(len(hidden))]
        bounds = [(0, 0, 0.22, 0.9), *middle, (0.8, 0.1, 0.2, 0.8)]
        plots = [frame.inset_axes(each) for each in bounds]
    ax = plots[0]
    low, high = _limits(picture)
    ax.imshow(picture, "gray", vmin=low, vmax=high)
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"pixels: {picture.shape[0]} × {picture.shape[1]}", fontsize=10)
    for i, (layer, units) in enumerate(hidden):
        ax = plots[i + 1]
        ax.vlines(np.arange(len(units)), np.minimum(units, 0), np.maximum(units, 0), BLUE)
        ax.axhline(0, color="gray", lw=0.8)
        active = f"{np.count_nonzero(units)} of {len(units)} units active"
        ax.set_title(f"{layer.name}: {active}", fontsize=10)
        ax.set_ylabel("activation")
        ax.margins(x=0.01)
        ax.spines[["top", "right"]].set_visible(False)
        if i == len(hidden) - 1:
            ax.set_xlabel("unit")
    ax = plots[-1]
    bars = ax.barh(range(len(values)), values, color=BLUE)
    bars[guess].set_color(VERMILLION)
    ax.bar_label(bars, labels, padding=3, fontsize=9)
    ax.set_yticks(range(len(values)), names)
    ax.get_yticklabels()[guess].set_fontweight("bold")
    ax.invert_yaxis()
    ax.margins(x=0.25)  # with room for the labels
    ax.set_xlabel("probability" if shares else "output")
    if shares:
        ax.set_xlim(0, 1.25)
        ax.set_xticks([0, 0.5, 1])
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(f"{last.name}: {len(values)} classes", fontsize=10)
    text = _title(title, source, default)
    if frame is not None:
        frame.set_title(text, fontsize=11, pad=22)
    elif text:
        drawn.suptitle(text)
    return drawn


def plot_model(
    model: Any, title: str | None = None, source: str | None = None, ax: Axes | None = None
) -> Figure:
    r"""Draw the layers of a model, the shapes between them, and their numbers of parameters.

    Parameters
    ----------
    model : Model
        The model, built or not.
    title : str, optional
        What stands above; by default its name and number of parameters. ``""`` for nothing.
    source : str, optional
        Which data it was trained on: named below the title.
    ax : Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    Figure
        The figure drawn in.

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

    boxes, links = [], []
    listed = connections(model)
    inputs = [entry for entry, _, sources in listed if not sources]
    for i, (entry, shape, sources) in enumerate(listed):
        links += [(source, i) for source in sources]
        if not sources:
            boxes.append(("input" if len(inputs) == 1 else entry.name, shape, ""))
            continue
        kind, parameters = "operation", ""
        if hasattr(entry, "count_params"):
            activation = entry.get_config().get("activation")
            kind = type(entry).__name__
            if isinstance(activation, str) and activation != "linear":
                kind += f", {activation}"
            size = entry.count_params() if entry.built else None
            parameters = "not built" if size is None else f"{size:,} parameters" if size else ""
        boxes.append((f"{entry.name}\n{kind}", shape, parameters))
    default = model.name + (f": {model.count_params():,} parameters" if model.built else "")

    ax = _axes(ax, 5.6, 0.95 * len(boxes) + 0.5)
    ax.set_axis_off()
    ax.set(xlim=(0, 1), ylim=(len(boxes) - 0.2, -0.2))
    for i, (name, shape, parameters) in enumerate(boxes):
        round_box = "round,pad=0,rounding_size=0.04"
        box = FancyBboxPatch((0.03, i), 0.52, 0.6, round_box, mutation_aspect=len(boxes))
        box.set(facecolor=to_rgba(BLUE, 0.25) if parameters else "none", edgecolor=BLUE)
        ax.add_patch(box)
        ax.text(0.29, i + 0.3, name, ha="center", va="center", linespacing=1.4)
        known = "?"
        if isinstance(shape, tuple):
            known = " × ".join(str(n or "any") for n in shape[1:])
        ax.text(0.6, i + (0.18 if parameters else 0.3), known, va="center", weight="bold")
        if parameters:
            ax.text(0.6, i + 0.44, parameters, va="center", fontsize=9)
    arrow: dict[str, Any] = {"arrowstyle": "->", "mutation_scale": 12, "color": "gray"}
    for start, end in links:
        ends, curve = ((0.29, end - 0.4), (0.29, float(end))), "arc3"
        if end - start > 1:  # around the boxes in between
            curve, ends = "arc3,rad=0.15", ((0.03, start + 0.3), (0.03, end + 0.3))
        ax.add_patch(FancyArrowPatch(*ends, connectionstyle=curve, **arrow))
    return _titled(ax, title, source, default)


# ---------------------------------------------------------------- figures and titles


def _new_figure(width: float, height: float) -> Figure:
    """Create a figure, sizes in inches; pyplot manages it if the program has imported pyplot."""
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
        # Without pyplot, notebooks do not know how to display a figure.
        figure._repr_png_ = functools.partial(_as_png, figure)
    elif headless:
        _kept.append(weakref.ref(figure))
    elif "inline" in get_backend():
        figure._ipython_display_ = functools.partial(_display_once, figure)
    return figure


def _display_once(figure: Any) -> None:
    """Display a figure as the result of a notebook cell; pyplot must not display it again."""
    sys.modules["matplotlib.pyplot"].close(figure)
    importlib.import_module("IPython.display").display_png(_as_png(figure), raw=True)


def _not_both(figure: Any, ax: Any) -> None:
    if figure is not None and ax is not None:
        raise ValueError("figure must be None if ax is passed. Received: figure and ax")


def _as_png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _axes(ax: Axes | None, width: float, height: float) -> Axes:
    return ax or _new_figure(width, height).subplots()


def _figure_of(ax: Axes) -> Figure:
    return cast("Figure", ax.figure)  # or a part of one, where that was given


def _title(title: str | None, source: str | None, default: str) -> str:
    lines = (default if title is None else title, source and f"Data: {source}")
    return "\n".join(filter(None, lines))


def _titled(ax: Axes, title: str | None, source: str | None, default: str = "") -> Figure:
    ax.set_title(_title(title, source, default), fontsize=11)
    ax.set_anchor("N")  # where a layout gives more room than a picture can use, its title stays in
    return _figure_of(ax)


# ---------------------------------------------------------------- small pictures in rows


def _pictures(x: Array) -> Array:
    """Give images the shape (N, h, w)."""
    shape = x.shape[1:]
    if len(shape) == 3 and shape[2] == 1:
        shape = shape[:2]
    if len(shape) == 1 and math.isqrt(shape[0]) ** 2 == shape[0]:
        shape = (math.isqrt(shape[0]),) * 2
    if len(shape) != 2:
        expected = "images must be of shape (N, h, w), (N, h, w, 1) or (N, h * h)"
        raise ValueError(f"{expected}. Received: shape {x.shape}")
    return x.reshape(len(x), *shape)


def _draw_mosaic(
    ax: Axes, tiles: Array, columns: int, below: int, cmap: str, low: float, high: float
) -> tuple[int, int]:
    """Draw pictures in rows, as one image: an Axes for each would take ten times as long.

    Returns the distances between them, downwards and across.
    """
    n, h, w = tiles.shape
    height, width = h + below, w + _GAP
    rows = math.ceil(n / columns)
    places = np.full((rows * columns, height, width), np.nan, np.float32)
    places[:n, :h, :w] = tiles
    mosaic = places.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, -1)
    ax.imshow(mosaic[:, :-_GAP], cmap, vmin=low, vmax=high, interpolation="nearest")
    ax.set_axis_off()
    return height, width


def _limits(pixels: Array) -> tuple[float, float]:
    """Return the values of black and white."""
    return min(pixels.min(), 0), pixels.max() or 1


# ---------------------------------------------------------------- what is passed


def _same_length(**arrays: Any) -> list[Array]:
    """Convert what should have one row for each example."""
    converted = {name: np.asarray(array) for name, array in arrays.items()}
    lengths = {name: len(a) if a.ndim else 0 for name, a in converted.items()}
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        received = ", ".join(f"{name} of {length}" for name, length in lengths.items())
        expected = f"{' and '.join(lengths)} must have one row for each example, and at least one"
        raise ValueError(f"{expected}. Received: {received}")
    return list(converted.values())


def _classes(name: str, values: Array, ndim: int = 1) -> Array:
    """Return the classes that labels name, or to which probabilities give most."""
    if values.ndim == 2 and values.shape[1] and (ndim == 2 or name == "y_pred"):
        return np.asarray(values.argmax(axis=1))
    if values.ndim != ndim or values.dtype.kind not in "iu" or values.min() < 0:
        expected = "of shape (N, C)" if ndim == 2 else "whole numbers from 0 up, one an example"
        raise ValueError(f"{name} must be {expected}. Received: {checks.shorten(values)}")
    return values.astype(int)


def _are_probabilities(values: Array) -> bool:
    """Say so of what lies from 0 to 1, but for rounding."""
    return bool(values.min() >= 0 and values.max() <= 1.001)


def _names(class_names: Sequence[str] | None, count: int) -> list[str]:
    names = [str(i) for i in range(count)] if class_names is None else [str(n) for n in class_names]
    if len(names) < count:
        raise ValueError(f"class_names must name {count} classes. Received: {class_names}")
    return names


def _first_kernel(model: Any) -> tuple[Any, Array]:
    """Find the first layer that has a kernel of two dimensions."""
    for layer in layers_of(model) if model.built else []:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and len(kernel.shape) == 2:
            return layer, np.asarray(kernel.numpy())
    raise ValueError(
        f"model must be built and have a Dense layer. Received: {checks.shorten(model)}"
    )


def _outputs(model: Any, x: Array) -> Iterator[tuple[Any, Array]]:
    """Yield every layer from the first one with weights on, with its output for one image."""
    model(x)  # builds it, and says what is wrong with the shape
    nodes = [node for node in model._known_graph().nodes if hasattr(node.outputs, "shape")]
    values = Model(model.inputs, [node.outputs for node in nodes], name="all_layers")(x)
    weighted = False
    for node, value in zip(nodes, values if len(nodes) > 1 else [values], strict=True):
        weighted = weighted or bool(getattr(node.operation, "weights", ()))
        if weighted:
            yield node.operation, np.asarray(value).reshape(-1)
