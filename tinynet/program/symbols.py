"""Symbolic tensors: tensors without values, from which models and programs are built."""

from __future__ import annotations

import contextlib
import functools
import linecache
import math
import re
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinynet._core.cached_property import cached_property
from tinynet._core.checks import shorten
from tinynet._core.registry import unique_name
from tinynet.program.nested import flattened, mapped
from tinynet.program.tensor import TABLE, Array, TensorMethods

Shape = tuple[int | None, ...]

# Files of tinynet and NumPy, which are skipped to find the line of the traced code.
_OWN = re.compile(
    "|".join(re.escape(str(Path(f).parent)) for f in (np.__file__, str(Path(__file__).parent)))
)


class Allowance:
    """Numbers of calls, and of elements for three examples, that a model in a file may have.

    `n_bytes` is the size of its weights, and `n_objects` the number of objects in its
    configuration. Each call is described by objects, but nested models that call each other several
    times have more calls. A layer with many features usually has a weight for each of them, so that
    the inputs of three examples have no more bytes than three times the weights. Layers that are
    applied along the last axis only need fewer weights. Results of operations that may be larger
    than their inputs are limited to half as many elements, because their examples use memory.
    """

    def __init__(self, n_bytes: float, n_objects: int) -> None:
        self.calls = self.calls_left = max(1 << 13, 8 * n_objects)
        self.total = self.left = max(1 << 25, 4 * n_bytes)
        self.largest_input = max(1 << 23, 3 * n_bytes / 4)
        self.largest_result = max(1 << 22, 3 * n_bytes / 4)

    def spend(self, size: int = 0, shapes: Sequence[Any] = (), grows: bool = False) -> None:
        """Count a call with a number of elements; raise an error if that is too much."""
        self.calls_left, self.left = self.calls_left - 1, self.left - size
        most = "A model in a file must have at most"
        if self.calls_left < 0:
            expected = f"{most} {self.calls:,} calls of its layers and operations"
            raise ValueError(f"{expected}. Received: nested models with more calls")
        largest = self.largest_result if grows else self.largest_input
        if size > largest or self.left < 0:
            inputs = f" for inputs of shapes {shorten([*shapes])}" if shapes else ""
            raise ValueError(
                f"{most} {largest:,.0f} elements in each tensor and {self.total:,.0f} in all, for "
                f"three examples. Received: {size:,} elements{inputs}"
            )


#: Allowance while a model in a file is built.
allowance: ContextVar[Allowance | None] = ContextVar("allowance", default=None)

#: Sizes that replace the first unknown size, the second, ...
_TRIED = ((2, 3), (5, 7), (11, 13), (17, 19))


class BatchSizeNeeded(BaseException):
    """Raised if the traced code needs the unknown batch size: trace it again with a fixed one."""


