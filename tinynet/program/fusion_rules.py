"""Fusion rules for kernel calls and chains of a lowered program; results stay bit-identical."""

from __future__ import annotations

from typing import Any

from tinynet import config
from tinynet.program.formula import SCALAR, Node, Untraceable, placement
from tinynet.program.lowering import Call, Group, Register

_GRADIENTS = {"kernel_gradient": "learn", "kernel_gradient_csr": "learn_csr"}
#: Maximum number of elements of a gradient that stays in the cache without the rule `learn`. The
#: machine fuses the updates of several such gradients instead.
_SMALL = 1 << 13
#: Operations that `learn_csr_adam` can apply before the Adam update: weight decay and the gradient
#: of an L2 penalty, as patterns of an operation and its operands.
_DECAYED = ("subtract", "w", ("multiply", ("multiply", "w", "decay"), "rate"))
_PENALIZED = ("add", "d_w", ("multiply", "penalty", "w"))


def learn(groups: list[Group], kept: set[Node]) -> None:
    """Fuse a kernel's gradient and its update: each block is updated while its gradient is cached.

    The complete gradient is never written to memory. `groups` is changed in place; `kept` are the
    values that must be in memory at the end.
    """
    for group in [*groups]:
        call = group.call
        if call is None or call.kernel not in _GRADIENTS:
            continue
        (gradient,) = call.writes
        is_small = call.kernel == "kernel_gradient" and gradient.result.size <= _SMALL
        if is_small and config.is_enabled("join"):
            continue
        users = [g for g in groups if gradient in _read(g)]
        if gradient in kept or len(users) != 1 or not _is_update(users[0], gradient):
            continue
        (update,) = users
        update.call = _learning(call, update, gradient)
        groups.remove(group)


def _read(group: Group) -> set[Node]:
    nodes = {i for node in group.nodes for i in node.inputs}
    return nodes if group.call is None else nodes | set(group.call.reads)


def _is_update(group: Group, gradient: Node) -> bool:
    """Return whether a group is an elementwise update in the gradient's space."""
    space = group.space
    if group.call is not None or group.tag is None or space is None or space.batched:
        return False
    if space.size != gradient.result.size:
        return False
    own = set(group.nodes)
    try:
        places = {placement(i, space) for n in group.nodes for i in n.inputs}
    except Untraceable:
        return False
    plain = all(n.space == n.result and not n.is_row for n in own)
    return plain and places <= {"full", "scalar"}


def _learning(call: Call, update: Group, gradient: Node) -> Call:
    """Return the kernel call that computes the gradient in blocks and applies the update."""
    words = {name: word for name, word in call.words.items() if name != "out"}
    kernel = _GRADIENTS[call.kernel]
    reads = [*call.reads]
    in_registers = kernel == "learn_csr" and config.is_enabled("learn_csr_adam")
    found = _adam_words(update, gradient) if in_registers else None
    if found is not None:
        kernel += "_adam"
        words |= found
        reads += [value for value in found.values() if isinstance(value, Node)]
    made = Call(kernel, words, reads, [])
    made.work, made.gradient = call.work, gradient
    return made


def _adam_words(update: Group, gradient: Node) -> dict[str, Any] | None:
    """Return the words of `learn_csr_adam`, or None if the update is not such an Adam update."""
    node = update.nodes[-1]
    if node.operation != "adam":
        return None
    w, d_w, *_ = node.inputs
    is_decayed, is_penalized = w.operation == "subtract", d_w.operation == "add"
    values = dict(zip(("alpha", "rate_1", "rate_2", "epsilon"), node.inputs[4:], strict=True))
    if not (
        len(update.nodes) == 1 + 3 * is_decayed + 2 * is_penalized
        and _matches(w, _DECAYED if is_decayed else "w", values)
        and _matches(d_w, _PENALIZED if is_penalized else "d_w", values)
        and values.pop("d_w") is gradient
        and values.pop("w").source is node.source[0]
        and all(number.result == SCALAR for number in values.values())
    ):
        return None
    state = dict(zip(("w", "m", "v"), node.source, strict=True))
    return {"decay": 0, "rate": 0, "penalty": 0, **values, **state}


def _matches(node: Node, pattern: Any, values: dict[str, Node]) -> bool:
    """Return whether a node matches a pattern; store the nodes that it names in `values`."""
    if isinstance(pattern, str):
        return values.setdefault(pattern, node) is node
    operation, *operands = pattern
    pairs = zip(node.inputs, operands, strict=False)
    return node.operation == operation and all(_matches(*pair, values) for pair in pairs)


def gate(groups: list[Group], kept: set[Node]) -> None:
    """Fuse the backward function of ReLU into the product that computes its upstream gradient.

    The arguments are those of `learn`.
    """
    for group in [*groups]:
        call = group.call
        if call is None or call.kernel != "linear_dx":
            continue
        (d_y,) = call.writes
        users = [n for g in groups for n in g.nodes if d_y in n.inputs]
        calls = [g.call for g in groups if g.call is not None]
        if d_y in kept or len(users) != 1 or any(d_y in c.reads or c.python for c in calls):
            continue
        (d_z,) = users
        values: dict[str, Node] = {}
        if not _matches(d_z, ("multiply", "d_y", ("greater", "y", "zero")), values):
            continue
        y, zero = values["y"], values["zero"]
        is_there = isinstance(y.source, Register) and y.source.given is None
        is_zero = zero.operation == "constant" and zero.source == 0
        if d_z in kept or not is_zero or not is_there or y.result != d_y.result:
            continue
        call.words["y"] = y
        call.reads.append(y)
        for g in groups:
            g.nodes = [node for node in g.nodes if node is not d_z]
            for node in g.nodes:
                node.inputs = [d_y if i is d_z else i for i in node.inputs]
        for c in calls:
            c.reads = [d_y if i is d_z else i for i in c.reads]
            c.words = {k: d_y if word is d_z else word for k, word in c.words.items()}
    drop_unused(groups, kept)


def drop_unused(groups: list[Group], kept: set[Node]) -> None:
    """Remove nodes whose results are not read."""
    needed = set(kept)
    for group in reversed(groups):
        nodes = []
        for node in reversed(group.nodes):
            if node.operation == "store" or node.is_update or node in needed:
                nodes.append(node)
                needed.update(node.inputs)
        group.nodes = nodes[::-1]
        if group.call is not None:
            needed.update(group.call.reads)
    groups[:] = [g for g in groups if g.nodes or g.call is not None]


#: Rules by name, in order of application.
RULES = {"gate": gate, "learn": learn}


def apply_rules(groups: list[Group], kept: set[Node]) -> None:
    """Apply all enabled rules; the arguments are those of `learn`."""
    for name, rule in RULES.items():
        if config.is_enabled(name):
            rule(groups, kept)
