"""SLEAP: the layout of sleap-nn's multi-instance networks, and a drop-in for its grouping.

Sources: the public documentation of sleap-nn (https://nn.sleap.ai), of ``sleap_nn.inference.paf_grouping.PAFScorer``,
``sleap_nn.data.edge_maps.generate_pafs`` and ``sleap_nn.data.confidence_maps.generate_multiconfmaps``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplepose.adapters.paf import PafLayout, paf_config
from simplepose.checks import brief, check_count, check_number, is_tensor
from simplepose.ops.assign_keypoints import assign_keypoints
from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import MAX_SAMPLES, DecodeConfig
from simplepose.ops.match_parts import match_parts
from simplepose.ops.reference.match_parts import part_score
from simplepose.skeleton.skeleton import Skeleton

f32 = np.float32


def sleap_layout(skeleton: Any, stride: int = 2, part_stride: int = 4) -> PafLayout:
    """The layout of a multi-instance network of sleap-nn: confidence maps and part affinity fields.

    - **Channels:** one confidence map for each node; x, then y of each edge. Both begin with the channels:
      ``[B, nodes, H, W]`` and ``[B, 2 * edges, H', W']``.
    - **Values:** Gaussians; unit vectors times a Gaussian of the distance from the edge, summed over instances.
    - **Cells:** cell ``i`` lies at pixel ``i * stride``.

    Args:
        skeleton: a `sleap_io.Skeleton`, or a `Skeleton` with the nodes and edges in the order of the channels.
        stride: ``output_stride`` of the confidence maps.
        part_stride: ``output_stride`` of the fields.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
    """
    given = skeleton if isinstance(skeleton, Skeleton) else Skeleton.from_sleap(skeleton)
    fields = tuple((2 * part, 2 * part + 1) for part in range(given.num_parts))
    return PafLayout(given, tuple(range(given.num_keypoints)), fields, stride, part_stride, "corner")


class _Sample(NamedTuple):
    """The peaks of an image, and what its fields say about their pairs."""

    peaks: Peaks  # in pixels, by type
    order: NDArray[np.intp]  # the place of each in the caller's list
    parts: CandidateParts  # the response is the line score
    tensor: Callable[[NDArray[Any]], Any]  # converts results to the caller's kind of array


@dataclass
class PAFScorer:
    """A drop-in for `sleap_nn.inference.paf_grouping.PAFScorer`: the same arguments, ``predict`` with the same results.

    Pairs of peaks are scored and grouped by the rules of docs/decoding.md instead of those of sleap-nn: fields are
    sampled bilinearly, 8 of 10 samples must exceed 0.05, several pairs of a peak stay candidates until people are
    formed, and rules 4 and 8 correct them. A peak without a connection is no instance, as in sleap-nn.

    Args:
        part_names: the nodes.
        edges: (source, destination) names, in the order of the channels.
        pafs_stride: image pixels between two cells of the fields.
        max_edge_length_ratio: longer edges than this fraction of the longer side of the image are penalized.
        dist_penalty_weight: the weight of the penalty ``max_length / length - 1``.
        n_points: the number of samples along an edge.
        min_instance_peaks: the least number of peaks of an instance; a float up to 1 is a fraction of the nodes.
        min_line_scores: the least line score of a connection.
        config: the rules, with lengths in pixels, for which ``n_points`` and ``min_instance_peaks`` count; default:
            those of `paf_config`, without rule 5, which joins unconnected fragments.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
    """

    part_names: list[str]
    edges: list[tuple[str, str]]
    pafs_stride: int
    max_edge_length_ratio: float = 0.25
    dist_penalty_weight: float = 1.0
    n_points: int = 10
    min_instance_peaks: int | float = 0
    min_line_scores: float = 0.25
    config: DecodeConfig | None = None
    edge_inds: list[tuple[int, int]] = field(init=False)
    n_nodes: int = field(init=False)
    n_edges: int = field(init=False)

    def __post_init__(self) -> None:
        check_count("pafs_stride", self.pafs_stride)
        check_number("max_edge_length_ratio", self.max_edge_length_ratio, above=0.0)
        check_number("dist_penalty_weight", self.dist_penalty_weight, least=0.0)
        check_number("min_line_scores", self.min_line_scores)
        check_number("min_instance_peaks", self.min_instance_peaks, least=0.0)
        check_count("n_points", self.n_points, 2, MAX_SAMPLES)
        names = list(self.part_names)
        for edge in self.edges:
            if len(edge) != 2 or edge[0] not in names or edge[1] not in names:
                raise ValueError(f"edges: expected pairs of names of part_names, got {brief(list(edge))}")
        self.edge_inds = [(names.index(a), names.index(b)) for a, b in self.edges]
        self.n_nodes, self.n_edges = len(names), len(self.edge_inds)
        nodes = tuple(map(str, range(self.n_nodes)))  # no name is left or right, so any edges are valid
        parts = tuple((nodes[a], nodes[b]) for a, b in self.edge_inds)
        self._skeleton = Skeleton("sleap", nodes, parts, allow_unconnected=True)
        least = self.min_instance_peaks
        if isinstance(least, float) and least <= 1:
            least = least * self.n_nodes
        base = self.config or paf_config(1, join_distance=0.0)
        if base.encoding != "paf" or base.allow_shared_keypoints:
            raise ValueError('config: expected encoding "paf" and no shared keypoints')
        self._rules = replace(base, num_samples=self.n_points, min_keypoints=max(2, int(np.ceil(least))))

    @classmethod
    def from_config(cls, config: Any, **settings: Any) -> PAFScorer:
        """The scorer of sleap-nn's configuration of a bottom-up head, which has ``confmaps`` and ``pafs``."""
        edges = [(str(a), str(b)) for a, b in config.pafs.edges]
        return cls(list(config.confmaps.part_names), edges, int(config.pafs.output_stride), **settings)

    def predict(
        self, pafs: Any, peaks: Sequence[Any], peak_vals: Sequence[Any], peak_channel_inds: Sequence[Any]
    ) -> tuple[list[Any], list[Any], list[Any], list[Any], list[Any], list[Any]]:
        """Group the peaks of a batch into instances.

        Args:
            pafs: ``[B, H, W, 2 * edges]`` float32; views of channels-first maps are not copied.
            peaks: for each image, ``[N, 2]`` float32 x, y in image pixels.
            peak_vals: for each image, ``[N]`` scores.
            peak_channel_inds: for each image, ``[N]`` int32 nodes.

        Returns:
            Six lists with an entry for each image, tensors if the peaks are: instances ``[M, nodes, 2]`` (NaN where
            missing), peak scores ``[M, nodes]``, instance scores ``[M]`` (the sum of their line scores), and the
            candidate connections: edges ``[K]`` int32, peaks ``[K, 2]`` int64, line scores ``[K]``.

        Raises:
            TypeError, ValueError: an argument is not as described; the message names it.
        """
        counts = [len(column) for column in (pafs, peaks, peak_vals, peak_channel_inds)]
        if len(set(counts)) > 1:
            raise ValueError(
                f"peaks: expected pafs, peaks, peak_vals and peak_channel_inds of as many images, got {counts}"
            )
        samples = [self._score(*image) for image in zip(pafs, peaks, peak_vals, peak_channel_inds, strict=True)]
        rows = [(*self._group(sample), *self._connections(sample)) for sample in samples]
        columns = [[row[i] for row in rows] for i in range(6)]
        return columns[0], columns[1], columns[2], columns[3], columns[4], columns[5]

    def _score(self, pafs: Any, peaks: Any, vals: Any, channels: Any) -> _Sample:
        """The connections of an image with their line scores: rule 2, the penalty for long edges, the least score."""
        xy, values, types = (_array(column) for column in (peaks, vals, channels))
        order = np.argsort(types, kind="stable")
        xy, values = xy[order].astype(f32), values[order].astype(f32)
        maps = np.ascontiguousarray(np.moveaxis(_array(pafs), -1, 0), f32)
        found = Peaks(types[order].astype(np.int32), xy, values, False)
        in_cells = found._replace(xy=xy / f32(self.pafs_stride))
        parts = match_parts(maps, in_cells, self._skeleton, self._rules)[0]
        longest = self.max_edge_length_ratio * self.pafs_stride * max(maps.shape[1:])
        parts = self._penalize(parts, found, f32(longest))
        like = peaks

        def tensor(array: NDArray[Any]) -> Any:
            if not is_tensor(like):
                return array
            import torch

            return torch.from_numpy(np.ascontiguousarray(array)).to(like.device)

        return _Sample(found, order, parts, tensor)

    def _penalize(self, parts: CandidateParts, peaks: Peaks, longest: np.float32) -> CandidateParts:
        """The candidates with line scores as responses; those below the least score are dropped."""
        ends = peaks.xy[parts.to_peak] - peaks.xy[parts.from_peak]
        length = np.hypot(ends[:, 0], ends[:, 1])
        penalty = np.minimum(longest / np.maximum(length, f32(1e-6)) - f32(1), f32(0))
        response = (parts.response + f32(self.dist_penalty_weight) * penalty).astype(f32)
        kept = np.nonzero(response >= f32(self.min_line_scores))[0]
        score = part_score(response, peaks.score[parts.from_peak], peaks.score[parts.to_peak], self._rules)
        kept = kept[np.lexsort((parts.to_peak[kept], parts.from_peak[kept], -score[kept], parts.type[kept]))]
        return CandidateParts(parts.type[kept], parts.from_peak[kept], parts.to_peak[kept], response[kept], score[kept])

    def _group(self, sample: _Sample) -> tuple[Any, Any, Any]:
        peaks, parts = sample.peaks, sample.parts
        poses = assign_keypoints(peaks, parts, self._skeleton, self._rules, 1, alignment="corner")[0]
        visible = np.isfinite(poses.keypoints[..., 0])
        people, types = np.nonzero(visible)
        x, y = peaks.xy.T.tolist()
        place = {key: i for i, key in enumerate(zip(peaks.type.tolist(), x, y, strict=True))}
        rows = poses.keypoints[visible]
        owner = np.full(len(peaks.type), -1)
        for person, key in zip(people.tolist(), zip(types.tolist(), *rows.T[:2].tolist(), strict=True), strict=True):
            owner[place[key]] = person
        inside = (owner[parts.from_peak] == owner[parts.to_peak]) & (owner[parts.from_peak] >= 0)
        scores = np.bincount(owner[parts.from_peak[inside]], parts.response[inside], len(poses)).astype(f32)
        values = np.where(visible, poses.keypoints[..., 2], f32(np.nan))
        return sample.tensor(poses.keypoints[..., :2]), sample.tensor(values), sample.tensor(scores)

    def _connections(self, sample: _Sample) -> tuple[Any, Any, Any]:
        parts = sample.parts
        ends = sample.order[np.stack([parts.from_peak, parts.to_peak], 1)].astype(np.int64)
        return sample.tensor(parts.type), sample.tensor(ends), sample.tensor(parts.response)


def _array(values: Any) -> NDArray[Any]:
    """An array on the host, from an array or a tensor on any device."""
    return values.numpy(force=True) if is_tensor(values) else np.asarray(values)
