"""Activation functions: elementwise nonlinearities and softmax.

An activation is a callable with a forward and a backward function. A custom activation is any
function composed of operations, which is differentiated automatically, or a function with an
attribute ``backward(d_y, x, y)`` that computes its gradient.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import config, functional
from tinynet._core import Registry, checks, suggestions
from tinynet._core.cached_property import cached_property
from tinynet.program import TABLE, Array, Operation, Tensor, TensorMethods, as_tensor
from tinynet.program.layer_operations import Activated
from tinynet.program.operations import as_floats, as_numbers
from tinynet.program.tape import pull_back
from tinynet.program.variable import copies, value_of

_registry = Registry("activation", "keras.activations")


class Activation:
    """Activation function with its derivative.

    Parameters
    ----------
    name : str
        Name of the forward function in `functional`; ``name_backward`` is the backward function.
    doc : str
        Docstring of the activation.
    **options : object
        Additional parameters of the function, as in Keras, with their default values.

    Examples
    --------
    >>> relu([-1.0, 2.0]).numpy()
    array([0., 2.], dtype=float32)
    >>> relu([-1.0, 2.0], negative_slope=0.5).numpy()
    array([-0.5,  2. ], dtype=float32)
    """

    def __init__(self, name: str, doc: str, **options: Any) -> None:
        self.__name__ = name
        self.__doc__ = doc
        self._set(options)

    def _set(self, options: dict[str, Any]) -> None:
        """Set the options, which are also shown as parameters in the signature."""
        self.options = options
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter("x", kind),
                *(inspect.Parameter(n, kind, default=v) for n, v in options.items()),
            ]
        )

    def __call__(self, x: Any, *args: Any, **options: Any) -> Tensor:
        """Apply the activation.

        Parameters
        ----------
        x : array_like
            Inputs.
        *args, **options : object
            Options that differ from the defaults.

        Returns
        -------
        Tensor
            Outputs, with dtype `config.floatx()` unless `x` is a float array.
        """
        activation = self.with_options(*args, **options) if args or options else self
        if activation is linear:
            return _tensor(x)
        result: Tensor = activation._applied(x)
        # Losses read the logits from this attribute.
        result.computed_by = self, x
        return result

    def _applied(self, x: Any) -> Any:
        return self.operation(x)

    @cached_property
    def operation(self) -> Activated:
        """Operation that applies the activation."""
        return Activated(self, as_floats)

    def with_options(self, *args: Any, **options: Any) -> Activation:
        """Return the activation with other options.

        Parameters
        ----------
        *args, **options : object
            Options, positional or by name.

        Returns
        -------
        Activation
            New activation, or this one if no option changes.

        Raises
        ------
        TypeError
            If an option is unknown.
        """
        given = {**dict(zip(self.options, args, strict=False)), **options}
        unknown = {key: value for key, value in given.items() if key not in self.options}
        suggestions.no_more(self.__name__, unknown, ["x", *self.options], TypeError)
        if len(args) > len(self.options):
            names = ", ".join(["x", *self.options])
            raise TypeError(
                f"{self.__name__} must be called with at most {len(self.options) + 1} argument"
                f"{'s' * bool(self.options)}: {names}. "
                f"Received: {len(args) + 1} positional arguments"
            )
        merged = {**self.options, **given}
        if merged == self.options:
            return self
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__getstate__())
        other._set(merged)
        return other

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the outputs.

        Parameters
        ----------
        x : ndarray
            Inputs.
        out : ndarray, optional
            Output array.

        Returns
        -------
        ndarray
            Outputs.
        """
        return self._run("", x, out)

    def backward(self, d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Compute the gradient with respect to the inputs.

        Parameters
        ----------
        d_y : ndarray
            Upstream gradient.
        x, y : ndarray
            Inputs and outputs.
        out : ndarray, optional
            Output array.

        Returns
        -------
        ndarray
            Gradient with respect to the inputs.
        """
        return self._run("_backward", d_y, x, y, out)

    def _run(self, end: str, *arrays: Any) -> Array:
        """Call the forward function (`end` is "") or the backward function ("_backward")."""
        return getattr(functional, self.__name__ + end)(*arrays)

    def __getstate__(self) -> dict[str, Any]:
        """Exclude the operation from the state; it is created again when needed."""
        return {key: value for key, value in self.__dict__.items() if key != "operation"}

    @property
    def is_built_in(self) -> bool:
        """True if this is the built-in activation of that name, with default options."""
        return _registry.names.get(self.__name__) is self

    def __reduce__(self) -> Any:
        """Copy a built-in activation by reference, because it is recognized by identity."""
        return (get, (self.__name__,)) if self.is_built_in else super().__reduce__()

    def __repr__(self) -> str:
        return f"<activation {self.__name__}>"


class Custom(Activation):
    """Activation that wraps a custom function.

    Parameters
    ----------
    function : callable
        ``function(x) -> y``, composed of operations. If it has an attribute
        ``backward(d_y, x, y) -> d_x``, it is used to compute the gradient.

    Examples
    --------
    >>> def square(x):
    ...     return x * x
    >>> Custom(square).backward(np.array([1.0]), np.array([3.0]), np.array([9.0]))  # 2 * 3
    array([6.])
    """

    def __init__(self, function: Callable[[Array], Array]) -> None:
        name = getattr(function, "__name__", type(function).__name__)
        super().__init__(name, f"Custom activation `{name}`.")
        if hasattr(function, "compute_output_shape"):
            raise ValueError(
                f"activation must be a function of one array; to use a layer, add it to the model. "
                f"Received: activation={checks.shorten(function)}"
            )
        self.function: Any = function

    @property
    def _own_backward(self) -> Any:
        """Custom backward function, or None."""
        # The backward function of an operation has a different signature.
        is_operation = isinstance(self.function, Operation)
        return None if is_operation else getattr(self.function, "backward", None)

    def _applied(self, x: Any) -> Any:
        if self._own_backward is not None:
            return self.operation(x)
        y = self.function(_tensor(x))
        return y if isinstance(y, TensorMethods) else as_tensor(y)

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the outputs."""
        return np.positive(np.asarray(self.function(as_tensor(*copies(x))), x.dtype), out=out)

    def backward(self, d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Compute the gradient with respect to the inputs."""
        own = self._own_backward
        found = pull_back(self.function, x, d_y) if own is None else own(*copies(d_y, x, y))
        return np.positive(np.asarray(found, x.dtype), out=out)


class Rectifier(Activation):
    """Rectified linear unit with a slope below the threshold and an upper bound.

    Parameters
    ----------
    name : str
        Name.
    doc : str
        Docstring of the activation.
    **options : float
        Default values of `negative_slope`, `max_value` and `threshold`; see
        `functional.rectifier`.

    Examples
    --------
    >>> Rectifier(negative_slope=0.5)([-1.0, 2.0]).numpy()
    array([-0.5,  2. ], dtype=float32)
    """

    def __init__(
        self,
        name: str = "relu",
        doc: str = "Compute the rectified linear unit.",
        **options: float | None,
    ) -> None:
        super().__init__(
            name, doc, **{"negative_slope": 0.0, "max_value": None, "threshold": 0.0, **options}
        )

    @cached_property
    def operation(self) -> Activated:
        """Operation that applies the activation; of integers, `relu` and `relu6` are integers."""
        return Activated(self, as_numbers if self in (relu, relu6) else as_floats)

    def _run(self, end: str, *arrays: Any) -> Array:
        if self is relu:
            return super()._run(end, *arrays)
        inputs = arrays[:2] if end else arrays[:1]
        return getattr(functional, "rectifier" + end)(*inputs, **self.options, out=arrays[-1])


class Elementwise(Activation):
    """Elementwise activation defined in `functional.ELEMENTWISE`.

    Parameters
    ----------
    name : str
        Name of the function in `functional.ELEMENTWISE`.
    doc : str
        Docstring of the activation.
    **options : object
        Additional parameters, with their default values.

    Examples
    --------
    >>> elu([-1.0, 2.0], alpha=0.5).numpy()  # 0.5 * (exp(-1) - 1)
    array([-0.31606027,  2.        ], dtype=float32)
    """

    def _run(self, end: str, *arrays: Any) -> Array:
        name, options = self.__name__, tuple(self.options.values())
        if "approximate" in self.options:
            name, options = name + "_approximate" * self.options["approximate"], ()
        return getattr(functional, "elementwise" + end)(name, *arrays[:-1], options, arrays[-1])


class OverAxis(Activation):
    """Activation that is applied along an axis.

    Parameters
    ----------
    name : str
        Name of the function in `functional`.
    doc : str
        Docstring of the activation.
    **options : int
        Default value of `axis`, along which the function is applied.

    Examples
    --------
    >>> softmax([[0.0, 1.0], [0.0, 1.0]], axis=0).numpy()
    array([[0.5, 0.5],
           [0.5, 0.5]], dtype=float32)
    """

    def _run(self, end: str, *arrays: Any) -> Array:
        axis = self.options["axis"]
        if axis == -1:
            return super()._run(end, *arrays)
        rows = [np.moveaxis(a, axis, -1) for a in arrays[:-1]]
        if not end:
            rows = [*map(np.ascontiguousarray, rows)]
        return np.positive(np.moveaxis(super()._run(end, *rows, None), -1, axis), out=arrays[-1])


def _tensor(x: Any) -> Any:
    """Convert to a tensor with a float dtype."""
    x = value_of(x)
    return x if isinstance(x, TensorMethods) else as_tensor(to_float(x))


def to_float(x: Any) -> Array:
    """Convert an array-like of any dtype to a float array.

    Parameters
    ----------
    x : array_like
        Numeric values.

    Returns
    -------
    ndarray
        Array with the dtype of `x` if that is a float type, else `config.floatx()`.

    Examples
    --------
    >>> to_float([1, 2]).dtype.name
    'float32'
    """
    is_float = isinstance(getattr(x, "dtype", None), np.dtype) and x.dtype in config.FLOATS
    return np.asarray(checks.numeric("x", x, None if is_float else config.floatx()), order="C")


linear = Activation("linear", "Return the input unchanged: ``y = x``.")
relu = Rectifier("relu", "Compute the rectified linear unit: ``y = max(x, 0)``.")
leaky_relu = Rectifier(
    "leaky_relu", "Compute ``x`` if ``x > 0``, else ``negative_slope * x``.", negative_slope=0.2
)
relu6 = Rectifier("relu6", "Compute ``y = min(max(x, 0), 6)``.", max_value=6.0)
sigmoid = Activation("sigmoid", "Compute the logistic function: ``y = 1 / (1 + exp(-x))``.")
tanh = Activation("tanh", "Compute the hyperbolic tangent.")
softmax = OverAxis("softmax", "Convert logits to probabilities: ``exp(x) / sum(exp(x))``.", axis=-1)
log_softmax = OverAxis("log_softmax", "Compute the logarithm of `softmax`.", axis=-1)
elu = Elementwise("elu", "Compute ``x`` if ``x > 0``, else ``alpha * (exp(x) - 1)``.", alpha=1.0)
selu = Elementwise("selu", "Compute `elu`, scaled to keep mean 0 and variance 1 in deep networks.")
softplus = Elementwise("softplus", "Compute a smooth approximation of relu: ``log(1 + exp(x))``.")
softsign = Elementwise("softsign", "Compute ``y = x / (1 + |x|)``.")
silu = swish = Elementwise("silu", "Compute ``y = x * sigmoid(x)``, also called `swish`.")
gelu = Elementwise("gelu", "Compute ``x * P(Z < x)`` for a standard normal Z.", approximate=False)
exponential = Elementwise("exponential", "Compute ``y = exp(x)``.")
hard_sigmoid = Elementwise("hard_sigmoid", "Compute ``y = x / 6 + 0.5``, clipped to [0, 1].")
hard_silu = hard_swish = Elementwise("hard_silu", "Compute ``y = x * hard_sigmoid(x)``.")
mish = Elementwise("mish", "Compute ``y = x * tanh(softplus(x))``.")
for _entry in [*vars().values()]:
    if isinstance(_entry, Activation):
        _registry.register()(_entry)
_registry.names.update(swish=silu, hard_swish=hard_silu)


def get(identifier: Any) -> Activation:
    """Return the activation for an identifier.

    Parameters
    ----------
    identifier : None, str, dict or callable
        Name in lower case, configuration, activation or custom function. None means `linear`.

    Returns
    -------
    Activation
        Activation.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> get("relu"), get(None)
    (<activation relu>, <activation linear>)
    """
    found = linear if identifier is None else _registry.get(identifier)
    # Keras also accepts an activation layer, such as ReLU().
    found = getattr(found, "activation", found) if not hasattr(found, "units") else found
    found = tanh if found is TABLE["tanh"] else found
    return found if isinstance(found, Activation) else Custom(found)


serialize = _registry.serialize
deserialize = get
