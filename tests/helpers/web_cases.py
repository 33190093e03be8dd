"""A picture with blobs, the predictor that finds them, and requests to the page's workbench."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from helpers.fake_network import FACE, blob_image, blob_network
from simplepose.inference.predictor import Predictor
from simplepose.ops.config import DecodeConfig
from simplepose.web.analysis import Analyzer
from simplepose.web.settings import CONTROLS, NetworkSettings
from simplepose.web.workbench import Request

DECODING: dict[str, Any] = {control.name: getattr(DecodeConfig(), control.name) for control in CONTROLS}
SETTINGS: dict[str, Any] = {"checkpoint": "blobs", "size": 192, "scales": [1.0], "flip": False}
VIEW: dict[str, Any] = {"layer": "people", "index": 0, "blend": 0.75, "min_keypoints": 1}


def blob_file(path: Path, height: int = 192, width: int = 256) -> NDArray[np.uint8]:
    """Write a picture of blobs, and return it; its network input at size 192 is the picture itself."""
    image, _ = blob_image(height, width)
    assert cv2.imwrite(str(path), image)
    return image


def blob_analyzer(network: Any = blob_network, most_pixels: int = 10**6) -> Analyzer:
    return Analyzer({"blobs": Predictor(network, FACE), "other": Predictor(blob_network, FACE, size=64)}, most_pixels)


def network_settings(**changes: Any) -> NetworkSettings:
    return NetworkSettings(**{**SETTINGS, **changes})


def request(upload: Path | None, **changes: Any) -> Request:
    """A request for an uploaded file; a change of ``view``, ``settings`` or ``decoding`` is merged into the default."""
    values = {"settings": SETTINGS, "decoding": DECODING, "view": VIEW}
    merged = {name: {**value, **changes.pop(name, {})} for name, value in values.items()}
    sent = None if upload is None else {"path": str(upload), "orig_name": upload.name}
    return Request(**{"analysis": None, "upload": sent, **merged, **changes})
