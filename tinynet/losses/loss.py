"""Base class of all losses."""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any

import numpy as np

from tinynet import activations, config
from tinynet._core import Configurable, Registry, checks, snake_case
from tinynet._core.buffers import Workspace
from tinynet._core.checks import numeric
from tinynet.program import TABLE, Array, SymbolicTensor, Tensor, TensorMethods, as_tensor
from tinynet.program.operations import TAPES, Operation, Pure
from tinynet.program.tape import pull_back
from tinynet.program.tensor import to_array
from tinynet.program.variable import aligned, copies, value_of

__all__ = ["DenseLoss", "fit_weights", "Loss", "Reduction", "REDUCTIONS"]


_registry = Registry("loss", "keras.losses")


# Tolerance for targets that are out of range because of rounding errors.
_ROUNDING = 1e-5


#: Values of `reduction`: how the losses of a batch are combined.
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none", None, "mean_with_sample_weight")


class Loss(Configurable):
    """Base class of all losses.

    A custom loss defines ``call(y_true, y_pred)``, which returns one value for each example. It
    may also define ``backward(d_values, y_true, y_pred)``, which returns the gradient with respect
    to `y_pred`; by default, `call` is differentiated.

    Parameters
    ----------
    name : str, optional
        Name of the loss; by default the class name in snake case.
    reduction : str, optional
        Reduction of the weighted values. ``"sum_over_batch_size"`` and ``"mean"``: sum divided by
        the number of values; ``"mean_with_sample_weight"``: sum divided by the sum of the weights;
        ``"sum"``: sum; ``"none"`` or None: no reduction.
    dtype : str, optional
        Data type of the computation; by default `config.floatx()`.

    Raises
    ------
    ValueError
        If `reduction` is unknown.

    Examples
    --------
    The mean of ``1**4`` and ``2**4`` is 8.5:

    >>> class FourthPower(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return ((y_pred - y_true) ** 4).mean(axis=-1)
    ...
    ...     def backward(self, d_values, y_true, y_pred):
    ...         return 4 * (y_pred - y_true) ** 3 / y_pred.shape[-1] * d_values[..., None]
    >>> float(FourthPower()([[0.0, 0.0]], [[1.0, 2.0]]))
    8.5
    """

    _arguments: tuple[str, ...] = ("name", "reduction")

    #: If a model ends with one of these activations, the loss is computed from the input of the
    #: activation (the logits).
    logits_of: tuple[activations.Activation, ...] = ()
    #: Whether the predictions are logits.
    from_logits = False
    #: Whether `step` also computes the probabilities, and stores them in ``work.y``.
    gives_probabilities = False
    #: Whether the loss is custom. Custom losses may depend on the whole batch, and may keep
    #: references to its arrays.
    _custom = False
    #: Whether the value of an example depends on other examples of the batch.
    _by_batch = False

    def __init_subclass__(cls) -> None:
        cls._custom = cls._custom or not cls.__module__.startswith("tinynet.")

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        self.name = checks.title(name, snake_case(type(self).__name__))
        self.reduction = checks.choice("reduction", reduction, REDUCTIONS)
        self.dtype: str = checks.float_type(dtype, config.floatx())

    @property
    def is_mean(self) -> bool:
        """Whether the loss is the mean over all examples, for any split into batches."""
        is_mean = self.reduction in ("sum_over_batch_size", "mean")
        return is_mean and not (self._custom or self._by_batch)

    # -- methods to override

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example.

        Parameters
        ----------
        y_true : ndarray
            Targets, as returned by `prepare`.
        y_pred : ndarray, shape (N, ..., C)
            Predictions.

        Returns
        -------
        ndarray, shape (N, ...)
            Value of each example.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define call(y_true, y_pred)")

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the predictions; the default differentiates `call`.

        Parameters
        ----------
        d_values : ndarray, shape (N, ...)
            Upstream gradient: gradient with respect to each value.
        y_true, y_pred : ndarray
            Targets and predictions, as in `call`.

        Returns
        -------
        ndarray, shape (N, ..., C)
            Gradient with respect to `y_pred`.
        """

        def values(predictions: Any) -> Any:
            return self.call(y_true, predictions)

        values.__name__ = f"The loss {self.name}"
        return pull_back(values, y_pred, d_values)

    def _true_gradient(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the targets, if they depend on trainable weights."""
        raise ValueError(
            f"y_true of {self.name} must not depend on trainable weights, because this loss does "
            "not support gradients with respect to y_true; use ops.stop_gradient, or write the "
            "loss with functions of tinynet.ops. Received: y_true that depends on them"
        )

    def prepare(self, y_true: Any, output_shape: tuple[int | None, ...]) -> Array:
        """Validate the targets and convert them to the form that `call` expects.

        Parameters
        ----------
        y_true : array_like
            Targets.
        output_shape : tuple of (int or None)
            Shape of the predictions, including the batch size.

        Returns
        -------
        ndarray
            Targets, one row for each example.

        Raises
        ------
        ValueError
            If the targets do not match the loss or the predictions.
        """
        y = numeric("y_true", y_true)
        with np.errstate(over="ignore"):  # values that are too large become infinite
            y = y.astype(self.dtype, copy=False)
        if len(output_shape) == 2 and output_shape[-1] == 1 and y.ndim == 1:
            y = y[:, None]
        elif y.ndim == len(output_shape) + 1 > 2 and y.shape[-1] == 1:
            y = y[..., 0]
        return np.ascontiguousarray(y)

    def values_shape(self, y_true: Array, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Compute the shape of the values, which is also the shape of the sample weights.

        Parameters
        ----------
        y_true : ndarray
            Targets, as returned by `prepare`.
        output_shape : tuple of (int or None)
            Shape of the predictions, including the batch size.

        Returns
        -------
        tuple of int
            Shape of the values.
        """
        # If the targets have one axis less, `squeezed` drops the last axis of the predictions.
        dropped = y_true.ndim == len(output_shape) - 1 and output_shape[-1] == 1
        return y_true.shape[: max(len(output_shape) - 1 - dropped, 1)]

    def squeezed(self, y_true: Array, y_pred: Array) -> Array:
        """Drop the last axis of predictions (N, T, 1) if targets have shape (N, T), as in Keras.

        Parameters
        ----------
        y_true : ndarray
            Targets, as returned by `prepare`.
        y_pred : ndarray
            Predictions.

        Returns
        -------
        ndarray
            Predictions, in the shape that `call` expects.
        """
        dropped = y_true.ndim > 1 and y_pred.shape == (*y_true.shape, 1)
        return y_pred[..., 0] if dropped else y_pred

    # -- methods that losses inherit

    def on_logits(self) -> Loss:
        """Return a copy of the loss that expects logits.

        Returns
        -------
        Loss
            Copy with ``from_logits=True``.
        """
        other = copy.copy(self)
        other.from_logits = True
        return other

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        y_true : array_like
            Targets.
        y_pred : array_like, shape (N, ..., C)
            Predictions.
        sample_weight : array_like, optional
            Weight of each value.

        Returns
        -------
        Tensor
            Loss, a scalar; with ``reduction="none"``, the weighted values.
        """
        y_true, y_pred, sample_weight = map(value_of, (y_true, y_pred, sample_weight))
        kinds: Any = (Tensor, SymbolicTensor) if TAPES.get() else SymbolicTensor
        if any(isinstance(v, kinds) for v in (y_true, y_pred, sample_weight)):
            if not isinstance(y_pred, TensorMethods):
                y_pred = as_tensor(numeric("y_pred", y_pred, self.dtype))
            return self._by_operations(y_true, y_pred, sample_weight)
        predictions = np.ascontiguousarray(numeric("y_pred", y_pred, self.dtype))
        if predictions.ndim == 1 and np.shape(y_true) == (len(predictions), 1):
            predictions = predictions[:, None]
        labels = self.prepare(y_true, predictions.shape)
        values = self.call(labels, self.squeezed(labels, predictions))
        weights = weights_of(sample_weight, values.shape, self.dtype)
        weights = self.effective_weights(labels, weights)
        if self.reduction in ("none", None):
            return as_tensor(values if weights is None else values * weights)
        return as_tensor(np.asarray(self.reduce(values, weights), self.dtype))

    def _by_operations(self, y_true: Any, y_pred: Any, sample_weight: Any) -> Any:
        """Compute the loss with differentiable operations, from logits if possible, as in Keras."""
        activation, logits = y_pred.computed_by
        if activation in self.logits_of:
            return self.on_logits()._by_operations(y_true, logits, sample_weight)
        labels = y_true
        if not isinstance(y_true, SymbolicTensor):
            labels = self.prepare(to_array(y_true), y_pred.shape)
            # y_true may be recorded by a tape.
            if isinstance(y_true, Tensor) and labels.dtype.kind == "f":
                labels = TABLE["reshape"](TABLE["cast"](y_true, labels.dtype), labels.shape)
        if sample_weight is not None and not isinstance(sample_weight, SymbolicTensor):
            weights = numeric("sample_weight", to_array(sample_weight), self.dtype)
            recorded = isinstance(sample_weight, Tensor)
            sample_weight = TABLE["cast"](sample_weight, self.dtype) if recorded else weights
        return self.reduced(labels, y_pred, sample_weight)

    def reduced(self, y_true: Any, y_pred: Any, weights: Any) -> Any:
        """Compute the reduced loss with differentiable operations.

        Parameters
        ----------
        y_true : array, Tensor or SymbolicTensor
            Targets, as returned by `prepare`.
        y_pred : Tensor or SymbolicTensor
            Predictions.
        weights : array or SymbolicTensor, optional
            Sample weights, in the shape of the values or one for each example.

        Returns
        -------
        Tensor or SymbolicTensor
            Loss, a scalar; with ``reduction="none"``, the weighted values.
        """
        predictions = self.squeezed(y_true, TABLE["cast"](y_pred, self.dtype))
        if self._has_own_gradient:
            values: Any = VALUES(predictions, y_true, loss=self)
        else:
            labels: Any = y_true if isinstance(y_true, TensorMethods) else as_tensor(y_true)
            values = self.call(labels, predictions)
            if not isinstance(values, TensorMethods) or (
                values.shape and values.shape[0] != predictions.shape[0]
            ):
                raise ValueError(
                    f"The loss {self.name} must compute one value for each example from y_pred, "
                    "with operations: operators, functions of tinynet.ops, or NumPy functions "
                    "applied to the tensor. Received: "
                    f"{type(values).__name__} of shape {getattr(values, 'shape', ())}"
                )
        if not isinstance(y_true, SymbolicTensor):
            if weights is not None and not isinstance(weights, SymbolicTensor):
                weights = fit_weights(np.asanyarray(weights), values.shape)
            weights = self.effective_weights(np.asarray(y_true), weights)
        weighted = values if weights is None else TABLE["multiply"](values, weights)
        by_weight = self.reduction == "mean_with_sample_weight"
        if self.reduction in ("sum_over_batch_size", "mean") or (by_weight and weights is None):
            return TABLE["mean"](weighted)
        total = weighted if self.reduction in ("none", None) else TABLE["sum"](weighted)
        if by_weight:
            count = TABLE["sum"](weights)
            total = TABLE["divide"](total, TABLE["where"](TABLE["equal"](count, 0.0), 1.0, count))
        return total

    def _pure(self, inputs: list[Any]) -> Pure | None:
        """Return fused forward and backward functions of the loss, or None."""
        return None

    @property
    def _has_own_gradient(self) -> bool:
        """Whether the loss defines `backward` or `step`; otherwise, `call` is differentiated."""
        kind = type(self)
        return kind.backward is not Loss.backward or kind.step is not Loss.step

    def step(
        self, y_true: Array, y_pred: Array, weights: Array | None, work: Workspace
    ) -> tuple[float, Array]:
        """Compute the loss and its gradient with respect to the predictions.

        Parameters
        ----------
        y_true : ndarray
            Targets, as returned by `prepare`.
        y_pred : ndarray, shape (N, ..., C)
            Predictions.
        weights : ndarray, shape (N, ...), optional
            Sample weights.
        work : Workspace
            Reusable buffers.

        Returns
        -------
        float
            Loss.
        ndarray, shape (N, ..., C)
            Gradient with respect to `y_pred`.
        """
        weights = self.effective_weights(y_true, weights)
        predictions = self.squeezed(y_true, y_pred)
        if self._custom:
            y_true, predictions = copies(y_true, predictions)
        values = np.asarray(self.call(y_true, predictions), y_pred.dtype)
        d_values = self.d_values(weights, aligned(values.shape, values.dtype))
        d_y = np.asarray(self.backward(d_values, y_true, predictions), y_pred.dtype)
        if d_y.shape != predictions.shape:
            raise ValueError(
                f"{self.name}.backward must return the gradient with respect to y_pred, of shape "
                f"{predictions.shape}. Received: shape {d_y.shape}"
            )
        return self.reduce(values, weights), d_y.reshape(y_pred.shape)

    def effective_weights(self, y_true: Array, weights: Array | None) -> Array | None:
        """Compute the weight of each value: the sample weight, or 0 if the loss ignores the value.

        Parameters
        ----------
        y_true : ndarray
            Targets, as returned by `prepare`.
        weights : ndarray, optional
            Sample weights.

        Returns
        -------
        ndarray or None
            Weight of each value, or None if all weights are 1.
        """
        return weights

    def divisor(self, weights: Array | None, count: int) -> float:
        """Compute the divisor of the sum of the weighted values.

        Parameters
        ----------
        weights : ndarray, optional
            Sample weights.
        count : int
            Number of values.

        Returns
        -------
        float
            Divisor, depending on `reduction`: the number of values, the sum of the weights, or 1.
        """
        if self.reduction in ("sum_over_batch_size", "mean"):
            return max(count, 1)
        if self.reduction == "mean_with_sample_weight":
            return count if weights is None else float(weights.sum()) or 1.0
        return 1

    def d_values(self, weights: Array | None, out: Array) -> Array:
        """Compute the gradient of the reduced loss with respect to each value.

        Parameters
        ----------
        weights : ndarray, optional
            Sample weights, in the shape of the values.
        out : ndarray
            Output array, in the shape of the values.

        Returns
        -------
        ndarray
            Gradient, written to `out`: weight of each value divided by `divisor`.
        """
        divisor = self.divisor(weights, out.size)
        if weights is None:
            out.fill(1 / divisor)
            return out
        np.divide(weights, out.dtype.type(divisor), out=out)
        return out

    def reduce(self, values: Array, weights: Array | None) -> float:
        """Reduce the values to the loss.

        Parameters
        ----------
        values : ndarray
            Value of each example.
        weights : ndarray, optional
            Sample weights, in the same shape.

        Returns
        -------
        float
            Loss, computed in the precision of the values.
        """
        weighted = values if weights is None else values * weights
        total = np.add.reduce(weighted.reshape(-1))
        return float(total / values.dtype.type(self.divisor(weights, values.size)))


def fit_weights(weights: Array, shape: tuple[int, ...]) -> Array:
    """Broadcast sample weights to the shape of the values of a loss.

    Parameters
    ----------
    weights : ndarray
        A scalar, one weight for each example, or one for each value.
    shape : tuple of int
        Shape of the values.

    Returns
    -------
    ndarray
        Weights, contiguous, of the given shape.

    Raises
    ------
    ValueError
        If the weights cannot be broadcast.

    Examples
    --------
    One weight for each of 2 examples, broadcast to 3 values for each:

    >>> fit_weights(np.array([1.0, 2.0]), (2, 3))
    array([[1., 1., 1.],
           [2., 2., 2.]])
    """
    if weights.ndim == len(shape) + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    fitting = weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim))
    try:
        fitted = np.broadcast_to(fitting, shape)
        return fitted if isinstance(fitted, Tensor) else np.ascontiguousarray(fitted)
    except ValueError:
        inner = weights.shape[: len(shape)] == shape  # one weight for each averaged element
        raise ValueError(
            f"sample_weight (or class_weight) must have a shape that broadcasts to {shape}"
            f"{'; add a last axis of size 1 to y' if inner else ''}. "
            f"Received: weights of shape {weights.shape}"
        ) from None


