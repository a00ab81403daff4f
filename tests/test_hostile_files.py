"""Files from strangers: each attack is refused by name, at once, in little memory."""

from __future__ import annotations

import copy
import io
import json
import math
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet
from tinynet import layers
from tinynet.saving import archive, configuration

Members = dict[str, bytes]


@pytest.fixture
def model() -> tinynet.Sequential:
    made = tinynet.Sequential(
        [tinynet.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)], name="net"
    )
    made.compile("adam", "mse")
    return made


@pytest.fixture
def members(model: tinynet.Sequential, tmp_path: Path) -> Members:
    """Return the members of a good .tinynet file."""
    model.save(tmp_path / "good.tinynet")
    with zipfile.ZipFile(tmp_path / "good.tinynet") as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def refused(path: Path, match: str) -> None:
    """Load a file: it is refused, in less than 2 seconds and 64 MiB; none is above 6 MB."""
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


def refused_members(members: Members, tmp_path: Path, match: str) -> None:
    (tmp_path / "bad.tinynet").write_bytes(archive.pack(members))
    refused(tmp_path / "bad.tinynet", match)


def changed(members: Members, change: Callable[[Any], Any]) -> Members:
    about = json.loads(members["model.json"])
    change(about)
    return {**members, "model.json": json.dumps(about).encode()}


# ------------------------------------------------------------ foreign and damaged files


@pytest.mark.parametrize("suffix", [".tinynet", ".keras", ".h5"])
@pytest.mark.parametrize(
    "contents",
    [b"", b"PK", b"hello", b"\x89HDF\r\n\x1a\n", b"\0" * 1000, pickle.dumps([1, 2]), b"%PDF-1.7"],
)
def test_foreign_files(suffix: str, contents: bytes, tmp_path: Path) -> None:
    (tmp_path / f"bad{suffix}").write_bytes(contents)
    refused(tmp_path / f"bad{suffix}", "can't be loaded")


def test_every_byte_is_checked(model: tinynet.Sequential, tmp_path: Path) -> None:
    path = tmp_path / "net.tinynet"
    model.save(path)
    data = path.read_bytes()
    where = data.index(model.get_weights()[0].tobytes())
    for position, bit in [(where + i // 8, i % 8) for i in range(4 * 3 * 4 * 8)]:
        mutant = bytearray(data)
        mutant[position] ^= 1 << bit
        path.write_bytes(mutant)
        with pytest.raises(ValueError, match="CRC"):
            model.load_weights(path)


# ------------------------------------------------------------ archives


def raw_zip(entries: list[tuple[zipfile.ZipInfo | str, bytes]], packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else 0) as opened:
        for entry, contents in entries:
            opened.writestr(entry, contents)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".tinynet", ".keras"])
@pytest.mark.parametrize(
    "name", ["../model.json", "/etc/passwd", "a/../../b", "C:/x", "..\\x", "\\x"]
)
def test_names_that_lead_out(name: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"bad{suffix}").write_bytes(raw_zip([(name, b"{}")]))
    refused(tmp_path / f"bad{suffix}", "leads out of the archive")
    assert os.listdir(tmp_path) == [f"bad{suffix}"]


def test_links_in_archives(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("model.json")
    link.external_attr = 0o120777 << 16
    (tmp_path / "bad.tinynet").write_bytes(raw_zip([(link, b"/etc/passwd")]))
    refused(tmp_path / "bad.tinynet", "is a link")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice(members: Members, tmp_path: Path) -> None:
    entries: list[Any] = [*members.items(), ("model.json", members["model.json"])]
    (tmp_path / "bad.tinynet").write_bytes(raw_zip(entries))
    refused(tmp_path / "bad.tinynet", "is there twice")


def test_encrypted_members(members: Members, tmp_path: Path) -> None:
    data = bytearray(archive.pack(members))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "bad.tinynet").write_bytes(data)
    refused(tmp_path / "bad.tinynet", "is encrypted")


@pytest.mark.parametrize("name", ["model.json", "weights/0.npy", "other"])
def test_zip_bombs(name: str, members: Members, tmp_path: Path) -> None:
    members[name] = bytes(100 << 20)
    (tmp_path / "bad.tinynet").write_bytes(raw_zip([*members.items()], packed=True))
    assert (tmp_path / "bad.tinynet").stat().st_size < 1 << 20
    refused(tmp_path / "bad.tinynet", "claim more than the file can hold")


