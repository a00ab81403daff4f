"""Inputs, outputs and gradients of each layer in one training step, read from the registers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinynet import activations
from tinynet.layers import Dense
from tinynet.program.nested import flattened, mapped
from tinynet.program.program import Backward
from tinynet.program.symbols import SymbolicTensor
from tinynet.program.trace import Instruction
from tinynet.program.variable import Array
from tinynet.training.one_step import OneStep, relative


@dataclass
class LayerStep:
    """One call of a layer in a training step.

    Parameters
    ----------
    name : str
        The layer's name; of a layer inside another one, ``"model/layer"``.
    layer : Layer
        The layer.
    x, y : ndarray, or nested list or dict of them
        Input and output.
    d_y, d_x : ndarray or None, or nested list or dict of them
        Gradients of the loss with respect to these; None if they are not computed.
    logits : bool
        If True, `y` is the pre-activation, since the loss applies the activation.
    weights : list of str
        Names of its weights, ``"layer/weight"``; of a shared layer, at its first call.
    is_first : bool
        If True, its input is an input of the model.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(2, "relu", name="hidden")])
    >>> model.compile("sgd", "mse")
    >>> first = keras.explain.step(model, [[1.0, 2.0]], [[0.0, 1.0]]).layers[0]
    >>> first.name, first.kind, first.x.shape, first.weights
    ('hidden', 'Dense, relu', (1, 2), ['hidden/kernel', 'hidden/bias'])
    """

    name: str
    layer: Any
    x: Any
    y: Any
    d_y: Any = None
    d_x: Any = None
    logits: bool = False
    weights: list[str] = field(default_factory=list)
    is_first: bool = False

    @property
    def kind(self) -> str:
        """The layer's class, with its activation where it has one."""
        return kind_of(self.layer)

    @property
    def head(self) -> str:
        """Name of the output in tables."""
        return "logits" if self.logits else "output"

    def named(self, name: str, value: Any) -> list[tuple[str, Array | None]]:
        """Return the arrays of an input or output with their names, numbered if there are several.

        Parameters
        ----------
        name : str
            The name.
        value : ndarray or None, or nested list or dict of them
            The arrays.

        Returns
        -------
        list of (str, ndarray or None)
            Names and arrays.
        """
        leaves = flattened(value)
        return [(f"{name} {k}" if len(leaves) > 1 else name, a) for k, a in enumerate(leaves, 1)]


def kind_of(layer: Any) -> str:
    """Return a layer's class, with its activation where it has one.

    Parameters
    ----------
    layer : Layer
        The layer.

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> kind_of(Dense(2, "relu"))
    'Dense, relu'
    """
    activation = getattr(layer, "activation", activations.linear)
    plain = activation is activations.linear or type(layer) is not Dense
    return type(layer).__name__ + ("" if plain else f", {activation.__name__}")


class RecordedStep(OneStep):
    """A step that keeps a copy of every register.

    Parameters
    ----------
    model : Model
        A compiled model; a step changes it.
    *batch : array_like
        Inputs, targets, sample weights and class weights.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones", name="d")])
    >>> model.compile("sgd", "mse")
    >>> step = RecordedStep(model, [[3.0]], [[1.0]])
    >>> step.record(step.forward())
    >>> step.record(step.backward())
    >>> [(layer.name, layer.x, layer.y) for layer in step.layers()]
    [('d', array([[3.]], dtype=float32), array([[3.]], dtype=float32))]
    """

    def __init__(self, model: Any, *batch: Any) -> None:
        super().__init__(model, *batch)
        #: Values by the ``id`` of their symbolic tensors.
        self.registers: dict[int, Array] = {}

    def record(self, run: Iterable[Any]) -> None:
        """Run instructions, and copy their results.

        Parameters
        ----------
        run : iterable of Instruction
            Result of `forward` or `backward`.
        """
        for instruction in run:
            for symbol in (*self.program.program.inputs, *instruction.outputs):
                if symbol is not None and id(symbol) not in self.registers:
                    self.registers[id(symbol)] = np.array(self.value(symbol))

    def gradients_of(self) -> list[Instruction]:
        """Return the instructions that compute gradients of other instructions."""
        return [n for n in self.program.program.backward if isinstance(n.operation, Backward)]

    def layers(self) -> list[LayerStep]:
        """Return inputs, outputs and gradients of each layer.

        Returns
        -------
        list of LayerStep
            In the order of the calls.
        """
        backward = self.gradients_of()
        upstream = {id(n.operation.forward.outputs[0]): n.inputs[0] for n in backward}
        names, seen, found = self.names(), set(), []

        def value(symbol: Any) -> Any:
            return self.registers.get(id(symbol))

        def d_output(symbol: Any) -> Any:
            return value(upstream.get(id(symbol)))

        for call in self.computing_calls():
            args, kwargs = call.inputs
            given = [a for a in (*args, *kwargs.values()) if any(map(_is_tensor, flattened(a)))]
            x, y = given[0] if len(given) == 1 else given, call.outputs
            activation, before = getattr(y, "computed_by", (None, None))
            logits = activation is not None and id(y) not in upstream and id(before) in upstream
            y = before if logits else y
            inside = set(map(id, call.instructions))
            own_backward = [n for n in backward if id(n.operation.forward) in inside]

            def d_input(symbol: Any, y: Any = y, own_backward: list[Any] = own_backward) -> Any:
                parts = [
                    value(d)
                    for n in own_backward
                    for i, d in zip(n.operation.forward.inputs, n.outputs, strict=True)
                    if i is symbol and d is not None
                ]
                total = sum(parts[1:], *parts[:1]) if parts else None
                return d_output(y) if symbol is y else total

            name = relative(call.path)
            own = [names[id(w)] for w in call.layer.weights]
            own = [path for path in own if path.rpartition("/")[0] == name and path not in seen]
            seen.update(own)
            arrays = mapped(value, x), mapped(value, y), mapped(d_output, y), mapped(d_input, x)
            is_first = any(s is entry for s in flattened(x) for entry in self.program.inputs)
            found.append(LayerStep(name, call.layer, *arrays, logits, own, is_first))
        return found

    def computing_calls(self) -> Iterator[Any]:
        """Yield the calls of layers that compute something themselves, not only by layers inside.

        Yields
        ------
        LayerCalled
            In order; a layer that has layers inside comes after them.
        """
        *calls, model = self.calls
        for k, call in enumerate(calls):
            inside = any(c.path.startswith(f"{call.path}/") for c in calls[:k])
            if not inside or any(n.scope == call.path for n in call.instructions):
                yield call
        if any(weight.path.startswith(f"{model.layer.name}/") for weight in model.layer.weights):
            yield model  # a subclass that has weights itself


def _is_tensor(value: Any) -> bool:
    return isinstance(value, SymbolicTensor)
