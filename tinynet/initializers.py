"""Initializers: objects that create the initial values of weights.

The pre-activation of a dense layer is a sum of `fan_in` terms. If the weights have the variance
``scale / fan``, its variance is approximately that of the inputs, so that signals neither vanish
nor explode in deep networks. The Glorot, He and LeCun initializers differ in `scale` and `fan`.

For the same shape, an initializer returns the same values on every call. If no seed is given, a
random seed is drawn when the initializer is created.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinynet import config, random
from tinynet._core import Configurable, Registry, argument, declared
from tinynet._core.checks import choice, number, type_name, whole
from tinynet.program import Array, Tensor, as_tensor, variable

_registry = Registry("initializer", "keras.initializers")
# Standard deviation of the standard normal distribution truncated at -2 and 2.
_TRUNCATED_STD = 0.87962566103423978


class Initializer(Configurable):
    """Base class of all initializers.

    Examples
    --------
    >>> GlorotUniform(seed=1)((2, 3)).shape
    (2, 3)
    """

    def __call__(self, shape: Any, dtype: DTypeLike | None = None) -> Tensor:
        """Return the initial values of a weight.

        Parameters
        ----------
        shape : tuple of int
            Shape of the weight.
        dtype : dtype, optional
            Data type; by default `config.floatx()`.

        Returns
        -------
        Tensor
            Initial values, the same on every call.
        """
        return as_tensor(self.values(tuple(shape)).astype(type_name(dtype, config.floatx())))

    def values(self, shape: tuple[int, ...]) -> Array:
        """Return the initial values as an array; subclasses override this method.

        Parameters
        ----------
        shape : tuple of int
            Shape of the weight.

        Returns
        -------
        ndarray
            Initial values, of any float dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define values(shape)")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """Create an initializer from its configuration.

        Parameters
        ----------
        config : dict
            Configuration, as returned by `get_config`. The Keras keys `input_axes` and
            `output_axes` are ignored.

        Returns
        -------
        Initializer
            New initializer.
        """
        return cls(**{k: v for k, v in config.items() if k not in ("input_axes", "output_axes")})


@_registry.register("zero")
class Zeros(Initializer):
    """Initializer that returns zeros.

    Examples
    --------
    >>> Zeros()((2,)).numpy()
    array([0., 0.], dtype=float32)
    """

    def values(self, shape: tuple[int, ...]) -> Array:
        """Return the initial values."""
        return np.zeros(shape)


@_registry.register("one")
class Ones(Initializer):
    """Initializer that returns ones.

    Examples
    --------
    >>> Ones()((2,)).numpy()
    array([1., 1.], dtype=float32)
    """

    def values(self, shape: tuple[int, ...]) -> Array:
        """Return the initial values."""
        return np.ones(shape)


@declared(_registry)
class Constant(Initializer):
    """Initializer that returns a constant.

    Parameters
    ----------
    value : float
        Value of all elements.

    Examples
    --------
    >>> Constant(0.5)((2,)).numpy()
    array([0.5, 0.5], dtype=float32)
    """

    value: float = argument(0.0, number)

    def values(self, shape: tuple[int, ...]) -> Array:
        """Return the initial values."""
        return np.full(shape, self.value)


class _Random(Initializer):
    """Base class of random initializers. If no seed is given, a seed is drawn."""

    _arguments: tuple[str, ...] = ("seed",)

    def __init__(self, seed: int | None = None) -> None:
        self.seed = None if seed is None else whole("seed", seed, 0)
        self._seed = random.draw_seed() if self.seed is None else self.seed

    def __call__(self, shape: Any, dtype: DTypeLike | None = None) -> Tensor:
        """Return the initial values of a weight with a float dtype."""
        name = type_name(dtype, config.floatx())
        if np.dtype(name).kind != "f":
            raise ValueError(
                f"dtype must be a float type for {type(self).__name__}; use 'zeros' or 'ones'. "
                f"Received: dtype={name}"
            )
        return super().__call__(shape, dtype)

    def _generator(self) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(self._seed))


@declared(_registry, "normal")
class RandomNormal(_Random):
    """Initializer that draws from a normal distribution.

    Parameters
    ----------
    mean, stddev : float
        Mean and standard deviation.
    seed : int, optional
        Random seed. By default, it is drawn from the global random number generator (see
        `tinynet.random.set_seed`).

    Examples
    --------
    >>> RandomNormal(seed=1)((2, 3)).shape
    (2, 3)
    """

    mean: float = argument(0.0, number)
    stddev: float = argument(0.05, number, 0)
    seed: int | None = argument(None)

    def values(self, shape: tuple[int, ...]) -> Array:
        """Return the initial values."""
        return self._generator().standard_normal(shape) * self.stddev + self.mean


@_registry.register()
class TruncatedNormal(RandomNormal):
    """Initializer that draws from a normal distribution truncated at two standard deviations.

    Parameters
    ----------
    mean, stddev : float
        Mean and standard deviation before truncation.
    seed : int, optional
        Random seed. By default, it is drawn from the global random number generator (see
        `tinynet.random.set_seed`).

    Examples
    --------
    >>> bool(abs(TruncatedNormal(stddev=1.0, seed=1)((1000,))).max() <= 2)
    True
    """

    def values(self, shape: tuple[int, ...]) -> Array:
        """Return the initial values."""
        return random._truncated_normal(self._generator(), shape) * self.stddev + self.mean


@declared(_registry, "uniform")
class RandomUniform(_Random):
    """Initializer that draws from a uniform distribution.

    Parameters
    ----------
    minval, maxval : float
        Bounds; `maxval` is excluded.
    seed : int, optional
        Random seed. By default, it is drawn from the global random number generator (see
        `tinynet.random.set_seed`).

    Examples
    --------
    >>> RandomUniform(seed=1)((2, 3)).shape
    (2, 3)
    """

    minval: float = argument(-0.05, number)
    maxval: float = argument(0.05)
    seed: int | None = argument(None)

    def __complete(self) -> None:
        self.maxval = number("maxval", self.maxval, self.minval)

    def values(self, shape: tuple[int, ...]) -> Array:
        """Return the initial values."""
        return self._generator().uniform(self.minval, self.maxval, shape)


def _distribution(name: str, value: Any) -> Any:
    """Validate the name of a distribution; "normal" is a former name of "truncated_normal"."""
    names = ["truncated_normal", "untruncated_normal", "uniform"]
    return choice(name, {"normal": "truncated_normal"}.get(str(value), value), names)


@declared(_registry)
class VarianceScaling(_Random):
    """Initializer that draws values with the variance ``scale / fan``.

    Parameters
    ----------
    scale : float
        Scale, greater than 0.
    mode : {"fan_in", "fan_out", "fan_avg"}
        Definition of `fan`: number of inputs, number of outputs, or their mean.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        Distribution from which the values are drawn.
    seed : int, optional
        Random seed. By default, it is drawn from the global random number generator (see
        `tinynet.random.set_seed`).

    Examples
    --------
    For ``fan_in = 400``, the standard deviation is sqrt(1 / 400) = 0.05:

    >>> w = VarianceScaling(seed=1)((400, 100))
    >>> bool(abs(w.std() - 0.05) < 0.001)
    True
    """

    scale: float = argument(1.0, number, 0, open_low=True)
    mode: str = argument("fan_in", choice, ["fan_in", "fan_out", "fan_avg"])
    distribution: str = argument("truncated_normal", _distribution)
    seed: int | None = argument(None)

    def values(self, shape: tuple[int, ...]) -> Array:
        """Return the initial values."""
        fan_in, fan_out = (shape[0], shape[-1]) if shape else (1, 1)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return self._generator().uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return self._generator().standard_normal(shape) * math.sqrt(variance)
        return random._truncated_normal(self._generator(), shape) * (
            math.sqrt(variance) / _TRUNCATED_STD
        )


class _Scaled(VarianceScaling):
    """A `VarianceScaling` with fixed scale, mode and distribution."""

    _arguments: tuple[str, ...] = ("seed",)

    fixed: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self.fixed, seed=seed)


@_registry.register()
class GlorotUniform(_Scaled):
    """Glorot (Xavier) uniform initializer, the default for the kernel of `Dense`.

    Values are drawn uniformly from ``[-limit, limit]`` with
    ``limit = sqrt(6 / (fan_in + fan_out))``. Glorot and Bengio, "Understanding the difficulty of
    training deep feedforward neural networks" (2010), equation 16.

    The values must be random: units with equal weights compute the same output and get the same
    gradient, so they would remain equal.

    Parameters
    ----------
    seed : int, optional
        Random seed. By default, it is drawn from the global random number generator (see
        `tinynet.random.set_seed`).

    Examples
    --------
    The limit is sqrt(6 / 912) = 0.0811:

    >>> bool(abs(GlorotUniform(seed=1)((784, 128))).max() <= 0.0811108)
    True
    """

    fixed = (1.0, "fan_avg", "uniform")


@_registry.register()
class GlorotNormal(_Scaled):
    """Glorot (Xavier) normal initializer.

    Values are drawn from a truncated normal distribution with standard deviation
    ``sqrt(2 / (fan_in + fan_out))``.

    Parameters
    ----------
    seed : int, optional
        Random seed. By default, it is drawn from the global random number generator (see
        `tinynet.random.set_seed`).

    Examples
    --------
    >>> GlorotNormal(seed=1)((2, 3)).shape
    (2, 3)
    """

    fixed = (1.0, "fan_avg", "truncated_normal")


@_registry.register()
class HeNormal(_Scaled):
    """He normal initializer, for layers with relu.

    Values are drawn from a truncated normal distribution with standard deviation
    ``sqrt(2 / fan_in)``. He et al., "Delving deep into rectifiers" (2015), equation 10.

    Parameters
    ----------
    seed : int, optional
        Random seed. By default, it is drawn from the global random number generator (see
        `tinynet.random.set_seed`).

    Examples
    --------
    >>> HeNormal(seed=1)((2, 3)).shape
    (2, 3)
    """

    fixed = (2.0, "fan_in", "truncated_normal")


@_registry.register()
class HeUniform(_Scaled):
    """He uniform initializer, for layers with relu.

    Values are drawn uniformly from ``[-limit, limit]`` with ``limit = sqrt(6 / fan_in)``.

    Parameters
    ----------
    seed : int, optional
        Random seed. By default, it is drawn from the global random number generator (see
        `tinynet.random.set_seed`).

    Examples
    --------
    >>> HeUniform(seed=1)((2, 3)).shape
    (2, 3)
    """

    fixed = (2.0, "fan_in", "uniform")


@_registry.register()
class LecunNormal(_Scaled):
    """LeCun normal initializer.

    Values are drawn from a truncated normal distribution with standard deviation
    ``sqrt(1 / fan_in)``. LeCun et al., "Efficient BackProp" (1998), equation 16.

    Parameters
    ----------
    seed : int, optional
        Random seed. By default, it is drawn from the global random number generator (see
        `tinynet.random.set_seed`).

    Examples
    --------
    >>> LecunNormal(seed=1)((2, 3)).shape
    (2, 3)
    """

    fixed = (1.0, "fan_in", "truncated_normal")


@_registry.register()
class LecunUniform(_Scaled):
    """LeCun uniform initializer.

    Values are drawn uniformly from ``[-limit, limit]`` with ``limit = sqrt(3 / fan_in)``.

    Parameters
    ----------
    seed : int, optional
        Random seed. By default, it is drawn from the global random number generator (see
        `tinynet.random.set_seed`).

    Examples
    --------
    >>> LecunUniform(seed=1)((2, 3)).shape
    (2, 3)
    """

    fixed = (1.0, "fan_in", "uniform")


get = variable.find_initializer = _registry.get
serialize, deserialize = _registry.serialize, _registry.deserialize

# In Keras, the lower-case names are aliases of the classes.
zeros, ones, constant = Zeros, Ones, Constant
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling = VarianceScaling
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_normal, he_uniform = HeNormal, HeUniform
lecun_normal, lecun_uniform = LecunNormal, LecunUniform
