"""F-scores: precision and recall in one number."""

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
    """Harmonic mean of precision and recall, in which recall counts `beta` times as much.

    ``(1 + beta**2) * precision * recall / (beta**2 * precision + recall)``

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None for one result per class, "macro" for their mean, "weighted" for their mean weighted
        by the number of positive targets; "micro" counts all predictions together.
    beta : float
        Weight of recall; above 0.
    threshold : float, optional
        Predictions above it are positive. By default, the largest of each row is.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    The precision of class 1 is 1/2, its recall is 1.

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
        """Check that targets are from 0 to 1, one for each of a row of predictions."""
        _in_columns(self.name, output_shape)
        super()._check(y_true, output_shape)

    def _decisive(self, y_true: Array, scores: Array) -> tuple[Array, Array]:
        if self.threshold is None:
            largest = scores >= scores.max(axis=-1, keepdims=True)
            scores = (largest & (np.abs(scores) > 1e-9)).astype(scores.dtype)
        return y_true.astype(np.float64), scores

    def result(self) -> Tensor:
        """Compute the score, one for each class without an average."""
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
    """Harmonic mean of precision and recall: ``2 * precision * recall / (precision + recall)``.

    Parameters
    ----------
    average, threshold, name, dtype : object
        As for `FBetaScore`.

    Examples
    --------
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
