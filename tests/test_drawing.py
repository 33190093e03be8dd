"""Drawing: shapes at the keypoints' positions in the skeleton's colors; extreme coordinates and image sizes."""

from __future__ import annotations

import numpy as np
import pytest

from simplepose.drawing.heatmaps import draw_heatmaps, side_by_side
from simplepose.drawing.people import DrawConfig, draw_poses
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO, Skeleton

STICK = Skeleton("stick", ("a", "b", "c"), (("a", "b"), ("b", "c")), colors=((255, 0, 0), (0, 255, 0), (0, 0, 255)))
GRAY = np.full((120, 160, 3), 128, np.uint8)


def stick(*keypoints: tuple[float, float, float]) -> Poses:
    return Poses(np.float32([keypoints]), np.float32([1.5]), STICK)


def change(picture: np.ndarray, image: np.ndarray = GRAY) -> np.ndarray:
    """``[H, W]`` sum of absolute differences over the channels."""
    return np.abs(picture.astype(int) - image).sum(2)


def test_parts_are_drawn_in_the_color_of_their_second_keypoint() -> None:
    """A part has the color of its second keypoint, given as RGB and drawn as BGR; the input is not modified."""
    image = GRAY.copy()
    picture = draw_poses(image, stick((30.0, 60.0, 1.0), (80.0, 60.0, 1.0), (130.0, 60.0, 1.0)))
    assert np.array_equal(image, GRAY)
    first, second = picture[60, 55].astype(int), picture[60, 105].astype(int)
    assert first[1] > 200 > 60 > first[0]
    assert second[0] > 200 > 60 > second[1]
    changed = np.argwhere(change(picture) > 0)
    assert np.abs(changed[:, 0] - 60).max() < 8
    assert 20 < changed[:, 1].min() < 30
    assert 130 < changed[:, 1].max() < 140


@pytest.mark.parametrize("at", [(60.0, 60.0), (60.25, 60.5), (60.75, 59.5)])
def test_positions_are_subpixel(at: tuple[float, float]) -> None:
    """The centroid of the changed pixels lies on the keypoint, pixel centers at integers."""
    nan = (np.nan, np.nan, 0.0)
    weight = change(draw_poses(GRAY, stick((*at, 1.0), nan, nan), DrawConfig(min_keypoints=1, thickness=9.0)))
    y, x = np.mgrid[:120, :160]
    middle = [(axis * weight).sum() / weight.sum() for axis in (x, y)]
    assert middle == pytest.approx(at, abs=0.1)


def test_opacity_grows_with_the_score() -> None:
    """A higher score changes the image more; opacity 0 draws nothing."""
    high, low = (stick((30, 60, s), (80, 60, s), (130, 60, s)) for s in (0.9, 0.2))
    amounts = [change(draw_poses(GRAY, p)).sum() for p in (high, low)]
    assert amounts[0] > 1.3 * amounts[1] > 0
    assert np.array_equal(draw_poses(GRAY, high, DrawConfig(opacity=0.0)), GRAY)


def test_overlapping_parts_do_not_add_up() -> None:
    """Where two translucent parts of a person overlap, the color is that of one part."""
    doubled = stick((20, 60, 0.1), (140, 60, 0.1), (20, 60, 0.1))
    picture = draw_poses(GRAY, doubled, DrawConfig(opacity=0.5, thickness=8.0)).astype(int)
    assert picture[60, 80, 0] - 128 == pytest.approx(0.5 * (0.35 + 0.65 * 0.1) * (255 - 128), abs=2)


def test_width_grows_with_the_person() -> None:
    def rows(size: float) -> int:
        image = np.full((1000, 1000, 3), 128, np.uint8)
        poses = stick((100, 500, 1), (100 + size / 2, 500, 1), (100 + size, 500, 1))
        return int((change(draw_poses(image, poses), image)[:, int(100 + size / 4)] > 30).sum())

    assert 2 <= rows(40) < rows(400) < rows(800) <= 40


