"""Regularizers: penalties on weights that are added to the loss.

A custom regularizer is a function composed of operations, or a subclass of `Regularizer` that
defines ``__call__(x)``. It is differentiated automatically unless it defines ``gradient(x)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet._core import Configurable, Registry, argument, checks, declared
from tinynet.program import TABLE, Array, Tensor, TensorMethods, Variable, as_tensor
from tinynet.program.tape import pull_back

_registry = Registry("regularizer", "keras.regularizers")


class Regularizer(Configurable):
    """Base class of all regularizers.

    Examples
    --------
    >>> float(L2(0.5)([1.0, 2.0]))  # 0.5 * (1 + 4)
    2.5
    """

    def __call__(self, x: Any) -> Any:
        """Compute the penalty of a weight.

        Parameters
        ----------
        x : array_like
            Weight.

        Returns
        -------
        Tensor
            Penalty, a scalar.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(x)")

    def gradient(self, x: Array) -> Array:
        """Compute the gradient of the penalty. By default, `__call__` is differentiated.

        Parameters
        ----------
        x : ndarray
            Weight.

        Returns
        -------
        ndarray
            Gradient with respect to the weight.
        """
        return pull_back(self.__call__, x, np.ones((), x.dtype))


def _factor(name: str, value: Any) -> float:
    """Validate a regularization factor; as in Keras, None means 0."""
    return checks.number(name, 0.0 if value is None else value, 0, wrong_type=ValueError)


@declared(_registry, "l1_l2")
class L1L2(Regularizer):
    """Regularizer with an L1 and an L2 penalty: ``l1 * sum(|x|) + l2 * sum(x**2)``.

    Parameters
    ----------
    l1, l2 : float
        Regularization factors.

    Examples
    --------
    The gradient is ``l1 * sign(x) + 2 * l2 * x``:

    >>> L1L2(l1=1.0, l2=0.5).gradient(np.array([-2.0, 0.0, 3.0]))
    array([-3.,  0.,  4.])
    """

    l1: float = argument(0.0, _factor)
    l2: float = argument(0.0, _factor)

    def __call__(self, x: Any) -> Tensor:
        """Compute the penalty of a weight."""
        plain = not isinstance(x, TensorMethods | Variable)
        if plain:
            x = checks.numeric("x", x)
        dtype = np.dtype(x.dtype)
        one = dtype.type if dtype.kind == "f" else np.float32
        absolute, square = TABLE["absolute"], TABLE["square"]
        if plain and dtype.kind == "f":
            # Use NumPy, because no tape or program records this call.
            absolute, square = np.abs, np.square
        cost: Any = None
        if self.l1:
            cost = absolute(x).sum() * one(self.l1)
        if self.l2:
            squares = square(x).sum() * one(self.l2)
            cost = squares if cost is None else cost + squares
        if cost is None:
            return as_tensor(one(0))
        return as_tensor(cost) if plain else cost  # symbolic tensors are returned unchanged

    def gradient(self, x: Array) -> Array:
        """Compute the gradient of the penalty."""
        one = x.dtype.type
        d_x = one(2 * self.l2) * x
        return one(self.l1) * np.sign(x) + d_x if self.l1 else d_x


@_registry.register()
class L1(L1L2):
    """Regularizer with an L1 penalty: ``l1 * sum(|x|)``.

    Parameters
    ----------
    l1 : float
        Regularization factor.

    Examples
    --------
    >>> float(L1(0.5)([-1.0, 2.0]))  # 0.5 * (1 + 2)
    1.5
    """

    _arguments = ("l1",)

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


@_registry.register()
class L2(L1L2):
    """Regularizer with an L2 penalty: ``l2 * sum(x**2)``.

    Parameters
    ----------
    l2 : float
        Regularization factor.

    Examples
    --------
    >>> float(L2(0.5)([-1.0, 2.0]))  # 0.5 * (1 + 4)
    2.5
    """

    _arguments = ("l2",)

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


class _Custom(Regularizer):
    """Regularizer that wraps a custom function ``function(x)``, composed of operations."""

    def __init__(self, function: Any) -> None:
        self.wrapped = function

    def __call__(self, x: Any) -> Any:
        """Compute the penalty of a weight."""
        value = self.wrapped(x)
        expected = "regularizer must return a scalar; reduce its result, for example with ops.sum"
        checks.require(np.shape(value) == (), expected, f"an array of shape {np.shape(value)}")
        return value


def get(identifier: Any) -> Any:
    """Return the regularizer for an identifier.

    Parameters
    ----------
    identifier : None, str, dict, Regularizer or callable
        Name, configuration, regularizer, or function of a weight.

    Returns
    -------
    Regularizer or None
        Regularizer.

    Examples
    --------
    >>> type(get("l2")).__name__
    'L2'
    """
    found = _registry.get(identifier)
    return found if found is None or hasattr(found, "gradient") else _Custom(found)


serialize, deserialize = _registry.serialize, _registry.deserialize
# In Keras, the lower-case names are aliases of the classes.
l1, l2, l1_l2 = L1, L2, L1L2
