"""Registries that map names to activations, losses, layers etc., and serialization of objects.

Each kind of object that users specify by a string has a `Registry`. Registries also limit what a
saved configuration can create: only registered classes, and custom classes and functions that are
passed to `custom_object_scope` or `register_keras_serializable`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, ClassVar, TypeVar

from tinynet._core.checks import require, shorten
from tinynet._core.suggestions import known

# Exported by `saving` and `utils`, as in Keras.
__all__ = ["CustomObjectScope"]
__all__ += ["custom_object_scope", "deserialize_keras_object", "get_custom_objects"]
__all__ += ["register_keras_serializable", "serialize_keras_object"]

T = TypeVar("T")


class _Names(threading.local):
    """Counters that make names unique. As in Keras, each thread has its own."""

    def __init__(self) -> None:
        self.used: Counter[str] = Counter()


_names = _Names()


@functools.lru_cache(1024)
def snake_case(name: str) -> str:
    """Convert a class name to snake case as Keras does for layer names: ``ReLU`` to ``re_lu``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(class_name: str) -> str:
    """Return a unique name for an instance of a class: ``"dense"``, then ``"dense_1"``."""
    return numbered(snake_case(class_name), _names.used)


def numbered(name: str, used: Counter[str]) -> str:
    """Append the number of earlier uses to a name, unless it is 0, and count this use."""
    count = used[name]
    used[name] += 1
    return f"{name}_{count}" if count else name


def clear_names() -> None:
    """Reset the counters that make names unique, for the current thread."""
    _names.used.clear()


_registered: dict[str, Any] = {}
_scope: ContextVar[dict[str, Any] | None] = ContextVar("custom_objects", default=None)


@contextlib.contextmanager
def custom_object_scope(custom_objects: dict[str, Any] | None) -> Iterator[None]:
    """Register custom classes and functions within a ``with`` block.

    Parameters
    ----------
    custom_objects : dict, optional
        Custom classes and functions by name.

    Yields
    ------
    None
        The ``with`` block, in which the names can be used in configurations and as identifiers.

    Examples
    --------
    >>> from tinynet import layers
    >>> class Double(layers.Layer):
    ...     def call(self, x):
    ...         return 2 * x
    >>> config = {"class_name": "Double", "config": {"name": "twice"}}
    >>> with custom_object_scope({"Double": Double}):
    ...     layers.deserialize(config).name
    'twice'
    """
    token = _scope.set({**(_scope.get() or {}), **(custom_objects or {})})
    try:
        yield
    finally:
        _scope.reset(token)


CustomObjectScope = custom_object_scope


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Any:
    """Return a decorator that registers a custom class or function for saving and loading.

    Parameters
    ----------
    package : str
        Prefix of the registered name.
    name : str, optional
        Name to register; by default the name of the class or function.

    Returns
    -------
    callable
        Decorator, which returns the class or function unchanged.

    Examples
    --------
    >>> from tinynet import layers
    >>> @register_keras_serializable("Shapes")
    ... class Square(layers.Layer):
    ...     def call(self, x):
    ...         return x * x
    >>> layers.serialize(Square())["registered_name"]
    'Shapes>Square'
    """

    def enter(entry: T) -> T:
        own: str = name or entry.__name__  # type: ignore[attr-defined]  # classes and functions
        _registered[f"{package}>{own}"] = entry
        return entry

    return enter


def _registered_name(entry: Any) -> str:
    names = (key for key, value in _registered.items() if value is entry)
    return next(names, entry.__name__)


def _function_config(function: Any, registry: Registry | None = None) -> Any:
    """Return the name of a function of a registry; otherwise, a configuration as in Keras.

    The module of a custom function is None, so that it is not loaded as a built-in function.
    """
    function = getattr(function, "function", function)  # of a custom activation
    name, own = function.__name__, getattr(function, "owner", function)  # class of a metric
    having = [r for r in _registries if any(r.names.get(name) is e for e in (function, own))]
    # A class with this name, such as the metric for the function of a loss, computes the same.
    if registry in having or (having and registry and isinstance(registry.names.get(name), type)):
        return name
    module, name = (having[0].module, name) if having else (None, _registered_name(function))
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _custom() -> dict[str, Any]:
    functions = {f.__name__: f for f in _registered.values() if not isinstance(f, type)}
    return {**functions, **_registered, **(_scope.get() or {})}


# Arguments in configurations of Keras that have no effect in tinynet.
_WITHOUT_EFFECT = {"ema_momentum", "renorm_momentum", "jit_compile", "is_legacy_optimizer"}


