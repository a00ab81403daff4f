"""Backpropagation against finite differences, for nets with layers of one's own."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinynet import checks, optimizers
from tinynet.explain.watch import Watch, computing_layers, copied
from tinynet.tables import Table, Tables, number
from tinynet.variable import Array, pack
from tinynet.workspace import Workspace

_H = 1e-5  # the cube root of float64's precision: where both errors of a difference are small
_EPS = float(np.finfo(np.float64).eps)


@dataclass
class GradientCheck:
    """One gradient array against finite differences.

    Parameters
    ----------
    layer : str
        The layer's name, or ``"loss"``.
    array : str
        What the gradient is in: a weight's name, ``"input"``, or the loss's ``"output"``.
    checked, size : int
        How many of how many elements were looked at.
    error, allowed : float
        The largest difference, and the largest that rounding explains.
    index : tuple of int
        The element of the largest difference.
    backward, difference : float
        What `backward` says there, and what the differences say.

    Examples
    --------
    >>> GradientCheck("dense", "kernel", 6, 6, 1e-9, 1e-7, (0, 1), 0.5, 0.5).ok
    True
    """

    layer: str
    array: str
    checked: int
    size: int
    error: float
    allowed: float
    index: tuple[int, ...]
    backward: float
    difference: float

    @property
    def ok(self) -> bool:
        """Whether the gradient is right."""
        return self.error <= self.allowed


@dataclass(repr=False)
class GradientReport(Tables):
    """What `check_gradients` found.

    Parameters
    ----------
    net : list of GradientCheck
        Every weight's gradient of the loss, after the whole way back.
    alone : list of GradientCheck
        Each layer by itself: the gradients in its input and its weights of a random sum of its
        outputs; and the loss by itself.
    problems : dict of str to str
        By layer, what is wrong with it, in a sentence.

    Examples
    --------
    >>> print(GradientReport([], [], {}).verdict)
    Backpropagation is right.
    """

    net: list[GradientCheck]
    alone: list[GradientCheck]
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether all gradients are right."""
        return not self.problems and all(check.ok for check in self.net)

    @property
    def wrong(self) -> list[str]:
        """The names of the layers to blame."""
        return list(self.problems)

    @property
    def verdict(self) -> str:
        """The outcome in words."""
        if self.ok:
            return "Backpropagation is right."
        spoilt = [f"{check.layer}/{check.array}" for check in self.net if not check.ok]
        if not self.problems:
            return (
                f"Wrong are the gradients of {', '.join(spoilt)}, though each layer alone is "
                f"right: look at regularizers, at what backward does with need_d_x=False, and at "
                f"what layers keep from call to call."
            )
        lines = list(self.problems.values())
        others = [name for name in spoilt if name.rpartition("/")[0] not in self.problems]
        if others:
            lines.append(f"In consequence, so are the gradients of {', '.join(others)}.")
        return "\n".join(lines)

    def tables(self) -> list[Table]:
        """Return the whole net's gradients, those of each layer alone, and the verdict."""
        header = ["layer", "gradient in", "checked", "largest error", "allowed", ""]

        def table(title: str, found: list[GradientCheck], note: str = "") -> Table:
            rows = [
                [
                    check.layer,
                    check.array,
                    f"{check.checked:,} of {check.size:,}",
                    number(check.error),
                    number(check.allowed),
                    "" if check.ok else "WRONG",
                ]
                for check in found
            ]
            return Table(title, header, rows, note, (0, 1, 5))

        return [
            table("The whole net: backpropagation against finite differences", self.net),
            table("Each layer alone", self.alone, self.verdict.replace("\n", "\n  ")),
        ]


