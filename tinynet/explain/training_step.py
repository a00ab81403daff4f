"""Values of one training step: forward pass, backward pass, and the update of one weight."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet import functional, optimizers
from tinynet._core import checks
from tinynet._core.text_tables import Table, Tables, number
from tinynet.explain.layer_step import LayerStep, RecordedStep
from tinynet.program.variable import Array
from tinynet.training.blas_threads import Computing
from tinynet.training.one_step import copied

_SHOWN = 5  # examples with a separate row


@dataclass(repr=False)
class WeightStep(Tables):
    """Update of one element of a weight.

    A dense layer computes ``z_j = sum_i x_i w_ij + b_j``, so the gradient with respect to ``w_ij``
    is input times upstream gradient, ``x_i d_z_j``, summed over the batch. For a bias,
    ``x_i`` is 1.

    Parameters
    ----------
    name : str
        Name of the weight, such as ``"dense/kernel"``.
    index : tuple of int
        Index of the element.
    before, after : float
        Value before and after the step.
    gradient : float
        Gradient of the loss with respect to the element.
    used : float
        Gradient used by the optimizer, which may be clipped or accumulated.
    x_i, d_z_j : ndarray, shape (N,), or None
        Input and upstream gradient of each example; None unless the weight belongs to a dense
        layer.
    slots_before, slots_after : dict of str to float
        Optimizer state of the element, such as moment estimates, before and after the step.
    optimizer : Optimizer
        Optimizer of the model.
    iteration : int
        Number of the step, counted from 1.
    learning_rate : float
        Learning rate of the step.
    alpha : float or None
        Step size of Adam, the learning rate with bias correction; None for other optimizers.

    Examples
    --------
    >>> sgd = optimizers.SGD(0.5)
    >>> x_i, d_z_j = np.array([1.0, 2.0]), np.array([0.25, 0.5])
    >>> change = WeightStep("dense/kernel", (0, 0), 1.0, 0.375, 1.25, 1.25, x_i, d_z_j, {}, {}, sgd,
    ...                     1, 0.5, None)
    >>> change.products.sum(), change.change
    (np.float64(1.25), -0.625)
    """

    name: str
    index: tuple[int, ...]
    before: float
    after: float
    gradient: float
    used: float
    x_i: Array | None
    d_z_j: Array | None
    slots_before: dict[str, float]
    slots_after: dict[str, float]
    optimizer: Any
    iteration: int
    learning_rate: float
    alpha: float | None

    @property
    def products(self) -> Array | None:
        """Terms of the gradient, one per example."""
        return None if self.x_i is None else self.x_i * self.d_z_j

    @property
    def change(self) -> float:
        """Change of the value in the step."""
        return self.after - self.before

    @property
    def label(self) -> str:
        """Name and index of the element, such as ``"dense/kernel[0, 1]"``."""
        return f"{self.name}[{', '.join(map(str, self.index))}]"

    def tables(self) -> list[Table]:
        """Return the terms of the gradient, and the update of the optimizer."""
        made = [] if self.products is None else [self._chain(self.products)]
        return [*made, self._update()]

    def _chain(self, products: Array) -> Table:
        x_i, d_z_j, order = self.x_i, self.d_z_j, np.argsort(-np.abs(products), kind="stable")
        assert x_i is not None
        assert d_z_j is not None
        rows: list[Any] = [[f"example {n}", x_i[n], d_z_j[n], products[n]] for n in order[:_SHOWN]]
        rest = order[_SHOWN:]
        if len(rest):
            rows.append([f"{len(rest)} others", "", "", products[rest].sum()])
        total = float(products.sum())
        if abs(self.gradient - total) > 1e-4 * np.abs(products).sum():
            rows.append(["regularizer", "", "", self.gradient - total])
        rows.append(["gradient", "", "", self.gradient])
        mean = "For a mean loss, each d_z_j includes the factor 1/N."
        header = ["sum over the batch", "x_i", "d_z_j", "x_i * d_z_j"]
        return Table(f"Gradient with respect to {self.label}", header, rows, mean)

    def _update(self) -> Table:
        own, after, alpha, origin = self.optimizer, self.slots_after, self.alpha, "as above"
        if self.used != self.gradient:
            origin = f"{number(self.gradient)}, clipped or accumulated"
        rows: list[Any] = [["gradient g", "", self.used, origin]]
        for slot, before in self.slots_before.items():
            rows.append([slot, before, after[slot], "" if alpha is None else _ADAM.get(slot, "")])
        how, note = "", f"learning rate {number(self.learning_rate)}"
        if alpha is not None:
            size, t = "largest" if own.amsgrad else "velocity", self.iteration
            moved = -alpha * after["momentum"] / (np.sqrt(after[size]) + own.epsilon)
            rows += [
                ["alpha", "", alpha, f"learning_rate * sqrt(1 - beta_2^{t}) / (1 - beta_1^{t})"],
                ["step", "", moved, f"-alpha * momentum / (sqrt({size}) + epsilon)"],
            ]
            # Differences above rounding error are due to weight decay or a constraint.
            rest = bool(abs(self.change - moved) > 1e-6 * max(abs(self.before), abs(moved)))
            how = "weight + step" + ", weight decay, constraint" * rest
            note += f", beta_1 {own.beta_1:g}, beta_2 {own.beta_2:g}, epsilon {own.epsilon:g}"
        rows.append(["weight", self.before, self.after, how])
        title = f"Update by {type(own).__name__} in step {self.iteration}"
        return Table(title, ["", "before", "after", "formula"], rows, note, (0, 3))


#: Update formulas of Adam's moment estimates.
_ADAM = {
    "momentum": "momentum + (g - momentum) * (1 - beta_1)",
    "velocity": "velocity + (g^2 - velocity) * (1 - beta_2)",
    "largest": "maximum of velocity so far",
}


@dataclass(repr=False)
class Step(Tables):
    """Values of a training step; result of `step`.

    Parameters
    ----------
    loss : float
        Loss of the batch, including regularization penalties.
    layers : list of LayerStep
        Inputs, outputs and gradients of each layer.
    weights : dict of str to ndarray
        All weights before the step, by name, such as ``"dense/kernel"``.
    gradients : dict of str to ndarray
        Gradients of the loss with respect to the trainable weights; empty if the loss is not
        finite.
    chosen : WeightStep or None
        Update of the chosen element of a weight; None if the loss is not finite.

    Examples
    --------
    >>> print(Step(0.5, [], {}, {}, None))
    Forward, loss 0.5
      layer  array  shape  mean |.|  max |.|
    <BLANKLINE>
    Backward: no gradients, because the loss is not finite
      layer  array  shape  mean |.|  max |.|
    """

    loss: float
    layers: list[LayerStep]
    weights: dict[str, Array]
    gradients: dict[str, Array]
    chosen: WeightStep | None

    def tables(self) -> list[Table]:
        """Return the arrays of both passes, and the update of the chosen element."""
        header, words = ["layer", "array", "shape", "mean |.|", "max |.|"], (0, 1, 2)
        forward: list[list[Any]] = []
        backward: list[list[Any]] = []
        for layer in self.layers:
            rows = [*layer.named("input", layer.x)] if layer.is_first or not forward else []
            rows += [(name.rpartition("/")[2], self.weights[name]) for name in layer.weights]
            forward += _rows(layer, [*rows, *layer.named(layer.head, layer.y)])
        for layer in reversed(self.layers if self.chosen else []):
            own = [name for name in layer.weights if name in self.gradients]
            rows = [*layer.named(f"d {layer.head}", layer.d_y)]
            rows += [(f"d {name.rpartition('/')[2]}", self.gradients[name]) for name in own]
            backward += _rows(layer, [*rows, *layer.named("d input", layer.d_x)])
        title = "Backward" + ": no gradients, because the loss is not finite" * (not self.chosen)
        ways = Table(f"Forward, loss {number(self.loss)}", header, forward, words=words)
        rest = self.chosen.tables() if self.chosen else []
        return [ways, Table(title, header, backward, words=words), *rest]


def _rows(layer: LayerStep, arrays: list[tuple[str, Array | None]]) -> Iterator[list[Any]]:
    """Yield a row for each array; the first one starts with the layer's name."""
    for i, (name, array) in enumerate(arrays):
        cells: list[Any] = ["not needed", "", ""]
        if array is not None:
            cells = [str(array.shape), np.abs(array).mean(), np.abs(array).max()]
        yield [f"{layer.name} ({layer.kind})" if i == 0 else "", name, *cells]


