"""Count the code that a reader has to follow: ``python -m tests.reading_effort``.

With ``--write``, the totals are written to CONTRIBUTING.md.

Every code line of each called library function is counted. `fit` trains the main network
(784-128-10, softmax, Adam) on the numpy backend, and a step comprises all calls from the start of
one training step to the start of the next. The first step includes tracing; the second step is the
code that a reader of the training loop has to follow.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

import tinynet
from tests import page_tables
from tests.size import numbers_of_code

ROOT = Path(tinynet.__file__).parent

#: Limits for a training step: maximum number of files and of code lines, and minimum fraction of
#: lines in `functional`. Five of the 12 files are in `functional`, which has one file per subject.
MOST_FILES, MOST_LINES, LEAST_MATHS = 12, 300, 0.3
_MATHS = "functional"


class Entered(NamedTuple):
    """Number of code lines of the called functions, by file and by function.

    Whole functions are counted, not only the executed lines.
    """

    files: Counter[str]
    functions: Counter[str]

    @property
    def lines(self) -> int:
        """Number of code lines."""
        return self.files.total()

    @property
    def maths(self) -> float:
        """Fraction of the lines that are in `functional`."""
        own = sum(n for name, n in self.files.items() if name.split("/")[0] == _MATHS)
        return own / max(self.lines, 1)


@functools.cache
def _code(path: Path) -> frozenset[int]:
    """Return the line numbers of a file's code."""
    return frozenset(numbers_of_code(path.read_text(encoding="utf-8")))


@functools.cache
def _ranges(path: Path) -> dict[int, range]:
    """Return the line range of each function in a file, by its first line."""
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
        functions[f"{name}: {getattr(code, 'co_qualname', code.co_name)}"] += len(own)
        lines |= {(name, line) for line in own}
    return Entered(Counter(name for name, _ in lines), functions)


@contextlib.contextmanager
def _traced(enter: Callable[[CodeType], None]) -> Iterator[None]:
    """Pass the code object of each called library function to `enter`."""

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        file = frame.f_code.co_filename
        generated = file.startswith("<") and "tinynet" in file
        if file.startswith(f"{ROOT}{os.sep}") or generated:
            enter(frame.f_code)

    before, backend = sys.gettrace(), tinynet.config.backend()
    tinynet.config.set_backend("numpy")
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
        tinynet.config.set_backend(backend)


def _network() -> Any:
    """Build the main network."""
    layers = tinynet.layers
    hidden, digit = layers.Dense(128, "relu"), layers.Dense(10, "softmax")
    model = tinynet.Sequential([layers.Input((784,)), hidden, digit])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def follow() -> list[Entered]:
    """Train for three steps; return the code of the first two."""
    rng = np.random.default_rng(0)
    x, y = rng.random((96, 784), np.float32), rng.integers(0, 10, 96)
    model = _network()
    steps: list[set[CodeType]] = [set()]

    def enter(code: CodeType) -> None:
        if code.co_name == "_train_step":
            steps.append(set())
        steps[-1].add(code)

    with _traced(enter):
        model.fit(x, y, batch_size=32, shuffle=False, verbose=0)
    # Tracing before the first step counts as part of it.
    return [measure(steps[0] | steps[1]), measure(steps[2])]


def predict() -> Entered:
    """Measure the code that is executed by a second call of `predict`."""
    model, x = _network(), np.ones((32, 784), np.float32)
    model.predict(x, verbose=0)
    codes: set[CodeType] = set()
    with _traced(codes.add):
        model.predict(x, verbose=0)
    return measure(codes)


_IMPORT = """
import json, sys
entered = set()
def trace(frame, event, argument):
    code = frame.f_code
    entered.add((code.co_filename, code.co_name, code.co_firstlineno))
sys.settrace(trace)
import tinynet
sys.settrace(None)
print(json.dumps(sorted(entered)))
"""


def _codes(path: Path) -> Iterator[CodeType]:
    """Yield the code objects of a file and of all its functions."""
    waiting = [compile(path.read_text(encoding="utf-8"), str(path), "exec")]
    while waiting:
        code = waiting.pop()
        yield code
        waiting += [inner for inner in code.co_consts if isinstance(inner, CodeType)]


def of_import() -> Entered:
    """Measure the code that ``import tinynet`` executes: module bodies and called functions."""
    command = [sys.executable, "-c", _IMPORT]
    run = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=True)
    found = {tuple(entry) for entry in json.loads(run.stdout)}
    files = {Path(file) for file, *_ in found if file.startswith(f"{ROOT}{os.sep}")}
    codes = {code for path in files for code in _codes(path)}
    return measure({c for c in codes if (c.co_filename, c.co_name, c.co_firstlineno) in found})


def totals() -> dict[str, Entered]:
    """Measure each entry point, and return the results by name."""
    first, second = follow()
    return {
        "`import tinynet`": of_import(),
        "the first training step, with tracing": first,
        "a training step": second,
        "`predict`": predict(),
    }


CONTRIBUTING = ROOT.parent / "CONTRIBUTING.md"
BEGIN, END = "<!-- entry:begin -->", "<!-- entry:end -->"


def table(found: dict[str, Entered]) -> str:
    """Return the totals as a Markdown table."""
    rows = [f"| {what} | {len(e.files)} | {e.lines:,} |" for what, e in found.items()]
    return "\n".join(["| entry point | files | lines of code |", "| --- | --- | --- |", *rows])


def main() -> None:
    """Print the totals and files, or write the totals to CONTRIBUTING.md."""
    found = totals()
    page_tables.main(CONTRIBUTING, lambda: f"{BEGIN}\n{table(found)}\n{END}")
    for what, entered in found.items():
        print(f"\n{what}: {entered.maths:.0%} of the lines are in `functional`")
        for name, count in entered.files.most_common(20):
            print(f"{count:6}  {name}")


if __name__ == "__main__":
    main()
