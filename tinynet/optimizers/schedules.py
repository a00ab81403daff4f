"""Learning-rate schedules: the size of a step as a function of the number of steps done."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet import checks
from tinynet.arguments import argument, declared, required
from tinynet.registry import Configurable, Registry

_registry = Registry("learning-rate schedule", "keras.optimizers.schedules")


class LearningRateSchedule(Configurable):
    """The base of all schedules.

    Examples
    --------
    >>> float(ExponentialDecay(1.0, decay_steps=10, decay_rate=0.5)(20))
    0.25
    """

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate.

        Parameters
        ----------
        step : int
            The number of steps done.

        Returns
        -------
        float
            The learning rate of the next.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(step)")


def _name(default: str) -> Any:
    """Declare the name of a schedule."""
    return argument(default, lambda name, value: checks.title(value, default))


@declared(_registry)
class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate, decay_rate : float
        As in the formula.
    decay_steps : int
        As in the formula.
    staircase : bool
        Whether the exponent is rounded down.
    name : str
        Its name.

    Examples
    --------
    >>> float(ExponentialDecay(1.0, 10, 0.5, staircase=True)(19))
    0.5
    """

    initial_learning_rate: float = required(checks.number, 0)
    decay_steps: float = required(checks.number, 0, open_low=True)
    decay_rate: float = required(checks.number, 0)
    staircase: bool = argument(False, checks.flag)
    name: Any = _name("ExponentialDecay")

    def _exponent(self, step: Any) -> Any:
        exponent = np.float32(step) / np.float32(self.decay_steps)
        return np.floor(exponent) if self.staircase else exponent

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate."""
        power = np.float32(self.decay_rate) ** self._exponent(step)
        return np.float32(self.initial_learning_rate) * power


@declared(_registry)
class InverseTimeDecay(ExponentialDecay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate, decay_rate : float
        As in the formula.
    decay_steps : int
        As in the formula.
    staircase : bool
        Whether ``step / decay_steps`` is rounded down.
    name : str
        Its name.

    Examples
    --------
    >>> float(InverseTimeDecay(1.0, 10, 1.0)(10))
    0.5
    """

    initial_learning_rate: float = required()
    decay_steps: float = required()
    decay_rate: float = required()
    staircase: bool = argument(False)
    name: Any = _name("InverseTimeDecay")

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate."""
        growth = np.float32(1) + np.float32(self.decay_rate) * self._exponent(step)
        return np.float32(self.initial_learning_rate) / growth


def _listed(name: str, values: Any, low: float = -math.inf) -> list[float]:
    """Check a list of numbers."""
    if not isinstance(values, list | tuple):
        raise TypeError(f"{name} must be a list. Received: {name}={checks.shorten(values)}")
    return [checks.number(name, value, low) for value in values]


@declared(_registry)
class PiecewiseConstantDecay(LearningRateSchedule):
    """One value up to each boundary, and a last one.

    Parameters
    ----------
    boundaries : list of int
        Steps, rising.
    values : list of float
        One more than boundaries.
    name : str
        Its name.

    Raises
    ------
    ValueError
        If the numbers don't match.

    Examples
    --------
    >>> schedule = PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.25])
    >>> [float(schedule(step)) for step in (10, 11, 21)]
    [1.0, 0.5, 0.25]
    """

    boundaries: Any = required(_listed)
    values: Any = required(_listed, 0)
    name: Any = _name("PiecewiseConstant")

    def __complete(self) -> None:
        if len(self.boundaries) != len(self.values) - 1:
            raise ValueError(
                "There must be one value more than boundaries. "
                f"Received: {len(self.boundaries)} boundaries and {len(self.values)} values"
            )
        if self.boundaries != sorted(self.boundaries):
            raise ValueError(
                f"boundaries must be increasing. Received: boundaries={self.boundaries}"
            )

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate."""
        return np.float32(self.values[sum(step > boundary for boundary in self.boundaries)])


@declared(_registry)
class PolynomialDecay(LearningRateSchedule):
    """``(initial - end) * (1 - step / decay_steps) ** power + end``.

    Parameters
    ----------
    initial_learning_rate, end_learning_rate, power : float
        As in the formula.
    decay_steps : int
        The step at which the end is reached.
    cycle : bool
        Whether to begin anew, each time over one multiple of `decay_steps` more.
    name : str
        Its name.

    Examples
    --------
    >>> float(PolynomialDecay(1.0, 10, 0.0)(5))
    0.5
    """

    initial_learning_rate: float = required(checks.number, 0)
    decay_steps: float = required(checks.number, 0, open_low=True)
    end_learning_rate: float = argument(0.0001, checks.number, 0)
    power: float = argument(1.0, checks.number, 0)
    cycle: bool = argument(False, checks.flag)
    name: Any = _name("PolynomialDecay")

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate."""
        done, length = np.float32(step), np.float32(self.decay_steps)
        if self.cycle:
            length *= max(np.ceil(done / length), np.float32(1))
        rest = np.float32(1) - min(done, length) / length
        start, end = np.float32(self.initial_learning_rate), np.float32(self.end_learning_rate)
        return (start - end) * rest ** np.float32(self.power) + end


@declared(_registry)
class CosineDecay(LearningRateSchedule):
    """Half a cosine wave down to ``alpha`` of the start, after a straight line up.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017).

    Parameters
    ----------
    initial_learning_rate : float
        The learning rate of the first step.
    decay_steps : int
        The length of the way down.
    alpha : float
        The share that is left at its end.
    name : str
        Its name.
    warmup_target : float, optional
        Where the way up leads, if there is one.
    warmup_steps : int
        The length of the way up.

    Examples
    --------
    >>> round(float(CosineDecay(1.0, 10)(5)), 6)
    0.5
    """

    initial_learning_rate: float = required(checks.number, 0)
    decay_steps: float = required(checks.number, 0, open_low=True)
    alpha: float = argument(0.0, checks.number, 0)
    name: Any = _name("CosineDecay")
    warmup_target: float | None = argument(None, checks.number, 0)
    warmup_steps: int = argument(0, checks.whole, 0)

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate."""
        done, start = np.float32(step), np.float32(self.initial_learning_rate)
        if self.warmup_target is not None:
            top = np.float32(self.warmup_target)
            if done < self.warmup_steps:
                return (top - start) * (done / np.float32(self.warmup_steps)) + start
            start, done = top, done - np.float32(self.warmup_steps)
        length, alpha = np.float32(self.decay_steps), np.float32(self.alpha)
        wave = np.cos(np.float32(math.pi) * (min(done, length) / length))
        share = np.float32(0.5) * (np.float32(1) + wave)
        return start * ((np.float32(1) - alpha) * share + alpha)


serialize, deserialize = _registry.serialize, _registry.deserialize