class _Checker:
    """Compares gradients with differences, for a random choice of elements."""

    def __init__(self, most: int | None, tolerance: float, seed: int) -> None:
        self.most, self.tolerance = most, tolerance
        self.random = np.random.default_rng(seed)

    def check(
        self,
        layer: str,
        name: str,
        array: Array,
        gradient: Array,
        rise: Callable[[], float],
        noise: float,
    ) -> GradientCheck:
        """Change elements of `array`; `rise` says by how much the result is then larger."""
        chosen = np.arange(array.size)
        if self.most is not None and array.size > self.most:
            chosen = np.sort(self.random.choice(array.size, self.most, replace=False))
        flat, found = array.reshape(-1), gradient.reshape(-1)[chosen]
        slopes = np.zeros((2, len(chosen)))
        for side, h in enumerate((-_H, _H)):
            for k, i in enumerate(chosen):
                kept = flat[i]
                flat[i] = kept + h * max(1.0, abs(kept))
                slopes[side, k] = rise() / (flat[i] - kept)
                flat[i] = kept
        # At a corner, as relu has one, every slope between those on either side is a right one.
        low, high = np.sort(slopes, axis=0)
        errors = np.maximum(np.maximum(low - found, found - high), 0)
        errors[~np.isfinite(found)] = np.inf
        scale = max(np.abs(slopes).max(initial=0), np.abs(found[np.isfinite(found)]).max(initial=0))
        worst = int(np.argmax(errors)) if len(errors) else 0
        return GradientCheck(
            layer,
            name,
            len(chosen),
            array.size,
            float(errors.max(initial=0)),
            self.tolerance * float(scale) + noise,
            tuple(int(i) for i in np.unravel_index(chosen[worst], array.shape)),
            float(found[worst]),
            float(slopes[:, worst].mean()),
        )


