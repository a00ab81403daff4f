"""The way out to every other runtime: a trained net as a file of ONNX, the exchange format.

The file holds the net as it predicts: weights and layers, no dropout, no optimizer, no loss. The
batch size is left open. Writing it needs the package onnx (``pip install onnx``). Any runtime of
ONNX can run it, in any language and on any device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import checks, layers
from tinynet.activations import Activation
from tinynet.files import write_atomically
from tinynet.program.symbols import Shape
from tinynet.sequential import Model
from tinynet.variable import Array

__all__ = ["OPSET", "export_onnx"]

#: The version of ONNX' operators that files use, and the one of the format that belongs to it.
OPSET, _FORMAT = 17, 8


def export_onnx(model: Model, filepath: Any) -> None:
    """Write a model, as it predicts, to an ONNX file.

    The file is checked, written beside its place and moved there when complete. Its one input
    is called ``"input"``, its output ``"output"``. Both are float32, and so is all between them,
    for not every runtime has every operator in float64.

    Parameters
    ----------
    model : Model
        The model, built, of tinynet's own layers and activations.
    filepath : str or Path
        Where; the name should end in ``.onnx``.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    ValueError
        If the model is not built, or has a layer or an activation of your own.
    OSError
        If it can't be written; an older file is still there then.

    Examples
    --------
    >>> import os, tempfile, tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(model, f"{folder}/net.onnx")
    ...     os.listdir(folder)
    ['net.onnx']
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "export_onnx needs the package onnx: pip install onnx. Received: onnx is not installed"
        ) from error
    if not model.built:
        raise ValueError(
            f"Build {model.name} before exporting it: call build(input_shape). "
            "Received: built=False"
        )
    shape, out_shape = model.input_shape, model.output_shape
    graph = _Graph()
    output = graph.layer(model, "input", shape)
    graph.node("Identity", [output], name="output")
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", *sizes[1:]])
        for name, sizes in (("input", shape), ("output", out_shape))
    ]
    made = onnx.helper.make_graph(graph.nodes, model.name, ends[:1], ends[1:], graph.constants)
    opset = onnx.helper.make_opsetid("", OPSET)
    file = onnx.helper.make_model(
        made, opset_imports=[opset], ir_version=_FORMAT, producer_name="tinynet"
    )
    onnx.checker.check_model(file, full_check=True)
    contents = file.SerializeToString()
    write_atomically(Path(checks.path("filepath", filepath)), lambda stream: stream.write(contents))


