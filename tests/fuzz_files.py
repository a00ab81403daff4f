"""Mutate files randomly, and check that each mutant raises an error or is harmless.

``python -m tests.fuzz_files --mutants 100000 --format keras``

Half of the mutants have flipped bits, or removed, exchanged, repeated or overwritten parts. In the
other half, a member, or a value of the configuration or header, is changed and the checksums are
corrected, as an attacker would do.

Every mutant must load as a working model or raise ValueError, in a few seconds and with little
memory. A single flipped bit must be detected or change nothing. Mutants run in child processes,
so that the parent can report the mutant that crashes a process.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import tinynet
from tests import models, tinynet_files
from tinynet._core import registry
from tinynet.layers import Concatenate, Dense, Flatten, Multiply, Softmax
from tinynet.layers.layer import map_shapes
from tinynet.saving import hdf5

#: The suffix of each format; "zip" is version 1 of .tinynet.
FORMATS = {"tinynet": ".tinynet", "zip": ".tinynet", "keras": ".keras", "h5": ".h5"}
HOSTILE = [
    None, True, -1, 0, 3, 10**9, 2**63, 10**40, 1e308, float("nan"), float("inf"), "", "relu",
    "x" * 1000, "../../etc/passwd", "Lambda", "Dense", [], {}, [None], [None, 10**9], [[]],
    {"class_name": "Dense"}, {"class_name": "Lambda", "config": {}},
]  # fmt: skip


def original() -> Any:
    """Return a small trained model with a nested model."""
    registry.clear_names()
    inner = tinynet.Sequential([Dense(3, name="inner"), Softmax()])
    model = models.classifier(inner, seed=0, metrics=["accuracy"])
    model.fit(*models.data(), epochs=2, verbose=0)
    return model


def graph() -> tinynet.Model:
    """Return a small trained model with branches, a shared layer, operations and two outputs."""
    registry.clear_names()
    tinynet.random.set_seed(0)
    ops, a, b = tinynet.ops, tinynet.Input((2, 2), name="a"), tinynet.Input((3,), name="b")
    shared = Dense(3, "relu", name="shared")
    left, right = shared(Flatten(name="flat")(a)[:, :3]), shared(b)
    rows = ops.reshape(ops.tile(right, (1, 2)), (-1, 2, 3))
    mixed = ops.einsum("bij,bkj->bik", rows, ops.stack([left, right], axis=1))
    turned = ops.tensordot(ops.matmul(ops.transpose(mixed, (0, 2, 1)), rows), np.eye(3), axes=1)
    taken = ops.take(ops.cast(turned, "float32"), np.array([1, 0]), axis=1)[:, 1]
    merged = Concatenate(name="merged")([left, Multiply(name="times")([taken, right])])
    outputs = [Dense(1, name="score")(merged + 0.5), Softmax(name="kind")(ops.pad(left, 0) * 2.0)]
    model = tinynet.Model([a, b], outputs, name="net")
    model.compile("adam", ["mse", "sparse_categorical_crossentropy"], metrics=[["mae"], []])
    x = np.linspace(0, 1, 42, dtype=np.float32).reshape(6, 7)
    inputs = [x[:, :4].reshape(6, 2, 2), x[:, 4:]]
    model.fit(inputs, [x[:, 0], np.arange(6) % 3], epochs=2, verbose=0)
    return model


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip one bit."""
    mutant = bytearray(data)
    mutant[rng.integers(len(mutant))] ^= 1 << rng.integers(8)
    return bytes(mutant)


def havoc(data: bytes, rng: np.random.Generator) -> bytes:
    """Remove, exchange, repeat or overwrite parts."""
    mutant = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        a, b = sorted(rng.integers(len(mutant) + 1, size=2))
        kind = rng.integers(6)
        if kind == 0 and a:
            del mutant[a:]
        elif kind == 1:
            del mutant[a : min(b, a + 64)]
        elif kind == 2:
            mutant[a:a] = mutant[a : min(b, a + 64)]
        elif kind == 3:
            at = rng.integers(len(mutant) + 1)
            mutant[at : at + min(b - a, 64)] = mutant[a : min(b, a + 64)]
        elif kind == 4:
            mutant[a : a + 8] = int(rng.choice([0, 1, 255, 2**31, 2**40])).to_bytes(8, "little")
        elif mutant:
            mutant = bytearray(flip(bytes(mutant), rng))
        if not mutant:
            break
    return bytes(mutant)


def change_value(text: bytes, rng: np.random.Generator) -> bytes:
    """Change a random value of a JSON text."""
    value = json.loads(text)
    places: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        node = todo.pop()
        if isinstance(node, dict | list):
            keys = list(node) if isinstance(node, dict) else range(len(node))
            places += [(node, key) for key in keys]
            todo += [node[key] for key in keys]
    for _ in range(rng.integers(1, 3)):
        node, key = places[rng.integers(len(places))]
        if rng.random() < 0.5:
            new = HOSTILE[rng.integers(len(HOSTILE))]
        else:
            other, place = places[rng.integers(len(places))]
            new = other[place] if place in other or isinstance(other, list) else None
        if isinstance(node, dict) and rng.random() < 0.1:
            node.pop(key, None)
        elif isinstance(node, dict) or key < len(node):
            node[key] = copy.deepcopy(new)
    return json.dumps(value).encode()


