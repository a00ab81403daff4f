"""Built-in callbacks match Keras on the same logs, and behave as documented.

The callbacks of Keras and tinynet receive the same logs, epoch by epoch, with a mock model: the
printed output, warnings, saved files, and changes of the learning rate and of `stop_training` must
be equal.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import math
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinynet
from tests import newer_keras, recorded
from tests.compare import EPS
from tests.models import bits, classifier
from tinynet import callbacks, layers, optimizers

NAN = math.nan
# Values so close to each other that min_delta and float32 rounding decide which is better.
LEVELS = [0.5, 0.4, 0.4000001, 0.40000001, 0.3, 0.39, 0.41, 0.6, NAN, math.inf, 0.0, -0.1]


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")
    import keras

    return keras


class StandIn:
    """Mock model with only the attributes that callbacks use."""

    def __init__(self, k: Any) -> None:
        self.optimizer = k.optimizers.Adam(0.1)
        accuracy = k.metrics.SparseCategoricalAccuracy("accuracy")
        self.metrics: list[Any] = [accuracy]
        if k is not tinynet:
            from keras.src.trainers.compile_utils import MetricsList

            self.metrics = [MetricsList([accuracy])]
        self.stop_training = False
        self.epoch = -1
        self.saved: list[tuple[str, str]] = []

    def get_weights(self) -> list[np.ndarray]:
        return [np.array(self.epoch)]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.epoch = int(weights[0])

    def save(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(("model", path))
        Path(path).write_text("")

    def save_weights(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(("weights", path))
        Path(path).write_text("")


def play(k: Any, name: str, arguments: dict[str, Any], runs: Any, batches: int = 0) -> Any:
    """Create a callback, simulate calls of `fit`, and return the recorded effects."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        callback = getattr(k.callbacks, name)(**arguments)
    trace, printed, warned = play_with(callback, k, runs, batches)
    return trace, printed, [*(str(w.message) for w in caught), *warned]


def play_with(callback: Any, k: Any, runs: Any, batches: int = 0) -> Any:
    """Call the hooks of a callback as `fit` would, and return the recorded effects."""
    trace: list[Any] = []
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # from Keras
        for epochs in runs:
            model = StandIn(k)
            callback.set_model(model)
            callback.on_train_begin({})
            for epoch, figures in enumerate(epochs):
                logs = dict(figures)
                model.epoch = epoch
                callback.on_epoch_begin(epoch, {})
                for batch in range(batches):
                    callback.on_train_batch_begin(batch, {})
                    callback.on_train_batch_end(batch, dict(figures))
                callback.on_epoch_end(epoch, logs)
                rate = float(model.optimizer.learning_rate)
                trace.append((repr(logs), rate, model.stop_training))
                if model.stop_training:
                    break
            callback.on_train_end(logs)
            trace.append((model.epoch, model.saved))
    return trace, printed.getvalue(), [str(w.message) for w in caught]


def loss_of(*values: float) -> list[dict[str, float]]:
    return [{"loss": v, "val_loss": v, "accuracy": -v, "val_accuracy": -v} for v in values]


PLATEAU = loss_of(0.5, 0.4, 0.4, 0.41, 0.39, 0.42, 0.43, 0.3, 0.31, 0.32)
CLOSE = loss_of(0.40000001, 0.4, 0.39999999, 0.4000001, 0.40000001)
NO_VALIDATION = [{"loss": 0.5}, {"loss": 0.4}, {"loss": 0.6}]

MONITORS = [
    {},
    {"monitor": "loss"},
    {"monitor": "accuracy"},
    {"monitor": "val_accuracy", "mode": "max"},
    {"monitor": "val_accuracy", "mode": "min"},
    {"monitor": "val_loss", "mode": "most"},
    {"min_delta": 0.05},
    {"min_delta": -0.05, "monitor": "val_accuracy"},
]
STOPPING = [
    {"patience": 0},
    {"patience": 1},
    {"patience": 3, "restore_best_weights": True, "verbose": 1},
    {"patience": 2, "baseline": 0.45, "verbose": True},
    {"patience": 3, "baseline": 0.1, "restore_best_weights": True, "verbose": 1},
    {"patience": 1, "start_from_epoch": 3, "restore_best_weights": True},
    {"patience": 50, "restore_best_weights": True, "verbose": 1},
]
REDUCING = [
    {"patience": 1, "verbose": 1},
    {"patience": 0, "factor": 0.5, "verbose": 1},
    {"patience": 1, "cooldown": 2, "factor": 0.3},
    {"patience": 1, "min_lr": 0.03, "verbose": 1},
    {"patience": 1, "factor": 0},
    {"patience": 2, "min_lr": 0.5},
]


def check(keras: Any, name: str, arguments: dict[str, Any], runs: Any, batches: int = 0) -> None:
    ours = play(tinynet, name, arguments, runs, batches)
    assert ours == play(keras, name, arguments, runs, batches)


@newer_keras
@pytest.mark.each_value
@pytest.mark.parametrize("monitor", MONITORS, ids=str)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(("EarlyStopping", options) for options in STOPPING),
        *(("ReduceLROnPlateau", options) for options in REDUCING),
    ],
    ids=str,
)
def test_monitoring_callbacks_match_keras(
    keras: Any, name: str, options: dict[str, Any], monitor: dict[str, Any]
) -> None:
    # All runs use the same callback, which resets its state at the beginning of a run.
    check(keras, name, {**options, **monitor}, [PLATEAU, PLATEAU[3:], CLOSE, NO_VALIDATION])


