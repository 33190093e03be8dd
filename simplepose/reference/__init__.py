"""The normative ops in plain NumPy and Python: readable as the paper, and the judge of every faster version."""

from simplepose.reference.assign_keypoints import assign_keypoints
from simplepose.reference.find_peaks import find_peaks
from simplepose.reference.match_parts import match_parts
from simplepose.reference.render_targets import render_targets

__all__ = ["assign_keypoints", "find_peaks", "match_parts", "render_targets"]
