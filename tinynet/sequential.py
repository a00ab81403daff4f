"""The model: layers in a row, the shapes between them, and one flat vector of parameters."""

from __future__ import annotations

import copy
from typing import Any

from tinynet import checks, layers
from tinynet.graph_config import graph_config, tensors_of
from tinynet.layers.base import Layer, _registry, changed
from tinynet.layers.shaping import InputLayer
from tinynet.listing import Listing, program_of
from tinynet.network import fits, new_entry, takes_graph
from tinynet.profiling import Profile, profile_of
from tinynet.program.graph import Graph, rebuilt
from tinynet.program.symbols import SymbolicTensor, examples_of
from tinynet.progress import write
from tinynet.summary import summary_html, summary_lines
from tinynet.training import Trainer
from tinynet.variable import pack


class Model(Trainer):
    """Layers with training, pictures and files: the base of all models.

    There are three ways to make one: the list of a `Sequential`; symbolic inputs and outputs,
    ``Model(inputs, outputs)``, between which layers and operations are applied in any way; or a
    subclass that makes its layers in ``__init__`` and applies them in ``call(self, x)``.

    Parameters
    ----------
    inputs, outputs : SymbolicTensor, or list or dict of them, optional
        What `Input` returned, and what is computed from it.
    name : str, optional
        By default the class name in snake case, numbered.
    trainable : bool
        Whether training changes its weights.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError, TypeError
        If the outputs are not computed from the inputs.

    Examples
    --------
    >>> x = layers.Input((4,))
    >>> hidden = layers.Dense(3, activation="relu")(x)
    >>> model = Model(x, layers.Dense(2)(hidden))
    >>> model.output_shape
    (None, 2)
    >>> class Net(Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = layers.Dense(3, activation="relu")
    ...         self.out = layers.Dense(2)
    ...     def call(self, x):
    ...         return self.out(self.hidden(x))
    >>> Net()([[1.0, 2.0, 3.0, 4.0]]).shape
    (1, 2)
    """

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        name: str | None = None,
        trainable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(inputs, outputs, name, trainable, **kwargs)

    # ------------------------------------------------------------ what it looks like

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print the layers, their output shapes and their numbers of parameters.

        Parameters
        ----------
        line_length : int, optional
            The width in characters.
        positions : object
            Accepted as Keras does, without effect.
        print_fn : callable, optional
            What the text is passed to; by default it is printed.
        expand_nested : bool
            Whether the layers of nested models are listed too.
        show_trainable : bool
            Whether to show which layers are trained.
        layer_range : object
            Accepted as Keras does, without effect.
        """
        text = "\n".join(summary_lines(self, line_length, expand_nested, show_trainable))
        if print_fn is None:
            write(text + "\n", strict=True)
        else:
            print_fn(text)

    def program(self, batch_size: int = 32, fused: bool = False) -> Listing:
        """Return the program of a training step: forward, loss, backward and update.

        Printed, it has one line for each instruction: the registers that it writes, the function
        of `tinynet.functional` or `tinynet.ops` that it calls, and the shape of the result.

        Parameters
        ----------
        batch_size : int
            The number of examples in the batch.
        fused : bool
            If True, the program is listed as it is run: after rewrite rules, and as one
            instruction where `fit` does many steps of a dense classifier in one call.

        Returns
        -------
        Listing
            The program; its `str` is the text, its `stages` are the lines.

        Raises
        ------
        ValueError
            If the model is not compiled or not built.

        Examples
        --------
        >>> from tinynet import Sequential, layers
        >>> net = [layers.Input((3,)), layers.Dense(2, "relu", name="a"), layers.Dense(1, name="b")]
        >>> model = Sequential(net)
        >>> model.compile("sgd", "mse")
        >>> print(model.program(batch_size=4))
        forward
          z1            = dense(x, a/kernel, a/bias)                            4 x 2
          y1            = relu(z1)                                              4 x 2
          z2            = dense(y1, b/kernel, b/bias)                           4 x 1
        loss
          loss_values   = mean_error('squared', y, z2)                          4
          loss          = mean(loss_values)                                     1
        backward
          d_loss_values = mean_backward(1.0, loss, loss_values)                 4
          d_z2          = mean_error_backward('squared', d_loss_values, y, z2)  4 x 1
          dense_gradients(y1, d_z2, d_b/kernel, d_b/bias)                       2 x 1, 1
          d_y1          = dense_backward(d_z2, b/kernel)                        4 x 2
          d_z1          = relu_backward(d_y1, z1, y1)                           4 x 2
          dense_gradients(x, d_z1, d_a/kernel, d_a/bias)                        3 x 2, 2
        update
          weights       = [a/kernel, a/bias, b/kernel, b/bias]                  11
          d_weights     = [d_a/kernel, d_a/bias, d_b/kernel, d_b/bias]          11
          sgd(weights, d_weights, 0.01)                                         11
        """
        return program_of(self, batch_size, fused)

    def profile(
        self, x: Any, y: Any = None, sample_weight: Any = None, batch_size: int | None = None
    ) -> Profile:
        """Measure how long each instruction of a training step takes.

        Steps are done as in `fit`, on the backend in use, on a copy: the model stays as it is.
        Where `fit` does many steps of a dense classifier in one call, the call is one row.

        Parameters
        ----------
        x, y : array_like, shape (N, ...)
            Examples, at least one batch of them.
        sample_weight : array_like, shape (N,), optional
            As for `fit`.
        batch_size : int, optional
            The number of examples in a batch; by default 32.

        Returns
        -------
        Profile
            The times; printed, it is a table.

        Raises
        ------
        ValueError, TypeError
            If the model is not compiled, or the data does not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from tinynet import Sequential, layers
        >>> model = Sequential([layers.Dense(2, name="out")])
        >>> model.compile("sgd", "mse")
        >>> profile = model.profile(np.ones((64, 3)), np.ones((64, 2)))
        >>> "linear" in [row.instruction for row in profile.rows]
        True
        """
        return profile_of(self, x, y, sample_weight, batch_size)

    def _repr_html_(self) -> str:
        """Show the summary as a table, where a notebook shows this."""
        return summary_html(self)

    # ------------------------------------------------------------ files

    def get_config(self) -> dict[str, Any]:
        """Return what the model is made of, without its weights."""
        if not self._functional or not takes_graph(type(self)):
            return super().get_config()
        return {"name": self.name, "trainable": self.trainable, **graph_config(self._known_graph())}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a model from its configuration.

        Parameters
        ----------
        config : dict
            What `get_config` returned.

        Returns
        -------
        Model
            A new one, with new weights.

        Raises
        ------
        ValueError
            If it is malformed.
        """
        if "input_layers" not in config or not takes_graph(cls):
            return super().from_config(config)
        model = cls(*tensors_of(config), name=config.get("name"))
        model.trainable = checks.flag("trainable", config.get("trainable", True))
        return model

    def save(self, filepath: Any, overwrite: bool = True, include_optimizer: bool = True) -> None:
        """Save the model, how it was compiled, its weights and the optimizer's state.

        Parameters
        ----------
        filepath : str or Path
            Where; it ends in ``.tinynet``, ``.keras``, ``.h5`` or ``.hdf5``.
        overwrite : bool
            Whether an existing file may be replaced.
        include_optimizer : bool
            Whether to save how it was compiled and the optimizer's state.

        Raises
        ------
        ValueError
            If the ending is another one.
        OSError
            If the file exists and must not be replaced, or can't be written.
        """
        from tinynet import saving

        saving.save_model(self, filepath, overwrite, include_optimizer)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Save the weights, and the optimizer's state if the model is compiled.

        Parameters
        ----------
        filepath : str or Path
            Where; it ends in ``.weights.h5``.
        overwrite : bool
            Whether an existing file may be replaced.

        Raises
        ------
        ValueError
            If the ending is another one, or the model is not built.
        OSError
            If the file exists and must not be replaced, or can't be written.
        """
        from tinynet import saving

        saving.save_weights(self, filepath, overwrite)

    def load_weights(
        self, filepath: Any, skip_mismatch: bool = False, by_name: bool = False
    ) -> None:
        """Load weights, and the optimizer's state if the model is compiled.

        The learning rate stays as it was set.

        Parameters
        ----------
        filepath : str or Path
            A file of weights, or a whole model.
        skip_mismatch : bool
            If True, layers whose weights do not fit are left as they are, with a warning.
        by_name : bool
            If True, load only layers whose name is in the file; only for ``.h5`` and ``.hdf5``.

        Raises
        ------
        ValueError
            If the file is damaged or does not fit; the model stays as it was.
        OSError
            If it can't be read.
        """
        from tinynet import saving

        saving.load_weights(self, filepath, skip_mismatch, by_name)

    def export(self, filepath: Any, format: str = "onnx", **options: Any) -> None:
        """Write the model, as it predicts, for other runtimes.

        Parameters
        ----------
        filepath : str or Path
            Where.
        format : {"onnx"}
            The format; Keras has others, which tinynet has not.
        **options : object
            `verbose` and others of Keras, accepted without effect.

        Raises
        ------
        ValueError
            If the format is another one, the model is not built, or it has a layer or an activation
            with its own `backward`, or an operation that ONNX does not have.
        ImportError
            If the package onnx is not installed.
        OSError
            If it can't be written; an older file is still there then.
        """
        from tinynet.onnx_export import export_onnx

        checks.choice("format", format, ["onnx"])
        export_onnx(self, filepath)

    def to_json(self) -> str:
        """Write what the model is made of as JSON, without its weights.

        Returns
        -------
        str
            What `models.model_from_json` takes.
        """
        from tinynet import saving

        return saving.to_json(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to a run; the graph as data."""
        state = super().__getstate__()
        plan = self._graph.plan() if self._functional and self._graph is not None else None
        state.update(_programs={}, _gradients=[], _last_shapes=None, _plan=None, history=None)
        state.update(_repeated={}, _calls=0, _in_loop=False, _graph=plan)
        # Structures are numbered again in each process.
        state.update(_traceable=Trainer._traceable, _metrics_found=Trainer._metrics_found)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a copy's state, the weights again as views of one flat vector."""
        plan = state.pop("_graph")
        super().__setstate__(state)
        self._graph = None
        if plan is not None:
            self._graph = rebuilt(plan, new_entry, lambda operation: operation)
        elif self.built and not self._has_own_call:
            self._make_graph(self._build_shape)
        if self.built:
            pack(sorted(self.weights, key=lambda w: not w.trainable))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Copy the model with its weights."""
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return new


class Sequential(Model):
    """Layers in a row.

    Parameters
    ----------
    layers : list of Layer, optional
        The layers, the first of which may be an `Input`.
    trainable : bool
        Whether training changes its weights.
    name : str, optional
        By default ``"sequential"``, numbered.

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
        """Append a layer; where the input's shape is known, it is built at once.

        Parameters
        ----------
        layer : Layer or SymbolicTensor
            The layer, or an `Input`.

        Raises
        ------
        ValueError
            If it is no layer, a second input, of a name that is taken, or does not fit.
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
        if not isinstance(layer, Layer):
            raise ValueError(
                f"{self.name} takes layers only. Received: {checks.shorten(layer)} of type "
                f"{type(layer).__name__}"
            )
        if isinstance(layer, InputLayer):
            if self._input is not None or self._layers:
                raise ValueError(
                    f"{self.name} takes one input, before all layers. Received: {layer.name}"
                )
            self._enter(layer)
            return
        if layer.name in [other.name for other in self._layers]:
            raise ValueError(
                f"All layers of {self.name} must have different names. "
                f"Received: a second layer {layer.name!r}"
            )
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
            Whether to build what is left.

        Returns
        -------
        Layer
            The layer.
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
        """Apply layer after layer."""
        x = inputs
        if self._input is not None:
            x = self._adjusted(x, self._input.batch_shape)
        for layer in self._layers:
            x = layer(x)
        return x

    def _make_graph(self, shape: Any) -> None:
        """Apply the layers to the symbolic input: those that are new, if layers were added."""
        checks.require(self._layers, f"{self.name} has no layers: add some", "layers=[]")
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
        """Return what the model is made of, without its weights."""
        entries = [] if self._input is None else [self._input]
        listed = [layers.serialize(layer) for layer in entries + self._layers]
        config = {**super().get_config(), "layers": listed}
        if self._input is not None:
            config["build_input_shape"] = list(self._input.batch_shape)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a model from its configuration.

        Parameters
        ----------
        config : dict
            What `get_config` returned.

        Returns
        -------
        Sequential
            A new one, with new weights.
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
_registry.register(class_name="Functional", module="keras.src.models.functional")(Model)
