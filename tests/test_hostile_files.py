"""Untrusted files: each attack raises a specific error, quickly and with little memory."""

from __future__ import annotations

import copy
import functools
import io
import json
import math
import os
import pickle
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import models, tinynet_files
from tests.tinynet_files import LAYOUTS, ZEROS, npy, safetensors, zipped
from tinynet import layers
from tinynet._core import registry

Members = dict[str, bytes]


def small() -> Any:
    """Build a small classifier, which most tests in this module save or load."""
    registry.clear_names()
    return models.classifier()


def saved(model: Any, path: Path) -> tinynet_files.Contents:
    model.save(path)
    return tinynet_files.unpack(path.read_bytes())


@functools.cache
def good() -> Any:
    """Return the contents of a valid file."""
    return tinynet_files.unpack(tinynet.saving.tinynet_format.write(small()))


@functools.cache
def good_graph() -> Any:
    """Return the contents of a valid file of a functional model, tile(dense(x) + x)."""
    registry.clear_names()
    x = tinynet.Input((4,), name="x")
    y = layers.Dense(4, name="dense")(x) + x
    model = tinynet.Model(x, tinynet.ops.tile(y, (1, 2)))
    return tinynet_files.unpack(tinynet.saving.tinynet_format.write(model))


@pytest.fixture(params=LAYOUTS)
def write(request: pytest.FixtureRequest) -> Any:
    """Return a function that writes a file in a given format."""
    return LAYOUTS[request.param]


def refused(path: Path, match: str, contents: bytes | None = None) -> None:
    """Assert that loading raises ValueError in less than 2 s of CPU time and 64 MiB of memory.

    Files are smaller than 6 MiB.
    """
    if contents is not None:
        path.write_bytes(contents)
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(ValueError, match=match) as caught:
        tinynet.models.load_model(path)
    seconds, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    assert seconds < 2
    message = str(caught.value)
    assert path.name in message
    assert "Received: " in message
    assert "allow_pickle" not in message
    assert len(message) < 1500


def refused_by_both(path: Path, match: str, contents: bytes) -> None:
    """Assert that `load_model` and `load_weights` raise an error.

    The weights of the model must not change.
    """
    refused(path, match, contents)
    model = small()
    before = models.bits(model)
    with pytest.raises(ValueError, match=match):
        model.load_weights(path)
    assert models.bits(model) == before


def test_rejected_files_leave_random_state(tmp_path: Path) -> None:
    noisy = models.classifier(layers.Dropout(0.5))
    noisy.save(tmp_path / "net.json")
    text = (tmp_path / "net.json").read_text()
    tinynet.random.set_seed(3)
    expected = tinynet.random.draw_seed()
    tinynet.random.set_seed(3)
    extra = '"weights": [{"name": "x", "shape": [1], "values": [0]}, '
    (tmp_path / "bad.json").write_text(text.replace('"weights": [', extra))
    refused(tmp_path / "bad.json", "must have 4 weights")
    assert tinynet.random.draw_seed() == expected


# ------------------------------------------------------------ foreign and damaged files


@pytest.mark.parametrize("suffix", [".tinynet", ".keras", ".h5", ".json"])
@pytest.mark.parametrize(
    "contents",
    [b"", b"PK", b"PK\3\4", b"hello", b"\x89HDF\r\n\x1a\n", b"\0" * 1000, pickle.dumps([1, 2]),
     b"%PDF-1.7", b"\2\0\0\0\0\0\0\0{}", b"\xff" * 1000],
)  # fmt: skip
def test_files_of_other_formats_raise(suffix: str, contents: bytes, tmp_path: Path) -> None:
    refused(tmp_path / f"bad{suffix}", "cannot be loaded", contents)


