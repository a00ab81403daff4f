"""Mutants, deliberately incorrect formulas, that the comparisons with Keras must reject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.compare import assert_all_within
from tests.parity.mutants import MUTANTS, applied, excess

CASES = [
    pytest.param(changes, check, id=f"{name} {i}")
    for name, (changes, checks) in MUTANTS.items()
    for i, check in enumerate(checks)
]


@pytest.mark.thread_unsafe(reason="replaces functions of tinynet")
@pytest.mark.parametrize(("changes", "check"), CASES)
def test_mutants_are_rejected(changes: Any, check: Callable[[], Any]) -> None:
    assert excess(changes, check) > 1
    with applied({}):  # the functions are restored
        assert_all_within(check())
