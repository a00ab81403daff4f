"""Losses and metrics of a compiled model, assigned to its outputs."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np

from tinynet import losses
from tinynet import metrics as metrics_module
from tinynet._core import checks
from tinynet.metrics import LossMetric, Metric
from tinynet.program.layer_operations import MATCHES
from tinynet.program.nested import mapped
from tinynet.program.variable import Array, Variable, copies

Logs = dict[str, Any]


class OutputObjective:
    """Loss and metrics of one output of a model.

    `weight` is the weight of the loss in the total loss. If the model has several outputs, the name
    of the mean loss begins with `label`, and the names of the metrics begin with `prefix`.
    """

    def __init__(
        self,
        loss: Any,
        weight: float | None,
        metrics: Any,
        weighted_metrics: Any,
        name: str | None = None,
        label: str = "",
        prefix: str = "",
    ) -> None:
        self.loss: Any = None if loss is None else losses.as_loss(loss)
        self.weight = 1.0 if weight is None else checks.number("loss_weights", weight)
        self.name, self.prefix = name, prefix
        #: Factor of the gradient, if it differs from `weight`.
        self.gradient_weight: float | None = None
        self._entries = _checked("metrics", metrics)
        self._weighted_entries = _checked("weighted_metrics", weighted_metrics)
        #: Mean of the loss, reported if there are several outputs.
        self.tracker = metrics_module.Mean(f"{label}_loss")
        self.metrics: list[Metric] | None = None
        #: Shape of the predictions, batch size first, for which the targets were validated.
        self.output_shape: tuple[int | None, ...] = ()
        self._warned = False

    def resolve(self, y_ndim: int, output_shape: tuple[int | None, ...]) -> None:
        """Create the metrics; the shapes determine which metric ``"accuracy"`` refers to."""
        self.output_shape = output_shape
        if self.metrics is None:
            entries = [*self._entries, *self._weighted_entries]
            self.metrics = [metrics_module.resolve(e, y_ndim, output_shape) for e in entries]

    def listed(self, weighted: bool) -> list[Metric]:
        """Return the weighted or the unweighted metrics; an empty list before `resolve`."""
        count = len(self._entries)
        return (self.metrics or [])[count:] if weighted else (self.metrics or [])[:count]

    def check_targets(self, y: Array, output_shape: tuple[int | None, ...]) -> None:
        """Check that the metrics can compare prepared targets with predictions of this shape."""
        entries = [*self._entries, *self._weighted_entries] if self.metrics is None else []
        made = [metrics_module.resolve(entry, y.ndim, output_shape) for entry in entries]
        for metric in self.metrics or made:
            metric.check_targets(y, output_shape)

    def loss_for(self, predictions: Any) -> tuple[losses.Loss, Any]:
        """Return the loss, and its input: the predictions or, if possible, their logits.

        As in Keras, the cross-entropy of a softmax or sigmoid output is computed from the input of
        the activation.
        """
        activation, logits = predictions.computed_by
        if activation is None or activation not in self.loss.logits_of:
            return self.loss, predictions
        if self.loss.from_logits and not self._warned:
            self._warned = True
            checks.warn(
                f"{self.loss.name} has from_logits=True, but the last layer applies "
                f"{activation.__name__}, whose outputs are not logits; the loss uses the inputs "
                f"of this activation as logits instead. Remove the activation, or set "
                f"from_logits=False. Received: from_logits=True"
            )
        return self.loss.on_logits(), logits

    def matches(self, y: Any, predictions: Any, weights: Any) -> list[tuple[Metric, Any]]:
        """Return the metrics that only need the number of correct predictions, with this number."""
        if y.ndim != 1 or predictions.ndim != 2:
            return []
        own = self.listed(False) + (self.listed(True) if weights is None else [])
        kind = metrics_module.SparseCategoricalAccuracy
        return [(m, MATCHES(y, predictions)) for m in own if type(m) is kind]

    def count(
        self,
        y: Array,
        predictions: Array,
        weights: Array | None,
        logits: Array | None,
        counted: Any = (),
    ) -> None:
        """Update the metrics with a batch, except for those in `counted`."""
        pairs = [(metric, None) for metric in self.listed(False)]
        for metric, own in [*pairs, *((metric, weights) for metric in self.listed(True))]:
            given = (y, predictions, own)
            if metric in counted:
                continue
            if logits is not None and isinstance(metric, LossMetric) and metric.logits_of:
                metric._update_from_logits(y, logits, own)
            else:
                metric.update_state(*(copies(*given) if metric._custom else given))


class Objective:
    """Losses with their weights, and metrics, as they were passed to `compile`.

    `names` and `outputs` are the names and the structure of the model's outputs, if they are known.
    """

    def __init__(
        self,
        loss: Any,
        loss_weights: Any,
        metrics: Any,
        weighted_metrics: Any,
        names: list[str] | None = None,
        outputs: Any = None,
    ) -> None:
        self._given = loss, loss_weights, metrics, weighted_metrics
        self.tracker = metrics_module.Mean("loss")
        #: Whether regularization penalties are divided by the number of examples in a batch, or by
        #: the sum of their sample weights, as in scikit-learn.
        self.divides_penalties = False
        self.outputs: list[OutputObjective] = []
        #: Structure of the outputs, if it contains nested lists or dicts.
        self.nested: Any = None
        #: Key of a single output that is returned in a dict.
        self.only_key: str | None = None
        #: Loss as passed to `compile`; for a single output, extracted from its list or dict.
        self.given = loss
        if names is not None:
            self.bind(names, names if outputs is None else outputs)
            if len(names) == 1:
                self.given = _single("loss", loss, names[0])
        else:
            for leaf in _leaves(loss):
                losses.as_loss(leaf)
            for leaf in _leaves([metrics, weighted_metrics]):
                metrics_module.check(leaf)

    def bind(self, names: list[str] | None, outputs: Any) -> None:
        """Assign losses and metrics to the outputs, once their structure is known."""
        paths = list_paths(outputs)
        if len(self.outputs) == len(paths):
            return
        keys = [*outputs] if isinstance(outputs, dict) else None
        is_named = names is not None and len(names) == len(paths)
        if names is None or not is_named:
            names = sorted(keys or [])
            if len(names) != len(paths):
                names = [f"output_{k + 1}" for k in range(len(paths))]
        loss, loss_weights, metrics, weighted_metrics = self._given
        if len(names) == 1:
            name = names[0]
            self.only_key = name if keys else None
            own = [_single("loss", loss, name), _single("loss_weights", loss_weights, name)]
            own.append(_listed("metrics", metrics, name))
            own.append(_listed("weighted_metrics", weighted_metrics, name))
            self.outputs = [OutputObjective(*own)]
            return
        if any(len(path) > 1 for path in paths):  # nested outputs
            self.nested, keys = mapped(lambda _: None, outputs), None
            loss, loss_weights, metrics, weighted_metrics = map(self.flat, self._given)
        labels = sorted(keys) if keys else names
        known = [labels, names]
        # Keras lists losses in the order of the dict of losses or, without one, of the outputs.
        order = [*loss] if keys and isinstance(loss, dict) else keys or []
        each = [
            _per_output("loss", loss, known, True),
            _per_output("loss_weights", loss_weights, known),
            _per_output("metrics", metrics, known),
            _per_output("weighted_metrics", weighted_metrics, known),
        ]
        self._order = [(labels if name in labels else names).index(name) for name in order]
        found = []
        for one, weight, own, weighted, name, path in zip(*each, labels, paths, strict=True):
            label = _label(path, name if is_named else None, one)
            prefix = f"{name}_" if is_named or keys else ""
            found.append(OutputObjective(one, weight, own, weighted, name, label, prefix))
        self.outputs = found

    def flat(self, given: Any) -> Any:
        """Flatten an argument that has the structure of nested outputs; return others unchanged."""
        found = None if self.nested is None else _parts(self.nested, given)
        return given if found is None else found

    @property
    def trackers(self) -> list[Metric]:
        """Mean loss of each output, if several outputs have a loss."""
        with_loss = [o.tracker for o in self.outputs if o.loss is not None]
        return [*with_loss] if len(with_loss) > 1 else []

    def all_metrics(self) -> list[Metric]:
        """Return the mean loss, then all metrics created so far, in the order of `compile`."""
        own = [m for output in self.outputs for m in output.metrics or []]
        return [self.tracker, *self.trackers, *own]

    def in_order(self) -> list[str]:
        """Return the names of the first results in the list that Keras' `evaluate` returns.

        The remaining results are sorted by name. For a single output, the names are in the order of
        `compile`. For several outputs, the names of the metrics come first, then the names of the
        losses of the outputs.
        """
        if len(self.outputs) < 2:
            return [metric.label for metric in self.all_metrics()]
        ordered = [self.outputs[k] for k in self._order or range(len(self.outputs))]
        trackers = [output.tracker.name for output in ordered if output.loss is not None]
        return ["loss", *(metric.name for metric, _, _ in self._in_passes()), *trackers]

    def _in_passes(self) -> list[tuple[Metric, str, bool]]:
        """Return ``(metric, prefix, weighted)`` for all metrics, the unweighted ones first."""
        return [
            (metric, output.prefix, weighted)
            for weighted in (False, True)
            for output in self.outputs
            for metric in output.listed(weighted)
        ]

    @property
    def by_example(self) -> bool:
        """Whether results of an evaluation are independent of the batch size."""
        means = all(o.loss is None or o.loss.is_mean for o in self.outputs)
        return means and all(m.by_example for m in self.all_metrics())

    def resolve(self, y_ndims: list[int | None], output_shapes: list[Any]) -> bool:
        """Create the metrics once the shapes are known; return whether this call created them."""
        new = any(output.metrics is None for output in self.outputs)
        for output, ndim, shape in zip(self.outputs, y_ndims, output_shapes, strict=True):
            output.resolve(len(shape) if ndim is None else ndim, shape)
        used = collections.Counter(metric.name for metric in [self.tracker, *self.trackers])
        for metric, prefix, weighted in self._in_passes() if new else ():
            name = f"{prefix}{metric.name}"
            if used[name] and weighted:
                name = f"{prefix}weighted_{metric.name}"
            used[name] += 1
            metric._label = name if used[name] == 1 else f"{name}_{used[name] - 1}"
        return new

    def logs(self) -> Logs:
        """Return the results so far, sorted by name as in Keras; empty before the first batch."""
        if not self.tracker.count:
            return {}
        # As in Keras, the last of several metrics with the same name is reported.
        named = {metric.label: metric for metric in self.all_metrics()}
        return results_of([*named.values()])


class CompiledMetrics(Metric):
    """All metrics that were passed to `compile`, as a single metric.

    ``update(y_true, y_pred, sample_weight)`` updates the metrics, and creates them if needed.
    """

    def __init__(self, objective: Objective, update: Any) -> None:
        super().__init__(name="compile_metrics")
        self._objective, self._update = objective, update

    @property
    def metrics(self) -> list[Metric]:
        """Metrics of all outputs that have been created."""
        return [m for output in self._objective.outputs for m in output.metrics or []]

    @property
    def variables(self) -> list[Variable]:
        """State of the metrics."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Update all metrics with a batch."""
        self._update(y_true, y_pred, sample_weight)

    def result(self) -> Logs:
        """Return the results by name."""
        return results_of(self.metrics)

    def reset_state(self) -> None:
        """Reset all metrics."""
        for metric in self.metrics:
            metric.reset_state()

    def _snapshot(self) -> Any:
        restores = [metric._snapshot() for metric in self.metrics]
        return lambda: [restore() for restore in restores]


