"""Diagnosis of an answer: compare its results with the correct ones, and find the difference.

The first case in which an answer is wrong decides. Its result is compared with the results of each
known mistake and of two together, with simple functions of the correct result, such as its
negative or a multiple, with formulas of the quantities of the exercise, and with the results for
other arguments. What remains is described: where the result is wrong, and what it does not depend
on. A mistake is named only if it explains all ordinary cases in which the result is wrong.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tinynet.exercises.changes import CONSTANTS, changes
from tinynet.exercises.exercise import Exercise, Observation, Values, observe
from tinynet.exercises.formulas import Formulas, NumberFormulas
from tinynet.exercises.regions import clipped, differ, regions
from tinynet.exercises.relations import is_close, parts, relations
from tinynet.exercises.substitutions import substitutions
from tinynet.exercises.terms import enclosed
from tinynet.functional import Array


@dataclass
class Finding:
    """Mistake in an answer, with an example: values and the inputs."""

    mistake: str
    example: str = ""


def examine(exercise: Exercise, function: Any) -> Finding | None:
    """Return the mistake of an answer; None if it is correct."""
    cases = exercise.cases
    given = _observe_all(exercise, function)
    correct = [partial(exercise.variants, **options) for options in ({}, *exercise.also)]
    tried = [_observe_all(exercise, variant) for variant in correct]
    wrong = [_differences(exercise, given, expected) for expected in tried]
    fewest = min(range(len(tried)), key=lambda k: len(wrong[k]))
    first = wrong[fewest][0][0] if wrong[fewest] else -1
    if "repeatable" not in exercise.meaning:  # a state may depend on the shapes of the last call
        again = [observe(exercise, function, cases[first]) for _ in range(2)]
        if not all(_is_same(given[first], other) for other in again):
            return Finding(_STATE)
    if not wrong[fewest]:
        changed = next((o.modified for o in given if o.modified), "")
        if changed:
            several = " and " in changed
            where = "new arrays" if several else "a new array"
            return Finding(
                f"modifies its argument{'s' * several} {changed}: compute the result in {where}"
            )
        return None
    more = replace(exercise, cases=[*cases, *exercise.fresh])
    given, expected = (
        [*found, *(observe(exercise, answer, case) for case in exercise.fresh)]
        for found, answer in ((given, function), (tried[fewest], correct[fewest]))
    )
    return _Diagnosis(
        more, function, given, expected, _differences(more, given, expected)
    ).finding()


_STATE = (
    "keeps values between calls, such as in a global variable: it returns another result if it is "
    "called again with the same arguments, so use only the arguments"
)


def _is_same(a: Observation, b: Observation) -> bool:
    """Return whether two calls had the same results, or the same problem."""
    if a.problem or b.problem:
        return a.kind == b.kind
    return all(name in b.values and _agree(a, b, name, 1e-6) for name in a.values)


def _observe_all(exercise: Exercise, function: Any) -> list[Observation]:
    """Call a function with the inputs of all cases."""
    return [observe(exercise, function, case) for case in exercise.cases]


def _differences(
    exercise: Exercise, given: Sequence[Observation], expected: Sequence[Observation]
) -> list[tuple[int, str]]:
    """Return the cases and names of values that differ."""
    return [
        (k, name)
        for k, (a, b, case) in enumerate(zip(given, expected, exercise.cases, strict=True))
        for name in ([""] if a.problem else b.values)
        if not _agree(a, b, name, exercise.tolerance(name, case))
    ]


def _agree(a: Observation, b: Observation, name: str, rtol: float) -> bool:
    """Return whether two observations of a value are equal, or have the same kind of problem."""
    if a.problem or b.problem:
        return bool(a.kind == b.kind and a.kind)
    if name not in a.values or name not in b.values:
        return False
    if isinstance(b.values[name], str):
        return bool(a.values[name] == b.values[name])
    return is_close(a.values[name], b.values[name], rtol)


#: Formulas by exercise, result and cases.
_known_formulas: dict[tuple[Any, ...], Any] = {}
#: Results of known mistakes, by exercise, message and case.
_known_results: dict[tuple[str, str, int], Observation] = {}


def _changed(
    function: Callable[..., Any], i: int, change: Callable[[Any], Any]
) -> Callable[..., Any]:
    """Return a function that changes an argument, without changing its shape and dtype."""

    def changed(*args: Any) -> Any:
        new = change(args[i])
        if isinstance(args[i], np.ndarray):
            new = np.broadcast_to(new, args[i].shape).astype(args[i].dtype)
        return function(*args[:i], new if np.ndim(new) else float(new), *args[i + 1 :])

    return changed


def _exchanged(function: Callable[..., Any], i: int, j: int) -> Callable[..., Any]:
    """Return a function with two arguments exchanged."""

    def exchanged(*args: Any) -> Any:
        changed = [*args]
        changed[i], changed[j] = args[j], args[i]
        return function(*changed)

    return exchanged


class _Diagnosis:
    """Search for the mistake that explains a wrong answer."""

    def __init__(
        self,
        exercise: Exercise,
        answer: Any,
        given: list[Observation],
        expected: list[Observation],
        wrong: list[tuple[int, str]],
    ) -> None:
        self.exercise, self.answer = exercise, answer
        self.known = exercise.wrong
        self.given, self.expected, self.wrong = given, expected, wrong
        self.first, self.name = wrong[0]
        self.case = exercise.cases[self.first]
        failing = [k for k, name in wrong if name in (self.name, "")]
        ordinary = [k for k in failing if not exercise.cases[k].about]
        alike = [k for k in failing if exercise.cases[k].about == self.case.about]
        #: Cases that a mistake must explain.
        self.needed = ordinary if not self.case.about else alike

    def finding(self) -> Finding:
        """Return the mistake, with the first wrong value."""
        given, results = self.given[self.first], self.exercise.results
        if given.problem:
            names = dict(zip(self.exercise.arguments, given.args, strict=False))
            mistake = self._exchange() or given.problem + self._reason()
            return Finding(mistake, _listed(names or self._arguments(self.first)))
        if self.name in given.unchanged:
            if len(given.unchanged) == len(results):
                reason = f"{results[0]} = ... inside a function does not change the caller's array"
                mistake = f"returns None, and changes no argument: return {', '.join(results)}; "
                return Finding(mistake + reason, self._example())
            if is_close(given.values[self.name], self._arguments(self.first)[self.name]):
                mistake = f"must return {', '.join(results)}, or update them in place. Received: "
                received = f"no result, and an unchanged {self.name}: {self.name} = ... inside a "
                received += "function does not change the caller's array"
                if results[0] not in given.unchanged:
                    received = f"a new {results[0]}, and an unchanged {self.name}"
                return Finding(mistake + received, self._example())
        if self.name not in given.values:
            return Finding(self.exercise.meaning.get(self.name, f"does not return {self.name}"))
        if isinstance(given.values[self.name], str):  # the mistake
            return Finding(given.values[self.name], _listed(self._arguments(self.first)))
        if np.asarray(self.expected[self.first].values[self.name]).dtype == bool:  # a fact
            mistake, left = self._single()
            about = f" ({self.case.about})" if self.case.about else ""
            return Finding(mistake if not left else self.exercise.meaning[self.name] + about)
        meaning = self.exercise.meaning.get(self.name, "")
        searches: list[Callable[[], str]] = [
            self._returned,
            self._known,
            self._permuted,
            self._cause,
            self._ignored,
            partial(self._related, parts),
        ]
        if meaning:  # it is more specific than a relation
            searches[3:] = [self._formula, self._ignored]
            if np.ndim(given.values[self.name]) and self._quantities(self.first):
                searches += [partial(self._related, relations)]
        if self.name.startswith("shape"):
            searches = [self._known]
        mistake = next(filter(None, (search() for search in searches)), "")
        mistake = re.sub(r"\((\w+) \+ \((\w+ \+ \w+)\)\)", r"(\2 + \1)", mistake)
        mistake = mistake or meaning or self._unknown()
        if self._is_rounded_down() and "//" not in mistake:
            mistake += "; it is the correct value rounded down to integers, as // does, unlike /"
        return Finding(mistake, self._example())

    def _returned(self) -> str:
        """Return a message if the argument is updated correctly, but is not what is returned."""
        name = self.name
        for k in self.needed:
            if not _agree(Observation(self.given[k].updated), self.expected[k], name, 1e-4):
                return ""
        text = f"updates {name} in place correctly, but returns another array: the returned {name} "
        text += "must be the updated one, without another change"
        return "" if self._single()[0] else text  # a known mistake is more specific

    def _is_rounded_down(self) -> bool:
        """Return whether the values are the integers below the correct ones."""
        for k in self.needed:
            a, b = (np.asarray(o[k].values.get(self.name)) for o in (self.given, self.expected))
            if not a.ndim or not a.any() or not is_close(a, np.floor(b)):
                return False
        return True

    def _exchange(self) -> str:
        """Return a message if the answer is correct with two arguments exchanged."""
        names = self.exercise.arguments
        for i, j in itertools.combinations(range(len(names)), 2):
            found = _observe_all(self.exercise, _exchanged(self.answer, i, j))
            if not _differences(self.exercise, found, self.expected):
                return self._order(i, j)
        return ""

    def _reason(self) -> str:
        """Return the property of the inputs for which the answer raises the exception."""
        cases = self.exercise.cases
        failing = [bool(o.problem) for o in self.given]
        for text, holds in self.exercise.properties.items():
            if [bool(holds(*case.args)) for case in cases] == failing:
                return f" for {text}"
        about = self.case.about
        others = [f for f, case in zip(failing, cases, strict=True) if case.about == about]
        return f" for {about}" if about and all(others) else ""

    def _order(self, i: int, j: int) -> str:
        names = self.exercise.arguments
        order = f"the arguments are {', '.join(names)}"
        return f"exchanges the arguments {names[i]} and {names[j]}: {order}"

    def _single(self) -> tuple[str, float]:
        """Return the known mistake with the same results, and how many values are left."""
        variants, names = self.exercise.variants, self.exercise.arguments
        best = self._best((m, partial(variants, **options)) for m, options in self.known.items())
        if not best[1]:
            return best
        exchanged = self._best(
            (
                (self._order(i, j), _exchanged(partial(variants, **options), i, j))
                for i, j in itertools.combinations(range(len(names)), 2)
                for options in ({}, *self.exercise.also)
            ),
            exact=True,
        )
        return exchanged if exchanged[0] else best

    def _known(self) -> str:
        """Return the known mistake with the same results; two if one does not explain them."""
        variants, wrong = self.exercise.variants, self.known.items()
        best, fewest = self._single()
        values = {
            float(o.values[self.name])
            for o in self.given
            if np.ndim(o.values.get(self.name, ())) == 0
        }
        if not fewest or 0 < len(values) < 3:
            return best
        if not best and not self.exercise.meaning.get(self.name):
            related = self._related(relations) or self._formula(simple=True)
            if related:
                return related
        effective = {  # that change the value in the first case
            message
            for message, options in wrong
            if not _agree(
                self._observe(message, partial(variants, **options), self.first),
                self.expected[self.first],
                self.name,
                self._rtol(self.first),
            )
        }
        pairs = (
            (f"{first}; also, {second}", partial(variants, **a, **b))
            for (first, a), (second, b) in itertools.combinations(wrong, 2)
            if not a.keys() & b.keys() and effective & {first, second}
        )
        both, remaining = self._best(pairs)
        return both if remaining < fewest else best

    def _cause(self) -> str:
        """Return a formula of the value, or what is used instead of an argument, if simpler."""
        if step := self._step():
            return min(filter(None, (step, self._used())), key=len)
        formula = self._formula()
        simple = formula.partition(" instead of")[0]
        if formula and len(simple) < 60 and simple.count("(") < 5:
            return formula
        return self._used() or formula

    def _step(self) -> str:
        """Return which step of the correct computation uses another value."""
        names = self.exercise.arguments
        inputs = dict(zip(names, self.given[self.first].args, strict=True))

        def answer(change: Callable[..., Values], *args: Any) -> Values:
            found = change(dict(zip(names, args, strict=True)))
            return {name: found[f"new_{name}" * (f"new_{name}" in found) or name]
                    for name in self.exercise.results}  # fmt: skip

        found = itertools.chain(*(substitutions(steps, inputs) for steps in self.exercise.steps))
        candidates = ((message, partial(answer, change)) for message, change in found)
        message = self._best(candidates, exact=True, only=self.name)[0]
        return re.sub(
            r"^new_", "", re.sub(r"\w+", lambda m: self.exercise.labels.get(m[0], m[0]), message)
        )

    def _used(self) -> str:
        """Return what is used instead of an argument."""
        names = self.exercise.arguments
        if not np.isfinite(self.given[self.first].values[self.name]).any():
            return ""

        def candidates() -> Iterator[tuple[str, Callable[..., Any]]]:
            for name, value, i in zip(names, self.given[self.first].args, itertools.count()):
                for options in (*self.exercise.also, {}):
                    variants = partial(self.exercise.variants, **options)
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        for constant in CONSTANTS:
                            message = f"ignores the argument {name}, and uses {constant} instead"
                            fixed = partial(lambda constant, x: constant, constant)
                            yield message, _changed(variants, i, fixed)
                    for text, change in changes(value):
                        yield f"uses {text.format(name)}", _changed(variants, i, change)

        best = self._best(candidates(), exact=True)[0]
        return best and f"{best}{self._about()}"

    def _best(
        self,
        candidates: Iterable[tuple[str, Callable[..., Any]]],
        exact: bool = False,
        only: str = "",
    ) -> tuple[str, float]:
        """Return the mistake that explains most values, and how many are left.

        If `exact`, it must explain all finite values, or those with the name `only`.
        """
        exercise, best = self.exercise, ""
        fewest: tuple[float, float] = math.inf, math.inf
        for message, function in candidates:
            if self._explains(message, function, exact):
                found = [self._observe(message, function, k) for k in range(len(exercise.cases))]
                pairs = _differences(exercise, self.given, found)
                differ = [(k, name) for k, name in pairs if only in ("", name)]
                left = sum(not exercise.cases[k].about for k, _ in differ), len(differ)
                if exact and any(self._is_finite(k) for k, _ in differ):
                    continue
                if left < fewest and self._is_evidence(left[1]) and not self._contradicts(found):
                    best, fewest = message, left
            if not any(fewest):
                break
        return best, fewest[0]

    def _is_finite(self, k: int) -> bool:
        values = self.given[k].values.values()
        return not self.given[k].problem and all(
            np.isfinite(v).all() for v in values if not isinstance(v, str)
        )

    def _observe(self, message: str, function: Callable[..., Any], k: int) -> Observation:
        """Return the results of a mistake; those of known ones are kept."""
        if message not in self.known:
            return observe(self.exercise, function, self.exercise.cases[k])
        key = self.exercise.name, message, k
        if key not in _known_results:
            _known_results[key] = observe(self.exercise, function, self.exercise.cases[k])
        return _known_results[key]

    def _is_evidence(self, left: int) -> bool:
        """Return whether equal values are evidence, if `left` others are not explained."""
        return not left or not (self.case.about or self._is_binary())

    def _is_binary(self) -> bool:
        """Return whether all values are the same number, 0 or 1."""
        values = [o.values.get(self.name, 0) for o in self.given if not o.problem]
        return (
            all(np.ndim(v) == 0 and v in (0, 1) for v in values) and len({*map(float, values)}) < 2
        )

    def _rtol(self, k: int, exact: bool = False) -> float:
        if exact:  # such as to distinguish values of epsilon
            return min(2e-5, self.exercise.cases[k].rtol)
        return self.exercise.tolerance(self.name, self.exercise.cases[k])

    def _explains(self, message: str, function: Callable[..., Any], exact: bool) -> bool:
        """Return whether a mistake has the given value in all necessary cases."""
        for k in [self.first, *self.needed]:
            found = self._observe(message, function, k)
            if not _agree(self.given[k], found, self.name, self._rtol(k, exact)):
                return False
            if _agree(found, self.expected[k], self.name, self._rtol(k)):
                return False
        return True

    def _contradicts(self, found: Sequence[Observation]) -> bool:
        """Return whether a mistake changes a value of an ordinary case that is correct."""
        wrong = {*self.wrong, *((k, "") for k, _ in self.wrong)}  # "" is the name of a problem
        problems = {k for k, name in self.wrong if not name}
        return any(
            not self.exercise.cases[k].about and k not in problems and (k, name) not in wrong
            for k, name in _differences(self.exercise, found, self.expected)
        )

    def _ignored(self) -> str:
        """Return the arguments on which the value does not depend, although it must."""
        names = self.exercise.inputs or self.exercise.arguments
        given, expected = (o[self.first].values[self.name] for o in (self.given, self.expected))
        if self._is_binary() or np.shape(given) != np.shape(expected):
            return ""
        found = [name for i, name in enumerate(names) if name != "seed" and self._ignores(i)]
        if len(found) == len([name for name in names if name != "seed"]) > 1:
            return f"{self.name} is the same for all inputs"
        return f"{self.name} does not depend on {' and '.join(found)}" if found else ""

    def _ignores(self, i: int) -> bool:
        must_change = False
        for k, case in enumerate(self.exercise.cases):
            value = case.args[i]
            if callable(value) or isinstance(value, bool):
                return False
            if isinstance(value, int) or np.asarray(value).dtype.kind == "i":
                new = np.full_like(value, value[0]) if np.ndim(value) else value + 1
            else:
                new = 0.75 * value
                if np.ndim(value):  # a constant factor may have no effect
                    new = np.roll(value, 1, -1) * np.linspace(
                        0.5, 1, value.size, dtype=np.float32
                    ).reshape(value.shape)
            other = replace(case, args=(*case.args[:i], new, *case.args[i + 1 :]))
            given = observe(self.exercise, self.answer, other)
            expected = observe(self.exercise, self.exercise.variants, other)
            if not _agree(given, self.given[k], self.name, 1e-6):
                return False
            must_change |= not _agree(expected, self.expected[k], self.name, self._rtol(k))
        return must_change

    def _permuted(self) -> str:
        """Return a message if the results are correct, but in another order."""
        names = self.exercise.results
        if {*names} != {*self.expected[self.first].values}:
            return ""
        for order in itertools.permutations(names):
            if all(
                is_close(self.given[k].values[at], self.expected[k].values[name])
                for k in self.needed
                if not self.given[k].problem
                for at, name in zip(names, order, strict=True)
            ):
                return f"returns {', '.join(order)} instead of {', '.join(names)}"
        return ""

    def _related(self, relate: Callable[..., Iterator[tuple[str, str]]]) -> str:
        """Return how the given value is related to the correct one, in all necessary cases."""
        found: list[dict[str, str]] = []
        for k in self.needed:
            a, b = (np.asarray(o[k].values.get(self.name)) for o in (self.given, self.expected))
            if a.dtype == object:  # the answer raises an error in this case
                return ""
            inputs = self._arguments(k)
            found.append({label: f"{self.name} {text}" for label, text in relate(a, b, inputs)})
            old = inputs.get(self.name)
            if old is not None and a.shape == b.shape == old.shape:  # a step
                changes = relate(a - old, b - old, {})
                found[-1] |= {f"step {k}": f"the change of {self.name} {v}" for k, v in changes}
        if not self.case.about and any(np.any(o.values.get(self.name, 0)) for o in self.given):
            found[0].pop("zero", None)
        common = [text for label, text in found[0].items() if all(label in f for f in found)]
        if not common or (len(found) == 1 and np.size(b) == 1):  # one number may be a coincidence
            return ""
        same = f"argument {self.name}"
        reason = ", which is not updated (a loop over its elements yields copies)"
        reason *= common[0].endswith(same)
        return f"{common[0]}{reason}{self._about()}"

    def _formula(self, simple: bool = False) -> str:
        """Return the formula of a wrong value, and where it is used instead of the correct one.

        If `simple`, the formula must be one quantity with a coefficient.
        """
        shapes = [np.shape(o[self.first].values[self.name]) for o in (self.given, self.expected)]
        if self.case.about and not np.isfinite(self.given[self.first].values[self.name]).all():
            return ""
        if shapes[0] != shapes[1]:
            return "" if simple else self._formula_of_another_shape()
        sets = [*{tuple(self._comparable(about)): 0 for about in (True, False)}]
        kinds = (False, True)[: 1 if shapes[0] else 2]
        for is_added, cases in itertools.product(kinds, sets):
            if sum(not self.exercise.cases[k].about for k in cases) < 2:
                continue
            quantities, given, expected = self._compared(cases)
            if not quantities[0] or all(map(is_close, given, expected)):
                continue
            if not shapes[0]:
                search = self._known_search(cases, NumberFormulas, quantities)
                a, b = np.array(given), np.array(expected)
                text = "" if simple else self._formula_of_number(search, a, b, is_added)
            else:
                known = len(self.exercise.cases) - len(self.exercise.fresh)
                fitted = min(6, sum(k < known for k in cases))
                formulas = self._known_search(cases, Formulas, quantities, expected, fitted)
                if simple:
                    found, right = formulas.find_term(given, None, 2), formulas.right.text
                    text = f"{found} instead of {right}" if found not in ("", right) else ""
                else:
                    text = self._formula_of_array(formulas, quantities, given, expected)
            if text:
                return f"{self.name} is {text}"
        return ""

    def _comparable(self, about: bool) -> list[int]:
        """Return the cases in which the given value is finite; `about` includes unusual inputs."""
        found = []
        for k, case in enumerate(self.exercise.cases):
            a, b = (o[k].values.get(self.name, np.nan) for o in (self.given, self.expected))
            is_finite = np.shape(a) == np.shape(b) and np.isfinite(a).all() and np.isfinite(b).all()
            if is_finite and (about or not case.about):
                found.append(k)
        return found

    def _compared(self, cases: Sequence[int]) -> tuple[list[Values], list[Array], list[Array]]:
        """Return the quantities, the given and the correct values of cases."""
        given, expected = (
            [np.asarray(o[k].values[self.name], np.float64) for k in cases]
            for o in (self.given, self.expected)
        )
        return [self._quantities(k) for k in cases], given, expected

    def _known_search(self, cases: tuple[int, ...], kind: Callable[..., Any], *args: Any) -> Any:
        key = self.exercise.name, self.name, cases
        if key not in _known_formulas:
            _known_formulas[key] = kind(*args)
        return _known_formulas[key]

    def _formula_of_number(self, search: NumberFormulas, a: Array, b: Array, is_added: bool) -> str:
        rtol = self.exercise.rtol.get(self.name, 1e-4)
        if is_added:
            added = search.find(a - b, rtol) if search.has_arrays and len({*a.tolist()}) > 3 else ""
            text = f"the correct value plus {added}".replace("plus -", "minus ")
            return text if added not in ("", "0") else ""
        formula, right = search.find(a, rtol), search.find(b, rtol)
        return f"{formula}{right and ' instead of '}{right}" if formula not in ("", right) else ""

    def _formula_of_array(
        self,
        formulas: Formulas,
        quantities: list[Values],
        given: list[Array],
        expected: list[Array],
    ) -> str:
        right, formula, texts = formulas.right.text, formulas.find(given), []
        if formula not in ("", right):
            texts.append(f"{formula}{right and ' instead of '}{right}")
        if not texts or re.search(r" [+-] ", formula):
            texts += self._formulas_of_signs(formulas, quantities, given, expected)
        wrong = [differ(a, b) for a, b in zip(given, expected, strict=True)]
        is_ordinary = len(given) == len(self._comparable(about=False))
        part, parts = formulas.find_few(given, wrong) if is_ordinary else ("", [])
        same = [~differ(a, b) for a, b in zip(parts, expected, strict=True)] if part else None
        for where in regions(quantities, expected, wrong, self.name, same) if is_ordinary else ():
            if part == self.name:
                return f"not updated {where}"
            if part := part or formulas.find(given, wrong, quick=True):
                usual = formulas.find(expected, wrong, quick=True) or right
                texts.append(f"{part} instead of {usual} {where}")
        if part and not texts:
            count = sum(np.count_nonzero(w) for w in wrong)
            total = sum(w.size for w in wrong)
            texts.append(f"{part} instead of {right} in {count} of {total} elements")
        if bounds := clipped(given, expected):
            return bounds
        if not texts:
            texts += self._formulas_of_factors(formulas, quantities, given)
        if texts:  # the shortest one, with a preference for those that show the correct formula
            return min(texts, key=lambda text: len(text) - 9 * (" instead of " in text))
        correct = f"the correct {self.name}"
        formula = Formulas([{correct: b} for b in expected], expected, len(given)).find(given)
        return formula if formula != correct else ""

    def _formulas_of_factors(
        self, formulas: Formulas, quantities: list[Values], given: list[Array]
    ) -> Iterator[str]:
        """Yield the product of the first quantity, such as d_y, and a formula of the others."""
        first = next(iter(quantities[0]))
        values = [np.asarray(q[first]) for q in quantities]
        if all(v.shape == a.shape and v.all() for v, a in zip(values, given, strict=True)):
            rest = [{n: v for n, v in q.items() if n != first} for q in quantities]
            ratios = [a / v for a, v in zip(given, values, strict=True)]
            if formula := Formulas(rest, ratios, formulas.fitted).right.text:
                yield f"{first} * {enclosed(formula)} instead of {formulas.right.text}"

    def _formulas_of_signs(
        self,
        formulas: Formulas,
        quantities: list[Values],
        given: list[Array],
        expected: list[Array],
    ) -> Iterator[str]:
        """Yield different formulas for positive and negative values of an argument."""
        for label in quantities[0]:
            values = [np.asarray(q[label]) for q in quantities]
            if all(v.shape == b.shape for v, b in zip(values, expected, strict=True)):
                masks = [v > 0 for v in values]
                found = [formulas.find_term(given, m, 6) for m in (masks, [~m for m in masks])]
                if all(found) and not all(m.all() for m in masks):
                    yield f"{found[0]} where {label} > 0, and {found[1]} elsewhere"

    def _formula_of_another_shape(self) -> str:
        """Return the formula of a result of a wrong shape."""
        pairs = {
            k: (np.asarray(a.values[self.name], np.float64), np.shape(b.values[self.name]))
            for k, (a, b) in enumerate(zip(self.given, self.expected, strict=True))
            if self.name in a.values and self.name in b.values
        }
        pairs = {k: (a, b) for k, (a, b) in pairs.items() if a.shape != b and np.isfinite(a).all()}
        given = [a for a, _ in pairs.values()]
        if len(given) < 2 or len({a.ndim for a in given}) > 1 or not given[0].ndim:
            return ""
        formula = Formulas([self._quantities(k) for k in pairs], given, len(given)).right.text
        shape = pairs[min(pairs)][1]
        return f"{self.name} is {formula}: it must have the shape {shape}" if formula else ""

    def _quantities(self, k: int) -> Values:
        """Return the arguments of a case, or other quantities, for formulas."""
        if self.exercise.quantities is not None:
            return self.exercise.quantities(self.name, *self.exercise.cases[k].args)
        return self._arguments(k)

    def _unknown(self) -> str:
        """Describe a wrong value whose cause is not known."""
        a, b = self.given[self.first].values[self.name], self.expected[self.first].values[self.name]
        about = self._about()
        if self.name.startswith("shape of"):
            return f"the {self.name} is {_shape(a)} instead of {_shape(b)}"
        if np.ndim(a) == 1 and not np.ndim(b):
            return f"{len(a)} values are returned instead of one number"
        if np.shape(a) != np.shape(b):
            return f"{self.name} has the shape {np.shape(a)} instead of {np.shape(b)}{about}"
        if not np.isfinite(a)[np.isfinite(b)].all():
            return f"{self.name} is not finite{about}"
        count = np.size(a) - np.count_nonzero(np.isclose(a, b, self.case.rtol, equal_nan=True))
        where = "" if np.size(a) in (1, count) else f" in {count} of {np.size(a)} elements"
        where = self._region() or where
        if changed := self.given[self.first].modified:
            about += f"; also, modifies its argument {changed}"
        return f"{self.name} is wrong{where}{about}"

    def _region(self) -> str:
        """Return where the value is wrong, if this follows from the quantities."""
        quantities, given, expected = self._compared(self._comparable(about=False))
        wrong = [differ(a, b) for a, b in zip(given, expected, strict=True)]
        found = regions(quantities, expected, wrong, self.name) if expected else ()
        return next((f" {where}" for where in found), "")

    def _about(self) -> str:
        """Describe unusual inputs, and why the result is wrong for them."""
        return f" for {self.case.about}: {self.case.why}" if self.case.about else ""

    def _arguments(self, k: int) -> dict[str, Any]:
        names = self.exercise.inputs or self.exercise.arguments
        return dict(zip(names, self.exercise.cases[k].args, strict=True))

    def _example(self) -> str:
        """Return the first wrong value, the correct one, and the inputs."""
        a, b = (np.asarray(o[self.first].values[self.name]) for o in (self.given, self.expected))
        label = self.name
        if label.startswith("shape"):
            texts = str(_shape(a)), str(_shape(b))
        elif a.shape != b.shape:
            texts = f"shape {a.shape}", f"shape {b.shape}"
            if a.ndim == b.ndim == 1 and max(a.size, b.size) < 12:
                texts = str(a.tolist()), str(b.tolist())
        else:
            close = np.isclose(a, b, self.case.rtol, 0.1 * self.case.rtol, equal_nan=True)
            wrong = np.argwhere(~close if not close.all() else a != b)
            index = tuple(int(i) for i in wrong[0])
            at = f"[{', '.join(map(str, index))}]" if index else ""
            label = re.sub(r"^y(?= )|$", rf"\g<0>{at}", label, count=1)
            texts = _text(a[index]), _text(b[index])
        inputs = _listed(self._arguments(self.first))
        if self.name.endswith("distribution"):  # 0 is that of a correct one
            return inputs
        return f"{label} must be {texts[1]}. Received: {texts[0]}\n{inputs}"


def _listed(inputs: Mapping[str, Any]) -> str:
    """Return the values of inputs, without functions and generators."""
    parts = []
    for name, value in inputs.items():
        if isinstance(value, np.ndarray):
            prefix = f"for {name} = "
            text = np.array2string(value, precision=4, threshold=40, edgeitems=2, prefix=prefix)
            parts.append(f"{name} = {text}")
        elif isinstance(value, int | float):
            parts.append(f"{name} = {value!r}")
    return "for " + "\n    ".join(parts) if parts else ""


def _shape(sizes: Array) -> tuple[int, ...]:
    return tuple(int(size) for size in sizes)


def _text(value: Any) -> str:
    return str(value) if value.dtype == bool else f"{float(value) + 0.0:.6g}"
