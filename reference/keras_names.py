"""List the public names of Keras: ``python -m reference.keras_names [FILE]``.

The list is written to FILE, by default ``tinynet/_core/keras_names.txt``, which tinynet uses for
error messages about names that exist only in Keras. It has a line for each public module of Keras
except ``keras.ops``, with the names in the module.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import keras

FILE = Path(__file__).parents[1] / "tinynet" / "_core" / "keras_names.txt"


def modules(module: ModuleType) -> Iterator[tuple[str, list[str]]]:
    """Yield the path and the public names of a module and all of its public submodules."""
    public = [name for name in sorted(dir(module)) if name[0] != "_" and name != "src"]
    yield module.__name__, public
    for name in public:
        inner = getattr(module, name)
        if isinstance(inner, ModuleType) and inner.__name__ != "keras.ops":
            yield from modules(inner)


def text() -> str:
    """Return the contents of the file."""
    lines = [f"version: {keras.__version__}"]
    lines += [f"{path}: {' '.join(names)}" for path, names in modules(keras)]
    return "".join(textwrap.fill(line, 99, subsequent_indent="  ") + "\n" for line in lines)


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else FILE).write_text(text(), encoding="utf-8")
