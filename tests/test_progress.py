"""What is printed, on every kind of stream."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import Any

import numpy as np
import pytest

from tinynet import Sequential, callbacks, layers, progress

CODES = re.compile(r"\033\[\d+m")


class Stream(io.StringIO):
    """A stream that says what it is."""

    def __init__(self, tty: bool = False, encoding: str = "utf-8") -> None:
        super().__init__()
        self._tty, self._encoding = tty, encoding

    @property
    def encoding(self) -> str:
        return self._encoding

    def isatty(self) -> bool:
        return self._tty

    def write(self, text: str) -> int:
        text.encode(self._encoding)  # as a real one would
        return super().write(text)


Notebook = type("OutStream", (Stream,), {"__module__": "ipykernel.iostream"})


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def train(monkeypatch: pytest.MonkeyPatch, stream: Stream, verbose: object, epochs: int = 2) -> str:
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr(progress, "_INTERVAL", 0)
    # With anything besides dense layers, each step is one of its own.
    model = Sequential([layers.Dense(2, activation="softmax"), layers.Dropout(0.0)])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.zeros((12, 2)), np.arange(12) % 2
    model.fit(x, y, batch_size=4, epochs=epochs, verbose=verbose, validation_data=(x, y))
    return stream.getvalue()


FIGURES = r" - accuracy: 0\.\d{4} - loss: 0\.6931 - val_accuracy: 0\.\d{4} - val_loss: 0\.6931"


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_a_pipe_gets_a_line_an_epoch(monkeypatch: pytest.MonkeyPatch, verbose: object) -> None:
    lines = train(monkeypatch, Stream(), verbose).split("\n")
    assert lines[0::2] == ["Epoch 1/2", "Epoch 2/2", ""]
    for line in lines[1::2]:
        assert re.fullmatch(
            r"3/3 - [\d:]+s? - \d+(us|ms|s)/step" + FIGURES.replace("0\\.6931", r"\d\.\d{4}"), line
        )
    assert not set("\b\r\033") & set("".join(lines))


@pytest.mark.parametrize("value", ["1", "0", ""])
def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """As https://no-color.org says: set to anything but an empty text."""
    monkeypatch.setenv("NO_COLOR", value)
    drawn = train(monkeypatch, Stream(tty=True), 1)
    assert ("\033" in drawn) is (value == "")
    assert "\r" in drawn
    assert "━" in drawn


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(monkeypatch, Stream(tty=True), 0) == ""


def test_one_epoch_has_no_heading(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(monkeypatch, Stream(), 1, epochs=1).startswith("3/3 - ")


def test_two_is_a_line_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\r" not in train(monkeypatch, Stream(tty=True), 2)


@pytest.mark.parametrize("make", [lambda: Stream(tty=True), lambda: Notebook()])
def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, make) -> None:
    text = train(monkeypatch, make(), "auto", epochs=1)
    assert "\b" not in text
    drawn = [CODES.sub("", line) for line in text.strip("\n").split("\r")[1:]]
    assert [line.split()[0] for line in drawn] == ["1/3", "2/3", "3/3", "3/3"]
    assert text.count("\n") == 1
    assert "━" * 20 in drawn[-1]
    assert "val_loss" in drawn[-1]
    assert "val_loss" not in drawn[0]
    # As many green cells as the share of steps done.
    green = re.findall(r"\033\[32m(━*)\033", text)
    assert [len(cells) for cells in green] == [6, 13, 20, 20]


def test_a_stream_of_plain_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    text = train(monkeypatch, Stream(tty=True, encoding="ascii"), 1)
    assert text.isascii()
    assert "======" in text
    stream = Stream(encoding="ascii")
    progress.write("naïve\n", stream)
    assert stream.getvalue() == "na?ve\n"


@pytest.mark.parametrize("columns", [30, 45, 60, 79])
def test_a_narrow_terminal_is_never_overrun(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = train(monkeypatch, Stream(tty=True), 1)
    for line in text.replace("\n", "\r").split("\r"):
        assert len(CODES.sub("", line).rstrip()) < columns
    assert "3/3" in text


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\r" not in train(monkeypatch, Stream(tty=True), 1)


def test_a_shorter_line_covers_a_longer_one() -> None:
    stream = Stream(tty=True)
    bar = progress.Progress(2, 1, stream)
    bar.draw(1, {"loss": 1.0, "something_long": 2.0})
    bar.finish(2, {"loss": 1.0})
    first, last = (CODES.sub("", line) for line in stream.getvalue().rstrip("\n").split("\r")[1:])
    assert len(last) >= len(first.rstrip())


def test_the_bar_is_not_drawn_more_often_than_can_be_seen() -> None:
    bar = progress.Progress(10_000, 1, Stream(tty=True))
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
    ],
)
def test_figures(value: float, text: str) -> None:
    assert progress.figures({"a": value}) == f" - a: {text}"


@pytest.mark.parametrize("verbose", [3, "loud", -1, None, 0.5])
def test_wrong_verbose(verbose: object) -> None:
    with pytest.raises((ValueError, TypeError), match=r"Received: verbose="):
        progress.as_verbose(verbose)


def test_a_closed_or_missing_stream_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not progress.is_live(io.StringIO())
    assert progress.can_encode("plain", Stream(encoding="no-such-encoding")) is False
    assert os.environ["TERM"] == "xterm"


class Unwritable(io.StringIO):
    """A stream whose reader has ended, or whose disk is full."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def isatty(self) -> bool:
        return True


class OnlyWrite:
    """What programs put in the place of stdout to collect lines."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
@pytest.mark.parametrize("make", [closed, Unwritable, OnlyWrite, lambda: None])
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
    model.summary()
    assert history.epoch == [0, 1]
    if isinstance(stream, OnlyWrite):
        assert "Epoch 2/2\n" in stream.text
