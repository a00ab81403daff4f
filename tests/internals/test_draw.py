"""Kernels that draw random numbers give NumPy's; those that copy and look up rows, NumPy's rows."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tinynet._core.buffers import address_of
from tinynet.kernels import random_numbers

LENGTHS = [*range(71), 4095, 4096, 4097, 100_003]
WIDTHS = [0, 1, 15, 16, 17, 70]


def run(kernel: Any, parts: int = 1, **words: Any) -> None:
    """Call all parts; an array stands for its address."""
    row = kernel.row(**{k: v if isinstance(v, int) else v.ctypes.data for k, v in words.items()})
    for part in range(parts):
        kernel(row, part, parts)


def drawn(generator: np.random.Generator, n: int, per: int = 1, parts: int = 1) -> np.ndarray:
    """Draw with the kernel; what follows in memory must stay as it is."""
    out = np.full(n * per + 9, -1, np.float32)
    state = random_numbers.state_address(generator)
    assert state is not None
    words = {"count": np.array([n]), "numbers": per, "state": state, "out": out[1:]}
    run(random_numbers.draw_uniform, parts, **words)
    assert out[0] == -1
    assert (out[n * per + 1 :] == -1).all()
    return out[1 : n * per + 1]


def generators(seed: Any = 3) -> tuple[np.random.Generator, np.random.Generator]:
    first, second = (np.random.Generator(np.random.PCG64(seed)) for _ in range(2))
    return first, second


@pytest.mark.parametrize("kept", [0, 1])
def test_draw_uniform_equals_numpy(kept: int) -> None:
    """Numbers and the state afterwards, from both halves of a word."""
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
    """Only the first part draws."""
    ours, numpys = generators()
    assert drawn(ours, 5, 7, parts=3).tobytes() == numpys.random(35, np.float32).tobytes()


def test_state_address_refuses_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64):
        assert random_numbers.state_address(np.random.Generator(kind(0))) is None
    generator = np.random.Generator(np.random.PCG64(0))
    assert random_numbers.state_address(generator) is not None
    monkeypatch.setattr(random_numbers, "_words", lambda address, n: [0] * n)
    assert random_numbers.state_address(generator) is None


# Views of an array of shape (N, 3, 5, 4) that begins with an element of something else.
VIEWS: dict[str, Any] = {
    "all": lambda x: x,
    "a slice": lambda x: x[:, 1:, :, 2:],
    "a column": lambda x: x[:, :, 2:3, :1],
    "every second": lambda x: x[:, :, ::2, ::3],
    "reversed": lambda x: x[:, ::-1, :, ::-1],
    "transposed": lambda x: x.transpose(0, 3, 1, 2),
    "nothing": lambda x: x[:, :0],
}


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("name", VIEWS)
def test_copy_elements(name: str, parts: int, rng: np.random.Generator) -> None:
    """From a view to a contiguous array, and back."""

    def copy(source: Any, out: Any, here: Any, there: Any) -> None:
        words = {f"size_{k}": view.shape[k] for k in (1, 2, 3)}
        words |= {f"x_{k}": place for k, place in here.items()}
        words |= {f"y_{k}": place for k, place in there.items()}
        count = np.array([n])
        run(random_numbers.copy_elements, parts, source=source, out=out, count=count, **words)

    for n in (1, 2, 7):
        x = rng.standard_normal((n, 3, 5, 4)).astype(np.float32)
        x[0, 1, 2, 2] = np.nan
        view = VIEWS[name](x)
        dense, back = (np.full(shape, -1, np.float32) for shape in (view.shape, x.shape))
        in_view = {"first": (address_of(view) - address_of(x)) // 4}
        in_view |= {str(k): stride // 4 for k, stride in enumerate(view.strides)}
        in_dense = {"first": 0, **{str(k): stride // 4 for k, stride in enumerate(dense.strides)}}
        copy(x, dense, in_view, in_dense)
        assert dense.tobytes() == view.tobytes()
        expected = back.copy()
        VIEWS[name](expected)[...] = view
        copy(dense, back, in_dense, in_view)
        assert back.tobytes() == expected.tobytes()


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
@pytest.mark.parametrize("width", WIDTHS)
def test_look_up(width: int, dtype: str, parts: int, rng: np.random.Generator) -> None:
    table = rng.standard_normal((11, width)).astype(np.float32)
    indices = rng.integers(0, 11, (9, 4)).astype(dtype)
    out, step = np.full((36, width), -1, np.float32), np.zeros(4, np.int64)
    words = {"count": np.array([9]), "per": 4, "indices": indices, "size_of": indices.itemsize}
    if dtype == "float32":
        indices += 0.75  # the fraction does not count
        words["size_of"], table[0] = 0, np.nan
    shape = {"size": 11, "width": width}
    run(random_numbers.look_up, parts, **words, **shape, table=table, out=out, step=step, stops=2)
    indices = indices.astype(int)
    assert out.tobytes() == table[indices].tobytes()
    assert step.tolist() == [0, 0, 0, 0]

    d_table, expected = np.full((11, width), -1, np.float32), np.zeros((11, width), np.float32)
    np.add.at(expected, indices.reshape(-1), out)
    words["indices"], words["size_of"] = indices, 8
    run(random_numbers.look_up_backward, parts, **words, **shape, d_y=out, out=d_table)
    assert d_table.tobytes() == expected.tobytes()


WRONG: list[float] = [-1, 3, 2**40, -(2**63), np.nan, np.inf, -np.inf, -1.0, 3.0, 1e20]


@pytest.mark.parametrize("index", WRONG)
def test_look_up_out_of_range(index: float) -> None:
    is_float = isinstance(index, float)
    dtype: Any = np.float32 if is_float else np.int64
    table, indices = np.ones((3, 2), np.float32), np.array([1, index, 2], dtype)
    out, step = np.full((3, 2), -1, np.float32), np.zeros(4, np.int64)
    words = {"count": np.array([3]), "per": 1, "indices": indices, "size": 3, "width": 2}
    words["size_of"] = 0 if is_float else 8
    run(random_numbers.look_up, **words, table=table, out=out, step=step, stops=2)
    assert step.tolist() == [0, 0, 0, 2]
    assert out.tolist() == [[1, 1], [0, 0], [1, 1]]
    run(random_numbers.look_up_backward, **words, d_y=out, out=table)
    assert table.tolist() == [[0, 0], [1, 1], [1, 1]]


SETTINGS = {
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi2,-avx512f"},
    "plain Python": {"NUMBA_DISABLE_JIT": "1"},
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=[*SETTINGS])
def test_draw_of_other_processors(settings: dict[str, str]) -> None:
    """The same tests, compiled for AVX2 or not at all."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    command += ["-m", "not slow", "--no-header"]
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
