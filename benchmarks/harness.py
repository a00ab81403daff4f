"""Interleaved measurement of the contenders, each in a separate process.

The speed of a machine varies over time. Therefore the rounds of the contenders are interleaved and
compared round by round, so that a slowdown affects all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, ROOT, cores
from benchmarks.problem import require_mnist
from benchmarks.result_files import RESULTS, ResultsError, add_out
from benchmarks.staleness import code_hash
from benchmarks.task import Task
from tinynet import __version__

PAUSE = 0.1  # seconds between turns, until the threads of the previous contender are idle
Say = Callable[[str], None]


#: Relative tolerances for the difference of a contender's loss from the median of all. In the first
#: epoch, random orders and dropout masks change the loss by 2 %, and PyTorch's RMSprop, which adds
#: epsilon outside the square root, changes it by 3 %. In the last epoch of the first round, random
#: orders have a larger effect. See also `tolerance`.
AGREE, AGREE_LATER = 0.05, 0.3


class SkipError(Exception):
    """A contender is not available; the message is the reason."""


class EndedError(SkipError):
    """The process of a contender has exited."""


class Process:
    """Process of a contender; see ``worker.py``."""

    def __init__(self, key: str, cores: int = 0, **environment: str) -> None:
        contender = CONTENDERS[key]
        if obstacle := contender.obstacle():
            raise SkipError(obstacle)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        self._process = subprocess.Popen(
            [contender.python, "-m", "benchmarks.worker", key, str(cores or contender.cores)],
            cwd=ROOT,
            env=contender.variables(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request, and wait for the reply."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # the reply is then empty
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise EndedError(f"exited with code {self._process.returncode}: {' '.join(last)}")
        reply: dict[str, Any] = json.loads(line)
        if "skip" in reply:
            raise SkipError(reply["skip"])
        return reply

    def close(self) -> None:
        """Terminate the process."""
        self._process.kill()  # it has nothing to save
        self._process.communicate()
        self._errors.close()


class Outcome:
    """Results by task, contender and measurement; and the reasons for skipped contenders."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.skipped: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.data = ""
        self.environment: dict[str, str] = {}  # of all processes
        self.lines: dict[str, int] = {}  # of code, by rewrite rule
        self.incomplete = False  # because a process has exited

    def add(
        self,
        contender: str,
        measure: str,
        value: float,
        unit: str = "s",
        task: dict[str, Any] | None = None,
        accuracy: float | None = None,
        checked: str = "",
    ) -> None:
        """Append the result of a round to its record."""
        same = {"contender": contender, "measure": measure, "unit": unit, "task": task or {}}
        for record in self.records:
            if all(record[name] == wanted for name, wanted in same.items()):
                break
        else:
            record = {**same, "checked": checked, "values": [], "accuracies": []}
            self.records.append(record)
        record["values"].append(value)
        if accuracy is not None:
            record["accuracies"].append(accuracy)

    def drop(self, contender: str, task: dict[str, Any] | None = None) -> None:
        """Remove the records of a contender, which does not have the results of all rounds."""
        own = contender, task or {}
        self.records = [r for r in self.records if (r["contender"], r["task"]) != own]

    def skip(self, contender: str, reason: str, say: Say) -> None:
        """Record that a contender is skipped, and the reason."""
        if contender not in self.skipped:
            say(f"  {contender} is skipped: {reason}")
        before = self.skipped.get(contender, reason)
        self.skipped[contender] = before if reason in before else f"{before}; {reason}"

    def know(self, reply: dict[str, Any]) -> None:
        """Record the versions and the dataset reported by a process."""
        self.versions.update(reply["versions"])
        if reply["data"] not in self.data:
            self.data += f" and {reply['data']}" if self.data else reply["data"]


@contextlib.contextmanager
def processes(keys: Sequence[str], outcome: Outcome, say: Say) -> Iterator[dict[str, Process]]:
    """Start the processes of the contenders, and terminate them on exit."""
    started: dict[str, Process] = {}
    try:
        for key in keys:
            try:
                started[key] = Process(key, **outcome.environment)
            except SkipError as reason:
                outcome.skip(key, str(reason), say)
        yield started
    finally:
        for process in started.values():
            process.close()


def interleave(
    mode: str, tasks: Sequence[Task], keys: Sequence[str], rounds: int, outcome: Outcome, say: Say
) -> None:
    """Measure every task: prepare all contenders, then run their rounds in turn."""
    with processes(keys, outcome, say) as running:

        def ask(key: str, **request: Any) -> dict[str, Any]:
            """Return the reply; empty if the contender does not support the task."""
            try:
                return running[key].ask(**request)
            except SkipError as reason:
                outcome.skip(
                    key, f'{reason} (network "{task.name}")' if task.name else str(reason), say
                )
                if isinstance(reason, EndedError):
                    outcome.incomplete = True
                    running.pop(key).close()
                return {}

        def leave_out(ready: dict[str, Any], reasons: dict[str, str]) -> None:
            """Remove contenders whose losses differ."""
            for key, reason in reasons.items():
                outcome.skip(key, f'{reason} (network "{describe(task.fields())}")', say)
                ready.pop(key, None)
                outcome.drop(key, task.fields())

        def limit(key: str) -> int:
            """Return the number of rounds of a contender."""
            return min(rounds, CONTENDERS[key].rounds or rounds)

        for task in tasks:
            fields = task.fields()
            replies = {key: ask(key, do="prepare", mode=mode, task=fields) for key in list(running)}
            ready = {key: reply for key, reply in replies.items() if reply}
            first = middle(ready)
            leave_out(ready, disagreeing(ready, tolerance(task, first)))
            for reply in ready.values():
                outcome.know(reply)
            say(f"  {describe(fields)}: {len(ready)} contenders are ready")
            replies = {}
            for number in range(rounds):
                for key in _turn([k for k in ready if number < limit(k)], number):
                    time.sleep(PAUSE)
                    replies[key] = reply = ask(key, do="round")
                    if not reply:
                        del ready[key]
                        outcome.drop(key, fields)
                    for measure, value in reply.get("seconds", {}).items():
                        accuracy = reply.get("accuracy")
                        say(f"    round {number + 1}  {key:14} {measure}: {value:.6f} s")
                        checked = ready[key]["checked"]
                        outcome.add(key, measure, value, "s", fields, accuracy, checked)
                if number == 0:
                    later = AGREE_LATER * middle(replies)
                    leave_out(ready, disagreeing(replies, max(later, tolerance(task, first))))


