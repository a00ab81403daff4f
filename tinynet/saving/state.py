"""State of a model: weights, the optimizer's state, random generators and history.

Everything is read and checked before anything is changed, so that a load that fails leaves the
model as it was.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tinynet._core.checks import require, shorten, warn
from tinynet.callbacks.history import History
from tinynet.program.variable import Array, Variable
from tinynet.saving.errors import refusing
from tinynet.saving.saved_model import Model


class MismatchError(ValueError):
    """The contents of a file do not fit the model.

    Examples
    --------
    >>> issubclass(MismatchError, ValueError)
    True
    """


class Source:
    """A file to load: what the model is, and where its arrays are.

    A format defines `groups` and `get`; everything else is the same for all of them.

    Examples
    --------
    >>> Source().read([])
    {}
    """

    #: The model's configuration, and the state of its run; None if the file does not have them.
    config: dict[str, Any] | None = None
    run: dict[str, Any] | None = None
    #: Bytes of weights in the file.
    n_bytes = 0
    #: Number of arrays of the optimizer's state, and the place of each.
    n_optimizer = 0
    optimizer_place: Callable[[int], str] = str
    #: Whether the file has an optimizer's state of Keras 2, whose layout differs.
    skipped_state = False
    #: Whether layers are found by their names, and others keep their weights.
    by_name = False
    #: Descriptions of the mismatches that are left out; None if a mismatch is an error.
    skipped: list[str] | None = None
    #: Whether the weights of a layer are left out one by one, and not the rest of the layer.
    one_by_one = True
    #: Opens the file for `groups` and `get`, in a ``with`` block.
    open: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext

    def groups(self, model: Model) -> Iterator[tuple[str, list[Variable], int, Any]]:
        """List the weights that belong together.

        Parameters
        ----------
        model : Model
            The model.

        Yields
        ------
        tuple of (str, list of Variable, int, callable)
            Name of their owner, the weights, how many the file has, and the place of each.
        """
        yield from ()

    def get(self, place: str, variable: Variable) -> Array:
        """Read one array.

        Parameters
        ----------
        place : str
            Its place in the file.
        variable : Variable
            The Variable that it must fit.

        Returns
        -------
        ndarray
            The values, of the Variable's shape and type.
        """
        raise NotImplementedError

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Note a mismatch in `skipped`, if that is a list; the block ends there.

        Yields
        ------
        None
            The block may raise MismatchError.
        """
        try:
            yield
        except MismatchError as error:
            if self.skipped is None:
                raise
            self.skipped.append(str(error))

    def read(self, groups: Iterable[tuple[str, list[Variable], int, Any]]) -> dict[int, Array]:
        """Read the arrays of groups.

        Parameters
        ----------
        groups : iterable
            Results of `groups`.

        Returns
        -------
        dict of int to ndarray
            The values by the ``id`` of the Variable.
        """
        found: dict[int, Array] = {}
        for owner, variables, count, place in groups:
            with self.attempt():
                expected = f"{owner} takes {len(variables)} weights"
                require(count == len(variables), expected, f"{count} weights", MismatchError)
                read: dict[int, Array] = {}
                for i, variable in enumerate(variables):
                    with self.attempt() if self.one_by_one else contextlib.nullcontext():
                        read[id(variable)] = self.get(place(i), variable)
                found |= read
        return found


def require_built(model: Model, action: str) -> None:
    """Check that a model has weights.

    Parameters
    ----------
    model : Model
        The model.
    action : str
        Name of the action in the error.

    Raises
    ------
    ValueError
        If the model is not built.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> require_built(Sequential(name="net"), "saving")
    Traceback (most recent call last):
        ...
    ValueError: Build net before saving weights: call build(input_shape). Received: built=False
    """
    expected = f"Build {model.name} before {action} weights: call build(input_shape)"
    require(model.built, expected, "built=False")


