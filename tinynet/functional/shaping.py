"""Shape, indexing and conversion operations, followed by their backward functions.

A backward function moves each element of the gradient back to its position in x, and sums the
gradients of elements that were copied. Operations with integer results have none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinynet.functional.arithmetic import Array


def _backward_by_index(forward: Callable[..., Array]) -> Callable[..., Any]:
    """Return the backward function of an operation that only rearranges elements.

    The operation is applied to the positions 1, 2, ... of the elements of x: the result shows where
    each element of y comes from, and 0 marks padding.
    """

    def backward(d_y: Array, y: Array, x: Array, *indices: Array, **options: Any) -> Any:
        places = forward(np.arange(1, x.size + 1).reshape(x.shape), *indices, **options)
        d_x = np.zeros(x.size + 1, d_y.dtype)
        np.add.at(d_x, places.reshape(-1), d_y.reshape(-1))  # flat indices are faster
        return d_x[1:].reshape(x.shape), *(None for _ in indices)

    backward.__doc__ = (
        f"Compute the gradient of `{forward.__name__}`: sum d_y into the elements it was read from."
    )
    return backward


def reshape(x: Array, newshape: Any) -> Array:
    """Change the shape without changing the order of elements; one size may be -1 (inferred)."""
    return np.reshape(x, newshape)


def reshape_backward(d_y: Array, y: Array, x: Array, newshape: Any) -> Array:
    """Compute the gradient of `reshape`: d_y in the shape of x."""
    return d_y.reshape(x.shape)


def transpose(x: Array, axes: Any = None) -> Array:
    """Permute the axes, or reverse their order if `axes` is None."""
    return np.transpose(x, axes)


def transpose_backward(d_y: Array, y: Array, x: Array, axes: Any = None) -> Array:
    """Compute the gradient of `transpose`: d_y with the inverse permutation."""
    return np.transpose(d_y, None if axes is None else np.argsort(np.asarray(axes) % x.ndim))


def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """Interchange two axes."""
    return np.swapaxes(x, axis1, axis2)


def swapaxes_backward(d_y: Array, y: Array, x: Array, axis1: int, axis2: int) -> Array:
    """Compute the gradient of `swapaxes`: d_y with the same two axes interchanged."""
    return np.swapaxes(d_y, axis1, axis2)


def expand_dims(x: Array, axis: Any) -> Array:
    """Insert axes of size 1."""
    return np.expand_dims(x, axis)


def expand_dims_backward(d_y: Array, y: Array, x: Array, axis: Any = None) -> Array:
    """Compute the gradient of `expand_dims` or `squeeze`: d_y in the shape of x."""
    return d_y.reshape(x.shape)


def squeeze(x: Array, axis: Any = None) -> Array:
    """Remove axes of size 1."""
    return np.squeeze(x, axis)


squeeze_backward = expand_dims_backward


def broadcast_to(x: Array, shape: Any) -> Array:
    """Broadcast to a shape."""
    return np.broadcast_to(x, shape)


def broadcast_to_backward(d_y: Array, y: Array, x: Array, shape: Any) -> Array:
    """Return d_y; the caller sums it over broadcast axes with `sum_to_shape`."""
    return d_y


def concatenate(*xs: Array, axis: int = 0) -> Array:
    """Join arrays along an existing axis."""
    return np.concatenate(xs, axis=axis)


def concatenate_backward(d_y: Array, y: Array, *xs: Array, axis: int = 0) -> Any:
    """Compute the gradients of `concatenate`: d_y, split at the boundaries of the inputs."""
    return tuple(np.split(d_y, np.cumsum([x.shape[axis] for x in xs[:-1]]), axis=axis))


def stack(*x: Array, axis: int = 0) -> Array:
    """Join arrays along a new axis."""
    return np.stack(x, axis=axis)


def stack_backward(d_y: Array, y: Array, *x: Array, axis: int = 0) -> Any:
    """Compute the gradients of `stack`: the slices of d_y along `axis`."""
    return tuple(np.moveaxis(d_y, axis, 0))


def get_item(x: Array, key: Any) -> Array:
    """Return ``x[key]``; the key may contain slices, index arrays and masks."""
    return np.asarray(x[key])


def get_item_backward(d_y: Array, y: Array, x: Array, key: Any) -> Array:
    """Compute the gradient of `get_item`: zeros, with d_y added at ``d_x[key]``.

    >>> get_item_backward(np.array([1.0, 1.0]), None, np.zeros(3), [2, 2])
    array([0., 0., 2.])
    """
    d_x = np.zeros(x.shape, d_y.dtype)
    np.add.at(d_x, key, d_y)
    return d_x


def take(x: Array, indices: Array, axis: int | None = None) -> Array:
    """Return elements at indices into the flattened array, or slices at indices along an axis."""
    return np.take(x, indices, axis=axis)


def take_backward(d_y: Array, y: Array, x: Array, indices: Array, axis: int | None = None) -> Any:
    """Compute the gradient of `take`: zeros, with each slice of d_y added at its index."""
    if axis is None:
        return get_item_backward(d_y, y, x.reshape(-1), indices).reshape(x.shape), None
    moved = np.zeros((x.shape[axis], *np.delete(x.shape, axis)), d_y.dtype)
    where = tuple(range(axis % x.ndim, axis % x.ndim + indices.ndim))
    np.add.at(moved, indices, np.moveaxis(d_y, where, tuple(range(indices.ndim))))
    return np.moveaxis(moved, 0, axis), None


def take_along_axis(x: Array, indices: Array, axis: int | None = None) -> Array:
    """Select one element for each index along an axis, like `numpy.take_along_axis`."""
    return np.take_along_axis(x, indices, axis)


take_along_axis_backward = _backward_by_index(take_along_axis)


def pad(x: Array, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Array:
    """Pad each axis at both ends, with a constant or with elements of x, as `numpy.pad` does."""
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f"mode must be a mode of ops.pad, such as 'edge'. Received: mode={mode!r}")
    options: Any = {"mode": mode}
    if constant_values is not None:
        constant = np.asarray(constant_values)
        is_exact = x.dtype.kind == "f" or (constant.astype(x.dtype) == constant).all()
        if mode != "constant" or not is_exact:
            raise ValueError(
                f"constant_values must be numbers of type {x.dtype}, or None if mode is not "
                f"'constant'. Received: constant_values={constant_values}, mode={mode!r}"
            )
        options["constant_values"] = constant
    return np.asarray(np.pad(x, _widths(pad_width, x.ndim), **options))


def _widths(pad_width: Any, ndim: int) -> Array:
    """Return the widths before and after each axis, shape (ndim, 2)."""
    widths = np.asarray(pad_width)
    with contextlib.suppress(ValueError):  # raised if the shape is not that of pairs
        if widths.dtype.kind in "iu" and (widths >= 0).all():
            return np.broadcast_to(widths, (ndim, 2))
    raise ValueError(
        f"pad_width must be a non-negative integer, or a pair of them for each of the {ndim} axes. "
        f"Received: pad_width={pad_width}"
    )


def pad_backward(
    d_y: Array,
    y: Array,
    x: Array,
    pad_width: Any,
    mode: str = "constant",
    constant_values: Any = None,
) -> Any:
    """Compute the gradient of `pad`: crop d_y, and add the gradients of copied elements."""
    return _backward_by_index(pad)(d_y, y, x, pad_width=pad_width, mode=mode)


def tile(x: Array, repeats: Any) -> Array:
    """Repeat the whole array along its axes."""
    return np.tile(x, repeats)


def tile_backward(d_y: Array, y: Array, x: Array, repeats: Any) -> Array:
    """Compute the gradient of `tile`: the sum of d_y over the copies.

    >>> tile_backward(np.array([1.0, 2.0, 3.0, 4.0]), None, np.zeros(2), 2)  # 1 + 3, 2 + 4
    array([4., 6.])
    """
    counts = np.atleast_1d(repeats)
    shape = (1,) * (len(counts) - x.ndim) + x.shape
    counts = np.concatenate([np.ones(len(shape) - len(counts), int), counts])
    parts = d_y.reshape([n for pair in zip(counts, shape, strict=True) for n in pair])
    return np.asarray(parts.sum(axis=tuple(range(0, parts.ndim, 2))).reshape(x.shape))


def repeat(x: Array, repeats: Any, axis: int | None = None) -> Array:
    """Repeat each element, or each slice along an axis."""
    return np.repeat(x, repeats, axis=axis)


repeat_backward = _backward_by_index(repeat)


def flip(x: Array, axis: Any = None) -> Array:
    """Reverse the order of elements along axes."""
    return np.flip(x, axis)


def flip_backward(d_y: Array, y: Array, x: Array, axis: Any = None) -> Array:
    """Compute the gradient of `flip`: d_y, flipped along the same axes."""
    return np.flip(d_y, axis)


def roll(x: Array, shift: Any, axis: Any = None) -> Array:
    """Shift elements along an axis; elements shifted beyond one end reappear at the other."""
    return np.roll(x, shift, axis)


def roll_backward(d_y: Array, y: Array, x: Array, shift: Any, axis: Any = None) -> Array:
    """Compute the gradient of `roll`: d_y, shifted in the opposite direction."""
    return np.roll(d_y, -np.asarray(shift), axis)


def cast(x: Array, dtype: DTypeLike) -> Array:
    """Convert to another dtype."""
    return x.astype(dtype)


def cast_backward(d_y: Array, y: Array, x: Array, dtype: DTypeLike) -> Array:
    """Compute the gradient of `cast`: d_y in the dtype of x."""
    return d_y.astype(x.dtype)


def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Return the diagonal with respect to two axes."""
    return np.diagonal(x, offset, axis1, axis2)


