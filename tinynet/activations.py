"""What makes a net more than one matrix: the functions between its layers.

An activation is a function that knows its derivative. A function of your own becomes one when
it has an attribute ``backward(d_y, x, y)`` that returns the gradient in ``x``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import config, ops
from tinynet.registry import Registry
from tinynet.variable import Array, Tensor, as_tensor

_registry = Registry("activation", "keras.activations")


class Activation:
    """A function of one array with its derivative.

    Parameters
    ----------
    name : str
        The name in `ops` of the function; its derivative is ``name_backward``.
    doc : str
        What it computes.

    Examples
    --------
    >>> relu([-1.0, 2.0]).numpy()
    array([0., 2.], dtype=float32)
    """

    def __init__(self, name: str, doc: str) -> None:
        self.__name__ = name
        self.__doc__ = doc

    def __call__(self, x: Any) -> Tensor:
        """Compute it for numbers of any type.

        Parameters
        ----------
        x : array_like
            The inputs.

        Returns
        -------
        Tensor
            The outputs, in `config.floatx()` unless `x` is a float array already.
        """
        return as_tensor(self.forward(to_float(x)))

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function.

        Parameters
        ----------
        x : ndarray
            The inputs.
        out : ndarray, optional
            Where to write the result.

        Returns
        -------
        ndarray
            The outputs.
        """
        y: Array = getattr(ops, self.__name__)(x, out)
        return y

    def backward(self, d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Compute the gradient in the inputs.

        Parameters
        ----------
        d_y : ndarray
            The gradient in the outputs.
        x, y : ndarray
            The inputs and the outputs.
        out : ndarray, optional
            Where to write the result.

        Returns
        -------
        ndarray
            The gradient.
        """
        d_x: Array = getattr(ops, self.__name__ + "_backward")(d_y, x, y, out)
        return d_x

    def __repr__(self) -> str:
        return f"<activation {self.__name__}>"


class Custom(Activation):
    """A user's own function as an activation.

    Parameters
    ----------
    function : callable
        ``function(x) -> y`` with an attribute ``backward(d_y, x, y) -> d_x``.

    Examples
    --------
    >>> def square(x):
    ...     return x * x
    >>> square.backward = lambda d_y, x, y: 2 * x * d_y
    >>> Custom(square).backward(np.array([1.0]), np.array([3.0]), np.array([9.0]))
    array([6.])
    """

    def __init__(self, function: Callable[[Array], Array]) -> None:
        name = getattr(function, "__name__", type(function).__name__)
        super().__init__(name, f"The user's own {name}.")
        if not callable(getattr(function, "backward", None)):
            raise ValueError(
                f"The activation {name} needs its derivative, since tinynet does not "
                f"differentiate by itself: give it an attribute, "
                f"{name}.backward = lambda d_y, x, y: ... that returns the gradient in x. "
                f"Received: {function!r}"
            )
        self.function: Any = function

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function."""
        y: Array = np.positive(np.asarray(self.function(x), x.dtype), out=out)
        return y

    def backward(self, d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Compute the gradient in the inputs."""
        d_x: Array = np.positive(np.asarray(self.function.backward(d_y, x, y), x.dtype), out=out)
        return d_x


class Rectifier(Activation):
    """The rectifier with options other than the usual ones.

    Parameters
    ----------
    **options : float
        `negative_slope`, `max_value` and `threshold`, as in `functional.rectifier`.

    Examples
    --------
    >>> Rectifier(negative_slope=0.5)([-1.0, 2.0]).numpy()
    array([-0.5,  2. ], dtype=float32)
    """

    def __init__(self, **options: float | None) -> None:
        super().__init__("relu", "The rectifier with options.")
        self.options: Any = options

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function."""
        y: Array = ops.rectifier(x, **self.options, out=out)
        return y

    def backward(self, d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Compute the gradient in the inputs."""
        d_x: Array = ops.rectifier_backward(d_y, x, **self.options, out=out)
        return d_x


def to_float(x: Any) -> Array:
    """Turn numbers of any type into an array to compute with.

    Parameters
    ----------
    x : array_like
        The numbers.

    Returns
    -------
    ndarray
        float64 stays float64 if it is an array already; all else becomes `config.floatx()`.

    Examples
    --------
    >>> to_float([1, 2]).dtype.name
    'float32'
    """
    is_float = isinstance(getattr(x, "dtype", None), np.dtype) and x.dtype in config.FLOATS
    return np.ascontiguousarray(x, None if is_float else config.floatx())


def _builtin(name: str, doc: str, *aliases: str) -> Activation:
    activation = Activation(name, doc)
    _registry.register(*aliases)(activation)
    return activation


linear = _builtin("linear", "The identity: ``y = x``.")
relu = _builtin("relu", "The rectifier: ``y = max(x, 0)``.")
sigmoid = _builtin("sigmoid", "The logistic function: ``y = 1 / (1 + exp(-x))``.")
tanh = _builtin("tanh", "The hyperbolic tangent.")
softmax = _builtin("softmax", "Probabilities: ``y = exp(x) / sum(exp(x))`` over the last axis.")


def get(identifier: Any) -> Activation:
    """Find an activation.

    Parameters
    ----------
    identifier : None, str, dict or callable
        A name in lower case, an activation, or a function of your own with its `backward`;
        None means `linear`.

    Returns
    -------
    Activation
        The activation.

    Raises
    ------
    ValueError
        If there is none of that name, or a function has no `backward`.

    Examples
    --------
    >>> get("relu"), get(None)
    (<activation relu>, <activation linear>)
    """
    found = linear if identifier is None else _registry.get(identifier)
    return found if isinstance(found, Activation) else Custom(found)


serialize = _registry.serialize
deserialize = get
