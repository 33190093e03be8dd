"""Vectorised PyTorch versions of the ops: the fallback on devices without a kernel, and rows of the benchmarks."""

from simplepose.baseline.render_targets import render_targets

__all__ = ["render_targets"]
