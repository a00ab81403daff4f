"""The weights of a layer by their names, for which a constructor takes three arguments each."""

from __future__ import annotations

from typing import Any

from tinynet import constraints, initializers, regularizers

_FIND = {
    "initializer": initializers.get,
    "regularizer": regularizers.get,
    "constraint": constraints.get,
}


def keep_arguments(layer: Any, name: str, *arguments: Any) -> None:
    """Set the attributes ``<name>_initializer``, ``<name>_regularizer``, ``<name>_constraint``.

    Parameters
    ----------
    layer : Layer
        The layer.
    name : str
        Name of the weight.
    *arguments : object
        What the constructor was called with, in this order.

    Examples
    --------
    >>> from tinynet.layers import Layer
    >>> layer = Layer()
    >>> keep_arguments(layer, "alpha", "zeros", "l2", None)
    >>> layer.alpha_regularizer.get_config()
    {'l2': 0.01}
    """
    for (option, find), argument in zip(_FIND.items(), arguments, strict=True):
        setattr(layer, f"{name}_{option}", find(argument))


def add_named(layer: Any, name: str, shape: Any) -> None:
    """Add a weight as its arguments say, and set the attribute of its name.

    Parameters
    ----------
    layer : Layer
        The layer.
    name : str
        Name of the weight.
    shape : tuple of int
        Shape of the weight.

    Examples
    --------
    >>> from tinynet.layers import Layer
    >>> layer = Layer()
    >>> keep_arguments(layer, "alpha", "zeros", None, None)
    >>> add_named(layer, "alpha", (3,))
    >>> layer.alpha.shape
    (3,)
    """
    options = {option: getattr(layer, f"{name}_{option}") for option in _FIND}
    setattr(layer, name, layer.add_weight(shape, name=name, **options))
