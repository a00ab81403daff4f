"""Operations on arrays and tensors, with the names and arguments of `keras.ops`.

Every operation computes at once, is recorded by a `GradientTape`, and accepts anything that can
be converted to an array. `tinynet.functional` holds the formula and the derivative of each.

Examples
--------
>>> from tinynet import ops
>>> ops.mean(ops.square([1.0, 2.0, 3.0]))
Tensor(4.6666665, dtype=float32)
"""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet import activations, config
from tinynet.functional.shaping import split_sections
from tinynet.program.operations import to_array
from tinynet.program.tensor import TABLE, Tensor, as_tensor

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


globals().update(TABLE)
abs, amax, amin, true_divide = (TABLE[n] for n in ("absolute", "max", "min", "divide"))

for _name in (
    *("relu", "relu6", "sigmoid", "softmax", "log_softmax", "softplus", "softsign", "silu"),
    *("leaky_relu", "elu", "selu", "gelu", "hard_sigmoid", "hard_silu"),
):
    globals()[_name] = getattr(activations, _name)
swish, hard_swish = activations.silu, activations.hard_silu

# ------------------------------------------------------------ made of other operations


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Compute the norm of vectors along an axis: 2 by default, 1, or `inf`."""
    if ord not in (None, 2, "euclidean", 1, np.inf):
        raise ValueError(f"ord must be None, 1, 2 or inf. Received: ord={ord}")
    absolute = TABLE["absolute"](x)
    if ord == np.inf:
        return TABLE["max"](absolute, axis=axis, keepdims=keepdims)
    if ord == 1:
        return TABLE["sum"](absolute, axis=axis, keepdims=keepdims)
    return TABLE["sqrt"](TABLE["sum"](TABLE["square"](x), axis=axis, keepdims=keepdims))


def normalize(x: Any, axis: int = -1, order: Any = 2, epsilon: float | None = None) -> Any:
    """Divide by the norm along an axis, which is at least `epsilon`."""
    least = config.epsilon() if epsilon is None else epsilon
    if order == 2:  # the square root has no gradient at 0
        squares = TABLE["sum"](TABLE["square"](x), axis=axis, keepdims=True)
        return x * TABLE["rsqrt"](TABLE["maximum"](squares, least**2))
    return x / TABLE["maximum"](norm(x, order, axis, True), least)


def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """Compute the mean, weighted if weights are given."""
    if weights is None:
        return TABLE["mean"](x, axis=axis)
    total = TABLE["sum"](TABLE["multiply"](x, weights), axis=axis)
    ones = TABLE["broadcast_to"](weights, shape=np.shape(x))
    return TABLE["divide"](total, TABLE["sum"](ones, axis=axis))


def moments(x: Any, axes: Any, keepdims: bool = False) -> Any:
    """Compute mean and variance."""
    return tuple(TABLE[n](x, axis=axes, keepdims=keepdims) for n in ("mean", "var"))


def outer(x1: Any, x2: Any) -> Any:
    """Compute the product of every pair of elements."""
    return TABLE["multiply"](TABLE["reshape"](x1, (-1, 1)), TABLE["reshape"](x2, (1, -1)))


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """Cut an axis into equal parts, or at the given indices."""
    size = np.shape(x)[axis]
    cuts = [0, *split_sections(size, indices_or_sections), size]
    before = (builtins.slice(None),) * (axis % np.ndim(x))
    return [
        TABLE["get_item"](x, (*before, builtins.slice(a, b))) for a, b in itertools.pairwise(cuts)
    ]


def unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    """Take an array apart along an axis."""
    return [TABLE["squeeze"](part, axis) for part in split(x, np.shape(x)[axis], axis)]


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Move axes to other positions."""
    places = np.moveaxis(np.zeros(range(np.ndim(x))), source, destination).shape
    return TABLE["transpose"](x, places)


def ravel(x: Any) -> Any:
    """Return the elements in one dimension."""
    return TABLE["reshape"](x, (-1,))


def vstack(xs: Sequence[Any]) -> Any:
    """Join rows."""
    return TABLE["concatenate"](
        [x if np.ndim(x) > 1 else TABLE["reshape"](x, (1, -1)) for x in xs], 0
    )


def hstack(xs: Sequence[Any]) -> Any:
    """Join columns; vectors are joined at their ends."""
    return TABLE["concatenate"](xs, axis=0 if np.ndim(xs[0]) == 1 else 1)


