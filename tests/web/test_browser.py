"""The page in a real browser: upload, camera, examples, views, settings, downloads, errors; nothing from elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from simplepose.cli.demo import PHOTO

if TYPE_CHECKING:
    from web.conftest import Server

playwright = pytest.importorskip("playwright.sync_api")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",  # tests may run as root
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
TIMEOUT = 60_000
"""Milliseconds; a network of a busy machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no Chromium is installed: {', '.join(NAMES)}")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def errors() -> list[str]:
    """The errors of scripts, of requests and of the policy; those that a test expects, it removes."""
    return []


@pytest.fixture
def page(browser: Any, server: Server, errors: list[str]) -> Iterator[Any]:
    """The page, loaded. At the end it has made no request elsewhere and has no errors."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(TIMEOUT)
    playwright.expect.set_options(timeout=TIMEOUT)
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(server.url)
    playwright.expect(status(page)).to_have_value("Upload a picture, or choose an example.")
    yield page
    page.close()
    assert hosts <= {urlsplit(server.url).netloc, ""}  # "": data and blob
    assert errors == []


def status(page: Any) -> Any:
    return page.locator("#status textarea")


def has_status(page: Any, pattern: str) -> None:
    playwright.expect(status(page)).to_have_value(re.compile(pattern))


def has_caption(page: Any, pattern: str) -> None:
    playwright.expect(page.locator("#caption textarea")).to_have_value(re.compile(pattern))


def choose_file(page: Any, path: Path) -> None:
    page.set_input_files("#upload input[type=file]", str(path))


def clear(page: Any) -> None:
    page.locator("#upload").get_by_label(re.compile("Clear|Remove")).click()
    has_status(page, "^Upload a picture")


def move(page: Any, slider: str, key: str = "ArrowRight") -> None:
    """Move a slider by a key."""
    handle = page.locator(f"#{slider} input[type=range]")
    handle.focus()
    handle.press(key)


def download(page: Any, button: str) -> tuple[str, bytes]:
    """The name and the content of what a button downloads."""
    with page.expect_download() as waiting:
        page.locator(f"#{button}").click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def shown_picture(page: Any) -> Any:
    return page.locator("#picture img").get_attribute("src")


def table(page: Any, name: str) -> list[str]:
    """The cells of a table, row by row, with the header."""
    return page.get_by_role("grid", name=name).inner_text().split()


def test_a_photo_from_upload_to_download(page: Any) -> None:
    assert not page.locator("#json").is_enabled()
    choose_file(page, PHOTO)
    has_status(page, r"^1 person with 3 keypoints or more in astronaut\.jpg \(512 x 512 pixels\); photo, input 576 px")
    people = table(page, "people")
    assert people[:7] == ["person", "score", "keypoints", "left", "top", "right", "bottom"]
    assert people[7] == "1"
    assert {"network", "find_peaks", "sum"} <= set(table(page, "times"))

    first = shown_picture(page)
    page.get_by_label("keypoint maps").check()
    has_caption(page, "^all; maximum 0")
    move(page, "index")
    has_caption(page, "^1 of 18: nose; maximum 0")
    second = shown_picture(page)
    move(page, "blend")
    page.locator(f"#picture img:not([src='{second}'])").wait_for()
    page.get_by_label("candidate parts").check()
    has_caption(page, r"^all; \d+ candidates, \d+ peaks")
    assert len({first, second, shown_picture(page)}) == 3

    name, content = download(page, "json")
    results = json.loads(content)
    assert name == "astronaut_poses.json"
    assert f"{results[0]['score']:.2f}" == people[8]
    name, content = download(page, "drawn")
    assert name == "astronaut_poses.jpg"
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (512, 512, 3)
    assert np.abs(picture.astype(int) - cv2.imread(str(PHOTO))).max() > 100

    page.get_by_text("decoding", exact=True).click()
    move(page, "peak_threshold", "End")  # to 1
    has_status(page, "^0 people")
    assert json.loads(download(page, "json")[1]) == []
    page.get_by_text("the checkpoint's own settings").click()
    has_status(page, "^1 person")
    assert json.loads(download(page, "json")[1]) == results


def test_a_text_file_named_jpg_is_an_error_and_the_page_goes_on(page: Any, tmp_path: Path) -> None:
    notes, large = tmp_path / "notes.jpg", tmp_path / "large.png"
    notes.write_text("nothing of any kind")
    cv2.imwrite(str(large), np.zeros((2500, 2000, 3), np.uint8))
    choose_file(page, notes)
    has_status(page, r"^error: notes\.jpg: not an image, or of an unknown format$")
    assert page.locator("#picture img").count() == 0
    clear(page)
    choose_file(page, large)
    has_status(page, r"^error: large\.png: image: expected at most 4 megapixels, got 2000 x 2500")
    clear(page)
    choose_file(page, PHOTO)
    has_status(page, r"^1 person .* in astronaut\.jpg")


def test_a_file_above_the_limit_is_refused_with_the_limit(page: Any, errors: list[str], tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(PHOTO.read_bytes() + bytes(600_000))
    choose_file(page, tmp_path / "large.jpg")
    message = page.get_by_text('exceed the maximum allowed size of 512.0 Kb: "large.jpg"').first
    playwright.expect(message).to_be_visible()
    has_status(page, "^Upload a picture")
    errors.clear()  # the browser logs the refusal


def test_examples_bring_their_settings_and_another_checkpoint_can_be_tried(page: Any) -> None:
    page.locator("#examples img").nth(1).click()
    has_status(page, r"^7 people .* in scene\.png .*; tiny, input 256 px, scales 1, flip testing$")
    assert page.locator("#checkpoint input").input_value() == "tiny"
    page.locator("#checkpoint input").click()
    page.get_by_role("option", name="own.safetensors").click()
    has_status(page, r"^7 people .*; own\.safetensors, input 256 px")  # a copy of tiny
    page.locator("#examples img").first.click()
    has_status(page, r"^1 person .* in astronaut\.jpg .*; photo, input 512 px, scales 0\.4, 0\.7, flip testing$")


def test_a_picture_from_the_camera_is_analyzed(page: Any) -> None:
    page.get_by_label("Capture from camera").click()
    page.locator("#upload").get_by_text("Click to Access Webcam").click()
    playwright.expect(page.locator("#upload video")).to_have_js_property("readyState", 4)
    page.locator("#upload").get_by_label("capture photo").click()
    has_status(page, r"^\d+ (person|people) .* in .*\.(png|webp|jpe?g) \(\d+ x \d+ pixels\); photo")
