"""The loops: compile, fit, evaluate and predict, and nothing of the maths.

One training step is `Trainer._train_step`: forward through the layers, the loss and its
gradient, backward through the layers, one step of the optimizer. All the rest decides which
batch comes next and who is told about it.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinynet import activations, checks, data, losses, metrics, optimizers, progress, random
from tinynet.callbacks import CallbackList, History, as_callbacks
from tinynet.layers import Layer
from tinynet.variable import Array, Variable, pack
from tinynet.workspace import Workspace

Logs = dict[str, float]


class Trainer(Layer):
    """A layer that can be trained: the part of a model that knows about data and time.

    Parameters
    ----------
    **kwargs : object
        As for `Layer`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.compiled = False
        self.stop_training = False
        self.history: History | None = None
        self.optimizer: Any = None
        self.loss: Any = None
        self._loss: Any = None
        self._loss_on_logits: Any = None
        self._metric_entries: list[Any] = []
        self._weighted_entries: list[Any] = []
        self._metrics: list[metrics.Metric] | None = None
        self._loss_tracker = metrics.Mean("loss")
        self._random = np.random.Generator(np.random.PCG64(random.draw_seed()))
        # Workspaces of finished predictions; taking one is atomic, so threads can share a model.
        self._idle: collections.deque[Workspace] = collections.deque()
        self._work: Workspace | None = None
        self._plan: tuple[Any, ...] | None = None

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
            What is made small.
        loss_weights : float or list of one float, optional
            What the loss is multiplied by.
        metrics : list of (str or Metric), optional
            What is reported besides.
        weighted_metrics : list of (str or Metric), optional
            The same, with sample weights applied.
        run_eagerly, steps_per_execution, jit_compile : object
            Accepted as Keras does, without effect: there is no graph.

        Raises
        ------
        ValueError
            If one of them is not known; the model stays as it was.
        """
        new_optimizer = optimizers.get(optimizer)
        new_loss = None if loss is None else losses.as_loss(loss)
        weight = 1.0
        if loss_weights is not None:
            only = loss_weights[0] if isinstance(loss_weights, list | tuple) else loss_weights
            weight = checks.number("loss_weights", only)
        entries = _metric_list("metrics", metrics)
        weighted = _metric_list("weighted_metrics", weighted_metrics)
        self.optimizer, self.loss, self._loss = new_optimizer, loss, new_loss
        self._loss_on_logits = new_loss.on_logits() if new_loss and new_loss.logits_of else None
        self.loss_weights, self._loss_weight = loss_weights, weight
        self._metric_entries, self._weighted_entries = entries, weighted
        self._metrics = None
        self._work = None
        self.compiled = True

    @property
    def metrics(self) -> list[metrics.Metric]:
        """The mean loss, then what `compile` named, as far as it is known."""
        return [self._loss_tracker, *(self._metrics or [])] if self.compiled else []

    @property
    def metrics_names(self) -> list[str]:
        """The names of `metrics`."""
        return [metric.name for metric in self.metrics]

    def _require_compiled(self, method: str) -> None:
        if not self.compiled:
            raise ValueError(
                f"Call compile(optimizer, loss) before {method}. Received: a model not compiled"
            )
        if self._loss is None:
            raise ValueError(f"{method} needs a loss: compile(loss=...). Received: loss=None")

    def _resolve_metrics(self, y: Array, output_shape: Sequence[int | None]) -> None:
        """Make the metrics once the shapes are known that ``"accuracy"`` is decided by."""
        if self._metrics is not None:
            return
        resolved: list[metrics.Metric] = []
        entries = [*self._metric_entries, *self._weighted_entries]
        names: collections.Counter[str] = collections.Counter()
        for position, entry in enumerate(entries):
            metric = metrics.resolve(entry, y.ndim, tuple(output_shape))
            name = metric.name
            if names[name] and position >= len(self._metric_entries):
                name = f"weighted_{name}"
            names[name] += 1
            metric.name = name if names[name] == 1 else f"{name}_{names[name] - 1}"
            resolved.append(metric)
        self._metrics = resolved

    # ------------------------------------------------------------ one step

    def _train_step(self, x: Array, y: Array, weights: Array | None, work: Workspace) -> None:
        """Forward, loss, backward, and one step of the optimizer."""
        loss_value, d_y = self._forward_and_loss(x, y, weights, work, training=True)
        self.backward(d_y, work, need_d_x=False)
        self.optimizer.step(self._optimizer_plan(work))
        self._count(loss_value, y, work.y, weights, len(x))

    def _forward_and_loss(
        self, x: Array, y: Array, weights: Array | None, work: Workspace, training: bool
    ) -> tuple[float, Array]:
        """Compute the loss and its gradient in the output, from logits where that is exact.

        The predictions are left in ``work.y``.
        """
        loss, head = self._loss, self.output_activation
        loss_work = work.of(loss)
        work.logits = head is not None and head in loss.logits_of
        y_pred = self.forward(x, work, training)
        if head is None or not work.logits:
            loss_value, d_y = loss.step(y, y_pred, weights, loss_work)
        else:
            # Keras takes the input of a softmax, or of a sigmoid, for the scores.
            loss_value, d_y = self._loss_on_logits.step(y, y_pred, weights, loss_work)
            if head is activations.softmax and loss_work.y is not None:
                y_pred = loss_work.y
            else:
                y_pred = head.forward(y_pred, work.array("y_pred", y_pred.shape, y_pred.dtype))
        work.y = y_pred
        if self._loss_weight != 1:
            loss_value *= self._loss_weight
            d_y = d_y * d_y.dtype.type(self._loss_weight)
        return loss_value, d_y

    def _count(
        self, loss_value: float, y: Array, y_pred: Array, weights: Array | None, n: int
    ) -> None:
        """Add a batch to the figures of the epoch: the loss by its number of examples."""
        self._loss_tracker.total += loss_value * n
        self._loss_tracker.count += n
        for i, metric in enumerate(self._metrics or []):
            weighted = i >= len(self._metric_entries)
            metric.update_state(y, y_pred, weights if weighted else None)

    def _training_work(self) -> Workspace:
        """Return the workspace of training, with the gradients as views of one flat vector."""
        variables = self.trainable_variables
        key = tuple(id(v.array) for v in variables)
        if self._work is None or self._plan is None or self._plan[0] != key:
            gradients = _like(variables)
            self._work = Workspace()
            self._give_gradients(self._work, dict(zip(map(id, variables), gradients, strict=True)))
            self.optimizer.build(variables)
            self._plan = (key, self.optimizer.plan(variables, gradients), gradients)
        return self._work

    def _optimizer_plan(self, work: Workspace) -> list[tuple[Array, ...]]:
        assert self._plan is not None
        plan: list[tuple[Array, ...]] = self._plan[1]
        return plan

    def _give_gradients(self, work: Workspace, gradients: dict[int, Array]) -> None:
        """Hand every layer the views it writes its gradients to."""
        work.gradients = [gradients[id(v)] for v in self.trainable_weights]

    def _logs(self) -> Logs:
        """Return the figures so far, sorted by name as Keras does."""
        return {m.name: float(m.result()) for m in sorted(self.metrics, key=lambda m: m.name)}

    def _reset_metrics(self) -> None:
        for metric in self.metrics:
            metric.reset_state()

    def reset_metrics(self) -> None:
        """Forget what the metrics have seen."""
        self._reset_metrics()

    # ------------------------------------------------------------ data

    def _examples(
        self, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None
    ) -> data.Examples:
        """Check and convert what the caller passed; build the model if that is still to do."""
        inputs = data.features(x, self.dtype)
        if not len(inputs):
            raise ValueError(f"x must hold at least one example. Received: shape {inputs.shape}")
        if y is None:
            raise ValueError("y must be the true values of x. Received: y=None")
        raw_y = losses.numeric("y", y)
        if raw_y.ndim == 0:
            raise ValueError(f"y must have one row for each example. Received: y={raw_y}")
        weights = None
        if sample_weight is not None and class_weight is not None:
            raise ValueError(
                "sample_weight and class_weight can't be combined. Received: both of them"
            )
        if sample_weight is not None:
            weights = losses.numeric("sample_weight", sample_weight).astype(self.dtype)
        data.same_length(x=inputs, y=raw_y, sample_weight=weights)
        output_shape = self._output_shape_for((None, *inputs.shape[1:]))
        targets = self._loss.prepare(raw_y, output_shape)
        if class_weight is not None:
            weights = data.class_weights(raw_y, class_weight, self.dtype)
        if weights is not None:
            shape = targets.shape[: max(len(output_shape) - 1, 1)]
            weights = losses.fit_weights(weights, shape)
        self._ensure_built((None, *inputs.shape[1:]))
        self._resolve_metrics(targets, output_shape)
        return data.Examples(inputs, targets, weights)

    def _output_shape_for(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Check that an input's shape fits, without building anything."""
        return self.compute_output_shape(input_shape)

    def _ensure_built(self, input_shape: tuple[int | None, ...]) -> None:
        if not self.built:
            self.build(input_shape)

    # ------------------------------------------------------------ fit

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
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
    ) -> History:
        """Train.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            The inputs: real numbers of any type.
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
        validation_data : tuple of (x, y) or (x, y, sample_weight), optional
            What is evaluated after each epoch; wins over `validation_split`.
        shuffle : bool
            Whether each epoch goes through the examples in a new random order.
        class_weight : dict of int to float, optional
            What an example of each class counts in the loss.
        sample_weight : array_like, shape (N,), optional
            What each example counts in the loss.
        initial_epoch : int
            The number of the first epoch.

        Returns
        -------
        History
            Its ``history`` maps ``"loss"``, the metrics' names, and both with ``"val_"``, to
            one float an epoch.

        Raises
        ------
        ValueError, TypeError
            If an argument can't be what was meant; nothing has changed then.

        Examples
        --------
        >>> import tinynet as keras
        >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> history = model.fit([[0.0], [1.0]], [0, 1], epochs=3, verbose=0)
        >>> len(history.history["loss"])
        3
        """
        self._require_compiled("fit")
        size = _batch_size(batch_size)
        epochs = checks.whole("epochs", epochs, 0)
        initial_epoch = checks.whole("initial_epoch", initial_epoch, 0)
        verbose = progress.as_verbose(verbose)
        shuffle = checks.flag("shuffle", shuffle)
        split = checks.number("validation_split", validation_split, 0, 1)
        listed = as_callbacks(callbacks)
        train = self._examples(x, y, sample_weight, class_weight)
        validation = None
        if validation_data is not None:
            validation = self._examples(*_validation_triple(validation_data))
        elif split:
            train, validation = train.split(split)

        history = self.history = History()
        steps = train.steps(size)
        params = {"verbose": verbose, "epochs": epochs, "steps": steps}
        hooks = CallbackList([*listed, history], self, params)
        work = self._training_work()
        self.stop_training = False
        logs: Logs = {}
        hooks.call("on_train_begin", {})
        for epoch in range(initial_epoch, epochs):
            if epochs > 1 and verbose:
                progress.write(f"Epoch {epoch + 1}/{epochs}\n")
            bar = progress.Progress(steps, verbose)
            hooks.call("on_epoch_begin", epoch, {})
            done = self._train_epoch(train, size, shuffle, hooks, bar, work)
            logs = self._logs()
            if validation is not None:
                figures = self._evaluate(validation, size, hooks)
                logs.update({f"val_{name}": value for name, value in figures.items()})
            hooks.call("on_epoch_end", epoch, logs)
            bar.finish(done, logs)
            if self.stop_training:
                break
        hooks.call("on_train_end", logs)
        return history

    def _train_epoch(
        self,
        train: data.Examples,
        batch_size: int,
        shuffle: bool,
        hooks: CallbackList,
        bar: progress.Progress,
        work: Workspace,
    ) -> int:
        """Train on every batch once; return how many there were."""
        self._reset_metrics()
        begin, end = hooks.defines("on_train_batch_begin"), hooks.defines("on_train_batch_end")
        order = self._random.permutation(len(train)) if shuffle else None
        step = 0
        for step, (x, y, weights) in enumerate(train.batches(batch_size, order, work), 1):
            if begin:
                hooks.call("on_train_batch_begin", step - 1, {})
            self._train_step(x, y, weights, work)
            if end:
                hooks.call("on_train_batch_end", step - 1, self._logs())
            if bar.wants(step):
                bar.draw(step, self._logs())
            if self.stop_training:
                break
        return step

    # ------------------------------------------------------------ evaluate

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Compute loss and metrics on data, without training.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            The inputs.
        y : array_like, shape (N,) or (N, ...)
            The true values.
        batch_size : int, optional
            How many examples are computed at once; by default 32.
        verbose : {"auto", 0, 1, 2}
            As for `fit`.
        sample_weight : array_like, shape (N,), optional
            What each example counts in the loss.
        callbacks : list of Callback, optional
            Called at fixed points.
        return_dict : bool
            Whether to return the figures by name.

        Returns
        -------
        float, list of float, or dict
            The loss; with metrics, the loss and each metric.

        Raises
        ------
        ValueError, TypeError
            If an argument can't be what was meant.
        """
        self._require_compiled("evaluate")
        size, verbose = _batch_size(batch_size), progress.as_verbose(verbose)
        listed = as_callbacks(callbacks)
        examples = self._examples(x, y, sample_weight)
        steps = examples.steps(size)
        hooks = CallbackList(listed, self, {"verbose": verbose, "epochs": 1, "steps": steps})
        bar = progress.Progress(steps, verbose)
        logs = self._evaluate(examples, size, hooks, bar)
        bar.finish(steps, logs)
        return self._figures(logs, return_dict)

    def _evaluate(
        self,
        examples: data.Examples,
        batch_size: int,
        hooks: CallbackList,
        bar: progress.Progress | None = None,
    ) -> Logs:
        self._reset_metrics()
        begin, end = hooks.defines("on_test_batch_begin"), hooks.defines("on_test_batch_end")
        work = self._borrow()
        hooks.call("on_test_begin", {})
        for step, (x, y, weights) in enumerate(examples.batches(batch_size), 1):
            if begin:
                hooks.call("on_test_batch_begin", step - 1, {})
            loss_value, _ = self._forward_and_loss(x, y, weights, work, training=False)
            self._count(loss_value, y, work.y, weights, len(x))
            if end:
                hooks.call("on_test_batch_end", step - 1, self._logs())
            if bar is not None and bar.wants(step):
                bar.draw(step, self._logs())
        self._give_back(work)
        logs = self._logs()
        hooks.call("on_test_end", logs)
        return logs

    def _figures(self, logs: Logs, return_dict: bool) -> Any:
        """Return figures as Keras does: by name, as one float, or as a list."""
        if return_dict:
            return logs
        listed = [logs[metric.name] for metric in self.metrics]
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
        x : array_like, shape (N, ...)
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
        size = _batch_size(batch_size)
        inputs = data.features(x, self.dtype)
        output_shape = self._output_shape_for((None, *inputs.shape[1:]))
        listed = as_callbacks(callbacks)
        if steps is not None:
            inputs = inputs[: checks.whole("steps", steps) * size]
        self._ensure_built((None, *inputs.shape[1:]))
        examples = data.Examples(inputs, inputs)
        count = examples.steps(size)
        if verbose == "auto":
            verbose = int(count > 1 and progress.is_live())
        verbose = progress.as_verbose(verbose)
        out = np.empty((len(inputs), *(size or 0 for size in output_shape[1:])), self.dtype)
        hooks = CallbackList(listed, self, {"verbose": verbose, "epochs": 1, "steps": count})
        bar = progress.Progress(count, verbose)
        work = self._borrow()
        hooks.call("on_predict_begin", {})
        for step, (batch, _, _) in enumerate(examples.batches(size), 1):
            hooks.call("on_predict_batch_begin", step - 1, {})
            start = (step - 1) * size
            out[start : start + len(batch)] = self.forward(batch, work)
            if hooks.defines("on_predict_batch_end"):
                outputs = out[start : start + len(batch)].copy()
                hooks.call("on_predict_batch_end", step - 1, {"outputs": outputs})
            if bar.wants(step):
                bar.draw(step, {})
        hooks.call("on_predict_end", {})
        self._give_back(work)
        bar.finish(count, {})
        return out

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
            Whether to return the figures by name.

        Returns
        -------
        float, list of float, or dict
            Loss and metrics of this batch, from before the step.

        Raises
        ------
        ValueError, TypeError
            If an argument can't be what was meant; nothing has changed then.
        """
        self._require_compiled("train_on_batch")
        batch = self._examples(x, y, sample_weight, class_weight)
        self._reset_metrics()
        self._train_step(batch.x, batch.y, batch.weights, self._training_work())
        return self._figures(self._logs(), return_dict)

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
            Whether to return the figures by name.

        Returns
        -------
        float, list of float, or dict
            The figures.

        Raises
        ------
        ValueError, TypeError
            If an argument can't be what was meant.
        """
        self._require_compiled("test_on_batch")
        batch = self._examples(x, y, sample_weight)
        return self._figures(
            self._evaluate(batch, len(batch), CallbackList([], self, {})), return_dict
        )

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
        return self.predict(x, batch_size=max(len(x), 1), verbose=0)


def _like(variables: Iterable[Any]) -> list[Array]:
    """Make arrays of the variables' shapes, as views of one flat vector."""
    loose = [Variable(np.zeros_like(v.array)) for v in variables]
    pack(loose)
    return [v.array for v in loose]


def _batch_size(batch_size: Any) -> int:
    return 32 if batch_size is None else checks.whole("batch_size", batch_size)


def _metric_list(name: str, entries: Any) -> list[Any]:
    """Check what was passed as metrics."""
    if entries is None:
        return []
    if isinstance(entries, dict):
        entries = list(entries.values())
    if not isinstance(entries, list | tuple):
        raise ValueError(f"{name} must be a list. Received: {name}={checks.shorten(entries)}")
    flat = [e for entry in entries for e in (entry if isinstance(entry, list) else [entry])]
    for entry in flat:
        metrics.check(entry)
    return flat


def _validation_triple(validation_data: Any) -> tuple[Any, Any, Any]:
    if not isinstance(validation_data, list | tuple) or len(validation_data) not in (2, 3):
        raise ValueError(
            "validation_data must be (x, y) or (x, y, sample_weight). "
            f"Received: {checks.shorten(validation_data)}"
        )
    x, y, *weights = validation_data
    return x, y, weights[0] if weights else None
