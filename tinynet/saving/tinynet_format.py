"""The format ``.tinynet``: a zip of one JSON file and plain ``.npy`` arrays.

``model.json`` holds the configuration in Keras' form, the number of arrays, the state of the
random generators and the history. ``weights/0.npy``, … are ``model.weights`` in order,
``optimizer/0.npy``, … ``optimizer.variables``, ``history/0.npy``, … columns of the history. It
needs nothing but NumPy, and any tool that supports zip and npy reads it.

The header of an array is compared with what the configuration needs; it is never evaluated.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from tinynet._core.checks import require, shorten
from tinynet._core.version import __version__
from tinynet.program.variable import Array, Variable
from tinynet.saving import configuration, state
from tinynet.saving.archive import Archive, pack
from tinynet.saving.saved_model import Model

FORMAT_VERSION = 1


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
    >>> import io
    >>> from tinynet import Sequential
    >>> read(io.BytesIO(write(Sequential(name="net")))).config["config"]["name"]
    'net'
    """
    run, history = state.describe_run(model)
    arrays = {"weights": [v.array for v in model.weights], "optimizer": [], "history": history}
    if model.compiled and include_optimizer:
        arrays["optimizer"] = [v.array for v in model.optimizer.variables]
    if callbacks:
        arrays["callbacks"] = []
        run["callbacks"] = states = []
    for name, values in callbacks:
        lists = {key: value for key, value in values.items() if isinstance(value, list)}
        arrays["callbacks"] += itertools.chain(*lists.values())
        states.append([name, {**values, **dict.fromkeys(lists, "weights")}])
    about = {
        "format": "tinynet",
        "format_version": FORMAT_VERSION,
        "tinynet_version": __version__,
        "arrays": {folder: len(listed) for folder, listed in arrays.items()},
        "model": configuration.describe(model, include_optimizer),
        "run": run,
    }
    return pack({"model.json": configuration.to_json(about).encode(), **arrays})


def read(file: BinaryIO) -> Arrays:
    """Open a model.

    Parameters
    ----------
    file : binary file
        Open for reading.

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
    >>> import io
    >>> from tinynet import Sequential
    >>> read(io.BytesIO(write(Sequential()))).n_optimizer
    0
    """
    archive = Archive(file)
    about = configuration.from_json(archive.read("model.json", configuration.MAX_JSON))
    version: Any = about.get("format_version")
    named = about.get("format") == "tinynet" and type(version) is int and version >= 1
    expected = "model.json must say which version of tinynet's format it has"
    received = f"format {shorten(about.get('format'))}, version {shorten(version)}"
    require(named, expected, received)
    newest = f"This release reads format versions up to {FORMAT_VERSION}; the file was written by"
    expected = f"{newest} a newer one: install the newest tinynet"
    require(version <= FORMAT_VERSION, expected, f"version {version}")
    if not isinstance(about.get("model"), dict) or not isinstance(about.get("run"), dict):
        raise ValueError(f"model.json must have 'model' and 'run'. Received: {shorten(about)}")
    return Arrays(archive, about)


class Arrays(state.Source):
    """The arrays of an archive.

    Parameters
    ----------
    archive : Archive
        The archive.
    about : dict
        Contents of ``model.json``.

    Examples
    --------
    >>> Arrays.optimizer_place(3)
    'optimizer/3.npy'
    """

    optimizer_place = "optimizer/{}.npy".format

    def __init__(self, archive: Archive, about: dict[str, Any]) -> None:
        self.archive, self.config, self.run = archive, about["model"], about["run"]
        expected = about.get("arrays")
        folders = ["weights", "optimizer", "history"]
        if isinstance(expected, dict) and "callbacks" in expected:
            folders.append("callbacks")
        count = {folder: archive.count(folder) for folder in folders}
        known = {f"{folder}/{i}.npy" for folder, n in count.items() for i in range(n)}
        for name in archive.sizes:
            if name not in known and name != "model.json":
                raise ValueError(f"The archive must have arrays only. Received: {shorten(name)}")
        fits = isinstance(expected, dict) and count == {"history": 0, **expected}
        require(fits, f"The archive must have the arrays {shorten(expected)}", f"{count}")
        self.n_optimizer, self.n_weights = count["optimizer"], count["weights"]
        self.n_bytes = sum(archive.sizes[f"weights/{i}.npy"] for i in range(self.n_weights))
        state.fill_history(about["run"], archive, "history")

    def groups(self, model: Model) -> Iterator[tuple[str, list[Variable], int, Any]]:
        """List all weights, and before that those which both have, if their numbers differ."""
        count, variables, place = self.n_weights, model.weights, "weights/{}.npy".format
        if count != len(variables):
            yield model.name, variables, count, place
            variables = variables[:count]
        yield model.name, variables, len(variables), place

    def get(self, place: str, variable: Variable) -> Array:
        """Read one array."""
        limit = 8 * variable.size + 1000 if self.skipped is None else None
        return state.fit(place, self.archive.array(place, limit), variable)

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
        states, place = [], map("callbacks/{}.npy".format, itertools.count())
        for name, values in (self.run or {}).get("callbacks", []):
            found = dict(values)
            for key, value in found.items():
                if value == "weights":
                    found[key] = [self.get(next(place), v) for v in model.weights]
                elif value is not None and type(value) not in (int, float, bool):
                    raise ValueError(
                        f"The state of a callback must be numbers or weights. Received: "
                        f"{shorten(name)}, {shorten(value)}"
                    )
            states.append((str(name), found))
        return states