def test_every_bit_is_checked(write: Any, tmp_path: Path) -> None:
    """Flip each bit of a kernel, and one bit of every byte of a file of version 2."""
    path, (about, arrays), model = tmp_path / "net.tinynet", good(), small()
    data = write(about, arrays)
    kernel = arrays["dense/kernel"].tobytes()
    where = data.index(kernel)
    places = [(where + i // 8, i % 8) for i in range(8 * len(kernel))]
    if write is LAYOUTS["safetensors"]:
        places += [(i, i % 8) for i in range(len(data))]
    before = models.bits(model)
    for position, bit in places:
        mutant = bytearray(data)
        mutant[position] ^= 1 << bit
        path.write_bytes(mutant)
        with pytest.raises(ValueError, match="Received: "):
            model.load_weights(path)
    assert models.bits(model) == before
    path.write_bytes(data)
    model.load_weights(path)
    assert models.bits(model) == [array.tobytes() for array in arrays.values()]


# ------------------------------------------------------------ safetensors format


def header(**entry: Any) -> Callable[[], bytes]:
    """Return a function that builds a file with a changed header entry of the first array."""

    def forge() -> bytes:
        changed, data = tinynet_files.parts_of_version_2(*good())
        changed["dense/kernel"].update(entry)
        return safetensors(changed, data)

    return forge


def text(rest: bytes) -> Callable[[], bytes]:
    """Return a function that writes a header with a valid beginning."""
    return lambda: safetensors(b'{"__metadata__": {"sha256": "' + ZEROS.encode() + b'"' + rest)


def without(*names: str) -> bytes:
    about, arrays = good()
    return tinynet_files.version_2(about, {n: a for n, a in arrays.items() if n not in names})


def one_more() -> bytes:
    about, arrays = good()
    return tinynet_files.version_2(about, {**arrays, "more": np.zeros(3)})


def with_length(length: int) -> bytes:
    return (length % 2**64).to_bytes(8, "little") + tinynet_files.version_2(*good())[8:]


def capital_digits() -> bytes:
    contents = tinynet_files.version_2(*good())
    digest = contents[37 : 37 + 64]
    return contents.replace(digest, digest.upper())


def with_data(change: Callable[[bytes], bytes]) -> bytes:
    changed, data = tinynet_files.parts_of_version_2(*good())
    return safetensors(changed, change(data))


ENTRY, OFFSETS, NAN = "must have dtype, shape and data_off", "must have the data_off", float("nan")
#: Changes of the entry of an array of shape (4, 5), and the error message.
ENTRIES: list[tuple[str, str, list[Any]]] = [
    ("more", ENTRY, [1]),
    ("dtype", ENTRY, ["BF16", "F8_E4M3", "f4", "", None, 3]),
    ("dtype", "TypeError", [["F32"]]),
    ("dtype", OFFSETS, ["F64"]),
    ("dtype", "type float32.*type int32", ["I32"]),
    ("shape", ENTRY, [[-4, -5], [4.0, 5], [True, 20], [NAN], ["4", 5], "45", {}, None, [[4, 5]]]),
    ("shape", ENTRY, [[2] * 10**5, [10**49] * 33]),
    ("shape", OFFSETS, [[10**20, 10**20], [2**40] * 32, [0, 2**62, 2**62], [4, 6]]),
    ("shape", r"shape \(4, 5\).*Received: shape \((5, 4|20,)\)", [[5, 4], [20]]),
    ("data_offsets", ENTRY, [[-80, 0], [0.0, 80.0], [False, 80], [NAN, 80]]),
    ("data_offsets", OFFSETS, [[4, 84], [0, 84], [0, 76], [80, 100], [80, 0], [0, 80, 160], []]),
    ("data_offsets", OFFSETS, [[10**49, 10**49 + 80]]),
    ("data_offsets", "TypeError", [None, "ab", {}, 80]),
]
SAFETENSORS: dict[str, tuple[Callable[[], bytes], str]] = {
    **{
        f"length {length}": (functools.partial(with_length, length), "header must have at most")
        for length in (-1, 2**63, 2**40, 10**8, 10**5)
    },
    "shorter header": (lambda: with_length(100), "SHA-256"),
    "empty header": (lambda: with_length(0), "SHA-256"),
    "uppercase checksum": (capital_digits, "SHA-256"),
    "digest of another file": (
        lambda: tinynet_files.version_2(*good()).replace(b"relu", b"tanh"),
        "SHA-256",
    ),
    "trailing bytes": (lambda: with_data(lambda data: data + b"x"), "must fill the file"),
    "last byte missing": (lambda: with_data(lambda data: data[:-1]), "must be a multiple"),
    "no data": (lambda: with_data(lambda data: b""), "cannot reshape"),
    "not UTF-8": (text(b', "a": "\xff"}}'), "UnicodeDecodeError"),
    "not JSON": (text(b", 'a': 'b'}}"), "must be valid JSON"),
    "truncated header": (text(b""), "must be valid JSON"),
    "nested lists": (text(b'}, "a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"), "100 levels deep"),
    "unclosed lists": (text(b'}, "a": ' + b"[" * (3 << 20)), "nested at most 100 levels deep"),
    "long header": (text(b'}, "a": ' + b"[" * (5 << 20)), "header must have at most"),
    "duplicate key": (text(b'}, "a": 1, "a": 2}'), "keys must be unique"),
    "duplicate metadata": (text(b'}, "__metadata__": {}}'), "keys must be unique"),
    "long number": (text(b'}, "a": ' + b"9" * 100_000 + b"}"), "50 digits"),
    "no metadata": (text(b"}}"), "a valid format_version"),
    "metadata of lists": (text(b', "format": ["tinynet"], "format_version": [2]}}'), "a valid"),
    "entry is a string": (text(b'}, "a": "dtype"}'), "TypeError"),
    "entry is a list": (text(b'}, "a": [1]}'), "TypeError"),
    "entry is empty": (text(b'}, "a": {}}'), "KeyError"),
    "a missing weight": (lambda: without("dense/kernel"), "numbers of arrays must be"),
    "a missing variable": (lambda: without("optimizer/iteration"), "numbers of arrays must be"),
    "no arrays": (lambda: without(*good()[1]), "numbers of arrays must be"),
    "additional array": (one_more, "numbers of arrays must be"),
    **{
        f"{key} {value!r:.30}": (header(**{key: value}), match)
        for key, match, values in ENTRIES
        for value in values
    },
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_hostile_safetensors(name: str, tmp_path: Path) -> None:
    forge, match = SAFETENSORS[name]
    refused_by_both(tmp_path / "bad.tinynet", match, forge())


def test_enormous_empty_arrays_are_harmless(tmp_path: Path) -> None:
    """An array with a zero in its shape needs no memory, and does not match the weight's shape."""
    about, arrays = good()
    changed, data = tinynet_files.parts_of_version_2(about, {**arrays, "x": np.zeros((0, 3))})
    for shape in ([0, 10**40], [0, 2**62, 2**62], [2**40, 0]):
        changed["x"]["shape"] = shape
        refused(tmp_path / "bad.tinynet", "Received: ", safetensors(changed, data))


# ------------------------------------------------------------ archives


def good_members() -> Members:
    return tinynet_files.members_of_version_1(*good())


@pytest.mark.parametrize("suffix", [".tinynet", ".keras"])
@pytest.mark.parametrize(
    "name", ["../model.json", "/etc/passwd", "a/../../b", "C:/x", "..\\x", "\\x"]
)
def test_path_traversal_names(name: str, suffix: str, tmp_path: Path) -> None:
    refused(tmp_path / f"bad{suffix}", "outside of the archive", zipped({name: b"{}"}))
    assert os.listdir(tmp_path) == [f"bad{suffix}"]


def link() -> bytes:
    buffer, info = io.BytesIO(), zipfile.ZipInfo("model.json")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, b"/etc/passwd")
    return buffer.getvalue()


def twice() -> bytes:
    """Rename the second member to the name of the first."""
    contents = zipped({"weights/0.npy": b"", "weights/1.npy": b""})
    return contents.replace(b"weights/1", b"weights/0")


def in_directory(at: int, value: bytes) -> bytes:
    """Change the first member's entry in the central directory."""
    contents = bytearray(zipped(good_members()))
    entry = contents.index(b"PK\x01\x02") + at
    contents[entry : entry + len(value)] = value
    return bytes(contents)


def bomb(**members: bytes) -> bytes:
    return zipped({**good_members(), **members}, zipfile.ZIP_DEFLATED)


def lying(method: int) -> bytes:
    """Return an archive with a member of 100 MiB whose declared size is 10 bytes."""
    contents = bytearray(zipped({**good_members(), "other": bytes(100 << 20)}, method))
    for start, at in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        place = contents.rindex(start) + at
        contents[place : place + 4] = (10).to_bytes(4, "little")
    return bytes(contents)


def renamed(old: str, new: str) -> bytes:
    return zipped({new if name == old else name: data for name, data in good_members().items()})


def in_kernel(contents: bytes) -> bytes:
    return zipped({**good_members(), "weights/0.npy": contents})


def changed_kernel(old: bytes, new: bytes) -> bytes:
    return in_kernel(good_members()["weights/0.npy"].replace(old, new))


class Bomb:
    """An object that raises an unexpected error when it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('exploded')",)


HUGE, PLAIN = "declare more data than the file can contain", "numeric .npy array"
OBJECTS = np.array([[Bomb()] * 5] * 4, object)
ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "link": (link, "must not be links"),
    "twice": (twice, "must be unique"),
    "encrypted": (lambda: in_directory(8, b"\1"), "must not be encrypted"),
    "false sizes": (lambda: in_directory(20, b"\xf0\xff\xff\xff" * 2), HUGE),
    **{
        f"bomb {name}": (lambda name=name: bomb(**{name: bytes(100 << 20)}), HUGE)
        for name in ("model.json", "weights/0.npy", "other")
    },
    "bomb with a small declared size": (lambda: lying(zipfile.ZIP_DEFLATED), "Bad CRC-32"),
    **{
        f"bomb of method {method}": (lambda method=method: lying(method), "stored or deflated")
        for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    },
    "many members": (
        lambda: zipped({**good_members(), **{str(i): b"" for i in range(20_000)}}),
        "most 20,000 members",
    ),
    "many small bombs": (
        lambda: bomb(**{f"weights/{i}.npy": bytes(1 << 20) for i in range(50)}),
        HUGE,
    ),
    "a missing variable": (lambda: renamed("optimizer/1.npy", "x"), "numbers of arrays must be"),
    "a missing weight": (lambda: renamed("weights/1.npy", "optimizer/10.npy"), "arrays must be"),
    "no model": (lambda: renamed("model.json", "other.json"), "KeyError: 'model.json'"),
    "additional member": (
        lambda: zipped({**good_members(), "data.pkl": pickle.dumps(1)}),
        "numbers of arrays must be",
    ),
    "a pickle in an array": (lambda: in_kernel(npy(OBJECTS)), PLAIN),
    "a pickle for an array": (lambda: in_kernel(pickle.dumps(Bomb())), PLAIN),
    **{
        f"array of {dtype}": (lambda dtype=dtype: in_kernel(npy(np.zeros((4, 5), dtype))), PLAIN)
        for dtype in ("U1", "complex64", [("a", "f4")])
    },
    "Fortran order": (lambda: in_kernel(npy(np.zeros((4, 5), "f4", order="F"))), PLAIN),
    "a larger shape": (lambda: changed_kernel(b"(4, 5)", b"(9, 9)"), "must have 81 elements"),
    "no shape": (lambda: changed_kernel(b"(4, 5)", b"(4e5) "), PLAIN),
    "a larger type": (lambda: changed_kernel(b"<f4", b"<f8"), "must have 20 elements"),
    "a long header": (lambda: changed_kernel(b"(4, 5)", b"(" + b"9, " * 20_000 + b")"), "Received"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_hostile_archives(name: str, tmp_path: Path) -> None:
    forge, match = ARCHIVES[name]
    contents = forge()
    assert len(contents) < 6 << 20
    refused_by_both(tmp_path / "bad.tinynet", match, contents)


# ------------------------------------------------------------ both formats


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((5, 4), np.float32), r"shape \(4, 5\).*Received: shape \(5, 4\)"),
        (np.zeros((4, 5), np.int32), "type float32.*type int32"),
        (np.zeros((4, 5), bool), "type float32.*type bool|must not define more weights"),
        (np.zeros(1000, np.float32), r"shape \(4, 5\).*Received: shape \(1000,\)"),
    ],
)
def test_wrong_shape_or_dtype_raises(array: Any, match: str, write: Any, tmp_path: Path) -> None:
    about, arrays = good()
    contents = write(about, {**arrays, "dense/kernel": array})
    refused_by_both(tmp_path / "bad.tinynet", match, contents)


FIRST = "model/config/layers/1"
INPUT = "model/config/layers/0/config"
OLD = {"bit_generator": "PCG64", "state": {"state": -1, "inc": 1}, "has_uint32": 0, "uinteger": 0}
FLAT = {"class_name": "Flatten", "config": {}}


def nested_models(about: Any) -> Any:
    model = about["model"]
    for _ in range(40):
        model = {"class_name": "Sequential", "config": {"name": "a", "layers": [model]}}
    return model


def counting(number: int, **options: Any) -> Any:
    """Return the configuration of an AUC with a number of thresholds."""
    config = {"num_thresholds": number, **options}
    return {"module": "keras.metrics", "class_name": "AUC", "config": config}


LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wEAAA==", None, None]}}
BUILTIN = {"class_name": "function", "config": "eval", "module": "builtins"}
STATES = [{}, {"_random": {"bit_generator": "MT19937"}}, {"_random": OLD}, 3]
STATES += [  # states of which the first always draws the same number
    {"_random": {**OLD, "state": {"state": state, "inc": inc}, "has_uint32": left}}
    for state, inc, left in ((0, 0, 0), (1, 4, 0), (0.5, 1, 0), (1, 1, 5))
]
COLUMNS = [{"history": {"loss": {"array": n}}, "epoch": []} for n in (0, 10**9, "x", [], None)]
WEIGHTS = "more weights than the file contains"
#: Location in the configuration, error message, and values, or functions of the configuration that
#: return a value.
CONFIGURATIONS: list[tuple[str, str, list[Any]]] = [
    (f"{FIRST}/class_name", "Lambda in tinynet does not support 'units'", ["Lambda"]),
    (f"{FIRST}/class_name", "known name.*Received: layer='", ["os.system", "Adam", "x" * 10**6]),
    (f"{FIRST}/class_name", "must contain 'class_name'", [["Dense"]]),
    (f"{FIRST}/module", "not built into Keras or tinynet.*module '", ["os", "kerasevil.layers"]),
    (f"{FIRST}/config", "must contain 'class_name' and 'config'", [None, []]),
    (f"{FIRST}/registered_name", "malformed", [["x"]]),
    (f"{FIRST}/config/units", "Received: ", [-1, 2.5, "3", None, True, float("nan")]),
    (f"{FIRST}/config/activation", "Received: ", ["os.system", LAMBDA, BUILTIN]),
    (f"{FIRST}/config/activation", "Received: ", [{"class_name": "eval", "config": {}}]),
    (f"{FIRST}/config/kernel_initializer", "Received: ", ["http://example.com/x", "file:///x"]),
    (f"{FIRST}/config/name", "Received: ", ["a/b", 3]),
    (f"{FIRST}/config/dtype", "Received: ", ["object", {"config": 3}, "a", "f4,a"]),
    (f"{INPUT}/dtype", "Received: ", ["a5", {"names": ["x"], "formats": ["a"]}]),
    (f"{FIRST}/config/lora_rank", "Received: ", [4]),
    (f"{FIRST}/config/use_bias", "Received: ", ["yes"]),
    (f"{FIRST}/config/quantization_config", "Received: ", [{"module": "os"}]),
    (
        "model/compile_config/optimizer",
        "Received: ",
        [None, "adam.__class__", {"class_name": "os"}],
    ),
    ("model/compile_config/loss", "Received: ", ["eval", ["a", "b"]]),
    ("model/compile_config/metrics", "Received: ", [3, ["os.system"]]),
    (
        "model/compile_config/metrics",
        "8,388,608 elements in each tensor",
        [
            [counting(3 * 10**7)],
            [counting(10**40)],
            [counting(10**4, multi_label=True, num_labels=199)],
        ],
    ),
    ("model/compile_config/loss_weights", "Received: ", ["x"]),
    ("model/config/layers/1/config/units", WEIGHTS, [10**9, 10**18, 10**40]),
    (f"{INPUT}/batch_shape", WEIGHTS, [[None, 10**9], [None, 10**40]]),
    ("model", "must describe a model", [lambda about: about["model"]["config"]["layers"][1]]),
    ("model/config/layers", "describe at most 10,000 objects", [[FLAT] * 20_000]),
    ("model", "must be nested at most 100 levels deep", [nested_models]),
    ("model", "must contain the object 'model'|one object", [None, 3, []]),
    ("run", "must contain the object 'run'|one object", [None, 3, []]),
    ("format", "a valid format_version", [None, "other", 3]),
    ("format_version", "a valid format_version", [0, -1, "x", "", None, 1.0, True, 10**40]),
    ("format_version", "written by a newer release, so upgrade tinynet", [3, 10**9]),
    ("run/random", "random generator", STATES),
    ("run/history", "Received: ", [3, {"history": {"loss": ["a"]}, "epoch": []}, {"history": {}}]),
    ("run/history", "Received: ", COLUMNS),
    (
        "run/input_sizes",
        "must be two floats",
        [None, [1.0], ["a", 1.0], [1.0] * 3, {"a": 1}, [1, 2]],
    ),
    ("arrays", "Received: ", [None, 3, [], {}, {"weights": 14}, {"weights": 4, "optimizer": 9}]),
    ("arrays/weights", "Received: ", [10**9, 10**40, -1, 4.0, "4", None, 3, 5]),
    ("arrays", "Received: ", [{"weights": -1, "optimizer": 15}, {"weights": 3, "optimizer": 11}]),
    ("arrays/other", "Received: ", [10**9, -(10**9)]),
]
ATTACKS = [(where, match, value) for where, match, values in CONFIGURATIONS for value in values]


@pytest.mark.parametrize("number", range(len(ATTACKS)))
def test_hostile_configurations(number: int, write: Any, tmp_path: Path) -> None:
    where, match, value = ATTACKS[number]
    about, arrays = copy.deepcopy(good())
    *path, last = where.split("/")
    node = about
    for key in path:
        node = node[int(key) if key.isdigit() else key]
    node[last] = value(about) if callable(value) else value
    refused(tmp_path / "bad.tinynet", match, write(about, arrays))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"[" * 10_000 + b"]" * 10_000, "must be nested at most 100 levels deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "must be nested at most 100 levels deep"),
        (b'{"a": 1, "a": 2}', "keys must be unique"),
        (b"[1]", "one object"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "50 digits"),
        (b'{"a": "' + b"x" * (5 << 20) + b'"}', "must have at most"),
        (b'{"a": "\\"' * 1000, "Received: "),
        (b"\xff\xfe{}", "corrupted|valid JSON"),
        (b"{'a': 1}", "must be valid JSON"),
        (b"", "must be valid JSON"),
    ],
)
def test_hostile_json(text: bytes, match: str, tmp_path: Path) -> None:
    path, (about, arrays) = tmp_path / "bad.tinynet", good()
    refused(path, match, zipped({**good_members(), "model.json": text}))
    about = {**about, "model": text.decode("latin1")}
    refused(path, match, tinynet_files.version_2(about, arrays))


# ------------------------------------------------------------ .json files


@functools.cache
def good_json() -> str:
    """Return the text of a valid ``.json`` file."""
    return tinynet.saving.json_format.write(small()).decode()


def with_weight(**entry: Any) -> bytes:
    """Change the entry of the first weight, of shape (4, 5)."""
    about = json.loads(good_json())
    about["weights"][0].update(entry)
    return json.dumps(about).encode()


def with_key(key: str, value: Any) -> bytes:
    return json.dumps({**json.loads(good_json()), key: value}).encode()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: good_json().encode()[:-9], "must be valid JSON"),
        (lambda: b"[1]", "one object"),
        (lambda: b"{}", "must have format='tinynet.json'"),
        (lambda: with_key("format", "tinynet"), "must have format='tinynet.json'"),
        (lambda: with_key("format_version", 2), "a newer file requires a newer tinynet"),
        (lambda: with_key("format_version", True), "format_version must be 1"),
        (lambda: with_key("model", []), "must contain the dict 'model'"),
        (lambda: with_key("weights", {}), "must contain the list 'weights'"),
        (lambda: with_key("weights", [3]), "weights.0. must have a name, a shape and"),
        (lambda: with_key("weights", []), "more weights than the file contains"),
        (lambda: with_weight(name=3), "weights.0. must have a name"),
        (lambda: with_weight(shape=[20]), "must have shape"),
        (lambda: with_weight(shape=[4, -5]), "must have a name, a shape"),
        (lambda: with_weight(shape=[4.0, 5]), "must have a name, a shape"),
        (lambda: with_weight(shape=[2**30] * 8), "as many values as its shape"),
        (lambda: with_weight(shape=[1] * 9), "must have a name, a shape"),
        (lambda: with_weight(values=[0.5] * 19), "as many values as its shape.*19 values"),
        (lambda: with_weight(values=["0.5"] * 20), "must have numbers as values"),
        (lambda: with_weight(values=[None] * 20), "must have numbers as values"),
        (lambda: with_weight(values=[True] * 20), "must have numbers as values"),
        (lambda: with_weight(values=[[]] * 20), "must have numbers as values"),
        (lambda: with_weight(values=[10**40] * 20), "must have finite values"),
        (lambda: with_weight(values=[math.nan] * 20), "must have finite values"),
        (lambda: with_weight(values=[1e300] * 20), "in the range of float32"),
        (lambda: with_weight(values=[0] * 20).replace(b"[0,", b"[1e999,"), "finite values"),
        (lambda: b'{"weights": [' + b"[]," * 2_000_000 + b"[]]}", "at most 10,000 lists"),
        (lambda: b'{"a": "' + b"x" * (5 << 20) + b'"}', "must have at most"),
        (lambda: b'{"a": [' + b"1.5," * 1_000_000 + b"1]}", "must have format="),
    ],
)
def test_hostile_json_files(make: Callable[[], bytes], match: str, tmp_path: Path) -> None:
    refused(tmp_path / "bad.json", match, make())


def layer(name: str, /, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": name, "config": config}


def json_file(model: Any) -> bytes:
    about = {"format": "tinynet.json", "format_version": 1, "weights": []}
    return json.dumps({**about, "model": model}).encode()


def stacked(*listed: Any) -> bytes:
    model = {"module": "keras", "class_name": "Sequential"}
    return json_file({**model, "config": {"name": "net", "layers": [*listed]}})


def test_sum_of_sizes_is_limited(tmp_path: Path) -> None:
    wide = layer("InputLayer", batch_shape=[None, 2_000]), layer("RepeatVector", n=2_000)
    text = stacked(*wide, *[layer("Softmax")] * 40)
    refused(tmp_path / "bad.json", "33,554,432 in all", text)


def wide() -> Any:
    row = [layers.Input((2_000_000,)), layers.Dropout(0.1), layers.Dense(1)]
    return tinynet.Sequential(row)


def last_axis() -> Any:
    row = [layers.Input((1_000, 1_500)), layers.Dropout(0.1), layers.Dense(4)]
    return tinynet.Sequential(row)


def labels() -> Any:
    model = tinynet.Sequential([layers.Input((2,)), layers.Dense(8_000)])
    metric = tinynet.metrics.AUC(multi_label=True, num_labels=8_000)
    model.compile("sgd", "mse", metrics=[metric])
    return model


def shared(times: int = 1_500) -> Any:
    dense, x = layers.Dense(2), tinynet.Input((2,))
    return tinynet.Model(x, functools.reduce(lambda y, _: dense(y), range(times), x))


def residual(blocks: int = 750) -> Any:
    x = y = tinynet.Input((2,))
    for _ in range(blocks):
        y = layers.Add()([y, layers.Dense(2)(y)])
    return tinynet.Model(x, y)


@pytest.mark.parametrize("make", [wide, last_axis, labels, shared, residual])
def test_limits_allow_large_networks(make: Any, tmp_path: Path) -> None:
    model = make()
    model.save(tmp_path / "net.tinynet")
    loaded = tinynet.models.load_model(tmp_path / "net.tinynet")
    assert loaded.get_config() == model.get_config()
    assert loaded.compiled == model.compiled
    assert tinynet.models.model_from_json(model.to_json()).get_config() == model.get_config()


def test_number_of_calls_is_limited(tmp_path: Path) -> None:
    """Each of 14 nested models calls the next one twice."""
    x = tinynet.Input((2,), name="x")
    inner = tinynet.Model(x, layers.ReLU(name="relu")(x), name="inner")
    outer = json.loads(tinynet.saving.to_json(tinynet.Model(x, inner(inner(x)), name="inner")))
    nested = outer
    for _ in range(13):
        copied = copy.deepcopy(outer)
        copied["config"]["layers"][1]["config"] = nested["config"]
        nested = copied
    (tmp_path / "bad.json").write_bytes(json_file(nested))
    began = time.process_time()
    for load in (
        lambda: tinynet.models.load_model(tmp_path / "bad.json"),
        lambda: tinynet.models.model_from_json(json.dumps(nested)),
    ):
        with pytest.raises(ValueError, match=r"at most 8,192 calls .* Received: nested models"):
            load()
    assert time.process_time() - began < 2  # without the limit, more than 10 s


def test_messages_are_short(tmp_path: Path) -> None:
    two = layer("InputLayer", batch_shape=[None, 2], name="x" * 5_000)
    refused(tmp_path / "bad.json", "Received: ", stacked(two, layer("Dot", axes=[0.5] * 1_000)))


def test_inputs_with_many_dimensions(tmp_path: Path) -> None:
    shape = [None, *[1] * 41]
    path = tmp_path / "net.json"
    path.write_bytes(stacked(layer("InputLayer", batch_shape=shape), layer("ReLU")))
    assert tinynet.models.load_model(path).output_shape == tuple(shape)


def test_json_files_describe_no_larger_model(tmp_path: Path) -> None:
    about = json.loads(good_json())
    about["model"]["config"]["layers"][1]["config"]["units"] = 10**8
    refused(tmp_path / "bad.json", "more weights than the file", json.dumps(about).encode())


# ------------------------------------------------------------ graphs


def tensor(*history: Any) -> Any:
    config = {"shape": [None, 4], "dtype": "float32", "keras_history": [*history]}
    return {"class_name": "__keras_tensor__", "config": config}


def call_of(entry: Any, *args: Any) -> None:
    entry["inbound_nodes"] = [{"args": [*args], "kwargs": {}}]


def longer(listed: list[Any], n: int, name: str, options: Any, *more: Any) -> None:
    """Add a chain of operations, each applied n times to the previous result."""
    for k in range(n):
        before = tensor("x" if k == 0 else f"link_{k - 1}", 0, 0)
        args = [[before] * more[0]] if more else [before]
        entry = {"module": "keras.src.ops.numpy", "class_name": name, "name": f"link_{k}"}
        listed.append({**entry, "config": dict(options)})
        call_of(listed[-1], *args)


def product(listed: list[Any], name: str, options: Any, *shapes: Any) -> None:
    """Add a product of zeros with these shapes."""
    for k, shape in enumerate(shapes):
        module = "keras.src.ops.numpy"
        for kind, config, before in (
            ("Tile", {"repeats": [1, math.prod(shape)]}, tensor("dense", 0, 0)),
            ("Cast", {"dtype": "int32"}, tensor(f"tile_{k}", 0, 0)),
            ("Reshape", {"newshape": [-1, *shape]}, tensor(f"cast_{k}", 0, 0)),
        ):
            module = "keras.src.ops.core" if kind == "Cast" else module
            entry = {"module": module, "class_name": kind, "name": f"{kind.lower()}_{k}"}
            listed.append({**entry, "config": config})
            call_of(listed[-1], before)
    entry = {"module": "keras.src.ops.numpy", "class_name": name, "name": "product"}
    listed.append({**entry, "config": options})
    call_of(listed[-1], *(tensor(f"reshape_{k}", 0, 0) for k in range(len(shapes))))


def only_tile_of(listed: list[Any], shape: Any) -> None:
    """Remove the layer, and change the shape of the input."""
    listed[0]["config"]["batch_shape"] = shape
    call_of(listed[3], tensor("x", 0, 0))
    del listed[1:3]


SIZE, INPUTS = "4,194,304 elements in each tensor", "8,388,608 elements in each tensor"
# The layers of a valid file: x, dense = dense(x), add = dense + x, tile = tile(add).
GRAPHS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda ls: call_of(ls[1], tensor("tile", 0, 0)), "must not form a cycle"),
    (lambda ls: call_of(ls[1], tensor("dense", 0, 0)), "must not form a cycle"),
    (lambda ls: call_of(ls[1], tensor("y", 0, 0)), "calls in the same model.*'y'"),
    (lambda ls: call_of(ls[2], tensor("dense", 1, 0)), "calls in the same model.*1"),
    (lambda ls: call_of(ls[2], tensor("dense", -1, 0)), "calls in the same model"),
    (lambda ls: call_of(ls[2], tensor("dense", 0, 7)), "malformed"),
    (lambda ls: call_of(ls[2], tensor("dense", 0)), "malformed"),
    (lambda ls: call_of(ls[2], tensor([], {}, 0)), "malformed"),
    (lambda ls: call_of(ls[1]), "must be called with an input"),
    (lambda ls: call_of(ls[1], 3.0), "malformed|array"),
    (lambda ls: call_of(ls[2], {"class_name": "__numpy__", "config": {}}), "malformed"),
    (lambda ls: call_of(ls[3], tensor("x", 0, 0), {"class_name": "__slice__"}), "malformed"),
    (lambda ls: ls[1].update(inbound_nodes=None), "malformed"),
    (lambda ls: ls[1].update(inbound_nodes=[[]]), "malformed"),
    (lambda ls: ls[1].update(inbound_nodes=[{"args": 3, "kwargs": {}}]), "malformed"),
    (lambda ls: ls[1].update(inbound_nodes=[]), "calls in the same model"),
    (lambda ls: ls[1].update(name="x"), "must be unique"),
    (lambda ls: ls[1].update(name=[]), "malformed"),
    (lambda ls: ls[2].update(class_name="Assign"), "must be a supported operation.*'Assign'"),
    (lambda ls: (call_of(ls[3]), ls[3].update(class_name="Ones")), "applied to tensors"),
    (lambda ls: ls[3].update(class_name="Scatter", config={"shape": [10**9]}), SIZE),
    (lambda ls: ls[2].update(class_name="System"), "must be a supported operation.*'System'"),
    (lambda ls: ls[2].update(class_name="__init__"), "must be a supported operation"),
    (lambda ls: ls[2].update(module="os"), "not built into Keras or tinynet"),
    (lambda ls: ls[2]["config"].update(out="x"), "malformed"),
    (lambda ls: product(ls, "Cast", {"dtype": "a"}, [3]), "a real numeric type.*'a'"),
    (lambda ls: ls[3]["config"].update(repeats=[10**9, 10**9]), SIZE),
    (lambda ls: ls[3]["config"].update(repeats=[1, 10**40]), SIZE),
    (lambda ls: ls[0]["config"].update(batch_shape=[None, 10**10]), "more weights than the"),
    (lambda ls: only_tile_of(ls, [None, 10**9]), INPUTS),
    (lambda ls: longer(ls, 20, "Concatenate", {"axis": -1}, 20), INPUTS),
    (lambda ls: longer(ls, 20, "Stack", {"axis": 1}, 20), INPUTS),
    *(
        (lambda ls, row=row: product(ls, *row), SIZE)
        for row in [
            ("Matmul", {}, [3000, 1], [1, 3000]),
            ("Tensordot", {"axes": 0}, [3000], [3000]),
            ("Tensordot", {"axes": [[1], [2]]}, [3000, 1], [1, 3000]),
            ("Dot", {}, [3000, 1], [1, 3000]),
            ("Einsum", {"subscripts": "bij,bjk->bik"}, [3000, 1], [1, 3000]),
            ("Einsum", {"subscripts": "bi,cj->bicj"}, [3000], [3000]),
            ("Outer", {}, [3000], [3000]),
            ("Take", {"axis": 1}, [3, 3000], [3000]),
        ]
    ),
    (
        lambda ls: (
            product(ls, "Dot", {"axes": [2, 1]}, [3000, 1], [1, 3000]),
            ls[-1].update(module="keras.layers"),
            call_of(ls[-1], [tensor("reshape_0", 0, 0), tensor("reshape_1", 0, 0)]),
        ),
        SIZE,
    ),
    (lambda ls: longer(ls, 5_000, "Exp", {"axis": 1}), "malformed"),
    (lambda ls: longer(ls, 10_001, "Exp", {}), "describe at most 10,000 objects"),
]


@pytest.mark.parametrize("number", range(len(GRAPHS)))
def test_malformed_graphs(number: int, tmp_path: Path) -> None:
    change, match = GRAPHS[number]
    about, arrays = copy.deepcopy(good_graph())
    change(about["model"]["config"]["layers"])
    refused(tmp_path / "bad.tinynet", match, tinynet_files.version_2(about, arrays))


def test_long_graphs_are_loaded(write: Any, tmp_path: Path) -> None:
    about, arrays = copy.deepcopy(good_graph())
    longer(about["model"]["config"]["layers"], 2_000, "Tanh", {})
    (tmp_path / "long.tinynet").write_bytes(write(about, arrays))
    tinynet.models.load_model(tmp_path / "long.tinynet")


# ------------------------------------------------------------ HDF5


KERNEL = "layers/dense/vars/0"


def replace(file: Any, **kwargs: Any) -> None:
    del file[KERNEL]
    file.create_dataset(KERNEL, **kwargs)


def put(file: Any, path: str, value: Any) -> None:
    del file[path]
    file[path] = value


def virtual(file: Any, h5py: Any) -> None:
    layout = h5py.VirtualLayout((4, 5), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (4, 5))
    del file[KERNEL]
    file.create_virtual_dataset(KERNEL, layout)


def compressed_bomb(file: Any, h5py: Any) -> None:
    replace(file, shape=(1 << 15, 1 << 15), dtype="f4", chunks=(1 << 9, 1 << 9), compression="gzip")


def group_for_array(file: Any, h5py: Any) -> None:
    del file[KERNEL]
    file.create_group(KERNEL)


def one_value_changed(file: Any, h5py: Any) -> None:
    file[KERNEL][0, 0] += 1


def other_byte_order(file: Any, h5py: Any) -> None:
    values, checksum = file[KERNEL][()], file[KERNEL].attrs["tinynet_crc32"]
    replace(file, data=values.view(">f4"))
    file[KERNEL].attrs["tinynet_crc32"] = checksum


def exchanged(file: Any, h5py: Any) -> None:
    file.move("optimizer/vars/2", "optimizer/vars/x")
    file.move("optimizer/vars/3", "optimizer/vars/2")
    file.move("optimizer/vars/x", "optimizer/vars/3")


def checksum_of_text(file: Any, h5py: Any) -> None:
    file[KERNEL].attrs["tinynet_crc32"] = "x"


def dataset(**options: Any) -> Callable[[Any, Any], None]:
    """Return an attack that replaces an array; functions create its dtype with h5py."""

    def attack(file: Any, h5py: Any) -> None:
        made = {key: value(h5py) if callable(value) else value for key, value in options.items()}
        replace(file, **{"shape": (4, 5), "dtype": "f4", **made})

    return attack


LINKS, WHOLE = "links are not supported", "must be stored contiguously"
DAMAGED = "is corrupted.*a wrong checksum"
SHAPE = r"must have shape \(4, 5\)"
HDF5: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "soft link": (lambda f, h5py: put(f, KERNEL, h5py.SoftLink("/layers/dense_1/vars/0")), LINKS),
    "external link": (lambda f, h5py: put(f, KERNEL, h5py.ExternalLink("secret.h5", "/x")), LINKS),
    "external group": (
        lambda f, h5py: put(f, "layers/dense", h5py.ExternalLink("secret.h5", "/x")),
        LINKS,
    ),
    "external storage": (dataset(external=[("/etc/passwd", 0, 80)]), f"{WHOLE} in this file"),
    "virtual": (virtual, f"{WHOLE} in this file"),
    "compressed bomb": (compressed_bomb, SHAPE),
    "packed": (dataset(compression="gzip", data=np.zeros((4, 5), "f4")), "not compressed"),
    "never written": (dataset(), WHOLE),
    "huge": (dataset(shape=(1 << 40,)), SHAPE),
    "other shape": (dataset(shape=(5, 4)), rf"{SHAPE}.*Received: shape \(5, 4\)"),
    "no shape": (
        lambda f, h5py: replace(f, data=h5py.Empty("f4")),
        f"{SHAPE}.*Received: shape None",
    ),
    "strings": (dataset(dtype=lambda h5py: h5py.string_dtype()), "must be numeric"),
    "ragged": (dataset(dtype=lambda h5py: h5py.vlen_dtype(np.float32)), "must be numeric"),
    "references": (dataset(dtype=lambda h5py: h5py.ref_dtype), "must be numeric"),
    "structured dtype": (dataset(dtype=[("a", "f4")]), "must be numeric"),
    "long doubles": (dataset(dtype=lambda h5py: np.longdouble), "must be numeric"),
    "group for array": (group_for_array, "must be an array"),
    "named type": (lambda f, h5py: put(f, KERNEL, np.dtype("f4")), "must be an array"),
    "one value changed": (one_value_changed, DAMAGED),
    "other byte order": (other_byte_order, DAMAGED),
    "exchanged": (exchanged, DAMAGED),
    "checksum of text": (checksum_of_text, "must be one integer"),
}


@pytest.mark.parametrize("name", HDF5)
def test_hostile_hdf5(name: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    attack, match = HDF5[name]
    with h5py.File(tmp_path / "secret.h5", "w") as secret:
        secret["x"] = np.ones((4, 5), np.float32)
    trained, model, path = small(), small(), tmp_path / "bad.weights.h5"
    trained.fit(*models.data(), verbose=0)
    trained.save_weights(path)
    with h5py.File(path, "r+") as file:
        attack(file, h5py)
    before = models.bits(model)
    with pytest.raises(ValueError, match=match):
        model.load_weights(path)
    assert models.bits(model) == before


def test_paths_in_lists_of_names(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    small().save(tmp_path / "bad.h5")
    for name in ("../../optimizer_weights/x", "/model_weights", "", ".", "a" * 100_000):
        with h5py.File(tmp_path / "bad.h5", "r+") as file:
            group = file["model_weights/dense"]
            for key in list(group.attrs):
                del group.attrs[key]
            group.attrs.create("weight_names", [name, name], dtype=h5py.string_dtype())
        refused(tmp_path / "bad.h5", "Received: ")


def test_endless_hdf5_heaps(tmp_path: Path) -> None:
    small().save(tmp_path / "bad.h5")
    data = bytearray((tmp_path / "bad.h5").read_bytes())
    first = data.index(b"GCOL") + 16
    data[first : first + 16] = bytes(16)
    refused(tmp_path / "bad.h5", "heap is corrupted", bytes(data))


@pytest.mark.parametrize("name", ["model_config", "layer_names"])
def test_hdf5_strings_longer_than_the_file(name: str, tmp_path: Path) -> None:
    small().save(tmp_path / "bad.h5")
    data = bytearray((tmp_path / "bad.h5").read_bytes())
    at = data.index(name.encode() + b"\0") + {"model_config": 51, "layer_names": 67}[name]
    assert data[at - 3 : at] != b"\0\0\0"
    data[at] = 1
    refused(tmp_path / "bad.h5", "must not be longer than the file", bytes(data))


# ------------------------------------------------------------ other attacks


class Counts(layers.Layer):
    def build(self, shape: Any) -> None:
        self.used = self.add_weight(shape=(3,), dtype="bool", trainable=False, name="used")
        self.steps = self.add_weight(shape=(), dtype="int8", trainable=False, name="steps")

    def call(self, x: Any) -> Any:
        return x


def counting() -> Any:
    return tinynet.Sequential([tinynet.Input((3,)), Counts(name="counts")])


def integers_in_hdf5(path: Path, used: Any, steps: Any) -> None:
    """Write a weights file for `Counts`, with arbitrary bytes as the bool weight."""
    h5py = pytest.importorskip("h5py")
    counting().save_weights(path)
    with h5py.File(path, "r+") as file:
        group = file["layers/counts/vars"]
        place = group["0"].id.get_offset()
        del group["0"].attrs["tinynet_crc32"], group["1"]
        group["1"] = int(steps)
    contents = path.read_bytes()
    path.write_bytes(contents[:place] + used.tobytes() + contents[place + 3 :])


@pytest.mark.parametrize(
    ("used", "steps", "match"),
    [
        (b"\0\7\1", 5, "must have values in the range of bool for counts/used. Received: "),
        (b"\1\0\1", 300, "must have values in the range of int8 for counts/steps. Received: "),
        (b"\1\0\1", -128, None),
    ],
)
def test_integers_and_bool_out_of_range(
    used: bytes, steps: int, match: str | None, tmp_path: Path
) -> None:
    path, loads = tmp_path / "bad.tinynet", []
    arrays = {"used": np.frombuffer(used, bool), "steps": np.array(steps)}
    about = saved(counting(), path)[0]
    model = counting()
    for number, layout in enumerate(LAYOUTS.values()):
        whole = tmp_path / f"bad{number}.tinynet"
        whole.write_bytes(layout(about, arrays))
        loads.append(lambda whole=whole: tinynet.models.load_model(whole, {"Counts": Counts}))
    integers_in_hdf5(tmp_path / "bad.weights.h5", *arrays.values())
    loads.append(lambda: model.load_weights(tmp_path / "bad.weights.h5") or model)
    for load in loads:
        if match is None:
            assert [w.tolist() for w in load().get_weights()] == [[True, False, True], -128]
            continue
        with pytest.raises(ValueError, match=match):
            load()
        assert [w.tolist() for w in model.get_weights()] == [[False] * 3, 0]
