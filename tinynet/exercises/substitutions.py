"""Substitutions: the steps of the correct computation, with another value in one of them.

Examples are an intermediate result that is used instead of an argument, an argument that was
modified in place by an earlier step, and a factor that is applied twice.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

Values = dict[str, Any]
Steps = Mapping[str, Callable[..., Any]]
Change = Callable[[Values], Any]

_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "{}": np.positive,
    "{}**2": np.square,
    "sqrt({})": lambda x: np.sqrt(np.abs(x)),
    "exp({})": np.exp,
    "-{}": np.negative,
    "abs({})": np.abs,
    "maximum({}, 0)": lambda x: np.maximum(x, 0),
    "({} > 0)": lambda x: x > 0,
}


@functools.cache
def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def compute(
    steps: Steps,
    inputs: Values,
    at: str = "",
    name: str = "",
    change: Change | None = None,
    keep: bool = False,
) -> Values:
    """Compute all steps, with a changed value in the step `at`, and after it if `keep`."""
    values = dict(inputs)
    for step, function in steps.items():
        used = {n: values[n] for n in _parameters(function)}
        if step == at and change is not None:
            used[name] = change(values)
            if keep:
                values[name] = used[name]
        values[step] = function(**used)
    return values


def substitutions(steps: Steps, inputs: Values) -> Iterator[tuple[str, Callable[[Values], Values]]]:
    """Yield messages, and functions from the inputs to the results of all steps."""
    values = compute(steps, inputs)
    known, used = [*inputs], set[str]()
    for number, (step, function) in enumerate(steps.items(), 1):
        following = [*steps.values()][number:]
        for name in _parameters(function):
            later = any(name in _parameters(f) for f in following)
            for text, change in _changes(name, {n: values[n] for n in known}):
                for keep in (False, True)[: 1 + later]:
                    where = "" if keep and name not in used else f"{step} "
                    yield (
                        f"{where}uses {text} instead of {name}",
                        functools.partial(
                            compute, steps, at=step, name=name, change=change, keep=keep
                        ),
                    )
        known.append(step)
        used |= {*_parameters(function)}


def _changes(name: str, values: Values) -> Iterator[tuple[str, Change]]:
    """Yield values that may be used instead of another one, by their text."""
    shape = np.shape(values[name])
    alike = [n for n, v in values.items() if np.shape(v) == shape]
    for other, (text, function) in itertools.product(alike, _FUNCTIONS.items()):
        if (other, text) != (name, "{}") and (shape or text == "{}"):
            yield text.format(other), _product(function, other)
    for constant in (1e-3, 0.01, 0.1, 0.5, 0.9, 1, 2):
        if shape:
            yield f"({name} + {constant})", functools.partial(lambda c, v: v[name] + c, constant)
        yield f"{constant} * {name}", functools.partial(lambda c, v: v[name] * c, constant)
    scales = dict(_scales([n for n, v in values.items() if not np.ndim(v) and n != name]))
    for text, scale in scales.items():
        yield f"{text} * {name}", _product(np.positive, name, scale)
        yield f"{name} / {text}", _product(np.positive, name, None, scale)
    for (a, f), (b, g) in itertools.permutations(scales.items(), 2) if not shape else ():
        yield f"{name} * {a} / {b}", _product(np.positive, name, f, g)


def _product(
    function: Callable[[Any], Any],
    name: str,
    scale: Change | None = None,
    over: Change | None = None,
) -> Change:
    """Return a change to a function of a value, multiplied and divided by numbers of the case."""

    def change(values: Values) -> Any:
        value = function(values[name])
        value = value * scale(values) if scale else value
        return value / over(values) if over else value

    return change


def _scales(names: list[str]) -> Iterator[tuple[str, Change]]:
    """Yield functions of the numbers of a case, such as a bias correction."""
    for name in names:
        yield name, operator.itemgetter(name)
        if name not in ("step", "epsilon"):
            yield f"(1 - {name})", functools.partial(lambda n, v: 1 - v[n], name)
        if "step" in names and name.startswith("beta"):
            text = f"(1 - {name}**step)"
            yield text, functools.partial(lambda n, v: 1 - v[n] ** v["step"], name)
            yield (
                f"sqrt{text}",
                functools.partial(lambda n, v: np.sqrt(1 - v[n] ** v["step"]), name),
            )
