"""Layers: the steps a net is made of, each with its weights and its two directions.

A layer does three things. `build` makes its weights once the shape of its input is known.
`forward` computes its output and notes in a `Workspace` what the way back will need.
`backward` gets the gradient of the loss in its output, writes the gradients of its weights, and
returns the gradient in its input. The maths itself stands in `functional`.

A custom layer defines `build` and ``call(x)``, as in Keras, and is differentiated. It may define
`backward`, too, whose ``work.x`` is then the input of `call`; or `forward` and `backward`.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import weakref
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import numpy as np

from tinynet import activations, checks, config, constraints, initializers, regularizers
from tinynet.checks import numeric
from tinynet.layers.symbolic import Shape, SymbolicTensor
from tinynet.program.operations import TAPES, apply
from tinynet.program.tape import GradientTape
from tinynet.program.tensor import TABLE
from tinynet.registry import Registry, unique_name
from tinynet.sparse import SparseBatch
from tinynet.variable import Array, Tensor, Variable, as_tensor, copies
from tinynet.workspace import Workspace

_registry = Registry("layer", "keras.layers")

_serials = itertools.count()
# Attributes of a model that do not say which layers a custom class has.
_NOT_INSIDE = ("_layers", "_input")

_DTYPES = {name: np.dtype(name) for name in config.FLOATS}

#: What makes the first values of all weights in place of their initializers, if anything: while
#: a file is loaded, whose weights replace them.
initializer_override: ContextVar[Callable[..., Any] | None] = ContextVar("override", default=None)


class _KeepsArguments:
    """The base of `Layer`, which itself must have the signature of its `__init__`."""

    #: Arguments of the constructor, by position and by name.
    _args: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Keep the arguments of a custom class, from which its configuration is made."""
        layer = super().__new__(cls)
        if cls not in _registry.written:
            layer._args = (args, kwargs)
        return layer


