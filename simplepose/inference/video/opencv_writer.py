"""Writing of MP4 files with OpenCV: a constant frame rate and even sides."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from simplepose.inference.video.reader import Image, Note


class OpencvFile:
    """An MP4 file of a constant frame rate. Each frame is shown from its time until that of the next frame.

    Args:
        label: the name of the file in messages.
        file: the file, with the suffix ``.mp4``.
        size: height and width of the frames.
        rate: frames per second.
        note: called with messages.

    Raises:
        OSError: OpenCV cannot write the file.
    """

    def __init__(self, label: str, file: Path, size: tuple[int, int], rate: float, note: Note) -> None:
        self._label, self._path, self._rate, self._note = label, file, rate, note
        self._written = self._left_out = 0
        self._waiting: Image | None = None
        self._end = 0.0  # of the waiting frame
        height, width = (side + side % 2 for side in size)
        if (height, width) != size:
            note(
                f"{label}: frames of odd size {size[1]} x {size[0]} are padded to {width} x {height}; "
                "MP4 needs even sides"
            )
        self._writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
        if not self._writer.isOpened():
            raise OSError(f"{label}: OpenCV cannot write this video")

    def write(self, image: Image, time: float, duration: float) -> None:
        """Append a frame; the arguments are those of `VideoWriter.write`."""
        self._write_until(time)
        self._waiting, self._end = even_sides(image), time + duration

    def close(self) -> None:
        """Complete the file."""
        self._write_until(self._end)
        self._writer.release()
        if self._left_out:
            self._note(
                f"{self._label}: frames left out, since OpenCV writes a constant rate of {self._rate:.4g} frames/s: "
                f"{self._left_out}"
            )

    def abort(self) -> None:
        """Close the file as it is."""
        self._writer.release()

    def missing(self) -> str:
        """How many of the frames the file contains, if it lacks some; empty otherwise.

        OpenCV reports no error when it cannot write, as on a full disk.
        """
        capture = cv2.VideoCapture(str(self._path))
        found = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        return "" if found == self._written else f"{found} of {self._written}"

    def _write_until(self, time: float) -> None:
        """Write the waiting frame as often as the rate needs until the next one; not at all if there is no time."""
        if self._waiting is None:
            return
        end = round(time * self._rate)
        self._left_out += end <= self._written
        while self._written < end:
            self._writer.write(self._waiting)
            self._written += 1


def even_sides(frame: Image) -> Image:
    """``frame [H, W, 3]`` with even sides, which MP4 needs: the last row or column is repeated if a side is odd."""
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return frame
    return np.asarray(cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)
