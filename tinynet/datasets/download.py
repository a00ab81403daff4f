"""Search, verification, download and caching of the files of MNIST-like datasets.

A `Source` describes a dataset. Files that tinynet or Keras downloaded must be bit-identical to the
published ones (SHA-256). Files given by the user may be custom, so only their format is checked:
sizes, counts, labels, and the checksums of gzip and zip.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tinynet._core.atomic_files import write_atomically
from tinynet._core.cache_folder import cache_folder
from tinynet._core.checks import require
from tinynet.datasets.idx_format import IDX_FILES, LARGEST, Dataset, naming, parse

__all__ = ["Source", "load"]

_CONNECT_SECONDS = 8.0  # timeout per mirror; three mirrors take less than 30 s
_STALL_SECONDS = 8.0  # timeout of a stalled download


class Source(NamedTuple):
    """Description of a dataset."""

    name: str  # name of its folder
    title: str  # name in messages
    keras: str  # location in Keras' ``datasets`` folder: an ``.npz`` file or a folder
    sha256: Mapping[str, str]  # checksums of the published files
    downloads: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]  # alternatives: files, mirrors


def load(source: Source, path: str | os.PathLike[str] | None = None) -> Dataset:
    """Load a dataset from `path`, or from the first location of the search order that has it."""
    if path is not None:
        place = Path(path)
        allowed = f"an .npz file or a folder with {', '.join(IDX_FILES)} (with or without .gz)"
        expected, received = f"path must be {allowed}, and must exist", f"path={os.fspath(path)!r}"
        require(place.exists(), expected, received, FileNotFoundError)
        below = place / source.name
        return _read(below if below.is_dir() else place, source, published=False)
    folder, damaged = os.environ.get("TINYNET_DATA"), []
    tried = [] if folder else ["$TINYNET_DATA: not set"]
    keras = Path(os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras"), "datasets")
    cache = cache_folder() / source.name
    places = [("", keras / source.keras), ("", cache)]
    if folder:
        places.insert(0, ("$TINYNET_DATA: ", Path(os.path.expanduser(folder), source.name)))
    for own, place in places:
        try:
            return _read(place, source, published=not own)
        except OSError as error:
            tried.append(f"{own}{error}")
        except ValueError as error:
            if own:
                raise
            damaged.append(str(error))
    if source.downloads:
        print(f"{source.title} was not found; trying to download it", file=sys.stderr)
    for names, mirrors in source.downloads:
        with contextlib.suppress(FileNotFoundError):
            fetched = {name: _fetch(cache / name, mirrors, source, tried) for name in names}
            return parse({str(cache / name): data for name, data in fetched.items()})
    files = [f"Files: {', '.join(names)}" for names, _ in source.downloads]
    where = (
        f"{source.title} was not found and could not be downloaded. Put its files into {cache},\n"
        f"or set TINYNET_DATA to a folder that contains them in a folder named {source.name}."
    )
    listed = "\n- ".join([where, *files, *tried])
    if damaged:
        damaged.append(listed)
        raise ValueError(" ".join(damaged))
    raise FileNotFoundError(listed)


def _read(place: Path, source: Source, *, published: bool) -> Dataset:
    """Read a dataset from a file or folder; if `published`, accept only the published files."""
    paths = [place]
    if place.is_dir():
        present = {name for name in os.listdir(place) if not published or name in source.sha256}
        # Prefer the published file to the decompressed one.
        found = [{name, name.removesuffix(".gz")} & present for name in IDX_FILES]
        if all(found):
            paths = [place / max(names, key=len) for names in found]
        elif (packed := f"{source.name}.npz") in present:
            paths = [place / packed]
        else:
            missing = [name for name, names in zip(IDX_FILES, found, strict=True) if not names]
            raise FileNotFoundError(f"{place} does not contain {', '.join(missing)}")
    elif not place.is_file():
        raise FileNotFoundError(f"{place}: no such file or folder")
    sums = source.sha256 if published else {}
    return parse({str(path): _contents(path, sums.get(path.name)) for path in paths})


def _contents(path: Path, sha256: str | None) -> bytes:
    """Return the contents of a file, after verifying the checksum unless it is None."""
    with naming(str(path)):
        size = path.stat().st_size
        require(size <= LARGEST, f"the file must have at most {LARGEST} bytes", f"{size} bytes")
        data = path.read_bytes()
        if sha256:
            _compare(data, sha256)
        return data


def _compare(data: bytes, sha256: str) -> None:
    import hashlib

    received = hashlib.sha256(data).hexdigest()
    require(received == sha256, f"the SHA-256 must be {sha256}", f"{received}, {len(data)} bytes")


def _fetch(path: Path, mirrors: tuple[str, ...], source: Source, tried: list[str]) -> bytes:
    """Return a published file from the cache, or download it from a mirror and cache it."""
    from http.client import HTTPException

    with contextlib.suppress(OSError, ValueError):
        return _contents(path, source.sha256[path.name])
    for mirror in mirrors:
        try:
            data = _download(mirror + path.name)
            _compare(data, source.sha256[path.name])
        except (OSError, HTTPException, ValueError) as error:
            tried.append(f"{mirror}{path.name}: {error}")
            continue
        _keep(path, data)
        return data
    raise FileNotFoundError(path)


def _keep(path: Path, data: bytes) -> None:
    """Write a downloaded file to the cache; a failure is only reported."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write(data))
    except OSError as error:
        print(f"{path.name} could not be cached: {error}", file=sys.stderr)


def _download(url: str) -> bytes:
    """Return the contents of ``url``; progress is written to stderr, as a bar in a terminal."""
    received = bytearray()
    with _connect(url) as response:
        total = int(response.headers.get("Content-Length", 0))
        bar = bool(total) and sys.stderr is not None and sys.stderr.isatty()
        print(f"Downloading {url} ({total / 1e6:.1f} MB)", file=sys.stderr)
        try:
            while chunk := response.read(1 << 16):
                received += chunk
                expected = f"the file must have at most {LARGEST} bytes"
                require(len(received) <= LARGEST, expected, f"more than {LARGEST} bytes")
                if bar:
                    done = min(len(received) / total, 1.0)
                    text = f"\r[{'=' * int(30 * done):30}] {done:4.0%}"
                    print(text, end="", file=sys.stderr, flush=True)
        finally:
            if bar:
                print(file=sys.stderr)
    if len(received) < total:
        raise ConnectionError(f"the file must have {total} bytes. Received: {len(received)} bytes")
    return bytes(received)


def _connect(url: str) -> Any:
    """Open ``url`` with a timeout; the timeout of urlopen does not cover DNS and retries."""
    import threading
    import urllib.error
    import urllib.request
    from concurrent import futures
    from http.client import HTTPException

    answer: futures.Future[Any] = futures.Future()

    def ask() -> None:
        try:
            answer.set_result(urllib.request.urlopen(url, timeout=_STALL_SECONDS))
        except (OSError, HTTPException, ValueError) as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(timeout=_CONNECT_SECONDS)
    except futures.TimeoutError:
        raise TimeoutError(f"no response within {_CONNECT_SECONDS:g} s") from None
    except urllib.error.HTTPError as error:  # the exception is also an open response
        error.close()
        raise
