"""Embeddings: trainable vectors for integers, such as the indices of words or categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import constraints, initializers, regularizers
from tinynet._core import argument, checks, declared, found, required
from tinynet.layers.layer import Layer, _registry
from tinynet.program import TABLE, Array, Shape, Variable
from tinynet.program.operations import LookUp

__all__ = ["Embedding"]


def _checked_rows(table: Array, indices: Array) -> Array:
    """Return the row of each index; raise an error if an index is out of range."""
    wrong = (indices < 0) | (indices >= len(table))
    if wrong.any():
        raise ValueError(
            "Inputs of Embedding must be in the range [0, input_dim), where "
            f"input_dim={len(table)}. Received: {indices[wrong][0]}"
        )
    return np.take(table, indices, axis=0)


def _not_supported(name: str, value: Any) -> None:
    """Raise an error if an argument that only Keras supports is given."""
    if value is not None:
        raise NotImplementedError(
            f"{name} of Embedding must be None, because tinynet does not support it. "
            f"Received: {name}={checks.shorten(value)}"
        )


@declared(_registry)
class Embedding(Layer):
    """Embedding: map each integer to a trainable vector, a row of the weight `embeddings`.

    The input contains integers and has any shape; the output has one more axis, of size
    `output_dim`.

    Parameters
    ----------
    input_dim : int
        Number of vectors (vocabulary size): the largest integer plus 1.
    output_dim : int
        Length of each vector.
    embeddings_initializer : str or Initializer
        Initializer of `embeddings`.
    embeddings_regularizer : str or Regularizer, optional
        Regularizer of `embeddings`.
    embeddings_constraint : str or Constraint, optional
        Constraint on `embeddings`.
    mask_zero : bool
        Must be False, because masking is not supported.
    weights : array_like, shape (input_dim, output_dim), optional
        Initial value of `embeddings`.
    lora_rank, lora_alpha, quantization_config : None
        Not supported.
    input_length : int, optional
        Deprecated in Keras; ignored with a warning.
    **kwargs : object
        Arguments of the base class `Layer`.

    Raises
    ------
    NotImplementedError
        If an argument that is not supported is given.
    ValueError
        When the layer is called, if an integer is out of range.

    Examples
    --------
    The integers 2 and 1 select the last and the middle row:

    >>> Embedding(3, 2, weights=[[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])([[2, 1]]).numpy()
    array([[[3., 4.],
            [1., 2.]]], dtype=float32)
    """

    input_dim: int = required(checks.whole, wrong_type=ValueError)
    output_dim: int = required(checks.whole, wrong_type=ValueError)
    embeddings_initializer: Any = found("uniform", initializers.get)
    embeddings_regularizer: Any = found(None, regularizers.get)
    embeddings_constraint: Any = found(None, constraints.get)
    mask_zero: bool = argument(False, checks.flag)
    weights: Any = argument(None, kept=False)
    lora_rank: Any = argument(None, _not_supported, kept=False)
    lora_alpha: Any = argument(None, _not_supported, kept=False)
    quantization_config: Any = argument(None, _not_supported)
    input_length: Any = argument(None, checks.whole, kept=False)

    def __complete(self, weights: Any, input_length: Any, **unused: Any) -> None:
        _not_supported("mask_zero", self.mask_zero or None)
        if input_length is not None:
            checks.warn("input_length has no effect; remove it.")
        self.embeddings: Variable
        if weights is not None:
            self.build()
            alone = isinstance(weights, list) and len(weights) == 1
            self.set_weights(weights if alone else [weights])

    def build(self, input_shape: Any = None) -> None:
        """Create the embeddings if they do not exist."""
        if self.built:
            super().build(input_shape or ())
        else:
            self._build_weights(input_shape or (), embeddings=(self.input_dim, self.output_dim))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input shape with `output_dim` appended."""
        return (*input_shape, self.output_dim)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        look_up = LookUp(self.embeddings, _checked_rows)
        return look_up(self.embeddings, TABLE["cast"](x, "int32"))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"activity_regularizer": None, **super().get_config()}
