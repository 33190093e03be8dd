"""Annotation files of many kinds: valid ones, ones with computed values, refused ones, and ones with bad images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from pycocotools import mask as coco_mask
from scenes import FIGURE

import simplepose as sp
from simplepose.data.annotations import Annotations

NAMES = list(sp.COCO.dataset_keypoints)
HEIGHT, WIDTH = 96, 128
NAN, INFINITY = float("nan"), float("inf")

Data = dict[str, Any]


def person(key: int, image: int, height: float, x: float, y: float, unlabeled: tuple[int, ...] = ()) -> Data:
    """An upright person of ``height`` pixels with a box outline, its head at (x, y)."""
    points = np.round(FIGURE * height + (x, y), 2)
    keypoints = [v for i, p in enumerate(points) for v in ((0, 0, 0) if i in unlabeled else (*p.tolist(), 2))]
    low, high = np.floor(points.min(0)).tolist(), np.ceil(points.max(0)).tolist()
    (x0, y0), (x1, y1) = low, high
    return {
        "id": key,
        "image_id": image,
        "category_id": 1,
        "keypoints": keypoints,
        "num_keypoints": 17 - len(unlabeled),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
    }


def well_formed() -> Data:
    """Three people with keypoints, one person without keypoints, and a crowd."""
    runs = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * 100, HEIGHT * 20, HEIGHT * 8]}
    unlabeled = {"keypoints": [0] * 51, "num_keypoints": 0, "area": 400.0, "bbox": [100, 10, 20, 20], "category_id": 1}
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH} for i in (1, 2)],
        "annotations": [
            person(1, 1, 80, 30, 8, unlabeled=(3, 4)),
            person(2, 1, 70, 90, 12),
            person(3, 2, 85, 50, 6, unlabeled=(0,)),
            {**unlabeled, "id": 4, "image_id": 2, "iscrowd": 0, "segmentation": []},
            {**unlabeled, "id": 5, "image_id": 2, "iscrowd": 1, "segmentation": runs},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(NAMES)}],
    }


def all_people(**fields: Any) -> Callable[[Data], None]:
    """Set fields of all annotations of people with keypoints; the value `...` removes a field."""

    def change(data: Data) -> None:
        for entry in data["annotations"][:3]:
            for name, value in fields.items():
                entry[name] = value(entry) if callable(value) else copy.deepcopy(value)
                if value is ...:
                    del entry[name]

    return change


def one(**fields: Any) -> Callable[[Data], None]:
    """Set fields of the second annotation."""
    return lambda data: data["annotations"][1].update(fields)


def crowd(**fields: Any) -> Callable[[Data], None]:
    """Set fields of the crowd's run lengths."""
    return lambda data: data["annotations"][4]["segmentation"].update(fields)


def part(name: str, index: int = 0, **fields: Any) -> Callable[[Data], None]:
    """Set fields of an entry of a list."""
    return lambda data: data[name][index].update(fields)


def values(index: int, *numbers: Any) -> Callable[[Data], None]:
    """Replace numbers among the keypoints of the second person, who has all keypoints labeled."""

    def change(data: Data) -> None:
        data["annotations"][1]["keypoints"][index : index + len(numbers)] = numbers

    return change


def unlabeled(value: Any) -> Callable[[Data], None]:
    """Set x and y of all unlabeled keypoints of the people with keypoints."""

    def change(data: Data) -> None:
        for entry in data["annotations"][:3]:
            k = entry["keypoints"]
            for i in range(0, 51, 3):
                if k[i + 2] == 0:
                    k[i] = k[i + 1] = value

    return change


def text_ids(data: Data) -> None:
    for image in data["images"]:
        image["id"] = str(image["id"])
    for entry in data["annotations"]:
        entry.update({name: str(entry[name]) for name in ("id", "image_id", "category_id")})
    data["categories"][0]["id"] = "1"


