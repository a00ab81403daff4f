"""Packaging: name, version, dependencies, and contents of the sdist, wheel and editable install."""

from __future__ import annotations

import configparser
import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

import tinynet

ROOT = Path(__file__).parents[1]
DIST = runpy.run_path(str(ROOT / ".ci" / "dist.py"))
BUILD = "import runpy; runpy.run_path('.ci/dist.py', run_name='__main__')"
build = DIST["build"]


def settings() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg", encoding="utf-8")
    return parsed


def files(folder: Path) -> set[str]:
    """Return the files below a folder, without generated files of Python and setuptools."""
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    made = (".egg-info", "__pycache__", "build/lib")
    return {name for name in found if not any(part in name for part in made)}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the checkout to a folder named like a clone, tinynet."""
    folder = tmp_path_factory.mktemp("above") / "tinynet"
    shutil.copytree(ROOT, folder, ignore=DIST["not_distributed"])
    return folder


def python(program: str, cwd: Path, *arguments: str, umask: int = -1, **environment: str) -> str:
    """Run a program without the PYTHONPATH of the tests, and return its output."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", program, *arguments]
    options: dict[str, Any] = {"env": {**inherited, **environment}, "text": True, "umask": umask}
    done = subprocess.run(command, cwd=cwd, capture_output=True, **options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()


def test_h5py_is_in_the_default_install() -> None:
    """`ModelCheckpoint` writes ``.keras`` files, which must not fail after an epoch."""
    needed = settings()["options"]["install_requires"].split()
    names = "numpy numba matplotlib h5py platformdirs"
    assert [name.split(">=")[0] for name in needed] == names.split()


def test_python_versions_agree() -> None:
    """`.ci/nightly` runs the tests with each version that the classifiers list."""
    nightly = (ROOT / ".ci" / "nightly").read_text(encoding="utf-8")
    (tested,) = re.findall('^pythons="(.*)"$', nightly, re.MULTILINE)
    listed = re.findall(r":: (3\.\d+)", settings()["metadata"]["classifiers"])
    assert tested.split() == listed
    assert settings()["options"]["python_requires"] == f">={listed[0]}"


def test_citation_has_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f'\nversion: "{tinynet.__version__}"\n' in citation


@pytest.mark.parametrize(
    ("folder", "generated"),
    [
        (".", [".git", "build", "a.pyc"]),
        ("docs", ["api", "course", ".git", "a.pyc"]),
        ("tinynet", [".git", "a.pyc"]),
        ("tinynet/docs", [".git", "a.pyc"]),
    ],
)
def test_only_generated_files_are_omitted(folder: str, generated: list[str]) -> None:
    """Like git, ignore ``docs/api/`` and ``/build/`` only there, and ``*.py[cod]`` anywhere."""
    names = ["api", "course", ".git", "build", "a.py", "a.pyc"]
    assert DIST["not_distributed"](str(ROOT / folder), names) == generated


@pytest.mark.slow
def test_editable_install_works_in_parent_folder(clone: Path, tmp_path: Path) -> None:
    """Python would import the clone's folder as a namespace package before it uses import hooks."""
    wheel = build("editable", clone, tmp_path)
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # Hide the tinynet that is installed in the test environment.
    program = (
        "import os, site, sys\n"
        "own = lambda p: p and os.path.isfile(os.path.join(p, 'tinynet', '__init__.py'))\n"
        "sys.path[:] = [p for p in sys.path if not own(p)]\n"
        "hook = lambda f: getattr(f, '__module__', '').startswith('__editable__')\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if not hook(f)]\n"
        f"site.addsitedir({str(site)!r}); import tinynet; print(tinynet.__file__)"
    )
    assert python(program, clone.parent) == str(clone / "tinynet" / "__init__.py")
    assert not list(site.glob("__editable__*.py"))


@pytest.mark.slow
def test_wheel_contains_only_the_package(clone: Path, tmp_path: Path) -> None:
    wheel = build("wheel", clone, tmp_path)
    name = settings()["metadata"]["name"]
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    folders = {path.name for path in (tmp_path / "site").iterdir()}
    (info,) = folders - {"tinynet"}
    assert info.startswith(f"{name.replace('-', '_')}-")
    assert files(tmp_path / "site" / "tinynet") == files(clone / "tinynet")
    metadata = (tmp_path / "site" / info / "METADATA").read_text(encoding="utf-8")
    assert f"Name: {name}\n" in metadata
    program = "import tinynet; print(tinynet.__file__, tinynet.__version__)"
    path, version = python(program, tmp_path / "site").split()
    assert path == str(tmp_path / "site" / "tinynet" / "__init__.py")
    assert f"Version: {version}\n" in metadata


@pytest.mark.slow
def test_sdist_contains_checkout_and_passes_tests(clone: Path, tmp_path: Path) -> None:
    sdist = build("sdist", clone, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    (unpacked,) = (tmp_path / "out").iterdir()
    assert files(unpacked) - {"PKG-INFO"} == files(clone)
    program = "import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))"
    for arguments in (
        ["--collect-only", "-qq", "-p", "no:cacheprovider"],
        ["-q", "tests/test_golden.py", "tests/test_house_rules.py", "tests/test_layers.py"],
    ):
        python(program, unpacked, *arguments, PYTHONPATH=str(unpacked))


def distributions(clone: Path, folder: Path, umask: int = -1) -> list[Path]:
    """Build wheel and sdist from a new copy of the files, with different modification times."""
    shutil.copytree(clone, folder, copy_function=shutil.copy)
    python(BUILD, folder, umask=umask)
    return sorted((folder / "dist").iterdir())


@pytest.fixture(scope="module")
def built(clone: Path) -> list[Path]:
    return distributions(clone, clone.with_name("copy"))


@pytest.mark.slow
def test_distributions_are_reproducible(clone: Path, built: list[Path], tmp_path: Path) -> None:
    """Archives are byte-identical for different folders, modification times and umasks."""
    again = distributions(clone, tmp_path / "another folder", umask=0o077)
    assert [path.name[-7:] for path in again] == ["any.whl", ".tar.gz"]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]


@pytest.mark.slow
def test_distributions_ignore_git_settings(clone: Path, tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = shutil.copytree(clone, tmp_path / "tinynet")
    for command in ("init", "add .", "-c user.name=a -c user.email=b commit -m c"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True, stdout=subprocess.PIPE)
    names = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.autocrlf"}
    found = []
    for value in ("false", "true"):
        python(BUILD, folder, **names, GIT_CONFIG_VALUE_0=value)
        found.append([path.read_bytes() for path in sorted((folder / "dist").iterdir())])
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.parametrize("check", ["twine check --strict", "check_wheel_contents"])
def test_distributions_pass_checks(built: list[Path], check: str) -> None:
    module, *options = check.split()
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: make dist installs it")
    names = [str(path) for path in built if module == "twine" or path.suffix == ".whl"]
    program = "import runpy, sys; sys.argv.pop(0); runpy.run_module(sys.argv[0], None, '__main__')"
    python(program, ROOT, module, *options, *names)
