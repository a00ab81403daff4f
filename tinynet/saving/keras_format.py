"""Keras' own formats, both ways: ``.keras``, ``.weights.h5``, and the older whole-model ``.h5``.

A ``.keras`` file is a zip of ``config.json`` and ``model.weights.h5``; tinynet adds
``tinynet.json`` and ``tinynet_history/`` with what Keras does not keep: random generators and
history. Keras ignores them. In ``.weights.h5`` layers are found by class and position, in ``.h5``
by a list of names.
"""

from __future__ import annotations

import datetime
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from tinynet.checks import shorten, warn
from tinynet.layers import Layer
from tinynet.registry import snake_case
from tinynet.saving import configuration, hdf5, keras2, state
from tinynet.saving.archive import Archive, pack
from tinynet.sequential import Model
from tinynet.variable import Array, Variable

#: The version whose form is written.
KERAS_VERSION = "3.15.1"
EXTRA = "tinynet.json"
HISTORY = "tinynet_history"
WEIGHTS = "model.weights.h5"
#: The attribute that says how many arrays of the optimizer's state were written.
COUNT = "tinynet_optimizer"


def write(model: Model, include_optimizer: bool = True) -> bytes:
    """Write a model as a ``.keras`` file.

    Parameters
    ----------
    model : Model
        The model.
    include_optimizer : bool
        Whether to write how it was compiled and the optimizer's state.

    Returns
    -------
    bytes
        The contents of the file.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> sorted(Archive(io.BytesIO(write(Sequential()))).sizes)
    ['config.json', 'metadata.json', 'model.weights.h5', 'tinynet.json']
    """
    run, history = state.describe_run(model)
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    texts: dict[str, dict[str, Any]] = {
        "metadata.json": {"keras_version": KERAS_VERSION, "date_saved": now},
        "config.json": configuration.describe(model, include_optimizer),
        EXTRA: {"format_version": 1} | run,
    }
    members: dict[str, Any] = {n: configuration.to_json(v).encode() for n, v in texts.items()}
    members |= {f"{HISTORY}/{i}.npy": array for i, array in enumerate(history)}
    members[WEIGHTS] = write_weights(model, include_optimizer)
    return pack(members)


def read(file: BinaryIO) -> tuple[state.Source, dict[str, Any], dict[str, Any] | None]:
    """Open a ``.keras`` file.

    Parameters
    ----------
    file : binary file
        Open for reading.

    Returns
    -------
    source : Source
        Its arrays.
    config : dict
        What the model is.
    run : dict or None
        What training would go on with, if tinynet wrote it.

    Raises
    ------
    ValueError
        If it is no such file.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> read(io.BytesIO(write(Sequential(name="net"))))[1]["config"]["name"]
    'net'
    """
    archive = Archive(file)
    limit = configuration.MAX_JSON
    config = configuration.from_json(archive.read("config.json", limit))
    weights = Weights(io.BytesIO(archive.read(WEIGHTS)))
    about = "metadata.json" in archive.sizes and archive.read("metadata.json", limit)
    if about and str(configuration.from_json(about).get("keras_version")).startswith("2."):
        config = keras2.translate_model(config)
        training = config.get("compile_config")
        config["compile_config"] = keras2.translate_training(training) if training else {}
        weights.skip_state()
    run = None
    if EXTRA in archive.sizes:
        run = configuration.from_json(archive.read(EXTRA, limit))
        count = sum(name.startswith(f"{HISTORY}/") for name in archive.sizes)
        state.fill_history(run, count, lambda i: archive.array(f"{HISTORY}/{i}.npy"))
    return weights, config, run


# ------------------------------------------------------------ layers by class and position


def write_weights(model: Model, include_optimizer: bool = True) -> bytes:
    """Write a ``.weights.h5`` file.

    Parameters
    ----------
    model : Model
        The model.
    include_optimizer : bool
        Whether to write the optimizer's state.

    Returns
    -------
    bytes
        The contents of the file.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> Weights(io.BytesIO(write_weights(Sequential()))).n_optimizer
    0
    """

    def fill(file: Any) -> None:
        places = [(path, layer.name, own) for path, layer, own in _places(model)]
        _check_complete(model, [variable for _, _, own in places for variable in own])
        if model.compiled and include_optimizer:
            places.append(("optimizer/", model.optimizer.name, model.optimizer.variables))
            file.attrs[COUNT] = len(model.optimizer.variables)
        for path, name, variables in places:
            hdf5.put_group(file, f"{path}vars", name)
            for i, variable in enumerate(variables):
                hdf5.put(file, f"{path}vars/{i}", variable.array)

    return hdf5.write(fill)


def _places(layer: Layer, path: str = "") -> Iterator[tuple[str, Layer, list[Variable]]]:
    """Go through a model and its layers: where Keras keeps each, and the weights of its own."""
    own = [] if isinstance(layer, Model) else sorted(layer._weights, key=lambda w: not w.trainable)
    yield path, layer, own
    done: set[int] = set()
    for folder, value in _attributes(layer):
        for inner, part in _in_containers(f"{path}{folder}/", value):
            if id(part) not in done:
                done.add(id(part))
                yield from _places(part, inner)


