"""What each rewrite rule is worth: training without it, against its lines of code.

A rule that gains less than 5 % on every network is not worth its lines, unless it is there for
correctness. No rule changes a bit of the result, which is checked before anything is timed.
"""

from __future__ import annotations

import importlib
import inspect
import operator
import statistics
import textwrap
from collections.abc import Iterable

import tinynet

#: What exists only for each rule of `tinynet.config.rules`: modules, and their functions and
#: classes. `learn_csr_adam` is part of what `learn` gains.
PARTS = {
    "linear_relu": "program.instruction_rules:linear_relu",
    "chain": "program.lowering:Group.fits program.lowering:Lowering._group_from "
    "program.lowering:Lowering._is_of program.lowering:Lowering._after",
    "update": "program.lowering:Lowering.update optimizers:SGD._traced_update "
    "optimizers:Adam._traced_update optimizers:RMSprop._traced_update kernels.chain:_sgd "
    "kernels.chain:_sgd_momentum kernels.chain:_rmsprop kernels.chain:_adam",
    "learn": "program.fusion_rules:learn program.fusion_rules:_read "
    "program.fusion_rules:_is_update program.fusion_rules:_learning "
    "program.machine:Machine._update_words kernels.learn",
    "gate": "program.fusion_rules:gate",
    "join": "program.machine:Machine._joint_updates program.machine:Machine._put_together "
    "program.machine:_continues",
    "reuse": "program.machine:Machine._reused",
    "learn_csr_adam": "program.fusion_rules:_adam_words program.fusion_rules:_matches "
    "kernels.learn:_build_adam kernels.learn:learn_csr_adam",
    "csr": "sparse program.lowering:_linear_csr kernels.csr_conversion kernels.csr",
    "many_steps": "training.trainer:ManySteps",
    "parts": "training.thread_pool:Pool program.row_order:Division kernels.runner:run_with_workers "
    "kernels.runner:work kernels.runner:_finish kernels.runner:_decide",
    "overlap": "program.row_order:_needs program.row_order:_estimate kernels.runner:_is_ready "
    "kernels.runner:_claim",
}
#: Rules that need at least two threads: measured on two cores, and all others on one.
FOR_THREADS = ("parts", "overlap")
#: What cannot be disabled: results would be others, or wrong. Each with its parts.
NEEDED = {
    "losses on logits, as Keras computes them": "training.compile_utils:OutputObjective.loss_for",
    "order of reads and writes of a variable": "program.lowering:Lowering.store "
    "program.lowering:Lowering._after_readers",
    "sums in a fixed order, for any number of threads": "kernels.csr:add_halves",
    "denormal moment estimates are set to 0": "kernels.numba_functions:flush",
}


def rules() -> list[str]:
    """Return the names of the rules."""
    return list(tinynet.config.rules())


def disable(rule: str) -> None:
    """Disable one rule and enable all others; all if the name is empty."""
    tinynet.config.set_disabled_rules([rule] if rule else [])


def measured(names: Iterable[str], cores: int) -> list[str]:
    """Return the rules to measure on this number of cores, with "" for all rules enabled."""
    return [name for name in names if not name or (name in FOR_THREADS) == (cores > 1)]


def measure(rule: str) -> str:
    """Return the name of what is measured without a rule."""
    return f"epoch without {rule}" if rule else "epoch"


def lines(parts: dict[str, str] = PARTS) -> dict[str, int]:
    """Count the lines of code of the parts of each rule."""
    return {name: sum(map(_lines, listed.split())) for name, listed in parts.items()}


def _lines(part: str) -> int:
    from tests.size import code_lines

    path, _, name = part.partition(":")
    found = importlib.import_module(f"tinynet.{path}")
    if name:
        found = operator.attrgetter(name)(found)
    for wrapped in ("function", "py_func"):  # of a kernel, and of what kernels call
        found = getattr(found, wrapped, found)
    return code_lines(textwrap.dedent(inspect.getsource(found)))


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
