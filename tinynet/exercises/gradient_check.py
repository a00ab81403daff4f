"""Exercise about gradient checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.exercises.exercise import AnswerError, Caller, Case, Exercise, Values
from tinynet.functional import Array

Function = Callable[[Array], float]


def numeric_gradient(f: Function, x: Array, h: float = 1e-5) -> Array:
    """Approximate the gradient of a function by central differences."""
    numeric = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h
        numeric[index] = (f(x + step) - f(x - step)) / (2 * h)
    return numeric


def gradient_check(f: Function, x: Array, gradient: Array) -> float:
    """Return the relative error of a gradient, compared with central differences."""
    numeric = numeric_gradient(f, x)
    norm = np.linalg.norm
    return float(norm(numeric - gradient) / (norm(numeric) + norm(gradient)))


def _variant(
    f: Function,
    x: Array,
    gradient: Array,
    change: Callable[[Array], Array] = np.positive,
    error: Callable[[Array, Array], Any] | None = None,
    norm: Callable[[Array], Any] = lambda x: np.sqrt(np.sum(x * x)),
) -> Any:
    n = change(numeric_gradient(f, x))
    if error is None:
        return norm(n - gradient) / (norm(n) + norm(gradient))
    return error(n, gradient)


def _part(start: int, stop: int | None) -> Callable[[Array], Array]:
    """Return a function that sets all but a part of an array to 0."""

    def part(x: Array) -> Array:
        changed = np.zeros_like(x)
        changed.reshape(-1)[start:stop] = x.reshape(-1)[start:stop]
        return changed

    return part


def _norm(x: Array) -> float:
    return float(np.sqrt(np.sum(x * x)))


def _weights(x: Array) -> Array:
    """Return weights with different signs; those of three elements are small."""
    k = np.arange(1.0, x.size + 1) / (100 if x.size == 3 else 1)
    return np.where(np.arange(x.size) % 3 == 1, -k, k).reshape(x.shape)


def _gradient(x: Array) -> Array:
    return _weights(x) * (np.exp(x) + x * x)


def _observe(call: Caller, x: Array, wrong: Callable[[Array], Array]) -> Values:
    """Return the points at which a function is evaluated, and errors of two gradients."""
    weights = _weights(x)
    points: list[Array] = []
    dtypes: set[Any] = set()

    def f(x: Array) -> float:
        points.append(np.array(x, np.float64))
        dtypes.add(np.asarray(x).dtype)
        x = np.asarray(x, np.float64)
        return float(np.sum(weights * (np.exp(x) + x**3 / 3)))

    gradient = _gradient(x)
    right = call(f, x, gradient)["error"]
    steps = np.array([point - x for point in points if point.shape == x.shape])
    largest = np.abs(steps).max(initial=0)
    if largest < 1e-15 and not steps.any(axis=0).all():  # x + h - h
        steps[...] = 0
    steps[np.abs(steps) < 1e-3 * largest] = 0  # rounding errors
    single = np.count_nonzero(steps, axis=tuple(range(1, steps.ndim))) if len(steps) else steps
    sizes = [np.unique(np.round(np.abs(s), 13)) for s in (steps[steps > 0], steps[steps < 0])]
    h = float(np.median(np.abs(steps[steps != 0]))) if steps.any() else 0.0
    # Errors below 1e-6 are equal: they depend on the step size.
    is_accurate = np.ndim(right) == 0 and abs(float(right)) < 1e-6
    is_single = not (single > 1).any()
    both = bool((steps > 0).any() and (steps < 0).any())
    still = ~steps.any(axis=0) if len(steps) else np.zeros(x.shape, bool)
    symmetric = len(sizes[0]) == len(sizes[1]) and np.allclose(sizes[0], sizes[1], 1e-3)
    found = {
        "used": bool(len(steps)),
        "float64": is_accurate or np.dtype(np.float32) not in dtypes,
        "moved": bool(steps.any()),
        "small": h > 3e-9,
        "relative": not still.any() or not np.array_equal(still, x == 0),
        "restored": is_single or single[0] > 1 or (np.diff(single) < 0).any(),
        "single": is_single,
        "both": both,
        "symmetric": is_accurate or not both or symmetric,
        "large": h < 2e-3 or is_accurate,
    }
    return found | {
        "quotient": _quotient(call, h, bool(is_accurate)) if all(found.values()) else "",
        "error of a wrong gradient": call(f, x, wrong(gradient))["error"],
        "accurate": is_accurate,
    }


_ONE_SIDED = (
    "uses one-sided differences, whose error is proportional to h: use central differences, "
    "(f(x + h) - f(x - h)) / (2 * h)"
)


def _slope(call: Caller, slope: float, x: float, curvature: float = 0.0) -> float:
    """Return the numeric gradient of a function of x, which follows from the returned errors.

    The result is nan if the returned values are not the relative errors of any gradient.
    """

    def f(x: Array) -> float:
        return float(np.sum(slope * x + curvature * np.square(x)))

    def error(gradient: float) -> float:
        try:
            return float(np.mean(call(f, np.array([x]), np.array([gradient]))["error"]))
        except AnswerError:  # such as a division by zero
            return float("nan")

    least = min(error(1.0), error(-1.0))
    size = max(1 - least, 1e-16) / max(1 + least, 1e-9)
    for n in (size, 1 / size, -size, -1 / size):
        double = error(2 * n)
        if np.allclose([error(n), error(-n), double], [0, 1, 1 / 3], 0, 0.02):
            n *= 2 * (1 - double) / (1 + double)
            if np.allclose([error(n), error(-n), error(4 * n)], [0, 1, 0.6], 0, 1e-4):
                return n
    return float("nan")


def _quotient(call: Caller, h: float, is_accurate: bool) -> str:
    """Describe a wrong difference quotient: that of a linear function is exact for each h."""
    n, quadratic = (_slope(call, 1, 0.0, curvature) for curvature in (0, 1 / h))
    if np.isfinite(n) and abs(quadratic / n - 1) > 1e-2:
        return _ONE_SIDED
    if is_accurate:
        return ""
    negative = _slope(call, -1, 0.0)
    others = [_slope(call, slope, slope) / slope for slope in (0.3, 0.7, 1.9)]
    if not np.isfinite([n, negative, *others]).all():
        return ""
    other = max(others, key=lambda other: abs(other / n - 1))
    if abs(other / n - 1) > 1e-4:
        return (
            f"rounding errors are too large: with h = {h:.3g}, the difference quotient of a linear "
            f"function with the slope 1 is {other:.6g}. Compute with float64, and use h of about "
            "1e-5"
        )
    if np.allclose([n, -negative], 1, 1e-6):
        return ""
    if abs(n / negative - 1) < 1e-3:
        return "takes the absolute value of the quotient: the gradient has a sign"
    sign = "the numeric gradient has the wrong sign: use f(x + h) - f(x - h)" if n < 0 else ""
    if abs(n + 1) < 1e-3:
        return sign
    observed = f"f is called at x + h and x - h with h = {h:.3g}, but the difference is"
    names = {"h": h, "3 * h": 3 * h, "4 * h": 4 * h, "h / 2": h / 2, "h**2": h * h,
             "2 * h**2": 2 * h * h, "4 * h**2": 4 * h * h}  # fmt: skip
    texts = {f"divided by {name} instead of 2 * h": d for name, d in names.items()}
    texts |= {
        "not divided by 2 * h": 1.0,
        "multiplied by h instead of divided by 2 * h": 1 / h,
        "multiplied by 2 * h: divide by it": 1 / (2 * h),
        "divided by 2, and multiplied by h: / 2 * h is not / (2 * h)": 2 / h,
        f"divided by {2 * h / abs(n):.4g} instead of 2 * h = {2 * h:.4g}": 2 * h / abs(n),
    }
    text = next(t for t, d in texts.items() if abs(abs(n) * d / (2 * h) - 1) < 1e-2)
    return f"{observed} {text}" + ("; also, " + sign if sign else "")


def _one_wrong(gradient: Array) -> Array:
    changed = gradient.copy()
    changed.reshape(-1)[-1] *= 1.5
    return changed


_X = np.array([[0.5, -1.0, 0.25], [1.5, 0.0, -0.5]])


def _norms(name: str, x: Array, wrong: Callable[[Array], Array]) -> Values:
    """Return norms, by which a wrong error may be divided."""
    n = _gradient(x)
    g = wrong(n)
    found = {"|n - g|": _norm(n - g), "|n|": _norm(n), "|g|": _norm(g), "|n + g|": _norm(n + g)}
    for text, reduce in (("sum", np.sum), ("max", np.max)):
        found |= {f"{text}(|{k}|)": reduce(np.abs(v)) for k, v in {"n - g": n - g, "g": g}.items()}
    found["(|n| * |g|)"] = _norm(n) * _norm(g)
    found["(|n| + |g|)"] = _norm(n) + _norm(g)
    return found | {"size": x.size}


GRADIENT_CHECK = Exercise(
    quantities=_norms,
    name="gradient_check",
    solution=[numeric_gradient, gradient_check],
    variants=lambda f, x, g, **wrong: (
        _variant(f, x, g, **wrong) if wrong else gradient_check(f, x, g)
    ),
    observe=_observe,
    inputs=["x", "change of the gradient"],
    meaning={
        "used": "does not call f with arrays of the shape of x: use f(x + h) and f(x - h)",
        "moved": "calls f only at x itself: copy x before a change, with x.copy() (xp = x is "
        "another name of the same array), and use steps of a float dtype",
        "relative": "does not change the elements of x that are 0, as with a step h * |x|: use the "
        "same h for all elements",
        "restored": "does not restore x after each step, so that several elements are changed: set "
        "the element to its old value before the next one",
        "single": "changes several elements of x together: change one element at a time, and "
        "restore it before the next one",
        "both": _ONE_SIDED,
        "symmetric": "f is called at x + h and x - h with different h: use the same step size on "
        "both sides",
        "float64": "f is called with float32 arrays, whose rounding errors are too large: keep "
        "float64",
        "large": "the step size h is too large: use about 1e-5",
        "small": "the step size h is too small, so that rounding errors dominate: use about 1e-5",
        "accurate": "the error of a correct gradient must be less than 1e-6: use central "
        "differences, (f(x + h) - f(x - h)) / (2 * h), and h of about 1e-5",
    },
    fresh=[
        Case((_X[1:] - 0.3, lambda g: 1.7 * g)),
        Case((_X.T + 0.1, _one_wrong)),
        Case((_X[:, :2].reshape(-1) - 0.2, lambda g: g + 0.2)),
    ],
    cases=[
        Case((_X, lambda g: 2 * g)),
        Case((_X[:1, :2], _one_wrong)),
        Case((_X.reshape(-1)[:5], lambda g: -g), "a gradient with the wrong sign",
             "the relative error is 1"),
        Case((_X, lambda g: g + _X**2 - _X - 0.5)),
        Case((_X, lambda g: 0 * g), "a gradient of 0", "the relative error is 1"),
        Case((_X[0], lambda g: g + 0.01), "a gradient that is too large by 0.01", "the error is "
             "a ratio of norms"),
    ],
    mistakes={
        "change": {
            "numeric is an array of integers, which cuts off fractions: create it with a float "
            "dtype": np.trunc,
            "computes only the first element of numeric: return the error after the loop":
                _part(0, 1),
            "does not compute the last element of numeric": _part(0, -1),
            "does not compute the first element of numeric": _part(1, None),
        },
        "norm": {
            "uses the sum of absolute values instead of the Euclidean norm":
                lambda x: np.abs(x).sum(),
            "uses the maximum norm instead of the Euclidean norm": lambda x: np.abs(x).max(),
            "uses np.linalg.norm(..., 1), the largest column sum: use the Euclidean norm":
                lambda x: np.linalg.norm(x, 1),
            "uses np.linalg.norm(..., 2), the spectral norm of a matrix: use the Euclidean norm of "
            "all elements": lambda x: np.linalg.norm(x, 2),
            "uses |sum of the elements| instead of the Euclidean norm": lambda x: abs(x.sum()),
            "uses the sum of the elements instead of the Euclidean norm": np.sum,
            "uses the sum of squares instead of the Euclidean norm: take the square root":
                lambda x: np.sum(x * x),
        },
        "error": {
            "returns the largest absolute error: the error is a ratio of norms":
                lambda n, g: np.abs(n - g).max(),
            "returns the mean absolute error: the error is a ratio of norms":
                lambda n, g: np.abs(n - g).mean(),
            "returns the sum of absolute errors: the error is a ratio of norms":
                lambda n, g: np.abs(n - g).sum(),
            "divides by the norm of numeric: divide by |numeric| + |gradient|":
                lambda n, g: _norm(n - g) / _norm(n),
            "divides by the norm of gradient: divide by |numeric| + |gradient|":
                lambda n, g: _norm(n - g) / (_norm(g) or 1e-300),
            "divides by the larger norm: divide by |numeric| + |gradient|":
                lambda n, g: _norm(n - g) / max(_norm(n), _norm(g)),
            "divides by the mean of both norms: divide by |numeric| + |gradient|":
                lambda n, g: 2 * _norm(n - g) / (_norm(n) + _norm(g)),
            "divides by |numeric + gradient|, the norm of the sum: add the norms":
                lambda n, g: _norm(n - g) / _norm(n + g),
            "is the difference of the norms: use the norm of the difference":
                lambda n, g: abs(_norm(n) - _norm(g)) / (_norm(n) + _norm(g)),
            "is the mean of the relative errors of the elements: the error is a ratio of norms":
                lambda n, g: (np.abs(n - g) / (np.abs(n) + np.abs(g) + 1e-300)).mean(),
            "is 1 minus the cosine of the angle: use the norm of the difference":
                lambda n, g: 1 - np.sum(n * g) / (_norm(n) * (_norm(g) or 1e-300)),
            "is the cosine of the angle: use the norm of the difference":
                lambda n, g: np.sum(n * g) / (_norm(n) * (_norm(g) or 1e-300)),
            "divides by the square root of the sum of the squared norms: add the norms":
                lambda n, g: _norm(n - g) / np.hypot(_norm(n), _norm(g)),
            "uses the mean of the squares in the numerator, and their sum in the denominator":
                lambda n, g: _norm(n - g) / np.sqrt(n.size) / (_norm(n) + _norm(g)),
            "adds 0.01 to the denominator": lambda n, g: _norm(n - g) / (
                _norm(n) + _norm(g) + 0.01),
            "is the largest relative error of an element: the error is a ratio of norms":
                lambda n, g: (np.abs(n - g) / (np.abs(n) + np.abs(g))).max(),
            "is the largest relative error of an element, relative to the larger one: the error"
            " is a ratio of norms":
                lambda n, g: (np.abs(n - g) / np.maximum(np.abs(n), np.abs(g))).max(),
            "returns one error for each element: the error is a ratio of norms":
                lambda n, g: np.abs(n - g) / (np.abs(n) + np.abs(g)),
            "returns whether the gradient is correct: return the relative error":
                lambda n, g: float(np.allclose(n, g, 1e-4)),
            "returns the numeric gradient: return the relative error": lambda n, g: n,
        },
    },
)  # fmt: skip