def weights_of(sample_weight: Any, shape: tuple[int, ...], dtype: Any) -> Array | None:
    """Convert sample weights to an array of the given shape, or return None if not given."""
    if sample_weight is None:
        return None
    return fit_weights(numeric("sample_weight", sample_weight, dtype), shape)


class _Values(Operation):
    """Operation that computes the values of a loss that defines `backward`."""

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Array:
        """Compute the value of each example."""
        predictions, labels = arrays
        return np.asarray(options["loss"].call(labels, np.ascontiguousarray(predictions)))

    def gradients(
        self, d_y: Any, y: Any, arrays: Any, options: Any, needs: Any, work: Any, outs: Any
    ) -> list[Array | None]:
        """Compute the gradients with respect to predictions and targets."""
        loss, predictions, labels = options["loss"], np.ascontiguousarray(arrays[0]), arrays[1]
        d_values = np.asarray(d_y)
        found: list[Array | None] = [None, None]
        if needs[0]:
            found[0] = np.asarray(loss.backward(d_values, labels, predictions), predictions.dtype)
        if needs[1]:
            d_true = loss._true_gradient(d_values, labels, predictions)
            found[1] = np.asarray(d_true, labels.dtype).reshape(labels.shape)
        return found


VALUES = _Values("values", lambda y_pred, y_true, loss: y_pred, lambda d_y, y, x, y_true: d_y, 2)


