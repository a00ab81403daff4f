"""Callback that records the metrics of each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet._core.text_tables import Table, number
from tinynet.callbacks.callback import Callback, Logs

__all__ = ["History"]


class History(Callback):
    """Record of the metrics of every epoch, returned by `fit`.

    Attributes
    ----------
    history : dict of str to list of float
        Metrics by name, for example ``history["loss"]``, with one value per epoch.
    epoch : list of int
        Epoch indices.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit([[1.0]], [[1.0]], epochs=2, verbose=0)
    >>> [*history.history], history.epoch
    (['loss'], [0, 1])
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
        """Return the metrics as an HTML table for notebooks."""
        # Validation may have been skipped in some epochs.
        whole = {k: v for k, v in self.history.items() if len(v) == len(self.epoch)}
        fewer = [
            f"{k}, not in every epoch: {', '.join(map(_cell, self.history[k]))}"
            for k in self.history
            if k not in whole
        ]
        columns = [[str(epoch + 1) for epoch in self.epoch]]
        columns += [[*map(_cell, values)] for values in whole.values()]
        rows = [*zip(*columns, strict=True)]
        return Table("", ["epoch", *whole], rows, "; ".join(fewer), ())._repr_html_()


def _cell(value: Any) -> str:
    """Format a value of the logs, which may be of any type."""
    return number(value) if isinstance(value, float | int | np.number) else str(value)