def test_min_keypoints_and_min_score_select_people() -> None:
    two = stick((30, 60, 1), (80, 60, 1), (np.nan, np.nan, 0))
    assert np.array_equal(draw_poses(GRAY, two), GRAY)
    assert change(draw_poses(GRAY, two, DrawConfig(min_keypoints=2))).any()
    assert np.array_equal(draw_poses(GRAY, two, DrawConfig(min_keypoints=2, min_score=1.6)), GRAY)
    assert np.array_equal(draw_poses(GRAY, Poses.empty()), GRAY)


@pytest.mark.parametrize("config", [DrawConfig(), DrawConfig(boxes=True, scores=True, names=True, colors="people")])
def test_extreme_coordinates_and_image_sizes(config: DrawConfig) -> None:
    """Keypoints off the image, far away or not finite raise no error; a part that crosses the image is drawn."""
    values = [0.0, -5.0, 1e3, -1e9, 3e38, np.nan, np.inf, -np.inf]
    rng = np.random.default_rng(0)
    keypoints = rng.choice(np.float32(values), (40, 18, 3))
    keypoints[..., 2] = rng.uniform(0.1, 2, (40, 18))
    people = Poses(keypoints, np.ones(40, np.float32))
    for shape in ((1, 1, 3), (1, 300, 3), (200, 2, 3), (90, 120, 3)):
        image = np.zeros(shape, np.uint8)
        assert draw_poses(image, people, config).shape == shape
        assert not image.any()
    across = draw_poses(GRAY, stick((-1e4, 60, 1), (1e4, 60, 1), (5, 5, 1)), config)
    assert (change(across)[60] > 0).all()


def test_text_and_boxes_are_drawn() -> None:
    poses = stick((30, 60, 1), (80, 60, 1), (130, 70, 1))
    plain = draw_poses(GRAY, poses)
    for name in ("boxes", "scores", "names"):
        assert change(draw_poses(GRAY, poses, DrawConfig(**{name: True})), plain).any(), name


def test_heatmap_cells_are_drawn_at_their_positions() -> None:
    """A single bright cell is centered at (i + 1/2) cell_size - 1/2; without cell_size the maps cover the image."""
    maps = np.zeros((2, 30, 40), np.float32)
    maps[1, 12, 20] = 1
    for cell, expected in (((3.5, 3.75), (71.25, 46.375)), (None, (81.5, 49.5))):
        weight = change(
            draw_heatmaps(GRAY, maps, cell_size=cell, opacity=1.0), draw_heatmaps(GRAY, maps * 0, opacity=1.0)
        )
        y, x = np.mgrid[:120, :160]
        middle = [(axis * weight).sum() / weight.sum() for axis in (x, y)]
        assert middle == pytest.approx(expected, abs=0.1)


def test_heatmaps_may_hold_any_values() -> None:
    maps = np.float32([[np.nan, np.inf], [-np.inf, -7]])
    assert np.array_equal(draw_heatmaps(GRAY, maps, opacity=0.0), GRAY)
    assert draw_heatmaps(GRAY[:1, :1], maps).shape == (1, 1, 3)


