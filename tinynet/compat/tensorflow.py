"""Drop-in replacement for TensorFlow: ``import tinynet.compat.tensorflow as tf``.

``tf.keras`` is tinynet. The TensorFlow functions used in programs for dense networks are
implemented with `tinynet.ops`. ``tensorflow.txt`` lists TensorFlow's names and parameter names, and
this module defines the functions that differ in more than names. Accessing any other name raises an
error that states the name. Graphs and devices are not supported.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import inspect
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

import tinynet
from tinynet import activations
from tinynet import ops as _ops
from tinynet import random as _draw
from tinynet._core import checks
from tinynet._core.keras_names import NotHereError
from tinynet.compat.data import AUTOTUNE, INFINITE, UNKNOWN, Dataset, TensorSpec
from tinynet.program import GradientTape, SymbolicTensor
from tinynet.program.tensor import as_default
from tinynet.program.variable import Array, Tensor, as_tensor

__version__ = f"{tinynet.__version__}+tinynet"

ops: Any = _ops
__all__ = ["GradientTape", "Tensor", "TensorSpec", "Variable", "keras"]
_IMPORTED = {*globals()}.difference(__all__)


def __dir__() -> list[str]:
    return sorted(name for name in globals() if name[0] != "_" and name not in _IMPORTED)


keras = tinynet

half, float16, float32, float64, double = (np.dtype(f"f{n}").type for n in (2, 2, 4, 8, 8))
int8, int16, int32, int64 = np.int8, np.int16, np.int32, np.int64
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
bool, string = np.bool_, np.str_  # names in TensorFlow
newaxis = None
losses, metrics, optimizers = keras.losses, keras.metrics, keras.optimizers
initializers = keras.initializers
zeros_initializer, ones_initializer = initializers.Zeros, initializers.Ones
constant_initializer = initializers.Constant
random_normal_initializer = initializers.RandomNormal
random_uniform_initializer = initializers.RandomUniform


def constant(value: Any, dtype: Any = None, shape: Any = None, name: Any = None) -> Tensor:
    """Create a tensor; Python numbers become float32 and int32, as in TensorFlow.

    Parameters
    ----------
    value : array_like
        Values.
    dtype : dtype, optional
        Data type.
    shape : tuple of int, optional
        Shape to which the values are broadcast.
    name : str, optional
        Ignored.

    Returns
    -------
    Tensor
        New tensor.

    Examples
    --------
    >>> constant([1.0, 2.0]).dtype.name
    'float32'
    """
    checks.not_masked("value", value)
    dtype = string if dtype == "string" else dtype
    array = np.array(value, dtype if dtype in (None, string) else checks.type_name(dtype))
    if dtype is None:
        array = _as_numbers(array, value)
    return as_tensor(array if shape is None else np.broadcast_to(array, shape).copy())


def _as_numbers(array: Array, *given: Any) -> Array:
    """Convert to float32 and int32, unless one of the given values is an array."""
    inner = [item for value in given if isinstance(value, list | tuple) for item in value]
    if any(hasattr(value, "dtype") for value in (*given, *inner)):
        return array
    return array.astype(np.float32) if array.dtype.kind == "f" else as_default(array)


class Variable(tinynet.Variable):
    """Tensor with a mutable value.

    Parameters
    ----------
    initial_value : array_like or callable
        Initial value, or function that returns it. Python numbers become float32 and int32.
    trainable : bool, optional
        Whether a `GradientTape` watches the variable, by default True.
    name : str, optional
        Name of the variable.
    dtype : dtype, optional
        Data type.
    constraint : callable, optional
        Function that optimizers apply after an update.
    shape : tuple of int, optional
        Required shape of the initial value.

    Examples
    --------
    >>> Variable([1.0, 2.0]).assign_add([1.0, 1.0]).numpy()
    array([2., 3.], dtype=float32)
    """

    is_tracked = False

    def __init__(
        self,
        initial_value: Any,
        trainable: Any = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        constraint: Any = None,
        shape: Any = None,
    ) -> None:
        value = constant(initial_value() if callable(initial_value) else initial_value, dtype)
        if shape is not None:
            value = ensure_shape(value, shape)
        super().__init__(np.asarray(value), trainable is not False, name=name or "Variable")
        self.constraint = constraint

    def read_value(self) -> Tensor:
        """Return a copy of the value as a tensor."""
        return ops.convert_to_tensor(self)

    @property
    def value(self) -> Any:
        """View of the value; calling it, as in TensorFlow 2, returns the value."""
        view = super().value
        view.__class__ = _Value if isinstance(view, Tensor) else _Symbol
        return view


class _Callable:
    def __call__(self) -> Tensor:
        return ops.convert_to_tensor(self)


class _Value(_Callable, Tensor):  # type: ignore[misc]  # as in the class Tensor
    pass


class _Symbol(_Callable, SymbolicTensor):
    pass


class Module:
    """Base class of objects whose attributes contain variables.

    Parameters
    ----------
    name : str, optional
        Name, by default the class name in lower case.

    Examples
    --------
    >>> class Line(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.slopes = [Variable(2.0), Variable(3.0, trainable=False)]
    >>> len(Line().variables), len(Line().trainable_variables)
    (2, 1)
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name or type(self).__name__.lower()

    @property
    def variables(self) -> tuple[Any, ...]:
        """Variables in attributes, and in lists, dicts, modules and layers in attributes."""
        found: dict[int, Any] = {}
        ready: list[Any] = [*map(vars(self).get, sorted(vars(self)))]
        while ready:
            item = ready.pop(0)
            if isinstance(item, tinynet.Variable):
                found.setdefault(id(item), item)
            elif isinstance(item, list | tuple | dict):
                ready[:0] = item.values() if isinstance(item, dict) else item
            elif item is not self:
                ready[:0] = getattr(item, "variables", ())
        return tuple(found.values())

    @property
    def trainable_variables(self) -> tuple[Any, ...]:
        """Trainable variables."""
        return tuple(v for v in self.variables if v.trainable)


def convert_to_tensor(
    value: Any, dtype: Any = None, dtype_hint: Any = None, name: Any = None
) -> Tensor:
    """Convert an array or numbers to a tensor; Python numbers become float32 and int32.

    Parameters
    ----------
    value : array_like
        Values.
    dtype : dtype, optional
        Data type.
    dtype_hint : dtype, optional
        Ignored.
    name : str, optional
        Ignored.

    Returns
    -------
    Tensor
        Tensor with these values.

    Examples
    --------
    >>> convert_to_tensor([1, 2]).numpy()
    array([1, 2], dtype=int32)
    """
    is_text = dtype in (string, "string")
    plain = is_text or isinstance(value, int | float | np.generic | list | tuple)
    return constant(value, dtype) if plain else ops.convert_to_tensor(value, dtype)


def _confusion_matrix(
    labels: Any,
    predictions: Any,
    num_classes: int | None = None,
    weights: Any = None,
    dtype: Any = np.int32,
) -> Tensor:
    """Compute the confusion matrix, shape (C, C): labels (rows) by predicted classes (columns).

    Labels and predictions have shape (N,), as do the optional weights of the examples.
    `num_classes` is by default the largest class plus 1.

    >>> math.confusion_matrix([0, 1, 1], [0, 1, 0]).numpy()
    array([[1, 0],
           [1, 1]], dtype=int32)
    """
    true, predicted = (np.asarray(a).astype(np.int64).reshape(-1) for a in (labels, predictions))
    largest = int(max(true.max(initial=-1), predicted.max(initial=-1)))
    size = largest + 1 if num_classes is None else int(num_classes)
    lowest = int(min(true.min(initial=0), predicted.min(initial=0)))
    expected = f"labels and predictions must be classes from 0 to {size - 1}"
    checks.require(lowest >= 0 and largest < size, expected, f"class {min(lowest, 0) or largest}")
    counts = np.zeros((size, size), checks.type_name(dtype))
    added = 1 if weights is None else np.asarray(weights, counts.dtype)
    np.add.at(counts, (true, predicted), added)
    return as_tensor(counts)


def function(func: Any = None, **options: Any) -> Any:
    """Return a function unchanged: tinynet does not compile functions to graphs.

    Parameters
    ----------
    func : callable, optional
        Function to decorate.
    **options : object
        Ignored; present for compatibility with TensorFlow.

    Returns
    -------
    callable
        `func`, or a decorator if it is not given.

    Examples
    --------
    >>> function(len) is len
    True
    """
    return func if func is not None else lambda f: f


def get_logger() -> logging.Logger:
    """Return the logger named ``"tensorflow"``, whose level programs may set."""
    return logging.getLogger("tensorflow")


def executing_eagerly() -> Any:
    """Return True: operations are always executed eagerly."""
    return True


def print(*inputs: Any, output_stream: Any = None, end: str = "\n", **options: Any) -> None:
    """Print values to standard error, as TensorFlow does."""
    shown = (ops.convert_to_numpy(i) if hasattr(i, "numpy") else i for i in inputs)
    stream = output_stream if hasattr(output_stream, "write") else sys.stderr
    builtins.print(*shown, sep=options.get("sep", " "), end=end, file=stream)


def name_scope(name: Any = None) -> Any:
    """Return a context manager that does nothing."""
    return contextlib.nullcontext(name)


device = name_scope


def cumsum(x: Any, axis: int = 0, exclusive: Any = False, reverse: Any = False) -> Tensor:
    """Compute the cumulative sum along an axis; `exclusive` omits the element itself."""
    x = ops.convert_to_tensor(x)
    y = ops.flip(ops.cumsum(ops.flip(x, axis), axis), axis) if reverse else ops.cumsum(x, axis)
    return y - x if exclusive else y


def _segment_mean(data: Any, segment_ids: Any, num_segments: Any = None) -> Tensor:
    """Compute the mean of the rows of each segment; 0 for empty segments."""
    counts = ops.segment_sum(ops.ones_like(data), segment_ids, num_segments)
    return ops.segment_sum(data, segment_ids, num_segments) / ops.maximum(counts, 1)


def _cumprod(x: Any, axis: int = 0) -> Tensor:
    """Compute the cumulative product along an axis."""
    return ops.cumprod(x, axis=axis)


def sort(values: Any, axis: int = -1, direction: str = "ASCENDING") -> Tensor:
    """Sort along an axis."""
    return ops.take_along_axis(values, argsort(values, axis, direction), axis=axis)


def argsort(
    values: Any, axis: int = -1, direction: str = "ASCENDING", stable: Any = False
) -> Tensor:
    """Return the indices that sort along an axis."""
    if direction == "ASCENDING":
        return ops.argsort(values, axis=axis)
    rows = ops.moveaxis(values, axis, -1)
    return ops.moveaxis(ops.top_k(rows, rows.shape[-1])[1], -1, axis)


def argmax(input: Any, axis: Any = None, output_type: Any = np.int64) -> Tensor:
    """Return the index of the largest element along an axis, by default the first."""
    return ops.cast(ops.argmax(input, axis=0 if axis is None else axis), output_type)


def argmin(input: Any, axis: Any = None, output_type: Any = np.int64) -> Tensor:
    """Return the index of the smallest element along an axis, by default the first."""
    return ops.cast(ops.argmin(input, axis=0 if axis is None else axis), output_type)


def one_hot(
    indices: Any,
    depth: Any,
    on_value: Any = None,
    off_value: Any = None,
    axis: Any = None,
    dtype: Any = np.float32,
) -> Tensor:
    """Encode indices as one-hot rows; out-of-range indices give rows of `off_value`."""
    hot = ops.one_hot(indices, int(depth), -1 if axis is None else axis, dtype)
    if on_value is None and off_value is None:
        return hot
    on, off = 1 if on_value is None else on_value, 0 if off_value is None else off_value
    return ops.cast(ops.where(hot == 1, on, off), dtype)


def where(condition: Any, x: Any = None, y: Any = None) -> Tensor:
    """Select x where the condition is True, and y elsewhere.

    Without x and y, return the indices of the elements that are True.
    """
    if x is None and y is None:
        return as_tensor(np.argwhere(ops.convert_to_numpy(condition)))
    return ops.where(condition, x, y)


def gather(
    params: Any, indices: Any, validate_indices: Any = None, axis: Any = None, batch_dims: int = 0
) -> Tensor:
    """Gather slices by index along an axis."""
    indices = ops.convert_to_tensor(indices)
    axis = batch_dims if axis is None else axis
    if batch_dims == 0:
        return ops.take(params, indices, axis=axis)
    if batch_dims != 1 or axis != 1:
        raise ValueError(
            f"batch_dims must be 0, or 1 with axis=1. Received: {batch_dims=}, {axis=}"
        )
    rows = ops.reshape(ops.arange(ops.shape(indices)[0]), (-1, *[1] * (indices.ndim - 1)))
    return ops.gather_nd(params, ops.stack([ops.zeros_like(indices) + rows, indices], axis=-1))


def boolean_mask(tensor: Any, mask: Any, axis: Any = None) -> Tensor:
    """Select the elements, or slices, for which the mask is True."""
    before = (builtins.slice(None),) * (axis or 0)
    return ops.get_item(tensor, (*before, np.asarray(mask, np.bool_)))


def slice(input_: Any, begin: Any, size: Any) -> Tensor:
    """Extract a slice that starts at `begin`; a size of -1 extends to the end."""
    ends = (None if n == -1 else b + n for b, n in zip(begin, size, strict=True))
    return ops.get_item(input_, tuple(map(builtins.slice, begin, ends)))


def split(value: Any, num_or_size_splits: Any, axis: int = 0) -> list[Tensor]:
    """Split an axis into equal parts, or into parts of the given sizes."""
    cuts = num_or_size_splits
    return ops.split(value, cuts if isinstance(cuts, int) else np.cumsum(cuts)[:-1].tolist(), axis)


def fill(dims: Any, value: Any) -> Tensor:
    """Return a tensor filled with a value."""
    return ops.broadcast_to(convert_to_tensor(value), shape=tuple(dims))


def pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0) -> Tensor:
    """Pad every axis at both ends."""
    value = constant_values if mode.upper() == "CONSTANT" else None
    return ops.pad(tensor, tuple(map(tuple, np.asarray(paddings).tolist())), mode.lower(), value)


