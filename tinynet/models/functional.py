"""Structure of a model: its layers, the graph between them, and its inputs and outputs."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinynet import config, layers, random
from tinynet._core import checks, suggestions
from tinynet._core.registry import unique_name
from tinynet.layers import layer
from tinynet.layers.input_layer import InputLayer
from tinynet.layers.layer import Layer, _registry, map_shapes
from tinynet.program import Shape, SymbolicTensor
from tinynet.program.graph import Graph, rebuilt
from tinynet.program.layer_operations import RESHAPE
from tinynet.program.nested import flattened, mapped
from tinynet.program.symbols import examples_of
from tinynet.program.variable import pack
from tinynet.sparse import CompressedRows, worth_it
from tinynet.training.data_adapters import inputs as inputs_of
from tinynet.training.data_adapters import only


class Network(Layer):
    """Base class of `Model`: a layer that is composed of layers, and manages their graph."""

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        name: str | None = None,
        trainable: bool = True,
        **kwargs: Any,
    ) -> None:
        self._functional = inputs is not None or outputs is not None
        if name is None and self._functional and type(self) in _registry.written:
            name = unique_name("Functional")
        super().__init__(name=name, trainable=trainable, **kwargs)
        self._layers: list[Layer] = []
        self._input: InputLayer | None = None
        self._graph: Graph | None = None
        self._structure_of_inputs: Any = None
        self._types_of_inputs: list[Any] = []
        if self._functional:
            inputs, outputs = (
                ends[0] if isinstance(ends, list | tuple) and len(ends) == 1 else ends
                for ends in (inputs, outputs)
            )
            for end, given in (("inputs", inputs), ("outputs", outputs)):
                checks.require(flattened(given), f"{end} must not be empty", f"{end}={given}")
            self._set_graph(Graph(inputs, outputs))
            self.build()

    def _set_graph(self, graph: Graph) -> None:
        """Set the graph of a functional model.

        Intermediate tensors that are used as inputs are replaced by new `Input` tensors.
        """
        if any(not isinstance(s.layer, InputLayer) for s in graph.entries):
            graph = rebuilt(graph.plan(), new_entry, lambda operation: operation)
        names = [o.name for o in graph.operations if isinstance(o, Layer)]
        expected = f"Layer names of {self.name} must be unique"
        checks.require(len(set(names)) == len(names), expected, f"layer names {names}")
        taken = set(names)
        for call in graph.operations:
            if not isinstance(call, Layer):
                numbered = (f"{call.name}_{k}" for k in itertools.count(1))
                # The name may belong to a layer or come from a loaded file.
                if call.name in taken:
                    call.own_name = next(name for name in numbered if name not in taken)
                taken.add(call.name)
        self._graph = graph
        self._layers = [o for o in graph.operations if isinstance(o, Layer)]
        if len(graph.entries) == 1:
            self._enter(graph.entries[0].layer)

    def _enter(self, layer: InputLayer) -> None:
        """Set the input layer; inputs are converted to its dtype."""
        self._input = layer
        if layer.input_dtype in config.FLOATS:
            self.dtype = layer.input_dtype

    # ------------------------------------------------------------ layers and graph

    @property
    def layers(self) -> list[Layer]:
        """List of layers. In a functional model, the input layers come first."""
        return [*self._own_layers()]

    def _own_layers(self) -> list[Layer]:
        """Return the layers in the order in which their weights are listed."""
        return list(dict.fromkeys([*self._layers, *self._inner_layers()]))

    _sublayers = _own_layers

    @property
    def _has_own_call(self) -> bool:
        """Whether a subclass defines `call`."""
        return not type(self).call.__module__.startswith("tinynet.")

    #: `build` of a subclass, and whether it is running or has run.
    _own_build: Any = None
    _in_build = _own_built = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Wrap the `build` of a subclass in `Network.build`."""
        super().__init_subclass__(**kwargs)
        own = vars(cls).get("build")
        if own is not None and not cls.__module__.startswith("tinynet."):

            @functools.wraps(own)
            def build(self: Any, input_shape: Any = None) -> None:
                if self._in_build:  # called by super().build() of a subclass
                    own(self, input_shape)
                else:
                    Network.build(self, input_shape)

            cls._own_build, cls.build = own, build  # type: ignore[method-assign]  # wrapped

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by name or index.

        Parameters
        ----------
        name : str, optional
            Name of the layer.
        index : int, optional
            Index in `layers`.

        Returns
        -------
        Layer
            Layer with this name or index.

        Raises
        ------
        ValueError
            If the layer does not exist, or neither or both arguments are given.
        """
        if (name is None) == (index is None):
            received = f"name={checks.shorten(name)}, index={checks.shorten(index)}"
            raise ValueError(f"Exactly one of name and index must be given. Received: {received}")
        own = self.layers
        if index is not None:
            fits = -len(own) <= checks.whole("index", index, -(2**31)) < len(own)
            checks.require(fits, f"index must be in range for {len(own)} layers", f"index={index}")
            return own[index]
        return suggestions.known("layer", name, {la.name: la for la in own})

    @property
    def input_shape(self) -> Any:
        """Shape of the input, with the batch size first; available once the model is built."""
        return mapped(lambda s: s.shape, self._known_graph().inputs)

    @property
    def output_shape(self) -> Any:
        """Shape of the output, with the batch size first; available once the model is built."""
        return mapped(lambda s: s.shape, self._known_graph().outputs)

    @property
    def input(self) -> Any:
        """Symbolic input; available once the model is built."""
        return self._known_graph().inputs

    @property
    def output(self) -> Any:
        """Symbolic output; available once the model is built."""
        return self._known_graph().outputs

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """List of symbolic inputs."""
        return self._known_graph().entries

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """List of symbolic outputs."""
        return flattened(self._known_graph().outputs)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs: the names of the layers that compute them."""
        return [n.name for s in self.outputs if (n := s.node) is not None]

    def _known_graph(self) -> Graph:
        """Return the graph; for a subclass with a custom `call`, create it once built."""
        if self._graph is None and self._has_own_call and self.built:
            kinds = iter(self._types_of_inputs or itertools.repeat(self.dtype))
            inputs = map_shapes(lambda s: new_entry(None, s, next(kinds)), self._build_shape)
            self._graph = Graph(inputs, self.call(inputs))
        if self._graph is None:
            raise AttributeError(
                f"{self.name} must be built before its inputs and outputs are available; call "
                f"build(input_shape). Received: built={self.built}"
            )
        return self._graph

    # ------------------------------------------------------------ calls

    def build(self, input_shape: Any = None) -> None:
        """Create all weights, as views of one contiguous vector.

        Parameters
        ----------
        input_shape : tuple of (int or None), or list or dict of such tuples
            Shape of the input, with the batch size first.

        Raises
        ------
        ValueError
            If the shape does not match the model, or the model has no layers.
        """
        if self._in_build:
            return
        if input_shape is None:
            input_shape = self.input_shape if self._graph or self._input is None else None
            input_shape = input_shape or self._input.batch_shape  # type: ignore[union-attr]
        shape: Any = map_shapes(lambda s: checks.shape("input_shape", s, batch=True), input_shape)
        if self._own_build is not None and not self._own_built:
            self._in_build = True
            try:
                self._own_build(map_shapes(lambda s: (None, *s[1:]), shape))
            finally:
                self._in_build = self.built = False
            self._own_built = True
        self._make_graph(shape)
        # Trainable weights are contiguous, so that an optimizer step is one call.
        pack(sorted(self.weights, key=lambda w: not w.trainable))
        self._checked_shapes = None
        super().build(shape)
        if self._graph is not None and not self._has_own_call:
            self._note_shapes(self._graph)

    def _make_graph(self, shape: Any) -> None:
        """Build the layers by calling them; those of a functional model are already built."""
        if self._has_own_call and not self._functional:
            self._graph = None
            kinds = iter(self._types_of_inputs or itertools.repeat(self.dtype))
            inputs = map_shapes(lambda s: SymbolicTensor(examples_of(s, next(kinds))), shape)
            self._outputs_for((inputs,), {}, self.call)
            return
        expected = (
            f"{type(self).__name__} must define call(self, inputs), or have inputs and outputs"
        )
        has_layers = self._graph is not None or type(self).call is not Network.call
        checks.require(has_layers, expected, "a model without layers")

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Compute the outputs. A functional model executes its graph.

        Parameters
        ----------
        inputs : tensor, or list or dict of tensors
            Inputs.
        training : bool
            Whether the call is part of a training step.

        Returns
        -------
        tensor, or list or dict of tensors
            Outputs.
        """
        if self._graph is None:
            raise NotImplementedError(
                f"{type(self).__name__} must define call(self, inputs), or be constructed from "
                "inputs and outputs"
            )
        values = self._in_order(inputs)
        entries = zip(self._graph.entries, values, strict=True)
        return self._graph.run([self._adjusted(x, s.shape) for s, x in entries])

    def _in_order(self, inputs: Any) -> list[Any]:
        """Return the inputs of a functional model in the order of its graph.

        The keys of a dict are input names, or the keys of the model's own dict of inputs.
        """
        entries = self._known_graph().entries
        names = [s.name for s in entries]
        own = self._known_graph().inputs
        if isinstance(inputs, dict):
            keys = names
            if isinstance(own, dict) and set(inputs) >= set(own):
                keys = [*sorted(own)]
            expected = f"x must be a dict with the keys {keys}, the names of the inputs"
            received = f"x with the keys {checks.shorten([*inputs])}"
            checks.require(set(keys) <= set(inputs), expected, received)
            return [inputs[key] for key in keys]
        values = [*inputs] if isinstance(inputs, list | tuple) else [inputs]
        if len(values) != len(entries):
            values = flattened(inputs)
        expected = f"x must be a list with one array per input, or a dict with the keys {names}"
        checks.require(len(values) == len(entries), expected, f"{len(values)} arrays")
        return values

    def _adjusted(self, x: Any, expected: Shape) -> Any:
        """Add or remove a last axis of size 1 if the input then matches, as in Keras."""
        shape = _adjusted_shape(tuple(x.shape), expected)
        self._require_fit(expected, (None, *shape[1:]))
        if shape != tuple(x.shape):
            x = RESHAPE(x, target=shape[1:]) if isinstance(x, SymbolicTensor) else x.reshape(shape)
        return x

    def _require_fit(self, expected: Shape, shape: Shape, name: str = "") -> None:
        if not fits(expected, shape):
            hint = f" for {name!r}" if name else ""
            if len(shape) == len(expected) - 1:
                hint += "; for a single example, pass x[None]"
            raise ValueError(
                f"Inputs of {self.name} must have shape {expected}{hint}. Received: shape {shape}"
            )

    def _shapes_for(self, shapes: tuple[Shape, ...]) -> Any:
        """Return symbolic outputs, detached from the graph, for the given input shapes."""
        entries = [] if self._input is None else [(self._input.batch_shape, "")]
        if self._functional:
            several = len(self._known_graph().entries) > 1
            entries = [(s.shape, s.name * several) for s in self._known_graph().entries]
        for (expected, name), shape in zip(entries, shapes, strict=False):
            self._require_fit(expected, shape, name)
        kinds = self._input_dtypes(len(shapes))
        pairs = zip(shapes, kinds, strict=True)
        open_shapes = [((None, *shape[1:]), kind) for shape, kind in pairs]
        key = layer.STRUCTURE[0], self.built, open_shapes, self._structure_of_inputs
        if self._last_shapes is None or self._last_shapes[0] != key:
            inputs = self._structured([SymbolicTensor(examples_of(*own)) for own in open_shapes])
            self._build_once(mapped(lambda s: s.shape, inputs))
            outputs = self._outputs_for((inputs,), {})
            self._last_shapes = (layer.STRUCTURE[0], self.built, *key[2:]), outputs
            return outputs  # another thread may have replaced `_last_shapes`
        return self._last_shapes[1]

    def _note_shapes(self, graph: Graph) -> None:
        """Cache the outputs of a new graph as the result of `_shapes_for`."""
        kinds = self._input_dtypes(len(graph.entries))
        shapes = [(s.shape, kind) for s, kind in zip(graph.entries, kinds, strict=True)]
        if [np.dtype(s.dtype) for s in graph.entries] == kinds:
            key = layer.STRUCTURE[0], self.built, shapes, self._structure_of_inputs
            outputs = mapped(lambda s: SymbolicTensor(s.examples, self.name), graph.outputs)
            self._last_shapes = key, outputs

    #: Key and last result of `_shapes_for`.
    _last_shapes: Any = None

    @contextlib.contextmanager
    def _undone_on_error(self) -> Iterator[None]:
        """Restore the unbuilt state of a model if an error is raised while it is being built."""
        if self.built:
            yield
            return
        with self._restoring_state(keeps=True), random._undone_on_error():
            yield

    def _is_traceable(self) -> bool:
        """Return whether a call runs only library code, so that tracing has no side effects."""
        if self._traceable[0] != layer.STRUCTURE[0]:
            inside = self._all_layers()
            own = all(type(layer) in _registry.written for layer in inside[1:])
            adds_losses = any(layer.activity_regularizer is not None for layer in inside)
            self._traceable = layer.STRUCTURE[0], own and not self._has_own_call, adds_losses
        return self._traceable[1]

    def _is_row_wise(self) -> bool:
        """Return whether the examples of a batch are known to be independent."""
        graphs = [getattr(layer, "_graph", None) for layer in self._all_layers()]
        used = [o for graph in graphs if graph is not None for o in graph.operations]
        return self._is_traceable() and all(
            isinstance(o, Layer) and not isinstance(o, layers.Lambda)
            for o in (*used, *self._all_layers())
        )

    #: Cache of `_is_traceable`: structure number, result, and whether layers add losses.
    _traceable = -1, False, False

    # ------------------------------------------------------------ inputs and outputs of training

    def _structured(self, flat: list[Any]) -> Any:
        """Return inputs in the structure that `call` accepts."""
        given = self._structure_of_inputs
        if given is None or (self._graph is not None and not self._has_own_call):
            return flat[0] if len(flat) == 1 else flat
        left = iter(flat)
        return mapped(lambda _: next(left), given)

    def _input_arrays(self, x: Any) -> list[Any]:
        """Return the arrays of the inputs, without conversion."""
        arrays = self._listed_inputs(x)
        self._note_types(arrays)
        return arrays

    def _note_types(self, arrays: list[Any]) -> None:
        """Store which inputs are integers, since a custom `call` may use them as indices."""
        if self._has_own_call and not self._functional:
            types = [np.dtype(getattr(a, "dtype", self.dtype)) for a in arrays]
            self._types_of_inputs = [t if t.kind in "iub" else self.dtype for t in types]

    def _listed_inputs(self, x: Any) -> list[Any]:
        if type(x) is np.ndarray and (self._input is not None or not self._functional):
            return [self._with_rank(x)]
        if self._functional and len(self._known_graph().entries) > 1:
            values = self._in_order(x)
            entries = self._known_graph().entries
            return [self._with_rank(v, s.shape) for v, s in zip(values, entries, strict=True)]
        several = isinstance(x, list | tuple | dict) and len(x) > 1
        if self._has_own_call and (several or isinstance(x, dict)) and _are_arrays(x):
            structured = mapped(lambda _: None, x)
            if structured != self._structure_of_inputs:
                self._structure_of_inputs = structured
                layer.changed()
            return [self._with_rank(v) for v in flattened(x)]
        key = None if self._input is None else self._input.name
        numbers_only = self._input is not None and self._input.batch_shape[1:] in ((), (1,))
        x = only("x", x, key, 0 if numbers_only else None)
        sparse = hasattr(x, "tocsr") and len(x.shape) == 2 and self._takers_of_rows(x)
        return [self._with_rank(CompressedRows.from_scipy(x, self.dtype) if sparse else x)]

    def _with_rank(self, x: Any, expected: Any = None) -> Any:
        if not isinstance(x, CompressedRows):
            x = inputs_of(x)
        if expected is None:
            expected = self._input.batch_shape if self._input is not None else None
        if expected is None or len(x.shape) == len(expected):
            return x
        shape = _adjusted_shape(x.shape, expected)
        return x if shape == x.shape else x.reshape(shape)

    def _input_dtypes(self, n: int) -> list[Any]:
        """Return the dtypes that inputs are converted to; only floats are converted."""
        graph = self._graph if self._functional else None
        own = [s.dtype for s in graph.entries] if graph else self._types_of_inputs
        own = own if len(own) == n else [self.dtype] * n
        return [np.dtype(self.dtype if kind in config.FLOATS else kind) for kind in own]

    def _output_names(self) -> list[str] | None:
        """Return the names of the outputs, or None if they are unknown."""
        if self._functional:
            outputs, names = self._known_graph().outputs, self.output_names
            return [*outputs] if isinstance(outputs, dict) and len(names) == 1 else names
        return None if self._has_own_call or not self._layers else [self._layers[-1].name]

    def _takers_of_rows(self, x: Any) -> list[Any]:
        """Return the layers that receive the inputs if all are dense, otherwise an empty list."""
        if self._has_own_call:
            return []
        first = self._first_layers()
        if len(getattr(x, "shape", ())) > 2:
            if [type(layer) for layer in first] != [layers.Flatten]:
                return []
            first = self._first_layers(after=first[0])
        kinds = {(type(layer), getattr(layer, "dtype", None)) for layer in first}
        return first if kinds == {(layers.Dense, self.dtype)} else []

    def _rows_of(self, x: Any, compress: Any) -> Any:
        """Return inputs in CSR form, or None if a dense array is faster or required.

        CSR skips products with 0, which are NaN for non-finite weights.
        """
        if isinstance(x, CompressedRows):
            return x.astype(self.dtype) if self._takers_of_rows(x) else None
        if compress is None or self.dtype != "float32" or x.ndim < 2:
            return None
        if not (takers := self._takers_of_rows(x)):
            return None
        is_finite = all(np.isfinite(v.array).all() for layer in takers for v in layer.weights)
        return compress(x, self.dtype) if is_finite and worth_it(x) else None

    def _first_layers(self, after: Layer | None = None) -> list[Any]:
        """Return the layers that receive the only input, or the output of a layer."""
        if self._graph is None:
            row = self._layers
            if after is not None:  # it may be a layer of a nested network
                row = row[row.index(after) + 1 :] if after in row else []
            first = row[:1]
        else:
            if len(self._graph.entries) > 1:
                return []
            start = self._graph.entries[0]
            if after is not None:
                start = after._nodes[-1].outputs
            first = [n.operation for n in self._graph.nodes if any(i is start for i in n.inputs)]
        if len(first) == 1 and isinstance(first[0], Network):
            return first[0]._first_layers() if not first[0]._has_own_call else []
        return first


def fits(expected: Shape, shape: Shape) -> bool:
    """Return whether shapes are equal where both are known, ignoring the batch size."""
    return len(expected) == len(shape) and all(
        a is None or b is None or a == b for a, b in zip(expected[1:], shape[1:], strict=True)
    )


def _adjusted_shape(shape: Any, expected: Shape) -> Any:
    """Add or remove a last axis of size 1 if the shape then matches the expected one."""
    other = shape
    if len(shape) == len(expected) + 1 and shape[-1] == 1:
        other = shape[:-1]
    elif len(shape) == len(expected) - 1 and expected[-1] == 1:
        other = (*shape, 1)
    return other if fits(expected, other) else shape


def _are_arrays(x: Any) -> bool:
    """Return whether a list or dict contains arrays, not rows of numbers."""
    return all(len(getattr(leaf, "shape", ())) > 0 for leaf in flattened(x))


def takes_graph(kind: type) -> bool:
    """Return whether a model class accepts the arguments `inputs` and `outputs`, as in Keras."""
    own = [*inspect.signature(kind.__init__).parameters.values()][1:]  # type: ignore[misc]
    kinds = {p.kind for p in own}
    anything = kinds == {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return anything or [p.name for p in own[:3]] == ["inputs", "outputs", "name"]


def new_entry(layer: Any, shape: Shape, dtype: str) -> SymbolicTensor:
    """Return the symbolic input of an input layer, or a new one."""
    if isinstance(layer, InputLayer):
        return layer.output
    return InputLayer(batch_shape=shape, dtype=dtype).output
