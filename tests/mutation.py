"""Mutation testing of the maths and the engine: ``python -m tests.mutation``.

cosmic-ray creates mutants: a changed operator or number, or a removed loop. Locations in the code
are drawn at random, with one mutant each. The same seed draws the same mutants, so that two
versions of the tests can be compared. Each mutant is applied to a copy of a commit. The fast tests
that execute the mutated function then run in stages; the mutant survives if all of them pass.
Results are written after each mutant: the same command resumes an interrupted run, and with a
larger ``--tests`` it tests survivors again. The copy is in a folder next to the results, and may be
deleted.
"""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import functools
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TIERS = ("functional", "program")
STAGES = (15, 60)  # tests that run before the others: most mutants fail one of the first 15
# Replacing arithmetic with bit operations, or `is None` with an ordering comparison, raises an
# error in every test; replacing `==` with `is` often has no effect.
LEFT_OUT = re.compile(
    r"_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)_(Bit|.Shift)|Comparison\w+_(Is(Not)?_[^I]|[^I]\w*_Is)"
)
# Tests that read the source code or the repository.
OF_TEXT = ("mutation", "reading_effort", "house_rules", "packaging", "size", "supported")
# Tests that run last: importing Keras takes seconds.
WITH_KERAS = re.compile(r"keras|/test_(arguments|custom_optimizers|parity|edge_cases)\.py")
PYTEST = "-m pytest -q -p no:cacheprovider -p tests.mutation -n 0 --hypothesis-seed=0 --tb=no"
EXCHANGED = "TINYNET_MUTATION"  # path of the file that this process and pytest exchange
if EXCHANGED not in os.environ:  # not in the processes of pytest, which load this file as a plugin
    from benchmarks.result_files import (
        ResultsError,
        at_least,
        load,
        locked,
        output_file,
        positive,
        save,
    )
# Paths are relative to the copy, which is the current folder.
TIMES, CHOSEN = Path("../times.json"), Path("../chosen.json")


def find_mutants() -> Iterator[Any]:
    """Find all mutants of cosmic-ray, except those of annotations, which have no effect."""
    from cosmic_ray.commands.init import init
    from cosmic_ray.work_db import WorkDB, use_db

    files = [path for tier in TIERS for path in Path("tinynet", tier).glob("*.py")]
    unread = {path: [*annotations(ast.parse(path.read_text("utf-8")))] for path in files}
    with use_db(":memory:", WorkDB.Mode.create) as made:
        init(files, made, {})
        for (mutant,) in (item.mutations for item in made.work_items):
            if not LEFT_OUT.search(mutant.operator_name) and not any(
                (n.lineno, n.col_offset) <= mutant.start_pos < (n.end_lineno, n.end_col_offset)
                for n in unread[mutant.module_path]
            ):
                yield mutant


def annotations(module: ast.Module) -> Iterator[Any]:
    """Find annotations, and imports that only annotations use."""
    for node in ast.walk(module):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield node
        yield from filter(None, (getattr(node, n, None) for n in ("annotation", "returns")))


def name_of(mutant: Any) -> str:
    """Return a name that does not depend on comments and formatting."""
    return f"{mutant.module_path} {mutant.operator_name} {mutant.occurrence}"


def sample(mutants: Iterable[Any], size: int, seed: int) -> list[Any]:
    """Draw locations and a mutant of each; a smaller sample is a prefix of a larger one."""

    def drawn(mutant: Any, *what: str) -> bytes:
        return hashlib.sha256(repr((seed, name_of(mutant), *what)).encode()).digest()

    places = collections.defaultdict(list)
    for mutant in mutants:
        places[mutant.module_path, mutant.start_pos].append(mutant)
    each = [min(some, key=drawn) for some in places.values()]
    return sorted(each, key=lambda mutant: drawn(mutant, "place"))[:size]


def commit_of(text: str) -> str:
    """Return the hash of a commit, for argparse."""
    command = ["git", "rev-parse", "--quiet", "--verify", "--end-of-options", f"{text}^{{commit}}"]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise ResultsError(f"must be a commit. Received: {text}")
    return found.stdout.strip()


def read(text: str) -> dict[str, Any]:
    """Return the results in a file, which is empty or does not exist before the first run."""
    path, empty = output_file(text), {"commit": "", "seed": None, "mutants": {}}
    return {
        "path": path,
        **load(path, empty, lambda f: isinstance(f, dict) and empty.keys() <= {*f}),
    }


