"""Draw the pictures of docs/decoding.md, one for each op: `python docs/draw_ops.py`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import simplepose as sp
from simplepose.cli.demo import make_scene
from simplepose.data.images import write_image
from simplepose.drawing.heatmaps import draw_heatmaps, side_by_side
from simplepose.drawing.people import draw_poses
from simplepose.evaluation.oracle import oracle_maps

OUT = Path(__file__).parent / "images"
WHITE, GREEN, GRAY = (255, 255, 255), (90, 230, 90), (150, 150, 150)
Image = NDArray[np.uint8]


def dot(image: Image, xy: NDArray[np.float32], color: tuple[int, int, int], radius: float) -> None:
    center = (round(float(xy[0]) * 16), round(float(xy[1]) * 16))
    cv2.circle(image, center, round((radius + 1.5) * 16), (20, 20, 20), -1, cv2.LINE_AA, 4)
    cv2.circle(image, center, round(radius * 16), color, -1, cv2.LINE_AA, 4)


def line(image: Image, a: NDArray[np.float32], b: NDArray[np.float32], color: tuple[int, int, int], width: int) -> None:
    ends = [(round(float(p[0]) * 16), round(float(p[1]) * 16)) for p in (a, b)]
    cv2.line(image, *ends, color, width, cv2.LINE_AA, 4)


def main() -> None:
    image, annotations = make_scene(seed=7)
    keypoints = annotations.keypoints(1)
    size = image.shape[:2]
    maps = oracle_maps(keypoints, size, noise_seed=3)
    peaks = sp.find_peaks(maps)[0]
    parts = sp.match_parts(maps, peaks)[0]
    poses = sp.assign_keypoints(peaks, parts)[0]
    xy = peaks.xy * 4 + 1.5
    knee, thigh = sp.COCO.keypoints.index("left_knee"), sp.COCO.parts.index(("left_hip", "left_knee"))
    dim = (image * 0.45).astype(np.uint8)

    targets = sp.render_targets(keypoints, size)
    lines = sp.render_targets(keypoints, size, config=sp.TargetConfig(shape="line"))
    panels = [draw_heatmaps(image, targets[30 + knee][None]), draw_heatmaps(image, targets[thigh][None])]
    panels.append(draw_heatmaps(image, lines[thigh][None]))
    titles = ["left knee", "left thigh, ellipse (the paper)", "left thigh, line (the released code)"]
    write_image(OUT / "render_targets.jpg", side_by_side(panels, titles))

    found = draw_heatmaps(image, maps[30 + knee][None])
    for position in xy[peaks.type == knee]:
        dot(found, position, GREEN, 4)
    everything = dim.copy()
    for position, kind in zip(xy, peaks.type, strict=True):
        dot(everything, position, sp.COCO.colors[kind][::-1], 3)
    write_image(OUT / "find_peaks.jpg", side_by_side([found, everything], ["noisy map, left knee: peaks", "all peaks"]))

    scored = draw_heatmaps(image, maps[thigh][None])
    hips, knees = (np.nonzero(peaks.type == sp.COCO.keypoints.index(k))[0] for k in ("left_hip", "left_knee"))
    chosen = {
        (a, b) for a, b in zip(parts.from_peak[parts.type == thigh], parts.to_peak[parts.type == thigh], strict=True)
    }
    for a in hips:
        for b in knees:
            if (a, b) not in chosen:
                line(scored, xy[a], xy[b], GRAY, 1)
    for a, b in chosen:
        line(scored, xy[a], xy[b], GREEN, 2)
    every = dim.copy()
    for a, b in zip(parts.from_peak, parts.to_peak, strict=True):
        line(every, xy[a], xy[b], WHITE, 1)
    titles = ["left thigh: pairs, and candidates", "candidates of all 30 part types"]
    write_image(OUT / "match_parts.jpg", side_by_side([scored, every], titles))

    merged = sp.assign_keypoints(
        peaks, parts, config=sp.DecodeConfig(reassign=False, join_distance=0, min_single_score=0)
    )[0]
    panels = [draw_poses(dim, merged.at_least(2)), draw_poses(image, poses)]
    write_image(OUT / "assign_keypoints.jpg", side_by_side(panels, ["merged by part score", "reassigned and joined"]))


if __name__ == "__main__":
    main()
