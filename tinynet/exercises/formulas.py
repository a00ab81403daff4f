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


class _Sample(NamedTuple):
    """Elements of a case on which terms are compared: the values, and those of all terms."""

    case: int
    given: Array
    terms: Array
    scale: float


class Formulas:
    """Search for formulas of results that are arrays.

    The terms of the formula of the correct results, `right`, are probable in others, too. Only the
    first `fitted` cases are used in the search; a formula must hold in the others, too.
    """

    def __init__(
        self, quantities: Sequence[Quantities], expected: Sequence[Array], fitted: int
    ) -> None:
        with np.errstate(all="ignore"):
            self.terms = Terms(quantities, [b.shape for b in expected], fitted=fitted)
        self.expected, self.fitted = expected, fitted
        self._numbers = numbers_of(quantities)
        self._coefficients: dict[tuple[int, ...], Coefficients] = {}

    @cached_property
    def right(self) -> Formula:
        """Formula of the correct results."""
        return self._search(self.expected, None, (), False)

    def find(
        self, given: Sequence[Array], masks: Sequence[Array] | None = None, quick: bool = False
    ) -> str:
        """Return the simplest formula of a result, or of its elements that are selected by masks.

        If `quick`, it consists of probable terms and one other.
        """
        return self._search(given, masks, self.right.terms, quick).text

    def find_term(self, given: Sequence[Array], masks: Sequence[Array] | None, cost: int) -> str:
        """Return one term with a coefficient that is equal to a result, and at most so complex."""
        if not any(a.any() for a in given):
            return "0"
        among = np.flatnonzero(self.terms.costs <= cost)
        with np.errstate(all="ignore"):
            return self._extend(given, masks, self._samples(given, masks), (), among).text

    def find_few(self, given: Sequence[Array], masks: Sequence[Array]) -> tuple[str, list[Array]]:
        """Return one term, with its values, that is equal to the few selected elements of cases."""
        known = self._known(range(len(given)))
        values = np.concatenate([a[m] for a, m in zip(given, masks, strict=True)])
        if not values.any():
            return "0", [0 * a for a in given]
        found: list[tuple[float, str, int, Array]] = []
        for i in np.flatnonzero(self.terms.costs < 4).tolist():
            factors = np.ones(len(given))
            for k, (a, m) in enumerate(zip(given, masks, strict=True)):
                if m.any():
                    term = self.terms.column(k, i)[m.ravel()]
                    factors[k] = np.median(a[m] / term)
                    if not np.abs(a[m] - factors[k] * term).max() <= _RTOL * np.abs(a[m]).max():
                        break
            else:
                cost, name = self.terms.costs[i], self.terms.name(i)
                if np.abs(factors - 1).max() < _RTOL and len({*values.tolist()}) > 2:
                    found.append((cost, name, i, factors))
                elif len(given) > 3 and all(m.any() for m in masks):
                    for extra, _, e, c in known.match(factors[None], _RTOL):
                        text = _sum([(c < 0, known.text(name, e, c))])
                        found.append((cost + extra, text, i, factors))
        if not found:
            return "", []
        _, text, i, factors = min(found, key=lambda f: f[:2])
        pairs = enumerate(zip(given, factors, strict=True))
        return text, [f * self.terms.column(k, i).reshape(a.shape) for k, (a, f) in pairs]

    def _samples(self, given: Sequence[Array], masks: Sequence[Array] | None) -> list[_Sample]:
        """Return samples of the elements of the fitted cases, the smallest one first."""
        found = []
        for k in range(self.fitted):
            at = np.arange(given[k].size) if masks is None else np.flatnonzero(masks[k])
            found.append((k, at[:: max(1, at.size // 40)]))
        found.sort(key=lambda pair: -pair[1].size)
        few = found[0][1]
        found.insert(0, (found[0][0], few[:: max(1, few.size // 9)]))
        return [
            _Sample(k, a[at], self.terms.values[k][:, at], np.abs(a[at]).max(initial=0))
            for k, at in found
            for a in (given[k].ravel(),)
        ]

    def _search(
        self,
        given: Sequence[Array],
        masks: Sequence[Array] | None,
        probable: tuple[int, ...],
        quick: bool,
    ) -> Formula:
        shown = given if masks is None else [a[m] for a, m in zip(given, masks, strict=True)]
        if not any(a.any() for a in shown):
            return Formula(0, "0")
        costs, count = self.terms.costs, len(self.terms.atoms)
        every, simple = np.arange(len(costs)), np.flatnonzero(costs < 4)
        others = [i for i in range(count) if i not in probable and not quick]
        named = [i for i in others if costs[i] == 1]
        simple = np.union1d(simple, every[:count])
        samples = self._samples(given, masks)
        with np.errstate(all="ignore"):
            for size in range(4):
                bases = [(base, every) for base in itertools.combinations(probable, size)]
                if size == 1:
                    bases += [((i,), every if i in named else simple) for i in others]
                elif size == 2:
                    bases += [(base, every) for base in itertools.combinations(named[:4], 2)]
                best = min(
                    (self._extend(given, masks, samples, *base) for base in bases),
                    default=Formula(),
                )
                if best.text:
                    return best
        return Formula()

    def _extend(
        self,
        given: Sequence[Array],
        masks: Sequence[Array] | None,
        samples: Sequence[_Sample],
        base: tuple[int, ...],
        among: Array,
    ) -> Formula:
        """Add one term to a base, with coefficients that are named."""
        found: dict[int, Array] = {}
        for k, a, terms, scale in samples:
            basis = _basis(terms[[*base]])
            rest = a - basis @ (basis.T @ a)
            if a.size > len(base) + 1 and np.abs(rest).max() > 1e-5 * scale:
                if not found and a.size < len(base) + 3:
                    return Formula()
                usable, factors = _factors(terms[among], rest, scale, basis)
                among = among[usable]
                found = {i: f[usable] for i, f in found.items()} | {k: factors[usable]}
                if not among.size:
                    return Formula()
        if not found:
            return Formula()
        order = np.argsort(self.terms.costs[among], kind="stable")[: 50 if len(found) < 3 else 2000]
        among, factors = among[order], np.array([f[order] for f in found.values()])
        matches = self._known([*found]).match(factors.T, _RTOL)
        candidates = sorted((self.terms.costs[among[i]] + cost, int(among[i]))
                            for cost, i, _, _ in matches)  # fmt: skip
        for cost, i in candidates[:10]:
            if text := self._verified(given, masks, (*base, i)):
                return Formula(float(cost + self.terms.costs[[*base]].sum()), text, (*base, i))
        return Formula()

    def _known(self, cases: Sequence[int]) -> Coefficients:
        key = tuple(cases)
        if key not in self._coefficients:
            self._coefficients[key] = Coefficients([self._numbers[k] for k in key])
        return self._coefficients[key]

    def _verified(
        self, given: Sequence[Array], masks: Sequence[Array] | None, chosen: tuple[int, ...]
    ) -> str:
        """Return the formula of terms with their coefficients, if it is equal to the result.

        This includes the cases that are not used in the search.
        """
        selected: list[Any] = [m.ravel() for m in masks or [np.ones(a.shape, bool) for a in given]]
        given = [a.ravel()[m] for a, m in zip(given, selected, strict=True)]
        columns, fits = {}, {}
        for k in reversed(range(len(given))):  # those that are not used in the search first
            columns[k] = np.array([self.terms.column(k, i)[selected[k]] for i in chosen]).T
            if not np.isfinite(columns[k]).all():
                return ""
            if len(columns[k]) > len(chosen) and columns[k].any(axis=0).all():
                fit, _, rank, _ = np.linalg.lstsq(columns[k], given[k], rcond=None)
                if not _is_equal(columns[k] @ fit, given[k]):
                    return ""
                if rank == len(chosen):
                    fits[k] = fit
        every = self._known(range(len(given)))
        results, texts = [np.zeros(a.shape) for a in given], []
        for column, term in enumerate(chosen):
            exact = [  # cases in which the coefficient is not lost in rounding errors
                (k, fit[column])
                for k, fit in fits.items()
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


def _factors(terms: Array, rest: Array, scale: float, basis: Array) -> tuple[Array, Array]:
    """Return which terms explain the rest of a result, and their factors."""
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
    "sum({}) without the first example": lambda v: v[:, 1:].sum(axis=1),
    "sum({}) without the last example": lambda v: v[:, :-1].sum(axis=1),
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


class NumberFormulas:
    """Search for formulas of results that are one number in each case."""

    def __init__(self, quantities: Sequence[Quantities]) -> None:
        self._known = Coefficients(numbers_of(quantities))
        shapes = {np.ndim(q): n for n, q in quantities[0].items() if np.ndim(q)}
        self.has_arrays = bool(shapes)
        with np.errstate(all="ignore"):
            self._terms = [
                Terms(quantities, [np.shape(q[name]) for q in quantities], 4)
                for name in shapes.values()
            ]

    def find(self, given: Array, rtol: float = _RTOL) -> str:
        """Return the simplest formula of a result."""
        if len(given) < 4 or not np.isfinite(given).all():
            return ""
        if np.ptp(given) <= rtol * np.abs(given).max():
            return f"{given[0]:.4g}"
        if len({*given.tolist()}) < 3:
            return ""
        with np.errstate(all="ignore"):
            text = min(self._formulas(given, rtol), default=(0, ""))[1]
        return re.sub(r"^1 - \(1 - (\w+)\)$", r"\1", text).replace("1 - -", "1 + ")

    def _formulas(self, given: Array, rtol: float) -> Iterator[tuple[float, str]]:
        """Yield costs and formulas."""
        known = self._known
        for extra, (text, invert) in enumerate(_INVERSE.items()) if not self._terms else ():
            for cost, _, e, constant in known.match(invert(given)[None], rtol):
                yield cost + 5 * extra, text.format(_signed(known, "1", e, constant))
        for terms in self._terms:
            for n, (text, reduce) in enumerate(_REDUCTIONS.items()):
                numbers = np.array([reduce(v) for v in terms.values]).T
                for outer, function in _OF_NUMBERS.items():
                    for cost, i, e, constant in known.match(given / function(numbers), rtol):
                        term = text.format(bare(terms.name(i))).replace("mean(1)", "1")
                        total = cost + terms.costs[i] + n + (outer != "{}")
                        yield float(total), _signed(known, outer.format(term), e, constant)


def _signed(known: Coefficients, term: str, e: int, constant: float) -> str:
    return "-" * (constant < 0) + known.text(term, e, constant)
