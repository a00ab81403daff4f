"""How long the library is, in lines of code: ``python -m tests.size``.

Blank lines, comments and docstrings do not count: they are what makes the rest readable.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import tinynet

ROOT = Path(tinynet.__file__).parent
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def numbers_of_code(source: str) -> set[int]:
    """Return the numbers of the lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines.difference_update(range(first.lineno, (first.end_lineno or 0) + 1))
    return lines


def code_lines(source: str) -> int:
    """Count the lines that hold code."""
    return len(numbers_of_code(source))


def sizes() -> dict[str, int]:
    """Count every file of the library."""
    return {
        path.relative_to(ROOT).as_posix(): code_lines(path.read_text(encoding="utf-8"))
        for path in sorted(ROOT.rglob("*.py"))
    }


def main() -> None:
    """Print a line for each file, and the total."""
    counted = sizes()
    for name, count in counted.items():
        print(f"{count:6,}  {name}")
    print(f"{sum(counted.values()):6,}  total")


if __name__ == "__main__":
    main()
