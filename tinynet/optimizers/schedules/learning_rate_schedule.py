"""Learning rate schedules: the learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet._core import Configurable, Registry, argument, checks, declared, required
from tinynet.functional.optimizers import rounded_power

__all__ = ["CosineDecay", "deserialize", "ExponentialDecay", "InverseTimeDecay"]
__all__ += ["LearningRateSchedule", "PiecewiseConstantDecay", "PolynomialDecay", "serialize"]

_registry = Registry("learning-rate schedule", "keras.optimizers.schedules")


class LearningRateSchedule(Configurable):
    """Base class of all learning rate schedules.

    A custom schedule defines ``__call__(step)``.

    Examples
    --------
    A schedule that returns the reciprocal of the step number, counted from 1:

    >>> class Harmonic(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 1.0 / (step + 1)
    >>> Harmonic()(3)
    0.25
    """

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate.

        Parameters
        ----------
        step : int
            Step, starting at 0: the number of completed steps.

        Returns
        -------
        float
            Learning rate.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(step)")


def _name(default: str) -> Any:
    """Return the argument `name` of a schedule, with a default."""
    return argument(default, lambda name, value: checks.title(value, default))


@declared(_registry)
class ExponentialDecay(LearningRateSchedule):
    """Exponential decay: ``initial_learning_rate * decay_rate**(step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        Initial learning rate.
    decay_steps : int
        Number of steps after which the learning rate has been multiplied by `decay_rate`.
    decay_rate : float
        Factor by which the learning rate is multiplied every `decay_steps` steps.
    staircase : bool
        If True, round ``step / decay_steps`` down, for a piecewise constant learning rate.
    name : str
        Name of the schedule.

    Examples
    --------
    ``0.5**(20 / 10)``, and ``0.5**1``, because 19/10 is rounded down:

    >>> float(ExponentialDecay(1.0, 10, 0.5)(20))
    0.25
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
        power = rounded_power(self.decay_rate, self._exponent(step), np.float32)
        return np.float32(self.initial_learning_rate) * power


@declared(_registry)
class InverseTimeDecay(ExponentialDecay):
    """Inverse time decay: ``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        Initial learning rate.
    decay_steps : int
        Number of steps after which the denominator has increased by `decay_rate`.
    decay_rate : float
        Amount added to the denominator every `decay_steps` steps.
    staircase : bool
        If True, round ``step / decay_steps`` down, for a piecewise constant learning rate.
    name : str
        Name of the schedule.

    Examples
    --------
    ``1 / (1 + 1 * 10 / 10)``:

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
    """Validate a list of numbers."""
    if not isinstance(values, list | tuple):
        raise TypeError(f"{name} must be a list. Received: {name}={checks.shorten(values)}")
    return [checks.number(name, value, low) for value in values]


@declared(_registry)
class PiecewiseConstantDecay(LearningRateSchedule):
    """Piecewise constant learning rate: one value for each interval between boundaries.

    Parameters
    ----------
    boundaries : list of int
        Steps after which the learning rate changes to the next value, sorted in ascending order.
        If two boundaries are equal, the value between them is skipped.
    values : list of float
        Learning rates of the intervals; must have one more element than `boundaries`.
    name : str
        Name of the schedule.

    Raises
    ------
    ValueError
        If the lengths do not match, or the boundaries are not sorted in ascending order.

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
        expected = "values must have one more element than boundaries"
        received = f"{len(self.boundaries)} boundaries and {len(self.values)} values"
        checks.require(len(self.boundaries) == len(self.values) - 1, expected, received)
        if self.boundaries != sorted(self.boundaries):
            # Equal boundaries are valid, as in Keras.
            raise ValueError(
                "boundaries must be sorted in ascending order. "
                f"Received: boundaries={self.boundaries}"
            )

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate."""
        return np.float32(self.values[sum(step > boundary for boundary in self.boundaries)])


@declared(_registry)
class PolynomialDecay(LearningRateSchedule):
    """Polynomial decay: ``(initial - end) * (1 - step / decay_steps)**power + end``.

    After `decay_steps`, the learning rate is constant, unless `cycle` is True.

    Parameters
    ----------
    initial_learning_rate : float
        Initial learning rate.
    decay_steps : int
        Number of steps after which the final learning rate is reached.
    end_learning_rate : float
        Final learning rate.
    power : float
        Exponent; 1 for linear decay.
    cycle : bool
        If True, increase `decay_steps` to the next multiple whenever it is reached.
    name : str
        Name of the schedule.

    Examples
    --------
    ``(1 - 0) * (1 - 5 / 10)**1 + 0``:

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
        power = rounded_power(float(rest), np.float32(self.power), np.float32)
        return (start - end) * power + end


@declared(_registry)
class CosineDecay(LearningRateSchedule):
    """Cosine decay, with an optional linear warmup.

    The learning rate is multiplied by ``(1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 +
    alpha``, which decreases from 1 to `alpha`. Loshchilov and Hutter, "SGDR: stochastic gradient
    descent with warm restarts" (2017).

    Parameters
    ----------
    initial_learning_rate : float
        Learning rate of the first step.
    decay_steps : int
        Number of steps of the decay.
    alpha : float
        Final learning rate, as a fraction of the learning rate at the start of the decay.
    name : str
        Name of the schedule.
    warmup_target : float, optional
        Learning rate at the end of the warmup and the start of the decay; by default, there is no
        warmup.
    warmup_steps : int
        Number of steps of the warmup.

    Examples
    --------
    ``(1 + cos(pi / 2)) / 2``:

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
        # Use the float64 cosine, because the result of NumPy's float32 cosine depends on the CPU.
        wave = np.float32(math.cos(np.float32(math.pi) * (min(done, length) / length)))
        share = np.float32(0.5) * (np.float32(1) + wave)
        return start * ((np.float32(1) - alpha) * share + alpha)


serialize, deserialize = _registry.serialize, _registry.deserialize