def restore(
    model: Model,
    source: Source,
    run: dict[str, Any] | None = None,
    keep_rate: bool = False,
    skip_mismatch: bool = False,
) -> None:
    """Load the contents of a file into a built model; if it raises, the model is unchanged.

    Parameters
    ----------
    model : Model
        The model; its weights, and the optimizer's state if it is compiled, are replaced.
    source : Source
        The file.
    run : dict, optional
        The result of `describe_run`: random generators and history are replaced, too.
    keep_rate : bool
        Whether the optimizer keeps its learning rate.
    skip_mismatch : bool
        Whether what does not fit is left out with a warning.

    Raises
    ------
    ValueError
        If something is missing or does not fit; nothing is changed then.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> restore(Sequential(name="net"), Source())
    Traceback (most recent call last):
        ...
    ValueError: Build net before loading weights: call build(input_shape). Received: built=False
    """
    require_built(model, "loading")
    source.skipped = [] if skip_mismatch else None
    optimizer = blank = model.optimizer
    count = source.n_optimizer if model.compiled else 0
    if count and count != len(optimizer.variables) and not optimizer.built:
        blank = copy.deepcopy(optimizer)
        blank.build(model.trainable_weights)
    fits = count > 0 and count == len(blank.variables)
    groups = [(optimizer.name, blank.variables, count, source.optimizer_place)] if fits else []
    with source.open():
        found = source.read(source.groups(model))
        source.one_by_one = False
        read = source.read(groups).values()
    pairs = [(v, found[id(v)]) for v in model.weights if id(v) in found]
    if read:
        if blank is not optimizer:
            optimizer.build(model.trainable_weights)
        kept = optimizer._learning_rate if keep_rate else None
        pairs += [p for p in zip(optimizer.variables, read, strict=True) if p[0] is not kept]
    if count and not fits:
        numbers = f"{optimizer.name} has {len(blank.variables)} arrays, the file has {count}"
        warn(f"The state of the optimizer is left as it is: {numbers}.")
    generators, history = _read_run(model, run) if run else ([], None)
    if source.skipped:
        parts = f"{len(source.skipped)} parts of {model.name} are left as they are"
        listed = "; ".join(source.skipped[:10])
        warn(f"{parts}, because they do not fit the file: {listed}")
    for variable, value in pairs:
        variable.array[...] = value
    for generator, saved in generators:
        generator.bit_generator.state = saved
    model.history = model.history if history is None else history
    if run and "input_sizes" in run:
        model._input_sizes = tuple(run["input_sizes"])


def check_fit(name: str, array: Any, variable: Variable) -> None:
    """Check the shape and the kind of number of an array, or of a dataset before it is read.

    Parameters
    ----------
    name : str
        Its name in an error.
    array : ndarray or h5py.Dataset
        The array.
    variable : Variable
        The Variable that it must fit.

    Raises
    ------
    MismatchError
        If it does not fit.

    Examples
    --------
    >>> check_fit("kernel", np.zeros((2, 2)), Variable(np.zeros((2, 2), np.float32)))
    """
    kind = variable.array.dtype.kind
    kinds = kind if kind in "fb" else "iu"
    fits = array.shape == variable.shape and array.dtype.kind in kinds
    wanted = f"shape {variable.shape} and type {variable.dtype} for {variable.path}"
    received = f"shape {array.shape}, type {array.dtype}"
    require(fits, f"{name} must be of {wanted}", received, MismatchError)


def fit(name: str, array: Array, variable: Variable) -> Array:
    """Convert an array from a file to the type of a Variable; it must fit.

    Parameters
    ----------
    name : str
        Its name in an error.
    array : ndarray
        The array.
    variable : Variable
        The Variable that it must fit.

    Returns
    -------
    ndarray
        The array, of the Variable's type.

    Raises
    ------
    ValueError
        If the shape or the kind of number differs, or a value is out of range.

    Examples
    --------
    >>> fit("kernel", np.zeros((2, 2)), Variable(np.zeros((2, 2), np.float32))).dtype
    dtype('float32')
    """
    check_fit(name, array, variable)
    kind = variable.array.dtype.kind
    numbers = array.view(np.uint8) if kind == "b" else array  # a file may have any bytes
    with np.errstate(over="ignore"):
        found = numbers.astype(variable.array.dtype)
    exact = kind == "f" or not (found != numbers).any()
    expected = f"{name} must have values of type {variable.dtype} for {variable.path}"
    require(exact, expected, shorten(numbers), MismatchError)
    return found


