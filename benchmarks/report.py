"""Tables and plots of the results, created from the stored JSON files."""

from __future__ import annotations

import itertools
import json
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import ablation
from benchmarks.contenders import CONTENDERS
from benchmarks.harness import QUIET, describe, described
from benchmarks.result_files import load
from benchmarks.suites import FAST, ONLY_NETS, SUITES, tasks_of
from benchmarks.targets import GRID, targets
from benchmarks.task import EPOCH, Task
from tinynet._core import text_tables

Record = dict[str, Any]
Result = dict[str, Any]

BASES = ("tinynet-1", "tinynet-2")
WORTH = 0.05  # minimum slowdown without a rewrite rule, on at least one network


# ---------------------------------------------------------------- statistics


def ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """Return the time relative to `base`: the median over the rounds of the ratio in each round."""
    return statistics.median(a / b for a, b in zip(values, base, strict=True))


def duration(seconds: float) -> str:
    """Format a time with three digits, in s, ms or µs."""
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if abs(seconds) * factor >= 0.9995:
            return f"{_three(seconds * factor)} {unit}"
    return f"{_three(seconds * 1e6)} µs"


def _three(number: float) -> str:
    rounded = float(f"{number:.2e}")  # so that 9.999 gets the same number of decimals as 10.0
    whole_digits = len(f"{abs(int(rounded))}")
    return f"{rounded:.{max(3 - whole_digits, 0)}f}"


def figure(record: Record, scale: float = 1.0) -> str:
    """Format the median of a record, and its range over the rounds."""
    write = duration if record["unit"] == "s" else (lambda mb: f"{mb:.0f} MB")
    values = [value * scale for value in record["values"]]
    text = write(statistics.median(values))
    if len(values) > 1:
        text += f" ({write(min(values))} – {write(max(values))})"
    return text


def name_of(key: str, how: bool = False) -> str:
    """Return the label of a contender with its cores, or the name of a program."""
    if (contender := CONTENDERS.get(key)) is None:
        return f"`{key}`" if key.startswith("python") else key
    label = f"{contender.label} ({contender.how})" if how else contender.label
    return f"{label}, {on(contender.cores)}"


def on(cores: int) -> str:
    """Format a number of cores."""
    return f"{cores} core{'s' if cores > 1 else ''}"


class Table:
    """Records of a suite, indexed by task, contender and measurement."""

    def __init__(self, result: Result) -> None:
        self.records: list[Record] = [  # with fields that are missing in older files
            {**r, "task": r["task"] and Task.of(r["task"]).fields()} for r in result["records"]
        ]
        self.measures = list(dict.fromkeys(r["measure"] for r in self.records))
        self.contenders = list(dict.fromkeys(r["contender"] for r in self.records))
        self.tasks: list[Any] = []
        for record in self.records:
            if record["task"] not in self.tasks:
                self.tasks.append(record["task"])

    def find(self, contender: str, measure: str, task: Any = None) -> Record | None:
        """Return a record, or None."""
        for record in self.records:
            fits = task is None or record["task"] == task
            if fits and (record["contender"], record["measure"]) == (contender, measure):
                return record
        return None

    def times(self, contender: str, measure: str, base: str, task: Any = None) -> float | None:
        """Return the time relative to `base`, or None if a record is missing."""
        one, other = self.find(contender, measure, task), self.find(base, measure, task)
        if one is None or other is None:
            return None
        rounds = min(len(one["values"]), len(other["values"]))  # contenders may have fewer rounds
        return ratio(one["values"][:rounds], other["values"][:rounds])


# ---------------------------------------------------------------- Markdown


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table; the first row is its header."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join(["---"] * len(rows[0])) + " |", *lines[1:]])


def table(result: Result) -> str:
    """Format the table of a suite."""
    if result["suite"] == "nets":
        return markdown(_nets(result))
    if result["suite"] == "ablation":
        needed = [[name, str(lines)] for name, lines in ablation.lines(ablation.NEEDED).items()]
        head = ["needed for correctness, not measured", "lines"]
        return f"{markdown(_ablation(result))}\n\n{markdown([head, *needed])}"
    kinds = {"train": _train, "grid": _by_task, "scaling": _by_task}
    return markdown(kinds.get(result["suite"], _by_contender)(Table(result)))


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}×"


