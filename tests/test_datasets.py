"""Finding, validating, downloading and caching datasets.

A local web server acts as two mirrors.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import os
import pickle
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs.macos
import platformdirs.unix
import platformdirs.windows
import pytest

from tests import HUNG
from tinynet._core.cache_folder import cache_folder
from tinynet.datasets import download, fashion_mnist, idx_format, mnist
from tinynet.datasets.download import Source, load
from tinynet.datasets.idx_format import IDX_FILES, NPZ_ARRAYS, Dataset


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def npz(arrays: dict[str, np.ndarray], save: Any = np.savez_compressed) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def tiny(seed: int = 0) -> dict[str, np.ndarray]:
    """Return three training images, two test images, and their labels."""
    random = np.random.default_rng(seed)
    return {
        "x_train": random.integers(0, 256, (3, 28, 28), np.uint8),
        "y_train": np.array([0, 9, 4], np.uint8),
        "x_test": random.integers(0, 256, (2, 28, 28), np.uint8),
        "y_test": np.array([1, 2], np.uint8),
    }


def idx_contents(arrays: dict[str, np.ndarray], ending: str = ".gz") -> dict[str, bytes]:
    pack = gzip.compress if ending else bytes
    return {
        name.removesuffix(".gz") + ending: pack(idx(array))
        for name, array in zip(IDX_FILES, arrays.values(), strict=True)
    }


TINY = tiny()
FILES = idx_contents(TINY)


def put(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def listing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def assert_is(dataset: Dataset, arrays: dict[str, np.ndarray] = TINY) -> None:
    received = [array for part in dataset for array in part]
    for expected, array in zip(arrays.values(), received, strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == np.uint8
        assert array.flags.owndata
        assert array.flags.writeable
        assert array.flags.c_contiguous


def started(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program that can import the library."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(download.__file__).parents[2])},
    )


class Mirror:
    """A web server with two mirrors, ``/one/`` and ``/two/``, serving files from a dictionary."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.before: Callable[[], object] = lambda: None
        self.truncated = False
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                mirror.before()
                data = mirror.files.get(self.path)
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write((data or b"")[: 100 if mirror.truncated else None])

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.source = source_at(self.url)  # the mirrors have no files yet
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def serve(self, which: str, contents: dict[str, bytes] = FILES) -> None:
        self.files |= {f"/{which}/{name}": data for name, data in contents.items()}


def source_at(url: str, contents: dict[str, bytes] = FILES) -> Source:
    """Return a dataset source with two mirrors."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    downloads = ((tuple(contents), (f"{url}/one/", f"{url}/two/")),)
    return Source("tiny", "Tiny", "tiny-set", sums, downloads)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    made = Mirror()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def _places(tmp_path: Path, monkeypatch: Any) -> None:
    """Use only temporary folders for the search, and bypass web proxies for the local server."""
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def nowhere() -> Source:
    """Return a dataset source whose mirrors refuse connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return source_at(f"http://127.0.0.1:{free.getsockname()[1]}")


# File formats and explicit paths


UNPACKED = idx_contents(TINY, "")
FORMS = {
    "packed": FILES,
    "unpacked": UNPACKED,
    "uncompressed with .gz suffix": {f"{name}.gz": data for name, data in UNPACKED.items()},
    "in a subfolder": {f"tiny/{name}": data for name, data in FILES.items()},
    "npz": {"tiny.npz": npz({**TINY, "more": np.zeros(3)}, np.savez)},
    "npz compressed": {"tiny.npz": npz({**TINY, "more": np.zeros(3)})},
    "npz in Fortran order": {"tiny.npz": npz({k: np.asfortranarray(v) for k, v in TINY.items()})},
}


@pytest.mark.parametrize("form", FORMS)
def test_supported_file_formats(tmp_path: Path, nowhere: Source, form: str) -> None:
    put(tmp_path, FORMS[form])
    for path in (tmp_path, str(tmp_path), *tmp_path.glob("*.npz")):
        assert_is(load(nowhere, path))


