"""Kernels that copy elements and gather rows match NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.internals import assert_tests_pass, call, on_other_processors
from tinynet._core.buffers import address_of
from tinynet.kernels import moving_elements

WIDTHS = [0, 1, 15, 16, 17, 70]
# Views of an array of shape (N, 3, 5, 4) with an unrelated element before it.
VIEWS: dict[str, Any] = {
    "all": lambda x: x,
    "a slice": lambda x: x[:, 1:, :, 2:],
    "a column": lambda x: x[:, :, 2:3, :1],
    "strided": lambda x: x[:, :, ::2, ::3],
    "reversed": lambda x: x[:, ::-1, :, ::-1],
    "transposed": lambda x: x.transpose(0, 3, 1, 2),
    "nothing": lambda x: x[:, :0],
}


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("name", VIEWS)
def test_copy_elements(name: str, parts: int, rng: np.random.Generator) -> None:
    """Copy from a view to a contiguous array, and back."""

    def copy(source: Any, out: Any, here: Any, there: Any) -> None:
        words = {f"size_{k}": view.shape[k] for k in (1, 2, 3)}
        words |= {f"x_{k}": place for k, place in here.items()}
        words |= {f"y_{k}": place for k, place in there.items()}
        count = np.array([n])
        call(moving_elements.copy_elements, parts, source=source, out=out, count=count, **words)

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
def test_row_lookup(width: int, dtype: str, parts: int, rng: np.random.Generator) -> None:
    table = rng.standard_normal((11, width)).astype(np.float32)
    indices = rng.integers(0, 11, (9, 4)).astype(dtype)
    out, step = np.full((36, width), -1, np.float32), np.zeros(4, np.int64)
    words = {"count": np.array([9]), "per": 4, "indices": indices, "size_of": indices.itemsize}
    if dtype == "float32":
        indices += 0.75  # the fraction is ignored
        words["size_of"], table[0] = 0, np.nan
    shape = {"size": 11, "width": width}
    call(moving_elements.look_up, parts, **words, **shape, table=table, out=out, step=step, stops=2)
    indices = indices.astype(int)
    assert out.tobytes() == table[indices].tobytes()
    assert step.tolist() == [0, 0, 0, 0]

    d_table, expected = np.full((11, width), -1, np.float32), np.zeros((11, width), np.float32)
    np.add.at(expected, indices.reshape(-1), out)
    words["indices"], words["size_of"] = indices, 8
    call(moving_elements.look_up_backward, parts, **words, **shape, d_y=out, out=d_table)
    assert d_table.tobytes() == expected.tobytes()


WRONG: list[float] = [-1, 3, 2**40, -(2**63), np.nan, np.inf, -np.inf, -1.0, 3.0, 1e20]


@pytest.mark.parametrize("index", WRONG)
def test_row_lookup_out_of_range(index: float) -> None:
    is_float = isinstance(index, float)
    dtype: Any = np.float32 if is_float else np.int64
    table, indices = np.ones((3, 2), np.float32), np.array([1, index, 2], dtype)
    out, step = np.full((3, 2), -1, np.float32), np.zeros(4, np.int64)
    words = {"count": np.array([3]), "per": 1, "indices": indices, "size": 3, "width": 2}
    words["size_of"] = 0 if is_float else 8
    call(moving_elements.look_up, **words, table=table, out=out, step=step, stops=2)
    assert step.tolist() == [0, 0, 0, 2]
    assert out.tolist() == [[1, 1], [0, 0], [1, 1]]
    call(moving_elements.look_up_backward, **words, d_y=out, out=table)
    assert table.tolist() == [[0, 0], [1, 1], [1, 1]]


@pytest.mark.slow
@on_other_processors
def test_moving_elements_on_other_processors(settings: dict[str, str]) -> None:
    assert_tests_pass(__file__, **settings)
