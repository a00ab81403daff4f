"""Exercises accept correct answers in any style, and name the mistake in wrong ones."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import exercise_answers
from tinynet import config, exercises
from tinynet.exercises import formulas, regions, relations, session
from tinynet.exercises.exercise import observe

ALL = {exercise.name: exercise for exercise in session.EXERCISES}
MISTAKES = [(name, message) for name, exercise in ALL.items() for message in exercise.wrong]
ROOT = Path(tinynet.__file__).parents[1]


@pytest.fixture(autouse=True)
def new_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without passed exercises and used hints."""
    monkeypatch.setattr(session, "_passed", set())
    monkeypatch.setattr(session, "_hints", {})


@pytest.mark.parametrize(
    ("name", "answer"), [(n, a) for n, row in exercise_answers.CORRECT.items() for a in row]
)
def test_correct_answers_pass(name: str, answer: Any) -> None:
    result = exercises.check(name, answer)
    assert result.passed, result
    assert (result.mistake, result.example) == ("", "")


@pytest.mark.parametrize(
    ("name", "mistake", "answer"),
    [
        pytest.param(name, *answer, marks=pytest.mark.wide if i > 2 else ())
        for name, answers in exercise_answers.WRONG.items()
        for i, answer in enumerate(answers)
    ],
)
def test_mistakes_are_named(name: str, mistake: str, answer: Any) -> None:
    result = exercises.check(name, answer)
    assert not result.passed
    assert re.search(mistake, result.mistake), result


@pytest.mark.wide
@pytest.mark.parametrize(("name", "message"), MISTAKES, ids=[f"{n}: {m:.40}" for n, m in MISTAKES])
def test_known_mistakes_are_recognized(name: str, message: str) -> None:
    """No two mistakes of an exercise have the same results."""
    exercise = ALL[name]
    options = exercise.wrong[message]
    result = exercises.check(name, lambda *args: exercise.variants(*args, **options))
    assert result.mistake == message


@pytest.mark.parametrize("exercise", ALL.values(), ids=ALL)
def test_variants_without_options_are_correct(exercise: Any) -> None:
    for case in exercise.cases:
        assert observe(exercise, exercise.variants, case).problem == ""
    assert exercises.check(exercise.name, exercise.variants).passed


def test_tables_cover_all_exercises() -> None:
    assert len(ALL) == 14
    assert exercise_answers.CORRECT.keys() == exercise_answers.WRONG.keys() == ALL.keys()
    assert min(map(len, exercise_answers.CORRECT.values())) >= 4
    assert min(map(len, exercise_answers.WRONG.values())) >= 6


@pytest.mark.parametrize("exercise", ALL.values(), ids=ALL)
def test_tasks_are_complete(exercise: Any) -> None:
    assert len(exercise.field("Hint")) == 3
    for notebook in exercise.field("Notebook")[0].split(", "):
        assert (ROOT / notebook).exists()
    for file, names in re.findall(r"(\S+\.py)(?:: ([\w, ]+))?", exercise.field("Read")[0]):
        text = (ROOT / file).read_text(encoding="utf-8")
        for name in filter(None, names.split(", ")):
            assert re.search(rf"(def|class) {name}\b", text), name
    shown = exercises.show(exercise.name)
    assert all(f"`{name}`: " in shown for name in exercise.arguments)
    assert "Hint" not in shown
    assert re.search("(?m)^(def|class) ", exercises.solution(exercise.name))


# ------------------------------------------------------------ diagnosis


def test_unknown_mistakes_are_shown_as_values() -> None:
    result = exercises.check("sgd", lambda w, d, r: w - r * np.cos(d))
    assert result.mistake == "w is wrong"
    assert "w[0] must be 0.5. Received: 1.10404\nfor w = [1. 2.]" in result.example


def test_wrong_results_of_unusual_inputs_are_explained() -> None:
    result = exercises.check(
        "softmax", lambda x: np.nan_to_num(np.exp(x) / np.exp(x).sum(1)[:, None])
    )
    assert result.mistake.startswith("y is 0 everywhere for logits above 88")
    assert "subtract the maximum" in result.mistake


