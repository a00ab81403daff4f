"""Lowering of a model's programs to a table of kernel calls for the runner.

The programs compute a training step, an evaluation or a prediction.
"""

from __future__ import annotations

import collections
import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinynet import functional
from tinynet._core.buffers import address_of, aligned
from tinynet.kernels import csr
from tinynet.losses import SparseCategoricalCrossentropy
from tinynet.losses.loss import Loss, LossStep
from tinynet.metrics.reduction_metrics import Mean
from tinynet.program import (
    fusion_rules,
    moving_elements,  # noqa: F401  # registers the lowering of more operations
)
from tinynet.program.formula import SCALAR, Node, Traced, Untraceable, as_traced, space_of
from tinynet.program.lowering import (
    CLASSES,
    UPDATE,
    WRONG_INDEX,
    Gradients,
    Lowered,
    Lowering,
    NeedsPython,
    Patch,
    ProgramLowering,
    PythonCall,
    Register,
    Scratch,
    traced_shape,
)
from tinynet.program.machine import Machine
from tinynet.program.variable import Array
from tinynet.regularizers import L1L2
from tinynet.training import thread_pool
from tinynet.training.blas_threads import Computing


class Input(Register):
    """Register of an input of the program.

    In a training step, it is filled with the rows of the batch; otherwise, it refers to the memory
    of the caller's array.
    """

    def __init__(
        self, space: Any, number: int, itemsize: int, is_sparse: bool, trains: bool
    ) -> None:
        super().__init__(space, itemsize=itemsize)
        self.number, self.is_sparse, self.trains = number, is_sparse, trains
        if not trains:
            self.given = f"input {number}"
        #: Number of examples that are sorted by column at a time, and the buffer for sorting.
        self.chunk = lambda n: min(n, csr.CHUNK)
        self.pairs = Scratch(lambda n: csr.sorted_size(n, space.size))


def _input(low: Lowering, symbol: Any, number: int, sparse: bool, trains: bool) -> Traced:
    shape, dtype = traced_shape(symbol), np.dtype(symbol.dtype)
    if dtype not in (np.float32, np.int64):
        raise Untraceable(f"an input of {dtype}")
    register = Input(space_of(shape), number, dtype.itemsize, sparse, trains)
    value = low.leaf(register, shape, dtype)
    if trains and not sparse:
        width = math.prod(shape[1:]) * dtype.itemsize // 4
        order, data = Patch(f"order {number}"), Patch(f"input {number}")
        low.call("take_rows", {}, {}, rows=order, x=data, out=register, width=width)
        low._place[value.node] = len(low.groups) - 1
    return value


