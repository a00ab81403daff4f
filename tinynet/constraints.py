"""Constraints: projections of weights that are applied after each training step."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet._core import Configurable, Registry, argument, checks, declared
from tinynet.program import Array, TensorMethods, Variable, as_tensor
from tinynet.program.variable import value_of

_registry = Registry("constraint", "keras.constraints")


class Constraint(Configurable):
    """Base class of all constraints.

    Examples
    --------
    >>> NonNeg()([-1.0, 2.0]).numpy()
    array([0., 2.])
    """

    def __call__(self, w: Any) -> Any:
        """Return the projection of a weight onto the constraint.

        Parameters
        ----------
        w : array_like, Tensor or Variable
            Weight; not modified.

        Returns
        -------
        Tensor
            Weight that satisfies the constraint.
        """
        w = value_of(w)
        recorded = isinstance(w, TensorMethods)
        projected = self.project(w if recorded else checks.numeric("w", w))
        return projected if recorded else as_tensor(projected)

    def check(self, weight: Variable) -> None:
        """Raise an error if the axes of a built-in constraint are not axes of a weight.

        Parameters
        ----------
        weight : Variable
            Weight to be constrained.
        """
        given = getattr(self, "axis", ()) if type(self) in _registry.written else ()
        n = max(weight.ndim, 1)  # in NumPy, a scalar has an axis 0
        axes = given if isinstance(given, tuple) else (given,)
        fits = all(-n <= a < n for a in axes) and len({a % n for a in axes}) == len(axes)
        expected = f"axis of the constraint of {weight.path} must name axes of shape {weight.shape}"
        checks.require(fits, f"{expected}, each at most once", f"axis={given}")

    def project(self, w: Array) -> Array:
        """Compute the projection as an array; subclasses override this method.

        Parameters
        ----------
        w : ndarray
            Weight.

        Returns
        -------
        ndarray
            Weight that satisfies the constraint.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define project(w)")


def _axis(name: str, axis: Any) -> Any:
    """Validate an axis or, as Keras allows for convolutions, a list of axes."""
    if isinstance(axis, list | tuple):
        return tuple(checks.whole(name, part, -64) for part in axis)
    return checks.whole(name, axis, -64)


@_registry.register()
class NonNeg(Constraint):
    """Constrain weights to be non-negative.

    Examples
    --------
    >>> NonNeg()([-1.0, 2.0]).numpy()
    array([0., 2.])
    """

    def project(self, w: Array) -> Array:
        """Set negative elements to 0."""
        return np.maximum(w, 0)


@declared(_registry)
class MinMaxNorm(Constraint):
    """Constrain the L2 norm along an axis to lie between two bounds.

    Parameters
    ----------
    min_value, max_value : float
        Minimum and maximum norm of the weights.
    rate : float
        Fraction of the correction that is applied in one step, from 0 to 1.
    axis : int
        Axis along which the norm is computed; 0 for the incoming weights of each unit.

    Examples
    --------
    The norm of (3, 4) is 5:

    >>> MinMaxNorm(0.0, 1.0)([[3.0], [4.0]]).numpy().round(4)
    array([[0.6], [0.8]])
    """

    min_value: float = argument(0.0, checks.number, 0)
    max_value: float = argument(1.0)
    rate: float = argument(1.0, checks.number, 0, 1)
    axis: Any = argument(0, _axis)

    def __complete(self) -> None:
        self.max_value = checks.number("max_value", self.max_value, self.min_value)

    def project(self, w: Array) -> Array:
        """Rescale vectors whose norm is out of bounds."""
        length = np.sqrt(np.sum(np.square(w), axis=self.axis, keepdims=True))
        wanted = self.rate * np.clip(length, self.min_value, self.max_value)
        wanted += (1 - self.rate) * length
        return w * (wanted / (1e-7 + length))


@_registry.register()
class MaxNorm(MinMaxNorm):
    """Constrain the L2 norm along an axis to be at most `max_value`.

    Parameters
    ----------
    max_value : float
        Maximum norm of the weights.
    axis : int
        Axis along which the norm is computed.

    Examples
    --------
    >>> MaxNorm(1)([[3.0], [4.0]]).numpy().round(4)
    array([[0.6], [0.8]])
    """

    _arguments = ("max_value", "axis")

    def __init__(self, max_value: float = 2, axis: int = 0) -> None:
        super().__init__(0.0, max_value, 1.0, axis)


@declared(_registry)
class UnitNorm(Constraint):
    """Constrain the L2 norm along an axis to 1.

    Parameters
    ----------
    axis : int
        Axis along which the norm is computed.

    Examples
    --------
    >>> UnitNorm()([[3.0], [4.0]]).numpy().round(4)
    array([[0.6], [0.8]])
    """

    axis: Any = argument(0, _axis)

    def project(self, w: Array) -> Array:
        """Divide by the norm."""
        length = np.sqrt(np.sum(np.square(w), axis=self.axis, keepdims=True))
        return w / (1e-7 + length)


get, serialize, deserialize = _registry.get, _registry.serialize, _registry.deserialize
# In Keras, the lower-case names are aliases of the classes.
max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm
