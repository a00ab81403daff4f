"""Keras' file formats: ``.keras``, ``.weights.h5``, and the legacy whole-model ``.h5``.

A ``.keras`` file is a zip archive of ``config.json`` and ``model.weights.h5``; tinynet adds
``tinynet.json`` and ``tinynet_history/`` with state that Keras does not save and ignores when
loading (random generators and history). In ``.weights.h5``, layers are identified by class and
position, in ``.h5`` by name.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinynet._core.checks import require, shorten, warn
from tinynet._core.registry import numbered, snake_case
from tinynet.layers import Layer
from tinynet.layers.layer import _registry
from tinynet.program.variable import Array, Variable
from tinynet.saving import archive, configuration, hdf5, keras2, state
from tinynet.saving.saved_model import Model

#: Keras version whose format is written.
KERAS_VERSION = "3.15.1"
EXTRA = "tinynet.json"
HISTORY = "tinynet_history"
WEIGHTS = "model.weights.h5"
#: Attributes that are not searched for layers: internal ones, and aliases of other attributes.
_NOT_SEARCHED = ("_layers", "_input")
#: HDF5 attribute with the number of arrays of the optimizer state.
COUNT = "tinynet_optimizer"


def write(model: Model, include_optimizer: bool = True) -> bytes:
    """Serialize a model as a ``.keras`` file."""
    run, history = state.describe_run(model)
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    texts: dict[str, dict[str, Any]] = {
        "metadata.json": {"keras_version": KERAS_VERSION, "date_saved": now},
        "config.json": configuration.describe(model, include_optimizer),
        EXTRA: {"format_version": 1} | run,
    }
    members = {name: configuration.to_json(value).encode() for name, value in texts.items()}
    for i, column in enumerate(history):
        np.save(buffer := io.BytesIO(), column)
        members[f"{HISTORY}/{i}.npy"] = buffer.getvalue()
    return archive.pack({**members, WEIGHTS: write_weights(model, include_optimizer)})


def read(contents: bytes) -> Weights:
    """Parse a ``.keras`` file."""
    members = archive.unpack(contents)
    names = ["config.json", *({"metadata.json", EXTRA} & members.keys())]
    texts = {name: configuration.from_json(members[name]) for name in names}
    source = Weights(members[WEIGHTS])
    config, version = texts["config.json"], texts.get("metadata.json", {}).get("keras_version")
    source.set_config(config, config.get("compile_config"), str(version).startswith("2."))
    source.run = texts.get(EXTRA)
    if source.run is not None:
        places = f"{HISTORY}/{{:d}}.npy".format
        state.fill_history(source.run, lambda i: archive.array(places(i), members[places(i)]))
    return source


class _Hdf5(state.Source):
    """Source whose weights are in an HDF5 file."""

    def __init__(self, contents: bytes) -> None:
        self.contents, self.n_bytes = contents, len(contents)
        with self.open():
            self.look()
            expected = hdf5.get_number(self.file, COUNT)
        text = f"The file must contain {expected} arrays of the optimizer state"
        require(expected in (None, self.n_optimizer), text, f"{self.n_optimizer}")

    def look(self) -> None:
        """Count the arrays of the optimizer state, and read the configurations."""

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Open the file."""
        with hdf5.opened(self.contents) as self.file:
            yield

    def get(self, place: str, variable: Variable) -> Array:
        """Read one array."""
        return hdf5.get(self.file, place, variable)

    def set_config(self, config: dict[str, Any], training: Any, old: bool) -> None:
        """Set the configuration and compile arguments; translate those written by Keras 2."""
        if old:
            config = keras2.translate_model(config)
            training = keras2.translate_training(training) if training else {}
            self.skipped_state, self.n_optimizer = self.n_optimizer > 0, 0
        self.config = {**config, "compile_config": training}


# ------------------------------------------------------------ layers by class and position


def write_weights(model: Model, include_optimizer: bool = True) -> bytes:
    """Serialize weights and optimizer state as a ``.weights.h5`` file."""

    def fill(file: Any) -> None:
        places = [(path, layer.name, own) for path, (layer, own) in _all_places(model).items()]
        if model.compiled and include_optimizer:
            places.append(("optimizer/", model.optimizer.name, model.optimizer.variables))
            file.attrs[COUNT] = len(model.optimizer.variables)
        for path, name, variables in places:
            hdf5.put_group(file, f"{path}vars", name)
            for i, variable in enumerate(variables):
                hdf5.put(file, f"{path}vars/{i}", variable.array)

    return hdf5.write(fill)


def _places(layer: Any, path: str = "") -> Iterator[tuple[str, Layer, list[Variable]]]:
    """List a model and its layers, with their paths in Keras' files and their direct weights."""
    own = [] if isinstance(layer, Model) else sorted(layer._weights, key=lambda w: not w.trainable)
    yield path, layer, own
    done: set[int] = set()
    for folder, value in _attributes(layer):
        for inner, part in _in_containers(f"{path}{folder}/", value):
            if id(part) not in done:
                done.add(id(part))
                yield from _places(part, inner)


