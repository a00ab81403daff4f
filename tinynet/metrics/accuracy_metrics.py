"""Accuracies: the fraction of correct predictions."""

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
    """Base class of the accuracies: the mean of 1 for correct and 0 for wrong predictions."""

    _direction = "up"

    def matches(self, y_true: Array, y_pred: Array) -> Array:
        """Return a mask of the correct predictions; each subclass defines this method.

        Parameters
        ----------
        y_true : ndarray, shape (N, ...)
            Targets.
        y_pred : ndarray, shape (N, ..., C)
            Predictions.

        Returns
        -------
        ndarray of bool, shape (N, ...)
            True where the prediction is correct.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define matches")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # signature as in Keras
        """Update the state with a batch."""
        y_true, y_pred = numeric("y_true", y_true), numeric("y_pred", y_pred, self.dtype)
        super().update_state(self.matches(y_true, y_pred), sample_weight)

    def traced_values(self, y_true: Any, y_pred: Any) -> Any:
        """Return the values of a traced batch."""
        return self.matches(y_true, y_pred).astype(y_pred.dtype)


@_registry.register()
class Accuracy(Accuracies):
    """Fraction of predictions that are equal to the targets.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    >>> float(Accuracy()([1, 2, 3, 4], [0, 2, 3, 4]))
    0.75
    """

    def matches(self, y_true: Array, y_pred: Array) -> Array:
        """Compare predictions and targets elementwise."""
        y_true = _same_shape(self.name, _column(y_true, y_pred.shape), y_pred.shape)
        return y_true == y_pred


@_registry.register()
class SparseCategoricalAccuracy(Accuracies):
    """Fraction of examples whose predicted class is the integer label.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    Both predicted classes are 1; the labels are 2 and 1.

    >>> float(SparseCategoricalAccuracy()([[2], [1]], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]]))
    0.5
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # signature as in Keras
        """Update the state with a batch. The common case calls a compiled kernel."""
        prepared = type(y_true) is np.ndarray and type(y_pred) is np.ndarray
        fits = prepared and y_pred.ndim == 2 and y_true.shape == y_pred.shape[:1]
        if fits and sample_weight is None:
            self.total += functional.sparse_matches(y_true, y_pred)
            self.count += len(y_true)
        else:
            super().update_state(y_true, y_pred, sample_weight)

    def matches(self, y_true: Array, y_pred: Array) -> Array:
        """Compare the index of the largest prediction in each row with the label."""
        return y_pred.argmax(axis=-1) == _labels(self.name, y_true, y_pred)


@_registry.register()
class CategoricalAccuracy(Accuracies):
    """Fraction of examples whose predicted class is the class of the one-hot target.

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    Both predicted classes are 1; the true classes are 2 and 1.

    >>> y_true, y_pred = [[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]
    >>> float(CategoricalAccuracy()(y_true, y_pred))
    0.5
    """

    def matches(self, y_true: Array, y_pred: Array) -> Array:
        """Compare the indices of the largest values in each row."""
        _same_shape(self.name, y_true, y_pred.shape)
        return y_pred.argmax(axis=-1) == y_true.argmax(axis=-1)


