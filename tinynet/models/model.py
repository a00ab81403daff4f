"""The model: layers in a row, the shapes between them, and one flat vector of parameters."""

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

#: Functions that write a model in the format of another library, by the name of the format.
EXPORTERS: dict[str, Callable[[Any, Any], None]] = {}


class Model(Trainer, Network):
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
        checks.choice("format", format, EXPORTERS)
        EXPORTERS[format](self, filepath)

    def to_json(self) -> str:
        """Write what the model is made of as JSON, without its weights.

        Returns
        -------
        str
            What `models.model_from_json` takes.
        """
        return saving.to_json(self)

    def _backup(self, callbacks: Sequence[tuple[str, dict[str, Any]]] = ()) -> bytes:
        """Return all that resuming a run needs: the contents of a file."""
        return tinynet_format.write(self, callbacks=callbacks)

    def _restore_backup(self, path: Path) -> list[tuple[str, dict[str, Any]]]:
        """Restore a backup; return the states of the callbacks in it."""
        with saving_api.reading(path) as source:
            states: list[tuple[str, dict[str, Any]]] = source.callbacks(self)
            state.restore(self, source, source.run)
        return states

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to a run; the graph as data."""
        state = super().__getstate__()
        plan = self._graph.plan() if self._functional and self._graph is not None else None
        state.update(_programs={}, _gradients=[], _last_shapes=None, _plan=None, history=None)
        state.update(_repeated={}, _calls=0, _in_loop=False, _graph=plan)
        # Structures are numbered again in each process.
        state.update(_traceable=Network._traceable, _metrics_found=Trainer._metrics_found)
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


_registry.register(class_name="Functional", module="keras.src.models.functional")(Model)
