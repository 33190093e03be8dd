"""The decoding ops for CUDA tensors: custom torch ops over the kernels, and batches that decode beside the network."""

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
            check_indices("mirror", mirror.tolist(), maps.shape[1])
        self._batch = self._start()

    def _start(self) -> Any:
        """Once more where PyTorch keeps the device's memory to itself: what it has no use for is given back."""
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