def reorder(data: Data) -> None:
    """Reverse the order of the keypoints, in the category and in the annotations."""
    data["categories"][0]["keypoints"] = NAMES[::-1]
    for entry in data["annotations"]:
        entry["keypoints"] = np.reshape(entry["keypoints"], (17, 3))[::-1].ravel().tolist()


def group_category(data: Data) -> None:
    """As Roboflow writes it: a group named person without keypoints, before the category with keypoints."""
    data["categories"] = [{"id": 0, "name": "person"}, {**data["categories"][0], "name": "pose"}]


def add(name: str, entry: Any) -> Callable[[Data], None]:
    return lambda data: data[name].append(copy.deepcopy(entry))


HAND = {"id": 9, "image_id": 1, "category_id": 2, "keypoints": [1, 1, 2] * 21}

TAKEN = {
    # kind: (change, expected messages); the people that are read stay the same
    "well formed": (lambda data: None, []),
    "ids in text": (text_ids, ["19 .*integers as text"]),
    "category_id in text": (all_people(category_id=" 1 "), ["3 annotations: integers as text"]),
    "integral floats": (all_people(image_id=lambda a: float(a["image_id"]), category_id=1.0), []),
    "iscrowd missing": (all_people(iscrowd=...), ["3 annotations: iscrowd missing"]),
    "iscrowd null": (all_people(iscrowd=None), ["3 annotations: iscrowd missing"]),
    "iscrowd false": (all_people(iscrowd=False), []),
    "num_keypoints missing": (all_people(num_keypoints=...), ["3 annotations: num_keypoints missing"]),
    "num_keypoints null": (all_people(num_keypoints=None), ["3 annotations: num_keypoints missing"]),
    "num_keypoints 0": (all_people(num_keypoints=0), ["3 annotations: num_keypoints wrong"]),
    "num_keypoints in text": (one(num_keypoints="all"), ["1 annotation: num_keypoints wrong"]),
    "area missing": (all_people(area=...), ["3 annotations: area missing .* the segmentation"]),
    "area null": (all_people(area=None), ["3 annotations: area missing .* the segmentation"]),
    "area 0": (all_people(area=0), ["3 annotations: area missing or not positive, .* the segmentation"]),
    "area negative": (all_people(area=-5.5), ["3 annotations: area missing or not positive"]),
    "area NaN": (all_people(area=NAN), ["3 annotations: area missing or not positive"]),
    "area and outline missing": (all_people(area=0, segmentation=None), ["3 annotations: area missing .* the box"]),
    "bbox null": (all_people(bbox=None), ["3 annotations: bbox missing .* segmentation"]),
    "bbox empty": (all_people(bbox=[]), ["3 annotations: bbox missing .* segmentation"]),
    "bbox zero": (all_people(bbox=[0, 0, 0, 0]), ["3 annotations: bbox missing or with a side of 0"]),
    "outline null": (all_people(segmentation=None), []),
    "outline of two corners": (all_people(segmentation=[[1, 2, 3, 4]]), []),
    "unlabeled NaN": (unlabeled(NAN), ["2 annotations: coordinates of unlabeled keypoints"]),
    "unlabeled Infinity": (unlabeled(INFINITY), ["2 annotations: coordinates of unlabeled keypoints"]),
    "unlabeled null": (unlabeled(None), ["2 annotations: coordinates of unlabeled keypoints"]),
    "keypoints null": (lambda data: data["annotations"][3].update(keypoints=None, num_keypoints=0), []),
    "category_id missing": (all_people(category_id=...), ["3 annotations: category_id missing, taken as 1"]),
    "another category": (lambda data: [add("categories", {"id": 2, "name": "hand", "keypoints": ["a"] * 21})(data),
                                       add("annotations", HAND)(data)], []),
    "unknown category": (add("annotations", HAND), ["1 annotation: category_id of a category that is not listed"]),
    "unlisted image": (add("annotations", person(9, 7, 50, 20, 20)), ["1 annotation: image_id .* not listed"]),
    "keypoint order": (reorder, ["1 category: keypoints in another order"]),
    "no keypoint names": (part("categories", keypoints=[]), ["1 category: no keypoint names"]),
    "no names at all": (lambda data: data.update(categories=[{"id": 1}]), ["1 category: no keypoint names"]),
    "group named person": (group_category, []),
    "run lengths as text": (
        lambda data: data["annotations"][4].update(segmentation=as_text(data["annotations"][4]["segmentation"])), []),
    "backslashes": (lambda data: [i.update(file_name=f"..\\images\\{i['file_name']}") for i in data["images"]],
                    ["2 images: backslashes in file_name"]),
}  # fmt: skip

