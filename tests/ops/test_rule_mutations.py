"""Mutation tests of the parity test: a change of one rule on one side makes the comparison of fixed cases fail."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
from helpers.map_scenes import Case, people_maps, sprinkle
from helpers.parity import compare

import simplepose as sp
from simplepose.ops.candidates import CandidateParts
from simplepose.skeleton.channels import map_channels

peaks_rule, parts_rule, poses_rule = (
    importlib.import_module(f"simplepose.ops.reference.{op}")
    for op in ("find_peaks", "match_parts", "assign_keypoints")
)
f32 = np.float32


def fixed_cases() -> list[Case]:
    """Five crowds: plain, with ties and plateaus, with values that are not finite, in many fragments, and stretched."""
    crowd = people_maps(9, (40, 48), seed=1, missing=0.2)
    tied = np.round(people_maps(7, (40, 40), seed=2) * f32(5)) / f32(5)
    dirty = people_maps(6, (33, 40), seed=3)
    sprinkle(dirty, "not finite", seed=4)
    fragments = people_maps(8, (48, 48), seed=5)
    fragments[9:30:2] = 0
    stretched = people_maps(9, (40, 48), seed=6, missing=0.2)
    return [
        Case(crowd, sp.COCO, sp.DecodeConfig()),
        Case(tied, sp.COCO, sp.DecodeConfig(num_samples=4, min_sample_fraction=0.5)),
        Case(dirty, sp.COCO, sp.DecodeConfig(max_peaks=8)),
        Case(fragments, sp.COCO, sp.DecodeConfig(min_join_size=3.0, join_distance=0.8)),
        Case(stretched, sp.COCO, sp.DecodeConfig(max_part_ratio=2.0, min_cut_length=4.0)),
    ]


CASES = fixed_cases()


def agrees(case: Case, config=None) -> bool:
    """Whether the comparison passes; ``config`` holds settings of the reference that differ."""
    try:
        compare(case, replace(case.config, **(config or {})))
    except AssertionError:
        return False
    return True


def fails(config=None) -> bool:
    """Whether the comparison fails on any of the fixed cases."""
    return not all(agrees(case, config) for case in CASES)


def test_the_fixed_cases_agree():
    assert not fails()


OTHER_SETTINGS = {
    "peak_threshold": 0.2,
    "max_peaks": 3,
    "part_threshold": 0.2,
    "num_samples": 9,
    "min_sample_fraction": 0.9,
    "part_score": "weighted_sum",
    "reassign": False,
    "max_part_ratio": 3.0,
    "min_cut_length": 12.0,
    "min_single_score": 0.6,
    "join_distance": 1.0,
    "min_join_size": 3.0,
    "min_keypoints": 2,
    "allow_shared_keypoints": True,
}


def test_every_setting_is_mutated():
    of_affinity_fields = {"encoding", "length_penalty"}  # maps of another encoding have other channels
    assert set(OTHER_SETTINGS) | of_affinity_fields == set(sp.DecodeConfig.__dataclass_fields__)


def test_a_different_length_penalty_is_detected():
    channels = map_channels(sp.COCO, "paf").num_maps
    fields = np.random.default_rng(7).random((channels, 12, 12), f32)
    case = Case(fields, sp.COCO, sp.DecodeConfig(encoding="paf", max_peaks=6))
    assert agrees(case)
    assert not agrees(case, {"length_penalty": True})


@pytest.mark.parametrize("setting", OTHER_SETTINGS)
def test_a_different_setting_on_one_side_is_detected(setting):
    assert fails({setting: OTHER_SETTINGS[setting]})


def patched(module, name, make):
    """A mutation that replaces a rule by ``make(original)``."""
    return lambda patch: patch.setattr(module, name, make(getattr(module, name)))


def backwards(merge):
    return lambda peaks, parts: merge(peaks, CandidateParts(*(column[::-1] for column in parts)))


def attach_second_end_only(_):
    """Rule 3 without merging of poses: a single peak may only merge at the second end of a part."""

    def merge(peaks, parts):
        poses = [{kind: peak} for peak, kind in enumerate(peaks.type.tolist())]
        pose_of = list(range(len(poses)))
        for a, b in zip(parts.from_peak.tolist(), parts.to_peak.tolist(), strict=True):
            kept, removed = pose_of[a], pose_of[b]
            if kept != removed and len(poses[removed]) == 1 and poses[kept].keys().isdisjoint(poses[removed]):
                pose_of[b] = kept
                poses[kept].update(poses[removed])
                poses[removed] = {}
        return poses

    return merge


def reorder(emit, key):
    def changed(poses, *others):
        keypoints, scores = emit(poses, *others)
        order = np.argsort([key(k, s) for k, s in zip(keypoints, scores, strict=True)], kind="stable")
        return keypoints[order], scores[order]

    return changed


BROKEN = {
    "peak: ties go to the later cell": patched(peaks_rule, "EARLIER", lambda e: [(-dy, -dx) for dy, dx in e]),
    "peak: four neighbors only": patched(peaks_rule, "EARLIER", lambda _: [(-1, 0), (0, -1)]),
    "peak: infinity is a value": patched(peaks_rule, "finite", lambda _: lambda v: np.nan_to_num(v, posinf=3.0)),
    "sub-pixel: rounded to 1/128": patched(
        peaks_rule, "subpixel", lambda rule: lambda *a, **k: np.rint(rule(*a, **k) * f32(128)) / f32(128)
    ),
    "sub-pixel: none": patched(peaks_rule, "subpixel", lambda rule: lambda *a, **k: rule(*a, **k) * f32(0)),
    "sub-pixel: another lower bound of the samples": patched(peaks_rule, "MIN_LOG_SAMPLE", lambda _: f32(0.3)),
    "sub-pixel: no logarithm": patched(peaks_rule, "log32", lambda _: lambda v: v),
    "samples: the nearest cell": patched(
        parts_rule, "bilinear", lambda rule: lambda m, x, y: rule(m, np.rint(x), np.rint(y))
    ),
    "samples: not the last end": patched(
        parts_rule, "sample_lines", lambda rule: lambda m, a, b, n: rule(m, a, b, n + 1)[:, :-1]
    ),
    "samples: not finite is not zero": patched(
        parts_rule, "finite", lambda _: lambda v: np.nan_to_num(v, nan=0.5, posinf=0.5, neginf=0.5)
    ),
    "response: added in another order": patched(
        parts_rule, "mean_in_order", lambda rule: lambda samples: rule(samples[:, ::-1])
    ),
    "part score: without the second peak": patched(
        parts_rule, "part_score", lambda rule: lambda r, a, b, c: rule(r, a, np.ones_like(b), c)
    ),
    "part score: ties by the second peak": lambda patch: patch.setattr(
        np, "lexsort", lambda keys, rule=np.lexsort: rule((keys[1], keys[0], keys[2]))
    ),
    "merge: worst candidates first": patched(poses_rule, "merge", backwards),
    "merge: second ends only": patched(poses_rule, "merge", attach_second_end_only),
    "reassign: twice": patched(poses_rule, "reassign", lambda rule: lambda *a: (rule(*a), rule(*a))),
    "reassign: for large gains only": patched(poses_rule, "MIN_GAIN", lambda _: f32(0.2)),
    "split: half the length of a part": patched(
        poses_rule, "length", lambda rule: lambda a, b, peaks: rule(a, b, peaks) * f32(0.5)
    ),
    "split: every keypoint alone": patched(
        poses_rule, "connected", lambda _: lambda kinds, parts: [[kind] for kind in kinds]
    ),
    "join: no least distance": patched(
        poses_rule, "distance", lambda rule: lambda a, b, peaks: rule(a, b, peaks) * f32(0.5)
    ),
    "join: contradictions do not count": patched(poses_rule, "contradictions", lambda _: lambda *a: 0),
    "join: contradictions of one direction": patched(
        poses_rule,
        "_part_ends",
        lambda _: lambda a, b, s: ((a[i], b[j]) for i, j in s.part_index.tolist() if i in a and j in b),
    ),
    "join: size is the box's width": patched(
        poses_rule, "diagonal", lambda _: lambda pose, peaks: np.ptp(peaks.xy[list(pose.values())][:, 0])
    ),
    "order: best last": patched(poses_rule, "emit", lambda emit: reorder(emit, lambda _, score: score)),
    "order: by the number of keypoints": patched(
        poses_rule, "emit", lambda emit: reorder(emit, lambda keypoints, _: -(keypoints[:, 2] > 0).sum())
    ),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_mutated_rule_on_one_side_is_detected(rule, monkeypatch):
    BROKEN[rule](monkeypatch)
    assert fails()


def test_a_different_skeleton_on_one_side_is_detected(monkeypatch):
    decoder = sp.decode.__globals__["native"].decoder
    reversed_parts = replace(sp.COCO, name="reversed", parts=tuple((b, a) for a, b in sp.COCO.parts))
    monkeypatch.setattr("simplepose.ops.native.module.decoder", lambda _, config: decoder(reversed_parts, config))
    with pytest.raises(AssertionError):
        compare(CASES[0])
