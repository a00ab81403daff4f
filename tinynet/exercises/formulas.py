"""Formulas of wrong results: combinations of known quantities that are equal to a result.

A result that no known mistake explains is compared with products, quotients and sums of functions
of the quantities of an exercise, such as its arguments. A formula is named only if it is equal to
the result in all cases that are compared, with coefficients that follow from the numbers of each
case, such as the learning rate or the batch size.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinynet._core.cached_property import cached_property
from tinynet.exercises.terms import Coefficients, Quantities, Terms, bare, enclosed, numbers_of
from tinynet.functional import Array

_RTOL = 1e-4


class Formula(NamedTuple):
    """Text of a formula, with its cost and the numbers of its terms."""

    cost: float = math.inf
    text: str = ""
    terms: tuple[int, ...] = ()


class Formulas:
    """Search for formulas of results that are arrays.

    The terms of the formula of the correct results, `right`, are probable in others, too.
    """

    def __init__(self, quantities: Sequence[Quantities], expected: Sequence[Array]) -> None:
        with np.errstate(all="ignore"):
            self.terms = Terms(quantities, [b.shape for b in expected])
        self.expected = expected
        self._numbers = numbers_of(quantities)
        self._coefficients: dict[tuple[int, ...], Coefficients] = {}

    @cached_property
    def right(self) -> Formula:
        """Formula of the correct results."""
        return self._search([b.ravel() for b in self.expected], self.terms.values, (), False)

    def find(
        self, given: Sequence[Array], masks: Sequence[Array] | None = None, quick: bool = False
    ) -> str:
        """Return the simplest formula of a result, or of its elements that are selected by masks.

        If `quick`, it consists of probable terms and one other.
        """
        values = self.terms.values
        if masks is not None:
            values = [v[:, m.ravel()] for v, m in zip(values, masks, strict=True)]
            given = [a[m] for a, m in zip(given, masks, strict=True)]
        return self._search([a.ravel() for a in given], values, self.right.terms, quick).text

    def find_term(self, given: Sequence[Array], masks: Sequence[Array] | None, cost: int) -> str:
        """Return one term with a coefficient that is equal to a result, and at most so complex."""
        values = self.terms.values
        if masks is not None:
            values = [v[:, m.ravel()] for v, m in zip(values, masks, strict=True)]
            given = [a[m] for a, m in zip(given, masks, strict=True)]
        if not any(a.any() for a in given):
            return "0"
        among = np.flatnonzero(self.terms.costs <= cost)
        with np.errstate(all="ignore"):
            return self._extend([a.ravel() for a in given], values, (), among).text

    def _search(
        self, given: list[Array], values: list[Array], probable: tuple[int, ...], quick: bool
    ) -> Formula:
        if not any(a.any() for a in given):
            return Formula(0, "0")
        costs, count = self.terms.costs, len(self.terms.atoms)
        every, simple = np.arange(len(costs)), np.flatnonzero(costs < 4)
        others = [i for i in range(count) if i not in probable and not quick]
        named = [i for i in others if costs[i] == 1]
        simple = np.union1d(simple, every[:count])
        with np.errstate(all="ignore"):
            for size in range(4):
                bases = [(base, every) for base in itertools.combinations(probable, size)]
                if size == 1:
                    bases += [((i,), every if i in named else simple) for i in others]
                elif size == 2:
                    bases += [(base, every) for base in itertools.combinations(named[:4], 2)]
                best = min(
                    (self._extend(given, values, *base) for base in bases), default=Formula()
                )
                if best.text:
                    return best
        return Formula()

    def _extend(
        self, given: list[Array], values: list[Array], base: tuple[int, ...], among: Array
    ) -> Formula:
        """Add one term to a base, with coefficients that are named."""
        parts = []  # a sample of the elements of each case, without what the base explains
        for k, a in enumerate(given):
            sample = slice(None, None, max(1, a.size // 40))
            terms, scale = values[k][:, sample], np.abs(a).max(initial=0)
            basis = _basis(terms[[*base]])
            rest = a[sample] - basis @ (basis.T @ a[sample])
            if a.size > len(base) + 1 and np.abs(rest).max() > 1e-5 * scale:
                parts.append((k, rest, scale, terms, basis))
        parts.sort(key=lambda part: -part[1].size)
        if not parts or parts[0][1].size < len(base) + 3:
            return Formula()
        for _, *part in parts:
            among = among[_factors(among, *part)[0]]
            if not among.size:
                return Formula()
        among = among[np.argsort(self.terms.costs[among], kind="stable")][:2000]
        factors = np.array([_factors(among, *part)[1] for _, *part in parts])
        cases = [k for k, *_ in parts]
        matches = self._known(cases).match(factors.T, _RTOL)
        candidates = sorted((self.terms.costs[among[i]] + cost, int(among[i]))
                            for cost, i, _, _ in matches)  # fmt: skip
        for cost, i in candidates[:10]:
            if text := self._verified(given, values, (*base, i), cases):
                return Formula(float(cost + self.terms.costs[[*base]].sum()), text, (*base, i))
        return Formula()

    def _known(self, cases: Sequence[int]) -> Coefficients:
        key = tuple(cases)
        if key not in self._coefficients:
            self._coefficients[key] = Coefficients([self._numbers[k] for k in key])
        return self._coefficients[key]

    def _verified(
        self, given: list[Array], values: list[Array], chosen: tuple[int, ...], cases: list[int]
    ) -> str:
        """Return the formula of terms with their coefficients, if it is equal to the result."""
        columns = [v[[*chosen]].T for v in values]
        if not all(np.isfinite(c).all() for c in columns):
            return ""
        cases = [k for k in cases if columns[k].any(axis=0).all()]
        fits = [np.linalg.lstsq(columns[k], given[k], rcond=None)[0] for k in cases]
        every = self._known(range(len(given)))
        results, texts = [np.zeros(a.shape) for a in given], []
        for column, term in enumerate(chosen):
            exact = [  # cases in which the coefficient is not lost in rounding errors
                (k, fit[column])
                for k, fit in zip(cases, fits, strict=True)
                if np.abs(fit[column] * columns[k][:, column]).max() > 3e-3 * np.abs(given[k]).max()
            ]
            if not exact:
                return ""
            known = self._known([k for k, _ in exact])
            factors = np.array([[factor for _, factor in exact]])
            name = self.terms.name(term)
            options = known.match(factors, _RTOL) or known.match(1 - factors, 1e-2)
            if not options or known.names[min(options)[2]] not in every.names:
                return ""
            _, _, e, constant = min(options)
            at = every.names.index(known.names[e])
            if known.match(factors, _RTOL):
                series = constant * every.values[at]
                texts.append((constant < 0, every.text(name, at, constant)))
            else:  # such as 1 - 0.01 * learning_rate
                series = 1 - constant * every.values[at]
                change = f"{'+-'[constant > 0]} {every.text('1', at, constant)}"
                texts.append((False, f"(1 {change}) * {enclosed(name)}"))
            for k, value in enumerate(series):
                results[k] += value * columns[k][:, column]
        if not all(_is_equal(*pair) for pair in zip(results, given, strict=True)):
            return ""
        return _sum(texts)


def _sum(terms: list[tuple[bool, str]]) -> str:
    """Return the text of a sum of terms, which may be negative."""
    text = "".join(
        (" - " if minus else " + ") + term for minus, term in sorted(terms, key=lambda t: t[0])
    )
    return text[3:] if text.startswith(" + ") else f"-{text[3:]}"


def _is_equal(a: Array, b: Array) -> bool:
    return bool(np.allclose(a, b, _RTOL, 0.1 * _RTOL * np.abs(b).max(initial=0)))


def _basis(terms: Array) -> Array:
    """Return an orthonormal basis of terms, as columns."""
    if not len(terms) or not np.isfinite(terms).all():
        return np.zeros((terms.shape[1], 0))
    q, sizes, _ = np.linalg.svd(terms.T, full_matrices=False)
    return q[:, sizes > 1e-9 * sizes.max(initial=0)]


def _factors(
    among: Array, rest: Array, scale: float, terms: Array, basis: Array
) -> tuple[Array, Array]:
    """Return which terms explain the rest of a result, and their factors."""
    terms = terms[among]
    usable: Any = np.isfinite(terms).all(axis=1)
    terms = np.where(usable[:, None], terms, 0)
    before = np.square(terms).sum(axis=1)
    terms = terms - terms @ basis @ basis.T if basis.size else terms
    norms = np.square(terms).sum(axis=1)
    usable &= norms > 1e-9 * before
    factors = np.where(usable, terms @ rest / np.where(usable, norms, 1), 0)
    error = np.abs(rest - factors[:, None] * terms).max(axis=1)
    return usable & (error < 3e-5 * scale), factors


#: Reductions of the elements of a case to a number, and functions of the numbers.
_REDUCTIONS: Mapping[str, Callable[[Array], Array]] = {
    "mean({})": lambda v: v.mean(axis=1),
    "sum({})": lambda v: v.sum(axis=1),
    "max({})": lambda v: v.max(axis=1),
    "min({})": lambda v: v.min(axis=1),
    "prod({})": lambda v: v.prod(axis=1),
    "{} of the first example": lambda v: v[:, 0],
    "{} of the last example": lambda v: v[:, -1],
    "median({})": lambda v: np.median(v, axis=1),
    "mean({}) without the first example": lambda v: v[:, 1:].sum(axis=1) / (v.shape[1] - 1),
    "mean({}) without the last example": lambda v: v[:, :-1].sum(axis=1) / (v.shape[1] - 1),
}
_OF_NUMBERS: Mapping[str, Callable[[Array], Array]] = {
    "{}": np.positive,
    "log({})": np.log,
    "exp({})": np.exp,
    "exp(-{})": lambda x: np.exp(-x),
    "sqrt({})": np.sqrt,
    "{}**2": np.square,
    "1 - {}": lambda x: 1 - x,
}
_INVERSE: Mapping[str, Callable[[Array], Array]] = {
    "{}": np.positive,
    "sqrt({})": lambda y: np.where(y > 0, y**2, np.nan),
    "1 - {}": lambda y: 1 - y,
    "log({})": np.exp,
    "log10({})": lambda y: 10**y,
    "exp({})": np.log,
}


def find_number(given: Array, quantities: Sequence[Quantities], rtol: float = _RTOL) -> str:
    """Return the simplest formula of a result that is one number in each case."""
    if len(given) < 4 or not np.isfinite(given).all():
        return ""
    if np.ptp(given) <= rtol * np.abs(given).max():
        return f"{given[0]:.4g}"
    if len({*given.tolist()}) < 3:
        return ""
    with np.errstate(all="ignore"):
        text = min(_number_formulas(given, quantities, rtol), default=(0, ""))[1]
    return re.sub(r"^1 - \(1 - (\w+)\)$", r"\1", text).replace("1 - -", "1 + ")


def _number_formulas(
    given: Array, quantities: Sequence[Quantities], rtol: float
) -> Iterator[tuple[float, str]]:
    """Yield costs and formulas of numbers."""
    known = Coefficients(numbers_of(quantities))
    shapes = {np.ndim(q): n for n, q in quantities[0].items() if np.ndim(q)}
    if not shapes:
        for extra, (text, invert) in enumerate(_INVERSE.items()):
            for cost, _, e, constant in known.match(invert(given)[None], rtol):
                yield cost + 5 * extra, text.format(_signed(known, "1", e, constant))
    for name in shapes.values():
        terms = Terms(quantities, [np.shape(q[name]) for q in quantities], 4)
        for n, (text, reduce) in enumerate(_REDUCTIONS.items()):
            numbers = np.array([reduce(v) for v in terms.values]).T
            for outer, function in _OF_NUMBERS.items():
                for cost, i, e, constant in known.match(given / function(numbers), rtol):
                    body = outer.format(text.format(bare(terms.name(i)))).replace("mean(1)", "1")
                    total = cost + terms.costs[i] + n + (outer != "{}")
                    yield float(total), _signed(known, body, e, constant)


def _signed(known: Coefficients, term: str, e: int, constant: float) -> str:
    return "-" * (constant < 0) + known.text(term, e, constant)
