"""The fuzzed formats: valid files to start from, a mutator, and what a loaded file must be.

For each format, `load` reads a file, and may only raise ValueError. `use` asserts that the result
is valid and works.
"""

from __future__ import annotations

import csv
import functools
import gzip
import io
import math
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinynet
from tests import models, tinynet_files
from tests.fuzz import mutators
from tests.internals import readers
from tinynet import datasets
from tinynet._core import registry
from tinynet.datasets import framing, idx_format
from tinynet.layers import Concatenate, Dense, Flatten, Multiply, Softmax
from tinynet.layers.layer import map_shapes
from tinynet.program.nested import flattened
from tinynet.saving import saving_api


class Format(NamedTuple):
    """A file format, and how its reader is tested."""

    suffix: str
    seeds: Callable[[], list[bytes]]
    mutate: mutators.Mutator
    load: Callable[[Path], Any]
    use: Callable[[Any], None]
    longest: int = 1 << 15
    #: Whether an input with a new result of a comparison is kept, in addition to new code.
    compares: bool = False
    #: Files in which a flipped bit must be detected or change nothing.
    checked: Callable[[], list[bytes]] = list


# ------------------------------------------------------------ datasets and images


def _digits() -> Any:
    """Return two images and their labels."""
    images = np.zeros((2, 28, 28), np.uint8)
    images[:, 5:20, 12:16] = 200
    return images, np.array([1, 7], np.uint8)


def _idx(array: Any) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


_VALID = dict(zip(idx_format.IDX_FILES, [*map(_idx, _digits())] * 2, strict=True))


def _idx_seeds() -> list[bytes]:
    plain = [*_VALID.values()][:2]
    return plain + [gzip.compress(data, mtime=0) for data in plain]


def _load_idx(path: Path) -> Any:
    """Parse a file as the images, or else as the labels, of a dataset with valid other files."""
    data, valid = path.read_bytes(), [*_VALID.items()]
    try:
        return idx_format.parse({str(path): data, **dict(valid[1:])})
    except ValueError:
        return idx_format.parse(dict([valid[0], (str(path), data), *valid[2:]]))


def _check_dataset(dataset: Any) -> None:
    for images, labels in dataset:
        assert images.dtype == labels.dtype == np.uint8
        assert images.shape == (len(labels), 28, 28)
        assert len(labels) > 0
        assert labels.max() <= 9


def _npz_seeds() -> list[bytes]:
    images, labels = _digits()
    parts: list[Any] = [images, labels, images[:1], labels[:1]]
    names, made = idx_format.NPZ_ARRAYS, []
    for save in (np.savez, np.savez_compressed):
        for change in (np.ascontiguousarray, np.asfortranarray):
            buffer = io.BytesIO()
            save(buffer, **dict(zip(names, map(change, parts), strict=True)))
            made.append(buffer.getvalue())
    return made


def _png_seeds() -> list[bytes]:
    from PIL import Image, PngImagePlugin

    image = Image.fromarray(_digits()[0][0]).crop((4, 2, 22, 24))
    texts = PngImagePlugin.PngInfo()
    texts.add_text("a", "b")
    texts.add_itxt("c", "d", zip=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    made = []
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        options: dict[str, Any] = {"P": {"transparency": 0}, "L": {"pnginfo": texts}}.get(mode, {})
        buffer = io.BytesIO()
        changed = image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
        changed.save(buffer, "PNG", exif=exif, **options)
        made.append(buffer.getvalue())
    image.save(buffer := io.BytesIO(), "PNG", save_all=True, append_images=[image.rotate(90)])
    return [*made, buffer.getvalue()]


def _load_png(path: Path) -> Any:
    """Read an image; frame one in eight, because framing takes ten times as long as reading.

    The limit of the number of pixels is lower than that of the command, because memory is
    proportional to it.
    """
    image = readers.read_image(path, 250_000)
    return image if zlib.crc32(image.tobytes()) % 8 else readers.frame(path, image)


def _check_image(image: Any) -> None:
    assert image.ndim == 2 or image.shape[2:] in ((3,), (4,))
    assert max(image.shape) <= 4 * framing.LARGEST


def _csv_seeds() -> list[bytes]:
    rows = "epoch,loss,val_loss\r\n0,0.5,0.25\r\n1,0.25,NA\r\n"
    listed = 'epoch,loss,rates\r\n0,0.5,"""[1, 2]"""\r\n\r\n1,nan,inf'
    return [text.encode() for text in (rows, listed, f"\ufeff{rows}", "epoch\n", "")]


def _rows(contents: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(contents.decode("utf-8-sig"), "")) if row]


