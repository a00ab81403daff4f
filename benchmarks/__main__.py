"""Compare the speed of tinynet with other libraries: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import functools
import sys
import time
from pathlib import Path

from benchmarks import report
from benchmarks.contenders import CONTENDERS, ROOT, only_avx2
from benchmarks.harness import QUIET, machine, origin
from benchmarks.result_files import output_folder, positive, save
from benchmarks.suites import SUITES

COMMITTED = Path(__file__).resolve().parent / "results"


def main(argv: list[str] | None = None) -> int:
    """Run benchmarks, write the results, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--suite", choices=[*SUITES, "all"], default="train")
    known = f"(default: all contenders of the suite; available: {', '.join(CONTENDERS)})"
    parser.add_argument("--contenders", metavar="NAME,...", help=known)
    by_suite = "number of rounds (default: defined by the suite)"
    parser.add_argument("--rounds", type=positive, metavar="N", help=by_suite)
    parts = "only networks whose description contains one of these strings"
    parser.add_argument("--only", metavar="NAME", nargs="+", default=[], help=parts)
    on_cores = "only contenders that use this number of cores"
    parser.add_argument("--cores", type=int, choices=(1, 2), help=on_cores)
    isa = "restrict all contenders to this instruction set"
    parser.add_argument("--isa", choices=("avx2",), help=isa)
    parser.add_argument("--quick", action="store_true", help="use little data, for testing")
    force = "write to benchmarks/results even on a busy machine"
    parser.add_argument("--force", action="store_true", help=force)
    out = "output folder (default: benchmarks/results; output/benchmarks for a run with --quick, "
    out += "--only, --cores or --contenders)"
    parser.add_argument("--out", type=output_folder, metavar="FOLDER", help=out)
    tables = "only update the tables in README.md and docs/benchmarks.md, or in FILEs"
    parser.add_argument("--write-tables", type=Path, nargs="*", metavar="FILE", help=tables)
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
        received = ", ".join(sorted(unknown))
        parser.error(f"--contenders must be names of contenders. Received: {received}")
    names = list(SUITES) if options.suite == "all" else [options.suite]
    if options.only and not any(SUITES[n].chosen(options.quick, options.only) for n in names):
        received = " ".join(options.only)
        parser.error(f"--only must match the description of a network. Received: {received}")
    before = machine()  # before the benchmarks themselves cause load
    busy = before["load_before"] > QUIET
    if busy and folder.resolve() == COMMITTED and not options.force:
        expected = f"the load average must be at most {QUIET} to write to benchmarks/results"
        fix = "use --out FOLDER, or --force, which marks the results"
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
        if options.isa:  # not supported by the XLA version of older JAX
            keys = [key for key in keys if not CONTENDERS[key].folder]
        start = time.perf_counter()
        print(f"{name}: {rounds} rounds of {', '.join(keys)}")
        say = functools.partial(print, flush=True)
        outcome = suite.run(keys, rounds, options.quick, say, options.only, environment)
        if not outcome.records:
            print(f"  {name}: no results")
            continue
        result = {
            "suite": name,
            "isa": options.isa or "",
            **origin(),
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
        files.append(report.file_name(result))
        save(result, folder / f"{files[-1]}.json")
    # Plot at the end: plots need memory, which would affect the measurements of the cold suite.
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