def test_two_mistakes_are_named_together() -> None:
    answer = lambda d, x, k: (d @ k.T, x.T @ d / len(x), d.sum(1))  # noqa: E731  # short
    result = exercises.check("dense_backward", answer)
    assert "d_kernel is divided by the batch size" in result.mistake
    assert "d_bias is summed over the wrong axis" in result.mistake


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (lambda b: -b, "sign"),
        (lambda b: b.T, "transposed"),
        (lambda b: b[None], "shape"),
        (lambda b: 3 * b, "True True the number of columns of x"),
        (lambda b: b / -2, "False False the number of rows of x"),
        (lambda b: 1.7 * b, "factor 1.7"),
        (lambda b: b**2, "square"),
        (lambda b: np.sqrt(np.abs(b)), "root"),
        (lambda b: np.abs(b), "some signs"),
        (lambda b: b + 1, "offset 1"),
        (lambda b: b * 1.003, "accuracy"),
        (lambda b: b.astype(int), "integer"),
        (lambda b: 0 * b, "zero"),
        (lambda b: b.sum(axis=0), "sum 0"),
        (lambda b: b[-1], "last"),
        (lambda b: b * [[1], [2]], "rows"),
        (lambda b: b * [1, 1, 2], "columns"),
        (lambda b: np.sort(b, None).reshape(b.shape), "order"),
    ],
)
def test_relations_of_results(given: Any, label: str) -> None:
    b = np.array([[1.25, -2.5, 3.125], [4.5, 5.25, -0.75]])
    for relate in (relations.relations, relations.parts):
        found = dict(relate(given(b), b, {"x": np.ones((2, 3))}))
        if label in found:
            break
    assert label in found
    assert not dict(relations.relations(b[::-1] + b[0, 0], b, {}))
    assert not dict(relations.parts(b[::-1] + b[0, 0], b, {}))


def test_formulas_hold_in_all_cases() -> None:
    cases = [
        {"a": np.arange(1.0, n), "b": np.arange(2.0, n + 1) ** 2, "rate": n / 7} for n in (8, 9)
    ]
    found = formulas.Formulas(cases, [2 * c["a"] - c["rate"] * c["b"] for c in cases], 2)
    assert found.right.text == "2 * a - rate * b"
    assert found.find([c["a"] * c["rate"] for c in cases]) == "rate * a"
    assert found.find([c["a"] * n for c, n in zip(cases, (3.3, 1.7), strict=True)]) == ""
    numbers = [{"n": n, "p": np.arange(1.0, n)} for n in (5, 7, 9, 12)]
    means = np.array([np.mean(c["p"] ** 2) for c in numbers])
    assert formulas.NumberFormulas(numbers).find(means) == "mean(p**2)"
    assert formulas.NumberFormulas(numbers).find(np.array([5.0, 7.0, 9.1, 13.0])) == ""


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (lambda x: x < 0, "where x < 0"),
        (lambda x: (x > 1) & (x < 2.5), "where x > 1 and x < 2.5"),
        (lambda x: np.arange(6)[:, None] + 0 * x == 5, "in the last row"),
        (lambda x: np.arange(4) + 0 * x > 0, "except in the first column"),
        (lambda x: np.arange(4) + 0 * x == 0, "in the first column"),
        (lambda x: np.arange(24).reshape(x.shape) % 5 == 1, None),
    ],
)
def test_regions_contain_exactly_the_wrong_elements(wrong: Any, where: str | None) -> None:
    x = np.random.default_rng(0).permutation(np.arange(24.0) / 4 - 2.1).reshape(6, 4)
    found = next(regions.regions([{"x": x}], [1 + 0 * x], [wrong(x)], "y"), None)
    assert found == where


def test_example_shows_arguments_of_failing_call() -> None:
    def answer(x: Any, rate: float, training: bool, rng: Any) -> Any:
        return x if training else None

    result = exercises.check("dropout", answer)
    assert result.mistake == "returns None: the return statement is missing"
    assert "training = False" in result.example


def test_failing_line_is_shown() -> None:
    def answer(x: Any) -> Any:
        return x @ x

    result = exercises.check("softmax", answer)
    assert "y is wrong" in result.mistake or "ValueError" in result.mistake
    result = exercises.check("softmax", lambda x: undefined_name)  # noqa: F821  # wrong
    assert "raises NameError: name 'undefined_name' is not defined in the line" in result.mistake


