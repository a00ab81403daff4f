"""Look up metrics by name or configuration."""

from __future__ import annotations

from typing import Any

from tinynet._core import checks, snake_case, suggestions
from tinynet.metrics.accuracy_metrics import (
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
)
from tinynet.metrics.metric import Metric, _registry
from tinynet.metrics.probabilistic_metrics import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from tinynet.metrics.reduction_metrics import MeanMetricWrapper

__all__ = ["check", "deserialize", "get", "resolve", "serialize"]

get, serialize, deserialize = _registry.get, _registry.serialize, _registry.deserialize

# These names are resolved from the shapes of targets and predictions, not from the loss: binary for
# one output, sparse if the targets have one dimension less than the predictions, otherwise one-hot.
_ACCURACIES = (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy)
_CROSSENTROPIES = (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy)
_BY_SHAPE: dict[str, tuple[type[Metric], type[Metric], type[Metric]]] = {
    "accuracy": _ACCURACIES,
    "acc": _ACCURACIES,
    "crossentropy": _CROSSENTROPIES,
    "ce": _CROSSENTROPIES,
}


def resolve(identifier: Any, y_true_ndim: int, output_shape: tuple[int | None, ...]) -> Metric:
    """Return the metric for an entry of ``compile(metrics=[...])``.

    Parameters
    ----------
    identifier : str, dict, callable or Metric
        Name, configuration, function or metric.
    y_true_ndim : int
        Number of dimensions of the targets, not counting a last axis of size 1.
    output_shape : tuple of (int or None)
        Shape of the predictions.

    Returns
    -------
    Metric
        Metric. If the identifier is a name, the metric has this name.

    Raises
    ------
    ValueError
        If the identifier is not a metric.

    Examples
    --------
    Labels of shape (N,) and predictions of shape (N, 10):

    >>> resolve("accuracy", 1, (None, 10))
    <SparseCategoricalAccuracy name=accuracy>
    """
    if isinstance(identifier, str) and identifier in _BY_SHAPE:
        binary, sparse, one_hot = _BY_SHAPE[identifier]
        if output_shape[-1] == 1:
            return binary(name=identifier)
        return (sparse if y_true_ndim < len(output_shape) else one_hot)(name=identifier)
    found = check(identifier)
    if isinstance(identifier, str):
        found.name = identifier
    return found


def check(identifier: Any) -> Metric:
    """Validate an entry of ``compile(metrics=[...])``, before any shapes are known.

    Parameters
    ----------
    identifier : str, dict, callable or Metric
        Name, configuration, function or metric.

    Returns
    -------
    Metric
        Metric; for names such as "accuracy", the variant for one-hot targets.

    Raises
    ------
    ValueError
        If the identifier is not a metric.

    Examples
    --------
    >>> check("sparse_categorical_accuracy")
    <SparseCategoricalAccuracy name=sparse_categorical_accuracy>
    >>> def error(y_true, y_pred):
    ...     return y_pred - y_true
    >>> check(error)
    <MeanMetricWrapper name=error>
    """
    if isinstance(identifier, str) and identifier in _BY_SHAPE:
        return _BY_SHAPE[identifier][2](name=identifier)
    if isinstance(identifier, str):
        # Raise an error for unknown names that also lists the names in `_BY_SHAPE`.
        suggestions.known("metric", identifier, {**_BY_SHAPE, **_registry.names})
    found = get(identifier)
    if isinstance(found, Metric):
        return found
    if callable(found):
        own = getattr(found, "name", None) or getattr(found, "__name__", None)
        return MeanMetricWrapper(found, own or snake_case(type(found).__name__))
    raise ValueError(
        "metric must be a name, a function of y_true and y_pred, or a Metric. "
        f"Received: metric={checks.shorten(identifier)}"
    )
