"""Base class of callbacks that save after epochs or batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinynet.callbacks.callback import Callback, Logs


class Saver(Callback):
    """Base class of callbacks that save after each epoch or every `save_freq` batches.

    Subclasses define ``_save(epoch, batch, logs)``; after an epoch, `batch` is None.
    """

    save_freq: Any = "epoch"
    _epoch = _batches = 0

    @property
    def idle_hooks(self) -> tuple[Callable[..., None], ...]:  # type: ignore[override]  # read only
        """The batch hook, if the callback saves only after epochs."""
        return (Saver.on_train_batch_end,) if self.save_freq == "epoch" else ()

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        raise NotImplementedError

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Store the epoch index."""
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