def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any) -> Tensor:
    """Clip elements to a range."""
    return ops.minimum(ops.maximum(t, clip_value_min), clip_value_max)


def matmul(
    a: Any, b: Any, transpose_a: Any = False, transpose_b: Any = False, **options: Any
) -> Tensor:
    """Compute a matrix product, optionally of transposed matrices."""
    a = ops.swapaxes(a, -1, -2) if transpose_a else a
    return ops.matmul(a, ops.swapaxes(b, -1, -2) if transpose_b else b)


def add_n(inputs: Any) -> Tensor:
    """Compute the sum of several tensors."""
    return functools.reduce(ops.add, inputs)


def reduce_mean(input_tensor: Any, axis: Any = None, keepdims: Any = False) -> Tensor:
    """Compute the mean over axes; the mean of integers is an integer."""
    mean, own = ops.mean(input_tensor, axis, keepdims), ops.dtype(input_tensor)
    return ops.cast(mean, own) if "int" in own else mean


def _reduce_euclidean_norm(input_tensor: Any, axis: Any = None, keepdims: Any = False) -> Tensor:
    """Compute the Euclidean norm over axes."""
    return ops.sqrt(ops.sum(ops.square(input_tensor), axis, keepdims))


def norm(tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: Any = False) -> Tensor:
    """Compute a norm; by default, that of all elements as one vector."""
    if axis is not None:
        return ops.norm(tensor, ord, axis, keepdims)
    y = ops.norm(ops.reshape(tensor, (-1,)), ord)
    return ops.reshape(y, [1] * np.ndim(tensor)) if keepdims else y


