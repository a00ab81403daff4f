"""Sums and means of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet._core import checks, snake_case
from tinynet.losses import LossFunction
from tinynet.losses.loss import weights_of
from tinynet.metrics.metric import Metric, _registry
from tinynet.program import Array, Tensor, Variable, as_tensor
from tinynet.program.variable import copies

__all__ = ["Mean", "MeanMetricWrapper", "Sum"]


@_registry.register()
class Sum(Metric):
    """Sum of values.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> total = Sum()
    >>> total.update_state([1.0, 3.0])
    >>> float(total.result())
    4.0
    """

    by_example = True
    # Accumulated as Python floats, in double precision regardless of `dtype`.
    _totals: tuple[str, ...] = ("total",)
    total: float

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(dtype, checks.title(name, snake_case(type(self).__name__)))
        vars(self).update(dict.fromkeys(self._totals, 0.0))

    @property
    def variables(self) -> list[Variable]:
        """Copies of the state, as Variables."""
        totals = ((name, getattr(self, name)) for name in self._totals)
        return [Variable(np.asarray(value, self.dtype), False, name=name) for name, value in totals]

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # signature as in Keras
        """Add values to the state.

        Parameters
        ----------
        values : array_like
            Values.
        sample_weight : array_like, optional
            Weight of each value.
        """
        values = checks.numeric("values", values, np.float64)
        weights = weights_of(sample_weight, values.shape, np.float64)
        self.total += float((values if weights is None else values * weights).sum())

    def result(self) -> Tensor:
        """Compute the sum."""
        return as_tensor(np.asarray(self.total, self.dtype))

    def reset_state(self) -> None:
        """Reset the state to 0."""
        vars(self).update(dict.fromkeys(self._totals, 0.0))


@_registry.register()
class Mean(Sum):
    """Mean of values.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> mean = Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> float(mean.result())
    2.0
    """

    _totals = ("total", "count")
    count: float

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # signature as in Keras
        """Add values to the state.

        The values of one example are averaged first, so that all examples have the same weight.
        """
        values = checks.numeric("values", values)
        rows = len(values) if values.ndim else 1
        per_row = max(values.size // max(rows, 1), 1)
        weights = weights_of(sample_weight, values.shape, np.float64)
        if weights is None:
            self.total += float(np.sum(values, dtype=np.float64)) / per_row
            self.count += rows
        else:
            self.total += float(np.sum(values * weights)) / per_row
            self.count += float(np.sum(weights)) / per_row

    def traced_values(self, y_true: Any, y_pred: Any) -> Any:
        """Return the values of a traced batch, or None if they must be computed in Python.

        Parameters
        ----------
        y_true, y_pred : Traced
            Targets and predictions.

        Returns
        -------
        Traced or None
            Value of each example.
        """
        return None

    def result(self) -> Tensor:
        """Compute the mean, or 0 before the first update."""
        mean = self.total / self.count if self.count else 0.0
        return as_tensor(np.asarray(mean, self.dtype))


@_registry.register()
class MeanMetricWrapper(Mean):
    """Mean of a function of the targets and predictions.

    Parameters
    ----------
    fn : callable
        Function ``fn(y_true, y_pred, **kwargs)`` that returns one value for each example, or one
        value for the batch.
    name, dtype : str, optional
        See `Metric`.
    **kwargs : object
        Additional arguments of the function.

    Examples
    --------
    The mean of 0.5 and 0 is 0.25:

    >>> metric = MeanMetricWrapper(lambda y_true, y_pred: abs(y_true - y_pred))
    >>> metric.update_state([1.0, 2.0], [1.5, 2.0])
    >>> float(metric.result())
    0.25
    """

    by_example = False

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(name, dtype)
        checks.require(callable(fn), "fn must be a function", f"fn={checks.shorten(fn)}", TypeError)
        self._fn = fn
        self._fn_kwargs = kwargs

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Validate the targets as the loss does, if the function is a loss."""
        if isinstance(self._fn, LossFunction):
            self._fn.owner(**self._fn_kwargs).prepare(y_true, output_shape)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # signature as in Keras
        """Update the state with a batch."""
        y_true, y_pred = _pair(y_true, y_pred, self.dtype)
        super().update_state(self._fn(y_true, y_pred, **self._fn_kwargs), sample_weight)


def _pair(y_true: Any, y_pred: Any, dtype: str) -> tuple[Tensor, Tensor]:
    """Convert targets and predictions to float tensors, as Keras does for a custom function."""
    pairs = ("y_true", y_true), ("y_pred", y_pred)
    true, predicted = map(as_tensor, copies(*(checks.numeric(*pair, dtype) for pair in pairs)))
    return true, predicted
