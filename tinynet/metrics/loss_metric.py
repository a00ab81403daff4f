"""Base class of metrics that compute the mean of a loss."""

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
    """Base class of metrics that compute the mean of a loss over all examples.

    A subclass sets `loss_class`.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> class Squares(LossMetric):
    ...     loss_class = losses.MeanSquaredError
    >>> float(Squares()([[0.0, 0.0]], [[1.0, 3.0]]))
    5.0
    """

    loss_class: type[losses.Loss]
    #: Arguments of the loss that are not arguments of the metric.
    _fixed: Mapping[str, Any] = MappingProxyType({})
    _direction = "down"

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        own = {n: getattr(self, n) for n in self._arguments if n not in ("name", "dtype")}
        self._loss = self.loss_class(**own, **self._fixed, dtype=dtype)
        self.logits_of = self._loss.logits_of

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Validate the targets as the loss does."""
        self._loss.prepare(y_true, output_shape)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # signature as in Keras
        """Update the state with a batch."""
        self._update(self._loss, y_true, y_pred, sample_weight)

    def traced_values(self, y_true: Any, y_pred: Any) -> Any:
        """Return the values of a traced batch, or None if the targets have an unexpected shape."""
        if y_true.shape != y_pred.shape and y_true.dtype != np.int64:
            return None
        return self._loss.call(y_true, y_pred)

    def _update_from_logits(self, y_true: Any, logits: Any, sample_weight: Any = None) -> None:
        """Update the state with a batch of logits."""
        self._update(self._loss.on_logits(), y_true, logits, sample_weight)

    def _update(self, loss: losses.Loss, y_true: Any, y_pred: Any, sample_weight: Any) -> None:
        y_pred = checks.numeric("y_pred", y_pred, self.dtype)
        y_true = loss.prepare(y_true, y_pred.shape)
        values = np.asarray(loss.call(y_true, loss.squeezed(y_true, y_pred)))
        # As in Keras, ignored labels are excluded only if there are sample weights.
        weights = weights_of(sample_weight, values.shape, self.dtype)
        if weights is not None:
            weights = loss.effective_weights(y_true, weights)
        super().update_state(values, weights)
