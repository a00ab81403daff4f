"""Saving and loading: which format a file's name means, and what all formats have in common."""

from __future__ import annotations

import contextlib
import errno
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

from tinynet import checks
from tinynet.files import write_atomically
from tinynet.saving import configuration, keras_format, state, tinynet_format
from tinynet.sequential import Model

__all__ = ["load_model", "load_weights", "model_from_json", "save_model", "save_weights", "to_json"]

WRITERS = {
    ".tinynet": tinynet_format.write,
    ".keras": keras_format.write,
    ".h5": keras_format.write_legacy,
    ".hdf5": keras_format.write_legacy,
}
SUFFIXES = "'.tinynet', '.keras', '.h5' or '.hdf5'"
_DAMAGE = (ValueError, EOFError, NotImplementedError, OSError, BadZipFile, zlib.error, struct.error)


def save_model(
    model: Model, filepath: Any, overwrite: bool = True, include_optimizer: bool = True
) -> None:
    """Save a model: what it is, how it was compiled, its weights and the optimizer's state.

    The file is written beside its place and moved there when complete.

    Parameters
    ----------
    model : Model
        The model.
    filepath : str or Path
        Where. The ending decides the format: ``.tinynet`` needs nothing else, ``.keras`` is read
        by Keras too, ``.h5`` and ``.hdf5`` by older programs.
    overwrite : bool
        Whether an existing file may be replaced.
    include_optimizer : bool
        Whether to save how it was compiled and the optimizer's state.

    Raises
    ------
    ValueError
        If the ending is another one.
    FileExistsError
        If the file exists and must not be replaced.
    OSError
        If it can't be written; an older file is still there then.

    Examples
    --------
    >>> import tempfile, tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, f"{folder}/net.tinynet")
    ...     load_model(f"{folder}/net.tinynet").output_shape
    (None, 2)
    """
    path = _as_path(filepath)
    if path.suffix not in WRITERS:
        raise ValueError(
            f"The name of a model's file must end in {SUFFIXES}. Received: filepath={filepath}"
        )
    _check_overwrite(path, overwrite)
    if not model.built:
        checks.warn(f"{model.name} is not built yet, so it has no weights to save.")
    contents = WRITERS[path.suffix](model, include_optimizer)
    write_atomically(path, lambda file: file.write(contents))


