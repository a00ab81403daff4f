"""Operations on arrays and tensors, with the names and arguments of `keras.ops`.

Every operation is computed immediately, is recorded by a `GradientTape`, and accepts anything that
can be converted to an array. `tinynet.functional` holds the formula and the derivative of each.

Examples
--------
>>> from tinynet import ops
>>> ops.mean(ops.square([1.0, 2.0, 3.0]))
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
from tinynet.functional.shaping import split_sections
from tinynet.program import TABLE, Tensor, apply, as_tensor
from tinynet.program.nested import flattened
from tinynet.program.operations import CustomGradient, LookUp
from tinynet.program.tensor import to_array

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


#: The operations of the table, some of which are called like functions of Python.
_t = SimpleNamespace(**TABLE)
globals().update(TABLE)
abs, amax, amin, true_divide = _t.absolute, _t.max, _t.min, _t.divide

for _name in (
    *("relu", "relu6", "sigmoid", "softmax", "log_softmax", "softplus", "softsign", "silu"),
    *("leaky_relu", "elu", "selu", "hard_sigmoid", "hard_silu"),
):
    globals()[_name] = getattr(activations, _name)
swish, hard_swish = activations.silu, activations.hard_silu
gelu = activations.gelu.with_options(approximate=True)

# ------------------------------------------------------------ made of other operations


def _size(x: Any, axis: int) -> int:
    """Return one size of a tensor, whose other sizes may be open while it is traced."""
    size: int | None = x.shape[axis] if hasattr(x, "shape") else None
    size = np.shape(x)[axis] if size is None else size
    if size is None:
        raise ValueError(
            f"x must have a known size along axis {axis}. Received: x of shape {x.shape}"
        )
    return size


def _along(vector: Any, x: Any, axis: int) -> Any:
    """Reshape a vector so that it is broadcast along one axis of x."""
    sizes = [1] * np.ndim(x)
    sizes[axis] = -1
    return _t.reshape(vector, sizes)


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Return the elements, or the slices along an axis, with the given indices."""
    x = getattr(x, "source", x)  # of a view, the Variable
    if axis == 0 and hasattr(x, "assign"):
        return LookUp(x)(x, indices)
    return _t.take(x, indices, axis=axis)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Compute the norm of vectors along an axis: 2 by default, 1, or `inf`."""
    if ord not in (None, 2, "euclidean", 1, np.inf):
        raise ValueError(f"ord must be None, 1, 2 or inf. Received: ord={ord}")
    if ord in (1, 2, np.inf) and np.size(axis) > 1 + (axis is None) and np.ndim(x) > 1:
        raise ValueError(f"ord must be None for the norm of a matrix. Received: ord={ord}")
    x = _t.add(x, 0.0)
    if ord not in (1, np.inf):
        return _t.sqrt(_t.sum(_t.square(x), axis=axis, keepdims=keepdims))
    total = _t.sum if ord == 1 else _t.max
    return total(_t.absolute(x), axis=axis, keepdims=keepdims)


def normalize(x: Any, axis: int = -1, order: Any = 2, epsilon: float | None = None) -> Any:
    """Divide by the norm along an axis, which is at least `epsilon`."""
    least = config.epsilon() if epsilon is None else epsilon
    if order == 2:  # the square root has no gradient at 0
        squares = _t.sum(_t.square(x), axis=axis, keepdims=True)
        return x * _t.rsqrt(_t.maximum(squares, least**2))
    return x / _t.maximum(norm(x, order, axis, True), least)


def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """Compute the mean, weighted if weights are given."""
    if weights is None:
        return _t.mean(x, axis=axis)
    if np.ndim(weights) == 1 < np.ndim(x) and isinstance(axis, int):  # one for each slice
        weights = _along(weights, x, axis)
    each = _t.multiply(_t.ones_like(x), weights)
    return _t.divide(_t.sum(each * x, axis=axis), _t.sum(each, axis=axis))


def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    """Compute mean and variance."""
    return _t.mean(x, axis=axes, keepdims=keepdims), _t.var(x, axis=axes, keepdims=keepdims)


def median(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Compute the middle element, or the mean of the two in the middle."""
    rows = ravel(x) if axis is None else x
    last = -1 if axis is None else axis
    n = _size(rows, last)
    middle = _t.take(sort(rows, last), [(n - 1) // 2, n // 2], axis=last)
    y = _t.mean(middle, axis=last, keepdims=keepdims)
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
    """Subtract the mean of each example, divide by its standard deviation, scale and shift."""
    mean, variance = moments(x, axis, keepdims=True)
    least = config.epsilon() if epsilon is None else epsilon
    y = (x - mean) * _t.rsqrt(variance + least)
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def rms_normalization(
    x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None
) -> Any:
    """Divide each example by the root of its mean square."""
    least = config.epsilon() if epsilon is None else epsilon
    y = x * _t.rsqrt(_t.mean(_t.square(x), axis=axis, keepdims=True) + least)
    return y if scale is None else y * scale


def outer(x1: Any, x2: Any) -> Any:
    """Compute the product of every pair of elements."""
    return _t.multiply(_t.reshape(x1, (-1, 1)), _t.reshape(x2, (1, -1)))


def inner(x1: Any, x2: Any) -> Any:
    """Compute the sum of products over the last axes."""
    if np.ndim(x1) * np.ndim(x2) == 0:
        return _t.multiply(x1, x2)
    return _t.tensordot(x1, x2, axes=[[-1], [-1]])


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """Cut an axis into equal parts, or at the given indices."""
    size = _size(x, axis)
    cuts = [0, *split_sections(size, indices_or_sections), size]
    before = (builtins.slice(None),) * (axis % np.ndim(x))
    return [_t.get_item(x, (*before, builtins.slice(a, b))) for a, b in itertools.pairwise(cuts)]


def unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    """Take an array apart along an axis."""
    return [_t.squeeze(part, axis) for part in split(x, num or _size(x, axis), axis)]


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Move axes to other positions."""
    places = np.moveaxis(np.zeros(range(np.ndim(x))), source, destination).shape
    return _t.transpose(x, places)


def ravel(x: Any) -> Any:
    """Return the elements in one dimension."""
    return _t.reshape(x, (-1,))


def vstack(xs: Sequence[Any]) -> Any:
    """Join rows."""
    return _t.concatenate([x if np.ndim(x) > 1 else _t.reshape(x, (1, -1)) for x in xs], 0)


def hstack(xs: Sequence[Any]) -> Any:
    """Join columns; vectors are joined at their ends."""
    return _t.concatenate(xs, axis=0 if np.ndim(xs[0]) == 1 else 1)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Take from the first array whose condition holds, else the default."""
    y = default
    for condition, choice in reversed([*zip(condlist, choicelist, strict=True)]):
        y = _t.where(condition, choice, y)
    return y


def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """Add values at the places that the rows of `indices` name, to zeros."""
    return _t.scatter_update(zeros(shape, dtype(values)), indices, values, "add")


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """Replace the part that begins at `start_indices`."""
    places = np.moveaxis(np.indices(np.shape(updates)), 0, -1)
    return _t.scatter_update(inputs, _t.add(places, start_indices), updates)


def segment_sum(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """Sum the rows that have the same number in `segment_ids`."""
    segment_ids = convert_to_tensor(segment_ids)
    n = int(np.max(segment_ids, initial=-1)) + 1 if num_segments is None else num_segments
    known = _t.logical_and(segment_ids >= 0, segment_ids < n)
    places = _t.expand_dims(_t.where(known, segment_ids, n), -1)
    return scatter(places, data, (n + 1, *np.shape(data)[1:]))[:n]


def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """Return a part of the given shape that begins at the given indices."""
    starts = zip(start_indices, shape, strict=True)
    return _t.get_item(inputs, tuple(builtins.slice(int(a), int(a) + int(n)) for a, n in starts))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Compute the sum of the diagonal."""
    return _t.sum(_t.diagonal(x, offset, axis1, axis2), axis=-1)


def divide_no_nan(x1: Any, x2: Any) -> Any:
    """Divide; where the divisor is 0, the result is 0."""
    is_zero = _t.equal(x2, 0)
    safe = _t.divide(x1, _t.where(is_zero, 1, x2))
    return _t.where(is_zero, 0.0, safe)


def erfc(x: Any) -> Any:
    """Compute ``1 - erf(x)``."""
    return 1 - _t.erf(x)


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """Take x1 where the condition holds, and x2 elsewhere; without them, return the indices."""
    return nonzero(condition) if x1 is x2 is None else _t.where(condition, x1, x2)


def sort(x: Any, axis: int = -1) -> Any:
    """Return the elements in ascending order along an axis."""
    return _t.take_along_axis(x, _t.argsort(x, axis=axis), axis=axis)


def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    """Return the k largest elements of each row, and their positions."""
    ascending = _t.argsort(_t.flip(x, axis=-1), axis=-1)  # of equal ones, the last
    order = (_size(x, -1) - 1 - _t.flip(ascending, axis=-1))[..., :k]
    return _t.take_along_axis(x, order, axis=-1), order


def allclose(
    x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Return whether all elements are equal within a tolerance."""
    return _t.all(_t.isclose(x1, x2, rtol, atol, equal_nan))


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """Return an array of the same shape, filled with a value."""
    zeros = _t.zeros_like(x, dtype=dtype)
    return _t.cast(_t.add(zeros, fill_value), zeros.dtype)


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that returns its result and a function that computes its gradients.

    >>> @custom_gradient
    ... def reversed_gradient(x):
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
    """Limit to the range from -1 to 1."""
    return _t.clip(x, -1.0, 1.0)


def log_sigmoid(x: Any) -> Any:
    """Compute ``log(sigmoid(x))``, without overflow."""
    return -activations.softplus(_t.negative(x))


def glu(x: Any, axis: int = -1) -> Any:
    """Multiply the first half by the sigmoid of the second half."""
    a, b = split(x, 2, axis)
    return a * activations.sigmoid(b)


def squareplus(x: Any, b: int = 4) -> Any:
    """Compute ``(x + sqrt(x ** 2 + b)) / 2``."""
    return (x + _t.sqrt(_t.square(x) + b)) / 2


def celu(x: Any, alpha: float = 1.0) -> Any:
    """Compute ``max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)``."""
    below = alpha * _t.expm1(_t.minimum(x, 0.0) / alpha)
    return _t.maximum(x, 0.0) + below


def tanh_shrink(x: Any) -> Any:
    """Compute ``x - tanh(x)``."""
    return x - _t.tanh(x)


def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """Keep what is beyond the threshold; the rest becomes 0."""
    return _t.where(_t.absolute(x) > threshold, x, 0.0)


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """Move towards 0 by the threshold, and no further than 0."""
    return _t.sign(x) * _t.maximum(_t.absolute(x) - threshold, 0.0)


def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """Keep what is above the threshold; the rest becomes the default value."""
    return _t.where(_t.greater(x, threshold), x, default_value)


def sparse_plus(x: Any) -> Any:
    """Compute a softplus that is exactly 0 below -1, and x above 1."""
    middle = _t.square(_t.add(x, 1.0)) / 4
    above = _t.where(_t.less(x, 1), middle, x)
    return _t.where(_t.less_equal(x, -1), 0.0, above)


def sparse_sigmoid(x: Any) -> Any:
    """Compute the slope of `sparse_plus`: 0 below -1, 1 above 1, and straight between."""
    return _t.clip(_t.add(x, 1.0) / 2, 0.0, 1.0)


# ------------------------------------------------------------ losses of one call


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """Compute the cross-entropy between probabilities of one class, element by element."""
    if from_logits:
        return activations.softplus(output) - _t.multiply(output, target)
    p = _t.clip(output, config.epsilon(), 1 - config.epsilon())
    return -(_t.log(p) * target + _t.log(1 - p) * _t.subtract(1, target))


def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Compute the cross-entropy between distributions, one value for each row."""
    if from_logits:
        log = _t.subtract(output, _t.logsumexp(output, axis=axis, keepdims=True))
    else:
        p = output / _t.sum(output, axis=axis, keepdims=True)
        log = _t.log(_t.clip(p, config.epsilon(), 1 - config.epsilon()))
    return -_t.sum(target * log, axis=axis)


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Compute the cross-entropy between class labels and distributions."""
    labels = _t.cast(target, "int32")
    if labels.ndim < np.ndim(output) or labels.shape[-1] != 1:
        labels = _t.expand_dims(labels, axis)
    if not from_logits:
        output = _t.log(_t.clip(output, config.epsilon(), 1 - config.epsilon()))
    # An index from the end would be valid, a negative label is not.
    labels = _t.where(labels < 0, _size(output, axis), labels)
    own = _t.take_along_axis(output, labels, axis=axis)
    return _t.squeeze(_t.logsumexp(output, axis=axis, keepdims=True) - own, axis=axis)


# ------------------------------------------------------------ control flow


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """Call one of two functions."""
    return true_fn() if pred else false_fn()


# ------------------------------------------------------------ without gradients


def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """Return anything array-like as a tensor."""
    tensor: Tensor = _t.identity_of(x)
    return tensor if dtype is None else _t.cast(tensor, dtype)


def array(x: Any, dtype: Any = None) -> Any:
    """Return anything array-like as a tensor."""
    return convert_to_tensor(x, dtype)


def convert_to_numpy(x: Any) -> Any:
    """Return a plain NumPy array."""
    return np.array(to_array(x))


def dtype(x: Any) -> str:
    """Return the name of the dtype."""
    return str(np.dtype(convert_to_tensor(x).dtype).name)


def shape(x: Any) -> tuple[int, ...]:
    """Return the shape."""
    return tuple(np.shape(x))


def size(x: Any) -> int:
    """Return the number of elements."""
    return math.prod(shape(x))


def ndim(x: Any) -> int:
    """Return the number of dimensions."""
    return int(np.ndim(x))


def is_tensor(x: Any) -> bool:
    """Return whether a value is a tensor."""
    return isinstance(x, Tensor)


def zeros(shape: Any, dtype: Any = None) -> Any:
    """Return zeros."""
    return as_tensor(np.zeros(shape, dtype or config.floatx()))


def ones(shape: Any, dtype: Any = None) -> Any:
    """Return ones."""
    return as_tensor(np.ones(shape, dtype or config.floatx()))


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """Return an array filled with a value."""
    return _t.cast(_t.broadcast_to(fill_value, shape=shape), dtype or config.floatx())


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Return a matrix with ones on a diagonal."""
    return as_tensor(np.eye(N, M, k, dtype or config.floatx()))


def identity(n: int, dtype: Any = None) -> Any:
    """Return the identity matrix."""
    return eye(n, dtype=dtype)


zeros_like, ones_like = _t.zeros_like, _t.ones_like
empty, empty_like = zeros, zeros_like  # never uninitialized


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """Return evenly spaced numbers; integers are int32."""
    start, stop = (0, start) if stop is None else (start, stop)
    step = 1 if step is None else step
    whole = builtins.all(isinstance(v, int | np.integer) for v in (start, stop, step))
    dtype = dtype or ("int32" if whole else config.floatx())
    return as_tensor(np.arange(start, stop, step).astype(dtype))


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Return a number of evenly spaced values, ends included."""
    start, stop = to_array(start), to_array(stop)
    values, step = np.linspace(start, stop, num, endpoint, retstep=True, axis=axis)
    made = as_tensor(values.astype(dtype or config.floatx()))
    return (made, as_tensor(step)) if retstep else made


def nonzero(x: Any) -> Any:
    """Return the indices of elements that are not 0, one array for each axis."""
    return tuple(as_tensor(i.astype(np.int32)) for i in np.nonzero(convert_to_numpy(x)))


def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """Count how often each number occurs, or sum the weights of its occurrences."""
    if weights is None:
        return as_tensor(np.bincount(to_array(x), minlength=minlength).astype(np.int32))
    weights = np.asarray(to_array(weights))
    return as_tensor(np.bincount(to_array(x), weights, minlength).astype(weights.dtype))


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
    """Return the different elements in ascending order."""
    if size is not None:
        raise ValueError(f"size must be None: all elements are returned. Received: size={size}")
    asked = (return_index, return_inverse, return_counts)
    np_unique: Any = np.unique
    found = np_unique(to_array(x), *asked, axis=axis)
    if not builtins.any(asked):
        return as_tensor(found)
    return tuple(as_tensor(f.astype(np.int32) if i else f) for i, f in enumerate(found))


nn = numpy = linalg = sys.modules[__name__]  # Keras groups the same functions, too

_OWN = {n for n, v in globals().items() if getattr(v, "__module__", "") == __name__}
__all__ = sorted(n for n in {*TABLE, *_OWN} if n[0] != "_")  # computed
