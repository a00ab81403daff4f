"""Optimizers: how a gradient changes the weights.

An optimizer keeps its running means in flat vectors, laid out as the model's parameters are, so
that a step is one call over each run of memory and not one over each weight. `Variable` views
into the vectors are what is saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinynet import checks, ops
from tinynet.registry import Registry, snake_case
from tinynet.variable import Array, Variable, join, pack, runs

_registry = Registry("optimizer", "keras.optimizers")


class Optimizer:
    """The base of all optimizers.

    Parameters
    ----------
    learning_rate : float
        The size of a step.
    name : str, optional
        By default the class name in snake case.

    Examples
    --------
    >>> w = Variable([1.0, -2.0], dtype="float32")
    >>> Adam(0.01).apply([np.array([0.5, -1.0], np.float32)], [w])
    >>> w.numpy()
    array([ 0.9900001, -1.9900001], dtype=float32)
    """

    #: The names of the running values that are kept for each weight, interleaved.
    slot_names: tuple[str, ...] = ()

    def __init__(self, learning_rate: float, name: str | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.built = False
        self.iterations = Variable(np.int64(0), False, name="iteration")
        self._learning_rate = Variable(np.float32(0), False, name="learning_rate")
        self.learning_rate = learning_rate
        self._trainable: list[Variable] = []
        self._slots: dict[str, list[Variable]] = {}

    @property
    def learning_rate(self) -> Variable:
        """The size of a step, kept in float32; it may be assigned a number."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, Variable | np.ndarray):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, float | np.floating):
            raise ValueError(
                f"learning_rate must be a float. Received: learning_rate={checks.shorten(value)}"
            )
        self._learning_rate.assign(np.float32(checks.number("learning_rate", value, 0)))

    @property
    def variables(self) -> list[Variable]:
        """The state: iteration, learning rate, then the running values of each weight."""
        state = [self.iterations, self._learning_rate]
        for i in range(len(self._trainable) if self.slot_names else 0):
            state += [self._slots[slot][i] for slot in self.slot_names]
        return state

    def build(self, variables: Iterable[Variable]) -> None:
        """Make the running values of the weights, all zero.

        Parameters
        ----------
        variables : iterable of Variable
            The weights that it will change.
        """
        if self.built:
            return
        self._trainable = list(variables)
        for slot in self.slot_names:
            self._slots[slot] = [
                Variable(np.zeros_like(v.array), False, None, f"{v.path}_{slot}".replace("/", "_"))
                for v in self._trainable
            ]
            pack(self._slots[slot])
        self.built = True

    def apply(
        self, grads: Sequence[Any], trainable_variables: Iterable[Variable] | None = None
    ) -> None:
        """Do one step.

        Parameters
        ----------
        grads : sequence of array_like
            The gradient of the loss in each weight.
        trainable_variables : iterable of Variable, optional
            The weights, modified in place; by default those it was built with.

        Raises
        ------
        ValueError
            If numbers or shapes differ, or a weight is new to the optimizer.
        """
        variables = self._trainable if trainable_variables is None else list(trainable_variables)
        self.build(variables)
        self.step(self.plan(variables, [np.ascontiguousarray(g) for g in grads]))

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> None:
        """Do one step.

        Parameters
        ----------
        grads_and_vars : iterable of (array_like, Variable)
            Each gradient with its weight.
        """
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])

    def plan(
        self, variables: Sequence[Variable], gradients: Sequence[Array]
    ) -> list[tuple[Array, ...]]:
        """Find which weights lie behind one another in memory, so that they go in one call.

        Parameters
        ----------
        variables : sequence of Variable
            The weights.
        gradients : sequence of ndarray
            The gradient of each.

        Returns
        -------
        list of tuple of ndarray
            Weights, gradient and running values of each run, as flat vectors: for `step`.
        """
        positions = {id(v): i for i, v in enumerate(self._trainable)}
        if len(gradients) != len(variables):
            raise ValueError(
                f"{self.name} takes one gradient for each of {len(variables)} weights. "
                f"Received: {len(gradients)} gradients"
            )
        for variable, gradient in zip(variables, gradients, strict=True):
            if id(variable) not in positions:
                raise ValueError(
                    f"{self.name} was built without the weight {variable.path}. "
                    f"Received: {variable.path} of shape {variable.shape}"
                )
            if gradient.shape != variable.shape:
                raise ValueError(
                    f"The gradient of {variable.path} must have its shape {variable.shape}. "
                    f"Received: shape {gradient.shape}"
                )
        columns = [[v.array for v in variables], list(gradients)]
        for slot in self.slot_names:
            columns.append([self._slots[slot][positions[id(v)]].array for v in variables])
        # A cut in any of the vectors is a cut in all of them.
        starts = sorted({first for column in columns for first, _ in runs(column)})
        return [
            tuple(join(column[first:last]) for column in columns)
            for first, last in zip(starts, [*starts[1:], len(variables)], strict=True)
        ]

    def step(self, plan: list[tuple[Array, ...]]) -> None:
        """Do one step over what `plan` laid out.

        Parameters
        ----------
        plan : list of tuple of ndarray
            Weights, gradient and running values of each run.
        """
        for w, d_w, *slots in plan:
            self.update(w, d_w, *slots)
        self.iterations.array += 1

    def update(self, w: Array, d_w: Array, *slots: Array) -> None:
        """Change weights by their gradient; every kind of optimizer has its own.

        Parameters
        ----------
        w : ndarray, shape (P,)
            The weights; modified in place.
        d_w : ndarray, shape (P,)
            The gradient.
        *slots : ndarray, shape (P,)
            The running values; modified in place.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update(w, d_w)")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments.

        Returns
        -------
        dict
            What `from_config` takes.
        """
        return {"name": self.name, "learning_rate": float(self._learning_rate)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make an optimizer from its configuration.

        Parameters
        ----------
        config : dict
            What `get_config` returned.

        Returns
        -------
        Optimizer
            A new one.
        """
        return cls(**config)


@_registry.register("adam")
class Adam(Optimizer):
    """Follow the gradient's running mean, measured in its running size.

    The formula stands in `functional.adam`. Kingma and Ba, "Adam: a method for stochastic
    optimization" (2015), with the "epsilon hat" of the end of its section 2.

    Parameters
    ----------
    learning_rate : float
        About the size of the change of one weight in one step.
    beta_1, beta_2 : float
        How much the running means of the gradient and of its square keep.
    epsilon : float
        Keeps the division finite.
    name : str
        Its name.

    Examples
    --------
    >>> Adam().learning_rate.numpy()
    np.float32(0.001)
    """

    slot_names = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        name: str = "adam",
    ) -> None:
        super().__init__(learning_rate, name)
        self.beta_1 = checks.number("beta_1", beta_1, 0, 1)
        self.beta_2 = checks.number("beta_2", beta_2, 0, 1)
        self.epsilon = checks.number("epsilon", epsilon, 0)

    def update(self, w: Array, d_w: Array, *slots: Array) -> None:
        """Change weights by their gradient."""
        step = int(self.iterations.array) + 1
        rate = self._learning_rate.array[()]
        alpha = ops.adam_step_size(rate, self.beta_1, self.beta_2, step, w.dtype)
        ops.adam(w, d_w, *slots, alpha, 1 - self.beta_1, 1 - self.beta_2, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


def get(identifier: Any) -> Optimizer:
    """Find an optimizer.

    Parameters
    ----------
    identifier : str, dict or Optimizer
        A name in any case, a configuration, or an optimizer.

    Returns
    -------
    Optimizer
        A new one for a name, else the one passed.

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> get("adam").name
    'adam'
    """
    if isinstance(identifier, str):
        identifier = identifier.lower()
    found = _registry.get(identifier)
    if not isinstance(found, Optimizer):
        raise ValueError(
            f"The optimizer must be a name or an optimizer. Received: {checks.shorten(identifier)}"
        )
    return found


serialize = _registry.serialize
deserialize = _registry.deserialize
