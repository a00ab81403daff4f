"""From what users pass to batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinynet import data
from tinynet.data import Examples
from tinynet.workspace import Workspace


def test_features_keep_the_memory_where_nothing_has_to_change() -> None:
    x = np.ones((3, 2), np.float32)
    assert np.shares_memory(data.features(x, "float32"), x)
    assert not np.shares_memory(data.features(x[:, ::-1], "float32"), x)
    assert data.features(np.uint8([[255]]), "float32").tolist() == [[255]]
    assert data.features([[1, 2]], "float64").dtype == np.float64


@pytest.mark.parametrize("n", [1, 2, 10, 11, 60])
@pytest.mark.parametrize("fraction", [0.1, 0.2, 1 / 3, 0.5, 0.9, 0.99])
def test_split(n: int, fraction: float) -> None:
    cut = int(np.floor(n * (1 - fraction)))
    examples = Examples(np.arange(n), np.arange(n), np.arange(n))
    if cut in (0, n):
        with pytest.raises(ValueError, match=r"Received: validation_split="):
            examples.split(fraction)
        return
    first, last = examples.split(fraction)
    for part, expected in ((first, range(cut)), (last, range(cut, n))):
        assert part.x.tolist() == part.y.tolist() == part.weights.tolist() == list(expected)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_batches(ordered: bool, weighted: bool) -> None:
    x = np.arange(14.0).reshape(7, 2)
    examples = Examples(x, np.arange(7), np.arange(7) / 2 if weighted else None)
    order = np.array([3, 1, 6, 0, 2, 5, 4]) if ordered else None
    seen = []
    for x_batch, y_batch, w_batch in examples.batches(3, order, Workspace()):
        assert x_batch[:, 0].tolist() == (2 * y_batch).tolist()
        assert (w_batch is None) != weighted
        if weighted:
            assert w_batch.tolist() == (y_batch / 2).tolist()
        seen.append(y_batch.tolist())
    assert [len(batch) for batch in seen] == [3, 3, 1]
    assert np.concatenate(seen).tolist() == (order if ordered else np.arange(7)).tolist()
    assert examples.steps(3) == 3
    assert examples.steps(7) == 1


def test_shuffled_batches_are_written_over_one_another() -> None:
    examples = Examples(np.arange(8.0), np.arange(8))
    batches = examples.batches(4, np.arange(8)[::-1], Workspace())
    first, second = next(batches)[0], next(batches)[0]
    assert first.base is second.base or np.shares_memory(first, second)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1, 2], [2, 0.5, 1]),
        ([[0], [1], [2]], [2, 0.5, 1]),
        (np.eye(3), [2, 0.5, 1]),
        ([0.0, 1.0, 2.0], [2, 0.5, 1]),
    ],
)
def test_class_weights(y: Any, expected: Any) -> None:
    weights = data.class_weights(np.array(y), {0: 2.0, np.int64(1): 0.5, 7: 3.0}, "float32")
    assert weights.dtype == np.float32
    assert weights.tolist() == expected


@pytest.mark.parametrize("wrong", [[1, 2], {0: "a"}, {"a": 1.0}, {-1: 1.0}, {0: float("nan")}, 3.0])
def test_wrong_class_weights(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"Received: .+$"):
        data.class_weights(np.array([0, 1]), wrong, "float32")
