"""Migration of Keras programs to tinynet: only the import lines change.

`LINES` lists all replacements. ``docs/keras.md`` shows them as a table, the tests apply them to the
programs in ``tests/programs`` and ``tests/custom_programs``, and
``examples/10_moved_from_keras/after.py`` was generated with them.
"""

from __future__ import annotations

import re

# Pattern of a line, its replacement, and an example.
LINES = (
    (
        r"import tensorflow as (\w+)",
        r"import tinynet.compat.tensorflow as \1",
        "import tensorflow as tf",
    ),
    (r"from tensorflow import keras", "import tinynet as keras", "from tensorflow import keras"),
    (r"import keras", "import tinynet as keras", "import keras"),
    (
        r"import (?:tensorflow\.)?keras as (\w+)",
        r"import tinynet as \1",
        "import tensorflow.keras as keras",
    ),
    (
        r"(import|from) (?:tensorflow\.)?keras\.(.+)",
        r"\1 tinynet.\2",
        "from tensorflow.keras.layers import Dense",
    ),
    (
        r"from (?:tensorflow\.)?keras import (.+)",
        r"from tinynet import \1",
        "from keras import layers",
    ),
)


def replace_imports(program: str) -> str:
    """Rewrite the import lines of a program."""
    return "\n".join(map(replace_import_line, program.split("\n")))


def replace_import_line(line: str) -> str:
    """Rewrite a line if it imports Keras or TensorFlow."""
    for before, after, _ in LINES:
        if re.fullmatch(before, line):
            return re.sub(before, after, line)
    return line


def table() -> str:
    """Format the replacements as a Markdown table for ``docs/keras.md``."""
    rows = ["| Keras | tinynet |", "| --- | --- |"]
    rows += [f"| `{example}` | `{replace_import_line(example)}` |" for _, _, example in LINES]
    return "\n".join(rows)
