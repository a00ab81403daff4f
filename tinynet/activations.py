"""What makes a net more than one matrix: the functions between its layers.

An activation is a function that knows its derivative. A custom function of operations is
differentiated; one with an attribute ``backward(d_y, x, y)`` brings its own derivative.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import checks, config
from tinynet.program import dispatch
from tinynet.program.dense_net import Activated
from tinynet.program.operations import as_floats
from tinynet.program.tape import pull_back
from tinynet.program.tensor import TensorMethods
from tinynet.registry import Registry
from tinynet.variable import Array, Tensor, as_tensor, copies

_registry = Registry("activation", "keras.activations")


class Activation:
    """A function of one array with its derivative.

    Parameters
    ----------
    name : str
        Its name; by default the function of that name in `ops`, and its derivative
        ``name_backward``.
    doc : str
        What it computes.
    **options : object
        What else Keras' function of that name takes, with its defaults.

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
        """Set the options, which are also the parameters that users see."""
        self.options = options
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter("x", kind),
                *(inspect.Parameter(n, kind, default=v) for n, v in options.items()),
            ]
        )

    def __call__(self, x: Any, *args: Any, **options: Any) -> Tensor:
        """Compute it for numbers of any type.

        Parameters
        ----------
        x : array_like
            The inputs.
        *args, **options : object
            Options other than the usual ones.

        Returns
        -------
        Tensor
            The outputs, in `config.floatx()` unless `x` is a float array already.
        """
        activation = self.with_options(*args, **options) if args or options else self
        if activation is linear:
            return x if isinstance(x, TensorMethods) else as_tensor(to_float(x))  # type: ignore[return-value]
        result: Tensor = activation._applied(x)
        # The losses that take logits look for them here.
        result.computed_by = self, x
        return result

    def _applied(self, x: Any) -> Any:
        return self.operation(x)

    @functools.cached_property
    def operation(self) -> Activated:
        """The operation that computes it."""
        return Activated(self, as_floats)

    def with_options(self, *args: Any, **options: Any) -> Activation:
        """Return the same activation with other options.

        Parameters
        ----------
        *args, **options : object
            The options, in order or by name.

        Returns
        -------
        Activation
            A new one, or this one if nothing changes.

        Raises
        ------
        TypeError
            If there is no such option.
        """
        given = {**dict(zip(self.options, args, strict=False)), **options}
        unknown = {key: value for key, value in given.items() if key not in self.options}
        checks.no_more(self.__name__, unknown, ["x", *self.options], TypeError)
        if len(args) > len(self.options):
            raise TypeError(
                f"{self.__name__} takes x and {', '.join(self.options) or 'no options'}. "
                f"Received: {checks.shorten(args)}, {checks.shorten(options)}"
            )
        merged = {**self.options, **given}
        if merged == self.options:
            return self
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.__dict__.pop("operation", None)
        other._set(merged)
        return other

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function.

        Parameters
        ----------
        x : ndarray
            The inputs.
        out : ndarray, optional
            Where to write the result.

        Returns
        -------
        ndarray
            The outputs.
        """
        return getattr(dispatch, self.__name__)(x, out)

    def backward(self, d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Compute the gradient in the inputs.

        Parameters
        ----------
        d_y : ndarray
            The gradient in the outputs.
        x, y : ndarray
            The inputs and the outputs.
        out : ndarray, optional
            Where to write the result.

        Returns
        -------
        ndarray
            The gradient.
        """
        return getattr(dispatch, self.__name__ + "_backward")(d_y, x, y, out)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the operation, which is made again."""
        return {key: value for key, value in self.__dict__.items() if key != "operation"}

    @property
    def is_built_in(self) -> bool:
        """Whether it is the one of its name, without options."""
        return _registry.names.get(self.__name__) is self

    def __reduce__(self) -> Any:
        """Keep a copied model's activations the built-in ones, which are known by identity."""
        return (get, (self.__name__,)) if self.is_built_in else super().__reduce__()

    def __repr__(self) -> str:
        return f"<activation {self.__name__}>"


