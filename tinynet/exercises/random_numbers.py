"""Exercises whose results are random: initialization, mini-batches and dropout.

Statistics of the results are compared, because the random numbers may be drawn in any way.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinynet import functional
from tinynet.exercises.exercise import AnswerError, Caller, Case, Exercise, Values, as_numbers
from tinynet.exercises.inputs import positive
from tinynet.functional import Array

Generator = np.random.Generator
_SEED = "the same seed of rng must result in the same numbers: draw all of them from rng"
_NEW = "a second call with the same rng must draw new numbers: do not set a seed in the function"


def _is_plausible(counts: Array, probabilities: Any) -> bool:
    """Return whether counts are those of events with these probabilities, by a chi-square test.

    If they are, the result is False with a probability of about 1e-9: the approximation of Wilson
    and Hilferty (1931) is normally distributed, and 6 is its quantile of 1 - 1e-9.
    """
    expected = counts.sum() * np.broadcast_to(probabilities, counts.shape)
    chi_square, k = np.sum((counts - expected) ** 2 / expected), counts.size - 1
    return bool(((chi_square / k) ** (1 / 3) - 1 + 2 / (9 * k)) / np.sqrt(2 / (9 * k)) < 6)


def _repetition(w: Array) -> str:
    """Describe how weights are repeated; return an empty string if they are not."""
    if len(np.unique(np.abs(w))) > 0.9 * w.size:
        return ""
    different = len(np.unique(w))
    if different > 0.9 * w.size:
        return "weights occur with both signs: draw each weight independently"
    if different < 1000:
        text = f"there are only {different} different weights: draw a random number between "
        return f"{text}-limit and limit for each weight, as rng.uniform does"
    return "weights are repeated: draw a random number for each weight"


def _observe_kernel(call: Caller, fan_in: int, fan_out: int, seed: int) -> Values:
    """Return statistics of the initial weights."""
    rng = np.random.default_rng(seed)
    w, later = (call(fan_in, fan_out, rng)["kernel"] for _ in range(2))
    again = call(fan_in, fan_out, np.random.default_rng(seed))["kernel"]
    std = w.std()
    if w.shape != (fan_in, fan_out):
        return {"shape of the kernel": np.array(w.shape)}
    within = (np.abs(w - w.mean()) < std).mean()  # 58 % of uniform, 68 % of normal numbers
    is_uniform = abs(within - 1 / np.sqrt(3)) < 0.015
    half, middle = np.ptp(w) / 2, (w.max() + w.min()) / 2
    neighbours = [np.corrcoef(a[:-1].ravel(), a[1:].ravel())[0, 1] for a in (w, w.T)]
    return {
        "shape of the kernel": np.array(w.shape),
        "zero": w.any(),
        "one value": np.ptp(w) > 0,
        "repeated": _repetition(w),
        "centered": abs(w.mean()) > 1e-8 * std,
        "order": np.abs(neighbours).max() < 0.05,
        "standard deviation of another distribution": 0.0 if is_uniform else std,
        "middle of the weights": middle if abs(middle) > 0.01 * half else 0.0,
        "largest weight": w.max(),
        "smallest weight": w.min(),
        "repeatable": np.array_equal(w, again),
        "new": not np.array_equal(w, later),
    }


def glorot_uniform(fan_in: int, fan_out: int, rng: Generator) -> Array:
    """Draw the initial kernel of a dense layer."""
    limit = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, (fan_in, fan_out))


def _limit(i: int, o: int) -> float:
    return float(np.sqrt(6 / (i + o)))


def _uniform(limit: Callable[[int, int], float]) -> Callable[[int, int, Generator], Array]:
    return lambda i, o, rng: rng.uniform(-limit(i, o), limit(i, o), (i, o))


def _normal(std: Callable[[int, int], float]) -> Callable[[int, int, Generator], Array]:
    return lambda i, o, rng: rng.normal(0, std(i, o), (i, o))


#: Wrong limits of the uniform distribution, and standard deviations of a normal one.
_LIMITS: dict[str, Callable[[int, int], float]] = {
    "uses only fan_in, sqrt(6 / fan_in), as He's initialization does":
        lambda i, o: np.sqrt(6 / i),
    "the square root is missing": lambda i, o: 6 / (i + o),
    "subtracts fan_out from fan_in: add them": lambda i, o: np.sqrt(6 / abs(i - o)),
    "uses sqrt(2 / (fan_in + fan_out)), the standard deviation, as the limit: replace "
    "the 2 by 6": lambda i, o: np.sqrt(2 / (i + o)),
    "parentheses are missing, 6 / fan_in + fan_out": lambda i, o: np.sqrt(6 / i + o),
    "is between -limit / 2 and limit / 2: limit is sqrt(6 / (fan_in + fan_out)), and random "
    "numbers from -1 to 1 are multiplied by it": lambda i, o: _limit(i, o) / 2,
    "is between -1 and 1: multiply by limit": lambda i, o: 1.0,
}  # fmt: skip
_STDS: dict[str, Callable[[int, int], float]] = {
    "is normally distributed, with the standard deviation sqrt(2 / (fan_in + fan_out)) "
    "(Glorot normal): draw from a uniform distribution": lambda i, o: np.sqrt(2 / (i + o)),
    "is normally distributed, with limit as the standard deviation: draw from a uniform"
    " distribution": _limit,
    "is normally distributed, with the standard deviation sqrt(2 / fan_in) (He normal):"
    " draw from a uniform distribution": lambda i, o: np.sqrt(2 / i),
    "is normally distributed, with the standard deviation sqrt(1 / fan_in) (LeCun "
    "normal): draw from a uniform distribution": lambda i, o: np.sqrt(1 / i),
    "is normally distributed, with the standard deviation 2 / (fan_in + fan_out), which is "
    "the variance": lambda i, o: 2 / (i + o),
    "is normally distributed, with the standard deviation 1": lambda i, o: 1,
    "is normally distributed, with the standard deviation 0.01": lambda i, o: 0.01,
}  # fmt: skip


def _quantities_of_limits(name: str, i: int, o: int, seed: int) -> Values:
    if "standard deviation" in name:
        return {}
    found = {"fan_in": i, "fan_out": o, "(fan_in + fan_out)": i + o}
    found |= {"min(fan_in, fan_out)": min(i, o), "max(fan_in, fan_out)": max(i, o)}
    return found | {"(sqrt(fan_in) + sqrt(fan_out))": np.sqrt(i) + np.sqrt(o)}


GLOROT_UNIFORM = Exercise(
    name="glorot_uniform",
    solution=[glorot_uniform],
    quantities=_quantities_of_limits,
    variants=lambda i, o, rng, draw=glorot_uniform: draw(i, o, rng),
    observe=_observe_kernel,
    inputs=["fan_in", "fan_out", "seed"],
    meaning={
        "middle of the weights": "the weights must be between -limit and limit, so that the middle "
        "is 0",
        "standard deviation of another distribution": "the weights are not uniformly "
        "distributed: draw them with rng.uniform, and do not add, round or clip them",
        "zero": "all weights are 0: limit must not be 0, as with 6 // (fan_in + fan_out)",
        "one value": "all weights are equal: draw a random number for each weight",
        "centered": "the mean of the weights is exactly 0: do not subtract it, so that the weights "
        "are independent and between -limit and limit",
        "order": "neighbouring weights are similar: draw independent random numbers",
        "repeatable": _SEED,
        "new": _NEW,
    },
    rtol={"smallest weight": 1e-3, "largest weight": 1e-3},
    cases=[
        Case((200, 100, 1), rtol=0.025),
        Case((50, 600, 2), rtol=0.025),
        Case((300, 70, 3), rtol=0.025),
        Case((120, 90, 4), rtol=0.025),
    ],
    mistakes={
        "draw": {
            "has the shape (fan_out, fan_in): it must have the shape (fan_in, fan_out)":
                lambda i, o, rng: rng.uniform(-_limit(i, o), _limit(i, o), (o, i)),
            "is between 0 and limit: the smallest weight must be -limit":
                lambda i, o, rng: rng.uniform(0, _limit(i, o), (i, o)),
            "is between 0 and 1: the weights must be between -limit and limit":
                lambda i, o, rng: rng.uniform(0, 1, (i, o)),
            "is between 0 and 2 * limit: subtract limit":
                lambda i, o, rng: rng.uniform(0, 2 * _limit(i, o), (i, o)),
            "is between limit and 1: rng.uniform(low, high, size) needs low and high":
                lambda i, o, rng: rng.uniform(_limit(i, o), 1, (i, o)),
            "is between -limit and 1: rng.uniform(low, high, size) needs low and high":
                lambda i, o, rng: rng.uniform(-_limit(i, o), 1, (i, o)),
            "is between -limit / 2 and 1.5 * limit: use 2 * rng.random(...) - 1":
                lambda i, o, rng: (2 * rng.random((i, o)) - 0.5) * _limit(i, o),
            "is shifted by limit / 10: the mean must be 0":
                lambda i, o, rng: rng.uniform(-0.9, 1.1, (i, o)) * _limit(i, o),
            "draws the sum of two random numbers, which has a triangular distribution":
                lambda i, o, rng: (rng.random((i, o)) - rng.random((i, o))) * _limit(i, o),
            **{message: _uniform(limit) for message, limit in _LIMITS.items()},
            **{message: _normal(std) for message, std in _STDS.items()},
        },
    },
)  # fmt: skip


def _observe_dropout(call: Caller, x: Array, rate: float, seed: int) -> Values:
    """Return the result of inference, and statistics of the results of training."""
    rng = np.random.default_rng(seed)
    if x.size < 10:
        masks = np.array([np.ravel(call(x, rate, True, rng)["y"]) != 0 for _ in range(2000)])
        if masks.shape[1] != x.size:
            return {"independent": False}
        patterns = np.array([*itertools.product((False, True), repeat=x.size)])
        counts = np.bincount(masks @ 2 ** np.arange(x.size)[::-1], minlength=len(patterns))
        return {"independent": _is_plausible(counts, np.where(patterns, 1 - rate, rate).prod(1))}
    if x.size < 100:
        results = [call(x, rate, True, rng)["y"] for _ in range(300)]
        return {"independent": {y.shape for y in results} == {x.shape} and _is_independent(results)}
    y, later = (call(x, rate, True, rng)["y"] for _ in range(2))
    again = call(x, rate, True, np.random.default_rng(seed))["y"]
    inference = call(x, rate, False, rng)["y"]
    found: Values = {"shape of y": np.array(y.shape), "shape of y in inference": inference.shape}
    if not y.shape == inference.shape == x.shape:
        return found
    found["finite"] = bool(np.isfinite(y).all())
    mask, part = y != 0, rate > 0 and 0 < np.count_nonzero(y) < y.size
    kept, kept_in_inference = (
        (a[a != 0] / x[a != 0]) if a.any() else np.zeros(1) for a in (y, inference)
    )
    values, counts = np.unique(y[y != 0], return_counts=True)
    replaced = values[counts.argmax()] if counts.max(initial=0) > 0.01 * y.size else 0.0
    factor, exact = np.median(kept), 1 / (1 - rate)
    measured = 1 / max(mask.mean(), 1e-9)
    whole = np.floor(x / (1 - rate))[mask]
    return found | {
        "fractions": not part or not np.array_equal(y[mask], whole),
        "value of the dropped elements": replaced,
        "measured": not part or abs(factor / measured - 1) > 1e-6 or abs(factor / exact - 1) < 1e-5,
        "constant": np.ptp(kept) < 1e-3 * np.abs(kept).max() or not kept.any(),
        "rows": not part or not (mask == mask[:1]).all(),
        "columns": not part or not (mask == mask[:, :1]).all(),
        "fraction of dropped elements": 1 - mask.mean(),
        "factor of the kept elements": factor,
        "fraction of dropped elements in inference": np.mean(inference == 0),
        "factor of the kept elements in inference": np.median(kept_in_inference),
        "repeatable": np.array_equal(y, again),
        "new": not part or not np.array_equal(mask, later != 0),
    }


def _is_independent(results: list[Array]) -> bool:
    """Return whether the elements of random masks are dropped independently."""
    masks = np.array(results) != 0
    mean = masks.mean()
    variance = max(mean * (1 - mean), 1e-9)
    if (np.abs(masks.mean(axis=0) - mean) > 7 * np.sqrt(variance / len(masks))).any():
        return False
    # The variance of the number of kept elements, of all, and of each row and column.
    axes = [(1, 2), 1, 2]
    spread = [np.var(n) * n[0].size / masks[0].size for n in (masks.sum(axis=a) for a in axes)]
    pairs = np.corrcoef(masks.reshape(len(masks), -1).T)
    return bool((np.abs(pairs) > 0.5).sum() == len(pairs) and min(spread) > 0.5 * variance)


def _dropout(
    x: Array,
    rate: float,
    training: bool,
    rng: Generator,
    draw: Callable[..., Any] = lambda x, rng: rng.random(x.shape),
    keep: Callable[..., Any] = lambda drawn, rate: drawn >= rate,
    scale: Callable[[float], float] = lambda rate: 1 / (1 - rate),
    inference: Callable[..., Any] = lambda x, rate, y: x,
    apply: Callable[..., Any] = lambda x, mask: x * mask,
    is_inverted: bool = False,
) -> Any:
    y = apply(x, keep(draw(x, rng), rate)) * scale(rate)
    return y if training != is_inverted else inference(x, rate, y)


def _reference_dropout(x: Array, rate: float, training: bool, rng: Generator) -> Array:
    return functional.dropout(x, rng.random(x.shape), rate) if training else x


DROPOUT = Exercise(
    name="dropout",
    solution=[functional.dropout],
    variants=lambda *args, **wrong: (
        _dropout(*args, **wrong) if wrong else _reference_dropout(*args)
    ),
    quantities=lambda name, x, rate, seed: {"rate": rate},
    observe=_observe_dropout,
    inputs=["x", "rate", "seed"],
    meaning={
        "fraction of dropped elements": "the fraction of dropped elements must be rate: drop those "
        "where rng.random(x.shape) < rate",
        "factor of the kept elements": "the kept elements must be divided by 1 - rate",
        "fractions": "the kept elements are rounded down to integers: use / instead of //",
        "value of the dropped elements": "the dropped elements must be 0",
        "measured": "divides by the fraction of the elements that were kept in this call, such as "
        "mask.mean(): divide by 1 - rate",
        "constant": "the kept elements are not all multiplied by the same factor: multiply x by a "
        "mask of 0 and 1, and divide by 1 - rate",
        "finite": "y is not finite: dropped elements must be 0",
        "rows": "the mask is the same for all rows: draw a number for each element",
        "columns": "the mask drops whole rows: draw a number for each element",
        "independent": "the elements are not dropped independently, each with the same "
        "probability: draw a random number for each element, and compare it with rate",
        "repeatable": _SEED,
        "new": "the mask is the same in each call: draw a new one from rng, without setting a seed",
    },
    cases=[
        Case((positive(200, 100), 0.2, 1), rtol=0.07),
        Case((positive(100, 200, seed=1), 0.75, 2), rtol=0.02),
        Case((100 * positive(150, 150, seed=2), 0.37, 3), rtol=0.04),
        Case((positive(200, 150, seed=2), 0.05, 3), rtol=0.15),
        Case((positive(6, 5), 0.4, 5)),
        Case((positive(2, 3), 0.4, 6)),
        Case((positive(90, 50, seed=3), 0.0, 4), "a rate of 0", "no element is dropped"),
    ],
    rtol=dict.fromkeys(
        ("factor of the kept elements", "factor of the kept elements in inference"), 1e-4
    ),
    mistakes={
        "keep": {
            "rate is used as the probability of keeping an element: drop with the probability "
            "rate": lambda drawn, rate: drawn < rate,
            "drops half of the elements, regardless of rate": lambda drawn, rate: drawn > 0.5,
            **{
                f"drops elements with the probability {p}, regardless of rate": partial(
                    lambda p, drawn, rate: drawn > p, p)
                for p in (0.1, 0.2, 0.3)
            },
            "drops elements with the probability rate**2": lambda drawn, rate: drawn > rate**2,
            "drops elements with the probability rate / 2": lambda drawn, rate: drawn > rate / 2,
            "rounds rate up to tenths": lambda drawn, rate: np.floor(10 * drawn) >= 10 * rate,
            "rounds rate down to tenths":
                lambda drawn, rate: np.floor(10 * drawn) >= np.floor(10 * rate),
            "multiplies by the random numbers instead of a mask of 0 and 1":
                lambda drawn, rate: drawn,
        },
        "scale": {
            "does not scale the kept elements: divide by 1 - rate": lambda rate: 1.0,
            "multiplies the kept elements by 1 - rate: divide by it": lambda rate: 1 - rate,
            "multiplies the kept elements by 2, regardless of rate: divide by 1 - rate":
                lambda rate: 2.0,
            "divides by 1 - rate with //, which rounds down: use /": lambda rate: 1 // (1 - rate),
            "divides the kept elements twice by 1 - rate": lambda rate: 1 / (1 - rate) ** 2,
            "divides the kept elements by sqrt(1 - rate): divide by 1 - rate":
                lambda rate: 1 / np.sqrt(1 - rate),
            "divides the kept elements by rate instead of 1 - rate":
                lambda rate: 1 / max(rate, 1e-9),
        },
        "inference": {
            "drops elements in inference, too: return x if training is False": lambda x, rate, y: y,
            "scales the result of inference by 1 - rate: inverted dropout scales only in training":
                lambda x, rate, y: x * (1 - rate),
            "scales the result of inference by 1 / (1 - rate): return x":
                lambda x, rate, y: x / (1 - rate),
            "returns zeros in inference: return x": lambda x, rate, y: 0 * x,
        },
        "is_inverted": {
            "drops elements in inference, and not in training: the condition is reversed": True,
        },
        "scale inference": {
            "scales in inference instead of training: divide the kept elements by 1 - rate, and "
            "return x in inference": (lambda rate: 1.0, lambda x, rate, y: x * (1 - rate)),
        },
        "draw": {
            "draws one number for all elements: draw an array of the shape of x":
                lambda x, rng: rng.random(),
            "draws from a normal distribution instead of a uniform one":
                lambda x, rng: rng.standard_normal(x.shape),
        },
        "keep scale": {
            "drops nothing in training": (lambda drawn, rate: 1.0, lambda rate: 1.0),
        },
        "apply": {
            "returns the scaled mask: multiply it by x": lambda x, mask: mask,
        },
    },
)  # fmt: skip


def _batches(returned: Any) -> Values:
    """Convert the returned batches to lists of arrays."""
    if returned is None:
        raise AnswerError("returns None: return a list of pairs, or yield the pairs")
    found: Values = {"x": [], "labels": []}
    batches: list[Array] = []
    if isinstance(returned, tuple | list) and len(returned) == 2:
        x, labels = returned
        if isinstance(x, np.ndarray) and x.ndim == 2 and np.ndim(labels) == 1:
            raise AnswerError(
                "returns one batch: return a list of all pairs after the loop, or yield each pair"
            )
        if isinstance(x, list) and len(x) > 1 and np.ndim(x[0]) == np.ndim(x[1]) == 2:
            raise AnswerError(
                "returns all x_batch and all labels_batch in two lists: return a list of pairs, "
                "zip(x_batches, labels_batches)"
            )
    for pair in itertools.islice(returned, 1000):  # converted one by one: a buffer may be reused
        parts = [*pair.values()] if isinstance(pair, dict) else pair
        if not isinstance(parts, tuple | list) or len(parts) != 2:
            kind = type(pair).__name__ + (
                f" of length {len(pair)}" if hasattr(pair, "__len__") else ""
            )
            raise AnswerError(
                f"must return a list of pairs (x_batch, labels_batch). Received: a {kind}"
            )
        for name, part in zip(found, parts, strict=True):
            found[name].append(as_numbers(f"{name}_batch", part))
        batches.append(np.asarray(parts[0]))
    starts, sizes = {b.ctypes.data for b in batches}, [b.size for b in batches]
    is_one_buffer = len(batches) > 1 and len(starts) == 1 and 0 < sizes[0] == max(sizes)
    if is_one_buffer and isinstance(returned, tuple | list):
        raise AnswerError(
            "returns batches that are the same memory, so that each batch overwrites the one "
            "before, or is a copy of it: create a new array for each batch"
        )
    if len(found["x"]) == 1000:
        raise AnswerError("yields more batches than examples: stop at the end of the epoch")
    return found


def _naive_orders(places: Sequence[int]) -> Array:
    """Return all results of exchanging each example with one of all, which are equally likely."""
    found = []
    for others in itertools.product(places, repeat=len(places)):
        order = [*range(len(places))]
        for i, j in zip(places, others, strict=True):
            order[i], order[j] = order[j], order[i]
        found.append(order)
    return np.array(found)


def _observe_orders(orders: Array) -> Values:
    """Return facts about random orders of a few examples, one in each row."""
    n = orders.shape[1]
    every = np.array([*itertools.permutations(range(n))])
    code = n ** np.arange(n)
    counts = np.array([np.count_nonzero(orders @ code == o @ code) for o in every])
    places = [[np.count_nonzero(orders[:, k] == i) for i in range(n)] for k in range(n)]
    frequency = f"in {len(orders)} epochs of {n} examples, the order"
    naive = [
        _is_plausible(counts, np.array([np.all(found == o, 1).sum() for o in every]) / len(found))
        for found in map(_naive_orders, (range(n), range(n)[::-1]))
    ]
    cause = "Use"
    if any(naive):
        cause = "Each example is exchanged with one of all N, not only of those that follow: use"
    most, least = (f"{every[k].tolist()} occurs {counts[k]} times" for k in
                   (counts.argmax(), counts.argmin()))  # fmt: skip
    return {
        "stays": np.diagonal(places).any(),
        "places": np.all(places),
        "orders": counts.all(),
        "uniform": "" if _is_plausible(counts, 1 / len(every)) else (
            f"some orders are more frequent than others: {frequency} {most}, and {least}. "
            f"{cause} rng.permutation(N)"
        ),
    }  # fmt: skip


def _observe_batches(call: Caller, n: int, batch_size: int, seed: int) -> Values:
    """Return facts about the batches of two epochs; the rows of x contain their numbers."""
    x = np.stack([np.arange(n), 100 + np.arange(n)], axis=1).astype(np.float32)
    labels = 3 * np.arange(n)
    rng = np.random.default_rng(seed)

    def epoch(rng: Generator) -> Values:
        return call(x, labels, batch_size, rng, convert=_batches)

    first, second, third = epoch(rng), epoch(rng), epoch(rng)
    again = epoch(np.random.default_rng(seed))
    if any(
        b.ndim == 1 and own.ndim == 2 for b, own in zip(first["x"], first["labels"], strict=True)
    ):
        return {"order": False}
    if not all(
        b.ndim == 2 and b.shape[1] == 2 for e in (first, second, third, again) for b in e["x"]
    ):
        return {"order": True, "rows": False}
    rows, later, last, same = (
        np.concatenate([b[:, 0] for b in e["x"]] or [[]]) for e in (first, second, third, again)
    )
    pairs = [*zip(first["x"], first["labels"], strict=True)]
    blocks = [np.sort(b[:, 0]) for b in first["x"] if len(b)]
    if n < 5 and len(rows) == n:
        orders = [np.concatenate([b[:, 0] for b in epoch(rng)["x"]]) for _ in range(4000)]
        return _observe_orders(np.array(orders))
    return {
        "order": True,
        "rows": True,
        "values": all(np.isin(b, x).all() for b in first["x"]),
        "columns": all((b[:, 1] == b[:, 0] + 100).all() for b in first["x"]),
        "exchanged": len(np.unique(rows)) == len(rows)
        or len(rows) != n
        or len({v for own in first["labels"] for v in own.flat}) < n,
        "vectors": all(own.shape == (len(b),) for b, own in pairs),
        "pairs": all(np.array_equal(own, 3 * b[:, 0]) for b, own in pairs),
        "shuffled": rows.tolist() != sorted(rows.tolist()),
        "mixed": max(map(len, blocks), default=0) < 2
        or len(blocks) < 2
        or any((np.diff(block) != 1).any() for block in blocks),
        "distinct": all(len(np.unique(b)) == len(b) for b in blocks),
        "total": len(rows) <= n,
        "repeated": len(np.unique(rows)) == len(rows),
        "sizes of the batches": np.array([len(b) for b in first["x"]]),
        "missing": len(np.unique(rows)) == n,
        "new": not (np.array_equal(rows, later) and np.array_equal(rows, last)),
        "repeatable": np.array_equal(rows, same),
    }


def minibatches(x: Array, labels: Array, batch_size: int, rng: Generator) -> list[Any]:
    """Split a data set into mini-batches in random order."""
    order = rng.permutation(len(x))
    parts = [order[i : i + batch_size] for i in range(0, len(x), batch_size)]
    return [(x[part], labels[part]) for part in parts]


def _minibatches(
    x: Array, labels: Array, size: int, rng: Generator, positions: Callable[..., Any] | None = None
) -> list[Any]:
    if positions is None:
        return minibatches(x, labels, size, rng)
    order = rng.permutation(len(x))
    parts = [order[i:j] for i, j in positions(len(x), size)]
    return [(x[part], labels[part]) for part in parts]


MINIBATCHES = Exercise(
    name="minibatches",
    solution=[minibatches],
    quantities=lambda *args: {},
    variants=_minibatches,
    observe=_observe_batches,
    inputs=["N", "batch_size", "seed"],
    meaning={
        "values": "the values of x_batch are not those of x: select rows of x",
        "columns": "the columns of x are in another order: change only that of the rows",
        "exchanged": "rows of x are repeated, and others are lost, but not their labels: x[i], "
        "x[j] = x[j], x[i] exchanges views of rows, so use x[[i, j]] = x[[j, i]], or x[order]",
        "vectors": "each labels_batch must have the shape (batch size,): select labels with the "
        "same indices as the rows of x",
        "stays": "no example ever stays at its place, as in a shuffle with j < i instead of j <= "
        "i: not all orders are possible",
        "places": "examples never occur at some places: not all orders are possible. Use "
        "rng.permutation(N)",
        "orders": "not all orders are possible: use rng.permutation(N), which draws each order "
        "with the same probability",
        "rows": "each x_batch must have the shape (batch size, D): return pairs (x_batch, "
        "labels_batch)",
        "pairs": "the labels do not belong to the rows of x: use the same order for both",
        "order": "the pairs are (labels_batch, x_batch): return (x_batch, labels_batch)",
        "distinct": "a batch contains the same example twice: draw without replacement, with "
        "rng.permutation(N), once for all batches",
        "total": "there are more than N examples in an epoch, because the batches overlap or are "
        "padded: they start at range(0, N, batch_size), and the last one is smaller",
        "repeated": "examples are repeated, and others are missing: each must occur once in an "
        "epoch, so draw without replacement, with rng.permutation(N), once for all batches",
        "sizes of the batches": "all batches must have batch_size examples, except for a smaller "
        "one at the end",
        "missing": "examples are missing: each must occur once in an epoch",
        "shuffled": "the examples are not shuffled: use the order rng.permutation(N)",
        "mixed": "each batch contains consecutive examples: shuffle all examples, not each batch "
        "or the order of the batches",
        "new": "the order is the same in each epoch: draw a new one from rng, without setting a "
        "seed",
        "repeatable": _SEED,
    },
    cases=[
        Case((23, 5, 1)),
        Case((24, 6, 2)),
        Case((40, 7, 3)),
        Case((21, 5, 5)),
        Case((12, 1, 6)),
        Case((4, 2, 7)),
        Case((20, 32, 4), "a batch size greater than N", "there is one batch, with all examples"),
    ],
    mistakes={
        "positions": {
            "drops the final partial batch":
                lambda n, size: [(i, i + size) for i in range(0, n - size + 1, size)],
            "returns an empty batch at the end if batch_size divides N":
                lambda n, size: [(i, i + size) for i in range(0, n // size * size + 1, size)],
            "returns batches of batch_size + 1 examples":
                lambda n, size: [(i, i + size + 1) for i in range(0, n, size + 1)],
            "returns batch_size batches, instead of batches of batch_size examples":
                lambda n, size: [(i, i + -(-n // size)) for i in range(0, n, -(-n // size))],
            "returns only the first batch: return the list after the loop":
                lambda n, size: [(0, size)],
            "loses the final batch if it contains one example":
                lambda n, size: [(i, i + size) for i in range(0, n - 1, size)],
            "omits one example: the first batch must start at 0, and the last one must end at N":
                lambda n, size: [(i, i + size) for i in range(1, n, size)],
            "loses the last batch: range(0, N, batch_size) ends at N":
                lambda n, size: [(i, i + size) for i in range(0, n - size, size)],
            "selects order[i:batch_size]: the batch ends at i + batch_size":
                lambda n, size: [(i, size) for i in range(0, n, size)],
            "returns an empty batch at the end": lambda n, size: [
                (i, i + size) for i in range(0, n + size, size)],
            "skips the first batch":
                lambda n, size: [(i, i + size) for i in range(size, n, size)],
            "returns batches of batch_size - 1 examples, so that examples are skipped":
                lambda n, size: [(i, i + size - 1) for i in range(0, n, size)],
        },
    },
)  # fmt: skip