def test_file_format_precedence(tmp_path: Path, nowhere: Source) -> None:
    put(tmp_path, {"tiny.npz": npz(tiny(2))} | idx_contents(tiny(1), "") | FILES)
    assert_is(load(nowhere, tmp_path))
    for name in IDX_FILES:
        (tmp_path / name).unlink()
    assert_is(load(nowhere, tmp_path), tiny(1))
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert_is(load(nowhere, tmp_path), tiny(2))


def test_explicit_path_is_only_location(tmp_path: Path, mirror: Mirror) -> None:
    mirror.serve("one")
    put(tmp_path / "cache" / "tiny", FILES)
    incomplete = put(tmp_path / "given", dict(list(FILES.items())[:3]))
    with pytest.raises(FileNotFoundError, match=r"not contain t10k-labels-idx1-ubyte\.gz$"):
        load(mirror.source, incomplete)
    with pytest.raises(FileNotFoundError, match=r"Received: path='absent\.npz'$"):
        load(mirror.source, "absent.npz")
    assert mirror.asked == []


def test_load_data_of_both_datasets(tmp_path: Path) -> None:
    put(tmp_path, UNPACKED)
    assert_is(mnist.load_data(tmp_path))
    assert_is(fashion_mnist.load_data(tmp_path))


@pytest.mark.parametrize("path", ["mnist.npz", None])
def test_default_path_searches_locations(
    tmp_path: Path, monkeypatch: Any, path: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mnist.npz").write_bytes(npz(tiny(1)))
    put(tmp_path / "data" / "mnist", {"mnist.npz": npz(tiny(2))})
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path / "data"))
    assert_is(mnist.load_data(path), tiny(2))
    assert_is(mnist.load_data("./mnist.npz"), tiny(1))


# Search order


def test_search_order(tmp_path: Path, mirror: Mirror, monkeypatch: Any) -> None:
    mirror.serve("one")
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path / "data"))
    read: list[str] = []
    original = download.parse
    monkeypatch.setattr(
        download, "parse", lambda files: read.append(next(iter(files))) or original(files)
    )

    places = [tmp_path / "data" / "tiny", tmp_path / "keras" / "datasets" / "tiny-set"]
    for place in places:
        put(place, FILES)
    for place in places:
        assert_is(load(mirror.source))
        (place / "t10k-labels-idx1-ubyte.gz").unlink()
    assert mirror.asked == []
    for _ in range(2):
        assert_is(load(mirror.source))
        assert mirror.asked == [f"/one/{name}" for name in IDX_FILES]
    put(places[1], FILES)
    assert_is(load(mirror.source))
    kept = tmp_path / "cache" / "tiny"
    assert read == [str(place / IDX_FILES[0]) for place in [*places, kept, kept, places[1]]]


def test_keras_npz(tmp_path: Path, monkeypatch: Any) -> None:
    data = npz(TINY)
    put(tmp_path / "keras" / "datasets", {"mnist.npz": data})
    sums = {"mnist.npz": hashlib.sha256(data).hexdigest()}
    monkeypatch.setattr(mnist, "SOURCE", mnist.SOURCE._replace(sha256=sums, downloads=()))
    assert_is(mnist.load_data())


def test_user_files_need_no_checksum(tmp_path: Path, nowhere: Source) -> None:
    """Files with unknown checksums are accepted in a user's folder.

    In a cache, they are treated as corrupted.
    """
    own = idx_contents(tiny(1))
    assert_is(load(nowhere, put(tmp_path / "own", own)), tiny(1))
    put(tmp_path / "keras" / "datasets" / "tiny-set", own)
    with pytest.raises(ValueError, match=r"tiny-set/train-images-idx3-ubyte\.gz is .*SHA-256"):
        load(nowhere)


def test_damaged_user_data_stops_search(tmp_path: Path, mirror: Mirror, monkeypatch: Any) -> None:
    mirror.serve("one")
    put(tmp_path / "data" / "tiny", FILES | {IDX_FILES[0]: b"damaged"})
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path / "data"))
    with pytest.raises(ValueError, match=r"data/tiny/train-images-idx3-ubyte\.gz"):
        load(mirror.source)


