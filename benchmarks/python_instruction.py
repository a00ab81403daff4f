"""What a layer that Python runs costs in a step: ``python -m benchmarks.python_instruction``.

The same network is trained with and without a layer that has its own `forward` and `backward`. The
time of these two methods is subtracted; what is left is what calling them costs.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import tinynet

STEPS, ROUNDS = 200, 15


class Double(tinynet.layers.Layer):
    """Multiplies by 2, and measures itself."""

    seconds = 0.0

    def forward(self, x: Any, work: Any, training: bool = False) -> Any:
        """Compute the output."""
        start = time.perf_counter()
        y = x * 2
        Double.seconds += time.perf_counter() - start
        return y

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        """Compute the gradient."""
        start = time.perf_counter()
        d_x = d_y * 2
        Double.seconds += time.perf_counter() - start
        return d_x


def network(*between: tinynet.layers.Layer) -> tinynet.Sequential:
    """Build a network that is trained step by step."""
    layers = tinynet.layers
    model = tinynet.Sequential(
        [
            tinynet.Input((32,)),
            layers.Dense(64, "tanh"),
            *between,
            layers.Dense(10, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def main() -> None:
    """Measure both in turns, and print the shortest times of a step."""
    tinynet.config.set_num_threads(1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32 * STEPS, 32)).astype(np.float32)
    y = rng.integers(0, 10, 32 * STEPS)
    models = {"without": network(), "with": network(Double())}
    best = dict.fromkeys(models, np.inf)
    own = np.inf
    for _ in range(ROUNDS):
        for name, model in models.items():
            Double.seconds = 0.0
            start = time.process_time()
            model.fit(x, y, verbose=0)
            best[name] = min(best[name], (time.process_time() - start) / STEPS)
            if name == "with":
                own = min(own, Double.seconds / STEPS)
    for name, seconds in best.items():
        print(f"{name:8} {seconds * 1e6:6.1f} us per step")
    print(f"its own  {own * 1e6:6.1f} us")
    print(f"the rest {(best['with'] - best['without'] - own) * 1e6:6.1f} us")


if __name__ == "__main__":
    main()
