"""The values of losses and metrics in each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet._core.text_tables import Table, number
from tinynet.callbacks.callback import Callback, Logs

__all__ = ["History"]


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
