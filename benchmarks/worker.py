"""One contender's process: ``python -m benchmarks.worker CONTENDER CORES``.

It answers every line of JSON on its standard input with one on its standard output, and stays
warm in between. ``{"do": "prepare", "mode": ..., "task": {...}}`` gets everything ready: data, the
check, compilation. ``{"do": "round"}`` measures once, and ``{"do": "repeat", "measure": ...,
"times": ...}`` only does it. The end of the input is its end.
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

#: How long a round of the suite `nets` trains, if one epoch takes less; the first trains in full.
SECONDS = 2.0


def seconds(function: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def typical(function: Callable[[], Any], budget: float, least: int = 3) -> float:
    """Time calls until the budget of seconds is used up; return the median."""
    function()
    times: list[float] = []
    end = time.perf_counter() + budget
    while len(times) < least or time.perf_counter() < end:
        times.append(seconds(function))
    return statistics.median(times)


class Worker:
    """What the process knows between two lines."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.checked: dict[Any, str] = {}  # by the net's shape
        self.problem: Any = None
        self.net: Any = None
        self.round: Callable[[], Reply] = dict
        self.without: dict[str, Any] = {}  # the network without each rewrite rule
        self.turn = 0
        self.epochs = 0  # in a round of `nets`

    def make(self) -> Any:
        """Make the net anew, with its first weights."""
        from benchmarks import nets

        return getattr(nets, self.contender.net)(self.problem, self.contender.cores)

    def prepare(self, mode: str, task: Reply) -> Reply:
        """Get ready for rounds of a mode: a method of this class."""
        from benchmarks.problem import Problem
        from benchmarks.task import Task

        self.net = self.problem = None  # two of them would need twice the memory
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
                return {"skip": "makes no predictions"}
            if mode == "ablation":
                return {**reply, **self.ablate()}
            if mode != "predict":
                self.net.epoch()  # compiles, and fills every buffer
                reply["loss"] = self.net.loss()
        except NotImplementedError as missing:
            return {"skip": str(missing)}
        except AssertionError as error:
            return {"skip": f"does not compute the same: {error}"}
        return reply

    def check(self) -> str:
        """Check the network once for all batch sizes and kinds of input, without dropout."""
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
        """Return the predictions that are timed."""
        net, x, y = self.net, self.problem.x_test, self.problem.y_test
        one = x[:1]
        return {
            "predict, 1 image": lambda: net.predict(one),
            "model(x), 1 image": lambda: net.call(one),
            "predict, all test images": lambda: net.predict(x),
            "evaluate, all test images": lambda: net.evaluate(x, y),
        }

    # ------------------------------------------------------------ what a round is

    def train(self) -> Reply:
        """Train some more epochs in a row, five as the main job does, then test, off the clock."""
        reply = self._timed(self.problem.task.epochs)
        if self.net.predicts:
            _, reply["accuracy"] = self.net.evaluate(self.problem.x_test, self.problem.y_test)
        return reply

    def nets(self) -> Reply:
        """Train some more epochs in a row: first as many as all others, to compare the losses."""
        reply = self._timed(self.epochs)
        affordable = max(int(SECONDS / reply["seconds"]["epoch"]), 1)
        self.epochs = min(self.epochs, affordable)
        return reply

    def _timed(self, epochs: int) -> Reply:
        took = seconds(lambda: self.net.train(epochs))
        return {"seconds": {"epoch": took / epochs}, "loss": self.net.loss()}

    def ablate(self) -> Reply:
        """Make the network once with every rewrite rule, and once without each of them."""
        import numpy as np

        import tinynet

        self.without, weights = {}, []
        for rule in ("", *ablation.rules()):
            ablation.disable(rule)
            tinynet.utils.set_random_seed(0)  # before a model is made, which draws its seed
            net = self.without[rule] = self.make()
            net.epoch()
            weights.append(np.concatenate([w.ravel() for w in net.weights()]))
            same = np.array_equal(weights[0].view(np.int32), weights[-1].view(np.int32))
            assert same, f"without {rule} the weights differ"
        return {}

    def ablation(self) -> Reply:
        """Train with all rules, and without each of them, in an order that changes."""
        epochs, times = self.problem.task.epochs, {}
        names = ablation.measured(self.without, self.contender.cores)
        start, self.turn = self.turn % len(names), self.turn + 1
        for rule in names[start:] + names[:start]:
            ablation.disable(rule)
            self.without[rule].epoch()  # off the clock: programs are traced again
            took = seconds(functools.partial(self.without[rule].train, epochs))
            times[ablation.measure(rule)] = took / epochs
        return {"seconds": times}

    def predict(self) -> Reply:
        """Predict one image and all test images, each until there is a steady median."""
        times = {name: typical(call, 0.25) for name, call in self.calls().items()}
        return {"seconds": times}

    def first(self) -> Reply:
        """Make the net and train it for the first time, less what the second epoch takes."""

        def both() -> None:
            self.net = self.make()
            self.net.epoch()

        used = sum(os.times()[:4])  # of this process and of those that it has started
        whole = seconds(both)
        await_children()
        used = sum(os.times()[:4]) - used
        found = {"first fit, over the training": whole - seconds(self.net.epoch)}
        return {"seconds": {**found, "CPU time of the first fit": used}}


def await_children(most: float = 10.0) -> None:
    """Wait for all child processes: only those that have been reaped count in `os.times`."""
    if not hasattr(os, "waitid"):  # as on Windows
        return
    end = time.monotonic() + most
    with contextlib.suppress(ChildProcessError):  # all children have been reaped
        while time.monotonic() < end:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            time.sleep(0.02)


def main(argv: list[str] | None = None) -> int:
    """Answer until the input ends."""
    name, cores = argv or sys.argv[1:]
    pin(int(cores))
    # Whatever a library prints goes to standard error; the answers have the pipe to themselves.
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