def _squared_difference(x: Any, y: Any) -> Tensor:
    """Compute ``(x - y) ** 2``."""
    return ops.square(ops.subtract(x, y))


def tensor_scatter_nd_add(tensor: Any, indices: Any, updates: Any) -> Tensor:
    """Add updates to the elements at the given indices."""
    return ops.scatter_update(tensor, indices, updates, reduction="add")


def map_fn(fn: Any, elems: Any, *args: Any, **options: Any) -> Any:
    """Apply a function to the slices along the first axis, and stack the results."""
    several = isinstance(elems, list | tuple)
    slices = zip(*map(ops.unstack, elems), strict=True) if several else ops.unstack(elems)
    results = [*map(fn, slices)]
    if isinstance(results[0], list | tuple):
        return type(results[0])(map(ops.stack, zip(*results, strict=True)))
    return ops.stack(results)


def ensure_shape(x: Any, shape: Any) -> Tensor:
    """Return a tensor after checking its shape; None matches any size."""
    own = np.shape(x)
    if len(own) != len(shape) or any(s not in (None, n) for s, n in zip(shape, own, strict=True)):
        raise ValueError(f"x must have the shape {tuple(shape)}. Received: shape {own}")
    return ops.convert_to_tensor(x)


def clip_by_norm(t: Any, clip_norm: Any, axes: Any = None) -> Tensor:
    """Scale a tensor so that its norm over `axes`, by default all, is at most `clip_norm`."""
    axes = tuple(axes) if isinstance(axes, list) else axes
    squares = ops.sum(ops.square(t), axis=axes, keepdims=True)
    positive = squares > 0  # the gradient of the square root is infinite at 0
    norm = ops.where(positive, ops.sqrt(ops.where(positive, squares, 1.0)), squares)
    return ops.multiply(t, clip_norm) / ops.maximum(norm, clip_norm)


