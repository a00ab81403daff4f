"""Lowering of operations that move elements.

Examples are concatenation, slicing, broadcasting and lookups. Strides come from NumPy: the lowered
function is applied to an array of the same shape, and the strides of the view that it returns
become the words of the kernel `copy_elements`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinynet import functional
from tinynet.kernels.random_numbers import state_address
from tinynet.program.formula import BATCH, Traced, Untraceable, as_traced, space_of
from tinynet.program.layer_operations import Draw, Dropout
from tinynet.program.lowering import (
    CLASSES,
    NAMED,
    UPDATE,
    WRONG_INDEX,
    Gradients,
    Indices,
    Lowered,
    Lowering,
    copied,
    formula,
    formula_backward,
    linear,
    linear_backward,
)
from tinynet.program.operations import LookUp
from tinynet.program.tensor import TABLE

Shape = tuple[int, ...]
View = Callable[[Any], Any]


class Layout(NamedTuple):
    """Position of a view's elements in a contiguous array: strides and first index, in elements."""

    shape: Shape
    strides: tuple[int, ...]
    first: int


def layout(shape: Shape, view: View = lambda x: x) -> Layout:
    """Return the layout of a view of a contiguous array; `view` must return a NumPy view."""
    strides = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
    array = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), shape, strides)
    made = view(array)
    (start, _), (first, _) = (a.__array_interface__["data"] for a in (array, made))
    return Layout(made.shape, made.strides, first - start)


def copy(low: Lowering, x: Any, source: Layout, to: Layout, out: Traced | Shape) -> Traced:
    """Add a copy of the elements of `x` at the layout `source` to the layout `to` of `out`.

    `out` is an earlier copy's result, which is completed, or the shape of a new array.
    """
    if as_traced(x).dtype == np.int64:
        raise Untraceable("8-byte elements")
    shape = source.shape
    batched = bool(shape) and shape[0] == BATCH
    made = out if isinstance(out, tuple) else out.shape
    if space_of(made).batched != batched or (batched and made[0] != BATCH):
        raise Untraceable("the batch axis")
    axes: list[list[int]] = []
    every = zip(shape, source.strides, to.strides, strict=True)
    for size, a, b in [*every][batched:]:
        if axes and axes[-1][1:] == [size * a, size * b]:  # merge with the axis before
            axes[-1] = [axes[-1][0] * size, a, b]
        elif size != 1:
            axes.append([size, a, b])
    if len(axes) > 3:
        raise Untraceable("too many axes")
    sizes, xs, ys = zip(*[[1, 0, 0]] * (3 - len(axes)), *axes, strict=True)
    words = {f"size_{k + 1}": size for k, size in enumerate(sizes)}
    for name, own, given in (("x", xs, source), ("y", ys, to)):
        strides = (given.strides[0] if batched else 0, *own)
        words |= {f"{name}_{k}": stride for k, stride in enumerate(strides)}
        words[f"{name}_first"] = given.first
    target = None if isinstance(out, tuple) else out.node.source
    reads, writes = {"source": x}, {"out": (made, target)}
    result = low.call("copy_elements", reads, writes, batched=batched, **words)[0]
    return Traced.of(result.node, result.shape, bool if as_traced(x).dtype == bool else "f")


def gather(low: Lowering, x: Traced, view: View) -> Traced:
    """Add a copy of a view's elements into a new contiguous array."""
    own = layout(x.shape, view)
    if own == layout(own.shape) and math.prod(own.shape) == x.size:
        return x.reshape(own.shape)
    _same_batch(x.shape, own)
    return copy(low, low.whole(x), own, layout(own.shape), own.shape)


def scatter(low: Lowering, d_y: Any, shape: Shape, view: View) -> Traced:
    """Add an array that equals `d_y` at the elements of the view, and 0 elsewhere."""
    own = layout(shape, view)
    _same_batch(shape, own)
    out: Any = shape
    if math.prod(own.shape) != math.prod(shape):
        whole = layout(shape)
        nothing = Layout(shape, (0,) * len(shape), 0)
        out = copy(low, as_traced(0.0), nothing, whole, shape)
    return copy(low, low.whole(d_y), layout(own.shape), own, out)


def _same_batch(before: Shape, view: Layout) -> None:
    """Raise `Untraceable` unless a view leaves the batch axis unchanged."""
    if space_of(before).batched:
        size = math.prod(before[1:])
        if view.shape[:1] != before[:1] or view.strides[0] != size or view.first >= max(size, 1):
            raise Untraceable("the batch axis")


