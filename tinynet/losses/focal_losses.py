"""Focal losses: cross-entropies that count well predicted examples less."""

from __future__ import annotations

from typing import Any

from tinynet import activations, config, ops
from tinynet._core import argument, checks, declared
from tinynet.losses.loss import _registry
from tinynet.losses.probabilistic_losses import OneHotLoss, SmoothedLoss
from tinynet.program import Array

__all__ = ["BinaryFocalCrossentropy", "CategoricalFocalCrossentropy"]


@declared(_registry)
class BinaryFocalCrossentropy(SmoothedLoss):
    """Cross-entropy of yes-or-no answers, multiplied by ``(1 - p_t) ** gamma``.

    ``p_t`` is the predicted probability of the true answer [1]_: with `gamma` = 2, a prediction
    of 0.9 for the truth counts a hundredth of what it counts in `BinaryCrossentropy`.

    Parameters
    ----------
    apply_class_balancing : bool
        If True, multiply by `alpha` where the answer is yes and by ``1 - alpha`` where it is no.
    alpha : float
        Weight of the answer yes.
    gamma : float
        Exponent of the factor; 0 for `BinaryCrossentropy`.
    from_logits : bool
        If True, the predictions are scores before sigmoid, rather than probabilities.
    label_smoothing : float
        Fraction by which true probabilities are moved towards one half.
    axis : int
        Axis of the mean: the last.
    reduction, name, dtype : str, optional
        As for `Loss`.

    References
    ----------
    .. [1] Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    ``-(1 - 0.75) ** 2 * log(0.75)``:

    >>> round(float(BinaryFocalCrossentropy()([[1]], [[0.75]])), 5)
    0.01798
    """

    apply_class_balancing: bool = argument(False, checks.flag)
    alpha: float = argument(0.25, checks.number)
    gamma: float = argument(2.0, checks.number)
    # Of any type, because type checkers expect inherited arguments first.
    from_logits: Any = argument(False)
    label_smoothing: Any = argument(0.0)
    axis: Any = argument(-1)
    reduction: Any = argument("sum_over_batch_size")
    name: Any = argument(None)
    dtype: Any = argument(None)

    def __complete(self) -> None:
        # Keras applies sigmoid to the predictions if it is told that they are scores.
        self.logits_of = () if self.from_logits else (activations.sigmoid,)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        y = self.smoothed(y_true, 2)
        p = activations.sigmoid(y_pred) if self.from_logits else y_pred
        values = ops.binary_crossentropy(y, y_pred, self.from_logits)
        values = values * (1 - (y * p + (1 - y) * (1 - p))) ** self.gamma
        if self.apply_class_balancing:
            values = values * (y * self.alpha + (1 - y) * (1 - self.alpha))
        return ops.mean(values, axis=-1)


@declared(_registry)
class CategoricalFocalCrossentropy(OneHotLoss):
    """Cross-entropy of one-hot rows, multiplied by ``alpha * (1 - p) ** gamma``.

    ``value = sum(-alpha * (1 - p) ** gamma * y_true * log(p))`` [1]_, where p are the predicted
    probabilities, divided by their sum.

    Parameters
    ----------
    alpha : float
        Factor.
    gamma : float
        Exponent; 0 for `alpha` times `CategoricalCrossentropy`.
    from_logits : bool
        If True, the predictions are scores before softmax, rather than probabilities.
    label_smoothing : float
        Fraction of each true probability that is shared among all classes.
    axis : int
        Axis of the classes: the last.
    reduction, name, dtype : str, optional
        As for `Loss`.

    References
    ----------
    .. [1] Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    ``-0.25 * (1 - 0.75) ** 2 * log(0.75)``:

    >>> round(float(CategoricalFocalCrossentropy()([[1, 0]], [[0.75, 0.25]])), 6)
    0.004495
    """

    alpha: float = argument(0.25, checks.number)
    gamma: float = argument(2.0, checks.number)
    # Of any type, because type checkers expect inherited arguments first.
    from_logits: Any = argument(False)
    label_smoothing: Any = argument(0.0)
    axis: Any = argument(-1)
    reduction: Any = argument("sum_over_batch_size")
    name: Any = argument(None)
    dtype: Any = argument(None)

    #: As in Keras, which computes it from the probabilities that the model ends in.
    logits_of = ()

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        p = activations.softmax(y_pred) if self.from_logits else y_pred
        p = ops.clip(p / ops.sum(p, axis=-1, keepdims=True), config.epsilon(), 1 - config.epsilon())
        values = self.smoothed(y_true, y_true.shape[-1]) * ops.log(p)
        return -ops.sum(self.alpha * (1 - p) ** self.gamma * values, axis=-1)
