"""Nothing wrong passes in silence: wrong input and what is said of it, odd input that is legal.

Each table's row is a case. A message names what is wrong, what was received and what is allowed,
never the data in bulk, and a call that fails changes nothing.
"""

from __future__ import annotations

import builtins
import datetime
import functools
import inspect
import io
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import tinynet
from tests import HUNG
from tinynet import (
    Sequential,
    callbacks,
    config,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
)
from tinynet.compat import tensorflow as tf
from tinynet.optimizers import schedules
from tinynet.sklearn import TinyNetClassifier
from tinynet.training import data_adapters

SCCE = "sparse_categorical_crossentropy"
ROOT = Path(tinynet.__file__).parents[1]
RNG = np.random.default_rng(3)
N, D, C = 21, 4, 3
X = RNG.random((N, D), np.float32)
Y = RNG.integers(0, C, N)
HOT = np.eye(C, dtype=np.float32)[Y]
BOTH = pytest.mark.parametrize("backend", ["numpy", "numba"])


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    before = config.backend(), config.on_divergence()
    yield
    config.set_backend(before[0])
    config.set_on_divergence(before[1])


def net(loss: Any = SCCE, optimizer: Any = "adam", width: int = D, **options: Any) -> Sequential:
    tinynet.random.set_seed(5)
    model = Sequential(
        [
            layers.Input((width,)),
            layers.Dense(5, activation="relu"),
            layers.Dense(C, activation="softmax"),
        ]
    )
    model.compile(optimizer, loss, **options)
    return model


def at(row: int, value: Any, dtype: Any = float) -> np.ndarray:
    """Return labels of which one is another."""
    y = Y.astype(dtype)
    y[row] = value
    return y


def with_cell(row: int, column: int, value: float) -> np.ndarray:
    x = X.copy()
    x[row, column] = value
    return x


def frozen(model: Sequential) -> list[Any]:
    """Return everything that a failed call must leave as it was, to the bit."""
    state = [w.array.tobytes() for w in model.weights]
    if model.optimizer is not None:
        state += [id(model.optimizer), *(v.array.tobytes() for v in model.optimizer.variables)]
    state += [model.built, model.compiled, id(model.loss), id(model._objective), id(model.history)]
    return [*state, repr(model._random.bit_generator.state)]


HUGE = np.full((400, 400), 7.0)
DATES = np.array(["2020-01-01"] * N, "datetime64[D]")

# ------------------------------------------------------------ data: what is refused
# name: (arguments in place of X and Y, error, what the message says)
DATA: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "y one shorter": ({"y": Y[:-1]}, ValueError, "same length.*x of 21, y of 20"),
    "x one shorter": ({"x": X[:-1]}, ValueError, "same length.*x of 20, y of 21"),
    "weights one shorter": ({"sample_weight": np.ones(20)}, ValueError, "sample_weight of 20"),
    "nothing": ({"x": X[:0], "y": Y[:0]}, ValueError, "at least one example"),
    "empty lists": ({"x": [], "y": []}, ValueError, "at least one example"),
    "no x": ({"x": None}, ValueError, "x=None"),
    "no y": ({"y": None}, ValueError, "y=None"),
    "one example without a batch axis": ({"x": X[0], "y": Y[:4]}, ValueError, r"pass x\[None\]"),
    "another width": ({"x": X[:, :2]}, ValueError, r"\(None, 4\).*Received: shape \(21, 2\)"),
    "an axis too many": ({"x": X[:, None]}, ValueError, r"Received: shape \(21, 1, 4\)"),
    "x a number": ({"x": 3.0}, ValueError, "batch axis"),
    "y a number": ({"y": 1}, ValueError, "one row for each example"),
    "x of strings": ({"x": [["a"] * D] * N}, ValueError, "x must be real numbers.*text.*<U1"),
    "x of digits as strings": ({"x": X.astype(str)}, ValueError, "real numbers.*text"),
    "x of bytes": ({"x": X.astype("S8")}, ValueError, r"real numbers.*text.*\|S8"),
    "x complex": ({"x": X + 1j}, ValueError, "not complex.*complex64"),
    "x of objects": ({"x": np.full((N, D), object())}, ValueError, "real numbers.*object"),
    "x with None": ({"x": [[None] * D] * N}, ValueError, "real numbers.*missing.*row 0, column 0"),
    "x of dates": ({"x": np.tile(DATES[:, None], D)}, ValueError, "dates.*datetime64"),
    "x a date": ({"x": datetime.date(2020, 1, 1)}, ValueError, "real numbers"),
    "x a dict": ({"x": {"a": X}}, ValueError, r"key 'input_layer\w*'.*Received.*\['a'\]"),
    "y a dict": ({"y": {"a": Y}}, ValueError, r"key 'dense\w*'.*Received.*\['a'\]"),
    "weights a dict": ({"sample_weight": {"a": Y}}, ValueError, r"sample_weight.*\['a'\]"),
    "x masked": ({"x": np.ma.masked_less(X, 0.5)}, ValueError, r"x must not .*masked.*filled"),
    "x masked in a list": ({"x": [*np.ma.masked_less(X, 0.5)]}, ValueError, "masked"),
    "y masked": ({"y": np.ma.masked_equal(Y, 0)}, ValueError, "y must not .*masked"),
    "y a sparse matrix": ({"y": scipy.sparse.csr_array(HOT)}, ValueError, r"y\.toarray\(\)"),
    "weights masked": (
        {"sample_weight": np.ma.masked_equal(np.ones(N), 1)},
        ValueError,
        "sample_weight must not .*masked",
    ),
    "x a set": ({"x": {1, 2}}, (ValueError, TypeError), "Received: "),
    "x a string": ({"x": "train.csv"}, ValueError, "real numbers.*text"),
    "x ragged": ({"x": [[1.0] * D] * (N - 1) + [[1.0]]}, ValueError, "lists of equal lengths"),
    "x two arrays": ({"x": [X, X]}, ValueError, "one array.*one input.*2 arrays"),
    "x of records": ({"x": np.zeros(N, "f4,f4")}, ValueError, "real numbers"),
    "x NaN": ({"x": with_cell(7, 2, np.nan)}, ValueError, "finite.*1 of 84.*row 7: nan"),
    "x infinite": ({"x": with_cell(0, 0, np.inf)}, ValueError, "finite.*row 0: inf"),
    "x too large": ({"x": with_cell(9, 3, 1).astype(float) * 1e300}, ValueError, "finite"),
    "x half NaN": ({"x": np.where(np.arange(D) < 2, X, np.nan)}, ValueError, "42 of 84.*row 0"),
    "label too large": ({"y": at(4, 3)}, ValueError, "from 0 to 2.*3 outputs.*3.0 in row 4"),
    "label far too large": ({"y": at(4, 2**62, int)}, ValueError, "from 0 to 2.*row 4"),
    "label of uint64": ({"y": at(4, 2**64 - 1, np.uint64)}, ValueError, "from 0 to 2.*row 4"),
    "label negative": ({"y": at(4, -1, int)}, ValueError, "from 0 to 2.*Received: -1 in row 4"),
    "labels from 1": ({"y": Y + 1}, ValueError, "from 0 to 2.* and .* more"),
    "label fractional": ({"y": at(4, 0.5)}, ValueError, "whole numbers.*0.5 in row 4"),
    "label NaN": ({"y": at(4, np.nan)}, ValueError, "from 0 to 2.*whole.*nan in row 4"),
    "label infinite": ({"y": at(4, np.inf)}, ValueError, "from 0 to 2.*inf in row 4"),
    "label huge": ({"y": at(4, 1e300)}, ValueError, "from 0 to 2.*row 4"),
    "label wrong in the last row": ({"y": at(-1, 9, int)}, ValueError, "9 in row 20"),
    "labels one-hot": ({"y": HOT}, ValueError, "use categorical_crossentropy"),
    "labels one-hot with 2 classes": ({"y": HOT[:, :2]}, ValueError, r"Received: shape \(21, 2\)"),
    "labels as strings": ({"y": ["cat"] * N}, ValueError, "y_?.*real numbers.*text"),
    "labels as numbers in strings": ({"y": Y.astype(str)}, ValueError, "real numbers.*text"),
    "labels as objects": ({"y": [object()] * N}, ValueError, "real numbers.*in row 0"),
    "labels missing": ({"y": [*Y[:-1], None]}, ValueError, "missing.*in row 20"),
    "labels complex": ({"y": Y + 0j}, ValueError, "not complex"),
    "labels as dates": ({"y": DATES}, ValueError, "dates"),
    "labels ragged": ({"y": [[0], [1, 2]] + [[1]] * 19}, ValueError, "lists of equal lengths"),
    "weights NaN": ({"sample_weight": at(3, np.nan)}, ValueError, "sample_weight.*row 3: nan"),
    "weights infinite": ({"sample_weight": at(3, np.inf)}, ValueError, "sample_weight.*row 3"),
    "weights of strings": ({"sample_weight": ["a"] * N}, ValueError, "sample_weight.*real numbers"),
    "weights a number": ({"sample_weight": 2.0}, ValueError, "sample_weight of 1"),
    "weights of a wrong shape": ({"sample_weight": np.ones((N, C))}, ValueError, "sample_weight"),
}
FIT_ONLY: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    **{
        f"{name} {value!r}": ({name: value}, error, f"{name}.*Received: {name}=")
        for name in ("epochs", "batch_size", "initial_epoch", "steps_per_epoch")
        for value, error in (
            (2.5, TypeError),
            ("3", TypeError),
            (True, TypeError),
            (-1, ValueError),
            (np.nan, TypeError),
            ([1], TypeError),
        )
    },
    "batch_size 0": ({"batch_size": 0}, ValueError, "batch_size.*at least 1.*batch_size=0"),
    "steps_per_epoch 0": ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch=0"),
    "epochs None": ({"epochs": None}, TypeError, "epochs=None"),
    "validation_steps 0": ({"validation_steps": 0}, ValueError, "validation_steps=0"),
    "validation_batch_size 0": (
        {"validation_batch_size": 0, "validation_split": 0.5},
        ValueError,
        "validation_batch_size=0",
    ),
    "validation_freq 0": ({"validation_freq": 0}, ValueError, "validation_freq=0"),
    "validation_freq '1'": ({"validation_freq": "1"}, TypeError, "validation_freq='1'"),
    "validation_split 1": ({"validation_split": 1}, ValueError, "validation_split=1"),
    "validation_split 1.5": ({"validation_split": 1.5}, ValueError, "from 0 to 1"),
    "validation_split NaN": ({"validation_split": np.nan}, ValueError, "from 0 to 1"),
    "validation_split '0.1'": ({"validation_split": "0.1"}, TypeError, "validation_split='0.1'"),
    "validation_split True": ({"validation_split": True}, TypeError, "validation_split=True"),
    "validation_data of one": ({"validation_data": (X,)}, ValueError, r"\(x, y\)"),
    "validation_data with NaN": ({"validation_data": (X * np.nan, Y)}, ValueError, "finite"),
    "validation_data masked": (
        {"validation_data": (np.ma.masked_less(X, 0.5), Y)},
        ValueError,
        "x must not .*masked",
    ),
    "validation_data wrong label": ({"validation_data": (X, Y + 9)}, ValueError, "from 0 to 2"),
    "validation_data too wide": ({"validation_data": (HUGE, Y)}, ValueError, "Received"),
    "shuffle 'yes'": ({"shuffle": "yes"}, ValueError, "'batch'.*shuffle='yes'"),
    "verbose 3": ({"verbose": 3}, ValueError, "verbose=3"),
    "verbose text": ({"verbose": "loud" * 1000}, ValueError, "verbose="),
    "class_weight a list": ({"class_weight": [1, 1, 1]}, TypeError, "dict"),
    "class_weight by name": ({"class_weight": {"cat": 1.0}}, TypeError, "class.*'cat'"),
    "class_weight NaN": ({"class_weight": {0: np.nan}}, ValueError, r"class_weight\[0\].*nan"),
    "both weights": (
        {"class_weight": {0: 2.0}, "sample_weight": np.ones(N)},
        ValueError,
        "can't be combined",
    ),
    "callbacks of something": ({"callbacks": [object()]}, TypeError, "callbacks.Callback"),
    "callbacks in bulk": ({"callbacks": ["x" * 10**6]}, TypeError, "callbacks.Callback"),
}