RUNS = st.lists(st.lists(st.sampled_from(LEVELS), min_size=1, max_size=8), min_size=1, max_size=2)
COMMON: dict[str, Any] = {
    "monitor": st.sampled_from(["loss", "val_accuracy"]),
    "mode": st.sampled_from(["auto", "min", "max"]),
    "min_delta": st.sampled_from([0, 1e-8, 1e-4, 0.01, 0.1, -0.1]),
    "patience": st.integers(0, 3),
    "verbose": st.integers(0, 1),
}
WATCHING: dict[str, dict[str, Any]] = {
    "EarlyStopping": {
        "baseline": st.sampled_from([None, 0.4, -0.4]),
        "restore_best_weights": st.booleans(),
        "start_from_epoch": st.integers(0, 3),
    },
    "ReduceLROnPlateau": {
        "factor": st.sampled_from([0.0, 0.1, 0.5, 0.99]),
        "cooldown": st.integers(0, 2),
        "min_lr": st.sampled_from([0, 0.01, 0.1]),
    },
}


@pytest.mark.wide
@pytest.mark.parametrize("name", WATCHING)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_monitoring_callbacks_match_keras(keras: Any, name: str, drawn: Any) -> None:
    arguments = drawn.draw(st.fixed_dictionaries({**COMMON, **WATCHING[name]}))
    runs = drawn.draw(RUNS)
    # Exclude runs that begin with NaN, which remains the best value in Keras.
    first = [run[arguments.get("start_from_epoch", 0) :][:1] for run in runs]
    assume(not any(map(math.isnan, itertools.chain(*first))))
    check(keras, name, arguments, [loss_of(*run) for run in runs])


CHECKPOINTS: list[dict[str, Any]] = [
    {"filepath": "net.keras"},
    {"filepath": "net.keras", "verbose": 1},
    {"filepath": "a/{epoch:02d}-{val_loss:.2f}.keras", "verbose": 1},
    {"filepath": "net.h5", "save_best_only": True, "verbose": 1},
    {"filepath": "{epoch}.weights.h5", "save_weights_only": True, "save_best_only": True},
    {"filepath": "{epoch}.keras", "save_best_only": True, "monitor": "accuracy", "verbose": 1},
    {"filepath": "net.keras", "save_best_only": True, "monitor": "accuracy", "mode": "min"},
    {"filepath": "b/n.h5", "save_best_only": True, "initial_value_threshold": 0.395, "verbose": 1},
    {"filepath": "c/{epoch}-{batch}-{loss}.keras", "save_freq": 2, "verbose": 1},
    {"filepath": "{epoch}.weights.h5", "save_freq": 7, "save_weights_only": True},
    {"filepath": "net.keras", "save_freq": 100},
    {"filepath": Path("d") / "net.keras"},
]