HUGE = 10**30

REFUSED = {
    # kind: (change, place and message)
    "image id in words": (part("images", id="img1"), r"images\[0\].id: expected an integer, got 'img1'"),
    "image id missing": (lambda data: data["images"][1].pop("id"), r"images\[1\].id: expected an integer, got nothing"),
    "image id true": (part("images", id=True), r"images\[0\].id: expected an integer, got True"),
    "image id 1.5": (part("images", id=1.5), r"images\[0\].id: expected an integer, got 1.5"),
    "image id huge": (part("images", id=HUGE), r"images\[0\].id: .*64 bits, got 1000"),
    "image id huge text": (part("images", id=str(HUGE)), r"images\[0\].id: expected an integer, got '1000"),
    "image id twice": (part("images", 1, id=1), r"images\[1\].id: expected a unique id, got 1 twice"),
    "annotation id twice": (one(id=1), r"annotations\[1\].id: expected a unique id, got 1 twice"),
    "annotation id a list": (one(id=[2]), r"annotations\[1\].id: expected an integer, got \[2\]"),
    "category id twice": (add("categories", {"id": 1}), r"categories\[1\].id: expected a unique id"),
    "category id null": (part("categories", id=None), r"categories\[0\].id: expected an integer, got nothing"),
    "image_id null": (one(image_id=None), r"annotations\[1\].image_id: expected an integer, got nothing"),
    "image_id in words": (one(image_id="one"), r"annotations\[1\].image_id: expected an integer, got 'one'"),
    "category_id in words": (one(category_id="person"), r"annotations\[1\].category_id: expected an integer"),
    "x NaN": (values(3, NAN), r"annotation 2.keypoints\[3\]: expected finite coordinates of a labeled keypoint"),
    "y Infinity": (values(4, INFINITY), r"annotation 2.keypoints\[3\]: expected finite coordinates"),
    "x null": (values(3, None), r"annotation 2.keypoints\[3\]: expected finite coordinates"),
    "x far away": (values(3, 1e30), r"annotation 2.keypoints\[3\]: expected finite coordinates"),
    "x in text": (values(3, "12"), r"annotation 2.keypoints\[3\]: expected a number, got '12'"),
    "x huge": (values(3, 10**400), r"annotation 2.keypoints: expected numbers of at most 64 bits"),
    "visibility 3": (values(5, 3), r"annotation 2.keypoints\[5\]: expected visibility 0, 1 or 2, got 3"),
    "visibility -1": (values(5, -1), r"annotation 2.keypoints\[5\]: expected visibility 0, 1 or 2, got -1"),
    "visibility null": (values(5, None), r"annotation 2.keypoints\[5\]: expected visibility 0, 1 or 2, got nothing"),
    "visibility true": (values(5, True), r"annotation 2.keypoints\[5\]: expected a number, got True"),
    "keypoints short": (one(keypoints=[1, 2, 2]), r"annotation 2.keypoints: expected 17 x .* got 3 numbers"),
    "keypoints nested": (one(keypoints=[[1, 2, 2]] * 17), r"annotation 2.keypoints: expected 17 x"),
    "keypoints in text": (one(keypoints="1,2,2"), r"annotation 2.keypoints: expected 17 x .* got '1,2,2'"),
    "bbox short": (one(bbox=[1, 2, 3]), r"annotation 2.bbox: expected x, y, width, height, got \[1, 2, 3\]"),
    "bbox NaN": (one(bbox=[1, NAN, 3, 4]), r"annotation 2.bbox: expected x, y, width, height"),
    "bbox negative": (one(bbox=[1, 2, -3, 4]), r"annotation 2.bbox: expected x, y, width, height"),
    "bbox null within": (one(bbox=[1, 2, 3, None]), r"annotation 2.bbox\[3\]: expected a number, got nothing"),
    "bbox an object": (one(bbox={"x": 1}), r"annotation 2.bbox: expected x, y, width, height"),
    "area in text": (one(area="400"), r"annotation 2.area: expected a number, got '400'"),
    "area huge": (one(area=10**400), r"annotation 2.area: expected numbers of at most 64 bits"),
    "iscrowd 2": (one(iscrowd=2), r"annotation 2.iscrowd: expected 0 or 1, got 2"),
    "iscrowd in words": (one(iscrowd="no"), r"annotation 2.iscrowd: expected an integer, got 'no'"),
    "outline a number": (one(segmentation=3), r"annotation 2.segmentation: expected polygons or run lengths, got 3"),
    "outline flat": (one(segmentation=[1, 2, 3, 4, 5, 6]), r"annotation 2.segmentation\[0\]: expected a polygon"),
    "outline NaN": (one(segmentation=[[1, 2, 3, NAN, 5, 6]]), r"annotation 2.segmentation\[0\]: expected finite"),
    "outline in text": (one(segmentation=[["1"] * 6]), r"annotation 2.segmentation\[0\]\[0\]: expected a number"),
    "outline of too many corners": (
        one(segmentation=[[1.0, 2.0] * 30_000] * 2), r"2.segmentation: .* at most 50000 corners, got 60000"),
    "runs of another size": (crowd(size=[9, 9]), r"5.segmentation: .* image's size \[96, 128\], got \[9, 9\]"),
    "runs without size": (crowd(size=None), r"annotation 5.segmentation.size: expected height and width, got nothing"),
    "runs of size text": (crowd(size=["96", "128"]), r"annotation 5.segmentation.size: expected height and width"),
    "runs of size -1": (crowd(size=[-96, -128]), r"annotation 5.segmentation.size: expected height and width"),
    "runs missing": (crowd(counts=None), r"annotation 5.segmentation.counts: expected run lengths"),
    "runs of fractions": (crowd(counts=[1.5, 2]), r"5.segmentation.counts: expected run lengths as integers"),
    "runs negative": (crowd(counts=[-1, HEIGHT * WIDTH + 1]), r"annotation 5.segmentation.counts: .* got a run of -1"),
    "runs too short": (crowd(counts=[5, 5]), r"annotation 5.segmentation.counts: .*sum to 96 x 128, got a sum of 10"),
    "runs too long": (crowd(counts=[2**40]), r"annotation 5.segmentation.counts: .*sum to 96 x 128, got a sum of"),
    "no runs": (crowd(counts=[]), r"annotation 5.segmentation.counts: .*sum to 96 x 128, got a sum of 0"),
    "runs damaged": (crowd(counts="~~~"), r"annotation 5.segmentation.counts: expected compressed run lengths"),
    "runs of other letters": (crowd(counts="é?"), r"annotation 5.segmentation.counts: expected compressed run lengths"),
    "runs cut off": (crowd(counts="P"), r"annotation 5.segmentation.counts: .*the last one is cut off"),
    "runs that never end": (crowd(counts="o" * 10**5), r"annotation 5.segmentation.counts: expected compressed"),
    "annotation a list": (add("annotations", []), r"annotations\[5\]: expected an object, got \[\]"),
    "image null": (add("images", None), r"images\[2\]: expected an object, got nothing"),
    "category a name": (add("categories", "person"), r"categories\[1\]: expected an object, got 'person'"),
    "annotations missing": (lambda data: data.pop("annotations"), "it has no list 'annotations'"),
    "images an object": (lambda data: data.update(images={}), "it has no list 'images'"),
    "no category": (
        lambda data: data.update(categories=[]), r"categories: expected one category named 'person' .* got \[\]"),
    "two categories": (
        lambda data: data.update(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]),
        r"categories: expected one category named 'person' or only one with keypoints, got \['a', 'b'\]"),
    "two fitting categories": (
        lambda data: data.update(categories=[{"id": i, "name": "x", "keypoints": NAMES} for i in (1, 2)]),
        r"categories: expected one category named 'person' or only one with keypoints, got \['x', 'x'\]"),
    "other keypoints": (part("categories", keypoints=["a", "b"]), r"categories: expected the keypoints .* got a, b"),
    "keypoint names numbers": (part("categories", keypoints=[1, 2]), r"categories\[0\].keypoints: expected a list"),
    "height negative": (part("images", height=-96), r"image 1.height: expected an integer from 0"),
    "height in words": (part("images", height="tall"), r"image 1.height: expected an integer, got 'tall'"),
    "size huge": (part("images", height=10**9), r"image 1.height: expected at most 80 megapixels"),
    "file name a number": (part("images", file_name=7), r"image 1.file_name: expected a file name, got 7"),
}  # fmt: skip


