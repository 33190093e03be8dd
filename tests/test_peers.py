"""benchmarks/peers.py: a grouper of one's own in the league, and what is left out."""

from __future__ import annotations

import json

import numpy as np
import peer_groupers
import peers
import pytest
from scenes import scene_maps

import simplepose as sp


@pytest.mark.parametrize("encoding", ["parts", "paf"])
def test_the_own_grouper_gives_the_people_of_decode(encoding):
    maps, config = scene_maps(5, 0, encoding), sp.DecodeConfig(encoding=encoding)
    scene = peer_groupers.Scene.of(maps, sp.COCO, config, 4)
    grouper = peer_groupers.simplepose if encoding == "parts" else peer_groupers.simplepose_fields
    np.testing.assert_array_equal(grouper(scene)(), sp.decode(maps, config=config)[0].keypoints)


def test_all_pairs_hold_every_pair_once_and_the_responses_of_the_candidates():
    scene = peer_groupers.Scene.of(scene_maps(5, 0), sp.COCO, sp.DecodeConfig(), 4)
    types, ends, responses = peer_groupers.all_pairs(scene)
    assert len(set(zip(types.tolist(), *ends.T.tolist(), strict=True))) == len(types)
    kinds = scene.peaks.type[ends]
    np.testing.assert_array_equal(kinds, sp.COCO.part_index[types])
    count = np.bincount(scene.peaks.type, minlength=18)
    assert len(types) == sum(count[a] * count[b] for a, b in sp.COCO.part_index)
    found = sorted(zip(types.tolist(), *ends.T.tolist(), responses.tolist(), strict=True))
    parts = scene.parts
    expected = sorted(
        zip(*(c.tolist() for c in (parts.type, parts.from_peak, parts.to_peak, parts.response)), strict=True)
    )
    assert [row for row in found if row[3] > 0] == expected


@pytest.mark.usefixtures("one_thread")
def test_a_plug_in_joins_the_league_and_missing_packages_are_named(tmp_path, monkeypatch, capsys):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import numpy as np\n"
        "def group(scene):\n"
        "    people = np.full((1, scene.skeleton.num_keypoints, 3), np.nan, np.float32)\n"
        "    people[..., 2] = 0\n"
        "    return lambda: people\n"
    )
    monkeypatch.setattr(peers, "PEOPLE", (1,))
    monkeypatch.setattr(peers, "SCENES", 1)
    monkeypatch.setitem(peers.PEERS, "sleap-nn", (peer_groupers.sleap_nn, "no_such_package"))
    monkeypatch.setitem(peers.PEERS, "deeplabcut", (peer_groupers.deeplabcut, "no_such_package"))
    monkeypatch.setitem(peers.FIELD_PEERS, "sleap-nn", (peer_groupers.sleap_nn_fields, "no_such_package"))
    out = tmp_path / "peers.json"
    monkeypatch.setattr("sys.argv", ["peers.py", "--peer", f"{plugin}:group", "--rounds", "1", "--out", str(out)])
    peers.main()
    assert "left out sleap-nn: ModuleNotFoundError: No module named 'no_such_package'" in capsys.readouterr().out
    league = json.loads(out.read_text())["league"]
    assert list(league) == ["simplepose, redundant", "group, redundant", "simplepose, tree", "group, tree"]
    assert all(row["1 people, ms"] > 0 for row in league.values())


def test_people_without_a_keypoint_score_nothing():
    people = peer_groupers.people_of(np.array([[[1, 2], [np.nan, np.nan]]]), np.array([[0.5, np.nan]]))
    np.testing.assert_array_equal(people, np.float32([[[1, 2, 0.5], [np.nan, np.nan, 0]]]))