def broadcast(low: Lowering, x: Any, shape: Shape) -> Traced:
    """Add an array that is broadcast to a shape."""
    x = as_traced(x)
    if x.shape == shape:
        return x
    return gather(low, low.whole(x), lambda a: np.broadcast_to(a, shape))


def total(low: Lowering, x: Traced, shape: Shape) -> Any:
    """Add the sum over the axes along which an array of this shape was broadcast to that of x."""
    full = (1,) * (x.ndim - len(shape)) + shape
    axes = [k for k, (a, b) in enumerate(zip(full, x.shape, strict=True)) if a != b]
    if not axes:
        return x.reshape(shape)
    if axes[0] == 0 and len(axes) < x.ndim and space_of(x.shape).batched:  # batch axis last
        rows = total(low, x, (x.shape[0], *full[1:]))
        return np.sum(rows.reshape(len(rows), -1), axis=0).reshape(shape)
    try:
        made = np.sum(x, axis=tuple(axes)).reshape(shape)
    except Untraceable:
        made = np.sum(_last(low, x, axes), axis=-1).reshape(shape)
    return copied(made) if made.node.is_row else made


def _order(ndim: int, axes: list[int]) -> list[int]:
    return [k for k in range(ndim) if k not in axes] + axes


def _last(low: Lowering, x: Traced, axes: list[int]) -> Traced:
    """Add a copy of x whose last axis is the product of the given axes."""
    moved = gather(low, x, lambda a: np.transpose(a, _order(x.ndim, axes)))
    return moved.reshape(*moved.shape[: x.ndim - len(axes)], -1)


# ---------------------------------------------------------------- views


def _view(view: Callable[..., Any]) -> Lowered:
    """Return the lowering of an operation whose result is a view without repeated elements."""

    def forward(low: Lowering, _: Any, arrays: Any, options: Any) -> Any:
        return gather(low, arrays[0], lambda x: view(x, **options))

    def backward(low: Lowering, _: Any, given: Gradients) -> Any:
        shape = given.arrays[0].shape
        return [scatter(low, given.d_y, shape, lambda x: view(x, **given.options))]

    return Lowered(forward, backward)


def _item(x: Any, key: Any) -> Any:
    keys = key if isinstance(key, tuple) else (key,)
    if not all(k is None or k is Ellipsis or type(k) in (int, slice) for k in keys):
        raise Untraceable("indices")
    # An ellipsis makes the result a view even if it is a single element.
    return x[keys if Ellipsis in keys else (*keys, ...)]


NAMED["get_item"] = _view(_item)
NAMED["transpose"] = _view(np.transpose)
NAMED["swapaxes"] = _view(np.swapaxes)
NAMED["flip"] = _view(np.flip)


# ---------------------------------------------------------------- joined


def _parts(name: str, shapes: list[Shape], axis: int, out: Shape) -> list[View]:
    """Return the function that views each input's part of the result."""
    axis %= len(out)
    before = (slice(None),) * axis
    keys: list[Any] = [*range(len(shapes))]
    if name != "stack":
        ends = np.cumsum([shape[axis] for shape in shapes]).tolist()
        keys = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]
    return [functools.partial(_item, key=(*before, key)) for key in keys]


def _join(low: Lowering, operation: Any, arrays: Any, options: Any) -> Any:
    arrays, axis = [*map(as_traced, arrays)], options.get("axis", 0)
    shapes = [x.shape for x in arrays]
    first, *_ = shapes
    if operation.name == "stack":
        at = axis % (len(first) + 1)
        out: Any = (*first[:at], len(arrays), *first[at:])
    else:
        at = axis % len(first)
        out = (*first[:at], sum(shape[at] for shape in shapes), *first[at + 1 :])
    if not at and space_of(first).batched:
        raise Untraceable("the batch axis")
    made = out
    for x, view in zip(arrays, _parts(operation.name, shapes, axis, out), strict=True):
        made = copy(low, low.whole(x), layout(x.shape), layout(out, view), made)
    kinds = {x.dtype for x in arrays}
    return made if kinds == {made.dtype} else Traced.of(made.node, made.shape)


def _join_backward(low: Lowering, operation: Any, given: Gradients) -> Any:
    d_y, shapes = given.d_y, [as_traced(x).shape for x in given.arrays]
    views = _parts(operation.name, shapes, given.options.get("axis", 0), d_y.shape)
    return [gather(low, d_y, v) if n else None for v, n in zip(views, given.needs, strict=True)]


NAMED["concatenate"] = NAMED["stack"] = Lowered(_join, _join_backward)


