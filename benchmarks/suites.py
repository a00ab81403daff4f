"""Table of the benchmark suites."""

from __future__ import annotations

import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import ablation
from benchmarks.contenders import CONTENDERS, ROOT
from benchmarks.harness import (
    EndedError,
    Outcome,
    Process,
    Say,
    SkipError,
    describe,
    interleave,
)
from benchmarks.task import EPOCH, NETWORKS, PREDICTION, Task

WHOLE = Task()
FEW = Task(images=3_000)
FAST = ("tinynet-1", "torch-1", "jax-1", "tinynet-2", "torch-2", "jax-2")
COLD = ("tinynet-1", "tinynet-2", "keras-tf-2", "torch-2", "jax-2", "sklearn-1")
LIBRARIES = (
    "tinynet-1", "tinynet-2", "tinynet-numpy", "keras-tf-1", "keras-tf-2", "torch-1", "torch-2",
    "onnx-1", "onnx-2",
)  # fmt: skip
ONLY_NETS = ("jax-0.4.31", "torch-compile", "keras-xla", "onnx")
EVERYBODY = tuple(key for key in CONTENDERS if not key.startswith(ONLY_NETS))
EVERY_WAY = tuple(
    f"{name}-{cores}" for cores in (1, 2) for name in ("tinynet", "jax", "torch", *ONLY_NETS)
)


def fraction(hidden: tuple[int, ...], batch: int, dense: bool = False) -> Task:
    """Return a task with 4 to 192 steps, which takes about 0.1 to 0.2 seconds."""
    sizes = (784, *hidden, 10)
    products = sum(a * b for a, b in itertools.pairwise(sizes))
    steps = min(max(int(1e9 / products / batch), 4), 192)
    return Task(hidden, batch, min(steps * batch, EPOCH), dense=dense)


GRID = [
    fraction((width,) * depth, batch, dense)
    for dense, depth, width, batch in itertools.product(
        (False, True), (1, 2), (128, 512, 1024), (32, 128, 512)
    )
]
SCALING = {
    "batch size": [fraction((128,), batch) for batch in (8, 32, 128, 512, 2048)],
    "width": [fraction((width,), 32) for width in (32, 128, 512, 2048)],
    "images": [Task(images=n) for n in (1_000, 4_000, 16_000, EPOCH)],
}
QUICK_NETWORKS = [replace(t, images=min(t.images, 6_000), epochs=2) for t in NETWORKS]
QUICK_SCALING = [Task(images=1_000), fraction((32,), 32), fraction((128,), 2048)]


@dataclass(frozen=True)
class Suite:
    """Contenders, tasks and rounds of a suite."""

    contenders: tuple[str, ...]
    tasks: Sequence[Task]
    quick: Sequence[Task]  # for testing
    rounds: int
    mode: str = "train"

    def chosen(self, quick: bool, only: Sequence[str] = ()) -> list[Task]:
        """Return all tasks, or the tasks whose description contains one of the given strings."""
        tasks = self.quick if quick else self.tasks
        parts = [part.lower() for part in only] or [""]
        return [t for t in tasks if any(p in describe(t.fields()).lower() for p in parts)]

    def run(
        self,
        keys: Sequence[str],
        rounds: int,
        quick: bool,
        say: Say,
        only: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> Outcome:
        """Run the suite, with additional environment variables for all processes."""
        outcome = Outcome()
        outcome.environment = environment or {}
        tasks = self.chosen(quick, only)
        if self.mode == "cold":
            cold(tasks[0], keys, rounds, 1 if quick else 5, outcome, say)
            return outcome
        called = [task for task in tasks if task.name == PREDICTION.name]
        trained = [task for task in tasks if task not in called]
        trainers = [key for key in keys if CONTENDERS[key].net != "Onnx"]
        if self.mode == "ablation":
            outcome.lines = ablation.lines()
        if trained:
            everybody = keys if self.mode == "predict" else trainers
            interleave(self.mode, trained, everybody, rounds, outcome, say)
        if called:
            interleave("predict", called, keys, rounds, outcome, say)
        return outcome


# ---------------------------------------------------------------- cold start

EMPTY_CACHE = "tinynet, num_threads={}, empty compile cache (2 cores)"
PROGRAMS = {
    "python -m tinynet train": ("tinynet-1", ["-m", "tinynet", "train", "--epochs", "{epochs}"]),
    "python -m reference": ("keras-tf-2", ["-m", "reference", "--epochs", "{epochs}"]),
}
_IMPORT = "import time, numpy; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def cold(
    task: Task, keys: Sequence[str], rounds: int, epochs: int, outcome: Outcome, say: Say
) -> None:
    """Measure the cold start of a process: import, first fit, and a whole program."""
    for number in range(rounds):
        for key in keys:
            if key not in outcome.skipped:
                try:
                    _import(key, outcome)
                    _first_fit(key, task, outcome)
                    if key.startswith("tinynet"):
                        _first_fit(key, task, outcome, EMPTY_CACHE.format(CONTENDERS[key].cores))
                except SkipError as reason:
                    outcome.skip(key, str(reason), say)
                    outcome.incomplete |= isinstance(reason, EndedError)
                    outcome.drop(key)
                    if key.startswith("tinynet"):
                        outcome.drop(EMPTY_CACHE.format(CONTENDERS[key].cores))
        for name, (key, arguments) in PROGRAMS.items():
            if key in keys and not {key, name} & {*outcome.skipped}:
                try:
                    _program(name, [a.format(epochs=epochs) for a in arguments], outcome)
                except SkipError as reason:
                    outcome.skip(name, str(reason), say)
                    outcome.incomplete |= isinstance(reason, EndedError)
                    outcome.drop(name)
        say(f"    round {number + 1} of {rounds}")


