"""Conversion of released ``.pth`` checkpoints to this package's safetensors files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from simplepose.network.checkpoint import Checkpoint, load_checkpoint, write_checkpoint
from simplepose.skeleton.skeleton import COCO, Skeleton


def convert_checkpoint(
    source: str | Path,
    target: str | Path,
    *,
    skeleton: Skeleton = COCO,
    input_size: int = 512,
    half: bool = False,
) -> Checkpoint:
    """Write the network of ``source`` to ``target``, atomically.

    Args:
        source: a ``.pth`` file of the released code, as published, with the prefix ``module.`` or as a bare dictionary
            of tensors; or a checkpoint of this package, to store it in half precision.
        target: the safetensors file to write.
        skeleton: the skeleton of a released checkpoint; a checkpoint of this package contains its own.
        input_size: the image height in pixels that a released checkpoint was trained for; likewise.
        half: store floats as float16.

    Returns:
        The written checkpoint; its ``config`` is inferred from the shapes of the tensors.

    Raises:
        FileNotFoundError: ``source`` or the folder of ``target`` does not exist.
        CheckpointError: ``source`` is damaged or has another layout; the message lists every missing, unknown and
            misshapen tensor.
    """
    checkpoint = load_checkpoint(source, skeleton=skeleton, input_size=input_size)
    converted = replace(checkpoint, notes={**checkpoint.notes, "converted_from": Path(source).name})
    write_checkpoint(target, converted, half=half)
    return converted
