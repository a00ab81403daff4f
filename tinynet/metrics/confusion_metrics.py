"""Counts of right and wrong decisions, and what is computed from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import activations, config
from tinynet._core import argument, checks, declared, required
from tinynet.losses import numeric
from tinynet.metrics.accuracy_metrics import _column, _in_columns, _same_shape, _weights
from tinynet.metrics.metric import Metric, _registry
from tinynet.program import Array, Tensor, Variable, as_tensor

__all__ = ["AUC", "FalseNegatives", "FalsePositives", "Precision", "PrecisionAtRecall", "Recall"]
__all__ += ["RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity"]
__all__ += ["TrueNegatives", "TruePositives"]


_COUNTS = ("true_positives", "false_negatives", "false_positives", "true_negatives")


class ConfusionMetric(Metric):
    """The base of the metrics that count decisions, for each of several thresholds.

    A prediction above a threshold is positive, any other is negative; a target other than 0 is
    positive.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> metric = ConfusionMetric()
    >>> metric.update_state([1, 1, 0], [0.9, 0.25, 0.75])
    >>> metric.true_positives.numpy(), metric.false_positives.numpy()
    (array([1.]), array([1.]))
    """

    by_example = True
    #: The counts that are kept.
    _counted: tuple[str, ...] = _COUNTS
    #: If True, each label (column) has its own counts.
    multi_label = False
    thresholds: Any = None
    top_k: int | None = None
    class_id: int | None = None
    label_weights: list[float] | None = None

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(dtype, name)
        limits = self._given_limits()
        n = len(limits)
        self._evenly = n > 2 and np.allclose(limits, np.linspace(0, 1, n), atol=config.epsilon())
        self._order = np.argsort(limits, kind="stable")
        self._limits = np.asarray(limits, self.dtype)[self._order]
        if not self.multi_label:
            self._add_counts()

    def _given_limits(self) -> Any:
        """Return the thresholds; by default, the best `top_k` count whatever their scores are."""
        default = 0.5 if self.top_k is None else -np.inf
        return np.atleast_1d(default if self.thresholds is None else self.thresholds)

    def _add_counts(self, *labels: int) -> None:
        for name in self._counted:
            shape = (len(self._limits), *labels)
            setattr(self, name, self.add_variable(shape, name=name, dtype="float64"))

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Check targets as `update_state` does."""
        self._check(y_true, output_shape)

    def _check(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Check that targets are from 0 to 1, and that the classes exist."""
        low, high = (y_true.min(), y_true.max()) if y_true.size else (0, 0)
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"{self.name} takes targets of 0 or 1; use (y + 1) / 2 for -1 and 1, and "
                f"utils.to_categorical for class labels. Received: targets from {low:g} to {high:g}"
            )
        expected = (*y_true.shape[:1], *output_shape[1:])
        _same_shape(self.name, _column(y_true, expected), expected)
        classes = output_shape[-1] or 0
        for name, value, most in (
            ("top_k", self.top_k, classes),
            ("class_id", self.class_id, classes - 1),
        ):
            if value is not None and (value > most or len(output_shape) < 2):
                raise ValueError(
                    f"{name} must be at most {most} for predictions of shape "
                    f"{tuple(output_shape)}. Received: {name}={value}"
                )
        if self.multi_label or self.label_weights:
            counts = [len(self.label_weights)] if self.label_weights else []
            counts += [v.shape[1] for v in self._variables[:1] if self.multi_label]
            rows = output_shape if self.multi_label else output_shape[-2:]
            _in_columns(self.name, rows, *counts)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        scores = numeric("y_pred", y_pred, self.dtype)
        y_true = numeric("y_true", y_true)
        self._check(y_true, scores.shape)
        actual, scores = self._decisive(_column(y_true, scores.shape), scores)
        weights = _weights(sample_weight, scores.shape)
        if self.label_weights and not self.multi_label:
            weights = weights * self.label_weights
        if self.top_k is not None:
            order = np.argsort(-scores, axis=-1, kind="stable")
            np.put_along_axis(scores, order[..., self.top_k :], -np.inf, axis=-1)
        if self.class_id is not None:
            actual, scores, weights = (a[..., self.class_id] for a in (actual, scores, weights))
        labels = scores.shape[-1] if self.multi_label else 1
        if not self._variables:
            self._add_counts(labels)
        # A histogram, for each label, of the number of thresholds that a prediction is above.
        size = len(self._limits) + 1
        places = (self._above(scores).reshape(-1, labels) + size * np.arange(labels)).ravel()
        found = []
        for kind in (actual, 1 - actual):
            parts = np.bincount(places, (weights * kind).ravel(), size * labels)
            parts = parts.reshape(labels, size)
            found += [parts[:, :0:-1].cumsum(axis=1)[:, ::-1], parts[:, :-1].cumsum(axis=1)]
        for name, counts in zip(_COUNTS, found, strict=True):
            if name in self._counted:
                variable: Variable = getattr(self, name)
                sums = counts.T[np.argsort(self._order)]
                variable.assign_add(sums.reshape(variable.shape))

    def _decisive(self, y_true: Array, scores: Array) -> tuple[Array, Array]:
        """Return targets of 0 or 1, and a copy of the scores to compare with the thresholds."""
        return (y_true != 0).astype(np.float64), scores.copy()

    def _above(self, scores: Array) -> Array:
        """Return how many of the thresholds each score is above: none if it is NaN."""
        if self._evenly:  # as Keras does, whose rounding decides for a score at a threshold
            steps = scores.dtype.type(len(self._limits) - 1)
            above = np.maximum(np.ceil(np.clip(scores, 0, 1) * steps), self._limits[0] < 0)
        else:
            above = np.searchsorted(self._limits, scores)
        return np.where(np.isnan(scores), 0, above).astype(np.int64)

    def _ratio(self, part: str, rest: str) -> Array:
        """Return one of two counts divided by their sum."""
        counts = np.asarray(getattr(self, part))
        return _divide(counts, counts + np.asarray(getattr(self, rest)))

    def _for_thresholds(self, values: Array) -> Tensor:
        """Return one value for each of several thresholds."""
        return as_tensor(np.asarray(values if len(values) > 1 else values[0], self.dtype))


def _divide(a: Array, b: Array) -> Array:
    """Divide; where the divisor is 0, the result is 0."""
    return np.where(b == 0, 0, a / np.where(b == 0, 1, b))


def _checked(name: str, values: Any, high: float = 1) -> Any:
    """Check an argument that is None, a number from 0 to `high`, or a list of such numbers."""
    if not isinstance(values, list | tuple):
        return checks.optional(checks.number, name, values, 0, high)
    if not values:
        raise ValueError(f"{name} must not be empty. Received: {name}={values}")
    return [checks.number(name, value, 0, high) for value in values]


@declared()
class _Count(ConfusionMetric):
    """The base of the metrics that are one count."""

    thresholds: Any = argument(None, _checked)
    name: Any = argument(None)
    dtype: Any = argument(None)

    def result(self) -> Tensor:
        """Return the count, one for each of several thresholds."""
        return self._for_thresholds(np.asarray(self._variables[0]))


@_registry.register()
class TruePositives(_Count):
    """Number of positive predictions of positive targets, or the sum of their weights.

    Parameters
    ----------
    thresholds : float or list of float, optional
        A prediction above it counts as positive; by default 0.5. The result of a list is a vector
        with one value for each threshold.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(TruePositives()([0, 0, 1, 1, 1], [0.2, 0.8, 0.3, 0.9, 0.6]))
    2.0
    """

    _counted = ("true_positives",)


@_registry.register()
class TrueNegatives(_Count):
    """Number of negative predictions of negative targets, or the sum of their weights.

    Parameters
    ----------
    thresholds : float or list of float, optional
        A prediction above it counts as positive; by default 0.5. The result of a list is a vector
        with one value for each threshold.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(TrueNegatives()([0, 0, 1, 1, 1], [0.2, 0.8, 0.3, 0.9, 0.6]))
    1.0
    """

    _counted = ("true_negatives",)


@_registry.register()
class FalsePositives(_Count):
    """Number of positive predictions of negative targets, or the sum of their weights.

    Parameters
    ----------
    thresholds : float or list of float, optional
        A prediction above it counts as positive; by default 0.5. The result of a list is a vector
        with one value for each threshold.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(FalsePositives()([0, 0, 1, 1, 1], [0.2, 0.8, 0.3, 0.9, 0.6]))
    1.0
    """

    _counted = ("false_positives",)


@_registry.register()
class FalseNegatives(_Count):
    """Number of negative predictions of positive targets, or the sum of their weights.

    Parameters
    ----------
    thresholds : float or list of float, optional
        A prediction above it counts as positive; by default 0.5. The result of a list is a vector
        with one value for each threshold.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(FalseNegatives()([0, 0, 1, 1, 1], [0.2, 0.8, 0.3, 0.9, 0.6]))
    1.0
    """

    _counted = ("false_negatives",)


@declared()
class _Share(ConfusionMetric):
    """The base of precision and recall: the fraction of true positives."""

    thresholds: Any = argument(None, _checked)
    top_k: int | None = argument(None, checks.whole)
    class_id: int | None = argument(None, checks.whole, 0)
    name: Any = argument(None)
    dtype: Any = argument(None)

    _direction = "up"

    def result(self) -> Tensor:
        """Compute the fraction, one for each of several thresholds."""
        return self._for_thresholds(self._ratio(*self._counted))


@_registry.register()
class Precision(_Share):
    """Fraction of positive predictions that are right.

    Parameters
    ----------
    thresholds : float or list of float, optional
        A prediction above it counts as positive; by default 0.5, and none with `top_k`. The
        result of a list is a vector with one value for each threshold.
    top_k : int, optional
        Only the `top_k` largest predictions of a row can count as positive.
    class_id : int, optional
        The only class to count.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> round(float(Precision()([0, 1, 1, 1], [1, 0, 1, 1])), 4)
    0.6667
    >>> float(Precision(top_k=1)([[0, 1, 1]], [[0.2, 0.5, 0.3]]))
    1.0
    """

    _counted = ("true_positives", "false_positives")


@_registry.register()
class Recall(_Share):
    """Fraction of positive targets that are predicted to be.

    Parameters
    ----------
    thresholds, top_k, class_id, name, dtype : object
        As for `Precision`.

    Examples
    --------
    >>> round(float(Recall()([0, 1, 1, 1], [1, 0, 1, 1])), 4)
    0.6667
    >>> float(Recall(top_k=1)([[0, 1, 1]], [[0.2, 0.5, 0.3]]))
    0.5
    """

    _counted = ("true_positives", "false_negatives")


_RATIOS = {
    "sensitivity": ("true_positives", "false_negatives"),
    "recall": ("true_positives", "false_negatives"),
    "specificity": ("true_negatives", "false_positives"),
    "precision": ("true_positives", "false_positives"),
}


@declared()
class _Best(ConfusionMetric):
    """The base of the best value of one ratio where another has at least a given value."""

    num_thresholds: int = argument(200, checks.whole)
    class_id: int | None = argument(None, checks.whole, 0)
    name: Any = argument(None)
    dtype: Any = argument(None)

    _direction = "up"
    #: The ratio that must have a value, and the one whose best value is sought.
    _given = _sought = ""

    def _given_limits(self) -> Any:
        n = self.num_thresholds
        return np.linspace(0, 1, n) if n > 1 else [0.5]

    def result(self) -> Tensor:
        """Compute the best value; 0 if no threshold meets the condition."""
        given = self._ratio(*_RATIOS[self._given]).astype(self.dtype)
        enough = given >= getattr(self, self._given)
        sought = np.where(enough, self._ratio(*_RATIOS[self._sought]), 0)
        return as_tensor(np.asarray(sought.max(), self.dtype))


@declared(_registry)
class SensitivityAtSpecificity(_Best):
    """Best sensitivity of all thresholds whose specificity is at least a given value.

    Sensitivity is the share of positive targets that are predicted to be;
    specificity is the share of negative targets that are predicted to be.

    Parameters
    ----------
    specificity : float
        Smallest specificity, from 0 to 1.
    num_thresholds : int
        Number of thresholds, evenly spaced from 0 to 1.
    class_id : int, optional
        The only class to count.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    Thresholds from 0.3 leave 2 of 3 negative targets below; 1 of 2 positive ones is above.

    >>> metric = SensitivityAtSpecificity(0.5)
    >>> float(metric([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
    0.5
    """

    specificity: float = required(checks.number, 0, 1)  # type: ignore[misc]  # it is the first

    _given, _sought = "specificity", "sensitivity"


@declared(_registry)
class SpecificityAtSensitivity(_Best):
    """Best specificity of all thresholds whose sensitivity is at least a given value.

    Specificity is the share of negative targets that are predicted to be;
    sensitivity is the share of positive targets that are predicted to be.

    Parameters
    ----------
    sensitivity : float
        Smallest sensitivity, from 0 to 1.
    num_thresholds : int
        Number of thresholds, evenly spaced from 0 to 1.
    class_id : int, optional
        The only class to count.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    Thresholds below 0.8 leave 1 of 2 positive targets above; 2 of 3 negative ones are below.

    >>> metric = SpecificityAtSensitivity(0.5)
    >>> round(float(metric([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8])), 4)
    0.6667
    """

    sensitivity: float = required(checks.number, 0, 1)  # type: ignore[misc]  # it is the first

    _given, _sought = "sensitivity", "specificity"


@declared(_registry)
class PrecisionAtRecall(_Best):
    """Best precision of all thresholds whose recall is at least a given value.

    Precision is the share of positive predictions that are right;
    recall is the share of positive targets that are predicted to be.

    Parameters
    ----------
    recall : float
        Smallest recall, from 0 to 1.
    num_thresholds : int
        Number of thresholds, evenly spaced from 0 to 1.
    class_id : int, optional
        The only class to count.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    Thresholds below 0.8 find at least half of the positive targets; half of the positive
    predictions are right.

    >>> metric = PrecisionAtRecall(0.5)
    >>> float(metric([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
    0.5
    """

    recall: float = required(checks.number, 0, 1)  # type: ignore[misc]  # it is the first

    _given, _sought = "recall", "precision"


@declared(_registry)
class RecallAtPrecision(_Best):
    """Best recall of all thresholds whose precision is at least a given value.

    Recall is the share of positive targets that are predicted to be;
    precision is the share of positive predictions that are right.

    Parameters
    ----------
    precision : float
        Smallest precision, from 0 to 1.
    num_thresholds : int
        Number of thresholds, evenly spaced from 0 to 1.
    class_id : int, optional
        The only class to count.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    Thresholds below 0.3 find 4 examples, of which 2 are positive: all that there are.

    >>> metric = RecallAtPrecision(0.5)
    >>> float(metric([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
    1.0
    """

    precision: float = required(checks.number, 0, 1)  # type: ignore[misc]  # it is the first

    _given, _sought = "precision", "recall"


# Both spellings of each are accepted.
_CURVES = ("ROC", "PR", "PRGAIN", "roc", "pr", "prgain")


_METHODS = ("interpolation", "minoring", "majoring", "Interpolation", "Minoring", "Majoring")


@declared(_registry)
class AUC(ConfusionMetric):
    """Area under a curve that predictions draw as the threshold moves from 0 to 1.

    Under the ROC curve, it is the probability that a positive example has a larger prediction than
    a negative one, to within the resolution of the thresholds.

    Parameters
    ----------
    num_thresholds : int
        Number of thresholds, evenly spaced from 0 to 1; at least 2.
    curve : {"ROC", "PR", "PRGAIN"}
        The ROC curve is the true positive rate over the false positive rate, the PR curve
        precision over recall, the PRGAIN curve precision gain over recall gain.
    summation_method : {"interpolation", "minoring", "majoring"}
        Height of the area between two points: in between (for PR, of interpolated counts [1]_),
        the lower, or the higher of the two.
    name, dtype : str, optional
        As for `Metric`.
    thresholds : list of float, optional
        Thresholds, instead of `num_thresholds`; 0 and 1 are added.
    multi_label : bool
        If True, the result is the mean of the areas of the labels (columns); else all predictions
        are counted as those of one label.
    num_labels : int, optional
        Number of labels, if `multi_label`.
    label_weights : list of float, optional
        Weights of the labels: of their areas if `multi_label`, else of their predictions.
    from_logits : bool
        If True, the predictions are scores before sigmoid, rather than probabilities.

    References
    ----------
    .. [1] Davis and Goadrich, "The Relationship Between Precision-Recall and ROC Curves", ICML
       2006.

    Examples
    --------
    Of the four pairs of a positive and a negative example, three are in the right order.

    >>> float(AUC()([0, 0, 1, 1], [0.1, 0.5, 0.3, 0.9]))
    0.75
    """

    num_thresholds: int = argument(200, checks.whole, 2)
    curve: str = argument("ROC", checks.choice, _CURVES)
    summation_method: str = argument("interpolation", checks.choice, _METHODS)
    name: Any = argument(None)
    dtype: Any = argument(None)
    thresholds: Any = argument(None, _checked)
    multi_label: bool = argument(False, checks.flag)
    num_labels: int | None = argument(None, checks.whole)
    label_weights: Any = argument(None, _checked, np.inf)
    from_logits: bool = argument(False, checks.flag)

    _direction = "up"

    def _given_limits(self) -> Any:
        allowed = self.multi_label or not self.num_labels
        expected = "num_labels must be None unless multi_label is True"
        checks.require(allowed, expected, f"num_labels={self.num_labels}")
        self.curve, self.summation_method = self.curve.upper(), self.summation_method.lower()
        if self.label_weights is not None:
            self.label_weights = np.atleast_1d(self.label_weights).tolist()
        self._own = self.thresholds is not None
        inner = np.linspace(0, 1, self.num_thresholds)[1:-1]
        if self._own:
            inner = np.sort(self.thresholds, axis=None)
            self.num_thresholds = len(inner) + 2
        self.thresholds = [-config.epsilon(), *inner.tolist(), 1 + config.epsilon()]
        return self.thresholds

    def __complete(self) -> None:
        if self.num_labels:
            self._add_counts(self.num_labels)

    def _decisive(self, y_true: Array, scores: Array) -> tuple[Array, Array]:
        scores = np.asarray(activations.sigmoid(scores)) if self.from_logits else scores
        return super()._decisive(y_true, scores)

    def result(self) -> Tensor:
        """Compute the area."""
        tp, fn, fp, tn = (np.asarray(getattr(self, name)) for name in _COUNTS)
        recall, precision = _divide(tp, tp + fn), _divide(tp, tp + fp)
        if (self.curve, self.summation_method) == ("PR", "interpolation"):
            areas = _interpolated(tp, fn, tp + fp)
        else:
            if self.curve == "ROC":
                x, y = _divide(fp, fp + tn), recall
            elif self.curve == "PR":
                x, y = recall, precision
            else:
                scale = _divide(tp + fn, tn + fp)
                x = np.where(tp == 0, 0, np.maximum(1 - scale * _divide(fn, tp), 0))
                y = np.where(tp == 0, 1, 1 - scale * _divide(fp, tp))
            heights = {
                "interpolation": (y[:-1] + y[1:]) / 2,
                "minoring": np.minimum(y[:-1], y[1:]),
                "majoring": np.maximum(y[:-1], y[1:]),
            }
            areas = (x[:-1] - x[1:]) * heights[self.summation_method]
        area = areas.sum(axis=0)
        if self.multi_label:
            weights = np.asarray(self.label_weights or np.ones(len(area)))
            area = _divide(np.sum(area * weights), weights.sum())
        return as_tensor(np.asarray(area, self.dtype))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = super().get_config()
        if self._own:
            return {**own, "thresholds": self.thresholds[1:-1]}
        del own["thresholds"]
        return own

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Build a metric from its configuration; Keras writes label weights as a tensor."""
        weights = config.get("label_weights")
        if isinstance(weights, dict):
            config = {**config, "label_weights": weights["config"]["value"]}
        return super().from_config(config)


def _interpolated(tp: Array, fn: Array, p: Array) -> Array:
    """Compute the areas under the PR curve between thresholds, of interpolated true positives.

    Between two points, the true positives grow by `slope` for each positive prediction.
    """
    d_tp, d_p = tp[:-1] - tp[1:], p[:-1] - p[1:]
    slope = _divide(d_tp, d_p)
    intercept = tp[1:] - slope * p[1:]
    ratio = np.where((p[:-1] > 0) & (p[1:] > 0), _divide(p[:-1], p[1:]), 1)
    return _divide(slope * (d_tp + intercept * np.log(ratio)), tp[1:] + fn[1:])