class Compiled:
    """Lowered program with a pool of machines, so that several threads may run it concurrently.

    A step writes `losses` losses, and `scalars` scalars in total, to one row of the table.
    `results` are the nodes of predictions and logits that Python reads after a step.
    """

    def __init__(
        self, traced: Any, low: ProgramLowering, results: dict[Any, Node], losses: int,
        scalars: int, plan: Any,
    ) -> None:  # fmt: skip
        self.traced, self.low, self.results = traced, low, results
        self.losses, self.scalars, self.plan = losses, scalars, plan
        #: Metrics that are means of formulas, as tuples: metric, column of the total, column of the
        #: sum of the weights or None, and number of values per example.
        self.counted: list[tuple[Any, int, int | None, int]] = []
        #: Whether Python computes other metrics from the results of a step.
        self.has_others = False
        #: Parts of a step that must be run by Python, mapped to the reasons; then, steps are not
        #: fused.
        self.by_python: dict[str, str] = {}
        #: Whether Python updates the weights.
        self.learns_by_python = False
        self._idle: collections.deque[Machine] = collections.deque()

    def borrow(self, n: int) -> Machine:
        """Return a machine for up to n examples; the caller owns it until `give_back`."""
        try:
            machine = self._idle.pop()
        except IndexError:
            machine = Machine(self.low, self.results)
        parts = thread_pool.most()
        if machine.batch < n or machine.threads < parts or not machine.is_in_place:
            machine.build(max(n, machine.batch), parts)
        return machine

    def give_back(self, machine: Machine) -> None:
        """Return a machine to the pool."""
        machine.release()
        self._idle.append(machine)

    def run(
        self, machine: Machine, inputs: list[Any], batch_size: int, stops: bool = False,
        most: int | None = None, learns: bool = True,
    ) -> Array:  # fmt: skip
        """Run a step for each batch of the inputs; return a table with one row per started step.

        A row contains the unweighted losses, followed by the counts. If `stops` is True, a step
        whose loss is not finite ends before the update. At most `most` steps are run. If `learns`
        is False, the first step stops after its losses are computed.
        """
        n = len(inputs[0])
        steps = -(-n // batch_size)
        if most is not None:
            steps = min(steps, most)
        only_losses = self.plan is not None and not learns
        learns = learns and self.plan is not None and not self.learns_by_python
        numbers = None
        if only_losses:  # kernels read the optimizer's parameters, but do not use them
            numbers = np.zeros(len(machine.numbers), np.float32)
        elif learns:
            optimizer = self.plan.optimizer
            rates, error = optimizer.learning_rates(steps)
            steps = len(rates)
            numbers = np.ascontiguousarray(optimizer.columns(machine.numbers, rates))
        if numbers is not None:
            machine.set("numbers", address_of(numbers))
        kept: list[Any] = [numbers]
        table = np.zeros((steps, max(self.scalars, 1)))
        machine.set("table", address_of(table))
        machine.set("stops", 2 if only_losses else int(stops))
        machine.set("batch", batch_size)
        machine.set("examples", n)
        for number, array in enumerate(inputs):
            kept.append(_set_input(machine, number, array))
        with Computing() if self.by_python else contextlib.nullcontext():
            done = machine.run(steps, thread_pool.run) + 1
        stopped = bool(machine.step[3])
        del kept  # the runner no longer uses these addresses
        if learns and (changed := done - stopped):
            optimizer.count(changed)
            if error is not None and changed == steps:
                raise error
        self.check(machine)
        return table[:done]

    def once(self, inputs: list[Any], learns: bool = True) -> tuple[Machine, Array]:
        """Run one step on all examples; the caller must give the machine back after reading it."""
        n = len(inputs[0])
        machine = self.borrow(n)
        return machine, self.run(machine, inputs, n, learns=learns)

    def check(self, machine: Machine) -> None:
        """Raise the error of an embedding lookup if an index was out of range."""
        if machine.step[3] == WRONG_INDEX:
            for look_up, indices in self.low.look_ups:
                look_up.forward(look_up.table.array, machine.read(indices).astype(np.int64))

    def rows(self) -> list[tuple[str, str]]:
        """Return the operations of each row of a step, and the shape of its result."""

        def place(space: Any) -> str:
            rows = ["N"] * space.batched + [str(space.per)] * (space.per > 1 or not space.batched)
            return " x ".join([*rows, str(space.columns)])

        found = []
        for group in self.low.groups:
            operations = " ".join(node.operation for node in group.nodes)
            if group.call is None:
                found.append((f"chain({operations})", place(group.space)))
                continue
            shapes = [place(node.result) for node in group.call.writes[:1]]
            if group.nodes:
                shapes = [place(group.space)]
            text = f"{group.call.kernel}({operations if group.call.gradient else ''})"
            if group.call.python is not None:
                text = f"python({group.call.python.name})"
            found.append((text, shapes[0] if shapes else ""))
        return found

    def results_of(self, machine: Machine, n: int) -> list[tuple[Array, Array | None]]:
        """Return the predictions of each output, and its logits if a metric needs them."""

        def read(kind: str, k: int, symbol: Any) -> Any:
            return None if symbol is None else machine.value((kind, k), symbol.shape, n)

        pairs = zip(self.traced.predictions, self.traced.logits, strict=True)
        return [(read("prediction", k, p), read("logits", k, z)) for k, (p, z) in enumerate(pairs)]


class Repeated:
    """Fast path that computes outputs of small batches of one shape without validating the model.

    `x` is a batch as the program reads it; `given` is the same batch as the caller passed it.
    `structure` is the version number of the model structure for which the program was traced.
    """

    def __init__(self, compiled: Compiled, x: Array, given: Array, structure: int) -> None:
        self.structure = structure
        self._compiled, self._shape, self._given_shape = compiled, x.shape, given.shape
        self._dtype, self._is_ready = x.dtype, given.dtype == x.dtype
        # deque.pop is atomic, so threads can share a model.
        self._idle: collections.deque[Any] = collections.deque()

    def __call__(self, given: Array) -> Array:
        """Compute the outputs of a batch, in a new array."""
        try:
            own = self._idle.pop()
        except IndexError:
            own = self._prepared()
        machine, x, y = own
        for variable, array in machine.variables:
            if variable.array is not array:
                machine, x, y = own = self._prepared()
                break
        if self._is_ready:
            x[...] = given
        else:
            with np.errstate(over="ignore"):  # values out of range become infinite
                x[...] = given
        machine.run(1, thread_pool.run)
        if self._compiled.low.look_ups:
            self._compiled.check(machine)
        outputs: Array = y.copy()
        self._idle.append(own)
        return outputs

    def _prepared(self) -> tuple[Machine, Array, Array]:
        """Return a machine, and its arrays for inputs and outputs."""
        n, symbol = self._shape[0], self._compiled.traced.predictions[0]
        machine = Machine(self._compiled.low, self._compiled.results)
        machine.build(n, 1)
        x = aligned(self._shape, self._dtype)
        for name, word in (("batch", n), ("examples", n), ("input 0", address_of(x))):
            machine.set(name, word)
        y = machine.view(("prediction", 0), symbol.shape, n)
        return machine, x.reshape(self._given_shape), y


def _set_input(machine: Machine, number: int, array: Any) -> Any:
    """Pass the address of an input to a machine; return the arrays that must stay alive."""
    given, order = array, None
    if hasattr(array, "arrays"):  # rows of a dense array or of a CSR matrix
        indptr, indices, values, order = array.arrays
        if indptr is not None:
            for name, part in (("indptr", indptr), ("indices", indices), ("values", values)):
                machine.set(name, address_of(part))
        array = values
    array = np.require(array, None, ["C", "A"])
    machine.set(f"input {number}", address_of(array))
    machine.set(f"order {number}", 0 if order is None else address_of(order))
    return given, array, order


def lower(
    traced: Any, sparse: bool, plan: Any = None, regularized: Any = (), keep: bool = False
) -> Compiled:
    """Lower the program of a model; raise `Untraceable` if this is not possible.

    Instructions that cannot be lowered become Python calls. If `sparse` is True, the first input is
    a CSR batch. `plan` is the optimizer's plan in a training step. If `keep` is True, all values
    can be read afterwards, and gradients are computed without an update.
    """
    needed: set[Any] = set()
    while True:
        try:
            return _lower(traced, sparse, plan, regularized, keep, needed)
        except NeedsPython as error:
            needed.add(error.args[0])


def _lower(
    traced: Any, sparse: bool, plan: Any, regularized: Any, keep: bool, by_python: set[Any]
) -> Compiled:
    """Lower a program; the instructions in `by_python` become Python calls."""
    low, program = ProgramLowering({*by_python}), traced.program
    values, value_of = low.values, low.value_of
    read = {id(i) for n in (*program.forward, *program.backward) for i in n.inputs}
    for number, symbol in enumerate(program.inputs):
        if id(symbol) in read:
            values[id(symbol)] = _input(
                low, symbol, number, sparse and number == 0, plan is not None
            )

    low.lower_forward(program.forward)
    results: dict[Any, Node] = {}
    losses = [low.value(s) for s, _ in traced.losses]
    losses += [low.value(s) for s in traced.added]
    scale = None if traced.scale is None else low.value(traced.scale)
    losses += [low.add(_penalty(low, v, scale)) for v in regularized]
    scalars = [*losses, *(low.value(s) for _, s in traced.counts)]
    counted = _metrics(low, traced, value_of, scalars)
    gradients: dict[int, Any] = {}
    if plan is not None:
        _record(low, scalars, len(losses))
        gradients = low.lower_backward(program)
        outs = [traced.gradients[id(v)] for v in plan.variables]
        own = [gradients.get(id(out)) for out in outs]
        try:
            if UPDATE in by_python:
                _learn_by_python(low, plan, outs, own, scale)
            else:
                plan.optimizer.lower(low, plan, own, scale)
        except Untraceable as error:
            if UPDATE in by_python:
                raise
            raise NeedsPython(UPDATE) from error
    elif scalars:
        _record(low, scalars, 0)
    others = traced.has_others and len(counted) + len(traced.counts) < traced.metric_count
    if keep:
        gradients = low.lower_backward(program)
        for out in traced.gradients.values():
            if id(out) in gradients:
                low.store(out, gradients[id(out)])
        for part in (program.forward, program.backward):
            for symbol in (o for n in part for o in n.outputs if id(o) in values):
                results["symbol", id(symbol)] = low.add(as_traced(values[id(symbol)])).node
    if plan is None or others:
        for k, symbol in enumerate(traced.predictions):
            if symbol.dtype != "float32":
                raise Untraceable(f"predictions of {symbol.dtype}")
            results["prediction", k] = low.value(symbol).node
        for k, symbol in enumerate(traced.logits):
            if symbol is not None:
                results["logits", k] = low.value(symbol).node
    kept = set(results.values())
    if keep:  # values that are kept must not be removed by fusion
        kept |= {node for group in low.groups if group.call for node in group.call.writes}
    fusion_rules.drop_unused(low.groups, kept)
    fusion_rules.apply_rules(low.groups, kept)
    made = Compiled(traced, low, results, len(losses), len(scalars), plan)
    made.counted, made.has_others = counted, others
    made.by_python, made.learns_by_python = low.reasons, UPDATE in by_python
    return made


def _metrics(low: Lowering, traced: Any, value_of: Any, scalars: list[Traced]) -> list[Any]:
    """Lower the metrics that are means of formulas, and append their totals to the scalars.

    Return each metric, the columns of its total and of the sum of its weights, and the number of
    values per example.
    """
    found: list[Any] = []
    if not traced.has_others:
        return found
    done = [metric for metric, _ in traced.counts]
    own = zip(traced.objective.outputs, traced.targets, traced.weighing, strict=True)
    for k, (output, y, weight) in enumerate(own):
        pairs: list[tuple[Any, Any]] = [(m, None) for m in output.listed(False)]
        pairs += [(m, weight) for m in output.listed(True)]
        for metric, own_weight in pairs:
            if y is None or metric in done or metric._custom or Mean not in type(metric).__mro__:
                continue
            logits = traced.logits[k]
            from_logits = logits is not None and getattr(metric, "logits_of", None)
            given = value_of(logits if from_logits else traced.predictions[k])
            try:
                read: Any = metric.traced_values
                if from_logits:
                    read = metric._loss.on_logits().call
                values = read(value_of(y), given)
                if values is None:
                    continue
                sums = [values]
                if own_weight is not None:
                    weights = _fitted(value_of(own_weight), values.shape)
                    if hasattr(metric, "_loss"):  # the loss may ignore a class
                        weights = metric._loss.effective_weights(value_of(y), weights)
                    sums = [values * weights, weights]
                totals = [low.add(as_traced(np.sum(part))) for part in sums]
            except (Untraceable, ValueError):
                continue  # Python computes this metric
            place, per = len(scalars), math.prod(values.shape[1:])
            scalars.extend(totals)
            found.append((metric, place, place + 1 if len(totals) > 1 else None, per))
    return found


def _fitted(weights: Any, shape: tuple[int, ...]) -> Any:
    """Broadcast sample weights to the shape of the loss values, as `fit_weights` does."""
    if weights.ndim == len(shape) + 1 and weights.shape[-1] == 1:
        weights = weights.reshape(weights.shape[:-1])
    fitting = weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim))
    return np.broadcast_to(fitting, shape)


