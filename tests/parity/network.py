"""Training of the 784-128-10 network in both libraries, and in other variants of Keras.

Results are a dict of arrays by quantity; `QUANTITIES` lists their names.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import tinynet
from benchmarks.problem import load_digits, main_network
from tests import compare
from tests.compare import Arrays, Comparison, State, StepBounds, run_bounds
from tests.parity import mutants

Results = dict[str, np.ndarray]
ROOT = Path(__file__).parents[2]
BATCH, EPOCH = 32, 1875
RECORD = (1, 10, 200, EPOCH)
LAST_BOUND = 200  # later, the bound of a whole run is as large as a change of training itself
FIRST = 10  # steps with each mutant
BACKENDS = ("numba", "numpy")
TENSORS = ("kernel 1", "bias 1", "kernel 2", "bias 2")
BEFORE = ["output", "loss", *(f"gradient, {name}" for name in TENSORS)]
AFTER = [f"{kind}, {name}" for kind in ("weight", "Adam's m", "Adam's v") for name in TENSORS]
QUANTITIES = [*BEFORE, *AFTER]
#: Variants of Keras: backend and description.
VARIANTS = {
    "float64": ("tensorflow", "Keras in float64"),
    "XLA": ("tensorflow", "Keras compiled by XLA, its default"),
    "order": ("tensorflow", "Keras with permuted pixels, hidden units and examples"),
    "JAX": ("jax", "Keras on JAX"),
}


def digits() -> tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the name of the data, and images and labels for training and for testing."""
    name, ((x, y), (x_test, y_test)) = load_digits()
    scale = np.float32(255)
    return name, x / scale, y.astype(np.int64), x_test / scale, y_test.astype(np.int64)


