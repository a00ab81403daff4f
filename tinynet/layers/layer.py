"""Base class of all layers.

`build` creates the weights when the shape of the input is known. `call` computes the output with
differentiable operations. It is called eagerly on tensors, on symbolic tensors when a model is
built from layers, and again when a program is traced.

A custom layer defines `build` and ``call(x)``, as in Keras. If it defines `backward`, or both
`forward` and `backward`, it is recorded as one instruction of a program and executed in Python.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import KW_ONLY
from typing import Any, ClassVar

import numpy as np

from tinynet import activations, config, constraints, initializers, regularizers
from tinynet._core import Registry, argument, checks, declared, found, suggestions
from tinynet._core.arguments import keywords
from tinynet._core.buffers import Workspace
from tinynet._core.checks import numeric
from tinynet._core.registry import unique_name
from tinynet.program import TABLE, Array, Shape, SymbolicTensor, TensorMethods, Variable, as_tensor
from tinynet.program.nested import flattened, mapped
from tinynet.program.operations import TAPES, Operation, apply
from tinynet.program.symbols import Node, check_size, examples_of, spend
from tinynet.program.trace import CALL, RECORDER, Call, within
from tinynet.program.variable import copies, result_of, value_of
from tinynet.sparse import SparseBatch

__all__ = ["deserialize", "Layer", "serialize"]

_registry = Registry("layer", "keras.layers")

SERIALS = itertools.count()
#: Version counter, incremented when something that traced programs depend on changes, such as
#: `trainable` of a layer.
STRUCTURE = [0]
_NOT_STRUCTURE = ("built", "compiled", "history", "loss", "optimizer", "stop_training")
# Attributes of a model in which `_inner_layers` does not search for layers.
_NOT_INSIDE = ("_args", "_layers", "_input")

_DTYPES = {name: np.dtype(name) for name in config.FLOATS}


#: Function that replaces the initializers of all weights, or None. It is used while a file is
#: loaded, because the weights in the file replace the initial values.
initializer_override: ContextVar[Callable[..., Any] | None] = ContextVar("override", default=None)


class _KeepsArguments:
    """Base class of `Layer`; separate, because `__new__` would hide the signature of `__init__`."""

    #: Positional and keyword arguments of the constructor.
    _args: ClassVar[Any] = ((), {})

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Store the arguments of a custom class, for its configuration."""
        layer = super().__new__(cls)
        if cls not in _registry.written:
            layer._args = (args, kwargs)  # type: ignore[misc]  # of this instance
        return layer


def _name(name: str, value: Any) -> str:
    """Validate the name of a layer."""
    if not isinstance(value, str) or not value or "/" in value:
        raise ValueError(
            f"name must be a string without '/'. Received: name={checks.shorten(value)}"
        )
    return value


