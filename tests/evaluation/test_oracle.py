"""Oracle AP: the decoder reaches its measured AP on clean, noisy and learned maps; the maps are correct."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.shared_data import shared
from scenes import people

import simplepose as sp
from simplepose.data.annotations import read_annotations
from simplepose.evaluation import oracle

ANNOTATIONS = "data/person_keypoints_val2017_a.json"


@pytest.fixture(scope="module")
def annotations():
    return read_annotations(shared(ANNOTATIONS))


@pytest.mark.parametrize(
    ("noisy", "paper", "least"),
    [(False, False, 0.950), (True, False, 0.800), (False, True, 0.878), (True, True, 0.648)],
)
def test_oracle_ap_is_at_least_the_measured_one(annotations, noisy, paper, least):
    config = sp.DecodeConfig.paper() if paper else sp.DecodeConfig()
    maps = oracle.annotation_maps(annotations, noisy)
    report = oracle.run_oracle(annotations, maps, annotations.with_keypoints(), config=config)
    assert report.images == 229
    assert report.people_annotated == 686
    assert report.metrics["AP"] >= least


@pytest.mark.parametrize(("paper", "least"), [(False, 0.445), (True, 0.425)])
def test_ap_on_learned_maps_is_at_least_the_measured_one(paper, least):
    annotations = read_annotations(shared("data/learned_maps_a.json"))
    image_ids, maps = oracle.stored_maps(str(shared("data/learned_maps_a.npz")))
    config = sp.DecodeConfig.paper() if paper else sp.DecodeConfig()
    report = oracle.run_oracle(annotations, maps, image_ids, config=config)
    assert report.images == 70
    assert report.metrics["AP"] >= least


def test_clean_maps_equal_the_targets_at_the_padded_size():
    keypoints = people(3, 0, size=200)
    maps = oracle.oracle_maps(keypoints, (200, 130))
    assert np.array_equal(maps, sp.render_targets(keypoints, (256, 192)))


def test_noisy_maps_have_weaker_and_missing_peaks_and_noise():
    keypoints = people(4, 1)
    clean = oracle.oracle_maps(keypoints, (512, 512))
    noisy = oracle.oracle_maps(keypoints, (512, 512), noise_seed=5)
    empty = clean < 1e-6
    assert noisy[empty].std() == pytest.approx(0.03, rel=0.1)
    assert abs(float(noisy[empty].mean())) < 0.003
    peaks = noisy[30:].max((1, 2))
    assert peaks.max() < 1.15
    assert peaks.min() > 0.2  # factors are at least 0.3, and no keypoint is missing in all four people
    assert np.array_equal(noisy, oracle.oracle_maps(keypoints, (512, 512), noise_seed=5))
    assert not np.array_equal(noisy, oracle.oracle_maps(keypoints, (512, 512), noise_seed=6))


def test_the_error_for_a_file_that_is_not_an_npz_names_it(tmp_path):
    path = tmp_path / "maps.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"maps\.npz: not an NPZ or NPY file"):
        oracle.stored_maps(str(path))
