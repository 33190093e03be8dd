"""Vectorised PyTorch versions of the ops: what runs on devices without a kernel, and rows of the benchmarks."""

from simplepose.baseline.find_peaks import find_peaks
from simplepose.baseline.match_parts import match_parts
from simplepose.baseline.render_targets import render_targets

__all__ = ["find_peaks", "match_parts", "render_targets"]
