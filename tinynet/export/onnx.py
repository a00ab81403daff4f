"""Export of trained models to ONNX, an exchange format that many runtimes can read.

A file contains the program that `predict` runs, with the weights as constants, and without dropout,
optimizer and loss. The batch size is dynamic. Export requires the package onnx
(``pip install onnx``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import activations
from tinynet._core import checks
from tinynet._core.atomic_files import write_atomically
from tinynet._core.buffers import Workspace
from tinynet.export.onnx_operations import ACTIVATIONS, FLATTENING, OPERATIONS
from tinynet.layers.layer import LayerCall, parameters_of
from tinynet.models.model import EXPORTERS, Model
from tinynet.program.layer_operations import NORMALIZED, RESHAPE, Activated
from tinynet.program.nested import flattened
from tinynet.program.operations import LookUp
from tinynet.program.symbols import BatchSizeNeeded, Shape, SymbolicTensor
from tinynet.program.tensor import TABLE, to_array
from tinynet.program.trace import Instruction
from tinynet.program.variable import Array
from tinynet.training.model_program import ModelProgram

__all__ = ["OPSET", "export_onnx"]

#: Version of the ONNX operator set, and the corresponding version of the file format.
OPSET, _FORMAT = 17, 8


def export_onnx(model: Model, filepath: Any) -> None:
    """Export a model for inference to an ONNX file.

    The file is validated and written atomically. A single input is named ``"input"`` and a single
    output ``"output"``; multiple inputs or outputs are named after the model's inputs and
    outputs or, if these are dicts, after their keys. All floats are float32, since not every
    runtime supports float64 for every operator.

    Parameters
    ----------
    model : Model
        Built model that consists of operations supported by ONNX.
    filepath : str or path-like
        File to write, usually with the extension ``.onnx``.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    ValueError
        If the model is not built, or contains a layer with a custom `forward`, an activation with a
        custom `backward`, or an operation that ONNX does not support.
    OSError
        If the file cannot be written. An existing file is unchanged.

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
            "export_onnx requires the package onnx, which is not installed: pip install onnx"
        ) from error
    expected = f"{model.name} must be built before exporting it; call build(input_shape)"
    checks.require(model.built, expected, "built=False")
    try:
        specs = [((None, *s.shape[1:]), s.dtype) for s in model.inputs]
        traced = ModelProgram(model, specs, training=False, fuse=False)
    except BatchSizeNeeded as error:
        text = f"To be exported, {model.name} must not use the batch size; use -1 in ops.reshape"
        raise ValueError(f"{text}. Received: a call that uses the batch size") from error
    helper, names = onnx.helper, _names(model.input, "input", [s.name for s in model.inputs])
    graph = _Graph(onnx, dict(zip(map(id, traced.inputs), names, strict=True)))
    for instruction in traced.program.forward:
        graph.add(instruction)
    ends = [*zip(names, traced.inputs, strict=True)]
    outputs = _names(traced.outputs, "output", model.output_names)
    for name, result in zip(outputs, flattened(traced.outputs), strict=True):
        while name in dict(ends):
            name += "_output"
        graph.nodes.append(helper.make_node("Identity", [graph.operand(result)], [name], name))
        ends.append((name, result))
    described = []
    for name, s in ends:
        shape = ["N" if k == 0 and size is None else size for k, size in enumerate(s.shape)]
        described.append(helper.make_tensor_value_info(name, graph.kind(s.dtype), shape))
    n, opset = len(names), helper.make_opsetid("", OPSET)
    file = helper.make_model(
        helper.make_graph(graph.nodes, model.name, described[:n], described[n:], graph.constants),
        opset_imports=[opset],
        ir_version=_FORMAT,
        producer_name="tinynet",
    )
    onnx.checker.check_model(file, full_check=True)
    contents = file.SerializeToString()
    write_atomically(Path(checks.path("filepath", filepath)), lambda stream: stream.write(contents))


def _names(nested: Any, single: str, names: Sequence[str]) -> list[str]:
    """Return the names of inputs or outputs in the file."""
    if isinstance(nested, dict) and len(flattened(nested)) == len(nested):
        return sorted(nested)
    return [single] if len(names) == 1 else [*names]


def _kind(dtype: Any) -> np.dtype[Any]:
    """Return the dtype used in the file."""
    return np.dtype("float32" if np.dtype(dtype).kind == "f" else dtype)


