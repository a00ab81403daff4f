"""One training step of a model, run instruction by instruction, for those who look at it."""

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
    """The program of one training step, and its registers.

    Parameters
    ----------
    model : Model
        A compiled model; a step changes it.
    x, y : array_like, shape (N, ...)
        The batch.
    sample_weight, class_weight : optional
        As for `fit`.
    fuse : bool
        Whether rewrite rules are applied to the program.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
    >>> model.compile("sgd", "mse")
    >>> step = OneStep(model, [[3.0]], [[1.0]])
    >>> [instruction.operation.name for instruction in step.forward()], step.loss()
    (['linear', 'mean_squared_error'], 4.0)
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
        while self.plan is not model._training_plan():  # again if weights get no gradient
            self.plan = model._training_plan()
            specs = [spec_of(array, True) for array in self.given]
            self.program: ModelProgram = model._trace("train", specs, self.batch, fuse=fuse)
        self.values: list[Any] = []
        self._is_run = False
        self._work = Workspace()

    @property
    def calls(self) -> list[Any]:
        """The calls of layers, each after those inside of it; the model itself is the last."""
        return self.program.program.recorder.calls

    def compiled(self) -> Any:
        """Return the step as rows for the runner; None if Python must run some of it."""
        return self.program.compiled(False, self.plan, self.plan.regularized)

    def forward(self, given: list[Any] | None = None) -> Iterator[Any]:
        """Run the instructions up to the loss.

        Parameters
        ----------
        given : list of ndarray, optional
            Another batch, of the same shapes.

        Yields
        ------
        Instruction
            Each, after its run.
        """
        given = self.given if given is None else given
        self.values = self.program.runner.start(given)
        self._is_run = self._run_compiled(given)
        return self._run("forward")

    def _run_compiled(self, given: list[Any]) -> bool:
        """Run the whole step as `fit` does, if it can; the registers then have its values."""
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
        """Run the instructions that compute gradients; yield each after its run."""
        return self._run("backward")

    def _run(self, part: str) -> Iterator[Any]:
        if self._is_run:
            return iter([*getattr(self.program.program, part)])
        return self.program.runner.one_by_one(part, self.values, self._work)

    def value(self, symbol: Any) -> Any:
        """Return what is in the register of a symbolic tensor; None if it is not computed.

        Parameters
        ----------
        symbol : SymbolicTensor
            The tensor.

        Returns
        -------
        ndarray or None
            Its value.
        """
        number = self.program.runner.number.get(id(symbol))
        return None if number is None else self.values[number]

    def loss(self) -> float:
        """Return the loss after `forward`, with the penalties of regularizers."""
        return float(self.program.loss(self.values, self.model._regularized)[0])

    def regularize(self) -> None:
        """Add the gradients of regularizers to those that `backward` computed."""
        scale = self.program.scale_of(self.values)
        add_penalties(self.plan.variables, self.plan.gradients, scale)

    def names(self) -> dict[int, str]:
        """Return the names of weights by their ids: ``"layer/weight"``, from the model's layers."""
        found: dict[int, str] = {}
        for call in self.calls:
            for weight in call.layer.weights:
                found.setdefault(id(weight), f"{relative(call.path)}/{weight.name}")
        for weight in self.model.weights:
            found.setdefault(id(weight), weight.path)
        return found


def relative(path: str) -> str:
    """Return the path of a layer within the model; of the model itself, its name.

    Parameters
    ----------
    path : str
        The path, which begins with the model's name.

    Returns
    -------
    str
        The rest.

    Examples
    --------
    >>> relative("model/inner/hidden")
    'inner/hidden'
    """
    return path.partition("/")[2] or path


def copied(model: Any, method: str, *batch: Any) -> Any:
    """Copy a compiled model.

    Parameters
    ----------
    model : Model
        The model; it is built for the batch, if there is one and it is not built.
    method : str
        The name of the caller, for errors.
    *batch : array_like
        Inputs, targets and weights.

    Returns
    -------
    Model
        The copy.

    Raises
    ------
    ValueError
        If it is not compiled, or its training steps are not those of its program.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> copied(model, "step", [[1.0, 2.0, 3.0]], [[1.0, 2.0]]).input_shape
    (None, 3)
    """
    model._require_compiled(method)
    if model._hooked("train"):
        raise ValueError(
            f"{method} does not support models that override train_step, compute_loss or "
            f"compute_metrics. Received: {type(model).__name__}"
        )
    if batch and not model.built:
        model._ready(model._examples(*batch))
    return copy.deepcopy(model)


def to_float64(model: Any) -> None:
    """Turn a model and its losses into what computes in double precision, trained by `SGD`.

    Parameters
    ----------
    model : Model
        A compiled model; it is changed.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> to_float64(model)
    >>> model.get_weights()[0].dtype
    dtype('float64')
    """
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
