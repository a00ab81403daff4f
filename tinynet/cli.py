"""The command-line interface ``tinynet``: train, evaluate and use models of handwritten digits.

Results are written to standard output, and errors to standard error as a single line (the locations
that were searched for data follow as a list). With ``--json``, standard output is one JSON object,
and everything else is written to standard error.

The exit code is 0 for success, 1 for an error, 2 for incorrect usage, 130 for an interrupt and 141
for a broken pipe, as in a shell.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import hashlib
import io
import json
import math
import os
import platform
import re
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

import tinynet
from tinynet import datasets, demo, layers, models, sparse, visualize
from tinynet._core import checks, progress_bar, suggestions
from tinynet._core.atomic_files import write_atomically
from tinynet.datasets import framing
from tinynet.program.variable import Array
from tinynet.training import thread_pool

Part = tuple[Array, Array]  # images and labels
Result = tuple[dict[str, Any], list[str]]  # result of a command: JSON object, lines of text

# Maximum number of pixels of an image; more than phone cameras produce.
MAX_PIXELS = 64_000_000
# Errors that Pillow raises for corrupted, truncated or unsupported files.
DAMAGE: tuple[type[Exception], ...] = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError),
    *(SyntaxError, TypeError, ValueError, struct.error, zlib.error),
)
UNSUPPORTED = ("AVIF", "HEIC", "PDF")
# Magic numbers: offset, bytes, and name of the format in Pillow.
IMAGE_FILES = [(0, b"\x89PNG", "PNG"), (0, b"\xff\xd8\xff", "JPEG"), (0, b"GIF8", "GIF")]
IMAGE_FILES += [(0, b"BM", "BMP"), (0, b"II*\0", "TIFF"), (0, b"MM\0*", "TIFF")]
IMAGE_FILES += [(8, b"WEBP", "WEBP"), (0, b"P5", "PPM"), (0, b"P6", "PPM"), (0, b"%PDF", "PDF")]
IMAGE_FILES += [(4, b"ftypavif", "AVIF"), (4, b"ftyp", "HEIC")]
MNIST, FASHION = "MNIST", "Fashion-MNIST"
#: Number of synthetic digits in European styles that --augment adds.
EUROPEAN = 40_000
NAMES = {"mnist": MNIST, "fashion_mnist": FASHION, "drawn": "synthetic digits (not MNIST)"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command-line interface.

    Parameters
    ----------
    argv : sequence of str, optional
        Command-line arguments. By default ``sys.argv[1:]``.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    SystemExit
        With code 0 after printing the help or the version, with code 2 for incorrect usage.
        ``tinynet``, ``tinynet help`` and ``tinynet help COMMAND`` print the help, like ``--help``.

    Examples
    --------
    >>> main(["predict", "missing.keras", "digit.png"])
    1
    """
    if getattr(sys, "stdout", None) is None:  # if the parent process closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # open until Python exits
    try:
        try:
            given = list(sys.argv[1:] if argv is None else argv)
            if given[:1] in ([], ["help"]):
                given = [*(word for word in given if word != "help"), "--help"]
            parser = _parser()
            if given[0][:1] == "-":
                parser.reject(given[:1] if given[0] not in parser.options() else [])
            args, extra = parser.parse_known_args(given)
            args.parser.reject(extra)
            with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
                result, lines = args.run(args)
            for line in [json.dumps(result)] if args.json else lines:
                _print(line)
        finally:
            _flush()
    except KeyboardInterrupt as interrupt:
        if progress_bar.is_live():
            _print()  # ends the line of the progress bar
        _print_error(" ".join(["interrupted", *map(str, interrupt.args)]))
        return 130
    except BrokenPipeError:
        return 141
    except (OSError, ValueError, TypeError, RuntimeError, ImportError, MemoryError) as error:
        _print_error(f"error: {_explain(error)}")
        return 1
    return int(bool(result.get("errors")))


def _flush() -> None:
    """Flush standard output, so that a closed pipe or a full disk raises an error before exit."""
    try:
        sys.stdout.flush()
    except OSError:
        # Python flushes standard output again at exit. Redirect it to os.devnull, so that this
        # succeeds.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _print_error(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # the stream may be closed
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        progress_bar.write("tinynet: " + "\n".join(lines) + "\n", sys.stderr)


def _explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return f"out of memory: {error}" if isinstance(error, MemoryError) else str(error)


def _print(text: str = "") -> None:
    progress_bar.write(f"{text}\n", strict=True)