def assert_says(error: BaseException, pattern: str) -> None:
    """Assert that a message says it, in short, and ends in what came."""
    message = str(error)
    assert re.search(pattern, message, re.S), message
    assert "Received: " in message
    assert len(message) < 600
    assert "array([" not in message


@functools.cache
def shared(trained: bool) -> Sequential:
    """Return the same model again: a call that is refused changes nothing."""
    model = net(metrics=["accuracy"])
    if trained:
        model.fit(X, Y, verbose=0)
    return model


@pytest.mark.parametrize("name", [*DATA, *FIT_ONLY])
def test_fit_refuses(name: str) -> None:
    wrong, error, pattern = {**DATA, **FIT_ONLY}[name]
    model = shared(trained=True)
    before = frozen(model)
    with pytest.raises(error) as caught:
        model.fit(**{"x": X, "y": Y, "verbose": 0, "epochs": 2, **wrong})
    assert_says(caught.value, pattern)
    assert frozen(model) == before


@pytest.mark.parametrize("method", ["evaluate", "train_on_batch", "test_on_batch"])
@pytest.mark.parametrize("name", DATA)
def test_the_others_refuse_the_same(method: str, name: str) -> None:
    wrong, error, pattern = DATA[name]
    model = shared(trained=False)
    before = frozen(model)
    with pytest.raises(error) as caught:
        getattr(model, method)(**{"x": X, "y": Y, **wrong})
    assert_says(caught.value, pattern)
    assert frozen(model) == before


PREDICT = [name for name, (wrong, *_) in DATA.items() if set(wrong) == {"x"}]
ANSWERED = {"x one shorter", "x NaN", "x infinite", "x too large", "x half NaN"}


@pytest.mark.parametrize("name", PREDICT)
def test_predict_refuses_what_it_cannot_compute(name: str) -> None:
    wrong, error, pattern = DATA[name]
    model = net()
    if name in ANSWERED:  # it answers with what it computes
        assert model.predict(wrong["x"], verbose=0).shape == (len(wrong["x"]), C)
        return
    for call in (model.predict, model.predict_on_batch, model):
        with pytest.raises(error) as caught:
            call(wrong["x"])
        assert_says(caught.value, pattern)


@pytest.mark.parametrize(
    ("method", "wrong", "error"),
    [
        ("evaluate", {"batch_size": 0}, ValueError),
        ("evaluate", {"batch_size": 2.0}, TypeError),
        ("evaluate", {"steps": 0}, ValueError),
        ("evaluate", {"steps": True}, TypeError),
        ("evaluate", {"verbose": "on"}, ValueError),
        ("evaluate", {"callbacks": ["x"]}, TypeError),
        ("predict", {"batch_size": -1}, ValueError),
        ("predict", {"batch_size": "8"}, TypeError),
        ("predict", {"steps": 0}, ValueError),
        ("predict", {"verbose": 7}, ValueError),
    ],
    ids=str,
)
def test_arguments_of_evaluate_and_predict(method: str, wrong: Any, error: Any) -> None:
    arguments = {"x": X, **({"y": Y} if method == "evaluate" else {}), **wrong}
    with pytest.raises(error) as caught:
        getattr(net(), method)(**arguments)
    assert_says(caught.value, f"Received: ({next(iter(wrong))}=|'x')")


