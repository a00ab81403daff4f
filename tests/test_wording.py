"""Prose uses the wording of Keras', NumPy's and scikit-learn's documentation."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from tests.test_house_rules import ROOT, TEXTS

PATTERNS = ROOT / "tests" / "wording_patterns.txt"
LINES = PATTERNS.read_text("utf-8").splitlines()
UNUSUAL = re.compile("|".join(line for line in LINES if line[:1] != "#"), re.M)
# Not checked: programs that imitate third-party code, names from Keras, and the patterns.
NOT_OURS = ("programs", "custom_programs", "keras_names.txt", PATTERNS.name, "test_wording.py")
#: Matches that are correct, with the reason.
CORRECT = {"is no longer": "'is no' is wrong before a noun only"}
PAGES = [path for path in TEXTS if not set(path.parts) & set(NOT_OURS)]
PAGES += [path for end in ("html", "js") for path in sorted(ROOT.glob(f"tinynet/demo/*.{end}"))]


def prose_of(path: Path) -> str:
    """Return the text of a file, followed by its strings, each joined to a single line."""
    text = path.read_text(encoding="utf-8")
    strings: list[str] = []
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    if path.suffix == ".py":
        nodes = ast.walk(ast.parse(text))
        constants = [node.value for node in nodes if isinstance(node, ast.Constant)]
        strings = [" ".join(value.split()) for value in constants if isinstance(value, str)]
    if path.suffix == ".md":
        strings = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return "\n".join([text, *strings])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_prose_has_no_unusual_wording(path: Path) -> None:
    matches = {match[0].strip() for match in UNUSUAL.finditer(prose_of(path))}
    matches -= CORRECT.keys()
    assert not matches


def test_patterns_find_unusual_wording() -> None:
    assert UNUSUAL.search("Compute the gradient in x.")
    assert UNUSUAL.search("Parameters\n    What is made small.")
    assert not UNUSUAL.search("Compute the gradient with respect to x.")
