"""The loops: compile, fit, evaluate and predict, and nothing of the maths.

One training step is `Trainer._train_step`: forward through the layers, the loss and its
gradient, backward through the layers, one step of the optimizer. All the rest decides which
batch comes next and who is told about it.
"""

from __future__ import annotations

import collections
import functools
import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinynet import checks, config, data, losses, optimizers, progress, random, threads
from tinynet.blas import Computing
from tinynet.callbacks import CallbackList, History, as_callbacks
from tinynet.interrupts import Deferred
from tinynet.layers.base import Layer
from tinynet.metrics import Metric
from tinynet.objective import Logs, Objective
from tinynet.optimizers import Plan
from tinynet.sparse import CompressedRows
from tinynet.variable import Array, Variable, pack
from tinynet.workspace import Workspace

# Without a callback that watches batches, evaluation and prediction take this many examples at
# once: fewer calls for the same numbers.
_CHUNK = 512

# Variables with the values that they had.
State = list[tuple[Variable, Array]]

# Methods that Keras' loops call and that are not called here.
_STEP_HOOKS = ("{}_step", "make_{}_function", "{}_function")
_METRIC_HOOKS = ("compute_loss", "compute_metrics", "get_metrics_result", "reset_metrics")


def _apart(method: Any) -> Any:
    """Keep the metrics of a running `fit` or `evaluate` if a callback calls this method."""

    @functools.wraps(method)
    def run(self: Trainer, *args: Any, **kwargs: Any) -> Any:
        restores = [metric._snapshot() for metric in self.metrics] if self._calls else []
        history, stopped = self.history, self.stop_training
        self._calls += 1
        try:
            return method(self, *args, **kwargs)
        finally:
            self._calls -= 1
            for restore in restores:
                restore()
            if self._calls and method.__name__ == "fit":
                self.history, self.stop_training = history, stopped

    return run


