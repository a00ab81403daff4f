"""Look up optimizers by name or configuration."""

from __future__ import annotations

from typing import Any

from tinynet._core import checks
from tinynet.optimizers.optimizer import Optimizer, _registry

__all__ = ["deserialize", "get", "serialize"]


def get(identifier: Any) -> Optimizer:
    """Return the optimizer for a name or configuration.

    Parameters
    ----------
    identifier : str, dict or Optimizer
        Name (case-insensitive), configuration, or optimizer.

    Returns
    -------
    Optimizer
        New optimizer, or the given optimizer.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> get("adam").name
    'adam'
    """
    if isinstance(identifier, str):
        identifier = identifier.lower()
    found = _registry.get(identifier)
    expected = "optimizer must be a name, a configuration or an Optimizer"
    received = f"optimizer={checks.shorten(identifier)}"
    checks.require(isinstance(found, Optimizer), expected, received)
    return found


serialize, deserialize = _registry.serialize, _registry.deserialize