# ---------------------------------------------------------------- repeated


def _repeat_of(arrays: Any, options: Any) -> tuple[Traced, int, int]:
    """Return the repeated array, the number of repetitions and the axis."""
    x, n, axis = arrays[0], options["repeats"], options.get("axis")
    if type(n) is not int or axis is None or not x.ndim:
        raise Untraceable("repeat")
    return x, n, axis % x.ndim


def _repeat(low: Lowering, _: Any, arrays: Any, options: Any) -> Any:
    x, n, axis = _repeat_of(arrays, options)
    shape = (*x.shape[: axis + 1], n, *x.shape[axis + 1 :])
    made = broadcast(low, x.reshape((*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])), shape)
    return made.reshape((*x.shape[:axis], x.shape[axis] * n, *x.shape[axis + 1 :]))


def _repeat_backward(low: Lowering, _: Any, given: Gradients) -> Any:
    x, n, axis = _repeat_of(given.arrays, given.options)
    parts = given.d_y.reshape((*x.shape[: axis + 1], n, *x.shape[axis + 1 :]))
    small = (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])
    return [total(low, parts, small).reshape(x.shape)]


NAMED["repeat"] = Lowered(_repeat, _repeat_backward)


# ---------------------------------------------------------------- formulas over arbitrary axes


def _or(moved: Lowered) -> Lowered:
    """Return a lowering that tries a formula first and moves elements if that is not traceable."""

    def forward(low: Lowering, operation: Any, arrays: Any, options: Any) -> Any:
        try:
            return formula(low, operation, arrays, options)
        except Untraceable:
            return moved.forward(low, operation, arrays, options)

    def backward(low: Lowering, operation: Any, given: Gradients) -> Any:
        try:
            return formula_backward(low, operation, given)
        except Untraceable:
            return moved.backward(low, operation, given)

    return Lowered(forward, backward)


def _elementwise(low: Lowering, operation: Any, arrays: Any, options: Any) -> Any:
    """Lower an elementwise operation after broadcasting: formulas cannot broadcast all axes."""
    return formula(low, operation, _alike(low, arrays), options)


def _elementwise_backward(low: Lowering, operation: Any, given: Gradients) -> Any:
    alike = given._replace(arrays=_alike(low, given.arrays))
    found = formula_backward(low, operation, alike)
    pairs = zip(found, [as_traced(x).shape for x in given.arrays], strict=True)
    return [None if d is None else total(low, as_traced(d), shape) for d, shape in pairs]


def _alike(low: Lowering, arrays: Any) -> list[Any]:
    arrays = [*map(as_traced, arrays)]
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return [broadcast(low, x, shape) if x.ndim else x for x in arrays]


def _reduced(low: Lowering, operation: Any, arrays: Any, options: Any) -> Any:
    """Lower a reduction over any axes by moving them to the end."""
    x, axes = arrays[0], _axes(arrays[0], options)
    kept = [1 if k in axes else n for k, n in enumerate(x.shape)]
    if not options.get("keepdims"):
        kept = [n for k, n in enumerate(x.shape) if k not in axes]
    return copied(operation.forward(_last(low, x, axes), axis=-1).reshape(tuple(kept)))


def _reduced_backward(low: Lowering, operation: Any, given: Gradients) -> Any:
    x, axes = given.arrays[0], _axes(given.arrays[0], given.options)
    order = _order(x.ndim, axes)
    rows = _last(low, x, axes)
    d_y, y = (a.reshape(rows.shape[:-1]) for a in (given.d_y, given.ys[0]))
    of_rows = given._replace(d_y=d_y, ys=[y], arrays=[rows], options={"axis": -1})
    (d_x,) = formula_backward(low, operation, of_rows)
    d_x = as_traced(d_x).reshape(tuple(x.shape[k] for k in order))
    return [scatter(low, d_x, x.shape, lambda a: np.transpose(a, order))]


def _axes(x: Any, options: Any) -> list[int]:
    axis = options.get("axis")
    if axis is None:
        raise Untraceable("a reduction over all axes")
    return sorted(k % x.ndim for k in (axis if isinstance(axis, tuple) else (axis,)))


_ELEMENTWISE = "add subtract multiply divide true_divide maximum minimum power"
for _name in _ELEMENTWISE.split():
    NAMED[_name] = _or(Lowered(_elementwise, _elementwise_backward))
for _name in ["sum", "mean", "max", "min", "var", "std"]:
    NAMED[_name] = _or(Lowered(_reduced, _reduced_backward))


# ---------------------------------------------------------------- dropout


