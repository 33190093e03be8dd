"""The released checkpoints, rewritten as this package's safetensors files."""

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
    """Write the network of ``source`` to ``target``, whole or not at all.

    Args:
        source: a ``.pth`` file of the released layout, as published or with ``module.`` before its names, or the bare
            tensors; or a checkpoint of this package, to store it in half precision.
        skeleton: what the channels of the released layout mean; a checkpoint of this package says it itself.
        input_size: image height in pixels that released weights were trained for; likewise.
        half: store floats as float16.

    Returns:
        What was written; ``.config`` are the settings that the tensors' shapes tell.

    Raises:
        FileNotFoundError: there is no ``source``, or no folder for ``target``.
        CheckpointError: ``source`` is damaged or not of that layout; every missing, unknown and misshapen tensor is
            listed.
    """
    found = load_checkpoint(source, skeleton=skeleton, input_size=input_size)
    converted = replace(found, notes={**found.notes, "converted_from": Path(source).name})
    write_checkpoint(target, converted, half=half)
    return converted
