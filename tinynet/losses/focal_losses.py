"""Focal losses: cross-entropies that reduce the weight of easy examples."""

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
    """Binary focal cross-entropy: binary cross-entropy times the focal factor ``(1 - p_t)**gamma``.

    ``p_t`` is the predicted probability of the true class [1]_. The factor reduces the weight of
    easy examples: with ``gamma=2``, it is ``(1 - 0.9)**2 = 0.01`` where the true class is
    predicted with probability 0.9.

    Parameters
    ----------
    apply_class_balancing : bool
        If True, multiply by `alpha` for class 1 and by ``1 - alpha`` for class 0.
    alpha : float
        Weight of class 1.
    gamma : float
        Focusing parameter: exponent of the focal factor. 0 gives `BinaryCrossentropy`.
    from_logits : bool
        If True, the predictions are logits; otherwise, they are probabilities.
    label_smoothing : float
        Amount of smoothing, from 0 to 1: targets are moved towards 0.5 by this fraction.
    axis : int
        Axis along which the mean is computed; must be the last axis.
    reduction, name, dtype : str, optional
        See `Loss`.

    References
    ----------
    .. [1] Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    ``-(1 - 0.75)**2 * log(0.75)``:

    >>> round(float(BinaryFocalCrossentropy()([[1]], [[0.75]])), 5)
    0.01798
    """

    apply_class_balancing: bool = argument(False, checks.flag)
    alpha: float = argument(0.25, checks.number)
    gamma: float = argument(2.0, checks.number)
    # Declared as Any, because type checkers expect inherited arguments first.
    from_logits: Any = argument(False)
    label_smoothing: Any = argument(0.0)
    axis: Any = argument(-1)
    reduction: Any = argument("sum_over_batch_size")
    name: Any = argument(None)
    dtype: Any = argument(None)

    def __complete(self) -> None:
        # With from_logits=True, the loss applies the sigmoid, as in Keras, so that a final sigmoid
        # of the model is not removed.
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
    """Categorical focal cross-entropy: ``-sum(alpha * (1 - p)**gamma * y_true * log(p))``.

    `p` denotes the predicted probabilities, normalized to sum to 1 [1]_.

    Parameters
    ----------
    alpha : float
        Weighting factor of the loss.
    gamma : float
        Focusing parameter: exponent of the focal factor. 0 gives `alpha` times
        `CategoricalCrossentropy`.
    from_logits : bool
        If True, the predictions are logits; otherwise, they are probabilities.
    label_smoothing : float
        Amount of smoothing, from 0 to 1: this fraction of the probability is distributed equally
        over all classes.
    axis : int
        Class axis; must be the last axis.
    reduction, name, dtype : str, optional
        See `Loss`.

    References
    ----------
    .. [1] Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    ``-0.25 * (1 - 0.75)**2 * log(0.75)``:

    >>> round(float(CategoricalFocalCrossentropy()([[1, 0]], [[0.75, 0.25]])), 6)
    0.004495
    """

    alpha: float = argument(0.25, checks.number)
    gamma: float = argument(2.0, checks.number)
    # Declared as Any, because type checkers expect inherited arguments first.
    from_logits: Any = argument(False)
    label_smoothing: Any = argument(0.0)
    axis: Any = argument(-1)
    reduction: Any = argument("sum_over_batch_size")
    name: Any = argument(None)
    dtype: Any = argument(None)

    #: Empty, because Keras computes this loss from the probabilities that a model returns.
    logits_of = ()

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        p = activations.softmax(y_pred) if self.from_logits else y_pred
        p = ops.clip(p / ops.sum(p, axis=-1, keepdims=True), config.epsilon(), 1 - config.epsilon())
        values = self.smoothed(y_true, y_true.shape[-1]) * ops.log(p)
        return -ops.sum(self.alpha * (1 - p) ** self.gamma * values, axis=-1)
