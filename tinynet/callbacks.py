"""Callbacks: your code at fixed points of the training loop.

A hook that no callback defines costs nothing: the loop asks once which are defined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Logs = dict[str, Any]

HOOKS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_predict_begin",
    "on_predict_end",
    "on_predict_batch_begin",
    "on_predict_batch_end",
)


class Callback:
    """The base of all callbacks; define the hooks you want.

    Attributes
    ----------
    model : Model
        The model that runs; its `stop_training` may be set.
    params : dict
        ``{"verbose", "epochs", "steps"}``.

    Examples
    --------
    >>> class Stop(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = logs["accuracy"] > 0.97
    """

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
        """Run after the last epoch, with its figures."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Run before an epoch; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Run after an epoch and its validation, with their figures."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a training batch: another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a training batch: another name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a training batch; the first of an epoch is 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a training batch, with the figures of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Run before an evaluation, or a validation within `fit`."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Run after it, with its figures."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of it."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch of it, with the figures so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Run before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Run after it."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of it."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch of it, with its ``outputs``."""


class History(Callback):
    """What `fit` returns: the figures of every epoch.

    Attributes
    ----------
    history : dict of str to list of float
        The figures, for example ``history["loss"]``.
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
        """Note the figures of an epoch."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class CallbackList:
    """The callbacks of one run, asked once which hooks they define.

    Parameters
    ----------
    callbacks : iterable of Callback
        In the order they are called.
    model : Model
        The model that runs.
    params : dict
        For `Callback.set_params`.

    Examples
    --------
    >>> CallbackList([History()], None, {}).defines("on_epoch_end")
    True
    """

    def __init__(self, callbacks: Iterable[Any], model: Any, params: dict[str, Any]) -> None:
        self._hooks: dict[str, list[Callable[..., None]]] = {hook: [] for hook in HOOKS}
        for callback in callbacks:
            callback.set_params(params)
            callback.set_model(model)
            for hook in HOOKS:
                if _defines(callback, hook):
                    self._hooks[hook].append(getattr(callback, hook))

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


def _defines(callback: Any, hook: str) -> bool:
    """Say whether a callback changed a hook, or the older name that the hook calls."""
    names = [hook, hook.replace("train_batch", "batch")]
    return any(
        getattr(getattr(callback, name, None), "__func__", None) is not getattr(Callback, name)
        for name in dict.fromkeys(names)
        if hasattr(callback, name)
    )


def as_callbacks(callbacks: Any) -> list[Any]:
    """Check what was passed as callbacks.

    Parameters
    ----------
    callbacks : None, Callback or list of Callback
        What was passed.

    Returns
    -------
    list of Callback
        The callbacks.

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
    listed = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    for callback in listed:
        if isinstance(callback, type) or not hasattr(callback, "set_model"):
            raise TypeError(
                f"callbacks must be a list of callbacks.Callback objects. Received: {callback!r}"
            )
    return listed
