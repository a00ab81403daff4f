"""Build the wheel and the sdist reproducibly: ``python .ci/dist.py [FOLDER]``.

The same sources give bit-identical files in ``dist/``, or in the given folder. In a git repository,
the sources are those of the last commit, with its date; elsewhere, they are the files of the
folder, with the date 1980-01-01, the first that zip files can represent. ``SOURCE_DATE_EPOCH`` sets
another date. Nothing is downloaded: setuptools must be installed.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def not_distributed(folder: str, names: list[str]) -> list[str]:
    """Return the generated files and folders in a folder: those of `.gitignore`, and git's own.

    Patterns with a folder, such as ``docs/api/``, are relative to the repository; other patterns,
    such as ``*.py[cod]``, apply to names in all folders. Negated patterns and ``**`` are not used.
    """
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    patterns = [".git", *(line.rstrip("/") for line in lines)]
    inside = Path(folder).relative_to(ROOT)
    return [
        name
        for name in names
        for pattern in patterns
        if fnmatchcase((inside / name).as_posix() if "/" in pattern else name, pattern.lstrip("/"))
    ]


def git(*arguments: str) -> str:
    """Return the output of a git command in the repository, regardless of the user's settings."""
    settings = ["-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", "tar.umask=0022"]
    done = run(["git", *settings, *arguments], ROOT)
    return done.stdout.strip()


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command; exit with its message if it fails."""
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        done = subprocess.run(command, cwd=folder, text=True, **options)
    except FileNotFoundError:
        sys.exit(f"make: {command[0]} was not found")
    if done.returncode:
        sys.exit(f"make: {' '.join(command)} failed:\n{done.stdout}")
    return done


def copy_sources(folder: Path) -> int:
    """Copy the sources to a new folder, and return their date in seconds since 1970."""
    if (ROOT / ".git").exists():
        archive = folder.with_suffix(".tar")
        git("archive", f"--output={archive}", "HEAD")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        print(f"Building the commit {git('log', '-1', '--format=%h %s')}", flush=True)
        if git("status", "--porcelain"):
            print("Uncommitted changes are not included", flush=True)
        return int(git("log", "-1", "--format=%ct"))
    shutil.copytree(ROOT, folder, symlinks=True, ignore=not_distributed)
    return 315532800


def build(kind: str, source: Path, out: Path) -> Path:
    """Build a distribution with setuptools into a new folder, and return its path."""
    program = f"import setuptools.build_meta as b; b.build_{kind}({str(out)!r})"
    run([sys.executable, "-c", program], source)
    (built,) = out.iterdir()
    return built


def repack(sdist: Path, out: Path, date: int) -> None:
    """Write an sdist again with sorted names, and without times, owners and the umask."""
    with (
        tarfile.open(sdist) as old,
        out.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = date, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)


def main() -> None:
    """Build the sdist, and from its contents the wheel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "dist", metavar="FOLDER")
    out = parser.parse_args().folder
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given and not given.isdecimal():
        sys.exit(f"make: SOURCE_DATE_EPOCH must be a number of seconds. Received: {given!r}")
    out.mkdir(parents=True, exist_ok=True)
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        date = copy_sources(folder / "source")
        date = int(given or date)
        os.environ["SOURCE_DATE_EPOCH"] = str(date)
        sdist = build("sdist", folder / "source", folder / "sdist")
        repack(sdist, out / sdist.name, date)
        with tarfile.open(out / sdist.name) as tar:
            tar.extractall(folder / "unpacked", filter="data")
        wheel = build("wheel", next((folder / "unpacked").iterdir()), folder / "wheel")
        shutil.copyfile(wheel, out / wheel.name)
    for name in (sdist.name, wheel.name):
        print(out / name)


if __name__ == "__main__":
    main()
