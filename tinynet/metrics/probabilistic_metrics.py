"""Metrics of probabilities."""

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

    from_logits: bool = argument(False, checks.flag)
    ignore_class: int | None = argument(None)
    axis: int = argument(-1, checks.whole, -64)

    loss_class = losses.SparseCategoricalCrossentropy
    # The reduction decides how ignored labels are weighted: 0, and the others not more.
    _fixed = MappingProxyType({"reduction": "sum"})


@declared(_registry)
class CategoricalCrossentropy(LossMetric):
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

    from_logits: bool = argument(False, checks.flag)
    label_smoothing: float = argument(0.0, checks.number, 0, 1)
    axis: int = argument(-1, checks.whole, -64)

    loss_class = losses.CategoricalCrossentropy


@declared(_registry, "bce", "BCE")
class BinaryCrossentropy(LossMetric):
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

    from_logits: bool = argument(False, checks.flag)
    label_smoothing: float = argument(0.0, checks.number, 0, 1)

    loss_class = losses.BinaryCrossentropy


@_registry.register()
class Poisson(LossMetric):
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
class KLDivergence(LossMetric):
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
