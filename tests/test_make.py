"""``make`` creates ``.venv``, reports errors in one line, and recovers from a failed attempt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import mostly_wide

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    os.name != "posix" or shutil.which("make") is None, reason="needs make: apt install make"
)

# A mock pip that records its arguments, and may fail once.
PIP = """
import os, sys
if os.environ.get("PIP_FAILS") == "interrupted":
    os.kill(os.getpid(), 2)
if os.environ.get("PIP_FAILS") == "no network":
    sys.exit("ERROR: No matching distribution found for numpy")
with open("pip.log", "a") as file:
    print(*sys.argv[1:], file=file)
"""
# A mock Python that creates environments with the mock pip, or fails like real ones.
PYTHON = """#!/bin/sh
case $* in
    *version_info*) echo ${VERSION:-3.12} ;;
    "-m venv"*)
        "%(python)s" -m venv --without-pip .venv
        if [ -n "${NO_VENV:-}" ]; then
            printf 'Not created because ensurepip is not\\navailable.\\n\\nFailing command\\n'
            exit 1
        fi
        if [ -n "${FULL:-}" ]; then echo 'OSError: [Errno 28] No space left on device'; exit 1; fi
        cp -R stub/pip .venv/lib/python*/site-packages/
        ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a checkout with spaces in its path, whose program only reports that it ran."""
    place = tmp_path / "a clone"
    shutil.copytree(ROOT / ".ci", place / ".ci")
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, place)
    for name, source in (
        ("tinynet/__main__.py", "print('trained')"),
        ("tests/parity/__main__.py", "print('compared')"),
        ("stub/pip/__main__.py", PIP),
        ("stub/pip/__init__.py", ""),
        ("stub/pip/_internal/__init__.py", ""),
        ("stub/pip/_internal/commands/__init__.py", ""),
        ("stub/pip/_internal/commands/install.py", ""),
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(source, encoding="utf-8")
    (place / "fake").write_text(PYTHON % {"python": sys.executable}, encoding="utf-8")
    (place / "fake").chmod(0o755)
    return place


def make(folder: Path, target: str = "train", **environment: str) -> tuple[list[str], list[str]]:
    """Run make; return the lines of standard output and standard error."""
    # Environment variables set by an outer `make` would affect this one.
    outer = ("PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
    inherited = {k: v for k, v in os.environ.items() if k not in outer}
    # Environments report the Python version that runs the tests.
    own = {"PYTHON": "./fake", "VERSION": "{}.{}".format(*sys.version_info), "LC_ALL": "C"}
    done = subprocess.run(
        ["make", target],
        cwd=folder,
        env={**inherited, **own, **environment},
        capture_output=True,
        text=True,
    )
    errors = [line for line in done.stderr.splitlines() if not line.startswith("make: *** ")]
    return done.stdout.splitlines(), errors


def pip_calls(folder: Path) -> list[str]:
    log = folder / "pip.log"
    return log.read_text().splitlines() if log.exists() else []


def test_make_installs_once(folder: Path) -> None:
    output, errors = make(folder)
    assert errors == []
    assert output[0].startswith("Creating .venv with ./fake")
    assert output[1].startswith("Installing tinynet into .venv, and numpy, numba, matplotlib, h5py")
    assert output[-1] == "trained"
    output, _ = make(folder)
    assert output == [".venv/bin/python -m tinynet train", "trained"]
    assert [line.split()[-1] for line in pip_calls(folder)] == ["."]


@pytest.mark.wide
def test_make_installs_again_after_a_change(folder: Path) -> None:
    make(folder)
    later = (folder / ".venv" / "installed").stat().st_mtime + 5
    os.utime(folder / "setup.cfg", (later, later))
    output, _ = make(folder)
    assert output[0].startswith("Installing tinynet")
    assert len(pip_calls(folder)) == 2


@pytest.mark.wide
def test_train_after_test_installs_nothing(folder: Path) -> None:
    make(folder, "test")
    assert pip_calls(folder)[0].endswith("--editable .[test]")
    output, _ = make(folder)
    assert output == [".venv/bin/python -m tinynet train", "trained"]


@pytest.mark.wide
def test_make_parity_installs_keras(folder: Path) -> None:
    output, errors = make(folder, "parity")
    assert (output[-1], errors) == ("compared", [])
    assert output[1].startswith("Installing tinynet into .venv, and Keras on TensorFlow and on JAX")
    assert pip_calls(folder)[0].endswith("--editable .[parity]")


NEWER = "tinynet requires Python 3.10 or newer; install it, or select it: make PYTHON=python3.12"
MISSING = {
    "venv": ({"NO_VENV": "1"}, r"./fake lacks venv or pip; install them (Debian, Ubuntu: sudo "),
    "space": ({"FULL": "1"}, "./fake could not create .venv: OSError: [Errno 28] No space left"),
    "3.10": ({"VERSION": "3.9"}, f"{NEWER}. Received: ./fake, which is Python 3.9"),
    "3": ({"VERSION": "2.7"}, f"{NEWER}. Received: ./fake, which is Python 2.7"),
    "Python": ({"PYTHON": "./no"}, f"{NEWER}. Received: ./no, which was not found"),
}


@pytest.mark.parametrize("what", mostly_wide(MISSING, "venv"))
def test_make_reports_missing_requirements(folder: Path, what: str) -> None:
    fault, message = MISSING[what]
    _, errors = make(folder, **fault)
    assert len(errors) == 1
    assert errors[0].startswith(f"make: {message}")
    assert not (folder / ".venv").exists()
    assert make(folder)[0][-1] == "trained"


@pytest.mark.wide
@pytest.mark.parametrize("fault", ["interrupted", "no network"])
def test_make_continues_after_a_failed_pip(folder: Path, fault: str) -> None:
    output, _ = make(folder, PIP_FAILS=fault)
    assert output[-1].startswith("Installing")
    output, errors = make(folder)
    assert (output[0][:10], output[-1], errors) == ("Installing", "trained", [])


@pytest.mark.parametrize(
    "state", mostly_wide(["broken", "another Python", "moved", "file", "half"], "broken")
)
def test_make_replaces_broken_environment(folder: Path, state: str) -> None:
    make(folder)
    environment = folder / ".venv"
    if state == "broken":
        (environment / "bin" / "python").unlink()
        (environment / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    elif state == "another Python":  # its interpreter was uninstalled
        (environment / "bin" / "python").unlink()
        (environment / "bin" / "python").symlink_to("/nowhere/python3.10")
    elif state == "moved":
        folder = folder.rename(folder.with_name("moved"))
    else:
        shutil.rmtree(environment)
        environment.touch() if state == "file" else (environment / "bin").mkdir(parents=True)
    output, errors = make(folder)
    assert output[0].startswith("Creating .venv again with ./fake: it is incomplete, was moved or")
    assert (output[-1], errors) == ("trained", [])


@pytest.mark.wide
def test_make_uses_given_python(folder: Path) -> None:
    make(folder)
    output, _ = make(folder, VERSION="3.99")
    assert output[0].startswith("Creating .venv again with ./fake")


@pytest.mark.wide
def test_make_keeps_working_environment(folder: Path) -> None:
    """The environment was created by the user and contains other packages."""
    make(folder)
    (folder / ".venv" / "installed").unlink()
    (folder / ".venv" / "own").touch()
    output, _ = make(folder)
    assert output[0].startswith("Installing")
    assert (folder / ".venv" / "own").exists()
