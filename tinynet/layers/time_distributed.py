"""Layer that applies another layer to each step of a sequence."""

from __future__ import annotations

from typing import Any

from tinynet._core import checks, declared, required
from tinynet.layers.dense import Dense
from tinynet.layers.layer import Layer, _registry, deserialize
from tinynet.program import TABLE, Shape

__all__ = ["TimeDistributed"]


def _layer(name: str, value: Any) -> Layer:
    """Return the layer, or create it from a configuration."""
    layer = deserialize(value) if isinstance(value, dict) else value
    if not isinstance(layer, Layer):
        raise ValueError(f"layer must be a Layer. Received: layer={checks.shorten(value)}")
    return layer


@declared(_registry)
class TimeDistributed(Layer):
    """Layer that applies another layer to each step of a sequence, with the same weights.

    Axis 1 of the input contains the steps: ``(N, T, ...)``.

    Parameters
    ----------
    layer : Layer
        Layer to apply.
    **kwargs : object
        Arguments of the base class `Layer`.

    Raises
    ------
    ValueError
        If `layer` is not a `Layer`, or if an input has fewer than 3 dimensions.

    Examples
    --------
    >>> from tinynet.layers import Dense
    >>> layer = TimeDistributed(Dense(4))
    >>> layer([[[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]]]).shape
    (1, 3, 4)
    >>> [weight.shape for weight in layer.weights]
    [(2, 4), (4,)]
    """

    layer: Any = required(_layer)

    def _inner_layers(self) -> list[Layer]:
        return [self.layer]

    def _step_shape(self, input_shape: Shape) -> Shape:
        expected = f"Inputs of {self.name} must have at least 3 dimensions: batch, steps, features"
        received = f"an input of shape {tuple(input_shape)}"
        checks.require(len(input_shape) >= 3, expected, received)
        return (input_shape[0], *input_shape[2:])

    def build(self, input_shape: Shape) -> None:
        """Build the wrapped layer."""
        self.layer._build_once(self._step_shape(input_shape))
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the output shape of the wrapped layer, with the steps as axis 1."""
        batch, *sizes = self.layer.compute_output_shape(self._step_shape(input_shape))
        return (batch, input_shape[1], *sizes)

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output."""
        # Dense is applied along the last axis, so one call processes all steps.
        if type(self.layer) is Dense:
            return self.layer(x, training=training)
        steps = [self.layer(x[:, i], training=training) for i in range(x.shape[1])]
        return TABLE["stack"](steps, axis=1)
