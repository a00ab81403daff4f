"""The format ``.tinynet``: a zip of one JSON file and plain ``.npy`` arrays.

``model.json`` holds the configuration in Keras' form, the number of arrays, the state of the
random generators and the history. ``weights/0.npy``, … are ``model.weights`` in order,
``optimizer/0.npy``, … ``optimizer.variables``, ``history/0.npy``, … columns of the history. It
needs nothing but NumPy, and any tool that
knows zip and npy reads it.

The header of an array is compared with what the configuration asks for; it is never evaluated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, BinaryIO

from tinynet.checks import shorten
from tinynet.saving import configuration, state
from tinynet.saving.archive import Archive, pack
from tinynet.sequential import Model
from tinynet.variable import Array, Variable

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
        Whether to write how it was compiled and the optimizer's state.
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
    >>> source, config, run = read(io.BytesIO(write(Sequential(name="net"))))
    >>> config["config"]["name"]
    'net'
    """
    from tinynet import __version__

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
    members: dict[str, Any] = {"model.json": configuration.to_json(about).encode()}
    for folder, listed in arrays.items():
        members |= {f"{folder}/{i}.npy": array for i, array in enumerate(listed)}
    return pack(members)


def read(file: BinaryIO) -> tuple[state.Source, dict[str, Any], dict[str, Any]]:
    """Open a model.

    Parameters
    ----------
    file : binary file
        Open for reading.

    Returns
    -------
    source : Source
        Its arrays.
    config : dict
        What it is.
    run : dict
        What training would go on with.

    Raises
    ------
    ValueError
        If it is no such file, or of a newer version.

    Examples
    --------
    >>> import io
    >>> from tinynet import Sequential
    >>> read(io.BytesIO(write(Sequential())))[0].n_optimizer
    0
    """
    archive = Archive(file)
    about = configuration.from_json(archive.read("model.json", configuration.MAX_JSON))
    version = about.get("format_version")
    if about.get("format") != "tinynet" or type(version) is not int or version < 1:
        raise ValueError(
            "model.json must say which version of tinynet's format it has. "
            f"Received: format {shorten(about.get('format'))}, version {shorten(version)}"
        )
    if version > FORMAT_VERSION:
        raise ValueError(
            f"This release reads format versions up to {FORMAT_VERSION}; the file was written by "
            f"a newer one: install the newest tinynet. Received: version {version}"
        )
    config, run = about.get("model"), about.get("run")
    if not isinstance(config, dict) or not isinstance(run, dict):
        raise ValueError(f"model.json must have 'model' and 'run'. Received: {shorten(about)}")
    source = _Arrays(archive, about.get("arrays"))
    state.fill_history(run, source.count["history"], lambda i: archive.array(f"history/{i}.npy"))
    return source, config, run


class _Arrays(state.Source):
    """The arrays of an archive."""

    def __init__(self, archive: Archive, expected: Any) -> None:
        self.archive = archive
        sizes = archive.sizes
        names = [name for name in sizes if name != "model.json"]
        folders = ["weights", "optimizer", "history"]
        if isinstance(expected, dict) and "callbacks" in expected:
            folders.append("callbacks")
        self.count = {f: sum(n.startswith(f + "/") for n in names) for f in folders}
        known = {f"{folder}/{i}.npy" for folder, n in self.count.items() for i in range(n)}
        for name in names:
            if name not in known:
                raise ValueError(f"The archive must have arrays only. Received: {shorten(name)}")
        if not isinstance(expected, dict) or self.count != {"history": 0, **expected}:
            raise ValueError(
                f"The archive must have the arrays {shorten(expected)}. Received: {self.count}"
            )
        self.n_bytes = sum(sizes[f"weights/{i}.npy"] for i in range(self.count["weights"]))
        self.n_optimizer = self.count["optimizer"]

    def weights(self, model: Model, skipped: list[str] | None = None) -> dict[int, Array]:
        count, variables = self.count["weights"], model.weights
        with state.attempt(skipped):
            if count != len(variables):
                raise state.MismatchError(
                    f"{model.name} takes {len(variables)} weights. Received: {count} weights"
                )
        found: dict[int, Array] = {}
        for i, variable in enumerate(variables[:count]):
            with state.attempt(skipped):
                found[id(variable)] = self._array(f"weights/{i}.npy", variable, skipped is not None)
        return found

    def optimizer(self, variables: Sequence[Variable]) -> list[Array]:
        return [self._array(f"optimizer/{i}.npy", v) for i, v in enumerate(variables)]

    def callbacks(self, model: Model, run: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Read the state of callbacks that `write` was given; each list has a model's weights."""
        states, read = [], itertools.count()
        for name, values in run.get("callbacks", []):
            found = dict(values)
            for key, value in found.items():
                if value == "weights":
                    found[key] = [
                        self._array(f"callbacks/{next(read)}.npy", v) for v in model.weights
                    ]
                elif value is not None and type(value) not in (int, float, bool):
                    raise ValueError(
                        f"The state of a callback must be numbers or weights. Received: "
                        f"{shorten(name)}, {shorten(value)}"
                    )
            states.append((str(name), found))
        return states

    def _array(self, name: str, variable: Variable, any_size: bool = False) -> Array:
        array = self.archive.array(name, None if any_size else 8 * variable.size + 1000)
        return state.fit(name, array, variable)
