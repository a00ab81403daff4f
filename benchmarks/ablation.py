"""What each rewrite rule is worth: training without it, against its lines of code.

A rule that gains less than 5 % on every network is not worth its lines, unless it is there for
correctness. No rule changes a bit of the result, which is checked before anything is timed.
"""

from __future__ import annotations

import inspect
import statistics
import textwrap
from collections.abc import Iterable
from typing import Any

import tinynet


def _known() -> dict[str, Any]:
    """Return `tinynet.config.rules()`: each rule's name, and what exists only for it."""
    config: Any = tinynet.config
    if not hasattr(config, "set_disabled_rules"):
        raise NotImplementedError("this tinynet has no config.set_disabled_rules")
    known = config.rules()
    return dict(known) if isinstance(known, dict) else dict.fromkeys(known)


def rules() -> list[str]:
    """Return the names of the rules; raise a NotImplementedError if none can be disabled."""
    return list(_known())


def disable(rule: str) -> None:
    """Disable one rule and enable all others; all if the name is empty."""
    config: Any = tinynet.config
    config.set_disabled_rules([rule] if rule else [])


def measure(rule: str) -> str:
    """Return the name of what is measured without a rule."""
    return f"epoch without {rule}" if rule else "epoch"


def lines() -> dict[str, int]:
    """Count the lines of code that exist only for each rule, 0 where they are unknown."""
    return {name: sum(map(_lines, _parts(of_rule))) for name, of_rule in _known().items()}


def _parts(of_rule: Any) -> Iterable[Any]:
    """Return a rule's functions, classes and modules; of a single one, this one."""
    if of_rule is None or isinstance(of_rule, str):
        return ()
    return of_rule if isinstance(of_rule, list | tuple | set | frozenset) else (of_rule,)


def _lines(part: Any) -> int:
    from tests.size import code_lines

    source = textwrap.dedent(inspect.getsource(inspect.unwrap(getattr(part, "py_func", part))))
    return code_lines(source)


def gains(times: dict[str, list[float]]) -> dict[str, float]:
    """Return by rule how much longer training takes without it: 0.05 is 5 % longer.

    Parameters
    ----------
    times : dict
        Each measure's time in every round.
    """
    return {
        name.removeprefix(measure(" ")[:-1]): statistics.median(
            a / b for a, b in zip(without, times[measure("")], strict=True)
        ) - 1
        for name, without in times.items()
        if name != measure("")
    }  # fmt: skip
