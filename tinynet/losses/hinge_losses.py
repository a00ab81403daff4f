"""Hinge losses: 0 for predictions that are correct by a margin of at least 1."""

from __future__ import annotations

from tinynet import ops
from tinynet.losses.loss import _registry
from tinynet.losses.regression_losses import FormulaLoss
from tinynet.program import Array

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


@_registry.register()
class Hinge(FormulaLoss):
    """Hinge loss: ``mean(max(1 - y_true * y_pred, 0))``, for targets -1 and 1.

    If all targets of a batch are 0 or 1, they are converted to -1 and 1.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    Both predictions have the correct sign, but the absolute value of the first is less than 1:
    ``(max(1 - 0.5, 0) + max(1 - 3, 0)) / 2 = 0.25``.

    >>> float(Hinge()([[1, -1]], [[0.5, -3.0]]))
    0.25
    >>> float(Hinge()([[1, 0]], [[0.5, -3.0]]))
    0.25
    """

    _by_batch = True  # whether targets are converted depends on the whole batch

    def _margins(self, y_true: Array, y_pred: Array) -> Array:
        """Compute ``max(1 - y_true * y_pred, 0)`` for each prediction."""
        is_binary = ops.all(ops.logical_or(ops.equal(y_true, 0), ops.equal(y_true, 1)))
        return ops.maximum(1 - ops.where(is_binary, 2 * y_true - 1, y_true) * y_pred, 0)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return ops.mean(self._margins(y_true, y_pred), axis=-1)


@_registry.register()
class SquaredHinge(Hinge):
    """Squared hinge loss: ``mean(max(1 - y_true * y_pred, 0)**2)``, for targets -1 and 1.

    If all targets of a batch are 0 or 1, they are converted to -1 and 1.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    ``((1 - 0.5)**2 + 0) / 2``:

    >>> float(SquaredHinge()([[1, -1]], [[0.5, -3.0]]))
    0.125
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        return ops.mean(ops.square(self._margins(y_true, y_pred)), axis=-1)


@_registry.register()
class CategoricalHinge(FormulaLoss):
    """Categorical hinge loss: ``max(neg - pos + 1, 0)``, for one-hot targets.

    ``pos = sum(y_true * y_pred)`` is the score of the true class, and
    ``neg = max((1 - y_true) * y_pred)`` is the largest score of the other classes, or 0 if all of
    these are negative.

    Parameters
    ----------
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    ``0.5 - 1.25 + 1``:

    >>> float(CategoricalHinge()([[0, 1, 0]], [[0.5, 1.25, 0.25]]))
    0.25
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        lead = ops.sum(y_true * y_pred, axis=-1) - ops.max((1 - y_true) * y_pred, axis=-1)
        return ops.maximum(1 - lead, 0)
