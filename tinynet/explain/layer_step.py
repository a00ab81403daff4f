"""Inputs, outputs and gradients of each layer in one training step."""

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
    """Call of a layer in a training step.

    Parameters
    ----------
    name : str
        Name of the layer; for a nested layer, its path, such as ``"model/layer"``.
    layer : Layer
        Layer that is called.
    x, y : ndarray, or nested list or dict of ndarray
        Input and output.
    d_y, d_x : ndarray or None, or nested list or dict of them
        Gradients of the loss with respect to the output and the input; None if not computed.
    logits : bool
        If True, `y` is the pre-activation, because the loss applies the activation.
    weights : list of str
        Names of the layer's weights, such as ``"dense/kernel"``. The weights of a shared layer
        are listed with its first call.
    is_first : bool
        If True, the input of the layer is an input of the model.

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
        """Class name of the layer, followed by the activation of a dense layer."""
        return kind_of(self.layer)

    @property
    def head(self) -> str:
        """Label of the output in tables."""
        return "logits" if self.logits else "output"

    def named(self, name: str, value: Any) -> list[tuple[str, Array | None]]:
        """Return the arrays of an input or output with labels; several arrays are numbered.

        Parameters
        ----------
        name : str
            Label.
        value : ndarray or None, or nested list or dict of them
            Input or output.

        Returns
        -------
        list of (str, ndarray or None)
            Labels and arrays.
        """
        leaves = flattened(value)
        return [(f"{name} {k}" if len(leaves) > 1 else name, a) for k, a in enumerate(leaves, 1)]


def kind_of(layer: Any) -> str:
    """Return the class name of a layer, followed by the activation of a dense layer."""
    activation = getattr(layer, "activation", activations.linear)
    plain = activation is activations.linear or type(layer) is not Dense
    return type(layer).__name__ + ("" if plain else f", {activation.__name__}")


class RecordedStep(OneStep):
    """Training step that keeps a copy of every register; running it updates the model."""

    def __init__(self, model: Any, *batch: Any) -> None:
        super().__init__(model, *batch)
        #: Values of registers, by the ``id`` of their symbolic tensors.
        self.registers: dict[int, Array] = {}

    def record(self, run: Iterable[Any]) -> None:
        """Run the instructions of `forward` or `backward`, and copy their results."""
        for instruction in run:
            for symbol in (*self.program.program.inputs, *instruction.outputs):
                if symbol is not None and id(symbol) not in self.registers:
                    self.registers[id(symbol)] = np.array(self.value(symbol))

    def gradients_of(self) -> list[Instruction]:
        """Return the instructions that compute gradients of operations."""
        return [n for n in self.program.program.backward if isinstance(n.operation, Backward)]

    def layers(self) -> list[LayerStep]:
        """Return inputs, outputs and gradients of each layer, in the order of the calls."""
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
        """Yield the calls of layers that compute something outside their nested layers.

        A layer follows its nested layers.
        """
        *calls, model = self.calls
        for k, call in enumerate(calls):
            inside = any(c.path.startswith(f"{call.path}/") for c in calls[:k])
            if not inside or any(n.scope == call.path for n in call.instructions):
                yield call
        if any(weight.path.startswith(f"{model.layer.name}/") for weight in model.layer.weights):
            yield model  # a subclassed model with weights outside its layers


def _is_tensor(value: Any) -> bool:
    return isinstance(value, SymbolicTensor)
