"""Invalid arguments of the public functions and classes: for every argument, values of many kinds that are refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

import simplepose as sp
from helpers.map_scenes import PAIR

NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**5000
MAPS = np.zeros((3, 6, 8), np.float32)
PEAKS = sp.Peaks(np.array([0, 1], np.int32), np.ones((2, 2), np.float32), np.ones(2, np.float32), False)
PARTS = sp.CandidateParts(*(np.array([v], np.int32) for v in (0, 0, 1)), *(np.ones(1, np.float32) for _ in range(2)))
PEOPLE = np.ones((1, 2, 3), np.float32)
IMAGE = np.zeros((8, 9, 3), np.uint8)


class Faulty:
    """An object whose representation fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no representation")


OBJECTS = {"text": "no", "bytes": b"1", "none": None, "list": [1], "object": Faulty(), "class": int}
WRONG_COUNTS = {"text": "3", "true": True, "none": None, "list": [1], "float": 2.5, "negative": -1, "huge": HUGE}
WRONG_COUNTS |= {"nan": NAN, "array": np.array([1, 2]), "object": Faulty()}
WRONG_NUMBERS = {"text": "0.5", "true": True, "list": [0.5], "nan": NAN, "infinity": INFINITY, "huge": HUGE}
WRONG_NUMBERS |= {"minus infinity": -INFINITY, "complex": 1j, "array": np.array([0.5, 0.5]), "object": Faulty()}
WRONG_FLAGS = {"text": "no", "zero": 0, "one": 1, "none": None, "list": [], "numpy": np.True_}
WRONG_CHOICES = {"unknown": "foo", "empty": "", "none": None, "number": 1, "list": ["product"], "object": Faulty()}


