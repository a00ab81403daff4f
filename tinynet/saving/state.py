"""State of a model: weights, optimizer state, random generators and history.

Loading is all-or-nothing: everything is read and checked before anything is changed.
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
    """The contents of a file do not match the model."""


class Source:
    """Base class of file readers; a subclass for each format defines `groups` and `get`."""

    #: Configuration of the model and state of its run, or None.
    config: dict[str, Any] | None = None
    run: dict[str, Any] | None = None
    #: Size of the weights in the file, in bytes.
    n_bytes = 0
    #: Number of arrays of the optimizer state, and the path of each in the file.
    n_optimizer = 0
    optimizer_place: Callable[[int], str] = str
    #: Whether the file has a Keras 2 optimizer state, whose layout differs.
    skipped_state = False
    #: Whether layers are matched by name; other layers keep their weights.
    by_name = False
    #: Descriptions of skipped mismatches; None if a mismatch is an error.
    skipped: list[str] | None = None
    #: Whether single weights of a layer are skipped, instead of the whole layer.
    one_by_one = True
    #: Context manager that opens the file for `groups` and `get`.
    open: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext

    def groups(self, model: Model) -> Iterator[tuple[str, list[Variable], int, Any]]:
        """Yield groups of weights: owner's name, variables, number of arrays in the file, paths."""
        yield from ()

    def get(self, place: str, variable: Variable) -> Array:
        """Read the array at a place in the file, with the variable's shape and dtype."""
        raise NotImplementedError

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Append a MismatchError to `skipped` if that is a list; otherwise raise it."""
        try:
            yield
        except MismatchError as error:
            if self.skipped is None:
                raise
            self.skipped.append(str(error))

    def read(self, groups: Iterable[tuple[str, list[Variable], int, Any]]) -> dict[int, Array]:
        """Read the arrays of groups; return them by the ``id`` of the variable."""
        found: dict[int, Array] = {}
        for owner, variables, count, place in groups:
            with self.attempt():
                expected = f"The file must have {len(variables)} weights for {owner}"
                require(count == len(variables), expected, f"{count} weights", MismatchError)
                read: dict[int, Array] = {}
                for i, variable in enumerate(variables):
                    with self.attempt() if self.one_by_one else contextlib.nullcontext():
                        read[id(variable)] = self.get(place(i), variable)
                found |= read
        return found


def require_built(model: Model, action: str) -> None:
    """Raise an error if a model is not built."""
    expected = f"{model.name} must be built before {action} weights; call build(input_shape)"
    require(model.built, expected, "built=False")


def restore(
    model: Model,
    source: Source,
    run: dict[str, Any] | None = None,
    keep_rate: bool = False,
    skip_mismatch: bool = False,
) -> None:
    """Load the contents of a file into a built model; on an error, the model is unchanged.

    `run` is the result of `describe_run`, from which the random generators and the history are
    restored. With `keep_rate`, the learning rate is unchanged. With `skip_mismatch`, mismatches are
    skipped with a warning.
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
        warn(f"The optimizer state is not loaded: {numbers}.")
    generators, history = _read_run(model, run) if run else ([], None)
    if source.skipped:
        parts = f"{len(source.skipped)} layers or weights of {model.name} are not loaded"
        listed = "; ".join(source.skipped[:10])
        warn(f"{parts} because they do not match the file: {listed}")
    for variable, value in pairs:
        variable.array[...] = value
    for generator, saved in generators:
        generator.bit_generator.state = saved
    model.history = model.history if history is None else history
    if run and "input_sizes" in run:
        model._input_sizes = tuple(run["input_sizes"])


def check_fit(name: str, array: Any, variable: Variable) -> None:
    """Check the shape and kind of dtype of an array, or of a dataset before it is read."""
    kind = variable.array.dtype.kind
    kinds = kind if kind in "fb" else "iu"
    fits = array.shape == variable.shape and array.dtype.kind in kinds
    wanted = f"shape {variable.shape} and dtype {variable.dtype} for {variable.path}"
    received = f"shape {array.shape}, dtype {array.dtype}"
    require(fits, f"{name} must have {wanted}", received, MismatchError)


