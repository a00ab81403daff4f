"""Base class of all metrics."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import activations, config, initializers
from tinynet._core import Configurable, Registry, checks
from tinynet._core.registry import unique_name
from tinynet.program import Array, Operation, SymbolicTensor, Variable, apply
from tinynet.program.trace import CALL
from tinynet.program.variable import snapshot

__all__ = ["Metric"]


_registry = Registry("metric", "keras.metrics")


_CONTAINERS = (list, dict, set, np.ndarray)


class _Update(Operation):
    """Operation that updates a metric from the `call` of a layer, in Python."""

    stateful = True

    def infer(self, arrays: list[Any], options: dict[str, Any]) -> Any:
        """Return a placeholder; the result is not used."""
        return np.zeros(())


def _traceable(own: Any) -> Any:
    """Wrap `update_state` so that it is recorded when a traced layer calls it."""

    @functools.wraps(own)
    def update_state(self: Any, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, SymbolicTensor) for a in (*args, *kwargs.values())):
            return _record_update(functools.partial(own, self), args, kwargs)
        call = CALL.get()
        return None if call is not None and call.is_trial else own(self, *args, **kwargs)

    return update_state


def _record_update(update: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Record an update as an operation on its arguments, except for arguments that are None."""
    given = [*args, *kwargs.values()]

    def run(*arrays: Any) -> Any:
        left = iter(arrays)
        values = [None if a is None else next(left) for a in given]
        update(*values[: len(args)], **dict(zip(kwargs, values[len(args) :], strict=True)))
        return np.zeros(())

    return apply(_Update("update_state", run, None, None), [a for a in given if a is not None], {})


class Metric(Configurable):
    """Base class of all metrics.

    A custom metric defines `update_state` and `result`, and keeps its state in variables created
    by `add_variable`.

    Parameters
    ----------
    dtype : str, optional
        Data type of the result; by default `config.floatx()`.
    name : str, optional
        Name of the metric; by default the class name in snake case, with a numeric suffix.

    Examples
    --------
    A metric that returns the largest prediction:

    >>> class Largest(Metric):
    ...     def __init__(self, name=None):
    ...         super().__init__(name=name)
    ...         self.largest = self.add_weight(name="largest")
    ...
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.largest.assign(max(self.largest.numpy(), y_pred.max()))
    ...
    ...     def result(self):
    ...         return self.largest
    >>> metric = Largest()
    >>> metric.update_state(None, np.array([1.0, 3.0]))
    >>> float(metric.result())
    3.0
    """

    _arguments: tuple[str, ...] = ("name", "dtype")

    #: If a model ends with one of these activations, the metric is computed from the input of the
    #: activation (the logits).
    logits_of: tuple[activations.Activation, ...] = ()
    #: Whether the result does not depend on how the examples are split into batches.
    by_example = False
    #: Direction of improvement, for callbacks that monitor the metric: "up", "down" or None.
    _direction: str | None = None
    #: Name in logs if it differs from `name`, for example with the name of an output as a prefix.
    _label = ""
    #: Whether the metric is custom. Custom metrics may depend on the whole batch, and may keep
    #: references to its arrays.
    _custom = False

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = checks.title(name, "") or unique_name(type(self).__name__)
        self.dtype: str = checks.float_type(dtype, config.floatx())
        self._variables: list[Variable] = []

    @property
    def label(self) -> str:
        """Name in logs."""
        return self._label or self.name

    def __init_subclass__(cls) -> None:
        if "update_state" in vars(cls):
            cls.update_state = _traceable(cls.update_state)  # type: ignore[method-assign]
        if not cls.__module__.startswith("tinynet."):
            cls.by_example, cls._custom = False, True
            # update_state may convert the targets and predictions, so they cannot be checked.
            if "update_state" in vars(cls):
                cls.check_targets = Metric.check_targets  # type: ignore[method-assign]

    def add_variable(
        self,
        shape: tuple[int, ...] = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        name: str = "variable",
    ) -> Variable:
        """Add a variable to the state.

        Parameters
        ----------
        shape : tuple of int
            Shape of the variable.
        initializer : str or Initializer
            Initial values.
        dtype : str, optional
            Data type; by default the data type of the metric.
        name : str
            Name of the variable.

        Returns
        -------
        Variable
            New variable, which `reset_state` resets to 0.
        """
        make = initializers.get(initializer or "zeros")
        values = make(tuple(np.atleast_1d(np.asarray(shape, int))), dtype=dtype or self.dtype)
        self._variables.append(Variable(values, False, name=name))
        return self._variables[-1]

    add_weight = add_variable

    @property
    def variables(self) -> list[Variable]:
        """Variables of the state."""
        return self._variables

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Validate targets before training; overridden by metrics that restrict their targets.

        Parameters
        ----------
        y_true : ndarray, shape (N, ...)
            Targets.
        output_shape : tuple of (int or None)
            Shape of the predictions, including the batch size.
        """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Update the state with a batch.

        Parameters
        ----------
        y_true : array_like, shape (N, ...)
            Targets.
        y_pred : array_like, shape (N, ..., C)
            Predictions.
        sample_weight : array_like, optional
            Weight of each example.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update_state")

    def result(self) -> Any:
        """Compute the metric from the state.

        Returns
        -------
        Tensor
            Value of the metric, usually a scalar.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define result")

    def reset_state(self) -> None:
        """Reset the state to 0."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape))

    def _snapshot(self) -> Callable[[], None]:
        """Copy the state; return a function that restores it."""
        # Only containers are copied, not other objects such as functions or models.
        state = {
            name: copy.deepcopy(value) if isinstance(value, _CONTAINERS) else value
            for name, value in vars(self).items()
            if name != "_variables"
        }
        variables = [*self._variables]  # some metrics add variables in the first update
        restores = [value._snapshot() for value in state.values() if isinstance(value, Metric)]
        restores.append(snapshot(variables))

        def restore() -> None:
            vars(self).update(state)
            self._variables[:] = variables
            for restore_part in restores:
                restore_part()

        return restore

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Update the state with a batch and compute the metric.

        Parameters
        ----------
        *args, **kwargs : object
            Arguments of `update_state`.

        Returns
        -------
        Tensor
            Value of the metric over all batches so far.
        """
        self.update_state(*args, **kwargs)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"
