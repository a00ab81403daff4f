"""Base class of callbacks, whose hooks run at fixed points of the training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet._core import checks

__all__ = ["Callback", "HOOKS", "Logs"]


#: Names of metrics and their values.
Logs = dict[str, Any]


_PARTS = ("train", "epoch", "train_batch", "test", "test_batch", "predict", "predict_batch")


#: Names of the methods that are called before and after each part of training and testing.
HOOKS = tuple(f"on_{part}_{when}" for part in _PARTS for when in ("begin", "end"))


class Callback:
    """Base class of callbacks; subclasses override the hooks they need.

    Attributes
    ----------
    model : Model
        Model that is trained or evaluated. Set ``model.stop_training = True`` to stop training.
    params : dict
        ``{"verbose", "epochs", "steps"}``.
    idle_hooks : tuple of function
        Hooks of the class that this instance does not need, so that the loop can skip them.
    resumes : tuple of str
        Names of attributes that `BackupAndRestore` saves and restores. Their values are numbers,
        None or lists of weights.
    adds : tuple of str
        Names of metrics that the callback adds to the logs of an epoch.
    terminates_on_nan : bool
        Whether the callback stops training if the loss is not finite, so that `fit` need not check.

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
        """Model that is trained or evaluated."""
        return self._model

    def set_model(self, model: Any) -> None:
        """Set the model; called before all hooks.

        Parameters
        ----------
        model : Model
            Model that is trained or evaluated.
        """
        self._model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Set the parameters of the run.

        Parameters
        ----------
        params : dict
            ``{"verbose", "epochs", "steps"}``.
        """
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called after the last epoch; `logs` contains its metrics."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before an epoch; epochs are counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after an epoch and its validation; `logs` contains their metrics."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a training batch; alias of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a training batch; alias of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a training batch; the batches of an epoch are counted from 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a training batch; `logs` contains the metrics of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before an evaluation, or a validation in `fit`."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after an evaluation; `logs` contains its metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of an evaluation; `logs` contains the metrics so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of a prediction; `logs` contains its ``outputs``."""


def level(name: str, value: Any) -> int:
    """Validate the argument `verbose` of a callback."""
    return int(value) if isinstance(value, bool) else checks.whole(name, value, 0)


def frequency(name: str, value: Any) -> Any:
    """Validate the argument `save_freq` of a callback."""
    by_epoch = isinstance(value, str) and value == "epoch"
    by_batch = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1
    expected = f"{name} must be 'epoch' or an integer of at least 1"
    checks.require(by_epoch or by_batch, expected, f"{name}={checks.shorten(value)}")
    return value if by_epoch else int(value)