def _attributes(layer: Layer) -> list[tuple[str, Any]]:
    """Return the attributes that Keras looks for layers in, in its order."""
    if isinstance(layer, Model) and not layer._has_own_call:
        return [("layers", layer.layers)]
    if not isinstance(layer, Model) and not layer._inner_layers():
        return []
    own = {name: value for name, value in vars(layer).items() if name not in ("_layers", "_input")}
    if isinstance(layer, Model):
        own["layers"] = layer.layers
    return sorted(
        own.items(), key=lambda item: item[0].replace("_", "~", 1) if item[0][0] == "_" else item[0]
    )


def _in_containers(path: str, value: Any) -> Iterator[tuple[str, Layer]]:
    """Name the layers in an attribute by their classes and numbers."""
    if isinstance(value, Layer):
        yield path, value
    elif isinstance(value, dict | list | tuple):
        used: Counter[str] = Counter()
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, Layer | dict | list | tuple):
                is_layer = isinstance(item, Layer)
                name = snake_case(type(item).__name__) if is_layer else "container"
                name = "functional" if type(item) is Model else name  # Keras' class for it
                used[name] += 1
                number = f"_{used[name] - 1}" if used[name] > 1 else ""
                yield from _in_containers(f"{path}{name}{number}/", item)


def _check_complete(model: Model, placed: list[Variable]) -> None:
    """Refuse a model with weights that have no place in a file."""
    ids = {id(variable) for variable in placed}
    missing = [variable.path for variable in model.weights if id(variable) not in ids]
    if missing or len(ids) != len(placed):
        raise ValueError(
            f"Every layer of {model.name} must be in an attribute, in lists, tuples, dicts "
            f"or sets, once. Received: weights elsewhere or twice: {shorten(missing)}"
        )


def _check_count(file: Any, count: int) -> None:
    expected = hdf5.get_number(file, COUNT)
    if expected is not None and expected != count:
        raise ValueError(
            f"The file must hold {expected} arrays of the optimizer's state. Received: {count}"
        )


class Weights(state.Source):
    """A ``.weights.h5`` file to read.

    Parameters
    ----------
    file : binary file
        Open for reading.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> Weights(io.BytesIO(write_weights(Sequential()))).weights(Sequential())
    {}
    """

    def __init__(self, file: BinaryIO) -> None:
        self.data = file.read()
        self.n_bytes = len(self.data)
        with hdf5.opened(self.data) as opened:
            self.n_optimizer = len(hdf5.find(opened, "optimizer/vars") or [])
            _check_count(opened, self.n_optimizer)

    def weights(self, model: Model, skipped: list[str] | None = None) -> dict[int, Array]:
        """Read the weights of a model."""
        found: dict[int, Array] = {}
        with hdf5.opened(self.data) as file:
            places = {path: (layer, own) for path, layer, own in _places(model)}
            _check_complete(model, [v for _, own in places.values() for v in own])
            for path, (layer, own) in places.items():
                with state.attempt(skipped):
                    found |= self._own(file, path, layer, own)
                if isinstance(layer, Model):
                    for key in hdf5.find(file, f"{path}layers") or []:
                        extra = f"{path}layers/{key}/"
                        with state.attempt(skipped):
                            if extra not in places and hdf5.find(file, f"{extra}vars/0"):
                                raise state.MismatchError(
                                    f"{layer.name} must have every layer that the file has "
                                    f"weights for. Received: {shorten(extra)}"
                                )
        return found

    def _own(self, file: Any, path: str, layer: Layer, own: list[Variable]) -> dict[int, Array]:
        """Read the weights of one layer."""
        count = len(hdf5.find(file, f"{path}vars") or [])
        if count != len(own):
            raise state.MismatchError(
                f"{layer.name} takes {len(own)} weights from {path}vars. Received: {count} weights"
            )
        return {id(v): hdf5.get(file, f"{path}vars/{i}", v) for i, v in enumerate(own)}

    def optimizer(self, variables: Sequence[Variable]) -> list[Array]:
        """Read the state of an optimizer."""
        with hdf5.opened(self.data) as file:
            return [hdf5.get(file, f"optimizer/vars/{i}", v) for i, v in enumerate(variables)]


# ------------------------------------------------------------ layers by a list of names


