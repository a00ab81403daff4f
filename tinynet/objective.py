"""What `compile` chose: the loss function to minimize, and the metrics to report."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np

from tinynet import activations, checks, losses
from tinynet import metrics as metrics_module
from tinynet.metrics import LossMetric, Metric
from tinynet.variable import Array, copies
from tinynet.workspace import Workspace

Logs = dict[str, Any]


class Objective:
    """A loss with its weight, and metrics, as `compile` was given them.

    Parameters
    ----------
    loss : str, function or Loss
        What is made small.
    loss_weights : float or list of one float, optional
        What the loss is multiplied by.
    metrics, weighted_metrics : list of (str or Metric), optional
        What is reported besides; of the second, with sample weights.
    output : str, optional
        Name of the model's output, if known. Each of the others may be a dict with this key, and
        the loss and its weight a list of one.

    Raises
    ------
    ValueError, TypeError
        If one of them is not known.

    Examples
    --------
    >>> objective = Objective("sparse_categorical_crossentropy", None, ["accuracy"], None)
    >>> objective.loss.name
    'sparse_categorical_crossentropy'
    """

    def __init__(
        self,
        loss: Any,
        loss_weights: Any,
        metrics: Any,
        weighted_metrics: Any,
        output: str | None = None,
    ) -> None:
        #: The loss as it was given, out of its list or dict.
        self.given = loss = _single("loss", loss, output)
        self.loss: Any = None if loss is None else losses.as_loss(loss)
        self._on_logits: Any = None
        if self.loss is not None and self.loss.logits_of:
            self._on_logits = self.loss.on_logits()
        loss_weights = _single("loss_weights", loss_weights, output)
        self.weight = 1.0 if loss_weights is None else checks.number("loss_weights", loss_weights)
        self._entries = _listed("metrics", metrics, output)
        self._weighted_entries = _listed("weighted_metrics", weighted_metrics, output)
        self.tracker = metrics_module.Mean("loss")
        self.metrics: list[Metric] | None = None
        #: The shape of the predictions, batch size first, that targets were checked for.
        self.output_shape: tuple[int | None, ...] = ()
        self._heads: dict[activations.Activation, bool] = {}
        self._warned = False

    def all_metrics(self) -> list[Metric]:
        """List the mean loss, then the metrics as far as they are known.

        Returns
        -------
        list of Metric
            In the order of `compile`.
        """
        return [self.tracker, *(self.metrics or [])]

    @property
    def by_example(self) -> bool:
        """Whether evaluation gives the same whatever the number of examples in a batch."""
        return bool(self.loss.is_mean) and all(m.by_example for m in self.all_metrics())

    def resolve(self, y_ndim: int, output_shape: tuple[int | None, ...]) -> None:
        """Make the metrics, once the shapes are known that ``"accuracy"`` is decided by.

        Parameters
        ----------
        y_ndim : int
            The number of dimensions of the true values.
        output_shape : tuple of (int or None)
            The shape of the predictions.
        """
        self.output_shape = output_shape
        if self.metrics is not None:
            return
        resolved: list[Metric] = []
        used: collections.Counter[str] = collections.Counter()
        for i, entry in enumerate([*self._entries, *self._weighted_entries]):
            metric = metrics_module.resolve(entry, y_ndim, output_shape)
            name = metric.name
            if used[name] and i >= len(self._entries):
                name = f"weighted_{name}"
            used[name] += 1
            metric.name = name if used[name] == 1 else f"{name}_{used[name] - 1}"
            resolved.append(metric)
        self._heads.clear()
        self.metrics = resolved

    def check_targets(self, y: Array, output_shape: tuple[int | None, ...]) -> None:
        """Check that the metrics can compare targets with the predictions.

        Parameters
        ----------
        y : ndarray
            The targets, as the loss prepared them.
        output_shape : tuple of (int or None)
            Shape of the predictions.
        """
        entries = [*self._entries, *self._weighted_entries] if self.metrics is None else []
        made = [metrics_module.resolve(entry, y.ndim, output_shape) for entry in entries]
        for metric in self.metrics or made:
            metric.check_targets(y, output_shape)

    def takes_logits(self, head: activations.Activation | None) -> bool:
        """Say whether the loss, or a metric, is computed from the input of the output's activation.

        Parameters
        ----------
        head : Activation or None
            What the output comes straight out of.

        Returns
        -------
        bool
            Whether it is.
        """
        if head is None:
            return False
        if head not in self._heads:
            users = (self.loss, *(self.metrics or []))
            self._heads[head] = any(head in user.logits_of for user in users)
        return self._heads[head]

    def step(
        self,
        y: Array,
        output: Array,
        weights: Array | None,
        head: activations.Activation | None,
        work: Workspace,
    ) -> tuple[float, Array, Array]:
        """Compute loss, gradient and predictions.

        Parameters
        ----------
        y : ndarray
            The true values, as the loss prepared them.
        output : ndarray, shape (N, ..., C)
            What the model computed: logits where `takes_logits` says so.
        weights : ndarray, optional
            The sample weights.
        head : Activation or None
            What the output comes, or would come, straight out of.
        work : Workspace
            Where buffers live.

        Returns
        -------
        float
            The loss.
        ndarray, shape (N, ..., C)
            Its gradient in the output.
        ndarray, shape (N, ..., C)
            The predictions.
        """
        if output.shape[-1:] != self.output_shape[-1:]:
            raise ValueError(
                f"The model's outputs must keep the shape {self.output_shape} that the targets "
                f"were checked for. Received: outputs of shape {output.shape}"
            )
        predictions, work.x, work.y = output, None, None
        if head is None or not self.takes_logits(head):
            value, d_output = self.loss.step(y, output, weights, work)
        else:
            # Keras takes the input of a softmax, or of a sigmoid, for the scores.
            work.x = output
            on_logits = head in self.loss.logits_of
            if on_logits:
                self._warn_of_logits(head)
                value, d_output = self._on_logits.step(y, output, weights, work)
            if head is activations.softmax and work.y is not None:
                predictions = work.y
            else:
                out = work.array("predictions", output.shape, output.dtype)
                predictions = head.forward(output, out)
            if not on_logits:
                value, d_predictions = self.loss.step(y, predictions, weights, work)
                d_output = head.backward(d_predictions, output, predictions)
        if self.weight != 1:
            value *= self.weight
            d_output = d_output * d_output.dtype.type(self.weight)
        return value, d_output, predictions

    def _warn_of_logits(self, head: activations.Activation) -> None:
        if self.loss.from_logits and not self._warned:
            self._warned = True
            checks.warn(
                f"{self.loss.name} has from_logits=True, but the model ends in {head.__name__}, "
                f"whose outputs are not logits; the inputs of this activation are used instead. "
                f"Leave out one of the two. Received: from_logits=True"
            )

    def count(
        self,
        value: float,
        y: Array,
        predictions: Array,
        weights: Array | None,
        logits: Array | None = None,
    ) -> None:
        """Add a batch to the metrics: the loss by its number of examples.

        Parameters
        ----------
        value : float
            The loss of the batch.
        y : ndarray, shape (N, ...)
            The true values.
        predictions : ndarray, shape (N, ..., C)
            The predictions.
        weights : ndarray, optional
            The sample weights, for the weighted metrics.
        logits : ndarray, shape (N, ..., C), optional
            The input of the activation that the predictions come out of, where `step` had it
            and left it in ``work.x``.
        """
        n = len(predictions)
        self.tracker.total += value * n
        self.tracker.count += n
        for i, metric in enumerate(self.metrics or []):
            counted = weights if i >= len(self._entries) else None
            given = (y, predictions, counted)
            if logits is not None and isinstance(metric, LossMetric) and metric.logits_of:
                metric.update_from_logits(y, logits, counted)
            else:
                metric.update_state(*(copies(*given) if metric._custom else given))

    def logs(self) -> Logs:
        """Return the values so far, sorted by name as Keras does.

        Returns
        -------
        dict of str to (float or ndarray)
            The values; none before the first batch.

        Raises
        ------
        ValueError, TypeError
            If the result of a custom metric can't be reported.
        """
        if not self.tracker.count:  # there is nothing to report
            return {}
        found: Logs = {}
        for metric in self.all_metrics():
            result = metric.result()
            entries = result if isinstance(result, dict) else {metric.name: result}
            for name, value in entries.items():
                if name in found or not isinstance(name, str):
                    raise ValueError(
                        "Metric results must have different names, which are strings. Received: "
                        f"{name!r}{' twice' if name in found else ''} from {metric.name!r}"
                    )
                array = np.array(value)
                if array.dtype.kind not in "biuf":
                    raise TypeError(
                        "The result of a metric must be a number, an array or a dict of these. "
                        f"Received: {checks.shorten(value)} from {name!r}"
                    )
                found[name] = array if array.ndim else float(array)
        return dict(sorted(found.items()))

    def reset(self) -> None:
        """Forget everything counted."""
        for metric in self.all_metrics():
            metric.reset_state()


def _values(name: str, given: Any, output: str | None) -> list[Any]:
    """Return the values of a list, or of a dict whose only key is the output's name."""
    if isinstance(given, dict):
        if output is not None and [*given] != [output]:
            raise ValueError(
                f"{name} must have the name of the model's output, {output!r}, as its only key. "
                f"Received: {name}={checks.shorten(given)}"
            )
        return list(given.values())
    return list(given)


def _single(name: str, given: Any, output: str | None) -> Any:
    """Return what was passed for the one output, out of its list or dict."""
    while isinstance(given, list | tuple) or (
        isinstance(given, dict) and "class_name" not in given
    ):
        values = _values(name, given, output)
        if len(values) != 1:
            raise ValueError(
                f"{name} must be one value, since the model has one output. "
                f"Received: {name}={checks.shorten(given)}"
            )
        given = values[0]
    return given


def _listed(name: str, given: Any, output: str | None) -> list[Any]:
    """Check what was passed as metrics, and return it as a flat list."""
    if given is None or (isinstance(given, dict) and not given):
        return []
    if not isinstance(given, list | tuple | dict):
        raise ValueError(f"{name} must be a list. Received: {name}={checks.shorten(given)}")
    flat: list[Any] = []
    for entry in _values(name, given, output):
        if isinstance(entry, list | tuple):
            flat += _listed(name, entry, output)
        else:
            metrics_module.check(entry)
            flat.append(entry)
    return flat
