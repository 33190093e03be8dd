"""The dataset: the choice of main people, the masks, and one affine warp for image, masks and keypoints."""

import json
import re
from itertools import chain

import cv2
import numpy as np
import pytest
import torch
from helpers.shared_data import shared
from pycocotools import mask as coco_mask

from simplepose import Skeleton, TargetConfig
from simplepose.data.annotations import find_data, read_annotations
from simplepose.data.augment import AugmentConfig, draw_outlines, draw_transform, warp_image
from simplepose.data.dataset import COCODataset, collate, main_people, make_loader
from simplepose.data.images import ImageError
from simplepose.data.targets import erode, make_targets
from simplepose.inference.frame import Frame
from simplepose.training.contact_sheet import inspect_data

TOY = Skeleton(
    "toy",
    ("tip", "left", "right", "tail"),
    (("tip", "left"), ("tip", "right"), ("left", "tail"), ("right", "tail")),
    left_right=(("left", "right"),),
)
HEIGHT, WIDTH = 200, 300


def person(key, keypoints, box, **more):
    return {
        "id": key,
        "image_id": 1,
        "category_id": 7,
        "keypoints": [v for point in keypoints for v in point],
        "bbox": list(box),
        "area": box[2] * box[3],
        "iscrowd": 0,
        **more,
    }


PEOPLE = (
    person(1, [(100, 60, 2), (80, 100, 1), (120, 101, 2), (0, 0, 0)], (70, 50, 60, 90)),
    person(2, [(210, 70, 2), (200, 90, 2), (220, 90, 2), (210, 120, 2)], (190, 60, 40, 70)),
)


