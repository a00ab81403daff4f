"""The random number kernel draws the same numbers as NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.internals import assert_tests_pass, call, on_other_processors
from tinynet.kernels import random_numbers

LENGTHS = [*range(71), 4095, 4096, 4097, 100_003]


def drawn(generator: np.random.Generator, n: int, per: int = 1, parts: int = 1) -> np.ndarray:
    """Draw with the kernel and assert that memory after the output is unchanged."""
    out = np.full(n * per + 9, -1, np.float32)
    state = random_numbers.state_address(generator)
    assert state is not None
    words = {"count": np.array([n]), "numbers": per, "state": state, "out": out[1:]}
    call(random_numbers.draw_uniform, parts, **words)
    assert out[0] == -1
    assert (out[n * per + 1 :] == -1).all()
    return out[1 : n * per + 1]


def generators(seed: Any = 3) -> tuple[np.random.Generator, np.random.Generator]:
    first, second = (np.random.Generator(np.random.PCG64(seed)) for _ in range(2))
    return first, second


@pytest.mark.parametrize("kept", [0, 1])
def test_draw_uniform_equals_numpy(kept: int) -> None:
    """Compare numbers and final states, starting with either half of a 64-bit number."""
    ours, numpys = generators()
    for n in LENGTHS:
        for generator in (ours, numpys):
            if generator.bit_generator.state["has_uint32"] != kept:
                generator.random(dtype=np.float32)
        found, expected = drawn(ours, n), numpys.random(n, np.float32)
        assert found.tobytes() == expected.tobytes(), n
        assert ours.bit_generator.state == numpys.bit_generator.state, n


def test_draw_uniform_mixes_with_other_draws(rng: np.random.Generator) -> None:
    ours, numpys = generators([1, 2**100])
    others = [
        lambda g: g.random(3),
        lambda g: g.random(5, np.float32),
        lambda g: g.standard_normal(4, np.float32),
        lambda g: g.permutation(7),
        lambda g: g.integers(0, 100, 3, np.uint8),
        lambda g: g.bit_generator.advance(2**70 + 5).random_raw(),
        lambda g: g.bit_generator.random_raw(),
    ]
    for _ in range(300):
        n = int(rng.integers(0, 40))
        assert drawn(ours, n).tobytes() == numpys.random(n, np.float32).tobytes()
        other = others[rng.integers(len(others))]
        assert str(other(ours)) == str(other(numpys))
        assert ours.bit_generator.state == numpys.bit_generator.state


@pytest.mark.parametrize("make", ["spawned", "jumped", "restored"])
def test_draw_uniform_of_derived_generators(make: str) -> None:
    def derived(generator: np.random.Generator) -> np.random.Generator:
        if make == "spawned":
            return generator.spawn(2)[1]
        if make == "jumped":
            return np.random.Generator(generator.bit_generator.jumped(3))
        other = np.random.Generator(np.random.PCG64())
        largest = {"state": 2**128 - 1, "inc": 2**128 - 1}
        other.bit_generator.state = {**other.bit_generator.state, "state": largest}
        return other

    ours, numpys = map(derived, generators())
    assert drawn(ours, 1000).tobytes() == numpys.random(1000, np.float32).tobytes()


def test_draw_uniform_by_count_and_parts() -> None:
    """Only the first part draws numbers."""
    ours, numpys = generators()
    assert drawn(ours, 5, 7, parts=3).tobytes() == numpys.random(35, np.float32).tobytes()


def test_state_address_requires_pcg64(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64):
        assert random_numbers.state_address(np.random.Generator(kind(0))) is None
    generator = np.random.Generator(np.random.PCG64(0))
    assert random_numbers.state_address(generator) is not None
    monkeypatch.setattr(random_numbers, "_words", lambda address, n: [0] * n)
    assert random_numbers.state_address(generator) is None


@pytest.mark.slow
@on_other_processors
def test_draw_on_other_processors(settings: dict[str, str]) -> None:
    assert_tests_pass(__file__, **settings)
