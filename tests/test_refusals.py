"""Invalid input raises a clear error and changes nothing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import models, refusals
from tinynet import (
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
)
from tinynet.optimizers import schedules

#: Sections in which the exact exception type is checked and messages contain `Received:`.
EXACT = {**refusals.OPTIMIZERS_AND_CALLBACKS, **refusals.TRAINING, **refusals.SETTINGS}


def trained() -> Any:
    model = models.classifier(metrics=["accuracy"])
    model.fit(*models.data(), verbose=0)
    return model


#: One trained model for all rows, since errors change nothing.
shared = cache(trained)


def assert_raises(tried: Any, error: Any, message: str) -> Any:
    """Assert that a call raises an error with a matching, short message without array contents."""
    with pytest.raises(error) as caught:
        tried()
    said = str(caught.value)
    assert re.search(message, said, re.DOTALL), said
    assert len(said) < 600
    assert "array([" not in said
    return caught


def attempt(name: str, **offered: Any) -> None:
    """Run a row of the table with the fixtures that its function has as parameters."""
    tried, error, message = refusals.REFUSALS[name]
    takes = {key: offered[key] for key in inspect.signature(tried).parameters if key in offered}
    caught = assert_raises(partial(tried, **takes), error, message)
    if name in EXACT:
        assert re.search("Received: |argument", str(caught.value))  # "argument": from Python
        assert isinstance(error, tuple) or caught.type is error


def state(model: Any) -> list[Any]:
    """Return the complete state of a model, which errors must not change, as bytes."""
    parts = model.optimizer, model.loss, model.history
    return [*models.bits(model), model.built, model.compiled, *map(id, parts)]


@pytest.mark.thread_unsafe(reason="the cases share a model")
@pytest.mark.filterwarnings("ignore:.*(still made progress|Maximum iterations)")
@pytest.mark.parametrize("name", refusals.REFUSALS)
def test_invalid_call_raises(name: str, tmp_path: Path) -> None:
    model, unbuilt = shared(), models.classifier(shape=None)
    before = state(model)
    attempt(name, model=model, unbuilt=unbuilt, tmp_path=tmp_path)
    assert state(model) == before
    assert not unbuilt.built


@pytest.mark.parametrize(
    ("key", "make"), [("model", trained), ("unbuilt", lambda: models.classifier(shape=None))]
)
def test_errors_leave_models_unchanged(key: str, make: Any, tmp_path: Path) -> None:
    model, twin = make(), make()
    for name, (tried, *_) in refusals.TRAINING.items():
        if key in inspect.signature(tried).parameters:
            attempt(name, **{key: model}, tmp_path=tmp_path)
    for each in (model, twin):
        tinynet.utils.set_random_seed(5)
        each.fit(*models.data(), epochs=2, verbose=0)
    assert models.bits(model) == models.bits(twin)
    assert model.history.history == twin.history.history


@pytest.mark.filterwarnings("ignore:.*(still made progress|Maximum iterations)")
@pytest.mark.parametrize("name", refusals.MASKED_CALLS)
def test_masked_arrays_without_masked_values_are_accepted(name: str) -> None:
    refusals.MASKED_CALLS[name](np.ma.array(refusals.PLAIN))


def test_row_names_are_unique() -> None:
    assert len(refusals.REFUSALS) == sum(map(len, refusals.SECTIONS))


# ------------------------------------------------------------ constructors

# Values that no argument accepts: NaN, complex, object, bytes, a large array, a dict.
NEVER: list[Any] = [float("nan"), 1j, object(), b"x", np.zeros(10**5), {"a": 1}]
# Invalid values of integer, float and bool arguments.
KINDS: dict[str, list[Any]] = {
    "int": ["3", 3.5, -(2**70), float("inf"), True, [1]],
    "float": ["3", float("inf"), True, [1], -(10**400), 10**400],
    "bool": ["yes", 0, 1, None, 0.5, []],
    "str": [3.5, 7, ["a"], b"x", np.zeros(9)],
}
# Arguments that accept values outside their annotation: `axis` may be a list, `decay_steps` a
# float, `verbose` a bool; an unknown `mode` only warns.
TAKES_MORE = {"axis", "decay_steps", "mode", "verbose"}
# Unsupported arguments of Keras' Embedding.
UNSUPPORTED = {"lora_rank", "lora_alpha", "quantization_config"}
# Paths may be bytes.
PATHS = {"backup_dir", "filename", "log_dir"}


def classes() -> Iterator[Any]:
    modules = (
        *(layers, losses, metrics, callbacks, initializers, regularizers),
        *(constraints, optimizers, schedules),
    )
    skipped = {"TensorBoard", "LossFunction", "FunctionLoss", "CallbackList", "Plan", "Registry"}
    skipped |= {"SymbolicTensor", "MeanMetricWrapper", "LossMetric", "Workspace", "Sequential"}
    for module in modules:
        for name, value in sorted(vars(module).items()):
            own = inspect.isclass(value) and value.__module__.startswith(module.__name__)
            if own and name == value.__name__ and name not in skipped and name[0] != "_":
                yield pytest.param(value, id=f"{module.__name__.split('.')[-1]}.{name}")


def parameters(cls: Any) -> Iterator[inspect.Parameter]:
    """Yield the keyword parameters of a constructor and of its base classes."""
    seen = set()
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        found = inspect.signature(base.__init__).parameters.values()
        for parameter in found:
            named = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if named and parameter.name not in {"self", *seen}:
                seen.add(parameter.name)
                yield parameter
        if not any(p.kind is p.VAR_KEYWORD for p in found):
            return
        if issubclass(cls, layers.Activation) and base is not layers.Activation:
            yield from parameters(layers.Layer)  # its activation is fixed
            return


@pytest.mark.parametrize("cls", [*classes()])
def test_constructors_reject_invalid_arguments(cls: Any) -> None:
    takes = list(parameters(cls))
    if cls is layers.InputLayer:
        takes = [p for p in takes if p.name not in ("batch_shape", "input_shape")]
    needed = [p.name for p in takes if p.default is p.empty or p.name == "shape"]
    need = {name: refusals.REQUIRED[name] for name in needed}
    cls(**need)
    for longest in sorted((p.name for p in takes), key=len)[-1:]:
        misspelled = partial(cls, **need, **{f"{longest}s": 1})
        kind = f"{cls.__name__} got an unexpected keyword argument|hook must be a known name"
        said = rf"^({kind}); did you mean '{longest}'"
        assert_raises(misspelled, (TypeError, ValueError), f"{said}.*Received: ")
    for parameter in takes:
        name, kind = parameter.name, str(parameter.annotation).split(" | ")[0]
        error = NotImplementedError if name in UNSUPPORTED else (ValueError, TypeError)
        values = KINDS.get(kind, NEVER) + (NEVER if kind in ("int", "float") else [])
        for value in () if name in TAKES_MORE else values:
            if not (name in PATHS and isinstance(value, bytes)):
                assert_raises(partial(cls, **{**need, name: value}), error, "Received: ")


@pytest.mark.parametrize("fails_in", ["generator", "callback"])
def test_completed_steps_remain_after_an_error(fails_in: str) -> None:
    """Two steps are complete when user code raises an error during training."""

    def batches() -> Iterator[Any]:
        for _ in range(2 if fails_in == "generator" else 9):
            yield np.ones((2, 3)), np.ones((2, 1))
        raise OSError("no more data")

    class Failing(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 1 and fails_in == "callback":
                raise OSError("the disk is full")

    model = tinynet.Sequential([tinynet.Input((3,)), layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse")
    with pytest.raises(OSError, match=r"no more data|the disk is full"):
        model.fit(batches(), verbose=0, callbacks=[Failing()])
    # The gradient of the loss (3 w + b - 1)**2, with equal weights, is 2 (3 w + b - 1).
    w = b = 0.0
    for _ in range(2):
        d = 2 * (3 * w + b - 1)
        w, b = w - 0.01 * d, b - 0.01 * d
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(kernel, np.full((3, 1), w), rtol=1e-6)
    np.testing.assert_allclose(bias, [b], rtol=1e-6)
    assert int(model.optimizer.iterations) == 2
