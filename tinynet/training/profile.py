"""How long each instruction of a training step takes."""

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

_SECONDS = 0.5  # how long steps are repeated, after the first
_LEAST = 5  # steps


class ProfileRow(NamedTuple):
    """Time of one instruction, the median of many steps.

    Parameters
    ----------
    stage : str
        ``"forward"``, ``"loss"``, ``"backward"`` or ``"update"``; ``"step"`` for all of them.
    instruction : str
        Name of the operation.
    layer : str
        The layer that it is part of.
    microseconds : float
        Time of one step.

    Examples
    --------
    >>> ProfileRow("forward", "linear", "hidden", 12.5).microseconds
    12.5
    """

    stage: str
    instruction: str
    layer: str
    microseconds: float


@dataclass(repr=False)
class Profile(Tables):
    """Times of the instructions of a training step; printed, it is a table.

    Parameters
    ----------
    rows : list of ProfileRow
        The instructions in the order in which they are run.
    note : str
        Backend and batch size of the measurement.

    Examples
    --------
    >>> print(Profile([ProfileRow("update", "adam", "", 3.0)], "Batches of 32 on numpy."))
    Profile, 3.0 us per step
      stage   instruction  layer   us   share
      update  adam                3.0  100.0%
      Batches of 32 on numpy.
    """

    rows: list[ProfileRow]
    note: str

    @property
    def microseconds(self) -> float:
        """Time of one step."""
        return sum(row.microseconds for row in self.rows)

    def tables(self) -> list[Table]:
        """Return the table."""
        total = self.microseconds or math.nan
        rows = [[*row[:3], f"{row[3]:.1f}", f"{row[3] / total:.1%}"] for row in self.rows]
        header = ["stage", "instruction", "layer", "us", "share"]
        title = f"Profile, {self.microseconds:.1f} us per step"
        return [Table(title, header, rows, self.note, (0, 1, 2))]


def profile_of(model: Any, x: Any, y: Any, sample_weight: Any, batch_size: Any) -> Profile:
    """Measure the instructions of a training step, on a copy of the model.

    Parameters
    ----------
    model : Model
        A compiled model.
    x, y, sample_weight : array_like
        As for `fit`.
    batch_size : int, optional
        The number of examples in a batch; by default 32.

    Returns
    -------
    Profile
        The times.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> rows = profile_of(model, np.ones((8, 3)), np.ones((8, 2)), None, 4).rows
    >>> "linear" in [row.instruction for row in rows]
    True
    """
    own = copied(model, "profile")
    examples = own._examples(x, y, sample_weight, compress=sparse.compress)
    own._ready(examples)
    size = min(data_adapters.batch_size(batch_size, examples, None), len(examples))
    own._training_plan()
    own._program("train", next(examples.batches(1)))
    own._training_plan()
    note = f"Batches of {size} on the {config.backend()} backend."
    with Computing():
        rows = _rows(own, next(examples.batches(size)))
        if rows:
            stages = [ProfileRow("step", name, "", us) for name, us in rows]
            return Profile(stages, f"{note} The rows are executed by one compiled runner.")
        full = itertools.islice(examples.batches(size), max(min(len(examples) // size, 8), 1))
        batches = [*full]
        program = own._program("train", batches[0])
        times = [_step(own, program, batches[0])]  # which allocates and compiles
        begin = time.perf_counter()
        while len(times) <= _LEAST or time.perf_counter() - begin < _SECONDS:
            times.append(_step(own, program, batches[len(times) % len(batches)]))
    medians = np.median(times[1:], axis=0) / 1000
    labels = [*_labels(program, own.optimizer.name)]
    pairs = zip(labels, medians.tolist(), strict=True)
    return Profile([ProfileRow._make((*label, us)) for label, us in pairs], note)


def _rows(model: Any, batch: data_adapters.Batch) -> list[tuple[str, float]]:
    """Return the microseconds of each row of a step; nothing if Python must run some of it."""
    compiled = model._compiled_step(batch, model._training_plan())
    if compiled is None or compiled.has_others:
        return []
    machine, _ = compiled.once(data_adapters.leaves(batch))
    rows: list[tuple[str, float]] = machine.profile()
    compiled.give_back(machine)
    return rows


def _step(model: Any, program: Any, batch: data_adapters.Batch) -> list[int]:
    """Do a step as `fit` does it; return the nanoseconds of each instruction."""
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