class Custom(Activation):
    """A user's own function as an activation.

    Parameters
    ----------
    function : callable
        ``function(x) -> y``, of operations; or with an attribute
        ``backward(d_y, x, y) -> d_x``, which is then used.

    Examples
    --------
    >>> def square(x):
    ...     return x * x
    >>> Custom(square).backward(np.array([1.0]), np.array([3.0]), np.array([9.0]))
    array([6.])
    """

    def __init__(self, function: Callable[[Array], Array]) -> None:
        name = getattr(function, "__name__", type(function).__name__)
        super().__init__(name, f"The user's own {name}.")
        if hasattr(function, "compute_output_shape"):
            raise ValueError(
                f"The activation must be a function of one array; a layer that is more goes into "
                f"the model as a layer of its own. Received: {checks.shorten(function)}"
            )
        self.function: Any = function

    def _applied(self, x: Any) -> Any:
        if hasattr(self.function, "backward"):
            return self.operation(x)
        y = self.function(x if isinstance(x, TensorMethods) else as_tensor(to_float(x)))
        return y if isinstance(y, TensorMethods) else as_tensor(y)

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function."""
        return np.positive(np.asarray(self.function(as_tensor(*copies(x))), x.dtype), out=out)

    def backward(self, d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Compute the gradient in the inputs."""
        own = getattr(self.function, "backward", None)
        found = pull_back(self.function, x, d_y) if own is None else own(*copies(d_y, x, y))
        return np.positive(np.asarray(found, x.dtype), out=out)


class Rectifier(Activation):
    """The rectifier with its options.

    Parameters
    ----------
    name : str
        What it goes by.
    doc : str
        What it computes.
    **options : float
        `negative_slope`, `max_value` and `threshold`, as in `functional.rectifier`.

    Examples
    --------
    >>> Rectifier(negative_slope=0.5)([-1.0, 2.0]).numpy()
    array([-0.5,  2. ], dtype=float32)
    """

    def __init__(
        self, name: str = "relu", doc: str = "The rectifier with options.", **options: float | None
    ) -> None:
        super().__init__(
            name, doc, **{"negative_slope": 0.0, "max_value": None, "threshold": 0.0, **options}
        )

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function."""
        if self is relu:
            return super().forward(x, out)
        return dispatch.rectifier(x, **self.options, out=out)

    def backward(self, d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Compute the gradient in the inputs."""
        if self is relu:
            return super().backward(d_y, x, y, out)
        return dispatch.rectifier_backward(d_y, x, **self.options, out=out)


class Elementwise(Activation):
    """One of the activations in `functional.ELEMENTWISE`.

    Parameters
    ----------
    name : str
        Its name there.
    doc : str
        What it computes.
    **options : object
        What else it takes.

    Examples
    --------
    >>> elu([-1.0, 2.0], alpha=0.5).numpy()
    array([-0.31606027,  2.        ], dtype=float32)
    """

    @property
    def _row(self) -> tuple[str, tuple[Any, ...]]:
        """Its name in the table, and what it takes there."""
        approximate = self.options.get("approximate")
        if approximate is None:
            return self.__name__, tuple(self.options.values())
        return self.__name__ + ("_approximate" if approximate else ""), ()

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function."""
        name, options = self._row
        return dispatch.elementwise(name, x, options, out)

    def backward(self, d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Compute the gradient in the inputs."""
        name, options = self._row
        return dispatch.elementwise_backward(name, d_y, x, y, options, out)


class OverAxis(Activation):
    """An activation of whole rows, along any axis.

    Parameters
    ----------
    name : str
        Its name in `ops`.
    doc : str
        What it computes.
    **options : int
        `axis`: the axis of the rows.

    Examples
    --------
    >>> softmax([[0.0, 1.0], [0.0, 1.0]], axis=0).numpy()
    array([[0.5, 0.5],
           [0.5, 0.5]], dtype=float32)
    """

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function."""
        axis = self.options["axis"]
        if axis == -1:
            return super().forward(x, out)
        y = super().forward(np.ascontiguousarray(np.moveaxis(x, axis, -1)))
        return np.positive(np.moveaxis(y, -1, axis), out=out)

    def backward(self, d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Compute the gradient in the inputs."""
        axis = self.options["axis"]
        if axis == -1:
            return super().backward(d_y, x, y, out)
        d_x = super().backward(*(np.moveaxis(a, axis, -1) for a in (d_y, x, y)))
        return np.positive(np.moveaxis(d_x, -1, axis), out=out)


