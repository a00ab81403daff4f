"""Lines of code of each tier, and their budgets: ``python -m tests.size``.

Blank lines, comments and docstrings are not counted, because they make the code readable. The
limits are in ``tests/budgets.toml``; a commit that raises a limit changes only that file and
explains the reason.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
BUDGETS = ROOT / "tests" / "budgets.toml"
#: Folders and files of each tier; "surface" is the rest of the library.
TIERS = {
    "maths": ("tinynet/functional/",),
    "engine": ("tinynet/program/",),
    "kernels": ("tinynet/kernels/",),
    "training": ("tinynet/training/",),
    "files": ("tinynet/saving/",),
    "core": ("tinynet/_core/", "tinynet/config.py"),
    "extras": (
        "tinynet/explain/", "tinynet/exercises/", "tinynet/export/", "tinynet/compat/",
        "tinynet/demo/",
        "tinynet/visualize.py", "tinynet/cli.py", "tinynet/sklearn.py", "tinynet/repeats.py",
    ),
    "surface": ("tinynet/",),
    "tests": ("tests/",),
    "benchmarks": ("benchmarks/",),
}  # fmt: skip
SCRIPTS = "tinynet/demo/*.js"


def numbers_of_code(source: str) -> set[int]:
    """Return the line numbers of code."""
    texts = [line.strip() for line in source.split("\n")]
    lines = {i for i, text in enumerate(texts, 1) if text and not text.startswith("#")}
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant | ast.JoinedStr):  # may have lines that look different
            lines.update(range(node.lineno, (node.end_lineno or 0) + 1))
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docstrings.update(range(first.lineno, (first.end_lineno or 0) + 1))
    return lines - docstrings


def code_lines(source: str) -> int:
    """Count the lines of code."""
    return len(numbers_of_code(source))


def script_lines(script: str) -> int:
    """Count the lines of JavaScript that are neither blank nor a comment."""
    plain = re.sub(r"/\*.*?\*/", "", script, flags=re.DOTALL)
    lines = [line.strip() for line in plain.split("\n")]
    return sum(bool(line) and not line.startswith("//") for line in lines)


def tier_of(name: str) -> str:
    """Return the tier of a file."""
    return next(tier for tier, places in TIERS.items() if name.startswith(places))


def sizes() -> dict[str, int]:
    """Count the lines of every Python file of the library, the tests and the benchmarks."""
    folders = ("tinynet", "tests", "benchmarks")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return {
        path.relative_to(ROOT).as_posix(): code_lines(path.read_text(encoding="utf-8"))
        for path in paths
    }


def scripts() -> dict[str, int]:
    """Count the JavaScript files of the demo page."""
    found = sorted(ROOT.glob(SCRIPTS))
    return {path.name: script_lines(path.read_text(encoding="utf-8")) for path in found}


def totals() -> dict[str, int]:
    """Count the lines of each tier."""
    found = dict.fromkeys(TIERS, 0)
    for name, count in sizes().items():
        found[tier_of(name)] += count
    found["page"] = sum(scripts().values())
    return found


def budgets(text: str | None = None) -> dict[str, int]:
    """Return the maximum number of lines of each tier."""
    text = BUDGETS.read_text(encoding="utf-8") if text is None else text
    return {tier: int(lines) for tier, lines in tomllib.loads(text)["lines"].items()}


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def raising_commits() -> Iterator[str]:
    """Yield commits that raise a budget and change another file, or lack an explanation."""
    name = BUDGETS.relative_to(ROOT).as_posix()
    for commit in _git("log", "--format=%H", "--", name).split():
        parents = _git("log", "-1", "--format=%P", commit).split()
        if not parents or not _git("ls-tree", parents[0], "--", name):
            continue  # the commit that introduced the budgets
        before, after = (budgets(_git("show", f"{c}:{name}")) for c in (parents[0], commit))
        if any(after[tier] > lines for tier, lines in before.items() if tier in after):
            changed = _git("diff", "--name-only", parents[0], commit).split()
            explained = _git("log", "-1", "--format=%b", commit).strip()
            if changed != [name] or not explained:
                yield commit


def main() -> None:
    """Print the number of lines of each library file and of each tier."""
    argparse.ArgumentParser("python -m tests.size", description=__doc__).parse_args()
    for name, count in sizes().items():
        if name.startswith("tinynet/"):
            print(f"{count:6,}  {name}")
    for name, count in scripts().items():
        print(f"{count:6,}  tinynet/demo/{name}")
    allowed, found = budgets(), totals()
    print()
    for tier, count in found.items():
        print(f"{count:6,} of {allowed[tier]:6,}  {tier}")
    library = sum(n for tier, n in found.items() if tier not in ("tests", "benchmarks", "page"))
    print(f"{library:6,}            the library")
    if over := [tier for tier, count in found.items() if count > allowed[tier]]:
        sys.exit(f"over budget: {', '.join(over)}")


if __name__ == "__main__":
    main()