def _record(low: Lowering, scalars: list[Traced], checked: int) -> None:
    nodes = [s.node for s in scalars]
    low.call(
        "record", {}, {}, sources=nodes, numbers=len(nodes), table=Patch("table"),
        checked=checked, stops=Patch("stops"),
    )  # fmt: skip
    call = low.groups[-1].call
    assert call is not None
    call.reads.extend(nodes)


def _learn_by_python(
    low: ProgramLowering, plan: Any, outs: list[Any], own: list[Any], scale: Any
) -> None:
    """Store the gradients in arrays, and lower an optimizer update by Python that reads them."""
    if scale is not None:
        raise Untraceable("regularization penalties with a scale factor")
    for out, gradient in zip(outs, own, strict=True):
        low.store(out, np.broadcast_to(as_traced(0.0), out.shape) if gradient is None else gradient)

    def learn(*_: Any) -> list[Any]:
        add_penalties(plan.variables, plan.gradients)
        plan.optimizer._learn(plan)
        return []

    low.call_python(PythonCall(plan.optimizer.name, learn, UPDATE, [], []))
    low.reasons[plan.optimizer.name] = "custom"


def add_penalties(variables: Sequence[Any], gradients: Sequence[Array], scale: float = 1.0) -> None:
    """Add the gradients of the regularization penalties to the gradients, in place."""
    for variable, gradient in zip(variables, gradients, strict=True):
        if variable.regularizer is not None:
            penalty = variable.regularizer.gradient(variable.array)
            gradient += penalty if scale == 1 else penalty * scale


