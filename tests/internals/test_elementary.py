"""Elementary functions of the kernels: error bounds, and the same formulas in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import elementary as measured
from tinynet.kernels import elementary
from tinynet.kernels.numba_functions import COMPILES

if not COMPILES:
    pytest.skip("NumPy's functions are used instead", allow_module_level=True)

FUNCTIONS = ["exp", "expm1", "log", "log1p", "tanh"]
#: Arguments where the formula changes, or the result becomes denormal, infinite or constant.
EDGES = [0, 1, 2.0**-126, 2.0**-149, 2.0**127, np.inf, np.nan, 88.72283, 103.97, 87.33, 87, 105]
EDGES += [0.5**0.5, 2**0.5, 1.0, 10, 0.34657359, 1.03972077, 3e-8, 1e-5, 11, 89, 0.5, 9.2]


def near_edges() -> Any:
    """Return the edges, their neighbors and their negatives."""
    words = np.array(EDGES, np.float32).view(np.uint32)[:, None] + np.arange(-64, 65)
    x = words.astype(np.uint32).reshape(-1).view(np.float32)
    return np.concatenate([x, -x])


@pytest.mark.parametrize("name", [*FUNCTIONS, "erf", "erfc"])
def test_elementary_function_errors_at_edges(name: str) -> None:
    x = near_edges()
    with np.errstate(all="ignore"):
        exact = measured.EXACT[name](x.astype(np.float64))
        error = measured.errors(measured.compute(name, x), exact)
    assert error.max() <= 1, (x[error.argmax()], error.max())


@pytest.mark.parametrize(
    ("name", "step"),
    [
        *((name, 4999) for name in FUNCTIONS),
        *((name, 49999) for name in ("erf", "erfc")),
        *(pytest.param(name, 97, marks=pytest.mark.slow) for name in FUNCTIONS),
    ],
)
def test_elementary_function_errors(name: str, step: int) -> None:
    worst, x = measured.largest_error(name, step=step)
    assert worst <= 1, x


@pytest.mark.parametrize("name", [*FUNCTIONS, "erf", "erfc"])
def test_numpy_implementation_errors(name: str) -> None:
    """NumPy uses the formulas of the kernels; the last bit may differ due to double rounding."""
    x = np.concatenate([near_edges(), np.linspace(-20, 20, 9999, dtype=np.float32)])
    with np.errstate(all="ignore"):
        found = getattr(elementary, name)(x)
        exact = measured.EXACT[name](x.astype(np.float64))
    assert found.dtype == np.float32
    assert measured.errors(found, exact).max() <= 1
    compiled = measured.compute(name, x)
    off = np.abs(found.view(np.int32) - compiled.view(np.int32)) > 1
    assert not (off & ~np.isnan(found)).any()


def test_power_of_arrays() -> None:
    a, b = (x.reshape(-1) for x in np.meshgrid(near_edges()[::29], near_edges()[::29]))
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    with np.errstate(all="ignore"):
        found, exact = elementary.power(a, b), np.power(a.astype(np.float64), b.astype(np.float64))
    assert measured.errors(found, exact).max() <= 1
    assert measured.errors(measured.compute("power", a, b), exact).max() <= 1
    assert measured.largest_error_of_power(measured.CHUNK)[0] <= 1
