"""Metrics that are computed from the confusion matrix: counts, precision, recall, AUC."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import activations, config
from tinynet._core import argument, checks, declared, required
from tinynet.losses import numeric
from tinynet.metrics.accuracy_metrics import _column, _in_columns, _same_shape, _weights
from tinynet.metrics.metric import Metric, _registry
from tinynet.program import Array, Tensor, Variable, as_tensor
from tinynet.program.symbols import spend

__all__ = ["AUC", "FalseNegatives", "FalsePositives", "Precision", "PrecisionAtRecall", "Recall"]
__all__ += ["RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity"]
__all__ += ["TrueNegatives", "TruePositives"]


_COUNTS = ("true_positives", "false_negatives", "false_positives", "true_negatives")


class ConfusionMetric(Metric):
    """Base class of the metrics that count true and false positives and negatives.

    There is one count for each threshold. A prediction is positive if it is above the threshold; a
    target is positive if it is not 0.
    """

    by_example = True
    #: Names of the counts that the metric uses.
    _counted: tuple[str, ...] = _COUNTS
    #: If True, each label (column) has separate counts.
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
        """Return the thresholds. The default is 0.5, or -inf if `top_k` is given."""
        default = 0.5 if self.top_k is None else -np.inf
        return np.atleast_1d(default if self.thresholds is None else self.thresholds)

    def _add_counts(self, *labels: int) -> None:
        for name in self._counted:
            shape = (len(self._limits), *labels)
            setattr(self, name, self.add_variable(shape, name=name, dtype="float64"))

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Validate the targets as `update_state` does."""
        self._check(y_true, output_shape)

    def _check(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Check that the targets are from 0 to 1, and that `top_k` and `class_id` are in range."""
        low, high = (y_true.min(), y_true.max()) if y_true.size else (0, 0)
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"Targets of {self.name} must be 0 or 1; convert targets -1 and 1 with "
                "(y + 1) / 2, and class labels with utils.to_categorical. "
                f"Received: targets from {low:g} to {high:g}"
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
        """Update the state with a batch."""
        scores = numeric("y_pred", y_pred, self.dtype)
        y_true = numeric("y_true", y_true)
        self._check(y_true, scores.shape)
        actual, scores = self._binarized(_column(y_true, scores.shape), scores)
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
        # For each label, a histogram of the number of thresholds below each prediction.
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

    def _binarized(self, y_true: Array, scores: Array) -> tuple[Array, Array]:
        """Return targets of 0 or 1, and a copy of the scores."""
        return (y_true != 0).astype(np.float64), scores.copy()

    def _above(self, scores: Array) -> Array:
        """Return the number of thresholds below each score; 0 for NaN."""
        if self._evenly:  # the formula of Keras, so that rounding errors at thresholds are equal
            steps = scores.dtype.type(len(self._limits) - 1)
            above = np.maximum(np.ceil(np.clip(scores, 0, 1) * steps), self._limits[0] < 0)
        else:
            above = np.searchsorted(self._limits, scores)
        return np.where(np.isnan(scores), 0, above).astype(np.int64)

    def _ratio(self, part: str, rest: str) -> Array:
        """Return ``part / (part + rest)`` for two counts."""
        counts = np.asarray(getattr(self, part))
        return _divide(counts, counts + np.asarray(getattr(self, rest)))

    def _for_thresholds(self, values: Array) -> Tensor:
        """Return a vector with one value per threshold, or a scalar for a single threshold."""
        return as_tensor(np.asarray(values if len(values) > 1 else values[0], self.dtype))


def _divide(a: Array, b: Array) -> Array:
    """Divide; the result is 0 where the divisor is 0."""
    return np.where(b == 0, 0, a / np.where(b == 0, 1, b))


def _checked(name: str, values: Any, high: float = 1) -> Any:
    """Validate an argument that is None, a number from 0 to `high`, or a list of such numbers."""
    if not isinstance(values, list | tuple):
        return checks.optional(checks.number, name, values, 0, high)
    if not values:
        raise ValueError(f"{name} must not be empty. Received: {name}={values}")
    return [checks.number(name, value, 0, high) for value in values]


@declared()
class _Count(ConfusionMetric):
    """Base class of the metrics that return one of the counts."""

    thresholds: Any = argument(None, _checked)
    name: Any = argument(None)
    dtype: Any = argument(None)

    def result(self) -> Tensor:
        """Return the count, or one count for each threshold."""
        return self._for_thresholds(np.asarray(self._variables[0]))


@_registry.register()
class TruePositives(_Count):
    """Number of true positives: positive targets that are predicted to be positive.

    If sample weights are given, the sum of the weights of these examples.

    Parameters
    ----------
    thresholds : float or list of float, optional
        Threshold above which a prediction is positive; by default 0.5. If a list is given, the
        result is a vector with one value for each threshold.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(TruePositives()([0, 0, 1, 1, 1], [0.2, 0.8, 0.3, 0.9, 0.6]))
    2.0
    """

    _counted = ("true_positives",)


@_registry.register()
class TrueNegatives(_Count):
    """Number of true negatives: negative targets that are predicted to be negative.

    If sample weights are given, the sum of the weights of these examples.

    Parameters
    ----------
    thresholds : float or list of float, optional
        Threshold above which a prediction is positive; by default 0.5. If a list is given, the
        result is a vector with one value for each threshold.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(TrueNegatives()([0, 0, 1, 1, 1], [0.2, 0.8, 0.3, 0.9, 0.6]))
    1.0
    """

    _counted = ("true_negatives",)


@_registry.register()
class FalsePositives(_Count):
    """Number of false positives: negative targets that are predicted to be positive.

    If sample weights are given, the sum of the weights of these examples.

    Parameters
    ----------
    thresholds : float or list of float, optional
        Threshold above which a prediction is positive; by default 0.5. If a list is given, the
        result is a vector with one value for each threshold.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(FalsePositives()([0, 0, 1, 1, 1], [0.2, 0.8, 0.3, 0.9, 0.6]))
    1.0
    """

    _counted = ("false_positives",)


@_registry.register()
class FalseNegatives(_Count):
    """Number of false negatives: positive targets that are predicted to be negative.

    If sample weights are given, the sum of the weights of these examples.

    Parameters
    ----------
    thresholds : float or list of float, optional
        Threshold above which a prediction is positive; by default 0.5. If a list is given, the
        result is a vector with one value for each threshold.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(FalseNegatives()([0, 0, 1, 1, 1], [0.2, 0.8, 0.3, 0.9, 0.6]))
    1.0
    """

    _counted = ("false_negatives",)


@declared()
class _Share(ConfusionMetric):
    """Base class of precision and recall: a ratio of two counts."""

    thresholds: Any = argument(None, _checked)
    top_k: int | None = argument(None, checks.whole)
    class_id: int | None = argument(None, checks.whole, 0)
    name: Any = argument(None)
    dtype: Any = argument(None)

    _direction = "up"

    def result(self) -> Tensor:
        """Compute the ratio, or one ratio for each threshold."""
        return self._for_thresholds(self._ratio(*self._counted))


@_registry.register()
class Precision(_Share):
    """Precision: fraction of positive predictions that are correct, ``TP / (TP + FP)``.

    Parameters
    ----------
    thresholds : float or list of float, optional
        Threshold above which a prediction is positive; by default 0.5, or no threshold if
        `top_k` is given. If a list is given, the result is a vector with one value for each
        threshold.
    top_k : int, optional
        If given, only the `top_k` largest predictions of each row can be positive.
    class_id : int, optional
        Index of the only class to consider; by default, all classes.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    Of 3 positive predictions, 2 are correct:

    >>> round(float(Precision()([0, 1, 1, 1], [1, 0, 1, 1])), 4)
    0.6667
    >>> float(Precision(top_k=1)([[0, 1, 1]], [[0.2, 0.5, 0.3]]))
    1.0
    """

    _counted = ("true_positives", "false_positives")


@_registry.register()
class Recall(_Share):
    """Recall: fraction of positive targets that are predicted correctly, ``TP / (TP + FN)``.

    Parameters
    ----------
    thresholds, top_k, class_id, name, dtype : object
        See `Precision`.

    Examples
    --------
    Of 3 positive targets, 2 are predicted to be positive:

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
    """Base class of metrics that maximize one ratio over thresholds.

    Only thresholds at which another ratio has at least a given value are considered.
    """

    num_thresholds: int = argument(200, checks.whole)
    class_id: int | None = argument(None, checks.whole, 0)
    name: Any = argument(None)
    dtype: Any = argument(None)

    _direction = "up"
    #: Names of the ratio with a lower bound, and of the ratio to maximize.
    _given = _sought = ""

    def _given_limits(self) -> Any:
        n = self.num_thresholds
        spend(100 * n)  # a threshold takes as much memory as 100 elements
        return np.linspace(0, 1, n) if n > 1 else [0.5]

    def result(self) -> Tensor:
        """Compute the best value; 0 if no threshold satisfies the condition."""
        given = self._ratio(*_RATIOS[self._given]).astype(self.dtype)
        enough = given >= getattr(self, self._given)
        sought = np.where(enough, self._ratio(*_RATIOS[self._sought]), 0)
        return as_tensor(np.asarray(sought.max(), self.dtype))


@declared(_registry)
class SensitivityAtSpecificity(_Best):
    """Best sensitivity over all thresholds at which the specificity is at least a given value.

    Sensitivity is ``TP / (TP + FN)``, and specificity is ``TN / (TN + FP)``.

    Parameters
    ----------
    specificity : float
        Minimum specificity, from 0 to 1.
    num_thresholds : int
        Number of thresholds, evenly spaced from 0 to 1.
    class_id : int, optional
        Index of the only class to consider; by default, all classes.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    At thresholds from 0.3 to 0.8, the specificity is 2/3 and the sensitivity is 1/2.

    >>> metric = SensitivityAtSpecificity(0.5)
    >>> float(metric([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
    0.5
    """

    specificity: float = required(checks.number, 0, 1)  # type: ignore[misc]  # required

    _given, _sought = "specificity", "sensitivity"


@declared(_registry)
class SpecificityAtSensitivity(_Best):
    """Best specificity over all thresholds at which the sensitivity is at least a given value.

    Specificity is ``TN / (TN + FP)``, and sensitivity is ``TP / (TP + FN)``.

    Parameters
    ----------
    sensitivity : float
        Minimum sensitivity, from 0 to 1.
    num_thresholds : int
        Number of thresholds, evenly spaced from 0 to 1.
    class_id : int, optional
        Index of the only class to consider; by default, all classes.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    At thresholds from 0.3 to 0.8, the sensitivity is 1/2 and the specificity is 2/3.

    >>> metric = SpecificityAtSensitivity(0.5)
    >>> round(float(metric([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8])), 4)
    0.6667
    """

    sensitivity: float = required(checks.number, 0, 1)  # type: ignore[misc]  # required

    _given, _sought = "sensitivity", "specificity"


@declared(_registry)
class PrecisionAtRecall(_Best):
    """Best precision over all thresholds at which the recall is at least a given value.

    Precision is ``TP / (TP + FP)``, and recall is ``TP / (TP + FN)``.

    Parameters
    ----------
    recall : float
        Minimum recall, from 0 to 1.
    num_thresholds : int
        Number of thresholds, evenly spaced from 0 to 1.
    class_id : int, optional
        Index of the only class to consider; by default, all classes.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    At thresholds from 0.3 to 0.8, the recall is 1/2 and the precision is 1/2.

    >>> metric = PrecisionAtRecall(0.5)
    >>> float(metric([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
    0.5
    """

    recall: float = required(checks.number, 0, 1)  # type: ignore[misc]  # required

    _given, _sought = "recall", "precision"


@declared(_registry)
class RecallAtPrecision(_Best):
    """Best recall over all thresholds at which the precision is at least a given value.

    Recall is ``TP / (TP + FN)``, and precision is ``TP / (TP + FP)``.

    Parameters
    ----------
    precision : float
        Minimum precision, from 0 to 1.
    num_thresholds : int
        Number of thresholds, evenly spaced from 0 to 1.
    class_id : int, optional
        Index of the only class to consider; by default, all classes.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    At thresholds below 0.3, 4 predictions are positive. Two of them are correct, which is a
    precision of 1/2, and these are all positive targets, which is a recall of 1.

    >>> metric = RecallAtPrecision(0.5)
    >>> float(metric([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
    1.0
    """

    precision: float = required(checks.number, 0, 1)  # type: ignore[misc]  # required

    _given, _sought = "precision", "recall"


# Upper and lower case are accepted.
_CURVES = ("ROC", "PR", "PRGAIN", "roc", "pr", "prgain")


_METHODS = ("interpolation", "minoring", "majoring", "Interpolation", "Minoring", "Majoring")


@declared(_registry)
class AUC(ConfusionMetric):
    """Area under the ROC curve, or under another curve over all thresholds from 0 to 1.

    The area under the ROC curve is the probability that a positive example has a larger prediction
    than a negative example. It is approximated with a finite number of thresholds.

    Parameters
    ----------
    num_thresholds : int
        Number of thresholds, evenly spaced from 0 to 1; at least 2.
    curve : {"ROC", "PR", "PRGAIN"}
        Curve: true positive rate against false positive rate (ROC), precision against recall (PR),
        or precision gain against recall gain (PRGAIN).
    summation_method : {"interpolation", "minoring", "majoring"}
        Height of the curve between adjacent thresholds: mean ("interpolation"; for PR, from
        interpolated counts [1]_), minimum ("minoring") or maximum ("majoring") of the two points.
    name, dtype : str, optional
        See `Metric`.
    thresholds : list of float, optional
        Thresholds, instead of `num_thresholds`; 0 and 1 are added.
    multi_label : bool
        If True, compute the area for each label (column) and return the mean; otherwise, flatten
        the predictions into a single label.
    num_labels : int, optional
        Number of labels, if `multi_label` is True.
    label_weights : list of float, optional
        Weights of the labels in the mean, or of their predictions if `multi_label` is False.
    from_logits : bool
        If True, the predictions are logits; otherwise, they are probabilities.

    References
    ----------
    .. [1] Davis and Goadrich, "The Relationship Between Precision-Recall and ROC Curves", ICML
       2006.

    Examples
    --------
    In 3 of the 4 pairs of a positive and a negative example, the positive example has the larger
    prediction.

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
        spend(self.num_thresholds * (100 + 4 * (self.num_labels or 1)))
        inner = np.linspace(0, 1, self.num_thresholds)[1:-1]
        if self._own:
            inner = np.sort(self.thresholds, axis=None)
            self.num_thresholds = len(inner) + 2
        self.thresholds = [-config.epsilon(), *inner.tolist(), 1 + config.epsilon()]
        return self.thresholds

    def __complete(self) -> None:
        if self.num_labels:
            self._add_counts(self.num_labels)

    def _binarized(self, y_true: Array, scores: Array) -> tuple[Array, Array]:
        scores = np.asarray(activations.sigmoid(scores)) if self.from_logits else scores
        return super()._binarized(y_true, scores)

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
        """Return the constructor arguments."""
        own = super().get_config()
        if self._own:
            return {**own, "thresholds": self.thresholds[1:-1]}
        del own["thresholds"]
        return own

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Create a metric from its configuration; Keras saves `label_weights` as a tensor."""
        weights = config.get("label_weights")
        if isinstance(weights, dict):
            config = {**config, "label_weights": weights["config"]["value"]}
        return super().from_config(config)


def _interpolated(tp: Array, fn: Array, p: Array) -> Array:
    """Compute the areas under the PR curve between thresholds, with interpolated true positives.

    Between two points, the number of true positives is a linear function of the number of positive
    predictions, with slope `slope`.
    """
    d_tp, d_p = tp[:-1] - tp[1:], p[:-1] - p[1:]
    slope = _divide(d_tp, d_p)
    intercept = tp[1:] - slope * p[1:]
    ratio = np.where((p[:-1] > 0) & (p[1:] > 0), _divide(p[:-1], p[1:]), 1)
    return _divide(slope * (d_tp + intercept * np.log(ratio)), tp[1:] + fn[1:])
