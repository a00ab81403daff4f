"""The format ``.tinynet``: arrays and a configuration, in the layout of safetensors.

The arrays are ``model.weights`` under their paths, such as ``dense/kernel``, then
``optimizer.variables`` (``optimizer/...``), columns of the history (``history/...``) and, in a
backup, the weights that callbacks keep (``callbacks/...``). ``__metadata__`` has, in addition to
the checksum:

=================== ==============================================================
``format``          ``tinynet``
``format_version``  ``2``
``tinynet_version`` version of tinynet that wrote the file
``arrays``          number of arrays of each of the four kinds
``model``           configuration of the model in Keras' form, as `to_json` returns it
``run``             state of the random generators, and history
=================== ==============================================================

The last three are JSON. Version 1, which is still read, was a zip archive of ``model.json`` with
these entries and ``.npy`` files: ``weights/0.npy``, ...
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
    """Write a model.

    Parameters
    ----------
    model : Model
        The model.
    include_optimizer : bool
        Whether to write the arguments of `compile` and the optimizer's state.
    callbacks : sequence of (str, dict)
        Name and state of callbacks, for a backup: numbers, None, and lists of arrays such as
        ``model.get_weights()``.

    Returns
    -------
    bytes
        The contents of the file.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> read(write(Sequential(name="net"))).config["config"]["name"]
    'net'
    """
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
    """Open a model.

    Parameters
    ----------
    contents : bytes
        The contents of the file.

    Returns
    -------
    Arrays
        The file.

    Raises
    ------
    ValueError
        If it is not such a file, or of a newer version.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> read(write(Sequential())).n_optimizer
    0
    """
    if contents.startswith(b"PK\3\4"):
        about, arrays = _unpack_version_1(contents)
    else:
        about, arrays = safetensors_format.unpack(contents)
    version = str(about.get("format_version"))
    named = about.get("format") == "tinynet" and re.fullmatch("[1-9][0-9]{0,9}", version)
    expected = "The file must say which version of tinynet's format it has"
    received = f"format {shorten(about.get('format'))}, version {shorten(version)}"
    require(named, expected, received)
    newest = f"This release reads format versions up to {FORMAT_VERSION}; the file was written by"
    expected = f"{newest} a newer one: install the newest tinynet"
    require(int(version) <= FORMAT_VERSION, expected, f"version {version}")
    for key in ("arrays", "model", "run"):
        if isinstance(about.get(key), str):
            about[key] = configuration.from_json(about[key])
        require(isinstance(about.get(key), dict), f"The file must have {key!r}", shorten(about))
    return Arrays(about, arrays)


def _unpack_version_1(contents: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return what version 1 has in ``model.json``, and the arrays in the order of version 2."""
    members = archive.unpack(contents)
    about = configuration.from_json(members.pop("model.json"))
    counts = about["arrays"]
    numbers = {kind: range(min(counts.get(kind, 0), len(members))) for kind in KINDS}
    names = [f"{kind}/{i}.npy" for kind, listed in numbers.items() for i in listed]
    expected = f"The archive must have the arrays {shorten(counts)}"
    require({*names} == members.keys(), expected, shorten([*members]))
    return about, {name: archive.array(name, members[name]) for name in names}


class Arrays(state.Source):
    """The arrays of a file.

    Parameters
    ----------
    about : dict
        What the file says of the model.
    arrays : dict of str to ndarray
        The arrays by name, in the order of the file.

    Examples
    --------
    >>> import numpy as np
    >>> about = {"arrays": {"weights": 1}, "model": {}, "run": {}}
    >>> Arrays(about, {"kernel": np.zeros(3, np.float32)}).n_bytes
    12
    """

    def __init__(self, about: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.arrays, self.config, self.run = arrays, about["model"], about["run"]
        names, counts = iter(arrays), about["arrays"]
        self.names = {kind: [*itertools.islice(names, counts.get(kind, 0))] for kind in KINDS}
        fits = sum(counts.values()) == len(arrays) == sum(map(len, self.names.values()))
        require(fits, f"The file must have the arrays {shorten(counts)}", f"{len(arrays)} arrays")
        self.n_optimizer = len(self.names["optimizer"])
        self.optimizer_place = self.names["optimizer"].__getitem__
        self.n_bytes = sum(arrays[name].nbytes for name in self.names["weights"])
        history = self.names["history"]
        state.fill_history(self.run, lambda number: arrays[history[number]])

    def groups(self, model: Model) -> Iterator[tuple[str, list[Variable], int, Any]]:
        """List all weights, and before that those which both have, if their numbers differ."""
        names, variables = self.names["weights"], model.weights
        if len(names) != len(variables):
            yield model.name, variables, len(names), names.__getitem__
            variables = variables[: len(names)]
        yield model.name, variables, len(variables), names.__getitem__

    def get(self, place: str, variable: Variable) -> Array:
        """Read one array."""
        return state.fit(place, self.arrays[place], variable)

    def callbacks(self, model: Model) -> list[tuple[str, dict[str, Any]]]:
        """Read the state of callbacks; each of its lists has a model's weights.

        Parameters
        ----------
        model : Model
            The model.

        Returns
        -------
        list of (str, dict)
            The argument `callbacks` of `write`.
        """
        states, place = [], map(self.names["callbacks"].__getitem__, itertools.count())
        for name, values in (self.run or {}).get("callbacks", []):
            found = dict(values)
            for key, value in found.items():
                if value == "weights":
                    found[key] = [self.get(next(place), v) for v in model.weights]
                else:
                    number = value is None or type(value) in (int, float, bool)
                    expected = "The state of a callback must be numbers or weights"
                    require(number, expected, f"{shorten(name)}, {shorten(value)}")
            states.append((str(name), found))
        return states
