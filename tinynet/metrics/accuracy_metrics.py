"""Accuracies: the fraction of predictions that are right."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.losses import numeric
from tinynet.losses.function_loss import FunctionOf
from tinynet.losses.loss import weights_of
from tinynet.metrics.metric import _registry
from tinynet.metrics.reduction_metrics import Mean
from tinynet.program import Array, Tensor, as_tensor

__all__ = ["Accuracy", "binary_accuracy", "BinaryAccuracy", "categorical_accuracy"]
__all__ += ["CategoricalAccuracy", "sparse_categorical_accuracy"]
__all__ += ["sparse_top_k_categorical_accuracy", "SparseCategoricalAccuracy"]
__all__ += ["SparseTopKCategoricalAccuracy", "top_k_categorical_accuracy"]
__all__ += ["TopKCategoricalAccuracy"]


class Accuracies(Mean):
    """The base of the accuracies: the mean of 1 for right and 0 for wrong.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> Accuracy().right(np.array([[1, 2]]), np.array([[1, 3]]))
    array([[ True, False]])
    """

    _direction = "up"

    def right(self, y_true: Array, y_pred: Array) -> Array:
        """Return which predictions are right; every subclass has its own rule.

        Parameters
        ----------
        y_true : ndarray, shape (N, ...)
            Targets.
        y_pred : ndarray, shape (N, ..., C)
            Predictions.

        Returns
        -------
        ndarray of bool, shape (N, ...)
            True where the prediction is right.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define right")

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
        y_true, y_pred = numeric("y_true", y_true), numeric("y_pred", y_pred, self.dtype)
        super().update_state(self.right(y_true, y_pred), sample_weight)

    def traced_values(self, y_true: Any, y_pred: Any) -> Any:
        """Return the values of a batch whose arrays are traced."""
        return self.right(y_true, y_pred).astype(y_pred.dtype)


@_registry.register()
class Accuracy(Accuracies):
    """Fraction of predictions that equal the targets.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(Accuracy()([1, 2, 3, 4], [0, 2, 3, 4]))
    0.75
    """

    def right(self, y_true: Array, y_pred: Array) -> Array:
        """Compare element by element."""
        y_true = _same_shape(self.name, _column(y_true, y_pred.shape), y_pred.shape)
        return y_true == y_pred


@_registry.register()
class SparseCategoricalAccuracy(Accuracies):
    """Fraction of examples whose most probable class is the label.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> float(SparseCategoricalAccuracy()([[2], [1]], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]]))
    0.5
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # Mean takes values
        """Add a batch; what training passes is counted in one call."""
        prepared = type(y_true) is np.ndarray and type(y_pred) is np.ndarray
        fits = prepared and y_pred.ndim == 2 and y_true.shape == y_pred.shape[:1]
        if fits and sample_weight is None:
            self.total += functional.sparse_matches(y_true, y_pred)
            self.count += len(y_true)
        else:
            super().update_state(y_true, y_pred, sample_weight)

    def right(self, y_true: Array, y_pred: Array) -> Array:
        """Compare the index of each row's largest number with the label."""
        return y_pred.argmax(axis=-1) == _labels(self.name, y_true, y_pred)


@_registry.register()
class CategoricalAccuracy(Accuracies):
    """Fraction of examples whose most probable class is that of the one-hot row.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> y_true, y_pred = [[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]
    >>> float(CategoricalAccuracy()(y_true, y_pred))
    0.5
    """

    def right(self, y_true: Array, y_pred: Array) -> Array:
        """Compare the indices of both rows' largest numbers."""
        _same_shape(self.name, y_true, y_pred.shape)
        return y_pred.argmax(axis=-1) == y_true.argmax(axis=-1)


