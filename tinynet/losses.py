"""Losses: how wrong the predictions are, in one number, and which way is less wrong.

A loss computes one value for each example, and reduces them to their mean. `call` computes the
values; `backward` takes the gradient in each of them to the gradient in the predictions.

**From logits.** A cross-entropy of a softmax is computed from the softmax's input, which is
exact where the probabilities have rounded to 0 or 1. Where a model ends in a softmax, training
and evaluation do so by themselves, as Keras on TensorFlow does; a loss that is given
probabilities as data clips them instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import activations, checks, config, ops
from tinynet.registry import Registry, snake_case
from tinynet.variable import Array, Tensor, as_tensor
from tinynet.workspace import Workspace

_registry = Registry("loss", "keras.losses")
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none", None, "mean_with_sample_weight")


class Loss:
    """The base of all losses.

    A loss of your own defines ``call(y_true, y_pred)``, which returns one value for each
    example, and ``backward(d_values, y_true, y_pred)``.

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
    >>> loss = SparseCategoricalCrossentropy()
    >>> float(loss([0], [[0.5, 0.5]]))
    0.6931471824645996
    """

    #: The activation whose input the loss can be computed from, if there is one.
    logits_of: tuple[activations.Activation, ...] = ()

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.reduction = checks.choice("reduction", reduction, REDUCTIONS)
        self.dtype: str = config.floatx() if dtype is None else np.dtype(dtype).name

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
        """Compute the gradient in the predictions.

        Parameters
        ----------
        d_values : ndarray, shape (N, ...)
            The gradient in each value.
        y_true, y_pred : ndarray
            As in `call`.

        Returns
        -------
        ndarray, shape (N, ..., C)
            The gradient.
        """
        raise NotImplementedError(
            f"{type(self).__name__} needs its derivative, since tinynet does not differentiate "
            f"by itself: define backward(d_values, y_true, y_pred)"
        )

    def on_logits(self) -> Loss:
        """Return the same loss for the input of `logits_of` in place of its output.

        Returns
        -------
        Loss
            The loss.
        """
        raise NotImplementedError(f"{type(self).__name__} has no form for logits")

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
            Of the shape of the predictions.

        Raises
        ------
        ValueError
            If they can't be what was meant.
        """
        y = numeric("y_true", y_true).astype(self.dtype, copy=False)
        if y.ndim == len(output_shape) - 1 and output_shape[-1] == 1:
            y = y[..., None]
        if y.shape[1:] != tuple(output_shape)[1:]:
            raise ValueError(
                f"{self.name} takes true values of the predictions' shape {output_shape}. "
                f"Received: shape {np.shape(y_true)}"
            )
        return np.ascontiguousarray(y)

    # -- the same for every loss

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
        predictions = np.ascontiguousarray(y_pred, self.dtype)
        labels = self.prepare(y_true, predictions.shape)
        values = self.call(labels, predictions)
        weights = None
        if sample_weight is not None:
            weights = fit_weights(np.asarray(sample_weight, self.dtype), values.shape)
        weights = self.effective_weights(labels, weights)
        if self.reduction in ("none", None):
            return as_tensor(values if weights is None else values * weights)
        return as_tensor(np.asarray(self.reduce(values, weights), self.dtype))

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
        values = self.call(y_true, y_pred)
        d_values = self.d_values(weights, work.array("d_values", values.shape, values.dtype))
        return self.reduce(values, weights), self.backward(d_values, y_true, y_pred)

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
        total = values.sum() if weights is None else np.sum(values * weights)
        return float(total / values.dtype.type(self.divisor(weights, values.size)))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments.

        Returns
        -------
        dict
            What `from_config` takes.
        """
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a loss from its configuration.

        Parameters
        ----------
        config : dict
            What `get_config` returned.

        Returns
        -------
        Loss
            A new one.
        """
        return cls(**config)


