"""assign_keypoints: small cases of every rule of grouping, for every backend."""

from __future__ import annotations

import numpy as np
import pytest

import simplepose as sp

CHAIN = sp.Skeleton("chain", tuple("abcd"), (("a", "b"), ("b", "c"), ("c", "d"), ("a", "c"), ("a", "d"), ("b", "d")))
STAR = sp.Skeleton("star", tuple("abcdh"), tuple(("h", k) for k in "abcd"))  # no parts among a, b, c and d
PLAIN = {
    "reassign": False,
    "max_part_ratio": 0.0,
    "join_distance": 0.0,
    "min_single_score": 0.0,
    "min_keypoints": 1,
}


@pytest.fixture(params=["reference", "native", "torch"])
def group(request):
    """A function that groups named peaks into poses.

    Peaks are ``{"a0": (x, y, score)}``, where the letter is the keypoint type. Parts are ``[("a0", "b0", score)]`` in
    the order of the candidates. The result lists the poses, best first, each as one string of its peaks' names.
    """

    def run(skeleton, peaks, parts=(), **config):
        names = sorted(peaks, key=lambda name: (skeleton.keypoints.index(name[0]), name))
        rows = np.float32([peaks[name] for name in names]).reshape(-1, 3)
        all_peaks = sp.Peaks(
            np.array([skeleton.keypoints.index(name[0]) for name in names], np.int32),
            np.ascontiguousarray(rows[:, :2]),
            np.ascontiguousarray(rows[:, 2]),
            False,
        )
        kind_of = {pair: kind for kind, pair in enumerate(skeleton.parts)}
        parts = sorted(parts, key=lambda part: kind_of[part[0][0], part[1][0]])
        ends = np.array([[names.index(a), names.index(b)] for a, b, _ in parts], np.int32).reshape(-1, 2)
        part_score = np.array([e for *_, e in parts], np.float32)
        kinds = np.array([kind_of[a[0], b[0]] for a, b, _ in parts], np.int32)
        candidates = sp.CandidateParts(kinds, *np.ascontiguousarray(ends.T), part_score, part_score)
        settings = sp.DecodeConfig(**{**PLAIN, **config})
        poses = sp.assign_keypoints(all_peaks, candidates, skeleton, settings, stride=1, backend=request.param)[0]
        groups = []
        for keypoints, score in zip(poses.keypoints, poses.scores, strict=True):
            members = []
            for kind, row in enumerate(keypoints):
                if row[2] > 0:
                    members += [
                        n for n in names if n[0] == skeleton.keypoints[kind] and (np.float32(peaks[n]) == row).all()
                    ]
                else:
                    assert np.isnan(row[:2]).all()
                    assert row[2] == 0
            np.testing.assert_allclose(score, sum(peaks[name][2] for name in members), rtol=1e-6)
            groups.append(" ".join(members))
        return groups

    return run


def spread(names, score=0.5):
    """Peaks at large distances, all of the same score."""
    return {name: (100.0 * i, 7.0 * i, score) for i, name in enumerate(names.split())}


def test_a_peak_merges_at_either_end_of_a_part(group):
    assert group(CHAIN, spread("a0 b0 c0"), [("a0", "b0", 0.5), ("b0", "c0", 0.5)]) == ["a0 b0 c0"]
    assert group(CHAIN, spread("a0 b0 c0"), [("b0", "c0", 0.5), ("a0", "c0", 0.5)]) == ["a0 b0 c0"]


def test_a_part_merges_two_poses(group):
    parts = [("a0", "b0", 0.5), ("c0", "d0", 0.5)]
    assert group(CHAIN, spread("a0 b0 c0 d0"), parts) == ["a0 b0", "c0 d0"]
    assert group(CHAIN, spread("a0 b0 c0 d0"), [*parts, ("a0", "c0", 0.1)]) == ["a0 b0 c0 d0"]