_STEP = inspect.signature(lambda y_pred, y_true, weights: None)


class LossStep(Operation):
    """Operation that computes a loss and its gradient together, and the probabilities if needed."""

    has_work = True

    def __init__(self, loss: Loss) -> None:
        functions = (lambda y_pred, y_true, weights: y_pred), (lambda d_y, y: d_y)
        super().__init__(loss.name, *functions, 3, signature=_STEP)
        self.loss = loss

    def infer(self, arrays: list[Any], options: dict[str, Any]) -> Any:
        """Return arrays with the shapes of the results."""
        return np.zeros(()), np.zeros_like(arrays[0])

    def pure(self, inputs: list[Any], needs: list[bool]) -> Pure | None:
        """Return the fused functions of the loss for these inputs, or None."""
        return self.loss._pure(inputs)

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Any:
        """Compute the loss and the probabilities, and store the gradient in ``work.x``."""
        predictions, y_true, weights = arrays
        work.y = None
        value, work.x = self.loss.step(y_true, predictions, weights, work)
        return np.float64(value), predictions if work.y is None else work.y

    def gradients(
        self, d_y: Any, y: Any, arrays: Any, options: Any, needs: Any, work: Any, outs: Any
    ) -> list[Array | None]:
        """Return the stored gradient, multiplied by the upstream gradient."""
        d_predictions = work.x
        if d_y != 1:
            d_predictions = d_predictions * d_predictions.dtype.type(d_y)
        return [d_predictions, None, None]


