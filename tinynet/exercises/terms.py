"""Terms of formulas: functions and products of known quantities, and their coefficients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tinynet.exercises.regions import fits
from tinynet.functional import Array

#: Arrays and numbers of a case, by name.
Quantities = Mapping[str, Any]
Function = Callable[..., Any]

#: Functions of a quantity, with costs: the simplest of several equal formulas is named.
FUNCTIONS: Mapping[str, tuple[int, Function]] = {
    "{}": (0, np.positive),
    "{}**2": (1, np.square),
    "({} > 0)": (1, lambda x: x > 0),
    "({} < 0)": (1, lambda x: x < 0),
    "abs({})": (1, np.abs),
    "maximum({}, 0)": (1, lambda x: np.maximum(x, 0)),
    "minimum({}, 0)": (1, lambda x: np.minimum(x, 0)),
    "(1 - {})": (1, lambda x: 1 - x),
    "({} - 1)": (1, lambda x: x - 1),
    "(1 + {})": (2, lambda x: 1 + x),
    "sign({})": (2, np.sign),
    "sqrt({})": (2, np.sqrt),
    "sqrt(abs({}))": (3, lambda x: np.sqrt(np.abs(x))),
    "exp({})": (2, np.exp),
    "exp(-{})": (2, lambda x: np.exp(-x)),
    "log({})": (2, np.log),
    "sigmoid({})": (2, lambda x: 1 / (1 + np.exp(-x))),
    "tanh({})": (2, np.tanh),
    "{}.T": (2, np.transpose),
    "(abs({}) < 1)": (2, lambda x: np.abs(x) < 1),
    "{}**3": (3, lambda x: x**3),
    "round({})": (3, np.round),
    "log(1 + {})": (3, np.log1p),
    "log(1 + exp({}))": (3, lambda x: np.logaddexp(0, x)),
    "(exp({}) - 1)": (3, np.expm1),
    "{}[::-1]": (3, lambda x: x[::-1]),
    "{}[0]": (3, lambda x: x[0]),
    "{}[-1]": (3, lambda x: x[-1]),
    "{}[:, :1]": (3, lambda x: x[..., :1]),
    "cumsum({})": (3, lambda x: x.cumsum(axis=0)),
    "cumsum({}, axis=1)": (3, lambda x: x.cumsum(axis=-1)),
    "({0} == {0}.max(axis=1))": (3, lambda x: x == x.max(axis=-1, keepdims=True)),
}
_REDUCTIONS: Mapping[str, Function] = {
    "{}.sum({})": np.sum,
    "{}.mean({})": np.mean,
    "{}.max({})": np.max,
    "{}.min({})": np.min,
    "{}.std({})": np.std,
    "{}.norm({})": lambda x, **axis: np.sqrt(np.sum(x * x, **axis)),
    "({}**2).sum({})": lambda x, **axis: np.sum(x * x, **axis),
    "({}**2).mean({})": lambda x, **axis: np.mean(x * x, **axis),
    "(1 + {}.sum({}))": lambda x, **axis: 1 + np.sum(x, **axis),
    "({}.sum({}) - 1)": lambda x, **axis: np.sum(x, **axis) - 1,
}
_OPERATIONS: Mapping[str, tuple[int, Function]] = {
    "{} * {}": (1, np.multiply),
    "{} / {}": (2, np.divide),
    "maximum({}, {})": (2, np.maximum),
    "minimum({}, {})": (2, np.minimum),
    "({} * {} > 0)": (2, lambda x, y: x * y > 0),
}


def enclosed(name: str) -> str:
    """Put the name of a sum or product in parentheses."""
    depth, outside = 0, ""
    for character in name:
        depth -= character == ")"
        outside += character * (depth == 0)
        depth += character == "("
    return f"({name})" if " " in outside else name


def bare(name: str) -> str:
    """Remove the outer parentheses of a name."""
    depth = [0, *itertools.accumulate((c == "(") - (c == ")") for c in name)]
    return name[1:-1] if name[0] == "(" and 0 not in depth[1:-1] else name


def _with_method(name: str) -> str:
    return name if name.isidentifier() or name.endswith(")") else f"({name})"


def _candidates(name: str, x: Array, ndim: int) -> Iterator[tuple[str, int, Any]]:
    """Yield functions of a quantity: names, costs and values."""
    for text, (cost, function) in FUNCTIONS.items():
        term = text.format(name if "({}" in text[1:] else enclosed(name))
        value = function(x)
        yield term, 1 + cost, value
        if ndim == value.ndim == 2:
            total = value.sum(axis=1, keepdims=True)
            sum_of_rows = f"{_with_method(enclosed(term))}.sum(axis=1)"
            yield f"{enclosed(term)} / {sum_of_rows}", 3 + cost, value / total
    for part, rows in (("[:-1]", x[:-1]), ("[1:]", x[1:])) if x.ndim == 2 else ():
        yield f"{enclosed(name)}{part}.sum(axis=0)", 4, rows.sum(axis=0)
    for text, reduce in _REDUCTIONS.items():
        cost = 3 + ("**2" in text)
        if ndim:
            yield text.format(enclosed(name), ""), 1 + cost, reduce(x)
        if x.ndim == 2:
            yield text.format(enclosed(name), "axis=0"), cost, reduce(x, axis=0)
            rows = reduce(x, axis=1, keepdims=ndim == 2)
            yield text.format(enclosed(name), "axis=1"), 2 + cost - ndim, rows


def _reordered(x: Array) -> Iterator[tuple[str, int, Array]]:
    yield "", 0, x
    yield " transposed", 1, x.T
    yield " reshaped, not transposed,", 2, x.reshape(x.shape[::-1])


def _atoms(quantities: Quantities, shape: tuple[int, ...]) -> dict[str, tuple[int, Array]]:
    """Return functions of one quantity with a shape, and matrix products, with their costs."""
    found = {"1": (0, np.ones(shape))}
    arrays = {n: np.asarray(q, np.float64) for n, q in quantities.items() if np.ndim(q)}
    matrices = [
        (f"{enclosed(n)}{t}", m, c)
        for n, x in arrays.items() if x.ndim == len(shape) == 2
        for t, m, c in (("", x, 1), (".T", x.T, 1), ("**2", x * x, 2),
                        (f".reshape({n}.T.shape)", x.reshape(x.shape[::-1]), 2))
    ]  # fmt: skip
    products = (
        (f"{a} @ {b}{text}", i + j + cost, value)
        for (a, x, i), (b, y, j) in itertools.product(matrices, repeat=2)
        if x.shape[1] == y.shape[0]
        for text, cost, value in _reordered(x @ y)
    )
    functions = (_candidates(name, x, len(shape)) for name, x in arrays.items())
    for name, cost, value in itertools.chain(*functions, products):
        is_new = cost < found.get(name, (math.inf,))[0]
        if is_new and (not np.ndim(value) or fits(value, shape)):
            found[name] = cost, np.broadcast_to(value, shape)
    return found


class Terms:
    """Functions of quantities, and products and quotients of two of them.

    `values` are those of the first `fitted` cases, with a row for each term; `column` returns those
    of any case. `costs` are those of the terms. The first terms are the `atoms`, functions of one
    quantity. `limit` is the largest cost of products.
    """

    def __init__(
        self,
        quantities: Sequence[Quantities],
        shapes: Sequence[tuple[int, ...]],
        limit: int = 6,
        fitted: int | None = None,
    ) -> None:
        cases = [_atoms(q, s) for q, s in zip(quantities, shapes, strict=True)]
        costs = {n: cost for n, (cost, _) in cases[0].items() if all(n in case for case in cases)}
        self.atoms = sorted(costs, key=lambda n: costs[n])
        cost = np.array([costs[n] for n in self.atoms])
        atoms = [np.array([case[n][1].ravel() for n in self.atoms]) for case in cases]
        self._atoms = atoms
        atoms = atoms[:fitted]
        is_number = np.array([n != "1" and "> 0" not in n and "< 0" not in n for n in self.atoms])
        self._pairs: list[tuple[str, int, int]] = []
        all_costs, all_values = [cost], [[v] for v in atoms]
        pairs = np.triu_indices(len(cost), 1)
        for text, (extra, function) in _OPERATIONS.items():
            for i, j in (pairs, pairs[::-1])[: 1 + ("/" in text)]:
                used = extra + cost[i] + cost[j] <= limit
                if text[0] != "{":  # nobody computes the minimum of two conditions
                    used &= is_number[i] & is_number[j]
                i, j = i[used], j[used]
                self._pairs += [(text, *pair) for pair in zip(i, j, strict=True)]
                all_costs.append(extra + cost[i] + cost[j])
                for values, v in zip(all_values, atoms, strict=True):
                    values.append(function(v[i], v[j]))
        self.costs = np.concatenate(all_costs)
        self.values = [np.concatenate(values) for values in all_values]

    def column(self, case: int, index: int) -> Array:
        """Return the values of a term in a case."""
        if index < len(self.atoms):
            return self._atoms[case][index]
        text, i, j = self._pairs[index - len(self.atoms)]
        with np.errstate(all="ignore"):
            return _OPERATIONS[text][1](self._atoms[case][i], self._atoms[case][j])

    def name(self, index: int) -> str:
        """Return the name of a term."""
        if index < len(self.atoms):
            return self.atoms[index]
        text, i, j = self._pairs[index - len(self.atoms)]
        return text.format(enclosed(self.atoms[i]), enclosed(self.atoms[j]))


def numbers_of(quantities: Sequence[Quantities]) -> list[dict[str, float]]:
    """Return the numbers of each case, such as the learning rate."""
    names = [n for n in quantities[0] if all(np.ndim(q[n]) == 0 for q in quantities)]
    return [{n: float(q[n]) for n in names} for q in quantities]


class Coefficients:
    """Functions of the numbers of each case, with their numerators and denominators as names."""

    def __init__(self, numbers: Sequence[Mapping[str, float]]) -> None:
        series = {n: np.array([case[n] for case in numbers]) for n in numbers[0]}
        powers: dict[tuple[str, str], Array] = {}
        for name, s in series.items():
            one = (f"({name} - 1)", s - 1) if (s >= 1).all() else (f"(1 - {name})", 1 - s)
            root, log = np.sqrt(np.abs(s)), np.log(np.maximum(s, 1))
            for text, value in ((name, s), one, (f"{name}**2", s * s), (f"(1 + {name})", 1 + s),
                                (f"sqrt({name})", root), (f"log({name})", log)):  # fmt: skip
                if value.all() and np.isfinite(value).all():
                    powers[text, ""], powers["", text] = value, 1 / value
        sums = {
            (f"({a} + {b})", ""): x + y
            for (a, x), (b, y) in itertools.combinations(series.items(), 2)
            if f"{a}{b}".isidentifier()
        }
        found = {("", ""): np.ones(len(numbers)), **powers}
        for ((a, b), x), ((c, d), y) in itertools.combinations(powers.items(), 2):
            if {a, b}.isdisjoint({c, d} - {""}):
                top, bottom = (" * ".join(filter(None, pair)) for pair in ((a, c), (b, d)))
                found.setdefault((top, bottom), x * y)
        found |= sums
        self.names, self.values = [*found], np.array([*found.values()])

    def match(self, values: Array, rtol: float) -> list[tuple[float, int, int, float]]:
        """Return the products of a constant and a coefficient that are equal to rows of values.

        These are tuples of the cost, the row, the coefficient and the constant.
        """
        known = self.values if values.shape[1] > 1 else self.values[:1]
        usable = np.flatnonzero(np.isfinite(values).all(axis=1) & values.all(axis=1))
        order, ends = np.arange(len(usable)), np.tile([0, len(usable)], (len(known), 1))
        if values.shape[1] > 1:  # only rows whose first two values have the correct ratio
            ratios = values[usable, 1] / values[usable, 0]
            order = np.argsort(ratios)
            target = (known[:, 1] / known[:, 0])[:, None] * [1 - 3 * rtol, 1 + 3 * rtol]
            ends = np.searchsorted(ratios[order], np.sort(target, axis=1))
        found = []
        for e in np.flatnonzero(ends[:, 0] < ends[:, 1]):
            near = usable[order[slice(*ends[e])]]
            ratios = values[near] / known[e]
            constants = np.median(ratios, axis=1)
            close = (np.abs(ratios / constants[:, None] - 1) < rtol).all(axis=1)
            for i, constant in zip(near[close], constants[close], strict=True):
                rounded = float(f"{constant:.{3 if rtol < 5e-4 else 2}g}")
                part = 1 / round(1 / constant) if abs(constant) < 0.5 else rounded
                size = rounded if abs(rounded / constant - 1) < rtol else part
                if size and abs(size / constant - 1) < rtol:
                    odd = (abs(size) not in (1, 2, 0.5)) + 0.1 * (size < 0)
                    found.append((float(0.05 * e + odd), int(i), int(e), size))
        return found

    def text(self, term: str, e: int, constant: float) -> str:
        """Return the text of a term with a coefficient and the size of a constant."""
        size, (top, bottom) = abs(constant), self.names[e]
        is_inverse = size < 1 and math.isclose(1 / size, round(1 / size)) and len(f"{size:g}") > 5
        factors = [f"{size:g}" * (size != 1 and not is_inverse), top]
        divisors = [f"{1 / size:g}" * is_inverse, bottom and enclosed(bottom)]
        if any(factors) and term == "1":
            term = ""
        elif any(factors + divisors):
            term = enclosed(term)
        return " / ".join([" * ".join(filter(None, [*factors, term])), *filter(None, divisors)])
