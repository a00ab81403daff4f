"""Training speed relative to Keras, PyTorch and the numpy backend, measured in the same run."""

from __future__ import annotations

import math
from contextlib import ExitStack

import pytest

from benchmarks.contenders import CONTENDERS
from benchmarks.harness import Process
from benchmarks.task import Task

#: Minimum speed relative to contenders in an epoch of the 784-128-10 network, on one core: about
#: half of the speed that the benchmark `train` measures.
LEADS = {"keras-tf-1": 8.0, "tinynet-numpy": 4.0, "torch-1": 3.0}
#: Contenders take turns for at least and at most this number of rounds.
ROUNDS = 3, 20

TASK = Task(images=6_000, epochs=2)


def lead(contender: str, other: str, goal: float = 0.0) -> float:
    """Return the speed of a contender relative to another: the ratio of the shortest CPU times.

    The CPU time of a process pinned to one core does not include the time of other programs. Rounds
    continue until the goal is reached, because another program on the same core makes some rounds
    slower, but none faster.
    """
    for key in (contender, other):
        if obstacle := CONTENDERS[key].obstacle():
            pytest.skip(f"{key} {obstacle}")
    with ExitStack() as stack:
        processes = [Process(key) for key in (contender, other)]
        for process in processes:
            stack.callback(process.close)
            process.ask(do="prepare", mode="train", task=TASK.fields())
        shortest = [math.inf, math.inf]
        for number in range(ROUNDS[1]):
            for i, process in enumerate(processes):
                shortest[i] = min(shortest[i], process.ask(do="round")["cpu"])
            if number + 1 >= ROUNDS[0] and shortest[1] >= goal * shortest[0]:
                break
    return shortest[1] / shortest[0]


@pytest.mark.slow
@pytest.mark.parametrize("other", LEADS)
def test_epoch_is_faster(other: str) -> None:
    goal = LEADS[other]
    found = lead("tinynet-1", other, goal)
    assert found >= goal, f"{found:.1f} times as fast as {other}, not {goal} times"


@pytest.mark.slow
def test_goals_need_the_compiled_path() -> None:
    """Without compiled kernels, the comparison with Keras fails by far."""
    assert lead("tinynet-numpy", "keras-tf-1") < LEADS["keras-tf-1"] / 2
