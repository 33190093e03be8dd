"""`simplepose predict 0`: the people that a camera sees, in a window."""

from __future__ import annotations

import time

import cv2

from simplepose.data.images import ImageError
from simplepose.drawing.people import DrawConfig, draw_poses
from simplepose.inference.predictor import Predictor


def camera_window(number: int, predictor: Predictor, drawing: DrawConfig) -> int:
    """Show the people that a camera sees until q or Escape is pressed; the exit code.

    Raises:
        ImageError: there is no such camera.
        RuntimeError: there is no screen, or OpenCV was built without windows.
    """
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise ImageError(f"camera {number}: OpenCV cannot open it")
    title = f"simplepose, camera {number} (q ends)"
    try:
        while True:
            start = time.perf_counter()
            read, frame = capture.read()
            if not read:
                raise ImageError(f"camera {number}: it gives no more frames")
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