diagonal_backward = _backward_by_index(diagonal)


def tril(x: Array, k: int = 0) -> Array:
    """Return the lower triangle: set elements above diagonal k to 0."""
    return np.tril(x, k)


def tril_backward(d_y: Array, y: Array, x: Array, k: int = 0) -> Array:
    """Compute the gradient of `tril`: the lower triangle of d_y."""
    return np.tril(d_y, k)


def triu(x: Array, k: int = 0) -> Array:
    """Return the upper triangle: set elements below diagonal k to 0."""
    return np.triu(x, k)


def triu_backward(d_y: Array, y: Array, x: Array, k: int = 0) -> Array:
    """Compute the gradient of `triu`: the upper triangle of d_y."""
    return np.triu(d_y, k)


def diag(x: Array, k: int = 0) -> Array:
    """Return the diagonal of a matrix, or a matrix with the given diagonal."""
    return np.diag(x, k)


diag_backward = _backward_by_index(diag)


def _at(indices: Array) -> tuple[Array, ...]:
    """Convert index rows to a key: ``x[_at([[0, 1], [2, 3]])]`` selects x[0, 1] and x[2, 3]."""
    return tuple(np.moveaxis(indices, -1, 0))


def gather_nd(params: Array, indices: Array) -> Array:
    """Return the elements, or slices, at the positions in the rows of `indices`."""
    return np.asarray(params[_at(indices)])


