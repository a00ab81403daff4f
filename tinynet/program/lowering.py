"""Lowering: converts the instructions of a program to kernel calls, the rows of the runner's table.

An operation is lowered to kernel calls (matrix products, random numbers) or to a formula, whose
nodes are executed by the kernel `chain`. Nodes of one iteration space whose inputs are available
are fused into one call of `chain`: this is the fusion of elementwise operations. Any other
instruction, such as a custom layer, is a Python call between two segments of rows.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinynet import config, functional
from tinynet.program.formula import (
    BATCH,
    LONG_ROW,
    REDUCTIONS,
    SCALAR,
    Node,
    Space,
    Traced,
    Untraceable,
    as_traced,
    space_of,
)
from tinynet.program.layer_operations import (
    Activated,
    BatchNormalization,
    Linear,
    Matches,
    Normalized,
)
from tinynet.program.operations import LookUp, Operation
from tinynet.program.program import Backward, backward_call
from tinynet.program.symbols import SymbolicTensor, examples_of
from tinynet.program.tensor import TABLE, to_array


class Register:
    """Memory for the value of a node, allocated for the largest batch size."""

    #: Name of the word that holds the address of an input in the caller's memory; None otherwise.
    given: str | None = None

    def __init__(self, space: Space, is_row: bool = False, itemsize: int = 4) -> None:
        self.space, self.is_row, self.itemsize = space, is_row, itemsize

    @property
    def is_scalar(self) -> bool:
        """Whether it holds one scalar, which is stored 16 times, once per SIMD lane."""
        return self.space == SCALAR

    def numbers(self, n: int) -> int:
        """Return the number of elements for a batch of n examples."""
        if self.is_scalar:
            return 16
        size = self.space.per if self.is_row else self.space.size
        return size * n if self.space.batched else size


class Patch:
    """Word that is set before each call, such as the address of an input."""

    def __init__(self, name: str) -> None:
        self.name = name


class Scratch:
    """Scratch memory of kernels; ``size(batch)`` is the number of bytes."""

    def __init__(self, size: Callable[[int], int]) -> None:
        self.size = size


class Indices:
    """Value that kernels read as integer indices; a fraction is truncated."""

    def __init__(self, array: Traced) -> None:
        self.array = array


class Call:
    """Kernel call: the kernel's name, its words, and the nodes that it reads and writes.

    Words are integers, nodes, registers, Variables, or functions of the batch size.
    """

    def __init__(self, kernel: str, words: dict[str, Any], reads: list[Node], writes: list[Node]):
        self.kernel, self.words, self.reads, self.writes = kernel, words, reads, writes
        #: Number of multiplications per example and in total, to decide whether a second
        #: thread is used.
        self.work: tuple[int, int] = (0, 0)
        #: Gradient that the update of `learn` reads from scratch memory.
        self.gradient: Node | None = None
        #: Call of a Python function instead of a kernel.
        self.python: PythonCall | None = None


class PythonCall:
    """Call of a Python function between two segments of rows.

    ``function(arrays, options, work)`` returns the results. `inputs` are values in registers
    (Traced), results of other Python calls (SymbolicTensor), Variables or arrays, converted to the
    dtypes `types`. `key` selects the `Workspace`; a backward function receives that of its
    operation.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], key: Any, inputs: list[Any], types: list[Any]
    ) -> None:
        self.name, self.function, self.key = name, function, key
        self.inputs, self.types = inputs, types
        self.options: dict[str, Any] = {}
        #: Symbols of the results, each with its register, or None if rows cannot read it.
        self.outputs: list[tuple[Any, Traced | None]] = []


#: Maximum number of values of a chain; slightly smaller than the number of slots.
MOST_VALUES = 56


