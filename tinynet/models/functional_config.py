"""Conversion between the graphs of functional models and Keras' configurations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinynet import activations, layers, ops
from tinynet._core import snake_case
from tinynet._core.checks import require, shorten, type_name
from tinynet._core.registry import map_entries
from tinynet.layers.input_layer import InputLayer
from tinynet.program import TABLE, SymbolicTensor
from tinynet.program.graph import Graph, rename
from tinynet.program.layer_operations import Activated
from tinynet.program.nested import flattened, mapped
from tinynet.program.symbols import Node, check_growth

_SLICE = ("start", "stop", "step")

#: Modules and classes of Keras operations that differ from the default names.
_MODULES = {
    **dict.fromkeys(("erf", "erfinv", "in_top_k", "logsumexp", "rsqrt"), "keras.src.ops.math"),
    **dict.fromkeys(("cast", "scatter_update", "stop_gradient"), "keras.src.ops.core"),
    "one_hot": "keras.src.ops.nn",
    **dict.fromkeys(("relu", "relu6", "leaky_relu", "mish"), "keras.src.activations.activations"),
}
_FUNCTIONS = {"ReLU": "relu", "Copy": "identity_of", "SearchSorted": "searchsorted"}
_CLASSES = {name: class_name for class_name, name in _FUNCTIONS.items()}
_CLASSES |= {"relu6": "ReLU", "leaky_relu": "ReLU", "exponential": "Exp"}
#: Operations that Keras does not have.
OWN = ("assign", "copy", "flatten", "gather_nd", "linear")


def places_of(graph: Graph) -> tuple[dict[int, list[Any]], dict[int, list[Node]]]:
    """Return the Keras references of tensors and the calls of operations, both by id.

    A reference is ``[layer name, node index, tensor index]``.
    """
    places: dict[int, list[Any]] = {id(s): [s.name, 0, 0] for s in graph.entries}
    calls: dict[int, list[Node]] = {id(o): [] for o in graph.operations}
    for node in graph.nodes:
        own = calls[id(node.owner)]
        for k, symbol in enumerate(flattened(node.outputs)):
            places[id(symbol)] = [node.name, len(own), k]
        own.append(node)
    return places, calls


def layers_in_a_row(model: Any) -> list[Any]:
    """Return the layers of a model that is a linear stack, with nested models expanded."""
    graph = model._known_graph()
    at, found = graph.entries[0], []
    for node in graph.nodes:
        if [id(graph.meant(i)) for i in node.inputs] != [id(at)]:
            break
        at, nested = node.outputs, hasattr(node.operation, "layers")
        found += layers_in_a_row(node.operation) if nested else [node.operation]
    in_a_row = graph.meant(graph.outputs) is at and len(graph.entries) == 1
    expected = "model must be a linear stack of layers with one input and one output"
    require(in_a_row, expected, f"{model.name}, whose layers branch")
    return found


class Connected(NamedTuple):
    """Layer, operation or input of a model, with the indices of the entries it is applied to."""

    entry: Any  # layer, Node of an operation, or SymbolicTensor of an input
    shape: Any  # output shape, or None if unknown
    sources: list[int]


def connections(model: Any) -> list[Connected]:
    """Return the inputs, layers and operations of a model.

    The layers of a model that is not built are assumed to form a sequence.
    """
    if not model.built:
        row = [Connected(layer, None, [k]) for k, layer in enumerate(model.layers)]
        return [Connected(None, None, []), *row]
    graph = model._known_graph()
    found = {id(s): Connected(s, s.shape, []) for s in graph.entries}
    made = {id(s): k for k, s in enumerate(graph.entries)}
    for node in graph.nodes:
        shape = mapped(lambda s: s.shape, node.outputs)
        _, _, sources = found.setdefault(id(node.owner), Connected(node.owner, shape, []))
        sources += [made[id(graph.meant(i))] for i in node.inputs]
        position = [*found].index(id(node.owner))
        made.update((id(s), position) for s in flattened(node.outputs))
    return [*found.values()]


def graph_config(graph: Graph) -> dict[str, Any]:
    """Return the entries of a configuration that describe a graph."""
    places, calls = places_of(graph)

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        if isinstance(value, SymbolicTensor):
            value = graph.meant(value)
            config = {"shape": [*value.shape], "dtype": value.dtype}
            return _entry("__keras_tensor__", **config, keras_history=places[id(value)])
        if isinstance(value, slice):
            return _entry("__slice__", **{name: getattr(value, name) for name in _SLICE})
        if value is ...:
            return _entry("__ellipsis__")
        if isinstance(value, np.ndarray) and value.ndim:
            return _entry("__numpy__", value=value.tolist(), dtype=value.dtype.name)
        return value.item() if isinstance(value, np.ndarray | np.generic) else value

    def end(symbol: Any) -> list[Any]:
        name, number, k = places[id(symbol)]
        # Keras counts the calls of nested functional models from 1 here.
        return [name, number + getattr(symbol.layer, "_functional", False), k]

    listed = []
    for operation in graph.operations:
        if isinstance(operation, Node):
            entry, given = _operation_config(operation)
            entry, arguments = plain(entry), [given]
        else:
            entry = layers.serialize(operation)
            arguments = [(node.args, node.kwargs) for node in calls[id(operation)]]
        nodes = [{"args": plain(args), "kwargs": plain(kwargs)} for args, kwargs in arguments]
        listed.append({**entry, "name": operation.name, "inbound_nodes": nodes})
    return {
        "layers": listed,
        "input_layers": map_entries(end, graph.inputs),
        "output_layers": map_entries(end, graph.outputs),
    }


def _entry(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": config}


def operation_class(name: str) -> str:
    """Return the name of an operation's class in Keras."""
    return _CLASSES.get(name, "".join(part.capitalize() for part in name.split("_")))


