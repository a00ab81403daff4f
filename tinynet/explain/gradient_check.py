"""Backpropagation against finite differences, for nets with layers of one's own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinynet import checks, config
from tinynet.blas import Computing
from tinynet.explain.layer_step import computing_calls, kind_of, note_registers
from tinynet.one_step import OneStep, copied, layers_of, relative, to_float64
from tinynet.program.nested import flattened
from tinynet.program.program import Program
from tinynet.tables import Table, Tables, number
from tinynet.variable import Array, Variable

_H = 1e-5  # the cube root of float64's precision: where both errors of a difference are small
_EPS = float(np.finfo(np.float64).eps)
_NO_GRADIENT = "backward must return the gradient in its input"


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
    doubled = copied(model, "explain.check_gradients", x, y, sample_weight)
    to_float64(doubled)
    report = GradientReport([], [])
    with config.floatx_scope("float64"), Computing():
        one = OneStep(doubled, x, y, sample_weight)
        restore = _state_of(doubled)
        registers: dict[int, Array] = {}
        note_registers(one, one.forward(), registers)
        at_rest = one.loss()
        if not np.isfinite(at_rest):
            raise ValueError(f"The loss must be finite to be compared. Received: loss={at_rest}")

        def part(instructions: list[Any], seeds: list[tuple[Any, Any]]) -> _Part:
            return _Part(one, instructions, seeds, registers, restore)

        instructions = one.program.program.forward
        terms: list[Any] = [(s, np.float64(factor)) for s, factor in one.program.losses]
        losses = part([n for n in instructions if not n.scope], terms)
        _check("loss", "The loss's gradient is wrong", losses, checker, report)
        for call in reversed([*computing_calls(one)]):
            made = {id(s) for n in call.instructions for s in n.outputs}
            outputs = [s for s in flattened(call.outputs) if id(s) in made and "float" in s.dtype]
            seeds = [(s, checker.random.standard_normal(s.shape)) for s in outputs]
            name = relative(call.path)
            who = f"The layer {name} ({kind_of(call.layer)}) is wrong"
            _check(name, who, part(call.instructions, seeds), checker, report)
        for name in [*report.problems]:  # what is wrong inside is not the outer layer's mistake
            if any(other.startswith(f"{name}/") for other in report.problems):
                del report.problems[name]
        if not any(_NO_GRADIENT in problem for problem in report.problems.values()):
            terms += [(s, np.ones(())) for s in one.program.added]
            _check_net(part([*instructions], terms), at_rest, checker, report)
    return report


def _state_of(model: Any) -> Callable[[], None]:
    """Return a function that sets random numbers and moving averages back to what they are now."""
    found = [
        value
        for layer in layers_of(model)
        for value in vars(layer).values()
        if isinstance(value, np.random.Generator)
    ]
    states = [copy.deepcopy(value.bit_generator.state) for value in found]
    before = [(w, w.numpy()) for w in model.non_trainable_weights]

    def restore() -> None:
        for value, state in zip(found, states, strict=True):
            value.bit_generator.state = state
        for weight, array in before:
            weight.array[...] = array

    return restore


class _Part:
    """Some instructions of a step, run by themselves on the registers of the whole step.

    What is differentiated is the sum of their results, each times its seed.
    """

    def __init__(
        self,
        one: OneStep,
        instructions: list[Any],
        seeds: list[tuple[Any, Any]],
        registers: dict[int, Array],
        restore: Callable[[], None],
    ) -> None:
        made = {id(s) for n in instructions for s in n.outputs}
        read = {id(i): i for n in instructions for i in n.inputs}
        outer = [i for i in read.values() if hasattr(i, "examples") and id(i) not in made]
        self.one, self.seeds, self.restore = one, seeds, restore
        self.program, self.names = Program(outer), one.names()
        self.program.forward = [*instructions]
        self.given = [np.array(registers.get(id(i), i.examples[0])) for i in outer]
        targets = {id(i) for i in one.program.program.inputs} - {id(i) for i in one.program.inputs}
        pairs = zip(outer, self.given, strict=True)
        #: The inputs that have gradients, then the weights, with their arrays.
        self.inputs = [(i, a) for i, a in pairs if a.dtype.kind == "f" and id(i) not in targets]
        self.weights = [(v, v.array) for v in one.plan.variables if id(v) in read]
        self.start = self.outputs()

    def outputs(self) -> list[Array]:
        """Run the instructions; return the results that have a seed."""
        self.restore()
        results = self.program.run(self.given, [s for s, _ in self.seeds])
        return [np.array(value) for value in results]

    def rise(self) -> float:
        """Return by how much the sum is larger than at first."""
        triples = zip(self.seeds, self.outputs(), self.start, strict=True)
        return float(sum(np.sum(d * (y - y0)) for (_, d), y, y0 in triples))

    def noise(self, floor: float = 1.0) -> float:
        """Return what rounding contributes to a difference."""
        return 100 * _EPS * max([float(np.abs(y).max(initial=floor)) for y in self.start]) / _H

    def gradients(self) -> list[Array]:
        """Return the gradients of inputs and weights; NaN where `backward` writes nothing."""
        self.restore()
        sources = [*self.inputs, *self.weights]
        found = {id(i): Variable(np.full_like(array, np.nan)) for i, array in sources}
        seeds = {id(s): np.array(d) for s, d in self.seeds}
        connected = self.program.differentiate(seeds, found)
        self.program.run(self.given, [])
        self.program.backward, self.program.stores = [], []
        return [found[id(i)].array if id(i) in connected else np.zeros_like(a) for i, a in sources]


def _check_net(part: _Part, at_rest: float, checker: _Checker, report: GradientReport) -> None:
    """Check the gradient of every weight, after the whole way back."""

    def penalties() -> float:
        return float(sum(v.regularizer(v.array) for v, _ in part.weights if v.regularizer))

    found, before = part.gradients()[len(part.inputs) :], penalties()
    for (v, array), gradient in zip(part.weights, found, strict=True):
        if v.regularizer:
            gradient += v.regularizer.gradient(array)
        layer, _, name = part.names[id(v)].rpartition("/")
        noise = 100 * _EPS * max(1.0, abs(at_rest)) / _H
        rise = lambda: part.rise() + penalties() - before  # noqa: E731  # as short as it can be
        report.net.append(checker.check(layer, name, array, gradient, rise, noise))


def _check(layer: str, who: str, part: _Part, checker: _Checker, report: GradientReport) -> None:
    """Check a layer, or the loss, by itself."""
    if not part.seeds:
        return
    if not all(map(np.array_equal, part.start, part.outputs())):
        report.problems[layer] = (
            f"{who}: its forward gives other numbers every time, so nothing can be compared. "
            f"Let it draw from a np.random.Generator that is an attribute of its own."
        )
        return
    try:
        found = part.gradients()
    except ValueError as error:
        if "must return the gradient" not in str(error):
            raise
        received = str(error).rpartition("Received: ")[2]
        came = "nothing" if received == "None" else f"an array of {received}"
        report.problems[layer] = (
            f"{who}: its {_NO_GRADIENT}, of shape {part.inputs[0][1].shape}, and returns {came}."
        )
        return
    word, several = "output" if layer == "loss" else "input", len(part.inputs) > 1
    titles = [f"{word} {k}" if several else word for k in range(1, len(part.inputs) + 1)]
    titles += [part.names[id(v)].removeprefix(f"{layer}/") for v, _ in part.weights]
    for k, gradient in enumerate(found):
        if np.isnan(gradient).any():
            report.problems[layer] = (
                f"{who}: its backward must write the gradient of {titles[k]} into "
                f"work.gradients[{k - len(part.inputs)}], in place: work.gradients[...][...] = ..."
            )
    arrays = [array for _, array in (*part.inputs, *part.weights)]
    for name, array, gradient in zip(titles, arrays, found, strict=True):
        check = checker.check(layer, name, array, gradient, part.rise, part.noise())
        report.alone.append(check)
        if not check.ok:
            report.problems.setdefault(layer, _blame(check, who))


def _blame(check: GradientCheck, who: str) -> str:
    place = f"{check.array}[{', '.join(map(str, check.index))}]"
    return (
        f"{who}: for {place} its backward says {number(check.backward)}, finite differences say "
        f"{number(check.difference)}."
    )
