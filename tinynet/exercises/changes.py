"""Changes of an argument, as in an answer that uses another value instead of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from tinynet.functional import Array

Change = Callable[[Any], Any]


def _norm(x: Array, **axis: Any) -> Array:
    return np.sqrt(np.sum(x * x, **axis))


def _largest(x: Array, **axis: Any) -> Any:
    return np.abs(x).max(**axis)


def _row_by_row(x: Array, center: Callable[..., Any], size: Callable[..., Any]) -> Array:
    axis = {"axis": -1, "keepdims": True}
    return (x - center(x, **axis)) / size(x, **axis)


def _of_numbers() -> Iterator[tuple[str, Change]]:
    """Yield changes of numbers and arrays, by description."""
    found: dict[str, Change] = {
        "minus {}": np.negative,
        "the absolute value of {}": np.abs,
        "the square of {}": np.square,
        "the square root of {}": lambda x: np.sqrt(np.abs(x)),
        "exp({})": np.exp,
        "1 - {}": lambda x: 1 - x,
        "1 / {}": lambda x: 1 / x,
        "{} - 1": lambda x: x - 1,
        "2 * {}": lambda x: 2 * x,
        "10 * {}": lambda x: 10 * x,
        "half of {}": lambda x: x / 2,
        "{} / 10": lambda x: x / 10,
        "{} converted to integers": np.trunc,
        "{} without its fractional part": lambda x: x - np.trunc(x),
    }
    yield from found.items()
    for size in (1, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6):
        yield f"{{}} + {size}", partial(np.add, size)


def _without(x: Array, column: int) -> Array:
    """Replace a column by numbers that are less than all others."""
    changed = x.copy()
    changed[..., column] = x.min() - 1
    return changed


def _of_arrays() -> Iterator[tuple[str, Change]]:
    """Yield changes of arrays, by description."""
    found: dict[str, Change] = {
        "the sign of {}": np.sign,
        "the positive part of {}": lambda x: np.maximum(x, 0),
        "the sum of {} over all elements": np.sum,
        "the mean of {} over all elements": np.mean,
        "the sum of {} over axis 0": lambda x: x.sum(axis=0),
        "the mean of {} over axis 0": lambda x: x.mean(axis=0),
        "the largest element of {}": np.max,
        "{} divided by its length": lambda x: x / len(x),
        "the first row of {}": lambda x: x[0],
        "the last row of {}": lambda x: x[-1],
        "{} without the first column": lambda x: _without(x, 0),
        "{} without the last column": lambda x: _without(x, -1),
        "{} divided by the number of columns": lambda x: x / x.shape[-1],
        "{} divided by the square root of the number of columns":
            lambda x: x / np.sqrt(x.shape[-1]),
        "{} in reversed order": lambda x: x[::-1],
        "{} with the columns in reversed order": lambda x: x[..., ::-1],
        "{} transposed": lambda x: x.T,
        "{} minus its mean": lambda x: x - x.mean(),
        "{} minus the mean of each row": lambda x: x - x.mean(axis=-1, keepdims=True),
        "{} minus the mean of each column": lambda x: x - x.mean(axis=0),
        "{} standardized in each row": partial(_row_by_row, center=np.mean, size=np.std),
        "{} scaled to the range from 0 to 1 in each row":
            partial(_row_by_row, center=np.min, size=np.ptp),
    }  # fmt: skip
    yield from found.items()
    for word, reduce in (("maximum", np.max), ("sum", np.sum), ("norm", _norm), ("mean", np.mean),
                         ("standard deviation", np.std), ("range", np.ptp),
                         ("largest absolute value", _largest)):  # fmt: skip
        change = partial(_row_by_row, center=lambda x, **axis: 0, size=reduce)
        yield f"{{}} divided by its {word}", partial(lambda reduce, x: x / reduce(x), reduce)
        yield f"{{}} divided by the {word} of each row", change
    for b in (1e-3, 0.01, 0.05, 0.1, 0.5, 1, 2, 3, 5, 6, 10, 20, 30, 50, 100, 500):
        for low in (b, -b):
            yield f"{{}} clipped to at least {low:g}", partial(np.maximum, low)
        for high in (b, 1 - b):
            yield f"{{}} clipped to at most {high:g}", partial(np.minimum, high)
        for low, high in ((-b, b), (0, b), *([(b, 1 - b)] if b < 0.5 else [])):
            text = f"{{}} clipped to the range from {low:g} to {high:g}"
            yield text, partial(np.clip, a_min=low, a_max=high)


def changes(value: Any) -> Iterator[tuple[str, Change]]:
    """Yield changes of an argument, by description."""
    if np.ndim(value) or isinstance(value, float):
        yield from _of_numbers() if np.asarray(value).dtype.kind == "f" else ()
    if np.ndim(value) and value.dtype.kind == "f":
        for text, change in _of_arrays():
            yield (text if np.ndim(value) > 1 else text.replace(" row of", " element of")), change


#: Constants that may be used instead of an argument.
CONSTANTS = (0, 1, 2, 10, 0.5, 0.9, 0.95, 0.99, 0.999, 0.1, 0.01, 0.001,
             1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10)  # fmt: skip
