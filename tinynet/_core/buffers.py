"""Reusable buffers of a run, so that operations are stateless and memory is allocated once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tinynet import config

Array = NDArray[Any]


class Workspace:
    """Buffers of one instruction in one run, and values that forward saves for backward.

    Operations and layers hold no state of a run, so that any number of runs can share them. Buffers
    are allocated for the largest batch so far. Contents are uninitialized whenever `array` returns
    a buffer, so forward saves what backward needs in `x` and `y`.
    """

    __slots__ = ("arrays", "checked", "children", "gradients", "x", "y")

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.children: dict[Any, Workspace] = {}
        self.gradients: list[Any] = []
        #: Last shapes of input and output that passed the check.
        self.checked: tuple[Any, Any] | None = None
        self.x: Any = None
        self.y: Any = None

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an uninitialized buffer; calls with the same name share memory.

        The first dimension of the shape may differ between calls.
        """
        held = self.arrays.get(name)
        if held is None or held.shape != shape or held.dtype != dtype:
            same = held is not None and held.dtype == dtype and held.shape[1:] == shape[1:]
            if held is None or not same or len(held) < shape[0]:
                held = self.arrays[name] = aligned(shape, dtype)
            held = held[: shape[0]]
        return poisoned(held) if config.DEBUG_BUFFERS else held

    def of(self, key: Any) -> Workspace:
        """Return the workspace of an instruction; every call returns the same object."""
        found = self.children.get(key)
        if found is None:
            found = self.children[key] = Workspace()
        return found

    def release(self) -> None:
        """Drop references to the data that forward saved; keep the buffers."""
        self.x = self.y = None
        for child in self.children.values():
            child.release()


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return an uninitialized array aligned to 64 bytes, a cache line, for SIMD loads."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -address_of(raw) % 64
    array = raw[start : start + size].view(dtype).reshape(shape)
    return poisoned(array) if config.DEBUG_BUFFERS else array


def address_of(array: Array) -> int:
    """Return the memory address of an array's first element."""
    # Not `array.ctypes`, which leaks a few bytes per call to Python's attribute caches.
    return array.__array_interface__["data"][0]


def poisoned(array: Array) -> Array:
    """Fill a buffer with NaN, or with an extreme integer, and return it."""
    if array.dtype.kind in "fb":
        array.fill(np.nan)  # True for bool
    else:
        limits = np.iinfo(array.dtype)
        array.fill(limits.min or limits.max)
    return array