def _penalty(low: ProgramLowering, variable: Any, scale: Traced | None) -> Traced:
    w, regularizer = low.leaf(variable, variable.shape), variable.regularizer
    if not isinstance(regularizer, L1L2) or type(regularizer).__call__ is not L1L2.__call__:
        if scale is not None:
            raise Untraceable("regularization penalties with a scale factor")
        return _penalty_by_python(low, variable)
    total: Any = None
    for factor, values in ((regularizer.l1, np.abs(w)), (regularizer.l2, np.square(w))):
        if factor:
            part = np.sum(values) * np.float32(factor)
            total = part if total is None else part + total
    if total is None:
        return as_traced(0.0)
    return as_traced(total if scale is None else total * scale)


def _penalty_by_python(low: ProgramLowering, variable: Any) -> Traced:
    """Lower a penalty that Python computes."""
    total = Traced.of(Node("leaf", [], SCALAR, source=Register(SCALAR)), ())
    name = type(variable.regularizer).__name__
    made = PythonCall(
        name, lambda *_: np.float32(variable.regularizer(variable.array)), id(variable), [], []
    )
    made.outputs = [(None, total)]
    low.call_python(made)
    low.reasons[name] = "custom"
    return total


# ---------------------------------------------------------------- losses


def _reduction(loss: Any, low: Lowering, y_true: Any, weights: Any, values: Any) -> Any:
    """Return the weights of the loss values, if any, and the divisor of their sum."""
    own = loss.effective_weights(y_true, weights)
    if loss.reduction in ("none", None):
        raise Untraceable(f"reduction={loss.reduction}")
    if loss.reduction == "sum":
        return own, None
    if loss.reduction == "mean_with_sample_weight" and own is not None:
        total = np.sum(own)
        return own, np.where(total == 0, 1.0, total)
    return own, np.size(values)