def to_float(x: Any) -> Array:
    """Turn numbers of any type into an array to compute with.

    Parameters
    ----------
    x : array_like
        The numbers.

    Returns
    -------
    ndarray
        float64 stays float64 if it is an array already; all else becomes `config.floatx()`.

    Examples
    --------
    >>> to_float([1, 2]).dtype.name
    'float32'
    """
    is_float = isinstance(getattr(x, "dtype", None), np.dtype) and x.dtype in config.FLOATS
    return np.asarray(checks.numeric("x", x, None if is_float else config.floatx()), order="C")


def _enter(activation: Activation, *aliases: str) -> Activation:
    _registry.register(*aliases)(activation)
    return activation


linear = _enter(Activation("linear", "The identity: ``y = x``."))
relu = _enter(Rectifier("relu", "The rectifier: ``y = max(x, 0)``."))
leaky_relu = _enter(
    Rectifier("leaky_relu", "The rectifier with a small slope below 0.", negative_slope=0.2)
)
relu6 = _enter(Rectifier("relu6", "``y = min(max(x, 0), 6)``.", max_value=6.0))
sigmoid = _enter(Activation("sigmoid", "The logistic function: ``y = 1 / (1 + exp(-x))``."))
tanh = _enter(Activation("tanh", "The hyperbolic tangent."))
softmax = _enter(OverAxis("softmax", "Probabilities: ``y = exp(x) / sum(exp(x))``.", axis=-1))
log_softmax = _enter(OverAxis("log_softmax", "The logarithms of `softmax`.", axis=-1))
elu = _enter(Elementwise("elu", "``y = x`` above 0, ``alpha * (exp(x) - 1)`` below.", alpha=1.0))
selu = _enter(Elementwise("selu", "`elu`, scaled so that deep nets keep mean 0 and variance 1."))
softplus = _enter(Elementwise("softplus", "A smooth rectifier: ``y = log(1 + exp(x))``."))
softsign = _enter(Elementwise("softsign", "``y = x / (1 + |x|)``."))
silu = swish = _enter(Elementwise("silu", "``y = x * sigmoid(x)``, also `swish`."), "swish")
gelu = _enter(
    Elementwise("gelu", "``y = x * P(Z < x)`` for a standard normal Z.", approximate=False)
)
exponential = _enter(Elementwise("exponential", "``y = exp(x)``."))
hard_sigmoid = _enter(Elementwise("hard_sigmoid", "``y = x / 6 + 0.5``, cut at 0 and at 1."))
hard_silu = hard_swish = _enter(
    Elementwise("hard_silu", "``y = x * hard_sigmoid(x)``, also `hard_swish`."), "hard_swish"
)
mish = _enter(Elementwise("mish", "``y = x * tanh(softplus(x))``."))


def get(identifier: Any) -> Activation:
    """Find an activation.

    Parameters
    ----------
    identifier : None, str, dict or callable
        A name in lower case, an activation, or a function of your own with its `backward`;
        None means `linear`.

    Returns
    -------
    Activation
        The activation.

    Raises
    ------
    ValueError
        If there is none of that name, or a function has no `backward`.

    Examples
    --------
    >>> get("relu"), get(None)
    (<activation relu>, <activation linear>)
    """
    found = linear if identifier is None else _registry.get(identifier)
    # Keras takes a layer for an activation; those that only apply one are meant.
    found = getattr(found, "activation", found) if not hasattr(found, "units") else found
    return found if isinstance(found, Activation) else Custom(found)


serialize = _registry.serialize
deserialize = get