def copy(commit: str, folder: Path) -> None:
    """Copy a commit, change to it, and run its fast tests with coverage."""
    (folder / "tree").mkdir(parents=True, exist_ok=True)
    # Files get the modification time of the commit, so that the bytecode of the originals remains
    # valid.
    archive = subprocess.run(["git", "archive", commit], stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", folder / "tree"], input=archive.stdout, check=True)
    shutil.copy(__file__, folder / "tree" / "tests")
    if not (folder / "cache").exists():  # mutants must not write to the user's cache
        from tinynet._core.cache_folder import cache_folder

        shutil.copytree(cache_folder(), folder / "cache")
    os.chdir(folder / "tree")
    if not TIMES.exists():
        include = ",".join(f"tinynet/{tier}/*" for tier in TIERS)
        coverage = f"-m coverage run --data-file=../lines --include={include} {PYTEST}"
        ignored = [f"--ignore-glob=*/test_{name}.py" for name in OF_TEXT]
        if code := run([*coverage.split(), "-m", "not slow", *ignored], TIMES, math.inf):
            TIMES.unlink(missing_ok=True)
            last = Path("../output.txt").read_text("utf-8", "replace")[-2000:]
            raise ResultsError(f"{last}\nthe fast tests of the commit must pass; exit code {code}")


def run(arguments: list[str], exchanged: Path, seconds: float) -> int:
    """Run Python with limits, since a mutant may need unlimited time and memory."""
    own = {"PYTHONPATH": ".", "PYTHONHASHSEED": "0", "TINYNET_TEST_SEED": "1"}
    own |= {"TINYNET_CACHE": os.path.abspath("../cache"), EXCHANGED: str(exchanged.absolute())}
    command = ["prlimit", f"--as={12 << 30}", sys.executable, *arguments]
    with open("../output.txt", "w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **own}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        return process.wait(None if seconds == math.inf else seconds)
    except subprocess.TimeoutExpired:
        return 128 + signal.SIGKILL
    finally:  # also after Ctrl-C
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@functools.cache
def times() -> dict[str, float]:
    """Return the duration of each passing test."""
    return json.loads(TIMES.read_text("utf-8"))


@functools.cache
def executed(file: Path) -> tuple[ast.Module, dict[int, list[str]]]:
    """Return the source code of a file, and the tests that execute each line."""
    from coverage import CoverageData

    lines = CoverageData("../lines")
    lines.read()
    return ast.parse(file.read_text("utf-8")), lines.contexts_by_lineno(str(file.absolute()))


def tests_near(mutant: Any) -> list[str]:
    """Return the tests that execute the function, class or file around a mutant.

    Tests of the mutated line come first, then fast tests, with few cases of each test.
    """
    module, tests = executed(mutant.module_path)
    line = mutant.start_pos[0]
    around: list[Any] = [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and node.lineno - len(node.decorator_list) <= line <= (node.end_lineno or 0)
    ]
    first, last = (around[-1].lineno, around[-1].end_lineno) if around else (0, math.inf)
    near = set().union(*(names for n, names in tests.items() if first <= n <= last))
    order, cases = [], collections.Counter[str]()
    for name in sorted(near & times().keys(), key=lambda name: (times()[name], name)):
        test = name.split("[")[0]
        cases[test] += 1
        late = bool(WITH_KERAS.search(name)), name not in tests.get(line, ())
        order.append((*late, times()[name] * cases[test], name))
    return [name for *_, name in sorted(order)]


def failing(tests: list[str]) -> str:
    """Run tests; return the first failing test, or an empty string."""
    CHOSEN.write_text(json.dumps(tests), "utf-8")
    files = sorted({name.split("::")[0] for name in tests})
    seconds = 120 + 10 * sum(times()[name] for name in tests)
    # With cached bytecode, Python could confuse mutants that are written within the same second.
    code = run(["-B", *PYTEST.split(), "-x", *files], CHOSEN, seconds)
    if code in (0, 5):  # 5 means no tests: a mutant may change the ids of all cases
        return ""
    output = Path("../output.txt").read_text("utf-8", "replace")
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.M)
    return failed[1] if failed else f"exit code {code}"


def examine(mutant: Any, tests: list[str]) -> dict[str, Any]:
    """Apply a mutant to the copy, run tests until one fails, and return the result."""
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.plugins import get_operator

    path, line, status = mutant.module_path, mutant.start_pos[0], mutant.module_path.stat()
    with use_mutation(path, get_operator(mutant.operator_name)(), mutant.occurrence) as (_, code):
        light = sum(not WITH_KERAS.search(test) for test in tests)
        ends = sorted({0, *(min(stage, light) for stage in STAGES), len(tests)})
        fails = (failing(tests[start:end]) for start, end in itertools.pairwise(ends))
        killer = next(filter(None, fails), "")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    text = code.split("\n")[line - 1].strip()
    return {"killer": killer, "line": line, "text": text, "ran": len(tests)}


def report(results: dict[str, Any], before: dict[str, Any]) -> None:
    """Print the number of killed mutants of each tier, and the survivors."""
    for tier in TIERS:
        mine = {name: r for name, r in results.items() if name.startswith(f"tinynet/{tier}/")}
        if not mine:
            continue
        survived = {name: r for name, r in mine.items() if not r["killer"]}
        n, k, z = len(mine), len(mine) - len(survived), 1.96
        half = z * math.sqrt(k * (1 - k / n) + z * z / 4)  # Wilson score interval
        low, high = ((k + z * z / 2 + side) / (n + z * z) for side in (-half, half))
        print(f"{tier}: {n} mutants, {k} killed, {n - k} survived: {k / n:.1%}", end="")
        print(f", 95% confidence interval {low:.1%} to {high:.1%}")
        # In changed code, the name may refer to a different mutant.
        same = {n for n, r in mine.items() if n in before and before[n]["text"] == r["text"]}
        if before:
            then, now = sum(bool(before[n]["killer"]) for n in same), len(same - survived.keys())
            print(f"  of {len(same)} common mutants, {then} were killed before, and {now} now")
        for name, r in survived.items():
            file, operator, _ = name.split()
            lost = "KILLED BEFORE: " if name in same and before[name]["killer"] else ""
            print(f"  {lost}{file}:{r['line']} {operator}, {r['ran']} tests: {r['text']}")


def main(arguments: list[str] | None = None) -> None:
    """Test all mutants that do not have a result yet."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("results", type=read, help="JSON file for results")
    parser.add_argument("commit", type=commit_of, help="commit to test")
    parser.add_argument("--size", type=positive, default=200, help="number of mutants per tier")
    parser.add_argument("--seed", type=at_least(0), default=1, help="seed of the sample")
    most = "maximum number of tests per mutant"
    parser.add_argument("--tests", type=positive, default=460, help=most)
    parser.add_argument("--before", type=read, help="results to compare with")
    given = parser.parse_args(arguments)
    if missing := [name for name in ("cosmic_ray", "coverage") if not find_spec(name)]:
        parser.error(f"{missing[0]} must be installed: pip install -e '.[test,mutation]'")
    about = {"commit": given.commit, "seed": given.seed}
    path, results = given.results["path"].absolute(), given.results["mutants"]
    if results and not about.items() <= given.results.items():
        received = f"commit {given.results['commit']}, seed {given.results['seed']}"
        parser.error(f"results must be those of the same commit and seed. Received: {received}")
    try:
        with locked(path, wait=False):
            copy(given.commit, path.with_name(f"{path.name}-copy") / given.commit)
            examine_all(given, lambda: save({**about, "mutants": results}, path))
    except ResultsError as error:
        parser.error(str(error))


def examine_all(given: argparse.Namespace, save_results: Callable[[], None]) -> None:
    """Test the mutants of a copy, which is the current folder."""
    results, before = given.results["mutants"], given.before["mutants"] if given.before else {}
    found = [*find_mutants()]
    tiers = ([m for m in found if m.module_path.parts[1] == tier] for tier in TIERS)
    drawn = (sample(mutants, given.size, given.seed) for mutants in tiers)
    for mutant in filter(None, itertools.chain(*itertools.zip_longest(*drawn))):
        name, tests = name_of(mutant), tests_near(mutant)[: given.tests]
        last = results.get(name, {"killer": "", "ran": -1})
        if not last["killer"] and last["ran"] < len(tests):
            results[name] = examine(mutant, tests)
            save_results()
            print(name, results[name], flush=True)
    killers = {r["killer"] for r in results.values()} & times().keys()
    if wrong := failing(sorted(killers)):
        print(f"{wrong} also fails without a mutant; results with this killer are invalid")
    report(results, before)


# pytest also loads this file as a plugin. The hooks below run the given tests in order, or record
# the duration of every test.
_times: dict[str, float] = collections.defaultdict(float)


def pytest_collection_modifyitems(items: list[Any]) -> None:
    if (chosen := Path(os.environ[EXCHANGED])).exists():
        found = {item.nodeid: item for item in items}
        names = json.loads(chosen.read_text("utf-8"))
        items[:] = [found[name] for name in names if name in found]


def pytest_runtest_logstart(nodeid: str) -> None:
    from coverage import Coverage

    if running := Coverage.current():
        running.switch_context(nodeid)


def pytest_runtest_logreport(report: Any) -> None:
    _times[report.nodeid] += report.duration if report.passed else math.inf


def pytest_sessionfinish() -> None:
    if not (written := Path(os.environ[EXCHANGED])).exists():
        passed = {name: seconds for name, seconds in _times.items() if seconds < math.inf}
        written.write_text(json.dumps(passed), "utf-8")


if __name__ == "__main__":
    main()
