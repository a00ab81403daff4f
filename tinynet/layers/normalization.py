"""Layers that normalize their inputs: over the batch, over each example, or over given data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet import checks, config, constraints, initializers, regularizers
from tinynet.arguments import argument, declared, found
from tinynet.layers.base import Layer, _registry
from tinynet.program.dense_net import BATCH_NORMALIZATION, NORMALIZED
from tinynet.program.symbols import Shape
from tinynet.program.tensor import TABLE
from tinynet.variable import Variable

__all__ = ["BatchNormalization", "LayerNormalization", "Normalization", "UnitNormalization"]


def _axis(name: str, axis: Any) -> Any:
    """Check an axis, or a list of axes."""
    if isinstance(axis, list | tuple):
        return [checks.whole(name, each, -64) for each in axis]
    return checks.whole(name, axis, -64)


def _only_axis(name: str, axis: Any) -> int:
    """Check an axis, which may be the only one in a list."""
    alone = isinstance(axis, list | tuple) and len(axis) == 1
    return checks.whole(name, axis[0] if alone else axis, -64)


@declared(_registry)
class BatchNormalization(Layer):
    """Normalize every feature to mean 0 and variance 1 over the batch, then scale and shift it.

    In training, mean and variance are the batch's, and their moving averages are updated; else
    they are these moving averages. Ioffe and Szegedy, "Batch normalization" (2015).

    Parameters
    ----------
    axis : int
        Axis of the features.
    momentum : float
        Decay rate of the moving averages.
    epsilon : float
        Added to the variance.
    center, scale : bool
        If True, `beta` is added, and if True, the result is multiplied by `gamma`.
    beta_initializer, gamma_initializer : str or Initializer
        Initializers of the weights.
    moving_mean_initializer, moving_variance_initializer : str or Initializer
        Initializers of the moving averages.
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Regularizers of the weights.
    beta_constraint, gamma_constraint : str or Constraint, optional
        Constraints of the weights.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> BatchNormalization()([[0.0, 4.0], [2.0, 8.0]], training=True).numpy().round(4)
    array([[-0.9995, -0.9999],
           [ 0.9995,  0.9999]], dtype=float32)
    """

    axis: Any = argument(-1, _only_axis)
    momentum: float = argument(0.99, checks.number, 0, 1)
    epsilon: float = argument(1e-3, checks.number, 0)
    center: bool = argument(True, checks.flag)
    scale: bool = argument(True, checks.flag)
    beta_initializer: Any = found("zeros", initializers.get)
    gamma_initializer: Any = found("ones", initializers.get)
    moving_mean_initializer: Any = found("zeros", initializers.get)
    moving_variance_initializer: Any = found("ones", initializers.get)
    beta_regularizer: Any = found(None, regularizers.get)
    gamma_regularizer: Any = found(None, regularizers.get)
    beta_constraint: Any = found(None, constraints.get)
    gamma_constraint: Any = found(None, constraints.get)

    def __complete(self) -> None:
        self.gamma: Variable | None = None
        self.beta: Variable | None = None
        self.moving_mean: Variable
        self.moving_variance: Variable

    def _features(self, input_shape: Shape) -> int:
        size = None
        if -len(input_shape) <= self.axis < len(input_shape) and len(input_shape) >= 2:
            size = input_shape[self.axis]
        if size is None or (self.built and size != self.moving_mean.size):
            own = self.moving_mean.size if self.built else "a fixed number of"
            raise ValueError(
                f"{self.name} takes inputs with {own} features on axis {self.axis}. "
                f"Received: shape {tuple(input_shape)}"
            )
        return size

    def build(self, input_shape: Shape) -> None:
        """Build the weights; those of an earlier build are dropped."""
        shape = (self._features(input_shape),)
        gamma, beta = shape if self.scale else None, shape if self.center else None
        moving = {"moving_mean": shape, "moving_variance": shape}
        self._build_weights(input_shape, gamma=gamma, beta=beta, **moving)

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output; in training, update the moving averages."""
        self._features(x.shape)
        axis = self.axis % x.ndim
        last = x if axis == x.ndim - 1 else TABLE["swapaxes"](x, axis, -1)
        if training and self.trainable:
            y, mean, variance = BATCH_NORMALIZATION(
                last, self.gamma, self.beta, epsilon=self.epsilon
            )
            keep = np.dtype(self.dtype).type(self.momentum)
            for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                average.assign(average * keep + value * (1 - keep))
        else:
            y = NORMALIZED(
                *(last, self.moving_mean, self.moving_variance, self.gamma, self.beta),
                epsilon=self.epsilon,
            )
        return y if last is x else TABLE["swapaxes"](y, axis, -1)


