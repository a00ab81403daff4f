"""Base of callbacks that save each epoch, or every few batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinynet.callbacks.callback import Callback, Logs


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
