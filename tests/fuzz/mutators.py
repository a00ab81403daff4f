"""Mutations of files that get past length fields and checksums, as an attacker would.

A mutator takes a file, a random generator and a function `havoc` that changes bytes anywhere:
libFuzzer's own mutations, or `overwrite` if Atheris is not installed.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gzip
import inspect
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from tests import tinynet_files

Havoc = Callable[[bytes], bytes]
Mutator = Callable[[bytes, random.Random, Havoc], bytes]
HOSTILE = [
    None, True, -1, 0, 3, 10**9, 2**63, 10**40, 1e308, float("nan"), float("inf"), "", "relu",
    "x" * 1000, "../../etc/passwd", "Lambda", "Dense", [], {}, [None], [None, 10**9], [[]],
    {"class_name": "Dense"}, {"class_name": "Lambda", "config": {}},
]  # fmt: skip
#: Arguments of layers, losses, optimizers etc.
VALUES = [
    None, True, False, 0, 1, 2, -1, 0.0, 0.5, 1e-7, "relu", "softmax", "sum", "float64", "int32",
    [1], [2, 1], [1, 2], [0.5, 1.0], [None, 2], "zeros", "l2", "mse", "accuracy", {"l2": 0.1},
]  # fmt: skip
NUMBERS = [0, 1, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63]


def flip(data: bytes, rng: random.Random) -> bytes:
    """Flip one bit."""
    mutant = bytearray(data)
    mutant[rng.randrange(len(mutant))] ^= 1 << rng.randrange(8)
    return bytes(mutant)


def overwrite(data: bytes, rng: random.Random) -> bytes:
    """Remove, exchange, repeat or overwrite parts."""
    mutant = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        a, b = sorted(rng.choices(range(len(mutant) + 1), k=2))
        kind, short = rng.randrange(6), min(b, a + 64)
        if kind == 0 and a:
            del mutant[a:]
        elif kind == 1:
            del mutant[a:short]
        elif kind == 2:
            mutant[a:a] = mutant[a:short]
        elif kind == 3:
            at = rng.randrange(len(mutant) + 1)
            mutant[at : at + short - a] = mutant[a:short]
        elif kind == 4:
            mutant[a : a + 8] = rng.choice(NUMBERS).to_bytes(8, "little")
        elif mutant:
            mutant = bytearray(flip(bytes(mutant), rng))
    return bytes(mutant)


@functools.cache
def classes() -> list[tuple[str, str, list[tuple[str, bool]]]]:
    """Return the module, name and arguments of each class that configurations can name.

    An argument is a name, and whether it is required.
    """
    from tests.internals import readers

    found = []
    for module, name, cls in readers.classes():
        given = inspect.signature(cls).parameters.values()
        names = [(p.name, p.default is p.empty) for p in given if p.kind.value != p.VAR_KEYWORD]
        found.append((module, name, names))
    return found


def described(rng: random.Random, module: Any = None) -> dict[str, Any]:
    """Return the configuration of a random object, from a module if it has classes."""
    known = [each for each in classes() if each[0] == module] or classes()
    place, name, arguments = rng.choice(known)
    config = {key: rng.choice(VALUES) for key, need in arguments if need or rng.random() < 0.15}
    return {"module": place, "class_name": name, "config": config, "registered_name": None}


def places_of(value: Any) -> list[tuple[Any, Any]]:
    """Return the container and the key of each value inside a JSON value."""
    places: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        node = todo.pop()
        if isinstance(node, dict | list):
            keys = list(node) if isinstance(node, dict) else range(len(node))
            places += [(node, key) for key in keys]
            todo += [node[key] for key in keys]
    return places


def json_value(text: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change random values of a JSON text; sometimes, its characters."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return havoc(text)
    places = places_of(value)
    if not places or rng.random() < 0.1:
        return havoc(text)
    for _ in range(rng.randrange(1, 4)):
        node, key = rng.choice(places)
        if (isinstance(node, list) and key >= len(node)) or (
            isinstance(node, dict) and key not in node
        ):
            continue  # removed before
        old, kind = node[key], rng.random()
        is_object = isinstance(old, dict) and "class_name" in old
        if kind < 0.1:
            del node[key]
        elif kind < 0.2 and isinstance(node, list):
            node.insert(key, copy.deepcopy(old))
        elif kind < 0.5 and is_object:
            node[key] = described(rng, old.get("module") if rng.random() < 0.9 else None)
        elif kind < 0.6 and type(old) in (int, float):
            node[key] = old + rng.choice([-1, 1])
        elif kind < 0.8:
            other, place = rng.choice(places)
            fits = place in other if isinstance(other, dict) else place < len(other)
            node[key] = copy.deepcopy(other[place]) if fits else None
        else:
            node[key] = copy.deepcopy(rng.choice(rng.choice([HOSTILE, VALUES])))
    try:
        return json.dumps(value).encode()
    except (ValueError, RecursionError):  # a part of the value was put into itself
        return text


def members_of(data: bytes) -> dict[str, bytes]:
    """Return the members of a zip archive; an empty dict if it is damaged."""
    damage = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
    with contextlib.suppress(*damage), zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) < 1 << 20:
            return {info.filename: archive.read(info) for info in infos}
    return {}


def zip_member(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change a member of a zip archive, or the list of members, and correct the checksums."""
    members = members_of(data)
    if not members or rng.random() < 0.2:
        return havoc(data)
    name = rng.choice(sorted(members))
    kind = rng.randrange(12)
    if kind == 0:
        del members[name]
    elif kind == 1:
        new = havoc(name.encode()).decode("latin1").partition("\0")[0]  # zipfile ends names at NUL
        members[new] = members.pop(name)
    elif kind == 2:
        members[name] = members[rng.choice(sorted(members))]
    else:
        members[name] = part(name, members[name], rng, havoc)
    stored = rng.random() < 0.8
    return tinynet_files.zipped(members, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)


