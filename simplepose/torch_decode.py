"""The decoding ops for CUDA tensors: custom torch ops over the kernels, and batches that decode beside the network."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, library

from simplepose import native
from simplepose.arguments import check_table
from simplepose.config import MAX_PEAKS, DecodeConfig
from simplepose.poses import Poses
from simplepose.results import CandidateParts, Peaks
from simplepose.skeleton import Skeleton

MAX_HITS = 1 << 22
"""Most accepted pairs of a batch that leave the device; more are noise."""


def average_flipped(maps: Tensor, mirror: Tensor) -> Tensor:
    """``[B, C, H, W]`` float32: the mean of ``[2 B, C, H, W]`` maps of images and of the mirrored images.

    Args:
        maps: the maps of the images, then of the mirrored ones.
        mirror: ``[C]``: the channel that takes each one's place in a mirrored image.
    """
    plain, mirrored = maps.float().chunk(2)
    return (plain + mirrored.flip(3)[:, mirror]) / 2


class DecodeBatch:
    """Maps on a GPU whose people are found there while the caller goes on.

    The kernels are enqueued on the current stream; the maps must not be written before `wait`. Any thread may wait and
    take people; grouping runs on the thread that takes them.

    Args:
        maps: ``[B, C, H, W]``, contiguous, parts before keypoints; ``[2 B, C, H, W]`` with ``mirror``.
        skeleton: what the channels are.
        config: the rules.
        sizes: ``[B, 2]`` int32: the rows and columns of the maps that show each image; default: all of them.
        mirror: ``[C]`` int32: averages the maps of mirrored images in, as `average_flipped` does.
    """

    def __init__(
        self,
        maps: Tensor,
        skeleton: Skeleton,
        config: DecodeConfig,
        sizes: NDArray[np.int32] | None = None,
        mirror: NDArray[np.int32] | None = None,
    ) -> None:
        self._skeleton = skeleton
        self._decoder = native.decoder(skeleton, config)
        self._maps: Tensor | None = maps
        self._sizes, self._mirror = sizes, mirror
        self._on_host: list[NDArray[np.float32]] | None = None
        if mirror is not None:
            check_table("mirror", mirror.tolist(), maps.shape[1])
        self._batch = self._start()

    def _start(self) -> Any:
        """Once more where PyTorch keeps the device's memory to itself: what it has no use for is given back."""
        maps = self._maps
        assert maps is not None
        arguments = (self._decoder, _borrow(maps), self._sizes, self._mirror, _stream(maps.device))
        try:
            return _kernels().start_decode(*arguments)
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
        torch.cuda.empty_cache()
        return _kernels().start_decode(*arguments)

    def __len__(self) -> int:
        return int(self._batch.images)

    def wait(self) -> None:
        """Returns when the device is done; raises what went wrong there."""
        maps = self._maps
        if maps is not None:
            if not self._batch.wait():
                self._on_host = self._host_maps(maps)
            self._maps = None

    def poses(self, image: int, scale: float, shift: float) -> Poses:
        """The people of one image; cell ``i`` is given as ``i * scale + shift``."""
        self.wait()
        if self._on_host is None:
            keypoints, scores, cut = self._batch.decode_image(image, scale, shift)
        else:
            keypoints, scores, cut = self._decoder.decode(self._on_host[image][None], scale, shift, 1)[0]
        return Poses(keypoints, scores, self._skeleton, cut)

    def all_poses(self, scale: float, shift: float, threads: int) -> list[Poses]:
        """The people of all images, which at most ``threads`` threads group."""
        self.wait()
        if self._on_host is not None:
            found = [self._decoder.decode(one[None], scale, shift, 1)[0] for one in self._on_host]
        else:
            found = self._batch.decode(scale, shift, threads)
        return [Poses(keypoints, scores, self._skeleton, cut) for keypoints, scores, cut in found]

    def _host_maps(self, maps: Tensor) -> list[NDArray[np.float32]]:
        """What the kernels read, an array an image: noise with millions of candidates is decoded on the host."""
        if self._mirror is not None:
            maps = average_flipped(maps, torch.from_numpy(self._mirror).to(maps.device, torch.int64))
        whole = maps.float().cpu().numpy()
        sizes = [whole.shape[2:]] * len(whole) if self._sizes is None else self._sizes.tolist()
        return [
            np.ascontiguousarray(one[:, :height, :width]) for one, (height, width) in zip(whole, sizes, strict=True)
        ]


