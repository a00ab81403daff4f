"""Small internal functions."""

from __future__ import annotations

import socket
from typing import Any

import numpy as np
import pytest

import tinynet
from tinynet import Input, layers, random
from tinynet.datasets import download, fashion_mnist, mnist


def test_unresponsive_mirrors_time_out(monkeypatch: Any, tmp_path: Any) -> None:
    for source in (mnist.SOURCE, fashion_mnist.SOURCE):
        attempts = sum(len(mirrors) for _, mirrors in source.downloads)
        assert attempts >= 2
        assert attempts * download._CONNECT_SECONDS < 30
    monkeypatch.setattr(download, "_CONNECT_SECONDS", 0.2)
    for name, value in (("TINYNET_CACHE", tmp_path), ("KERAS_HOME", tmp_path), ("no_proxy", "*")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        source = download.Source("tiny", "Tiny", "tiny", {"a": "0"}, ((("a",), (url, url)),))
        with pytest.raises(FileNotFoundError, match=r"no response within 0\.2 s"):
            download.load(source)


def test_sequential_layers_have_one_node() -> None:
    row = tinynet.Sequential([layers.Input((4,)), layers.Dense(3)])
    for _ in range(3):
        row.add(layers.Dense(3))
    assert [len(layer._nodes) for layer in row.layers] == [1, 1, 1, 1]


def test_operation_names_are_unique() -> None:
    x = Input((3,))
    y = layers.Dense(3, name="add")(x) + x
    y.node.own_name = "add"
    names = [operation.name for operation in tinynet.Model(x, y)._known_graph().operations]
    assert names[1:] == ["add", "add_1"]


def test_shape_inference_draws_no_random_numbers() -> None:
    seen = random.SeedGenerator(3)
    for operation in (random._NORMAL, random._UNIFORM, random._TRUNCATED, random._GUMBEL):
        assert operation.stateful
        inferred = operation.infer([], {"shape": (2, 3), "dtype": "float32", "seed": seen})
        assert (inferred.shape, inferred.dtype) == ((2, 3), np.float32)
    assert random.normal((5,), seed=seen).tolist() == random.normal((5,), seed=3).tolist()