def _loss_step(low: Lowering, operation: Any, arrays: Any, options: Any) -> Any:
    y_pred, y_true, weights = arrays
    loss = operation.loss
    steps = (Loss.step, SparseCategoricalCrossentropy.step)
    if loss._custom or type(loss).step not in steps:
        raise Untraceable(f"the loss {loss.name}")
    values = loss.call(y_true, loss.squeezed(y_true, y_pred))
    own, count = _reduction(loss, low, y_true, weights, values)
    weighted = values if own is None else values * own
    total = np.sum(weighted)
    if count is not None:
        total = total / count
    probabilities = y_pred
    if loss.gives_probabilities:
        probabilities = functional.softmax(y_pred)
    return total, probabilities


def _loss_step_backward(low: Lowering, operation: Any, given: Gradients) -> list[Any]:
    d_y, (y_pred, y_true, weights), loss = given.d_y, given.arrays, operation.loss
    predictions = loss.squeezed(y_true, y_pred)
    shape = loss.values_shape(y_true, y_pred.shape)
    values = Traced.of(Node("constant", [], SCALAR, source=np.float32(1)), shape)
    own, count = _reduction(loss, low, y_true, weights, values)
    d_values = values if own is None else own
    if count is not None:
        d_values = d_values / count
    d_values = np.broadcast_to(d_values, shape)
    d = loss.backward(d_values, y_true, predictions)
    if not (d_y.node.operation == "constant" and d_y.node.source == 1):
        d = d * d_y
    return [d.reshape(y_pred.shape), None, None]


CLASSES[LossStep] = Lowered(_loss_step, _loss_step_backward)