def find_peaks(maps: Tensor, skeleton: Skeleton, config: DecodeConfig) -> list[Peaks]:
    """`simplepose.find_peaks` of ``[B, C, H, W]`` maps, contiguous: of keypoints alone, or of parts and keypoints."""
    first = 0 if maps.shape[1] == skeleton.num_keypoints else skeleton.num_parts
    slots, counts = find_peaks_op(maps, first, skeleton.num_keypoints, [], config.peak_threshold, config.max_peaks)
    found = counts.cpu().numpy()
    kept = np.minimum(found, config.max_peaks)
    rows = slots[: int(kept.max(initial=0))].cpu().numpy()
    kinds = np.arange(skeleton.num_keypoints, dtype=np.int32)
    result = []
    for image, count in enumerate(kept):
        peaks = np.concatenate([np.empty((0, 3), np.float32), *(rows[:n, image, kind] for kind, n in enumerate(count))])
        cut = bool((found[image] > config.max_peaks).any())
        result.append(Peaks(np.repeat(kinds, count), peaks[:, :2].copy(), peaks[:, 2].copy(), cut))
    return result


def match_parts(
    maps: Tensor, peaks: list[Peaks], skeleton: Skeleton, config: DecodeConfig
) -> list[CandidateParts] | None:
    """`simplepose.match_parts` of ``[B, C, H, W]`` maps, contiguous, parts first; None if there is too much of it."""
    if not peaks:
        return []
    counts = np.stack([np.bincount(p.type, minlength=skeleton.num_keypoints) for p in peaks]).astype(np.int32)
    most = int(counts.max(initial=0))
    if most > MAX_PEAKS:
        return None
    slots = np.zeros((max(most, 1), len(peaks), skeleton.num_keypoints, 3), np.float32)
    for image, one in enumerate(peaks):
        place = np.arange(len(one.type)) - (counts[image].cumsum() - counts[image])[one.type]
        slots[place, image, one.type, :2], slots[place, image, one.type, 2] = one.xy, one.score
    parts = [int(end) for end in skeleton.part_index.ravel()]
    tables = [torch.from_numpy(table).to(maps.device) for table in (slots, counts)]
    rules = (config.part_threshold, config.num_samples, config.min_samples)
    capacity = 1 << 16
    while True:
        total, first, found, hits = match_parts_op(maps, *tables, parts, [], *rules, capacity)
        wanted = int(total)
        if wanted <= capacity:
            break
        if wanted > MAX_HITS:
            return None
        capacity = wanted
    begin, size = first.cpu().numpy(), found.cpu().numpy()
    pairs = hits[:wanted].cpu().numpy()
    decoder = native.decoder(skeleton, config)
    return [
        CandidateParts(
            *decoder.score_pairs(
                one.type, one.xy, one.score, [pairs[b : b + n] for b, n in zip(begin[i], size[i], strict=True)]
            )
        )
        for i, one in enumerate(peaks)
    ]


@library.custom_op("simplepose::find_peaks", mutates_args=())
def find_peaks_op(
    maps: Tensor,
    first_channel: int,
    keypoints: int,
    mirror: list[int],
    threshold: float,
    max_peaks: int,
) -> tuple[Tensor, Tensor]:
    """Peaks of the ``keypoints`` maps from ``first_channel`` on, on the device alone.

    Args:
        maps: ``[B, C, H, W]`` float32, float16 or bfloat16; ``[2 B, C, H, W]`` with mirror.
        mirror: empty, or the ``C`` channels that take each one's place in a mirrored image: the maps are averaged.

    Returns:
        Slots ``[max_peaks, B, J, 3]`` float32 of x, y in cells and score, best first, zero where unused; and
        counts ``[B, J]`` int32, ``max_peaks + 1`` where more were cut.
    """
    images = len(maps) // (2 if mirror else 1)
    slots = maps.new_zeros((max_peaks, images, keypoints, 3), dtype=torch.float32)
    counts = maps.new_empty((images, keypoints), dtype=torch.int32)
    launch_find_peaks(maps.contiguous(), first_channel, mirror, threshold, slots, counts)
    return slots, counts


def launch_find_peaks(
    maps: Tensor,
    first_channel: int,
    mirror: list[int],
    threshold: float,
    slots: Tensor,
    counts: Tensor,
) -> None:
    """The kernel alone, into tensors that are there: `find_peaks_op` says what each is."""
    _kernels().find_peaks_cuda(
        _borrow(maps),
        first_channel,
        threshold,
        _borrow(_device_table("mirror", tuple(mirror), maps.shape[1], maps.device)) if mirror else None,
        _borrow(slots),
        _borrow(counts),
        _stream(maps.device),
    )


