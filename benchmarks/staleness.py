"""Results that must be measured before a release: ``python -m benchmarks.staleness``.

Each result contains a hash of the code in `BASE` and in its row of `ROWS`. Comments, docstrings
and formatting do not affect the hash. The command prints the results that are missing, incomplete,
measured on a busy machine or with different code, with the commands that measure them, and exits
with 1 if there are any.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contenders import ROOT
from benchmarks.recipes import RECIPES
from benchmarks.result_files import ResultsError, load

#: Files and folders on which all results depend: mathematics, kernels, engine and training, and the
#: layers, loss and optimizer of the network that most results train.
BASE = (
    *(f"tinynet/{name}" for name in ("functional", "kernels", "program", "training")),
    *("tinynet/sparse.py", "tinynet/models/model.py", "tinynet/models/sequential.py"),
    *(f"tinynet/layers/{name}.py" for name in ("layer", "dense", "flatten")),
    *(f"tinynet/losses/{name}.py" for name in ("loss", "probabilistic_losses")),
    *(f"tinynet/optimizers/{name}.py" for name in ("optimizer", "plan", "adam")),
    "benchmarks/problem.py",
)
_API = tuple(f"tinynet/{name}" for name in ("layers", "losses", "optimizers"))
_SUITE = tuple(f"benchmarks/{name}.py" for name in ("contenders", "nets", "task", "worker"))
_AUGMENTATION = "tinynet/datasets/augmentation.py"


class Row(NamedTuple):
    """Command that measures a result, and the code on which it depends in addition to `BASE`."""

    command: str
    code: tuple[str, ...] = ()


def _suite(name: str, *code: str) -> Row:
    return Row(f"python -m benchmarks --suite {name}", (*_SUITE, *code))


#: All results, by file name.
ROWS = {
    "ablation": _suite("ablation", *_API, "benchmarks/ablation.py"),
    "cold": _suite("cold", "tinynet/__init__.py", "tinynet/cli.py", "reference"),
    "drawn_digits": Row("python -m benchmarks.drawn_digits", ("tinynet/datasets/drawn_digits.py",)),
    "grid": _suite("grid"),
    "handwriting": Row(
        "python -m benchmarks.handwriting --scans FILE",
        ("tinynet/cli.py", "tinynet/datasets/framing.py", _AUGMENTATION),
    ),
    "nets": _suite("nets", *_API),
    "nets-avx2": _suite("nets --isa avx2", *_API),
    "parity": Row(
        "python -m tests.parity",
        (*_API, "tinynet/activations.py", "tinynet/metrics", "tests/compare.py")
        + tuple(f"tests/parity/{name}.py" for name in ("cases", "mutants", "network")),
    ),
    "predict": _suite("predict"),
    "scaling": _suite("scaling"),
    "seeds": Row("python -m benchmarks.seeds", ("tinynet/repeats.py",)),
    "sklearn_estimator": Row("python -m benchmarks.sklearn_estimator", ("tinynet/sklearn.py",)),
    "time_to_accuracy": Row(
        "python -m benchmarks.time_to_accuracy --again",
        ("benchmarks/entries.py", "benchmarks/recipes.py", _AUGMENTATION),
    ),
    "train": _suite("train"),
}
#: Keys that mark a result that must not be released, and the reasons.
MARKS = {
    "quick": "is from a quick run",
    "forced": "was measured on a busy machine",
    "incomplete": "is incomplete",
}


def code_hash(name: str, root: Path = ROOT) -> str:
    """Hash the syntax trees of the code that determines a result, without docstrings."""
    found = hashlib.sha256()
    for place in dict.fromkeys((*BASE, *ROWS[name].code)):
        path = root / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(f"\n{file.relative_to(root).as_posix()}\n".encode())
            found.update("".join(_tokens(ast.parse(file.read_text(encoding="utf-8")))).encode())
    return found.hexdigest()[:16]


def _tokens(node: Any) -> Iterator[str]:
    """Yield the tree as text, which is the same in all versions of Python."""
    if isinstance(node, ast.AST):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list) and _is_docstring(value[:1]):
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


def _is_docstring(nodes: list[ast.AST]) -> bool:
    constants = [node.value for node in nodes if isinstance(node, ast.Expr)]
    return any(isinstance(c, ast.Constant) and isinstance(c.value, str) for c in constants)


def path_of(name: str, root: Path = ROOT) -> Path:
    """Return the path of a result."""
    return root / ("docs" if name == "parity" else "benchmarks/results") / f"{name}.json"


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield a dict and all dicts in it."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from _dicts(item)


def reason(result: dict[str, Any], code: str) -> str:
    """Return why a result must be measured again, or an empty string.

    Runs that are stored one by one have their own hash.
    """
    found = [*_dicts(result)]
    for mark, why in MARKS.items():
        if any(each.get(mark) for each in found):
            return why
    if "synthetic" in str(result.get("data")):
        return "was measured without MNIST"
    if "goals" in result and not all(result["goals"].get(g, {}).get("runs") for g in RECIPES):
        return MARKS["incomplete"]
    measured = [each for each in found if "seed" in each and "cores" in each] or [result]
    return "was measured with different code" * any(e.get("code") != code for e in measured)


def stale(root: Path = ROOT) -> Iterator[str]:
    """Yield a line for each result that must be measured, with the reason and the command."""
    for name, row in ROWS.items():
        path, command = path_of(name, root), row.command
        try:
            result = load(path, {}, lambda found: isinstance(found, dict))
        except ResultsError as error:
            yield f"{error}; measure it again: {command}"
            continue
        parts = result.pop("parts", None)
        if not result:
            yield f"{path.name} is missing; measure it: {command}"
        elif why := reason(result, code_hash(name, root)):
            yield f"{path.name} {why}; measure it again: {command}"
        if parts is not None:
            why = reason({"parts": parts}, code_hash(name, root)) if parts else "is missing"
            again = command.replace("--again", "--parts")
            if why:
                yield f"the effect of the parts in {path.name} {why}; measure it again: {again}"


def main(arguments: list[str] | None = None) -> int:
    """Print the results that must be measured; return 1 if there are any."""
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser("python -m benchmarks.staleness", None, about, more)
    parser.parse_args(arguments)
    found = [*stale()]
    current = "All results are complete, and the code in their hashes is unchanged."
    print("\n".join(found) or current)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
