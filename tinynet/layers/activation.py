"""Activations as layers of their own."""

from __future__ import annotations

from typing import Any

from tinynet import activations, checks
from tinynet.layers.base import Layer, _registry


@_registry.register()
class Activation(Layer):
    """Apply an activation to every element.

    Parameters
    ----------
    activation : str or callable
        The activation.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> Activation("relu")([[-1.0, 2.0]]).numpy()
    array([[0., 2.]], dtype=float32)
    """

    _own: tuple[str, ...] = ("activation",)

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        return x if self.activation is activations.linear else self.activation(x)


@_registry.register()
class ReLU(Activation):
    """Apply the rectifier, with Keras' three options.

    ``y = max(x, 0)``; with options, ``x`` up to `max_value` where ``x > threshold``, and
    ``negative_slope * (x - threshold)`` below.

    Parameters
    ----------
    max_value : float, optional
        The largest output.
    negative_slope : float
        The slope below `threshold`.
    threshold : float
        Where the rectifier opens.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If an option is negative.

    Examples
    --------
    >>> ReLU(max_value=3, negative_slope=0.5)([[-1.0, 2.0, 9.0]]).numpy()
    array([[-0.5,  2. ,  3. ]], dtype=float32)
    """

    _own = ("max_value", "negative_slope", "threshold")

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        options = {"negative_slope": negative_slope, "threshold": threshold}
        if max_value is not None:
            options["max_value"] = max_value
        for name, value in options.items():
            if value is None:
                raise ValueError(f"{name} must be a number from 0 up. Received: {name}=None")
            checks.number(name, value, 0)
        super().__init__(activations.relu.with_options(**options), **kwargs)
        self.max_value, self.negative_slope = max_value, negative_slope
        self.threshold = threshold


@_registry.register()
class Softmax(Activation):
    """Turn scores into probabilities.

    Parameters
    ----------
    axis : int
        The axis along which they sum to 1.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> Softmax()([[0.0, 0.0]]).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """

    _own = ("axis",)

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__("softmax", **kwargs)
        self.axis = checks.whole("axis", axis, -64)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        if not -x.ndim <= self.axis < x.ndim:
            raise ValueError(
                f"axis={self.axis} of {self.name} is not an axis of the input. "
                f"Received: shape {tuple(x.shape)}"
            )
        last = self.axis in (-1, x.ndim - 1)
        return self.activation(x) if last else self.activation(x, axis=self.axis)


@_registry.register()
class LeakyReLU(Activation):
    """Apply the rectifier with a small slope below 0.

    Parameters
    ----------
    negative_slope : float
        The slope below 0.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If it is negative.

    Examples
    --------
    >>> LeakyReLU(0.5)([[-1.0, 2.0]]).numpy()
    array([[-0.5,  2. ]], dtype=float32)
    """

    _own = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        if negative_slope is None:
            raise ValueError("negative_slope must be a number. Received: negative_slope=None")
        self.negative_slope = checks.number("negative_slope", negative_slope, 0)
        super().__init__(activations.relu.with_options(self.negative_slope), **kwargs)