@pytest.fixture
def write_data(tmp_path):
    """A function that writes an annotation file and its only image, and returns the path of the file."""

    def write(people=PEOPLE, image=None, name="a.jpg", **changes):
        image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8) if image is None else image
        cv2.imwrite(str(tmp_path / name), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        data = {
            "images": [{"id": 1, "file_name": name, "height": image.shape[0], "width": image.shape[1]}],
            "categories": [{"id": 7, "name": "arrow", "keypoints": list(TOY.keypoints)}],
            "annotations": list(people),
            **changes,
        }
        (tmp_path / "toy.json").write_text(json.dumps(data))
        return tmp_path / "toy.json"

    return write


def toy_dataset(path, **options):
    return COCODataset(path, **{"skeleton": TOY, "size": 128, **options})


def blob_center(image, near, radius=7):
    """Center of mass of the brightness above the background around ``near``."""
    x, y = np.rint(near).astype(int)
    y0, x0 = max(y - radius, 0), max(x - radius, 0)
    patch = image[y0 : y + radius + 1, x0 : x + radius + 1].max(-1).astype(float)
    patch = np.clip(patch - 90, 0, None)
    rows, columns = np.mgrid[: patch.shape[0], : patch.shape[1]]
    return np.array([(patch * columns).sum(), (patch * rows).sum()]) / patch.sum() + (x0, y0)


@pytest.mark.parametrize("enlarged", [1, 3])
def test_image_and_keypoints_are_moved_by_the_same_warp(write_data, enlarged):
    """Dots in the image stay at their keypoints, also if a large image is decoded at a fraction of its size."""
    image = np.full((HEIGHT * enlarged, WIDTH * enlarged, 3), 60, np.uint8)
    spots = np.array([(100, 60), (80, 100), (120, 101), (104, 130)]) * enlarged
    for spot in spots:
        cv2.circle(image, spot.tolist(), 2 * enlarged, (240, 240, 240), cv2.FILLED)
    scaled = [v * enlarged for v in (70, 50, 60, 90)]
    keypoints = [(*spot.tolist(), seen) for spot, seen in zip(spots, (2, 1, 2, 2), strict=True)]
    dataset = toy_dataset(
        write_data([person(1, keypoints, scaled)], image), augment=AugmentConfig(shift=10, jitter=0, scale=(0.5, 1.2))
    )
    errors, flips = [], set()
    for epoch in range(12):
        dataset.set_epoch(epoch)
        sample = dataset[0]
        flips.add(sample.keypoints[0, 1:3, 2].tolist() == [2, 1])
        for x, y, _ in sample.keypoints[0]:
            if 8 <= x < 120 and 8 <= y < 120:
                errors.append(blob_center(sample.image, (x, y)) - (x, y))
    assert len(errors) > 20
    assert flips == {False, True}
    assert np.abs(np.mean(errors, 0)).max() < 0.05, "a systematic offset"  # measured: 0.014
    assert np.linalg.norm(errors, axis=1).max() < 0.3  # measured: 0.16


def test_samples_depend_on_the_epoch_and_not_on_the_number_of_workers(write_data):
    dataset = toy_dataset(write_data())

    def run(workers):
        loader = make_loader(dataset, workers=workers, batch_size=1)
        epochs = []
        for epoch in (3, 4):
            dataset.set_epoch(epoch)
            epochs.append(list(loader))
        return epochs

    alone, spread = run(0), run(2)
    for left, right in zip(chain(*alone), chain(*spread), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
    assert not torch.equal(alone[0][0].images, alone[1][0].images)
    assert not torch.equal(alone[0][0].images, collate([toy_dataset(dataset.annotations, seed=1)[0]]).images)


def test_flip_mirrors_the_sample_and_swaps_left_and_right(write_data):
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    path = write_data(image=cv2.GaussianBlur(image, (0, 0), 3))
    plain = toy_dataset(path, augment=AugmentConfig.none("person"))[0]
    mirrored = toy_dataset(path, augment=AugmentConfig.none("person", flip=1.0))[0]
    difference = mirrored.image[:, ::-1].astype(int) - plain.image
    assert np.abs(difference).max() <= 2
    np.testing.assert_allclose(
        mirrored.keypoints[:, [0, 2, 1, 3], 0][:, :3], 127 - plain.keypoints[:, :3, 0], atol=1e-3
    )
    assert mirrored.keypoints[0, :, 2].tolist() == [2, 2, 1, 0]
    assert mirrored.keypoints[0, 3].tolist() == [0, 0, 0], "an unlabeled keypoint stays (0, 0, 0)"
    assert np.abs(mirrored.person_mask[:, ::-1].astype(int) - plain.person_mask).max() <= 64


def test_the_main_person_is_centered_and_has_the_configured_size(write_data):
    config = AugmentConfig.none("person")
    box = PEOPLE[0]["bbox"]
    transform = draw_transform(config, np.random.default_rng(0), box, 128, 0.6 * 128)
    corners = np.array([[box[0], box[1]], [box[0] + box[2], box[1] + box[3]]]) - 0.5
    moved = corners @ transform.matrix[:, :2].T + transform.matrix[:, 2]
    np.testing.assert_allclose(moved.mean(0), 63.5)
    assert moved[1, 1] - moved[0, 1] == pytest.approx(0.6 * 128)


def test_a_whole_image_without_augmentation_is_unchanged(write_data):
    image = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    path = write_data(image=image)
    dataset = toy_dataset(path, augment=AugmentConfig.none())
    assert len(dataset) == 1
    sample = dataset[0]
    assert np.array_equal(sample.image, cv2.imread(str(path.with_name("a.jpg"))))
    assert sample.keypoints[0, 0].tolist() == [100, 60, 2]
    assert len(sample.keypoints) == 2


def test_jitter_does_not_change_the_border_color(write_data):
    dataset = toy_dataset(write_data(), augment=AugmentConfig.none(jitter=0.5))
    image = dataset[0].image
    assert image[-1, -1].tolist() == [124, 127, 127]
    assert image[64, 64].tolist() != [60, 60, 60]


@pytest.mark.parametrize("shape", [(144, 256), (256, 144)])
def test_whole_images_are_placed_as_in_the_predictor(write_data, shape):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    dataset = toy_dataset(write_data(image=image), augment=AugmentConfig.none())
    sample, record = dataset[0], dataset.records[0]
    frame = Frame.fit(shape, dataset.size, fit="longer")
    labeled = sample.keypoints[0, :, 2] > 0
    found = frame.to_image(sample.keypoints[0, labeled, :2])
    expected = record.people[0].keypoints[labeled, :2]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_main_people_are_labeled_large_and_apart(write_data):
    full = [(5, 5, 2)] * 4
    people = [
        person(1, full, (0, 0, 100, 100)),
        person(2, full, (0, 29, 100, 100)),  # at a distance of 0.29 of the first box side
        person(3, full, (0, 31, 100, 100)),
        person(4, full, (400, 400, 31, 33)),  # 1023 square pixels
        person(5, full, (500, 400, 32, 32)),
        person(6, [*full[:2], (0, 0, 0), (0, 0, 0)], (500, 600, 50, 50)),
        person(7, [full[0], (0, 0, 0), (0, 0, 0), (0, 0, 0)], (600, 600, 50, 50)),  # one of four keypoints
        person(8, full, (700, 700, 50, 50), iscrowd=1, segmentation=[]),
    ]
    path = write_data(people)
    record = read_annotations(path, path.parent, TOY).images[1]
    assert [record.people[i].id for i in main_people(record.people, AugmentConfig())] == [1, 3, 5, 6]


def run_lengths(mask, compressed):
    """``mask`` in one of the two forms of COCO run-length encoding."""
    if compressed:
        encoded = coco_mask.encode(np.asfortranarray(mask))
        return {"size": encoded["size"], "counts": encoded["counts"].decode()}
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    return {"size": list(mask.shape), "counts": np.diff([0, *edges, flat.size]).tolist()}


def test_the_person_mask_covers_all_people_and_the_loss_mask_excludes_ignored_ones(write_data):
    nothing = [(0, 0, 0)] * 4
    crowds = np.zeros((2, 200, 200), np.uint8)
    crowds[0, :40, 80:120] = crowds[1, :40, 160:] = 1
    people = [
        person(1, [(20, 20, 2)] * 4, (0, 0, 40, 40), segmentation=[[0, 0, 40, 0, 40, 40, 0, 40]]),
        person(2, nothing, (80, 0, 40, 40), iscrowd=1, segmentation=run_lengths(crowds[0], True)),
        person(3, nothing, (160, 0, 40, 40), iscrowd=1, segmentation=run_lengths(crowds[1], False)),
        person(4, nothing, (0, 80, 40, 40), segmentation=[[0, 80, 40, 80, 40, 120, 0, 120]]),
        person(5, [], (80, 80, 40, 40)),  # without segmentation, the box is the outline
    ]
    sample = toy_dataset(write_data(people, np.zeros((200, 200, 3), np.uint8)), augment=AugmentConfig.none(), size=200)[
        0
    ]
    covered = np.zeros((50, 50), int)
    hidden = covered.copy()
    for y, x in ((0, 0), (0, 20), (0, 40), (20, 0), (20, 20)):
        covered[y : y + 10, x : x + 10] = 255
    hidden[covered > 0] = 255
    hidden[:10, :10] = 0
    inner = np.ones((50, 50), bool)  # polygon edges may cover a part of neighboring cells
    inner[::10], inner[:, ::10] = False, False
    assert np.array_equal(sample.person_mask[inner], covered[inner])
    assert np.array_equal(sample.loss_mask[inner], 255 - hidden[inner])
    assert np.abs(sample.person_mask - covered).max() <= 64
    assert len(sample.keypoints) == 1


def test_polygons_and_run_lengths_give_the_same_mask():
    """With outlines of real people, scaled, rotated and shifted; an error of one pixel would exceed the tolerance."""
    data = shared("data/person_keypoints_val2017_a.json")
    records = list(read_annotations(data).images.values())[:40]
    differing = union = 0
    for record in records:
        people = [p for p in record.people if p.polygons and not p.crowd]
        size, shape = max(record.height, record.width), (record.height, record.width)
        matrix = np.array([[0.9, 0.1, 3.25], [-0.1, 0.9, 10.5]])
        drawn = draw_outlines(people, matrix, size, shape) > 0
        encoded = []
        for p in people:
            parts = coco_mask.frPyObjects([q.ravel().tolist() for q in p.polygons], *shape)
            encoded.append(p._replace(polygons=(), rle=coco_mask.merge(parts)))
        warped = draw_outlines(encoded, matrix, size, shape) > 0
        differing += np.count_nonzero(drawn ^ warped)
        union += np.count_nonzero(drawn | warped)
    assert differing / union < 0.03


def test_the_person_mask_is_eroded_as_in_the_released_code():
    """Compare with channel 48 of targets that the released code made from the same fractional mask."""
    for path in sorted(shared("golden").glob("targets_*.npz")):
        case = np.load(path)
        mask = torch.from_numpy(case["mask_all"].astype(np.float32))[None, None]
        np.testing.assert_allclose(erode(mask)[0, 0].numpy(), case["heatmaps"][48], atol=1e-6, err_msg=path.name)


def test_collate_pads_people_and_make_targets_renders_the_batch(write_data, tmp_path):
    both = toy_dataset(write_data(), augment=AugmentConfig.none())[0]
    one = both._replace(keypoints=both.keypoints[:1], image_id=9)
    batch = collate([one, both])
    assert batch.keypoints.shape == (2, 2, 4, 3)
    assert not batch.keypoints[0, 1].any()
    assert batch.image_ids.tolist() == [9, 1]
    assert batch.inputs().shape == (2, 3, 128, 128)
    targets, mask = make_targets(batch.to("cpu"), TOY, TargetConfig.for_input(128), scales=3)
    assert [tuple(t.shape) for t in targets] == [(2, TOY.num_channels, 32 >> k, 32 >> k) for k in range(3)]
    person_channel = TOY.num_parts + TOY.num_keypoints
    full = targets[0]
    torch.testing.assert_close(full[:, -1], full[:, TOY.num_parts : person_channel].amax(1))
    torch.testing.assert_close(full[:, [person_channel]], erode(batch.person_mask[:, None] / 255))
    torch.testing.assert_close(targets[2], torch.nn.functional.adaptive_avg_pool2d(full, 8), atol=1e-6, rtol=0)
    x, y = (both.keypoints[1, 0, :2] - 1.5) / 4
    row, column = divmod(int(full[1, TOY.num_parts].argmax()), 32)
    assert abs(column - x) <= 1
    assert abs(row - y) <= 1
    assert mask.shape == (2, 1, 32, 32)
    assert mask.min() == 1


def test_the_contact_sheet_has_one_row_per_sample(write_data, tmp_path):
    picture = inspect_data(toy_dataset(write_data()), tmp_path / "sheet.png", count=5, panel=64)
    image = cv2.imread(str(picture))
    assert image.shape == (24 + 2 * 64, 4 * 64, 3)
    assert image[24:, 64:128].std() > 0


def test_cached_and_reduced_images_give_almost_the_same_sample(write_data):
    image = cv2.resize(np.random.default_rng(0).integers(0, 255, (10, 15, 3), np.uint8), (1201, 803))
    scaled = [person(1, [(400, 300, 2)] * 4, (100, 100, 600, 600))]
    path = write_data(scaled, image)
    config = AugmentConfig.none("person")
    reduced = toy_dataset(path, augment=config)[0]
    cached = toy_dataset(path, augment=config, cache_bytes=2**24)
    for _ in range(2):
        difference = cached[0].image.astype(int) - reduced.image
        assert np.abs(difference).mean() < 2


def test_grayscale_transparent_and_16_bit_images_are_read(write_data, tmp_path):
    for name, image in (
        ("gray.png", np.full((HEIGHT, WIDTH), 90, np.uint8)),
        ("alpha.png", np.full((HEIGHT, WIDTH, 4), 90, np.uint8)),
        ("deep.png", np.full((HEIGHT, WIDTH, 3), 90 * 257, np.uint16)),
    ):
        sample = toy_dataset(write_data(image=image, name=name), augment=AugmentConfig.none())[0]
        on_white = 197 if name == "alpha.png" else 90  # (90 * 90 + 255 * 165) / 255
        assert sample.image[64, 64].tolist() == [on_white] * 3, name


def test_real_photos_become_samples():
    dataset = COCODataset(shared("data/photos"), size=128)
    assert len(dataset) > 17
    sample = dataset[0]
    assert sample.keypoints.shape[1:] == (18, 3)
    assert sample.person_mask.max() == 255
    neck, right, left = sample.keypoints[:, 1], sample.keypoints[:, 2], sample.keypoints[:, 5]
    both = (right[:, 2] > 0) & (left[:, 2] > 0)
    np.testing.assert_allclose(neck[both, :2], (right + left)[both, :2] / 2, atol=1e-3)


def test_find_data_finds_images_beside_the_annotations(tmp_path):
    for folder in ("annotations", "train2017", "synth/images"):
        (tmp_path / folder).mkdir(parents=True)
    coco = tmp_path / "annotations" / "person_keypoints_train2017.json"
    synth = tmp_path / "synth" / "annotations.json"
    for path in (coco, synth):
        path.write_text("{}")
    assert find_data(coco) == (coco, tmp_path / "train2017")
    assert find_data(tmp_path / "synth") == (synth, tmp_path / "synth" / "images")
    assert find_data(synth, tmp_path) == (synth, tmp_path)


def test_the_error_for_an_unreadable_image_names_it(write_data):
    path = write_data()
    image = path.with_name("a.jpg")
    whole = image.read_bytes()
    dataset = toy_dataset(path)
    for content, message in (
        (whole[: len(whole) // 2], "cut short"),
        (b"", "empty"),
        (b"not an image", "not an image"),
    ):
        image.write_bytes(content)
        with pytest.raises(ValueError, match=f"{re.escape(str(image))}: .*{message}"):
            dataset[0]
    cv2.imwrite(str(image), np.zeros((30, 40, 3), np.uint8))
    with pytest.raises(ValueError, match=f"{re.escape(str(image))}: expected 200 x 300 pixels"):
        dataset[0]
    image.unlink()
    with pytest.raises(ImageError, match=f"{re.escape(str(image))}: no such file"):
        dataset[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "it has no list 'images'"),
        ({"annotations": []}, "no person to train on in 1 images"),
        ({"categories": []}, "expected one category named 'person' or only one with keypoints, got []"),
        (
            {"categories": [{"id": 7, "name": "person", "keypoints": ["a", "b"]}]},
            "expected the keypoints of skeleton 'toy', tip, left, right, tail, got a, b",
        ),
        ({"annotations": [{**PEOPLE[0], "keypoints": [1, 2, 2]}]}, "annotation 1.keypoints: expected 4 x"),
        (
            {"annotations": [{**PEOPLE[0], "image_id": "five"}]},
            "annotations[0].image_id: expected an integer, got 'five'",
        ),
        (
            {"annotations": [{**PEOPLE[0], "image_id": 5}]},
            "no person to train on in 1 images; 1 annotation: image_id of",
        ),
        ({"annotations": [{**PEOPLE[0], "bbox": [1, 2]}]}, "annotation 1.bbox: expected x, y, width, height"),
        ({"images": [{"id": 1, "file_name": "none.jpg"}]}, "image 1: expected 'height'"),
    ],
)
def test_the_error_for_invalid_annotations_names_the_file(write_data, changes, message):
    path = write_data(**changes)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*{re.escape(message)}"):
        toy_dataset(path)


def test_the_error_for_a_missing_or_invalid_file_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "no.json"))):
        COCODataset(tmp_path / "no.json")
    with pytest.raises(FileNotFoundError, match=r"expected annotations\.json or person_keypoints\.json"):
        COCODataset(tmp_path)
    (tmp_path / "a.json").write_bytes(b"\xff{")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'a.json'}: not a JSON file")):
        COCODataset(tmp_path)


def test_a_mask_of_another_size_is_refused(write_data):
    people = [*PEOPLE, person(3, [], (0, 0, 9, 9), iscrowd=1, segmentation={"size": [5, 5], "counts": [25]})]
    path = write_data(people)
    with pytest.raises(ValueError, match=r"toy.json: annotation 3.segmentation: expected a mask of the image's size"):
        toy_dataset(path)[0]


def test_invalid_augmentation_settings_are_rejected():
    for bad in ({"frame": "crop"}, {"scale": (1.3, 0.7)}, {"flip": 1.5}, {"border": (0, 0, 256)}, {"jitter": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            AugmentConfig(**bad)


def test_a_sample_outside_the_image_has_the_border_color():
    transform = draw_transform(AugmentConfig.none("person"), np.random.default_rng(0), (5000, 0, 50, 50), 64, 40)
    assert (warp_image(np.zeros((40, 40, 3), np.uint8), transform, 64, (1, 2, 3)) == (1, 2, 3)).all()
