"""Write down Keras' public names: ``python -m reference.keras_names``.

The text goes into ``tinynet/_core/keras_names.txt``, so that tinynet can refuse the names that only
Keras has, or into the file that is named: for each public module of Keras a line with the names in
it, except for ``keras.ops``.
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
    """Yield the path of each public module, from this one on, and its public names."""
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
