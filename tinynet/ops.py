"""Operations on arrays and tensors, with the names and arguments of `keras.ops`.

Operations are computed eagerly, are recorded by a `GradientTape`, and accept array-likes. The
formulas and derivatives are defined in `tinynet.functional`.

Examples
--------
>>> from tinynet import ops
>>> ops.mean(ops.square([1.0, 2.0, 3.0]))  # (1 + 4 + 9) / 3
Tensor(4.6666665, dtype=float32)
"""

from __future__ import annotations

import builtins
import itertools
import math
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet import activations, config
from tinynet._core import Registry
from tinynet._core.checks import type_name, whole
from tinynet.functional.shaping import split_sections
from tinynet.program import TABLE, Tensor, apply, as_tensor
from tinynet.program.nested import flattened
from tinynet.program.operations import CustomGradient, LookUp
from tinynet.program.tensor import as_default, to_array

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


#: Operations in `TABLE`, as attributes because some have the same names as Python built-ins.
_t = SimpleNamespace(**TABLE)
globals().update(TABLE)
abs, amax, amin, true_divide = _t.absolute, _t.max, _t.min, _t.divide
bitwise_invert, left_shift = _t.bitwise_not, _t.bitwise_left_shift
right_shift = _t.bitwise_right_shift

for _name in (
    *("relu", "relu6", "sigmoid", "softmax", "log_softmax", "softplus", "softsign", "silu"),
    *("leaky_relu", "elu", "selu", "hard_sigmoid", "hard_silu"),
):
    globals()[_name] = getattr(activations, _name)
swish, hard_swish = activations.silu, activations.hard_silu
gelu = activations.gelu.with_options(approximate=True)

# ------------------------------------------------------------ composed of other operations


def _size(x: Any, axis: int) -> int:
    """Return the size of x along an axis; other sizes may be unknown while x is traced."""
    size: int | None = x.shape[axis] if hasattr(x, "shape") else None
    size = np.shape(x)[axis] if size is None else size
    if size is None:
        raise ValueError(
            f"x must have a known size along axis {axis}. Received: x of shape {x.shape}"
        )
    return size


def _along(vector: Any, x: Any, axis: int) -> Any:
    """Reshape a vector so that it broadcasts along one axis of x."""
    sizes = [1] * np.ndim(x)
    sizes[axis] = -1
    return _t.reshape(vector, sizes)


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Return elements at indices into the flattened array, or slices at indices along an axis.

    >>> take([[1, 2], [3, 4]], [1, 0], axis=0)
    Tensor([[3, 4],
            [1, 2]], dtype=int32)
    """
    x = getattr(x, "source", x)  # if x is a view of a Variable, use the Variable
    if axis == 0 and hasattr(x, "assign"):
        return LookUp(x)(x, indices)
    return _t.take(x, indices, axis=axis)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Compute the norm of order 1, 2 (default) or infinity along an axis.

    With the default order, several axes give the Frobenius norm. `axis` is by default all axes.

    >>> norm([3.0, 4.0])
    Tensor(5., dtype=float32)
    """
    if ord not in (None, 2, "euclidean", 1, np.inf):
        raise ValueError(f"ord must be None, 1, 2 or inf. Received: ord={ord}")
    if ord in (1, 2, np.inf) and (np.ndim(x) if axis is None else np.size(axis)) > 1:
        raise ValueError(f"ord must be None for the norm of a matrix. Received: ord={ord}")
    x = _t.add(x, 0.0)
    if ord not in (1, np.inf):
        return _t.sqrt(_t.sum(_t.square(x), axis=axis, keepdims=keepdims))
    total = _t.sum if ord == 1 else _t.max
    return total(_t.absolute(x), axis=axis, keepdims=keepdims)


def normalize(x: Any, axis: int = -1, order: Any = 2, epsilon: float | None = None) -> Any:
    """Divide by the norm along an axis; norms below `epsilon` are replaced by `epsilon`.

    >>> normalize([2.0, 0.0])
    Tensor([1., 0.], dtype=float32)
    """
    least = config.epsilon() if epsilon is None else epsilon
    if order == 2:  # avoid the derivative of sqrt, which is infinite at 0
        squares = _t.sum(_t.square(x), axis=axis, keepdims=True)
        return x * _t.rsqrt(_t.maximum(squares, least**2))
    return x / _t.maximum(norm(x, order, axis, True), least)


