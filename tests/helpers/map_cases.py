"""Generated maps and settings for the tests of decoding: crowds, ties, noise, special values and sizes."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

import simplepose as sp
from helpers.map_scenes import DIRT, Case, noise_maps, people_maps, sprinkle

EXAMPLES = int(os.environ.get("SIMPLEPOSE_TEST_EXAMPLES", "256"))
"""Generated cases in each slice of the parity test; the sanitizer run has fewer."""

CROWDED = 50
"""Minimum number of candidate parts of a crowded case."""

counts = {"cases": 0, "crowded": 0, "candidates": 0, "people": 0}
"""Totals of the parity test, which the summary of a test run prints."""


def wide_skeleton() -> sp.Skeleton:
    """70 keypoint types, more than the bits of a 64-bit word, in a chain with additional parts."""
    names = tuple(f"k{i}" for i in range(70))
    parts = [(names[i], names[i + step]) for step in (1, 7) for i in range(len(names) - step)]
    return sp.Skeleton("wide70", names, tuple(parts))


SKELETONS = {
    "coco": sp.COCO,
    "tree": sp.COCO.spanning_tree(),
    "crowdpose14": sp.load_skeleton("crowdpose14"),
    "hand21": sp.load_skeleton("hand21"),
    "wide70": wide_skeleton(),
}


def make_case(
    seed: int,
    kind: str,
    skeleton: str,
    cells: tuple[int, int],
    people: int,
    levels: int,
    dirt: str,
    half: bool,
    extra: bool,
    config: sp.DecodeConfig,
) -> Case:
    """A case from a few drawn values.

    Args:
        kind: "people", or a kind of `noise_maps`.
        levels: number of levels to which the maps are quantized; 0: no quantization.
        dirt: the key in `DIRT` of the values that are inserted.
        half: whether the maps are float16.
        extra: whether the maps have two more channels.
    """
    layout = SKELETONS[skeleton]
    if kind == "people":
        maps = people_maps(people, cells, seed, layout)
    else:
        maps = noise_maps(kind, (layout.num_parts + layout.num_keypoints, *cells), seed)
    if kind in ("uniform", "normal") or people > 12 or dirt != "clean":
        # With all peaks of such maps the reference implementation would take seconds.
        config = replace(config, max_peaks=min(config.max_peaks, 5 if layout.num_keypoints < 30 else 2))
    if levels:
        maps = np.round(maps * np.float32(levels)) / np.float32(levels)
    if extra:
        maps = np.concatenate([maps, maps[:2]])
    sprinkle(maps, dirt, seed)
    if half:
        with np.errstate(over="ignore"):
            maps = maps.astype(np.float16)
    return Case(maps, layout, config)


lengths = st.sampled_from([7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40])
crowd_lengths = st.sampled_from([16, 17, 24, 31, 32, 33, 40])
map_sizes = st.one_of(
    st.tuples(lengths, lengths),
    st.tuples(st.just(1), lengths),
    st.tuples(lengths, st.just(1)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)

configs = st.one_of(
    st.just(sp.DecodeConfig()),
    st.just(sp.DecodeConfig.paper()),
    st.just(sp.DecodeConfig(allow_shared_keypoints=True)),
    st.builds(
        sp.DecodeConfig,
        peak_threshold=st.sampled_from([0.05, 0.1, 0.3]),
        max_peaks=st.sampled_from([1, 3, 5, 8, 256]),
        part_threshold=st.sampled_from([0.0, 0.05, 0.1, 0.25]),
        num_samples=st.integers(2, 20),
        min_sample_fraction=st.sampled_from([0.01, 0.5, 0.7, 0.8, 1.0]),
        part_score=st.sampled_from(["product", "weighted_sum"]),
        reassign=st.booleans(),
        max_part_ratio=st.sampled_from([0.0, 0.5, 1.5, 3.0, 6.0]),
        min_cut_length=st.sampled_from([0.0, 4.0, 15.0]),
        min_single_score=st.sampled_from([0.0, 0.2, 0.6]),
        join_distance=st.sampled_from([0.0, 0.4, 1.5, 4.0]),
        min_join_size=st.sampled_from([0.0, 3.0, 10.0]),
        min_keypoints=st.integers(1, 4),
        allow_shared_keypoints=st.booleans(),
    ),
)

_common = {
    "seed": st.integers(0, 2**32 - 1),
    "skeleton": st.sampled_from(["coco"] * 8 + ["tree", "crowdpose14", "hand21", "wide70"]),
    "levels": st.sampled_from([0, 0, 0, 16, 5, 2]),
    "dirt": st.sampled_from(["clean"] * 5 + list(DIRT)),
    "half": st.sampled_from([False, False, True]),
    "extra": st.booleans(),
    "config": configs,
}
crowds = st.builds(
    make_case,
    kind=st.just("people"),
    cells=st.tuples(crowd_lengths, crowd_lengths),
    people=st.sampled_from([3, 4, 5, 6, 8, 10, 60]),
    **_common,
)
edge_cases = st.builds(
    make_case,
    kind=st.sampled_from(["people", "uniform", "normal", "zero", "constant"]),
    cells=map_sizes,
    people=st.integers(0, 4),
    **_common,
)
cases = st.one_of(crowds, crowds, crowds, edge_cases)
"""Three of four cases are crowds."""


def summary() -> str:
    """One line with the totals of the parity test."""
    share = counts["crowded"] / max(counts["cases"], 1)
    return (
        f"decode parity: {counts['cases']} cases, {counts['crowded']} ({share:.0%}) of them with {CROWDED} or more "
        f"candidate parts; {counts['candidates']} candidate parts and {counts['people']} people in all"
    )
