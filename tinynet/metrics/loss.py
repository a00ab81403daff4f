"""Metrics that are the mean of a loss over all batches, and how much better than a mean it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tinynet import checks, losses
from tinynet.arguments import argument, declared
from tinynet.metrics.accuracy import _column, _in_columns, _same_shape, _weights
from tinynet.metrics.base import Mean, Metric, _registry
from tinynet.variable import Array, Tensor, as_tensor

__all__ = ["BinaryCrossentropy", "CategoricalCrossentropy", "CategoricalHinge", "CosineSimilarity"]
__all__ += ["Hinge", "KLDivergence", "LogCoshError", "LossMetric", "MeanAbsoluteError"]
__all__ += ["MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError"]
__all__ += ["Poisson", "R2Score"]
__all__ += ["RootMeanSquaredError", "SparseCategoricalCrossentropy", "SquaredHinge"]


class LossMetric(Mean):
    """The base of the losses as metrics: the mean of the loss's values.

    Parameters
    ----------
    loss : Loss
        Loss that computes them.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]]))
    5.0
    """

    _direction = "down"

    def __init__(self, loss: losses.Loss, name: str | None, dtype: Any) -> None:
        super().__init__(name, dtype)
        self._loss = loss
        self.logits_of = loss.logits_of

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Check targets as the loss does."""
        self._loss.prepare(y_true, output_shape)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # Mean takes values
        """Add a batch.

        Parameters
        ----------
        y_true : array_like, shape (N, ...)
            Targets.
        y_pred : array_like, shape (N, ..., C)
            Predictions.
        sample_weight : array_like, optional
            Weight of each example.
        """
        self._update(self._loss, y_true, y_pred, sample_weight)

    def traced_values(self, y_true: Any, y_pred: Any) -> Any:
        """Return the values of a batch whose arrays are traced; targets are of the same shape."""
        if y_true.shape != y_pred.shape and y_true.dtype != np.int64:
            return None
        return self._loss.call(y_true, y_pred)

    def _update_from_logits(self, y_true: Any, logits: Any, sample_weight: Any = None) -> None:
        """Add a batch, from the input of the activation that computes the predictions."""
        self._update(self._loss.on_logits(), y_true, logits, sample_weight)

    def _update(self, loss: losses.Loss, y_true: Any, y_pred: Any, sample_weight: Any) -> None:
        y_pred = checks.numeric("y_pred", y_pred, self.dtype)
        y_true = loss.prepare(y_true, y_pred.shape)
        values = np.asarray(loss.call(y_true, loss.squeezed(y_true, y_pred)))
        if sample_weight is not None:
            weights = checks.numeric("sample_weight", sample_weight, self.dtype)
            weights = losses.fit_weights(weights, values.shape)
            # As in Keras, ignored labels are left out of a weighted mean only.
            sample_weight = loss.effective_weights(y_true, weights)
        super().update_state(values, sample_weight)


class FormulaMetric(LossMetric):
    """The base of the metrics that are the mean of a loss with the same options.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> class Squares(FormulaMetric):
    ...     loss_class = losses.MeanSquaredError
    >>> float(Squares()([[0.0]], [[3.0]]))
    9.0
    """

    loss_class: type[losses.Loss]
    #: Options of the loss that the metric does not have.
    _fixed: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        own = {n: getattr(self, n) for n in self._arguments if n not in ("name", "dtype")}
        super().__init__(self.loss_class(**own, **self._fixed, dtype=dtype), name, dtype)


@_registry.register("mse", "MSE")
class MeanSquaredError(FormulaMetric):
    """Mean of the squared errors.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(MeanSquaredError()([[0, 1], [0, 0]], [[1, 1], [0, 0]]))
    0.25
    """

    loss_class = losses.MeanSquaredError


@_registry.register()
class RootMeanSquaredError(MeanSquaredError):
    """Square root of the mean of the squared errors.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(RootMeanSquaredError()([[0, 1], [0, 0]], [[1, 1], [0, 0]]))
    0.5
    """

    def result(self) -> Tensor:
        """Compute the root."""
        return as_tensor(np.sqrt(super().result()))


@_registry.register("mae", "MAE")
class MeanAbsoluteError(FormulaMetric):
    """Mean of the absolute errors.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(MeanAbsoluteError()([[0, 1], [0, 0]], [[3, 1], [0, 0]]))
    0.75
    """

    loss_class = losses.MeanAbsoluteError


@declared(_registry)
class SparseCategoricalCrossentropy(FormulaMetric):
    """Mean cross-entropy between class labels and predicted probabilities.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.
    from_logits : bool
        If True, the predictions are scores before softmax, rather than probabilities.
    ignore_class : int, optional
        Label whose value is 0. With sample weights its weight is 0 as well.
    axis : int
        Axis of the classes: the last.

    Examples
    --------
    >>> round(float(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]])), 4)
    0.6931
    """

    name: Any = argument(None)
    dtype: Any = argument(None)
    from_logits: bool = argument(False, checks.flag)
    ignore_class: int | None = argument(None)
    axis: int = argument(-1, checks.whole, -64)

    loss_class = losses.SparseCategoricalCrossentropy
    # The reduction decides how ignored labels are weighted: 0, and the others not more.
    _fixed = MappingProxyType({"reduction": "sum"})


