"""Base class of layers that are applied over one or more axes."""

from __future__ import annotations

from typing import Any

from tinynet.layers.layer import Layer
from tinynet.program import Shape


class OverAxes(Layer):
    """Base class of layers with an argument `axis`: one axis, or a list of axes."""

    axis: Any

    def _sizes(self, input_shape: Shape) -> Shape:
        """Return the sizes of the axes in `input_shape`."""
        axes = self.axis if isinstance(self.axis, list | tuple) else [self.axis]
        if not all(-len(input_shape) <= axis < len(input_shape) for axis in axes):
            raise ValueError(
                f"axis of {self.name} must be a valid axis of its input. "
                f"Received: axis={self.axis}, an input of shape {tuple(input_shape)}"
            )
        return tuple(input_shape[axis] for axis in axes)

    def _known_sizes(self, input_shape: Shape) -> tuple[int, ...]:
        """Return the sizes of the axes; raise an error if they are unknown or have changed."""
        sizes = self._sizes(input_shape)
        expected = self._sizes(self._build_shape) if self.built and self._build_shape else sizes
        if sizes != expected or None in sizes:
            axes = tuple(self.axis) if isinstance(self.axis, list | tuple) else (self.axis,)
            several = len(axes) > 1
            wanted = f"sizes {expected}" if several else f"size {expected[0]}"
            if None in expected:
                wanted = "known sizes" if several else "a known size"
            along = f"axes {axes}" if several else f"axis {axes[0]}"
            raise ValueError(
                f"Inputs of {self.name} must have {wanted} along {along}. "
                f"Received: an input of shape {tuple(input_shape)}"
            )
        return sizes  # type: ignore[return-value]  # without None

    def _kept(self, shape: Shape) -> Any:
        """Return `shape` with size 1 along all axes that are not in `axis`."""
        axes = self.axis if isinstance(self.axis, list | tuple) else [self.axis]
        kept = {axis % len(shape) for axis in axes}
        return tuple(size if i in kept else 1 for i, size in enumerate(shape))
