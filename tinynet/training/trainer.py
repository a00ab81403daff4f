"""Training loops: compile, fit, evaluate and predict.

A training step is `Trainer._train_step`: it runs the model's program forward and backward, and the
optimizer updates the weights. All other code selects the batches and calls the callbacks. The
formulas are in `functional`, and the programs that compute them in `program`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet import config, losses, optimizers, random, sparse
from tinynet._core import checks, progress_bar
from tinynet._core.buffers import Workspace
from tinynet._core.keyboard_interrupt import Deferred
from tinynet.callbacks import CallbackList, History, as_callbacks
from tinynet.layers import layer
from tinynet.metrics import Metric
from tinynet.optimizers import Plan
from tinynet.program import machine
from tinynet.program.nested import flattened, mapped
from tinynet.program.operations import TAPES
from tinynet.program.symbols import BatchSizeNeeded, SymbolicTensor, TraceError
from tinynet.program.tape import GradientTape
from tinynet.program.tensor import TABLE
from tinynet.program.trace import CALL, RECORDER
from tinynet.program.variable import Array, Variable, as_tensor, pack, snapshot
from tinynet.sparse import LazyRows, SparseBatch
from tinynet.training import data_adapters, thread_pool
from tinynet.training.blas_threads import Computing
from tinynet.training.compile_utils import CompiledMetrics, Logs, Objective, reported, results_of
from tinynet.training.compiled_program import Repeated, add_penalties
from tinynet.training.data_adapters import (
    Batch,
    leaves,
    pack_x_y_sample_weight,
    unpack_x_y_sample_weight,
)
from tinynet.training.model_program import ModelProgram, spec_of

# Number of examples that evaluation and prediction process at a time, unless a callback observes
# batches: larger chunks need fewer calls and less synchronization between threads.
_CHUNK = 640

# Maximum number of multiplications of a prediction whose program is cached in `_repeated`, so that
# later calls skip the validation of the model.
_SHORT = 1 << 20

# Maximum number of cached programs of a model, one for each combination of shapes and dtypes.
_MOST_PROGRAMS = 64

# Function that restores the previous values of Variables.
State = Callable[[], None]

# Methods of Keras' training loops that tinynet never calls.
_KINDS = ("train", "test", "predict")
_NOT_CALLED = {kind: (f"make_{kind}_function", f"{kind}_function") for kind in _KINDS}
# Methods of a subclass that each loop calls. The strings are created only once, because Python's
# attribute cache would retain a new string for every call.
_LOSSES = ("compute_loss", "compute_metrics", "get_metrics_result")
_HOOKS = {kind: (f"{kind}_step", *(_LOSSES if kind != "predict" else ())) for kind in _KINDS}


def _apart(method: Any) -> Any:
    """Preserve the metrics of a running `fit` or `evaluate` if a callback calls this method."""

    @functools.wraps(method)
    def run(self: Trainer, *args: Any, **kwargs: Any) -> Any:
        restores = [metric._snapshot() for metric in self.metrics] if self._calls else []
        history, stopped, outer = self.history, self.stop_training, self._in_loop
        self._in_loop = outer or method.__name__ in ("fit", "evaluate")
        self._calls += 1
        try:
            return method(self, *args, **kwargs)
        finally:
            self._calls -= 1
            self._in_loop = outer
            for restore in restores:
                restore()
            if self._calls and method.__name__ == "fit":
                self.history, self.stop_training = history, stopped

    return run


if TYPE_CHECKING:
    from tinynet.models.functional import Network as _Network
else:
    _Network = object


class Trainer(_Network):
    """Base class of `Model` with the training loops; it extends `Network`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.compiled = False
        self.stop_training = self.run_eagerly = False
        self._in_loop = False  # whether `compile` is not allowed now
        self._calls = 0  # number of nested calls of `fit` and `evaluate` that are running
        self.history: History | None = None
        self.optimizer: Any = None
        self.loss: Any = None
        self._objective: Any = None
        self._compile_arguments: dict[str, Any] = {}
        #: Float type of losses and metrics: `config.floatx()` when the model was created.
        self._floatx = config.floatx()
        self._random = np.random.Generator(np.random.PCG64(random.draw_seed()))
        # Programs by shapes and dtypes, and version number of the model structure they belong to.
        self._programs: dict[Any, ModelProgram] = {}
        self._structure = -1
        #: Programs for small batches, by shape and dtype of the user's array.
        self._repeated: dict[Any, Repeated] = {}
        self._gradients: list[Variable] = []
        self._plan: Plan | None = None
        super().__init__(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the model to data, or to symbolic tensors.

        Parameters
        ----------
        *args, **kwargs : object
            Input, and optionally `training`, as for `Layer`.

        Returns
        -------
        Tensor or SymbolicTensor, or nested list or dict of them
            Outputs of the model.

        Raises
        ------
        ValueError
            If the shape of the input does not match the model.
        """
        inside = CALL.get() is not None or RECORDER.get() is not None or TAPES.get()
        single = len(args) == 1 and kwargs.keys() <= {"training"}
        if single and not inside and not kwargs.get("training"):
            y = self._repeat(args[0])
            if y is not None:
                return as_tensor(y)
        plain = single and self._is_traceable()
        # If a layer calls add_loss, `model.losses` must be available after the call.
        plain = plain and not self._traceable[2]
        if inside or not plain or any(isinstance(x, SymbolicTensor) for x in flattened(args)):
            if not self.built:
                self._note_types(flattened(args[:1]))
            return super().__call__(*args, **kwargs)
        kind = "call" if kwargs.get("training") else "predict"
        return mapped(as_tensor, self._outputs(args[0], kind))

    def _outputs(self, x: Any, kind: str = "predict") -> Any:
        """Validate one batch, and compute its outputs."""
        inputs = self._inputs(x).x
        y = self._predict_batch(inputs, kind)
        if kind == "predict":
            self._remember(x, inputs)
        return y

    def _repeat(self, x: Any, most: float = math.inf) -> Any:
        """Return the outputs of a small batch if its shape and dtype are cached, otherwise None."""
        if type(x) is not np.ndarray:
            return None
        known = self._repeated.get((x.shape, x.dtype))
        if known is None or known.structure != layer.STRUCTURE[0] or len(x) > most:
            return None
        if (sizes := self._input_sizes) is not None:
            n = len(x)
            if n >= 32 or not data_adapters.largest(x, n) <= 10 * sizes[0]:
                return None  # the caller checks whether to warn about the scale
        return known(x)

    def _remember(self, given: Any, x: Any) -> None:
        """Cache the program for small batches of this shape and dtype, for `_repeat`."""
        n = len(given) if type(given) is np.ndarray and type(x) is np.ndarray else 0
        may = 0 < n < _SHORT and config.backend() == "numba" and self._is_traceable()
        if not may or self._traceable[2] or len(self._repeated) >= _MOST_PROGRAMS:
            return
        if n * sum(v.size for v in self.weights) > _SHORT:
            return
        batch = data_adapters.converted(x, *self._input_dtypes(1)), None, None
        program = self._program("predict", batch)
        compiled = program.compiled(False)
        plain = compiled is not None and not compiled.by_python
        if plain and isinstance(program.outputs, SymbolicTensor):
            key, structure = (given.shape, given.dtype), layer.STRUCTURE[0]
            self._repeated[key] = Repeated(compiled, batch[0], given, structure)

    def _many_steps(self, source: Any, batch_size: int) -> Any:
        """Return the fused training loop for this data, or None."""
        is_own = type(self)._train_step is Trainer._train_step
        return ManySteps.of(self, source, batch_size) if is_own else None

    # ------------------------------------------------------------ compile

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
    ) -> None:
        """Configure the model for training.

        As in Keras, if the model is compiled again without a loss, it keeps its loss and loss
        weights; if it is compiled again without metrics, it keeps its metrics.

        Parameters
        ----------
        optimizer : str or Optimizer
            Optimizer that updates the weights.
        loss : str, function or Loss
            Loss function to minimize. As in Keras, a list with one loss per output, or a dict of
            losses by output name, as in ``{"out": "mse"}``, is also accepted; the same applies to
            loss weights and metrics. A single loss is used for every output.
        loss_weights : float, or list or dict of float, optional
            Weight of the loss of each output in the total loss.
        metrics : list of (str or Metric), optional
            Metrics to report.
        weighted_metrics : list of (str or Metric), optional
            Metrics to report, weighted by the sample weights.
        run_eagerly : bool
            If True, code that cannot be traced, such as an ``if`` on the values of a tensor in a
            custom layer, is run by Python for each batch. No effect on models that can be traced.
        steps_per_execution, jit_compile : object
            Accepted for compatibility with Keras; no effect.

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid; the model is unchanged.
        RuntimeError
            If called while `fit` or `evaluate` is running.

        Examples
        --------
        >>> from tinynet import Sequential, layers
        >>> model = Sequential([layers.Dense(2, activation="softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        """
        if self._in_loop:
            raise RuntimeError(
                "compile must not be called while fit or evaluate is running; to change the "
                "learning rate in a callback, set model.optimizer.learning_rate. "
                f"Received: a nested call of {self.name}.compile"
            )
        new_optimizer = optimizers.get(optimizer)
        before = self._compile_arguments
        if loss is None and before:
            loss, loss_weights = before["loss"], before["loss_weights"]
        if metrics is None and weighted_metrics is None and before:
            metrics, weighted_metrics = before["metrics"], before["weighted_metrics"]
        with config.floatx_scope(self._floatx):
            outputs = self._known_graph().outputs if self._functional else None
            objective = Objective(
                loss, loss_weights, metrics, weighted_metrics, self._output_names(), outputs
            )
        for each in self._all_layers():
            each._require_backward()
        self.optimizer, self.loss, self._objective = new_optimizer, objective.given, objective
        self._compile_arguments = {
            "optimizer": new_optimizer,
            "loss": objective.given,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        self.run_eagerly = checks.flag("run_eagerly", bool(run_eagerly))
        self._plan, self._unused = None, {}
        self._programs.clear()
        self.compiled = True

    @property
    def metrics(self) -> list[Metric]:
        """Mean loss, metrics passed to `compile`, and metrics assigned to attributes.

        As in Keras, if a subclass overrides a step, the metrics passed to `compile` are represented
        by a single metric, whose ``update_state(y, y_pred)`` updates all of them.
        """
        found = self._objective.all_metrics() if self.compiled else []
        if self.compiled and (self._overrides("train") or self._overrides("test")):
            compiled = CompiledMetrics(self._objective, self._update_metrics)
            own = [compiled] * any(self._objective._given[2:])
            found = [self._objective.tracker, *own, *self._objective.trackers]
        return [*found, *self._own_metrics()]

    def _own_metrics(self) -> list[Metric]:
        """Return the metrics in attributes of the model and its layers; skip nested models."""
        if self._metrics_found[0] != layer.STRUCTURE[0]:
            parts = [x for x in self._all_layers() if x is self or not isinstance(x, Trainer)]
            values = flattened(
                [[v for k, v in vars(x).items() if k != "_compile_arguments"] for x in parts]
            )
            own = {id(value): value for value in values if isinstance(value, Metric)}
            self._metrics_found = layer.STRUCTURE[0], [*own.values()]
        compiled = self._objective.all_metrics() if self.compiled else []
        return [own for own in self._metrics_found[1] if all(own is not m for m in compiled)]

    #: Version number of the model structure, and the metrics found in attributes for it.
    _metrics_found: tuple[int, list[Metric]] = -1, []

    @property
    def metrics_names(self) -> list[str]:
        """Names of the metrics in `metrics`."""
        return [metric.label for metric in self.metrics]

    def reset_metrics(self) -> None:
        """Reset the state of all metrics."""
        for metric in self.metrics:
            metric.reset_state()

    def _require_compiled(self, method: str) -> None:
        checks.require(
            self.compiled,
            f"The model must be compiled; call compile(optimizer, loss) before {method}",
            "a model that is not compiled",
        )

    def _hooked(self, kind: str) -> bool:
        """Return whether the loop must call ``train_step``, ``test_step`` or ``predict_step``.

        This is the case if a subclass overrides it, or if the model runs eagerly.
        """
        cls: Any = type(self)
        for name in _NOT_CALLED[kind]:
            if hasattr(cls, name) or name in vars(self):
                raise NotImplementedError(
                    f"Overriding {name} is not supported because it would never be called; "
                    f"override {kind}_step instead. Received: {cls.__name__}.{name}"
                )
        eagerly = self.compiled and self.run_eagerly and not self._is_traceable()
        return self._overrides(kind) or eagerly

    def _overrides(self, kind: str) -> bool:
        """Return whether a subclass overrides a step, or a method that the step calls."""
        cls: Any = type(self)
        return any(
            getattr(cls, n) is not getattr(Trainer, n) or n in vars(self) for n in _HOOKS[kind]
        )

    # ------------------------------------------------------------ one step

    def _train_step(self, batch: Batch, stops: bool, plan: Plan) -> float:
        """Run forward pass, loss, backward pass and optimizer update; return the loss.

        If `stops` is True and the loss is not finite, the update is skipped.
        """
        program = self._program("train", batch)
        if program.may_compile and (compiled := self._compiled_step(batch, plan)) is not None:
            return self._compiled_steps(compiled, batch, len(leaves(batch)[0]), stops)[1]
        values, loss, parts, work = self._forward(program, batch, plan.regularized)
        if math.isfinite(loss) or not stops:
            program.runner.backward(values, work)
            if plan.regularized:
                add_penalties(plan.variables, plan.gradients, program.scale_of(values))
            self.optimizer._learn(plan)
        self._count(program, values, batch, loss, parts)
        program.give_back(work)
        return loss

    def _compiled_steps(
        self, compiled: Any, batch: Batch, size: int, stops: bool, most: int | None = None
    ) -> tuple[int, float]:
        """Run the steps of a batch, or of several batches of `size` examples; update the metrics.

        Return the number of steps, including one whose loss is not finite if `stops` is True, and
        the loss of the last step. At most `most` steps are run.
        """
        inputs = leaves(batch)
        machine = compiled.borrow(size)
        table = compiled.run(machine, inputs, size, stops, most)
        return len(table), self._count_steps(compiled, machine, table, size, batch)

    def _count_steps(
        self, compiled: Any, machine: Any, table: Array, size: int, batch: Batch
    ) -> float:
        """Update the metrics from the results of a machine, and return the last loss.

        The machine is returned to the pool.
        """
        program, n = compiled.traced, len(leaves(batch)[0])
        sizes = np.full(len(table), size)
        sizes[-1] = min(len(table) * size, n) - (len(table) - 1) * size
        count = int(sizes.sum())
        losses = program.losses_of(table, compiled.losses)
        for mean, values in zip(program.means, losses.T, strict=False):
            # Accumulate in sequence, so that the result is bit-identical to single steps.
            mean.total = float(np.add.accumulate(np.append(mean.total, values * sizes))[-1])
            mean.count += count
        for (metric, _), right in zip(program.counts, table[:, compiled.losses :].T, strict=False):
            metric.total += int(right.sum())
            metric.count += count
        for metric, place, weight, per in compiled.counted:
            metric.total += float(np.sum(table[:, place])) / per
            weights = None if weight is None else float(np.sum(table[:, weight]))
            metric.count += count if weights is None else weights / per
        if compiled.has_others:
            done = [metric for metric, *_ in (*program.counts, *compiled.counted)]
            self._count_others(compiled.results_of(machine, int(sizes[-1])), batch, done)
        compiled.give_back(machine)
        return float(losses[-1, 0])

    def _compiled_step(self, batch: Batch, plan: Plan) -> Any:
        """Return the lowered training step, or None if it cannot be lowered."""
        program = self._program("train", batch)
        return program.compiled(isinstance(batch[0], SparseBatch), plan, plan.regularized)

    @property
    def _regularized(self) -> list[Variable]:
        return [v for v in self.trainable_weights if v.regularizer is not None]

    def _count(
        self, program: ModelProgram, values: list[Any], batch: Batch, loss: float, parts: Any
    ) -> None:
        """Update the mean losses and the metrics with a batch."""
        n = len(values[0])
        for mean, value in zip(program.means, [loss, *parts], strict=False):
            mean.total += value * n
            mean.count += n
        for metric, symbol in program.counts:
            metric.total += program.value(values, symbol)
            metric.count += n
        if program.has_others:
            self._count_others(program.results(values), batch, [m for m, _ in program.counts])

    def _count_others(self, results: Any, batch: Batch, counted: list[Metric]) -> None:
        """Update the metrics that are not in `counted` with a batch."""
        _, y, weights = batch
        given = map(data_adapters.listed, (y, weights))
        own = zip(self._objective.outputs, results, *given, strict=True)
        for output, (predictions, logits), target, weight in own:
            if target is not None:
                output.count(target, predictions, weight, logits, counted)

    def _program(self, kind: str, batch: Batch) -> ModelProgram:
        """Return the program for a batch, and trace it if needed."""
        return self._known(kind, batch) or self._traced(kind, batch)

    def _known(self, kind: str, batch: Batch) -> ModelProgram | None:
        """Return the cached program for a batch, or None."""
        if self._structure != layer.STRUCTURE[0]:
            self._programs.clear()
            self._structure = layer.STRUCTURE[0]
        for fixed in (False, True):
            found = self._programs.get((kind, _specs(batch, fixed), fixed))
            if found is not None:
                return found
        return None

    def _traced(self, kind: str, batch: Batch) -> ModelProgram:
        """Trace a program for any batch size, or for a fixed one if the code depends on it."""
        self._repeated.clear()  # cached programs may belong to an older model structure
        for fixed in (False, True):
            key = kind, _specs(batch, fixed), fixed
            specs = [spec for spec in key[1] if spec is not None]
            if isinstance(batch[0], SparseBatch):  # rows are flat; use the shape of the input
                shape, dtype = specs[0]
                specs[0] = (shape[0], *self.input_shape[1:]), dtype
            try:
                made = self._trace(kind, specs, batch)
            except (BatchSizeNeeded, ValueError) as error:
                # Shapes may fit this batch size only, for example a constant with a value per row.
                if fixed or isinstance(error, TraceError):
                    raise
                continue
            if len(self._programs) >= _MOST_PROGRAMS:
                for oldest in [*self._programs][:1]:  # a copy, because other threads may predict
                    self._programs.pop(oldest, None)
            for text in made.constant_softmaxes if self._is_new else ():
                checks.warn(f"{text}. Did you mean sigmoid?")
            self._is_new = self._is_new and kind in ("predict", "call")
            self._structure = layer.STRUCTURE[0]
            self._programs[key] = made
            return made
        raise AssertionError("a program with a fixed batch size is returned, or an error is raised")

    def _trace(
        self, kind: str, specs: list[Any], batch: Any, gradients: Any = None, fuse: bool = True
    ) -> ModelProgram:
        x, y, weights = batch
        left = iter(specs)
        xs = [next(left) for _ in data_adapters.listed(x)]
        if kind in ("predict", "call"):
            return ModelProgram(self, xs, kind == "call")
        ys = [None if one is None else next(left) for one in data_adapters.listed(y)]
        ws = [None if one is None else next(left) for one in data_adapters.listed(weights)]
        if kind == "train":
            own = self._gradients if gradients is None else gradients
            gradients = dict(zip(map(id, self.trainable_weights), own, strict=True))
        # Otherwise, trace as for inference.
        training = kind == "train" and "training" in self._parameters
        made = ModelProgram(self, xs, training, self._objective, ys, ws, gradients, fuse)
        if kind == "train":
            self._require_connected(made)
        return made

    def loss_and_gradients(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> tuple[float, list[Array]]:
        """Compute the loss of a batch and its gradients, as in a training step.

        The model is unchanged, including its metrics and moving averages.

        Parameters
        ----------
        x, y : array_like, or nested list or dict of array_like
            Inputs and targets.
        sample_weight : array_like, shape (N,), or list or dict of array_like, optional
            Weight of each example in the loss.

        Returns
        -------
        float
            Loss, including regularization penalties.
        list of ndarray
            Gradient with respect to each of `trainable_weights`.

        Raises
        ------
        ValueError, TypeError
            If the model is not compiled, or an argument is invalid.

        Examples
        --------
        With the weight 1, the output for the input 3 is 3. For the target 1, the loss is
        ``(3 - 1)**2 = 4``, and its derivatives with respect to kernel and bias are
        ``2 * (3 - 1) * 3 = 12`` and ``2 * (3 - 1) = 4``:

        >>> import tinynet as keras
        >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
        >>> model.compile("sgd", "mse")
        >>> loss, (d_kernel, d_bias) = model.loss_and_gradients([[3.0]], [[1.0]])
        >>> loss, d_kernel, d_bias
        (4.0, array([[12.]], dtype=float32), array([4.], dtype=float32))
        """
        self._require_compiled("loss_and_gradients")
        with self._undone_on_error():
            examples = self._examples(x, y, sample_weight)
            self._ready(examples)
        batch = next(examples.batches(len(examples)))
        variables = self.trainable_weights
        gradients = [Variable(np.zeros_like(v.array)) for v in variables]
        specs = [spec_of(leaf, True) for leaf in leaves(batch)]
        program = self._trace("train", specs, batch, gradients)
        with Computing(), self._keeping_state():
            compiled = program.compiled(False, None, self._regularized, keep=True)
            if compiled is not None and not isinstance(batch[0], SparseBatch):
                machine, table = compiled.once(leaves(batch))
                loss, scale = float(program.losses_of(table, compiled.losses)[0, 0]), 1.0
                if program.scale is not None:
                    scale = float(machine.value(("symbol", id(program.scale)), (), len(examples)))
            else:
                values, loss, _, work = self._forward(program, batch, self._regularized)
                program.runner.backward(values, work)
                scale = program.scale_of(values)
        arrays = [gradient.array for gradient in gradients]
        add_penalties(variables, arrays, scale)
        return loss, arrays

    @contextlib.contextmanager
    def _keeping_state(self) -> Iterator[None]:
        """On exit, restore the state that a call of the model modifies.

        Examples of state are moving averages and the states of random generators.
        """
        restores = [snapshot(self.non_trainable_weights)]
        restores += [metric._snapshot() for metric in self._own_metrics()]
        drawn = self._random_states()
        try:
            yield
        finally:
            for generator, state in drawn:
                generator.state = state
            for restore in restores:
                restore()

    def _require_connected(self, program: ModelProgram) -> None:
        """Check that there is a loss, and exclude weights without a gradient from the update."""
        if not program.losses and not program.added:
            raise ValueError(
                "loss must be given to compile unless a layer calls add_loss. Received: loss=None"
            )
        unused = {
            id(v): v
            for v in self.trainable_weights
            if id(v) not in program.connected and v.regularizer is None
        }
        if unused.keys() != self._unused.keys():
            self._unused, self._plan = unused, None
            if unused:
                checks.warn(
                    f"Gradients do not exist for variables {[v.path for v in unused.values()]} "
                    "when minimizing the loss; these variables are not updated. Received: a loss "
                    "that does not depend on them"
                )

    #: Whether no program has been traced since the metrics were created.
    _is_new = False

    #: Trainable weights that the loss does not depend on, by ``id``; never modified in place.
    _unused: dict[int, Variable] = {}

    def _current_plan(self, plan: Plan | None) -> Plan:
        """Return the plan if it is still valid, or a new one."""
        known = self._planned == layer.STRUCTURE[0] and self._plan is plan
        if known and plan is not None and plan.optimizer is self.optimizer and plan.is_in_place:
            return plan
        return self._training_plan()

    #: Version number of the model structure for which the plan was last checked.
    _planned = -1

    def _training_plan(self) -> Plan:
        """Return the optimizer's plan, with the gradients as views of one flat vector.

        A plan contains memory addresses, so it is recreated if weights or optimizer state have been
        reallocated.
        """
        variables, optimizer = self.trainable_weights, self.optimizer
        used = [v for v in variables if id(v) not in self._unused]
        if self._plan is None or not self._plan.fits(used, optimizer):
            self._programs.clear()
            self._gradients = [Variable(np.zeros_like(v.array)) for v in variables]
            pack(self._gradients)
            if not optimizer.built:
                optimizer.build(variables)
            of = dict(zip(map(id, variables), self._gradients, strict=True))
            self._plan = optimizer.plan(used, [of[id(v)].array for v in used])
        self._planned = layer.STRUCTURE[0]
        return self._plan

    # ------------------------------------------------------------ data

    def _source(
        self, x: Any, y: Any, weights: Any = None, class_weight: Any = None, training: bool = False
    ) -> data_adapters.Examples | data_adapters.Stream:
        """Validate and convert the user's data: arrays, or an iterable of batches."""
        if not data_adapters.is_stream(x):
            return self._examples(x, y, weights, class_weight, sparse.compress)
        self._require_only_x(y, weights)
        watch = self._note_inputs if training else self._compare_inputs
        self._input_sizes = None if training else self._input_sizes
        return data_adapters.Stream(x, lambda x, y, w: watch(self._examples(x, y, w, class_weight)))

    def _require_only_x(self, y: Any, sample_weight: Any) -> None:
        if y is not None or sample_weight is not None:
            raise ValueError(
                "y and sample_weight must be None if x is an iterable of batches; each batch "
                f"contains them. Received: y={checks.shorten(y)}, "
                f"sample_weight={checks.shorten(sample_weight)}"
            )

    #: Largest absolute value of the training inputs, and of a typical row of them; None after a
    #: warning.
    _input_sizes: tuple[float, float] | None = None

    def _note_inputs(
        self, examples: data_adapters.Examples, replace: bool = False
    ) -> data_adapters.Examples:
        """Record the scale of the training inputs."""
        if isinstance(examples.x, tuple):
            return examples
        if replace or self._input_sizes is None:
            self._input_sizes = examples.largest, data_adapters.typical_size(examples.x)
        elif examples.largest > self._input_sizes[0]:
            self._input_sizes = examples.largest, self._input_sizes[1]
        return examples

    def _compare_inputs(self, examples: data_adapters.Examples) -> data_adapters.Examples:
        """Warn once if inputs are more than ten times larger or smaller than the training inputs.

        A single example can be small by chance, such as a black image, so small inputs are only
        reported for at least 32 rows, compared with a typical row of the training data.
        """
        most, typical = self._input_sizes or (0.0, 0.0)
        size = examples.largest
        small = 0 < size < typical / 10 and len(examples) >= 32
        if small or size > 10 * most > 0:
            self._input_sizes = None
            checks.warn(
                "x must be scaled as in training, where the largest absolute value was "
                f"{most:g}. Received: x with a largest absolute value of {size:g}"
            )
        return examples

    def _examples(
        self, x: Any, y: Any, weights: Any = None, class_weight: Any = None, compress: Any = None
    ) -> data_adapters.Examples:
        """Validate and convert arrays, without changing the model."""
        if np.isscalar(y) or getattr(y, "shape", None) == ():
            raise ValueError(
                "y must have one row per example, and an iterable must yield batches of examples. "
                f"Received: y={checks.shorten(y)}"
            )
        columns = getattr(x, "column_names", getattr(x, "columns", None))
        arrays = self._input_arrays(x)
        rows = self._rows_of(arrays[0], compress) if len(arrays) == 1 else None
        inputs = arrays if rows is not None else [data_adapters.inputs(array) for array in arrays]
        n = len(inputs[0])
        checks.require(n, "x must contain at least one example", f"shape {inputs[0].shape}")
        data_adapters.same_length(
            **{f"x[{k}]" if k else "x": array for k, array in enumerate(inputs)}
        )
        shapes = self._output_shapes(inputs)
        each = self._of_each_output(y, weights, n, shapes)
        if class_weight is not None and len(each) > 1:
            raise ValueError(
                "class_weight must be None if the model has multiple outputs; use sample_weight. "
                f"Received: class_weight={checks.shorten(class_weight)}"
            )
        found = [self._targets(inputs, class_weight, *given) for given in each]
        targets, own_weights = zip(*found, strict=True)
        kept = inputs if rows is None else [rows]
        kinds = self._input_dtypes(len(kept))
        pairs = zip(kept, kinds, strict=True)
        sizes = [data_adapters.require_finite("x", array, columns, kind) for array, kind in pairs]
        input_shapes = [(None, *array.shape[1:]) for array in inputs]
        largest = sizes[0] if len(sizes) == 1 else math.nan
        x, y, own, shape, kind = map(
            data_adapters.packed, (kept, targets, own_weights, input_shapes, kinds)
        )
        return data_adapters.Examples(x, y, own, shape, kind, largest)

    def _targets(
        self, inputs: Any, class_weight: Any, output: Any, y: Any, sample_weight: Any, shape: Any
    ) -> tuple[Any, Any]:
        """Validate and convert the targets and the sample weights of one output."""
        if y is None:
            if output.loss is not None:
                missing = "" if output.name is None else f" for the output {output.name!r}"
                raise ValueError(f"y must be an array of targets{missing}. Received: y=None")
            return None, None
        raw_y = losses.numeric("y", y)
        loss = output.loss if output.loss is not None else losses.Loss()
        weights = data_adapters.sample_weights(sample_weight, class_weight, self.dtype)
        data_adapters.same_length(x=inputs[0], y=raw_y, sample_weight=weights)
        output_shape = (None, *shape[1:])
        targets = loss.prepare(raw_y, output_shape)
        output.check_targets(targets, output_shape)
        values_shape = loss.values_shape(targets, output_shape)
        if class_weight is not None:
            positions = (len(targets), *targets.shape[1 : len(output_shape) - 1])
            weights = data_adapters.class_weights(raw_y, class_weight, self.dtype, positions)
        if weights is not None:
            weights = losses.fit_weights(weights, values_shape)
        return targets, weights

    def _of_each_output(self, y: Any, weights: Any, n: int, *others: Any) -> list[Any]:
        """Return objective, targets, sample weights and `others` of each output."""
        given = self._per_output("y", y, n), self._per_output("sample_weight", weights, n)
        return [*zip(self._objective.outputs, *given, *others, strict=True)]

    def _per_output(self, name: str, given: Any, n: int) -> list[Any]:
        """Return the targets or sample weights of each output."""
        outputs, given = self._objective.outputs, self._objective.flat(given)
        if len(outputs) == 1:
            key, *_ = self._output_names() or [self._objective.only_key]
            return [data_adapters.only(name, given, key, n)]
        with_loss = [k for k, output in enumerate(outputs) if output.loss is not None]
        found: list[Any] = [None] * len(outputs)
        if given is None:
            return found
        if name == "sample_weight" and not isinstance(given, list | tuple | dict):
            return [given] * len(outputs)
        names = [output.name for output in outputs]
        layers = self._output_names() or names
        values: Any = None
        if isinstance(given, dict):
            for labels in (layers, names):  # output keys take precedence
                if set(given) <= set(labels):
                    values = [given.get(label) for label in labels]
        elif isinstance(given, list | tuple):
            if len(given) == len(outputs):
                values = list(given)
            elif len(given) == len(with_loss):
                values = found
                for k, value in zip(with_loss, given, strict=True):
                    values[k] = value
        if values is None:
            raise ValueError(
                f"{name} must be a list or a dict with one array for each of the outputs {names}. "
                f"Received: {name}={checks.shorten(given)}"
            )
        return values

    def _output_shapes(self, inputs: list[Any]) -> list[Any]:
        """Return the output shapes for the inputs, and assign losses and metrics to the outputs."""
        shapes = self._shapes_for(tuple(array.shape for array in inputs))
        with config.floatx_scope(self._floatx):
            self._bind(shapes)
        return [s.shape for s in flattened(shapes)]

    def _bind(self, outputs: Any) -> None:
        """Assign losses and metrics to the outputs, now that their structure is known."""
        self._objective.bind(self._output_names(), outputs)

    def _ready(self, source: data_adapters.Examples | data_adapters.Stream) -> None:
        """Build the model and create the metrics, if needed."""
        shape = source.input_shape
        has_several_inputs = isinstance(shape[0], tuple)
        self._build_once(self._structured([*shape]) if has_several_inputs else shape)
        first = source.first if isinstance(source, data_adapters.Stream) else source
        shapes = self._output_shapes(data_adapters.listed(first.x))
        ndims = [None if y is None else y.ndim for y in data_adapters.listed(first.y)]
        with config.floatx_scope(self._floatx):
            self._is_new = self._objective.resolve(ndims, shapes) or self._is_new

    # ------------------------------------------------------------ fit

    @_apart
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: Any = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> History:
        """Train the model for a fixed number of epochs.

        Parameters
        ----------
        x : array_like, shape (N, ...), or nested list or dict of array_like, or iterable
            Inputs: real numbers of any dtype. If the model has several inputs, a list, or a dict of
            arrays by input name. An iterable must yield batches ``(x, y)`` or
            ``(x, y, sample_weight)``.
        y : array_like, shape (N,) or (N, ...), or nested list or dict of array_like
            Targets. If the model has several outputs, a list, or a dict of arrays by output name.
        batch_size : int, optional
            Number of examples per step, by default 32. The final batch may be smaller.
        epochs : int
            Number of epochs. With `initial_epoch`, it is the index of the final epoch (exclusive):
            ``initial_epoch=3, epochs=5`` trains for two epochs.
        verbose : {"auto", 0, 1, 2}
            No output, a progress bar, or one line per epoch; ``"auto"`` is 1. The bar requires a
            terminal or a notebook; other streams get one line per epoch.
        callbacks : list of Callback, optional
            Callbacks to call during training.
        validation_split : float
            Fraction of the examples, taken from the end, for validation instead of training.
        validation_data : tuple of (x, y) or (x, y, sample_weight), or iterable, optional
            Data to evaluate after each epoch; overrides `validation_split`.
        shuffle : bool or "batch"
            If True, shuffle the examples, or the batches of a `PyDataset`, before each epoch. If
            ``"batch"``, shuffle only within each batch.
        class_weight : dict of int to float, optional
            Weight of each class in the loss; only for models with a single output.
        sample_weight : array_like, shape (N,), or list or dict of array_like, optional
            Weight of each example in the loss. A single array is used for every output.
        initial_epoch : int
            Index of the first epoch.
        steps_per_epoch, validation_steps : int, optional
            Number of batches per epoch and per validation. If there are more batches, the next
            epoch continues where the previous one stopped. Each validation starts from the first
            batch, unless the data is an iterator.
        validation_batch_size : int, optional
            Number of examples per validation batch, by default `batch_size`.
        validation_freq : int or list of int
            Number of epochs between validations, or list of the epochs after which to validate,
            counted from 1.

        Returns
        -------
        History
            ``History.history`` maps ``"loss"``, the names of the metrics, and these names with the
            prefix ``"val_"`` to one value per epoch: a float, or an array if the metric returns
            one.

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid; the model is unchanged.
        FloatingPointError
            If the loss or a weight becomes infinite or NaN. The weights are restored to their
            values at the beginning of the epoch or, if its first batch diverged, at the beginning
            of the previous epoch. ``config.set_on_divergence("continue")`` disables this check.

        Warns
        -----
        UserWarning
            If an iterator runs out of data. If it is the training data, training ends; if it is the
            validation data, the epoch has no ``"val_"`` values.

        Examples
        --------
        >>> import tinynet as keras
        >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> history = model.fit([[0.0], [1.0]], [0, 1], epochs=3, verbose=0)
        >>> len(history.history["loss"])
        3
        """
        hooked = self._hooked("train")
        if validation_data is not None or validation_split:
            self._hooked("test")
        start: float | None = time.perf_counter()  # of the first epoch, including compilation
        self._require_compiled("fit")
        limit = checks.optional(checks.whole, "steps_per_epoch", steps_per_epoch)
        epochs = checks.whole("epochs", epochs, 0)
        initial_epoch = checks.whole("initial_epoch", initial_epoch, 0)
        verbose = progress_bar.as_verbose(verbose)
        checks.choice("shuffle", shuffle, [True, False, "batch"])
        split = checks.number("validation_split", validation_split, 0, 1)
        validates_after = _validation_epochs(validation_freq)
        listed = as_callbacks(callbacks)
        with self._undone_on_error():
            if hooked:
                train: Any = self._unchecked(x, y, sample_weight, class_weight)
            else:
                if self.dtype == "float32" and config.backend() == "numba":
                    machine.prepare()
                train = self._source(x, y, sample_weight, class_weight, training=True)
            size = data_adapters.batch_size(batch_size, train, limit)
            if validation_batch_size is not None:
                batch_size = checks.whole("validation_batch_size", validation_batch_size)
            validation: data_adapters.Examples | data_adapters.Stream | None = None
            if validation_data is not None:
                validation = self._validation_source(validation_data)
            elif split:
                if isinstance(train, data_adapters.Stream):
                    raise ValueError(
                        "x and y must be arrays if validation_split is given; use "
                        "validation_data instead. Received: an iterable of batches as x"
                    )
                train, validation = train.split(split)
                if class_weight is not None or self._hooked("test") != hooked:
                    validation = self._test_source(x, y, sample_weight).split(split)[1]
            if (
                validation is not None
                and not (hooked or validation.unchecked)
                and validation.input_shape[1:] != train.input_shape[1:]
            ):
                raise ValueError(
                    "validation_data must have inputs of the same shape as x, "
                    f"{train.input_shape}. Received: shape {validation.input_shape}"
                )
            validation_steps = checks.optional(checks.whole, "validation_steps", validation_steps)
            validation_size = 1
            if validation is not None:
                validation_size = data_adapters.batch_size(batch_size, validation, validation_steps)

            if not hooked:
                self._ready(train)
                if isinstance(train, data_adapters.Examples):
                    self._note_inputs(train, replace=True)
                if validation_data is not None and isinstance(validation, data_adapters.Examples):
                    self._compare_inputs(validation)
                self._training_plan()
                first = train.first if isinstance(train, data_adapters.Stream) else train
                self._program("train", next(first.batches(1)))
        if isinstance(train, data_adapters.Stream):
            shuffle = bool(shuffle)  # only whole batches can be shuffled
        orders = data_adapters.orders(shuffle, self._random, size)
        # A separate workspace, because a callback may also train while this workspace holds a
        # batch.
        feed = data_adapters.Feed(train, size, limit, orders, Workspace())
        history = History()
        params = {"verbose": verbose, "epochs": epochs, "steps": feed.steps}
        hooks = CallbackList([*listed, history], self, params)
        names = [m.label for m in [*self._objective.all_metrics(), *self._own_metrics()]]
        if not hooked:  # otherwise, logs may have any names
            hooks.check([*names, *(f"val_{name}" for name in names if validation is not None)])
        self.history = history
        self._hooked_logs = None
        watched = hooked or any(
            hooks.defines(f"on_train_batch_{when}") for when in ("begin", "end")
        )
        self.stop_training = False
        self._initial_epoch: int | None = None
        logs: Logs = {}
        is_last = True
        # States at the beginning of the last two epochs.
        states: list[State] = []
        many: Any = None
        plan: Plan | None = None
        variables: list[Variable] = []
        with Deferred() as interrupt, Computing(), thread_pool.pooled():
            hooks.call("on_train_begin", {})
            for epoch in range(max(initial_epoch, self._initial_epoch or 0), epochs):
                if epochs > 1 and verbose:
                    progress_bar.write(f"Epoch {epoch + 1}/{epochs}\n")
                bar = progress_bar.Progress(feed.steps, verbose, start=start)
                start = None
                hooks.call("on_epoch_begin", epoch, {})
                plan, before = None if hooked else self._current_plan(self._plan), plan
                # Only a callback can change options of the optimizer or the model during `fit`.
                if plan is None or listed or plan is not before:
                    many = None if hooked or watched else self._many_steps(train, size)
                    variables = [*self.weights, *getattr(self.optimizer, "variables", [])]
                feed.named = many is not None and limit is None
                feed.batch_size = size * many.at_once if feed.named else size
                states = [*states[-1:], snapshot(variables)]
                done = self._train_epoch(feed, epoch, hooks, bar, many, interrupt, states)
                if not done:
                    data_adapters.warn_and_continue(
                        f"x ran out of data before epoch {epoch + 1} of {epochs}; interrupting "
                        "training. A generator can be iterated only once; pass a PyDataset, or a "
                        "generator that yields at least steps_per_epoch * epochs batches."
                    )
                    break
                is_last = epoch + 1 == epochs or self.stop_training
                if is_last and _stops(hooks):
                    self._require_converged(feed, size, epoch, states[-1])
                logs = self._logs()
                if validation is not None and validates_after(epoch + 1):
                    results = self._evaluate(validation, validation_size, hooks, validation_steps)
                    logs.update({f"val_{name}": value for name, value in results.items()})
                    if not results:
                        data_adapters.warn_and_continue(
                            f"validation_data ran out of data before epoch {epoch + 1}, so the "
                            "logs of this epoch contain no validation metrics. A generator can "
                            "be iterated only once; pass arrays or a PyDataset."
                        )
                logs = dict(sorted(logs.items()))  # as Keras does
                hooks.call("on_epoch_end", epoch, logs)
                bar.finish(done, logs)
                interrupt.check()
                if self.stop_training:
                    break
            if self.optimizer is not None:
                self.optimizer.finalize_variable_values(self.trainable_weights)
            self._in_loop = False
            hooks.call("on_train_end", logs)
            # A callback stopped training early, and may have restored weights.
            if self.stop_training and not is_last and _stops(hooks):
                self._require_converged(feed, size, epoch, states[-1])
        return history

    def _train_epoch(
        self,
        feed: data_adapters.Feed,
        epoch: int,
        hooks: CallbackList,
        bar: progress_bar.Progress,
        many: Any,
        interrupt: Deferred,
        states: list[State],
    ) -> int:
        """Train on the batches of an epoch; return their number."""
        self.reset_metrics()
        begin, end = hooks.defines("on_train_batch_begin"), hooks.defines("on_train_batch_end")
        stops = _stops(hooks)
        hooked = feed.source.unchecked
        plan = None if hooked else self._current_plan(self._plan)
        step = 0
        for batch in feed.epoch():
            if begin:
                hooks.call("on_train_batch_begin", step, {})
            if plan is not None and (now := self._current_plan(plan)) is not plan:
                # The weights were reallocated.
                plan, many = now, many and self._many_steps(feed.source, many.batch_size)
                if feed.named and many is None:
                    raise RuntimeError(
                        f"The weights of {self.name} must not be reallocated during training; "
                        "wait for fit to return before building other models from its layers. "
                        "Received: reallocated weights"
                    )
            if many is None:
                feed.last = batch
                done = 1
                if plan is None:
                    loss = self._call_hook("train", batch)
                else:
                    loss = self._train_step(batch, stops, plan)
            else:
                most = 1 if self.stop_training else None
                done, loss = self._compiled_steps(
                    many.compiled, batch, many.batch_size, stops, most
                )
            step += done
            if stops and not math.isfinite(loss):
                # If the first batch diverges, the weights had already diverged at the start of the
                # epoch.
                good = states[0 if step == 1 else -1]
                number = epoch + 1 if good is states[-1] else epoch
                raise self._diverged(
                    loss, f" in epoch {epoch + 1}, batch {step}", f"epoch {number}", good
                )
            if end:
                hooks.call("on_train_batch_end", step - 1, self._logs())
            if not bar.silent and bar.wants(step):
                bar.draw(step, self._logs())
            if interrupt.pending:
                interrupt.check()
            if self.stop_training:
                break
        return step

    def _state(self) -> State:
        """Copy the weights and the optimizer's state."""
        return snapshot((*self.weights, *getattr(self.optimizer, "variables", ())))

    def _is_finite(self) -> bool:
        return all(np.isfinite(v.array).all() for v in self.weights)

    def _require_converged(
        self, feed: data_adapters.Feed, size: int, epoch: int, good: State
    ) -> None:
        """Check that weights and loss are finite after the final step of an epoch.

        No later step would detect the divergence.
        """
        loss = 0.0
        if not feed.source.unchecked:
            batch = feed.last or next(feed.source.batches(size))
            with self._keeping_state():
                loss = self._loss_of(batch)
        if not (math.isfinite(loss) and self._is_finite()):
            where = f" after the last batch of epoch {epoch + 1}"
            raise self._diverged(loss, where, f"epoch {epoch + 1}", good)

    def _loss_of(self, batch: Batch) -> float:
        """Compute the loss of a batch as `evaluate` does, without updating the metrics."""
        program, plan, regularized = self._known("train", batch), self._plan, self._regularized
        if program is None or program.differs_in_training:
            program, plan = self._program("test", batch), None
        compiled = program.compiled(isinstance(batch[0], SparseBatch), plan, regularized)
        if compiled is not None:
            machine, table = compiled.once(leaves(batch), learns=False)
            compiled.give_back(machine)
            return float(program.losses_of(table, compiled.losses)[0, 0])
        _, loss, _, work = self._forward(program, batch, regularized)
        program.give_back(work)
        return loss

    def _diverged(self, loss: float, where: str, before: str, good: Any) -> FloatingPointError:
        """Restore the last finite state, and return the exception to raise."""
        rate = float(getattr(self.optimizer, "learning_rate", math.nan))
        good()
        what, received = f"loss became {loss}", f"loss={loss}"
        if math.isfinite(loss):
            what, received = "weights became infinite or NaN", "weights that are not finite"
        return FloatingPointError(
            f"The {what}{where}, at a learning rate of {rate:g}; the weights were restored to "
            f"their values before {before}. Try a smaller learning rate, or scale the inputs. "
            f"Received: {received}"
        )

    def _validation_source(
        self, validation_data: Any
    ) -> data_adapters.Examples | data_adapters.Stream:
        if self._hooked("test"):
            is_tuple = isinstance(validation_data, tuple)
            return self._unchecked(*(validation_data if is_tuple else (validation_data,)))
        if data_adapters.is_stream(validation_data):
            return self._source(validation_data, None)
        if not isinstance(validation_data, list | tuple) or len(validation_data) not in (2, 3):
            raise ValueError(
                "validation_data must be (x, y) or (x, y, sample_weight). "
                f"Received: validation_data={checks.shorten(validation_data)}"
            )
        x, y, weights = (*validation_data, None)[:3]
        # LazyRows needs no additional memory.
        return self._examples(x, y, weights, compress=LazyRows)

    # ------------------------------------------------------------ evaluate

    @_apart
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Compute the loss and the metrics on data, without training.

        Parameters
        ----------
        x : array_like, shape (N, ...), or nested list or dict of array_like, or iterable
            Inputs, or batches, as for `fit`.
        y : array_like, shape (N,) or (N, ...), or nested list or dict of array_like
            Targets, as for `fit`.
        batch_size : int, optional
            Number of examples per batch, by default 32.
        verbose : {"auto", 0, 1, 2}
            Verbosity, as for `fit`.
        sample_weight : array_like, shape (N,), or list or dict of array_like, optional
            Weight of each example in the loss.
        steps : int, optional
            Maximum number of batches.
        callbacks : list of Callback, optional
            Callbacks to call during evaluation.
        return_dict : bool
            If True, return a dict of results by name.

        Returns
        -------
        float, list of float, or dict
            Loss, list of the loss and the metrics, or dict of results by name if `return_dict` is
            True.

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid.
        """
        self._require_compiled("evaluate")
        start = time.perf_counter()
        verbose = progress_bar.as_verbose(verbose)
        listed = as_callbacks(callbacks)
        steps = checks.optional(checks.whole, "steps", steps)
        batch_size = checks.optional(checks.whole, "batch_size", batch_size)
        source = self._test_source(x, y, sample_weight)
        size = data_adapters.batch_size(batch_size, source, steps)
        if isinstance(source, data_adapters.Examples) and not source.unchecked:
            self._compare_inputs(source)
        count = steps or source.steps(size)
        hooks = CallbackList(listed, self, {"verbose": verbose, "epochs": 1, "steps": count})
        bar = progress_bar.Progress(count, verbose, start=start)
        logs = self._evaluate(source, size, hooks, steps, bar)
        return self._results(logs, return_dict)

    def _evaluate(
        self, source: Any, size: int, hooks: CallbackList, limit: int | None = None, bar: Any = None
    ) -> Logs:
        """Compute the loss and the metrics on data, and call the hooks of callbacks."""
        self.reset_metrics()
        self._hooked_logs = None
        regularized = self._regularized
        if isinstance(source, data_adapters.Examples):
            source = dataclasses.replace(source, dtype=None)  # threads convert the batches

        how = (size, limit, hooks, bar)
        if source.unchecked:
            call = functools.partial(self._call_hook, "test")
            return self._each_batch("test", source, *how, call, lambda _: None, self._logs)

        def compute(batch: Batch) -> Callable[[], Any]:
            batch = self._converted(batch[0]), *batch[1:]
            program = self._program("test", batch)
            compiled = program.compiled(isinstance(batch[0], SparseBatch), None, regularized)
            if compiled is not None:
                machine, table = compiled.once(leaves(batch))
                ran = machine, table, len(leaves(batch)[0]), batch
                return functools.partial(self._count_steps, compiled, *ran)
            with Computing():
                values, loss, parts, work = self._forward(program, batch, regularized)

            def count() -> None:
                self._count(program, values, batch, loss, parts)
                program.give_back(work)

            return count

        return self._each_batch("test", source, *how, compute, lambda count: count(), self._logs)

    def _each_batch(
        self,
        kind: str,
        source: data_adapters.Examples | data_adapters.Stream,
        size: int,
        limit: int | None,
        hooks: CallbackList,
        bar: progress_bar.Progress | None,
        compute: Callable[[Batch], Any],
        take: Callable[[Any], None],
        logs: Callable[[], Logs],
    ) -> Logs:
        """Call `take` with the result of `compute` for each batch, and call the hooks of callbacks.

        Unless a callback observes batches, several batches are merged and computed in threads. This
        is not done for custom code, which may depend on the whole batch or modify variables.
        """
        begin, end = (hooks.defines(f"on_{kind}_batch_{when}") for when in ("begin", "end"))
        row_wise = not (source.unchecked or begin or end) and self._is_row_wise()
        mergeable = kind == "predict" or self._objective.by_example
        together = max(_CHUNK // size, 1) if row_wise and mergeable and not limit else 1
        feed = data_adapters.Feed(source, size * together, limit)
        shown = logs if kind == "test" else dict

        def run(numbered: tuple[int, Batch]) -> Any:
            step, batch = numbered
            if begin:
                hooks.call(f"on_{kind}_batch_begin", step, {})
            n = len(flattened(batch[0])[0]) if together > 1 else size
            return math.ceil(n / size), compute(batch)

        hooks.call(f"on_{kind}_begin", {})
        done = 0
        each: Any = thread_pool.each if row_wise else map
        for step, (n, result) in enumerate(each(run, enumerate(feed.epoch()))):
            take(result)
            if end:
                hooks.call(f"on_{kind}_batch_end", step, logs())
            done += n
            if bar is not None and bar.wants(done):
                bar.draw(done, shown())
        final = shown()
        hooks.call(f"on_{kind}_end", final)
        if bar is not None:
            bar.finish(done, final)
        return final

    def _forward(
        self, program: ModelProgram, batch: Batch, regularized: list[Variable]
    ) -> tuple[list[Any], float, list[float], Workspace]:
        """Run a program forward; return registers, loss, losses of the outputs, and buffers."""
        work = program.borrow()
        values = program.runner.start(leaves(batch))
        program.runner.forward(values, work)
        loss, parts = program.loss(values, regularized)
        return values, loss, parts, work

    def _results(self, logs: Logs, return_dict: bool) -> Any:
        """Return results as Keras does: a dict, a float, or a list."""
        if return_dict:
            return logs
        names = [name for name in self._objective.in_order() if name in logs]
        names += [m.label for m in self._own_metrics() if m.label in {*logs} - {*names}]
        listed = [logs[name] for name in [*names, *(name for name in logs if name not in names)]]
        return listed if len(listed) > 1 else listed[0]

    # ------------------------------------------------------------ predict

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Array:
        """Compute the outputs of the model for the given inputs.

        Parameters
        ----------
        x : array_like, shape (N, ...), or nested list or dict of array_like, or iterable
            Inputs, or batches of inputs.
        batch_size : int, optional
            Number of examples per batch, by default 32.
        verbose : {"auto", 0, 1, 2}
            Verbosity, as for `fit`; ``"auto"`` shows a bar in terminals and notebooks if there is
            more than one batch, and nothing otherwise.
        steps : int, optional
            Maximum number of batches.
        callbacks : list of Callback, optional
            Callbacks to call during prediction.

        Returns
        -------
        ndarray, shape (N, ...), or nested list or dict of ndarray
            Outputs of the model, in the order of the examples.

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid.
        """
        hooked = self._hooked("predict")
        if not hooked and batch_size is None and steps is None and callbacks is None:
            silent = type(verbose) in (int, str) and verbose in (0, "auto")
            y = self._repeat(x, data_adapters.BATCH_SIZE) if silent else None
            if y is not None:
                return np.asarray(y)
        start = time.perf_counter()
        shown, listed = progress_bar.as_verbose(verbose), as_callbacks(callbacks)
        steps = checks.optional(checks.whole, "steps", steps)
        batch_size = checks.optional(checks.whole, "batch_size", batch_size)
        source: Any
        if hooked:
            source = self._unchecked(x)
        elif data_adapters.is_stream(x):
            source = data_adapters.Stream(x, lambda x, y, w: self._inputs(x))
        else:
            source = self._inputs(x)
            if len(source) == 0:
                shapes = self._shapes_for(tuple(a.shape for a in data_adapters.listed(source.x)))
                return mapped(lambda s: np.zeros((0, *s.shape[1:]), s.dtype), shapes)
        size = data_adapters.batch_size(batch_size, source, steps)
        count = steps or source.steps(size)
        if verbose == "auto":
            shown = int(count != 1 and progress_bar.is_live())
        is_plain = count == 1 and not shown and not listed and not hooked
        if is_plain and isinstance(source, data_adapters.Examples):
            y = self._predict_batch(data_adapters.each(lambda a: a[:size], source.x))
            self._remember(x, source.x)
            return y
        hooks = CallbackList(listed, self, {"verbose": shown, "epochs": 1, "steps": count})
        bar = progress_bar.Progress(count, shown, start=start)
        outputs: list[Any] = []

        def compute(batch: Batch) -> Any:
            if hooked:
                return mapped(np.atleast_1d, mapped(np.asarray, self.predict_step(batch[0])))
            return self._predict_batch(batch[0])

        how = (size, steps, hooks, bar)
        logs = lambda: {"outputs": outputs[-1]}  # noqa: E731  # a function would be longer
        self._each_batch("predict", source, *how, compute, outputs.append, logs)
        joined = map(np.concatenate, zip(*map(flattened, outputs), strict=True))
        return mapped(lambda _: next(joined), outputs[0])

    def _inputs(self, x: Any) -> data_adapters.Examples:
        """Validate and convert inputs, and build the model if needed."""
        arrays = self._input_arrays(x)
        rows = self._rows_of(arrays[0], None) if len(arrays) == 1 else None
        arrays = [data_adapters.inputs(array) for array in arrays] if rows is None else [rows]
        shapes = tuple(array.shape[1:] for array in arrays)
        if not self.built or self._checked_shapes != shapes:
            with self._undone_on_error():
                self._shapes_for(tuple(array.shape for array in arrays))
            self._checked_shapes = shapes
        examples = data_adapters.Examples(data_adapters.packed(arrays), None, None, shapes)
        inputs = arrays[0]
        if len(arrays) == 1 and self._input_sizes is not None and len(inputs):
            examples.largest = data_adapters.largest(
                inputs if rows is None else inputs.values, len(inputs)
            )
            self._compare_inputs(examples)
        if len(arrays) == 1 and rows is None and len(inputs) >= _CHUNK:
            rows = self._rows_of(inputs, LazyRows)
            examples.x = inputs if rows is None else rows
        return examples

    _checked_shapes: Any = None

    def _predict_batch(self, x: Any, kind: str = "predict") -> Any:
        """Compute the outputs of one batch, in new arrays."""
        x = self._converted(x)
        with Computing():
            return self._program(kind, (x, None, None)).predict(data_adapters.listed(x))

    def _converted(self, x: Any) -> Any:
        """Convert the inputs of a batch to the format that a program expects."""
        if isinstance(x, SparseBatch):
            return x
        kinds = self._input_dtypes(len(data_adapters.listed(x)))
        return data_adapters.each(data_adapters.whole, x, data_adapters.packed(kinds))

    # ------------------------------------------------------------ Keras' hooks

    def _unchecked(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None
    ) -> Any:
        """Return data for a custom step, without validation of shapes."""

        def prepare(x: Any, y: Any, weights: Any) -> _Unchecked:
            if class_weight is not None:
                data_adapters.sample_weights(weights, class_weight, self.dtype)
                weights = data_adapters.class_weights(np.asarray(y), class_weight, self.dtype)
            return _Unchecked.of((x, y, weights))

        if not data_adapters.is_stream(x):
            source = prepare(x, y, sample_weight)
            data_adapters.same_length(
                **{f"array {k}": leaf for k, leaf in enumerate(flattened(source.x))}
            )
            return source
        self._require_only_x(y, sample_weight)

        def prepare_batch(x: Any, y: Any, weights: Any) -> _Unchecked:
            made = prepare(x, y, weights)
            if y is None and isinstance(x, tuple):
                (made.x,) = made.x
            return made

        return data_adapters.Stream(x, prepare_batch, any_structure=True)

    def _test_source(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        """Validate and convert evaluation data."""
        if self._hooked("test"):
            return self._unchecked(x, y, sample_weight)
        with self._undone_on_error():
            source = self._source(x, y, sample_weight)
            self._ready(source)
        return source

    def _call_hook(self, kind: str, batch: Batch) -> float:
        """Call `train_step` or `test_step` with a batch of tensors; return the loss."""
        logs = getattr(self, f"{kind}_step")(batch[0])
        if not isinstance(logs, dict):
            raise TypeError(
                f"{kind}_step must return a dict that maps names to values, such as the result of "
                f"self.compute_metrics(x, y, y_pred). Received: {type(logs).__name__}"
            )
        parts = [v.items() if isinstance(v, dict) else [(k, v)] for k, v in logs.items()]
        self._hooked_logs = {k: reported(k, v) for part in parts for k, v in part}
        loss = self._hooked_logs.get("loss", 0.0)
        return loss if isinstance(loss, float) else 0.0

    _hooked_logs: Logs | None = None

    def _logs(self) -> Logs:
        """Return the current results of the metrics."""
        if self._hooked_logs is None:
            logs: Logs = self._objective.logs()
            return dict(sorted({**logs, **results_of(self._own_metrics())}.items())) if logs else {}
        own = {name: reported(name, v) for name, v in self.get_metrics_result().items()}
        if own.keys() != self._hooked_logs.keys():
            own = self._hooked_logs
        elif "loss" in own and not self._objective.tracker.count:
            own["loss"] = self._hooked_logs["loss"]
        return dict(sorted(own.items()))

    def train_step(self, data: Any) -> Logs:
        """Perform one training step; `fit` calls this method if a subclass overrides it.

        Parameters
        ----------
        data : tuple of Tensor
            Batch: ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.

        Returns
        -------
        dict of str to float
            Results of the metrics.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with GradientTape() as tape:
            y_pred = self(x, training=True) if "training" in self._parameters else self(x)
            loss = self._computed_loss(x, y, y_pred, sample_weight, True)
            scaled = loss if self.optimizer is None else self.optimizer.scale_loss(loss)
        self._objective.tracker.update_state(float(loss), len(flattened(x)[0]))
        if weights := self.trainable_weights:
            gradients = tape.gradient(scaled, weights)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        else:
            checks.warn(f"{self.name} has no trainable weights, so training has no effect")
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> Logs:
        """Evaluate one batch; `evaluate` calls this method if a subclass overrides it.

        Parameters
        ----------
        data : tuple of Tensor
            Batch, as for `train_step`.

        Returns
        -------
        dict of str to float
            Results of the metrics.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        loss = self._computed_loss(x, y, y_pred, sample_weight, False)
        self._objective.tracker.update_state(float(loss), len(flattened(x)[0]))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """Compute the outputs of one batch; `predict` calls this method if a subclass overrides it.

        Parameters
        ----------
        data : Tensor, or tuple of Tensor
            Inputs.

        Returns
        -------
        Tensor, or nested list or dict of them
            Outputs of the model.
        """
        return self(unpack_x_y_sample_weight(data)[0], training=False)

    def _computed_loss(self, x: Any, y: Any, y_pred: Any, weights: Any, training: bool) -> Any:
        """Call `compute_loss`; overrides in older code do not have the parameter `training`."""
        if "training" in layer.parameters_of(type(self).compute_loss):
            return self.compute_loss(x, y, y_pred, weights, training=training)
        return self.compute_loss(x, y, y_pred, weights)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Compute the loss passed to `compile`, plus the losses that layers added with `add_loss`.

        Parameters
        ----------
        x, y, y_pred, sample_weight : Tensor, or nested list or dict of them
            Inputs, targets, predictions and sample weights.
        training : bool
            True in a training step. No effect unless a subclass uses it.

        Returns
        -------
        Tensor
            Scalar loss.
        """
        losses = [TABLE["sum"](loss) for loss in self.losses]
        if self.compiled and self._objective.given is not None:
            self._bind(y_pred)
            predicted = flattened(y_pred)
            each = self._of_each_output(y, sample_weight, len(predicted[0]), predicted)
            for k, (output, target, weight, prediction) in enumerate(each):
                if output.loss is not None:
                    loss = TABLE["sum"](output.loss(target, prediction, weight))
                    output.tracker.update_state(loss, len(prediction))
                    losses.insert(k, loss if output.weight == 1 else loss * output.weight)
        checks.require(
            losses, "loss must be given to compile unless a layer calls add_loss", "loss=None"
        )
        return functools.reduce(TABLE["add"], losses)

    def compiled_loss(
        self, y: Any, y_pred: Any, sample_weight: Any = None, regularization_losses: Any = None
    ) -> Any:
        """Compute the loss (legacy Keras name of `compute_loss`).

        Parameters
        ----------
        y, y_pred, sample_weight : Tensor, or nested list or dict of them
            Targets, predictions and sample weights, as for `compute_loss`.
        regularization_losses : object
            Accepted for compatibility with Keras; no effect, because all penalties are included.

        Returns
        -------
        Tensor
            Scalar loss.
        """
        return self.compute_loss(None, y, y_pred, sample_weight)

    @property
    def compiled_metrics(self) -> Any:
        """Metrics passed to `compile`, excluding the loss, as a single `Metric`."""
        return CompiledMetrics(self._objective, self._update_metrics)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Logs:
        """Update the metrics passed to `compile`, and return the results of all metrics.

        Parameters
        ----------
        x, y, y_pred, sample_weight : Tensor, or nested list or dict of them
            Inputs, targets, predictions and sample weights.

        Returns
        -------
        dict of str to float
            Results by name.
        """
        self._update_metrics(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def _update_metrics(self, y: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Update the metrics passed to `compile`."""
        if self.compiled and y is not None:
            self._bind(y_pred)
            predicted = [np.asarray(p) for p in flattened(y_pred)]
            each = self._of_each_output(y, sample_weight, len(predicted[0]), predicted)
            targets = [
                None if y is None else (o.loss or losses.Loss()).prepare(np.asarray(y), p.shape)
                for o, y, _, p in each
            ]
            ndims = [None if target is None else target.ndim for target in targets]
            self._objective.resolve(ndims, [p.shape for p in predicted])
            for target, (output, _, w, p) in zip(targets, each, strict=True):
                if target is not None:
                    output.count(target, p, None if w is None else np.asarray(w), None)

    def get_metrics_result(self) -> Logs:
        """Return the results of all metrics.

        Returns
        -------
        dict of str to float
            Results by name.
        """
        return {k: v for metric in self.metrics for k, v in results_of([metric]).items()}

    # ------------------------------------------------------------ single batches

    @_apart
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Perform one training step on one batch.

        Parameters
        ----------
        x, y : array_like, or nested list or dict of array_like
            Inputs and targets, as for `fit`.
        sample_weight : array_like, shape (N,), or list or dict of array_like, optional
            Weight of each example in the loss.
        class_weight : dict of int to float, optional
            Weight of each class in the loss; only for models with a single output.
        return_dict : bool
            If True, return a dict of results by name.

        Returns
        -------
        float, list of float, or dict
            Loss and metrics of this batch, computed before the update.

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid; the model is unchanged.
        FloatingPointError
            If the loss, or a weight after the step, is infinite or NaN; the weights are unchanged.
            ``config.set_on_divergence("continue")`` disables this check.
        """
        self._require_compiled("train_on_batch")
        stops = config.on_divergence() == "raise"
        if self._hooked("train"):
            source = self._unchecked(x, y, sample_weight, class_weight)
            self.reset_metrics()
            before = self._state() if stops else None
            loss = self._call_hook("train", next(source.batches(len(source))))
        else:
            with self._undone_on_error():
                batch = self._examples(x, y, sample_weight, class_weight)
                self._ready(batch)
                self._training_plan()
                whole = next(batch.batches(len(batch)))
                self._program("train", whole)
                plan = self._training_plan()  # excludes weights without a gradient
            self._note_inputs(batch)
            self._hooked_logs = None
            self.reset_metrics()
            before = self._state() if stops else None
            with Computing():
                loss = self._train_step(whole, stops, plan)
        if stops and not (math.isfinite(loss) and self._is_finite()):
            raise self._diverged(loss, "", "this batch", before)
        return self._results(self._logs(), return_dict)

    @_apart
    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Compute the loss and the metrics of one batch.

        Parameters
        ----------
        x, y : array_like, or nested list or dict of array_like
            Inputs and targets, as for `fit`.
        sample_weight : array_like, shape (N,), or list or dict of array_like, optional
            Weight of each example in the loss.
        return_dict : bool
            If True, return a dict of results by name.

        Returns
        -------
        float, list of float, or dict
            Loss and metrics of this batch.

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid.
        """
        self._require_compiled("test_on_batch")
        batch = self._test_source(x, y, sample_weight)
        if not batch.unchecked:
            self._compare_inputs(batch)
        logs = self._evaluate(batch, len(batch), CallbackList([], self, {}))
        return self._results(logs, return_dict)

    def predict_on_batch(self, x: Any) -> Array:
        """Compute the outputs of one batch.

        Parameters
        ----------
        x : array_like, shape (N, ...), or nested list or dict of array_like
            Inputs.

        Returns
        -------
        ndarray, shape (N, ...), or nested list or dict of ndarray
            Outputs of the model.
        """
        if self._hooked("predict"):
            source = self._unchecked(x)
            return mapped(np.asarray, self.predict_step(next(source.batches(len(source)))[0]))
        y = self._repeat(x)
        return self._outputs(x) if y is None else y


@dataclasses.dataclass
class ManySteps:
    """Fused training loop: `at_once` steps of `batch_size` examples in one call of the runner."""

    compiled: Any
    batch_size: int
    at_once: int

    @classmethod
    def of(cls, model: Trainer, source: Any, batch_size: int) -> ManySteps | None:
        """Return the fused loop for a model and data, or None if steps need Python code."""
        if type(source) is not data_adapters.Examples or model._plan is None:
            return None
        if not config.is_enabled("many_steps"):
            return None
        batch = next(source.batches(1))
        plan = model._plan
        if model._program("train", batch).is_fixed:
            return None
        compiled = model._compiled_step(batch, plan)
        if compiled is None or compiled.has_others or compiled.by_python:
            return None
        weights = sum(v.size for v in plan.variables)
        at_once = max((1 << 33) // (weights * (batch_size + 32) + (1 << 16)), 1)
        if not source.is_ready:  # the batches of a call are converted together, at most 4 MB
            size = batch_size * source.example_bytes
            at_once = min(at_once, max((1 << 22) // max(size, 1), 1))
        return cls(compiled, batch_size, at_once)


def _stops(hooks: CallbackList) -> bool:
    """Return whether a loss that is not finite raises an error."""
    return config.on_divergence() == "raise" and not hooks.terminates_on_nan


class _Unchecked(data_adapters.Examples):
    """Nested arrays for a custom `train_step`, `test_step` or `predict_step`.

    Batches are ``(tensors, None, None)``.
    """

    unchecked = True

    @classmethod
    def of(cls, given: tuple[Any, Any, Any]) -> _Unchecked:
        """Convert the user's data: arrays, or nested lists or dicts of arrays."""

        def convert(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: convert(v) for key, v in value.items()}
            if isinstance(value, list | tuple) and data_adapters.holds_arrays(value):
                return type(value)(map(convert, value))
            if value is None:
                return None
            array = data_adapters.inputs(value)
            kind = config.floatx() if array.dtype.kind == "f" else array.dtype
            return array.astype(kind, copy=False)

        nested = pack_x_y_sample_weight(*map(convert, given))
        return cls(nested, None)

    def __len__(self) -> int:
        return max(len(leaf) for leaf in flattened(self.x) if leaf is not None)

    def _part(self, rows: Any) -> _Unchecked:
        return _Unchecked(mapped(lambda a: None if a is None else a[rows], self.x), None)

    def batches(self, batch_size: int, order: Any = None, *_: Any, **__: Any) -> Any:
        """Yield batches of tensors with the structure of the data."""
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            part = self._part(rows if order is None else order[rows]).x
            yield mapped(lambda a: None if a is None else as_tensor(a), part), None, None


def _specs(batch: Batch, fixed: bool) -> tuple[Any, ...]:
    """Return the shapes and dtypes of a batch, with None for missing targets or sample weights."""
    arrays = itertools.chain(*map(data_adapters.listed, batch))
    return tuple([None if a is None else spec_of(a, fixed) for a in arrays])


def _validation_epochs(validation_freq: Any) -> Any:
    """Return a predicate for the epochs, counted from 1, after which to validate."""
    if isinstance(validation_freq, Iterable) and not isinstance(validation_freq, str):
        epochs = {checks.whole("validation_freq", epoch) for epoch in validation_freq}
        return epochs.__contains__
    every = checks.whole("validation_freq", validation_freq)
    return lambda epoch: epoch % every == 0
