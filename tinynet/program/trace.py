"""Tracing: a function runs on symbolic tensors, and each operation becomes an instruction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinynet.program.nested import flattened
from tinynet.program.symbols import Node, SymbolicTensor, check_product, check_size
from tinynet.program.tensor import TABLE, operand

#: Operations whose results may be larger than their inputs, by factors that are given by integer
#: options.
_GROWING = ("broadcast_to", "one_hot", "repeat", "tile")

#: Recorder of the program that is being traced, if any.
RECORDER: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


class Call:
    """State of the current call of the outermost layer, which nested layers share.

    In a trial call (`is_trial`), inputs are zeros: only the shapes of the results are meaningful.
    """

    def __init__(self, training: bool, is_trial: bool = False) -> None:
        self.training, self.is_trial = training, is_trial
        #: Losses added by `add_loss`.
        self.losses: list[Any] = []


#: Current call of the outermost layer, if any.
CALL: ContextVar[Call | None] = ContextVar("call", default=None)


@dataclass(eq=False, slots=True)
class Instruction:
    """Call of an operation, in a program or on a tape.

    `inputs` are tensors (symbolic in a program), Variables, arrays and numbers. `scope` is the path
    of the enclosing layers. Tapes also keep `arrays`, the values of the inputs, and `work`, the
    operation's `Workspace`, for the backward pass.
    """

    operation: Any
    inputs: list[Any]
    options: dict[str, Any]
    outputs: list[Any]
    scope: str = ""
    arrays: Sequence[Any] = ()
    work: Any = None


class LayerCalled(NamedTuple):
    """Call of a layer in a trace: path, arguments, result, and its instructions."""

    path: str
    layer: Any
    inputs: Any
    outputs: Any
    instructions: list[Instruction]


class Recorder:
    """Records the operations of a trace as instructions, and the calls of layers."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        #: Names of the layers that are being called, outermost first.
        self.scopes: list[str] = []
        #: Completed calls of layers; nested calls come first.
        self.calls: list[LayerCalled] = []

    def note_call(self, layer: Any, inputs: Any, outputs: Any, start: int) -> None:
        """Record the call of a layer, whose first instruction has the index `start`."""
        path, own = "/".join(self.scopes), self.instructions[start:]
        self.calls.append(LayerCalled(path, layer, inputs, outputs, own))


def within(settings: dict[ContextVar[Any], Any], function: Callable[..., Any], *args: Any) -> Any:
    """Call a function with other values of context variables.

    They are set in a copy of the context, so that they are restored even if the call is
    interrupted.
    """

    def run() -> Any:
        for variable, value in settings.items():
            variable.set(value)
        return function(*args)

    return copy_context().run(run)


def is_symbolic(operation: Any, inputs: list[Any]) -> bool:
    """Return whether an operation must be recorded instead of computed."""
    if any(isinstance(i, SymbolicTensor) for i in inputs):
        return True
    return RECORDER.get() is not None and (
        operation.stateful or any(hasattr(i, "assign") for i in inputs)
    )


def explain_shapes(operation: Any, arrays: Any, error: ValueError) -> None:
    """Raise the error of an operation of the table again, with the shapes of its inputs."""
    name = operation.name
    if TABLE.get(name) is operation and "Received:" not in str(error):
        shapes = ", ".join(str(np.shape(a)) for a in arrays if a is not None)
        raise ValueError(
            f"The inputs of {name} must have compatible shapes: {str(error).rstrip(' .')}. "
            f"Received: shapes {shapes}"
        ) from error


def record(operation: Any, inputs: list[Any], options: dict[str, Any]) -> Any:
    """Record an operation in the program that is being traced, or else in the graph of a model."""
    recorder = RECORDER.get()
    if recorder is None:
        sizes = flattened([*options.values()]) if operation.name in _GROWING else []
        growth = math.prod(max(1, abs(size)) for size in sizes if isinstance(size, int))
        check_size([i.tried for i in inputs if isinstance(i, SymbolicTensor)], growth)
    count = max([len(i.examples) for i in inputs if isinstance(i, SymbolicTensor)], default=1)
    each = []
    with np.errstate(all="ignore"):
        for k in range(count):
            arrays = [_example(i, k) for i in inputs]
            if operation.convert is not None:
                converted = operation.convert(arrays)
                if recorder is not None:
                    # Conversions are recorded as instructions, so that no other conversions are
                    # needed at run time.
                    inputs = [*map(_converted, inputs, arrays, converted)]
                arrays = converted
            check_product(operation.name, arrays, options)
            try:
                each.append(operation.infer(arrays, options))
            except ValueError as error:
                explain_shapes(operation, arrays, error)
                raise
    several = isinstance(each[0], tuple)
    results = [*zip(*each, strict=True)] if several else [each]
    node: Any = None
    if recorder is None:
        node = Node(operation, ([*inputs],) if operation.inputs is None else tuple(inputs), options)
    outputs = [SymbolicTensor([*map(np.asarray, r)], operation.name, node) for r in results]
    result = tuple(outputs) if several else outputs[0]
    if recorder is not None:
        scope = "/".join(recorder.scopes)
        recorder.instructions.append(Instruction(operation, inputs, options, outputs, scope))
    else:
        node.outputs = result
    return result


def _example(value: Any, k: int) -> Any:
    """Return an array with the shape and dtype of an input of an operation."""
    if isinstance(value, SymbolicTensor):
        return value.zeros(k)
    return value.array if hasattr(value, "_known") else operand(value)


def _converted(value: Any, array: Any, converted: Any) -> Any:
    """Return the input of an instruction, converted to the dtype of the operation."""
    # A scalar has no dtype, and a dtype of None would compare equal to float64.
    if converted is array or (hasattr(array, "dtype") and array.dtype == converted.dtype):
        return value
    if isinstance(value, SymbolicTensor) or hasattr(value, "assign"):
        return TABLE["cast"](value, converted.dtype)
    return converted


def keep_values(instructions: list[Instruction], copying: Any) -> None:
    """Replace Variables with copies where the old value is needed after a later assignment.

    That is the case if the result is a view of the Variable or its gradient depends on the value.
    """
    last = {id(n.inputs[0]): k for k, n in enumerate(instructions) if n.operation.name == "assign"}
    found: list[Instruction] = []
    for k, instruction in enumerate(instructions):
        for place, value in enumerate(instruction.inputs):
            if last.get(id(value), -1) > k and _uses_value_later(instruction, value):
                copied = SymbolicTensor([value.array.copy()])
                found.append(Instruction(copying, [value], {}, [copied], instruction.scope))
                instruction.inputs[place] = copied
        found.append(instruction)
    instructions[:] = found


def _uses_value_later(instruction: Instruction, variable: Any) -> bool:
    operation, inputs = instruction.operation, instruction.inputs
    if operation.stateful:
        return False
    if any(isinstance(i, SymbolicTensor) or getattr(i, "trainable", False) for i in inputs):
        return operation.backward is not None
    arrays = [i.array if hasattr(i, "assign") else i for i in inputs]
    results = flattened(operation.infer(arrays, instruction.options))
    return any(np.may_share_memory(result, variable.array) for result in results)
