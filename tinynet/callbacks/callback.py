"""Callbacks: code that is run at fixed points of the training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet._core import checks

__all__ = ["Callback", "HOOKS", "Logs"]


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
