"""The guard of the page's server: an ASGI application around another one that lets only known requests through.

It refuses paths that the page does not use, files outside of the page's folder (also those that a request names in its
JSON), and bodies that are too large. It adds headers that keep the browser from loading anything from other hosts.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, NamedTuple

from simplepose.web.files import Files

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api"
UPLOAD, JOIN, FILE = f"{API}/upload", f"{API}/queue/join", f"{API}/file="

PAGES = (
    *("/", "/config", "/favicon.ico", "/manifest.json", "/robots.txt", "/theme.css"),
    *(f"{API}/{name}" for name in ("app_id", "info", "queue/data", "startup-events", "theme.css", "upload_progress")),
)
FOLDERS = ("/assets/", "/static/", "/svelte/", f"{API}/heartbeat/", FILE)
POSTS = (UPLOAD, JOIN, f"{API}/cancel", f"{API}/reset")

MOST_JSON = 2**20
"""Maximum size of the body of a request that is no upload, in bytes."""

FORM_BYTES = 2**14
"""Size that the form around an uploaded file may add, in bytes."""

MOST_DRAINED = 2**27
"""Bytes of a refused request that are read before its connection is closed."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Refusal(NamedTuple):
    """The answer to a request that is not let through."""

    status: int
    reason: str


class Guard:
    """See the module.

    Args:
        application: the server behind the guard.
        files: the folder from which files may be read.
        most_upload: maximum size of an uploaded file in bytes.
    """

    def __init__(self, application: Application, files: Files, most_upload: int) -> None:
        self._application = application
        self._files = files
        self._most_upload = most_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":  # a websocket, which the page does not use
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refusal(scope)
        if refusal is None and scope["path"] == JOIN:
            body = await _body(receive)
            refusal, receive = self._named_files(body), _replay(body, receive)
        if refusal is not None:
            await _drain(receive)
            await _refuse(refusal, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        left = False

        async def watched() -> Message:
            nonlocal left
            message = await receive()
            left = left or message["type"] == "http.disconnect"
            return message

        try:
            await self._application(scope, watched, send_with_headers)
        except Exception:
            if not left:  # otherwise the browser ended an upload early, which is no failure of the server
                raise

    def _refusal(self, scope: Scope) -> Refusal | None:
        """Why a request is refused by its method, path and length; None if it is not."""
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD"):
            if path not in PAGES and not path.startswith(FOLDERS):
                return Refusal(404, "there is no such page")
            if path.startswith(FILE) and not self._files.holds(path.removeprefix(FILE)):
                return Refusal(403, "the file is not one of this page")
            return None
        if method != "POST" or path not in POSTS:
            return Refusal(404, "there is no such page")
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():
            return Refusal(411, "the request states no length")
        most = self._most_upload + FORM_BYTES if path == UPLOAD else MOST_JSON
        if int(length) > most:
            limit = self._most_upload if path == UPLOAD else MOST_JSON
            return Refusal(413, f"expected at most {limit / 2**20:.3g} MiB, got {int(length) / 2**20:.3g} MiB")
        return None

    def _named_files(self, body: bytes) -> Refusal | None:
        """Why a request with this JSON is refused; None if all files that it names were uploaded or made here."""
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return Refusal(400, "the request is not JSON")
        if any(not self._files.holds(path) for path in _paths(value)):
            return Refusal(403, "the request names a file that was not uploaded")
        return None


async def _body(receive: Receive) -> bytes:
    """The body of a request whose stated length, which the server enforces, is within the limits."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _drain(receive: Receive) -> None:
    """Read and drop the body of a refused request: a browser that is still sending would not see the answer."""
    read = 0
    while read <= MOST_DRAINED:
        message = await receive()
        read += len(message.get("body", b""))
        if not message.get("more_body"):
            return


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receiver of ``body`` and then of what ``receive`` still has."""
    sent = False

    async def replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _paths(value: Any) -> Iterator[str]:
    """The paths of the files that a JSON value names."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                yield value["path"]
            todo += value.values()
        elif isinstance(value, list):
            todo += value


async def _refuse(refusal: Refusal, send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), *HEADERS]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{refusal.reason}\n".encode()})
