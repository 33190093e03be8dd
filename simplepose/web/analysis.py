"""One picture from its file to maps, candidate parts and people, with the time of every stage."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_choice
from simplepose.data.images import MOST_PIXELS, ImageError, read_image
from simplepose.inference.frame import Frame
from simplepose.inference.predictor import Predictor
from simplepose.ops.assign_keypoints import assign_keypoints
from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import DecodeConfig
from simplepose.ops.find_peaks import find_peaks
from simplepose.ops.match_parts import match_parts
from simplepose.poses import Poses
from simplepose.skeleton.channels import MapChannels
from simplepose.web.settings import LEAST_SIZE, MOST_SIZE, NetworkSettings

Image = NDArray[np.uint8]
Result = TypeVar("Result")

PREVIEW_SIDE = 1280
"""Longer side in pixels of the picture on the page; a smaller picture keeps its size."""


@dataclass(frozen=True)
class Analysis:
    """The maps and the people of one picture."""

    name: str  # of the picture, for messages and files
    settings: NetworkSettings
    config: DecodeConfig
    image: Image  # [H, W, 3] BGR
    preview: Image  # the same, its longer side at most `PREVIEW_SIDE` pixels
    maps: NDArray[np.float32]  # [C, h, w], parts and keypoints
    channels: MapChannels  # of the maps
    frame: Frame  # of the maps
    stride: int  # of the network
    peaks: Peaks
    parts: CandidateParts
    poses: Poses  # in pixels of the image
    times: Mapping[str, float]  # milliseconds of every stage, in their order

    @property
    def cell_size(self) -> tuple[float, float]:
        """Preview pixels between two cells of the maps, in x and in y."""
        x, y = self.frame.cell_size
        return x * self.preview.shape[1] / self.image.shape[1], y * self.preview.shape[0] / self.image.shape[0]

    def preview_poses(self) -> Poses:
        """The people in pixels of the preview."""
        factor = np.array(self.preview.shape[1::-1]) / self.image.shape[1::-1]
        poses = self.poses[:]
        keypoints = poses.keypoints.copy()
        keypoints[..., :2] = (keypoints[..., :2] + 0.5) * factor - 0.5
        return Poses(keypoints, poses.scores, poses.skeleton, poses.truncated)


class Analyzer:
    """Runs one network at a time on pictures; calls from several threads wait for each other.

    Args:
        predictors: the checkpoints that may be chosen, by the names that are shown.
        most_pixels: a larger picture is refused before it is decoded.
    """

    def __init__(self, predictors: Mapping[str, Predictor], most_pixels: int = MOST_PIXELS) -> None:
        if not predictors:
            raise ValueError("predictors: expected at least one, got none")
        self._predictors = dict(predictors)
        self._most_pixels = most_pixels
        self._lock = threading.Lock()

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The names that may be chosen, the default first."""
        return tuple(self._predictors)

    def predictor(self, checkpoint: str) -> Predictor:
        """The predictor of a name, with the checkpoint's own settings; ValueError if there is none."""
        check_choice("checkpoint", checkpoint, self.checkpoints)
        return self._predictors[checkpoint]

    def own_size(self, checkpoint: str) -> int:
        """The input size of a checkpoint in pixels, within the limits of the page."""
        return min(max(self.predictor(checkpoint).size, LEAST_SIZE), MOST_SIZE)

    def analyze(self, path: Path, name: str, settings: NetworkSettings, config: DecodeConfig) -> Analysis:
        """The maps and people of an image file.

        Args:
            path: the file.
            name: of the picture; messages name it, and not the path.
            settings: of the network's run.
            config: the rules of decoding.

        Raises:
            ImageError: the file is no image, or too large; the message begins with ``name``.
            ValueError: there is no such checkpoint.
        """
        predictor = copy.copy(self.predictor(settings.checkpoint))  # shares the network
        predictor.config = predictor.config.with_changes(size=settings.size, scales=settings.scales, flip=settings.flip)
        times: dict[str, float] = {}
        with self._lock:
            try:
                image = _timed(times, "read", lambda: read_image(path, most_pixels=self._most_pixels))
            except ImageError as error:
                raise ImageError(f"{name}: {str(error).removeprefix(f'{path}: ')}") from None
            prepared = [_timed(times, "resize and pad", lambda: predictor.prepare(image))]
            outputs = _timed(times, "network", lambda: _finished(predictor, predictor.run_network(prepared)))
            averaged = _timed(times, "average", lambda: _finished(predictor, predictor.average(prepared, outputs)[0]))
            channels = predictor.channels
            maps = averaged.maps[: channels.num_maps].cpu().numpy()
            grid = (maps, channels, averaged.frame, predictor.stride)
            peaks, parts, poses, decoding = _decode(*grid, config)
        return Analysis(
            name, settings, config, image, _preview(image), *grid, peaks, parts, poses, {**times, **decoding}
        )

    def decode(self, analysis: Analysis, config: DecodeConfig) -> Analysis:
        """The same picture and maps, decoded by other rules."""
        with self._lock:
            grid = (analysis.maps, analysis.channels, analysis.frame, analysis.stride)
            peaks, parts, poses, decoding = _decode(*grid, config)
        times = {**analysis.times, **decoding}
        return replace(analysis, config=config, peaks=peaks, parts=parts, poses=poses, times=times)


def _decode(
    maps: NDArray[np.float32], channels: MapChannels, frame: Frame, stride: int, config: DecodeConfig
) -> tuple[Peaks, CandidateParts, Poses, dict[str, float]]:
    """The steps of `simplepose.decode` with their results and times; the people are those of `Predictor.decode`."""
    skeleton = channels.skeleton
    times: dict[str, float] = {}
    peaks = _timed(times, "find_peaks", lambda: find_peaks(maps, skeleton, config)[0])
    parts = _timed(times, "match_parts", lambda: match_parts(maps, peaks, skeleton, config)[0])
    poses = _timed(times, "assign_keypoints", lambda: assign_keypoints(peaks, parts, skeleton, config, stride)[0])
    poses.keypoints[..., :2] = frame.to_image(poses.keypoints[..., :2])
    return peaks, parts, poses, times


def _preview(image: Image) -> Image:
    side = max(image.shape[:2])
    if side <= PREVIEW_SIDE:
        return image
    width, height = (max(1, round(n * PREVIEW_SIDE / side)) for n in image.shape[1::-1])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _finished(predictor: Predictor, value: Any) -> Any:
    """Wait until the device has computed ``value``, then return it."""
    if predictor.device.type == "cuda":
        import torch

        torch.cuda.synchronize(predictor.device)
    return value


def _timed(times: dict[str, float], stage: str, call: Callable[[], Result]) -> Result:
    start = time.perf_counter()
    result = call()
    times[stage] = 1000 * (time.perf_counter() - start)
    return result
