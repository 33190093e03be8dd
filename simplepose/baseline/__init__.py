"""Vectorised PyTorch versions of the ops: the fallback on devices without a kernel, and rows of the benchmarks."""

from simplepose.baseline.find_peaks import find_peaks
from simplepose.baseline.render_targets import render_targets

__all__ = ["find_peaks", "render_targets"]
