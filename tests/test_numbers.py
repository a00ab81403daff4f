"""Numbers in README and docs are those of committed results."""

from __future__ import annotations

import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import report
from benchmarks.contenders import ROOT
from benchmarks.result_files import RESULTS

PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
#: Pages that contain only text written by a command.
WRITTEN = ["docs/parity.md"]
#: A number that looks like the result of a measurement.
MEASURED = re.compile(
    r"\d[\d,.]*\s*(%|×|(ms|s|µs|seconds?|minutes?|hours?|[kMG]i?B|times|images/s)\b)"
    r"|\d[\d,]* of (the )?\d"
)
#: Numbers that are not results, and a result that `test_sklearn` checks.
OTHERS = [
    "at most 32 MiB of memory in addition to three times the size of the file",
    "42 of the 59 tests pass",
]


@functools.cache
def result(name: str) -> Any:
    """Read a committed result."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def percent(*rates: float, digits: int = 1) -> list[str]:
    """Format rates as in the pages."""
    return [f"{100 * rate:.{digits}f}" for rate in rates]


def speedups() -> list[str]:
    """Return the times of an epoch in other libraries on one core, relative to tinynet."""
    table = report.Table(result("train"))
    times = (table.times(key, "epoch", "tinynet-1") for key in ("jax-1", "torch-1", "keras-tf-1"))
    return [f"{time:.2g}" for time in times if time is not None]


def epoch_times() -> list[str]:
    """Return the time of an epoch on two cores and on one core."""
    table = report.Table(result("train"))
    found = (table.find(key, "epoch") for key in ("tinynet-2", "tinynet-1"))
    return [report.duration(np.median(record["values"])) for record in found if record]


def times_to_accuracy() -> list[str]:
    """Return the seconds to two accuracies, for each library."""
    found = [result("time_to_accuracy")["goals"][goal]["runs"] for goal in ("97 %", "98.5 %")]
    return [
        f"{np.median([run['seconds'] for run in runs[name]]):.2f}"
        for name in ("tinynet", "PyTorch", "JAX")
        for runs in found
    ]


def printed() -> tuple[str, str]:
    """Return the accuracies in the output of ``make train`` that the README shows."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"- accuracy: (\S+) .*?Test accuracy: (\S+)", text, re.S)
    assert found
    return found[1], found[2]


def network(name: str) -> Any:
    """Return the results of a command that trains for handwriting."""
    return result("handwriting")["networks"][name]


def row(name: str) -> list[str]:
    """Return a row of the table of handwriting."""
    found = network(name)
    ones, nines = found["digits"][1], found["digits"][9]
    return percent(found["test"], found["scans"]) + percent(ones, nines, digits=0)


def relative_time(variations: float, epoch: float) -> float:
    """Return the time of the variations of an epoch, relative to the training."""
    return variations / epoch


#: Page, sentence with placeholders, and a function that returns the numbers.
CLAIMS: list[tuple[str, str, Callable[[], Any]]] = [
    (
        "README.md",
        "trains about {} times as fast as in JAX, {} times as fast as in PyTorch and {} times as "
        "fast as in Keras",
        speedups,
    ),
    (
        "README.md",
        "training accuracy ({} %) is higher than the test accuracy ({} %)",
        lambda: percent(*map(float, printed())),
    ),
    (
        "README.md",
        "{} % of 600 digits of a Swiss writer instead of {} %",
        lambda: [row(name)[1] for name in ("tinynet train --augment", "tinynet train")],
    ),
    (
        "README.md",
        "97 % of the test images after {} s of training on two cores, and 98.5 % after {} s "
        "(PyTorch: {} s and {} s, JAX: {} s and {} s)",
        times_to_accuracy,
    ),
    *(
        (
            "docs/start.md",
            f"| `{name}` | {{}} % | {{}} % | {{}} % | {{}} % |",
            lambda n=name: row(n),
        )
        for name in ("tinynet train", "tinynet train --augment")
    ),
    (
        "docs/start.md",
        "that takes {:.1f} times as long as the training",
        lambda: [relative_time(**result("handwriting")["seconds"])],
    ),
    (
        "docs/start.md",
        "recognizes about {} % of MNIST's test images",
        lambda: percent(result("drawn_digits")["mnist"]["accuracy"], digits=0),
    ),
    (
        "examples/06_why_it_is_fast.ipynb",
        "an epoch of MNIST takes {} instead of {}",
        epoch_times,
    ),
]


def prose(page: str) -> str:
    """Return a page with single spaces, without code blocks and text written by commands."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if page.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    text = re.sub(r"<!-- (.+?):begin -->.*?<!-- \1:end -->", "", text, flags=re.S)
    return " ".join(re.sub(r"^```.*?^```", "", text, flags=re.S | re.M).split())


def claimed(page: str) -> list[str]:
    """Return the sentences of a page with the numbers of the results."""
    return [text.format(*numbers()) for place, text, numbers in CLAIMS if place == page]


@pytest.mark.parametrize("page", [*dict.fromkeys(place for place, *_ in CLAIMS)])
def test_sentences_have_the_measured_numbers(page: str) -> None:
    assert not [sentence for sentence in claimed(page) if sentence not in prose(page)]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in WRITTEN])
def test_other_sentences_have_no_results(page: str) -> None:
    text = prose(page)
    for sentence in (*claimed(page), *OTHERS):
        text = text.replace(sentence, "")
    text = re.sub(r"`[^`]*`", "", text)
    assert not [text[max(m.start() - 80, 0) : m.end() + 20] for m in MEASURED.finditer(text)]


def test_tables_are_those_of_the_results(tmp_path: Path) -> None:
    for page in ("README.md", "docs/benchmarks.md"):
        copy = tmp_path / Path(page).name
        shutil.copy(ROOT / page, copy)
        report.write_tables([copy], RESULTS)
        assert copy.read_text(encoding="utf-8") == (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(path.stem for path in RESULTS.glob("*.json")))
def test_results_state_their_origin(name: str) -> None:
    found = result(name)
    assert found["date"]
    assert found["machine"]["cpu"]
    assert found["machine"]["load_before"] >= 0
    assert found["versions"]["numpy"]
    table = RESULTS / f"{name}.md"
    if table.exists():
        text = table.read_text(encoding="utf-8")
        assert report.described(found) in text
