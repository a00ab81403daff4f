"""Process of a contender: ``python -m benchmarks.worker CONTENDER CORES``.

The process reads a JSON request per line from standard input, and writes a JSON reply to standard
output.
``{"do": "prepare", "mode": ..., "task": {...}}`` loads the data, checks the results and compiles.
``{"do": "round"}`` runs one measurement. The process exits at the end of the input.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks import ablation
from benchmarks.contenders import CONTENDERS, Contender, pin

Reply = dict[str, Any]

#: Maximum time in seconds of a round of the suite `nets`, except for the first round.
SECONDS = 2.0


def seconds(function: Callable[[], Any]) -> float:
    """Measure the time of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def typical(function: Callable[[], Any], budget: float, least: int = 3) -> float:
    """Return the median time of repeated calls, within a budget in seconds."""
    function()
    times: list[float] = []
    end = time.perf_counter() + budget
    while len(times) < least or time.perf_counter() < end:
        times.append(seconds(function))
    return statistics.median(times)


class Worker:
    """State of the process between two requests."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.checked: dict[Any, str] = {}  # results of checks, by network
        self.problem: Any = None
        self.net: Any = None
        self.round: Callable[[], Reply] = dict
        self.without: dict[str, Any] = {}  # networks by disabled rewrite rule
        self.turn = 0
        self.epochs = 0  # epochs per round of `nets`

    def make(self) -> Any:
        """Build the network with its initial weights."""
        from benchmarks import nets

        return getattr(nets, self.contender.net)(self.problem, self.contender.cores)

    def prepare(self, mode: str, task: Reply) -> Reply:
        """Prepare the measurements of `mode`, which is the name of a method of this class."""
        from benchmarks.problem import Problem
        from benchmarks.task import Task

        self.net = self.problem = None  # free the memory of the previous task
        self.problem = Problem(Task.of(task))
        self.round, self.epochs = getattr(self, mode), self.problem.task.epochs
        reply: Reply = {"data": self.problem.data, "versions": self._versions()}
        if mode == "first":
            importlib.import_module(self.contender.packages[0])
            return reply
        try:
            reply["checked"] = self.check()
            self.net = self.make()
            if mode == "predict" and not self.net.predicts:
                return {"skip": "does not support prediction"}
            if mode == "ablation":
                return {**reply, **self.ablate()}
            if mode != "predict":
                self.net.epoch()  # compiles, and allocates the buffers
                reply["loss"] = self.net.loss()
        except NotImplementedError as missing:
            return {"skip": str(missing)}
        except AssertionError as error:
            return {"skip": f"results are incorrect: {error}"}
        return reply

    def enter(self, entry: str, recipe: Reply, validation: bool = False) -> Reply:
        """Prepare an entry of the benchmark `time_to_accuracy`."""
        from benchmarks.recipes import Recipe
        from benchmarks.time_to_accuracy import Race

        self.race = Race(entry, Recipe.of(recipe), validation).run
        return {"versions": self._versions()}

    def check(self) -> str:
        """Check the network without dropout; cache the result for all batch sizes and inputs."""
        task = self.problem.task
        plain = replace(task, dropout=0.0, batch=0, images=0, epochs=0, name="", dense=False)
        if plain not in self.checked:
            self.problem.task = replace(task, dropout=0.0)
            self.checked[plain] = self.make().check()
            self.problem.task = task
        return self.checked[plain]

    def _versions(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in () if self.contender.folder else self.contender.packages:
            module = sys.modules.get(name)
            distribution = {"sklearn": "scikit-learn"}.get(name, name)
            known = getattr(module, "__version__", None)
            found[distribution] = known or importlib.metadata.version(distribution)
        return found

    def calls(self) -> dict[str, Callable[[], Any]]:
        """Return the calls of the suite `predict`."""
        net, x, y = self.net, self.problem.x_test, self.problem.y_test
        one = x[:1]
        return {
            "predict, 1 image": lambda: net.predict(one),
            "model(x), 1 image": lambda: net.call(one),
            "predict, all test images": lambda: net.predict(x),
            "evaluate, all test images": lambda: net.evaluate(x, y),
        }

    # ------------------------------------------------------------ rounds

    def train(self) -> Reply:
        """Measure the epochs of the task, five by default; then evaluate the model, untimed."""
        reply = self._timed(self.problem.task.epochs)
        if self.net.predicts:
            _, reply["accuracy"] = self.net.evaluate(self.problem.x_test, self.problem.y_test)
        return reply

    def nets(self) -> Reply:
        """Measure the time of an epoch.

        The first round trains for all epochs, so that the losses can be compared; later rounds are
        limited to `SECONDS`.
        """
        reply = self._timed(self.epochs)
        affordable = max(int(SECONDS / reply["seconds"]["epoch"]), 1)
        self.epochs = min(self.epochs, affordable)
        return reply

    def _timed(self, epochs: int) -> Reply:
        cpu = time.process_time()
        took = seconds(lambda: self.net.train(epochs))
        cpu = time.process_time() - cpu
        loss = self.net.loss()
        return {"seconds": {"epoch": took / epochs}, "cpu": cpu / epochs, "loss": loss}

    def ablate(self) -> Reply:
        """Build the network with all rewrite rules, and without each of them."""
        import numpy as np

        import tinynet

        self.without, weights = {}, []
        for rule in ("", *ablation.rules()):
            ablation.disable(rule)
            tinynet.utils.set_random_seed(0)  # before the model draws its seed
            net = self.without[rule] = self.make()
            net.epoch()
            weights.append(np.concatenate([w.ravel() for w in net.weights()]))
            same = np.array_equal(weights[0].view(np.int32), weights[-1].view(np.int32))
            assert same, f"without {rule} the weights differ"
        return {}

    def ablation(self) -> Reply:
        """Measure with all rules, and without each of them, in rotating order."""
        epochs, times = self.problem.task.epochs, {}
        names = ablation.measured(self.without, self.contender.cores)
        start, self.turn = self.turn % len(names), self.turn + 1
        for rule in names[start:] + names[:start]:
            ablation.disable(rule)
            self.without[rule].epoch()  # untimed, because programs are traced again
            took = seconds(functools.partial(self.without[rule].train, epochs))
            times[ablation.measure(rule)] = took / epochs
        return {"seconds": times}

    def predict(self) -> Reply:
        """Measure the median time of predictions for one image and for all test images."""
        times = {name: typical(call, 0.25) for name, call in self.calls().items()}
        return {"seconds": times}

    def first(self) -> Reply:
        """Measure the first epoch including setup, minus the time of the second epoch."""

        def both() -> None:
            self.net = self.make()
            self.net.epoch()

        used = sum(os.times()[:4])  # of this process and its child processes
        whole = seconds(both)
        await_children()
        used = sum(os.times()[:4]) - used
        found = {"overhead of the first fit": whole - seconds(self.net.epoch)}
        return {"seconds": {**found, "CPU time of the first fit": used}}


def await_children(most: float = 10.0) -> None:
    """Wait for all child processes, which `os.times` includes only after they are reaped."""
    if not hasattr(os, "waitid"):  # not available on Windows
        return
    end = time.monotonic() + most
    with contextlib.suppress(ChildProcessError):  # all children have been reaped
        while time.monotonic() < end:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            time.sleep(0.02)


def main(argv: list[str] | None = None) -> int:
    """Process requests until the end of the input."""
    name, cores = argv or sys.argv[1:]
    pin(int(cores))
    # Redirect the output of libraries to standard error, so that standard output has replies only.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(CONTENDERS[name])
    for line in sys.stdin:
        request = json.loads(line)
        reply = getattr(worker, request.pop("do"))(**request)
        print(json.dumps(reply), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
