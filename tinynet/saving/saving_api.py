"""Saving and loading: the format that a file's name means, and what all formats have in common."""

from __future__ import annotations

import contextlib
import errno
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from tinynet._core import checks
from tinynet._core.atomic_files import write_atomically
from tinynet.saving import configuration, keras_format, state, tinynet_format
from tinynet.saving.errors import MALFORMED
from tinynet.saving.saved_model import Model

__all__ = ["load_model", "load_weights", "model_from_json", "save_model", "save_weights", "to_json"]

#: How each format is written and read.
FORMATS: dict[str, tuple[Callable[..., bytes], Callable[[bytes], state.Source]]] = {
    ".tinynet": (tinynet_format.write, tinynet_format.read),
    ".keras": (keras_format.write, keras_format.read),
    **dict.fromkeys((".h5", ".hdf5"), (keras_format.write_legacy, keras_format.Legacy)),
    ".weights.h5": (keras_format.write_weights, keras_format.read_weights),
}
_DAMAGE = (ValueError, EOFError, NotImplementedError, OSError, BadZipFile, zlib.error, struct.error)


def save_model(
    model: Model, filepath: Any, overwrite: bool = True, include_optimizer: bool = True
) -> None:
    """Save a model: its configuration, the arguments of `compile`, weights and optimizer's state.

    The file is replaced when the new one is complete.

    Parameters
    ----------
    model : Model
        The model.
    filepath : str or Path
        File to write. The ending decides the format: ``.tinynet`` has the layout of safetensors,
        whose arrays other tools read, ``.keras`` is read by Keras too, ``.h5`` and ``.hdf5`` by
        older programs.
    overwrite : bool
        Whether an existing file may be replaced.
    include_optimizer : bool
        Whether to save the arguments of `compile` and the optimizer's state.

    Raises
    ------
    ValueError
        If the ending is another one.
    FileExistsError
        If the file exists and must not be replaced.
    OSError
        If it can't be written; an older file is kept then.

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
    _check_ending("The name of a model's file", path)
    _write(model, path, path.suffix, overwrite, include_optimizer)


def load_model(
    filepath: Any,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Load a model that tinynet or Keras saved.

    Nothing in a file is run, imported or followed: it can only name classes and functions of
    tinynet and of `custom_objects`.

    Parameters
    ----------
    filepath : str or Path
        The file, whose name ends in ``.tinynet``, ``.keras``, ``.h5`` or ``.hdf5``.
    custom_objects : dict, optional
        Custom classes and functions by name.
    compile : bool
        Whether to compile the model as it was compiled, with the optimizer's state.
    safe_mode : bool
        Accepted as Keras does, without effect: loading is always safe.

    Returns
    -------
    Model
        The model.

    Raises
    ------
    ValueError
        If there is no such file, it is damaged, or it needs what tinynet does not support.
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
    path = Path(checks.path("filepath", filepath))
    with reading(path) as source:
        expected = "The file holds no model, only weights: build the model, then call load_weights"
        checks.require(source.config is not None, expected, "no model_config")
        run = source.run or {}
        floatx, size = run.get("floatx"), source.n_bytes
        model = configuration.build(source.config, size, compile, custom_objects, floatx)
        if model.compiled and source.skipped_state:
            problem = "The optimizer's state in a file of Keras 2 can't be read"
            checks.warn(f"{problem}: training continues with a new one.")
        if model.built:
            state.restore(model, source, run if "random" in run else None)
    return model


def save_weights(model: Model, filepath: Any, overwrite: bool = True) -> None:
    """Save the weights of a model, and the optimizer's state if it is compiled.

    Parameters
    ----------
    model : Model
        The model, built.
    filepath : str or Path
        File to write; it must end in ``.weights.h5``. Keras reads it too.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    ValueError
        If the ending is another one, or the model is not built.
    FileExistsError
        If the file exists and must not be replaced.
    OSError
        If it can't be written; an older file is kept then.

    Examples
    --------
    >>> import tempfile, tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(model, f"{folder}/net.weights.h5")
    ...     load_weights(model, f"{folder}/net.weights.h5")
    """
    path = Path(checks.path("filepath", filepath))
    expected = "The name of a file of weights must end in '.weights.h5'"
    fix = "a whole model may be saved with model.save"
    fits = path.name.endswith(".weights.h5")
    checks.require(fits, f"{expected}; {fix}", f"filepath={filepath}")
    state.require_built(model, "saving")
    _write(model, path, ".weights.h5", overwrite)


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
    path = Path(checks.path("filepath", filepath))
    checks.flag("skip_mismatch", skip_mismatch)
    named = path.suffix in (".h5", ".hdf5") and not path.name.endswith(".weights.h5")
    fits = not checks.flag("by_name", by_name) or named
    expected = "by_name=True needs a whole-model '.h5' or '.hdf5' file"
    checks.require(fits, f"{expected}, which holds the names of layers", f"filepath={path}")
    with reading(path) as source:
        source.by_name = by_name
        state.restore(model, source, keep_rate=True, skip_mismatch=skip_mismatch)


def to_json(model: Model) -> str:
    """Return the configuration of a model as JSON, without its weights.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    str
        Argument of `model_from_json`.

    Examples
    --------
    >>> import tinynet
    >>> to_json(tinynet.Sequential(name="net"))[:47]
    '{"module": "keras", "class_name": "Sequential",'
    """
    return configuration.to_json(configuration.describe(model))


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """Build a model, with new weights, from the result of `Model.to_json`.

    Parameters
    ----------
    json_string : str
        The model's configuration as JSON.
    custom_objects : dict, optional
        Custom classes and functions by name.

    Returns
    -------
    Model
        The model.

    Raises
    ------
    ValueError
        If it is malformed, or needs what tinynet does not support.

    Examples
    --------
    >>> import tinynet
    >>> model = tinynet.Sequential([tinynet.Input((4,)), tinynet.layers.Dense(2)])
    >>> model_from_json(model.to_json()).count_params()
    10
    """
    return configuration.build(configuration.from_json(json_string), custom_objects=custom_objects)


def _check_ending(what: str, path: Path) -> None:
    expected = f"{what} must end in '.tinynet', '.keras', '.h5' or '.hdf5'"
    checks.require(path.suffix in FORMATS, expected, f"filepath={path}")


def _write(model: Model, path: Path, kind: str, overwrite: bool, *options: bool) -> None:
    free = overwrite or not path.exists()
    checks.require(free, "The file exists, and overwrite is False", f"{path}", FileExistsError)
    if not model.built:
        checks.warn(f"{model.name} is not built yet, so it has no weights to save.")
    contents = FORMATS[kind][0](model, *options)
    write_atomically(path, lambda file: file.write(contents))


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Open a file; every error about its contents becomes a ValueError that names it.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    Source
        The file.

    Examples
    --------
    >>> with reading(Path("missing.keras")):
    ...     pass
    Traceback (most recent call last):
        ...
    ValueError: There is no such file. Received: filepath=missing.keras
    """
    _check_ending("The file's name", path)
    checks.require(path.is_file(), "There is no such file", f"filepath={path}")
    kind = ".weights.h5" if path.name.endswith(".weights.h5") else path.suffix
    contents = path.read_bytes()
    try:
        yield FORMATS[kind][1](contents)
    except (*_DAMAGE, *MALFORMED) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault; a wrong offset in the file is an invalid argument
        what = str(error)
        if "Received: " not in what:  # not ours, but Python's, NumPy's or h5py's
            what = f"The file is damaged. Received: {type(error).__name__}: {error}"
        raise ValueError(f"{path} can't be loaded. {what}") from error
