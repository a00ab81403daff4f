"""Tables of the report of ``make parity``, generated from ``docs/parity.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import described
from benchmarks.report import markdown
from benchmarks.result_files import load as load_json
from tests import page_tables
from tests.parity.network import EPOCH, FIRST, LAST_BOUND, QUANTITIES, VARIANTS

Report = dict[str, Any]
ROOT = Path(__file__).parents[2]
DATA, PAGE, README = ROOT / "docs" / "parity.json", ROOT / "docs" / "parity.md", ROOT / "README.md"
KINDS = ("activations", "layers", "losses", "metrics", "optimizers")
#: Mutants that differ only for special inputs, which the first steps on MNIST do not have.
SPECIAL = {
    "divided by the sum of the weights": "needs sample weights",
    "clipped probabilities": "needs a saturated softmax",
}


def failures(report: Report) -> Iterator[str]:
    """Yield a line for each row that exceeds its bound, and each mutant that does not."""
    network = report["network"]
    for backend, rows in network["single"]["worst"].items():
        for name, numbers in rows.items():
            if numbers["share"] > 1:
                yield f"{name}, {backend}, a step from Keras' state: {numbers['share']:.2f} bounds"
    for number, backends in network["free"].items():
        for backend, rows in backends.items():
            for name, numbers in rows.items():
                if numbers["share"] > 1:
                    yield f"{name}, {backend}, after {number} steps: {numbers['share']:.2f} bounds"
    for row in report["names"]:
        if row["share"] > 1:
            yield f"{row['kind']}.{row['name']}: {row['share']:.2f} bounds ({row['worst']})"
    for name, found in network["mutants"].items():
        if max(found.values()) <= 1:
            yield f"mutant {name!r} does not exceed the bounds"


def count(value: float) -> str:
    """Format a number of ulps, or a factor."""
    if value > 1e9:
        return "> 1e9"
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def percent(share: float) -> str:
    """Format a share of a bound, rounded up."""
    return f"{math.ceil(100 * share)}%" if math.isfinite(share) else "> 1e9%"


def larger(backends: dict[str, Any], name: str, key: str) -> float:
    """Return the larger number of both backends."""
    return max(rows[name][key] for rows in backends.values())


def least_excess(report: Report) -> float:
    """Return the factor by which every mutant exceeds a bound."""
    return min(max(found.values()) for found in report["network"]["mutants"].values())


def summary(report: Report) -> str:
    """Return the result in one sentence, which the README quotes."""
    network, names = report["network"], report["names"]
    worst, wrong = network["single"]["worst"], network["mutants"].values()
    within = sum(larger(worst, name, "share") <= 1 for name in QUANTITIES)
    agree = sum(row["share"] <= 1 for row in names)
    exceed = sum(max(found.values()) > 1 for found in wrong)
    return (
        f"In each of the {network['steps']:,} steps of an epoch, {within} of {len(QUANTITIES)} "
        "quantities (output, loss, gradients, moment estimates, weights) agree with Keras within "
        f"derived bounds on rounding error; {agree} of {len(names)} layers, activations, losses, "
        f"metrics and optimizers agree in {sum(row['cases'] for row in names)} cases; {exceed} of "
        f"{len(wrong)} incorrect formulas exceed the bounds, by factors of at least "
        f"{count(least_excess(report))}."
    )


def single_table(network: Report) -> str:
    """Format the differences of single steps."""
    at, worst = network["single"]["at"], network["single"]["worst"]
    rows = [["quantity", *(f"step {int(n):,}" for n in at), "relative", *worst]]
    for name in QUANTITIES:
        cells = [
            f"{count(larger(backends, name, 'ulps'))} / {count(larger(backends, name, 'bound'))}"
            for backends in at.values()
        ]
        relative = f"{larger(worst, name, 'relative'):.1e}"
        shares = [percent(rows_[name]["share"]) for rows_ in worst.values()]
        rows.append([name.removeprefix("Adam's "), *cells, relative, *shares])
    return markdown(rows)


def free_table(network: Report) -> str:
    """Format the differences of complete runs."""
    free = network["free"]
    rows = [["quantity", *(after(n) for n in free)]]
    for name in QUANTITIES:
        cells = []
        for backends in free.values():
            derived = all(math.isfinite(rows_[name]["bound"]) for rows_ in backends.values())
            bound = f" / {count(larger(backends, name, 'bound'))}" if derived else ""
            cells.append(count(larger(backends, name, "ulps")) + bound)
        rows.append([name.removeprefix("Adam's "), *cells])
    return markdown(rows)


def after(number: str) -> str:
    """Return the heading of a column."""
    return {"1": "1 step", str(EPOCH): "one epoch"}.get(number, f"{number} steps")


def variants_table(network: Report, number: str) -> str:
    """Format how much tinynet and variants of Keras differ from Keras."""
    ours = network["free"][number]
    theirs = {v: r["ulps"][number] for v, r in network["variants"].items() if "ulps" in r}
    rows = [["quantity", *(f"tinynet, {b}" for b in ours), *(f"Keras, {v}" for v in theirs)]]
    for name in QUANTITIES:
        own = [count(rows_[name]["ulps"]) for rows_ in ours.values()]
        rows.append(
            [name.removeprefix("Adam's "), *own, *(count(ulps[name]) for ulps in theirs.values())]
        )
    return markdown(rows)


def mutants_table(network: Report) -> str:
    """Format the factors by which mutants exceed the bounds."""
    rows = [["incorrect formula", f"the first {FIRST} steps on MNIST", "golden files"]]
    for name, found in network["mutants"].items():
        own = SPECIAL[name] if name in SPECIAL else count(found["network"])
        rows.append([name, own, count(found["checks"])])
    return markdown(rows)


def names_table(report: Report, kind: str) -> str:
    """Format a row for each name of a kind."""
    rows = [["name", "cases", "ulps", "relative", "share of the bound", "JAX", "NumPy"]]
    for row in report["names"]:
        if row["kind"] == kind:
            others = [count(row[k]) if row.get(k) is not None else "" for k in ("jax", "numpy")]
            numbers = [count(row["ulps"]), f"{row['relative']:.1e}", percent(row["share"])]
            rows.append([f"`{row['name']}`", str(row["cases"]), *numbers, *others])
    return markdown(rows)


def seeds_table() -> str:
    """Format the accuracy of each seed in both libraries."""
    path = ROOT / "benchmarks" / "results" / "seeds.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = [["seed", *found["runs"]]]
    columns = [[run["accuracy"] for run in runs] for runs in found["runs"].values()]
    for seed, *accuracies in zip(found["seeds"], *columns, strict=True):
        rows.append([str(seed), *(f"{accuracy:.4f}" for accuracy in accuracies)])
    return markdown(rows)


def about(report: Report) -> str:
    """Describe the machine, the versions and the command."""
    return f"`{report['command']}`, {described(report)}. Data: {report['data']}."


def accuracies(report: Report) -> str:
    """Format the test accuracies after an epoch."""
    network = report["network"]
    rows = [["trained for one epoch", "test accuracy"]]
    for name, accuracy in network["accuracy"].items():
        rows.append([name if name == "Keras" else f"tinynet, {name}", f"{accuracy:.4f}"])
    for variant, found in network["variants"].items():
        if "accuracy" in found:
            rows.append([f"Keras, {variant}", f"{found['accuracy']:.4f}"])
    return markdown(rows)


def notes(report: Report) -> str:
    """List what was skipped, and why."""
    lines = [
        f"{VARIANTS[variant][1]} was skipped: {found['skipped']}"
        for variant, found in report["network"]["variants"].items()
        if "skipped" in found
    ]
    lines += [f"Keras on {name} was skipped: {why}" for name, why in report["skipped"].items()]
    for backend, failed in report["failed"].items():
        lines += [f"Keras on {backend}, a case of {n}: {why}" for n, why in failed.items()]
    return "\n".join(f"- {line}" for line in lines) or "- Nothing was skipped."


def blocks(report: Report) -> dict[str, str]:
    """Return the generated parts of the page by name."""
    network = report["network"]
    return {
        "summary": f"**{summary(report)}**",
        "about": about(report),
        "single": single_table(network),
        "free": free_table(network),
        "epoch": variants_table(network, str(EPOCH)),
        "200": variants_table(network, str(LAST_BOUND)),
        "accuracy": accuracies(report),
        "mutants": mutants_table(network),
        **{kind: names_table(report, kind) for kind in KINDS},
        "notes": notes(report),
        "seeds": seeds_table(),
    }


def marks(name: str) -> tuple[str, str]:
    """Return the lines between which a part is written."""
    return f"<!-- parity {name}:begin -->", f"<!-- parity {name}:end -->"


def written(text: str, parts: dict[str, str]) -> str:
    """Replace the text between the markers of each part."""
    for name, part in parts.items():
        begin, end = marks(name)
        text = page_tables.written(text, f"{begin}\n\n{part}\n\n{end}")
    return text


def pages(report: Report) -> dict[Path, str]:
    """Return the text of each file that contains a part of the report."""
    parts = {PAGE: blocks(report), README: {"summary": summary(report)}}
    return {path: written(path.read_text(encoding="utf-8"), part) for path, part in parts.items()}


def load() -> Report:
    """Return the committed results; null is an infinite number."""
    found: Report = load_json(DATA, None, lambda found: isinstance(found, dict))
    return {
        key: infinite(found[key]) if key in ("network", "names") else found[key] for key in found
    }


def infinite(value: Any) -> Any:
    """Replace null by an infinite number."""
    if isinstance(value, dict):
        return {key: infinite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [infinite(each) for each in value]
    return math.inf if value is None else value


def write(report: Report) -> None:
    """Write the tables to the page, and the summary to the README."""
    for path, text in pages(report).items():
        path.write_text(text, encoding="utf-8")
