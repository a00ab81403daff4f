"""The functions that learners call, and their progress."""

from __future__ import annotations

import copy
import functools
import inspect
import random
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet import layers
from tinynet._core import checks, suggestions
from tinynet._core.text_tables import Table
from tinynet.exercises.activations import RELU_BACKWARD, SOFTMAX
from tinynet.exercises.custom_layer import CUSTOM_LAYER
from tinynet.exercises.dense_layer import DENSE_BACKWARD
from tinynet.exercises.diagnosis import examine
from tinynet.exercises.exercise import Exercise
from tinynet.exercises.gradient_check import GRADIENT_CHECK
from tinynet.exercises.losses import ACCURACY, CROSSENTROPY, LOGITS_GRADIENT
from tinynet.exercises.optimizers import ADAM, MOMENTUM, SGD
from tinynet.exercises.random_numbers import DROPOUT, GLOROT_UNIFORM, MINIBATCHES

EXERCISES = (
    *(SOFTMAX, RELU_BACKWARD, DENSE_BACKWARD, CROSSENTROPY, LOGITS_GRADIENT, GRADIENT_CHECK),
    *(GLOROT_UNIFORM, SGD, MOMENTUM, ADAM, MINIBATCHES, DROPOUT, ACCURACY, CUSTOM_LAYER),
)
_BY_NAME = {exercise.name: exercise for exercise in EXERCISES}
_passed: set[str] = set()
_hints: dict[str, int] = {}


