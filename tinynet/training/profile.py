"""Time of each instruction of a training step."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinynet import config, sparse
from tinynet._core.text_tables import Table, Tables
from tinynet.program.program import Backward
from tinynet.training import data_adapters
from tinynet.training.blas_threads import Computing
from tinynet.training.compiled_program import add_penalties
from tinynet.training.one_step import copied, relative

_SECONDS = 0.5  # duration of the measurement in seconds, excluding the first step
_LEAST = 5  # minimum number of steps


class ProfileRow(NamedTuple):
    """Time of one instruction in a training step: the median of many steps.

    `stage` is ``"forward"``, ``"loss"``, ``"backward"`` or ``"update"``, or ``"step"`` if the whole
    step is compiled.
    """

    stage: str
    instruction: str
    layer: str
    microseconds: float


@dataclass(repr=False)
class Profile(Tables):
    """Times of the instructions of a training step in execution order; printed as a table."""

    rows: list[ProfileRow]
    note: str

    @property
    def microseconds(self) -> float:
        """Time of one step in microseconds."""
        return sum(row.microseconds for row in self.rows)

    def tables(self) -> list[Table]:
        """Return a list with the table of instructions."""
        total = self.microseconds or math.nan
        rows = [[*row[:3], f"{row[3]:.1f}", f"{row[3] / total:.1%}"] for row in self.rows]
        header = ["stage", "instruction", "layer", "us", "share"]
        title = f"Profile, {self.microseconds:.1f} us per step"
        return [Table(title, header, rows, self.note, (0, 1, 2))]


def profile_of(model: Any, x: Any, y: Any, sample_weight: Any, batch_size: Any) -> Profile:
    """Measure the instructions of a training step, on a copy of the compiled model."""
    own = copied(model, "profile")
    examples = own._examples(x, y, sample_weight, compress=sparse.compress)
    own._ready(examples)
    size = min(data_adapters.batch_size(batch_size, examples, None), len(examples))
    own._training_plan()
    own._program("train", next(examples.batches(1)))
    own._training_plan()
    note = f"Batch size: {size}, backend: {config.backend()}."
    with Computing():
        rows = _rows(own, next(examples.batches(size)))
        if rows:
            stages = [ProfileRow("step", name, "", us) for name, us in rows]
            note += " All rows are executed in a single call of compiled code."
            return Profile(stages, note)
        full = itertools.islice(examples.batches(size), max(min(len(examples) // size, 8), 1))
        batches = [*full]
        program = own._program("train", batches[0])
        times = [_step(own, program, batches[0])]  # includes allocation and compilation
        begin = time.perf_counter()
        while len(times) <= _LEAST or time.perf_counter() - begin < _SECONDS:
            times.append(_step(own, program, batches[len(times) % len(batches)]))
    medians = np.median(times[1:], axis=0) / 1000
    labels = [*_labels(program, own.optimizer.name)]
    pairs = zip(labels, medians.tolist(), strict=True)
    return Profile([ProfileRow._make((*label, us)) for label, us in pairs], note)


def _rows(model: Any, batch: data_adapters.Batch) -> list[tuple[str, float]]:
    """Return the time of each row of a compiled step; an empty list if Python runs a part of it."""
    compiled = model._compiled_step(batch, model._training_plan())
    if compiled is None or compiled.has_others:
        return []
    machine, _ = compiled.once(data_adapters.leaves(batch))
    rows: list[tuple[str, float]] = machine.profile()
    compiled.give_back(machine)
    return rows


def _step(model: Any, program: Any, batch: data_adapters.Batch) -> list[int]:
    """Perform a step as `fit` does, and return the time of each instruction in nanoseconds."""
    plan, runner, work = model._training_plan(), program.runner, program.borrow()
    laps = [time.perf_counter_ns()]
    values = runner.start(data_adapters.leaves(batch))
    for _ in runner.one_by_one("forward", values, work):
        laps.append(time.perf_counter_ns())
    model._count(program, values, batch, *program.loss(values, model._regularized))
    laps.append(time.perf_counter_ns())
    for _ in runner.one_by_one("backward", values, work):
        laps.append(time.perf_counter_ns())
    add_penalties(plan.variables, plan.gradients, program.scale_of(values))
    model.optimizer._learn(plan)
    laps.append(time.perf_counter_ns())
    program.give_back(work)
    return [b - a for a, b in itertools.pairwise(laps)]


def _labels(program: Any, optimizer: str) -> Any:
    """Yield stage, operation and layer of each measured part of a step."""
    for n in program.program.forward:
        yield "forward" if n.scope else "loss", n.operation.name, relative(n.scope)
    yield "loss", "metrics", ""
    for n in program.program.backward:
        own = n.operation.forward if isinstance(n.operation, Backward) else n
        yield "backward", own.operation.name, relative(own.scope)
    yield "update", optimizer, ""
