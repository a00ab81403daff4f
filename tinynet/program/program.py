"""Program: the instructions of a traced function and of its gradients, and how they are run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinynet._core.buffers import Workspace
from tinynet.program.differentiate import reverse
from tinynet.program.operations import Operation
from tinynet.program.symbols import SymbolicTensor
from tinynet.program.tensor import TABLE, to_array
from tinynet.program.trace import RECORDER, Instruction, Recorder, keep_values, within


class Backward:
    """Backward function of an instruction, as the operation of another instruction.

    The inputs of that instruction are the upstream gradient, the results and the original inputs.
    `needs` marks the inputs that need a gradient.
    """

    has_work, stateful, backward = True, False, None

    def __init__(self, forward: Instruction, needs: list[bool]) -> None:
        self.forward, self.needs = forward, needs
        self.name = f"{forward.operation.name}_backward"
        #: Variables that receive the gradients; None for a gradient that stays in a register.
        self.outs: list[Any] = [None] * len(needs)


class Program:
    """List of instructions that can be differentiated and run."""

    def __init__(self, inputs: list[SymbolicTensor]) -> None:
        self.inputs = inputs
        self.forward: list[Instruction] = []
        self.backward: list[Instruction] = []
        #: Pairs of a gradient and the Variable that receives it at the end of the run.
        self.stores: list[tuple[Any, Any]] = []
        self.recorder = Recorder()

    def extend(self, function: Callable[..., Any], *args: Any) -> Any:
        """Trace a function of the program's symbolic tensors and append its instructions."""
        result = within({RECORDER: self.recorder}, function, *args)
        keep_values(self.recorder.instructions, TABLE["copy"])
        self.forward = self.recorder.instructions
        return result

    def differentiate(self, seeds: dict[int, Any], gradients: dict[int, Any]) -> set[int]:
        """Append the instructions that compute gradients; return the ids of connected variables.

        `seeds` holds upstream gradients by the id of the result, and `gradients` the Variable that
        receives the gradient of each variable, by the id of the latter.
        """
        found_in: dict[int, tuple[Backward, int]] = {}
        sources = {id(i): i for n in self.forward for i in n.inputs if id(i) in gradients}

        def backward(forward: Instruction, d_y: Any, needs: list[bool]) -> list[Any]:
            operation = Backward(forward, needs)
            results: list[Any] = []
            for k, (i, needed) in enumerate(zip(forward.inputs, needs, strict=True)):
                examples = i.examples if isinstance(i, SymbolicTensor) else [to_array(i)]
                known = needed and np.asarray(examples[0]).dtype.kind == "f"
                result = SymbolicTensor([*map(np.asarray, examples)]) if known else None
                if result is not None:
                    found_in[id(result)] = operation, k
                results.append(result)
            inputs = [d_y, *forward.outputs, *forward.inputs]
            self.backward.append(Instruction(operation, inputs, {}, results, forward.scope))
            return results

        def add(a: Any, b: Any) -> Any:
            result = SymbolicTensor(b.examples)  # `a` may be the scalar seed of a result
            self.backward.append(Instruction(TABLE["add"], [a, b], {}, [result]))
            return result

        found = reverse(self.forward, seeds, sources.values(), backward, add)
        connected = set()
        for source, gradient in zip(sources.values(), found, strict=True):
            if gradient is None:
                continue
            connected.add(id(source))
            out = gradients[id(source)]
            operation, k = found_in.get(id(gradient), (None, 0))
            if operation is not None:
                operation.outs[k] = out
            else:
                self.stores.append((gradient, out))
        return connected

    def prune(self, results: Sequence[Any]) -> None:
        """Remove instructions that neither a result nor a gradient depends on."""
        needed = {id(r) for r in (*results, *(gradient for gradient, _ in self.stores))}
        for part in (self.backward, self.forward):
            kept = []
            for instruction in reversed(part):
                operation = instruction.operation
                is_read = any(id(o) in needed for o in instruction.outputs)
                if (
                    is_read
                    or operation.stateful
                    or any(out is not None for out in getattr(operation, "outs", ()))
                ):
                    kept.append(instruction)
                    needed.update(map(id, instruction.inputs))
            part[:] = kept[::-1]

    def compile(self) -> Runner:
        """Assign registers and build the calls of the instructions."""
        return Runner(self)

    def run(self, inputs: Sequence[Any], results: Sequence[Any]) -> list[Any]:
        """Run all instructions once; return the values of some results."""
        runner, work = self.compile(), Workspace()
        values = runner.start(inputs)
        runner.forward(values, work)
        runner.backward(values, work)
        return [values[runner.register_of(r)] for r in results]


#: Function; options, or None if it is called with arrays only; registers that it reads; register or
#: registers that it writes; key of its part of the `Workspace`.
Row = tuple[Callable[..., Any], Any, list[int], Any, int]


