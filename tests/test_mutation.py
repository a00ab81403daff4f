"""Mutant sampling: deterministic for a seed, with at most one mutant per location."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

from tests.mutation import annotations, sample


class Mutant(NamedTuple):
    module_path: str
    operator_name: str
    occurrence: int
    start_pos: tuple[int, int]


def mutants(line: int = 1) -> list[Any]:
    names = ("Mul_Div", "Mul_Add", "Mul_Sub")
    return [Mutant("a.py", name, n, (line + n, 4)) for name in names for n in range(40)]


def test_mutant_sampling_is_stable() -> None:
    drawn = sample(mutants(), 10, seed=1)
    assert len({mutant.start_pos for mutant in drawn}) == 10
    assert len({mutant.operator_name for mutant in drawn}) == 3
    assert drawn == sample(reversed(mutants()), 20, seed=1)[:10] != sample(mutants(), 10, seed=2)
    below = sample(mutants(line=7), 10, seed=1)  # as if a comment were added above
    assert [mutant[:3] for mutant in below] == [mutant[:3] for mutant in drawn]


def test_annotations_are_found() -> None:
    module = ast.parse(
        "if TYPE_CHECKING:\n    import a\ndef f(x: a.B = 1) -> str:\n    y: a = x | 1"
    )
    found = {ast.unparse(node) for node in annotations(module)}
    assert found == {"if TYPE_CHECKING:\n    import a", "a.B", "str", "a"}
