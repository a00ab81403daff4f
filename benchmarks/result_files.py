"""Files of results: read and checked before the work, and replaced atomically."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinynet._core.atomic_files import write_atomically


def load(path: Path, is_valid: Callable[[Any], bool]) -> Any:
    """Return the contents of a JSON file, or None if it does not exist.

    Raises ValueError if the file cannot be read or its contents are not valid.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        found = None
    if not is_valid(found):
        raise ValueError(
            "the file of results must be a JSON file that the same command wrote; "
            f"repair it, remove it or choose another one. Received: {path}"
        )
    return found


def save(result: Any, path: Path) -> None:
    """Write a result in JSON format, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    write_atomically(path, lambda file: file.write(f"{text}\n".encode()))
