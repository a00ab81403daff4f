"""Where a run keeps its numbers, so that layers keep none and nothing is allocated per step."""

from __future__ import annotations

from typing import Any

from tinynet.variable import Array, aligned


class Workspace:
    """What one run keeps for one layer: its buffers, and what forward notes for backward.

    Layers hold no state of a run, so that any number of runs can share one layer. Buffers are
    made for the largest batch that has come and used again for every later one.

    Examples
    --------
    >>> import numpy as np
    >>> work = Workspace()
    >>> a = work.array("y", (4, 2), np.float32)
    >>> np.shares_memory(work.array("y", (3, 2), np.float32), a)
    True
    """

    __slots__ = ("arrays", "children", "first", "gradients", "logits", "regularized", "x", "y")

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.children: dict[int, Workspace] = {}
        self.gradients: list[Any] = []
        #: The first inner layer with gradients, and the weights whose size costs something.
        self.first = 0
        self.regularized: list[tuple[Any, Array]] = []
        self.logits = False
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
            The buffer; its values are whatever was there.
        """
        held = self.arrays.get(name)
        if held is not None and held.shape == shape and held.dtype == dtype:
            return held
        if (
            held is None
            or held.shape[0] < shape[0]
            or held.shape[1:] != shape[1:]
            or held.dtype != dtype
        ):
            held = self.arrays[name] = aligned(shape, dtype)
        return held[: shape[0]]

    def of(self, layer: object) -> Workspace:
        """Return the part that belongs to a layer within this one.

        Parameters
        ----------
        layer : Layer or Loss
            The inner one.

        Returns
        -------
        Workspace
            Its own, the same on every call.
        """
        child = self.children.get(id(layer))
        if child is None:
            child = self.children[id(layer)] = Workspace()
        return child

    def release(self) -> None:
        """Let go of the data that forward noted; the buffers stay."""
        self.x = self.y = None
        for child in self.children.values():
            child.release()