@pytest.mark.parametrize(
    ("loss", "y", "pattern"),
    [
        ("categorical_crossentropy", Y, "sparse_categorical_crossentropy, or.*to_categorical"),
        ("categorical_crossentropy", Y[:, None], "sparse_categorical_crossentropy"),
        ("categorical_crossentropy", HOT[:, :2], r"shape \(None, 3\).*\(21, 2\)"),
        ("categorical_crossentropy", HOT * np.nan, "finite.*row 0"),
        ("mse", Y, r"shape \(None, 3\)"),
        ("mse", np.where(np.arange(C) == 1, np.inf, HOT), "finite.*row 0"),
        ("mse", HOT.astype(str), "real numbers"),
        ("binary_crossentropy", Y, r"shape \(None, 3\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(np.shape(value)),
)
def test_dense_losses_refuse(loss: str, y: Any, pattern: str) -> None:
    model = net(loss)
    before = frozen(model)
    with pytest.raises(ValueError, match="Received") as caught:
        model.fit(X, y, verbose=0)
    assert_says(caught.value, pattern)
    assert frozen(model) == before


@BOTH
def test_the_last_row_is_looked_at_before_the_first_step(backend: str) -> None:
    config.set_backend(backend)
    x = np.zeros((3000, 100), np.float32)  # sparse: goes the compressed way on numba
    x[:, 0] = 1
    y = np.zeros(3000, int)
    for wrong_x, wrong_y in ((x, np.append(y[:-1], 3)), (np.where(x == 1, np.nan, 0), y)):
        model = net(width=100)
        before = frozen(model)
        with pytest.raises(ValueError, match=r"row (2999|0)\b"):
            model.fit(wrong_x, wrong_y, verbose=0)
        assert frozen(model) == before
    x[2998, 99] = np.inf
    with pytest.raises(ValueError, match="1 of 300000 not finite, the first in row 2998: inf"):
        net(width=100).fit(x, y, verbose=0)


def test_finite_may_be_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYNET_ASSUME_FINITE", "1")
    config.set_on_divergence("continue")
    history = net().fit(with_cell(7, 2, np.nan), Y, verbose=0).history
    assert np.isnan(history["loss"][0])
    monkeypatch.setenv("TINYNET_ASSUME_FINITE", "0")
    with pytest.raises(ValueError, match="TINYNET_ASSUME_FINITE=1"):
        net().fit(with_cell(7, 2, np.nan), Y, verbose=0)


def test_looking_for_what_is_not_finite_is_cheap() -> None:
    x = np.ones((60_000, 784), np.float32)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        data_adapters.require_finite("x", x)
        seconds.append(time.process_time() - start)
    # 10 ms of computing, however busy the machine is; an epoch takes some 300.
    assert min(seconds) < 0.06


def test_batches_from_an_iterable_are_looked_at_too() -> None:
    model = net()
    with pytest.raises(ValueError, match="from 0 to 2"):
        model.fit(iter([(X, Y + 9)]), verbose=0)
    with pytest.raises(ValueError, match=r"\(x, y, sample_weight\)"):
        model.fit(iter([(X, Y, Y, Y)]), verbose=0)
    with pytest.raises(ValueError, match="at least one batch"):
        model.fit(iter([]), verbose=0)
    with pytest.raises(ValueError, match="finite"):
        model.evaluate(iter([(X * np.inf, Y)]), verbose=0)


@pytest.mark.parametrize(
    "x", [HUGE, HUGE.tolist(), "x" * 10**6, ["x" * 10**6] * 3, [HUGE, HUGE], b"x" * 10**6]
)
def test_bulk_stays_out_of_messages(x: Any) -> None:
    model = net()
    calls: list[Callable[[], Any]] = [
        lambda: model.fit(x, Y),
        lambda: model.fit(X, x),
        lambda: model.fit(X, Y, sample_weight=x),
        lambda: model.fit(X, Y, class_weight=x),
        lambda: model.fit(X, Y, batch_size=x),
        lambda: model.fit(X, Y, shuffle=x),
        lambda: model.fit(X, Y, validation_data=x),
        lambda: model.predict(x),
        lambda: model.set_weights(x),
        lambda: model.compile(x, SCCE),
        lambda: model.compile("adam", x),
        lambda: model.compile("adam", SCCE, metrics=[x]),
        lambda: Sequential(x),
        lambda: Sequential([x]),
        lambda: model.get_layer(x),
        lambda: losses.MeanSquaredError()(x, [[1.0]]),
        lambda: tinynet.utils.to_categorical(x, 3),
    ]
    for i, call in enumerate(calls):
        with pytest.raises((ValueError, TypeError, IndexError)) as caught:
            call()
        assert len(str(caught.value)) < 600, f"call {i}"


# ------------------------------------------------------------ constructors: what is refused

REQUIRED: dict[str, Any] = {
    "input_dim": 5, "output_dim": 2, "stddev": 0.5, "dims": (2, 1), "n": 2,
    "layer": tinynet.layers.Dense(2),
    "units": 3, "rate": 0.5, "target_shape": (2, 2), "scale": 2.0, "activation": "relu",
    "decay_steps": 10, "decay_rate": 0.5, "initial_learning_rate": 0.1, "boundaries": [1],
    "values": [0.1, 0.2], "schedule": lambda epoch: 0.1, "filepath": "x.keras",
    "backup_dir": "b", "filename": "f.csv", "monitor": "loss", "shape": (3,),
    "axes": 1, "function": abs,
    "learning_rate": 0.1, "recall": 0.5, "precision": 0.5, "specificity": 0.5, "sensitivity": 0.5,
}  # fmt: skip
# What none of them can mean: a number that is none, text, an object, and bulk.
NEVER: list[Any] = [float("nan"), 1j, object(), b"x", np.zeros(10**5), {"a": 1}]
# What whole numbers, numbers and yes-or-no can't be.
KINDS: dict[str, list[Any]] = {
    "int": ["3", 3.5, -(2**70), float("inf"), True, [1]],
    "float": ["3", float("inf"), True, [1], -(10**400), 10**400],
    "bool": ["yes", 0, 1, None, 0.5, []],
    "str": [3.5, 7, ["a"], b"x", np.zeros(9)],
}
# What takes more than it is declared to: lists of axes, Keras' half steps, a warning for an
# unknown mode, and verbose=True.
TAKES_MORE = {"axis", "decay_steps", "mode", "verbose"}
# Of Keras' Embedding, but not supported.
UNSUPPORTED = {"lora_rank", "lora_alpha", "quantization_config"}
# Paths, which may be bytes.
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
    """Yield what a constructor takes by name, and its bases for it."""
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
            yield from parameters(layers.Layer)  # the activation itself is fixed
            return


@pytest.mark.parametrize("cls", [*classes()])
def test_constructors_refuse(cls: Any) -> None:
    takes = list(parameters(cls))
    if cls is layers.InputLayer:
        takes = [p for p in takes if p.name not in ("batch_shape", "input_shape")]
    need = {p.name: REQUIRED[p.name] for p in takes if p.default is p.empty or p.name == "shape"}
    cls(**need)
    for parameter in takes:
        name, kind = parameter.name, str(parameter.annotation).split(" | ")[0]
        values = KINDS.get(kind, NEVER) + (NEVER if kind in ("int", "float") else [])
        for value in () if name in TAKES_MORE else values:
            if name in PATHS and isinstance(value, bytes):
                continue
            refusal = NotImplementedError if name in UNSUPPORTED else (ValueError, TypeError)
            with pytest.raises(refusal) as caught:
                cls(**{**need, name: value})
            assert_says(caught.value, "Received: ")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        # Keras' ValueError for a wrong type, and ours.
        ("layers.Dense(2.5)", ValueError),
        ('layers.Dense("64")', ValueError),
        ("layers.Dense(True)", ValueError),
        ("layers.Dense(None)", ValueError),
        ("layers.Dense(0)", ValueError),
        ("layers.Dense(-3)", ValueError),
        ("layers.Dropout(1.1)", ValueError),
        ("layers.Dropout(-0.1)", ValueError),
        ("layers.Dropout(True)", ValueError),
        ('layers.Dropout("0.5")', ValueError),
        ("layers.Input((-1,))", ValueError),
        ("layers.Input((2.5,))", ValueError),
        ('layers.Input(("3",))', ValueError),
        ("layers.Reshape((2.5,))", ValueError),
        ("layers.ReLU(max_value=-1)", ValueError),
        ('layers.Dense(3, use_bias="no")', TypeError),
        ("layers.BatchNormalization(momentum=1.5)", ValueError),
        ("layers.BatchNormalization(epsilon=-1)", ValueError),
        ('optimizers.Adam("0.1")', ValueError),
        ("optimizers.Adam(-0.1)", ValueError),
        ('optimizers.Adam(float("inf"))', ValueError),
        ("optimizers.Adam(beta_1=1.5)", ValueError),
        ("optimizers.Adam(beta_2=-0.1)", ValueError),
        ("optimizers.Adam(epsilon=-1e-7)", ValueError),
        ("optimizers.SGD(momentum=1.5)", ValueError),
        ('optimizers.SGD(momentum="0.9")', ValueError),
        ("optimizers.SGD(nesterov=1)", TypeError),
        ("optimizers.Adam(clipnorm=-1.0)", ValueError),
        ("optimizers.Adam(clipnorm=1.0, clipvalue=1.0)", ValueError),
        ("optimizers.Adam(gradient_accumulation_steps=1)", ValueError),
        ("optimizers.AdamW(weight_decay=-0.1)", ValueError),
        ("regularizers.L2(-0.1)", ValueError),
        ('regularizers.L1("0.1")', ValueError),
        ("losses.CategoricalCrossentropy(label_smoothing=1.5)", ValueError),
        ('losses.MeanSquaredError(reduction="avg")', ValueError),
        ("losses.SparseCategoricalCrossentropy(ignore_class=0.5)", TypeError),
        ("metrics.SparseTopKCategoricalAccuracy(k=0)", ValueError),
        ('metrics.BinaryAccuracy(threshold="0.5")', TypeError),
        ("initializers.RandomNormal(stddev=-1)", ValueError),
        ("initializers.VarianceScaling(scale=0)", ValueError),
        ("initializers.GlorotUniform(seed=1.5)", TypeError),
        ("schedules.ExponentialDecay(0.1, 0, 0.5)", ValueError),
        ("schedules.PiecewiseConstantDecay([1], [0.1])", ValueError),
        ("callbacks.EarlyStopping(patience=-1)", ValueError),
        ("callbacks.EarlyStopping(patience=1.5)", TypeError),
        ("callbacks.ReduceLROnPlateau(factor=1.5)", ValueError),
        ("tinynet.random.set_seed(1.5)", TypeError),
        ("tinynet.random.set_seed(-1)", ValueError),
        ("tinynet.random.set_seed(True)", TypeError),
        ("tinynet.utils.set_random_seed(2**32)", ValueError),
        ('tinynet.utils.set_random_seed("1")', TypeError),
        ('config.set_backend("cuda")', ValueError),
        ("config.set_backend(3)", ValueError),
        ('config.set_floatx("float16")', ValueError),
        ('config.set_epsilon("a")', TypeError),
        ("config.set_epsilon(0)", ValueError),
        ("config.set_epsilon(True)", TypeError),
        ("config.set_num_threads(0)", ValueError),
        ('config.set_on_divergence("stop")', ValueError),
        ("net().get_layer(index=9)", ValueError),
        ("net().get_layer(index=1.0)", TypeError),
        ('net().get_layer("dens")', ValueError),
        ('net().summary(line_length="80")', TypeError),
        ("Sequential([layers.Dense(3), 4])", ValueError),
        ("Sequential(layers.Dense(3))", TypeError),
        ("Sequential([layers.Dense(3)], name=4)", ValueError),
        ('net(loss_weights=float("nan"))', ValueError),
        ("net().set_weights(None)", TypeError),
        ("tinynet.utils.to_categorical([0.5])", ValueError),
        ("tinynet.utils.to_categorical([1], num_classes=1.5)", TypeError),
        ("tinynet.Sequential([]).predict(X)", ValueError),
        ('net().layers[0].kernel.assign("a")', ValueError),
        ("net().layers[0].kernel.assign(np.zeros((4, 5)) * 1j)", ValueError),
        ('setattr(net().optimizer, "learning_rate", "a")', ValueError),
        ('setattr(net().optimizer, "learning_rate", float("nan"))', ValueError),
        ('layers.Dense(3)([["a"]])', ValueError),
        ('tinynet.utils.normalize(["a"])', ValueError),
        ("tinynet.utils.to_categorical([-5], 3)", IndexError),
        ("tinynet.utils.to_categorical([1, -1])", IndexError),
        ("tinynet.utils.to_categorical([])", ValueError),
        ("tinynet.utils.to_categorical(None, 3)", ValueError),
        ("config.set_num_threads(HUGE)", TypeError),
        ('config.set_floatx("x" * 10**5)', ValueError),
    ],
)
def test_nonsense_is_refused(code: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        eval(code)
    assert type(caught.value) is error
    assert_says(caught.value, "Received: ")


# ------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ('layers.Dense(3, activation="rleu")', "relu"),
        ('layers.Dense(3, activation="ReLu")', "relu"),
        ('layers.Activation("sofmax")', "softmax"),
        ('tinynet.activations.get("sigmod")', "sigmoid"),
        ('layers.Dense(3, kernel_initializer="glorot_unifrom")', "glorot_uniform"),
        ('layers.Dense(3, kernel_regularizer="L1_L3")', "l1_l2"),
        ('layers.Dense(3, kernel_constraint="nonneg")', "non_neg"),
        ('layers.Dense(3, activaton="relu")', "activation"),
        ("layers.Dropout(0.5, sed=1)", "seed"),
        ("layers.Flatten(dataformat=None)", "data_format"),
        ("optimizers.Adam(learning_rte=0.1)", "learning_rate"),
        ("optimizers.Adam(lr=0.1)", "learning_rate"),
        ("optimizers.SGD(momentun=0.1)", "momentum"),
        ('optimizers.get("adma")', "adam"),
        ('losses.get("sparse_categorical_crossentrop")', SCCE),
        ('metrics.get("acuracy")', "accuracy"),
        ('net("categorial_crossentropy")', "categorical_crossentropy"),
        ('net(optimizer="Adan")', "adam"),
        ('net(metrics=["acuracy"])', "accuracy"),
        ('net(weighted_metrics=["sparse_categorical_acuracy"])',
         "sparse_categorical_accuracy"),
        ('net().get_layer("dens")', "dense"),
        ("callbacks.LambdaCallback(on_epoch_ended=print)", "on_epoch_end"),
    ],
)  # fmt: skip
def test_misspelt_names_are_guessed(code: str, meant: str) -> None:
    with pytest.raises(ValueError, match="Received") as caught:
        eval(code)
    assert_says(caught.value, rf"(?i)did you mean '{meant}(_1)?'\? Known: .*'{meant}")


