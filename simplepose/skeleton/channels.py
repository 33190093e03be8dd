"""The channels of a network's maps: a skeleton and the encoding of its parts determine them.

| encoding | part channels | values |
|---|---|---|
| "parts" | L, one for each part | body-part maps, 0 to 1 (docs/design.md, Operations) |
| "paf" | 2 L, x then y of each part | part affinity fields, components of a unit vector |

The keypoint channels follow, and in training the person mask and the keypoint envelope.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simplepose.skeleton.names import mirror_names
from simplepose.skeleton.skeleton import EXTRA_CHANNELS, Skeleton

Encoding = Literal["parts", "paf"]

PER_PART = {"parts": 1, "paf": 2}
"""The number of channels of a part."""


@dataclass(frozen=True)
class MapChannels:
    """The channels of maps of a skeleton with an encoding; `map_channels` makes them."""

    skeleton: Skeleton
    encoding: Encoding

    @property
    def num_parts(self) -> int:
        """The number of part channels, L or 2 L."""
        return PER_PART[self.encoding] * self.skeleton.num_parts

    @property
    def num_maps(self) -> int:
        """The number of channels that decoding reads: parts and keypoints."""
        return self.num_parts + self.skeleton.num_keypoints

    @property
    def num_channels(self) -> int:
        """The number of channels in training, with the person mask and the envelope."""
        return self.num_maps + EXTRA_CHANNELS

    @property
    def parts(self) -> slice:
        """The part channels."""
        return slice(0, self.num_parts)

    @property
    def keypoints(self) -> slice:
        """The keypoint channels."""
        return slice(self.num_parts, self.num_maps)

    @cached_property
    def flip(self) -> NDArray[np.int32]:
        """``[num_channels]`` flip permutation: channel ``c`` is channel ``flip[c]`` in a mirrored image."""
        if self.encoding == "parts":
            return self.skeleton.channel_flip
        parts = 2 * np.repeat(self.skeleton.part_flip, 2)
        parts[1::2] += 1
        rest = self.skeleton.channel_flip[self.skeleton.num_parts :] + self.skeleton.num_parts
        return np.concatenate([parts, rest]).astype(np.int32)

    @cached_property
    def flip_sign(self) -> NDArray[np.float32]:
        """``[num_channels]`` 1 or -1, the factor of channel ``flip[c]`` of a mirrored image.

        A mirrored vector has the other x. Both components change their sign where a part and its mirrored part run in
        opposite directions, as the part between two shoulders does.
        """
        sign = np.ones(self.num_channels, np.float32)
        if self.encoding == "paf":
            mirror = mirror_names(self.skeleton.left_right)
            parts = self.skeleton.parts
            for part, mirrored in enumerate(self.skeleton.part_flip):
                same = tuple(mirror.get(name, name) for name in parts[part]) == parts[mirrored]
                sign[2 * part : 2 * part + 2] = (-1, 1) if same else (1, -1)
        return sign


@lru_cache(maxsize=64)
def map_channels(skeleton: Skeleton, encoding: Encoding) -> MapChannels:
    """The channels of maps of ``skeleton`` with an encoding."""
    return MapChannels(skeleton, encoding)
