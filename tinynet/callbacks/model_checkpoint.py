"""Save the model after epochs or batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinynet._core import argument, checks, declared, required
from tinynet._core.atomic_files import require_writable
from tinynet.callbacks.callback import Logs, frequency, level
from tinynet.callbacks.monitor_callback import Monitor
from tinynet.callbacks.saver import Saver

__all__ = ["ModelCheckpoint"]


@declared()
class ModelCheckpoint(Monitor, Saver):
    """Save the model as it is trained: every epoch, or when it is the best so far.

    Parameters
    ----------
    filepath : str or path
        File, ending in ``.keras``, ``.h5``, ``.hdf5`` or ``.tinynet``, or in ``.weights.h5`` for
        weights alone. ``{epoch}``, which counts from 1, ``{val_loss:.2f}`` and
        the like are filled in. Its folder is made.
    monitor : str
        Metric that defines which model is best.
    verbose : int
        1 to print what is saved.
    save_best_only : bool
        Whether only a model that is better than all before is saved.
    save_weights_only : bool
        Whether only its weights are.
    mode : {"auto", "min", "max"}
        Whether less or more is better.
    save_freq : "epoch" or int
        Every epoch, or the number of batches, counted across epochs, after which to save;
        ``{batch}`` may then be in `filepath`.
    initial_value_threshold : float, optional
        Initial value to improve on.

    Raises
    ------
    ValueError
        If `filepath` ends in something else.

    Examples
    --------
    >>> best = ModelCheckpoint("runs/{epoch:02d}-{val_loss:.2f}.keras", save_best_only=True)
    >>> best.path(0, {"val_loss": 0.123})
    'runs/01-0.12.keras'
    """

    resumes = ("best", "_batches")

    filepath: Any = required(checks.path)
    monitor: str = argument("val_loss")
    verbose: int = argument(0, level)
    save_best_only: bool = argument(False, checks.flag)
    save_weights_only: bool = argument(False, checks.flag)
    mode: str = argument("auto")
    save_freq: Any = argument("epoch", frequency)
    initial_value_threshold: Any = argument(None, checks.number, high=np.inf, kept=False)

    def __complete(self, initial_value_threshold: float | None) -> None:
        self.best = initial_value_threshold
        weights = self.save_weights_only
        endings = (".weights.h5",) if weights else (".keras", ".h5", ".hdf5", ".tinynet")
        expected = f"filepath must end in {' or '.join(endings)} with save_weights_only={weights}"
        received = f"filepath={checks.shorten(self.filepath)}"
        checks.require(self.filepath.endswith(endings), expected, received)

    def path(self, epoch: int, logs: Logs, batch: int | None = None) -> str:
        """Fill in the file's name.

        Parameters
        ----------
        epoch : int
            The epoch, from 0.
        logs : dict
            The metrics.
        batch : int, optional
            The batch, from 0.

        Returns
        -------
        str
            The name.

        Raises
        ------
        KeyError
            If it contains a metric that does not exist.
        ValueError
            If a value does not fit its format.
        """
        values = {**logs, "epoch": epoch + 1}
        if batch is not None:
            values["batch"] = batch + 1
        try:
            return str(self.filepath.format(**values))
        except KeyError as error:
            raise KeyError(
                f"filepath takes a metric that is not among {', '.join(values)}. "
                f"Received: {self.filepath!r}, which takes {error}"
            ) from None
        except (ValueError, IndexError, AttributeError, TypeError) as error:
            raise ValueError(
                f"filepath must be a format string of numbers: {error}. "
                f"Received: filepath={checks.shorten(self.filepath)}"
            ) from error

    def _before_training(self, names: set[str], closed: bool) -> None:
        """Check the name and folder of the file, and that the model can be saved."""
        by_batch = self.save_freq != "epoch"
        if by_batch:  # the logs of batches have neither of these
            names = {n for n in names if not n.startswith("val_")} - {"learning_rate"}
        if self.save_best_only:
            self._more_is_better()
            never = f"save_best_only=True would never save: {self.monitor!r} is not among"
            received = f"monitor={self.monitor!r}, save_freq={self.save_freq!r}"
            found = not closed or self.monitor in names
            checks.require(found, f"{never} {sorted(names)}", received)
        path = self.filepath
        if closed:
            path = self.path(0, dict.fromkeys(names, 0.5), 0 if by_batch else None)
        require_writable(Path(path))
        if not self.save_weights_only:
            self.model.to_json()  # raises an error if the model can't be saved

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        try:
            path = self.path(epoch, logs, batch)
        except (KeyError, ValueError) as error:
            checks.warn(f"The model is not saved: {error.args[0]}")
            return
        if not self.save_best_only:
            self._say(epoch, f"saving model to {path}")
        elif not self._is_wanted(epoch, logs, path):
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(path, overwrite=True)
        self._say(epoch, f"finished saving model to {path}")

    def _is_wanted(self, epoch: int, logs: Logs, path: str) -> bool:
        """Return whether the model is the best so far."""
        current = self._current(logs, f"Can save best model only with {self.monitor} available.")
        if current is None:
            return False
        best = "None" if self.best is None else f"{self.best:.5f}"
        wanted = self._is_best(current)
        if wanted:
            text = f"improved from {best} to {current:.5f}, saving model to {path}"
        else:
            text = f"did not improve from {best}"
        self._say(epoch, f"{self.monitor} {text}")
        return wanted