class DenseLoss(Loss):
    """Base class of the losses whose targets have the same shape as the predictions.

    Parameters
    ----------
    name, reduction, dtype : str
        See `Loss`.

    Examples
    --------
    Targets of shape (N,) become a column if the predictions have shape (N, 1):

    >>> DenseLoss().prepare([1, 0], (None, 1)).shape
    (2, 1)
    """

    #: Hint in the error message if class labels are given instead of one-hot rows.
    hint = "utils.to_categorical converts class labels to one-hot rows"
    #: Minimum and maximum of the targets.
    target_range = (-math.inf, math.inf)

    def prepare(self, y_true: Any, output_shape: tuple[int | None, ...]) -> Array:
        """Check that the targets are finite, in range, and have the shape of the predictions."""
        y = super().prepare(y_true, output_shape)
        own, last = tuple(output_shape)[1:], tuple(output_shape)[-1:]
        if y.shape[1:] != own and (last != (1,) or y.shape[1:] != own[:-1] or y.ndim < 2):
            labels = y.ndim < len(output_shape) or y.shape[-1] == 1
            raise ValueError(
                f"Targets of {self.name} must have the shape of the predictions, "
                f"{tuple(output_shape)}{'; ' + self.hint if labels else ''}. "
                f"Received: y_true of shape {np.shape(y_true)}"
            )
        if not y.size:
            return y
        low, high = y.min(), y.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            row = np.argwhere(~np.isfinite(y))[0][0]
            raise ValueError(
                f"Targets of {self.name} must be finite. "
                f"Received: {checks.shorten(y[row].tolist())} in row {row}"
            )
        least, most = self.target_range
        if low < least - _ROUNDING or high > most + _ROUNDING:
            span = f"in the range [{least:g}, {most:g}]"
            if most == math.inf:
                span = f"at least {least:g}"
            raise ValueError(
                f"Targets of {self.name} must be {span}; {self._how_to_scale(y, low, high)}. "
                f"Received: targets from {low:g} to {high:g}"
            )
        return y

    def _how_to_scale(self, y: Array, low: float, high: float) -> str:
        """Suggest how to scale targets to the range from 0 to 1."""
        if low >= -1 and high <= 1:
            return "use (y + 1) / 2 for targets from -1 to 1"
        if low >= 0 and y.shape[-1] == 1 and high < 100 and (y == np.rint(y)).all():
            return "use sparse_categorical_crossentropy for class labels"
        if low >= 0:
            is_image = 100 <= high <= 255
            return "divide pixel values by 255" if is_image else f"divide them by {high:g}"
        return "scale them, or use mean_squared_error"


class Reduction:
    """Names of the reductions of a loss, as in `tf.keras.losses.Reduction`.

    `AUTO` is defined for compatibility only: as in Keras 3, losses do not accept ``"auto"``.

    Examples
    --------
    The sum of ``1**2`` and ``2**2``:

    >>> from tinynet.losses import MeanSquaredError
    >>> MeanSquaredError(Reduction.SUM)([[0.0], [0.0]], [[1.0], [2.0]]).numpy()
    np.float32(5.0)
    """

    AUTO, NONE, SUM, SUM_OVER_BATCH_SIZE = "auto", "none", "sum", "sum_over_batch_size"