def test_poses_that_share_a_type_do_not_merge(group):
    parts = [("a0", "b0", 0.9), ("a1", "b0", 0.8)]
    assert group(CHAIN, spread("a0 a1 b0"), parts) == ["a0 b0", "a1"]
    parts = [("a0", "b0", 0.9), ("a1", "d0", 0.9), ("b0", "d0", 0.9)]
    assert group(CHAIN, spread("a0 a1 b0 d0"), parts) == ["a0 b0", "a1 d0"]


def test_merging_follows_the_order_of_the_candidates(group):
    parts = [("a1", "b0", 0.1), ("a0", "b0", 0.8)]
    assert group(CHAIN, spread("a0 a1 b0"), parts) == ["a1 b0", "a0"]


TWO = [("a0", "b0", 0.5), ("a1", "b1", 0.5)]


def test_a_keypoint_moves_to_the_pose_with_the_larger_part_score(group):
    parts = [*TWO, ("b0", "c0", 0.3), ("a1", "c0", 0.9)]
    assert group(CHAIN, spread("a0 a1 b0 b1 c0"), parts) == ["a0 b0 c0", "a1 b1"]
    assert group(CHAIN, spread("a0 a1 b0 b1 c0"), parts, reassign=True) == ["a1 b1 c0", "a0 b0"]


def test_reassignment_adds_the_part_scores_of_all_parts_to_a_pose(group):
    parts = [*TWO, ("b0", "c0", 0.3), ("a0", "c0", 0.3), ("b1", "c0", 0.2), ("a1", "c0", 0.2)]
    assert group(CHAIN, spread("a0 a1 b0 b1 c0"), parts, reassign=True) == ["a0 b0 c0", "a1 b1"]
    parts[-2:] = [("b1", "c0", 0.25), ("a1", "c0", 0.45)]
    assert group(CHAIN, spread("a0 a1 b0 b1 c0"), parts, reassign=True) == ["a1 b1 c0", "a0 b0"]


def test_reassignment_swaps_two_keypoints(group):
    parts = [*TWO, ("b0", "c0", 0.5), ("b1", "c1", 0.5), ("a1", "c0", 0.9), ("a0", "c1", 0.9)]
    peaks = spread("a0 a1 b0 b1 c0 c1")
    assert group(CHAIN, peaks, parts) == ["a0 b0 c0", "a1 b1 c1"]
    assert group(CHAIN, peaks, parts, reassign=True) == ["a0 b1 c1", "a1 b0 c0"]
    parts[0] = ("a0", "b0", 1.4)  # moving b0 away from a0 would cost too much: c0 and c1 are swapped instead
    assert group(CHAIN, peaks, parts, reassign=True) == ["a0 b0 c1", "a1 b1 c0"]
    parts[2] = ("b0", "c0", 1.4)
    assert group(CHAIN, peaks, parts, reassign=True) == ["a0 b0 c0", "a1 b1 c1"]


def test_reassignment_resolves_ties_by_the_smallest_peak_index(group):
    parts = [*TWO, ("a2", "b2", 0.5), ("b2", "c0", 0.1), ("a1", "c0", 0.6), ("a0", "c0", 0.6)]
    peaks = spread("a0 a1 a2 b0 b1 b2 c0")
    assert group(CHAIN, peaks, parts) == ["a2 b2 c0", "a0 b0", "a1 b1"]
    assert group(CHAIN, peaks, parts, reassign=True) == ["a0 b0 c0", "a1 b1", "a2 b2"]


@pytest.mark.parametrize(("gain", "moves"), [(5e-7, False), (3e-6, True)])
def test_reassignment_needs_a_minimum_gain(group, gain, moves):
    parts = [*TWO, ("b0", "c0", 0.25), ("a1", "c0", 0.25 + gain)]
    expected = ["a1 b1 c0", "a0 b0"] if moves else ["a0 b0 c0", "a1 b1"]
    assert group(CHAIN, spread("a0 a1 b0 b1 c0"), parts, reassign=True) == expected


def on_a_line(**positions):
    """Peaks of equal score on the x axis."""
    return {name: (x, 0.0, 0.5) for name, x in positions.items()}


