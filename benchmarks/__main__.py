"""Measure tinynet beside others: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from pathlib import Path

from benchmarks import report
from benchmarks.contenders import CONTENDERS
from benchmarks.harness import ROOT, machine
from benchmarks.suites import SUITES


def main(argv: list[str] | None = None) -> int:
    """Measure, write what came out; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--suite", choices=[*SUITES, "all"], default="train")
    parser.add_argument(
        "--contenders",
        metavar="NAME,...",
        help=f"by default all that the suite has: {', '.join(CONTENDERS)}",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="by default the suite's own number")
    parser.add_argument("--quick", action="store_true", help="little data, for trying out")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="by default benchmarks/results, and output/benchmarks for a quick run",
    )
    parser.add_argument(
        "--write-readme",
        type=Path,
        nargs="?",
        const=ROOT / "README.md",
        metavar="FILE",
        help="measure nothing, put the stored results' tables into the README",
    )
    options = parser.parse_args(argv)
    quick = ROOT / "output" / "benchmarks"
    folder = options.out or (quick if options.quick else Path(__file__).parent / "results")
    if options.write_readme:
        try:
            report.write_readme(options.write_readme, folder)
        except (OSError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        return 0

    chosen = options.contenders.split(",") if options.contenders else list(CONTENDERS)
    if unknown := set(chosen) - set(CONTENDERS):
        parser.error(f"--contenders: there is no {', '.join(sorted(unknown))}")
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds must be at least 1. Received: {options.rounds}")
    folder.mkdir(parents=True, exist_ok=True)
    before = machine()  # once: later on the load is our own
    names = list(SUITES) if options.suite == "all" else [options.suite]
    for name in names:
        suite = SUITES[name]
        rounds = options.rounds or (2 if options.quick else suite.rounds)
        keys = [key for key in suite.contenders if key in chosen]
        start = time.perf_counter()
        print(f"{name}: {rounds} rounds of {', '.join(keys)}")
        outcome = suite.run(keys, rounds, options.quick, lambda text: print(text, flush=True))
        result = {
            "suite": name,
            "date": datetime.date.today().isoformat(),
            "machine": before,
            "versions": dict(sorted(outcome.versions.items())),
            "data": outcome.data,
            "rounds": rounds,
            "quick": options.quick,
            "seconds": round(time.perf_counter() - start, 1),
            "skipped": outcome.skipped,
            "records": outcome.records,
        }
        text = json.dumps(result, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    # Only now: pictures take memory, which the cold suite's children would be charged with.
    for name, result in report.read(folder).items():
        if name in names:
            report.write(result, folder)
            print(f"\n{report.table(result)}\n\n{report.caption(result)}\n")
    print(f"Wrote {', '.join(f'{name}.json, .md and .png' for name in names)} to {folder}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
