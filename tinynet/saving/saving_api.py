"""Public functions that save and load; the file extension selects the format."""

from __future__ import annotations

import contextlib
import errno
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from tinynet import random
from tinynet._core import checks
from tinynet._core.atomic_files import write_atomically
from tinynet.saving import configuration, json_format, keras_format, state, tinynet_format
from tinynet.saving.errors import MALFORMED
from tinynet.saving.saved_model import Model

__all__ = ["load_model", "load_weights", "model_from_json", "save_model", "save_weights", "to_json"]

#: Functions that write and read each format, by extension.
FORMATS: dict[str, tuple[Callable[..., bytes], Callable[[bytes], state.Source]]] = {
    ".tinynet": (tinynet_format.write, tinynet_format.read),
    ".keras": (keras_format.write, keras_format.read),
    **dict.fromkeys((".h5", ".hdf5"), (keras_format.write_legacy, keras_format.Legacy)),
    ".json": (json_format.write, json_format.read),
    ".weights.h5": (keras_format.write_weights, keras_format.read_weights),
}
_DAMAGE = (ValueError, EOFError, NotImplementedError, OSError, BadZipFile, zlib.error, struct.error)


def save_model(
    model: Model, filepath: Any, overwrite: bool = True, include_optimizer: bool = True
) -> None:
    """Save a model: its configuration, compile arguments, weights and optimizer state.

    Writing is atomic: an existing file is replaced only when the new one is complete.

    Parameters
    ----------
    model : Model
        Model to save.
    filepath : str or path-like
        File to write. The extension selects the format: ``.tinynet`` has the safetensors layout,
        ``.keras`` can be loaded by Keras 3, ``.h5`` and ``.hdf5`` by older versions of Keras, and
        ``.json`` is readable text, without the optimizer state.
    overwrite : bool
        If True, replace an existing file.
    include_optimizer : bool
        If True, save the compile arguments and the optimizer state.

    Raises
    ------
    ValueError
        If the extension is not supported.
    FileExistsError
        If the file exists and `overwrite` is False.
    OSError
        If the file cannot be written. An existing file is unchanged.

    Examples
    --------
    >>> import tempfile, tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, f"{folder}/net.tinynet")
    ...     load_model(f"{folder}/net.tinynet").output_shape
    (None, 2)
    """
    path = Path(checks.path("filepath", filepath))
    _check_ending("filepath", path)
    _write(model, path, path.suffix, overwrite, include_optimizer)