def batch(x: np.ndarray, y: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mini-batch of a step, counted from 1."""
    rows = slice(BATCH * (number - 1), BATCH * number)
    return x[rows], y[rows]


def named(names: list[str], values: Any) -> Results:
    """Return arrays by name."""
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


class Ours:
    """The network in tinynet."""

    def __init__(self, start: Arrays, backend: str = "numba") -> None:
        self.backend = backend
        tinynet.config.set_backend(backend)
        self.model = main_network(tinynet)
        self.model.set_weights(start)
        self.model.optimizer.build(self.model.trainable_variables)

    def look(self, x: np.ndarray, y: np.ndarray) -> Results:
        """Compute output, loss and gradients of a batch."""
        tinynet.config.set_backend(self.backend)
        loss, gradients = self.model.loss_and_gradients(x, y)
        return named(BEFORE, [self.model.predict_on_batch(x), loss, *gradients])

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """Train on a batch."""
        tinynet.config.set_backend(self.backend)
        self.model.train_on_batch(x, y)

    def slots(self) -> list[Any]:
        """Return the variables of the optimizer except the learning rate."""
        return [v for v in self.model.optimizer.variables if v.name != "learning_rate"]

    def state(self) -> State:
        """Return copies of the weights and the moment estimates."""
        slots = [np.array(v) for v in self.slots()]
        return State(self.model.get_weights(), slots[1::2], slots[2::2])

    def set_state(self, state: State, number: int) -> None:
        """Continue from a state after `number` steps."""
        self.model.set_weights(state.weights)
        pairs = [a for pair in zip(state.first, state.second, strict=True) for a in pair]
        for variable, value in zip(self.slots(), [number, *pairs], strict=True):
            variable.assign(value)

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return the accuracy on test data."""
        tinynet.config.set_backend(self.backend)
        return float(self.model.evaluate(x, y, verbose=0)[1])


class Theirs(Ours):
    """The network in Keras, which must have been imported with the intended backend."""

    def __init__(self, keras: Any, start: Arrays | None = None, xla: bool = False) -> None:
        self.keras = keras
        self.model = main_network(keras)
        self.model.compile(
            "adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=xla
        )
        if start is not None:
            self.model.set_weights(start)
        self.model.optimizer.build(self.model.trainable_variables)

    def look(self, x: np.ndarray, y: np.ndarray) -> Results:
        """Compute output, loss and gradients of a batch."""
        loss = self.keras.losses.SparseCategoricalCrossentropy()
        if self.keras.backend.backend() == "jax":
            import jax

            def function(weights: Any) -> Any:
                output, _ = self.model.stateless_call(weights, [], x, training=True)
                return loss(y, output), output

            weights = [v.value for v in self.model.trainable_variables]
            (value, output), found = jax.value_and_grad(function, has_aux=True)(weights)
            return named(BEFORE, [output, value, *found])
        import tensorflow as tf

        variables = [v.value for v in self.model.trainable_variables]
        with tf.GradientTape() as tape:
            output = self.model(x, training=True)
            value = loss(y, output)
        return named(BEFORE, [output, value, *tape.gradient(value, variables)])

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """Train on a batch."""
        self.model.train_on_batch(x, y)

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return the accuracy on test data."""
        return float(self.model.evaluate(x, y, verbose=0)[1])

    def slots(self) -> list[Any]:
        """Return the variables of the optimizer except the learning rate."""
        found = [v for v in self.model.optimizer.variables if v.name != "learning_rate"]
        return [v.numpy() for v in found]


def recorded(state: State) -> Results:
    """Return the arrays of a state by name."""
    return named(AFTER, [array for arrays in state for array in arrays])


def train(net: Ours, x: np.ndarray, y: np.ndarray) -> dict[int, Results]:
    """Train for an epoch, and return the results of the steps in `RECORD`."""
    found = {}
    for number in range(1, EPOCH + 1):
        images, labels = batch(x, y, number)
        before = net.look(images, labels) if number in RECORD else {}
        net.step(images, labels)
        if number in RECORD:
            found[number] = {**before, **recorded(net.state())}
    return found


# ------------------------------------------------------------ comparison


def flat(allowed: StepBounds) -> dict[str, Any]:
    """Return the bounds of a step by quantity."""
    off, after = allowed
    return {
        **dict(zip(BEFORE, [off.output, off.loss, *off.gradients], strict=True)),
        **dict(zip(AFTER, [array for arrays in after for array in arrays], strict=True)),
    }


def compared(found: Results, expected: Results, off: dict[str, Any]) -> Iterator[Comparison]:
    """Compare the quantities that both have."""
    for name in found:
        yield compare.compare(found[name], expected[name], off[name], name)


def step_bounds(state: State, images: np.ndarray, labels: np.ndarray, number: int) -> StepBounds:
    """Return the bounds of a step that both libraries start from the same state."""
    before = State(*([a.astype(np.float64) for a in arrays] for arrays in state))
    off = compare.bounds(before.weights, images, labels)
    gradients = compare.exact(before.weights, images, labels).gradients
    return StepBounds(off, compare.adam_bounds(before, gradients, off.gradients, number))


def cell(comparison: Comparison) -> dict[str, float]:
    """Return the numbers of a comparison that the report contains; NaN counts as infinite."""
    numbers = {
        "difference": comparison.difference,
        "ulps": comparison.ulps,
        "relative": comparison.difference / (comparison.scale or 1),
        "bound": comparison.bound / compare.ulp(comparison.scale),
        "share": comparison.share,
    }
    return {name: np.inf if np.isnan(number) else number for name, number in numbers.items()}


class Single:
    """Comparison of single steps, each of which starts from the state of Keras."""

    def __init__(self, start: Arrays, backends: Sequence[str]) -> None:
        self.nets = {backend: Ours(start, backend) for backend in backends}
        #: By backend and quantity: the largest numbers over all steps.
        self.worst: dict[str, dict[str, dict[str, float]]] = {b: {} for b in backends}
        #: By step, backend and quantity.
        self.at: dict[str, dict[str, dict[str, dict[str, float]]]] = {}

    def check(
        self, images: Any, labels: Any, number: int, before: State, expected: Results
    ) -> None:
        """Repeat a step of Keras, and record the differences."""
        off = flat(step_bounds(before, images, labels, number))
        for backend, net in self.nets.items():
            net.set_state(before, number - 1)
            looked = net.look(images, labels)
            net.step(images, labels)
            for comparison in compared({**looked, **recorded(net.state())}, expected, off):
                name, numbers = comparison.what, cell(comparison)
                if number in RECORD:
                    self.at.setdefault(str(number), {}).setdefault(backend, {})[name] = numbers
                most = self.worst[backend].setdefault(name, numbers)
                self.worst[backend][name] = {k: max(most[k], numbers[k]) for k in most}


def measure(
    data: Any, steps: int, say: Callable[[str], None], background: Background | None = None
) -> dict[str, Any]:
    """Train both libraries for some steps, and compare them after each step and at the end."""
    from reference.keras_net import keras

    _, x, y, x_test, y_test = data
    keras.utils.set_random_seed(0)
    theirs = Theirs(keras)
    start = theirs.model.get_weights()
    if background:
        np.savez(background.folder / "start.npz", **named(list(TENSORS), start))
        for variant, (backend, _) in VARIANTS.items():
            call = f"network.run_variant({variant!r}, {str(background.folder)!r})"
            background.start(variant, backend, call)
    single, free = Single(start, BACKENDS), {b: Ours(start, b) for b in BACKENDS}
    states, expected = [theirs.state()], {}
    apart: dict[str, Any] = {}
    derived = [number for number in RECORD if number <= min(steps, LAST_BOUND)]
    say(f"Computing the bounds of {derived[-1]} steps")
    batches = (batch(x, y, number) for number in range(1, derived[-1] + 1))
    allowed = run_bounds(start, batches, derived)
    say(f"Training Keras and tinynet for {steps:,} steps")
    for number in range(1, steps + 1):
        images, labels = batch(x, y, number)
        before, looked = theirs.state(), theirs.look(images, labels)
        ours = {b: net.look(images, labels) for b, net in free.items() if number in RECORD}
        theirs.step(images, labels)
        after = theirs.state()
        values = {**looked, **recorded(after)}
        single.check(images, labels, number, before, values)
        for net in free.values():
            net.step(images, labels)
        if number <= FIRST:
            states.append(after)
        if number in RECORD:
            expected[number] = values
            off = flat(allowed[number]) if number in allowed else dict.fromkeys(QUANTITIES, np.inf)
            apart[str(number)] = {
                b: {
                    c.what: cell(c)
                    for c in compared({**ours[b], **recorded(net.state())}, values, off)
                }
                for b, net in free.items()
            }
    say(f"Training {len(mutants.MUTANTS)} mutants")
    wrong = {
        name: {
            "network": mutant_excess(changes, x, y, states),
            "checks": max(mutants.excess(changes, check) for check in checks),
        }
        for name, (changes, checks) in mutants.MUTANTS.items()
    }
    result = {
        "steps": steps,
        "single": {"at": single.at, "worst": single.worst},
        "free": apart,
        "mutants": wrong,
        "variants": {},
    }
    if background:
        say("Waiting for other variants of Keras")
        result["variants"] = {
            v: variant_differences(background.results(v), expected, v) for v in VARIANTS
        }
    if steps == EPOCH:
        nets = {"Keras": theirs, **free}
        result["accuracy"] = {name: net.accuracy(x_test, y_test) for name, net in nets.items()}
    return result


def mutant_excess(
    changes: dict[str, Any], x: np.ndarray, y: np.ndarray, states: list[State]
) -> float:
    """Return the largest difference of the first steps with a mutant, relative to its bound."""
    with mutants.applied(changes):
        net, largest = Ours(states[0].weights, "numpy"), 0.0
        for number, (before, after) in enumerate(itertools.pairwise(states), 1):
            images, labels = batch(x, y, number)
            net.set_state(before, number - 1)
            net.step(images, labels)
            off = flat(step_bounds(before, images, labels, number))
            shares = [
                cell(c)["share"] for c in compared(recorded(net.state()), recorded(after), off)
            ]
            largest = max(largest, *shares)
    return largest


# ------------------------------------------------------------ variants of Keras


def permutations() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an order of the pixels, of the hidden units and of the examples of a batch."""
    rng = np.random.default_rng(1)
    return rng.permutation(784), rng.permutation(128), rng.permutation(BATCH)


def permuted(name: str, array: np.ndarray) -> np.ndarray:
    """Apply the permutations to a quantity."""
    pixels, units, examples = permutations()
    if name == "output":
        return array[examples]
    if name.endswith("kernel 1"):
        return array[np.ix_(pixels, units)]
    return array[units] if name.endswith(("bias 1", "kernel 2")) else array


def run_variant(variant: str, folder: str) -> None:
    """Train a variant of Keras, and write the results to a file."""
    import keras

    assert keras.backend.backend() == VARIANTS[variant][0]
    given = dict(np.load(Path(folder, "start.npz")))
    start = [given[name] for name in TENSORS]
    _, x, y, x_test, y_test = digits()
    if variant == "float64":
        keras.config.set_floatx("float64")
        x, x_test = x.astype(np.float64), x_test.astype(np.float64)
    if variant == "order":
        pixels, _, examples = permutations()
        start = [permuted(name, a) for name, a in zip(TENSORS, start, strict=True)]
        rows = (np.arange(0, BATCH * EPOCH, BATCH)[:, None] + examples).ravel()
        x, x_test = (a.reshape(len(a), -1)[:, pixels].reshape(a.shape) for a in (x[rows], x_test))
        y = y[rows]
    net = Theirs(keras, start, xla=variant == "XLA")
    found = {f"{n}: {name}": a for n, each in train(net, x, y).items() for name, a in each.items()}
    found["accuracy"] = np.array(net.accuracy(x_test, y_test))
    np.savez(Path(folder, f"{variant}.npz"), **found)


def variant_differences(results: Any, expected: dict[int, Results], variant: str) -> Any:
    """Return the differences of a variant in ulps, or why it was skipped."""
    if isinstance(results, str):
        return {"skipped": results}
    ulps: dict[str, dict[str, float]] = {}
    for number, values in expected.items():
        here = ulps[str(number)] = {}
        for name, value in values.items():
            other = value if variant != "order" else permuted(name, value)
            here[name] = cell(compare.compare(results[f"{number}: {name}"], other, np.inf, name))[
                "ulps"
            ]
    return {"ulps": ulps, "accuracy": float(results["accuracy"])}


class Background:
    """Processes with other variants of Keras, one at a time, while this process trains."""

    def __init__(self, folder: str) -> None:
        self.folder, self.pool = Path(folder), ThreadPoolExecutor(1)
        self.jobs: dict[str, Future[str | None]] = {}
        self.process: subprocess.Popen[str] | None = None

    def start(self, name: str, backend: str, call: str) -> None:
        """Schedule a call of a function of this package, which writes a file with this name."""
        # Keras is imported first, because the package `reference` selects TensorFlow.
        program = f"import keras; from tests.parity import cases, network; {call}"
        environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}

        def run() -> str | None:
            command = [sys.executable, "-c", program]
            options: dict[str, Any] = {"env": environment, "cwd": ROOT, "text": True}
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            self.process = subprocess.Popen(command, **pipes, **options)
            _, errors = self.process.communicate()
            return errors.strip().splitlines()[-1] if self.process.returncode else None

        self.jobs[name] = self.pool.submit(run)

    def close(self) -> None:
        """Cancel the calls that have not started, and terminate the process."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        if self.process:
            self.process.kill()

    def results(self, name: str) -> Any:
        """Wait for a process; return its arrays by name, or the reason for its failure."""
        if why := self.jobs[name].result():
            return why
        with np.load(self.folder / f"{name}.npz") as archive:
            return dict(archive)
