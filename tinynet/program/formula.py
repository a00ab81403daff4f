"""Formulas: functions of NumPy arrays, traced into graphs of elementwise operations.

The functions of `functional` are called with `Traced` arrays, which have a shape and a dtype but no
values. Every ufunc and every reduction becomes a `Node`, and the kernel `chain` executes the nodes.
The readable function is therefore also the definition of the fast kernel.

A node has an iteration *space* of rows and columns. The batch axis, whose size is unknown, can only
be part of the rows. A result is *full* (one value per row and column) or a *row value* (one value
per row, such as a sum over the last axis). Sums over all rows are *column values*, which have
another space; sums over all elements are scalars.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinynet.kernels.chain import OPERATIONS
from tinynet.program.tensor import LOGICAL, NUMPY_NAMES

Array = np.ndarray[Any, Any]

#: Batch size during tracing: a large prime, so that no other size equals it or is a multiple of it.
BATCH = 1_000_003
#: Minimum row length for which a row reduction is divided among threads. A sum over all elements
#: cannot be divided: one thread adds up the row values in another chain.
LONG_ROW = 128
#: Reductions over a row; `REDUCTIONS` also contains the sum over the rows.
OF_ROWS = ("row_sum", "row_max", "row_min")
REDUCTIONS = (*OF_ROWS, "sum_col")


class Untraceable(Exception):  # noqa: N818  # control flow, not a user-visible error
    """Raised if a function is not a formula of elementwise operations: Python must run it."""


def require_own(thing: Any, *names: str) -> None:
    """Raise `Untraceable` unless tinynet defines the methods; others may have side effects."""
    for name in names:
        module = getattr(getattr(type(thing), name, None), "__module__", None)
        if not str(module).startswith("tinynet."):
            raise Untraceable(f"{name} of {type(thing).__name__}")


class Space(NamedTuple):
    """Iteration space: ``per`` rows per example if `batched`, otherwise ``per`` rows in total."""

    batched: bool
    per: int
    columns: int

    @property
    def size(self) -> int:
        """Number of elements per example if batched, otherwise in total."""
        return self.per * self.columns


SCALAR = Space(False, 1, 1)


class Node:
    """Elementwise operation or reduction of the kernel `chain`, or a "leaf" (an external value).

    It is computed in `space`; `result` is the space of its result, which is a different one for
    sums over rows or over all elements. `is_row`: one value per row. `source`: the origin of a
    leaf, the value of a constant, or the Variables that an optimizer step updates in place.
    """

    __slots__ = ("inputs", "is_row", "operation", "result", "source", "space")

    def __init__(
        self,
        operation: str,
        inputs: list[Node],
        space: Space,
        is_row: bool = False,
        result: Space | None = None,
        source: Any = None,
    ) -> None:
        self.operation, self.inputs, self.space = operation, inputs, space
        self.is_row, self.result, self.source = is_row, result or space, source

    @property
    def is_update(self) -> bool:
        """Whether this is an optimizer step, which updates the Variables in `source` in place."""
        return isinstance(self.source, tuple) and self.operation != "leaf"

    def __repr__(self) -> str:
        return f"<{self.operation} {self.space}{' row' if self.is_row else ''}>"


@functools.lru_cache(1024)
def space_of(shape: tuple[int, ...]) -> Space:
    """Return the space of a full array; its first axis may hold several rows per example."""
    if not shape:
        return SCALAR
    batched = shape[0] % BATCH == 0 and shape[0] > 0
    first = shape[0] // BATCH if batched else shape[0]
    if any(size % BATCH == 0 and size for size in shape[1:]):
        raise Untraceable(f"the batch axis in {shape}")
    if len(shape) == 1:
        return Space(True, first, 1) if batched else Space(False, 1, first)
    return Space(batched, first * math.prod(shape[1:-1]), shape[-1])


@functools.lru_cache(1024)
def _without_values(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return an array that repeats one element; NaN if possible, so that any use is detected."""
    one = np.full((), np.nan if dtype.kind == "f" else 1, dtype)
    return np.lib.stride_tricks.as_strided(one, shape, (0,) * len(shape))