class _Graph:
    """Nodes and constants, as they come."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, op: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        """Add an operation; return the name of its result."""
        import onnx

        name = name or f"{op}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add numbers; return their name."""
        import onnx

        name = f"constant_{len(self.constants)}"
        array = onnx.numpy_helper.from_array(np.asarray(value, dtype), name)
        self.constants.append(array)
        return name

    def with_constant(self, op: str, x: str, value: Any) -> str:
        """Add an operation of something and numbers."""
        return self.node(op, [x, self.constant(value)])

    # ------------------------------------------------------------ layers

    def layer(self, layer: Any, x: str, shape: Shape) -> str:
        """Add a layer, or the layers of a model."""
        if isinstance(layer, Model):
            for inner in layer._layers:
                x = self.layer(inner, x, shape)
                shape = inner.compute_output_shape(shape)
            return x
        write = _LAYERS.get(type(layer))
        if write is None:
            raise ValueError(
                f"Only tinynet's own layers can be exported, not {layer.name}. "
                f"Received: a layer of type {type(layer).__name__}"
            )
        return write(self, layer, x, shape)

    def same(self, layer: Any, x: str, shape: Shape) -> str:
        """Add nothing: the layer acts in training only."""
        return x

    def dense(self, layer: Any, x: str, shape: Shape) -> str:
        """Add ``activation(x @ kernel + bias)``."""
        x = self.with_constant("MatMul", x, layer.kernel.array)
        if layer.bias is not None:
            x = self.with_constant("Add", x, layer.bias.array)
        return self.activation(layer.activation, x)

    def reshape(self, layer: Any, x: str, shape: Shape) -> str:
        """Add another shape for every example."""
        sizes = layer.compute_output_shape(shape)[1:]
        if None in sizes:  # only `Flatten` takes an open shape
            return self.node("Flatten", [x], axis=1)
        return self.node("Reshape", [x, self.constant([-1, *sizes], np.int64)])

    def rescaling(self, layer: Any, x: str, shape: Shape) -> str:
        """Add ``x * scale + offset``."""
        return self.with_constant("Add", self.with_constant("Mul", x, layer.scale), layer.offset)

    def normalization(self, layer: Any, x: str, shape: Shape) -> str:
        """Add the shift and the scale that the running means come to."""
        mean, variance = (
            w.array.astype(np.float64) for w in (layer.moving_mean, layer.moving_variance)
        )
        scale: Array = 1 / np.sqrt(variance + layer.epsilon)
        if layer.gamma is not None:
            scale = scale * layer.gamma.array
        along = [1] * len(shape)
        along[layer.axis] = -1
        # The mean first, as the layer itself: else a large one would eat up the digits.
        x = self.with_constant("Sub", x, mean.reshape(along))
        x = self.with_constant("Mul", x, scale.reshape(along))
        return (
            x
            if layer.beta is None
            else self.with_constant("Add", x, layer.beta.array.reshape(along))
        )

    def applied(self, layer: Any, x: str, shape: Shape) -> str:
        """Add a layer that only applies an activation."""
        return self.activation(layer.activation, x)

    def softmax(self, layer: Any, x: str, shape: Shape) -> str:
        """Add probabilities along an axis."""
        return self.node("Softmax", [x], axis=layer.axis)

    # ------------------------------------------------------------ activations

    def activation(self, activation: Activation, x: str) -> str:
        """Add an activation."""
        write = _ACTIVATIONS.get(activation.__name__)
        own = type(activation).__module__ == Activation.__module__
        if write is None or not own or hasattr(activation, "function"):
            raise ValueError(
                f"Only tinynet's own activations can be exported. Received: {activation!r}"
            )
        return write(self, x, activation.options)

    def rectifier(self, x: str, options: dict[str, Any]) -> str:
        """Add ``max(x, 0)`` with Keras' options."""
        slope, top, threshold = (
            options[name] for name in ("negative_slope", "max_value", "threshold")
        )
        if not threshold and top is None:
            return self.node("LeakyRelu", [x], alpha=slope) if slope else self.node("Relu", [x])
        above = x
        if top is not None:
            above = self.with_constant("Max", self.with_constant("Min", x, top), 0)
        below = self.with_constant("Mul", self.with_constant("Sub", x, threshold), slope)
        return self.node("Where", [self.with_constant("Greater", x, threshold), above, below])

    def selu(self, x: str, options: dict[str, Any]) -> str:
        """Add `elu`, scaled."""
        return self.node("Selu", [x])

    def gelu(self, x: str, options: dict[str, Any]) -> str:
        """Add ``x * P(Z < x)``, by the error function or by tanh."""
        if options["approximate"]:
            cube = self.with_constant("Mul", self.with_constant("Pow", x, 3), 0.044715)
            inner = self.with_constant("Mul", self.node("Add", [x, cube]), math.sqrt(2 / math.pi))
            wave = self.node("Tanh", [inner])
        else:
            wave = self.node("Erf", [self.with_constant("Mul", x, math.sqrt(0.5))])
        half = self.with_constant("Mul", x, 0.5)
        return self.node("Mul", [half, self.with_constant("Add", wave, 1)])

    def mish(self, x: str, options: dict[str, Any]) -> str:
        """Add ``x * tanh(softplus(x))``."""
        return self.node("Mul", [x, self.node("Tanh", [self.node("Softplus", [x])])])

    def hard_sigmoid(self, x: str, options: dict[str, Any]) -> str:
        """Add ``x / 6 + 0.5``, cut at 0 and at 1."""
        return self.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5)


def _simple(op: str, **attributes: str) -> Callable[[_Graph, str, dict[str, Any]], str]:
    """Make the writer of one operator, some of whose attributes are options of the activation."""

    def write(graph: _Graph, x: str, options: dict[str, Any]) -> str:
        chosen = {name: options[option] for name, option in attributes.items()}
        return graph.node(op, [x], **chosen)

    return write


def _gated(gate: Callable[[_Graph, str, dict[str, Any]], str]) -> Any:
    """Make the writer of ``x * gate(x)``."""
    return lambda graph, x, options: graph.node("Mul", [x, gate(graph, x, options)])


_LAYERS: dict[type, Callable[[_Graph, Any, str, Shape], str]] = {
    layers.Activation: _Graph.applied,
    layers.BatchNormalization: _Graph.normalization,
    layers.Dense: _Graph.dense,
    layers.Dropout: _Graph.same,
    layers.Flatten: _Graph.reshape,
    layers.InputLayer: _Graph.same,
    layers.LeakyReLU: _Graph.applied,
    layers.ReLU: _Graph.applied,
    layers.Rescaling: _Graph.rescaling,
    layers.Reshape: _Graph.reshape,
    layers.Softmax: _Graph.softmax,
}

_ACTIVATIONS: dict[str, Callable[[_Graph, str, dict[str, Any]], str]] = {
    "elu": _simple("Elu", alpha="alpha"),
    "exponential": _simple("Exp"),
    "gelu": _Graph.gelu,
    "hard_sigmoid": _Graph.hard_sigmoid,
    "hard_silu": _gated(_Graph.hard_sigmoid),
    "leaky_relu": _Graph.rectifier,
    "linear": _simple("Identity"),
    "log_softmax": _simple("LogSoftmax", axis="axis"),
    "mish": _Graph.mish,
    "relu": _Graph.rectifier,
    "relu6": _Graph.rectifier,
    "selu": _Graph.selu,
    "sigmoid": _simple("Sigmoid"),
    "silu": _gated(_simple("Sigmoid")),
    "softmax": _simple("Softmax", axis="axis"),
    "softplus": _simple("Softplus"),
    "softsign": _simple("Softsign"),
    "tanh": _simple("Tanh"),
}
