"""Layers that apply a function, or another layer to every step of a sequence."""

from __future__ import annotations

from typing import Any

from tinynet import checks
from tinynet.arguments import argument, declared, required
from tinynet.layers.base import Layer, _registry, deserialize, parameters_of
from tinynet.layers.dense import Dense
from tinynet.program.symbols import Shape
from tinynet.program.tensor import TABLE


def _function(name: str, value: Any) -> Any:
    """Return the function, which a configuration has by its name."""
    if isinstance(value, dict) and value.get("class_name") == "__lambda__":
        raise ValueError(
            "function must be a named function to be loaded, which is passed in "
            "custom_objects: code in a file is never run. Received: a Lambda of code"
        )
    if isinstance(value, str | dict):
        value = _registry.get(value)
    if not callable(value):
        raise TypeError(f"function must be callable. Received: function={checks.shorten(value)}")
    return value


@declared(_registry)
class Lambda(Layer):
    """Apply a function of operations; the layer has no weights.

    Parameters
    ----------
    function : callable
        The function of the input. It is called with `training` if it has such a parameter.
    output_shape : tuple of int or callable, optional
        Accepted as Keras does, without effect: the shape is that of the function's result.
    mask : object
        Must be None.
    arguments : dict, optional
        Further arguments of the function, by name.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> Lambda(lambda x: x**2)([[3.0]]).numpy()
    array([[9.]], dtype=float32)
    """

    function: Any = required(_function)
    output_shape: Any = argument(None, kept=False)
    mask: Any = argument(None, kept=False)
    arguments: Any = argument(None)

    def __complete(self, output_shape: Any, mask: Any) -> None:
        if mask is not None:
            raise ValueError(f"mask must be None. Received: mask={checks.shorten(mask)}")
        if output_shape is not None and not callable(output_shape):
            checks.shape("output_shape", output_shape)
        given = {} if self.arguments is None else self.arguments
        known = parameters_of(self.function)
        if not isinstance(given, dict) or not ("kwargs" in known or set(given) <= known):
            raise TypeError(
                "arguments must be a dict of further arguments of the function. "
                f"Received: arguments={checks.shorten(given)}"
            )
        self.arguments = dict(given)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Compute the output."""
        options = {"training": training} if "training" in parameters_of(self.function) else {}
        return self.function(inputs, **self.arguments, **options)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; a function without a name can't be written."""
        if getattr(self.function, "__name__", "<lambda>") == "<lambda>":
            raise ValueError(
                f"function of {self.name} must be a named function to be saved; register it with "
                "saving.register_keras_serializable. Received: a lambda"
            )
        return super().get_config()


def _layer(name: str, value: Any) -> Layer:
    """Return the layer, of which a file has the configuration."""
    layer = deserialize(value) if isinstance(value, dict) else value
    if not isinstance(layer, Layer):
        raise ValueError(f"layer must be a Layer. Received: layer={checks.shorten(value)}")
    return layer


@declared(_registry)
class TimeDistributed(Layer):
    """Apply a layer to every step of a sequence, with the same weights.

    Parameters
    ----------
    layer : Layer
        The layer; the axis after the batch axis is that of the steps.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If `layer` is not a layer; when built, if inputs have fewer than 3 dimensions.

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
        if len(input_shape) < 3:
            raise ValueError(
                f"Inputs of {self.name} must have at least 3 dimensions: batch, steps, features. "
                f"Received: an input of shape {tuple(input_shape)}"
            )
        return (input_shape[0], *input_shape[2:])

    def build(self, input_shape: Shape) -> None:
        """Build the layer."""
        self.layer._build_once(self._step_shape(input_shape))
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the layer's output shape with the axis of the steps."""
        batch, *sizes = self.layer.compute_output_shape(self._step_shape(input_shape))
        return (batch, input_shape[1], *sizes)

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output."""
        if type(self.layer) is Dense:  # which applies to the last axis, at every step
            return self.layer(x, training=training)
        steps = [self.layer(x[:, i], training=training) for i in range(x.shape[1])]
        return TABLE["stack"](steps, axis=1)