@declared(_registry)
class BinaryAccuracy(Accuracies):
    """Fraction of predictions that match the binary targets (0 or 1).

    Parameters
    ----------
    name, dtype : str, optional
        See `Metric`.
    threshold : float
        Probability above which the predicted class is 1.

    Examples
    --------
    Both predicted classes are 1; the targets are 1 and 0.

    >>> float(BinaryAccuracy()([[1], [0]], [[0.9], [0.6]]))
    0.5
    """

    threshold: float = argument(0.5, checks.number)

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Warn about targets that no prediction can match."""
        low, high = (y_true.min(), y_true.max()) if y_true.size else (0, 0)
        if low < 0 or high > 1:
            checks.warn(
                f"{self.name} expects targets 0 or 1; convert targets -1 and 1 with (y + 1) / 2, "
                "or use a metric such as 'mae' for real-valued targets. "
                f"Received: targets from {low:g} to {high:g}"
            )

    def matches(self, y_true: Array, y_pred: Array) -> Array:
        """Compare thresholded predictions and targets elementwise."""
        y_true = _same_shape(self.name, _column(y_true, y_pred.shape), y_pred.shape)
        return (y_pred > self.threshold) == y_true


@declared(_registry)
class SparseTopKCategoricalAccuracy(Accuracies):
    """Fraction of examples whose integer label is among the `k` most probable classes.

    A label whose prediction is tied with the `k`-th largest prediction counts as correct.

    Parameters
    ----------
    k : int
        Number of most probable classes to consider.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    Both predicted classes are 1; the labels are 2 and 1.

    >>> metric = SparseTopKCategoricalAccuracy(k=1)
    >>> float(metric([2, 1], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]))
    0.5
    """

    k: int = argument(5, checks.whole)
    name: Any = argument(None)
    dtype: Any = argument(None)

    def matches(self, y_true: Array, y_pred: Array) -> Array:
        """Return whether fewer than `k` classes are more probable than the label."""
        labels = _labels(self.name, y_true, y_pred)[..., None].astype(np.int64)
        possible = (labels >= 0) & (labels < y_pred.shape[-1])
        score = np.take_along_axis(y_pred, np.where(possible, labels, 0), axis=-1)
        hit: Array = np.sum(y_pred > score, axis=-1) < self.k
        hit &= possible[..., 0] & np.isfinite(y_pred).all(axis=-1)
        return hit


@_registry.register()
class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """Fraction of examples whose one-hot target is among the `k` most probable classes.

    A label whose prediction is tied with the `k`-th largest prediction counts as correct.

    Parameters
    ----------
    k : int
        Number of most probable classes to consider.
    name, dtype : str, optional
        See `Metric`.

    Examples
    --------
    Both predicted classes are 1; the true classes are 2 and 1.

    >>> metric = TopKCategoricalAccuracy(k=1)
    >>> float(metric([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]))
    0.5
    """

    def matches(self, y_true: Array, y_pred: Array) -> Array:
        """Return whether fewer than `k` classes are more probable than the true class."""
        _same_shape(self.name, y_true, y_pred.shape)
        return super().matches(y_true.argmax(axis=-1), y_pred)


class AccuracyFunction(FunctionOf):
    """Function that computes an accuracy for each example."""

    def _values(self, y_true: Any, y_pred: Any, options: dict[str, Any]) -> Tensor:
        metric = self.owner(**options)
        arrays = numeric("y_true", y_true), numeric("y_pred", y_pred, metric.dtype)
        return as_tensor(metric.matches(*arrays).astype(metric.dtype))


binary_accuracy = AccuracyFunction(BinaryAccuracy)
categorical_accuracy = AccuracyFunction(CategoricalAccuracy)
sparse_categorical_accuracy = AccuracyFunction(SparseCategoricalAccuracy)
top_k_categorical_accuracy = AccuracyFunction(TopKCategoricalAccuracy)
sparse_top_k_categorical_accuracy = AccuracyFunction(SparseTopKCategoricalAccuracy)


def _column(y_true: Array, expected: tuple[int, ...]) -> Array:
    """Add or drop a last axis of size 1, to match the shape of the predictions."""
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
            f"Targets of {name} must have shape {expected}. "
            f"Received: y_true of shape {y_true.shape}"
        )
    return y_true


def _weights(sample_weight: Any, shape: tuple[int, ...]) -> Array:
    """Return the weight of each value, by default 1."""
    weights = weights_of(sample_weight, shape, np.float64)
    return np.ones(shape) if weights is None else weights


def _in_columns(name: str, output_shape: tuple[int | None, ...], *counts: int) -> None:
    """Check that predictions are 2-D and have the expected number of columns."""
    wrong = [n for n in counts if n != output_shape[-1]]
    if len(output_shape) != 2 or wrong:
        columns = wrong[0] if wrong else "outputs"
        raise ValueError(
            f"Predictions of {name} must have shape (batch_size, {columns}). "
            f"Received: y_pred of shape {tuple(output_shape)}"
        )
