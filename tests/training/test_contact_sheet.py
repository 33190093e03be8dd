"""Ground-truth poses on an image: visible, hidden and unlabeled keypoints."""

import numpy as np

from simplepose.skeleton.skeleton import Skeleton
from simplepose.training.contact_sheet import draw_ground_truth

SKELETON = Skeleton("line", ("a", "b"), (("a", "b"),))
IMAGE = np.full((64, 160, 3), 128, np.uint8)


def change(*keypoints):
    """``[H, W]`` absolute change of the image by people with these keypoints (x, y, visibility)."""
    picture = draw_ground_truth(IMAGE, np.float32(keypoints).reshape(-1, 2, 3), SKELETON)
    return np.abs(picture.astype(int) - IMAGE).sum(2)


def test_hidden_keypoints_are_fainter_than_visible_ones():
    visible, hidden = change((40, 32, 2), (120, 32, 2)), change((40, 32, 1), (120, 32, 1))
    assert visible[32, 80] > 1.5 * hidden[32, 80] > 0
    assert visible[32, 40] > 1.5 * hidden[32, 40] > 0


def test_unlabeled_keypoints_are_not_drawn():
    assert not change((40, 32, 0), (120, 32, 0)).any()
    one = change((40, 32, 2), (120, 32, 0))
    assert one[:, :60].any()
    assert not one[:, 60:].any()


def test_an_image_without_people_is_unchanged():
    assert not change().any()