def fit(name: str, array: Array, variable: Variable) -> Array:
    """Convert an array from a file to the dtype of a variable; shape and values must fit."""
    check_fit(name, array, variable)
    kind = variable.array.dtype.kind
    # Booleans in a file may have values other than 0 and 1.
    numbers = array.view(np.uint8) if kind == "b" else array
    with np.errstate(over="ignore"):
        found = numbers.astype(variable.array.dtype)
    exact = kind == "f" or not (found != numbers).any()
    expected = f"{name} must have values in the range of {variable.dtype} for {variable.path}"
    require(exact, expected, shorten(numbers), MismatchError)
    return found


def describe_run(model: Model) -> tuple[dict[str, Any], list[Array]]:
    """Return the state that training needs to resume, in addition to weights and optimizer state.

    The result is a dict of random states, history and float type, and a list of arrays: the columns
    of the history that are all float or all int. The dict refers to them by index.
    """
    arrays: list[Array] = []

    def column(values: Any) -> Any:
        plain = [v.item() if isinstance(v, np.generic) else v for v in values]
        if {type(v) for v in plain} in ({float}, {int}):
            array = np.array(plain)
            if array.dtype.kind in "fi":  # integers of more than 63 bits become objects
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
    """Replace references ``{"array": index}`` in a history with ``column(index)``, in place."""
    read = functools.cache(lambda number: column(number).tolist())
    recorded: Any = run.get("history")
    for columns in (recorded["history"], recorded) if recorded else ():
        for name, value in columns.items():
            if isinstance(value, dict) and value.keys() == {"array"}:
                columns[name] = read(value["array"])


def _check_history(recorded: Any) -> None:
    """Raise an error if a history cannot be loaded; used for saving and loading."""
    metrics, epochs = recorded.get("history"), recorded.get("epoch")
    good = isinstance(metrics, dict) and isinstance(epochs, list)
    good = good and all(isinstance(e, int | np.integer) and not isinstance(e, bool) for e in epochs)
    for name, values in metrics.items() if good else ():
        good &= isinstance(name, str) and isinstance(values, list)
        # Values logged once per epoch may be of any type; other lists must be numeric.
        if good and len(values) > len(epochs):
            good = all(isinstance(v, int | float | np.number) for v in values)
    expected = "The history must have a list for each metric; a list with more values than epochs"
    require(good, f"{expected} must be numeric", shorten(recorded))


def _generators(layer: Any, path: str = "") -> Iterator[tuple[str, np.random.Generator]]:
    """Find the random generators of a model and its layers, with their paths."""
    for name, value in sorted(vars(layer).items()):
        if isinstance(value, np.random.Generator):
            yield f"{path}{name}", value
    inside = layer.layers if isinstance(layer, Model) else layer._inner_layers()
    for i, inner in enumerate(inside):
        yield from _generators(inner, f"{path}{i}/")


def _is_exact(state: Any, given: Any) -> bool:
    """Return whether a state of PCG64 is exactly the given one, and can occur."""
    exact = repr(state["state"]) == repr({key: given["state"][key] for key in state["state"]})
    return exact and state["state"]["inc"] % 2 == 1 and state["has_uint32"] in (0, 1)


def _read_run(model: Model, run: dict[str, Any]) -> tuple[list[Any], History | None]:
    """Return the history and the generators with their states, which are validated first."""
    states: Any = run.get("random")
    recorded = run.get("history")
    expected = dict(_generators(model))
    fits = isinstance(states, dict) and states.keys() == expected.keys()
    text = f"The file must contain the states of the random generators {sorted(expected)}"
    require(fits, text, shorten(states))
    checked = []
    for path, generator in expected.items():
        trial: Any = type(generator.bit_generator)(0)
        text = f"The state of the random generator {path} is malformed: {shorten(states[path])}"
        with refusing(text, TypeError, ValueError, KeyError, OverflowError):
            trial.state = states[path]
        if "inc" in trial.state["state"]:  # PCG64, which may always draw the same if inc is even
            text = f"The state of the random generator {path} must be one that can occur"
            require(_is_exact(trial.state, states[path]), text, shorten(states[path]))
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