def test_many_small_bombs(tmp_path: Path) -> None:
    entries: list[Any] = [(f"weights/{i}.npy", bytes(1 << 20)) for i in range(50)]
    (tmp_path / "bad.tinynet").write_bytes(raw_zip(entries, packed=True))
    refused(tmp_path / "bad.tinynet", "claim more than the file can hold")


def test_sizes_that_lie(members: Members, tmp_path: Path) -> None:
    """The directory claims 4 GB, stored."""
    data = bytearray(archive.pack(members))
    entry = data.index(b"PK\x01\x02")
    data[entry + 20 : entry + 28] = b"\xf0\xff\xff\xff" * 2
    (tmp_path / "bad.tinynet").write_bytes(data)
    refused(tmp_path / "bad.tinynet", "claim more than the file can hold")


def test_a_missing_member(members: Members, tmp_path: Path) -> None:
    last = members.pop("optimizer/1.npy")
    refused_members(members, tmp_path, "must have the arrays")
    del members["weights/1.npy"]
    refused_members({**members, "optimizer/1.npy": last}, tmp_path, "must have arrays only")
    refused_members({"other.json": b"{}"}, tmp_path, "must have the member 'model.json'")


def test_a_hidden_pickle(members: Members, tmp_path: Path) -> None:
    refused_members({**members, "data.pkl": pickle.dumps(1)}, tmp_path, "must have arrays only")


# ------------------------------------------------------------ arrays


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def npy(array: Any, **kwargs: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **kwargs)
    return buffer.getvalue()


def test_a_pickle_in_an_array(members: Members, tmp_path: Path) -> None:
    array = np.empty((4, 3), object)
    array[0, 0] = Bomb(tmp_path / "exploded")
    members["weights/0.npy"] = npy(array)
    refused_members(members, tmp_path, "array of plain numbers")
    members["weights/0.npy"] = pickle.dumps(Bomb(tmp_path / "exploded"))
    refused_members(members, tmp_path, "array of plain numbers")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((3, 4), np.float32), r"shape \(4, 3\).*Received: shape \(3, 4\)"),
        (np.zeros((4, 3), np.int32), "type float32.*type int32"),
        (np.zeros((4, 3), bool), "type float32.*type bool"),
        (np.zeros((4, 3), "U1"), "array of plain numbers"),
        (np.zeros((4, 3), np.complex64), "array of plain numbers"),
        (np.zeros((4, 3), [("a", "f4")]), "array of plain numbers"),
        (np.zeros((4, 3), np.float32, order="F"), "array of plain numbers"),
        (np.zeros(1000, np.float32), "may have"),
    ],
)
def test_arrays_that_do_not_fit(array: Any, match: str, members: Members, tmp_path: Path) -> None:
    members["weights/0.npy"] = npy(array)
    refused_members(members, tmp_path, match)


def test_a_header_that_lies(members: Members, tmp_path: Path) -> None:
    good = members["weights/0.npy"]
    for old, new in [(b"(4, 3)", b"(9, 9)"), (b"(4, 3)", b"(4e3) "), (b"<f4", b"<f8")]:
        members["weights/0.npy"] = good.replace(old, new)
        refused_members(members, tmp_path, "Received: ")


# ------------------------------------------------------------ configurations


def layer_of(about: Any, index: int = 1) -> Any:
    return about["model"]["config"]["layers"][index]


@pytest.mark.parametrize("units", [10**9, 10**18, 10**40])
def test_sizes_are_refused_before_memory_is_taken(
    units: int, members: Members, tmp_path: Path
) -> None:
    bad = changed(members, lambda about: layer_of(about)["config"].update(units=units))
    refused_members(bad, tmp_path, "asks for more weights than the file holds")
    bad = changed(
        members, lambda about: layer_of(about, 0)["config"].update(batch_shape=[None, units])
    )
    refused_members(bad, tmp_path, "asks for more weights than the file holds")


def graph_members(tmp_path: Path, change: Callable[[list[Any]], Any]) -> Members:
    """Return the members of a file of a graph whose layers were changed."""
    x = tinynet.Input((4,), name="x")
    y = layers.Dense(4, name="dense")(x) + x
    tinynet.Model(x, tinynet.ops.tile(y, (1, 2))).save(tmp_path / "good.tinynet")
    with zipfile.ZipFile(tmp_path / "good.tinynet") as opened:
        good = {name: opened.read(name) for name in opened.namelist()}
    return changed(good, lambda about: change(about["model"]["config"]["layers"]))


