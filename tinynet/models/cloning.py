"""Cloning of models with newly initialized weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinynet._core import checks
from tinynet._core.registry import map_entries
from tinynet.layers import Layer
from tinynet.models.functional import takes_graph
from tinynet.models.model import Model
from tinynet.models.sequential import Sequential
from tinynet.program.graph import rebuilt
from tinynet.program.nested import flattened

__all__ = ["clone_model"]


def clone_model(
    model: Model, input_tensors: Any = None, clone_function: Callable[[Layer], Layer] | None = None
) -> Any:
    """Build a model with the same layers and compile arguments, and newly initialized weights.

    Parameters
    ----------
    model : Sequential or Model
        Model to clone; it is not modified.
    input_tensors : SymbolicTensor, optional
        Result of `Input`, to replace the input of the model.
    clone_function : callable, optional
        Function that returns the new layer for a layer of `model`. By default, layers are recreated
        from their configurations.

    Returns
    -------
    Sequential or Model
        New model with the same layer names. If `model` is compiled, so is the clone, with a new
        optimizer of the same configuration.

    Raises
    ------
    ValueError
        If `model` is neither a Sequential nor a functional model.

    Examples
    --------
    >>> from tinynet import layers
    >>> model = Sequential([layers.Input((4,)), layers.Dense(2)])
    >>> clone = clone_model(model)
    >>> bool((clone.get_weights()[0] == model.get_weights()[0]).all())
    False
    """
    if not isinstance(model, Sequential) and not getattr(model, "_functional", False):
        raise ValueError(
            f"model must be a Sequential or a functional model. Received: {checks.shorten(model)}"
        )

    def copy(layer: Any) -> Any:
        if isinstance(layer, Model):
            return clone_model(layer, clone_function=clone_function)
        return (clone_function or _fresh)(layer)

    if isinstance(model, Sequential):
        entry: Any = model._input if input_tensors is None else input_tensors.layer
        first = [] if entry is None else [_fresh(entry)]
        clone: Any = type(model)([*first, *map(copy, model._layers)], model.trainable, model.name)
    else:
        given_inputs = iter([] if input_tensors is None else flattened(input_tensors))

        def new_entry(layer: Any, shape: Any, dtype: Any) -> Any:
            given = next(given_inputs, None)
            return _fresh(layer).output if given is None else given

        def new_operation(operation: Any) -> Any:
            return copy(operation) if isinstance(operation, Layer) else operation

        graph = rebuilt(model._known_graph().plan(), new_entry, new_operation)
        kind = type(model) if takes_graph(type(model)) else Model
        clone = kind(graph.inputs, graph.outputs, name=model.name)
        clone.trainable = model.trainable
    if model.compiled:
        given = model._compile_arguments
        stateful = {name: map_entries(_fresh, given[name]) for name in given if "loss" not in name}
        clone.compile(**{**given, **stateful})
    return clone


def _fresh(entry: Any) -> Any:
    """Recreate a layer, optimizer or metric from its configuration, without its state."""
    made = hasattr(entry, "get_config") and not isinstance(entry, type)
    return type(entry).from_config(entry.get_config()) if made else entry