def change_inside(data: bytes, rng: np.random.Generator) -> bytes:
    """Change contents and correct the checksums."""
    change = [flip, havoc][rng.integers(2)]
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            members = {name: opened.read(name) for name in opened.namelist()}
        name = sorted(members)[rng.integers(len(members))]
        if name.endswith(".json") and rng.random() < 0.8:
            change = change_value
        members[name] = change(members[name], rng)
        return tinynet_files.zipped(members)
    if b"__metadata__" in data[:40]:
        header, contents = tinynet_files.parts_of_version_2(*tinynet_files.unpack(data))
        about, kind = header["__metadata__"], rng.integers(4)
        if kind == 0:
            contents = change(contents, rng)
        elif kind == 1:
            changed = json.loads(change_value(json.dumps(header).encode(), rng))
            header = {"__metadata__": about, **changed} if rng.random() < 0.8 else changed
        elif kind == 2:
            changed = change(json.dumps(header).encode(), rng)
            return tinynet_files.safetensors(changed, contents)
        else:
            name = ["arrays", "model", "run"][rng.integers(3)]
            about[name] = change_value(about[name].encode(), rng).decode()
        return tinynet_files.safetensors(header, contents)
    import h5py

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        name = ["model_config", "training_config"][rng.integers(2)]
        text = change_value(file.attrs[name].encode(), rng).decode()
        del file.attrs[name], file.attrs[f"{name}_tinynet_crc32"]
        hdf5.put_text(file, name, text)
    return buffer.getvalue()


def mutate(data: bytes, seed: int, number: int) -> tuple[bytes, bool]:
    """Return a mutant, and whether it differs from the file by a single bit."""
    rng = np.random.default_rng([seed, number])
    kind = number % 4
    if kind == 0:
        return flip(data, rng), True
    return (havoc if kind == 1 else change_inside)(data, rng), False


def judge(path: Path, model: tinynet.Sequential, one_bit: bool) -> str:
    """Load a mutant and return "rejected", "harmless" or "valid".

    Raise AssertionError if the result violates the rules above.
    """
    try:
        loaded = tinynet.saving.load_model(path)
    except ValueError as error:
        message = str(error)
        if "Received: " not in message or "allow_pickle" in message:
            raise AssertionError(message) from error
        return "rejected"
    if one_bit:
        assert loaded.to_json() == model.to_json()
        assert models.bits(loaded) == models.bits(model)
        return "harmless"
    loaded.to_json()
    if loaded.built:
        assert loaded.count_params() < 10_000
        shapes = map_shapes(lambda s: (2, *(n or 5 for n in s[1:])), loaded.input_shape)
        shapes = shapes if isinstance(shapes, list) else [shapes]
        if sum(map(np.prod, shapes)) < 20_000:
            loaded.predict([*map(np.zeros, shapes)] if len(shapes) > 1 else np.zeros(shapes[0]))
    return "valid"


def work(name: str, seed: int, numbers: range, folder: Path) -> Counter[str]:
    """Test mutants, recording the number of the current one for the parent process."""
    file = folder / f"net{FORMATS[name]}"
    originals: list[tuple[Any, bytes]] = []
    for model in (original(), graph()):
        model.save(file)
        data = file.read_bytes()
        if name == "zip":
            data = tinynet_files.version_1(*tinynet_files.unpack(data))
        originals.append((model, data))
    with Path("/proc/self/statm").open() as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), resource.RLIM_INFINITY))
    counts: Counter[str] = Counter()
    for number in numbers:
        (folder / "number").write_text(str(number))
        model, data = originals[number // 4 % 2]
        mutant, one_bit = mutate(data, seed, number)
        file.write_bytes(mutant)
        signal.setitimer(signal.ITIMER_PROF, 10)  # limits CPU time, whatever other processes do
        counts[judge(file, model, one_bit)] += 1
        signal.setitimer(signal.ITIMER_PROF, 0)
    return counts


def main() -> int:
    """Test mutants in child processes; return 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=10_000, help="number of mutants per format")
    parser.add_argument("--format", choices=[*FORMATS, "all"], default="all", help="file format")
    parser.add_argument("--seed", type=int, default=0, help="seed of the mutations")
    parser.add_argument("--start", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--child", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        warnings.simplefilter("ignore")
        numbers = range(options.start, options.start + options.mutants)
        counts = work(options.format, options.seed, numbers, Path(options.child))
        print(json.dumps(counts))
        return 0
    failed = 0
    for name in FORMATS if options.format == "all" else [options.format]:
        start, counts, began = options.start, Counter[str](), time.monotonic()
        end = start + options.mutants
        with tempfile.TemporaryDirectory() as folder:
            while start < end:
                count = min(10_000, end - start)
                arguments = {"format": name, "mutants": count, "start": start}
                arguments |= {"seed": options.seed, "child": folder}
                command = [sys.executable, "-m", "tests.fuzz_files"]
                command += [f"--{key}={value}" for key, value in arguments.items()]
                at = Path(folder) / "number"
                at.unlink(missing_ok=True)
                run = subprocess.run(command, capture_output=True, text=True)
                if run.returncode and not at.exists():  # the child did not start
                    sys.stderr.write(run.stderr)
                    return 2
                if run.returncode == 0:
                    counts.update(json.loads(run.stdout))
                    start += count
                else:
                    number = int(at.read_text())
                    failed += 1
                    print(f"{name}: mutant {number} of seed {options.seed} failed:")
                    print(f"exit code {run.returncode}\n{run.stderr[-2000:]}", flush=True)
                    start = number + 1
        listed = ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))
        seconds = time.monotonic() - began
        print(f"{name}: {options.mutants:,} mutants, {listed}; {seconds:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