# ------------------------------------------------------------ safety


def test_keyboard_interrupt_is_passed_on() -> None:
    def interrupted(x: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exercises.check("softmax", interrupted)


def test_check_keeps_random_states_and_settings() -> None:
    def careless(x: Any, y: Any, n: int, rng: Any) -> Any:
        np.random.seed(0)  # noqa: NPY002  # the global state is tested
        random.seed(0)
        return [(x, y)]

    states = [np.random.get_state()[1].copy(), random.getstate()]  # noqa: NPY002  # tested
    before = config.floatx(), config.backend(), np.geterr()
    exercises.check("minibatches", careless)
    for name, answers in exercise_answers.CORRECT.items():
        exercises.check(name, answers[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002  # tested
    assert random.getstate() == states[1]
    assert (config.floatx(), config.backend(), np.geterr()) == before


def test_answers_receive_copies() -> None:
    def clearing(d_y: Any, x: Any) -> Any:
        result = d_y * (x > 0)
        d_y[...] = x[...] = 0
        return result

    result = exercises.check("relu_backward", clearing)
    assert result.mistake.startswith("modifies its arguments d_y and x")
    assert exercises.check("relu_backward", lambda d_y, x: d_y * (x > 0)).passed


# ------------------------------------------------------------ session


def test_hints_then_solution() -> None:
    hints = [exercises.hint(8) for _ in range(5)]
    assert [hint[:13] for hint in hints[:3]] == [f"Hint {k} of 3: "[:13] for k in (1, 2, 3)]
    assert hints[3] == hints[4] == exercises.solution("sgd")
    assert "w -= d_w * learning_rate" in hints[3]


def test_progress_is_counted() -> None:
    assert exercises.progress() == "Passed 0 of 14 exercises. Next: 1, softmax."
    result = exercises.check(1, exercise_answers.softmax)
    assert result
    assert repr(result) == "softmax: correct. Passed 1 of 14 exercises."
    exercises.check(1, exercise_answers.softmax)
    assert exercises.progress() == "Passed 1 of 14 exercises. Next: 2, relu_backward."
    lines = str(exercises.list()).splitlines()
    assert [line.endswith("passed") for line in lines[2:4]] == [True, False]
    for name, answers in exercise_answers.CORRECT.items():
        exercises.check(name, answers[0])
    assert exercises.progress() == "Passed 14 of 14 exercises."


def test_numbers_and_names_are_accepted() -> None:
    assert exercises.show(3) == exercises.show("dense_backward") == exercises.show(np.int64(3))


def test_results_are_displayed_as_text() -> None:
    assert repr(exercises.show(1)) == str(exercises.show(1))
    result = exercises.check("sgd", lambda w, d, r: w + r * d)
    assert not result
    lines = repr(result).splitlines()
    assert lines[0] == "sgd: not correct yet."
    assert lines[1].startswith("  Mistake: adds the gradient")
    assert lines[-1] == "  exercises.hint('sgd') shows a hint."


class NotAnArray:
    """Object whose conversion to an array raises an error."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise AttributeError("no values")


UNUSUAL = [
    *(0, 1.5, True, "text", b"", [], {}, (), [None], {"y": 1}, object(), NotAnArray(), 1j, abs),
    *(np.zeros(0), np.zeros((0, 3)), np.zeros((3, 0)), np.full((3, 3), np.nan), np.float32(np.inf)),
    *((1, 2), (1, 2, 3), [[1], [1, 2]], [[[1]]], np.zeros((2, 2, 2, 2)), np.array("x"), range(3)),
    *(
        np.ones(1, complex),
        np.array([None, 1]),
        np.datetime64("2020-01-01"),
        {"w": 0, "m": 0},
        -0.0,
    ),
    *([(np.zeros((5, 2)), 0)], [(0, 0), (1, 1)], [([], [])], ["ab", "cd"], np.ma.masked, ...),
]


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.wide)])
@pytest.mark.parametrize("name", ALL)
def test_unusual_results_are_wrong(name: str, step: int) -> None:
    for value in UNUSUAL[::step]:
        result = exercises.check(name, lambda *args, value=value: value)
        assert not result.passed, value
        assert result.mistake, value
