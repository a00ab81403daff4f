"""Train the 784-128-10 network on MNIST with Keras: ``python -m reference``.

This is the program that tinynet is compared with; see also ``examples/01_train_mnist.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path


def positive(text: str) -> int:
    """Convert an argument of argparse to a positive integer."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def main(argv: list[str] | None = None) -> int:
    """Train and evaluate the model, print the results, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reference", description=__doc__)
    parser.add_argument("--epochs", type=positive, default=5)
    parser.add_argument("--batch-size", type=positive, default=32)
    parser.add_argument("--seed", type=int, help="random seed (default: none)")
    results = "write options and results to FILE as JSON"
    parser.add_argument("--json", type=Path, metavar="FILE", help=results)
    args = parser.parse_args(argv)
    if args.json and not args.json.parent.is_dir():
        parser.error(f"--json: the folder {args.json.parent} does not exist")

    try:
        import keras

        from reference import keras_net, mnist
    except ModuleNotFoundError as error:
        print(f"error: {error}; the reference requires TensorFlow and Keras", file=sys.stderr)
        return 1
    print(keras_net.describe_versions())
    if args.seed is not None:
        keras.utils.set_random_seed(args.seed)

    try:
        (train_images, y_train), (test_images, y_test) = mnist.load_data()
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    x_train, x_test = train_images / 255.0, test_images / 255.0

    model = keras.Sequential(
        [
            keras.Input(shape=(28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    verbose = 1 if sys.stdout.isatty() else 2  # the progress bar works in terminals only
    start = time.perf_counter()
    history = model.fit(
        x_train, y_train, batch_size=args.batch_size, epochs=args.epochs, verbose=verbose
    )
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)

    print(f"Test loss: {loss:.4f}")
    print(f"Test accuracy: {accuracy:.4f}")
    if args.json:
        report = {
            "config": {
                "epochs": args.epochs,
                "batch_size": args.batch_size,
                "seed": args.seed,
                "versions": keras_net.versions(),
                "model": model.get_config(),
            },
            "history": history.history,
            "result": {"loss": loss, "accuracy": accuracy, "fit_seconds": seconds},
        }
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