def test_side_by_side_scales_panels_to_one_height() -> None:
    picture = side_by_side([GRAY, GRAY[:60]], ["left", "right"])
    height, width = picture.shape[:2]
    assert height > 120
    assert width > 160 + 320
    assert (side_by_side([GRAY]) == GRAY).all()
    assert side_by_side([GRAY, GRAY[:1, :1]], height=40).shape[0] == 40


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: draw_poses(GRAY.astype(np.float32), Poses.empty()),
            TypeError,
            "image: expected a uint8 array .* float32",
        ),
        (lambda: draw_poses(GRAY[..., 0], Poses.empty()), TypeError, r"image: .* \[120, 160\]"),
        (lambda: draw_poses("a.jpg", Poses.empty()), TypeError, "image: .* str 'a.jpg'"),
        (lambda: draw_poses(GRAY, []), TypeError, "poses: expected a Poses"),
        (lambda: draw_heatmaps(GRAY, np.zeros((2, 2), int)), TypeError, "maps: expected floats"),
        (
            lambda: draw_heatmaps(GRAY, np.zeros((2, 2)), opacity=2),
            ValueError,
            "opacity: expected a finite number at least 0, at most 1, got 2",
        ),
        (lambda: side_by_side([]), ValueError, "panels: expected at least one"),
        (lambda: side_by_side([GRAY], ["a", "b"]), ValueError, "titles: expected one for each of 1 panels, got 2"),
        (lambda: DrawConfig(colors="red"), ValueError, "colors: expected one of 'parts', 'people', got 'red'"),
        (lambda: DrawConfig(opacity="1"), TypeError, "opacity: expected a number"),
        (
            lambda: DrawConfig(thickness=0.0),
            ValueError,
            "thickness: expected a finite number at least 0.5, at most 1000",
        ),
    ],
)
def test_invalid_arguments_are_rejected_with_a_message(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_every_shipped_color_is_used() -> None:
    """Each keypoint of a complete COCO person is drawn in its color."""
    xy = np.stack([20 + 60 * (np.arange(18) % 6), 30 + 60 * (np.arange(18) // 6)], 1)
    keypoints = np.concatenate([xy, np.ones((18, 1))], 1)[None].astype(np.float32)
    picture = draw_poses(np.zeros((200, 360, 3), np.uint8), Poses(keypoints, np.float32([18])))
    for color, (x, y) in zip(COCO.colors, xy, strict=True):
        lighter = np.array(color) + 0.35 * (255 - np.array(color))
        assert np.abs(picture[y, x, ::-1] - 0.95 * lighter).max() < 3


NAN_3 = (float("nan"), float("nan"), 0.0)


def with_ellipse(covariance: list[list[float]]) -> Poses:
    poses = stick((80.0, 60.0, 1.0), NAN_3, NAN_3)
    poses.covariance = np.full((1, 3, 2, 2), np.nan, np.float32)
    poses.covariance[0, 0] = covariance
    return poses


def ellipse_change(poses: Poses) -> np.ndarray:
    """What ``uncertainty=True`` adds to the picture."""
    plain, more = (DrawConfig(min_keypoints=1, thickness=3.0, uncertainty=u) for u in (False, True))
    return change(draw_poses(GRAY, poses, more), draw_poses(GRAY, poses, plain))


def test_ellipses_have_one_standard_deviation_and_their_direction() -> None:
    covariance = np.array([[500.0, 300.0], [300.0, 400.0]])
    y, x = np.nonzero(ellipse_change(with_ellipse(covariance.tolist())) > 60)
    offset = np.stack([x, y], 1) - [80, 60]
    distance = np.sqrt(np.einsum("ni,ij,nj->n", offset, np.linalg.inv(covariance), offset))
    assert len(distance) > 80
    assert 0.75 < distance.min() < distance.mean() < 1.1
    assert distance.max() < 1.35
    assert abs(distance.mean() - 1) < 0.05


@pytest.mark.parametrize(
    "covariance",
    [[[np.nan] * 2] * 2, [[-4.0, 0], [0, 9]], [[4.0, 9], [9, 4]], [[1e30, 0], [0, 1e30]], [[np.inf, 0], [0, 4]]],
)
def test_a_covariance_that_is_no_ellipse_is_not_drawn(covariance: list[list[float]]) -> None:
    assert ellipse_change(with_ellipse([[100, 0], [0, 100]])).any()
    assert not ellipse_change(with_ellipse(covariance)).any()


def test_ellipses_need_a_covariance() -> None:
    with pytest.raises(ValueError, match="poses: expected a covariance with uncertainty=True"):
        draw_poses(GRAY, stick((80.0, 60.0, 1.0), NAN_3, NAN_3), DrawConfig(uncertainty=True))
