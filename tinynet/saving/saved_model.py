"""What saving needs of a model; how the classes of models are written does not matter to it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from tinynet.program.variable import Variable


@runtime_checkable
class Model(Protocol):
    """A model as saving sees it.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> isinstance(Sequential(), Model), isinstance(layers.Dense(2), Model)
    (True, False)
    """

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
        """The layers, in order."""

    @property
    def weights(self) -> list[Variable]:
        """All weights, in order."""

    @property
    def trainable_weights(self) -> list[Variable]:
        """Those that training changes."""

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Set what is trained with."""

    def get_build_config(self) -> dict[str, Any] | None:
        """Return what building needs."""

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build as described."""