@pytest.mark.parametrize(
    ("code", "owner", "meant"),
    [
        ("net().fit(X, Y, epoch=3)", "Sequential.fit", "epochs"),
        ("net().evaluate(X, Y, batchsize=3)", "Sequential.evaluate", "batch_size"),
        ("net().predict(X, bachsize=3)", "Sequential.predict", "batch_size"),
        ("net().compile(optimiser='adam')", "Sequential.compile", "optimizer"),
        (
            "net().train_on_batch(X, Y, sample_weights=Y)",
            "Sequential.train_on_batch",
            "sample_weight",
        ),
        ("net()(X, train=True)", "Sequential", "training"),
        ("net().save('x.keras', overwite=True)", "Sequential.save", "overwrite"),
        ("net().summary(linelength=80)", "Sequential.summary", "line_length"),
        ("Sequential(layer=[])", "Sequential", "layers"),
        ("tinynet.Model(input=1, output=2)", "Model", "inputs"),
        ("tinynet.Input(shap=(3,))", "Input", "shape"),
        ("layers.Dense(unit=3)", "Dense", "units"),
        ("layers.Dropout(rte=0.5)", "Dropout", "rate"),
        ("layers.Dense(2)(X, trainin=True)", "Dense", "training"),
        ("callbacks.EarlyStopping(patiense=3)", "EarlyStopping", "patience"),
        (
            "callbacks.ModelCheckpoint('a.keras', save_best=True)",
            "ModelCheckpoint",
            "save_best_only",
        ),
        ("losses.BinaryCrossentropy(from_logit=True)", "BinaryCrossentropy", "from_logits"),
        (
            "losses.MeanSquaredError()(HOT, HOT, sample_weights=Y)",
            "MeanSquaredError",
            "sample_weight",
        ),
        ("losses.huber(HOT, HOT, dlta=1)", "huber", "delta"),
        ("metrics.BinaryAccuracy(treshold=0.5)", "BinaryAccuracy", "threshold"),
        (
            "metrics.Mean().update_state([1], sample_weights=[1])",
            "Mean.update_state",
            "sample_weight",
        ),
        ("initializers.RandomNormal(std=0.1)", "RandomNormal", "stddev"),
        ("regularizers.L1L2(l_1=1)", "L1L2", "l1"),
        ("constraints.MaxNorm(max_val=3)", "MaxNorm", "max_value"),
        ("schedules.CosineDecay(0.1, decay_step=3)", "CosineDecay", "decay_steps"),
        ("tinynet.activations.relu(X, max_valu=3)", "relu", "max_value"),
        ("tinynet.utils.to_categorical(Y, num_class=3)", "to_categorical", "num_classes"),
        ("tinynet.models.load_model('a', complie=False)", "load_model", "compile"),
        ("tinynet.saving.load_model('a', complie=False)", "load_model", "compile"),
        ("tinynet.datasets.mnist.load_data(pth='a')", "load_data", "path"),
        ("tinynet.visualize.plot_history({}, tst={})", "plot_history", "test"),
        ("TinyNetClassifier(hidden_layer_size=3)", "TinyNetClassifier", "hidden_layer_sizes"),
        (
            "TinyNetClassifier().fit(X, Y, sample_weigth=Y)",
            "TinyNetClassifier.fit",
            "sample_weight",
        ),
    ],
)
def test_misspelled_keywords_get_suggestions(code: str, owner: str, meant: str) -> None:
    with pytest.raises((TypeError, ValueError), match="Received") as caught:
        eval(code)
    pattern = rf"^{owner} takes no such keyword; did you mean '{meant}'\? Known: .*'{meant}'"
    assert_says(caught.value, pattern)


