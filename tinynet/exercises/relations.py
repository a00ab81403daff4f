"""Relations of a wrong result to the correct one, such as its negative or a multiple."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinynet.functional import Array


def is_close(a: Any, b: Any, rtol: float = 1e-4) -> bool:
    """Return whether arrays are equal up to rounding errors, also where they are not finite."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        return False
    finite = np.abs(b[np.isfinite(b)])
    return np.allclose(a, b, rtol, 0.1 * rtol * finite.max(initial=0), equal_nan=True)


def _quantities(args: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield known quantities that a result may be multiplied or divided by."""
    for name, value in args.items():
        if isinstance(value, np.ndarray):
            for axis, size in enumerate(value.shape):
                yield f"the number of {('rows', 'columns')[axis > 0]} of {name}", size
            yield f"the number of elements of {name}", value.size
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value
            yield f"1 - {name}", 1 - value
    yield "2", 2
    yield "the logarithm of 2", math.log(2)
    yield "the logarithm of 10", math.log(10)


_REDUCTIONS: tuple[tuple[Any, str], ...] = ((np.mean, "mean"), (np.sum, "sum"), (np.max, "maximum"))


def relations(a: Array, b: Array, args: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield relations of a given value to the correct one: a label, and a message."""
    if b.ndim == 2 and a.shape == b.T.shape and is_close(a, b.T):
        yield "transposed", "is transposed"
    if a.shape != b.shape:
        if a.size == b.size and is_close(a.reshape(b.shape), b):
            yield "shape", f"has the correct values, but the shape {a.shape} instead of {b.shape}"
        elif a.ndim == b.ndim and a.shape[1:] == b.shape[1:] and is_close(a, b[: len(a)]):
            yield "rows", f"has only {len(a)} of {len(b)} rows: return the result after the loop"
        if a.ndim == 1 and b.ndim > 1 and is_close(a, b[b != 0]):
            yield (
                "nonzero",
                "has only the elements that are not 0: a boolean index drops the others",
            )
        for reduce, word in _REDUCTIONS if a.size and b.size else ():
            if b.ndim == 0 and a.ndim and is_close(reduce(a), b):
                yield word, f"is not reduced to a number: the {word} of all elements is missing"
            if b.ndim and not a.ndim and is_close(a, reduce(b)):
                yield f"total {word}", f"is the {word} over all elements of the correct values"
            for axis in range(b.ndim):
                if any(
                    a.shape == r.shape and is_close(a, r)
                    for r in (reduce(b, axis), reduce(b, axis, keepdims=True))
                ):
                    yield f"{word} {axis}", f"is the {word} over axis {axis} of the correct values"
        for where, index in (("first", 0), ("last", -1)):
            if b.ndim and a.shape == b[index].shape and is_close(a, b[index]):
                yield where, f"has only the {where} row"
        return
    if a.dtype == bool or b.dtype == bool or not np.isfinite([a, b]).all() or not a.size:
        return
    arrays = {name: value for name, value in args.items() if isinstance(value, np.ndarray)}
    for name, value in arrays.items():
        if value.shape == a.shape and is_close(a, value):
            yield f"equal to {name}", f"is equal to the argument {name}"
    if not a.any():
        yield "zero", "is 0 everywhere" if a.ndim else "is always 0"
    if is_close(a, -b):
        yield "sign", "has the wrong sign"
    yield from _factors(a, b, args)
    for label, wrong, text in (
        ("integer", np.trunc(b), "is rounded to integers: create the result with a float dtype"),
        *((f"{d}", np.round(b, d), f"is rounded to {d} decimals") for d in range(not a.ndim, 4)),
        ("square", b * b, "is squared: the square root is missing"),
        ("root", np.sqrt(np.abs(b)), "is the square root of the correct value"),
    ):
        if is_close(a, wrong):
            yield label, text
    if is_close(np.abs(a), np.abs(b)):
        yield "some signs", "has the wrong sign in some elements"
    if (offset := float(np.median(a - b))) and is_close(a - offset, b):
        size = "large" if offset > 0 else "small"
        each = ", in every element" if a.ndim else ""
        yield f"offset {offset:.2g}", f"is too {size} by {abs(offset):.4g}{each}"


def parts(a: Array, b: Array, args: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield which part of a given value is wrong: a label, and a message."""
    if a.shape != b.shape or not np.isfinite([a, b]).all() or not a.size or b.dtype == bool:
        return
    yield from _factors(a, b, {}, is_known=False)
    if a.ndim and a.size > 3 and is_close(np.sort(a, None), np.sort(b, None)):
        yield "order", "has the correct values, but in another order"
    for axis in range(a.ndim):
        lines = np.sum(a * b, axis, keepdims=True) / np.sum(b * b, axis, keepdims=True)
        if a.ndim == 2 and min(a.shape) > 1 and is_close(a, lines * b):
            word = ("column", "row")[axis]
            shown = ", ".join(f"{f:.3g}" for f in lines.flat[:2])
            yield f"{word}s", f"has {word}s that are wrong by a factor, which differs: {shown}, ..."
    if is_close(a, b, 5e-2):
        error = np.abs(a - b).max() / np.abs(b).max()
        cause = ", such as that of a small number that is added, or of float16 or float32"
        cause *= bool(error < 2e-3)
        yield "accuracy", f"is nearly correct: the relative error is {error:.1g}{cause}"


def _factors(
    a: Array, b: Array, args: Mapping[str, Any], is_known: bool = True
) -> Iterator[tuple[str, str]]:
    """Yield constant factors between a given value and the correct one."""
    used = np.abs(b) > 0.1 * np.abs(b).max()
    factor = float(np.median(a[used] / b[used])) if used.any() else 0.0
    if not factor or not is_close(a, factor * b) or is_close(abs(factor), 1.0):
        return
    large = abs(factor) > 1
    times = abs(factor) if large else 1 / abs(factor)
    element = "every element of it is" if a.size > 1 else "it is"
    sign = ", and has the wrong sign" if factor < 0 else ""
    text = f"is wrong: {element} {times:.4g} times too {'large' if large else 'small'}{sign}"
    for what, size in _quantities(args):
        for value in (size, 1 / size if size else 0.0):
            if is_close(abs(factor), value):
                shown = times if is_close(times, size) else size
                named = "" if what == "2" else f" ({shown:.4g} is {what})"
                yield f"{factor > 0} {large} {what}", text + named
    if not is_known:
        yield f"factor {factor:.3g}", text
        if a.size > 2:
            yield "factors", f"{text}, and by another factor in other cases"
