"""The command ``tinynet``: train a net on handwritten digits, look at it, let it read.

Results go to standard output, errors to standard error as one line (places where data were sought
follow as a list). With ``--json``, standard
output is one JSON object and everything else goes to standard error.

The command ends with 0 if all went well, 2 if it was called wrongly, 130 if it was interrupted,
141 if the program that it was writing to had ended (as a shell has it), and 1 for everything else.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
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
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

import tinynet
from tinynet import checks, datasets, demo, layers, models, progress, sparse, threads, visualize
from tinynet.datasets import framing
from tinynet.files import write_atomically
from tinynet.variable import Array

Part = tuple[Array, Array]  # images and labels
Result = tuple[dict[str, Any], list[str]]  # of a command: as JSON, and as lines of text

MOST_PIXELS = 64_000_000  # of an image to read: more than a phone's
# What Pillow raises for files that are damaged, incomplete or of a kind it does not read.
DAMAGE: tuple[type[Exception], ...] = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError),
    *(SyntaxError, TypeError, ValueError, struct.error, zlib.error),
)
NOT_READ = ("AVIF", "HEIC", "PDF")
# The bytes that a kind of file begins with or has at 4 or 8; names as in Pillow.
IMAGE_FILES = [(0, b"\x89PNG", "PNG"), (0, b"\xff\xd8\xff", "JPEG"), (0, b"GIF8", "GIF")]
IMAGE_FILES += [(0, b"BM", "BMP"), (0, b"II*\0", "TIFF"), (0, b"MM\0*", "TIFF")]
IMAGE_FILES += [(8, b"WEBP", "WEBP"), (0, b"P5", "PPM"), (0, b"P6", "PPM"), (0, b"%PDF", "PDF")]
IMAGE_FILES += [(4, b"ftypavif", "AVIF"), (4, b"ftyp", "HEIC")]
MNIST, FASHION, DRAWN = "MNIST", "Fashion-MNIST", "drawn digits (not MNIST)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    SystemExit
        After the help and ``--version`` with code 0, after wrong usage with code 2. The help is
        what ``tinynet``, ``tinynet help`` and ``tinynet help COMMAND`` print, as ``--help`` does.

    Examples
    --------
    >>> main(["predict", "no such model", "digit.png"])
    1
    """
    if getattr(sys, "stdout", None) is None:  # closed by whoever started this
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # until Python ends
    try:
        try:
            given = list(sys.argv[1:] if argv is None else argv)
            if given[:1] in ([], ["help"]):
                given = [*(word for word in given if word != "help"), "--help"]
            parser = _parser()
            if given[0][:1] == "-":
                parser.refuse(given[:1] if given[0] not in parser.options() else [])
            args, extra = parser.parse_known_args(given)
            args.parser.refuse(extra)
            # With --json, what is said on the way goes to standard error.
            with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
                result, lines = args.run(args)
            for line in [json.dumps(result)] if args.json else lines:
                _say(line)
        finally:
            _flush()
    except KeyboardInterrupt as interrupt:
        if progress.is_live():
            _say()  # ends the line of the progress bar
        _complain(" ".join(["interrupted", *map(str, interrupt.args)]))
        return 130
    except BrokenPipeError:
        return 141
    except (OSError, ValueError, TypeError, RuntimeError, ImportError) as error:
        _complain(f"error: {_explain(error)}")
        return 1
    except MemoryError as error:
        _complain(f"error: not enough memory. {error}")
        return 1
    return int(bool(result.get("errors")))


def _flush() -> None:
    """Meet a closed pipe or a full disk here, not when Python exits."""
    try:
        sys.stdout.flush()
    except OSError:
        # Python will try again; by then there must be a place that takes it.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _complain(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody may be listening
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        progress.write("tinynet: " + "\n".join(lines) + "\n", sys.stderr)


def _explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _say(text: str = "") -> None:
    progress.write(f"{text}\n", strict=True)


# ---------------------------------------------------------------- arguments