def _understood(cls: type, config: dict[str, Any]) -> dict[str, Any]:
    """Remove arguments without effect; raise an error for arguments that are not supported."""
    if "layers" in config:  # validated by Model.from_config
        return config
    taken = _taken(cls)
    for key, value in config.items():
        if key not in taken and key not in _WITHOUT_EFFECT and value not in (None, False):
            raise ValueError(
                f"{cls.__name__} in tinynet does not support {shorten(key)}. "
                f"Received: {shorten(key)}={shorten(value)}"
            )
    return {key: value for key, value in config.items() if key in taken}


@functools.cache
def _taken(cls: type) -> set[str]:
    """Return the arguments of a constructor, including those that it passes on as ``**kwargs``."""
    taken: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters  # type: ignore[misc]
            taken |= set(parameters)
            if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
                break
    return taken


def map_entries(function: Callable[[Any], Any], entry: Any) -> Any:
    """Apply a function to each entry of nested lists and dicts; a configuration dict is an entry.

    Tuples become lists.
    """
    if isinstance(entry, dict) and "class_name" not in entry:
        return {key: map_entries(function, value) for key, value in entry.items()}
    if isinstance(entry, list | tuple):
        return [map_entries(function, value) for value in entry]
    return function(entry)


class Configurable:
    """Base class of objects that can be created again from their constructor arguments."""

    #: Names of the constructor's arguments, which are also attributes.
    _arguments: tuple[str, ...] = ()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments.

        Returns
        -------
        dict
            Configuration, which `from_config` accepts.
        """
        return {name: getattr(self, name) for name in self._arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Create an object from its configuration.

        Parameters
        ----------
        config : dict
            Result of `get_config`.

        Returns
        -------
        object
            New object.
        """
        return cls(**config)


def _check_readable(cls: type, config: dict[str, Any]) -> None:
    """Check that `from_config` of a custom class can create an object from a configuration."""
    reader = getattr(cls, "from_config", None)
    require(reader is not None, f"{cls.__name__} must define from_config", f"{cls}")
    if not reader.__module__.startswith("tinynet."):
        return
    parameters = inspect.signature(cls).parameters.values()
    plain = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if "layers" in config:  # from_config passes the first arguments by position
        plain = plain[4 if "input_layers" in config else 3 :]
    missing = [p.name for p in plain if p.default is p.empty and p.name not in config]
    needed = f"get_config of {cls.__name__} must return all required arguments of __init__"
    expected = f"{needed}, or the saved model cannot be loaded; alternatively, define from_config"
    require(not missing, expected, f"a configuration without {missing}")


_registries: list[Registry] = []