def _train(found: Table) -> list[list[str]]:
    bases = [base for base in BASES if base in found.contenders]
    faster = [f"relative to {name_of(base)}" for base in bases]
    rows = [["", "time of an epoch (range)", *faster, "test accuracy"]]
    for key in found.contenders:
        record = found.find(key, "epoch")
        assert record is not None
        ratios = [_times(found.times(key, "epoch", base)) for base in bases]
        reached = f"{record['accuracies'][-1]:.4f}" if record["accuracies"] else ""
        rows.append([name_of(key, how=True), figure(record), *ratios, reached])
    return rows


def _by_contender(found: Table) -> list[list[str]]:
    """Return a row per contender, with times relative to tinynet on as many cores."""
    rows = [["", *found.measures]]
    for key in found.contenders:
        row = [name_of(key)]
        for measure in found.measures:
            record = found.find(key, measure)
            base = f"tinynet-{CONTENDERS[key].cores}" if key in CONTENDERS else key
            if base not in found.contenders:
                base = BASES[0]
            times = None if key in (base, *BASES) else found.times(key, measure, base)
            text = "" if record is None else figure(record)
            row.append(text + (f", {_times(times)}" if text and times is not None else ""))
        rows.append(row)
    return rows


def leads(found: Table, cores: int) -> list[tuple[Any, float]]:
    """Return the time of the faster of PyTorch and JAX, relative to tinynet, for each task."""
    peers = [k for k in found.contenders if k in FAST and CONTENDERS[k].cores == cores]
    base = f"tinynet-{cores}"
    all_leads = []
    for task in found.tasks:
        times = [found.times(peer, "epoch", base, task) for peer in peers if peer != base]
        known = [time for time in times if time is not None]
        if known:
            all_leads.append((task, min(known)))
    return all_leads


def _by_task(found: Table) -> list[list[str]]:
    """Return a row per task, with times of 60,000 images and the lead over the fastest peer."""
    both = {cores: leads(found, cores) for cores in (1, 2)}
    shown = {cores: found_leads for cores, found_leads in both.items() if found_leads}
    rows = [["", *map(name_of, found.contenders)]]
    rows[0] += [f"faster of PyTorch and JAX / tinynet, {on(cores)}" for cores in shown]
    for task in found.tasks:
        row = [describe(task)]
        for key in found.contenders:
            record = found.find(key, "epoch", task)
            row.append("" if record is None else figure(record, EPOCH / task["images"]))
        for found_leads in shown.values():
            row.append("".join(_times(lead) for one, lead in found_leads if one == task))
        rows.append(row)
    return rows


# ---------------------------------------------------------------- targets


def _goals(result: Result) -> list[tuple[str, Record, int, dict[str, tuple[float, float]]]]:
    """Return name, record of tinynet, cores, and the ratio and target (or 0) for each peer."""
    found, rows = Table(result), []
    for task, measure in dict.fromkeys((_key(r["task"]), r["measure"]) for r in found.records):
        task = json.loads(task)
        for cores in (1, 2):
            goals = targets(task["name"], measure, cores, bool(result.get("isa")))
            ratios = {}
            for peer in dict.fromkeys(("jax", "torch", *goals, *ONLY_NETS)):
                key = peer if peer in BASES else f"{peer}-{cores}"
                times = found.times(key, measure, f"tinynet-{cores}", task)
                if times is not None:
                    ratios[peer] = times, goals.get(peer, 0.0)
            if record := found.find(f"tinynet-{cores}", measure, task):
                name = describe(task) if measure == "epoch" else measure
                rows.append((name, record, cores, ratios))
    return rows


def _key(task: Any) -> str:
    return json.dumps(task, sort_keys=True)


def _nets(result: Result) -> list[list[str]]:
    """Return a row per network and number of cores, with relative times of the peers."""
    goals = _goals(result)
    peers = list(dict.fromkeys(peer for *_, ratios in goals for peer in ratios))
    labels = [CONTENDERS[p if p in BASES else f"{p}-1"].label for p in peers]
    labels = [f"{t} on 1 core" if p in BASES else t for p, t in zip(peers, labels, strict=True)]
    rows = [["", "cores", "tinynet", *labels, "target"]]
    for name, record, cores, ratios in goals:
        row = [name, str(cores), duration(statistics.median(record["values"]))]
        for peer in peers:
            times, goal = ratios.get(peer, (None, 0.0))
            row.append(_times(times) + (f" (≥ {goal:.3g})" if goal and times is not None else ""))
        missed = [peer for peer, (times, goal) in ratios.items() if times < goal]
        known = any(goal for _, goal in ratios.values())
        rows.append([*row, ("**missed**" if missed else "met") if known else ""])
    return rows


