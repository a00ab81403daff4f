"""Many steps in one call, for the networks most programs train: dense layers, a softmax, Adam.

A step of `fit` runs the instructions of the model's program one by one. For a small network half
of the time goes into these calls. If the instructions are those of such a network, `fit` hands
several batches at a time to `functional.train_steps`: the same loop in one function, compiled in
`kernels`.

It is only faster: weights, metrics and errors are the same. Everything else is trained step by
step, by `training`.
"""

from __future__ import annotations

import math
import operator
from typing import Any, cast

import numpy as np

from tinynet import config, threads
from tinynet.data import Examples, NamedRows
from tinynet.losses import SparseCategoricalCrossentropy
from tinynet.metrics import Mean, SparseCategoricalAccuracy
from tinynet.objective import Objective
from tinynet.optimizers import Adam, Plan
from tinynet.program import dispatch
from tinynet.program.dense_net import LINEAR_RELU, MATCHES
from tinynet.program.tensor import TABLE
from tinynet.sparse import CompressedRows, LazyRows, SparseBatch, column_tables
from tinynet.variable import Array, Variable
from tinynet.workspace import Workspace, aligned


class DenseNetSteps:
    """The steps of a net of dense layers.

    Parameters
    ----------
    kernels : list of Variable
        Kernel of each layer.
    flags : tuple of (list of bool, bool)
        Flags of the layers that end in a rectifier; if the second one is True, the outputs are
        logits, not probabilities.
    objective : Objective
        The loss, and the accuracy if it is a metric of the model.
    optimizer : Adam
        Optimizer of the weights.
    plan : Plan
        Its plan.
    size : int
        Number of examples in a step.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> history = model.fit(np.zeros((4, 3)), [0, 1, 0, 1], verbose=0)
    """

    def __init__(
        self, kernels: Any, flags: Any, objective: Objective, optimizer: Adam, plan: Plan, size: int
    ) -> None:
        self._objective, self._optimizer, state = objective, optimizer, plan.flat[0]
        self.batch_size = size
        #: Number of steps in a call, which takes some hundredths of a second. Each weight has one
        #: multiplication per example, and its update by Adam takes as long as about thirty.
        self.at_once = max((1 << 33) // (state[0].size * (size + 32) + (1 << 16)), 1)
        self._sizes = np.array([kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels)])
        self.net = size, self._sizes, np.array(flags[0]), flags[1], state
        self._work = Workspace()

    def run(self, x: Any, y: Array, stops: bool, once: bool = False) -> tuple[int, float]:
        """Run the steps of some batches, and update the metrics.

        Parameters
        ----------
        x : ndarray, shape (N, ...), NamedRows or SparseBatch
            The inputs of these batches.
        y : ndarray of int64, shape (N,)
            Class labels.
        stops : bool
            If True, stop at a loss that is not finite, before the weights are updated.
        once : bool
            If True, run the first step only.

        Returns
        -------
        int
            Number of steps, including one with a loss that is not finite.
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
        # Worker threads read float32, uint16 and int64 only.
        team = threads.current() if not sparse or x.is_plain else None
        constants = optimizer.beta_1, optimizer.beta_2, optimizer.epsilon
        buffers, boxes = self._buffers(min(n, size), sparse), None if team is None else team.boxes
        done = dispatch.train_steps(
            *(*x.arrays, y, *self.net, rates, int(optimizer.iterations.array), constants),
            *(stops, losses, matches, buffers, boxes),
        )
        optimizer.iterations.array += done
        if done == len(rates) < steps:
            optimizer.learning_rates(1)  # raises an error: the next rate is wrong
        done = min(done + 1, steps)
        counts = np.full(done, size)
        counts[-1] = min(done * size, n) - (done - 1) * size
        tracker, *metrics = trackers = cast("list[Mean]", self._objective.all_metrics())
        tracker.total += float(losses[:done] @ counts)
        for metric in metrics:
            metric.total += int(matches[:done].sum())
        for metric in trackers:
            metric.count += int(counts.sum())
        return done, float(losses[done - 1])

    def _buffers(self, n: int, sparse: bool) -> tuple[Array, ...]:
        """Return buffers for intermediate results."""
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
    model: Any, optimizer: Any, plan: Plan, examples: Any, batch_size: int
) -> DenseNetSteps | None:
    """Return the fused training loop, if the program of the model is that of a dense classifier.

    This is the rule that replaces the instructions of whole steps by `functional.train_steps`.

    Parameters
    ----------
    model : Model
        The model.
    optimizer : Optimizer
        Optimizer of the weights.
    plan : Plan
        Its plan.
    examples : Examples or Stream
        Training data.
    batch_size : int
        Number of examples in a step.

    Returns
    -------
    DenseNetSteps or None
        None if the program is run instruction by instruction.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> steps_of(model, Adam(), Plan([], [], [], {}), None, 32) is None
    True
    """
    if config.backend() != "numba" or type(examples) is not Examples:
        return None
    sparse = isinstance(examples.x, CompressedRows | LazyRows)
    if isinstance(examples.x, tuple) or examples.weights is not None:
        return None
    kind = examples.x.dtype if sparse or examples.dtype is None else examples.dtype
    is_adam = type(optimizer) is Adam and optimizer.is_plain and not optimizer.amsgrad
    if kind != np.float32 or not is_adam:
        return None
    found = _dense_classifier(model._program("train", next(examples.batches(1))))
    if found is None or not _is_in_one_piece([w for pair in found[0] for w in pair], plan):
        return None
    own = [kernel for kernel, _ in found[0]]
    if own[0].shape[0] != math.prod(examples.x.shape[1:]):
        return None
    from tinynet import kernels

    # The instructions, too, must use the kernel for these products.
    dense = own[1:] if sparse else own
    if not kernels.COMPILES or not all(kernels.products_pay(kernel.size) for kernel in dense):
        return None
    steps = DenseNetSteps(own, found[1:], model._objective, optimizer, plan, batch_size)
    if not examples.is_ready:  # the batches of a call are converted together: into 4 MB at most
        size = batch_size * own[0].shape[0] * kind.itemsize
        steps.at_once = min(steps.at_once, max((1 << 22) // size, 1))
    return steps


def _dense_classifier(traced: Any) -> Any:
    """Return weights, flags of rectifiers, and True if outputs are logits; None for other programs.

    The program consists of linear operations, each with a bias and optionally a rectifier, and
    the cross-entropy of labels and logits.
    """
    instructions = [n for n in traced.program.forward if n.operation is not MATCHES]
    at, weights, rectifies = traced.inputs[0], [], []
    if instructions and instructions[0].operation is TABLE["flatten"]:
        at = instructions.pop(0).outputs[0]
    while instructions and instructions[0].operation in (TABLE["linear"], LINEAR_RELU):
        instruction = instructions.pop(0)
        x, kernel, bias = instruction.inputs
        rectifies.append(instruction.operation is LINEAR_RELU)
        # The gradient of a single bias is summed up in pairs, step by step.
        sums_alike = kernel.shape[1] > 1 or rectifies[-1]
        if x is not at or not isinstance(bias, Variable) or not sums_alike:
            return None
        at = instruction.outputs[0]
        weights.append((kernel, bias))
    if len(instructions) != 1 or not weights or rectifies[-1] or len(traced.losses) != 1:
        return None
    step, output = instructions[0], traced.objective.outputs[0]
    loss = getattr(step.operation, "loss", None)
    is_labels = (
        type(loss) is SparseCategoricalCrossentropy
        and loss.from_logits
        and loss.is_mean
        and step.inputs[0] is at
        and output.weight == 1
        and not traced.added
    )
    if not is_labels or any(type(m) is not SparseCategoricalAccuracy for m in output.metrics):
        return None
    return weights, rectifies, traced.predictions[0] is at


def _is_in_one_piece(own: list[Variable], plan: Plan) -> bool:
    """Return whether the trainable variables are exactly these weights, contiguous in memory."""
    same = len(plan.variables) == len(own) and all(map(operator.is_, plan.variables, own))
    plain = not plan.constrained and all(v.regularizer is None for v in own)
    together = len(plan.flat) == 1 and all(a.dtype == np.float32 for a in plan.flat[0])
    return same and plain and together
