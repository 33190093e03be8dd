"""Weights in the layout of the paper's released checkpoints, brought to this package's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from simplepose.model import IMHN, ModelConfig

RELEASED_PREFIX = "posenet."

# (pattern of this package's names, the released name); the first that matches the start of a name replaces it.
_PLACES = [
    (re.compile(pattern), released)
    for pattern, released in [
        (r"stem\.conv\.conv", "pre.conv1"),
        (r"stem\.conv\.norm", "pre.bn1"),
        (r"stem\.widen", "pre.res1"),
        (r"stem\.refine", "pre.res2"),
        (r"stem\.dilated", "pre.dilation"),
        (r"stacks\.(\d+)\.hourglass\.depths\.(\d+)\.skip", r"hourglass.\1.hg.\2.0"),
        (r"stacks\.(\d+)\.hourglass\.depths\.(\d+)\.widen", r"hourglass.\1.hg.\2.1"),
        (r"stacks\.(\d+)\.hourglass\.depths\.(\d+)\.narrow", r"hourglass.\1.hg.\2.2"),
        (r"stacks\.(\d+)\.hourglass\.depths\.(\d+)\.upsample\.block", r"hourglass.\1.hg.\2.3"),
        (r"stacks\.(\d+)\.hourglass\.deepest", r"hourglass.\1.hg.3.4"),
        (r"stacks\.(\d+)\.heads\.(\d+)\.refine", r"features.\1.before_regress.\2"),
        (r"stacks\.(\d+)\.heads\.(\d+)\.attention\.squeeze", r"features.\1.before_regress.\2.2.fc.0"),
        (r"stacks\.(\d+)\.heads\.(\d+)\.attention\.excite", r"features.\1.before_regress.\2.2.fc.2"),
        (r"stacks\.(\d+)\.heads\.(\d+)\.predict", r"outs.\1.\2.conv"),
        (r"stacks\.(\d+)\.merges\.(\d+)\.features", r"merge_features.\1.\2.conv"),
        (r"stacks\.(\d+)\.merges\.(\d+)\.maps", r"merge_preds.\1.\2.conv"),
    ]
]
