"""Measure training on the demo page in Chromium: ``python -m benchmarks.page``.

The page trains a 784-128-10 network with its default settings on MNIST or, if MNIST is not
available, on synthetic digits, until the accuracy on 2,000 held-out images reaches 97%. The times
are those of the page: they include the refreshes of the display.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import machine
from benchmarks.result_files import positive
from tests import browser
from tinynet import datasets, demo

GOAL = 0.97
MOST = 2_000_000  # images after which a run is stopped

#: Wall-clock time since the start, and the state of the training.
STATE = """const point = trainer.history.find((point) => point.testAccuracy >= arguments[0]);
    return { images: trainer.seen, seconds: (performance.now() - began) / 1000,
             reached: point ? { images: point.seen, accuracy: point.testAccuracy } : null,
             ended: point !== undefined || trainer.seen > arguments[1] };"""


def run(window: browser.Browser, seed: int) -> dict[str, Any]:
    """Train with one seed; return images, seconds and images per second."""
    window.run("pause(); changeSetting('seed', arguments[0])", seed)
    window.run("window.began = performance.now(); start()")
    while not (state := window.run(STATE, GOAL, MOST))["ended"]:
        window.run("return new Promise((done) => setTimeout(done, 50))")
    window.run("pause()")
    state["images_per_second"] = state["images"] / state["seconds"]
    return state


def main(argv: list[str] | None = None) -> int:
    """Print the results of some runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--runs", type=positive, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    if browser.MISSING:
        parser.error(browser.MISSING)
    try:
        name, data = "MNIST", datasets.mnist.load_data()
    except FileNotFoundError:
        name, data = "synthetic digits", datasets.drawn_digits.load_data()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "demo.html")
        demo.show(None, path, data, name, open_it=False)
        size = path.stat().st_size
        window = browser.Browser(1280, 900)
        try:
            window.open(path)
            window.wait("return trainer !== null && trainer.history.length > 0")
            load = os.getloadavg()[0]
            runs = [run(window, seed) for seed in range(args.runs)]
        finally:
            window.close()
    if args.json:
        about = {"data": name, "bytes": size, "load": load, "machine": machine()}
        print(json.dumps({**about, "runs": runs}))
        return 0
    print(f"{name}; page of {size / 1e6:.2f} MB; load average before the runs: {load:.1f}")
    for seed, state in enumerate(runs):
        speed = f"{state['images_per_second']:,.0f} images/s"
        if state["reached"] is None:
            print(f"seed {seed}: {speed}; {GOAL:.0%} was not reached")
        else:
            images, accuracy = state["reached"]["images"], state["reached"]["accuracy"]
            print(f"seed {seed}: {speed}; {accuracy:.2%} after {state['seconds']:.1f} s", end="")
            print(f" and {images:,} images")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