def _global_norm(t_list: Any) -> Tensor:
    """Compute the norm of all elements of several tensors, ignoring None."""
    if not isinstance(t_list, list | tuple):
        raise TypeError(f"t_list must be a list of tensors. Received: {checks.shorten(t_list)}")
    squares = [ops.sum(ops.square(t)) for t in t_list if t is not None]
    return ops.sqrt(functools.reduce(ops.add, squares, as_tensor(np.float32(0))))


def clip_by_global_norm(
    t_list: Any, clip_norm: Any, use_norm: Any = None
) -> tuple[list[Any], Tensor]:
    """Scale tensors, such as gradients, to a global norm of at most `clip_norm`.

    Parameters
    ----------
    t_list : list of (Tensor or None)
        Tensors; None is kept.
    clip_norm : float
        Maximum norm of all elements together.
    use_norm : float, optional
        Global norm, if it is already known.

    Returns
    -------
    list of (Tensor or None)
        Scaled tensors; NaN if the norm is not finite.
    Tensor
        Global norm before scaling.

    Examples
    --------
    The norm of (3, 4) is 5, so the elements are divided by 5:

    >>> tensors, norm = clip_by_global_norm([constant([3.0]), None, constant([4.0])], 1.0)
    >>> float(norm), [None if t is None else float(t[0]) for t in tensors]
    (5.0, [0.6000000238418579, None, 0.800000011920929])
    """
    norm = _global_norm(t_list) if use_norm is None else convert_to_tensor(use_norm)
    with np.errstate(divide="ignore", invalid="ignore"):  # norm - norm is NaN if norm is not finite
        scale = clip_norm * ops.minimum(1.0 / norm, 1.0 / clip_norm) + (norm - norm)
    return [None if t is None else ops.multiply(t, scale) for t in t_list], norm


