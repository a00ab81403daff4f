"""Comparisons with the golden files: results of Keras that are recorded in `reference/golden`."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import reference
import tinynet
from tests import compare as comparing
from tests.compare import EPS, Arrays, Comparison, Step, StepBounds, bounds, compare, run_bounds
from tinynet import Variable, layers, optimizers

FOLDER = Path(reference.__file__).parent / "golden"
SIZES = (12, 7, 5, 3)
RECORD = (1, 10, 200)


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as archive:
        return dict(archive)


def report(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def numbered(named: dict[str, np.ndarray], prefix: str) -> Arrays:
    count = sum(name.removeprefix(prefix).isdigit() for name in named if name.startswith(prefix))
    return [named[f"{prefix}{i}"] for i in range(count)]


def small_net(weights: Arrays, optimizer: Any = "adam") -> tinynet.Sequential:
    first, *hidden, last = SIZES
    rows = [*(layers.Dense(n, "relu") for n in hidden), layers.Dense(last, "softmax")]
    model = tinynet.Sequential([layers.Input((first,)), *rows])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.set_weights(weights)
    return model


@functools.cache
def allowed() -> dict[int, StepBounds]:
    """Return the bounds of the recorded training steps."""
    g = golden("small_net")
    batches = [(g["x"][i % 8], g["y"][i % 8]) for i in range(max(RECORD))]
    return run_bounds(numbered(g, "weight"), batches, RECORD)


def small_net_steps(optimizer: Any = "adam") -> Iterator[Comparison]:
    """Repeat the training of the golden file; compare after 1, 10 and 200 steps."""
    g = golden("small_net")
    model = small_net(numbered(g, "weight"), optimizer)
    for number in range(1, max(RECORD) + 1):
        i = (number - 1) % len(g["x"])
        loss, _ = model.train_on_batch(g["x"][i], g["y"][i])
        if number in RECORD:
            expected = Step(
                float(g[f"step{number}_loss"]),
                numbered(g, f"step{number}_weight"),
                numbered(g, f"step{number}_state"),
            )
            actual = Step(loss, model.get_weights(), comparing.optimizer_state(model))
            yield from comparing.compare_step(actual, expected, number, allowed()[number])


def small_net_gradients() -> Iterator[Comparison]:
    """Compare the output, loss and gradients of a batch with and without sample weights."""
    g = golden("small_net")
    start, x, y = numbered(g, "weight"), g["x"][0], g["y"][0]
    model = small_net(start)
    yield compare(model(x), g["output"], bounds(start, x, y).output, "output")
    for prefix, weights in (("", None), ("weighted_", g["sample_weight"])):
        off = bounds(start, x, y, weights)
        loss, found, _ = comparing.gradients(model, x, y, weights)
        yield compare(loss, g[f"{prefix}loss"], off.loss, "loss")
        expected = numbered(g, f"{prefix}gradient")
        for i, (a, b, c) in enumerate(zip(found, expected, off.gradients, strict=True)):
            yield compare(a, b, c, f"gradient {i}")


def adam_steps(name: str, make: Any = optimizers.Adam) -> Iterator[Comparison]:
    """Compare 20 steps with gradients of 0, 1e-8, 1e-7, 1e-6, 1 and 1e3 elementwise."""
    g = golden("adam")
    options = report("provenance")["adams"][name]
    rate = options.get("learning_rate", 1e-3)
    variables = [Variable(value) for value in numbered(g, "start")]
    optimizer = make(**options)
    for t, step in enumerate(g["gradient"], 1):
        optimizer.apply(list(step), variables)
        state = [v.numpy() for v in optimizer.variables if v.name != "learning_rate"]
        for i, series in enumerate(numbered(g, f"{name}_state")):
            # Moment estimates, rounded 3 times per step in both programs; the smallest squares,
            # 1e-8 squared, are far above float32's smallest number.
            off = 6 * t * EPS * np.abs(series[t - 1])
            yield compare(state[i], series[t - 1], off, f"state {i}")
        for i, series in enumerate(numbered(g, f"{name}_value")):
            # Each step rounds w, whose absolute value stays below 2; the size of the step has up to
            # 8 rounding errors.
            off = t * (EPS + 8 * EPS * 4 * rate)
            yield compare(variables[i].numpy(), series[t - 1], off, f"value {i}")
    # Starting at 0, no precision is lost in the addition, so the relative error is a few rounding
    # errors.
    last = g[f"{name}_value0"][-1]
    yield compare(variables[0].numpy(), last, 64 * EPS * np.abs(last), "value 0, relative")


def saturated_softmax() -> Iterator[Comparison]:
    """Compare a softmax model row by row where probabilities are 0 and 1."""
    g = golden("losses")
    model = tinynet.Sequential([layers.Input((3,)), layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.set_weights([np.eye(3), np.zeros(3)])
    for i, (row, label) in enumerate(zip(g["logits"], g["logits_y"], strict=True)):
        loss, (_, d_logits), _ = comparing.gradients(model, row[None], label[None])
        expected = g["softmax_model_loss"][i]
        yield compare(loss, expected, max(4 * EPS * abs(expected), 2 * EPS), f"loss {i}")
        yield compare(d_logits, g["softmax_model_gradient"][i], 4 * EPS, f"row {i}")
        yield compare(model.evaluate(row[None], label[None], verbose=0), loss, 0, f"evaluate {i}")


CHECKS: dict[str, Callable[[], Iterable[Comparison]]] = {
    "small net, gradients": small_net_gradients,
    "small net, steps": small_net_steps,
    "saturated softmax": saturated_softmax,
    "adam": functools.partial(adam_steps, "default"),
    "other adam": functools.partial(adam_steps, "other"),
}
