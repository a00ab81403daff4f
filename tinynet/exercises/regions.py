"""Regions in which a result is wrong, such as negative values of an argument."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tinynet.functional import Array


def differ(a: Array, b: Array) -> Array:
    """Return which elements of a result are wrong."""
    return np.logical_not(np.isclose(a, b, 1e-4, 1e-5 * np.abs(b).max(initial=0)))


def regions(
    quantities: Sequence[Mapping[str, Any]],
    expected: Sequence[Array],
    wrong: Sequence[Array],
    name: str,
    same: Sequence[Array] | None = None,
) -> Iterator[str]:
    """Yield conditions that hold for the wrong elements of all cases, and for no others.

    Examples are "where x < 0" and "in the last row". The elements `same` may be in a region, too:
    its wrong value is equal to the correct one there.
    """
    flat = np.concatenate([w.ravel() for w in wrong])
    count = np.count_nonzero(flat)
    if count < 3 or len(flat) < 1.05 * count + 2:
        return
    values = _values(quantities, expected)
    if same is None:
        same = [b == 0 for b in expected]
    ignored = np.concatenate([s.ravel() for s in same]) & ~flat
    for label, arrays in (*values.items(), (f"the correct {name}", [*expected])):
        if condition := _interval(label, _flat(arrays), flat, flat[:0]):
            yield f"where {condition}"
    for axis in range(expected[0].ndim):
        word = ("row", "column")[axis] if expected[0].ndim > 1 else "element"
        first = [np.indices(b.shape)[axis] for b in expected]
        last = [i - b.shape[axis] for b, i in zip(expected, first, strict=True)]
        places = {"< 0.5": "in the first", "> 0": "except in the first",
                  "> -1.5": "in the last", "< -1.5": "except in the last"}  # fmt: skip
        found = [_interval("", _flat(n), flat, ignored).strip() for n in (first, last)]
        odd = _interval("", _flat(first) % 2, flat, ignored).strip()
        if known := [places[condition] for condition in found if condition in places]:
            yield f"{known[0]} {word}"
        elif found[0]:
            yield f"where n {found[0]} for the {word} number n, counted from 0"
        if odd:
            yield f"in every second {word}"
    signs = [(n, v) for n, v in values.items() if all(a.all() for a in v)]
    for (a, x), (b, y) in itertools.combinations(signs, 2):
        for i, j in itertools.product((1, -1), repeat=2):
            if np.array_equal((i * _flat(x) > 0) & (j * _flat(y) > 0), flat):
                yield f"where {a} {'<>'[i > 0]} 0 and {b} {'<>'[j > 0]} 0"


def _flat(arrays: Sequence[Array]) -> Array:
    return np.concatenate([a.ravel() for a in arrays])


def _values(
    quantities: Sequence[Mapping[str, Any]], expected: Sequence[Array]
) -> dict[str, list[Array]]:
    """Return the quantities with the shape of the result, and the minima of their rows."""
    found = {}
    for label in quantities[0]:
        arrays = [np.asarray(q[label], np.float64) for q in quantities]
        if all(fits(v, b.shape) for v, b in zip(arrays, expected, strict=True)):
            arrays = [np.broadcast_to(v, b.shape) for v, b in zip(arrays, expected, strict=True)]
            found[label] = arrays
            if arrays[0].ndim == 2:
                found[f"{label}.min(axis=1)"] = [v.min(axis=1)[:, None] + 0 * v for v in arrays]
    return found


def fits(a: Array, shape: tuple[int, ...]) -> bool:
    """Return whether an array can be broadcast to a shape."""
    sizes = zip(a.shape[::-1], shape[::-1], strict=False)
    return a.ndim <= len(shape) and bool(a.ndim) and all(i in (1, j) for i, j in sizes)


def _interval(label: str, q: Array, wrong: Array, ignored: Array) -> str:
    """Return the interval of a quantity that contains the wrong elements, and no others."""
    inside, outside = q[wrong], q[~wrong & ~ignored] if ignored.size else q[~wrong]
    low, high = inside.min(), inside.max()
    below, above = outside[outside < low], outside[outside > high]
    if not outside.size or len(below) + len(above) < len(outside):
        return ""
    if len({*q}) == 2:
        return f"{label} is {low:g}"
    ends = []
    for sign, others, at in ((">", below, low), ("<", above, high)):
        if len(others):
            bound = _between(others.max() if sign == ">" else others.min(), at)
            if len(others) < 5 and bound != "0" and not ignored.size:
                return ""
            ends.append(f"{label} {sign} {bound}")
    return " and ".join(ends)


def _between(outside: float, inside: float) -> str:
    """Return the shortest number between two others, which may be that outside."""
    if outside <= 0 < inside or inside < 0 <= outside:
        return "0"
    for digits in range(-6, 8):
        number = round((outside + inside) / 2, digits)
        if outside < number < inside or inside < number < outside:
            return f"{number:g}"
    return f"{inside:.3g}"


def clipped(given: Sequence[Array], expected: Sequence[Array]) -> str:
    """Return the bounds to which correct values are clipped."""
    low, high = min(a.min() for a in given), max(a.max() for a in given)
    counts = [sum(np.count_nonzero(a == bound) for a in given) for bound in (low, high)]
    bounds = [b if n > 1 else None for b, n in zip((low, high), counts, strict=True)]
    if bounds == [None, None] or low == high:
        return ""
    if any(differ(a, np.clip(b, *bounds)).any() for a, b in zip(given, expected, strict=True)):
        return ""
    texts = zip(("at least", "at most"), bounds, strict=True)
    return f"clipped to {' and '.join(f'{word} {b:.4g}' for word, b in texts if b is not None)}"