class Layer(_KeepsArguments):
    """The base of all layers.

    Parameters
    ----------
    name : str, optional
        By default the class name in snake case, numbered.
    trainable : bool
        Whether training changes its weights.
    dtype : {"float32", "float64"}, optional
        The type it computes in; by default `config.floatx()`.
    input_shape : tuple of int, optional
        The shape of one example, where the layer is a model's first.
    input_dim : int, optional
        The same for an input of one dimension.
    **kwargs : object
        None of them; they are listed in the error.

    Examples
    --------
    >>> from tinynet.layers import Dense
    >>> layer = Dense(2, name="hidden")
    >>> layer.build((None, 3))
    >>> [(w.path, w.shape) for w in layer.weights]
    [('hidden/kernel', (3, 2)), ('hidden/bias', (2,))]
    """

    #: Names of the arguments that only this kind of layer has, which are attributes too.
    _own: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the `build` of a custom class end in a built layer, as in Keras."""
        super().__init_subclass__(**kwargs)
        own = vars(cls).get("build")
        if own is not None and not cls.__module__.startswith("tinynet."):

            @functools.wraps(own)
            def build(self: Any, input_shape: Any = None) -> None:
                own(self, input_shape)
                if not self.built:
                    Layer.build(self, input_shape)

            cls.build = build  # type: ignore[method-assign]  # wrapped

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        input_shape: Any = None,
        input_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        checks.no_more(type(self).__name__, kwargs, _keywords(type(self)))
        for kind in type(self).__mro__:  # the first that defines one of them
            if "forward" in vars(kind) or hasattr(kind, "fit"):
                break
            if "call" in vars(kind) and type(self).forward is not Layer.forward:
                raise NotImplementedError(
                    f"{kind.__name__}.call would never be called, since its base class has another "
                    "way to compute; derive from layers.Layer instead, and use the built-in layer "
                    f"in call. Received: a subclass of {kind.__mro__[1].__name__}"
                )
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(
                f"name must be a string without '/'. Received: name={checks.shorten(name)}"
            )
        self.name: str = name or unique_name(type(self).__name__)
        self.trainable = checks.flag("trainable", trainable)
        self.dtype: str = checks.float_type(dtype, config.floatx())
        self.built = False
        self._serial = next(_serials)
        self._weights: list[Variable] = []
        self._build_shape: Shape | None = None
        self._nodes: list[SymbolicTensor] = []
        self._output: SymbolicTensor | None = None
        self._first_shape: Shape | None = None
        self._inferred: dict[tuple[Any, ...], tuple[int, ...]] = {}
        if input_dim is not None:
            input_shape = (checks.whole("input_dim", input_dim),)
        if input_shape is not None:
            self._first_shape = (None, *checks.shape("input_shape", input_shape))

    # -- to be defined by each kind of layer

    def build(self, input_shape: Shape) -> None:
        """Make the weights; called once, by itself, before the first use.

        Parameters
        ----------
        input_shape : tuple of (int or None)
            The shape of the input, batch size first.

        Raises
        ------
        ValueError
            If the layer has no use for such a shape.
        """
        self._build_shape = tuple(input_shape)
        self.built = True

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Say what shape the output has.

        Parameters
        ----------
        input_shape : tuple of (int or None)
            The shape of the input, batch size first.

        Returns
        -------
        tuple of (int or None)
            The shape of the output.
        """
        shape, example = tuple(input_shape), input_shape[1:]
        call = getattr(self, "call", None)
        if call is None or type(self) in _registry.written or None in example:
            return shape
        if example not in self._inferred:
            self._build_once((None, *example))
            self._inferred[example] = self._infer(example)
        return (*shape[:1], *self._inferred[example])

    def _infer(self, example_shape: Any) -> Any:
        """Return the shape of an example's output: that of `call` on zeros, as Keras does."""
        before = [(v, v.array.copy()) for v in self._variables()]
        token = TAPES.set(())
        try:
            with np.errstate(all="ignore"):
                y = self.call(as_tensor(np.zeros((2, *example_shape), self.dtype)))  # type: ignore[attr-defined]
        finally:
            TAPES.reset(token)
            for variable, array in before:
                variable.array[...] = array
        return np.shape(y)[1:]

    def forward(self, x: Array, work: Workspace, training: bool = False) -> Array:
        """Compute the output.

        Parameters
        ----------
        x : ndarray, shape (N, ...)
            The input.
        work : Workspace
            Where buffers live and notes for `backward` are kept.
        training : bool
            Whether this is a training step.

        Returns
        -------
        ndarray, shape (N, ...)
            The output.
        """
        call = getattr(self, "call", None)
        if call is None:
            raise NotImplementedError(
                f"{type(self).__name__} must define call(x), or forward(x, work, training)"
            )
        work.x = x = copies(x)[0]
        options = {"training": training} if takes(call, "training") else {}
        if not self._differentiated:
            return np.ascontiguousarray(call(x, **options), x.dtype)
        tensor = as_tensor(x)
        with GradientTape() as tape:
            tape.watch(tensor)
            y = call(tensor, **options)
        work.y = tape, tensor, y
        return np.ascontiguousarray(y, x.dtype)

    @property
    def _differentiated(self) -> bool:
        """Whether gradients come from recording `call`, and not from a `backward` of its own."""
        return type(self).backward is Layer.backward and hasattr(self, "call")

    def backward(self, d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
        """Write the weights' gradients to ``work.gradients``; return the input's.

        Parameters
        ----------
        d_y : ndarray, shape (N, ...)
            The gradient in the output; may be overwritten.
        work : Workspace
            The one that `forward` had.
        need_d_x : bool
            False for the first layer, whose input is data.

        Returns
        -------
        ndarray, shape (N, ...), or None
            The gradient in the input, where it is needed.
        """
        if not self._differentiated:
            raise NotImplementedError(
                f"{type(self).__name__} must define backward(d_y, work, need_d_x) next to its "
                "forward; or call(x), which is differentiated"
            )
        tape, tensor, y = work.y
        sources = [tensor, *self._variables()]
        d_x, *found = tape.gradient(y, sources, d_y, unconnected_gradients="zero")
        for out, gradient in zip(work.gradients, found, strict=False):
            if out is not None:
                out[...] = gradient
        return np.asarray(d_x)

    @property
    def output(self) -> SymbolicTensor:
        """Output of the layer in a model; with several models, each finds its own."""
        if not self._nodes:
            raise AttributeError(
                f"{self.name} has an input and an output once it is part of a built model. "
                f"Received: built={self.built}"
            )
        if self._output is None or self._output.nodes != tuple(self._nodes):
            last = self._nodes[-1]
            if len(self._nodes) == 1:
                return last
            self._output = SymbolicTensor(last.shape, last.dtype, self, last.source, self._nodes)
        return self._output

    @property
    def input(self) -> SymbolicTensor:
        """What the layer is applied to in its model."""
        output = self.output
        return output if output.source is None else output.source

    @property
    def output_activation(self) -> activations.Activation | None:
        """The activation that the output comes straight out of, if any."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments.

        Returns
        -------
        dict
            What `from_config` takes.
        """
        arguments: dict[str, Any] = {}
        if type(self) not in _registry.written:
            owner = next(cls for cls in type(self).__mro__ if "get_config" in vars(cls))
            if owner.__module__.startswith("tinynet."):  # a custom class without its own
                arguments = self._arguments()
        dtype = {"name": self.dtype}
        policy = {"module": "keras", "class_name": "DTypePolicy", "config": dtype}
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": {**policy, "registered_name": None},
            **arguments,
            **{name: _plain(getattr(self, name)) for name in self._own},
        }

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments that a custom class was constructed with."""
        parameters = inspect.signature(type(self).__init__).parameters
        bound = inspect.signature(type(self).__init__).bind(self, *self._args[0], **self._args[1])
        found = dict(list(bound.arguments.items())[1:])
        for name, parameter in parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                found |= found.pop(name, {})
            elif parameter.kind is parameter.VAR_POSITIONAL and found.get(name):
                raise ValueError(
                    f"{type(self).__name__} must define get_config, because __init__ takes "
                    f"*{name}. Received: {checks.shorten(found[name])}"
                )
        return found

    # -- the same for every layer

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a layer from its configuration.

        Parameters
        ----------
        config : dict
            What `get_config` returned. Keys that the constructor does not know, as other
            versions of Keras write them, are passed over.

        Returns
        -------
        Layer
            A new one, without weights.
        """
        known, late = _keywords(cls), {}
        parameters = inspect.signature(cls).parameters
        if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            late = {k: config[k] for k in ("name", "trainable", "dtype") if k in config}
            late = {k: v for k, v in late.items() if k not in parameters}
        layer = cls(**{k: v for k, v in config.items() if k in known and k not in late})
        layer.name = late.get("name", layer.name)
        layer.trainable = late.get("trainable", layer.trainable)
        layer.dtype = checks.float_type(late.get("dtype"), layer.dtype)
        return layer

    def add_weight(
        self,
        shape: tuple[int, ...],
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
        name: str = "weight",
        regularizer: Any = None,
        constraint: Any = None,
    ) -> Variable:
        """Make a weight; for `build`.

        Parameters
        ----------
        shape : tuple of int
            Its shape.
        initializer : str or Initializer
            Its first values.
        trainable : bool
            Whether training changes it.
        name : str
            Its name.
        regularizer : str or Regularizer, optional
            What its size costs.
        constraint : str or Constraint, optional
            What it must satisfy after every step.

        Returns
        -------
        Variable
            The weight, which is now one of `weights`.
        """
        make = initializer_override.get() or initializers.get(initializer)
        values = make(shape, dtype=self.dtype)
        if values.shape != shape:
            raise ValueError(
                f"The initializer of {self.name}/{name} must give values of shape {shape}. "
                f"Received: shape {values.shape}"
            )
        weight = Variable(values, trainable, self.dtype, name, f"{self.name}/{name}")
        weight.regularizer = regularizers.get(regularizer)
        weight.constraint = constraints.get(constraint)
        self._weights.append(weight)
        return weight

    def _variables(self) -> list[Variable]:
        """Return its own weights, then those of layers inside."""
        return self._weights + [w for layer in self._inner_layers() for w in layer.weights]

    def _inner_layers(self) -> list[Layer]:
        """Return the layers in the attributes of a custom class, in containers too.

        They are in the order in which attributes and entries were set; sets, which have no order,
        in the order in which their layers were made.
        """
        if type(self) in _registry.written:
            return []
        found: list[Layer] = []
        seen = {id(self)}
        todo = [v for name, v in vars(self).items() if name not in _NOT_INSIDE][::-1]
        while todo:
            value = todo.pop()
            if isinstance(value, Layer | dict | list | tuple | set | frozenset):
                if id(value) in seen:
                    continue
                seen.add(id(value))
            if isinstance(value, Layer):
                found.append(value)
            elif isinstance(value, set | frozenset):
                layers = [v for v in value if isinstance(v, Layer)]
                todo += sorted(layers, key=lambda layer: -layer._serial)
            elif isinstance(value, dict | list | tuple):
                todo += [*(value.values() if isinstance(value, dict) else value)][::-1]
        return found

    def get_build_config(self) -> dict[str, Any] | None:
        """Return what `build_from_config` needs to build the layer as it is now.

        Returns
        -------
        dict or None
            The shape of the input, if the layer is built.
        """
        return {"input_shape": list(self._build_shape)} if self._build_shape else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layer as it was when it was saved.

        Parameters
        ----------
        config : dict
            What `get_build_config` returned.
        """
        self.build(tuple(config["input_shape"]))

    @property
    def weights(self) -> list[Variable]:
        """All weights, the trainable ones first."""
        return sorted(self._variables(), key=lambda w: not w.trainable)

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        if not self.trainable:
            return []
        own = [w for w in self._weights if w.trainable]
        return own + [w for layer in self._inner_layers() for w in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that training leaves as they are."""
        return [w for w in self.weights if not (w.trainable and self.trainable)]

    # Keras has two names for each.
    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The same as `non_trainable_weights`."""
        return self.non_trainable_weights

    def get_weights(self) -> list[Array]:
        """Return copies of all weights.

        Returns
        -------
        list of ndarray
            In the order of `weights`.
        """
        return [w.array.copy() for w in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Set all weights; nothing is changed if one of them does not fit.

        Parameters
        ----------
        weights : list of array_like
            In the order of `weights`.

        Raises
        ------
        ValueError
            If their number, a shape or a type is another one, or the layer is not built.
        """
        own = self.weights
        if not isinstance(weights, Iterable) or isinstance(weights, str | bytes):
            raise TypeError(
                f"{self.name} takes a list of weights. Received: {checks.shorten(weights)}"
            )
        new = [w.array if isinstance(w, Variable) else w for w in weights]
        if len(new) != len(own):
            hint = "" if self.built else "; it has none before it is built"
            raise ValueError(
                f"{self.name} takes a list of {len(own)} weights{hint}. "
                f"Received: {len(new)} weights"
            )
        arrays = []
        for variable, value in zip(own, new, strict=True):
            array = checks.as_array(variable.path, value)
            if array.shape != variable.shape or array.dtype.kind not in "fiub":
                raise ValueError(
                    f"{variable.path} takes real numbers of shape {variable.shape}. "
                    f"Received: shape {array.shape}, dtype {array.dtype}"
                )
            arrays.append(array)
        for variable, array in zip(own, arrays, strict=True):
            variable.array[...] = array

    def count_params(self) -> int:
        """Count the elements of all weights.

        Returns
        -------
        int
            Their number.

        Raises
        ------
        ValueError
            If the layer is not built.
        """
        if not self.built:
            raise ValueError(
                f"{self.name} has no weights to count before it is built: "
                f"call build(input_shape), or call it on data. Received: built=False"
            )
        return sum(w.size for w in self.weights)

    def __call__(self, x: Any, training: bool = False) -> Any:
        """Apply the layer to data, or to the shape of data to come.

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
            shape = self.compute_output_shape(x.shape)
            self._build_once(x.shape)
            return self._applied_to(x, shape)
        array = self._to_input(x)
        self.compute_output_shape(array.shape)
        self._build_once((None, *array.shape[1:]))
        if TAPES.get():
            return self._recorded(x, training)
        return self._result(self._apply(array, Workspace(), training))

    def _recorded(self, x: Any, training: bool) -> Any:
        """Apply the layer so that a tape can follow."""
        if self._differentiated:
            options = {"training": training} if takes(self.call, "training") else {}  # type: ignore[attr-defined]
            return self.call(TABLE["cast"](x, self.dtype), **options)  # type: ignore[attr-defined]
        activation = self.output_activation
        call = _LayerCall(self, training, activation is not None)
        y = apply(call, [x, *self.trainable_weights], {})
        return y if activation is None else activation(y)

    def _applied_to(self, x: SymbolicTensor, shape: Shape) -> SymbolicTensor:
        """Return the output for a symbolic input, always the same for the same input."""
        found = (node for node in self._nodes if node.source is x and node.shape == shape)
        node = next(found, None)
        if node is None:
            node = SymbolicTensor(shape, self.dtype, self, x)
            self._nodes.append(node)
        return node

    def _result(self, y: Array) -> Tensor:
        return as_tensor(y)

    def _to_input(self, x: Any) -> Array:
        array = numeric("x", x)
        if array.ndim == 0:
            raise ValueError(f"{self.name} takes an array with a batch axis. Received: {array}")
        return np.ascontiguousarray(array, self.dtype)

    def _build_once(self, input_shape: Shape) -> None:
        """Build the layer if it is not built; all-or-nothing, whatever interrupts it."""
        if self.built:
            return
        before = list(self._weights)
        try:
            self.build(input_shape)
            call, known = getattr(self, "call", None), None not in input_shape[1:]
            if call and known and not all(layer.built for layer in self._inner_layers()):
                sizes: Any = (1, *input_shape[1:])
                call(np.zeros(sizes, self.dtype))  # builds them
        except BaseException:
            self._weights, self.built = before, False
            raise

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a Variable that replaces a weight becomes the weight."""
        old = self.__dict__.get(name)
        if isinstance(old, Variable) and isinstance(value, Variable):
            self._weights = [value if weight is old else weight for weight in self._weights]
        super().__setattr__(name, value)

    def _give_gradients(self, work: Workspace, gradients: dict[int, Array]) -> None:
        """Set the arrays that `backward` writes to: None for a weight that is frozen."""
        own = self._variables()
        learns = any(id(v) in gradients for v in own)
        work.gradients = [gradients.get(id(v)) for v in own] if learns else []

    # -- how a model calls a layer: nothing behind this looks at types and shapes again

    def _apply(self, x: Any, work: Workspace, training: bool = False) -> Array:
        """Run `forward` in this layer's dtype and check the shape of its output."""
        dtype, is_array = self._computes_in, type(x) is np.ndarray
        if not (is_array and x.dtype is dtype and x.flags.carray):
            x = self._converted(x)
        y: Array = self.forward(x, work, training)
        if not (type(y) is np.ndarray and y.dtype is dtype and y.flags.carray):
            y = self._converted(y)
        if work.checked != (x.shape, y.shape):
            expected = tuple(self.compute_output_shape(x.shape))
            if not _is_shape(y.shape, expected):
                raise ValueError(
                    f"The output of {self.name} must have the shape {expected}, which "
                    f"{type(self).__name__}.compute_output_shape returns for inputs of shape "
                    f"{x.shape}; define compute_output_shape if the layer changes the shape. "
                    f"Received: an output of shape {y.shape}"
                )
            work.checked = x.shape, y.shape
        return y

    def _apply_backward(self, d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
        """Run `backward` in this layer's dtype and check the shape of its result."""
        assert work.checked is not None
        x_shape, y_shape = work.checked
        d_y = self._converted(d_y)
        if d_y.shape != y_shape:
            raise ValueError(
                f"The upstream gradient of {self.name} must have its output's shape {y_shape}. "
                f"Received: shape {d_y.shape}"
            )
        d_x = self.backward(d_y, work, need_d_x)
        if not need_d_x:
            return None
        if np.shape(d_x) != x_shape:  # type: ignore[arg-type]  # None has a shape, too
            raise ValueError(
                f"{type(self).__name__}.backward must return the gradient with respect to its "
                f"input, of shape {x_shape}. Received: "
                + ("None" if d_x is None else f"shape {np.shape(d_x)}")
            )
        return d_x

    def _converted(self, x: Any) -> Any:
        """Return an array as kernels take it: of this layer's dtype, contiguous and writable."""
        dtype = self._computes_in
        if type(x) is np.ndarray and x.dtype is dtype and x.flags.carray:
            return x
        if isinstance(x, SparseBatch):
            return x if x.dtype == dtype or dtype is None else x.expanded(dtype)
        with np.errstate(over="ignore"):
            return np.require(np.asarray(x), dtype, ["C", "A", "W"])

    @property
    def _computes_in(self) -> Any:
        """The dtype that inputs are converted to; None if the layers inside do that."""
        return _DTYPES[self.dtype]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _plain(value: Any) -> Any:
    """Return an argument as a configuration has it."""
    if isinstance(value, tuple):
        return list(value)
    return _registry.serialize(value) if callable(value) else value


class _LayerCall:
    """A call of a layer with its own `forward` and `backward`, as an operation.

    Parameters
    ----------
    layer : Layer
        The layer.
    training : bool
        Whether it is called in training.
    logits : bool
        Whether the activation is left out.

    Examples
    --------
    >>> from tinynet.layers import Flatten
    >>> _LayerCall(Flatten(), False).compute([np.zeros((2, 3, 4), np.float32)], {}).shape
    (2, 12)
    """

    convert = None
    backward = True

    def __init__(self, layer: Layer, training: bool, logits: bool = False) -> None:
        self.name, self._layer, self._training = layer.name, layer, training
        self._work = Workspace()
        self._work.logits = logits

    def compute(self, arrays: list[Any], options: dict[str, Any]) -> Array:
        """Compute the output."""
        return self._layer._apply(arrays[0], self._work, self._training)

    def gradients(
        self, d_y: Any, y: Any, arrays: list[Any], options: dict[str, Any], needs: list[bool]
    ) -> list[Array | None]:
        """Compute the gradients with respect to the input and the trainable weights."""
        gradients = [np.zeros_like(w) for w in arrays[1:]]
        own = dict(zip(map(id, self._layer.trainable_weights), gradients, strict=True))
        self._layer._give_gradients(self._work, own)
        d_x = self._layer._apply_backward(np.array(d_y), self._work, needs[0])
        return [d_x, *gradients]


def _is_shape(shape: tuple[int, ...], expected: Shape) -> bool:
    """Whether a shape is the expected one, in which None may be any size."""
    return len(shape) == len(expected) and all(
        b in (None, a) for a, b in zip(shape, expected, strict=True)
    )


def _keywords(cls: type[Layer]) -> list[str]:
    """List what a constructor takes, together with the constructor of the base."""
    if cls not in _known_keywords:
        own = [*inspect.signature(cls).parameters, *inspect.signature(Layer.__init__).parameters]
        unnamed = ("self", "args", "kwargs")
        _known_keywords[cls] = [name for name in dict.fromkeys(own) if name not in unnamed]
    return _known_keywords[cls]


_known_keywords: weakref.WeakKeyDictionary[Any, list[str]] = weakref.WeakKeyDictionary()


def takes(function: Any, argument: str) -> bool:
    """Say whether a function has an argument of a name.

    Parameters
    ----------
    function : callable
        The function.
    argument : str
        The name.

    Returns
    -------
    bool
        Whether it can be passed by that name.

    Examples
    --------
    >>> takes(lambda x, training: x, "training")
    True
    """
    return argument in inspect.signature(function).parameters


serialize = _registry.serialize
deserialize = _registry.deserialize
