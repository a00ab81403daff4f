"""The command-line interface: output, files and exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tinynet
from tests import HUNG
from tests.models import bits
from tinynet import callbacks, cli, datasets, layers, models, visualize
from tinynet.cli import main
from tinynet.datasets import drawn_digits
from tinynet.models.sequential import Sequential

ROOT = Path(__file__).parents[1]
PICTURES = ["predictions.png", "learning_curves.png", "confusion_matrix.png", "mistakes.png"]
TINY = drawn_digits.load_data(n_train=300, n_test=80)


def write_idx(folder: Path, name: str, values: np.ndarray) -> None:
    header = np.array([0x800 + values.ndim, *values.shape], ">u4").tobytes()
    (folder / name).write_bytes(header + values.tobytes())


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder for TINYNET_DATA with a small MNIST of synthetic digits."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    for part, (images, labels) in zip(("train", "t10k"), TINY, strict=True):
        write_idx(folder / "mnist", f"{part}-images-idx3-ubyte", images)
        write_idx(folder / "mnist", f"{part}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture(scope="session")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train once for the tests that need a model."""
    out = tmp_path_factory.mktemp("out")
    arguments = ["--data", str(data), "--out", str(out), "--epochs", "8", "--no-plots"]
    assert main(["train", *arguments]) == 0
    return out


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    command = [sys.executable, "-m", "tinynet", *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, env=environment, **streams)


def run(*arguments: str, **options: Any) -> tuple[int, str, str]:
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=HUNG)
    return process.returncode, (out or b"").decode(), err.decode()


def not_found(*_: Any) -> Any:
    raise FileNotFoundError("MNIST was not found and could not be downloaded. Tried: everything")


# ------------------------------------------------------------ train


@pytest.mark.wide
def test_train_command(data: Path, tmp_path: Path) -> None:
    environment = {"TINYNET_DATA": str(data), "PYTHONIOENCODING": "ascii", "COLUMNS": "30"}
    code, out, err = run("train", "--epochs", "2", env=environment, cwd=tmp_path)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "300 images of MNIST for 2 epochs" in lines[0]
    assert re.fullmatch(r"Test loss: \d\.\d{4}", lines[-2])
    assert re.fullmatch(r"Test accuracy: 0\.\d{4}", lines[-1])
    assert "\b" not in out
    assert "\r" not in out
    written = sorted(path.name for path in (tmp_path / "output").iterdir())
    assert written == sorted(["model.tinynet", "model.keras", "history.json", *PICTURES])
    for name in PICTURES:
        with Image.open(tmp_path / "output" / name) as picture:
            picture.load()
            assert min(picture.size) > 300
    result = json.loads((tmp_path / "output" / "history.json").read_text())
    assert lines[-1] == f"Test accuracy: {result['test_accuracy']:.4f}"
    assert lines[-2] == f"Test loss: {result['test_loss']:.4f}"
    assert (result["data"], result["fallback"], result["train_images"]) == ("MNIST", False, 300)
    assert [len(values) for values in result["history"].values()] == [2, 2]


def test_train_saves_the_tested_model(data: Path, trained: Path) -> None:
    result = json.loads((trained / "history.json").read_text())
    # After 80 steps, the accuracy is well below the 97% of MNIST and well above the 10% of random
    # guessing.
    assert result["test_accuracy"] > 0.6
    images, labels = TINY[1]
    for name in ("model.tinynet", "model.keras"):
        model = models.load_model(trained / name)
        p = model.predict(images / np.float32(255), verbose=0)
        # Each of the 80 images counts 1/80, so the mean is exact to within float32 rounding error.
        assert np.mean(p.argmax(axis=1) == labels) == pytest.approx(result["test_accuracy"], 1e-6)
    assert not [path for path in trained.iterdir() if path.suffix == ".png"]


def test_same_seed_gives_identical_weights(data: Path, trained: Path, tmp_path: Path) -> None:
    weights = {}
    for seed in ("0", "0", "7"):
        arguments = ["--data", str(data), "--out", str(tmp_path), "--epochs", "8", "--no-plots"]
        assert main(["train", *arguments, "--seed", seed]) == 0
        weights[seed] = bits(models.load_model(tmp_path / "model.tinynet"))
    first = bits(models.load_model(trained / "model.tinynet"))
    assert first == weights["0"]
    assert all(a != b for a, b in zip(first[:4], weights["7"][:4], strict=True))