def _draw(low: Lowering, _: Any, arrays: Any, options: Any) -> Any:
    given, noise = arrays[0].shape, options["noise_shape"] or (None,) * arrays[0].ndim
    if state_address(options["generator"]) is None:
        raise Untraceable("the generator")
    shape = tuple(n if own is None else own for n, own in zip(given, noise, strict=True))
    space, writes = space_of(shape), {"out": (shape, None)}
    words = {"numbers": space.size, "state": options["generator"]}
    return low.call("draw_uniform", {}, writes, batched=space.batched, **words)[0]


def _dropout(low: Lowering, _: Any, arrays: Any, options: Any) -> Any:
    x, drawn = arrays
    return functional.dropout(x, broadcast(low, drawn, x.shape), options["rate"])


def _dropout_backward(low: Lowering, operation: Any, given: Gradients) -> list[Any]:
    return [_dropout(low, operation, [given.d_y, given.arrays[1]], given.options), None]


CLASSES[Draw], CLASSES[Dropout] = Lowered(_draw), Lowered(_dropout, _dropout_backward)


# ---------------------------------------------------------------- products


def _is_linear(a: Traced, b: Traced) -> bool:
    """Return whether a product is rows times matrix; otherwise it must be batched dot products."""
    if b.ndim == 2 and a.ndim > 1 and not space_of(b.shape).batched:
        return True
    if a.ndim != 3 or b.ndim != 3 or a.shape[1] != 1 or b.shape[2] != 1:
        raise Untraceable("a product of this shape")
    return False


def _matmul(low: Lowering, _: Any, arrays: Any, options: Any) -> Any:
    a, b = map(as_traced, arrays)
    if _is_linear(a, b):
        return linear(low, TABLE["linear"], [a, b, None], {})
    rows = len(a), a.shape[2]
    return copied(np.sum(a.reshape(rows) * b.reshape(rows), axis=-1).reshape((len(a), 1, 1)))


def _matmul_backward(low: Lowering, _: Any, given: Gradients) -> Any:
    a, b = map(as_traced, given.arrays)
    if _is_linear(a, b):
        own = given._replace(arrays=[a, b, None], needs=[*given.needs, False])
        return linear_backward(low, TABLE["linear"], own)[:2]
    rows, d = (len(a), a.shape[2]), given.d_y.reshape((len(a), 1))
    return [(d * b.reshape(rows)).reshape(a.shape), (d * a.reshape(rows)).reshape(b.shape)]


NAMED["matmul"] = Lowered(_matmul, _matmul_backward)


# ---------------------------------------------------------------- lookups


def _cast(low: Lowering, operation: Any, arrays: Any, options: Any) -> Any:
    x, kind = as_traced(arrays[0]), np.dtype(options["dtype"]).kind
    if kind == "i" and x.dtype in (np.float32, np.int64):
        return Indices(x)
    return operation.forward(x, **options)


NAMED["cast"] = Lowered(_cast)


def _look_up_words(table: Any, indices: Indices) -> dict[str, Any]:
    x = indices.array
    words: dict[str, Any] = {"size_of": 8 if x.dtype == np.int64 else 0, "size": len(table)}
    space = space_of(x.shape)
    return {**words, "width": table.shape[1], "batched": space.batched, "per": space.size}


def _look_up(low: Any, operation: Any, arrays: Any, options: Any) -> Any:
    table, indices = arrays
    if not operation.checks or not isinstance(indices, Indices) or table.ndim != 2:
        raise Untraceable("indices")
    reads, out = {"table": table, "indices": indices.array}, (*indices.array.shape, table.shape[1])
    words = _look_up_words(table, indices)
    (made,) = low.call("look_up", reads, {"out": (out, None)}, stops=WRONG_INDEX, **words)
    low.look_ups.append((operation, indices.array))
    return made


def _look_up_backward(low: Any, operation: Any, given: Gradients) -> list[Any]:
    d_y, (table, indices) = given.d_y, given.arrays
    if UPDATE in low.by_python or not isinstance(indices, Indices):
        raise Untraceable("indices, or slices that the optimizer reads")
    words = _look_up_words(table, indices)
    found: list[Any] = []
    for values, out in ((d_y, given.outs[0]), (d_y * d_y, None)):
        reads = {"indices": indices.array, "d_y": values}
        found += low.call("look_up_backward", reads, {"out": (table.shape, out)}, **words)
    gradient, squares = found
    low.squares.setdefault(id(operation.table), []).append(squares)
    return [gradient, None]


CLASSES[LookUp] = Lowered(_look_up, _look_up_backward)