def _attributes(layer: Any) -> list[tuple[str, Any]]:
    """Return the attributes that Keras searches for layers, in its order."""
    is_model = isinstance(layer, Model)
    own: dict[str, Any] = {}
    if layer._has_own_call if is_model else layer._inner_layers():
        own = {name: value for name, value in vars(layer).items() if name not in _NOT_SEARCHED}
    if is_model:
        own["layers"] = layer.layers
    return sorted(own.items(), key=lambda item: re.sub("^_", "~", item[0]))


def _in_containers(path: str, value: Any) -> Iterator[tuple[str, Layer]]:
    """Yield the layers in an attribute, with paths made of class names and numbers."""
    if isinstance(value, Layer):
        yield path, value
    elif isinstance(value, dict | list | tuple):
        used: Counter[str] = Counter()
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, Layer | dict | list | tuple):
                name = snake_case(type(item).__name__) if isinstance(item, Layer) else "container"
                if type(item) is _registry.classes["Functional"]:
                    name = "functional"  # class name in Keras
                yield from _in_containers(f"{path}{numbered(name, used)}/", item)


def _all_places(model: Model) -> dict[str, tuple[Layer, list[Variable]]]:
    """Return the layers and weights by path; every weight must have exactly one path."""
    places = {path: (layer, own) for path, layer, own in _places(model)}
    placed = Counter(id(variable) for _, own in places.values() for variable in own)
    missing = [variable.path for variable in model.weights if id(variable) not in placed]
    where = "must be in an attribute of exactly one layer, or in a list, tuple, dict or set there"
    received = f"weights not found or found twice: {shorten(missing)}"
    fits = not missing and placed.total() == len(placed)
    require(fits, f"Every layer of {model.name} {where}", received)
    return places


class Weights(_Hdf5):
    """Source for a ``.weights.h5`` file."""

    one_by_one = False
    optimizer_place = "optimizer/vars/{}".format

    def look(self) -> None:
        """Count the arrays of the optimizer state."""
        self.n_optimizer = len(hdf5.find(self.file, "optimizer/vars") or [])

    def groups(self, model: Model) -> Iterator[tuple[str, list[Variable], int, Any]]:
        """List the weights of each layer."""
        places = _all_places(model)
        for path, (layer, own) in places.items():
            count = len(hdf5.find(self.file, f"{path}vars") or [])
            yield layer.name, own, count, f"{path}vars/{{}}".format
            if isinstance(layer, Model):
                expected = f"{layer.name} must have every layer that the file has weights for"
                for key in hdf5.find(self.file, f"{path}layers") or []:
                    extra = f"{path}layers/{key}/"
                    with self.attempt():
                        known = extra in places or not hdf5.find(self.file, f"{extra}vars/0")
                        require(known, expected, shorten(extra), state.MismatchError)


# ------------------------------------------------------------ layers by name


def write_legacy(model: Model, include_optimizer: bool = True) -> bytes:
    """Serialize a model as a legacy ``.h5`` file."""
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
    names = [numbered(name, used) for name in names]
    hdf5.put_text(group, "weight_names", names)
    for name, variable in zip(names, variables, strict=True):
        hdf5.put(group, name, variable.array)


class Legacy(_Hdf5):
    """Source for a legacy ``.h5`` file."""

    def look(self) -> None:
        """Count the arrays of the optimizer state, and read the configurations."""
        texts = [hdf5.get_text(self.file, f"{kind}_config") for kind in ("model", "training")]
        found = hdf5.find(self.file, "optimizer_weights")
        names = [] if found is None else hdf5.get_text(found, "weight_names") or []
        self.n_optimizer = len(names)
        self.optimizer_place = lambda i: f"optimizer_weights/{names[i]}"
        version = str(hdf5.get_text(self.file, "keras_version") or "2")
        config, training = ({} if text is None else configuration.from_json(text) for text in texts)
        if texts[0] is not None:
            self.run = {"floatx": training.pop("tinynet_floatx", None)}
            if training:
                training["optimizer"] = training.pop("optimizer_config", None)
            self.set_config(config, training, not version.startswith("3"))

    def groups(self, model: Model) -> Iterator[tuple[str, list[Variable], int, Any]]:
        """List the weights of each layer."""
        top = "" if hdf5.get_text(self.file, "layer_names") else "model_weights/"
        group = hdf5.find(self.file, top[:-1]) if top else self.file
        named = {}
        for name in hdf5.get_text(group, "layer_names") or []:
            if names := hdf5.get_text(hdf5.find(group, name), "weight_names"):
                named[name] = names
        layers = [layer for layer in model.layers if layer.weights]
        if self.by_name:
            layers = [layer for layer in layers if layer.name in named]
            named = {layer.name: named[layer.name] for layer in layers}
            if not named:
                warn(f"No weights are loaded: the file contains no layer name of {model.name}.")
        expected = f"The file must have weights for the {len(layers)} layers of {model.name}"
        received = f"weights for {len(named)} layers"
        require(len(named) == len(layers), expected, received, state.MismatchError)
        for layer, (name, names) in zip(layers, named.items(), strict=True):
            paths = [f"{top}{name}/{own}" for own in names]
            variables = layer.trainable_weights + layer.non_trainable_weights
            yield layer.name, variables, len(names), paths.__getitem__


def read_weights(contents: bytes) -> _Hdf5:
    """Parse a ``.weights.h5`` file, which may contain a whole legacy model."""
    with hdf5.opened(contents) as file:
        is_model = "model_config" in file.attrs
    return (Legacy if is_model else Weights)(contents)
