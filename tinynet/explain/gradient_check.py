"""Gradient checking: comparison of backpropagation with finite differences."""

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

# Step size: at about the cube root of float64's machine epsilon, the truncation error and the
# rounding error of a finite difference are both small.
_H = 1e-5
_EPS = float(np.finfo(np.float64).eps)
_NO_GRADIENT = "backward must return the gradient with respect to its input"


@dataclass
class GradientCheck:
    """Comparison of one gradient array with finite differences.

    Parameters
    ----------
    layer : str
        Name of the layer, or ``"loss"``.
    array : str
        Array with respect to which the gradient is computed: the name of a weight, ``"input"``,
        or ``"output"`` for the loss.
    checked, size : int
        Number of compared elements, and total number of elements.
    error, allowed : float
        Largest absolute difference, and its tolerance.
    index : tuple of int
        Index of the element with the largest difference.
    backward, difference : float
        Gradient of that element according to `backward` and to the finite difference.

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
        """True if the gradient is correct."""
        return self.error <= self.allowed


@dataclass(repr=False)
class GradientReport(Tables):
    """Result of `check_gradients`.

    Parameters
    ----------
    net : list of GradientCheck
        Checks of the whole model: the gradient of the loss with respect to each weight.
    alone : list of GradientCheck
        Checks of each layer in isolation: gradients of a random linear combination of its outputs
        with respect to its input and weights; and checks of the loss in isolation.
    problems : dict of str to str
        Description of each error, by layer.

    Examples
    --------
    >>> print(GradientReport([], [], {}).verdict)
    Backpropagation is correct.
    """

    net: list[GradientCheck]
    alone: list[GradientCheck]
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True if all gradients are correct."""
        return not self.problems and all(check.ok for check in self.net)

    @property
    def wrong(self) -> list[str]:
        """Names of the layers with errors."""
        return list(self.problems)

    @property
    def verdict(self) -> str:
        """Summary of the result, with the errors if any."""
        wrong = [f"{check.layer}/{check.array}" for check in self.net if not check.ok]
        if self.ok:
            return "Backpropagation is correct."
        if not self.problems:
            where = "check the regularizers, backward with need_d_x=False, and any state kept by"
            apart = f"although each layer in isolation is correct: {where} layers between calls."
            return f"Backpropagation is incorrect for {', '.join(wrong)}, {apart}"
        others = [name for name in wrong if name.rpartition("/")[0] not in self.problems]
        text = "\n".join(self.problems.values())
        rest = f"\nConsequently, these gradients are also incorrect: {', '.join(others)}."
        return text + rest if others else text

    def tables(self) -> list[Table]:
        """Return the checks of the whole model, and those of each layer with the verdict."""
        header = ["layer", "with respect to", "checked", "largest error", "allowed", ""]

        def table(title: str, found: list[GradientCheck], note: str = "") -> Table:
            rows = []
            for c in found:
                share, mark = f"{c.checked:,} of {c.size:,}", "" if c.ok else "WRONG"
                rows.append([c.layer, c.array, share, c.error, c.allowed, mark])
            return Table(title, header, rows, note, (0, 1, 5))

        net = table("Gradients of the whole model, compared with finite differences", self.net)
        verdict = self.verdict.replace("\n", "\n  ")
        return [net, table("Gradients of each layer in isolation", self.alone, verdict)]


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
    """Check the gradients of a model against finite differences.

    The gradient of a weight is approximated by ``(loss(w + h) - loss(w)) / h`` for a small h, and
    by the same quotient for -h; the gradient computed by backpropagation must agree with both (or,
    at a kink, lie between them). Each layer is then checked in isolation, which distinguishes a
    layer with a wrong gradient from the layers below it, to which the error propagates. All
    computations are in float64, on a copy of the model.

    Parameters
    ----------
    model : Model
        Compiled model. It is built if necessary; its weights do not change.
    x, y : array_like, shape (N, ...)
        Inputs and targets of a small batch.
    sample_weight : array_like, shape (N,), optional
        Weight of each example in the loss.
    max_per_weight : int or None
        Maximum number of elements to check in each array, chosen at random; None for all.
    tolerance : float
        Maximum allowed error, relative to the largest element of the gradient.
    seed : int
        Seed of the random choice of elements.

    Returns
    -------
    GradientReport
        Report whose `ok` is True if all gradients are correct, and whose `wrong` lists the layers
        with errors. It is printed as two tables and a verdict.

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
    Consequently, these gradients are also incorrect: dense/kernel, dense/bias.
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
    """Return a function that restores the current random states and non-trainable weights."""
    drawn = model._random_states()
    before = [(w, w.numpy()) for w in model.non_trainable_weights]

    def restore() -> None:
        for generator, state in drawn:
            generator.state = state
        for weight, array in before:
            weight.array[...] = array

    return restore


class _Part:
    """Subset of the instructions of a step, run in isolation on the recorded registers.

    The function to differentiate is the sum of the results, weighted by the upstream gradients in
    `seeds`.
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
        #: Differentiable inputs, then weights, with their arrays.
        self.inputs = [(i, a) for i, a in pairs if a.dtype.kind == "f" and id(i) not in targets]
        self.weights = [(v, v.array) for v in one.plan.variables if id(v) in read]
        self.start = self.outputs()

    def outputs(self) -> list[Array]:
        """Run the instructions, and return the results that have an upstream gradient."""
        self.restore()
        results = self.program.run(self.given, [s for s, _ in self.seeds])
        return [np.array(value) for value in results]

    def rise(self) -> float:
        """Return the increase of the weighted sum since the first run."""
        triples = zip(self.seeds, self.outputs(), self.start, strict=True)
        return float(sum(np.sum(d * (y - y0)) for (_, d), y, y0 in triples))

    def gradients(self) -> list[Array]:
        """Return the gradients of inputs and weights; NaN if `backward` does not write them."""
        self.restore()
        sources = [*self.inputs, *self.weights]
        found = {id(i): Variable(np.full_like(array, np.nan)) for i, array in sources}
        seeds = {id(s): np.array(d) for s, d in self.seeds}
        connected = self.program.differentiate(seeds, found)
        self.program.run(self.given, [])
        self.program.backward, self.program.stores = [], []
        return [found[id(i)].array if id(i) in connected else np.zeros_like(a) for i, a in sources]


