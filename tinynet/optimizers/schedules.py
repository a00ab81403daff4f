"""Learning-rate schedules: the size of a step as a function of the number of steps done."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet import checks
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


class _Decay(LearningRateSchedule):
    """A schedule from an initial rate over a number of steps."""

    def __init__(self, initial_learning_rate: float, decay_steps: int, name: str) -> None:
        rate = checks.number("initial_learning_rate", initial_learning_rate, 0)
        self.initial_learning_rate = rate
        self.decay_steps = checks.number("decay_steps", decay_steps, 0, open_low=True)
        self.name = checks.title(name, type(self).__name__)


@_registry.register()
class ExponentialDecay(_Decay):
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

    _arguments = (*("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name"),)

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.decay_rate = checks.number("decay_rate", decay_rate, 0)
        self.staircase = checks.flag("staircase", staircase)

    def _exponent(self, step: Any) -> Any:
        exponent = np.float32(step) / np.float32(self.decay_steps)
        return np.floor(exponent) if self.staircase else exponent

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate."""
        power = np.float32(self.decay_rate) ** self._exponent(step)
        return np.float32(self.initial_learning_rate) * power


@_registry.register()
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

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate."""
        growth = np.float32(1) + np.float32(self.decay_rate) * self._exponent(step)
        return np.float32(self.initial_learning_rate) / growth


@_registry.register()
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

    _arguments = ("boundaries", "values", "name")

    def __init__(
        self, boundaries: list[int], values: list[float], name: str = "PiecewiseConstant"
    ) -> None:
        for what, listed in (("boundaries", boundaries), ("values", values)):
            if not isinstance(listed, list | tuple):
                raise TypeError(f"{what} must be a list. Received: {what}={checks.shorten(listed)}")
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "There must be one value more than boundaries. "
                f"Received: {len(boundaries)} boundaries and {len(values)} values"
            )
        self.boundaries = [checks.number("boundaries", b) for b in boundaries]
        if self.boundaries != sorted(self.boundaries):
            raise ValueError(f"boundaries must be increasing. Received: boundaries={boundaries}")
        self.values = [checks.number("values", v, 0) for v in values]
        self.name = checks.title(name, type(self).__name__)

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate."""
        return np.float32(self.values[sum(step > boundary for boundary in self.boundaries)])


@_registry.register()
class PolynomialDecay(_Decay):
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

    _arguments = (
        *("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle", "name"),
    )

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.end_learning_rate = checks.number("end_learning_rate", end_learning_rate, 0)
        self.power = checks.number("power", power, 0)
        self.cycle = checks.flag("cycle", cycle)

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate."""
        done, length = np.float32(step), np.float32(self.decay_steps)
        if self.cycle:
            length *= max(np.ceil(done / length), np.float32(1))
        rest = np.float32(1) - min(done, length) / length
        start, end = np.float32(self.initial_learning_rate), np.float32(self.end_learning_rate)
        return (start - end) * rest ** np.float32(self.power) + end


@_registry.register()
class CosineDecay(_Decay):
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

    _arguments = (
        *("initial_learning_rate", "decay_steps", "alpha", "name"),
        *("warmup_target", "warmup_steps"),
    )

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.alpha = checks.number("alpha", alpha, 0)
        self.warmup_target = checks.optional(checks.number, "warmup_target", warmup_target, 0)
        self.warmup_steps = checks.whole("warmup_steps", warmup_steps, 0)

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