class Runner:
    """A program compiled to Python calls, its rows, which are called in order.

    Values are stored in numbered registers. A register holds an array. Variables are read from
    their current arrays when a run starts.
    """

    def __init__(self, program: Program) -> None:
        self._instructions = {"forward": program.forward, "backward": program.backward}
        self._stores: list[tuple[Any, Any]] = []
        self.number: dict[int, int] = {}
        #: Value of each register; the reference keeps ids unique.
        self.registers: list[Any] = []
        self._initial: list[Any] = []
        self._variables: list[tuple[int, Any, tuple[int, ...]]] = []
        self._n_inputs = len(program.inputs)
        for value in program.inputs:
            self.register_of(value)
        places = {id(n): k for k, n in enumerate(program.forward)}
        self._forward = [self._row(n, k) for k, n in enumerate(program.forward)]
        self._backward = [
            self._row(n, places.get(id(getattr(n.operation, "forward", n)), -1))
            for n in program.backward
        ]
        self._stores += [(self.register_of(gradient), out) for gradient, out in program.stores]

    def register_of(self, value: Any) -> int:
        """Return the index of a value's register."""
        number = self.number.get(id(value))
        if number is None:
            number = self.number[id(value)] = len(self.registers)
            self.registers.append(value)
            variable = hasattr(value, "assign")
            if variable:
                self._variables.append((number, value, value.shape))
            known = not isinstance(value, SymbolicTensor) and not variable
            self._initial.append(to_array(value) if known else None)
        return number

    def _row(self, instruction: Instruction, place: int) -> Row:
        """Return the call of an instruction."""
        operation, options = instruction.operation, instruction.options
        sources = [self.register_of(i) for i in instruction.inputs]
        targets = [None if o is None else self.register_of(o) for o in instruction.outputs]
        if isinstance(operation, Backward):
            return self._backward_row(operation, sources, targets, place)
        target: Any = targets[0] if len(targets) == 1 else targets
        pure = operation.pure(instruction.inputs, [])
        if pure is not None:
            return pure.forward, None, sources, target, place
        if type(operation) is Operation:  # stateless: call the function directly
            forward = functools.partial(operation.forward, **options) if options else None
            return forward or operation.forward, None, sources, target, place
        return operation.compute, options, sources, target, place

    def _backward_row(
        self, operation: Backward, sources: list[int], targets: list[int | None], place: int
    ) -> Row:
        forward, outs = operation.forward, operation.outs
        pure = forward.operation.pure(forward.inputs, operation.needs)
        if pure is None:
            return backward_call(operation, forward), {}, sources, targets, place
        read = [sources[k] for k in pure.reads] + [self.register_of(outs[k]) for k in pure.writes]
        pairs = [*zip(targets, outs, strict=True)]
        self._stores += [
            p for k, p in enumerate(pairs) if p[1] is not None and k not in pure.writes
        ]
        return pure.backward, None, read, targets if pure.writes else targets[0], place

    def start(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the initial values of the registers."""
        values = self._initial.copy()
        # NumPy functions take dense arrays; only the compiled runner supports CSR batches.
        values[: self._n_inputs] = [
            x.expanded(x.dtype).reshape(len(x), *to.shape[1:]) if hasattr(x, "expanded") else x
            for x, to in zip(inputs, self.registers, strict=False)
        ]
        for number, variable, shape in self._variables:
            array = variable.array
            if array.shape != shape:
                raise variable._misfit(shape)
            values[number] = array
        return values

    def forward(self, values: list[Any], work: Workspace) -> None:
        """Run the forward instructions."""
        _run(self._forward, values, work)

    def backward(self, values: list[Any], work: Workspace) -> None:
        """Run the backward instructions and write gradients to Variables."""
        _run(self._backward, values, work)
        self.store(values)

    def store(self, values: list[Any]) -> None:
        """Write gradients to the Variables from which the optimizer reads them."""
        for number, out in self._stores:
            out.array[...] = values[number]

    def one_by_one(self, part: str, values: list[Any], work: Workspace) -> Iterator[Instruction]:
        """Run the "forward" or "backward" instructions; yield each after its run."""
        rows = self._forward if part == "forward" else self._backward
        for instruction, row in zip(self._instructions[part], rows, strict=True):
            _run([row], values, work)
            yield instruction
        if part == "backward":
            self.store(values)


def _run(rows: list[Row], values: list[Any], work: Workspace) -> None:
    for function, options, sources, targets, place in rows:
        arrays = [values[s] for s in sources]
        if options is None:
            result = function(*arrays)
        else:
            result = function(arrays, options, work.of(place))
        if type(targets) is int:
            values[targets] = np.asarray(result) if isinstance(result, np.generic) else result
        else:
            for target, value in zip(targets, result, strict=True):
                if target is not None:
                    values[target] = np.asarray(value) if isinstance(value, np.generic) else value


def backward_call(operation: Backward, forward: Instruction) -> Callable[..., Any]:
    """Return the function of arrays, options and a `Workspace` that computes the gradients."""
    gradients, options, needs = forward.operation.gradients, forward.options, operation.needs
    outs = operation.outs

    def call(arrays: list[Any], _: Any, work: Any) -> Any:
        d_y, y, *rest = arrays
        inputs = rest[len(forward.outputs) - 1 :]
        given = [None if out is None else out.array for out in outs]
        found = gradients(d_y, y, inputs, options, needs, work, given)
        for k, (gradient, out) in enumerate(zip(found, given, strict=True)):
            # None: the operation is not differentiable with respect to this input.
            if gradient is None and needs[k]:
                found[k] = gradient = np.zeros_like(inputs[k])
            if out is not None and gradient is not out:
                out[...] = gradient
        return found

    return call
