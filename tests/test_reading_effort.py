"""A training step calls code from a limited number of files and lines."""

from __future__ import annotations

import functools
import re

import pytest

from tests import reading_effort

pytestmark = pytest.mark.thread_unsafe(reason="parses source files")


@functools.cache
def steps() -> list[reading_effort.Entered]:
    return reading_effort.follow()


def test_math_functions_of_step_are_counted() -> None:
    first, second = steps()
    names = {name.rpartition(": ")[2] for name in second.functions if name.startswith("functional")}
    assert {"dense", "dense_layer_backward", "dense_backward", "adam"} <= names
    assert first.lines > second.lines > 0
    assert set(second.files) <= set(first.files)


def test_function_lines_are_counted_once() -> None:
    counted = reading_effort.measure({reading_effort.tinynet.functional.relu.__code__})
    assert (counted.lines, counted.maths) == (2, 1.0)


def test_training_step_stays_within_limits() -> None:
    second = steps()[1]
    assert len(second.files) <= reading_effort.MOST_FILES
    assert second.lines <= reading_effort.MOST_LINES
    assert second.maths >= reading_effort.LEAST_MATHS


@pytest.mark.slow
def test_contributing_lists_the_totals() -> None:
    text = reading_effort.CONTRIBUTING.read_text(encoding="utf-8")
    block = text[text.index(reading_effort.BEGIN) : text.index(reading_effort.END)].partition(
        "| --- |"
    )[2]
    listed = {
        what: int(n.replace(",", ""))
        for what, n in re.findall(r"^\| ([^|\d]+?) \| \d+ \| ([\d,]+) \|", block, re.M)
    }
    found = {what: entered.lines for what, entered in reading_effort.totals().items()}
    # The counts depend on the Python version: before 3.12, comprehensions were functions.
    assert listed == pytest.approx(found, rel=0.05), "run: python -m tests.reading_effort --write"
