"""Memory layout of the weights, gradients and slots of an optimizer step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tinynet.program import Array, Variable

__all__ = ["Plan"]


@dataclass
class Plan:
    """Memory layout of an optimizer step, computed once for many steps.

    Parameters
    ----------
    flat : list of tuple of ndarray
        Weights, gradient and slots of each contiguous block of memory, as flat vectors.
    variables : list of Variable
        Weights.
    gradients : list of ndarray
        Gradient of each weight.
    slots : dict of str to list of ndarray
        Slots of each weight, by name.
    constrained : list of Variable
        Weights with constraints.
    optimizer : Optimizer, optional
        Optimizer that performs the step.
    memory : list of (Variable, ndarray)
        Weights and slots, with the arrays that they had when the plan was created.

    Examples
    --------
    One block with two weights and their gradients:

    >>> import numpy as np
    >>> w = Variable([1.0, 2.0])
    >>> plan = Plan([(w.array, np.ones(2))], [w], [np.ones(2)], {})
    >>> [flat.size for flat in plan.flat[0]]
    [2, 2]
    """

    flat: list[tuple[Array, ...]]
    variables: list[Variable]
    gradients: list[Array]
    slots: dict[str, list[Array]]
    constrained: list[Variable] = field(default_factory=list)
    optimizer: Any = None
    memory: list[tuple[Variable, Array]] = field(default_factory=list)

    def fits(self, variables: Sequence[Variable], optimizer: Any) -> bool:
        """Return whether the plan is valid for these weights and this optimizer.

        Parameters
        ----------
        variables : sequence of Variable
            Weights to train.
        optimizer : Optimizer
            Optimizer.

        Returns
        -------
        bool
            True if the plan was created for these weights and this optimizer, and no array has been
            replaced since.
        """
        same = [*map(id, self.variables)] == [*map(id, variables)]
        return same and self.optimizer is optimizer and self.is_in_place

    @property
    def regularized(self) -> list[Variable]:
        """Weights with regularizers."""
        return [v for v in self.variables if v.regularizer is not None]

    @property
    def is_in_place(self) -> bool:
        """Whether all weights and slots still use the arrays of the plan."""
        return all(variable.array is array for variable, array in self.memory)
