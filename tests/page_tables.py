"""Tables of the documentation that are generated from code or results, between two markers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def written(text: str, block: str) -> str:
    """Replace a block of a text; its first and last line are the markers."""
    begin, *_, end = block.split("\n")
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"text must contain {begin} and {end}. Received: text={text[:80]!r}")
    return before + block + after


def main(page: Path, block: Callable[[], str], arguments: list[str] | None = None) -> None:
    """Print a block, or write it to its page."""
    parser = argparse.ArgumentParser(description="Print generated tables of the documentation.")
    parser.add_argument("--write", action="store_true", help=f"write them to {page.name}")
    if parser.parse_args(arguments).write:
        page.write_text(written(page.read_text(encoding="utf-8"), block()), encoding="utf-8")
    else:
        print(block())