# ------------------------------------------------------------ tf.nn


def _moments(x: Any, axes: Any, shift: Any = None, keepdims: Any = False) -> Any:
    """Compute mean and variance over axes."""
    return ops.moments(x, axes, keepdims)


def _batch_normalization(
    x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: Any
) -> Tensor:
    """Compute ``(x - mean) / sqrt(variance + epsilon) * scale + offset``."""
    factor = ops.rsqrt(ops.add(variance, variance_epsilon))
    factor = factor if scale is None else factor * scale
    shift = -mean * factor if offset is None else offset - mean * factor
    return x * factor + shift


def _weighted_cross_entropy_with_logits(labels: Any, logits: Any, pos_weight: Any) -> Tensor:
    """Compute the sigmoid cross-entropy with a weight for positive classes."""
    weight = 1 + (pos_weight - 1) * ops.convert_to_tensor(labels)
    return (1 - labels) * logits + weight * ops.softplus(ops.negative(logits))


def _sigmoid_cross_entropy_with_logits(labels: Any, logits: Any) -> Tensor:
    """Compute the cross-entropy of independent classes, elementwise."""
    return ops.binary_crossentropy(labels, logits, from_logits=True)


def _softmax_cross_entropy_with_logits(labels: Any, logits: Any, axis: int = -1) -> Tensor:
    """Compute the cross-entropy of class probabilities, one value per example."""
    return ops.categorical_crossentropy(labels, logits, True, axis)


