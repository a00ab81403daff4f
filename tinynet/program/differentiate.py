"""The chain rule for a list of instructions, from the last one back to the first."""

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
    """Compute gradients with respect to sources.

    Each instruction's backward function turns the gradient with respect to its result into those
    with respect to its inputs. The gradients of a value that is used several times are summed, and
    those that no source needs are not computed.

    Parameters
    ----------
    instructions : sequence of Instruction
        Instructions in execution order.
    seeds : dict of int to array
        Upstream gradients of results, by the id of the result.
    sources : iterable of (tensor or Variable)
        Values to differentiate with respect to.
    backward : callable
        ``backward(instruction, d_y, needs)`` returns a gradient (or None) for each input.
    add : callable
        Adds two gradients.

    Returns
    -------
    list
        One gradient for each source; None if no result depends on it.

    Examples
    --------
    >>> reverse([], {id(1): 5.0}, [1], lambda i, d, n: [], lambda a, b: a + b)
    [5.0]
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
