"""What tests share that is not a fixture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

#: Seconds after which something has hung: far more than anything takes on a busy machine.
HUNG = 900


def mostly_slow(names: Iterable[str], *everyday: str, mark: Any = pytest.mark.slow) -> list[Any]:
    """Return parameters for `pytest.mark.parametrize`, all of them marked but the last ones."""
    names = list(names)
    assert set(everyday) <= set(names)
    return [pytest.param(name, id=name, marks=() if name in everyday else mark) for name in names]


def mostly_wide(names: Iterable[str], *everyday: str) -> list[Any]:
    """Return parameters as `mostly_slow` does, but which other runs of `.ci/run` have, too."""
    return mostly_slow(names, *everyday, mark=pytest.mark.wide)
