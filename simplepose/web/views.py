"""What the page shows of an analysis: pictures, captions and tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplepose.drawing.candidates import draw_candidates
from simplepose.drawing.heatmaps import draw_heatmaps, part_strength
from simplepose.drawing.people import DrawConfig, draw_poses
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import Skeleton
from simplepose.web.analysis import Analysis
from simplepose.web.settings import Layer, View

Image = NDArray[np.uint8]

PEOPLE_HEADER = ("person", "score", "keypoints", "left", "top", "right", "bottom")
TIMES_HEADER = ("stage", "ms")


def map_names(skeleton: Skeleton, layer: Layer) -> tuple[str, ...]:
    """The names of the maps of a layer; a view's ``index`` 1 is the first of them."""
    if layer == "people":
        return ()
    if layer == "keypoint maps":
        return skeleton.keypoints
    return tuple(f"{start} to {end}" for start, end in skeleton.parts)


def draw_view(analysis: Analysis, view: View) -> Image:
    """The preview with what the view selects drawn over it, BGR.

    Raises:
        ValueError: the view's index is beyond the maps of its layer.
    """
    chosen = _chosen(analysis, view)
    if view.layer == "people":
        return draw_people(analysis.preview, analysis.preview_poses(), view, view.blend)
    if view.layer == "candidate parts":
        picture = draw_candidates(
            analysis.preview,
            analysis.peaks,
            analysis.parts,
            analysis.channels.skeleton,
            cell_size=analysis.cell_size,
            part=chosen,
            opacity=view.blend,
        )
    else:
        maps = _maps(analysis, view.layer, chosen)
        picture = draw_heatmaps(analysis.preview, maps, cell_size=analysis.cell_size, opacity=view.blend)
    return draw_people(picture, analysis.preview_poses(), view) if view.people else picture


def draw_people(image: Image, poses: Poses, view: View, opacity: float = 0.95) -> Image:
    """``image`` with the people drawn on it as the view selects; ``poses`` are in its pixels."""
    drawing = DrawConfig(min_keypoints=view.min_keypoints, boxes=view.boxes, names=view.names, opacity=opacity)
    return draw_poses(image, poses, drawing)


def caption(analysis: Analysis, view: View) -> str:
    """A line about what the view shows.

    Raises:
        ValueError: the view's index is beyond the maps of its layer.
    """
    chosen = _chosen(analysis, view)
    names = map_names(analysis.channels.skeleton, view.layer)
    if view.layer == "people":
        return f"{_count(len(analysis.poses), 'person', 'people')}, with any number of keypoints"
    which = "all" if chosen is None else f"{chosen + 1} of {len(names)}: {names[chosen]}"
    if view.layer == "candidate parts":
        found = len(analysis.parts.type) if chosen is None else int((analysis.parts.type == chosen).sum())
        return (
            f"{which}; {_count(found, 'candidate', 'candidates')}, {_count(len(analysis.peaks.type), 'peak', 'peaks')}"
        )
    return f"{which}; maximum {_maps(analysis, view.layer, chosen).max():.2f}"


def summary(analysis: Analysis, view: View) -> str:
    """A line about the people that were found."""
    shown = len(analysis.poses.at_least(view.min_keypoints))
    settings = analysis.settings
    scales = ", ".join(f"{scale:g}" for scale in settings.scales)
    height, width = analysis.image.shape[:2]
    people = _count(shown, "person", "people")
    least = _count(view.min_keypoints, "keypoint", "keypoints")
    return (
        f"{people} with {least} or more in {analysis.name} ({width} x {height} pixels); {settings.checkpoint}, "
        f"input {settings.size} px, scales {scales}{', flip testing' if settings.flip else ''}"
    )


def people_table(analysis: Analysis, view: View) -> list[list[str]]:
    """One row for each person that is shown: number, score, keypoints and box in pixels of the picture."""
    shown = analysis.poses.at_least(view.min_keypoints)
    counts = shown.visible.sum(1)
    return [
        [str(number), f"{score:.2f}", str(count), *(f"{side:.0f}" for side in box)]
        for number, (score, count, box) in enumerate(zip(shown.scores, counts, shown.boxes, strict=True), 1)
    ]


def times_table(analysis: Analysis) -> list[list[str]]:
    """The milliseconds of every stage, and their sum."""
    rows = [[stage, f"{milliseconds:.1f}"] for stage, milliseconds in analysis.times.items()]
    return [*rows, ["sum", f"{sum(analysis.times.values()):.1f}"]]


def _chosen(analysis: Analysis, view: View) -> int | None:
    """The index of the map that the view shows; None: all."""
    names = map_names(analysis.channels.skeleton, view.layer)
    if view.index > len(names):
        raise ValueError(f"map: expected 0 to {len(names)} with {view.layer}, got {view.index}")
    return view.index - 1 if view.index else None


def _maps(analysis: Analysis, layer: Layer, chosen: int | None) -> NDArray[np.floating]:
    """The maps ``[K, h, w]`` of a layer, or one of them ``[1, h, w]``."""
    channels = analysis.channels
    if layer == "keypoint maps":
        maps: NDArray[np.floating] = analysis.maps[channels.keypoints]
    else:
        maps = part_strength(analysis.maps[channels.parts], channels.encoding)
    return maps if chosen is None else maps[chosen : chosen + 1]


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