def test_wrong_arguments_name_the_public_class() -> None:
    with pytest.raises(TypeError, match=r"^Sequential\.fit: too many positional arguments"):
        net().fit(*range(40))
    with pytest.raises(TypeError, match=r"^Dense: missing a required argument: 'units'"):
        layers.Dense()

    class Doubling(layers.Layer):
        def call(self, x):
            return len(x, 3)

    with pytest.raises(TypeError, match="len"):  # an error of the user's own stays
        Doubling()(X)
    assert inspect.signature(Sequential.fit).parameters["epochs"].default == 1
    assert tinynet.models.load_model is tinynet.saving.load_model


def test_warnings_point_to_the_line_of_the_user() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        callbacks.EarlyStopping(mode="upward")
        net().fit(iter([(X, Y)]), epochs=2, verbose=0)
    assert [w.filename for w in caught] == [__file__, __file__]


def test_an_unknown_loss_is_said_at_compile() -> None:
    model = net()
    before = frozen(model)
    for wrong in ("sparse", "", 3, object(), ["sparse"], ["mse", "mae"], {"a": "mse"}):
        with pytest.raises((ValueError, TypeError), match="Received"):
            model.compile("adam", wrong)
    assert frozen(model) == before
    model.fit(X, Y, verbose=0)


# ------------------------------------------------------------ odd, but legal

NEGATIVE = np.where(np.arange(N) % 2, 1.0, -0.5)
SOFT = np.float32(RNG.dirichlet(np.ones(C), N))


def case(
    loss: Any = lambda k: SCCE,
    optimizer: Any = lambda k: k.optimizers.SGD(0.1),
    stack: Any = lambda k: [k.layers.Input((D,)), k.layers.Dense(C, activation="softmax")],
    **arguments: Any,
) -> dict[str, Any]:
    return {"loss": loss, "optimizer": optimizer, "stack": stack, "arguments": arguments}


LEGAL: dict[str, dict[str, Any]] = {
    "a learning rate of 0": case(optimizer=lambda k: k.optimizers.Adam(0.0)),
    "a very large learning rate": case(optimizer=lambda k: k.optimizers.SGD(1e6)),
    "momentum 0": case(optimizer=lambda k: k.optimizers.SGD(0.1, momentum=0.0)),
    "momentum 1": case(optimizer=lambda k: k.optimizers.SGD(0.1, momentum=1.0)),
    "beta_1 0": case(optimizer=lambda k: k.optimizers.Adam(0.1, beta_1=0)),
    "epsilon 0": case(optimizer=lambda k: k.optimizers.Adam(0.1, epsilon=0)),
    "Dropout(1.0)": case(
        stack=lambda k: [
            k.layers.Input((D,)),
            k.layers.Dropout(1.0),
            k.layers.Dense(C, activation="softmax"),
        ]
    ),
    "Dropout(0)": case(
        stack=lambda k: [
            k.layers.Input((D,)),
            k.layers.Dropout(0),
            k.layers.Dense(C, activation="softmax"),
        ]
    ),
    "sample weights of 0": case(sample_weight=np.arange(N) % 2),
    "only sample weights of 0": case(sample_weight=np.zeros(N)),
    "negative sample weights": case(sample_weight=NEGATIVE),
    "class weights of 0 and below": case(class_weight={0: 0.0, 1: -1.0, 2: 3}),
    "class weights of NumPy's types": case(class_weight={np.int64(0): np.float32(2)}),
    "a class weight for no class": case(class_weight={7: 2.0}),
    "soft labels": case(lambda k: "categorical_crossentropy", y=SOFT),
    "negative targets": case(lambda k: "mse", y=SOFT - 1),
    "an ignored label": case(
        lambda k: k.losses.SparseCategoricalCrossentropy(ignore_class=-1),
        y=np.where(np.arange(N) % 3, Y, -1),
    ),
    "only ignored labels": case(
        lambda k: k.losses.SparseCategoricalCrossentropy(ignore_class=-1), y=np.full(N, -1)
    ),
    "a column of labels": case(y=Y[:, None]),
    "labels as floats": case(y=Y.astype(float)),
    "labels as uint8": case(y=Y.astype(np.uint8)),
    "labels of two classes as bools": case(y=Y > 0),
    "inputs as bools": case(x=X > 0.5),
    "one example": case(x=X[:1], y=Y[:1]),
    "initial_epoch == epochs": case(initial_epoch=3, epochs=3),
    "initial_epoch > epochs": case(initial_epoch=3, epochs=1),
    "epochs 0": case(epochs=0),
    "counts of NumPy's types": case(epochs=np.int64(2), batch_size=np.int32(8)),
    "a batch larger than the data": case(batch_size=10**6),
    "no weights": case(
        stack=lambda k: [k.layers.Input((3, 1)), k.layers.Flatten(), k.layers.Softmax()],
        x=X[:, :3, None],
    ),
    "one number an example": case(
        stack=lambda k: [k.layers.Input((1,)), k.layers.Dense(C, activation="softmax")],
        x=np.linspace(0, 1, N),
    ),
    "frozen": case(
        stack=lambda k: [
            k.layers.Input((D,)),
            k.layers.Dense(C, activation="softmax", trainable=False),
        ]
    ),
    "units of NumPy's type": case(
        stack=lambda k: [k.layers.Input((D,)), k.layers.Dense(np.int64(C), activation="softmax")]
    ),
}


