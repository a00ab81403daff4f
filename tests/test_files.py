"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from tinynet.files import write_atomically


def write_new(file: BinaryIO) -> None:
    file.write(b"new")


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_bytes(b"old and longer")
    write_atomically(path, write_new)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["figures.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError])
@pytest.mark.parametrize("place", ["write", "fsync", "replace"])
def test_any_failure_keeps_the_old_file_and_leaves_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error("stopped")

    def write(file: BinaryIO) -> None:
        file.write(b"half")
        if place == "write":
            fail()

    if place != "write":
        monkeypatch.setattr(os, place, fail)
    path = tmp_path / "model"
    path.write_bytes(b"old")
    with pytest.raises(error, match="stopped"):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model"]


def test_name_is_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    seen = []

    def write(file: BinaryIO) -> None:
        file.write(b"new")
        file.flush()
        seen.append(path.read_bytes())

    write_atomically(path, write)
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"


def test_errors_speak_of_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "model"
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(path, write_new)
    assert caught.value.filename == str(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"folder'$"):
        write_atomically(tmp_path / "folder", write_new)
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions, links and devices")
def test_permissions_links_and_devices_are_as_with_open(tmp_path: Path) -> None:
    path, link = tmp_path / "model", tmp_path / "link"
    link.symlink_to(path)
    mask = os.umask(0o027)
    try:
        write_atomically(link, write_new)
    finally:
        os.umask(mask)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, write_new)
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_longest_file_name(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_atomically(path, write_new)
    assert path.read_bytes() == b"new"
