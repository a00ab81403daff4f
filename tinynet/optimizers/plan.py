"""What a step of an optimizer works on, laid out once for many steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tinynet.program import Array, Variable

__all__ = ["Plan"]


@dataclass
class Plan:
    """What a step works on, laid out once for many steps.

    Parameters
    ----------
    flat : list of tuple of ndarray
        Weights, gradient and running values of each run of memory, as flat vectors.
    variables : list of Variable
        The weights.
    gradients : list of ndarray
        The gradient of each.
    slots : dict of str to list of ndarray
        The running values of each, kind by kind.
    constrained : list of Variable
        Those that must satisfy something after the step.
    optimizer : Optimizer, optional
        Whose step it is.
    memory : list of (Variable, ndarray)
        Where weights and running values lay when this was laid out.

    Examples
    --------
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
        """Return whether this is the plan for these weights, all of which are where they were.

        Parameters
        ----------
        variables : sequence of Variable
            The weights to train.
        optimizer : Optimizer
            What trains them.

        Returns
        -------
        bool
            Whether a step by this plan would change them.
        """
        same = [*map(id, self.variables)] == [*map(id, variables)]
        return same and self.optimizer is optimizer and self.is_in_place

    @property
    def regularized(self) -> list[Variable]:
        """The weights whose penalties are part of the loss."""
        return [v for v in self.variables if v.regularizer is not None]

    @property
    def is_in_place(self) -> bool:
        """Whether weights and running values are still where they were."""
        return all(variable.array is array for variable, array in self.memory)
