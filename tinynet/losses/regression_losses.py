"""Regression losses: distances between predictions and targets."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import config, functional, ops
from tinynet._core import argument, checks, declared
from tinynet.losses.function_loss import LossFunction
from tinynet.losses.loss import DenseLoss, _registry
from tinynet.program import Array

__all__ = ["CosineSimilarity", "Huber", "KLDivergence", "LogCosh", "MeanAbsoluteError"]
__all__ += ["MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError"]
__all__ += ["Poisson", "cosine_similarity"]


class FormulaLoss(DenseLoss):
    """The base of losses that are one formula, whose first argument is the reduction.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> FormulaLoss("sum", "own").get_config()
    {'name': 'own', 'reduction': 'sum'}
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)


class MeanCost(FormulaLoss):
    """The base of means, over the last axis, of a cost of each error.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> float(MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]]))
    5.0
    """

    #: Name of the cost in `functional.ERRORS`, and its further arguments.
    cost = ""
    options: tuple[float, ...] = ()

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return functional.mean_error(self.cost, y_true, y_pred, self.options)

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the predictions."""
        return functional.mean_error_backward(self.cost, d_values, y_true, y_pred, self.options)

    def _true_gradient(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        return -self.backward(d_values, y_true, y_pred)  # the cost is one of their difference


@_registry.register()
class MeanSquaredError(MeanCost):
    """Mean of the squared errors: ``mean((y_pred - y_true)**2)``.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> float(MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]]))
    0.5
    """

    cost = "squared"


@_registry.register()
class MeanAbsoluteError(MeanCost):
    """Mean of the absolute errors: ``mean(|y_pred - y_true|)``.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> float(MeanAbsoluteError()([[0.0, 1.0]], [[3.0, 1.0]]))
    1.5
    """

    cost = "absolute"


@_registry.register()
class LogCosh(MeanCost):
    """Mean of the errors' ``log(cosh(y_pred - y_true))``.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> round(float(LogCosh()([[0.0, 0.0]], [[1.0, 0.0]])), 4)
    0.2169
    """

    cost = "log_cosh"


@declared(_registry)
class Huber(MeanCost):
    """Mean of a cost that is quadratic for small errors and linear for large ones.

    ``e**2 / 2`` up to `delta`, ``delta * |e| - delta**2 / 2`` above.

    Parameters
    ----------
    delta : float
        Absolute error above which the cost is linear.
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> float(Huber()([[0.0, 0.0]], [[1.0, 3.0]]))
    1.5
    """

    delta: float = argument(1.0, checks.number, 0, open_low=True)
    reduction: str | None = argument("sum_over_batch_size")
    name: Any = argument("huber_loss")
    dtype: Any = argument(None)

    cost = "huber"

    def __complete(self) -> None:
        self.options = (self.delta,)


@_registry.register()
class KLDivergence(FormulaLoss):
    """Kullback-Leibler divergence: ``sum(y_true * log(y_true / y_pred))``.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> round(float(KLDivergence()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    target_range = (0.0, 1.0)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return functional.kl_divergence(y_true, y_pred, config.epsilon())

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the predictions."""
        return functional.kl_divergence_backward(d_values, y_true, y_pred, config.epsilon())

    def _true_gradient(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        low = y_true.dtype.type(config.epsilon())
        y, p = np.clip(y_true, low, 1), np.clip(y_pred, low, 1)
        inside = (y_true >= low) & (y_true <= 1)
        return d_values[..., None] * inside * (np.log(y / p) + 1)


@_registry.register()
class Poisson(FormulaLoss):
    """Poisson loss of predicted rates: ``mean(y_pred - y_true * log(y_pred + epsilon))``.

    Up to a constant, it is the negative log-likelihood of counts `y_true` that are distributed
    as Poisson with the mean `y_pred`.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    Rates of 1, whose logarithm is 0, and of 2: ``(1 + 2 - 3 * log(2)) / 2``.

    >>> round(float(Poisson()([[5.0, 3.0]], [[1.0, 2.0]])), 4)
    0.4603
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return ops.mean(y_pred - y_true * ops.log(y_pred + config.epsilon()), axis=-1)


@_registry.register()
class MeanAbsolutePercentageError(FormulaLoss):
    """Mean of the errors in percent: ``mean(100 * |y_true - y_pred| / max(|y_true|, epsilon))``.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    The first prediction is off by a quarter of the target, the second by a half.

    >>> float(MeanAbsolutePercentageError()([[4.0, 2.0]], [[5.0, 1.0]]))
    37.5
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        size = ops.maximum(ops.abs(y_true), config.epsilon())
        return 100 * ops.mean(ops.abs((y_true - y_pred) / size), axis=-1)


@_registry.register()
class MeanSquaredLogarithmicError(FormulaLoss):
    """Mean of the squared differences ``log(y_pred + 1) - log(y_true + 1)``.

    Numbers below `config.epsilon()` are replaced by it.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    Twice the target plus 1 costs ``log(2) ** 2``, whatever the size of the target.

    >>> [round(float(MeanSquaredLogarithmicError()([[y]], [[2 * y + 1]])), 4) for y in (1.0, 99.0)]
    [0.4805, 0.4805]
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        logs = (ops.log(ops.maximum(y, config.epsilon()) + 1) for y in (y_pred, y_true))
        return ops.mean(ops.square(ops.subtract(*logs)), axis=-1)


@declared(_registry)
class CosineSimilarity(FormulaLoss):
    """Cosine of the angle between targets and predictions, negated: -1 for the same direction.

    Parameters
    ----------
    axis : int
        Axis of the vectors; not 0, the axis of the examples.
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> loss = CosineSimilarity(reduction="none")
    >>> loss([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], [[0.0, 5.0], [3.0, 0.0], [3.0, 4.0]]).numpy()
    array([-1. , -0. , -0.8], dtype=float32)
    """

    axis: int = argument(-1, checks.whole, -64)
    reduction: str | None = argument("sum_over_batch_size")
    name: Any = argument(None)
    dtype: Any = argument(None)

    def prepare(self, y_true: Any, output_shape: tuple[int | None, ...]) -> Array:
        """Check the axis, and that the targets are finite and of the predictions' shape."""
        n = len(output_shape)
        if self.axis % n == 0 or not -n <= self.axis < n:
            raise ValueError(
                f"axis must be an axis of predictions of shape {tuple(output_shape)} other than "
                f"the first. Received: axis={self.axis}"
            )
        return super().prepare(y_true, output_shape)

    def values_shape(self, y_true: Array, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the shape of the values: that of the targets without the axis."""
        axis = self.axis % y_true.ndim
        return y_true.shape[:axis] + y_true.shape[axis + 1 :]

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return -ops.sum(
            ops.normalize(y_true, self.axis) * ops.normalize(y_pred, self.axis), axis=self.axis
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; the axis, which Keras leaves out, if it differs."""
        left_out = ("axis",) if self.axis == -1 else ()
        return {k: v for k, v in super().get_config().items() if k not in left_out}


cosine_similarity = LossFunction(CosineSimilarity)