def step(
    model: Any,
    x: Any,
    y: Any,
    weight: str | tuple[str, tuple[int, ...]] | None = None,
    *,
    sample_weight: Any = None,
    class_weight: Any = None,
    apply: bool = False,
) -> Step:
    """Run one training step, and return its intermediate values.

    Parameters
    ----------
    model : Model
        Compiled model. It is built if necessary; its weights do not change unless `apply` is True.
    x, y : array_like, shape (N, ...)
        Inputs and targets of the batch.
    weight : str or tuple of (str, tuple of int), optional
        Element of a weight to show, such as ``("dense/kernel", (406, 17))``. If only the name is
        given, the element with the largest absolute gradient is chosen. By default, an element of
        the first kernel.
    sample_weight, class_weight : optional
        Weights of the examples and classes in the loss, as in `model.fit`.
    apply : bool
        If True, the step also updates `model`.

    Returns
    -------
    Step
        Inputs, outputs, weights and gradients. It is displayed as tables.

    Raises
    ------
    ValueError
        If the model is not compiled, the batch does not fit, or the weight does not exist.

    Examples
    --------
    For the model ``y = w x`` with ``w = 3``, ``x = 1`` and the loss ``(y - 1)^2``, the gradient is
    ``2 (3 - 1) = 4``, so a learning rate of 0.1 reduces the weight to ``3 - 0.1 * 4 = 2.6``:

    >>> from tinynet import Sequential, layers
    >>> dense = layers.Dense(1, use_bias=False, kernel_initializer="ones", name="dense")
    >>> model = Sequential([layers.Input((1,)), dense])
    >>> model.set_weights([[[3.0]]])
    >>> model.compile(optimizers.SGD(0.1), "mse")
    >>> print(step(model, [[1.0]], [[1.0]]))
    Forward, loss 4
      layer          array   shape   mean |.|  max |.|
      dense (Dense)  input   (1, 1)         1        1
                     kernel  (1, 1)         3        3
                     output  (1, 1)         3        3
    <BLANKLINE>
    Backward
      layer          array     shape       mean |.|  max |.|
      dense (Dense)  d output  (1, 1)             4        4
                     d kernel  (1, 1)             4        4
                     d input   not needed
    <BLANKLINE>
    Gradient with respect to dense/kernel[0, 0]
      sum over the batch  x_i  d_z_j  x_i * d_z_j
      example 0             1      4            4
      gradient                                  4
      For a mean loss, each d_z_j includes the factor 1/N.
    <BLANKLINE>
    Update by SGD in step 1
                  before  after  formula
      gradient g              4  as above
      weight           3    2.6
      learning rate 0.1
    """
    checks.flag("apply", apply)
    model_copy = copied(model, "explain.step", x, y, sample_weight, class_weight)
    expected, received = "model must have trainable weights", f"model {model.name!r} without any"
    checks.require(model_copy.trainable_weights, expected, received)
    one = RecordedStep(model_copy, x, y, sample_weight, class_weight)
    names, plan, optimizer = one.names(), one.plan, model_copy.optimizer
    weights = {names[id(w)]: w.numpy() for w in model_copy.weights}
    rate, t = float(optimizer.learning_rate), int(optimizer.iterations) + 1
    with Computing():
        one.record(one.forward())
        loss = one.loss()
        if not np.isfinite(loss):
            return Step(loss, one.layers(), weights, {}, None)
        one.record(one.backward())
        one.regularize()
        raw, slots_before = copy.deepcopy((plan.gradients, plan.slots))
        optimizer._learn(plan)
        used, slots_after = copy.deepcopy((plan.gradients, plan.slots))
    gradients = {names[id(v)]: g for v, g in zip(plan.variables, raw, strict=True)}
    name, index = _choose(weight, gradients)
    if apply:
        model.train_on_batch(x, y, sample_weight, class_weight)
    position = [*gradients].index(name)
    alpha = None
    is_adam = type(optimizer) in (optimizers.Adam, optimizers.AdamW)  # not subclasses
    if is_adam and int(optimizer.iterations) == t:  # not while gradients are accumulated
        dtype = weights[name].dtype
        alpha = float(functional.adam_step_size(rate, optimizer.beta_1, optimizer.beta_2, t, dtype))
    variable = plan.variables[position]
    x_i, d_z_j = _factors(one, variable, index)
    arrays = (weights[name], variable.array, raw[position], used[position])
    values = [float(array[index]) for array in arrays]
    slots = [
        {slot: float(own[position][index]) for slot, own in kept.items()}
        for kept in (slots_before, slots_after)
    ]
    rest: Any = [*values, x_i, d_z_j, *slots, optimizer, t, rate, alpha]
    return Step(loss, one.layers(), weights, gradients, WeightStep(name, index, *rest))


