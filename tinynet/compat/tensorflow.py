"""What ``import tensorflow as tf`` becomes: ``import tinynet.compat.tensorflow as tf``.

``tf.keras`` is tinynet. Around it stand the few functions that programs for dense nets use,
each a line of NumPy; their results answer ``.numpy()``. What is not here raises an error that
names it. There is no graph and no device; `GradientTape` and the functions are
tinynet's own (`tinynet.ops`).
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

import tinynet
from tinynet import activations, checks
from tinynet import ops as _ops
from tinynet import random as _draw
from tinynet.compat.data import AUTOTUNE, INFINITE, UNKNOWN, Dataset, TensorSpec
from tinynet.program import GradientTape
from tinynet.unsupported import NotHereError
from tinynet.utils import set_random_seed
from tinynet.variable import Array, Tensor, as_tensor

__version__ = f"{tinynet.__version__}+tinynet"

keras = tinynet
ops: Any = _ops

float16, float32, float64 = np.float16, np.float32, np.float64
int8, int16, int32, int64, uint8 = np.int8, np.int16, np.int32, np.int64, np.uint8
bool, string = np.bool_, np.str_  # TensorFlow's names


def constant(value: Any, dtype: Any = None, shape: Any = None) -> Tensor:
    """Make a tensor; numbers of Python become float32 and int32, as TensorFlow has them.

    Parameters
    ----------
    value : array_like
        The numbers.
    dtype : dtype, optional
        Their type.
    shape : tuple of int, optional
        Their shape.

    Returns
    -------
    Tensor
        The tensor.

    Examples
    --------
    >>> constant([1.0, 2.0]).dtype.name
    'float32'
    """
    checks.not_masked("value", value)
    array = np.array(value, dtype)
    if dtype is None:
        array = _as_numbers(array, value)
    return as_tensor(array if shape is None else np.broadcast_to(array, shape).copy())


def _as_numbers(array: Array, *given: Any) -> Array:
    """Make float32 and int32 of what was computed from numbers of Python, not from arrays."""
    inner = [item for value in given if isinstance(value, list | tuple) for item in value]
    if any(hasattr(value, "dtype") for value in (*given, *inner)):
        return array
    return array.astype({"f": np.float32, "i": np.int32}.get(array.dtype.kind, array.dtype))


class Variable(tinynet.Variable):
    """A tensor that can be assigned to.

    Parameters
    ----------
    initial_value : array_like
        Its first value; numbers of Python become float32 and int32.
    trainable : bool
        Accepted as TensorFlow does: nothing trains it.
    dtype : dtype, optional
        The type.
    name : str, optional
        Its name.

    Examples
    --------
    >>> Variable([1.0, 2.0]).assign_add([1.0, 1.0]).numpy()
    array([2., 3.], dtype=float32)
    """

    def __init__(
        self, initial_value: Any, trainable: Any = True, dtype: Any = None, name: str = "Variable"
    ) -> None:
        super().__init__(np.asarray(constant(initial_value, dtype)), trainable, name=name)


def convert_to_tensor(value: Any, dtype: Any = None) -> Tensor:
    """Make a tensor of an array or of numbers.

    Parameters
    ----------
    value : array_like
        The numbers.
    dtype : dtype, optional
        Their type.

    Returns
    -------
    Tensor
        The tensor.

    Examples
    --------
    >>> convert_to_tensor([1, 2]).numpy()
    array([1, 2], dtype=int32)
    """
    if isinstance(value, Tensor | tinynet.Variable | np.ndarray):
        return ops.convert_to_tensor(value, dtype)
    return constant(value, dtype)


def cast(x: Any, dtype: Any) -> Tensor:
    """Convert a tensor to another type.

    Parameters
    ----------
    x : array_like
        The tensor.
    dtype : dtype
        The type.

    Returns
    -------
    Tensor
        The converted one.

    Examples
    --------
    >>> cast([1, 2], float32).numpy()
    array([1., 2.], dtype=float32)
    """
    return ops.cast(x, dtype)


def argmax(input: Any, axis: int | None = None, output_type: Any = np.int64) -> Tensor:
    """Find where the largest element stands; the first axis is searched if none is named.

    Parameters
    ----------
    input : array_like
        The tensor.
    axis : int, optional
        The axis: 0 unless given.
    output_type : dtype
        The type of the result.

    Returns
    -------
    Tensor
        The positions.

    Examples
    --------
    >>> argmax([[1.0, 3.0, 2.0]], axis=1).numpy()
    array([1])
    """
    return as_tensor(np.argmax(input, axis=0 if axis is None else axis).astype(output_type))


def one_hot(
    indices: Any, depth: int, on_value: float = 1.0, off_value: float = 0.0, dtype: Any = np.float32
) -> Tensor:
    """Make rows that are `on_value` at an index; one that is out of range gives none.

    Parameters
    ----------
    indices : array_like of int
        The indices.
    depth : int
        The length of a row.
    on_value, off_value : float
        The value at the index, and elsewhere.
    dtype : dtype
        The type of the result.

    Returns
    -------
    Tensor
        The rows.

    Examples
    --------
    >>> one_hot([1, -1], 3).numpy()
    array([[0., 1., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    hot = np.asarray(indices)[..., None] == np.arange(int(depth))
    return as_tensor(np.where(hot, on_value, off_value).astype(dtype))


def confusion_matrix(
    labels: Any, predictions: Any, num_classes: int | None = None, dtype: Any = np.int32
) -> Tensor:
    """Count how often each label (row) was predicted as each class (column).

    Parameters
    ----------
    labels, predictions : array_like of int, shape (N,)
        The true and the predicted classes.
    num_classes : int, optional
        The number of classes; by default one more than the largest.
    dtype : dtype
        The type of the result.

    Returns
    -------
    Tensor, shape (C, C)
        The counts.

    Raises
    ------
    ValueError
        If a class is out of range.

    Examples
    --------
    >>> confusion_matrix([0, 1, 1], [0, 1, 0]).numpy()
    array([[1, 0],
           [1, 1]], dtype=int32)
    """
    true, predicted = (np.asarray(a).astype(np.int64).reshape(-1) for a in (labels, predictions))
    largest = int(max(true.max(initial=-1), predicted.max(initial=-1)))
    size = largest + 1 if num_classes is None else int(num_classes)
    if min(true.min(initial=0), predicted.min(initial=0)) < 0 or largest >= size:
        raise ValueError(f"Classes must be from 0 to {size - 1}. Received: up to {largest}")
    counts = np.zeros((size, size), dtype)
    np.add.at(counts, (true, predicted), 1)
    return as_tensor(counts)


def function(func: Any = None, **options: Any) -> Any:
    """Return a function as it is: there is no graph to make of it.

    Parameters
    ----------
    func : callable, optional
        The function.
    **options : object
        Accepted as TensorFlow does, without effect.

    Returns
    -------
    callable
        The function, or a decorator.

    Examples
    --------
    >>> function(len) is len
    True
    """
    return func if func is not None else lambda f: f


def get_logger() -> logging.Logger:
    """Return the logger named ``"tensorflow"``, so that programs can set its level.

    Returns
    -------
    logging.Logger
        The logger.

    Examples
    --------
    >>> get_logger().name
    'tensorflow'
    """
    return logging.getLogger("tensorflow")


def executing_eagerly() -> Any:
    """Return True: every call computes at once.

    Returns
    -------
    bool
        True.

    Examples
    --------
    >>> executing_eagerly()
    True
    """
    return True


def _named(call: Callable[..., Any]) -> Callable[..., Any]:
    """Accept TensorFlow's argument `name`, which has no effect."""

    @functools.wraps(call)
    def named(*args: Any, name: Any = None, **kwargs: Any) -> Any:
        return call(*args, **kwargs)

    return named


# fmt: off
_SAME = (
    "abs", "add", "subtract", "multiply", "divide", "maximum", "minimum", "exp", "log1p", "expm1",
    "sqrt", "rsqrt", "square", "sign", "round", "floor", "ceil", "sin", "cos", "tan", "sinh",
    "cosh", "tanh", "sigmoid", "softplus", "reciprocal", "reshape", "transpose", "squeeze",
    "expand_dims", "stack", "unstack", "tile", "repeat", "roll", "broadcast_to", "where", "matmul",
    "tensordot", "cumsum", "stop_gradient", "equal", "not_equal", "greater", "greater_equal",
    "less", "less_equal", "logical_and", "logical_or", "logical_not", "argsort", "sort", "size",
    "shape", "eye", "linspace", "is_tensor", "zeros", "ones", "zeros_like", "ones_like", "norm",
    "erf", "log", "top_k", "l2_normalize", "erfc", "is_finite", "is_nan", "is_inf", "mod",
)
_OTHER_NAMES = {
    "l2_normalize": "normalize", "is_finite": "isfinite", "is_nan": "isnan", "is_inf": "isinf",
}
_ACTIVATIONS = (
    "relu", "softmax", "sigmoid", "tanh", "elu", "selu", "softplus", "softsign", "silu", "gelu",
    "leaky_relu", "relu6", "log_softmax",
)
# Top-level names in TensorFlow; the others are in tf.math, tf.linalg or tf.nn only.
_DEEPER = {
    "log", "log1p", "expm1", "rsqrt", "ceil", "softplus", "reciprocal", "top_k", "l2_normalize",
    "erf", "erfc", "is_finite", "is_nan", "is_inf", "mod",
}
# fmt: on
_math = {name: _named(getattr(ops, _OTHER_NAMES.get(name, name))) for name in _SAME}
globals().update({name: call for name, call in _math.items() if name not in _DEEPER})
range = _named(ops.arange)
concat = _named(ops.concatenate)
gather = _named(lambda params, indices, axis=0: ops.take(params, indices, axis=axis))
identity = _named(ops.convert_to_tensor)
fill = _named(lambda dims, value: ops.broadcast_to(constant(value), shape=tuple(dims)))
pow = _named(lambda x, y: ops.power(x, y))
negative = _named(ops.negative)
reverse = _named(lambda tensor, axis: ops.flip(tensor, axis))
rank = _named(ops.ndim)
pad = _named(
    lambda tensor, paddings, mode="CONSTANT", constant_values=0: ops.pad(
        tensor,
        tuple(map(tuple, np.asarray(paddings))),
        mode.lower(),
        constant_values if mode.upper() == "CONSTANT" else None,
    )
)
clip_by_value = _named(
    lambda t, clip_value_min, clip_value_max: ops.clip(t, clip_value_min, clip_value_max)
)


@_named
def clip_by_norm(t: Any, clip_norm: Any, axes: Any = None) -> Tensor:
    """Scale a tensor down to a norm of at most `clip_norm`, over some axes or all of it."""
    axes = tuple(axes) if isinstance(axes, list) else axes
    squares = ops.sum(ops.square(t), axis=axes, keepdims=True)
    positive = squares > 0  # the root has no gradient at 0
    norm = ops.where(positive, ops.sqrt(ops.where(positive, squares, 1.0)), squares)
    clipped: Tensor = ops.multiply(t, clip_norm) / ops.maximum(norm, clip_norm)
    return clipped


@_named
def global_norm(t_list: Any) -> Tensor:
    """Compute the norm of all elements of several tensors; None is left out."""
    if not isinstance(t_list, list | tuple):
        raise TypeError(f"t_list must be a list of tensors. Received: {checks.shorten(t_list)}")
    squares = [ops.sum(ops.square(t)) for t in t_list if t is not None]
    norm: Tensor = ops.sqrt(functools.reduce(ops.add, squares, as_tensor(np.float32(0))))
    return norm


@_named
def clip_by_global_norm(
    t_list: Any, clip_norm: Any, use_norm: Any = None
) -> tuple[list[Any], Tensor]:
    """Scale tensors, such as gradients, down to a norm of at most `clip_norm` together.

    Parameters
    ----------
    t_list : list of (Tensor or None)
        Tensors; None stays None.
    clip_norm : float
        Largest norm of all elements together.
    use_norm : float, optional
        Norm to use instead of the computed one.

    Returns
    -------
    list of (Tensor or None)
        Scaled tensors: NaN if the norm is not finite.
    Tensor
        The norm before.

    Examples
    --------
    >>> tensors, norm = clip_by_global_norm([constant([3.0]), None, constant([4.0])], 1.0)
    >>> float(norm), [None if t is None else float(t[0]) for t in tensors]
    (5.0, [0.6000000238418579, None, 0.800000011920929])
    """
    norm = global_norm(t_list) if use_norm is None else convert_to_tensor(use_norm)
    with np.errstate(divide="ignore", invalid="ignore"):  # the last term is NaN on purpose
        scale = clip_norm * ops.minimum(1.0 / norm, 1.0 / clip_norm) + (norm - norm)
    return [None if t is None else ops.multiply(t, scale) for t in t_list], norm


@_named
def split(value: Any, num_or_size_splits: Any, axis: int = 0) -> list[Tensor]:
    """Cut an axis into equal parts, or into parts of the given sizes."""
    cuts = num_or_size_splits
    if not isinstance(cuts, int):
        cuts = [int(n) for n in np.cumsum(cuts)[:-1]]
    return ops.split(value, cuts, axis)


@_named
def argmin(input: Any, axis: int | None = None, output_type: Any = np.int64) -> Tensor:
    """Return the index of the smallest element along an axis, by default the first."""
    return as_tensor(np.argmin(input, axis=0 if axis is None else axis).astype(output_type))


def _reduce(name: str) -> Callable[..., Tensor]:
    operation = getattr(ops, name)

    def call(input_tensor: Any, axis: Any = None, keepdims: Any = False) -> Tensor:
        axis = tuple(axis) if isinstance(axis, list) else axis
        result: Tensor = operation(input_tensor, axis=axis, keepdims=keepdims)
        if name == "mean" and np.asarray(ops.convert_to_numpy(input_tensor)).dtype.kind in "iu":
            result = ops.cast(ops.floor(result), "int32")
        return result

    call.__doc__ = f"Compute `{name}` over axes."
    return _named(call)


reduce_mean, reduce_sum, reduce_max, reduce_min, reduce_all, reduce_any, reduce_prod = map(
    _reduce, ("mean", "sum", "max", "min", "all", "any", "prod")
)


@_named
def numpy_function(func: Any, inp: Any, Tout: Any, stateful: Any = True) -> Any:
    """Call a function with plain arrays, and convert its results to the given dtypes."""
    results = func(*(ops.convert_to_numpy(x) for x in inp))
    if isinstance(Tout, list | tuple):
        return [as_tensor(np.asarray(r, t)) for r, t in zip(results, Tout, strict=True)]
    return as_tensor(np.asarray(results, Tout))


@_named
def py_function(func: Any, inp: Any, Tout: Any) -> Any:
    """Call a function with tensors, and convert its results to the given dtypes."""
    results = func(*map(convert_to_tensor, inp))
    if isinstance(Tout, list | tuple):
        return [ops.cast(convert_to_tensor(r), t) for r, t in zip(results, Tout, strict=True)]
    return ops.cast(convert_to_tensor(results), Tout)


def TensorShape(dims: Any) -> Any:
    """Return a shape as a tuple; None is a shape of any rank."""
    return None if dims is None else tuple(dims)


class UnconnectedGradients:
    """What a tape returns for a source that the target does not depend on."""

    NONE, ZERO = "none", "zero"


class _Namespace(SimpleNamespace):
    """A module's worth of names; one that is not there is refused by name."""

    def __init__(self, path: str, **names: Any) -> None:
        super().__init__(**names)
        self.__dict__["_path"] = path

    def __getattr__(self, name: str) -> Any:
        _missing(f"{self.__dict__.get('_path', '')}.{name}", name)


def _missing(full: str, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    hints = {
        "saved_model": "use model.save('name.keras') and keras.models.load_model",
        "compat": "there is no TensorFlow 1",
    }
    hint = hints.get(full.split(".")[0])
    # An import statement would pass over an AttributeError's own words.
    error = NotHereError if hint is None else NotImplementedError
    hint = hint or "use NumPy: Tensors and Variables are arrays to it"
    raise error(
        f"tinynet stands in for TensorFlow only around Keras, and has no tf.{full}; {hint}. "
        f"Received: tf.{full}"
    )


def __getattr__(name: str) -> Any:
    _missing(name, name)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Accept what TensorFlow accepts; there is nothing to configure."""


def _none_of_them(*args: Any, **kwargs: Any) -> list[Any]:
    """Return no devices: tinynet computes on the processor."""
    return []


def _seeded(call: Callable[..., Any]) -> Callable[..., Any]:
    """Draw further numbers on every call with a seed, as TensorFlow does."""

    def draw(*args: Any, seed: Any = None, name: Any = None, **kwargs: Any) -> Any:
        return call(*args, **kwargs, seed=None if seed is None else _draw.sequence(seed))

    return draw


def _uniform(
    shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = np.float32, seed: Any = None
) -> Tensor:
    if np.dtype(dtype).kind == "f":
        return _draw.uniform(shape, minval, 1 if maxval is None else maxval, dtype, seed)
    return _draw.randint(shape, minval, maxval, dtype, seed)


nn = _Namespace(
    "nn",
    dropout=_seeded(
        lambda x, rate, noise_shape=None, seed=None: _draw.dropout(x, rate, noise_shape, seed)
    ),
    **{name: activations.get(name) for name in _ACTIVATIONS},
    swish=activations.silu,
    l2_normalize=_math["l2_normalize"],
    top_k=_math["top_k"],
    moments=_named(lambda x, axes, keepdims=False: ops.moments(x, axes, keepdims)),
    l2_loss=_named(lambda t: ops.sum(ops.square(t)) / 2),
    sigmoid_cross_entropy_with_logits=_named(
        lambda labels, logits: ops.binary_crossentropy(labels, logits, from_logits=True)
    ),
    softmax_cross_entropy_with_logits=_named(
        lambda labels, logits, axis=-1: ops.categorical_crossentropy(labels, logits, True, axis)
    ),
    sparse_softmax_cross_entropy_with_logits=_named(
        lambda labels, logits: ops.sparse_categorical_crossentropy(labels, logits, True)
    ),
)
math = _Namespace(
    "math",
    **_math,
    confusion_matrix=confusion_matrix,
    argmax=argmax,
    argmin=argmin,
    pow=pow,
    negative=negative,
    divide_no_nan=_named(ops.divide_no_nan),
    reduce_mean=reduce_mean,
    reduce_sum=reduce_sum,
    reduce_max=reduce_max,
    reduce_min=reduce_min,
    reduce_prod=reduce_prod,
    reduce_std=_reduce("std"),
    reduce_variance=_reduce("var"),
    reduce_logsumexp=_reduce("logsumexp"),
)
linalg = _Namespace("linalg", matmul=_math["matmul"], norm=_math["norm"], global_norm=global_norm)
random = _Namespace(
    "random",
    set_seed=set_random_seed,
    normal=_seeded(_draw.normal),
    truncated_normal=_seeded(_draw.truncated_normal),
    uniform=_seeded(_uniform),
    shuffle=_seeded(lambda value, seed=None: _draw.shuffle(value, seed=seed)),
    categorical=_seeded(
        lambda logits, num_samples, dtype=np.int64, seed=None: _draw.categorical(
            logits, num_samples, dtype or np.int64, seed
        )
    ),
)
data = _Namespace(
    "data",
    Dataset=Dataset,
    AUTOTUNE=AUTOTUNE,
    INFINITE_CARDINALITY=INFINITE,
    UNKNOWN_CARDINALITY=UNKNOWN,
    Options=SimpleNamespace,
    experimental=_Namespace(
        "data.experimental", AUTOTUNE=AUTOTUNE, cardinality=lambda dataset: dataset.cardinality()
    ),
)
version = _Namespace("version", VERSION=__version__)
test = _Namespace("test", is_gpu_available=lambda *a, **k: False, gpu_device_name=lambda: "")
config = _Namespace(
    "config",
    list_physical_devices=_none_of_them,
    list_logical_devices=_none_of_them,
    get_visible_devices=_none_of_them,
    set_visible_devices=_nothing,
    run_functions_eagerly=_nothing,
    threading=_Namespace(
        "config.threading",
        set_intra_op_parallelism_threads=_nothing,
        set_inter_op_parallelism_threads=_nothing,
    ),
    experimental=_Namespace(
        "config.experimental",
        set_memory_growth=_nothing,
        list_physical_devices=_none_of_them,
        enable_op_determinism=_nothing,
    ),
    optimizer=_Namespace("config.optimizer", set_jit=_nothing),
)

__all__ = ["GradientTape", "Tensor", "TensorSpec", "Variable", "keras"]

# `from tinynet.compat.tensorflow.keras.layers import Dense` finds the very same modules.
sys.modules[f"{__name__}.keras"] = tinynet
for _key, _module in list(sys.modules.items()):
    if _key.startswith("tinynet.") and ".compat" not in _key and isinstance(_module, ModuleType):
        sys.modules[f"{__name__}.keras{_key[len('tinynet') :]}"] = _module
