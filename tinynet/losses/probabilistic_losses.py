"""Cross-entropies between targets and predicted probabilities.

If a model ends with a softmax or a sigmoid, these losses are computed from its logits in training
and evaluation, as Keras does with TensorFlow, except with `ignore_class`.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from tinynet import activations, config, functional
from tinynet._core import argument, checks, declared
from tinynet._core.buffers import Workspace
from tinynet._core.checks import numeric
from tinynet.losses.loss import DenseLoss, Loss, _registry
from tinynet.program import Array
from tinynet.program.operations import Pure

__all__ = ["BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"]

HEADS: tuple[activations.Activation, ...] = (activations.softmax, activations.sigmoid)


def _on_last_axis(axis: int, output_shape: tuple[int | None, ...]) -> None:
    if axis not in (-1, len(output_shape) - 1):
        raise ValueError(
            "axis must be -1 or the index of the last axis of predictions of shape "
            f"{tuple(output_shape)}. Received: axis={axis}"
        )


@declared(_registry)
class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy between class labels and predicted probabilities: ``-log(y_pred[label])``.

    The labels are integers; use `CategoricalCrossentropy` for one-hot targets.

    Parameters
    ----------
    from_logits : bool
        If True, the predictions are logits; otherwise, they are probabilities.
    ignore_class : int, optional
        Label to ignore; examples with this label do not contribute to the loss.
    reduction : str, optional
        See `Loss`.
    axis : int
        Class axis; must be the last axis.
    name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    The probabilities of the true classes are 0.5 and 0.25: ``-(log(0.5) + log(0.25)) / 2``.

    >>> loss = SparseCategoricalCrossentropy()
    >>> round(float(loss([2, 0], [[0.25, 0.25, 0.5], [0.25, 0.5, 0.25]])), 5)
    1.03972

    From logits:

    >>> loss = SparseCategoricalCrossentropy(from_logits=True)
    >>> round(float(loss([2, 0], [[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]])), 5)
    2.21618
    """

    from_logits: bool = argument(False, checks.flag)
    ignore_class: int | None = argument(None, checks.whole, -(2**63))
    reduction: str | None = argument("sum_over_batch_size")
    axis: int = argument(-1, checks.whole, -64, kept=False)  # not in Keras' configuration
    name: Any = argument(None)
    dtype: Any = argument(None)

    logits_of = HEADS

    def __complete(self, axis: int) -> None:
        self.axis = axis
        if self.ignore_class is not None:
            self.logits_of = ()  # as in Keras, which uses the probabilities if a class is ignored

    @property
    def _by_batch(self) -> bool:  # type: ignore[override]  # depends on options
        """Whether a class is ignored. The mean is then taken over the other labels of the batch."""
        return self.ignore_class is not None

    def prepare(self, y_true: Any, output_shape: tuple[int | None, ...]) -> Array:
        """Validate the labels: integers from 0 to C - 1, one for each example."""
        _on_last_axis(self.axis, output_shape)
        y = numeric("y_true", y_true)
        classes = output_shape[-1]
        expected = f"Labels of {self.name} must have shape {(*output_shape[:-1],)}"
        if y.ndim == len(output_shape) and y.shape[-1] == 1:
            y = y[..., 0]
        if y.shape[1:] != tuple(output_shape)[1:-1] or y.ndim == 0:
            hint = ""
            if y.ndim == len(output_shape) and y.shape[-1] == classes:
                hint = "; use categorical_crossentropy for one-hot rows"
            raise ValueError(f"{expected}{hint}. Received: y_true of shape {np.shape(y_true)}")
        valid = (y >= 0) & (y < (classes or 0))
        if y.dtype.kind == "f":
            valid &= y == np.rint(y)
        if self.ignore_class is not None:
            valid |= y == self.ignore_class
        wrong = np.flatnonzero(~valid.reshape(len(y), -1).all(axis=1))
        if wrong.size:
            row = wrong[0]
            ignored = "" if self.ignore_class is None else f", or {self.ignore_class}"
            raise ValueError(
                f"Labels of {self.name} must be integers from 0 to {(classes or 0) - 1}{ignored}, "
                f"because the model has {classes} outputs. "
                f"Received: {checks.shorten(y[row].tolist())} in row {row}"
                + (f" and {wrong.size - 1} more" if wrong.size > 1 else "")
            )
        return np.ascontiguousarray(y, np.int64)

    def values_shape(self, y_true: Array, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the shape of the values, which is the shape of the labels."""
        return y_true.shape

    def squeezed(self, y_true: Array, y_pred: Array) -> Array:
        """Return the predictions unchanged, because their last axis is the class axis."""
        return y_pred

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        labels, rows = self._flat(y_true, y_pred)
        if self.from_logits:
            values = functional.sparse_softmax_crossentropy(labels, rows)
        else:
            values = functional.sparse_crossentropy(labels, rows, config.epsilon())
        if self.ignore_class is not None:
            values[y_true.reshape(-1) == self.ignore_class] = 0
        return values.reshape(y_true.shape)

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the predictions."""
        labels, rows = self._flat(y_true, y_pred)
        d = d_values.reshape(-1)
        if self.from_logits:
            d_rows = functional.sparse_softmax_crossentropy_backward(
                d, labels, functional.softmax(rows)
            )
        else:
            d_rows = functional.sparse_crossentropy_backward(d, labels, rows, config.epsilon())
        if self.ignore_class is not None:
            d_rows[y_true.reshape(-1) == self.ignore_class] = 0
        return d_rows.reshape(y_pred.shape)

    def _flat(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        labels = y_true.reshape(-1)
        if self.ignore_class is not None:
            labels = np.where(labels == self.ignore_class, 0, labels)
        return labels, y_pred.reshape(-1, y_pred.shape[-1])

    @property
    def gives_probabilities(self) -> bool:  # type: ignore[override]  # depends on options
        """Whether `step` also computes the probabilities."""
        return self.from_logits and self.ignore_class is None

    def _pure(self, inputs: list[Any]) -> Pure | None:
        """Return the fused functions for 2-D logits with one label per row, or None."""
        logits, labels = inputs[0].examples, inputs[1].examples
        matching = all(
            len(z) == len(y) and z.ndim == 2 for z, y in zip(logits, labels, strict=True)
        )
        plain = type(self) is SparseCategoricalCrossentropy and self.gives_probabilities
        unweighted = inputs[2] is None and self.reduction == "mean_with_sample_weight"
        if not (matching and plain and (self.is_mean or unweighted)):
            return None
        backward = functional.mean_softmax_crossentropy_backward
        return Pure(functional.mean_softmax_crossentropy, backward, (0, 2, 4, 5))

    def step(
        self, y_true: Array, y_pred: Array, weights: Array | None, work: Workspace
    ) -> tuple[float, Array]:
        """Compute the loss and its gradient.

        With `from_logits`, the probabilities are computed in the same pass.
        """
        if not self.from_logits or self.ignore_class is not None:
            return super().step(y_true, y_pred, weights, work)
        labels, rows = y_true.reshape(-1), y_pred.reshape(-1, y_pred.shape[-1])
        if labels.shape != rows.shape[:1]:  # the kernel does not check this
            raise ValueError(
                f"y_true of {self.name} must contain one label for each of {len(rows)} rows of "
                "predictions. "
                f"Received: {len(labels)} labels"
            )
        values = work.array("values", labels.shape, rows.dtype)
        if weights is not None:
            weights = weights.reshape(-1)
        d_values = self.d_values(weights, work.array("d_values", labels.shape, rows.dtype))
        probabilities = work.array("probabilities", rows.shape, rows.dtype)
        d_rows = work.array("d_logits", rows.shape, rows.dtype)
        functional.softmax_crossentropy_step(labels, rows, d_values, probabilities, d_rows, values)
        work.y = probabilities.reshape(y_pred.shape)
        return self.reduce(values, weights), d_rows.reshape(y_pred.shape)

    def effective_weights(self, y_true: Array, weights: Array | None) -> Array | None:
        """Set the weight of ignored labels to 0, so that the mean is over the other labels."""
        if self.ignore_class is None:
            return weights
        counted: Array = (y_true != self.ignore_class).astype(self.dtype)
        if self.reduction in ("sum_over_batch_size", "mean"):
            counted *= counted.size / max(counted.sum(), 1)
        return counted if weights is None else counted * weights


@declared()
class SmoothedLoss(DenseLoss):
    """Base class of the cross-entropies whose targets are probabilities."""

    from_logits: bool = argument(False, checks.flag)
    label_smoothing: float = argument(0.0, checks.number, 0, 1)
    axis: int = argument(-1, checks.whole, -64)
    reduction: str | None = argument("sum_over_batch_size")
    name: Any = argument(None)
    dtype: Any = argument(None)

    logits_of = HEADS
    target_range = (0.0, 1.0)

    def prepare(self, y_true: Any, output_shape: tuple[int | None, ...]) -> Array:
        """Check the axis and the targets."""
        _on_last_axis(self.axis, output_shape)
        return super().prepare(y_true, output_shape)

    def smoothed(self, y_true: Array, classes: int) -> Array:
        """Apply label smoothing.

        Parameters
        ----------
        y_true : ndarray
            Targets.
        classes : int
            Number of classes.

        Returns
        -------
        ndarray
            ``y_true * (1 - label_smoothing) + label_smoothing / classes``.
        """
        if not self.label_smoothing:
            return y_true
        return y_true * (1 - self.label_smoothing) + self.label_smoothing / classes


class OneHotLoss(SmoothedLoss):
    """Base class of the cross-entropies whose targets are one-hot rows or soft labels."""

    hint = (
        "use sparse_categorical_crossentropy, or convert class labels to one-hot rows with "
        "utils.to_categorical"
    )
    #: Targets above 1 are allowed, because rows may be weighted.
    target_range = (0.0, math.inf)
    _warned = False

    def prepare(self, y_true: Any, output_shape: tuple[int | None, ...]) -> Array:
        """Check that targets are not negative; warn once if the sum of a row is greater than 1."""
        y = super().prepare(y_true, output_shape)
        if output_shape[0] is None and not self._warned and y.size:
            largest = y.sum(axis=-1).max()
            self._warned = bool(largest > 1.01)
            if self._warned:
                checks.warn(
                    f"{self.name} expects targets whose rows sum to 1; if an example has several "
                    "classes, use binary_crossentropy and a sigmoid; to weight examples, use "
                    "sample_weight. "
                    f"Received: a row with the sum {largest:g}"
                )
        return y

    def _how_to_scale(self, y: Array, low: float, high: float) -> str:
        return (
            "use the class probabilities of each example, such as the one-hot rows of "
            "utils.to_categorical"
        )


@_registry.register()
class CategoricalCrossentropy(OneHotLoss):
    """Cross-entropy between one-hot targets and predictions: ``-sum(y_true * log(y_pred))``.

    The targets may also be soft labels (class probabilities). Use `SparseCategoricalCrossentropy`
    for integer labels.

    Parameters
    ----------
    from_logits : bool
        If True, the predictions are logits; otherwise, they are probabilities.
    label_smoothing : float
        Amount of smoothing, from 0 to 1: this fraction of the probability is distributed equally
        over all classes.
    axis : int
        Class axis; must be the last axis.
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    The probabilities of the true classes are 0.95 and 0.1: ``-(log(0.95) + log(0.1)) / 2``.

    >>> loss = CategoricalCrossentropy()
    >>> round(float(loss([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]])), 3)
    1.177
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        y = self.smoothed(y_true, y_pred.shape[-1])
        if self.from_logits:
            return functional.softmax_crossentropy(y, y_pred)
        return functional.crossentropy(y, y_pred, config.epsilon())

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the predictions."""
        y = self.smoothed(y_true, y_pred.shape[-1])
        if self.from_logits:
            return functional.softmax_crossentropy_backward(d_values, y, y_pred)
        return functional.crossentropy_backward(d_values, y, y_pred, config.epsilon())

    def _true_gradient(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        # The loss is linear in the targets.
        classes = [np.zeros_like(y_pred) for _ in range(y_pred.shape[-1])]
        for k, only in enumerate(classes):
            only[..., k] = 1
        plain = copy.copy(self)
        plain.label_smoothing = 0.0
        slopes = np.stack([plain.call(only, y_pred) for only in classes], axis=-1)
        return d_values[..., None] * slopes * (1 - self.label_smoothing)


@_registry.register()
class BinaryCrossentropy(SmoothedLoss):
    """Cross-entropy between binary targets (0 or 1) and the predicted probabilities of class 1.

    ``-mean(y_true * log(y_pred) + (1 - y_true) * log(1 - y_pred))``, over the last axis.

    Parameters
    ----------
    from_logits : bool
        If True, the predictions are logits; otherwise, they are probabilities.
    label_smoothing : float
        Amount of smoothing, from 0 to 1: targets are moved towards 0.5 by this fraction.
    axis : int
        Axis along which the mean is computed; must be the last axis.
    reduction, name, dtype : str, optional
        See `Loss`.

    Examples
    --------
    The probabilities of the targets are 0.4, 0.4, 0.6 and 0.4: ``-(3 * log(0.4) + log(0.6)) / 4``.

    >>> round(float(BinaryCrossentropy()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]])), 3)
    0.815
    """

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        y = self.smoothed(y_true, 2)
        if self.from_logits:
            values = functional.sigmoid_crossentropy(y, y_pred)
        else:
            values = functional.binary_crossentropy(y, y_pred, config.epsilon())
        return np.asanyarray(values.mean(axis=-1))

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the predictions."""
        y = self.smoothed(y_true, 2)
        d = d_values[..., None] / y_pred.dtype.type(y_pred.shape[-1])
        if self.from_logits:
            return functional.sigmoid_crossentropy_backward(d, y, y_pred)
        return functional.binary_crossentropy_backward(d, y, y_pred, config.epsilon())

    def _true_gradient(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        # The loss is linear in the targets.
        yes, no = np.ones_like(y_pred)[..., None], np.zeros_like(y_pred)[..., None]
        plain = copy.copy(self)
        plain.label_smoothing = 0.0
        slopes = plain.call(yes, y_pred[..., None]) - plain.call(no, y_pred[..., None])
        d = d_values[..., None] / y_pred.dtype.type(y_pred.shape[-1])
        return d * slopes * (1 - self.label_smoothing)
