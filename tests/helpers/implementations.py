"""The implementations of the ops by name, for direct calls without the dispatch."""

from types import SimpleNamespace

from simplepose.ops.pytorch import find_peaks as pytorch_find_peaks
from simplepose.ops.pytorch import match_parts as pytorch_match_parts
from simplepose.ops.pytorch import render_targets as pytorch_render_targets
from simplepose.ops.reference import assign_keypoints, find_peaks, match_parts, render_targets

reference = SimpleNamespace(
    find_peaks=find_peaks.find_peaks,
    match_parts=match_parts.match_parts,
    assign_keypoints=assign_keypoints.assign_keypoints,
    render_targets=render_targets.render_targets,
)
pytorch = SimpleNamespace(
    find_peaks=pytorch_find_peaks.find_peaks,
    match_parts=pytorch_match_parts.match_parts,
    render_targets=pytorch_render_targets.render_targets,
)
