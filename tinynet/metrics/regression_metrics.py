"""Metrics for regression."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import losses
from tinynet._core import argument, checks, declared
from tinynet.metrics.accuracy_metrics import _column, _in_columns, _same_shape, _weights
from tinynet.metrics.loss_metric import LossMetric
from tinynet.metrics.metric import Metric, _registry
from tinynet.program import Array, Tensor, as_tensor

__all__ = ["CosineSimilarity", "LogCoshError", "MeanAbsoluteError", "MeanAbsolutePercentageError"]
__all__ += ["MeanSquaredError", "MeanSquaredLogarithmicError", "R2Score", "RootMeanSquaredError"]


@_registry.register("mse", "MSE")
class MeanSquaredError(LossMetric):
    """Mean squared error: ``mean((y_pred - y_true)**2)``.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(MeanSquaredError()([[0, 1], [0, 0]], [[1, 1], [0, 0]]))
    0.25
    """

    loss_class = losses.MeanSquaredError


@_registry.register()
class RootMeanSquaredError(MeanSquaredError):
    """Root mean squared error: ``sqrt(mean((y_pred - y_true)**2))``.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(RootMeanSquaredError()([[0, 1], [0, 0]], [[1, 1], [0, 0]]))
    0.5
    """

    def result(self) -> Tensor:
        """Compute the square root of the mean squared error."""
        return as_tensor(np.sqrt(super().result()))


@_registry.register("mae", "MAE")
class MeanAbsoluteError(LossMetric):
    """Mean absolute error: ``mean(|y_pred - y_true|)``.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(MeanAbsoluteError()([[0, 1], [0, 0]], [[3, 1], [0, 0]]))
    0.75
    """

    loss_class = losses.MeanAbsoluteError


@_registry.register("mape", "MAPE")
class MeanAbsolutePercentageError(LossMetric):
    """Mean absolute percentage error: ``100 * mean(|(y_true - y_pred) / y_true|)``.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(MeanAbsolutePercentageError()([[4.0, 2.0]], [[5.0, 1.0]]))
    37.5
    """

    loss_class = losses.MeanAbsolutePercentageError


@_registry.register("msle", "MSLE")
class MeanSquaredLogarithmicError(LossMetric):
    """Mean squared logarithmic error: ``mean((log(y_pred + 1) - log(y_true + 1))**2)``.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> round(float(MeanSquaredLogarithmicError()([[1.0]], [[3.0]])), 4)  # log(2) ** 2
    0.4805
    """

    loss_class = losses.MeanSquaredLogarithmicError


@_registry.register()
class LogCoshError(LossMetric):
    """Mean log-cosh error: ``mean(log(cosh(y_pred - y_true)))``.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> round(float(LogCoshError()([[0.0, 0.0]], [[1.0, 0.0]])), 4)
    0.2169
    """

    loss_class = losses.LogCosh

    def __init__(self, name: str | None = "logcosh", dtype: Any = None) -> None:
        super().__init__(name, dtype)


@declared(_registry)
class CosineSimilarity(LossMetric):
    """Mean cosine similarity of targets and predictions: 1 for vectors in the same direction.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.
    axis : int
        Axis along which the cosine similarity is computed.

    Examples
    --------
    >>> float(CosineSimilarity()([[0.0, 1.0], [0.0, 1.0]], [[0.0, 5.0], [3.0, 0.0]]))
    0.5
    """

    axis: int = argument(-1, checks.whole, -64)

    loss_class = losses.CosineSimilarity
    _direction = "up"

    def result(self) -> Tensor:
        """Return the mean cosine similarity: the negative of the mean loss."""
        return as_tensor(0 - super().result())

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments; as in Keras, `axis` is omitted if it is the default."""
        left_out = ("axis",) if self.axis == -1 else ()
        return {k: v for k, v in super().get_config().items() if k not in left_out}


_AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


@declared(_registry)
class R2Score(Metric):
    """R-squared, the coefficient of determination.

    ``1 - sum((y_true - y_pred)**2) / sum((y_true - mean(y_true))**2)``. It is 1 for perfect
    predictions, and 0 for predictions that are always the mean of the targets.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        Aggregation of the scores of several outputs; None returns one score per output.
    num_regressors : int
        Number of independent regressors for the adjusted R-squared; 0 for the standard R-squared.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    The residual sum of squares is ``0.5**2 + 0.5**2``, and the total sum of squares is
    ``1 + 0 + 1``: ``1 - 0.5 / 2 = 0.75``.

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
        """Validate the shapes of the targets and the predictions."""
        expected = (*y_true.shape[:1], *output_shape[1:])
        _same_shape(self.name, _column(y_true, expected), expected)
        _in_columns(self.name, output_shape, *(v.shape[0] for v in self._variables[:1]))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Update the state with a batch."""
        predictions = checks.numeric("y_pred", y_pred, np.float64)
        y_true = checks.numeric("y_true", y_true, np.float64)
        R2Score.check_targets(self, y_true, predictions.shape)
        y = _column(y_true, predictions.shape)
        weights = _weights(sample_weight, y.shape)
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
        """Compute the score; NaN if the targets are constant and the predictions are perfect."""
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
                "R2 score; the result is the standard R2 score. "
                f"Received: num_regressors={self.num_regressors}, {samples.sum():g} targets"
            )
        return as_tensor(np.asarray(score, self.dtype))