def load_model(
    filepath: Any,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """Load a model that tinynet or Keras saved.

    Nothing in a file is run, imported or followed: it can only name what tinynet has and what
    `custom_objects` adds.

    Parameters
    ----------
    filepath : str or Path
        The file, whose name ends in ``.tinynet``, ``.keras``, ``.h5`` or ``.hdf5``.
    custom_objects : dict, optional
        Your own classes and functions by name.
    compile : bool
        Whether to compile the model as it was, with the optimizer's state.
    safe_mode : bool
        Accepted as Keras does, without effect: loading is always safe.

    Returns
    -------
    Model
        The model.

    Raises
    ------
    ValueError
        If there is no such file, it is damaged, or it asks for what tinynet has not.
    OSError
        If it can't be read.

    Examples
    --------
    >>> import tempfile, tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/net.tinynet")
    ...     load_model(f"{folder}/net.tinynet").predict([[1, 2, 3, 4]]).shape
    (1, 2)
    """
    path = _as_path(filepath)
    with _reading(path) as file:
        source, config, run = _read(path, file)
        if config is None:
            raise ValueError(
                "The file holds no model, only weights: build the model, then call load_weights. "
                "Received: no model_config"
            )
        floatx = run and run.get("floatx")
        model = configuration.build(config, source.n_bytes, compile, custom_objects, floatx)
        if model.compiled and source.skipped_state:
            checks.warn(
                "The optimizer's state in a file of Keras 2 can't be read: training continues with "
                "a new one."
            )
        if model.built:
            state.restore(model, source, run if run and "random" in run else None)
    return model


def save_weights(model: Model, filepath: Any, overwrite: bool = True) -> None:
    """Save the weights of a model, and the optimizer's state if it is compiled.

    Parameters
    ----------
    model : Model
        The model, built.
    filepath : str or Path
        Where; it must end in ``.weights.h5``. Keras reads it too.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    ValueError
        If the ending is another one, or the model is not built.
    FileExistsError
        If the file exists and must not be replaced.
    OSError
        If it can't be written; an older file is still there then.

    Examples
    --------
    >>> import tempfile, tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(model, f"{folder}/net.weights.h5")
    ...     load_weights(model, f"{folder}/net.weights.h5")
    """
    path = _as_path(filepath)
    if not path.name.endswith(".weights.h5"):
        raise ValueError(
            "The name of a file of weights must end in '.weights.h5'; a whole model may be saved "
            f"with model.save. Received: filepath={filepath}"
        )
    if not model.built:
        raise ValueError(
            f"Build {model.name} before saving weights: call build(input_shape). "
            "Received: built=False"
        )
    _check_overwrite(path, overwrite)
    contents = keras_format.write_weights(model)
    write_atomically(path, lambda file: file.write(contents))


def load_weights(
    model: Model, filepath: Any, skip_mismatch: bool = False, by_name: bool = False
) -> None:
    """Load weights into a model, and the optimizer's state if it is compiled.

    The learning rate stays as it was set.

    Parameters
    ----------
    model : Model
        The model, built. It stays as it was if anything does not fit.
    filepath : str or Path
        A file of weights or a whole model, whose name ends in ``.weights.h5``, ``.tinynet``,
        ``.keras``, ``.h5`` or ``.hdf5``.
    skip_mismatch : bool
        If True, layers whose number or shapes of weights differ keep their weights, and a warning
        lists them.
    by_name : bool
        If True, load only layers whose name is in the file; only for ``.h5`` and ``.hdf5``.

    Raises
    ------
    ValueError
        If there is no such file, it is damaged, or it does not fit the model.
    OSError
        If it can't be read.

    Examples
    --------
    >>> import tempfile, tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/net.tinynet")
    ...     load_weights(model, f"{folder}/net.tinynet")
    """
    path = _as_path(filepath)
    checks.flag("skip_mismatch", skip_mismatch)
    legacy = path.suffix in (".h5", ".hdf5") and not path.name.endswith(".weights.h5")
    if checks.flag("by_name", by_name) and not legacy:
        raise ValueError(
            "by_name=True needs a whole-model '.h5' or '.hdf5' file, which holds the names of "
            f"layers. Received: filepath={path}"
        )
    with _reading(path) as file:
        weights = path.name.endswith(".weights.h5")
        source = keras_format.Weights(file) if weights else _read(path, file, by_name)[0]
        state.restore(model, source, keep_rate=True, skip_mismatch=skip_mismatch)


def to_json(model: Model) -> str:
    """Write what a model is made of as JSON, without its weights.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    str
        What `model_from_json` takes.

    Examples
    --------
    >>> import tinynet
    >>> to_json(tinynet.Sequential(name="net"))[:47]
    '{"module": "keras", "class_name": "Sequential",'
    """
    return configuration.to_json(configuration.describe(model))


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Model:
    """Make a model, with new weights, of what `Model.to_json` returned.

    Parameters
    ----------
    json_string : str
        The model's configuration as JSON.
    custom_objects : dict, optional
        Your own classes and functions by name.

    Returns
    -------
    Model
        The model.

    Raises
    ------
    ValueError
        If it is malformed, or asks for what tinynet has not.

    Examples
    --------
    >>> import tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> model_from_json(model.to_json()).count_params()
    10
    """
    return configuration.build(configuration.from_json(json_string), custom_objects=custom_objects)


def _as_path(filepath: Any) -> Path:
    return Path(checks.path("filepath", filepath))


def _check_overwrite(path: Path, overwrite: bool) -> None:
    if not overwrite and path.exists():
        raise FileExistsError(f"The file exists, and overwrite is False. Received: {path}")


def _read(path: Path, file: BinaryIO, by_name: bool = False) -> Any:
    """Return the weights in a whole-model file, its configuration and the state of its run."""
    if path.suffix in (".tinynet", ".keras"):
        return (tinynet_format if path.suffix == ".tinynet" else keras_format).read(file)
    legacy = keras_format.Legacy(file, by_name)
    return legacy, legacy.config, legacy.run


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Open a file; all that is wrong with its contents becomes a ValueError that names it."""
    if path.suffix not in WRITERS:
        raise ValueError(f"The file's name must end in {SUFFIXES}. Received: filepath={path}")
    if not path.is_file():
        raise ValueError(f"There is no such file. Received: filepath={path}")
    with path.open("rb") as file:
        try:
            yield file
        except (*_DAMAGE, *configuration.MALFORMED) as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # the disk's fault; a wrong offset in the file is an invalid argument
            what = str(error)
            if "Received: " not in what:  # not ours, but Python's, NumPy's or h5py's
                what = f"The file is damaged. Received: {type(error).__name__}: {error}"
            raise ValueError(f"{path} can't be loaded. {what}") from error