class Trainer(Layer):
    """A layer that can be trained: the part of a model that knows about data and time.

    Parameters
    ----------
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> isinstance(Sequential(), Trainer)
    True
    """

    # Defined by `Model`, the only subclass.
    _takes_rows: Any
    _names: Any
    _adjust_rank: Any
    _one_input: Any
    _many_steps: Any
    _require_backward: Any
    _give_gradients: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.compiled = False
        self.stop_training = False
        self._calls = 0  # of `fit` and `evaluate` that are running, one inside the other
        self.history: History | None = None
        self.optimizer: Any = None
        self.loss: Any = None
        self._objective: Any = None
        self._compile_arguments: dict[str, Any] = {}
        #: Type of losses and metrics: that of the session in which the model was first made.
        self._floatx = config.floatx()
        self._random = np.random.Generator(np.random.PCG64(random.draw_seed()))
        # Workspaces of finished predictions; taking one is atomic, so threads can share a model.
        self._idle: collections.deque[Workspace] = collections.deque()
        self._work: Workspace | None = None
        self._plan: Plan | None = None

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
        """Choose how to train.

        Parameters
        ----------
        optimizer : str or Optimizer
            What changes the weights.
        loss : str, function or Loss
            Loss function to minimize. As in Keras, loss, weights and metrics may also be given by
            the name of the output layer, as in ``{"out": "mse"}``, or in a list of one.
        loss_weights : float, optional
            Factor of the loss.
        metrics : list of (str or Metric), optional
            Metrics to report.
        weighted_metrics : list of (str or Metric), optional
            The same, with sample weights applied.
        run_eagerly, steps_per_execution, jit_compile : object
            Accepted as Keras does, without effect: there is no graph.

        Raises
        ------
        ValueError, TypeError
            If one of them is not known; the model stays as it was.

        Examples
        --------
        >>> from tinynet import Sequential, layers
        >>> model = Sequential([layers.Dense(2, activation="softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        """
        new_optimizer = optimizers.get(optimizer)
        with config.floatx_scope(self._floatx):
            objective = Objective(loss, loss_weights, metrics, weighted_metrics, self._names()[1])
        self._require_backward()
        self.optimizer, self.loss, self._objective = new_optimizer, objective.given, objective
        self._compile_arguments = {
            "optimizer": new_optimizer,
            "loss": objective.given,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        self._work = self._plan = None
        self.compiled = True

    @property
    def metrics(self) -> list[Metric]:
        """The mean loss, then what `compile` named, as far as it is known."""
        return self._objective.all_metrics() if self.compiled else []

    @property
    def metrics_names(self) -> list[str]:
        """The names of `metrics`."""
        return [metric.name for metric in self.metrics]

    def reset_metrics(self) -> None:
        """Forget what the metrics have seen."""
        if self.compiled:
            self._objective.reset()

    def _require_compiled(self, method: str) -> None:
        if not self.compiled:
            raise ValueError(
                f"Call compile(optimizer, loss) before {method}. Received: a model not compiled"
            )
        if self._objective.loss is None:
            raise ValueError(f"{method} needs a loss: compile(loss=...). Received: loss=None")

    def _refuse_overrides(self, *kinds: str) -> None:
        """Raise for methods of Keras' loops that a subclass defines and that are never called."""
        cls: Any = type(self)
        hooks, defined = _overrides(cls, kinds)
        if defined or not hooks.isdisjoint(self.__dict__):
            name = min(defined or hooks & self.__dict__.keys())
            raise NotImplementedError(
                f"{name} of a subclass is not supported: it would never be called. Leave it out, "
                "and use a custom loss, metric or layer, or a loop over train_on_batch. "
                f"Received: {type(self).__name__}.{name}"
            )

    # ------------------------------------------------------------ one step

    def _train_step(
        self, x: Any, y: Array, weights: Array | None, work: Workspace, stops: bool
    ) -> float:
        """Forward, loss, backward, and one step of the optimizer; return the loss.

        Where `stops` is set, a loss that is not finite is returned before anything is learnt.
        """
        loss, d_y, predictions = self._forward_and_loss(x, y, weights, work, training=True)
        objective = self._objective
        objective.count(loss, y, predictions, weights, work.of(objective).x)
        if stops and not math.isfinite(loss):
            return loss
        self.backward(d_y, work, need_d_x=False)
        for variable, gradient in work.regularized:
            gradient += variable.regularizer.gradient(variable.array)
        assert self._plan is not None
        self.optimizer.step(self._plan)
        return loss

    def _forward_and_loss(
        self, x: Any, y: Array, weights: Array | None, work: Workspace, training: bool
    ) -> tuple[float, Array, Array]:
        """Compute loss, gradient in the output and predictions; from logits where exact."""
        head, objective = self.output_activation, self._objective
        work.logits = objective.takes_logits(head)
        output = self.forward(x, work, training)
        loss, d_y, predictions = objective.step(y, output, weights, head, work.of(objective))
        for variable, _ in work.regularized:
            loss += float(variable.regularizer(variable.array))
        return loss, d_y, predictions

    def _training_work(self) -> Workspace:
        """Return the workspace of training, with the gradients as views of one flat vector.

        It is made again if weights or the optimizer's state have moved: the plan names memory.
        """
        variables, optimizer = self.trainable_weights, self.optimizer
        if self._work is None or self._plan is None or not self._plan.fits(variables, optimizer):
            paths = {id(v): v.path for v in variables}
            if len(paths) < len(variables):
                raise ValueError(
                    f"{self.name} must apply each layer once to be trained, also in models inside; "
                    f"use a layer for each place. Received: the weights {[*paths.values()]}, some "
                    "of them twice"
                )
            gradients = [Variable(np.zeros_like(v.array)) for v in variables]
            pack(gradients)
            arrays = [g.array for g in gradients]
            work = Workspace()
            self._give_gradients(work, dict(zip(map(id, variables), arrays, strict=True)))
            pairs = zip(variables, arrays, strict=True)
            work.regularized = [(v, g) for v, g in pairs if v.regularizer is not None]
            self._work, self._plan = work, optimizer.plan(variables, arrays)
        return self._work

    # ------------------------------------------------------------ data

    def _source(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Any = None,
        training: bool = False,
    ) -> data.Examples | data.Stream:
        """Check and convert what the caller passed: arrays, or an iterable of batches."""
        if not data.is_stream(x):
            return self._examples(x, y, sample_weight, class_weight, compress=training)
        if y is not None or sample_weight is not None:
            raise ValueError(
                "y and sample_weight must be None if x is an iterable of batches, which contain "
                "them. Received: y or sample_weight in addition to an iterable"
            )
        watch = self._note_inputs if training else self._compare_inputs
        self._input_sizes = None if training else self._input_sizes
        return data.Stream(x, lambda x, y, w: watch(self._examples(x, y, w, class_weight)))

    #: The largest absolute input of training and that of a typical row, until a warning is issued.
    _input_sizes: tuple[float, float] | None = None

    def _note_inputs(self, examples: data.Examples, replace: bool = False) -> data.Examples:
        """Remember how large the inputs of training are."""
        if replace or self._input_sizes is None:
            self._input_sizes = examples.largest, data.typical_size(examples.x)
        elif examples.largest > self._input_sizes[0]:
            self._input_sizes = examples.largest, self._input_sizes[1]
        return examples

    def _compare_inputs(self, examples: data.Examples) -> data.Examples:
        """Warn once if inputs are ten times as large or as small as those of training.

        Inputs can be small by chance, such as those of a black image, so that only the largest
        of at least 32 rows is compared, with a typical row of training.
        """
        most, typical = self._input_sizes or (0.0, 0.0)
        size = examples.largest
        small = 0 < size < typical / 10 and len(examples) >= 32
        if small or size > 10 * most > 0:
            self._input_sizes = None
            checks.warn(
                f"x must be scaled as in training, where its largest absolute value was {most:g}. "
                f"Received: x with the largest absolute value {size:g}"
            )
        return examples

    def _examples(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Any = None,
        compress: bool = False,
    ) -> data.Examples:
        """Check and convert arrays; nothing of the model changes."""
        x = self._one_input(x)
        columns = getattr(x, "column_names", getattr(x, "columns", None))
        compress = compress or isinstance(x, CompressedRows)
        x = self._adjust_rank(x if isinstance(x, CompressedRows) else data.inputs(x))
        rows = data.compressed(x, self.dtype) if compress and self._takes_rows(x) else None
        inputs = data.inputs(x) if rows is None else x
        if not len(inputs):
            raise ValueError(f"x must hold at least one example. Received: shape {inputs.shape}")
        if y is None:
            raise ValueError("y must be an array of targets. Received: y=None")
        output = self._names()[1]
        raw_y = losses.numeric("y", data.only("y", y, output, len(inputs)))
        if raw_y.ndim == 0:
            raise ValueError(
                f"y must have one row for each example, and an iterable must return batches of "
                f"examples. Received: y={raw_y}"
            )
        sample_weight = data.only("sample_weight", sample_weight, output, len(inputs))
        weights = data.sample_weights(sample_weight, class_weight, self.dtype)
        data.same_length(x=inputs, y=raw_y, sample_weight=weights)
        output_shape = (None, *self.compute_output_shape(inputs.shape)[1:])
        targets = self._objective.loss.prepare(raw_y, output_shape)
        self._objective.check_targets(targets, output_shape)
        kept = inputs if rows is None else rows
        largest = data.require_finite("x", kept, columns, self.dtype)
        values_shape = self._objective.loss.values_shape(targets, output_shape)
        if class_weight is not None:
            positions = (len(targets), *targets.shape[1 : len(output_shape) - 1])
            weights = data.class_weights(raw_y, class_weight, self.dtype, positions)
        if weights is not None:
            weights = losses.fit_weights(weights, values_shape)
        shape = (None, *inputs.shape[1:])
        kind = np.dtype(self.dtype)
        return data.Examples(kept, targets, weights, shape, kind, largest)

    def _ready(self, source: data.Examples | data.Stream) -> None:
        """Build the model, and make the metrics, where that is still to do."""
        self._build_once(source.input_shape)
        output_shape = self.compute_output_shape(source.input_shape)
        with config.floatx_scope(self._floatx):
            self._objective.resolve(source.y.ndim, output_shape)

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
        """Train.

        Parameters
        ----------
        x : array_like, shape (N, ...), or iterable of batches
            The inputs: real numbers of any type; or batches ``(x, y)`` or ``(x, y, weights)``.
        y : array_like, shape (N,) or (N, ...)
            The true values.
        batch_size : int, optional
            How many examples make a step; by default 32. The last batch may be smaller.
        epochs : int
            The number of the epoch to stop before: with `initial_epoch` 3 and `epochs` 5, two
            are run.
        verbose : {"auto", 0, 1, 2}
            Silent, a progress bar, or one line an epoch; ``"auto"`` is 1. The bar needs a
            terminal or a notebook, anywhere else it is one line an epoch.
        callbacks : list of Callback, optional
            Called at fixed points.
        validation_split : float
            The share, from the end, that is evaluated after each epoch in place of trained on.
        validation_data : tuple of (x, y) or (x, y, sample_weight), or iterable, optional
            What is evaluated after each epoch; wins over `validation_split`.
        shuffle : bool or "batch"
            If True, each epoch uses the examples, or the batches of a `PyDataset`, in a new random
            order; if ``"batch"``, only the examples within each batch are shuffled.
        class_weight : dict of int to float, optional
            What an example of each class counts in the loss.
        sample_weight : array_like, shape (N,), optional
            What each example counts in the loss.
        initial_epoch : int
            The number of the first epoch.
        steps_per_epoch, validation_steps : int, optional
            Number of batches in an epoch, and in a validation. If the data has more, the next
            epoch continues with the others; each validation starts again, except for iterators.
        validation_batch_size : int, optional
            How many examples are validated at once; by default `batch_size`.
        validation_freq : int or list of int
            After how many epochs, or after which ones, to validate; the first is 1.

        Returns
        -------
        History
            Its ``history`` maps ``"loss"``, the metrics' names, and both with ``"val_"``, to
            one value per epoch: a float, or an array if the metric returns one. If an iterator
            has no batch left, training ends with a warning; if it is one of validation data, the
            epoch has no values with ``"val_"``.

        Raises
        ------
        ValueError, TypeError
            If an argument can't be what was meant; nothing has changed then.
        FloatingPointError
            If the loss becomes infinite or not a number. The weights are then those that this
            epoch began with; or the epoch before, if it was the first batch.

        Examples
        --------
        >>> import tinynet as keras
        >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> history = model.fit([[0.0], [1.0]], [0, 1], epochs=3, verbose=0)
        >>> len(history.history["loss"])
        3
        """
        validates = validation_data is not None or validation_split
        self._refuse_overrides("train", *["test"] * bool(validates))
        start: float | None = time.perf_counter()  # of the first epoch, which may compile
        self._require_compiled("fit")
        limit = checks.optional(checks.whole, "steps_per_epoch", steps_per_epoch)
        epochs = checks.whole("epochs", epochs, 0)
        initial_epoch = checks.whole("initial_epoch", initial_epoch, 0)
        verbose = progress.as_verbose(verbose)
        checks.choice("shuffle", shuffle, [True, False, "batch"])
        split = checks.number("validation_split", validation_split, 0, 1)
        validates_after = _validation_epochs(validation_freq)
        listed = as_callbacks(callbacks)
        train = self._source(x, y, sample_weight, class_weight, training=True)
        size = data.batch_size(batch_size, train, limit)
        if validation_batch_size is not None:
            batch_size = checks.whole("validation_batch_size", validation_batch_size)
        validation: data.Examples | data.Stream | None = None
        if validation_data is not None:
            validation = self._validation_source(validation_data)
        elif split:
            if isinstance(train, data.Stream):
                raise ValueError(
                    "validation_split needs x and y as arrays; use validation_data instead. "
                    "Received: an iterable of batches as x"
                )
            train, validation = train.split(split)
            if class_weight is not None:
                validation.weights = None
        if validation is not None and validation.input_shape[1:] != train.input_shape[1:]:
            raise ValueError(
                f"validation_data must have inputs of the same shape as x, {train.input_shape}. "
                f"Received: shape {validation.input_shape}"
            )
        validation_steps = checks.optional(checks.whole, "validation_steps", validation_steps)
        validation_size = 1
        if validation is not None:
            validation_size = data.batch_size(batch_size, validation, validation_steps)

        self._require_backward()
        self._ready(train)
        if isinstance(train, data.Examples):
            self._note_inputs(train, replace=True)
        if validation_data is not None and isinstance(validation, data.Examples):
            self._compare_inputs(validation)
        work = self._training_work()
        if isinstance(train, data.Stream):
            shuffle = bool(shuffle)  # whole batches, as they come
        orders = data.orders(shuffle, self._random, size)
        # Not the buffers of training: a callback may train, too, while a batch waits in these.
        feed = data.Feed(train, size, limit, orders, Workspace())
        history = History()
        params = {"verbose": verbose, "epochs": epochs, "steps": feed.steps}
        hooks = CallbackList([*listed, history], self, params)
        names = [metric.name for metric in self.metrics]
        hooks.check([*names, *(f"val_{name}" for name in names if validation is not None)])
        self.history = history
        watched = any(hooks.defines(f"on_train_batch_{when}") for when in ("begin", "end"))
        self.stop_training = False
        self._initial_epoch: int | None = None
        logs: Logs = {}
        is_last = True
        # The states that the last two epochs began with.
        states: list[State] = []
        with Deferred() as interrupt, Computing(), threads.helping():
            hooks.call("on_train_begin", {})
            for epoch in range(max(initial_epoch, self._initial_epoch or 0), epochs):
                if epochs > 1 and verbose:
                    progress.write(f"Epoch {epoch + 1}/{epochs}\n")
                bar = progress.Progress(feed.steps, verbose, start=start)
                start = None
                hooks.call("on_epoch_begin", epoch, {})
                work = self._training_work()
                many = self._many_steps(train, size)  # a callback may have changed that
                feed.named = many is not None and not watched and limit is None
                feed.batch_size = size * many.at_once if feed.named else size
                states = [*states[-1:], self._state()]
                done = self._train_epoch(feed, epoch, hooks, bar, work, many, interrupt, states)
                if not done:
                    data.warn_and_continue(
                        f"x has no batch left for epoch {epoch + 1} of {epochs}, so training "
                        "ends. A generator can be read only once: pass a PyDataset, or a "
                        "generator with at least steps_per_epoch * epochs batches."
                    )
                    break
                is_last = epoch + 1 == epochs or self.stop_training
                if is_last:
                    self._require_converged(feed, size, epoch, hooks, states)
                logs = self._objective.logs()
                if validation is not None and validates_after(epoch + 1):
                    results = self._evaluate(validation, validation_size, hooks, validation_steps)
                    logs.update({f"val_{name}": value for name, value in results.items()})
                    if not results:
                        data.warn_and_continue(
                            f"validation_data has no batch left for epoch {epoch + 1}, so its "
                            "logs have no validation values. A generator can be read only once: "
                            "pass arrays or a PyDataset."
                        )
                logs = dict(sorted(logs.items()))  # as Keras does
                hooks.call("on_epoch_end", epoch, logs)
                bar.finish(done, logs)
                interrupt.check()
                if self.stop_training:
                    break
            self.optimizer.finalize_variable_values(self.trainable_weights)
            hooks.call("on_train_end", logs)
            if self.stop_training and not is_last:  # a callback ended it, and may restore weights
                self._require_converged(feed, size, epoch, hooks, states)
        return history

    def _train_epoch(
        self,
        feed: data.Feed,
        epoch: int,
        hooks: CallbackList,
        bar: progress.Progress,
        work: Workspace,
        many: Any,
        interrupt: Deferred,
        states: list[State],
    ) -> int:
        """Train on the batches of an epoch; return how many there were."""
        self._objective.reset()
        begin, end = hooks.defines("on_train_batch_begin"), hooks.defines("on_train_batch_end")
        stops = _stops(hooks)
        step = 0
        for x, y, weights in feed.epoch():
            if begin:
                hooks.call("on_train_batch_begin", step, {})
            if (now := self._training_work()) is not work:  # the weights have moved
                work, many = now, many and self._many_steps(feed.source, many.batch_size)
                if feed.named and many is None:
                    raise RuntimeError(
                        f"{self.name} must keep its weights while it is trained; wait for fit "
                        f"before building models of its layers. Received: weights that moved"
                    )
            if many is None:
                feed.last = x, y, weights
                done, loss = 1, self._train_step(x, y, weights, work, stops)
            else:
                done, loss = many.run(x, y, stops, once=self.stop_training)
            step += done
            if stops and not math.isfinite(loss):
                # If it is the first batch, this epoch began with weights that had diverged.
                good = states[0 if step == 1 else -1]
                number = epoch + 1 if good is states[-1] else epoch
                raise self._diverged(
                    loss, f" in epoch {epoch + 1}, batch {step}", f"epoch {number}", good
                )
            if end:
                hooks.call("on_train_batch_end", step - 1, self._objective.logs())
            if bar.wants(step):
                bar.draw(step, self._objective.logs())
            interrupt.check()
            if self.stop_training:
                break
        return step

    def _state(self) -> State:
        """Copy the weights and the optimizer's state."""
        return [(v, v.array.copy()) for v in (*self.weights, *self.optimizer.variables)]

    def _is_finite(self) -> bool:
        return all(np.isfinite(v.array).all() for v in self.weights)

    def _require_converged(
        self,
        feed: data.Feed,
        batch_size: int,
        epoch: int,
        hooks: CallbackList,
        states: list[State],
    ) -> None:
        """Check what no later step will: the weights, and the loss, after an epoch's last step."""
        if not _stops(hooks):
            return
        work = self._borrow()
        work.regularized = [(v, v.array) for v in self.trainable_weights if v.regularizer]
        batch = feed.last or next(feed.source.batches(batch_size))
        loss = self._forward_and_loss(*batch, work, training=False)[0]
        self._give_back(work)
        if not (math.isfinite(loss) and self._is_finite()):
            where = f" after the last batch of epoch {epoch + 1}"
            raise self._diverged(loss, where, f"epoch {epoch + 1}", states[-1])

    def _diverged(self, loss: float, where: str, before: str, good: State) -> FloatingPointError:
        """Restore the last good state, and return the error that says so."""
        rate = float(self.optimizer.learning_rate)
        for variable, array in good:
            variable.array[...] = array
        what, received = f"loss became {loss}", f"loss={loss}"
        if math.isfinite(loss):
            what, received = "weights became infinite or NaN", "weights that are not finite"
        return FloatingPointError(
            f"The {what}{where}, at learning rate {rate:g}; the model has the weights "
            f"it had before {before}. Try a smaller learning rate, or scale the inputs. "
            f"Received: {received}"
        )

    def _validation_source(self, validation_data: Any) -> data.Examples | data.Stream:
        if data.is_stream(validation_data):
            return self._source(validation_data, None)
        if not isinstance(validation_data, list | tuple) or len(validation_data) not in (2, 3):
            raise ValueError(
                "validation_data must be (x, y) or (x, y, sample_weight). "
                f"Received: {checks.shorten(validation_data)}"
            )
        return self._examples(*validation_data)

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
        """Compute loss and metrics on data, without training.

        Parameters
        ----------
        x : array_like, shape (N, ...), or iterable of batches
            The inputs.
        y : array_like, shape (N,) or (N, ...)
            The true values.
        batch_size : int, optional
            How many examples are computed at once; by default 32.
        verbose : {"auto", 0, 1, 2}
            As for `fit`.
        sample_weight : array_like, shape (N,), optional
            What each example counts in the loss.
        steps : int, optional
            The number of batches after which to end.
        callbacks : list of Callback, optional
            Called at fixed points.
        return_dict : bool
            Whether to return the metrics by name.

        Returns
        -------
        float, list of float, or dict
            The loss; with metrics, the loss and each metric.

        Raises
        ------
        ValueError, TypeError
            If an argument can't be what was meant.
        """
        self._refuse_overrides("test")
        self._require_compiled("evaluate")
        start = time.perf_counter()
        verbose = progress.as_verbose(verbose)
        listed = as_callbacks(callbacks)
        steps = checks.optional(checks.whole, "steps", steps)
        source = self._source(x, y, sample_weight)
        size = data.batch_size(batch_size, source, steps)
        self._ready(source)
        if isinstance(source, data.Examples):
            self._compare_inputs(source)
        count = steps or source.steps(size)
        hooks = CallbackList(listed, self, {"verbose": verbose, "epochs": 1, "steps": count})
        bar = progress.Progress(count, verbose, start=start)
        logs = self._evaluate(source, size, hooks, steps, bar)
        return self._results(logs, return_dict)

    def _evaluate(
        self,
        source: data.Examples | data.Stream,
        batch_size: int,
        hooks: CallbackList,
        limit: int | None = None,
        bar: progress.Progress | None = None,
    ) -> Logs:
        objective = self._objective
        objective.reset()
        begin, end = hooks.defines("on_test_batch_begin"), hooks.defines("on_test_batch_end")
        together = 1
        if not (begin or end or limit) and objective.by_example:
            together = max(_CHUNK // batch_size, 1)
        feed = data.Feed(source, batch_size * together, limit)
        regularized = [(v, v.array) for v in self.trainable_weights if v.regularizer is not None]

        def compute(numbered: tuple[int, data.Batch]) -> Any:
            step, (x, y, weights) = numbered
            if begin:
                hooks.call("on_test_batch_begin", step, {})
            work = self._borrow()
            work.regularized = regularized
            with Computing():
                loss, _, predictions = self._forward_and_loss(x, y, weights, work, training=False)
            return len(x), work, (loss, y, predictions, weights, work.of(objective).x)

        hooks.call("on_test_begin", {})
        done = 0
        run: Any = map if begin or end else threads.each
        for step, (n, work, figures) in enumerate(run(compute, enumerate(feed.epoch()))):
            objective.count(*figures)
            self._give_back(work)
            if end:
                hooks.call("on_test_batch_end", step, objective.logs())
            done += math.ceil(n / batch_size) if together > 1 else 1
            if bar is not None and bar.wants(done):
                bar.draw(done, objective.logs())
        logs: Logs = objective.logs()
        hooks.call("on_test_end", logs)
        if bar is not None:
            bar.finish(done, logs)
        return logs

    def _results(self, logs: Logs, return_dict: bool) -> Any:
        """Return metrics as Keras does: by name, as one float, or as a list."""
        if return_dict:
            return logs
        names = [metric.name for metric in self.metrics if metric.name in logs]
        listed = [logs[name] for name in dict.fromkeys([*names, *logs])]
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
        """Compute the outputs for data.

        Parameters
        ----------
        x : array_like, shape (N, ...), or iterable of batches
            The inputs.
        batch_size : int, optional
            How many examples are computed at once; by default 32.
        verbose : {"auto", 0, 1, 2}
            As for `fit`; ``"auto"`` shows a bar on terminals and in notebooks where there is
            more than one batch, and nothing else.
        steps : int, optional
            The number of batches after which to end.
        callbacks : list of Callback, optional
            Called at fixed points.

        Returns
        -------
        ndarray, shape (N, ...)
            The outputs, in the order of the inputs.

        Raises
        ------
        ValueError, TypeError
            If an argument can't be what was meant.
        """
        self._refuse_overrides("predict")
        start = time.perf_counter()
        listed = as_callbacks(callbacks)
        steps = checks.optional(checks.whole, "steps", steps)
        source: data.Examples | data.Stream
        if data.is_stream(x):
            source = data.Stream(x, lambda x, y, w: self._inputs(x))
        else:
            source = self._inputs(x)
            if len(source) == 0:
                shape = self.compute_output_shape(source.x.shape)
                return np.zeros((0, *(size or 0 for size in shape[1:])), self.dtype)
        size = data.batch_size(batch_size, source, steps)
        count = steps or source.steps(size)
        if verbose == "auto":
            verbose = int(count != 1 and progress.is_live())
        verbose = progress.as_verbose(verbose)
        if count == 1 and not verbose and not listed and isinstance(source, data.Examples):
            return self._predict_batch(source.x[:size])
        hooks = CallbackList(listed, self, {"verbose": verbose, "epochs": 1, "steps": count})
        bar = progress.Progress(count, verbose, start=start)
        begin, end = hooks.defines("on_predict_batch_begin"), hooks.defines("on_predict_batch_end")
        together = 1 if begin or end or steps else max(_CHUNK // size, 1)
        outputs: list[Array] = []
        done = 0

        def compute(numbered: tuple[int, data.Batch]) -> Array:
            step, (batch, _, _) = numbered
            if begin:
                hooks.call("on_predict_batch_begin", step, {})
            return self._predict_batch(batch)

        hooks.call("on_predict_begin", {})
        run: Any = map if begin or end else threads.each
        feed = data.Feed(source, size * together, steps)
        for step, batch_outputs in enumerate(run(compute, enumerate(feed.epoch()))):
            outputs.append(batch_outputs)
            if end:
                hooks.call("on_predict_batch_end", step, {"outputs": batch_outputs})
            done += math.ceil(len(batch_outputs) / size) if together > 1 else 1
            if bar.wants(done):
                bar.draw(done, {})
        hooks.call("on_predict_end", {})
        bar.finish(done, {})
        return np.concatenate(outputs)

    def _inputs(self, x: Any) -> data.Examples:
        """Check and convert inputs; build the model if that is still to do."""
        x = self._one_input(x)
        rows = isinstance(x, CompressedRows) and self._takes_rows(x)
        inputs = self._adjust_rank(x.astype(self.dtype) if rows else data.inputs(x))
        self._check_and_build(inputs)
        examples = data.Examples(inputs, inputs, None, (None, *inputs.shape[1:]))
        if self._input_sizes is not None and len(inputs):
            values = inputs.values if rows else inputs
            if len(inputs) == 1 and values.size:  # the fastest way, for a single image
                examples.largest = values.item(values.argmax())
            else:
                examples.largest = max(float(values.max(initial=0)), -float(values.min(initial=0)))
            self._compare_inputs(examples)
        return examples

    def _check_and_build(self, inputs: Array) -> None:
        """Check the inputs' shape; once it has been right, only that it is the same."""
        shape = inputs.shape[1:]
        if not self.built or self._checked_shape != shape:
            self.compute_output_shape(inputs.shape)
            self._build_once((None, *shape))
            self._checked_shape = shape

    _checked_shape: tuple[int, ...] | None = None

    def _predict_batch(self, x: Any, training: bool = False) -> Array:
        """Compute the outputs of one batch, in an array of their own."""
        if isinstance(x, CompressedRows):
            x = x.take(np.arange(len(x)))
        elif isinstance(x, np.ndarray):
            x = data.converted(x, self.dtype)
        work = self._borrow()
        with Computing():
            y = np.array(self.forward(x, work, training))
        self._give_back(work)
        return y

    def _borrow(self) -> Workspace:
        try:
            work = self._idle.pop()
        except IndexError:
            work = Workspace()
        work.logits = False
        return work

    def _give_back(self, work: Workspace) -> None:
        work.release()
        self._idle.append(work)

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
        """Do one step on one batch.

        Parameters
        ----------
        x, y : array_like
            The batch.
        sample_weight : array_like, shape (N,), optional
            What each example counts in the loss.
        class_weight : dict of int to float, optional
            What an example of each class counts in the loss.
        return_dict : bool
            Whether to return the metrics by name.

        Returns
        -------
        float, list of float, or dict
            Loss and metrics of this batch, from before the step.

        Raises
        ------
        ValueError, TypeError
            If an argument can't be what was meant; nothing has changed then.
        FloatingPointError
            If the loss, or a weight after the step, is infinite or not a number; the weights
            have not changed then.
        """
        self._refuse_overrides("train")
        self._require_compiled("train_on_batch")
        batch = self._examples(x, y, sample_weight, class_weight)
        self._require_backward()
        self._ready(batch)
        self._note_inputs(batch)
        self._objective.reset()
        stops = config.on_divergence() == "raise"
        work = self._training_work()
        before = self._state() if stops else []
        with Computing():
            loss = self._train_step(*next(batch.batches(len(batch))), work, stops)
        if stops and not (math.isfinite(loss) and self._is_finite()):
            raise self._diverged(loss, "", "this batch", before)
        return self._results(self._objective.logs(), return_dict)

    @_apart
    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Compute loss and metrics of one batch.

        Parameters
        ----------
        x, y : array_like
            The batch.
        sample_weight : array_like, shape (N,), optional
            What each example counts in the loss.
        return_dict : bool
            Whether to return the metrics by name.

        Returns
        -------
        float, list of float, or dict
            The metrics.

        Raises
        ------
        ValueError, TypeError
            If an argument can't be what was meant.
        """
        self._refuse_overrides("test")
        self._require_compiled("test_on_batch")
        batch = self._compare_inputs(self._examples(x, y, sample_weight))
        self._ready(batch)
        logs = self._evaluate(batch, len(batch), CallbackList([], self, {}))
        return self._results(logs, return_dict)

    def predict_on_batch(self, x: Any) -> Array:
        """Compute the outputs of one batch.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            The batch.

        Returns
        -------
        ndarray, shape (N, ...)
            The outputs.
        """
        self._refuse_overrides("predict")
        return self._predict_batch(self._inputs(x).x)


def _stops(hooks: CallbackList) -> bool:
    """Return whether training stops with an error when the loss is not finite."""
    return config.on_divergence() == "raise" and not hooks.terminates_on_nan


@functools.cache
def _overrides(cls: Any, kinds: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of Keras' hooks of these loops, and those that a class overrides."""
    names = [f.format(kind) for kind in kinds for f in _STEP_HOOKS]
    hooks = frozenset(names if kinds == ("predict",) else [*names, *_METRIC_HOOKS])
    changed = (n for n in hooks if getattr(cls, n, None) is not getattr(Trainer, n, None))
    return hooks, frozenset(changed)


def _validation_epochs(validation_freq: Any) -> Any:
    """Return a function that says whether to validate after an epoch; the first is 1."""
    if isinstance(validation_freq, Iterable) and not isinstance(validation_freq, str):
        epochs = {checks.whole("validation_freq", epoch) for epoch in validation_freq}
        return epochs.__contains__
    every = checks.whole("validation_freq", validation_freq)
    return lambda epoch: epoch % every == 0
