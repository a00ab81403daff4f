"""Normalization of features by the mean and variance of a dataset."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet import config
from tinynet._core import checks
from tinynet.layers.layer import _registry
from tinynet.layers.over_axes import OverAxes
from tinynet.program import TABLE, Shape, Variable

__all__ = ["Normalization"]


@_registry.register()
class Normalization(OverAxes):
    """Feature-wise normalization: ``y = (x - mean) / sqrt(variance)``.

    The mean and the variance are computed from data by `adapt`, or given as arguments; training
    does not change them.

    Parameters
    ----------
    axis : int, tuple of int or None
        Axis or axes that have a separate mean and variance for each index, usually the feature
        axis. None for a single mean and variance.
    mean, variance : float or array_like, optional
        Mean and variance to use instead of the values computed by `adapt`. Both or neither must
        be given.
    invert : bool
        If True, compute the inverse, ``y = mean + x * sqrt(variance)``.
    **kwargs : object
        Arguments of the base class `Layer`.

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
                "mean and variance must be both None or both given, with equal shapes of at most "
                f"{len(self.axis)} dimensions (axis={self.axis}). "
                f"Received: mean={checks.shorten(mean)}, variance={checks.shorten(variance)}"
            )
        self.adapt_mean: Variable
        self.adapt_variance: Variable

    def build(self, input_shape: Shape) -> None:
        """Create the weights; weights of an earlier build are replaced."""
        sizes = self._known_sizes(input_shape)
        self._weights = []
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(sizes, "zeros", trainable=False, name="mean")
            self.adapt_variance = self.add_weight(sizes, "ones", trainable=False, name="variance")
            # Not used, but part of Keras' file format.
            self._weights.append(Variable(0, False, "int64", "count", f"{self.name}/count"))
        else:
            np.broadcast_to(np.asarray(self.input_mean), sizes)
        super().build(input_shape)

    def adapt(self, data: Any) -> None:
        """Compute the mean and the variance of a dataset, replacing earlier values.

        If an error is raised, the earlier values are kept.

        Parameters
        ----------
        data : array_like or iterable of batches
            Data set. If batches are tuples, the first entry is used.

        Raises
        ------
        ValueError
            If `mean` and `variance` were given to the constructor, `data` is empty, or the shapes
            of batches differ.
        """
        if self.input_mean is not None:
            raise ValueError(
                f"mean and variance of {self.name} must be None to use adapt. "
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
            raise ValueError("data must contain at least one example. Received: no examples")
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(variance)

    def _over_inputs(self, given: Any, adapted: str) -> Any:
        """Return the given or adapted value, in a shape that broadcasts to the inputs."""
        if not self.built or self._build_shape is None:
            return None
        value = getattr(self, adapted) if given is None else np.asarray(given)
        whole = TABLE["broadcast_to"](value, shape=self._known_sizes(self._build_shape))
        return TABLE["cast"](TABLE["reshape"](whole, self._kept(self._build_shape)), self.dtype)

    @property
    def mean(self) -> Any:
        """Mean, in a shape that broadcasts to the inputs; None before the layer is built."""
        return self._over_inputs(self.input_mean, "adapt_mean")

    @property
    def variance(self) -> Any:
        """Variance, in a shape that broadcasts to the inputs; None before the layer is built."""
        return self._over_inputs(self.input_variance, "adapt_variance")

    def call(self, x: Any) -> Any:
        """Compute the output."""
        self._known_sizes(x.shape)
        deviation = TABLE["maximum"](TABLE["sqrt"](self.variance), config.epsilon())
        return self.mean + x * deviation if self.invert else (x - self.mean) / deviation

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        given = {"mean": self.input_mean, "variance": self.input_variance}
        return {**super().get_config(), **{k: np.array(v).tolist() for k, v in given.items()}}