@newer_keras
@pytest.mark.parametrize("arguments", CHECKPOINTS, ids=str)
@pytest.mark.parametrize("validates", [True, False])
def test_checkpoints_match_keras(
    keras: Any, arguments: dict[str, Any], validates: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    if not validates and "val_loss" in str(arguments["filepath"]):
        # tinynet warns instead of raising an error as Keras does, because the error would abort
        # training with validation_freq=2.
        trace, _, warned = play(tinynet, "ModelCheckpoint", arguments, [NO_VALIDATION])
        assert trace[-1][1] == []
        assert all("not saved" in text and "contains 'val_loss'" in text for text in warned)
        return
    # The callback keeps `best` between runs.
    runs = [PLATEAU, PLATEAU[:3]] if validates else [NO_VALIDATION]
    if arguments.get("save_best_only") and not validates:
        # Keras saves the model even if the monitored value is missing.
        trace, printed, warned = play(tinynet, "ModelCheckpoint", arguments, runs)
        assert (trace[-1][1], printed) == ([], "")
        monitor = arguments.get("monitor", "val_loss")
        assert warned == [f"Can save best model only with {monitor} available."] * 3
        return
    check(keras, "ModelCheckpoint", arguments, runs, batches=3)


def test_batch_checkpoint_tracks_first_epoch_best(tmp_path: Path) -> None:
    best = callbacks.ModelCheckpoint(
        tmp_path / "{batch}.keras", "loss", save_best_only=True, save_freq=1
    )
    model = StandIn(tinynet)
    best.set_model(model)
    best.on_epoch_begin(0)
    for batch, loss in enumerate([0.5, 0.6, 0.4]):
        best.on_train_batch_end(batch, {"loss": loss})
    assert [Path(path).name for _, path in model.saved] == ["1.keras", "3.keras"]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_nan_and_missing_values_never_best(mode: str, tmp_path: Path) -> None:
    sign = 1 if mode == "max" else -1
    scores = [NAN, 0.5, None, 0.6, NAN, 0.7, 0.8, None]
    run = [{} if v is None else {"score": sign * v} for v in scores]
    options: Any = {"monitor": "score", "mode": mode}
    stop = callbacks.EarlyStopping(**options, patience=3, restore_best_weights=True)
    pattern = tmp_path / "{epoch}.keras"
    for callback in (
        stop,
        callbacks.ReduceLROnPlateau(**options, patience=3),
        callbacks.ModelCheckpoint(pattern, **options, save_best_only=True),
    ):
        trace, _, warned = play_with(callback, tinynet, [run])
        assert callback.best == sign * 0.8
        assert len(warned) == 2
        assert not any(stopped for *_, stopped in trace[:-1])
        assert all(rate == trace[0][1] for _, rate, _ in trace[:-1])
    assert stop.best_epoch == 6
    assert sorted(os.listdir(tmp_path)) == ["2.keras", "4.keras", "6.keras", "7.keras"]


@pytest.mark.parametrize("name", ["EarlyStopping", "ReduceLROnPlateau"])
def test_nan_counts_as_no_improvement(name: str) -> None:
    callback = getattr(callbacks, name)(monitor="loss", patience=2)
    trace = play_with(callback, tinynet, [loss_of(0.5, NAN, NAN, 0.4)])[0]
    if name == "EarlyStopping":
        assert [stopped for *_, stopped in trace[:-1]] == [False, False, True]
    else:
        assert [rate for _, rate, _ in trace[:-1]] == pytest.approx([0.1, 0.1, 0.01, 0.01])
    assert callback.best == (0.5 if name == "EarlyStopping" else 0.4)


@pytest.mark.parametrize("value", [np.array([0.1, 0.2]), "good", [0.5]], ids=str)
def test_monitored_value_must_be_number(value: Any) -> None:
    for name in ("EarlyStopping", "ReduceLROnPlateau"):
        callback = getattr(callbacks, name)(monitor="score", mode="min", patience=9)
        warned = play_with(callback, tinynet, [[{"score": 0.5}, {"score": value}]])[2]
        assert [f"{name} requires a number" in text for text in warned] == [True]
        assert callback.best == 0.5


@pytest.mark.parametrize(
    "schedule",
    [
        lambda epoch, rate: rate / 2,
        lambda epoch: [0.1, 0.05, 0.025][epoch],
        lambda epoch, rate: np.float32(0.3),
        lambda epoch: np.float64(0.1) * np.exp(-epoch),
    ],
    ids=["epoch and rate", "epoch", "float32", "float64"],
)
def test_schedules_match_keras(keras: Any, schedule: Any) -> None:
    check(keras, "LearningRateScheduler", {"schedule": schedule, "verbose": 1}, [NO_VALIDATION])


def test_failing_schedule_is_called_once() -> None:
    def schedule(epoch: int, rate: float = 0.5) -> float:
        return rate + "a"  # type: ignore[operator]

    with pytest.raises(TypeError, match="unsupported operand"):
        play(tinynet, "LearningRateScheduler", {"schedule": schedule}, [NO_VALIDATION])


@pytest.mark.parametrize("wrong", [1, "0.1", None, np.ones(1)], ids=repr)
def test_schedule_must_return_float(wrong: Any) -> None:
    arguments = {"schedule": lambda epoch: wrong}
    with pytest.raises(ValueError, match=r"must return a float\. Received: .* epoch 0"):
        play(tinynet, "LearningRateScheduler", arguments, [NO_VALIDATION])


@pytest.mark.parametrize("options", [{}, {"separator": ";"}, {"append": True}], ids=str)
@pytest.mark.parametrize(
    "runs",
    [
        [PLATEAU],
        [NO_VALIDATION],
        [NO_VALIDATION, PLATEAU],
        [[{"loss": 0.5}, {"loss": 0.4, "val_loss": 0.6}]],
        [[{"loss": 0.5, "val_loss": 0.5}, {"loss": NAN}]],
        [[{"loss": 1e-30, "note": "a,b", "list": [1, 2.5], "one": np.float64(0.1)}]],
    ],
    ids=["plain", "no validation", "two runs", "late", "missing", "odd"],
)
def test_csv_files_match_keras(
    keras: Any, options: dict[str, Any], runs: Any, tmp_path: Path
) -> None:
    if "append" in options and len(runs) > 1:
        # Keras may append columns that do not match the header of the first run.
        runs = [PLATEAU, PLATEAU]
    files = [tmp_path / "ours.csv", tmp_path / "theirs.csv"]
    for k, file in zip([tinynet, keras], files, strict=True):
        play(k, "CSVLogger", {"filename": file, **options}, runs)
    ours, theirs = (file.read_bytes() for file in files)
    assert ours == theirs


def table(path: Path, separator: str = ",") -> list[list[str]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        return [row for row in csv.reader(file, delimiter=separator) if row]


LATE: Any = [{}, {"loss": 0.5}, {"loss": 0.4, "vector": np.array([1.0, 2.0])}]
LATE_ROWS = [["0", "NA", "NA"], ["1", "0.5", "NA"], ["2", "0.4", '"[1.0, 2.0]"']]
EDITED_ROWS = [["epoch", "loss"], ["0", "0.25"], ["0", "0.5"], ["1", "0.125"]]
#: Existing file, logs, options, and the resulting table.
TABLES: dict[str, tuple[str | None, Any, Any, list[list[str]]]] = {
    "metric missing at first": (None, LATE, {}, [["epoch", "loss", "vector"], *LATE_ROWS]),
    "the same, appended": (None, LATE, {"append": True}, [["epoch", "loss", "vector"], *LATE_ROWS]),
    "file with only a header": (
        "epoch,loss\n",
        [{"accuracy": 0.5}] * 2,
        {"append": True},
        [["epoch", "loss", "accuracy"], ["0", "NA", "0.5"], ["1", "NA", "0.5"]],
    ),
    # Editors drop the final newline, or add blank lines or a byte order mark.
    **{
        repr(found): (found, [{"loss": 0.5}, {"loss": 0.125}], {"append": True}, EDITED_ROWS)
        for found in (
            "epoch,loss\n0,0.25",
            "\ufeffepoch,loss\n0,0.25\n",
            "\n\r\nepoch,loss\n\n0,0.25\n",
        )
    },
}


@pytest.mark.parametrize("name", TABLES)
def test_csv_logger_formats_values(name: str, tmp_path: Path) -> None:
    found, run, options, expected = TABLES[name]
    path = tmp_path / "log.csv"
    if found is not None:
        path.write_text(found, encoding="utf-8")
    play(tinynet, "CSVLogger", {"filename": path, **options}, [run])
    assert table(path) == expected


@pytest.mark.parametrize("separator", [",", ";"])
def test_csv_append_aligns_columns(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    runs: Any = [
        [{"loss": 0.5}, {"loss": 0.4}],
        [{"loss": 0.3, "accuracy": 0.6, "note": f'a{separator}"b"'}],
        [{"accuracy": 0.7}],
        [{"loss": 0.1, "val_loss": 0.2}, {"loss": 0.1, "zeal": 1, "beta": None}],
    ]
    for run in runs:
        options = {"filename": path, "separator": separator, "append": True}
        play(tinynet, "CSVLogger", options, [run])
    assert table(path, separator) == [
        ["epoch", "loss", "val_loss", "accuracy", "note", "beta", "zeal"],
        ["0", "0.5", *["NA"] * 5],
        ["1", "0.4", *["NA"] * 5],
        ["0", "0.3", "NA", "0.6", f'a{separator}"b"', "NA", "NA"],
        ["0", "NA", "NA", "0.7", *["NA"] * 3],
        ["0", "0.1", "0.2", *["NA"] * 4],
        ["1", "0.1", "NA", "NA", "NA", "", "1"],
    ]


@pytest.mark.parametrize(
    "contents",
    [
        *(b"a,b\n1,2\n", b"epoch;loss\n0;0.5\n", b"some notes\n", b"no end of line"),
        b'epoch,note\n0,"cut off',
        *(b"epoch,loss\n0,\xff\n", b"\xef", b"\xef\xbb"),
        b"epoch,loss\n0," + b"1" * 200_000,
    ],
)
def test_csv_append_requires_log_file(contents: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(contents)
    model = make()
    with pytest.raises(ValueError, match=r"log\.csv must have been written by CSVLogger"):
        fit(model, callbacks.CSVLogger(path, append=True))
    assert (int(model.optimizer.iterations), path.read_bytes()) == (0, contents)


SCHEDULE = tinynet.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9)


class Score(callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["score"] = 1.0 + epoch


def checkpoint(path: str, **options: Any) -> Any:
    return lambda folder: [callbacks.ModelCheckpoint(folder / path, **options)]


best: dict[str, Any] = {"save_best_only": True, "mode": "max"}
#: Invalid callbacks, the error and a part of its message; the error is raised before training.
#: Cases whose names begin with "validated" use validation data.
EARLY: dict[str, tuple[Any, type, str]] = {
    "unknown key": (checkpoint("{val_acc:.2f}.keras"), KeyError, "val_acc"),
    "no validation": (checkpoint("{val_loss}.keras"), KeyError, "val_loss"),
    "batch without save_freq": (checkpoint("{batch}.keras"), KeyError, "batch"),
    "validated by batch": (checkpoint("{val_loss}.keras", save_freq=2), KeyError, "val_loss"),
    "spec": (checkpoint("{loss:02d}.keras"), ValueError, "format string"),
    "braces": (checkpoint("{loss.keras"), ValueError, "format string"),
    "position": (checkpoint("{}.keras"), ValueError, "format string"),
    "attribute": (checkpoint("{loss.x}.keras"), ValueError, "format string"),
    "learning rate not in the logs yet": (
        lambda folder: [
            callbacks.ModelCheckpoint(folder / "{learning_rate}.keras"),
            callbacks.LearningRateScheduler(lambda epoch, rate: rate),
        ],
        KeyError,
        "learning_rate",
    ),
    "never the best": (checkpoint("net.keras", **best), ValueError, "otherwise no model is saved"),
    "validated, but never the best": (
        checkpoint("net.keras", monitor="val_accuracy", save_freq=1, **best),
        ValueError,
        "otherwise no model is saved",
    ),
    "folder is a file, with a custom callback": (
        lambda folder: [Score(), callbacks.ModelCheckpoint(folder / "file/{score}/net.keras")],
        NotADirectoryError,
        "net.keras",
    ),
    "folder is a file": (checkpoint("file/net.keras"), NotADirectoryError, "net.keras"),
    "file is a folder": (checkpoint("folder.keras"), IsADirectoryError, "folder.keras"),
    "weights": (
        checkpoint("file/net.weights.h5", save_weights_only=True), NotADirectoryError, "net"
    ),
    "backup": (
        lambda folder: [callbacks.BackupAndRestore(folder / "file")], NotADirectoryError, "latest"
    ),
    "validated, stopping": (
        lambda _: [callbacks.EarlyStopping("val_acc", mode="max")], ValueError, "'val_accuracy'"
    ),
    "stopping without a mode": (lambda _: [callbacks.EarlyStopping("acc")], ValueError, "mode="),
    "reducing": (
        lambda _: [callbacks.ReduceLROnPlateau("los", mode="min")], ValueError, "'loss'"
    ),
    "reducing without a mode": (lambda _: [callbacks.ReduceLROnPlateau("x")], ValueError, "mode="),
    "log": (lambda folder: [callbacks.CSVLogger(folder / "no" / "a.csv")], OSError, "no/a.csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", EARLY)
def test_callback_errors_precede_training(name: str, tmp_path: Path) -> None:
    make_callbacks, error, words = EARLY[name]
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.keras").mkdir()
    model = make()
    with pytest.raises(error, match=words):
        fit(model, *make_callbacks(tmp_path), validation_split=0.25 * ("validated" in name))
    assert int(model.optimizer.iterations) == 0
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.keras"]


@pytest.mark.parametrize(
    "callback",
    [
        callbacks.ReduceLROnPlateau("loss", patience=30),
        callbacks.LearningRateScheduler(lambda epoch, rate: rate),
    ],
)
def test_schedule_conflicts_with_rate_callbacks(callback: Any) -> None:
    model = classifier(optimizer=optimizers.SGD(SCHEDULE))
    with pytest.raises(TypeError, match=r"not a schedule.*Received: learning_rate="):
        fit(model, callback)
    assert int(model.optimizer.iterations) == 0


def test_early_checks_accept_valid_callbacks(tmp_path: Path) -> None:
    class Late(callbacks.EarlyStopping):
        """Subclasses are not checked early, because they may monitor other values."""

    listed = [
        callbacks.LearningRateScheduler(lambda epoch, rate: rate),
        callbacks.ModelCheckpoint(tmp_path / "a/{epoch:02d}-{loss:.2f}-{learning_rate}.keras"),
        callbacks.ModelCheckpoint(tmp_path / "b-{epoch}-{batch}-{accuracy:.1f}.h5", save_freq=4),
        callbacks.ModelCheckpoint(tmp_path / "c-{val_loss:.3e}.tinynet"),
        callbacks.EarlyStopping("learning_rate", mode="min", patience=9),
        Score(),
        callbacks.ModelCheckpoint(tmp_path / "d-{score:.1f}.keras", monitor="score", **best),
        callbacks.EarlyStopping("score", mode="max"),
        Late("later", mode="max"),
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(make(), *listed, epochs=2, validation_split=0.25, validation_freq=2)
    names = sorted(path.name.partition("-")[0] for path in tmp_path.rglob("*.*"))
    assert names == ["01", "02", "b", "c", "d", "d"]
    messages = [str(w.message) for w in caught]
    assert sum("contains 'val_loss'" in text for text in messages) == 1
    assert sum("metric `later` which is not available" in text for text in messages) == 2


def test_early_stopping_without_validation_warns() -> None:
    with pytest.warns(UserWarning, match="val_loss") as caught:
        assert len(fit(make(), callbacks.EarlyStopping()).epoch) == 5
    assert len(caught) == 5


def test_history_records_values_from_callbacks() -> None:
    values: Any = [None, "text", True, np.array([1.0, 2.0]), [1, "a"], {"a": 1}, np.float32(2)]

    class Odd(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["odd"] = values[epoch]

    for verbose in (0, 1, 2):
        history = fit(make(), Odd(), epochs=len(values), verbose=verbose)
        assert all(a is b for a, b in zip(history.history["odd"], values, strict=True))
        assert "text" in history._repr_html_()


@newer_keras
@pytest.mark.parametrize("loss", [0.5, NAN, math.inf, -math.inf], ids=str)
def test_terminate_on_nan_matches_keras(keras: Any, loss: float) -> None:
    runs = [[{"loss": 0.5}, {"loss": loss}, {}, {"loss": 0.5}]]
    check(keras, "TerminateOnNaN", {}, runs, batches=2)
    for k in (tinynet, keras):
        with contextlib.nullcontext() if math.isfinite(loss) else pytest.raises(RuntimeError):
            play(k, "TerminateOnNaN", {"raise_error": True}, runs, batches=2)


FIT_HOOKS = [
    *("on_train_begin", "on_epoch_begin", "on_train_batch_begin"),
    *("on_train_batch_end", "on_epoch_end", "on_train_end"),
]


def noting(calls: list[Any], names: list[str]) -> dict[str, Any]:
    """Return hook functions that record their arguments."""

    def function(name: str) -> Any:
        return lambda *args, **logs: calls.append((name, *args, *logs.values()))

    return {name: function(name) for name in names}


def test_lambda_callback_matches_keras(keras: Any) -> None:
    ours: list[Any] = []
    theirs: list[Any] = []
    for k, calls in ((tinynet, ours), (keras, theirs)):
        play(k, "LambdaCallback", noting(calls, FIT_HOOKS), [NO_VALIDATION], batches=2)
    assert ours == theirs
    assert {name for name, *_ in ours} == set(FIT_HOOKS)


@pytest.mark.parametrize(
    ("name", "monitor"), [("EarlyStopping", "val_mystery"), ("ReduceLROnPlateau", "mystery")]
)
def test_auto_mode_requires_known_metric(keras: Any, name: str, monitor: str) -> None:
    for k in (tinynet, keras):
        with pytest.raises(ValueError, match=f"{monitor}.*mode="):
            play(k, name, {"monitor": monitor}, [[{monitor: 0.5}]])


# ------------------------------------------------------------ training

X = np.random.default_rng(0).random((32, 4), np.float32)
Y = np.arange(32) % 3


def make(rate: float = 0.05, seed: int = 7, **options: Any) -> Any:
    tinynet.random.set_seed(seed)
    adam = optimizers.Adam(rate, **options)
    return classifier(layers.Dropout(0.3), seed=None, optimizer=adam, metrics=["accuracy"])


def fit(model: Any, *listed: Any, **options: Any) -> Any:
    defaults = {"x": X, "y": Y, "epochs": 5, "batch_size": 8, "verbose": 0}
    return model.fit(**{**defaults, **options}, callbacks=[*listed])


def trained(*listed: Any, **options: Any) -> Any:
    model = make()
    fit(model, *listed, **options)
    return model


def everything(model: Any) -> list[Any]:
    """Return the complete state after training, and the weights after one more epoch."""
    figures = repr(model.history.history), model.history.epoch
    now = [*bits(model), *figures, model.predict(X).tobytes()]
    model.fit(X, Y, verbose=0)
    return [*now, bits(model)]


def interrupted(hook: str, number: int, *listed: Any, model: Any = None, **options: Any) -> Any:
    """Return a model whose training was interrupted in a hook, as by Ctrl-C.

    For `on_train_end`, the interrupting callback runs before the other callbacks; for other hooks,
    after them.
    """
    calls = itertools.count()

    def interrupt(*_: Any) -> None:
        if next(calls) == number:
            raise KeyboardInterrupt

    model = model or make()
    each = [*listed, callbacks.LambdaCallback(**{hook: interrupt})]
    with pytest.raises(KeyboardInterrupt):
        fit(model, *(each[::-1] if hook == "on_train_end" else each), **options)
    return model


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_train_batch_end"])
@pytest.mark.parametrize("number", [1, 3])
def test_resumed_training_equals_uninterrupted(hook: str, number: int, tmp_path: Path) -> None:
    decay = callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)
    folder = tmp_path / "backup"
    times = number * 4 if "batch" in hook else number
    interrupted(hook, times, decay, callbacks.BackupAndRestore(folder))
    assert os.listdir(folder) == ["latest.tinynet"]
    resumed = make(seed=8)  # restoring the backup must replace this state
    fit(resumed, decay, callbacks.BackupAndRestore(folder))
    assert everything(resumed) == everything(trained(decay))
    assert not folder.exists()


def test_backup_contains_later_reduced_rate(tmp_path: Path) -> None:
    reduce = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=10)
    model = interrupted("on_epoch_begin", 3, callbacks.BackupAndRestore(tmp_path), reduce)
    resumed = trained(callbacks.BackupAndRestore(tmp_path), epochs=3)
    assert float(resumed.optimizer.learning_rate) == float(model.optimizer.learning_rate) < 0.05
    assert len(resumed.history.history["learning_rate"]) == 3


@pytest.mark.parametrize(("batches", "first"), [(4, 3), (5, 6)])
def test_batch_backup_restarts_the_epoch(batches: int, first: int, tmp_path: Path) -> None:
    interrupted("on_train_batch_end", batches, callbacks.BackupAndRestore(tmp_path, save_freq=3))
    resumed = make()
    steps: list[int] = []
    count = callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: steps.append(int(resumed.optimizer.iterations))
    )
    history = fit(resumed, callbacks.BackupAndRestore(tmp_path), count, epochs=2)
    again = 4 * (2 - first // 4)
    assert steps == list(range(first, first + again))
    assert history.epoch == [0, 1]


class Scores(callbacks.Callback):
    """Callback that adds given values to the logs."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["score"] = [NAN, 0.9, 0.5, 0.6, 0.7, 0.8, 0.85][epoch]


def watching(folder: Path) -> list[Any]:
    """Create stateful callbacks that all take effect within six epochs."""
    score = {"monitor": "score", "mode": "max"}
    return [
        Scores(),
        callbacks.EarlyStopping(**score, patience=4, restore_best_weights=True),
        callbacks.ReduceLROnPlateau(**score, patience=1, cooldown=2, factor=0.5),
        callbacks.ModelCheckpoint(folder / "{epoch}.tinynet", **score, save_best_only=True),
    ]


@pytest.mark.each_value
@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("position", [0, 4])
@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_end"])
def test_callback_state_survives_interruption(
    hook: str, position: int, number: int, tmp_path: Path
) -> None:
    listed = watching(tmp_path / "straight")
    straight = trained(*listed, epochs=7)
    stopping = listed[1]
    assert (stopping.best, stopping.best_epoch, straight.history.epoch[-1]) == (0.9, 1, 5)
    times = number * 4 if "batch" in hook else number
    runs = [watching(tmp_path / "resumed") for _ in range(2)]
    first, second = (
        [*run[:position], callbacks.BackupAndRestore(tmp_path / "backup"), *run[position:]]
        for run in runs
    )
    interrupted(hook, times, *first, epochs=7)
    assert everything(trained(*second, epochs=7)) == everything(straight)
    for ours, theirs in zip(runs[1][1:], listed[1:], strict=True):
        assert ours.resumes
        for name in set(theirs.resumes) - {"best_weights"}:
            assert getattr(ours, name) == getattr(theirs, name), name
    files = [sorted(os.listdir(tmp_path / name)) for name in ("straight", "resumed")]
    assert files[0] == files[1] == ["2.tinynet"]


def test_resumed_run_shuffles_pydataset_identically(tmp_path: Path) -> None:
    class Batches(tinynet.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return X[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]

    data: Any = {"x": Batches(), "y": None, "batch_size": None}
    backup, again = (callbacks.BackupAndRestore(tmp_path) for _ in range(2))
    interrupted("on_epoch_begin", 2, backup, **data)
    assert everything(trained(again, **data)) == everything(trained(**data))


def test_early_stopped_run_is_not_resumed(tmp_path: Path) -> None:
    def listed() -> list[Any]:
        stop = callbacks.EarlyStopping("loss", min_delta=9, restore_best_weights=True)
        return [stop, callbacks.BackupAndRestore(tmp_path)]

    straight = trained(*listed())
    interrupted("on_train_end", 0, *listed())
    assert os.listdir(tmp_path) == ["latest.tinynet"]
    resumed = trained(*listed())
    assert resumed.history.epoch == [0, 1]
    assert everything(resumed) == everything(straight)


def test_backup_with_other_callbacks_warns(tmp_path: Path) -> None:
    stop = callbacks.EarlyStopping("loss")
    interrupted("on_epoch_begin", 2, callbacks.BackupAndRestore(tmp_path), stop)
    keep = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    with pytest.warns(UserWarning, match=r"are reset.* callbacks=.'ReduceLROnPlateau'"):
        trained(keep, callbacks.ReduceLROnPlateau("loss"))
    # A backup can also be loaded as an ordinary model file.
    model = tinynet.models.load_model(tmp_path / "latest.tinynet")
    assert len(model.history.epoch) == 5


def test_custom_callback_resumes_its_state(tmp_path: Path) -> None:
    class Count(callbacks.Callback):
        resumes = ("count",)

        def on_train_begin(self, logs: Any = None) -> None:
            self.count = 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.count += 1

    interrupted("on_epoch_begin", 2, callbacks.BackupAndRestore(tmp_path), Count())
    count = Count()
    trained(callbacks.BackupAndRestore(tmp_path), count)
    assert count.count == 5


def test_backup_of_other_model_raises(tmp_path: Path) -> None:
    interrupted("on_epoch_begin", 1, callbacks.BackupAndRestore(tmp_path))
    path = tmp_path / "latest.tinynet"
    whole = path.read_bytes()
    shorter = tinynet.Sequential([layers.Input((4,)), layers.Dense(3)])
    shorter.compile("adam", "sparse_categorical_crossentropy")
    for model, content in (
        (shorter, whole),
        *((make(), damaged) for damaged in (whole[:-200], b"", b"\x80\x04N.")),
    ):
        path.write_bytes(content)
        before = model.get_weights()
        with pytest.raises(ValueError, match=r"latest\.tinynet"):
            fit(model, callbacks.BackupAndRestore(tmp_path))
        assert all(map(np.array_equal, model.get_weights(), before))


def test_damaged_backup_falls_back_to_previous(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    backup, again = (callbacks.BackupAndRestore(tmp_path, double_checkpoint=True) for _ in range(2))
    interrupted("on_epoch_begin", 2, backup)
    (tmp_path / "latest.tinynet").write_bytes(b"PK")
    with pytest.warns(UserWarning, match="The previous backup is used"):
        resumed = trained(again)
    assert everything(resumed) == everything(trained())
    assert os.listdir(tmp_path) == ["notes.txt"]  # only the backup is deleted


def test_completed_run_is_not_repeated(tmp_path: Path) -> None:
    keep = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    model, again = trained(keep), trained(keep)
    assert again.history.epoch == [0, 1, 2, 3, 4]
    assert everything(again)[:-1] == everything(model)[:-1]


def test_best_weights_are_from_best_epoch() -> None:
    kept: list[Any] = []
    keep = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append((logs["val_loss"], model.get_weights()))
    )
    stop = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    model = make(2.0)
    history = fit(model, keep, stop, validation_split=0.25, epochs=30)
    best = min(range(len(kept)), key=lambda epoch: kept[epoch][0])
    assert len(history.epoch) == best + 3
    assert all(map(np.array_equal, model.get_weights(), kept[best][1]))


@pytest.mark.parametrize("suffix", ["tinynet", "hdf5"])
def test_checkpoint_equals_model(suffix: str, tmp_path: Path) -> None:
    pattern = os.fsencode(tmp_path / f"{{epoch}}.{suffix}")
    model = trained(callbacks.ModelCheckpoint(pattern), epochs=2)
    loaded = tinynet.models.load_model(os.fsencode(tmp_path / f"2.{suffix}"))
    assert loaded.predict(X).tobytes() == model.predict(X).tobytes()
    assert sorted(os.listdir(tmp_path)) == [f"1.{suffix}", f"2.{suffix}"]


def test_unused_batch_hooks_are_not_called(tmp_path: Path) -> None:
    class Curious(callbacks.ModelCheckpoint):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None: ...

    path = tmp_path / "net.keras"
    for callback, busy in (
        (callbacks.ModelCheckpoint(path), False),
        (callbacks.BackupAndRestore(tmp_path), False),
        (callbacks.ModelCheckpoint(path, save_freq=1), True),
        (callbacks.BackupAndRestore(tmp_path, save_freq=1), True),
        (callbacks.TerminateOnNaN(), True),
        (callbacks.LambdaCallback(on_batch_end=print), True),
        (Curious(path), True),
    ):
        assert callbacks.CallbackList([callback]).defines("on_train_batch_end") == busy


def test_callback_list_in_custom_loop(keras: Any) -> None:
    ours: list[Any] = []
    theirs: list[Any] = []
    for k, calls in ((tinynet, ours), (keras, theirs)):
        names = [*FIT_HOOKS, "on_test_begin", "on_test_batch_end", "on_test_end"]
        noted, model = k.callbacks.LambdaCallback(**noting(calls, names)), StandIn(k)
        loop = k.callbacks.CallbackList([noted], model=model, add_history=True, epochs=1)
        loop.on_train_begin()
        loop.on_epoch_begin(0)
        loop.on_train_batch_begin(0)
        loop.on_train_batch_end(0, {"loss": 0.5})
        loop.on_test_begin()
        loop.on_test_batch_end(0, logs={"loss": 0.4})
        loop.on_test_end({"loss": 0.4})
        loop.on_epoch_end(0, {"loss": 0.5})
        loop.on_train_end({"loss": 0.5})
        calls.append((model.history.history, model.history.epoch))
    assert ours == theirs


def test_progress_bar_is_drawn_once(capsys: Any) -> None:
    fit(make(), verbose=2)
    without = capsys.readouterr().out
    fit(make(), callbacks.ProgbarLogger(), verbose=2)
    assert [line.split(" - ")[3:] for line in capsys.readouterr().out.splitlines()] == [
        line.split(" - ")[3:] for line in without.splitlines()
    ]


def test_progress_bar_in_custom_loop(capsys: Any) -> None:
    step = r" - 0s - \d+[mu]?s/step"
    loop = callbacks.CallbackList(add_progbar=True, epochs=2, steps=3, verbose=2)
    loop.on_train_begin()
    loop.on_epoch_begin(1)
    loop.on_train_batch_end(0, {"loss": 9.0})
    loop.on_test_begin()
    loop.on_test_batch_end(0, {"loss": 9.0})
    loop.on_test_end({"loss": 9.0})
    loop.on_epoch_end(1, {"loss": 0.5})
    loop.on_train_end()
    assert re.fullmatch(rf"Epoch 2/2\n3/3{step} - loss: 0.5000\n", capsys.readouterr().out)
    loop.on_test_begin()
    loop.on_test_end({"loss": 0.4})
    assert re.fullmatch(rf"3/3{step} - loss: 0.4000\n", capsys.readouterr().out)
    endless = callbacks.CallbackList(add_progbar=True, verbose=2)
    endless.on_predict_begin()
    endless.on_predict_batch_end(0, {"outputs": X})
    endless.on_predict_batch_end(1, {"outputs": X})
    endless.on_predict_end()
    assert re.fullmatch(rf"2/\S+{step}\n", capsys.readouterr().out)


# ------------------------------------------------------------ TensorBoard


def test_tensorboard_reports_missing_package(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        callbacks.TensorBoard()


def test_tensorboard_writes_same_values_as_keras(tmp_path: Path) -> None:
    loader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_file_loader",
        reason="needs tensorboard: pip install -e '.[test]'",
    )
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq=2)
    history = fit(make(), board, validation_split=0.25, epochs=2).history
    found: dict[str, dict[str, list[Any]]] = {"train": {}, "validation": {}}
    for folder, tags in found.items():
        (file,) = (tmp_path / folder).iterdir()
        for event in loader.LegacyEventFileLoader(str(file)).Load():
            for value in event.summary.value:
                tags.setdefault(value.tag, []).append((event.step, value.tensor))
    train, validation = found["train"], found["validation"]
    assert [(e, v.float_val[0]) for e, v in train["epoch_loss"]] == list(enumerate(history["loss"]))
    assert [v.float_val[0] for _, v in validation["epoch_loss"]] == history["val_loss"]
    assert set(validation) == {
        *("epoch_accuracy", "epoch_loss"),
        *("evaluation_accuracy_vs_iterations", "evaluation_loss_vs_iterations"),
    }
    scalars = {tag for tag in train if "/" not in tag}
    assert scalars == {
        *("epoch_accuracy", "epoch_loss", "epoch_learning_rate"),
        *("batch_accuracy", "batch_loss"),
    }
    assert [step for step, _ in train["batch_loss"]] == [2, 4, 6]
    assert len(train["dense/kernel/histogram"]) == 2


def test_baseline_may_be_any_finite_number() -> None:
    assert callbacks.EarlyStopping(baseline=1e300).baseline == 1e300
    assert callbacks.ModelCheckpoint("x.keras", initial_value_threshold=-1e300).best == -1e300


@pytest.mark.parametrize("value", [np.array([0.5, 0.25]), "good", None, [1.0]], ids=str)
def test_model_checkpoint_warns_about_unformattable_value(value: Any, tmp_path: Path) -> None:
    """Training continues if a custom value or a vector cannot be formatted into the file name."""

    def add(epoch: int, logs: dict[str, Any]) -> None:
        logs["score"] = value if epoch else 0.25

    listed = [
        callbacks.LambdaCallback(on_epoch_end=add),
        callbacks.ModelCheckpoint(tmp_path / "{epoch}-{score:.2f}.keras"),
    ]
    with pytest.warns(UserWarning, match=r"model is not saved: .*format.* Received: filepath="):
        model = trained(*listed, epochs=3)
    assert model.history.epoch == [0, 1, 2]
    assert os.listdir(tmp_path) == ["1-0.25.keras"]


# ------------------------------------------------------------ moving averages of weights


def averaged(k: Any, swap_on_epoch: bool, folder: Path, stop: bool = False) -> Any:
    """Train with `SwapEMAWeights`; return the observable weights and losses as one vector."""
    model = k.Sequential([k.Input((4,)), k.layers.Dense(3)])
    model.set_weights([np.eye(4, 3), np.zeros(3)])
    model.compile(k.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.6), "mse")
    seen: list[Any] = []

    def look(*_: Any) -> None:
        seen.extend(w.ravel() for w in model.get_weights())

    def leave(epoch: int, logs: Any) -> None:
        model.stop_training = stop and epoch == 1

    pattern = str(folder / f"{k.__name__}{{epoch}}.weights.h5")
    listed = [
        k.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch),
        k.callbacks.LambdaCallback(on_epoch_begin=look, on_epoch_end=look, on_train_end=look),
        k.callbacks.LambdaCallback(on_test_begin=look, on_test_end=look, on_epoch_end=leave),
        k.callbacks.ModelCheckpoint(pattern, save_weights_only=True),
    ]
    targets = np.eye(3, dtype=np.float32)[Y]
    options: dict[str, Any] = {"shuffle": False, "verbose": 0, "batch_size": 8, "epochs": 4}
    history = model.fit(X, targets, **options, validation_data=(X, targets), callbacks=listed)
    seen += [np.array(history.history["val_loss"])]
    seen += [np.array([model.evaluate(X, targets, verbose=0, callbacks=listed)])]
    for path in sorted(folder.glob(f"{k.__name__}*.weights.h5")):
        model.load_weights(path)
        look()
    return np.concatenate(seen)


# Keras swaps two variables by adding and subtracting them, which causes three rounding errors per
# swap, for weights of at most 1.
SWAPPED = 64 * EPS


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_swap_ema_weights_matches_recorded(swap_on_epoch: bool, tmp_path: Path) -> None:
    ours = averaged(tinynet, swap_on_epoch, tmp_path)
    np.testing.assert_allclose(ours, recorded.result("swap", swap_on_epoch), rtol=0, atol=SWAPPED)


@pytest.mark.wide
@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_swap_ema_weights_matches_keras(keras: Any, swap_on_epoch: bool, tmp_path: Path) -> None:
    ours, theirs = (averaged(k, swap_on_epoch, tmp_path) for k in (tinynet, keras))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=SWAPPED)
    np.testing.assert_allclose(theirs, recorded.result("swap", swap_on_epoch), rtol=0, atol=SWAPPED)


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_swap_ema_weights_when_stopped(swap_on_epoch: bool) -> None:
    """If a later callback stops training, the model has the averaged weights.

    In Keras, it would keep the training weights.
    """
    model = make(0.1, use_ema=True)
    stop = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", True)
    )
    assert fit(model, callbacks.SwapEMAWeights(swap_on_epoch), stop).epoch == [0]
    averages = model.optimizer.variables[2:6]
    assert all(map(np.array_equal, model.weights, averages))


def test_swap_ema_weights_restores_after_predict() -> None:
    model = make(0.1, use_ema=True)
    fit(model, epochs=1)
    averages = model.predict(X)
    before = [w + 1 for w in model.get_weights()]
    model.set_weights(before)
    np.testing.assert_array_equal(
        model.predict(X, callbacks=[callbacks.SwapEMAWeights()]), averages
    )
    assert all(map(np.array_equal, model.get_weights(), before))


@pytest.mark.parametrize("position", [0, 1])
def test_swap_ema_weights_resumes(position: int, tmp_path: Path) -> None:
    def listed() -> list[Any]:
        both = [callbacks.SwapEMAWeights(True), callbacks.BackupAndRestore(tmp_path / "backup")]
        return both[::-1] if position == 0 else both

    straight, first, resumed = (make(0.1, use_ema=True) for _ in range(3))
    fit(straight, callbacks.SwapEMAWeights(True))
    interrupted("on_epoch_begin", 2, *listed(), model=first)
    fit(resumed, *listed())
    assert everything(resumed) == everything(straight)
