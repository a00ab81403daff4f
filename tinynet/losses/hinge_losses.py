"""Hinge losses: 0 for predictions on the right side by a margin of 1."""

from __future__ import annotations

from tinynet import ops
from tinynet.losses.loss import _registry
from tinynet.losses.regression_losses import FormulaLoss
from tinynet.program import Array

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


@_registry.register()
class Hinge(FormulaLoss):
    """Hinge loss of targets -1 and 1: ``mean(max(1 - y_true * y_pred, 0))``.

    If all targets of a batch are 0 or 1, they become -1 and 1.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    The first prediction is right by less than the margin, the second by more.

    >>> float(Hinge()([[1, -1]], [[0.5, -3.0]]))
    0.25
    >>> float(Hinge()([[1, 0]], [[0.5, -3.0]]))
    0.25
    """

    _by_batch = True  # whether targets are converted depends on all of the batch

    def _margins(self, y_true: Array, y_pred: Array) -> Array:
        """Compute what each prediction lacks of the margin."""
        is_binary = ops.all(ops.logical_or(ops.equal(y_true, 0), ops.equal(y_true, 1)))
        return ops.maximum(1 - ops.where(is_binary, 2 * y_true - 1, y_true) * y_pred, 0)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return ops.mean(self._margins(y_true, y_pred), axis=-1)


@_registry.register()
class SquaredHinge(Hinge):
    """Squared hinge loss of targets -1 and 1: ``mean(max(1 - y_true * y_pred, 0) ** 2)``.

    If all targets of a batch are 0 or 1, they become -1 and 1.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> float(SquaredHinge()([[1, -1]], [[0.5, -3.0]]))
    0.125
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return ops.mean(ops.square(self._margins(y_true, y_pred)), axis=-1)


@_registry.register()
class CategoricalHinge(FormulaLoss):
    """Hinge loss of one-hot rows: ``max(neg - pos + 1, 0)``.

    ``pos`` is the score of the true class, ``neg`` the largest score of the others, or 0 if all
    of these are negative: ``pos = sum(y_true * y_pred)``, ``neg = max((1 - y_true) * y_pred)``.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        As for `Loss`.

    Examples
    --------
    >>> float(CategoricalHinge()([[0, 1, 0]], [[0.5, 1.25, 0.25]]))
    0.25
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        lead = ops.sum(y_true * y_pred, axis=-1) - ops.max((1 - y_true) * y_pred, axis=-1)
        return ops.maximum(1 - lead, 0)
