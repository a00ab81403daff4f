"""What tinynet must reach in the suite ``nets``: one table.

A target is a ratio: the time of a peer divided by tinynet's, on equally many cores.
"""

from __future__ import annotations

Targets = dict[str, float]  # the least ratio to each peer

_MAIN = ("main", "logits", "one-hot labels")
_VARIANTS = ("dropout", "tanh", "AdamW", "SGD", "L2", "256-128-64")
_WIDE = ("512, RMSprop", "batch normalization", "standardized")
_HEAVY = ("512-512, RMSprop, dropout", "autoencoder")
_SMALL = (
    "8-64-64-1, mse", "30-16-8-1, binary", "784-30-10, sigmoid, mse, SGD",
    "4-32-16-4, tanh, full batch",
)  # fmt: skip
_SLOWER_THAN_ONE_CORE: Targets = {"tinynet-1": 1.0}

#: The networks of a row, and the targets on one core and on two.
ROWS: tuple[tuple[tuple[str, ...], Targets, Targets], ...] = (
    (_MAIN, {"jax": 3, "torch": 8}, {"jax": 3, "torch": 8}),
    (_VARIANTS, {"jax": 2.5, "torch": 6}, {"jax": 2, "torch": 5}),
    (_WIDE, {"jax": 1.7, "torch": 4}, {"jax": 1.5, "torch": 4}),
    (_HEAVY, {"jax": 1.3, "torch": 2.5}, {"jax": 1.2, "torch": 2}),
    (_SMALL, {"jax": 2.5, "torch": 10}, _SLOWER_THAN_ONE_CORE),
)
#: What is not trained, by measure.
CALLS: dict[str, tuple[Targets, Targets]] = {
    "predict, all test images": ({"torch": 2}, {"torch": 1.5}),
    "evaluate, all test images": ({"torch": 2}, {"torch": 1.5}),
    "predict, 1 image": ({"torch": 1 / 0.6}, {}),
    "model(x), 1 image": ({"torch": 1 / 0.6}, {}),
}
#: Where every contender is kept from AVX-512: never slower, and more of the main network.
AVX2: Targets = {"jax": 1, "torch": 1}
AVX2_MAIN: Targets = {"jax": 2.5, "torch": 1}
#: The grid: the least and the median lead over the faster peer, on one core and on two.
GRID = {1: (1.0, 1.4), 2: (1.0, 1.6)}


def targets(network: str, measure: str, cores: int, avx2: bool = False) -> Targets:
    """Return the least ratios that a network, or a call of it, must reach."""
    if measure != "epoch":
        return {} if avx2 else CALLS.get(measure, ({}, {}))[cores - 1]
    if avx2:
        return AVX2_MAIN if network == "main" and cores == 1 else AVX2
    for networks, *by_cores in ROWS:
        if network in networks:
            return by_cores[cores - 1]
    return {}
