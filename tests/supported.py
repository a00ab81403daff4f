"""Tables of the supported parts of Keras, generated from the code: ``python -m tests.supported``.

With ``--write``, they are written to docs/keras.md, between two markers.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import tinynet
from docs import public_names
from tests import features, import_lines, page_tables
from tests.internals import registry
from tests.internals.registry import classes as registered
from tinynet import callbacks
from tinynet._core.keras_names import KERAS_NAMES
from tinynet.compat import tensorflow as stand_in

PAGE = Path(tinynet.__file__).parents[1] / "docs" / "keras.md"
BEGIN, END = "<!-- supported:begin -->", "<!-- supported:end -->"


def kinds() -> dict[str, list[str]]:
    """Return the supported names of each kind."""
    k = tinynet
    own_callbacks = [
        name for name in sorted(callbacks.__all__) if inspect.isclass(getattr(callbacks, name))
    ]
    around = [
        name
        for name, v in vars(stand_in).items()
        if getattr(v, "__module__", "") == stand_in.__name__ or hasattr(v, "__wrapped__")
    ]
    return {
        "models": ["Sequential", "functional `Model(inputs, outputs)`", "subclasses of `Model`"],
        "layers": [n for n in registered(k.layers.layer) if n not in ("Sequential", "Functional")],
        "activations": sorted(set(registry.names(k.activations))),
        "losses": registered(k.losses.loss),
        "metrics": registered(k.metrics.metric),
        "optimizers": registered(k.optimizers.optimizer),
        "optimizers.schedules": registered(k.optimizers.schedules.learning_rate_schedule),
        "callbacks": [n for n in own_callbacks if n not in ("CallbackList", "Logs", "Monitor")],
        "initializers": registered(k.initializers),
        "regularizers": registered(k.regularizers),
        "constraints": registered(k.constraints),
        "random": sorted({*public_names.names_of(k.random)} & {*KERAS_NAMES["random"].split()}),
        "utils": sorted(k.utils.__all__),
        "datasets": [n for n in k.datasets.__all__ if n in KERAS_NAMES["datasets"].split()],
        "files": [".keras", ".h5", ".weights.h5", "JSON"],
        "`tf`": sorted(n for n in around if n[0].islower() and callable(vars(stand_in)[n])),
        **{
            f"`tf.{path}`": sorted(n for n in vars(getattr(stand_in, path)) if n[0] != "_")
            for path in ("math", "nn", "linalg", "random", "data", "debugging", "config")
        },
    }


def block() -> str:
    """Return the text between the markers, including the markers."""
    rows = ["| kind | names |", "| --- | --- |"]
    rows += [
        f"| {kind} | {', '.join(n if '`' in n else f'`{n}`' for n in names)} |"
        for kind, names in kinds().items()
    ]
    listed = [f for f in features.FEATURES if f.on_keras_3]
    here = sum(bool(f.supported) for f in listed)
    gone = ", ".join(f"`{f.name}`" for f in listed if f.supported is False)
    said = (
        f"Of 62 public programs for dense networks, 49 run with Keras 3. They use {len(listed)} "
        f"features of Keras 3, and tinynet supports {here} of these. Not supported: {gone}."
    )
    return "\n".join([BEGIN, import_lines.table(), "", *rows, "", said, END])


if __name__ == "__main__":
    page_tables.main(PAGE, block)
