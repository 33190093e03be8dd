"""One server of the page for the tests of this folder, in a process that records what it connects to."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.processes import PATHS

from simplepose.network.shipped import WEIGHTS

MAX_UPLOAD, MAX_MEGAPIXELS = 0.5, 4
SECRET = "the content of a file of the server"

RECORDER = """
import os, socket
connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

def record(host):
    if host not in (None, "", "localhost") and not str(host).startswith(("127.", "/", "::1")):
        with open(os.environ["CONNECTIONS"], "a") as file:
            print(host, file=file)

def recorded_connect(self, address):
    record(address[0] if isinstance(address, tuple) else "")
    return connect(self, address)

def recorded_getaddrinfo(host, *arguments, **options):
    record(host)
    return getaddrinfo(host, *arguments, **options)

socket.socket.connect, socket.getaddrinfo = recorded_connect, recorded_getaddrinfo
"""


@dataclass(frozen=True)
class Server:
    """The server that runs."""

    url: str
    folder: Path  # its working folder, with the file secret.txt and the checkpoint own.safetensors
    process: subprocess.Popen[str]

    def connections(self) -> str:
        """The hosts other than this one that the server looked up or connected to, one a line."""
        return (self.folder / "connections").read_text()

    def uploads(self) -> Path:
        """The folder of the uploads and downloads."""
        (folder,) = (self.folder / "tmp").iterdir()
        return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`simplepose web` on a free port, where the environment asks gradio to share the page and all files."""
    pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("server")
    (folder / "tmp").mkdir()
    (folder / "secret.txt").write_text(SECRET)
    (folder / "connections").touch()
    (folder / "recorder").mkdir()
    (folder / "recorder" / "sitecustomize.py").write_text(RECORDER)
    shutil.copyfile(WEIGHTS / "tiny.safetensors", folder / "own.safetensors")
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, [folder / "recorder", *PATHS])),
        "CONNECTIONS": str(folder / "connections"),
        "TMPDIR": str(folder / "tmp"),
        "OMP_NUM_THREADS": "1",
        "GRADIO_ALLOWED_PATHS": "/",
        "GRADIO_SHARE": "True",
        "GRADIO_ANALYTICS_ENABLED": "True",
    }
    command = [sys.executable, "-m", "simplepose", "web", "--port", "0", "--checkpoint", "photo", "own.safetensors"]
    command += ["--max-upload", str(MAX_UPLOAD), "--max-megapixels", str(MAX_MEGAPIXELS), "--device", "cpu"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("open http://127.0.0.1:"), (folder / "log").read_text()
        running = Server(line.split()[1], folder, process)
        yield running
        assert running.process.poll() is None, (folder / "log").read_text()
        assert running.connections() == ""
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        process.stdout.close()
    assert code == 130, (folder / "log").read_text()
    assert list((folder / "tmp").iterdir()) == []  # its temporary files are removed
    assert "Traceback" not in (folder / "log").read_text()