class _Parser(argparse.ArgumentParser):
    """A parser whose errors suggest what may have been meant."""

    def options(self) -> list[str]:
        """Return the options of the command."""
        return re.findall(r"(?<!\w)--?[a-zA-Z][\w-]*", self.format_help().partition("\n\n")[2])

    def refuse(self, extra: Sequence[str]) -> None:
        """Refuse arguments that the command does not take, if there are any."""
        if extra and extra[0].startswith("-"):
            wrong = extra[0].partition("=")[0]
            options = sorted({*self.options()})
            self.error(f"{wrong} is not an option{checks.suggestion(wrong, options)}")
        if extra:
            self.error(f"unrecognized arguments: {' '.join(extra)}")

    def error(self, message: str) -> NoReturn:
        """Print usage and message, and exit; a misspelled command gets a suggestion."""
        found = re.search(r"invalid choice: '(\w*)' \(choose from (.*)\)", message)
        if found:
            commands = re.findall(r"\w+", found[2])
            message = f"{found[1]!r} is not a command{checks.suggestion(found[1], commands)}"
        super().error(message)


def _parser() -> _Parser:
    parser = _Parser(
        prog="tinynet",
        description="A neural network that learns to read handwritten digits, from scratch.",
        epilog="tinynet help COMMAND describes the options of a command.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-V", "--version", action="version", version=f"tinynet {tinynet.__version__}"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], Result], text: str) -> Any:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(run=run, parser=command)
        text = "write one JSON object to standard output, everything else to standard error"
        option(command, "--json", text, action="store_true")
        return command

    def option(command: Any, name: str, text: str, default: Any = None, **settings: Any) -> None:
        if default is not None:
            text, settings["default"] = f"{text} (default: {default})", default
        command.add_argument(name, help=text, **settings)

    whole = functools.partial(_whole, low=1, expected="a positive integer")
    number: dict[str, Any] = {"type": whole, "metavar": "N"}
    seed = functools.partial(_whole, low=0, expected="an integer from 0 to 2**32 - 1")
    data = (
        "mnist, fashion_mnist, drawn (digits that tinynet draws by itself), or the path of an .npz "
        "file or of a folder with MNIST's four files (default: mnist, or drawn where MNIST is "
        "neither found nor can be downloaded)"
    )
    saved, batch = "a file that tinynet or Keras saved", "examples in a batch"

    train = add("train", _train, "Train a 784-128-10 net, test it, and draw what came out.")
    option(train, "--data", data, type=_not_empty)
    option(train, "--epochs", "how many times to go through the training images", 5, **number)
    option(train, "--batch-size", batch, 32, **number)
    option(train, "--seed", "the same seed gives the same net", 0, type=seed, metavar="N")
    folder = "where to write the model, the figures and the pictures"
    option(train, "--out", folder, "output", type=_not_empty, metavar="FOLDER")
    option(train, "--no-plots", "draw no pictures", action="store_true")

    evaluate = add("evaluate", _evaluate, "Test a model on a data set's test images.")
    option(evaluate, "model", saved, metavar="MODEL")
    option(evaluate, "--data", data, type=_not_empty)
    option(evaluate, "--batch-size", batch, 32, **number)

    predict = add("predict", _predict, "Let a model read pictures of single digits.")
    option(predict, "model", saved, metavar="MODEL")
    kinds = (
        "a PNG, JPEG, GIF, BMP, TIFF or WebP file with one digit; in MNIST's form it is taken as "
        "it is, anything else is framed as MNIST's digits are"
    )
    option(predict, "images", kinds, nargs="+", metavar="IMAGE")

    draw = add("demo", _demo, "Write a web page to draw a digit on, which a model reads.")
    trained = f"{saved} (default: what train wrote to output)"
    option(draw, "model", trained, nargs="?", metavar="MODEL")
    page = "the page: one file, which needs no network"
    option(draw, "--out", page, "output/demo.html", type=_not_empty, metavar="FILE")
    option(draw, "--no-open", "do not open it in a browser", action="store_true")

    add("info", _info, "Say what tinynet runs on: for reports of defects.")
    return parser


