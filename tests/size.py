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

# What a file may grow to, and why, where that is more than a sitting's 400 lines. A file that is
# not named here may have DEFAULT lines.
DEFAULT = 260
BUDGETS: dict[str, tuple[int, str]] = {
    "cli.py": (400, ""),
    "datasets/drawn_digits.py": (360, ""),
    "functional.py": (540, "every formula, each forward function beside its backward one"),
    "optimizers/base.py": (270, "what all optimizers share, of which there is much in Keras"),
    "sequential.py": (400, ""),
    "sklearn.py": (400, ""),
    "training.py": (510, "the loops of fit, evaluate and predict, which share their parts"),
    "visualize.py": (460, "one function a picture"),
}


def code_lines(source: str) -> int:
    """Count the lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines.difference_update(range(first.lineno, (first.end_lineno or 0) + 1))
    return len(lines)


def sizes() -> dict[str, int]:
    """Count every file of the library."""
    return {
        path.relative_to(ROOT).as_posix(): code_lines(path.read_text(encoding="utf-8"))
        for path in sorted(ROOT.rglob("*.py"))
    }


def main() -> None:
    """Print a line for each file, and the sum."""
    counted = sizes()
    for name, count in counted.items():
        budget, reason = BUDGETS.get(name, (DEFAULT, ""))
        print(f"{count:6,} of {budget:4,}  {name}{reason and '  (' + reason + ')'}")
    print(f"{sum(counted.values()):6,}          in all")


if __name__ == "__main__":
    main()
