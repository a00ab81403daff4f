"""The progress bar and the printed output on all kinds of streams."""

from __future__ import annotations

import io
import os
import re
import sys
import time
import unicodedata
import warnings
from typing import Any

import numpy as np
import pytest

from tinynet import Sequential, callbacks, layers
from tinynet._core import progress_bar
from tinynet.training import trainer

CODES = re.compile(r"\033\[\d+m")


class Stream(io.StringIO):
    """A stream with given attributes."""

    def __init__(self, tty: bool = False, encoding: str = "utf-8") -> None:
        super().__init__()
        self._tty, self._encoding = tty, encoding

    @property
    def encoding(self) -> str:
        return self._encoding

    def isatty(self) -> bool:
        return self._tty

    def write(self, text: str) -> int:
        text.encode(self._encoding)  # like a real stream
        return super().write(text)


Notebook = type("OutStream", (Stream,), {"__module__": "ipykernel.iostream"})


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def train(monkeypatch: pytest.MonkeyPatch, stream: Stream, verbose: object, epochs: int = 2) -> str:
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr(progress_bar, "_INTERVAL", 0)
    # Optimizers other than Adam use single steps.
    model = Sequential([layers.Dense(2, activation="softmax")])
    model.compile("nadam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.zeros((12, 2)), np.arange(12) % 2
    model.fit(x, y, batch_size=4, epochs=epochs, verbose=verbose, validation_data=(x, y))
    return stream.getvalue()


RESULTS = r" - accuracy: 0\.\d{4} - loss: 0\.6931 - val_accuracy: 0\.\d{4} - val_loss: 0\.6931"


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_pipe_gets_one_line_per_epoch(monkeypatch: pytest.MonkeyPatch, verbose: object) -> None:
    lines = train(monkeypatch, Stream(), verbose).split("\n")
    assert lines[0::2] == ["Epoch 1/2", "Epoch 2/2", ""]
    for line in lines[1::2]:
        assert re.fullmatch(
            r"3/3 - [\d:]+s? - \d+(us|ms|s)/step" + RESULTS.replace("0\\.6931", r"\d\.\d{4}"), line
        )
    assert not set("\b\r\033") & set("".join(lines))


@pytest.mark.parametrize("value", ["1", "0", ""])
def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Colors are disabled by any non-empty value, see https://no-color.org."""
    monkeypatch.setenv("NO_COLOR", value)
    drawn = train(monkeypatch, Stream(tty=True), 1)
    assert ("\033" in drawn) is (value == "")
    assert "\r" in drawn
    assert "━" in drawn


def test_output_without_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(monkeypatch, Stream(tty=True), 0) == ""
    assert train(monkeypatch, Stream(), 1, epochs=1).startswith("3/3 - ")  # without a heading
    assert "\r" not in train(monkeypatch, Stream(tty=True), 2)
    monkeypatch.setenv("TERM", "dumb")
    assert "\r" not in train(monkeypatch, Stream(tty=True), 1)


@pytest.mark.parametrize("make", [lambda: Stream(tty=True), lambda: Notebook()])
def test_terminal_gets_progress_bar(monkeypatch: pytest.MonkeyPatch, make) -> None:
    # One step per runner call, so that the bar is drawn between steps.
    monkeypatch.setattr("tinynet.training.trainer.ManySteps.of", lambda *arguments: None)
    text = train(monkeypatch, make(), "auto", epochs=1)
    assert "\b" not in text
    drawn = [CODES.sub("", line) for line in text.strip("\n").split("\r")[1:]]
    assert [line.split()[0] for line in drawn] == ["1/3", "2/3", "3/3", "3/3"]
    assert text.count("\n") == 1
    assert "━" * 20 in drawn[-1]
    assert "val_loss" in drawn[-1]
    assert "val_loss" not in drawn[0]
    # The green cells show the fraction of finished steps.
    green = re.findall(r"\033\[32m(━*)\033", text)
    assert [len(cells) for cells in green] == [6, 13, 20, 20]


def test_ascii_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    text = train(monkeypatch, Stream(tty=True, encoding="ascii"), 1)
    assert text.isascii()
    assert "======" in text
    stream = Stream(encoding="ascii")
    progress_bar.write("naïve\n", stream)
    assert stream.getvalue() == "na?ve\n"


@pytest.mark.parametrize("columns", [30, 45, 60, 79])
def test_narrow_terminal_is_never_exceeded(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = train(monkeypatch, Stream(tty=True), 1)
    for line in text.replace("\n", "\r").split("\r"):
        assert len(CODES.sub("", line).rstrip()) < columns
    assert "3/3" in text


def test_shorter_line_erases_longer_line() -> None:
    stream = Stream(tty=True)
    bar = progress_bar.Progress(2, 1, stream)
    bar.draw(1, {"loss": 1.0, "something_long": 2.0})
    bar.finish(2, {"loss": 1.0})
    first, last = (CODES.sub("", line) for line in stream.getvalue().rstrip("\n").split("\r")[1:])
    assert len(last) >= len(first.rstrip())


def test_progress_bar_redraws_are_limited() -> None:
    bar = progress_bar.Progress(10_000, 1, Stream(tty=True))
    assert sum(bar.wants(step) for step in range(1, 200)) <= 2


@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_evaluate_and_predict(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    stream = Stream()
    monkeypatch.setattr("sys.stdout", stream)
    model = Sequential([layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = np.zeros((12, 2)), np.arange(12) % 2
    args = (x, y) if method == "evaluate" else (x,)
    getattr(model, method)(*args, batch_size=4, verbose=1)
    tail = r" - loss: 0\.6931" if method == "evaluate" else ""
    assert re.fullmatch(rf"3/3 - 0s - \d+(us|ms)/step{tail}\n", stream.getvalue())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5000"),
        (0.00101, "0.0010"),
        (0.001, "1.0000e-03"),
        (0, "0.0000e+00"),
        (-2.5, "-2.5000"),
        (np.float32(0.25), "0.2500"),
        (float("nan"), "nan"),
        (1e30, "1000000000000000019884624838656.0000"),
        (np.array([1.0, 0.25]), "[1.   0.25]"),
        (None, "None"),
        (True, "True"),
        ("some\ntext\033[31m", "some text [31m"),
    ],
)
def test_number_formatting(value: float, text: str) -> None:
    assert progress_bar.formatted_metrics({"a": value}) == [f" - a: {text}"]


def test_duration_formatting() -> None:
    assert [*map(progress_bar.clock, (7, 67, 3607))] == ["7s", "1:07", "1:00:07"]
    assert [*map(progress_bar.duration, (2.0, 0.0304, 5e-5))] == ["2s", "30ms", "50us"]


def test_closed_stream_is_not_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not progress_bar.is_live(io.StringIO())
    assert progress_bar.can_encode("plain", Stream(encoding="no-such-encoding")) is False
    assert os.environ["TERM"] == "xterm"


class Unwritable(io.StringIO):
    """A stream that cannot be written: its reader has exited, or its disk is full."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def isatty(self) -> bool:
        return True


class OnlyWrite:
    """A minimal replacement of stdout that collects lines."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


def detached() -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO())
    stream.detach()
    return stream


def show_warning(message: Warning, *args: Any) -> None:
    """Print a warning as Python does outside of pytest."""
    if sys.stderr is not None:
        sys.stderr.write(f"{message}\n")


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("make", [closed, lambda: None])
def test_training_survives_an_unusable_stderr(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    """A warning that cannot be printed does not abort training."""
    model = Sequential([layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((9, 2))
    monkeypatch.setattr(sys, "stderr", make())
    monkeypatch.setattr(warnings, "showwarning", show_warning)
    stop = callbacks.EarlyStopping("val_loss")  # warns about the missing value
    history = model.fit(x, x[:, :1], epochs=2, steps_per_epoch=3, verbose=0, callbacks=[stop])
    assert history.epoch == [0, 1]


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
@pytest.mark.parametrize("make", [closed, detached, Unwritable, OnlyWrite, lambda: None])
def test_training_survives_an_unusable_stdout(
    monkeypatch: pytest.MonkeyPatch, make: Any, verbose: Any
) -> None:
    model = Sequential([layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((9, 2))
    stop = callbacks.EarlyStopping("loss", verbose=1, restore_best_weights=True)
    monkeypatch.setattr(sys, "stdout", stream := make())
    history = model.fit(x, x[:, :1], epochs=2, verbose=verbose, callbacks=[stop])
    model.evaluate(x, x[:, :1], verbose=verbose)
    model.predict(x, batch_size=2, verbose=verbose)
    assert history.epoch == [0, 1]
    if isinstance(stream, OnlyWrite):
        assert "Epoch 2/2\n" in stream.text


# ------------------------------------------------------------ line width


def columns(text: str) -> int:
    """Return the width of a text in terminal columns, independently of the library."""
    wide = [c for c in text if unicodedata.east_asian_width(c) in "WF"]
    marks = [c for c in text if unicodedata.category(c) in ("Mn", "Me", "Cf")]
    return len(text) + len(wide) - len(marks)


METRICS: dict[str, dict[str, float]] = {
    "none": {},
    "usual": {"accuracy": 0.97661, "loss": 1.6059e-05, "val_accuracy": 0.5, "val_loss": 1.6059e-05},
    "large": {"loss": 123456789.123, "val_loss": -1e12},
    "long": {"a_metric_with_a_very_long_name_" * 3: 0.5, "loss": 2e-9},
    "many": {f"metric_{i}": i / 7 for i in range(25)},
    "wide": {"精度": 0.9766, "損失": 1.2e-05, "e\u0301cart": 0.25, "🎯": 0.125},
}


@pytest.mark.each_value
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("no_color", [False, True])
@pytest.mark.parametrize("kind", METRICS)
def test_no_number_is_ever_truncated(
    monkeypatch: pytest.MonkeyPatch, kind: str, no_color: bool, encoding: str
) -> None:
    monkeypatch.setenv("NO_COLOR", "1" if no_color else "")
    logs = METRICS[kind]
    if encoding == "ascii":
        logs = {name.encode("ascii", "replace").decode(): value for name, value in logs.items()}
    whole = progress_bar.formatted_metrics(logs)
    for width in [*range(20, 130), 200]:
        monkeypatch.setenv("COLUMNS", str(width))
        stream = Stream(tty=True, encoding=encoding)
        bar = progress_bar.Progress(1875, 1, stream)
        bar.wants(1)
        for done in (1, 17, 1874):
            bar.draw(done, logs)
        bar.finish(1875, logs)
        text = stream.getvalue()
        assert ("\033[" in text) is not no_color
        *updates, final = CODES.sub("", text).split("\r")[1:]
        for line in updates:
            assert columns(line) < width
            shown = line.rstrip()
            # The first metrics are complete, and no part of the next one is shown.
            count = max(i for i in range(len(whole) + 1) if "".join(whole[:i]) in shown)
            assert shown.endswith("".join(whole[:count]))
            rest = shown.removesuffix("".join(whole[:count]))
            assert re.fullmatch(r" *\d+/1875 [━─=.]* \d+(:\d\d)*s?( \d+(us|ms|s)/step)?", rest)
        first, *others, empty = final.split("\n")
        assert empty == ""
        assert columns(first) < width
        assert "".join([first, *others]).rstrip().endswith("".join(whole))
        for line in others:
            assert columns(line) < width or line in whole
        if not others and whole:
            assert "/step - " in first


class Clock:
    """A clock that the test advances."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_bar_shrinks_before_metrics_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "time", Clock())
    metrics = {"accuracy": 0.5, "loss": 0.25}
    fixed = len("10/10  0s 0s/step")
    both, one = (len("".join(progress_bar.formatted_metrics(metrics)[:n])) for n in (2, 1))
    for width in range(20, 100):
        monkeypatch.setenv("COLUMNS", str(width))
        stream = Stream(tty=True)
        progress_bar.Progress(10, 1, stream).draw(10, metrics)
        line = CODES.sub("", stream.getvalue())
        room = width - 1 - fixed
        shown = both if room >= both else one if room >= one else 0
        expected = "━" * min(room - shown, 20) + " 0s 0s/step"
        expected += "".join(progress_bar.formatted_metrics(metrics))[:shown]
        assert line == f"\r10/10 {expected}"


def test_no_color_shows_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Stream(tty=True)
    progress_bar.Progress(4, 1, stream).draw(1, {})
    assert "━" * 5 + "─" * 15 in stream.getvalue()
    assert "\033" not in stream.getvalue()


def test_notebook_shows_all_metrics() -> None:
    stream = Notebook()
    bar = progress_bar.Progress(9, 1, stream)
    bar.draw(3, METRICS["many"])
    bar.finish(9, METRICS["many"])
    for text in stream.getvalue().split("\r")[1:]:
        assert text.rstrip().endswith("".join(progress_bar.formatted_metrics(METRICS["many"])))
        assert text.count("━") == 20


def test_time_includes_work_before_first_step() -> None:
    stream = Stream()
    bar = progress_bar.Progress(2, 2, stream, start=time.perf_counter() - 3600)
    bar.wants(1)
    bar.finish(2, {})
    assert re.fullmatch(r"2/2 - 1:\d\d:\d\d - \d+(us|ms|s)/step\n", stream.getvalue())
    assert "1:00" not in stream.getvalue().partition("step")[0].partition(" - ")[0]


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_time_starts_at_method_call(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    class Slow(layers.Dense):
        def build(self, input_shape):
            clock.now += 5  # simulates compilation
            super().build(input_shape)

    clock = Clock()
    for module in (trainer, progress_bar):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(sys, "stdout", stream := Stream(tty=True))
    model = Sequential([Slow(1)])
    model.compile("sgd", "mse")
    x = np.ones((9, 2))
    arguments: Any = {"x": x} if method == "predict" else {"x": x, "y": x[:, :1]}
    getattr(model, method)(**arguments, batch_size=3, verbose=1)
    lines = CODES.sub("", stream.getvalue()).splitlines()
    assert re.fullmatch(r"3/3 ━* 5s 0s/step.*", lines[-1].strip().rpartition("\r")[2])


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_nested_bar_gets_own_line(monkeypatch: pytest.MonkeyPatch, verbose: int) -> None:
    class Calling(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                model.evaluate(x, y, batch_size=9, verbose=verbose)

    monkeypatch.setattr(sys, "stdout", stream := Stream(tty=True))
    monkeypatch.setattr(progress_bar, "_INTERVAL", -1)
    model = Sequential([layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((9, 2))
    y = x[:, :1]
    model.fit(x, y, batch_size=3, callbacks=[Calling()])
    lines = CODES.sub("", stream.getvalue()).rstrip("\n").split("\n")
    shown = [line.rpartition("\r")[2].split()[0] for line in lines]
    assert shown == (["3/3"] if verbose == 0 else ["1/3", "1/1", "3/3"])
