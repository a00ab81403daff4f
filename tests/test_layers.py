"""Layers by themselves: shapes, weights, names, arguments. Their numbers are in test_functional,
their derivatives in test_gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinynet import Input, config, layers
from tinynet.layers import base

L = layers
# layer: (how to make it, the shape of its input, the shape of its output)
SHAPES = [
    (lambda: L.Flatten(), (5, 2, 3), (5, 6)),
    (lambda: L.Flatten(), (5,), (5, 1)),
    (lambda: L.Dense(4), (5, 3), (5, 4)),
    (lambda: L.Dense(4), (5, 2, 3), (5, 2, 4)),
    (lambda: L.Activation("relu"), (5, 3), (5, 3)),
    (lambda: L.ReLU(), (5, 3, 2), (5, 3, 2)),
    (lambda: L.Softmax(), (5, 3), (5, 3)),
]


@pytest.mark.parametrize(("make", "shape", "expected"), SHAPES)
def test_shapes(make: Any, shape: Any, expected: Any) -> None:
    layer = make()
    x = np.ones(shape)
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *expected[1:])
    result = layer(x)
    assert (result.shape, result.dtype) == (expected, np.float32)
    assert layer.built
    assert hasattr(result, "numpy")
    assert (x == 1).all()
    assert make()(Input(shape[1:])).shape == (None, *expected[1:])


def test_values() -> None:
    dense = L.Dense(2)
    dense.build((None, 3))
    dense.set_weights([[[1, 2], [3, 4], [5, 6]], [10, 20]])
    assert dense([[1, 0, 2]]).tolist() == [[21, 34]]
    assert dense([[[1, 0, 2]], [[0, 0, 0]]]).tolist() == [[[21, 34]], [[10, 20]]]
    assert L.Flatten()(np.arange(8).reshape(2, 2, 2)).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert L.ReLU(max_value=2, negative_slope=0.5, threshold=1)([[0.0, 1.5, 3.0]]).tolist() == [
        [-0.5, 1.5, 2]
    ]
    np.testing.assert_allclose(L.Softmax(axis=1)([[[0.0], [0.0]]]), [[[0.5], [0.5]]])


def test_dense_weights() -> None:
    dense = L.Dense(2, name="hidden")
    assert (dense.built, dense.weights) == (False, [])
    with pytest.raises(ValueError, match=r"Received: built=False$"):
        dense.count_params()
    dense.build((None, 3))
    assert [(w.name, w.path, w.shape) for w in dense.weights] == [
        ("kernel", "hidden/kernel", (3, 2)),
        ("bias", "hidden/bias", (2,)),
    ]
    assert dense.count_params() == 8
    assert dense.kernel is dense.weights[0]
    plain = L.Dense(2, use_bias=False)
    plain.build((None, 3))
    assert plain.bias is None
    assert len(plain.weights) == 1


def test_trainable_is_a_switch() -> None:
    dense = L.Dense(2, trainable=False)
    dense.build((None, 3))
    assert (len(dense.trainable_weights), len(dense.non_trainable_weights)) == (0, 2)
    dense.trainable = True
    assert (len(dense.trainable_variables), len(dense.non_trainable_variables)) == (2, 0)
    assert dense.variables == dense.weights


@pytest.mark.parametrize(
    "wrong",
    [
        [np.zeros((3, 2))],
        [np.zeros((2, 3)), np.zeros(2)],
        [np.zeros((3, 2)), np.zeros(3)],
        [np.zeros((3, 2)), ["a", "b"]],
        [],
    ],
)
def test_set_weights_is_all_or_nothing(wrong: Any) -> None:
    dense = L.Dense(2)
    dense.build((None, 3))
    before = dense.get_weights()
    with pytest.raises(ValueError, match=r"Received: .+$"):
        dense.set_weights(wrong)
    for a, b in zip(dense.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    dense.get_weights()[0][:] = 7  # a copy
    np.testing.assert_array_equal(dense.kernel, before[0])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: L.Dense(-3),
        lambda: L.Dense(0),
        lambda: L.Dense(2.5),
        lambda: L.Dense("2"),
        lambda: L.Dense(True),
        lambda: L.Dense(2, activation="ReLU6"),
        lambda: L.Dense(2, activation=3),
        lambda: L.Dense(2, activation=lambda x: x),
        lambda: L.Dense(2, use_bias="no"),
        lambda: L.Dense(2, kernel_initializer="glorot"),
        lambda: L.Dense(2, unit=3),
        lambda: L.Dense(2, name=3),
        lambda: L.Dense(2, name="a/b"),
        lambda: L.Dense(2, dtype="int32"),
        lambda: L.Dense(2, input_shape="a"),
        lambda: L.Dense(2, input_dim=0),
        lambda: L.Dense(2)(np.float32(3)),
        lambda: L.Dense(2)(np.zeros(3)),
        lambda: L.Dense(2)(Input((None,))),
        lambda: L.Flatten(data_format="first"),
        lambda: L.ReLU(max_value=-1),
        lambda: L.ReLU(negative_slope=-1),
        lambda: L.ReLU(negative_slope=None),
        lambda: L.ReLU(threshold=-1),
        lambda: L.Softmax(axis=1.5),
        lambda: L.Softmax(axis=2)(np.zeros((2, 2))),
        lambda: L.Activation("nothing"),
        lambda: L.Input(),
        lambda: L.Input((2,), batch_shape=(1, 2)),
        lambda: L.Input((-1,)),
        lambda: L.Input("ab"),
        lambda: L.Input((2,), batch_size=0),
    ],
)
def test_wrong_arguments(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"Received: .+$"):
        wrong()


def test_a_built_layer_keeps_its_width() -> None:
    dense = L.Dense(2)
    dense(np.zeros((1, 3)))
    kernel = dense.kernel
    dense(np.zeros((7, 4, 3)))
    assert dense.kernel is kernel
    with pytest.raises(ValueError, match=r"D = 3 values\. Received: shape \(1, 4\)$"):
        dense(np.zeros((1, 4)))


def test_names_count_up_and_follow_the_class() -> None:
    names = [make().name for make in (lambda: L.Dense(1), L.ReLU, L.Flatten, lambda: L.Dense(1))]
    assert names == ["dense", "re_lu", "flatten", "dense_1"]
    assert L.Dense(1, name="mine").name == "mine"
    assert L.Dense(1).name == "dense_2"
    assert Input((2,)).name == "input_layer"


@pytest.mark.parametrize(
    "layer",
    [
        lambda: L.Dense(
            3, "tanh", use_bias=False, kernel_initializer="ones", name="a", trainable=False
        ),
        lambda: L.ReLU(max_value=2, negative_slope=0.5, threshold=1),
        lambda: L.Softmax(axis=1),
        lambda: L.Activation("sigmoid"),
        lambda: L.Flatten(),
        lambda: L.InputLayer((2,), batch_size=3, dtype="uint8", name="in"),
    ],
)
def test_configurations_come_back(layer: Any) -> None:
    made = layer()
    written = made.get_config()
    again = type(made).from_config({**written, "a_key_of_another_version": 1}).get_config()
    assert again == written
    restored = L.deserialize(L.serialize(made))
    assert type(restored) is type(made)
    assert restored.get_config() == written


def test_every_layer_of_keras_here_is_exported() -> None:
    for name, cls in base._registry.classes.items():
        assert name in ("Sequential", "Functional") or getattr(layers, name) is cls


def test_a_layer_of_one_s_own() -> None:
    class Scale(L.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight((), "ones", name="factor")
            super().build(input_shape)

        def forward(self, x, work, training=False):
            return x * self.factor.array

    layer = Scale()
    assert layer([[2.0]]).tolist() == [[2]]
    assert [w.path for w in layer.weights] == ["scale/factor"]
    with pytest.raises(NotImplementedError, match="backward"):
        layer.backward(np.zeros(1), None)  # type: ignore[arg-type]  # never looked at
    with pytest.raises(NotImplementedError, match="forward"):
        L.Layer().forward(np.zeros(1), None)  # type: ignore[arg-type]  # never looked at


def test_double_precision() -> None:
    assert L.Dense(2, dtype="float64")(np.zeros((1, 3))).dtype == np.float64
    config.set_floatx("float64")
    try:
        layer = L.Dense(2)
        assert layer([[1, 2]]).dtype == np.float64
        assert layer.kernel.dtype == "float64"
    finally:
        config.set_floatx("float32")