def quantized() -> torch.Tensor:
    """A quantized tensor; PyTorch warns that it will drop them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.zeros(3, 6, 8), 0.1, 0, torch.quint8)


WRONG_TENSORS: dict[str, Any] = {
    "meta": torch.zeros(3, 6, 8, device="meta"),
    "sparse": torch.zeros(3, 6, 8).to_sparse(),
    "nested": torch.nested.nested_tensor([torch.zeros(6, 8)] * 3, layout=torch.jagged),
    "complex": torch.zeros(3, 6, 8, dtype=torch.complex64),
    "quantized": quantized(),
    "conjugated": torch.zeros(3, 6, 8, dtype=torch.complex64).conj(),
    "float8": torch.zeros(3, 6, 8).to(torch.float8_e4m3fn),
    "integers": torch.zeros(3, 6, 8, dtype=torch.int64),
    "booleans": torch.zeros(3, 6, 8, dtype=torch.bool),
}
WRONG_ARRAYS: dict[str, Any] = {
    "masked": np.ma.masked_array(MAPS, MAPS == 0),
    "objects": MAPS.astype(object),
    "strings": MAPS.astype(str),
    "integers": MAPS.astype(np.int64),
    "records": np.zeros((3, 6, 8), [("a", np.float32)]),
}
WRONG_MAPS = {
    **{f"tensor, {name}": tensor for name, tensor in WRONG_TENSORS.items()},
    **{f"array, {name}": array for name, array in WRONG_ARRAYS.items()},
    "list": MAPS.tolist(),
    "none": None,
    "float64": MAPS.astype(float),
    "no cells": MAPS[:, :0],
    "flat": MAPS[0],
    "channels": MAPS[:1],
    "five axes": MAPS[None, None],
    "tensor, channels": torch.zeros(7, 6, 8),
}


class Bad(NamedTuple):
    """One call with one invalid argument."""

    call: Callable[..., Any]
    good: dict[str, Any]  # the other arguments
    name: str  # of the invalid argument; its first part before a dot names it in the call
    value: Any


Rows = Iterator[tuple[str, Bad]]


def _rows(call: Callable[..., Any], good: dict[str, Any], table: dict[str, dict[str, Any]]) -> Rows:
    for name, values in table.items():
        for kind, value in values.items():
            yield f"{call.__name__}, {name}: {kind}", Bad(call, good, name, value)


def _settings(kind: type, numbers: str, counts: str, flags: str, choices: str) -> Rows:
    table: dict[str, dict[str, Any]] = dict.fromkeys(numbers.split(), WRONG_NUMBERS)
    table |= dict.fromkeys(counts.split(), WRONG_COUNTS)
    table |= dict.fromkeys(flags.split(), WRONG_FLAGS)
    table |= dict.fromkeys(choices.split(), WRONG_CHOICES)
    return _rows(kind, {}, table)


def table_of(value: Any, **changes: Any) -> dict[str, Any]:
    """Copies of a NamedTuple, each with one column replaced."""
    return {name.replace("_", " "): value._replace(**change) for name, change in changes.items()}


SKELETONS = {**OBJECTS, "name": "coco", "dictionary": sp.COCO.to_dict()}
CONFIGS = {**OBJECTS, "dictionary": {"peak_threshold": 0.1}, "other": sp.TargetConfig()}
THREADS = {k: v for k, v in WRONG_COUNTS.items() if k != "none"} | {"zero": 0}
OPTIONS = {"skeleton": SKELETONS, "config": CONFIGS, "backend": WRONG_CHOICES}
WRONG_PEAKS = {
    **OBJECTS,
    "several": [PEAKS, PEAKS],
    "tuple": tuple(PEAKS),
    **table_of(
        PEAKS,
        type_descending={"type": PEAKS.type[::-1].copy()},
        type_too_large={"type": np.array([0, 2], np.int32)},
        type_masked={"type": np.ma.masked_array(PEAKS.type)},
        type_float={"type": PEAKS.score},
        xy_nan={"xy": np.full((2, 2), NAN, np.float32)},
        xy_short={"xy": PEAKS.xy[:1]},
        xy_tensor={"xy": torch.ones(2, 2)},
        score_none={"score": None},
        score_infinite={"score": np.full(2, INFINITY, np.float32)},
    ),
}
WRONG_PARTS = {
    **OBJECTS,
    "several": [PARTS, PARTS],
    **table_of(
        PARTS,
        index_too_large={"to_peak": np.array([7], np.int32)},
        index_negative={"from_peak": np.array([-1], np.int32)},
        unequal={"to_peak": np.array([1, 1], np.int32)},
        reversed={"from_peak": np.array([1], np.int32), "to_peak": np.array([0], np.int32)},
        score_nan={"score": np.full(1, NAN, np.float32)},
        response_short={"response": np.ones(0, np.float32)},
        type_none={"type": None},
    ),
}
WRONG_KEYPOINTS = {
    **{
        f"tensor, {name}": tensor[:, :2, :3] if name in ("meta", "float8") else tensor
        for name, tensor in WRONG_TENSORS.items()
    },
    **{f"array, {name}": array[:1, :2, :3] for name, array in WRONG_ARRAYS.items()},
    "list": PEOPLE.tolist(),
    "none": None,
    "flat": PEOPLE[0],
    "too few": PEOPLE[:, :1],
    "text": "no",
}
WRONG_SIZES = {**OBJECTS, "floats": (8.0, 8.0), "zero": (0, 8), "negative": (-8, 8), "odd": (9, 8), "three": (8, 8, 8)}
WRONG_SIZES |= {"huge": (8, HUGE), "booleans": (True, True), "too large": (8, 2**21)}
WRONG_IMAGES = {"list": IMAGE.tolist(), "none": None, "gray": IMAGE[..., 0], "floats": IMAGE / 255, "empty": IMAGE[:0]}
WRONG_IMAGES |= {"masked": np.ma.masked_array(IMAGE), "tensor": torch.zeros(8, 9, 3), "path": "a.jpg"}
NAMES = ("a", "b", "c")
WRONG_NAMES = {"none": None, "number": 3, "text": "abc", "numbers": (1, 2), "repeated": ("a", "a"), "empty": ("", "b")}
WRONG_PAIRS = {"none": None, "text": "ab", "number": 3, "triple": (("a", "b", "c"),), "unknown": (("a", "x"),)}
WRONG_PAIRS |= {"flat": ("a", "b"), "numbers": ((1, 2),), "itself": (("a", "a"),), "twice": (("a", "b"), ("b", "a"))}
WRONG_DEVICES = {**OBJECTS, "unknown": "foo", "number": 3, "no such": "cuda:99", "meta": "meta", "negative": "cuda:-1"}
WRONG_DEVICES |= {"empty": "", "tensor": torch.zeros(1), "not built": "xla"}


def network(x: torch.Tensor) -> torch.Tensor:
    """A network without weights: maps of zeros for the skeleton of two keypoints."""
    return torch.zeros(len(x), 3, x.shape[2] // 4, x.shape[3] // 4)


def predict(images: Any) -> Any:
    """Detect with `network`."""
    return sp.Predictor(network, PAIR, size=64)(images)


def predict_with(model: Any) -> Any:
    """Detect with a network that is wrong."""
    return sp.Predictor(model, PAIR, size=64)(IMAGE)


def scaled_poses(keypoints: int = 1, score: float = 0.0) -> Any:
    """Call `Poses.at_least`."""
    return sp.Poses.empty().at_least(keypoints, score)


def coco_results(image_id: Any = 1, category_id: Any = 1) -> Any:
    """Call `Poses.to_coco`."""
    return sp.Poses.empty().to_coco(image_id, category_id)


def without(values: dict[str, Any], *kinds: str) -> dict[str, Any]:
    return {kind: value for kind, value in values.items() if kind not in kinds}


BAD: dict[str, Bad] = {
    **dict(_settings(
        sp.DecodeConfig,
        "peak_threshold part_threshold min_sample_fraction min_single_score join_distance min_join_size",
        "max_peaks num_samples min_keypoints", "reassign allow_shared_keypoints", "part_score",
    )),
    **dict(_settings(sp.TargetConfig, "keypoint_sigma part_sigma threshold", "stride", "", "shape")),
    **dict(_settings(sp.DrawConfig, "min_score opacity thickness", "min_keypoints", "boxes scores names uncertainty",
                     "colors")),
    **dict(_rows(sp.find_peaks, {"skeleton": PAIR, "heatmaps": MAPS},
                 {"heatmaps": WRONG_MAPS, "threads": THREADS, **OPTIONS})),
    **dict(_rows(sp.match_parts, {"peaks": PEAKS, "skeleton": PAIR, "heatmaps": MAPS},
                 {"heatmaps": without(WRONG_MAPS, "channels"), "peaks": WRONG_PEAKS, **OPTIONS})),
    **dict(_rows(sp.assign_keypoints, {"peaks": PEAKS, "parts": PARTS, "skeleton": PAIR},
                 {"peaks": without(WRONG_PEAKS, "several"), "parts": WRONG_PARTS, "stride": WRONG_COUNTS, **OPTIONS})),
    **dict(_rows(sp.decode, {"skeleton": PAIR, "heatmaps": MAPS},
                 {"heatmaps": WRONG_MAPS, "stride": WRONG_COUNTS, "threads": THREADS, "covariance": WRONG_FLAGS,
                  **OPTIONS})),
    **dict(_rows(sp.render_targets, {"keypoints": PEOPLE, "size": (8, 8), "skeleton": PAIR}, {
        "keypoints": WRONG_KEYPOINTS, "size": WRONG_SIZES, "skeleton": SKELETONS,
        "config": {**CONFIGS, "other": sp.DecodeConfig()}, "backend": WRONG_CHOICES, "threads": THREADS,
        "scales": WRONG_COUNTS, "envelope": WRONG_FLAGS, "dtype": {"numpy": np.float32, "text": "float32"},
    })),
    **dict(_rows(sp.draw_poses, {"image": IMAGE, "poses": sp.Poses.empty()}, {
        "image": WRONG_IMAGES, "poses": OBJECTS, "config": without(CONFIGS, "none"),
    })),
    **dict(_rows(sp.Poses, {"keypoints": PEOPLE, "scores": np.ones(1, np.float32), "skeleton": PAIR}, {
        "keypoints": {**OBJECTS, "two axes": PEOPLE[0], "types": PEOPLE[:, :1], "integers": PEOPLE.astype(int),
                      "masked": np.ma.masked_array(PEOPLE), "tensor": torch.ones(1, 2, 3)},
        "covariance": {**without(OBJECTS, "none"), "too many": np.ones((2, 2, 2, 2), np.float32),
                       "flat": np.ones((1, 2, 3), np.float32), "integers": np.ones((1, 2, 2, 2), int)},
        "scores": {**OBJECTS, "too many": np.ones(2, np.float32), "two axes": np.ones((1, 1), np.float32)},
        "skeleton": SKELETONS,
    })),
    **dict(_rows(scaled_poses, {}, {"keypoints": WRONG_COUNTS, "score": WRONG_NUMBERS})),
    **dict(_rows(coco_results, {}, dict.fromkeys(("image_id", "category_id"), without(WRONG_COUNTS, "negative")))),
    **dict(_rows(sp.Skeleton, {"name": "drawn", "keypoints": NAMES, "parts": (("a", "b"), ("b", "c"))}, {
        "name": without(OBJECTS, "text"), "keypoints": WRONG_NAMES, "parts": {**WRONG_PAIRS, "apart": (("a", "b"),)},
        "left_right": without(WRONG_PAIRS, "twice") | {"overlap": (("a", "b"), ("b", "c"))},
        "dataset_keypoints": WRONG_NAMES, "drawn_parts": WRONG_PAIRS,
        "derived": {"none": None, "text": "ab", "flat": ("a",), "unknown": (("x", ("a",)),), "empty": (("a", ()),)},
        "sigmas": {"none": None, "text": "111", "short": (1.0,), "zero": (1.0, 0.0, 1.0), "nan": (1.0, NAN, 1.0),
                   "infinity": (1.0, INFINITY, 1.0), "booleans": (True, True, True), "huge": (1.0, HUGE, 1.0)},
        "colors": {"none": None, "text": "red", "short": ((1, 2, 3),), "large": ((0, 0, 256),) * 3,
                   "floats": ((0.1, 0.2, 0.3),) * 3, "booleans": ((True, True, True),) * 3},
    })),
    **dict(_rows(sp.load_skeleton, {}, {"name_or_path": {"unknown": "cocoo", "empty": "", "long": "x" * 9999}})),
    **dict(_rows(sp.load_model, {"name_or_path": "tiny"}, {
        "device": WRONG_DEVICES, "name_or_path": {"unknown": "tniy", "none": None, "number": 3, "empty": ""},
    })),
    **dict(_rows(sp.Predictor, {"model": network, "skeleton": PAIR}, {
        "model": without(OBJECTS, "class"), "skeleton": SKELETONS, "config": CONFIGS,
        "device": without(WRONG_DEVICES, "none"), "fit": WRONG_CHOICES, "flip": WRONG_FLAGS, "optimize": WRONG_FLAGS,
        "covariance": WRONG_FLAGS,
        "size": without(WRONG_COUNTS, "none"), "batch_size": without(WRONG_COUNTS, "none"), "precision": WRONG_CHOICES,
        "scales": {"none": None, "text": "1", "texts": ["1"], "empty": (), "zero": (0,), "nan": (NAN,), "true": (True,),
                   "number": 1.0, "huge": (HUGE,)},
        "decode": CONFIGS, "sizes": {"unknown": 1},
    })),
    **dict(_rows(predict, {}, {"images": {
        "none": None, "floats": IMAGE / 255, "bfloat16": torch.zeros(8, 9, 3, dtype=torch.bfloat16),
        "float8": torch.zeros(8, 9, 3).to(torch.float8_e4m3fn), "flat": IMAGE[0, 0],
        "five": np.zeros((4, 4, 5), np.uint8),
        "empty": IMAGE[:0], "masked": np.ma.masked_array(IMAGE),
        "meta": torch.zeros(8, 9, 3, dtype=torch.uint8, device="meta"),
        "sparse": torch.zeros(8, 9, dtype=torch.uint8).to_sparse(), "quantized": quantized(), "number": 3,
        "objects": IMAGE.astype(object), "strings": IMAGE.astype(str), "dictionary": {"image": IMAGE},
        "complex": torch.zeros(8, 9, dtype=torch.complex64), "integers": torch.zeros(8, 9, 3, dtype=torch.int64),
    }})),
    **dict(_rows(predict_with, {}, {"model": {
        "array": lambda x: np.zeros((1, 3, 16, 16), np.float32), "list": lambda x: [network(x)], "none": lambda x: None,
        "integers": lambda x: network(x).int(), "channels": lambda x: network(x)[:, :2],
        "cells": lambda x: network(x)[..., :1],
        "one axis": lambda x: torch.zeros(3), "training": torch.nn.Identity().train(),
    }})),
}  # fmt: skip
"""All calls by name."""

MESSAGE_NAMES = {"name_or_path": "skeleton|checkpoint", "images": "image"}
"""Words that messages use for an argument, where they are not its name."""