def part(name: str, contents: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change a file in an archive."""
    if name.endswith(".json"):
        return json_value(contents, rng, havoc)
    if name.endswith(".npy") and rng.random() < 0.8:
        return npy(contents, rng, havoc)
    return (hdf5 if name.endswith(".h5") else blind)(contents, rng, havoc)


def blind(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change bytes anywhere."""
    return havoc(data)


def npy(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change the header or the values of an array, and correct the length of the header."""
    length = int.from_bytes(data[8:10], "little")
    header, values = data[10 : 10 + length], data[10 + length :]
    kind = rng.randrange(4)
    if kind == 0:
        header = havoc(header)
    elif kind == 1:
        values = havoc(values)
    elif kind == 2:  # another number or word of the header
        words = [*re.finditer(rb"\d+|\w+|[(){}',]", header)] or [re.match(b"", header)]
        found: Any = rng.choice(words)
        new = rng.choice([b"0", b"1", b"28", b"4294967296", b"True", b"-1", b"L", b"(", b"[]", b""])
        header = header[: found.start()] + new + header[found.end() :]
    else:
        shape = rng.choice([b"(1, 28, 28)", b"(2, 28, 28)", b"(1,)", b"(2,)", b"(0,)", b"()"])
        header = re.sub(rb"\([^)]*\)", shape, header, count=1)
        values = bytes(rng.choice([1, 2, 784, 1568]))
    return data[:8] + min(len(header), 65535).to_bytes(2, "little") + header + values


def idx(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change an IDX file inside its compression; sometimes, sizes together with the values."""
    packed, plain = data.startswith(b"\x1f\x8b"), data
    if packed:
        try:
            plain = zlib.decompressobj(31).decompress(data, 1 << 16)
        except zlib.error:
            return havoc(data)
    kind = rng.randrange(6)
    if kind == 0:
        return havoc(data)
    if kind < 3:
        plain = havoc(plain)
    elif kind == 3:
        at = 4 * rng.randrange(1, 4)
        plain = plain[:at] + (rng.choice(NUMBERS) % 2**32).to_bytes(4, "big") + plain[at + 4 :]
    elif kind == 4:
        shape = rng.choice([(1,), (2,), (3,), (1, 28, 28), (2, 28, 28), (2, 28, 27)])
        count = 1
        for size in shape:
            count *= size
        plain = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
        plain += bytes(rng.choice([0, 1, 9, 10]) for _ in range(min(count, 4))) * (count // 2)
        plain = (plain + bytes(count))[: 4 + 4 * len(shape) + count]
    else:
        packed = not packed
    return gzip.compress(plain, 1, mtime=0) if packed else plain


# ------------------------------------------------------------ PNG

CHUNKS = [
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT"),
    *(b"pHYs", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"IdOT", b"tIME"),
]
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, contents: bytes) -> bytes:
    """Return a PNG chunk with a valid checksum."""
    checksum = zlib.crc32(kind + contents).to_bytes(4, "big")
    return len(contents).to_bytes(4, "big") + kind + contents + checksum


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the types and contents of PNG chunks."""
    at, found = 8, []
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def png(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change the chunks of a PNG file, or the pixels inside their compression."""
    chunks = chunks_of(data)
    if not chunks or rng.random() < 0.1:
        return havoc(data)
    i, kind = rng.randrange(len(chunks)), rng.randrange(10)
    name, contents = chunks[i]
    if kind == 0:
        del chunks[i]
    elif kind == 1:
        chunks.insert(rng.randrange(len(chunks) + 1), chunks[i])
    elif kind == 2:
        j = rng.randrange(len(chunks))
        chunks[i], chunks[j] = chunks[j], chunks[i]
    elif kind == 3:
        chunks.insert(i, (rng.choice(CHUNKS), havoc(contents[:64] or b"x")))
    elif kind == 4:
        chunks[i] = (rng.choice(CHUNKS), contents)
    elif kind == 5:  # width, height, bits, color, compression, filter, interlacing
        sizes = [1, 2, 5, 28, 100, 8000, 2**31 - 1]
        header = [rng.choice(sizes), rng.choice(sizes), rng.choice([1, 2, 4, 8, 16])]
        header += [rng.choice([0, 2, 3, 4, 6]), 0, 0, rng.randrange(2)]
        chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", *header))
    elif kind == 6 and name == b"IDAT":
        try:
            pixels = zlib.decompressobj().decompress(contents, 1 << 16)
        except zlib.error:
            pixels = contents
        chunks[i] = (name, zlib.compress(havoc(pixels), 1))
    else:
        chunks[i] = (name, havoc(contents))
    return data[:8] + b"".join(chunk(*each) for each in chunks)


# ------------------------------------------------------------ CSV

CELLS = [
    *("epoch", "loss", "val_loss", "NA", "0", "1e400", "nan", '"', '""', ",", ";", "\t", "\n"),
    *("\r\n", "\r", "\0", "\ufeff", "\ud7ff", " ", '"[1, 2]"', "x" * 2000),
]


def csv(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change bytes, or insert or remove cells."""
    if rng.random() < 0.4:
        return havoc(data)
    at = rng.choice([0, len(data), *(m.start() for m in re.finditer(rb"[,\n]", data))])
    end = at + rng.choice([0, 0, 1, 5])
    return data[:at] + rng.choice(CELLS).encode() * rng.choice([1, 1, 1, 2, 70]) + data[end:]


# ------------------------------------------------------------ models


def safetensors(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change the header, a text of its metadata or the arrays, and correct the checksum."""
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8:start])
        about = header["__metadata__"]
        about["sha256"] = tinynet_files.ZEROS
    except (ValueError, KeyError, TypeError, RecursionError):
        return havoc(data)
    contents, kind = data[start:], rng.randrange(10)
    if kind == 0:
        return havoc(data)
    if kind == 1:
        contents = havoc(contents)
    elif kind < 4:
        changed = json.loads(json_value(json.dumps(header).encode(), rng, lambda text: text))
        header = {"__metadata__": about, **changed} if rng.random() < 0.8 else changed
    elif kind == 4:
        changed = havoc(json.dumps(header).encode())
        return tinynet_files.safetensors(changed, contents)
    else:
        name = rng.choice(["arrays", "model", "model", "model", "run"])
        if isinstance(about.get(name), str):
            text = about[name].encode("utf-8", "replace")
            about[name] = json_value(text, rng, havoc).decode("utf-8", "replace")
    return tinynet_files.safetensors(header, contents)


def hdf5(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change bytes, or values of a configuration, which keeps its length, and its checksum."""
    texts = [*re.finditer(rb'\{"[ -~]{20,}\}', data)]
    if not texts or rng.random() < 0.4:
        return havoc(data)
    found = rng.choice(texts)
    old = found[0]
    for _ in range(4):
        new = json_value(old, rng, havoc)
        if len(new) <= len(old):
            new = new.ljust(len(old))
            data = data[: found.start()] + new + data[found.end() :]
            sums = [zlib.crc32(text, zlib.crc32(b"/")).to_bytes(4, "little") for text in (old, new)]
            return data.replace(*sums, 1)
    return havoc(data)