@declared()
class Layer(_KeepsArguments):
    """Base class of all layers.

    A custom layer defines ``call(x)``, and `build` if it has weights.

    Parameters
    ----------
    name : str, optional
        Name of the layer; by default the class name in snake case with a numeric suffix.
    trainable : bool
        If True, training updates the weights of the layer.
    dtype : {"float32", "float64"}, optional
        Data type of the weights and the computations; by default `config.floatx()`.
    input_shape : tuple of int, optional
        Shape of one example, if the layer is the first of a model.
    input_dim : int, optional
        Short for ``input_shape=(input_dim,)``.
    activity_regularizer : str or Regularizer, optional
        Regularizer of the output, whose penalty is added to the loss.
    **kwargs : object
        Unknown arguments raise an error.

    Examples
    --------
    A layer that multiplies its input by one trainable weight:

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight((), "ones", name="factor")
    ...
    ...     def call(self, x):
    ...         return self.factor * x
    >>> Scale()([[2.0, 3.0]]).numpy()
    array([[2., 3.]], dtype=float32)

    Calling `build` creates the weights:

    >>> from tinynet.layers import Dense
    >>> layer = Dense(2, name="hidden")
    >>> layer.build((None, 3))
    >>> [(w.path, w.shape) for w in layer.weights]
    [('hidden/kernel', (3, 2)), ('hidden/bias', (2,))]
    """

    _: KW_ONLY
    name: Any = argument(None, _name)
    trainable: bool = argument(True, checks.flag)
    dtype: Any = argument(None)
    input_shape: Any = argument(None, kept=False)
    input_dim: int | None = argument(None, checks.whole, kept=False)
    activity_regularizer: Any = found(None, regularizers.get)

    #: Names of the constructor arguments that `get_config` adds to the configuration of the base
    #: class.
    _arguments: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Mark the layer as built after `build` of a custom class, as in Keras."""
        super().__init_subclass__(**kwargs)
        own = vars(cls).get("build")
        if own is not None and not cls.__module__.startswith("tinynet."):

            @functools.wraps(own)
            def build(self: Any, input_shape: Any = None) -> None:
                own(self, input_shape)
                if not self.built:
                    Layer.build(self, input_shape)

            cls.build = build  # type: ignore[method-assign]  # wrapped

    def __complete(self, input_shape: Any, input_dim: int | None) -> None:
        self.name = self.name or unique_name(type(self).__name__)
        self.dtype = checks.float_type(self.dtype, config.floatx())
        self.built = False
        self._serial = next(SERIALS)
        self._weights: list[Variable] = []
        self._build_shape: Any = None  # a shape, or a list or dict of shapes
        #: Calls on symbolic tensors.
        self._nodes: list[Node] = []
        #: Values passed to `add_loss` in the last eager call.
        self._losses: list[Any] = []
        self._first_shape: Shape | None = None
        shape = input_shape if input_dim is None else (input_dim,)
        if shape is not None:
            self._first_shape = (None, *checks.shape("input_shape", shape))

    # -- methods to override

    def build(self, input_shape: Any) -> None:
        """Create the weights; called automatically before the first call.

        Parameters
        ----------
        input_shape : tuple of (int or None)
            Shape of the input, including the batch size.

        Raises
        ------
        ValueError
            If the layer does not support the shape.
        """
        self._build_shape = map_shapes(tuple, input_shape)
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Compute the shape of the output, by default by applying `call` to zeros.

        Parameters
        ----------
        input_shape : shape tuple, or nested list or dict of shape tuples
            Shape of the input, including the batch size.

        Returns
        -------
        shape tuple, or nested list or dict of shape tuples
            Shape of the output, including the batch size.
        """
        inputs = map_shapes(lambda s: SymbolicTensor(examples_of(s, self.dtype)), input_shape)
        # Zeros replace the initializers, so that no random numbers are drawn.
        with self._restoring_state():
            outputs = within({initializer_override: np.zeros}, self._outputs_for, (inputs,), {})
        return mapped(lambda y: y.shape, outputs)

    @contextlib.contextmanager
    def _restoring_state(self, keeps: bool = False) -> Iterator[None]:
        """Restore an unbuilt layer on exit, or only after an error if `keeps` is True."""
        if self.built:
            yield
            return
        before = [(layer, vars(layer).copy()) for layer in self._all_layers()]
        lists = [(v, v.copy()) for _, own in before for v in own.values() if type(v) is list]
        done = False
        try:
            yield
            done = keeps
        finally:
            for layer, own in before if not done else ():
                vars(layer).clear()
                vars(layer).update(own)
            for value, items in lists if not done else ():
                value[:] = items

    def forward(self, x: Array, work: Workspace, training: bool = False) -> Array:
        """Compute the output.

        A custom layer may define `forward` and `backward` instead of `call`.

        Parameters
        ----------
        x : ndarray, shape (N, ...)
            Input.
        work : Workspace
            Buffers, and storage for values that `backward` needs.
        training : bool
            If True, the layer runs in training mode, otherwise in inference mode.

        Returns
        -------
        ndarray, shape (N, ...)
            Output.
        """
        options = {"training": training} if "training" in self._parameters else {}
        x = copies(x)[0]
        y = self.call(as_tensor(x), **options)
        work.x = x
        return np.ascontiguousarray(y, x.dtype)

    def backward(self, d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
        """Compute the gradients with respect to the weights and the input.

        The gradients with respect to the weights are written to the arrays in ``work.gradients``.
        It contains one output array for each entry of `weights`, or None for a weight that is not
        trainable; it is empty if no weight is trainable.

        Parameters
        ----------
        d_y : ndarray, shape (N, ...)
            Upstream gradient; may be overwritten.
        work : Workspace
            Workspace of the call of `forward`, with the input in ``work.x`` if `call` was used.
        need_d_x : bool
            If False, the gradient with respect to the input is not needed.

        Returns
        -------
        ndarray, shape (N, ...), or None
            Gradient with respect to the input, or None if it is not needed.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output with operations."""
        raise NotImplementedError(
            f"{type(self).__name__} must define call(x), or forward(x, work, training)"
        )

    @property
    def _accepts_training(self) -> bool:
        """Whether a custom `call` has a parameter `training`."""
        own = type(self).call if "call" not in vars(self) else self.call
        is_own = str(getattr(own, "__module__", None)).startswith("tinynet.")
        return "training" in self._parameters and not is_own

    @property
    def _runs_in_python(self) -> bool:
        """Whether the layer defines `forward` or `backward`, and is executed in Python."""
        own = type(self)
        return own.forward is not Layer.forward or own.backward is not Layer.backward

    def _require_backward(self) -> None:
        """Raise an error if the layer defines `forward` but not `backward`."""
        own = type(self)
        if own.forward is not Layer.forward and own.backward is Layer.backward:
            raise ValueError(
                f"The layer {self.name} must define backward(self, d_y, work, need_d_x) in "
                "addition to forward; alternatively, define call(self, x), which is differentiated "
                "automatically. "
                f"Received: {own.__name__} without backward"
            )

    @property
    def _parameters(self) -> frozenset[str]:
        """Names of the parameters of `call`, with "kwargs" if it accepts any keyword."""
        return parameters_of(type(self).call if "call" not in vars(self) else self.call)

    def _node(self) -> Node:
        if not self._nodes:
            raise AttributeError(
                f"{self.name} must be called on a symbolic tensor, or be part of a built model, "
                f"before its input or output is available. Received: built={self.built}"
            )
        return self._nodes[-1]

    @property
    def output(self) -> Any:
        """Symbolic output of the layer.

        If the layer was called several times, each model uses the output in its own graph.
        """
        last = self._node().outputs
        if len(self._nodes) == 1 or not isinstance(last, SymbolicTensor):
            return last
        several = SymbolicTensor(last.examples, self.name, self._nodes[-1])
        several.alternatives = [node.outputs for node in reversed(self._nodes)]
        return several

    @property
    def input(self) -> Any:
        """Symbolic input of the layer; after several calls, the input of the last call."""
        inputs = self._node().args[:1] or (self._node().outputs,)
        return inputs[0]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments.

        Returns
        -------
        dict
            Configuration, from which `from_config` creates the same layer.
        """
        arguments: dict[str, Any] = {}
        if type(self) not in _registry.written:
            owner = next(cls for cls in type(self).__mro__ if "get_config" in vars(cls))
            if owner.__module__.startswith("tinynet."):  # a custom class that inherits get_config
                arguments = self._given_arguments()
        if self.activity_regularizer is not None:
            arguments["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        dtype = {"name": self.dtype}
        policy = {"module": "keras", "class_name": "DTypePolicy", "config": dtype}
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": {**policy, "registered_name": None},
            **arguments,
            **{name: _plain(name, getattr(self, name)) for name in self._arguments},
        }

    def _given_arguments(self) -> dict[str, Any]:
        """Return the constructor arguments of a custom class."""
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

    # -- methods that layers inherit

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Create a layer from its configuration.

        Parameters
        ----------
        config : dict
            Result of `get_config`. Unknown keys, which other versions of Keras write, are ignored.

        Returns
        -------
        Layer
            New layer, not built.
        """
        known, late = keywords(cls, Layer), {}
        parameters = inspect.signature(cls).parameters
        if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            names = {"name", "trainable", "dtype"} & config.keys() - parameters.keys()
            late = {name: config[name] for name in names}
        layer = cls(**{k: v for k, v in config.items() if k in known and k not in late})
        layer.name = late.get("name", layer.name)
        layer.trainable = late.get("trainable", layer.trainable)
        layer.dtype = checks.float_type(late.get("dtype"), layer.dtype)
        return layer

    def add_weight(
        self,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        name: str = "weight",
        regularizer: Any = None,
        constraint: Any = None,
    ) -> Variable:
        """Add a weight to the layer, usually in `build`.

        Parameters
        ----------
        shape : tuple of int
            Shape of the weight; by default a scalar.
        initializer : str or Initializer, optional
            Initial values; by default ``"glorot_uniform"``, or zeros for integers and booleans.
        dtype : str, optional
            Data type: float, integer or bool; by default the data type of the layer.
        trainable : bool
            If True, training updates the weight.
        name : str
            Name of the weight.
        regularizer : str or Regularizer, optional
            Regularizer of the weight.
        constraint : str or Constraint, optional
            Constraint on the weight.

        Returns
        -------
        Variable
            New weight.
        """
        shape = tuple(shape or ())
        if not all(hasattr(size, "__index__") for size in shape):
            raise ValueError(
                "shape must be a tuple of integers; create weights in build, where the input shape "
                f"is known. Received: shape={shape}"
            )
        is_counted = dtype is not None and np.dtype(checks.type_name(dtype)).kind in "iub"
        dtype = checks.type_name(dtype) if is_counted else checks.float_type(dtype, self.dtype)
        default = "zeros" if is_counted else "glorot_uniform"
        make = initializer_override.get() or initializers.get(initializer or default)
        values = make(shape, dtype=dtype)
        expected = f"The initializer of {self.name}/{name} must return values of shape {shape}"
        checks.require(values.shape == shape, expected, f"shape {values.shape}")
        weight = Variable(values, trainable, dtype, name, f"{self.name}/{name}")
        weight.regularizer = regularizers.get(regularizer)
        weight.constraint = constraints.get(constraint)
        if isinstance(weight.constraint, constraints.Constraint):
            weight.constraint.check(weight)
        self._weights.append(weight)
        return weight

    def _build_weights(self, input_shape: Any, **shapes: tuple[int, ...] | None) -> None:
        """Create weights with the options in attributes such as ``{name}_initializer``."""
        self._weights = []
        for name, shape in shapes.items():
            if shape is not None:
                kinds = ("initializer", "regularizer", "constraint")
                options = {kind: getattr(self, f"{name}_{kind}", None) for kind in kinds}
                trainable = not name.startswith("moving_")
                weight = self.add_weight(shape, trainable=trainable, name=name, **options)
                setattr(self, name, weight)
        Layer.build(self, input_shape)

    def _inner_layers(self) -> list[Layer]:
        """Return the layers in the attributes of a custom class, including nested containers.

        Layers are returned in the order in which attributes and entries were set. Layers in a set,
        which is unordered, are sorted by creation.
        """
        if type(self) in _registry.written:
            return []
        own = [value for name, value in vars(self).items() if name not in _NOT_INSIDE]
        return _layers_in(own, {id(self)})

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the input shape that the layer was built with, for `build_from_config`.

        Returns
        -------
        dict or None
            Input shape, or None if the layer is not built.
        """
        shape = self._build_shape
        return {"input_shape": map_shapes(list, shape)} if shape else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layer with a saved input shape.

        Parameters
        ----------
        config : dict
            Result of `get_build_config`.
        """
        self.build(map_shapes(tuple, config["input_shape"]))

    @property
    def weights(self) -> list[Variable]:
        """Weights of the layer (trainable weights first), then the weights of nested layers."""
        own = sorted(self._weights, key=lambda w: not w.trainable)
        return unique(own + [w for la in self._sublayers() for w in la.weights])

    @property
    def trainable_weights(self) -> list[Variable]:
        """Weights that training updates."""
        if not self.trainable:
            return []
        own = [w for w in self._weights if w.trainable]
        return unique(own + [w for la in self._sublayers() for w in la.trainable_weights])

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Weights that training does not update."""
        trainable = {id(w) for w in self.trainable_weights}
        return [w for w in self.weights if id(w) not in trainable]

    # Aliases, as in Keras.
    @property
    def variables(self) -> list[Variable]:
        """Alias of `weights`."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Variable]:
        """Alias of `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """Alias of `non_trainable_weights`."""
        return self.non_trainable_weights

    def get_weights(self) -> list[Array]:
        """Return copies of all weights.

        Returns
        -------
        list of ndarray
            One array for each of `weights`, in the same order.
        """
        return [w.array.copy() for w in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Set all weights; if an error is raised, no weight is changed.

        Parameters
        ----------
        weights : list of array_like
            One array for each of `weights`, in the same order.

        Raises
        ------
        ValueError
            If the number of arrays, a shape or a data type is wrong, or the layer is not built.
        """
        own = self.weights
        if not isinstance(weights, Iterable) or isinstance(weights, str | bytes):
            raise TypeError(
                f"weights of {self.name} must be a list of arrays. "
                f"Received: weights={checks.shorten(weights)}"
            )
        new = [w.array if isinstance(w, Variable) else w for w in weights]
        if len(new) != len(own):
            hint = "" if self.built else "; it has no weights before it is built"
            raise ValueError(
                f"weights of {self.name} must be a list of {len(own)} arrays{hint}. "
                f"Received: a list of {len(new)} arrays"
            )
        arrays = [checks.as_array(v.path, value) for v, value in zip(own, new, strict=True)]
        for variable, array in zip(own, arrays, strict=True):
            if array.shape != variable.shape or array.dtype.kind not in "fiub":
                raise ValueError(
                    f"{variable.path} must be set to an array of real numbers of shape "
                    f"{variable.shape}. Received: shape {array.shape}, dtype {array.dtype}"
                )
        for variable, array in zip(own, arrays, strict=True):
            variable.array[...] = array

    def count_params(self) -> int:
        """Count the parameters: the elements of all weights.

        Returns
        -------
        int
            Number of parameters.

        Raises
        ------
        ValueError
            If the layer is not built.
        """
        if not self.built:
            raise ValueError(
                f"{self.name} must be built before count_params is called; "
                "call build(input_shape), or call the layer on data. Received: built=False"
            )
        return sum(w.size for w in self.weights)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the layer to an input; build it first if necessary.

        Parameters
        ----------
        *args, **kwargs : object
            Arguments of `call`. The first is the input: an array or tensor whose axis 0 is the
            batch axis, or a nested list or dict of tensors. `training` is True in a training step;
            by default, it is inherited from the calling layer.

        Returns
        -------
        Tensor or SymbolicTensor, or nested list or dict of tensors
            Output.

        Raises
        ------
        ValueError
            If the layer does not support the shape of the input.
        """
        if not args and not kwargs:
            raise TypeError(f"{self.name} must be called with an input. Received: no argument")
        outer = CALL.get()
        training = kwargs.pop("training", None)
        if not kwargs.keys() <= self._parameters and "kwargs" not in self._parameters:
            unknown = {key: v for key, v in kwargs.items() if key not in self._parameters}
            known = [*sorted(self._parameters - {"self"}), "training"]
            suggestions.no_more(type(self).__name__, unknown, list(dict.fromkeys(known)))
        if training is None and outer is not None:
            training = outer.training
        if RECORDER.get() is None and any(
            isinstance(leaf, SymbolicTensor) for leaf in flattened([args, kwargs])
        ):
            if training is not None:
                kwargs["training"] = training
            return self._to_graph(args, kwargs)
        args = tuple(map(self._to_input, args))
        kwargs = {key: self._to_input(value) for key, value in kwargs.items()}
        shape = _open_shape(self, args[0] if args else next(iter(kwargs.values())))
        self._build_once(shape)
        if type(self).compute_output_shape is not Layer.compute_output_shape and args[:1]:
            self.compute_output_shape(shape)  # raises an error if the shape is not supported
        if training is not None and "training" in self._parameters:
            kwargs["training"] = training
        recorder = RECORDER.get()
        if outer is None and recorder is None:
            for layer in self._all_layers():
                layer._losses = []
        if outer is not None and outer.training == bool(training):
            return self._called(args, kwargs, bool(training))
        inner = Call(bool(training), outer is not None and outer.is_trial)
        inner.losses = inner.losses if outer is None else outer.losses
        return within({CALL: inner}, self._called, args, kwargs, bool(training))

    def _called(self, args: Any, kwargs: dict[str, Any], training: bool) -> Any:
        """Compute the output; record the layer in the program that is traced, if any."""
        spend()
        recorder = RECORDER.get()
        start = 0 if recorder is None else len(recorder.instructions)
        if recorder is not None:
            recorder.scopes.append(self.name)
        y = self._compute(args, kwargs, training)
        if recorder is not None:
            recorder.note_call(self, [args, kwargs], y, start)
        if self.activity_regularizer is not None:
            for output in flattened(y):
                self.add_loss(_by_example(self.activity_regularizer(output), output))
        if recorder is not None:
            recorder.scopes.pop()
        return y

    def _compute(self, args: Any, kwargs: dict[str, Any], training: bool) -> Any:
        """Run `call`, or record the layer as one instruction that is run in Python."""
        if self._runs_in_python:
            inputs = [args[0], *self.trainable_weights]
            return apply(LayerCall(self, training), inputs, {})
        y = self.call(*args, **kwargs)
        if y is None:
            raise ValueError(f"call of {self.name} must return a tensor. Received: None")
        return mapped(result_of, y)

    def add_loss(self, loss: Any) -> None:
        """Add a term to the loss, from inside `call`.

        Parameters
        ----------
        loss : Tensor or list of Tensor
            Scalar, computed from tensors.
        """
        call = CALL.get()
        if call is None:
            raise ValueError(
                "add_loss must be called inside call. Received: add_loss outside of a call"
            )
        for value in flattened(loss):
            call.losses.append(value)
            if RECORDER.get() is None and not call.is_trial:
                self._losses.append(value)

    @property
    def losses(self) -> list[Any]:
        """Losses that the last call added with `add_loss`, then the penalties of the weights."""
        found = [loss for layer in self._all_layers() for loss in layer._losses]
        return found + [v.regularizer(v) for v in self.trainable_weights if v.regularizer]

    def _all_layers(self) -> list[Layer]:
        """Return the layer and all nested layers, without duplicates."""
        found: list[Layer] = []
        todo, seen = [self], {id(self)}
        while todo:
            layer = todo.pop()
            found.append(layer)
            inner = [x for x in layer._sublayers() if id(x) not in seen]
            seen.update(map(id, inner))
            todo += inner[::-1]
        return found

    def _sublayers(self) -> list[Layer]:
        """Return the directly nested layers."""
        return self._inner_layers()

    def _to_graph(self, args: Any, kwargs: dict[str, Any]) -> Any:
        """Apply the layer to symbolic tensors."""
        self._build_once(_open_shape(self, args[0] if args else next(iter(kwargs.values()))))
        check_size([x.tried for x in flattened([args, kwargs]) if isinstance(x, SymbolicTensor)])
        outputs = self._outputs_for(args, kwargs)
        node = Node(self, args, kwargs)
        for output in flattened(outputs):
            output.node = node
        node.outputs = outputs
        self._nodes.append(node)
        return outputs

    def _outputs_for(self, args: Any, kwargs: dict[str, Any], function: Any = None) -> Any:
        """Infer symbolic outputs by calling the layer on zeros."""
        leaves = [x for x in flattened([args, kwargs]) if isinstance(x, SymbolicTensor)]
        count = max((len(x.examples) for x in leaves), default=1)
        each = [self._on_zeros(args, kwargs, k, function or self) for k in range(count)]
        examples = iter([*zip(*map(flattened, each), strict=True)])
        return mapped(
            lambda _: SymbolicTensor([*map(np.asarray, next(examples))], self.name), each[0]
        )

    def _on_zeros(self, args: Any, kwargs: dict[str, Any], k: int, function: Any) -> Any:
        """Call the layer on the examples of symbolic tensors, without changing its state."""

        def example(value: Any) -> Any:
            if not isinstance(value, SymbolicTensor):
                return value
            return as_tensor(value.zeros(k))

        # Built-in layers never assign to trainable weights in `call`, so only custom layers need a
        # copy of them.
        before = [
            (v, v.array.copy())
            for layer in self._all_layers()
            for v in layer._weights
            if not v.trainable or type(layer) not in _registry.written
        ]
        drawn = self._random_states()
        args, kwargs = mapped(example, [list(args), kwargs])
        if function is self:
            kwargs["training"] = False

        def call() -> Any:
            with np.errstate(all="ignore"):
                return function(*args, **kwargs)

        try:
            trial = Call(False, is_trial=True)
            return within({TAPES: (), RECORDER: None, CALL: trial}, call)
        finally:
            for variable, array in before:
                variable.array[...] = array
            for generator, state in drawn:
                generator.state = state

    def _random_states(self) -> list[tuple[Any, Any]]:
        """Return the random generators of the layer and all nested layers, with their states."""
        inside = [value for layer in self._all_layers() for value in vars(layer).values()]
        generators = [v.bit_generator for v in inside if isinstance(v, np.random.Generator)]
        return [(generator, generator.state) for generator in generators]

    def _to_input(self, x: Any) -> Any:
        """Convert an argument of `call` to tensors; floats are cast to the dtype of the layer."""
        if isinstance(x, list | tuple | dict) and any(
            isinstance(v, TensorMethods | np.ndarray | Variable) for v in flattened(x)
        ):
            return mapped(self._to_input, x)
        x = value_of(x)
        if isinstance(x, TensorMethods):
            is_float = np.dtype(x.dtype).kind == "f" and self._autocasts
            return TABLE["cast"](x, self.dtype) if is_float and x.dtype != self.dtype else x
        if x is None or isinstance(x, bool | int | float | str) or callable(x):
            return x
        array = numeric("x", x)
        keeps = not self._autocasts or (type(self) not in _registry.written or self._takes_integers)
        if keeps and array.dtype.kind in "iub":
            return as_tensor(array)
        return as_tensor(np.ascontiguousarray(array, self.dtype))

    #: Whether float inputs are cast to the dtype of the layer.
    _autocasts = True
    #: Whether integer inputs are kept, instead of cast to the dtype of the layer.
    _takes_integers = False

    def _build_once(self, input_shape: Any) -> None:
        """Build the layer if it is not built; all-or-nothing, even if it is interrupted."""
        if self.built:
            return
        before = list(self._weights)
        try:
            self.build(input_shape)
        except BaseException:
            self._weights, self.built = before, False
            raise

    def __getattr__(self, name: str) -> Any:
        """Raise an error for a missing attribute, with the likely reason."""
        if hasattr(type(self), name):  # a property that raised an error
            return object.__getattribute__(self, name)
        kind, own = type(self).__name__, self.__dict__
        if "_weights" not in own and name[:2] != "__":
            raise AttributeError(
                f"{kind} must call super().__init__() first in its __init__. "
                f"Received: no attribute {name!r}"
            )
        if name[0] != "_" and not own.get("built", True):
            raise AttributeError(
                f"{kind!r} object has no attribute {name!r} before it is built: call "
                "build(input_shape), or call it on data. Received: built=False"
            )
        raise AttributeError(f"{kind!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; track Variables as weights, replacing the weight of the same name."""
        old = self.__dict__.get(name)
        if isinstance(value, Variable) and isinstance(old, Variable):
            self._weights = [value if weight is old else weight for weight in self._weights]
        inside = isinstance(value, list | tuple | dict) and name[0] != "_"
        for item in flattened(value) if inside else [value]:
            tracked = isinstance(item, Variable) and item.is_tracked
            if tracked and all(item is not weight for weight in self._weights):
                self._weights.append(item)
        if name[0] != "_" and old is not value and name not in _NOT_STRUCTURE:
            changed()
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without symbolic calls, which belong to models."""
        return {**self.__dict__, "_nodes": [], "_losses": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state of a copy."""
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


#: Modules of the objects that arguments with these last words refer to.
_KINDS: dict[str, Any] = {
    **{"activation": activations, "function": activations, "initializer": initializers},
    **{"regularizer": regularizers, "constraint": constraints},
}


def _plain(name: str, value: Any) -> Any:
    """Convert an argument to its form in a configuration."""
    if isinstance(value, tuple):
        return list(value)
    value = getattr(value, "wrapped", value)  # the function that a regularizer wraps
    kind = _KINDS.get(name.rpartition("_")[2], _registry)
    return kind.serialize(value) if callable(value) else value


Layer._arguments = ()


class LayerCall(Operation):
    """Operation that runs a layer with custom `forward` or `backward` in Python."""

    has_work = stateful = True

    def __init__(self, layer: Layer, training: bool) -> None:
        super().__init__(layer.name, lambda x: x, lambda d_y, y, x: d_y)
        self.layer, self._training = layer, training
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
        # Index of each weight in `trainable_weights`, or None if it is not trainable.
        places = {id(v): n for n, v in enumerate(layer.trainable_weights)}
        self._places = [places.get(id(v)) for v in layer.weights]

    def infer(self, arrays: list[Any], options: dict[str, Any]) -> Array:
        """Return zeros of the shape of the output, without running the layer."""
        shape = self._output_shape(arrays[0].shape)
        sizes = [size or 0 for size in shape]
        if shape[:1] == (None,):
            sizes[0] = len(arrays[0])
        return np.zeros(sizes, self.layer.dtype)

    def _output_shape(self, shape: tuple[int, ...]) -> Any:
        layer = self.layer
        if type(layer).compute_output_shape is not Layer.compute_output_shape:
            return tuple(layer.compute_output_shape(shape))
        if type(layer).call is Layer.call:
            return shape
        if shape[1:] not in self._shapes:
            zeros = as_tensor(np.zeros((2, *shape[1:]), layer.dtype))
            with np.errstate(all="ignore"):
                self._shapes[shape[1:]] = np.shape(layer.call(zeros))[1:]
        return (shape[0], *self._shapes[shape[1:]])

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Array:
        """Compute the output and check its shape."""
        layer, x = self.layer, self._converted(arrays[0])
        y: Array = self._converted(layer.forward(x, work, self._training))
        if work.checked != (x.shape, y.shape):
            expected = self._output_shape(x.shape)
            if not _is_shape(y.shape, expected):
                raise ValueError(
                    f"The output of {layer.name} must have the shape {expected}, which "
                    f"{type(layer).__name__}.compute_output_shape returns for inputs of shape "
                    f"{x.shape}; define compute_output_shape if the layer changes the shape. "
                    f"Received: an output of shape {y.shape}"
                )
            work.checked = x.shape, y.shape
        return y

    def gradients(
        self, d_y: Any, y: Any, arrays: Any, options: Any, needs: Any, work: Any, outs: Any
    ) -> list[Array | None]:
        """Compute the gradients with respect to the input and the trainable weights."""
        layer, x = self.layer, arrays[0]
        # If there are no output arrays, new arrays are returned; the caller sums the gradients of
        # several calls.
        given = (outs or [None] * len(arrays))[1:]
        pairs = zip(arrays[1:], given, strict=True)
        own = [np.zeros_like(w) if out is None else out for w, out in pairs]
        # The entry of a frozen weight is None; the list is empty if no weight is trainable.
        work.gradients = [None if n is None else own[n] for n in self._places] if own else []
        d_x = layer.backward(self._converted(np.array(d_y)), work, needs[0])
        if needs[0] and np.shape(d_x) != x.shape:  # type: ignore[arg-type]  # None has a shape
            raise ValueError(
                f"{type(layer).__name__}.backward must return the gradient with respect to its "
                f"input, of shape {x.shape}. Received: "
                + ("None" if d_x is None else f"shape {np.shape(d_x)}")
            )
        return [None if d_x is None else np.asarray(d_x, x.dtype), *own]

    def _converted(self, x: Any) -> Any:
        """Convert to a contiguous, writable array of the dtype of the layer."""
        dtype = _DTYPES[self.layer.dtype]
        if type(x) is np.ndarray and x.dtype is dtype and x.flags.carray:
            return x
        if isinstance(x, SparseBatch):
            return x.expanded(dtype)
        with np.errstate(over="ignore"):
            return np.require(np.asarray(x), dtype, ["C", "A", "W"])


def _is_shape(shape: tuple[int, ...], expected: Shape) -> bool:
    """Return whether a shape matches the expected one, in which None matches any size."""
    return len(shape) == len(expected) and all(
        b in (None, a) for a, b in zip(shape, expected, strict=True)
    )


def unique(variables: list[Variable]) -> list[Variable]:
    """Remove duplicates, which occur if layers are shared, and keep the order."""
    return list({id(variable): variable for variable in variables}.values())


def changed() -> None:
    """Mark all programs as outdated, so that they are traced again."""
    STRUCTURE[0] += 1


# Programs are specific to a backend.
config._on_backend_change.append(changed)


@functools.lru_cache(512)
def parameters_of(function: Any) -> frozenset[str]:
    """Return the names of a function's parameters, with "kwargs" if it accepts any keyword."""
    found = inspect.signature(function).parameters
    any_name = any(p.kind is p.VAR_KEYWORD for p in found.values())
    return frozenset([*found, "kwargs"] if any_name else found)


def map_shapes(function: Callable[[Any], Any], shapes: Any) -> Any:
    """Apply a function to each shape in a nested list or dict of shapes; keep the structure."""
    if isinstance(shapes, dict):
        results = {key: map_shapes(function, shapes[key]) for key in sorted(shapes)}
        return {key: results[key] for key in shapes}  # called in sorted order, as in `flattened`
    if all(size is None or hasattr(size, "__index__") for size in shapes):
        return function(tuple(shapes))
    return [map_shapes(function, shape) for shape in shapes]


def _layers_in(value: Any, seen: set[int]) -> list[Layer]:
    """Return the layers in a value or nested container, except those in `seen`; update `seen`."""
    if id(value) in seen or not isinstance(value, Layer | dict | list | tuple | set | frozenset):
        return []
    seen.add(id(value))
    if isinstance(value, Layer):
        return [value]
    if isinstance(value, set | frozenset):
        value = sorted((v for v in value if isinstance(v, Layer)), key=lambda la: la._serial)
    items = value.values() if isinstance(value, dict) else value
    return [layer for item in items for layer in _layers_in(item, seen)]


def _open_shape(layer: Layer, x: Any) -> Any:
    """Return the shapes of tensors, with None as the batch size."""
    if any(not getattr(leaf, "shape", ()) for leaf in flattened(x)):
        raise ValueError(
            f"Inputs of {layer.name} must be arrays with a batch axis. "
            f"Received: {checks.shorten(x)}"
        )
    return mapped(lambda t: (None, *t.shape[1:]), x)


serialize = _registry.serialize
deserialize = _registry.deserialize


def _by_example(penalty: Any, output: Any) -> Any:
    """Divide the penalty on an output by the batch size, which may be unknown, as in Keras."""
    if not output.shape:
        return penalty
    size = math.prod(output.shape[1:])
    return penalty / (TABLE["sum"](TABLE["ones_like"](output)) / size)