class _Graph:
    """Builder of the nodes and constants of an ONNX graph, with the names of computed tensors."""

    def __init__(self, onnx: Any, names: dict[int, str]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.onnx, self.names = onnx, names
        #: Tensors that do not depend on the inputs.
        self.known: dict[int, Any] = {}
        #: Current instruction, dtype of Python numbers in it, and dtype of its result.
        self.instruction: Any = None
        self.dtype = self.result_dtype = np.dtype("float32")

    def __call__(self, op: str, *inputs: Any, other_outputs: int = 0, **attributes: Any) -> str:
        """Add a node and return the name of its output; inputs are names, arrays or numbers."""
        name = f"{self.instruction.scope}/{op}_{len(self.nodes)}"
        given = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        outputs = [*(f"{name}_{k}" for k in range(other_outputs)), name]
        self.nodes.append(self.onnx.helper.make_node(op, given, outputs, name, **attributes))
        return name

    def constant(self, value: Any) -> str:
        """Add a constant and return its name."""
        name = f"/constant_{len(self.constants)}"
        if isinstance(value, list):
            array = np.array(value, np.int64)
        else:
            array = np.asarray(value, None if isinstance(value, np.ndarray) else self.dtype)
        array = np.asarray(array, _kind(array.dtype))
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def kind(self, dtype: Any) -> Any:
        """Return the ONNX code of a dtype."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(_kind(dtype))

    def cast(self, x: str, dtype: Any) -> str:
        """Add a Cast node."""
        return self("Cast", x, to=self.kind(dtype))

    def operand(self, value: Any) -> Any:
        """Return the name of a computed tensor, or the array of a constant."""
        if not isinstance(value, SymbolicTensor):
            return to_array(value)
        return self.names[id(value)] if id(value) in self.names else self.known[id(value)]

    def alike(self, inputs: Sequence[Any]) -> list[Any]:
        """Return operands cast to a common dtype, as ONNX requires."""
        kinds = [_kind(i.dtype) if hasattr(i, "dtype") else None for i in inputs]
        self.dtype = np.result_type(*(kind for kind in kinds if kind is not None))
        x: Any
        found: list[Any] = []
        for x, kind in zip(map(self.operand, inputs), kinds, strict=True):
            is_other = isinstance(x, str) and kind != self.dtype
            x = x.astype(self.dtype) if isinstance(x, np.ndarray) else x
            found.append(self.cast(x, self.dtype) if is_other else x)
        return found

    def add(self, instruction: Instruction) -> None:
        """Add an instruction, or evaluate it if it does not depend on the inputs."""
        operation, inputs = instruction.operation, instruction.inputs
        self.instruction = instruction
        name = operation.name
        if not operation.stateful and not any(id(i) in self.names for i in inputs):
            y = operation.compute([*map(self.operand, inputs)], instruction.options, Workspace())
            outputs = y if isinstance(y, tuple) else (y,)
            self.known.update((id(o), a) for o, a in zip(instruction.outputs, outputs, strict=True))
            return
        (result,) = instruction.outputs
        self.dtype = self.result_dtype = _kind(result.dtype)
        own = {"reshape_examples": RESHAPE, "normalized": NORMALIZED}.get(name, TABLE.get(name))
        write = OPERATIONS.get(name) if operation is own else None
        pairs = instruction.options.items()
        options = {k: v for k, v in pairs if v is not None and k != "training"}
        if isinstance(operation, Activated):
            write, options = ACTIVATIONS.get(name), operation.activation.options
            is_own = type(operation.activation) is type(activations._registry.names.get(name))
            expected = "Only built-in activations can be exported"
            checks.require(is_own, expected, f"{operation.activation!r}")
        elif isinstance(operation, LookUp):
            write, options = OPERATIONS["take"], {"axis": 0}
        if write is None or not options.keys() <= parameters_of(write):
            what = f"the operation {name}"
            if isinstance(operation, LayerCall):
                what = f"a layer of type {type(operation.layer).__name__}"
            own = "layers without a custom forward or backward"
            expected = f"An exported model must consist of operations that ONNX supports and {own}"
            raise ValueError(f"{expected}. Received: {what}")
        same = name not in ("take", "take_along_axis", "embedding")
        first = 1 if name == "where" else 0 if same else len(inputs)
        given = [*map(self.operand, inputs[:first]), *(self.alike(inputs[first:]) if same else [])]
        if name in FLATTENING and "axis" not in options:
            count = 1 if name == "take" else len(given)
            given[:count] = [self("Reshape", x, [-1]) for x in given[:count]]
        self.names[id(result)] = write(self, *given, **options)

    # ------------------------------------------------------------ used by the operations

    def shape(self) -> Shape:
        """Return the shape of the instruction's first input."""
        return tuple(self.instruction.inputs[0].shape)

    def axes(self, axis: Any) -> list[int]:
        """Return axes as a list; None means all axes."""
        return [*range(len(self.shape()))] if axis is None else np.atleast_1d(axis).tolist()

    def gather(self, x: str, axis: int, places: Callable[[Array], Array]) -> str:
        """Add a Gather node, with the indices ``places(np.arange(size))`` along an axis."""
        size: Any = self.shape()[axis]
        expected = f"{self.instruction.operation.name} requires an axis of known size for export"
        checks.require(size is not None, expected, f"axis={axis} of shape {self.shape()}")
        return self("Gather", x, [*places(np.arange(size))], axis=axis)


EXPORTERS["onnx"] = export_onnx
