"""Draw the picture of the page in README.md: `python docs/draw_web.py`. It needs the extra `test` and a Chromium."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import expect, sync_playwright

from simplepose.data.images import write_image

OUT = Path(__file__).parent / "images" / "web.jpg"
SIZE = {"width": 1180, "height": 960}
WIDTH = 900
NAMES = ("chromium", "chromium-browser", "google-chrome")


def screenshot(url: str) -> bytes:
    """The page with the photo of the demo, its keypoint maps and its person, as PNG."""
    browser_path = next(path for name in NAMES if (path := shutil.which(name)))
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        expect.set_options(timeout=60_000)
        page.goto(url)
        page.locator("#examples img").first.click()
        expect(page.locator("#status textarea")).to_have_value(re.compile("astronaut"), timeout=60_000)
        page.get_by_label("keypoint maps").check()
        expect(page.locator("#caption textarea")).to_have_value(re.compile("^all; maximum"), timeout=60_000)
        page.get_by_label("people over maps").check()
        page.mouse.move(0, 0)
        page.wait_for_timeout(1500)  # until the last picture is loaded
        picture = page.screenshot()
        browser.close()
    return picture


def main() -> None:
    command = [sys.executable, "-m", "simplepose", "web", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            picture = screenshot(server.stdout.readline().split()[1])
        finally:
            server.send_signal(signal.SIGINT)
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    height = round(image.shape[0] * WIDTH / image.shape[1])
    write_image(OUT, np.asarray(cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8))


if __name__ == "__main__":
    main()
