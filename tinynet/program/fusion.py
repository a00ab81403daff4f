"""Rules for the calls and chains of a lowered program. None of them changes a bit."""

from __future__ import annotations

from tinynet.program.formula import Node, Untraceable, placement
from tinynet.program.lowering import Call, Group

_GRADIENTS = {"kernel_gradient": "learn", "kernel_gradient_csr": "learn_csr"}


def learn(groups: list[Group], kept: set[Node]) -> None:
    """Update a kernel block by block, while the block's gradient is in the cache.

    The gradient of all of it is never written to memory.

    Parameters
    ----------
    groups : list of Group
        The program; changed in place.
    kept : set of Node
        Values that must be in memory in the end.
    """
    for group in [*groups]:
        call = group.call
        if call is None or call.kernel not in _GRADIENTS:
            continue
        (gradient,) = call.writes
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
    """Return whether each element of a group depends on those at the same place only."""
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
    """Return the call that computes the gradient of blocks and updates them."""
    words = {name: word for name, word in call.words.items() if name != "out"}
    kernel = _GRADIENTS[call.kernel]
    reads = [*call.reads]
    node = update.nodes[0]
    variable = node.source[0] if node.operation == "adam" else None
    is_plain = (
        len(update.nodes) == 1
        and variable is not None
        and node.inputs[0].operation == "leaf"
        and node.inputs[1] is gradient
    )
    if is_plain and kernel == "learn_csr":
        kernel += "_adam"
        words |= dict(zip(("w", "m", "v"), node.source, strict=True))
        words |= dict(zip(("alpha", "rate_1", "rate_2", "epsilon"), node.inputs[4:], strict=True))
        reads += node.inputs[4:]
    made = Call(kernel, words, reads, [])
    made.work, made.gradient = call.work, gradient
    return made


def drop_unused(groups: list[Group], kept: set[Node]) -> None:
    """Remove nodes that nobody reads."""
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


#: The rules by name, in the order in which they are applied.
RULES = {"learn": learn}