class Group:
    """One row: the nodes of an iteration space, executed by `chain`, or another kernel call."""

    def __init__(self, space: Space | None, tag: Any = None, call: Call | None = None) -> None:
        self.space, self.tag, self.call = space, tag, call
        self.nodes: list[Node] = []
        self._values: set[Node] = set()

    def fits(self, node: Node) -> bool:
        """Return whether the chain has enough slots for another node and its inputs.

        Threads divide the rows of a chain or, if it sums over the rows, its columns. So long rows
        are not reduced along both axes in the same chain.
        """
        if node.operation in REDUCTIONS and node.space.columns >= LONG_ROW:
            reductions = [n for n in [*self.nodes, node] if n.operation in REDUCTIONS]
            if len({n.operation == "sum_col" for n in reductions}) > 1:
                return False
        return len(self._values | {node, *node.inputs}) + 3 <= MOST_VALUES

    def put(self, node: Node) -> None:
        """Append a node."""
        self.nodes.append(node)
        self._values |= {node, *node.inputs}


class Lowering:
    """Collects the kernel calls and nodes of a program in order and groups them into rows."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        #: Index of the group that computes each node.
        self._place: dict[Node, int] = {}
        #: Nodes by group, operation and inputs: equal nodes are computed once.
        self._known: dict[Any, Node] = {}
        #: Index of the last group that reads each Variable, and its current value, by id.
        self._readers: dict[int, int] = {}
        self.current: dict[Any, Traced] = {}
        #: Shapes of Variables, by id.
        self.shapes: dict[Any, tuple[int, ...]] = {}
        #: First group that may be extended: earlier ones precede a Python call.
        self._floor = 0
        #: Id of the Variable whose update is being lowered; groups with different tags stay apart.
        self.tag: Any = None
        #: Nodes that must be stored in registers, independent of their readers.
        self.registers: dict[Node, Any] = {}
        self._leaves: dict[Any, Traced] = {}
        #: Copies of scalars in memory that are broadcast to 16 lanes, by the original node.
        self._spread: dict[Node, Node] = {}
        self._splats: set[Node] = set()

    # ------------------------------------------------------------ values

    def leaf(self, source: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> Traced:
        """Return a value that is already in memory: a Variable, an array or a register."""
        key = id(source) if not isinstance(source, tuple) else source
        if key in self.current:
            return self.current[key].reshape(shape)
        if key not in self._leaves:
            if hasattr(source, "assign"):
                self.shapes[key] = source.array.shape
            node = Node("leaf", [], space_of(shape), source=source)
            self._leaves[key] = Traced.of(node, shape, dtype)
        return self._leaves[key]

    def number(self, *key: Any) -> Traced:
        """Return the per-step scalar with this key."""
        return self.leaf(key, ())

    # ------------------------------------------------------------ order

    def add(self, traced: Traced) -> Traced:
        """Add the nodes that compute a value to groups; return the value."""
        node = self._added(traced.node)
        return Traced.of(node, traced.shape, traced.dtype)

    def _added(self, node: Node, earliest: int = 0) -> Node:
        """Add a node and its inputs to groups, none of them before group `earliest`."""
        if node in self._place or node.operation == "constant":
            return node
        if node.operation == "leaf":
            if isinstance(node.source, tuple):  # one leaf for each per-step scalar
                node = self._known.setdefault(node.source, node)
            return node
        for i in node.inputs:
            earliest = max(earliest, self._floor, self._after(i, node))
        # Inputs that only this node reads go into the same chain, so that they need no register.
        node.inputs = [
            self._scalar(self._added(i, earliest if i.result == node.space else 0), node.space)
            for i in node.inputs
        ]
        for i in node.inputs:
            earliest = max(earliest, self._after(i, node))
        index = self._group_from(earliest, node)
        key = (index, node.operation, *map(id, node.inputs), node.is_row)
        if node.operation != "store" and key in self._known:
            return self._known[key]
        self._known[key] = node
        self._put(node, index)
        return node

    def _scalar(self, node: Node, space: Space) -> Node:
        """Return a scalar in memory in the form that chains read: broadcast to 16 lanes."""
        single = node.operation == "leaf" and node.result == SCALAR
        if node.is_row and node.space != space:  # a single row value
            single = not node.space.batched and node.space.per == 1
        if not single or isinstance(node.source, tuple) or node in self._splats:
            return node
        if node not in self._spread:
            index = len(self.groups)
            made = Node("leaf", [], SCALAR, source=Register(SCALAR))
            self._spread[node] = made
            self._splats.add(made)
            self._place[made] = index
            self._note_reader(node, index)
            is_label = int(getattr(node.source, "itemsize", 4) == 8)
            words = {"source": node, "is_label": is_label, "out": made}
            call = Call("spread", words, [node], [made])
            self.groups.append(Group(None, call=call))
        return self._spread[node]

    def _after(self, i: Node, node: Node) -> int:
        """Return the first group in which the node can read an input."""
        if i not in self._place:
            return self._floor
        place = self._place[i]
        group = self.groups[place]
        joins = self._is_of(group, node.space) and i.result == i.space
        return place if joins else place + 1

    def _group_from(self, earliest: int, node: Node) -> int:
        space, end = node.space, len(self.groups)
        for index in range(earliest if config.is_enabled("chain") else end, end):
            if self._is_of(self.groups[index], space) and self.groups[index].fits(node):
                return index
        self.groups.append(Group(space, None if space == SCALAR else self.tag))
        return len(self.groups) - 1

    def _is_of(self, group: Group, space: Space) -> bool:
        """Return whether a node of this space may be added to a group."""
        tag = None if space == SCALAR else self.tag
        return group.call is None and group.space == space and group.tag == tag

    def _put(self, node: Node, index: int) -> None:
        self.groups[index].put(node)
        self._place[node] = index
        for i in node.inputs:
            self._note_reader(i, index)

    def _note_reader(self, node: Node, index: int) -> None:
        if node.operation == "leaf":
            key = id(node.source)
            self._readers[key] = max(self._readers.get(key, 0), index)

    def whole(self, value: Any) -> Traced:
        """Return a value in the form that kernels read: a broadcast scalar becomes an array."""
        value = self.add(as_traced(value))
        if value.node.result == SCALAR and not value.node.is_row and value.size != 1:
            return self.add(copied(value))
        return value

    def call(
        self,
        kernel: str,
        reads: dict[str, Any],
        writes: dict[str, tuple[tuple[int, ...], Any]],
        work: tuple[int, int] = (0, 0),
        **words: Any,
    ) -> list[Traced]:
        """Add a kernel call; return its results.

        `reads` and `writes` are inputs and results by the names of the kernel's words. A result is
        a shape and a target: a Variable, or None for a new register. `work` is the number of
        multiplications, per example and independent of the batch.
        """
        for name, value in reads.items():
            if name != "indices" and isinstance(value, Traced):
                reads[name] = value.astype(np.float32)
        inputs = {name: self.whole(value).node for name, value in reads.items()}
        index = len(self.groups)
        results = []
        for name, (shape, target) in writes.items():
            space = space_of(shape)
            source = Register(space) if target is None else target
            node = Node("leaf", [], space, source=source)
            words[name] = node
            results.append(Traced.of(node, shape))
            self._place[node] = index
        made = Call(kernel, {**inputs, **words}, [*inputs.values()], [r.node for r in results])
        made.work = work
        for node in made.reads:
            self._note_reader(node, index)
        self.groups.append(Group(None, call=made))
        return results

    def call_python(self, made: PythonCall, targets: Sequence[Any] = ()) -> None:
        """Add a Python call after all existing groups and before all later groups.

        It writes its results and the Variables `targets`.
        """
        made.inputs = [self.add(i) if isinstance(i, Traced) else i for i in made.inputs]
        index = len(self.groups)
        written = [traced.node for _, traced in made.outputs if traced is not None]
        written += [self.leaf(target, target.shape).node for target in targets]
        self._place.update(dict.fromkeys(written, index))
        read = [i.node for i in made.inputs if isinstance(i, Traced)]
        call = Call("python", {}, read, written)
        call.python = made
        self.groups.append(Group(None, call=call))
        self._floor = index + 1
        # The function may have changed any Variable.
        self.current.clear()
        self._spread.clear()

    def store(self, variable: Any, value: Any) -> None:
        """Assign to a Variable after all reads of its old value."""
        value = self.add(as_traced(value))
        if value.node.source is variable:
            return
        key = id(variable)
        space = space_of(variable.shape)
        if value.node.is_update and value.node.source[0] is variable:
            return  # the update is in place
        if space == SCALAR:
            self.call("pick", {"source": value}, {}, out=variable)
            self.current[key] = Traced.of(value.node, variable.shape)
            return
        node = Node("store", [value.node], space, source=variable)
        earliest = max(self._after(value.node, node), self._after_readers(variable, space))
        index = self._group_from(max(earliest, self._floor), node)
        self._put(node, index)
        self.current[key] = Traced.of(value.node, variable.shape)

    def update(
        self, name: str, variable: Any, w: Any, gradient: Any, slots: list[Any], numbers: list[Any]
    ) -> Traced:
        """Add an optimizer step as one in-place operation of `chain`; return the new value.

        `w` is the value of the Variable, possibly after weight decay, `slots` are the optimizer's
        Variables, and `numbers` the scalar operands (Traced or numbers) of the operation `name`.
        """
        space = space_of(variable.shape)
        gradient = self.whole(gradient)  # an L2 penalty reads the weight before its in-place decay
        values = [w, gradient, *(self.leaf(v, v.shape) for v in slots), *numbers]
        node = Node(name, [self.add(as_traced(v)).node for v in values], space)
        node.source = variable, *slots
        changed = {0, *range(2, 2 + len(slots))}
        node.inputs = [
            i if k in changed else self._scalar(i, space) for k, i in enumerate(node.inputs)
        ]
        if space == SCALAR:  # a chain of scalars stores 16 copies
            self.groups.append(Group(space, self.tag))
            index = len(self.groups) - 1
        else:
            earliest = max(self._after(i, node) for i in node.inputs)
            for own in node.source:
                earliest = max(earliest, self._after_readers(own, space))
            index = self._group_from(max(earliest, self._floor), node)
        self._put(node, index)
        made = Traced.of(node, variable.shape)
        self.current[id(variable)] = made
        return made

    def _after_readers(self, variable: Any, space: Space) -> int:
        """Return the first group that may change a Variable."""
        last = self._readers.get(id(variable), -1)
        return last if last < 0 else last + (not self._is_of(self.groups[last], space))


def traced_shape(symbol: Any) -> tuple[int, ...]:
    """Return the shape of a symbolic tensor with `BATCH` as the unknown batch size."""
    return tuple(BATCH if size is None else size for size in symbol.shape)


# ---------------------------------------------------------------- operations


class Gradients(NamedTuple):
    """Arguments of an operation's lowered backward function."""

    #: Upstream gradient of the first result.
    d_y: Any
    #: Results (None if rows cannot read them), and inputs.
    ys: list[Any]
    arrays: list[Any]
    options: dict[str, Any]
    #: Inputs that need a gradient, and the Variables that receive these gradients.
    needs: Sequence[bool]
    outs: Sequence[Any]


