"""What is wrong is refused with a message that says so, and nothing is changed."""

from __future__ import annotations

import functools
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from tests import models, refusals


@functools.cache
def shared() -> Any:
    """Return the same trained model again: what is refused changes nothing."""
    model = models.classifier(metrics=["accuracy"])
    model.fit(*models.data(), verbose=0)
    return model


@pytest.mark.parametrize("name", refusals.REFUSALS)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    tried, error, message = refusals.REFUSALS[name]
    model = shared()
    before = models.bits(model), model.built, model.compiled, id(model.loss), id(model.history)
    offered = {"model": model, "tmp_path": tmp_path}
    takes = inspect.signature(tried).parameters
    with pytest.raises(error) as caught:
        tried(**{key: value for key, value in offered.items() if key in takes})
    said = str(caught.value)
    assert re.search(message, said, re.DOTALL), said
    assert len(said) < 600
    assert "array([" not in said
    after = models.bits(model), model.built, model.compiled, id(model.loss), id(model.history)
    assert after == before


def test_every_row_has_its_own_name() -> None:
    assert len(refusals.REFUSALS) == sum(map(len, refusals.SECTIONS))