def operation_module(operation: Any) -> str:
    """Return the name of the Keras module of an operation's class."""
    group = "nn" if isinstance(operation, Activated) else "numpy"
    return _MODULES.get(operation.name, f"keras.src.ops.{group}")


def _operation_config(node: Node) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """Return the Keras configuration of an operation, and the arguments of its call."""
    operation, args, options = node.operation, node.args, dict(node.kwargs)
    name = operation.name
    if isinstance(operation, Activated):
        options = operation.activation.options
        known = type(operation.activation) is type(activations._registry.names.get(name))
    else:
        known = TABLE.get(name) is operation and name not in OWN
    saved = "A model to be saved must consist of layers and of keras.ops operations on its tensors"
    expected = f"{saved}, not on variables; wrap {name} in a layer"
    known = known and not any(hasattr(a, "assign") for a in args)
    require(known, expected, f"the operation {name}")
    class_name = operation_class(name)
    in_call = {key: options.pop(key) for key in ("constant_values",) if key in options}
    if name == "get_item":  # a list in its config means a tuple
        key = options.pop("key")
        args = (*args, np.asarray(key) if isinstance(key, list) else key)
    return {
        "module": operation_module(operation),
        "class_name": class_name,
        "config": {"name": node.name, **options},
        "registered_name": class_name,
    }, (args, in_call)


