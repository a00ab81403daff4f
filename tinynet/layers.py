"""Layers: the steps a net is made of, each with its weights and its two directions.

A layer does three things. `build` makes its weights once the shape of its input is known.
`forward` computes its output and notes in a `Workspace` what the way back will need.
`backward` gets the gradient of the loss in its output, writes the gradients of its weights, and
returns the gradient in its input. The maths itself stands in `functional`.

A layer of your own defines ``forward`` and ``backward`` in the same way.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from tinynet import activations, checks, config, initializers, ops
from tinynet.registry import Registry, unique_name
from tinynet.variable import Array, Tensor, Variable, as_tensor
from tinynet.workspace import Workspace

Shape = tuple[int | None, ...]

_registry = Registry("layer", "keras.layers")


class SymbolicTensor:
    """The shape of data to come, and the layers it will have gone through.

    Parameters
    ----------
    shape : tuple of (int or None)
        The shape, batch size first.
    dtype : str
        The type.
    layer : Layer
        The layer that makes it.
    source : SymbolicTensor, optional
        What that layer is applied to.

    Examples
    --------
    >>> Dense(3)(Input((2,))).shape
    (None, 3)
    """

    def __init__(
        self, shape: Shape, dtype: str, layer: Layer, source: SymbolicTensor | None = None
    ) -> None:
        self.shape, self.dtype, self.layer, self.source = shape, dtype, layer, source
        self.name = layer.name

    @property
    def ndim(self) -> int:
        """The number of dimensions, the batch included."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<SymbolicTensor shape={self.shape}, dtype={self.dtype}, layer={self.name}>"


class Layer:
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

    Examples
    --------
    >>> layer = Dense(2, name="hidden")
    >>> layer.build((None, 3))
    >>> [(w.path, w.shape) for w in layer.weights]
    [('hidden/kernel', (3, 2)), ('hidden/bias', (2,))]
    """

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
        if kwargs:
            raise ValueError(
                f"{type(self).__name__} takes no such keyword. Received: "
                + ", ".join(f"{k}={checks.shorten(v)}" for k, v in kwargs.items())
            )
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f"name must be a string without '/'. Received: name={name!r}")
        self.name: str = name or unique_name(type(self).__name__)
        self.trainable = checks.flag("trainable", trainable)
        self.dtype: str = checks.choice("dtype", _dtype_name(dtype), config.FLOATS)
        self.built = False
        self._weights: list[Variable] = []
        self._build_shape: Shape | None = None
        self._first_shape: Shape | None = None
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
        return tuple(input_shape)

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
        raise NotImplementedError(f"{type(self).__name__} does not define forward(x, work)")

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
        raise NotImplementedError(
            f"{type(self).__name__} needs its derivative, since tinynet does not differentiate "
            f"by itself: define backward(d_y, work, need_d_x)"
        )

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
        dtype = {"name": self.dtype}
        policy = {"module": "keras", "class_name": "DTypePolicy", "config": dtype}
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": {**policy, "registered_name": None},
        }

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
        base = set(inspect.signature(Layer.__init__).parameters)
        known = (base | set(inspect.signature(cls).parameters)) - {"self", "kwargs", "args"}
        return cls(**{k: v for k, v in config.items() if k in known})

    def add_weight(
        self,
        shape: tuple[int, ...],
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
        name: str = "weight",
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

        Returns
        -------
        Variable
            The weight, which is now one of `weights`.
        """
        values = initializers.get(initializer)(shape, dtype=self.dtype)
        if values.shape != shape:
            raise ValueError(
                f"The initializer of {self.name}/{name} must give values of shape {shape}. "
                f"Received: shape {values.shape}"
            )
        weight = Variable(values, trainable, self.dtype, name, f"{self.name}/{name}")
        self._weights.append(weight)
        return weight

    @property
    def weights(self) -> list[Variable]:
        """All weights, the trainable ones first."""
        return sorted(self._weights, key=lambda w: not w.trainable)

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        return [w for w in self._weights if w.trainable] if self.trainable else []

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
        new = [w.array if isinstance(w, Variable) else w for w in weights]
        if len(new) != len(own):
            hint = "" if self.built else "; it has none before it is built"
            raise ValueError(
                f"{self.name} takes a list of {len(own)} weights{hint}. "
                f"Received: {len(new)} weights"
            )
        arrays = []
        for variable, value in zip(own, new, strict=True):
            array = np.asarray(value)
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
            return SymbolicTensor(shape, self.dtype, self, x)
        array = self._to_input(x)
        self.compute_output_shape(array.shape)
        self._build_once((None, *array.shape[1:]))
        return self._result(self.forward(array, Workspace(), training))

    def _result(self, y: Array) -> Tensor:
        return as_tensor(y)

    def _to_input(self, x: Any) -> Array:
        array = np.ascontiguousarray(x, self.dtype)
        if np.ndim(x) == 0:
            raise ValueError(f"{self.name} takes an array with a batch axis. Received: {x!r}")
        return array

    def _build_once(self, input_shape: Shape) -> None:
        if not self.built:
            self.build(input_shape)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _dtype_name(dtype: Any) -> Any:
    """Read a dtype as users and files write it: None, a name, a NumPy type, a policy."""
    if dtype is None:
        return config.floatx()
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name")
    return dtype if isinstance(dtype, str) else np.dtype(dtype).name