def tensor(*history: Any) -> Any:
    config = {"shape": [None, 4], "dtype": "float32", "keras_history": [*history]}
    return {"class_name": "__keras_tensor__", "config": config}


def call_of(entry: Any, *args: Any) -> None:
    entry["inbound_nodes"] = [{"args": [*args], "kwargs": {}}]


def longer(listed: list[Any], n: int, name: str, options: Any, *more: Any) -> None:
    """Add a chain of operations, each applied n times to the result of the one before."""
    for k in range(n):
        before = tensor("x" if k == 0 else f"link_{k - 1}", 0, 0)
        args = [[before] * more[0]] if more else [before]
        entry = {"module": "keras.src.ops.numpy", "class_name": name, "name": f"link_{k}"}
        listed.append({**entry, "config": dict(options)})
        call_of(listed[-1], *args)


def product(listed: list[Any], name: str, options: Any, *shapes: Any) -> None:
    """Add a product of zeros of these shapes."""
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


# The layers of a good file: x, dense = dense(x), add = dense + x, tile = tile(add).
@pytest.mark.parametrize(
    ("change", "match"),
    [
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
        (lambda ls: ls[1].update(name="x"), "must have a name of its own"),
        (lambda ls: ls[1].update(name=[]), "malformed"),
        (lambda ls: ls[2].update(class_name="Assign"), "no operation of this name.*'Assign'"),
        (lambda ls: (call_of(ls[3]), ls[3].update(class_name="Ones")), "applied to tensors"),
        (lambda ls: ls[3].update(class_name="Scatter", config={"shape": [10**9]}), "may have 16"),
        (lambda ls: ls[2].update(class_name="System"), "no operation of this name.*'System'"),
        (lambda ls: ls[2].update(class_name="__init__"), "no operation of this name"),
        (lambda ls: ls[2].update(module="os"), "not of Keras or tinynet"),
        (lambda ls: ls[2]["config"].update(out="x"), "malformed"),
        (lambda ls: ls[3]["config"].update(repeats=[10**9, 10**9]), "may have 16,777,216 numbers"),
        (lambda ls: ls[3]["config"].update(repeats=[1, 10**40]), "may have 16,777,216 numbers"),
        (lambda ls: ls[0]["config"].update(batch_shape=[None, 10**10]), "more weights than the"),
        (lambda ls: longer(ls, 20, "Concatenate", {"axis": -1}, 20), "may have 16,777,216"),
        (lambda ls: longer(ls, 20, "Stack", {"axis": 1}, 20), "may have 16,777,216 numbers"),
        *(
            (lambda ls, row=row: product(ls, *row), "may have 16,777,216 numbers")
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
            "may have 16,777,216 numbers",
        ),
        (lambda ls: longer(ls, 5_000, "Exp", {"axis": 1}), "malformed"),
        (lambda ls: longer(ls, 10_001, "Exp", {}), "may describe 10,000 objects"),
    ],
)
def test_malformed_graphs(change: Any, match: str, tmp_path: Path) -> None:
    refused_members(graph_members(tmp_path, change), tmp_path, match)


