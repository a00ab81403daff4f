"""Names for things: how a string finds its activation, loss or layer, and how it is written down.

Every kind of object that users name by a string has one `Registry`. It is also the closed set
that a saved configuration may speak of: nothing else is ever made from a file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from tinynet.checks import known, shorten

T = TypeVar("T")

_used: Counter[str] = Counter()


def snake_case(name: str) -> str:
    """Spell a class name as Keras names instances: ``ReLU`` is ``re_lu``.

    Parameters
    ----------
    name : str
        The class name.

    Returns
    -------
    str
        The name in snake case.

    Examples
    --------
    >>> snake_case("SparseCategoricalCrossentropy"), snake_case("RMSprop"), snake_case("ReLU")
    ('sparse_categorical_crossentropy', 'rm_sprop', 're_lu')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(class_name: str) -> str:
    """Name an instance after its class, with a number from the second on.

    Parameters
    ----------
    class_name : str
        The class name.

    Returns
    -------
    str
        For example ``"dense"``, then ``"dense_1"``.

    Examples
    --------
    >>> unique_name("MyExample"), unique_name("MyExample")
    ('my_example', 'my_example_1')
    """
    name = snake_case(class_name)
    count = _used[name]
    _used[name] += 1
    return f"{name}_{count}" if count else name


def clear_names() -> None:
    """Start numbering anew.

    Examples
    --------
    >>> clear_names()
    """
    _used.clear()


class Registry:
    """The named objects of one kind.

    Parameters
    ----------
    kind : str
        What they are, for error messages: ``"activation"``.
    module : str
        Keras' module path for them, for configurations: ``"keras.activations"``.

    Examples
    --------
    >>> shapes = Registry("shape", "keras.shapes")
    >>> @shapes.register("disc")
    ... class Circle:
    ...     pass
    >>> type(shapes.get("Circle")).__name__, type(shapes.get("disc")).__name__
    ('Circle', 'Circle')
    """

    def __init__(self, kind: str, module: str) -> None:
        self.kind = kind
        self.module = module
        self.names: dict[str, Any] = {}
        self.classes: dict[str, type] = {}

    def register(self, *aliases: str) -> Callable[[T], T]:
        """Enter a class under its own name, its snake-case name and any aliases.

        Parameters
        ----------
        *aliases : str
            Further names.

        Returns
        -------
        callable
            A decorator.
        """

        def enter(entry: T) -> T:
            name: str = entry.__name__  # type: ignore[attr-defined]  # classes and functions
            if isinstance(entry, type):
                self.classes[name] = entry
                self.names[snake_case(name)] = entry
            self.names[name] = entry
            self.names.update(dict.fromkeys(aliases, entry))
            return entry

        return enter

    def get(self, identifier: Any) -> Any:
        """Find what an identifier means.

        Parameters
        ----------
        identifier : None, str, dict or object
            A name, a configuration, a class, or the object itself.

        Returns
        -------
        object or None
            A new instance for the name of a class, else what was named or passed.

        Raises
        ------
        ValueError
            If it means nothing.
        """
        if isinstance(identifier, str):
            identifier = known(self.kind, identifier, self.names)
        elif isinstance(identifier, dict):
            return self.deserialize(identifier)
        if isinstance(identifier, type):
            return identifier()
        if identifier is None or callable(identifier):
            return identifier
        raise ValueError(
            f"The {self.kind} must be a name, an object or a function. "
            f"Received: {shorten(identifier)}"
        )

    def serialize(self, entry: Any) -> Any:
        """Write an object down as Keras does: a name, or class name and configuration.

        Parameters
        ----------
        entry : object or None
            The object.

        Returns
        -------
        None, str or dict
            What JSON can hold.
        """
        if entry is None or isinstance(entry, str):
            return entry
        if not hasattr(entry, "get_config"):
            return entry.__name__
        name = type(entry).__name__
        return {
            "module": self.module if self.classes.get(name) is type(entry) else None,
            "class_name": name,
            "config": entry.get_config(),
            "registered_name": None if self.classes.get(name) is type(entry) else name,
        }

    def deserialize(self, config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
        """Make an object from what `serialize` wrote.

        Parameters
        ----------
        config : None, str or dict
            The description.
        custom_objects : dict, optional
            The user's own classes and functions by name.

        Returns
        -------
        object or None
            The object.

        Raises
        ------
        ValueError
            If it is no such description, or names what is neither built in nor passed.
        """
        custom = custom_objects or {}
        if not isinstance(config, dict):
            return custom[config] if config in custom else self.get(config)
        name, inner = config.get("class_name"), config.get("config")
        if not isinstance(name, str) or not isinstance(inner, dict | str):
            raise ValueError(
                f"The configuration of a {self.kind} needs 'class_name' and 'config'. "
                f"Received: {shorten(config)}"
            )
        if name == "function" and isinstance(inner, str):
            return self.deserialize(inner, custom)
        if not isinstance(inner, dict):
            raise ValueError(
                f"The configuration of {name!r} must be a dict. Received: {shorten(inner)}"
            )
        cls = known(self.kind, name, {**self.classes, **custom})
        return cls.from_config(inner)
