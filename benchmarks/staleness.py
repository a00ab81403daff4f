"""Results that are older than the code that they measure: ``python -m benchmarks.staleness``.

Each result contains a hash of the code of the mathematics, kernels, program and training. Comments,
docstrings and formatting do not affect the hash. The command prints the stale results with the
commands that measure them again, and exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.contenders import ROOT

RESULTS = ROOT / "benchmarks" / "results"
#: Packages whose code determines the results.
MEASURED = ("functional", "kernels", "program", "training")
#: Commands that write results, by file name; all others are suites.
COMMANDS = {
    "drawn_digits": "python -m benchmarks.drawn_digits",
    "handwriting": "python -m benchmarks.handwriting --scans FILE",
    "nets-avx2": "python -m benchmarks --suite nets --isa avx2",
    "seeds": "python -m benchmarks.seeds",
    "sklearn_estimator": "python -m benchmarks.sklearn_estimator",
    "time_to_accuracy": "python -m benchmarks.time_to_accuracy --again",
}


def code_hash(library: Path = ROOT / "tinynet") -> str:
    """Hash the syntax trees of the measured code, without docstrings."""
    found = hashlib.sha256()
    for package in MEASURED:
        for path in sorted((library / package).rglob("*.py")):
            found.update(f"\n{path.relative_to(library).as_posix()}\n".encode())
            found.update("".join(_tokens(ast.parse(path.read_text(encoding="utf-8")))).encode())
    return found.hexdigest()[:16]


def _tokens(node: Any) -> Iterator[str]:
    """Yield the tree as text, which is the same in all versions of Python."""
    if isinstance(node, ast.AST):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list) and _is_docstring(value[0]):
                value = value[1:]
            if value not in (None, []) and name not in ("ctx", "kind", "type_comment"):
                yield f" {name}("
                yield from _tokens(value)
                yield ")"
    elif isinstance(node, list):
        for item in node:
            yield from _tokens(item)
            yield ","
    else:
        yield repr(node)


def _is_docstring(node: ast.AST) -> bool:
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant and isinstance(node.value.value, str)  # type: ignore[attr-defined]


def command(name: str) -> str:
    """Return the command that writes a result, named without its extension."""
    return COMMANDS.get(name, f"python -m benchmarks --suite {name}")


def stale(folder: Path) -> dict[str, str]:
    """Return the commands that measure stale results again, by file name."""
    current = code_hash()
    return {
        path.name: command(path.stem)
        for path in sorted(folder.glob("*.json"))
        if json.loads(path.read_text(encoding="utf-8")).get("code") != current
    }


def main(arguments: list[str] | None = None) -> int:
    """Print stale results; return 1 if there are any."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    commands = stale(RESULTS)
    for name, again in commands.items():
        print(f"{name} was measured with different code; measure it again: {again}")
    if not commands:
        print("All results were measured with this code.")
    return bool(commands)


if __name__ == "__main__":
    sys.exit(main())
