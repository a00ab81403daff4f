"""Metrics that compute the mean of a hinge loss."""

from __future__ import annotations

from tinynet import losses
from tinynet.metrics.loss_metric import LossMetric
from tinynet.metrics.metric import _registry

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


@_registry.register()
class Hinge(LossMetric):
    """Mean hinge loss: ``max(1 - y_true * y_pred, 0)``, for targets -1 and 1, or 0 and 1.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(Hinge()([[1, -1]], [[0.5, -3.0]]))
    0.25
    """

    loss_class: type[losses.Loss] = losses.Hinge
    by_example = False  # whether targets are converted depends on the whole batch


@_registry.register()
class SquaredHinge(Hinge):
    """Mean squared hinge loss, for targets -1 and 1, or 0 and 1.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(SquaredHinge()([[1, -1]], [[0.5, -3.0]]))
    0.125
    """

    loss_class = losses.SquaredHinge


@_registry.register()
class CategoricalHinge(LossMetric):
    """Mean categorical hinge loss, for one-hot targets.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(CategoricalHinge()([[0, 1, 0]], [[0.5, 1.25, 0.25]]))
    0.25
    """

    loss_class = losses.CategoricalHinge