@_registry.register()
class InputLayer(Layer):
    """The shape of a model's input.

    Parameters
    ----------
    shape : tuple of int, optional
        The shape of one example.
    batch_size : int, optional
        The number of examples, where it is fixed.
    dtype : str, optional
        The type of the input.
    batch_shape : tuple of (int or None), optional
        In place of `shape` and `batch_size`: both in one.
    name : str, optional
        By default ``"input_layer"``, numbered.
    input_shape : tuple of int, optional
        An older name of `shape`.

    Raises
    ------
    ValueError
        If neither or both of `shape` and `batch_shape` are given.

    Examples
    --------
    >>> InputLayer((28, 28)).batch_shape
    (None, 28, 28)
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        batch_shape: Any = None,
        name: str | None = None,
        input_shape: Any = None,
    ) -> None:
        super().__init__(name=name)
        self.input_dtype = "float32" if dtype is None else str(np.dtype(dtype).name)
        shape = input_shape if shape is None else shape
        if (shape is None) == (batch_shape is None):
            raise ValueError(
                "An input takes either shape or batch_shape. "
                f"Received: shape={shape}, batch_shape={batch_shape}"
            )
        if batch_shape is None:
            size = None if batch_size is None else checks.whole("batch_size", batch_size)
            batch_shape = (size, *checks.shape("shape", shape))
        self.batch_shape = checks.shape("batch_shape", batch_shape)
        self.build(self.batch_shape)
        self.output = SymbolicTensor(self.batch_shape, self.input_dtype, self)

    def forward(self, x: Array, work: Workspace, training: bool = False) -> Array:
        """Return the input."""
        return x

    def backward(self, d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
        """Return the gradient."""
        return d_y

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "batch_shape": list(self.batch_shape),
            "dtype": self.input_dtype,
            "name": self.name,
        }


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    batch_shape: Any = None,
    name: str | None = None,
) -> SymbolicTensor:
    """Declare the shape of a model's input.

    Parameters
    ----------
    shape : tuple of int, optional
        The shape of one example.
    batch_size : int, optional
        The number of examples, where it is fixed.
    dtype : str, optional
        The type of the input.
    batch_shape : tuple of (int or None), optional
        In place of `shape` and `batch_size`: both in one.
    name : str, optional
        By default ``"input_layer"``, numbered.

    Returns
    -------
    SymbolicTensor
        For the list of a `Sequential`, or for calling layers on.

    Raises
    ------
    ValueError
        If neither or both of `shape` and `batch_shape` are given.

    Examples
    --------
    >>> Input((28, 28)).shape
    (None, 28, 28)
    """
    return InputLayer(shape, batch_size, dtype, batch_shape, name).output


@_registry.register()
class Flatten(Layer):
    """Lay every example out in one row: ``(N, 28, 28)`` becomes ``(N, 784)``.

    Parameters
    ----------
    data_format : {None, "channels_last", "channels_first"}
        Only ``"channels_last"``, the default, lays an image out in the order it has.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> Flatten()(np.zeros((5, 28, 28))).shape
    (5, 784)
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = checks.choice("data_format", data_format, [None, "channels_last"])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Say what shape the output has."""
        sizes = input_shape[1:]
        return (input_shape[0], None if None in sizes else math.prod(sizes))  # type: ignore[arg-type]

    def forward(self, x: Array, work: Workspace, training: bool = False) -> Array:
        """Compute the output."""
        work.x = x
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def backward(self, d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
        """Give the gradient the input's shape."""
        return d_y.reshape(work.x.shape) if need_d_x else None

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "data_format": self.data_format or "channels_last"}