@declared(_registry)
class CategoricalCrossentropy(FormulaMetric):
    """Mean cross-entropy between one-hot rows and predicted probabilities.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.
    from_logits : bool
        If True, the predictions are scores before softmax, rather than probabilities.
    label_smoothing : float
        Fraction of each true probability that is shared among all classes.
    axis : int
        Axis of the classes: the last.

    Examples
    --------
    >>> round(float(CategoricalCrossentropy()([[0, 1]], [[0.5, 0.5]])), 4)
    0.6931
    """

    name: Any = argument(None)
    dtype: Any = argument(None)
    from_logits: bool = argument(False, checks.flag)
    label_smoothing: float = argument(0.0, checks.number, 0, 1)
    axis: int = argument(-1, checks.whole, -64)

    loss_class = losses.CategoricalCrossentropy


@declared(_registry, "bce", "BCE")
class BinaryCrossentropy(FormulaMetric):
    """Mean cross-entropy between yes-or-no answers and predicted probabilities.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.
    from_logits : bool
        If True, the predictions are scores before sigmoid, rather than probabilities.
    label_smoothing : float
        Fraction by which true probabilities are moved towards one half.

    Examples
    --------
    >>> round(float(BinaryCrossentropy()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]])), 3)
    0.815
    """

    name: Any = argument(None)
    dtype: Any = argument(None)
    from_logits: bool = argument(False, checks.flag)
    label_smoothing: float = argument(0.0, checks.number, 0, 1)

    loss_class = losses.BinaryCrossentropy


@_registry.register("mape", "MAPE")
class MeanAbsolutePercentageError(FormulaMetric):
    """Mean of the errors, in percent of the targets.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(MeanAbsolutePercentageError()([[4.0, 2.0]], [[5.0, 1.0]]))
    37.5
    """

    loss_class = losses.MeanAbsolutePercentageError


@_registry.register("msle", "MSLE")
class MeanSquaredLogarithmicError(FormulaMetric):
    """Mean of the squared differences of ``log(1 + y)``.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> round(float(MeanSquaredLogarithmicError()([[1.0]], [[3.0]])), 4)  # log(2) ** 2
    0.4805
    """

    loss_class = losses.MeanSquaredLogarithmicError


@_registry.register()
class LogCoshError(FormulaMetric):
    """Mean of ``log(cosh(y_pred - y_true))``.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> round(float(LogCoshError()([[0.0, 0.0]], [[1.0, 0.0]])), 4)
    0.2169
    """

    loss_class = losses.LogCosh

    def __init__(self, name: str | None = "logcosh", dtype: Any = None) -> None:
        super().__init__(name, dtype)


@declared(_registry)
class CosineSimilarity(FormulaMetric):
    """Mean cosine of the angle between targets and predictions: 1 for the same direction.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.
    axis : int
        Axis of the vectors.

    Examples
    --------
    >>> float(CosineSimilarity()([[0.0, 1.0], [0.0, 1.0]], [[0.0, 5.0], [3.0, 0.0]]))
    0.5
    """

    name: Any = argument(None)
    dtype: Any = argument(None)
    axis: int = argument(-1, checks.whole, -64)

    loss_class = losses.CosineSimilarity
    _direction = "up"

    def result(self) -> Tensor:
        """Return the mean, of which the loss is the negative."""
        return as_tensor(0 - super().result())

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; the axis, which Keras leaves out, if it differs."""
        left_out = ("axis",) if self.axis == -1 else ()
        return {k: v for k, v in super().get_config().items() if k not in left_out}


@_registry.register()
class Poisson(FormulaMetric):
    """Mean Poisson loss of predicted rates.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> round(float(Poisson()([[5.0]], [[1.0]])), 4)
    1.0
    """

    loss_class = losses.Poisson


@_registry.register()
class KLDivergence(FormulaMetric):
    """Mean Kullback-Leibler divergence of predicted probabilities from true ones.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> round(float(KLDivergence()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    loss_class = losses.KLDivergence


@_registry.register()
class Hinge(FormulaMetric):
    """Mean hinge loss of targets -1 and 1, or 0 and 1.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(Hinge()([[1, -1]], [[0.5, -3.0]]))
    0.25
    """

    loss_class: type[losses.Loss] = losses.Hinge
    by_example = False  # whether targets are converted depends on the others in the batch


@_registry.register()
class SquaredHinge(Hinge):
    """Mean squared hinge loss of targets -1 and 1, or 0 and 1.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(SquaredHinge()([[1, -1]], [[0.5, -3.0]]))
    0.125
    """

    loss_class = losses.SquaredHinge


@_registry.register()
class CategoricalHinge(FormulaMetric):
    """Mean hinge loss of one-hot rows.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(CategoricalHinge()([[0, 1, 0]], [[0.5, 1.25, 0.25]]))
    0.25
    """

    loss_class = losses.CategoricalHinge


_AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


@declared(_registry)
class R2Score(Metric):
    """Coefficient of determination: ``1 - sum((y - y_pred)**2) / sum((y - mean(y))**2)``.

    It is 1 for perfect predictions, and 0 for those that are always the mean of the targets.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        Average over several outputs; None for one result per output.
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