@pytest.mark.parametrize(("x", "joins"), [(15.0, True), (15.25, False)])
def test_fragments_join_within_the_distance_times_the_minimum_size(group, x, joins):
    peaks = on_a_line(a0=0, b0=x)
    assert group(STAR, peaks, join_distance=1.5) == (["a0 b0"] if joins else ["a0", "b0"])
    assert group(STAR, peaks) == ["a0", "b0"]


@pytest.mark.parametrize(("x", "joins"), [(30.0, True), (30.25, False)])
def test_fragments_join_within_the_distance_times_the_larger_size(group, x, joins):
    peaks = {"a0": (0, 20, 0.5), "h0": (0, 0, 0.5), "b0": (x, 0, 0.5)}  # sizes 20 and 10; b0 contradicts h0
    groups = group(STAR, peaks, [("h0", "a0", 0.5)], join_distance=3.0)
    assert groups == (["a0 b0 h0"] if joins else ["a0 h0", "b0"])


@pytest.mark.parametrize(("x", "joins"), [(7.5, True), (7.75, False)])
def test_a_contradiction_doubles_the_cost(group, x, joins):
    peaks = on_a_line(a0=0, h0=x)
    assert group(STAR, peaks, join_distance=1.5) == (["a0 h0"] if joins else ["a0", "h0"])


def test_contradictions_add_up_after_a_join(group):
    two_peaks = on_a_line(a0=0, h0=6)
    assert group(STAR, two_peaks, join_distance=1.5) == ["a0 h0"]
    three_peaks = {**two_peaks, "b0": (-1.0, 0.0, 0.5)}
    assert group(STAR, three_peaks, join_distance=1.5) == ["a0 b0", "h0"]  # 6 x (1 + 2) > 15


def test_joined_fragments_have_the_smaller_of_their_distances(group):
    assert group(STAR, on_a_line(a0=0, b0=14, c0=28, d0=42), join_distance=1.5) == ["a0 b0 c0 d0"]


def test_the_size_of_a_fragment_does_not_grow_with_a_join(group):
    assert group(STAR, on_a_line(a0=0, b0=14, c0=32), join_distance=1.5) == ["a0 b0", "c0"]


def test_fragments_that_share_a_type_do_not_join(group):
    assert group(STAR, on_a_line(a0=0, a1=2), join_distance=1.5) == ["a0", "a1"]


def test_the_nearest_fragments_join_first(group):
    assert group(STAR, on_a_line(a0=0, b0=6, a1=11), join_distance=1.5) == ["a1 b0", "a0"]


def test_ties_join_the_smallest_peak_indices_first(group):
    assert group(STAR, on_a_line(a0=0, b0=6, a1=12), join_distance=1.5) == ["a0 b0", "a1"]
    assert group(STAR, on_a_line(a1=0, b0=6, a0=12), join_distance=1.5) == ["a0 b0", "a1"]


def test_the_distance_is_at_least_one_cell(group):
    peaks = on_a_line(a0=0, b0=0)
    assert group(STAR, peaks, join_distance=0.5, min_join_size=2.0) == ["a0 b0"]
    assert group(STAR, peaks, join_distance=0.5, min_join_size=1.9) == ["a0", "b0"]


@pytest.mark.parametrize("join_distance", [0.0, 1.5])
def test_weak_single_peaks_are_dropped_with_and_without_joining(group, join_distance):
    peaks = {"a0": (0, 0, 0.2), "a1": (90, 0, 0.1999), "b1": (91, 0, 0.1), "c0": (50, 0, 0.15), "d0": (51, 0, 0.15)}
    groups = group(CHAIN, peaks, [("c0", "d0", 0.1)], join_distance=join_distance, min_single_score=0.2)
    assert groups == ["c0 d0", "a0"]


def test_poses_need_the_minimum_number_of_keypoints(group):
    peaks, parts = spread("a0 a1 a2 b0 b1 c0"), [("a0", "b0", 0.5), ("a1", "b1", 0.5), ("b0", "c0", 0.5)]
    assert group(CHAIN, peaks, parts, min_keypoints=1) == ["a0 b0 c0", "a1 b1", "a2"]
    assert group(CHAIN, peaks, parts, min_keypoints=2) == ["a0 b0 c0", "a1 b1"]
    assert group(CHAIN, peaks, parts, min_keypoints=3) == ["a0 b0 c0"]
    assert group(CHAIN, peaks, parts, min_keypoints=4) == []


