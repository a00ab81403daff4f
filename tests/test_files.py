"""Atomic file writes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from tinynet._core import atomic_files
from tinynet._core.atomic_files import write_atomically


def write_new(file: BinaryIO) -> None:
    file.write(b"new")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError])
@pytest.mark.parametrize("place", ["write", "fsync", "replace"])
def test_failure_keeps_only_old_file(
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


def test_old_file_exists_until_replaced(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def write(file: BinaryIO) -> None:
        write_new(file)
        file.flush()
        assert path.read_bytes() == b"old"

    write_atomically(path, write)
    assert path.read_bytes() == b"new"


def test_errors_name_the_requested_file(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "model"
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(path, write_new)
    assert caught.value.filename == str(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"folder'$"):
        write_atomically(tmp_path / "folder", write_new)
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions, links and devices")
def test_write_atomically_treats_links_like_open(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("name", ["metrics.json", "n" * 255])
def test_replacing_leaves_no_other_files(name: str, tmp_path: Path) -> None:
    for old in (b"", b"old and longer"):
        if old:
            (tmp_path / name).write_bytes(old)
        write_atomically(tmp_path / name, write_new)
        assert (tmp_path / name).read_bytes() == b"new"
        assert os.listdir(tmp_path) == [name]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("mode", [0o600, 0o444, 0o640, 0o755])
def test_write_atomically_keeps_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    path.chmod(mode)
    owner = (4321, 8765) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *owner)

    def write(file: BinaryIO) -> None:
        # The temporary file has the final permissions before any data is written.
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == mode
        write_new(file)

    write_atomically(path, write)
    found = path.stat()
    assert path.read_bytes() == b"new"
    assert (found.st_uid, found.st_gid) == owner
    assert stat.S_IMODE(found.st_mode) == mode


def test_write_atomically_keeps_other_hard_links(tmp_path: Path) -> None:
    path, other = tmp_path / "model", tmp_path / "other"
    path.write_bytes(b"old")
    os.link(path, other)
    write_atomically(path, write_new)
    assert (path.read_bytes(), other.read_bytes()) == (b"new", b"old")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow such names")
def test_write_atomically_accepts_undecodable_names(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.bin")
    for _ in range(2):
        write_atomically(path, write_new)
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe.bin"]


@pytest.mark.skipif(os.name == "nt", reason="needs file locks")
@pytest.mark.wide
@pytest.mark.parametrize("unnamed", [True, False])
def test_stale_temporary_files_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    """The next save removes stale temporary files, but not those of running processes."""
    if not unnamed:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "model"
    path.write_bytes(b"old")
    program = """if True:
        import os, signal, sys, tinynet._core.atomic_files as files
        from pathlib import Path
        if sys.argv[2] == "False":
            del os.O_TMPFILE
        def pause(*names):
            print("named", flush=True)
            sys.stdin.readline()
            os.kill(os.getpid(), signal.SIGKILL)
        os.replace = pause
        files.write_atomically(Path(sys.argv[1]), lambda file: file.write(b"other"))
    """
    command = [sys.executable, "-c", program, str(path), str(unnamed)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "named\n"
        write_atomically(path, write_new)
        assert len(os.listdir(tmp_path)) == 2  # the process is running
        child.communicate("die\n")
    assert child.returncode == -9
    assert len(os.listdir(tmp_path)) == 2
    write_atomically(path, write_new)
    assert os.listdir(tmp_path) == ["model"]


def test_write_atomically_without_file_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / ".deadbeef-0.tmp"
    monkeypatch.setattr(atomic_files, "_LOCKS", False)
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    monkeypatch.setattr(atomic_files.zlib, "crc32", lambda name: 0xDEADBEEF)
    left.write_bytes(b"")
    write_atomically(tmp_path / "model", write_new)
    assert left.exists()  # the process that created it may still be running
    os.utime(left, (0, 0))
    write_atomically(tmp_path / "model", write_new)
    assert os.listdir(tmp_path) == ["model"]


def test_symbolic_link_loop_raises(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    with pytest.raises(OSError, match="symbolic links"):
        write_atomically(tmp_path / "one", write_new)
    assert all(each.is_symlink() for each in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 2
