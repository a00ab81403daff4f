"""Many steps in one call, for the nets most programs train: dense layers, a softmax, Adam.

`fit` does a step by calling each layer, the loss and the optimizer. For a small net half of the
time goes into these calls, and none of them is needed where everything is known beforehand. So
if a net is of that kind, `fit` hands several batches at a time to `functional.train_steps`, the
same loop in one function, whose compiled twin stands in `kernels`.

It is only faster: weights, metrics and errors are the same. Everything else is trained step by
step, by `training`.
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any, cast

import numpy as np

from tinynet import activations, config, threads
from tinynet.data import Examples, NamedRows
from tinynet.layers.base import Layer
from tinynet.layers.dense import Dense
from tinynet.layers.shaping import Flatten
from tinynet.losses import SparseCategoricalCrossentropy
from tinynet.metrics import Mean, SparseCategoricalAccuracy
from tinynet.objective import Objective
from tinynet.optimizers import Adam, Plan
from tinynet.program import dispatch
from tinynet.sparse import SparseBatch, column_tables
from tinynet.variable import Array, aligned
from tinynet.workspace import Workspace


class DenseNetSteps:
    """The steps of a net of dense layers.

    Parameters
    ----------
    row : list of Dense
        Its layers.
    objective : Objective
        The loss, and the accuracy if that is wanted.
    optimizer : Adam
        What changes the weights.
    plan : Plan
        What it works on.
    batch_size : int
        The number of examples in a step.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> history = model.fit(np.zeros((4, 3)), [0, 1, 0, 1], verbose=0)
    """

    def __init__(
        self,
        row: list[Dense],
        objective: Objective,
        optimizer: Adam,
        plan: Plan,
        batch_size: int,
    ) -> None:
        self._objective, self._optimizer, self._state = objective, optimizer, plan.flat[0]
        self.batch_size = batch_size
        #: How many steps to do in a call, some hundredths of a second. Each weight is multiplied
        #: with for every example, and Adam's step for it takes as long as some thirty of these.
        self.at_once = max((1 << 33) // (self._state[0].size * (batch_size + 32) + (1 << 16)), 1)
        self._sizes = np.array([row[0].kernel.shape[0], *(layer.units for layer in row)])
        self._rectifies = np.array([layer.activation is activations.relu for layer in row])
        self._from_logits = objective.loss.from_logits
        self._work = Workspace()

    def run(self, x: Any, y: Array, stops: bool, once: bool = False) -> tuple[int, float]:
        """Do the steps of some batches, and count their metrics.

        Parameters
        ----------
        x : ndarray, shape (N, ...), NamedRows or SparseBatch
            The inputs of these batches.
        y : ndarray of int64, shape (N,)
            The labels.
        stops : bool
            Whether to stop at a loss that is not finite, before anything is learnt from it.
        once : bool
            Whether to do the first step only.

        Returns
        -------
        int
            The number of steps, with the one that was stopped at.
        float
            The last loss.
        """
        n, size, optimizer = len(y), self.batch_size, self._optimizer
        steps = 1 if once else -(-n // size)
        rates = optimizer.learning_rates(steps)
        losses, matches = (aligned(rates.shape, kind) for kind in (np.float64, np.int64))
        sparse = isinstance(x, SparseBatch)
        if isinstance(x, np.ndarray):
            x = NamedRows(x, np.arange(n))
        # Helpers read only the plainest types.
        team = threads.current() if not sparse or x.is_plain else None
        done = dispatch.train_steps(
            *x.arrays,
            y,
            size,
            self._sizes,
            self._rectifies,
            self._from_logits,
            self._state,
            rates,
            int(optimizer.iterations.array),
            (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon),
            stops,
            losses,
            matches,
            self._buffers(min(n, size), sparse),
            None if team is None else team.boxes,
        )
        optimizer.iterations.array += done
        if done == len(rates) < steps:
            optimizer.learning_rates(1)  # raises an error: the next rate is wrong
        done = min(done + 1, steps)
        counts = np.full(done, size)
        counts[-1] = min(done * size, n) - (done - 1) * size
        tracker, *metrics = figures = cast("list[Mean]", self._objective.all_metrics())
        tracker.total += float(losses[:done] @ counts)
        for metric in metrics:
            metric.total += int(matches[:done].sum())
        for metric in figures:
            metric.count += int(counts.sum())
        return done, float(losses[done - 1])

    def _buffers(self, n: int, sparse: bool) -> tuple[Array, ...]:
        """Return room for what is computed in between."""
        work, units = self._work, int(self._sizes[1:].sum())
        inputs = int(self._sizes[0])
        kind = np.dtype(np.float32)
        return (
            work.array("y", (n * units,), kind),
            work.array("d_y", (n * units,), kind),
            work.array("probabilities", (n, int(self._sizes[-1])), kind),
            work.array("values", (n,), kind),
            work.array("d_values", (n,), kind),
            work.array("x", (0 if sparse else n, inputs), kind),
            *column_tables(n, inputs if sparse else 1, kind, work),
        )


def steps_of(
    row: list[Layer],
    objective: Objective,
    optimizer: Any,
    plan: Plan,
    examples: Any,
    batch_size: int,
) -> DenseNetSteps | None:
    """Make the steps, if the net is of that kind.

    Parameters
    ----------
    row : list of Layer
        The layers of the net.
    objective : Objective
        What `compile` chose.
    optimizer : Optimizer
        What changes the weights.
    plan : Plan
        What it works on.
    examples : Examples or Stream
        What it is trained on.
    batch_size : int
        The number of examples in a step.

    Returns
    -------
    DenseNetSteps or None
        None where it is trained step by step.

    Examples
    --------
    >>> objective = Objective("mse", None, None, None)
    >>> examples = Examples(np.zeros((4, 3)), np.zeros(4))
    >>> steps_of([Dense(1)], objective, Adam(), Plan([], [], [], {}), examples, 32) is None
    True
    """
    if config.backend() != "numba" or not isinstance(examples, Examples):
        return None
    flattens = bool(row) and type(row[0]) is Flatten
    dense = [layer for layer in row[flattens:] if type(layer) is Dense]
    sparse = not isinstance(examples.x, np.ndarray)
    kind = examples.x.dtype if sparse or examples.dtype is None else examples.dtype
    suits = (
        0 < len(dense) == len(row) - flattens
        and all(_is_plain(layer) for layer in dense)
        and all(layer.activation in (activations.relu, activations.linear) for layer in dense[:-1])
        and _is_classifier(objective, dense[-1])
        and _is_plain_adam(optimizer)
        and examples.weights is None
        and (sparse or flattens or examples.x.ndim == 2)
        and kind == np.float32
        and _is_in_one_piece(dense, plan)
        and _widths(dense) == [math.prod(examples.x.shape[1:]), *(la.units for la in dense)]
        and objective.output_shape[1:] == (dense[-1].units,)
        and _products_pay(dense[1:] if sparse else dense)
    )
    if not suits:
        return None
    steps = DenseNetSteps(dense, objective, optimizer, plan, batch_size)
    if not examples.is_ready:  # the batches of a call are converted together: into 4 MB at most
        size = batch_size * dense[0].kernel.shape[0] * kind.itemsize
        steps.at_once = min(steps.at_once, max((1 << 22) // size, 1))
    return steps


def _is_plain(layer: Dense) -> bool:
    """Whether nothing but the loss changes the layer's weights."""
    names = ("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint")
    others = any(getattr(layer, name) is not None for name in names)
    # The gradient of a single bias is summed up in pairs, step by step.
    sums_alike = layer.units > 1 or layer.activation is activations.relu
    return layer.use_bias and layer.dtype == "float32" and sums_alike and not others


