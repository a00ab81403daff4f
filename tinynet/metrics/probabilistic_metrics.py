"""Metrics for predicted probabilities and rates."""

from __future__ import annotations

from types import MappingProxyType

from tinynet import losses
from tinynet._core import argument, checks, declared
from tinynet.metrics.loss_metric import LossMetric
from tinynet.metrics.metric import _registry

__all__ = ["BinaryCrossentropy", "CategoricalCrossentropy", "KLDivergence", "Poisson"]
__all__ += ["SparseCategoricalCrossentropy"]


@declared(_registry)
class SparseCategoricalCrossentropy(LossMetric):
    """Mean cross-entropy between class labels and predicted probabilities.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.
    from_logits : bool
        If True, the predictions are logits; otherwise, they are probabilities.
    ignore_class : int, optional
        Label to ignore: examples with this label contribute 0 to the sum. They are excluded from
        the mean only if sample weights are given.
    axis : int
        Class axis; must be the last axis.

    Examples
    --------
    ``-log(0.5)``:

    >>> round(float(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]])), 4)
    0.6931
    """

    from_logits: bool = argument(False, checks.flag)
    ignore_class: int | None = argument(None)
    axis: int = argument(-1, checks.whole, -64)

    loss_class = losses.SparseCategoricalCrossentropy
    # `Mean` divides by the sum of the weights, so the loss must not scale up the weights of the
    # labels that are not ignored.
    _fixed = MappingProxyType({"reduction": "sum"})


@declared(_registry)
class CategoricalCrossentropy(LossMetric):
    """Mean cross-entropy between one-hot targets and predicted probabilities.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.
    from_logits : bool
        If True, the predictions are logits; otherwise, they are probabilities.
    label_smoothing : float
        Amount of smoothing, from 0 to 1: this fraction of the probability is distributed equally
        over all classes.
    axis : int
        Class axis; must be the last axis.

    Examples
    --------
    >>> round(float(CategoricalCrossentropy()([[0, 1]], [[0.5, 0.5]])), 4)
    0.6931
    """

    from_logits: bool = argument(False, checks.flag)
    label_smoothing: float = argument(0.0, checks.number, 0, 1)
    axis: int = argument(-1, checks.whole, -64)

    loss_class = losses.CategoricalCrossentropy


@declared(_registry, "bce", "BCE")
class BinaryCrossentropy(LossMetric):
    """Mean cross-entropy between binary targets (0 or 1) and predicted probabilities.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.
    from_logits : bool
        If True, the predictions are logits; otherwise, they are probabilities.
    label_smoothing : float
        Amount of smoothing, from 0 to 1: targets are moved towards 0.5 by this fraction.

    Examples
    --------
    >>> round(float(BinaryCrossentropy()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]])), 3)
    0.815
    """

    from_logits: bool = argument(False, checks.flag)
    label_smoothing: float = argument(0.0, checks.number, 0, 1)

    loss_class = losses.BinaryCrossentropy


@_registry.register()
class Poisson(LossMetric):
    """Mean Poisson loss: ``y_pred - y_true * log(y_pred)``.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> round(float(Poisson()([[5.0]], [[1.0]])), 4)
    1.0
    """

    loss_class = losses.Poisson


@_registry.register()
class KLDivergence(LossMetric):
    """Mean Kullback-Leibler divergence: ``sum(y_true * log(y_true / y_pred))``.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> round(float(KLDivergence()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    loss_class = losses.KLDivergence
