"""Program of a model for one combination of input shapes and dtypes.

In training and evaluation, it includes the losses; in training, also the gradients.
"""

from __future__ import annotations

import collections
import functools
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinynet import config
from tinynet._core.buffers import Workspace
from tinynet.layers.layer import SERIALS, LayerCall
from tinynet.losses.loss import Loss, LossStep
from tinynet.optimizers.optimizer import _COMMON
from tinynet.program.formula import Untraceable
from tinynet.program.instruction_rules import apply_rules
from tinynet.program.nested import flattened, mapped
from tinynet.program.operations import Operation
from tinynet.program.program import Program
from tinynet.program.symbols import SymbolicTensor, examples_of
from tinynet.program.tensor import TABLE
from tinynet.program.trace import CALL, Call, record, within
from tinynet.program.variable import Array, Variable
from tinynet.sparse import SparseBatch
from tinynet.training.compiled_program import lower

#: Shape and dtype of an array; the batch size is None if it is variable.
Spec = tuple[tuple[int | None, ...], Any]


def spec_of(array: Any, fixed: bool = False) -> Spec:
    """Return the shape and dtype of an array, with None as batch size unless it is fixed."""
    shape = array.shape
    return (shape if fixed else (None, *shape[1:])), array.dtype


def _scalars(added: list[Any]) -> list[SymbolicTensor]:
    """Return a distinct scalar tensor for each added loss, including constants and Variables."""
    found: dict[int, SymbolicTensor] = {}
    for loss in added:
        value = getattr(loss, "source", loss)
        if not isinstance(value, SymbolicTensor) or loss.shape or id(loss) in found:
            loss = record(TABLE["sum"], [value], {})
        found[id(loss)] = loss
    return [*found.values()]


def _inverse_count(y: Any, weights: Any) -> Any:
    """Return 1 over the number of rows, or over the sum of the weights; 0 if that sum is 0."""
    if weights is None:
        # `len` is faster than `np.size`, but for a traced array (a subclass of ndarray), it would
        # return the size at trace time instead of the size in each step.
        return np.divide(1.0, len(y) if type(y) is np.ndarray else np.size(y, 0))
    count = np.sum(weights)
    return np.where(count == 0, 0.0, 1 / np.where(count == 0, 1.0, count))


_INVERSE_COUNT = Operation("inverse_count", _inverse_count, None, 2)


#: Types of the attributes that are stored as constants in the compiled program.
_NUMBERS = (bool, int, float, str, tuple, type, type(None), np.number)
_LISTS = (list, np.ndarray)


def _numbers_of(plan: Any, regularized: Any, objective: Any) -> tuple[Any, ...]:
    """Return the values of all user-modifiable attributes that the program stores as constants."""
    owners = [v.regularizer for v in regularized]
    numbers: list[Any] = []
    if plan is not None:
        owners += [v.constraint for v in plan.constrained]
        own = plan.optimizer
        names = (*_COMMON, *own._arguments)
        numbers += [getattr(own, name) for name in names if name != "learning_rate"]
        numbers += [own._decays(v) for v in plan.variables] if own.weight_decay else []
    for owner in owners:
        numbers += [type(owner), *getattr(owner, "__dict__", {}).values()]
    for output in [] if objective is None else objective.outputs:
        for owner in filter(None, (output.loss, *(output.metrics or ()))):
            numbers += [getattr(owner, name, None) for name in owner._arguments]
    # Lists and arrays may be modified in place, so their contents are compared.
    lists = [repr(n) if isinstance(n, list) else n.tobytes() for n in numbers if type(n) in _LISTS]
    # Not tuple(generator): Python would retain the memory of many such tuples.
    return (*[n for n in numbers if isinstance(n, _NUMBERS)], *lists)


