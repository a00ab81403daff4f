"""Keras' backend module: the few settings, and starting anew."""

from __future__ import annotations

from tinynet import registry
from tinynet.config import backend, epsilon, floatx, set_epsilon, set_floatx

__all__ = ["backend", "clear_session", "epsilon", "floatx", "set_epsilon", "set_floatx"]


def clear_session(free_memory: bool = True) -> None:
    """Start numbering the names of layers anew.

    Parameters
    ----------
    free_memory : bool
        Accepted as Keras does, without effect: models live as long as they are used.

    Examples
    --------
    >>> clear_session()
    >>> from tinynet import layers
    >>> layers.Dense(2).name
    'dense'
    """
    registry.clear_names()