def test_poses_are_ordered_by_score_then_smallest_peak_index(group):
    peaks = {"a0": (0, 0, 0.3), "a1": (50, 0, 0.8), "b0": (0, 50, 0.3), "b1": (50, 50, 0.25), "b2": (90, 9, 0.25)}
    assert group(CHAIN, peaks, [("a0", "b1", 0.5)]) == ["a1", "a0 b1", "b0", "b2"]


SHARING = [("a0", "b0", 0.9), ("a1", "b1", 0.5), ("b0", "c0", 0.9), ("b1", "c0", 0.4)]


def test_a_pose_may_share_a_peak_of_another_pose(group):
    peaks = spread("a0 a1 b0 b1 c0")
    assert group(CHAIN, peaks, SHARING) == ["a0 b0 c0", "a1 b1"]
    assert group(CHAIN, peaks, SHARING, allow_shared_keypoints=True) == ["a0 b0 c0", "a1 b1 c0"]


def test_single_peaks_share_no_peaks(group):
    parts = [("a0", "b0", 0.9), ("a1", "b0", 0.8)]
    assert group(CHAIN, spread("a0 a1 b0"), parts, allow_shared_keypoints=True) == ["a0 b0", "a1"]


def test_a_shared_peak_may_contradict_at_most_one_part(group):
    peaks = spread("a0 a1 b0 b1 c0 d1")
    parts = [*SHARING, ("b1", "d1", 0.5)]
    assert group(CHAIN, peaks, parts, allow_shared_keypoints=True) == [
        "a0 b0 c0",
        "a1 b1 d1",
    ]  # a1-c0 and c0-d1 are missing
    parts.insert(4, ("a1", "c0", 0.4))
    assert group(CHAIN, peaks, parts, allow_shared_keypoints=True) == ["a1 b1 c0 d1", "a0 b0 c0"]


def test_the_peak_with_the_largest_part_score_is_shared(group):
    peaks = spread("a0 a1 a2 b0 b1 b2 c0 c2")
    complete = [("a0", "b0", 0.9), ("a1", "b1", 0.5), ("a2", "b2", 0.9), ("b0", "c0", 0.9), ("b2", "c2", 0.9)]
    for first, second, shared in ((0.4, 0.3, "c0"), (0.3, 0.4, "c2"), (0.4, 0.4, "c0")):
        parts = [*complete, ("b1", "c0", first), ("b1", "c2", second)]
        assert f"a1 b1 {shared}" in group(CHAIN, peaks, parts, allow_shared_keypoints=True)


