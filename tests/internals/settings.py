"""What `conftest` needs of the library's insides."""

from __future__ import annotations

from typing import Any

from tinynet import config
from tinynet.training import profile


def current() -> dict[str, Any]:
    """Return all settings as they are now."""
    return vars(config._settings).copy()


def measure_briefly() -> None:
    """Let a profile be measured for a moment: no test needs times that are exact."""
    profile._SECONDS = 0.0
