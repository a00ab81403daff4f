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
    "clip_by_value": lambda tf: tf.clip_by_value(A, -0.5, 1.0),
    "clip_by_norm": lambda tf: tf.clip_by_norm(A, 2.0),
    "clip_by_norm, axes": lambda tf: tf.clip_by_norm(A, 4.0, axes=[1]),
    "clip_by_norm of zeros": lambda tf: tf.clip_by_norm(0 * A, 2.0),
    "clip_by_norm of NaN": lambda tf: tf.clip_by_norm(np.nan * A, 2.0),
    "global_norm": lambda tf: tf.linalg.global_norm([A, None, B[0]]),
    "clip_by_global_norm": lambda tf: tf.concat(tf.clip_by_global_norm([A, B], 2.0)[0], 0),
    "clip_by_global_norm, within": lambda tf: tf.clip_by_global_norm([A, None], 50.0)[0][0],
    "clip_by_global_norm, norm": lambda tf: tf.clip_by_global_norm(
        (A,), 1.0, use_norm=tf.constant(3.0)
    )[0][0],
    "clip_by_global_norm of zeros": lambda tf: tf.clip_by_global_norm([0 * A], 1.0)[0][0],
    "clip_by_global_norm of inf": lambda tf: tf.clip_by_global_norm([A, [np.inf]], 1.0)[0][0],
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
        (lambda tf: tf.data.TFRecordDataset, "NumPy"),
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


# ------------------------------------------------------------ tf.data

X, Y = np.arange(14, dtype=np.float32).reshape(7, 2), np.arange(7)


