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
    """Base class of the losses whose first argument is the reduction."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)


class MeanCost(FormulaLoss):
    """Base class of losses that average an elementwise error function over the last axis."""

    #: Name of the error function in `functional.ERRORS`, and its additional arguments.
    cost = ""
    options: tuple[float, ...] = ()

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return functional.mean_error(self.cost, y_true, y_pred, self.options)

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the predictions."""
        return functional.mean_error_backward(self.cost, d_values, y_true, y_pred, self.options)

    def _true_gradient(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        # The error function depends only on the difference between predictions and targets.
        return -self.backward(d_values, y_true, y_pred)


@_registry.register()
class MeanSquaredError(MeanCost):
    """Mean squared error: ``mean((y_pred - y_true)**2)``.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    ``((1 - 0)**2 + (1 - 1)**2) / 2``:

    >>> float(MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]]))
    0.5
    """

    cost = "squared"


@_registry.register()
class MeanAbsoluteError(MeanCost):
    """Mean absolute error: ``mean(|y_pred - y_true|)``.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    ``(|3 - 0| + |1 - 1|) / 2``:

    >>> float(MeanAbsoluteError()([[0.0, 1.0]], [[3.0, 1.0]]))
    1.5
    """

    cost = "absolute"


@_registry.register()
class LogCosh(MeanCost):
    """Log-cosh loss: ``mean(log(cosh(y_pred - y_true)))``.

    It is close to ``e**2 / 2`` for small errors `e`, and to ``|e| - log(2)`` for large errors.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    ``(log(cosh(1)) + log(cosh(0))) / 2``:

    >>> round(float(LogCosh()([[0.0, 0.0]], [[1.0, 0.0]])), 4)
    0.2169
    """

    cost = "log_cosh"


@declared(_registry)
class Huber(MeanCost):
    """Huber loss: quadratic for small errors and linear for large errors.

    The loss is the mean of ``e**2 / 2`` if ``|e| <= delta``, else
    ``delta * |e| - delta**2 / 2``, where ``e = y_pred - y_true``.

    Parameters
    ----------
    delta : float
        Absolute error above which the loss is linear.
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    ``(1**2 / 2 + (3 - 1 / 2)) / 2``:

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
        See `Loss`.

    Examples
    --------
    ``1 * log(1 / 0.5)``:

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
    """Poisson loss: ``mean(y_pred - y_true * log(y_pred + epsilon))``.

    Up to a constant, this is the negative log-likelihood of the counts `y_true` under a Poisson
    distribution with mean `y_pred`.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    ``(1 - 5 * log(1) + 2 - 3 * log(2)) / 2``:

    >>> round(float(Poisson()([[5.0, 3.0]], [[1.0, 2.0]])), 4)
    0.4603
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return ops.mean(y_pred - y_true * ops.log(y_pred + config.epsilon()), axis=-1)


@_registry.register()
class MeanAbsolutePercentageError(FormulaLoss):
    """Mean absolute percentage error: ``100 * mean(|(y_true - y_pred) / y_true|)``.

    In the denominator, the absolute value of the target is at least `config.epsilon()`.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    The errors are 25% and 50% of the targets:

    >>> float(MeanAbsolutePercentageError()([[4.0, 2.0]], [[5.0, 1.0]]))
    37.5
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        size = ops.maximum(ops.abs(y_true), config.epsilon())
        return 100 * ops.mean(ops.abs((y_true - y_pred) / size), axis=-1)


@_registry.register()
class MeanSquaredLogarithmicError(FormulaLoss):
    """Mean squared logarithmic error: ``mean((log(y_pred + 1) - log(y_true + 1))**2)``.

    Targets and predictions are clipped to a minimum of `config.epsilon()`.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    If ``y_pred + 1`` is twice ``y_true + 1``, the loss is ``log(2)**2`` for targets of any size:

    >>> [round(float(MeanSquaredLogarithmicError()([[y]], [[2 * y + 1]])), 4) for y in (1.0, 99.0)]
    [0.4805, 0.4805]
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        logs = (ops.log(ops.maximum(y, config.epsilon()) + 1) for y in (y_pred, y_true))
        return ops.mean(ops.square(ops.subtract(*logs)), axis=-1)


@declared(_registry)
class CosineSimilarity(FormulaLoss):
    """Negative cosine similarity: ``-sum(normalize(y_true) * normalize(y_pred))``.

    It is -1 for vectors in the same direction, 0 for orthogonal vectors, and 1 for vectors in
    opposite directions.

    Parameters
    ----------
    axis : int
        Axis along which the cosine similarity is computed; must not be the batch axis.
    reduction, name, dtype : str, optional
        See `Loss`.

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
        """Check the axis and the targets."""
        n = len(output_shape)
        if self.axis % n == 0 or not -n <= self.axis < n:
            raise ValueError(
                f"axis must be a valid axis of predictions of shape {tuple(output_shape)}, but not "
                f"the batch axis. Received: axis={self.axis}"
            )
        return super().prepare(y_true, output_shape)

    def values_shape(self, y_true: Array, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the shape of the values: the shape of the targets without `axis`."""
        axis = self.axis % y_true.ndim
        return y_true.shape[:axis] + y_true.shape[axis + 1 :]

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return -ops.sum(
            ops.normalize(y_true, self.axis) * ops.normalize(y_pred, self.axis), axis=self.axis
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments; as in Keras, `axis` is omitted if it is the default."""
        left_out = ("axis",) if self.axis == -1 else ()
        return {k: v for k, v in super().get_config().items() if k not in left_out}


cosine_similarity = LossFunction(CosineSimilarity)
