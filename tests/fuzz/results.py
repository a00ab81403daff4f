"""The record of fuzzing and of random programs, ``tests/fuzzing.json``, and its table.

``python -m tests.fuzz.results --write`` writes the table to docs/guarantees.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import secrets
import time
from pathlib import Path
from typing import Any

import tinynet
from benchmarks.result_files import at_least, load, locked, output_file
from tests import page_tables
from tinynet._core.atomic_files import write_atomically

RECORD = Path(__file__).parents[1] / "fuzzing.json"
PAGE = Path(tinynet.__file__).parents[1] / "docs" / "guarantees.md"
BEGIN, END = "<!-- fuzzing:begin -->", "<!-- fuzzing:end -->"
TITLES = {
    "idx": "IDX (datasets)",
    "npz": "`.npz` (datasets)",
    "png": "PNG (`tinynet predict`)",
    "csv": "CSV (`CSVLogger` with `append=True`)",
    "tinynet": "`.tinynet`",
    "zip": "`.tinynet`, version 1",
    "safetensors": "`.tinynet`, only the parser",
    "json": "`.json`",
    "backup": "`BackupAndRestore`",
    "keras": "`.keras`",
    "h5": "`.h5`",
    "weights": "`.weights.h5`",
    "keras programs": "random programs, compared with Keras",
    "graphs programs": "random graphs, compared with Keras",
    "backends programs": "random programs, compared between backends",
    "threads programs": "random programs, compared between numbers of threads",
    "files programs": "random programs, saved and loaded during training",
}


def read(path: Path = RECORD) -> list[dict[str, Any]]:
    """Return the recorded runs."""
    runs: list[dict[str, Any]] = load(path, [], is_record)
    return runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of each command that records runs."""
    parser.add_argument(
        "--resume", action="store_true", help="count the recorded inputs and failures"
    )
    parser.add_argument("--seed", type=at_least(0), help="(first) seed; random by default")
    about = "file to add results to"
    parser.add_argument("--results", type=record, default=str(RECORD), help=about)


def record(text: str) -> Path:
    """Return the path of a record that can be written, for argparse."""
    path = output_file(text)
    read(path)
    return path


def is_record(found: Any) -> bool:
    """Return whether the contents of a JSON file are recorded runs."""
    optional = ("edges", "features", "agree", "seed")
    return isinstance(found, list) and all(
        isinstance(run, dict)
        and isinstance(run.get("what"), str)
        and all(type(run.get(key)) is int for key in ("inputs", "failures", "seconds"))
        and all(type(run.get(key, 0)) is int for key in optional)
        for run in found
    )


def total(what: str, path: Path = RECORD, key: str = "inputs") -> int:
    """Return the number of inputs (or programs) or failures of the recorded runs of a kind."""
    return sum(run[key] for run in read(path) if run["what"] == what)


class Run:
    """A run, whose results are added to a record, and updated there as often as wanted."""

    def __init__(self, path: Path, what: str, seed: int) -> None:
        now = datetime.datetime.now().isoformat(" ", "seconds")
        about = {"what": what, "date": now, "version": tinynet.__version__, "seed": seed}
        about["run"] = secrets.token_hex(8)
        self.path, self.results = path, {**about, "inputs": 0}
        self.began = time.monotonic()

    def update(self, **results: Any) -> None:
        """Write the results of the run until now. A run without inputs is not recorded."""
        self.results |= {**results, "seconds": round(time.monotonic() - self.began)}
        if not results["inputs"] and not results["failures"]:
            return
        with locked(self.path):
            others = [run for run in read(self.path) if run.get("run") != self.results["run"]]
            lines = ",\n".join(json.dumps(run) for run in [*others, self.results])
            write_atomically(self.path, lambda file: file.write(f"[\n{lines}\n]\n".encode()))


def block(runs: list[dict[str, Any]] | None = None) -> str:
    """Return the table of the sums of all runs, between its markers."""
    header = ["what", "inputs or programs", "edges", "features", "failures", "hours"]
    rows = [f"| {' | '.join(header)} |", f"| ---{' | ---:' * 5} |"]
    for what, title in TITLES.items():
        own = [run for run in (read() if runs is None else runs) if run["what"] == what]
        if own:
            keys = ("inputs", "failures", "seconds")
            count, failures, seconds = (sum(run[key] for run in own) for key in keys)
            most = [max(run.get(key, 0) for run in own) for key in ("edges", "features")]
            counted = f"{count:,}"
            if agreed := sum(run.get("agree", 0) for run in own):
                counted += f": {agreed:,} agreed, {count - agreed - failures:,} not comparable"
            cells = [title, counted, *(f"{n:,}" if n else "" for n in most)]
            rows.append(f"| {' | '.join(cells)} | {failures:,} | {seconds / 3600:.1f} |")
    return "\n".join([BEGIN, *rows, END])


if __name__ == "__main__":
    page_tables.main(PAGE, block)