def summary(result: Result) -> str:
    """Return a summary of the targets that are met and missed; empty without targets."""
    goals: list[tuple[str, float, float]] = []
    if result["suite"] == "nets":
        for name, _, cores, ratios in _goals(result):
            for peer, (times, goal) in ratios.items():
                if goal:
                    goals.append((f"{name}, {peer}, {on(cores)}", times, goal))
    if result["suite"] == "grid":
        for cores, (least, middle) in GRID.items():
            if lead := [times for _, times in leads(Table(result), cores)]:
                goals.append((f"minimum lead, {on(cores)}", min(lead), least))
                goals.append((f"median lead, {on(cores)}", statistics.median(lead), middle))
    if not goals:
        return ""
    missed = sorted(
        (times / goal, name, times, goal) for name, times, goal in goals if times < goal
    )
    text = f"{len(goals) - len(missed)} of {len(goals)} targets are met."
    worst = [f"{name}: {times:.2f} of {goal:.3g}" for _, name, times, goal in missed[:5]]
    return text + (f" Largest shortfalls: {'; '.join(worst)}." if worst else "")


def _ablation(result: Result) -> list[list[str]]:
    """Return a row per rule: the largest and median slowdown without it, and lines of code."""
    gains: dict[str, dict[str, float]] = {}
    found = Table(result)
    for task, contender in itertools.product(found.tasks, found.contenders):
        place = f"{describe(task)}, {on(CONTENDERS[contender].cores)}"
        records = [r for r in found.records if (r["task"], r["contender"]) == (task, contender)]
        times = {r["measure"]: r["values"] for r in records}
        for rule, gain in ablation.gains(times).items():
            gains.setdefault(rule, {})[place] = gain
    rows = [["rule disabled", "largest slowdown", "network", "median slowdown", "lines of code"]]
    rows[0] += ["slowdown per 100 lines", "note"]
    for rule, by_place in sorted(gains.items(), key=lambda item: -max(item[1].values())):
        where, most = max(by_place.items(), key=lambda item: item[1])
        lines = result.get("lines", {}).get(rule, 0)
        rows.append([
            rule, f"{most:.1%}", where, f"{statistics.median(by_place.values()):.1%}",
            str(lines or ""), f"{most * 100 / lines:.1%}" if lines else "",
            "" if most >= WORTH else f"**less than {WORTH:.0%} everywhere**",
        ])  # fmt: skip
    return rows


def sentence(here: dict[str, Result], committed: dict[str, Result]) -> str:
    """Compare tinynet with Keras and PyTorch, here and on the machine used for the README."""
    places = []
    for results in (here, committed):
        found, numbers = Table(results.get("train", {"records": []})), []
        for peer in ("keras-tf", "torch"):
            times = [found.times(f"{peer}-{n}", "epoch", f"tinynet-{n}") for n in (2, 1)]
            numbers += [f"{time:.1f}" for time in times if time is not None][:1]
        places.append(numbers if len(numbers) == 2 else [])
    ours, theirs = places
    if not ours:
        return ""
    text = "On this machine, tinynet is {} times as fast as Keras and {} times as fast as PyTorch"
    text = text.format(*ours)
    other = "; on the machine used for the README, the factors are {} and {}"
    return text + (other.format(*theirs) if theirs else "") + "."


def text(result: Result) -> str:
    """Format the table, the summary and the caption of a suite."""
    return "\n\n".join(filter(None, (table(result), summary(result), caption(result))))


def caption(result: Result) -> str:
    """Describe the date, machine, load, versions and rounds of a result."""
    machine = result["machine"]
    pinned = "each pinned to its cores" if machine["pinned"] else "not pinned to cores"
    names = result.get("names", [file_name(result)])
    suites = f"Suite{'s' if len(names) > 1 else ''} {', '.join(f'`{name}`' for name in names)}"
    lines = [
        f"{suites}, {described(result)}. Data: {result['data']}. Times are medians (with ranges, "
        f"where shown) of {result['rounds']} interleaved rounds, {pinned}. "
        "Ratios are computed for each round; their median is shown."
    ]
    if result.get("isa"):
        lines.append("AVX-512 was disabled for all libraries.")
    if machine["load_before"] > QUIET:
        forced = "; written with --force" if result.get("forced") else ""
        lines.append(f"**The machine was busy (load {machine['load_before']}){forced}.**")
    if result.get("incomplete"):
        lines.append("**These results are incomplete, because a process has exited.**")
    if result["quick"]:
        lines.append("**These results are from a quick run and are not meaningful.**")
    lines += [f"{key} was skipped: {reason}." for key, reason in result["skipped"].items()]
    return "\n".join(lines)


