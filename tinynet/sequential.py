"""The model: layers in a row, the shapes between them, and one flat vector of parameters."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinynet import checks, config, layers, random
from tinynet.data import inputs as inputs_of
from tinynet.data import only
from tinynet.graph_config import graph_config, tensors_of
from tinynet.layers.base import CALL, Layer, _registry, map_shapes
from tinynet.layers.shaping import InputLayer
from tinynet.program.dense_net import RESHAPE
from tinynet.program.graph import Graph, rebuilt
from tinynet.program.nested import flattened, mapped
from tinynet.program.operations import TAPES
from tinynet.program.symbols import Shape, SymbolicTensor, examples_of
from tinynet.program.trace import RECORDER
from tinynet.progress import write
from tinynet.registry import unique_name
from tinynet.sparse import CompressedRows
from tinynet.steps import steps_of
from tinynet.summary import summary_html, summary_lines
from tinynet.training import Trainer
from tinynet.variable import Variable, as_tensor, pack


class Model(Trainer):
    """Layers with training, pictures and files: the base of all models.

    There are three ways to make one: the list of a `Sequential`; symbolic inputs and outputs,
    ``Model(inputs, outputs)``, between which layers and operations are applied in any way; or a
    subclass that makes its layers in ``__init__`` and applies them in ``call(self, x)``.

    Parameters
    ----------
    inputs, outputs : SymbolicTensor, or list or dict of them, optional
        What `Input` returned, and what is computed from it.
    name : str, optional
        By default the class name in snake case, numbered.
    trainable : bool
        Whether training changes its weights.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError, TypeError
        If the outputs are not computed from the inputs.

    Examples
    --------
    >>> x = layers.Input((4,))
    >>> hidden = layers.Dense(3, activation="relu")(x)
    >>> model = Model(x, layers.Dense(2)(hidden))
    >>> model.output_shape
    (None, 2)
    >>> class Net(Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = layers.Dense(3, activation="relu")
    ...         self.out = layers.Dense(2)
    ...     def call(self, x):
    ...         return self.out(self.hidden(x))
    >>> Net()([[1.0, 2.0, 3.0, 4.0]]).shape
    (1, 2)
    """

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        name: str | None = None,
        trainable: bool = True,
        **kwargs: Any,
    ) -> None:
        self._functional = inputs is not None or outputs is not None
        if name is None and self._functional and type(self) is Model:
            name = unique_name("Functional")
        super().__init__(name=name, trainable=trainable, **kwargs)
        self._layers: list[Layer] = []
        self._input: InputLayer | None = None
        self._graph: Graph | None = None
        self._structure_of_inputs: Any = None
        if self._functional:
            inputs, outputs = (
                ends[0] if isinstance(ends, list | tuple) and len(ends) == 1 else ends
                for ends in (inputs, outputs)
            )
            self._set_graph(Graph(inputs, outputs))
            self.build()

    def _set_graph(self, graph: Graph) -> None:
        """Set the graph of a functional model; inputs within another model get inputs before."""
        if any(not isinstance(s.layer, InputLayer) for s in graph.entries):
            graph = rebuilt(graph.plan(), _new_entry, lambda operation: operation)
        names = [o.name for o in graph.operations if isinstance(o, Layer)]
        if len(set(names)) < len(names):
            raise ValueError(
                f"All layers of {self.name} must have different names. Received: {names}"
            )
        self._graph = graph
        self._layers = [o for o in graph.operations if isinstance(o, Layer)]
        if len(graph.entries) == 1:
            self._enter(graph.entries[0].layer)

    def _enter(self, layer: InputLayer) -> None:
        """Set the input layer, whose type inputs are converted to."""
        self._input = layer
        if layer.input_dtype in config.FLOATS:
            self.dtype = layer.input_dtype

    # ------------------------------------------------------------ what it is made of

    @property
    def layers(self) -> list[Layer]:
        """Its layers; those of a functional model begin with its inputs."""
        return [*self._own_layers()]

    def _own_layers(self) -> list[Layer]:
        """The layers in the order of their weights."""
        return self._inner_layers() if self._has_own_call else self._layers

    _sublayers = _own_layers

    @property
    def _has_own_call(self) -> bool:
        """Whether a subclass says in its own `call` what is computed."""
        own = type(self).call
        return own not in (Model.call, Sequential.call)

    #: The `build` of a subclass, and whether it runs or has run.
    _own_build: Any = None
    _in_build = _own_built = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Wrap a subclass's `build`, which `Model.build` then calls."""
        super().__init_subclass__(**kwargs)
        own = vars(cls).get("build")
        if own is not None and cls.__module__ != __name__:

            @functools.wraps(own)
            def build(self: Any, input_shape: Any = None) -> None:
                if self._in_build:  # called by the build of a class derived from this one
                    own(self, input_shape)
                else:
                    Model.build(self, input_shape)

            cls._own_build, cls.build = own, build  # type: ignore[method-assign]  # wrapped

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Find a layer.

        Parameters
        ----------
        name : str, optional
            Its name.
        index : int, optional
            Or its position in `layers`.

        Returns
        -------
        Layer
            The layer.

        Raises
        ------
        ValueError
            If there is none, or neither or both arguments are given.
        """
        if (name is None) == (index is None):
            raise ValueError(
                f"get_layer takes either a name or an index. Received: name={name}, index={index}"
            )
        own = self.layers
        if index is not None:
            if not -len(own) <= checks.whole("index", index, -(2**31)) < len(own):
                raise ValueError(f"{self.name} has {len(own)} layers. Received: index={index}")
            return own[index]
        return checks.known("layer", str(name), {la.name: la for la in own})

    @property
    def weights(self) -> list[Variable]:
        """All weights, layer after layer."""
        return [w for layer in self._own_layers() for w in layer.weights]

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        own = self._own_layers() if self.trainable else []
        return [w for layer in own for w in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that training leaves as they are."""
        trainable = {id(w) for w in self.trainable_weights}
        return [w for w in self.weights if id(w) not in trainable]

    @property
    def input_shape(self) -> Any:
        """The shape of the input, batch size first; only where it is known."""
        return mapped(lambda s: s.shape, self._known_graph().inputs)

    @property
    def output_shape(self) -> Any:
        """The shape of the output, batch size first; only where it is known."""
        return mapped(lambda s: s.shape, self._known_graph().outputs)

    @property
    def input(self) -> Any:
        """The symbolic input; only where it is known."""
        return self._known_graph().inputs

    @property
    def output(self) -> Any:
        """The symbolic output; only where it is known."""
        return self._known_graph().outputs

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic inputs in a list."""
        return self._known_graph().entries

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs in a list."""
        return flattened(self._known_graph().outputs)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs: those of the layers that compute them."""
        return [s.layer.name for s in self.outputs]

    def _known_graph(self) -> Graph:
        """Return the graph; of a subclass with its own `call`, made once the input is known."""
        if self._graph is None and self._has_own_call and self.built:
            inputs = map_shapes(
                lambda shape: _new_entry(None, shape, self.dtype), self._build_shape
            )
            self._graph = Graph(inputs, self.call(inputs))
        if self._graph is None:
            raise AttributeError(
                f"{self.name} does not know its input's shape before it is built. "
                f"Received: built={self.built}"
            )
        return self._graph

    # ------------------------------------------------------------ calls

    def build(self, input_shape: Any = None) -> None:
        """Make all weights, as views of one flat vector.

        Parameters
        ----------
        input_shape : tuple of (int or None), or list or dict of them
            The shape of the input, batch size first.

        Raises
        ------
        ValueError
            If it does not fit, or there are no layers.
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
        # The trainable ones lie together, so that an optimizer's step is one call.
        pack(sorted(self.weights, key=lambda w: not w.trainable))
        self._checked_shapes = None
        super().build(shape)

    def _make_graph(self, shape: Any) -> None:
        """Build the layers by calling them; of a functional model, they are built."""
        if self._has_own_call:
            self._graph = None
            inputs = map_shapes(lambda s: SymbolicTensor(examples_of(s, self.dtype)), shape)
            self._outputs_for((inputs,), {}, self.call)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Compute the outputs: of a functional model, along its graph.

        Parameters
        ----------
        inputs : tensor, or list or dict of them
            The inputs.
        training : bool
            Whether it is a training step.

        Returns
        -------
        tensor, or list or dict of them
            The outputs.
        """
        if self._graph is None:
            raise NotImplementedError(
                f"{type(self).__name__} must define call(self, inputs), or be made of inputs and "
                "outputs"
            )
        values = self._in_order(inputs)
        entries = zip(self._graph.entries, values, strict=True)
        return self._graph.run([self._adjusted(x, s.shape) for s, x in entries])

    def _in_order(self, inputs: Any) -> list[Any]:
        """Return a functional model's inputs in the order of its graph, by name from a dict."""
        entries = self._known_graph().entries
        names = [s.name for s in entries]
        own = self._known_graph().inputs
        if isinstance(inputs, dict):
            keys = names
            if isinstance(own, dict) and set(inputs) >= set(own):
                keys = [*sorted(own)]
            if not set(keys) <= set(inputs):
                raise ValueError(
                    f"x must be a dict with the keys {keys}, the names of the inputs. "
                    f"Received: x with the keys {checks.shorten([*inputs])}"
                )
            return [inputs[key] for key in keys]
        values = [*inputs] if isinstance(inputs, list | tuple) else [inputs]
        if len(values) != len(entries):
            values = flattened(inputs)
        if len(values) != len(entries):
            raise ValueError(
                f"x must have one array for each of the inputs {names}, in a list or by name. "
                f"Received: {len(values)} arrays"
            )
        return values

    def _adjusted(self, x: Any, expected: Shape) -> Any:
        """Add or drop a last axis of size 1 where that makes the input fit, as Keras does."""
        shape = _adjusted_shape(tuple(x.shape), expected)
        self._require_fit(expected, (None, *shape[1:]))
        if shape == tuple(x.shape):
            return x
        return (
            x.reshape(shape) if not isinstance(x, SymbolicTensor) else RESHAPE(x, target=shape[1:])
        )

    def _require_fit(self, expected: Shape, shape: Shape) -> None:
        if not _fits(expected, shape):
            hint = ""
            if len(shape) == len(expected) - 1:
                hint = "; for a single example, pass x[None]"
            raise ValueError(
                f"{self.name} takes inputs of shape {expected}{hint}. Received: shape {shape}"
            )

    def _shapes_for(self, shapes: tuple[Shape, ...]) -> Any:
        """Return symbolic outputs, without calls behind them, for the shapes of the inputs."""
        entries = [] if self._input is None else [self._input.batch_shape]
        if self._functional:
            entries = [s.shape for s in self._known_graph().entries]
        for expected, shape in zip(entries, shapes, strict=False):
            self._require_fit(expected, shape)
        kinds = self._input_dtypes(len(shapes))
        pairs = zip(shapes, kinds, strict=True)
        flat = [SymbolicTensor(examples_of((None, *s[1:]), kind)) for s, kind in pairs]
        inputs = self._structured(flat)
        self._build_once(mapped(lambda s: s.shape, inputs))
        return self._outputs_for((inputs,), {})

    @contextlib.contextmanager
    def _undone_on_error(self) -> Iterator[None]:
        """If the model is not built before and there is an error, leave it as it was."""
        if self.built:
            yield
            return
        stream = random.state()
        with self._tried(keeps=True):
            try:
                yield
            except BaseException:
                random.set_state(stream)
                raise

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the model to data, or to symbolic tensors.

        Parameters
        ----------
        *args, **kwargs : object
            As for `Layer`: the input, and `training`.

        Returns
        -------
        Tensor or SymbolicTensor, or nested list or dict of them
            The output.

        Raises
        ------
        ValueError
            If the input's shape does not fit.
        """
        symbolic = any(isinstance(v, SymbolicTensor) for v in flattened([args, kwargs]))
        inside = symbolic or CALL.get() is not None or RECORDER.get() is not None
        known = len(args) == 1 and kwargs.keys() <= {"training"}
        if inside or TAPES.get() or not known or not self._is_traceable():
            return super().__call__(*args, **kwargs)
        kind = "call" if kwargs.get("training") else "predict"
        return mapped(as_tensor, self._predict_batch(self._inputs(args[0]).x, kind))

    def _is_traceable(self) -> bool:
        """Whether all code that a call runs is the library's: tracing it changes nothing."""
        return not self._has_own_call and all(
            type(layer) in _registry.written for layer in self._all_layers()[1:]
        )

    # ------------------------------------------------------------ what the loops ask

    def _structured(self, flat: list[Any]) -> Any:
        """Return inputs as `call` takes them."""
        given = self._structure_of_inputs
        if given is None or (self._graph is not None and not self._has_own_call):
            return flat[0] if len(flat) == 1 else flat
        left = iter(flat)
        return mapped(lambda _: next(left), given)

    def _input_arrays(self, x: Any) -> list[Any]:
        """Return the arrays of the inputs, as they were passed."""
        if type(x) is np.ndarray and (self._input is not None or not self._functional):
            return [self._with_rank(x)]
        if self._functional and len(self._known_graph().entries) > 1:
            values = self._in_order(x)
            entries = self._known_graph().entries
            return [self._with_rank(v, s.shape) for v, s in zip(values, entries, strict=True)]
        several = isinstance(x, list | tuple | dict) and len(x) > 1
        if self._has_own_call and (several or isinstance(x, dict)) and _are_arrays(x):
            self._structure_of_inputs = mapped(lambda _: None, x)
            return [self._with_rank(v) for v in flattened(x)]
        numbers_only = self._input is not None and self._input.batch_shape[1:] in ((), (1,))
        x = only("x", x, self._input_name(), 0 if numbers_only else None)
        sparse = hasattr(x, "tocsr") and len(x.shape) == 2 and self._takes_rows(x)
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
        """Return the types that inputs are converted to: floats are the model's, others stay."""
        own = [s.dtype for s in self._graph.entries] if self._functional and self._graph else []
        own = own if len(own) == n else [self.dtype] * n
        return [np.dtype(self.dtype if kind in config.FLOATS else kind) for kind in own]

    def _input_name(self) -> str | None:
        return self._input.name if self._input else None

    def _output_name(self) -> str | None:
        names = self._output_names()
        return names[0] if names is not None and len(names) == 1 else None

    def _output_names(self) -> list[str] | None:
        """Return the names of the outputs, as far as they are known."""
        if self._functional:
            return self.output_names
        return None if self._has_own_call or not self._layers else [self._layers[-1].name]

    def _takes_rows(self, x: Any) -> bool:
        """Whether the inputs go, laid out in rows, straight into dense layers only."""
        if self._has_own_call:
            return False
        first = self._first_layers()
        if len(getattr(x, "shape", ())) > 2:
            if [type(layer) for layer in first] != [layers.Flatten]:
                return False
            first = self._first_layers(after=first[0])
        return bool(first) and all(
            type(layer) is layers.Dense and layer.dtype == self.dtype for layer in first
        )

    def _first_layers(self, after: Layer | None = None) -> list[Any]:
        """Return what the only input, or the result of a layer, is passed to."""
        if self._graph is None:
            row = self._layers if after is None else self._layers[self._layers.index(after) + 1 :]
            first = row[:1]
        else:
            if len(self._graph.entries) > 1:
                return []
            start = self._graph.entries[0]
            if after is not None:
                start = after._nodes[-1].outputs
            first = [n.operation for n in self._graph.nodes if any(i is start for i in n.inputs)]
        if len(first) == 1 and isinstance(first[0], Model):
            return first[0]._first_layers() if not first[0]._has_own_call else []
        return first

    def _many_steps(self, source: Any, batch_size: int) -> Any:
        if type(self)._train_step is not Trainer._train_step or self._plan is None:
            return None
        return steps_of(self, self.optimizer, self._plan, source, batch_size)

    # ------------------------------------------------------------ what it looks like

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print the layers, their output shapes and their numbers of parameters.

        Parameters
        ----------
        line_length : int, optional
            The width in characters.
        positions : object
            Accepted as Keras does, without effect.
        print_fn : callable, optional
            What the text is passed to; by default it is printed.
        expand_nested : bool
            Whether the layers of nested models are listed too.
        show_trainable : bool
            Whether to show which layers are trained.
        layer_range : object
            Accepted as Keras does, without effect.
        """
        text = "\n".join(summary_lines(self, line_length, expand_nested, show_trainable))
        if print_fn is None:
            write(text + "\n", strict=True)
        else:
            print_fn(text)

    def _repr_html_(self) -> str:
        """Show the summary as a table, where a notebook shows this."""
        return summary_html(self)

    # ------------------------------------------------------------ files

    def get_config(self) -> dict[str, Any]:
        """Return what the model is made of, without its weights."""
        if not self._functional:
            return super().get_config()
        return {"name": self.name, "trainable": self.trainable, **graph_config(self._known_graph())}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a model from its configuration.

        Parameters
        ----------
        config : dict
            What `get_config` returned.

        Returns
        -------
        Model
            A new one, with new weights.

        Raises
        ------
        ValueError
            If a layer has several inputs.
        """
        if "input_layers" not in config:
            return super().from_config(config)
        inputs, outputs = tensors_of(config)
        return cls(inputs, outputs, config.get("name"), config.get("trainable", True))

    def save(self, filepath: Any, overwrite: bool = True, include_optimizer: bool = True) -> None:
        """Save the model, how it was compiled, its weights and the optimizer's state.

        Parameters
        ----------
        filepath : str or Path
            Where; it ends in ``.tinynet``, ``.keras``, ``.h5`` or ``.hdf5``.
        overwrite : bool
            Whether an existing file may be replaced.
        include_optimizer : bool
            Whether to save how it was compiled and the optimizer's state.

        Raises
        ------
        ValueError
            If the ending is another one.
        OSError
            If the file exists and must not be replaced, or can't be written.
        """
        from tinynet import saving

        saving.save_model(self, filepath, overwrite, include_optimizer)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Save the weights, and the optimizer's state if the model is compiled.

        Parameters
        ----------
        filepath : str or Path
            Where; it ends in ``.weights.h5``.
        overwrite : bool
            Whether an existing file may be replaced.

        Raises
        ------
        ValueError
            If the ending is another one, or the model is not built.
        OSError
            If the file exists and must not be replaced, or can't be written.
        """
        from tinynet import saving

        saving.save_weights(self, filepath, overwrite)

    def load_weights(
        self, filepath: Any, skip_mismatch: bool = False, by_name: bool = False
    ) -> None:
        """Load weights, and the optimizer's state if the model is compiled.

        The learning rate stays as it was set.

        Parameters
        ----------
        filepath : str or Path
            A file of weights, or a whole model.
        skip_mismatch : bool
            If True, layers whose weights do not fit are left as they are, with a warning.
        by_name : bool
            If True, load only layers whose name is in the file; only for ``.h5`` and ``.hdf5``.

        Raises
        ------
        ValueError
            If the file is damaged or does not fit; the model stays as it was.
        OSError
            If it can't be read.
        """
        from tinynet import saving

        saving.load_weights(self, filepath, skip_mismatch, by_name)

    def export(self, filepath: Any, format: str = "onnx", **options: Any) -> None:
        """Write the model, as it predicts, for other runtimes.

        Parameters
        ----------
        filepath : str or Path
            Where.
        format : {"onnx"}
            The format; Keras has others, which tinynet has not.
        **options : object
            `verbose` and others of Keras, accepted without effect.

        Raises
        ------
        ValueError
            If the format is another one, the model is not built, or it holds a layer or an
            activation of your own.
        ImportError
            If the package onnx is not installed.
        OSError
            If it can't be written; an older file is still there then.
        """
        from tinynet.onnx_export import export_onnx

        checks.choice("format", format, ["onnx"])
        export_onnx(self, filepath)

    def to_json(self) -> str:
        """Write what the model is made of as JSON, without its weights.

        Returns
        -------
        str
            What `models.model_from_json` takes.
        """
        from tinynet import saving

        return saving.to_json(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to a run; the graph as data."""
        state = super().__getstate__()
        plan = self._graph.plan() if self._functional and self._graph is not None else None
        state.update(_programs={}, _plan=None, history=None, _calls=0, _graph=plan)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a copy's state, the weights again as views of one flat vector."""
        plan = state.pop("_graph")
        super().__setstate__(state)
        self._graph = None
        if plan is not None:
            self._graph = rebuilt(plan, _own_entry, lambda operation: operation)
        elif self.built and not self._has_own_call:
            self._restore_graph()
        if self.built:
            pack(sorted(self.weights, key=lambda w: not w.trainable))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Copy the model with its weights."""
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return new


class Sequential(Model):
    """Layers in a row.

    Parameters
    ----------
    layers : list of Layer, optional
        The layers, the first of which may be an `Input`.
    trainable : bool
        Whether training changes its weights.
    name : str, optional
        By default ``"sequential"``, numbered.

    Examples
    --------
    >>> model = Sequential([layers.Input((784,)), layers.Dense(10, activation="softmax")])
    >>> model.count_params()
    7850
    """

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(name=name, trainable=trainable)
        if layers is not None and not isinstance(layers, list | tuple):
            raise TypeError(
                f"layers must be a list of layers. Received: layers={checks.shorten(layers)}"
            )
        for layer in layers or []:
            self._append(layer)
        self._rebuild()

    def add(self, layer: Any) -> None:
        """Append a layer; where the input's shape is known, it is built at once.

        Parameters
        ----------
        layer : Layer or SymbolicTensor
            The layer, or an `Input`.

        Raises
        ------
        ValueError
            If it is no layer, a second input, of a name that is taken, or does not fit.
        """
        graph, built = self._graph, self.built
        self._append(layer)
        try:
            self._rebuild()
        except BaseException:
            self._layers.pop()
            self._graph, self.built = graph, built
            raise

    def _append(self, layer: Any) -> None:
        if isinstance(layer, SymbolicTensor) and isinstance(layer.layer, InputLayer):
            layer = layer.layer
        if not isinstance(layer, Layer):
            raise ValueError(
                f"{self.name} takes layers only. Received: {checks.shorten(layer)} of type "
                f"{type(layer).__name__}"
            )
        if isinstance(layer, InputLayer):
            if self._input is not None or self._layers:
                raise ValueError(
                    f"{self.name} takes one input, before all layers. Received: {layer.name}"
                )
            self._enter(layer)
            return
        if layer.name in [other.name for other in self._layers]:
            raise ValueError(
                f"All layers of {self.name} must have different names. "
                f"Received: a second layer {layer.name!r}"
            )
        if not self._layers and self._input is None:
            shape = layer._first_shape
            if shape is None and isinstance(layer, Model) and layer._graph is not None:
                shape = layer.input_shape
            if shape is not None:
                self._input = InputLayer(batch_shape=shape, dtype=self.dtype)
        self._layers.append(layer)
        self.built = False

    def pop(self, rebuild: bool = True) -> Layer | None:
        """Remove the last layer.

        Parameters
        ----------
        rebuild : bool
            Whether to build what is left.

        Returns
        -------
        Layer
            The layer.
        """
        if not self._layers:
            return None
        layer = self._layers.pop()
        self.built, self._graph = False, None
        if rebuild:
            self._rebuild()
        return layer

    def _rebuild(self) -> None:
        if self._input is not None and self._layers:
            self.build(self._input.batch_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Apply layer after layer."""
        x = inputs
        if self._input is not None:
            x = self._adjusted(x, self._input.batch_shape)
        for layer in self._layers:
            x = layer(x)
        return x

    def _make_graph(self, shape: Any) -> None:
        """Apply the layers to the symbolic input: those that are new, if layers were added."""
        if not self._layers:
            raise ValueError(f"{self.name} has no layers: add some. Received: layers=[]")
        if self._input is None:
            self._input = InputLayer(batch_shape=shape, dtype=self.dtype)
        elif not _fits(self._input.batch_shape, shape):
            self._adjusted(SymbolicTensor(examples_of(shape, self.dtype)), self._input.batch_shape)
        x: Any = self._input.output
        done = 0
        if self._graph is not None and self._graph.entries == [x]:
            kept = [node.operation for node in self._graph.nodes]
            if kept == self._layers[: len(kept)]:
                done, x = len(kept), self._graph.outputs
        for layer in self._layers[done:]:
            x = layer(x)
        self._graph = Graph(self._input.output, x)

    _restore_graph = _rebuild

    def get_config(self) -> dict[str, Any]:
        """Return what the model is made of, without its weights."""
        listed = [] if self._input is None else [self._input]
        config = {
            **super().get_config(),
            "layers": [layers.serialize(x) for x in listed + self._layers],
        }
        if self._input is not None:
            config["build_input_shape"] = list(self._input.batch_shape)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a model from its configuration.

        Parameters
        ----------
        config : dict
            What `get_config` returned.

        Returns
        -------
        Sequential
            A new one, with new weights.
        """
        listed = [layers.deserialize(entry) for entry in config["layers"]]
        model = cls(listed, config.get("trainable", True), config.get("name"))
        if model._input is None:
            model.dtype = checks.float_type(config.get("dtype"), model.dtype)
        shape = config.get("build_input_shape")
        if not model.built and shape is not None and listed:
            model.build(shape)
        return model


_registry.register(module="keras")(Sequential)
_registry.register(class_name="Functional", module="keras.src.models.functional")(Model)


def _fits(expected: Shape, shape: Shape) -> bool:
    """Say whether a shape is the expected one, wherever both are known; the batch may differ."""
    return len(expected) == len(shape) and all(
        a is None or b is None or a == b for a, b in zip(expected[1:], shape[1:], strict=True)
    )


def _adjusted_shape(shape: Any, expected: Shape) -> Any:
    """Return a shape with or without a last axis of size 1, if that is what is expected."""
    other = shape
    if len(shape) == len(expected) + 1 and shape[-1] == 1:
        other = shape[:-1]
    elif len(shape) == len(expected) - 1 and expected[-1] == 1:
        other = (*shape, 1)
    return other if _fits(expected, other) else shape


def _are_arrays(x: Any) -> bool:
    """Return whether a list or dict holds arrays, rather than rows of numbers."""
    return all(len(getattr(leaf, "shape", ())) > 0 for leaf in flattened(x))


def _new_entry(layer: Any, shape: Shape, dtype: str) -> SymbolicTensor:
    """Return a symbolic input; an existing one, if it is that of an input layer."""
    if isinstance(layer, InputLayer):
        return layer.output  # type: ignore[no-any-return]
    return InputLayer(batch_shape=shape, dtype=dtype).output  # type: ignore[no-any-return]


_own_entry = _new_entry