# ---------------------------------------------------------------- arguments


class _Parser(argparse.ArgumentParser):
    """Argument parser whose errors include did-you-mean suggestions."""

    def options(self) -> list[str]:
        """Return the options of the command."""
        return re.findall(r"(?<!\w)--?[a-zA-Z][\w-]*", self.format_help().partition("\n\n")[2])

    def reject(self, extra: Sequence[str]) -> None:
        """Exit with an error if there are unknown arguments."""
        if extra and extra[0].startswith("-"):
            wrong, options = extra[0].partition("=")[0], sorted({*self.options()})
            self.error(f"unrecognized arguments: {wrong}{suggestions.suggestion(wrong, options)}")
        if extra:
            self.error(f"unrecognized arguments: {' '.join(extra)}")

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit. Misspelled commands get a suggestion."""
        if found := re.search(r"invalid choice: '(\w*)' \(choose from (.*)\)", message):
            commands = re.findall(r"\w+", found[2])
            message = f"{found[1]!r} is not a command{suggestions.suggestion(found[1], commands)}"
        super().error(message)


def _parser() -> _Parser:
    parser = _Parser(
        prog="tinynet",
        description="Train, evaluate and use a neural network that recognizes handwritten digits.",
        epilog="Run 'tinynet help COMMAND' for the options of a command.",
        allow_abbrev=False,
    )
    version = f"tinynet {tinynet.__version__}"
    parser.add_argument("-V", "--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], Result], text: str) -> Any:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(run=run, parser=command)

        def option(name: str, text: str, default: Any = None, **settings: Any) -> None:
            if default is not None:
                text, settings["default"] = f"{text} (default: {default})", default
            command.add_argument(name, help=text, **settings)

        text = "write one JSON object to standard output, and everything else to standard error"
        option("--json", text, action="store_true")
        return option

    positive = functools.partial(_integer, low=1, expected="a positive integer")
    number: dict[str, Any] = {"type": positive, "metavar": "N"}
    seed = functools.partial(_integer, low=0, expected="an integer from 0 to 2**32 - 1")
    data = (
        "mnist, fashion_mnist, drawn (synthetic digits), or the path of an .npz file or a folder "
        "with the four MNIST files (default: mnist, with drawn as the fallback if MNIST can't be "
        "found or downloaded)"
    )
    saved, batch = "model file saved by tinynet or Keras", "number of examples per mini-batch"

    train = add("train", _train, "Train a 784-128-10 network, evaluate it, and plot the results.")
    train("--data", data, type=_not_empty)
    passes = "number of epochs, i.e. passes over the training images (default: 5, or 20 with"
    train("--epochs", f"{passes} --augment)", **number)
    train("--batch-size", batch, 32, **number)
    train("--seed", "random seed; the same seed gives the same model", 0, type=seed, metavar="N")
    varied = (
        "train for other people's handwriting: a 784-512-10 network, images that are varied in "
        "every epoch (position, size, slant, shape, stroke width), and synthetic digits in "
        "European styles in addition to MNIST"
    )
    train("--augment", varied, action="store_true")
    folder = "output folder for the model, the metrics and the plots"
    train("--out", folder, "output", type=_not_empty, metavar="FOLDER")
    train("--no-plots", "do not draw plots", action="store_true")

    evaluate = add("evaluate", _evaluate, "Evaluate a model on the test images of a dataset.")
    evaluate("model", saved, metavar="MODEL")
    evaluate("--data", data, type=_not_empty)
    evaluate("--batch-size", batch, 32, **number)

    predict = add("predict", _predict, "Predict the digits in image files.")
    predict("model", saved, metavar="MODEL")
    kinds = (
        "image file (PNG, JPEG, GIF, BMP, TIFF or WebP) of one digit; it is cropped, scaled and "
        "centered like MNIST's digits, unless it already has MNIST's format"
    )
    predict("images", kinds, nargs="+", metavar="IMAGE")
    unsure = "print 'not sure' instead of a digit whose probability is less than P, from 0 to 1"
    predict("--reject", unsure, 0.0, type=_probability, metavar="P")

    about = "Create a web page that trains a network and recognizes drawings."
    draw = add("demo", _demo, about)
    trained = f"{saved} (default: the model saved by 'tinynet train' in the folder 'output', or a "
    trained += "new network if no model was saved there)"
    draw("model", trained, nargs="?", metavar="MODEL")
    draw("--data", data, type=_not_empty)
    page = "HTML file to write; it works without a network connection"
    draw("--out", page, "output/demo.html", type=_not_empty, metavar="FILE")
    draw("--no-open", "do not open the page in a browser", action="store_true")

    add("info", _info, "Print versions and settings for bug reports.")
    return parser


def _integer(text: str, low: int, expected: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be {expected}. Received: {text!r}")
    return value


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1. Received: {text!r}")
    return value


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty. Received: ''")
    return os.path.expanduser(text)


# ---------------------------------------------------------------- data


class _Source(NamedTuple):
    """Dataset name, which is printed with all results, and whether the dataset is a fallback."""

    label: str
    fallback: bool = False

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes; None for the digits 0 to 9."""
        return datasets.fashion_mnist.CLASS_NAMES if self.label == FASHION else None

    def notice(self) -> None:
        """Print a notice if the dataset is a fallback."""
        if self.fallback:
            _print("NOTE: MNIST is not available; using synthetic digits instead.")

    def results(self, test: dict[str, float]) -> list[str]:
        """Format the test metrics, loss first; the name of a dataset other than MNIST is added."""
        on = "" if self.label == MNIST else f" on {self.label}"
        names = sorted(test, key=lambda name: name != "loss")
        return [f"Test {name}: {test[name]:.4f}{on}" for name in names]