class ModelProgram:
    """Computation of a model for batches of the same shapes and dtypes.

    If `objective` is None, only outputs are computed. `gradients` maps the ``id`` of each variable
    to the Variable for its gradient; if it is None, the program has no backward pass. If `fuse` is
    True, the rewrite rules are applied.
    """

    def __init__(
        self,
        model: Any,
        x: list[Spec],
        training: bool,
        objective: Any = None,
        y: Any = (),
        weights: Any = (),
        gradients: dict[int, Variable] | None = None,
        fuse: bool = True,
    ) -> None:
        def symbol(spec: Spec) -> SymbolicTensor:
            return SymbolicTensor(examples_of(*spec))

        self.inputs = [*map(symbol, x)]
        #: Whether the program is valid for one batch size only.
        self.is_fixed = any(shape and shape[0] is not None for shape, _ in x)
        self.targets = targets = [None if spec is None else symbol(spec) for spec in y]
        self.weighing = weighing = [None if spec is None else symbol(spec) for spec in weights]
        #: Total number of metrics.
        self.metric_count = 0
        given = [s for s in (*self.inputs, *targets, *weighing) if s is not None]
        self.program = Program(given)
        self.objective, self.gradients = objective, gradients
        #: Whether the runner may execute the program; it does not support float64.
        self.may_compile = config.backend() == "numba" and all(s.dtype != "float64" for s in given)
        #: Outputs with the structure that the model returns, and a (loss, weight) pair for each
        #: output with a loss.
        self.outputs: Any = None
        self.losses: list[tuple[Any, float]] = []
        self.predictions: list[Any] = []
        self.logits: list[Any] = []
        #: (metric, count) pairs: metrics that only need a count, which the program computes.
        self.counts: list[tuple[Any, Any]] = []
        self.has_others = False
        self.means = [] if objective is None else [objective.tracker, *objective.trackers]
        #: Scalars passed to `add_loss`.
        self.added: list[Any] = []
        #: Factor of the regularization penalties, or None.
        self.scale: Any = None
        call = Call(training)
        within({CALL: call}, self.program.extend, self._trace, model, targets, weighing, call)
        #: Whether the loss in training may differ from the loss in evaluation.
        self.differs_in_training = training and self._may_differ_in_training()
        results = [*self.predictions, *(s for s in self.logits if s is not None)]
        results += [s for s, _ in self.losses] + self.added + [s for _, s in self.counts]
        results += [] if self.scale is None else [self.scale]
        #: Warnings about a softmax over an axis of size 1.
        self.constant_softmaxes = [*self._constant_softmaxes()]
        if fuse and self.may_compile:
            apply_rules(self.program.forward, results)
        self.connected: set[int] = set()
        if gradients is not None:
            # A layer with `forward` but no `backward` raises an error before training starts.
            for instruction in self.program.forward:
                if isinstance(instruction.operation, LayerCall):
                    instruction.operation.layer._require_backward()
            seeds: dict[int, Any] = {id(s): np.float64(w) for s, w in self.losses}
            for output, (s, _) in zip(objective.outputs, self.losses, strict=False):
                if output.gradient_weight is not None:
                    seeds[id(s)] = np.float64(output.gradient_weight)
            seeds.update((id(s), np.ones_like(s.examples[0])) for s in self.added)
            self.connected = self.program.differentiate(seeds, gradients)
        self.program.prune(results)
        self.runner = self.program.compile()
        for symbol in (*results, *flattened(self.outputs)):  # an output may be an input
            self.runner.register_of(symbol)
        # deque.pop is atomic, so threads can share a model.
        self._idle: collections.deque[Workspace] = collections.deque()

    def _trace(self, model: Any, targets: list[Any], weights: list[Any], call: Call) -> None:
        first = next(SERIALS)
        self.outputs = model(model._structured(self.inputs))
        self._require_known_layers(model, first)
        self.predictions = flattened(self.outputs)
        self.logits = [None] * len(self.predictions)
        if self.objective is None:
            return
        self.added = _scalars(call.losses)
        if self.objective.divides_penalties:
            self.scale = _INVERSE_COUNT(targets[0], weights[0])
        own = zip(self.objective.outputs, targets, weights, strict=True)
        for k, (output, y, weight) in enumerate(own):
            predictions = self.predictions[k]
            activation, logits = predictions.computed_by
            if any(activation in metric.logits_of for metric in output.metrics or []):
                self.logits[k] = logits
            if y is None:
                continue
            if output.loss is not None:
                self._add_loss(k, output, y, weight, logits)
            counts = output.matches(y, self.predictions[k], weight)
            self.counts += counts
            self.metric_count += len(output.metrics or ())
            self.has_others = self.has_others or len(counts) < len(output.metrics or ())

    def _add_loss(self, k: int, output: Any, y: Any, weight: Any, logits: Any) -> None:
        """Trace the loss of an output; it also computes the probabilities, if possible."""
        predictions = self.predictions[k]
        if predictions.shape[1:] != tuple(output.output_shape[1:]):
            raise ValueError(
                f"The outputs of the model must have shape {output.output_shape}, for which the "
                f"targets were validated. Received: outputs.shape={predictions.shape}"
            )
        if type(output.loss).__call__ is not Loss.__call__:  # custom
            self.losses.append((output.loss(y, predictions, weight), output.weight))
            return
        loss, given = output.loss_for(predictions)
        if not loss._has_own_gradient:
            value = loss.reduced(y, given, weight)
        else:
            value, probabilities = LossStep(loss)(given, y, weight)
            if given is logits and loss.gives_probabilities and self._is_softmax(predictions):
                self.predictions[k] = probabilities
        self.losses.append((value, output.weight))

    def _require_known_layers(self, model: Any, first: int) -> None:
        """Check that all weights belong to the model.

        Layers created during the call have serial numbers larger than `first`.
        """
        called = [c.layer for c in self.program.recorder.calls if c.layer._serial > first]
        for layer in called:
            if layer.weights and layer not in model._all_layers():
                raise ValueError(
                    "Layers with weights must be created in __init__ or build, and assigned to an "
                    "attribute; layers created in call are not trained. Received: "
                    f"layer {layer.name!r}, created in call of {model.name!r}"
                )

    def _may_differ_in_training(self) -> bool:
        """Return whether an operation has side effects, or custom code depends on `training`."""
        recorder = self.program.recorder
        return any(n.operation.stateful for n in recorder.instructions) or any(
            called.layer._accepts_training for called in recorder.calls
        )

    def _is_softmax(self, predictions: Any) -> bool:
        """Return whether predictions are the output of a softmax over the last axis."""
        made = [n for n in self.program.recorder.instructions if n.outputs[0] is predictions]
        return bool(made) and made[0].operation.name == "softmax" and made[0].operation.is_plain

    def _constant_softmaxes(self) -> Iterator[str]:
        for instruction in self.program.forward:
            if instruction.operation.name != "softmax":
                continue
            axis = instruction.operation.activation.options["axis"]
            shape = instruction.outputs[0].shape
            if shape[axis] == 1:
                yield (
                    f"{instruction.scope.rpartition('/')[2]} applies softmax to axis {axis} of an "
                    f"output of shape {shape}. This axis has size 1, so the result is always 1"
                )

    # ------------------------------------------------------------ running

    def compiled(
        self, sparse: bool, plan: Any = None, regularized: Any = (), keep: bool = False
    ) -> Any:
        """Return the program lowered for the runner, or None if this is not possible."""
        if not self.may_compile:
            return None
        key = sparse, keep, *_numbers_of(plan, regularized, self.objective)
        if self._compiled is None or self._compiled[0] is not plan or self._compiled[1] != key:
            try:
                made = lower(self, sparse, plan, regularized, keep)
            except Untraceable as error:
                self.why, made = str(error), None
            self._compiled = plan, key, made
        return self._compiled[2]

    #: Plan and other values that the lowered program depends on, and the lowered program.
    _compiled: Any = None
    #: Reason why Python must run the program.
    why = ""

    def borrow(self) -> Workspace:
        """Return buffers for a run; the caller owns them until `give_back`."""
        try:
            return self._idle.pop()
        except IndexError:
            return Workspace()

    def give_back(self, work: Workspace) -> None:
        """Return the buffers of a run to the pool."""
        if work.children:
            work.release()
        self._idle.append(work)

    def predict(self, inputs: list[Any]) -> Any:
        """Compute the outputs of a batch, in new arrays."""
        compiled = self.compiled(isinstance(inputs[0], SparseBatch))
        if compiled is not None and (n := len(inputs[0])):
            machine, _ = compiled.once(inputs)
            places = {id(s): k for k, s in enumerate(self.predictions)}
            y = mapped(
                lambda s: machine.value(("prediction", places[id(s)]), s.shape, n), self.outputs
            )
            compiled.give_back(machine)
            return y
        work = self.borrow()
        values = self.runner.start(inputs)
        self.runner.forward(values, work)
        y = mapped(lambda s: np.array(self.value(values, s)), self.outputs)
        self.give_back(work)
        return y

    def value(self, values: list[Any], symbol: Any) -> Any:
        """Return the value of a symbolic tensor after a run, or None if `symbol` is None."""
        return None if symbol is None else values[self.runner.number[id(symbol)]]

    def loss(self, values: list[Any], regularized: list[Variable]) -> tuple[float, list[float]]:
        """Return the total loss after the forward pass, and the unweighted loss of each output."""
        parts = [float(np.sum(self.value(values, s))) for s, _ in self.losses]
        terms = [part * weight for part, (_, weight) in zip(parts, self.losses, strict=True)]
        terms += [float(np.sum(self.value(values, s))) for s in self.added]
        terms += [float(v.regularizer(v.array)) * self.scale_of(values) for v in regularized]
        # Not `sum`, which compensates for rounding since Python 3.12.
        return functools.reduce(operator.add, terms, 0.0), parts

    def scale_of(self, values: list[Any]) -> float:
        """Return the factor of the regularization penalties, usually 1."""
        return 1.0 if self.scale is None else float(self.value(values, self.scale))

    def losses_of(self, table: Array, count: int) -> Array:
        """Return, for each row of a table of steps, the total loss and the loss of each output."""
        result = np.zeros((len(table), 1 + len(self.losses)))
        result[:, 1:] = table[:, : len(self.losses)]
        for k in range(count):
            weight = self.losses[k][1] if k < len(self.losses) else 1.0
            result[:, 0] += table[:, k] * weight
        return result

    def results(self, values: list[Any]) -> list[tuple[Array, Array | None]]:
        """Return the predictions of each output, and its logits if a metric needs them."""
        pairs = zip(self.predictions, self.logits, strict=True)
        return [(self.value(values, p), self.value(values, z)) for p, z in pairs]