class OverAxes(Layer):
    """The base of layers with an argument `axis`: one axis or several.

    Examples
    --------
    >>> LayerNormalization(axis=[1, 2]).axis
    [1, 2]
    """

    axis: Any

    def _sizes(self, input_shape: Shape) -> Shape:
        """Return the sizes of the axes."""
        axes = self.axis if isinstance(self.axis, list | tuple) else [self.axis]
        if not all(-len(input_shape) <= axis < len(input_shape) for axis in axes):
            raise ValueError(
                f"axis of {self.name} must be among the axes of its input. "
                f"Received: axis={self.axis}, an input of shape {tuple(input_shape)}"
            )
        return tuple(input_shape[axis] for axis in axes)

    def _known_sizes(self, input_shape: Shape) -> tuple[int, ...]:
        """Return the sizes of the axes, which must be known and must not change."""
        sizes = self._sizes(input_shape)
        expected = self._sizes(self._build_shape) if self.built and self._build_shape else sizes
        if sizes != expected or None in sizes:
            raise ValueError(
                f"Inputs of {self.name} must have the sizes {expected} on axis {self.axis}. "
                f"Received: an input of shape {tuple(input_shape)}"
            )
        return sizes  # type: ignore[return-value]  # without None

    def _kept(self, shape: Shape) -> Any:
        """Return a shape with 1 for every other axis, which broadcasts."""
        axes = self.axis if isinstance(self.axis, list | tuple) else [self.axis]
        kept = {axis % len(shape) for axis in axes}
        return tuple(size if i in kept else 1 for i, size in enumerate(shape))


@declared(_registry)
class LayerNormalization(OverAxes):
    """Normalize every example to mean 0 and variance 1, then scale and shift its features.

    ``y = (x - mean) / sqrt(variance + epsilon) * gamma + beta``, where mean and variance are
    those of one example along `axis`. Ba et al., "Layer normalization" (2016).

    Parameters
    ----------
    axis : int or list of int
        Axis or axes of the features.
    epsilon : float
        Added to the variance.
    center, scale : bool
        If True, `beta` is added, and if True, the result is multiplied by `gamma`.
    beta_initializer, gamma_initializer : str or Initializer
        Initializers of the weights.
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Regularizers of the weights.
    beta_constraint, gamma_constraint : str or Constraint, optional
        Constraints of the weights.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> LayerNormalization()([[0.0, 2.0], [10.0, 30.0]]).numpy().round(2)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    axis: Any = argument(-1, _axis)
    epsilon: float = argument(1e-3, checks.number, 0)
    center: bool = argument(True, checks.flag)
    scale: bool = argument(True, checks.flag)
    beta_initializer: Any = found("zeros", initializers.get)
    gamma_initializer: Any = found("ones", initializers.get)
    beta_regularizer: Any = found(None, regularizers.get)
    gamma_regularizer: Any = found(None, regularizers.get)
    beta_constraint: Any = found(None, constraints.get)
    gamma_constraint: Any = found(None, constraints.get)

    def __complete(self) -> None:
        self.gamma: Variable | None = None
        self.beta: Variable | None = None

    def build(self, input_shape: Shape) -> None:
        """Build gamma and beta; those of an earlier build are dropped."""
        self._known_sizes(input_shape)
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        sizes = self._known_sizes(input_shape)
        gamma, beta = sizes if self.scale else None, sizes if self.center else None
        self._build_weights(input_shape, gamma=gamma, beta=beta)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        self._known_sizes(x.shape)
        kept = self._kept(x.shape)
        axes = tuple(axis % len(x.shape) for axis in self.axis)
        scale = TABLE["rsqrt"](TABLE["var"](x, axes, True) + self.epsilon)
        if self.gamma is not None:
            scale = scale * TABLE["reshape"](self.gamma, kept)
        y = (x - TABLE["mean"](x, axes, True)) * scale
        return y if self.beta is None else y + TABLE["reshape"](self.beta, kept)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, and an old one of Keras'."""
        return {**super().get_config(), "rms_scaling": False}


@declared(_registry)
class UnitNormalization(OverAxes):
    """Divide every example by its length, the root of its sum of squares.

    Parameters
    ----------
    axis : int or list of int
        Axis or axes along which the squares are summed.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> UnitNormalization()([[3.0, 4.0]]).numpy()
    array([[0.6, 0.8]], dtype=float32)
    """

    axis: Any = argument(-1, _axis)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        self._sizes(x.shape)
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        squares = TABLE["sum"](TABLE["square"](x), axis, True)
        # The bound of the length, 1e-12, also keeps the gradient of zeros finite.
        return x * TABLE["rsqrt"](TABLE["maximum"](squares, 1e-24))


