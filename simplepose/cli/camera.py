"""`simplepose predict 0`: a window with the camera image and the detected people."""

from __future__ import annotations

import time

import cv2

from simplepose.cli.options import UsageError
from simplepose.data.images import ImageError
from simplepose.drawing.people import DrawConfig, draw_poses
from simplepose.inference.predictor import Predictor

MAX_CAMERA = 99
"""OpenCV reads larger numbers as a camera and an interface to it."""


def camera_number(text: str) -> int:
    """The camera's index in OpenCV of a text of decimal digits.

    Raises:
        UsageError: it is above `MAX_CAMERA`.
    """
    if len(text) > 9 or int(text) > MAX_CAMERA:
        raise UsageError(f"inputs: expected a file, or a camera number of at most {MAX_CAMERA}, got {text:.40}")
    return int(text)


def camera_window(number: int, predictor: Predictor, drawing: DrawConfig) -> int:
    """Detect and draw the people in a camera's images until q or Escape is pressed.

    Args:
        number: the index of the camera in OpenCV.
        predictor: detects the people.
        drawing: how they are drawn.

    Returns:
        The exit code, 0.

    Raises:
        ImageError: the camera cannot be opened, or an image cannot be read.
        RuntimeError: there is no screen, or OpenCV was built without windows.
    """
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error below is enough
    try:
        capture = cv2.VideoCapture(number)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        raise ImageError(f"camera {number}: OpenCV cannot open it")
    title = f"simplepose, camera {number} (q ends)"
    try:
        while True:
            start = time.perf_counter()
            read, frame = capture.read()
            if not read:
                raise ImageError(f"camera {number}: no further image can be read")
            drawn = draw_poses(frame, predictor(frame), drawing)
            rate = 1 / max(time.perf_counter() - start, 1e-9)
            cv2.putText(drawn, f"{rate:.1f} images/s", (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
            cv2.imshow(title, drawn)
            if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
                return 0
    except cv2.error as error:
        raise RuntimeError(f"camera {number}: OpenCV cannot show a window here ({error})") from None
    finally:
        capture.release()