def _is_classifier(objective: Objective, head: Dense) -> bool:
    """Whether the loss, and what is reported, are those of labels."""
    loss = objective.loss
    if type(loss) is not SparseCategoricalCrossentropy or not loss.is_mean or objective.weight != 1:
        return False
    ends = head.activation is (activations.linear if loss.from_logits else activations.softmax)
    return ends and all(type(m) is SparseCategoricalAccuracy for m in objective.metrics or [])


def _is_plain_adam(optimizer: Any) -> bool:
    """Whether a step is Adam's formula and nothing besides."""
    return type(optimizer) is Adam and optimizer.is_plain and not optimizer.amsgrad


def _is_in_one_piece(row: list[Dense], plan: Plan) -> bool:
    """Whether the layers' kernels and biases, and nothing else, are learnt and lie in a row."""
    own = [weight for layer in row for weight in (layer.kernel, layer.bias)]
    same = len(plan.variables) == len(own) and all(map(operator.is_, plan.variables, own))
    return same and len(plan.flat) == 1 and all(a.dtype == np.float32 for a in plan.flat[0])


def _widths(row: list[Dense]) -> list[int]:
    """List the inputs of the first layer and the units of each; empty if two do not fit."""
    shapes = [layer.kernel.shape for layer in row]
    if any(a[-1] != b[0] for a, b in itertools.pairwise(shapes)):
        return []
    return [shapes[0][0], *(shape[-1] for shape in shapes)]


def _products_pay(layers: list[Dense]) -> bool:
    """Whether the kernel is what multiplies these layers' matrices step by step, too."""
    from tinynet import kernels

    return kernels.COMPILES and all(kernels.products_pay(layer.kernel.size) for layer in layers)