def test_long_graphs_are_loaded(tmp_path: Path) -> None:
    bad = graph_members(tmp_path, lambda listed: longer(listed, 2_000, "Tanh", {}))
    (tmp_path / "long.tinynet").write_bytes(archive.pack(bad))
    tinynet.models.load_model(tmp_path / "long.tinynet")


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("class_name", "Lambda", "Lambda of tinynet does not support 'units'"),
        ("class_name", "os.system", "Unknown layer.*Received: 'os.system'"),
        ("class_name", "Adam", "Unknown layer.*Received: 'Adam'"),
        ("class_name", ["Dense"], "needs 'class_name'"),
        ("class_name", "x" * 10**6, "Unknown layer"),
        ("module", "os", "not of Keras or tinynet.*module 'os'"),
        ("module", "kerasevil.layers", "not of Keras or tinynet"),
        ("config", None, "needs 'class_name' and 'config'"),
        ("config", [], "needs 'class_name' and 'config'"),
        ("registered_name", ["x"], "malformed"),
    ],
)
def test_class_names_are_a_closed_set(
    key: str, value: Any, match: str, members: Members, tmp_path: Path
) -> None:
    bad = changed(members, lambda about: layer_of(about).update({key: value}))
    refused_members(bad, tmp_path, match)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("units", -1), ("units", 2.5), ("units", "3"), ("units", None), ("units", True),
        ("activation", "os.system"), ("activation", {"class_name": "eval", "config": {}}),
        ("activation", {"class_name": "function", "config": "eval", "module": "builtins"}),
        ("activation", {"class_name": "__lambda__", "config": {"value": ["4wEAAA==", None, None]}}),
        ("kernel_initializer", "http://example.com/x"), ("kernel_initializer", "file:///etc/passwd"),
        ("name", "a/b"), ("name", 3), ("dtype", "object"), ("dtype", {"config": 3}),
        ("lora_rank", 4), ("use_bias", "yes"), ("quantization_config", {"module": "os"}),
    ],
)  # fmt: skip
def test_arguments_that_no_layer_takes(
    key: str, value: Any, members: Members, tmp_path: Path
) -> None:
    bad = changed(members, lambda about: layer_of(about)["config"].update({key: value}))
    refused_members(bad, tmp_path, "Received: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer", None), ("optimizer", "adam.__class__"), ("optimizer", {"class_name": "os"}),
        ("loss", "eval"), ("loss", ["a", "b"]), ("metrics", 3), ("metrics", ["os.system"]),
        ("loss_weights", "x"),
    ],
)  # fmt: skip
def test_compile_arguments_of_the_wrong_kind(
    key: str, value: Any, members: Members, tmp_path: Path
) -> None:
    bad = changed(members, lambda about: about["model"]["compile_config"].update({key: value}))
    refused_members(bad, tmp_path, "Received: ")


def test_no_configuration_makes_anything_but_models(members: Members, tmp_path: Path) -> None:
    bad = changed(members, lambda about: about.update(model=layer_of(about)))
    refused_members(bad, tmp_path, "must be a model's")


def test_too_many_objects(members: Members, tmp_path: Path) -> None:
    flat = {"class_name": "Flatten", "config": {}}
    bad = changed(members, lambda about: about["model"]["config"]["layers"].extend([flat] * 20_000))
    refused_members(bad, tmp_path, "may describe 10,000 objects")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"[" * 10_000 + b"]" * 10_000, "may be nested 100 deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "may be nested 100 deep"),
        (b'{"a": 1, "a": 2}', "every key once"),
        (b"[1]", "one object"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "50 digits"),
        (b'{"a": "' + b"x" * (5 << 20) + b'"}', "may have"),
        (b'{"a": "\\"' * 1000, "Received: "),
        (b"\xff\xfe{}", "damaged"),
        (b"{'a': 1}", "damaged"),
        (b"", "damaged"),
    ],
)
def test_hostile_json(text: bytes, match: str, members: Members, tmp_path: Path) -> None:
    refused_members({**members, "model.json": text}, tmp_path, match)


def test_deep_nesting_of_models(members: Members, tmp_path: Path) -> None:
    def nest(about: Any) -> None:
        model = copy.deepcopy(about["model"])
        for _ in range(40):
            model = {"class_name": "Sequential", "config": {"name": "a", "layers": [model]}}
        about["model"] = model

    refused_members(changed(members, nest), tmp_path, "may be nested 100 deep")


@pytest.mark.parametrize("version", [2, 10**9])
def test_newer_versions(version: int, members: Members, tmp_path: Path) -> None:
    bad = changed(members, lambda about: about.update(format_version=version))
    refused_members(bad, tmp_path, "written by a newer one: install the newest tinynet")


@pytest.mark.parametrize("version", [0, -1, "1", None, 1.0, True])
def test_versions_of_no_sense(version: Any, members: Members, tmp_path: Path) -> None:
    bad = changed(members, lambda about: about.update(format_version=version))
    refused_members(bad, tmp_path, "must say which version")


@pytest.mark.parametrize(
    "run",
    [
        {"random": {}, "history": None},
        {"random": {"_random": {"bit_generator": "MT19937"}}, "history": None},
        {"random": {"_random": {"bit_generator": "PCG64", "state": {"state": -1, "inc": 1},
                                "has_uint32": 0, "uinteger": 0}}, "history": None},
        {"random": 3, "history": None},
    ],
)  # fmt: skip
def test_random_states_of_no_sense(run: Any, members: Members, tmp_path: Path) -> None:
    bad = changed(members, lambda about: about.update(run=run))
    refused_members(bad, tmp_path, "random generator")


@pytest.mark.parametrize("history", [3, {"history": {"loss": ["a"]}, "epoch": []}, {"history": {}}])
def test_histories_of_no_sense(history: Any, members: Members, tmp_path: Path) -> None:
    bad = changed(members, lambda about: about["run"].update(history=history))
    refused_members(bad, tmp_path, "Received: ")


