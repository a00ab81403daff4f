"""What a loss is: one value for each example, their mean, and the way back."""

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
from tinynet.program.variable import aligned, copies

__all__ = ["DenseLoss", "fit_weights", "Loss", "Reduction", "REDUCTIONS"]


_registry = Registry("loss", "keras.losses")


# How far rounding may move a probability out of its range.
_ROUNDING = 1e-5


REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none", None, "mean_with_sample_weight")


class Loss(Configurable):
    """The base of all losses.

    A loss of your own defines ``call(y_true, y_pred)``, which returns one value for each
    example, and ``backward(d_values, y_true, y_pred)``, which returns the gradient in `y_pred`.

    Parameters
    ----------
    name : str, optional
        By default the class name in snake case.
    reduction : str, optional
        ``"sum_over_batch_size"`` and ``"mean"`` divide the sum of the weighted values by their
        number, ``"mean_with_sample_weight"`` by the sum of the weights; ``"sum"`` does not
        divide; ``"none"`` or None returns the values.
    dtype : str, optional
        The type to compute in; by default `config.floatx()`.

    Raises
    ------
    ValueError
        If there is no such reduction.

    Examples
    --------
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

    #: The activations whose input the loss is computed from, where a model ends in one.
    logits_of: tuple[activations.Activation, ...] = ()
    #: Whether the predictions are such inputs already.
    from_logits = False
    #: Whether `step` computes the probabilities, which it leaves in ``work.y``.
    gives_probabilities = False
    #: Whether it is the user's, who may look at a batch as a whole, or keep it.
    _custom = False
    #: Whether a value depends on other examples of the batch.
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
        """Whether the loss of all data is the mean of its batches', however they are cut."""
        is_mean = self.reduction in ("sum_over_batch_size", "mean")
        return is_mean and not (self._custom or self._by_batch)

    # -- to be defined by each kind of loss

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example.

        Parameters
        ----------
        y_true : ndarray
            What `prepare` made of the true values.
        y_pred : ndarray, shape (N, ..., C)
            The predictions.

        Returns
        -------
        ndarray, shape (N, ...)
            The values.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define call(y_true, y_pred)")

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the predictions, by default from `call`.

        Parameters
        ----------
        d_values : ndarray, shape (N, ...)
            Upstream gradient of each value.
        y_true, y_pred : ndarray
            As in `call`.

        Returns
        -------
        ndarray, shape (N, ..., C)
            The gradient.
        """

        def values(predictions: Any) -> Any:
            return self.call(y_true, predictions)

        values.__name__ = f"The loss {self.name}"
        return pull_back(values, y_pred, d_values)

    def _true_gradient(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the true values, if they are computed, too."""
        raise ValueError(
            f"y_true of {self.name} must not be computed from what is trained: this loss has no "
            "gradient with respect to it; use ops.stop_gradient, or write the loss with functions "
            "of tinynet.ops. Received: a y_true that depends on it"
        )

    def prepare(self, y_true: Any, output_shape: tuple[int | None, ...]) -> Array:
        """Check the true values and bring them into the form that `call` takes.

        Parameters
        ----------
        y_true : array_like
            The true values.
        output_shape : tuple of (int or None)
            The shape of the predictions, batch size first.

        Returns
        -------
        ndarray
            One row for each example.

        Raises
        ------
        ValueError
            If they can't be what was meant.
        """
        y = numeric("y_true", y_true)
        with np.errstate(over="ignore"):  # what is too large for the type becomes infinite
            y = y.astype(self.dtype, copy=False)
        if len(output_shape) == 2 and output_shape[-1] == 1 and y.ndim == 1:
            y = y[:, None]
        elif y.ndim == len(output_shape) + 1 > 2 and y.shape[-1] == 1:
            y = y[..., 0]
        return np.ascontiguousarray(y)

    def values_shape(self, y_true: Array, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the shape of the values, which is that of sample weights.

        Parameters
        ----------
        y_true : ndarray
            Targets that `prepare` returned.
        output_shape : tuple of (int or None)
            Shape of the predictions, batch size first.

        Returns
        -------
        tuple of int
            Their shape.
        """
        # Both are of an example each, or `squeezed` drops the predictions' last axis.
        dropped = y_true.ndim == len(output_shape) - 1 and output_shape[-1] == 1
        return y_true.shape[: max(len(output_shape) - 1 - dropped, 1)]

    def squeezed(self, y_true: Array, y_pred: Array) -> Array:
        """Drop the last axis of predictions (N, T, 1) if the targets are (N, T), as Keras does.

        Parameters
        ----------
        y_true : ndarray
            Targets that `prepare` returned.
        y_pred : ndarray
            Predictions.

        Returns
        -------
        ndarray
            The predictions that `call` takes.
        """
        dropped = y_true.ndim > 1 and y_pred.shape == (*y_true.shape, 1)
        return y_pred[..., 0] if dropped else y_pred

    # -- the same for every loss

    def on_logits(self) -> Loss:
        """Return the same loss for the input of `logits_of` in place of its output.

        Returns
        -------
        Loss
            The loss.
        """
        other = copy.copy(self)
        other.from_logits = True
        return other

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """Compute the loss of predictions given as data.

        Parameters
        ----------
        y_true : array_like
            The true values.
        y_pred : array_like, shape (N, ..., C)
            The predictions.
        sample_weight : array_like, optional
            What each value counts.

        Returns
        -------
        Tensor
            The loss, without dimensions unless `reduction` is none.
        """
        kinds: Any = (Tensor, SymbolicTensor) if TAPES.get() else SymbolicTensor
        if isinstance(y_pred, kinds) or isinstance(y_true, kinds):
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
        """Compute the loss so that a tape or a program can follow; from logits as Keras does."""
        activation, logits = y_pred.computed_by
        if activation in self.logits_of:
            return self.on_logits()._by_operations(y_true, logits, sample_weight)
        labels = y_true
        if not isinstance(y_true, SymbolicTensor):
            labels = self.prepare(to_array(y_true), y_pred.shape)
            if isinstance(y_true, Tensor) and labels.dtype.kind == "f":  # a tape may follow it
                labels = TABLE["reshape"](TABLE["cast"](y_true, labels.dtype), labels.shape)
        if sample_weight is not None and not isinstance(sample_weight, SymbolicTensor):
            sample_weight = numeric("sample_weight", to_array(sample_weight), self.dtype)
        return self.reduced(labels, y_pred, sample_weight)

    def reduced(self, y_true: Any, y_pred: Any, weights: Any) -> Any:
        """Compute the reduced loss by operations.

        Parameters
        ----------
        y_true : array, Tensor or SymbolicTensor
            What `prepare` made of the true values.
        y_pred : Tensor or SymbolicTensor
            The predictions.
        weights : array or SymbolicTensor, optional
            The sample weights, of the values' shape or one for each example.

        Returns
        -------
        Tensor or SymbolicTensor
            The loss, without dimensions unless `reduction` is none.
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
                    f"The loss {self.name} must compute its result from y_pred, one value for "
                    "each example, by operations: operators, functions of tinynet.ops, or NumPy "
                    "functions of the tensor itself. Received: "
                    f"{type(values).__name__} of shape {getattr(values, 'shape', ())}"
                )
        if not isinstance(y_true, SymbolicTensor):
            if weights is not None and not isinstance(weights, SymbolicTensor):
                weights = fit_weights(np.asarray(weights), values.shape)
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
        """Return functions of predictions, targets and weights, if they are all there is to do."""
        return None

    @property
    def _has_own_gradient(self) -> bool:
        """Whether it defines `backward`, or `step`; else `call` is differentiated."""
        kind = type(self)
        return kind.backward is not Loss.backward or kind.step is not Loss.step

    def step(
        self, y_true: Array, y_pred: Array, weights: Array | None, work: Workspace
    ) -> tuple[float, Array]:
        """Compute the loss and its gradient in the predictions.

        Parameters
        ----------
        y_true : ndarray
            What `prepare` made of the true values.
        y_pred : ndarray, shape (N, ..., C)
            The predictions.
        weights : ndarray, shape (N, ...), optional
            The sample weights.
        work : Workspace
            Where buffers live.

        Returns
        -------
        float
            The loss.
        ndarray, shape (N, ..., C)
            The gradient.
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
        """Say what each value counts: the sample weights, unless some values don't count.

        Parameters
        ----------
        y_true : ndarray
            What `prepare` made of the true values.
        weights : ndarray, optional
            The sample weights.

        Returns
        -------
        ndarray or None
            The weights; None if all count 1.
        """
        return weights

    def divisor(self, weights: Array | None, count: int) -> float:
        """Say what the sum of the weighted values is divided by.

        Parameters
        ----------
        weights : ndarray, optional
            The sample weights.
        count : int
            The number of values.

        Returns
        -------
        float
            The divisor that the reduction asks for.
        """
        if self.reduction in ("sum_over_batch_size", "mean"):
            return max(count, 1)
        if self.reduction == "mean_with_sample_weight":
            return count if weights is None else float(weights.sum()) or 1.0
        return 1

    def d_values(self, weights: Array | None, out: Array) -> Array:
        """Compute the gradient of the reduced loss in each value.

        Parameters
        ----------
        weights : ndarray, optional
            The sample weights, of the values' shape.
        out : ndarray
            Where to write the result, of the values' shape.

        Returns
        -------
        ndarray
            The gradient: 1 over the number of values, for a plain mean.
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
            The value of each example.
        weights : ndarray, optional
            The sample weights, of the same shape.

        Returns
        -------
        float
            The loss, in the values' precision.
        """
        weighted = values if weights is None else values * weights
        total = np.add.reduce(weighted.reshape(-1))
        return float(total / values.dtype.type(self.divisor(weights, values.size)))


def fit_weights(weights: Array, shape: tuple[int, ...]) -> Array:
    """Bring sample weights to the shape of the values that they weigh.

    Parameters
    ----------
    weights : ndarray
        A scalar, one weight for each example, or one for each value.
    shape : tuple of int
        The shape of the values.

    Returns
    -------
    ndarray
        The weights, of that shape.

    Raises
    ------
    ValueError
        If they don't fit.

    Examples
    --------
    >>> fit_weights(np.array([[1.0], [2.0]]), (2,))
    array([1., 2.])
    """
    if weights.ndim == len(shape) + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    fitting = weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim))
    try:
        return np.ascontiguousarray(np.broadcast_to(fitting, shape))
    except ValueError:
        inner = weights.shape[: len(shape)] == shape  # one weight for each averaged element
        raise ValueError(
            f"sample_weight or class_weight must fit values of shape {shape}"
            f"{'; give y a last axis of size 1' if inner else ''}. Received: weights of shape "
            f"{weights.shape}"
        ) from None


def weights_of(sample_weight: Any, shape: tuple[int, ...], dtype: Any) -> Array | None:
    """Return weights as numbers that fit values of a shape; None for None.

    Parameters
    ----------
    sample_weight : array_like, optional
        Weights.
    shape : tuple of int
        Shape of the values.
    dtype : dtype
        Data type of the weights.

    Returns
    -------
    ndarray or None
        Weight of each value.

    Examples
    --------
    >>> weights_of([2, 3], (2, 1), "float32")
    array([[2.],
           [3.]], dtype=float32)
    """
    if sample_weight is None:
        return None
    return fit_weights(numeric("sample_weight", sample_weight, dtype), shape)


class _Values(Operation):
    """The values of a loss with its own `backward`, as an operation."""

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Array:
        """Compute the value of each example."""
        predictions, labels = arrays
        return np.asarray(options["loss"].call(labels, np.ascontiguousarray(predictions)))

    def gradients(
        self, d_y: Any, y: Any, arrays: Any, options: Any, needs: Any, work: Any, outs: Any
    ) -> list[Array | None]:
        """Compute the gradients with respect to predictions and true values."""
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
    """A loss and its gradient, computed at once; the probabilities, too, if it computes them.

    Parameters
    ----------
    loss : Loss
        The loss.

    Examples
    --------
    >>> from tinynet.losses import MeanSquaredError
    >>> y, y_pred = np.zeros((1, 2), np.float32), np.float32([[1.0, 3.0]])
    >>> LossStep(MeanSquaredError())(y_pred, y, None)[0]
    Tensor(5.)
    """

    has_work = True

    def __init__(self, loss: Loss) -> None:
        functions = (lambda y_pred, y_true, weights: y_pred), (lambda d_y, y: d_y)
        super().__init__(loss.name, *functions, 3, signature=_STEP)
        self.loss = loss

    def infer(self, arrays: list[Any], options: dict[str, Any]) -> Any:
        """Return arrays of the results' shapes."""
        return np.zeros(()), np.zeros_like(arrays[0])

    def pure(self, inputs: list[Any], needs: list[bool]) -> Pure | None:
        """Return the functions of the loss, if there are any for such predictions."""
        return self.loss._pure(inputs)

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Any:
        """Compute loss and predictions, and note the gradient."""
        predictions, y_true, weights = arrays
        work.y = None
        value, work.x = self.loss.step(y_true, predictions, weights, work)
        return np.float64(value), predictions if work.y is None else work.y

    def gradients(
        self, d_y: Any, y: Any, arrays: Any, options: Any, needs: Any, work: Any, outs: Any
    ) -> list[Array | None]:
        """Return the gradient."""
        d_predictions = work.x
        if d_y != 1:
            d_predictions = d_predictions * d_predictions.dtype.type(d_y)
        return [d_predictions, None, None]