def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """Return a part of the given shape that begins at the given indices."""
    starts = zip(start_indices, shape, strict=True)
    return TABLE["get_item"](
        inputs, tuple(builtins.slice(int(a), int(a) + int(n)) for a, n in starts)
    )


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Compute the sum of the diagonal."""
    return TABLE["sum"](TABLE["diagonal"](x, offset, axis1, axis2), axis=-1)


def divide_no_nan(x1: Any, x2: Any) -> Any:
    """Divide; where the divisor is 0, the result is 0."""
    is_zero = TABLE["equal"](x2, 0)
    safe = TABLE["divide"](x1, TABLE["where"](is_zero, 1.0, x2))
    return TABLE["where"](is_zero, 0.0, safe)


def erfc(x: Any) -> Any:
    """Compute ``1 - erf(x)``."""
    return 1 - TABLE["erf"](x)


def log_sigmoid(x: Any) -> Any:
    """Compute ``log(sigmoid(x))``, without overflow."""
    return -activations.softplus(TABLE["negative"](x))


def hard_tanh(x: Any) -> Any:
    """Limit to the range from -1 to 1."""
    return TABLE["clip"](x, -1.0, 1.0)


# ------------------------------------------------------------ losses of one call


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """Compute the cross-entropy between probabilities of one class, element by element."""
    if from_logits:
        return activations.softplus(output) - output * target
    p = TABLE["clip"](output, config.epsilon(), 1 - config.epsilon())
    return -(target * TABLE["log"](p) + (1 - target) * TABLE["log"](1 - p))


def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Compute the cross-entropy between distributions, one value for each row."""
    if from_logits:
        log = TABLE["subtract"](output, TABLE["logsumexp"](output, axis=axis, keepdims=True))
    else:
        p = output / TABLE["sum"](output, axis=axis, keepdims=True)
        log = TABLE["log"](TABLE["clip"](p, config.epsilon(), 1 - config.epsilon()))
    return -TABLE["sum"](target * log, axis=axis)


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Compute the cross-entropy between class labels and distributions."""
    labels = np.asarray(to_array(target)).astype(np.int64)
    if labels.ndim == np.ndim(output) and labels.shape[-1] == 1:
        labels = labels[..., 0]
    rows = one_hot(labels, np.shape(output)[axis], axis=axis)
    return categorical_crossentropy(rows, output, from_logits, axis)


# ------------------------------------------------------------ without gradients


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None) -> Any:
    """Return rows that are 1 at an index and 0 elsewhere; an index out of range gives zeros."""
    hot = np.asarray(to_array(x))[..., None] == np.arange(num_classes)
    return as_tensor(np.moveaxis(hot, -1, axis).astype(dtype or config.floatx()))


def convert_to_tensor(x: Any, dtype: Any = None) -> Any:
    """Return anything array-like as a tensor."""
    tensor: Tensor = TABLE["identity_of"](x)
    return tensor if dtype is None else TABLE["cast"](tensor, dtype)


def convert_to_numpy(x: Any) -> Any:
    """Return a plain NumPy array."""
    return np.array(to_array(x))


def shape(x: Any) -> tuple[int, ...]:
    """Return the shape."""
    return np.shape(to_array(x))


def size(x: Any) -> int:
    """Return the number of elements."""
    return int(np.size(to_array(x)))


def ndim(x: Any) -> int:
    """Return the number of dimensions."""
    return int(np.ndim(to_array(x)))


def is_tensor(x: Any) -> bool:
    """Return whether a value is a tensor."""
    return isinstance(x, Tensor)


def _made(function: Any) -> Callable[..., Any]:
    """Return a function of NumPy that makes an array of floats by default."""

    def make(*args: Any, dtype: Any = None) -> Any:
        return as_tensor(function(*args, dtype=dtype or config.floatx()))

    make.__doc__ = f"Compute ``numpy.{function.__name__}`` as a tensor."
    return make


def _like(function: Any) -> Callable[..., Any]:
    def make(x: Any, *args: Any, dtype: Any = None) -> Any:
        return as_tensor(function(np.asarray(to_array(x)), *args, dtype=dtype))

    make.__doc__ = f"Compute ``numpy.{function.__name__}`` as a tensor."
    return make


zeros, ones, eye = _made(np.zeros), _made(np.ones), _made(np.eye)
identity, full = _made(np.identity), _made(np.full)
zeros_like, ones_like, full_like = map(_like, (np.zeros_like, np.ones_like, np.full_like))
empty, empty_like = zeros, zeros_like  # never uninitialized


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    """Return evenly spaced numbers; integers are int32."""
    start, stop = (0, start) if stop is None else (start, stop)
    whole = builtins.all(isinstance(v, int | np.integer) for v in (start, stop, step))
    dtype = dtype or ("int32" if whole else config.floatx())
    return as_tensor(np.arange(start, stop, step).astype(dtype))


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None) -> Any:
    """Return a number of evenly spaced values, ends included."""
    return as_tensor(np.linspace(start, stop, num, endpoint, dtype=dtype or config.floatx()))


def sort(x: Any, axis: int = -1) -> Any:
    """Return the elements in ascending order along an axis."""
    return TABLE["take_along_axis"](x, TABLE["argsort"](x, axis=axis), axis=axis)


def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    """Return the k largest elements of each row, and their positions."""
    order = np.argsort(-np.asarray(to_array(x)), axis=-1, kind="stable")[..., :k].astype(np.int32)
    return TABLE["take_along_axis"](x, order, axis=-1), as_tensor(order)


def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Return whether each target is among the k largest of its row."""
    scores = np.asarray(to_array(predictions))
    own = np.take_along_axis(scores, np.asarray(to_array(targets))[:, None], axis=-1)
    return as_tensor((scores > own).sum(axis=-1) < k)


def _plain(function: Any) -> Callable[..., Any]:
    """Return a function of NumPy whose arguments may be tensors."""

    def call(*args: Any, **options: Any) -> Any:
        result = function(*(to_array(a) for a in args), **options)
        return as_tensor(result) if isinstance(result, np.ndarray | np.generic) else result

    call.__doc__ = f"Compute ``numpy.{function.__name__}``; gradients stop here."
    return call


allclose, isclose, count_nonzero, nonzero, median, bincount, digitize, unique, nan_to_num = map(
    _plain,
    (
        *(np.allclose, np.isclose, np.count_nonzero, np.nonzero, np.median, np.bincount),
        *(np.digitize, np.unique, np.nan_to_num),
    ),
)

_OWN = {n for n, v in globals().items() if getattr(v, "__module__", "") == __name__}
__all__ = sorted(n for n in {*TABLE, *_OWN} if n[0] != "_")  # computed
