"""Maps of sleap-nn's networks give the people of a scene, and the drop-in for its grouping the instances it gives."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scenes import separated_people

import simplepose as sp
from simplepose.adapters.paf import paf_config
from simplepose.adapters.sleap import PAFScorer, sleap_layout

TREE = sp.COCO.spanning_tree()
NODES, EDGES = list(TREE.keypoints), list(TREE.parts)
SIZE = 512
f32 = np.float32


def sleap_maps(places, skeleton=TREE, stride=4, part_stride=4, sigma=6.0):
    """Maps as sleap-nn documents them: Gaussians ``[J, H, W]``, and unit vectors times Gaussians ``[2 L, H', W']``."""
    x, y = np.meshgrid(*[np.arange(SIZE // stride) * stride] * 2)
    square = (x - places[..., 0, None, None]) ** 2 + (y - places[..., 1, None, None]) ** 2  # [P, J, H, W]
    keypoints = np.exp(-square / (2 * sigma**2)).max(0)
    x, y = np.meshgrid(*[np.arange(SIZE // part_stride) * part_stride] * 2)
    grid = np.stack([x, y], -1).astype(f32)
    fields = np.zeros((skeleton.num_parts, 2, *x.shape), f32)
    for part, (a, b) in enumerate(skeleton.part_index):
        for start, end in places[:, [a, b]]:
            along = end - start
            t = np.clip((grid - start) @ along / (along @ along), 0, 1)[..., None]
            distance = np.linalg.norm(grid - start - t * along, axis=-1)
            fields[part] += np.exp(-(distance**2) / (2 * sigma**2)) * (along / np.linalg.norm(along))[:, None, None]
    return keypoints.astype(f32), fields.reshape(-1, *x.shape)


def peaks_of(places, keep=None):
    """Peaks, scores and nodes ``[N]`` of one image in a random order, as tensors."""
    rows = [(x, y, node) for person in places for node, (x, y) in enumerate(person)]
    rows = np.array(rows, f32)[np.random.default_rng(0).permutation(len(rows))][:keep]
    nodes = torch.from_numpy(rows[:, 2].astype(np.int32))
    return torch.from_numpy(rows[:, :2].copy()), torch.linspace(0.5, 1, len(rows)), nodes


def instances(result):
    """The instances of the first image as a set of keypoint tuples."""
    return {tuple(np.nan_to_num(i, nan=-1).ravel().tolist()) for i in np.asarray(result[0][0])}


def batch(fields, peaks):
    """The arguments of ``predict`` for one image; the fields are a view with the channels last."""
    return (torch.from_numpy(fields)[None].permute(0, 2, 3, 1), *([column] for column in peaks))


def test_people_are_found_in_the_maps_of_a_network():
    places = separated_people(4, 1)[..., :2]
    keypoints, fields = sleap_maps(places, stride=2, part_stride=8)
    (poses,) = sleap_layout(TREE, 2, 8).decode(keypoints, fields)
    assert len(poses) == 4
    for person in places:
        assert np.abs(poses.keypoints[..., :2] - person).max((1, 2)).min() < 0.05


def test_instances_scores_and_connections_have_the_shapes_of_sleap_nn():
    places = separated_people(3, 2)[..., :2]
    _, fields = sleap_maps(places)
    peaks, values, nodes = peaks_of(places)
    result = PAFScorer(NODES, EDGES, 4).predict(*batch(fields, (peaks, values, nodes)))
    found, peak_scores, scores, edges, ends, line_scores = (column[0] for column in result)
    assert (found.shape, peak_scores.shape, scores.shape) == ((3, 18, 2), (3, 18), (3,))
    assert [t.dtype for t in (found, scores, edges, ends)] == [torch.float32, torch.float32, torch.int32, torch.int64]
    assert instances(result) == {tuple(person.ravel().tolist()) for person in places}
    for person, score in zip(found, peak_scores, strict=True):
        places_of = [int(np.nonzero((peaks == xy).all(1))[0, 0]) for xy in person]
        assert torch.equal(nodes[places_of], torch.arange(18, dtype=torch.int32))
        assert torch.equal(score, values[places_of])
    assert {(int(nodes[a]), int(nodes[b])) for a, b in ends} == set(map(tuple, TREE.part_index.tolist()))
    assert torch.equal(nodes[ends], torch.from_numpy(TREE.part_index.copy())[edges])
    assert len(edges) == 3 * len(EDGES)
    assert scores.sum() == pytest.approx(float(line_scores.sum()), rel=1e-5)


def test_missing_peaks_are_nan_and_a_single_peak_is_no_instance():
    places = separated_people(2, 3)[..., :2]
    _, fields = sleap_maps(places)
    peaks, values, nodes = peaks_of(places)
    for kept, people in ((nodes < 17, 2), (nodes < 1, 0), (nodes < 0, 0)):
        sample = batch(fields, (peaks[kept], values[kept], nodes[kept]))
        found, scores, *_ = (column[0] for column in PAFScorer(NODES, EDGES, 4).predict(*sample))
        assert found.shape == (people, 18, 2)
        assert bool(found[:, 17].isnan().all())
        assert bool(scores[:, 17].isnan().all())


@pytest.mark.parametrize(
    ("settings", "connections"),
    [
        ({}, 1),
        ({"max_edge_length_ratio": 0.1}, 1),  # 80 px are longer than 51.2: the score is 1 + 0.64 - 1
        ({"max_edge_length_ratio": 0.1, "min_line_scores": 0.7}, 0),
        ({"max_edge_length_ratio": 0.1, "dist_penalty_weight": 2.5}, 0),
        ({"min_instance_peaks": 3}, 1),
    ],
)
def test_the_settings_mean_what_they_mean_in_sleap_nn(settings, connections):
    fields = np.zeros((2, 128, 128), f32)
    fields[0] = 1
    peaks = np.array([[100, 200], [180, 200]], f32), np.array([1, 1], f32), np.array([0, 1], np.int32)
    found, _, scores, _, _, lines = PAFScorer(["a", "b"], [("a", "b")], 4, **settings).predict(
        fields[None].transpose(0, 2, 3, 1), *([column] for column in peaks)
    )
    assert len(lines[0]) == connections
    assert len(found[0]) == len(scores[0]) == (connections and settings != {"min_instance_peaks": 3})
    if connections:
        expected = 1.0 if "max_edge_length_ratio" not in settings else 0.1 * 512 / 80
        np.testing.assert_allclose(lines[0], [expected], rtol=1e-6)


def test_a_fraction_of_the_nodes_and_the_configuration_of_a_head():
    head = SimpleNamespace(
        confmaps=SimpleNamespace(part_names=NODES, output_stride=2), pafs=SimpleNamespace(edges=EDGES, output_stride=8)
    )
    scorer = PAFScorer.from_config(head, min_instance_peaks=0.5, n_points=12)
    assert (scorer.part_names, scorer.pafs_stride, scorer.n_nodes, scorer.n_edges) == (NODES, 8, 18, len(EDGES))
    assert scorer.edge_inds == list(map(tuple, TREE.part_index.tolist()))
    assert (scorer._rules.min_keypoints, scorer._rules.num_samples) == (9, 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": [("nose", "tail")]}, r"edges: expected pairs of names of part_names, got \['nose', 'tail'\]"),
        ({"pafs_stride": 0}, "pafs_stride: expected"),
        ({"n_points": 1}, "n_points: expected"),
        ({"max_edge_length_ratio": 0}, "max_edge_length_ratio: expected"),
        ({"config": sp.DecodeConfig()}, 'config: expected encoding "paf" and no shared keypoints'),
        ({"config": paf_config(1, allow_shared_keypoints=True)}, "no shared keypoints"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        PAFScorer(**{"part_names": NODES, "edges": EDGES, "pafs_stride": 4, **changes})


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"of as many images, got \[1, 2, 1, 1\]"):
        PAFScorer(NODES, EDGES, 4).predict(np.zeros((1, 8, 8, 34), f32), [None, None], [None], [None])


@pytest.fixture
def sleap_nn():
    """The modules of sleap-nn that make maps and group peaks."""
    pytest.importorskip("sleap_nn")
    edge_maps = pytest.importorskip("sleap_nn.data.edge_maps")
    confidence_maps = pytest.importorskip("sleap_nn.data.confidence_maps")
    grouping = pytest.importorskip("sleap_nn.inference.paf_grouping")
    return SimpleNamespace(edge_maps=edge_maps, confidence_maps=confidence_maps, grouping=grouping)


@pytest.mark.parametrize("people", [1, 5, 12])
def test_sleap_nn_gives_the_same_instances_and_its_maps_the_same_people(sleap_nn, people):
    places = separated_people(people, 7)[..., :2]
    points = torch.from_numpy(places.copy())[None]
    fields = sleap_nn.edge_maps.generate_pafs(
        points, (SIZE, SIZE), 6.0, 4, torch.from_numpy(TREE.part_index.copy()), flatten_channels=True
    )
    keypoints = sleap_nn.confidence_maps.generate_multiconfmaps(points, (SIZE, SIZE), people, 6.0, 2)
    arguments = batch(fields.numpy(), peaks_of(places, -3))
    results = [kind(NODES, EDGES, 4).predict(*arguments) for kind in (PAFScorer, sleap_nn.grouping.PAFScorer)]
    assert instances(results[0]) == instances(results[1])
    assert len(results[0]) == len(results[1]) == 6
    for mine, other in zip(*results, strict=True):
        assert type(mine) is type(other)
        assert mine[0].dtype == other[0].dtype
    (poses,) = sleap_layout(TREE, 2, 4).decode(keypoints[0].numpy(), fields.numpy())
    assert len(poses) == people
    for person in places:
        assert np.abs(poses.keypoints[..., :2] - person).max((1, 2)).min() < 0.05
