"""Base of callbacks that monitor one metric."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import config
from tinynet._core import checks, suggestions
from tinynet._core.progress_bar import write
from tinynet.callbacks.callback import Callback, Logs

__all__ = ["Monitor"]


class Monitor(Callback):
    """The base of callbacks that monitor one metric.

    Parameters
    ----------
    monitor : str
        Name of the metric.
    mode : {"auto", "min", "max"}
        Whether less or more is better. ``"auto"``: less for a loss, else as the metric of that
        name defines it.
    min_delta : float
        Smallest difference that counts as an improvement; its sign is ignored.
    best : float, optional
        Initial value to improve on.

    Examples
    --------
    >>> accuracy = Monitor("accuracy", "max", min_delta=0.01)
    >>> accuracy.is_improvement(0.95, 0.93), accuracy.is_improvement(0.935, 0.93)
    (True, False)
    """

    verbose = 0

    def __init__(
        self, monitor: str, mode: str = "auto", min_delta: float = 0, best: float | None = None
    ) -> None:
        super().__init__()
        received = f"monitor={checks.shorten(monitor)}"
        text = "monitor must be the name of a metric"
        checks.require(isinstance(monitor, str), text, received, TypeError)
        if not isinstance(mode, str) or mode not in ("auto", "min", "max"):
            shown = checks.shorten(mode)
            checks.warn(f"{type(self).__name__} mode {shown} is unknown, fallback to auto mode.")
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(checks.number("min_delta", min_delta, high=np.inf))
        self.best = checks.optional(checks.number, "best", best, high=np.inf)

    def _more_is_better(self) -> bool:
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.removeprefix("val_")
        direction = "down" if name == "loss" else None
        for metric in getattr(self.model, "metrics", []):
            if metric.label == name:
                direction = getattr(metric, "_direction", None) or direction
        unknown = f"{type(self).__name__} can't tell whether more or less of {self.monitor!r} is"
        expected = f"{unknown} better: pass mode='max' or mode='min'"
        checks.require(direction, expected, f"monitor={self.monitor!r}, mode='auto'")
        return direction == "up"

    def is_improvement(self, value: float, best: float | None) -> bool:
        """Compare a value with another: it must be better by more than `min_delta`.

        Parameters
        ----------
        value : float
            The new value; NaN is never an improvement.
        best : float or None
            The other; any number is better than None or NaN.

        Returns
        -------
        bool
            Whether it is an improvement.

        Raises
        ------
        ValueError
            If it isn't known whether more or less is better.
        """
        more = self._more_is_better()
        if np.isnan(value) or best is None or np.isnan(best):
            return not np.isnan(value)
        kind = np.dtype(config.floatx()).type
        if more:
            return bool(kind(value - self.min_delta) > kind(best))
        return bool(kind(value + self.min_delta) < kind(best))

    def _before_training(self, names: set[str], closed: bool) -> None:
        """Check that the metric is known; `closed` if the logs have no other names."""
        self._more_is_better()
        if closed and self.monitor.removeprefix("val_") not in names:
            suggestions.known("monitor", self.monitor, dict.fromkeys(sorted(names)))

    def _current(self, logs: Logs, missing: str) -> Any:
        """Return the value, or warn and return None."""
        self._more_is_better()  # raises an error even if the value is missing
        value = logs.get(self.monitor)
        if value is not None and (np.ndim(value) or np.asarray(value).dtype.kind not in "biuf"):
            missing = (
                f"{type(self).__name__} needs a number, so this epoch is ignored. "
                f"Received: {self.monitor}={checks.shorten(value)}"
            )
            value = None
        if value is None:
            checks.warn(missing)
        return value

    def _is_best(self, value: float) -> bool:
        """Compare a value with the best so far, and keep it if it is better."""
        better = self.is_improvement(value, self.best)
        self.best = value if better else self.best
        return better

    def _say(self, epoch: int, text: str) -> None:
        if self.verbose:
            write(f"\nEpoch {epoch + 1}: {text}\n")