def as_text(runs: Data) -> Data:
    """Run lengths in COCO's compressed form."""
    return {"size": runs["size"], "counts": coco_mask.frPyObjects(runs, *runs["size"])["counts"].decode()}


def no_person_labeled(data: Data) -> None:
    for entry in data["annotations"]:
        entry.update(keypoints=[0] * 51, num_keypoints=0)


NO_PERSON = {
    "no annotations": lambda data: data.update(annotations=[]),
    "all crowds": all_people(iscrowd=1),
    "no person labeled": no_person_labeled,
    "another category": lambda data: [e.update(category_id=7) for e in data["annotations"]],
    "other images": lambda data: [e.update(image_id=7) for e in data["annotations"]],
}


def swap_sizes(data: Data, images: Path) -> None:
    for image in data["images"]:
        image["height"], image["width"] = image["width"], image["height"]
    del data["annotations"][4]  # its run lengths have the true size and would be refused first


def cut_short(data: Data, images: Path) -> None:
    content = (images / "1.jpg").read_bytes()
    (images / "1.jpg").write_bytes(content[: len(content) // 2])


def turn(data: Data, images: Path) -> None:
    """Rotate image 1 to 128 x 96 by EXIF, and annotate it with neither that size nor the stored one."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.open(images / "1.jpg").save(images / "1.jpg", exif=exif)
    data["images"][0].update(height=WIDTH, width=WIDTH)


IMAGE_FAULTS = {
    swap_sizes: r"expected 128 x 96 pixels \(height x width\) as annotated, got 96 x 128",
    cut_short: r"cannot be read \(.*\): it is cut short",
    turn: r"expected 128 x 128 pixels \(height x width\) as annotated, got 128 x 96",
    lambda data, images: (images / "1.jpg").write_bytes(b""): "the file is empty",
    lambda data, images: (images / "1.jpg").write_bytes(b"text"): "not an image, or of an unknown format",
}


ODD = (None, 0, -1, 1.5, NAN, INFINITY, HUGE, 10**400, 1e300, True, "", "7", "x", [], {}, [1], [[1]], {"counts": []},
       {"size": [HEIGHT, WIDTH], "counts": "abc"}, [[1, 2, 3, 4, 5, 6, 7]], [[]], [None] * 51, "a\0b")  # fmt: skip


def perfect(annotations: Annotations, image_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints with scores and pose scores of a perfect prediction."""
    keypoints = annotations.keypoints(image_id)
    keypoints[..., 2] = keypoints[..., 2] > 0
    return keypoints, np.ones(len(keypoints), np.float32)