class DenseLoss(Loss):
    """The base of the losses whose true values have the predictions' shape.

    Parameters
    ----------
    name, reduction, dtype : str
        As for `Loss`.

    Examples
    --------
    >>> DenseLoss().prepare([1, 0], (None, 1)).shape
    (2, 1)
    """

    #: What to do with class labels in place of one-hot rows.
    hint = "utils.to_categorical makes such rows of class labels"
    #: The smallest and the largest target.
    target_range = (-math.inf, math.inf)

    def prepare(self, y_true: Any, output_shape: tuple[int | None, ...]) -> Array:
        """Check that targets are finite, in the loss's range and of the predictions' shape."""
        y = super().prepare(y_true, output_shape)
        own, last = tuple(output_shape)[1:], tuple(output_shape)[-1:]
        if y.shape[1:] != own and (last != (1,) or y.shape[1:] != own[:-1] or y.ndim < 2):
            labels = y.ndim < len(output_shape) or y.shape[-1] == 1
            raise ValueError(
                f"{self.name} takes true values of the predictions' shape {tuple(output_shape)}"
                f"{'; ' + self.hint if labels else ''}. Received: shape {np.shape(y_true)}"
            )
        if not y.size:
            return y
        low, high = y.min(), y.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            row = np.argwhere(~np.isfinite(y))[0][0]
            raise ValueError(
                f"{self.name} takes finite true values. "
                f"Received: {checks.shorten(y[row].tolist())} in row {row}"
            )
        least, most = self.target_range
        if low < least - _ROUNDING or high > most + _ROUNDING:
            span = f"from {least:g} to {most:g}" if most < math.inf else f"from {least:g} up"
            raise ValueError(
                f"{self.name} takes targets {span}; {self._how_to_scale(y, low, high)}. "
                f"Received: targets from {low:g} to {high:g}"
            )
        return y

    def _how_to_scale(self, y: Array, low: float, high: float) -> str:
        """Suggest how to bring targets into the range from 0 to 1."""
        if low >= -1 and high <= 1:
            return "turn -1 to 1 into 0 to 1 with (y + 1) / 2"
        if low >= 0 and y.shape[-1] == 1 and high < 100 and (y == np.rint(y)).all():
            return "use sparse_categorical_crossentropy for class labels"
        if low >= 0:
            return "divide pixels by 255" if 100 <= high <= 255 else f"divide them by {high:g}"
        return "scale them, or use mean_squared_error"


class Reduction:
    """Names of the ways to reduce the values of a loss, as `tf.keras.losses.Reduction` has them.

    Examples
    --------
    >>> from tinynet.losses import MeanSquaredError
    >>> MeanSquaredError(Reduction.SUM)([[0.0], [0.0]], [[1.0], [2.0]]).numpy()
    np.float32(5.0)
    """

    AUTO, NONE, SUM, SUM_OVER_BATCH_SIZE = "auto", "none", "sum", "sum_over_batch_size"