def formula_backward(low: Lowering, operation: Any, given: Gradients) -> Any:
    """Lower the backward function of an operation as a formula."""
    d_y, (y, *_), arrays, options, needs, _ = given
    return operation.gradients(d_y, y, arrays, options, needs, None, None)


class Lowered(NamedTuple):
    """Functions that lower an operation."""

    #: ``forward(low, operation, arrays, options)`` returns a result or a tuple of results.
    forward: Callable[..., Any]
    #: ``backward(low, operation, gradients)`` returns a gradient (or None) for each input.
    backward: Callable[..., Any] = formula_backward


#: Lowerings by operation name or, for operations that are not in this table, by class. Operations
#: without a lowering are run by Python.
NAMED: dict[str, Lowered] = {}
CLASSES: dict[type, Lowered] = {}


def lowered(operation: Any) -> Lowered:
    """Return the functions that lower an operation."""
    is_named = operation.name in NAMED and TABLE.get(operation.name) is operation
    found = NAMED[operation.name] if is_named else CLASSES.get(type(operation))
    if found is None:
        raise Untraceable(operation.name)
    return found


def formula(low: Lowering, operation: Any, arrays: Any, options: Any) -> Any:
    """Lower an operation by tracing its forward function."""
    return operation.forward(*arrays, **options)


