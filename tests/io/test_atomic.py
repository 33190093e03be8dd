"""Atomic writes: links, modes, owners, streams, long names and errors."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from pathlib import Path

import pytest
from helpers.processes import run_python

from simplepose.io.atomic import atomic_write, is_stream, write_json

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, modes and FIFOs of POSIX")


def write(path: Path, text: str = "new") -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data/file")
    (tmp_path / "second").symlink_to("link")
    for path in ("link", "second"):  # the first write creates the target
        write(tmp_path / path, path)
        assert (tmp_path / path).is_symlink()
        assert (tmp_path / "data" / "file").read_text() == path
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["data", "file", "link", "second"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_mode_and_owner_of_an_existing_file_are_kept(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    if os.geteuid() == 0:
        os.chown(path, 12345, 12346)
    path.chmod(mode)
    before = path.stat()
    write(path)
    after = path.stat()
    assert path.read_text() == "new"
    assert stat.S_IMODE(after.st_mode) == mode
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)


def test_a_file_whose_owner_cannot_be_kept_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old content")
    inode = path.stat().st_ino
    real = os.stat

    def other_owner(name: object, *args: object, **options: object) -> os.stat_result:
        found = real(name, *args, **options)  # type: ignore[arg-type]
        return os.stat_result((*found[:4], found[4] + 1, *found[5:])) if str(name) == str(path) else found

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(os, "stat", other_owner)
    write(path)
    monkeypatch.undo()
    assert path.read_text() == "new"
    assert path.stat().st_ino == inode
    assert os.listdir(tmp_path) == ["file"]


def test_a_fifo_is_written_into(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(path.read_text()))
    reader.start()
    write(path)
    reader.join(30)
    assert received == ["new"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_socket_is_refused_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(OSError, match="socket"):
            write(Path("socket"))
        assert stat.S_ISSOCK(os.stat("socket").st_mode)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/dev/null", True),
        ("/dev/stdout", True),
        ("/dev/fd/1", True),
        ("/proc/self/fd/1", True),
        ("/dev/shm", False),
        ("/etc/hostname", False),
        ("/nowhere", False),
    ],
)
def test_streams_are_recognized(path: str, expected: bool, tmp_path: Path) -> None:
    assert is_stream(path) == expected
    (tmp_path / "link").symlink_to(path)
    assert is_stream(tmp_path / "link") == expected


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("target", ["pipe", "file"])
def test_stdout_is_written_in_order(path: str, target: str, tmp_path: Path) -> None:
    redirect = f"import os; os.dup2(os.open({str(tmp_path / 'out')!r}, os.O_WRONLY | os.O_CREAT), 1)"
    code = (
        f"{redirect if target == 'file' else ''}\n"
        "from simplepose.io.atomic import write_json\n"
        f"print('before'); write_json({path!r}, [1]); print('after')\n"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    printed = (tmp_path / "out").read_text() if target == "file" else done.stdout
    assert printed == "before\n[\n 1\n]\nafter\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_is_named() -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_json("/dev/full", [1])


@pytest.mark.parametrize("length", [200, 250, 255])
def test_long_names_work(length: int, tmp_path: Path) -> None:
    for name in ("n" * length, "é" * (length // 2)):
        write(tmp_path / name)
        write(tmp_path / name)
        assert (tmp_path / name).read_text() == "new"


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("too long", errno.ENAMETOOLONG, "n" * 256),
        ("folder", errno.EISDIR, "folder"),
        ("loop", errno.ELOOP, "loop"),
        ("no space", errno.ENOSPC, "file"),
        ("no space without a name", errno.ENOSPC, "file"),
    ],
)
def test_errors_name_the_file_and_leave_nothing(kind: str, error: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("old")
    before = sorted(os.listdir(tmp_path))

    def attempt() -> None:
        with atomic_write(tmp_path / message) as temporary:
            temporary.write_text("new")
            if kind.startswith("no space"):
                names = (str(temporary),) if kind == "no space" else ()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *names)

    with pytest.raises(OSError, match=f"{message}'$") as raised:
        attempt()
    assert raised.value.errno == error
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write read-only files")
def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o444)
    with pytest.raises(PermissionError, match="file"):
        write(tmp_path / "file")
