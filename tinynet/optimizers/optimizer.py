"""Base class of all optimizers.

An optimizer stores its slots, such as moment estimates, in flat vectors with the same layout as the
parameters of the model. A step is then one call for each contiguous block of memory, not one for
each weight. The Variables that are saved are views into the vectors.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY
from typing import Any

import numpy as np

from tinynet import config
from tinynet._core import (
    Configurable,
    Registry,
    argument,
    checks,
    declared,
    snake_case,
    suggestions,
)
from tinynet._core.arguments import keywords
from tinynet.optimizers import schedules
from tinynet.optimizers.plan import Plan
from tinynet.optimizers.schedules import LearningRateSchedule
from tinynet.program import Array, Variable, as_tensor
from tinynet.program.formula import Untraceable, require_own
from tinynet.program.nested import flattened
from tinynet.program.variable import join, pack, runs

__all__ = ["Optimizer"]

_registry = Registry("optimizer", "keras.optimizers")


_COMMON: tuple[str, ...] = ("weight_decay", "clipnorm", "global_clipnorm", "clipvalue")


_COMMON += ("use_ema", "ema_momentum", "ema_overwrite_frequency")


_COMMON += ("loss_scale_factor", "gradient_accumulation_steps")


#: Types of the attributes of custom classes that are searched for Variables.
_NESTED = (Variable, list, tuple, dict)
#: Names of attributes that are not searched.
_KNOWN = ("_slots", "_trainable", "_excluded")


class Optimizer(Configurable):
    """Base class of all optimizers.

    A custom optimizer defines `update_step`, and `build` if it has a state. Gradient clipping,
    weight decay, moving averages and the other arguments below also apply to it.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate.
    weight_decay : float, optional
        Weight decay: before each update, weights are multiplied by
        ``1 - weight_decay * learning_rate``.
    clipnorm : float, optional
        Maximum norm of the gradient of each weight; gradients with a larger norm are scaled down.
    clipvalue : float, optional
        Maximum absolute value of each element of a gradient.
    global_clipnorm : float, optional
        Maximum norm of the gradients of all weights together.
    use_ema : bool
        If True, keep an exponential moving average of the weights, which replaces the weights at
        the end of training.
    ema_momentum : float
        Decay rate of the moving average.
    ema_overwrite_frequency : int, optional
        Number of steps after which the weights are overwritten with their moving average.
    loss_scale_factor : float, optional
        Factor by which `scale_loss` multiplies the loss, and `apply` divides gradients. Has
        no effect in `fit`, because float32 does not need loss scaling.
    gradient_accumulation_steps : int, optional
        Number of mini-batches whose gradients are averaged before each update.
    name : str, optional
        Name of the optimizer; by default the class name in snake case.
    **kwargs : object
        Not supported; other arguments raise an error.

    Raises
    ------
    ValueError
        If the learning rate is neither a float nor a schedule, or more than one clipping argument
        is given.

    Examples
    --------
    The first step of Adam moves each weight by about the learning rate:

    >>> from tinynet.optimizers import Adam
    >>> w = Variable([1.0, -2.0], dtype="float32")
    >>> Adam(0.01).apply([np.array([0.5, -1.0], np.float32)], [w])
    >>> w.numpy()
    array([ 0.9900001, -1.9900001], dtype=float32)

    A custom optimizer that moves each weight by the learning rate, against the sign of the
    gradient:

    >>> class SignSGD(Optimizer):
    ...     def update_step(self, gradient, variable, learning_rate):
    ...         self.assign_sub(variable, learning_rate * np.sign(gradient))
    >>> SignSGD(0.25).apply([np.array([0.5, -1.0], np.float32)], [w])
    >>> w.numpy().round(2)
    array([ 0.74, -1.74], dtype=float32)
    """

    #: Names of the slots: arrays such as moment estimates, which are kept for each weight.
    slot_names: tuple[str, ...] = ()
    #: Slot that averages squared gradients, if any, and the name of its decay rate (None for a
    #: sum of squares).
    squares: tuple[str, str | None] | None = None
    #: Whether slots are saved in the order m, v, m, v (weight by weight), not m, m, v, v.
    interleaved = True

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        suggestions.no_more(type(self).__name__, kwargs, keywords(type(self), Optimizer))
        self.name = checks.title(name, snake_case(type(self).__name__))
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        if sum(value is not None for value in clips.values()) > 1:
            raise ValueError(
                "Only one of clipnorm, clipvalue and global_clipnorm can be set. Received: "
                + ", ".join(f"{key}={value}" for key, value in clips.items())
            )
        positive = functools.partial(checks.optional, checks.number, low=0, open_low=True)
        count = functools.partial(checks.optional, checks.whole)
        self.clipnorm = positive("clipnorm", clipnorm)
        self.clipvalue = positive("clipvalue", clipvalue)
        self.global_clipnorm = positive("global_clipnorm", global_clipnorm)
        self.loss_scale_factor = positive("loss_scale_factor", loss_scale_factor)
        self.weight_decay = checks.optional(checks.number, "weight_decay", weight_decay, 0)
        self.use_ema = checks.flag("use_ema", use_ema)
        self.ema_momentum = checks.number("ema_momentum", ema_momentum, 0, 1)
        self.ema_overwrite_frequency = count("ema_overwrite_frequency", ema_overwrite_frequency)
        self.gradient_accumulation_steps = count(
            "gradient_accumulation_steps", gradient_accumulation_steps, 2
        )
        self.built = False
        self._iterations = Variable(np.int64(0), False, name="iteration")
        self._schedule: LearningRateSchedule | None = None
        self._learning_rate = Variable(np.float32(0), False, name="learning_rate")
        if isinstance(learning_rate, dict):
            learning_rate = schedules.deserialize(learning_rate)
        is_whole = isinstance(learning_rate, int)  # only the setter accepts int, as in Keras
        received = f"learning_rate={learning_rate!r}"
        checks.require(not is_whole, "learning_rate must be a float or a schedule", received)
        self.learning_rate = learning_rate
        self._trainable: list[Variable] = []
        self._slots: dict[str, list[Variable]] = {}
        self._added: list[Variable] = []
        self._excluded: list[Variable] = []
        self._excluded_paths: list[re.Pattern[str]] = []

    @property
    def iterations(self) -> Variable:
        """Number of updates of the weights."""
        if self.gradient_accumulation_steps is None:
            return self._iterations
        changed = self._iterations.array // self.gradient_accumulation_steps
        return Variable(changed, False, name="iteration")

    @property
    def learning_rate(self) -> Any:
        """Learning rate in float32; it can be set, unless it follows a schedule."""
        if self._schedule is not None:
            return as_tensor(np.float32(self._schedule(self._iterations.array)))
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, LearningRateSchedule):
            self._schedule = value
            return
        expected = "learning_rate must not be set, because it follows a schedule"
        checks.require(self._schedule is None, expected, f"learning_rate={value!r}", TypeError)
        if isinstance(value, Variable | np.ndarray) and value.size == 1:
            value = float(np.asarray(value).reshape(()))
        rate = checks.number("learning_rate", value, 0, wrong_type=ValueError)
        self._learning_rate.assign(np.float32(rate))

    @property
    def variables(self) -> list[Variable]:
        """State variables: iteration, learning rate, slots, and variables of custom classes."""
        state = [self._iterations] + ([] if self._schedule else [self._learning_rate])
        state += self._slots.get("average", [])
        state += self._slots.get("accumulator", [])
        names = self.slot_names if self._trainable else ()
        if self.interleaved:
            state += [self._slots[name][i] for i in range(len(self._trainable)) for name in names]
        else:
            state += [slot for name in names for slot in self._slots[name]]
        known = {id(v) for v in (*state, self._learning_rate, *self._trainable, *self._excluded)}
        custom = vars(self).items() if self.built else ()
        nested = {k: v for k, v in custom if isinstance(v, _NESTED) and k not in _KNOWN}
        for variable in flattened([self._added, nested]):
            if isinstance(variable, Variable) and id(variable) not in known:
                known.add(id(variable))
                state.append(variable)
        return state

    def add_variable(
        self,
        shape: Any,
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Add a variable to the state, which is saved with a model.

        Parameters
        ----------
        shape : tuple of int
            Shape of the variable.
        initializer : str or Initializer
            Initial value.
        dtype : dtype, optional
            Data type; by default `config.floatx()`.
        aggregation, layout : object
            Accepted for compatibility with Keras, without effect.
        name : str, optional
            Name of the variable.

        Returns
        -------
        Variable
            New variable.
        """
        self._added.append(Variable(initializer, False, dtype, name or "variable", shape=shape))
        return self._added[-1]

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """Add a variable with the shape and data type of another variable.

        Parameters
        ----------
        reference_variable : Variable
            Other variable, usually a weight.
        name : str, optional
            Suffix of the name.
        initializer : str or Initializer
            Initial value.

        Returns
        -------
        Variable
            New variable.
        """
        name = f"{reference_variable.path.replace('/', '_')}_{name or 'var'}"
        reference = reference_variable
        return self.add_variable(reference.shape, initializer, reference.dtype, name=name)

    def add_optimizer_variables(
        self, trainable_variables: Iterable[Variable], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """Add one variable for each weight, or one for each weight and name.

        Parameters
        ----------
        trainable_variables : iterable of Variable
            Weights.
        name : str or list of str
            Suffix of the names of the variables.
        initializer : str, Initializer or list of them
            Initial value, or one for each name.

        Returns
        -------
        list of Variable, or tuple of list of Variable
            New variables; for a list of names, one list for each name.
        """
        names = [name] if isinstance(name, str) else list(name)
        several = isinstance(initializer, list | tuple)
        firsts = initializer if several else [initializer] * len(names)
        lists: tuple[list[Variable], ...] = tuple([] for _ in names)
        for variable in trainable_variables:
            for added, last, first in zip(lists, names, firsts, strict=True):
                added.append(self.add_variable_from_reference(variable, last, first))
        return lists[0] if isinstance(name, str) else lists

    def assign(self, variable: Variable, value: Any) -> None:
        """Set the value of a variable. For use in `update_step`.

        Parameters
        ----------
        variable : Variable
            Variable of the model or of the optimizer; modified in place.
        value : array_like
            New value.
        """
        variable.assign(np.asarray(value, variable.dtype))

    def assign_add(self, variable: Variable, value: Any) -> None:
        """Add a value to a variable. For use in `update_step`.

        Parameters
        ----------
        variable : Variable
            Variable of the model or of the optimizer; modified in place.
        value : array_like
            Value to add.
        """
        variable.assign_add(np.asarray(value, variable.dtype))

    def assign_sub(self, variable: Variable, value: Any) -> None:
        """Subtract a value from a variable. For use in `update_step`.

        Parameters
        ----------
        variable : Variable
            Variable of the model or of the optimizer; modified in place.
        value : array_like
            Value to subtract.
        """
        variable.assign_sub(np.asarray(value, variable.dtype))

    def scale_loss(self, loss: Any) -> Any:
        """Multiply a loss by `loss_scale_factor`; `apply` divides gradients by it.

        Parameters
        ----------
        loss : Tensor
            Loss in a custom training loop.

        Returns
        -------
        Tensor
            Scaled loss, or the loss itself if `loss_scale_factor` is None.
        """
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    @property
    def minimize(self) -> Any:
        """Not available, as in Keras 3."""
        raise AttributeError(
            f"{type(self).__name__} does not support minimize; use GradientTape and "
            "apply_gradients. Received: minimize"
        )

    def build(self, variables: Iterable[Variable]) -> None:
        """Create the slots of the weights, such as moment estimates.

        Parameters
        ----------
        variables : iterable of Variable
            Weights to train.
        """
        if self.built:
            return
        trainable, slots = list(variables), {}
        extra = ["average"] * self.use_ema
        extra += ["accumulator"] * (self.gradient_accumulation_steps is not None)
        for slot in (*extra, *self.slot_names):
            first = self.initial_value(slot)
            slots[slot] = [
                Variable(np.full_like(v.array, first), False, None, f"{v.path}_{slot}")
                for v in trainable
            ]
            pack(slots[slot])
        # One call, so that an interrupt cannot leave the optimizer half built.
        self.__dict__.update(_trainable=trainable, _slots=slots, built=True)
        if self._excluded_paths and all(map(self._decays, trainable)):
            given = [pattern.pattern for pattern in self._excluded_paths]
            checks.warn(
                "exclude_from_weight_decay excludes none of the weights "
                f"{checks.shorten([v.path for v in trainable])}. Received: var_names={given}"
            )

    def initial_value(self, slot: str) -> float:
        """Return the initial value of a slot, by default 0.

        Parameters
        ----------
        slot : str
            Name of the slot, from `slot_names`.

        Returns
        -------
        float
            Initial value of all elements.
        """
        return 0.0

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Exclude weights from weight decay, replacing earlier exclusions.

        Parameters
        ----------
        var_list : iterable of Variable, optional
            Weights to exclude.
        var_names : iterable of str, optional
            Regular expressions. A weight is excluded if one of them matches any part of its path,
            for example ``"bias"``, ``"^dense_1/"`` or ``"gamma|beta"``.

        Raises
        ------
        TypeError, ValueError
            If `var_list` contains anything but Variables, or `var_names` anything but regular
            expressions.

        Examples
        --------
        >>> from tinynet.optimizers import AdamW
        >>> AdamW().exclude_from_weight_decay(var_names=["bias", "gamma|beta"])
        """
        weights = checks.listed("var_list", [] if var_list is None else var_list, Variable)
        patterns = []
        for name in checks.listed("var_names", [] if var_names is None else var_names, str):
            try:
                patterns.append(re.compile(name))
            except re.error as error:
                raise ValueError(
                    f"var_names must be regular expressions ({error}). Received: {name!r}"
                ) from None
        self._excluded, self._excluded_paths = weights, patterns

    def _decays(self, variable: Variable) -> bool:
        """Whether weight decay applies to a weight."""
        excluded = any(variable is weight for weight in self._excluded)
        return not (excluded or any(p.search(variable.path) for p in self._excluded_paths))

    def apply(
        self, grads: Sequence[Any], trainable_variables: Iterable[Variable] | None = None
    ) -> None:
        """Update weights with their gradients.

        The first call builds the optimizer; later calls may use a subset of its weights.

        Parameters
        ----------
        grads : sequence of (array_like or None)
            Gradient of the loss with respect to each weight. If a gradient is None, its weight is
            not updated and a warning is issued.
        trainable_variables : iterable of Variable, optional
            Weights, modified in place; by default, the weights that the optimizer was built with.

        Raises
        ------
        ValueError, TypeError
            If lengths or shapes differ, all gradients are None, or the optimizer was built without
            one of the weights. No weight is changed.
        """
        variables = self._trainable
        if trainable_variables is not None:
            variables = checks.listed("trainable_variables", trainable_variables, Variable)
        elif not self.built:
            raise ValueError(
                "trainable_variables must be given until the optimizer is built. "
                "Received: trainable_variables=None"
            )
        gradients = list(grads)
        expected = f"grads must have one gradient for each of {len(variables)} variables"
        checks.require(len(gradients) == len(variables), expected, f"{len(gradients)} gradients")
        missing = [v.path for g, v in zip(gradients, variables, strict=True) if g is None]
        expected = "grads must contain at least one gradient that is not None"
        received = f"None for {checks.shorten(missing)}"
        checks.require(len(missing) < len(variables), expected, received)
        if not self.built:
            self.build(variables)
        for variable in variables:
            self._get_variable_index(variable)
        found = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        # Copy the gradients, because clipping modifies them in place.
        arrays = [np.array(g, v.array.dtype, order="C") for g, v in found]
        for array in arrays if self.loss_scale_factor is not None else ():
            array /= self.loss_scale_factor
        plan = self.plan([v for _, v in found], arrays)
        if missing:
            checks.warn(
                "Gradients do not exist for variables that the loss does not depend on; these "
                f"variables are not updated. Received: {received}"
            )
        self._step(plan)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Variable:
        """Update weights with their gradients, given as pairs.

        Parameters
        ----------
        grads_and_vars : iterable of (array_like or None, Variable)
            Pairs of a gradient and its weight; see `apply`.

        Returns
        -------
        Variable
            Number of steps so far, including steps that only accumulate gradients.

        Examples
        --------
        The gradient of ``sum(w**2)`` is ``2 * w``:

        >>> from tinynet import GradientTape
        >>> from tinynet.optimizers import SGD
        >>> w = Variable([1.0, 2.0], dtype="float32")
        >>> with GradientTape() as tape:
        ...     loss = (w**2).sum()
        >>> int(SGD(0.25).apply_gradients([(tape.gradient(loss, w), w)]))
        1
        >>> w.numpy()  # w - 0.25 * 2 * w
        array([0.5, 1. ], dtype=float32)
        """
        pairs = list(grads_and_vars)
        if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in pairs):
            raise ValueError(
                "grads_and_vars must be pairs, such as zip(gradients, variables). "
                f"Received: {checks.shorten(pairs)}"
            )
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self._iterations

    def _get_variable_index(self, variable: Variable) -> int:
        """Return the index of a weight among those that the optimizer was built with."""
        for i, known in enumerate(self._trainable):
            if known is variable:
                return i
        raise ValueError(
            f"{variable.path} must be one of the weights that {self.name} was built with; use a "
            "new optimizer, or call optimizer.build(weights) with all weights first. "
            f"Received: {variable.path} of shape {variable.shape}"
        )

    def plan(self, variables: Sequence[Variable], gradients: Sequence[Array]) -> Plan:
        """Group weights that are contiguous in memory, so that one call updates each group.

        Parameters
        ----------
        variables : sequence of Variable
            Weights.
        gradients : sequence of ndarray
            Gradient of each weight.

        Returns
        -------
        Plan
            Memory layout of a step.
        """
        if not self.built:
            self.build(variables)
        positions = [self._get_variable_index(variable) for variable in variables]
        for variable, gradient in zip(variables, gradients, strict=True):
            fits, path = gradient.shape == variable.shape, variable.path
            expected = f"The gradient of {path} must have the shape of the weight, {variable.shape}"
            checks.require(fits, expected, f"gradient of shape {gradient.shape}")
        kept = {name: [all_[i] for i in positions] for name, all_ in self._slots.items()}
        memory = list(variables)
        for name, states in kept.items():
            for variable, state in zip(variables, states, strict=True):
                if (state.shape, state.dtype) != (variable.shape, variable.dtype):
                    raise ValueError(
                        f"The slot {name} of {variable.path} must have dtype {variable.dtype} and "
                        f"shape {variable.shape}; compile the model again after replacing weights. "
                        f"Received: dtype {state.dtype} and shape {state.shape}"
                    )
            memory += states
        for variable in memory:
            # Only contiguous memory can be joined without a copy.
            if not variable.array.flags.carray:
                variable.array = np.array(variable.array, order="C")
        slots = {name: [state.array for state in states] for name, states in kept.items()}
        columns = [[v.array for v in variables], list(gradients)]
        columns += [slots[name] for name in self.slot_names]
        # A block ends where any of the weights, gradients or slots is not contiguous.
        starts = sorted({first for column in columns for first, _ in runs(column)})
        flat = [
            tuple(join(column[first:last]) for column in columns)
            for first, last in itertools.pairwise([*starts, len(variables)])
        ]
        constrained = [v for v in variables if v.constraint is not None]
        where = [(variable, variable.array) for variable in memory]
        return Plan(flat, list(variables), list(gradients), slots, constrained, self, where)

    def _learn(self, plan: Plan) -> None:
        """Perform one step."""
        cls = type(self)
        if (cls.apply, cls.apply_gradients) == (Optimizer.apply, Optimizer.apply_gradients):
            self._step(plan)
        else:  # a subclass overrides apply or apply_gradients, which call `_step`
            gradients = [as_tensor(self.scale_loss(np.array(g))) for g in plan.gradients]
            self.apply_gradients(zip(gradients, plan.variables, strict=True))

    def _step(self, plan: Plan) -> None:
        extras = plan.constrained or any(v.parts for v in plan.variables)
        if self.is_plain and not extras:
            self._change(plan)
        else:
            self._step_with_extras(plan)
        self._iterations.array += 1

    def _step_with_extras(self, plan: Plan) -> None:
        """Accumulate and clip gradients, decay and update weights, average and constrain them."""
        if self.gradient_accumulation_steps is None or self._accumulate(plan):
            self._prepare(plan, self._rate())
            self._change(plan)
        if self.use_ema:
            self._average()
        for variable in plan.constrained:
            variable.array[...] = variable.constraint(variable.array)

    def lower(self, low: Any, plan: Plan, gradients: list[Any], scale: Any = None) -> None:
        """Add the instructions of one step to a program.

        Parameters
        ----------
        low : Lowering
            Program that is lowered.
        plan : Plan
            Weights and their slots.
        gradients : list of (Traced or None)
            Gradient of each weight.
        scale : Traced, optional
            Factor by which the gradients of regularizers are multiplied.

        Raises
        ------
        Untraceable
            If the step must be run in Python.
        """
        cls = type(self)
        methods = ("update_step", "apply", "apply_gradients", "_step")
        if any(getattr(cls, name) is not getattr(Optimizer, name) for name in methods):
            raise Untraceable(f"the optimizer {self.name}")
        require_own(self, "update", "numbers", "changed")
        weights = [low.leaf(v, v.shape) for v in plan.variables]
        for k, (variable, w) in enumerate(zip(plan.variables, weights, strict=True)):
            if variable.regularizer is not None:
                require_own(variable.regularizer, "gradient", "__call__")
                penalty = variable.regularizer.gradient(w)
                penalty = penalty if scale is None else penalty * scale
                gradients[k] = penalty if gradients[k] is None else gradients[k] + penalty
        full, stores = self._traced_sum(low, plan, gradients)
        squares = [self._traced_squares(low, v) for v in plan.variables]
        gradients = self._clipped(gradients, squares, low.add)
        count = len(self.numbers(np.ones(1, np.float32), np.ones(1, np.int64)))
        numbers = [low.number("number", k) for k in range(count)]
        for k, (variable, gradient) in enumerate(zip(plan.variables, gradients, strict=True)):
            low.tag = id(variable)
            before = w = weights[k]
            w = w.copy()
            if self.weight_decay and self._decays(variable):
                w -= w * np.float32(self.weight_decay) * low.number("rate")
            index = self._get_variable_index(variable)
            own = [self._slots[name][index] for name in self.slot_names]
            if full is None and squares[k] is None and config.is_enabled("update"):
                w, slots = self._traced_update(low, variable, w, gradient, own, numbers)
            else:
                given = w, gradient, own, numbers, squares[k]
                w, slots = self._traced_formula(low, *given)
            if full is not None:
                w = np.where(full, w, before)
                held = [low.leaf(slot, slot.shape) for slot, _ in slots]
                slots = [(s, np.where(full, to, h)) for (s, to), h in zip(slots, held, strict=True)]
            slots += stores[k]
            w = self._traced_average(low, variable, w, slots)
            if variable.constraint is not None:
                require_own(variable.constraint, "project", "__call__")
                w = variable.constraint.project(w)
            _set_all(low, [*slots, (variable, w)])
        updated = {*map(id, plan.variables)}
        for k, variable in enumerate(self._trainable):
            if id(variable) not in updated:  # frozen weights also have a moving average
                low.tag, slots = id(variable), []
                if full is not None:
                    slot = self._slots["accumulator"][k]
                    slots.append((slot, np.where(full, 0.0, low.leaf(slot, slot.shape))))
                w = self._traced_average(low, variable, low.leaf(variable, variable.shape), slots)
                _set_all(low, [*slots, (variable, w)])
        low.tag = None

    def _kernel(self) -> Any:
        """Return the name and the constants of the fused update kernel, or None."""

    def _traced_update(
        self, low: Any, variable: Variable, w: Any, gradient: Any, own: Any, numbers: Any
    ) -> tuple[Any, list[Any]]:
        """Return the updated weight, and new values of slots unless a fused kernel updates them."""
        if (kernel := self._kernel()) is None or self._is_scalar_with_extras(variable, w):
            return self._traced_formula(low, w, gradient, own, numbers, None)
        name, *constants = kernel
        given = [*numbers, *map(np.float32, constants)]
        return low.update(name, variable, w, gradient, own, given), []

    def _traced_formula(
        self, low: Any, w: Any, gradient: Any, own: Any, numbers: Any, squares: Any
    ) -> tuple[Any, list[Any]]:
        """Trace `update` as a formula; return the updated weight and the new values of slots."""
        values = [low.leaf(slot, slot.shape).copy() for slot in own]
        self._correct_squares(values, gradient, squares)
        self.update(numbers, w, gradient, *values)
        return w, [*zip(own, values, strict=True)]

    def _is_scalar_with_extras(self, variable: Variable, w: Any) -> bool:
        """Whether a weight is a scalar with operations in addition to the update.

        The fused update does not support weight decay, moving averages and constraints of scalars.
        """
        others = self.use_ema or variable.constraint is not None or w.node.operation != "leaf"
        return variable.size == 1 and bool(others)

    def _traced_squares(self, low: Any, variable: Variable) -> Any:
        """Return the sum of the squared parts of a gradient (see `_squares_of_parts`), or None."""
        parts = low.squares.get(id(variable), [])
        if variable.regularizer is not None or self.gradient_accumulation_steps is not None:
            return None
        return sum(parts[1:], parts[0]) if len(parts) == low.uses.get(id(variable)) else None

    def _traced_sum(self, low: Any, plan: Plan, gradients: list[Any]) -> tuple[Any, list[Any]]:
        """Trace gradient accumulation; return a flag and the new accumulators.

        The flag is true if the accumulation is complete. The entries of `gradients` are replaced
        with the means.
        """
        stores: list[Any] = [[] for _ in gradients]
        count = self.gradient_accumulation_steps
        if count is None:
            return None, stores
        full = low.number("full") != 0
        for k, variable in enumerate(plan.variables):
            low.tag = id(variable)
            slot = self._slots["accumulator"][self._get_variable_index(variable)]
            total = low.add(low.leaf(slot, slot.shape) + gradients[k])
            gradients[k] = low.add(total / np.float32(count))
            stores[k].append((slot, np.where(full, 0.0, total)))
        low.tag = None
        return full, stores

    def _traced_average(self, low: Any, variable: Variable, w: Any, changed: list[Any]) -> Any:
        """Trace the moving average of a weight; return the new value of the weight."""
        if not self.use_ema:
            return w
        slot = self._slots["average"][self._get_variable_index(variable)]
        keep, give = low.number("keep"), low.number("give")
        average = keep * low.leaf(slot, slot.shape) + give * w
        changed.append((slot, average))
        if not self.ema_overwrite_frequency:
            return w
        return np.where(low.number("replace") != 0, average, w)

    def columns(self, names: list[Any], rates: Array) -> Array:
        """Compute the per-step scalars that `lower` uses, for the next steps.

        Parameters
        ----------
        names : list of tuple
            Names of the scalars.
        rates : ndarray of float32, shape (S,)
            Learning rate of each step.

        Returns
        -------
        ndarray of float32, shape (S, len(names))
            One row for each step.
        """
        is_full, steps = self._ahead(len(rates))
        own: Any = self.numbers(rates, steps) if is_full.all() else None
        if own is None:
            own = np.zeros((len(self.numbers(rates[:1], steps[:1])), len(rates)))
            if is_full.any():
                own[:, is_full] = self.numbers(rates[is_full], steps[is_full])
        table = np.zeros((len(rates), len(names)), np.float32)
        for k, (kind, *which) in enumerate(names):
            if kind == "number":
                table[:, k] = own[which[0]]
            elif kind == "rate":
                table[:, k] = rates
            elif kind == "full":
                table[:, k] = is_full
            elif kind == "replace":
                table[:, k] = steps % (self.ema_overwrite_frequency or 1) == 0
            else:
                keep = np.where(steps > 1, self.ema_momentum, 0.0)
                table[:, k] = keep if kind == "keep" else 1 - keep
        return table

    def _ahead(self, steps: int) -> tuple[Array, Array]:
        """Return which of the next steps update the weights, and the update number of each step."""
        numbers = int(self._iterations.array) + 1 + np.arange(steps)
        every = self.gradient_accumulation_steps
        if every is None:
            return np.full(steps, True), numbers
        return numbers % every == 0, (numbers - 1) // every + 1

    def count(self, steps: int) -> None:
        """Add the steps that a program has executed to the step counter.

        Parameters
        ----------
        steps : int
            Number of steps.
        """
        if type(self).changed is not Optimizer.changed:
            is_full, numbers = self._ahead(steps)
            if is_full.any():
                self.changed(numbers[is_full])
        self._iterations.array += steps

    @property
    def is_plain(self) -> bool:
        """Whether a step consists only of `update`."""
        clips = (self.clipvalue, self.clipnorm, self.global_clipnorm)
        others = (self.weight_decay, self.use_ema, self.gradient_accumulation_steps)
        return not any((*clips, *others))

    def learning_rates(self, steps: int) -> tuple[Array, BaseException | None]:
        """Compute the learning rates of the next steps, up to the first error of a schedule.

        Parameters
        ----------
        steps : int
            Number of steps.

        Returns
        -------
        ndarray of float32, shape (steps,)
            Learning rates; fewer if a schedule fails or returns an invalid learning rate.
        BaseException or None
            Error to raise after these steps, if any.

        Raises
        ------
        ValueError
            If the first learning rate is invalid.
        """
        rates = [self._rate()]  # raises an error if it is invalid
        if self._schedule is None:
            return np.full(steps, rates[0], np.float32), None
        for ahead in range(1, steps):
            try:
                rates.append(self._rate(ahead))
            except BaseException as error:
                return np.array(rates, np.float32), error
        return np.array(rates, np.float32), None

    def _rate(self, ahead: int = 0) -> Any:
        """Return the learning rate of the next step, or of a later one; raise if it is invalid."""
        given: Any = self._learning_rate.array
        if self._schedule is None and 0 <= given < np.inf:
            return given[()]
        if self._schedule is not None:
            given = self._schedule(self._iterations.array + ahead)
        return self._valid_rate(given, ahead)

    def _valid_rate(self, given: Any, ahead: int) -> Any:
        """Return a learning rate in float32; raise an error unless it is finite and >= 0."""
        array = np.asarray(given)
        is_number = array.size == 1 and array.dtype.kind in "biuf"
        with np.errstate(over="ignore"):
            rate = np.float32(array.item()) if is_number else np.float32(np.nan)
        if not 0 <= rate < np.inf:
            shown = array.item() if is_number else checks.shorten(given)
            source = "" if self._schedule is None else f" from {type(self._schedule).__name__}"
            raise ValueError(
                "learning_rate must be a finite number >= 0 in every step. Received: "
                f"learning_rate={shown}{source} for step {int(self._iterations) + ahead}"
            )
        return rate

    def _change(self, plan: Plan) -> None:
        """Update the weights with their gradients."""
        rate = self._rate()
        if type(self).update_step is Optimizer.update_step:
            every = self.gradient_accumulation_steps or 1
            steps = np.array([self._iterations.array // every + 1])
            for flat in plan.flat:
                rates = np.array([rate], flat[0].dtype)
                self.update([column[0] for column in self.numbers(rates, steps)], *flat)
            self.changed(steps)
        else:  # pass copies, because the gradient buffers are reused
            for variable, gradient in zip(plan.variables, plan.gradients, strict=True):
                self.update_step(as_tensor(gradient.copy()), variable, as_tensor(rate))

    def numbers(self, rates: Array, steps: Array) -> tuple[Array, ...]:
        """Compute the scalars that `update` uses, for several steps in one call.

        Parameters
        ----------
        rates : ndarray, shape (S,)
            Learning rate of each step, in the data type of the weights.
        steps : ndarray of int, shape (S,)
            Number of each step, where the first step of training is 1.

        Returns
        -------
        tuple of ndarray, shape (S,)
            Scalars of each step; by default, only the learning rate.
        """
        return (rates,)

    def changed(self, steps: Array) -> None:
        """Update the state after steps that changed the weights; by default, do nothing.

        Parameters
        ----------
        steps : ndarray of int
            Numbers of the steps.
        """

    def _prepare(self, plan: Plan, rate: Any) -> None:
        """Clip gradients, decay weights, and correct the second moment estimates."""
        squares = self._squares_of_parts(plan)
        clipped = self._clipped(plan.gradients, squares)
        for gradient, new in zip(plan.gradients, clipped, strict=True):
            if new is not gradient:
                gradient[...] = new
        if self.weight_decay:
            for variable in plan.variables:
                if self._decays(variable):
                    one = variable.array.dtype.type
                    variable.array[...] -= variable.array * one(self.weight_decay) * one(rate)
        if type(self).update_step is Optimizer.update_step:
            for k, (gradient, own) in enumerate(zip(plan.gradients, squares, strict=True)):
                slots = [plan.slots[name][k] for name in self.slot_names]
                self._correct_squares(slots, gradient, own)

    def _squares_of_parts(self, plan: Plan) -> list[Array | None]:
        """Return the sum of the squared parts of each gradient, or None if it has no parts.

        If a batch selects a row of an embedding several times, its gradient is a sum of parts. With
        TensorFlow, Keras' optimizers square each part instead of the sum, unless the gradient has
        other terms (for example, from a regularizer).
        """
        found: list[Array | None] = []
        for variable, gradient in zip(plan.variables, plan.gradients, strict=True):
            parts, variable.parts = variable.parts, ()
            found.append(None)
            for first in reversed(range(len(parts))):
                total = sum(part for part, _ in parts[first:])
                if self.gradient_accumulation_steps is None and np.array_equal(total, gradient):
                    found[-1] = np.asarray(sum(squares for _, squares in parts[first:]))
                    break
        return found

    def _correct_squares(self, slots: Any, gradient: Any, squares: Any) -> None:
        """Correct the slot of squared gradients before `update` adds the squared gradient.

        After `update`, the slot has accumulated the sum of the squared parts of the gradient
        instead of the squared sum.
        """
        if squares is None or not self.squares or self.global_clipnorm or self.clipvalue:
            return
        name, rate = self.squares
        keep = getattr(self, rate) if rate else 0.5
        if keep:
            slot = slots[self.slot_names.index(name)]
            slot += (squares - np.square(gradient)) * ((1 - keep) / keep)

    def _accumulate(self, plan: Plan) -> bool:
        """Accumulate gradients, and return whether the accumulation is complete.

        After the last mini-batch of a cycle, the gradients are replaced with the means.
        """
        count = self.gradient_accumulation_steps or 1
        full = (int(self._iterations) + 1) % count == 0
        for kept, gradient in zip(plan.slots["accumulator"], plan.gradients, strict=True):
            kept += gradient
            if full:
                np.divide(kept, count, out=gradient)
        if full:
            for accumulator in self._slots["accumulator"]:
                accumulator.array.fill(0)
        return full

    def _clipped(self, gradients: list[Any], squares: list[Any], record: Any = np.asarray) -> Any:
        """Clip gradients. When tracing, `record` stores a value that is used several times."""

        def square_sum(k: int) -> Any:
            return np.sum(np.square(gradients[k]) if squares[k] is None else squares[k])

        if self.clipvalue is not None:
            return [np.clip(g, -self.clipvalue, self.clipvalue) for g in gradients]
        if self.clipnorm is not None:
            scales = []
            for k, gradient in enumerate(gradients):
                limit = gradient.dtype.type(self.clipnorm)
                scales.append(limit / np.maximum(np.sqrt(square_sum(k)), limit))
            for k, scale in enumerate(scales):
                squares[k] = None if squares[k] is None else squares[k] * (scale * scale)
            return [g * scale for g, scale in zip(gradients, scales, strict=True)]
        if self.global_clipnorm is not None and gradients:
            limit = gradients[0].dtype.type(self.global_clipnorm)
            total: Any = sum(record(square_sum(k)) for k in range(len(gradients)))
            with np.errstate(divide="ignore"):
                scale = record(np.minimum(1 / np.sqrt(total), 1 / limit))
            return [g * (limit * scale) for g in gradients]
        return gradients

    def _average(self) -> None:
        """Update the moving average of the weights; periodically overwrite the weights with it."""
        done = int(self.iterations)
        replace = self.ema_overwrite_frequency and (done + 1) % self.ema_overwrite_frequency == 0
        for variable, slot in zip(self._trainable, self._slots["average"], strict=True):
            average, keep = slot.array, self.ema_momentum if done else 0.0
            average[...] = keep * average + (1 - keep) * variable.array
            if replace:
                variable.array[...] = average

    def finalize_variable_values(self, variables: Iterable[Variable]) -> None:
        """Overwrite the weights with their moving average, at the end of training.

        Parameters
        ----------
        variables : iterable of Variable
            Weights; modified in place if `use_ema` is True.
        """
        if self.use_ema and self.built:
            averages = dict(zip(map(id, self._trainable), self._slots["average"], strict=True))
            for variable in variables:
                if id(variable) in averages:
                    variable.array[...] = averages[id(variable)].array

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights with their gradient; defined by each built-in optimizer.

        Parameters
        ----------
        numbers : sequence of number
            Scalars of this step, from the arrays that the method `numbers` returns.
        w : ndarray, shape (P,)
            Weights; modified in place.
        d_w : ndarray, shape (P,)
            Gradient with respect to the weights.
        *slots : ndarray, shape (P,)
            Slots, in the order of `slot_names`; modified in place.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define update_step(gradient, variable, learning_rate). "
            "Received: a class without update_step"
        )

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight with its gradient; defined by custom optimizers.

        Parameters
        ----------
        gradient : Tensor
            Gradient of the loss with respect to the weight, after clipping.
        variable : Variable
            Weight; modified in place, for example by `assign_sub`.
        learning_rate : Tensor
            Learning rate of this step.
        """
        index, d_w = self._get_variable_index(variable), np.asarray(gradient, variable.dtype)
        slots = [self._slots[name][index] for name in self.slot_names]
        flat = [array.reshape(-1) for array in (variable.array, d_w, *(s.array for s in slots))]
        rates = np.full(1, learning_rate, flat[0].dtype)
        steps = np.array([int(self.iterations.array) + 1])
        self.update([column[0] for column in self.numbers(rates, steps)], *flat)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state of a copy, with its slots in flat vectors."""
        self.__dict__.update(state)
        for slots in self._slots.values():
            pack(slots)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments.

        Returns
        -------
        dict
            Configuration, from which `from_config` builds the same optimizer.
        """
        rate: Any = float(self._learning_rate)
        if self._schedule is not None:
            rate = schedules.serialize(self._schedule)
        config = {key: getattr(self, key) for key in (*_COMMON, *self._arguments)}
        return {"name": self.name, "learning_rate": rate, **config}


def _set_all(low: Any, changed: list[tuple[Variable, Any]]) -> None:
    """Store new values of Variables, after all instructions that read the old values."""
    recorded = [(to, low.add(value)) for to, value in changed]
    for to, value in recorded:
        low.store(to, value)


@declared()
class _BuiltIn(Optimizer):
    """Base class of the built-in optimizers; declares the arguments of `Optimizer`."""

    learning_rate: Any = argument(0.001)
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
