"""Every tier of the code stays within its line budget; commits that raise it only raise it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import size

pytestmark = pytest.mark.thread_unsafe(reason="parses source files")
BUDGETS = "[lines]\nmaths = {}\n"


def test_tiers_are_within_budget() -> None:
    allowed, found = size.budgets(), size.totals()
    assert found.keys() == allowed.keys()
    over = {tier: (n, allowed[tier]) for tier, n in found.items() if n > allowed[tier]}
    assert not over, "{tier: (lines of code, budget)}, see tests/budgets.toml"


def test_comments_and_docstrings_do_not_count() -> None:
    source = '"""Module."""\n\n# a comment\ndef f():\n    """Do."""\n    return """a\nb"""\n'
    assert size.numbers_of_code(source) == {4, 6, 7}


def test_comments_in_scripts_do_not_count() -> None:
    assert size.script_lines("// no\n/* no\n no */\nlet a = 1;\n\nf(a);") == 2


def test_scripts_of_the_page_are_short() -> None:
    assert max(size.scripts().values()) <= 300


@pytest.mark.parametrize(
    ("path", "tier"),
    [
        ("tinynet/functional/losses.py", "maths"),
        ("tinynet/program/tape.py", "engine"),
        ("tinynet/visualize.py", "extras"),
        ("tinynet/losses/loss.py", "surface"),
        ("tinynet/config.py", "core"),
        ("tests/size.py", "tests"),
    ],
)
def test_tier_of_a_file(path: str, tier: str) -> None:
    assert size.tier_of(path) == tier


def test_budget_commits_change_nothing_else() -> None:
    if not (size.ROOT / ".git").exists():
        pytest.skip("needs the history of the repository")
    assert [*size.raising_commits()] == []


@pytest.mark.parametrize(
    ("lines", "with_other", "message", "found"),
    [
        (20, False, "Raise\n\nBecause.", False),
        (20, True, "Raise\n\nBecause.", True),
        (20, False, "Raise", True),
        (5, True, "Lower", False),
    ],
    ids=["alone", "with other changes", "unexplained", "lowered"],
)
def test_budget_raising_commit_is_found(
    lines: int,
    with_other: bool,
    message: str,
    found: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def git(*arguments: str) -> Any:
        own = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *own, *arguments], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(size, "ROOT", tmp_path)
    monkeypatch.setattr(size, "BUDGETS", tmp_path / "tests" / "budgets.toml")
    size.BUDGETS.parent.mkdir()
    git("init")
    (tmp_path / "other").write_text("1")
    git("add", "-A")
    git("commit", "-m", "Begin")
    for n, text in ((10, "First budgets"), (lines, message)):
        size.BUDGETS.write_text(BUDGETS.format(n))
        if n == lines and with_other:
            (tmp_path / "other").write_text("2")
        git("add", "-A")
        git("commit", "-m", text)
    assert len([*size.raising_commits()]) == found
