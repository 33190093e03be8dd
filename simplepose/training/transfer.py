"""Weights for another skeleton: the maps that both skeletons name keep their weights, at their new channels."""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor

from simplepose.network.config import ModelConfig
from simplepose.skeleton.skeleton import EXTRA_CHANNELS, Skeleton


def can_transfer(source: ModelConfig, target: ModelConfig) -> bool:
    """Whether weights of single maps can move to another skeleton: not of affinity fields, and not of CMU-Net."""
    return source.encoding == target.encoding == "parts" and target.kind != "cmu"


def shared_channels(source: Skeleton, target: Skeleton) -> dict[int, int]:
    """The channels of ``target`` that ``source`` has too, with the channel of ``source``.

    Keypoints and parts are the same if their names are. The direction of a part does not matter in its map. The
    person mask and the envelope are shared if any keypoint or part is.
    """
    known = {name: channel for channel, name in enumerate(_channel_names(source))}
    shared = {channel: known[name] for channel, name in enumerate(_channel_names(target)) if name in known}
    return shared if len(shared) > EXTRA_CHANNELS else {}


def new_maps(source: Skeleton, target: Skeleton) -> list[str]:
    """The keypoints and parts of ``target`` that ``source`` does not have, for messages; a part as "from-to"."""
    shared = shared_channels(source, target)
    names = ["-".join(part) for part in target.parts] + list(target.keypoints)
    return [name for channel, name in enumerate(names) if channel not in shared]


def transfer(name: str, source: Tensor, initial: Tensor, shared: dict[int, int]) -> Tensor:
    """A tensor of a layer that outputs or reads maps, for another skeleton.

    Args:
        name: of the tensor in the network's ``state_dict``.
        source: the trained tensor.
        initial: the initial tensor for the new skeleton, which channels that are not shared keep.
        shared: `shared_channels`.
    """
    into, out = list(shared), list(shared.values())
    result = initial.clone()
    if ".predict." in name:  # [channels, ...]
        result[into] = source[out].to(result)
    elif name.endswith(".maps.conv.weight"):  # [outputs, channels, 1, 1]
        result[:, into] = source[:, out].to(result)
    else:  # the norm after it: no channel of a map
        result = source
    return result


def _channel_names(skeleton: Skeleton) -> list[Hashable]:
    extra = [("extra", i) for i in range(EXTRA_CHANNELS)]
    return [*(frozenset(part) for part in skeleton.parts), *skeleton.keypoints, *extra]