def write_legacy(model: Model, include_optimizer: bool = True) -> bytes:
    """Write a model as an ``.h5`` file, as older programs read it.

    Parameters
    ----------
    model : Model
        The model.
    include_optimizer : bool
        Whether to write how it was compiled and the optimizer's state.

    Returns
    -------
    bytes
        The contents of the file.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> Legacy(io.BytesIO(write_legacy(Sequential(name="net")))).config["config"]["name"]
    'net'
    """
    config = configuration.describe(model, include_optimizer)
    compiled = config.pop("compile_config")
    texts = {"keras_version": KERAS_VERSION, "backend": "tensorflow"}
    about = {**texts, "model_config": configuration.to_json(config)}
    if compiled:
        compiled["optimizer_config"] = compiled.pop("optimizer")
        compiled["tinynet_floatx"] = model._floatx
        about["training_config"] = configuration.to_json(compiled)

    def fill(file: Any) -> None:
        for name, text in about.items():
            hdf5.put_text(file, name, text)
        group = file.create_group("model_weights")
        for name, text in texts.items():
            hdf5.put_text(group, name, text)
        hdf5.put_text(group, "layer_names", [layer.name for layer in model.layers])
        for layer in sorted(model.layers, key=lambda la: la.name):
            variables = layer.trainable_weights + layer.non_trainable_weights
            _put_named(hdf5.put_group(group, layer.name), [v.path for v in variables], variables)
        _put_named(hdf5.put_group(group, "top_level_model_weights"), [], [])
        if compiled:
            optimizer = model.optimizer
            file.attrs[COUNT] = len(optimizer.variables)
            names = [f"{optimizer.name}/{v.name}" for v in optimizer.variables]
            _put_named(file.create_group("optimizer_weights"), names, optimizer.variables)

    return hdf5.write(fill)


def _put_named(group: Any, names: list[str], variables: Sequence[Variable]) -> None:
    used: Counter[str] = Counter()
    for i, name in enumerate(names):
        used[name] += 1
        names[i] = name if used[name] == 1 else f"{name}_{used[name] - 1}"
    hdf5.put_text(group, "weight_names", names)
    for name, variable in zip(names, variables, strict=True):
        hdf5.put(group, name, variable.array)


class Legacy(state.Source):
    """An ``.h5`` file to read.

    Parameters
    ----------
    file : binary file
        Open for reading.
    by_name : bool
        Whether layers are found by their names, and others left as they are.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> Legacy(io.BytesIO(write_legacy(Sequential()))).weights(Sequential())
    {}
    """

    def __init__(self, file: BinaryIO, by_name: bool = False) -> None:
        self.data = file.read()
        self.n_bytes = len(self.data)
        self.by_name = by_name
        self.config: dict[str, Any] | None = None
        self.run: dict[str, Any] = {}
        with hdf5.opened(self.data) as opened:
            texts = [hdf5.get_text(opened, f"{kind}_config") for kind in ("model", "training")]
            found = hdf5.find(opened, "optimizer_weights")
            self._names = [] if found is None else hdf5.get_text(found, "weight_names") or []
            self.n_optimizer = len(self._names)
            _check_count(opened, self.n_optimizer)
            old = not str(hdf5.get_text(opened, "keras_version") or "2").startswith("3")
        if texts[0] is not None:
            self.config = configuration.from_json(texts[0])
            training = {} if texts[1] is None else configuration.from_json(texts[1])
            self.run["floatx"] = training.pop("tinynet_floatx", None)
            if training:
                training["optimizer"] = training.pop("optimizer_config", None)
            if old:
                self.config = keras2.translate_model(self.config)
                training = keras2.translate_training(training) if training else {}
                self.skip_state()
            self.config["compile_config"] = training

    def weights(self, model: Model, skipped: list[str] | None = None) -> dict[int, Array]:
        """Read the weights of a model."""
        found: dict[int, Array] = {}
        layers = [layer for layer in model.layers if layer.weights]
        with hdf5.opened(self.data) as file:
            top = file if hdf5.get_text(file, "layer_names") else hdf5.find(file, "model_weights")
            named = {}
            for name in hdf5.get_text(top, "layer_names") or []:
                group = hdf5.find(top, name)
                names = hdf5.get_text(group, "weight_names")
                if names:
                    named[name] = (group, names)
            if self.by_name:
                layers = [layer for layer in layers if layer.name in named]
                named = {layer.name: named[layer.name] for layer in layers}
                if not named:
                    warn(
                        f"No layer of {model.name} has a name that is in the file: nothing is "
                        "loaded."
                    )
            if len(named) != len(layers):
                raise state.MismatchError(
                    f"{model.name} has {len(layers)} layers with weights. "
                    f"Received: weights for {len(named)} layers"
                )
            for layer, (group, names) in zip(layers, named.values(), strict=True):
                variables = layer.trainable_weights + layer.non_trainable_weights
                with state.attempt(skipped):
                    if len(names) != len(variables):
                        raise state.MismatchError(
                            f"{layer.name} takes {len(variables)} weights. "
                            f"Received: {len(names)} weights"
                        )
                    for variable, name in zip(variables, names, strict=True):
                        with state.attempt(skipped):
                            found[id(variable)] = hdf5.get(group, name, variable)
        return found

    def optimizer(self, variables: Sequence[Variable]) -> list[Array]:
        """Read the state of an optimizer."""
        with hdf5.opened(self.data) as file:
            group = hdf5.find(file, "optimizer_weights")
            pairs = zip(self._names, variables, strict=True)
            return [hdf5.get(group, name, variable) for name, variable in pairs]
