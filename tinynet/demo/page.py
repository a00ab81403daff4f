"""Web page that trains a network on images and recognizes images drawn by the user.

The page is a single HTML file that contains the weights and, for training, images. It does not need
a server or a network connection. `functional.js` has the formulas of `tinynet.functional`, and
`framing.js` the preprocessing of `datasets.frame_digit`: without it, a model trained on MNIST
misclassifies most digits from other sources.
"""

from __future__ import annotations

import base64
import json
import math
import re
import webbrowser
import zlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import activations, layers
from tinynet._core import checks
from tinynet._core.atomic_files import write_atomically
from tinynet._core.version import __version__
from tinynet.datasets.drawn_digits import WAYS
from tinynet.models.functional_config import layers_in_a_row

__all__ = ["MODELS", "default_model", "page", "show"]


def __dir__() -> list[str]:
    return __all__


#: Paths to which `tinynet train` saves its model.
MODELS = (Path("output", "model.tinynet"), Path("output", "model.keras"))

_MOST = 1_000_000  # maximum size in bytes with float32 weights; larger pages store float16
_TRAIN, _TEST = 30_000, 2_000  # maximum numbers of images
_IMAGES = 4_500_000  # maximum size in bytes of the images
_ROUNDS = 3  # number of examples of each digit
# Activations supported by network.js, in addition to the variants of relu.
_ACTIVATIONS = ("linear", "sigmoid", "tanh", "elu", "silu", "softplus", "softmax")


def page(
    model: Any = None,
    data: Any = None,
    name: str = "the given data",
    class_names: Sequence[str] | None = None,
) -> str:
    """Return the HTML of a page that runs a model and can train a network.

    The page contains the weights in float32 or, if it would exceed 1 MB without the images, in
    float16, which changes probabilities by about 0.001. A model with one hidden layer of at most
    256 units, whose activation is relu, sigmoid, tanh or linear, and with softmax can be trained
    further on the page. In place of another model, the page trains a new network.

    Parameters
    ----------
    model : Model, optional
        Built model with images of 28 x 28 pixels from 0 to 1 as input, and ten outputs. It must be
        a sequence of `Flatten`, `Dense`, `Dropout` and activation layers. If the outputs are not
        probabilities, the page applies softmax. By default, the page begins with a new network,
        which requires `data`.
    data : tuple, optional
        Images to train on and images to test on, as returned by `load_data` in
        `tinynet.datasets`: ``(x_train, y_train), (x_test, y_test)`` with uint8 images
        (N, 28, 28) and class labels (N,) from 0 to 9. The page contains at most 30,000 and
        2,000 of them, with 16 shades. By default, the page can't train.
    name : str
        Name of the data.
    class_names : sequence of str, optional
        Names of the ten classes. By default, the classes are the digits 0 to 9.

    Returns
    -------
    str
        Content of the HTML file.

    Raises
    ------
    ValueError
        If the page does not support the model, the data or the names.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> net = [layers.Input((28, 28)), layers.Flatten(), layers.Dense(10, activation="softmax")]
    >>> text = page(Sequential(net))
    >>> text.startswith("<!DOCTYPE html>"), len(text) < 200_000
    (True, True)
    """
    received = "neither a model nor data"
    given = model is not None or data is not None
    checks.require(given, "The page needs a model or data", received)
    names = [*map(str, range(10) if class_names is None else class_names)]
    received = f"class_names={checks.shorten(class_names)}"
    checks.require(len(names) == 10, "class_names must contain ten names", received)
    steps, parts = ([], [np.zeros(0)]) if model is None else _steps(model)
    flat = np.concatenate([part.ravel() for part in parts]).astype("<f4")
    images = "null" if data is None else json.dumps(_images(data, name)).replace("<", "\\u003c")
    before, between, after = re.split("@NET@|@IMAGES@", _assembled())
    net = {
        "shape": "-".join(["784", *(str(s["units"]) for s in steps if s["kind"] == "dense")]),
        "version": __version__,
        "steps": steps,
        "classes": names,
        "examples": [
            WAYS[digit][i][1]
            for i in range(_ROUNDS if class_names is None else 0)
            for digit in range(10)
        ],
    }
    for dtype in ("float32", "float16"):
        packed = base64.b64encode(flat.astype(np.dtype(dtype).newbyteorder("<")).tobytes())
        text = json.dumps({**net, "dtype": dtype, "weights": packed.decode("ascii")})
        # The name of a layer may contain "</script>".
        whole = before + text.replace("<", "\\u003c") + between
        large = np.abs(flat).max(initial=0) > np.finfo(np.float16).max
        if len((whole + after).encode()) <= _MOST or large:
            break
    return whole + images + after


