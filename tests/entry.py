"""How much code one training step enters: ``python -m tests.entry``.

The main network (784-128-10, a softmax, Adam) is trained by `fit` on the numpy backend. Counted
are the code lines of every function of the library that is entered from the beginning of a step
to that of the next one; of a function that is entered all lines count. In the first step the
program is traced; the second one is what a reader of the training loop has to follow.
"""

from __future__ import annotations

import ast
import functools
import os
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

import tinynet
from tests.size import ROOT, numbers_of_code

#: At most this many files and code lines, and at least this share of them maths.
MOST_FILES, MOST_LINES, LEAST_MATHS = 8, 300, 0.3
_MATHS = "functional"


class Entered(NamedTuple):
    """What a step entered: the numbers of code lines, by file and by function."""

    files: Counter[str]
    functions: Counter[str]

    @property
    def lines(self) -> int:
        """The number of code lines."""
        return self.files.total()

    @property
    def maths(self) -> float:
        """The share of the lines that are in `functional`."""
        own = sum(n for name, n in self.files.items() if name.split("/")[0] == _MATHS)
        return own / max(self.lines, 1)


@functools.cache
def _code(path: Path) -> frozenset[int]:
    """Return the numbers of the lines of a file that hold code."""
    return frozenset(numbers_of_code(path.read_text(encoding="utf-8")))


@functools.cache
def _ranges(path: Path) -> dict[int, range]:
    """Return the lines of the functions and lambdas of a file, by their first line."""
    found: dict[int, range] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            found[first] = range(first, (node.end_lineno or 0) + 1)
    return found


def measure(codes: set[CodeType]) -> Entered:
    """Count the code lines of functions."""
    lines: set[tuple[str, int]] = set()
    functions: Counter[str] = Counter()
    for code in codes:
        path = Path(code.co_filename)
        own = {line for *_, line in code.co_lines() if line}
        name = "generated"
        if path.is_file():
            name = path.relative_to(ROOT).as_posix()
            own = set(_ranges(path).get(code.co_firstlineno, own)) & _code(path)
        functions[f"{name}: {code.co_qualname}"] += len(own)
        lines |= {(name, line) for line in own}
    return Entered(Counter(name for name, _ in lines), functions)


def follow() -> list[Entered]:
    """Train for three steps; return what the first and the second of them entered."""
    rng = np.random.default_rng(0)
    x, y = rng.random((96, 784), np.float32), rng.integers(0, 10, 96)
    layers = tinynet.layers
    hidden, digit = layers.Dense(128, "relu"), layers.Dense(10, "softmax")
    model = tinynet.Sequential([layers.Input((784,)), hidden, digit])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    steps: list[set[CodeType]] = [set()]

    def enter(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        file = code.co_filename
        generated = file.startswith("<") and "tinynet" in file
        if not (file.startswith(f"{ROOT}{os.sep}") or generated):
            return
        if code.co_name == "_train_step":
            steps.append(set())
        steps[-1].add(code)

    before, backend = sys.gettrace(), tinynet.config.backend()
    tinynet.config.set_backend("numpy")
    sys.settrace(enter)
    try:
        model.fit(x, y, batch_size=32, shuffle=False, verbose=0)
    finally:
        sys.settrace(before)
        tinynet.config.set_backend(backend)
    # What comes before the first step belongs to it: there the program is traced.
    return [measure(steps[0] | steps[1]), measure(steps[2])]


def main() -> None:
    """Print what the two steps enter."""
    for title, entered in zip(("First step, with tracing", "Second step"), follow(), strict=True):
        print(
            f"{title}: {len(entered.files)} files, {entered.lines} code lines, "
            f"{entered.maths:.0%} of them maths"
        )
    print()
    for name, count in entered.files.most_common():
        print(f"{count:6}  {name}")
    print()
    for name, count in entered.functions.most_common(80):
        print(f"{count:6}  {name}")


if __name__ == "__main__":
    main()