def outcome(k: Any, row: dict[str, Any], **more: Any) -> list[Any]:
    """Train with tinynet or Keras from the same weights, and return all there is to see."""
    model = k.Sequential(row["stack"](k))
    shapes = [w.shape for w in model.get_weights()]
    model.set_weights([np.linspace(-1, 1, int(np.prod(s))).reshape(s) for s in shapes])
    model.compile(row["optimizer"](k), row["loss"](k), **more)
    arguments = {"x": X, "y": Y, "shuffle": False, "verbose": 0, **row["arguments"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' about models without weights
        history = model.fit(**arguments).history
        loss = model.evaluate(arguments["x"], arguments["y"], verbose=0)
    return [history.get("loss", []), loss, *model.get_weights()]


@pytest.mark.parametrize("name", LEGAL)
def test_odd_but_legal(name: str) -> None:
    answers = []
    for backend in ("numpy", "numba"):
        config.set_backend(backend)
        answers.append(outcome(tinynet, LEGAL[name]))
    # Each of a few steps rounds by some eps of float32; the large learning rate makes 1e6 of it.
    for numpy, numba in zip(*answers, strict=True):
        np.testing.assert_allclose(numba, numpy, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_odd_but_legal_is_answered_as_keras_does() -> None:
    keras = pytest.importorskip("keras", reason="needs keras: pip install -e '.[test]'")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("its losses are those of TensorFlow's backend")
    wrong = {}
    for name, row in LEGAL.items():
        if name == "units of NumPy's type":  # which Keras refuses
            continue
        expected = outcome(keras, row, run_eagerly=True)
        found = outcome(tinynet, row)
        for a, b in zip(found, expected, strict=True):
            if not np.allclose(a, b, rtol=1e-4, atol=1e-5):
                wrong[name] = (a, b)
    assert not wrong


def test_predicting_nothing_gives_rows_of_nothing() -> None:
    model = net()
    for empty in (X[:0], np.empty((0, D), np.uint8)):
        out = model.predict(empty, verbose=0)
        assert (out.shape, out.dtype) == ((0, C), np.float32)
    images = Sequential([layers.Flatten(), layers.Dense(2)])
    assert images.predict(np.empty((0, 28, 28)), verbose=0).shape == (0, 2)


def test_a_model_without_weights_can_do_everything(tmp_path: Path) -> None:
    model = Sequential([layers.Flatten(), layers.Softmax()])
    model.compile("adam", SCCE, metrics=["accuracy"])
    x = X[:, :3, None]
    assert model.fit(x, Y, epochs=2, validation_split=0.2, verbose=0).epoch == [0, 1]
    assert len(model.evaluate(x, Y, verbose=0)) == 2
    assert model.predict(x, verbose=0).shape == (N, 3)
    assert model.count_params() == 0
    assert len(model.train_on_batch(x, Y)) == 2
    model.save(tmp_path / "none.keras")
    assert tinynet.models.load_model(tmp_path / "none.keras").predict(x, verbose=0).any()


def _read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda a: a.tolist(),
    "float64": lambda a: a.astype(np.float64),
    "float32": lambda a: a.astype(np.float32),
    "uint8": lambda a: a,
    "int8": lambda a: a.astype(np.int8),
    "big-endian": lambda a: a.astype(">f4"),
    "Fortran": lambda a: np.asfortranarray(a.astype(np.float32)),
    "strided": lambda a: np.repeat(a, 3, axis=0)[1::3],
    "backwards": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "unaligned": lambda a: np.frombuffer(b"\0" + a.astype("f4").tobytes(), "f4", offset=1).reshape(
        a.shape
    ),
    "read-only": _read_only,
    "a memory map": lambda a: a.view(np.memmap),
}


@BOTH
@pytest.mark.parametrize("sparsely", [False, True], ids=["dense", "sparse"])
def test_one_answer_for_every_form(backend: str, sparsely: bool) -> None:
    config.set_backend(backend)
    pixels = RNG.integers(0, 128, (60, 40), np.uint8)
    if sparsely:
        pixels[RNG.random(pixels.shape) < 0.85] = 0
    labels = (np.arange(60) % C).astype(np.uint8)
    answers = {}
    for name, form in FORMS.items():
        x, y, weights = form(pixels), form(labels), form(labels)
        before = [np.array(a, copy=True) for a in (x, y, weights)]
        model = net(width=40)
        history = model.fit(x, y, sample_weight=weights, epochs=2, batch_size=16, verbose=0)
        figures = [*history.history["loss"], model.evaluate(x, y, verbose=0)]
        parts = [*model.get_weights(), np.array(figures), model.predict(x, verbose=0)]
        answers[name] = b"".join(part.tobytes() for part in parts)
        for a, b in zip((x, y, weights), before, strict=True):
            np.testing.assert_array_equal(np.asarray(a), b)
    assert len(set(answers.values())) == 1  # to the bit


# ------------------------------------------------------------ divergence


def linear(rate: float = 1e38) -> Sequential:
    tinynet.random.set_seed(5)
    model = Sequential([layers.Input((D,)), layers.Dense(C)])
    model.compile(optimizers.SGD(rate), "mse", metrics=["mae"])
    return model


@BOTH
def test_divergence_stops_and_goes_back(backend: str) -> None:
    config.set_backend(backend)
    model = linear(0.1)
    seen: list[list[bytes]] = []

    class Grow(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append([w.tobytes() for w in self.model.get_weights()])

        def on_train_batch_begin(self, batch, logs=None):
            if (len(seen), batch) == (3, 1):
                self.model.layers[0].kernel.assign(np.full((D, C), np.float32(1e38)))

    with pytest.raises(FloatingPointError) as caught:
        model.fit(X, HOT, epochs=9, batch_size=7, verbose=0, callbacks=[Grow()])
    assert_says(caught.value, r"epoch 3, batch 2, at learning rate 0\.1;.*before epoch 3")
    assert [w.tobytes() for w in model.get_weights()] == seen[2]
    assert int(model.optimizer.iterations) == 6
    assert model.history.epoch == [0, 1]
    assert len(model.history.history["loss"]) == 2
    assert np.isfinite(model.fit(X, HOT, epochs=2, verbose=0).history["loss"]).all()


@BOTH
def test_weights_that_had_diverged_before_the_epoch_are_not_gone_back_to(backend: str) -> None:
    config.set_backend(backend)
    model = linear(1e38)
    first = [w.tobytes() for w in model.get_weights()]
    with pytest.raises(FloatingPointError) as caught:
        model.fit(X, HOT, epochs=9, batch_size=N, verbose=0)
    assert_says(caught.value, r"epoch 2, batch 1, at learning rate 1e\+38;.*before epoch 1\b")
    assert [w.tobytes() for w in model.get_weights()] == first
    assert int(model.optimizer.iterations) == 0


def as_generator(x: Any, y: Any) -> dict[str, Any]:
    return {"x": iter([(x, y)]), "steps_per_epoch": 1}


@BOTH
@pytest.mark.parametrize("rate", [1e38, 1e25])
@pytest.mark.parametrize("form", [lambda x, y: {"x": x, "y": y, "batch_size": N}, as_generator])
def test_divergence_in_the_last_step_is_an_error(backend: str, rate: float, form: Any) -> None:
    """No later step sees it: the loss with the new weights is computed once more."""
    config.set_backend(backend)
    for model, y in ((linear(rate), HOT), (net(), Y)):
        model.optimizer.learning_rate = rate
        first = [w.tobytes() for w in model.get_weights()]
        saved: list[int] = []
        watch = callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs, to=saved: to.append(epoch)
        )
        with pytest.raises(FloatingPointError) as caught:
            model.fit(**form(X, y), verbose=0, callbacks=[watch])
        assert_says(caught.value, r"after the last batch of epoch 1, .*before epoch 1\b")
        assert [w.tobytes() for w in model.get_weights()] == first
        assert not saved


class Scaled(layers.Layer):
    """Its outputs are half as large in training."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x * 0.5 if training else x


@pytest.mark.each_value
@BOTH
@pytest.mark.parametrize(
    ("layer", "differs"),
    [
        (lambda: layers.Dense(C), False),
        (lambda: layers.LayerNormalization(), False),
        (lambda: layers.Lambda(lambda x: 2 * x), False),
        (lambda: Sequential([layers.Input((5,)), layers.Activation("tanh")]), False),
        (lambda: Scaled(), True),
        (lambda: Sequential([layers.Input((5,)), Scaled()]), True),
        (lambda: layers.Lambda(lambda x, training: x * 0.5 if training else x), True),
        (lambda: layers.Dropout(0.5), True),
        (lambda: layers.GaussianNoise(0.5), True),
        (lambda: layers.BatchNormalization(), True),
    ],
)
def test_loss_after_the_last_step_is_that_of_an_evaluation(
    backend: str, layer: Any, differs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training program computes it, without a step, unless it computes something else."""
    config.set_backend(backend)
    model = Sequential([layers.Input((D,)), layers.Dense(5), layer(), layers.Dense(C, "softmax")])
    model.compile("adam", SCCE)
    found = []
    own = model._loss_of
    monkeypatch.setattr(model, "_loss_of", lambda batch: found.append(own(batch)) or found[-1])
    model.fit(X, Y, batch_size=N, epochs=2, shuffle=False, verbose=0)
    assert {kind for kind, *_ in model._programs} == {"train", *(["test"] * differs)}
    assert int(model.optimizer.iterations) == 2
    assert found == pytest.approx([model.evaluate(X, Y, batch_size=N, verbose=0)], rel=1e-6)


def test_divergence_before_a_callback_stops_is_an_error() -> None:
    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = True

    with pytest.raises(FloatingPointError, match="after the last batch of epoch 1"):
        linear(1e38).fit(X, HOT, epochs=9, batch_size=N, verbose=0, callbacks=[Stop()])


def test_weights_that_are_not_finite_are_an_error_whatever_the_loss() -> None:
    class Spoil(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.layers[0].moving_variance.assign(np.full(D, np.inf))

    model = Sequential([layers.Input((D,)), layers.BatchNormalization(), layers.Dense(C)])
    model.compile("sgd", "mse")
    with pytest.raises(FloatingPointError, match="weights became infinite or NaN"):
        model.fit(X, HOT, batch_size=N, verbose=0, callbacks=[Spoil()])
    assert np.isfinite(model.layers[0].moving_variance.numpy()).all()


class BadLater(optimizers.schedules.LearningRateSchedule):
    """A schedule that goes wrong at its step 3."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, step: Any) -> Any:
        return self.value if step >= 3 else 0.01


@pytest.mark.each_value
@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.5, 1e39])
@pytest.mark.parametrize("kind", [optimizers.SGD, optimizers.Adam, optimizers.Nadam])
def test_learning_rate_of_a_schedule_is_checked_before_use(
    backend: str, value: float, kind: Any
) -> None:
    """The three steps before it are taken, many in a call, too."""
    config.set_backend(backend)
    found = []
    for batches in (3, 9):
        model = net()
        model.compile(kind(BadLater(value)), "sparse_categorical_crossentropy")
        x, y = X[: 2 * batches], Y[: 2 * batches]
        if batches == 3:
            model.fit(x, y, batch_size=2, shuffle=False, verbose=0)
        else:
            with pytest.raises(ValueError, match=r"from BadLater for step 3$"):
                model.fit(x, y, batch_size=2, shuffle=False, verbose=0)
        found.append([v.array.tobytes() for v in (*model.weights, *model.optimizer.variables)])
    assert found[0] == found[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 1e39])
def test_learning_rate_of_a_callback_is_checked_before_use(value: float) -> None:
    class Assign(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.optimizer._learning_rate.assign(value)

    for set_rate in (callbacks.LearningRateScheduler(lambda epoch: float(value)), Assign()):
        model = net()
        before = [w.tobytes() for w in model.get_weights()]
        with pytest.raises(ValueError, match=r"learning_rate must be .*Received: "):
            model.fit(X, Y, verbose=0, callbacks=[set_rate])
        assert [w.tobytes() for w in model.get_weights()] == before


def test_divergence_continues_on_request_as_in_keras() -> None:
    config.set_on_divergence("continue")
    model = linear()
    history = model.fit(X, HOT, epochs=3, validation_data=(X, HOT), verbose=0).history
    assert len(history["loss"]) == 3
    assert not np.isfinite(history["loss"][-1])
    assert not np.isfinite(history["val_loss"][-1])
    assert not np.isfinite(model.get_weights()[0]).any()


def test_terminate_on_nan_ends_it_as_in_keras(capsys: pytest.CaptureFixture[str]) -> None:
    model = linear()
    history = model.fit(
        X, HOT, epochs=5, batch_size=N, verbose=0, callbacks=[callbacks.TerminateOnNaN()]
    )
    assert history.epoch == [0, 1]
    assert not np.isfinite(history.history["loss"][-1])
    assert "Batch 0: Invalid loss, terminating training" in capsys.readouterr().out
    assert not np.isfinite(model.get_weights()[0]).any()  # the step was taken


def test_diverged_weights_answer_with_what_they_compute() -> None:
    model = linear(0.1)
    model.set_weights([np.full((D, C), np.nan), np.zeros(C)])
    assert np.isnan(model.predict(X, verbose=0)).all()
    assert np.isnan(model.evaluate(X, HOT, verbose=0)).all()
    assert np.isnan(model.test_on_batch(X, HOT)).all()
    with pytest.raises(FloatingPointError, match=r"loss became nan in epoch 1, batch 1"):
        model.fit(X, HOT, verbose=0)
    with pytest.raises(FloatingPointError, match=r"loss became nan, at learning rate 0\.1"):
        model.train_on_batch(X, HOT)


def test_validation_that_is_not_finite_does_not_stop() -> None:
    model = linear(0.1)
    huge = (np.full((3, D), np.float32(3e38)), HOT[:3])
    with pytest.warns(UserWarning, match="x must be scaled as in training"):
        history = model.fit(X, HOT, epochs=2, validation_data=huge, verbose=0)
    assert history.epoch == [0, 1]
    assert not np.isfinite(history.history["val_loss"]).any()


def test_a_batch_that_diverges_changes_nothing() -> None:
    model = Sequential([layers.Input((D,)), layers.BatchNormalization(), layers.Dense(C)])
    model.compile("adam", "mse")
    model.train_on_batch(X, HOT)
    before = frozen(model)
    with pytest.raises(FloatingPointError, match="before this batch"):
        model.train_on_batch(np.float32(3e38) * (X - 0.5), HOT)
    assert frozen(model) == before


# ------------------------------------------------------------ what fails changes nothing


@pytest.mark.parametrize(
    "weights",
    [
        "", None, 3, [], [1], [np.zeros((D, 5))] * 4, [np.zeros(1)] * 4, ["a"] * 4,
        [np.zeros((D, 5)), np.zeros(5), np.zeros((5, C)), np.zeros(C) * 1j],
        [np.zeros((D, 5)), np.zeros(5), np.zeros((5, C)), [[1], [2, 3]]],
        [np.zeros((D, 5)), np.zeros(5), np.zeros((5, C)), np.zeros(C + 1)],
    ],
    ids=repr,
)  # fmt: skip
def test_set_weights_sets_all_or_nothing(weights: Any) -> None:
    model = net()
    model.fit(X, Y, verbose=0)
    before = frozen(model)
    with pytest.raises((ValueError, TypeError)) as caught:
        model.set_weights(weights)
    assert_says(caught.value, "Received: ")
    assert frozen(model) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": "adamm"}, {"optimizer": None}, {"optimizer": 0.1},
        {"loss": "msee"}, {"metrics": ["x"]}, {"metrics": [None]}, {"metrics": 3},
        {"weighted_metrics": ["x"]}, {"loss_weights": "a"}, {"loss_weights": [1.0, 2.0]},
    ],
    ids=repr,
)  # fmt: skip
def test_compile_does_all_or_nothing(wrong: dict[str, Any]) -> None:
    model, twin = net(metrics=["accuracy"]), net(metrics=["accuracy"])
    model.fit(X, Y, verbose=0)
    twin.fit(X, Y, verbose=0)
    before = frozen(model)
    with pytest.raises((ValueError, TypeError), match="Received"):
        model.compile(**{"optimizer": "adam", "loss": "mse", **wrong})
    assert frozen(model) == before
    again = [m.fit(X, Y, verbose=0).history for m in (model, twin)]
    assert again[0] == again[1]


def test_load_weights_loads_all_or_nothing(tmp_path: Path) -> None:
    model = net()
    model.fit(X, Y, verbose=0)
    other = net(width=7)
    other.save(tmp_path / "other.tinynet")
    other.save(tmp_path / "other.keras")
    (tmp_path / "torn.tinynet").write_bytes((tmp_path / "other.tinynet").read_bytes()[:-40])
    before = frozen(model)
    for name in ("other.tinynet", "other.keras", "torn.tinynet", "missing.tinynet"):
        with pytest.raises((ValueError, OSError)):
            model.load_weights(tmp_path / name)
        assert frozen(model) == before


# ------------------------------------------------------------ the same seed, the same bits

PROGRAM = """
import hashlib, sys
import numpy as np
import tinynet
from tinynet import layers

np.random.seed(int(sys.argv[1]))  # which must not matter
x = np.zeros((300, 60), np.float32)
x[:, ::7] = (np.arange(300)[:, None] * np.arange(9) % 11) / 10
y = np.arange(300) % 3
for backend in ("numpy", "numba"):
    tinynet.config.set_backend(backend)
    for dense in (0, 1):
        tinynet.random.set_seed(7)
        model = tinynet.Sequential([
            layers.Dense(8, activation="relu", kernel_regularizer="l2"),
            layers.Dropout(0.3),
            layers.BatchNormalization(),
            layers.Dense(3, activation="softmax"),
        ])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x + dense, y, epochs=3, validation_split=0.2, verbose=0).history
        bits = [w.tobytes() for w in model.get_weights()]
        bits += [v.numpy().tobytes() for v in model.optimizer.variables]
        bits += [repr(history).encode(), model.predict(x, verbose=0).tobytes()]
        print(backend, dense, hashlib.sha256(b"".join(bits)).hexdigest())
"""


def child(program: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=HUNG,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_in_every_process() -> None:
    a = child(PROGRAM, "1", PYTHONHASHSEED="0")
    b = child(PROGRAM, "2", PYTHONHASHSEED="12345", OMP_NUM_THREADS="2")
    assert a == b
    assert len(set(a.splitlines())) == 4


def test_numpys_global_random_state_is_never_in_the_source() -> None:
    functions = r"seed|rand|randn|randint|random_sample|shuffle|permutation|choice|normal|uniform"
    used = re.compile(rf"np\.random\.(?:{functions}|get_state|set_state|RandomState)\b")
    found = {
        f"{path.name}: {match[0]}"
        for path in (ROOT / "tinynet").rglob("*.py")
        for match in used.finditer(path.read_text(encoding="utf-8"))
    }
    # The one function whose name promises it.
    assert found <= {"utils.py: np.random.seed"}


@pytest.mark.slow
def test_resume_in_a_new_process_is_resume(tmp_path: Path) -> None:
    program = """
import sys
import numpy as np
import tinynet
from tinynet import callbacks, layers
folder, stop = sys.argv[1], int(sys.argv[2])
tinynet.random.set_seed(7)
model = tinynet.Sequential([
    layers.Input((4,)), layers.Dense(5, activation="relu"), layers.Dropout(0.5),
    layers.Dense(3, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
x = np.linspace(0, 1, 84, dtype=np.float32).reshape(21, 4)
def interrupt(epoch, logs):
    if epoch == stop:
        raise KeyboardInterrupt
backup = callbacks.BackupAndRestore(folder, delete_checkpoint=False)
try:
    model.fit(x, np.arange(21) % 3, epochs=6, batch_size=4, validation_split=0.2, verbose=0,
              callbacks=[backup, callbacks.LambdaCallback(on_epoch_end=interrupt)])
except KeyboardInterrupt:
    pass
else:
    print(model.history.epoch, model.history.history)
    print([w.tobytes() for w in (*model.get_weights(), *(v.numpy() for v in
          model.optimizer.variables))], model._random.bit_generator.state)
"""
    whole = child(program, str(tmp_path / "whole"), "-1")
    parts = [child(program, str(tmp_path / "parts"), stop) for stop in ("1", "3", "-1")]
    assert parts == ["", "", whole]


# ------------------------------------------------------------ Ctrl-C


@pytest.fixture
def default_interrupt() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


class Press(callbacks.Callback):
    """Press Ctrl-C in the middle of a training step."""

    def __init__(self, epoch: int, batch: int) -> None:
        super().__init__()
        self.when, self.now = (epoch, batch), (-1, -1)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.now = (self.epoch, batch)


class Fragile(layers.Layer):
    """Pass on what comes; the signal arrives halfway through the way back."""

    press: Press

    def forward(self, x, work, training=False):
        return x

    def backward(self, d_y, work, need_d_x=True):
        if self.press.now == self.press.when:
            signal.raise_signal(signal.SIGINT)
        return d_y


@BOTH
@pytest.mark.parametrize("when", [(0, 0), (1, 1), (2, 2)])
def test_steps_are_whole_under_an_interrupt(
    backend: str, when: tuple[int, int], default_interrupt: None
) -> None:
    config.set_backend(backend)
    press, fragile = Press(*when), Fragile()
    fragile.press = press

    def make() -> Sequential:
        tinynet.random.set_seed(5)
        model = Sequential(
            [layers.Dense(5), fragile, layers.Dense(C, activation="softmax")],
        )
        model.compile("adam", SCCE)
        return model

    model = make()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=5, batch_size=7, verbose=0, callbacks=[press])
    steps = 3 * when[0] + when[1] + 1
    assert int(model.optimizer.iterations) == steps
    assert model.history.epoch == list(range(when[0]))
    assert len(model.history.history.get("loss", [])) == when[0]

    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = int(self.model.optimizer.iterations) == steps

    press.when = (-1, -1)
    whole = make()
    whole.fit(X, Y, epochs=5, batch_size=7, verbose=0, callbacks=[Stop()])
    if when[1] == 2:  # the last batch of an epoch: it ends with its figures
        whole.history = None
    for a, b in zip(model.get_weights(), whole.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()
    assert len(model.fit(X, Y, epochs=2, verbose=0).epoch) == 2


def test_a_second_interrupt_does_not_wait(default_interrupt: None) -> None:
    def twice(epoch: int, logs: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it waited")

    model = net()
    stubborn = callbacks.LambdaCallback(on_epoch_begin=twice)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0, callbacks=[stubborn])
    model.fit(X, Y, verbose=0)


# ------------------------------------------------------------ output


class Ascii(io.TextIOWrapper):
    """A stream that holds plain ASCII only, and may be a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="ascii", errors="strict", write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("columns", ["1", "20", "80"])
def test_plain_ascii_and_narrow_terminals(
    terminal: bool, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    stream = Ascii(terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    model = net(metrics=["accuracy"])
    model.summary()
    model.summary(line_length=10, show_trainable=True)
    model.fit(X, Y, epochs=2, validation_split=0.2, callbacks=[callbacks.EarlyStopping(verbose=1)])
    model.evaluate(X, Y)
    model.predict(X, verbose=1)
    stream.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]  # it is a BytesIO


def test_it_never_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: Any) -> str:
        raise AssertionError("input() was called")

    monkeypatch.setattr(builtins, "input", refuse)
    monkeypatch.setattr(sys, "stdin", None)
    model = net()
    for _ in range(2):  # Keras asks before it overwrites
        model.save(tmp_path / "model.keras")
        model.save_weights(tmp_path / "model.weights.h5")
    asking = re.compile(r"(?<![\w.])(?<!def )input\(|stdin")
    sources = (ROOT / "tinynet").rglob("*.py")
    found = [p.name for p in sources if asking.search(p.read_text(encoding="utf-8"))]
    assert set(found) <= {"compiler.py", "object_code.py"}  # pipes of worker processes


NO_STREAM = """
import sys
import numpy as np
import tinynet
from tinynet import layers
model = tinynet.Sequential([layers.Dense(3, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(np.ones((6, 2)), np.arange(6) % 3, epochs=2)
model.summary()
"""


@pytest.mark.slow
def test_a_program_without_streams() -> None:
    before = "import sys; sys.stdout = sys.stderr = None\n"
    after = "sys.stdout = sys.__stdout__\nprint('done')"
    assert child(before + NO_STREAM + after) == "done\n"


@pytest.mark.slow
def test_a_closed_pipe_ends_a_program_as_it_does_any_other() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", NO_STREAM], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE,
        text=True, timeout=HUNG,
    )  # fmt: skip
    os.close(writing)
    assert done.returncode != 0
    assert done.stderr.rstrip().splitlines()[-1].startswith("BrokenPipeError")


# ------------------------------------------------------------ masked arrays

MASKED = np.ma.masked_less(np.float32([[0.2, 0.8], [0.6, 0.4]]), 0.3)
PLAIN = np.float32([[0.2, 0.8], [0.6, 0.4]])
MASKED_CALLS: dict[str, Callable[[Any], Any]] = {
    "layer": lambda a: layers.Dense(2)(a),
    "activation": lambda a: tinynet.activations.relu(a),
    "regularizer": lambda a: regularizers.L2()(a),
    "constraint": lambda a: constraints.NonNeg()(a),
    "to_categorical": lambda a: tinynet.utils.to_categorical(np.rint(a).astype(int)),
    "normalize": lambda a: tinynet.utils.normalize(a),
    "CompressedRows": lambda a: tinynet.sparse.CompressedRows(a, "float32"),
    "tf.constant": lambda a: tf.constant(a),
    "tf.convert_to_tensor": lambda a: tf.convert_to_tensor(a),
    "Variable.assign": lambda a: tinynet.Variable(PLAIN).assign(a),
    "Mean": lambda a: metrics.Mean().update_state(a),
    "Mean weights": lambda a: metrics.Mean().update_state(PLAIN, a),
    "Sum": lambda a: metrics.Sum().update_state(a),
    "explain.step": lambda a: tinynet.explain.step(net(width=2), a, [0, 1]),
    **{
        f"{kind.__name__} {name}": lambda a, kind=kind, name=name: kind()(
            **{"y_true": PLAIN, "y_pred": PLAIN, name: a}
        )
        for kind in (losses.MeanSquaredError, losses.BinaryCrossentropy, metrics.MeanSquaredError)
        for name in ("y_true", "y_pred")
    },
    "loss weights": lambda a: losses.MeanSquaredError()(PLAIN, PLAIN, a[:, 0]),
    "loss function": lambda a: losses.mean_squared_error(PLAIN, a),
    "metric weights": lambda a: metrics.BinaryAccuracy()(PLAIN > 0.5, PLAIN, a[:, 0]),
    "precision": lambda a: metrics.Precision()(PLAIN > 0.5, a),
    "precision weights": lambda a: metrics.Precision()(PLAIN > 0.5, PLAIN, a),
    "metric function": lambda a: metrics.binary_accuracy(PLAIN, a),
    "own metric": lambda a: metrics.MeanMetricWrapper(lambda y, p: p - y)(PLAIN, a),
    "set_weights": lambda a: built(2).set_weights([a, np.zeros(2)]),
    "fit on a generator": lambda a: net(width=2).fit(iter([(a, [0, 1])]), verbose=0),
    "predict": lambda a: net(width=2).predict(a, verbose=0),
    "model": lambda a: net(width=2)(a),
    "classifier": lambda a: TinyNetClassifier(max_iter=1).fit(a, [0, 1]),
    "classifier's predict": lambda a: TinyNetClassifier(max_iter=1).fit(PLAIN, [0, 1]).predict(a),
}


def built(width: int) -> layers.Dense:
    layer = layers.Dense(width)
    layer.build((None, width))
    return layer


@pytest.mark.filterwarnings("ignore:.*(still made progress|Maximum iterations)")
@pytest.mark.parametrize("name", MASKED_CALLS)
def test_masked_entries_are_refused(name: str) -> None:
    call = MASKED_CALLS[name]
    call(np.ma.array(PLAIN))  # without a masked entry, it is an array as any other
    with pytest.raises(ValueError, match=r"must not have masked entries.* Received: "):
        call(MASKED)
