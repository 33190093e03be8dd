"""The command line as a process: signals, closed and full outputs, terminals, limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.processes import PATHS, run_python

from simplepose.checks import printable
from simplepose.cli.main import main
from simplepose.data.images import ImageError, as_image, read_image

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and devices of POSIX")


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A shell command in which ``$S`` is simplepose."""
    paths = os.pathsep.join(map(str, PATHS))
    return subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PYTHONPATH": paths, "S": f"{sys.executable} -m simplepose", **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with maps, also under a name that is not ASCII."""
    folder = tmp_path_factory.mktemp("maps")
    for name in ("m", "é"):
        np.savez(folder / f"{name}.npz", maps=np.zeros((48, 16, 16), np.float32))
    return folder


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("$S decode m.npz >&-", 1, "stdout is closed"),
        ("$S info >&- 2>&-", 1, ""),
        ("$S decode m.npz > /dev/full", 1, "No space left on device: 'stdout'"),
        ("$S decode m.npz --out /dev/full", 1, "No space left on device: '/dev/full'"),
        ("$S decode m.npz | true; exit ${PIPESTATUS[0]}", None, ""),
        ("$S decode m.npz 2>&-", 0, ""),
        ("$S decode nothing.npz 2>&-", 1, ""),
    ],
)
def test_closed_and_full_outputs(command: str, code: int | None, message: str, maps: Path) -> None:
    done = shell(command, maps)
    assert done.returncode in ((0, 1) if code is None else (code,)), done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_ascii_terminal_gets_escapes(maps: Path) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    done = shell("$S decode m.npz --draw é.npz", maps, **ascii_only)
    assert done.returncode == 1
    assert r"\xe9.npz" in done.stderr
    done = shell("$S demo --oracle clean --out $'\\xff-é.png'", maps, **ascii_only)
    assert done.returncode == 0, done.stderr
    assert r"\xe9.png" in done.stdout


STOPPED = """
import os, signal, sys, threading
from pathlib import Path
from simplepose.cli import decode
from simplepose.cli.main import main

def stop(*_):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(60)
    finally:
        print("cleaned up", flush=True)

decode.read_maps = stop
sys.exit(main(["decode", "m.npz"]))
"""


def test_sigterm_is_handled_as_an_interrupt() -> None:
    done = run_python("-c", STOPPED)
    assert done.returncode == 130
    assert done.stdout == "cleaned up\n"
    assert done.stderr == "interrupted\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("number", ["100", "12345", "9" * 20, "9" * 5000])
def test_a_camera_number_out_of_range_gives_one_line(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", number]) == 2
    error = capsys.readouterr().err
    assert "camera number of at most 99" in error
    assert error.count("\n") == 1
    assert len(error) < 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 漢.jpg", "plain é 漢.jpg"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\nb\r\tc\x00\x7f", r"a\x0ab\x0d\x09c\x00\x7f"),
        ("\x9b1m", r"\x9b1m"),
        ("\u202egpj.exe", r"\x202egpj.exe"),
        ("\u2028", r"\x2028"),
    ],
)
def test_control_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["decode", "\x1b[31mred.npz"],
        ["predict", "\x1b]0;title\x07.jpg", "--checkpoint", "tiny"],
        ["predict", "x.jpg", "--out", "\x1b[2J", "--checkpoint", "\x1b[31m"],
        ["\x1b[31m"],
        ["info", "\x1b[31m"],
    ],
)
def test_messages_hold_no_control_character_of_an_argument(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    assert code != 0
    assert r"\x1b" in captured.err
    assert "\x1b" not in captured.err + captured.out


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\x0a\x05\x01\x08" + bytes(200)]
)
def test_other_formats_of_pillow_are_not_opened(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match="not an image, or of an unknown format"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "webp", "tiff", "ppm"])
def test_a_decompression_bomb_is_refused_by_its_size(suffix: str, tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / f"a.{suffix}"
    width, height = (16000, 5001) if suffix == "webp" else (40000, 2001)
    if suffix in ("bmp", "ppm"):  # not compressed: only the header is written
        width, height = 40000, 2001
        small = PIL.Image.new("RGB", (4, 4))
        small.save(path)
        data = bytearray(path.read_bytes())
        if suffix == "bmp":
            data[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
            path.write_bytes(data)
        else:
            path.write_bytes(data.replace(b"4 4", b"40000 2001", 1))
    else:
        PIL.Image.new("L", (width, height)).save(path)
    tracemalloc.start()
    try:
        start = time.process_time()
        with pytest.raises(ImageError, match=f"at most 80 megapixels, got {width} x {height}"):
            read_image(path)
        assert time.process_time() - start < 0.5
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_an_image_object_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    PIL.Image.new("1", (40000, 2001)).save(tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as image, pytest.raises(ImageError, match="at most 80 megapixels"):
        as_image(image)