@_registry.register()
class Dense(Layer):
    """Connect every input with every unit: ``activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        The number of outputs.
    activation : str or callable, optional
        What is applied to the sums; by default nothing.
    use_bias : bool
        Whether a bias is added.
    kernel_initializer, bias_initializer : str or Initializer
        The first values of the weights.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If `units` is no positive integer.

    Examples
    --------
    >>> layer = Dense(2, kernel_initializer="ones")
    >>> layer([[1.0, 2.0, 3.0]]).numpy()
    array([[6., 6.]], dtype=float32)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = checks.whole("units", units, wrong_type=ValueError)
        self.activation = activations.get(activation)
        self.use_bias = checks.flag("use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel: Variable
        self.bias: Variable | None = None

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias."""
        inputs = self._inputs(input_shape)
        self.kernel = self.add_weight((inputs, self.units), self.kernel_initializer, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight((self.units,), self.bias_initializer, name="bias")
        super().build(input_shape)

    def _inputs(self, input_shape: Shape) -> int:
        inputs = input_shape[-1] if len(input_shape) >= 2 else None
        expected = self.kernel.shape[0] if self.built else inputs
        if inputs is None or inputs != expected:
            size = "a fixed number of" if expected is None else str(expected)
            raise ValueError(
                f"{self.name} takes inputs of shape (N, ..., D) with D = {size} values. "
                f"Received: shape {tuple(input_shape)}"
            )
        return inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Say what shape the output has."""
        self._inputs(input_shape)
        return (*input_shape[:-1], self.units)

    @property
    def output_activation(self) -> activations.Activation | None:
        """The activation that the output comes straight out of."""
        return self.activation

    def forward(self, x: Array, work: Workspace, training: bool = False) -> Array:
        """Compute the output, or only the sums if the activation is done elsewhere."""
        rows = work.x = x.reshape(-1, x.shape[-1])
        shape = (rows.shape[0], self.units)
        bias = None if self.bias is None else self.bias.array
        z: Array = ops.dense(rows, self.kernel.array, bias, work.array("z", shape, x.dtype))
        if not (work.logits or self.activation is activations.linear):
            work.y = z = self.activation.forward(z, work.array("y", shape, x.dtype))
        return z if x.ndim == 2 else z.reshape(*x.shape[:-1], self.units)

    def backward(self, d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
        """Write the gradients of kernel and bias, return the input's."""
        x = work.x
        d_z = d_y.reshape(-1, self.units)
        if not (work.logits or self.activation is activations.linear):
            z = work.array("z", d_z.shape, d_z.dtype)
            out = work.array("d_z", d_z.shape, d_z.dtype)
            d_z = self.activation.backward(d_z, z, work.y, out)
        if work.gradients:
            d_kernel, d_bias = work.gradients if self.use_bias else (*work.gradients, None)
            ops.dense_gradients(x, d_z, d_kernel, d_bias)
        if not need_d_x:
            return None
        d_x: Array = ops.dense_backward(d_z, self.kernel.array, work.array("d_x", x.shape, x.dtype))
        return d_x if d_y.ndim == 2 else d_x.reshape(*d_y.shape[:-1], x.shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
        }


@_registry.register()
class Activation(Layer):
    """Apply an activation to every element.

    Parameters
    ----------
    activation : str or callable
        The activation.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> Activation("relu")([[-1.0, 2.0]]).numpy()
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    @property
    def output_activation(self) -> activations.Activation | None:
        """The activation that the output comes straight out of."""
        return self.activation

    def forward(self, x: Array, work: Workspace, training: bool = False) -> Array:
        """Compute the output, or nothing if the activation is done elsewhere."""
        if work.logits or self.activation is activations.linear:
            return x
        work.x = x
        y = work.y = self.activation.forward(x, work.array("y", x.shape, x.dtype))
        return y

    def backward(self, d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
        """Return the gradient in the input."""
        if work.logits or self.activation is activations.linear:
            return d_y
        out = work.array("d_x", d_y.shape, d_y.dtype)
        return self.activation.backward(d_y, work.x, work.y, out)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


@_registry.register()
class ReLU(Activation):
    """Apply the rectifier, with Keras' three options.

    ``y = max(x, 0)``; with options, ``x`` up to `max_value` where ``x > threshold``, and
    ``negative_slope * (x - threshold)`` below.

    Parameters
    ----------
    max_value : float, optional
        The largest output.
    negative_slope : float
        The slope below `threshold`.
    threshold : float
        Where the rectifier opens.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If an option is negative.

    Examples
    --------
    >>> ReLU(max_value=3, negative_slope=0.5)([[-1.0, 2.0, 9.0]]).numpy()
    array([[-0.5,  2. ,  3. ]], dtype=float32)
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        options = {"negative_slope": negative_slope, "threshold": threshold}
        if max_value is not None:
            options["max_value"] = max_value
        for name, value in options.items():
            if value is None:
                raise ValueError(f"{name} must be a number from 0 up. Received: {name}=None")
            checks.number(name, value, 0)
        plain = max_value is None and negative_slope == 0 and threshold == 0
        super().__init__(activations.relu if plain else activations.Rectifier(**options), **kwargs)
        self.options = {"max_value": max_value, **options}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**Layer.get_config(self), **self.options}