class Traced(np.ndarray[Any, Any]):
    """Array of a formula: it has a shape and a dtype, but its values are unknown.

    An in-place operation replaces `node`, as it would replace the values of an ordinary array.
    """

    node: Node

    def __array_finalize__(self, other: Any) -> None:
        """Do nothing: the method that creates a view sets its node."""

    @classmethod
    def of(cls, node: Node, shape: tuple[int, ...], dtype: Any = np.float32) -> Traced:
        """Return the array that a node computes."""
        made: Traced = _without_values(shape, np.dtype(dtype)).view(cls)
        made.node = node
        return made

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Record an elementwise operation or a reduction."""
        outs = options.pop("out", None)
        if method == "reduce":
            (x,) = inputs
            made = _reduce(ufunc.__name__, x, **options)
        elif method == "__call__" and not options.keys() - {"dtype", "where", "casting"}:
            if options.get("where", True) is not True:
                raise Untraceable("where=")
            made = _call(ufunc, inputs)
        else:
            raise Untraceable(f"{ufunc.__name__}.{method}")
        return _written(made, outs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Record another NumPy function, or raise `Untraceable`."""
        known = _FUNCTIONS.get(function.__name__)
        if known is None or not kwargs.keys().isdisjoint(("initial", "where")):
            raise Untraceable(function.__name__)
        return known(*args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        """Return a view with axes of size 1 added or removed; elements cannot be selected."""
        parts = key if isinstance(key, tuple) else (key,)
        made = _stand_in(self)[key] if all(map(_keeps_all, parts)) else None
        if made is None or made.size != self.size:
            raise Untraceable(f"[{key}]")
        return _view(self, made.shape)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Replace all elements, or those selected by a boolean mask of the same shape."""
        if isinstance(key, Traced) and key.dtype == bool and key.shape == self.shape:
            self.node = _call(np.where, [key, value, self]).node
        elif type(key) is not int and _keeps_all(key):
            self.node = _like(as_traced(value), self.shape, self.dtype).node
        else:
            raise Untraceable(f"[{key}] = ...")

    def astype(self, dtype: Any, **_: Any) -> Any:  # type: ignore[override]
        """Convert to float32; a boolean mask already holds 0.0 and 1.0 in the kernel."""
        if np.dtype(dtype) == self.dtype:
            return self
        if np.dtype(dtype) != np.float32:
            raise Untraceable(f"astype({dtype})")
        if self.dtype == np.int64:
            return Traced.of(_converted(self.node), self.shape)
        return Traced.of(self.node, self.shape)

    def reshape(self, *shape: Any, **_: Any) -> Any:
        """Return a view with another shape."""
        given = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        known = math.prod(s for s in given if s != -1)
        return _view(self, tuple(self.size // known if s == -1 else s for s in given))

    def copy(self, *_: Any, **__: Any) -> Any:
        """Return another array of the same node."""
        return Traced.of(self.node, self.shape, self.dtype)

    def fill(self, value: Any) -> None:
        """Set all elements to one value."""
        self[...] = value

    def __len__(self) -> int:
        """Return the length of the first axis; use of an unknown batch size is detected later."""
        return int(self.shape[0])

    def argmax(self, axis: Any = None, out: Any = None, **_: Any) -> Any:
        """Return the column of the first maximum as a float; NaN is the maximum, as in NumPy."""
        if axis not in (-1, self.ndim - 1):
            raise Untraceable("argmax")
        columns = np.arange(self.shape[-1], dtype=np.float32)
        is_best = (self == self.max(axis=-1, keepdims=True)) | np.isnan(self)
        return np.where(is_best, columns, np.float32(self.shape[-1])).min(axis=-1)

    def _refuse(self, *_: Any) -> Any:
        raise Untraceable("the value of an array is needed")

    __bool__ = __float__ = __int__ = __index__ = __iter__ = _refuse
    item = tolist = tobytes = _refuse  # type: ignore[assignment]


def _keeps_all(part: Any) -> bool:
    """Return whether an index selects everything; an integer must index an axis of size 1."""
    if type(part) is int:
        return part in (0, -1)
    return part is None or part is Ellipsis or (isinstance(part, slice) and part == slice(None))


def _stand_in(x: Traced) -> Array:
    """Return an ordinary array of the same shape."""
    return _without_values(x.shape, x.dtype)


def _view(x: Traced, shape: tuple[int, ...]) -> Traced:
    """Return the same elements with another shape."""
    if math.prod(shape) != x.size:
        raise Untraceable(f"{x.size} elements in {shape}")
    space_of(shape)
    return Traced.of(x.node, shape, x.dtype)


def constant(value: Any) -> Node:
    """Return the node of a scalar constant."""
    if value != value:
        raise Untraceable("the value of an array is needed")  # from np.float32(x)
    if value and math.isfinite(value) and (value % BATCH == 0 or (1 / value) % BATCH == 0):
        raise Untraceable("the batch size is used as a number")
    return Node("constant", [], SCALAR, source=np.float32(value))


def as_traced(value: Any) -> Traced:
    """Convert an operand to a traced array."""
    if isinstance(value, Traced):
        return value
    if isinstance(value, bool | int | float | np.bool_):
        return Traced.of(constant(value), (), bool if isinstance(value, bool | np.bool_) else "f")
    array = np.asarray(value)
    if array.dtype.kind not in "fbiu" or (array.dtype.kind == "f" and array.itemsize > 4):
        raise Untraceable(f"an operand of {array.dtype}")
    if np.isnan(array).any() and array.ndim:
        raise Untraceable("an array without values")
    dtype = bool if array.dtype == bool else np.float32
    if array.size == 1:
        return Traced.of(constant(array.item()), array.shape, dtype)
    if BATCH in array.shape:
        raise Untraceable("an array with the batch size")
    flat = np.ascontiguousarray(array, np.float32)
    return Traced.of(Node("leaf", [], space_of(array.shape), source=flat), array.shape, dtype)


def _like(x: Traced, shape: tuple[int, ...], dtype: Any) -> Traced:
    """Broadcast x to a shape."""
    if x.shape == shape:
        return x
    if x.node.result == SCALAR and not x.node.is_row:
        return Traced.of(x.node, shape, dtype)
    space = space_of(shape)
    return Traced.of(Node("copy", [_placed(x, shape, space)], space), shape, dtype)


_NAMES = {**NUMPY_NAMES, "positive": "copy", "conjugate": "copy"}
_MASKS = {
    "greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "logical_and",
    "logical_or", "logical_not", "isnan",
}  # fmt: skip
# Replacements for operations whose operands are all boolean masks.
_OF_MASKS = {
    "add": "logical_or", "maximum": "logical_or", "multiply": "logical_and",
    "minimum": "logical_and", "copy": "logical_or", "absolute": "logical_or",
}  # fmt: skip
# Operations that NumPy computes exactly for all integers, including those that exceed the 24-bit
# precision of float32.
_OF_INTEGERS = {
    "add", "subtract", "multiply", "mod", "floor_divide", "power", "maximum", "minimum",
    "absolute", "negative", "sign", "square",
}  # fmt: skip


def _call(function: Any, operands: Any) -> Traced:
    """Record an elementwise operation, possibly as a composition of others."""
    name = function.__name__
    name = _NAMES.get(name, name)
    xs = [as_traced(x) for x in operands]
    kinds = {x.dtype.kind for x in xs}
    if kinds == {"b"}:
        name = LOGICAL.get(name, name)
    composed = _COMPOSED.get(name)
    if "i" in kinds and "f" not in map(_kind, operands):
        _refuse_integers(name, xs)
    if kinds == {"b"} and name in _OF_MASKS:
        name, xs = _OF_MASKS[name], [*xs, *xs][:2]
        composed = None
    if composed is not None:
        return composed(*xs)
    if name == "power" and xs[1].node.operation == "constant":
        simple = _POWERS.get(float(xs[1].node.source))
        if simple is not None:
            return simple(xs[0])
    if name not in OPERATIONS:
        raise Untraceable(name)
    shapes = {x.shape for x in xs}
    shape = shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)
    is_mask = name in _MASKS or (name == "where" and all(x.dtype == bool for x in xs[1:]))
    return _elementwise(name, xs, shape, bool if is_mask else np.float32)


def _kind(value: Any) -> str:
    """Return the NumPy dtype kind of an operand: "f", "i", "u" or "b"."""
    return np.asarray(value).dtype.kind if not isinstance(value, Traced) else value.dtype.kind


def _refuse_integers(name: str, xs: list[Traced]) -> None:
    """Raise `Untraceable` for integer operations that are exact in NumPy but not in float32."""
    if name in _OF_INTEGERS:
        raise Untraceable("integers")
    if name in _MASKS and len(xs) == 2:  # exact if one operand is small
        known = [x.node.source for x in xs if isinstance(x.node.source, np.float32 | np.ndarray)]
        if not any(np.all(np.abs(values) < 1 << 24) for values in known):
            raise Untraceable("integers")


def _elementwise(name: str, xs: list[Traced], shape: tuple[int, ...], dtype: Any) -> Traced:
    """Return the array of an operation whose operands are broadcast to a shape."""
    space, is_row = _home(xs, shape)
    inputs = [x.node if space == SCALAR else _placed(x, shape, space, is_row) for x in xs]
    return Traced.of(Node(name, inputs, space, is_row), shape, dtype)


def _home(xs: list[Traced], shape: tuple[int, ...]) -> tuple[Space, bool]:
    """Return the space of a result; row values stay in the space that they were reduced from."""
    if all(x.node.result == SCALAR and not x.node.is_row for x in xs):
        return SCALAR, False  # for any shape that it is broadcast to
    space = space_of(shape)
    for own in {x.node.space for x in xs if x.node.is_row}:
        of_rows = Space(own.batched, own.per, 1)
        if space.batched == own.batched and space.size == own.per:
            places = {placement(x.node, of_rows) for x in xs}
            if places <= {"full", "scalar"}:
                return own, True
    return space, False


def _placed(x: Traced, shape: tuple[int, ...], space: Space, is_row: bool = False) -> Node:
    """Return the node of an operand, aligned with a space as NumPy's broadcasting requires."""
    node, own = x.node, (1,) * (len(shape) - x.ndim) + x.shape
    if x.dtype == np.int64 and space.columns != 1 and placement(node, space) != "row":
        node = _converted(node)
    place = placement(node, space)
    if place in ("full", "scalar"):
        return node
    wanted = "column" if set(own[:-1]) <= {1} else ""
    if is_row or own[:-1] == shape[:-1]:
        wanted = "row"
    if place == wanted:
        return node
    if not wanted:
        raise Untraceable(f"{x.shape} in {shape}")
    # In a square space, sizes alone cannot tell a row value from a column value, so a view such as
    # (K, 1) of (K,) needs a copy with the right orientation.
    across = Space(False, 1, space.columns)
    return Node("copy", [node], space._replace(columns=1) if wanted == "row" else across)


def _converted(node: Node) -> Node:
    """Convert 8-byte integers to float32 in a space of one column: chains read them one by one."""
    own = node.result
    return Node("copy", [node], Space(own.batched, own.size, 1))


def placement(node: Node, space: Space) -> str:
    """Return how a node is laid out in a space: "full", "row", "column" or "scalar"."""
    own = node.result
    if node.is_row:
        if node.space == space:
            return "row"
        own = Space(own.batched, own.per, 1)
    if not own.batched and own.size == 1:
        return "scalar"
    if own.batched == space.batched and own.size == space.size:
        return "full"
    is_square = not own.batched and own.per == 1 and space.per == space.columns
    if own.batched == space.batched and own.size == space.per and not is_square:
        return "row"
    if not own.batched and own.size == space.columns:
        return "column"
    raise Untraceable(f"{own} in {space}")


def _written(made: Traced, outs: Any) -> Any:
    """Assign the result to the arrays of ``out=``."""
    if outs is None:
        return made
    (out,) = outs
    if not isinstance(out, Traced):
        raise Untraceable("out=")
    out.node = _like(made, out.shape, out.dtype).node
    return out


# ---------------------------------------------------------------- reductions


def _reduce(
    name: str, x: Any, axis: Any = 0, dtype: Any = None, keepdims: bool = False, **_: Any
) -> Traced:
    """Record a reduction over the last axis, over all other axes, or over all axes."""
    x = as_traced(x)
    if x.dtype == np.int64 or (dtype is not None and np.dtype(dtype) not in (np.float32, x.dtype)):
        raise Untraceable("dtype=")
    if name not in ("add", "maximum", "minimum", "logical_or", "logical_and"):
        raise Untraceable(f"{name}.reduce")
    every = tuple(range(x.ndim))
    given = axis if isinstance(axis, tuple) else every if axis is None else (axis,)
    axes = sorted(a % x.ndim for a in given) if x.ndim else []
    shape = tuple(
        1 if i in axes else size for i, size in enumerate(x.shape) if keepdims or i not in axes
    )
    axes = [a for a in axes if x.shape[a] != 1]
    kind = bool if x.dtype == bool and name != "add" else np.float32
    if not axes:
        return Traced.of(x.node, shape, kind)
    left = [i for i in every if i not in axes and x.shape[i] != 1]
    node, space = x.node, space_of(x.shape)
    if node.is_row:
        space = node.space
    elif node.result == SCALAR != space:
        node = Node("copy", [node], space)
    of_rows = x.ndim > 1 and axes == [x.ndim - 1]
    if not left and not of_rows:
        if name != "add":
            raise Untraceable(f"{name} over all axes")
        if node.is_row and space.columns >= LONG_ROW:
            space = Space(space.batched, space.per, 1)
        elif node.operation == "divide" and node.inputs[0].operation == "row_sum":
            total, count = node.inputs
            if count.operation == "constant":  # a mean of row means needs no row sums
                (inner,) = total.inputs
                total = Node("sum_all", [inner], space, result=SCALAR)
                return Traced.of(Node("divide", [total, count], SCALAR), shape)
        operation, inputs = "sum_all", [node]
        if node.operation == "square":
            operation, inputs = "sum_squares", node.inputs
        return Traced.of(Node(operation, inputs, space, result=SCALAR), shape)
    last = max(i for i in every if x.shape[i] != 1)
    if (axes == [last] or of_rows) and not node.is_row:
        whole = {"add": "row_sum", "maximum": "row_max", "minimum": "row_min"}
        operation = whole.get(name, "")
        if not operation or x.shape[-1] == 1:
            raise Untraceable(f"{name} over rows")
        return Traced.of(Node(operation, [node], space, is_row=True), shape, kind)
    if left == [last] and name == "add" and not node.is_row and x.shape[-1] != 1:
        result = Space(False, 1, x.shape[last])
        return Traced.of(Node("sum_col", [node], space, result=result), shape)
    raise Untraceable(f"{name} over axes {axes}")


def _count(x: Traced, axis: Any = None) -> Traced:
    """Return the number of elements, a per-step scalar if it depends on the batch size."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else [axis]
    number = math.prod(x.shape[a] for a in axes)
    if number == 0 or number % BATCH:
        return Traced.of(constant(number), ())
    return Traced.of(Node("leaf", [], SCALAR, source=("count", number // BATCH)), ())


def _sum(
    x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    return _written(_reduce("add", x, axis, dtype, keepdims), out and (out,))


def _max(x: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _written(_reduce("maximum", x, axis, None, keepdims), out and (out,))


def _min(x: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _written(_reduce("minimum", x, axis, None, keepdims), out and (out,))


def _mean(
    x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    x = as_traced(x).astype(np.float32)
    total = _reduce("add", x, axis, dtype, keepdims)
    return _written(_call(np.true_divide, [total, _count(x, axis)]), out and (out,))


def _var(
    x: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0,
    keepdims: bool = False,
) -> Any:  # fmt: skip
    centered = x - _mean(x, axis, keepdims=True)
    if ddof:
        raise Untraceable("ddof")
    return _mean(centered * centered, axis, dtype, out, keepdims)


def _all(x: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    """Return whether all elements are true, along the last axis or over all axes."""
    if axis is None:
        return np.sum(np.where(x, 0.0, 1.0), keepdims=keepdims) == 0
    return np.where(x, 1.0, 0.0).min(axis=axis, keepdims=keepdims) == 1


def _ratio(a: Traced, b: Traced) -> Traced:
    """Return the integer ratio of two sizes."""

    def factor(x: Traced) -> tuple[bool, float]:
        if x.node.operation == "constant":
            return False, float(x.node.source)
        if isinstance(x.node.source, tuple) and x.node.source[0] == "count":
            return True, float(x.node.source[1])
        raise Untraceable("floor_divide")

    (many, n), (parts, d) = factor(a), factor(b)
    if parts and not many:
        raise Untraceable("floor_divide")
    whole = int(n // d)
    if many and not parts:
        return Traced.of(Node("leaf", [], SCALAR, source=("count", whole)), ())
    return Traced.of(constant(whole), ())


def _logaddexp(a: Traced, b: Traced) -> Any:
    """Compute ``log(exp(a) + exp(b))`` without overflow; equal infinities stay unchanged."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    return np.where(a == b, a + math.log(2), high + np.log1p(np.exp(low - high)))


def _clip(x: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **kw: Any) -> Any:
    low, high = kw.get("min", a_min), kw.get("max", a_max)
    y = x if low is None else np.maximum(x, low)
    y = y if high is None else np.minimum(y, high)
    return _written(as_traced(y), out and (out,))


def _erfc_of(x: Any) -> Any:
    return _elementwise("erfc", [as_traced(x)], x.shape, np.float32)


#: Powers that are replaced by products or square roots, by exponent.
_POWERS: dict[float, Callable[[Any], Any]] = {
    2: lambda x: x * x, 1: lambda x: x, 0.5: np.sqrt, -1: lambda x: 1.0 / x
}  # fmt: skip

#: Operations that are composed of operations in the kernel's table.
_COMPOSED: dict[str, Callable[..., Any]] = {
    "logaddexp": _logaddexp,
    "reciprocal": lambda x: 1 / x,
    "floor_divide": _ratio,
    "isfinite": lambda x: np.abs(x) < np.inf,
    "isinf": lambda x: np.abs(x) == np.inf,
    "erfc (vectorized)": _erfc_of,
    "erf (vectorized)": lambda x: 1 - _erfc_of(x),
    "sinh": lambda x: (np.exp(x) - np.exp(-x)) / 2,
    "cosh": lambda x: (np.exp(x) + np.exp(-x)) / 2,
    "log2": lambda x: np.log(x) * np.float32(1 / math.log(2)),
    "log10": lambda x: np.log(x) * np.float32(1 / math.log(10)),
    "logical_xor": lambda a, b: (a != 0) != (b != 0),
}


def _filled(value: float) -> Callable[..., Any]:
    def function(x: Any, *args: Any, **kwargs: Any) -> Any:
        return _like(as_traced(value), x.shape, bool if x.dtype == bool else np.float32)

    return function


#: Other NumPy functions that can be traced.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": _count,
    "shape": lambda x: x.shape,
    "all": _all,
    "any": lambda x, *args, **kwargs: np.logical_not(_all(np.logical_not(x), *args, **kwargs)),
    "where": lambda condition, a, b: _call(np.where, [condition, a, b]),
    "clip": _clip,
    "sum": _sum,
    "max": _max,
    "min": _min,
    "mean": _mean,
    "var": _var,
    "ones_like": _filled(1.0),
    "zeros_like": _filled(0.0),
    "full_like": lambda x, value, *_, **__: _filled(value)(x),
    "reshape": lambda x, shape, **_: x.reshape(shape),
    "expand_dims": lambda x, axis: _view(x, np.expand_dims(_stand_in(x), axis).shape),
    "squeeze": lambda x, axis=None: _view(x, np.squeeze(_stand_in(x), axis).shape),
    "broadcast_to": lambda x, shape, **_: _like(as_traced(x), tuple(shape), np.float32),
    "atleast_1d": lambda x: _view(x, np.atleast_1d(_stand_in(x)).shape),
    "copy": lambda x, **_: x.copy(),
}
_FUNCTIONS["amax"], _FUNCTIONS["amin"] = _FUNCTIONS["max"], _FUNCTIONS["min"]


# Array methods. Every other method raises `Untraceable`: it would return an array without a node.
def _method(function: Any) -> Any:
    return lambda x, *args, **kwargs: x.__array_function__(function, (), (x, *args), kwargs)


for _name in ("sum", "max", "min", "mean"):
    setattr(Traced, _name, _method(getattr(np, _name)))


def _refused(name: str) -> Any:
    def refuse(self: Any, *_: Any, **__: Any) -> Any:
        raise Untraceable(name)

    return property(refuse) if not callable(getattr(np.ndarray, name)) else refuse


for _name in [name for name in vars(np.ndarray) if not name.startswith("_")]:
    if _name not in vars(Traced) and _name not in ("shape", "ndim", "size", "dtype", "view"):
        setattr(Traced, _name, _refused(_name))
