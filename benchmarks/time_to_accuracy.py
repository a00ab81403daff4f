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
import contextlib
import datetime
import functools
import importlib.metadata
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
from benchmarks.harness import EndedError, Process, SkipError, described, origin, require_quiet
from benchmarks.problem import load_digits, require_mnist
from benchmarks.recipes import PARTS, RECIPES, Recipe
from benchmarks.result_files import ResultsError, add_out, load, locked, positive, save
from tinynet._core.text_tables import Table

#: Library and number of threads of each entry.
CONTENDERS = {"tinynet": "tinynet-2", "PyTorch": "torch-2", "JAX": "jax-2"}
TITLE = "Time to accuracy: seconds to a mean test accuracy on MNIST, on two cores"

Result = dict[str, Any]


class Race:
    """An entry with its recipe and data, in the process of a contender."""

    def __init__(self, entry: str, recipe: Recipe, validation: bool) -> None:
        from benchmarks.entries import ENTRIES

        require_mnist()
        _, ((x, y), test) = load_digits()
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

    def __init__(
        self, result: Result, here: Result, recipe: Recipe, validation: bool = False
    ) -> None:
        self.versions, self.processes = result["versions"], {}
        self.about = {name: here[name] for name in ("code", "forced") if here[name]}
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
        about = {"seed": seed, "date": datetime.date.today().isoformat(), **self.about}
        about["load"] = round(os.getloadavg()[0], 2)
        return {**about, **self.processes[entry].ask(do="race", seed=seed)}


def race(
    goal: str, options: argparse.Namespace, result: Result, here: Result, save: Callable[[], None]
) -> bool:
    """Run the entries with all seeds that are missing, in turn; return whether none has failed.

    With ``--again``, the older runs of an entry are discarded when it has a new run.
    """
    entries, recipe, complete = options.entries, RECIPES[goal].fields(), True
    found = result["goals"].setdefault(goal, {"recipe": recipe, "runs": {}})
    found["skipped"], discarded = {}, {*entries} if options.again else set()
    with Track(result, here, RECIPES[goal]) as track:
        for seed in range(options.seeds):
            for entry in entries:
                runs = [] if entry in discarded else found["runs"].get(entry, [])
                if entry in found["skipped"] or any(run["seed"] == seed for run in runs):
                    continue
                try:
                    run = track.run(entry, seed)
                except SkipError as reason:
                    found["skipped"][entry] = str(reason)
                    complete &= not isinstance(reason, EndedError)
                else:
                    if found["recipe"] != recipe:
                        found.update(recipe=recipe, runs={})
                    found["runs"][entry] = [*runs, run]
                    discarded.discard(entry)
                    took = f"{run['seconds']:.2f} s, {run['accuracy']:.4f}"
                    print(f"  {goal}, seed {seed}, {entry}: {took}", flush=True)
                save()
            entries = entries[1:] + entries[:1]
    return complete and not {*entries} <= found["skipped"].keys()


def require_current(options: argparse.Namespace, result: Result, here: Result) -> None:
    """Raise ResultsError if runs of another recipe or other code would be kept or discarded."""
    for goal in options.goals:
        found = result["goals"].get(goal, {"recipe": RECIPES[goal].fields(), "runs": {}})
        same = found["recipe"] == RECIPES[goal].fields()
        for entry, runs in found["runs"].items():
            about = f"{goal}, {entry}, which were measured with another recipe or other code"
            if entry in options.entries:
                current = same and all(run.get("code") == here["code"] for run in runs)
                if not current and not options.again:
                    raise ResultsError(f"--again must be given to discard the runs of {about}")
            elif not same:
                raise ResultsError(f"--entries must include those with runs of {about}")


def parts(goal: str, seeds: int, result: Result, here: Result, save: Callable[[], None]) -> None:
    """Measure the effect of the parts of a recipe on images that are not used for training.

    The older runs of a part are discarded when it has a new run.
    """
    older = {part["part"]: part for part in result["parts"].get(goal, [])}
    changes = {name: replace(RECIPES[goal], **change) for name, change in PARTS.items()}
    changes = {n: changed for n, changed in changes.items() if not n or changed != RECIPES[goal]}
    for name, changed in changes.items():
        runs: list[Result] = []
        with Track(result, here, changed, validation=True) as track:
            for seed in range(seeds):
                runs.append(track.run("tinynet", seed))
                older[name] = {"part": name, "change": PARTS[name], "runs": runs}
                result["parts"][goal] = [older[n] for n in changes if n in older]
                save()
        print(f"  {goal}, {name or 'the recipe'}: {_mean(runs):.4f}", flush=True)


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


def _read(path: Path, here: Result, replaced: bool) -> Result:
    """Return the results so far if they were measured with the same processor and packages.

    If they are `replaced`, others are ignored.
    """
    keys = {"machine", "versions", "goals", "parts"}
    about = {name: here[name] for name in ("date", "machine")}
    new = {**about, "data": "MNIST", "versions": {}, "goals": {}, "parts": {}}
    result: Result = load(path, new, lambda found: isinstance(found, dict) and keys <= {*found})
    rows = [(name, result["machine"][name], here["machine"][name]) for name in ("cpu", "python")]
    for name, recorded in result["versions"].items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            rows.append((name, recorded, importlib.metadata.version(name)))
    if replaced and any(recorded != known for _, recorded, known in rows):
        return new
    for row in rows:
        _require_same(*row)
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
    again = "replace the results of these entries for these goals"
    parser.add_argument("--again", action="store_true", help=again)
    parser.add_argument("--force", action="store_true", help="measure on a busy machine")
    add_out(parser)
    options = parser.parse_args(arguments)
    path = options.out / "time_to_accuracy.json"
    everything = {*options.goals, *options.entries} == {*RECIPES, *CONTENDERS}
    try:
        require_quiet(options.force)
        require_mnist()
        here = origin("time_to_accuracy", force=options.force)
        with locked(path, wait=False):
            replaced = everything and options.again and not options.parts
            complete = measure(options, _read(path, here, replaced), here, path)
    except (ResultsError, SkipError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Wrote the results, time_to_accuracy.*, to {options.out}.")
    return int(not complete)


def measure(options: argparse.Namespace, result: Result, here: Result, path: Path) -> bool:
    """Add the missing runs to a result, write and print it; return whether no entry has failed."""

    def save_result() -> None:
        result["goals"] = {
            goal: result["goals"][goal] for goal in RECIPES if goal in result["goals"]
        }
        save(result, path)

    complete = True
    if not options.parts:
        require_current(options, result, here)
    for goal in options.goals:
        if options.parts:
            parts(goal, options.seeds, result, here, save_result)
        else:
            complete &= race(goal, options, result, here, save_result)
    shown = tables(result)
    print(*shown, sep="\n\n")
    report.write_table(path.with_suffix(".md"), *shown)
    if result["goals"]:
        plot(result, path.with_suffix(".png"))
    return complete


if __name__ == "__main__":
    sys.exit(main())
