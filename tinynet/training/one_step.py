"""Single training step whose intermediate values can be inspected, for `tinynet.explain`.

A step that can be compiled is run as a whole, as `fit` does; otherwise, its instructions are run
one by one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinynet._core.buffers import Workspace
from tinynet.optimizers import SGD
from tinynet.program.variable import pack
from tinynet.sparse import SparseBatch
from tinynet.training import data_adapters
from tinynet.training.compiled_program import add_penalties
from tinynet.training.model_program import ModelProgram, spec_of


class OneStep:
    """Program of one training step of a compiled model, with its registers.

    A step modifies the model. If `fuse` is True, the rewrite rules are applied to the program.
    """

    def __init__(
        self,
        model: Any,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Any = None,
        fuse: bool = False,
    ) -> None:
        examples = model._examples(x, y, sample_weight, class_weight)
        model._ready(examples)
        self.model = model
        x, y, weights = next(examples.batches(len(examples)))
        if isinstance(x, SparseBatch):
            x = x.expanded(np.dtype(model.dtype)).reshape(-1, *model.input_shape[1:])
        self.batch: data_adapters.Batch = (x, y, weights)
        self.given = data_adapters.leaves(self.batch)
        self.plan: Any = None
        while self.plan is not model._training_plan():  # retrace if some weights have no gradient
            self.plan = model._training_plan()
            specs = [spec_of(array, True) for array in self.given]
            self.program: ModelProgram = model._trace("train", specs, self.batch, fuse=fuse)
        self.values: list[Any] = []
        self._is_run = False
        self._work = Workspace()

    @property
    def calls(self) -> list[Any]:
        """Layer calls in post-order: nested calls come first, and the last call is the model."""
        return self.program.program.recorder.calls

    def compiled(self) -> Any:
        """Return the lowered step, or None if it cannot be compiled."""
        return self.program.compiled(False, self.plan, self.plan.regularized)

    def forward(self, given: list[Any] | None = None) -> Iterator[Any]:
        """Run the forward instructions and the loss, and yield each instruction.

        `given` are the arrays of a batch, by default of the batch passed to the constructor.
        """
        given = self.given if given is None else given
        self.values = self.program.runner.start(given)
        self._is_run = self._run_compiled(given)
        return self._run("forward")

    def _run_compiled(self, given: list[Any]) -> bool:
        """Run the whole step as `fit` does, if possible, and copy its values to the registers."""
        compiled, runner = self.program.compiled(False, keep=True), self.program.runner
        if compiled is None:
            return False
        machine, _ = compiled.once(given)
        for kind, key in compiled.results:
            if kind == "symbol" and key in runner.number:
                symbol = runner.registers[runner.number[key]]
                value = machine.value((kind, key), symbol.shape, len(given[0]))
                self.values[runner.number[key]] = value.astype(symbol.dtype)
        for key, value in machine.objects.items():
            if key in runner.number:
                self.values[runner.number[key]] = value
        return True

    def backward(self) -> Iterator[Any]:
        """Run the instructions of the backward pass, and yield each instruction."""
        return self._run("backward")

    def _run(self, part: str) -> Iterator[Any]:
        if self._is_run:
            return iter([*getattr(self.program.program, part)])
        return self.program.runner.one_by_one(part, self.values, self._work)

    def value(self, symbol: Any) -> Any:
        """Return the value of a symbolic tensor; None if it is not computed."""
        number = self.program.runner.number.get(id(symbol))
        return None if number is None else self.values[number]

    def loss(self) -> float:
        """Return the loss after `forward`, including regularization penalties."""
        return float(self.program.loss(self.values, self.model._regularized)[0])

    def regularize(self) -> None:
        """Add the gradients of the regularization penalties to the gradients."""
        scale = self.program.scale_of(self.values)
        add_penalties(self.plan.variables, self.plan.gradients, scale)

    def names(self) -> dict[int, str]:
        """Map the ``id`` of each weight to its name, such as ``"dense/kernel"``."""
        found: dict[int, str] = {}
        for call in self.calls:
            for weight in call.layer.weights:
                found.setdefault(id(weight), f"{relative(call.path)}/{weight.name}")
        for weight in self.model.weights:
            found.setdefault(id(weight), weight.path)
        return found


def relative(path: str) -> str:
    """Return the path of a layer within the model; for the model itself, its name."""
    return path.partition("/")[2] or path


def copied(model: Any, method: str, *batch: Any) -> Any:
    """Copy a compiled model, and build it for the batch if needed.

    `method` is the name of the caller, for error messages.
    """
    model._require_compiled(method)
    if model._hooked("train"):
        raise ValueError(
            "model must not override train_step, compute_loss or compute_metrics, or run eagerly; "
            f"{method} does not support this. Received: model={type(model).__name__}"
        )
    if batch and not model.built:
        model._ready(model._examples(*batch))
    return copy.deepcopy(model)


def to_float64(model: Any) -> None:
    """Convert a compiled model and its losses to float64 in place; use SGD as the optimizer."""
    for layer in model._all_layers():
        layer.dtype = "float64"
    model._floatx = "float64"
    for output in model._objective.outputs:
        if output.loss is not None:
            output.loss.dtype = "float64"
    for weight in model.weights:
        if weight.array.dtype.kind == "f":
            weight.array = weight.array.astype(np.float64)
    pack(sorted(model.weights, key=lambda w: not w.trainable))
    model.optimizer, model._plan = SGD(), None
