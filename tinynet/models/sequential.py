"""Models that are a linear stack of layers."""

from __future__ import annotations

from typing import Any

from tinynet import layers
from tinynet._core import checks
from tinynet.layers.input_layer import InputLayer
from tinynet.layers.layer import Layer, _registry, changed
from tinynet.models.functional import fits
from tinynet.models.model import Model
from tinynet.program import SymbolicTensor
from tinynet.program.graph import Graph
from tinynet.program.symbols import examples_of


class Sequential(Model):
    """Linear stack of layers.

    Parameters
    ----------
    layers : list of Layer, optional
        Layers, the first of which may be an `Input`.
    trainable : bool
        Whether the weights are updated during training.
    name : str, optional
        Name of the model. By default, ``"sequential"``, followed by a number if that name is
        already taken.

    Examples
    --------
    >>> model = Sequential([layers.Input((784,)), layers.Dense(10, activation="softmax")])
    >>> model.count_params()
    7850
    """

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(name=name, trainable=trainable)
        if layers is not None and not isinstance(layers, list | tuple):
            raise TypeError(
                f"layers must be a list of layers. Received: layers={checks.shorten(layers)}"
            )
        for layer in layers or []:
            self._append(layer)
        self._rebuild()

    def add(self, layer: Any) -> None:
        """Append a layer, and build it if the input shape is known.

        Parameters
        ----------
        layer : Layer or SymbolicTensor
            Layer, or result of `Input`.

        Raises
        ------
        ValueError
            If `layer` is not a layer, is a second input, has the name of another layer, or does not
            accept the output of the previous layer.
        """
        graph, built = self._graph, self.built
        self._append(layer)
        try:
            self._rebuild()
        except BaseException:
            self._layers.pop()
            self._graph, self.built = graph, built
            raise

    def _append(self, layer: Any) -> None:
        if isinstance(layer, SymbolicTensor) and isinstance(layer.layer, InputLayer):
            layer = layer.layer
        received = f"layer={checks.shorten(layer)} of type {type(layer).__name__}"
        expected = "layer must be a Layer or the result of Input"
        checks.require(isinstance(layer, Layer), expected, received)
        if isinstance(layer, InputLayer):
            if self._input is not None or self._layers:
                expected = f"{self.name} must have at most one Input, as its first layer"
                raise ValueError(f"{expected}. Received: layer={layer.name}")
            self._enter(layer)
            return
        is_new = layer.name not in [other.name for other in self._layers]
        expected = f"Layer names of {self.name} must be unique"
        checks.require(is_new, expected, f"a second layer {layer.name!r}")
        if not self._layers and self._input is None:
            shape = layer._first_shape
            if shape is None and isinstance(layer, Model) and layer._graph is not None:
                shape = layer.input_shape
            if shape is not None:
                self._input = InputLayer(batch_shape=shape, dtype=self.dtype)
        self._layers.append(layer)
        changed()
        self.built = False

    def pop(self, rebuild: bool = True) -> Layer | None:
        """Remove the last layer.

        Parameters
        ----------
        rebuild : bool
            If True, build the remaining model.

        Returns
        -------
        Layer or None
            Removed layer; None if there was none.
        """
        if not self._layers:
            return None
        layer = self._layers.pop()
        self.built, self._graph = False, None
        changed()
        if rebuild:
            self._rebuild()
        return layer

    def _rebuild(self) -> None:
        if self._input is not None and self._layers:
            self.build(self._input.batch_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Apply the layers one after another."""
        x = inputs
        if self._input is not None:
            x = self._adjusted(x, self._input.batch_shape)
        for layer in self._layers:
            x = layer(x)
        return x

    def _make_graph(self, shape: Any) -> None:
        """Apply the layers to the symbolic input; after `add`, only the new layers."""
        checks.require(self._layers, f"{self.name} must have at least one layer", "layers=[]")
        if self._input is None:
            self._input = InputLayer(batch_shape=shape, dtype=self.dtype)
        elif not fits(self._input.batch_shape, shape):
            self._adjusted(SymbolicTensor(examples_of(shape, self.dtype)), self._input.batch_shape)
        x: Any = self._input.output
        done = 0
        if self._graph is not None and self._graph.entries == [x]:
            kept = [node.operation for node in self._graph.nodes]
            if kept == self._layers[: len(kept)]:
                done, x = len(kept), self._graph.outputs
        for layer in self._layers[done:]:
            x = layer(x)
        self._graph = Graph(self._input.output, x)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the model, without its weights."""
        entries = [] if self._input is None else [self._input]
        listed = [layers.serialize(layer) for layer in entries + self._layers]
        config = {**super().get_config(), "layers": listed}
        if self._input is not None:
            config["build_input_shape"] = list(self._input.batch_shape)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Build a model from its configuration.

        Parameters
        ----------
        config : dict
            Result of `get_config`.

        Returns
        -------
        Sequential
            New model, with newly initialized weights.
        """
        listed = [layers.deserialize(entry) for entry in config["layers"]]
        model = cls(listed, config.get("trainable", True), config.get("name"))
        if model._input is None:
            model.dtype = checks.float_type(config.get("dtype"), model.dtype)
        shape = config.get("build_input_shape")
        if not model.built and shape is not None and listed:
            model.build(shape)
        return model


_registry.register(module="keras")(Sequential)
