"""The model: layers in a row, the shapes between them, and one flat vector of parameters."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinynet import activations, checks, config, layers
from tinynet.data import only
from tinynet.layers.base import Layer, _registry, takes
from tinynet.layers.shaping import InputLayer
from tinynet.layers.symbolic import Shape, SymbolicTensor, chain
from tinynet.program.operations import TAPES, to_array
from tinynet.program.tensor import TABLE
from tinynet.progress import write
from tinynet.registry import unique_name
from tinynet.sparse import CompressedRows
from tinynet.steps import steps_of
from tinynet.summary import summary_html, summary_lines
from tinynet.training import Trainer
from tinynet.variable import Array, Variable, as_tensor, pack
from tinynet.workspace import Workspace


class Model(Trainer):
    """Layers in a row, with training, pictures and files: the base of all models.

    There are three ways to say which layers: the list of a `Sequential`; the symbolic input and
    output of the functional way, ``Model(inputs, outputs)``; or a subclass that makes its layers
    in ``__init__`` and applies them in ``call(self, x)``, which is followed once.

    Parameters
    ----------
    inputs, outputs : SymbolicTensor, optional
        What `Input` returned, and what the last layer returned.
    name : str, optional
        By default the class name in snake case, numbered.
    trainable : bool
        Whether training changes its weights.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError, TypeError
        If the outputs are not made from the inputs, each layer applied to the one before.

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
        self._end: SymbolicTensor | None = None
        if self._functional:
            row = chain(inputs, outputs)
            listed = [*inputs.values()] if isinstance(inputs, dict) else inputs
            first = listed[0] if isinstance(listed, list | tuple) else listed
            if not isinstance(first.layer, InputLayer):
                raise ValueError(
                    f"inputs must be what Input returned. Received: the output of {first.name}"
                )
            names = [first.name, *(layer.name for layer in row)]
            if len(set(names)) < len(names):
                raise ValueError(
                    f"All layers of {self.name} must have different names. Received: {names}"
                )
            self._layers = row
            self._enter(first.layer)
            self.build(first.layer.batch_shape)

    def _enter(self, layer: InputLayer) -> None:
        """Set the input layer, whose type inputs are converted to."""
        self._input = layer
        if layer.input_dtype in config.FLOATS:
            self.dtype = layer.input_dtype

    # ------------------------------------------------------------ what it is made of

    @property
    def layers(self) -> list[Layer]:
        """Its layers; a functional model's begin with its input layer."""
        own: list[Layer] = [*self._own_layers()]
        return [self._input, *own] if self._functional and self._input is not None else own

    def _own_layers(self) -> list[Layer]:
        """The layers in the order of their weights: the row; before that is known, attributes."""
        if self._layers or not hasattr(self, "call"):
            return self._layers
        return self._inner_layers()

    #: The `build` of a subclass, and whether it runs or has run.
    _own_build: Any = None
    _in_build = _own_built = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Wrap a subclass's `build`, which `Model.build` then calls."""
        super().__init_subclass__(**kwargs)
        own = vars(cls).get("build")
        if own is not None and hasattr(cls, "call"):

            @functools.wraps(own)
            def build(self: Any, input_shape: Any = None) -> None:
                if self._in_build:  # called by the build of a class derived from this one
                    own(self, input_shape)
                else:
                    Model.build(self, input_shape)

            cls._own_build, cls.build = own, build  # type: ignore[method-assign]  # wrapped

    def _trace(self, input_shape: Shape) -> None:
        """Follow a subclass's own `call` once, to see which layers it applies."""
        call = getattr(self, "call", None)
        if call is None or self._layers:
            return
        if self._own_build is not None and not self._own_built:
            self._in_build = True
            try:
                self._own_build((None, *input_shape[1:]))
            finally:
                self._in_build = self.built = False
            self._own_built = True
        entry = InputLayer(batch_shape=input_shape, dtype=self.dtype)
        options = {"training": True} if takes(call, "training") else {}
        row = chain(entry.output, call(entry.output, **options))
        declared = self._own_layers()
        unused = [layer.name for layer in declared if layer not in row]
        if unused:
            raise ValueError(
                f"The call of {type(self).__name__} must apply each of its layers. "
                f"Received: {', '.join(unused)} not applied"
            )
        self._input, self._layers = entry, row

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
    def input_shape(self) -> Shape:
        """The shape of the input, batch size first; only where it is known."""
        return self._known_input().batch_shape

    @property
    def output_shape(self) -> Shape:
        """The shape of the output, batch size first; only where it is known."""
        return self.compute_output_shape(self.input_shape)

    @property
    def input(self) -> SymbolicTensor:
        """The symbolic input; only where it is known."""
        return self._known_input().output

    @property
    def output(self) -> SymbolicTensor:
        """The symbolic output; only where it is known."""
        self._known_input()
        return self._layers[-1].output if self._end is None else self._end

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic input, in a list as Keras has it."""
        return [self.input]

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic output, in a list as Keras has it."""
        return [self.output]

    def _known_input(self) -> InputLayer:
        if self._input is None or not self._layers:
            raise AttributeError(
                f"{self.name} does not know its input's shape before it is built. "
                f"Received: built={self.built}"
            )
        return self._input

    # ------------------------------------------------------------ layers in a row

    def build(self, input_shape: Any = None) -> None:
        """Make all weights, as views of one flat vector.

        Parameters
        ----------
        input_shape : tuple of (int or None)
            The shape of the input, batch size first.

        Raises
        ------
        ValueError
            If it does not fit, or there are no layers.
        """
        if self._in_build:
            return
        if input_shape is None:
            input_shape = self._known_input().batch_shape
        shape = checks.shape("input_shape", input_shape, batch=True)
        self._trace(shape)
        self.compute_output_shape(shape)
        if self._input is None:
            self._input = InputLayer(batch_shape=shape, dtype=self.dtype)
        tensor = self._input.output
        for layer in self._layers:
            output_shape = layer.compute_output_shape(shape)
            layer._build_once(shape)
            tensor = layer._applied_to(tensor, output_shape)
            shape = output_shape
        self._end = tensor
        # The trainable ones lie together, so that an optimizer's step is one call.
        pack(sorted(self.weights, key=lambda w: not w.trainable))
        self._checked_shape, self._head_position = None, self._head()
        super().build(self._input.batch_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Say what shape the output has, layer after layer.

        Parameters
        ----------
        input_shape : tuple of (int or None)
            The shape of the input, batch size first.

        Returns
        -------
        tuple of (int or None)
            The shape of the output.

        Raises
        ------
        ValueError
            If the input does not fit.
        """
        shape = tuple(input_shape)
        self._trace(shape)
        if not self._layers:
            raise ValueError(f"{self.name} has no layers: add some. Received: layers=[]")
        if self._input is not None and not _fits(self._input.batch_shape, shape):
            hint = ""
            if len(shape) == len(self._input.batch_shape) - 1:
                hint = "; for a single example, pass x[None]"
            raise ValueError(
                f"{self.name} takes inputs of shape {self._input.batch_shape}{hint}. "
                f"Received: shape {shape}"
            )
        for layer in self._layers:
            shape = layer.compute_output_shape(shape)
        return shape

    def forward(self, x: Array, work: Workspace, training: bool = False) -> Array:
        """Run the layers one after the other."""
        work.of(self._layers[self._head_position]).logits = work.logits
        for layer in self._layers:
            x = layer._apply(x, work.of(layer), training)
        return x

    @property
    def _computes_in(self) -> Any:
        return None

    _head_position = -1

    def _head(self) -> int:
        """The position of the layer whose activation makes the output: linear ones pass it on."""
        position = len(self._layers) - 1
        while position > 0:
            layer = self._layers[position]
            passes = isinstance(layer, layers.Activation | InputLayer)
            if not (passes and layer.output_activation in (None, activations.linear)):
                break
            position -= 1
        return position

    def backward(self, d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
        """Run the layers backwards; what lies before the first weight needs no gradient."""
        d: Array | None = d_y
        first = 0 if need_d_x else work.first
        for i in range(len(self._layers) - 1, first - 1, -1):
            layer = self._layers[i]
            assert d is not None
            d = layer._apply_backward(d, work.of(layer), need_d_x or i > first)
        return d

    @property
    def output_activation(self) -> Any:
        """The activation that the output comes straight out of."""
        return self._layers[self._head_position].output_activation if self._layers else None

    def _ready(self, source: Any) -> None:
        new = self._objective.metrics is None
        super()._ready(source)
        for text in self._constant_softmaxes(source.input_shape) if new else ():
            checks.warn(f"{text}. Did you mean sigmoid?")

    def _constant_softmaxes(self, shape: Shape) -> Iterator[str]:
        """Find softmaxes over an axis of size 1; Keras warns about them, too."""
        for layer in self._layers:
            if isinstance(layer, Model):
                yield from layer._constant_softmaxes(shape)
            shape = layer.compute_output_shape(shape)
            axis = layer.axis if isinstance(layer, layers.Softmax) else -1
            if getattr(layer, "activation", None) is activations.softmax and shape[axis] == 1:
                yield (
                    f"{layer.name} computes a softmax over axis {axis} of shape {shape}. This axis "
                    "has size 1, so the result is always 1"
                )

    def _takes_rows(self, x: Any) -> bool:
        """Whether the inputs go, laid out in rows, straight into a dense layer."""
        row = self._own_layers()
        if row and isinstance(row[0], Model):
            return row[0]._takes_rows(x)
        if row and len(getattr(x, "shape", ())) > 2:
            row = row[1:] if type(row[0]) is layers.Flatten else []
        return bool(row) and type(row[0]) is layers.Dense

    def _many_steps(self, source: Any, batch_size: int) -> Any:
        own = (type(self).forward, type(self).backward, type(self)._train_step)
        if own != (Model.forward, Model.backward, Trainer._train_step) or self._plan is None:
            return None
        return steps_of(
            self._layers, self._objective, self.optimizer, self._plan, source, batch_size
        )

    def _names(self) -> tuple[str | None, str | None]:
        row = self._layers
        return self._input.name if self._input else None, row[-1].name if row else None

    def _one_input(self, x: Any) -> Any:
        if type(x) is np.ndarray:
            return x
        numbers_only = self._input is not None and self._input.batch_shape[1:] in ((), (1,))
        x = only("x", x, self._names()[0], 0 if numbers_only else None)
        sparse = hasattr(x, "tocsr") and len(x.shape) == 2 and self._takes_rows(x)
        return CompressedRows.from_scipy(x, self.dtype) if sparse else x

    def _adjust_rank(self, x: Any) -> Any:
        expected = self._input.batch_shape if self._input is not None else x.shape
        if len(x.shape) == len(expected) + 1 and x.shape[-1] == 1:
            shape = x.shape[:-1]
        elif len(x.shape) == len(expected) - 1 and expected[-1] == 1:
            shape = (*x.shape, 1)
        else:
            return x
        return x.reshape(shape) if _fits(expected, shape) else x

    def _recorded(self, x: Any, training: bool) -> Any:
        """Apply layer after layer, so that a tape can follow."""
        self._inputs(np.asarray(to_array(x)))
        if x.ndim != len(self._known_input().batch_shape):
            x = TABLE["reshape"](x, self._adjust_rank(np.asarray(x)).shape)
        for layer in self._layers:
            x = layer(x, training)
        return x

    def _require_backward(self) -> None:
        """Refuse a custom layer with its own `forward` but no `backward`."""
        for layer in self._own_layers():
            if isinstance(layer, Model):
                layer._require_backward()
            elif type(layer).backward is Layer.backward and not layer._differentiated:
                raise ValueError(
                    f"The layer {layer.name} must define backward(self, d_y, work, need_d_x) next "
                    "to its forward; or call(self, x), which is differentiated. "
                    f"Received: {type(layer).__name__} without backward"
                )

    def _give_gradients(self, work: Workspace, gradients: dict[int, Array]) -> None:
        trained = [i for i, layer in enumerate(self._layers) if layer.trainable_weights]
        work.first = trained[0] if trained else 0
        for layer in self._layers:
            layer._give_gradients(work.of(layer), gradients)

    def __call__(self, x: Any, training: bool = False) -> Any:
        """Apply the model to data, or to the shape of data to come.

        Parameters
        ----------
        x : array_like or SymbolicTensor
            The input, batch axis first.
        training : bool
            Whether to behave as in a training step.

        Returns
        -------
        Tensor or SymbolicTensor
            The output.

        Raises
        ------
        ValueError
            If the input's shape does not fit.
        """
        if isinstance(x, SymbolicTensor):
            return super().__call__(x, training)
        if TAPES.get():
            return self._recorded(x, bool(training))
        return as_tensor(self._predict_batch(self._inputs(x).x, bool(training)))

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
        if not self._functional or self._input is None:
            return super().get_config()
        shape, source = self._input.batch_shape, self._input.name
        listed = [{**layers.serialize(self._input), "name": source, "inbound_nodes": []}]
        for layer in self._layers:
            tensor = {"shape": list(shape), "dtype": layer.dtype, "keras_history": [source, 0, 0]}
            node = {"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}
            listed.append({**layers.serialize(layer), "name": layer.name, "inbound_nodes": [node]})
            shape, source = layer.compute_output_shape(shape), layer.name
        return {
            "name": self.name,
            "trainable": self.trainable,
            "layers": listed,
            "input_layers": [self._input.name, 0, 0],
            "output_layers": [source, 0, 0],
        }

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
        tensors: dict[str, SymbolicTensor] = {}
        for entry in config["layers"]:
            layer = layers.deserialize(entry)
            if isinstance(layer, InputLayer):
                tensors[layer.name] = layer.output
                continue
            sources = [tensor for node in entry["inbound_nodes"] for tensor in node["args"]]
            if len(sources) != 1 or not isinstance(sources[0], dict):
                raise ValueError(
                    f"A model must apply each layer once, to one input; {layer.name} has several. "
                    f"Received: {len(sources)} inputs"
                )
            tensors[layer.name] = layer(tensors[sources[0]["config"]["keras_history"][0]])
        # Some versions write a list of one end.
        ends = (config["input_layers"], config["output_layers"])
        first, last = (tensors[(end[0] if len(end) == 1 else end)[0]] for end in ends)
        return cls(first, last, config.get("name"), config.get("trainable", True))

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
        """Leave out what belongs to a run."""
        state = self.__dict__.copy()
        state.update(_idle=type(self._idle)(), _work=None, _plan=None, history=None, _calls=0)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a copy's state, the weights again as views of one flat vector."""
        self.__dict__.update(state)
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
        built = self.built
        self._append(layer)
        try:
            self._rebuild()
        except BaseException:
            self._layers.pop()
            self.built = built
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
            if shape is None and isinstance(layer, Model) and layer._input is not None:
                shape = layer._input.batch_shape
            if shape is not None:
                self._input = InputLayer(batch_shape=shape, dtype=self.dtype)
        self._layers.append(layer)
        self.built, self._end = False, None

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
        self.built, self._end = False, None
        if rebuild:
            self._rebuild()
        return layer

    def _rebuild(self) -> None:
        if self._input is not None and self._layers:
            self.build(self._input.batch_shape)

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
