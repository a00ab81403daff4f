"""What a model has become: weights, the optimizer's state, random generators and history.

Everything is read and checked before anything is changed, so that a load that fails leaves the
model as it was.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from tinynet.callbacks import History
from tinynet.checks import shorten, warn
from tinynet.sequential import Model
from tinynet.variable import Array, Variable


class MismatchError(ValueError):
    """The contents of a file do not fit the model.

    Examples
    --------
    >>> issubclass(MismatchError, ValueError)
    True
    """


class Source(Protocol):
    """Where weights come from: one of the file formats, open for reading.

    Examples
    --------
    >>> [name for name in vars(Source) if name.endswith("weights")]
    ['weights']
    """

    #: How many bytes of weights there can be, and how many arrays of the optimizer's state.
    n_bytes: int
    n_optimizer: int
    #: Whether the file has a state of an optimizer of Keras 2, whose layout is another one.
    skipped_state: bool = False

    def skip_state(self) -> None:
        """Leave out the optimizer's state."""
        self.skipped_state, self.n_optimizer = self.n_optimizer > 0, 0

    def weights(self, model: Model, skipped: list[str] | None = None) -> dict[int, Array]:
        """Read the weights of a model, each of its shape.

        Parameters
        ----------
        model : Model
            The model.
        skipped : list of str, optional
            If given, what does not fit is left out, and described here.

        Returns
        -------
        dict of int to ndarray
            The values by the ``id`` of the Variable in ``model.weights``.
        """
        ...

    def optimizer(self, variables: Sequence[Variable]) -> list[Array]:
        """Read the state of an optimizer.

        Parameters
        ----------
        variables : sequence of Variable
            The state's Variables, whose shapes are expected.

        Returns
        -------
        list of ndarray
            The values.
        """
        ...


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
        What `describe_run` returned: random generators and history are replaced too.
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
    >>> try:
    ...     restore(Sequential(name="net"), None)
    ... except ValueError as error:
    ...     print(error)
    Build net before loading weights: call build(input_shape). Received: built=False
    """
    if not model.built:
        raise ValueError(
            f"Build {model.name} before loading weights: call build(input_shape). "
            "Received: built=False"
        )
    skipped: list[str] | None = [] if skip_mismatch else None
    found = source.weights(model, skipped)
    pairs = [(v, found[id(v)]) for v in model.weights if id(v) in found]
    optimizer = model.optimizer
    if model.compiled and source.n_optimizer:
        blank = optimizer
        if source.n_optimizer != len(optimizer.variables) and not optimizer.built:
            blank = copy.deepcopy(optimizer)
            blank.build(model.trainable_weights)
        if source.n_optimizer == len(blank.variables):
            read: list[Array] = []
            with attempt(skipped):
                read = source.optimizer(blank.variables)
            if blank is not optimizer and read:
                optimizer.build(model.trainable_weights)
            for variable, value in zip(optimizer.variables, read, strict=bool(read)):
                if not (keep_rate and variable is optimizer._learning_rate):
                    pairs.append((variable, value))
        else:
            warn(
                f"The state of the optimizer is left as it is: {optimizer.name} has "
                f"{len(blank.variables)} arrays, the file has {source.n_optimizer}."
            )
    generators, history = _read_run(model, run) if run else ({}, None)
    if skipped:
        warn(
            f"{len(skipped)} parts of {model.name} are left as they are, because they do not fit "
            f"the file: {'; '.join(skipped[:10])}"
        )
    for variable, value in pairs:
        variable.array[...] = value
    for path, generator in _generators(model):
        if path in generators:
            generator.bit_generator.state = generators[path]
    if history is not None:
        model.history = history
    if run and "input_sizes" in run:
        most, typical = run["input_sizes"]
        model._input_sizes = most, typical


@contextlib.contextmanager
def attempt(skipped: list[str] | None) -> Iterator[None]:
    """Append a mismatch to a list, or raise it if the list is None.

    Parameters
    ----------
    skipped : list of str or None
        Where to note it.

    Yields
    ------
    None
        The block ends where something does not fit.

    Examples
    --------
    >>> notes = []
    >>> with attempt(notes):
    ...     raise MismatchError("too long")
    >>> notes
    ['too long']
    """
    try:
        yield
    except MismatchError as error:
        if skipped is None:
            raise
        skipped.append(str(error))


def fit(name: str, array: Array, variable: Variable) -> Array:
    """Check that an array read from a file is what a Variable takes, and give it its type.

    Parameters
    ----------
    name : str
        What to call it in an error.
    array : ndarray
        What was read.
    variable : Variable
        What it is for.

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
    kind = variable.array.dtype.kind
    kinds = kind if kind in "fb" else "iu"
    if array.shape != variable.shape or array.dtype.kind not in kinds:
        raise MismatchError(
            f"{name} must be of shape {variable.shape} and type {variable.dtype} for "
            f"{variable.path}. Received: shape {array.shape}, type {array.dtype}"
        )
    numbers = array.view(np.uint8) if kind == "b" else array  # a file may have any bytes
    with np.errstate(over="ignore"):
        found = numbers.astype(variable.array.dtype)
    if kind != "f" and (found != numbers).any():
        raise MismatchError(
            f"{name} must have values of type {variable.dtype} for {variable.path}. "
            f"Received: {shorten(numbers)}"
        )
    return found


