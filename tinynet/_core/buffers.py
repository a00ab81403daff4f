"""Reusable buffers for one run, so that operations are stateless and memory is allocated once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tinynet import config

Array = NDArray[Any]


class Workspace:
    """What one run keeps for one instruction: its buffers, and notes of forward for backward.

    Operations and layers hold no state of a run, so that any number of runs can share them. Buffers
    are made for the largest batch so far and reused for every later one. A buffer is uninitialized
    whenever it is handed out: what backward needs is noted in `x` and `y`, not asked for again.

    Examples
    --------
    >>> import numpy as np
    >>> work = Workspace()
    >>> a = work.array("y", (4, 2), np.float32)
    >>> np.shares_memory(work.array("y", (3, 2), np.float32), a)
    True
    """

    __slots__ = ("arrays", "checked", "children", "gradients", "x", "y")

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.children: dict[Any, Workspace] = {}
        self.gradients: list[Any] = []
        #: The shapes of input and output that were last found right.
        self.checked: tuple[Any, Any] | None = None
        self.x: Any = None
        self.y: Any = None

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return a buffer: the same memory whenever the name is the same.

        Parameters
        ----------
        name : str
            Which one.
        shape : tuple of int
            Its shape; the first size may differ from call to call.
        dtype : dtype
            Its type.

        Returns
        -------
        ndarray
            The buffer; its values are uninitialized.
        """
        held = self.arrays.get(name)
        if held is None or held.shape != shape or held.dtype != dtype:
            same = held is not None and held.dtype == dtype and held.shape[1:] == shape[1:]
            if held is None or not same or len(held) < shape[0]:
                held = self.arrays[name] = aligned(shape, dtype)
            held = held[: shape[0]]
        return poisoned(held) if config.DEBUG_BUFFERS else held

    def of(self, key: Any) -> Workspace:
        """Return the part that belongs to an instruction.

        Parameters
        ----------
        key : object
            The instruction's number.

        Returns
        -------
        Workspace
            Its own, the same on every call.
        """
        found = self.children.get(key)
        if found is None:
            found = self.children[key] = Workspace()
        return found

    def release(self) -> None:
        """Let go of the data that forward noted; the buffers stay."""
        self.x = self.y = None
        for child in self.children.values():
            child.release()


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return an uninitialized array that begins on a cache line, as SIMD loads prefer.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : dtype
        Its type.

    Returns
    -------
    ndarray
        The array; its values are uninitialized.

    Examples
    --------
    >>> aligned((3,), np.float32).ctypes.data % 64
    0
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -address_of(raw) % 64
    array = raw[start : start + size].view(dtype).reshape(shape)
    return poisoned(array) if config.DEBUG_BUFFERS else array


def address_of(array: Array) -> int:
    """Return the address of an array's first number.

    Parameters
    ----------
    array : ndarray
        The array.

    Returns
    -------
    int
        The address, as long as the array lives.

    Examples
    --------
    >>> address_of(aligned((3,), np.float32)) % 64
    0
    """
    # Not `array.ctypes`: for each one Python's caches of attributes keep some bytes.
    return array.__array_interface__["data"][0]


def poisoned(array: Array) -> Array:
    """Fill a buffer with NaN, or with an extreme integer, and return it.

    Parameters
    ----------
    array : ndarray
        The buffer, whose values nobody may rely on.

    Returns
    -------
    ndarray
        `array`.

    Examples
    --------
    >>> poisoned(np.zeros(2)), poisoned(np.zeros(2, np.int8))
    (array([nan, nan]), array([-128, -128], dtype=int8))
    """
    if array.dtype.kind in "fb":
        array.fill(np.nan)  # of a bool: True
    else:
        limits = np.iinfo(array.dtype)
        array.fill(limits.min or limits.max)
    return array