def _load(choice: str | None) -> tuple[_Source, tuple[Part, Part]]:
    """Load the chosen dataset, by default MNIST with synthetic digits as the fallback."""
    if choice is None:
        try:
            return _load("mnist")
        except FileNotFoundError as error:
            _print(str(error))
            source = _Source(NAMES["drawn"], fallback=True)
            source.notice()
            text = "Generating synthetic digits (takes a few seconds the first time)\n"
            progress_bar.write(text, sys.stderr)
            return source, datasets.drawn_digits.load_data()
    if choice in NAMES:
        module = getattr(datasets, choice.replace("drawn", "drawn_digits"))
        return _Source(NAMES[choice]), module.load_data()
    hint = suggestions.suggestion(choice, NAMES)
    known = os.path.exists(choice) or not ("did you mean" in hint or choice.isalnum())
    expected = f"--data must be {', '.join(NAMES)} or an existing path{hint}"
    checks.require(known, expected, f"--data={choice!r}")
    # The prefix "./" marks the argument as a path: "mnist.npz" alone means the cached dataset.
    return _Source(choice), datasets.mnist.load_data(os.path.join(".", choice))


def _scaled(images: Array) -> Array:
    """Scale pixels from 0..255 to 0..1 in float32; a float64 copy would need 380 MB."""
    return np.divide(images, np.float32(255), dtype=np.float32)


# ---------------------------------------------------------------- train