def describe_run(model: Model) -> tuple[dict[str, Any], list[Array]]:
    """Write down what training would go on with besides weights and optimizer.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    run : dict
        The random generators' states, the history and the float type of losses and metrics.
    arrays : list of ndarray
        The columns of the history that are all float or all int, which `run` has the numbers of.

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
        for kind, limit in ((float, np.inf), (int, 2**63)):
            if plain and all(type(v) is kind and not abs(v) > limit - 1 for v in plain):
                arrays.append(np.array(plain, kind))
                return {"array": len(arrays) - 1}
        return plain

    recorded = None
    if model.history:
        figures, epochs = model.history.history, model.history.epoch
        _check_history({"history": figures, "epoch": epochs})
        named = {name: column(values) for name, values in figures.items()}
        recorded = {"history": named, "epoch": column(epochs)}
    states = {path: g.bit_generator.state for path, g in _generators(model)}
    run: dict[str, Any] = {"random": states, "history": recorded, "floatx": model._floatx}
    if model._input_sizes is not None and np.isfinite(model._input_sizes).all():
        run["input_sizes"] = list(model._input_sizes)
    return run, arrays


def fill_history(run: dict[str, Any], count: int, read: Callable[[int], Array]) -> None:
    """Replace the numbers of arrays in a history by their values.

    Parameters
    ----------
    run : dict
        What `describe_run` returned, changed in place.
    count : int
        The number of arrays, each of which is used once.
    read : callable
        Returns the array of a number.

    Examples
    --------
    >>> run = {"history": {"history": {"loss": {"array": 0}}, "epoch": [0]}}
    >>> fill_history(run, 1, lambda i: np.array([0.5]))
    >>> run["history"]["history"]
    {'loss': [0.5]}
    """
    left = list(range(count))
    recorded = run.get("history")
    inner = recorded.get("history") if isinstance(recorded, dict) else None
    holders: list[dict[str, Any]] = [h for h in (inner, recorded) if isinstance(h, dict)]
    for columns in holders:
        for name, value in columns.items():
            if isinstance(value, dict) and value.keys() == {"array"}:
                number = value["array"]
                if type(number) is not int or number not in left:
                    raise ValueError(f"The history has {count} arrays. Received: {number!r:.60}")
                left.remove(number)
                array = read(number)
                if array.ndim != 1 or array.dtype.kind not in "fi":
                    raise ValueError(
                        "A column of the history must be a vector of numbers. "
                        f"Received: {array.dtype} of shape {array.shape}"
                    )
                columns[name] = array.tolist()
    if left:
        raise ValueError(f"Every array of the history must be used. Received: {len(left)} more")


def _check_history(recorded: Any) -> None:
    """Refuse a history that could not be loaded again; the same check for saving and loading."""
    figures, epochs = recorded.get("history"), recorded.get("epoch")
    good = isinstance(figures, dict) and isinstance(epochs, list)
    good = good and all(isinstance(e, int | np.integer) and not isinstance(e, bool) for e in epochs)
    for name, values in figures.items() if good else ():
        good &= isinstance(name, str) and isinstance(values, list)
        # Anything may be logged once per epoch; other lists can hold numbers only.
        if good and len(values) > len(epochs):
            good = all(isinstance(v, int | float | np.number) for v in values)
    if not good:
        raise ValueError(
            "The history must hold a list for each name, with one value per epoch or numbers only. "
            f"Received: {shorten(recorded)}"
        )


def _generators(layer: Any, path: str = "") -> Iterator[tuple[str, np.random.Generator]]:
    """Find the random generators of a model and its layers, each by its path."""
    for name, value in sorted(vars(layer).items()):
        if isinstance(value, np.random.Generator):
            yield f"{path}{name}", value
    inside = layer.layers if isinstance(layer, Model) else layer._inner_layers()
    for i, inner in enumerate(inside):
        yield from _generators(inner, f"{path}{i}/")


def _read_run(model: Model, run: dict[str, Any]) -> tuple[dict[str, Any], History | None]:
    """Check the states of generators on generators of no use, and the history."""
    states, recorded = run.get("random"), run.get("history")
    expected = dict(_generators(model))
    if not isinstance(states, dict) or states.keys() != expected.keys():
        raise ValueError(
            f"The file must hold the state of the random generators {sorted(expected)}. "
            f"Received: {shorten(states)}"
        )
    for path, state in states.items():
        trial = type(expected[path].bit_generator)(0)
        try:
            trial.state = state
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise ValueError(
                f"The state of the random generator {path} is malformed: {error}. "
                f"Received: {shorten(state)}"
            ) from error
        states[path] = trial.state
    sizes = run.get("input_sizes", [0.0, 0.0])
    if not isinstance(sizes, list) or [type(size) for size in sizes] != [float, float]:
        raise ValueError(f"input_sizes must be two floats. Received: input_sizes={shorten(sizes)}")
    if recorded is None:
        return states, None
    _check_history(recorded)
    history = History()
    history.history, history.epoch = recorded["history"], recorded["epoch"]
    history.set_model(model)
    return states, history
