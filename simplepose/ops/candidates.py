"""Input and result types of the decoding ops: maps, and the peaks and candidate parts of one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    Maps: TypeAlias = NDArray[np.floating[Any]] | torch.Tensor
    """``[C, H, W]`` or ``[B, C, H, W]`` float32, float16 or (tensors) bfloat16."""


class Peaks(NamedTuple):
    """Candidate keypoints of one image, ordered by type, then by descending score, then by raster index."""

    type: NDArray[np.int32]  # [N] keypoint type, ascending
    xy: NDArray[np.float32]  # [N, 2] position in grid cells, a multiple of 1/256
    score: NDArray[np.float32]  # [N] the map's value at the peak's cell
    truncated: bool  # whether a keypoint type had more than max_peaks peaks


class CandidateParts(NamedTuple):
    """Scored pairs of peaks of one image, ordered by part type, then by descending score, then by peak indices."""

    type: NDArray[np.int32]  # [M] part type, ascending
    from_peak: NDArray[np.int32]  # [M] index into Peaks
    to_peak: NDArray[np.int32]  # [M] index into Peaks
    response: NDArray[np.float32]  # [M] part response: the mean of the samples of the part map
    score: NDArray[np.float32]  # [M] part score: ranks the candidates and adds to the score of a pose
