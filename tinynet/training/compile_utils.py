"""What `compile` chose: the loss function to minimize, and the metrics to report."""

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

    Parameters
    ----------
    loss : str, function, Loss or None
        What is minimized.
    weight : float, optional
        Factor of the loss.
    metrics, weighted_metrics : str, Metric, or list of them, optional
        What is reported; of the second, with sample weights.
    name : str, optional
        Name of the output, if there are several.
    label, prefix : str
        What the names of its mean loss and of its metrics begin with.

    Examples
    --------
    >>> objective = OutputObjective("mse", None, ["mae"], [])
    >>> objective.loss.name
    'mean_squared_error'
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
        #: Factor of the gradient, if it is not `weight`.
        self.gradient_weight: float | None = None
        self._entries = _checked("metrics", metrics)
        self._weighted_entries = _checked("weighted_metrics", weighted_metrics)
        #: Mean of the loss, which is reported if there are several outputs.
        self.tracker = metrics_module.Mean(f"{label}_loss")
        self.metrics: list[Metric] | None = None
        #: The shape of the predictions, batch size first, that targets were checked for.
        self.output_shape: tuple[int | None, ...] = ()
        self._warned = False

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
        if self.metrics is None:
            entries = [*self._entries, *self._weighted_entries]
            self.metrics = [metrics_module.resolve(e, y_ndim, output_shape) for e in entries]

    def listed(self, weighted: bool) -> list[Metric]:
        """Return the metrics that use sample weights, or the others, as far as they are known.

        Parameters
        ----------
        weighted : bool
            Whether they use sample weights.

        Returns
        -------
        list of Metric
            The metrics.
        """
        count = len(self._entries)
        return (self.metrics or [])[count:] if weighted else (self.metrics or [])[:count]

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

    def loss_for(self, predictions: Any) -> tuple[losses.Loss, Any]:
        """Return the loss and what it is computed from: probabilities, or rather their logits.

        As in Keras, a cross-entropy of the output of a softmax or a sigmoid is computed from
        that activation's input.

        Parameters
        ----------
        predictions : SymbolicTensor or Tensor
            The output.

        Returns
        -------
        Loss
            The loss.
        SymbolicTensor or Tensor
            Its second argument.
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
        """Record what counts right predictions, for the metrics that need no more than that.

        Parameters
        ----------
        y, predictions : SymbolicTensor
            The targets and the predictions.
        weights : SymbolicTensor or None
            The sample weights.

        Returns
        -------
        list of (Metric, SymbolicTensor)
            Each such metric, and its count.
        """
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
        """Add a batch to the metrics.

        Parameters
        ----------
        y : ndarray, shape (N, ...)
            The true values.
        predictions : ndarray, shape (N, ..., C)
            The predictions.
        weights : ndarray, optional
            The sample weights, for the weighted metrics.
        logits : ndarray, shape (N, ..., C), optional
            The input of the activation that the predictions are the result of.
        counted : collection of Metric
            Metrics that are not to be updated.
        """
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
    """Losses with their weights, and metrics, as `compile` was given them.

    Parameters
    ----------
    loss : str, function or Loss, or nested list or dict of them
        What is minimized.
    loss_weights : float, or list or dict of them, optional
        Factors of the losses.
    metrics, weighted_metrics : list of (str or Metric), or list or dict of such lists, optional
        What is reported besides; of the second, with sample weights.
    names : list of str, optional
        Names of the model's outputs, if they are known.
    outputs : nested list or dict, optional
        The outputs.

    Raises
    ------
    ValueError, TypeError
        If one of them is not known.

    Examples
    --------
    >>> objective = Objective("mse", None, ["mae"], None, ["out"])
    >>> objective.outputs[0].loss.name
    'mean_squared_error'
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
        #: Whether penalties on weights are divided by the number of examples in a batch, or by the
        #: sum of their weights, as in scikit-learn.
        self.divides_penalties = False
        self.outputs: list[OutputObjective] = []
        #: The outputs' lists and dicts, if there are some inside of others.
        self.nested: Any = None
        #: Key of the output, if there is one, in a dict.
        self.only_key: str | None = None
        #: The loss as it was given; out of its list or dict if there is one output.
        self.given = loss
        if names is not None:
            self.bind(names, names if outputs is None else outputs)
            if len(names) == 1:
                self.given = _single("loss", loss, names[0])
        elif loss is not None:
            for leaf in _leaves(loss):
                losses.as_loss(leaf)
            for leaf in _leaves([metrics or None, weighted_metrics or None]):
                metrics_module.check(leaf)

    def bind(self, names: list[str] | None, outputs: Any) -> None:
        """Assign losses and metrics to the outputs, once these are known.

        Parameters
        ----------
        names : list of str, optional
            Names of the layers that compute the outputs, if they are known.
        outputs : nested list or dict
            The outputs.
        """
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
        if any(len(path) > 1 for path in paths):  # lists or dicts in others
            self.nested, keys = mapped(lambda _: None, outputs), None
            loss, loss_weights, metrics, weighted_metrics = map(self.flat, self._given)
        labels = sorted(keys) if keys else names
        known = [labels, names]
        # The order in which Keras lists the losses: that of a dict of losses, or of outputs.
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
        """Return what was passed for nested outputs, in the same structure, as a list.

        Parameters
        ----------
        given : object
            Losses, targets or the like.

        Returns
        -------
        object
            A list; or the same, if it has another structure.
        """
        found = None if self.nested is None else _parts(self.nested, given)
        return given if found is None else found

    @property
    def trackers(self) -> list[Metric]:
        """The mean loss of each output, if there are several."""
        with_loss = [o.tracker for o in self.outputs if o.loss is not None]
        return [*with_loss] if len(with_loss) > 1 else []

    def all_metrics(self) -> list[Metric]:
        """List the mean loss, then the metrics as far as they are known.

        Returns
        -------
        list of Metric
            In the order of `compile`.
        """
        own = [m for output in self.outputs for m in output.metrics or []]
        return [self.tracker, *self.trackers, *own]

    def in_order(self) -> list[str]:
        """List names of results as lists of results begin with them in Keras; others are sorted.

        Returns
        -------
        list of str
            Those of the only output in the order of `compile`. Of several, those of their losses;
            before these, those of metrics, which are the names of results if outputs have none.
        """
        if len(self.outputs) < 2:
            return [metric.label for metric in self.all_metrics()]
        ordered = [self.outputs[k] for k in self._order or range(len(self.outputs))]
        trackers = [output.tracker.name for output in ordered if output.loss is not None]
        return ["loss", *(metric.name for metric, _, _ in self._in_passes()), *trackers]

    def _in_passes(self) -> list[tuple[Metric, str, bool]]:
        """List the metrics of all outputs, those that use sample weights last; with prefixes."""
        return [
            (metric, output.prefix, weighted)
            for weighted in (False, True)
            for output in self.outputs
            for metric in output.listed(weighted)
        ]

    @property
    def by_example(self) -> bool:
        """Whether evaluation gives the same whatever the number of examples in a batch."""
        means = all(o.loss is None or o.loss.is_mean for o in self.outputs)
        return means and all(m.by_example for m in self.all_metrics())

    def resolve(self, y_ndims: list[int | None], output_shapes: list[Any]) -> bool:
        """Make the metrics, once the shapes are known that ``"accuracy"`` is decided by.

        Parameters
        ----------
        y_ndims : list of (int or None)
            Number of dimensions of the targets of each output.
        output_shapes : list of tuple of (int or None)
            The shape of each output.

        Returns
        -------
        bool
            Whether they were made now.
        """
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
        named = {metric.label: metric for metric in self.all_metrics()}  # as in Keras, the last
        return results_of([*named.values()])