CLASSES[Operation] = Lowered(formula)


def _activated(low: Lowering, operation: Any, arrays: Any, options: Any) -> Any:
    if not type(operation.activation).__module__.startswith("tinynet."):
        raise Untraceable("a custom class")
    if hasattr(operation.activation, "function"):
        raise Untraceable("a custom function")
    return operation.activation.forward(arrays[0])


def _activated_backward(low: Lowering, operation: Any, given: Gradients) -> list[Any]:
    return [operation.activation.backward(given.d_y, given.arrays[0], given.ys[0])]


CLASSES[Activated] = Lowered(_activated, _activated_backward)


def _rows(x: Any) -> tuple[int, bool, int]:
    """Return the number of rows per example, whether there is a batch axis, and the columns."""
    space = space_of(x.shape)
    return space.per, space.batched, x.shape[-1]


def linear(low: Lowering, operation: Any, arrays: Any, options: Any) -> Any:
    """Lower ``x @ kernel + bias``, followed by ReLU if the operation includes it."""
    x, kernel, bias = arrays
    per, batched, d = _rows(x)
    u = kernel.shape[-1]
    reads = {"x": x, "w": kernel}
    if bias is not None:
        reads["bias"] = bias
    words: dict[str, Any] = {"d": d, "u": u, "rectifies": int(operation.rectifies)}
    if bias is None:
        words["bias"] = 0
    sparse = getattr(x.node.source, "is_sparse", False)
    shape = (*x.shape[:-1], u)
    work = (per * d * u, 0) if batched else (0, per * d * u)
    if sparse:
        return _linear_csr(low, x, reads, words, shape, work)
    writes = {"out": (shape, None)}
    return low.call("linear", reads, writes, work, batched=batched, per=per, **words)[0]


