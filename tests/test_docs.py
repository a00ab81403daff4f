"""The documentation: code blocks run, links are valid, and every public name has a page."""

from __future__ import annotations

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
    contents = INVENTORY.read_bytes().split(b"\n", 4)[
        4
    ]  # compressed data follows four header lines
    lines = zlib.decompress(contents).decode().splitlines()
    pages = {name for name, kind, *_ in map(str.split, lines) if kind.startswith("py:")}
    assert set(public_names.find_names()) <= pages
