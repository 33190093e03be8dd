"""The guard of the server: which requests pass, and what the others get; headers and bodies arrive unchanged."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from simplepose.web.files import Files
from simplepose.web.guard import FORM_BYTES, MOST_JSON, Guard

MOST_UPLOAD = 1000
Passed = list[tuple[str, str, bytes]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "a.png").write_bytes(b"x")
    return Files(tmp_path / "page")


def send(
    files: Files, method: str, path: str, body: bytes = b"", length: int | None = None, kind: str = "http"
) -> tuple[int, dict[bytes, bytes], Passed]:
    """The status, the headers of the answer, and what the server behind the guard received."""
    passed: Passed = []
    answers: list[Any] = []
    chunks = [body[:7], body[7:]] if len(body) > 7 else [body]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        received = b""
        while method == "POST":
            message = await receive()
            received += message["body"]
            if not message["more_body"]:
                break
        passed.append((scope["method"], scope["path"], received))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def receive() -> Any:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def answer(message: Any) -> None:
        answers.append(message)

    length = len(body) if length is None else length
    headers = [(b"content-length", str(length).encode())] if length >= 0 else []
    scope = {"type": kind, "method": method, "path": path, "headers": headers}
    asyncio.run(Guard(application, files, MOST_UPLOAD)(scope, receive, answer))
    if kind != "http":
        return answers[0]["code"], {}, passed
    return answers[0]["status"], dict(answers[0]["headers"]), passed


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/assets/index.js", 200),
        ("GET", "/gradio_api/queue/data", 200),
        ("GET", "/gradio_api/file={folder}/a.png", 200),
        ("GET", "/gradio_api/file={folder}/../secret.txt", 403),
        ("GET", "/gradio_api/file={folder}_beside/a.png", 403),
        ("GET", "/gradio_api/file=/etc/passwd", 403),
        ("HEAD", "/gradio_api/file=/etc/passwd", 403),
        ("GET", "/gradio_api/file=../../../../../../etc/passwd", 403),
        ("GET", "/gradio_api/file=http://example.org/a.png", 403),
        ("GET", "/gradio_api/file=", 403),
        ("GET", "/gradio_api/file/etc/passwd", 404),
        ("GET", "/gradio_api/proxy=http://example.org/", 404),
        ("GET", "/gradio_api/stream/a/b/1/playlist-file", 404),
        ("GET", "/gradio_api/custom_component/a/b/c/d", 404),
        ("GET", "/monitoring", 404),
        ("GET", "/login", 404),
        ("POST", "/gradio_api/run/predict", 404),
        ("POST", "/gradio_api/call/predict", 404),
        ("POST", "/gradio_api/process_recording", 404),
        ("POST", "/gradio_api/vibe-edit", 404),
        ("POST", "/", 404),
        ("PUT", "/gradio_api/upload", 404),
        ("OPTIONS", "/gradio_api/queue/join", 404),
    ],
)
def test_paths_that_the_page_does_not_use_are_refused(method: str, path: str, status: int, files: Files) -> None:
    path = path.format(folder=files.folder)
    found, headers, passed = send(files, method, path)
    assert found == status
    assert passed == ([(method, path, b"")] if status == 200 else [])
    policy = headers[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy  # no other host


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [
        ("/gradio_api/upload", MOST_UPLOAD + FORM_BYTES, 200),
        ("/gradio_api/upload", MOST_UPLOAD + FORM_BYTES + 1, 413),
        ("/gradio_api/cancel", MOST_JSON, 200),
        ("/gradio_api/cancel", MOST_JSON + 1, 413),
        ("/gradio_api/queue/join", MOST_JSON + 1, 413),
        ("/gradio_api/upload", -1, 411),
    ],
)
def test_bodies_that_are_too_large_are_refused_by_their_length(
    path: str, length: int, status: int, files: Files
) -> None:
    found, _, passed = send(files, "POST", path, b"some bytes", length)
    assert (found, bool(passed)) == (status, status == 200)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"data": [None, {"path": "{folder}/a.png", "url": "x"}, 3]}, 200),
        ({"data": [1, "text", [], {}]}, 200),
        ({"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]}, 403),
        ({"data": [{"path": "{folder}/../../etc/passwd"}]}, 403),
        ({"data": [{"path": "https://example.org/a.png"}]}, 403),
        ({"data": [[{"image": {"path": "/etc/passwd"}}]]}, 403),
        ({"data": [{"path": "{folder}/a.png"}, {"path": "/etc/passwd"}]}, 403),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"\xff\xfe\xff", 400),
    ],
)
def test_events_may_name_files_of_the_page_only(body: Any, status: int, files: Files) -> None:
    if not isinstance(body, bytes):
        body = json.dumps(body).replace("{folder}", str(files.folder)).encode()
    found, _, passed = send(files, "POST", "/gradio_api/queue/join", body)
    assert found == status
    assert passed == ([("POST", "/gradio_api/queue/join", body)] if status == 200 else [])


def test_websockets_are_closed(files: Files) -> None:
    assert send(files, "GET", "/", kind="websocket") == (1008, {}, [])
