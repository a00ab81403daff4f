"""Activations: the functions between layers, without which a network is one matrix product.

An activation is a function that knows its derivative. A custom function of operations is
differentiated; one with an attribute ``backward(d_y, x, y)`` brings its own derivative.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import config, functional
from tinynet._core import Registry, checks, suggestions
from tinynet._core.cached_property import cached_property
from tinynet.program import Array, Operation, Tensor, TensorMethods, as_tensor
from tinynet.program.layer_operations import Activated
from tinynet.program.operations import as_floats
from tinynet.program.tape import pull_back
from tinynet.program.variable import copies

_registry = Registry("activation", "keras.activations")


class Activation:
    """A function of one array with its derivative.

    Parameters
    ----------
    name : str
        Name; the function of that name in `functional` computes it, and ``name_backward`` its
        gradient.
    doc : str
        Description of the function.
    **options : object
        Further arguments of Keras' function of that name, with their defaults.

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
            Options that differ from the defaults.

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

    @cached_property
    def operation(self) -> Activated:
        """The operation that computes it."""
        return Activated(self, as_floats)

    def with_options(self, *args: Any, **options: Any) -> Activation:
        """Return the same activation with other options.

        Parameters
        ----------
        *args, **options : object
            Options, in order or by name.

        Returns
        -------
        Activation
            A new one, or this one if nothing changes.

        Raises
        ------
        TypeError
            If an option is unknown.
        """
        given = {**dict(zip(self.options, args, strict=False)), **options}
        unknown = {key: value for key, value in given.items() if key not in self.options}
        suggestions.no_more(self.__name__, unknown, ["x", *self.options], TypeError)
        if len(args) > len(self.options):
            raise TypeError(
                f"{self.__name__} takes x and {', '.join(self.options) or 'no options'}. "
                f"Received: {checks.shorten(args)}, {checks.shorten(options)}"
            )
        merged = {**self.options, **given}
        if merged == self.options:
            return self
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__getstate__())
        other._set(merged)
        return other

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function.

        Parameters
        ----------
        x : ndarray
            Inputs.
        out : ndarray, optional
            Array for the result.

        Returns
        -------
        ndarray
            The outputs.
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
            Array for the result.

        Returns
        -------
        ndarray
            The gradient.
        """
        return self._run("_backward", d_y, x, y, out)

    def _run(self, end: str, *arrays: Any) -> Array:
        """Call the function of this name, or its backward function; the last array is `out`."""
        return getattr(functional, self.__name__ + end)(*arrays)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the operation, which is made again."""
        return {key: value for key, value in self.__dict__.items() if key != "operation"}

    @property
    def is_built_in(self) -> bool:
        """True for the built-in activation of that name, with default options."""
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
                f"the model as a separate layer. Received: {checks.shorten(function)}"
            )
        self.function: Any = function

    @property
    def _own_backward(self) -> Any:
        """The function's own derivative; that of an operation has other arguments."""
        is_operation = isinstance(self.function, Operation)
        return None if is_operation else getattr(self.function, "backward", None)

    def _applied(self, x: Any) -> Any:
        if self._own_backward is not None:
            return self.operation(x)
        y = self.function(x if isinstance(x, TensorMethods) else as_tensor(to_float(x)))
        return y if isinstance(y, TensorMethods) else as_tensor(y)

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Compute the function."""
        return np.positive(np.asarray(self.function(as_tensor(*copies(x))), x.dtype), out=out)

    def backward(self, d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """Compute the gradient with respect to the inputs."""
        own = self._own_backward
        found = pull_back(self.function, x, d_y) if own is None else own(*copies(d_y, x, y))
        return np.positive(np.asarray(found, x.dtype), out=out)


class Rectifier(Activation):
    """The rectifier with its options.

    Parameters
    ----------
    name : str
        Name.
    doc : str
        Description of the function.
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

    def _run(self, end: str, *arrays: Any) -> Array:
        if self is relu:
            return super()._run(end, *arrays)
        inputs = arrays[:2] if end else arrays[:1]
        return getattr(functional, "rectifier" + end)(*inputs, **self.options, out=arrays[-1])


