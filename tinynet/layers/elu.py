"""Exponential linear unit (ELU) layer."""

from __future__ import annotations

from tinynet import activations
from tinynet._core import argument, checks, declared
from tinynet.layers.activation import _Applied
from tinynet.layers.layer import _registry

__all__ = ["ELU"]


@declared(_registry)
class ELU(_Applied):
    """Exponential linear unit: ``x`` if ``x > 0``, else ``alpha * (exp(x) - 1)``.

    Clevert et al., "Fast and accurate deep network learning by exponential linear units" (2015).

    Parameters
    ----------
    alpha : float
        Scale of the negative part.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    >>> ELU(alpha=2.0)([[-100.0, 3.0]]).numpy()
    array([[-2.,  3.]], dtype=float32)
    """

    alpha: float = argument(1.0, checks.number)

    def __complete(self) -> None:
        self.activation = activations.elu.with_options(alpha=self.alpha)
