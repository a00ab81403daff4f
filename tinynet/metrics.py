"""Metrics: figures to read, collected over the batches of an epoch.

A metric adds up what it sees (`update_state`) until it is asked (`result`) or starts again
(`reset_state`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import checks, config
from tinynet.losses import fit_weights, numeric
from tinynet.registry import Registry, snake_case
from tinynet.variable import Array, Tensor, Variable, as_tensor

_registry = Registry("metric", "keras.metrics")


class Metric:
    """The base of all metrics: a weighted mean over everything seen.

    Parameters
    ----------
    name : str, optional
        By default the class name in snake case.
    dtype : str, optional
        Accepted as Keras does; the sums are kept in float64.

    Examples
    --------
    >>> metric = SparseCategoricalAccuracy()
    >>> metric.update_state([1, 0], [[0.1, 0.9], [0.2, 0.8]])
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.dtype: str = config.floatx() if dtype is None else np.dtype(dtype).name
        self.total = 0.0
        self.count = 0.0

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example; every kind of metric has its own.

        Parameters
        ----------
        y_true : ndarray, shape (N, ...)
            The true values.
        y_pred : ndarray, shape (N, ..., C)
            The predictions.

        Returns
        -------
        ndarray, shape (N, ...)
            The values.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define values(y_true, y_pred)")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Parameters
        ----------
        y_true : array_like, shape (N, ...)
            The true values.
        y_pred : array_like, shape (N, ..., C)
            The predictions.
        sample_weight : array_like, optional
            What each example counts.
        """
        self._add(self.values(numeric("y_true", y_true), np.asarray(y_pred)), sample_weight)

    def _add(self, values: Array, sample_weight: Any) -> None:
        if sample_weight is None:
            rows = len(values) if values.ndim else 1
            self.total += float(np.sum(values, dtype=np.float64)) / max(values.size // rows, 1)
            self.count += rows
        else:
            weights = fit_weights(np.asarray(sample_weight, np.float64), values.shape)
            per_row = max(values.size // max(len(values) if values.ndim else 1, 1), 1)
            self.total += float(np.sum(values * weights)) / per_row
            self.count += float(np.sum(weights)) / per_row

    def result(self) -> Tensor:
        """Compute the figure.

        Returns
        -------
        Tensor
            The mean of what was seen; 0 if that was nothing.
        """
        mean = self.total / self.count if self.count else 0.0
        return as_tensor(np.asarray(mean, self.dtype))

    def reset_state(self) -> None:
        """Forget everything seen."""
        self.total = self.count = 0.0

    @property
    def variables(self) -> list[Variable]:
        """The state: the sum and what it is divided by."""
        return [
            Variable(np.asarray(value, self.dtype), False, name=name)
            for name, value in (("total", self.total), ("count", self.count))
        ]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """Add a batch and compute the figure.

        Parameters
        ----------
        y_true, y_pred, sample_weight : array_like
            As for `update_state`.

        Returns
        -------
        Tensor
            The figure so far.
        """
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments.

        Returns
        -------
        dict
            What `from_config` takes.
        """
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a metric from its configuration.

        Parameters
        ----------
        config : dict
            What `get_config` returned.

        Returns
        -------
        Metric
            A new one.
        """
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


@_registry.register()
class Mean(Metric):
    """The mean of numbers.

    Parameters
    ----------
    name, dtype : str
        As for `Metric`.

    Examples
    --------
    >>> mean = Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> float(mean.result())
    2.0
    """

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # Keras' own
        """Add numbers.

        Parameters
        ----------
        values : array_like
            The numbers.
        sample_weight : array_like, optional
            What each counts.
        """
        self._add(np.asarray(values, np.float64), sample_weight)


@_registry.register()
class SparseCategoricalAccuracy(Metric):
    """How often the likeliest class is the label.

    Parameters
    ----------
    name, dtype : str
        As for `Metric`.

    Examples
    --------
    >>> metric = SparseCategoricalAccuracy()
    >>> metric.update_state([[2], [1]], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]])
    >>> float(metric.result())
    0.5
    """

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Compute 1 for each example that is right, else 0."""
        if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
            y_true = y_true[..., 0]
        _same_shape(self.name, y_true.shape, y_pred.shape[:-1])
        right: Array = y_pred.argmax(axis=-1) == y_true
        return right


@_registry.register()
class CategoricalAccuracy(Metric):
    """How often the likeliest class is the one that a one-hot row names.

    Parameters
    ----------
    name, dtype : str
        As for `Metric`.

    Examples
    --------
    >>> metric = CategoricalAccuracy()
    >>> metric.update_state([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]])
    >>> float(metric.result())
    0.5
    """

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Compute 1 for each example that is right, else 0."""
        _same_shape(self.name, y_true.shape, y_pred.shape)
        right: Array = y_pred.argmax(axis=-1) == y_true.argmax(axis=-1)
        return right


@_registry.register()
class BinaryAccuracy(Metric):
    """How often a probability is on the right side of a threshold.

    Parameters
    ----------
    name, dtype : str
        As for `Metric`.
    threshold : float
        Above it, the prediction is 1.

    Examples
    --------
    >>> metric = BinaryAccuracy()
    >>> metric.update_state([[1], [0]], [[0.9], [0.6]])
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name: str | None = None, dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = checks.number("threshold", threshold)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the share of right elements in each example."""
        if y_true.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1:
            y_true = y_true[..., None]
        _same_shape(self.name, y_true.shape, y_pred.shape)
        share: Array = np.mean((y_pred > self.threshold) == y_true, axis=-1)
        return share

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "threshold": self.threshold}


def _same_shape(name: str, y_true: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if y_true != expected:
        raise ValueError(f"{name} takes true values of shape {expected}. Received: shape {y_true}")


get = _registry.get
serialize = _registry.serialize
deserialize = _registry.deserialize

_ACCURACY = ("accuracy", "acc")


def resolve(identifier: Any, y_true_ndim: int, output_shape: tuple[int | None, ...]) -> Metric:
    """Make the metric that an entry of ``compile(metrics=[...])`` means.

    ``"accuracy"`` is decided by shapes, as in Keras: one output is binary, labels of one
    dimension less than the output are sparse, all else is one-hot. The loss plays no part.

    Parameters
    ----------
    identifier : str, dict or Metric
        The entry.
    y_true_ndim : int
        The number of dimensions of the true values, a last one of size 1 left out.
    output_shape : tuple of (int or None)
        The shape of the predictions.

    Returns
    -------
    Metric
        The metric, named as the entry was.

    Raises
    ------
    ValueError
        If it means none.

    Examples
    --------
    >>> resolve("accuracy", 1, (None, 10))
    <SparseCategoricalAccuracy name=accuracy>
    """
    make: Callable[..., Metric]
    if isinstance(identifier, str) and identifier in _ACCURACY:
        if output_shape[-1] == 1:
            make = BinaryAccuracy
        elif y_true_ndim < len(output_shape):
            make = SparseCategoricalAccuracy
        else:
            make = CategoricalAccuracy
        return make(name=identifier)
    found = check(identifier)
    if isinstance(identifier, str):
        found.name = identifier
    return found


def check(identifier: Any) -> Metric:
    """Check that an entry of ``compile(metrics=[...])`` means a metric.

    Parameters
    ----------
    identifier : str, dict or Metric
        The entry.

    Returns
    -------
    Metric
        What it means, as far as that is known before shapes are.

    Raises
    ------
    ValueError
        If it means none.

    Examples
    --------
    >>> check("sparse_categorical_accuracy")
    <SparseCategoricalAccuracy name=sparse_categorical_accuracy>
    """
    if isinstance(identifier, str) and identifier in _ACCURACY:
        return CategoricalAccuracy(name=identifier)
    names = {**dict.fromkeys(_ACCURACY), **_registry.names}
    found = (
        checks.known("metric", identifier, names)()
        if isinstance(identifier, str)
        else get(identifier)
    )
    if not isinstance(found, Metric):
        raise ValueError(
            "A metric must be a name or an object with update_state and result. "
            f"Received: {checks.shorten(identifier)}"
        )
    return found
