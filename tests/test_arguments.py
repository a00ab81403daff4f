"""Declared arguments define constructors, signatures, checks and configurations."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import KW_ONLY
from typing import Any

import keras
import pytest

import tinynet
from tests import newer_keras
from tinynet._core import checks
from tinynet._core.arguments import argument, declared, found, keywords, required
from tinynet._core.registry import Configurable


@declared()
class Base(Configurable):
    _: KW_ONLY
    name: Any = argument(None, lambda name, value: checks.title(value, ""))
    hidden: Any = argument("seen", kept=False)

    def __complete(self, hidden: Any) -> None:
        self.steps = [hidden, getattr(self, "size", None)]


@declared()
class Shape(Base):
    size: int = required(checks.whole, 1)
    scale: float | None = argument(None, checks.number, 0, 1)
    text: str = found("red", str.upper)

    def __complete(self) -> None:
        self.steps.append("complete")


class Custom(Shape):
    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(2 * size, **kwargs)


def test_declared_class_has_signature() -> None:
    assert str(inspect.signature(Shape)) == (
        "(size: 'int', scale: 'float | None' = None, text: 'str' = 'red', **kwargs: 'Any') "
        "-> 'None'"
    )
    assert str(inspect.signature(Base)) == (
        "(*, name: 'Any' = None, hidden: 'Any' = 'seen', **kwargs: 'Any') -> 'None'"
    )
    assert keywords(Shape, Base) == ["size", "scale", "text", "name", "hidden"]
    assert not hasattr(Shape, "size")


def test_declared_class_inherits_arguments() -> None:
    @declared()
    class Box(Shape):
        depth: int = required(checks.whole, 1)
        color: str = argument("gray")

    assert [*inspect.signature(Box).parameters] == [
        *("depth", "size", "scale", "text", "color", "kwargs")
    ]
    box = Box(4, 3, None, "blue", "white", name="b")
    assert (box.depth, box.size, box.text, box.color, box.name) == (4, 3, "BLUE", "white", "b")


def test_declared_arguments_set_before_base_init() -> None:
    shape = Shape(3, text="blue", name="a", hidden="h")
    assert (shape.size, shape.scale, shape.text, shape.name) == (3, None, "BLUE", "a")
    assert shape.steps == ["h", 3, "complete"]
    assert not hasattr(shape, "hidden")
    assert shape.get_config() == {"name": "a", "size": 3, "scale": None, "text": "BLUE"}
    assert Shape.from_config(shape.get_config()).get_config() == shape.get_config()


def test_declared_class_subclasses_copies_and_pickles() -> None:
    custom = Custom(2, scale=0.5, name="b")
    assert (custom.size, custom.scale, custom.name) == (4, 0.5, "b")
    assert copy.deepcopy(custom).get_config() == custom.get_config()
    assert pickle.loads(pickle.dumps(custom)).get_config() == custom.get_config()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Shape(0), "size must be a positive integer. Received: size=0"),
        (lambda: Shape(1, 2), r"scale must be a number in the range \[0, 1\]. Received: scale=2"),
        (lambda: Shape(1, sise=2), "did you mean 'size'.* Received: sise=2"),
        (lambda: Shape(1, name=3), "name must be a string. Received: name=3"),
        (lambda: Base(nam="a"), "did you mean 'name'.* Received: nam='a'"),
    ],
)
def test_declared_constructor_checks_its_arguments(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
    for wrong in (lambda: Shape(), lambda: Shape(1, None, "a", "b"), lambda: Shape(1, size=1)):
        with pytest.raises(TypeError):
            wrong()


def test_declared_constructor_is_all_or_nothing() -> None:
    tinynet.backend.clear_session()
    with pytest.raises(ValueError, match="units must be"):
        tinynet.layers.Dense(-1)
    assert tinynet.layers.Dense(1).name == "dense"


METRICS = sorted(
    name
    for name, cls in vars(tinynet.metrics).items()
    if isinstance(cls, type)
    and hasattr(keras.metrics, name)
    and name[0].isupper()
    and all(p.default is not p.empty for p in inspect.signature(cls).parameters.values())
)


@newer_keras
@pytest.mark.parametrize("name", METRICS)
def test_metric_configs_match_keras(name: str) -> None:
    ours, theirs = (getattr(k.metrics, name)(name="m") for k in (tinynet, keras))
    assert ours.get_config() == theirs.get_config()
