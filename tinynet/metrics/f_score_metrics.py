"""F-scores: combinations of precision and recall."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import config
from tinynet._core import argument, checks, declared
from tinynet.metrics.accuracy_metrics import _in_columns
from tinynet.metrics.confusion_metrics import ConfusionMetric
from tinynet.metrics.metric import _registry
from tinynet.program import Array, Tensor, as_tensor

__all__ = ["F1Score", "FBetaScore"]


@declared(_registry)
class FBetaScore(ConfusionMetric):
    """F-beta score: weighted harmonic mean of precision and recall.

    ``(1 + beta**2) * precision * recall / (beta**2 * precision + recall)``

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        Average over the classes. None: one score per class; "macro": unweighted mean of the
        scores; "weighted": mean weighted by the number of positive targets; "micro": score computed
        from the total counts.
    beta : float
        Weight of recall relative to precision; must be greater than 0.
    threshold : float, optional
        Threshold above which a prediction is positive. By default, only the largest prediction of
        each row is positive.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    The precision of class 1 is 1/2 and its recall is 1: ``5 * 1/2 / (4 * 1/2 + 1) = 0.8333``.

    >>> y_true, y_pred = [[1, 0], [1, 0], [0, 1]], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]
    >>> FBetaScore(beta=2.0)(y_true, y_pred).numpy().round(4)
    array([0.5556, 0.8333], dtype=float32)
    """

    average: Any = argument(None, checks.choice, (None, "micro", "macro", "weighted"))
    beta: float = argument(1.0, checks.number, 0, open_low=True)
    threshold: float | None = argument(None, checks.number, 0, 1, open_low=True)
    name: Any = argument("fbeta_score")
    dtype: Any = argument(None)

    _counted = ("true_positives", "false_negatives", "false_positives")
    _direction = "up"

    def _given_limits(self) -> Any:
        self.multi_label = self.average != "micro"
        return [0.5 if self.threshold is None else self.threshold]

    def _check(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Validate the targets, and check that the predictions are 2-D."""
        _in_columns(self.name, output_shape)
        super()._check(y_true, output_shape)

    def _binarized(self, y_true: Array, scores: Array) -> tuple[Array, Array]:
        if self.threshold is None:
            largest = scores >= scores.max(axis=-1, keepdims=True)
            scores = (largest & (np.abs(scores) > 1e-9)).astype(scores.dtype)
        return y_true.astype(np.float64), scores

    def result(self) -> Tensor:
        """Compute the score, or one score for each class if `average` is None."""
        epsilon, square = config.epsilon(), self.beta**2
        tp, fn, fp = (np.asarray(getattr(self, name))[0] for name in self._counted)
        precision, recall = tp / (tp + fp + epsilon), tp / (tp + fn + epsilon)
        score = (1 + square) * precision * recall / (square * precision + recall + epsilon)
        if self.average == "weighted":
            score = np.sum(score * (tp + fn)) / (np.sum(tp + fn) + epsilon)
        elif self.average is not None:
            score = np.mean(score)
        return as_tensor(np.asarray(score, self.dtype))


@_registry.register()
class F1Score(FBetaScore):
    """F1 score: ``2 * precision * recall / (precision + recall)``, their harmonic mean.

    Parameters
    ----------
    average, threshold, name, dtype : object
        See `FBetaScore`.

    Examples
    --------
    Class 1 has precision 1/2 and recall 1: ``2 * 1/2 / (1/2 + 1) = 0.6667``.

    >>> y_true, y_pred = [[1, 0], [1, 0], [0, 1]], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]
    >>> F1Score()(y_true, y_pred).numpy().round(4)
    array([0.6667, 0.6667], dtype=float32)
    """

    _arguments = ("name", "dtype", "average", "threshold")

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)