def _losses(replies: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {k: reply["loss"] for k, reply in replies.items() if reply.get("loss") is not None}


def middle(replies: dict[str, dict[str, Any]]) -> float:
    """Return the median loss of the contenders."""
    found = [loss for loss in _losses(replies).values() if math.isfinite(loss)]
    return statistics.median(found) if found else 0.0


def tolerance(task: Task, first: float) -> float:
    """Return the tolerance for losses of an epoch; `first` is the median loss of the first epoch.

    The standard deviation of batch losses is approximately equal to their mean, so the mean of n
    batches in random order has a relative error of about 1 / sqrt(n). The small loss of a network
    that has memorized its images is mostly random; therefore the scale is the loss of the first
    epoch.
    """
    steps = -(-task.images // task.batch)
    return max(AGREE, 1 / math.sqrt(steps) if steps > 1 else 0.0) * abs(first)


def disagreeing(replies: dict[str, dict[str, Any]], most: float) -> dict[str, str]:
    """Return the contenders whose loss differs from the median by more than `most`, and why."""
    usual = middle(replies)
    return {
        key: f"the loss of an epoch must be about {usual:.4f}. Received: {loss:.4f}"
        for key, loss in _losses(replies).items()
        if not abs(loss - usual) <= most
    }


def _turn(keys: list[str], number: int) -> list[str]:
    """Rotate the order of the contenders by the number of the round."""
    start = number % len(keys) if keys else 0
    return keys[start:] + keys[:start]


def describe(task: dict[str, Any]) -> str:
    """Return a description of a task."""
    if task.get("name"):
        return str(task["name"])
    sizes = "-".join(map(str, Task.of(task).sizes))
    kind = ", noise on every pixel" if task["dense"] else ""
    return f"{sizes}, batch {task['batch']}, {task['images']:,} images{kind}"


def parse(
    parser: argparse.ArgumentParser,
    arguments: Any,
    free: Sequence[str] = (),
    timed: bool = False,
    writes: Callable[[argparse.Namespace], bool] = bool,
) -> argparse.Namespace:
    """Parse the arguments of a command that writes a result, which `free` arguments do not affect.

    Results with other settings, without MNIST or, if times are measured, on a busy machine are not
    written to the folder of committed results.
    """
    add_out(parser)
    if timed:
        parser.add_argument("--force", action="store_true", help="measure on a busy machine")
    options = parser.parse_args(arguments)
    if options.out.resolve() == RESULTS and writes(options):
        given = {n for n, value in vars(options).items() if value != parser.get_default(n)}
        if changed := given - {"out", "force", *free}:
            parser.error(f"--out must be another folder with --{min(changed).replace('_', '-')}")
        try:
            require_mnist()
            require_quiet(options.force if timed else True)
        except ResultsError as error:
            parser.error(str(error))
    return options


def require_quiet(force: bool) -> None:
    """Raise ResultsError on a busy machine, unless results are forced."""
    if (busy := machine()["load_before"]) > QUIET and not force:
        fix = "use --out FOLDER, or --force, which marks the results"
        expected = f"the load average must be at most {QUIET}"
        raise ResultsError(f"{expected}; {fix}. Received: {busy}")


def origin(name: str, *packages: str, force: bool = False) -> dict[str, Any]:
    """Return the date, the hash of the code, the machine and the versions of a result."""
    here = machine()
    versions = {each: importlib.metadata.version(each) for each in packages}
    return {
        "date": datetime.date.today().isoformat(),
        "code": code_hash(name),
        "machine": here,
        "versions": {"tinynet": __version__, **versions},
        "forced": force and here["load_before"] > QUIET,
    }


def described(result: dict[str, Any]) -> str:
    """Return the part of a caption that states the origin of a result."""
    where = result["machine"]
    cores = f"{where['cores']} core{'s' * (where['cores'] > 1)}"
    versions = ", ".join(f"{name} {known}" for name, known in result["versions"].items())
    return (
        f"measured on {result['date']}: {where['cpu']}, {cores}, {where['system']}, "
        f"load average {where['load_before']}, Python {where['python']}; {versions}"
    )


#: Maximum load average for results that are committed.
QUIET = 0.5


def machine() -> dict[str, Any]:
    """Return properties of the machine, and its load average."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "cpu": model,
        "cores": len(cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "pinned": hasattr(os, "sched_setaffinity"),
        "load_before": round(load, 2),
    }