def _linear_csr(low: Lowering, x: Any, reads: Any, words: Any, shape: Any, work: Any) -> Any:
    """Lower a linear operation on a CSR batch, with a register for each half's sums."""
    rectifies, source = words.pop("rectifies"), x.node.source
    rows = {name: Patch(name) for name in ("indptr", "indices", "values")}
    rows["rows"] = Patch(f"order {source.number}")
    del reads["x"]
    writes = {"out": (shape, None), "rest": (shape, None)}
    out, rest = low.call("linear_csr", reads, writes, work, **rows, **words)
    if source.trains:
        sizes = {"d": words["d"], "size": source.chunk}
        low.call("sort_csr", {}, {}, work, pairs=source.pairs, **rows, **sizes)
    given = {"rest": rest}
    same = {"out": (shape, out.node.source)}
    options = {"batched": True, "per": 1, "u": words["u"], "rectifies": rectifies}
    (z,) = low.call("add_halves", given, same, **options)
    return z


def linear_backward(low: Lowering, operation: Any, given: Gradients) -> list[Any]:
    """Lower the gradients of `linear`."""
    d_y, ys, (x, kernel, _), _, needs, _ = given
    per, batched, d = _rows(x)
    u = kernel.shape[-1]
    if operation.rectifies:
        d_y = functional.relu_backward(d_y, ys[0], ys[0])
    d_y = low.whole(d_y)
    if d_y.node.is_row:
        d_y = low.add(copied(d_y))
    words = {"batched": batched, "per": per, "d": d, "u": u}
    work = (per * d * u, 0) if batched else (0, per * d * u)
    d_x = d_kernel = d_bias = None
    if needs[2]:
        d_bias = np.sum(d_y, axis=tuple(range(d_y.ndim - 1)))
    if needs[1]:
        sparse = getattr(x.node.source, "is_sparse", False)
        reads, own = {"d_y": d_y}, words
        if sparse:
            own = {**words, "pairs": x.node.source.pairs, "size": x.node.source.chunk}
            del own["per"]
        else:
            reads["x"] = x
        name = "kernel_gradient_csr" if sparse else "kernel_gradient"
        (d_kernel,) = low.call(name, reads, {"out": (kernel.shape, None)}, work, **own)
    if needs[0]:
        reads = {"d_y": d_y, "w": kernel}
        (d_x,) = low.call("linear_dx", reads, {"out": (x.shape, None)}, work, y=0, **words)
    return [d_x, d_kernel, d_bias]


