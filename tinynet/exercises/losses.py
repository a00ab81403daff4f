"""Exercises about the cross-entropy and the accuracy of a classifier."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinynet import functional
from tinynet.exercises.exercise import Case, Exercise, Values
from tinynet.exercises.inputs import floats, labels, normal, probabilities, whole
from tinynet.functional import Array


def _chosen(y: Array, p: Array) -> Array:
    return p[np.arange(len(y)), y]


def _hot(y: Array, p: Array) -> Array:
    return np.eye(p.shape[-1], dtype=p.dtype)[y]


def _crossentropy(
    y: Array,
    p: Array,
    values: Callable[[Array, Array], Any] | None = None,
    log: Callable[[Array], Array] = np.log,
    reduce: Callable[[Array, Array], Any] = lambda values, p: values.mean(),
    epsilon: float = 1e-7,
) -> Any:
    if values is None:
        return reduce(-log(np.maximum(_chosen(y, p), epsilon)), p)
    return reduce(values(y, p), p)


def _probability_quantities(name: str, y: Array, p: Array) -> Values:
    """Return the probabilities of the labels, of all classes, and the sizes."""
    q = _chosen(y, p)
    found = {
        "p_label": q,
        "(1 - p_label)": 1 - q,
        "log(p_label)": np.log(q),
        "p": p,
        "one_hot": _hot(y, p),
    }
    found |= {"log(p)": np.log(p), "log(1 - p_label)": np.log(1 - q)}
    return found | {"labels": y, "N": len(p), "C": p.shape[1]}


_EPSILONS = ("0.01", "0.001", "1e-4", "1e-5", "1e-6", "1e-8", "1e-9", "1e-10", "1e-12", "1e-15")
_SAME = "the formula is the same"
#: Properties of class labels that may be the reason of an exception.
_LABELS: dict[str, Callable[[Array, Array], Any]] = {
    "class labels in which the last class does not occur": lambda y, p: y.max() < p.shape[1] - 1,
    "class labels in which a class does not occur": lambda y, p: len({*y}) < p.shape[1],
    "more examples than classes": lambda y, p: len(p) > p.shape[1],
    "more classes than examples": lambda y, p: len(p) < p.shape[1],
    "an array that is not square": lambda y, p: len(p) != p.shape[1],
}


CROSSENTROPY = Exercise(
    name="crossentropy",
    quantities=_probability_quantities,
    solution=[functional.sparse_crossentropy, functional.sparse_softmax_crossentropy],
    variants=_crossentropy,
    cases=[
        Case((np.array([2, 0, 1]), floats([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.2, 0.4, 0.4]]))),
        Case((np.array([1, 0]), floats([[0.75, 0.25], [0.5, 0.5]]))),
        Case((labels(5, 4), probabilities(5, 4))),
        Case((labels(7, 3, seed=1), probabilities(7, 3))),
        Case((np.array([2]), probabilities(1, 3)), "a batch of one row", _SAME),
        Case((labels(23, 12, seed=2), probabilities(23, 12))),
        Case((np.array([0, 0, 1, 0]), floats([[1e-6, 1], [2e-7, 1], [1, 1e-7], [5e-8, 1]])),
             "probabilities of about 1e-7", "those below 1e-7, and no others, are replaced by 1e-7",
             2e-3),
        Case((np.array([1, 1]), floats([[0, 1], [0.5, 0.5]])), "another class of probability 0",
             "0 * log(0) is nan: clip the probabilities before the logarithm", 1e-3),
        Case((np.array([0, 1]), floats([[0, 1], [0.5, 0.5]])), "a label of probability 0",
             "its loss must be that of the probability 1e-7", 0.01),
    ],
    fresh=[
        Case((labels(6, 3, seed=20), probabilities(6, 3, seed=21))),
        Case((labels(9, 5, seed=22), probabilities(9, 5, seed=23))),
        Case((np.array([1, 0, 1, 0]), probabilities(4, 4, seed=24))),
        Case((np.array([3]), probabilities(1, 4, seed=25)), "a batch of one row", _SAME),
        Case((np.array([0, 2, 1]), floats([[0.2, 0.3, 0.5], [0.6, 0.4, 0], [0.1, 0.8, 0.1]])),
             "a label of probability 0", "its loss must be that of the probability 1e-7", 0.01),
    ],
    properties=_LABELS,
    mistakes={
        "reduce": {
            "the mean over the batch is missing: the loss is the sum": lambda v, p: v.sum(),
            "the mean over the batch is missing: one value for each example is returned":
                lambda v, p: v,
            "is divided by the number of classes: divide the sum over the batch only by N":
                lambda v, p: v.sum() / p.size,
            "is the value of the last example: add up all examples": lambda v, p: v.flat[-1],
            "is the value of the first example: add up all examples": lambda v, p: v.flat[0],
            "counts only the last example: add up all examples, with +=":
                lambda v, p: v.flat[-1] / len(p),
            "is the value of the first example, divided by N: return the result after the loop":
                lambda v, p: v.flat[0] / len(p),
            "is divided twice by N": lambda v, p: v.mean() / len(p),
            "is divided by 2": lambda v, p: v.mean() / 2,
        },
        "log": {
            "uses the logarithm to base 2: np.log is the natural logarithm": np.log2,
            "uses the logarithm to base 10: np.log is the natural logarithm": np.log10,
            "the logarithm is missing": np.positive,
            "is 1 - p instead of -log(p)": lambda p: p - 1,
            "uses np.minimum instead of np.maximum: small numbers are replaced by 1e-7":
                lambda p: np.log(np.minimum(p, 1e-7)),
            "clips the probabilities to at most 0.9": lambda p: np.log(np.minimum(p, 0.9)),
            "clips the probabilities to at most 0.99": lambda p: np.log(np.minimum(p, 0.99)),
        },
        "epsilon": {
            "the loss is not finite if the probability of a label is 0: clip the probabilities "
            "to at least 1e-7 before the logarithm": 0,
            **{
                f"replaces probabilities of 0 by {epsilon}: the lower bound must be 1e-7":
                    float(epsilon)
                for epsilon in _EPSILONS
            },
        },
        "values": {
            "is nan if a probability is 0, because of 0 * log(0): clip the probabilities to at "
            "least 1e-7": lambda y, p: -(_hot(y, p) * np.log(p)).sum(axis=1),
            "leaves out the examples of probability 0: replace probabilities below 1e-7 by 1e-7":
                lambda y, p: -np.log(np.maximum((q := _chosen(y, p))[q > 0], 1e-7)),
            "leaves out the examples whose probability is below 1e-7: their loss is that of 1e-7":
                lambda y, p: -np.log((q := _chosen(y, p))[q >= 1e-7]),
            "smooths the labels: only the class of the label counts":
                lambda y, p: -((0.9 * _hot(y, p) + 0.1 / p.shape[1])
                               * np.log(np.maximum(p, 1e-7))).sum(axis=1),
            "leaves out the examples of probability 0, and replaces no others: replace "
            "probabilities below 1e-7 by 1e-7": lambda y, p: -np.log((q := _chosen(y, p))[q > 0]),
            "uses a loss of 0 for a probability of 0: replace probabilities below 1e-7 by 1e-7":
                lambda y, p: -np.log(np.where((q := _chosen(y, p)) > 0, q, 1)),
            "replaces only probabilities of 0 by 1e-7: replace all that are less than 1e-7":
                lambda y, p: -np.log(np.where(_chosen(y, p) == 0, 1e-7, _chosen(y, p))),
            **{
                f"adds {epsilon} to the probability: replace probabilities below 1e-7 by 1e-7, "
                "as np.maximum(p, 1e-7) does":
                    partial(lambda e, y, p: -np.log(_chosen(y, p) + e), float(epsilon))
                for epsilon in ("1e-7", *_EPSILONS[:6])
            },
            "is the logarithm of the mean probability: take the logarithm first, then the mean":
                lambda y, p: -np.log(np.maximum(_chosen(y, p).mean(), 1e-7)),
            "sums log(p) of all classes: only the class of the label counts":
                lambda y, p: -np.log(np.maximum(p, 1e-7)).sum(axis=1),
            "is the mean of -log(p) over all classes: only the class of the label counts":
                lambda y, p: -np.log(np.maximum(p, 1e-7)),
            "adds -log(1 - p) of the other classes, as the binary cross-entropy does":
                lambda y, p: -np.log(np.where(_hot(y, p) > 0, p, 1 - p)).sum(axis=1),
            "is the mean binary cross-entropy of all classes":
                lambda y, p: -np.log(np.where(_hot(y, p) > 0, p, 1 - p)),
            "uses the largest probability instead of the probability of the label":
                lambda y, p: -np.log(p.max(axis=1)),
            "counts class labels from 1: they are from 0 to C - 1":
                lambda y, p: -np.log(np.maximum(_chosen(y - 1, p), 1e-7)),
            "applies softmax to the probabilities first":
                lambda y, p: -np.log(_chosen(y, functional.softmax(p))),
            "multiplies log(p) by the class label instead of selecting its class":
                lambda y, p: -y[:, None] * np.log(np.maximum(p, 1e-7)),
            "multiplies log(p) by the class labels, as if they were a row of one-hot labels":
                lambda y, p: -(y * np.log(np.maximum(p, 1e-7))).sum(axis=-1),
            "selects whole rows, probabilities[labels]: use probabilities[np.arange(N), labels]":
                lambda y, p: -np.log(np.maximum(p[y % len(p)], 1e-7)),
            "selects probabilities[:, labels], N x N elements: use probabilities[np.arange(N), "
            "labels]": lambda y, p: -np.log(np.maximum(p[:, y], 1e-7)),
            "is the entropy of the probabilities, which ignores the labels":
                lambda y, p: -(p * np.log(np.maximum(p, 1e-7))).sum(axis=1),
            "is the accuracy": lambda y, p: p.argmax(axis=1) == y,
            "is the squared error": lambda y, p: ((p - _hot(y, p)) ** 2).sum(axis=1),
            "is the absolute error": lambda y, p: np.abs(p - _hot(y, p)).sum(axis=1),
            "counts class labels from -1: they are from 0 to C - 1":
                lambda y, p: -np.log(np.maximum(_chosen((y + 1) % p.shape[1], p), 1e-7)),
            "is the mean squared error": lambda y, p: (p - _hot(y, p)) ** 2,
        },
    },
)  # fmt: skip


def _logits_gradient(
    y: Array,
    logits: Array,
    p: Callable[[Array], Array] = functional.softmax,
    target: Callable[[Array, Array], Any] = _hot,
    over: Callable[[Array], Any] = lambda z: z.dtype.type(len(z)),
    after: Callable[[Array, Array, Array], Any] = lambda d, p, z: d,
) -> Any:
    q = p(logits)
    return after((q - target(y, q)) / over(logits), q, logits)


def _clipped_gradient(
    epsilon: float, d: Array, p: Array, z: Array, bound: Callable[..., Array] = np.maximum
) -> Array:
    """Apply the chain rule to -1 / p, with a lower bound of p that is not differentiated."""
    d_p = np.where(d < 0, -1 / bound(p, np.float32(epsilon)), 0) / np.float32(len(p))
    return functional.softmax_backward(d_p, p, p)


def _reference_gradient(y: Array, logits: Array) -> Array:
    p = functional.softmax(logits)
    return functional.mean_softmax_crossentropy_backward(p.dtype.type(1), p, y)


def _rows(y: Array, p: Array) -> Array:
    """Subtract 1 from whole rows, as `p[labels] -= 1` does."""
    found = np.zeros_like(p)
    found[y % len(p)] = 1
    return found


_UNSTABLE = "exp overflows; subtract the maximum of each row before exp, as in softmax"


_WIDE = ("very different logits in a row", "the gradient is between -1 / N and 1 / N")


def _logits_quantities(name: str, y: Array, z: Array) -> Values:
    p = functional.softmax(z.astype(np.float64))
    found = {
        "softmax(logits)": p,
        "(softmax(logits) - one_hot)": p - _hot(y, p),
        "one_hot": _hot(y, p),
        "logits": z,
        "labels": y[:, None],
    }
    return found | {"N": len(z), "C": z.shape[1]}


LOGITS_GRADIENT = Exercise(
    quantities=_logits_quantities,
    name="softmax_crossentropy_backward",
    solution=[
        functional.mean_softmax_crossentropy_backward,
        functional.sparse_softmax_crossentropy_backward,
    ],
    variants=lambda y, z, **wrong: (
        _logits_gradient(y, z, **wrong) if wrong else _reference_gradient(y, z)
    ),
    cases=[
        Case((np.array([2, 0, 2]), whole(3, 3))),
        Case((np.array([1, 0]), np.log(floats([[1, 3], [1, 1]])))),
        Case((labels(5, 4), normal(5, 4))),
        Case((labels(7, 3, seed=1), 3 * normal(7, 3))),
        Case((labels(14, 12, seed=1), normal(14, 12))),
        Case((np.array([0, 1, 0]), normal(3, 4)), "labels without the last class", "the number of "
             "classes is logits.shape[1], not labels.max() + 1"),
        Case((np.array([2]), normal(1, 4)), "a batch of one row", _SAME),
        Case((labels(4, 3), normal(4, 3) + 1000), "logits of 1000", _UNSTABLE),
        Case((labels(2, 3), normal(2, 3) + floats([[-800], [800]])),
             "rows with very different logits", _UNSTABLE),
        Case((np.array([2, 1]), floats([[0, 1000, -1000], [500, 500, -700]])), *_WIDE),
    ],
    fresh=[
        Case((labels(6, 3, seed=20), 2 * normal(6, 3, seed=21))),
        Case((labels(9, 5, seed=22), 4 * normal(9, 5, seed=23))),
        Case((np.array([1, 0, 1, 0]), normal(4, 4, seed=24))),
        Case((np.array([3]), normal(1, 4, seed=25)), "a batch of one row", _SAME),
        Case((labels(6, 3, seed=26), 2 * normal(6, 3, seed=26) + 1000), "logits of 1000",
             _UNSTABLE),
        *(Case((labels(8, 4, seed=k), k * normal(8, 4, seed=k)), *_WIDE) for k in (12, 25, 60)),
    ],
    properties=_LABELS,
    mistakes={
        "over": {
            "the mean over the batch is missing: divide by N": lambda z: 1,
            "is divided by the number of elements instead of the batch size":
                lambda z: np.float32(z.size),
            "is divided by N twice": lambda z: np.float32(len(z) ** 2),
        },
        "target": {
            "does not subtract the one-hot labels": lambda y, p: 0,
            "subtracts the class labels as numbers: subtract one-hot rows":
                lambda y, p: np.float32(y[:, None]),
            "counts class labels from 1: they are from 0 to C - 1": lambda y, p: _hot(y - 1, p),
            "counts class labels from -1: they are from 0 to C - 1":
                lambda y, p: _hot((y + 1) % p.shape[1], p),
            "subtracts 1 only in the first row: each row has its own label":
                lambda y, p: _hot(y, p) * (np.arange(len(y)) == 0)[:, None],
            "subtracts 1 from whole rows: use p[np.arange(N), labels] -= 1": _rows,
            "subtracts 1 from the columns of all labels: use p[np.arange(N), labels] -= 1":
                lambda y, p: np.float32(np.isin(np.arange(p.shape[1]), y)),
            "subtracts the one-hot labels after the division by N: divide the difference":
                lambda y, p: np.float32(len(p)) * _hot(y, p),
        },
        "after": {
            "divides only the one-hot labels by N: divide the difference":
                lambda d, p, z: p + d - p / np.float32(len(p)),
            "is the same gradient multiplied by p: the derivative of softmax is already contained":
                lambda d, p, z: d * p,
            "multiplies by p * (1 - p): the derivative of softmax is already contained":
                lambda d, p, z: d * p * (1 - p),
            "applies the derivative of softmax twice":
                lambda d, p, z: functional.softmax_backward(d, p, p),
            "is 0 except in the column of each label: it is softmax(logits) / N in the others":
                lambda d, p, z: np.where(d < 0, d, 0),
            "is that with respect to the probabilities, -1 / p: multiply by the derivative of "
            "softmax": lambda d, p, z: np.where(d < 0, -1 / p, 0) / np.float32(len(p)),
            "is the one-hot labels divided by p: subtract the one-hot labels from p":
                lambda d, p, z: np.where(d < 0, 1 / p, 0) / np.float32(len(p)),
            "multiplies by the loss": lambda d, p, z: d * -np.log(np.where(d < 0, p, 1)).sum(
                axis=1).mean(),
            "is the absolute value: the sign must be kept": lambda d, p, z: np.abs(d),
            "is clipped at 0: the gradient of the label is negative":
                lambda d, p, z: np.maximum(d, 0),
            "is 0 in the rows in which the probability of the label is less than 1e-7, as if it "
            "were clipped: use (softmax(logits) - one_hot) / N":
                partial(_clipped_gradient, 1e-7, bound=lambda p, e: np.where(p >= e, p, np.inf)),
            "is -1 / N at the label, without the probability":
                lambda d, p, z: np.where(d < 0, d - p / np.float32(len(p)), d),
            "is not finite where the probability of the label is 0, which it divides by: use "
            "(softmax(logits) - one_hot) / N": partial(_clipped_gradient, 0.0),
            **{
                f"is 0 if the probability of the label is less than {epsilon}, because the "
                "probability is clipped: use (softmax(logits) - one_hot) / N":
                    partial(_clipped_gradient, float(epsilon))
                for epsilon in (*_EPSILONS, "1e-7")
            },
            **{
                f"is too small if the probability of the label is not much greater than "
                f"{epsilon}, which is added to it: use (softmax(logits) - one_hot) / N":
                    partial(_clipped_gradient, float(epsilon), bound=np.add)
                for epsilon in (*_EPSILONS, "1e-7")
            },
            "returns the loss, not its gradient":
                lambda d, p, z: -np.log(np.where(d < 0, p, 1)).sum(axis=1).mean(),
            "is averaged over the batch: it must have the shape of the logits":
                lambda d, p, z: d.sum(axis=0),
            "returns the probabilities, not the gradient": lambda d, p, z: p,
        },
        "p": {
            "does not apply softmax to the logits": np.positive,
            "applies sigmoid instead of softmax": functional.sigmoid,
            "applies softmax over the batch (axis=0) instead of the classes (axis=-1)":
                lambda z: functional.softmax(z.T).T,
            "uses the logarithm of softmax": lambda z: np.log(functional.softmax(z)),
            "applies softmax twice": lambda z: functional.softmax(functional.softmax(z)),
            "sums over the whole batch in softmax: use axis=-1, keepdims=True":
                lambda z: np.exp(z - z.max(axis=1, keepdims=True))
                / np.exp(z - z.max(axis=1, keepdims=True)).sum(),
            "sums each row without keepdims=True in softmax, so that the sums are broadcast along "
            "the wrong axis": lambda z: np.exp(z - z.max(axis=1, keepdims=True))
                / np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1),
            "subtracts the maximum and sums without keepdims=True in softmax":
                lambda z: np.exp(z - z.max(axis=1)) / np.exp(z - z.max(axis=1)).sum(axis=1),
            "overflows for logits above 88: subtract the maximum of each row before exp":
                lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
            "subtracts the maximum of the whole batch, so that rows with much smaller logits "
            "underflow to 0 / 0: subtract the maximum of each row":
                lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum(axis=1, keepdims=True),
            "does not divide exp(logits) by its sum":
                lambda z: np.exp(z - z.max(axis=1, keepdims=True)),
        },
    },
)  # fmt: skip


def _accuracy(
    y: Array,
    scores: Array,
    predict: Callable[[Array], Any] = lambda s: s.argmax(axis=-1),
    reduce: Callable[[Array, Array], Any] = lambda hits, s: hits.mean(),
    value: Callable[[Array, Array], Any] | None = None,
) -> Any:
    if value is not None:
        return value(y, scores)
    return reduce(np.asarray(predict(scores) == y), scores)


def _reference_accuracy(y: Array, scores: Array) -> Any:
    return functional.sparse_matches(y, scores) / len(y)


def _scores(n: int, classes: int, seed: int) -> tuple[Array, Array]:
    """Return labels and scores of which about half are correct, in each class another share."""
    y, scores = labels(n, classes, seed), 0.5 * normal(n, classes, seed=seed)
    scores[np.arange(n), y] += np.float32(0.4)
    return y, scores - scores.min() + 1


def _accuracy_quantities(name: str, y: Array, s: Array) -> Values:
    classes = s.argmax(axis=1)
    found = {"(argmax == labels)": classes == y, "argmax": classes, "labels": y}
    found |= {"max": s.max(axis=1), "scores[label]": _chosen(y, s)}
    return found | {"(argmax - labels)": classes - y, "N": len(s), "C": s.shape[1]}


ACCURACY = Exercise(
    quantities=_accuracy_quantities,
    name="accuracy",
    solution=[functional.sparse_matches],
    variants=lambda y, s, **wrong: _accuracy(y, s, **wrong) if wrong else _reference_accuracy(y, s),
    cases=[
        Case(_scores(12, 12, 34)),
        Case(_scores(17, 3, 0)),
        Case(_scores(13, 5, 2)),
        Case((_scores(29, 4, 3)[0], _scores(29, 4, 3)[1] / 8)),  # below and above 0.5
        Case(_scores(19, 6, 4)),
        Case((np.array([1, 0, 0, 2, 1]), floats(
            [[4, 1, 2], [3, 2, 1], [3, 1, 2], [1, 3, 4], [1, 2, 3]]))),  # wrong at both ends
        Case((np.array([1, 0, 2, 2, 1]), floats(
            [[1, 3, 2], [1, 2, 4], [3, 1, 2], [1, 4, 3], [1, 4, 3]]))),  # correct only there
        Case((np.array([0, 1, 2, 1]), floats(
            [[5, 1, 0], [1, 4, 2], [3, 1, 2], [0.1, 1, 0.2]]))),
        Case((np.array([1]), floats([[0.1, 0.9]])), "a batch of one row", "it is correct"),
        Case((np.array([1, 0]), floats([[0.9, 0.1], [0.3, 0.7]])), "predictions that are all "
             "wrong", "the accuracy is 0"),
        Case((np.array([2, 1, 0]), floats([[-3, -2, -1], [-4, -1, -2], [-2, -1, -3]])),
             "negative logits", "the largest counts"),
        Case((np.array([0, 1, 1]), floats([[1000, 900], [900, 1000], [-900, -1000]])),
             "logits of 1000", "compare the logits themselves, because exp overflows"),
    ],
    fresh=[
        Case(_scores(31, 4, 41)),
        Case(_scores(16, 7, 42)),
        Case(_scores(47, 3, 43)),
        Case((_scores(22, 5, 44)[0], _scores(22, 5, 44)[1] / 8)),
        Case((labels(5, 4, 45), -_scores(5, 4, 45)[1]), "negative logits", "the largest counts"),
    ],
    properties=_LABELS,
    mistakes={
        "predict": {
            "counts classes from 1: argmax counts from 0, as the labels do":
                lambda s: s.argmax(axis=-1) + 1,
            "compares the scores with 0.5 before argmax": lambda s: (s > 0.5).argmax(axis=-1),
            "compares the predictions with labels + 1": lambda s: s.argmax(axis=-1) - 1,
            "uses the class with the second largest score":
                lambda s: np.argsort(s, axis=-1)[:, -2],
            "uses argmin instead of argmax": lambda s: s.argmin(axis=-1),
            "starts the search for the largest score at 0, so that class 0 is predicted for "
            "negative scores: start at -np.inf":
                lambda s: np.where(s.max(axis=-1) > 0, s.argmax(axis=-1), 0),
            "uses argsort(...)[-1], the order of the scores of the last example, instead of "
            "argsort(...)[:, -1]": lambda s: np.resize(s.argsort(axis=-1)[-1], len(s)),
            "uses argsort(...)[0], the order of the scores of the first example, instead of "
            "argsort(...)[:, -1]": lambda s: np.resize(s.argsort(axis=-1)[0], len(s)),
            "selects argsort(...)[-1], a row: argsort(...)[:, -1] is the last column":
                lambda s: s.argsort(axis=-1)[-1],
            "uses argsort over the batch (axis=0) instead of the classes (axis=-1)":
                lambda s: s.argsort(axis=0)[:, -1],
            "is 0 even if all predictions are correct: no comparison is True. Compare with == (not "
            "with `is`), and each predicted class with its label": lambda s: -1,
            "uses argmax over the batch (axis=0) instead of the classes (axis=-1)":
                lambda s: s.argmax(axis=0),
            "uses argmax over all elements: use axis=-1": lambda s: s.argmax(),
            "compares the largest score, not its index, with the label: use argmax":
                lambda s: s.max(axis=-1),
            "uses the last class (or a fixed class) instead of argmax": lambda s: s.shape[-1] - 1,
            "keeps the predictions or the labels in the shape (N, 1), so that N x N pairs are "
            "compared": lambda s: s.argmax(axis=-1)[:, None],
        },
        "value": {
            "compares one number for the whole batch, argmax() of the scores and of the labels: "
            "compare one class for each example": lambda y, s: float(s.argmax() == y.argmax()),
            "applies argmax to the labels, which are classes already":
                lambda y, s: (s.argmax(axis=-1) == y.argmax()).mean(),
            "tests whether the score of the label is greater than 0.5: use argmax":
                lambda y, s: (_chosen(y, s) > 0.5).mean(),
            "compares the score of the label with the largest one of the whole batch: use that of "
            "its row": lambda y, s: (_chosen(y, s) == s.max()).mean(),
            "compares each score with 0.5: use argmax over the classes":
                lambda y, s: ((s > 0.5) == _hot(y, s)).mean(),
            "compares one-hot predictions with one-hot labels, N x C elements: compare classes":
                lambda y, s: (_hot(s.argmax(axis=1), s) == _hot(y, s)).mean(),
            **{
                f"accepts the {k} largest scores: only the largest counts": partial(
                    lambda k, y, s: (s.argsort()[:, -k:] == y[:, None]).any(axis=1).mean(), k)
                for k in (2, 3, 5)
            },
            "compares the score of the label with the mean of its row: use argmax":
                lambda y, s: (_chosen(y, s) > s.mean(axis=1)).mean(),
            "rounds the scores first: compare them as they are":
                lambda y, s: (np.round(s).argmax(axis=1) == y).mean(),
            "sorts the predictions and the labels: compare those of the same example":
                lambda y, s: (np.sort(s.argmax(axis=1)) == np.sort(y)).mean(),
            "ignores the examples of class 0": lambda y, s: (s.argmax(axis=1) == y)[y > 0].mean(),
            "is the mean of the accuracies of the classes: take the mean over all examples":
                lambda y, s: np.mean([(s.argmax(axis=1) == c)[y == c].mean() for c in set(y)]),
            "uses only the first 3 classes": lambda y, s: (s[:, :3].argmax(axis=1) == y).mean(),
            "uses argmax over the batch (axis=0), and as many labels":
                lambda y, s: np.mean([a == b for a, b in zip(s.argmax(axis=0), y, strict=False)]),
            "uses argmax over the batch (axis=0), and as many labels, and divides by N":
                lambda y, s: sum(map(np.equal, s.argmax(axis=0), y)) / len(y),
            "compares the sets of predictions and labels, not those of each example":
                lambda y, s: len({*s.argmax(axis=1)} & {*y}) / len({*y}),
            "subtracts the distances between class numbers: count the predictions that are equal":
                lambda y, s: 1 - np.abs(s.argmax(axis=1) - y).mean(),
            "is 1 if any prediction is correct: take the mean":
                lambda y, s: (s.argmax(axis=1) == y).any(),
        },
        "reduce": {
            "is 1 or 0, whether the first example is correct: return the result after the loop":
                lambda hits, s: hits.flat[0] * 1.0,
            "is 1 or 0, whether the last example is correct: count all examples":
                lambda hits, s: hits.flat[-1] * 1.0,
            "counts only the first example: return the result after the loop":
                lambda hits, s: hits.flat[0] / hits.size,
            "counts only the last example: add up all examples, with +=":
                lambda hits, s: hits.flat[-1] / hits.size,
            "is rounded to 0 or 1": lambda hits, s: np.round(hits.mean()),
            "counts the correct predictions: divide by the batch size": lambda hits, s: hits.sum(),
            "stops at the first wrong prediction: count all examples":
                lambda hits, s: np.logical_and.accumulate(hits.ravel()).mean(),
            "stops at the first correct prediction: count all examples":
                lambda hits, s: hits.any() / hits.size,
            "returns one value for each example: take the mean": lambda hits, s: hits,
            "is a percentage: return a fraction between 0 and 1": lambda hits, s: 100 * hits.mean(),
            "is the error rate, 1 - accuracy: compare with ==": lambda hits, s: 1 - hits.mean(),
            "is 0 unless all predictions are correct: take the mean, and divide with /, not //":
                lambda hits, s: hits.sum() // hits.size,
        },
    },
)  # fmt: skip