@_registry.register()
class Normalization(OverAxes):
    """Normalize every feature to mean 0 and variance 1 over the data.

    ``y = (x - mean) / sqrt(variance)``. Mean and variance are those of the data that `adapt`
    is called with, or the given ones; training does not change them.

    Parameters
    ----------
    axis : int, tuple of int or None
        Axes with a mean and a variance for each of their elements; None for one of each.
    mean, variance : float or array_like, optional
        Given mean and variance; both or neither.
    invert : bool
        If True, compute the inverse, ``y = mean + x * sqrt(variance)``.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> layer = Normalization()
    >>> layer.adapt(np.array([[1.0, 10.0], [3.0, 30.0]]))
    >>> layer.mean.numpy(), layer.variance.numpy()
    (array([[ 2., 20.]], dtype=float32), array([[  1., 100.]], dtype=float32))
    >>> layer([[1.0, 40.0]]).numpy()
    array([[-1.,  2.]], dtype=float32)
    """

    _arguments = ("axis", "invert")

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        axis = () if axis is None else axis if isinstance(axis, list | tuple) else (axis,)
        self.axis = tuple(checks.whole("axis", each, -64) for each in axis)
        self.invert = checks.flag("invert", invert)
        self.input_mean, self.input_variance = mean, variance
        shapes = [
            None if value is None else checks.numeric(name, value).shape
            for name, value in (("mean", mean), ("variance", variance))
        ]
        if shapes[0] != shapes[1] or len(shapes[0] or ()) > len(self.axis):
            raise ValueError(
                "mean and variance must both be given, in one shape with at most "
                f"{len(self.axis)} dimensions for axis={self.axis}; or neither. "
                f"Received: mean={checks.shorten(mean)}, variance={checks.shorten(variance)}"
            )
        self.adapt_mean: Variable
        self.adapt_variance: Variable

    def build(self, input_shape: Shape) -> None:
        """Build mean and variance; those of an earlier build are dropped."""
        sizes = self._known_sizes(input_shape)
        self._weights = []
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(sizes, "zeros", trainable=False, name="mean")
            self.adapt_variance = self.add_weight(sizes, "ones", trainable=False, name="variance")
            # Keras' files have this weight too, which is not used.
            self._weights.append(Variable(0, False, "int64", "count", f"{self.name}/count"))
        else:
            np.broadcast_to(np.asarray(self.input_mean), sizes)
        super().build(input_shape)

    def adapt(self, data: Any) -> None:
        """Compute mean and variance of data; they are not changed if it raises.

        Parameters
        ----------
        data : array_like, or iterable of batches
            The data. Of batches that are tuples, the first item is used.

        Raises
        ------
        ValueError
            If mean and variance are given, there are no data, or shapes differ.
        """
        if self.input_mean is not None:
            raise ValueError(
                f"{self.name} must not have a given mean to be adapted. "
                f"Received: mean={checks.shorten(self.input_mean)}"
            )
        if hasattr(data, "shape"):
            data = [data]
        elif not hasattr(data, "__iter__"):  # a PyDataset
            data = map(data.__getitem__, range(len(data)))
        total, mean, variance = 0, np.zeros(()), np.zeros(())
        for batch in data:
            x = checks.numeric("data", batch[0] if isinstance(batch, tuple) else batch)
            x = np.atleast_2d(x)  # a vector is one example
            self._build_once((None, *x.shape[1:]))
            sizes = self._known_sizes((None, *x.shape[1:]))
            if x.size:
                kept = {axis % x.ndim for axis in self.axis}
                others = tuple(i for i in range(x.ndim) if i not in kept)
                count = x.size // math.prod(sizes)
                total += count
                share = count / total
                own_variance = np.var(x, axis=others, dtype=np.float64)
                moved = np.mean(x, axis=others, dtype=np.float64) - mean
                variance = variance + share * (own_variance - variance)
                variance = variance + share * (1 - share) * moved**2
                mean = mean + share * moved
        if not total:
            raise ValueError("data must hold at least one example. Received: none")
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(variance)

    def _over_inputs(self, given: Any, adapted: str) -> Any:
        """Return the given value or the adapted one, in a shape that broadcasts to inputs."""
        if not self.built or self._build_shape is None:
            return None
        value = getattr(self, adapted) if given is None else np.asarray(given)
        whole = TABLE["broadcast_to"](value, shape=self._known_sizes(self._build_shape))
        return TABLE["cast"](TABLE["reshape"](whole, self._kept(self._build_shape)), self.dtype)

    @property
    def mean(self) -> Any:
        """Mean, in a shape that broadcasts to inputs; None before the layer is built."""
        return self._over_inputs(self.input_mean, "adapt_mean")

    @property
    def variance(self) -> Any:
        """Variance, in a shape that broadcasts to inputs; None before the layer is built."""
        return self._over_inputs(self.input_variance, "adapt_variance")

    def call(self, x: Any) -> Any:
        """Compute the output."""
        self._known_sizes(x.shape)
        deviation = TABLE["maximum"](TABLE["sqrt"](self.variance), config.epsilon())
        return self.mean + x * deviation if self.invert else (x - self.mean) / deviation

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        given = {"mean": self.input_mean, "variance": self.input_variance}
        return {**super().get_config(), **{k: np.array(v).tolist() for k, v in given.items()}}
