"""Callback that stops training when the loss is not finite."""

from __future__ import annotations

import math

from tinynet._core import argument, checks, declared
from tinynet._core.progress_bar import write
from tinynet.callbacks.callback import Callback, Logs

__all__ = ["TerminateOnNaN"]


@declared()
class TerminateOnNaN(Callback):
    """Stop training when the loss is not finite.

    With this callback, `fit` does not check the loss itself.

    Parameters
    ----------
    raise_error : bool
        If True, raise an error; otherwise, training stops after the batch.

    Examples
    --------
    >>> TerminateOnNaN(raise_error=True).on_batch_end(3, {"loss": math.nan})
    Traceback (most recent call last):
        ...
    RuntimeError: loss must be finite. Received: loss=nan at batch 3
    """

    raise_error: bool = argument(False, checks.flag)
    terminates_on_nan = True

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Check the loss of the epoch so far."""
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(f"loss must be finite. Received: loss={loss} at batch {batch}")
        write(f"Batch {batch}: Invalid loss, terminating training\n")
        self.model.stop_training = True
