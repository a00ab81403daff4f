"""Synthetic digits: MNIST's format, deterministic, legible, and safely cached."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tinynet.datasets import drawn_digits
from tinynet.datasets.drawn_digits import EUROPEAN_WAYS, WAYS, load_data

KEPT = 2001, 30  # more than one chunk


def kept_file(cache):
    (file,) = (cache / "drawn_digits").iterdir()
    return file


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Set a separate cache folder for the test."""
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def drawn():
    """Return images and labels of one training chunk and one test chunk."""
    return load_data(1000, 1000)


def flat(data):
    return [array for part in data for array in part]


def assert_same(one, other):
    for a, b in zip(flat(one), flat(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_shapes_and_dtypes_match_mnist(drawn):
    assert [array.shape for array in flat(drawn)] == [(1000, 28, 28), (1000,)] * 2
    assert all(array.dtype == np.uint8 and array.flags.writeable for array in flat(drawn))


@pytest.mark.parametrize(("n_train", "n_test"), [(0, 0), (1, 0), (0, 7), (1001, 3)])
def test_any_number_of_images(n_train, n_test):
    shapes = [array.shape for array in flat(load_data(n_train, n_test))]
    assert shapes == [(n_train, 28, 28), (n_train,), (n_test, 28, 28), (n_test,)]


@pytest.mark.parametrize(
    ("european", "expected"),
    [
        (False, "0205196751592e884d2ddea1f1d53b8a0aba3543fb7ab7305f1f31d3676ae254"),
        (True, "d51fae45e1bc6c3bda31ac4537998ddf2391fedee4c057760cefdf54a30d763b"),
    ],
)
def test_images_are_machine_independent(european, expected):
    # Verified with and without SIMD, with several BLAS kernels and NumPy versions.
    data = b"".join(array.tobytes() for array in flat(load_data(100, 50, european=european)))
    assert hashlib.sha256(data).hexdigest() == expected


def test_image_is_independent_of_count(drawn):
    (x, y), (x_test, y_test) = drawn
    assert_same(load_data(37, 12), [(x[:37], y[:37]), (x_test[:12], y_test[:12])])
    np.testing.assert_array_equal(load_data(1500, 0)[0][0][:1000], drawn[0][0])


def test_threads_draw_identical_images(drawn):
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(load_data, (1000, 1000), (1000, 1000)):
            assert_same(found, drawn)


def test_seeds_splits_and_chunks_differ(drawn):
    (x_train, _), (x_test, _) = drawn
    (x_other, _), _ = load_data(1000, 0, seed=1)
    second_chunk = load_data(2000, 0)[0][0][1000:]
    images = np.concatenate([x_train, x_test, x_other, second_chunk])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_large_seeds_differ():
    images = [load_data(10, 0, seed=seed)[0][0] for seed in (5, 5 + 2**32, 5 + 2**64)]
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_classes_are_balanced_and_shuffled(drawn):
    for _, y in drawn:
        tens = y.reshape(-1, 10)
        np.testing.assert_array_equal(np.sort(tens, axis=1), np.tile(np.arange(10), (100, 1)))
        # 100 random orders of ten digits: the probability that two are equal is about 1 in 700.
        assert len(np.unique(tens, axis=0)) == 100


def test_framing_matches_mnist(drawn):
    x = drawn[0][0]
    pixels = np.arange(28)
    for axis in (1, 2):
        lit = (x > 0).any(axis=3 - axis)
        extent = 28 - lit.argmax(axis=1) - lit[:, ::-1].argmax(axis=1)
        assert extent.max() <= 20
        mass = x.sum(axis=3 - axis, dtype=np.int64)
        centre = mass @ pixels / mass.sum(axis=1)
        # Whole-pixel shifts center the mass at 14 to within half a pixel, unless the digit's
        # bounding box would extend beyond the image: the center of mass of a seven with a bar may
        # be above row 6 of 20.
        assert (np.abs(centre - 14) <= 0.5).mean() > 0.99
        assert np.abs(centre - 14).max() <= 2
    high, wide = ((x > 0).any(axis=axis).sum(axis=1) for axis in (2, 1))
    # The longer side is about 20 pixels; thin stroke ends may be lost.
    assert np.maximum(high, wide).min() >= 18


def test_ink_distribution_resembles_mnist(drawn):
    x = drawn[0][0]
    assert 0.15 <= (x > 0).mean() <= 0.23  # MNIST: 0.19
    assert (x.max(axis=(1, 2)) >= 200).all()
    grey = ((x > 0) & (x < 255)).sum() / (x > 0).sum()
    assert 0.3 <= grey <= 0.8  # stroke edges are gray, stroke centers are white; MNIST: 0.65


def test_glyph_paths_are_valid():
    assert list(WAYS) == list(EUROPEAN_WAYS) == list(range(10))
    assert all(EUROPEAN_WAYS[digit][: len(WAYS[digit])] == WAYS[digit] for digit in WAYS)
    assert all(len(EUROPEAN_WAYS[digit]) > len(WAYS[digit]) for digit in (1, 4, 7, 9))
    paths = [path for ways in EUROPEAN_WAYS.values() for _, path in ways]
    assert len(set(paths)) == len(paths)
    assert all(share > 0 for ways in EUROPEAN_WAYS.values() for share, _ in ways)
    for path in paths:
        heights = []
        for stroke in path.replace("|", " ").split("/"):
            points = np.array([point.split(",") for point in stroke.split()], float)
            heights += list(points[:, 1])
            # A curve between two equal points has no direction.
            assert (np.abs(np.diff(points, axis=0)).max(axis=1) > 0).all(), path
        assert 70 <= max(heights) - min(heights) <= 100, path


def test_digits_are_distinguishable(drawn):
    """The nearest of 1,000 training images usually shows the same digit."""
    (x, y), (x_test, y_test) = drawn
    flat, flat_test = (z.reshape(len(z), -1).astype(np.float32) for z in (x, x_test))
    distances = (flat**2).sum(axis=1) - 2 * flat_test @ flat.T
    # The measured accuracy is 91%. Mislabeled or illegible digits would reduce it considerably.
    assert (y[distances.argmin(axis=1)] == y_test).mean() > 0.85


def test_numpy_integers_are_accepted():
    assert_same(load_data(np.int64(3), np.uint8(2), np.int32(1)), load_data(3, 2, 1))


def test_few_images_are_not_cached(cache):
    load_data(1000, 1000)
    assert not cache.exists()


def test_cached_images_are_reused(cache, monkeypatch):
    first = load_data(*KEPT)
    with np.load(kept_file(cache), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["x_train"], first[0][0])
    load_data(*KEPT, seed=1)
    load_data(*KEPT, european=True)
    assert len(list((cache / "drawn_digits").iterdir())) == 3
    monkeypatch.setattr(drawn_digits, "_draw", None)  # drawing the images again would fail
    again = load_data(*KEPT)
    assert_same(again, first)
    assert again[0][0].flags.writeable


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"\x00" * 40,
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    ],
    ids=["empty", "zeros", "last byte missing", "truncated", "flipped bit", "checksum"],
)
def test_corrupted_cache_file_is_regenerated(cache, damage):
    first = load_data(*KEPT)
    file = kept_file(cache)
    file.write_bytes(damage(file.read_bytes()))
    assert_same(load_data(*KEPT), first)
    assert hashlib.sha256(file.read_bytes()[:-32]).digest() == file.read_bytes()[-32:]
    assert_same(load_data(*KEPT), first)


