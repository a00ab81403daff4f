"""Access to readers of files that are not public, and to the global state they may not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.internals import settings
from tinynet import cli, random
from tinynet._core import registry
from tinynet.datasets import framing


def global_state() -> tuple[Any, ...]:
    """Return the settings, the registered names, and NumPy's handling of errors."""
    sizes = [len(each.classes) for each in registry._registries]
    custom = len(registry._registered), registry._scope.get()
    return settings.current(), sizes, custom, np.geterr()


def random_state() -> Any:
    """Return the state of the global random number generator."""
    return random._current().generator.bit_generator.state


def classes() -> list[tuple[str, str, type]]:
    """Return the module, the name and the class of each class that configurations can name."""
    listed = registry._registries
    return [(each.module, name, cls) for each in listed for name, cls in each.classes.items()]


def read_image(path: Path, most_pixels: int) -> Any:
    """Read an image like ``tinynet predict``, with another limit of the number of pixels."""
    before, cli.MAX_PIXELS = cli.MAX_PIXELS, most_pixels
    try:
        return cli._read_image(str(path))
    finally:
        cli.MAX_PIXELS = before


def frame(path: Path, image: Any) -> Any:
    """Frame the digit of an image; errors name the file."""
    try:
        return framing.frame_digit(image)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def backup(model: Any, states: Any = ()) -> bytes:
    """Return the file of `BackupAndRestore`."""
    return model._backup(states)  # type: ignore[no-any-return]


def restore_backup(model: Any, path: Path) -> Any:
    """Restore a model from the file of `BackupAndRestore`."""
    return model._restore_backup(path)
