"""Callback that logs metrics for TensorBoard."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinynet._core import argument, checks, declared
from tinynet._core.atomic_files import require_writable
from tinynet.callbacks.callback import Callback, Logs

__all__ = ["TensorBoard"]


def _unsupported(name: str, value: Any) -> Any:
    expected = f"TensorBoard does not support {name}; omit it"
    checks.require(not value, expected, f"{name}={checks.shorten(value)}")
    return value


def _update_freq(name: str, value: Any) -> Any:
    if isinstance(value, str) and value in ("epoch", "batch"):
        return 1 if value == "batch" else value
    return checks.whole(name, value)


@declared()
class TensorBoard(Callback):
    """Log metrics for TensorBoard, to the subfolders ``train`` and ``validation``.

    The package ``tensorboard`` is required, but not TensorFlow.

    Parameters
    ----------
    log_dir : str or path-like
        Folder of the log files.
    histogram_freq : int
        Number of epochs between histograms of the weights; 0 for no histograms.
    write_graph : bool
        Ignored; present for compatibility with Keras.
    write_images, write_steps_per_second : bool
        Not supported; must be False.
    update_freq : "epoch", "batch" or int
        "epoch" to log metrics only after each epoch, "batch" to log them also after each batch, or
        the number of batches after which to log them.
    profile_batch, embeddings_freq : int
        Not supported; must be 0.
    embeddings_metadata : None
        Not supported; must be None.

    Raises
    ------
    ImportError
        If the package ``tensorboard`` is not installed.
    ValueError
        If an argument has an unsupported value.

    Examples
    --------
    >>> callback = TensorBoard("logs")  # doctest: +SKIP
    """

    log_dir: Any = argument("logs", checks.path)
    histogram_freq: int = argument(0, checks.whole, 0)
    write_graph: bool = argument(True, checks.flag)
    write_images: bool = argument(False, _unsupported)
    write_steps_per_second: bool = argument(False, _unsupported)
    update_freq: Any = argument("epoch", _update_freq)
    profile_batch: Any = argument(0, _unsupported)
    embeddings_freq: int = argument(0, _unsupported)
    embeddings_metadata: Any = argument(None, _unsupported)

    def __complete(self) -> None:
        if self.update_freq == "epoch":
            self.idle_hooks = (TensorBoard.on_train_batch_end,)
        try:
            self._event = importlib.import_module("tensorboard.compat.proto.event_pb2").Event
            writing = importlib.import_module("tensorboard.summary.writer.event_file_writer")
            scalar = importlib.import_module("tensorboard.plugins.scalar.summary_v2")
            histogram = importlib.import_module("tensorboard.plugins.histogram.summary_v2")
        except ImportError as error:
            raise ImportError(
                "callbacks.TensorBoard requires the package tensorboard: pip install tensorboard. "
                f"Received: {error}"
            ) from error
        self._new_writer = writing.EventFileWriter
        self._scalar, self._histogram = scalar.scalar_pb, histogram.histogram_pb
        self._writers: dict[str, Any] = {}
        self._batches = 0

    def _write(self, folder: str, step: int, *summaries: Any) -> None:
        if folder not in self._writers:
            path = str(Path(self.log_dir) / folder)
            self._writers[folder] = self._new_writer(path, filename_suffix=".v2")
        for summary in summaries:
            event = self._event(wall_time=time.time(), step=step, summary=summary)
            self._writers[folder].add_event(event)
        self._writers[folder].flush()

    def _write_metrics(self, folder: str, step: int, pattern: str, logs: Logs) -> None:
        named = [
            self._scalar(pattern.format(name), value)
            for name, value in logs.items()
            if not np.ndim(value) and np.asarray(value).dtype.kind in "biuf"
        ]
        self._write(folder, step, *named)

    def _before_training(self, names: set[str], closed: bool) -> None:
        """Check that the folder can be written."""
        require_writable(Path(self.log_dir) / "train" / "events")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Reset the number of batches."""
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Log the metrics of the epoch so far."""
        self._batches += 1
        if self.update_freq != "epoch" and self._batches % self.update_freq == 0:
            self._write_metrics("train", self._batches, "batch_{}", logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Log the metrics, and the histograms every `histogram_freq` epochs."""
        logs = logs or {}
        train = {name: value for name, value in logs.items() if not name.startswith("val_")}
        train["learning_rate"] = float(self.model.optimizer.learning_rate)
        self._write_metrics("train", epoch, "epoch_{}", train)
        validation = {name[4:]: value for name, value in logs.items() if name.startswith("val_")}
        if validation:
            self._write_metrics("validation", epoch, "epoch_{}", validation)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            weights = [w for layer in self.model.layers for w in layer.weights]
            named = [self._histogram(f"{w.path}/histogram", np.asarray(w)) for w in weights]
            self._write("train", epoch, *named)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Log the metrics of an evaluation."""
        step = int(self.model.optimizer.iterations)
        self._write_metrics("validation", step, "evaluation_{}_vs_iterations", logs or {})

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
