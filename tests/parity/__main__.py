"""Compare tinynet with Keras, and write the report: ``python -m tests.parity``.

Without options, the results are written to ``docs/parity.json``, ``docs/parity.md`` and the README.
The exit code is 1 if a difference exceeds its bound.
"""

from __future__ import annotations

import os

# NumPy, Keras and TensorFlow read these variables when they are imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import contextlib
import importlib.metadata
import json
import sys
import tempfile
import time
from typing import Any

import numpy as np

import tinynet
from benchmarks.harness import origin
from benchmarks.problem import require_mnist
from benchmarks.result_files import ResultsError, output_file, require_keras, save
from tests.parity import cases, network, report

BACKENDS = {"jax": "JAX", "numpy": "NumPy"}
PACKAGES = ("tinynet-numba", "keras", "tensorflow", "jax", "numpy", "numba")


def say(text: str) -> None:
    """Print the progress."""
    print(f"{text} ...", flush=True)


def names(background: network.Background | None = None) -> dict[str, Any]:
    """Compare all cases; return a row for each name, and what other backends do not support."""
    from reference.keras_net import keras

    say("Comparing layers, activations, losses, metrics and optimizers")
    others: dict[str, Any] = {}
    skipped, failed = {}, {}
    for backend, title in BACKENDS.items() if background else ():
        found = background.results(backend)
        if isinstance(found, str):
            skipped[title] = found
        else:
            failed[title] = json.loads(str(found.pop("failed")))
            others[backend] = found
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for i, case in enumerate(cases.cases()):
        row = rows.setdefault((case.kind, case.name), {"kind": case.kind, "name": case.name})
        row["cases"] = row.get("cases", 0) + 1
        expected = case.run(keras)
        for backend in network.BACKENDS:
            tinynet.config.set_backend(backend)
            for found in case.compare(case.run(tinynet), expected):
                numbers = network.cell(found)
                if numbers["share"] >= row.get("share", 0):
                    row["worst"] = found.message
                for key in ("ulps", "relative", "share"):
                    row[key] = max(row.get(key, 0.0), numbers[key])
        for backend, results in others.items():
            mine = {k.partition(": ")[2]: v for k, v in results.items() if k.startswith(f"{i}: ")}
            if mine:
                compared = case.compare(mine, expected, partial=True)
                most = max(network.cell(found)["ulps"] for found in compared)
                row[backend] = max(row.get(backend, 0.0), most)
    order = sorted(rows.values(), key=lambda row: (row["kind"], row["name"].lower()))
    return {"names": order, "skipped": skipped, "failed": failed}


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    found = {"tinynet": tinynet.__version__}
    for package in PACKAGES[1:]:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Compute and write the report, print its summary, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    quick = "only 10 steps, and only Keras on TensorFlow; writes no pages"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write only to FILE")
    parser.add_argument("--seeds", action="store_true", help="repeat the ten seeds (ten minutes)")
    parser.add_argument("--tables", action="store_true", help="only rewrite the tables")
    options = parser.parse_args(arguments)
    if options.tables:
        try:
            report.write(report.load())
        except (ResultsError, OSError, ValueError) as error:
            parser.error(str(error))
        return 0
    if options.seeds:
        if options.json or options.quick:
            parser.error("--seeds writes to benchmarks/results, unlike --json and --quick")
        from benchmarks import seeds

        seeds.main([])
    try:
        if not (options.json or options.quick):
            require_mnist()
    except ResultsError as error:
        parser.error(f"{error}\n--json FILE writes a report without MNIST to another file")
    require_keras(parser)
    before, began = origin("parity"), time.perf_counter()
    data = network.digits()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        background = None if options.quick else network.Background(folder)
        if background:
            stack.callback(background.close)
        steps = network.FIRST if options.quick else network.EPOCH
        if background:
            for backend in BACKENDS:
                path = str(background.folder / f"{backend}.npz")
                background.start(backend, backend, f"cases.main({path!r})")
        measured = network.measure(data, steps, say, background)
        listed = names(background)
    result = {
        "command": "make parity",
        **before,
        "versions": versions(),
        "data": data[0],
        "network": measured,
        **listed,
    }
    result["minutes"] = round((time.perf_counter() - began) / 60, 1)
    failures = [*report.failures(result)]
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr, flush=True)
    print(report.summary(result))
    path = options.json or (None if options.quick else report.DATA)
    if path:
        save(rounded(result), path)
    if path == report.DATA:
        report.write(report.load())
        print("Wrote docs/parity.json, docs/parity.md and the summary in README.md")
    return 1 if failures else 0


def rounded(value: Any) -> Any:
    """Round numbers to four digits; infinite numbers become null."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    return value


if __name__ == "__main__":
    sys.exit(main())