# ------------------------------------------------------------ HDF5


def hdf5_file(model: tinynet.Sequential, path: Path, attack: Callable[[Any, Any], Any]) -> None:
    """Save weights, and do something to the file."""
    import h5py

    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        attack(file, h5py)


KERNEL = "layers/dense/vars/0"


def replace(file: Any, **kwargs: Any) -> None:
    del file[KERNEL]
    file.create_dataset(KERNEL, **kwargs)


def soft_link(file: Any, h5py: Any) -> None:
    del file[KERNEL]
    file[KERNEL] = h5py.SoftLink("/layers/dense_1/vars/0")


def external_link(file: Any, h5py: Any) -> None:
    del file[KERNEL]
    file[KERNEL] = h5py.ExternalLink("secret.h5", "/x")


def external_group(file: Any, h5py: Any) -> None:
    del file["layers/dense"]
    file["layers/dense"] = h5py.ExternalLink("secret.h5", "/x")


def external_storage(file: Any, h5py: Any) -> None:
    replace(file, shape=(4, 3), dtype="f4", external=[("/etc/passwd", 0, 48)])


def virtual(file: Any, h5py: Any) -> None:
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (4, 3))
    del file[KERNEL]
    file.create_virtual_dataset(KERNEL, layout)


def compressed_bomb(file: Any, h5py: Any) -> None:
    replace(file, shape=(1 << 15, 1 << 15), dtype="f4", chunks=(1 << 9, 1 << 9), compression="gzip")


def packed(file: Any, h5py: Any) -> None:
    replace(file, data=np.zeros((4, 3), "f4"), compression="gzip")


def never_written(file: Any, h5py: Any) -> None:
    replace(file, shape=(4, 3), dtype="f4")


def huge(file: Any, h5py: Any) -> None:
    replace(file, shape=(1 << 40,), dtype="f4")


def other_shape(file: Any, h5py: Any) -> None:
    replace(file, data=np.zeros((3, 4), "f4"))


def no_shape(file: Any, h5py: Any) -> None:
    replace(file, data=h5py.Empty("f4"))


def texts(file: Any, h5py: Any) -> None:
    replace(file, shape=(4, 3), dtype=h5py.string_dtype())


def ragged(file: Any, h5py: Any) -> None:
    replace(file, shape=(4, 3), dtype=h5py.vlen_dtype(np.float32))


def references(file: Any, h5py: Any) -> None:
    replace(file, shape=(4, 3), dtype=h5py.ref_dtype)


def records(file: Any, h5py: Any) -> None:
    replace(file, shape=(4, 3), dtype=[("a", "f4")])


def group_for_array(file: Any, h5py: Any) -> None:
    del file[KERNEL]
    file.create_group(KERNEL)


def named_type(file: Any, h5py: Any) -> None:
    del file[KERNEL]
    file[KERNEL] = np.dtype("f4")


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


@pytest.mark.parametrize(
    ("attack", "match"),
    [
        (soft_link, "Links are not followed"),
        (external_link, "Links are not followed"),
        (external_group, "Links are not followed"),
        (external_storage, "must be stored whole in this file"),
        (virtual, "must be stored whole in this file"),
        (compressed_bomb, r"must be of shape \(4, 3\)"),
        (packed, "neither packed nor in parts"),
        (never_written, "must be stored whole"),
        (huge, r"must be of shape \(4, 3\)"),
        (other_shape, r"must be of shape \(4, 3\).*Received: shape \(3, 4\)"),
        (no_shape, r"must be of shape \(4, 3\).*Received: shape None"),
        (texts, "must hold plain numbers"),
        (ragged, "must hold plain numbers"),
        (references, "must hold plain numbers"),
        (records, "must hold plain numbers"),
        (group_for_array, "must be an array"),
        (named_type, "must lead to groups and datasets"),
        (one_value_changed, "is damaged.*another checksum"),
        (other_byte_order, "is damaged.*another checksum"),
        (exchanged, "is damaged.*another checksum"),
        (checksum_of_text, "must be one number"),
    ],
)
def test_hostile_hdf5(attack: Any, match: str, model: tinynet.Sequential, tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "secret.h5", "w") as secret:
        secret["x"] = np.ones((4, 3), np.float32)
    before = [w.array.tobytes() for w in model.weights]
    model.fit(np.ones((2, 4)), np.ones((2, 2)), verbose=0)
    hdf5_file(model, tmp_path / "bad.weights.h5", attack)
    model.set_weights([np.frombuffer(b, np.float32).reshape(w.shape)
                       for b, w in zip(before, model.weights, strict=True)])  # fmt: skip
    with pytest.raises(ValueError, match=match):
        model.load_weights(tmp_path / "bad.weights.h5")
    assert [w.array.tobytes() for w in model.weights] == before