@find_peaks_op.register_fake
def _find_peaks_fake(
    maps: Tensor,
    first_channel: int,
    keypoints: int,
    mirror: list[int],
    threshold: float,
    max_peaks: int,
) -> tuple[Tensor, Tensor]:
    images = maps.shape[0] // (2 if mirror else 1)
    return (
        maps.new_empty((max_peaks, images, keypoints, 3), dtype=torch.float32),
        maps.new_empty((images, keypoints), dtype=torch.int32),
    )


@library.custom_op("simplepose::match_parts", mutates_args=())
def match_parts_op(
    maps: Tensor,
    slots: Tensor,
    counts: Tensor,
    parts: list[int],
    mirror: list[int],
    threshold: float,
    samples: int,
    needed: int,
    capacity: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pairs of peaks of which ``needed`` of the ``samples`` exceed the threshold, on the device alone.

    Args:
        maps: as `find_peaks_op` takes them, parts first.
        slots: as `find_peaks_op` gives them.
        counts: likewise.
        parts: the ``2 L`` keypoint types that the parts join.
        mirror: as `find_peaks_op` takes it.
        capacity: most pairs of the batch.

    Returns:
        ``[1]`` int64 how many pairs there are; if more than ``capacity``, not all were written. ``[B, L]`` int64 where
        those of an image and part begin, ``[B, L]`` int32 how many they are. ``[capacity, 2]`` int32: the pair
        (from-peak x number of to-peaks + to-peak, each counted within its type), ascending within a part, and the bits
        of its float32 response.
    """
    images, part_types = len(maps) // (2 if mirror else 1), len(parts) // 2
    total = maps.new_empty(1, dtype=torch.int64)
    first = maps.new_empty((images, part_types), dtype=torch.int64)
    found = maps.new_empty((images, part_types), dtype=torch.int32)
    hits = maps.new_zeros((capacity, 2), dtype=torch.int32)
    peaks = (slots.contiguous(), counts.contiguous())
    launch_match_parts(
        maps.contiguous(), parts, mirror, (threshold, samples, needed), peaks, (total, first, found, hits)
    )
    return total, first, found, hits


def launch_match_parts(
    maps: Tensor,
    parts: list[int],
    mirror: list[int],
    rules: tuple[float, int, int],
    peaks: tuple[Tensor, Tensor],
    outputs: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    """The kernel alone, from slots and counts into tensors that are there: `match_parts_op` says what each is."""
    _kernels().match_parts_cuda(
        _borrow(maps),
        _borrow(_device_table("parts", tuple(parts), peaks[1].shape[1], maps.device).view(-1, 2)),
        *rules,
        _borrow(_device_table("mirror", tuple(mirror), maps.shape[1], maps.device)) if mirror else None,
        *map(_borrow, peaks),
        *map(_borrow, outputs),
        _stream(maps.device),
    )


@match_parts_op.register_fake
def _match_parts_fake(
    maps: Tensor,
    slots: Tensor,
    counts: Tensor,
    parts: list[int],
    mirror: list[int],
    threshold: float,
    samples: int,
    needed: int,
    capacity: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = (maps.shape[0] // (2 if mirror else 1), len(parts) // 2)
    return (
        maps.new_empty(1, dtype=torch.int64),
        maps.new_empty(shape, dtype=torch.int64),
        maps.new_empty(shape, dtype=torch.int32),
        maps.new_empty((capacity, 2), dtype=torch.int32),
    )


def _kernels() -> Any:
    """The module with the kernels; RuntimeError where there are none."""
    module = native.require_native()
    if not module.has_cuda:
        raise RuntimeError("the decoding kernels need a build with CUDA")
    return module


def _borrow(tensor: Tensor) -> Any:
    """A capsule to lend for one call."""
    return torch.to_dlpack(tensor.detach())


def _stream(device: torch.device) -> int:
    return int(torch.cuda.current_stream(device).cuda_stream)


@cache  # for good: a captured CUDA graph reads it at each replay
def _device_table(name: str, values: tuple[int, ...], count: int, device: torch.device) -> Tensor:
    """Indices below ``count`` as int32 on the device, kept there so that a call copies nothing."""
    check_table(name, values, count)
    return torch.tensor(values, dtype=torch.int32, device=device)