# ---------------------------------------------------------------- plots


def plot(result: Result, path: Path) -> None:
    """Plot the results of a suite."""
    from matplotlib.figure import Figure

    drawing = Figure(layout="constrained")
    if result["suite"] == "nets":
        _plot_nets(drawing, result)
    else:
        kinds = {"grid": _plot_grid, "scaling": _plot_scaling}
        kinds.get(result["suite"], _plot_bars)(drawing, Table(result))
    drawing.savefig(path, dpi=100)


def _plot_bars(drawing: Any, found: Table) -> None:
    """Plot a panel per measurement, with a bar per contender (median) and a line (range)."""
    columns = min(2, len(found.measures))
    height = -(-len(found.measures) // columns)
    drawing.set_size_inches(8 * columns, (0.8 + 0.35 * len(found.contenders)) * height)
    panels = drawing.subplots(height, columns, squeeze=False).flat
    for axes, measure in zip(panels, found.measures, strict=False):
        records = [r for r in found.records if r["measure"] == measure]
        unit = records[0]["unit"]
        for place, record in enumerate(records):
            values = record["values"]
            ours = "tinynet" in record["contender"]
            middle = statistics.median(values)
            axes.barh(place, middle, color="tab:orange" if ours else "tab:gray")
            axes.plot([min(values), max(values)], [place, place], color="black")
            axes.annotate(f" {figure({**record, 'values': [middle]})}", (max(values), place))
        labels = [name_of(r["contender"]).strip("`") for r in records]
        axes.set_yticks(range(len(records)), labels)
        axes.set(title=measure, xlabel=unit)
        if all(value > 0 for record in records for value in record["values"]):
            axes.set_xscale("log")
        axes.margins(x=0.25)
        axes.invert_yaxis()


def _plot_nets(drawing: Any, result: Result) -> None:
    """Plot a panel per number of cores with a row per network: ratios to peers, and targets."""
    goals = _goals(result)
    panels = drawing.subplots(1, 2, squeeze=False)[0]
    drawing.set_size_inches(14, 2 + 0.3 * len(goals) / 2)
    colors = {"jax": "tab:blue", "torch": "tab:red"}
    for cores, axes in enumerate(panels, 1):
        rows = [goal for goal in goals if goal[2] == cores]
        for place, (_, _, _, ratios) in enumerate(rows):
            for peer in colors.keys() & ratios.keys():
                times, goal = ratios[peer]
                axes.plot(times, place, "o", color=colors[peer])
                if goal:
                    axes.plot(goal, place, "|", color=colors[peer], markersize=14)
        names = [name for name, *_ in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.set(title=on(cores), xlabel="time of JAX (blue), PyTorch (red) / time of tinynet")
        axes.set_xscale("log")
        axes.axvline(1, color="black", linewidth=0.8)
        axes.invert_yaxis()


def _plot_grid(drawing: Any, found: Table) -> None:
    """Plot a panel per kind of input, depth and number of cores: the lead over the fastest peer."""
    panels: dict[Any, dict[Any, float]] = {}
    for cores in (1, 2):
        for task, lead in leads(found, cores):
            kind = (cores, task["dense"], len(task["hidden"]))
            panels.setdefault(kind, {})[task["hidden"][0], task["batch"]] = lead
    columns = min(4, max(len(panels), 1))
    height = -(-max(len(panels), 1) // columns)
    drawing.set_size_inches(3.2 * columns, 3.2 * height)
    drawing.suptitle("Time of the faster of PyTorch and JAX / time of tinynet")
    spots = drawing.subplots(height, columns, squeeze=False).flat
    for axes, ((cores, dense, depth), cells) in zip(spots, panels.items(), strict=False):
        widths, batches = (sorted({cell[i] for cell in cells}) for i in (0, 1))
        for (width, batch), lead in cells.items():
            place = (widths.index(width), batches.index(batch))
            style = {"ha": "center", "va": "center", "weight": "bold"}
            axes.annotate(f"{lead:.2f}", place, color="green" if lead >= 1 else "red", **style)
        axes.set(xlim=(-0.5, len(widths) - 0.5), ylim=(-0.5, len(batches) - 0.5))
        axes.set_xticks(range(len(widths)), widths)
        axes.set_yticks(range(len(batches)), batches)
        input_kind = "dense" if dense else "sparse"
        axes.set_title(f"{on(cores)}, {input_kind} input, {depth} hidden", fontsize=9)
        axes.set(xlabel="width", ylabel="batch size")


def _plot_scaling(drawing: Any, found: Table) -> None:
    """Plot the time as a function of batch size, width and number of images."""
    drawing.set_size_inches(16, 5)
    panels = drawing.subplots(1, 3)
    for axes, axis in zip(panels, ("batch size", "width", "images"), strict=True):
        for key in found.contenders:
            points = []
            for task in tasks_of(axis):
                if (record := found.find(key, "epoch", task)) is None:
                    continue
                x = {"batch size": task["batch"], "width": task["hidden"][0]}.get(axis)
                scale = 1.0 if x is None else EPOCH / task["images"]
                values = [value * scale for value in record["values"]]
                middle = statistics.median(values)
                points.append((x or task["images"], middle, min(values), max(values)))
            if not points:
                continue
            x_values, middles, least, largest = zip(*points, strict=True)
            ours, cores = key in BASES, CONTENDERS[key].cores
            (line,) = axes.loglog(
                x_values, middles, "o-" if cores > 1 else "o--", label=name_of(key),
                linewidth=2.5 if ours else 1,
            )  # fmt: skip
            axes.fill_between(x_values, least, largest, color=line.get_color(), alpha=0.2)
        whole = "an epoch" if axis == "images" else f"{EPOCH:,} images"
        axes.set(xlabel=axis, ylabel=f"seconds for {whole}")
        axes.grid(alpha=0.3, which="both")
    panels[0].legend(fontsize=8)


# ---------------------------------------------------------------- files


def write(result: Result, folder: Path) -> None:
    """Write the table and the plot of a suite."""
    name, title = file_name(result), TITLES[result["suite"]]
    page = f"# {title}\n\n{text(result)}\n\n![{title}]({name}.png)\n"
    (folder / f"{name}.md").write_text(page, encoding="utf-8")
    plot(result, folder / f"{name}.png")


def read(folder: Path) -> dict[str, Result]:
    """Read all results in a folder, by file name."""
    names = [f"{suite}{isa}" for suite in SUITES for isa in ("", "-avx2")]
    paths = {name: folder / f"{name}.json" for name in names}
    found = {name: load(path, {}, is_result) for name, path in paths.items()}
    return {name: result for name, result in found.items() if result}


def is_result(found: Any) -> bool:
    """Return whether the contents of a JSON file are a result of a suite, or empty."""
    keys = {"suite", "date", "machine", "versions", "data", "rounds", "quick", "skipped", "records"}
    return isinstance(found, dict) and (not found or keys <= found.keys())


def file_name(result: Result) -> str:
    """Return the name of the files of a result, without extension."""
    return result["suite"] + (f"-{result['isa']}" if result.get("isa") else "")


TITLES = {
    "nets": "Time of an epoch for each network, relative to tinynet",
    "ablation": "Time of an epoch without each rewrite rule",
    "train": "An epoch of training: 784-128-10, Adam, batch 32, float32, 60,000 images",
    "predict": "Prediction with the 784-128-10 network",
    "cold": "Cold start",
    "grid": "Time of 60,000 images, by batch size, width, depth and kind of input",
    "scaling": "Time of 60,000 images, by batch size, width, and images per call of `fit`",
}


#: What `full_block` compares, by file name of the results.
_COMPARED = {
    "nets": "networks",
    "nets-avx2": "networks without AVX-512",
    "grid": "combinations of network, batch size and input",
}


def _slower(results: dict[str, Result]) -> list[list[str]]:
    """Return a row per measurement in which another library is faster than tinynet."""
    rows = [["suite", "measurement", "cores", "time relative to tinynet"]]
    for name, result in results.items():
        found = Table(result)
        for task, measure, cores in itertools.product(found.tasks, found.measures, (1, 2)):
            faster = []
            for key in (k for k, c in CONTENDERS.items() if c.cores == cores and c.net != "Blas"):
                time = found.times(key, measure, f"tinynet-{cores}", task)
                if time is not None and time < 0.995:  # less than 1.00 as printed
                    faster.append(f"{CONTENDERS[key].label} {_times(time)}")
            if faster:
                what = describe(task) if measure == "epoch" else measure
                rows.append([f"`{name}`", what, str(cores), "; ".join(faster)])
    return rows


def full_block(results: dict[str, Result]) -> str:
    """Return all tables, for the documentation."""
    parts: list[str] = []
    for name in ("train", "predict", "cold"):
        if name in results:
            parts += [f"**{TITLES[name]}** (suite `{name}`)", table(results[name])]
    for name, compared in _COMPARED.items():
        found = Table(results.get(name, {"records": []}))
        for cores in (1, 2):
            if all_leads := leads(found, cores):
                slowest, lead = min(all_leads, key=lambda pair: pair[1])
                middle = statistics.median(lead for _, lead in all_leads)
                parts.append(
                    f"For {len(all_leads)} {compared} on {on(cores)} (suite `{name}`), tinynet is "
                    f"{middle:.2f} times as fast as the faster of PyTorch and JAX (median; minimum "
                    f"{lead:.2f}, {describe(slowest)})."
                )
        if name in results and (targets_met := summary(results[name])):
            parts.append(f"Targets of `{name}`: {targets_met}")
    if len(slower := _slower(results)) > 1:
        parts += ["**Where another library is faster than tinynet**", markdown(slower)]
    return "\n\n".join([*parts, *map(caption, _merged(list(results.values())))])


def _merged(results: list[Result]) -> list[Result]:
    """Merge results of the same machine, date and instruction set, so that they share a caption."""
    merged: dict[str, list[Result]] = {}
    for result in results:
        machine = {**result["machine"], "load_before": 0}
        key = f"{result['date']} {result['data']} {result.get('isa')} {machine}"
        merged.setdefault(key, []).append(result)
    together = []
    for group in merged.values():
        rounds = sorted({result["rounds"] for result in group})
        names = [file_name(result) for result in group]
        both: Result = {**group[0], "versions": {}, "skipped": {}, "names": names}
        both["rounds"] = " to ".join(map(str, rounds[:: max(len(rounds) - 1, 1)]))
        load = max(result["machine"]["load_before"] for result in group)
        both["machine"] = {**both["machine"], "load_before": load}
        for result in group:
            both["versions"].update(result["versions"])
            both["skipped"].update(result["skipped"])
        together.append(both)
    return together


def write_table(path: Path, *tables: text_tables.Table) -> None:
    """Write text tables as Markdown."""
    parts = [f"**{t.title}**\n\n{markdown([t.header, *t.rows])}\n\n{t.note}\n" for t in tables]
    path.write_text("\n".join(parts), encoding="utf-8")


def short_block(results: dict[str, Result]) -> str:
    """Return the README's table: an epoch of the main network, on one core and on two."""
    found, rows = Table(results["train"]), {"": ["time of an epoch", on(1), on(2)]}
    for key in found.contenders:
        label, cores = CONTENDERS[key].label, CONTENDERS[key].cores
        if key != "blas-1" and (record := found.find(key, "epoch")) is not None:
            times = _times(found.times(key, "epoch", f"tinynet-{cores}"))
            time = duration(statistics.median(record["values"]))
            rows.setdefault(label, [label, "", ""])[cores] = f"{time} ({times})"
    return f"{markdown([*rows.values()])}\n\n{caption(results['train'])}"


#: Functions for the text between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.
BLOCKS = {"benchmarks": full_block, "speed": short_block}


def write_tables(paths: Sequence[Path], folder: Path) -> None:
    """Replace the marked blocks of text files; raise a ValueError if that is not possible."""
    results = read(folder)
    if not results:
        raise ValueError(f"folder must contain results. Received: folder={folder}")
    if quick := [name for name, result in results.items() if result["quick"]]:
        raise ValueError(f"results must not be from a quick run. Received: {', '.join(quick)}")
    pattern = rf"(<!-- ({'|'.join(BLOCKS)}):begin -->).*(<!-- \2:end -->)"

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}\n\n{BLOCKS[match[2]](results)}\n\n{match[3]}"

    for path in paths:
        text, found = re.subn(pattern, block, path.read_text(encoding="utf-8"), flags=re.S)
        if not found:
            raise ValueError(f"file must contain the markers of a block. Received: file={path}")
        path.write_text(text, encoding="utf-8")