def _choose(weight: Any, gradients: dict[str, Array]) -> tuple[str, tuple[int, ...]]:
    """Return the name and index of the element to show."""
    if weight is None:
        kernels = [name for name in gradients if name.endswith("/kernel")]
        weight = [*kernels, *gradients][0]
    pair = isinstance(weight, list | tuple) and len(weight) == 2
    name, index = weight if pair else (weight, None)
    expected = f"weight must be one of the trainable weights, {', '.join(gradients)}"
    received = f"weight={checks.shorten(weight)}"
    checks.require(isinstance(name, str) and name in gradients, expected, received)
    gradient = gradients[name]
    if index is None:
        index = np.unravel_index(np.argmax(np.abs(gradient)), gradient.shape)
    index = tuple(int(i) for i in index)
    fits = len(index) == gradient.ndim
    fits = fits and all(0 <= i < n for i, n in zip(index, gradient.shape, strict=True))
    expected = f"weight must have an index within the shape {gradient.shape} of {name}"
    checks.require(fits, expected, f"index={index}")
    return name, index


def _factors(one: RecordedStep, weight: Any, index: tuple[int, ...]) -> Any:
    """Return x_i and d_z_j of a weight of dense layers; None for other weights."""
    x_i, d_z_j = [], []
    for n in one.gradients_of():
        forward = n.operation.forward
        uses = [k for k, i in enumerate(forward.inputs) if i is weight]
        if not uses:
            continue
        if forward.operation.name != "linear":
            return None, None
        x, d_z = (one.registers[id(s)] for s in (forward.inputs[0], n.inputs[0]))
        x, d_z = x.reshape(-1, x.shape[-1]), d_z.reshape(-1, d_z.shape[-1])
        x_i.append(x[:, index[0]] if uses == [1] else np.ones(len(x), x.dtype))
        d_z_j.append(d_z[:, index[-1]])
    return (np.concatenate(x_i), np.concatenate(d_z_j)) if x_i else (None, None)
