"""decode for keypoint maps and part maps of different strides, which come in two arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simplepose.exit_gate import compiled_call
from simplepose.ops.assign_keypoints import group_image
from simplepose.ops.backend import device_of, resolve
from simplepose.ops.config import Backend, DecodeConfig
from simplepose.ops.find_peaks import find_peaks
from simplepose.ops.inputs import Grid, device_maps, image_maps
from simplepose.ops.match_parts import match_parts
from simplepose.ops.native import module as native
from simplepose.ops.reference.match_parts import to_part_grid
from simplepose.poses import Poses
from simplepose.skeleton.channels import map_channels
from simplepose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from simplepose.ops.candidates import Maps


def decode_two_grids(
    keypoint_maps: Maps,
    part_maps: Maps,
    skeleton: Skeleton,
    config: DecodeConfig,
    to_image: Grid,
    to_parts: Grid,
    backend: Backend,
    threads: int | None,
) -> list[Poses]:
    """`decode` with part maps in an array of their own.

    A peak at cell ``x`` of the keypoint maps lies at cell ``x * scale + shift`` of the part maps (``to_parts``,
    computed in float32). The part maps are sampled between these positions; everything else is done in cells of the
    keypoint maps.

    Args:
        keypoint_maps: ``[J, H, W]`` or ``[B, J, H, W]``.
        part_maps: as in `decode`, on the same device.
        skeleton: the keypoint types and parts of the channels.
        config: the rules.
        to_image: the grid of the keypoint maps in image pixels.
        to_parts: the grid of the keypoint maps in cells of the part maps.
        backend: as in `decode`. On CUDA devices, each op runs alone.
        threads: as in `decode`.

    Raises:
        TypeError, ValueError: maps are not as described, or of different numbers of images or devices.
        RuntimeError: the backend cannot run here; the message states the reason.
    """
    if device_of(keypoint_maps) != device_of(part_maps):
        devices = [f"{device.type}:{device.number}" for device in map(device_of, (keypoint_maps, part_maps))]
        raise ValueError(f"part_maps: expected maps on the device of heatmaps, {devices[0]}, got {devices[1]}")
    implementation = resolve("decode", backend, keypoint_maps, config.encoding)
    read: Any = image_maps if implementation in ("cpp", "reference") else device_maps
    keypoints = read("heatmaps", keypoint_maps, {skeleton.num_keypoints: "keypoints only, as part_maps is given"})
    fields = read("part_maps", part_maps, {map_channels(skeleton, config.encoding).num_parts: "parts only"})
    if len(fields) != len(keypoints):
        raise ValueError(f"part_maps: expected maps of {len(keypoints)} images, as in heatmaps, got {len(fields)}")
    if implementation == "cpp":
        decoder = native.decoder(skeleton, config)
        with compiled_call:
            people = decoder.decode_two_grids(
                keypoints, fields, *to_parts, *to_image, threads or native.default_threads()
            )
        return [Poses(rows, scores, skeleton, truncated) for rows, scores, truncated in people]
    peaks = find_peaks(keypoints, skeleton, config, backend, threads)
    parts = match_parts(fields, [to_part_grid(p, *to_parts) for p in peaks], skeleton, config, backend)
    grouping = resolve("assign_keypoints", "reference" if implementation == "reference" else "torch")
    pairs = zip(peaks, parts, strict=True)
    return [group_image(*pair, skeleton, config, to_image, grouping) for pair in pairs]
