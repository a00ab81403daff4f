"""Configurations of models as JSON, in Keras' form, and the models that they describe.

A configuration may be untrusted. The JSON itself is bounded in length, depth and number of
objects; class names come from the registries, or from the user; and the weights of the model must
not be larger than those in the file, which is checked before any memory is allocated.
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
from tinynet.program.symbols import size_limit
from tinynet.program.trace import within
from tinynet.program.variable import Array, Variable
from tinynet.saving.errors import MALFORMED, refusing
from tinynet.saving.saved_model import Model

MAX_JSON = 4 << 20
MAX_DEPTH = 100
MAX_OBJECTS = 10_000
#: Numbers in a tensor of a model, for three examples.
MAX_SIZE = 1 << 24


def to_json(value: Any) -> str:
    """Convert a value, which may contain NumPy's numbers, to JSON.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    str
        The text.

    Raises
    ------
    ValueError
        If JSON does not support it, or it would be too long to be read again.

    Examples
    --------
    >>> to_json({"units": np.int64(3)})
    '{"units": 3}'
    """
    expected = "A configuration can hold text as keys, and may not be nested too deep"
    with refusing(expected, TypeError, RecursionError):
        text = json.dumps(value, default=_plain)
    from_json(text)  # a text that can't be read again is not written
    return text


def _plain(value: Any) -> Any:
    plain = isinstance(value, np.ndarray | np.generic | Variable) and value.dtype != np.longdouble
    expected = "A configuration can hold numbers, texts, lists and dicts"
    require(plain, f"{expected}, and objects with get_config", shorten(value))
    return np.asarray(value).tolist()


def from_json(text: str | bytes, limit: int = MAX_JSON) -> dict[str, Any]:
    """Parse untrusted JSON.

    Parameters
    ----------
    text : str or bytes
        The text, in UTF-8.
    limit : int
        Number of characters that it may have.

    Returns
    -------
    dict
        The object.

    Raises
    ------
    ValueError
        If it is not a JSON object, too long, too deep, describes too many objects, or has a key
        twice.

    Examples
    --------
    >>> from_json('{"units": 3}')
    {'units': 3}
    >>> from_json('{"units": 3, "units": 4}')
    Traceback (most recent call last):
        ...
    ValueError: JSON must have every key once. Received: 'units' twice
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    require(len(text) <= limit, f"JSON may have {limit:,} characters", f"{len(text):,}")
    outside = re.sub(r'"[^"]*"?', "", text.replace(r"\\", "").replace(r"\"", ""))  # of strings
    brackets = re.sub(r"[^][{}]+", "", outside)
    depths = itertools.accumulate(1 if bracket in "[{" else -1 for bracket in brackets)
    fits = all(depth <= MAX_DEPTH for depth in depths)
    require(fits, f"JSON may be nested {MAX_DEPTH} deep", "more")
    # The state of a random generator has 39 digits.
    too_long = re.search(r"(?<![.\d])\d{51,}(?![.eE\d])", outside)
    require(not too_long, "Integers may have 50 digits", "more")
    # Time grows faster than their number.
    count, many = 0, f"A configuration may describe {MAX_OBJECTS:,} objects"

    def entry(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal count
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise ValueError(f"JSON must have every key once. Received: {shorten(twice)} twice")
        count += found.get("class_name", "DTypePolicy") != "DTypePolicy"
        require(count <= MAX_OBJECTS, many, "more")
        return found

    expected = f"The text must be valid JSON, or is damaged: {shorten(text)}"
    with refusing(expected, json.JSONDecodeError):
        value = json.loads(text, object_pairs_hook=entry)
    require(isinstance(value, dict), "JSON must hold one object", shorten(value))
    return cast(dict[str, Any], value)


def describe(model: Model, include_optimizer: bool = True) -> dict[str, Any]:
    """Return the configuration of a model and the arguments of `compile`, in Keras' form.

    Parameters
    ----------
    model : Model
        The model.
    include_optimizer : bool
        Whether to include the arguments of `compile`.

    Returns
    -------
    dict
        Argument of `build`.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> describe(Sequential(name="net"))["class_name"]
    'Sequential'
    """
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
    """Apply a function of a registry and an entry to the losses and metrics in a configuration."""
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
    """Build the model that a configuration describes; all weights are zero.

    Parameters
    ----------
    config : dict
        Result of `describe`, or written by Keras.
    n_bytes : float
        Number of bytes of weights that the model may have.
    compile : bool
        Whether to compile it with the arguments in the configuration.
    custom_objects : dict, optional
        Custom classes and functions by name.
    floatx : str, optional
        The float type of the session that saved it.

    Returns
    -------
    Model
        The model.

    Raises
    ------
    ValueError
        If the configuration is malformed, or needs what tinynet does not support, or too much.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> build(describe(Sequential(name="net"))).name
    'net'
    """
    left = n_bytes

    def zeros(shape: tuple[int, ...], dtype: str) -> Array:
        nonlocal left
        size = math.prod(shape) * np.dtype(dtype).itemsize
        expected = "The configuration asks for more weights than the file holds"
        received = f"a weight of shape {shape}, and {left:,} bytes for it"
        require(size <= left, expected, received)
        left -= size
        return np.zeros(shape, dtype)

    def made() -> Model:
        model = layers.deserialize(config)
        expected = "The configuration must be a model's"
        require(isinstance(model, Model), expected, repr(config.get("class_name")))
        build_config = config.get("build_config")
        if build_config and not model.built:
            model.build_from_config(build_config)
        if compile and config.get("compile_config"):
            _compile(model, config["compile_config"], custom_objects or {})
        return model

    limited = None if n_bytes == math.inf else zeros
    limits: dict[Any, Any] = {initializer_override: limited, size_limit: MAX_SIZE}
    scope = settings.floatx_scope(settings.floatx() if floatx is None else floatx)
    malformed = refusing("The configuration is malformed", *MALFORMED)
    with malformed, custom_object_scope(custom_objects), scope:
        return cast(Model, within(limits, made))


def _compile(model: Model, config: dict[str, Any], custom: dict[str, Any]) -> None:
    def made(registry: Any, entry: Any) -> Any:
        # Names stay names, as they were given, except for custom objects.
        if isinstance(entry, dict):
            return registry.deserialize(entry)
        return custom[entry] if isinstance(entry, str) and entry in custom else entry

    optimizer = optimizers.deserialize(config["optimizer"])
    parts = _map_parts(made, config)
    model.compile(optimizer=optimizer, loss_weights=config.get("loss_weights"), **parts)