class Text(str):
    r"""Text that is displayed without quotes, in a terminal and in a notebook.

    Examples
    --------
    >>> Text("two\nlines")
    two
    lines
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(repr=False)
class Result:
    """Result of `check`, which is displayed as text; ``bool(result)`` is `passed`.

    Parameters
    ----------
    exercise : str
        Name of the exercise.
    passed : bool
        True if the answer is correct.
    mistake : str
        Mistake in the answer; empty if it is correct.
    example : str
        First wrong value, the correct one, and the inputs.

    Examples
    --------
    >>> Result("sgd", False, "ignores the learning rate", "w[0] must be 0.5. Received: -1")
    sgd: not correct yet.
      Mistake: ignores the learning rate.
      Example: w[0] must be 0.5. Received: -1
      exercises.hint('sgd') shows a hint.
    """

    exercise: str
    passed: bool
    mistake: str = ""
    example: str = ""

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        if self.passed:
            return f"{self.exercise}: correct. Passed {len(_passed)} of {len(EXERCISES)} exercises."
        lines = [f"{self.exercise}: not correct yet.", *_wrapped(f"Mistake: {self.mistake}.")]
        if self.example:
            lines += f"Example: {self.example}".replace(": for ", ":\nfor ").split("\n")
        return "\n  ".join([*lines, f"exercises.hint({self.exercise!r}) shows a hint."])


def _wrapped(text: str) -> Sequence[str]:
    return textwrap.wrap(text, 96, subsequent_indent="  ")


def list() -> Text:
    """Return the table of all exercises, with those that were passed.

    Returns
    -------
    str
        Number, name, title and state of each exercise, as text that is displayed without quotes.

    Examples
    --------
    >>> list().splitlines()[2].split()[:2]
    ['1', 'softmax']
    """
    rows = [
        [str(k), e.name, e.text.partition("\n")[0], "passed" if e.name in _passed else ""]
        for k, e in enumerate(EXERCISES, 1)
    ]
    title = f"Exercises, passed {len(_passed)} of {len(EXERCISES)}"
    return Text(Table(title, ["", "name", "task", ""], rows, words=(1, 2, 3)))


def show(exercise: int | str) -> Text:
    """Return the task of an exercise, with its arguments and where to read.

    Parameters
    ----------
    exercise : int or str
        Number or name of the exercise.

    Returns
    -------
    str
        Text that is displayed without quotes.

    Raises
    ------
    ValueError
        If the exercise does not exist.

    Examples
    --------
    >>> show("sgd").splitlines()[0]
    'Exercise 8, sgd: one step of gradient descent'
    """
    chosen = _find(exercise)
    number = EXERCISES.index(chosen) + 1
    task = chosen.text.partition("\nHint: ")[0]
    call = f"exercises.check({number}, {chosen.name})"
    return Text(f"Exercise {number}, {chosen.name}: {task}\nCheck: {call}")


def check(exercise: int | str, function: Callable[..., Any]) -> Result:
    """Check an answer, and name its mistake if it is wrong.

    The answer is called with small arrays by position. It may return arrays of any float dtype,
    lists, numbers or tensors, and several results as a tuple, a list or a dict. Neither the random
    state of NumPy nor that of Python changes.

    Parameters
    ----------
    exercise : int or str
        Number or name of the exercise.
    function : callable
        Answer: a function, or a class of layers for the exercise "custom_layer".

    Returns
    -------
    Result
        Whether the answer is correct (`passed`) and, if not, its `mistake`.

    Raises
    ------
    ValueError
        If the exercise does not exist.
    TypeError
        If the answer cannot be called.

    Examples
    --------
    >>> check("sgd", lambda w, d_w, learning_rate: w + learning_rate * d_w).mistake
    'adds the gradient, so that the loss increases: subtract learning_rate * d_w'
    >>> check("sgd", lambda w, d_w, learning_rate: w - learning_rate * d_w).passed
    True
    """
    chosen = _find(exercise)
    expected = "function must be callable; pass the function itself, without parentheses"
    checks.require(callable(function), expected, f"function={checks.shorten(function)}", TypeError)
    answer = function
    if isinstance(function, layers.Layer):  # each case uses a new copy
        answer = functools.partial(copy.deepcopy, function)
    states = np.random.get_state(), random.getstate()  # noqa: NPY002  # restored below
    try:
        with np.errstate(all="ignore"), np.printoptions(), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = examine(chosen, answer)
    finally:
        np.random.set_state(states[0])  # noqa: NPY002  # answers may use the global generator
        random.setstate(states[1])
    if found is None:
        _passed.add(chosen.name)
        return Result(chosen.name, True)
    return Result(chosen.name, False, found.mistake, found.example)


def hint(exercise: int | str) -> Text:
    """Return the next hint for an exercise: three hints, then the solution.

    Parameters
    ----------
    exercise : int or str
        Number or name of the exercise.

    Returns
    -------
    str
        Text that is displayed without quotes.

    Raises
    ------
    ValueError
        If the exercise does not exist.

    Examples
    --------
    >>> hint("sgd")
    Hint 1 of 3: The gradient points in the direction in which the loss increases.
    """
    chosen = _find(exercise)
    count, hints = _hints.get(chosen.name, 0), chosen.field("Hint")
    if count == len(hints):
        return solution(exercise)
    _hints[chosen.name] = count + 1
    return Text("\n".join(_wrapped(f"Hint {count + 1} of {len(hints)}: {hints[count]}")))


def solution(exercise: int | str) -> Text:
    """Return the source code of the implementation in tinynet.

    Parameters
    ----------
    exercise : int or str
        Number or name of the exercise.

    Returns
    -------
    str
        Text that is displayed without quotes.

    Raises
    ------
    ValueError
        If the exercise does not exist.

    Examples
    --------
    >>> solution("sgd").splitlines()[-1]
    '    w -= d_w * learning_rate'
    """
    chosen = _find(exercise)
    return Text("\n".join(inspect.getsource(part) for part in chosen.solution).rstrip())


def progress() -> Text:
    """Return how many exercises were passed in this session, and the next one.

    Returns
    -------
    str
        Text that is displayed without quotes.

    Examples
    --------
    >>> progress().partition(" of ")[2].split(".")[0]
    '14 exercises'
    """
    left = [(k, e.name) for k, e in enumerate(EXERCISES, 1) if e.name not in _passed]
    text = f"Passed {len(_passed)} of {len(EXERCISES)} exercises."
    return Text(f"{text} Next: {left[0][0]}, {left[0][1]}." if left else text)


def _find(exercise: int | str) -> Exercise:
    """Return an exercise by number or name."""
    if isinstance(exercise, str) and not exercise.strip().isdigit():
        return suggestions.known("exercise", exercise.strip().lower(), _BY_NAME)
    number = int(exercise) if isinstance(exercise, str | int | np.integer) else 0
    expected = f"exercise must be a name, or a number from 1 to {len(EXERCISES)}"
    is_valid = 1 <= number <= len(EXERCISES) and not isinstance(exercise, bool)
    checks.require(is_valid, expected, f"exercise={checks.shorten(exercise)}")
    return EXERCISES[number - 1]
