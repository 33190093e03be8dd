"""The server of the page: it binds the address, runs the page behind its guard and removes its files at the end."""

from __future__ import annotations

import importlib.util
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from simplepose.web.analysis import Analyzer
from simplepose.web.files import Files
from simplepose.web.guard import Guard
from simplepose.web.settings import Example
from simplepose.web.workbench import Workbench

SHUTDOWN_SECONDS = 2
"""Time that open connections get at the end; a browser keeps one open."""


@dataclass(frozen=True)
class Address:
    """Where the page is served."""

    host: str = "127.0.0.1"
    port: int = 7860  # 0: a free one


def has_gradio() -> bool:
    """Whether gradio, the optional extra ``web``, is installed."""
    return importlib.util.find_spec("gradio") is not None


def serve(
    analyzer: Analyzer,
    examples: Callable[[Path], Sequence[Example]],
    address: Address,
    most_upload: int,
    started: Callable[[str], None],
) -> None:
    """Serve the page until the process is interrupted.

    Args:
        analyzer: the networks.
        examples: writes the pictures of the examples into a folder and returns them.
        address: host and port.
        most_upload: maximum size of an uploaded file in bytes.
        started: called with the address of the page when it can be opened.

    Raises:
        OSError: the address cannot be used; the message names it.
        ModuleNotFoundError: gradio is not installed.
    """
    listener = bind(address)
    with listener, tempfile.TemporaryDirectory(prefix="simplepose-web-") as folder:
        _prepare_environment(folder)  # before gradio is imported
        import gradio as gr
        import uvicorn
        from fastapi import FastAPI

        from simplepose.web.page import build_page

        files = Files(Path(folder))
        page = build_page(Workbench(analyzer, files), examples(files.folder / "examples"))
        theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
        application = gr.mount_gradio_app(
            FastAPI(openapi_url=None),
            page,
            path="/",
            server_name=address.host,
            server_port=listener.getsockname()[1],
            allowed_paths=[],
            max_file_size=most_upload,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            run_history=False,
            pwa=False,
            footer_links=[],
            theme=theme,
        )
        guard = Guard(application, files, most_upload)
        config = uvicorn.Config(
            guard, log_level="warning", access_log=False, timeout_graceful_shutdown=SHUTDOWN_SECONDS
        )
        started(_url(address.host, listener.getsockname()[1]))
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            tempfile.tempdir = None


def bind(address: Address) -> socket.socket:
    """A socket that listens at the address; OSError if it is in use or not one of this machine."""
    try:
        family, *_, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(place[:2], family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OSError(f"{address.host}, port {address.port}: the page cannot be served there ({reason})") from None


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def _prepare_environment(folder: str) -> None:
    """Keep gradio's files in ``folder``, turn its telemetry off, and undo settings from outside.

    ``GRADIO_ALLOWED_PATHS``, for example, would open other folders to the page, and ``GRADIO_SHARE`` publish it.
    """
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    tempfile.tempdir = folder  # parts of uploads too