class Counts(layers.Layer):
    def build(self, shape: Any) -> None:
        self.used = self.add_weight(shape=(3,), dtype="bool", trainable=False, name="used")
        self.steps = self.add_weight(shape=(), dtype="int8", trainable=False, name="steps")

    def call(self, x: Any) -> Any:
        return x


def integer_files(tmp_path: Path, used: bytes, steps: int) -> list[Path]:
    """Write the weights of `Counts` to files of both kinds, in which bool may have any bytes."""
    import h5py

    model = tinynet.Sequential([tinynet.Input((3,)), Counts(name="counts")])
    model.save(tmp_path / "bad.tinynet")
    with zipfile.ZipFile(tmp_path / "bad.tinynet") as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    members["weights/0.npy"] = npy(np.zeros(3, bool))[:-3] + used
    members["weights/1.npy"] = npy(np.array(steps))
    (tmp_path / "bad.tinynet").write_bytes(raw_zip([*members.items()]))
    model.save_weights(tmp_path / "bad.weights.h5")
    with h5py.File(tmp_path / "bad.weights.h5", "r+") as file:
        group = file["layers/counts/vars"]
        place = group["0"].id.get_offset()
        del group["0"].attrs["tinynet_crc32"], group["1"]
        group["1"] = steps
    contents = (tmp_path / "bad.weights.h5").read_bytes()
    (tmp_path / "bad.weights.h5").write_bytes(contents[:place] + used + contents[place + 3 :])
    return [tmp_path / "bad.tinynet", tmp_path / "bad.weights.h5"]


@pytest.mark.parametrize(
    ("used", "steps", "match"),
    [
        (b"\0\7\1", 5, "must have values of type bool for counts/used. Received: "),
        (b"\1\0\1", 300, "must have values of type int8 for counts/steps. Received: "),
        (b"\1\0\1", -128, None),
    ],
)
def test_integers_and_bool_out_of_range(
    used: bytes, steps: int, match: str | None, tmp_path: Path
) -> None:
    model = tinynet.Sequential([tinynet.Input((3,)), Counts(name="counts")])
    whole, weights = integer_files(tmp_path, used, steps)
    for load in (
        lambda: tinynet.models.load_model(whole, {"Counts": Counts}),
        lambda: model.load_weights(weights) or model,
    ):
        if match is None:
            assert [w.tolist() for w in load().get_weights()] == [[True, False, True], -128]
            continue
        with pytest.raises(ValueError, match=match):
            load()
        assert [w.tolist() for w in model.get_weights()] == [[False] * 3, 0]


def test_paths_in_lists_of_names(model: tinynet.Sequential, tmp_path: Path) -> None:
    import h5py

    model.save(tmp_path / "bad.h5")
    for name in ("../../optimizer_weights/x", "/model_weights", "", ".", "a" * 100_000):
        with h5py.File(tmp_path / "bad.h5", "r+") as file:
            group = file["model_weights/dense"]
            for key in list(group.attrs):
                del group.attrs[key]
            group.attrs.create("weight_names", [name, name], dtype=h5py.string_dtype())
        refused(tmp_path / "bad.h5", "Received: ")


def test_heaps_that_do_not_end(model: tinynet.Sequential, tmp_path: Path) -> None:
    model.save(tmp_path / "bad.h5")
    data = bytearray((tmp_path / "bad.h5").read_bytes())
    first = data.index(b"GCOL") + 16
    data[first : first + 16] = bytes(16)
    (tmp_path / "bad.h5").write_bytes(data)
    refused(tmp_path / "bad.h5", "heap is damaged")


# ------------------------------------------------------------ all else


def test_json_is_bounded_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="may have"):
        configuration.to_json({"a": "x" * (5 << 20)})


def test_mutants_are_refused_or_harmless() -> None:
    """A short run of what ``python -m tests.fuzz_files`` does."""
    root = Path(tinynet.__file__).parents[1]
    command = [sys.executable, "-m", "tests.fuzz_files", "--mutants", "60"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("60 mutants") == 3