class _Checker:
    """Comparison of the gradients of a step with finite differences of randomly chosen elements."""

    def __init__(self, one: RecordedStep, most: int | None, tolerance: float, random: Any) -> None:
        self.one, self.most, self.tolerance, self.random = one, most, tolerance, random
        self.report, self.restore = GradientReport([], []), _state_of(one.model)
        one.record(one.forward())

    def check_all(self) -> GradientReport:
        """Check the loss, each layer, and the whole model."""
        one, problems, loss = self.one, self.report.problems, self.one.loss()
        checks.require(np.isfinite(loss), "loss must be finite for gradient checks", f"loss={loss}")
        instructions = one.program.program.forward
        terms: list[Any] = [(s, np.float64(factor)) for s, factor in one.program.losses]
        losses = _Part(self, [n for n in instructions if not n.scope], terms)
        self.check_part("loss", "The gradient of the loss", losses)
        for call in reversed([*one.computing_calls()]):
            made = {id(s) for n in call.instructions for s in n.outputs}
            outputs = [s for s in flattened(call.outputs) if id(s) in made and "float" in s.dtype]
            seeds = [(s, self.random.standard_normal(s.shape)) for s in outputs]
            name = relative(call.path)
            who = f"The gradient of the layer {name} ({kind_of(call.layer)})"
            self.check_part(name, who, _Part(self, call.instructions, seeds))
        for name in [*problems]:  # an error of an inner layer is not reported for the outer one
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
            rise = lambda: part.rise() + penalties() - before  # noqa: E731  # shorter than a def
            self.report.net.append(self.compare(layer, name, array, gradient, rise, [loss]))

    def check_part(self, layer: str, who: str, part: _Part) -> None:
        """Check a layer, or the loss, in isolation."""
        problems = self.report.problems
        if not part.seeds:
            return
        if not all(map(np.array_equal, part.start, part.outputs())):
            problems[layer] = (
                f"{who} cannot be checked: the forward pass is not reproducible. Use an "
                "np.random.Generator that is stored as an attribute of the layer."
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
            said = f"{_NO_GRADIENT}, of shape {shape}, but returns {came}"
            problems[layer] = f"{who} is incorrect: {said}."
            return
        word, several = "output" if layer == "loss" else "input", len(part.inputs) > 1
        titles = [f"{word} {k}" if several else word for k in range(1, len(part.inputs) + 1)]
        titles += [part.names[id(v)].removeprefix(f"{layer}/") for v, _ in part.weights]
        pairs = [*part.inputs, *part.weights]
        for k, (name, gradient) in enumerate(zip(titles, found, strict=True), -len(part.inputs)):
            if np.isnan(gradient).any():
                problems[layer] = (
                    f"{who} is incorrect: backward must write the gradient with respect to {name} "
                    f"into work.gradients[{k}] in place: work.gradients[{k}][...] = ..."
                )
        for name, (_, array), gradient in zip(titles, pairs, found, strict=True):
            check = self.compare(layer, name, array, gradient, part.rise, part.start)
            self.report.alone.append(check)
            if not check.ok:
                where = f"the gradient with respect to {name}[{', '.join(map(str, check.index))}]"
                differences = f"{number(check.difference)} according to finite differences"
                said = f"{where} is {number(check.backward)} according to backward"
                problems.setdefault(layer, f"{who} is incorrect: {said}, but {differences}.")

    def compare(
        self, layer: str, name: str, array: Array, gradient: Array, rise: Any, results: list[Any]
    ) -> GradientCheck:
        """Perturb elements of an array, and compare the change of a result with the gradient."""
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
        # At a kink, such as that of relu at 0, every slope between the one-sided slopes is correct.
        low, high = np.sort(slopes, axis=0)
        errors = np.maximum(np.maximum(low - found, found - high), 0)
        errors[~np.isfinite(found)] = np.inf
        scale = max(np.abs(slopes).max(initial=0), np.abs(found[np.isfinite(found)]).max(initial=0))
        # Rounding errors of the results are divided by the step size.
        noise = 100 * _EPS * max(float(np.abs(y).max(initial=1.0)) for y in results) / _H
        error, allowed = float(errors.max(initial=0)), self.tolerance * float(scale) + noise
        worst = int(np.argmax(errors)) if len(errors) else 0
        index = tuple(int(i) for i in np.unravel_index(chosen[worst], array.shape))
        values = float(found[worst]), float(slopes[:, worst].mean())
        counts = len(chosen), array.size
        return GradientCheck(layer, name, *counts, error, allowed, index, *values)