@pytest.mark.parametrize("place", ["cache/tiny", "keras/datasets/tiny-set"])
def test_damaged_cache_is_downloaded_again(tmp_path: Path, mirror: Mirror, place: str) -> None:
    put(tmp_path / place, FILES | {IDX_FILES[1]: FILES[IDX_FILES[1]][:-1]})
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz is corrupted.* SHA-256"):
        load(mirror.source)
    mirror.serve("two")
    assert_is(load(mirror.source))
    assert (tmp_path / "cache" / "tiny" / IDX_FILES[1]).read_bytes() == FILES[IDX_FILES[1]]
    if place == "cache/tiny":  # only damaged files are downloaded
        assert {Path(path).name for path in mirror.asked} == {IDX_FILES[1]}


def test_missing_data_error_names_all_locations(
    tmp_path: Path, nowhere: Source, monkeypatch: Any
) -> None:
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path / "data"))
    with pytest.raises(FileNotFoundError) as caught:
        load(nowhere)
    message = str(caught.value)
    ((names, mirrors),) = nowhere.downloads
    places = ("data/tiny", "keras/datasets/tiny-set", "cache/tiny")
    parts = [*names, *(mirror + names[0] for mirror in mirrors), "$TINYNET_DATA: "]
    for part in (*parts, *(str(tmp_path / place) for place in places)):
        assert part in message
    what, where, *listed = message.splitlines()
    assert (what[:5], where[:19]) == ("Tiny ", "or set TINYNET_DATA")
    assert len(listed) >= 4
    assert all(line.startswith("- ") for line in listed)
    assert listing(tmp_path) == []


# Downloading


def test_wrong_checksum_tries_next_mirror(tmp_path: Path, mirror: Mirror) -> None:
    mirror.serve("one", idx_contents(tiny(1)))
    mirror.serve("two")
    assert_is(load(mirror.source))
    assert mirror.asked[:2] == [f"/one/{IDX_FILES[0]}", f"/two/{IDX_FILES[0]}"]
    assert listing(tmp_path / "cache") == sorted(f"tiny/{name}" for name in IDX_FILES)


def test_download_fallback_to_next_mirror(tmp_path: Path, mirror: Mirror) -> None:
    packed = {"tiny.npz": npz(TINY)}
    mirrors = mirror.source.downloads[0][1]
    ways = ((IDX_FILES, mirrors), (("tiny.npz",), mirrors))
    mirror.source = source_at(mirror.url, packed | FILES)._replace(downloads=ways)
    mirror.serve("two", packed)
    assert_is(load(mirror.source))
    assert listing(tmp_path / "cache") == ["tiny/tiny.npz"]
    asked = len(mirror.asked)
    assert_is(load(mirror.source))
    assert len(mirror.asked) == asked


@pytest.mark.parametrize(
    ("trouble", "error", "message"),
    [
        ("wrong checksum", FileNotFoundError, r"/two/\S+: the SHA-256 must be"),
        ("truncated", FileNotFoundError, r"must have \d+ bytes. Received: 100 bytes(.|\n)* 404"),
        ("interrupt", KeyboardInterrupt, "^now$"),
    ],
)
def test_failed_download_leaves_no_files(
    tmp_path: Path, mirror: Mirror, monkeypatch: Any, trouble: str, error: Any, message: str
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt("now")

    mirror.serve("one")
    mirror.truncated = trouble == "truncated"
    if trouble == "wrong checksum":
        for which in ("one", "two"):
            mirror.serve(which, idx_contents(tiny(1)))
    if trouble == "interrupt":
        monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(error, match=message):
        load(mirror.source)
    assert listing(tmp_path) == []


def test_unwritable_cache(tmp_path: Path, mirror: Mirror, monkeypatch: Any, capsys: Any) -> None:
    mirror.serve("one")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "file" / "cache"))
    assert_is(load(mirror.source))
    assert "train-images-idx3-ubyte.gz could not be cached" in capsys.readouterr().err
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress(mirror: Mirror, monkeypatch: Any, terminal: bool) -> None:
    mirror.serve("one")
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    load(mirror.source)
    text = stream.getvalue()
    assert text.startswith("Tiny was not found; trying to download it\n")
    assert text.isascii()
    assert text.endswith("\n")
    assert text.count("Downloading") == 4
    assert text.count(f"\r[{'=' * 30}] 100%\n") == (4 if terminal else 0)
    assert ("\r" in text) == terminal