class Node:
    """Call of a layer or operation that computes symbolic tensors.

    The symbolic tensors may be nested in lists and dicts of the arguments `args` and `kwargs`.
    """

    def __init__(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Copy lists, because the caller may append to them later.
        args, kwargs = mapped(lambda value: value, [args, kwargs])
        self.operation, self.args, self.kwargs = operation, args, kwargs
        #: Name of an operation's call; None for a layer, which has a name itself.
        self.own_name = None if hasattr(operation, "_nodes") else unique_name(operation.name)
        #: Symbolic tensors among the arguments, in order.
        self.inputs = [a for a in flattened([args, kwargs]) if isinstance(a, SymbolicTensor)]
        #: Result: a symbolic tensor, or a nested list or dict of symbolic tensors.
        self.outputs: Any = None

    @property
    def owner(self) -> Any:
        """The layer, or this call for an operation, whose calls are independent of each other."""
        return self.operation if self.own_name is None else self

    @property
    def name(self) -> str:
        """Name of the layer, or of this call of an operation."""
        return str(self.own_name or self.operation.name)

    def call(self, values: dict[int, Any]) -> Any:
        """Call the layer or operation with values instead of symbolic tensors."""
        args, kwargs = mapped(lambda a: values.get(id(a), a), [self.args, self.kwargs])
        return self.operation(*args, **kwargs)


@functools.lru_cache(64)
def _name_of(dtype: Any) -> str:
    """Return the name of a dtype; cached, because NumPy composes it each time."""
    return str(dtype.name)


class SymbolicTensor(TensorMethods, NDArrayOperatorsMixin):
    """A tensor without values: its shape and dtype are known before it is computed.

    Operators, methods, functions of `tinynet.ops` and layers can be applied to it as to other
    tensors. The shape of a result is determined by applying the operation to arrays of zeros. An
    unknown size (None) is replaced by two sample sizes: if the sizes of the two results differ,
    that size is unknown, too.

    Parameters
    ----------
    examples : list of ndarray, optional
        Arrays of its shape; two of them if a size is unknown. Created on demand by default.
    name : str
        Name.
    node : Node, optional
        Call that computes it; None while a program is traced.
    shape, dtype : tuple of (int or None), str, optional
        Shape and dtype; by default those of the examples.

    Examples
    --------
    >>> from tinynet import Input
    >>> x = Input((3,))
    >>> (x @ np.ones((3, 2), np.float32) + 1).shape
    (None, 2)
    """

    def __init__(
        self,
        examples: list[Array] | None = None,
        name: str = "",
        node: Node | None = None,
        shape: Shape = (),
        dtype: str = "",
    ) -> None:
        self.name, self.node = name, node
        #: Candidates for an ambiguous tensor: the results of all calls of a layer.
        self.alternatives: list[SymbolicTensor] = []
        #: Activation that computed it, and the activation's input; (None, None) for other results.
        self.computed_by: tuple[Any, Any] = (None, None)
        self.shape, self.dtype = shape, dtype
        if examples is None:
            return
        self.examples = [np.broadcast_to(e.dtype.type(0), e.shape) for e in examples]
        first, last = examples[0], examples[-1]
        if first.ndim != last.ndim:
            raise ValueError(
                "The number of dimensions must not depend on the batch size. "
                f"Received: shapes {first.shape} and {last.shape}"
            )
        sizes = zip(first.shape, last.shape, strict=True)
        self.shape = tuple(a if a == b else None for a, b in sizes)
        self.dtype = _name_of(first.dtype)

    @cached_property
    def examples(self) -> list[Array]:
        """Arrays of its shape that repeat one zero, so that they take no memory."""
        return examples_of(self.shape, self.dtype)

    def zeros(self, k: int) -> Array:
        """Create an array with the shape of an example, which custom code may change.

        Parameters
        ----------
        k : int
            Number of the example; if there are fewer, counted from the first one again.

        Returns
        -------
        ndarray
            New array of zeros.
        """
        example = self.examples[k % len(self.examples)]
        return np.zeros(example.shape, example.dtype)

    @property
    def tried(self) -> tuple[int, ...]:
        """Shape of the last example, in which all sizes are known."""
        return self.examples[-1].shape

    @property
    def layer(self) -> Any:
        """Layer that computes it."""
        return None if self.node is None else self.node.operation

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def sizes(self) -> Shape:
        """Return the shape; while a program is traced, all sizes must be known."""
        if None in self.shape and self.node is None:
            raise BatchSizeNeeded
        return self.shape

    def __len__(self) -> int:
        """Return the size of the first axis."""
        size = self.sizes()[0] if self.shape else None
        if size is None:
            raise refusal(self, "len(x)", "ops.shape(x)")
        return size

    def __iter__(self) -> Any:
        """Iterate over the first axis, whose size must be known."""
        return (self[i] for i in range(len(self)))

    def _fallback(self, function: Any, args: Any, kwargs: Any) -> Any:
        name = getattr(function, "__name__", repr(function))
        if name in ("shape", "ndim", "size") and not kwargs:
            return getattr(np, name)(self.examples[0]) if name == "ndim" else self.sizes()
        raise refusal(self, f"numpy.{name}", "a function of tinynet.ops")

    def __repr__(self) -> str:
        named = f" name={self.name}," if self.name else ""
        return f"<SymbolicTensor{named} shape={self.shape}, dtype={self.dtype}>"

    # `==` is elementwise, as for other tensors.
    def __eq__(self, other: object) -> Any:
        return NDArrayOperatorsMixin.__eq__(self, other)

    __hash__ = object.__hash__


class TraceError(TypeError, ValueError):
    """Raised if traced code needs the value of a symbolic tensor."""


def refusal(tensor: Any, what: str, instead: str) -> TraceError:
    """Return the error of traced code that needs the value of a tensor or Variable."""
    frame: Any = sys._getframe(1)
    while frame is not None and _OWN.match(frame.f_code.co_filename):
        frame = frame.f_back
    where = ""
    if frame is not None:
        file, line = frame.f_code.co_filename, frame.f_lineno
        where = f" in {file}, line {line}: {linecache.getline(file, line).strip()}"
    return TraceError(
        "A layer, loss or other function must compute its result with operations on tensors, "
        f"because it is traced with symbolic tensors, which have no values; use {instead} "
        f"instead, or compile(run_eagerly=True). Received: {what} of {tensor!r}{where}"
    )


def _refused(name: str, what: str, instead: str) -> Any:
    def method(self: SymbolicTensor, *_: Any, **__: Any) -> Any:
        """Raise an error, because the tensor has no value yet."""
        raise refusal(self, what, instead)

    method.__name__ = name
    return method


for _name, *_words in (
    ("__bool__", "a condition (if, while, and, or, not)", "ops.where, or ops.logical_and"),
    ("__float__", "float(x)", "ops.cast(x, 'float32')"),
    ("__int__", "int(x)", "ops.cast(x, 'int32')"),
    ("__index__", "an index or range(x)", "ops.take, or a size of ops.shape(x)"),
    ("__array__", "a conversion to a NumPy array", "a function of tinynet.ops"),
    ("numpy", "x.numpy()", "a function of tinynet.ops"),
    ("item", "x.item()", "an index or ops.reshape"),
    ("tolist", "x.tolist()", "a function of tinynet.ops"),
    ("__setitem__", "x[...] = value", "ops.where, or ops.slice_update"),
):
    setattr(SymbolicTensor, _name, _refused(_name, *_words))


def check_size(shapes: Sequence[Shape], growth: int = 1) -> None:
    """Raise an error if a result would be too large, while a model file is loaded.

    `growth` is an upper bound of the result's size relative to the inputs.
    """
    limit = allowance.get()
    if limit is None:
        return
    known = [tuple(3 if size is None else size for size in shape) for shape in shapes]
    given = sum(map(math.prod, known))
    size = given * growth
    if size <= limit.largest_input:
        with contextlib.suppress(ValueError, RuntimeError):  # RuntimeError: over 32 dimensions
            size = max(size, math.prod(np.broadcast_shapes(*known)))
    limit.spend(size, shapes, size > given)


def check_growth(function: Any, tensors: Sequence[Any], options: dict[str, Any]) -> None:
    """Check the size of the result of a function that consists of operations; see `check_size`.

    A size in its options may be a factor of the size of its result.
    """
    if TABLE.get(function.__name__) is not function and function.__name__[:5] != "slice":
        numbers = [n for n in flattened([*options.values()]) if isinstance(n, int)]
        growth = math.prod(max(1, abs(n)) for n in numbers)
        check_size([t.tried for t in tensors if isinstance(t, SymbolicTensor)], growth)


def spend(size: int = 0) -> None:
    """Count a call, or elements that a layer or metric needs, while a model file is loaded."""
    if (limit := allowance.get()) is not None:
        limit.spend(size)


def check_product(name: str, arrays: Sequence[Any], options: dict[str, Any]) -> None:
    """Raise an error if a product or lookup would be too large, while a model file is loaded."""
    limit = allowance.get()
    if limit is None or name not in _RESULTS:
        return
    size, shapes = 0, [*map(np.shape, arrays)]
    # For invalid arguments, the operation itself raises an error.
    with contextlib.suppress(ValueError, TypeError, IndexError, KeyError, RuntimeError):
        size = _RESULTS[name](*shapes, **options)
    limit.spend(size, shapes, True)


def _matmul_size(a: Any, b: Any) -> int:
    rows, columns = (math.prod(x) for x in (a[-2:-1], b[-1:] if len(b) > 1 else ()))
    return math.prod(np.broadcast_shapes(a[:-2], b[:-2])) * rows * columns


def _tensordot_size(a: Any, b: Any, axes: Any = 2) -> int:
    first = range(-axes, 0) if isinstance(axes, int) else np.atleast_1d(axes[0])
    summed = math.prod(a[int(i)] for i in first)
    return math.prod(a) * math.prod(b) // max(summed, 1) ** 2


def _einsum_size(*shapes: Any, subscripts: str) -> int:
    terms, _, result = subscripts.partition("->")
    named = zip(terms.split(","), shapes, strict=True)
    sizes = {axis: n for term, shape in named for axis, n in zip(term, shape, strict=True) if n > 1}
    # With more than two operands, an intermediate result may have any of the axes.
    axes = sizes if len(shapes) > 2 else result
    return math.prod(sizes.get(axis, 1) for axis in axes)


def _pad_size(x: Any, pad_width: Any, **options: Any) -> int:
    widths = np.broadcast_to(pad_width, (len(x), 2)).tolist()
    return math.prod(n + sum(added) for n, added in zip(x, widths, strict=True))


def _take_size(x: Any, indices: Any, axis: int | None = None) -> int:
    rest = 1 if axis is None else math.prod(x) // max(x[axis], 1)
    return rest * math.prod(indices)


#: Result sizes of operations whose results may be much larger than their inputs.
_RESULTS: dict[str, Any] = {
    "matmul": _matmul_size,
    "tensordot": _tensordot_size,
    "dot": lambda a, b: _tensordot_size(a, b, min(len(a), len(b), 1)),
    "einsum": _einsum_size,
    "pad": _pad_size,
    "take": _take_size,
    "diag": lambda x, k=0: (x[0] + abs(k)) ** 2 if len(x) == 1 else 0,
}


def examples_of(shape: Shape, dtype: Any) -> list[Array]:
    """Return arrays of zeros of a shape; two of different sizes if a size is unknown."""
    found = []
    for k in range(2 if None in shape else 1):
        tried = iter(_TRIED)
        sizes = tuple(next(tried)[k] if size is None else size for size in shape)
        check_size([sizes])
        found.append(np.broadcast_to(np.dtype(dtype).type(0), sizes))
    return found
