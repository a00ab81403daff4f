"""Graphs of functional models as Keras' configurations, and back."""

from __future__ import annotations

from typing import Any

from tinynet import layers
from tinynet.layers import Layer
from tinynet.layers.shaping import InputLayer
from tinynet.program.graph import Graph
from tinynet.program.nested import flattened
from tinynet.program.operations import Operation
from tinynet.program.symbols import SymbolicTensor
from tinynet.program.tensor import TABLE

_TENSOR = "__keras_tensor__"


def graph_config(graph: Graph) -> dict[str, Any]:
    """Return the entries of a configuration that say what a graph is made of.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    dict
        The layers with what they are applied to, and the inputs and outputs.

    Examples
    --------
    >>> x = layers.Input((3,), name="x")
    >>> config = graph_config(Graph(x, layers.Dense(2, name="y")(x)))
    >>> config["output_layers"]
    ['y', 0, 0]
    """
    names = _names(graph)
    places: dict[int, list[Any]] = {}
    counts: dict[int, int] = {}
    for symbol in graph.entries:
        places[id(symbol)] = [symbol.layer.name, 0, 0]
    for node in graph.nodes:
        key = id(node.owner)
        number = counts[key] = counts.get(key, -1) + 1
        for k, symbol in enumerate(flattened(node.outputs)):
            places[id(symbol)] = [names[key], number, k]

    def plain(value: Any) -> Any:
        if isinstance(value, SymbolicTensor):
            config = {
                "shape": list(value.shape),
                "dtype": value.dtype,
                "keras_history": places[id(value)],
            }
            return {"class_name": _TENSOR, "config": config}
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return value

    listed = []
    for operation in graph.operations:
        calls = [node for node in graph.nodes if node.owner is operation]
        entry = {**_described(operation), "name": names[id(operation)]}
        entry["inbound_nodes"] = [
            {
                "args": [plain(a) for a in node.args],
                "kwargs": plain(node.kwargs) if isinstance(operation, Layer) else {},
            }
            for node in calls
        ]
        listed.append(entry)

    def ends(value: Any, offset: int) -> Any:
        if isinstance(value, SymbolicTensor):
            name, number, k = places[id(value)]
            # Keras counts the calls of a nested functional model from 1 here.
            nested = getattr(value.layer, "_functional", False)
            return [name, number + offset * nested, k]
        if isinstance(value, dict):
            return {key: ends(v, offset) for key, v in value.items()}
        return [ends(v, offset) for v in value]

    return {
        "layers": listed,
        "input_layers": ends(graph.inputs, 0),
        "output_layers": ends(graph.outputs, 1),
    }


def _names(graph: Graph) -> dict[int, str]:
    """Name layers and operations; operations are numbered."""
    used = {o.name for o in graph.operations if isinstance(o, Layer)}
    found: dict[int, str] = {}
    for operation in graph.operations:
        name, number = operation.name, 0
        while not isinstance(operation, Layer) and name in used:
            number += 1
            name = f"{operation.name}_{number}"
        used.add(name)
        found[id(operation)] = name
    return found


def _described(operation: Any) -> dict[str, Any]:
    if isinstance(operation, Layer):
        return layers.serialize(operation)
    name = "".join(part.capitalize() for part in operation.name.split("_"))
    options = operation.kwargs  # of the one call
    return {
        "module": "keras.src.ops.numpy",
        "class_name": name,
        "config": {"name": operation.name, **options},
        "registered_name": name,
    }


def tensors_of(config: dict[str, Any]) -> tuple[Any, Any]:
    """Build a graph from a configuration.

    Parameters
    ----------
    config : dict
        What `graph_config` returned, or Keras.

    Returns
    -------
    inputs, outputs : SymbolicTensor, or nested list or dict of them
        For ``Model(inputs, outputs)``.

    Raises
    ------
    ValueError
        If the configuration is not one of a graph.

    Examples
    --------
    >>> x = layers.Input((3,))
    >>> inputs, outputs = tensors_of(graph_config(Graph(x, layers.Dense(2)(x))))
    >>> inputs.shape, outputs.shape
    ((None, 3), (None, 2))
    """
    made: dict[str, Any] = {}
    results: dict[str, list[list[SymbolicTensor]]] = {}
    waiting: list[tuple[str, Any]] = []
    for entry in config["layers"]:
        name = entry["name"] if "name" in entry else entry["config"]["name"]
        made[name] = _operation(entry)
        results[name] = []
        if isinstance(made[name], InputLayer):
            results[name].append([made[name].output])
        waiting += [(name, node) for node in entry["inbound_nodes"]]

    def tensor(name: str, number: int, k: int) -> SymbolicTensor:
        return results[name][0 if isinstance(made[name], InputLayer) else number][k]

    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("class_name") == _TENSOR:
                return tensor(*value["config"]["keras_history"])
            return {key: resolved(v) for key, v in value.items()}
        if isinstance(value, list | tuple):
            return [resolved(v) for v in value]
        return value

    while waiting:  # a shared layer may be listed before what its later calls are applied to
        left = []
        blocked = set()
        for name, node in waiting:
            if name in blocked:
                left.append((name, node))
                continue
            try:
                args, kwargs = _arguments(node, resolved)
            except IndexError:
                left.append((name, node))
                blocked.add(name)
                continue
            results[name].append(flattened(made[name](*args, **kwargs)))
        if len(left) == len(waiting):
            raise ValueError(
                "The layers of a model must be connected with its inputs. "
                f"Received: {sorted({name for name, _ in left})} not connected"
            )
        waiting = left

    def end(value: Any, offset: int) -> Any:
        if isinstance(value, dict):
            return {key: end(v, offset) for key, v in value.items()}
        if len(value) == 3 and isinstance(value[0], str):
            nested = getattr(made[value[0]], "_functional", False)
            return tensor(value[0], value[1] - offset * (nested and value[1] > 0), value[2])
        return [end(v, offset) for v in value]

    return end(config["input_layers"], 0), end(config["output_layers"], 1)


def _arguments(node: Any, resolved: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a call; older files list what the layer is applied to."""
    if isinstance(node, dict):
        kwargs = {k: v for k, v in node.get("kwargs", {}).items() if v is not None}
        return resolved(list(node["args"])), resolved(kwargs)
    given = [
        resolved({"class_name": _TENSOR, "config": {"keras_history": entry[:3]}}) for entry in node
    ]
    return [given[0] if len(given) == 1 else given], {}


def _operation(entry: dict[str, Any]) -> Any:
    """Return the layer or the operation that an entry describes."""
    if not str(entry.get("module", "")).startswith("keras.src.ops"):
        return layers.deserialize(entry)
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in entry["class_name"]).lstrip("_")
    if words not in TABLE:
        raise ValueError(f"A model must consist of known operations. Received: {words}")
    options = {k: v for k, v in entry["config"].items() if k not in ("name", "dtype")}
    return _Partial(TABLE[words], options)


class _Partial:
    """An operation with options, which are part of its description in a file."""

    def __init__(self, operation: Operation, options: dict[str, Any]) -> None:
        self._operation, self._options = operation, options

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self._operation(*args, **{**self._options, **kwargs})
