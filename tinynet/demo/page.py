"""Web page that recognizes digits drawn by the user.

The page is a single HTML file that contains the weights. It does not need a server or a network
connection: `network.js` implements the forward pass, and `framing.js` the preprocessing of
`datasets.frame_digit`. Without this preprocessing, a model trained on MNIST misclassifies most
digits from other sources.
"""

from __future__ import annotations

import base64
import json
import math
import re
import webbrowser
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
_ROUNDS = 3  # number of examples of each digit
# Activations supported by network.js, in addition to the variants of relu.
_ACTIVATIONS = ("linear", "sigmoid", "tanh", "elu", "silu", "softplus", "softmax")


def page(model: Any) -> str:
    """Return the HTML of a page that runs a model.

    The page contains the weights in float32 or, if it would exceed 1 MB, in float16, which changes
    probabilities by about 0.001.

    Parameters
    ----------
    model : Model
        Built model with images of 28 x 28 pixels from 0 to 1 as input, and ten outputs. It must be
        a sequence of `Flatten`, `Dense`, `Dropout` and activation layers. If the outputs are not
        probabilities, the page applies softmax.

    Returns
    -------
    str
        Content of the HTML file.

    Raises
    ------
    ValueError
        If the page does not support the model.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> net = [layers.Input((28, 28)), layers.Flatten(), layers.Dense(10, activation="softmax")]
    >>> text = page(Sequential(net))
    >>> text.startswith("<!DOCTYPE html>"), len(text) < 80_000
    (True, True)
    """
    steps, parts = _steps(model)
    flat = np.concatenate([part.ravel() for part in parts]).astype("<f4")
    template = _assembled()
    net = {
        "shape": "-".join(["784", *(str(s["units"]) for s in steps if s["kind"] == "dense")]),
        "version": __version__,
        "steps": steps,
        "examples": [WAYS[digit][i][1] for i in range(_ROUNDS) for digit in range(10)],
    }
    for dtype in ("float32", "float16"):
        packed = base64.b64encode(flat.astype(np.dtype(dtype).newbyteorder("<")).tobytes())
        text = json.dumps({**net, "dtype": dtype, "weights": packed.decode("ascii")})
        # The name of a layer may contain "</script>".
        whole = template.replace("@NET@", text.replace("<", "\\u003c"))
        if len(whole.encode()) <= _MOST or np.abs(flat).max() > np.finfo(np.float16).max:
            break
    return whole


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


def show(model: Any, path: str | Path, *, open_it: bool = True) -> bool:
    """Write the page to a file, and open it in a browser.

    Parameters
    ----------
    model : Model
        Model that `page` supports.
    path : str or Path
        Path of the HTML file. Its folder is created if necessary.
    open_it : bool
        If True, open the file in a browser.

    Returns
    -------
    bool
        True if a browser was started.

    Raises
    ------
    ValueError
        If the page does not support the model, in which case no file is written.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> show(Sequential([layers.Dense(10)]), "demo.html")
    Traceback (most recent call last):
    ValueError: model must have inputs of 28 x 28 pixels and ten outputs. Received: an unbuilt model
    """
    text = page(model)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.encode()))
    return open_it and webbrowser.open(path.resolve().as_uri())
