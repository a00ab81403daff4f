"""Interface of models that the saving functions require, independent of the model classes."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from tinynet.program.variable import Variable


@runtime_checkable
class Model(Protocol):
    """Protocol of a model that can be saved."""

    name: str
    built: bool
    compiled: bool
    history: Any
    optimizer: Any
    _compile_arguments: dict[str, Any]
    _floatx: str
    _input_sizes: tuple[float, float] | None

    @property
    def layers(self) -> list[Any]:
        """Layers, in order."""

    @property
    def weights(self) -> list[Variable]:
        """All weights, in order."""

    @property
    def trainable_weights(self) -> list[Variable]:
        """Trainable weights."""

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Configure the model for training."""

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the arguments of `build_from_config`."""

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the model from the result of `get_build_config`."""