def describe_run(model: Model) -> tuple[dict[str, Any], list[Array]]:
    """Return the state that training needs to resume, in addition to weights and optimizer.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    run : dict
        The random generators' states, the history and the float type of losses and metrics.
    arrays : list of ndarray
        The columns of the history that are all float or all int; `run` refers to them by number.

    Examples
    --------
    >>> from tinynet import Sequential
    >>> run, arrays = describe_run(Sequential())
    >>> sorted(run), arrays
    (['floatx', 'history', 'random'], [])
    """
    arrays: list[Array] = []

    def column(values: Any) -> Any:
        plain = [v.item() if isinstance(v, np.generic) else v for v in values]
        if {type(v) for v in plain} in ({float}, {int}):
            array = np.array(plain)
            if array.dtype.kind in "fi":  # and not integers of more than 63 bits
                arrays.append(array)
                return {"array": len(arrays) - 1}
        return plain

    recorded = None
    if model.history:
        values, epochs = model.history.history, model.history.epoch
        _check_history({"history": values, "epoch": epochs})
        named = {name: column(listed) for name, listed in values.items()}
        recorded = {"history": named, "epoch": column(epochs)}
    states = {path: g.bit_generator.state for path, g in _generators(model)}
    run: dict[str, Any] = {"random": states, "history": recorded, "floatx": model._floatx}
    if model._input_sizes is not None and np.isfinite(model._input_sizes).all():
        run["input_sizes"] = list(model._input_sizes)
    return run, arrays


def fill_history(run: dict[str, Any], column: Callable[[int], Array]) -> None:
    """Replace the numbers of arrays in a history by their values.

    Parameters
    ----------
    run : dict
        The result of `describe_run`, changed in place.
    column : callable
        Function that returns the array of a number.

    Examples
    --------
    >>> run = {"history": {"history": {"loss": {"array": 0}}, "epoch": [0]}}
    >>> fill_history(run, lambda number: np.array([0.5]))
    >>> run["history"]["history"]
    {'loss': [0.5]}
    """
    read = functools.cache(lambda number: column(number).tolist())
    recorded: Any = run.get("history")
    for columns in (recorded["history"], recorded) if recorded else ():
        for name, value in columns.items():
            if isinstance(value, dict) and value.keys() == {"array"}:
                columns[name] = read(value["array"])


def _check_history(recorded: Any) -> None:
    """Refuse a history that could not be loaded; the same check for saving and loading."""
    metrics, epochs = recorded.get("history"), recorded.get("epoch")
    good = isinstance(metrics, dict) and isinstance(epochs, list)
    good = good and all(isinstance(e, int | np.integer) and not isinstance(e, bool) for e in epochs)
    for name, values in metrics.items() if good else ():
        good &= isinstance(name, str) and isinstance(values, list)
        # Anything may be logged once per epoch; other lists can hold numbers only.
        if good and len(values) > len(epochs):
            good = all(isinstance(v, int | float | np.number) for v in values)
    expected = "The history must hold a list for each name, with one value per epoch or numbers"
    require(good, f"{expected} only", shorten(recorded))


def _generators(layer: Any, path: str = "") -> Iterator[tuple[str, np.random.Generator]]:
    """Find the random generators of a model and its layers, each by its path."""
    for name, value in sorted(vars(layer).items()):
        if isinstance(value, np.random.Generator):
            yield f"{path}{name}", value
    inside = layer.layers if isinstance(layer, Model) else layer._inner_layers()
    for i, inner in enumerate(inside):
        yield from _generators(inner, f"{path}{i}/")


def _read_run(model: Model, run: dict[str, Any]) -> tuple[list[Any], History | None]:
    """Return generators with their states, which are tried on others first, and the history."""
    states: Any = run.get("random")
    recorded = run.get("history")
    expected = dict(_generators(model))
    fits = isinstance(states, dict) and states.keys() == expected.keys()
    text = f"The file must hold the state of the random generators {sorted(expected)}"
    require(fits, text, shorten(states))
    checked = []
    for path, generator in expected.items():
        trial: Any = type(generator.bit_generator)(0)
        text = f"The state of the random generator {path} is malformed: {shorten(states[path])}"
        with refusing(text, TypeError, ValueError, KeyError, OverflowError):
            trial.state = states[path]
        checked.append((generator, trial.state))
    sizes = run.get("input_sizes", [0.0, 0.0])
    fits = isinstance(sizes, list) and [type(size) for size in sizes] == [float, float]
    require(fits, "input_sizes must be two floats", f"input_sizes={shorten(sizes)}")
    if recorded is None:
        return checked, None
    _check_history(recorded)
    history = History()
    history.history, history.epoch = recorded["history"], recorded["epoch"]
    history.set_model(model)
    return checked, history
