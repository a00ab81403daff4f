"""Looking at what passes between the layers of a model, without changing it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinynet import activations
from tinynet.layers import Dense, InputLayer, Layer
from tinynet.variable import Array
from tinynet.workspace import Workspace


class Watch:
    """A place between a layer and its neighbours that notes what passes.

    Parameters
    ----------
    name : str
        The layer's name; within a nested model ``"model/layer"``.
    layer : Layer
        The layer; until `stop`, its `forward` and `backward` are this object's.

    Attributes
    ----------
    x, y : ndarray
        The input and the output.
    d_y, d_x : ndarray or None
        The gradients of the loss in them; None where there was no need.
    logits : bool
        Whether the output is that before the activation, which is then done with the loss.

    Examples
    --------
    >>> from tinynet.layers import Flatten
    >>> layer = Flatten()
    >>> watch = Watch("flatten", layer)
    >>> _ = layer(np.ones((1, 2, 3)))
    >>> watch.x.shape, watch.y.shape
    ((1, 2, 3), (1, 6))
    """

    def __init__(self, name: str, layer: Layer) -> None:
        self.name, self.layer = name, layer
        self.x: Any = None
        self.y: Any = None
        self.d_y: Array | None = None
        self.d_x: Array | None = None
        self.logits = False
        #: Added to the output, to see what becomes of it.
        self.shift: Any = 0
        forward, backward = layer.forward, layer.backward

        def watched_forward(x: Array, work: Workspace, training: bool = False) -> Array:
            self.x, self.logits = np.array(x, order="C"), work.logits
            y: Array = forward(x, work, training) + self.shift
            self.y = np.array(y)
            return y

        def watched_backward(d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
            self.d_y = np.array(d_y)
            d_x = backward(d_y, work, need_d_x)
            self.d_x = None if d_x is None else np.array(d_x)
            return d_x

        vars(layer).update(forward=watched_forward, backward=watched_backward)

    def stop(self) -> None:
        """Give the layer its own methods back."""
        for method in ("forward", "backward"):
            del vars(self.layer)[method]

    @property
    def kind(self) -> str:
        """The layer's class, with its activation where it has one."""
        activation = getattr(self.layer, "activation", activations.linear)
        plain = activation is activations.linear or type(self.layer) is not Dense
        return type(self.layer).__name__ + ("" if plain else f", {activation.__name__}")

    @property
    def head(self) -> str:
        """What is passed on, named as it stands in the table."""
        return "logits" if self.logits else "output"


def computing_layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """List the layers that compute, those of nested models too.

    Parameters
    ----------
    model : Model
        The model.
    prefix : str
        What stands before their names.

    Yields
    ------
    tuple of (str, Layer)
        Their names, ``"model/layer"`` in nested models, and they themselves.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> model = Sequential([Sequential([Dense(2, name="a")], name="inner"), Dense(2, name="b")])
    >>> [name for name, _ in computing_layers(model)]
    ['inner/a', 'b']
    """
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from computing_layers(layer, f"{prefix}{layer.name}/")
        elif not isinstance(layer, InputLayer):
            yield prefix + layer.name, layer


def copied(model: Any, x: Any) -> Any:
    """Copy a compiled model, built for its inputs.

    Parameters
    ----------
    model : Model
        The model; built, where it was not.
    x : array_like, shape (N, ...)
        Inputs.

    Returns
    -------
    Model
        The copy, with weights and the optimizer's state of its own.

    Raises
    ------
    ValueError
        If it is not compiled, or the inputs do not fit.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> model = Sequential([Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> copied(model, [[1.0, 2.0, 3.0]]).input_shape
    (None, 3)
    """
    if not model.compiled:
        raise ValueError(
            "A step needs a loss: call compile(optimizer, loss) first. "
            "Received: a model not compiled"
        )
    if not model.built:
        model.build((None, *np.shape(x)[1:]))
    return copy.deepcopy(model)
