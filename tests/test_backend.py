"""The functions of `tf.keras.backend` against TensorFlow's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinynet

X = np.float32([[0.5, -2, 3], [-0.25, 4, -1]])
Y = np.float32([[0.25, 0.5, 0.75], [1, 0, 0.125]])
ONE_ARGUMENT = [
    *("abs", "argmax", "argmin", "batch_flatten", "cast_to_floatx", "cos", "count_params"),
    *("cumprod", "cumsum", "elu", "exp", "expand_dims", "flatten", "hard_sigmoid", "int_shape"),
    *("l2_normalize", "max", "mean", "min", "ndim", "ones_like", "prod", "relu", "round"),
    *("sigmoid", "sign", "sin", "softmax", "softplus", "softsign", "sqrt", "square", "std"),
    *("stop_gradient", "sum", "tanh", "transpose", "var", "zeros_like"),
]
TWO_ARGUMENTS = [
    *("equal", "greater", "greater_equal", "less", "less_equal", "maximum", "minimum"),
    *("not_equal", "batch_dot"),
]
CALLS = {
    **{name: lambda K, x, y, name=name: getattr(K, name)(x) for name in ONE_ARGUMENT},
    **{name: lambda K, x, y, name=name: getattr(K, name)(x, y) for name in TWO_ARGUMENTS},
    **{
        f"{name}, axis": lambda K, x, y, name=name: getattr(K, name)(x, axis=-1, keepdims=True)
        for name in ("max", "mean", "min", "prod", "std", "sum", "var")
    },
    "all": lambda K, x, y: K.all(x > 0, axis=1),
    "any": lambda K, x, y: K.any(x > 0),
    "arange": lambda K, x, y: K.arange(3),
    "batch_dot, axes": lambda K, x, y: K.batch_dot(x, y, axes=1),
    "binary_crossentropy": lambda K, x, y: K.binary_crossentropy(y, K.sigmoid(x)),
    "binary_crossentropy, logits": lambda K, x, y: K.binary_crossentropy(y, x, from_logits=True),
    "cast": lambda K, x, y: K.cast(x > 0, "float32"),
    "categorical_crossentropy": lambda K, x, y: K.categorical_crossentropy(y, K.softmax(x)),
    "clip": lambda K, x, y: K.clip(x, -0.5, 0.5),
    "clip, keywords": lambda K, x, y: K.clip(x, min_value=0, max_value=1),
    "concatenate": lambda K, x, y: K.concatenate([x, y]),
    "constant": lambda K, x, y: K.constant(3.0, shape=(2,)),
    "dot": lambda K, x, y: K.dot(x, K.transpose(y)),
    "epsilon": lambda K, x, y: K.epsilon(),
    "gather": lambda K, x, y: K.gather(x, [1, 0]),
    "in_top_k": lambda K, x, y: K.in_top_k(x, K.cast(K.argmax(y), "int32"), 2),
    "log": lambda K, x, y: K.log(y + 1),
    "one_hot": lambda K, x, y: K.one_hot(K.cast(K.constant([0, 2, 1]), "int32"), 3),
    "permute_dimensions": lambda K, x, y: K.permute_dimensions(x, (1, 0)),
    "pow": lambda K, x, y: K.pow(y, 2.5),
    "relu, options": lambda K, x, y: K.relu(x, alpha=0.1, max_value=1.0),
    "repeat_elements": lambda K, x, y: K.repeat_elements(x, 2, axis=1),
    "reshape": lambda K, x, y: K.reshape(x, shape=(-1, 2)),
    "reverse": lambda K, x, y: K.reverse(x, axes=0),
    "sparse_categorical_crossentropy": lambda K, x, y: K.sparse_categorical_crossentropy(
        K.constant([0, 2]), K.softmax(x)
    ),
    "squeeze": lambda K, x, y: K.squeeze(K.expand_dims(x, 1), 1),
    "stack": lambda K, x, y: K.stack([x, y], axis=1),
    "switch": lambda K, x, y: K.switch(x > 0, x, y),
    "tile": lambda K, x, y: K.tile(x, (2, 1)),
    "variable": lambda K, x, y: K.update_add(K.variable([1.0, 2.0]), [2.0, 3.0]) * 2,
    "zeros": lambda K, x, y: K.zeros((2, 3)) + 1.0,
}


@pytest.fixture(scope="module")
def tensorflow() -> Any:
    pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")
    from reference.keras_net import tf

    return tf


@pytest.mark.parametrize("name", CALLS)
def test_backend_function_matches_tensorflow(name: str, tensorflow: Any) -> None:
    theirs = CALLS[name](tensorflow.keras.backend, *map(tensorflow.convert_to_tensor, (X, Y)))
    ours = CALLS[name](tinynet.backend, *map(tinynet.ops.convert_to_tensor, (X, Y)))
    theirs, ours = np.asarray(theirs), np.asarray(ours)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    # A few roundings of numbers below 10.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_backend_functions_are_differentiated() -> None:
    K: Any = tinynet.backend
    w = tinynet.Variable([1.0, 2.0], dtype="float32")
    with tinynet.GradientTape() as tape:
        loss = K.mean(K.square(w - K.constant([0.0, 1.0])))
    assert tape.gradient(loss, w).numpy().tolist() == [1.0, 1.0]  # w - target


def test_backend_random_functions_take_shape_and_moments() -> None:
    K: Any = tinynet.backend
    drawn = K.random_normal(shape=(2000, 2), mean=3.0, stddev=0.5)
    assert drawn.shape == (2000, 2)
    assert abs(float(K.mean(drawn)) - 3) < 0.1
    assert K.int_shape(K.random_uniform((4, 1), minval=2.0, maxval=3.0)) == (4, 1)
