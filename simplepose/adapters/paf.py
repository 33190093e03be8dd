"""Maps of other networks with part affinity fields: their channels, strides and alignment, and how they are decoded.

A `PafLayout` describes the output of a network. `from_paf` makes one for a single pair of arrays. Layouts of public
networks: `simplepose.adapters.openpose` and `simplepose.adapters.sleap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from simplepose.checks import (
    brief,
    check_count,
    check_flag,
    check_indices,
    check_instance,
    check_readable,
    describe,
    is_tensor,
)
from simplepose.ops.config import Alignment, Backend, DecodeConfig
from simplepose.ops.decode import decode
from simplepose.ops.inputs import check_alignment
from simplepose.poses import Poses
from simplepose.skeleton.names import NamePair, connected, pair_sides
from simplepose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from simplepose.ops.candidates import Maps

CELL = 4
"""Image pixels of the cells in which `DecodeConfig` has its default lengths."""


def paf_config(stride: int, **changes: Any) -> DecodeConfig:
    """The default rules for part affinity fields of a network.

    Samples count from 0.05 on, as in CMU-Pose (CVPR 2017). The lengths ``min_cut_length`` and ``min_join_size`` are
    those of the defaults in image pixels.

    Args:
        stride: image pixels between two cells of the keypoint maps.
        changes: fields that replace those of the result.
    """
    rules, cells = DecodeConfig(), CELL / stride
    lengths = {"min_cut_length": rules.min_cut_length * cells, "min_join_size": rules.min_join_size * cells}
    return replace(rules, **{"encoding": "paf", "part_threshold": 0.05, **lengths, **changes})


@dataclass(frozen=True)
class PafMaps:
    """Maps in the order of a skeleton, with everything that `simplepose.decode` needs for them."""

    keypoints: Maps  # [J, H, W] or [B, J, H, W]
    parts: Maps  # [2 L, H', W'] or [B, 2 L, H', W']: x, then y of each part
    skeleton: Skeleton
    config: DecodeConfig
    stride: int
    part_stride: int
    alignment: Alignment

    def decode(
        self, config: DecodeConfig | None = None, backend: Backend = "auto", threads: int | None = None
    ) -> list[Poses]:
        """`simplepose.decode` of the maps; ``config`` replaces that of the layout."""
        config = config or self.config
        grids: dict[str, Any] = {"part_stride": self.part_stride, "alignment": self.alignment}
        return decode(
            self.keypoints, self.skeleton, config, self.stride, backend, threads, part_maps=self.parts, **grids
        )


@dataclass(frozen=True)
class PafLayout:
    """The channels and grids of a network's keypoint maps and part affinity fields.

    Args:
        skeleton: the keypoints and parts.
        keypoint_channels: the channel of each keypoint among the keypoint maps.
        field_channels: the channels of x and y of each part among the fields. The vectors point from the part's first
            keypoint to its second.
        stride: image pixels between two cells of the keypoint maps.
        part_stride: image pixels between two cells of the fields.
        alignment: where a cell lies, as in `simplepose.decode`.
        background: the number of channels after the keypoint maps that hold no keypoint.
        config: the rules of decoding; default: `paf_config` of the stride.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
    """

    skeleton: Skeleton
    keypoint_channels: tuple[int, ...]
    field_channels: tuple[tuple[int, int], ...]
    stride: int
    part_stride: int
    alignment: Alignment = "center"
    background: int = 0
    config: DecodeConfig | None = None

    def __post_init__(self) -> None:
        check_instance("skeleton", self.skeleton, Skeleton)
        joints, parts = self.skeleton.num_keypoints, self.skeleton.num_parts
        for name in ("stride", "part_stride"):
            check_count(name, getattr(self, name))
        check_count("background", self.background, 0)
        check_alignment(self.alignment)
        for name, count in (("keypoint_channels", joints), ("field_channels", parts)):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name}: expected {count}, one for each, got {len(getattr(self, name))}")
        check_indices("keypoint_channels", self.keypoint_channels, joints + self.background)
        check_indices("field_channels", [channel for pair in self.field_channels for channel in pair], 2 * parts)
        if self.config is not None:
            check_instance("config", self.config, DecodeConfig)

    def read(
        self,
        keypoint_maps: Maps,
        pafs: Maps | None = None,
        *,
        stride: int | None = None,
        part_stride: int | None = None,
        channels_last: bool = False,
    ) -> PafMaps:
        """The maps in the order of the skeleton; no copy where they are in that order already.

        Args:
            keypoint_maps: ``[C, H, W]`` or ``[B, C, H, W]``, NumPy or torch, with C = J, or J + ``background``.
            pafs: ``[2 L, H', W']`` or ``[B, 2 L, H', W']``; None: they follow in ``keypoint_maps``, after the
                background if that is among its channels.
            stride: of these maps, if it is not that of the layout, for example 1 after a resize to the image.
            part_stride: likewise; default: ``stride``, or that of the layout.
            channels_last: whether the channels are the last dimension.

        Raises:
            TypeError, ValueError: an argument is not as described; the message names it.
        """
        check_flag("channels_last", channels_last)
        keypoints = _channels_first("keypoint_maps", keypoint_maps, channels_last)
        joints, fields = self.skeleton.num_keypoints, 2 * self.skeleton.num_parts
        channels = keypoints.shape[-3]
        if pafs is None:
            before = channels - fields
            _check_channels("keypoint_maps", before, (joints, joints + self.background), fields, keypoints)
            parts = keypoints[..., before:, :, :]
        else:
            _check_channels("keypoint_maps", channels, (joints, joints + self.background), 0, keypoints)
            parts = _channels_first("pafs", pafs, channels_last)
            _check_channels("pafs", parts.shape[-3], (fields,), 0, parts)
        part_stride = part_stride if part_stride is not None else stride
        stride = self.stride if stride is None else check_count("stride", stride)
        return PafMaps(
            _pick(keypoints, self.keypoint_channels),
            _pick(parts, [channel for pair in self.field_channels for channel in pair]),
            self.skeleton,
            self.config or paf_config(stride),
            stride,
            self.part_stride if part_stride is None else check_count("part_stride", part_stride),
            self.alignment,
        )

    def decode(self, keypoint_maps: Maps, pafs: Maps | None = None, **options: Any) -> list[Poses]:
        """The people in the output of the network: `read` with ``options``, then `PafMaps.decode`."""
        return self.read(keypoint_maps, pafs, **options).decode()


def from_paf(
    keypoint_maps: Maps,
    pafs: Maps,
    edges: Sequence[tuple[str, str] | tuple[int, int]],
    names: Sequence[str],
    *,
    stride: int = 4,
    part_stride: int | None = None,
    alignment: Alignment = "center",
    symmetries: Sequence[NamePair] = (),
    channels_last: bool = False,
    name: str = "paf",
) -> PafMaps:
    """Keypoint maps and part affinity fields of any network, as maps that can be decoded.

    Args:
        keypoint_maps: ``[J, H, W]`` or ``[B, J, H, W]``, NumPy or torch: one map for each keypoint, in the order of
            ``names``. Further channels, such as a background, are not read.
        pafs: ``[2 L, H', W']`` or ``[B, 2 L, H', W']``: x, then y of each edge, in the order of ``edges``.
        edges: the L pairs of keypoints, by name or by index. The vectors point from the first to the second.
        names: the J keypoints.
        stride: image pixels between two cells of the keypoint maps.
        part_stride: image pixels between two cells of the fields; default: ``stride``.
        alignment: where a cell lies, as in `simplepose.decode`.
        symmetries: (left, right) pairs of names. Names ``left_...`` and ``right_...`` are paired in any case.
        channels_last: whether the channels are the last dimension of both.
        name: the name of the skeleton.

    Returns:
        The maps with the skeleton and the settings; ``from_paf(...).decode()`` gives the people.

    Raises:
        SkeletonError: names or edges are repeated or unknown, or the parts of left and right differ.
        TypeError, ValueError: another argument is not as described; the message names it.
    """
    check_flag("channels_last", channels_last)
    keypoints = tuple(names)
    if not all(isinstance(k, str) for k in keypoints):
        raise TypeError(f"names: expected strings, got {brief(list(names))}")
    parts = tuple(_edge(edge, keypoints) for edge in edges)
    skeleton = Skeleton(
        name,
        keypoints,
        parts,
        left_right=pair_sides(keypoints, tuple(symmetries)),
        allow_unconnected=bool(keypoints) and connected(keypoints, parts) != set(keypoints),
    )
    maps = _channels_first("keypoint_maps", keypoint_maps, channels_last)
    fields = _channels_first("pafs", pafs, channels_last)
    layout = PafLayout(
        skeleton,
        tuple(range(len(keypoints))),
        tuple((2 * part, 2 * part + 1) for part in range(len(parts))),
        stride,
        stride if part_stride is None else part_stride,
        alignment,
        max(maps.shape[-3] - len(keypoints), 0),
    )
    return layout.read(maps, fields)


def _edge(edge: Any, names: tuple[str, ...]) -> NamePair:
    """The names of the keypoints of an edge, which are given by name or index."""
    ends = tuple(edge) if isinstance(edge, list | tuple | np.ndarray) else ()
    if len(ends) != 2:
        raise ValueError(f"edges: expected pairs of keypoints, got {brief(edge)}")
    return _name(ends[0], names), _name(ends[1], names)


def _name(end: object, names: tuple[str, ...]) -> str:
    if isinstance(end, str):
        return end
    if isinstance(end, bool) or not isinstance(end, int | np.integer) or not 0 <= end < len(names):
        raise ValueError(f"edges: expected names or indices below {len(names)}, got {brief(end)}")
    return names[end]


def _channels_first(name: str, maps: Any, channels_last: bool) -> Any:
    """``[..., C, H, W]`` views of maps; TypeError or ValueError if they are not maps."""
    check_readable(name, maps)
    if not (isinstance(maps, np.ndarray) or is_tensor(maps)):
        raise TypeError(f"{name}: expected a NumPy array or torch tensor, got {describe(maps)}")
    if maps.ndim not in (3, 4):
        order = "H, W, C" if channels_last else "C, H, W"
        raise ValueError(f"{name}: expected [{order}] or [B, {order}], got {describe(maps)}")
    if not channels_last:
        return maps
    return np.moveaxis(maps, -1, -3) if isinstance(maps, np.ndarray) else maps.movedim(-1, -3)


def _check_channels(name: str, found: int, valid: tuple[int, ...], fields: int, maps: Any) -> None:
    if found not in valid:
        known = " or ".join(str(count + fields) for count in dict.fromkeys(valid))
        raise ValueError(f"{name}: expected {known} channels, got {found + fields} in {describe(maps)}")


def _pick(maps: Any, channels: Sequence[int]) -> Any:
    """The channels of ``[..., C, H, W]`` maps in a new order; a view if they begin at 0 and are consecutive."""
    if list(channels) == list(range(len(channels))):
        return maps[..., : len(channels), :, :]
    return maps[..., list(channels), :, :]