@pytest.mark.wide
def test_concurrent_downloads(tmp_path: Path, mirror: Mirror) -> None:
    mirror.serve("one")
    barrier = threading.Barrier(2)
    # Each request waits until the other process has sent the same request.
    mirror.before = lambda: barrier.wait(HUNG)
    code = (
        "import json, sys\n"
        "from tinynet.datasets.download import Source, load\n"
        "(x_train, _), _ = load(Source(*json.loads(sys.argv[1])))\n"
        "print(x_train.shape)"
    )
    for process in [started(code, json.dumps(mirror.source)) for _ in range(2)]:
        out, err = process.communicate(timeout=HUNG)
        assert (process.returncode, out) == (0, "(3, 28, 28)\n"), err
    assert len(mirror.asked) == 8
    assert listing(tmp_path) == sorted(f"cache/tiny/{name}" for name in IDX_FILES)
    assert_is(load(mirror.source))


# Damaged files


def header(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


IMAGES, LABELS = (idx(TINY[name]) for name in NPZ_ARRAYS[:2])


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def with_array(name: str, array: np.ndarray) -> bytes:
    return npz(TINY | {name: array})


def forged() -> bytes:
    """Return images of zeros, which declare that they are compressed to 2**30 bytes."""
    data = bytearray(with_array("x_train", np.zeros((10_000, 28, 28), np.uint8)))
    place = data.index(b"PK\1\2") + 20
    data[place : place + 4] = (2**30).to_bytes(4, "little")
    return bytes(data)


MEMBERS = {name: npy(array) for name, array in TINY.items()}
CLAIM = MEMBERS["x_train"].replace(b"(3, 28, 28), }       ", b"(3000, 28, 28), }    ")
HEAD = MEMBERS["x_train"][:10]
NAMED = zipped(MEMBERS)[:26] + b"\0\7" + zipped(MEMBERS)[28:]
ENCRYPTED = zipped(MEMBERS).replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")
# Cases: index of the damaged file in DAMAGED, its contents, and the error message.
DAMAGED = [*IDX_FILES[:2], "given.npz"]
DAMAGE = {
    "empty": (0, b"", "Received: 0 bytes"),
    "half a header": (0, IMAGES[:9], "Received: 9 bytes"),
    "truncated": (0, IMAGES[:-1], "Received: 2351 bytes"),
    "too long": (0, IMAGES + b"0", "Received: more than 2352 bytes"),
    "labels for images": (0, LABELS + bytes(20), "magic number must be 2051. Received: 2049"),
    "images for labels": (1, IMAGES, "magic number must be 2049. Received: 2051"),
    "other sizes": (0, header(2051, 3, 32, 32) + bytes(3072), r"Received: shape=\(3, 32, 32\)"),
    "no images": (0, header(2051, 0, 28, 28), r"Received: shape=\(0, 28, 28\)"),
    "declares 2**32 - 1 images": (0, header(2051, 2**32 - 1, 28, 28), "Received: shape="),
    "declares 3,000 images": (0, header(2051, 3_000, 28, 28), "Received: 0 bytes"),
    "label 10": (1, idx(np.array([0, 10, 4], np.uint8)), "must be from 0 to 9. Received: 10"),
    "one label missing": (1, idx(np.array([0, 9], np.uint8)), "Received: 3 images, 2 labels"),
    "truncated gzip": (0, gzip.compress(IMAGES)[:-20], "ended before"),
    "gzip without checksum": (0, gzip.compress(IMAGES)[:-8], "ended before"),
    "gzip with flipped bit": (0, flipped(gzip.compress(IMAGES, 0), 1000), "CRC check failed"),
    "gzip with no data": (0, gzip.compress(IMAGES)[:10] + b"\xff" * 30, "invalid block"),
    "gzip with trailing data": (0, gzip.compress(IMAGES) + b"rubbish", "Not a gzipped file"),
    "no npz at all": (2, b"", "not a zip file"),
    "text": (2, b"no archive", "not a zip file"),
    "truncated npz": (2, npz(TINY)[:-50], "not a zip file"),
    "flipped bit in data": (2, flipped(zipped(MEMBERS), 1000), "Bad CRC-32"),
    "flipped bit in name": (2, flipped(zipped(MEMBERS), 30), "differ"),
    "array missing": (2, npz({k: v for k, v in TINY.items() if k != "y_test"}), "y_test. Received"),
    "float images": (2, with_array("x_test", np.zeros((2, 28, 28))), "Received:.*<f8"),
    "flat images": (
        2,
        with_array("x_test", np.zeros((2, 784), np.uint8)),
        r"\(2, 784\)",
    ),
    "images of 8 x 8": (
        2,
        with_array("x_test", np.zeros((2, 8, 8), np.uint8)),
        r"shape=\(2, 8, 8\)",
    ),
    "one-hot": (2, with_array("y_test", np.zeros((2, 10), np.uint8)), r"Received:.*\(2, 10\)"),
    "y_test 10": (2, with_array("y_test", np.array([1, 10], np.uint8)), "Received: 10"),
    "too few": (2, with_array("y_test", np.array([1], np.uint8)), "Received: 2 images, 1 labels"),
    "declares a larger shape": (2, zipped(MEMBERS | {"x_train": CLAIM}), "Received: 2352 bytes"),
    "npy 2.0": (2, zipped(MEMBERS | {"x_train": npy(TINY["x_train"], (2, 0))}), r"\(2, 0\)"),
    "no npy": (2, zipped(MEMBERS | {"x_train": b"images in no form"}), "magic string"),
    "npy header without an end": (
        2,
        zipped(MEMBERS | {"x_train": HEAD + b"{'shape': (".ljust(118)}),
        "Received: .*'shape': ",
    ),
    "npy header of many digits": (
        2,
        zipped(MEMBERS | {"x_train": CLAIM[:61] + b"4" * 3000}),
        "must be a uint8 array with 3 dimensions",
    ),
    "name of 1792 bytes": (2, NAMED, "File name in directory"),
    "much compressed": (
        2,
        with_array("x_train", np.zeros((10_000, 28, 28), np.uint8)),
        "at most 100 times as large as the file",
    ),
    "forged compressed size": (2, forged(), "must fit into the file"),
    "bzip2": (2, zipped(MEMBERS, zipfile.ZIP_BZIP2), "deflated"),
    "encrypted": (2, ENCRYPTED, "password required"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_file_is_named(tmp_path: Path, nowhere: Source, case: str) -> None:
    which, data, what = DAMAGE[case]
    file = tmp_path / DAMAGED[which]
    put(tmp_path, FILES | {file.name: data})
    with pytest.raises(ValueError, match=what) as caught:
        load(nowhere, file if which == 2 else tmp_path)
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_random_damage_raises_or_is_harmless(tmp_path: Path, nowhere: Source) -> None:
    """600 files per format with a few changed or missing bytes raise only ValueError."""
    random = np.random.default_rng(1)
    folder = put(tmp_path / "idx", FILES)
    images, packed = folder / IDX_FILES[0], tmp_path / "given.npz"
    for path, whole in ((images, images.read_bytes()), (packed, npz(TINY))):
        named = 0
        for _ in range(300):
            data = np.frombuffer(whole, np.uint8)[: random.integers(1, 2 * len(whole))].copy()
            data[random.integers(0, len(data), 3)] = random.integers(0, 256, 3)
            path.write_bytes(data.tobytes())
            message = ""
            try:
                dataset = load(nowhere, path if path is packed else folder)
            except ValueError as error:
                message = str(error)
                named += 1
            if message:
                assert str(path) in message
            else:  # the change is in unused bytes, such as a timestamp
                assert_is(dataset)
        assert named > 200


def test_objects_are_never_unpickled(tmp_path: Path, nowhere: Source) -> None:
    marker = tmp_path / "unpickled"

    class Planted:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(marker),)

    data = npz(TINY | {"x_train": np.array([Planted()])})
    assert b"unpickled" in pickle.dumps(Planted())
    (tmp_path / "planted.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"Received:.*'\|O'"):
        load(nowhere, tmp_path / "planted.npz")
    assert not marker.exists()


@pytest.mark.parametrize("form", ["gzip", "zip"])
def test_decompression_bomb_is_not_unpacked(tmp_path: Path, nowhere: Source, form: str) -> None:
    zeros = bytes(1 << 24)
    if form == "gzip":
        place = put(tmp_path, FILES | {IDX_FILES[0]: gzip.compress(IMAGES + zeros)})
    else:
        place = tmp_path / "given.npz"
        members = MEMBERS | {"x_train": MEMBERS["x_train"] + zeros}
        place.write_bytes(zipped(members, zipfile.ZIP_DEFLATED))
    del zeros
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="Received: more than 2352 bytes"):
            load(nowhere, place)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The file has 16 kB, the declared images 2 kB, and the readers' buffers about 100 kB.
    assert peak < 1 << 20


@pytest.mark.parametrize("form", ["gzip", "zip"])
def test_ratio_of_compression_is_limited(tmp_path: Path, nowhere: Source, form: str) -> None:
    zeros = np.zeros((10_000, 28, 28), np.uint8)
    if form == "gzip":
        place = put(tmp_path, FILES | {IDX_FILES[0]: gzip.compress(idx(zeros))})
    else:
        place = tmp_path / "given.npz"
        place.write_bytes(npz(TINY | {"x_train": zeros}))
    with pytest.raises(ValueError, match="at most 100 times as large as the file"):
        load(nowhere, place)


def test_enormous_file_is_not_read(tmp_path: Path, nowhere: Source) -> None:
    file = tmp_path / "given.npz"
    with file.open("wb") as sparse:
        sparse.truncate(idx_format.LARGEST + 1)
    with pytest.raises(ValueError, match=r"given\.npz .*must have at most 268435456 bytes"):
        load(nowhere, file)


# The cache folder


def test_cache_folder_variables(monkeypatch: Any, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TINYNET_CACHE", "~/own")
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("TINYNET_CACHE")
    monkeypatch.setattr(platformdirs, "PlatformDirs", platformdirs.unix.Unix)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "tinynet"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "tinynet"
    monkeypatch.setattr(platformdirs, "PlatformDirs", platformdirs.macos.MacOS)
    assert cache_folder() == tmp_path / "Library" / "Caches" / "tinynet"
    windows = platformdirs.windows
    monkeypatch.setattr(platformdirs, "PlatformDirs", windows.Windows)
    monkeypatch.setattr(windows, "get_win_folder", windows.get_win_folder_from_env_vars)
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert cache_folder() == tmp_path / "Local" / "tinynet"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX users and permissions")
@pytest.mark.parametrize("obstacle", [None, "writable by all", "link"])
def test_cache_folder_without_a_home(
    monkeypatch: Any, tmp_path: Path, obstacle: str | None
) -> None:
    import pwd

    def no_user(_: int) -> None:
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME", "TINYNET_CACHE", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_user)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    usual = tmp_path / f"tinynet-{os.getuid()}"
    if obstacle == "link":
        usual.symlink_to(tmp_path)
    elif obstacle:
        usual.mkdir()
        usual.chmod(0o777)
    folder = cache_folder()
    assert folder.parent == tmp_path
    assert (folder == usual) == (obstacle is None)
    assert stat.S_IMODE(folder.lstat().st_mode) == 0o700
    assert cache_folder() == folder


@pytest.mark.wide
def test_import_is_cheap() -> None:
    code = (
        "import sys, tinynet.datasets\n"
        "print(sorted({'urllib.request', 'http.client', 'ssl', 'matplotlib', 'numba', 'h5py'}"
        " & set(sys.modules)))"
    )
    assert started(code).communicate() == ("[]\n", "")
