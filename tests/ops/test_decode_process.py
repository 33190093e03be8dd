"""Decoding in special processes: after fork, with other vector instructions, and on maps of pure noise."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from helpers.map_cases import SKELETONS, make_case
from helpers.map_scenes import noise_maps, people_maps, sprinkle
from helpers.processes import run_python
from helpers.target_cases import scene

import simplepose as sp

BATCH = np.stack([people_maps(n, (40, 48), seed=n) for n in (5, 3, 8, 6)])
MOST_SECONDS = 3.0
"""Maximum processor time for a map of noise: ten times the goal, because machines differ."""


def python(code: str, *arguments: str, **environment: str) -> str:
    done = run_python("-c", code, *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


FORKING = """
import os, sys, numpy as np, simplepose as sp
batch = np.load(sys.argv[1])
def decoded():
    return [poses.keypoints.tobytes() for poses in sp.decode(batch, backend="native", threads=2)]
before = decoded()
children = []
for generation in range(3):
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        passed = decoded() == before
        if grandchild:
            passed &= os.waitpid(grandchild, 0)[1] == 0
        os._exit(0 if passed else 1)
    children.append(child)
    assert decoded() == before
print([os.waitpid(child, 0)[1] for child in children])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_decoding_works_after_fork(tmp_path):
    np.save(tmp_path / "batch.npy", BATCH)
    assert python(FORKING, str(tmp_path / "batch.npy")).strip() == "[0, 0, 0]"


DECODING = """
import sys, numpy as np, simplepose as sp
from dataclasses import replace
from simplepose.skeleton.skeleton import load_skeleton
with np.load(sys.argv[1]) as maps, open(sys.argv[2], "wb") as out:
    for name in maps:
        for config in (sp.DecodeConfig(), sp.DecodeConfig(num_samples=7, min_sample_fraction=0.5, max_peaks=40)):
            config = replace(config, encoding="paf" if "-paf-" in name else "parts")
            poses = sp.decode(maps[name], load_skeleton(name.split("-")[0]), config, backend="native")[0]
            out.write(poses.keypoints.tobytes() + poses.scores.tobytes())
"""


def test_results_do_not_depend_on_vector_instructions(tmp_path):
    config = sp.DecodeConfig()
    maps = {"coco-noise": noise_maps("uniform", (48, 33, 40), seed=2)}
    # Few pairs, pairs in several batches and blocks of more than one cell; maps that end within a vector of 64 cells.
    for people, size in (
        (1, (40, 48)),
        (4, (64, 64)),
        (12, (70, 150)),
        (40, (130, 67)),
        (12, (20, 300)),
        (6, (17, 16)),
    ):
        maps[f"coco-{people}-{size[1]}"] = people_maps(people, size, seed=people)
    maps["coco-wide"] = np.tile(people_maps(9, (8, 64), seed=1), (1, 1, 65))  # wider than maps with blocks
    for i, (skeleton, dirt) in enumerate(
        (s, d) for s in ("coco", "hand21") for d in ("clean", "not finite", "negative")
    ):
        case = make_case(i, "people", skeleton, (33, 41), 8, (0, 5)[i % 2], dirt, False, False, config)
        maps[f"{skeleton}-{dirt}"] = case.maps
    target = sp.TargetConfig(encoding="paf")
    for people, size in ((1, (160, 160)), (3, (72, 260)), (6, (256, 260)), (15, (280, 548))):
        fields = sp.render_targets(scene(people, size, people), size, config=target)[:78]
        sprinkle(fields[:60], "not finite" if people == 6 else "clean", people)
        maps[f"coco-paf-{people}"] = fields
    np.savez(tmp_path / "maps.npz", **maps)
    results = []
    for simd in ("generic", "avx2", "best"):
        out = tmp_path / simd
        python(DECODING, str(tmp_path / "maps.npz"), str(out), SIMPLEPOSE_SIMD=simd)
        results.append(out.read_bytes())
    assert len(results[0]) > 10_000
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(
    "config", [sp.DecodeConfig(), sp.DecodeConfig.paper(), sp.DecodeConfig(allow_shared_keypoints=True)]
)
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_a_map_of_noise_is_truncated_and_takes_bounded_time(kind, config):
    maps = noise_maps(kind, (SKELETONS["coco"].num_channels, 128, 128), seed=0)
    begin = time.process_time()
    poses = sp.decode(maps, config=config, backend="native", threads=1)[0]
    assert time.process_time() - begin < MOST_SECONDS
    assert poses.truncated
    assert np.isfinite(poses.scores).all()
