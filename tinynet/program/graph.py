"""Graph of a model: calls of layers and operations on symbolic tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinynet.program.nested import flattened, mapped
from tinynet.program.symbols import Node, SymbolicTensor


@dataclass(frozen=True)
class Ref:
    """Reference to a symbolic tensor in a plan: index of its call (negative: input) and result."""

    call: int
    result: int


class Graph:
    """Calls of layers and operations that connect symbolic inputs to outputs."""

    def __init__(self, inputs: Any, outputs: Any) -> None:
        for name, given in (("inputs", inputs), ("outputs", outputs)):
            for leaf in flattened(given):
                if not isinstance(leaf, SymbolicTensor):
                    raise TypeError(
                        f"{name} must be symbolic tensors, as returned by Input or a layer. "
                        f"Received: {type(leaf).__name__}"
                    )
        self.inputs = inputs
        self.entries: list[SymbolicTensor] = flattened(inputs)
        if len({id(s) for s in self.entries}) < len(self.entries):
            raise ValueError(
                f"inputs must be different tensors. Received: {[s.name for s in self.entries]}"
            )
        # Selected candidate for each ambiguous tensor, by id: the attribute `output` of a layer
        # that was called several times represents the result of the call that is in this graph.
        self._meant: dict[int, tuple[SymbolicTensor, SymbolicTensor]] = {}
        self._order: list[Any] = []  # layers and calls in depth-first order from the outputs
        all_nodes: list[Node] = []
        done: set[int] = set()
        self.outputs = mapped(lambda s: self._connected(s, all_nodes, done), outputs)
        #: Calls in topological order.
        self.nodes = [node for node in all_nodes if node.inputs]
        #: The same calls in Keras' order: by decreasing depth.
        self.calls: list[Node] = []
        #: Layers and operations in Keras' order: by decreasing depth.
        self.operations = self._by_depth(all_nodes)

    def _connected(
        self, output: SymbolicTensor, nodes: list[Node], done: set[int]
    ) -> SymbolicTensor:
        """Append the calls that compute an output to `nodes`; return the output."""
        found = self._calls_behind(output, done)
        if found is None:
            raise ValueError(
                "The outputs must be computed from the inputs. Received: outputs computed by "
                f"{output.name}, which are not connected to "
                f"{', '.join(s.name for s in self.entries)}"
            )
        nodes += found
        done.update(map(id, found))
        return self.meant(output)

    def meant(self, value: Any) -> Any:
        """Return the selected candidate for an ambiguous tensor; other values are unchanged."""
        return self._meant.get(id(value), (value, value))[1]

    def _calls_behind(
        self, symbol: SymbolicTensor, done: set[int], is_search: bool = False
    ) -> list[Node] | None:
        """Return the calls that compute a tensor, sorted; None if an input is missing."""
        entries = {id(s) for s in self.entries}
        found: list[Node] = []
        met: list[Any] = []
        seen, begun = set(done), set()
        todo: list[tuple[SymbolicTensor, bool]] = [(symbol, False)]
        while todo:  # iterative depth-first search
            at, ready = todo.pop()
            if at.alternatives and id(at) not in self._meant:
                connected = [a for a in at.alternatives if self._calls_behind(a, set(), True)]
                self._meant[id(at)] = at, (connected or at.alternatives)[0]
            at = self.meant(at)
            node = at.node
            if node is None:
                return None
            if id(node) in seen or (id(at) in entries and node.inputs):
                continue
            if not node.inputs and id(at) not in entries:
                return None
            if ready or not node.inputs:
                seen.add(id(node))
                found.append(node)
            if id(node) not in begun:
                begun.add(id(node))
                met.append(node.owner)
                if node.inputs:
                    todo.append((at, True))
                    todo += [(i, False) for i in reversed(node.inputs)]
        self._order += [] if is_search else met
        return found

    def _by_depth(self, nodes: list[Node]) -> list[Any]:
        """Sort layers and operations by distance from the outputs, then by order of discovery."""
        inside = {id(node) for node in nodes}
        of_node: dict[int, int] = {}
        of_operation: dict[int, int] = {}
        for node in reversed(nodes):
            key = id(node.owner)
            depth = max(of_node.get(id(node), 0), of_operation.get(key, 0))
            of_operation[key] = of_node[id(node)] = depth
            for symbol in map(self.meant, node.inputs):
                if id(symbol.node) in inside:
                    before = id(symbol.node)
                    of_node[before] = max(of_node.get(before, 0), depth + 1)
        met = {key: k for k, key in enumerate(of_node)}
        self.calls = sorted(self.nodes, key=lambda n: (-of_node[id(n)], met[id(n)]))
        unused = [s.layer for s in self.entries if s.node is not None and not s.node.inputs]
        unused = [layer for layer in unused if id(layer) not in of_operation]
        order = {id(o): k for k, o in reversed([*enumerate(self._order)])}
        order.update((id(layer), -1) for layer in unused)
        operations = {id(o): o for o in [*unused, *self._order]}
        return sorted(
            operations.values(), key=lambda o: (-of_operation.get(id(o), 0), order[id(o)])
        )

    def run(self, inputs: Any) -> Any:
        """Call all layers and operations in order, with `inputs` instead of the symbolic inputs.

        `inputs` may be flat or structured as the graph's inputs; the result is structured as its
        outputs.
        """
        values = dict(zip(map(id, self.entries), flattened(inputs), strict=True))
        for node in self.calls:
            for alias, meant in self._meant.values():
                if id(meant) in values:
                    values[id(alias)] = values[id(meant)]
            results = node.call(values)
            pairs = zip(flattened(node.outputs), flattened(results), strict=True)
            values.update((id(symbol), result) for symbol, result in pairs)
        return mapped(lambda s: values[id(s)], self.outputs)

    def plan(self) -> list[Any]:
        """Return the graph as data: entries, calls, inputs and outputs; `Ref` replaces tensors."""
        refs: dict[int, Ref] = {id(s): Ref(-1 - k, 0) for k, s in enumerate(self.entries)}

        def ref(value: Any) -> Any:
            value = self.meant(value)
            return refs.get(id(value), value) if isinstance(value, SymbolicTensor) else value

        calls = []
        for k, node in enumerate(self.nodes):
            arguments = mapped(ref, node.args), mapped(ref, node.kwargs)
            calls.append((node.operation, node.own_name, *arguments))
            refs.update((id(s), Ref(k, n)) for n, s in enumerate(flattened(node.outputs)))
        entries = [(s.layer, s.shape, s.dtype) for s in self.entries]
        return [entries, calls, mapped(ref, self.inputs), mapped(ref, self.outputs)]


def rename(symbols: list[Any], name: str | None) -> None:
    """Set the name of the call that computes these symbolic tensors, unless the name is None."""
    for symbol in symbols if name is not None else ():
        symbol.node.own_name = name


def rebuilt(
    plan: list[Any], entry: Callable[..., SymbolicTensor], replace: Callable[[Any], Any]
) -> Graph:
    """Build a graph from the result of `Graph.plan`, with layers and operations replaced.

    ``entry(layer, shape, dtype)`` returns the symbolic input for an entry of the plan, and
    ``replace(operation)`` the layer or operation to call instead.
    """
    entries, calls, inputs, outputs = plan
    symbols = {Ref(-1 - k, 0): entry(*own) for k, own in enumerate(entries)}

    def resolve(leaf: Any) -> Any:
        return symbols[leaf] if isinstance(leaf, Ref) else leaf

    replaced: dict[int, Any] = {}
    for k, (operation, name, *arguments) in enumerate(calls):
        if id(operation) not in replaced:
            replaced[id(operation)] = replace(operation)
        args, kwargs = mapped(resolve, arguments)
        results = flattened(replaced[id(operation)](*args, **kwargs))
        rename(results, name)
        symbols.update({Ref(k, n): symbol for n, symbol in enumerate(results)})
    return Graph(mapped(resolve, inputs), mapped(resolve, outputs))
