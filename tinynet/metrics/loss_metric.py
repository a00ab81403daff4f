"""The base of the losses as metrics: the mean over all batches."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tinynet import losses
from tinynet._core import checks
from tinynet.losses.loss import weights_of
from tinynet.metrics.reduction_metrics import Mean
from tinynet.program import Array

__all__ = ["LossMetric"]


class LossMetric(Mean):
    """The base of the losses as metrics: the mean of a loss with the same options.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> class Squares(LossMetric):
    ...     loss_class = losses.MeanSquaredError
    >>> float(Squares()([[0.0, 0.0]], [[1.0, 3.0]]))
    5.0
    """

    loss_class: type[losses.Loss]
    #: Options of the loss that the metric does not have.
    _fixed: Mapping[str, Any] = MappingProxyType({})
    _direction = "down"

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        own = {n: getattr(self, n) for n in self._arguments if n not in ("name", "dtype")}
        self._loss = self.loss_class(**own, **self._fixed, dtype=dtype)
        self.logits_of = self._loss.logits_of

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
        # As in Keras, ignored labels are left out of a weighted mean only.
        weights = weights_of(sample_weight, values.shape, self.dtype)
        if weights is not None:
            weights = loss.effective_weights(y_true, weights)
        super().update_state(values, weights)
