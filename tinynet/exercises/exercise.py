"""An exercise: a task, inputs to test an answer with, and mistakes that it recognizes."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import numbers
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinynet._core import checks
from tinynet.functional import Array

#: Values by name: the results of an answer, or statistics of random results.
Values = dict[str, Any]
#: Calls an answer with arguments, and returns its results by name.
Caller = Callable[..., Values]


class AnswerError(Exception):
    """Error for an answer that does not return results of the required form."""


@dataclass(frozen=True)
class Case:
    """Inputs of an answer.

    `about` describes unusual inputs, such as ``"logits of 1000"``, and `why` explains the result
    that they must have. `rtol` is the tolerance, relative to each element.
    """

    args: tuple[Any, ...]
    about: str = ""
    why: str = ""
    rtol: float = 1e-4


def observe_results(call: Caller, *args: Any) -> Values:
    """Return the results of one call."""
    return call(*args)


@dataclass(frozen=True)
class Exercise:
    """Task with its test cases, and the mistakes that are recognized.

    `variants` is a function that computes the results correctly, and wrongly if it receives an
    option in `mistakes`: for each option, a table from messages to values (tuples of values for
    several options, separated by spaces). An answer has a mistake if its results are equal to those
    of `variants` with that option; two mistakes are recognized in combination. The options in
    `also` select other correct conventions.

    `observe` computes the compared values, in the order of comparison. `inputs` are the names of
    its inputs, if they differ from the arguments. `meaning` explains differences in these values.
    `quantities` returns named values for formulas of a wrong result, from its name and the inputs.
    `steps` are ways to compute the correct results: functions of the arguments and of the results
    of earlier steps, by name. `labels` are their texts in messages. `fresh` are cases on
    which only wrong answers are evaluated: a mistake must explain them, too. `properties` are
    conditions of the inputs, by description, which may be the reason of an exception. `rtol`
    replaces the tolerance of the cases for some values. `in_place` allows arguments to be updated
    in place. The task is in the file ``tasks.md``.
    """

    name: str
    solution: Sequence[Callable[..., Any]]
    variants: Callable[..., Any]
    cases: Sequence[Case]
    mistakes: Mapping[str, Mapping[str, Any]]
    also: Sequence[Mapping[str, Any]] = ()
    observe: Callable[..., Values] = observe_results
    inputs: Sequence[str] = ()
    meaning: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rtol: Mapping[str, float] = dataclasses.field(default_factory=dict)
    quantities: Callable[..., Values] | None = None
    steps: Sequence[Mapping[str, Callable[..., Any]]] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fresh: Sequence[Case] = ()
    properties: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=dict)
    in_place: bool = False

    @property
    def text(self) -> str:
        """Section of the exercise in ``tasks.md``."""
        return _section(self.name)

    @property
    def arguments(self) -> list[str]:
        """Names of the arguments."""
        return re.findall(r"^- `(\w+)`: ", self.text, re.M)

    @property
    def results(self) -> list[str]:
        """Names of the results."""
        return self.field("Returns")[0].split(", ")

    def field(self, name: str) -> list[str]:
        """Return the values of a field of the task, such as "Hint"."""
        return _field(self.text, name)

    def tolerance(self, name: str, case: Case) -> float:
        """Return the relative tolerance of a value in a case."""
        return 0.0 if name.startswith("shape") else self.rtol.get(name, case.rtol)

    @property
    def wrong(self) -> dict[str, dict[str, Any]]:
        """Options of each mistake, by message; a message about the result begins with its name."""
        found = {}
        for names, table in self.mistakes.items():
            for text, value in table.items():
                is_about_result = text.startswith(("is ", "has "))
                message = f"{self.results[0]} {text}" if is_about_result else text
                values = value if " " in names else (value,)
                found[message] = dict(zip(names.split(), values, strict=True))
        return found


@functools.cache
def _section(name: str) -> str:
    text = Path(__file__).with_name("tasks.md").read_text(encoding="utf-8")
    return re.split(rf"^## {name}: ", text, flags=re.M)[1].partition("\n## ")[0].strip()


@functools.cache
def _field(text: str, name: str) -> list[str]:
    found = re.findall(rf"^{name}: (.*(?:\n(?!\w+: |$).*)*)", text, re.M)
    return [" ".join(value.split()) for value in found]


@dataclass
class Observation:
    """Values that were observed in a case, or the problem that prevented it."""

    values: Values
    problem: str = ""
    kind: str = ""
    modified: str = ""
    args: Sequence[Any] = ()  # of the last call
    unchanged: Sequence[str] = ()  # results that were neither returned nor updated in place
    updated: Values = dataclasses.field(default_factory=dict)  # in place, with a returned result


def observe(exercise: Exercise, function: Any, case: Case) -> Observation:
    """Call an answer with the inputs of a case."""
    found, names = Observation({}), exercise.arguments

    def call(*args: Any, convert: Callable[[Any], Values] | None = None) -> Values:
        given = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        found.args = args
        try:
            returned = function(*given)
            state = dict(zip(names, given, strict=False)) if exercise.in_place else {}
            result = (
                named_results(exercise.results, returned, state)
                if convert is None
                else convert(returned)
            )
        except AnswerError:
            raise
        except Exception as error:
            raise AnswerError(_raised(error, function, args), type(error).__name__) from error
        changed = [
            name
            for name, before, after in zip(names, args, given, strict=False)
            if isinstance(before, np.ndarray) and not is_same(before, after)
        ]
        count = len(exercise.results) if isinstance(returned, tuple | list | dict) else 1
        left = exercise.results[0 if returned is None else count :]
        found.unchanged = [name for name in left if name not in changed]
        if not exercise.in_place:
            found.modified = found.modified or " and ".join(changed)
        elif returned is not None:
            found.updated = {name: state[name] for name in changed}
        return result

    try:
        found.values = exercise.observe(call, *case.args)
    except AnswerError as problem:
        found.problem, found.kind = problem.args[0], problem.args[-1]
    return found


def is_same(a: Array, b: Array) -> bool:
    """Return whether an argument is unchanged, or restored up to rounding errors."""
    if a.shape == b.shape and a.tobytes() == b.tobytes():
        return True
    return a.shape == b.shape and np.allclose(a, b, 1e-6, 1e-12, equal_nan=True)


def _raised(error: Exception, function: Any, args: Sequence[Any]) -> str:
    """Describe an exception that an answer raised."""
    if isinstance(error, TypeError):
        try:
            inspect.signature(function).bind(*args)
        except TypeError:
            if not args:
                return f"must be a class of layers without arguments ({error})"
            count = f"{len(args)} argument{'s' * (len(args) > 1)}"
            return f"must accept {count}, by position ({error})"
        except ValueError:  # a function in C has no signature
            pass
    inside = str(Path(__file__).parents[1])
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)[1:]
        if "site-packages" not in frame.filename and inside not in frame.filename
    ]
    line = f" in the line `{own[-1].line[:80]}`" if own and own[-1].line else ""
    message = " ".join(str(error).split())[:300]
    power = ": the power is **, not ^" * ("for ^:" in message)
    return f"raises {type(error).__name__}{message and ': '}{message}{line}{power}"


def named_results(names: Sequence[str], returned: Any, state: Values) -> Values:
    """Return the results of an answer by name; `state` contains arguments updated in place."""
    several = len(names) > 1
    listed = ", ".join(names)
    if returned is None:
        if not state:
            raise AnswerError("returns None: the return statement is missing")
        return {name: as_numbers(name, state[name]) for name in names}
    if isinstance(returned, Iterator):
        returned = [*itertools.islice(returned, 1000)]
    if isinstance(returned, dict):
        if set(returned) != set(names):
            received = checks.shorten(list(returned))
            raise AnswerError(f"must return {listed}. Received: a dict with the keys {received}")
        returned = [returned[name] for name in names]
    elif not several:
        if isinstance(returned, tuple | list) and len(returned) == 1:
            if state or np.ndim(returned[0]) != 1:  # one result, not one row
                returned = returned[0]
        elif isinstance(returned, tuple) and any(
            part.ndim > (0 if state else 1) for part in returned if isinstance(part, np.ndarray)
        ):
            raise AnswerError(f"must return only {listed}. Received: {len(returned)} values")
        returned = [returned]
    elif state and np.ndim(returned) > 1 and np.shape(returned)[0] == len(names):
        returned = list(returned)
    elif not isinstance(returned, tuple | list):
        if not state:
            kind = type(returned).__name__
            raise AnswerError(f"must return {len(names)} values: {listed}. Received: one {kind}")
        returned = [returned, *(state[name] for name in names[1:])]
    if len(returned) != len(names):
        count = len(returned)
        raise AnswerError(f"must return {len(names)} values: {listed}. Received: {count} values")
    return {name: as_numbers(name, value) for name, value in zip(names, returned, strict=True)}


def as_numbers(name: str, value: Any) -> Array:
    """Convert a result to an array of real numbers."""
    if np.size(value if hasattr(value, "size") else 0) > 10**6:
        raise AnswerError(f"returns {name} with the shape {np.shape(value)}, which is too large")
    try:
        array = np.array(value)
        if array.dtype == object and all(isinstance(v, numbers.Real) for v in array.flat):
            array = array.astype(float)  # such as fractions
    except (ValueError, TypeError, RuntimeError):  # such as rows of different lengths
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        if isinstance(value, tuple | list) and value:
            received = f"{len(value)} values"
        else:
            received = f"{checks.shorten(value)} of type {type(value).__name__}"
        raise AnswerError(f"must return {name} as an array of numbers. Received: {received}")
    return array
