"""The tables of supported names in the documentation match the code."""

from __future__ import annotations

import tinynet
from tests import supported


def test_table_lists_public_names() -> None:
    kinds = supported.kinds()
    assert all(kinds.values())
    for kind in ("layers", "losses", "metrics", "optimizers", "initializers", "regularizers"):
        assert set(kinds[kind]) <= set(dir(getattr(tinynet, kind)))
    assert {"Dense", "BatchNormalization", "InputLayer"} <= set(kinds["layers"])
    assert {"AdamW", "Nadam"} <= set(kinds["optimizers"])
    assert "EarlyStopping" in kinds["callbacks"]
    assert "one_hot" in kinds["`tf`"]
    assert "relu" in kinds["`tf.nn`"]


def test_page_is_up_to_date() -> None:
    text = supported.PAGE.read_text(encoding="utf-8")
    assert supported.block() in text, "run: python -m tests.supported --write"
