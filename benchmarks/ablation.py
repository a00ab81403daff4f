"""Ablation study of the rewrite rules: training time without each rule, and its lines of code.

A rule without which no network is at least 5 % slower is not worth its code, unless it is required
for correctness. Results with and without a rule are bit-identical, which is checked before timing.
"""

from __future__ import annotations

import importlib
import inspect
import operator
import statistics
import textwrap
from collections.abc import Iterable

import tinynet

#: Code that is used only by one rule, for each rule of `tinynet.config.rules`: modules, or
#: functions and classes in them. `learn_csr_adam` requires `learn`, so the slowdown without `learn`
#: includes both.
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
#: Rules for two or more threads, which are measured on two cores; all others are measured on one.
FOR_THREADS = ("parts", "overlap")
#: Code that cannot be disabled, because results would change or be incorrect.
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
    """Disable a rewrite rule and enable all others; an empty string enables all rules."""
    tinynet.config.set_disabled_rules([rule] if rule else [])


def measured(names: Iterable[str], cores: int) -> list[str]:
    """Return the rules to measure on a number of cores; "" means that all rules are enabled."""
    return [name for name in names if not name or (name in FOR_THREADS) == (cores > 1)]


def measure(rule: str) -> str:
    """Return the name of the measurement with a rule disabled."""
    return f"epoch without {rule}" if rule else "epoch"


def lines(parts: dict[str, str] = PARTS) -> dict[str, int]:
    """Count the lines of code of each rule."""
    return {name: sum(map(_lines, listed.split())) for name, listed in parts.items()}


def _lines(part: str) -> int:
    from tests.size import code_lines

    path, _, name = part.partition(":")
    found = importlib.import_module(f"tinynet.{path}")
    if name:
        found = operator.attrgetter(name)(found)
    for wrapped in ("function", "py_func"):  # unwrap kernels, and functions called by kernels
        found = getattr(found, wrapped, found)
    return code_lines(textwrap.dedent(inspect.getsource(found)))


def gains(times: dict[str, list[float]]) -> dict[str, float]:
    """Return the relative increase of training time without each rule (0.05 for 5 %).

    `times` contains the times of each measurement in every round.
    """
    return {
        name.removeprefix(measure(" ")[:-1]): statistics.median(
            a / b for a, b in zip(without, times[measure("")], strict=True)
        ) - 1
        for name, without in times.items()
        if name != measure("")
    }  # fmt: skip