def _train(args: argparse.Namespace) -> Result:
    out = Path(args.out)
    names = ["model.tinynet", "model.keras", "history.json"]
    if not args.no_plots:
        names += ["predictions.png", "learning_curves.png", "confusion_matrix.png", "mistakes.png"]
    _check_writable(out, names)
    source, ((images, y_train), (test_images, y_test)) = _load(args.data)
    args.epochs = args.epochs or (20 if args.augment else 5)
    units, described = 128, f"images of {source.label}"
    rate: Any = 0.001
    if args.augment:
        units, described = 512, f"varied {described}"
        if source.label == MNIST:
            described += " and synthetic digits"
            (more, labels), _ = datasets.drawn_digits.load_data(EUROPEAN, 0, args.seed, True)
            images, y_train = np.concatenate([images, more]), np.concatenate([y_train, labels])
        steps = args.epochs * math.ceil(len(images) / args.batch_size)
        rate = tinynet.optimizers.schedules.CosineDecay(rate, steps)
    _print(
        f"Training a 784-{units}-10 network on {len(images):,} {described} for "
        f"{args.epochs} epoch{'s' * (args.epochs > 1)} (seed {args.seed}, "
        f"{tinynet.config.backend()} backend)"
    )
    tinynet.utils.set_random_seed(args.seed)
    hidden, output = layers.Dense(units, activation="relu"), layers.Dense(10, activation="softmax")
    model = tinynet.Sequential([layers.Input((28, 28)), layers.Flatten(), hidden, output])
    optimizer = tinynet.optimizers.Adam(rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    inputs = _varied(images, args) if args.augment else iter([_compact(images)])
    del images
    about = {
        "data": source.label,
        "fallback": source.fallback,
        "train_images": len(y_train),
        "test_images": len(y_test),
        **{name: getattr(args, name) for name in ("epochs", "batch_size", "seed", "augment")},
        "backend": tinynet.config.backend(),
        "version": tinynet.__version__,
    }
    last = _LastEpoch(stop=args.augment)
    start = time.perf_counter()
    try:
        for first, x_train in enumerate(inputs):
            options: dict[str, Any] = {"initial_epoch": first, "callbacks": [last]}
            model.fit(x_train, y_train, args.batch_size, args.epochs, **options)
        del x_train
        model.history = last
        about["training_seconds"] = round(time.perf_counter() - start, 3)
        return _test_and_write(model, source, (test_images, y_test), about, out, names), []
    except KeyboardInterrupt:
        if not last.epochs:
            raise KeyboardInterrupt("before the first epoch ended; no model was saved") from None
        last.copy.history = last
        about.update(epochs=last.epochs, interrupted=True, history=last.history)
        written = ", ".join(_write_model(last.copy, about, out, names))
        saved = f"the model after epoch {last.epochs} was saved to {out}: {written}"
        count = f"after {last.epochs} of {args.epochs} epochs"
        raise KeyboardInterrupt(f"{count}; {saved}") from None


def _compact(images: Array) -> Any:
    """Scale pixels to 0..1, in CSR format if training uses it: zeros then take no memory."""
    if not sparse.worth_it(images.reshape(len(images), -1)):
        return _scaled(images)
    rows = sparse.CompressedRows(images, "float32")
    rows.values /= np.float32(255)
    return rows


def _varied(images: Array, args: argparse.Namespace) -> Iterator[Any]:
    """Yield variations of the images for each epoch, which a thread computes one epoch ahead."""
    with ThreadPoolExecutor(1) as thread:
        ahead: list[Any] = []
        for epoch in range(args.epochs + 1):
            if epoch < args.epochs:
                seed = args.seed + 2**32 * epoch
                ahead.append(thread.submit(datasets.augment_digits, images, seed))
            if epoch:
                yield _compact(ahead.pop(0).result())


class _LastEpoch(tinynet.callbacks.History):
    """Record of the metrics, and copy of the model after the last complete epoch.

    If `stop` is True, each call of `fit` trains for one epoch.
    """

    def __init__(self, stop: bool) -> None:
        super().__init__()
        self.stop, self.epochs = stop, 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.model.stop_training = self.stop
        self.copy, self.epochs = copy.deepcopy(self.model), epoch + 1


def _write_model(model: Any, result: dict[str, Any], out: Path, names: list[str]) -> list[str]:
    """Write the model in each format and the results as JSON; return the names of the files."""
    written = [name for name in names if name.startswith("model.")]
    for name in written:
        model.save(out / name)
    text = json.dumps(result, indent=1) + "\n"
    write_atomically(out / "history.json", lambda file: file.write(text.encode()))
    return [*written, "history.json"]


def _test_and_write(
    model: Any, source: _Source, test_part: Part, about: dict[str, Any], out: Path, names: list[str]
) -> dict[str, Any]:
    test_images, y_test = test_part
    _print(f"Testing on {len(test_images):,} images of {source.label}")
    x_test = _scaled(test_images)
    test = model.evaluate(x_test, y_test, return_dict=True)
    weights = b"".join(w.astype("<f4").tobytes() for w in model.get_weights())
    result = {
        **about,
        "history": model.history.history,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "test_loss": test["loss"],
        "test_accuracy": test["accuracy"],
        "files": [str(out / name) for name in names],
    }
    _write_model(model, result, out, names)
    if "predictions.png" in names:
        p = model.predict(x_test, batch_size=1000, verbose=0)
        shown: dict[str, Any] = {"source": source.label}
        curves = visualize.plot_history(model.history, test, **shown)
        shown["class_names"] = source.class_names
        figures = {
            "predictions.png": visualize.plot_predictions(test_images, y_test, p, **shown),
            "learning_curves.png": curves,
            "confusion_matrix.png": visualize.plot_confusion_matrix(y_test, p, **shown),
            "mistakes.png": visualize.plot_mistakes(test_images, y_test, p, **shown),
        }
        for name, figure in figures.items():
            save = functools.partial(figure.savefig, format="png", dpi=100)
            write_atomically(out / name, save)
    _print(f"SHA-256 of the weights: {result['weights_sha256']}")
    _print(f"Written to {out}: {', '.join(names)}")
    source.notice()
    for line in source.results(test):
        _print(line)
    return result


def _check_writable(out: Path, names: list[str]) -> None:
    """Raise an error before training, not after it, if the files can't be written."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        expected = f"{out / name} must not be a folder; rename it or choose another --out"
        checks.require(not (out / name).is_dir(), expected, "a folder", IsADirectoryError)
    try:
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(out)) from error


# ---------------------------------------------------------------- evaluate, predict, info


def _evaluate(args: argparse.Namespace) -> Result:
    model = models.load_model(args.model)
    if not model.compiled:
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    source, (_, (images, y)) = _load(args.data)
    _print(f"Testing {args.model} on {len(images):,} images of {source.label}")
    x = _as_input(model, _scaled(images))
    test = model.evaluate(x, y, batch_size=args.batch_size, return_dict=True)
    source.notice()
    about = {"model": args.model, "data": source.label, "fallback": source.fallback}
    about |= {"test_images": len(images), **{f"test_{name}": test[name] for name in test}}
    return about, source.results(test)


def _predict(args: argparse.Namespace) -> Result:
    model = models.load_model(args.model)
    digits: dict[str, Array] = {}
    errors: dict[str, str] = {}
    for path in args.images:
        try:
            digits[path] = _read_digit(path)
        except (OSError, ValueError, ImportError) as error:
            errors[path] = _explain(error)
            _print_error(f"error: {errors[path]}")
    found = dict(zip(digits, _probabilities(model, list(digits.values())), strict=True))
    predictions, lines = [], []
    for path in filter(found.__contains__, args.images):
        p = found[path]
        best, second = np.argsort(-p, kind="stable")[:2].tolist()
        sure = p[best] >= args.reject
        label = best if sure else None
        predictions.append({"image": path, "label": label, "probabilities": p.tolist()})
        likely = f"{p[best]:.1%}; next {second}, {p[second]:.1%}"
        said = f"{best} ({likely})" if sure else f"not sure ({best}, {likely})"
        lines.append(f"{path}: {said}")
    failed = [{"image": path, "error": text} for path, text in errors.items()]
    return {"model": args.model, "predictions": predictions, "errors": failed}, lines


def _probabilities(model: Any, digits: list[Array]) -> Array:
    """Compute class probabilities, shape (N, C), for images of 28 x 28 pixels."""
    x = _as_input(model, _scaled(np.reshape(digits, (-1, 28, 28))))
    if not digits:
        return np.zeros((0, 2))
    probabilities: Array = model.predict(x, verbose=0)
    shape = probabilities.shape
    fits = len(shape) == 2 and shape[1] > 1
    checks.require(fits, "model must output class probabilities of shape (N, C)", f"shape {shape}")
    if probabilities.min() < 0 or probabilities.max() > 1.001:  # logits, not probabilities
        probabilities = tinynet.activations.softmax(probabilities).numpy()
    return probabilities


def _as_input(model: Any, x: Array) -> Array:
    """Reshape images to the model's input shape, for example (N, 28, 28) or (N, 784)."""
    shape = model.input_shape[1:] if model.built else ()
    fits = None not in shape and math.prod(shape) == 784
    expected = "model must accept images of 28 x 28 pixels"
    checks.require(fits, expected, f"input shape {shape}")
    return x.reshape(len(x), *shape)


def _read_digit(path: str) -> Array:
    """Read an image file and frame its digit like MNIST's."""
    image = _read_image(path)
    try:
        return framing.frame_digit(image)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_image(path: str) -> Array:
    """Read an image file, apply its EXIF orientation, and convert it to gray, RGB or RGBA.

    Large images are downscaled.
    """
    contents = Path(path).read_bytes()
    head = contents[:16]
    kinds = [kind for at, magic, kind in IMAGE_FILES if head[at:].startswith(magic)]
    expected = f"{path} must be an image file, such as PNG or JPEG"
    checks.require(kinds, expected, f"a file that begins with {head[:4]!r}")
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        how = "reading it requires Pillow, which is not installed: pip install pillow"
        raise ImportError(f"{path} is a {kinds[0]} file; {how}") from error
    expected = f"{path} must be in a supported format; convert it to PNG or JPEG"
    checks.require(kinds[0] not in UNSUPPORTED, expected, f"a {kinds[0]} file")
    damage: Any = (*DAMAGE, Image.DecompressionBombError)
    try:
        with warnings.catch_warnings():
            # Ignore warnings about large images (rejected below) and about invalid metadata.
            warnings.simplefilter("ignore")
            # Reading from a file, Pillow would allocate the declared size of a part of the file.
            image: Any = Image.open(io.BytesIO(contents), formats=kinds[:1])
            # A short header can declare more pixels than fit in memory.
            expected = f"image must have at most {MAX_PIXELS:,} pixels"
            received = f"{image.size[0]} x {image.size[1]} pixels"
            checks.require(math.prod(image.size) <= MAX_PIXELS, expected, received)
            image = ImageOps.exif_transpose(image)
            factor = max(max(image.size) // (2 * framing.LARGEST), 1)
            return _pixels(image, factor)
    except damage as error:
        text = f"{path} is a {kinds[0]} file that cannot be read: {error!s:.500}"
        raise ValueError(text) from error


def _pixels(image: Any, factor: int) -> Any:
    """Return the values of an image of Pillow, downscaled by a factor."""
    if image.mode[:1] in "IF":  # 16 or 32 bits per pixel
        plain = image.convert(image.mode[0])
        low, high = plain.getextrema()
        sixteen = plain.mode == "I" and low >= 0 and (255 < high < 2**16 or image.mode != "I")
        values = np.asarray(plain.reduce(factor))
        return values.astype(np.uint16) if sixteen else values
    has_alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    image = image.convert("RGBA" if has_alpha else "L" if image.mode in ("1", "L") else "RGB")
    return np.asarray(image.reduce(factor))


def _demo(args: argparse.Namespace) -> Result:
    path, missing = args.model, ""
    try:
        path = path or str(demo.default_model())
    except FileNotFoundError as error:
        missing = f"{error}. The page begins with a new network."
    model = None if path is None else models.load_model(path)
    source, data = _load(args.data)
    shown = source.label, source.class_names
    opened = demo.show(model, args.out, data, *shown, open_it=not args.no_open)
    lines = [f"Written to {args.out}, {os.path.getsize(args.out) / 1e6:.2f} MB"]
    lines += [missing] if missing else []
    source.notice()
    if not (opened or args.no_open):
        lines.append("No browser could be started; open the file manually.")
    about = {"data": source.label, "fallback": source.fallback}
    return {"model": path, **about, "file": args.out, "opened": opened}, lines


def _info(args: argparse.Namespace) -> Result:
    def version(package: str) -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return "not installed"

    built: Any = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {})
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    set_limits = [f"{name}={os.environ[name]}" for name in limits if name in os.environ]
    packages = {"sklearn": "scikit-learn", "onnx": "onnx", "notebooks": "jupyterlab"}
    extras = ", ".join(f"{extra}: {version(package)}" for extra, package in packages.items())
    facts = {
        "tinynet": tinynet.__version__,
        "backend": tinynet.config.backend(),
        "floatx": tinynet.config.floatx(),
        "reproducibility": _reproducibility(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "processor": _processor(),
        "usable processors": thread_pool.processors(),
        "threads": f"{tinynet.config.num_threads()} (see tinynet.config.set_num_threads)",
        "thread limits": " ".join(set_limits) or "none set",
        **{name: version(name) for name in ("numpy", "numba", "matplotlib", "h5py")},
        "BLAS": f"{blas.get('name')} {blas.get('version')}",
        "TINYNET_DATA": os.environ.get("TINYNET_DATA", "not set"),
        "TINYNET_CACHE": os.environ.get("TINYNET_CACHE", "not set"),
        "cache": str(datasets.cache_folder()),
        "plots": "tinynet.visualize",
        "extras": f"{extras} (pip install -e '.[NAME]' in tinynet's folder)",
        "notebooks": "jupyter lab examples, in tinynet's folder (requires the extra 'notebooks')",
    }
    width = max(map(len, facts))
    return facts, [f"{name:{width}}  {value}" for name, value in facts.items()]


def _reproducibility() -> str:
    """Return a description of the machines on which float32 results are bit-identical."""
    if tinynet.config.backend() != "numba":
        return "depends on the processor, NumPy and its BLAS (numpy backend)"
    from tinynet.kernels.numba_functions import FEATURES

    same = tinynet.config.COMPILES and {"+avx2", "+fma"} <= {*FEATURES.split(",")}
    where = "x86-64 processors with AVX2 and FMA"
    return f"bit-identical on all {where}" if same else f"results may differ from those on {where}"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