def test_augment_is_bit_identical_on_one_and_two_threads(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYNET_DATA", str(data))
    monkeypatch.setattr(cli, "EUROPEAN", 100)
    tinynet.config.set_backend("numba")
    weights = []
    for threads in (1, 2, 2):
        tinynet.config.set_num_threads(threads)
        arguments = ["--augment", "--epochs", "3", "--out", str(tmp_path), "--no-plots"]
        assert main(["train", *arguments]) == 0
        weights.append(bits(models.load_model(tmp_path / "model.tinynet")))
    assert weights[0] == weights[1] == weights[2]
    out = capsys.readouterr().out
    begin = "Training a 784-512-10 network on 400 varied images of MNIST and synthetic digits for 3"
    assert out.startswith(begin)
    assert "Epoch 3/3" in out
    result = json.loads((tmp_path / "history.json").read_text())
    assert (result["train_images"], result["augment"]) == (400, True)
    assert [len(values) for values in result["history"].values()] == [3, 3]
    assert models.load_model(tmp_path / "model.tinynet").history.epoch == [0, 1, 2]


def watch(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Record the arguments of the plotting functions."""
    seen: dict[str, Any] = {}

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            seen.setdefault(name, (args, kwargs))  # ignore nested calls
            return function(*args, **kwargs)

        return call

    for name in ("plot_predictions", "plot_history", "plot_confusion_matrix", "plot_mistakes"):
        monkeypatch.setattr(visualize, name, watched(name, getattr(visualize, name)))
    return seen


def test_fallback_to_synthetic_digits_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(datasets.mnist, "load_data", not_found)
    monkeypatch.setattr(drawn_digits, "load_data", lambda: TINY)
    seen = watch(monkeypatch)
    assert main(["train", "--epochs", "1", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    label = "synthetic digits (not MNIST)"
    assert "Tried: everything" in lines[0]
    assert lines[1] == lines[-3]
    assert lines[1].startswith("NOTE: MNIST is not available; using synthetic digits")
    assert label in lines[2]
    assert re.fullmatch(rf"Test loss: \d\.\d{{4}} on {re.escape(label)}", lines[-2])
    assert re.fullmatch(rf"Test accuracy: 0\.\d{{4}} on {re.escape(label)}", lines[-1])
    result = json.loads((tmp_path / "history.json").read_text())
    assert (result["data"], result["fallback"]) == (label, True)
    # Every plot names its data source, and the plotted probabilities sum to 1.
    assert len(seen) == 4
    assert {kwargs["source"] for _, kwargs in seen.values()} == {label}
    np.testing.assert_allclose(seen["plot_predictions"][0][2].sum(axis=1), 1, rtol=1e-5)


def test_requested_data_is_never_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(datasets.mnist, "load_data", not_found)
    monkeypatch.setattr(datasets.fashion_mnist, "load_data", not_found)
    for wanted in ("mnist", "fashion_mnist", "mnist.npz", str(tmp_path)):
        assert main(["train", "--data", wanted, "--out", str(tmp_path)]) == 1
        out, err = capsys.readouterr()
        assert err.count("\n") == 1
        assert "Testing" not in out


@pytest.mark.wide
def test_datasets_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(datasets.fashion_mnist, "load_data", lambda: TINY)
    monkeypatch.setattr(drawn_digits, "load_data", lambda: TINY)
    seen = watch(monkeypatch)
    assert main(["train", "--data", "fashion_mnist", "--epochs", "1", "--out", str(tmp_path)]) == 0
    assert seen["plot_predictions"][1]["class_names"][9] == "Ankle boot"
    assert capsys.readouterr().out.splitlines()[-1].endswith(" on Fashion-MNIST")
    page = tmp_path / "demo.html"
    assert main(["demo", "--data", "fashion_mnist", "--no-open", "--out", str(page)]) == 0
    assert '"Ankle boot"' in page.read_text(encoding="utf-8")
    assert main(["train", "--data", "drawn", "--no-plots", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].endswith(" on synthetic digits (not MNIST)")
    assert "NOTE" not in out  # the data was requested explicitly


def test_json_option_prints_only_json(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path), "--epochs", "1", "--no-plots"]
    assert main(["train", "--json", *arguments]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "history.json").read_text())
    assert out.count("\n") == 1
    assert "Test accuracy" in err


@pytest.mark.slow
def test_no_plots_needs_no_matplotlib(data: Path, tmp_path: Path) -> None:
    arguments = ["train", "--data", str(data), "--out", str(tmp_path), "--epochs", "1"]
    program = (
        f"import sys; sys.modules['matplotlib'] = None\n"
        f"from tinynet.cli import main; sys.exit(main({[*arguments, '--no-plots']!r}))"
    )
    process = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)
    assert (process.returncode, process.stderr) == (0, b"")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "history.json",
        "model.keras",
        "model.tinynet",
    ]


def test_unwritable_folder_found_before_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(cli, "_load", lambda *_: pytest.fail("data was loaded"))
    file = tmp_path / "file"
    file.touch()
    taken = tmp_path / "taken"
    (taken / "history.json").mkdir(parents=True)
    for out, named in ((file, "file"), (file / "below", "file"), (taken, "history.json")):
        assert main(["train", "--out", str(out)]) == 1
        err = capsys.readouterr().err
        assert re.fullmatch(r"tinynet: error: [^\n]+\n", err)
        assert named in err

    def full(**_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli.tempfile, "TemporaryFile", full)
    assert main(["train", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"tinynet: error: {tmp_path}: No space left on device\n"


# ------------------------------------------------------------ evaluate


@pytest.mark.parametrize("name", ["model.tinynet", "model.keras"])
def test_evaluate(name: str, data: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(trained / name), "--data", str(data)]) == 0
    result = json.loads((trained / "history.json").read_text())
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == f"Test loss: {result['test_loss']:.4f} on {data}"
    assert lines[-1] == f"Test accuracy: {result['test_accuracy']:.4f} on {data}"
    assert main(["evaluate", str(trained / name), "--data", str(data), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["test_accuracy"] == pytest.approx(result["test_accuracy"], 1e-6)
    assert (figures["data"], figures["test_images"]) == (str(data), 80)


def test_evaluate_flat_and_uncompiled(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = Sequential([layers.Input((784,)), layers.Dense(10, activation="softmax")])
    flat.save(tmp_path / "flat.tinynet")
    assert main(["evaluate", str(tmp_path / "flat.tinynet"), "--data", str(data)]) == 0
    assert "Test accuracy: 0." in capsys.readouterr().out


# ------------------------------------------------------------ predict


def pictures(folder: Path, digit: np.ndarray) -> list[str]:
    """Write one digit as PNG images of different sizes and modes."""
    big = np.kron(255 - digit, np.ones((7, 7), np.uint8))
    big = np.pad(big, ((50, 10), (10, 90)), constant_values=255)
    grey = Image.fromarray(big)
    glass = Image.merge("LA", (Image.new("L", grey.size, 0), Image.fromarray(255 - big)))
    kinds = {
        "as_it_is": Image.fromarray(digit),
        "black_on_white": Image.fromarray(255 - digit),
        "grey": grey,
        "rgb": grey.convert("RGB"),
        "rgba": grey.convert("RGBA"),
        "transparent_background": glass,
        "palette": grey.convert("P"),
        "one_bit": grey.point(lambda v: 255 * (v > 127)).convert("1"),
        "sixteen_bits": Image.fromarray(big.astype(np.uint16) * 257),
    }
    for name, picture in kinds.items():
        picture.save(folder / f"{name}.png")
    return [str(folder / f"{name}.png") for name in kinds]


@pytest.fixture(scope="module")
def surest(trained: Path) -> tuple[np.ndarray, int, np.ndarray]:
    """Return the most confidently classified digit, its label, and the probabilities."""
    model = models.load_model(trained / "model.tinynet")
    images, labels = TINY[0]
    p = model.predict(images / np.float32(255), verbose=0)
    best = int(np.argmax(p[np.arange(len(p)), labels]))
    return images[best], int(labels[best]), p[best]


def test_predict_reads_every_kind_of_png(
    trained: Path, surest: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digit, label, p = surest
    paths = pictures(tmp_path, digit)
    assert main(["predict", str(trained / "model.tinynet"), *paths]) == 0
    lines = capsys.readouterr().out.splitlines()
    for path, line in zip(paths, lines, strict=True):
        assert re.fullmatch(rf"{re.escape(path)}: {label} \([\d.]+%; next \d, .+%\)", line)
    # 28 x 28 and light on dark: not framed, so the output is exactly the model's prediction.
    best, second = np.sort(p)[:-3:-1]
    assert f"({best:.1%}; next " in lines[0]
    assert lines[0].endswith(f"{second:.1%})")

    assert main(["predict", str(trained / "model.keras"), "--json", *paths]) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert [entry["image"] for entry in found] == paths
    np.testing.assert_allclose(found[0]["probabilities"], p, rtol=1e-4, atol=1e-7)
    assert {entry["label"] for entry in found} == {label}


def readable(folder: Path, digit: np.ndarray) -> dict[str, Path]:
    """Write one digit in the formats, modes and orientations of cameras and scanners."""
    (png,) = (path for path in pictures(folder, digit) if path.endswith("grey.png"))
    page = Image.open(png)
    turned = Image.Exif()
    turned[0x0112] = 6  # EXIF orientation: displayed rotated by 90 degrees clockwise
    written: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "photo.jpg": (page.convert("RGB").resize((1500, 1470)), {}),
        "turned.jpg": (page.transpose(Image.Transpose.ROTATE_90), {"exif": turned}),
        "turned.png": (page.transpose(Image.Transpose.ROTATE_90), {"exif": turned}),
        "jpeg_inside.png": (page, {"format": "JPEG"}),
        "print.jpg": (page.convert("CMYK"), {}),
        "a.gif": (page, {}),
        "a.bmp": (page, {}),
        "a.tif": (page, {}),
        "a.webp": (page, {"lossless": True}),
        "clear_palette.gif": (page.convert("P"), {"transparency": 0}),
        "grey_and_alpha.png": (page.convert("LA"), {}),
        "clear_white.png": (page, {"transparency": 255}),
        "float.tif": (page.convert("F"), {}),
        "big_endian.tif": (page.convert("I").point(lambda v: 257 * v).convert("I;16B"), {}),
    }
    for name, (image, options) in written.items():
        image.save(folder / name, **options)  # type: ignore[arg-type]
    return {name: folder / name for name in written}


def test_predict_reads_formats_of_cameras(
    trained: Path, surest: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digit, label, _ = surest
    paths = readable(tmp_path, digit)
    model = str(trained / "model.tinynet")
    assert main(["predict", model, "--json", *map(str, paths.values())]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {Path(entry["image"]).name: entry["label"] for entry in found["predictions"]} == (
        dict.fromkeys(paths, label)
    )
    assert found["errors"] == []


def test_predict_continues_after_a_bad_image(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = pictures(tmp_path, TINY[0][0][0])[:2]
    text, missing = tmp_path / "text.png", tmp_path / "missing.png"
    text.write_bytes(b"no image")
    paths = [str(text), good[0], str(missing), good[1]]
    model = str(trained / "model.tinynet")
    assert main(["predict", model, *paths]) == 1
    out, err = capsys.readouterr()
    assert [line.split(": ")[0] for line in out.splitlines()] == good
    assert [line.split(" ")[2] for line in err.splitlines()] == [str(text), f"{missing}:"]
    assert main(["predict", model, "--json", *paths]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [entry["image"] for entry in found["predictions"]] == good
    assert [entry["image"] for entry in found["errors"]] == [str(text), str(missing)]
    assert "must be an image file, such as PNG or JPEG" in found["errors"][0]["error"]

    assert main(["predict", model, "--json", str(text)]) == 1
    assert json.loads(capsys.readouterr().out)["predictions"] == []


def test_predict_turns_scores_into_probabilities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Sequential([layers.Input((28, 28)), layers.Flatten(), layers.Dense(2)])
    model.set_weights([np.zeros((784, 2)), [np.log(9), 0]])
    model.save(tmp_path / "scores.tinynet")
    (path, *_) = pictures(tmp_path, TINY[0][0][0])
    assert main(["predict", str(tmp_path / "scores.tinynet"), path]) == 0
    assert capsys.readouterr().out == f"{path}: 0 (90.0%; next 1, 10.0%)\n"
    for reject, said in (("0.89", "0 (90.0%; next"), ("0.91", "not sure (0, 90.0%; next")):
        assert main(["predict", str(tmp_path / "scores.tinynet"), "--reject", reject, path]) == 0
        assert capsys.readouterr().out == f"{path}: {said} 1, 10.0%)\n"
    assert main(["predict", str(tmp_path / "scores.tinynet"), "--reject=1", "--json", path]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"][0]["label"] is None


def png(pixels: np.ndarray, **options: Any) -> bytes:
    """Return the bytes of an image file, PNG by default."""
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, **{"format": "png", **options})
    return stream.getvalue()


DIGIT, ANOTHER = TINY[0][0][:2]
WHOLE = png(np.kron(255 - DIGIT, np.ones((7, 7))))
BLANK = "digit.png: image must show a digit that stands out"
#: Contents of a file, and the error message.
UNREADABLE: dict[str, tuple[bytes, str]] = {
    "text": (
        b"not an image, but long enough to be one",
        "must be an image file.*begins with b'not '",
    ),
    "empty": (b"", "a file that begins with b''"),
    "JPEG": (b"\xff\xd8\xff\xe0 and no more", "is a JPEG file that cannot be read: "),
    "HEIC": (b"\0\0\0\x18ftypheic", r"convert it to PNG or JPEG\. Received: a HEIC file"),
    "PDF": (b"%PDF-1.7", "Received: a PDF file"),
    "truncated": (WHOLE[: len(WHOLE) // 2], "PNG file that cannot be read"),
    "checksum": (
        WHOLE[:45] + bytes([WHOLE[45] ^ 0xFF]) + WHOLE[46:],
        "PNG file that cannot be read",
    ),
    "65,536 x 65,536 pixels": (WHOLE[:16] + b"\0\1\0\0" * 2 + WHOLE[24:], "cannot be read"),
    **{
        f"{w} x {h} of one shade": (png(np.full((h, w), 120)), BLANK)
        for w, h in ((1, 1), (1, 40), (300, 200))
    },
    "two digits": (
        png(255 - np.hstack([DIGIT, ANOTHER])),
        "digit.png: image must show a single digit; crop it to one digit. Received: several",
    ),
}


@pytest.mark.parametrize("name", [*UNREADABLE, "a folder", "missing", "without Pillow"])
def test_unreadable_files_are_named(
    name: str,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "digit.png"
    content, message = UNREADABLE.get(name, (b"", ""))
    if name == "a folder":
        path.mkdir()
    elif name == "without Pillow":  # detected by content, not by name
        content, message = png(DIGIT, format="JPEG"), "a JPEG file; .* Pillow.*pip install pillow"
        monkeypatch.setitem(sys.modules, "PIL", None)
    if name not in ("a folder", "missing"):
        path.write_bytes(content)
    assert main(["predict", str(trained / "model.tinynet"), str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"tinynet: error: [^\n]*digit\.png[^\n]+\n", err)
    assert re.search(message, err)


@pytest.mark.parametrize("content", ["a chunk of 4 GiB", "16 bits"])
def test_declared_and_elongated_images_need_little_memory(
    content: str, trained: Path, tmp_path: Path
) -> None:
    path = tmp_path / "digit.png"
    if content == "16 bits":
        Image.fromarray(np.zeros((20, 200_000), np.uint16)).save(path)
    else:
        at = WHOLE.index(b"IDAT")
        path.write_bytes(WHOLE[: at - 4] + b"\xff" * 4 + WHOLE[at:])
    tracemalloc.start()
    main(["predict", str(trained / "model.tinynet"), str(path)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


# ------------------------------------------------------------ info


def test_info(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYNET_CACHE", "kept/here")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["numpy"] == np.__version__
    assert facts["python"].endswith(".".join(map(str, sys.version_info[:3])))
    assert facts["cache"] == facts["TINYNET_CACHE"] == "kept/here"
    assert facts["threads"] == "1 (see tinynet.config.set_num_threads)"
    assert facts["plots"] == "tinynet.visualize"
    assert "jupyter lab examples" in facts["notebooks"]
    for extra in ("sklearn", "onnx", "notebooks"):
        assert re.search(rf"\b{extra}: (not installed|\d)", facts["extras"])
        assert f"`{extra}`" in (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    assert "OPENBLAS_NUM_THREADS=1" in facts["thread limits"]
    assert {"tinynet", "backend", "numba", "matplotlib", "BLAS", "processor", "system"} <= set(
        facts
    )
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == list(facts)


# ------------------------------------------------------------ errors and exit codes


#: Invalid arguments, and an expected part of the error message, such as a did-you-mean suggestion.
USAGE = {
    **dict.fromkeys(("fly", "help fly", "evaluate", "predict model.tinynet", "info please"), ""),
    **dict.fromkeys(("train --epochs 0", "train --epochs many", "train --batch-size -1"), ""),
    **dict.fromkeys(("train --seed -1", "train --seed 4294967296"), "--seed: must be"),
    **dict.fromkeys(("train --out=", "train --data="), "must not be empty"),
    **{f"predict a b --reject={p}": "--reject: must be" for p in ("1.1", "-0.1", "nan", "half")},
    "trian": "did you mean 'train'? Known: ",
    "--verison": "did you mean '--version'? Known: ",
    "train --epoch 3": "did you mean '--epochs'? Known: ",
    "train --epochs 3 --bach-size=3": "did you mean '--batch-size'? Known: ",
    "evaluate model --jsn": "did you mean '--json'? Known: ",
    "demo --noopen": "did you mean '--no-open'? Known: ",
}


@pytest.mark.parametrize("arguments", USAGE)
def test_invalid_arguments_print_usage(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err[:15]) == ("", "usage: tinynet ")
    assert USAGE[arguments] in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fashion", "; did you mean 'fashion_mnist'? Known: 'mnist', "),
        ("MNIST", "; did you mean 'mnist'? Known: 'mnist', "),
        ("drwan", "; did you mean 'drawn'? Known: 'mnist', "),
        ("digits", ". Known: 'mnist', 'fashion_mnist', 'drawn'. Received: --data='digits'"),
    ],
)
def test_misspelled_dataset_gets_suggestion(
    name: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["train", "--data", name, "--out", str(tmp_path), "--no-plots"]) == 1
    assert f"drawn or an existing path{message}" in capsys.readouterr().err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for arguments in (
        ["--help"], [], ["help"], ["help", "help"],
        ["train", "--help"], ["help", "train"],
        ["--version"], ["-V"],
    ):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        out, err = capsys.readouterr()
        assert out.isascii()
        assert err == ""
        printed.append(out)
    assert len(set(printed[:4])) == len(set(printed[4:6])) == len(set(printed[6:])) == 1
    assert printed[0].startswith("usage: tinynet [-h]")
    assert printed[4].startswith("usage: tinynet train ")
    assert printed[6] == f"tinynet {tinynet.__version__}\n"


@pytest.mark.wide
def test_no_arguments_print_the_help() -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.startswith("usage: tinynet ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "missing.tinynet"],
        ["evaluate", "missing.keras", "--json"],
        ["predict", "missing.h5", "digit.png"],
        ["evaluate", "{wrong shape}"],
        ["train", "--data", "missing", "--out", "{out}"],
        ["train", "--data", "{empty}", "--out", "{out}"],
    ],
)
def test_errors_are_one_line(
    arguments: list[str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = Sequential([layers.Input((5,)), layers.Dense(2)])
    wrong.save(tmp_path / "wrong.tinynet")
    (tmp_path / "empty").mkdir()
    places = {
        "{out}": str(tmp_path / "out"),
        "{empty}": str(tmp_path / "empty"),
        "{wrong shape}": str(tmp_path / "wrong.tinynet"),
    }
    extra = ["--data", str(data)] if "{wrong shape}" in arguments else []
    assert main([places.get(argument, argument) for argument in arguments] + extra) == 1
    assert re.fullmatch(r"tinynet: error: [^\n]+\n", capsys.readouterr().err)


@pytest.mark.slow
def test_interrupt_saves_model(data: Path, tmp_path: Path) -> None:
    process = start("train", "--data", str(data), "--epochs", "1000000", cwd=tmp_path)
    assert process.stdout is not None
    while b"Epoch 2/" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HUNG)
    assert process.returncode == 130
    names = ["model.tinynet", "model.keras", "history.json"]
    found = re.fullmatch(
        r"tinynet: interrupted after (\d+) of 1000000 epochs; the model after epoch \1 "
        rf"was saved to output: {', '.join(names)}\n",
        err.decode(),
    )
    assert found
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == sorted(names)
    result = json.loads((tmp_path / "output" / "history.json").read_text())
    epochs = int(found[1])
    assert (result["epochs"], result["interrupted"]) == (epochs, True)
    assert len(result["history"]["loss"]) == epochs


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_interrupt_keeps_last_complete_epoch(
    epoch: int,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After Ctrl-C in the fourth step of an epoch, the saved models are those before that epoch.

    They must equal those of uninterrupted training up to the start of the epoch.
    """

    class Press(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3 and len(self.model.history.epoch) == epoch:
                raise KeyboardInterrupt

    fit = Sequential.fit

    def pressed(self: Any, *args: Any, callbacks: Any, **kwargs: Any) -> Any:
        return fit(self, *args, callbacks=[*callbacks, Press()], **kwargs)

    arguments = ["train", "--data", str(data), "--no-plots", "--out"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with monkeypatch.context() as patch:
        patch.setattr(Sequential, "fit", pressed)
        assert main([*arguments, str(parts), "--epochs", "9"]) == 130
    err = capsys.readouterr().err
    if not epoch:
        assert err == "tinynet: interrupted before the first epoch ended; no model was saved\n"
        assert list(parts.iterdir()) == []
        return
    saved = f"the model after epoch {epoch} was saved to {parts}: "
    assert err.startswith(f"tinynet: interrupted after {epoch} of 9 epochs; {saved}")
    assert main([*arguments, str(whole), "--epochs", str(epoch)]) == 0
    for name in ("model.tinynet", "model.keras"):
        kept, expected = models.load_model(parts / name), models.load_model(whole / name)
        assert bits(kept) == bits(expected)
        for model in (kept, expected):  # also compares the shuffling state
            model.fit(TINY[1][0], TINY[1][1], verbose=0)
        assert bits(kept) == bits(expected)


def test_interrupt_after_training_keeps_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Sequential, "evaluate", evaluate)
    arguments = ["train", "--data", str(data), "--out", str(tmp_path), "--epochs", "2"]
    assert main(arguments) == 130
    assert models.load_model(tmp_path / "model.tinynet").optimizer.iterations.numpy() == 20


@pytest.mark.wide
@pytest.mark.parametrize(("argument", "codes"), [("info", {141}), ("--help", {0, 141})])
def test_closed_pipe_is_not_an_error(argument: str, codes: set[int]) -> None:
    read, write = os.pipe()
    os.close(read)
    code, _, err = run(argument, stdout=write)
    os.close(write)
    assert err == ""
    assert code in codes  # argparse may ignore the error


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.slow
def test_closed_stdout() -> None:
    command = f"'{sys.executable}' -m tinynet info >&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(command, shell=True, env=environment, capture_output=True)
    assert (process.returncode, process.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.slow
def test_full_disk_error_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        code, _, err = run("info", stdout=full)
    assert (code, err) == (1, "tinynet: error: [Errno 28] No space left on device\n")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_training_on_mnist(mnist: Any, tmp_path: Path) -> None:
    # `resource.getrusage` is not used, because its maximum may include the peak of the parent
    # process.
    program = (
        "import sys; from tinynet.cli import main; assert main(['train']) == 0\n"
        "print(*[line for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads((tmp_path / "output" / "history.json").read_text())
    assert result["test_accuracy"] >= 0.97
    # Expected peak in MB: 40 for Python and NumPy, 188 for 60,000 images in float32, 8 for the test
    # images, 54 for the compressed rows, 125 for Numba, 415 in total. A second copy of the images
    # would exceed the limit.
    peak = re.search(r"VmHWM:\s+(\d+) kB", process.stdout)
    assert peak
    assert int(peak[1]) / 1024 <= 450
