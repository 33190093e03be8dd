"""The guard of the server: which requests pass, and what the others get; headers and bodies arrive unchanged."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from simplepose.web import guard
from simplepose.web.files import Files
from simplepose.web.guard import FORM_BYTES, MOST_JSON, UPLOAD, Guard

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


@pytest.mark.parametrize("left", [True, False])
def test_an_upload_that_ends_early_is_no_failure_of_the_server(left: bool, files: Files) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError("broken")

    async def receive() -> Any:
        return {"type": "http.disconnect"} if left else {"type": "http.request", "body": b"x", "more_body": True}

    async def answer(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": UPLOAD, "headers": [(b"content-length", b"9")]}
    call = Guard(application, files, MOST_UPLOAD)(scope, receive, answer)
    if left:
        asyncio.run(call)
    else:
        with pytest.raises(RuntimeError, match="broken"):
            asyncio.run(call)


def test_the_body_of_a_refused_request_is_read_up_to_a_limit(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that is still sending sees the answer; one that sends without end is cut off."""
    monkeypatch.setattr(guard, "MOST_DRAINED", 1000)
    for total, read in ((500, 500), (10_000, 1100)):
        taken: list[int] = []
        answers: list[Any] = []

        async def receive(total: int = total, taken: list[int] = taken) -> Any:
            taken.append(100)
            return {"type": "http.request", "body": bytes(100), "more_body": sum(taken) < total}

        async def answer(message: Any, answers: list[Any] = answers) -> None:
            answers.append(message)

        scope = {"type": "http", "method": "POST", "path": "/other", "headers": []}
        asyncio.run(Guard(None, files, MOST_UPLOAD)(scope, receive, answer))
        assert sum(taken) == read
        assert answers[0]["status"] == 404
