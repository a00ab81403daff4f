"""How much of the targets' variance predictions explain."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import checks
from tinynet.arguments import argument, declared
from tinynet.losses import fit_weights, numeric
from tinynet.metrics.accuracy import _column, _in_columns, _same_shape
from tinynet.metrics.base import Metric, _registry
from tinynet.variable import Array, Tensor, as_tensor

__all__ = ["R2Score"]

_AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


@declared(_registry)
class R2Score(Metric):
    """Coefficient of determination: ``1 - sum((y - y_pred)**2) / sum((y - mean(y))**2)``.

    It is 1 for perfect predictions, and 0 for those that are always the mean of the targets.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        How to average over several outputs; None for one result per output.
    num_regressors : int
        Number of inputs of the model for the adjusted score, or 0 for the plain score.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    The targets vary by ``1 + 0 + 1`` around their mean, and are missed by ``0.5**2 + 0.5**2``.

    >>> float(R2Score()([[1.0], [2.0], [3.0]], [[1.5], [2.0], [2.5]]))
    0.75
    """

    class_aggregation: Any = argument("uniform_average", checks.choice, _AGGREGATIONS)
    num_regressors: int = argument(0, checks.whole, 0)
    name: Any = argument("r2_score")
    dtype: Any = argument(None)

    _direction = "up"
    by_example = True

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Check the shapes."""
        expected = (*y_true.shape[:1], *output_shape[1:])
        _same_shape(self.name, _column(y_true, expected), expected)
        _in_columns(self.name, output_shape, *(v.shape[0] for v in self._variables[:1]))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        predictions = numeric("y_pred", y_pred, np.float64)
        y_true = numeric("y_true", y_true, np.float64)
        R2Score.check_targets(self, y_true, predictions.shape)
        y = _column(y_true, predictions.shape)
        weights = np.ones(y.shape)
        if sample_weight is not None:
            weights = fit_weights(numeric("sample_weight", sample_weight, np.float64), y.shape)
        parts = {
            "sum": weights * y,
            "squared_sum": weights * y * y,
            "residual": weights * (y - predictions) ** 2,
            "count": weights,
            "num_samples": np.ones(y.shape),
        }
        if not self._variables:
            for name in parts:
                self.add_variable(y.shape[1:], dtype="float64", name=name)
        for variable, part in zip(self._variables, parts.values(), strict=True):
            variable.assign_add(part.sum(axis=0))

    def result(self) -> Tensor:
        """Compute the score; NaN if the targets do not vary and are met exactly."""
        sums, squares, residual, count, samples = (np.asarray(v) for v in self._variables)
        with np.errstate(divide="ignore", invalid="ignore"):
            total = squares - sums * sums / count
            score = 1 - residual / total
            score = np.where(np.isinf(score), 0, score)
            if self.class_aggregation == "uniform_average":
                score = np.mean(score)
            elif self.class_aggregation == "variance_weighted_average":
                score = np.sum(total * score) / np.sum(total)
        left = samples.sum() - self.num_regressors - 1
        if self.num_regressors and left > 0:
            score = 1 - (1 - score) * (samples.sum() - 1) / left
        elif self.num_regressors:
            checks.warn(
                "num_regressors must be less than the number of targets minus 1 for the adjusted "
                "R2 score; the result is the plain score. "
                f"Received: num_regressors={self.num_regressors}, {samples.sum():g} targets"
            )
        return as_tensor(np.asarray(score, self.dtype))
