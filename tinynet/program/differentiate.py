"""Reverse-mode differentiation of a list of instructions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any


def reverse(
    instructions: Sequence[Any],
    seeds: dict[int, Any],
    sources: Iterable[Any],
    backward: Callable[[Any, Any, list[bool]], Sequence[Any]],
    add: Callable[[Any, Any], Any],
) -> list[Any]:
    """Compute the gradient of the seeded results with respect to each source; None if unconnected.

    `seeds` holds upstream gradients by ``id``. ``backward(instruction, d_y, needs)`` is the
    vector-Jacobian product of one instruction: a gradient (or None) for each input. Gradients of
    a value that is used several times are summed with `add`; unneeded ones are not computed.
    """
    sources = [*sources]
    depends = {id(source) for source in sources}
    for instruction in instructions:
        if any(id(i) in depends for i in instruction.inputs):
            depends.update(map(id, instruction.outputs))
    found = dict(seeds)
    for instruction in reversed(instructions):
        needs = [id(i) in depends for i in instruction.inputs]
        output = instruction.outputs[0]
        if id(output) not in found or not any(needs) or instruction.operation.backward is None:
            continue
        gradients = backward(instruction, found[id(output)], needs)
        for i, d, needed in zip(instruction.inputs, gradients, needs, strict=True):
            if needed and d is not None:
                found[id(i)] = add(found[id(i)], d) if id(i) in found else d
    return [found.get(id(source)) for source in sources]
