"""What the page shows: every layer shows its own maps, and captions and tables state the numbers of the analysis."""

from __future__ import annotations

import numpy as np
import pytest

from simplepose.cli.demo import make_scene
from simplepose.data.images import write_image
from simplepose.drawing.candidates import draw_candidates
from simplepose.drawing.heatmaps import draw_heatmaps
from simplepose.drawing.people import DrawConfig, draw_poses
from simplepose.inference.predictor import Predictor
from simplepose.ops.config import DecodeConfig
from simplepose.skeleton.skeleton import COCO
from simplepose.web.analysis import Analysis, Analyzer
from simplepose.web.settings import LAYERS, NetworkSettings, View
from simplepose.web.views import caption, draw_view, map_names, people_table, summary, times_table


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """A synthetic scene of 512 x 512 pixels, which is its own preview, analyzed by `tiny`."""
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    write_image(path, make_scene(7)[0])
    analyzer = Analyzer({"tiny": Predictor.from_checkpoint("tiny", "cpu")})
    return analyzer.analyze(path, "scene.png", NetworkSettings("tiny", 256, flip=True), DecodeConfig())


def test_every_layer_shows_its_maps(scene: Analysis) -> None:
    image, cell, maps = scene.preview, scene.cell_size, scene.maps
    candidates = (image, scene.peaks, scene.parts, COCO)
    expected = {
        View("people", 0, 0.6): draw_poses(image, scene.poses, DrawConfig(opacity=0.6)),
        View("people", min_keypoints=15, boxes=True, names=True): draw_poses(
            image, scene.poses, DrawConfig(15, opacity=0.75, boxes=True, names=True)
        ),
        View("keypoint maps", 0, 0.6): draw_heatmaps(image, maps[30:48], cell_size=cell, opacity=0.6),
        View("keypoint maps", 18): draw_heatmaps(image, maps[47], cell_size=cell),
        View("part maps"): draw_heatmaps(image, maps[:30], cell_size=cell),
        View("part maps", 1): draw_heatmaps(image, maps[0], cell_size=cell),
        View("candidate parts", 0, 0.6): draw_candidates(*candidates, cell_size=cell, opacity=0.6),
        View("candidate parts", 30): draw_candidates(*candidates, cell_size=cell, part=29, opacity=0.75),
        View("keypoint maps", people=True): draw_poses(draw_heatmaps(image, maps[30:48], cell_size=cell), scene.poses),
    }
    pictures = [draw_view(scene, view) for view in expected]
    for picture, view in zip(pictures, expected, strict=True):
        assert np.array_equal(picture, expected[view]), view
    assert len({picture.tobytes() for picture in pictures}) == len(expected)  # no two views look the same


def test_a_blend_of_0_shows_the_picture_itself(scene: Analysis) -> None:
    for layer in LAYERS:
        assert np.array_equal(draw_view(scene, View(layer, blend=0)), scene.preview), layer


def test_an_index_beyond_the_maps_is_refused(scene: Analysis) -> None:
    for layer, most in zip(LAYERS, (0, 18, 30, 30), strict=True):
        assert len(map_names(COCO, layer)) == most
        draw_view(scene, View(layer, most))
        for call in (draw_view, caption):
            with pytest.raises(ValueError, match=f"map: expected 0 to {most} with {layer}, got {most + 1}"):
                call(scene, View(layer, most + 1))


def test_captions_state_what_is_shown(scene: Analysis) -> None:
    shoulder = int((scene.parts.type == 0).sum())
    start, end = COCO.parts[0]
    assert caption(scene, View("keypoint maps", 1)) == f"1 of 18: nose; maximum {scene.maps[30].max():.2f}"
    assert caption(scene, View("part maps")) == f"all; maximum {scene.maps[:30].max():.2f}"
    peaks = len(scene.peaks.type)
    one = caption(scene, View("candidate parts", 1))
    assert one == f"1 of 30: {start} to {end}; {shoulder} candidates, {peaks} peaks"
    assert caption(scene, View("candidate parts")) == f"all; {len(scene.parts.type)} candidates, {peaks} peaks"
    assert caption(scene, View()) == f"{len(scene.poses)} people, with any number of keypoints"


def test_tables_and_summary_count_the_people_that_are_shown(scene: Analysis) -> None:
    counts = scene.poses.visible.sum(1)
    for least in (1, 3, 15):
        rows = people_table(scene, View(min_keypoints=least))
        assert [int(row[2]) for row in rows] == counts[counts >= least].tolist()
        assert [row[0] for row in rows] == [str(i + 1) for i in range(len(rows))]
        people = f"{len(rows)} people with {least} keypoint{'s' * (least > 1)} or more in scene.png (512 x 512 pixels)"
        assert summary(scene, View(min_keypoints=least)) == f"{people}; tiny, input 256 px, scales 1, flip testing"
    first = people_table(scene, View(min_keypoints=1))[0]
    assert first[1] == f"{scene.poses.scores[0]:.2f}"
    assert first[3:] == [f"{side:.0f}" for side in scene.poses.boxes[0]]
    *stages, total = times_table(scene)
    assert [row[0] for row in stages] == list(scene.times)
    assert float(total[1]) == pytest.approx(sum(float(row[1]) for row in stages), abs=0.5)