def _load_csv(path: Path) -> Any:
    """Append to a log, first a row for its columns and then a row with new columns."""
    logger = tinynet.callbacks.CSVLogger(path, append=True)
    contents = path.read_bytes()
    try:
        logger.on_train_begin()
    except ValueError:
        assert path.read_bytes() == contents
        raise
    before = _rows(path.read_bytes())
    logger.on_epoch_end(7, {"loss": 0.5})
    logger.on_epoch_end(8, {"loss": 0.25, "new": 1.0})
    return before, path.read_bytes()


def _check_log(result: Any) -> None:
    before, contents = result
    header, *values, last, newest = _rows(contents)
    assert [last[0], newest[0], newest[header.index("new")]] == ["7", "8", "1.0"]
    for old, new in zip(before[1:], values, strict=True):
        assert new[: len(old)] == old


# ------------------------------------------------------------ models


def small() -> Any:
    """Return the smallest trained model."""
    registry.clear_names()
    tinynet.random.set_seed(0)
    model = tinynet.Sequential([tinynet.Input((2,)), Dense(1)], name="net")
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 2)), np.ones(2), verbose=0)
    return model


def stack() -> Any:
    """Return a small trained model with a nested model."""
    registry.clear_names()
    inner = tinynet.Sequential([Dense(3, name="inner"), Softmax()])
    model = models.classifier(inner, seed=0, metrics=["accuracy"])
    model.fit(*models.data(), epochs=2, verbose=0)
    return model


def branches() -> Any:
    """Return a small trained model with two inputs, a shared layer and two outputs."""
    registry.clear_names()
    tinynet.random.set_seed(0)
    a, b = tinynet.Input((2, 2), name="a"), tinynet.Input((3,), name="b")
    shared = Dense(3, "relu", name="shared")
    left, right = shared(Flatten(name="flat")(a)[:, :3]), shared(b)
    merged = Concatenate(name="merged")([left, Multiply(name="times")([left, right])])
    outputs = [Dense(1, name="score")(merged + 0.5), Softmax(name="kind")(right)]
    model = tinynet.Model([a, b], outputs, name="net")
    model.compile("adam", ["mse", "sparse_categorical_crossentropy"], metrics=[["mae"], []])
    x = np.linspace(0, 1, 42, dtype=np.float32).reshape(6, 7)
    inputs = [x[:, :4].reshape(6, 2, 2), x[:, 4:]]
    model.fit(inputs, [x[:, 0], np.arange(6) % 3], epochs=2, verbose=0)
    return model


def products() -> Any:
    """Return a small model of operations."""
    registry.clear_names()
    tinynet.random.set_seed(0)
    ops, x = tinynet.ops, tinynet.Input((3,), name="x")
    rows = ops.reshape(ops.tile(x, (1, 2)), (-1, 2, 3))
    mixed = ops.einsum("bij,bkj->bik", rows, ops.stack([x, x], axis=1))
    turned = ops.tensordot(ops.matmul(ops.transpose(mixed, (0, 2, 1)), rows), np.eye(3), axes=1)
    taken = ops.take(ops.cast(turned, "float32"), np.array([1, 0]), axis=1)[:, 1]
    return tinynet.Model(x, ops.pad(taken, 0), name="net")


MODELS = (small, stack, branches, products)


def _saved(suffix: str) -> list[bytes]:
    """Return the files of the models."""
    files = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"net{suffix}"
        for make in MODELS:
            model = make()
            (model.save_weights if suffix == ".weights.h5" else model.save)(path)
            files.append(path.read_bytes())
    return files


def _without_checksums(data: bytes) -> bytes:
    """Remove tinynet's checksums from an HDF5 file, as in a file written by Keras."""
    import h5py

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:

        def remove(node: Any) -> None:
            for name in [name for name in node.attrs if name.endswith("tinynet_crc32")]:
                del node.attrs[name]

        remove(file)
        file.visititems(lambda _, node: remove(node))
    return buffer.getvalue()


def _hdf5_seeds() -> list[bytes]:
    saved = _saved(".h5")
    return saved + [_without_checksums(data) for data in saved]


def _keras_seeds() -> list[bytes]:
    files, archives = _saved(".keras"), []
    for data in files:
        members = mutators.members_of(data)
        weights = _without_checksums(members["model.weights.h5"])
        archives.append(tinynet_files.zipped({**members, "model.weights.h5": weights}))
    return files + archives


def _version_1_seeds() -> list[bytes]:
    return [tinynet_files.version_1(*tinynet_files.unpack(data)) for data in _saved(".tinynet")]


def _check_model(model: Any) -> None:
    """Assert that a model can be described, and predicts outputs of the right shape."""
    model.to_json()
    if not model.built:
        return
    assert model.count_params() < 10_000
    try:
        _check_predictions(model, 1)
    except (IndexError, AssertionError) as error:
        # An operation selects rows that one input does not have; IndexError, or too few rows.
        unknown = all(s[:1] in ((), (None,)) for s in _leaves(model.output_shape))
        if isinstance(error, AssertionError) and unknown:
            raise
        _check_predictions(model, 20)


