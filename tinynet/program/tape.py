"""Gradient tapes: operations are recorded when computed and differentiated in reverse order.

A program is traced once and run many times; a tape holds the values of a single computation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinynet.program.differentiate import reverse
from tinynet.program.nested import flattened, mapped
from tinynet.program.operations import TAPES, Operation
from tinynet.program.tensor import Array, Tensor, as_tensor, to_array
from tinynet.program.trace import Instruction


def _backward(call: Instruction, d_y: Any, needs: list[bool]) -> Sequence[Any]:
    y = np.asarray(call.outputs[0])
    found = call.operation.gradients(d_y, y, call.arrays, call.options, needs, call.work, None)
    if call.work is not None:  # the next call reuses its buffers
        found = [d if d is None else np.array(d) for d in found]
    return [_in_dtype(d, i) for d, i in zip(found, call.inputs, strict=True)]


def _in_dtype(d: Any, x: Any) -> Any:
    """Convert a gradient to the dtype of its input, which the operation may have converted."""
    if d is None or not hasattr(x, "dtype") or d.dtype == x.dtype:
        return d
    return d.astype(x.dtype) if np.dtype(x.dtype).kind == "f" else None


def _refuse(d_y: Array, y: Array) -> Any:
    raise NotImplementedError(
        "gradient must not be applied to results of another gradient: second derivatives, as "
        "in a gradient penalty, are not supported. Received: the result of a nested GradientTape"
    )


# Marks a result of `GradientTape.gradient`, which cannot be differentiated again.
_GRADIENT = Operation("gradient", lambda x: x, _refuse)


class GradientTape:
    """Record operations for automatic differentiation.

    Inside ``with GradientTape() as tape:``, every operation on a trainable `Variable`, or on a
    tensor that is watched, is recorded; `gradient` then applies the chain rule in reverse order.

    Parameters
    ----------
    persistent : bool
        If True, `gradient` can be called several times.
    watch_accessed_variables : bool
        If False, only operations on watched tensors and variables are recorded.

    Examples
    --------
    >>> from tinynet import Variable
    >>> w = Variable(3.0, dtype="float32")
    >>> with GradientTape() as tape:
    ...     loss = w * w + 2.0 * w
    >>> float(tape.gradient(loss, w))  # 2 w + 2
    8.0
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent, self._watches_variables = persistent, watch_accessed_variables
        self.instructions: list[Instruction] = []
        # References to all tracked objects, so that their ids stay unique.
        self._tracked: dict[int, Any] = {}
        self._used = False
        self._tokens: list[Any] = []

    def __enter__(self) -> GradientTape:
        self._tokens.append(TAPES.set((*TAPES.get(), self)))
        return self

    def __exit__(self, *exception: Any) -> None:
        TAPES.reset(self._tokens.pop())

    def watch(self, tensor: Any) -> None:
        """Record the operations on a tensor.

        Parameters
        ----------
        tensor : Tensor, Variable, or nested list or dict of tensors and Variables
            Tensors to watch.
        """
        for item in flattened(tensor):
            if not isinstance(item, Tensor) and not hasattr(item, "assign"):
                raise TypeError(
                    "tensor must be a Tensor or a Variable; convert it with "
                    f"ops.convert_to_tensor first. Received: {type(item).__name__}"
                )
            self._tracked[id(item)] = item

    def record(self, call: Instruction) -> None:
        """Record a computed call of an operation if one of its inputs is tracked.

        Parameters
        ----------
        call : Instruction
            Call, with the values of its inputs.
        """
        if call.operation.backward is None:
            return
        if self._watches_variables:
            self._tracked.update({id(i): i for i in call.inputs if getattr(i, "trainable", False)})
        if not any(id(i) in self._tracked for i in call.inputs):
            return
        # A Variable may change before the gradient is computed.
        pairs = zip(call.inputs, call.arrays, strict=True)
        call.arrays = [a.copy() if hasattr(i, "assign") else a for i, a in pairs]
        self._tracked[id(call.outputs[0])] = call.outputs[0]
        self.instructions.append(call)

    def watched_variables(self) -> tuple[Any, ...]:
        """Return the variables that were used, in order of their first use.

        Returns
        -------
        tuple of Variable
            Variables.
        """
        return tuple(v for v in self._tracked.values() if hasattr(v, "assign"))

    def reset(self) -> None:
        """Clear all recorded operations and watched tensors."""
        self.instructions.clear()
        self._tracked.clear()

    @contextlib.contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Suspend recording while the context manager is active."""
        token = TAPES.set(tuple(t for t in TAPES.get() if t is not self))
        try:
            yield
        finally:
            TAPES.reset(token)

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: str = "none",
    ) -> Any:
        """Compute the gradient of a target with respect to sources.

        Parameters
        ----------
        target : Tensor, or nested list or dict of tensors
            Tensors to differentiate; the gradient is that of the sum of all their elements.
        sources : Tensor, Variable, or nested list or dict of tensors and Variables
            Values to differentiate with respect to.
        output_gradients : array_like or list of array_like, optional
            Upstream gradients of `target`; 1 by default.
        unconnected_gradients : {"none", "zero"}
            Result for a source that `target` does not depend on.

        Returns
        -------
        Tensor or None, or nested list or dict of tensors
            Gradients, structured as `sources`; None for a source that `target` does not depend on,
            unless `unconnected_gradients` is "zero".

        Raises
        ------
        RuntimeError
            If the tape is not persistent and `gradient` was called before.
        """
        if self._used and not self._persistent:
            raise RuntimeError(
                "gradient must be called only once unless the tape is persistent; create it with "
                "GradientTape(persistent=True). Received: a second call"
            )
        unconnected = str(getattr(unconnected_gradients, "value", unconnected_gradients)).lower()
        if unconnected not in ("none", "zero"):
            raise ValueError(
                "unconnected_gradients must be 'none' or 'zero'. "
                f"Received: unconnected_gradients={unconnected_gradients!r}"
            )
        self._used = True
        targets = flattened(target)
        nested = isinstance(target, list | tuple | dict)
        upstream = flattened(output_gradients) if nested else [output_gradients]
        seeds: dict[int, Array] = {}
        for n, t in enumerate(targets):
            t = getattr(t, "source", t)
            value = np.asarray(to_array(t))
            d = np.ones_like(value)
            if output_gradients is not None and upstream[n] is not None:
                d = np.broadcast_to(np.asarray(to_array(upstream[n]), value.dtype), value.shape)
            seeds[id(t)] = seeds[id(t)] + d if id(t) in seeds else d
        wanted = [getattr(s, "source", s) for s in flattened(sources)]
        known = [id(source) in self._tracked for source in wanted]
        gradients = reverse(self.instructions, seeds, wanted, _backward, np.add)
        found = iter([g if k else None for g, k in zip(gradients, known, strict=True)])
        inputs = [*self._tracked.values()]
        if not self._persistent:
            self.reset()

        def result(source: Any) -> Any:
            d = next(found)
            if d is None:
                return as_tensor(np.zeros_like(to_array(source))) if unconnected == "zero" else None
            return self._once(as_tensor(d), inputs)

        return mapped(result, sources)

    def _once(self, gradient: Tensor, inputs: list[Any]) -> Tensor:
        """Make active tapes raise an error if they differentiate this gradient again."""
        for tape in TAPES.get():
            if any(id(i) in tape._tracked for i in inputs):
                tape._tracked[id(gradient)] = gradient
                tape.instructions.append(Instruction(_GRADIENT, inputs, {}, [gradient]))
        return gradient


def pull_back(function: Callable[[Any], Any], x: Array, d_y: Array) -> Array:
    """Compute the vector-Jacobian product of a function of one tensor, composed of operations."""
    tensor = as_tensor(x)
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tensor)
        y = function(tensor)
    gradient = tape.gradient(y, tensor, d_y)
    if gradient is None:
        name = getattr(function, "__name__", type(function).__name__)
        raise ValueError(
            f"{name} must compute its result from its argument with differentiable operations: "
            "operators, functions of tinynet.ops, or NumPy functions of the tensor itself. "
            f"Received: a result of type {type(y).__name__}, which does not depend on the argument"
        )
    return np.asarray(gradient)


def value_and_gradients(function: Callable[..., Any], variables: Any) -> tuple[Any, Any]:
    """Compute the value of a function and its gradients with respect to variables.

    Parameters
    ----------
    function : callable
        Function without arguments that returns a scalar computed with differentiable operations.
    variables : Variable, or nested list or dict of Variables
        Variables to differentiate with respect to.

    Returns
    -------
    value : Tensor
        Value of the function.
    gradients : Tensor, or nested list or dict of tensors
        Gradients, structured as `variables`.

    Raises
    ------
    ValueError
        If the value is not a scalar, or does not depend on one of the variables.

    Examples
    --------
    The gradient of ``w_1**2 + w_2**2`` is ``2 w``:

    >>> from tinynet import Variable
    >>> w = Variable([3.0, 4.0], dtype="float32")
    >>> value, gradient = value_and_gradients(lambda: (w**2).sum(), w)
    >>> float(value), gradient
    (25.0, Tensor([6., 8.], dtype=float32))
    """
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        value = function()
    if np.size(value) != 1:
        raise ValueError(f"function must return a scalar. Received: shape {np.shape(value)}")
    gradients = tape.gradient(value, variables)
    for variable, gradient in zip(flattened(variables), flattened(gradients), strict=True):
        if gradient is None:
            raise ValueError(
                f"function must depend on every variable. Received: {variable.path} unused"
            )
    return value, gradients
