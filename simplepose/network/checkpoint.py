"""Checkpoints: safetensors with skeleton and settings in the header; ``.pth`` files of the released layout load too."""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as format_safetensors
from torch import Tensor

from simplepose.io.atomic import atomic_write
from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN, PRESETS
from simplepose.network.released_names import CheckpointError, check_tensors, expected_names, from_released
from simplepose.skeleton.skeleton import COCO, Skeleton

__all__ = [
    "SHIPPED",
    "Checkpoint",
    "CheckpointError",
    "find_checkpoint",
    "load_checkpoint",
    "load_model",
    "save_checkpoint",
    "write_checkpoint",
]

FORMAT_VERSION = 1
HEADER = "simplepose"
"""The key of the JSON header in the file's metadata."""

WEIGHTS = Path(__file__).parents[1] / "weights"
SHIPPED = ("tiny",)
"""The names whose weights come with the package."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: enough to build the network and to read its maps."""

    config: ModelConfig
    skeleton: Skeleton
    state: Mapping[str, Tensor]  # by this package's names, floats as float32
    notes: Mapping[str, Any] = field(default_factory=dict)  # whatever JSON values the writer added

    def build(self, device: str | torch.device = "cpu") -> IMHN:
        """The network with these weights on ``device``, in eval mode."""
        with torch.device("meta"):
            model = IMHN(self.config)
        model.to_empty(device=device).load_state_dict(self.state)
        return model.eval()


def save_checkpoint(
    path: str | Path,
    model: IMHN,
    skeleton: Skeleton = COCO,
    *,
    half: bool = False,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write ``model`` atomically: ``path`` is either what it was before or the whole new checkpoint.

    Args:
        half: store floats as float16, half the size and 4 digits.
        notes: JSON values to keep with the weights, such as the training command.

    Raises:
        ValueError: the skeleton's channels are not the network's, or a value does not fit into float16.
        OSError: the file cannot be written.
    """
    checkpoint = Checkpoint(model.config, skeleton, model.state_dict(), notes or {})
    write_checkpoint(path, checkpoint, half=half)


def write_checkpoint(path: str | Path, checkpoint: Checkpoint, *, half: bool = False) -> None:
    """`save_checkpoint` for weights that are in no network."""
    _check_channels(checkpoint.config, checkpoint.skeleton)
    header = {
        "format_version": FORMAT_VERSION,
        "model": checkpoint.config.to_dict(),
        "skeleton": checkpoint.skeleton.to_dict(),
        "notes": dict(checkpoint.notes),
    }
    tensors = {name: _stored(name, tensor, half) for name, tensor in checkpoint.state.items()}
    data = format_safetensors(tensors, {HEADER: json.dumps(header)})
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def load_checkpoint(name_or_path: str | Path, *, skeleton: Skeleton = COCO, input_size: int = 512) -> Checkpoint:
    """Read a checkpoint of this package or of the released layout, told apart by their content.

    A ``.pth`` file is read with ``weights_only``: no code in it runs.

    Args:
        name_or_path: weights that come with the package, or a file.
        skeleton: what the channels of the released layout mean; a checkpoint of this package says it itself.
        input_size: image height in pixels that weights in the released layout were trained for; likewise.

    Raises:
        FileNotFoundError: there is no such file, nor shipped weights of that name.
        CheckpointError: the file is corrupt, foreign or refused; the message says what is wrong.
    """
    path = find_checkpoint(name_or_path)
    with _named(path):
        return _read_safetensors(path) if _is_safetensors(path) else _read_released(path, skeleton, input_size)


def load_model(name_or_path: str | Path, device: str | torch.device = "cpu") -> IMHN:
    """The network of a checkpoint in eval mode; `load_checkpoint` says which there are and what can be wrong."""
    return load_checkpoint(name_or_path).build(device)


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The file of shipped weights' name or of a path; raises as `load_checkpoint` does."""
    name = str(name_or_path)
    if name in SHIPPED:
        path = WEIGHTS / f"{name}.safetensors"
        if not path.is_file():
            raise CheckpointError(
                f"checkpoint: this build of simplepose carries no {name!r} weights ({path} is missing); "
                "give a checkpoint file, docs/weights.md says how to get one"
            )
        return path
    path = Path(name_or_path)
    if path.is_dir():
        raise CheckpointError(f"{path}: expected a checkpoint file, this is a folder")
    if not path.is_file():
        message = f"checkpoint: no file {name!r} and no weights of that name (known: {', '.join(SHIPPED)})"
        if name in PRESETS:
            message += f"; {name} is a network whose weights are not shipped, docs/weights.md says how to get them"
        raise FileNotFoundError(message)
    return path


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _is_safetensors(path: Path) -> bool:
    """By content: safetensors has 8 bytes of length, then JSON; PyTorch writes zip files, long ago bare pickles."""
    with path.open("rb") as file:
        start = file.read(9)
    if not start:
        raise CheckpointError("the file is empty")
    if start[8:] == b"{":
        return True
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return False
    raise CheckpointError("neither a safetensors nor a PyTorch file")


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise CheckpointError(f"damaged or cut short ({error})") from None
    if HEADER not in metadata:
        raise CheckpointError(f"a safetensors file without the {HEADER!r} header, not one that simplepose wrote")
    try:
        header = json.loads(metadata[HEADER])
        version = header["format_version"]
        if version != FORMAT_VERSION:
            raise CheckpointError(f"format version {version!r}, this version of simplepose reads {FORMAT_VERSION}")
        config = ModelConfig.from_dict(header["model"])
        skeleton = Skeleton.from_dict(header["skeleton"])
        notes = dict(header["notes"])
        _check_channels(config, skeleton)
    except CheckpointError:
        raise
    except KeyError as error:
        raise CheckpointError(f"its header lacks {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"its header is wrong: {error}") from None
    check_tensors(expected_names(config), state)
    return Checkpoint(config, skeleton, _floats(state), notes)


def _read_released(path: Path, skeleton: Skeleton, input_size: int) -> Checkpoint:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols of files that are refused anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named:
            raise CheckpointError(
                f"refused: its pickle asks for {named[1]}, and only tensors and plain values are read, "
                "since anything else could run code"
            ) from None
        raise CheckpointError("damaged, or a pickle of something else than tensors; nothing in it was run") from None
    except Exception as error:  # a damaged pickle can fail in any way
        reason = (str(error) or repr(error)).splitlines()[0]
        raise CheckpointError(f"damaged or cut short ({reason})") from None
    weights = content.get("weights", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise CheckpointError(f"expected a dictionary of tensors, got {type(content).__name__}")
    config, state = from_released(weights, input_size)
    _check_channels(config, skeleton)
    return Checkpoint(config, skeleton, _floats(state))


def _floats(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _stored(name: str, tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    if not (half and tensor.is_floating_point()):
        return tensor
    if tensor.abs().max() > torch.finfo(torch.float16).max:
        raise ValueError(f"half: {name} has values beyond the range of float16")
    return tensor.half()


def _check_channels(config: ModelConfig, skeleton: Skeleton) -> None:
    if config.channels != skeleton.num_channels:
        raise CheckpointError(
            f"channels: expected {skeleton.num_channels} for skeleton {skeleton.name!r}, got {config.channels}"
        )