def tensors_of(config: dict[str, Any]) -> tuple[Any, Any]:
    """Build the graph of a configuration; return the arguments of ``Model(inputs, outputs)``."""
    made: dict[str, Any] = {}
    nodes: dict[tuple[str, int], Any] = {}
    results: dict[tuple[str, int], list[Any]] = {}
    for entry in config["layers"]:
        name = entry["name"] if "name" in entry else entry["config"]["name"]
        require(name not in made, "Layer names must be unique", shorten(name))
        is_operation = str(entry.get("module")).startswith(("keras.src.ops.", "keras.src.activ"))
        if "module" not in entry and "trainable" not in entry["config"]:  # `.h5` files of Keras
            is_operation = function_of(entry["class_name"]) is not None
        made[name] = (_operation if is_operation else layers.deserialize)(entry)
        if isinstance(made[name], InputLayer):
            results[name, 0] = [made[name].output]
            continue
        for number, node in enumerate(entry["inbound_nodes"]):
            nodes[name, number] = [node["args"], node["kwargs"]]

    def history(name: str, number: int, k: int) -> tuple[tuple[str, int], int]:
        key = name, 0 if isinstance(made.get(name), InputLayer) else number
        expected = "Layer inputs must be outputs of calls in the same model"
        require(key in results or key in nodes, expected, shorten([name, number, k]))
        return key, k

    def resolve(value: Any, found: list[Any] | None = None) -> Any:
        """Replace references with tensors; if `found` is given, only append their keys to it."""
        if isinstance(value, list):
            return [resolve(v, found) for v in value]
        if not isinstance(value, dict):
            return value
        inner: Any = value.get("config")
        match value.get("class_name"):
            case "__keras_tensor__":
                key, k = history(*inner["keras_history"])
                return results[key][k] if found is None else found.append(key)
            case "__slice__":
                return slice(*(inner[name] for name in _SLICE))
            case "__ellipsis__":
                return ...
            case "__numpy__" | "__tensor__":
                return np.asarray(inner["value"], type_name(inner["dtype"]))
        return {key: resolve(v, found) for key, v in value.items()}

    begun: set[tuple[str, int]] = set()
    todo = [*nodes][::-1]
    while todo:  # topological order, without recursion
        key = todo[-1]
        needed: list[Any] = []
        resolve(nodes[key], needed)
        left = [k for k in needed if k not in results]
        if left and key not in results:
            expected = "The layers of a model must not form a cycle"
            received = f"{shorten(key[0])}, which is applied to its own output"
            require(not begun.intersection(left), expected, received)
            begun.add(key)
            todo += left
            continue
        begun.discard(todo.pop())
        if key not in results:
            args, kwargs = resolve(nodes[key])
            kwargs = {k: v for k, v in kwargs.items() if any(x is not None for x in flattened(v))}
            results[key] = flattened(made[key[0]](*args, **kwargs))

    def end(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: end(v) for key, v in value.items()}
        if len(value) == 3 and isinstance(value[0], str):
            name, number, k = value
            key, k = history(name, number - getattr(made.get(name), "_functional", False), k)
            return results[key][k]
        return [end(v) for v in value]

    return end(config["input_layers"]), end(config["output_layers"])


def function_of(class_name: str) -> Any:
    """Return the operation or function of a Keras operation class, or None."""
    name = _FUNCTIONS.get(class_name) or snake_case(class_name)
    if name in OWN:
        return None
    own = getattr(ops, name) if name in ops.__all__ else activations._registry.names.get(name)
    return TABLE.get(name) or own


def _operation(entry: dict[str, Any]) -> Any:
    """Return a function that calls the operation of an entry."""
    class_name, name = entry["class_name"], entry["name"]
    function = function_of(class_name)
    options = {k: v for k, v in entry["config"].items() if k != "name" and v is not None}
    require(function is not None, "class_name must be a supported operation", shorten(class_name))

    def call(*args: Any, **kwargs: Any) -> Any:
        if function is TABLE["get_item"]:  # a key for several axes is a tuple
            args = tuple(tuple(a) if isinstance(a, list) else a for a in args)
        tensors = [a for a in flattened([args, kwargs]) if isinstance(a, SymbolicTensor)]
        expected = "An operation of a model must be applied to tensors of the model"
        require(tensors, expected, f"{shorten(name)} without tensor arguments")
        check_growth(function, tensors, options)
        result = function(*args, **options, **kwargs)
        rename(flattened(result), name)
        return result

    return call
