"""Compare `tinynet.compat.tensorflow` with TensorFlow."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from tests import loops, models, mostly_wide, recorded
from tinynet.compat import tensorflow as stand_in

A, B = np.float32([[1, -2, 3], [0.5, 4, -1]]), np.float32([[2, 2, -3], [1, 4, 0]])
SHARES = np.abs(B) / 5


def calls_of(names: str, *args: Any, **options: Any) -> dict[str, Any]:
    """Return calls of several functions, by dotted names, with the same arguments."""

    def call(tf: Any, name: str) -> Any:
        return functools.reduce(getattr, name.split("."), tf)(*args, **options)

    return {name: functools.partial(call, name=name) for name in names.split()}


# Calls that test a single function, with the library as argument.
CALLS = {
    **calls_of("argmax convert_to_tensor reduce_mean cumsum nn.relu nn.softmax nn.sigmoid", A),
    **calls_of("nn.tanh nn.leaky_relu nn.gelu nn.l2_normalize nn.l2_loss", A),
    **calls_of("argmin norm", A, axis=1),
    **calls_of("equal", A, B),
    **calls_of("math.acos math.asin math.asinh math.atan math.atanh math.erfinv", SHARES + 0.1),
    **calls_of("math.ceil math.erf math.erfc math.expm1 math.is_finite", SHARES + 0.1),
    **calls_of("math.is_inf math.is_nan math.log1p math.log_sigmoid", SHARES + 0.1),
    **calls_of("math.log_softmax math.negative math.reciprocal math.rint", SHARES + 0.1),
    **calls_of("math.round math.rsqrt math.sigmoid math.sign math.softmax", SHARES + 0.1),
    **calls_of("math.softplus math.softsign math.sqrt math.square math.tan", SHARES + 0.1),
    **calls_of("math.abs math.exp math.floor math.cosh", SHARES + 0.1),
    **calls_of("math.add math.subtract math.multiply math.divide math.truediv", x=A, y=B - 1.5),
    **calls_of("math.maximum math.minimum math.equal math.not_equal", x=A, y=B - 1.5),
    **calls_of("math.greater math.greater_equal math.less math.less_equal", x=A, y=B - 1.5),
    **calls_of("math.divide_no_nan math.squared_difference", x=A, y=B - 1.5),
    "norm of all elements": lambda tf: tf.norm(A, 1, keepdims=True),
    "constant of floats": lambda tf: tf.constant([[1.5, 2.0]]),
    "constant of ints": lambda tf: tf.constant([1, 2]),
    "constant of a shape": lambda tf: tf.constant(3.0, shape=(2, 2)),
    "cast": lambda tf: tf.cast([1.7, 2.2], tf.int32),
    "argmax, axis": lambda tf: tf.argmax(A, axis=1),
    "math.argmax": lambda tf: tf.math.argmax(A, axis=-1),
    "one_hot": lambda tf: tf.one_hot([0, 2, -1, 5], depth=3),
    "one_hot, values": lambda tf: tf.one_hot([1], 2, on_value=5.0, off_value=-1.0),
    "confusion_matrix": lambda tf: tf.math.confusion_matrix([0, 1, 2, 1], [0, 2, 2, 1]),
    "confusion_matrix, classes": lambda tf: tf.math.confusion_matrix([0], [1], num_classes=4),
    "reduce_mean of ints": lambda tf: tf.reduce_mean(tf.constant([1, 2])),
    "reduce_sum, axis": lambda tf: tf.reduce_sum(A, axis=1, keepdims=True),
    "reduce_max": lambda tf: tf.reduce_max(A, axis=0),
    "reduce_all": lambda tf: tf.reduce_all([True, False]),
    "unsorted_segment_mean": lambda tf: tf.math.unsorted_segment_mean(A, [2, 0], num_segments=4),
    "segment_mean": lambda tf: tf.math.segment_mean(A, [0, 0]),
    "Variable.value": lambda tf: tf.Variable(A).value(),
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
    "Variable of a function": lambda tf: tf.Variable(
        lambda: tf.ones([2]), trainable=False, name="a", dtype=tf.float32, shape=(2,)
    ).read_value(),
    "Variable of ints": lambda tf: tf.Variable(initial_value=3, dtype=tf.int64) + 1,
    "Variable of an initializer": lambda tf: tf.Variable(
        tf.zeros_initializer()(shape=(2, 3), dtype="float32")
    ),
    "convert_to_tensor, name": lambda tf: tf.convert_to_tensor([1.5], tf.float64, name="x"),
    "cast of a tensor": lambda tf: tf.cast(tf.constant([1, 0]), tf.bool),
    "one_hot, axis": lambda tf: tf.one_hot([[0, 2], [1, 1]], 3, axis=1, dtype=tf.int32),
    "confusion_matrix, weights": lambda tf: tf.math.confusion_matrix(
        [0, 1], [1, 1], weights=[2, 3]
    ),
    "math.pow": lambda tf: tf.math.pow(np.abs(A), 2.0),
    "math.mod": lambda tf: tf.math.floormod(A, 3.0) + tf.math.floordiv(A, 3.0),
    "atan2": lambda tf: tf.atan2(y=A, x=B),
    "logical": lambda tf: tf.logical_or(tf.logical_not(A > 1), tf.logical_and(A > 0, B > 0)),
    "logical_xor": lambda tf: tf.math.logical_xor(A > 0, B > 0),
    "cumsum, options": lambda tf: tf.cumsum(A, axis=1, exclusive=True, reverse=True),
    "cumprod": lambda tf: tf.math.cumprod(A, axis=-1),
    "add_n": lambda tf: tf.add_n([A, B, A]),
    "count_nonzero": lambda tf: tf.cast(tf.math.count_nonzero(A > 0, axis=1), tf.int32),
    "segment_sum": lambda tf: tf.math.segment_sum(A, tf.constant([0, 0])),
    "unsorted_segment_sum": lambda tf: tf.math.unsorted_segment_sum(A, [2, 0], num_segments=3),
    "in_top_k": lambda tf: tf.math.in_top_k(targets=[1, 0], predictions=A, k=2),
    "top_k": lambda tf: tf.math.top_k(A, k=2)[0],
    "top_k, indices": lambda tf: tf.nn.top_k(input=A, k=2)[1],
    "reduce_std": lambda tf: tf.math.reduce_std(A, axis=[0, 1]),
    "reduce_variance": lambda tf: tf.math.reduce_variance(A, 0),
    "reduce_logsumexp": lambda tf: tf.reduce_logsumexp(A, axis=-1, keepdims=True),
    "reduce_euclidean_norm": lambda tf: tf.math.reduce_euclidean_norm(A, axis=1),
    "reduce_prod": lambda tf: tf.reduce_prod(input_tensor=tf.constant([2, 3])),
    "reduce_any": lambda tf: tf.reduce_any(A > 3, axis=1),
    "reduce_mean of negative ints": lambda tf: tf.reduce_mean(tf.constant([-1, -2])),
    "reduce_sum of a list of axes": lambda tf: tf.reduce_sum(A, axis=[0, 1]),
    "reduce_min": lambda tf: tf.reduce_min(A, 1),
    "transpose": lambda tf: tf.transpose(A[None], perm=[2, 0, 1]),
    "unstack": lambda tf: tf.unstack(A, axis=1)[2],
    "split": lambda tf: tf.split(A, [1, 2], axis=1)[1],
    "split, number": lambda tf: tf.split(value=A, num_or_size_splits=3, axis=-1)[0],
    "tile": lambda tf: tf.tile(A, multiples=[2, 1]),
    "repeat": lambda tf: tf.repeat(A, repeats=2, axis=0),
    "roll": lambda tf: tf.roll(A, shift=1, axis=1),
    "reverse": lambda tf: tf.reverse(A, axis=[1]),
    "pad": lambda tf: tf.pad(A, [[1, 0], [0, 2]], constant_values=1.0),
    "pad, reflect": lambda tf: tf.pad(A, tf.constant([[1, 0], [0, 2]]), mode="REFLECT"),
    "fill": lambda tf: tf.fill([2, 2], 7),
    "eye": lambda tf: tf.eye(2, 3),
    "linspace": lambda tf: tf.linspace(0.0, 1.0, 5),
    "range, limits": lambda tf: tf.range(1, 7, delta=2),
    "range of floats": lambda tf: tf.range(0.0, 1.0, 0.25),
    "zeros, dtype": lambda tf: tf.zeros([2], tf.int32),
    "ones_like": lambda tf: tf.ones_like(input=A),
    "zeros_like, dtype": lambda tf: tf.zeros_like(A, dtype=tf.int32),
    "broadcast_to": lambda tf: tf.broadcast_to([1.0, 2.0], [3, 2]),
    "sort": lambda tf: tf.sort(A, direction="DESCENDING"),
    "argsort": lambda tf: tf.argsort(A, axis=1, direction="DESCENDING"),
    "argsort of equal numbers": lambda tf: tf.argsort([[3, 1], [3, 3], [1, 3]], 0, "DESCENDING"),
    "slice": lambda tf: tf.slice(A, begin=[0, 1], size=[-1, 2]),
    "where, one argument": lambda tf: tf.where(A > 1),
    "where, names": lambda tf: tf.where(condition=A > 1, x=A, y=0.0),
    "gather": lambda tf: tf.gather(A, [2, 0], axis=1),
    "gather, first axis": lambda tf: tf.gather(params=A, indices=[[1], [0]]),
    "gather of batches": lambda tf: tf.gather(A, [2, 0], axis=1, batch_dims=1),
    "gather of batches, rows": lambda tf: tf.gather(A, [[2, 0], [1, 1]], batch_dims=1),
    "gather_nd": lambda tf: tf.gather_nd(A, [[0, 2], [1, 1]]),
    "boolean_mask": lambda tf: tf.boolean_mask(A, A > 1),
    "boolean_mask, axis": lambda tf: tf.boolean_mask(A, [True, False, True], axis=1),
    "scatter_nd": lambda tf: tf.scatter_nd([[1], [3]], [5.0, 6.0], [4]),
    "tensor_scatter_nd_update": lambda tf: tf.tensor_scatter_nd_update(A, [[0, 1]], [9.0]),
    "tensor_scatter_nd_add": lambda tf: tf.tensor_scatter_nd_add(A, [[1], [1]], [B[0], B[1]]),
    "searchsorted": lambda tf: tf.searchsorted([1.0, 2.0], [1.0, 3.0], side="right"),
    "map_fn": lambda tf: tf.map_fn(lambda row: row * 2, A),
    "map_fn of two": lambda tf: tf.map_fn(
        lambda rows: rows[0] + rows[1], (A, B), fn_output_signature=tf.float32
    ),
    "vectorized_map": lambda tf: tf.vectorized_map(tf.reduce_sum, tf.constant(A)),
    "cond": lambda tf: tf.cond(tf.constant(True), lambda: tf.constant(1), lambda: tf.constant(2)),
    "ensure_shape": lambda tf: tf.ensure_shape(A, [None, 3]),
    "clip_by_value, tensor": lambda tf: tf.clip_by_value(A, -1.0, clip_value_max=B + 5),
    "identity": lambda tf: tf.identity(A) + tf.stop_gradient(B),
    "matmul, transposed": lambda tf: tf.matmul(a=A, b=B, transpose_b=True),
    "linalg.matmul": lambda tf: tf.linalg.matmul(A, B, transpose_a=True),
    "tensordot": lambda tf: tf.tensordot(A, B, axes=[[1], [1]]),
    "einsum": lambda tf: tf.einsum("ij,kj->ik", A, B),
    "trace": lambda tf: tf.linalg.trace(A),
    "norm, order": lambda tf: tf.linalg.norm(tensor=A, ord=1, axis=0),
    "l2_normalize": lambda tf: tf.math.l2_normalize(A, axis=1, epsilon=0.5),
    "nn.moments": lambda tf: tf.nn.moments(A, axes=[0], keepdims=True)[1],
    "nn.bias_add": lambda tf: tf.nn.bias_add(A, bias=[1.0, 2.0, 3.0]),
    "nn.embedding_lookup": lambda tf: tf.nn.embedding_lookup(params=A, ids=[1, 0, 1]),
    "nn.batch_normalization": lambda tf: tf.nn.batch_normalization(
        A, A[0], B[1] + 1, offset=None, scale=B[0], variance_epsilon=0.1
    ),
    **{
        f"nn.{name}, named": lambda tf, name=name: getattr(tf.nn, name)(features=A, name="x")
        for name in ("relu", "relu6", "elu", "selu", "softplus", "softsign")
    },
    "nn.silu": lambda tf: tf.nn.silu(features=A) + tf.nn.swish(B) + tf.math.acosh(A * A + 1),
    "divide_no_nan": lambda tf: tf.math.divide_no_nan(A, B),
    "nn.leaky_relu, alpha": lambda tf: tf.nn.leaky_relu(A, alpha=0.5, name="x"),
    "nn.softmax, axis": lambda tf: tf.nn.softmax(logits=A, axis=0),
    "nn.log_softmax": lambda tf: tf.nn.log_softmax(logits=A),
    "nn.sigmoid_cross_entropy": lambda tf: tf.nn.sigmoid_cross_entropy_with_logits(
        labels=SHARES, logits=A
    ),
    "nn.weighted_cross_entropy": lambda tf: tf.nn.weighted_cross_entropy_with_logits(
        labels=SHARES, logits=A, pos_weight=3.0
    ),
    "nn.softmax_cross_entropy": lambda tf: tf.nn.softmax_cross_entropy_with_logits(
        labels=np.eye(3, dtype=np.float32)[:2], logits=A
    ),
    "nn.sparse_softmax_cross_entropy": lambda tf: tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=[2, 0], logits=A
    ),
    "size": lambda tf: tf.constant(int(tf.size(A)) + int(tf.rank(A)) + int(tf.shape(A)[1])),
    "newaxis": lambda tf: tf.constant(A)[:, tf.newaxis],
    "initializers": lambda tf: tf.initializers.Constant(2.0)((2,)) + tf.ones_initializer()((2,)),
}


@pytest.fixture(scope="module")
def tensorflow() -> Any:
    pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")
    from reference.keras_net import tf

    return tf


def compare_results(ours: Any, theirs: Any) -> None:
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    # A few rounding errors of values below 10.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CALLS)
def test_functions_match_recorded(name: str) -> None:
    compare_results(CALLS[name](stand_in).numpy(), recorded.result("functions", name))


@pytest.mark.wide
@pytest.mark.parametrize("name", CALLS)
def test_functions_match_tensorflow(name: str, tensorflow: Any) -> None:
    theirs = CALLS[name](tensorflow).numpy()
    compare_results(CALLS[name](stand_in).numpy(), theirs)
    compare_results(theirs, recorded.result("functions", name))


GRADIENTS = {
    "gather of batches": lambda tf, x: tf.gather(x, [2, 0], axis=1, batch_dims=1),
    "gather_nd": lambda tf, x: tf.gather_nd(x, [[0, 2], [0, 2], [1, 1]]),
    "boolean_mask": lambda tf, x: tf.boolean_mask(x, A > 1) ** 2,
    "cumsum": lambda tf, x: tf.cumsum(x, exclusive=True) ** 2,
    "sort": lambda tf, x: tf.sort(x, direction="DESCENDING") * B,
    "map_fn": lambda tf, x: tf.map_fn(lambda row: row**2, x),
    "clip_by_value": lambda tf, x: tf.clip_by_value(x, -2.0, 3.0) ** 2,
    "l2_normalize": lambda tf, x: tf.nn.l2_normalize(x, axis=1) * B,
    "sparse_softmax_cross_entropy": lambda tf, x: tf.nn.sparse_softmax_cross_entropy_with_logits(
        [2, 0], x
    ),
    "weighted_cross_entropy": lambda tf, x: tf.nn.weighted_cross_entropy_with_logits(
        SHARES, x, 3.0
    ),
    "reduce_std": lambda tf, x: tf.math.reduce_std(x, axis=1),
    "tensor_scatter_nd_add": lambda tf, x: tf.tensor_scatter_nd_add(x, [[0, 1]], [3.0]) ** 2,
    "where": lambda tf, x: tf.where(x > 0, x, 0.1 * x),
    "matmul": lambda tf, x: tf.matmul(x, x, transpose_b=True),
    "einsum": lambda tf, x: tf.einsum("ij,kj->ik", x, x),
    "relu": lambda tf, x: tf.nn.relu(features=x) * B,
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_function_gradients_match_tensorflow(name: str, tensorflow: Any) -> None:
    found = []
    for tf in (tensorflow, stand_in):
        x = tf.Variable(A)
        with tf.GradientTape() as tape:
            y = GRADIENTS[name](tf, x)
        found.append(np.asarray(tape.gradient(y, x)))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-5)


def test_names_match_tensorflow(tensorflow: Any) -> None:
    for path in ("math", "nn", "linalg", "random", "data", "debugging", "errors", "config"):
        namespace = vars(getattr(stand_in, path))
        missing = [n for n in namespace if not n.startswith("_")]
        assert [n for n in missing if not hasattr(getattr(tensorflow, path), n)] == []
    for name, value in vars(stand_in).items():
        own = hasattr(value, "__wrapped__") or getattr(value, "__module__", "") == stand_in.__name__
        if own and name[0] != "_":
            assert hasattr(tensorflow, name), name


def test_tensorflow_activation_maps_to_builtin() -> None:
    layer = stand_in.keras.layers.Dense(2, activation=stand_in.nn.relu)
    assert layer.get_config()["activation"] == "relu"
    assert stand_in.keras.activations.get(stand_in.nn.gelu) is stand_in.keras.activations.gelu


def test_module_finds_its_variables(tensorflow: Any) -> None:
    def line(tf: Any) -> Any:
        class Line(tf.Module):  # type: ignore[misc]  # the base class depends on the library
            def __init__(self, name: Any = None) -> None:
                super().__init__(name=name)
                self.w = [tf.Variable(2.0), {"a": tf.Variable(3.0, trainable=False)}]
                self.b = tf.Variable(1.0)
                self.number = 7

        class Two(tf.Module):  # type: ignore[misc]  # the base class depends on the library
            def __init__(self) -> None:
                super().__init__()
                self.second, self.first = Line("x"), Line("y")
                self.again = self.first

        return Two()

    ours, theirs = line(stand_in), line(tensorflow)
    assert [float(v) for v in ours.variables] == [float(v) for v in theirs.variables]
    assert len(ours.trainable_variables) == len(theirs.trainable_variables) == 4
    assert (ours.name, ours.first.name) == (theirs.name, theirs.first.name)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("assert_equal", (A, A), (A, B)),
        ("assert_none_equal", (A, A + 1), (A, A)),
        ("assert_less", (A, A + 1), (A, A)),
        ("assert_less_equal", (A, A), (A, B)),
        ("assert_greater", (A + 1, A), (A, A)),
        ("assert_greater_equal", (A, A), (A, B)),
        ("assert_near", (A, A + 1e-7), (A, B)),
        ("assert_positive", (np.abs(A),), (A,)),
        ("assert_non_negative", (A * A,), (A,)),
        ("assert_rank", (A, 2), (A, 1)),
    ],
)
def test_assertions_match_tensorflow(name: str, right: Any, wrong: Any, tensorflow: Any) -> None:
    for tf in (tensorflow, stand_in):
        check = getattr(tf.debugging, name)
        assert check(*right) is None
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="custom message"):
            check(*wrong, message="custom message")
    with pytest.raises(ValueError, match=r"assert_\w+ must hold. Received: "):
        check(*wrong)


def test_print_writes_values_to_stderr(capsys: Any) -> None:
    stand_in.print("loss:", stand_in.constant([1.5]), 2, sep="|")
    assert capsys.readouterr().err == "loss:|[1.5]|2\n"


def test_contexts_have_no_effect() -> None:
    with stand_in.device("/CPU:0"), stand_in.name_scope("layer"):
        assert float(stand_in.constant(1.0)) == 1


def test_settings_are_accepted(tensorflow: Any) -> None:
    for tf in (tensorflow, stand_in):
        assert tf.config.list_physical_devices("GPU") == []
        assert tf.executing_eagerly()
        assert tf.get_logger().name == "tensorflow"
        assert isinstance(tf.version.VERSION, str)
    stand_in.random.set_seed(0)
    stand_in.config.threading.set_intra_op_parallelism_threads(1)


# ------------------------------------------------------------ tf.keras.backend

Q, P = np.float32([[0.5, -2, 3], [-0.25, 4, -1]]), np.float32([[0.25, 0.5, 0.75], [1, 0, 0.125]])
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
BACKEND = {
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


@pytest.mark.parametrize("name", BACKEND)
def test_backend_function_matches_tensorflow(name: str, tensorflow: Any) -> None:
    theirs, ours = (
        np.asarray(BACKEND[name](tf.keras.backend, *map(tf.convert_to_tensor, (Q, P))))
        for tf in (tensorflow, stand_in)
    )
    compare_results(ours, theirs)


def test_backend_functions_are_differentiated() -> None:
    K = stand_in.keras.backend
    w = stand_in.Variable([1.0, 2.0])
    with stand_in.GradientTape() as tape:
        loss = K.mean(K.square(w - K.constant([0.0, 1.0])))
    assert tape.gradient(loss, w).numpy().tolist() == [1.0, 1.0]  # w - target


def test_backend_random_shape_and_moments() -> None:
    K = stand_in.keras.backend
    drawn = K.random_normal(shape=(2000, 2), mean=3.0, stddev=0.5)
    assert drawn.shape == (2000, 2)
    assert abs(float(K.mean(drawn)) - 3) < 0.1
    assert K.int_shape(K.random_uniform((4, 1), minval=2.0, maxval=3.0)) == (4, 1)


# ------------------------------------------------------------ tf.data

X, Y = np.arange(14, dtype=np.float32).reshape(7, 2), np.arange(7)


def windows(tf: Any, size: Any, shift: Any, stride: Any, drop: Any) -> Any:
    parts = tf.data.Dataset.range(10).window(size, shift, stride, drop_remainder=drop)
    return parts.flat_map(lambda part: part.batch(size))


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
        lambda d: d["a"] + 1, num_parallel_calls=2, deterministic=True
    ),
    "map with NumPy": lambda tf: slices(tf).map(
        lambda x, y: tf.numpy_function(lambda x: x[::-1] * 2, [x], tf.float32)
    ),
    "map with Python": lambda tf: slices(tf).map(
        lambda x, y: tf.py_function(lambda x, y: (x.numpy(), y), [x, y], [tf.float32, tf.int64])
    ),
    "filter": lambda tf: slices(tf).filter(lambda x, y: y % 2 == 0),
    "repeat": lambda tf: slices(tf).repeat(2),
    "repeat without end": lambda tf: slices(tf).repeat().take(9),
    "repeat of batches": lambda tf: slices(tf).batch(4).repeat(2).prefetch(1),
    "take": lambda tf: slices(tf).take(3),
    "take all": lambda tf: slices(tf).take(-1),
    "take too many": lambda tf: slices(tf).take(30),
    "skip": lambda tf: slices(tf).skip(5),
    "skip all": lambda tf: slices(tf).skip(-1),
    "concatenate": lambda tf: slices(tf).concatenate(slices(tf).take(1)),
    "enumerate": lambda tf: slices(tf).enumerate(start=4),
    "zip": lambda tf: tf.data.Dataset.zip((slices(tf), tf.data.Dataset.range(3))),
    "zip of two": lambda tf: tf.data.Dataset.zip(tf.data.Dataset.range(3), slices(tf)),
    "zip of a dict": lambda tf: tf.data.Dataset.zip({"a": slices(tf), "b": slices(tf).repeat()}),
    "cache": lambda tf: slices(tf).cache().batch(2),
    "windows": lambda tf: windows(tf, 3, 1, 1, True),
    "windows, shifted": lambda tf: windows(tf, 2, 3, 1, False),
    "windows, strided": lambda tf: windows(tf, 2, None, 3, False),
    "windows, dropped": lambda tf: windows(tf, 3, 2, 2, True),
    "windows of pairs": lambda tf: (
        slices(tf)
        .window(2, drop_remainder=True)
        .flat_map(lambda a, b: tf.data.Dataset.zip((a.batch(2), b.batch(2))))
    ),
    "options": lambda tf: slices(tf).with_options(tf.data.Options()),
    "shuffle of one": lambda tf: slices(tf).shuffle(1),
}


def described(value: Any) -> Any:
    """Return types and values as JSON-compatible objects."""
    if isinstance(value, dict):
        return {key: described(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return [type(value).__name__, *map(described, value)]
    return [type(value).__name__, str(value.dtype), str(value.shape), value.tolist()]


def described_dataset(tf: Any, name: str) -> Any:
    dataset = DATASETS[name](tf)
    passes = [described([*dataset.as_numpy_iterator()]) for _ in range(2)]
    return [passes, int(dataset.cardinality().numpy())]


@pytest.mark.parametrize("name", DATASETS)
def test_dataset_elements_match_recorded(name: str) -> None:
    assert described_dataset(stand_in, name) == recorded.result("datasets", name)


@pytest.mark.wide
@pytest.mark.parametrize("name", DATASETS)
def test_dataset_elements_match_tensorflow(name: str, tensorflow: Any) -> None:
    assert DATASETS[name](stand_in).cardinality().dtype == np.int64
    expected = recorded.result("datasets", name)
    assert described_dataset(tensorflow, name) == expected == described_dataset(stand_in, name)


def test_dataset_cardinality() -> None:
    assert len(slices(stand_in).batch(2)) == 4
    assert slices(stand_in).filter(lambda x, y: False)
    assert stand_in.data.experimental.cardinality(slices(stand_in).repeat()).numpy() == -1


def order(dataset: Any) -> list[int]:
    return [int(y) for _, y in dataset]


def test_shuffle_is_seeded_and_reshuffles() -> None:
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
    pairs = stand_in.data.Dataset.zip((slices(stand_in), slices(stand_in)))
    found = order(pairs.shuffle(3).map(lambda a, b: b))
    assert sorted(found) == [*range(7)]
    assert all(number <= place + 2 for place, number in enumerate(found))


def test_cache_keeps_computed_elements() -> None:
    calls: list[int] = []
    dataset = slices(stand_in).map(lambda x, y: calls.append(1) or y).cache()
    assert [len([*dataset]) for _ in range(3)] == [7, 7, 7]
    assert len(calls) == 7


def test_dataset_trains_like_arrays() -> None:
    x, y = models.data(50)
    dataset = stand_in.data.Dataset.from_tensor_slices((x, y)).batch(8).prefetch(2)
    ways: list[tuple[Any, ...]] = [
        ((dataset,), {"validation_data": dataset}, dataset.map(lambda x, y: x), {}),
        ((x, y), {"validation_data": (x, y), "validation_batch_size": 8}, x, {"batch_size": 8}),
    ]
    results = []
    for given, more, features, size in ways:
        model = models.classifier(metrics=["accuracy"])
        history = model.fit(*given, epochs=3, verbose=0, shuffle=False, **more, **size).history
        figures = [*history.values(), model.evaluate(*given, verbose=0, **size)]
        figures += [model.predict(features, verbose=0, **size), *model.get_weights()]
        results.append(([*history], figures))
    assert results[0][0] == results[1][0]
    for found, expected in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_dataset_length_gives_number_of_steps() -> None:
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


PROGRAMS = {program.__name__: program for program in loops.PROGRAMS}
EVERYDAY = sorted({*PROGRAMS} - {"adversarial", "q_learning"})


@pytest.mark.parametrize("name", mostly_wide(PROGRAMS, *EVERYDAY))
def test_programs_match_tensorflow_weights(name: str, tensorflow: Any) -> None:
    ours, theirs = (PROGRAMS[name](tf) for tf in (stand_in, tensorflow))
    for a, b in zip(map(np.asarray, ours), map(np.asarray, theirs), strict=True):
        assert np.abs(a - b).max() <= 2e-4 * np.abs(b).max()


def test_random_functions_accept_positional_seed(tensorflow: Any) -> None:
    for tf in (tensorflow, stand_in):
        drawn = tf.random.normal([2, 3], 0.0, 1.0, tf.float32, 7)
        assert drawn.shape == (2, 3)


@pytest.mark.parametrize("make", ["constant", "convert_to_tensor"])
@pytest.mark.parametrize("dtype", [stand_in.string, "string"])
def test_tensors_of_strings_are_made(make: str, dtype: Any) -> None:
    function = getattr(stand_in, make)
    assert function("ab", dtype=dtype).numpy() == "ab"
    assert function(["a", "bc"], dtype=dtype).numpy().tolist() == ["a", "bc"]
    assert function(np.array(["a", "bc"]), dtype=dtype).shape == (2,)
