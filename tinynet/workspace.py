"""Reusable buffers for one run, so that layers are stateless and no step allocates memory."""

from __future__ import annotations

from typing import Any

from tinynet import config
from tinynet.variable import Array, aligned, poisoned


class Workspace:
    """What one run keeps for one layer: its buffers, and what forward notes for backward.

    Layers hold no state of a run, so that any number of runs can share one layer. Buffers are
    made for the largest batch so far and reused for every later one. A buffer is uninitialized
    whenever it is handed out: what backward needs is noted in `x` and `y`, not asked for again.

    Examples
    --------
    >>> import numpy as np
    >>> work = Workspace()
    >>> a = work.array("y", (4, 2), np.float32)
    >>> np.shares_memory(work.array("y", (3, 2), np.float32), a)
    True
    """

    __slots__ = (
        *("arrays", "checked", "children", "first", "gradients", "logits", "regularized"),
        *("x", "y"),
    )

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        # By id, each with its owner: while that is referenced, no other object has its id.
        self.children: dict[int, tuple[object, Workspace]] = {}
        self.gradients: list[Any] = []
        #: The shapes of input and output that were last found right.
        self.checked: tuple[Any, Any] | None = None
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
            The buffer; its values are uninitialized.
        """
        held = self.arrays.get(name)
        if held is None or held.shape != shape or held.dtype != dtype:
            if (
                held is None
                or held.shape[0] < shape[0]
                or held.shape[1:] != shape[1:]
                or held.dtype != dtype
            ):
                held = self.arrays[name] = aligned(shape, dtype)
            held = held[: shape[0]]
        return poisoned(held) if config.DEBUG_BUFFERS else held

    def of(self, owner: object) -> Workspace:
        """Return the part that belongs to a layer within this one.

        Parameters
        ----------
        owner : Layer or Objective
            The inner one.

        Returns
        -------
        Workspace
            Its own, the same on every call.
        """
        found = self.children.get(id(owner))
        if found is None:
            found = self.children[id(owner)] = owner, Workspace()
        return found[1]

    def release(self) -> None:
        """Let go of the data that forward noted; the buffers stay."""
        self.x = self.y = None
        for _, child in self.children.values():
            child.release()