CLASSES[Linear] = Lowered(linear, linear_backward)


def _normalized(low: Lowering, _: Any, arrays: Any, options: Any) -> Any:
    x, mean, variance, gamma, beta = arrays
    rows = x.reshape(-1, x.shape[-1])
    given = (rows, mean, variance, gamma, beta, options["epsilon"])
    return functional.batch_normalization(*given).reshape(x.shape)


def _batch_normalized(low: Lowering, operation: Any, arrays: Any, options: Any) -> Any:
    x, gamma, beta = arrays
    own = [low.add(as_traced(v)) for v in functional.batch_statistics(x.reshape(-1, x.shape[-1]))]
    return _normalized(low, operation, [x, *own, gamma, beta], options), *own


def _batch_normalized_backward(low: Lowering, _: Any, given: Gradients) -> list[Any]:
    d_y, (_, mean, variance), (x, gamma, _), options, needs, _ = given
    width = (x.shape[-1],)
    d_gamma = _empty(width) if needs[1] else None
    d_beta = _empty(width) if needs[2] else None
    d_x = functional.batch_normalization_backward(
        d_y.reshape(-1, *width), x.reshape(-1, *width), mean, variance, gamma, options["epsilon"],
        d_gamma, d_beta,
    )  # fmt: skip
    return [d_x.reshape(x.shape), d_gamma, d_beta]


CLASSES[Normalized] = Lowered(_normalized)
CLASSES[BatchNormalization] = Lowered(_batch_normalized, _batch_normalized_backward)


def _empty(shape: tuple[int, ...]) -> Traced:
    """Return an array that a function writes its result to."""
    return Traced.of(Node("constant", [], SCALAR, source=np.float32(0)), shape)


def _matches(low: Lowering, _: Any, arrays: Any, options: Any) -> Any:
    labels, scores = arrays
    return np.sum((scores.argmax(axis=-1) == labels).astype(np.float32))


CLASSES[Matches] = Lowered(_matches)


def copied(x: Any) -> Any:
    """Return a copy, which is unaffected by later assignments to the Variable."""
    if x.dtype == np.int64:
        raise Untraceable("integers")
    made = Node("copy", [x.node], space_of(x.shape))
    return Traced.of(made, x.shape, bool if x.dtype == bool else np.float32)


def _assign(low: Lowering, _: Any, arrays: Any, options: Any) -> Any:
    variable = arrays[0].node.source
    if not hasattr(variable, "assign"):
        raise Untraceable("assign")
    value = low.add(as_traced(arrays[1]))
    low.store(variable, value)
    return value


NAMED["copy"] = Lowered(lambda low, operation, arrays, options: copied(arrays[0]))
NAMED["assign"] = Lowered(_assign)


# ---------------------------------------------------------------- programs

#: Value of the stop flag if a lookup index is out of range.
WRONG_INDEX = 2
#: Entry of `ProgramLowering.by_python` for the optimizer update.
UPDATE = "update"
#: Dtypes of results that `register_of` stores; a boolean mask is stored as 0.0 and 1.0.
_KEPT = (np.float32, np.bool_)


