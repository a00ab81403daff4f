"""The format ``.tinynet``: arrays and a configuration, in the safetensors layout.

The arrays are ``model.weights`` under their paths, such as ``dense/kernel``, then
``optimizer.variables`` (``optimizer/...``), columns of the history (``history/...``) and, in a
backup, weights stored by callbacks (``callbacks/...``). In addition to the checksum,
``__metadata__`` contains:

=================== ==============================================================
``format``          ``tinynet``
``format_version``  ``2``
``tinynet_version`` version of tinynet that wrote the file
``arrays``          number of arrays of each of the four kinds
``model``           configuration of the model in Keras' format, as returned by `to_json`
``run``             states of the random generators, and the history
=================== ==============================================================

The last three are JSON. Version 1, which can still be read, was a zip archive of ``model.json``
with these entries and ``.npy`` files: ``weights/0.npy``, ...
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tinynet._core.checks import require, shorten
from tinynet._core.version import __version__
from tinynet.program.variable import Array, Variable
from tinynet.saving import archive, configuration, safetensors_format, state
from tinynet.saving.saved_model import Model

FORMAT_VERSION = 2
#: The kinds of arrays, in the order of the file.
KINDS = ("weights", "optimizer", "history", "callbacks")


def write(
    model: Model,
    include_optimizer: bool = True,
    callbacks: Sequence[tuple[str, dict[str, Any]]] = (),
) -> bytes:
    """Serialize a model; `callbacks` are names and states of callbacks, for a backup."""
    run, history = state.describe_run(model)
    optimizer = model.optimizer.variables if model.compiled and include_optimizer else []
    kept: list[tuple[str, Array]] = []
    if callbacks:
        run["callbacks"] = states = []
    for name, values in callbacks:
        lists = {key: value for key, value in values.items() if isinstance(value, list)}
        for key, listed in lists.items():
            kept += [(f"callbacks/{name}/{key}/{i}", array) for i, array in enumerate(listed)]
        states.append([name, {**values, **dict.fromkeys(lists, "weights")}])
    arrays = {
        "weights": [(v.path, v.array) for v in model.weights],
        "optimizer": [(f"optimizer/{v.name}", v.array) for v in optimizer],
        "history": [(f"history/{i}", column) for i, column in enumerate(history)],
        "callbacks": kept,
    }
    config, counts = configuration.describe(model, include_optimizer), map(len, arrays.values())
    about = {"arrays": dict(zip(arrays, counts, strict=True)), "model": config, "run": run}
    version = {"format_version": f"{FORMAT_VERSION}", "tinynet_version": __version__}
    texts = {key: configuration.to_json(value) for key, value in about.items()}
    named = itertools.chain(*arrays.values())
    return safetensors_format.pack(named, {"format": "tinynet", **version, **texts})


def read(contents: bytes) -> Arrays:
    """Parse a file; version 1 files are recognized by the magic number of zip archives."""
    if contents.startswith(b"PK\3\4"):
        about, arrays = _unpack_version_1(contents)
    else:
        about, arrays = safetensors_format.unpack(contents)
    version = str(about.get("format_version"))
    named = about.get("format") == "tinynet" and re.fullmatch("[1-9][0-9]{0,9}", version)
    expected = "The file must have format='tinynet' and a valid format_version"
    received = f"format {shorten(about.get('format'))}, version {shorten(version)}"
    require(named, expected, received)
    newest = f"format_version must be at most {FORMAT_VERSION}"
    expected = f"{newest}; the file was written by a newer release, so upgrade tinynet"
    require(int(version) <= FORMAT_VERSION, expected, f"version {version}")
    for key in ("arrays", "model", "run"):
        if isinstance(about.get(key), str):
            about[key] = configuration.from_json(about[key])
        expected = f"The metadata of the file must contain the object {key!r}"
        require(isinstance(about.get(key), dict), expected, shorten(about))
    return Arrays(about, arrays)


def _unpack_version_1(contents: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the contents of ``model.json``, and the arrays in the order of version 2."""
    members = archive.unpack(contents)
    about = configuration.from_json(members.pop("model.json"))
    counts = about["arrays"]
    numbers = {kind: range(min(counts.get(kind, 0), len(members))) for kind in KINDS}
    names = [f"{kind}/{i}.npy" for kind, listed in numbers.items() for i in listed]
    expected = f"The numbers of arrays must be {shorten(counts)}"
    require({*names} == members.keys(), expected, shorten([*members]))
    return about, {name: archive.array(name, members[name]) for name in names}


class Arrays(state.Source):
    """Source whose metadata and arrays are in memory."""

    def __init__(self, about: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.arrays, self.config, self.run = arrays, about["model"], about["run"]
        names, counts = iter(arrays), about["arrays"]
        self.names = {kind: [*itertools.islice(names, counts.get(kind, 0))] for kind in KINDS}
        fits = sum(counts.values()) == len(arrays) == sum(map(len, self.names.values()))
        require(fits, f"The numbers of arrays must be {shorten(counts)}", f"{len(arrays)} arrays")
        self.n_optimizer = len(self.names["optimizer"])
        self.optimizer_place = self.names["optimizer"].__getitem__
        self.n_bytes = sum(arrays[name].nbytes for name in self.names["weights"])
        history = self.names["history"]
        state.fill_history(self.run, lambda number: arrays[history[number]])

    def groups(self, model: Model) -> Iterator[tuple[str, list[Variable], int, Any]]:
        """Yield all weights as one group.

        If the number in the file differs, first yield a group that does not match, then the weights
        up to the smaller number.
        """
        names, variables = self.names["weights"], model.weights
        if len(names) != len(variables):
            yield model.name, variables, len(names), names.__getitem__
            variables = variables[: len(names)]
        yield model.name, variables, len(variables), names.__getitem__

    def get(self, place: str, variable: Variable) -> Array:
        """Read one array."""
        return state.fit(place, self.arrays[place], variable)

    def callbacks(self, model: Model) -> list[tuple[str, dict[str, Any]]]:
        """Return the names and states of callbacks, as passed to `write`."""
        states, place = [], map(self.names["callbacks"].__getitem__, itertools.count())
        for name, values in (self.run or {}).get("callbacks", []):
            found = dict(values)
            for key, value in found.items():
                if value == "weights":
                    found[key] = [self.get(next(place), v) for v in model.weights]
                else:
                    number = value is None or type(value) in (int, float, bool)
                    expected = "Callback states must be numbers or weights"
                    require(number, expected, f"{shorten(name)}, {shorten(value)}")
            states.append((str(name), found))
        return states
