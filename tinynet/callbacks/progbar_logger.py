"""Progress bar as a callback."""

from __future__ import annotations

from tinynet._core import progress_bar
from tinynet.callbacks.callback import Callback, Logs

__all__ = ["ProgbarLogger"]


class ProgbarLogger(Callback):
    """Progress bar for custom training loops; `fit` draws its progress bar without this callback.

    Examples
    --------
    >>> from tinynet.callbacks import CallbackList
    >>> loop = CallbackList([ProgbarLogger()], epochs=2, steps=1, verbose=2)
    >>> loop.on_epoch_begin(0)
    Epoch 1/2
    """

    _bar = progress_bar.Progress(1, 0)
    _seen = 0
    _in_fit = False

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Start a bar."""
        verbose = progress_bar.as_verbose(self.params.get("verbose", "auto"))
        self._bar = progress_bar.Progress(self.params.get("steps"), verbose)
        self._seen = 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Update the bar."""
        self._seen = batch + 1
        if self._bar.wants(self._seen):
            self._bar.draw(self._seen, logs or {})

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Finish the bar."""
        self._bar.finish(self._bar.target or self._seen, logs or {})

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Disable the bars of validation."""
        self._in_fit = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Enable the bars of evaluation again."""
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start a bar."""
        self.on_predict_begin()
        epochs = self.params.get("epochs", 1)
        if epochs > 1 and self.params.get("verbose", "auto"):
            progress_bar.write(f"Epoch {epoch + 1}/{epochs}\n")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Finish the bar."""
        self.on_predict_end(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Start a bar."""
        if not self._in_fit:
            self.on_predict_begin()

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Update the bar."""
        if not self._in_fit:
            self.on_train_batch_end(batch, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Finish the bar."""
        if not self._in_fit:
            self.on_predict_end(logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Update the bar."""
        self.on_train_batch_end(batch)
