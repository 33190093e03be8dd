"""Fixtures of the benchmarks of the decoding ops."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import scene_maps
from turns import SCENES

PEOPLE = [1, 5, 10, 20, 30]


@pytest.fixture(scope="module", params=PEOPLE, ids=lambda count: f"{count}_people")
def scenes(request):
    """``[SCENES, 48, 128, 128]`` maps of synthetic people."""
    return np.stack([scene_maps(request.param, seed) for seed in range(SCENES)])
