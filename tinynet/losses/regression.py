"""Losses of numbers: how far the predictions are from the true values."""

from __future__ import annotations

from typing import Any

from tinynet import checks, config
from tinynet.losses.base import DenseLoss, LossFunction, _registry
from tinynet.program import dispatch
from tinynet.variable import Array


class MeanCost(DenseLoss):
    """The base of the means, over the last axis, of what an error costs.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> float(MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]]))
    5.0
    """

    #: The cost's name in `functional.ERRORS`, and what it takes besides.
    cost = ""
    options: tuple[float, ...] = ()

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return dispatch.mean_error(self.cost, y_true, y_pred, self.options)

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient in the predictions."""
        return dispatch.mean_error_backward(self.cost, d_values, y_true, y_pred, self.options)


@_registry.register()
class MeanSquaredError(MeanCost):
    """The mean of the squared errors: ``mean((y_pred - y_true)**2)``.

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
    """The mean of the errors' sizes: ``mean(|y_pred - y_true|)``.

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
    """The mean of the errors' ``log(cosh(y_pred - y_true))``.

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


@_registry.register()
class Huber(MeanCost):
    """The mean of a cost that is squared for small errors and linear for large ones.

    ``e**2 / 2`` up to `delta`, ``delta * |e| - delta**2 / 2`` above.

    Parameters
    ----------
    delta : float
        From where on it is linear.
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> float(Huber()([[0.0, 0.0]], [[1.0, 3.0]]))
    1.5
    """

    cost = "huber"

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.options = (checks.number("delta", delta, 0, open_low=True),)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "delta": self.options[0]}


@_registry.register()
class KLDivergence(DenseLoss):
    """How far predicted probabilities are from true ones: ``sum(y_true * log(y_true / y_pred))``.

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

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return dispatch.kl_divergence(y_true, y_pred, config.epsilon())

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient in the predictions."""
        return dispatch.kl_divergence_backward(d_values, y_true, y_pred, config.epsilon())


mean_squared_error = LossFunction(MeanSquaredError, "mean_squared_error", "mse", "MSE")
mean_absolute_error = LossFunction(MeanAbsoluteError, "mean_absolute_error", "mae", "MAE")
log_cosh = LossFunction(LogCosh, "log_cosh")
huber = LossFunction(Huber, "huber")
kl_divergence = LossFunction(KLDivergence, "kl_divergence", "kld", "KLD")
