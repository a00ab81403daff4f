"""Time to accuracy: ``python -m benchmarks.time_to_accuracy``.

Measures the seconds in which dense networks reach a mean test accuracy on MNIST, on two cores. The
time begins with uint8 images in memory and ends with a trained model. It includes the creation of
the model, and the conversion and compression of the images. Before each run, the same process
trains for an epoch, so that imports, compilation and cold caches are not included. All libraries
follow the recipes in ``recipes.py``, and take turns for each seed.

Results are written after each run, and the next call adds the missing ones. ``--parts`` shows the
effect of the parts of each recipe: tinynet trains on 50,000 of the training images, and classifies
the other 10,000.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.harness import QUIET, Process, SkipError, described, origin
from benchmarks.problem import load_digits
from benchmarks.recipes import PARTS, RECIPES, Recipe
from benchmarks.result_files import ResultsError, load, locked, output_folder, positive, save
from benchmarks.staleness import RESULTS
from tinynet._core.text_tables import Table

#: Library and number of threads of each entry.
CONTENDERS = {"tinynet": "tinynet-2", "PyTorch": "torch-2", "JAX": "jax-2"}
TITLE = "Time to accuracy: seconds to a mean test accuracy on MNIST, on two cores"

Result = dict[str, Any]


class Race:
    """An entry with its recipe and data, in the process of a contender."""

    def __init__(self, entry: str, recipe: Recipe, validation: bool) -> None:
        from benchmarks.entries import ENTRIES

        name, ((x, y), test) = load_digits()
        if name != "MNIST":
            raise ValueError(
                f"data must be MNIST; set TINYNET_DATA to its folder. Received: {name}"
            )
        if validation:
            order = np.random.default_rng(0).permutation(len(x))
            test = x[order[50_000:]], y[order[50_000:]]
            x, y = x[order[:50_000]], y[order[:50_000]]
        kept = len(x) // recipe.batch * recipe.batch
        data = {"x": x[:kept], "y": y[:kept]}
        self.train = functools.partial(ENTRIES[entry], recipe, **data)
        self.warm_up = functools.partial(ENTRIES[entry], replace(recipe, epochs=1, plain=0), **data)
        self.images, self.labels = test

    def run(self, seed: int) -> dict[str, float]:
        """Train with a seed; return the time in seconds, the accuracy and the mean busy cores."""
        self.warm_up(seed=seed)
        start, start_cpu = time.perf_counter(), time.process_time()
        predict = self.train(seed=seed)
        seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
        accuracy = float(np.mean(predict(self.images) == self.labels))
        measured = {"seconds": seconds, "accuracy": accuracy, "cores": cpu / seconds}
        return {name: round(value, 4) for name, value in measured.items()}


class Track:
    """Processes of the entries for a recipe, which run seeds and record the versions."""

    def __init__(self, versions: dict[str, str], recipe: Recipe, validation: bool = False) -> None:
        self.versions, self.processes = versions, {}
        self.request = {"recipe": recipe.fields(), "validation": validation}

    def __enter__(self) -> Track:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes.values():
            process.close()

    def run(self, entry: str, seed: int) -> Result:
        """Run an entry with a seed, in a process that the first call prepares."""
        if entry not in self.processes:
            self.processes[entry] = Process(CONTENDERS[entry])
            reply = self.processes[entry].ask(do="enter", entry=entry, **self.request)
            for name, version in reply["versions"].items():
                _require_same(name, self.versions.setdefault(name, version), version)
        load = round(os.getloadavg()[0], 2)
        about = {"seed": seed, "date": datetime.date.today().isoformat(), "load": load}
        return {**about, **self.processes[entry].ask(do="race", seed=seed)}


def race(
    goal: str, entries: list[str], seeds: int, result: Result, save: Callable[[], None]
) -> None:
    """Run the entries with all seeds that are missing, in turn; save after each run."""
    found = result["goals"][goal]
    with Track(result["versions"], RECIPES[goal]) as track:
        for seed in range(seeds):
            for entry in entries:
                runs = found["runs"].get(entry, [])
                if entry not in found["skipped"] and all(run["seed"] != seed for run in runs):
                    try:
                        found["runs"][entry] = [*runs, run := track.run(entry, seed)]
                        took = f"{run['seconds']:.2f} s, {run['accuracy']:.4f}"
                        print(f"  {goal}, seed {seed}, {entry}: {took}", flush=True)
                    except SkipError as reason:
                        found["skipped"][entry] = str(reason)
                    save()
            entries = entries[1:] + entries[:1]


def parts(goal: str, seeds: int, versions: dict[str, str]) -> list[Result]:
    """Measure the effect of the parts of a recipe on images that are not used for training."""
    found = []
    for name, change in PARTS.items():
        changed = replace(RECIPES[goal], **change)
        if name and changed == RECIPES[goal]:
            continue
        with Track(versions, changed, validation=True) as track:
            runs = [track.run("tinynet", seed) for seed in range(seeds)]
        found.append({"part": name, "change": change, "runs": runs})
        print(f"  {goal}, {name or 'the recipe'}: {_mean(runs):.4f}", flush=True)
    return found


def _mean(runs: list[Result]) -> float:
    return statistics.fmean(run["accuracy"] for run in runs)


def _seconds(runs: list[Result]) -> float:
    return statistics.median(run["seconds"] for run in runs)


def tables(result: Result) -> list[Table]:
    """Return a table of the entries and a table of the parts of the recipes, if measured."""
    rows, all_runs, skipped = [], [], []
    for goal, found in result["goals"].items():
        recipe = Recipe.of(found["recipe"])
        sizes = "-".join(map(str, (784, *recipe.hidden, 10)))
        for entry, runs in found["runs"].items():
            times = sorted(run["seconds"] for run in runs)
            spread = f"{_seconds(runs):.2f} ({times[0]:.2f} – {times[-1]:.2f})"
            deviation = statistics.pstdev(run["accuracy"] for run in runs)
            missed = "" if _mean(runs) >= recipe.goal else ", missed"
            accuracy = f"{100 * _mean(runs):.2f} % ({100 * deviation:.2f}){missed}"
            cores = f"{statistics.fmean(run['cores'] for run in runs):.1f}"
            target = f"{goal} in {recipe.seconds:g} s"
            rows.append([target, sizes, entry, spread, accuracy, cores, len(runs)])
            all_runs += runs
        skipped += [
            f"{goal}, {entry} was skipped: {why}." for entry, why in found["skipped"].items()
        ]
    shown = []
    if rows:
        header = ["goal", "network", "library", "seconds (range)"]
        header += ["mean accuracy (std)", "busy cores", "seeds"]
        note = "\n".join([_caption(result, all_runs), *skipped])
        shown.append(Table(TITLE, header, rows, note, (0, 1, 2)))
    rows, all_runs = [], []
    for goal, measured in result["parts"].items():
        base = _mean(measured[0]["runs"])
        for part in measured:
            mean, runs = _mean(part["runs"]), part["runs"]
            difference = f"{100 * (mean - base):+.2f}" if part["part"] else ""
            name, seconds = part["part"] or "the recipe", f"{_seconds(runs):.2f}"
            rows.append([goal, name, f"{100 * mean:.2f} %", difference, seconds, len(runs)])
            all_runs += runs
    if rows:
        header = ["goal", "part", "accuracy", "difference", "seconds", "seeds"]
        note = "Trained on 50,000 of the training images; accuracy for the other 10,000. "
        note += _caption(result, all_runs)
        shown.append(Table("Effect of the parts of the recipes", header, rows, note, (0, 1)))
    return shown


def _caption(result: Result, runs: list[Result]) -> str:
    """Describe the machine, its load, the versions and the dates."""
    dates = sorted({run.get("date", result["date"]) for run in runs})
    result = {**result, "date": " to ".join(dict.fromkeys((dates[0], dates[-1])))}
    loads = [run["load"] for run in runs]
    load = f"median {statistics.median(loads)}, maximum {max(loads)}"
    return f"Median seconds, {described(result)}. Load average at the start of the runs: {load}."


def plot(result: Result, path: Path) -> None:
    """Plot the mean accuracy as a function of the time, with a line per library."""
    from matplotlib.figure import Figure

    drawing = Figure((7, 4.5), layout="constrained")
    axes = drawing.subplots()
    for entry in CONTENDERS:
        runs = [goal["runs"].get(entry) for goal in result["goals"].values()]
        points = sorted((_seconds(each), 100 - 100 * _mean(each)) for each in runs if each)
        if points:
            axes.plot(*zip(*points, strict=True), "o-", label=entry)
    axes.set(xscale="log", yscale="log", xlabel="seconds", ylabel="test error (%)", title="MNIST")
    ticks = [3, 2, 1.5, 1, 0.6]
    axes.set_yticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    drawing.savefig(path, dpi=120)


def _read(path: Path, here: Result) -> Result:
    """Return the results so far if they were measured with the same processor and Python."""
    keys = {"machine", "versions", "goals", "parts"}
    new = {**here, "data": "MNIST", "versions": {}, "goals": {}, "parts": {}}
    result: Result = load(path, new, lambda found: isinstance(found, dict) and keys <= {*found})
    for name in ("cpu", "python"):
        _require_same(name, result["machine"][name], here["machine"][name])
    return result


def _require_same(name: str, recorded: str, here: str) -> None:
    """Raise ResultsError if results were measured with something else."""
    if recorded != here:
        expected = f"out must contain results of {name} {here}; use --out FOLDER or remove the file"
        raise ResultsError(f"{expected}. Received: {name} {recorded}")


def main(arguments: list[str] | None = None) -> int:
    """Run the missing runs, and write and print the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.time_to_accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--goals", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="GOAL"
    )
    parser.add_argument("--entries", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--seeds", type=positive, default=40, help="runs of each entry")
    parser.add_argument("--parts", action="store_true", help="show the effect of the parts")
    parser.add_argument("--again", action="store_true", help="discard the results of these goals")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine")
    out = "output folder (default: benchmarks/results)"
    parser.add_argument("--out", type=output_folder, default=RESULTS, help=out)
    options = parser.parse_args(arguments)
    here = origin()
    busy = here["machine"]["load_before"]
    if busy > QUIET and not options.force:
        expected = f"the load average must be at most {QUIET}; use --force"
        print(f"error: {expected}. Received: {busy}", file=sys.stderr)
        return 1
    path = options.out / "time_to_accuracy.json"
    try:
        with locked(path, wait=False):
            measure(options, _read(path, here), here, path)
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Wrote the results, time_to_accuracy.*, to {options.out}.")
    return 0


def measure(options: argparse.Namespace, result: Result, here: Result, path: Path) -> None:
    """Add the missing runs to a result, and write and print it."""

    def save_result() -> None:
        codes = {goal["code"] for goal in result["goals"].values()} or {here["code"]}
        result.update(code=codes.pop() if len(codes) == 1 else "several")
        result["goals"] = {
            goal: result["goals"][goal] for goal in RECIPES if goal in result["goals"]
        }
        save(result, path)

    for goal in options.goals:
        if options.parts:
            result["parts"][goal] = parts(goal, options.seeds, result["versions"])
            save_result()
            continue
        about = {"recipe": RECIPES[goal].fields(), "code": here["code"]}
        if options.again or not about.items() <= result["goals"].get(goal, {}).items():
            result["goals"][goal] = {**about, "runs": {}}
        result["goals"][goal]["skipped"] = {}
        race(goal, options.entries, options.seeds, result, save_result)
    shown = tables(result)
    print(*shown, sep="\n\n")
    report.write_table(path.with_suffix(".md"), *shown)
    if result["goals"]:
        plot(result, path.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(main())