def numeric(name: str, value: Any) -> Array:
    """Check that values are real numbers.

    Parameters
    ----------
    name : str
        What they are.
    value : array_like
        The values.

    Returns
    -------
    ndarray
        The values.

    Examples
    --------
    >>> numeric("y_true", ["a"])
    Traceback (most recent call last):
        ...
    ValueError: y_true must be real numbers. Received: dtype <U1
    """
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be real numbers. Received: dtype {array.dtype}")
    return array


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
        raise ValueError(
            f"sample_weight must fit values of shape {shape}. Received: shape {weights.shape}"
        ) from None


@_registry.register()
class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy between class labels and predicted probabilities.

    ``value = -log(probability of the label)``.

    Parameters
    ----------
    from_logits : bool
        Whether the predictions are scores before softmax, rather than probabilities.
    ignore_class : int, optional
        A label that does not count.
    reduction, name, dtype : str
        As for `Loss`.

    Examples
    --------
    >>> loss = SparseCategoricalCrossentropy(from_logits=True)
    >>> round(float(loss([2, 0], [[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]])), 5)
    2.21618
    """

    logits_of: tuple[activations.Activation, ...] = (activations.softmax, activations.sigmoid)

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = checks.flag("from_logits", from_logits)
        if ignore_class is not None:
            ignore_class = checks.whole("ignore_class", ignore_class, -(2**63))
            # Keras loses a softmax's input on the way when a class is ignored.
            self.logits_of = ()
        self.ignore_class = ignore_class

    def prepare(self, y_true: Any, output_shape: tuple[int | None, ...]) -> Array:
        """Check the labels: whole numbers from 0 to C - 1, one for each example."""
        y = numeric("y_true", y_true)
        classes = output_shape[-1]
        expected = f"{self.name} takes labels of shape {(*output_shape[:-1],)}"
        if y.ndim == len(output_shape) and y.shape[-1] == 1:
            y = y[..., 0]
        if y.shape[1:] != tuple(output_shape)[1:-1] or y.ndim == 0:
            hint = ""
            if y.ndim == len(output_shape) and y.shape[-1] == classes:
                hint = ", or use categorical_crossentropy for one-hot rows"
            raise ValueError(f"{expected}{hint}. Received: shape {np.shape(y_true)}")
        if y.dtype.kind == "f":
            fractional = np.flatnonzero(~(y == np.rint(y)).reshape(len(y), -1).all(axis=1))
            if fractional.size:
                row = fractional[0]
                raise ValueError(
                    f"{self.name} takes whole numbers as labels. "
                    f"Received: {checks.shorten(y[row].tolist())} in row {row}"
                )
        labels = np.ascontiguousarray(y, np.int64)
        valid = (labels >= 0) & (labels < (classes or 0))
        if self.ignore_class is not None:
            valid |= labels == self.ignore_class
        wrong = np.flatnonzero(~valid.reshape(len(labels), -1).all(axis=1))
        if wrong.size:
            row = wrong[0]
            raise ValueError(
                f"{self.name} takes labels from 0 to {(classes or 0) - 1}, since the model has "
                f"{classes} outputs. Received: {checks.shorten(y[row].tolist())} in row {row}"
                + (f" and {wrong.size - 1} more" if wrong.size > 1 else "")
            )
        return labels

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        labels, rows = self._flat(y_true, y_pred)
        if self.from_logits:
            values = ops.sparse_softmax_crossentropy(labels, rows)
        else:
            values = ops.sparse_crossentropy(labels, rows, config.epsilon())
        if self.ignore_class is not None:
            values[y_true.reshape(-1) == self.ignore_class] = 0
        shaped: Array = values.reshape(y_true.shape)
        return shaped

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient in the predictions."""
        labels, rows = self._flat(y_true, y_pred)
        d = d_values.reshape(-1)
        if self.from_logits:
            d_rows = ops.sparse_softmax_crossentropy_backward(d, labels, ops.softmax(rows))
        else:
            d_rows = ops.sparse_crossentropy_backward(d, labels, rows, config.epsilon())
        if self.ignore_class is not None:
            d_rows[y_true.reshape(-1) == self.ignore_class] = 0
        shaped: Array = d_rows.reshape(y_pred.shape)
        return shaped

    def _flat(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        labels = y_true.reshape(-1)
        if self.ignore_class is not None:
            labels = np.where(labels == self.ignore_class, 0, labels)
        return labels, y_pred.reshape(-1, y_pred.shape[-1])

    def step(
        self, y_true: Array, y_pred: Array, weights: Array | None, work: Workspace
    ) -> tuple[float, Array]:
        """Compute the loss and its gradient; from logits in one go, with the probabilities."""
        if not self.from_logits or self.ignore_class is not None:
            return super().step(y_true, y_pred, weights, work)
        labels, rows = self._flat(y_true, y_pred)
        values = work.array("values", y_true.shape, rows.dtype)
        d_values = self.d_values(weights, work.array("d_values", y_true.shape, rows.dtype))
        probabilities = work.array("probabilities", rows.shape, rows.dtype)
        d_rows = work.array("d_logits", rows.shape, rows.dtype)
        ops.softmax_crossentropy_step(
            labels, rows, d_values.reshape(-1), probabilities, d_rows, values.reshape(-1)
        )
        work.y = probabilities.reshape(y_pred.shape)
        return self.reduce(values, weights), d_rows.reshape(y_pred.shape)

    def effective_weights(self, y_true: Array, weights: Array | None) -> Array | None:
        """Let ignored labels count nothing, and the mean be over the others."""
        if self.ignore_class is None:
            return weights
        counted: Array = (y_true != self.ignore_class).astype(self.dtype)
        if self.reduction in ("sum_over_batch_size", "mean"):
            counted *= counted.size / max(counted.sum(), 1)
        if weights is not None:
            counted *= weights
        return counted

    def on_logits(self) -> Loss:
        """Return the same loss for scores in place of probabilities."""
        loss: Loss = type(self).from_config({**self.get_config(), "from_logits": True})
        return loss

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
        }


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Tensor:
    """Compute the cross-entropy of each example.

    Parameters
    ----------
    y_true : array_like of int, shape (N,)
        The labels.
    y_pred : array_like, shape (N, C)
        The predictions.
    from_logits : bool
        Whether they are scores before softmax.
    ignore_class : int, optional
        A label that does not count.
    axis : int
        The axis of the classes: the last.

    Returns
    -------
    Tensor, shape (N,)
        The values.

    Examples
    --------
    >>> sparse_categorical_crossentropy([1], [[0.5, 0.5]]).numpy()
    array([0.6931472], dtype=float32)
    """
    checks.choice("axis", axis, [-1, np.ndim(y_pred) - 1])
    return SparseCategoricalCrossentropy(from_logits, ignore_class, "none")(y_true, y_pred)


# A loss named in lower case is the function; compiled, it is an object of the class.
_FUNCTIONS: dict[Any, type[Loss]] = {
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
}
for _function in _FUNCTIONS:
    _registry.names[_function.__name__] = _function

get = _registry.get
serialize = _registry.serialize
deserialize = _registry.deserialize


def as_loss(identifier: Any) -> Loss:
    """Make the object that `compile` needs of whatever names a loss.

    Parameters
    ----------
    identifier : str, dict, function or Loss
        A name, one of the functions here, or a loss.

    Returns
    -------
    Loss
        The loss.

    Raises
    ------
    ValueError
        If it names none, or has no derivative.

    Examples
    --------
    >>> as_loss("sparse_categorical_crossentropy").name
    'sparse_categorical_crossentropy'
    """
    found = get(identifier)
    if isinstance(found, Loss):
        return found
    if callable(found) and found in _FUNCTIONS:
        return _FUNCTIONS[found]()
    raise ValueError(
        "The loss must be a name, or an object with call(y_true, y_pred) and "
        "backward(d_values, y_true, y_pred), a subclass of losses.Loss: tinynet does not "
        f"differentiate by itself. Received: {checks.shorten(identifier)}"
    )