gather_nd_backward = _backward_by_index(gather_nd)


def scatter_update(
    inputs: Array, indices: Array, updates: Array, reduction: str | None = None
) -> Array:
    """Replace the elements at the positions in the rows of `indices`, or add to them.

    >>> scatter_update(np.array([1, 2, 3]), np.array([[0], [2]]), np.array([7, 8]))
    array([7, 2, 8])
    """
    if reduction not in (None, "add"):
        raise ValueError(f"reduction must be None or 'add'. Received: reduction={reduction!r}")
    y = inputs.copy()
    if reduction == "add":
        np.add.at(y, _at(indices), updates)
    else:
        y[_at(indices)] = updates
    return y


def scatter_update_backward(
    d_y: Array, y: Array, inputs: Array, indices: Array, updates: Array, reduction: Any = None
) -> Any:
    """Compute the gradients of `scatter_update`.

    For the updates, it is d_y at the indices; for the inputs, d_y, set to 0 where elements were
    replaced.
    """
    kept = d_y if reduction else scatter_update(d_y, indices, np.zeros_like(updates))
    return kept, None, d_y[_at(indices)]


def one_hot(x: Array, num_classes: int, axis: int = -1, dtype: Any = None) -> Array:
    """Return one-hot vectors: 1 at the index, else 0; all 0 if the index is out of range."""
    return np.moveaxis(x[..., None] == np.arange(num_classes), -1, axis).astype(dtype)


def in_top_k(targets: Array, predictions: Array, k: int) -> Array:
    """Return whether the score of each target is finite and among the k largest of its row."""
    classes = predictions.shape[-1]
    own = np.take_along_axis(predictions, targets[:, None] % max(classes, 1), axis=-1)
    known = (targets >= 0) & (targets < classes) & np.isfinite(own[:, 0])
    return known & ((predictions > own).sum(axis=-1) < k)


def searchsorted(sorted_sequence: Array, values: Array, side: str = "left") -> Array:
    """Return the indices at which values would be inserted to keep a vector sorted."""
    return np.searchsorted(sorted_sequence, values, side).astype(np.int32)  # type: ignore[call-overload]


def split_sections(size: int, sections: Any) -> list[int]:
    """Return the indices at which to split an axis.

    `sections` is a number of equal sections, or a list of indices.

    >>> split_sections(6, 3)
    [2, 4]
    """
    if np.ndim(sections) == 1:
        return [*map(int, sections)]
    if not isinstance(sections, int | np.integer) or sections < 1 or size % sections:
        raise ValueError(
            f"indices_or_sections must be a list of indices, or a positive integer that divides "
            f"the size {size} of the axis. Received: indices_or_sections={sections}"
        )
    return [i * (size // sections) for i in range(1, sections)]
