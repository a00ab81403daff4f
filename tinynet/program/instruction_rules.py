"""Rewrite rules, applied to the instructions of a program before it is differentiated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tinynet import config
from tinynet.program.layer_operations import LINEAR_RELU, Activated
from tinynet.program.tensor import TABLE
from tinynet.program.trace import Instruction


def linear_relu(instructions: list[Instruction], kept: set[int]) -> None:
    """Fuse a linear operation and the ReLU of its result, which then works in place."""
    uses = Counter(id(i) for n in instructions for i in n.inputs)
    makers = {id(n.outputs[0]): n for n in instructions}
    for instruction in [*instructions]:
        operation = instruction.operation
        if not isinstance(operation, Activated) or operation.name != "relu":
            continue
        before = makers.get(id(instruction.inputs[0]))
        if before is None or before.operation is not TABLE["linear"] or not operation.is_plain:
            continue
        if uses[id(before.outputs[0])] > 1 or id(before.outputs[0]) in kept:
            continue
        before.operation, before.outputs = LINEAR_RELU, instruction.outputs
        instructions.remove(instruction)


#: Rules by name, in order of application.
RULES = {"linear_relu": linear_relu}


def apply_rules(instructions: list[Instruction], results: Sequence[Any]) -> None:
    """Apply all enabled rules to the instructions, in place; `results` must still be computed."""
    kept = {id(r) for r in results}
    for name, rule in RULES.items():
        if config.is_enabled(name):
            rule(instructions, kept)
