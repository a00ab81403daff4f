"""Trainable vectors for integers, such as words and categories."""

from __future__ import annotations

from typing import Any

from tinynet import checks
from tinynet.layers.base import Layer, _registry
from tinynet.layers.weights import add_named, keep_arguments
from tinynet.program.look_up import LookUp, rows
from tinynet.program.symbols import Shape
from tinynet.program.tensor import TABLE
from tinynet.variable import Array, Variable


def _checked_rows(table: Array, indices: Array) -> Array:
    """Return the row of each index, which must be in range."""
    wrong = (indices < 0) | (indices >= len(table))
    if wrong.any():
        raise ValueError(
            f"The inputs of Embedding must be integers from 0 to input_dim - 1 = {len(table) - 1}. "
            f"Received: {indices[wrong][0]}"
        )
    return rows(table, indices)


@_registry.register()
class Embedding(Layer):
    """Replace every integer by a trainable vector, a row of the weight `embeddings`.

    Parameters
    ----------
    input_dim : int
        Number of vectors: one more than the largest integer.
    output_dim : int
        Size of a vector.
    embeddings_initializer : str or Initializer
        Initializer of the vectors.
    embeddings_regularizer : str or Regularizer, optional
        Regularizer of the vectors.
    embeddings_constraint : str or Constraint, optional
        Constraint of the vectors.
    mask_zero : bool
        Must be False: masks are not supported.
    weights : array_like, shape (input_dim, output_dim), optional
        Initial vectors.
    lora_rank, lora_alpha, quantization_config : None
        Not supported.
    input_length : int, optional
        Accepted as Keras does, with a warning and without effect.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If an argument is not supported; when called, if an input is out of range.

    Examples
    --------
    >>> Embedding(3, 2, weights=[[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])([[2, 1]]).numpy()
    array([[[3., 4.],
            [1., 2.]]], dtype=float32)
    """

    _own = (
        *("input_dim", "output_dim", "embeddings_initializer", "embeddings_regularizer"),
        *("embeddings_constraint", "mask_zero", "quantization_config"),
    )

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: Any = None,
        lora_alpha: Any = None,
        quantization_config: Any = None,
        input_length: Any = None,
        **kwargs: Any,
    ) -> None:
        for name, value in (
            ("mask_zero", checks.flag("mask_zero", mask_zero) or None),
            ("lora_rank", lora_rank),
            ("lora_alpha", lora_alpha),
            ("quantization_config", quantization_config),
        ):
            if value is not None:
                raise NotImplementedError(
                    f"tinynet does not support {name} of Embedding. "
                    f"Received: {name}={checks.shorten(value)}"
                )
        if checks.optional(checks.whole, "input_length", input_length) is not None:
            checks.warn("input_length has no effect; remove it.")
        super().__init__(**kwargs)
        self.input_dim = checks.whole("input_dim", input_dim, wrong_type=ValueError)
        self.output_dim = checks.whole("output_dim", output_dim, wrong_type=ValueError)
        options = embeddings_initializer, embeddings_regularizer, embeddings_constraint
        keep_arguments(self, "embeddings", *options)
        self.mask_zero, self.quantization_config = False, None
        self.embeddings: Variable
        if weights is not None:
            self.build()
            alone = isinstance(weights, list) and len(weights) == 1
            self.set_weights(weights if alone else [weights])

    def build(self, input_shape: Any = None) -> None:
        """Build the vectors, unless they are built."""
        if not self.built:
            add_named(self, "embeddings", (self.input_dim, self.output_dim))
        super().build(input_shape or ())

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape with another axis, of size `output_dim`."""
        return (*input_shape, self.output_dim)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        look_up = LookUp(self.embeddings, _checked_rows)
        return look_up(self.embeddings, TABLE["cast"](x, "int32"))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"activity_regularizer": None, **super().get_config()}