def _images(data: Any, name: str) -> dict[str, Any]:
    """Return test and training images with 4 bits per pixel, and their labels, both in base64."""
    (x_train, y_train), (x_test, y_test) = data
    chosen: list[tuple[Any, Any]] = []
    for part, x, y, most in (("test", x_test, y_test, _TEST), ("train", x_train, y_train, _TRAIN)):
        x, y = np.asarray(x), np.asarray(y)
        fits = x.dtype == np.uint8 and x.shape[1:] == (28, 28) and len(x) == len(y) > 0
        expected = f"{part} images must be a uint8 array (N, 28, 28), with N labels from 0 to 9"
        received = f"{x.dtype} {x.shape} and labels {y.dtype} {y.shape}"
        checks.require(fits and np.isin(y, range(10)).all(), expected, received)
        few = slice(None, None, -(-len(x) // most))  # evenly spaced
        chosen.append((x[few].reshape(-1, 784), y[few].astype(np.uint8)))
    (x_test, y_test), (x_train, y_train) = chosen
    while True:
        shades = np.rint(np.concatenate([x_test, x_train]) / 17).astype(np.uint8)  # 255 / 15 = 17
        pairs: Any = shades[:, ::2] << 4 | shades[:, 1::2]
        packed = base64.b64encode(zlib.compress(pairs.tobytes(), 9))
        if len(packed) <= _IMAGES or len(x_train) < 100:
            break
        x_train, y_train = x_train[::2], y_train[::2]
    labels = base64.b64encode(np.concatenate([y_test, y_train]).tobytes())
    texts = {"pixels": packed.decode("ascii"), "labels": labels.decode("ascii")}
    return {"name": name, "test": len(x_test), **texts}


def _assembled() -> str:
    """Return page.html with the contents of the files that it names between two @."""
    folder = resources.files("tinynet.demo")

    def contents(name: str) -> str:
        return folder.joinpath(name).read_text(encoding="utf-8")

    return re.sub(r"@(\w+\.\w+)@", lambda found: contents(found[1]).strip(), contents("page.html"))


def _steps(model: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the steps of the forward pass, and the weights in order."""
    shape = model.input_shape[1:] if model.built else ()
    fits = None not in shape and math.prod(shape) == 784 and model.output_shape[1:] == (10,)
    given = f"shapes {model.input_shape} and {model.output_shape}" if shape else "an unbuilt model"
    checks.require(fits, "model must have inputs of 28 x 28 pixels and ten outputs", given)
    steps: list[dict[str, Any]] = []
    weights: list[Any] = []
    rank, last = len(shape) + 1, activations.linear
    for layer in layers_in_a_row(model):
        kind: Any = type(layer)
        if kind in (layers.InputLayer, layers.Dropout, layers.Flatten):
            rank = 2 if kind is layers.Flatten else rank
            continue
        supported = kind in (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.Softmax)
        supported = supported or (kind is layers.Dense and rank == 2)
        known = "Flatten, Dense (after Flatten), Dropout and activation layers"
        received = f"layer {layer.name!r} of type {kind.__name__}"
        checks.require(supported, f"model must contain only {known}", received)
        if kind is layers.Dense:
            offset, own = sum(array.size for array in weights), layer.get_weights()
            step = {"kind": "dense", "name": layer.name, "units": layer.units, "kernel": offset}
            steps.append({**step, "bias": offset + own[0].size if layer.use_bias else None})
            weights += own
        last = layer.activation
        if getattr(layer, "axis", -1) != -1:
            last = last.with_options(axis=layer.axis)
        steps.append(_activation(last, layer.name, rank))
    if last.__name__ not in ("softmax", "sigmoid"):
        steps.append(_activation(activations.softmax, "the output", 2))
    return steps, weights


def _activation(activation: Any, name: str, rank: int) -> dict[str, Any]:
    """Return the step of an activation; raise a ValueError if the page does not support it."""
    options = dict(activation.options)
    kind = "relu" if isinstance(activation, activations.Rectifier) else activation.__name__
    rows = rank == 2 and options.get("axis") in (-1, 1)
    fits = kind in ("relu", *_ACTIVATIONS) and (kind != "softmax" or rows)
    expected = f"Each activation must be one of relu, {', '.join(_ACTIVATIONS)}"
    received = f"activation={activation.__name__} {options or ''} in layer {name!r}"
    checks.require(fits, f"{expected}; softmax must be applied to the last axis", received)
    return {"kind": "activation", "name": kind, "options": options}


def default_model() -> Path:
    """Return the path of the model that `tinynet train` saved in the current folder.

    Returns
    -------
    Path
        First path in `MODELS` that exists.

    Raises
    ------
    FileNotFoundError
        If no model was found.

    Examples
    --------
    >>> [path.name for path in MODELS]
    ['model.tinynet', 'model.keras']
    """
    for path in MODELS:
        if path.exists():
            return path
    how = "run 'tinynet train', which takes less than a minute, or pass the path of a model"
    places = " and ".join(map(str, MODELS))
    raise FileNotFoundError(f"No model was found; {how}. Searched: {places}")


def show(
    model: Any,
    path: str | Path,
    data: Any = None,
    name: str = "the given data",
    class_names: Sequence[str] | None = None,
    *,
    open_it: bool = True,
) -> bool:
    """Write the page to a file, and open it in a browser.

    Parameters
    ----------
    model : Model or None
        Model that `page` supports.
    path : str or Path
        Path of the HTML file. Its folder is created if necessary.
    data : tuple, optional
        Images for training, as for `page`.
    name : str
        Name of the data.
    class_names : sequence of str, optional
        Names of the ten classes, as for `page`.
    open_it : bool
        If True, open the file in a browser.

    Returns
    -------
    bool
        True if a browser was started.

    Raises
    ------
    ValueError
        If `page` raises one, in which case no file is written.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> show(Sequential([layers.Dense(10)]), "demo.html")
    Traceback (most recent call last):
    ValueError: model must have inputs of 28 x 28 pixels and ten outputs. Received: an unbuilt model
    """
    text = page(model, data, name, class_names)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.encode()))
    return open_it and webbrowser.open(path.resolve().as_uri())
