"""Draw the first picture of README.md, a smaller copy of what `simplepose demo` draws: `python docs/draw_demo.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2

from simplepose.cli.main import main
from simplepose.data.images import read_image, write_image

OUT = Path(__file__).parent / "images" / "demo.jpg"
WIDTH = 1160

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "demo.png"
        if main(["demo", "--out", str(drawn)]):
            raise SystemExit("simplepose demo failed")
        picture = read_image(drawn)
    height = round(picture.shape[0] * WIDTH / picture.shape[1])
    write_image(OUT, cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA))
