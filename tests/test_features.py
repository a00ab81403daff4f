"""Test every row of `tests.features` with tinynet and Keras."""

from __future__ import annotations

import importlib
import json
import sys
import warnings

import pytest

import tinynet
from tests import features
from tinynet._core import keras_names
from tinynet.compat import tensorflow as stand_in

GOLDEN = json.loads(features.GOLDEN.read_text(encoding="utf-8"))
ROWS = [pytest.param(f, id=f"{f.rank}-{f.name}") for f in features.FEATURES]


def require(feature: features.Feature) -> None:
    """Skip the test if a required package is not installed."""
    if "TensorBoard" in feature.name:
        pytest.importorskip("tensorboard", reason="needs tensorboard: pip install -e '.[test]'")


@pytest.mark.parametrize("feature", ROWS)
def test_feature_matches_recorded(feature: features.Feature) -> None:
    require(feature)
    found = features.result(feature, tinynet, stand_in)
    assert found == GOLDEN.get(str(feature.rank), "refused")


def test_ranks_are_consecutive() -> None:
    assert [f.rank for f in features.FEATURES] == list(range(1, 179))
    uses = [f.programs for f in features.FEATURES]
    assert uses == sorted(uses, reverse=True)
    assert all(f.on_keras_3 <= f.programs for f in features.FEATURES)


def test_unsupported_features() -> None:
    found = {f.name for f in features.FEATURES if f.supported is False}
    assert found == {"tf.saved_model.load", "tf.saved_model.save"}
    # Keras 3 does not support these, so no program for Keras 3 uses them.
    assert all(f.on_keras_3 == 0 for f in features.FEATURES if f.supported is None)
    assert len(features.summary(features.FEATURES)) == 8


@pytest.mark.slow
def test_feature_matches_keras() -> None:
    pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")
    from reference.keras_net import keras, tf

    for feature in features.FEATURES:
        if feature.supported is False or "TensorBoard" in feature.name:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns about input_shape and .h5 files
            found = features.result(feature, keras, tf)
        assert json.loads(json.dumps(found)) == GOLDEN[str(feature.rank)], feature.name


# ------------------------------------------------------------ unsupported names of Keras

HERE = {path: sys.modules.get(f"tinynet.{path}".rstrip(".")) for path in keras_names.KERAS_NAMES}
KERAS_MODULES = [path for path, module in HERE.items() if hasattr(module, "__file__")]


@pytest.mark.wide
def test_keras_names_list_is_current() -> None:
    pytest.importorskip("keras", reason="needs keras: pip install -e '.[test]'")
    from reference import keras_names as generator

    own = generator.FILE.read_text(encoding="utf-8")
    if own.split("\n")[0] != f"version: {generator.keras.__version__}":
        pytest.skip("the list was generated with a different version of Keras")
    assert own == generator.text(), "the list is outdated; run python -m reference.keras_names"


@pytest.mark.parametrize("path", KERAS_MODULES)
def test_every_keras_name_exists_or_raises(path: str) -> None:
    keras = pytest.importorskip("keras", reason="needs keras: pip install -e '.[test]'")
    theirs = importlib.import_module(f"keras.{path}".rstrip("."))
    ours = importlib.import_module(f"tinynet.{path}".rstrip("."))
    public = {name for name in dir(theirs) if not name.startswith("_")} - {"src"}
    here = set(vars(ours))
    listed = set(keras_names.KERAS_NAMES[path].split()) - here
    assert public - here - listed == set()
    assert keras.__version__
    for name in listed:
        said = rf"^tinynet does not support .*Available: .*Received: .*{name}$"
        with pytest.raises(NotImplementedError, match=said):
            getattr(ours, name)


@pytest.mark.parametrize(
    "line",
    [
        "layers import Conv2D",
        "applications import VGG16",
        "applications.vgg16 import VGG16",
        "datasets import cifar10",
        "datasets.cifar10 import load_data",
        "preprocessing.image import ImageDataGenerator",
        "compat.tensorflow.keras.layers import LSTM",
        "compat.tensorflow.keras.preprocessing import image",
        "compat.tensorflow import saved_model",
    ],
)
def test_missing_keras_imports_are_explained(line: str) -> None:
    with pytest.raises(NotImplementedError, match=r"not support.* Received: "):
        exec(f"from tinynet.{line}", {})


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="did you mean 'Dense'"):
        _ = tinynet.layers.Dens
    assert not hasattr(tinynet.losses, "nothing_of_the_kind")
    assert not hasattr(tinynet, "nothing_of_the_kind")
