"""Invalid arguments of the public functions and classes: each error names the argument, in one short line."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from helpers.bad_arguments import BAD, MAPS, MESSAGE_NAMES, PARTS, PEAKS, PEOPLE, Bad, network
from helpers.map_scenes import PAIR, crowd

import simplepose as sp


def test_the_table_is_large():
    assert len(BAD) >= 300
    functions = {bad.call.__name__ for bad in BAD.values()}
    assert {"decode", "find_peaks", "match_parts", "assign_keypoints", "render_targets", "draw_poses"} <= functions
    assert {"Poses", "Skeleton", "Predictor", "load_model", "DecodeConfig", "TargetConfig", "DrawConfig"} <= functions


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_an_invalid_argument_is_named(bad: Bad):
    with pytest.raises((TypeError, ValueError, RuntimeError, FileNotFoundError)) as error:
        bad.call(**{**bad.good, bad.name: bad.value})
    message = str(error.value)
    name = MESSAGE_NAMES.get(bad.name, bad.name)
    assert re.match(rf"(backend '\w+'; )?({name})\b", message), message
    assert "\n" not in message
    assert len(message) < 600


ACCEPTED = {
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "not contiguous": lambda a: np.asfortranarray(a),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "not aligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "negative strides": lambda a: a[..., ::-1].copy()[..., ::-1],
}


@pytest.mark.parametrize("backend", ["native", "torch", "reference"])
@pytest.mark.parametrize("kind", ACCEPTED)
def test_arrays_of_every_layout_give_the_same_people(kind, backend):
    change = ACCEPTED[kind]
    maps = crowd(3)
    expected = sp.decode(maps, PAIR)[0]
    assert len(expected)
    assert np.array_equal(sp.decode(change(maps), PAIR, backend=backend)[0].keypoints, expected.keypoints)
    one_row = maps[..., :1, :]  # NumPy calls an axis of length 1 contiguous also if its stride is negative
    for found, plain in zip(
        *(sp.decode(m, PAIR, backend=backend) for m in (one_row[:, :, ::-1], one_row)), strict=True
    ):
        assert np.array_equal(found.keypoints, plain.keypoints)
    targets = sp.render_targets(change(PEOPLE), (8, 8), PAIR, backend=backend)
    assert np.array_equal(targets, sp.render_targets(PEOPLE, (8, 8), PAIR, backend=backend))


def test_big_endian_peaks_parts_and_images_are_taken():
    swap = ACCEPTED["big-endian"]
    peaks = PEAKS._replace(type=swap(PEAKS.type), xy=swap(PEAKS.xy), score=swap(PEAKS.score))
    parts = PARTS._replace(from_peak=swap(PARTS.from_peak), score=swap(PARTS.score))
    plain = sp.assign_keypoints(PEAKS, PARTS, PAIR)[0]
    assert np.array_equal(sp.assign_keypoints(peaks, parts, PAIR)[0].keypoints, plain.keypoints)
    found, expected = (sp.match_parts(MAPS, p, PAIR)[0] for p in (peaks, PEAKS))
    assert np.array_equal(found.score, expected.score)
    predictor = sp.Predictor(network, PAIR, size=64)
    deep = np.full((8, 9, 3), 257, np.uint16)
    assert np.array_equal(predictor.prepare(swap(deep)).image, predictor.prepare(deep).image)


@pytest.mark.parametrize("backend", ["native", "torch", "reference"])
def test_views_with_the_negative_bit_are_taken(backend):
    maps = torch.from_numpy(crowd(3))
    negative = torch.complex(maps, -maps).conj().imag
    assert negative.is_neg()
    assert np.array_equal(
        sp.decode(negative, PAIR, backend=backend)[0].keypoints, sp.decode(maps, PAIR, backend=backend)[0].keypoints
    )
    people = torch.from_numpy(PEOPLE)
    view = torch.complex(people, -people).conj().imag
    assert torch.equal(
        sp.render_targets(view, (8, 8), PAIR, backend=backend), sp.render_targets(people, (8, 8), PAIR, backend=backend)
    )


@pytest.mark.parametrize("backend", ["native", "torch", "reference"])
def test_a_skeleton_without_parts_is_decoded(backend):
    lone = sp.Skeleton("lone", ("a",), ())
    maps = crowd(3)[:, 1:2]
    people = sp.decode(maps, lone, backend=backend)[0]
    assert len(people) > 0
    assert np.array_equal(people.keypoints, sp.decode(maps, lone, backend="reference")[0].keypoints)


def test_scores_beyond_float32_are_null_in_json_and_come_back():
    poses = sp.Poses(np.ones((2, 2, 3), np.float32), np.array([np.inf, 1], np.float32), PAIR)
    assert poses.unbounded == 1
    data = poses.to_dict()
    assert [person["score"] for person in data["people"]] == [None, 1.0]
    assert np.array_equal(sp.Poses.from_dict(data, PAIR).scores, poses.scores)
    assert poses.to_coco(1)[0]["score"] == float(np.finfo(np.float32).max)
