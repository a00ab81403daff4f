"""Everything that is refused: what is tried, the error, and what its message says.

What is tried is a function. It may take `model`, a compiled and trained `tests.models.classifier`
of which nothing may change, and `tmp_path`, an empty folder. `test_refusals` tries every row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinynet
from tinynet import callbacks, layers, losses, metrics, optimizers  # noqa: F401

Rows = dict[str, tuple[Callable[..., Any], type[Exception] | tuple[type[Exception], ...], str]]

# ------------------------------------------------------------ layers, initializers, regularizers
LAYERS: Rows = {
    "Dense of no units": (lambda: layers.Dense(0), ValueError, "units must be .*Received: "),
}

# ------------------------------------------------------------ losses and metrics
LOSSES_AND_METRICS: Rows = {}

# ------------------------------------------------------------ optimizers and callbacks
OPTIMIZERS_AND_CALLBACKS: Rows = {}

# ------------------------------------------------------------ compile, fit, evaluate, predict
TRAINING: Rows = {
    "labels one shorter": (
        lambda model: model.fit(np.ones((3, 4)), np.ones(2), verbose=0),
        ValueError,
        "same length.*Received: ",
    ),
}

# ------------------------------------------------------------ models and their files
ENDINGS = ["net", "net.pkl", "net.pb", "net.npz", "net.weights.keras.bak"]
SUFFIXES = [".tinynet", ".keras", ".h5", ".hdf5"]


def save_to(name: str, kind: str = "save") -> Callable[..., Any]:
    return lambda model, tmp_path: getattr(model, kind)(tmp_path / name)


def load_from(name: str) -> Callable[..., Any]:
    return lambda tmp_path: tinynet.models.load_model(tmp_path / name)


def load_weights_from(name: str, **options: Any) -> Callable[..., Any]:
    return lambda model, tmp_path: model.load_weights(tmp_path / name, **options)


def load_folder(tmp_path: Any) -> None:
    (tmp_path / "folder.keras").mkdir()
    tinynet.models.load_model(tmp_path / "folder.keras")


def load_only_weights(model: Any, tmp_path: Any) -> None:
    model.save_weights(tmp_path / "net.weights.h5")
    tinynet.models.load_model(tmp_path / "net.weights.h5")


def load_before_build(model: Any, tmp_path: Any) -> None:
    model.save_weights(tmp_path / "net.weights.h5")
    tinynet.Sequential([layers.Dense(3)]).load_weights(tmp_path / "net.weights.h5")


def two_layers_named(*names: str) -> Any:
    x = tinynet.Input((2,), name="a")
    return lambda: tinynet.Model(
        x, layers.Dense(2, name=names[1])(layers.Dense(2, name=names[0])(x))
    )


class Odd(layers.Dense):
    """A layer whose configuration is not JSON."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "odd": object()}


MODELS_AND_FILES: Rows = {
    **{
        f"model saved as {name}": (save_to(name), ValueError, f"must end in .*filepath=.*{name}$")
        for name in ENDINGS
    },
    **{
        f"model loaded from {name}": (load_from(name), ValueError, f"end in .*filepath=.*{name}$")
        for name in ENDINGS
    },
    **{
        f"weights saved as {name}": (
            save_to(name, "save_weights"),
            ValueError,
            r"must end in '\.weights\.h5'.*Received: ",
        )
        for name in ("net.h5", "net.tinynet")
    },
    **{
        f"missing {suffix}": (load_from(f"x{suffix}"), ValueError, f"no such file.*x{suffix}$")
        for suffix in SUFFIXES
    },
    **{
        f"missing weights {suffix}": (
            load_weights_from(f"x{suffix}"),
            ValueError,
            f"no such file.*x{suffix}$",
        )
        for suffix in (".weights.h5", *SUFFIXES)
    },
    "folder for a file": (load_folder, ValueError, "no such file.*Received: "),
    "no name of a file": (
        lambda model: model.save(None),
        TypeError,
        "filepath must be a string or a path",
    ),
    "weights for a model": (load_only_weights, ValueError, "only weights.*Received: "),
    "weights by name": (
        load_weights_from("net.weights.h5", by_name=True),
        ValueError,
        "by_name=True needs a whole-model.*Received: ",
    ),
    "weights saved before build": (
        lambda tmp_path: tinynet.Sequential([layers.Dense(3)]).save_weights(
            tmp_path / "net.weights.h5"
        ),
        ValueError,
        "before saving weights.*built=False",
    ),
    "weights loaded before build": (
        load_before_build,
        ValueError,
        "before loading weights.*built=False",
    ),
    "two layers of one name": (
        two_layers_named("b", "b"),
        ValueError,
        "different names.*Received: ",
    ),
    "layer named as the input": (
        two_layers_named("a", "b"),
        ValueError,
        "different names.*Received: ",
    ),
    "configuration that is not JSON": (
        lambda tmp_path: tinynet.Sequential([tinynet.Input((4,)), Odd(2)]).save(
            tmp_path / "net.tinynet"
        ),
        ValueError,
        "A configuration can hold.*Received: ",
    ),
    "JSON that is too long": (
        lambda: tinynet.saving.configuration.to_json({"a": "x" * (5 << 20)}),
        ValueError,
        "JSON may have.*Received: ",
    ),
}

# ------------------------------------------------------------ operations, tape, variables, random
OPERATIONS: Rows = {}

# ------------------------------------------------------------ data, datasets and their files
DATA: Rows = {}

# ------------------------------------------------------------ config, utils, the command line
SETTINGS: Rows = {}

# ------------------------------------------------------------ explain, visualize, export, sklearn
EXTRAS: Rows = {}

SECTIONS = [
    *(LAYERS, LOSSES_AND_METRICS, OPTIMIZERS_AND_CALLBACKS, TRAINING, MODELS_AND_FILES),
    *(OPERATIONS, DATA, SETTINGS, EXTRAS),
]
REFUSALS: Rows = {name: row for section in SECTIONS for name, row in section.items()}
