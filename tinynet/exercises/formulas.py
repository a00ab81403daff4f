"""Formulas of wrong results: combinations of known quantities that are equal to a result.

A result that no known mistake explains is compared with products, quotients and sums of simple
functions of the quantities of an exercise, such as its arguments. A formula is named only if it is
equal to the result in all ordinary cases, with coefficients that follow from the numbers of each
case, such as the learning rate or the batch size.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tinynet.functional import Array

#: Arrays and numbers of a case, by name.
Quantities = Mapping[str, Any]
_RTOL = 1e-4

#: Functions of a quantity, with costs: the simplest of several equal formulas is named.
_FUNCTIONS: Mapping[str, tuple[int, Callable[[Array], Array]]] = {
    "{}**2": (1, np.square),
    "({} > 0)": (1, lambda x: x > 0),
    "({} < 0)": (1, lambda x: x < 0),
    "abs({})": (1, np.abs),
    "(1 - {})": (1, lambda x: 1 - x),
    "({} - 1)": (1, lambda x: x - 1),
    "sign({})": (2, np.sign),
    "sqrt({})": (2, lambda x: np.sqrt(np.abs(x))),
    "exp({})": (2, np.exp),
    "exp(-{})": (2, lambda x: np.exp(-x)),
    "log({})": (2, np.log),
    "(1 + {})": (2, lambda x: 1 + x),
    "sigmoid({})": (2, lambda x: 1 / (1 + np.exp(-x))),
    "tanh({})": (2, np.tanh),
    "round({})": (3, np.round),
    "{}**3": (3, lambda x: x**3),
    "{}.T": (2, np.transpose),
    "{}[::-1]": (3, lambda x: x[::-1]),
    "{}[0]": (3, lambda x: x[0]),
    "{}[-1]": (3, lambda x: x[-1]),
    "cumsum({})": (3, lambda x: x.cumsum(axis=0)),
}
_REDUCTIONS: Mapping[str, Callable[..., Any]] = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "std": np.std,
    "norm": lambda x, **axis: np.sqrt(np.sum(x * x, **axis)),
}
_OPERATIONS: Mapping[str, tuple[int, Callable[..., Array]]] = {
    "{} * {}": (1, np.multiply),
    "{} / {}": (2, np.divide),
    "maximum({}, {})": (2, np.maximum),
    "minimum({}, {})": (2, np.minimum),
}
#: Functions of sums and means, for results that are numbers.
_OUTER: Mapping[str, tuple[int, Callable[[Array], Array]]] = {
    "{}": (0, np.positive),
    "log({})": (1, np.log),
    "exp({})": (1, np.exp),
    "exp(-{})": (1, lambda x: np.exp(-x)),
    "sqrt({})": (1, np.sqrt),
    "{}**2": (1, np.square),
    "1 - {}": (1, lambda x: 1 - x),
}


def _inner(name: str) -> str:
    """Put the name of a sum or product in parentheses."""
    return f"({name})" if " " in re.sub(r"\([^()]*(\([^()]*\))*[^()]*\)", "", name) else name


def _atoms(quantities: Quantities, shape: tuple[int, ...]) -> dict[str, tuple[int, Array]]:
    """Return functions of one quantity with a shape, and matrix products, with their costs."""
    found = {"1": (0, np.ones(shape))}

    def add(name: str, cost: int, value: Array) -> None:
        sizes = np.shape(value)
        fits = len(sizes) <= len(shape) and all(
            a in (1, b) for a, b in zip(sizes[::-1], shape[::-1], strict=False)
        )
        if fits and cost < found.get(name, (math.inf,))[0]:
            found[name] = cost, np.broadcast_to(value, shape)

    arrays = {n: np.asarray(q, np.float64) for n, q in quantities.items() if np.ndim(q)}
    for name, value in arrays.items():
        add(name, 1, value)
        for text, (cost, function) in _FUNCTIONS.items():
            add(text.format(_inner(name)), 1 + cost, function(value))
        for word, reduce in _REDUCTIONS.items():
            total = f"{_inner(name)}.{word}"
            if len(shape):
                add(f"{total}()", 4, reduce(value))
            if value.ndim == 2:
                rows = reduce(value, axis=1, keepdims=True)
                add(f"{total}(axis=0)", 3, reduce(value, axis=0))
                add(f"{total}(axis=1)", 3 + (len(shape) == 1), rows if len(shape) > 1 else rows[:, 0])
                if word == "sum":
                    add(f"(1 + {total}(axis=1))", 3, 1 + rows)
    matrices = [(f"{_inner(n)}{t}", m) for n, x in arrays.items() if x.ndim == 2
                for t, m in (("", x), (".T", x.T))]  # fmt: skip
    for (a, x), (b, y) in itertools.product(matrices, repeat=2) if len(shape) == 2 else ():
        if x.shape[1] == y.shape[0]:
            add(f"{a} @ {b}", 2, x @ y)
    return found


class _Terms:
    """Products and quotients of two atoms: names, costs, and values in each case."""

    def __init__(
        self, quantities: Sequence[Quantities], shapes: Sequence[tuple[int, ...]], limit: int = 6
    ) -> None:
        atoms = [_atoms(q, s) for q, s in zip(quantities, shapes, strict=True)]
        self.atoms = [n for n in atoms[0] if all(n in a for a in atoms)]
        values = [np.array([a[n][1].ravel() for n in self.atoms]) for a in atoms]
        costs = np.array([atoms[0][n][0] for n in self.atoms])
        order = np.argsort(costs, kind="stable")
        self.atoms, costs = [self.atoms[i] for i in order], costs[order]
        values, self._pairs = [v[order] for v in values], []
        i, j = np.triu_indices(len(costs), 1)
        all_costs, all_values = [costs], [[v] for v in values]
        for text, (cost, function) in _OPERATIONS.items():
            for a, b in ((i, j), (j, i))[: 1 + ("/" in text)]:
                used = cost + costs[a] + costs[b] <= limit
                a, b = a[used], b[used]
                self._pairs += [(text, *pair) for pair in zip(a, b, strict=True)]
                all_costs.append(cost + costs[a] + costs[b])
                for known, v in zip(all_values, values, strict=True):
                    known.append(function(v[a], v[b]))
        self.costs = np.concatenate(all_costs)
        self.values = [np.concatenate(known) for known in all_values]

    def name(self, index: int) -> str:
        """Return the name of a term."""
        if index < len(self.atoms):
            return self.atoms[index]
        text, a, b = self._pairs[index - len(self.atoms)]
        return text.format(_inner(self.atoms[a]), _inner(self.atoms[b]))


class _Coefficients:
    """Products and quotients of the numbers of each case, that a term may be multiplied by."""

    def __init__(self, numbers: Sequence[Mapping[str, float]]) -> None:
        found: dict[tuple[str, str], Array] = {("", ""): np.ones(len(numbers))}
        powers: dict[tuple[str, str], Array] = {}
        for name in numbers[0]:
            s = np.array([float(n[name]) for n in numbers])
            other = (f"({name} - 1)", s - 1) if (s >= 1).all() else (f"(1 - {name})", 1 - s)
            for text, value in ((name, s), other, (f"{name}**2", s * s), (f"(1 + {name})", 1 + s),
                                (f"sqrt({name})", np.sqrt(np.abs(s)))):  # fmt: skip
                if value.all():
                    powers[text, ""], powers["", text] = value, 1 / value
        found |= powers
        for ((a, b), x), ((c, d), y) in itertools.combinations(powers.items(), 2):
            if {a, b}.isdisjoint({c, d} - {""}):
                top, bottom = (" * ".join(filter(None, names)) for names in ((a, c), (b, d)))
                found.setdefault((top, bottom), x * y)
        self.names, self.values = [*found], np.array([*found.values()])

    def match(self, values: Array, rtol: float = _RTOL) -> list[tuple[float, int, int, float]]:
        """Return costs, rows of values, coefficients, and constants of their ratio."""
        found = []
        known = self.values if values.shape[1] > 1 else self.values[:1]
        usable = np.flatnonzero(np.isfinite(values).all(axis=1) & values.all(axis=1))
        order, ends = np.arange(len(usable)), np.tile([0, len(usable)], (len(known), 1))
        if known.shape[1] > 1:  # only terms whose first two values have the correct ratio
            shapes = values[usable, 1] / values[usable, 0]
            order = np.argsort(shapes)
            target = (known[:, 1] / known[:, 0])[:, None] * [1 - 3 * rtol, 1 + 3 * rtol]
            ends = np.searchsorted(shapes[order], np.sort(target, axis=1))
        for e in np.flatnonzero(ends[:, 0] < ends[:, 1]):
            near, expression = order[slice(*ends[e])], known[e]
            ratios = values[usable[near]] / expression
            constants = np.median(ratios, axis=1)
            close = (np.abs(ratios / constants[:, None] - 1) < rtol).all(axis=1)
            for i, constant in zip(usable[near[close]], constants[close], strict=True):
                size = float(f"{constant:.{3 if rtol < 5e-4 else 2}g}")
                if size and abs(size / constant - 1) < rtol:
                    odd = (abs(size) not in (1, 2, 0.5)) + 0.1 * (size < 0)
                    found.append((0.05 * e + odd, int(i), int(e), size))
        return found


def _product(term: str, top: str, bottom: str, constant: float) -> str:
    """Return the text of a term with its coefficient."""
    size = abs(constant)
    inverse = size < 1 and float(f"{1 / size:.3g}").is_integer() and len(f"{size:g}") > 6
    factors = [*([f"{size:g}"] if size != 1 and not inverse else []), *filter(None, [top])]
    if term != "1" or not factors:
        factors.append(_inner(term) if factors or bottom or inverse else term)
    divisors = [*([f"{1 / size:g}"] if inverse else []), *filter(None, [bottom])]
    text = " * ".join(factors)
    for divisor in divisors:
        text += f" / {_inner(divisor)}" if " " in divisor and not divisor.startswith("(") else f" / {divisor}"
    return text


def _is_equal(a: Array, b: Array) -> bool:
    scale = np.abs(b[np.isfinite(b)]).max(initial=0)
    return bool(np.allclose(a, b, _RTOL, 0.1 * _RTOL * scale))


class Formulas:
    """Formulas of results that are arrays, in several cases."""

    def __init__(self, quantities: Sequence[Quantities], shapes: Sequence[tuple[int, ...]]) -> None:
        with np.errstate(all="ignore"):
            self.terms = _Terms(quantities, shapes)
        self.numbers = _numbers(quantities)
        self._known: dict[tuple[int, ...], _Coefficients] = {}

    def find(
        self,
        given: Sequence[Array],
        masks: Sequence[Array] | None = None,
        parts: Sequence[int] = (),
    ) -> tuple[str, list[int]]:
        """Return the simplest formula of a result, and its terms; `parts` are probable terms."""
        values = self.terms.values
        if masks is not None:
            values = [v[:, m.ravel()] for v, m in zip(values, masks, strict=True)]
            given = [a[m] for a, m in zip(given, masks, strict=True)]
        given = [a.ravel() for a in given]
        if not any(a.any() for a in given):
            return "0", []
        count = len(self.terms.atoms)
        simple = np.flatnonzero((self.terms.costs < 4) | (np.arange(len(values[0])) < count))
        with np.errstate(all="ignore"):
            for size in range(4):
                for base in itertools.combinations(parts, size):
                    if (found := self._extend(given, values, [*base]))[0]:
                        return found
                for i in simple[simple < count] if size == 1 else ():
                    if (found := self._extend(given, values, [int(i)], simple))[0]:
                        return found
        return "", []

    def _extend(
        self,
        given: Sequence[Array],
        values: Sequence[Array],
        base: list[int],
        among: Array | None = None,
    ) -> tuple[str, list[int]]:
        """Add one term to a base, with coefficients that are named."""
        solved = [
            k
            for k, (a, v) in enumerate(zip(given, values, strict=True))
            if a.size > len(base) + 1 and _rest(a, v[base])
        ]
        solved.sort(key=lambda k: -given[k].size)
        if not solved or given[solved[0]].size < len(base) + 3:
            return "", []
        left = np.arange(len(values[0])) if among is None else among
        for k in solved:
            left, _ = self._fitting(given[k], values[k], base, left)
        if not left.size:
            return "", []
        left = left[np.argsort(self.terms.costs[left], kind="stable")][:2000]
        factors = np.array([self._fitting(given[k], values[k], base, left, True)[1] for k in solved])
        candidates = [
            (self.terms.costs[left[i]] + cost, int(left[i]))
            for cost, i, _, _ in self._coefficients(solved).match(factors.T)
        ]
        for _, i in sorted(candidates)[:10]:
            if found := self._verify(given, values, [*base, i], solved):
                return found, [*base, i]
        return "", []

    def _fitting(
        self, a: Array, terms: Array, base: list[int], among: Array, every: bool = False
    ) -> tuple[Array, Array]:
        """Return the terms that explain a result together with a base, and their factors."""
        scale, terms, basis = np.abs(a).max(), terms[among], terms[base]
        usable = np.isfinite(terms).all(axis=1)
        terms = np.where(usable[:, None], terms, 0)
        before = np.einsum("ij,ij->i", terms, terms)
        if base:
            if not np.isfinite(basis).all():
                return among[:0], among[:0]
            q, sizes, _ = np.linalg.svd(basis.T, full_matrices=False)
            q = q[:, sizes > 1e-9 * sizes.max(initial=0)]
            terms, a = terms - terms @ q @ q.T, a - q @ (q.T @ a)
        norms = np.einsum("ij,ij->i", terms, terms)
        usable &= norms > 1e-9 * before
        factors = np.where(usable, terms @ a / np.where(usable, norms, 1), 0)
        error = np.abs(a - factors[:, None] * terms).max(axis=1)
        fits = every | (usable & (error < 3e-5 * scale))
        return among[fits], factors[fits]

    def _coefficients(self, cases: Sequence[int]) -> _Coefficients:
        key = tuple(cases)
        if key not in self._known:
            self._known[key] = _Coefficients([self.numbers[k] for k in cases])
        return self._known[key]

    def _verify(
        self, given: Sequence[Array], values: Sequence[Array], chosen: list[int], solved: list[int]
    ) -> str:
        """Return the formula with its coefficients, if it is equal to the result in all cases."""
        matrices = [v[chosen].T for v in values]
        solved = [k for k in solved if matrices[k].any(axis=0).all()]
        if not solved:
            return ""
        fits = [np.linalg.lstsq(matrices[k], given[k], rcond=None)[0] for k in solved]
        every = self._coefficients(range(len(given)))
        results, texts = [np.zeros(a.shape) for a in given], []
        for column, term in enumerate(chosen):
            exact = [  # cases in which the coefficient is not lost in rounding errors
                (k, fit[column])
                for k, fit in zip(solved, fits, strict=True)
                if np.abs(fit[column] * matrices[k][:, column]).max() > 3e-3 * np.abs(given[k]).max()
            ]
            known = self._coefficients([k for k, _ in exact]) if exact else None
            options = known.match(np.array([[c for _, c in exact]])) if known else []
            if not options or not known:
                return ""
            _, _, e, constant = min(options)
            name = known.names[e]
            for k, value in enumerate(constant * every.values[every.names.index(name)]):
                results[k] += value * matrices[k][:, column]
            texts.append((constant < 0, _product(self.terms.name(term), *name, constant)))
        texts.sort(key=lambda text: text[0])
        text = "".join((" - " if minus else " + ") + t for minus, t in texts)
        text = text[3:] if text.startswith(" + ") else f"-{text[3:]}"
        return text if all(map(_is_equal, results, given)) else ""


def _rest(a: Array, basis: Array) -> bool:
    """Return whether a base does not explain a result completely."""
    if len(basis) and np.isfinite(basis).all():
        a = a - basis.T @ np.linalg.lstsq(basis.T, a, rcond=None)[0]
        return bool(np.abs(a).max() > 1e-5 * np.abs(basis).max())
    return bool(a.any())


def _numbers(quantities: Sequence[Quantities]) -> list[dict[str, float]]:
    names = [n for n in quantities[0] if all(np.ndim(q[n]) == 0 for q in quantities)]
    return [{n: float(q[n]) for n in names} for q in quantities]


#: Reductions of the elements of a case to a number.
_NUMBERS: Mapping[str, Callable[[Array], Array]] = {
    "mean({})": lambda v: v.mean(axis=1),
    "sum({})": lambda v: v.sum(axis=1),
    "max({})": lambda v: v.max(axis=1),
    "min({})": lambda v: v.min(axis=1),
    "prod({})": lambda v: v.prod(axis=1),
    "{} of the first example": lambda v: v[:, 0],
    "{} of the last example": lambda v: v[:, -1],
    "median({})": lambda v: np.median(v, axis=1),
}


def find_number(given: Array, quantities: Sequence[Quantities], rtol: float = _RTOL) -> str:
    """Return the simplest formula of a result that is one number in each case."""
    if len(given) < 4 or not np.isfinite(given).all() or len({*given.tolist()}) < 3:
        return ""
    known, best = _Coefficients(_numbers(quantities)), (math.inf, "")
    shapes = {np.ndim(q): n for n, q in quantities[0].items() if np.ndim(q)}
    with np.errstate(all="ignore"):
        if not shapes:
            for text, power in (("{}", given), ("sqrt({})", given**2)):
                found = known.match(power[None], rtol)
                if found and (text == "{}" or (given > 0).all()):
                    _, _, e, constant = min(found)
                    body = _product("1", *known.names[e], constant)
                    return text.format(f"-{body}" if constant < 0 else body)
            return ""
        for name in shapes.values():
            terms = _Terms(quantities, [np.shape(q[name]) for q in quantities], 4)
            for n, (text, reduce) in enumerate(_NUMBERS.items()):
                numbers = np.array([reduce(v) for v in terms.values]).T
                for outer, (extra, function) in _OUTER.items():
                    for cost, i, e, constant in known.match(given / function(numbers), rtol):
                        total = cost + extra + terms.costs[i] + n
                        if total < best[0]:
                            term = terms.name(i)
                            inside = term[1:-1] if re.fullmatch(r"\([^()]*\)", term) else term
                            body = outer.format(text.format(inside))
                            sign = "-" if constant < 0 else ""
                            best = total, sign + _product(body, *known.names[e], constant)
    return best[1]
