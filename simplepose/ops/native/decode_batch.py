"""Decoding of CUDA maps in batches: the kernels run asynchronously while the network processes the next batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simplepose.checks import check_indices
from simplepose.ops.config import DecodeConfig
from simplepose.ops.native import kernels
from simplepose.ops.native import module as native
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import Skeleton


def average_flipped(maps: Tensor, mirror: Tensor, sign: Tensor | None = None) -> Tensor:
    """``[B, C, H, W]`` float32: the mean of ``[2 B, C, H, W]`` maps of images and of the mirrored images.

    Args:
        maps: the maps of the images, then those of the mirrored images.
        mirror: ``[C]``: the flip permutation of the channels.
        sign: ``[C]``: the factors of the mirrored channels (`simplepose.skeleton.channels`); None: 1.
    """
    plain, mirrored = maps.float().chunk(2)
    back = mirrored.flip(3)[:, mirror]
    return (plain + (back if sign is None else back * sign[:, None, None])) / 2


class DecodeBatch:
    """Asynchronous decoding of a batch of maps on a GPU.

    The constructor enqueues the kernels on the current stream and returns. The maps must not change before `wait`
    returns. `wait` and `poses` may be called on any thread. Peaks are grouped on the thread that calls `poses`.

    Args:
        maps: ``[B, C, H, W]``, contiguous, parts before keypoints; ``[2 B, C, H, W]`` with ``mirror``.
        skeleton: the keypoint types and parts of the channels.
        config: the rules.
        sizes: ``[B, 2]`` int32: rows and columns of the maps that each image covers; default: all of them.
        mirror: ``[C]`` int32: the flip permutation of the channels, for flip testing as in `average_flipped`.
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
            check_indices("mirror", mirror.tolist(), maps.shape[1])
        self._batch = self._start()

    def _start(self) -> Any:
        """Start the kernels; if device memory runs out, release PyTorch's cached memory and try once more."""
        maps = self._maps
        assert maps is not None
        arguments = (self._decoder, kernels.borrow(maps), self._sizes, self._mirror, kernels.stream(maps.device))
        try:
            return kernels.kernels().start_decode(*arguments)
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
        torch.cuda.empty_cache()
        return kernels.kernels().start_decode(*arguments)

    def __len__(self) -> int:
        return int(self._batch.images)

    def wait(self) -> None:
        """Wait until the device is done; raises the error if a kernel failed."""
        maps = self._maps
        if maps is not None:
            if not self._batch.wait():
                self._on_host = self._host_maps(maps)
            self._maps = None

    def poses(self, image: int, scale: float, shift: float) -> Poses:
        """The people of one image; cell ``i`` of the maps lies at ``i * scale + shift`` in the result."""
        self.wait()
        if self._on_host is None:
            keypoints, scores, cut = self._batch.decode_image(image, scale, shift)
        else:
            keypoints, scores, cut = self._decoder.decode(self._on_host[image][None], scale, shift, 1)[0]
        return Poses(keypoints, scores, self._skeleton, cut)

    def all_poses(self, scale: float, shift: float, threads: int) -> list[Poses]:
        """The people of all images, grouped on at most ``threads`` threads."""
        self.wait()
        if self._on_host is not None:
            people = [self._decoder.decode(maps[None], scale, shift, 1)[0] for maps in self._on_host]
        else:
            people = self._batch.decode(scale, shift, threads)
        return [Poses(keypoints, scores, self._skeleton, cut) for keypoints, scores, cut in people]

    def _host_maps(self, maps: Tensor) -> list[NDArray[np.float32]]:
        """The maps of each image on the host, where maps of noise with millions of candidates are decoded."""
        if self._mirror is not None:
            maps = average_flipped(maps, torch.from_numpy(self._mirror).to(maps.device, torch.int64))
        arrays = maps.float().cpu().numpy()
        sizes = [arrays.shape[2:]] * len(arrays) if self._sizes is None else self._sizes.tolist()
        return [
            np.ascontiguousarray(image[:, :height, :width])
            for image, (height, width) in zip(arrays, sizes, strict=True)
        ]