TREE = sp.Skeleton("tree", tuple("abcdef"), (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f")))
ALONG = [(a + "0", b + "0", 0.5) for a, b in TREE.parts]


def with_lengths(*lengths):
    """Peaks of the chain `TREE` on a line, with parts of these lengths."""
    ends = np.cumsum([0, *lengths]).tolist()
    return on_a_line(**{f"{kind}0": float(x) for kind, x in zip("abcdef", ends, strict=False)})


def split(group, peaks, **config):
    return group(TREE, peaks, ALONG[: len(peaks) - 1], max_part_ratio=6.0, min_cut_length=15.0, **config)


@pytest.mark.parametrize(("longest", "splits"), [(30.0, False), (30.25, True)])
def test_a_part_is_cut_if_it_exceeds_the_ratio_to_the_median_part(group, longest, splits):
    peaks = with_lengths(4, 3, 5, longest, 6)  # the median is 5
    assert split(group, peaks) == (["a0 b0 c0 d0", "e0 f0"] if splits else ["a0 b0 c0 d0 e0 f0"])
    assert group(TREE, peaks, ALONG) == ["a0 b0 c0 d0 e0 f0"]


@pytest.mark.parametrize(("longest", "splits"), [(12.0, False), (12.25, True)])
def test_the_median_of_an_even_number_of_parts_is_the_lower_one(group, longest, splits):
    peaks = with_lengths(4, 2, 11, longest)
    config = {"max_part_ratio": 3.0, "min_cut_length": 1.0}
    assert group(TREE, peaks, ALONG[:4], **config) == (["a0 b0 c0 d0", "e0"] if splits else ["a0 b0 c0 d0 e0"])


@pytest.mark.parametrize(("longest", "splits"), [(15.0, False), (15.25, True)])
def test_parts_up_to_the_minimum_length_are_not_cut(group, longest, splits):
    assert split(group, with_lengths(1, 1, longest)) == (["a0 b0 c0", "d0"] if splits else ["a0 b0 c0 d0"])


def test_several_long_parts_are_cut(group):
    assert split(group, with_lengths(2, 40, 2, 30, 2)) == ["a0 b0", "c0 d0", "e0 f0"]


def test_a_long_part_beside_shorter_ones_leaves_its_keypoints_together(group):
    skeleton = sp.Skeleton("loop", tuple("abcd"), (("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")))
    parts = [(a + "0", b + "0", 0.5) for a, b in skeleton.parts]
    config = {"max_part_ratio": 2.0, "min_cut_length": 1.0}
    assert group(skeleton, on_a_line(a0=0, b0=10, c0=20, d0=30), parts, **config) == ["a0 b0 c0 d0"]
    assert group(skeleton, on_a_line(a0=0, b0=10, c0=20, d0=41), parts, **config) == ["a0 b0 c0", "d0"]


def test_a_part_of_a_pose_needs_no_candidate(group):
    skeleton = sp.Skeleton("loop", tuple("abcd"), (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")))
    peaks = {"a0": (0, 0, 0.5), "b0": (2, 0, 0.5), "c0": (40, 0, 0.5), "d0": (4, 0, 0.5)}
    parts = [("a0", "b0", 0.5), ("a0", "c0", 0.5), ("c0", "d0", 0.5)]  # b0-d0 is not a candidate
    assert group(skeleton, peaks, parts) == ["a0 b0 c0 d0"]
    assert group(skeleton, peaks, parts, max_part_ratio=6.0) == ["a0 b0 d0", "c0"]


def test_poses_are_split_after_reassignment(group):
    parts = (("a", "b"), ("b", "c"), ("a", "e"), ("e", "d"), ("c", "d"))
    skeleton = sp.Skeleton("ring", tuple("abcde"), parts)
    peaks = on_a_line(a0=82, e0=84, d0=86, a1=0, b0=2, c0=4)
    candidates = [("a1", "b0", 0.5), ("b0", "c0", 0.95), ("a0", "e0", 0.5), ("e0", "d0", 0.3), ("c0", "d0", 0.9)]
    assert group(skeleton, peaks, candidates, max_part_ratio=6.0) == ["a0 d0 e0", "a1 b0 c0"]
    assert group(skeleton, peaks, candidates, reassign=True) == ["a1 b0 c0 d0", "a0 e0"]
    assert group(skeleton, peaks, candidates, reassign=True, max_part_ratio=6.0) == ["a1 b0 c0", "a0 e0", "d0"]


def test_poses_are_split_before_weak_peaks_are_dropped_and_fragments_joined(group):
    peaks = {**with_lengths(2, 2), "d0": (44, 0, 0.1)}
    assert split(group, peaks) == ["a0 b0 c0", "d0"]
    assert split(group, peaks, min_single_score=0.2) == ["a0 b0 c0"]
    near = with_lengths(2, 2, 2, 16)
    assert split(group, near) == ["a0 b0 c0 d0", "e0"]
    assert split(group, near, join_distance=4.0) == ["a0 b0 c0 d0 e0"]


def test_no_peaks_give_no_people(group):
    assert group(CHAIN, {}) == []
    assert group(CHAIN, {}, reassign=True, max_part_ratio=6.0, join_distance=1.5, allow_shared_keypoints=True) == []
