"""Backpropagation compared with finite differences, for models with custom layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinynet import config
from tinynet._core import checks
from tinynet._core.text_tables import Table, Tables, number
from tinynet.explain.layer_step import RecordedStep, kind_of
from tinynet.program.nested import flattened
from tinynet.program.program import Program
from tinynet.program.variable import Array, Variable
from tinynet.training.blas_threads import Computing
from tinynet.training.one_step import copied, relative, to_float64

_H = 1e-5  # the cube root of float64's precision: where both errors of a difference are small
_EPS = float(np.finfo(np.float64).eps)
_NO_GRADIENT = "backward must return the gradient in its input"


@dataclass
class GradientCheck:
    """One gradient array compared with finite differences.

    Parameters
    ----------
    layer : str
        The layer's name, or ``"loss"``.
    array : str
        Array that the gradient is computed with respect to: a weight's name, ``"input"``, or
        ``"output"`` for the loss.
    checked, size : int
        Number of elements that were compared, and of all elements.
    error, allowed : float
        Largest difference, and the largest that rounding explains.
    index : tuple of int
        Index of the largest difference.
    backward, difference : float
        Values there: of `backward`, and of the finite differences.

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
        """True if the gradient is right."""
        return self.error <= self.allowed


@dataclass(repr=False)
class GradientReport(Tables):
    """Result of `check_gradients`.

    Parameters
    ----------
    net : list of GradientCheck
        Gradients of the loss with respect to every weight, by backpropagation.
    alone : list of GradientCheck
        Each layer by itself: gradients of a random sum of its outputs with respect to its input and
        weights; and the loss by itself.
    problems : dict of str to str
        Description of each error, by layer.

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
        """True if all gradients are right."""
        return not self.problems and all(check.ok for check in self.net)

    @property
    def wrong(self) -> list[str]:
        """Names of the layers that have errors."""
        return list(self.problems)

    @property
    def verdict(self) -> str:
        """The outcome in words."""
        wrong = [f"{check.layer}/{check.array}" for check in self.net if not check.ok]
        if self.ok:
            return "Backpropagation is right."
        if not self.problems:
            where = "look at regularizers, at what backward does with need_d_x=False, and at what"
            apart = f"though each layer alone is right: {where} layers keep from call to call."
            return f"Backpropagation is wrong for {', '.join(wrong)}, {apart}"
        others = [name for name in wrong if name.rpartition("/")[0] not in self.problems]
        text = "\n".join(self.problems.values())
        rest = f"\nIn consequence, so are the gradients of {', '.join(others)}."
        return text + rest if others else text

    def tables(self) -> list[Table]:
        """Return the whole model's gradients, those of each layer alone, and the verdict."""
        header = ["layer", "gradient in", "checked", "largest error", "allowed", ""]

        def table(title: str, found: list[GradientCheck], note: str = "") -> Table:
            rows = []
            for c in found:
                share, mark = f"{c.checked:,} of {c.size:,}", "" if c.ok else "WRONG"
                rows.append([c.layer, c.array, share, c.error, c.allowed, mark])
            return Table(title, header, rows, note, (0, 1, 5))

        net = table("The whole net: backpropagation against finite differences", self.net)
        return [net, table("Each layer alone", self.alone, self.verdict.replace("\n", "\n  "))]


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

    A gradient is the rate at which the loss changes with one weight. So one weight is changed by a
    small h, and the loss is computed again: ``(loss(w + h) - loss(w)) / h``, and the same for -h.
    Then each layer is checked by itself, to separate a layer that is wrong from the layers below
    it, which only pass on its error. Everything is computed in float64, on a copy.

    Parameters
    ----------
    model : Model
        A compiled model. It is unchanged; if it is not built, it is built.
    x, y : array_like, shape (N, ...)
        A small batch.
    sample_weight : array_like, shape (N,), optional
        As for `model.fit`.
    max_per_weight : int or None
        Maximum number of elements of each array to check, chosen at random; None for all.
    tolerance : float
        Allowed error, relative to the array's largest gradient.
    seed : int
        Seed of the random choice.

    Returns
    -------
    GradientReport
        Its `ok` is True if all gradients are right; `wrong` lists the layers that have errors.
        Printed, it is two tables with a verdict.

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
    ...         return d_y  # without the 2
    >>> model = Sequential([layers.Dense(3, name="dense"), Double(name="double")])
    >>> model.compile("sgd", "mse")
    >>> report = check_gradients(model, [[0.1, 0.2]], [[1.0, 2.0, 3.0]])
    >>> report.wrong
    ['double']
    >>> print(report.verdict.splitlines()[-1])
    In consequence, so are the gradients of dense/kernel, dense/bias.
    """
    most = checks.optional(checks.whole, "max_per_weight", max_per_weight)
    tolerance = checks.number("tolerance", tolerance, 0)
    random = np.random.default_rng(checks.whole("seed", seed, 0))
    doubled = copied(model, "explain.check_gradients", x, y, sample_weight)
    to_float64(doubled)
    with config.floatx_scope("float64"), Computing():
        one = RecordedStep(doubled, x, y, sample_weight)
        return _Checker(one, most, tolerance, random).check_all()


def _state_of(model: Any) -> Callable[[], None]:
    """Return a function that resets random numbers and moving averages to their current state."""
    drawn = model._random_states()
    before = [(w, w.numpy()) for w in model.non_trainable_weights]

    def restore() -> None:
        for generator, state in drawn:
            generator.state = state
        for weight, array in before:
            weight.array[...] = array

    return restore


class _Part:
    """Some instructions of a step, run by themselves on the registers of the whole step.

    The differentiated function is the sum of their results, each multiplied by its seed.
    """

    def __init__(self, checker: _Checker, instructions: list[Any], seeds: list[Any]) -> None:
        one = checker.one
        made = {id(s) for n in instructions for s in n.outputs}
        read = {id(i): i for n in instructions for i in n.inputs}
        outer = [i for i in read.values() if hasattr(i, "examples") and id(i) not in made]
        self.seeds, self.restore, self.names = seeds, checker.restore, one.names()
        self.program = Program(outer)
        self.program.forward = [*instructions]
        self.given = [np.array(one.registers.get(id(i), i.examples[0])) for i in outer]
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
        """Return the increase of the sum since the first run."""
        triples = zip(self.seeds, self.outputs(), self.start, strict=True)
        return float(sum(np.sum(d * (y - y0)) for (_, d), y, y0 in triples))

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


class _Checker:
    """Compares the gradients of a step with differences, for a random choice of elements."""

    def __init__(self, one: RecordedStep, most: int | None, tolerance: float, random: Any) -> None:
        self.one, self.most, self.tolerance, self.random = one, most, tolerance, random
        self.report, self.restore = GradientReport([], []), _state_of(one.model)
        one.record(one.forward())

    def check_all(self) -> GradientReport:
        """Check the loss, each layer, and then the whole model."""
        one, problems, loss = self.one, self.report.problems, self.one.loss()
        checks.require(np.isfinite(loss), "The loss must be finite to be compared", f"loss={loss}")
        instructions = one.program.program.forward
        terms: list[Any] = [(s, np.float64(factor)) for s, factor in one.program.losses]
        losses = _Part(self, [n for n in instructions if not n.scope], terms)
        self.check_part("loss", "The loss's gradient is wrong", losses)
        for call in reversed([*one.computing_calls()]):
            made = {id(s) for n in call.instructions for s in n.outputs}
            outputs = [s for s in flattened(call.outputs) if id(s) in made and "float" in s.dtype]
            seeds = [(s, self.random.standard_normal(s.shape)) for s in outputs]
            name = relative(call.path)
            who = f"The layer {name} ({kind_of(call.layer)}) is wrong"
            self.check_part(name, who, _Part(self, call.instructions, seeds))
        for name in [*problems]:  # an error inside is not the outer layer's
            if any(other.startswith(f"{name}/") for other in problems):
                del problems[name]
        if not any(_NO_GRADIENT in problem for problem in problems.values()):
            terms += [(s, np.ones(())) for s in one.program.added]
            self.check_model(_Part(self, instructions, terms), loss)
        return self.report

    def check_model(self, part: _Part, loss: float) -> None:
        """Check the gradient of the loss with respect to every weight."""

        def penalties() -> float:
            return float(sum(v.regularizer(v.array) for v, _ in part.weights if v.regularizer))

        found, before = part.gradients()[len(part.inputs) :], penalties()
        for (v, array), gradient in zip(part.weights, found, strict=True):
            if v.regularizer:
                gradient += v.regularizer.gradient(array)
            layer, _, name = part.names[id(v)].rpartition("/")
            rise = lambda: part.rise() + penalties() - before  # noqa: E731  # as short as it can be
            self.report.net.append(self.compare(layer, name, array, gradient, rise, [loss]))

    def check_part(self, layer: str, who: str, part: _Part) -> None:
        """Check a layer, or the loss, by itself."""
        problems = self.report.problems
        if not part.seeds:
            return
        if not all(map(np.array_equal, part.start, part.outputs())):
            problems[layer] = (
                f"{who}: its forward returns other numbers every time, so they can't be compared. "
                "Let it draw from a np.random.Generator that is an attribute of the layer."
            )
            return
        try:
            found = part.gradients()
        except ValueError as error:
            if "must return the gradient" not in str(error):
                raise
            received = str(error).rpartition("Received: ")[2]
            came = "nothing" if received == "None" else f"an array of {received}"
            shape = part.inputs[0][1].shape
            problems[layer] = f"{who}: its {_NO_GRADIENT}, of shape {shape}, and returns {came}."
            return
        word, several = "output" if layer == "loss" else "input", len(part.inputs) > 1
        titles = [f"{word} {k}" if several else word for k in range(1, len(part.inputs) + 1)]
        titles += [part.names[id(v)].removeprefix(f"{layer}/") for v, _ in part.weights]
        pairs = [*part.inputs, *part.weights]
        for k, (name, gradient) in enumerate(zip(titles, found, strict=True), -len(part.inputs)):
            if np.isnan(gradient).any():
                problems[layer] = (
                    f"{who}: its backward must write the gradient of {name} into "
                    f"work.gradients[{k}], in place: work.gradients[...][...] = ..."
                )
        for name, (_, array), gradient in zip(titles, pairs, found, strict=True):
            check = self.compare(layer, name, array, gradient, part.rise, part.start)
            self.report.alone.append(check)
            if not check.ok:
                where = f"for {name}[{', '.join(map(str, check.index))}] its backward says"
                differences = f"finite differences say {number(check.difference)}"
                said = f"{where} {number(check.backward)}, {differences}"
                problems.setdefault(layer, f"{who}: {said}.")

    def compare(
        self, layer: str, name: str, array: Array, gradient: Array, rise: Any, results: list[Any]
    ) -> GradientCheck:
        """Change elements of an array, and compare the increase of a result with the gradient."""
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
        # At a corner, such as that of relu, every slope between those of both sides is right.
        low, high = np.sort(slopes, axis=0)
        errors = np.maximum(np.maximum(low - found, found - high), 0)
        errors[~np.isfinite(found)] = np.inf
        scale = max(np.abs(slopes).max(initial=0), np.abs(found[np.isfinite(found)]).max(initial=0))
        # The rounding error of the results contributes to the differences.
        noise = 100 * _EPS * max(float(np.abs(y).max(initial=1.0)) for y in results) / _H
        error, allowed = float(errors.max(initial=0)), self.tolerance * float(scale) + noise
        worst = int(np.argmax(errors)) if len(errors) else 0
        index = tuple(int(i) for i in np.unravel_index(chosen[worst], array.shape))
        values = float(found[worst]), float(slopes[:, worst].mean())
        counts = len(chosen), array.size
        return GradientCheck(layer, name, *counts, error, allowed, index, *values)