def register_of(symbol: SymbolicTensor) -> Traced | None:
    """Return a register for the result of a Python call; None if rows cannot read it."""
    dtype, shape = np.dtype(symbol.dtype), traced_shape(symbol)
    batches = [len(batch) for batch in examples_of((None,), bool)]
    is_batch = None not in symbol.shape or [e.shape[:1] for e in symbol.examples] == [
        (n,) for n in batches
    ]
    if not is_batch or (dtype not in _KEPT and shape):
        return None
    try:
        space = space_of(shape)
    except Untraceable:
        return None
    node = Node("leaf", [], space, source=Register(space))
    return Traced.of(node, shape, dtype if dtype in _KEPT else np.float32)


class ProgramLowering(Lowering):
    """Lowers the forward and the backward part of a program.

    `by_python` holds the ids of instructions that Python must run because it also runs their
    backward functions, and possibly `UPDATE`.
    """

    def __init__(self, by_python: set[Any]) -> None:
        super().__init__()
        self.by_python = by_python
        #: Values that rows can read, by the id of the symbol.
        self.values: dict[int, Any] = {}
        #: Lookups and their indices, to report indices that are out of range.
        self.look_ups: list[tuple[Any, Traced]] = []
        #: Sums of squares of lookup gradients, by the id of the Variable.
        self.squares: dict[int, list[Traced]] = {}
        #: Number of uses of each Variable, by id.
        self.uses: collections.Counter[int] = collections.Counter()
        #: Reason for each Python call, by the name of the operation.
        self.reasons: dict[str, str] = {}

    def value_of(self, value: Any) -> Any:
        """Return an instruction's input in the form that rows read."""
        if id(value) in self.values:
            return self.values[id(value)]
        if isinstance(value, SymbolicTensor):
            raise Untraceable("a value that is not computed")
        if hasattr(value, "assign"):
            return self.leaf(value, value.shape)
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
            return value  # NumPy's integer results depend on the exact dtype
        return value if value is None or isinstance(value, int | float) else as_traced(value)

    def value(self, symbol: Any) -> Traced:
        """Return the value of a symbol that has been lowered."""
        return self.add(as_traced(self.value_of(symbol)))

    def leaf(self, source: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> Traced:
        """Return a value that is already in memory."""
        if hasattr(source, "assign") and source.array.dtype != np.float32:
            raise Untraceable(f"a Variable of {source.array.dtype}")
        return super().leaf(source, shape, dtype)

    def lower_forward(self, instructions: Sequence[Any]) -> None:
        """Lower the forward part of a program."""
        self.uses.update(id(i) for n in instructions for i in n.inputs)
        for instruction in instructions:
            operation, options = instruction.operation, instruction.options
            try:
                if id(instruction) in self.by_python:
                    raise Untraceable("its backward function")
                arrays = self._inputs_of(instruction)
                found = lowered(operation).forward(self, operation, arrays, options)
                found = found if isinstance(found, tuple) else (found,)
                found = [x if isinstance(x, Indices) else self.add(as_traced(x)) for x in found]
            except Untraceable as error:
                self.by_python.add(id(instruction))
                self.run_by_python(instruction, operation.compute, id(instruction), str(error))
                continue
            self.values.update(zip(map(id, instruction.outputs), found, strict=True))

    def lower_backward(self, program: Any) -> dict[int, Any]:
        """Lower the backward part; return the gradients by the id of the receiving Variable.

        Raise `NeedsPython` if Python must run an instruction whose forward function was lowered.
        """
        gradients: dict[int, Any] = {}
        for instruction in program.backward:
            operation: Any = instruction.operation
            outs: list[Any] = [None]
            if isinstance(operation, Backward):
                outs = operation.outs
            try:
                found = [self.add(as_traced(d)) for d in self._gradients(instruction)]
            except Untraceable as error:
                self._gradients_by_python(instruction, str(error))
                gradients |= {id(out): self.leaf(out, out.shape) for out in outs if out is not None}
                continue
            for symbol, gradient, out in zip(instruction.outputs, found, outs, strict=True):
                if symbol is not None:
                    self.values[id(symbol)] = gradient
                if out is not None:
                    gradients[id(out)] = gradient
        for symbol, out in program.stores:
            gradients[id(out)] = self.value(symbol)
        return gradients

    def _inputs_of(self, instruction: Any) -> list[Any]:
        """Return an instruction's inputs, traced unless its operation is a plain `Operation`."""
        arrays = [self.value_of(i) for i in instruction.inputs]
        operation = instruction.operation
        if not isinstance(operation, LookUp) and any(isinstance(x, Indices) for x in arrays):
            raise Untraceable("indices")
        if type(operation) is Operation:
            return arrays
        return [x if x is None or isinstance(x, Indices) else as_traced(x) for x in arrays]

    def _gradients(self, instruction: Any) -> list[Any]:
        """Lower an instruction of the backward part."""
        operation, value_of = instruction.operation, self.value_of
        if not isinstance(operation, Backward):  # a sum of two gradients
            a, b = map(value_of, instruction.inputs)
            return [a + b]
        own = operation.forward
        if own.operation.has_work and id(own) in self.by_python:
            raise Untraceable("its forward function")
        d_y: Any = as_traced(value_of(instruction.inputs[0]))
        ys = [value_of(o) if id(o) in self.values else None for o in own.outputs]
        if ys[0] is None:
            raise Untraceable("a value that is not computed")
        arrays = self._inputs_of(own)
        shape = getattr(ys[0], "array", ys[0]).shape  # axis 0 may span several batches
        if d_y.shape != shape:
            d_y = np.broadcast_to(d_y, shape)
        given = Gradients(d_y, ys, arrays, own.options, operation.needs, operation.outs)
        found = lowered(own.operation).backward(self, own.operation, given)
        # None means that the operation is not differentiable with respect to this input; the
        # gradient is zero.
        zeros = (np.broadcast_to(as_traced(0.0), np.shape(x)) for x in arrays)
        return [zero if d is None else d for d, zero in zip(found, zeros, strict=True)]

    def _gradients_by_python(self, instruction: Any, why: str) -> None:
        operation = instruction.operation
        if not isinstance(operation, Backward):
            self.run_by_python(instruction, operation.compute, id(instruction), why)
            return
        own = operation.forward
        if own.operation.has_work and id(own) not in self.by_python:
            raise NeedsPython(id(own))
        if isinstance(own.operation, LookUp) and UPDATE not in self.by_python:
            # The optimizer reads slices that the operation stores.
            raise NeedsPython(UPDATE)
        outs = [out for out in operation.outs if out is not None]
        function = backward_call(operation, own)
        self.run_by_python(instruction, function, id(own), why, outs)

    def run_by_python(
        self, instruction: Any, function: Any, key: Any, why: str, targets: Sequence[Any] = ()
    ) -> None:
        """Add a Python call that runs an instruction, and record the reason."""
        inputs: list[Any] = []
        for i in instruction.inputs:
            given = self.values.get(id(i), i)
            given = given.array if isinstance(given, Indices) else given
            if not isinstance(given, Traced | SymbolicTensor) and not hasattr(i, "assign"):
                given = None if given is None else to_array(given)
            if isinstance(given, Traced) and getattr(given.node.source, "is_sparse", False):
                raise Untraceable(why)  # Python functions do not accept CSR batches
            inputs.append(given)
        types = [getattr(i, "dtype", None) for i in instruction.inputs]
        name = instruction.operation.name
        made = PythonCall(name, function, key, inputs, types)
        made.options = instruction.options
        for symbol in instruction.outputs:
            traced = None if symbol is None else register_of(symbol)
            made.outputs.append((symbol, traced))
            if traced is not None:
                self.values[id(symbol)] = traced
        self.call_python(made, targets)
        self.reasons[name] = why


class NeedsPython(Exception):  # noqa: N818  # control flow, not a user-visible error
    """Raised to lower the program again: Python must run the instruction with this id."""
