"""Base of all callbacks: the hooks, their order, and the metrics that fit returns.

A hook that no callback defines costs nothing: the loop looks up once which are defined.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinynet import checks, progress
from tinynet.tables import Table, number

__all__ = ["HOOKS", "Callback", "CallbackList", "History", "Logs", "ProgbarLogger", "as_callbacks"]

Logs = dict[str, Any]

_PARTS = ("train", "epoch", "train_batch", "test", "test_batch", "predict", "predict_batch")
HOOKS = tuple(f"on_{part}_{when}" for part in _PARTS for when in ("begin", "end"))


class Callback:
    """The base of all callbacks; define the hooks you want.

    Attributes
    ----------
    model : Model
        The model that runs; its `stop_training` may be set.
    params : dict
        ``{"verbose", "epochs", "steps"}``.
    idle_hooks : tuple of function
        Hooks of its class that this one has no use for, so that the loop need not call them.
    resumes : tuple of str
        Attributes that `BackupAndRestore` saves, and sets again in a resumed run: numbers or None.
    adds : tuple of str
        Names that it adds to the logs of an epoch.
    terminates_on_nan : bool
        Whether it ends training when the loss is not finite, so that `fit` need not.

    Examples
    --------
    >>> class Stop(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = logs["accuracy"] > 0.97
    """

    idle_hooks: tuple[Callable[..., None], ...] = ()
    resumes: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
    terminates_on_nan = False

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None

    @property
    def model(self) -> Any:
        """The model that runs."""
        return self._model

    def set_model(self, model: Any) -> None:
        """Receive the model, before anything else.

        Parameters
        ----------
        model : Model
            The model that runs.
        """
        self._model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive the parameters of the run.

        Parameters
        ----------
        params : dict
            ``{"verbose", "epochs", "steps"}``.
        """
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Run after the last epoch, with its metrics."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Run before an epoch; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Run after an epoch and its validation, with their metrics."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a training batch: another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a training batch: another name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a training batch; the first of an epoch is 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a training batch, with the metrics of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Run before an evaluation, or a validation within `fit`."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Run after it, with its metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of it."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch of it, with the metrics so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Run before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Run after it."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of it."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch of it, with its ``outputs``."""


class History(Callback):
    """What `fit` returns: the metrics of every epoch.

    Attributes
    ----------
    history : dict of str to list of float
        The metrics, for example ``history["loss"]``.
    epoch : list of int
        The numbers of the epochs.

    Examples
    --------
    >>> History().history
    {}
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the metrics of an epoch."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def _repr_html_(self) -> str:
        """Show the metrics as a table, where a notebook shows this."""
        # Validation may have been left out of some epochs.
        whole = {k: v for k, v in self.history.items() if len(v) == len(self.epoch)}
        fewer = [
            f"{k}, not of every epoch: {', '.join(map(_cell, self.history[k]))}"
            for k in self.history
            if k not in whole
        ]
        columns = [[str(epoch + 1) for epoch in self.epoch]]
        columns += [[*map(_cell, values)] for values in whole.values()]
        rows = [*zip(*columns, strict=True)]
        return Table("", ["epoch", *whole], rows, "; ".join(fewer), ())._repr_html_()


def _cell(value: Any) -> str:
    """Format a value of the logs: callbacks may put anything there."""
    return number(value) if isinstance(value, float | int | np.number) else str(value)


class ProgbarLogger(Callback):
    """Progress bar of steps, for a custom loop; `fit` and the others draw it without.

    Examples
    --------
    >>> loop = CallbackList([ProgbarLogger()], epochs=2, steps=1, verbose=2)
    >>> loop.on_epoch_begin(0)
    Epoch 1/2
    """

    _bar = progress.Progress(1, 0)
    _seen = 0
    _in_fit = False

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Start a bar."""
        verbose = progress.as_verbose(self.params.get("verbose", "auto"))
        self._bar = progress.Progress(self.params.get("steps"), verbose)
        self._seen = 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Draw the bar."""
        self._seen = batch + 1
        if self._bar.wants(self._seen):
            self._bar.draw(self._seen, logs or {})

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Draw the bar for the last time."""
        self._bar.finish(self._bar.target or self._seen, logs or {})

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Draw no bars of validation from here on."""
        self._in_fit = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Draw bars of evaluation again."""
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start a bar."""
        self.on_predict_begin()
        epochs = self.params.get("epochs", 1)
        if epochs > 1 and self.params.get("verbose", "auto"):
            progress.write(f"Epoch {epoch + 1}/{epochs}\n")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Draw the bar for the last time."""
        self.on_predict_end(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Start a bar."""
        if not self._in_fit:
            self.on_predict_begin()

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Draw the bar."""
        if not self._in_fit:
            self.on_train_batch_end(batch, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Draw the bar for the last time."""
        if not self._in_fit:
            self.on_predict_end(logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Draw the bar."""
        self.on_train_batch_end(batch)


class CallbackList:
    """Callbacks of one run; which hooks they define is looked up once.

    For a custom loop, each hook is a method of the list too, as in Keras.

    Parameters
    ----------
    callbacks : iterable of Callback, optional
        In the order they are called.
    model : Model, optional
        The model that runs.
    params : dict, optional
        For `Callback.set_params`.
    add_history, add_progbar : bool
        Whether to add a `History`, which becomes ``model.history``, and a `ProgbarLogger`,
        unless there is one.
    **more : object
        More of `params`.

    Examples
    --------
    >>> CallbackList([History()], None, {}).defines("on_epoch_end")
    True
    >>> loop = CallbackList(add_history=True, epochs=2)
    >>> loop.on_epoch_end(0, {"loss": 0.5})
    >>> loop.callbacks[0].history
    {'loss': [0.5]}
    """

    def __init__(
        self,
        callbacks: Iterable[Any] | None = None,
        model: Any = None,
        params: dict[str, Any] | None = None,
        add_history: bool = False,
        add_progbar: bool = False,
        **more: Any,
    ) -> None:
        self.callbacks = list(callbacks or [])
        for wanted, kind in ((add_history, History), (add_progbar, ProgbarLogger)):
            if wanted and not any(isinstance(c, kind) for c in self.callbacks):
                self.callbacks.append(kind())
                if kind is History and model is not None:
                    model.history = self.callbacks[-1]
        self.params = {**(params or {}), **more}
        self.terminates_on_nan = any(getattr(c, "terminates_on_nan", False) for c in self.callbacks)
        self._hooks: dict[str, list[Callable[..., None]]] = {hook: [] for hook in HOOKS}
        for callback in self.callbacks:
            callback.set_params(self.params)
            callback.set_model(model)
            for hook in filter(functools.partial(_defines, callback), HOOKS):
                self._hooks[hook].append(getattr(callback, hook))
        for callback in self.callbacks:
            if hasattr(callback, "after_epoch_end"):  # called after the hooks of all others
                callback.others = [other for other in self.callbacks if other is not callback]
                self._hooks["on_train_begin"].append(callback.after_train_begin)
                self._hooks["on_epoch_end"].append(callback.after_epoch_end)

    def defines(self, hook: str) -> bool:
        """Return whether any callback defines a hook.

        Parameters
        ----------
        hook : str
            Name of the hook.

        Returns
        -------
        bool
            Whether calling it does anything.
        """
        return bool(self._hooks[hook])

    def check(self, names: Iterable[str]) -> None:
        """Raise the errors of callbacks that can be detected before training.

        Parameters
        ----------
        names : iterable of str
            The names of metrics in the logs of an epoch. Custom metrics and callbacks may add
            others.
        """
        known = set(names)
        metrics = getattr(self.callbacks[-1].model, "metrics", [])
        closed = all(type(metric).__module__.startswith("tinynet.") for metric in metrics)
        for callback in self.callbacks:
            if hasattr(callback, "_before_training"):
                callback._before_training(known, closed)
            known |= {*getattr(callback, "adds", ())}
            own = type(callback).__module__.startswith("tinynet.callbacks.")
            closed = closed and own and type(callback).__name__ != "LambdaCallback"

    def call(self, hook: str, *args: Any) -> None:
        """Call a hook of all callbacks that define it.

        Parameters
        ----------
        hook : str
            Name of the hook.
        *args : object
            Arguments of the hook.
        """
        for function in self._hooks[hook]:
            function(*args)

    def __getattr__(self, name: str) -> Any:
        hook = name.replace("on_batch", "on_train_batch")
        if hook not in HOOKS:
            raise AttributeError(f"CallbackList has no attribute {name!r}")
        numbered = "epoch" in hook or "batch" in hook

        def call(*args: Any, logs: Logs | None = None) -> None:
            number, given = args[:numbered], args[numbered:]
            self.call(hook, *number, (given[0] if given else logs) or {})

        return call


def _defines(callback: Any, hook: str) -> bool:
    """Return whether a callback defines a hook, or the older name that the hook calls."""
    idle = getattr(callback, "idle_hooks", ())
    return any(
        getattr(getattr(callback, name), "__func__", None) not in (getattr(Callback, name), *idle)
        for name in {hook, hook.replace("train_batch", "batch")}
        if hasattr(callback, name)
    )


def as_callbacks(callbacks: Any) -> list[Any]:
    """Validate the argument `callbacks`.

    Parameters
    ----------
    callbacks : None, Callback, list of Callback or CallbackList
        The argument.

    Returns
    -------
    list of Callback
        The callbacks, without a `ProgbarLogger`: the loops draw the bar themselves.

    Raises
    ------
    TypeError
        If one of them is not a callback: it does not have `set_model`.

    Examples
    --------
    >>> as_callbacks(None)
    []
    """
    if callbacks is None:
        return []
    if isinstance(callbacks, CallbackList):
        callbacks = callbacks.callbacks
    listed = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    for callback in listed:
        known = not isinstance(callback, type) and hasattr(callback, "set_model")
        expected = "callbacks must be a list of callbacks.Callback objects"
        checks.require(known, expected, checks.shorten(callback), TypeError)
    return [callback for callback in listed if type(callback) is not ProgbarLogger]


def level(name: str, value: Any) -> int:
    """Validate the argument `verbose` of a callback.

    Parameters
    ----------
    name : str
        The argument's name.
    value : int or bool
        0 for no output.

    Returns
    -------
    int
        The same as an integer.

    Examples
    --------
    >>> level("verbose", True)
    1
    """
    return int(value) if isinstance(value, bool) else checks.whole(name, value, 0)


def frequency(name: str, value: Any) -> Any:
    """Validate the argument `save_freq` of a callback.

    Parameters
    ----------
    name : str
        The argument's name.
    value : "epoch" or int
        Number of batches, or "epoch".

    Returns
    -------
    "epoch" or int
        The same.

    Examples
    --------
    >>> frequency("save_freq", "batch")
    Traceback (most recent call last):
        ...
    ValueError: save_freq must be 'epoch' or an integer of at least 1. Received: save_freq='batch'
    """
    by_epoch = isinstance(value, str) and value == "epoch"
    by_batch = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1
    expected = f"{name} must be 'epoch' or an integer of at least 1"
    checks.require(by_epoch or by_batch, expected, f"{name}={checks.shorten(value)}")
    return value if by_epoch else int(value)


class Saver(Callback):
    """Base of callbacks that save each epoch, or every few batches, counted across epochs.

    Subclasses set `save_freq` and define ``_save(epoch, batch, logs)``; after an epoch, `batch` is
    None.

    Examples
    --------
    >>> Saver().idle_hooks == (Saver.on_train_batch_end,)
    True
    """

    save_freq: Any = "epoch"
    _epoch = _batches = 0

    @property
    def idle_hooks(self) -> tuple[Callable[..., None], ...]:  # type: ignore[override]  # read only
        """The hook for batches, if it only saves after an epoch."""
        return (Saver.on_train_batch_end,) if self.save_freq == "epoch" else ()

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        raise NotImplementedError

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save after every `save_freq` batches."""
        self._batches += 1
        if self.save_freq != "epoch" and self._batches >= self.save_freq:
            self._batches = 0
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save after an epoch."""
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})


class RateSetter(Callback):
    """Base of callbacks that set the learning rate, which they add to the logs of an epoch.

    Examples
    --------
    >>> RateSetter().adds
    ('learning_rate',)
    """

    adds = ("learning_rate",)

    def _before_training(self, names: set[str], closed: bool) -> None:
        """Check that the learning rate does not follow a schedule."""
        schedule = getattr(self.model.optimizer, "_schedule", None)
        both = f"{type(self).__name__} can't set a learning rate that follows a schedule"
        received = f"learning_rate={checks.shorten(schedule)}"
        checks.require(schedule is None, f"{both}: use one of the two", received, TypeError)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add the learning rate to the logs."""
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
