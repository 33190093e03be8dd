"""Generated maps and settings that the tests of decoding share: crowds, ties, noise, awkward values and sizes."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

import simplepose as sp
from helpers.map_scenes import DIRT, Case, noise_maps, people_maps, sprinkle

EXAMPLES = int(os.environ.get("SIMPLEPOSE_TEST_EXAMPLES", "256"))
"""Generated cases in each slice of the parity test; the sanitizer run takes fewer."""

CROWDED = 50
"""From so many candidate parts on a case counts as crowded."""

counts = {"cases": 0, "crowded": 0, "candidates": 0, "people": 0}
"""What the parity test has gone through; the summary of a test run prints it."""


def wide_skeleton() -> sp.Skeleton:
    """70 keypoint types in a chain with shortcuts: more types than one 64-bit word has bits."""
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
    """A case from a few drawn numbers: ``kind`` of content, quantised to ``levels`` (0: not), with dirt in it."""
    bones = SKELETONS[skeleton]
    if kind == "people":
        maps = people_maps(people, cells, seed, bones)
    else:
        maps = noise_maps(kind, (bones.num_parts + bones.num_keypoints, *cells), seed)
    if (
        kind in ("uniform", "normal") or people > 12 or dirt != "clean"
    ):  # peaks abound: the reference would take seconds
        config = replace(config, max_peaks=min(config.max_peaks, 5 if bones.num_keypoints < 30 else 2))
    if levels:
        maps = np.round(maps * np.float32(levels)) / np.float32(levels)
    if extra:
        maps = np.concatenate([maps, maps[:2]])
    sprinkle(maps, dirt, seed)
    if half:
        with np.errstate(over="ignore"):
            maps = maps.astype(np.float16)
    return Case(maps, bones, config)


lengths = st.sampled_from([7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40])
roomy = st.sampled_from([16, 17, 24, 31, 32, 33, 40])
awkward_cells = st.one_of(
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
    cells=st.tuples(roomy, roomy),
    people=st.sampled_from([3, 4, 5, 6, 8, 10, 60]),
    **_common,
)
oddities = st.builds(
    make_case,
    kind=st.sampled_from(["people", "uniform", "normal", "zero", "constant"]),
    cells=awkward_cells,
    people=st.integers(0, 4),
    **_common,
)
cases = st.one_of(crowds, crowds, crowds, oddities)
"""Three of four cases hold a crowd."""


def summary() -> str:
    """One line about what the parity test went through."""
    share = counts["crowded"] / max(counts["cases"], 1)
    return (
        f"decode parity: {counts['cases']} cases, {counts['crowded']} ({share:.0%}) of them with {CROWDED} or more "
        f"candidate parts; {counts['candidates']} candidate parts and {counts['people']} people in all"
    )