def load_model(
    filepath: Any,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Load a model saved by tinynet or Keras.

    Loading is safe for untrusted files: no code in the file is executed, and the file can only
    refer to classes and functions of tinynet and of `custom_objects`.

    Parameters
    ----------
    filepath : str or path-like
        File to read, with the extension ``.tinynet``, ``.keras``, ``.h5``, ``.hdf5`` or
        ``.json``.
    custom_objects : dict, optional
        Custom classes and functions by name.
    compile : bool
        If True, compile the model with the saved arguments and restore the optimizer state.
    safe_mode : bool
        Ignored, since loading is always safe; present for compatibility with Keras.

    Returns
    -------
    Model
        Loaded model.

    Raises
    ------
    ValueError
        If the file was not found, is corrupted, or requires a feature that tinynet does not
        support.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile, tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/net.tinynet")
    ...     load_model(f"{folder}/net.tinynet").predict([[1, 2, 3, 4]]).shape
    (1, 2)
    """
    path = Path(checks.path("filepath", filepath))
    with reading(path) as source:
        expected = "The file contains only weights; build the model and call load_weights"
        checks.require(source.config is not None, expected, "no model_config")
        run = source.run or {}
        floatx, size = run.get("floatx"), source.n_bytes
        model = configuration.build(source.config, size, compile, custom_objects, floatx)
        if model.compiled and source.skipped_state:
            problem = "The optimizer state of a Keras 2 file cannot be loaded"
            checks.warn(f"{problem}; training continues with a new optimizer state.")
        if model.built:
            state.restore(model, source, run if "random" in run else None)
    return model


def save_weights(model: Model, filepath: Any, overwrite: bool = True) -> None:
    """Save the weights of a model, and the optimizer state if it is compiled.

    Parameters
    ----------
    model : Model
        Built model.
    filepath : str or path-like
        File to write, with the extension ``.weights.h5``. Keras can load it too.
    overwrite : bool
        If True, replace an existing file.

    Raises
    ------
    ValueError
        If the extension is not supported, or the model is not built.
    FileExistsError
        If the file exists and `overwrite` is False.
    OSError
        If the file cannot be written. An existing file is unchanged.

    Examples
    --------
    >>> import tempfile, tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(model, f"{folder}/net.weights.h5")
    ...     load_weights(model, f"{folder}/net.weights.h5")
    """
    path = Path(checks.path("filepath", filepath))
    expected = "filepath must end in '.weights.h5'"
    fix = "to save a whole model, use model.save"
    fits = path.name.endswith(".weights.h5")
    checks.require(fits, f"{expected}; {fix}", f"filepath={filepath}")
    state.require_built(model, "saving")
    _write(model, path, ".weights.h5", overwrite)


def load_weights(
    model: Model, filepath: Any, skip_mismatch: bool = False, by_name: bool = False
) -> None:
    """Load weights into a model, and the optimizer state if it is compiled.

    The learning rate is not changed.

    Parameters
    ----------
    model : Model
        Built model. It is unchanged if an error is raised.
    filepath : str or path-like
        File of weights or of a whole model, with the extension ``.weights.h5``, ``.tinynet``,
        ``.keras``, ``.h5``, ``.hdf5`` or ``.json``.
    skip_mismatch : bool
        If True, skip layers whose number or shapes of weights differ, with a warning.
    by_name : bool
        If True, load only layers whose name is in the file; only for ``.h5`` and ``.hdf5``.

    Raises
    ------
    ValueError
        If the file was not found, is corrupted, or does not match the model.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile, tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/net.tinynet")
    ...     load_weights(model, f"{folder}/net.tinynet")
    """
    path = Path(checks.path("filepath", filepath))
    checks.flag("skip_mismatch", skip_mismatch)
    named = path.suffix in (".h5", ".hdf5") and not path.name.endswith(".weights.h5")
    fits = not checks.flag("by_name", by_name) or named
    expected = "by_name=True requires a whole-model '.h5' or '.hdf5' file"
    checks.require(fits, f"{expected}, which contains layer names", f"filepath={path}")
    with reading(path) as source:
        source.by_name = by_name
        state.restore(model, source, keep_rate=True, skip_mismatch=skip_mismatch)


def to_json(model: Model) -> str:
    """Return the configuration of a model as JSON, without its weights.

    Parameters
    ----------
    model : Model
        Model to serialize.

    Returns
    -------
    str
        JSON string that `model_from_json` accepts.

    Examples
    --------
    >>> import tinynet
    >>> to_json(tinynet.Sequential(name="net"))[:47]
    '{"module": "keras", "class_name": "Sequential",'
    """
    return configuration.to_json(configuration.describe(model))


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """Build a model, with newly initialized weights, from the result of `Model.to_json`.

    Parameters
    ----------
    json_string : str
        Configuration of the model as JSON.
    custom_objects : dict, optional
        Custom classes and functions by name.

    Returns
    -------
    Model
        New model.

    Raises
    ------
    ValueError
        If the configuration is malformed, or requires a feature that tinynet does not support.

    Examples
    --------
    >>> import tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> model_from_json(model.to_json()).count_params()
    10
    """
    return configuration.build(configuration.from_json(json_string), custom_objects=custom_objects)


def _check_ending(what: str, path: Path) -> None:
    expected = f"{what} must end in '.tinynet', '.keras', '.h5', '.hdf5' or '.json'"
    checks.require(path.suffix in FORMATS, expected, f"filepath={path}")


def _write(model: Model, path: Path, kind: str, overwrite: bool, *options: bool) -> None:
    expected, received = "filepath must not exist if overwrite=False", f"filepath={path}"
    checks.require(overwrite or not path.exists(), expected, received, FileExistsError)
    if not model.built:
        checks.warn(f"{model.name} is not built yet and has no weights to save.")
    contents = FORMATS[kind][0](model, *options)
    write_atomically(path, lambda file: file.write(contents))


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Open a file to load; errors about its contents become a ValueError that names the file."""
    _check_ending("filepath", path)
    checks.require(path.is_file(), "The file was not found", f"filepath={path}")
    kind = ".weights.h5" if path.name.endswith(".weights.h5") else path.suffix
    contents = path.read_bytes()
    try:
        with random._undone_on_error():  # seeds are drawn to initialize layers
            yield FORMATS[kind][1](contents)
    except (*_DAMAGE, *MALFORMED) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # an I/O error; a wrong offset in the file raises EINVAL
        what = str(error)
        if "Received: " not in what:  # raised by Python, NumPy or h5py
            what = f"The file is corrupted. Received: {type(error).__name__}: {error!s:.500}"
        what = what if len(what) < 1000 else f"{what[:500]} ... {what[-400:]}"
        raise ValueError(f"{path} cannot be loaded. {what}") from error
