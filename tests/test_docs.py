"""The documentation: code blocks run, links are valid, and every public name has a page."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from docs import public_names
from tests import HUNG
from tests.test_examples import write_small_mnist

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
INVENTORY = ROOT / "docs" / "_build" / "html" / "objects.inv"


def programs(path: Path) -> str:
    """Return the Python blocks of a page, which build on one another."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), re.M | re.S))


@pytest.mark.slow
@pytest.mark.parametrize("path", [*filter(programs, PAGES)], ids=lambda path: path.stem)
def test_code_blocks_run(path: Path, tmp_path: Path) -> None:
    if path.stem == "sklearn":
        pytest.importorskip("sklearn", reason="needs scikit-learn: pip install -e '.[sklearn]'")
    write_small_mnist(tmp_path, 600, 100)
    environment = {**os.environ, "TINYNET_DATA": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", programs(path)]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=HUNG)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_relative_links_exist(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text("utf-8"))
    links += re.findall(r"^```\{include\} (\S+)", path.read_text("utf-8"), re.M)
    assert not [link for link in links if not (path.parent / link).exists()]


def test_readme_is_short() -> None:
    assert len(PAGES[0].read_text("utf-8").splitlines()) <= 130


def test_every_public_name_has_a_page() -> None:
    if not INVENTORY.exists():
        pytest.skip("needs the documentation: make docs")
    *_, compressed = INVENTORY.read_bytes().split(b"\n", 4)  # after four header lines
    lines = zlib.decompress(compressed).decode().splitlines()
    pages = {name for name, kind, *_ in map(str.split, lines) if kind.startswith("py:")}
    assert set(public_names.find_names()) <= pages


def test_course_lists_every_chapter() -> None:
    text = (ROOT / "docs" / "course.md").read_text("utf-8")
    chapters = [p.name for p in (ROOT / "examples").glob("*[!g]") if p.name[0] not in "_."]
    assert "00_look_and_train.ipynb" in chapters
    listed = set(re.findall(r"^\|[^|]*\| `([\w.]+)/?` \|", text, re.M))
    assert listed == set(chapters)
    notebooks = {name for name in chapters if name.endswith(".ipynb")}
    assert {f"{name}.ipynb" for name in re.findall(r"^course/(\w+)$", text, re.M)} == notebooks


def test_reading_order_refers_to_the_one_file() -> None:
    """Each later stop names functions of the one file, and states how it improves them."""
    one_file = ROOT / "examples" / "tinynet_in_one_file.py"
    tree = ast.parse(one_file.read_text("utf-8"))
    parts = {node.name: node for node in tree.body if hasattr(node, "name")}
    names = {*parts, *(f"Adam.{method.name}" for method in parts["Adam"].body[1:])}
    table = (ROOT / "docs" / "course.md").read_text("utf-8").partition("| files |")[2]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]
    for files, part, *_ in rows:
        assert not [f for f in re.findall("`(.+?)`", files) if not (ROOT / f).exists()]
        if rows[0][0] != files:
            assert names & {*re.findall("`(.+?)`", part)}, part
            assert not {*re.findall("`(.+?)`", part)} - names - {"x"}, part
            assert re.search("robust|general|fast", part), part
    assert rows[0][0] == f"`{one_file.relative_to(ROOT).as_posix()}`"
    # Each part of the one file is the subject of at least one later stop.
    subjects = " ".join(row[1] for row in rows)
    assert not [name for name in parts if f"`{name}" not in subjects]