def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """Compute the weighted mean over axes: ``sum(weights * x) / sum(weights)``.

    >>> average([1.0, 4.0], weights=[2.0, 1.0])
    Tensor(2., dtype=float32)
    """
    if weights is None:
        return _t.mean(x, axis=axis)
    if np.ndim(weights) == 1 < np.ndim(x) and isinstance(axis, int):  # one weight for each slice
        weights = _along(weights, x, axis)
    each = _t.multiply(_t.ones_like(x), weights)
    return _t.divide(_t.sum(each * x, axis=axis), _t.sum(each, axis=axis))


def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    """Compute the mean and the variance over axes."""
    return _t.mean(x, axis=axes, keepdims=keepdims), _t.var(x, axis=axes, keepdims=keepdims)


def median(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Compute the median: the middle element, or the mean of the two middle elements."""
    rows = ravel(x) if axis is None else x
    last = -1 if axis is None else axis
    n = _size(rows, last)
    middle = _t.take(sort(rows, last), [(n - 1) // 2, n // 2], axis=last)
    y = _t.mean(middle, axis=last, keepdims=keepdims)
    largest = _t.max(rows, axis=last, keepdims=keepdims)  # NaN if any element is NaN
    y = _t.where(_t.isnan(largest), largest, y)
    return _t.reshape(y, (1,) * np.ndim(x)) if keepdims and axis is None else y


def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Any:
    """Compute ``(x - mean) / sqrt(variance + epsilon) * scale + offset`` for each feature."""
    y = (x - _along(mean, x, axis)) * _t.rsqrt(_along(variance, x, axis) + epsilon)
    y = y if scale is None else y * _along(scale, x, axis)
    return y if offset is None else y + _along(offset, x, axis)


def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None
) -> Any:
    """Compute ``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` over `axis`."""
    mean, variance = moments(x, axis, keepdims=True)
    least = config.epsilon() if epsilon is None else epsilon
    y = (x - mean) * _t.rsqrt(variance + least)
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def rms_normalization(
    x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None
) -> Any:
    """Compute ``x / sqrt(mean(x**2) + epsilon) * scale`` over `axis`."""
    least = config.epsilon() if epsilon is None else epsilon
    y = x * _t.rsqrt(_t.mean(_t.square(x), axis=axis, keepdims=True) + least)
    return y if scale is None else y * scale


def outer(x1: Any, x2: Any) -> Any:
    """Compute the outer product: ``y[i, j] = x1[i] * x2[j]`` of the flattened inputs."""
    return _t.multiply(_t.reshape(x1, (-1, 1)), _t.reshape(x2, (1, -1)))


def inner(x1: Any, x2: Any) -> Any:
    """Compute the inner product: the sum of products over the last axes."""
    if np.ndim(x1) * np.ndim(x2) == 0:
        return _t.multiply(x1, x2)
    return _t.tensordot(x1, x2, axes=[[-1], [-1]])


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """Split an axis into equal sections or at given indices, and return a list of arrays.

    >>> split([1, 2, 3, 4], 2)
    [Tensor([1, 2], dtype=int32), Tensor([3, 4], dtype=int32)]
    """
    size = _size(x, axis)
    cuts = [0, *split_sections(size, indices_or_sections), size]
    before = (builtins.slice(None),) * (axis % np.ndim(x))
    return [_t.get_item(x, (*before, builtins.slice(a, b))) for a, b in itertools.pairwise(cuts)]


def unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    """Split an array along an axis into a list of arrays without that axis."""
    size = _size(x, axis)
    if num not in (None, size):
        raise ValueError(f"num must be the size {size} of the axis. Received: num={num}")
    return [_t.squeeze(part, axis) for part in split(x, size, axis)] if size else []


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Move axes to new positions."""
    places = np.moveaxis(np.zeros(range(np.ndim(x))), source, destination).shape
    return _t.transpose(x, places)


def ravel(x: Any) -> Any:
    """Flatten an array to one dimension."""
    return _t.reshape(x, (-1,))


def vstack(xs: Sequence[Any]) -> Any:
    """Stack arrays vertically (row-wise)."""
    return _t.concatenate([x if np.ndim(x) > 1 else _t.reshape(x, (1, -1)) for x in xs], 0)


def hstack(xs: Sequence[Any]) -> Any:
    """Stack arrays horizontally (column-wise); vectors are concatenated."""
    return _t.concatenate(xs, axis=0 if np.ndim(xs[0]) == 1 else 1)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Select each element from the first choice whose condition is true, else the default.

    >>> select([[True, False], [True, True]], [[1, 2], [3, 4]])
    Tensor([1, 4], dtype=int32)
    """
    y = default
    for condition, choice in reversed([*zip(condlist, choicelist, strict=True)]):
        y = _t.where(condition, choice, y)
    return y


def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """Add values to an array of zeros, at the positions in the rows of `indices`.

    >>> scatter([[0], [2], [0]], [1.0, 2.0, 3.0], (3,))
    Tensor([4., 0., 2.], dtype=float32)
    """
    return _t.scatter_update(zeros(shape, dtype(values)), indices, values, "add")


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """Replace the block that starts at `start_indices` and has the shape of `updates`.

    >>> slice_update([1, 2, 3, 4], [1], [7, 8])
    Tensor([1, 7, 8, 4], dtype=int32)
    """
    places = np.moveaxis(np.indices(np.shape(updates)), 0, -1)
    return _t.scatter_update(inputs, _t.add(places, start_indices), updates)


def segment_sum(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """Sum the rows that have the same segment ID; rows with an ID out of range are ignored.

    >>> segment_sum([1.0, 2.0, 3.0], [0, 1, 0])
    Tensor([4., 2.], dtype=float32)
    """
    segment_ids = convert_to_tensor(segment_ids)
    n = int(np.max(segment_ids, initial=-1)) + 1 if num_segments is None else num_segments
    known = _t.logical_and(segment_ids >= 0, segment_ids < n)
    places = _t.expand_dims(_t.where(known, segment_ids, n), -1)
    return scatter(places, data, (n + 1, *np.shape(data)[1:]))[:n]


def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """Return the block of the given shape that starts at `start_indices`.

    >>> slice([1, 2, 3, 4], [1], [2])
    Tensor([2, 3], dtype=int32)
    """
    starts = zip(start_indices, shape, strict=True)
    return _t.get_item(inputs, tuple(builtins.slice(int(a), int(a) + int(n)) for a, n in starts))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Compute the sum of the diagonal elements."""
    return _t.sum(_t.diagonal(x, offset, axis1, axis2), axis=-1)


def divide_no_nan(x1: Any, x2: Any) -> Any:
    """Divide elementwise; the result is 0 where the divisor is 0."""
    is_zero = _t.equal(x2, 0)
    safe = _t.divide(x1, _t.where(is_zero, 1, x2))
    return _t.where(is_zero, 0.0, safe)


def erfc(x: Any) -> Any:
    """Compute the complementary error function: ``1 - erf(x)``."""
    return 1 - _t.erf(x)


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """Select ``x1`` where the condition is true, else ``x2``.

    If `x1` and `x2` are None, return the result of `nonzero`.
    """
    return nonzero(condition) if x1 is x2 is None else _t.where(condition, x1, x2)


def sort(x: Any, axis: int = -1) -> Any:
    """Sort the elements along an axis in ascending order."""
    return _t.take_along_axis(x, _t.argsort(x, axis=axis), axis=axis)


def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    """Return the k largest elements along the last axis, and their indices.

    >>> top_k([3, 1, 2], 2)
    (Tensor([3, 2], dtype=int32), Tensor([0, 2], dtype=int32))
    """
    # Flip before and after, so that equal elements keep their order.
    ascending = _t.argsort(_t.flip(x, axis=-1), axis=-1)
    order = (_size(x, -1) - 1 - _t.flip(ascending, axis=-1))[..., :k]
    return _t.take_along_axis(x, order, axis=-1), order


def allclose(
    x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Return whether all elements are equal within a tolerance (see `isclose`)."""
    return _t.all(_t.isclose(x1, x2, rtol, atol, equal_nan))


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """Return a tensor with the shape of x, filled with a value."""
    zeros = _t.zeros_like(x, dtype=dtype)
    return _t.add(zeros, convert_to_tensor(fill_value, zeros.dtype))


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """Define a custom gradient: decorate a function that returns its result and gradient function.

    The gradient function maps the upstream gradient to the gradients with respect to the inputs.

    >>> @custom_gradient
    ... def reverse_gradient(x):
    ...     return x, lambda upstream: -upstream
    """

    def call(*args: Any) -> Any:
        found: list[Any] = []

        def forward(*arrays: Any) -> Any:
            y, gradient = f(*map(as_tensor, arrays))
            found[:] = [gradient]
            return to_array(y)

        def backward(d_y: Any, y: Any, *arrays: Any) -> Any:
            gradients = flattened(found[0](as_tensor(d_y)))
            return tuple(g if g is None else np.asarray(to_array(g)) for g in gradients)

        return apply(CustomGradient(f.__name__, forward, backward, len(args)), [*args], {})

    return call


def hard_tanh(x: Any) -> Any:
    """Compute ``clip(x, -1, 1)``, a piecewise linear approximation of tanh."""
    return _t.clip(x, -1.0, 1.0)


def log_sigmoid(x: Any) -> Any:
    """Compute ``log(sigmoid(x))``, evaluated as ``-softplus(-x)`` to avoid overflow."""
    return -activations.softplus(_t.negative(x))


def glu(x: Any, axis: int = -1) -> Any:
    """Compute the gated linear unit: the first half times the sigmoid of the second half."""
    a, b = split(x, 2, axis)
    return a * activations.sigmoid(b)


def squareplus(x: Any, b: int = 4) -> Any:
    """Compute ``(x + sqrt(x**2 + b)) / 2``, a smooth approximation of relu."""
    return (x + _t.sqrt(_t.square(x) + b)) / 2


def celu(x: Any, alpha: float = 1.0) -> Any:
    """Compute ``max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)``."""
    below = alpha * _t.expm1(_t.minimum(x, 0.0) / alpha)
    return _t.maximum(x, 0.0) + below


def tanh_shrink(x: Any) -> Any:
    """Compute ``x - tanh(x)``."""
    return x - _t.tanh(x)


def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """Return ``x`` where ``|x| > threshold``, else 0."""
    return _t.where(_t.absolute(x) > threshold, x, 0.0)


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """Shrink towards 0: ``sign(x) * max(|x| - threshold, 0)``."""
    return _t.sign(x) * _t.maximum(_t.absolute(x) - threshold, 0.0)


def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """Return ``x`` where ``x > threshold``, else the default value."""
    return _t.where(_t.greater(x, threshold), x, default_value)


def sparse_plus(x: Any) -> Any:
    """Compute 0 for ``x <= -1``, ``(x + 1)**2 / 4`` for ``-1 < x < 1``, and x for ``x >= 1``."""
    middle = _t.square(_t.add(x, 1.0)) / 4
    above = _t.where(_t.less(x, 1), middle, x)
    return _t.where(_t.less_equal(x, -1), 0.0, above)


def sparse_sigmoid(x: Any) -> Any:
    """Compute the derivative of `sparse_plus`: ``(x + 1) / 2``, clipped to [0, 1]."""
    return _t.clip(_t.add(x, 1.0) / 2, 0.0, 1.0)


# ------------------------------------------------------------ losses


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """Compute the binary cross-entropy: ``-target * log(p) - (1 - target) * log(1 - p)``."""
    if from_logits:
        return activations.softplus(output) - _t.multiply(output, target)
    p = _t.clip(output, config.epsilon(), 1 - config.epsilon())
    return -(_t.log(p) * target + _t.log(1 - p) * _t.subtract(1, target))


def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Compute the cross-entropy of target probabilities: ``-sum(target * log(p), axis)``."""
    if from_logits:
        log = _t.subtract(output, _t.logsumexp(output, axis=axis, keepdims=True))
    else:
        p = output / _t.sum(output, axis=axis, keepdims=True)
        log = _t.log(_t.clip(p, config.epsilon(), 1 - config.epsilon()))
    return -_t.sum(target * log, axis=axis)


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Compute the cross-entropy of integer class labels: ``-log(p[label])``."""
    labels = _t.cast(target, "int32")
    if labels.ndim < np.ndim(output) or labels.shape[-1] != 1:
        labels = _t.expand_dims(labels, axis)
    if not from_logits:
        output = _t.log(_t.clip(output, config.epsilon(), 1 - config.epsilon()))
    # A negative label would be a valid index from the end; make it invalid.
    labels = _t.where(labels < 0, _size(output, axis), labels)
    own = _t.take_along_axis(output, labels, axis=axis)
    return _t.squeeze(_t.logsumexp(output, axis=axis, keepdims=True) - own, axis=axis)


# ------------------------------------------------------------ control flow


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """Call ``true_fn()`` if `pred` is true, otherwise ``false_fn()``, and return the result."""
    return true_fn() if pred else false_fn()


# ------------------------------------------------------------ not differentiable


def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """Convert an array-like to a tensor.

    >>> convert_to_tensor([0.1], "float64")
    Tensor([0.1])
    """
    if dtype is None:
        return _t.identity_of(x)
    with config.floatx_scope("float64"):  # do not round Python numbers to float32 first
        return _t.cast(x, type_name(dtype))


def array(x: Any, dtype: Any = None) -> Any:
    """Convert an array-like to a tensor."""
    return convert_to_tensor(x, dtype)


def convert_to_numpy(x: Any) -> Any:
    """Convert an array-like to a new NumPy array."""
    return np.array(to_array(x))


def dtype(x: Any) -> str:
    """Return the name of the dtype of an array."""
    return str(np.dtype(convert_to_tensor(x).dtype).name)


def shape(x: Any) -> tuple[int, ...]:
    """Return the shape of an array."""
    return tuple(np.shape(x))


def size(x: Any) -> int:
    """Return the number of elements of an array."""
    return math.prod(shape(x))


def ndim(x: Any) -> int:
    """Return the number of dimensions of an array."""
    return int(np.ndim(x))


def is_tensor(x: Any) -> bool:
    """Return whether a value is a tensor."""
    return isinstance(x, Tensor)


def zeros(shape: Any, dtype: Any = None) -> Any:
    """Return a tensor of zeros."""
    return as_tensor(np.zeros(shape, type_name(dtype, config.floatx())))


def ones(shape: Any, dtype: Any = None) -> Any:
    """Return a tensor of ones."""
    return as_tensor(np.ones(shape, type_name(dtype, config.floatx())))


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """Return a tensor filled with a value."""
    values = convert_to_tensor(fill_value, type_name(dtype, config.floatx()))
    return _t.broadcast_to(values, shape=shape)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Return a 2-D tensor with ones on diagonal k and zeros elsewhere."""
    return as_tensor(np.eye(N, M, k, type_name(dtype, config.floatx())))


def identity(n: int, dtype: Any = None) -> Any:
    """Return the identity matrix as a tensor."""
    return eye(n, dtype=dtype)


zeros_like, ones_like = _t.zeros_like, _t.ones_like
empty, empty_like = zeros, zeros_like  # unlike in NumPy, initialized with zeros


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """Return evenly spaced values in ``[start, stop)``; int32 if all arguments are integers."""
    start, stop = (0, start) if stop is None else (start, stop)
    step = 1 if step is None else step
    is_whole = builtins.all(isinstance(v, int | np.integer) for v in (start, stop, step))
    values = np.arange(start, stop, step)
    if is_whole and dtype is None:
        return as_tensor(as_default(values))
    return as_tensor(values.astype(type_name(dtype, config.floatx())))


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Return `num` evenly spaced values from `start` to `stop`, including `stop` if `endpoint`."""
    kind = type_name(dtype, _t.divide(_t.add(start, stop), 1).dtype)
    start, stop = (convert_to_tensor(x, "float64") for x in (start, stop))
    intervals = whole("num", num, 0) - bool(endpoint)
    shares = np.arange(num) / builtins.max(intervals, 1)
    shares = shares.reshape(-1, *[1] * np.ndim(start + stop))
    spaced = moveaxis(_t.cast(start * (1 - shares) + stop * shares, kind), 0, axis)
    step = _t.cast((stop - start) / (intervals or np.nan), kind)
    return (spaced, step) if retstep else spaced


def nonzero(x: Any) -> Any:
    """Return the indices of the non-zero elements, as one array for each axis."""
    return tuple(as_tensor(i.astype(np.int32)) for i in np.nonzero(convert_to_numpy(x)))


def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """Count the occurrences of each non-negative integer, or sum the weights of the occurrences."""
    if weights is None:
        return as_tensor(np.bincount(to_array(x), minlength=minlength).astype(np.int32))
    n = np.bincount(to_array(x), minlength=minlength).size
    return scatter(_t.expand_dims(x, -1), weights, (n,))


def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """Return the sorted unique elements, and optionally their indices, inverse and counts."""
    if size is not None:
        raise ValueError(f"size must be None; all elements are returned. Received: size={size}")
    requested = (return_index, return_inverse, return_counts)
    np_unique: Any = np.unique
    found = np_unique(to_array(x), *requested, axis=axis)
    if not builtins.any(requested):
        return as_tensor(found)
    return tuple(as_tensor(f.astype(np.int32) if i else f) for i, f in enumerate(found))


nn = numpy = linalg = sys.modules[__name__]  # submodules in Keras, with the same functions

_OWN = {n for n, v in globals().items() if getattr(v, "__module__", "") == __name__}
__all__ = sorted(n for n in {*TABLE, *_OWN} if n[0] != "_")

_registry = Registry("operation", "keras.ops")
_registry.names.update(
    {n: f for n, f in globals().items() if n in __all__ or isinstance(f, activations.Activation)}
)
