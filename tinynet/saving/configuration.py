"""Configurations of models as JSON in Keras' format, and the models built from them.

A configuration may be untrusted. The JSON is limited in length, depth and number of objects; class
names are looked up in the registries or in the user's custom objects; and the weights of the model
must not be larger than the weights in the file, which is checked before memory is allocated.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from tinynet import config as settings
from tinynet import layers, losses, metrics, optimizers
from tinynet._core.checks import require, shorten
from tinynet._core.registry import custom_object_scope, map_entries
from tinynet.layers.layer import initializer_override
from tinynet.program.symbols import Allowance, allowance
from tinynet.program.trace import within
from tinynet.program.variable import Array, Variable
from tinynet.saving.errors import MALFORMED, refusing
from tinynet.saving.saved_model import Model

MAX_JSON = 4 << 20
MAX_DEPTH = 100
MAX_OBJECTS = 10_000


def to_json(value: Any) -> str:
    """Convert a value, which may contain NumPy scalars and arrays, to JSON."""
    expected = "A configuration must have string keys and must not be nested too deeply"
    with refusing(expected, TypeError, RecursionError):
        text = json.dumps(value, default=_plain)
    from_json(text)  # check that the text can be loaded again
    return text


def _plain(value: Any) -> Any:
    plain = isinstance(value, np.ndarray | np.generic | Variable) and value.dtype != np.longdouble
    expected = "A configuration must consist of numbers, strings, lists, dicts"
    require(plain, f"{expected} and objects with get_config", shorten(value))
    return np.asarray(value).tolist()


def from_json(text: str | bytes, limit: int = MAX_JSON) -> dict[str, Any]:
    """Parse an untrusted JSON object; its length, depth and number of objects are limited."""
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    require(len(text) <= limit, f"JSON must have at most {limit:,} characters", f"{len(text):,}")
    outside = re.sub(r'"[^"]*"?', "", text.replace(r"\\", "").replace(r"\"", ""))  # no strings
    brackets = re.sub(r"[^][{}]+", "", outside)
    depths = itertools.accumulate(1 if bracket in "[{" else -1 for bracket in brackets)
    fits = all(depth <= MAX_DEPTH for depth in depths)
    require(fits, f"JSON must be nested at most {MAX_DEPTH} levels deep", "a deeper nesting")
    # The state of a random generator has 39 digits.
    too_long = re.search(r"(?<![.\d])\d{51,}(?![.eE\d])", outside)
    require(not too_long, "Integers must have at most 50 digits", "an integer with more digits")
    # The time to build a model grows faster than the number of objects.
    count, many = 0, f"A configuration must describe at most {MAX_OBJECTS:,} objects"

    def entry(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal count
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise ValueError(f"JSON keys must be unique. Received: {shorten(twice)} twice")
        count += _is_object(found)
        require(count <= MAX_OBJECTS, many, "more objects")
        return found

    expected = f"The text must be valid JSON: {shorten(text)}"
    with refusing(expected, json.JSONDecodeError):
        value = json.loads(text, object_pairs_hook=entry)
    require(isinstance(value, dict), "JSON must contain one object", shorten(value))
    return cast(dict[str, Any], value)


def _is_object(found: dict[str, Any]) -> bool:
    return found.get("class_name", "DTypePolicy") != "DTypePolicy"


def _n_objects(value: Any) -> int:
    """Return the number of objects in a configuration."""
    inner = value.values() if isinstance(value, dict) else value
    own = isinstance(value, dict) and _is_object(value)
    return own + sum(map(_n_objects, inner)) if isinstance(value, dict | list) else 0


def describe(model: Model, include_optimizer: bool = True) -> dict[str, Any]:
    """Return the configuration of a model and its compile arguments, in Keras' format."""
    config: dict[str, Any] = layers.serialize(model)
    if model.built and (build_config := model.get_build_config()) is not None:
        config["build_config"] = build_config
    config["compile_config"] = {}
    if model.compiled and include_optimizer:
        given = model._compile_arguments
        config["compile_config"] = {
            "optimizer": optimizers.serialize(model.optimizer),
            **_map_parts(lambda kind, e: e if isinstance(e, dict) else kind.serialize(e), given),
            "loss_weights": given["loss_weights"],
            **dict.fromkeys(("run_eagerly", "jit_compile"), False),
            "steps_per_execution": 1,
        }
    return config


def _map_parts(function: Callable[[Any, Any], Any], config: dict[str, Any]) -> dict[str, Any]:
    """Apply ``function(registry, entry)`` to the losses and metrics of a configuration."""
    kinds = {"loss": losses, "metrics": metrics, "weighted_metrics": metrics}
    return {
        key: map_entries(functools.partial(function, registry), config.get(key))
        for key, registry in kinds.items()
    }


def build(
    config: dict[str, Any],
    n_bytes: float = math.inf,
    compile: bool = True,
    custom_objects: dict[str, Any] | None = None,
    floatx: Any = None,
) -> Model:
    """Build the model that a configuration describes, with all weights initialized to 0.

    At most `n_bytes` bytes are allocated for weights. `floatx` is the float type of the session
    that saved the model.
    """
    left = n_bytes

    def zeros(shape: tuple[int, ...], dtype: str) -> Array:
        nonlocal left
        size = math.prod(shape) * np.dtype(dtype).itemsize
        expected = "The configuration must not define more weights than the file contains"
        received = f"a weight of shape {shape}, with {left:,} bytes left"
        require(size <= left, expected, received)
        left -= size
        return np.zeros(shape, dtype)

    def made() -> Model:
        model = layers.deserialize(config)
        expected = "The configuration must describe a model"
        require(isinstance(model, Model), expected, repr(config.get("class_name")))
        build_config = config.get("build_config")
        if build_config and not model.built:
            model.build_from_config(build_config)
        if compile and config.get("compile_config"):
            _compile(model, config["compile_config"], custom_objects or {})
        return model

    found = Allowance(n_bytes, _n_objects(config))
    limited = None if n_bytes == math.inf else zeros
    limits: dict[Any, Any] = {initializer_override: limited, allowance: found}
    scope = settings.floatx_scope(settings.floatx() if floatx is None else floatx)
    quiet = np.errstate(over="ignore")  # constants out of range become infinite
    malformed = refusing("The configuration is malformed", *MALFORMED)
    with malformed, custom_object_scope(custom_objects), scope, quiet:
        return cast(Model, within(limits, made))


def _compile(model: Model, config: dict[str, Any], custom: dict[str, Any]) -> None:
    def made(registry: Any, entry: Any) -> Any:
        # Names are passed to `compile` unchanged, except for custom objects.
        if isinstance(entry, dict):
            return registry.deserialize(entry)
        return custom[entry] if isinstance(entry, str) and entry in custom else entry

    optimizer = optimizers.deserialize(config["optimizer"])
    parts = _map_parts(made, config)
    model.compile(optimizer=optimizer, loss_weights=config.get("loss_weights"), **parts)