class Registry:
    """Registry of named objects of one kind.

    `kind` is used in error messages, such as ``"activation"``; `module` is Keras' module path for
    configurations, such as ``"keras.activations"``.
    """

    #: Name and module in saved configurations, for the classes of all registries.
    written: ClassVar[dict[type, tuple[str, str]]] = {}

    def __init__(self, kind: str, module: str) -> None:
        self.kind = kind
        self.module = module
        self.names: dict[str, Any] = {}
        self.classes: dict[str, type] = {}
        _registries.append(self)

    def register(
        self, *aliases: str, class_name: str | None = None, module: str | None = None
    ) -> Callable[[T], T]:
        """Return a decorator that registers a class or function by its names and aliases.

        `class_name` and `module` are the class's name and module in Keras' configurations, if they
        differ from its name and the registry's module.
        """

        def enter(entry: T) -> T:
            name: str = class_name or entry.__name__  # type: ignore[attr-defined]  # a class
            if isinstance(entry, type):
                self.classes[name] = entry
                self.written[entry] = (name, module or self.module)
                self.names[snake_case(name)] = entry
            self.names[name] = entry
            self.names.update(dict.fromkeys(aliases, entry))
            return entry

        return enter

    def get(self, identifier: Any) -> Any:
        """Return the object for an identifier.

        Parameters
        ----------
        identifier : None, str, dict or object
            Name, configuration, class, or the object itself.

        Returns
        -------
        object or None
            New instance for a class or its name; otherwise, the object with this name, or the
            identifier itself.

        Raises
        ------
        ValueError
            If the identifier is unknown or has an unsupported type.
        """
        if isinstance(identifier, str):
            identifier = known(self.kind, identifier, {**self.names, **_custom()})
        elif isinstance(identifier, dict):
            return self.deserialize(identifier)
        if isinstance(identifier, type):
            return identifier()
        if identifier is None or callable(identifier) or hasattr(identifier, "get_config"):
            return identifier
        raise ValueError(
            f"The {self.kind} must be a name, an instance or a function. "
            f"Received: {shorten(identifier)}"
        )

    def serialize(self, entry: Any) -> Any:
        """Serialize an object as Keras does.

        Parameters
        ----------
        entry : object or None
            Object to serialize.

        Returns
        -------
        None, str or dict
            Name, or JSON-serializable dict with class name and configuration.
        """
        if entry is None or isinstance(entry, str):
            return entry
        if not hasattr(entry, "get_config"):
            return _function_config(entry, self)
        cls, config, registered = type(entry), entry.get_config(), None
        name, module = self.written.get(cls, (cls.__name__, None))
        if cls not in self.written:
            registered = _registered_name(cls)
            _check_readable(cls, config)
        return {
            "module": module,
            "class_name": name,
            "config": config,
            "registered_name": registered,
        }

    def deserialize(self, config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
        """Create an object from the result of `serialize`.

        Parameters
        ----------
        config : None, str or dict
            Serialized object.
        custom_objects : dict, optional
            Custom classes and functions by name.

        Returns
        -------
        object or None
            The object.

        Raises
        ------
        ValueError
            If the configuration is invalid, or contains an unknown class or function.
        """
        custom = {**_custom(), **(custom_objects or {})}
        if not isinstance(config, dict):
            return custom[config] if config in custom else self.get(config)
        name, inner = config.get("class_name"), config.get("config")
        if not isinstance(name, str) or not isinstance(inner, dict | str):
            raise ValueError(
                f"The configuration of a {self.kind} must contain 'class_name' and 'config'. "
                f"Received: {shorten(config)}"
            )
        registered, module = config.get("registered_name"), config.get("module")
        if isinstance(inner, str) and name != "function":
            raise ValueError(
                f"The configuration of {shorten(name)} must be a dict. Received: {shorten(inner)}"
            )
        own = inner if isinstance(inner, str) else name
        top = "keras" if module is None and registered is None else str(module).split(".")[0]
        built_in = top == "keras" or (isinstance(inner, str) and top == "builtins")
        for key in (registered, *([] if top == "keras" and module else [own, own.split(">")[-1]])):
            if key in custom:
                with custom_object_scope(custom_objects):
                    is_function = isinstance(inner, str)
                    return custom[key] if is_function else custom[key].from_config(inner)
        if not built_in:
            raise ValueError(
                f"Could not locate the {self.kind} {shorten(own)}, which is not built into Keras "
                "or tinynet; pass it in custom_objects, or register it with "
                f"saving.register_keras_serializable. Received: module {shorten(module)}"
            )
        if isinstance(inner, str):
            registry = next((r for r in _registries if r.module == module), self)
            return registry.get(own[:200])
        cls = known(self.kind, name[:200], self.classes or self.names)
        with custom_object_scope(custom_objects):
            return cls.from_config(_understood(cls, inner))


def serialize_keras_object(obj: Any) -> Any:
    """Serialize an object, such as a nested layer, to a value that `get_config` may return.

    Parameters
    ----------
    obj : object
        Object with ``get_config``, such as a layer or an optimizer; named function, number, string
        or None; or list or dict of these.

    Returns
    -------
    object
        JSON-serializable value that `deserialize_keras_object` accepts.

    Examples
    --------
    >>> from tinynet import regularizers
    >>> config = serialize_keras_object(regularizers.L2(0.5))
    >>> config["class_name"], config["config"]
    ('L2', {'l2': 0.5})
    """
    if isinstance(obj, dict):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [serialize_keras_object(value) for value in obj]
    if callable(obj) and not hasattr(obj, "get_config"):
        return _function_config(obj)
    if not hasattr(obj, "get_config"):
        return obj
    return _registries[0].serialize(obj)


def deserialize_keras_object(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """Create an object from the result of `serialize_keras_object`.

    Parameters
    ----------
    config : object
        Configuration.
    custom_objects : dict, optional
        Custom classes and functions by name.

    Returns
    -------
    object
        New object.

    Raises
    ------
    ValueError
        If the configuration contains an unknown class or function.

    Examples
    --------
    >>> from tinynet import regularizers
    >>> config = serialize_keras_object([regularizers.L2(0.5), 3])
    >>> deserialize_keras_object(config)[0].l2
    0.5
    """

    def read(entry: Any) -> Any:
        if not isinstance(entry, dict):
            return (custom_objects or {}).get(entry, entry) if isinstance(entry, str) else entry
        name, module = entry["class_name"], entry.get("module")
        wanted = entry.get("config") if name == "function" else name
        having = [r for r in _registries if isinstance(wanted, str) and wanted in r.names]
        same = [r for r in having if name in r.classes and r.written[r.classes[name]][1] == module]
        return [*same, *having, _registries[0]][0].deserialize(entry, custom_objects)

    return map_entries(read, config)


def get_custom_objects() -> dict[str, Any]:
    """Return the global registry of custom classes and functions.

    Returns
    -------
    dict
        Custom classes and functions by name; changes to the dict affect the registry.

    Examples
    --------
    >>> "Custom>Unknown" in get_custom_objects()
    False
    """
    return _registered
