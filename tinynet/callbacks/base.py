"""What all callbacks share: the hooks, their order, and the metrics that fit returns.

A hook that no callback defines costs nothing: the loop asks once which are defined.
"""

from __future__ import annotations

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
        """Note the metrics of an epoch."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def _repr_html_(self) -> str:
        """Show the metrics as a table, where a notebook shows this."""
        # Validation may have been left out of some epochs.
        whole = {k: v for k, v in self.history.items() if len(v) == len(self.epoch)}
        fewer = [
            f"{k}, not of every epoch: {', '.join(map(_cell, v))}"
            for k, v in self.history.items()
            if k not in whole
        ]
        rows = [
            [str(epoch + 1), *(_cell(values[i]) for values in whole.values())]
            for i, epoch in enumerate(self.epoch)
        ]
        return Table("", ["epoch", *whole], rows, "; ".join(fewer), ())._repr_html_()


def _cell(value: Any) -> str:
    """Format a value of the logs: callbacks may put anything there."""
    return number(value) if isinstance(value, float | int | np.number) else str(value)


class ProgbarLogger(Callback):
    """The bar of steps, for a loop of your own; `fit` and the others draw it without.

    Examples
    --------
    >>> loop = CallbackList([ProgbarLogger()], epochs=2, steps=1, verbose=2)
    >>> loop.on_epoch_begin(0)
    Epoch 1/2
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar = progress.Progress(1, 0)
        self._seen = 0
        self._in_fit = False

    def _begin(self) -> None:
        verbose = progress.as_verbose(self.params.get("verbose", "auto"))
        self._bar = progress.Progress(self.params.get("steps"), verbose)
        self._seen = 0

    def _update(self, batch: int, logs: Logs) -> None:
        self._seen = batch + 1
        if self._bar.wants(self._seen):
            self._bar.draw(self._seen, logs)

    def _end(self, logs: Logs | None) -> None:
        self._bar.finish(self._bar.target or self._seen, logs or {})

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Note that validation is silent from here on."""
        self._in_fit = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Note that it is not any more."""
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start a bar."""
        self._begin()
        epochs = self.params.get("epochs", 1)
        if epochs > 1 and self.params.get("verbose", "auto"):
            progress.write(f"Epoch {epoch + 1}/{epochs}\n")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Draw the bar."""
        self._update(batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Draw the bar for the last time."""
        self._end(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Start a bar."""
        if not self._in_fit:
            self._begin()

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Draw the bar."""
        if not self._in_fit:
            self._update(batch, logs or {})

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Draw the bar for the last time."""
        if not self._in_fit:
            self._end(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Start a bar."""
        self._begin()

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Draw the bar."""
        self._update(batch, {})

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Draw the bar for the last time."""
        self._end(None)


class CallbackList:
    """The callbacks of one run, asked once which hooks they define.

    For a loop of your own, each hook is a method of the list too, as in Keras.

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
            for hook in HOOKS:
                if _defines(callback, hook):
                    self._hooks[hook].append(getattr(callback, hook))
        for callback in self.callbacks:
            if hasattr(callback, "after_epoch_end"):  # called after the hooks of all others
                callback.others = [other for other in self.callbacks if other is not callback]
                self._hooks["on_train_begin"].append(callback.after_train_begin)
                self._hooks["on_epoch_end"].append(callback.after_epoch_end)

    def defines(self, hook: str) -> bool:
        """Say whether any callback defines a hook.

        Parameters
        ----------
        hook : str
            Its name.

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
            Its name.
        *args : object
            What it takes.
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
    """Say whether a callback changed a hook, or the older name that the hook calls."""
    idle = getattr(callback, "idle_hooks", ())
    return any(
        getattr(getattr(callback, name), "__func__", None) not in (getattr(Callback, name), *idle)
        for name in {hook, hook.replace("train_batch", "batch")}
        if hasattr(callback, name)
    )


def as_callbacks(callbacks: Any) -> list[Any]:
    """Check what was passed as callbacks.

    Parameters
    ----------
    callbacks : None, Callback, list of Callback or CallbackList
        What was passed.

    Returns
    -------
    list of Callback
        The callbacks, without a `ProgbarLogger`: the loops draw the bar themselves.

    Raises
    ------
    TypeError
        If one of them is none: it has no `set_model`.

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
        if isinstance(callback, type) or not hasattr(callback, "set_model"):
            raise TypeError(
                "callbacks must be a list of callbacks.Callback objects. "
                f"Received: {checks.shorten(callback)}"
            )
    return [callback for callback in listed if type(callback) is not ProgbarLogger]


def as_level(verbose: Any) -> int:
    """Read a callback's argument `verbose`.

    Parameters
    ----------
    verbose : int or bool
        0 for nothing.

    Returns
    -------
    int
        The same as an integer.

    Examples
    --------
    >>> as_level(True)
    1
    """
    return int(verbose) if isinstance(verbose, bool) else checks.whole("verbose", verbose, 0)


def as_save_freq(save_freq: Any) -> Any:
    """Read a callback's argument `save_freq`.

    Parameters
    ----------
    save_freq : "epoch" or int
        When to save.

    Returns
    -------
    "epoch" or int
        The same.

    Raises
    ------
    ValueError
        If it is something else.

    Examples
    --------
    >>> as_save_freq(100)
    100
    """
    if isinstance(save_freq, str) and save_freq == "epoch":
        return save_freq
    try:
        return checks.whole("save_freq", save_freq)
    except (TypeError, ValueError):
        raise ValueError(
            "save_freq must be 'epoch' or an integer of at least 1. "
            f"Received: save_freq={checks.shorten(save_freq)}"
        ) from None


def require_no_schedule(callback: Callback) -> None:
    """Check that a callback can set the learning rate.

    Parameters
    ----------
    callback : Callback
        The callback, which knows its model.

    Raises
    ------
    TypeError
        If the optimizer has a schedule.

    Examples
    --------
    >>> import tinynet as keras
    >>> callback = Callback()
    >>> callback.set_model(keras.Sequential([keras.layers.Dense(1)]))
    >>> callback.model.compile(keras.optimizers.SGD(0.1), "mse")
    >>> require_no_schedule(callback)
    """
    schedule = getattr(callback.model.optimizer, "_schedule", None)
    if schedule is not None:
        name = type(callback).__name__
        raise TypeError(
            f"{name} can't set a learning rate that follows a schedule: use one of the two. "
            f"Received: learning_rate={checks.shorten(schedule)}"
        )
