"""The running server, without a browser: no file of it is readable, and no request ends it."""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import socket
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from simplepose.cli import web as web_command
from simplepose.cli.demo import PHOTO
from simplepose.cli.main import main
from simplepose.network.shipped import WEIGHTS
from simplepose.web import server as web_server
from simplepose.web.guard import FORM_BYTES
from simplepose.web.server import Address, bind

if TYPE_CHECKING:
    from web.conftest import Server


def ask(
    server: Server, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """The status and the body of an answer; the path is sent as it is."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    try:
        connection.request(method, path, body or None, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def upload(server: Server, content: bytes, name: str = "a.png") -> tuple[int, bytes]:
    """Upload a file as a browser does."""
    mark = uuid.uuid4().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    body = head + content + f"\r\n--{mark}--\r\n".encode()
    return ask(server, "POST", "/gradio_api/upload", body, {"Content-Type": f"multipart/form-data; boundary={mark}"})


def test_no_file_of_the_server_is_readable(server: Server) -> None:
    own = ask(server, "GET", f"/gradio_api/file={server.uploads()}/examples/astronaut.jpg")
    assert own == (200, PHOTO.read_bytes())
    secret = server.folder / "secret.txt"
    for path in (
        str(secret),
        "secret.txt",
        "./secret.txt",
        f"{server.uploads()}/../../secret.txt",
        f"{server.uploads()}/%2e%2e/%2e%2e/secret.txt",
        f"{server.uploads()}/..%2f..%2fsecret.txt",
        f"{server.uploads()}/examples/../../../secret.txt",
        f"%2f{str(secret)[1:]}",
        "/etc/passwd",
        "../" * 12 + "etc/passwd",
        f"file://{secret}",
        str(server.folder / "own.safetensors"),
    ):
        for route in ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/", "/assets/", "/svelte/", "/"):
            status, answer = ask(server, "GET", f"{route}{path}")
            assert status in (400, 403, 404), f"{route}{path}"
            assert secret.read_bytes() not in answer
            assert b"root:" not in answer


def test_an_event_may_not_name_a_file_of_the_server(server: Server) -> None:
    config = json.loads(ask(server, "GET", "/config")[1])
    assert config["dependencies"]
    secret = {"path": str(server.folder / "secret.txt"), "meta": {"_type": "gradio.FileData"}}
    for event in range(len(config["dependencies"])):
        count = len(config["dependencies"][event]["inputs"])
        body = {"data": [secret] * count, "fn_index": event, "session_hash": "abcdefgh", "trigger_id": 1}
        for path in ("/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/api/predict"):
            sent = ask(server, "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
            assert sent[0] == (403 if path.endswith("join") else 404)


def test_the_page_tells_the_names_of_checkpoints_and_not_their_paths(server: Server) -> None:
    status, config = ask(server, "GET", "/config")
    assert status == 200
    (dropdown,) = (c for c in json.loads(config)["components"] if c["props"].get("elem_id") == "checkpoint")
    assert [name for name, _ in dropdown["props"]["choices"]] == ["photo", "own.safetensors", "tiny"]
    assert str(server.folder / "own").encode() not in config
    assert b'"share":true' not in config.replace(b" ", b"")


def test_large_and_broken_uploads_are_refused_and_the_next_one_works(server: Server) -> None:
    noise = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (430, 430, 3), np.uint8))[1].tobytes()
    assert len(noise) > 2**19 + FORM_BYTES
    status, answer = upload(server, noise)
    assert status == 413
    assert answer == b"expected at most 0.5 MiB, got 0.531 MiB\n"
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for body, headers in ((b"nothing", form), (b"--x\r\n\r\n", form), (b"--x", {}), (b"{", {"Content-Type": "a/b"})):
        assert ask(server, "POST", "/gradio_api/upload", body, headers)[0] in range(400, 500)
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:  # it ends in the middle
        length = "Content-Length: 9999\r\nContent-Type: multipart/form-data; boundary=x"
        connection.sendall(f"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n--x\r\n".encode())
    with socket.create_connection((address.hostname, address.port)) as connection:  # no HTTP at all
        connection.sendall(b"\x00\xff" * 1000)
    status, answer = upload(server, PHOTO.read_bytes(), "../../a.jpg")
    assert status == 200
    stored = Path(json.loads(answer)[0])
    assert stored.is_relative_to(server.uploads())
    assert stored.name == "a.jpg"


def test_an_address_that_is_taken_or_unknown_is_an_error_that_names_it() -> None:
    with bind(Address(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"127\.0\.0\.1, port {port}: the page cannot be served there \(Address"):
            bind(Address(port=port))
    with pytest.raises(OSError, match=r"no\.such\.host\.invalid, port 0: the page cannot be served there"):
        bind(Address("no.such.host.invalid", 0))


def test_files_of_the_same_name_get_numbers_on_the_page(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "own.safetensors" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        shutil.copyfile(WEIGHTS / "tiny.safetensors", path)
    options = argparse.Namespace(checkpoint=["tiny", *map(str, paths)], device="cpu", engine="torch")
    names = web_command.make_analyzer(options, 10**6).checkpoints
    assert names == ("tiny", "own.safetensors", "own.safetensors (2)", "photo")


def test_without_gradio_the_command_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(web_server, "has_gradio", lambda: False)
    assert main(["web"]) == 2
    assert capsys.readouterr().err == "simplepose web: error: web needs gradio: pip install 'simplepose[web]'\n"


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_a_host_that_others_reach_is_warned_about(
    host: str, warned: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(web_server, "has_gradio", lambda: True)
    monkeypatch.setattr(web_command, "make_analyzer", lambda *_: None)
    monkeypatch.setattr(web_server, "serve", lambda *arguments: served.append(arguments[2]))
    assert main(["web", "--host", host]) == 0
    assert served == [Address(host, 7860)]
    assert ("everyone who reaches" in capsys.readouterr().err) == warned