def _check_predictions(model: Any, rows: int) -> None:
    shapes = [(s[0] or rows, *(n or 5 for n in s[1:])) for s in _leaves(model.input_shape)]
    if sum(map(math.prod, shapes)) < 20_000:
        inputs = [*map(np.zeros, shapes)]
        found = flattened(model.predict(inputs if len(inputs) > 1 else inputs[0]))
        for array, shape in zip(found, _leaves(model.output_shape), strict=True):
            assert len(array.shape) == len(shape), (array.shape, shape)
            assert all(n in (None, size) for n, size in zip(shape, array.shape, strict=True))


def _leaves(shapes: Any) -> list[Any]:
    """Return the shapes in a nested list or dict."""
    leaves: list[Any] = []
    map_shapes(leaves.append, shapes)
    return leaves


@functools.cache
def _loaded() -> tuple[Any, bytes, list[bytes]]:
    """Return a model, its backup, and its weights as bytes."""
    model = stack()
    return model, readers.backup(model), models.bits(model)


def _into_model(path: Path, load: Callable[[Any, Path], Any]) -> Any:
    """Load a file into the same model, which must not change if the file is rejected."""
    model, backup, before = _loaded()
    if models.bits(model) != before:  # an earlier file was loaded
        path.with_name("restored.tinynet").write_bytes(backup)
        readers.restore_backup(model, path.with_name("restored.tinynet"))
    try:
        load(model, path)
    except ValueError:
        assert models.bits(model) == before, "a rejected file changed the model"
        raise
    return model


def _load_weights(path: Path) -> Any:
    return _into_model(path, lambda model, path: model.load_weights(path))


def _load_backup(path: Path) -> Any:
    return _into_model(path, readers.restore_backup)


def _weights_seeds() -> list[bytes]:
    """Return weights of the model of `_load_weights`, with and without checksums."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name in ("net.weights.h5", "net.h5"):
            path, model = Path(folder) / name, stack()
            (model.save if name == "net.h5" else model.save_weights)(path)
            files.append(path.read_bytes())
    return files + [_without_checksums(data) for data in files]


def _backup_seeds() -> list[bytes]:
    model = stack()
    states = {"best": 0.5, "wait": 1, "best_weights": model.get_weights()}
    return [readers.backup(model), readers.backup(model, [("EarlyStopping", states)])]


def _load_safetensors(path: Path) -> Any:
    """Parse a file without building the model."""
    with saving_api.reading(path) as source:
        return source


def _check_arrays(source: Any) -> None:
    assert all(not array.flags.writeable for array in source.arrays.values())
    assert isinstance(source.config, dict)
    assert isinstance(source.run, dict)


def _model_format(
    suffix: str, seeds: Callable[[], list[bytes]], mutate: mutators.Mutator, **options: Any
) -> Format:
    given: Any = {"load": tinynet.saving.load_model, "use": _check_model, **options}
    return Format(suffix, seeds, mutate, **given)


def _saved_as(suffix: str) -> Callable[[], list[bytes]]:
    return functools.partial(_saved, suffix)


_arrays: Any = {"load": _load_safetensors, "use": _check_arrays, "compares": True}
_large: Any = {"longest": 1 << 16}
_zip, _safetensors = mutators.zip_member, mutators.safetensors
FORMATS = {
    "idx": Format(".idx", _idx_seeds, mutators.idx, _load_idx, _check_dataset, 1 << 13, True),
    "npz": Format(
        ".npz", _npz_seeds, _zip, datasets.mnist.load_data, _check_dataset, 1 << 14, True
    ),
    "png": Format(".png", _png_seeds, mutators.png, _load_png, _check_image, 1 << 12, True),
    "csv": Format(".csv", _csv_seeds, mutators.csv, _load_csv, _check_log, 1 << 12, True),
    "tinynet": _model_format(
        ".tinynet", _saved_as(".tinynet"), _safetensors, checked=_saved_as(".tinynet")
    ),
    "zip": _model_format(".tinynet", _version_1_seeds, _zip, checked=_version_1_seeds),
    "safetensors": _model_format(".tinynet", _saved_as(".tinynet"), _safetensors, **_arrays),
    "json": _model_format(".json", _saved_as(".json"), mutators.json_value),
    "backup": _model_format(".tinynet", _backup_seeds, _safetensors, load=_load_backup),
    "keras": _model_format(".keras", _keras_seeds, _zip, checked=_saved_as(".keras"), **_large),
    "h5": _model_format(".h5", _hdf5_seeds, mutators.hdf5, checked=_saved_as(".h5"), **_large),
    "weights": _model_format(
        ".weights.h5", _weights_seeds, mutators.hdf5, load=_load_weights, **_large
    ),
}
