"""Compare the speed of tinynet with other libraries: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import functools
import sys
import time
from pathlib import Path

from benchmarks import report
from benchmarks.contenders import CONTENDERS, ROOT, only_avx2
from benchmarks.harness import QUIET, machine, origin, require_quiet
from benchmarks.result_files import RESULTS, ResultsError, output_folder, positive, save
from benchmarks.suites import SUITES


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
    folder = options.out or (ROOT / "output" / "benchmarks" if partial else RESULTS)
    is_committed = folder.resolve() == RESULTS
    if options.write_tables is not None:
        pages = options.write_tables or [ROOT / "README.md", ROOT / "docs" / "benchmarks.md"]
        try:
            report.write_tables(pages, folder)
        except (OSError, ValueError, ResultsError) as error:
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
    try:
        output_folder(str(folder))
        committed = report.read(RESULTS) if options.quick else {}
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    environment = only_avx2() if options.isa else {}
    files: dict[str, report.Result] = {}
    failed = False
    for name in names:
        if is_committed:
            if files and not options.force:
                wait_until_quiet()  # the previous suite caused load
            try:
                require_quiet(options.force)
            except ResultsError as error:
                print(f"error: {name}: {error}", file=sys.stderr)
                failed = True
                continue
        here = origin(name, force=options.force)  # before the suite itself causes load
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
            print(f"error: {name}: no results", file=sys.stderr)
            failed = True
            continue
        result = {
            "suite": name,
            "isa": options.isa or "",
            **here,
            "versions": dict(sorted(outcome.versions.items())),
            "data": outcome.data,
            "rounds": rounds,
            "quick": options.quick,
            "incomplete": outcome.incomplete,
            "seconds": round(time.perf_counter() - start, 1),
            "skipped": outcome.skipped,
            "lines": outcome.lines,
            "records": outcome.records,
        }
        failed |= outcome.incomplete
        files[report.file_name(result)] = result
        save(result, folder / f"{report.file_name(result)}.json")
    # Plot at the end: plots need memory, which would affect the measurements of the cold suite.
    for result in files.values():
        report.write(result, folder)
        print(f"\n{report.text(result)}\n")
    for name in files:
        print(f"Wrote {name}.json, .md and .png to {folder}.")
    if options.quick and (sentence := report.sentence(files, committed)):
        print(f"\n{sentence}")
    return int(failed)


def wait_until_quiet(most: float = 600.0) -> None:
    """Wait until the load average has decreased."""
    end = time.monotonic() + most
    while machine()["load_before"] > QUIET and time.monotonic() < end:
        time.sleep(5)


if __name__ == "__main__":
    sys.exit(main())
