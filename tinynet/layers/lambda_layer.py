"""Layer that applies a function."""

from __future__ import annotations

from typing import Any

from tinynet import activations, ops
from tinynet._core import argument, checks, declared, required
from tinynet._core.registry import serialize_keras_object
from tinynet.layers.layer import Layer, _registry, parameters_of
from tinynet.program.nested import flattened
from tinynet.program.symbols import check_growth

__all__ = ["Lambda"]


def _function(name: str, value: Any) -> Any:
    """Return the function, which may be given by its name or configuration."""
    if isinstance(value, dict) and value.get("class_name") == "__lambda__":
        raise ValueError(
            "function must be a named function passed in custom_objects; serialized code is never "
            "executed. Received: a Lambda layer with serialized code"
        )
    if isinstance(value, str | dict):
        own = value.get("config") if isinstance(value, dict) else value
        registry = activations._registry
        known = isinstance(own, str) and own in registry.names
        value = (registry if known else ops._registry).get(value)
    if not callable(value):
        raise TypeError(f"function must be callable. Received: function={checks.shorten(value)}")
    return value


@declared(_registry)
class Lambda(Layer):
    """Layer without weights that applies a function to its input.

    Parameters
    ----------
    function : callable
        Function of the input, composed of operators and functions such as `tinynet.ops.exp`. It
        is called with `training` if it has a parameter with this name.
    output_shape : tuple of int or callable, optional
        Ignored, because the shape is inferred; accepted for compatibility with Keras.
    mask : None
        Not supported.
    arguments : dict, optional
        Additional keyword arguments of the function.
    **kwargs : object
        Arguments of the base class `Layer`.

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
                "arguments must be a dict of keyword arguments of the function. "
                f"Received: arguments={checks.shorten(given)}"
            )
        self.arguments = dict(given)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Compute the output."""
        options = {"training": training} if "training" in parameters_of(self.function) else {}
        if isinstance(getattr(self.function, "__name__", None), str):
            check_growth(self.function, flattened(inputs), self.arguments)
        return self.function(inputs, **self.arguments, **options)

    @property
    def _accepts_training(self) -> bool:
        return "training" in parameters_of(self.function)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments; the function must have a name."""
        expected = f"function of {self.name} must be a named function to be serialized"
        name = getattr(self.function, "__name__", "<lambda>")
        checks.require(name != "<lambda>", expected, f"{self.function!r:.100}")
        return {**super().get_config(), "function": serialize_keras_object(self.function)}