def slices(tf: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices((X, Y))


def generated(tf: Any, **options: Any) -> Any:
    return tf.data.Dataset.from_generator(lambda: zip(X, Y, strict=True), **options)


DATASETS = {
    "slices of a list": lambda tf: tf.data.Dataset.from_tensor_slices([1, 2, 3]),
    "slices of floats": lambda tf: tf.data.Dataset.from_tensor_slices([[1.0], [2.0]]),
    "slices of a dict": lambda tf: tf.data.Dataset.from_tensor_slices({"a": X, "b": Y}),
    "slices of nested arrays": lambda tf: tf.data.Dataset.from_tensor_slices(({"a": X}, (Y, X))),
    "slices of tensors": lambda tf: tf.data.Dataset.from_tensor_slices(tf.constant([1, 2])),
    "tensors": lambda tf: tf.data.Dataset.from_tensors((X, [1, 2])),
    "range": lambda tf: tf.data.Dataset.range(2, 10, 3),
    "generator, types": lambda tf: generated(tf, output_types=(tf.float32, tf.int32)),
    "generator, shapes": lambda tf: generated(
        tf, output_types=(tf.float64, tf.int32), output_shapes=((2,), tf.TensorShape([]))
    ),
    "generator, signature": lambda tf: generated(
        tf,
        output_signature=(
            tf.TensorSpec(shape=(None,), dtype=tf.float32),
            tf.TensorSpec(shape=(), dtype=tf.uint8),
        ),
    ),
    "generator, arguments": lambda tf: tf.data.Dataset.from_generator(
        lambda n: iter([[0] * k for k in range(n)]), tf.int64, args=[3]
    ),
    "batch": lambda tf: slices(tf).batch(3, num_parallel_calls=tf.data.AUTOTUNE),
    "batch, remainder dropped": lambda tf: slices(tf).batch(3, drop_remainder=True),
    "batches of batches": lambda tf: slices(tf).batch(2, True).batch(2),
    "unbatch": lambda tf: slices(tf).batch(3).unbatch(),
    "map": lambda tf: slices(tf).map(lambda x, y: (x / 2, tf.one_hot(y, 7))),
    "map to a list": lambda tf: slices(tf).map(lambda x, y: [y, x]),
    "map to a dict": lambda tf: slices(tf).map(lambda x, y: {"x": x, "y": (y, 1.5)}),
    "map of a dict": lambda tf: tf.data.Dataset.from_tensor_slices({"a": Y}).map(
        lambda d: d["a"] + 1, num_parallel_calls=2, deterministic=False
    ),
    "map with NumPy": lambda tf: slices(tf).map(
        lambda x, y: tf.numpy_function(lambda x: x[::-1] * 2, [x], tf.float32)
    ),
    "map with Python": lambda tf: slices(tf).map(
        lambda x, y: tf.py_function(lambda x, y: (x.numpy(), y), [x, y], [tf.float32, tf.int64])
    ),
    "filter": lambda tf: slices(tf).filter(lambda x, y: y % 2 == 0),
    "flat_map": lambda tf: tf.data.Dataset.range(3).flat_map(tf.data.Dataset.range),
    "repeat": lambda tf: slices(tf).repeat(2),
    "repeat without end": lambda tf: slices(tf).repeat().take(9),
    "repeat of batches": lambda tf: slices(tf).batch(4).repeat(2).prefetch(1),
    "take": lambda tf: slices(tf).take(3),
    "take all": lambda tf: slices(tf).take(-1),
    "take too many": lambda tf: slices(tf).take(30),
    "skip": lambda tf: slices(tf).skip(5),
    "skip all": lambda tf: slices(tf).skip(-1),
    "shard": lambda tf: slices(tf).shard(3, 1),
    "concatenate": lambda tf: slices(tf).concatenate(slices(tf).take(1)),
    "enumerate": lambda tf: slices(tf).enumerate(start=4),
    "zip": lambda tf: tf.data.Dataset.zip((slices(tf), tf.data.Dataset.range(3))),
    "zip of two": lambda tf: tf.data.Dataset.zip(tf.data.Dataset.range(3), slices(tf)),
    "zip of a dict": lambda tf: tf.data.Dataset.zip({"a": slices(tf), "b": slices(tf).repeat()}),
    "cache": lambda tf: slices(tf).cache().batch(2),
    "options": lambda tf: slices(tf).with_options(tf.data.Options()),
    "apply": lambda tf: slices(tf).apply(lambda dataset: dataset.take(2)),
    "shuffle of one": lambda tf: slices(tf).shuffle(1),
}


def compare_elements(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
    if isinstance(theirs, dict | tuple | list):
        assert len(ours) == len(theirs)
        for key in theirs if isinstance(theirs, dict) else range(len(theirs)):
            compare_elements(ours[key], theirs[key])
    else:
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", DATASETS)
def test_dataset_has_the_elements_of_tensorflow(name: str, tensorflow: Any) -> None:
    theirs, ours = (DATASETS[name](tf) for tf in (tensorflow, stand_in))
    for _ in range(2):
        compare_elements([*ours.as_numpy_iterator()], [*theirs.as_numpy_iterator()])
    assert ours.cardinality().numpy() == theirs.cardinality().numpy()
    assert ours.cardinality().dtype == np.int64
    compare_elements(
        ours.reduce(np.int64(0), lambda n, element: n + 1).numpy(),
        theirs.reduce(np.int64(0), lambda n, element: n + 1).numpy(),
    )


def test_dataset_length_is_known_or_refused() -> None:
    assert len(slices(stand_in).batch(2)) == 4
    assert slices(stand_in).filter(lambda x, y: False)
    for dataset in (slices(stand_in).repeat(), slices(stand_in).filter(lambda x, y: True)):
        with pytest.raises(TypeError, match=r"Received: a size that is (infinite|unknown)$"):
            len(dataset)
    assert stand_in.data.experimental.cardinality(slices(stand_in).repeat()).numpy() == -1


def order(dataset: Any) -> list[int]:
    return [int(y) for _, y in dataset]


def test_shuffle_is_repeatable_and_new_each_iteration() -> None:
    stand_in.random.set_seed(3)
    dataset = slices(stand_in).shuffle(7)
    first, second = order(dataset), order(dataset)
    assert first != second
    assert sorted(first) == sorted(second) == [*range(7)]
    stand_in.random.set_seed(3)
    again = slices(stand_in).shuffle(7)
    assert [order(again), order(again)] == [first, second]
    seeded = [order(slices(stand_in).shuffle(7, seed=5)) for _ in range(2)]
    assert seeded[0] == seeded[1]
    fixed = slices(stand_in).shuffle(7, reshuffle_each_iteration=False)
    assert order(fixed) == order(fixed)


def test_shuffle_draws_from_its_buffer() -> None:
    found = order(stand_in.data.Dataset.zip((slices(stand_in), slices(stand_in))).shuffle(3).map(
        lambda a, b: b
    ))  # fmt: skip
    assert sorted(found) == [*range(7)]
    assert all(number <= place + 2 for place, number in enumerate(found))


def test_cache_keeps_what_was_computed() -> None:
    calls: list[int] = []
    dataset = slices(stand_in).map(lambda x, y: calls.append(1) or y).cache()
    for _ in range(3):
        assert len([*dataset]) == 7
    assert len(calls) == 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d.from_tensor_slices((X, Y[:3])), r"Received: shapes \[\(7, 2\), \(3,\)\]"),
        (lambda d: d.from_tensor_slices(3.0), r"one row for each element.* shapes \[\(\)\]"),
        (lambda d: d.from_tensor_slices(X).batch(0), "batch_size must be"),
        (lambda d: d.from_tensor_slices(X).shuffle(0), "buffer_size must be"),
        (lambda d: d.from_generator([1], stand_in.int32), "must be a function that returns"),
        (lambda d: d.from_generator(lambda: [1]), "must describe the elements"),
        (
            lambda d: [*d.from_generator(lambda: X, stand_in.float32, output_shapes=(3,))],
            r"shape \(3,\).*Received: an element of shape \(2,\)",
        ),
    ],
)
def test_dataset_refuses_wrong_arguments(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make(stand_in.data.Dataset)


def test_dataset_trains_as_arrays_do() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 4)).astype(np.float32), rng.integers(0, 3, 50)
    dataset = stand_in.data.Dataset.from_tensor_slices((x, y)).batch(8).prefetch(2)
    results = []
    for data in (dataset, None):
        stand_in.keras.utils.set_random_seed(1)
        model = stand_in.keras.Sequential(
            [stand_in.keras.Input((4,)), stand_in.keras.layers.Dense(3)]
        )
        loss = stand_in.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        options: Any = {"epochs": 3, "verbose": 0, "shuffle": False}
        if data is None:
            history = model.fit(x, y, 8, validation_data=(x, y), validation_batch_size=8, **options)
            evaluated, predicted = model.evaluate(x, y, 8, verbose=0), model.predict(x, 8, 0)
        else:
            history = model.fit(data, validation_data=data, **options)
            evaluated = model.evaluate(data, verbose=0)
            predicted = model.predict(data.map(lambda x, y: x), verbose=0)
        results.append((history.history, evaluated, predicted, model.get_weights()))
    ours, expected = results
    assert ours[0].keys() == expected[0].keys()
    for a, b in zip(ours[0].values(), expected[0].values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_allclose(ours[1], expected[1], rtol=1e-5)
    np.testing.assert_allclose(ours[2], expected[2], rtol=1e-5)
    for a, b in zip(ours[3], expected[3], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_dataset_tells_fit_the_number_of_steps() -> None:
    model = stand_in.keras.Sequential([stand_in.keras.Input((2,)), stand_in.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    steps: list[Any] = []

    class Steps(stand_in.keras.callbacks.Callback):  # type: ignore[misc]  # resolved at run time
        def on_train_begin(self, logs: Any = None) -> None:
            steps.append(self.params["steps"])

    known = slices(stand_in).batch(2)
    unknown = slices(stand_in).filter(lambda x, y: y > 1).batch(2)
    for dataset, options in ((known, {}), (unknown, {}), (known.repeat(), {"steps_per_epoch": 5})):
        model.fit(dataset, epochs=2, verbose=0, callbacks=[Steps()], **options)
    assert steps == [4, None, 5]
    with pytest.raises(ValueError, match="number of steps must be given"):
        model.fit(known.repeat(), verbose=0)


def loop(tf: Any) -> Any:
    w = tf.Variable([[0.0], [0.0]])
    optimizer = tf.keras.optimizers.Adam(0.1)

    @tf.function
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - tf.cast(y, tf.float32)[:, None]))
        optimizer.apply_gradients([(tape.gradient(loss, w), w)])
        return loss

    losses = []
    for _ in range(5):
        for _, (x, y) in enumerate(slices(tf).batch(2)):
            losses.append(float(step(x, y)))
    assert len(losses) == 20
    return np.array(losses), w.numpy()


def test_dataset_feeds_a_training_loop(tensorflow: Any) -> None:
    for ours, theirs in zip(loop(stand_in), loop(tensorflow), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_classes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Received: up to 3$"):
        stand_in.math.confusion_matrix([0, 3], [0, 1], num_classes=3)
