"""Table of the performance targets of the suite ``nets``.

A target is the minimum time of a peer, relative to the time of tinynet on the same number of cores.
"""

from __future__ import annotations

Targets = dict[str, float]  # minimum ratio for each peer

_MAIN = ("main", "logits", "one-hot labels")
_VARIANTS = ("dropout", "tanh", "AdamW", "SGD", "L2", "256-128-64")
_WIDE = ("512, RMSprop", "batch normalization", "standardized")
_HEAVY = ("512-512, RMSprop, dropout", "autoencoder")
_SMALL = (
    "8-64-64-1, mse", "30-16-8-1, binary", "784-30-10, sigmoid, mse, SGD",
    "4-32-16-4, tanh, full batch",
)  # fmt: skip
_SLOWER_THAN_ONE_CORE: Targets = {"tinynet-1": 1.0}

#: Networks, and their targets on one core and on two cores.
ROWS: tuple[tuple[tuple[str, ...], Targets, Targets], ...] = (
    (_MAIN, {"jax": 3, "torch": 8}, {"jax": 3, "torch": 8}),
    (_VARIANTS, {"jax": 2.5, "torch": 6}, {"jax": 2, "torch": 5}),
    (_WIDE, {"jax": 1.7, "torch": 4}, {"jax": 1.5, "torch": 4}),
    (_HEAVY, {"jax": 1.3, "torch": 2.5}, {"jax": 1.2, "torch": 2}),
    (_SMALL, {"jax": 2.5, "torch": 10}, _SLOWER_THAN_ONE_CORE),
)
#: Targets for prediction and evaluation, by measurement.
CALLS: dict[str, tuple[Targets, Targets]] = {
    "predict, all test images": ({"torch": 2}, {"torch": 1.5}),
    "evaluate, all test images": ({"torch": 2}, {"torch": 1.5}),
    "predict, 1 image": ({"torch": 1 / 0.6}, {}),
    "model(x), 1 image": ({"torch": 1 / 0.6}, {}),
}
#: Targets without AVX-512.
AVX2: Targets = {"jax": 1, "torch": 1}
AVX2_MAIN: Targets = {"jax": 2.5, "torch": 1}
#: Targets for the grid: minimum and median lead over the faster peer, by number of cores.
GRID = {1: (1.0, 1.4), 2: (1.0, 1.6)}


def targets(network: str, measure: str, cores: int, avx2: bool = False) -> Targets:
    """Return the targets for a network and a measurement."""
    if measure != "epoch":
        return {} if avx2 else CALLS.get(measure, ({}, {}))[cores - 1]
    if avx2:
        return AVX2_MAIN if network == "main" and cores == 1 else AVX2
    for networks, *by_cores in ROWS:
        if network in networks:
            return by_cores[cores - 1]
    return {}
