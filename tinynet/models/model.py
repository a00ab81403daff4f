"""Models: layers and the graph between them, with training, summaries and saving."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tinynet import saving
from tinynet._core import checks
from tinynet._core.progress_bar import write
from tinynet.layers.layer import _registry
from tinynet.models.functional import Network, new_entry, takes_graph
from tinynet.models.functional_config import graph_config, tensors_of
from tinynet.models.program_listing import Listing, program_of
from tinynet.models.summary import summary_html, summary_lines
from tinynet.program.graph import rebuilt
from tinynet.program.variable import pack
from tinynet.saving import saving_api, state, tinynet_format
from tinynet.training.profile import Profile, profile_of
from tinynet.training.trainer import Trainer

#: Functions that export a model, by format name.
EXPORTERS: dict[str, Callable[[Any, Any], None]] = {}


class Model(Trainer, Network):
    """Base class of models: layers that can be trained, evaluated, saved and exported.

    There are three ways to create a model: a list of layers (`Sequential`); symbolic inputs and
    outputs, ``Model(inputs, outputs)``, connected by any graph of layers and operations; or a
    subclass that creates its layers in ``__init__`` and applies them in ``call(self, x)``.

    Parameters
    ----------
    inputs, outputs : SymbolicTensor, or list or dict of SymbolicTensor, optional
        Results of `Input`, and the outputs computed from them.
    name : str, optional
        Name of the model. By default, the class name in snake case, followed by a number if that
        name is already taken.
    trainable : bool
        Whether the weights are updated during training.
    **kwargs : object
        Additional keyword arguments of `Layer`.

    Raises
    ------
    ValueError, TypeError
        If the outputs do not depend on the inputs.

    Examples
    --------
    A functional model, and a subclass:

    >>> from tinynet import layers
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

    # ------------------------------------------------------------ summary and program

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
            Width of the table in characters. By default as wide as needed.
        positions : object
            Ignored; present for compatibility with Keras.
        print_fn : callable, optional
            Function that is called with the text. By default, the text is printed.
        expand_nested : bool
            If True, list the layers of nested models too.
        show_trainable : bool
            If True, show which layers are trainable.
        layer_range : object
            Ignored; present for compatibility with Keras.
        """
        text = "\n".join(summary_lines(self, line_length, expand_nested, show_trainable))
        if print_fn is None:
            write(text + "\n", strict=True)
        else:
            print_fn(text)

    def program(self, batch_size: int = 32, fused: bool = False) -> Listing:
        """Return the program of a training step: forward, loss, backward and update.

        When printed, it has one line per instruction: the registers that are written, the function
        of `tinynet.functional` or `tinynet.ops` that is called, and the shape of the result.

        Parameters
        ----------
        batch_size : int
            Number of examples in the batch.
        fused : bool
            If True, list the program as it is executed. If it is executed by the compiled runner,
            as in the fused training loop, each line is one row of the runner: a call of a kernel or
            of a Python function. Otherwise, the instructions are listed after rewrite rules.

        Returns
        -------
        Listing
            Program. ``str(listing)`` is the text, ``listing.stages`` contains its lines.

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
        """Measure the execution time of each instruction of a training step.

        The steps are executed as in `fit`, on the current backend and on a copy, so the model is
        unchanged. If the compiled runner executes the whole step, as in the fused training loop,
        each row is one call of a kernel or of a Python function.

        Parameters
        ----------
        x, y : array_like, shape (N, ...)
            Inputs and targets, at least one mini-batch.
        sample_weight : array_like, shape (N,), optional
            Weights of the examples.
        batch_size : int, optional
            Number of examples per mini-batch, by default 32.

        Returns
        -------
        Profile
            Times, printed as a table.

        Raises
        ------
        ValueError, TypeError
            If the model is not compiled, or the data do not match the model.

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
        """Return the summary as an HTML table for notebooks."""
        return summary_html(self)

    # ------------------------------------------------------------ files

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the model, without its weights."""
        if not self._functional or not takes_graph(type(self)):
            return super().get_config()
        return {"name": self.name, "trainable": self.trainable, **graph_config(self._known_graph())}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Build a model from its configuration.

        Parameters
        ----------
        config : dict
            Result of `get_config`.

        Returns
        -------
        Model
            New model, with newly initialized weights.

        Raises
        ------
        ValueError
            If the configuration is malformed.
        """
        if "input_layers" not in config or not takes_graph(cls):
            return super().from_config(config)
        model = cls(*tensors_of(config), name=config.get("name"))
        model.trainable = checks.flag("trainable", config.get("trainable", True))
        return model

    def save(self, filepath: Any, overwrite: bool = True, include_optimizer: bool = True) -> None:
        """Save the model: its configuration, compile arguments, weights and optimizer state.

        Parameters
        ----------
        filepath : str or path-like
            File to write, with the extension ``.tinynet``, ``.keras``, ``.h5``, ``.hdf5`` or
            ``.json``.
        overwrite : bool
            If True, replace an existing file.
        include_optimizer : bool
            If True, save the compile arguments and the optimizer state.

        Raises
        ------
        ValueError
            If the extension is not supported.
        OSError
            If the file exists and `overwrite` is False, or the file cannot be written.
        """
        saving.save_model(self, filepath, overwrite, include_optimizer)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Save the weights, and the optimizer state if the model is compiled.

        Parameters
        ----------
        filepath : str or path-like
            File to write, with the extension ``.weights.h5``.
        overwrite : bool
            If True, replace an existing file.

        Raises
        ------
        ValueError
            If the extension is not supported, or the model is not built.
        OSError
            If the file exists and `overwrite` is False, or the file cannot be written.
        """
        saving.save_weights(self, filepath, overwrite)

    def load_weights(
        self, filepath: Any, skip_mismatch: bool = False, by_name: bool = False
    ) -> None:
        """Load weights, and the optimizer state if the model is compiled.

        The learning rate is not changed.

        Parameters
        ----------
        filepath : str or path-like
            File of weights or of a whole model.
        skip_mismatch : bool
            If True, skip layers whose weights do not match, with a warning.
        by_name : bool
            If True, load only layers whose name is in the file; only for ``.h5`` and ``.hdf5``.

        Raises
        ------
        ValueError
            If the file is corrupted or does not match the model. The model is then unchanged.
        OSError
            If the file cannot be read.
        """
        saving.load_weights(self, filepath, skip_mismatch, by_name)

    def export(self, filepath: Any, format: str = "onnx", **options: Any) -> None:
        """Export the model for inference with other runtimes.

        Parameters
        ----------
        filepath : str or path-like
            File to write.
        format : {"onnx"}
            File format. Keras' other formats are not supported.
        **options : object
            Other arguments of Keras, such as `verbose`; ignored.

        Raises
        ------
        ValueError
            If the format is not supported, the model is not built, or it contains a layer or
            activation with a custom `backward`, or an operation that ONNX does not support.
        ImportError
            If the package onnx is not installed.
        OSError
            If the file cannot be written. An existing file is unchanged.
        """
        checks.choice("format", format, EXPORTERS)
        EXPORTERS[format](self, filepath)

    def to_json(self) -> str:
        """Return the configuration of the model as JSON, without its weights.

        Returns
        -------
        str
            JSON string that `models.model_from_json` accepts.
        """
        return saving.to_json(self)

    def _backup(self, callbacks: Sequence[tuple[str, dict[str, Any]]] = ()) -> bytes:
        """Return the contents of a file with all state needed to resume training."""
        return tinynet_format.write(self, callbacks=callbacks)

    def _restore_backup(self, path: Path) -> list[tuple[str, dict[str, Any]]]:
        """Restore a backup; return the states of its callbacks."""
        with saving_api.reading(path) as source:
            states: list[tuple[str, dict[str, Any]]] = source.callbacks(self)
            state.restore(self, source, source.run)
        return states

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without run-specific buffers, and the graph as a plan."""
        state = super().__getstate__()
        plan = self._graph.plan() if self._functional and self._graph is not None else None
        state.update(_programs={}, _gradients=[], _last_shapes=None, _plan=None, history=None)
        state.update(_repeated={}, _calls=0, _in_loop=False, _graph=plan)
        # Structure numbers are specific to a process.
        state.update(_traceable=Network._traceable, _metrics_found=Trainer._metrics_found)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state; the weights become views of one contiguous vector."""
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


_registry.register(class_name="Functional", module="keras.src.models.functional")(Model)