class CompiledMetrics(Metric):
    """The metrics that `compile` named, of all outputs, as one.

    Parameters
    ----------
    objective : Objective
        What has the metrics.
    update : callable
        Called as ``update(y_true, y_pred, sample_weight)``; it makes the metrics if needed.

    Examples
    --------
    >>> CompiledMetrics(Objective("mse", None, ["mae"], None, ["out"]), print).name
    'compile_metrics'
    """

    def __init__(self, objective: Objective, update: Any) -> None:
        super().__init__(name="compile_metrics")
        self._objective, self._update = objective, update

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, as far as they are known."""
        return [m for output in self._objective.outputs for m in output.metrics or []]

    @property
    def variables(self) -> list[Variable]:
        """Their state."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch to all.

        Parameters
        ----------
        y_true, y_pred, sample_weight : Tensor, or nested list or dict of them
            The targets, the outputs, and the sample weights.
        """
        self._update(y_true, y_pred, sample_weight)

    def result(self) -> Logs:
        """Return the values by name."""
        return results_of(self.metrics)

    def reset_state(self) -> None:
        """Forget everything counted."""
        for metric in self.metrics:
            metric.reset_state()

    def _snapshot(self) -> Any:
        restores = [metric._snapshot() for metric in self.metrics]
        return lambda: [restore() for restore in restores]


def results_of(metrics: list[Metric]) -> Logs:
    """Return what metrics report, sorted by name as Keras does.

    Parameters
    ----------
    metrics : list of Metric
        The metrics.

    Returns
    -------
    dict of str to (float or ndarray)
        The values.

    Raises
    ------
    ValueError, TypeError
        If the result of a custom metric can't be reported.

    Examples
    --------
    >>> mean = metrics_module.Mean("m")
    >>> mean.update_state([1.0, 4.0])
    >>> results_of([mean])
    {'m': 2.5}
    """
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
    """Return the result of a metric as a float or an array.

    Parameters
    ----------
    name : str
        Its name.
    value : object
        The result.

    Returns
    -------
    float or ndarray
        The same.

    Raises
    ------
    TypeError
        If it is neither a number nor an array.

    Examples
    --------
    >>> import numpy as np
    >>> reported("m", np.float32(2.5))
    2.5
    """
    array = np.array(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            "The result of a metric must be a number, an array or a dict of numbers and arrays. "
            f"Received: {checks.shorten(value)} from {name!r}"
        )
    return array if array.ndim else float(array)


def _leaves(given: Any) -> list[Any]:
    """Return what a nested list or dict of losses or metrics holds; a configuration is one."""
    if isinstance(given, dict) and "class_name" not in given:
        given = list(given.values())
    if isinstance(given, list | tuple):
        return [leaf for item in given for leaf in _leaves(item)]
    return [] if given is None else [given]


def list_paths(outputs: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the keys and positions that lead to each of nested outputs, in their order.

    Parameters
    ----------
    outputs : nested list or dict
        The outputs.
    path : tuple
        What leads to them.

    Returns
    -------
    list of tuple
        The paths.

    Examples
    --------
    >>> list_paths({"b": 1, "a": [2, 3]})
    [('a', 0), ('a', 1), ('b',)]
    """
    if isinstance(outputs, dict):
        inside = [(key, outputs[key]) for key in sorted(outputs)]
    elif isinstance(outputs, list | tuple):
        inside = [*enumerate(outputs)]
    else:
        return [path]
    return [found for key, inner in inside for found in list_paths(inner, (*path, key))]


def _label(path: tuple[Any, ...], name: str | None, loss: Any) -> str:
    """Return what Keras calls the loss of one of several outputs: by its keys and its layer.

    Without a layer, a position in a list is replaced by the name of the loss, which for the name
    of a function is this name.
    """
    if isinstance(path[-1], int) and loss is not None:
        is_function = isinstance(loss, str) and not isinstance(losses.get(loss), losses.Loss)
        path = (*path[:-1], name or (loss if is_function else losses.as_loss(loss).name))
    return "/".join(map(str, path))


def _parts(nested: Any, given: Any) -> list[Any] | None:
    """Return what was passed for each of nested outputs, in order; None in another structure."""
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
    """Return what was passed for each of several outputs, in a list or by their names."""
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
    """Check the metrics of one output, and return them as a list."""
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
    """Return what was passed for the one output, out of its list or dict."""
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
