"""Callback that logs metrics to a CSV file."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from tinynet._core import argument, checks, declared, required
from tinynet._core.atomic_files import write_atomically
from tinynet.callbacks.callback import Callback, Logs

__all__ = ["CSVLogger"]


def _character(name: str, value: Any) -> Any:
    if not isinstance(value, str) or len(value) != 1 or value in '\r\n"':
        expected = f"{name} must be one character other than a line break or quote"
        raise ValueError(f"{expected}. Received: {name}={checks.shorten(value)}")
    return value


@declared()
class CSVLogger(Callback):
    """Write the metrics of each epoch as a row of a CSV file.

    The columns are ``epoch`` and the metrics of the first epoch in sorted order, followed by one
    ``val_`` column per metric if the first epoch has no validation metrics. A metric that appears
    later, or that is missing in an existing file, becomes a new column, for which the file is
    rewritten. Missing values are ``NA``.

    Parameters
    ----------
    filename : str or path-like
        File to write.
    separator : str
        Column separator, a single character.
    append : bool
        If True, append to an existing file instead of replacing it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     logger = CSVLogger(Path(folder) / "log.csv", separator=";")
    ...     logger.on_train_begin()
    ...     logger.on_epoch_end(0, {"loss": 0.5})
    ...     (Path(folder) / "log.csv").read_text().splitlines()
    ['epoch;loss;val_loss', '0;0.5;NA']
    """

    filename: Any = required(checks.path)
    separator: str = argument(",", _character, kept=False)
    append: bool = argument(False, checks.flag)
    keys: Any = None

    def __complete(self, separator: str) -> None:
        self.sep = separator

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Create or empty the file, or read the header of the file to append to."""
        self.keys = None
        with open(self.filename, "a+b" if self.append else "wb") as file:
            if header := next(iter(self._rows()), None):
                old = f"{self.filename} must have been written by CSVLogger with the same separator"
                expected = f"{old}, with 'epoch' as its first column"
                checks.require(header[0] == "epoch", expected, checks.shorten(header))
                self.keys = header[1:]
            if file.tell():
                file.seek(-1, io.SEEK_END)
                if file.read() not in (b"\n", b"\r"):
                    file.write(b"\r\n")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a row."""
        logs = logs or {}
        rows: list[list[Any]] = []
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):
                self.keys += [f"val_{key}" for key in self.keys]
            rows.append(["epoch", *self.keys])
        new = sorted(logs.keys() - {*self.keys})
        if new:
            self.keys += new
            rows = [[*row, *(["NA"] * (len(self.keys) + 1 - len(row)))] for row in self._rows()]
            rows[0] = ["epoch", *self.keys]
        rows.append([epoch, *(_cell(logs.get(key, "NA")) for key in self.keys)])
        text = io.StringIO()
        csv.writer(text, delimiter=self.sep).writerows(rows)
        if new:
            write_atomically(Path(self.filename), lambda file: file.write(text.getvalue().encode()))
            return
        # The file is opened for each row, so that an interrupted run leaves no open file.
        with open(self.filename, "a", newline="", encoding="utf-8") as file:
            file.write(text.getvalue())

    def _rows(self) -> list[list[str]]:
        contents = Path(self.filename).read_bytes()
        try:  # Excel adds a BOM; a file object would read a part of a BOM as an empty text
            text = io.StringIO(contents.decode("utf-8-sig"), newline="")
            return [row for row in csv.reader(text, delimiter=self.sep, strict=True) if row]
        except (UnicodeDecodeError, csv.Error) as error:
            expected = f"{self.filename} must have been written by CSVLogger"
            raise ValueError(f"{expected}. Received: {error}") from error


def _cell(value: Any) -> Any:
    return f'"[{", ".join(map(str, value))}]"' if np.ndim(value) else value