@declared(_registry)
class BinaryAccuracy(Accuracies):
    """Fraction of probabilities on the right side of a threshold.

    Parameters
    ----------
    name, dtype : str, optional
        As for `Metric`.
    threshold : float
        Threshold above which the prediction is 1.

    Examples
    --------
    >>> float(BinaryAccuracy()([[1], [0]], [[0.9], [0.6]]))
    0.5
    """

    threshold: float = argument(0.5, checks.number)

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Warn about targets that no prediction can match."""
        low, high = (y_true.min(), y_true.max()) if y_true.size else (0, 0)
        if low < 0 or high > 1:
            checks.warn(
                f"{self.name} counts targets of 0 or 1 only; use (y + 1) / 2 for -1 and 1, and a "
                f"metric such as 'mae' for real numbers. Received: targets from {low:g} to {high:g}"
            )

    def right(self, y_true: Array, y_pred: Array) -> Array:
        """Compare element by element."""
        y_true = _same_shape(self.name, _column(y_true, y_pred.shape), y_pred.shape)
        return (y_pred > self.threshold) == y_true


@declared(_registry)
class SparseTopKCategoricalAccuracy(Accuracies):
    """Fraction of labels among the `k` most probable classes; ties count as hits.

    Parameters
    ----------
    k : int
        Number of classes that are considered.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> metric = SparseTopKCategoricalAccuracy(k=1)
    >>> float(metric([2, 1], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]))
    0.5
    """

    k: int = argument(5, checks.whole)
    name: Any = argument(None)
    dtype: Any = argument(None)

    def right(self, y_true: Array, y_pred: Array) -> Array:
        """Count the classes that are more probable than the label."""
        labels = _labels(self.name, y_true, y_pred)[..., None].astype(np.int64)
        possible = (labels >= 0) & (labels < y_pred.shape[-1])
        score = np.take_along_axis(y_pred, np.where(possible, labels, 0), axis=-1)
        hit: Array = np.sum(y_pred > score, axis=-1) < self.k
        hit &= possible[..., 0] & np.isfinite(y_pred).all(axis=-1)
        return hit


@_registry.register()
class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """Fraction of one-hot rows whose class is among the `k` most probable ones.

    Parameters
    ----------
    k : int
        Number of classes that are considered.
    name, dtype : str, optional
        As for `Metric`.

    Examples
    --------
    >>> metric = TopKCategoricalAccuracy(k=1)
    >>> float(metric([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]))
    0.5
    """

    def right(self, y_true: Array, y_pred: Array) -> Array:
        """Count the classes that are more probable than the true one."""
        _same_shape(self.name, y_true, y_pred.shape)
        return super().right(y_true.argmax(axis=-1), y_pred)


class AccuracyFunction(FunctionOf):
    """An accuracy as a function: one value for each example.

    Parameters
    ----------
    owner : type
        Accuracy. The function has its name in snake case.

    Examples
    --------
    >>> categorical_accuracy([[0, 1]], [[0.2, 0.8]]).numpy()
    array([1.], dtype=float32)
    """

    def _values(self, y_true: Any, y_pred: Any, options: dict[str, Any]) -> Tensor:
        metric = self.owner(**options)
        right = metric.right(numeric("y_true", y_true), numeric("y_pred", y_pred, metric.dtype))
        return as_tensor(right.astype(metric.dtype))


binary_accuracy = AccuracyFunction(BinaryAccuracy)
categorical_accuracy = AccuracyFunction(CategoricalAccuracy)
sparse_categorical_accuracy = AccuracyFunction(SparseCategoricalAccuracy)
top_k_categorical_accuracy = AccuracyFunction(TopKCategoricalAccuracy)
sparse_top_k_categorical_accuracy = AccuracyFunction(SparseTopKCategoricalAccuracy)


def _column(y_true: Array, expected: tuple[int, ...]) -> Array:
    """Add or drop a last axis of size 1, if the predictions have it and the targets do not."""
    if y_true.shape == expected[:-1] and expected[-1:] == (1,):
        return y_true[..., None]
    return y_true[..., 0] if y_true.shape == (*expected, 1) else y_true


def _labels(name: str, y_true: Array, y_pred: Array) -> Array:
    """Convert a column of labels to a vector."""
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true[..., 0]
    return _same_shape(name, y_true, y_pred.shape[:-1])


def _same_shape(name: str, y_true: Array, expected: tuple[int, ...]) -> Array:
    if y_true.shape != expected:
        raise ValueError(
            f"{name} takes true values of shape {expected}. Received: shape {y_true.shape}"
        )
    return y_true


def _weights(sample_weight: Any, shape: tuple[int, ...]) -> Array:
    """Return the weight of each value, by default 1."""
    weights = weights_of(sample_weight, shape, np.float64)
    return np.ones(shape) if weights is None else weights


def _in_columns(name: str, output_shape: tuple[int | None, ...], *counts: int) -> None:
    """Check that predictions are rows, and that these have as many columns as are counted."""
    wrong = [n for n in counts if n != output_shape[-1]]
    if len(output_shape) != 2 or wrong:
        raise ValueError(
            f"{name} takes predictions of shape (batch size, {wrong[0] if wrong else 'outputs'}). "
            f"Received: shape {tuple(output_shape)}"
        )
