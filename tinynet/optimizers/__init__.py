"""The built-in optimizers, each a formula of `functional`; `base` has what all of them share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY
from typing import Any

import numpy as np

from tinynet import checks
from tinynet.arguments import argument, declared, required
from tinynet.functional import dense_net as functional
from tinynet.optimizers import schedules
from tinynet.optimizers.base import Optimizer, Plan, _registry
from tinynet.variable import Array, Variable

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lion", "Nadam"]
__all__ += ["Optimizer", "Plan", "RMSprop"]
__all__ += ["deserialize", "get", "schedules", "serialize"]


@declared()
class _BuiltIn(Optimizer):
    """The base of the built-in optimizers; it tells type checkers what `Optimizer` takes."""

    learning_rate: Any = required()
    _: KW_ONLY
    weight_decay: float | None = argument(None)
    clipnorm: float | None = argument(None)
    clipvalue: float | None = argument(None)
    global_clipnorm: float | None = argument(None)
    use_ema: bool = argument(False)
    ema_momentum: float = argument(0.99)
    ema_overwrite_frequency: int | None = argument(None)
    loss_scale_factor: float | None = argument(None)
    gradient_accumulation_steps: int | None = argument(None)
    name: Any = argument(None)

    def initial_value(self, slot: str) -> float:
        """Return the initial value of a slot: 0, except for sums of squares."""
        is_sum = slot == "accumulator_of_squares"
        return getattr(self, "initial_accumulator_value", 0.0) if is_sum else 0.0


@declared(_registry, "sgd")
class SGD(_BuiltIn):
    """Gradient descent, with or without momentum.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate.
    momentum : float
        Decay rate of the momentum, from 0 to 1.
    nesterov : bool
        If True, use Nesterov momentum.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> SGD(momentum=0.9).slot_names
    ('momentum',)
    """

    learning_rate: Any = argument(0.01)
    momentum: float = argument(0.0, checks.number, 0, 1, wrong_type=ValueError)
    nesterov: bool = argument(False, checks.flag)

    def __complete(self) -> None:
        self.slot_names = ("momentum",) if self.momentum else ()

    def update(self, numbers: Sequence[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        (rate,) = numbers
        if slots:
            functional.sgd_momentum(w, d_w, slots[0], rate, self.momentum, self.nesterov)
        else:
            functional.sgd(w, d_w, rate)

    def _traced_update(
        self, low: Any, variable: Variable, w: Any, gradient: Any, own: Any, numbers: Any
    ) -> tuple[Any, list[Any]]:
        """Note `update`, which is one operation of the chain."""
        if self.nesterov or self._is_alone(variable, w):
            return super()._traced_update(low, variable, w, gradient, own, numbers)
        name = "sgd_momentum" if own else "sgd"
        rates = [*numbers, *[np.float32(self.momentum)] * len(own)]
        return low.update(name, variable, w, gradient, own, rates), []


@declared(_registry, "adam")
class Adam(_BuiltIn):
    """Move along the first moment estimate, scaled by the square root of the second.

    The formula is in `functional.adam`. Kingma and Ba, "Adam: a method for stochastic
    optimization" (2015), with the "epsilon hat" of the end of its section 2.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate: about the change of one weight in one step.
    beta_1, beta_2 : float
        Decay rates of the two moment estimates.
    epsilon : float
        Small constant added to the denominator.
    amsgrad : bool
        If True, use the largest second moment estimate so far.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> Adam().learning_rate.numpy()
    np.float32(0.001)
    """

    learning_rate: Any = argument(0.001)
    beta_1: float = argument(0.9, checks.number, 0, 1, open_high=True)
    beta_2: float = argument(0.999, checks.number, 0, 1, open_high=True)
    epsilon: float = argument(1e-7, checks.number, 0)
    amsgrad: bool = argument(False, checks.flag)

    slot_names = ("momentum", "velocity")
    squares = ("velocity", "beta_2")

    def __complete(self) -> None:
        if self.amsgrad:
            self.slot_names = (*self.slot_names, "largest")  # type: ignore[assignment]  # longer

    @property
    def variables(self) -> list[Variable]:
        """The state; the largest velocities come last."""
        state = super().variables
        late = {id(v) for v in self._slots.get("largest", [])}
        return sorted(state, key=lambda v: id(v) in late)

    def update(self, numbers: Sequence[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        m, v, *largest = slots
        constants = (numbers[0], 1 - self.beta_1, 1 - self.beta_2, self.epsilon)
        functional.adam(w, d_w, m, v, *constants, largest[0] if largest else None)

    def _traced_update(
        self, low: Any, variable: Variable, w: Any, gradient: Any, own: Any, numbers: Any
    ) -> tuple[Any, list[Any]]:
        """Note `update`, which is one operation of the chain."""
        if self.amsgrad or self._is_alone(variable, w):
            return super()._traced_update(low, variable, w, gradient, own, numbers)
        rates = [np.float32(c) for c in (1 - self.beta_1, 1 - self.beta_2, self.epsilon)]
        return low.update("adam", variable, w, gradient, own, [*numbers, *rates]), []

    def numbers(self, rates: Array, steps: Array) -> tuple[Array, ...]:
        """Return the step sizes, which include the bias correction."""
        size = functional.adam_step_size(rates, self.beta_1, self.beta_2, steps, rates.dtype)
        return (np.asarray(size),)


def _weight_decay(name: str, value: Any) -> float:
    if value is None:
        raise ValueError("AdamW needs a weight decay. Received: weight_decay=None")
    return checks.number(name, value, 0)


@declared(_registry, "adamw")
class AdamW(Adam):
    """Adam with weight decay: Loshchilov and Hutter, "Decoupled weight decay" (2019).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate: about the change of one weight in one step.
    weight_decay : float
        Fraction of the learning rate that weights are reduced by before each step.
    beta_1, beta_2, epsilon, amsgrad : float
        As for `Adam`.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> AdamW().weight_decay
    0.004
    """

    learning_rate: Any = argument(0.001)
    weight_decay: float = argument(0.004, _weight_decay, kept=False)
    beta_1: float = argument(0.9)
    beta_2: float = argument(0.999)
    epsilon: float = argument(1e-7)
    amsgrad: bool = argument(False)

    def __complete(self, weight_decay: float) -> None:
        self.weight_decay = weight_decay


@declared(_registry, "nadam")
class Nadam(_BuiltIn):
    """Adam with Nesterov momentum: it looks ahead along the first moment estimate.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate: about the change of one weight in one step.
    beta_1, beta_2, epsilon : float
        As for `Adam`.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> Nadam().name
    'nadam'
    """

    learning_rate: Any = argument(0.001)
    beta_1: float = argument(0.9, checks.number, 0, 1, open_high=True)
    beta_2: float = argument(0.999, checks.number, 0, 1, open_high=True)
    epsilon: float = argument(1e-7, checks.number, 0)

    slot_names = ("momentum", "velocity")
    squares = ("velocity", "beta_2")

    def __complete(self) -> None:
        #: The product of the momenta of all steps so far.
        self._product: Any = None

    def build(self, variables: Iterable[Variable]) -> None:
        """Create the slots of the weights."""
        if not self.built:
            variables = list(variables)
            kind = variables[0].dtype if variables else "float32"
            self._product = Variable(np.ones((), kind), False, name="u_product")
            super().build(variables)

    def _momenta(self, steps: Array, kind: Any) -> Array:
        one = np.dtype(kind).type
        decay = functional.rounded_power(0.96, steps, kind)
        return np.asarray(one(self.beta_1) * (one(1) - one(0.5) * decay))

    def numbers(self, rates: Array, steps: Array) -> tuple[Array, ...]:
        """Return the factors of the first moment and of the gradient, and a bias correction."""
        kind, one = rates.dtype, rates.dtype.type(1)
        now, ahead = self._momenta(steps, kind), self._momenta(steps + 1, kind)
        product = np.cumprod(np.append(self._product.array.astype(kind), now))[1:]
        correction = one - functional.rounded_power(self.beta_2, steps, kind)
        alpha_m = rates * ahead / (one - product * ahead)
        return alpha_m, rates * (one - now) / (one - product), correction

    def changed(self, steps: Array) -> None:
        """Note the momenta of these steps.

        Parameters
        ----------
        steps : ndarray of int
            Numbers of the steps.
        """
        for momentum in self._momenta(steps, self._product.array.dtype):
            self._product.array[...] *= momentum

    def update(self, numbers: Sequence[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        alpha_m, alpha_g, correction = numbers
        one = w.dtype.type
        rates = (one(1) - one(self.beta_1), one(1) - one(self.beta_2))
        functional.nadam(w, d_w, *slots, alpha_m, alpha_g, *rates, correction, self.epsilon)


@declared(_registry, "rmsprop")
class RMSprop(_BuiltIn):
    """Move along the gradient, scaled by the square root of its second moment estimate.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate: about the change of one weight in one step.
    rho : float
        Decay rate of the second moment estimate.
    momentum : float
        Decay rate of the momentum.
    epsilon : float
        Small constant added to the denominator.
    centered : bool
        If True, subtract the square of the first moment estimate.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> RMSprop().name
    'rm_sprop'
    """

    learning_rate: Any = argument(0.001)
    rho: float = argument(0.9, checks.number, 0, 1, open_high=True)
    momentum: float = argument(0.0, checks.number, 0, 1)
    epsilon: float = argument(1e-7, checks.number, 0)
    centered: bool = argument(False, checks.flag)

    interleaved = False
    squares = ("velocity", "rho")

    def __complete(self) -> None:
        self.slot_names = ("velocity", *("momentum",) * bool(self.momentum))
        self.slot_names += ("average_gradient",) * self.centered

    def update(self, numbers: Sequence[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        named = dict(zip(self.slot_names, slots, strict=True))
        kept = (named.get(name) for name in ("velocity", "momentum", "average_gradient"))
        functional.rmsprop(w, d_w, *kept, numbers[0], self.rho, self.momentum, self.epsilon)

    def _traced_update(
        self, low: Any, variable: Variable, w: Any, gradient: Any, own: Any, numbers: Any
    ) -> tuple[Any, list[Any]]:
        """Note `update`, which is one operation of the chain."""
        if len(own) > 1 or self._is_alone(variable, w):
            return super()._traced_update(low, variable, w, gradient, own, numbers)
        rates = [np.float32(c) for c in (self.rho, 1 - self.rho, self.epsilon)]
        return low.update("rmsprop", variable, w, gradient, own, [*numbers, *rates]), []


@declared(_registry, "adagrad")
class Adagrad(_BuiltIn):
    """Move along the gradient in steps that shrink where gradients were large.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate.
    initial_accumulator_value : float
        Initial value of the sums of squares.
    epsilon : float
        Small constant added to the denominator.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> Adagrad().name
    'adagrad'
    """

    learning_rate: Any = argument(0.001)
    initial_accumulator_value: float = argument(0.1, checks.number, 0)
    epsilon: float = argument(1e-7, checks.number, 0)

    slot_names = ("accumulator_of_squares",)
    squares = ("accumulator_of_squares", None)

    def update(self, numbers: Sequence[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        functional.adagrad(w, d_w, *slots, numbers[0], self.epsilon)


@declared(_registry, "adamax")
class Adamax(_BuiltIn):
    """Adam that divides by the largest recent gradient instead of the second moment estimate.

    The formula is in `functional.adamax`. Kingma and Ba, "Adam: a method for stochastic
    optimization" (2015), section 7.1.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate: about the largest change of a weight in one step.
    beta_1, beta_2 : float
        Decay rates of the first moment estimate and of the largest gradient.
    epsilon : float
        Small constant added to the denominator.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> w = Variable([1.0, -2.0], dtype="float32")
    >>> Adamax(0.25).apply([[0.5, -8.0]], [w])  # the first step has the same size everywhere
    >>> w.numpy().round(3)
    array([ 0.75, -1.75], dtype=float32)
    """

    learning_rate: Any = argument(0.001)
    beta_1: float = argument(0.9, checks.number, 0, 1, open_high=True)
    beta_2: float = argument(0.999, checks.number, 0, 1)
    epsilon: float = argument(1e-7, checks.number, 0)

    slot_names = ("momentum", "norm")

    def update(self, numbers: Sequence[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        constants = (numbers[0], 1 - self.beta_1, self.beta_2, self.epsilon)
        functional.adamax(w, d_w, *slots, *constants)

    def numbers(self, rates: Array, steps: Array) -> tuple[Array, ...]:
        """Return the step sizes, which include the bias correction."""
        return (rates / (1 - functional.rounded_power(self.beta_1, steps, rates.dtype)),)


@declared(_registry, "adadelta")
class Adadelta(_BuiltIn):
    """Scale the gradient to the size of recent updates, so that units agree.

    The formula is in `functional.adadelta`. Zeiler, "ADADELTA: an adaptive learning rate method"
    (2012), where the learning rate is 1.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate; larger ones than for other optimizers, up to 1, work well.
    rho : float
        Decay rate of the two moving averages.
    epsilon : float
        Small constant added to both averages; it sets the size of the first step.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> Adadelta().slot_names
    ('accumulated_grad', 'accumulated_delta_var')
    """

    learning_rate: Any = argument(0.001)
    rho: float = argument(0.95, checks.number, 0, 1)
    epsilon: float = argument(1e-7, checks.number, 0)

    slot_names = ("accumulated_grad", "accumulated_delta_var")

    def update(self, numbers: Sequence[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        functional.adadelta(w, d_w, *slots, numbers[0], self.rho, self.epsilon)


@declared(_registry, "ftrl")
class Ftrl(_BuiltIn):
    """Follow the regularized leader: weights that few gradients support become exactly 0.

    The formula is in `functional.ftrl`. McMahan et al., "Ad click prediction: a view from the
    trenches" (2013).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate.
    learning_rate_power : float
        Power of the sum of squared gradients that steps shrink with, at most 0; with 0, they
        do not.
    initial_accumulator_value : float
        Initial value of the sums of squared gradients.
    l1_regularization_strength, l2_regularization_strength : float
        Strengths of the penalties within the optimization problem of each step.
    l2_shrinkage_regularization_strength : float
        Strength of an L2 penalty that is added to the loss.
    beta : float
        Added to the root of the sum of squared gradients, as in the paper.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> w = Variable([0.1, 0.1], dtype="float32")
    >>> Ftrl(0.5, l1_regularization_strength=1.0).apply([[2.0, 0.5]], [w])
    >>> w.numpy().round(3)
    array([-0.163,  0.   ], dtype=float32)
    """

    learning_rate: Any = argument(0.001)
    learning_rate_power: float = argument(-0.5, checks.number, high=0)
    initial_accumulator_value: float = argument(0.1, checks.number, 0)
    l1_regularization_strength: float = argument(0.0, checks.number, 0)
    l2_regularization_strength: float = argument(0.0, checks.number, 0)
    l2_shrinkage_regularization_strength: float = argument(0.0, checks.number, 0)
    beta: float = argument(0.0, checks.number, 0)

    slot_names = ("accumulator_of_squares", "linear")

    def update(self, numbers: Sequence[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        power, l1, l2 = (
            self.learning_rate_power,
            self.l1_regularization_strength,
            self.l2_regularization_strength,
        )
        shrinkage = self.l2_shrinkage_regularization_strength
        functional.ftrl(w, d_w, *slots, numbers[0], power, l1, l2, shrinkage, self.beta)


@declared(_registry, "lion")
class Lion(_BuiltIn):
    """Move every weight by the learning rate, against the sign of a mean gradient.

    The formula is in `functional.lion`. Chen et al., "Symbolic discovery of optimization
    algorithms" (2023), who recommend learning rates three to ten times smaller than for `AdamW`.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate: the size of the change of each weight in one step.
    beta_1 : float
        Weight of the first moment estimate, compared with the gradient's, in the sign; above 0.
    beta_2 : float
        Decay rate of the first moment estimate.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> w = Variable([1.0, -2.0], dtype="float32")
    >>> Lion(0.25).apply([[0.5, -8.0]], [w])
    >>> w.numpy()
    array([ 0.75, -1.75], dtype=float32)
    """

    learning_rate: Any = argument(0.001)
    beta_1: float = argument(0.9, checks.number, 0, 1, open_low=True)
    beta_2: float = argument(0.99, checks.number, 0, 1)

    slot_names = ("momentum",)

    def update(self, numbers: Sequence[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        functional.lion(w, d_w, *slots, numbers[0], self.beta_1, self.beta_2)


def get(identifier: Any) -> Optimizer:
    """Return an optimizer.

    Parameters
    ----------
    identifier : str, dict or Optimizer
        A name in any case, a configuration, or an optimizer.

    Returns
    -------
    Optimizer
        New optimizer for a name, else the given one.

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
    if not isinstance(found, Optimizer):
        raise ValueError(
            f"The optimizer must be a name or an optimizer. Received: {checks.shorten(identifier)}"
        )
    return found


serialize, deserialize = _registry.serialize, _registry.deserialize