def _whole(text: str, low: int, expected: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be {expected}. Received: {text!r}")
    return value


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty. Received: ''")
    return os.path.expanduser(text)


# ---------------------------------------------------------------- the data


class _Source(NamedTuple):
    """Where data come from: named on everything that is made from them."""

    label: str
    fallback: bool = False

    def notice(self) -> None:
        """Say plainly if these are other data than anybody would expect."""
        if self.fallback:
            _say("NOTE: MNIST was not to be had; these are digits drawn by tinynet itself.")

    def on(self, line: str) -> str:
        """Name the data on a line of results; figures without a name are MNIST's."""
        return line if self.label == MNIST else f"{line} on {self.label}"


def _load(choice: str | None) -> tuple[_Source, tuple[Part, Part]]:
    """Load what was asked for; without a wish MNIST or, where that can't be had, drawn digits."""
    if choice is None:
        try:
            return _load("mnist")
        except FileNotFoundError as error:
            _say(str(error))
            source = _Source(DRAWN, fallback=True)
            source.notice()
            progress.write("Drawing digits (a few seconds the first time)\n", sys.stderr)
            return source, datasets.drawn_digits.load_data()
    named: dict[str, tuple[str, Any]] = {
        "mnist": (MNIST, datasets.mnist),
        "fashion_mnist": (FASHION, datasets.fashion_mnist),
        "drawn": (DRAWN, datasets.drawn_digits),
    }
    if choice in named:
        label, module = named[choice]
        return _Source(label), module.load_data()
    hint = checks.suggestion(choice, named)
    if not os.path.exists(choice) and ("did you mean" in hint or choice.isalnum()):
        raise ValueError(f"--data must be a data set or a path{hint}. Received: {choice!r}")
    # "./" keeps a path from being taken for one of the names that load_data knows.
    return _Source(choice), datasets.mnist.load_data(os.path.join(".", choice))


def _scaled(images: Array) -> Array:
    """Bring pixels from 0..255 to 0..1, in one go: 60,000 images in float64 are 380 MB."""
    return np.divide(images, np.float32(255), dtype=np.float32)


# ---------------------------------------------------------------- train


def _train(args: argparse.Namespace) -> Result:
    out = Path(args.out)
    names = ["model.tinynet", "model.keras", "history.json"]
    if not args.no_plots:
        names += ["predictions.png", "learning_curves.png", "confusion_matrix.png", "mistakes.png"]
    _check_writable(out, names)
    source, ((images, y_train), (test_images, y_test)) = _load(args.data)
    _say(
        f"Training a 784-128-10 net on {len(images):,} images of {source.label} for {args.epochs} "
        f"epoch{'s' * (args.epochs > 1)} (seed {args.seed}, {tinynet.config.backend()} backend)"
    )
    tinynet.utils.set_random_seed(args.seed)
    model = tinynet.Sequential(
        [
            layers.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    # The training images are most of the memory: each form of them goes when the next is there,
    # and black pixels are not written out as numbers if training leaves them out anyway.
    x_train: Any
    if sparse.worth_it(images.reshape(len(images), -1)):
        x_train = sparse.CompressedRows(images, "float32")
        x_train.values /= np.float32(255)
    else:
        x_train = _scaled(images)
    del images
    about = {
        "data": source.label,
        "fallback": source.fallback,
        "train_images": len(y_train),
        "test_images": len(y_test),
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "seed": args.seed,
        "backend": tinynet.config.backend(),
        "version": tinynet.__version__,
    }
    last = _LastEpoch()
    start = time.perf_counter()
    try:
        model.fit(
            x_train, y_train, batch_size=args.batch_size, epochs=args.epochs, callbacks=[last]
        )
        del x_train
        about["training_seconds"] = round(time.perf_counter() - start, 3)
        return _test_and_write(model, source, (test_images, y_test), about, out, names), []
    except KeyboardInterrupt:
        if not last.epochs:
            raise KeyboardInterrupt("before an epoch was complete; no model was written") from None
        last.copy.history = last.model.history
        about.update(epochs=last.epochs, interrupted=True, history=last.model.history.history)
        written = _write_model(last.copy, about, out, names)
        raise KeyboardInterrupt(
            f"after {last.epochs} of {args.epochs} epochs; "
            f"{out} has the model as it was then: {', '.join(written)}"
        ) from None


class _LastEpoch(tinynet.callbacks.Callback):
    """A copy of the model after the last complete epoch."""

    epochs = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.copy, self.epochs = copy.deepcopy(self.model), epoch + 1


def _write_model(model: Any, result: dict[str, Any], out: Path, names: list[str]) -> list[str]:
    """Write the model in each format, and the result; return the names of these files."""
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
    _say(f"Testing on {len(test_images):,} images of {source.label}")
    x_test = _scaled(test_images)
    test = model.evaluate(x_test, y_test, return_dict=True)
    result = {
        **about,
        "history": model.history.history,
        "test_loss": test["loss"],
        "test_accuracy": test["accuracy"],
        "files": [str(out / name) for name in names],
    }
    _write_model(model, result, out, names)
    if "predictions.png" in names:
        p = model.predict(x_test, batch_size=1000, verbose=0)
        shown: dict[str, Any] = {"source": source.label}
        curves = visualize.plot_history(model.history, test, **shown)
        if source.label == FASHION:
            shown["class_names"] = datasets.fashion_mnist.CLASS_NAMES
        figures = {
            "predictions.png": visualize.plot_predictions(test_images, y_test, p, **shown),
            "learning_curves.png": curves,
            "confusion_matrix.png": visualize.plot_confusion_matrix(y_test, p, **shown),
            "mistakes.png": visualize.plot_mistakes(test_images, y_test, p, **shown),
        }
        for name, figure in figures.items():
            save = functools.partial(figure.savefig, format="png", dpi=100)
            write_atomically(out / name, save)
    _say(f"Written to {out}: {', '.join(names)}")
    source.notice()
    _say(source.on(f"Test loss: {test['loss']:.4f}"))
    _say(source.on(f"Test accuracy: {test['accuracy']:.4f}"))
    return result


def _check_writable(out: Path, names: list[str]) -> None:
    """Find out that nothing can be written before hours of training are lost, not after."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (out / name).is_dir():
            raise IsADirectoryError(f"{out / name} must be a file or not exist. Received: a folder")
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
    _say(f"Testing {args.model} on {len(images):,} images of {source.label}")
    x = _as_input(model, _scaled(images))
    test = model.evaluate(x, y, batch_size=args.batch_size, return_dict=True)
    source.notice()
    about = {"model": args.model, "data": source.label, "fallback": source.fallback}
    figures = {f"test_{name}": value for name, value in test.items()}
    names = sorted(test, key=lambda name: name != "loss")
    lines = [source.on(f"Test {name}: {test[name]:.4f}") for name in names]
    return {**about, "test_images": len(images), **figures}, lines


def _predict(args: argparse.Namespace) -> Result:
    model = models.load_model(args.model)
    digits: dict[str, Array] = {}
    errors: dict[str, str] = {}
    for path in args.images:
        try:
            digits[path] = _read_digit(path)
        except (OSError, ValueError, ImportError) as error:
            errors[path] = _explain(error)
            _complain(f"error: {errors[path]}")
    found = dict(zip(digits, _probabilities(model, list(digits.values())), strict=True))
    predictions, lines = [], []
    for path in filter(found.__contains__, args.images):
        p = found[path]
        best, second = np.argsort(-p, kind="stable")[:2]
        predictions.append({"image": path, "label": int(p.argmax()), "probabilities": p.tolist()})
        lines.append(f"{path}: {best} ({p[best]:.1%}; next {second}, {p[second]:.1%})")
    failed = [{"image": path, "error": text} for path, text in errors.items()]
    return {"model": args.model, "predictions": predictions, "errors": failed}, lines


def _probabilities(model: Any, digits: list[Array]) -> Array:
    """Compute the probabilities (N, classes) of images of 28 x 28 pixels."""
    x = _as_input(model, _scaled(np.reshape(digits, (-1, 28, 28))))
    if not digits:
        return np.zeros((0, 2))
    probabilities: Array = model.predict(x, verbose=0)
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ValueError(
            f"The model must give probabilities of classes. Received: shape {probabilities.shape}"
        )
    if probabilities.min() < 0 or probabilities.max() > 1.001:  # scores, not probabilities
        probabilities = tinynet.activations.softmax(probabilities).numpy()
    return probabilities


def _as_input(model: Any, x: Array) -> Array:
    """Give images the shape that a model takes: (N, 28, 28) or, for example, (N, 784)."""
    shape = model.input_shape[1:] if model.built else ()
    if None in shape or math.prod(shape) != 784:
        raise ValueError(
            f"The model must take images of 28 x 28 pixels. Received: input shape {shape}"
        )
    return x.reshape(len(x), *shape)


def _read_digit(path: str) -> Array:
    """Read an image file and frame its digit."""
    image = _read_image(path)
    try:
        return framing.frame_digit(image)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_image(path: str) -> Array:
    """Read an image file, upright: gray, RGB or RGBA, of at most a few thousand pixels a side."""
    with open(path, "rb") as file:
        head = file.read(16)
        kinds = [kind for at, magic, kind in IMAGE_FILES if head[at:].startswith(magic)]
        if not kinds:
            expected = f"{path} must be an image file, such as PNG or JPEG"
            raise ValueError(f"{expected}. Received: a file that begins with {head[:4]!r}")
        try:
            from PIL import Image, ImageOps
        except ImportError as error:
            raise ImportError(
                f"{path} is a {kinds[0]} file; reading it requires Pillow, which is not installed: "
                f"pip install pillow"
            ) from error
        if kinds[0] in NOT_READ:
            raise ValueError(f"{path} must be saved as PNG or JPEG. Received: a {kinds[0]} file")
        file.seek(0)
        damage: Any = (*DAMAGE, Image.DecompressionBombError)
        try:
            with warnings.catch_warnings():
                # Large images are refused here, and tags that are skipped do not matter.
                warnings.simplefilter("ignore")
                image: Any = Image.open(file, formats=kinds[:1])
                # A header of a few bytes can claim more pixels than any memory holds.
                if math.prod(image.size) > MOST_PIXELS:
                    raise ValueError(
                        f"image must have at most {MOST_PIXELS:,} pixels. "
                        f"Received: {image.size[0]} x {image.size[1]} pixels"
                    )
                image = ImageOps.exif_transpose(image)
        except damage as error:
            raise ValueError(f"{path} is a {kinds[0]} file that can't be read: {error}") from error
    if image.mode[:1] in "IF":  # gray of 16 or 32 bits
        values = np.asarray(image)
        sixteen = image.mode == "I" and values.min() >= 0 and 255 < values.max() < 2**16
        return values.astype(np.uint16) if sixteen else values
    has_alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    image = image.convert("RGBA" if has_alpha else "L" if image.mode in ("1", "L") else "RGB")
    return np.asarray(image.reduce(max(max(image.size) // (2 * framing.LARGEST), 1)))


def _demo(args: argparse.Namespace) -> Result:
    path = args.model or str(demo.default_model())
    opened = demo.show(models.load_model(path), args.out, open_it=not args.no_open)
    lines = [f"Written to {args.out}, {os.path.getsize(args.out) / 1e6:.2f} MB"]
    if not (opened or args.no_open):
        lines.append("No browser could be started: open the file in one.")
    return {"model": path, "file": args.out, "opened": opened}, lines


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
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "processor": _processor(),
        "processors usable": threads.processors(),
        "threads": f"{tinynet.config.num_threads()} (see tinynet.config.set_num_threads)",
        "thread limits": " ".join(set_limits) or "none set",
        **{name: version(name) for name in ("numpy", "numba", "matplotlib", "h5py")},
        "BLAS": f"{blas.get('name')} {blas.get('version')}",
        "TINYNET_DATA": os.environ.get("TINYNET_DATA", "not set"),
        "TINYNET_CACHE": os.environ.get("TINYNET_CACHE", "not set"),
        "cache": str(datasets.cache_folder()),
        "plots": "tinynet.visualize",
        "extras": f"{extras} (pip install -e '.[NAME]' in tinynet's folder)",
        "notebooks": "jupyter lab examples, in tinynet's folder (needs the extra notebooks)",
    }
    width = max(map(len, facts))
    return facts, [f"{name:{width}}  {value}" for name, value in facts.items()]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
