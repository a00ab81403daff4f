"""Export of trained models to ONNX, the exchange format that other runtimes read.

A file contains the program that `predict` runs, with the weights as constants: no dropout, no
optimizer, no loss. The batch size is left open. Writing it requires the package onnx
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

#: The version of ONNX' operators that files use, and the one of the format that belongs to it.
OPSET, _FORMAT = 17, 8


def export_onnx(model: Model, filepath: Any) -> None:
    """Write a model, as it predicts, to an ONNX file.

    The file is checked and written atomically. A single input is named ``"input"``, a single
    output ``"output"``; several inputs or outputs have the names of the model's inputs and outputs,
    or the keys of its dicts. All floats are float32, since not every runtime supports every
    operator in float64.

    Parameters
    ----------
    model : Model
        Built model that consists of operations that ONNX supports.
    filepath : str or Path
        File to write; the name should end in ``.onnx``.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    ValueError
        If the model is not built, has a layer with its own `forward`, an activation with its own
        `backward`, or an operation that ONNX does not support.
    OSError
        If the file can't be written; an older file is unchanged then.

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
    expected = f"Build {model.name} before exporting it: call build(input_shape)"
    checks.require(model.built, expected, "built=False")
    try:
        specs = [((None, *s.shape[1:]), s.dtype) for s in model.inputs]
        traced = ModelProgram(model, specs, training=False, fuse=False)
    except BatchSizeNeeded as error:
        raise ValueError(
            f"{model.name} must not use the batch size to be exported; use -1 in ops.reshape. "
            "Received: a call that asks for the batch size"
        ) from error
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
    """Return the dtype in the file."""
    return np.dtype("float32" if np.dtype(dtype).kind == "f" else dtype)


class _Graph:
    """Nodes and constants, and the names of the tensors that are computed."""

    def __init__(self, onnx: Any, names: dict[int, str]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.onnx, self.names = onnx, names
        #: Tensors that do not depend on the inputs.
        self.known: dict[int, Any] = {}
        #: The instruction that is being written, the dtype of numbers in it and that of its result.
        self.instruction: Any = None
        self.dtype = self.result_dtype = np.dtype("float32")

    def __call__(self, op: str, *inputs: Any, other_outputs: int = 0, **attributes: Any) -> str:
        """Add a node; its inputs are names of others, arrays, lists of integers or numbers."""
        name = f"{self.instruction.scope}/{op}_{len(self.nodes)}"
        given = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        outputs = [*(f"{name}_{k}" for k in range(other_outputs)), name]
        self.nodes.append(self.onnx.helper.make_node(op, given, outputs, name, **attributes))
        return name

    def constant(self, value: Any) -> str:
        """Add numbers; return their name."""
        name = f"/constant_{len(self.constants)}"
        if isinstance(value, list):
            array = np.array(value, np.int64)
        else:
            array = np.asarray(value, None if isinstance(value, np.ndarray) else self.dtype)
        array = np.asarray(array, _kind(array.dtype))
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def kind(self, dtype: Any) -> Any:
        """Return ONNX' number of a dtype."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(_kind(dtype))

    def cast(self, x: str, dtype: Any) -> str:
        """Add a conversion."""
        return self("Cast", x, to=self.kind(dtype))

    def operand(self, value: Any) -> Any:
        """Return the name of a tensor, or its values."""
        if not isinstance(value, SymbolicTensor):
            return to_array(value)
        return self.names[id(value)] if id(value) in self.names else self.known[id(value)]

    def alike(self, inputs: Sequence[Any]) -> list[Any]:
        """Return operands of one dtype, as ONNX needs them."""
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
        """Add an instruction; compute it if it does not depend on the inputs."""
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
            expected = "Only tinynet's own activations can be exported"
            checks.require(is_own, expected, f"{operation.activation!r}")
        elif isinstance(operation, LookUp):
            write, options = OPERATIONS["take"], {"axis": 0}
        if write is None or not options.keys() <= parameters_of(write):
            what = f"the operation {name}"
            if isinstance(operation, LayerCall):
                what = f"a layer of type {type(operation.layer).__name__}"
            own = "layers without their own forward and backward"
            expected = (
                f"A model that is exported must consist of operations that ONNX has, and of {own}"
            )
            raise ValueError(f"{expected}. Received: {what}")
        same = name not in ("take", "take_along_axis", "embedding")
        first = 1 if name == "where" else 0 if same else len(inputs)
        given = [*map(self.operand, inputs[:first]), *(self.alike(inputs[first:]) if same else [])]
        if name in FLATTENING and "axis" not in options:
            count = 1 if name == "take" else len(given)
            given[:count] = [self("Reshape", x, [-1]) for x in given[:count]]
        self.names[id(result)] = write(self, *given, **options)

    # ------------------------------------------------------------ for the operations

    def shape(self) -> Shape:
        """Return the shape of the instruction's first input."""
        return tuple(self.instruction.inputs[0].shape)

    def axes(self, axis: Any) -> list[int]:
        """Return axes as a list; None is all of them."""
        return [*range(len(self.shape()))] if axis is None else np.atleast_1d(axis).tolist()

    def gather(self, x: str, axis: int, places: Callable[[Array], Array]) -> str:
        """Add a choice along an axis of known size: the indices that a function returns for all."""
        size: Any = self.shape()[axis]
        expected = f"{self.instruction.operation.name} needs an axis of known size to be exported"
        checks.require(size is not None, expected, f"axis={axis} of shape {self.shape()}")
        return self("Gather", x, [*places(np.arange(size))], axis=axis)


EXPORTERS["onnx"] = export_onnx