class Elementwise(Activation):
    """One of the activations in `functional.ELEMENTWISE`.

    Parameters
    ----------
    name : str
        Name in that table.
    doc : str
        Description of the function.
    **options : object
        Further arguments.

    Examples
    --------
    >>> elu([-1.0, 2.0], alpha=0.5).numpy()
    array([-0.31606027,  2.        ], dtype=float32)
    """

    def _run(self, end: str, *arrays: Any) -> Array:
        name, options = self.__name__, tuple(self.options.values())
        if "approximate" in self.options:
            name, options = name + "_approximate" * self.options["approximate"], ()
        return getattr(functional, "elementwise" + end)(name, *arrays[:-1], options, arrays[-1])


class OverAxis(Activation):
    """An activation of whole rows, along any axis.

    Parameters
    ----------
    name : str
        Its name in `ops`.
    doc : str
        Description of the function.
    **options : int
        `axis`: the axis of the rows.

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


def to_float(x: Any) -> Array:
    """Convert numbers of any type to an array of floats.

    Parameters
    ----------
    x : array_like
        Numbers.

    Returns
    -------
    ndarray
        A float array keeps its type; all else becomes `config.floatx()`.

    Examples
    --------
    >>> to_float([1, 2]).dtype.name
    'float32'
    """
    is_float = isinstance(getattr(x, "dtype", None), np.dtype) and x.dtype in config.FLOATS
    return np.asarray(checks.numeric("x", x, None if is_float else config.floatx()), order="C")


linear = Activation("linear", "The identity: ``y = x``.")
relu = Rectifier("relu", "The rectifier: ``y = max(x, 0)``.")
leaky_relu = Rectifier("leaky_relu", "Rectifier with a small slope below 0.", negative_slope=0.2)
relu6 = Rectifier("relu6", "``y = min(max(x, 0), 6)``.", max_value=6.0)
sigmoid = Activation("sigmoid", "The logistic function: ``y = 1 / (1 + exp(-x))``.")
tanh = Activation("tanh", "The hyperbolic tangent.")
softmax = OverAxis("softmax", "Probabilities: ``y = exp(x) / sum(exp(x))``.", axis=-1)
log_softmax = OverAxis("log_softmax", "The logarithms of `softmax`.", axis=-1)
elu = Elementwise("elu", "``y = x`` above 0, ``alpha * (exp(x) - 1)`` below.", alpha=1.0)
selu = Elementwise("selu", "`elu`, scaled so that deep networks keep mean 0 and variance 1.")
softplus = Elementwise("softplus", "A smooth rectifier: ``y = log(1 + exp(x))``.")
softsign = Elementwise("softsign", "``y = x / (1 + |x|)``.")
silu = swish = Elementwise("silu", "``y = x * sigmoid(x)``, also `swish`.")
gelu = Elementwise("gelu", "``y = x * P(Z < x)`` for a standard normal Z.", approximate=False)
exponential = Elementwise("exponential", "``y = exp(x)``.")
hard_sigmoid = Elementwise("hard_sigmoid", "``y = x / 6 + 0.5``, cut at 0 and at 1.")
hard_silu = hard_swish = Elementwise("hard_silu", "``y = x * hard_sigmoid(x)``, also `hard_swish`.")
mish = Elementwise("mish", "``y = x * tanh(softplus(x))``.")
for _entry in [*vars().values()]:
    if isinstance(_entry, Activation):
        _registry.register()(_entry)
_registry.names.update(swish=silu, hard_swish=hard_silu)


def get(identifier: Any) -> Activation:
    """Return an activation.

    Parameters
    ----------
    identifier : None, str, dict or callable
        A name in lower case, an activation, or a custom function; None means `linear`.

    Returns
    -------
    Activation
        The activation.

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
    # Keras accepts a layer as activation, such as ReLU().
    found = getattr(found, "activation", found) if not hasattr(found, "units") else found
    return found if isinstance(found, Activation) else Custom(found)


serialize = _registry.serialize
deserialize = get
