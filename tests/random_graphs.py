"""Random graphs: branches, merges, shared layers, operations, several inputs and outputs.

A graph is drawn from a seed while it is built, with the same choices for Keras and tinynet. Both
train it in float64 from the same weights, so that results differ by float64 rounding errors only.

``python -m tests.random_graphs --programs 300`` compares many graphs, prints failing seeds,
and adds the result to ``tests/fuzzing.json``.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import tinynet
from tests import random_programs
from tests.random_programs import DifferenceError, assert_close, floatx, main, perturbed

ROWS = 12
MERGES = {
    **{name: {} for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")},
    **{"Concatenate": {}, "Dot": {"axes": 1}},
}
# Keras computes with the float32 numbers sqrt(2) and 0.2.
ACTIVATIONS = [a for a in random_programs.ACTIVATIONS if a not in ("gelu", "leaky_relu")]
LOSSES = [
    *("mse", "mae", "huber", "log_cosh", "categorical_crossentropy", "binary_crossentropy"),
    *("kl_divergence", "poisson", "cosine_similarity", "squared_hinge", "categorical_hinge"),
    *("msle", "mape", "binary_focal_crossentropy", "categorical_focal_crossentropy"),
]
ENDS = {
    **dict.fromkeys(("categorical_crossentropy", "categorical_focal_crossentropy"), "softmax"),
    **dict.fromkeys(("binary_crossentropy", "binary_focal_crossentropy"), "sigmoid"),
    **{"kl_divergence": "softmax", "poisson": "softplus"},
}
# With learning rates that float32 represents exactly, and without powers, which tinynet rounds to
# float32.
OPTIMIZERS = [
    ("SGD", {"learning_rate": 2**-4, "momentum": 0.5}),
    ("SGD", {"learning_rate": 2**-4, "momentum": 0.5, "nesterov": True, "clipnorm": 1.0}),
    ("SGD", {"learning_rate": 2**-4, "weight_decay": 2**-3, "global_clipnorm": 1.0}),
    ("RMSprop", {"learning_rate": 2**-6, "epsilon": 2**-10}),
    ("RMSprop", {"learning_rate": 2**-6, "epsilon": 2**-10, "momentum": 0.5, "clipvalue": 0.5}),
    ("Adagrad", {"learning_rate": 2**-4, "epsilon": 2**-10, "initial_accumulator_value": 2**-3}),
    ("Adadelta", {"learning_rate": 2**-1, "epsilon": 2**-10, "rho": 0.5}),
    ("Ftrl", {"learning_rate": 2**-4, "initial_accumulator_value": 2**-3, "beta": 0.5}),
]


class Graph:
    """A random graph in one of the libraries: model, data and training options."""

    def __init__(self, k: Any, seed: int) -> None:
        self.k, self.rng = k, np.random.default_rng(seed)
        self.layers: list[tuple[Any, int, int]] = []  # layers that may be shared: layer, widths
        self.norms: dict[int, Any] = {}
        widths = self.rng.integers(2, 5, self.rng.integers(1, 4))
        inputs = [k.Input((int(n),), name=f"in_{i}") for i, n in enumerate(widths)]
        self.tensors: list[Any] = [self.dense(x) for x in inputs]
        self.unused = [*self.tensors]
        for _ in range(self.rng.integers(4, 10)):
            self.tensors.append(self.step())
            self.unused.append(self.tensors[-1])
        count = self.rng.integers(1, 4)
        chosen = [self.pick() for _ in range(count)]
        if len(self.unused) > 1:
            chosen[0] = k.layers.Concatenate()([*self.unused])
        elif self.unused:
            chosen[0] = self.unused[0]
        self.losses = [str(self.rng.choice(LOSSES)) for _ in chosen]
        outputs = [
            k.layers.Dense(3, ENDS.get(loss), name=f"out_{i}")(x)
            for i, (x, loss) in enumerate(zip(chosen, self.losses, strict=True))
        ]
        self.model = k.Model(inputs, outputs)
        self.x = [self.rng.standard_normal((ROWS, n)) for n in widths]
        self.y = [self.rng.random((ROWS, 3)) for _ in outputs]
        self.y = [y / y.sum(1, keepdims=True) for y in self.y]
        self.factors = [float(f) for f in self.rng.uniform(0.3, 1.5, count)]
        self.optimizer = OPTIMIZERS[self.rng.integers(len(OPTIMIZERS))]
        self.start = [0.5 * self.rng.standard_normal(w.shape) for w in self.model.weights]
        for weight, start in zip(self.model.weights, self.start, strict=True):
            start[:] = abs(start) + 0.5 if weight.name == "moving_variance" else start

    def pick(self) -> Any:
        """Return a random existing tensor, and mark it as used."""
        tensor = self.tensors[self.rng.integers(len(self.tensors))]
        self.unused = [t for t in self.unused if t is not tensor]
        return tensor

    def dense(self, x: Any, units: int | None = None) -> Any:
        """Apply a new dense layer or an existing one."""
        width = int(x.shape[-1])
        known = [layer for layer, size, n in self.layers if size == width and units in (None, n)]
        if known and self.rng.random() < 0.5:
            return known[self.rng.integers(len(known))](x)
        units = int(self.rng.integers(2, 5)) if units is None else units
        layer = self.k.layers.Dense(units, str(self.rng.choice(ACTIVATIONS)))
        self.layers.append((layer, width, units))
        return layer(x)

    def normalized(self, x: Any) -> Any:
        """Apply the batch normalization layer for the width of `x`."""
        width = int(x.shape[-1])
        norm = self.norms.setdefault(width, self.k.layers.BatchNormalization(momentum=0.5))
        return norm(x)

    def step(self) -> Any:
        """Apply a layer or operations to one or two existing tensors."""
        ops, x = self.k.ops, self.pick()
        width = int(x.shape[-1])
        kind = self.rng.integers(16)
        if kind < 3:
            return self.dense(x)
        if kind < 6:
            y = self.pick()
            y = y if y.shape[-1] == width else self.dense(y, width)
            name = str(self.rng.choice([*MERGES]))
            return getattr(self.k.layers, name)(**MERGES[name])([x, y])
        if kind == 6:
            y = self.pick()
            pairs = ops.einsum("bi,bj->bij", x[:, :3], y[:, :3])
            return self.dense(ops.reshape(pairs, (-1, min(width, 3) * min(int(y.shape[-1]), 3))))
        if kind == 7:
            names = ("LayerNormalization", "UnitNormalization", "PReLU", "ELU", "Softmax")
            return getattr(self.k.layers, str(self.rng.choice(names)))()(x)
        if kind > 13:
            return self.normalized(x)
        return (
            lambda: x * 0.5 + ops.tanh(x),
            lambda: ops.exp(-ops.square(x)),
            lambda: ops.concatenate([x[:, 1:], ops.mean(x, axis=-1, keepdims=True)], axis=-1),
            lambda: ops.where(x > 0.1, x, ops.sin(x)),
            lambda: ops.softmax(x) - ops.max(x, axis=-1, keepdims=True),
            lambda: ops.flip(x, axis=-1) / (1.0 + ops.abs(x)),
        )[kind - 8]()

    def run(self, start: Any) -> dict[str, Any]:
        """Train from given weights; return the results to compare."""
        k = self.k
        self.model.set_weights(start)
        several = len(self.losses) > 1
        self.model.compile(
            getattr(k.optimizers, self.optimizer[0])(**self.optimizer[1]),
            self.losses if several else self.losses[0],
            loss_weights=self.factors if several else None,
            run_eagerly=k is not tinynet,
        )
        y = self.y if several else self.y[0]
        x = self.x if len(self.x) > 1 else self.x[0]
        fit = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
        history = self.model.fit(x, y, **fit).history
        outputs = self.model.predict(x, verbose=0)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return {**history, "outputs": outputs, "weights": self.model.get_weights()}


def assert_same(found: dict[str, Any], expected: dict[str, Any], seed: int) -> None:
    """Assert that weights and outputs agree to within 1e-9.

    A training step changes them by about 1e-2. Losses are compared to within 1e-6, because Keras
    accumulates them in float32.
    """
    assert [*found] == [*expected], f"seed {seed}: {[*found]}"
    for name, values in expected.items():
        for i, (a, b) in enumerate(zip(found[name], values, strict=True)):
            room = 1e-6 if name.endswith("loss") else 1e-9
            assert_close(a, b, room, f"seed {seed}: {name} {i}")


def is_chaotic(seed: int, start: list[Any], found: dict[str, Any]) -> bool:
    """Return whether a relative change of the weights by 1e-13 changes results by 1e-9."""
    for size in (1e-13, -1e-13):
        try:
            assert_same(Graph(tinynet, seed).run(perturbed(start, size, seed)), found, seed)
        except DifferenceError:
            return True
    return False


def check(seed: int) -> str | None:
    """Compare one graph; return a word if the results cannot be compared."""
    from reference.keras_net import keras

    with warnings.catch_warnings(), floatx((keras, tinynet), "float64"):
        warnings.simplefilter("ignore")
        theirs, ours = Graph(keras, seed), Graph(tinynet, seed)
        shapes = [[tuple(w.shape) for w in graph.model.weights] for graph in (ours, theirs)]
        assert shapes[0] == shapes[1], f"seed {seed}: {shapes}"
        expected = theirs.run(theirs.start)
        try:
            found = ours.run(theirs.start)
        except FloatingPointError:
            values = [*expected["weights"], *expected["outputs"]]
            assert not all(np.isfinite(v).all() for v in values), f"seed {seed}"
            return "diverged"
        try:
            assert_same(found, expected, seed)
        except DifferenceError:
            if not is_chaotic(seed, theirs.start, found):
                raise
            return "chaotic"
    return None


if __name__ == "__main__":
    raise SystemExit(main({"graphs": check}))