def test_wrong_size_cache_file_is_regenerated(cache):
    load_data(2002, 30)
    other = kept_file(cache)
    other.rename(other.with_name(other.name.replace("2002", "2001")))
    (x_train, _), _ = load_data(*KEPT)
    assert x_train.shape == (2001, 28, 28)


def test_unwritable_cache(tmp_path, monkeypatch):
    expected = load_data(*KEPT)
    (tmp_path / "file").write_bytes(b"")
    # Root can write to read-only folders, but no user can create a path below a file.
    for place in (tmp_path / "file", tmp_path / "file" / "below", "/dev/null/cache"):
        monkeypatch.setenv("TINYNET_CACHE", str(place))
        assert_same(load_data(*KEPT), expected)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root ignores file permissions")
def test_read_only_cache(cache):
    cache.mkdir(mode=0o500)
    (x_train, _), _ = load_data(*KEPT)
    assert x_train.shape == (2001, 28, 28)
    assert list(cache.iterdir()) == []


def test_missing_home_folder(tmp_path):
    """`load_data` works if the user has no home folder for the cache."""
    root = Path(drawn_digits.__file__).parents[2]
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    environment = {**kept, "HOME": os.devnull, "TMPDIR": str(tmp_path), "PYTHONPATH": str(root)}
    code = "from tinynet.datasets import drawn_digits as d; print(d.load_data(2001, 0)[0][0].shape)"
    options = {"env": environment, "cwd": tmp_path, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code], **options)
    assert (done.stdout, done.stderr) == ("(2001, 28, 28)\n", "")
