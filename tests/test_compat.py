"""What stands in for TensorFlow, against TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinynet.compat import tensorflow as stand_in

A, B = np.float32([[1, -2, 3], [0.5, 4, -1]]), np.float32([[2, 2, -3], [1, 4, 0]])
# A function of either library, and nothing that needs more than it.
CALLS = {
    "constant of floats": lambda tf: tf.constant([[1.5, 2.0]]),
    "constant of ints": lambda tf: tf.constant([1, 2]),
    "constant of a shape": lambda tf: tf.constant(3.0, shape=(2, 2)),
    "convert_to_tensor": lambda tf: tf.convert_to_tensor(A),
    "cast": lambda tf: tf.cast([1.7, 2.2], tf.int32),
    "argmax": lambda tf: tf.argmax(A),
    "argmax, axis": lambda tf: tf.argmax(A, axis=1),
    "math.argmax": lambda tf: tf.math.argmax(A, axis=-1),
    "argmin": lambda tf: tf.argmin(A, axis=1),
    "one_hot": lambda tf: tf.one_hot([0, 2, -1, 5], depth=3),
    "one_hot, values": lambda tf: tf.one_hot([1], 2, on_value=5.0, off_value=-1.0),
    "confusion_matrix": lambda tf: tf.math.confusion_matrix([0, 1, 2, 1], [0, 2, 2, 1]),
    "confusion_matrix, classes": lambda tf: tf.math.confusion_matrix([0], [1], num_classes=4),
    "nn.relu": lambda tf: tf.nn.relu(A),
    "nn.softmax": lambda tf: tf.nn.softmax(A),
    "nn.sigmoid": lambda tf: tf.nn.sigmoid(A),
    "nn.tanh": lambda tf: tf.nn.tanh(A),
    "nn.leaky_relu": lambda tf: tf.nn.leaky_relu(A),
    "nn.gelu": lambda tf: tf.nn.gelu(A),
    "reduce_mean": lambda tf: tf.reduce_mean(A),
    "reduce_mean of ints": lambda tf: tf.reduce_mean(tf.constant([1, 2])),
    "reduce_sum, axis": lambda tf: tf.reduce_sum(A, axis=1, keepdims=True),
    "reduce_max": lambda tf: tf.reduce_max(A, axis=0),
    "reduce_all": lambda tf: tf.reduce_all([True, False]),
    "equal": lambda tf: tf.equal(A, B),
    "matmul": lambda tf: tf.matmul(A, B.T),
    "expand_dims": lambda tf: tf.expand_dims(A, 0),
    "reshape": lambda tf: tf.reshape(A, [3, -1]),
    "concat": lambda tf: tf.concat([A, B], axis=0),
    "stack": lambda tf: tf.stack([A, B]),
    "zeros": lambda tf: tf.zeros((2, 3)),
    "ones": lambda tf: tf.ones([2]),
    "range": lambda tf: tf.range(4),
    "where": lambda tf: tf.where(A > 0, A, B),
    "maximum": lambda tf: tf.maximum(A, 1.0),
    "math.log": lambda tf: tf.math.log(np.abs(A)),
    "round": lambda tf: tf.round([0.5, 1.5, 2.4]),
    "squeeze": lambda tf: tf.squeeze(A[None]),
    "arithmetic": lambda tf: tf.constant([1.0, 2.0]) * 2 + 1,
    "function": lambda tf: tf.function(lambda x: x + 1)(tf.constant([1.0])),
    "Variable": lambda tf: tf.Variable([1.0, 2.0]).assign_add([1.0, 1.0]),
}


@pytest.fixture(scope="module")
def tensorflow() -> Any:
    pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")
    from reference.keras_net import tf

    return tf


@pytest.mark.parametrize("name", CALLS)
def test_functions_say_what_those_of_tensorflow_say(name: str, tensorflow: Any) -> None:
    theirs, ours = (CALLS[name](tf).numpy() for tf in (tensorflow, stand_in))
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    # A few roundings of numbers below 10.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_settings_are_accepted(tensorflow: Any) -> None:
    for tf in (tensorflow, stand_in):
        assert tf.config.list_physical_devices("GPU") == []
        assert tf.executing_eagerly()
        assert tf.get_logger().name == "tensorflow"
        assert isinstance(tf.version.VERSION, str)
    stand_in.random.set_seed(0)
    stand_in.config.threading.set_intra_op_parallelism_threads(1)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda tf: tf.data.Dataset, "iterable of batches"),
        (lambda tf: tf.saved_model.save, r"model\.save\('name\.keras'\)"),
        (lambda tf: tf.compat.v1, "no TensorFlow 1"),
        (lambda tf: tf.signal, "NumPy"),
        (lambda tf: tf.linalg.svd, "NumPy"),
        (lambda tf: tf.nn.conv2d, "NumPy"),
        (lambda tf: tf.math.erfinv, "NumPy"),
    ],
)
def test_what_is_not_there_is_named(wrong: Any, hint: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"no tf\..*{hint}.*Received: tf\."):
        wrong(stand_in)


def test_classes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Received: up to 3$"):
        stand_in.math.confusion_matrix([0, 3], [0, 1], num_classes=3)
