"""Callback that saves backups, and resumes training after an interruption.

A backup is a single file with the whole model, so that its parts are always consistent: weights,
optimizer state, random state, and the history, which gives the number of completed epochs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tinynet._core import argument, checks, declared, required
from tinynet._core.atomic_files import require_writable, write_atomically
from tinynet.callbacks.callback import Logs, frequency
from tinynet.callbacks.history import History
from tinynet.callbacks.saver import Saver

__all__ = ["BackupAndRestore"]


@declared()
class BackupAndRestore(Saver):
    """Save a backup during training, and resume from it after an interruption.

    After an interruption, calling `fit` again with the same model and arguments resumes training
    after the last saved epoch. Weights, optimizer state, history and random state are bit-identical
    to those of an uninterrupted run, and so are the best values, best weights and counters of the
    other callbacks.
    With `steps_per_epoch`, the first resumed epoch starts a new pass over the data.

    Parameters
    ----------
    backup_dir : str or path-like
        Folder for the backup, created if it does not exist. It must not be shared with other runs.
    save_freq : "epoch" or int
        "epoch" to save after every epoch, or the number of batches between backups. After an
        interruption, the interrupted epoch is then repeated from its start, with the weights of the
        backup.
    double_checkpoint : bool
        If True, keep the previous backup too, in case the last one cannot be read.
    delete_checkpoint : bool
        If True, delete the backup at the end of training.

    Raises
    ------
    ValueError
        If an argument is invalid or, from `fit`, if the backup is corrupted or belongs to
        another model.

    Examples
    --------
    >>> import tempfile
    >>> import tinynet as keras
    >>> def stop(epoch, logs):
    ...     raise KeyboardInterrupt
    >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     backup = BackupAndRestore(folder)
    ...     try:
    ...         stopping = keras.callbacks.LambdaCallback(on_epoch_end=stop)
    ...         model.fit([[1.0]], [0], epochs=3, verbose=0, callbacks=[backup, stopping])
    ...     except KeyboardInterrupt:
    ...         pass
    ...     begun = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: print(epoch))
    ...     history = model.fit([[1.0]], [0], epochs=3, verbose=0, callbacks=[backup, begun])
    1
    2
    >>> history.epoch
    [0, 1, 2]
    """

    backup_dir: Any = required(checks.path)
    save_freq: Any = argument("epoch", frequency)
    double_checkpoint: bool = argument(False, checks.flag)
    delete_checkpoint: bool = argument(True, checks.flag)

    def __complete(self) -> None:
        checks.require(self.backup_dir, "backup_dir must not be empty", "backup_dir=''")
        self._last = Path(self.backup_dir) / "latest.tinynet"
        self._before = Path(self.backup_dir) / "previous.tinynet"
        self._saved = b""
        self._states: list[tuple[str, dict[str, Any]]] = []
        #: Other callbacks of the run.
        self.others: list[Any] = []

    # ------------------------------------------------------------ hooks

    def _before_training(self, names: set[str], closed: bool) -> None:
        """Check that a backup can be saved."""
        require_writable(self._last)
        self.model._backup()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Restore the backup if it exists."""
        self._batches, self._saved, self._states = 0, b"", []
        damage = None
        for path in (self._last, self._before):
            if path.exists():
                try:
                    self._restore(path)
                except ValueError as error:
                    damage = damage or error
                else:
                    if damage:
                        checks.warn(f"{damage} The previous backup is used.")
                    return
        if damage:
            raise damage

    def after_train_begin(self, logs: Logs | None = None) -> None:
        """Restore the state of the other callbacks, after they have reset it."""
        resumed = [other for other in self.others if getattr(other, "resumes", ())]
        if not (self._states and resumed):
            return
        found = [(type(c).__name__, {*c.resumes}) for c in resumed]
        if found != [(name, {*state}) for name, state in self._states]:
            checks.warn(
                "The best values and counters of the callbacks are reset, because the backup in "
                f"{self.backup_dir} was saved with different callbacks. "
                f"Received: callbacks={[name for name, _ in found]}"
            )
            return
        for other, (_, state) in zip(resumed, self._states, strict=True):
            vars(other).update(state)
            if state.get("stopped_epoch"):  # training had already stopped
                self.model._initial_epoch = self.params["epochs"]

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save a backup, with a history that includes this epoch."""
        if self.save_freq == "epoch":
            running = self.model.history
            done = History()
            done.history = {name: [*values] for name, values in running.history.items()}
            done.epoch = [*running.epoch]
            if epoch not in done.epoch:  # `History` runs after this callback
                done.on_epoch_end(epoch, logs)
            self.model.history = done
            try:
                self._save(epoch, None, {})
            finally:
                self.model.history = running

    def after_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save again, to include changes by later callbacks, such as a new learning rate."""
        self.on_epoch_end(epoch, logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Delete the backup."""
        if self.delete_checkpoint:
            self._last.unlink(missing_ok=True)
            self._before.unlink(missing_ok=True)
            if self._last.parent.is_dir() and not os.listdir(self.backup_dir):
                self._last.parent.rmdir()

    # ------------------------------------------------------------ files

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        """Save a backup unless nothing has changed."""
        states = [
            (type(other).__name__, {name: getattr(other, name) for name in other.resumes})
            for other in self.others
            if getattr(other, "resumes", ())
        ]
        contents = self.model._backup(states)
        if contents == self._saved:
            return
        self._last.parent.mkdir(parents=True, exist_ok=True)
        if self.double_checkpoint and self._last.exists():
            os.replace(self._last, self._before)
        write_atomically(self._last, lambda file: file.write(contents))
        self._saved = contents

    def _restore(self, path: Path) -> None:
        running = self.model.history
        self._states = self.model._restore_backup(path)
        done, self.model.history = self.model.history, running
        running.history, running.epoch = done.history, done.epoch
        if done.epoch:
            self.model._initial_epoch = done.epoch[-1] + 1
