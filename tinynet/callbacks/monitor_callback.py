"""Base class of callbacks that monitor a metric."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import config
from tinynet._core import checks, suggestions
from tinynet._core.progress_bar import write
from tinynet.callbacks.callback import Callback, Logs

__all__ = ["Monitor"]


class Monitor(Callback):
    """Base class of callbacks that monitor a metric.

    Parameters
    ----------
    monitor : str
        Name of the metric.
    mode : {"auto", "min", "max"}
        Whether lower ("min") or higher ("max") values are better. With "auto", lower values of a
        loss are better, and other metrics define their direction.
    min_delta : float
        Minimum difference that counts as an improvement; its sign is ignored.
    best : float, optional
        Initial best value.

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
        unknown = f"cannot infer whether higher or lower values of {self.monitor!r} are better"
        expected = f"mode must be 'min' or 'max', because {type(self).__name__} {unknown}"
        checks.require(direction, expected, f"monitor={self.monitor!r}, mode='auto'")
        return direction == "up"

    def is_improvement(self, value: float, best: float | None) -> bool:
        """Return whether a value is better than another by more than `min_delta`.

        Parameters
        ----------
        value : float
            New value; NaN is never an improvement.
        best : float or None
            Best value so far; any number is better than None or NaN.

        Returns
        -------
        bool
            Whether `value` is an improvement.

        Raises
        ------
        ValueError
            If it is unknown whether lower or higher values are better.
        """
        more = self._more_is_better()
        if np.isnan(value) or best is None or np.isnan(best):
            return not np.isnan(value)
        kind = np.dtype(config.floatx()).type
        if more:
            return bool(kind(value - self.min_delta) > kind(best))
        return bool(kind(value + self.min_delta) < kind(best))

    def _before_training(self, names: set[str], closed: bool) -> None:
        """Check that the metric exists; if `closed`, the logs contain no other metrics."""
        self._more_is_better()
        if closed and self.monitor.removeprefix("val_") not in names:
            suggestions.known("monitor", self.monitor, dict.fromkeys(sorted(names)))

    def _current(self, logs: Logs, missing: str) -> Any:
        """Return the value of the metric; if it is not a number, warn and return None."""
        self._more_is_better()  # raises an error even if the value is missing
        value = logs.get(self.monitor)
        if value is not None and (np.ndim(value) or np.asarray(value).dtype.kind not in "biuf"):
            missing = (
                f"{type(self).__name__} requires a number, so this epoch is ignored. "
                f"Received: {self.monitor}={checks.shorten(value)}"
            )
            value = None
        if value is None:
            checks.warn(missing)
        return value

    def _is_best(self, value: float) -> bool:
        """Return whether a value is the best so far, and store it if so."""
        better = self.is_improvement(value, self.best)
        self.best = value if better else self.best
        return better

    def _say(self, epoch: int, text: str) -> None:
        if self.verbose:
            write(f"\nEpoch {epoch + 1}: {text}\n")
