"""Build the wheel and the sdist reproducibly: ``python .ci/dist.py [FOLDER]``.

The same sources give bit-identical files in ``dist/``, or in the given folder. In a git repository,
the sources are those of the last commit, with its date; elsewhere, they are the files of the
folder, with the date 1980-01-01, the first that zip files can represent. ``SOURCE_DATE_EPOCH`` sets
another date. Nothing is downloaded: setuptools must be installed.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Generated files, also those of the documentation (``docs/api``, ``docs/course``).
NOT_DISTRIBUTED = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "output", "*.egg-info", "__pycache__", ".*_cache",
    ".hypothesis", ".benchmarks", ".ipynb_checkpoints", "_build", "api", "course",
)  # fmt: skip


def git(*arguments: str) -> str:
    """Return the output of a git command in the repository."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().strip()


def copy_sources(folder: Path) -> int:
    """Copy the sources to a new folder, and return their date in seconds since 1970."""
    if (ROOT / ".git").exists():
        archive = folder.with_suffix(".tar")
        git("archive", f"--output={archive}", "HEAD")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        print(f"Building the commit {git('log', '-1', '--format=%h %s')}", flush=True)
        return int(git("log", "-1", "--format=%ct"))
    shutil.copytree(ROOT, folder, ignore=NOT_DISTRIBUTED)
    return 315532800


def build(kind: str, source: Path, out: Path) -> Path:
    """Build a distribution with setuptools into a new folder, and return its path."""
    program = f"import setuptools.build_meta as b; b.build_{kind}({str(out)!r})"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(done.stdout)
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
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist")
    out.mkdir(parents=True, exist_ok=True)
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        date = copy_sources(folder / "source")
        date = int(os.environ.setdefault("SOURCE_DATE_EPOCH", str(date)))
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
