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
    "cumsum({}, axis=1)": (3, lambda x: x.cumsum(axis=-1)),
    "{}[:, :1]": (3, lambda x: x[..., :1]),
    "({} == {}.max(axis=1))": (3, lambda x: x == x.max(axis=-1, keepdims=True)),
    "maximum({}, 0)": (1, lambda x: np.maximum(x, 0)),
    "minimum({}, 0)": (1, lambda x: np.minimum(x, 0)),
    "log(1 + {})": (3, np.log1p),
    "(exp({}) - 1)": (3, np.expm1),
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
    "({} * {} > 0)": (2, lambda x, y: x * y > 0),
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
    depth, outside = 0, []
    for character in name:
        depth -= character == ")"
        outside.append(character * (depth == 0))
        depth += character == "("
    return f"({name})" if " " in "".join(outside) else name


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
            is_call = "({})" in text or "({}," in text
            term, changed = text.format(*2 * [name if is_call else _inner(name)]), function(value)
            add(term, 1 + cost, changed)
            if len(shape) == 2 and changed.shape == shape and cost < 4:
                rows = changed.sum(axis=1, keepdims=True)
                add(f"{_inner(term)} / {_inner(term)}.sum(axis=1)", 3 + cost, changed / rows)
        if value.shape == shape and len(shape) == 2:
            rows = value.sum(axis=1, keepdims=True)
            add(f"{_inner(name)} / {_inner(name)}.sum(axis=1)", 3, value / rows)
        for (word, reduce), power in itertools.product(_REDUCTIONS.items(), (1, 2)):
            if power == 2 and word not in ("sum", "mean"):
                continue
            total = f"{_inner(name)}.{word}" if power == 1 else f"({_inner(name)}**2).{word}"
            if len(shape):
                add(f"{total}()", 4, reduce(value**power))
            if value.ndim == 2:
                rows = reduce(value**power, axis=1, keepdims=True)
                add(f"{total}(axis=0)", 3, reduce(value**power, axis=0))
                add(f"{total}(axis=1)", 3 + (len(shape) == 1), rows if len(shape) > 1 else rows[:, 0])
                if word == "sum" and power == 1:
                    add(f"(1 + {total}(axis=1))", 3, 1 + rows)
                    add(f"({total}(axis=1) - 1)", 3, rows - 1)
    matrices = [(f"{_inner(n)}{t}", m, c) for n, x in arrays.items() if x.ndim == 2
                for t, m, c in (("", x, 1), (".T", x.T, 1), ("**2", x * x, 2))]  # fmt: skip
    for (a, x, i), (b, y, j) in itertools.product(matrices, repeat=2) if len(shape) == 2 else ():
        if x.shape[1] == y.shape[0]:
            add(f"{a} @ {b}", i + j, x @ y)
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
                                (f"sqrt({name})", np.sqrt(np.abs(s))),
                                (f"log({name})", np.log(np.where(s > 1, s, 1)))):  # fmt: skip
                if value.all() and np.isfinite(value).all():
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
        text += f" / {_inner(divisor)}"
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
        only: int = 0,
        quick: bool = False,
    ) -> tuple[str, list[int]]:
        """Return the simplest formula of a result, and its terms; `parts` are probable terms.

        `only` is the largest cost of a formula of one term, if not 0. `quick` is a search with
        probable terms and one other.
        """
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
            if only:
                return self._extend(given, values, [], np.flatnonzero(self.terms.costs <= only))
            for size in range(4):
                for base in itertools.combinations(parts, size):
                    if (found := self._extend(given, values, [*base]))[0]:
                        return found
                if quick:
                    continue
                for i in simple[simple < count] if size == 1 else ():
                    among = None if self.terms.costs[i] == 1 else simple
                    if (found := self._extend(given, values, [int(i)], among))[0]:
                        return found
                cheap = [i for i in range(count) if self.terms.costs[i] == 1 and i not in parts]
                for base in itertools.combinations(cheap[:4], 2) if size == 2 else ():
                    if (found := self._extend(given, values, [*base]))[0]:
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
        parts = []  # of each case: a sample of the elements, without the part that the base explains
        for k, a in enumerate(given):
            sample = slice(None, None, max(1, a.size // 40))
            terms, a = values[k][:, sample], a[sample]
            q, scale = _basis(terms[base]), np.abs(a).max(initial=0)
            rest = a - q @ (q.T @ a)
            if a.size > len(base) + 1 and np.abs(rest).max() > 1e-5 * scale:
                parts.append((k, rest, scale, terms, q))
        parts.sort(key=lambda part: -part[1].size)
        if not parts or parts[0][1].size < len(base) + 3:
            return "", []
        left = np.arange(len(values[0])) if among is None else among
        for _, *part in parts:
            left = left[_fitting(*part, left)[0]]
            if not left.size:
                return "", []
        left = left[np.argsort(self.terms.costs[left], kind="stable")][:2000]
        factors = np.array([_fitting(*part, left)[1] for _, *part in parts])
        solved = [k for k, *_ in parts]
        candidates = [
            (self.terms.costs[left[i]] + cost, int(left[i]))
            for cost, i, _, _ in self._coefficients(solved).match(factors.T)
        ]
        for _, i in sorted(candidates)[:10]:
            if found := self._verify(given, values, [*base, i], solved):
                return found, [*base, i]
        return "", []

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
            if not exact:
                return ""
            known = self._coefficients([k for k, _ in exact])
            factors, one = np.array([[c for _, c in exact]]), 0
            options = known.match(factors)
            if not options and len(exact) > 1:  # such as 1 - 0.01 * learning_rate
                options, one = known.match(1 - factors, 1e-2), 1
            if not options:
                return ""
            _, _, e, constant = min(options)
            name = known.names[e]
            if one:
                extra = _product("1", *name, abs(constant))
                text = f"(1 {'+-'[constant > 0]} {extra})"
                for k in range(len(given)):
                    value = 1 - constant * every.values[every.names.index(name)][k]
                    results[k] += value * matrices[k][:, column]
                texts.append((False, _product(self.terms.name(term), text, "", 1.0)))
                continue
            for k, value in enumerate(constant * every.values[every.names.index(name)]):
                results[k] += value * matrices[k][:, column]
            texts.append((constant < 0, _product(self.terms.name(term), *name, constant)))
        texts.sort(key=lambda text: text[0])
        text = "".join((" - " if minus else " + ") + t for minus, t in texts)
        text = text[3:] if text.startswith(" + ") else f"-{text[3:]}"
        return text if all(map(_is_equal, results, given)) else ""


def _basis(terms: Array) -> Array:
    """Return an orthonormal basis of terms, as columns."""
    if not len(terms) or not np.isfinite(terms).all():
        return np.zeros((terms.shape[1], 0))
    q, sizes, _ = np.linalg.svd(terms.T, full_matrices=False)
    return q[:, sizes > 1e-9 * sizes.max(initial=0)]


def _fitting(
    rest: Array, scale: float, terms: Array, basis: Array, among: Array
) -> tuple[Array, Array]:
    """Return which terms explain the rest of a result, and their factors."""
    terms = terms[among]
    usable = np.isfinite(terms).all(axis=1)
    terms = np.where(usable[:, None], terms, 0)
    before = np.einsum("ij,ij->i", terms, terms)
    if basis.size:
        terms = terms - terms @ basis @ basis.T
    norms = np.einsum("ij,ij->i", terms, terms)
    usable &= norms > 1e-9 * before
    factors = np.where(usable, terms @ rest / np.where(usable, norms, 1), 0)
    error = np.abs(rest - factors[:, None] * terms).max(axis=1)
    return usable & (error < 3e-5 * scale), factors


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
    "mean({}) without the first example": lambda v: v[:, 1:].mean(axis=1),
    "mean({}) without the last example": lambda v: v[:, :-1].mean(axis=1),
}


def find_number(given: Array, quantities: Sequence[Quantities], rtol: float = _RTOL) -> str:
    """Return the simplest formula of a result that is one number in each case."""
    if len(given) < 4 or not np.isfinite(given).all():
        return ""
    if np.ptp(given) <= rtol * np.abs(given).max():
        return f"{given[0]:.4g}"
    if len({*given.tolist()}) < 3:
        return ""
    known, best = _Coefficients(_numbers(quantities)), (math.inf, "")
    shapes = {np.ndim(q): n for n, q in quantities[0].items() if np.ndim(q)}
    with np.errstate(all="ignore"):
        if not shapes:
            inverses = {"{}": given, "sqrt({})": given**2, "1 - {}": 1 - given, "log({})": np.exp(given)}
            inverses |= {"log10({})": 10**given, "exp({})": np.log(given)}
            for text, power in inverses.items():
                found = known.match(power[None], rtol)
                if found and (text != "sqrt({})" or (given > 0).all()):
                    _, _, e, constant = min(found)
                    body = _product("1", *known.names[e], constant)
                    found_text = text.format(f"-{body}" if constant < 0 else body)
                    found_text = re.sub(r"^1 - \(1 - (\w+)\)$", r"\1", found_text)
                    return found_text.replace("1 - -", "1 + ")
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
                            inside = term[1:-1] if term[0] == "(" and _inner(term[1:-1]) == term else term
                            body = outer.format(text.format(inside))
                            sign = "-" if constant < 0 else ""
                            best = total, sign + _product(body, *known.names[e], constant)
    return best[1]
