"""The format ``.json``: the configuration of a model and its weights as readable numbers.

The file contains one JSON object with the keys ``format`` (``tinynet.json``), ``format_version``
(``1``), ``model`` (configuration in Keras' format, as returned by `to_json`) and ``weights``, a
list in the order of ``model.weights`` of objects with ``name``, ``shape`` and ``values``, a flat
list in C order. The demo page writes this format. The optimizer state is not saved.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinynet._core.checks import require, shorten
from tinynet.program.variable import Array, Variable
from tinynet.saving import configuration, state
from tinynet.saving.saved_model import Model

FORMAT, FORMAT_VERSION = "tinynet.json", 1
#: Maximum number of lists and objects, which need more memory than their text.
MAX_PARTS = 10_000


def write(model: Model, include_optimizer: bool = True) -> bytes:
    """Serialize a model; only its compile arguments depend on `include_optimizer`."""
    weights = [{"name": v.path, "shape": [*v.shape], "values": _values(v)} for v in model.weights]
    config = configuration.describe(model, include_optimizer)
    about = {"format": FORMAT, "format_version": FORMAT_VERSION}
    text = json.dumps({**about, "model": config, "weights": weights}, allow_nan=False)
    most = configuration.MAX_JSON
    expected = f"A .json file must have at most {most:,} bytes; save the model as .tinynet"
    require(len(text) <= most, expected, f"{len(text):,} bytes")
    return text.encode()


def _values(variable: Variable) -> list[Any]:
    """Return the elements, each with the fewest digits that identify it."""
    array = variable.array
    expected = "Weights in a .json file must be finite; save the model as .tinynet"
    finite = array.dtype.kind in "biu" or bool(np.isfinite(array).all())
    require(finite, expected, f"weight {variable.path!r}")
    if array.dtype == np.float32:
        return [float(str(value)) for value in array.ravel()]
    values: list[Any] = array.ravel().tolist()
    return values


def read(contents: bytes) -> Numbers:
    """Parse a file."""
    parts = contents.count(b"[") + contents.count(b"{")
    expected = f"The file must contain at most {MAX_PARTS:,} lists and objects"
    require(parts <= MAX_PARTS, expected, f"{parts:,}")
    about = configuration.from_json(contents)
    received = f"format {shorten(about.get('format'))}"
    expected = f"The file must have format={FORMAT!r}, as written by model.save or the demo page"
    require(about.get("format") == FORMAT, expected, received)
    version = about.get("format_version")
    expected = f"format_version must be {FORMAT_VERSION}; a newer file requires a newer tinynet"
    require(type(version) is int and version == FORMAT_VERSION, expected, shorten(version))
    for key, kind in (("model", dict), ("weights", list)):
        fits = isinstance(about.get(key), kind)
        require(fits, f"The file must contain the {kind.__name__} {key!r}", shorten([*about]))
    return Numbers(about["model"], [_parse(i, entry) for i, entry in enumerate(about["weights"])])


def _parse(i: int, entry: Any) -> tuple[str, Array]:
    """Return the name and the array of a weight."""
    expected = f"weights[{i}] must have a name, a shape and a list of values"
    fits = isinstance(entry, dict) and {"name", "shape", "values"} <= entry.keys()
    require(fits, expected, shorten(entry))
    name, shape, values = entry["name"], entry["shape"], entry["values"]
    fits = isinstance(name, str) and isinstance(shape, list) and isinstance(values, list)
    fits = fits and len(shape) <= 8 and all(type(n) is int and 0 <= n < 2**31 for n in shape)
    require(fits, expected, shorten(entry))
    expected = f"weights[{i}] must have as many values as its shape {shape}"
    require(len(values) == math.prod(shape), expected, f"{len(values):,} values")
    numbers = all(type(value) in (int, float) for value in values)
    require(numbers, f"weights[{i}] must have numbers as values", shorten(values))
    array = np.asarray(values).reshape(shape)
    fits = array.dtype.kind in "biuf" and bool(np.isfinite(array).all())
    require(fits, f"weights[{i}] must have finite values", shorten(values))
    return name, array


class Numbers(state.Source):
    """Source whose arrays were parsed from JSON."""

    def __init__(self, config: dict[str, Any], weights: list[tuple[str, Array]]) -> None:
        self.config, self.weights = config, weights
        self.n_bytes = sum(array.nbytes for _, array in weights)

    def groups(self, model: Model) -> Iterator[tuple[str, list[Variable], int, Any]]:
        """Yield all weights as one group."""
        yield model.name, model.weights, len(self.weights), str

    def get(self, place: str, variable: Variable) -> Array:
        """Return an array in the dtype of its variable."""
        name, array = self.weights[int(place)]
        if variable.array.dtype.kind == "f" and array.dtype.kind in "iu":
            array = array.astype(np.float64)  # JavaScript writes 0.0 as 0
        fitted = state.fit(name, array, variable)
        expected = f"{name} must have values in the range of {variable.dtype}"
        require(bool(np.isfinite(fitted).all()), expected, shorten(array))
        return fitted