def results_of(metrics: list[Metric]) -> Logs:
    """Return the results of metrics, sorted by name as in Keras."""
    found: Logs = {}
    for metric in metrics:
        result = metric.result()
        entries = result if isinstance(result, dict) else {metric.label: result}
        for name, value in entries.items():
            if name in found or not isinstance(name, str):
                raise ValueError(
                    "Metric results must have unique names of type str. Received: "
                    f"{name!r}{' twice' if name in found else ''} from {metric.label!r}"
                )
            found[name] = reported(name, value)
    return dict(sorted(found.items()))


def reported(name: str, value: Any) -> Any:
    """Return the result of a metric as a float or an array."""
    array = np.array(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            "The result of a metric must be a number, an array or a dict of numbers and arrays. "
            f"Received: {checks.shorten(value)} from {name!r}"
        )
    return array if array.ndim else float(array)


def _leaves(given: Any) -> list[Any]:
    """Flatten nested lists and dicts of losses or metrics; a configuration dict is a leaf."""
    if isinstance(given, dict) and "class_name" not in given:
        given = list(given.values())
    if isinstance(given, list | tuple):
        return [leaf for item in given for leaf in _leaves(item)]
    return [] if given is None else [given]


def list_paths(outputs: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of each leaf of nested outputs: a tuple of keys and indices."""
    if isinstance(outputs, dict):
        inside = [(key, outputs[key]) for key in sorted(outputs)]
    elif isinstance(outputs, list | tuple):
        inside = [*enumerate(outputs)]
    else:
        return [path]
    return [found for key, inner in inside for found in list_paths(inner, (*path, key))]


def _label(path: tuple[Any, ...], name: str | None, loss: Any) -> str:
    """Return the name that Keras gives to the loss of one of several outputs.

    It consists of the path of the output, in which the name of its layer replaces a final index. If
    the layer is unknown, the name of the loss replaces it; for a function, the name that the user
    passed.
    """
    if isinstance(path[-1], int) and loss is not None:
        is_function = isinstance(loss, str) and not isinstance(losses.get(loss), losses.Loss)
        path = (*path[:-1], name or (loss if is_function else losses.as_loss(loss).name))
    return "/".join(map(str, path))


def _parts(nested: Any, given: Any) -> list[Any] | None:
    """Flatten an argument with the structure of nested outputs; return None if it differs."""
    if nested is None:
        return [given]
    if isinstance(nested, dict):
        if not isinstance(given, dict) or {*given} != {*nested}:
            return None
        pairs = [(nested[key], given[key]) for key in sorted(nested)]
    elif isinstance(given, list | tuple) and len(given) == len(nested):
        pairs = [*zip(nested, given, strict=True)]
    else:
        return None
    found = [_parts(inner, part) for inner, part in pairs]
    return None if None in found else [leaf for part in found for leaf in part or ()]


def _per_output(name: str, given: Any, known: list[list[str]], spreads: bool = False) -> list[Any]:
    """Return the value for each output, from a list or a dict that maps output names to values."""
    names = known[0]
    is_leaf = not isinstance(given, list | tuple | dict) or "class_name" in given
    if given is None or (is_leaf and spreads):
        return [given] * len(names)
    if isinstance(given, dict) and not is_leaf:
        for labels in known:
            if set(given) <= set(labels):
                return [given.get(label) for label in labels]
    elif not is_leaf and len(given) == len(names):
        return list(given)
    raise ValueError(
        f"{name} must be a list or a dict with one entry for each of the outputs {names}. "
        f"Received: {name}={checks.shorten(given)}"
    )


def _checked(name: str, given: Any) -> list[Any]:
    """Validate the metrics of one output, and return them as a list."""
    entries = [*given] if isinstance(given, list | tuple) else [] if given is None else [given]
    return _listed(name, entries, None)


def _values(name: str, given: Any, output: str | None) -> list[Any]:
    """Return the values of a list, or of a dict whose only key is the output's name."""
    if isinstance(given, dict):
        if output is not None and [*given] != [output]:
            raise ValueError(
                f"{name} must be a dict whose only key is the output's name, {output!r}. "
                f"Received: {name}={checks.shorten(given)}"
            )
        return list(given.values())
    return list(given)


def _single(name: str, given: Any, output: str | None) -> Any:
    """Return the argument for the only output, extracted from its list or dict."""
    while isinstance(given, list | tuple) or (
        isinstance(given, dict) and "class_name" not in given
    ):
        values = _values(name, given, output)
        if len(values) != 1:
            raise ValueError(
                f"{name} must be a single value because the model has one output. "
                f"Received: {name}={checks.shorten(given)}"
            )
        given = values[0]
    return given


def _listed(name: str, given: Any, output: str | None) -> list[Any]:
    """Validate metrics, and return them as a flat list."""
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
