"""The committed corpus: ``tests/corpus/FORMAT.zip``, with files that together reach much code.

``python -m tests.fuzz.corpus`` selects them from the corpora of runs of the fuzzer.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from tests.fuzz import FORMATS

CORPUS = Path(__file__).parents[1] / "corpus"
#: Maximum size of each archive in bytes.
MOST = 30_000


def read(name: str) -> dict[str, bytes]:
    """Return the files of a format by name."""
    path = CORPUS / f"{name}.zip"
    if not path.exists():
        return {}
    with zipfile.ZipFile(path) as archive:
        return {member: archive.read(member) for member in archive.namelist()}


def write(name: str, files: list[bytes]) -> int:
    """Write the archive of a format with as many files as fit; return their number."""
    CORPUS.mkdir(exist_ok=True)
    path, written = CORPUS / f"{name}.zip", 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for data in files:
            if path.stat().st_size + 120 * (written + 1) < MOST:
                archive.writestr(zipfile.ZipInfo(f"{written:03}"), data, zipfile.ZIP_DEFLATED)
                written += 1
    return written


def reached(judge: Any, data: bytes) -> set[Any]:
    """Return the pairs of consecutive lines of tinynet that an input executes."""
    found = set()

    def trace(frame: Any, event: str, arg: Any) -> Any:
        path, last = frame.f_code.co_filename, frame.f_lineno
        if "/tinynet/" not in path:
            return None

        def line(frame: Any, event: str, arg: Any) -> Any:
            nonlocal last
            found.add((path, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    sys.settrace(trace)
    try:
        judge(data)
    finally:
        sys.settrace(None)
    return found


def select(files: dict[bytes, set[Any]]) -> list[bytes]:
    """Return files that reach all that files reach, those that reach much per byte first."""
    left, chosen = set[Any]().union(*files.values()), []
    while left:
        best = max(files, key=lambda data: len(files[data] & left) / (100 + len(data)))
        left -= files[best]
        chosen.append(best)
    return chosen


def main() -> None:
    """Select the files of each format."""
    from tests.fuzz import engine

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"), help="folder of the runs")
    options = parser.parse_args()
    for name in FORMATS:
        with tempfile.TemporaryDirectory() as place:
            judge = engine.prepared(name, Path(place))
            folder = options.folder / "corpus" / name
            found = [path.read_bytes() for path in sorted(folder.glob("*"))]
            files = {data: reached(judge, data) for data in [*read(name).values(), *found]}
        chosen = select(files)
        print(f"{name}: {write(name, chosen)} of {len(chosen)} of {len(files)} files", flush=True)


if __name__ == "__main__":
    main()
