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
from tinynet.saving.saved_model import Model

MAX_JSON = 4 << 20
MAX_DEPTH = 100
MAX_OBJECTS = 10_000
#: Numbers in a tensor of a model, for three examples.
MAX_SIZE = 1 << 24

#: Python's errors about a configuration with something of the wrong kind.
MALFORMED = (
    *(TypeError, KeyError, AttributeError, IndexError, ArithmeticError),
    *(RecursionError, MemoryError),
)


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
    try:
        text = json.dumps(value, default=_plain)
    except (TypeError, RecursionError) as error:
        raise ValueError(
            f"A configuration can hold text as keys, and may not be nested too deep. "
            f"Received: {error}"
        ) from error
    from_json(text)  # a text that can't be read again is not written
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and value.dtype != np.longdouble:
        return value.tolist()
    if isinstance(value, Variable):
        return value.array.tolist()
    raise ValueError(
        "A configuration can hold numbers, texts, lists and dicts, and objects with get_config. "
        f"Received: {shorten(value)}"
    )


def from_json(text: str | bytes) -> dict[str, Any]:
    """Parse untrusted JSON.

    Parameters
    ----------
    text : str or bytes
        The text, in UTF-8.

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
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    require(len(text) <= MAX_JSON, f"JSON may have {MAX_JSON:,} characters", f"{len(text):,}")
    # Brackets count outside of strings only; every second part between quotes is a string.
    outside = "".join(re.sub(r"\\.", "", text, flags=re.DOTALL).split('"')[::2])
    steps = (1 if bracket in "[{" else -1 for bracket in re.findall(r"[][{}]", outside))
    deepest = max(itertools.accumulate(steps, initial=0))
    require(deepest <= MAX_DEPTH, f"JSON may be nested {MAX_DEPTH} deep", f"depth {deepest:,}")
    count = 0

    def entry(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal count
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ValueError(f"JSON must have every key once. Received: {shorten(key)} twice")
            found[key] = value
        count += found.get("class_name", "DTypePolicy") != "DTypePolicy"
        # Time grows faster than their number.
        expected = f"A configuration may describe {MAX_OBJECTS:,} objects"
        require(count <= MAX_OBJECTS, expected, f"{count:,} or more")
        return found

    try:
        value = json.loads(text, object_pairs_hook=entry, parse_int=_bounded_int)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"The text must be valid JSON, or is damaged: {error}. Received: {shorten(text)}"
        ) from error
    if not isinstance(value, dict):
        raise ValueError(f"JSON must hold one object. Received: {shorten(value)}")
    return value


def _bounded_int(digits: str) -> int:
    # The state of a random generator has 39 digits.
    require(len(digits) <= 50, "Numbers may have 50 digits", f"{len(digits):,} digits")
    return int(digits)


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
    build_config = model.get_build_config() if model.built else None
    if build_config is not None:
        config["build_config"] = build_config
    config["compile_config"] = {}
    if model.compiled and include_optimizer:
        given = model._compile_arguments

        def described(registry: Any, entry: Any) -> Any:
            return entry if isinstance(entry, dict) else registry.serialize(entry)

        config["compile_config"] = {
            "optimizer": optimizers.serialize(model.optimizer),
            **_map_parts(described, given),
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
    try:
        with custom_object_scope(custom_objects), scope:
            return cast(Model, within(limits, made))
    except MALFORMED as error:
        raise ValueError(
            f"The configuration is malformed ({type(error).__name__}). Received: {error}"
        ) from error


def _compile(model: Model, config: dict[str, Any], custom: dict[str, Any]) -> None:
    def made(registry: Any, entry: Any) -> Any:
        # Names stay names, as they were given, except for custom objects.
        if isinstance(entry, dict):
            return registry.deserialize(entry)
        return custom[entry] if isinstance(entry, str) and entry in custom else entry

    optimizer = optimizers.deserialize(config["optimizer"])
    parts = _map_parts(made, config)
    model.compile(optimizer=optimizer, loss_weights=config.get("loss_weights"), **parts)
