"""Losses that wrap custom functions, and functions that compute the built-in losses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import activations, config
from tinynet._core import checks, snake_case, suggestions
from tinynet.losses.loss import Loss, _registry
from tinynet.program import Array, Tensor, TensorMethods, Variable

__all__ = ["as_loss", "deserialize", "FunctionLoss", "get", "LossFunction", "serialize"]


# Methods that compute the gradient of `call`.
_GRADIENTS = ("backward", "step")


class FunctionLoss(Loss):
    """Loss that applies a custom function or object.

    Parameters
    ----------
    function : callable or object
        Function ``function(y_true, y_pred)``, or an object with a method ``call(y_true, y_pred)``;
        it returns one value for each example. An optional attribute
        ``backward(d_values, y_true, y_pred)`` computes the gradient with respect to `y_pred`; by
        default, the function is differentiated.
    reduction, name, dtype : str
        See `Loss`.

    Raises
    ------
    ValueError
        If `function` is not callable and has no method `call`.

    Examples
    --------
    >>> def distance(y_true, y_pred):
    ...     return abs(y_pred - y_true).sum(axis=-1)
    >>> distance.backward = lambda d, y_true, y_pred: d[..., None] * np.sign(y_pred - y_true)
    >>> float(FunctionLoss(distance)([[0.0, 0.0]], [[1.0, -2.0]]))
    3.0
    """

    def __init__(
        self,
        function: Any,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        own = getattr(function, "__name__", None) or snake_case(type(function).__name__)
        super().__init__(name or own, reduction, dtype)
        expected = "loss must be the name of a loss, a Loss, or a function of y_true and y_pred"
        is_callable = callable(getattr(function, "call", function))
        checks.require(is_callable, expected, f"loss={checks.shorten(function)}")
        self.function = function

    _custom = True

    @property
    def _has_own_gradient(self) -> bool:
        return hasattr(self.function, "backward")

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the value of each example."""
        function: Callable[..., Any] = getattr(self.function, "call", self.function)
        return function(y_true, y_pred)

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the predictions."""
        own = getattr(self.function, "backward", None)
        if own is None:
            return super().backward(d_values, y_true, y_pred)
        return np.asarray(own(d_values, y_true, y_pred), y_pred.dtype)


class FunctionOf:
    """Base class of functions that compute the unreduced values of a loss or metric class."""

    def __init__(self, owner: type[Any]) -> None:
        self.owner = owner
        self.__name__ = snake_case(owner.__name__)
        self.__doc__ = f"Compute the value of `{owner.__name__}` for each example."
        taken, kind = inspect.signature(owner).parameters, inspect.Parameter.POSITIONAL_OR_KEYWORD
        data = [inspect.Parameter(name, kind) for name in ("y_true", "y_pred")]
        options = [taken[name] for name in taken if name not in ("reduction", "name", "dtype")]
        self.__signature__ = inspect.Signature(data + [p.replace(kind=kind) for p in options])

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute the value of each example.

        Parameters
        ----------
        *args, **kwargs : object
            `y_true` and `y_pred`, followed by the arguments of the class, except for `reduction`,
            `name` and `dtype`.

        Returns
        -------
        Tensor, shape (N, ...)
            Value of each example.
        """
        given = suggestions.bound(self, args, kwargs)
        return self._values(given.pop("y_true"), given.pop("y_pred"), given)

    def _values(self, y_true: Any, y_pred: Any, options: dict[str, Any]) -> Tensor:
        raise NotImplementedError


class LossFunction(FunctionOf):
    """Function that computes a built-in loss for each example.

    Parameters
    ----------
    owner : type
        Class of the loss. The name of the function is the name of the class in snake case.

    Examples
    --------
    The mean of ``1**2`` and ``3**2`` is 5:

    >>> get("mse")([[0.0, 0.0]], [[1.0, 3.0]]).numpy()
    array([5.], dtype=float32)
    """

    def _values(self, y_true: Any, y_pred: Any, options: dict[str, Any]) -> Tensor:
        known = isinstance(y_pred, TensorMethods | Variable) and str(y_pred.dtype) in config.FLOATS
        dtype = str(y_pred.dtype) if known else activations.to_float(y_pred).dtype.name
        return self.owner(**options, reduction="none", dtype=dtype)(y_true, y_pred)

    def __repr__(self) -> str:
        return f"<loss {self.__name__}>"


get, serialize, deserialize = _registry.get, _registry.serialize, _registry.deserialize


def as_loss(identifier: Any) -> Loss:
    """Convert an identifier of a loss, such as the argument of `compile`, to a `Loss`.

    Parameters
    ----------
    identifier : str, dict, callable or Loss
        Name or configuration of a loss, custom function or object (see `FunctionLoss`), or `Loss`.

    Returns
    -------
    Loss
        Loss object.

    Raises
    ------
    ValueError
        If the identifier is unknown, or a subclass of a built-in loss overrides `call` but not its
        gradient.

    Examples
    --------
    >>> as_loss("sparse_categorical_crossentropy").name
    'sparse_categorical_crossentropy'
    """
    own = callable(getattr(identifier, "call", None)) and not isinstance(identifier, type)
    found = identifier if own else get(identifier)
    if isinstance(found, LossFunction):
        return found.owner()
    if not isinstance(found, Loss):
        return FunctionLoss(found)
    kind = type(found)
    owners = {n: [n in vars(c) for c in kind.__mro__].index(True) for n in ("call", *_GRADIENTS)}
    built_in = [n for n in _GRADIENTS if getattr(kind, n) is not getattr(Loss, n)]
    if any(owners["call"] < owners[n] for n in built_in):
        raise ValueError(
            f"{kind.__name__} must override backward together with call, because the built-in "
            "gradient would not match; alternatively, derive from losses.Loss. "
            f"Received: {checks.shorten(found)}"
        )
    return found