def _import(key: str, outcome: Outcome) -> None:
    contender = CONTENDERS[key]
    if obstacle := contender.obstacle():
        raise SkipError(obstacle)
    program = _IMPORT.format(contender.packages[0])
    times = []
    for _ in range(3):
        command, environment = [sys.executable, "-c", program], contender.variables()
        found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if found.returncode:
            raise EndedError(found.stderr.strip().splitlines()[-1])
        times.append(float(found.stdout.split()[-1]))
    outcome.add(key, "import, excluding NumPy", statistics.median(times))


def _first_fit(key: str, task: Task, outcome: Outcome, name: str = "") -> None:
    """Measure the first `fit`; if `name` is given, with an empty compile cache and two cores."""
    with tempfile.TemporaryDirectory() as folder:
        process = Process(key, cores=2, NUMBA_CACHE_DIR=folder) if name else Process(key)
        try:
            outcome.know(process.ask(do="prepare", mode="first", task=task.fields()))
            for measure, value in process.ask(do="round")["seconds"].items():
                outcome.add(name or key, measure, value)
        finally:
            process.close()


def _program(name: str, arguments: list[str], outcome: Outcome) -> None:
    """Measure a complete command, without pinning or thread limits."""
    if not hasattr(os, "wait4"):
        raise SkipError("the operating system does not report the peak memory of a process")
    as_it_comes = {
        "TF_ENABLE_ONEDNN_OPTS": "1",  # defaults, which the reference changes for reproducibility
        "TF_NUM_INTRAOP_THREADS": "0",
        "TF_NUM_INTEROP_THREADS": "0",
        "MPLBACKEND": "Agg",
    }
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as output:
        if "tinynet" in arguments:
            arguments = [*arguments, "--out", folder]
        start = time.perf_counter()
        streams: dict[str, Any] = {"stdout": output, "stderr": subprocess.STDOUT}
        environment = {**os.environ, **as_it_comes}
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=environment, **streams
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # such as KeyboardInterrupt
            process.kill()
            process.wait()
            raise
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    found = re.search(r"^Test accuracy: ([\d.]+)", text, re.M)
    if process.returncode or not found:
        raise EndedError(f"exited with code {process.returncode}: {text.strip().splitlines()[-1:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss in bytes
    outcome.add(name, "whole program", wall, accuracy=float(found[1]))
    outcome.add(name, "peak memory", usage.ru_maxrss * unit / 1e6, "MB")


SUITES: dict[str, Suite] = {
    "cold": Suite(COLD, [Task(images=6_000)], [FEW], 3, "cold"),
    "train": Suite(EVERYBODY, [WHOLE], [replace(WHOLE, images=12_000)], 5),
    "nets": Suite(EVERY_WAY, [*NETWORKS, PREDICTION], QUICK_NETWORKS, 7, "nets"),
    "ablation": Suite(
        ("tinynet-1", "tinynet-2"), NETWORKS, [replace(NETWORKS[0], images=6_000)], 7, "ablation"
    ),
    "predict": Suite(LIBRARIES, [WHOLE], [FEW], 5, "predict"),
    "grid": Suite(FAST, GRID, GRID[::18], 3),
    "scaling": Suite(FAST, [*dict.fromkeys(itertools.chain(*SCALING.values()))], QUICK_SCALING, 3),
}


def tasks_of(axis: str) -> list[dict[str, Any]]:
    """Return the tasks of an axis of the scaling plots, in the format of the results."""
    return [task.fields() for task in SCALING[axis]]