def _sparse_softmax_cross_entropy_with_logits(labels: Any, logits: Any) -> Tensor:
    """Compute the cross-entropy of integer class labels, one value per example."""
    return ops.sparse_categorical_crossentropy(labels, logits, True)


def _l2_loss(t: Any) -> Tensor:
    """Compute half the sum of squares."""
    return ops.sum(ops.square(t)) / 2


def _bias_add(value: Any, bias: Any, data_format: Any = None) -> Tensor:
    """Add a bias vector to every example."""
    return ops.add(value, bias)


def _embedding_lookup(params: Any, ids: Any) -> Tensor:
    """Return the rows with the given indices."""
    return ops.take(params, ids, axis=0)


# ------------------------------------------------------------ tf.random


def _seeded(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that calls with the same seed continue one sequence, as in TensorFlow."""
    signature = inspect.signature(call)

    @functools.wraps(call)
    def draw(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        if bound.arguments.get("seed") is not None:
            bound.arguments["seed"] = _draw._sequence(bound.arguments["seed"])
        return call(*bound.args, **bound.kwargs)

    return draw


_dropout, _shuffle = _seeded(_draw.dropout), _seeded(_draw.shuffle)
_normal, _truncated_normal = _seeded(_draw.normal), _seeded(_draw.truncated_normal)


@_seeded
def _uniform(
    shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = np.float32, seed: Any = None
) -> Tensor:
    """Draw floats or integers from a uniform distribution."""
    if np.dtype(checks.type_name(dtype)).kind == "f":
        return _draw.uniform(shape, minval, 1 if maxval is None else maxval, dtype, seed)
    return _draw.randint(shape, minval, maxval, dtype, seed)


@_seeded
def _categorical(logits: Any, num_samples: int, dtype: Any = None, seed: Any = None) -> Tensor:
    """Draw classes from a categorical distribution, given as logits."""
    return _draw.categorical(logits, num_samples, checks.type_name(dtype, "int64"), seed)


# ------------------------------------------------------------ tf.debugging


def _assertion(kind: str, holds: Callable[..., Any]) -> Callable[..., None]:
    def check(
        *args: Any, message: Any = None, summarize: Any = None, name: Any = None, **kwargs: Any
    ) -> None:
        given = [*map(ops.convert_to_numpy, args)]
        named = {key: ops.convert_to_numpy(value) for key, value in kwargs.items()}
        if not np.all(holds(*given, **named)):
            shown = ", ".join(map(checks.shorten, [*given, *named.values()]))
            raise ValueError(f"{message or f'assert_{kind} must hold'}. Received: {shown}")

    check.__doc__ = f"Raise ValueError if `tf.debugging.assert_{kind}` would fail."
    return check


_ASSERTIONS: dict[str, Callable[..., Any]] = {
    "equal": lambda x, y: x == y,
    "none_equal": lambda x, y: x != y,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "near": lambda x, y, rtol=1e-6, atol=1e-6: np.abs(x - y) <= atol + rtol * np.abs(y),
    "positive": lambda x: x > 0,
    "non_negative": lambda x: x >= 0,
    "all_finite": lambda x: np.isfinite(x),
    "rank": lambda x, rank: x.ndim == rank,
}


def numpy_function(func: Any, inp: Any, Tout: Any, stateful: Any = True) -> Any:
    """Call a function with NumPy arrays, and cast its results to the given dtypes."""
    return py_function(lambda *tensors: func(*map(ops.convert_to_numpy, tensors)), inp, Tout)


def py_function(func: Any, inp: Any, Tout: Any) -> Any:
    """Call a function with tensors, and cast its results to the given dtypes."""
    results = func(*map(convert_to_tensor, inp))
    if isinstance(Tout, list | tuple):
        return [convert_to_tensor(r, t) for r, t in zip(results, Tout, strict=True)]
    return convert_to_tensor(results, Tout)


def TensorShape(dims: Any) -> Any:
    """Return a shape as a tuple; None means unknown rank."""
    return None if dims is None else tuple(dims)


class UnconnectedGradients:
    """Gradients that a tape returns for sources on which the target does not depend."""

    NONE, ZERO = "none", "zero"


class _Namespace(SimpleNamespace):
    """Namespace that raises an error for missing names."""

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
        "compat": "TensorFlow 1 is not supported",
    }
    hint = hints.get(full.split(".")[0])
    # An import statement would replace the message of an AttributeError.
    error = NotHereError if hint is None else NotImplementedError
    hint = hint or "use NumPy, which accepts Tensors and Variables as arrays"
    raise error(
        f"tf.{full} is not supported: only functions for dense networks are available; {hint}. "
        f"Received: tf.{full}"
    )


def __getattr__(name: str) -> Any:
    _missing(name, name)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Accept any arguments and return None."""


def _no_devices(*args: Any, **kwargs: Any) -> list[Any]:
    """Return an empty list: tinynet supports only the CPU."""
    return []


# ------------------------------------------------------------ namespaces


def _space(path: str) -> dict[str, Any]:
    """Return the names in a namespace, which is created on first use."""
    if path == "tf":
        return globals()
    parent, _, name = path.rpartition(".")
    return vars(_space(parent or "tf").setdefault(name, _Namespace(path)))


def _renamed(theirs: str, call: Callable[..., Any], names: list[str]) -> Callable[..., Any]:
    """Wrap a function to accept TensorFlow's parameter names, and to ignore `name`."""
    renamed = dict(zip(names, inspect.signature(call).parameters, strict=False)) if names else {}

    @functools.wraps(call)
    def made(*args: Any, name: Any = None, **kwargs: Any) -> Any:
        return call(*args, **{renamed.get(key, key): value for key, value in kwargs.items()})

    if isinstance(call, activations.Activation):
        made.activation = call  # type: ignore[attr-defined]  # used by layers
    made.__name__ = theirs
    return made


_OWN = {name.lstrip("_"): value for name, value in globals().items() if inspect.isfunction(value)}
_OWN["l2_normalize"] = vars(keras.backend)["l2_normalize"]
for _row in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
    if _row.startswith("#"):
        continue
    _places, _parameters, _names = (column.split() for column in _row.split(":"))
    for _theirs, _, _ours in (name.partition("=") for name in _names):
        _source: Any = activations if "nn" in _places and hasattr(activations, _theirs) else ops
        _call = _OWN.get(_ours or _theirs) or getattr(_source, _ours or _theirs)
        for _place in _places:
            _space(_place)[_theirs] = _renamed(_theirs, _call, _parameters)

_space("errors").update(InvalidArgumentError=ValueError)
_space("debugging").update(
    {f"assert_{n}": _assertion(n, holds) for n, holds in _ASSERTIONS.items()}
)
for _name in ("equal", "less", "greater", "rank"):
    globals()[f"assert_{_name}"] = _space("debugging")[f"assert_{_name}"]
_space("random").update(set_seed=keras.utils.set_random_seed)
_space("data").update(Dataset=Dataset, AUTOTUNE=AUTOTUNE, Options=SimpleNamespace)
_space("data").update(INFINITE_CARDINALITY=INFINITE, UNKNOWN_CARDINALITY=UNKNOWN)
_space("data.experimental").update(AUTOTUNE=AUTOTUNE, cardinality=Dataset.cardinality)
_space("version").update(VERSION=__version__)
_space("test").update(is_gpu_available=lambda *a, **k: False, gpu_device_name=lambda: "")

# Makes `from tinynet.compat.tensorflow.keras.layers import Dense` import the same modules.
sys.modules[f"{__name__}.keras"] = tinynet
for _key, _module in list(sys.modules.items()):
    if _key.startswith("tinynet.") and ".compat" not in _key and isinstance(_module, ModuleType):
        sys.modules[f"{__name__}.keras{_key[len('tinynet') :]}"] = _module