def check_gradients(
    model: Any,
    x: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    max_per_weight: int | None = 50,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> GradientReport:
    """Compare backpropagation with finite differences, weight by weight and layer by layer.

    A gradient says how fast the loss grows when one weight does. So one weight is changed by a
    little, h, and the loss computed anew: ``(loss(w + h) - loss(w)) / h``, and the same for -h.
    Then each layer is asked by itself, so that a wrong one is told from those below it, which only
    pass its mistake on. All is done in float64, on a copy.

    Parameters
    ----------
    model : Model
        A compiled model. It stays as it is; only if it was not built, it is built.
    x, y : array_like, shape (N, ...)
        A small batch.
    sample_weight : array_like, shape (N,), optional
        As for `model.fit`.
    max_per_weight : int or None
        How many elements of each array are tried out, chosen at random; None for all.
    tolerance : float
        The error that is allowed, as a part of the array's largest gradient.
    seed : int
        Makes the choice repeatable.

    Returns
    -------
    GradientReport
        Its `ok` says whether all is right, `wrong` which layers are to blame; printed, it is two
        tables with a verdict.

    Raises
    ------
    ValueError
        If the model is not compiled, the batch does not fit, or the loss is not finite.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> class Double(layers.Layer):
    ...     def call(self, x):
    ...         return 2 * x
    ...     def backward(self, d_y, work, need_d_x=True):
    ...         return d_y  # forgets the 2
    >>> model = Sequential([layers.Dense(3, name="dense"), Double(name="double")])
    >>> model.compile("sgd", "mse")
    >>> report = check_gradients(model, [[0.1, 0.2]], [[1.0, 2.0, 3.0]])
    >>> report.wrong
    ['double']
    >>> print(report.verdict.splitlines()[-1])
    In consequence, so are the gradients of dense/kernel, dense/bias.
    """
    most = None if max_per_weight is None else checks.whole("max_per_weight", max_per_weight)
    checker = _Checker(
        most, checks.number("tolerance", tolerance, 0), checks.whole("seed", seed, 0)
    )
    doubled = copied(model, x)
    _to_float64(doubled)
    x = checks.numeric("x", x, np.float64)
    restore = _randomness(doubled)
    watches = [Watch(name, layer) for name, layer in computing_layers(doubled)]
    doubled.optimizer = optimizers.SGD()
    plans: list[Any] = []
    vars(doubled.optimizer).update(step=plans.append)

    def loss() -> float:
        restore()
        with contextlib.suppress(FloatingPointError):
            doubled.train_on_batch(x, y, sample_weight)
        mean = doubled.metrics[0]  # its result is float32, its parts are not
        return float(mean.total / mean.count)

    at_rest = loss()
    if not np.isfinite(at_rest):
        raise ValueError(f"The loss must be finite to be compared. Received: loss={at_rest}")
    watches = [watch for watch in watches if watch.y is not None]
    gradients = [np.array(g) for g in plans[0].gradients]
    last = watches[-1]
    d_output = np.array(last.d_y)
    inputs = [(watch.x, watch.logits) for watch in watches]
    noise = 100 * _EPS * max(1.0, abs(at_rest)) / _H

    last.shift = np.zeros(last.y.shape)
    in_loss = checker.check("loss", "output", last.shift, d_output, lambda: loss() - at_rest, noise)
    last.shift = 0
    for watch in watches:
        watch.stop()
    owners = {id(w): (watch.name, w.name) for watch in watches for w in watch.layer.weights}
    net = [
        checker.check(*owners[id(v)], v.array, gradient, lambda: loss() - at_rest, noise)
        for v, gradient in zip(plans[0].variables, gradients, strict=True)
    ]
    report = GradientReport(net, [in_loss])
    if not in_loss.ok:
        report.problems["loss"] = _blame(in_loss, "The loss's gradient is wrong")
    for watch, (entered, logits) in zip(reversed(watches), reversed(inputs), strict=True):
        _check_alone(watch, entered, logits, checker, restore, report)
    return report


def _to_float64(model: Any) -> None:
    """Turn a model into one that computes in double precision."""
    todo = [model]
    while todo:
        layer = todo.pop()
        layer.dtype = "float64"
        todo += layer.layers if hasattr(layer, "layers") else layer._inner_layers()
    for weight in model.weights:
        weight.array = weight.array.astype(np.float64)
    pack(sorted(model.weights, key=lambda w: not w.trainable))


def _randomness(model: Any) -> Callable[[], None]:
    """Return a function that makes layers draw the same random numbers again."""
    found = [
        value
        for _, layer in computing_layers(model)
        for value in vars(layer).values()
        if isinstance(value, np.random.Generator)
    ]
    states = [copy.deepcopy(value.bit_generator.state) for value in found]

    def restore() -> None:
        for value, state in zip(found, states, strict=True):
            value.bit_generator.state = state

    return restore


def _check_alone(
    watch: Watch,
    x: Array,
    logits: bool,
    checker: _Checker,
    restore: Callable[[], None],
    report: GradientReport,
) -> None:
    """Check one layer: how a random sum of its outputs depends on its input and its weights."""
    layer = watch.layer
    who = f"The layer {watch.name} ({watch.kind}) is wrong"

    def forward() -> tuple[Array, Workspace]:
        restore()
        work = Workspace()
        work.logits = logits
        return np.array(layer.forward(x.copy(), work, True)), work

    y, work = forward()
    if not np.array_equal(y, forward()[0]):
        report.problems[watch.name] = (
            f"{who}: its forward gives other numbers every time, so nothing can be compared. "
            f"Let it draw from a np.random.Generator that is an attribute of its own."
        )
        return
    upstream = checker.random.standard_normal(y.shape)
    weights = layer.trainable_weights
    work.gradients = [np.full(w.shape, np.nan) for w in weights]
    held = work.gradients[:]
    d_x = layer.backward(upstream.copy(), work, True)
    if d_x is None or d_x.shape != x.shape:
        came = "nothing" if d_x is None else f"an array of shape {d_x.shape}"
        report.problems[watch.name] = (
            f"{who}: its backward must return the gradient in its input, of shape {x.shape}, "
            f"and returns {came}."
        )
        return

    def rise() -> float:
        return float(np.sum(upstream * (forward()[0] - y)))

    noise = 100 * _EPS * float(np.abs(y).max(initial=1)) / _H
    for w, gradient in zip(weights, held, strict=True):
        if np.isnan(gradient).any():
            report.problems[watch.name] = (
                f"{who}: its backward must write the gradient of {w.name} into "
                f"work.gradients[{weights.index(w)}], in place: work.gradients[...][...] = ..."
            )
    parts = [
        ("input", x, np.array(d_x)),
        *((w.name, w.array, g) for w, g in zip(weights, held, strict=True)),
    ]
    for name, array, gradient in parts:
        found = checker.check(watch.name, name, array, gradient, rise, noise)
        report.alone.append(found)
        if not found.ok:
            report.problems.setdefault(watch.name, _blame(found, who))


def _blame(check: GradientCheck, who: str) -> str:
    place = f"{check.array}[{', '.join(map(str, check.index))}]"
    return (
        f"{who}: for {place} its backward says {number(check.backward)}, finite differences say "
        f"{number(check.difference)}."
    )
