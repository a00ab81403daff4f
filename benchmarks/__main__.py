"""Measure tinynet beside others: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import sys
import time
from pathlib import Path

from benchmarks import report
from benchmarks.contenders import CONTENDERS, ROOT, only_avx2
from benchmarks.harness import QUIET, machine
from benchmarks.suites import SUITES

COMMITTED = Path(__file__).resolve().parent / "results"


def main(argv: list[str] | None = None) -> int:
    """Measure, write what came out; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--suite", choices=[*SUITES, "all"], default="train")
    known = f"by default all that the suite has: {', '.join(CONTENDERS)}"
    parser.add_argument("--contenders", metavar="NAME,...", help=known)
    parser.add_argument("--rounds", type=int, metavar="N", help="by default the suite's own number")
    parts = "only the networks whose description has one of these parts"
    parser.add_argument("--only", metavar="NAME", nargs="+", default=[], help=parts)
    parser.add_argument("--cores", type=int, choices=(1, 2), help="only contenders on as many")
    parser.add_argument(
        "--isa", choices=("avx2",), help="keep every contender from using newer instructions"
    )
    parser.add_argument("--quick", action="store_true", help="little data, for trying out")
    parser.add_argument(
        "--force", action="store_true", help="write to benchmarks/results from a busy machine, too"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="by default benchmarks/results, and output/benchmarks for a run with --quick, --only, "
        "--cores or --contenders",
    )
    parser.add_argument(
        "--write-tables",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="measure nothing; update the tables in README.md and docs/benchmarks.md, or in FILEs",
    )
    options = parser.parse_args(argv)
    partial = options.quick or options.only or options.cores or options.contenders
    folder = options.out or (ROOT / "output" / "benchmarks" if partial else COMMITTED)
    if options.write_tables is not None:
        pages = options.write_tables or [ROOT / "README.md", ROOT / "docs" / "benchmarks.md"]
        try:
            report.write_tables(pages, folder)
        except (OSError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        return 0

    chosen = options.contenders.split(",") if options.contenders else list(CONTENDERS)
    if unknown := set(chosen) - set(CONTENDERS):
        parser.error(f"--contenders: there is no {', '.join(sorted(unknown))}")
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds must be at least 1. Received: {options.rounds}")
    names = list(SUITES) if options.suite == "all" else [options.suite]
    if options.only and not any(SUITES[n].chosen(options.quick, options.only) for n in names):
        parser.error(f"--only: no network of the suite has {' or '.join(options.only)}")
    before = machine()  # once: later on the load is our own
    busy = before["load_before"] > QUIET
    if busy and folder.resolve() == COMMITTED and not options.force:
        expected = f"the load average must be at most {QUIET} for results that are committed"
        fix = "use --out for another folder, or --force, which marks them"
        print(f"error: {expected}; {fix}. Received: {before['load_before']}", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    environment = only_avx2() if options.isa else {}
    files = []
    for name in names:
        suite = SUITES[name]
        rounds = options.rounds or (2 if options.quick else suite.rounds)
        keys = [key for key in suite.contenders if key in chosen]
        keys = [key for key in keys if options.cores in (None, CONTENDERS[key].cores)]
        if options.isa:  # the XLA of older JAX has no such flag
            keys = [key for key in keys if not CONTENDERS[key].folder]
        start = time.perf_counter()
        print(f"{name}: {rounds} rounds of {', '.join(keys)}")
        say = functools.partial(print, flush=True)
        outcome = suite.run(keys, rounds, options.quick, say, options.only, environment)
        if not outcome.records:
            print(f"  {name}: nothing was measured")
            continue
        result = {
            "suite": name,
            "isa": options.isa or "",
            "date": datetime.date.today().isoformat(),
            "machine": before,
            "versions": dict(sorted(outcome.versions.items())),
            "data": outcome.data,
            "rounds": rounds,
            "quick": options.quick,
            "forced": busy and options.force,
            "seconds": round(time.perf_counter() - start, 1),
            "skipped": outcome.skipped,
            "lines": outcome.lines,
            "records": outcome.records,
        }
        text = json.dumps(result, indent=1, ensure_ascii=False)
        files.append(report.file_name(result))
        (folder / f"{files[-1]}.json").write_text(text + "\n", encoding="utf-8")
    # Only now: pictures take memory, which the cold suite's children would be charged with.
    for name, result in report.read(folder).items():
        if name in files:
            report.write(result, folder)
            print(f"\n{report.text(result)}\n")
    for name in files:
        print(f"Wrote {name}.json, .md and .png to {folder}.")
    if options.quick and (sentence := report.sentence(report.read(folder), report.read(COMMITTED))):
        print(f"\n{sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