@_registry.register()
class Softmax(Activation):
    """Turn scores into probabilities.

    Parameters
    ----------
    axis : int
        The axis along which they sum to 1.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> Softmax()([[0.0, 0.0]]).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__("softmax", **kwargs)
        self.axis = checks.whole("axis", axis, -64)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Say what shape the output has."""
        if not -len(input_shape) <= self.axis < len(input_shape):
            raise ValueError(
                f"axis={self.axis} of {self.name} is not an axis of the input. "
                f"Received: shape {tuple(input_shape)}"
            )
        return tuple(input_shape)

    def _on_last_axis(self, ndim: int) -> bool:
        return self.axis in (-1, ndim - 1)

    def forward(self, x: Array, work: Workspace, training: bool = False) -> Array:
        """Compute the output."""
        if self._on_last_axis(x.ndim):
            return super().forward(x, work, training)
        last = np.ascontiguousarray(np.moveaxis(x, self.axis, -1))
        return np.moveaxis(super().forward(last, work, training), -1, self.axis)

    def backward(self, d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
        """Return the gradient in the input."""
        if self._on_last_axis(d_y.ndim):
            return super().backward(d_y, work, need_d_x)
        last = np.ascontiguousarray(np.moveaxis(d_y, self.axis, -1))
        d_x = super().backward(last, work, need_d_x)
        return None if d_x is None else np.moveaxis(d_x, -1, self.axis)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**Layer.get_config(self), "axis": self.axis}


serialize = _registry.serialize
deserialize = _registry.deserialize
